/* The door without a socket: the loop turns here until the call has ended. */
#include "api/direct.h"

#include "base/mem.h"

struct direct {
    const struct direct_request *request;
    struct direct_answer *answer;
    struct kf_err *err;
    kf_rc rc;
    bool ended, ok, wait; /* wait: the router is full */
};

static void door_head(void *ctx, const struct api_answer *a)
{
    struct direct *d = ctx;
    struct arena *arena = &d->answer->arena;
    d->answer->status = a->status;
    struct api_header *copy = arena_alloc(arena, (a->header_count + 1) * sizeof *copy);
    if (!copy) {
        d->rc = err_nomem(d->err);
        return;
    }
    for (size_t i = 0; i < a->header_count; i++) {
        copy[i].name = arena_str(arena, a->headers[i].name);
        copy[i].value = arena_str(arena, a->headers[i].value);
        if (!copy[i].name.p || !copy[i].value.p)
            d->rc = err_nomem(d->err);
    }
    d->answer->headers = copy;
    d->answer->header_count = d->rc == KF_OK ? a->header_count : 0;
}

static bool door_body(void *ctx, str bytes)
{
    struct direct *d = ctx;
    if (d->rc != KF_OK)
        return true; /* taken and dropped: the call runs to its end */
    if (d->request->take)
        d->rc = d->request->take(d->request->ctx, d->answer->status, bytes, d->err);
    else
        buf_add(&d->answer->body, bytes.p, bytes.len);
    return true;
}

static void door_end(void *ctx, bool close, bool ok)
{
    struct direct *d = ctx;
    (void)close;
    d->ended = true;
    d->ok = ok;
}

static void door_more(void *ctx)
{
    struct direct *d = ctx;
    d->wait = false;
}

static const struct api_door direct_door = {door_head, door_body, door_end, door_more};

static void turn(struct direct *d, struct loop *loop)
{
    enum { TICK_MS = 200 };
    loop_turn(loop, d->request->tick ? TICK_MS : -1);
    if (d->request->tick)
        d->request->tick(d->request->ctx);
}

/* Turns the loop while the router is full. */
static void give(struct api_call *c, struct direct *d, struct loop *loop, str bytes)
{
    while (!d->ended && !api_data(c, bytes)) {
        d->wait = true;
        while (d->wait && !d->ended)
            turn(d, loop);
    }
}

static kf_rc send_body(struct api_call *c, struct direct *d, struct loop *loop, struct kf_err *err)
{
    struct buf piece = BUF_INIT;
    kf_rc rc = KF_OK;
    if (!d->request->send) {
        if (d->request->body.len)
            give(c, d, loop, d->request->body);
        return KF_OK;
    }
    while (!d->ended && rc == KF_OK) {
        buf_clear(&piece);
        rc = d->request->send(d->request->ctx, &piece, err);
        if (rc == KF_OK)
            give(c, d, loop, buf_view(&piece));
    }
    buf_release(&piece);
    return rc == KF_ABSENT ? KF_OK : rc;
}

kf_rc direct_call(struct api *api, struct loop *loop, const struct direct_request *request,
                  struct direct_answer *ret, struct kf_err *err)
{
    struct direct_answer answer = {0};
    struct direct d = {.request = request, .answer = &answer, .err = err};
    struct api_call *c;
    struct api_head head = {
        .method = request->method,
        .method_text = str_of(request->method_text),
        .target = request->target,
        .headers = request->headers,
        .header_count = request->header_count,
        .content_length = request->send     ? request->content_length
                          : request->body.p ? (int64_t)request->body.len
                                            : -1,
        .peer = API_PEER_SELF,
    };
    kf_rc rc = api_call_new(api, &direct_door, &d, &c, err);
    if (rc != KF_OK)
        return rc;
    api_begin(c, &head);
    rc = send_body(c, &d, loop, err);
    if (rc == KF_OK && !d.ended)
        api_eof(c);
    while (rc == KF_OK && !d.ended)
        turn(&d, loop);
    api_abandon(c);
    if (rc == KF_OK)
        rc = d.rc;
    if (rc == KF_OK && !d.ok)
        rc = err_set(err, PROBLEM_INTERNAL, "the answer broke off; see the log");
    if (rc == KF_OK)
        rc = buf_ok(&answer.body, err);
    if (rc != KF_OK)
        direct_answer_release(&answer);
    else
        *ret = answer;
    return rc;
}

void direct_answer_release(struct direct_answer *a)
{
    buf_release(&a->body);
    arena_release(&a->arena);
    a->headers = NULL;
    a->header_count = 0;
}

str direct_header(const struct direct_answer *a, const char *name)
{
    for (size_t i = 0; i < a->header_count; i++)
        if (str_eq_nocase(a->headers[i].name, str_of(name)))
            return a->headers[i].value;
    return (str){"", 0};
}
