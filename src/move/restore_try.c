/* A drill: the archive is read where it is (steps 2 to 4 of a restore), and the scratch store is
 * verified and removed. What a crash leaves of it, the next drill removes. And the look at an
 * archive (step 2 alone) that a backup ends with. */
#include "move/restore_internal.h"

static kf_rc check_kind(const struct restore *r, struct kf_err *err)
{
    if (r->holds == PORTABLE_BACKUP)
        return KF_OK;
    return err_set(err, PROBLEM_BAD_ARCHIVE, "the archive holds what was pending, not everything");
}

kf_rc restore_check(struct kf_store *store, struct file *f, const struct seal_source *key,
                    kf_progress *progress, void *ctx, struct kf_err *err)
{
    struct restore *r = restore_reader_new(store, key);
    if (!r)
        return err_nomem(err);
    r->trial = true;
    r->progress = progress;
    r->ctx = ctx;
    kf_rc rc = restore_spool_file(r, f, err);
    bool own = r->path != NULL;
    if (!own)
        r->spool = *f;
    if (rc == KF_OK)
        rc = restore_look(r, err);
    if (rc == KF_OK)
        rc = check_kind(r, err);
    if (!own)
        r->spool = FILE_CLOSED; /* the caller's */
    restore_free(r);
    return rc;
}

/* Versions of the same bytes are one object and as many rows, so it is the rows that count. */
static kf_rc check_room(const struct restore *r, const char *dir, struct kf_err *err)
{
    uint64_t free_bytes, needed = 2 * (r->room + r->manifest.len) + store_low_water(r->store);
    kf_rc rc = path_free_bytes(store_env(r->store), dir, &free_bytes, err);
    if (rc != KF_OK || free_bytes >= needed)
        return rc;
    return err_set(err, PROBLEM_LOW_SPACE,
                   "a drill wants %llu bytes free in %s, and %llu are; it is tried again the next "
                   "time",
                   (unsigned long long)needed, dir, (unsigned long long)free_bytes);
}

static bool is_wanted(void *ctx)
{
    struct restore *r = ctx;
    return !r->progress || r->progress(r->ctx, r->loaded, r->lines);
}

static kf_rc try_whole(struct restore *r, const char *dir, char ret_digest[HASH_HEX + 1],
                       struct kf_err *err)
{
    kf_rc rc = restore_look(r, err);
    if (rc == KF_OK)
        rc = check_kind(r, err);
    if (rc == KF_OK)
        rc = check_room(r, dir, err);
    if (rc == KF_OK)
        rc = restore_build(r, err);
    if (rc == KF_OK)
        rc = verify_db(r->db, store_env(r->store), r->progress, r->ctx, err);
    if (rc != KF_OK)
        return rc;
    db_watch(r->db, is_wanted, r);
    rc = digest_of(r->db, ret_digest, err);
    db_watch(r->db, NULL, NULL);
    return rc;
}

kf_rc restore_try(struct kf_store *store, const char *path, const struct seal_source *key,
                  kf_progress *progress, void *ctx, struct restore_tried *ret, struct kf_err *err)
{
    struct restore_tried tried = {0};
    struct file f = FILE_CLOSED;
    const char *dir;
    kf_rc rc = store_side_dir(store, &dir, err);
    if (rc != KF_OK)
        return rc;
    struct restore *r = restore_reader_new(store, key);
    if (!r)
        return err_nomem(err);
    r->trial = true;
    r->progress = progress;
    r->ctx = ctx;
    r->scratch = restore_side_path(store_env(store), dir, RESTORE_DRILL, ".db");
    rc = r->scratch ? file_open(store_env(store), path, FILE_READ, &f, err) : err_nomem(err);
    if (rc == KF_OK)
        rc = restore_spool_file(r, &f, err);
    if (rc == KF_OK && !r->path) {
        r->spool = f;
        f = FILE_CLOSED;
    }
    file_close(&f);
    if (rc == KF_OK)
        rc = try_whole(r, dir, tried.digest, err);
    tried.docs = r->docs;
    tried.versions = r->versions;
    restore_free(r);
    if (rc == KF_OK)
        *ret = tried;
    return rc;
}

void restore_try_sweep(struct kf_store *store)
{
    struct buf names = BUF_INIT, path = BUF_INIT;
    const char *dir;
    int64_t count = 0;
    if (store_side_dir(store, &dir, NULL) != KF_OK ||
        dir_list(store_env(store), dir, &names, NULL) != KF_OK)
        goto out;
    for (size_t at = 0; at < names.len; at += strlen(names.p + at) + 1) {
        if (!str_starts(str_of(names.p + at), STR(RESTORE_DRILL)))
            continue;
        buf_clear(&path);
        buf_printf(&path, "%s/%s", dir, names.p + at);
        if (buf_ok(&path, NULL) == KF_OK)
            count += file_unlink(store_env(store), path.p, NULL) == KF_OK;
    }
    if (count) {
        KF_SOMETIMES("drill-scratch-removed");
        log_event(store_log(store), LOG_INFO, "gc.temp", LOG_S("path", dir), LOG_I("n", count),
                  LOG_END);
    }
out:
    buf_release(&names);
    buf_release(&path);
}
