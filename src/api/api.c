/* The router's life and that of a call. The contract is api.h; this file keeps these facts true:
 *
 * A1  `door->end` is called exactly once for each api_begin, unless the door left before.
 * A2  While `pending`, somebody else holds the call; it is freed or used again only when that has
 *     come back.
 * A3  After `end` the call may already be in its next request: nothing touches it behind an
 *     answer. */
#include "api/api_internal.h"

#include "base/hooks.h"

#include <utlist.h>

#define NOTE_MS  60000
#define WATCH_MS 2000 /* with what the network takes: well within five seconds */
#define PAST_MAX 2    /* workers: half of those that there are (lib/house.c) */

static const size_t spool_max = 1024 * 1024;

/* --------------------------------------------------------------- when tokens were used, on disk */

static void note_later(struct api *api);

static struct api *first_of(struct api_home *home)
{
    return home->routers;
}

static void note_work(struct loop_job *j)
{
    struct api_home *home = (struct api_home *)((char *)j - offsetof(struct api_home, note_job));
    const struct api_options *o = &first_of(home)->o;
    struct kf_err err = KF_ERR_INIT;
    if (tokens_note_use(o->tokens, &err) != KF_OK)
        log_event(o->log, LOG_WARN, "tokens.note", LOG_S("code", err.code),
                  LOG_S("detail", err.detail), LOG_END);
}

static void note_done(struct loop_job *j, bool cancelled)
{
    struct api_home *home = (struct api_home *)((char *)j - offsetof(struct api_home, note_job));
    (void)cancelled;
    first_of(home)->working--;
    note_later(first_of(home));
}

static void note_due(struct loop_timer *t)
{
    struct api_home *home = (struct api_home *)((char *)t - offsetof(struct api_home, note_timer));
    struct api *api = first_of(home);
    if (api->stopping || !tokens_unwritten(api->o.tokens)) {
        note_later(api);
        return;
    }
    home->note_job = (struct loop_job){.work = note_work, .done = note_done};
    api->working++;
    loop_job(home->loop, &home->note_job);
}

/* Without memory for the timer the times are written with the next change of a token. */
static void note_later(struct api *api)
{
    if (api->o.tokens && !api->stopping)
        loop_timer_set(api->home->loop, &api->home->note_timer, NOTE_MS, note_due);
}

/* ----------------------------------------------------------------------------- life of a router */

static void home_free(struct api_home *home)
{
    if (!home)
        return;
    auth_free(home->auth);
    pthread_mutex_destroy(&home->lock);
    mem_free(home);
}

/* NULL without memory. */
static struct api_home *home_new(const struct api_options *o)
{
    struct api_home *home = mem_calloc(1, sizeof *home);
    if (!home)
        return NULL;
    home->loop = o->loop;
    home->started_ms = env_wall_ms(o->env);
    pthread_mutex_init(&home->lock, NULL);
    if (auth_new(o->env, o->log, o->tokens, &home->auth, NULL) == KF_OK)
        return home;
    home_free(home);
    return NULL;
}

/* The one store that there is, under its name. */
static kf_rc take_store(struct api *api, struct kf_err *err)
{
    const struct api_options *o = &api->o;
    struct space *s = mem_calloc(1, sizeof *s);
    if (s)
        s->name = mem_strdup(o->store_space);
    if (!s || !s->name) {
        mem_free(s);
        return err_nomem(err);
    }
    s->store = o->store;
    s->config = config_space(o->config, str_of(o->store_space));
    api->home->spaces = s;
    api->home->space_count = 1;
    return KF_OK;
}

static struct api *router_new(const struct api_options *o, struct api_home *home)
{
    struct api *api = mem_calloc(1, sizeof *api);
    if (!api)
        return NULL;
    api->o = *o;
    api->home = home;
    o->env->random(o->env->ctx, api->id_key, sizeof api->id_key);
    return api;
}

kf_rc api_new(const struct api_options *options, struct api **ret_api, struct kf_err *err)
{
    struct api_home *home = home_new(options);
    if (!home)
        return err_nomem(err);
    home->routers = router_new(options, home);
    kf_rc rc = home->routers ? KF_OK : err_nomem(err);
    if (rc == KF_OK && options->store)
        rc = take_store(home->routers, err);
    if (rc != KF_OK) {
        mem_free(home->routers);
        home_free(home);
        return rc;
    }
    note_later(home->routers);
    *ret_api = home->routers;
    return KF_OK;
}

kf_rc api_new_beside(struct api *first, struct loop *loop, struct api **ret_api, struct kf_err *err)
{
    struct api_options o = first->o;
    o.loop = loop;
    struct api *api = router_new(&o, first->home);
    if (!api)
        return err_nomem(err);
    struct api **at = &first->home->routers;
    while (*at)
        at = &(*at)->next;
    *at = api;
    *ret_api = api;
    return KF_OK;
}

void api_free(struct api *api)
{
    if (!api)
        return;
    struct api_home *home = api->home;
    struct api **at = &home->routers;
    bool is_home = *at == api;
    loop_timer_cancel(&api->watch_timer);
    if (is_home) {
        assert(!api->next); /* those beside it went first */
        loop_timer_cancel(&home->note_timer);
        spaces_close(api);
    }
    while (*at && *at != api)
        at = &(*at)->next;
    if (*at)
        *at = api->next;
    mem_free(api);
    if (is_home)
        home_free(home);
}

bool api_asks_for_tokens(const struct api *api)
{
    return api->o.tokens && tokens_defined(api->o.tokens);
}

void api_stop(struct api *api)
{
    struct api_home *home = api->home;
    api->stopping = true;
    if (api != home->routers)
        return;
    loop_timer_cancel(&home->note_timer);
    for (struct space *s = home->spaces; s; s = s->next)
        remotes_end_past(store_remotes(s->store));
}

size_t api_calls(const struct api *api)
{
    return api->calls;
}

bool api_busy(const struct api *api)
{
    return api->working > 0;
}

void api_add_metrics(struct api *api, struct api_metrics *m)
{
    assert(api == api->home->routers);
    m->next = api->metrics;
    api->metrics = m;
}

void api_remove_metrics(struct api *api, struct api_metrics *m)
{
    struct api_metrics **at = &api->metrics;
    while (*at && *at != m)
        at = &(*at)->next;
    if (*at)
        *at = m->next;
}

/* ------------------------------------------------------------------------------ life of a call */

/* Numbers one behind the other would tell each client how much others ask. */
static uint64_t next_id(struct api *api)
{
    unsigned char hash[crypto_shorthash_BYTES];
    uint64_t id;
    api->next_id++;
    crypto_shorthash(hash, (const unsigned char *)&api->next_id, sizeof api->next_id, api->id_key);
    memcpy(&id, hash, sizeof id);
    return id;
}

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
    c->backup = NULL;
    c->restore = NULL;
    c->write = NULL;
    c->doc = (struct kf_doc){0};
    call_leave_spaces(c);
}

static void call_free(struct api_call *c)
{
    call_drop(c);
    buf_release(&c->body);
    buf_release(&c->out);
    buf_release(&c->spool);
    arena_release(&c->arena);
    mem_free(c);
}

/* Ready for a new request, memory kept, but not that of a large one. */
static void call_reset(struct api_call *c)
{
    call_drop(c);
    arena_clear(&c->arena);
    if (c->body.cap > 64 * 1024)
        buf_release(&c->body);
    if (c->secret && c->out.cap)
        mem_wipe(c->out.p, c->out.cap);
    c->secret = false;
    if (c->out.cap > 64 * 1024)
        buf_release(&c->out);
    buf_release(&c->spool);
    buf_clear(&c->body);
    buf_clear(&c->out);
    c->header_count = 0;
    c->status = 0;
    c->rc = KF_OK;
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

static void job_work(struct loop_job *j)
{
    struct api_call *c = (struct api_call *)((char *)j - offsetof(struct api_call, job));
    c->work(c);
}

static void job_done(struct loop_job *j, bool cancelled)
{
    struct api_call *c = (struct api_call *)((char *)j - offsetof(struct api_call, job));
    if (cancelled)
        c->rc = err_set(&c->err, PROBLEM_STOPPING,
                        "the server is stopping; try again when it is back");
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
    c->abandoned = true;
    c->ctx = NULL;
    c->door = NULL;
    if (c->pending && c->waiting)
        take_back_wait(c);
    if (!c->pending)
        call_free(c);
}

/* ---------------------------------------------------------------------------------- the request */

/* Answers before the body is complete: the door reads no more of it than its linger. */
static void refuse_early(struct api_call *c, const struct kf_err *err)
{
    c->close = !c->eof;
    answer_problem(c, err);
}

static str header_value(const struct api_head *head, const char *name)
{
    for (size_t i = 0; i < head->header_count; i++)
        if (str_eq_nocase(head->headers[i].name, str_of(name)))
            return head->headers[i].value;
    return (str){NULL, 0};
}

static bool type_is_json(str type)
{
    str t = str_trim((str){type.p, str_index(type, ';')});
    return str_eq_nocase(t, STR("application/json")) ||
           (t.len > 5 && str_eq_nocase(str_from(t, t.len - 5), STR("+json")));
}

static kf_rc check_types(struct api_call *c, const struct api_head *head, struct kf_err *err)
{
    str type = header_value(head, "Content-Type"), coding = header_value(head, "Content-Encoding");
    if (coding.p && !str_eq_nocase(coding, STR("identity")))
        return err_set(err, PROBLEM_MEDIA_TYPE,
                       "bodies are taken as they are; send this one without Content-Encoding");
    if (!type.p || c->route->body == BODY_NONE || type_is_json(type))
        return KF_OK;
    str plain = str_trim((str){type.p, str_index(type, ';')});
    if (c->route->body == BODY_DOC &&
        str_eq_nocase(plain, STR("application/x-www-form-urlencoded")))
        return KF_OK; /* what curl says of every -d and --data-binary; a document is read, not a
                         form */
    if (c->route->body == BODY_STREAM && (str_eq_nocase(plain, STR("application/zip")) ||
                                          str_eq_nocase(plain, STR("application/octet-stream"))))
        return KF_OK;
    return err_set(err, PROBLEM_MEDIA_TYPE, "send the body as %s",
                   c->route->body == BODY_STREAM ? "application/zip" : "application/json");
}

/* One header that may stand once, copied into the call. */
static kf_rc take_header(struct api_call *c, const struct api_head *head, const char *name,
                         str *ret, struct kf_err *err)
{
    str v = header_value(head, name);
    if (!v.p)
        return KF_OK;
    *ret = arena_str(&c->arena, v);
    return ret->p ? KF_OK : err_nomem(err);
}

static kf_rc take_head(struct api_call *c, const struct api_head *head, struct kf_err *err)
{
    str target = arena_str(&c->arena, head->target);
    if (!target.p)
        return err_nomem(err);
    kf_rc rc = auth_check_url(c->api->home->auth, head, err);
    if (rc == KF_OK)
        rc = route_match(head->method, target, &c->arena, &c->match, err);
    if (rc != KF_OK)
        return rc;
    c->route = &route_table[c->match.route];
    c->head_only = head->method == API_HEAD;
    c->method = c->route->method;
    if (c->api->stopping)
        return err_set(err, PROBLEM_STOPPING, "the server is stopping; try again when it is back");
    if ((rc = auth_request(c->api->home->auth, c, head, err)) != KF_OK ||
        (rc = check_types(c, head, err)) != KF_OK ||
        (rc = take_header(c, head, "If-Match", &c->if_match, err)) != KF_OK ||
        (rc = take_header(c, head, "If-None-Match", &c->if_none_match, err)) != KF_OK ||
        (rc = take_header(c, head, "Idempotency-Key", &c->idempotency_key, err)) != KF_OK)
        return rc;
    bool wants_body = c->route->body != BODY_NONE;
    if (wants_body && head->content_length == -1)
        return err_set(err, PROBLEM_LENGTH_REQUIRED,
                       "send the body with a Content-Length or chunked");
    const struct config *config = c->api->o.config;
    c->body_max = c->route->body == BODY_DOC ? config->limit_doc : config->limit_body;
    if (wants_body && c->route->body != BODY_STREAM && head->content_length > 0 &&
        (uint64_t)head->content_length > c->body_max)
        return err_set(err, PROBLEM_TOO_LARGE, "the body has %lld bytes, at most %zu are taken",
                       (long long)head->content_length, c->body_max);
    if (!wants_body && head->content_length != -1 && head->content_length != 0)
        return err_set(err, PROBLEM_BAD_REQUEST, "this request takes no body");
    return KF_OK;
}

static void add_allow(struct api_call *c)
{
    struct buf b = BUF_INIT;
    for (int m = API_GET; m < API_OTHER; m++) {
        unsigned get_too = m == API_HEAD ? 1u << API_GET : 0;
        if (!(c->match.allowed & (1u << m | get_too)))
            continue;
        if (b.len)
            buf_c(&b, ", ");
        buf_c(&b, route_method_name((enum api_method)m));
    }
    str v = arena_str(&c->arena, buf_view(&b));
    if (v.p)
        answer_header(c, "Allow", v);
    buf_release(&b);
}

void api_begin(struct api_call *c, const struct api_head *head)
{
    assert(c->state == CALL_IDLE && !c->abandoned);
    call_reset(c);
    c->state = CALL_BODY;
    c->id = next_id(c->api);
    c->peer = head->peer;
    c->head_only = false; /* until the route is known: doors leave the body of a refusal out */
    c->token = NULL;
    c->route = NULL;
    c->known = false;
    c->hidden = HIDDEN_NOT;
    c->body_taken = 0;
    c->eof = head->content_length == -1 || head->content_length == 0;
    c->api->calls++;
    count_one(&c->api->requests);
    c->match.allowed = 0;
    struct kf_err err = KF_ERR_INIT;
    if (take_head(c, head, &err) == KF_OK) {
        if (!c->eof)
            call_watch(c);
        return;
    }
    bool other_method = c->match.allowed && strcmp(err.code, "method_not_allowed") == 0;
    if (other_method)
        add_allow(c);
    if (other_method && head->method == API_OPTIONS) {
        c->close = !c->eof;
        answer_empty(c, 204);
        return;
    }
    refuse_early(c, &err);
}

/* ---------------------------------------------------------------------------------- the space */

/* Whether the route is of something in a space; the other two are of the space itself. */
static bool is_of_store(const struct api_call *c)
{
    return c->match.space.p && c->match.route != ROUTE_SPACE_PUT &&
           c->match.route != ROUTE_SPACE_DELETE;
}

/* Holds the call's space, opening it first where it must be, then `then`: c->rc says why not. */
static void call_enter(struct api_call *c, void (*then)(struct api_call *c))
{
    c->rc = KF_OK;
    if (c->space || !is_of_store(c) || call_hold_space(c))
        then(c);
    else
        call_at_home(c, call_open_space, then);
}

/* With the space, or with why it cannot be had: for the doctor that is something to find. */
static void dispatch(struct api_call *c)
{
    if (c->rc != KF_OK && c->match.route != ROUTE_DOCTOR) {
        answer_problem(c, &c->err);
        return;
    }
    if (c->route->body == BODY_STREAM)
        restore_eof(c);
    else
        c->route->handle(c);
}

/* With the first bytes of a body that streams. */
static void stream_entered(struct api_call *c)
{
    c->entering = false;
    if (c->rc != KF_OK)
        refuse_early(c, &c->err);
    else if (c->eof && !c->pending)
        restore_eof(c);
    else if (c->paused) {
        c->paused = false;
        c->door->more(c->ctx);
    }
}

/* What the token does not show is answered as what is not there. */
static void answer_hidden(struct api_call *c)
{
    struct kf_err err = KF_ERR_INIT;
    if (KF_SABOTAGE("foreign-told-apart"))
        c->close = true;
    if (c->hidden == HIDDEN_SPACE)
        space_unknown(c->api, c->match.space, &err);
    else
        doc_unknown(c->match.name, &err);
    answer_problem(c, &err);
}

/* Of a restore, which begins with the first bytes: where there is nothing it ends with them. */
static bool stream_data(struct api_call *c, str bytes)
{
    if (c->hidden) {
        c->close = true;
        answer_hidden(c);
        return true;
    }
    if (!c->entering && !c->space) {
        call_enter(c, stream_entered);
        c->entering = c->pending; /* until then the call is the home loop's */
    }
    if (c->state != CALL_BODY) /* it is not there, and that was answered */
        return true;
    if (c->entering || c->spool.len > spool_max) {
        c->paused = true;
        return false;
    }
    return restore_data(c, bytes);
}

bool api_data(struct api_call *c, str bytes)
{
    if (c->state != CALL_BODY)
        return true; /* answered already: what still comes is dropped */
    struct kf_err err = KF_ERR_INIT;
    /* While a worker has the call nobody answers: spool_done looks at the token, too. */
    if (!c->pending && auth_still(c, &err) != KF_OK) {
        refuse_early(c, &err);
        return true;
    }
    if (c->route->body == BODY_STREAM)
        return stream_data(c, bytes);
    if (c->body_taken + bytes.len > c->body_max) {
        err_set(&err, PROBLEM_TOO_LARGE, "the body has more than %zu bytes", c->body_max);
        refuse_early(c, &err);
        return true;
    }
    c->body_taken += bytes.len;
    if (c->hidden) /* read and dropped, as it would be where there is nothing */
        return true;
    buf_add(&c->body, bytes.p, bytes.len);
    if (buf_ok(&c->body, &err) != KF_OK)
        refuse_early(c, &err);
    return true;
}

void api_eof(struct api_call *c)
{
    if (c->state != CALL_BODY)
        return;
    c->eof = true;
    if (c->hidden) {
        answer_hidden(c);
        return;
    }
    if (c->route->body != BODY_STREAM)
        c->state = CALL_WORK;
    if (!c->pending || c->route->body != BODY_STREAM)
        call_enter(c, dispatch);
}

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
        refuse_early(c, &err);
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
    struct api_call c = {.api = api, .door = door, .ctx = ctx, .id = next_id(api), .close = true};
    struct kf_err err = KF_ERR_INIT;
    err_set(&err, problem, "%s", detail);
    api->calls++;
    answer_problem(&c, &err);
    buf_release(&c.out);
    arena_release(&c.arena);
}
