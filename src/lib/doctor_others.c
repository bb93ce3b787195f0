/* Other processes that have the store's file open.
 *
 * A program may read and write a store with an SQLite of its own. Most of those in use lose
 * committed writes when one connection writes while another checkpoints (versions 3.7.0 to 3.51.2
 * but for 3.44.6 and 3.50.7 and what followed them). Which SQLite a process has is seen from the
 * shared library that it has mapped, whose bytes name its version.
 *
 *     /proc/PID/fd/N -> the file       /proc/PID/fdinfo/N  flags: for reading alone?
 *     /proc/PID/maps    libsqlite3.so  /proc/PID/root/…    its bytes
 *
 * What is not seen: processes of other users (but by root) and of other containers; which version
 * a program has that brings SQLite along inside itself (told as unknown); one that opens the file
 * only for moments. So that nothing is found says little; what is found is so. */
#include "lib/doctor.h"

#include "base/err.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TEXT_MAX    (1u << 20)
#define LIBRARY_MAX (16u << 20)

/* -------------------------------------------------------------------------------- versions */

static bool take_number(str *s, unsigned *ret)
{
    size_t n = 0;
    *ret = 0;
    for (; n < s->len && n < 4 && s->p[n] >= '0' && s->p[n] <= '9'; n++)
        *ret = *ret * 10 + (unsigned)(s->p[n] - '0');
    *s = str_from(*s, n);
    return n > 0;
}

static bool take_dot(str *s)
{
    bool dot = str_starts(*s, STR("."));
    *s = str_from(*s, dot);
    return dot;
}

static bool parse(str version, unsigned *ret_minor, unsigned *ret_patch)
{
    unsigned major;
    return take_number(&version, &major) && major == 3 && take_dot(&version) &&
           take_number(&version, ret_minor) && take_dot(&version) &&
           take_number(&version, ret_patch) && version.len == 0;
}

bool doctor_sqlite_is_affected(str version)
{
    unsigned minor, patch;
    if (!parse(version, &minor, &patch))
        return true;
    if (minor == 44)
        return patch < 6;
    if (minor == 50)
        return patch < 7;
    return minor >= 7 && (minor < 51 || (minor == 51 && patch < 3));
}

str doctor_sqlite_version(str bytes)
{
    str found = {"", 0};
    for (size_t at = 0; at + 1 < bytes.len;) {
        const char *zero = memchr(bytes.p + at, 0, bytes.len - at);
        if (!zero)
            break;
        at = (size_t)(zero - bytes.p) + 1;
        str text = {bytes.p + at, str_index(str_from(bytes, at), 0)};
        unsigned minor, patch;
        if (at + text.len == bytes.len || text.len > 10 || !parse(text, &minor, &patch))
            continue;
        if (found.len && !str_eq(found, text))
            return (str){"", 0};
        found = text;
    }
    return found;
}

/* -------------------------------------------------------------------------------- processes */

struct other {
    const struct env *env;
    long pid;
    struct buf text, path;
    bool starved;
};

/* A file of /proc; false when it cannot be read: the process has ended, or is somebody else's. */
static bool load(struct other *o, const char *path, size_t max)
{
    buf_clear(&o->text);
    kf_rc rc = file_load(o->env, path, max, &o->text, NULL);
    o->starved |= rc == KF_NOMEM;
    return rc == KF_OK;
}

static bool may_write(struct other *o, str descriptor)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/fdinfo/%.20s", o->pid, descriptor.p);
    if (!load(o, path, TEXT_MAX))
        return true;
    const char *flags = o->text.p ? strstr(o->text.p, "flags:") : NULL;
    unsigned long value = flags ? strtoul(flags + strlen("flags:"), NULL, 8) : O_RDWR;
    return (value & O_ACCMODE) != O_RDONLY;
}

/* Whether it has the file open for writing. */
static bool writes_to(struct other *o, const char *real)
{
    char dir[32], path[64], target[PATH_MAX];
    struct buf names = BUF_INIT;
    bool writes = false;
    snprintf(dir, sizeof(dir), "/proc/%ld/fd", o->pid);
    kf_rc rc = dir_list(o->env, dir, &names, NULL);
    o->starved |= rc == KF_NOMEM;
    for (size_t at = 0; rc == KF_OK && !writes && at < names.len; at += strlen(names.p + at) + 1) {
        snprintf(path, sizeof(path), "%s/%.20s", dir, names.p + at);
        ssize_t len = readlink(path, target, sizeof(target)); /* seam: of /proc */
        if (len > 0 && str_is((str){target, (size_t)len}, real))
            writes = may_write(o, str_of(names.p + at));
    }
    buf_release(&names);
    return writes;
}

/* The path of the SQLite that it has mapped, appended to o->path with its root before it. */
static bool find_library(struct other *o)
{
    char maps[32];
    snprintf(maps, sizeof(maps), "/proc/%ld/maps", o->pid);
    if (!load(o, maps, TEXT_MAX * 8))
        return false;
    for (str rest = buf_view(&o->text); rest.len;) {
        str line = {rest.p, str_index(rest, '\n')};
        rest = str_from(rest, line.len + 1);
        str file = str_from(line, str_index(line, '/'));
        if (!str_has(file, "libsqlite3"))
            continue;
        buf_clear(&o->path);
        buf_printf(&o->path, "/proc/%ld/root%.*s", o->pid, STR_ARGS(file));
        o->starved |= o->path.failed;
        return !o->path.failed;
    }
    return false;
}

static void tell(struct other *o, const char *path, struct findings *f)
{
    char comm[64], name[64] = "?", version[16] = "";
    snprintf(comm, sizeof(comm), "/proc/%ld/comm", o->pid);
    if (load(o, comm, sizeof(name)) && o->text.len)
        snprintf(name, sizeof(name), "%.*s", (int)str_index(buf_view(&o->text), '\n'), o->text.p);
    bool library = find_library(o) && load(o, o->path.p, LIBRARY_MAX);
    if (library)
        snprintf(version, sizeof(version), "%.*s",
                 STR_ARGS(doctor_sqlite_version(buf_view(&o->text))));
    if (version[0] && !doctor_sqlite_is_affected(str_of(version)))
        return;
    findings_add(f, FINDING_FOREIGN_WRITER, NULL,
                 "process %ld (%s) has %s open for writing with %s%s: when it checkpoints while "
                 "Keepfast commits, a confirmed write can be lost",
                 o->pid, name, path,
                 version[0] ? "SQLite " : "an SQLite of which the version cannot be seen", version);
}

void doctor_others(const struct env *env, const char *path, struct findings *f)
{
    struct other o = {.env = env};
    struct buf pids = BUF_INIT;
    char real[PATH_MAX];
    uint64_t pid;
    if (!realpath(path, real)) /* seam: names alone */
        return;
    kf_rc rc = dir_list(env, "/proc", &pids, NULL);
    o.starved = rc == KF_NOMEM;
    for (size_t at = 0; rc == KF_OK && at < pids.len; at += strlen(pids.p + at) + 1) {
        if (!str_to_u64(str_of(pids.p + at), &pid) || pid == (uint64_t)getpid())
            continue;
        o.pid = (long)pid;
        if (writes_to(&o, real))
            tell(&o, path, f);
    }
    f->failed |= o.starved;
    buf_release(&pids);
    buf_release(&o.text);
    buf_release(&o.path);
}
