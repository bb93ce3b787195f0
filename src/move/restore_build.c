/* Step 3 of a restore: a scratch store is built from the archive, in one transaction. Numbers begin
 * anew there: one for each version, in the order of the archive. */
#include "move/restore_internal.h"

#include "db/schema.h"

#include "remote/stream_text.h"

struct loading {
    struct restore *r;
    str key;
};

static kf_rc load_entry(void *ctx, const struct entry_import *e, struct kf_err *err)
{
    struct loading *l = ctx;
    if (e->stamp > l->r->newest_stamp)
        l->r->newest_stamp = e->stamp;
    return stream_load_entry(l->r->db, l->key, e, &l->r->seq, err);
}

static kf_rc load_member(void *ctx, const struct member_row *m, struct kf_err *err)
{
    struct loading *l = ctx;
    return stream_load_member(l->r->db, l->key, m, err);
}

static kf_rc load_erasure(void *ctx, const struct erased_row *e, struct kf_err *err)
{
    struct loading *l = ctx;
    return stream_load_erasure(l->r->db, l->key, e, err);
}

static kf_rc load_trimmed(void *ctx, const struct erased_row *e, struct kf_err *err)
{
    struct loading *l = ctx;
    return stream_load_trim(l->r->db, l->key, e, &l->r->seq, err);
}

static kf_rc load_last(void *ctx, uint64_t n, struct kf_err *err)
{
    struct loading *l = ctx;
    return stream_load_last(l->r->db, l->key, n, &l->r->seq, err);
}

static kf_rc load_once(void *ctx, const struct once_row *o, struct kf_err *err)
{
    struct loading *l = ctx;
    return stream_load_id(l->r->db, l->key, o, &l->r->seq, err);
}

static kf_rc load_file(struct restore *r, str name, str text, struct kf_err *err)
{
    struct loading l = {.r = r};
    const struct text_sink sink = {.ctx = &l,
                                   .entry = load_entry,
                                   .member = load_member,
                                   .erasure = load_erasure,
                                   .trimmed = load_trimmed,
                                   .last = load_last,
                                   .once = load_once};
    uint64_t first;
    if (!stream_file_parse(name, &l.key, &first))
        return err_set(err, PROBLEM_BAD_ARCHIVE, "\"%.*s\" is no file of a stream",
                       STR_SHOWN(name));
    return text_each(name, text, &sink, err);
}

static kf_rc load_line(struct restore *r, struct line *l, str body, struct kf_err *err)
{
    struct doc_row row = l->row;
    row.body = body;
    row.size = body.len;
    kf_rc rc = KF_OK;
    r->loaded++;
    if (stream_file_is(row.name)) {
        if (body.p && l->current)
            rc = load_file(r, row.name, body, err);
    } else {
        row.seq = ++r->seq;
        rc = doc_load(r->db, &row, l->current, err);
    }
    if (rc == KF_OK && r->loaded % RESTORE_GROUP == 0)
        rc = restore_tell(r, err);
    return rc;
}

static kf_rc load_object(void *ctx, str name, str bytes, struct kf_err *err)
{
    struct restore *r = ctx;
    struct hash key;
    struct place *p;
    kf_rc rc = KF_OK;
    if (str_is(name, PORTABLE_MANIFEST))
        return KF_OK;
    hash_of(name, &key);
    HASH_FIND(hh, r->places, &key, sizeof key, p);
    for (struct line *l = p ? p->first : NULL; l && rc == KF_OK; l = l->next)
        rc = load_line(r, l, bytes, err);
    return rc;
}

static kf_rc set_state(struct restore *r, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_state SET seq = $1, stamp = $2";
    struct db_stmt *s;
    kf_rc rc = db_use(r->db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, r->seq);
    db_bind_i64(s, 2, r->newest_stamp);
    return db_run(s, err);
}

static kf_rc load_all(struct restore *r, struct kf_err *err)
{
    kf_rc rc = db_begin(r->db, DB_WRITE, err);
    if (rc != KF_OK)
        return rc;
    for (struct line *l = r->deleted; l && rc == KF_OK; l = l->next)
        rc = load_line(r, l, (str){NULL, 0}, err);
    if (rc == KF_OK)
        rc = zip_each(&r->spool, &r->limits, load_object, r, err);
    if (rc == KF_OK && r->loaded != r->lines)
        rc = err_set(err, PROBLEM_INCOMPLETE,
                     "the archive changed while it was read; nothing was changed");
    if (rc == KF_OK)
        rc = stream_load_end(r->db, store_streams(r->store), &r->seq, err);
    /* A PostgreSQL has an index of its own kind. */
    if (rc == KF_OK && !r->trial && store_level(r->store) != KF_LEVEL_SHARED)
        rc = stream_load_words(r->db, err);
    if (rc == KF_OK && !r->trial)
        rc = remotes_copy(store_remotes(r->store), r->db, err);
    if (rc == KF_OK)
        rc = set_state(r, err);
    if (rc == KF_OK)
        return db_commit(r->db, err);
    db_rollback(r->db);
    return rc;
}

kf_rc restore_build(struct restore *r, struct kf_err *err)
{
    struct db_options o = {.env = store_env(r->store),
                           .path = r->scratch,
                           .mode = DB_OWNER,
                           .create = true,
                           .throw_away = true};
    kf_rc rc = db_open(&o, &r->db, err);
    if (rc == KF_OK)
        rc = schema_apply(r->db, &schema_store, err);
    if (rc == KF_OK)
        rc = load_all(r, err);
    return rc;
}
