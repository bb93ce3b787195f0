/* Replacing a store's file by another.
 *
 *      lead alone, no readers -> log emptied -> closed -> marker        after a crash PATH is
 *          -> PATH to PATH.before-TIME                                  old
 *          -> scratch to PATH                                           old, or absent: the marker
 *                                                                       says what belongs there
 *          -> open -> marker removed                                    new
 *          -> PATH.before-TIME removed, when it was never written to    new
 *
 * The marker, PATH.d/swap, holds two lines: the file that is to be PATH when there is none, and the
 * one that is to be when that is gone, too; relative to PATH's folder where they are in it, so that
 * a folder that is found at another place after the crash works as well. Renames are synced one by
 * one, so that no crash can keep the second and lose the first. A log that remains after closing
 * belongs to another program that has the file open: SQLite would replay it into whatever is at
 * PATH, so there is no swap then. */
#include "store/store_internal.h"

#include <stdio.h>

#define MARKER_MAX 8192

static kf_rc marker_name(const char *path, struct buf *out, struct kf_err *err)
{
    buf_printf(out, "%s.d/swap", path);
    return buf_ok(out, err);
}

static kf_rc rename_synced(const struct env *env, const char *from, const char *to,
                           const char *to_dir, struct kf_err *err)
{
    kf_rc rc = file_rename(env, from, to, err);
    return rc == KF_OK ? dir_sync(env, to_dir, err) : rc;
}

static bool is_there(const struct env *env, const char *path)
{
    struct stat st;
    return path_stat(env, path, &st, NULL) == KF_OK;
}

static const char *relative(const struct kf_store *s, const char *path)
{
    size_t n = strlen(s->dir);
    return strncmp(path, s->dir, n) == 0 && path[n] == '/' ? path + n + 1 : path;
}

static kf_rc marker_write(struct kf_store *s, const char *marker, const char *first,
                          const char *second, struct kf_err *err)
{
    struct buf text = BUF_INIT;
    buf_printf(&text, "%s\n%s\n", relative(s, first), relative(s, second));
    kf_rc rc = buf_ok(&text, err);
    if (rc == KF_OK)
        rc = file_store(s->env, marker, buf_view(&text), err);
    buf_release(&text);
    return rc;
}

static kf_rc marker_remove(const struct env *env, const char *marker, const char *dir,
                           struct kf_err *err)
{
    kf_rc rc = file_unlink(env, marker, err);
    if (rc == KF_OK)
        rc = dir_sync(env, dir, err);
    return rc == KF_ABSENT ? KF_OK : rc;
}

/* One line of the marker as a path. */
static kf_rc named_file(const char *path, str line, struct buf *out, struct kf_err *err)
{
    buf_clear(out);
    if (!str_starts(line, STR("/"))) {
        path_parent(path, out);
        buf_byte(out, '/');
    }
    buf_str(out, line);
    return buf_ok(out, err);
}

/* Puts at `path` what the marker's text says belongs there. */
static kf_rc put_in_place(const struct env *env, struct log *log, const char *path, str text,
                          struct kf_err *err)
{
    struct buf from = BUF_INIT, dir = BUF_INIT;
    bool found = false;
    path_parent(path, &dir);
    kf_rc rc = buf_ok(&dir, err);
    while (rc == KF_OK && text.len && !found) {
        size_t end = str_index(text, '\n');
        rc = named_file(path, str_make(text.p, end), &from, err);
        text = str_from(text, end < text.len ? end + 1 : end);
        found = rc == KF_OK && is_there(env, from.p);
    }
    if (found) {
        KF_SOMETIMES("swap-finished-at-open");
        log_event(log, LOG_INFO, "store.swap_finished", LOG_S("path", path), LOG_S("from", from.p),
                  LOG_END);
        rc = rename_synced(env, from.p, path, dir.p, err);
    }
    buf_release(&from);
    buf_release(&dir);
    if (rc != KF_OK || found)
        return rc;
    return err_set(
        err, PROBLEM_DAMAGED,
        "%s was being replaced and neither its old nor its new file is where it was: look "
        "for %s.before-* and rename it",
        path, path);
}

bool swap_is_there(const struct env *env, const char *path)
{
    struct buf marker = BUF_INIT;
    bool there = is_there(env, path) ||
                 (marker_name(path, &marker, NULL) == KF_OK && is_there(env, marker.p));
    buf_release(&marker);
    return there;
}

kf_rc swap_finish(const struct env *env, struct log *log, const char *path, struct kf_err *err)
{
    struct buf marker = BUF_INIT, dir = BUF_INIT, text = BUF_INIT;
    kf_rc rc = marker_name(path, &marker, err);
    if (rc == KF_OK) {
        path_parent(marker.p, &dir);
        rc = buf_ok(&dir, err);
    }
    if (rc == KF_OK)
        rc = file_load(env, marker.p, MARKER_MAX, &text, err);
    if (rc == KF_OK && !is_there(env, path))
        rc = put_in_place(env, log, path, buf_view(&text), err);
    if (rc == KF_OK)
        rc = marker_remove(env, marker.p, dir.p, err);
    buf_release(&marker);
    buf_release(&dir);
    buf_release(&text);
    return rc == KF_ABSENT ? KF_OK : rc;
}

/* Everything in the file and nothing beside it. */
static kf_rc close_content(struct kf_store *s, struct kf_err *err)
{
    uint32_t left;
    struct stat st;
    kf_rc rc = redo_leave(s, false, err);
    if (rc == KF_OK && s->redo)
        rc = err_set(err, PROBLEM_BUSY, "what %s holds is not in the database yet; try again",
                     s->redo_path);
    if (rc != KF_OK)
        return rc;
    db_set_busy(s->db, STORE_BUSY_MS);
    rc = db_checkpoint(s->db, true, &left, err);
    if (rc != KF_OK) {
        db_set_busy(s->db, DB_BUSY_NONE);
        return rc;
    }
    content_close(s);
    rc = path_stat(s->env, s->wal_path, &st, err);
    /* Its removal must last before anything is renamed: a crash that brought it back would put it
     * beside the new file. */
    if (rc == KF_ABSENT)
        return dir_sync(s->env, s->dir, err);
    if (rc == KF_OK)
        rc = err_set(err, PROBLEM_BUSY, "another program has %s open: end it and try again",
                     s->path);
    return rc;
}

/* The names of one swap. Made before anything is moved, so that what follows needs no memory. */
struct names {
    const char *scratch;
    const char *side;
    struct buf scratch_dir, marker, aside;
};

static kf_rc names_make(struct kf_store *s, const char *scratch, struct names *n,
                        struct kf_err *err)
{
    n->scratch = scratch;
    kf_rc rc = store_side_dir(s, &n->side, err);
    if (rc == KF_OK)
        rc = marker_name(s->path, &n->marker, err);
    if (rc == KF_OK)
        rc = content_aside_name(s, "before", &n->aside, err);
    path_parent(scratch, &n->scratch_dir);
    return rc == KF_OK ? buf_ok(&n->scratch_dir, err) : rc;
}

static void names_release(struct names *n)
{
    buf_release(&n->scratch_dir);
    buf_release(&n->marker);
    buf_release(&n->aside);
}

static kf_rc exchange(struct kf_store *s, const struct names *n, struct kf_err *err)
{
    kf_rc rc = marker_write(s, n->marker.p, n->scratch, n->aside.p, err);
    if (rc == KF_OK)
        rc = rename_synced(s->env, s->path, n->aside.p, s->dir, err);
    if (rc == KF_OK)
        rc = rename_synced(s->env, n->scratch, s->path, s->dir, err);
    if (rc == KF_OK)
        rc = content_open(s, false, err);
    if (rc == KF_OK && s->unsettled)
        rc = state_refusal(s, err);
    return rc == KF_OK ? marker_remove(s->env, n->marker.p, n->side, err) : rc;
}

/* The new file has been open: its log must not meet the old one. */
static kf_rc remove_log(struct kf_store *s)
{
    kf_rc rc = file_unlink(s->env, s->wal_path, NULL);
    if (rc == KF_OK)
        rc = dir_sync(s->env, s->dir, NULL);
    return rc == KF_ABSENT ? KF_OK : rc;
}

/* The way back, from wherever the exchange got to. Should it fail too, the marker stays: it brings
 * the new file back to its log. */
static kf_rc undo(struct kf_store *s, const struct names *n)
{
    KF_SOMETIMES("swap-undone");
    kf_rc rc = KF_OK;
    content_close(s);
    if (is_there(s->env, n->aside.p)) {
        if (is_there(s->env, s->path))
            rc = rename_synced(s->env, s->path, n->scratch, n->scratch_dir.p, NULL);
        if (rc == KF_OK)
            rc = remove_log(s);
        if (rc == KF_OK)
            rc = rename_synced(s->env, n->aside.p, s->path, s->dir, NULL);
    }
    return rc == KF_OK ? marker_remove(s->env, n->marker.p, n->side, NULL) : rc;
}

static void cannot_reopen(struct kf_store *s)
{
    state_read_only(s, PROBLEM_STORE_READ_ONLY, "store.io",
                    "its file could not be opened again after a replacement failed");
}

kf_rc swap_reopen(struct kf_store *s, struct kf_err *err)
{
    kf_rc rc = s->db ? KF_OK : content_open(s, false, err);
    if (rc != KF_OK && rc != KF_NOMEM)
        cannot_reopen(s);
    return rc;
}

static kf_rc replace(struct kf_store *s, const struct names *n, struct kf_err *err)
{
    kf_rc rc = close_content(s, err), back = KF_OK;
    if (rc == KF_OK && (rc = exchange(s, n, err)) != KF_OK)
        back = undo(s, n);
    /* Whatever happened: open on what is at the path, or read-only without a file. */
    if (back == KF_OK)
        swap_reopen(s, NULL);
    else
        cannot_reopen(s);
    return rc;
}

static kf_rc swap_files(struct kf_store *s, const struct store_swap *swap, struct kf_err *err)
{
    struct names n = {0};
    bool keep = s->seq != 0;
    kf_rc rc = content_look(s, swap->scratch, err);
    if (rc == KF_OK)
        rc = names_make(s, swap->scratch, &n, err);
    if (rc == KF_OK)
        rc = replace(s, &n, err);
    if (rc == KF_OK && !keep)
        file_unlink(s->env, n.aside.p, NULL);
    if (rc == KF_OK && swap->kept_as)
        snprintf(swap->kept_as, swap->kept_as_size, "%s", keep ? n.aside.p : "");
    names_release(&n);
    return rc;
}

kf_rc swap_store(struct kf_store *s, const struct store_swap *swap, struct kf_err *err)
{
    lead_alone(s);
    own_begin(s);
    kf_rc rc = store_state(s) == STORE_READ_ONLY ? state_refusal(s, err) : swap_reopen(s, err);
    if (rc == KF_OK && swap->may)
        rc = swap->may(swap->ctx, err);
    if (rc == KF_OK && s->redo) /* its records are this content's */
        rc = content_settle(s, err);
    if (rc == KF_OK && (rc = readers_shut(s, err)) == KF_OK) {
        rc = swap_files(s, swap, err);
        if (rc == KF_OK && swap->publish)
            swap->publish(swap->ctx);
        readers_reopen(s);
    }
    own_end(s);
    lead_end(s);
    return rc;
}
