/* memory_file_read: a file's personas and dialogues become streams. What is in their lists is
 * memory_file_parts.c's. */
#include "move/memory_file_internal.h"

#include "base/hash.h"
#include "base/json_internal.h"
#include "base/table.h"
#include "shape/doc.h"
#include "shape/stream.h"

#include <stdio.h>

struct met {
    struct hash what;
    uint64_t times;
    bool lost;
    UT_hash_handle hh;
};

/* Where the text before a place ends, for people with an editor. */
static void say_place(str before, char out[], size_t size)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < before.len; i++) {
        column = before.p[i] == '\n' ? 1 : column + 1;
        line += before.p[i] == '\n';
    }
    snprintf(out, size, " (line %zu, column %zu)", line, column);
}

kf_rc memory_refuse(struct memory_reader *r, enum problem problem, const struct json_node *at,
                    const char *member, const char *what, struct kf_err *err)
{
    /* Where the file is read without its blanks, its offsets are not known. */
    int64_t offset = r->stage == MEMORY_LOOK ? at->raw.p - r->file.p : -1;
    char place[64] = "";
    if (offset >= 0)
        say_place(str_make(r->file.p, (size_t)offset), place, sizeof place);
    return err_at(err, problem, offset, "%s: %.*s%s%s: %s%s", r->kind->name,
                  r->where.len > 300 ? 300 : (int)r->where.len, r->where.p ? r->where.p : "",
                  member ? "/" : "", member ? member : "", what, place);
}

static kf_rc refuse(struct memory_reader *r, const struct json_node *at, const char *member,
                    const char *what, struct kf_err *err)
{
    return memory_refuse(r, PROBLEM_SCHEMA, at, member, what, err);
}

kf_rc memory_meet(struct memory_reader *r, struct met **table, const struct hash *what,
                  uint64_t *ret_before, struct kf_err *err)
{
    struct met *m = NULL;
    HASH_FIND(hh, *table, what, sizeof *what, m);
    if (!m) {
        m = arena_alloc(&r->arena, sizeof *m);
        if (!m)
            return err_nomem(err);
        m->what = *what;
        HASH_ADD(hh, *table, what, sizeof m->what, m);
        if (m->lost)
            return err_nomem(err);
    }
    *ret_before = m->times++;
    return KF_OK;
}

static void forget_met(struct met **table)
{
    HASH_CLEAR(hh, *table); /* its elements are the arena's */
}

const struct json_node *memory_string(const struct json_node *object, const char *name)
{
    const struct json_node *m = json_member(object, name);
    return m && m->type == JSON_STRING ? m : NULL;
}

/* ------------------------------------------------------------------------------------- streams */

/* The list of a persona or dialogue; NULL when it has none. */
static kf_rc find_list(struct memory_reader *r, const struct json_node *node,
                       const struct json_node **ret, struct kf_err *err)
{
    static const char *const names[] = {MEMORY_EXCHANGES, MEMORY_MESSAGES};
    *ret = NULL;
    for (size_t i = 0; i < 2; i++) {
        const struct json_node *m = json_member(node, names[i]);
        if (!m || m->type == JSON_NULL)
            continue;
        if (m->type != JSON_ARRAY)
            return refuse(r, m, names[i], "it is no array", err);
        if (*ret)
            return refuse(r, m, names[i],
                          "it stands beside " MEMORY_EXCHANGES ", and a stream has one order", err);
        *ret = m;
    }
    return KF_OK;
}

/* The members of an object, without the `list`. */
static void put_object(struct buf *out, const struct json_node *node, const struct json_node *list)
{
    buf_byte(out, '{');
    for (const struct json_node *m = node->child; m; m = m->next) {
        buf_str(out, m->name);
        buf_byte(out, ':');
        buf_str(out, m == list ? STR("null") : m->raw);
        buf_c(out, m->next ? "," : "");
    }
    buf_byte(out, '}');
}

/* Whom the stream is about: the persona's name as people write it. */
static str persona_of(const struct json_node *node)
{
    const struct json_node *said = memory_string(node, "partner_name");
    return said && said->raw.len <= STREAM_VALUE_MAX ? said->raw : node->name;
}

/* Elements are dialogues, or personas. */
static bool is_of_dialogues(const struct memory_reader *r)
{
    return r->kind->array || r->wrapped;
}

static void put_attrs(struct memory_reader *r, const struct json_node *node,
                      const struct json_node *list, size_t place)
{
    struct buf *out = &r->body;
    buf_clear(out);
    buf_byte(out, '{');
    if (!is_of_dialogues(r)) {
        buf_c(out, "\"persona\":");
        buf_str(out, persona_of(node));
        buf_byte(out, ',');
    }
    buf_printf(out, "\"memory\":[{\"file\":\"%s\",\"place\":%zu,", r->kind->name, place);
    if (list) {
        buf_c(out, "\"list\":");
        buf_str(out, list->name);
        buf_printf(out, ",\"count\":%u,", list->count);
    }
    buf_c(out, "\"object\":");
    put_object(out, node, list);
    buf_c(out, "}]}");
}

/* The stream whose key is in r->key and whose attributes are in r->body. */
static kf_rc give_stream(struct memory_reader *r, const struct json_node *node, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = buf_ok(&r->key, err);
    if (rc == KF_OK)
        rc = buf_ok(&r->body, err);
    if (rc != KF_OK)
        return rc;
    struct memory_stream stream = {buf_view(&r->key), buf_view(&r->body)};
    r->counts.streams++;
    if (r->stage == MEMORY_GIVE)
        return r->sink->stream(r->sink->ctx, &stream, err);
    if (r->stage == MEMORY_LOOK && name_check_own(stream.key, &why) != KF_OK)
        return memory_refuse(r, PROBLEM_BAD_KEY, node, NULL, why.detail, err);
    if (r->stage == MEMORY_WEIGH && stream.attrs.len > STREAM_ATTRS_MAX)
        return memory_refuse(r, PROBLEM_TOO_LARGE, node, NULL,
                             "what stands beside its list is larger than the attributes of a "
                             "stream may be (64 KiB)",
                             err);
    return KF_OK;
}

static kf_rc read_stream(struct memory_reader *r, const struct json_node *node, str name,
                         size_t place, struct kf_err *err)
{
    const struct json_node *list;
    kf_rc rc = find_list(r, node, &list, err);
    if (rc != KF_OK)
        return rc;
    buf_clear(&r->key);
    buf_c(&r->key, r->kind->prefix);
    buf_str(&r->key, name);
    put_attrs(r, node, list, place);
    rc = give_stream(r, node, err);
    forget_met(&r->elements);
    return rc == KF_OK && list ? memory_read_list(r, list, err) : rc;
}

/* -------------------------------------------------------------------------------------- files */

/* Members of the file that are no personas. */
static kf_rc read_rest(struct memory_reader *r, const struct json_node *root, struct kf_err *err)
{
    const struct json_node *m = root->child;
    while (m && m->type == JSON_OBJECT)
        m = m->next;
    if (!m)
        return KF_OK;
    buf_clear(&r->key);
    buf_printf(&r->key, "%s" MEMORY_REST, r->kind->prefix);
    buf_clear(&r->body);
    buf_printf(&r->body, "{\"memory\":[{\"file\":\"%s\",\"object\":{", r->kind->name);
    for (bool any = false; m; m = m->next) {
        if (m->type == JSON_OBJECT)
            continue;
        buf_c(&r->body, any ? "," : "");
        buf_str(&r->body, m->name);
        buf_byte(&r->body, ':');
        buf_str(&r->body, m->raw);
        any = true;
    }
    buf_c(&r->body, "}}]}");
    return give_stream(r, root, err);
}

static kf_rc read_personas(struct memory_reader *r, const struct json_node *root,
                           struct kf_err *err)
{
    size_t place = 0;
    if (root->type != JSON_OBJECT)
        return refuse(r, root, NULL, "it is no object of personas", err);
    kf_rc rc = read_rest(r, root, err);
    for (const struct json_node *m = root->child; m && rc == KF_OK; m = m->next, place++) {
        if (m->type != JSON_OBJECT)
            continue;
        str name = json_text(m->name, &r->arena);
        if (!name.p)
            return err_nomem(err);
        buf_byte(&r->where, '/');
        json_put_pointer_token(&r->where, m->name);
        if (str_is(name, MEMORY_REST))
            return memory_refuse(r, PROBLEM_BAD_KEY, m, NULL, "this name is Keepfast's own", err);
        rc = buf_ok(&r->where, err);
        if (rc == KF_OK)
            rc = read_stream(r, m, name, place, err);
        memory_cut(&r->where, 0);
    }
    return rc;
}

/* A name for the dialogue of this id that no other one has: the id, else ID~2, ID~3 … */
static kf_rc name_dialogue(struct memory_reader *r, str id, str *ret, struct kf_err *err)
{
    struct hash of_id, hash;
    uint64_t before = 0;
    *ret = id;
    hash_of(id, &of_id);
    kf_rc rc = memory_meet(r, &r->dialogues, &of_id, &before, err);
    while (rc == KF_OK && before > 0) {
        char *other = arena_printf(&r->arena, "%.*s~%llu", STR_ARGS(id),
                                   (unsigned long long)before + 1);
        if (!other)
            return err_nomem(err);
        *ret = str_of(other);
        hash_of(*ret, &hash);
        uint64_t taken = 0;
        rc = memory_meet(r, &r->dialogues, &hash, &taken, err);
        if (rc == KF_OK && taken == 0)
            return KF_OK;
        if (rc == KF_OK)
            rc = memory_meet(r, &r->dialogues, &of_id, &before, err);
    }
    return rc;
}

static kf_rc read_dialogues(struct memory_reader *r, const struct json_node *list,
                            struct kf_err *err)
{
    size_t place = 0;
    kf_rc rc = KF_OK;
    for (const struct json_node *n = list->child; n && rc == KF_OK; n = n->next, place++) {
        str name;
        buf_printf(&r->where, "%s/%zu", r->wrapped ? "/" MEMORY_EXCHANGES : "", place);
        const struct json_node *id = memory_string(n, "id");
        if (!id)
            return refuse(r, n, NULL, "it is no object with an id that is a string", err);
        name = json_text(id->raw, &r->arena);
        if (r->wrapped && name.p && str_is(name, MEMORY_REST))
            return memory_refuse(r, PROBLEM_BAD_KEY, id, "id", "this name is Keepfast's own", err);
        rc = name.p ? name_dialogue(r, name, &name, err) : err_nomem(err);
        if (rc == KF_OK)
            rc = buf_ok(&r->where, err);
        if (rc == KF_OK)
            rc = read_stream(r, n, name, place, err);
        memory_cut(&r->where, 0);
    }
    return rc;
}

/* The list of dialogues of a file that has one as a member; NULL when it has none. */
static const struct json_node *wrapped_list(const struct memory_reader *r,
                                            const struct json_node *root)
{
    const struct json_node *m = json_member(root, MEMORY_EXCHANGES);
    return m && m->type == JSON_ARRAY && strcmp(r->kind->list, MEMORY_MESSAGES) == 0 ? m : NULL;
}

static kf_rc read_wrapped(struct memory_reader *r, const struct json_node *root,
                          const struct json_node *list, struct kf_err *err)
{
    buf_clear(&r->key);
    buf_printf(&r->key, "%s" MEMORY_REST, r->kind->prefix);
    buf_clear(&r->body);
    buf_printf(&r->body,
               "{\"memory\":[{\"file\":\"%s\",\"list\":\"" MEMORY_EXCHANGES "\",\"object\":",
               r->kind->name);
    put_object(&r->body, root, list);
    buf_c(&r->body, "}]}");
    kf_rc rc = give_stream(r, root, err);
    return rc == KF_OK ? read_dialogues(r, list, err) : rc;
}

static kf_rc read_root(struct memory_reader *r, const struct json_node *root, struct kf_err *err)
{
    const struct json_node *list = wrapped_list(r, root);
    r->wrapped = list != NULL;
    if (list)
        return read_wrapped(r, root, list, err);
    if (!r->kind->array)
        return read_personas(r, root, err);
    if (root->type != JSON_ARRAY)
        return refuse(r, root, NULL,
                      "it is no array of dialogues, nor an object that has one as its member "
                      "\"" MEMORY_EXCHANGES "\"",
                      err);
    return read_dialogues(r, root, err);
}

static kf_rc read_once(struct memory_reader *r, const struct json_node *root, struct kf_err *err)
{
    r->counts = (struct memory_counts){0};
    kf_rc rc = read_root(r, root, err);
    forget_met(&r->elements);
    forget_met(&r->dialogues);
    return rc;
}

kf_rc memory_file_read(enum memory_file file, str json, size_t body_max,
                       const struct memory_sink *sink, struct memory_counts *ret,
                       struct kf_err *err)
{
    static const struct json_limits limits = {MEMORY_DEPTH, UINT32_MAX};
    struct memory_reader r = {
        .kind = &memory_kinds[file], .file = json, .body_max = body_max, .sink = sink};
    struct buf compact = BUF_INIT;
    struct json_node *root;
    kf_rc rc = json_parse(json, &limits, &r.arena, &root, err);
    if (rc == KF_OK)
        rc = read_once(&r, root, err);
    if (rc == KF_OK)
        rc = json_compact(json, &compact, err);
    if (rc == KF_OK)
        rc = json_parse(buf_view(&compact), &limits, &r.arena, &root, err);
    for (r.stage = MEMORY_WEIGH; rc == KF_OK && r.stage <= MEMORY_GIVE; r.stage++)
        rc = read_once(&r, root, err);
    if (rc == KF_OK && ret)
        *ret = r.counts;
    buf_release(&compact);
    buf_release(&r.where);
    buf_release(&r.key);
    buf_release(&r.text);
    buf_release(&r.body);
    arena_release(&r.arena);
    return rc;
}
