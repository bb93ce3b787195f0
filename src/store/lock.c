/* The lock file's life:
 *
 *      open (made when absent) -> lock -> still the file of this name? -> write who we are
 *        ^                                     | no: somebody removed it       |
 *        +-------------------------------------+ between open and lock         |  ... held ...
 *                                                                              v
 *                                                                      empty it -> close */
#include "store/lock.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/hooks.h"
#include "base/json.h"
#include "base/mem.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define WAIT_MS     5000
#define NAP_MS_MAX  20 /* an owner holds it for some: who naps longer finds it free too seldom */
#define CONTENT_MAX 8192

struct store_lock {
    struct file file;
    dev_t dev, guarded_dev;
    ino_t ino, guarded_ino; /* 0 = none yet */
    bool parents;           /* came along with a fork */
    struct store_lock *next;
};

/* Those that this process holds. */
static pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;
static struct store_lock *held;

/* ------------------------------------------------------------------------------ its content */

static void owner_parse(str text, struct store_owner *ret)
{
    struct arena arena = ARENA_INIT;
    struct json_node *root;
    memset(ret, 0, sizeof(*ret));
    /* What cannot be read is being written right now: by somebody who may be brief. */
    ret->brief = true;
    if (json_parse(text, NULL, &arena, &root, NULL) == KF_OK) {
        const struct json_node *pid = json_member(root, "pid"), *brief = json_member(root, "brief"),
                               *socket = json_member(root, "socket");
        ret->brief = !brief || brief->type != JSON_FALSE;
        if (pid)
            json_i64(pid, &ret->pid);
        if (socket && socket->type == JSON_STRING) {
            str path = json_text(socket->raw, &arena);
            if (path.p && path.len < sizeof(ret->socket))
                memcpy(ret->socket, path.p, path.len);
        }
    }
    arena_release(&arena);
}

static void owner_read(struct file *f, struct store_owner *ret)
{
    char text[CONTENT_MAX];
    size_t len = 0;
    if (file_read(f, 0, text, sizeof(text), &len, NULL) != KF_OK)
        len = 0;
    owner_parse(str_make(text, len), ret);
}

static kf_rc owner_write(struct file *f, bool brief, const char *socket, struct kf_err *err)
{
    struct buf text = BUF_INIT, full = BUF_INIT;
    kf_rc rc = socket ? path_absolute(socket, &full, err) : KF_OK; /* others are in other folders */
    buf_printf(&text, "{\"pid\":%lld,\"brief\":%s,\"socket\":", (long long)getpid(),
               brief ? "true" : "false");
    if (socket)
        buf_json_string(&text, buf_view(&full));
    else
        buf_c(&text, "null");
    buf_printf(&text, ",\"started\":%lld}\n", (long long)env_wall_ms(f->env));
    buf_release(&full);
    if (rc == KF_OK)
        rc = buf_ok(&text, err);
    if (rc == KF_OK)
        rc = file_truncate(f, 0, err);
    if (rc == KF_OK)
        rc = file_write(f, 0, text.p, text.len, err);
    buf_release(&text);
    return rc;
}

/* A name in the file of somebody who no longer lives: it was killed, and whoever has the lock
 * now has not written its own yet. */
static bool is_stale(const struct store_owner *owner)
{
    return owner->pid <= 0 || (kill((pid_t)owner->pid, 0) != 0 && errno == ESRCH);
}

/* A lasting owner keeps what it has: trying again is of no use, and err says so. */
static kf_rc busy(const char *path, const struct store_owner *owner, struct kf_err *err)
{
    if (owner->pid <= 0)
        return err_set(err, PROBLEM_BUSY, "%s is in use by another process; try again", path);
    if (owner->socket[0])
        err_set(err, PROBLEM_BUSY,
                "%s is in use by process %lld: reach it through its socket %s, or end it", path,
                (long long)owner->pid, owner->socket);
    else
        err_set(err, PROBLEM_BUSY, "%s is in use by process %lld: wait until it ends, or end it",
                path, (long long)owner->pid);
    if (err)
        err->retryable = owner->brief;
    return KF_BUSY;
}

/* ----------------------------------------------------------------------------------- taking */

static kf_rc check_held_here(const struct stat *st, const char *path, struct kf_err *err)
{
    pthread_mutex_lock(&held_lock);
    const struct store_lock *l = held;
    while (l && (l->dev != st->st_dev || l->ino != st->st_ino))
        l = l->next;
    bool here = l != NULL, parents = here && l->parents;
    pthread_mutex_unlock(&held_lock);
    if (parents)
        return err_set(
            err, PROBLEM_MISUSE,
            "%s was open when this process was forked: it cannot be opened here, only in "
            "the parent or in a program that is executed",
            path);
    return here ? err_set(err, PROBLEM_BUSY, "%s is already open in this process: use that store",
                          path)
                : KF_OK;
}

/* One attempt. KF_BUSY with *ret_owner when another process has it, with *ret_here when this one
 * has. KF_ABSENT: the file was removed meanwhile. */
static kf_rc attempt(const struct env *env, const char *file, const char *path,
                     struct store_lock *lock, struct store_owner *ret_owner, bool *ret_here,
                     struct kf_err *err)
{
    kf_rc rc = file_open(env, file, FILE_READWRITE, &lock->file, err);
    if (rc != KF_OK)
        return rc;
    struct stat opened, named;
    if (fstat(lock->file.fd, &opened) != 0) { /* seam: of the locked descriptor */
        rc = err_errno(err, errno, "cannot look at %s", file);
    } else if ((rc = check_held_here(&opened, path, err)) != KF_OK) {
        *ret_here = true;
    } else {
        rc = file_lock(&lock->file, err);
        if (rc == KF_BUSY)
            owner_read(&lock->file, ret_owner);
    }
    if (rc == KF_OK) {
        rc = path_stat(env, file, &named, err);
        if (rc == KF_OK && (named.st_dev != opened.st_dev || named.st_ino != opened.st_ino))
            rc = KF_ABSENT;
    }
    if (rc != KF_OK) {
        file_close(&lock->file);
        return rc;
    }
    lock->dev = opened.st_dev;
    lock->ino = opened.st_ino;
    return KF_OK;
}

/* Attempts until it is ours, its owner turns out to be lasting, or wait_ms have passed. Time is
 * counted in naps, so that a test that stops the clock does not wait for ever. */
static kf_rc attempts(const struct env *env, struct log *log, const char *file, const char *path,
                      uint32_t wait_ms, struct store_lock *lock, struct kf_err *err)
{
    uint32_t waited_ms = 0, nap_ms = 2;
    for (;;) {
        struct store_owner owner = {0};
        bool here = false;
        kf_rc rc = attempt(env, file, path, lock, &owner, &here, err);
        if (here || (rc != KF_BUSY && rc != KF_ABSENT))
            return rc;
        bool lasting = rc == KF_BUSY && !owner.brief && !is_stale(&owner);
        if (lasting || waited_ms >= wait_ms)
            return busy(path, &owner, err);
        if (waited_ms == 0) {
            KF_SOMETIMES("lock-waited-for-brief-owner");
            log_event(log, LOG_INFO, "lock.wait", LOG_S("path", path), LOG_I("pid", owner.pid),
                      LOG_END);
        }
        poll(NULL, 0, (int)nap_ms);
        waited_ms += nap_ms;
        nap_ms = nap_ms * 2 > NAP_MS_MAX ? NAP_MS_MAX : nap_ms * 2;
    }
}

kf_rc store_lock_take(const struct env *env, struct log *log, const char *path, bool brief,
                      const char *socket, uint32_t wait_ms, struct store_lock **ret_lock,
                      struct kf_err *err)
{
    struct buf file = BUF_INIT;
    buf_printf(&file, "%s.lock", path);
    struct store_lock *lock = mem_calloc(1, sizeof(*lock));
    if (lock)
        lock->file = FILE_CLOSED;
    kf_rc rc = lock ? buf_ok(&file, err) : err_nomem(err);
    if (rc == KF_OK)
        rc = attempts(env, log, file.p, path, wait_ms ? wait_ms : WAIT_MS, lock, err);
    buf_release(&file);
    if (rc == KF_OK && (rc = owner_write(&lock->file, brief, socket, err)) != KF_OK)
        file_close(&lock->file);
    if (rc != KF_OK) {
        mem_free(lock);
        return rc;
    }
    pthread_mutex_lock(&held_lock);
    lock->next = held;
    held = lock;
    pthread_mutex_unlock(&held_lock);
    *ret_lock = lock;
    return KF_OK;
}

kf_rc store_lock_guard(struct store_lock *lock, const struct stat *file, struct kf_err *err)
{
    pthread_mutex_lock(&held_lock);
    const struct store_lock *l = held;
    while (l && (l == lock || l->guarded_dev != file->st_dev || l->guarded_ino != file->st_ino))
        l = l->next;
    if (!l) {
        lock->guarded_dev = file->st_dev;
        lock->guarded_ino = file->st_ino;
    }
    pthread_mutex_unlock(&held_lock);
    if (l)
        return err_set(err, PROBLEM_BUSY,
                       "the file is already open in this process: use that store");
    return KF_OK;
}

bool store_lock_is_named(const struct store_lock *lock)
{
    struct stat st;
    kf_rc rc = path_stat(lock->file.env, lock->file.path, &st, NULL);
    return rc == KF_OK ? st.st_dev == lock->dev && st.st_ino == lock->ino : rc != KF_ABSENT;
}

void store_lock_drop(struct store_lock *lock)
{
    if (!lock)
        return;
    pthread_mutex_lock(&held_lock);
    struct store_lock **at = &held;
    while (*at != lock)
        at = &(*at)->next;
    *at = lock->next;
    pthread_mutex_unlock(&held_lock);
    /* Whoever waits shall not read our name in a file that is free. */
    file_truncate(&lock->file, 0, NULL);
    file_unlock(&lock->file);
    file_close(&lock->file);
    mem_free(lock);
}

/* --------------------------------------------------------------------------------------- forks */

void store_lock_before_fork(void)
{
    pthread_mutex_lock(&held_lock);
}

/* In the child nothing but close, which a fork of several threads allows. */
void store_lock_after_fork(bool is_child)
{
    for (struct store_lock *l = held; l && is_child; l = l->next) {
        if (!l->parents)
            close(l->file.fd);
        l->file.fd = -1;
        l->parents = true;
    }
    pthread_mutex_unlock(&held_lock);
}

/* ---------------------------------------------------------------------------------- looking */

kf_rc store_owner(const struct env *env, const char *path, struct store_owner *ret,
                  struct kf_err *err)
{
    struct buf file = BUF_INIT;
    struct file f = FILE_CLOSED;
    if (db_is_url(path))
        return KF_ABSENT;
    buf_printf(&file, "%s.lock", path);
    kf_rc rc = buf_ok(&file, err);
    if (rc == KF_OK)
        rc = file_open(env, file.p, FILE_READ, &f, err);
    buf_release(&file);
    if (rc != KF_OK)
        return rc;
    /* Asked, not taken: somebody who opens the store right now must not find it locked by us. */
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(f.fd, F_OFD_GETLK, &whole) != 0)
        rc = err_errno(err, errno, "cannot ask for the lock of %s", path);
    else if (whole.l_type == F_UNLCK)
        rc = err_set(err, PROBLEM_NOT_FOUND, "nobody has %s open", path);
    else
        owner_read(&f, ret);
    file_close(&f);
    return rc;
}
