/* Replacing a store's file by another.
 *
 *      lead alone, no readers -> log emptied -> closed -> marker        after a crash PATH is
 *          -> PATH to PATH.before-TIME                                  old
 *          -> scratch to PATH                                           old, or absent: the marker
 *                                                                       says what belongs there
 *          -> open -> marker removed                                    new
 *
 * The marker, PATH.d/swap, holds two lines: the file that is to be PATH when there is none, and the
 * one that is to be when that is gone, too. Renames are synced one by one, so that no crash can keep
 * the second and lose the first. A log that remains after closing belongs to another program that
 * has the file open: SQLite would replay it into whatever is at PATH, so there is no swap then. */
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

static bool is_there(const struct env *env, const char *path)
{
    struct stat st;
    return path_stat(env, path, &st, NULL) == KF_OK;
}

static kf_rc marker_write(const struct env *env, const char *marker, const char *first,
                          const char *second, struct kf_err *err)
{
    struct buf text = BUF_INIT;
    buf_printf(&text, "%s\n%s\n", first, second);
    kf_rc rc = buf_ok(&text, err);
    if (rc == KF_OK)
        rc = file_store(env, marker, buf_view(&text), err);
    buf_release(&text);
    return rc;
}

static kf_rc marker_remove(const struct env *env, const char *marker, struct kf_err *err)
{
    kf_rc rc = file_unlink(env, marker, err);
    return rc == KF_ABSENT ? KF_OK : rc;
}

/* Puts at `path` what the marker's text says belongs there. */
static kf_rc put_in_place(const struct env *env, struct log *log, const char *path, char *text,
                          struct kf_err *err)
{
    for (char *name = text, *end; *name; name = end + 1) {
        end = strchr(name, '\n');
        if (!end)
            break;
        *end = '\0';
        if (!is_there(env, name))
            continue;
        KF_SOMETIMES("swap-finished-at-open");
        log_event(log, LOG_INFO, "store.swap_finished", LOG_S("path", path), LOG_S("from", name),
                  LOG_END);
        return rename_synced(env, name, path, err);
    }
    return err_set(
        err, PROBLEM_DAMAGED,
        "%s was being replaced and neither its old nor its new file is where it was: look "
        "for %s.before-* and rename it",
        path, path);
}

kf_rc swap_finish(const struct env *env, struct log *log, const char *path, struct kf_err *err)
{
    struct buf marker = BUF_INIT, text = BUF_INIT;
    kf_rc rc = marker_name(path, &marker, err);
    if (rc == KF_OK)
        rc = file_load(env, marker.p, MARKER_MAX, &text, err);
    if (rc == KF_OK && !is_there(env, path))
        rc = put_in_place(env, log, path, text.p, err);
    if (rc == KF_OK)
        rc = marker_remove(env, marker.p, err);
    buf_release(&marker);
    buf_release(&text);
    return rc == KF_ABSENT ? KF_OK : rc;
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

/* `scratch` becomes PATH; what is there now becomes `aside`. */
static kf_rc exchange(struct kf_store *s, const char *marker, const char *scratch,
                      const char *aside, struct kf_err *err)
{
    kf_rc rc = marker_write(s->env, marker, scratch, aside, err);
    if (rc == KF_OK)
        rc = rename_synced(s->env, s->path, aside, err);
    if (rc == KF_OK)
        rc = rename_synced(s->env, scratch, s->path, err);
    return rc;
}

/* The way back, from wherever the exchange got to. Should it fail, the marker says what belongs here. */
static void undo(struct kf_store *s, const char *marker, const char *scratch, const char *aside)
{
    KF_SOMETIMES("swap-undone");
    if (marker_write(s->env, marker, aside, scratch, NULL) != KF_OK || !is_there(s->env, aside))
        return;
    if (is_there(s->env, s->path) && rename_synced(s->env, s->path, scratch, NULL) != KF_OK)
        return;
    rename_synced(s->env, aside, s->path, NULL);
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

static kf_rc replace(struct kf_store *s, const char *scratch, const char *marker, const char *aside,
                     struct kf_err *err)
{
    kf_rc rc = close_content(s, err);
    if (rc == KF_OK) {
        rc = exchange(s, marker, scratch, aside, err);
        if (rc == KF_OK)
            rc = content_open(s, err);
        if (rc == KF_OK)
            rc = marker_remove(s->env, marker, err);
        if (rc != KF_OK) {
            content_close(s);
            undo(s, marker, scratch, aside);
        }
    }
    reopen(s);
    return rc;
}

static kf_rc swap(struct kf_store *s, const char *scratch, char *kept_as, size_t kept_as_size,
                  struct kf_err *err)
{
    struct buf marker = BUF_INIT, aside = BUF_INIT;
    const char *side;
    struct stat st;
    kf_rc rc = path_stat(s->env, scratch, &st, err);
    if (rc == KF_OK)
        rc = store_side_dir(s, &side, err);
    if (rc == KF_OK)
        rc = marker_name(s->path, &marker, err);
    if (rc == KF_OK)
        rc = content_aside_name(s, "before", &aside, err);
    if (rc == KF_OK)
        rc = replace(s, scratch, marker.p, aside.p, err);
    if (rc == KF_OK && kept_as)
        snprintf(kept_as, kept_as_size, "%s", aside.p);
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
        rc = swap(s, scratch, kept_as, kept_as_size, err);
        if (rc == KF_OK && publish)
            publish(ctx);
        readers_reopen(s);
    }
    lead_end(s);
    return rc;
}
