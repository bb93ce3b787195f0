#include "store/place.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

static kf_rc unsafe(struct log *log, const char *path, const char *why, const char *next,
                    struct kf_err *err)
{
    log_event(log, LOG_ERROR, "start.perm", LOG_S("path", path), LOG_S("why", why), LOG_END);
    return err_set(err, PROBLEM_PERMISSION, "%s %s: %s", path, why, next);
}

/* Whether it holds nothing, or a store. A folder that is somebody else's, such as /etc that was
 * named by mistake, is not ours to close. */
static kf_rc is_ours(const struct env *env, const char *path, bool *ret, struct kf_err *err)
{
    struct buf names = BUF_INIT;
    kf_rc rc = dir_list(env, path, &names, err);
    bool ours = names.len == 0;
    for (size_t at = 0; rc == KF_OK && at < names.len; at += strlen(names.p + at) + 1) {
        str name = str_of(names.p + at);
        ours = ours || str_ends(name, STR(".db")) || str_starts(name, STR("_keepfast"));
    }
    buf_release(&names);
    *ret = ours;
    return rc;
}

static kf_rc make_private(const struct env *env, struct log *log, const char *path,
                          struct kf_err *err)
{
    bool ours = false;
    kf_rc rc = is_ours(env, path, &ours, err);
    if (rc != KF_OK)
        return rc;
    log_event(log, LOG_WARN, "start.perm", LOG_S("path", path),
              LOG_S("why", ours ? "could be read by others; made 0700"
                                : "can be read by others, and left so: what is in it is not "
                                  "Keepfast's; better give it a folder of its own"),
              LOG_END);
    if (ours && chmod(path, 0700) != 0) /* seam: no content */
        return err_errno(err, errno, "cannot make %s private", path);
    return KF_OK;
}

static kf_rc check_own_dir(const struct env *env, struct log *log, const char *path,
                           const struct stat *st, struct kf_err *err)
{
    if (st->st_uid != geteuid())
        return unsafe(log, path, "belongs to another user", "give Keepfast a folder of its own",
                      err);
    if (st->st_mode & (S_IWGRP | S_IWOTH))
        return unsafe(log, path, "can be written by others",
                      "chmod 700 it after looking at what is in it", err);
    return st->st_mode & (S_IRWXG | S_IRWXO) ? make_private(env, log, path, err) : KF_OK;
}

/* The folder's own name: "LINK/" and "LINK/." are what is behind the link. */
static kf_rc look_at(const struct env *env, const char *path, struct stat *ret, struct kf_err *err)
{
    struct buf name = BUF_INIT;
    str p = str_of(path);
    while (p.len > 1 && (str_ends(p, STR("/")) || str_ends(p, STR("/."))))
        p.len--;
    buf_str(&name, p);
    kf_rc rc = buf_ok(&name, err);
    if (rc == KF_OK)
        rc = path_stat(env, name.p, ret, err);
    buf_release(&name);
    return rc;
}

kf_rc store_check_dir(const struct env *env, struct log *log, const char *path, bool ours,
                      struct kf_err *err)
{
    struct stat st;
    kf_rc rc = look_at(env, path, &st, err);
    if (rc != KF_OK)
        return rc;
    if (S_ISLNK(st.st_mode)) {
        if (ours)
            return unsafe(log, path, "is a symbolic link", "name the folder itself", err);
        if (stat(path, &st) != 0) /* seam: through the link */
            return err_errno(err, errno, "cannot look at %s", path);
    }
    if (!S_ISDIR(st.st_mode))
        return unsafe(log, path, "is not a folder", "name a folder", err);
    if (ours)
        return check_own_dir(env, log, path, &st, err);
    if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
        return unsafe(log, path, "can be written by everybody",
                      "choose another folder, or set its sticky bit", err);
    return KF_OK;
}

bool place_is_network(unsigned long fs_type)
{
    static const unsigned long kinds[] = {
        0x6969,     /* NFS */
        0x517b,     /* SMB */
        0xff534d42, /* CIFS */
        0xfe534d42, /* SMB 2 */
        0x65735546, /* FUSE */
        0x01021997, /* 9P */
        0x5346414f, /* AFS */
        0x73757245, /* Coda */
        0x564c,     /* NCP */
        0x00c36400, /* Ceph */
        0x0bd00bd0, /* Lustre */
        0x7461636f, /* OCFS2 */
        0x01161970, /* GFS2 */
        0x786f4256, /* shared folder of a VirtualBox guest */
        0x47504653, /* GPFS */
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if ((fs_type & 0xffffffff) == kinds[i])
            return true;
    return false;
}

kf_rc place_check_fs(struct log *log, const char *path, struct kf_err *err)
{
    struct statfs fs;
    int e;
    do {
        e = statfs(path, &fs) == 0 ? 0 : errno; /* seam: asks the file system */
    } while (e == EINTR);
    if (e)
        return err_errno(err, e, "cannot ask for the file system of %s", path);
    if (!place_is_network((unsigned long)fs.f_type))
        return KF_OK;
    log_event(log, LOG_ERROR, "start.fs", LOG_S("path", path), LOG_I("type", fs.f_type), LOG_END);
    return err_set(
        err, PROBLEM_CONFIG,
        "%s is on a network file system, whose locks may not hold: use a local disk, or allow it "
        "(--allow-network-fs)",
        path);
}

kf_rc place_check_file(const struct env *env, struct log *log, const char *path, struct stat *ret,
                       struct kf_err *err)
{
    struct stat st;
    kf_rc rc = path_stat(env, path, &st, err);
    if (rc != KF_OK)
        return rc;
    if (!S_ISREG(st.st_mode))
        return unsafe(log, path, "is a link or no ordinary file", "name the store's file itself",
                      err);
    if (st.st_nlink > 1)
        return unsafe(log, path, "has a second name (hard link)",
                      "remove the other name, or copy the file", err);
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) && st.st_uid == geteuid() &&
        chmod(path, 0600) != 0) /* seam: no content */
        return err_errno(err, errno, "cannot make %s private", path);
    *ret = st;
    return KF_OK;
}

uint64_t place_total_bytes(const char *path)
{
    struct statvfs fs;
    if (statvfs(path, &fs) != 0) /* seam: asks the file system */
        return 0;
    return (uint64_t)fs.f_blocks * fs.f_frsize;
}

void place_marker(const struct env *env, const char *path, struct buf *out)
{
    struct buf machine = BUF_INIT;
    if (file_load(env, "/etc/machine-id", 256, &machine, NULL) == KF_NOMEM)
        out->failed = true;
    buf_str(out, str_trim(str_make(machine.p, str_index(buf_view(&machine), '\n'))));
    buf_release(&machine);

    struct statx st = {0};
    unsigned mask = STATX_INO | STATX_BTIME;
    statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, mask, &st); /* seam: tells the birth of a file */
    buf_printf(out, ":%x.%x:%llu:%lld.%u", st.stx_dev_major, st.stx_dev_minor,
               (unsigned long long)st.stx_ino, (long long)st.stx_btime.tv_sec,
               st.stx_btime.tv_nsec);
}
