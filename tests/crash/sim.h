/* sim: scripts that use a store, run so that everything its files see is known.
 *
 * A script is a function that opens a store, does steps and closes it. It is run in three ways:
 *
 *   crash   once, recorded. Then for each I/O call that it made, and each outcome of sim_disk.h,
 *           the files are rebuilt as a crash at this call could have left them, and the store is
 *           opened again;
 *   again   the opening after a crash is recorded in the same way, and cut again;
 *   fault   once for each I/O call, which is made to fail; then the store is opened again.
 *
 * What must hold each time (judge): the store opens; what it holds equals what it held after
 * some step, and that is not an earlier one than the last that was acknowledged, nor a later one
 * than the last that was begun; the next write has a larger number and a later stamp than all
 * before.
 *
 * What a store holds is a text: every row of every table but what names the site. So a script needs
 * no oracle of its own, whatever it writes; each step must be one commit. */
#ifndef KF_TESTS_SIM_H
#define KF_TESTS_SIM_H

#include "store/store.h"

struct sim;

struct sim_script {
    const char *name;
    void (*run)(struct sim *sim);
    const struct schema *schema; /* of the store when it is opened again; NULL = Keepfast's own */
    size_t migrates; /* the step, from 1, that opening it with `schema` does; 0 = none */
    /* DIR/place is judged as well: it holds what it held after some step, and no less than the
     * store says. */
    bool pushes;
    /* DIR/_keepfast.db is judged in the same way: which tokens there are, and which are revoked. */
    bool tokens;
};
extern const struct sim_script sim_scripts[];
extern const size_t sim_script_count;
/* Before the first run. */
void sim_scripts_init(void);

/* --- what a script uses. After a failed step all further ones do nothing and return the
 * failure. */

struct kf_store *sim_store(struct sim *sim);
/* Where the store is, and its folder. */
const char *sim_path(const struct sim *sim);
const char *sim_dir(const struct sim *sim);
const struct env *sim_env(struct sim *sim);

/* schema NULL = Keepfast's own. The log is checkpointed after 12 frames. */
kf_rc sim_open(struct sim *sim, const struct schema *schema);
/* The same with documents, of which two versions are kept, and where the script pushes with a
 * remote "place". Closed by sim_close. */
kf_rc sim_open_docs(struct sim *sim);
void sim_close(struct sim *sim);
/* Closes without a checkpoint, as if the process were gone. */
void sim_abandon(struct sim *sim);

/* One step: `step` does what is one commit; KF_OK from it is the acknowledgement. */
typedef kf_rc sim_step(struct sim *sim, void *ctx, struct kf_err *err);
kf_rc sim_do(struct sim *sim, sim_step *step, void *ctx);

/* Steps: puts `count` values in one group; value_bytes long. */
kf_rc sim_put(struct sim *sim, const char *key, size_t count, size_t value_bytes);
/* The same with a write in the midst that fails after it has written. */
kf_rc sim_put_but_one(struct sim *sim, const char *key, size_t count);
kf_rc sim_delete(struct sim *sim, const char *key);
/* A write of a document; `body` NULL for a deletion, `version` of a revert. */
kf_rc sim_doc(struct sim *sim, kf_verb verb, const char *name, const char *body, uint64_t version);
/* Puts `count` documents PREFIX0, PREFIX1 … in one group; about `bytes` long. */
kf_rc sim_docs(struct sim *sim, const char *prefix, size_t count, size_t bytes);
/* Appends `count` entries of about `bytes`, each with an id, an attachment and a kind; the ids go
 * on from `first`. */
kf_rc sim_append(struct sim *sim, const char *key, int first, size_t count, size_t bytes);
kf_rc sim_attrs(struct sim *sim, const char *key, const char *patch);
kf_rc sim_erase(struct sim *sim, const char *key);

#endif
