/* Attributes: a JSON object that is patched, and the part of it that can be asked for.
 *
 *     kf_stream.attrs       the object, members in their order, with their bytes
 *     kf_stream_attr        a row for each member of the top level that is a string of at most
 *                           STREAM_VALUE_MAX bytes, a number (as it is written), true or false */
#include "shape/stream_internal.h"

#include "base/public.h"
#include "store/clock.h"

/* ---------------------------------------------------------------------------------- the values */

/* .p == NULL: not one that can be asked for, or (*ret_nomem) no memory. */
static str value_of(const struct json_node *n, struct arena *arena, bool *ret_nomem)
{
    str text = n->raw;
    if (n->type == JSON_STRING) {
        text = json_text(n->raw, arena);
        *ret_nomem = *ret_nomem || !text.p;
    }
    bool has_text = n->type == JSON_STRING || n->type == JSON_NUMBER || n->type == JSON_TRUE ||
                    n->type == JSON_FALSE;
    bool fits = has_text && text.len <= STREAM_VALUE_MAX && str_index(text, '\0') == text.len;
    return fits ? text : (str){0};
}

/* Each was within the limits when it was set; those of several stores together may be more. */
const struct json_limits attrs_limits = {.tokens_max = UINT32_MAX};

static kf_rc parse_attrs(str attrs, struct arena *arena, struct json_node **ret, struct kf_err *err)
{
    kf_rc rc = json_parse(attrs, &attrs_limits, arena, ret, err);
    if (rc == KF_OK && (*ret)->type != JSON_OBJECT)
        rc = err_set(err, PROBLEM_DAMAGED, "the attributes of a stream are damaged");
    return rc;
}

kf_rc attrs_whole(str attrs, bool *ret, struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct json_node *root;
    kf_rc rc = parse_attrs(attrs, &arena, &root, err);
    arena_release(&arena);
    *ret = rc == KF_OK;
    if (rc == KF_NOMEM)
        return rc;
    err_clear(err);
    return KF_OK;
}

kf_rc attrs_value(str attrs, str name, struct arena *arena, str *ret, struct kf_err *err)
{
    struct json_node *root = NULL;
    bool nomem = false;
    kf_rc rc = parse_attrs(attrs, arena, &root, err);
    if (rc != KF_OK)
        return rc;
    str value = {0};
    for (const struct json_node *n = root->child; n; n = n->next)
        if (json_text_is(n->name, name))
            value = value_of(n, arena, &nomem);
    if (nomem)
        return err_nomem(err);
    *ret = value;
    return KF_OK;
}

/* ------------------------------------------------------------------------------------ the index */

/* *ret_row: whether it gave one. */
static kf_rc attr_run(struct db *db, const char *sql, str name, str value, str key,
                      const int64_t *id, bool *ret_row, struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, name);
    db_bind_text(s, 2, value);
    db_bind_text(s, 3, key);
    if (id)
        db_bind_i64(s, 4, *id);
    rc = db_step(s, ret_row, err);
    db_done(s);
    return rc;
}

/* Runs a statement for each attribute that can be asked for; *ret_all (may be NULL): each gave a
 * row. */
static kf_rc index_all(struct db *db, const char *sql, str attrs, str key, const int64_t *id,
                       bool *ret_all, struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct json_node *root = NULL;
    bool nomem = false, row = false;
    kf_rc rc = parse_attrs(attrs, &arena, &root, err);
    for (const struct json_node *n = rc == KF_OK ? root->child : NULL; n && rc == KF_OK;
         n = n->next) {
        str value = value_of(n, &arena, &nomem), name = json_text(n->name, &arena);
        if (nomem || !name.p)
            rc = err_nomem(err);
        else if (value.p && name.len <= STREAM_VALUE_MAX)
            rc = attr_run(db, sql, name, value, key, id, &row, err);
        if (rc == KF_OK && ret_all && value.p && name.len <= STREAM_VALUE_MAX)
            *ret_all = *ret_all && row;
    }
    arena_release(&arena);
    return rc;
}

kf_rc attrs_index(struct db *db, str key, int64_t id, str before, str attrs, struct kf_err *err)
{
    static const char forget[] =
        "DELETE FROM kf_stream_attr WHERE name = $1 AND value = $2 AND key = $3";
    static const char add[] =
        "INSERT INTO kf_stream_attr(name, value, key, stream) VALUES($1, $2, $3, $4)";
    kf_rc rc = before.len > 2 ? index_all(db, forget, before, key, NULL, NULL, err) : KF_OK;
    return rc == KF_OK && attrs.len > 2 ? index_all(db, add, attrs, key, &id, NULL, err) : rc;
}

kf_rc attrs_forget(struct db *db, str key, struct kf_err *err)
{
    static const char sql[] = "DELETE FROM kf_stream_attr WHERE key = $1";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, key);
    return db_run(s, err);
}

kf_rc attrs_each(struct db *db, const char *sql, str attrs, str key, int64_t id, bool *ret_all,
                 struct kf_err *err)
{
    return index_all(db, sql, attrs, key, &id, ret_all, err);
}

/* ------------------------------------------------------------------------------------- a patch */

struct patch_write {
    struct write write; /* first */
    struct streams *streams;
    str key, patch;
    uint64_t hash;
    struct stream_state *after; /* what it made */
    struct buf made;
    bool tells;                 /* somebody wants to know: */
    struct kf_stream_info told; /* what there is then, also when nothing changed */
    int64_t stamp;              /* it keeps the one that it had */
    int64_t rev_before;
};

/* A clash of clocks: later than the members that it changes. */
static kf_rc stamp_for(struct group *g, struct patch_write *w, int64_t *ret, struct kf_err *err)
{
    int64_t latest = 0;
    kf_rc rc = members_stamp(group_db(g), w->key, &latest, err);
    if (w->stamp <= latest)
        w->stamp = group_stamp(g);
    if (w->stamp <= latest)
        w->stamp = latest < CLOCK_STAMP_MAX ? latest + 1 : CLOCK_STAMP_MAX;
    *ret = w->stamp;
    return rc;
}

static kf_rc make_attrs(struct patch_write *w, str attrs, bool *ret_same, struct kf_err *err)
{
    enum json_type type = JSON_OBJECT;
    buf_clear(&w->made);
    kf_rc rc = json_merge_patch(attrs, w->patch, &w->made, err);
    /* what stores have joined may be larger, and then it may become smaller */
    if (rc == KF_OK && w->made.len > STREAM_ATTRS_MAX && w->made.len >= attrs.len)
        return err_set(err, PROBLEM_TOO_LARGE,
                       "the attributes would have %zu bytes after this patch, at most %d",
                       w->made.len, STREAM_ATTRS_MAX);
    if (rc == KF_OK)
        rc = json_check(buf_view(&w->made), &attrs_limits, &type, err);
    if (rc == KF_OK)
        *ret_same = str_eq(buf_view(&w->made), attrs);
    else if (rc != KF_NOMEM) {
        err_prefix(err, "the attributes would be refused after this patch");
        if (err)
            err->offset = -1;
    }
    return rc;
}

static kf_rc change_attrs(struct group *g, struct patch_write *w, const struct stream_state *before,
                          struct stream_draft *d, struct kf_err *err)
{
    bool same = false;
    kf_rc rc = make_attrs(w, d->attrs, &same, err);
    if (rc != KF_OK || (same && before->head.there))
        return rc;
    if (!before->head.there)
        draft_be_born(d, g, w->stamp);
    else
        d->head.seq = group_seq(g);
    memcpy(d->head.site, group_site(g), sizeof d->head.site);
    rc = stamp_for(g, w, &d->head.stamp, err);
    if (rc == KF_OK)
        rc = members_patch(g, w->key, w->patch, d->attrs, buf_view(&w->made), d->head.stamp, err);
    if (rc != KF_OK)
        return rc;
    d->attrs = buf_view(&w->made);
    d->attrs_changed = true;
    rc = attrs_index(group_db(g), w->key, d->head.id,
                     before->head.there ? state_attrs(before) : STR("{}"), d->attrs, err);
    return rc == KF_OK ? stream_write_state(w->streams, g, w->hash, before, d, &w->after, err) : rc;
}

/* In the group: behind the commit lack of memory would make a failure of what stands. */
static kf_rc tell_of(struct patch_write *w, struct stream_state *state, struct kf_err *err)
{
    kf_stream_info_free(&w->told);
    return w->tells ? info_of_state(state, &w->told, err) : KF_OK;
}

static kf_rc apply_patch(struct group *g, struct write *write, struct kf_err *err)
{
    struct patch_write *w = (struct patch_write *)write;
    struct stream_state *before = NULL;
    struct stream_draft d;
    state_drop(w->after);
    w->after = NULL;
    kf_rc rc = stage_get(w->streams, g, w->key, w->hash, &before, err);
    if (rc != KF_OK)
        return rc;
    state_keep(before);
    rc = draft_begin(&d, before, err);
    w->rev_before = d.head.rev;
    if (rc == KF_OK)
        rc = change_attrs(g, w, before, &d, err);
    if (rc == KF_OK)
        rc = tell_of(w, w->after ? w->after : before, err);
    draft_release(&d);
    state_drop(before);
    return rc;
}

static void publish_patch(struct write *write)
{
    struct patch_write *w = (struct patch_write *)write;
    if (w->after)
        memory_publish(&w->streams->memory, w->hash, w->after, w->rev_before, NULL, 0, 0);
}

/* A database of PostgreSQL takes no NUL in a name. */
static kf_rc check_names(str patch, struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct json_node *root = NULL;
    kf_rc rc = json_parse(patch, NULL, &arena, &root, err);
    for (const struct json_node *n = rc == KF_OK ? root->child : NULL; n && rc == KF_OK;
         n = n->next) {
        str name = json_text(n->name, &arena);
        if (!name.p)
            rc = err_nomem(err);
        else if (str_index(name, '\0') < name.len)
            rc = err_at(err, PROBLEM_BAD_REQUEST, n->name.p - patch.p,
                        "the name of an attribute has a NUL byte: take it out");
    }
    arena_release(&arena);
    return rc;
}

static kf_rc check_patch(const struct streams *streams, str key, str patch, struct kf_err *err)
{
    enum json_type type = JSON_NULL;
    if (atomic_load(&streams->hydrating))
        return streams_not_hydrated(key, err);
    if (patch.len > STREAM_ATTRS_MAX)
        return err_set(err, PROBLEM_TOO_LARGE, "the patch has %zu bytes, attributes at most %d",
                       patch.len, STREAM_ATTRS_MAX);
    kf_rc rc = json_check(patch, NULL, &type, err);
    if (rc == KF_OK && type != JSON_OBJECT)
        rc = err_at(err, PROBLEM_BAD_JSON, 0, "attributes are patched with a JSON object");
    return rc == KF_OK ? check_names(patch, err) : rc;
}

kf_rc streams_patch(struct streams *streams, const char *key, const void *patch, size_t len,
                    struct kf_stream_info *ret, struct kf_err *err)
{
    struct patch_write w = {
        .streams = streams,
        .patch = str_make(patch, len),
        .tells = ret != NULL,
        .write = {.apply = apply_patch, .publish = publish_patch, .metered = true}};
    if (!patch)
        return err_set(err, PROBLEM_MISUSE, "the patch is NULL");
    kf_rc rc = streams_key_own(key, &w.key, err);
    if (rc == KF_OK)
        rc = check_patch(streams, w.key, w.patch, err);
    if (rc != KF_OK)
        return rc;
    w.hash = memory_hash(&streams->memory, w.key);
    rc = store_write(streams->store, &w.write, err);
    if (rc == KF_OK && ret)
        *ret = w.told;
    else
        kf_stream_info_free(&w.told);
    state_drop(w.after);
    buf_release(&w.made);
    return rc;
}
