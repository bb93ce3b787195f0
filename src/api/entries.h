/* entries: the body of an append.
 *
 *     entry   := { "body": VALUE, "id"?: string, "kind"?: string, "at"?: time, "attach"?: VALUE }
 *     request := entry | [ entry, ... ]        1 to STREAM_ENTRIES_MAX of them
 *
 * Members in any order, others are refused. `null` for id, kind, at and attach is as if they were
 * not there; a body of null is a body. Bodies and attachments are slices of the request, byte for
 * byte: nothing of them is read or written again. What only the stream can judge (its kinds, the
 * length of an id, limits.entry) is left to it.
 *
 * The request as a whole has the limits of any JSON (depth, tokens); so a body in a list stands two
 * levels deep already.
 *
 * Pure. Threads: any, each with its own arena. */
#ifndef KF_API_ENTRIES_H
#define KF_API_ENTRIES_H

#include "base/arena.h"

#include <keepfast.h>

struct entries_asked {
    struct kf_entry_new *items; /* texts in the arena, bodies in the request */
    size_t count;
    bool list; /* it was an array, so the answer is one */
};

/* Both must outlive what is returned. KF_INVALID bad_json, KF_LIMIT json_limit, KF_INVALID
 * bad_request, each with err->offset in `request`; *ret_index is the entry of a list that is
 * refused, from 0, of *ret_count, or SIZE_MAX when it is the request as a whole. KF_NOMEM. */
kf_rc entries_parse(str request, struct arena *arena, struct entries_asked *ret, size_t *ret_index,
                    size_t *ret_count, struct kf_err *err);

#endif
