/* A call: its life, work that is done for it elsewhere, waits, and clients that take their time.
 * What it asks for is read in request.c. These facts are kept true:
 *
 * A1  `door->end` is called exactly once for each api_begin, unless the door left before.
 * A2  While `pending`, somebody else holds the call; it is freed or used again only when that has
 *     come back.
 * A3  After `end` the call may already be in its next request: nothing touches it behind an
 *     answer. */
#include "api/api_internal.h"

#include "base/hooks.h"

#include <utlist.h>

#define WATCH_MS 2000 /* with what the network takes: well within five seconds */
#define PAST_MAX 2    /* workers: a third of those that there are (lib/house.c) */

/* ------------------------------------------------------------------------------ life of a call */

const char *call_id_text(const struct api_call *c, char out[REQUEST_ID_LEN + 1])
{
    snprintf(out, REQUEST_ID_LEN + 1, "%016llx", (unsigned long long)c->id);
    return out;
}

kf_rc api_call_new(struct api *api, const struct api_door *door, void *ctx,
                   struct api_call **ret_call, struct kf_err *err)
{
    struct api_call *c = mem_calloc(1, sizeof *c);
    if (!c)
        return err_nomem(err);
    c->api = api;
    c->door = door;
    c->ctx = ctx;
    *ret_call = c;
    return KF_OK;
}

/* What belongs to one request, but for the memory that the next one uses again. */
static void call_drop(struct api_call *c)
{
    backup_free(c->backup);
    restore_free(c->restore);
    doc_write_free(c->write);
    kf_doc_release(&c->doc);
    stream_append_free(c->append);
    c->append = NULL;
    c->backup = NULL;
    c->restore = NULL;
    c->write = NULL;
    c->doc = (struct kf_doc){0};
    call_leave_spaces(c);
}

static void wipe_secret(struct api_call *c)
{
    if (c->secret && c->out.cap)
        mem_wipe(c->out.p, c->out.cap);
    c->secret = false;
}

static void call_free(struct api_call *c)
{
    call_drop(c);
    wipe_secret(c);
    buf_release(&c->body);
    buf_release(&c->out);
    buf_release(&c->spool);
    arena_release(&c->arena);
    mem_free(c);
}

void call_reset(struct api_call *c)
{
    call_drop(c);
    arena_clear(&c->arena);
    if (c->body.cap > 64 * 1024)
        buf_release(&c->body);
    wipe_secret(c);
    if (c->out.cap > 64 * 1024)
        buf_release(&c->out);
    buf_release(&c->spool);
    buf_clear(&c->body);
    buf_clear(&c->out);
    c->header_count = 0;
    c->status = 0;
    c->rc = KF_OK;
    c->receipt = 0;
    c->close = c->eof = c->draining = c->paused = c->entering = false;
    c->if_match = c->if_none_match = c->idempotency_key = (str){NULL, 0};
}

void call_begin_work(struct api_call *c)
{
    assert(!c->pending);
    c->pending = true;
    c->api->working++;
}

bool call_end_work(struct api_call *c)
{
    assert(c->pending);
    c->pending = false;
    c->api->working--;
    if (!c->abandoned)
        return true;
    if (!c->taking_back)
        call_free(c);
    return false;
}

bool call_goes_on(void *ctx, uint64_t done, uint64_t total)
{
    struct api_call *c = ctx;
    (void)done;
    (void)total;
    return !atomic_load_explicit(&c->abandoned, memory_order_relaxed);
}

/* Whether an answer gives away what there is, rather than what was done. */
static bool is_shown(const struct api_call *c)
{
    const char *right = c->route->right;
    return strcmp(right, "read") == 0 || strcmp(right, "run") == 0;
}

/* Whether nothing is done but that: a run also sends, mends and forgets. */
static bool only_shows(const struct api_call *c)
{
    return strcmp(c->route->right, "read") == 0;
}

/* Others may have kept the workers since the token was looked at, and who asked may have left: then
 * nobody is shown anything, and what changes something is done. */
static void job_work(struct loop_job *j)
{
    struct api_call *c = (struct api_call *)((char *)j - offsetof(struct api_call, job));
    if (only_shows(c) && !call_goes_on(c, 0, 0)) {
        KF_SOMETIMES("left-in-queue");
        c->rc = err_set(&c->err, PROBLEM_STOPPING, "nobody waits for it any more");
        return;
    }
    c->rc = auth_still(c, &c->err);
    if (c->rc == KF_OK)
        c->work(c);
    else
        KF_SOMETIMES("token-ended-in-queue");
}

static void job_done(struct loop_job *j, bool cancelled)
{
    struct api_call *c = (struct api_call *)((char *)j - offsetof(struct api_call, job));
    if (cancelled)
        c->rc = err_set(&c->err, PROBLEM_STOPPING,
                        "the server is stopping; try again when it is back");
    if (c->rc == KF_OK && is_shown(c))
        c->rc = auth_still(c, &c->err);
    c->api->home->past -= c->looks_back;
    c->looks_back = false;
    if (call_end_work(c))
        c->then(c);
}

void call_work(struct api_call *c, void (*work)(struct api_call *c),
               void (*then)(struct api_call *c))
{
    c->work = work;
    c->then = then;
    c->rc = KF_OK;
    c->job = (struct loop_job){.work = job_work, .done = job_done};
    call_begin_work(c);
    loop_job(c->api->o.loop, &c->job);
}

void call_look_back(struct api_call *c, void (*work)(struct api_call *c),
                    void (*then)(struct api_call *c))
{
    struct kf_err err = KF_ERR_INIT;
    if (c->api->home->past >= PAST_MAX) {
        KF_SOMETIMES("past-asked-for-by-many");
        err_set(&err, PROBLEM_BUSY,
                "the history of remotes is being read for others: try again in a few seconds");
        answer_problem(c, &err);
        return;
    }
    c->api->home->past++;
    c->looks_back = true;
    call_work(c, work, then);
}

/* --- work on the loop of the stores */

static bool is_at_home(const struct api_call *c)
{
    return c->api->o.loop == c->api->home->loop;
}

static struct api_call *call_of(struct loop_msg *m)
{
    return (struct api_call *)((char *)m - offsetof(struct api_call, msg));
}

static void post(struct api_call *c, struct loop *to, void (*run)(struct loop_msg *m))
{
    c->msg = (struct loop_msg){.run = run};
    loop_post(to, &c->msg);
}

static void back_from_home(struct loop_msg *m)
{
    struct api_call *c = call_of(m);
    if (call_end_work(c))
        c->then(c);
}

static void work_at_home(struct loop_msg *m)
{
    struct api_call *c = call_of(m);
    c->work(c);
    post(c, c->api->o.loop, back_from_home);
}

void call_at_home(struct api_call *c, void (*work)(struct api_call *c),
                  void (*then)(struct api_call *c))
{
    c->rc = KF_OK;
    if (is_at_home(c)) {
        work(c);
        then(c);
        return;
    }
    c->work = work;
    c->then = then;
    call_begin_work(c);
    post(c, c->api->home->loop, work_at_home);
}

void call_come_back(struct api_call *c)
{
    if (is_at_home(c)) {
        if (call_end_work(c))
            c->then(c);
        return;
    }
    post(c, c->api->o.loop, back_from_home);
}

static void begin_errand(struct loop_msg *m)
{
    struct api_call *c = call_of(m);
    c->work(c);
}

void call_errand(struct api_call *c, void (*work)(struct api_call *c),
                 void (*then)(struct api_call *c))
{
    c->rc = KF_OK;
    c->work = work;
    c->then = then;
    call_begin_work(c);
    if (is_at_home(c))
        work(c);
    else
        post(c, c->api->home->loop, begin_errand);
}

/* --- waits for remotes. c->wait is the home loop's while c->waiting. */

static void wait_back(struct api_call *c)
{
    c->waiting = false;
    if (call_end_work(c))
        c->then(c);
}

static void wait_back_msg(struct loop_msg *m)
{
    wait_back(call_of(m));
}

static void wait_over(struct remotes_wait *w)
{
    struct api_call *c = w->ctx;
    w->remotes = NULL;
    if (is_at_home(c))
        wait_back(c);
    else
        post(c, c->api->o.loop, wait_back_msg);
}

static void wait_begin(struct api_call *c)
{
    remotes_wait(store_remotes(c->store), &c->wait, c->wait_names, c->timeout_ms);
}

static void wait_begin_msg(struct loop_msg *m)
{
    wait_begin(call_of(m));
}

void call_wait(struct api_call *c, str names, void (*then)(struct api_call *c))
{
    c->wait.done = wait_over;
    c->wait.ctx = c;
    c->wait_names = names;
    c->then = then;
    c->waiting = true;
    call_begin_work(c);
    if (is_at_home(c))
        wait_begin(c);
    else
        post(c, c->api->home->loop, wait_begin_msg);
}

static struct api_call *taken_back(struct loop_msg *m)
{
    return (struct api_call *)((char *)m - offsetof(struct api_call, back_msg));
}

static void is_taken_back(struct loop_msg *m)
{
    struct api_call *c = taken_back(m);
    c->taking_back = false;
    c->api->working--;
    if (!c->pending)
        call_free(c);
}

/* Behind the message that began it. What is over already is on its way back. */
static void take_back(struct loop_msg *m)
{
    struct api_call *c = taken_back(m);
    if (c->wait.remotes) {
        remotes_wait_cancel(&c->wait);
        wait_over(&c->wait);
    }
    c->back_msg = (struct loop_msg){.run = is_taken_back};
    loop_post(c->api->o.loop, &c->back_msg);
}

/* Only a wait can be taken back: groups and jobs go on. */
static void take_back_wait(struct api_call *c)
{
    if (!is_at_home(c)) {
        c->taking_back = true;
        c->api->working++;
        c->back_msg = (struct loop_msg){.run = take_back};
        loop_post(c->api->home->loop, &c->back_msg);
        return;
    }
    remotes_wait_cancel(&c->wait);
    c->waiting = c->pending = false;
    c->api->working--;
}

void api_abandon(struct api_call *c)
{
    if (c->state != CALL_IDLE) {
        c->api->calls--;
        c->state = CALL_IDLE;
    }
    call_unwatch(c);
    once_end(c);
    follow_end(c);
    c->abandoned = true;
    c->ctx = NULL;
    c->door = NULL;
    if (c->pending && c->waiting)
        take_back_wait(c);
    if (!c->pending)
        call_free(c);
}

/* ---------------------------------------------------------------------------- a full door */

/* An answer that goes no further. */
static void break_off(struct api_call *c)
{
    backup_free(c->backup);
    c->backup = NULL;
    answer_over(c, false);
}

void api_drained(struct api_call *c)
{
    if (c->state == CALL_ANSWER && c->draining) {
        c->draining = false;
        if (auth_still(c, NULL) != KF_OK)
            break_off(c);
        else if (c->backup)
            backup_drained(c);
        else
            answer_go_on(c);
    }
}

/* ----------------------------------------------------------------- clients that take their time */

/* A token that is over ends its calls also when their clients neither read nor send. */
static void end_unwelcome(struct api_call *c)
{
    struct kf_err err = KF_ERR_INIT;
    if (c->pending || auth_still(c, &err) == KF_OK)
        return;
    KF_SOMETIMES("token-ended-meanwhile");
    if (c->state == CALL_BODY) {
        call_refuse_early(c, &err);
    } else {
        assert(c->state == CALL_ANSWER && c->draining);
        c->draining = false;
        break_off(c);
    }
}

static void watch_due(struct loop_timer *t)
{
    struct api *api = (struct api *)((char *)t - offsetof(struct api, watch_timer));
    for (struct api_call *c = api->watched; c; c = api->watch_at) {
        api->watch_at = c->watch_next;
        end_unwelcome(c);
    }
    if (api->watched) /* without memory: the pieces of a body are looked at as well */
        loop_timer_set(api->o.loop, &api->watch_timer, WATCH_MS, watch_due);
}

void call_watch(struct api_call *c)
{
    struct api *api = c->api;
    if (!c->token || c->watched)
        return;
    c->watched = true;
    DL_APPEND2(api->watched, c, watch_prev, watch_next);
    if (!api->watch_timer.loop)
        loop_timer_set(api->o.loop, &api->watch_timer, WATCH_MS, watch_due);
}

void call_unwatch(struct api_call *c)
{
    struct api *api = c->api;
    if (!c->watched)
        return;
    c->watched = false;
    if (api->watch_at == c)
        api->watch_at = c->watch_next;
    DL_DELETE2(api->watched, c, watch_prev, watch_next);
}

void api_refuse(struct api *api, const struct api_door *door, void *ctx, enum problem problem,
                const char *detail)
{
    struct api_call c = {
        .api = api, .door = door, .ctx = ctx, .id = api_next_id(api), .close = true};
    struct kf_err err = KF_ERR_INIT;
    err_set(&err, problem, "%s", detail);
    api->calls++;
    answer_problem(&c, &err);
    buf_release(&c.out);
    arena_release(&c.arena);
}
