/* memory_file_elements: the entries of a stream become the elements of a list again.
 *
 * The question and the answer of an exchange need not be neighbours, so the elements of one stream
 * are in memory together. An element is made of the members that its entries have:
 *
 *   body.text, kind    user_message or ai_response; role and content; partner (body.name), message;
 *                      partner (body.partner), content
 *   body.timestamp     timestamp; where an entry that came from no file has none, its time
 *   attach             portfolio_snapshot
 *   body.more          its members, and those of the body that are not named here */
#include "move/memory_file_internal.h"

#include "base/json_internal.h"
#include "base/table.h"
#include "base/when.h"

struct extra {
    struct extra *next;
    str name, value; /* raw */
};

/* An exchange or a message. All text is raw JSON. */
struct memory_element {
    struct memory_element *next; /* in the order of their first entries */
    struct hash exchange;
    str user, answer;     /* of an exchange; .p NULL = none */
    str text, name, kind; /* of a message */
    bool said_content;    /* by a name: `content` and not `message` */
    str timestamp, snapshot;
    struct extra *extras, *last_extra;
    uint64_t n; /* of its first entry */
    bool lost;
    UT_hash_handle hh;
};

void memory_elements_clear(struct memory_elements *e)
{
    HASH_CLEAR(hh, e->by_exchange); /* its elements are the arena's */
    e->first = e->last = NULL;
    e->count = 0;
    e->key = (str){0};
    arena_clear(&e->arena);
}

void memory_elements_release(struct memory_elements *e)
{
    memory_elements_clear(e);
    arena_release(&e->arena);
}

static kf_rc refuse_entry(const struct memory_elements *e, uint64_t n, const char *what,
                          struct kf_err *err)
{
    return err_set(err, PROBLEM_SCHEMA, "entry %llu of %.*s cannot stand in %s: %s",
                   (unsigned long long)n, e->key.len > 200 ? 200 : (int)e->key.len, e->key.p,
                   e->kind->name, what);
}

/* ------------------------------------------------------------------------------ from an entry */

kf_rc memory_parse(struct arena *arena, str json, const struct json_node **ret, struct kf_err *err)
{
    struct json_node *root;
    str own = arena_str(arena, json);
    if (!own.p)
        return err_nomem(err);
    kf_rc rc = json_parse(own, &json_limits_none, arena, &root, err);
    if (rc == KF_OK)
        *ret = root;
    return rc;
}

str memory_raw(const struct json_node *object, const char *name)
{
    const struct json_node *m = memory_string(object, name);
    return m ? m->raw : (str){0};
}

static kf_rc add_extra(struct memory_elements *e, struct memory_element *el,
                       const struct json_node *m, struct kf_err *err)
{
    struct extra *x = arena_alloc(&e->arena, sizeof *x);
    if (!x)
        return err_nomem(err);
    *x = (struct extra){NULL, m->name, m->raw};
    if (el->last_extra)
        el->last_extra->next = x;
    else
        el->extras = x;
    el->last_extra = x;
    return KF_OK;
}

/* Whether a member of a body says what the element has a place for. */
static bool is_said(const struct memory_elements *e, const struct memory_element *el,
                    const struct json_node *m)
{
    const char *const names[] = {"text", "timestamp", e->exchanges ? "exchange" : "name"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (json_text_is(m->name, str_of(names[i])))
            return m->type == JSON_STRING;
    return el->said_content && json_text_is(m->name, STR("partner"));
}

static kf_rc take_extras(struct memory_elements *e, struct memory_element *el,
                         const struct json_node *body, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (const struct json_node *m = body->child; m && rc == KF_OK; m = m->next) {
        if (is_said(e, el, m))
            continue;
        if (!json_text_is(m->name, STR("more")) || m->type != JSON_OBJECT) {
            rc = add_extra(e, el, m, err);
            continue;
        }
        for (const struct json_node *n = m->child; n && rc == KF_OK; n = n->next)
            rc = add_extra(e, el, n, err);
    }
    return rc;
}

/* The time of an entry as the files write theirs: UTC without a zone. */
static str time_of(struct memory_elements *e, const struct memory_entry *entry)
{
    char when[WHEN_LEN + 1];
    when_format(entry->at_ms, when);
    return str_of(arena_printf(&e->arena, "\"%.*s\"", WHEN_LEN - 1, when));
}

/* What elements of both forms have. */
static kf_rc take_common(struct memory_elements *e, struct memory_element *el,
                         const struct memory_entry *entry, const struct json_node *body, bool timed,
                         struct kf_err *err)
{
    /* An exchange has one time, that of what was said first. */
    if (!el->timestamp.p) {
        el->timestamp = memory_raw(body, "timestamp");
        if (!el->timestamp.p && timed && !str_starts(entry->id, STR(MEMORY_ID))) {
            el->timestamp = time_of(e, entry);
            if (!el->timestamp.p)
                return err_nomem(err);
        }
    }
    if (entry->attach.p && !el->snapshot.p) {
        el->snapshot = arena_str(&e->arena, entry->attach);
        if (!el->snapshot.p)
            return err_nomem(err);
    }
    return take_extras(e, el, body, err);
}

static struct memory_element *new_element(struct memory_elements *e,
                                          const struct memory_entry *entry)
{
    struct memory_element *el = arena_alloc(&e->arena, sizeof *el);
    if (!el)
        return NULL;
    el->n = entry->n;
    if (e->last)
        e->last->next = el;
    else
        e->first = el;
    e->last = el;
    e->count++;
    return el;
}

static struct memory_element *new_exchange(struct memory_elements *e,
                                           const struct memory_entry *entry, const struct hash *id)
{
    struct memory_element *el = new_element(e, entry);
    if (!el)
        return NULL;
    el->exchange = *id;
    HASH_ADD(hh, e->by_exchange, exchange, sizeof el->exchange, el);
    return el->lost ? NULL : el;
}

/* Why an entry cannot join what there is of its exchange; NULL when it can. */
static const char *cannot_join(const struct memory_element *el, const struct memory_entry *entry,
                               bool user)
{
    if (user ? el->user.p : el->answer.p)
        return "its exchange has an entry of this kind already";
    if (entry->attach.p && el->snapshot.p && !str_eq(el->snapshot, entry->attach))
        return "its exchange has another attachment";
    return NULL;
}

static kf_rc take_exchange(struct memory_elements *e, const struct memory_entry *entry,
                           const struct json_node *body, struct kf_err *err)
{
    struct memory_element *el = NULL;
    struct hash id;
    bool user = str_is(entry->kind, "user");
    str name = memory_raw(body, "exchange");
    if (!user && !str_is(entry->kind, "assistant"))
        return refuse_entry(e, entry->n, "its kind is neither user nor assistant", err);
    if (name.p) {
        str text = json_text(name, &e->arena);
        if (!text.p)
            return err_nomem(err);
        hash_of(text, &id);
        HASH_FIND(hh, e->by_exchange, &id, sizeof id, el);
    }
    const char *why = el ? cannot_join(el, entry, user) : NULL;
    if (why)
        return refuse_entry(e, entry->n, why, err);
    if (!el)
        el = name.p ? new_exchange(e, entry, &id) : new_element(e, entry);
    if (!el)
        return err_nomem(err);
    if (user)
        el->user = memory_raw(body, "text");
    else
        el->answer = memory_raw(body, "text");
    return take_common(e, el, entry, body, true, err);
}

static kf_rc take_message(struct memory_elements *e, const struct memory_entry *entry,
                          const struct json_node *body, struct kf_err *err)
{
    str name = memory_raw(body, "name");
    bool assistant = str_is(entry->kind, "assistant"), said_content = false;
    if (entry->kind.len == 0)
        return refuse_entry(e, entry->n, "it has no kind, which is the role of a message", err);
    if (name.p && !assistant)
        return refuse_entry(e, entry->n, "it has a name, and its kind is not assistant", err);
    if (!name.p && assistant) {
        name = memory_raw(body, "partner");
        said_content = name.p != NULL;
    }
    struct memory_element *el = new_element(e, entry);
    if (!el)
        return err_nomem(err);
    el->text = memory_raw(body, "text");
    el->name = name;
    el->said_content = said_content;
    el->kind = arena_str(&e->arena, entry->kind);
    if (!el->kind.p)
        return err_nomem(err);
    return take_common(e, el, entry, body, name.p != NULL, err);
}

kf_rc memory_elements_take(struct memory_elements *e, const struct memory_entry *entry,
                           struct kf_err *err)
{
    const struct json_node *body = NULL;
    kf_rc rc = memory_parse(&e->arena, entry->body, &body, err);
    if (rc != KF_OK)
        return rc;
    if (!memory_string(body, "text"))
        return refuse_entry(e, entry->n, "its body has no text", err);
    return e->exchanges ? take_exchange(e, entry, body, err) : take_message(e, entry, body, err);
}

/* ------------------------------------------------------------------------------------- to text */

void memory_put_member(struct buf *out, const char *name, str raw)
{
    if (!raw.p)
        return;
    buf_c(out, out->len && out->p[out->len - 1] == '{' ? "\"" : ",\"");
    buf_c(out, name);
    buf_c(out, "\":");
    buf_str(out, raw);
}

static void put_element(const struct memory_elements *e, const struct memory_element *el,
                        struct buf *out)
{
    buf_byte(out, '{');
    if (e->exchanges) {
        memory_put_member(out, "timestamp", el->timestamp);
        memory_put_member(out, "user_message", el->user);
        memory_put_member(out, "ai_response", el->answer);
    } else if (el->name.p) {
        memory_put_member(out, "partner", el->name);
        memory_put_member(out, el->said_content ? "content" : "message", el->text);
        memory_put_member(out, "timestamp", el->timestamp);
    } else {
        buf_c(out, "\"role\":");
        buf_json_string(out, el->kind);
        memory_put_member(out, "content", el->text);
        memory_put_member(out, "timestamp", el->timestamp);
    }
    memory_put_member(out, "portfolio_snapshot", el->snapshot);
    for (const struct extra *x = el->extras; x; x = x->next) {
        buf_byte(out, ',');
        buf_str(out, x->name);
        buf_byte(out, ':');
        buf_str(out, x->value);
    }
    buf_byte(out, '}');
}

kf_rc memory_elements_put(const struct memory_elements *e, struct buf *out, struct kf_err *err)
{
    buf_byte(out, '[');
    for (const struct memory_element *el = e->first; el; el = el->next) {
        size_t from = out->len;
        put_element(e, el, out);
        kf_rc rc = buf_ok(out, err);
        if (rc != KF_OK)
            return rc;
        rc = json_check(str_from(buf_view(out), from), &json_limits_none, NULL, NULL);
        if (rc == KF_NOMEM)
            return err_nomem(err);
        if (rc != KF_OK)
            return refuse_entry(e, el->n,
                                "its element would have a member twice, or too many levels", err);
        buf_c(out, el->next ? "," : "");
    }
    buf_byte(out, ']');
    return buf_ok(out, err);
}

/* The hash of a value; *ret false when it would be none. */
static kf_rc value_of(str text, struct hash *ret_hash, bool *ret, struct kf_err *err)
{
    struct buf canonical = BUF_INIT;
    kf_rc rc = json_check(text, &json_limits_none, NULL, NULL);
    *ret = rc == KF_OK;
    if (rc == KF_OK)
        rc = json_canonical(text, &canonical, err);
    else
        rc = rc == KF_NOMEM ? err_nomem(err) : KF_OK;
    if (rc == KF_OK)
        hash_of(buf_view(&canonical), ret_hash);
    buf_release(&canonical);
    return rc;
}

kf_rc memory_elements_values(const struct memory_elements *e, memory_value *fn, void *ctx,
                             struct kf_err *err)
{
    struct buf text = BUF_INIT;
    kf_rc rc = KF_OK;
    for (const struct memory_element *el = e->first; el && rc == KF_OK; el = el->next) {
        struct hash value;
        bool is = false;
        buf_clear(&text);
        put_element(e, el, &text);
        rc = buf_ok(&text, err);
        if (rc == KF_OK)
            rc = value_of(buf_view(&text), &value, &is, err);
        if (rc == KF_OK && is)
            rc = fn(ctx, &value, err);
    }
    buf_release(&text);
    return rc;
}

void memory_elements_times(const struct memory_elements *e, str *ret_first, str *ret_last)
{
    *ret_first = *ret_last = (str){0};
    for (const struct memory_element *el = e->first; el; el = el->next) {
        if (!el->timestamp.p)
            continue;
        if (!ret_first->p)
            *ret_first = el->timestamp;
        *ret_last = el->timestamp;
    }
}
