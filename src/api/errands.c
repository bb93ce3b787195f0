/* Errands: what has to be done for the name of a space and may wait for a disk or a network.
 *
 *     OPEN    waits -> on a worker: reached -> on the loop: entered, listed -> its calls go on
 *     CLOSE   drains -> on the loop: left, taken from the list -> on a worker: closed, removed
 *                \                                                    -> its calls go on
 *                 +-> those who hold it do not let go, or a remote runs: busy, it stays
 *     LIST    waits -> on a worker: the names -> its calls go on
 *
 * There is one errand for a name at a time. A call that wants the name meanwhile joins it and looks
 * again behind it, so that twenty requests for a space make one connection, and nobody opens what
 * is being removed. A list is joined only while it waits: one that runs may miss what was made
 * before it was asked for.
 *
 * Of a database at most ERRANDS_RUN errands run at a time, the others wait: one that hangs must not
 * have all workers, nor slow spaces all errands (turns.c). Of a folder they are done at once, on
 * the loop of the stores, which all of this belongs to, but what is said to be a worker's.
 *
 * What nobody waits for any more when its turn comes is not begun. A removal is: who asked for it
 * and left has asked for it. */
#include "api/api_internal.h"

#include "base/hooks.h"

#include <utlist.h>

#define ERRANDS_RUN   2
#define DRAIN_MS      500 /* for requests that hold a space which is to be closed */
#define DRAIN_LOOK_MS 10

enum errand_kind { ERRAND_OPEN, ERRAND_CLOSE, ERRAND_LIST };
enum errand_state { ERRAND_DRAINS, ERRAND_WAITS, ERRAND_RUNS };

struct errand {
    struct errand *prev, *next; /* of home->errands, in the order in which they came */
    struct api *api;            /* of the loop of the stores */
    enum errand_kind kind;
    enum errand_state state;
    struct api_call *calls, **end; /* by errand_next; on their way back nowhere else */
    /* For whom it is done: a removal, whose result is told to that one alone, or a new space.
     * NULL = whoever comes by. */
    struct api_call *owner;
    bool unasked;        /* there is no call for it, but calls may have joined */
    struct space *space; /* OPEN, CLOSE: not in the list while it runs */
    bool create, remove;
    struct loop_timer timer;
    struct loop_job job;
    int64_t until_ms, began_ms;

    /* the worker's while it runs */
    struct buf names; /* LIST */
    kf_rc rc;
    struct kf_err err;
};

static struct api *first_of(const struct api_call *c)
{
    return c->api->home->routers;
}

/* "" = of no space. */
static str name_of(const struct errand *e)
{
    return e->kind == ERRAND_LIST ? STR("") : str_of(e->space->name);
}

static void look(struct api_call *c);

/* ---------------------------------------------------------------------------- calls and errands */

static struct errand *errand_of(const struct api_home *home, str name)
{
    struct errand *e;
    DL_FOREACH (home->errands, e) {
        if (e->kind != ERRAND_LIST && str_is(name, e->space->name))
            return e;
    }
    return NULL;
}

/* `again`: behind it; it ends with call_come_back. */
static void join(struct errand *e, struct api_call *c, void (*again)(struct api_call *c))
{
    c->errand_again = again;
    c->errand_late = e->state == ERRAND_RUNS;
    c->errand_next = NULL;
    *e->end = c;
    e->end = &c->errand_next;
    if (c->errand_late)
        KF_SOMETIMES("errand-joined");
}

static void refuse(struct api_call *c, kf_rc rc, const struct kf_err *why)
{
    c->rc = rc;
    c->err = *why;
    call_come_back(c);
}

static struct errand *errand_new(struct api *api, enum errand_kind kind, struct kf_err *err)
{
    struct errand *e = mem_calloc(1, sizeof *e);
    if (!e) {
        err_nomem(err);
        return NULL;
    }
    e->api = api;
    e->kind = kind;
    e->state = ERRAND_WAITS;
    e->end = &e->calls;
    DL_APPEND(api->home->errands, e);
    return e;
}

/* Whether it is still to be looked for, in vain as that was: what was made while the errand ran was
 * not seen, nor does one that may not make it tell of one that may. */
static bool looks_again(const struct errand *e, const struct api_call *c)
{
    return e->rc == KF_ABSENT && (c->errand_late || (c->seeks_create && !e->create));
}

static bool has_left(const struct api_call *c)
{
    return atomic_load_explicit(&c->abandoned, memory_order_relaxed);
}

/* Whether it was done for this call alone, which is told the truth whatever has become of it. */
static bool is_done_for(const struct errand *e, const struct api_call *c)
{
    return e->kind == ERRAND_CLOSE && e->state == ERRAND_RUNS && e->remove && c == e->owner;
}

/* An errand may have taken long, and the call's token may have ended since: nothing more is begun
 * for it, and nothing is shown. */
static bool may_go_on(struct api_call *c)
{
    struct kf_err err = KF_ERR_INIT;
    if (auth_still(c, &err) == KF_OK || KF_SABOTAGE("token-lives-on-errand"))
        return true;
    KF_SOMETIMES("token-ended-on-errand");
    refuse(c, err.rc, &err);
    return false;
}

static void tell(const struct errand *e, struct api_call *c)
{
    bool failed = e->rc != KF_OK, removes = c->errand_again == space_remove;
    if (has_left(c)) {
        call_come_back(c);
        return;
    }
    if (!is_done_for(e, c) && !may_go_on(c))
        return;
    switch (e->kind) {
    case ERRAND_OPEN:
        c->made_space = c == e->owner && e->create;
        if (failed && !looks_again(e, c))
            refuse(c, e->rc, &e->err);
        else
            c->errand_again(c);
        break;
    case ERRAND_CLOSE:
        if (c == e->owner || (failed && (!e->owner || removes)))
            refuse(c, e->rc, &e->err);
        else
            c->errand_again(c);
        break;
    case ERRAND_LIST:
        if (failed)
            refuse(c, e->rc, &e->err);
        else
            list_names(c, buf_view(&e->names));
        break;
    }
}

static void run_next(struct api_home *home);

/* A call may be gone, or in its next request, as soon as it was told (A3). */
static void finish(struct errand *e)
{
    struct api_home *home = e->api->home;
    struct api_call *c = e->calls, *next;
    DL_DELETE(home->errands, e);
    for (; c; c = next) {
        next = c->errand_next;
        tell(e, c);
    }
    if (e->unasked) {
        home->unasked = false;
        e->api->working--;
        unasked_told(e->api, e->kind == ERRAND_LIST, buf_view(&e->names), e->rc, &e->err);
    }
    if (e->kind == ERRAND_CLOSE ? e->state == ERRAND_RUNS : e->rc != KF_OK)
        space_free(e->space);
    buf_release(&e->names);
    mem_free(e);
    run_next(home);
}

/* -------------------------------------------------------------------------------------- running */

static struct errand *of_job(struct loop_job *j)
{
    return (struct errand *)((char *)j - offsetof(struct errand, job));
}

/* On a worker, where it is of a database. */
static void work(struct loop_job *j)
{
    struct errand *e = of_job(j);
    struct api *api = e->api;
    switch (e->kind) {
    case ERRAND_OPEN: e->rc = space_reach(api, e->space, e->create, &e->err); break;
    case ERRAND_CLOSE:
        api->o.spaces.close(api->o.spaces.ctx, &e->space->store);
        e->rc = e->remove ? space_remove_files(api, str_of(e->space->name), &e->err) : KF_OK;
        break;
    case ERRAND_LIST: e->rc = spaces_there(api, &e->names, &e->err); break;
    }
}

static void done(struct loop_job *j, bool cancelled)
{
    struct errand *e = of_job(j);
    if (cancelled)
        work(j); /* the calls that wait for it keep their loops, so this does not happen */
    if (e->kind != ERRAND_CLOSE || e->remove)
        spaces_note_asked(e->api, name_of(e), e->began_ms, e->rc, &e->err);
    if (e->kind == ERRAND_OPEN && e->rc == KF_OK)
        e->rc = space_enter(e->api, e->space, &e->err);
    finish(e);
}

/* Looks for whom it is done now. A space is made for who may make it, and waits still. */
static kf_rc find_owner(struct errand *e, struct kf_err *err)
{
    struct api_call *first = NULL;
    if (e->unasked)
        return e->api->stopping ? err_set(err, PROBLEM_STOPPING, "the server is stopping") : KF_OK;
    for (struct api_call *c = e->calls; c; c = c->errand_next)
        if (!has_left(c) && auth_still(c, NULL) == KF_OK &&
            (!first || (c->seeks_create && !first->seeks_create)))
            first = c;
    e->owner = first;
    e->create = first && first->seeks_create;
    if (first)
        return KF_OK;
    KF_SOMETIMES("errand-left");
    return err_set(err, PROBLEM_BUSY, "nobody waits for it any more");
}

static kf_rc may_run(struct errand *e, struct kf_err *err)
{
    if (e->kind == ERRAND_CLOSE) { /* it is closed in any case */
        e->remove = e->remove && auth_still(e->owner, NULL) == KF_OK;
        return KF_OK;
    }
    kf_rc rc = find_owner(e, err);
    if (rc == KF_OK)
        rc = space_may_ask(e->api, name_of(e), err);
    if (rc == KF_OK && e->kind == ERRAND_OPEN) /* others have opened some since it came */
        rc = space_may_open(e->api, name_of(e), e->create, err);
    return rc;
}

static void run(struct errand *e)
{
    struct api *api = e->api;
    e->began_ms = env_mono_ms(api->o.env);
    e->rc = may_run(e, &e->err);
    if (e->rc != KF_OK) {
        finish(e);
        return;
    }
    e->state = ERRAND_RUNS;
    e->job = (struct loop_job){.work = work, .done = done};
    if (db_is_url(api->o.data_dir)) {
        loop_job(api->o.loop, &e->job);
        return;
    }
    work(&e->job);
    done(&e->job, false);
}

/* NULL when none waits, or enough run. */
static struct errand *next_of(struct api_home *home)
{
    struct errand *e;
    size_t running = 0, slow = 0;
    DL_FOREACH (home->errands, e) {
        running += e->state == ERRAND_RUNS;
        slow += e->state == ERRAND_RUNS && space_is_slow(home, name_of(e));
    }
    if (running >= ERRANDS_RUN)
        return NULL;
    DL_FOREACH (home->errands, e) {
        if (e->state == ERRAND_WAITS &&
            (slow < ERRANDS_RUN - 1 || !space_is_slow(home, name_of(e))))
            return e;
    }
    return NULL;
}

/* Where many are refused one behind the other, none of them begins the next one itself. */
static void run_next(struct api_home *home)
{
    struct errand *e;
    if (home->errands_begin)
        return;
    home->errands_begin = true;
    while ((e = next_of(home)))
        run(e);
    home->errands_begin = false;
}

/* -------------------------------------------------------------------------------------- closing */

static void try_to_leave(struct errand *e);

static void drain_due(struct loop_timer *t)
{
    try_to_leave((struct errand *)((char *)t - offsetof(struct errand, timer)));
}

/* Whether what keeps a space may soon be over: a request, or a look at what other processes have
 * done with its remotes, which is a run of theirs, too. What runs for a folder's may take any
 * time. */
static bool may_pass(const struct errand *e)
{
    return env_mono_ms(e->api->o.env) < e->until_ms &&
           (db_is_url(e->api->o.data_dir) || !remotes_running(store_remotes(e->space->store)));
}

static void try_to_leave(struct errand *e)
{
    struct api *api = e->api;
    if (space_leave(api, e->space)) {
        e->state = ERRAND_WAITS;
        follow_tell(api->home, str_of(e->space->name),
                    (str){NULL, 0}); /* who follows looks again */
        run_next(api->home);
        return;
    }
    if (may_pass(e) && loop_timer_set(api->o.loop, &e->timer, DRAIN_LOOK_MS, drain_due) == KF_OK) {
        KF_SOMETIMES("space-drained");
        return;
    }
    space_stay(api, e->space);
    e->rc = err_set(
        &e->err, PROBLEM_BUSY,
        remotes_running(store_remotes(e->space->store))
            ? "a run of a remote of this space is under way; try again when it has ended"
            : "other requests to this space are under way; try again");
    finish(e);
}

static void close_space(struct api_call *c, struct space *s, bool remove,
                        void (*again)(struct api_call *c))
{
    struct kf_err err = KF_ERR_INIT;
    assert(s);
    struct errand *e = errand_new(first_of(c), ERRAND_CLOSE, &err);
    if (!e) {
        refuse(c, err.rc, &err);
        return;
    }
    e->space = s;
    e->remove = remove;
    e->owner = remove ? c : NULL;
    e->state = ERRAND_DRAINS;
    e->until_ms = env_mono_ms(e->api->o.env) + DRAIN_MS;
    join(e, c, again);
    try_to_leave(e);
}

static kf_rc check_remove(const struct api *api, const struct space *s, struct kf_err *err)
{
    if (!api->o.data_dir)
        return err_set(err, PROBLEM_FORBIDDEN,
                       "this store belongs to a program that has it open; remove its file when "
                       "that has ended");
    if (s->config)
        return err_set(err, PROBLEM_FORBIDDEN,
                       "this space is named in the configuration; take it out there first");
    return spaces_may_ask(api, err);
}

void space_remove(struct api_call *c)
{
    struct api *api = first_of(c);
    struct kf_err err = KF_ERR_INIT;
    struct errand *e = errand_of(api->home, c->match.space);
    call_leave_spaces(c);
    if (e) {
        join(e, c, space_remove);
        return;
    }
    struct space *s = space_if_open(api, c->match.space);
    kf_rc rc = s ? check_remove(api, s, &err) : space_unknown(api, c->match.space, &err);
    if (rc == KF_OK)
        close_space(c, s, true, space_remove);
    else
        refuse(c, rc, &err);
}

/* -------------------------------------------------------------------------------------- opening */

static struct errand *open_errand(struct api *api, str name, bool create, struct kf_err *err)
{
    struct errand *e = NULL;
    struct space *s = NULL;
    kf_rc rc = space_may_open(api, name, create, err);
    if (rc == KF_OK)
        rc = space_may_ask(api, name, err);
    if (rc == KF_OK)
        rc = space_new(api, name, &s, err);
    if (rc == KF_OK)
        e = errand_new(api, ERRAND_OPEN, err);
    if (!e) {
        space_free(s);
        return NULL;
    }
    e->space = s;
    e->create = create;
    return e;
}

static void open_space(struct api_call *c)
{
    struct api *api = first_of(c);
    struct kf_err err = KF_ERR_INIT;
    struct errand *e = open_errand(api, c->match.space, c->seeks_create, &err);
    if (!e) {
        refuse(c, err.rc, &err);
        return;
    }
    join(e, c, look);
    run_next(api->home);
}

static void look(struct api_call *c)
{
    struct errand *e = errand_of(c->api->home, c->match.space);
    struct space *s = space_if_open(c->api, c->match.space);
    if (e) {
        join(e, c, look);
    } else if (call_hold_space(c)) {
        c->rc = KF_OK;
        call_come_back(c);
    } else if (s) { /* another server has removed it: what is there now is what is found */
        KF_SOMETIMES("space-left");
        close_space(c, s, false, look);
    } else {
        open_space(c);
    }
}

void space_seek(struct api_call *c, bool create)
{
    c->seeks_create = create;
    c->made_space = false;
    look(c);
}

/* -------------------------------------------------------------------------------------- listing */

/* One that has not begun, made when there is none. NULL: no memory. */
static struct errand *next_list(struct api_call *c, struct kf_err *err)
{
    struct errand *e;
    DL_FOREACH (c->api->home->errands, e) {
        if (e->kind == ERRAND_LIST && e->state == ERRAND_WAITS)
            return e;
    }
    return errand_new(first_of(c), ERRAND_LIST, err);
}

void spaces_seek_names(struct api_call *c)
{
    struct kf_err err = KF_ERR_INIT;
    if (!c->api->o.data_dir) {
        list_names(c, STR(""));
        return;
    }
    struct errand *e = next_list(c, &err);
    if (!e) {
        refuse(c, err.rc, &err);
        return;
    }
    join(e, c, NULL);
    run_next(c->api->home);
}

/* -------------------------------------------------------------------------- without being asked */

static kf_rc begin_unasked(struct api *api, struct errand *e)
{
    e->unasked = true;
    api->home->unasked = true;
    api->working++;
    run_next(api->home);
    return KF_OK;
}

kf_rc space_fetch(struct api *api, str name, bool create, struct kf_err *err)
{
    if (errand_of(api->home, name))
        return err_set(err, PROBLEM_BUSY, "it is being opened or removed already");
    struct errand *e = open_errand(api, name, create, err);
    return e ? begin_unasked(api, e) : err->rc;
}

kf_rc names_fetch(struct api *api, struct kf_err *err)
{
    struct errand *e = errand_new(api, ERRAND_LIST, err);
    return e ? begin_unasked(api, e) : err->rc;
}
