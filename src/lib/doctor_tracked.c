/* Tables that are tracked: whether their changes come, and whether somebody takes them. */
#include "lib/doctor.h"

#include "base/err.h"
#include "base/when.h"
#include "shape/track.h"

#include <stdio.h>

/* A chief takes what is there each second, and tables are looked at as often. */
#define WAITING_MS  60000
#define HELD_MS     ((int64_t)3600 * 1000)
#define REPAIRED_MS ((int64_t)7 * 24 * 3600 * 1000)
#define NAMED       3 /* tables that one finding names */

/* "public.a (why), public.b (why) and 4 more" */
struct listing {
    struct buf text;
    size_t count;
};

static void list(struct listing *l, const char *name, const char *why)
{
    if (l->count++ >= NAMED)
        return;
    buf_printf(&l->text, "%s%s%s%s", l->text.len ? "; " : "", name, *why ? ": " : "", why);
}

/* What was gathered becomes a finding, and is empty again. */
static void tell(struct listing *l, enum finding id, struct findings *f)
{
    if (l->count > NAMED)
        buf_printf(&l->text, " and %zu more", l->count - NAMED);
    if (l->count && l->text.failed)
        f->failed = true;
    else if (l->count)
        findings_add(f, id, NULL, "%s", l->text.p);
    buf_release(&l->text);
    *l = (struct listing){0};
}

/* --------------------------------------------------------------------------------- each table */

static void tell_state(const struct track_status *t, const char *state, enum finding id,
                       struct findings *f)
{
    struct listing l = {0};
    for (size_t i = 0; i < t->table_count; i++) {
        const struct track_info *info = &t->tables[i];
        bool here = strncmp(info->state, state, strlen(state)) == 0 ||
                    (info->troubled && id == FINDING_TRACK_UNFIT);
        if (here && !track_needs_care(info))
            list(&l, info->name, info->detail);
    }
    tell(&l, id, f);
}

/* Of what a look has found, and of why rows were gone through. */
static const struct {
    const char *what, *words;
} reasons[] = {
    {"missing", "no table of this name"},
    {"off", "its triggers switched off"},
    {"unfit", "not fit to be followed"},
    {"same", "it is in order again"},
    {"table", "another table has the name now"},
    {"triggers",
     "its triggers were taken away, made anew by somebody else, or switched off and on"},
    {"function", "the function of its triggers was changed"},
    {"key", "the columns of its primary key, or their types, have changed"},
    {"columns", "columns were added, taken away, or have other types"},
    {"file", "its rows were written anew or removed past the triggers (TRUNCATE, VACUUM FULL)"},
};

/* "made key" and "key" are the same. */
static const char *reason(const char *found)
{
    const char *blank = strchr(found, ' ');
    bool made = strncmp(found, "made", 4) == 0 || strncmp(found, "changed", 7) == 0;
    const char *what = made && blank ? blank + 1 : found;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (strncmp(what, reasons[i].what, strlen(reasons[i].what)) == 0)
            return reasons[i].words;
    return what;
}

static void tell_changed(const struct track_status *t, struct findings *f)
{
    struct listing l = {0};
    for (size_t i = 0; i < t->table_count; i++)
        if (track_needs_care(&t->tables[i]))
            list(&l, t->tables[i].name, reason(t->tables[i].found));
    tell(&l, FINDING_TRACK_CHANGED, f);
}

static void tell_repaired(const struct doctor_view *v, const struct track_status *t,
                          struct findings *f)
{
    struct listing l = {0};
    for (size_t i = 0; i < t->table_count; i++) {
        const struct track_info *info = &t->tables[i];
        char at[WHEN_LEN + 1], words[200];
        if (!info->cause[0] || info->stopped || v->now_ms - info->caused_ms > REPAIRED_MS)
            continue;
        when_format(info->caused_ms, at);
        snprintf(words, sizeof words, "found at %s: %s", at, reason(info->cause));
        list(&l, info->name, words);
    }
    tell(&l, FINDING_TRACK_REPAIRED, f);
}

/* ------------------------------------------------------------------------------------ the queue */

static void tell_waiting(const struct track_status *t, struct findings *f)
{
    struct buf age = BUF_INIT;
    int64_t age_ms = t->now_ms - t->oldest_ms;
    if (!t->waiting || age_ms < WAITING_MS)
        return;
    age_human(age_ms, &age);
    if (buf_ok(&age, NULL) == KF_OK)
        findings_add(f, FINDING_TRACK_WAITING, NULL,
                     "%llu changes are committed and have no number, the first for %s: no server "
                     "and no program that stays has this space open, or it cannot write",
                     (unsigned long long)t->waiting, age.p);
    else
        f->failed = true;
    buf_release(&age);
}

static void tell_held(const struct doctor_view *v, const struct track_status *t, struct findings *f)
{
    struct listing l = {0};
    for (size_t i = 0; i < t->holder_count; i++) {
        const struct track_holder *h = &t->holders[i];
        char at[WHEN_LEN + 1], words[200];
        if (!h->since_ms || v->now_ms - h->since_ms < HELD_MS)
            continue;
        when_format(h->since_ms, at);
        if (h->pid)
            snprintf(words, sizeof words, "%s%spid %lld, %s, open since %s", h->client,
                     h->client[0] ? ", " : "", (long long)h->pid, h->state, at);
        else
            snprintf(words, sizeof words, "prepared, since %s", at);
        list(&l, h->who, words);
    }
    tell(&l, FINDING_TRACK_HELD, f);
}

/* ------------------------------------------------------------------------------- what is named */

/* A moment after the start of a server it has not got to them; then it says so again. */
static kf_rc tell_not_there(const struct doctor_view *v, struct findings *f)
{
    struct listing l = {0};
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && v->space && i < v->space->tracked_count; i++) {
        char name[TRACK_NAME_MAX + 2];
        bool known = true;
        snprintf(name, sizeof name, "%.*s", STR_ARGS(v->space->tracked[i]));
        rc = tracks_known(v->store, name, &known, NULL);
        if (rc == KF_OK && !known)
            list(&l, name, "");
    }
    tell(&l, FINDING_TRACK_NOT_THERE, f);
    return rc;
}

void doctor_tracked(const struct doctor_view *v, struct findings *f)
{
    struct arena arena = ARENA_INIT;
    struct track_status t = {0};
    if (store_level(v->store) != KF_LEVEL_SHARED || v->status.state == KF_STATE_AWAY)
        return;
    kf_rc rc = tracks_tell(v->store, true, &arena, &t, NULL);
    if (rc == KF_OK) {
        tell_state(&t, "missing", FINDING_TRACK_MISSING, f);
        tell_state(&t, "off", FINDING_TRACK_OFF, f);
        tell_state(&t, "unfit", FINDING_TRACK_UNFIT, f);
        tell_changed(&t, f);
        tell_waiting(&t, f);
        tell_held(v, &t, f);
        tell_repaired(v, &t, f);
        rc = tell_not_there(v, f);
    }
    f->failed |= rc == KF_NOMEM; /* a database that fails says so by the state of the store */
    arena_release(&arena);
}
