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
    call_work_on_all(c, work_durable, call_answer_out);
}

void openapi(struct api_call *c)
{
    c->rc = api_openapi(&c->out, &c->err);
    call_answer_out(c);
}
