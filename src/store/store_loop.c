/* What the loop does for a store: leads after each turn or has it done, tries again while the disk
 * is full or somebody else writes, closes idle readers. */
#include "store/store_internal.h"

#include <stddef.h>

#define AGAIN_MS 10
#define SOON_MS  50

#define STORE_OF(p, member) \
    ((struct kf_store *)(void *)((char *)(p)-offsetof(struct kf_store, member)))

/* --------------------------------------------------------------------- while the disk is full */

static kf_rc probe_apply(struct group *g, struct write *w, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_state SET seq = seq WHERE id = 1";
    struct db_stmt *st;
    kf_rc rc = db_use(group_db(g), sql, &st, err);
    return rc == KF_OK ? db_run(st, err) : rc;
}

static void probe_done(struct write *w)
{
    STORE_OF(w, probe_write)->probing = false;
}

static void probe_fire(struct loop_timer *t)
{
    struct kf_store *s = STORE_OF(t, probe);
    if (store_state(s) != STORE_FULL || s->probing)
        return;
    KF_SOMETIMES("full-probed-by-loop");
    s->probing = true;
    s->probe_write = (struct write){.apply = probe_apply, .done = probe_done, .frees = true};
    store_submit(s, &s->probe_write);
}

/* ------------------------------------------------------------------------------ a busy file */

static void again_fire(struct loop_timer *t)
{
    struct kf_store *s = STORE_OF(t, lead_again);
    atomic_store(&s->busy_again, false);
    loop_wake(s->options.loop);
}

bool loop_lead_again(struct kf_store *s)
{
    if (loop_timer_set(s->options.loop, &s->lead_again, AGAIN_MS, again_fire) != KF_OK)
        return false;
    atomic_store(&s->busy_again, true);
    return true;
}

/* --------------------------------------------------------------------------------- idleness */

/* The pages of the owner's connection, when nothing was written since this was asked last. Whoever
 * leads now is writing. */
static void forget_own_pages(struct kf_store *s)
{
    uint64_t commits = atomic_load_explicit(&s->commits, memory_order_relaxed);
    bool idle = commits == s->idle_commits;
    s->idle_commits = commits;
    if (!idle || !lead_if_idle(s))
        return;
    own_begin(s);
    if (s->db && !s->placing.open) {
        place_calm(s);
        db_forget_pages(s->db);
    }
    own_end(s);
    lead_end(s);
}

static void idle_fire(struct loop_timer *t)
{
    struct kf_store *s = STORE_OF(t, idle);
    readers_close(s, false);
    readers_forget_pages(s);
    forget_own_pages(s);
    loop_timer_set(s->options.loop, &s->idle, s->options.reader_idle_ms, idle_fire);
}

/* ------------------------------------------------------------------------- soon after writes */

static void look_soon(struct kf_store *s);

/* What is in the redo file alone, the leader reads. */
static void settle_lost(struct kf_store *s)
{
    struct kf_err err = KF_ERR_INIT;
    if (!lead_if_idle(s))
        return;
    own_begin(s);
    if (s->db && store_state(s) != STORE_READ_ONLY)
        redo_settle(s, &err);
    own_end(s);
    lead_end(s);
}

/* What was told is committed when nothing was added to it for a while, and what was erased leaves
 * the log when no reader is in the way. */
static void soon_fire(struct loop_timer *t)
{
    struct kf_store *s = STORE_OF(t, soon);
    uint64_t groups = atomic_load_explicit(&s->placing.groups, memory_order_relaxed);
    bool quiet = groups == s->groups_seen;
    s->groups_seen = groups;
    if (atomic_load(&s->placing.lost))
        settle_lost(s);
    else
        place_soon(s, quiet);
    look_soon(s);
}

static bool is_wanted_soon(struct kf_store *s)
{
    enum store_state state = store_state(s);
    return loop_has_left(s) && (state == STORE_OPEN || state == STORE_HYDRATING);
}

/* Looked at again once it is said that nobody will: whoever leads asks for a look only then. */
static void look_soon(struct kf_store *s)
{
    if (s->soon.loop)
        return;
    bool wanted = is_wanted_soon(s);
    atomic_store(&s->soon_set, wanted);
    wanted = wanted || is_wanted_soon(s);
    if (wanted && loop_timer_set(s->options.loop, &s->soon, SOON_MS, soon_fire) == KF_OK)
        atomic_store(&s->soon_set, true);
}

bool loop_has_left(struct kf_store *s)
{
    return redo_is_ahead(s) || atomic_load_explicit(&s->scrubbed, memory_order_relaxed);
}

void loop_look_soon(struct kf_store *s)
{
    struct loop *loop = s->options.loop;
    if (loop && !loop_in_turn(loop) && loop_has_left(s) && !atomic_exchange(&s->soon_set, true))
        loop_wake(loop);
}

/* --------------------------------------------------------------------------------- the hook */

static bool after_turn(struct loop_hook *h)
{
    struct kf_store *s = STORE_OF(h, hook);
    bool more = !commit_elsewhere(s) && store_lead(s);
    if (store_state(s) == STORE_FULL && !s->probe.loop && !s->probing)
        loop_timer_set(s->options.loop, &s->probe, STORE_FULL_PROBE_MS, probe_fire);
    look_soon(s);
    return more;
}

kf_rc loop_attach(struct kf_store *s, struct kf_err *err)
{
    if (!s->options.loop)
        return KF_OK;
    if (loop_timer_set(s->options.loop, &s->idle, s->options.reader_idle_ms, idle_fire) != KF_OK)
        return err_nomem(err);
    s->hook.run = after_turn;
    loop_after(s->options.loop, &s->hook);
    return KF_OK;
}

void loop_detach(struct kf_store *s)
{
    if (!s->hook.run)
        return;
    loop_after_remove(s->options.loop, &s->hook);
    loop_timer_cancel(&s->idle);
    loop_timer_cancel(&s->probe);
    loop_timer_cancel(&s->soon);
    loop_timer_cancel(&s->lead_again);
    s->hook.run = NULL;
}
