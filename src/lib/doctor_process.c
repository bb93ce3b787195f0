/* Our own process and the limits it lives under. */
#include "lib/doctor.h"

#include "base/when.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define TEXT_MAX (8u << 20)
/* Beside what limits.memory counts: connections, SQLite's caches, work under way. */
#define MEMORY_BESIDE ((uint64_t)128 << 20)
/* Beside connections: stores with their readers, remotes, what the system opens. */
#define DESCRIPTORS_BESIDE 256

static bool has_mapped(const struct env *env, const char *library, struct findings *f)
{
    struct buf maps = BUF_INIT;
    kf_rc rc = file_load(env, "/proc/self/maps", TEXT_MAX, &maps, NULL);
    bool found = rc == KF_OK && str_has(buf_view(&maps), library);
    f->failed |= rc == KF_NOMEM;
    buf_release(&maps);
    return found;
}

static void least(uint64_t *value, uint64_t other)
{
    if (other && other < *value)
        *value = other;
}

/* Of the control group that we are in: its own bound, as the container was given it. */
static uint64_t group_memory(const struct env *env, struct findings *f)
{
    struct buf group = BUF_INIT, path = BUF_INIT, text = BUF_INIT;
    uint64_t bytes = 0;
    kf_rc rc = file_load(env, "/proc/self/cgroup", TEXT_MAX, &group, NULL);
    str line = {group.p, rc == KF_OK ? str_index(buf_view(&group), '\n') : 0};
    if (str_starts(line, STR("0::/"))) {
        buf_printf(&path, "/sys/fs/cgroup%.*s/memory.max", STR_ARGS(str_from(line, 3)));
        rc = path.failed ? KF_NOMEM : file_load(env, path.p, 64, &text, NULL);
        if (rc == KF_OK)
            str_to_u64((str){text.p, str_index(buf_view(&text), '\n')}, &bytes);
    }
    f->failed |= rc == KF_NOMEM;
    buf_release(&group);
    buf_release(&path);
    buf_release(&text);
    return bytes;
}

static uint64_t limit_of(int resource)
{
    struct rlimit r;
    if (getrlimit(resource, &r) != 0 || r.rlim_cur == RLIM_INFINITY)
        return 0;
    return (uint64_t)r.rlim_cur;
}

static void look_at_memory(const struct env *env, uint64_t wanted, struct findings *f)
{
    struct buf has = BUF_INIT, wants = BUF_INIT;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t most = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX;
    least(&most, group_memory(env, f));
    least(&most, limit_of(RLIMIT_AS));
    least(&most, limit_of(RLIMIT_DATA));
    if (wanted == 0 || (wanted < most && most - wanted >= MEMORY_BESIDE))
        return;
    size_human(most, &has);
    size_human(wanted, &wants);
    f->failed |= has.failed || wants.failed;
    if (!has.failed && !wants.failed)
        findings_add(f, FINDING_MEMORY_SMALL, NULL,
                     "it may have %s, limits.memory says %s for documents alone: the kernel may "
                     "kill it, or requests are answered no_memory",
                     has.p, wants.p);
    buf_release(&has);
    buf_release(&wants);
}

void doctor_process(const struct env *env, const struct doctor_limits *limits, struct findings *f)
{
    uint64_t files = limit_of(RLIMIT_NOFILE);
    struct rlimit r;
    bool cores = getrlimit(RLIMIT_CORE, &r) == 0 && r.rlim_cur > 1; /* 1: cli/main.c */
    if (has_mapped(env, "libeatmydata", f))
        findings_add(f, FINDING_SYNC_DISABLED, NULL,
                     "libeatmydata is loaded: fsync does nothing, and a loss of power loses what "
                     "was confirmed");
    if (limits->descriptors && files && files < limits->descriptors + DESCRIPTORS_BESIDE)
        findings_add(f, FINDING_FEW_DESCRIPTORS, NULL,
                     "it may open %llu files, and limits.connections is %llu: beyond that clients "
                     "wait, and stores cannot be opened",
                     (unsigned long long)files, (unsigned long long)limits->descriptors);
    look_at_memory(env, limits->memory, f);
    if (limits->secrets && cores)
        findings_add(f, FINDING_CORE_DUMPS, NULL,
                     "core files are on (ulimit -c), and this process holds tokens or keys of "
                     "remotes or backups");
}
