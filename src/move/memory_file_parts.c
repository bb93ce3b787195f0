/* memory_file_parts: the elements of a list, taken apart into entries. */
#include "move/memory_file_internal.h"

#include "base/hash.h"
#include "shape/stream.h"

#include <assert.h>
#include <stdio.h>

static kf_rc refuse(struct memory_reader *r, const struct json_node *at, const char *member,
                    const char *what, struct kf_err *err)
{
    return memory_refuse(r, PROBLEM_SCHEMA, at, member, what, err);
}

/* -------------------------------------------------------------------------------- one element */

/* An element of a list, taken apart. What is not named here goes to `more`. */
struct element {
    const struct json_node *node;
    const struct json_node *user, *answer;      /* of an exchange */
    const struct json_node *text, *name, *role; /* of a message; name or role */
    bool said_content;                          /* by a name: `content` and not `message` */
    const struct json_node *timestamp, *snapshot;
    int64_t at_ms;
};

static bool is_mapped(const struct element *el, const struct json_node *m)
{
    return m == el->user || m == el->answer || m == el->text || m == el->name || m == el->role ||
           m == el->timestamp || m == el->snapshot;
}

/* A member that is a string; NULL when it is absent or null. */
static kf_rc string_member(struct memory_reader *r, const struct json_node *object,
                           const char *name, const struct json_node **ret, struct kf_err *err)
{
    const struct json_node *m = json_member(object, name);
    *ret = m && m->type == JSON_STRING ? m : NULL;
    if (m && m->type != JSON_STRING && m->type != JSON_NULL)
        return refuse(r, m, name, "it is no string", err);
    return KF_OK;
}

static kf_rc read_timestamp(struct memory_reader *r, struct element *el, struct kf_err *err)
{
    kf_rc rc = string_member(r, el->node, "timestamp", &el->timestamp, err);
    if (rc != KF_OK || !el->timestamp)
        return rc;
    str text = json_text(el->timestamp->raw, &r->arena);
    if (!text.p)
        return err_nomem(err);
    if (!memory_time(text, &el->at_ms))
        return refuse(r, el->timestamp, "timestamp",
                      "it is no time like 2025-11-09T14:23:45, with or without a zone, after 1970",
                      err);
    return KF_OK;
}

static kf_rc read_exchange(struct memory_reader *r, struct element *el, struct kf_err *err)
{
    kf_rc rc = string_member(r, el->node, "user_message", &el->user, err);
    if (rc == KF_OK)
        rc = string_member(r, el->node, "ai_response", &el->answer, err);
    if (rc == KF_OK && !el->user && !el->answer)
        rc = refuse(r, el->node, NULL, "it has neither a user_message nor an ai_response", err);
    return rc;
}

static kf_rc read_message(struct memory_reader *r, struct element *el, struct kf_err *err)
{
    el->role = memory_string(el->node, "role");
    el->text = memory_string(el->node, "content");
    if (el->role && el->text) {
        str kind = json_text(el->role->raw, &r->arena);
        if (!kind.p)
            return err_nomem(err);
        if (!config_kind_ok(kind))
            return refuse(r, el->role, "role", "a kind has 1 to 64 of a-z, 0-9, _, . and -", err);
        return KF_OK;
    }
    el->role = NULL;
    el->name = memory_string(el->node, "partner");
    el->said_content = memory_string(el->node, "message") == NULL;
    el->text = memory_string(el->node, el->said_content ? "content" : "message");
    if (!el->name || !el->text)
        return refuse(r, el->node, NULL,
                      "it has neither a role and a content nor a partner and a message or content, "
                      "all strings",
                      err);
    return KF_OK;
}

static kf_rc read_element(struct memory_reader *r, const struct json_node *node, bool exchange,
                          struct element *ret, struct kf_err *err)
{
    *ret = (struct element){.node = node};
    if (node->type != JSON_OBJECT)
        return refuse(r, node, NULL, "it is no object", err);
    kf_rc rc = exchange ? read_exchange(r, ret, err) : read_message(r, ret, err);
    if (rc == KF_OK)
        rc = read_timestamp(r, ret, err);
    const struct json_node *snapshot = json_member(node, "portfolio_snapshot");
    if (snapshot && snapshot->type != JSON_NULL)
        ret->snapshot = snapshot;
    return rc;
}

/* ------------------------------------------------------------------------------------- entries */

/* What is said of the element as a whole. */
static void put_rest(struct buf *out, const struct element *el)
{
    bool any = false;
    if (el->timestamp) {
        buf_c(out, ",\"timestamp\":");
        buf_str(out, el->timestamp->raw);
    }
    for (const struct json_node *m = el->node->child; m; m = m->next) {
        if (is_mapped(el, m))
            continue;
        buf_c(out, any ? "," : ",\"more\":{");
        buf_str(out, m->name);
        buf_byte(out, ':');
        buf_str(out, m->raw);
        any = true;
    }
    buf_c(out, any ? "}" : "");
}

/* Whether the store can take it, as far as the file decides that. */
static kf_rc check_json(struct memory_reader *r, const struct element *el, str json,
                        struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    if (json.len > r->body_max)
        return memory_refuse(r, PROBLEM_TOO_LARGE, el->node, NULL,
                             "it is larger than an entry may be (limits.entry)", err);
    kf_rc rc = json_check(json, NULL, NULL, &why);
    if (rc == KF_NOMEM)
        return err_nomem(err);
    return rc == KF_OK ? KF_OK
                       : memory_refuse(r, PROBLEM_JSON_LIMIT, el->node, NULL, why.detail, err);
}

static kf_rc give_entry(struct memory_reader *r, const struct element *el, str id, str kind,
                        bool whole, struct kf_err *err)
{
    kf_rc rc = buf_ok(&r->body, err);
    if (rc != KF_OK)
        return rc;
    struct memory_entry entry = {
        .id = id, .kind = kind, .at_ms = el->at_ms, .body = buf_view(&r->body)};
    if (whole && el->snapshot)
        entry.attach = el->snapshot->raw;
    r->counts.entries++;
    if (r->stage == MEMORY_GIVE)
        return r->sink->entry(r->sink->ctx, &entry, err);
    rc = check_json(r, el, entry.body, err);
    return rc == KF_OK && entry.attach.p ? check_json(r, el, entry.attach, err) : rc;
}

static kf_rc give_exchange(struct memory_reader *r, const struct element *el, const char *id,
                           struct kf_err *err)
{
    const struct json_node *const parts[] = {el->user, el->answer};
    bool first = true;
    for (size_t i = 0; i < 2; i++) {
        char part_id[sizeof MEMORY_ID + HASH_HEX + 4];
        if (!parts[i])
            continue;
        int len = snprintf(part_id, sizeof part_id, "%s-%c", id, i == 0 ? 'u' : 'a');
        buf_clear(&r->body);
        buf_printf(&r->body, "{\"exchange\":\"%s\",\"text\":", id);
        buf_str(&r->body, parts[i]->raw);
        if (first)
            put_rest(&r->body, el);
        buf_byte(&r->body, '}');
        kf_rc rc = give_entry(r, el, str_make(part_id, (size_t)len),
                              i == 0 ? STR("user") : STR("assistant"), first, err);
        if (rc != KF_OK)
            return rc;
        first = false;
    }
    return KF_OK;
}

static kf_rc give_message(struct memory_reader *r, const struct element *el, const char *id,
                          struct kf_err *err)
{
    assert(el->text);
    buf_clear(&r->body);
    buf_c(&r->body, "{\"text\":");
    buf_str(&r->body, el->text->raw);
    if (el->name) {
        buf_c(&r->body, el->said_content ? ",\"partner\":" : ",\"name\":");
        buf_str(&r->body, el->name->raw);
    }
    put_rest(&r->body, el);
    buf_byte(&r->body, '}');
    str kind = el->role ? json_text(el->role->raw, &r->arena) : STR("assistant");
    if (!kind.p)
        return err_nomem(err);
    return give_entry(r, el, str_of(id), kind, true, err);
}

/* An id that follows from the stream, the element's text and how many equal ones stand before it,
 * so that the same file has the same ids whatever was added behind. */
static kf_rc make_id(struct memory_reader *r, const struct json_node *node, char out[], size_t size,
                     struct kf_err *err)
{
    struct hash_state state;
    struct hash hash;
    char hex[HASH_HEX + 1], times[32];
    uint64_t before = 0;
    hash_of(node->raw, &hash);
    kf_rc rc = memory_meet(r, &r->elements, &hash, &before, err);
    if (rc != KF_OK)
        return rc;
    int len = snprintf(times, sizeof times, "%llu", (unsigned long long)before);
    hash_begin(&state);
    hash_add(&state, buf_view(&r->key));
    hash_add(&state, str_make("", 1));
    hash_add(&state, str_make(hash.b, HASH_LEN));
    hash_add(&state, str_make(times, (size_t)len));
    hash_end(&state, &hash);
    hash_hex(&hash, hex);
    len = snprintf(out, size, MEMORY_ID "%.32s", hex);
    assert(len > 0 && (size_t)len < size);
    return KF_OK;
}

/* Whether the sink wants the entries of an element. */
static kf_rc ask(struct memory_reader *r, const struct json_node *node, bool *ret_wanted,
                 struct kf_err *err)
{
    struct hash value;
    *ret_wanted = true;
    if (r->stage != MEMORY_GIVE || !r->sink->element)
        return KF_OK;
    buf_clear(&r->text);
    kf_rc rc = json_canonical(node->raw, &r->text, err);
    if (rc != KF_OK)
        return rc;
    hash_of(buf_view(&r->text), &value);
    return r->sink->element(r->sink->ctx, &value, ret_wanted, err);
}

static kf_rc give_element(struct memory_reader *r, const struct element *el, bool exchange,
                          struct kf_err *err)
{
    char id[sizeof MEMORY_ID + HASH_HEX];
    bool wanted = false;
    kf_rc rc = make_id(r, el->node, id, sizeof id, err);
    if (rc == KF_OK)
        rc = ask(r, el->node, &wanted, err);
    if (rc != KF_OK || !wanted)
        return rc;
    r->counts.exchanges++;
    return exchange ? give_exchange(r, el, id, err) : give_message(r, el, id, err);
}

kf_rc memory_read_list(struct memory_reader *r, const struct json_node *list, struct kf_err *err)
{
    bool exchange = json_text_is(list->name, STR(MEMORY_EXCHANGES));
    size_t before = r->where.len, place = 0;
    kf_rc rc = KF_OK;
    for (const struct json_node *n = list->child; n && rc == KF_OK; n = n->next) {
        struct element el;
        buf_printf(&r->where, "/%s/%zu", exchange ? MEMORY_EXCHANGES : MEMORY_MESSAGES, place++);
        rc = buf_ok(&r->where, err);
        if (rc == KF_OK)
            rc = read_element(r, n, exchange, &el, err);
        if (rc == KF_OK && r->stage != MEMORY_LOOK)
            rc = give_element(r, &el, exchange, err);
        memory_cut(&r->where, before);
    }
    return rc;
}
