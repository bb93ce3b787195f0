/* What a server says of itself: alive, ready, durable, the description of its routes. */
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
 * wanted. KF_NOMEM: it is not known. */
static kf_rc durable_space(const struct space *s, bool *good_all, struct buf *out,
                           struct kf_err *err)
{
    struct kf_status status;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = kf_status(s->store, &status, &why);
    if (rc == KF_NOMEM)
        return err_nomem(err);
    bool good = rc == KF_OK &&
                (status.state == KF_STATE_OPEN || status.state == KF_STATE_HYDRATING);
    const char *reason = rc == KF_OK ? status.reason : why.detail;
    if (good && status.backups.overdue_ms) {
        good = false;
        reason = status.backups.last_error[0] ? status.backups.last_error : "a backup is overdue";
    }
    bool first = true;
    buf_c(out, out->len ? ",{" : "{");
    json_put_str(out, &first, "space", str_of(s->name));
    json_put_bool(out, &first, "durable", good);
    json_put_str(out, &first, "state",
                 str_of(rc == KF_OK ? kf_state_name(status.state) : why.code));
    json_put_str(out, &first, "reason", str_of(reason));
    buf_c(out, "}");
    *good_all = *good_all && good;
    return buf_ok(out, err);
}

/* For those without a token what was found holds for a moment: each look counts the documents of
 * all spaces, and anybody may ask for it as often as they like. */
#define DURABLE_MS 1000

/* The status, 0 when there is none (any more). */
static int durable_before(struct api_call *c)
{
    struct api_home *home = c->api->home;
    if (c->known)
        return 0;
    pthread_mutex_lock(&home->lock);
    bool fresh = env_mono_ms(c->api->o.env) - home->durable_ms < DURABLE_MS;
    int status = fresh ? home->durable : 0;
    pthread_mutex_unlock(&home->lock);
    return status;
}

static void keep_durable(struct api_call *c)
{
    struct api_home *home = c->api->home;
    pthread_mutex_lock(&home->lock);
    home->durable = c->status;
    home->durable_ms = env_mono_ms(c->api->o.env);
    pthread_mutex_unlock(&home->lock);
}

/* To whom it may concern nothing but whether: names and reasons are for who has a token. */
static void durable_json(struct api_call *c, int status, str items)
{
    c->status = status;
    buf_c(&c->out, status == 200 ? "{\"status\":\"durable\"" : "{\"status\":\"not durable\"");
    if (c->known) {
        buf_c(&c->out, ",\"items\":[");
        buf_str(&c->out, items);
        buf_c(&c->out, "]");
    }
    buf_c(&c->out, "}");
}

static void work_durable(struct api_call *c)
{
    bool good = true;
    int before = durable_before(c); /* others may have looked while this one had no worker */
    struct buf items = BUF_INIT;
    for (size_t i = 0; !before && c->rc == KF_OK && i < c->held_count; i++)
        c->rc = durable_space(c->held[i], &good, &items, &c->err);
    durable_json(c, before ? before : good ? 200 : 503, buf_view(&items));
    if (!c->known && !before && c->rc == KF_OK) /* a token sees a part of them */
        keep_durable(c);
    buf_release(&items);
}

void call_work_on_all(struct api_call *c, void (*work)(struct api_call *c),
                      void (*then)(struct api_call *c))
{
    if (call_hold_all(c, &c->err) == KF_OK)
        call_work(c, work, then);
    else
        answer_problem(c, &c->err);
}

void durablez(struct api_call *c)
{
    int before = durable_before(c);
    if (before) {
        durable_json(c, before, (str){"", 0}); /* nothing of which is for all */
        call_answer_out(c);
        return;
    }
    call_work_on_all(c, work_durable, call_answer_out);
}

void openapi(struct api_call *c)
{
    c->rc = api_openapi(&c->out, &c->err);
    call_answer_out(c);
}
