/* Spaces that are opened without a request: when a server starts, and of a database that was away
 * then, when it is back. What a space does by itself (backups, runs of its remotes, filling,
 * retention, numbering of tracked tables) begins when it is open.
 *
 *     start -> opened
 *        \---> wanted -> an errand -> opened
 *                 ^   away, or locked |  \-> cannot be: logged, and left to who asks for it
 *                 +-------------------+
 *
 * Wanted are names, and where backups are, all names that there are. One errand at a time, behind
 * what requests have asked for; all of it on the loop of the stores. */
#include "api/api_internal.h"

#include "base/hooks.h"

#define AGAIN_MS 500

struct wanted {
    struct wanted *next;
    char *name;
    bool create;
};

static bool is_for_later(const struct api *api, const struct kf_err *why)
{
    const struct problem_info *p = problem_find(why->code);
    return db_is_url(api->o.data_dir) && (p == &problem_table[PROBLEM_STORE_UNAVAILABLE] ||
                                          p == &problem_table[PROBLEM_BUSY] || why->rc == KF_NOMEM);
}

/* ------------------------------------------------------------------------------- what is wanted */

static kf_rc want(struct api *api, str name, bool create, struct kf_err *err)
{
    struct wanted *w = mem_calloc(1, sizeof *w), **end = &api->home->wanted;
    if (!w || !(w->name = mem_dup(name.p, name.len))) {
        mem_free(w);
        return err_nomem(err);
    }
    w->create = create;
    while (*end)
        end = &(*end)->next;
    *end = w;
    return KF_OK;
}

static void drop_first(struct api_home *home)
{
    struct wanted *w = home->wanted;
    home->wanted = w->next;
    mem_free(w->name);
    mem_free(w);
}

/* One that is locked keeps no other waiting. */
static void put_last(struct api_home *home)
{
    struct wanted *w = home->wanted, **end = &home->wanted;
    home->wanted = w->next;
    w->next = NULL;
    while (*end)
        end = &(*end)->next;
    *end = w;
}

void unasked_end(struct api *api)
{
    loop_timer_cancel(&api->home->wanted_timer);
    while (api->home->wanted)
        drop_first(api->home);
    api->home->wanted_list = false;
}

static void want_all(struct api *api, str names, struct kf_err *err)
{
    for (size_t at = 0; at < names.len; at += strlen(names.p + at) + 1)
        if (!space_if_open(api, str_of(names.p + at)) &&
            want(api, str_of(names.p + at), false, err) != KF_OK)
            return; /* what is missing is listed again */
    api->home->wanted_list = false;
}

/* ------------------------------------------------------------------------------------- later on */

static void go_on(struct api *api);

static void again_due(struct loop_timer *t)
{
    struct api_home *home = (struct api_home *)((char *)t -
                                                offsetof(struct api_home, wanted_timer));
    go_on(home->routers);
}

static void again_later(struct api *api)
{
    if (loop_timer_set(api->home->loop, &api->home->wanted_timer, AGAIN_MS, again_due) == KF_OK)
        return;
    struct kf_err err = KF_ERR_INIT;
    err_nomem(&err);
    log_event(api->o.log, LOG_ERROR, "space.open", LOG_S("code", err.code),
              LOG_S("detail", "spaces are opened when they are asked for"), LOG_END);
}

static void cannot_be(const struct api *api, const char *name, const struct kf_err *why)
{
    log_event(api->o.log, LOG_ERROR, "space.open", LOG_S("space", name), LOG_S("code", why->code),
              LOG_S("detail", why->detail), LOG_END);
}

static void go_on(struct api *api)
{
    struct api_home *home = api->home;
    struct kf_err err = KF_ERR_INIT;
    while (!api->stopping && !home->unasked && (home->wanted || home->wanted_list)) {
        const struct wanted *w = home->wanted_list ? NULL : home->wanted;
        if (w && space_if_open(api, str_of(w->name))) {
            drop_first(home);
            continue;
        }
        kf_rc rc = w ? space_fetch(api, str_of(w->name), w->create, &err) : names_fetch(api, &err);
        if (rc == KF_OK)
            return;
        if (is_for_later(api, &err)) {
            again_later(api);
            return;
        }
        cannot_be(api, w ? w->name : "", &err);
        if (w)
            drop_first(home);
        else
            home->wanted_list = false;
    }
}

void unasked_told(struct api *api, bool list, str names, kf_rc rc, const struct kf_err *why)
{
    struct api_home *home = api->home;
    struct kf_err err = KF_ERR_INIT;
    if (api->stopping)
        return;
    if (rc == KF_OK && list)
        want_all(api, names, &err);
    else if (rc != KF_OK)
        err = *why;
    if (err.rc != KF_OK && is_for_later(api, &err)) {
        if (!list)
            put_last(home);
        again_later(api);
        return;
    }
    if (rc == KF_OK)
        KF_SOMETIMES("space-opened-unasked");
    else if (rc != KF_ABSENT) /* it was removed meanwhile */
        cannot_be(api, list ? "" : home->wanted->name, &err);
    if (!list)
        drop_first(home);
    else if (rc != KF_OK)
        home->wanted_list = false;
    go_on(api);
}

/* ------------------------------------------------------------------------------------- at first */

/* Before there are any calls. */
static kf_rc open_now(struct api *api, str name, bool create, struct kf_err *err)
{
    struct space *s = NULL;
    struct kf_err why = KF_ERR_INIT;
    int64_t began_ms = env_mono_ms(api->o.env);
    if (space_if_open(api, name))
        return KF_OK;
    kf_rc rc = space_may_open(api, name, create, err);
    if (rc == KF_OK)
        rc = spaces_may_ask(api, err);
    if (rc != KF_OK || (rc = space_new(api, name, &s, err)) != KF_OK)
        return rc;
    rc = space_reach(api, s, create, &why);
    spaces_note_asked(api, name, began_ms, rc, &why);
    if (rc == KF_OK)
        rc = space_enter(api, s, &why);
    if (rc == KF_OK)
        return KF_OK;
    space_free(s);
    if (err)
        *err = why;
    return rc;
}

/* One that cannot be opened keeps nobody else from starting; it says so itself when it is asked
 * for. */
static kf_rc open_the_others(struct api *api, struct kf_err *err)
{
    struct buf files = BUF_INIT;
    kf_rc rc = spaces_may_ask(api, err);
    if (rc == KF_OK)
        rc = spaces_there(api, &files, err);
    for (size_t at = 0; rc == KF_OK && at < files.len; at += strlen(files.p + at) + 1) {
        struct kf_err why = KF_ERR_INIT;
        const char *name = files.p + at;
        if (open_now(api, str_of(name), false, &why) == KF_OK)
            continue;
        cannot_be(api, name, &why);
        if (why.rc == KF_NOMEM)
            rc = err_nomem(err);
        else if (is_for_later(api, &why))
            rc = want(api, str_of(name), false, err);
    }
    buf_release(&files);
    return rc;
}

static void say_down(const struct api *api, str name, const struct kf_err *why)
{
    bool away = problem_find(why->code) == &problem_table[PROBLEM_STORE_UNAVAILABLE];
    log_event(api->o.log, LOG_WARN, away ? "pg.down" : "space.open", LOG_V("space", name),
              LOG_S("reason", why->detail), LOG_END);
}

static kf_rc open_named(struct api *api, str name, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = open_now(api, name, true, &why);
    if (rc == KF_OK)
        return KF_OK;
    if (rc == KF_NOMEM || !is_for_later(api, &why)) {
        if (err)
            *err = why;
        return rc;
    }
    say_down(api, name, &why);
    return want(api, name, true, err);
}

kf_rc api_open_spaces(struct api *api, struct kf_err *err)
{
    const struct config *config = api->o.config;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = KF_OK;
    for (size_t i = 0; i < config->space_count && rc == KF_OK; i++)
        rc = open_named(api, config->spaces[i].name, err);
    if (rc != KF_OK)
        return rc;
    if (config->backup_to.len && api->o.data_dir && (rc = open_the_others(api, &why)) != KF_OK) {
        if (rc == KF_NOMEM || !is_for_later(api, &why)) {
            if (err)
                *err = why;
            return rc;
        }
        say_down(api, STR("*"), &why);
        api->home->wanted_list = true;
    }
    if (api->home->wanted || api->home->wanted_list)
        again_later(api);
    return KF_OK;
}
