/* GET /metrics: numbers in the Prometheus text format.
 *
 * Units are seconds and bytes. A point in time is seconds since 1970 and its name ends in
 * _timestamp_seconds, 0 = never; what only grows ends in _total. packaging/prometheus and
 * packaging/grafana use these names, and a test holds them against what is written here.
 *
 * A token for some spaces sees their numbers alone: what the server as a whole does would tell it
 * of the others. */
#include "api/api_internal.h"

#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* -------------------------------------------------------------------------------- of each space */

/* micro: read() gives millionths. */
struct gauge {
    const char *name, *type, *help;
    uint64_t (*read)(const struct kf_status *s);
    bool micro;
};

#define GAUGE(fn, expr)                           \
    static uint64_t fn(const struct kf_status *s) \
    {                                             \
        return (uint64_t)(expr);                  \
    }
GAUGE(read_docs, s->docs)
GAUGE(read_doc_bytes, s->doc_bytes)
GAUGE(read_disk_bytes, s->disk_bytes)
GAUGE(read_used, s->used_bytes)
GAUGE(read_quota, s->quota_bytes)
GAUGE(read_disk_free, s->disk_free)
GAUGE(read_wal_bytes, s->wal_bytes)
GAUGE(read_cache_bytes, s->cache_bytes)
GAUGE(read_streams, s->streams)
GAUGE(read_entries, s->entries)
GAUGE(read_entry_bytes, s->entry_bytes)
GAUGE(read_windows, s->windows)
GAUGE(read_window_bytes, s->window_bytes)
GAUGE(read_window_hits, s->window_hits)
GAUGE(read_window_misses, s->window_misses)
GAUGE(read_window_evictions, s->window_evictions)
GAUGE(read_appended, s->appended)
GAUGE(read_duplicates, s->duplicates)
GAUGE(read_searches, s->searches)
GAUGE(read_search_time, s->search_us)
GAUGE(read_erasures, s->erasures)
GAUGE(read_tracked, s->tracked)
GAUGE(read_tracked_stopped, s->tracked_stopped)
GAUGE(read_changes, s->changes)
GAUGE(read_changes_waiting, s->changes_waiting)
GAUGE(read_changes_waiting_since, s->changes_waiting_ms / 1000)
GAUGE(read_changes_held, s->changes_held)
GAUGE(read_changes_held_since, s->changes_held_ms / 1000)
GAUGE(read_commits, s->commits)
GAUGE(read_flush, s->flush_us)
GAUGE(read_writes, s->writes)
GAUGE(read_pending, s->pending.count)
GAUGE(read_pending_bytes, s->pending.bytes)
GAUGE(read_durable, s->state == KF_STATE_OPEN || s->state == KF_STATE_HYDRATING)
GAUGE(read_hydrating, s->state == KF_STATE_HYDRATING)

GAUGE(read_backup, s->backups.last.at_ms / 1000)
GAUGE(read_backup_overdue, s->backups.overdue_ms / 1000)
GAUGE(read_backup_failures, s->backups.failures)
GAUGE(read_drill, s->backups.drill.at_ms / 1000)
GAUGE(read_drill_good, s->backups.drill.good)

static const struct gauge gauges[] = {
    {"keepfast_docs", "gauge", "Current documents", read_docs, false},
    {"keepfast_doc_bytes", "gauge", "Bytes of current documents", read_doc_bytes, false},
    {"keepfast_disk_bytes", "gauge", "Bytes of the store's files", read_disk_bytes, false},
    {"keepfast_used_bytes", "gauge", "Bytes of the content, old versions too", read_used, false},
    {"keepfast_quota_bytes", "gauge", "What the content may take up (limits.quota); 0: no bound",
     read_quota, false},
    {"keepfast_disk_free_bytes", "gauge", "Bytes free on the file system", read_disk_free, false},
    {"keepfast_wal_bytes", "gauge", "Bytes of the write-ahead log", read_wal_bytes, false},
    {"keepfast_cache_bytes", "gauge", "Bytes of documents in memory", read_cache_bytes, false},
    {"keepfast_streams", "gauge", "Streams", read_streams, false},
    {"keepfast_entries", "gauge", "Entries of all streams", read_entries, false},
    {"keepfast_entry_bytes", "gauge", "Bytes of their bodies", read_entry_bytes, false},
    {"keepfast_entries_appended_total", "counter", "Entries appended", read_appended, false},
    {"keepfast_entries_duplicate_total", "counter",
     "Entries that were sent again and were there already", read_duplicates, false},
    {"keepfast_windows", "gauge", "Streams in memory", read_windows, false},
    {"keepfast_window_bytes", "gauge", "Bytes of streams in memory", read_window_bytes, false},
    {"keepfast_window_hits_total", "counter", "Reads of entries that memory has answered",
     read_window_hits, false},
    {"keepfast_window_misses_total", "counter", "Reads of entries for which the store was asked",
     read_window_misses, false},
    {"keepfast_window_evictions_total", "counter",
     "Streams that went from memory, for room or because nobody asked", read_window_evictions,
     false},
    {"keepfast_searches_total", "counter", "Searches", read_searches, false},
    {"keepfast_search_seconds_total", "counter", "How long all searches took", read_search_time,
     true},
    {"keepfast_erasures_total", "counter", "Erasures of streams and persons", read_erasures, false},
    {"keepfast_tracked_tables", "gauge", "Tables of PostgreSQL that are tracked", read_tracked,
     false},
    {"keepfast_tracked_tables_stopped", "gauge",
     "Of those: missing, with triggers off, or not fit any more", read_tracked_stopped, false},
    {"keepfast_changes_total", "counter", "Changes of tracked tables that had a number",
     read_changes, false},
    {"keepfast_changes_waiting", "gauge", "Changes that are committed and not numbered yet",
     read_changes_waiting, false},
    {"keepfast_changes_oldest_waiting_timestamp_seconds", "gauge",
     "When the first of them was made, 0 = none", read_changes_waiting_since, false},
    {"keepfast_changes_held", "gauge", "Open transactions that have changed tracked tables",
     read_changes_held, false},
    {"keepfast_changes_held_since_timestamp_seconds", "gauge",
     "When the oldest of them began, 0 = there is none, or it is not shown to our role",
     read_changes_held_since, false},
    {"keepfast_commits_total", "counter", "Groups committed", read_commits, false},
    {"keepfast_flush_seconds", "gauge", "How long the last commits took in the mean", read_flush,
     true},
    {"keepfast_writes_total", "counter", "Writes committed", read_writes, false},
    {"keepfast_pending", "gauge", "Items pending at the remote that lags most", read_pending,
     false},
    {"keepfast_pending_bytes", "gauge", "Bytes pending at the remote that lags most",
     read_pending_bytes, false},
    {"keepfast_durable", "gauge", "1 when writes are taken", read_durable, false},
    {"keepfast_hydrating", "gauge", "1 while the store is being filled", read_hydrating, false},
    {"keepfast_backup_timestamp_seconds", "gauge",
     "When the last good scheduled backup was made, 0 = never", read_backup, false},
    {"keepfast_backup_overdue_since_timestamp_seconds", "gauge",
     "Since when a scheduled backup is late, 0 = it is not", read_backup_overdue, false},
    {"keepfast_backup_failures", "gauge", "Failed scheduled backups in a row", read_backup_failures,
     false},
    {"keepfast_backup_drill_timestamp_seconds", "gauge",
     "When the last restore drill was, 0 = never", read_drill, false},
    {"keepfast_backup_drill_good", "gauge", "1 when the last restore drill was good",
     read_drill_good, false},
};

/* ------------------------------------------------------------------------------- of each remote */

static int64_t remote_pending_count(const struct kf_remote_info *r)
{
    return (int64_t)r->pending.count;
}
static int64_t remote_pending_bytes(const struct kf_remote_info *r)
{
    return (int64_t)r->pending.bytes;
}
static int64_t remote_oldest(const struct kf_remote_info *r)
{
    return r->pending.oldest_ms / 1000;
}
static int64_t remote_confirmed(const struct kf_remote_info *r)
{
    return r->confirmed_ms / 1000;
}
static int64_t remote_overdue(const struct kf_remote_info *r)
{
    return r->overdue_ms / 1000;
}
static int64_t remote_aside_count(const struct kf_remote_info *r)
{
    return (int64_t)r->set_aside;
}
static int64_t remote_failures(const struct kf_remote_info *r)
{
    return r->failures;
}

static const struct remote_gauge {
    const char *name, *help;
    int64_t (*read)(const struct kf_remote_info *r);
} remote_gauges[] = {
    {"keepfast_remote_pending", "Items not yet confirmed", remote_pending_count},
    {"keepfast_remote_pending_bytes", "Bytes not yet confirmed", remote_pending_bytes},
    {"keepfast_remote_oldest_pending_timestamp_seconds",
     "When the oldest unconfirmed change was made, 0 = none", remote_oldest},
    {"keepfast_remote_confirmed_timestamp_seconds", "Last confirmation, 0 = never",
     remote_confirmed},
    {"keepfast_remote_overdue_since_timestamp_seconds", "Since when a run is late, 0 = it is not",
     remote_overdue},
    {"keepfast_remote_set_aside", "Items left alone while the rest goes on", remote_aside_count},
    {"keepfast_remote_failures", "Failed runs in a row", remote_failures},
};

struct sampled {
    const char *space;
    struct kf_status status;
    struct kf_remote_list remotes;
};

static void remote_lines(const struct sampled *s, size_t n, const struct remote_gauge *g,
                         struct buf *out)
{
    head(out, g->name, "gauge", g->help);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < s[i].remotes.count; k++) {
            const struct kf_remote_info *r = &s[i].remotes.items[k];
            buf_printf(out, "%s{space=\"%s\",remote=\"%s\"} %lld\n", g->name, s[i].space, r->name,
                       (long long)g->read(r));
        }
}

static void space_line(const struct sampled *s, const struct gauge *g, struct buf *out)
{
    unsigned long long value = g->read(&s->status), unit = g->micro ? 1000000 : 1;
    buf_printf(out, "%s{space=\"%s\"} %llu", g->name, s->space, value / unit);
    if (g->micro)
        buf_printf(out, ".%06llu", value % unit);
    buf_byte(out, '\n');
}

static void space_lines(const struct sampled *s, size_t n, struct buf *out)
{
    for (size_t g = 0; g < sizeof gauges / sizeof *gauges; g++) {
        head(out, gauges[g].name, gauges[g].type, gauges[g].help);
        for (size_t i = 0; i < n; i++)
            /* a database does not say how much is free around it */
            if (gauges[g].read != read_disk_free || s[i].status.level != KF_LEVEL_SHARED)
                space_line(&s[i], &gauges[g], out);
    }
    for (size_t g = 0; g < sizeof remote_gauges / sizeof *remote_gauges; g++)
        remote_lines(s, n, &remote_gauges[g], out);
}

/* ------------------------------------------------------------------------------ of the server */

/* The second number of /proc/self/statm, in pages. */
static uint64_t resident_bytes(const struct env *env)
{
    struct buf b = BUF_INIT;
    uint64_t pages = 0;
    if (file_load(env, "/proc/self/statm", 256, &b, NULL) == KF_OK) {
        str rest = str_from(buf_view(&b), str_index(buf_view(&b), ' ') + 1);
        str_to_u64((str){rest.p, str_index(rest, ' ')}, &pages);
    }
    buf_release(&b);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t open_descriptors(const struct env *env)
{
    struct buf names = BUF_INIT;
    uint64_t count = 0;
    if (dir_list(env, "/proc/self/fd", &names, NULL) == KF_OK)
        for (size_t i = 0; i < names.len; i++)
            count += names.p[i] == '\0';
    buf_release(&names);
    return count;
}

/* What Prometheus expects of any process, by the names that it expects. */
static void process_lines(const struct api *api, struct buf *out)
{
    struct rusage used = {0};
    struct rlimit files = {0};
    struct timeval cpu;
    getrusage(RUSAGE_SELF, &used);
    getrlimit(RLIMIT_NOFILE, &files);
    timeradd(&used.ru_utime, &used.ru_stime, &cpu);
    head(out, "process_start_time_seconds", "gauge", "When the process started");
    buf_printf(out, "process_start_time_seconds %lld.%03lld\n",
               (long long)api->home->started_ms / 1000, (long long)api->home->started_ms % 1000);
    head(out, "process_cpu_seconds_total", "counter", "Time on processors");
    buf_printf(out, "process_cpu_seconds_total %lld.%06lld\n", (long long)cpu.tv_sec,
               (long long)cpu.tv_usec);
    head(out, "process_resident_memory_bytes", "gauge", "Memory in use");
    buf_printf(out, "process_resident_memory_bytes %llu\n",
               (unsigned long long)resident_bytes(api->o.env));
    head(out, "process_open_fds", "gauge", "Descriptors open");
    buf_printf(out, "process_open_fds %llu\n", (unsigned long long)open_descriptors(api->o.env));
    head(out, "process_max_fds", "gauge", "Descriptors that may be open");
    buf_printf(out, "process_max_fds %llu\n", (unsigned long long)files.rlim_cur);
}

/* Of the routers of all loops. */
static uint64_t requests_of_all(const struct api *first)
{
    uint64_t sum = 0;
    for (const struct api *a = first; a; a = a->next)
        sum += atomic_load_explicit(&a->requests, memory_order_relaxed);
    return sum;
}

static uint64_t problems_of_all(const struct api *first, int problem)
{
    uint64_t sum = 0;
    for (const struct api *a = first; a; a = a->next)
        sum += atomic_load_explicit(&a->problems[problem], memory_order_relaxed);
    return sum;
}

/* Every code, also those that were never answered: a counter that begins with 1 hides its first. */
static void own_lines(const struct api *first, struct buf *out)
{
    head(out, "keepfast_build_info", "gauge", "1, with the versions of the program and its SQLite");
    buf_printf(out, "keepfast_build_info{version=\"%s\",sqlite=\"%s\"} 1\n", kf_version(),
               db_engine_version());
    head(out, "keepfast_requests_total", "counter", "Requests begun");
    buf_printf(out, "keepfast_requests_total %llu\n", (unsigned long long)requests_of_all(first));
    head(out, "keepfast_problems_total", "counter", "Answers that were problems, by code");
    for (int i = 0; i < PROBLEM_COUNT; i++)
        buf_printf(out, "keepfast_problems_total{code=\"%s\"} %llu\n", problem_table[i].code,
                   (unsigned long long)problems_of_all(first, i));
}

/* Whether the call may know of everything here. */
static bool sees_all(const struct api_call *c)
{
    const struct token_scope *scope = auth_scope(c);
    return !scope || scope->space_count == 0;
}

static void work_metrics(struct api_call *c)
{
    size_t n = 0;
    struct sampled *samples = arena_alloc(&c->arena, (c->held_count + 1) * sizeof *samples);
    if (!samples) {
        c->rc = err_nomem(&c->err);
        return;
    }
    for (; n < c->held_count; n++) {
        const struct space *s = c->held[n];
        samples[n] = (struct sampled){.space = s->name};
        if (kf_status(s->store, &samples[n].status, NULL) == KF_OK)
            kf_remotes(s->store, &samples[n].remotes, NULL);
    }
    space_lines(samples, n, &c->out);
    for (size_t i = 0; i < n; i++)
        kf_remote_list_free(&samples[i].remotes);
    if (sees_all(c))
        process_lines(c->api, &c->out);
}

/* On the home loop, where the doors' numbers are added up. */
static void add_own_lines(struct api_call *c)
{
    const struct api *first = c->api->home->routers;
    own_lines(first, &c->out);
    for (struct api_metrics *m = first->metrics; m; m = m->next)
        m->write(m, &c->out);
    c->rc = buf_ok(&c->out, &c->err);
}

static void metrics_made(struct api_call *c)
{
    if (c->rc == KF_OK)
        c->rc = buf_ok(&c->out, &c->err);
    if (c->rc != KF_OK)
        answer_problem(c, &c->err);
    else
        answer_bytes(c, 200, "text/plain; version=0.0.4; charset=utf-8", buf_view(&c->out));
}

static void metrics_done(struct api_call *c)
{
    if (c->rc == KF_OK && sees_all(c))
        call_at_home(c, add_own_lines, metrics_made);
    else
        metrics_made(c);
}

void metrics(struct api_call *c)
{
    call_work_on_all(c, work_metrics, metrics_done);
}
