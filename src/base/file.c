/* Each call has two halves: one that talks to the system and answers with an errno value, and one
 * that says what it was about in *err. The tap is asked in the first half, again for every
 * repetition, so that a test sees exactly what the kernel would. */
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

/* How often a read or write may transfer nothing before it counts as an I/O error. */
#define IDLE_MAX 3

/* 0, an errno value, or IO_TAP_SHORT (writes only). */
static int tap(const struct env *env, const struct io_event *event)
{
    int verdict = env->tap ? env->tap(env->ctx, event) : 0;
    return verdict == IO_TAP_SHORT && event->op != IO_WRITE ? 0 : verdict;
}

static int tap_path(const struct env *env, enum io_op op, const char *path)
{
    return tap(env, &(struct io_event){.op = op, .path = path});
}

/* -------------------------------------------------------------------------------- open, close */

static int open_once(const struct env *env, const char *path, int flags, int *ret_fd)
{
    enum io_op op = flags & O_CREAT ? IO_CREATE : IO_OPEN;
    int e;
    do {
        e = tap_path(env, op, path);
        if (e)
            continue;
        /* O_NONBLOCK: opening a pipe of this name must not wait for its other end. */
        int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
        if (fd >= 0)
            *ret_fd = fd;
        else
            e = errno;
    } while (e == EINTR);
    return e;
}

/* Opens, or creates where nothing is: in two steps, so that the tap knows which of them happens. */
static int open_or_create(const struct env *env, const char *path, int flags, int *ret_fd)
{
    int e = ENOENT;
    for (int i = 0; i < 10; i++) { /* somebody else may create or remove it in between */
        e = open_once(env, path, flags | O_NOFOLLOW, ret_fd);
        if (e != ENOENT)
            return e;
        e = open_once(env, path, flags | O_CREAT | O_EXCL | O_NOFOLLOW, ret_fd);
        if (e != EEXIST)
            return e;
    }
    return e;
}

static int open_mode(const struct env *env, const char *path, enum file_mode mode, int *ret_fd)
{
    switch (mode) {
    case FILE_READ:
    case FILE_LINKED: return open_once(env, path, O_RDONLY | O_NOFOLLOW, ret_fd);
    case FILE_CREATE: return open_once(env, path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, ret_fd);
    case FILE_APPEND: return open_or_create(env, path, O_WRONLY | O_APPEND, ret_fd);
    case FILE_READWRITE: return open_or_create(env, path, O_RDWR, ret_fd);
    }
    return EINVAL;
}

static kf_rc open_failed(int e, const char *path, enum file_mode mode, struct kf_err *err)
{
    if (e == ENOENT && (mode == FILE_READ || mode == FILE_LINKED))
        return err_set(err, PROBLEM_NOT_FOUND, "there is no file %s", path);
    if (e == EEXIST && mode == FILE_CREATE)
        return err_set(err, PROBLEM_NOT_EMPTY,
                       "%s is there already: remove it or choose another name", path);
    if (e == ELOOP)
        return err_set(err, PROBLEM_PERMISSION,
                       "%s is a symbolic link, and none is followed: name the file itself", path);
    return err_errno(err, e, "cannot %s %s", mode == FILE_CREATE ? "create" : "open", path);
}

static kf_rc check_ordinary(int fd, const char *path, struct kf_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_errno(err, errno, "cannot look at %s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, PROBLEM_PERMISSION, "%s is no ordinary file: name one that is", path);
    return KF_OK;
}

/* Whoever made the link may have pointed it at a file that others write. */
static kf_rc check_target(int fd, const char *path, struct kf_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_errno(err, errno, "cannot look at %s", path);
    if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & S_IWOTH))
        return err_set(err, PROBLEM_PERMISSION,
                       "%s is a link to a file of user %u with mode %04o: it is followed only to "
                       "one of root or of "
                       "this user that not everybody may write",
                       path, (unsigned)st.st_uid, (unsigned)st.st_mode & 07777);
    return KF_OK;
}

kf_rc file_open(const struct env *env, const char *path, enum file_mode mode, struct file *ret_file,
                struct kf_err *err)
{
    struct file f = {-1, env, mem_strdup(path)};
    kf_rc rc;
    if (!f.path)
        return err_nomem(err);
    int e = open_mode(env, path, mode, &f.fd);
    bool link = e == ELOOP && mode == FILE_LINKED;
    if (link)
        e = open_once(env, path, O_RDONLY, &f.fd);
    if (e)
        rc = open_failed(e, path, mode, err);
    else if ((rc = check_ordinary(f.fd, path, err)) == KF_OK && link)
        rc = check_target(f.fd, path, err);
    if (rc != KF_OK)
        file_close(&f);
    else
        *ret_file = f;
    return rc;
}

void file_close(struct file *f)
{
    /* Not repeated after EINTR: Linux has closed it then, and the number may be somebody else's. */
    if (f->fd >= 0)
        close(f->fd);
    mem_free(f->path);
    *f = FILE_CLOSED;
}

/* -------------------------------------------------------------------------------- read, write */

/* One transfer; the number of bytes, or -1 with *ret_errno. */
static ssize_t read_once(struct file *f, int64_t offset, char *p, size_t len, int *ret_errno)
{
    struct io_event event = {.op = IO_READ, .path = f->path, .offset = offset, .len = len};
    *ret_errno = tap(f->env, &event);
    if (*ret_errno)
        return -1;
    ssize_t n = pread(f->fd, p, len, offset);
    *ret_errno = n < 0 ? errno : 0;
    return n;
}

kf_rc file_read(struct file *f, int64_t offset, void *p, size_t cap, size_t *ret_len,
                struct kf_err *err)
{
    size_t done = 0;
    while (done < cap) {
        int e;
        ssize_t n = read_once(f, offset + (int64_t)done, (char *)p + done, cap - done, &e);
        if (n == 0)
            break;
        if (n > 0)
            done += (size_t)n;
        else if (e != EINTR)
            return err_errno(err, e, "cannot read %s", f->path);
    }
    *ret_len = done;
    return KF_OK;
}

static ssize_t write_once(struct file *f, int64_t offset, const char *p, size_t len, int *ret_errno)
{
    struct io_event event = {
        .op = IO_WRITE, .path = f->path, .offset = offset, .data = p, .len = len};
    int verdict = tap(f->env, &event);
    if (verdict == IO_TAP_SHORT)
        len = (len + 1) / 2;
    else if (verdict) {
        *ret_errno = verdict;
        return -1;
    }
    ssize_t n = pwrite(f->fd, p, len, offset);
    *ret_errno = n < 0 ? errno : 0;
    return n;
}

kf_rc file_write(struct file *f, int64_t offset, const void *p, size_t len, struct kf_err *err)
{
    size_t done = 0;
    int idle = 0;
    while (done < len) {
        int e;
        ssize_t n = write_once(f, offset + (int64_t)done, (const char *)p + done, len - done, &e);
        if (n > 0) {
            done += (size_t)n;
            idle = 0;
            if (KF_SABOTAGE("short-write-ignored"))
                break;
            continue;
        }
        if (n == 0 && ++idle < IDLE_MAX)
            continue;
        if (n == 0)
            e = EIO;
        if (e != EINTR)
            return err_errno(err, e, "cannot write %s", f->path);
    }
    return KF_OK;
}

kf_rc file_stat(struct file *f, struct stat *ret, struct kf_err *err)
{
    return fstat(f->fd, ret) == 0 ? KF_OK : err_errno(err, errno, "cannot look at %s", f->path);
}

kf_rc file_size(struct file *f, int64_t *ret_size, struct kf_err *err)
{
    struct stat st;
    kf_rc rc = file_stat(f, &st, err);
    if (rc == KF_OK)
        *ret_size = st.st_size;
    return rc;
}

kf_rc file_mode(struct file *f, mode_t *ret_mode, struct kf_err *err)
{
    struct stat st;
    kf_rc rc = file_stat(f, &st, err);
    if (rc == KF_OK)
        *ret_mode = st.st_mode & 07777;
    return rc;
}

kf_rc file_sync(struct file *f, struct kf_err *err)
{
    int e = tap_path(f->env, IO_SYNC, f->path);
    if (!e && fsync(f->fd) != 0)
        e = errno;
    return e ? err_errno(err, e, "cannot sync %s", f->path) : KF_OK;
}

kf_rc file_truncate(struct file *f, int64_t size, struct kf_err *err)
{
    struct io_event event = {.op = IO_TRUNCATE, .path = f->path, .offset = size};
    int e;
    do {
        e = tap(f->env, &event);
        if (!e && ftruncate(f->fd, size) != 0)
            e = errno;
    } while (e == EINTR);
    return e ? err_errno(err, e, "cannot cut %s to %lld bytes", f->path, (long long)size) : KF_OK;
}

kf_rc file_lock(struct file *f, struct kf_err *err)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int e;
    do {
        e = tap_path(f->env, IO_LOCK, f->path);
        if (!e && fcntl(f->fd, F_OFD_SETLK, &whole) != 0)
            e = errno;
    } while (e == EINTR);
    if (e == EAGAIN || e == EACCES)
        return err_set(err, PROBLEM_BUSY, "%s is locked by somebody else: wait until they end",
                       f->path);
    return e ? err_errno(err, e, "cannot lock %s", f->path) : KF_OK;
}

void file_unlock(struct file *f)
{
    struct flock whole = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    fcntl(f->fd, F_OFD_SETLK, &whole); /* of a lock that is held it cannot fail */
}

/* -------------------------------------------------------------------------------- whole files */

/* Reads until the end, which may have moved since the size was asked for. */
static kf_rc read_to_end(struct file *f, size_t max, struct buf *out, struct kf_err *err)
{
    int64_t size;
    kf_rc rc = file_size(f, &size, err);
    if (rc != KF_OK)
        return rc;
    size_t total = 0, want = size > 0 && (uint64_t)size < max ? (size_t)size + 1 : 4096;
    for (;;) {
        size_t n = 0;
        if ((uint64_t)size > max || total > max)
            return err_set(err, PROBLEM_TOO_LARGE, "%s is larger than %zu bytes", f->path, max);
        char *to = buf_room(out, want);
        if (!to)
            return err_nomem(err);
        rc = file_read(f, (int64_t)total, to, want, &n, err);
        if (rc != KF_OK)
            return rc;
        buf_grew(out, n);
        total += n;
        if (n < want)
            break;
        want = 65536;
    }
    if (total > max)
        return err_set(err, PROBLEM_TOO_LARGE, "%s is larger than %zu bytes", f->path, max);
    return KF_OK;
}

static kf_rc load(const struct env *env, const char *path, enum file_mode mode, size_t max,
                  struct buf *out, struct kf_err *err)
{
    struct file f = FILE_CLOSED;
    kf_rc rc = file_open(env, path, mode, &f, err);
    if (rc != KF_OK)
        return rc;
    size_t before = out->len;
    rc = read_to_end(&f, max, out, err);
    if (rc != KF_OK && out->cap) {
        out->len = before;
        out->p[before] = '\0';
    }
    file_close(&f);
    return rc;
}

kf_rc file_load(const struct env *env, const char *path, size_t max, struct buf *out,
                struct kf_err *err)
{
    return load(env, path, FILE_READ, max, out, err);
}

kf_rc file_load_linked(const struct env *env, const char *path, size_t max, struct buf *out,
                       struct kf_err *err)
{
    return load(env, path, FILE_LINKED, max, out, err);
}

/* Opens a new file "DIR/.tmp-RANDOM". */
static kf_rc temporary_open(const struct env *env, const char *dir, struct file *ret_file,
                            struct kf_err *err)
{
    struct buf name = BUF_INIT;
    kf_rc rc = KF_CONFLICT;
    for (int i = 0; i < 8 && rc == KF_CONFLICT; i++) {
        unsigned char random[8];
        env->random(env->ctx, random, sizeof(random));
        buf_clear(&name);
        buf_printf(&name, "%s/.tmp-", dir);
        buf_hex(&name, random, sizeof(random));
        rc = buf_ok(&name, err);
        if (rc == KF_OK)
            rc = file_open(env, name.p, FILE_CREATE, ret_file, err);
    }
    buf_release(&name);
    return rc;
}

kf_rc file_store(const struct env *env, const char *path, str bytes, struct kf_err *err)
{
    struct buf dir = BUF_INIT;
    struct file tmp = FILE_CLOSED;
    bool renamed = false;
    bool too_early = KF_SABOTAGE("rename-before-sync");

    path_parent(path, &dir);
    kf_rc rc = buf_ok(&dir, err);
    if (rc == KF_OK)
        rc = temporary_open(env, dir.p, &tmp, err);
    if (rc == KF_OK)
        rc = file_write(&tmp, 0, bytes.p, bytes.len, err);
    if (rc == KF_OK && !too_early)
        rc = file_sync(&tmp, err);
    if (rc == KF_OK) {
        rc = file_rename(env, tmp.path, path, err);
        renamed = rc == KF_OK;
    }
    if (rc == KF_OK)
        rc = dir_sync(env, dir.p, err);

    if (tmp.fd >= 0 && !renamed)
        file_unlink(env, tmp.path, NULL); /* the first failure is the one to tell */
    file_close(&tmp);
    buf_release(&dir);
    return rc;
}

static kf_rc name_is_free(const struct env *env, const char *path, struct kf_err *err)
{
    struct stat st;
    kf_rc rc = path_stat(env, path, &st, NULL);
    if (rc == KF_OK)
        return err_set(err, PROBLEM_NOT_EMPTY, "%s is there already", path);
    return rc == KF_ABSENT ? KF_OK : path_stat(env, path, &st, err);
}

kf_rc file_new_begin(const struct env *env, const char *path, struct file *ret_file,
                     struct kf_err *err)
{
    struct buf dir = BUF_INIT;
    path_parent(path, &dir);
    kf_rc rc = buf_ok(&dir, err);
    if (rc == KF_OK)
        rc = name_is_free(env, path, err);
    if (rc == KF_OK)
        rc = temporary_open(env, dir.p, ret_file, err);
    buf_release(&dir);
    return rc;
}

kf_rc file_new_end(struct file *f, const char *path, kf_rc rc, struct kf_err *err)
{
    struct buf dir = BUF_INIT;
    bool renamed = false;
    if (rc == KF_OK)
        rc = file_sync(f, err);
    if (rc == KF_OK)
        rc = name_is_free(f->env, path, err);
    if (rc == KF_OK) {
        path_parent(path, &dir);
        rc = buf_ok(&dir, err);
    }
    if (rc == KF_OK) {
        rc = file_rename(f->env, f->path, path, err);
        renamed = rc == KF_OK;
    }
    if (rc == KF_OK && (rc = dir_sync(f->env, dir.p, err)) != KF_OK)
        file_unlink(f->env, path, NULL);
    if (f->fd >= 0 && !renamed)
        file_unlink(f->env, f->path, NULL);
    file_close(f);
    buf_release(&dir);
    return rc;
}

/* ------------------------------------------------------------------------------ names, folders */

kf_rc file_rename(const struct env *env, const char *from, const char *to, struct kf_err *err)
{
    struct io_event event = {.op = IO_RENAME, .path = from, .to = to};
    int e;
    do {
        e = tap(env, &event);
        if (!e && rename(from, to) != 0)
            e = errno;
    } while (e == EINTR);
    return e ? err_errno(err, e, "cannot rename %s to %s", from, to) : KF_OK;
}

kf_rc file_unlink(const struct env *env, const char *path, struct kf_err *err)
{
    int e;
    do {
        e = tap_path(env, IO_UNLINK, path);
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
    int e = tap_path(env, IO_UNLINK, path);
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
    int e = tap_path(env, IO_DIRSYNC, path);
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
            e = tap_path(env, IO_MKDIR, path);
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
        int e = tap(env, &event);
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
    int e = tap_path(env, IO_OPEN, path);
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
