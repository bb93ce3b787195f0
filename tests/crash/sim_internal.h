/* sim_internal: what the files of the simulation share. One thread, one run at a time. */
#ifndef KF_TESTS_SIM_INTERNAL_H
#define KF_TESTS_SIM_INTERNAL_H

#include "sim.h"
#include "sim_docs.h"

#define STEPS_MAX 64

/* What the store held after a step, and the stamp that came with it; what its place held, where
 * there is one. */
struct snapshot {
    char *text, *place;
    int64_t seq, stamp, watermark; /* the last: what the place has confirmed */
};

/* A run of a script. */
struct sim {
    struct env env;
    char *dir, *path;
    const struct sim_script *script;
    struct kf_store *store;
    struct sim_floor floor; /* of a script with documents */
    int64_t now_ms;
    uint64_t mono_ns, seed;
    bool quiet; /* nothing is recorded, nothing fails: the sim looks itself */

    struct sim_event *events;
    size_t event_count;

    /* acks[i]: how many events there were when step i had been acknowledged; begun[i]: when it
     * began */
    size_t acks[STEPS_MAX], begun[STEPS_MAX], ack_count, begun_count;
    struct snapshot snaps[STEPS_MAX + 1]; /* [i]: after i steps; [0] nothing */
    const struct sim *reference;          /* a run without faults, which has the snapshots */
    struct kf_err err;                    /* of the first step that failed */

    uint64_t calls, fail_at, fired; /* which call fails; 0 = none */
    int fault;                      /* errno value, or IO_TAP_SHORT */
    bool sticky;
};

/* The simulation itself cannot go on: says why, and aborts. */
__attribute__((format(printf, 1, 2), noreturn)) void sim_broken(const char *fmt, ...);

/* --- sim_steps.c */

/* A write that is no step: one row of kf_meta. */
kf_rc sim_put_one(struct kf_store *s, const char *key, struct kf_err *err);

/* --- sim_dump.c */

/* What the store holds now. */
kf_rc sim_dump(struct kf_store *s, struct snapshot *ret, struct kf_err *err);
/* What is judged beside the store in `dir`; free it. NULL where the script has nothing of the
 * kind. */
char *sim_place_of(const struct sim *sim, const char *dir);

#endif
