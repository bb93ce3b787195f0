/* Asked of the kernel: the kind of the file system (statfs), the mount that the path is on (statx),
 * and where that mount comes from (/proc/self/mountinfo):
 *
 *     1071 1064 8:1 /var/lib/docker/volumes/3f…64 digits…/_data /data rw - ext4 /dev/sda1 rw
 *     id   parent   root of the mount within its file system    where
 *
 * The layer of a container is an overlay with most engines. With the others, a path is on a volume
 * when its mount is not that of "/", which is a part of a file system of the host. A machine in a
 * container (LXC, nspawn) keeps its root, so only the marks of containers that hold one program
 * count; and a machine that was made of an image of one still has the marks, but a root that is
 * a file system of its own. */
#include "store/lasting.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif

#define AUFS_SUPER_MAGIC 0x61756673

#define MOUNTS_MAX ((size_t)1 << 20)

static bool is_there(const struct env *env, const char *path)
{
    struct stat st;
    return path_stat(env, path, &st, NULL) == KF_OK;
}

static bool in_container(const struct env *env)
{
    static const char *const kinds[] = {"docker", "podman", "oci", "crio"};
    const char *kind = getenv("container");
    for (size_t i = 0; kind && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    return getenv("KUBERNETES_SERVICE_HOST") || is_there(env, "/.dockerenv") ||
           is_there(env, "/run/.containerenv");
}

static enum lasting by_kind(const char *path)
{
    struct statfs fs;
    if (statfs(path, &fs) != 0) /* seam: asks the file system */
        return LASTING_YES;
    switch ((unsigned long)fs.f_type & 0xffffffff) {
    case TMPFS_MAGIC:
    case RAMFS_MAGIC: return LASTING_MEMORY;
    case OVERLAYFS_SUPER_MAGIC:
    case AUFS_SUPER_MAGIC: return LASTING_LAYER;
    default: return LASTING_YES;
    }
}

/* 0: the kernel does not say (before Linux 5.8). */
static uint64_t mount_of(const char *path)
{
    struct statx st = {0};
    if (statx(AT_FDCWD, path, 0, STATX_MNT_ID, &st) != 0) /* seam: asks for the mount */
        return 0;
    return st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id : 0;
}

/* The next word of a line, and what is behind it in *rest. */
static str word(str *rest)
{
    str w = {rest->p, str_index(*rest, ' ')};
    *rest = str_from(*rest, w.len + 1);
    return w;
}

static str root_of_mount(str mounts, uint64_t id)
{
    while (mounts.len) {
        str line = {mounts.p, str_index(mounts, '\n')};
        mounts = str_from(mounts, line.len + 1);
        uint64_t found;
        if (str_to_u64(word(&line), &found) && found == id) {
            word(&line);
            word(&line);
            return word(&line);
        }
    }
    return STR("");
}

/* The last segment but `up`: of "/a/b/c" with 1 "b". */
static str segment(str path, int up)
{
    for (;; up--) {
        size_t from = path.len;
        while (from > 0 && path.p[from - 1] != '/')
            from--;
        if (up == 0 || from == 0)
            return up == 0 ? str_from(path, from) : STR("");
        path.len = from - 1;
    }
}

/* What takes the place of a name: 64 hex digits. */
static bool is_number(str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!strchr("0123456789abcdef", name.p[i]))
            return false;
    return name.len == 64;
}

bool lasting_is_unnamed(str mountinfo, uint64_t id)
{
    str root = root_of_mount(mountinfo, id);
    if (str_is(segment(root, 0), "_data"))
        return is_number(segment(root, 1)) && str_is(segment(root, 2), "volumes");
    for (int up = 0; segment(root, up).len; up++)
        if (str_is(segment(root, up), "kubernetes.io~empty-dir"))
            return true;
    return false;
}

bool lasting_is_whole(str mountinfo, uint64_t id)
{
    return str_is(root_of_mount(mountinfo, id), "/");
}

/* Of a path in what has the marks of a container. */
static enum lasting by_mount(str mountinfo, uint64_t id, uint64_t root)
{
    if (by_kind("/") == LASTING_YES && lasting_is_whole(mountinfo, root))
        return LASTING_YES;
    if (id == root)
        return LASTING_LAYER;
    return lasting_is_unnamed(mountinfo, id) ? LASTING_UNNAMED : LASTING_YES;
}

enum lasting lasting_of(const struct env *env, const char *path)
{
    struct buf mounts = BUF_INIT;
    enum lasting what = by_kind(path);
    uint64_t id = what == LASTING_YES && in_container(env) ? mount_of(path) : 0;
    if (id && file_load(env, "/proc/self/mountinfo", MOUNTS_MAX, &mounts, NULL) == KF_OK)
        what = by_mount(buf_view(&mounts), id, mount_of("/"));
    buf_release(&mounts);
    return what;
}

const char *lasting_title(enum lasting what)
{
    static const char *const titles[] = {
        [LASTING_YES] = "",
        [LASTING_MEMORY] = "The data folder is in memory: it is empty when the machine "
                           "starts again",
        [LASTING_LAYER] = "The data folder is on no volume, but in the container's own layer "
                          "(overlay): it goes with the container",
        [LASTING_UNNAMED] = "The data folder is on a volume without a name: it goes with the "
                            "container or pod",
    };
    return titles[what];
}

const char *lasting_next(enum lasting what)
{
    static const char *const steps[] = {
        [LASTING_YES] = "",
        [LASTING_MEMORY] = "keep it on a disk (data: or --data), or see to it that a remote has "
                           "everything (keepfast status)",
        [LASTING_LAYER] = "mount a named volume there (docker run -v keepfast-data:/data), or see "
                          "to it that a remote has everything (keepfast status)",
        [LASTING_UNNAMED] = "give the volume a name (docker run -v keepfast-data:/data; a "
                            "persistentVolumeClaim), or see to it that a remote has everything "
                            "(keepfast status)",
    };
    return steps[what];
}

void lasting_warn(const struct env *env, struct log *log, const char *path)
{
    enum lasting what = lasting_of(env, path);
    if (what != LASTING_YES)
        log_event(log, LOG_WARN, "start.volatile", LOG_S("path", path),
                  LOG_S("why", lasting_title(what)), LOG_S("next", lasting_next(what)), LOG_END);
}
