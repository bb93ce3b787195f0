/* asides: files beside a store in which something was set aside: "PATH.WORD-TIME", with the words
 * `before` (a restore, an older format), `rescue` (its file was taken away) and `redo-damaged`; of
 * a store on PostgreSQL the schemas that restores have left. They are the operator's, and stay
 * until somebody removes them. */
#ifndef KF_LIB_ASIDES_H
#define KF_LIB_ASIDES_H

#include "base/env.h"

struct kf_store;

#define ASIDE_BEFORE "before"
#define ASIDE_RESCUE "rescue"
#define ASIDE_REDO   "redo-damaged"

/* Whether a file of this name is such a one of the store at `path`; not those that belong to it in
 * turn (-wal and its like). */
bool aside_is(const char *path, const char *word, str name);
/* Appends what a receipt says of them (streams_set_holders): each may hold what is erased. Blocks;
 * any thread. */
void asides_holders(struct kf_store *store, bool comma, struct buf *out);

#endif
