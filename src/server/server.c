/* The server as a whole: made, stopped and freed; what is counted and logged; what waits for the
 * end of a turn.
 *
 * The hook at the end of every turn does what must not be done inside callbacks: it steps the
 * connections that were kicked, frees those that have gone, and sees to a stop that another thread
 * asked for. A hook of the store may run behind it and answer requests: what that kicks is done in
 * the next turn, which does not wait. */
#include "server/server_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "server/tickets.h"

#include <assert.h>
#include <unistd.h>
#include <utlist.h>

static const struct refusal_info {
    const char *metric, *event;
    enum log_level level;
    uint32_t rate;
} refusal_table[REFUSAL_COUNT] = {
#define R(name, metric, event, level, rate) {metric, event, level, rate},
    SERVER_REFUSALS(R)
#undef R
};

/* ------------------------------------------------------------------------------ small services */

void server_refused(struct server *s, enum refusal why, const struct conn *c, const char *detail)
{
    const struct refusal_info *info = &refusal_table[why];
    uint32_t unsaid;
    server_count(&s->refused[why], 1);
    if (info->event && log_quiet_may(&s->quiet[why], loop_now_ms(s->loop), info->rate, &unsaid))
        log_event(s->log, info->level, info->event, LOG_S("detail", detail),
                  LOG_S("door", c && peer_is_unix(c->peer) ? "unix" : "tcp"),
                  LOG_I("unsaid", unsaid), LOG_END);
}

str server_date(struct server *s)
{
    int64_t now = loop_now_ms(s->loop);
    if (now >= s->date_until_ms) {
        int64_t wall = env_wall_ms(s->env);
        answer_date(wall, s->date);
        s->date_until_ms = now + 1000 - (wall % 1000 + 1000) % 1000;
    }
    return (str){s->date, sizeof(s->date)};
}

void server_take_buf(struct server *s, struct buf *b)
{
    if (b->cap == 0 && !b->failed && s->spares > 0)
        *b = s->spare[--s->spares];
}

void server_give_buf(struct server *s, struct buf *b)
{
    if (b->cap == 0 && !b->failed)
        return;
    if (s->spares < SERVER_SPARE_COUNT && b->cap <= SERVER_SPARE_BYTES && !b->failed) {
        buf_clear(b);
        s->spare[s->spares++] = *b;
        *b = BUF_INIT;
    } else {
        buf_release(b);
        *b = BUF_INIT;
    }
}

static void put_metric(struct buf *out, const char *name, const char *type, const char *help,
                       uint64_t value)
{
    buf_printf(out,
               "# HELP keepfast_http_%s %s\n# TYPE keepfast_http_%s %s\nkeepfast_http_%s %llu\n",
               name, help, name, type, name, (unsigned long long)value);
}

static void put_certificate(struct buf *out, const struct certs_state *c)
{
    buf_printf(out,
               "# HELP keepfast_tls_not_after_timestamp_seconds When the certificate in force "
               "expires; 0 without TLS.\n"
               "# TYPE keepfast_tls_not_after_timestamp_seconds gauge\n"
               "keepfast_tls_not_after_timestamp_seconds %lld\n",
               (long long)(c->not_after_ms / 1000));
    buf_printf(out,
               "# HELP keepfast_tls_reload_failed Whether the files hold another certificate that "
               "does not fit.\n"
               "# TYPE keepfast_tls_reload_failed gauge\n"
               "keepfast_tls_reload_failed %d\n",
               c->failing);
    buf_printf(out,
               "# HELP keepfast_tls_loads_total Times that a certificate came into force.\n"
               "# TYPE keepfast_tls_loads_total counter\n"
               "keepfast_tls_loads_total %llu\n",
               (unsigned long long)c->loaded);
}

/* The sum of a number over the servers of all loops; `offset`: where it stands in one. */
static uint64_t of_all(const struct server *first, size_t offset)
{
    uint64_t sum = 0;
    for (const struct server *s = first; s; s = s->beside) {
        const _Atomic uint64_t *n = (const void *)((const char *)s +
                                                   offset); /* each is one of those */
        sum += atomic_load_explicit(n, memory_order_relaxed);
    }
    return sum;
}

/* On the first server's loop. */
static void write_metrics(struct api_metrics *m, struct buf *out)
{
    const struct server *s = (const struct server *)((const char *)m -
                                                     offsetof(struct server, metrics));
    uint64_t open = 0;
    for (const struct server *one = s; one; one = one->beside)
        open += one->connections;
#define SUM(member) of_all(s, offsetof(struct server, member))
    put_metric(out, "connections", "gauge", "Connections open now.", open);
    put_metric(out, "connections_total", "counter", "Connections taken.", SUM(accepted));
    put_metric(out, "requests_total", "counter", "Requests given to the router.", SUM(requests));
    put_metric(out, "read_bytes_total", "counter", "Bytes read from clients.", SUM(bytes_in));
    put_metric(out, "written_bytes_total", "counter", "Bytes written to clients.", SUM(bytes_out));
    put_metric(out, "gone_total", "counter", "Clients that left before their answer.", SUM(gone));
    buf_c(out,
          "# HELP keepfast_http_refused_total Requests and connections refused by the server.\n"
          "# TYPE keepfast_http_refused_total counter\n");
    for (size_t i = 0; i < REFUSAL_COUNT; i++)
        buf_printf(out, "keepfast_http_refused_total{reason=\"%s\"} %llu\n",
                   refusal_table[i].metric, (unsigned long long)SUM(refused[i]));
    struct certs_state state = {0};
    put_metric(out, "handshakes_total", "counter", "Handshakes of TLS that ended well.",
               SUM(handshakes));
    server_certs(s, &state);
    put_certificate(out, &state);
#undef SUM
}

/* ---------------------------------------------------------------------------------------- stop */

/* Told last: it may free the server. */
static void tell_stopped(struct server *s)
{
    s->told = true;
    loop_timer_cancel(&s->stop_timer);
    s->stopped(s->stopped_ctx);
}

static void drop_all(struct server *s)
{
    while (s->conns)
        conn_drop(s->conns);
}

static void stop_is_due(struct loop_timer *t)
{
    struct server *s = (struct server *)((char *)t - offsetof(struct server, stop_timer));
    drop_all(s);
    loop_wake(s->loop);
}

static void stop_begin(struct server *s)
{
    s->stopping = true;
    listen_close_all(s);
    for (struct conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        conn_stop(c);
    }
    if (loop_timer_set(s->loop, &s->stop_timer, SERVER_STOP_MS, stop_is_due) != KF_OK)
        drop_all(s);
}

void server_stop(struct server *s, void (*stopped)(void *ctx), void *ctx)
{
    if (atomic_flag_test_and_set(&s->stop_claimed))
        return;
    struct loop *loop = s->loop;
    s->stopped = stopped;
    s->stopped_ctx = ctx;
    atomic_store_explicit(&s->stop_asked, true, memory_order_release);
    loop_wake(loop); /* the server may be stopped and freed by now */
}

/* ------------------------------------------------------------------------- the end of a turn */

static void step_kicked(struct server *s)
{
    struct conn *c = s->kicked;
    s->kicked = NULL;
    s->kicked_end = &s->kicked;
    while (c) {
        struct conn *next = c->next_kicked;
        c->kicked = false;
        conn_step(c);
        c = next;
    }
}

static void free_dead(struct server *s)
{
    for (struct conn *c = s->dead, *next; c; c = next) {
        next = c->next;
        if (c->kicked)
            continue;
        DL_DELETE(s->dead, c);
        conn_free(c);
    }
}

/* What a burst needed is not kept when it has passed. */
static void trim_works(struct server *s)
{
    uint32_t keep = s->connections < SERVER_WORKS_IDLE ? s->connections : SERVER_WORKS_IDLE;
    while (s->works_idle > keep && s->works_idle > 1) {
        struct work *w = s->works;
        s->works = w->next;
        s->works_idle--;
        work_free(w);
    }
}

static bool end_of_turn(struct loop_hook *h)
{
    struct server *s = (struct server *)((char *)h - offsetof(struct server, hook));
    s->shakes = 0;
    step_kicked(s);
    if (!s->stopping && atomic_load_explicit(&s->stop_asked, memory_order_acquire))
        stop_begin(s);
    free_dead(s);
    trim_works(s);
    if (s->certs)
        certs_turn(s->certs);
    bool more = s->kicked != NULL;
    if (s->stopping && !s->told && !s->conns && s->connections == 0)
        tell_stopped(s);
    return more;
}

bool server_reloading(const struct server *s)
{
    return s->certs && certs_reloading(s->certs);
}

void server_reload(struct server *s)
{
    if (s->certs)
        certs_reload(s->certs);
}

bool server_plain_beyond(const struct server *s)
{
    return s->plain_beyond;
}

bool server_certs(const struct server *s, struct certs_state *ret)
{
    if (s->certs)
        certs_state(s->certs, ret);
    return s->certs != NULL;
}

/* ---------------------------------------------------------------------------------- new, free */

static kf_rc copy_list(struct buf *to, const str *list, size_t count, struct kf_err *err)
{
    for (size_t i = 0; i < count; i++) {
        buf_str(to, list[i]);
        buf_byte(to, '\0');
    }
    return buf_ok(to, err);
}

/* What may be missing. */
static kf_rc server_fill(struct server *s, const struct server_options *o, struct kf_err *err)
{
    kf_rc rc = copy_list(&s->hosts, o->allow_hosts, o->allow_host_count, err);
    if (rc == KF_OK)
        rc = copy_list(&s->origins, o->allow_origins, o->allow_origin_count, err);
    if (rc == KF_OK && o->allow_host_count > 0 && !o->has_tokens)
        log_event(s->log, LOG_WARN, "listen.open",
                  LOG_S("detail", "allow_hosts names clients beyond this machine and no token is "
                                  "defined: whoever a proxy lets through may do everything"),
                  LOG_S("next", "keepfast token create NAME"), LOG_END);
    if (rc != KF_OK || !o->tls_cert)
        return rc;
    s->tls_cert = mem_strdup(o->tls_cert);
    s->tls_key = mem_strdup(o->tls_key);
    return s->tls_cert && s->tls_key ? KF_OK : err_nomem(err);
}

static void server_release(struct server *s)
{
    certs_free(s->certs);
    tickets_free(s->tickets);
    mem_free(s->wire);
    mem_free(s->tls_cert);
    mem_free(s->tls_key);
    buf_release(&s->hosts);
    buf_release(&s->origins);
    pthread_mutex_destroy(&s->addresses_lock);
    if (s->reserve_fd >= 0)
        close(s->reserve_fd);
    mem_free(s);
}

/* TLS, where a pair is named; hooks. */
static kf_rc server_begin(struct server *s, struct kf_err *err)
{
    const struct server *first = s->first;
    if (first->tls_cert) {
        s->wire = mem_alloc(sizeof(*s->wire));
        if (!s->wire)
            return err_nomem(err);
        s->wire->env = s->env;
        kf_rc rc = first == s ? tickets_new(s->env, &s->tickets, err) : KF_OK;
        if (rc == KF_OK)
            rc = certs_new(s->loop, s->log, first->tls_cert, first->tls_key, first->tickets,
                           &s->certs, err);
        if (rc != KF_OK)
            return rc;
    }
    s->hook.run = end_of_turn;
    loop_after(s->loop, &s->hook);
    return KF_OK;
}

static struct server *server_blank(const struct env *env, struct loop *loop, struct log *log,
                                   struct api *api)
{
    struct server *s = mem_calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->env = env;
    s->loop = loop;
    s->log = log;
    s->api = api;
    s->first = s;
    s->kicked_end = &s->kicked;
    s->date_until_ms = INT64_MIN;
    s->reserve_fd = -1;
    pthread_mutex_init(&s->addresses_lock, NULL);
    return s;
}

kf_rc server_new(const struct server_options *options, struct server **ret_server,
                 struct kf_err *err)
{
    struct server *s = server_blank(options->env, options->loop, options->log, options->api);
    if (!s)
        return err_nomem(err);
    s->connections_max = options->connections_max;
    s->per_address_max = options->per_address_max;
    s->listen_insecure = options->listen_insecure;
    s->has_tokens = options->has_tokens;
    s->reserve_fd = accept_reserve();
    kf_rc rc = server_fill(s, options, err);
    if (rc == KF_OK)
        rc = server_begin(s, err);
    if (rc != KF_OK) {
        server_release(s);
        return rc;
    }
    s->metrics.write = write_metrics;
    api_add_metrics(s->api, &s->metrics);
    *ret_server = s;
    return KF_OK;
}

kf_rc server_new_beside(struct server *first, struct loop *loop, struct api *api,
                        struct server **ret_server, struct kf_err *err)
{
    struct server *s = server_blank(first->env, loop, first->log, api);
    if (!s)
        return err_nomem(err);
    s->first = first;
    buf_str(&s->hosts, buf_view(&first->hosts));
    buf_str(&s->origins, buf_view(&first->origins));
    kf_rc rc = buf_ok(&s->hosts, err);
    if (rc == KF_OK)
        rc = buf_ok(&s->origins, err);
    if (rc == KF_OK)
        rc = server_begin(s, err);
    if (rc != KF_OK) {
        server_release(s);
        return rc;
    }
    s->beside = first->beside;
    first->beside = s;
    *ret_server = s;
    return KF_OK;
}

static void leave_first(struct server *s)
{
    struct server **at = &s->first->beside;
    while (*at && *at != s)
        at = &(*at)->beside;
    if (*at)
        *at = s->beside;
}

void server_free(struct server *s)
{
    if (!s)
        return;
    listen_close_all(s);
    drop_all(s);
    for (struct conn *c = s->kicked; c; c = c->next_kicked)
        c->kicked = false;
    free_dead(s);
    while (s->works) {
        struct work *w = s->works;
        s->works = w->next;
        work_free(w);
    }
    loop_timer_cancel(&s->stop_timer);
    loop_after_remove(s->loop, &s->hook);
    if (s->first == s)
        api_remove_metrics(s->api, &s->metrics);
    else
        leave_first(s);
    for (size_t i = 0; i < s->spares; i++)
        buf_release(&s->spare[i]);
    server_release(s);
}
