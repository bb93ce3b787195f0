/* track: tables of the user whose rows other clients of PostgreSQL write, taken into the journal.
 *
 * A table that is tracked has triggers. They write down, in the writer's own transaction, which row
 * has changed (kf_captured: the table, the row's key). A Keepfast process later takes what is there
 * and gives it numbers, in a group like any other:
 *
 *      client:    BEGIN -> INSERT, UPDATE, DELETE, COPY … -> trigger: kf_captured -> COMMIT
 *                                                                  |
 *      Keepfast:  BEGIN, lock kf_state -> DELETE FROM kf_captured RETURNING -> numbers,
 *                 kf_journal, kf_row -> COMMIT
 *
 * T1  A change that was committed is numbered, however late it commits. What is taken is taken by
 *     removing it: there is no position below which a late commit could appear. A row of
 *     kf_captured is seen when its transaction has committed, and stays until a group that has
 *     numbered it has.
 * T2  Numbers of changes only grow, and appear in their order: who has read up to N reads on behind
 *     N and misses nothing (G5 of store.h).
 * T3  A change that could be seen when a group began is numbered with it or before changes that
 *     could not. So numbers follow the order of commits, but for those that one group finds
 *     together.
 * T4  A transaction that is open, or prepared, holds back its own changes and nobody else's. One in
 *     another database, one that only reads, a replication slot hold back nothing. Who holds back
 *     something, and since when, is in the locks on kf_captured, which tracks_tell asks for.
 * T5  What is read of a change is the row as it is, not as it was. A row that changed several times
 *     has one number, the last.
 * T6  Whatever removes rows or triggers past the triggers (DROP, ALTER, triggers switched off and
 *     on again, TRUNCATE) leaves another mark on the table. Its rows are then gone through: each
 *     has a new number, and so has each that is no more.
 *
 * Why no horizon. To read by position one may go up to the oldest transaction that is open
 * (txid_snapshot_xmin of a snapshot): below it nothing can commit any more. But a snapshot counts
 * transactions that have written in every database of the cluster, prepared ones too: one that
 * somebody has forgotten in another database holds up everything, although it can write to no table
 * of this one. (pg_stat_activity.backend_xmin and the horizon of VACUUM count readers as well,
 * those of other databases only for shared catalogues.) Removing what was taken needs no such
 * bound.
 *
 * States of a table, in kf_tracked.state:
 *
 *      track -> fill -----------------------> on <------+
 *                |  TRUNCATE                  |         | gone through
 *                +----------> refill -> sweep-+---------+
 *                               ^       ^  TRUNCATE |
 *         there again, in order |       +-----------+
 *                               |
 *      missing, off, no_key <---+--- dropped; triggers switched off; no primary key any more
 *
 *      any -> forget (untrack) -> no row
 *
 * fill and refill number every row of the table, sweep those in kf_row that are not in the table;
 * kf_tracked.place says how far they have come, so a crash costs nothing.
 *
 * What fails by a table alone is held against that table (kf_tracked.trouble, tried), and nothing
 * else waits for it: a page that cannot be read leaves it where it is, and one that cannot be put
 * right is `unfit failed`. Both are tried again, from where they are.
 *
 * All of it is PostgreSQL's; a store in a file answers not_implemented, and lists nothing. Threads:
 * any but the loop's. */
#ifndef KF_SHAPE_TRACK_H
#define KF_SHAPE_TRACK_H

#include "store/store.h"

#define TRACK_TABLES_MAX 1000
#define TRACK_NAME_MAX   200                /* bytes, with quotes */
#define TRACK_PAGE       500                /* rows in one step of a group */
#define TRACK_BYTES      ((size_t)16 << 20) /* of rows in one list */

/* Tracks the table: `name` as in SQL, without a schema in `public`. Its rows so far are numbered
 * before it answers. *ret_new: it was not tracked. KF_ABSENT; KF_INVALID for what cannot be tracked
 * (no primary key, a view, partitions, not logged); KF_CONFIG without the rights; KF_BUSY when
 * somebody holds the table for 10 s. */
kf_rc tracks_add(struct kf_store *store, const char *name, bool *ret_new, struct kf_err *err);
/* Takes the triggers away and forgets the rows' numbers; the table stays as it is. KF_ABSENT;
 * KF_CONFLICT not_empty: a configuration names it (tracks_named). */
kf_rc tracks_remove(struct kf_store *store, const char *name, struct kf_err *err);
/* The chief's configuration names these tables and no others: what it names is not untracked by
 * anybody, for it would be back with the next start, with all of its rows anew. Whoever has another
 * configuration, or none, is told so, too: this stands in the database. */
kf_rc tracks_named(struct kf_store *store, const str *names, size_t count, struct kf_err *err);
/* Whether a table is tracked that is called so. */
kf_rc tracks_known(struct kf_store *store, const char *name, bool *ret, struct kf_err *err);

struct track_info {
    const char *name, *state;     /* in the arena, as the rest; "unfit WHY" */
    const char *detail;           /* what the state means; "" of `on` */
    int64_t since_ms, changed_ms; /* changed: when the state became this one */
    bool stopped;                 /* missing, off or unfit: nothing is told of its rows */
    bool troubled;                /* what was tried last failed by the table: detail says why */
    bool of_config;               /* a configuration names it */
    uint64_t numbered;            /* changes of it that had a number so far */
    const char *cause;            /* why all of its rows were gone through last: table, triggers,
                                     function, key, columns (which have changed), missing, off,
                                     unfit (which it was); "" = never */
    int64_t caused_ms;
    const char *now_called; /* of one that is missing, and was renamed; else "" */
    const char *found;      /* what a look has found, if one was asked for; else "" */
};
/* Whether what was found wants to be put right, and nobody has tried yet. */
bool track_needs_care(const struct track_info *table);
/* An open transaction that has changed tracked tables: its changes come when it commits. */
struct track_holder {
    int64_t pid; /* 0 = prepared: `who` is its name */
    const char *who, *client, *state;
    int64_t since_ms; /* 0 = not shown to our role (grant it pg_read_all_stats) */
};
struct track_status {
    struct track_info *tables;
    size_t table_count;
    struct track_holder *holders; /* the oldest first, at most 100 */
    size_t holder_count;
    uint64_t waiting;  /* changes that are committed and not numbered; counted up to a million */
    int64_t oldest_ms; /* when the first of them was made; 0 = none */
    int64_t now_ms;    /* by the same clock, the database's */
};
/* Everything lies in the arena. Of a store without tracked tables: zeros. look: at each table, too,
 * whether it is as it was left. */
kf_rc tracks_tell(struct kf_store *store, bool look, struct arena *arena, struct track_status *ret,
                  struct kf_err *err);
/* The same in numbers, into its members of the status. */
kf_rc tracks_use(struct kf_store *store, struct kf_status *status, struct kf_err *err);

struct track_change {
    int64_t n;
    str table, key; /* key: JSON object of the columns of the primary key */
    str row;        /* JSON object; .p == NULL: there is no such row */
    int64_t at_ms;  /* when it was numbered */
};
/* May end the walk with anything but KF_OK, which is given back. */
typedef kf_rc track_visit(void *ctx, const struct track_change *change, struct kf_err *err);
struct track_query {
    const char *table; /* NULL = all; as it was tracked or as it is listed */
    int64_t after;
    size_t limit;
};
/* Numbers what was committed before the call, for at most 5 s, then gives the changes behind
 * `after` in one snapshot, at most `limit` and TRACK_BYTES of rows. *ret_last: up to where;
 * *ret_more: there are others behind it. Tables that are not there give nothing: when they are
 * again, all of their rows have new numbers. KF_ABSENT: no such table is tracked. KF_INVALID
 * bad_filter: no number is as large as `after`, so it is of another store. */
kf_rc tracks_changes(struct kf_store *store, const struct track_query *query, track_visit *visit,
                     void *ctx, int64_t *ret_last, bool *ret_more, struct kf_err *err);

/* What one process does for all, each second: looks whether tables are as they were, and numbers
 * what is there until nothing is left or `go_on` says no. */
kf_rc tracks_look_after(struct kf_store *store, bool (*go_on)(void *ctx), void *ctx,
                        struct kf_err *err);
/* Forgets the numbers of rows that went more than 30 days ago. In slices. */
kf_rc tracks_retain(struct kf_store *store, struct kf_err *err);

#endif
