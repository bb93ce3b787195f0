/* backup_name: what files of scheduled backups are called, and which of them go.
 *
 *     SPACE-2026-11-21T12.00.00Z.zip         the moment at which it was begun, UTC
 *     SPACE-2026-11-21T12.00.00Z-2.zip       the second one of that second, -3 …
 *     SPACE-2026-11-21T12.00.00Z.zip.sealed  one that is encrypted
 *     .SPACE-2026-11-21T12.00.00Z.zip.part   the same while it is made
 *
 * A name of a space has neither capitals nor dots, so no name of one space can be read as one of
 * another. Whatever has another form is a stranger's and is never touched. Pure.
 *
 * Threads: any. */
#ifndef KF_MOVE_BACKUP_NAME_H
#define KF_MOVE_BACKUP_NAME_H

#include "base/buf.h"
#include "base/str.h"

#include <keepfast.h>

/* With the NUL; a space's name has at most CONFIG_NAME_MAX bytes. */
#define BACKUP_NAME_MAX 128

struct backup_name {
    int64_t at_ms; /* whole seconds */
    uint32_t nth;  /* of its second, from 1 */
    bool part;
    bool sealed;
};
/* Appended. Years 0000 to 9999, as when_format. */
void backup_name_format(str space, const struct backup_name *n, struct buf *out);
/* False for everything that backup_name_format does not write for this space. */
bool backup_name_parse(str space, str name, struct backup_name *ret);

/* `names`: of a folder, NUL behind each (dir_list). */

/* A name for a backup begun at `now_ms` that is not among them yet, nor as a part. Appended. */
void backup_name_next(str space, str names, int64_t now_ms, bool sealed, struct buf *out);
/* The newest backup of this space that is not of the future; false when there is none. *ret_name
 * points into `names`. */
bool backup_name_newest(str space, str names, int64_t now_ms, str *ret_name,
                        struct backup_name *ret);
/* Names of this space's backups to remove so that `keep` (at least 1) are left: the oldest first,
 * NUL behind each, appended. One whose time is after `now_ms` was made before a clock was set
 * right, so it counts as older than the others. `verified`, the one that was checked last, is never
 * among them, nor a part. KF_NOMEM. */
kf_rc backup_name_prune(str space, str names, uint64_t keep, str verified, int64_t now_ms,
                        struct buf *out, struct kf_err *err);

#endif
