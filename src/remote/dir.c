/* dir: a folder, "dir:PATH".
 *
 *     PATH/manifest.ndjson, PATH/docs/…      the portable form
 *     PATH/lock                              an OFD lock on it is what hold() holds; its owner's
 *                                            end ends it
 *     PATH/.tmp-16HEX                        an object or manifest being written
 *
 * An object is written to a temporary file; settle() syncs what was written, then renames it, then
 * syncs the folders: an object that has its name is whole, and when settle has ended it keeps its
 * name. Many at once are synced by one flush of the file system instead of one for each, which is
 * what makes a first push of thousands of documents take seconds.
 *
 * PATH itself is made by a push when only it is missing: a path with two missing parts looks like a
 * disk that is not mounted, and is a failure, never an empty place. So is a missing PATH to a new
 * store that asks whether there is anything to begin from. Below it no link is followed
 * (base/folder.h): whoever can write there can spoil what is there, which its hash shows, and
 * nothing elsewhere. */
#include "remote/objects.h"

#include "base/err.h"
#include "base/folder.h"
#include "base/hooks.h"
#include "base/mem.h"

#include <stdlib.h>

#define PREFIX "dir:"
#define LOCK   "lock"
/* Written but not yet settled: more than this many objects or bytes are settled on the way. */
#define PENDING_MAX       1024
#define PENDING_BYTES_MAX ((uint64_t)64 * 1024 * 1024)
/* From so many on, one flush of the file system is cheaper than a sync of each. */
#define FLUSH_FROM 32
/* How often and how long in between a lock that somebody has is tried. They keep it for
 * milliseconds. */
#define LOCK_TRIES    100
#define LOCK_PAUSE_MS 20
#define STALE_MS      (24 * 60 * 60 * 1000)

/* Paths in order of adding. */
struct paths {
    char **p;
    size_t count, cap;
};

struct dir {
    struct object_store store; /* first */
    char *path;
    struct folder folder;
    struct file lock;
    struct paths temporary, final; /* written, not yet renamed: pairs */
    struct paths touched;          /* folders in which names were made or found */
    uint64_t pending_bytes;
};

static struct dir *dir_of(struct object_store *o)
{
    return (struct dir *)o;
}

static kf_rc paths_add(struct paths *l, str path, struct kf_err *err)
{
    if (l->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        char **p = mem_realloc(l->p, cap * sizeof(*p));
        if (!p)
            return err_nomem(err);
        l->p = p;
        l->cap = cap;
    }
    if (!(l->p[l->count] = mem_dup(path.p, path.len)))
        return err_nomem(err);
    l->count++;
    return KF_OK;
}

static void paths_clear(struct paths *l)
{
    for (size_t i = 0; i < l->count; i++)
        mem_free(l->p[i]);
    l->count = 0;
}

static void paths_release(struct paths *l)
{
    paths_clear(l);
    mem_free(l->p);
    *l = (struct paths){0};
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void paths_unique(struct paths *l)
{
    if (l->count < 2)
        return;
    qsort(l->p, l->count, sizeof(*l->p), compare_paths);
    size_t kept = 1;
    for (size_t i = 1; i < l->count; i++) {
        if (strcmp(l->p[i], l->p[kept - 1]) == 0)
            mem_free(l->p[i]);
        else
            l->p[kept++] = l->p[i];
    }
    l->count = kept;
}

/* ------------------------------------------------------------------------------ open and close */

static const struct object_ops ops;

static kf_rc dir_open(const struct env *env, const struct remote_place *place, struct remote **ret,
                      struct kf_err *err)
{
    str path = str_from(place->url, sizeof(PREFIX) - 1);
    if (path.len == 0 || str_index(path, '\0') < path.len)
        return err_set(err, PROBLEM_CONFIG,
                       "the address \"" PREFIX "\" needs the path of a folder behind it");
    struct dir *d = mem_calloc(1, sizeof(*d));
    if (!d || !(d->path = mem_dup(path.p, path.len))) {
        mem_free(d);
        return err_nomem(err);
    }
    d->folder = FOLDER_CLOSED;
    d->lock = FILE_CLOSED;
    d->store = (struct object_store){{.driver = &remote_dir, .env = env}, &ops};
    *ret = &d->store.remote;
    return KF_OK;
}

/* What was written and never settled has no name yet: it goes. */
static void drop_pending(struct dir *d)
{
    for (size_t i = 0; i < d->temporary.count; i++)
        folder_unlink(&d->folder, d->temporary.p[i], NULL);
    paths_clear(&d->temporary);
    paths_clear(&d->final);
    d->pending_bytes = 0;
}

static void dir_close(struct remote *r)
{
    struct dir *d = (struct dir *)r;
    if (!d)
        return;
    drop_pending(d);
    paths_release(&d->temporary);
    paths_release(&d->final);
    paths_release(&d->touched);
    file_close(&d->lock);
    folder_close(&d->folder);
    mem_free(d->path);
    mem_free(d);
}

/* KF_OK when the folder above ours is there: then ours is only not made yet. */
static kf_rc check_parent(const struct dir *d, struct kf_err *err)
{
    struct stat st;
    struct buf parent = BUF_INIT;
    path_parent(d->path, &parent);
    kf_rc rc = buf_ok(&parent, err);
    if (rc == KF_OK && (rc = path_stat(d->store.remote.env, parent.p, &st, err)) == KF_ABSENT)
        rc = err_set(err, PROBLEM_REMOTE_FAILED,
                     "neither the folder %s nor the one above it is there: is its disk mounted?",
                     d->path);
    buf_release(&parent);
    return rc;
}

/* KF_ABSENT when the folder is not there, though the one above it is: nothing was ever pushed. */
static kf_rc enter(struct dir *d, struct kf_err *err)
{
    if (d->folder.fd >= 0)
        return KF_OK;
    struct kf_err why = KF_ERR_INIT, mount = KF_ERR_INIT;
    kf_rc rc = folder_open(d->store.remote.env, d->path, &d->folder, &why);
    if (rc == KF_ABSENT && (rc = check_parent(d, &mount)) == KF_OK)
        rc = KF_ABSENT;
    else if (rc != KF_OK && mount.rc != KF_OK)
        why = mount;
    if (rc != KF_OK && err)
        *err = why;
    return rc;
}

/* A new store asks so: would it be empty here? Without the folder nobody knows. A disk that is not
 * mounted looks the same, and an app that is told "absent" writes its defaults over what is on
 * it. */
static kf_rc dir_look(struct remote *r, int64_t *ret_stamp, struct kf_err *err)
{
    struct dir *d = (struct dir *)r;
    kf_rc rc = enter(d, err);
    if (rc == KF_ABSENT)
        return err_set(err, PROBLEM_REMOTE_FAILED,
                       "there is no folder %s: is its disk mounted? For a place that is to be new, "
                       "make it: mkdir -m 700 %s",
                       d->path, d->path);
    return rc == KF_OK ? objects_look(r, ret_stamp, err) : rc;
}

/* As enter, and makes the folder. */
static kf_rc enter_for_writing(struct dir *d, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = enter(d, &why);
    if (rc == KF_ABSENT) {
        rc = dir_make(d->store.remote.env, d->path, err);
        return rc == KF_OK ? enter(d, err) : rc;
    }
    if (rc != KF_OK && err)
        *err = why;
    return rc;
}

/* -------------------------------------------------------------------------------------- reading */

static kf_rc dir_get(struct object_store *o, str path, size_t max, struct buf *out, struct buf *tag,
                     struct kf_err *err)
{
    struct dir *d = dir_of(o);
    size_t before = out->len;
    char *name = NULL;
    kf_rc rc = enter(d, err);
    if (rc == KF_OK && !(name = mem_dup(path.p, path.len)))
        rc = err_nomem(err);
    if (rc == KF_OK)
        rc = folder_load(&d->folder, name, max, out, err);
    if (rc == KF_OK && tag)
        objects_tag(str_from(buf_view(out), before), tag);
    mem_free(name);
    return rc;
}

/* -------------------------------------------------------------------------------------- writing */

/* Each folder from the one that holds `path` up to our own: a name lasts only when all of them are
 * synced, and one that was found there may be as young as one that we made. */
static kf_rc touch(struct dir *d, str path, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    while (rc == KF_OK && path.len) {
        size_t slash = path.len;
        while (slash > 0 && path.p[slash - 1] != '/')
            slash--;
        path.len = slash ? slash - 1 : 0;
        rc = paths_add(&d->touched, path, err);
    }
    return rc;
}

/* Makes a new file for `bytes`; its name is appended to *name. */
static kf_rc write_temporary(struct dir *d, str bytes, struct buf *name, struct kf_err *err)
{
    const struct env *env = d->store.remote.env;
    unsigned char random[8];
    struct file file = FILE_CLOSED;
    env->random(env->ctx, random, sizeof(random));
    buf_c(name, ".tmp-");
    buf_hex(name, random, sizeof(random));
    kf_rc rc = buf_ok(name, err);
    if (rc == KF_OK)
        rc = folder_file(&d->folder, name->p, FILE_CREATE, &file, err);
    if (rc != KF_OK)
        return rc;
    rc = file_write(&file, 0, bytes.p, bytes.len, err);
    file_close(&file);
    if (rc != KF_OK)
        folder_unlink(&d->folder, name->p, NULL);
    return rc;
}

/* Whether `path` holds exactly these bytes. What cannot be read is written anew. */
static kf_rc is_there(struct dir *d, const char *path, str bytes, bool *ret, struct kf_err *err)
{
    struct buf found = BUF_INIT;
    kf_rc rc = folder_load(&d->folder, path, bytes.len, &found, NULL);
    *ret = rc == KF_OK && str_eq(buf_view(&found), bytes);
    buf_release(&found);
    return rc == KF_NOMEM ? err_nomem(err) : KF_OK;
}

static kf_rc dir_settle(struct object_store *o, struct kf_err *err);

static kf_rc add_pending(struct dir *d, str path, str bytes, struct kf_err *err)
{
    struct buf name = BUF_INIT;
    kf_rc rc = write_temporary(d, bytes, &name, err);
    if (rc == KF_OK && (rc = paths_add(&d->temporary, buf_view(&name), err)) != KF_OK)
        folder_unlink(&d->folder, name.p, NULL);
    else if (rc == KF_OK && (rc = paths_add(&d->final, path, err)) != KF_OK)
        drop_pending(d);
    buf_release(&name);
    d->pending_bytes += bytes.len;
    if (rc == KF_OK && (d->final.count >= PENDING_MAX || d->pending_bytes >= PENDING_BYTES_MAX))
        rc = dir_settle(&d->store, err);
    return rc;
}

static kf_rc dir_put(struct object_store *o, str path, str bytes, struct kf_err *err)
{
    struct dir *d = dir_of(o);
    bool there = false;
    char *name = NULL;
    kf_rc rc = enter_for_writing(d, err);
    if (rc == KF_OK && !(name = mem_dup(path.p, path.len)))
        rc = err_nomem(err);
    if (rc == KF_OK)
        rc = is_there(d, name, bytes, &there, err);
    if (rc == KF_OK)
        rc = touch(d, path, err);
    if (rc == KF_OK && !there)
        rc = add_pending(d, path, bytes, err);
    mem_free(name);
    return rc;
}

static kf_rc sync_file(struct dir *d, const char *path, struct kf_err *err)
{
    struct file file = FILE_CLOSED;
    kf_rc rc = folder_file(&d->folder, path, FILE_READWRITE, &file, err);
    if (rc == KF_OK)
        rc = file_sync(&file, err);
    file_close(&file);
    return rc;
}

/* Syncs each of the files or folders by itself, or all of them by one flush. */
static kf_rc sync_each(struct dir *d, const struct paths *l, enum io_op op, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    bool flush = l->count >= FLUSH_FROM;
    for (size_t i = 0; rc == KF_OK && i < l->count; i++) {
        if (flush)
            rc = folder_announce(&d->folder, op, l->p[i], err);
        else if (op == IO_SYNC)
            rc = sync_file(d, l->p[i], err);
        else
            rc = folder_sync(&d->folder, l->p[i], err);
    }
    if (rc == KF_OK && flush)
        rc = folder_sync_all(&d->folder, err);
    return rc;
}

static kf_rc make_parent(struct dir *d, const char *path, struct kf_err *err)
{
    struct buf parent = BUF_INIT;
    path_parent(path, &parent);
    kf_rc rc = buf_ok(&parent, err);
    if (rc == KF_OK && strcmp(parent.p, ".") != 0)
        rc = folder_make(&d->folder, parent.p, err);
    buf_release(&parent);
    return rc;
}

static kf_rc rename_pending(struct dir *d, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < d->final.count; i++) {
        rc = make_parent(d, d->final.p[i], err);
        if (rc == KF_OK)
            rc = folder_rename(&d->folder, d->temporary.p[i], d->final.p[i], err);
    }
    return rc;
}

static kf_rc dir_settle(struct object_store *o, struct kf_err *err)
{
    struct dir *d = dir_of(o);
    kf_rc rc = KF_OK;
    bool too_early = KF_SABOTAGE("rename-before-sync");
    if (!too_early)
        rc = sync_each(d, &d->temporary, IO_SYNC, err);
    if (rc == KF_OK)
        rc = rename_pending(d, err);
    if (rc != KF_OK)
        return rc;
    paths_clear(&d->temporary);
    paths_clear(&d->final);
    d->pending_bytes = 0;
    paths_unique(&d->touched);
    if (!KF_SABOTAGE("no-dirsync"))
        rc = sync_each(d, &d->touched, IO_DIRSYNC, err);
    if (rc == KF_OK)
        paths_clear(&d->touched);
    return rc;
}

/* ---------------------------------------------------------------------------- the one at a time */

static kf_rc lock(struct dir *d, struct kf_err *err)
{
    struct remote *r = &d->store.remote;
    kf_rc rc = folder_file(&d->folder, LOCK, FILE_READWRITE, &d->lock, err);
    if (rc != KF_OK)
        return rc;
    for (int i = 0; (rc = file_lock(&d->lock, err)) == KF_BUSY && i < LOCK_TRIES; i++) {
        KF_SOMETIMES("dir-lock-waited-for");
        if ((rc = remote_go_on(r, err)) != KF_OK)
            break;
        remote_pause(r, LOCK_PAUSE_MS);
    }
    return rc;
}

static kf_rc check_tag(struct dir *d, str path, str tag, struct kf_err *err)
{
    struct buf bytes = BUF_INIT, found = BUF_INIT;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = dir_get(&d->store, path, OBJECTS_MANIFEST_MAX, &bytes, &found, &why);
    if (rc == KF_ABSENT)
        rc = KF_OK;
    else if (rc != KF_OK && err)
        *err = why;
    if (rc == KF_OK)
        rc = buf_ok(&found, err);
    if (rc == KF_OK && !str_eq(buf_view(&found), tag))
        rc = err_set(err, PROBLEM_VERSION_MISMATCH, "somebody else pushed meanwhile");
    buf_release(&bytes);
    buf_release(&found);
    return rc;
}

static void dir_release(struct object_store *o)
{
    file_close(&dir_of(o)->lock);
}

/* Temporary files of pushes that never ended, by anybody. */
static void remove_stale(struct dir *d)
{
    struct buf names = BUF_INIT;
    struct stat st;
    int64_t now_ms = env_wall_ms(d->store.remote.env);
    if (folder_list(&d->folder, &names, NULL) == KF_OK) {
        for (str rest = buf_view(&names); rest.len; rest = str_from(rest, strlen(rest.p) + 1)) {
            if (!str_starts(rest, STR(".tmp-")))
                continue;
            if (folder_stat(&d->folder, rest.p, &st, NULL) == KF_OK && S_ISREG(st.st_mode) &&
                now_ms - (int64_t)st.st_mtim.tv_sec * 1000 > STALE_MS)
                folder_unlink(&d->folder, rest.p, NULL);
        }
    }
    buf_release(&names);
}

static kf_rc dir_hold(struct object_store *o, str path, str tag, struct kf_err *err)
{
    struct dir *d = dir_of(o);
    kf_rc rc = enter_for_writing(d, err);
    if (rc == KF_OK)
        rc = lock(d, err);
    if (rc == KF_OK)
        rc = check_tag(d, path, tag, err);
    if (rc != KF_OK)
        dir_release(o);
    else
        remove_stale(d);
    return rc;
}

/* The lock has been ours since the tag was compared, so it still holds. */
static kf_rc dir_put_if(struct object_store *o, str path, str bytes, str tag, struct kf_err *err)
{
    struct dir *d = dir_of(o);
    struct buf temporary = BUF_INIT;
    char *name = mem_dup(path.p, path.len);
    kf_rc rc = name ? write_temporary(d, bytes, &temporary, err) : err_nomem(err);
    bool written = rc == KF_OK, renamed = false;
    bool too_early = KF_SABOTAGE("rename-before-sync");
    if (rc == KF_OK && !too_early)
        rc = sync_file(d, temporary.p, err);
    if (rc == KF_OK) {
        rc = folder_rename(&d->folder, temporary.p, name, err);
        renamed = rc == KF_OK;
    }
    if (rc == KF_OK)
        rc = folder_sync(&d->folder, "", err);
    if (written && !renamed)
        folder_unlink(&d->folder, temporary.p, NULL);
    buf_release(&temporary);
    mem_free(name);
    return rc;
}

static kf_rc dir_remove(struct object_store *o, str path, struct kf_err *err)
{
    struct dir *d = dir_of(o);
    struct kf_err why = KF_ERR_INIT;
    char *name = NULL;
    kf_rc rc = enter(d, &why);
    if (rc == KF_OK && !(name = mem_dup(path.p, path.len)))
        rc = err_nomem(&why);
    if (rc == KF_OK)
        rc = folder_unlink(&d->folder, name, &why);
    mem_free(name);
    if (rc == KF_ABSENT)
        return KF_OK;
    if (rc != KF_OK && err)
        *err = why;
    return rc;
}

static const struct object_ops ops = {
    .get = dir_get,
    .put = dir_put,
    .settle = dir_settle,
    .hold = dir_hold,
    .release = dir_release,
    .put_if = dir_put_if,
    .drop = dir_remove,
};

const struct remote_driver remote_dir = {
    .kind = "dir",
    .prefixes = (const char *const[]){PREFIX, NULL},
    .caps = REMOTE_EXACT_BYTES,
    .open = dir_open,
    .close = dir_close,
    .probe = objects_probe,
    .look = dir_look,
    .pull = objects_pull,
    .push = objects_push,
    .verify = objects_verify,
    .repair = objects_repair,
    .versions = objects_versions,
    .version = objects_version,
};
