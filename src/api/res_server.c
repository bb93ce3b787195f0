/* What a server says of itself: alive, ready, durable, numbers, the description of its routes. */
#include "api/api_internal.h"

void healthz(struct api_call *c)
{
    answer_json(c, 200, STR("{\"status\":\"alive\"}"));
}

void readyz(struct api_call *c)
{
    answer_json(c, 200, STR("{\"status\":\"ready\"}"));
}

/* One space: whether a write confirmed now would last; past this disk too, where backups are
 * wanted. */
static bool durable_space(const struct space *s, bool first_item, struct buf *out)
{
    struct kf_status status;
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_status(s->store, &status, &err);
    bool good = rc == KF_OK &&
                (status.state == KF_STATE_OPEN || status.state == KF_STATE_HYDRATING);
    const char *reason = rc == KF_OK ? status.reason : err.detail;
    if (good && status.backups.overdue_ms) {
        good = false;
        reason = status.backups.last_error[0] ? status.backups.last_error : "a backup is overdue";
    }
    bool first = true;
    buf_c(out, first_item ? "{" : ",{");
    json_put_str(out, &first, "space", str_of(s->name));
    json_put_bool(out, &first, "durable", good);
    json_put_str(out, &first, "state",
                 str_of(rc == KF_OK ? kf_state_name(status.state) : err.code));
    json_put_str(out, &first, "reason", str_of(reason));
    buf_c(out, "}");
    return good;
}

/* To whom it may concern nothing but whether: names and reasons are for who has a token. */
static void durable_to_all(struct api_call *c)
{
    bool good = true, first = true;
    struct buf unseen = BUF_INIT;
    for (size_t i = 0; i < c->held_count; i++)
        good = durable_space(c->held[i], first, &unseen) && good;
    buf_release(&unseen);
    c->status = good ? 200 : 503;
    buf_c(&c->out, good ? "{\"status\":\"durable\"}" : "{\"status\":\"not durable\"}");
}

static void work_durable(struct api_call *c)
{
    bool good = true, first = true;
    if (!c->known) {
        durable_to_all(c);
        return;
    }
    struct buf items = BUF_INIT;
    for (size_t i = 0; i < c->held_count; i++) {
        good = durable_space(c->held[i], first, &items) && good;
        first = false;
    }
    c->status = good ? 200 : 503;
    buf_c(&c->out,
          good ? "{\"status\":\"durable\",\"items\":[" : "{\"status\":\"not durable\",\"items\":[");
    buf_str(&c->out, buf_view(&items));
    buf_c(&c->out, "]}");
    if (items.failed)
        c->rc = err_nomem(&c->err);
    buf_release(&items);
}

/* A worker looks at the spaces, which this call holds meanwhile. */
static void work_on_all(struct api_call *c, void (*work)(struct api_call *c),
                        void (*then)(struct api_call *c))
{
    if (call_hold_all(c, &c->err) == KF_OK)
        call_work(c, work, then);
    else
        answer_problem(c, &c->err);
}

void durablez(struct api_call *c)
{
    work_on_all(c, work_durable, call_answer_out);
}

/* -------------------------------------------------------------------------------------- metrics */

/* A number of each space. */
struct gauge {
    const char *name, *type, *help;
    uint64_t (*read)(const struct kf_status *s);
};

#define GAUGE(fn, expr)                           \
    static uint64_t fn(const struct kf_status *s) \
    {                                             \
        return (uint64_t)(expr);                  \
    }
GAUGE(read_docs, s->docs)
GAUGE(read_doc_bytes, s->doc_bytes)
GAUGE(read_disk_bytes, s->disk_bytes)
GAUGE(read_disk_free, s->disk_free)
GAUGE(read_wal_bytes, s->wal_bytes)
GAUGE(read_cache_bytes, s->cache_bytes)
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
    {"keepfast_docs", "gauge", "Current documents", read_docs},
    {"keepfast_doc_bytes", "gauge", "Bytes of current documents", read_doc_bytes},
    {"keepfast_disk_bytes", "gauge", "Bytes of the store's files", read_disk_bytes},
    {"keepfast_disk_free_bytes", "gauge", "Bytes free on the file system", read_disk_free},
    {"keepfast_wal_bytes", "gauge", "Bytes of the write-ahead log", read_wal_bytes},
    {"keepfast_cache_bytes", "gauge", "Bytes of documents in memory", read_cache_bytes},
    {"keepfast_commits_total", "counter", "Groups committed", read_commits},
    {"keepfast_flush_microseconds", "gauge", "How long the last commits took in the mean",
     read_flush},
    {"keepfast_writes_total", "counter", "Writes committed", read_writes},
    {"keepfast_pending", "gauge", "Items pending at the remote that lags most", read_pending},
    {"keepfast_pending_bytes", "gauge", "Bytes pending at the remote that lags most",
     read_pending_bytes},
    {"keepfast_durable", "gauge", "1 when writes are taken", read_durable},
    {"keepfast_hydrating", "gauge", "1 while the store is being filled", read_hydrating},
    {"keepfast_backup_seconds", "gauge", "When the last good scheduled backup was made, 0 = never",
     read_backup},
    {"keepfast_backup_overdue_since_seconds", "gauge",
     "Since when a scheduled backup is late, 0 = it is not", read_backup_overdue},
    {"keepfast_backup_failures", "gauge", "Failed scheduled backups in a row",
     read_backup_failures},
    {"keepfast_backup_drill_seconds", "gauge", "When the last restore drill was, 0 = never",
     read_drill},
    {"keepfast_backup_drill_good", "gauge", "1 when the last restore drill was good",
     read_drill_good},
};

struct sampled {
    const char *space;
    struct kf_status status;
    struct kf_remote_list remotes;
};

static void remote_lines(const struct sampled *s, size_t n, const char *metric, const char *help,
                         int64_t (*read)(const struct kf_remote_info *r), struct buf *out)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", metric, help, metric);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < s[i].remotes.count; k++) {
            const struct kf_remote_info *r = &s[i].remotes.items[k];
            buf_printf(out, "%s{space=\"%s\",remote=\"%s\"} %lld\n", metric, s[i].space, r->name,
                       (long long)read(r));
        }
}

static int64_t remote_pending_count(const struct kf_remote_info *r)
{
    return (int64_t)r->pending.count;
}
static int64_t remote_pending_bytes(const struct kf_remote_info *r)
{
    return (int64_t)r->pending.bytes;
}
/* Points of time in seconds since 1970, 0 = none: what alert rules compare with time(). */
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

static void own_lines(const struct api *first, struct buf *out)
{
    buf_printf(out,
               "# HELP keepfast_requests_total Requests begun\n"
               "# TYPE keepfast_requests_total counter\nkeepfast_requests_total %llu\n",
               (unsigned long long)requests_of_all(first));
    buf_c(out, "# HELP keepfast_problems_total Answers that were problems, by code\n"
               "# TYPE keepfast_problems_total counter\n");
    for (int i = 0; i < PROBLEM_COUNT; i++) {
        uint64_t n = problems_of_all(first, i);
        if (n)
            buf_printf(out, "keepfast_problems_total{code=\"%s\"} %llu\n", problem_table[i].code,
                       (unsigned long long)n);
    }
}

static void space_lines(const struct sampled *s, size_t n, struct buf *out)
{
    for (size_t g = 0; g < sizeof gauges / sizeof *gauges; g++) {
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", gauges[g].name, gauges[g].help,
                   gauges[g].name, gauges[g].type);
        for (size_t i = 0; i < n; i++)
            buf_printf(out, "%s{space=\"%s\"} %llu\n", gauges[g].name, s[i].space,
                       (unsigned long long)gauges[g].read(&s[i].status));
    }
    remote_lines(s, n, "keepfast_remote_pending", "Items not yet confirmed", remote_pending_count,
                 out);
    remote_lines(s, n, "keepfast_remote_pending_bytes", "Bytes not yet confirmed",
                 remote_pending_bytes, out);
    remote_lines(s, n, "keepfast_remote_oldest_pending_seconds",
                 "When the oldest unconfirmed change was made, 0 = none", remote_oldest, out);
    remote_lines(s, n, "keepfast_remote_confirmed_seconds", "Last confirmation, 0 = never",
                 remote_confirmed, out);
    remote_lines(s, n, "keepfast_remote_overdue_since_seconds",
                 "Since when a run is late, 0 = it is not", remote_overdue, out);
    remote_lines(s, n, "keepfast_remote_set_aside", "Items left alone while the rest goes on",
                 remote_aside_count, out);
    remote_lines(s, n, "keepfast_remote_failures", "Failed runs in a row", remote_failures, out);
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
    if (c->rc != KF_OK)
        answer_problem(c, &c->err);
    else
        answer_bytes(c, 200, "text/plain; version=0.0.4; charset=utf-8", buf_view(&c->out));
}

static void metrics_done(struct api_call *c)
{
    if (c->rc == KF_OK)
        call_at_home(c, add_own_lines, metrics_made);
    else
        metrics_made(c);
}

void metrics(struct api_call *c)
{
    work_on_all(c, work_metrics, metrics_done);
}

void openapi(struct api_call *c)
{
    c->rc = api_openapi(&c->out, &c->err);
    call_answer_out(c);
}
