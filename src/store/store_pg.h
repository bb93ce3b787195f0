/* store_pg: what a store has on PostgreSQL alone.
 *
 * Several processes may have it open. The row of numbers (kf_state) is what they stand in line for:
 * a group locks it first, goes on from the numbers in it, and writes them back with its COMMIT, so
 * that numbers are given in the order of commits and without gaps.
 *
 * P1  Nothing of a group is committed but by whoever holds the row of numbers.
 * P2  The row of kf_group that a process has names the last group of its own that is committed.
 * P3  What memory shows is used only while the watcher has heard of every commit up to a moment
 * less
 *     than PG_FRESH_MS ago; otherwise reads go to the database.
 *
 * The watcher (store_pg_watch.c) is a thread with a connection of its own. A brief owner and one
 * whose loop has no threads do without: their memory is not used, and they are the chief only
 * where they try to be (store_try_chief). */
#ifndef KF_STORE_STORE_PG_H
#define KF_STORE_STORE_PG_H

#include "store/store_internal.h"

#define PG_ID_LEN        32
#define PG_FRESH_MS      3000
#define PG_ROUND_MS      1000  /* between two looks of the watcher, when nothing happens */
#define PG_AGAIN_MS      500   /* between two of its attempts to connect */
#define PG_RESOLVE_MS    30000 /* pg_part.resolve_ms */
#define PG_FOLLOWERS_MAX 4
#define PG_DOUBT_KEY     "doubt" /* of kf_meta: the number of the last group_doubt */

struct pg_part {
    char *url;              /* a secret */
    char id[PG_ID_LEN + 1]; /* of this opening: the key of its row in kf_group */
    int resolve_ms;       /* how long the outcome of a COMMIT is looked for; tests make it short */
    uint64_t number;      /* the leader's: of the group sent last */
    int64_t foreign_seq;  /* the leader's: the last number that it found and had not given */
    int64_t stamp;        /* the leader's: of kf_state, as it was last seen or committed */
    uint64_t kept_number; /* the leader's: of the last group that was committed, and when */
    int64_t kept_ms;
    /* The leader's: content as it was counted last, beside the size of the tables then; how long
     * that took, and when. */
    uint64_t content, content_tables;
    int64_t content_took_ms, content_ms;

    /* --- the watcher's */
    pthread_t thread;
    bool started;
    int wake;         /* an eventfd: the watcher is to end */
    struct db *vigil; /* without a watcher: the connection that has the chief's lock; NULL = none */
    _Atomic bool stop, chief;
    _Atomic bool deafen;            /* what it has told counts no more: everything is in doubt */
    _Atomic int64_t fresh_until_ms; /* monotonic; 0 = memory is not used */
    _Atomic int64_t told_seq;       /* everything up to it was told to followers */
    _Atomic bool pinned;            /* as the last group found it */
    _Atomic int64_t read_tried_ms;  /* when a reader tried to connect last while it was away */
    pthread_mutex_t lock;           /* for the rest */
    struct store_follower followers[PG_FOLLOWERS_MAX];
    size_t follower_count;
};

/* Starts the watcher when the store is to have one. */
kf_rc pg_watch_start(struct kf_store *s, struct kf_err *err);
void pg_watch_end(struct kf_store *s);
/* db_options.lives of its connections. */
bool pg_lives(void *store);
/* The numbers went back, so versions that memory shows may never have been: tells all followers. */
void pg_tell_went_back(struct kf_store *s);
/* Locks the row of numbers; the leader's, in a write transaction. */
kf_rc pg_lock_numbers(struct kf_store *s, int64_t *ret_seq, int64_t *ret_stamp, struct kf_err *err);
/* Where the store is, appended: what kf_meta.clone_marker says. */
kf_rc pg_read_marker(struct db *db, struct buf *out, struct kf_err *err);
/* store_pg_swap.c, store_pg_dir.c */
kf_rc pg_swap(struct kf_store *s, const struct store_swap *swap, struct kf_err *err);
kf_rc pg_side_dir(struct kf_store *s, const char **ret_path, struct kf_err *err);
/* It cannot be reached: state and log. *err becomes store_unavailable with the same reason. */
void pg_away(struct kf_store *s, struct kf_err *err);
/* The schema that was opened is not there any more. */
void pg_moved(struct kf_store *s);

#endif
