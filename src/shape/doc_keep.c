/* What is kept, and until when.
 *
 * By count: with each write of a document, the oldest versions beyond `versions` go in the same
 * group. By age: docs_retain goes through all documents now and then, in slices. The current
 * version never goes, nor anything while a backup has pinned the past.
 *
 * Idempotency keys stay for 30 days, and the newest million of them whatever their age. */
#include "shape/doc_internal.h"

#define ONCE_AGE_MS ((int64_t)30 * 86400000)
#define ONCE_COUNT  1000000
#define ONCE_SLICE  500
#define NAMES_SLICE 64

void docs_pin(struct docs *docs)
{
    atomic_fetch_add(&docs->pins, 1);
}

void docs_unpin(struct docs *docs)
{
    int before = atomic_fetch_sub(&docs->pins, 1);
    assert(before > 0);
    (void)before;
}

bool docs_pinned(const struct docs *docs)
{
    bool pinned = atomic_load(&docs->pins) > 0 || store_is_pinned(docs->store);
    return pinned && !KF_SABOTAGE("backup-unpinned");
}

kf_rc doc_trim(struct group *g, const struct docs *docs, str name, uint64_t version,
               struct kf_err *err)
{
    static const char sql[] = "DELETE FROM kf_doc_version WHERE name = $1 AND version <= (SELECT "
                              "version FROM kf_doc_version "
                              "WHERE name = $1 ORDER BY version DESC LIMIT 1 OFFSET $2)";
    struct config_keep keep = docs_keep(docs, name);
    struct db_stmt *s;
    if (keep.versions == 0 || version <= keep.versions || docs_pinned(docs))
        return KF_OK;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, name);
    db_bind_i64(s, 2, keep.versions);
    return db_run(s, err);
}

/* -------------------------------------------------------------------------- versions, in slices */

struct retain {
    struct docs *docs;
    struct buf after; /* the name behind which a slice begins */
    struct buf next;  /* of the slice: that of the next one */
    int64_t once_before_ms;
};

/* One name of a slice; the statement that lists them is ended before the first is worked on. */
struct name_due {
    str name;
    uint64_t version;
};

static kf_rc trim_age(struct group *g, const struct docs *docs, const struct name_due *due,
                      struct kf_err *err)
{
    static const char sql[] =
        "DELETE FROM kf_doc_version WHERE name = $1 AND version < $2 AND at < $3";
    struct config_keep keep = docs_keep(docs, due->name);
    struct db_stmt *s;
    if (keep.age_ms == 0 || due->version < 2)
        return KF_OK;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, due->name);
    db_bind_i64(s, 2, (int64_t)due->version);
    db_bind_i64(s, 3, group_now_ms(g) - (int64_t)keep.age_ms);
    return db_run(s, err);
}

static kf_rc next_names(struct group *g, str after, struct arena *arena, struct name_due *names,
                        size_t *ret_count, struct kf_err *err)
{
    static const char sql[] =
        "SELECT name, version FROM kf_doc WHERE name > $1 ORDER BY name LIMIT $2";
    struct db_stmt *s;
    size_t count = 0;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, after);
    db_bind_i64(s, 2, NAMES_SLICE);
    for (;;) {
        bool row = false;
        rc = db_step(s, &row, err);
        if (rc != KF_OK || !row)
            break;
        names[count].name = arena_str(arena, db_text(s, 0));
        names[count].version = (uint64_t)db_i64(s, 1);
        if (!names[count++].name.p) {
            rc = err_nomem(err);
            break;
        }
    }
    db_done(s);
    *ret_count = count;
    return rc;
}

static kf_rc retain_versions(struct group *g, void *ctx, bool *ret_more, struct kf_err *err)
{
    struct retain *r = ctx;
    struct arena arena = ARENA_INIT;
    bool more = true;
    buf_clear(&r->next);
    buf_str(&r->next, buf_view(&r->after));
    kf_rc rc = buf_ok(&r->next, err);
    while (rc == KF_OK && more) {
        struct name_due names[NAMES_SLICE];
        size_t count = 0;
        rc = next_names(g, buf_view(&r->next), &arena, names, &count, err);
        for (size_t i = 0; i < count && rc == KF_OK && !docs_pinned(r->docs); i++) {
            rc = trim_age(g, r->docs, &names[i], err);
            if (rc == KF_OK)
                rc = doc_trim(g, r->docs, names[i].name, names[i].version, err);
        }
        more = count == NAMES_SLICE && !docs_pinned(r->docs);
        if (rc == KF_OK && more) {
            buf_clear(&r->next);
            buf_str(&r->next, names[count - 1].name);
            rc = buf_ok(&r->next, err);
        }
        arena_clear(&arena);
        if (group_slice_over(g))
            break;
    }
    arena_release(&arena);
    if (rc == KF_OK)
        *ret_more = more;
    return rc;
}

static void versions_stand(void *ctx)
{
    struct retain *r = ctx;
    struct buf was = r->after;
    r->after = r->next;
    r->next = was;
}

/* ------------------------------------------------------------------------------ keys, in slices */

/* The time before which keys may go: 30 days ago, or when the newest million began, whichever is
 * earlier. */
static kf_rc once_boundary(struct kf_store *store, int64_t *ret_ms, struct kf_err *err)
{
    static const char sql[] = "SELECT at FROM kf_once ORDER BY at DESC LIMIT 1 OFFSET $1";
    struct db *db;
    struct db_stmt *s;
    bool row = false;
    int64_t before = env_wall_ms(store_env(store)) - ONCE_AGE_MS;
    if (KF_SABOTAGE("id-expires-at-once")) {
        *ret_ms = INT64_MAX;
        return KF_OK;
    }
    kf_rc rc = store_read_behind(store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = db_use(db, sql, &s, err);
    if (rc == KF_OK) {
        db_bind_i64(s, 1, ONCE_COUNT - 1);
        rc = db_step(s, &row, err);
        if (rc == KF_OK)
            *ret_ms = !row ? 0 : db_i64(s, 0) < before ? db_i64(s, 0) : before;
        db_done(s);
    }
    store_read_end(store, db);
    return rc;
}

static kf_rc retain_once(struct group *g, void *ctx, bool *ret_more, struct kf_err *err)
{
    static const char sql[] = "DELETE FROM kf_once WHERE key IN "
                              "(SELECT key FROM kf_once WHERE at < $1 ORDER BY at LIMIT $2)";
    const struct retain *r = ctx;
    kf_rc rc;
    bool more;
    do {
        struct db_stmt *s;
        rc = db_use(group_db(g), sql, &s, err);
        if (rc != KF_OK)
            return rc;
        db_bind_i64(s, 1, r->once_before_ms);
        db_bind_i64(s, 2, ONCE_SLICE);
        rc = db_run(s, err);
        more = rc == KF_OK && db_changed(group_db(g)) == ONCE_SLICE;
    } while (more && !group_slice_over(g));
    if (rc == KF_OK)
        *ret_more = more;
    return rc;
}

kf_rc docs_retain(struct docs *docs, struct kf_err *err)
{
    struct retain r = {.docs = docs, .after = BUF_INIT, .next = BUF_INIT};
    kf_rc rc = once_boundary(docs->store, &r.once_before_ms, err);
    if (rc == KF_OK && r.once_before_ms > 0)
        rc = store_in_slices_gently(docs->store, retain_once, NULL, &r, err);
    if (rc == KF_OK && !docs_pinned(docs))
        rc = store_in_slices_gently(docs->store, retain_versions, versions_stand, &r, err);
    buf_release(&r.after);
    buf_release(&r.next);
    return rc;
}
