/* Open files, and whole ones.
 *
 * Each call has two halves: one that talks to the system and answers with an errno value, and one
 * that says what it was about in *err. The tap is asked in the first half, again for every
 * repetition, so that a test sees exactly what the kernel would. */
#include "base/env.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* How often a read or write may transfer nothing before it counts as an I/O error. */
#define IDLE_MAX 3

/* -------------------------------------------------------------------------------- open, close */

static int open_once(const struct env *env, const char *path, int flags, int *ret_fd)
{
    enum io_op op = flags & O_CREAT ? IO_CREATE : IO_OPEN;
    int e;
    do {
        e = env_tap_path(env, op, path);
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
    *ret_errno = env_tap(f->env, &event);
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
    int verdict = env_tap(f->env, &event);
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

static kf_rc sync_by(struct file *f, int (*call)(int fd), struct kf_err *err)
{
    int e = env_tap_path(f->env, IO_SYNC, f->path);
    if (!e && call(f->fd) != 0)
        e = errno;
    return e ? err_errno(err, e, "cannot sync %s", f->path) : KF_OK;
}

kf_rc file_sync(struct file *f, struct kf_err *err)
{
    return sync_by(f, fsync, err);
}

kf_rc file_sync_data(struct file *f, struct kf_err *err)
{
    return sync_by(f, fdatasync, err);
}

kf_rc file_truncate(struct file *f, int64_t size, struct kf_err *err)
{
    struct io_event event = {.op = IO_TRUNCATE, .path = f->path, .offset = size};
    int e;
    do {
        e = env_tap(f->env, &event);
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
        e = env_tap_path(f->env, IO_LOCK, f->path);
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
