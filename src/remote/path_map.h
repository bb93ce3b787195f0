/* path_map: the frame that the maps from names to paths have in common (portable_name.c,
 * git_path.c): segments, pieces and escapes. Which characters need none is each map's own; a
 * character that stays is thereby promised to be harmless on every file system.
 *
 * Threads: pure. */
#ifndef KF_REMOTE_PATH_MAP_H
#define KF_REMOTE_PATH_MAP_H

#include "base/buf.h"

#include <keepfast.h>

/* Longest mapped form of a name: each byte escaped, a cut every 200 bytes. */
#define PATH_MAP_MAX 3200
/* Ends a piece that goes on in the next one; stands nowhere else in a mapped segment. */
#define PATH_MAP_CUT "%~"

struct path_rules {
    /* How many bytes the first character of `s` has, which is not empty; and whether it stays. */
    size_t (*character)(str s, bool *ret_stays);
    /* Whether a piece as a whole has a meaning elsewhere; then its first byte is escaped. `last`:
     * no cut follows. */
    bool (*reserved)(str piece, bool last);
};

/* Bytes of a name: a document's, and what a file of a stream has around its key. */
#define PATH_MAP_NAME_MAX (1024 + 64)

/* The path of a name that name_check_to accepts, appended. */
void path_map(const struct path_rules *rules, str name, struct buf *out);
/* The same with all of `flat` as one segment: a slash is escaped when the rules do not let it
 * stay. */
void path_map_flat(const struct path_rules *rules, str flat, struct buf *out);

/* For struct path_rules: Windows keeps the piece for a device, whatever extension follows. `same`
 * is str_eq, or str_eq_nocase where capitals stay. */
bool path_is_device(str piece, bool last, bool (*same)(str a, str b));

/* The name that `map` gives this path, appended; KF_INVALID bad_archive when there is none. `body`
 * is the part of `path` that holds the name. */
typedef void path_mapper(str name, struct buf *out);
kf_rc path_read_back(str path, str body, path_mapper *map, struct buf *name, struct kf_err *err);

#endif
