/* upkeep: what a lasting owner does for its store now and then: versions, entries and keys that are
 * no longer kept go, and the pages they had are given back to the file system.
 *
 * The first time a minute after opening, then every ten; on a worker, in slices of the store's
 * writer, so that no write waits longer than a slice. What fails is tried again the next time; the
 * store itself says why it failed.
 *
 * Threads: the loop's. */
#ifndef KF_LIB_UPKEEP_H
#define KF_LIB_UPKEEP_H

#include "shape/doc.h"

#define UPKEEP_FIRST_MS (60 * 1000)
#define UPKEEP_EVERY_MS (10 * 60 * 1000)

struct upkeep;
kf_rc upkeep_start(struct kf_store *store, struct upkeep **ret_upkeep, struct kf_err *err);
/* Before the store is closed: no run begins any more, one that goes on is waited for. In a callback
 * or not. NULL is fine. */
void upkeep_stop(struct upkeep *u);

#endif
