/* An open store: whether it takes writes and will, whether the clock can be believed, and where its
 * data came from or went. */
#include "lib/doctor.h"

#include "base/err.h"
#include "base/when.h"
#include "remote/remotes.h"
#include "store/place.h"

#include <stdio.h>

#define DAY_MS ((int64_t)24 * 3600 * 1000)
/* Nobody who runs this wrote anything before. 2025-01-01. */
#define CLOCK_SET_MS 1735689600000
/* A disk that turns and has no cache takes some 10 ms; slower than that is worth a word. */
#define SLOW_US 30000
#define MEAN_OF 8
/* How long what happened once is worth a word. */
#define REFILLED_MS (7 * DAY_MS)
#define CLONED_MS   (30 * DAY_MS)

/* Sizes and times as words, for one sentence. */
struct words {
    char text[4][48];
    size_t used;
};

static const char *keep(struct words *w, struct buf *b)
{
    char *to = w->text[w->used++ % 4];
    snprintf(to, sizeof(w->text[0]), "%s", b->failed || !b->p ? "?" : b->p);
    buf_release(b);
    return to;
}

static const char *size_words(struct words *w, uint64_t bytes)
{
    struct buf b = BUF_INIT;
    size_human(bytes, &b);
    return keep(w, &b);
}

static const char *age_words(struct words *w, int64_t ms)
{
    struct buf b = BUF_INIT;
    age_human(ms > 0 ? ms : 0, &b);
    return keep(w, &b);
}

/* ------------------------------------------------------------------------------ does it write */

static void look_at_state(const struct doctor_view *v, struct findings *f)
{
    const struct kf_status *s = &v->status;
    if (v->health.moved)
        findings_add(f, FINDING_STORE_MOVED, NULL,
                     "%s is not the file any more that is open here%s%s", v->path,
                     s->reason[0] ? ": " : "", s->reason);
    else if (s->state == KF_STATE_READ_ONLY)
        findings_add(f, FINDING_READ_ONLY, NULL, "%s: %s", v->path, s->reason);
    if (s->state == KF_STATE_AWAY)
        findings_add(f, FINDING_STORE_AWAY, NULL, "%s: nothing is read and nothing written: %s",
                     v->path, s->reason);
    if (s->state == KF_STATE_FULL)
        findings_add(f, FINDING_DISK_FULL, NULL, "%s: reads go on, writes fail: %s", v->path,
                     s->reason);
    if (v->health.lock_gone)
        findings_add(f, FINDING_LOCK_GONE, NULL,
                     "%s.lock: another process that opens the store now does not see that it is "
                     "in use, and both would write",
                     v->path);
    if (v->health.log_gone && !v->health.moved)
        findings_add(f, FINDING_LOG_GONE, NULL,
                     "%s-wal: what was confirmed since the last checkpoint is in a file without a "
                     "name, which goes when this process ends",
                     v->path);
}

static void look_at_space(const struct doctor_view *v, struct findings *f)
{
    struct words w = {0};
    uint64_t free = v->status.disk_free, low = store_low_water(v->store);
    if (v->status.state == KF_STATE_FULL)
        return;
    if (free < low)
        findings_add(f, FINDING_DISK_LOW, NULL,
                     "%s free on the disk of %s, and the last %s are kept for recovery: writes "
                     "are answered low_space",
                     size_words(&w, free), v->path, size_words(&w, low));
    else if (free / 2 < low)
        findings_add(f, FINDING_DISK_FILLING, NULL,
                     "%s free on the disk of %s; below %s writes are refused. This store has %s",
                     size_words(&w, free), v->path, size_words(&w, low),
                     size_words(&w, v->status.disk_bytes));
}

static void look_at_quota(const struct doctor_view *v, struct findings *f)
{
    struct words w = {0};
    uint64_t used = v->status.used_bytes, quota = v->status.quota_bytes;
    if (quota == 0 || used < quota / 10 * 9)
        return;
    /* A write that does not fit is undone, so it is never quite full: full is what takes no
     * document of some pages any more. */
    bool full = used + quota / 100 >= quota;
    findings_add(f, full ? FINDING_QUOTA_FULL : FINDING_QUOTA_FILLING, NULL,
                 "%s of the %s that limits.quota gives to %s; writes beyond it are answered quota",
                 size_words(&w, used), size_words(&w, quota), v->path);
}

static void look_at_log(const struct doctor_view *v, struct findings *f)
{
    struct words w = {0};
    const char *of_ours = v->health.oldest_read_ms >= 1000 ? age_words(&w, v->health.oldest_read_ms)
                                                           : NULL;
    if (!v->health.wal_big && !v->health.wal_stalled)
        return;
    findings_add(f, v->health.wal_stalled ? FINDING_LOG_STALLED : FINDING_LOG_GROWING, NULL,
                 "%s-wal has %s; %s%s", v->path, size_words(&w, v->status.wal_bytes),
                 of_ours ? "the oldest read of Keepfast's own goes on for "
                         : "no read of Keepfast's own is old, so another program reads",
                 of_ours ? of_ours : "");
}

static void look_at_filling(const struct doctor_view *v, struct findings *f)
{
    const char *waits_for = NULL;
    if (v->status.state != KF_STATE_HYDRATING)
        return;
    for (size_t i = 0; i < v->remotes.count && !waits_for; i++)
        if (!v->remotes.items[i].hydrated && v->remotes.items[i].failures)
            waits_for = v->remotes.items[i].name;
    if (waits_for) {
        findings_add(f, FINDING_NOT_HYDRATED, NULL,
                     "it waits for %s, from which it could not be filled: why is told of %s "
                     "itself. Until then a name that was not taken in yet cannot be read",
                     waits_for, waits_for);
        findings_level(f, FINDING_NOT_HYDRATED, NULL, KF_FINDING_ERROR);
    } else {
        findings_add(f, FINDING_NOT_HYDRATED, NULL,
                     "%llu documents are there so far; a name that was not taken in yet cannot be "
                     "read",
                     (unsigned long long)v->status.docs);
    }
}

static void look_at_speed(const struct doctor_view *v, struct findings *f)
{
    if (v->status.commits < MEAN_OF || v->status.flush_us < SLOW_US)
        return;
    findings_add(f, FINDING_DISK_SLOW, NULL,
                 "a commit takes %llu ms in the mean of the last ones: the disk of %s takes that "
                 "long to say that something is on it",
                 (unsigned long long)(v->status.flush_us / 1000), v->path);
}

/* ---------------------------------------------------------------------------------- the clock */

static void look_at_clock(const struct doctor_view *v, struct findings *f)
{
    struct words w = {0};
    char now[WHEN_LEN + 1], last[WHEN_LEN + 1];
    int64_t last_ms = clock_stamp_ms(v->health.stamp);
    when_format(v->now_ms, now);
    when_format(last_ms, last);
    if (v->now_ms < CLOCK_SET_MS)
        findings_add(f, FINDING_CLOCK_UNSET, NULL,
                     "it says %s: schedules, ages and the order of writes at remotes go by it",
                     now);
    else if (last_ms - v->now_ms > CLOCK_DRIFT_MS)
        findings_add(f, FINDING_CLOCK_BEHIND, NULL,
                     "the newest write is of %s and the clock says %s, %s less: it was ahead then, "
                     "or is behind now",
                     last, now, age_words(&w, last_ms - v->now_ms));
}

/* ------------------------------------------------------------------- where the data came from */

/* The run that brought the documents of a store that was lost; *ret is its end, 0 = none. */
static kf_rc find_filling(const struct doctor_view *v, int64_t since_ms, struct kf_run_list *list,
                          const struct kf_run **ret)
{
    uint64_t before = 0;
    *ret = NULL;
    for (int page = 0; page < 20; page++) {
        kf_run_list_free(list);
        kf_rc rc = remotes_runs(store_remotes(v->store), NULL, before, 1000, list, NULL);
        if (rc != KF_OK)
            return rc;
        for (size_t i = 0; i < list->count; i++) {
            const struct kf_run *run = &list->items[i];
            if (run->ended_ms < since_ms)
                return KF_OK;
            if (strcmp(run->cause, "hydration") == 0 && (run->taken_docs || run->taken_entries)) {
                *ret = run;
                return KF_OK;
            }
            before = run->id;
        }
        if (!list->more)
            break;
    }
    return KF_OK;
}

static void look_for_filling(const struct doctor_view *v, struct findings *f)
{
    struct kf_run_list list = {0};
    const struct kf_run *run = NULL;
    char at[WHEN_LEN + 1];
    if (v->remotes.count == 0)
        return;
    kf_rc rc = find_filling(v, v->now_ms - REFILLED_MS, &list, &run);
    f->failed |= rc == KF_NOMEM;
    if (rc == KF_OK && run) {
        when_format(run->ended_ms, at);
        findings_add(f, FINDING_REFILLED, NULL,
                     "there was no file %s at %s: it was made anew, and filled from %s (documents: "
                     "%llu, entries: %llu). What had not been saved there is gone",
                     v->path, at, run->remote, (unsigned long long)run->taken_docs,
                     (unsigned long long)run->taken_entries);
    }
    kf_run_list_free(&list);
}

static bool all_were_asked(const struct doctor_view *v)
{
    for (size_t i = 0; i < v->remotes.count; i++)
        if (!v->remotes.items[i].hydrated || v->remotes.items[i].failures)
            return false;
    return true;
}

/* A store with nothing in it, perhaps in the place of one that had something. */
static void look_at_nothing(const struct doctor_view *v, struct findings *f)
{
    bool one = v->remotes.count == 1;
    if (v->remotes.count == 0)
        findings_add(f, FINDING_NEVER_WRITTEN, NULL,
                     "%s: it has no remote that could have filled it", v->path);
    else if (all_were_asked(v))
        findings_add(f, FINDING_FILLED_FROM_NOTHING, NULL,
                     "there was no file %s, so it was made; %s, and hold%s no document", v->path,
                     one ? "its remote was asked" : "its remotes were asked", one ? "s" : "");
}

static void look_at_past(const struct doctor_view *v, struct findings *f)
{
    char at[WHEN_LEN + 1];
    bool empty = v->status.seq == 0;
    if (empty && v->status.state != KF_STATE_HYDRATING)
        look_at_nothing(v, f);
    else if (!empty)
        look_for_filling(v, f);
    if (v->health.cloned_ms && v->now_ms - v->health.cloned_ms < CLONED_MS) {
        when_format(v->health.cloned_ms, at);
        findings_add(f, FINDING_CLONED, NULL,
                     "at %s the file %s was found on another machine or under another number than "
                     "before, and took the name %016llx for what it writes",
                     at, v->path, (unsigned long long)v->status.site);
    }
    /* What keeps a database is not ours to see. */
    if (!empty && v->remotes.count == 0 && !v->status.backups.on && !db_is_url(v->path))
        findings_add(f, FINDING_ONLY_HERE, NULL,
                     "%s has no remote and no scheduled backup: what happens to this disk happens "
                     "to its documents (%llu)",
                     v->path, (unsigned long long)v->status.docs);
}

static void look_at_versions(const struct doctor_view *v, struct findings *f)
{
    for (size_t i = 0; v->space && i < v->space->doc_count; i++) {
        const struct config_doc *d = &v->space->docs[i];
        if (!d->keep.versions && !d->keep.age_ms)
            findings_add(f, FINDING_VERSIONS_UNBOUNDED, NULL,
                         "docs: match \"%.*s\" says neither how many nor how long, so the store "
                         "only grows",
                         STR_ARGS(d->match));
    }
}

void doctor_store(const struct doctor_view *v, struct findings *f)
{
    look_at_state(v, f);
    look_at_space(v, f);
    look_at_quota(v, f);
    look_at_log(v, f);
    look_at_filling(v, f);
    look_at_speed(v, f);
    look_at_clock(v, f);
    look_at_past(v, f);
    look_at_versions(v, f);
}
