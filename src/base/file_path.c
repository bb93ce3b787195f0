/* What is done by a path: names, folders, what a file system says. In two halves, as in file.c. */
#include "base/env.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"

#include <stdalign.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------ names, folders */

kf_rc file_rename(const struct env *env, const char *from, const char *to, struct kf_err *err)
{
    struct io_event event = {.op = IO_RENAME, .path = from, .to = to};
    int e;
    do {
        e = env_tap(env, &event);
        if (!e && rename(from, to) != 0)
            e = errno;
    } while (e == EINTR);
    return e ? err_errno(err, e, "cannot rename %s to %s", from, to) : KF_OK;
}

kf_rc file_unlink(const struct env *env, const char *path, struct kf_err *err)
{
    int e;
    do {
        e = env_tap_path(env, IO_UNLINK, path);
        if (!e && unlink(path) != 0)
            e = errno;
    } while (e == EINTR);
    if (e == ENOENT)
        return err_set(err, PROBLEM_NOT_FOUND, "there is no file %s", path);
    return e ? err_errno(err, e, "cannot remove %s", path) : KF_OK;
}

kf_rc path_absolute(const char *path, struct buf *out, struct kf_err *err)
{
    if (path[0] != '/') {
        char *room = buf_room(out, PATH_MAX);
        if (room && !getcwd(room, PATH_MAX))
            return err_errno(err, errno, "cannot tell the working directory");
        if (room) {
            buf_grew(out, strlen(room));
            buf_byte(out, '/');
        }
    }
    buf_c(out, path);
    return buf_ok(out, err);
}

kf_rc dir_unmake(const struct env *env, const char *path, struct kf_err *err)
{
    int e = env_tap_path(env, IO_UNLINK, path);
    if (!e && rmdir(path) != 0)
        e = errno;
    if (e == ENOENT)
        return err_set(err, PROBLEM_NOT_FOUND, "there is no folder %s", path);
    return e ? err_errno(err, e, "cannot remove the folder %s", path) : KF_OK;
}

#define REMOVE_DEPTH 32

/* What is at *path, which is as before when it returns. */
static kf_rc remove_at(const struct env *env, struct buf *path, int depth, struct kf_err *err)
{
    struct buf names = BUF_INIT;
    struct stat st;
    size_t len = path->len;
    kf_rc rc = path_stat(env, path->p, &st, err);
    if (rc != KF_OK)
        return rc;
    if (!S_ISDIR(st.st_mode))
        return file_unlink(env, path->p, err);
    if (depth == REMOVE_DEPTH)
        return err_set(err, PROBLEM_TOO_LARGE, "%s: more than %d folders in one another", path->p,
                       REMOVE_DEPTH);
    rc = dir_list(env, path->p, &names, err);
    for (size_t at = 0; rc == KF_OK && at < names.len; at += strlen(names.p + at) + 1) {
        buf_printf(path, "/%s", names.p + at);
        rc = buf_ok(path, err);
        if (rc == KF_OK)
            rc = remove_at(env, path, depth + 1, err);
        if (rc == KF_ABSENT) /* it went by itself */
            rc = KF_OK;
        if (rc != KF_NOMEM) {
            path->len = len;
            path->p[len] = '\0';
        }
    }
    buf_release(&names);
    return rc == KF_OK ? dir_unmake(env, path->p, err) : rc;
}

kf_rc dir_unmake_all(const struct env *env, const char *path, struct kf_err *err)
{
    struct buf at = BUF_INIT;
    buf_c(&at, path);
    kf_rc rc = buf_ok(&at, err);
    if (rc == KF_OK)
        rc = remove_at(env, &at, 0, err);
    buf_release(&at);
    return rc;
}

static int open_folder(const char *path, int *ret_fd)
{
    int fd;
    do {
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    *ret_fd = fd;
    return fd < 0 ? errno : 0;
}

kf_rc dir_sync(const struct env *env, const char *path, struct kf_err *err)
{
    if (KF_SABOTAGE("no-dirsync"))
        return KF_OK;
    int fd = -1;
    int e = env_tap_path(env, IO_DIRSYNC, path);
    if (!e)
        e = open_folder(path, &fd);
    if (!e && fsync(fd) != 0)
        e = errno;
    if (fd >= 0)
        close(fd);
    return e ? err_errno(err, e, "cannot sync the folder %s", path) : KF_OK;
}

/* Makes one folder, whose parent is there; *ret_made is false when it was there before. */
static kf_rc make_one(const struct env *env, const char *path, bool *ret_made, struct kf_err *err)
{
    struct stat st;
    *ret_made = false;
    int e = stat(path, &st) == 0 ? 0 : errno;
    if (e == ENOENT) {
        do {
            e = env_tap_path(env, IO_MKDIR, path);
            if (!e && mkdir(path, 0700) != 0)
                e = errno;
        } while (e == EINTR);
        *ret_made = e == 0;
        if (e == EEXIST) /* somebody was faster, or it is a link to nothing */
            e = stat(path, &st) == 0 ? 0 : EEXIST;
    }
    if (e)
        return err_errno(err, e, "cannot make the folder %s", path);
    if (!*ret_made && !S_ISDIR(st.st_mode))
        return err_set(err, PROBLEM_PERMISSION, "%s is there and no folder: choose another name",
                       path);
    return KF_OK;
}

static kf_rc sync_parent(const struct env *env, const char *path, struct kf_err *err)
{
    struct buf parent = BUF_INIT;
    path_parent(path, &parent);
    kf_rc rc = buf_ok(&parent, err);
    if (rc == KF_OK)
        rc = dir_sync(env, parent.p, err);
    buf_release(&parent);
    return rc;
}

kf_rc dir_make(const struct env *env, const char *path, struct kf_err *err)
{
    struct buf part = BUF_INIT;
    kf_rc rc = KF_OK;
    size_t end = 0;
    while (rc == KF_OK && path[end]) {
        while (path[end] == '/')
            end++;
        while (path[end] && path[end] != '/')
            end++;
        buf_clear(&part);
        buf_add(&part, path, end);
        rc = buf_ok(&part, err);
        bool made = false;
        if (rc == KF_OK)
            rc = make_one(env, part.p, &made, err);
        if (rc == KF_OK && made)
            rc = sync_parent(env, part.p, err);
    }
    buf_release(&part);
    return rc;
}

/* ------------------------------------------------------------------------------- list a folder */

/* Appends all names of the open folder, NUL after each, in the order of the file system. Reads the
 * system's records itself, for opendir() has a heap of its own. */
static int read_names(const struct env *env, const char *path, int fd, struct buf *names)
{
    alignas(struct dirent64) char records[8192];
    struct io_event event = {.op = IO_READ, .path = path, .len = sizeof(records)};
    for (;;) {
        int e = env_tap(env, &event);
        ssize_t n = e ? -1 : getdents64(fd, records, sizeof(records));
        if (n < 0 && !e)
            e = errno;
        if (e == EINTR)
            continue;
        if (n <= 0)
            return e;
        for (ssize_t at = 0; at < n;) {
            struct dirent64 *d = (struct dirent64 *)(void *)(records + at);
            at += d->d_reclen;
            str name = str_of(d->d_name);
            if (!str_is(name, ".") && !str_is(name, ".."))
                buf_add(names, name.p, name.len + 1);
        }
    }
}

static int by_bytes(const void *a, const void *b)
{
    return str_cmp(str_of(*(const char *const *)a), str_of(*(const char *const *)b));
}

/* Appends the names of `names` to `out`, sorted. */
static kf_rc append_sorted(const struct buf *names, struct buf *out, struct kf_err *err)
{
    size_t count = 0;
    for (size_t i = 0; i < names->len; i++)
        count += names->p[i] == '\0';
    const char **list = mem_alloc(count * sizeof(*list));
    if (!list || !buf_room(out, names->len)) {
        mem_free(list);
        return err_nomem(err);
    }
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        list[i] = names->p + at;
        at += strlen(list[i]) + 1;
    }
    qsort(list, count, sizeof(*list), by_bytes);
    for (size_t i = 0; i < count; i++)
        buf_add(out, list[i], strlen(list[i]) + 1);
    mem_free(list);
    return KF_OK;
}

kf_rc dir_list(const struct env *env, const char *path, struct buf *out, struct kf_err *err)
{
    struct buf names = BUF_INIT;
    int fd = -1;
    int e = env_tap_path(env, IO_OPEN, path);
    if (!e)
        e = open_folder(path, &fd);
    if (!e)
        e = read_names(env, path, fd, &names);
    if (fd >= 0)
        close(fd);
    kf_rc rc;
    if (e == ENOENT)
        rc = err_set(err, PROBLEM_NOT_FOUND, "there is no folder %s", path);
    else if (e)
        rc = err_errno(err, e, "cannot list the folder %s", path);
    else
        rc = buf_ok(&names, err);
    if (rc == KF_OK)
        rc = append_sorted(&names, out, err);
    buf_release(&names);
    return rc;
}

/* --------------------------------------------------------------------------------------- paths */

kf_rc path_stat(const struct env *env, const char *path, struct stat *ret, struct kf_err *err)
{
    struct stat st;
    if (lstat(path, &st) == 0) {
        *ret = st;
        return KF_OK;
    }
    if (errno == ENOENT)
        return err_set(err, PROBLEM_NOT_FOUND, "there is nothing at %s", path);
    return err_errno(err, errno, "cannot look at %s", path);
}

kf_rc path_free_bytes(const struct env *env, const char *path, uint64_t *ret, struct kf_err *err)
{
    struct statvfs fs;
    int e;
    do {
        e = statvfs(path, &fs) == 0 ? 0 : errno;
    } while (e == EINTR);
    if (e)
        return err_errno(err, e, "cannot ask for the free space at %s", path);
    *ret = (uint64_t)fs.f_bavail * fs.f_frsize;
    return KF_OK;
}

void path_parent(const char *path, struct buf *out)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    while (len && path[len - 1] != '/')
        len--;
    while (len > 1 && path[len - 1] == '/')
        len--;
    buf_add(out, len ? path : ".", len ? len : 1);
}
