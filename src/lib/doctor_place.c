/* Where a store lies: who may read its files, and whether the file system keeps them. Nothing of
 * it is opened: names and modes are looked at. */
#include "lib/doctor.h"

#include "base/err.h"
#include "base/secret.h"
#include "lib/asides.h"
#include "store/lasting.h"
#include "store/place.h"

#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

/* ------------------------------------------------------------------------------ who may read */

static bool is_open_to_others(const struct env *env, const char *path, mode_t *ret_mode)
{
    struct stat st;
    if (path_stat(env, path, &st, NULL) != KF_OK || !(st.st_mode & (S_IRWXG | S_IRWXO)))
        return false;
    *ret_mode = st.st_mode & 07777;
    return true;
}

static void look_at_modes(const struct env *env, const char *path, const char *dir, bool own_folder,
                          struct findings *f)
{
    static const char *const tails[] = {"", "-wal", "-shm", "-redo"};
    struct buf file = BUF_INIT;
    mode_t mode;
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        buf_clear(&file);
        buf_printf(&file, "%s%s", path, tails[i]);
        f->failed |= file.failed;
        if (!file.failed && is_open_to_others(env, file.p, &mode))
            findings_add(f, FINDING_FILES_READABLE, NULL,
                         "%s has the mode %04o: what the documents hold is there in plain", file.p,
                         (unsigned)mode);
    }
    if (own_folder && is_open_to_others(env, dir, &mode))
        findings_add(f, FINDING_FILES_READABLE, NULL, "the folder %s has the mode %04o", dir,
                     (unsigned)mode);
    buf_release(&file);
}

void doctor_secret_env(const char *variable, const char *what, const char *remote,
                       struct findings *f)
{
    if (!variable[0] || getenv(variable))
        return;
    findings_add(f, FINDING_SECRET_MISSING, remote,
                 "%s names the variable %s, and the process that owns the store has none of this "
                 "name",
                 what, variable);
}

void doctor_secret_file(const struct env *env, const char *path, const char *what,
                        const char *remote, struct findings *f)
{
    struct kf_err why = KF_ERR_INIT;
    if (!path[0])
        return;
    kf_rc rc = secret_file_check(env, path, &why);
    f->failed |= rc == KF_NOMEM;
    if (rc == KF_ABSENT)
        findings_add(f, FINDING_SECRET_MISSING, remote, "%s names the file %s, which is not there",
                     what, path);
    else if (rc == KF_CONFIG)
        findings_add(f, FINDING_SECRET_READABLE, remote, "%s: %s", what, why.detail);
}

/* ------------------------------------------------------------------------------ file systems */

static kf_rc device_of(const struct env *env, const char *path, dev_t *ret)
{
    struct stat st;
    struct buf parent = BUF_INIT;
    kf_rc rc = path_stat(env, path, &st, NULL);
    if (rc == KF_ABSENT) {
        path_parent(path, &parent);
        rc = parent.failed ? KF_NOMEM : path_stat(env, parent.p, &st, NULL);
    }
    buf_release(&parent);
    if (rc == KF_OK)
        *ret = st.st_dev;
    return rc;
}

bool doctor_same_disk(const struct env *env, const char *a, const char *b)
{
    dev_t of_a, of_b;
    return device_of(env, a, &of_a) == KF_OK && device_of(env, b, &of_b) == KF_OK && of_a == of_b;
}

static void look_at_lasting(const struct env *env, const char *dir, struct findings *f)
{
    enum lasting what = lasting_of(env, dir);
    if (what != LASTING_YES) {
        findings_add(f, FINDING_NOT_LASTING, NULL, "%s: %s", dir, lasting_title(what));
        findings_next(f, "%s", lasting_next(what));
    }
}

static void look_at_file_system(const struct env *env, const char *dir, struct findings *f)
{
    struct statvfs vfs;
    struct statfs fs = {0};
    if (statvfs(dir, &vfs) == 0 && (vfs.f_flag & ST_RDONLY)) /* seam: asks the file system */
        findings_add(f, FINDING_DISK_READ_ONLY, NULL, "%s is mounted read-only", dir);
    if (statfs(dir, &fs) == 0 && /* seam: the same */
        place_is_network((unsigned long)fs.f_type))
        findings_add(f, FINDING_NETWORK_FS, NULL,
                     "%s (type 0x%lx): locks and the log's shared memory may not hold there, and "
                     "two owners would damage the store",
                     dir, (unsigned long)fs.f_type);
    look_at_lasting(env, dir, f);
}

/* ------------------------------------------------------------------------------------ beside */

/* Their names end with a time. */
static size_t count_beside(const char *path, const char *word, struct buf *names, str *ret_newest)
{
    size_t count = 0;
    for (size_t at = 0; at < names->len; at += strlen(names->p + at) + 1) {
        str name = str_of(names->p + at);
        if (!aside_is(path, word, name))
            continue;
        if (count++ == 0 || str_cmp(name, *ret_newest) > 0)
            *ret_newest = name;
    }
    return count;
}

static bool is_there(const struct env *env, const char *path, struct stat *ret)
{
    return path_stat(env, path, ret, NULL) == KF_OK;
}

/* Whether the store's file is not there, and nothing that is newer than `rescued`. */
static bool is_all_there_is(const struct env *env, const char *path, const char *rescued)
{
    struct stat st, of_log;
    struct buf log = BUF_INIT;
    buf_printf(&log, "%s-wal", path);
    bool all = !log.failed && path_stat(env, path, &st, NULL) == KF_ABSENT &&
               is_there(env, rescued, &st) &&
               (!is_there(env, log.p, &of_log) || of_log.st_mtime <= st.st_mtime);
    buf_release(&log);
    return all;
}

static void tell_rescued(const struct env *env, const char *path, const char *rescued, bool more,
                         struct findings *f)
{
    findings_add(f, FINDING_RESCUED, NULL,
                 "%s%s: the store's file was moved or removed while it was open, and this is what "
                 "it held then",
                 rescued, more ? " and others" : "");
    if (!is_all_there_is(env, path, rescued))
        return;
    /* A log of the file that went away would be taken for one of this file, and damage it. */
    findings_next(f,
                  "while nothing has the store open: move %s-wal and %s-shm away, then rename this "
                  "file to %s",
                  path, path, path);
    findings_level(f, FINDING_RESCUED, NULL, KF_FINDING_ERROR);
}

static void look_beside(const struct env *env, const char *path, const char *dir,
                        struct findings *f)
{
    struct buf names = BUF_INIT, rescued = BUF_INIT;
    str newest = {"", 0};
    size_t count;
    f->failed |= dir_list(env, dir, &names, NULL) == KF_NOMEM;
    if ((count = count_beside(path, ASIDE_RESCUE, &names, &newest)) > 0) {
        buf_printf(&rescued, "%s/%.*s", dir, STR_ARGS(newest));
        f->failed |= rescued.failed;
        if (!rescued.failed)
            tell_rescued(env, path, rescued.p, count > 1, f);
    }
    if ((count = count_beside(path, ASIDE_REDO, &names, &newest)) > 0)
        findings_add(
            f, FINDING_REDO_ASIDE, NULL,
            "%s/%.*s%s: what was appended to streams in the last second before a crash and "
            "stood behind the damage is not in the store",
            dir, STR_ARGS(newest), count > 1 ? " and others" : "");
    if ((count = count_beside(path, ASIDE_BEFORE, &names, &newest)) > 0)
        findings_add(f, FINDING_KEPT_ASIDE, NULL,
                     "%zu of them, the last is %s/%.*s: from a restore or an older format", count,
                     dir, STR_ARGS(newest));
    buf_release(&names);
    buf_release(&rescued);
}

/* What the log held is in a file that was rescued. */
static bool is_rescued(const struct findings *f)
{
    for (size_t i = 0; i < f->count; i++)
        if (finding_of(str_of(f->items[i].code)) == FINDING_RESCUED)
            return f->items[i].level == KF_FINDING_ERROR;
    return false;
}

static bool has_bytes(const struct env *env, const char *path, struct stat *ret)
{
    return is_there(env, path, ret) && ret->st_size > 0;
}

void doctor_gone(const struct env *env, const char *path, struct findings *f)
{
    struct stat st;
    struct buf log = BUF_INIT, redo = BUF_INIT;
    if (is_rescued(f))
        return;
    buf_printf(&log, "%s-wal", path);
    buf_printf(&redo, "%s-redo", path);
    f->failed |= log.failed || redo.failed;
    bool gone = !log.failed && !redo.failed && path_stat(env, path, &st, NULL) == KF_ABSENT;
    if (gone && has_bytes(env, log.p, &st))
        findings_add(f, FINDING_LOG_ALONE, NULL,
                     "%s is not there, and %s has %lld bytes: a log means nothing without the file "
                     "that it was written for",
                     path, log.p, (long long)st.st_size);
    else if (gone && has_bytes(env, redo.p, &st))
        findings_add(f, FINDING_LOG_ALONE, NULL,
                     "%s is not there, and %s is: it may have what was appended to streams last, "
                     "which only that very file can take over",
                     path, redo.p);
    buf_release(&log);
    buf_release(&redo);
}

/* ------------------------------------------------------------------------------------ all of it */

void doctor_place(const struct env *env, const char *path, bool own_folder, struct findings *f)
{
    struct buf dir = BUF_INIT;
    path_parent(path, &dir);
    f->failed |= dir.failed;
    if (!dir.failed) {
        look_at_modes(env, path, dir.p, own_folder, f);
        look_at_file_system(env, dir.p, f);
        look_beside(env, path, dir.p, f);
    }
    buf_release(&dir);
}
