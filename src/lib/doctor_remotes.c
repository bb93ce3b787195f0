/* What keeps a remote from having everything. At most one finding says why its last run failed; a
 * secret that is not there is that cause, and no other is looked for. */
#include "lib/doctor.h"

#include "base/err.h"
#include "base/when.h"
#include "remote/git_advice.h"
#include "remote/remotes.h"

#include <stdio.h>

/* A change that old should have gone out, or its schedule is a slow one. */
#define WAITING_MS  60000
#define ROUNDING_MS 30000

/* "3 documents are not there, the oldest change is 5 min old": appended to sentences. */
static const char *pending_words(const struct kf_remote_info *r, int64_t now_ms, char out[120])
{
    struct buf age = BUF_INIT;
    age_human(now_ms > r->pending.oldest_ms ? now_ms - r->pending.oldest_ms : 0, &age);
    if (r->pending.count)
        snprintf(out, 120, "; %llu change%s pending, the oldest is %s old",
                 (unsigned long long)r->pending.count, r->pending.count == 1 ? " is" : "s are",
                 age.failed ? "?" : age.p);
    else
        snprintf(out, 120, "; nothing is pending");
    buf_release(&age);
    return out;
}

static bool look_at_secrets(const struct doctor_view *v, const struct kf_remote_info *r,
                            struct findings *f)
{
    size_t before = f->count;
    doctor_secret_env(r->token_env, "token_env", r->name, f);
    doctor_secret_file(v->env, r->token_file, "token_file", r->name, f);
    doctor_secret_file(v->env, r->ssh_key_file, "ssh_key_file", r->name, f);
    doctor_secret_env(r->key_env, "key_env", r->name, f);
    doctor_secret_file(v->env, r->key_file, "key_file", r->name, f);
    return f->count > before;
}

static enum finding finding_of_git(const struct kf_remote_info *r)
{
    switch (git_advice_cause(str_of(r->last_error))) {
    case GIT_CAUSE_NO_TOKEN: return FINDING_REMOTE_TOKEN_MISSING;
    case GIT_CAUSE_TOKEN: return FINDING_REMOTE_TOKEN_REFUSED;
    case GIT_CAUSE_KEY: return FINDING_REMOTE_KEY_REFUSED;
    case GIT_CAUSE_RIGHT: return FINDING_REMOTE_RIGHT_MISSING;
    case GIT_CAUSE_HOST: return FINDING_REMOTE_HOST_UNKNOWN;
    case GIT_CAUSE_ABSENT: return FINDING_REMOTE_ABSENT;
    case GIT_CAUSE_ELSEWHERE: return FINDING_REMOTE_ELSEWHERE;
    case GIT_CAUSE_PAUSE: return FINDING_REMOTE_BUSY;
    case GIT_CAUSE_OTHER: break;
    }
    return strstr(r->last_error, "there is no program") ? FINDING_GIT_MISSING : FINDING_REMOTE_AWAY;
}

static enum finding finding_of_failure(const struct kf_remote_info *r)
{
    static const struct {
        enum problem problem;
        enum finding finding;
    } table[] = {
        {PROBLEM_REMOTE_FULL, FINDING_REMOTE_FULL},
        {PROBLEM_DIVERGED, FINDING_REMOTE_DIVERGED},
        {PROBLEM_ROLLED_BACK, FINDING_REMOTE_ROLLED_BACK},
        {PROBLEM_KEY_NEEDED, FINDING_REMOTE_KEY_NEEDED},
        {PROBLEM_FORMAT_TOO_NEW, FINDING_REMOTE_TOO_NEW},
        {PROBLEM_BAD_OBJECT, FINDING_REMOTE_UNREADABLE},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(r->last_code, problem_table[table[i].problem].code) == 0)
            return table[i].finding;
    return strcmp(r->kind, "git") == 0 ? finding_of_git(r) : FINDING_REMOTE_AWAY;
}

static void tell_failure(const struct doctor_view *v, const struct kf_remote_info *r,
                         struct findings *f)
{
    char pending[120];
    enum finding found = finding_of_failure(r);
    findings_add(f, found, r->name, "%s: %s (%u time%s in a row%s)", r->url, r->last_error,
                 (unsigned)r->failures, r->failures == 1 ? "" : "s",
                 pending_words(r, v->now_ms, pending));
    /* One that stands in the configuration is not forgotten by a command. */
    if ((found == FINDING_REMOTE_DIVERGED || found == FINDING_REMOTE_ROLLED_BACK) &&
        strcmp(r->source, "config") == 0)
        findings_next(f,
                      "look at what is there, and who changed it; put the old state back, or write "
                      "another name for %s in the configuration and start anew: both sides are "
                      "then joined",
                      r->name);
}

/* ------------------------------------------------------------------------------- set aside */

/* What of it counts as pending, and what is damaged here. */
struct aside_sum {
    uint64_t of_ours, damaged;
    char name[120], first_damaged[120], reason[300];
};

static kf_rc sum_aside(const struct doctor_view *v, const struct kf_remote_info *r,
                       struct aside_sum *ret)
{
    struct kf_aside_list list = {0};
    kf_rc rc = remotes_aside(store_remotes(v->store), r->name, NULL, NULL, 1000, &list, NULL);
    if (rc != KF_OK)
        return rc;
    for (size_t i = 0; i < list.count; i++) {
        const struct kf_aside_item *item = &list.items[i];
        bool damaged = strcmp(item->kind, "damaged") == 0;
        if (i == 0) {
            snprintf(ret->name, sizeof(ret->name), "%s", item->name);
            snprintf(ret->reason, sizeof(ret->reason), "%s", item->reason);
        }
        if (damaged && ret->damaged++ == 0)
            snprintf(ret->first_damaged, sizeof(ret->first_damaged), "%s", item->name);
        ret->of_ours += damaged || strcmp(item->kind, "withheld") == 0;
    }
    kf_aside_list_free(&list);
    return KF_OK;
}

static void look_aside(const struct doctor_view *v, const struct kf_remote_info *r,
                       struct findings *f)
{
    struct aside_sum sum = {0};
    if (!r->set_aside)
        return;
    kf_rc rc = sum_aside(v, r, &sum);
    f->failed |= rc == KF_NOMEM;
    if (rc != KF_OK)
        return;
    if (sum.damaged)
        findings_add(f, FINDING_DOCUMENT_DAMAGED, NULL,
                     "%llu here, the first is \"%s\": its bytes do not match their hash, so it is "
                     "neither served nor sent to %s",
                     (unsigned long long)sum.damaged, sum.first_damaged, r->name);
    bool all = r->pending.count && sum.of_ours >= r->pending.count;
    findings_add(f, all ? FINDING_REMOTE_ALL_ASIDE : FINDING_REMOTE_ASIDE, r->name,
                 "%llu at %s, the first is \"%s\": %s", (unsigned long long)r->set_aside, r->url,
                 sum.name, sum.reason);
}

/* -------------------------------------------------------------------------------- schedules */

static void look_at_schedule(const struct doctor_view *v, const struct kf_remote_info *r,
                             struct findings *f)
{
    char pending[120], next[WHEN_LEN + 1];
    bool waits = r->pending.count && v->now_ms - r->pending.oldest_ms >= WAITING_MS;
    bool manual = strstr(r->schedule, "manual") != NULL;
    pending_words(r, v->now_ms, pending);
    if (r->overdue_ms && !v->brief) {
        when_format(r->overdue_ms, next);
        findings_add(f, FINDING_REMOTE_OVERDUE, r->name, "it should have run at %s (%s)%s", next,
                     r->schedule, pending);
    } else if (manual && r->pending.count) {
        findings_add(f, FINDING_REMOTE_MANUAL, r->name, "its schedule is manual%s", pending);
    } else if (v->brief && waits && !strstr(r->schedule, "on_change")) {
        findings_add(f, FINDING_REMOTE_NOBODY_RUNS, r->name,
                     "it should run by itself (%s), and no server or program has the store open%s",
                     r->schedule, pending);
    } else if (!v->brief && waits && !r->last_run_ms && r->state == KF_REMOTE_IDLE) {
        when_format(r->next_run_ms, next);
        findings_add(f, FINDING_REMOTE_NOT_DUE, r->name, "its schedule is %s, its first run %s%s%s",
                     r->schedule, r->next_run_ms ? "comes at " : "waits for more changes",
                     r->next_run_ms ? next : "", pending);
    }
}

/* ------------------------------------------------------------------------------------ its place */

static void look_at_place(const struct doctor_view *v, const struct kf_remote_info *r,
                          struct findings *f)
{
    static const char *const folders[] = {"dir:", "file://"};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        str url = str_of(r->url);
        if (!str_starts(url, str_of(folders[i])))
            continue;
        const char *path = r->url + strlen(folders[i]);
        if (path[0] == '/' && doctor_same_disk(v->env, path, v->path))
            findings_add(f, FINDING_REMOTE_SAME_DISK, r->name,
                         "%s and %s are on one file system: when that is lost, both are", path,
                         v->path);
    }
}

static void look_at_clock(const struct doctor_view *v, const struct kf_remote_info *r,
                          struct findings *f)
{
    struct remotes_clock c;
    char seen[WHEN_LEN + 1];
    struct buf apart = BUF_INIT;
    if (!remotes_clock_of(store_remotes(v->store), r->name, &c))
        return;
    /* What is kept is the least that it can be. */
    age_human((c.ahead_ms > 0 ? c.ahead_ms : -c.ahead_ms) + ROUNDING_MS, &apart);
    when_format(c.seen_wall_ms, seen);
    findings_add(f, FINDING_REMOTE_CLOCK, r->name,
                 "at %s, by our clock, %s said a time that is %s %s: whichever is wrong, dates of "
                 "versions and runs are, and certificates and tokens seem to be over or not yet "
                 "good",
                 seen, r->url, apart.failed ? "?" : apart.p, c.ahead_ms > 0 ? "later" : "earlier");
    buf_release(&apart);
}

static void look_at_remote(const struct doctor_view *v, const struct kf_remote_info *r,
                           struct findings *f)
{
    bool no_secret = look_at_secrets(v, r, f);
    if (r->failures && !no_secret)
        tell_failure(v, r, f);
    else if (!r->failures && v->status.state != KF_STATE_HYDRATING)
        look_at_schedule(v, r, f);
    look_aside(v, r, f);
    look_at_place(v, r, f);
    look_at_clock(v, r, f);
}

void doctor_remotes(const struct doctor_view *v, struct findings *f)
{
    for (size_t i = 0; i < v->remotes.count; i++)
        look_at_remote(v, &v->remotes.items[i], f);
}
