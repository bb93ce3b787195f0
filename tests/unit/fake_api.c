#include "fake_api.h"

#include "base/mem.h"

#include <assert.h>
#include <stdio.h>

#define FILL_LEN (1024 * 1024)
static char fill[FILL_LEN];

enum route {
    CONST,
    ECHO,
    SOON,
    LATE,
    DELAY,
    NEVER,
    STREAM,
    DRIP,
    WHAT,
    NOBODY,
    EARLY,
    HOLD,
    BROKEN,
    INJECT,
    CLOSE,
    NONE
};

struct api {
    struct loop *loop;
    struct loop_hook hook;
    struct api_call *late; /* to be answered at the end of the turn */
    struct api_metrics *metrics;
    struct fake_counts counts;
};

struct api_call {
    struct api *api;
    const struct api_door *door;
    void *ctx;
    struct api_call *next; /* of api->late */
    struct loop_timer timer;
    enum route route;
    bool busy, answering, held, is_head;
    uint64_t a, b; /* numbers of the target */
    struct buf body;
};

/* ----------------------------------------------------------------------------------- the router */

static bool late_answers(struct loop_hook *h);

struct api *fake_api_new(struct loop *loop)
{
    struct api *api = mem_calloc(1, sizeof(*api));
    if (!api)
        return NULL;
    if (fill[0] == 0)
        memset(fill, 'x', sizeof(fill));
    api->loop = loop;
    api->hook.run = late_answers;
    loop_after(loop, &api->hook);
    return api;
}

void fake_api_free(struct api *api)
{
    assert(api->counts.calls == 0 && !api->metrics && !api->late);
    loop_after_remove(api->loop, &api->hook);
    mem_free(api);
}

struct fake_counts *fake_api_counts(struct api *api)
{
    return &api->counts;
}

void api_add_metrics(struct api *api, struct api_metrics *m)
{
    m->next = api->metrics;
    api->metrics = m;
}

void api_remove_metrics(struct api *api, struct api_metrics *m)
{
    struct api_metrics **at = &api->metrics;
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
}

void fake_api_metrics(struct api *api, struct buf *out)
{
    for (struct api_metrics *m = api->metrics; m; m = m->next)
        m->write(m, out);
}

kf_rc api_call_new(struct api *api, const struct api_door *door, void *ctx,
                   struct api_call **ret_call, struct kf_err *err)
{
    struct api_call *c = mem_calloc(1, sizeof(*c));
    if (!c)
        return err_nomem(err);
    *c = (struct api_call){.api = api, .door = door, .ctx = ctx};
    api->counts.calls++;
    *ret_call = c;
    return KF_OK;
}

static void unlink_late(struct api_call *c)
{
    struct api_call **at = &c->api->late;
    while (*at && *at != c)
        at = &(*at)->next;
    if (*at)
        *at = c->next;
}

void api_abandon(struct api_call *c)
{
    if (c->busy)
        c->api->counts.abandoned++;
    unlink_late(c);
    loop_timer_cancel(&c->timer);
    buf_release(&c->body);
    c->api->counts.calls--;
    mem_free(c);
}

/* -------------------------------------------------------------------------------------- answers */

static void head(struct api_call *c, int status, int64_t len)
{
    struct api_header headers[] = {{STR("Content-Type"), STR("application/json")},
                                   {STR("X-Request-Id"), STR("0123456789abcdef")}};
    c->answering = true;
    c->door->head(c->ctx, &(struct api_answer){status, headers, 2, len});
}

static void end(struct api_call *c, bool close, bool ok)
{
    assert(c->busy);
    c->busy = c->answering = false;
    c->api->counts.ended++;
    c->door->end(c->ctx, close, ok);
}

static void answer(struct api_call *c, int status, str body)
{
    head(c, status, (int64_t)body.len);
    if (!c->is_head)
        c->door->body(c->ctx, body);
    end(c, false, true);
}

/* Gives pieces until the door is full; goes on in api_drained. */
static void stream(struct api_call *c)
{
    while (c->a > 0) {
        c->a--;
        if (!c->door->body(c->ctx, (str){fill, c->b}) && c->a > 0)
            return;
    }
    end(c, false, true);
}

static void drip(struct loop_timer *t)
{
    struct api_call *c = (struct api_call *)((char *)t - offsetof(struct api_call, timer));
    c->door->body(c->ctx, STR("."));
    if (--c->a == 0)
        end(c, false, true);
    else
        (void)!loop_timer_set(c->api->loop, t, 10, drip);
}

static void delayed(struct loop_timer *t)
{
    struct api_call *c = (struct api_call *)((char *)t - offsetof(struct api_call, timer));
    answer(c, 200, STR("late"));
}

static void take_now(struct loop_timer *t)
{
    struct api_call *c = (struct api_call *)((char *)t - offsetof(struct api_call, timer));
    c->held = true;
    c->door->more(c->ctx);
}

static bool late_answers(struct loop_hook *h)
{
    struct api *api = (struct api *)((char *)h - offsetof(struct api, hook));
    while (api->late) {
        struct api_call *c = api->late;
        api->late = c->next;
        answer(c, 201, c->body.len ? buf_view(&c->body) : STR("late"));
    }
    return false;
}

static void break_off(struct api_call *c)
{
    head(c, 200, 100);
    c->door->body(c->ctx, STR("0123456789"));
    end(c, true, false);
}

static void inject(struct api_call *c)
{
    struct api_header headers[] = {{STR("X-Evil"), STR("a\r\nSet-Cookie: b\r\n\r\n")}};
    c->door->head(c->ctx, &(struct api_answer){200, headers, 1, 0});
    end(c, false, true);
}

static void what(struct api_call *c)
{
    head(c, 200, -1);
    c->door->body(c->ctx, buf_view(&c->body));
    end(c, false, true);
}

static void finish(struct api_call *c)
{
    switch (c->route) {
    case CONST: answer(c, 200, (str){fill, c->a}); return;
    case HOLD:
    case ECHO: answer(c, 200, buf_view(&c->body)); return;
    case LATE:
        for (struct api_call **at = &c->api->late;; at = &(*at)->next)
            if (!*at) {
                c->next = NULL;
                *at = c;
                return;
            }
    case DELAY: (void)!loop_timer_set(c->api->loop, &c->timer, (int64_t)c->a, delayed); return;
    case NEVER: return;
    case STREAM:
        head(c, 200, -1);
        stream(c);
        return;
    case DRIP:
        head(c, 200, -1);
        (void)!loop_timer_set(c->api->loop, &c->timer, 10, drip);
        return;
    case WHAT: what(c); return;
    case NOBODY:
        head(c, 204, 0);
        end(c, false, true);
        return;
    case BROKEN: break_off(c); return;
    case INJECT: inject(c); return;
    case CLOSE:
        head(c, 200, 2);
        c->door->body(c->ctx, STR("ok"));
        end(c, true, true);
        return;
    default: answer(c, 404, STR("absent"));
    }
}

/* ------------------------------------------------------------------------------------- requests */

/* At most FILL_LEN: what is answered is a part of `fill`. */
static void number(str s, uint64_t *ret)
{
    for (*ret = 0; s.len > 0 && *s.p >= '0' && *s.p <= '9'; s.p++, s.len--)
        *ret = *ret * 10 + (uint64_t)(*s.p - '0') < FILL_LEN ? *ret * 10 + (uint64_t)(*s.p - '0')
                                                             : FILL_LEN;
}

static enum route route_of(struct api_call *c, str target)
{
    static const char *const names[] = {"/const/", "/echo",    "/soon",   "/late",   "/delay/",
                                        "/never",  "/stream/", "/drip/",  "/what",   "/nobody",
                                        "/early",  "/hold",    "/broken", "/inject", "/close"};
    for (size_t i = 0; i < NONE; i++) {
        str name = str_of(names[i]);
        if (!str_starts(target, name))
            continue;
        str rest = str_from(target, name.len);
        number(rest, &c->a);
        number(str_from(rest, str_index(rest, '/') + 1), &c->b);
        return (enum route)i;
    }
    return NONE;
}

void api_begin(struct api_call *c, const struct api_head *h)
{
    assert(!c->busy);
    c->busy = true;
    c->held = false;
    c->is_head = h->method == API_HEAD;
    c->api->counts.begun++;
    c->api->counts.last_length = h->content_length;
    c->api->counts.last_peer = h->peer;
    buf_clear(&c->body);
    c->route = route_of(c, h->target);
    if (c->route == WHAT) {
        buf_printf(&c->body, "%.*s %.*s\n", STR_ARGS(h->method_text), STR_ARGS(h->target));
        for (size_t i = 0; i < h->header_count; i++)
            buf_printf(&c->body, "%.*s=%.*s\n", STR_ARGS(h->headers[i].name),
                       STR_ARGS(h->headers[i].value));
    } else if (c->route == SOON) {
        answer(c, 200, STR("soon"));
    } else if (c->route == EARLY) {
        head(c, 413, 5);
        c->door->body(c->ctx, STR("early"));
        end(c, true, true);
    }
}

bool api_data(struct api_call *c, str bytes)
{
    assert(c->busy);
    if (c->route == HOLD && !c->held) {
        if (!c->timer.loop)
            (void)!loop_timer_set(c->api->loop, &c->timer, 10, take_now);
        return false;
    }
    c->api->counts.data_bytes += bytes.len;
    if (c->route != WHAT)
        buf_str(&c->body, bytes);
    return true;
}

void api_eof(struct api_call *c)
{
    assert(c->busy);
    finish(c);
}

void api_drained(struct api_call *c)
{
    if (c->busy && c->answering && c->route == STREAM)
        stream(c);
}

void api_refuse(struct api *api, const struct api_door *door, void *ctx, enum problem problem,
                const char *detail)
{
    const struct problem_info *info = &problem_table[problem];
    struct api_header headers[] = {{STR("Content-Type"), STR("application/problem+json")},
                                   {STR("Retry-After"), STR("1")}};
    char body[64];
    int len = snprintf(body, sizeof(body), "{\"code\":\"%s\"}", info->code);
    api->counts.refused++;
    api->counts.last_refused = problem;
    snprintf(api->counts.last_detail, sizeof(api->counts.last_detail), "%s", detail);
    door->head(ctx, &(struct api_answer){info->http_status, headers, info->retryable ? 2 : 1, len});
    door->body(ctx, (str){body, (size_t)len});
    door->end(ctx, true, true);
}
