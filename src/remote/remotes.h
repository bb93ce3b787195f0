/* remotes: all remotes of one store. The wrapper above the kinds: schedule, runs, waiting,
 * watermarks, hydration.
 *
 * A run of one remote (single flight; on a thread of its own, so that a place that hangs keeps
 * nobody but itself waiting):
 *
 *     IDLE -> RUNNING:  pull (merge what others changed, through the store's writer; the position
 *                       is remembered whatever becomes of the push)
 *                       push what is above the watermark up to number S, on top of what was pulled
 *                          KF_CONFLICT: pull again, at most 8 times
 *                       (a kind that says REMOTE_PUSH_FIRST begins with the push)
 *                       confirm: watermark = S, position, in one group
 *          -> IDLE (good)
 *           | RETRYING (failed: back-off)
 *           | DIVERGED, ROLLED_BACK (needs a decision; looked at again like RETRYING)
 *
 * W1  The watermark moves only after the kind said KF_OK for everything up to it, but for what W6
 *     says. Below a document that would replace a version that could not be read there (W5) it
 *     stays.
 * W2  Nothing of a run holds a lock, a read snapshot over 1 s or the loop while it waits for the
 *     remote: local writes go on.
 * W3  Save now, the schedule and close share one run: a caller that waits for number N is answered
 *     when the watermark has reached N, or the run that it rode on has failed. A run whose snapshot
 *     was taken before the caller came is not the one it rides on.
 * W4  Nothing is pushed before the store is hydrated.
 * W5  What could not be read at a remote is asked for again with every run, and a name of which
 *     nothing could be read is never absent: a store that is being filled goes on hydrating, an
 *     open one remembers the name, and reading it fails, until a good version comes from there or
 *     from another remote, or somebody writes the name (If-Match: *, --force). An older version of
 *     ours does not take its place there.
 *
 * W6  A document of ours that may not go there, or that the place refuses, is withheld while the
 *     rest goes on: the watermark passes its number only in the transaction in which its row of
 *     kf_aside is written, with this number. Until it was pushed, or somebody drops the row, it
 *     counts as not confirmed everywhere: pending, status, what a close leaves; who waits for it or
 *     for everything is told its problem, who waits for another document is not kept. Withheld are
 *     those whose bytes are damaged here, with a secret (unless allow_secrets), critical ones where
 *     everybody can read (unless public), and those that the place refuses alone (R7). The run is
 *     a good one.
 *
 * Hydration (hydrate.c): a store that was never written to takes in every configured remote, newest
 * first. The store's kf_meta says that it is on ("hydration"), `kf_remote.hydrated` which were
 * taken in, so it goes on after a restart.
 *
 *     EMPTY --no remotes--> done
 *     EMPTY --> HYDRATING: each remote: look -> pull from "" -> merged in groups of 256
 *                          -> hydrated = 1, watermark, position
 *     HYDRATING --all taken in or waived--> done: docs_set_hydrating(false)
 *
 * What is kept of a remote is its row in kf_remote. A remote of the configuration has one too; when
 * its address, its branch or its patterns (`docs`) change, it is another remote: nothing is
 * confirmed there.
 *
 * Threads: any unless marked; state is under one mutex, which is a leaf and never held while
 * calling out. */
#ifndef KF_REMOTE_REMOTES_H
#define KF_REMOTE_REMOTES_H

#include "remote/remote.h"
#include "remote/schedule.h"

#define REMOTES_MAX         16
#define REMOTES_CALL_MS     60000 /* one request of a kind to its place */
#define REMOTES_RACE_TRIES  8
#define REMOTES_CLOSE_MS    10000
#define REMOTES_GROUP       256
#define REMOTES_GROUP_BYTES (8u * 1024 * 1024)
#define REMOTES_WAIT_MS     10000 /* where a caller gives no time */
#define REMOTES_TELL_MS     (10 * 60 * 1000)
#define REMOTES_PAST_MS     60000 /* for a look at the past, where a caller gives no time */
#define REMOTES_PAST_MAX_MS (10 * 60 * 1000)
#define REMOTES_RUNS_MAX    1000 /* in the log, of each remote */
#define REMOTES_ASIDE_MAX   1000 /* listed, of each remote: of what is withheld, and of the rest */
#define REMOTES_RUNS_MS     ((int64_t)90 * 24 * 3600 * 1000)

struct remotes_options {
    const struct config_space *space; /* may be NULL; copied */
    bool start_empty;
};
/* Reads what the store knows of its remotes. From here on an empty store with remotes is HYDRATING.
 * KF_CONFIG for an address that no kind understands, KF_MISUSE for remotes of a store without a
 * loop. The loop's thread. */
kf_rc remotes_new(struct kf_store *store, struct docs *docs, const struct remotes_options *options,
                  struct remotes **ret_remotes, struct kf_err *err);
/* Begins what needs the loop: timers, hydration. On the loop's thread. */
void remotes_start(struct remotes *r);
/* Whether remotes_stop would have to wait: a run is under way, or what follows one. None begins
 * before the loop turns. On the loop's thread. */
bool remotes_running(const struct remotes *r);
/* Ends timers, answers who waits, and waits for runs that go on (they end at their next step). On
 * the loop's thread, in a callback or not. */
void remotes_stop(struct remotes *r);
/* After remotes_stop. NULL is fine. */
void remotes_free(struct remotes *r);
/* A stream_holders; ctx = the remotes. */
void remotes_holders(void *ctx, int64_t until, struct buf *out);

/* A wait for remotes to confirm everything up to a number; the router's way, never blocks. `done`
 * is called once on the loop's thread, perhaps before remotes_wait has returned; the owner
 * frees. */
struct remotes_wait {
    struct remotes_wait *next;
    void (*done)(struct remotes_wait *w);
    void *ctx;
    /* KF_OK, KF_UNAVAILABLE (level_unavailable names who did not and why; secret_found,
     * public_remote, remote_refused and KF_DAMAGED: withheld, W6), with on_end also what the remote
     * said (diverged, rolled_back), KF_ABSENT unknown_remote, KF_BUSY stopping */
    kf_rc rc;
    struct kf_err err;
    int64_t seq; /* set by the caller: store_seq() after its write */
    str doc;     /* set by the caller, borrowed: what of it matters; "" = all documents */
    bool ride;   /* do not start a run */
    bool
        on_end; /* answer at the end of the run, however it ended, instead of at the confirmation */
    /* the module's */
    struct remotes *remotes; /* NULL when it is not waiting */
    struct loop_timer timer;
    uint32_t waiting; /* bit per remote */
    uint32_t skip;    /* bit per remote: the run that is on does not count */
    uint32_t timeout_ms;
};
/* Whether each of `names` is a remote (unknown_remote otherwise), "all": whether there is any. Any
 * thread. */
kf_rc remotes_known(struct remotes *r, str names, struct kf_err *err);
/* names: "host,usb" or "all"; timeout_ms 0 = REMOTES_WAIT_MS. "all" of no remotes is
 * unknown_remote, with on_end KF_OK. On the loop's thread. */
void remotes_wait(struct remotes *r, struct remotes_wait *w, str names, uint32_t timeout_ms);
/* The client is gone: `done` will not be called. On the loop's thread. */
void remotes_wait_cancel(struct remotes_wait *w);

/* Blocking forms for programs: kf_sync, and what kf_close does. They turn the loop themselves when
 * the caller is its thread (then not inside a callback) or it is an inline one. */
kf_rc remotes_sync(struct remotes *r, str names, uint32_t timeout_ms, struct kf_err *err);
/* Waits until the remotes have confirmed what `doc` ("" = any document) was at number `seq`;
 * `ride`: without starting a run. */
kf_rc remotes_confirm(struct remotes *r, str names, str doc, int64_t seq, bool ride,
                      uint32_t timeout_ms, struct kf_err *err);
/* Runs every remote with on_change that has something pending, timeout_ms in all (0 =
 * REMOTES_CLOSE_MS). KF_UNAVAILABLE names what is left. */
kf_rc remotes_flush_on_close(struct remotes *r, uint32_t timeout_ms, struct kf_err *err);

/* Runs that are under way end as soon as they look; none is waited for. Any thread. */
void remotes_end_runs(struct remotes *r);

/* Ends every wait with `stopping`, and those that come until remotes_flush_on_close; every look at
 * the past as remotes_end_past. On the loop's thread. */
void remotes_end_waits(struct remotes *r);

/* What the public calls do, but for passing the store's gate and looking at the place of the
 * result. */
kf_rc remotes_list(struct remotes *r, struct kf_remote_list *ret_list, struct kf_err *err);
kf_rc remotes_add(struct remotes *r, const struct kf_remote_options *options, struct kf_err *err);
kf_rc remotes_try(struct remotes *r, const struct kf_remote_options *options,
                  struct kf_remote_found *ret_found, struct kf_err *err);
kf_rc remotes_remove(struct remotes *r, const char *name, struct kf_err *err);
kf_rc remotes_probe(struct remotes *r, const char *name, struct kf_err *err);
kf_rc remotes_pending(struct remotes *r, const char *remote, const char *after, size_t limit,
                      struct kf_pending_list *ret_list, struct kf_err *err);

/* How the clock of a remote's host stood to ours when an answer was last seen to say so. false: no
 * more than REMOTES_CLOCK_MS apart, or nothing is known. Any thread; reads the store. */
#define REMOTES_CLOCK_MS 60000
struct remotes_clock {
    int64_t ahead_ms; /* of ours; behind: below 0 */
    int64_t seen_wall_ms;
};
bool remotes_clock_of(struct remotes *r, const char *name, struct remotes_clock *ret);

kf_rc remotes_runs(struct remotes *r, const char *remote, uint64_t before, size_t limit,
                   struct kf_run_list *ret_list, struct kf_err *err);
kf_rc remotes_aside(struct remotes *r, const char *remote, const char *name,
                    const struct kf_aside_item *after, size_t limit, struct kf_aside_list *ret_list,
                    struct kf_err *err);
kf_rc remotes_aside_retry(struct remotes *r, const char *remote, uint32_t timeout_ms,
                          struct kf_err *err);
kf_rc remotes_aside_drop(struct remotes *r, const char *remote, const char *name,
                         struct kf_err *err);
kf_rc remotes_versions(struct remotes *r, const char *remote, const char *name, const char *after,
                       size_t limit, uint32_t timeout_ms, struct kf_remote_version_list *ret_list,
                       struct kf_err *err);
kf_rc remotes_version(struct remotes *r, const char *remote, const char *name, const char *id,
                      uint32_t timeout_ms, struct kf_doc *ret_doc, struct kf_err *err);
/* For the end of the store: ends those two, and refuses those that come. Any thread; NULL is
 * fine. */
void remotes_end_past(struct remotes *r);
/* The next run of the remote asks it for everything it holds. Any thread. */
kf_rc remotes_ask_again(struct remotes *r, str remote, struct kf_err *err);

/* Fills status->pending with the worst of all remotes, and in HYDRATING the reason. */
void remotes_status(struct remotes *r, struct kf_status *status);
/* Writes the remotes that the store keeps itself into the file that is to take its place, inside a
 * transaction of `db`; nothing is known there of what they hold. So no crash and no failure behind
 * the swap can lose them. */
kf_rc remotes_copy(struct remotes *r, struct db *db, struct kf_err *err);
/* After store_swap: watermarks are gone, everything is pending, remotes that `remote add` made are
 * kept. Not on the loop's thread. */
void remotes_reset(struct remotes *r);

/* Reads every object of every remote against its hash: a line per finding appended to `report`,
 * counted in *damaged. What is damaged or missing there and whole here is written again there, and
 * counted in *repaired as well once it was read back. A remote that does not answer is
 * KF_UNAVAILABLE. Blocking. */
kf_rc remotes_verify(struct remotes *r, struct buf *report, uint64_t *damaged, uint64_t *repaired,
                     struct kf_err *err);

#endif
