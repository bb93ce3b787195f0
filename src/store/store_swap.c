/* Replacing a store's file by another.
 *
 *      lead alone, no readers -> log emptied -> closed -> marker        after a crash PATH is
 *          -> PATH to PATH.before-TIME                                  old
 *          -> scratch to PATH                                           old, or absent: the marker
 *                                                                       says what belongs there
 *          -> open -> marker removed                                    new
 *
 * The marker, PATH.d/swap, holds the name of the file that is to be PATH when there is none.
 * Renames are synced one by one, so that no crash can keep the second and lose the first. A log
 * that remains after closing belongs to another program that has the file open: SQLite would
 * replay it into whatever is at PATH, so there is no swap then. */
#include "store/store_internal.h"

#include <stdio.h>

#define MARKER_MAX 8192

static kf_rc marker_name(const char *path, struct buf *out, struct kf_err *err)
{
    buf_printf(out, "%s.d/swap", path);
    return buf_ok(out, err);
}

static kf_rc rename_synced(const struct env *env, const char *from, const char *to,
                           struct kf_err *err)
{
    struct buf dir = BUF_INIT;
    path_parent(to, &dir);
    kf_rc rc = buf_ok(&dir, err);
    if (rc == KF_OK)
        rc = file_rename(env, from, to, err);
    if (rc == KF_OK)
        rc = dir_sync(env, dir.p, err);
    buf_release(&dir);
    return rc;
}

kf_rc swap_finish(const struct env *env, struct log *log, const char *path, struct kf_err *err)
{
    struct buf marker = BUF_INIT, target = BUF_INIT;
    struct stat st;
    kf_rc rc = marker_name(path, &marker, err);
    if (rc == KF_OK) {
        rc = file_load(env, marker.p, MARKER_MAX, &target, err);
        if (rc == KF_ABSENT) {
            buf_release(&marker);
            return KF_OK;
        }
    }
    if (rc == KF_OK && path_stat(env, path, &st, NULL) == KF_ABSENT &&
        path_stat(env, target.p, &st, NULL) == KF_OK) {
        KF_SOMETIMES("swap-finished-at-open");
        log_event(log, LOG_INFO, "store.swap_finished", LOG_S("path", path),
                  LOG_S("from", target.p), LOG_END);
        rc = rename_synced(env, target.p, path, err);
    }
    if (rc == KF_OK) {
        rc = file_unlink(env, marker.p, err);
        if (rc == KF_ABSENT)
            rc = KF_OK;
    }
    buf_release(&marker);
    buf_release(&target);
    return rc;
}

/* Everything in the file and nothing beside it. */
static kf_rc close_content(struct kf_store *s, struct kf_err *err)
{
    uint32_t left;
    struct stat st;
    db_set_busy(s->db, STORE_BUSY_MS);
    kf_rc rc = db_checkpoint(s->db, true, &left, err);
    if (rc != KF_OK) {
        db_set_busy(s->db, DB_BUSY_NONE);
        return rc;
    }
    content_close(s);
    rc = path_stat(s->env, s->wal_path, &st, err);
    if (rc == KF_ABSENT)
        return KF_OK;
    if (rc == KF_OK)
        rc = err_set(err, PROBLEM_BUSY, "another program has %s open: end it and try again",
                     s->path);
    return rc;
}

/* `target` becomes PATH; what is there now becomes `aside`. */
static kf_rc exchange(struct kf_store *s, const char *marker, const char *target, const char *aside,
                      struct kf_err *err)
{
    kf_rc rc = file_store(s->env, marker, str_of(target), err);
    if (rc == KF_OK)
        rc = rename_synced(s->env, s->path, aside, err);
    if (rc == KF_OK)
        rc = rename_synced(s->env, target, s->path, err);
    return rc;
}

/* Whatever happened: the store is open on what is at its path, or says that it cannot be. */
static void reopen(struct kf_store *s)
{
    struct kf_err err = KF_ERR_INIT;
    if (s->db)
        return;
    kf_rc rc = swap_finish(s->env, s->options.log, s->path, &err);
    if (rc == KF_OK)
        rc = content_open(s, &err);
    if (rc != KF_OK)
        state_read_only(s, PROBLEM_STORE_READ_ONLY, "store.io", err.detail);
}

static kf_rc replace(struct kf_store *s, const char *scratch, char *kept_as, size_t kept_as_size,
                     struct kf_err *err)
{
    struct buf marker = BUF_INIT, aside = BUF_INIT;
    const char *side;
    kf_rc rc = store_side_dir(s, &side, err);
    if (rc == KF_OK)
        rc = marker_name(s->path, &marker, err);
    if (rc == KF_OK)
        rc = content_aside_name(s, "before", &aside, err);
    if (rc == KF_OK)
        rc = close_content(s, err);
    if (rc == KF_OK)
        rc = exchange(s, marker.p, scratch, aside.p, err);
    if (rc == KF_OK && (rc = content_open(s, err)) != KF_OK) {
        /* The new file is no good after all. Should this fail too, the marker says what belongs
         * here. */
        KF_SOMETIMES("swap-undone");
        exchange(s, marker.p, aside.p, scratch, NULL);
    }
    if (rc == KF_OK) {
        file_unlink(s->env, marker.p, NULL);
        if (kept_as)
            snprintf(kept_as, kept_as_size, "%s", aside.p);
    }
    reopen(s);
    buf_release(&marker);
    buf_release(&aside);
    return rc;
}

kf_rc store_swap(struct kf_store *s, const char *scratch, void (*publish)(void *ctx), void *ctx,
                 char *kept_as, size_t kept_as_size, struct kf_err *err)
{
    lead_alone(s);
    kf_rc rc = store_state(s) == STORE_READ_ONLY ? state_refusal(s, err) : KF_OK;
    if (rc == KF_OK && (rc = readers_shut(s, err)) == KF_OK) {
        rc = replace(s, scratch, kept_as, kept_as_size, err);
        if (rc == KF_OK && publish)
            publish(ctx);
        readers_reopen(s);
    }
    lead_end(s);
    return rc;
}
