/* The body of an append, taken apart. The contract is entries.h. */
#include "api/entries.h"

#include "base/err.h"
#include "base/json.h"
#include "base/when.h"
#include "shape/stream.h"

/* A request that is being read; `text` is where offsets count from. */
struct reading {
    str text;
    struct arena *arena;
    struct kf_err *err;
};

static kf_rc refuse(const struct reading *r, str at, const char *what)
{
    return err_at(r->err, PROBLEM_BAD_REQUEST, at.p - r->text.p, "%s", what);
}

/* A NUL-terminated copy of a string; one that holds a NUL would be cut short. */
static kf_rc take_text(const struct reading *r, const struct json_node *n, const char *what,
                       const char **ret)
{
    if (n->type != JSON_STRING)
        return refuse(r, n->raw, what);
    str text = json_text(n->raw, r->arena);
    if (!text.p)
        return err_nomem(r->err);
    if (str_index(text, '\0') < text.len)
        return refuse(r, n->raw, what);
    *ret = arena_dup(r->arena, text);
    return *ret ? KF_OK : err_nomem(r->err);
}

/* The first millisecond of 1970 would mean "now" further down. */
static kf_rc take_time(const struct reading *r, const struct json_node *n, int64_t *ret)
{
    static const char what[] =
        "the member at of an entry is a time such as \"2026-11-09T14:23:45.123Z\", after 1970";
    const char *text = "";
    int64_t at_ms = 0;
    kf_rc rc = take_text(r, n, what, &text);
    if (rc != KF_OK)
        return rc;
    if (!when_parse(str_of(text), &at_ms) || at_ms <= 0)
        return refuse(r, n->raw, what);
    *ret = at_ms;
    return KF_OK;
}

static kf_rc take_member(const struct reading *r, const struct json_node *n, struct kf_entry_new *e)
{
    bool null = n->type == JSON_NULL;
    if (json_text_is(n->name, STR("body"))) {
        e->body = n->raw.p;
        e->len = n->raw.len;
    } else if (json_text_is(n->name, STR("id"))) {
        return null ? KF_OK
                    : take_text(r, n, "the member id of an entry is a string without NUL", &e->id);
    } else if (json_text_is(n->name, STR("kind"))) {
        return null ? KF_OK
                    : take_text(r, n, "the member kind of an entry is a string such as \"user\"",
                                &e->kind);
    } else if (json_text_is(n->name, STR("at"))) {
        return null ? KF_OK : take_time(r, n, &e->at_ms);
    } else if (json_text_is(n->name, STR("attach"))) {
        e->attach = null ? NULL : n->raw.p;
        e->attach_len = null ? 0 : n->raw.len;
    } else {
        return refuse(r, n->name,
                      "an entry has the members id, kind, at, body and attach: put what is yours "
                      "into body");
    }
    return KF_OK;
}

static kf_rc take_entry(const struct reading *r, const struct json_node *n, struct kf_entry_new *e)
{
    kf_rc rc = KF_OK;
    *e = (struct kf_entry_new)KF_ENTRY_NEW_INIT;
    if (n->type != JSON_OBJECT)
        return refuse(r, n->raw,
                      "an entry is an object such as {\"kind\": \"user\", \"body\": {\"text\": "
                      "\"hello\"}}");
    for (const struct json_node *m = n->child; rc == KF_OK && m; m = m->next)
        rc = take_member(r, m, e);
    if (rc == KF_OK && !e->body)
        rc = refuse(r, n->raw, "the entry has no body: it may be any JSON value, null, too");
    return rc;
}

static kf_rc take_list(const struct reading *r, const struct json_node *root,
                       struct entries_asked *ret, size_t *ret_index)
{
    size_t i = 0;
    kf_rc rc = KF_OK;
    if (root->count == 0 || root->count > STREAM_ENTRIES_MAX)
        return err_at(r->err, PROBLEM_BAD_REQUEST, root->raw.p - r->text.p,
                      "a list of entries has 1 to %d, not %u", STREAM_ENTRIES_MAX, root->count);
    for (const struct json_node *n = root->child; n; n = n->next, i++) {
        rc = take_entry(r, n, &ret->items[i]);
        if (rc != KF_OK)
            break;
    }
    if (rc != KF_OK)
        *ret_index = i;
    return rc;
}

kf_rc entries_parse(str request, struct arena *arena, struct entries_asked *ret, size_t *ret_index,
                    size_t *ret_count, struct kf_err *err)
{
    struct reading r = {request, arena, err};
    struct entries_asked asked = {0};
    struct json_node *root;
    *ret_index = SIZE_MAX;
    kf_rc rc = json_parse(request, NULL, arena, &root, err);
    if (rc != KF_OK)
        return rc;
    asked.list = root->type == JSON_ARRAY;
    asked.count = asked.list ? root->count : 1;
    *ret_count = asked.count;
    asked.items = arena_alloc(arena, (asked.count + 1) * sizeof *asked.items);
    if (!asked.items)
        return err_nomem(err);
    rc = asked.list ? take_list(&r, root, &asked, ret_index) : take_entry(&r, root, asked.items);
    if (rc == KF_OK)
        *ret = asked;
    return rc;
}
