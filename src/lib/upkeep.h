/* upkeep: what a lasting owner does for its store now and then, on a worker, in slices of the
 * store's writer, so that no write waits longer than a slice. What fails is tried again the next
 * time; the store itself says why it failed. Where several processes share a store, the chief alone
 * does it.
 *
 *   UPKEEP_OLD    versions, entries, keys and changes that are no longer kept go, and the pages
 *                 they had are given back to the file system; the first time a minute after
 *                 opening, then every ten; of all stores of the process one at a time
 *   UPKEEP_TRACK  tables that the configuration names are tracked, tried again each half minute;
 *                 changes are numbered; each second
 *
 * Threads: the loop's, but where said. */
#ifndef KF_LIB_UPKEEP_H
#define KF_LIB_UPKEEP_H

#include "shape/doc.h"

#define UPKEEP_FIRST_MS (60 * 1000)
#define UPKEEP_EVERY_MS (10 * 60 * 1000)
#define UPKEEP_TRACK_MS 1000
#define UPKEEP_TURN_MS  1000 /* while that of another store of the process removes what is old */

enum upkeep_what { UPKEEP_OLD, UPKEEP_TRACK };

struct upkeep;
/* `space` (may be NULL; must outlive it): its tables are tracked. */
kf_rc upkeep_start(struct kf_store *store, enum upkeep_what what, const struct config_space *space,
                   struct upkeep **ret_upkeep, struct kf_err *err);
/* No run begins any more. Then, before the store is closed, upkeep_stop: a run that goes on is
 * waited for; any thread. In a callback or not. NULL is fine. */
void upkeep_end(struct upkeep *u);
void upkeep_stop(struct upkeep *u);

/* The turn of this process to remove what is old, which takes its time, and a worker that readers
 * of other stores wait for: false when it is taken. Any thread. */
bool upkeep_turn(void);
void upkeep_turn_end(void);

#endif
