/* What the leader looks after between groups: free space, the file's identity, the size of the
 * log, the clock. */
#include "store/store_internal.h"

#include <sys/stat.h>

#define EMPTY_EACH_MS 1000 /* tries to rid the log of what was erased */

bool care_is_moved(struct kf_store *s)
{
    struct stat st;
    kf_rc rc = path_stat(s->env, s->path, &st, NULL);
    return rc == KF_ABSENT || (rc == KF_OK && (st.st_dev != s->dev || st.st_ino != s->ino));
}

kf_rc care_check_moved(struct kf_store *s, struct kf_err *err)
{
    if (!care_is_moved(s))
        return KF_OK;
    KF_SOMETIMES("store-moved");
    state_read_only(s, PROBLEM_STORE_MOVED, "store.moved",
                    "its file was replaced or removed; what is open is written to a file beside it "
                    "when the store is closed");
    return state_refusal(s, err);
}

void care_look_at_space(struct kf_store *s)
{
    uint64_t free = 0;
    if (path_free_bytes(s->env, s->dir, &free, NULL) != KF_OK)
        return;
    bool low = free < s->low_water;
    if (low && !s->low) {
        KF_SOMETIMES("store-low-on-space");
        log_event(s->options.log, LOG_WARN, "store.low", LOG_S("path", s->path),
                  LOG_I("free", free), LOG_I("mark", s->low_water), LOG_END);
    }
    s->low = low;
}

/* The log is too large for more: readers, ours or foreign, keep the checkpoint from ending. */
static kf_rc check_stall(struct kf_store *s, int64_t now_ms, struct kf_err *err)
{
    if (!atomic_load(&s->wal_stalled))
        return KF_OK;
    if (now_ms - s->stall_tried_ms >= STORE_LOOK_MS) {
        s->stall_tried_ms = now_ms;
        care_after(s);
    }
    if (!atomic_load(&s->wal_stalled))
        return KF_OK;
    return err_set(
        err, PROBLEM_WAL_STALLED,
        "the log of the store is over its limit because a reader holds on to it: end long "
        "reads, also of other programs");
}

kf_rc care_before(struct kf_store *s, struct kf_err *err)
{
    int64_t now_ms = env_mono_ms(s->env);
    if (store_state(s) == STORE_READ_ONLY)
        return state_refusal(s, err);
    if (store_state(s) == STORE_FULL) {
        if (now_ms - s->full_tried_ms < STORE_FULL_RETRY_MS)
            return state_refusal(s, err);
        s->full_tried_ms = now_ms;
    }
    kf_rc rc = swap_reopen(s, err);
    if (rc == KF_OK)
        rc = content_settle(s, err);
    if (rc == KF_OK)
        rc = check_stall(s, now_ms, err);
    if (rc == KF_OK && now_ms - s->looked_ms >= STORE_LOOK_MS) {
        s->looked_ms = now_ms;
        care_look_at_space(s);
        rc = care_check_moved(s, err);
    }
    if (rc != KF_OK)
        return rc;
    if (s->low)
        return err_set(
            err, PROBLEM_LOW_SPACE,
            "less than %llu bytes are free on the disk of %s: make room; deleting is allowed",
            (unsigned long long)s->low_water, s->path);
    return KF_OK;
}

/* Looked at behind each write and not before: what a write needs is known when it is there, and one
 * group may hold gigabytes. */
kf_rc care_quota(struct kf_store *s, struct kf_err *err)
{
    uint64_t used = 0, quota = s->options.quota_bytes;
    kf_rc rc = db_used(s->db, &used, err);
    if (rc == KF_OK && used > quota && s->engine->content)
        rc = s->engine->content(s, &used, err);
    if (rc != KF_OK)
        return rc;
    bool over = used > quota;
    if (over && !s->over_quota)
        log_event(s->options.log, LOG_INFO, "quota.hit", LOG_S("path", s->path),
                  LOG_I("quota", quota), LOG_END);
    s->over_quota = over;
    if (!over)
        return KF_OK;
    KF_SOMETIMES("store-over-quota");
    return err_set(err, PROBLEM_QUOTA,
                   "this write would take the space beyond its %llu bytes (limits.quota): delete "
                   "what is not needed, keep fewer versions, or ask the operator for more",
                   (unsigned long long)quota);
}

void care_judge(struct kf_store *s, struct kf_err *err)
{
    struct kf_err why = *err;
    switch (db_trouble(s->db)) {
    case DB_TROUBLE_FULL:
        s->full_care = !s->unsettled && (store_state(s) != STORE_FULL || !s->full_stuck);
        state_full(s, PROBLEM_DISK_FULL, &why);
        break;
    case DB_TROUBLE_SYNC:
        db_distrust(s->db);
        state_read_only(s, PROBLEM_STORE_READ_ONLY, "store.sync_failed", why.detail);
        state_refusal(s, err);
        break;
    case DB_TROUBLE_IO:
        db_distrust(s->db);
        state_read_only(s, PROBLEM_STORE_READ_ONLY, "store.io", why.detail);
        state_refusal(s, err);
        break;
    case DB_TROUBLE_CORRUPT:
        log_event(s->options.log, LOG_CRIT, "store.damage", LOG_S("path", s->path),
                  LOG_S("reason", why.detail), LOG_END);
        break;
    case DB_TROUBLE_NOMEM:
        log_event(s->options.log, LOG_ERROR, "mem.fail", LOG_S("path", s->path), LOG_END);
        break;
    default: break;
    }
}

bool care_is_due(struct kf_store *s)
{
    if (!s->db || store_state(s) == STORE_READ_ONLY)
        return false;
    if (atomic_load(&s->scrubbed) && env_mono_ms(s->env) - s->emptied_ms >= EMPTY_EACH_MS)
        return true;
    if (s->full_care && store_state(s) == STORE_FULL) {
        KF_SOMETIMES("full-checkpointed");
        return true;
    }
    uint32_t frames = db_wal_frames(s->db);
    /* Fewer than at the last checkpoint: the log began anew. More: a reader kept it from that,
     * and looking at all of it again after each commit would cost more than it brings. */
    if (frames < s->checkpointed)
        s->checkpointed = 0;
    return frames - s->checkpointed >= s->options.checkpoint_frames;
}

static void judge_log(struct kf_store *s)
{
    uint64_t bytes = db_wal_bytes(s->db);
    atomic_store_explicit(&s->wal_bytes, bytes, memory_order_relaxed);
    if (bytes >= s->options.wal_big_bytes && !s->wal_big)
        log_event(s->options.log, LOG_WARN, "wal.big", LOG_S("path", s->path),
                  LOG_I("bytes", bytes), LOG_I("oldest_read_ms", readers_oldest_ms(s)), LOG_END);
    if (bytes >= s->options.wal_stalled_bytes && !atomic_load(&s->wal_stalled))
        log_event(s->options.log, LOG_ERROR, "wal.stalled", LOG_S("path", s->path),
                  LOG_I("bytes", bytes), LOG_I("oldest_read_ms", readers_oldest_ms(s)), LOG_END);
    s->wal_big = bytes >= s->options.wal_big_bytes;
    atomic_store(&s->wal_stalled, bytes >= s->options.wal_stalled_bytes);
}

void care_after(struct kf_store *s)
{
    uint32_t left;
    struct kf_err err = KF_ERR_INIT;
    if (care_check_moved(s, &err) != KF_OK)
        return;
    s->checkpointed = db_wal_frames(s->db);
    s->full_care = s->full_stuck = false;
    db_trouble_clear(s->db);
    bool empty = atomic_load(&s->scrubbed);
    kf_rc rc = db_checkpoint(s->db, empty, &left, &err);
    if (empty) {
        s->emptied_ms = env_mono_ms(s->env);
        atomic_store(&s->scrubbed, rc != KF_OK);
    }
    if (rc == KF_BUSY) {
        KF_SOMETIMES("checkpoint-kept-from-emptying");
    } else if (rc != KF_OK) {
        KF_SOMETIMES("checkpoint-failed");
        care_judge(s, &err);
        s->full_stuck = true;
        s->full_care = false;
    }
    judge_log(s);
}

void care_clock(struct kf_store *s, int64_t wall_ms)
{
    bool back = s->clock.last_wall && wall_ms < s->clock.last_wall - 1000;
    if (back && !s->clock_back)
        log_event(s->options.log, LOG_WARN, "clock.back",
                  LOG_I("delta", s->clock.last_wall - wall_ms), LOG_END);
    s->clock_back = back;
    int64_t ahead_ms = clock_ahead_ms(&s->clock, wall_ms);
    bool ahead = ahead_ms > CLOCK_DRIFT_MS;
    if (ahead && !s->clock_ahead) {
        KF_SOMETIMES("clock-ahead-of-wall");
        log_event(s->options.log, LOG_WARN, "clock.ahead_self", LOG_I("delta", ahead_ms), LOG_END);
    }
    s->clock_ahead = ahead;
}
