/* backups: scheduled backups of one store (`backup:` in the configuration), and the drill that
 * proves them.
 *
 * A lasting owner has one per store; a brief one has one that makes none and only tells of those
 * that are there. When one is due it writes a backup into the folder under a
 * temporary name, syncs it, reads it back whole, gives it its name (move/backup_name.h), and
 * removes what is beyond `keep`. The folder is never made: one that is missing is a disk that is
 * not mounted. A failed one is tried again as a remote is: after 1 s, doubled, at most 5 min.
 *
 * The drill follows each backup, and comes at least every `every` where backups fail: the newest
 * file is restored into a scratch store, verified, and its digest held against the one that was
 * taken from the store while the backup was made. A newest backup that does not restore counts for
 * none: the next one is due at once.
 *
 * Where several processes have a store open (PostgreSQL) the chief makes them; the others tell of
 * what is in their folder, and go on with it when one of them becomes the chief.
 *
 * Nothing is backed up while a store is being filled by its remotes, or was never written to.
 *
 * Threads: the loop's, but backups_status and backups_stop (any). The work is done on a worker of
 * the loop, one at a time for all that share a turn. */
#ifndef KF_LIB_BACKUPS_H
#define KF_LIB_BACKUPS_H

#include "base/config.h"
#include "store/store.h"

#include <stdatomic.h>

#define BACKUPS_FIRST_MS    1000  /* after opening: one that was missed is made soon */
#define BACKUPS_LOOK_MAX_MS 60000 /* clocks are turned and machines sleep: looked at this often */
#define BACKUPS_PASSIVE_MS  5000  /* between two looks at what another process makes */
#define BACKUPS_BACKOFF_MS  1000  /* after the first failure, then doubled */
#define BACKUPS_BACKOFF_MAX 300000

struct backups;

/* Whose work is done now: one of several stores at a time, so that readers keep their workers. */
struct backups_turn {
    atomic_bool taken;
};

/* `config` and `turn` must outlive it. *ret_backups is NULL when the configuration wants none, and
 * without a turn (a brief owner's) also where the space has no name that a backup could have. */
kf_rc backups_start(struct kf_store *store, const struct config *config, const char *space,
                    struct backups_turn *turn, struct backups **ret_backups, struct kf_err *err);
/* As upkeep_end and upkeep_stop: what goes on is ended soon and waited for; a backup that was cut
 * leaves nothing that has a backup's name. NULL is fine. */
void backups_end(struct backups *b);
void backups_stop(struct backups *b);
/* Fills *ret; NULL: there are none. A brief owner's reads the record and the folder each time. */
void backups_status(struct backups *b, struct kf_backups *ret);
/* Appends what a receipt says of them (streams_set_holders), when there is a backup. NULL is fine.
 * Any thread. */
void backups_holders(struct backups *b, bool comma, struct buf *out);

/* --- when: pure. Milliseconds of the wall clock, which may jump; 0 = never. */
struct backups_view {
    int64_t now_ms, ready_ms; /* ready: since when there was something to back up */
    int64_t last_ms;          /* the newest good one */
    int64_t tried_ms;         /* the last attempt that failed */
    int64_t drill_ms;         /* the last drill, good or not */
    bool drilled;             /* it was of the newest file; false also when there is no file */
    bool has_file;
    uint64_t every_ms;
    uint32_t failures; /* in a row */
    uint32_t jitter;   /* 0 to 65,535 */
};
struct backups_plan {
    int64_t backup_ms;  /* when; at most now_ms: now */
    int64_t drill_ms;   /* 0 = nothing to try */
    int64_t overdue_ms; /* since when one was due, by a tenth of `every` and a minute more; what was
                         * missed before `ready_ms` counts from there; 0 = it is not late */
};
struct backups_plan backups_plan(const struct backups_view *v);

/* --- what lasts: SIDE/backups.json, so that a drill after a restart knows what it must find. */
struct backups_record {
    struct kf_backup_made last;
    struct kf_backup_drill drill;
};
void backups_record_write(const struct backups_record *r, struct buf *out);
/* KF_DAMAGED for anything but what backups_record_write writes. */
kf_rc backups_record_read(str text, struct backups_record *ret, struct kf_err *err);

#endif
