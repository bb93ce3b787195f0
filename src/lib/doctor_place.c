/* Where a store lies: who may read its files, and whether the file system keeps them. Nothing of
 * it is opened: names and modes are looked at. */
#include "lib/doctor.h"

#include "base/err.h"
#include "base/secret.h"
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
    static const char *const tails[] = {"", "-wal", "-shm"};
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

/* ------------------------------------------------------------------------------------ both */

static void look_for_file(const struct env *env, const char *path, struct findings *f)
{
    struct stat st;
    struct buf log = BUF_INIT;
    buf_printf(&log, "%s-wal", path);
    f->failed |= log.failed;
    if (!log.failed && path_stat(env, path, &st, NULL) == KF_ABSENT &&
        path_stat(env, log.p, &st, NULL) == KF_OK && st.st_size > 0)
        findings_add(f, FINDING_LOG_ALONE, NULL,
                     "%s is not there, and %s has %lld bytes: a log means nothing without the file "
                     "that it was written for",
                     path, log.p, (long long)st.st_size);
    buf_release(&log);
}

void doctor_place(const struct env *env, const char *path, bool own_folder, struct findings *f)
{
    struct buf dir = BUF_INIT;
    path_parent(path, &dir);
    f->failed |= dir.failed;
    if (!dir.failed) {
        look_for_file(env, path, f);
        look_at_modes(env, path, dir.p, own_folder, f);
        look_at_file_system(env, dir.p, f);
    }
    buf_release(&dir);
}
