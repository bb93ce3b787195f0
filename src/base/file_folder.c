/* Each path is walked by openat, one segment at a time with O_NOFOLLOW, so that no link that
 * appears in the middle of the walk is followed. openat2 would do it in one call, but not on every
 * kernel and not inside every sandbox. */
#include "base/folder.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define WALK_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* "FOLDER/PATH", for the tap and for errors. NULL when out of memory. */
static char *full_path(const struct folder *f, const char *path)
{
    struct buf b = BUF_INIT;
    buf_c(&b, f->path);
    if (*path) {
        buf_byte(&b, '/');
        buf_c(&b, path);
    }
    char *p = buf_detach(&b, NULL);
    buf_release(&b);
    return p;
}

static int open_at(int at, const char *name, int flags, mode_t mode)
{
    int fd;
    do {
        fd = openat(at, name, flags, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* A segment as a C string. 0 or an errno value. */
static int copy_segment(str segment, char out[256])
{
    if (segment.len == 0 || segment.len > 255 || str_is(segment, ".") || str_is(segment, ".."))
        return EINVAL;
    memcpy(out, segment.p, segment.len);
    out[segment.len] = '\0';
    return 0;
}

/* Goes down to the folder that holds the last segment of `path`. *ret_fd is to be closed by
 * leave(). */
static int walk(const struct folder *f, const char *path, int *ret_fd, char last[256])
{
    str rest = str_of(path);
    int at = f->fd, e = 0;
    for (;;) {
        str segment = {rest.p, str_index(rest, '/')};
        if ((e = copy_segment(segment, last)) || segment.len == rest.len)
            break;
        rest = str_from(rest, segment.len + 1);
        int next = open_at(at, last, WALK_FLAGS, 0);
        e = next < 0 ? errno : 0;
        if (at != f->fd)
            close(at);
        at = next;
        if (e)
            return e;
    }
    if (e && at != f->fd)
        close(at);
    else if (!e)
        *ret_fd = at;
    return e;
}

static void leave(const struct folder *f, int fd)
{
    if (fd >= 0 && fd != f->fd)
        close(fd);
}

static kf_rc failed(int e, const char *verb, const char *full, struct kf_err *err)
{
    if (e == ENOENT)
        return err_set(err, PROBLEM_NOT_FOUND, "there is no %s", full);
    if (e == EEXIST)
        return err_set(err, PROBLEM_NOT_EMPTY, "%s is there already", full);
    if (e == ELOOP || e == ENOTDIR)
        return err_set(err, PROBLEM_PERMISSION,
                       "%s is, or lies behind, a link or something else that is no folder: nothing "
                       "is followed there",
                       full);
    return err_errno(err, e, "cannot %s %s", verb, full);
}

kf_rc folder_open(const struct env *env, const char *path, struct folder *ret_folder,
                  struct kf_err *err)
{
    struct folder f = {-1, env, mem_strdup(path)};
    if (!f.path)
        return err_nomem(err);
    int e = env_tap_path(env, IO_OPEN, path);
    if (!e && (f.fd = open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)) < 0)
        e = errno;
    kf_rc rc = e ? failed(e, "open the folder", path, err) : KF_OK;
    if (rc == KF_OK)
        *ret_folder = f;
    else
        folder_close(&f);
    return rc;
}

void folder_close(struct folder *f)
{
    if (f->fd >= 0)
        close(f->fd);
    mem_free(f->path);
    *f = FOLDER_CLOSED;
}

static int open_file(const struct folder *f, const char *path, const char *full,
                     enum file_mode mode, int *ret_fd)
{
    const int common = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    bool create = mode == FILE_CREATE;
    char last[256];
    int at = -1;
    int e = env_tap(f->env, &(struct io_event){.op = create ? IO_CREATE : IO_OPEN, .path = full});
    if (e || (e = walk(f, path, &at, last)))
        return e;
    int flags = mode == FILE_READ ? O_RDONLY : O_RDWR;
    int fd = open_at(at, last, flags | common | (create ? O_CREAT | O_EXCL : 0), 0600);
    e = fd < 0 ? errno : 0;
    if (e == ENOENT && mode == FILE_READWRITE) {
        e = env_tap(f->env, &(struct io_event){.op = IO_CREATE, .path = full});
        if (!e && (fd = open_at(at, last, O_RDWR | common | O_CREAT, 0600)) < 0)
            e = errno;
    }
    leave(f, at);
    if (!e)
        *ret_fd = fd;
    return e;
}

kf_rc folder_file(const struct folder *f, const char *path, enum file_mode mode,
                  struct file *ret_file, struct kf_err *err)
{
    struct file file = {-1, f->env, full_path(f, path)};
    struct stat st;
    kf_rc rc = KF_OK;
    if (!file.path)
        return err_nomem(err);
    int e = open_file(f, path, file.path, mode, &file.fd);
    if (e)
        rc = failed(e, mode == FILE_CREATE ? "create" : "open", file.path, err);
    else if (fstat(file.fd, &st) != 0)
        rc = err_errno(err, errno, "cannot look at %s", file.path);
    else if (!S_ISREG(st.st_mode))
        rc = err_set(err, PROBLEM_PERMISSION, "%s is no ordinary file", file.path);
    if (rc == KF_OK)
        *ret_file = file;
    else
        file_close(&file);
    return rc;
}

kf_rc folder_load(const struct folder *f, const char *path, size_t max, struct buf *out,
                  struct kf_err *err)
{
    struct file file = FILE_CLOSED;
    int64_t size = 0;
    size_t n = 0;
    char *to = NULL;
    kf_rc rc = folder_file(f, path, FILE_READ, &file, err);
    if (rc != KF_OK)
        return rc;
    rc = file_size(&file, &size, err);
    if (rc == KF_OK && (uint64_t)size > max)
        rc = err_set(err, PROBLEM_TOO_LARGE, "%s is larger than %zu bytes", file.path, max);
    if (rc == KF_OK && !(to = buf_room(out, (size_t)size + 1)))
        rc = err_nomem(err);
    if (rc == KF_OK)
        rc = file_read(&file, 0, to, (size_t)size + 1, &n, err);
    if (rc == KF_OK && n > (size_t)size)
        rc = err_set(err, PROBLEM_TOO_LARGE, "%s grew while it was read", file.path);
    if (rc == KF_OK)
        buf_grew(out, n);
    else if (to)
        to[0] = '\0';
    file_close(&file);
    return rc;
}

/* The tap sees each folder that is really made. */
static int make_one(const struct folder *f, int at, const char *name, const char *full)
{
    struct stat st;
    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
    if (errno != ENOENT)
        return errno;
    int e = env_tap(f->env, &(struct io_event){.op = IO_MKDIR, .path = full});
    if (!e && mkdirat(at, name, 0700) != 0 && errno != EEXIST)
        e = errno;
    return e;
}

kf_rc folder_make(const struct folder *f, const char *path, struct kf_err *err)
{
    struct buf part = BUF_INIT;
    str whole = str_of(path);
    kf_rc rc = KF_OK;
    for (size_t end = 0; rc == KF_OK && end < whole.len; end++) {
        end += str_index(str_from(whole, end), '/');
        buf_clear(&part);
        buf_str(&part, (str){whole.p, end});
        char *full = buf_ok(&part, NULL) == KF_OK ? full_path(f, part.p) : NULL;
        if (!full) {
            rc = err_nomem(err);
            break;
        }
        char last[256];
        int at = -1;
        int e = walk(f, part.p, &at, last);
        if (!e)
            e = make_one(f, at, last, full);
        leave(f, at);
        if (e)
            rc = failed(e, "make the folder", full, err);
        mem_free(full);
    }
    buf_release(&part);
    return rc;
}

static int rename_at(const struct folder *f, const char *from, const char *to,
                     const char *full_from, const char *full_to)
{
    char last_from[256] = "", last_to[256] = "";
    int at_from = -1, at_to = -1;
    int e = env_tap(f->env, &(struct io_event){.op = IO_RENAME, .path = full_from, .to = full_to});
    if (!e)
        e = walk(f, from, &at_from, last_from);
    if (!e)
        e = walk(f, to, &at_to, last_to);
    if (!e && renameat(at_from, last_from, at_to, last_to) != 0)
        e = errno;
    leave(f, at_from);
    leave(f, at_to);
    return e;
}

kf_rc folder_rename(const struct folder *f, const char *from, const char *to, struct kf_err *err)
{
    char *full_from = full_path(f, from), *full_to = full_path(f, to);
    kf_rc rc = KF_OK;
    if (!full_from || !full_to) {
        rc = err_nomem(err);
    } else {
        int e = rename_at(f, from, to, full_from, full_to);
        if (e)
            rc = err_errno(err, e, "cannot rename %s to %s", full_from, full_to);
    }
    mem_free(full_from);
    mem_free(full_to);
    return rc;
}

static kf_rc remove_at(const struct folder *f, const char *path, int flags, struct kf_err *err)
{
    char last[256];
    int at = -1;
    char *full = full_path(f, path);
    if (!full)
        return err_nomem(err);
    int e = env_tap(f->env, &(struct io_event){.op = IO_UNLINK, .path = full});
    if (!e)
        e = walk(f, path, &at, last);
    if (!e && unlinkat(at, last, flags) != 0)
        e = errno;
    leave(f, at);
    if (flags && (e == ENOTEMPTY || e == EEXIST))
        e = ENOENT;
    kf_rc rc = e ? failed(e, "remove", full, err) : KF_OK;
    mem_free(full);
    return rc;
}

kf_rc folder_unlink(const struct folder *f, const char *path, struct kf_err *err)
{
    return remove_at(f, path, 0, err);
}

kf_rc folder_remove(const struct folder *f, const char *path, struct kf_err *err)
{
    return remove_at(f, path, AT_REMOVEDIR, err);
}

kf_rc folder_announce(const struct folder *f, enum io_op op, const char *path, struct kf_err *err)
{
    if (!f->env->tap)
        return KF_OK;
    char *full = full_path(f, path);
    if (!full)
        return err_nomem(err);
    int e = env_tap(f->env, &(struct io_event){.op = op, .path = full});
    kf_rc rc = e ? err_errno(err, e, "cannot sync %s", full) : KF_OK;
    mem_free(full);
    return rc;
}

kf_rc folder_sync(const struct folder *f, const char *path, struct kf_err *err)
{
    if (KF_SABOTAGE("no-dirsync"))
        return KF_OK;
    char last[256];
    int at = -1, fd = -1, e = 0;
    kf_rc rc = folder_announce(f, IO_DIRSYNC, path, err);
    if (rc != KF_OK)
        return rc;
    if (*path && (e = walk(f, path, &at, last)) == 0) {
        fd = open_at(at, last, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
        e = fd < 0 ? errno : 0;
    }
    if (!e && fsync(*path ? fd : f->fd) != 0)
        e = errno;
    leave(f, at);
    if (fd >= 0)
        close(fd);
    return e ? failed(e, "sync the folder", *path ? path : f->path, err) : KF_OK;
}

kf_rc folder_sync_all(const struct folder *f, struct kf_err *err)
{
    return syncfs(f->fd) == 0 ? KF_OK : err_errno(err, errno, "cannot sync %s", f->path);
}

kf_rc folder_stat(const struct folder *f, const char *path, struct stat *ret, struct kf_err *err)
{
    char last[256];
    int at = -1;
    struct stat st;
    int e = walk(f, path, &at, last);
    if (!e && fstatat(at, last, &st, AT_SYMLINK_NOFOLLOW) != 0)
        e = errno;
    leave(f, at);
    if (e)
        return failed(e, "look at", path, err);
    *ret = st;
    return KF_OK;
}

kf_rc folder_list(const struct folder *f, struct buf *out, struct kf_err *err)
{
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
    return dir_list(f->env, self, out, err);
}
