/* remotes: all remotes of one store. The wrapper above the kinds: schedule, runs, waiting, watermarks, hydration.
 *
 * A run of one remote (single flight; on a worker of the loop):
 *
 *     IDLE -> RUNNING:  pull (merge what others changed, through the store's writer)
 *                       push what is above the watermark up to number S, on top of what was pulled
 *                          KF_CONFLICT: pull again, at most 8 times
 *                       confirm: watermark = S, position, in one group
 *          -> IDLE (good)  |  RETRYING (failed: back-off)  |  DIVERGED, ROLLED_BACK (needs a decision)
 *
 * W1  The watermark moves only after the kind said KF_OK for everything up to it.
 * W2  Nothing of a run holds a lock, a read snapshot over 1 s or the loop while it waits for the remote: local writes go on.
 * W3  Save now, the schedule and close share one run: a caller that waits for number N is answered when the watermark has reached N, or the
 *     run that it rode on has failed.
 * W4  Nothing is pushed before the store is hydrated.
 *
 * Hydration (hydrate.c): a store that was never written to takes in every configured remote, newest position first. `kf_remote.hydrated` says which were. When the
 * last one was taken in (or waived by start_empty) the store is open. State is on disk, so it goes on after a restart.
 *
 *     EMPTY --no remotes--> done
 *     EMPTY --> HYDRATING: each remote: pull from "" -> merged in groups of 256 -> hydrated = 1, watermark = seq if it held all, position
 *     HYDRATING --all taken in or waived--> done: docs_set_hydrating(false)
 *
 * Threads: any; state is under one mutex, never held while calling out. */
#ifndef KF_REMOTE_REMOTES_H
#define KF_REMOTE_REMOTES_H

#include "remote/remote.h"
#include "remote/schedule.h"

#define REMOTES_MAX           16
#define REMOTES_CALL_MS       60000 /* deadline of one call of a kind */
#define REMOTES_RACE_TRIES    8
#define REMOTES_CLOSE_MS      10000
#define REMOTES_GROUP         256
#define REMOTES_DEFAULT_ON_CHANGE_MS 10000

struct remotes_options {
    const struct config_space *space; /* may be NULL */
    bool start_empty;
};
/* Reads what the store knows of its remotes and begins hydration or schedules on the store's loop. */
kf_rc remotes_new(struct kf_store *store, struct docs *docs, const struct remotes_options *options,
                  struct remotes **ret_remotes, struct kf_err *err);
/* Begins what needs the loop: timers, hydration. On the loop's thread. */
void remotes_start(struct remotes *r);
/* Ends timers and waits for runs that go on. On the loop's thread or without a loop. */
void remotes_stop(struct remotes *r);
void remotes_free(struct remotes *r);

/* A wait for remotes to confirm everything up to a number; the router's way, never blocks. `done` is called once on the loop's thread; the owner frees. */
struct remotes_wait {
    struct remotes_wait *next;
    void (*done)(struct remotes_wait *w); /* rc: KF_OK, KF_UNAVAILABLE (level_unavailable names who did not and why) or KF_ABSENT unknown_remote */
    void *ctx;
    kf_rc rc;
    struct kf_err err;
    int64_t seq; /* set by the caller: store_seq() after its write */
    bool ride;   /* do not start a run */
    bool on_end; /* answer at the end of the run, however it ended, instead of at the confirmation */
    /* the module's */
    struct remotes *remotes;
    struct loop_timer timer;
    uint32_t waiting; /* bit per remote */
};
/* names: "host,usb" or "all". On the loop's thread. */
void remotes_wait(struct remotes *r, struct remotes_wait *w, str names, uint32_t timeout_ms);
/* The client is gone: `done` will not be called. */
void remotes_wait_cancel(struct remotes_wait *w);

/* Blocking forms for programs: kf_sync, and what kf_close does. */
kf_rc remotes_sync(struct remotes *r, str names, uint32_t timeout_ms, struct kf_err *err);
kf_rc remotes_flush_on_close(struct remotes *r, struct kf_err *err);

/* kf_remotes, kf_remote_add, kf_remote_remove, kf_remote_probe, kf_pending are implemented in remotes_public.c. */
void remotes_status(struct remotes *r, struct kf_status *status);
/* After store_swap: watermarks are gone, everything is pending. */
void remotes_reset(struct remotes *r);

/* Reads every object of every remote against its hash: a line per finding appended to `report`, counted in *damaged. A remote that does not answer
 * is KF_UNAVAILABLE. Blocking. */
kf_rc remotes_verify(struct remotes *r, struct buf *report, uint64_t *damaged, struct kf_err *err);

#endif
