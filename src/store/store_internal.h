/* store_internal: what the files of the store share. */
#ifndef KF_STORE_STORE_INTERNAL_H
#define KF_STORE_STORE_INTERNAL_H

#include "store/store.h"
#include "store/lock.h"
#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>

#define STORE_FULL_RETRY_MS  1000 /* between two real attempts while the disk is full */
#define STORE_FULL_PROBE_MS  2000 /* between two attempts of the loop's own */
#define STORE_LOOK_MS        1000 /* between two looks at free space and at the file's identity */
#define STORE_BUSY_MS        5000 /* how long a foreign writer is waited for */
#define STORE_READER_WAIT_MS 5000
#define STORE_IDLE_MS        60000
#define STORE_LOW_WATER_MAX  ((uint64_t)512 << 20)
#define STORE_CLONED_KEY     "cloned_at"
#define STORE_REDO_KEY       "redo"
#define READER_CACHE_BYTES   (1u << 20)
#define READER_BUSY_MS       1000
#define STORE_WAL_BIG        ((uint64_t)64 << 20)
#define STORE_WAL_STALLED    ((uint64_t)1 << 30)

struct reader {
    struct db *db;
    int64_t since_ms; /* idle, or out, since then */
    bool out;
};

/* What a store rests on: a file (store_file.c), or a schema of PostgreSQL (store_pg.c). A slot that
 * may be NULL is one that there is nothing to do for. */
struct store_engine {
    /* From the path as it was given to an open owner's connection, number, clock and site. On
     * failure store_free is all that follows. */
    kf_rc (*open)(struct kf_store *s, struct kf_err *err);
    /* Nobody leads or reads. Once after each open. */
    void (*close)(struct kf_store *s);
    /* Before a group: whether it may be written at all. */
    kf_rc (*before)(struct kf_store *s, struct kf_err *err);
    /* In its transaction, before the first write and before COMMIT; may be NULL. */
    kf_rc (*began)(struct group *g, struct kf_err *err);
    kf_rc (*ends)(struct group *g, struct kf_err *err);
    /* Behind a COMMIT that was done; may be NULL. */
    void (*committed)(struct group *g);
    /* After DB_TROUBLE_UNKNOWN: KF_OK, it was committed; KF_ABSENT, it was not; else nobody can
     * say, and err does. May be NULL. */
    kf_rc (*resolve)(struct group *g, struct kf_err *err);
    /* What the failure of the owner's connection means for the store. In err the reason why no more
     * is written, when that is what it means. */
    void (*judge)(struct kf_store *s, struct kf_err *err);
    /* Whether there is something to look after now, and doing it; the first may be NULL. */
    bool (*is_due)(struct kf_store *s);
    void (*after)(struct kf_store *s);
    /* What its content takes up, where db_used counts what it once took up as well: *ret is that,
     * and becomes no more; may be NULL. */
    kf_rc (*content)(struct kf_store *s, uint64_t *ret, struct kf_err *err);
    /* Whether a read may begin; may be NULL. */
    kf_rc (*may_read)(struct kf_store *s, struct kf_err *err);
    /* A reading connection for the pool. */
    kf_rc (*reader)(struct kf_store *s, struct db **ret_db, struct kf_err *err);
    /* The same for the trouble of one. */
    void (*judge_read)(struct kf_store *s, enum db_trouble trouble);
    /* What only it knows, into *ret. */
    kf_rc (*status)(struct kf_store *s, struct kf_status *ret, struct kf_err *err);
    kf_rc (*health)(struct kf_store *s, struct store_health *ret, struct kf_err *err);
    kf_rc (*side_dir)(struct kf_store *s, const char **ret_path, struct kf_err *err);
    kf_rc (*swap)(struct kf_store *s, const struct store_swap *swap, struct kf_err *err);
};
extern const struct store_engine file_engine, pg_engine;

struct pg_part; /* store_pg.h */
struct redo;    /* redo.h */
struct redo_record;

/* What led to FULL or READ_ONLY. */
struct store_trouble {
    enum problem problem;
    char reason[300];
};

/* A thread of a store that sleeps until it is called: store_worker.c. */
struct worker {
    struct kf_store *store;
    void (*work)(struct kf_store *s, unsigned what);
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    unsigned what; /* it was called for; with the lock */
    bool started, stop;
};

/* Who may use the database: store_own.c. */
struct owning {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    uint64_t next, serving; /* tickets */
};

/* Groups that were told and are not in the database yet: store_place.c. */
struct told;
struct placing {
    const struct store_placing *by; /* constant; NULL = nothing is told so */
    void *ctx;
    /* --- of who owns the database */
    bool open;          /* a transaction of placed groups */
    bool keep_file;     /* something of it was left out */
    int64_t seq, stamp; /* of the last group in it */
    uint64_t content;   /* how often one was opened; the leader's, too */
    size_t writes;      /* of the transaction */
    size_t most, pages; /* of one, at most, by what is known */
    uint32_t written;   /* pages, before it was begun */
    unsigned small;     /* COMMITs in a row that needed few of the pages */
    int64_t since_ms;
    /* --- the queue, with the lock */
    pthread_mutex_t lock;
    struct told *first, **end;
    size_t queued; /* numbers */
    /* --- */
    _Atomic int64_t told, committed; /* numbers up to which */
    _Atomic uint64_t groups;
    _Atomic bool lost; /* what was told is in the redo file alone */
};

struct kf_store {
    /* --- constant after open */
    const struct env *env;
    const struct store_engine *engine;
    struct store_options options;
    char *path; /* of PostgreSQL: the address as it may be shown */
    char *wal_path, *redo_path, *dir;
    struct store_lock *lock;
    struct pg_part *pg; /* NULL = a file */
    unsigned forks;     /* of this process when it was opened */
    int64_t opened_ms;
    uint64_t low_water;
    struct docs *docs;
    struct streams *streams;
    struct remotes *remotes;
    void *host;
    store_on_commit *on_commit;
    void *on_commit_ctx;

    /* --- queue_lock */
    pthread_mutex_t queue_lock;
    pthread_cond_t leader_gone; /* for those who want to lead alone */
    struct write *head, *tail;
    size_t queued, queued_sync; /* sync: with a thread that waits */
    unsigned exclusive;         /* how many want to lead alone */
    bool leading, stopping;

    /* --- the leader's: whoever set `leading` */
    struct db *db; /* NULL after a swap that could not open anything again */
    struct clock clock;
    int64_t clock_told_ms; /* when a stamp from the future was logged last; 0 = never */
    int64_t seq;
    dev_t dev;
    ino_t ino;
    uint32_t checkpointed; /* frames in the log at the last checkpoint; 0 = it began anew since */
    int64_t emptied_ms;    /* when it was last tried to empty the log of what was erased */
    int64_t full_tried_ms, looked_ms, busy_since_ms, stall_tried_ms;
    /* No commit gets through a full disk, so none asks for the checkpoint behind which the log
     * begins anew in the bytes that it has. So each that fails does (full_care), but after a
     * checkpoint that has failed itself (full_stuck): the next would write as much, and fail. */
    bool full_care, full_stuck;
    bool low, over_quota, wal_big, clock_back, clock_ahead;
    _Atomic bool wal_stalled;
    bool unsettled;            /* opened without the space to; store_content.c */
    unsigned measured;         /* commits, up to those that make a mean */
    struct redo *redo;         /* NULL = no group was told ahead of the database yet */
    bool redo_forgets;         /* the open transaction has the database forget its file */
    bool redo_known;           /* the database knows a file by its key */
    int64_t redo_off_until_ms; /* it failed: none is told so until then; 0 = it did not */
    bool wipe;                 /* erased bytes are in its file still */
    uint64_t groups;           /* led since open */
    uint64_t turn;             /* group_turn */

    /* --- the loop's */
    struct loop_hook hook;
    struct loop_timer probe, lead_again, idle, soon;
    uint64_t groups_seen;    /* placing.groups, when `soon` fired last */
    uint64_t idle_commits;   /* when `idle` fired last */
    _Atomic bool busy_again; /* a timer will lead again: not before */
    _Atomic bool probing;
    struct write probe_write;
    struct worker committer, placer;
    struct owning owning;
    struct placing placing;

    /* --- state_lock */
    pthread_mutex_t state_lock;
    struct store_trouble trouble;
    bool hydrating;

    /* --- readers_lock */
    pthread_mutex_t readers_lock;
    struct reader *readers; /* options.readers_max of them */
    bool readers_shut;

    /* --- meta_lock */
    pthread_mutex_t meta_lock;
    char *side;                    /* NULL until asked for */
    char site[STORE_SITE_LEN + 1]; /* changed by the leader alone, who reads it without the lock */

    _Atomic int state;
    _Atomic int64_t hurry_ms; /* the moment of store_hurry, monotonic; 0 = none */
    _Atomic int64_t committed_seq;
    _Atomic uint64_t commits, writes;
    _Atomic bool scrubbed;          /* erased bytes are in the log still */
    _Atomic bool soon_set;          /* the loop will look after both, or was woken for it */
    _Atomic uint64_t early;         /* number of the group that runs and has told a write before its
                             * commit; 0 = none */
    _Atomic pthread_t early_leader; /* who leads that one */
    _Atomic uint64_t flush_ns;      /* mean of the last commits; 0 = none yet */
    _Atomic bool slow;              /* it is long: the committing thread leads for the loop */
    _Atomic uint64_t wal_bytes;
    _Atomic uint64_t calls; /* public calls that run, and GATE_SHUT */
};

#define GATE_SHUT ((uint64_t)1 << 63)

/* A group at work; lives on the leader's stack. */
struct group {
    struct kf_store *store;
    struct write *first;
    size_t count;
    int64_t now_ms, seq;
    const char *site; /* NULL = the store's */
    uint64_t number;  /* from 1 */
    uint64_t slice_end_ns;
    bool careful; /* each write under its own savepoint */
    bool patient; /* its leader waits for a write of its own: it may sleep */
    bool committed;
    struct db *look;       /* group_look; NULL = not asked for */
    int64_t committed_seq; /* group_committed */
    bool broken; /* memory does not know all that is committed, or that is not as it was */
};

/* --- store_state.c */
/* The one way to change state; illegal moves are asserted. */
void state_opened(struct kf_store *s);
/* No writes until one succeeds: `problem` is disk_full, store_unavailable or store_read_only. */
void state_full(struct kf_store *s, enum problem problem, const struct kf_err *why);
void state_healed(struct kf_store *s);
/* No return from here but reopening. `event` is the log word. Any thread. */
void state_read_only(struct kf_store *s, enum problem problem, const char *event,
                     const char *reason);
/* Fills err with the reason of READ_ONLY or FULL; KF_OK in the other states. */
kf_rc state_refusal(struct kf_store *s, struct kf_err *err);

/* Its reason, "" in the other states. */
void state_reason(struct kf_store *s, char out[300]);
/* The problem of FULL and READ_ONLY. */
enum problem state_problem(struct kf_store *s);
bool state_is_moved(struct kf_store *s);

/* --- store_worker.c */
void worker_init(struct worker *w, struct kf_store *s, void (*work)(struct kf_store *s, unsigned));
/* `work` will be called with the bits of `what`, and those of calls before that it has not seen.
 * The thread is made with the first call. False: it cannot be. */
bool worker_call(struct worker *w, unsigned what);
/* Returns when it has ended; what it was called for and has not begun is not done. */
void worker_end(struct worker *w);
void worker_destroy(struct worker *w);
/* Whether the store may have any: it has a loop, and that has threads. */
bool worker_may_be(const struct kf_store *s);

/* --- store_commit.c */
/* What the committing thread does. */
void commit_work(struct kf_store *s, unsigned what);
/* How long a commit took; the leader's. */
void commit_measure(struct kf_store *s, uint64_t ns);
/* Whether the committing thread leads what is in the queue: it was woken. The loop's. */
bool commit_elsewhere(struct kf_store *s);

/* --- store.c */
kf_rc store_watch_forks(struct kf_err *err);
unsigned store_forks(void);

/* --- store_open.c */
/* Whatever it still has; for one that never opened, too. */
void store_free(struct kf_store *s);

/* --- store_queue.c; store_queue.h has what groups need of it */
/* Leads, when nobody does and nothing waits to be written; the caller ends it. */
bool lead_if_idle(struct kf_store *s);
/* Leads when nobody does, whatever waits; the caller ends it. */
bool lead_if_free(struct kf_store *s);
/* Waits until nobody leads and leads alone. */
void lead_alone(struct kf_store *s);
/* Hands leadership on. */
void lead_end(struct kf_store *s);
/* Takes all that wait out of the queue. */
struct write *queue_drain(struct kf_store *s);
/* Tells a write that it failed, by its callback or its waiter. */
void write_refuse(struct write *w, const struct kf_err *why);

/* --- store_loop.c: what the loop does for a store; all of it on the loop's thread */
kf_rc loop_attach(struct kf_store *s, struct kf_err *err);
void loop_detach(struct kf_store *s);
/* Will lead again in a moment. False when no timer could be set. */
bool loop_lead_again(struct kf_store *s);
/* Whether there is something to do a moment later: what is ahead is committed, what was erased
 * leaves the log. */
bool loop_has_left(struct kf_store *s);
/* Behind a group, on any thread: wakes a loop that does not know of it. */
void loop_look_soon(struct kf_store *s);

/* --- store_care.c: what the leader looks after between groups */
/* Whether the group may be written at all; else err. Once in a while looks at free space and at
 * the file. */
kf_rc care_before(struct kf_store *s, struct kf_err *err);
/* Whether the content, with what the open transaction has written, is within the quota. */
kf_rc care_quota(struct kf_store *s, struct kf_err *err);
/* Whether the file at our path is not the one that is open. */
bool care_is_moved(struct kf_store *s);
/* The leader's. */
void care_look_at_space(struct kf_store *s);
/* store_moved, and read-only from then on, when the file at the path is not the one that is open.
 * Any thread. */
kf_rc care_check_moved(struct kf_store *s, struct kf_err *err);
/* Checkpoint when it is time. */
bool care_is_due(struct kf_store *s);
void care_after(struct kf_store *s);
/* What the failure of the owner's connection (db_trouble) means for the store. In err the reason
 * why no more is written, when that is what it means. */
void care_judge(struct kf_store *s, struct kf_err *err);
/* Clock warnings. */
void care_clock(struct kf_store *s, int64_t wall_ms);

/* --- store_own.c */
void own_init(struct kf_store *s);
void own_destroy(struct kf_store *s);
/* Waits until the database is ours. Never by who has it already, nor while holding a lock. */
void own_begin(struct kf_store *s);
void own_end(struct kf_store *s);
/* BEGIN of who owns it, for writing. */
kf_rc own_begin_txn(struct kf_store *s, struct kf_err *err);

/* --- store_foretell.c; the leader's */
/* Tells a group ahead of the database. True: it, or as many of its first writes as can be (the rest
 * is in the queue again), is durable and committed is set. False: nothing has happened to what is
 * left in it. */
bool redo_foretell(struct group *g);
/* As owner, too: in a transaction that is to be committed: makes the file for the groups to come,
 * when there is a write of those that it would take. */
kf_rc redo_prepare(struct group *g, struct kf_err *err);
/* The same, behind that commit. */
void redo_committed(struct kf_store *s);
/* As owner, too: before a commit that erases something: overwrites what the file still has of it,
 * synced. */
kf_rc redo_wipe(struct kf_store *s, struct kf_err *err);
/* Nothing is ahead: the file begins anew. */
void redo_level(struct kf_store *s);

/* --- store_place.c */
void place_init(struct kf_store *s);
void place_destroy(struct kf_store *s);
/* NULL = no memory. */
struct told *told_new(const struct group *g, str parts);
void told_free(struct told *t);
/* Takes it over; it is durable. The leader's. */
void place_later(struct kf_store *s, struct told *t);
/* Whether no more than `most` numbers wait; waits for it that long. */
bool place_has_room(struct kf_store *s, size_t most, int64_t within_ms);
/* Nothing was written for a while: what was learned of large transactions is forgotten, and their
 * room in memory. Who owns the database, with no transaction open. */
void place_calm(struct kf_store *s);
/* How many writes and pages the next COMMIT may bring, by what this one has brought: its writes,
 * pages that were written, and the time that they took. True: the cache is to be of another
 * size. */
bool place_learn(struct placing *p, uint32_t written, uint64_t took_ms);
/* One group more; false: there is none, or not now. Commits and checkpoints when that is due. On
 * any thread that does not own the database. */
bool place_some(struct kf_store *s);
/* What the placing thread does. */
void place_work(struct kf_store *s, unsigned what);
/* Has the placing thread look whether a checkpoint is due. False: there is none. */
bool place_look(struct kf_store *s);
/* Behind a group that was told: has that placed, now or a moment later. False: there is no thread
 * for it, so that the caller is to do it by place_some. */
bool place_call(struct kf_store *s);
/* The moment later; quiet: all of it is to be committed. */
void place_soon(struct kf_store *s, bool quiet);
/* As leader and owner, of a database that was opened: it is at that number, and nothing ahead. */
void place_at(struct kf_store *s, int64_t seq, int64_t stamp);
/* The rest as owner. What is queued up to a number, or all, committed. */
kf_rc place_all(struct kf_store *s, int64_t upto, struct kf_err *err);
void place_drop_queue(struct kf_store *s);
/* The transaction, when it is not open yet. */
kf_rc place_begin(struct kf_store *s, struct kf_err *err);
struct group place_group(struct kf_store *s, const struct redo_record *record);
kf_rc place_part(struct kf_store *s, const struct redo_record *record, str part,
                 struct kf_err *err);
kf_rc place_commit(struct kf_store *s, struct kf_err *err);
/* Of the open transaction nothing stands; what was told is lost but for the file. */
void place_lose(struct kf_store *s, struct kf_err *err);
kf_rc place_misfit(const struct kf_store *s, const struct redo_record *record, struct kf_err *err);
/* Whether groups were told that are not committed. */
bool redo_is_ahead(const struct kf_store *s);

/* --- store_again.c */
/* As leader and owner: commits what is ahead, also what is in the file alone. */
kf_rc redo_settle(struct kf_store *s, struct kf_err *err);
/* Waits until all is committed that was told before. Any thread that does not own the database. */
kf_rc redo_await(struct kf_store *s, struct kf_err *err);

/* --- store_redo.c */
/* On an open database: what a crash has left. */
kf_rc redo_find(struct kf_store *s, struct kf_err *err);
/* As leader and owner, before the database is closed: nothing is ahead, and the file is gone. On
 * failure it stays, and open unless the store ends with it. */
kf_rc redo_leave(struct kf_store *s, bool for_good, struct kf_err *err);
/* Keeps the file beside the store, for something of it could not be placed; closes it. */
void redo_set_aside(struct kf_store *s);
/* In a transaction: the database knows no file any more. */
kf_rc redo_forget(struct kf_store *s, struct kf_err *err);
/* Closes and removes it; what is at its path and not this file belongs to somebody else. */
kf_rc redo_remove(struct kf_store *s, struct kf_err *err);
void redo_drop(struct kf_store *s);
/* While none is open: nothing is at its path any more. What is there with records is set aside. */
kf_rc redo_clear(struct kf_store *s, struct kf_err *err);

/* --- store_read.c */
/* As store_read_behind, but it does not wait for a connection: KF_BUSY. */
kf_rc store_read_try(struct kf_store *s, struct db **ret_db, struct kf_err *err);
/* Closes idle connections: all, or those beyond the minimum that have been idle long enough. */
void readers_close(struct kf_store *s, bool all);
/* Gives back the page caches of connections that have been idle that long. */
void readers_forget_pages(struct kf_store *s);
/* Stops new reads and waits for those that run: KF_BUSY when they do not end. */
kf_rc readers_shut(struct kf_store *s, struct kf_err *err);
void readers_reopen(struct kf_store *s);
int64_t readers_oldest_ms(struct kf_store *s);

/* --- store_pg.c */
void pg_part_free(struct pg_part *p);
/* Tells the watcher, if there is one, to end, and does not wait for that. */
void pg_watch_leave(struct kf_store *s);
bool pg_is_there(const struct env *env, const char *url);

/* --- store_meta.c: values of kf_meta and the row of numbers, in the caller's transaction */
kf_rc meta_get(struct db *db, const char *key, struct buf *out, struct kf_err *err);
kf_rc meta_set(struct db *db, const char *key, str value, struct kf_err *err);
/* As meta_get; absent is "". */
kf_rc meta_or_empty(struct db *db, const char *key, struct buf *out, struct kf_err *err);
kf_rc meta_read_state(struct db *db, int64_t *ret_seq, int64_t *ret_stamp, struct kf_err *err);
/* The last number and the last stamp, into the open transaction. */
kf_rc state_write(struct kf_store *s, int64_t seq, int64_t stamp, struct kf_err *err);
/* The site that the store is from now on. */
void meta_set_site(struct kf_store *s, const char *site);
/* Reads what the store has of its identity, and writes a new one when it has none or its marker is
 * not `marker`: a copy. In a write transaction. *ret_site: what meta_set_site is to be given once
 * it is committed; *ret_old: the site before, "" when it stays. */
kf_rc meta_identify(struct kf_store *s, struct db *db, str marker,
                    char ret_site[STORE_SITE_LEN + 1], char ret_old[STORE_SITE_LEN + 1],
                    bool *ret_changed, struct kf_err *err);

/* --- store_content.c: the leader's */
/* Whether a closed file is a store of a format that can be opened. */
kf_rc content_look(struct kf_store *s, const char *path, struct kf_err *err);
/* Opens the file, migrates, reads seq, clock, site. May leave it unsettled. */
kf_rc content_open(struct kf_store *s, bool create, struct kf_err *err);
/* Before anything is written: does what opening found no space for. */
kf_rc content_settle(struct kf_store *s, struct kf_err *err);
void content_close(struct kf_store *s);
/* Writes what is in an open file that has lost its name to one beside it. */
void content_rescue(struct kf_store *s);
/* PATH.before-TIME (or another word), a name that is free. Appended to `out`. */
kf_rc content_aside_name(struct kf_store *s, const char *word, struct buf *out, struct kf_err *err);

/* --- store_swap.c */
kf_rc swap_store(struct kf_store *s, const struct store_swap *swap, struct kf_err *err);
/* store_is_there, of a file. */
bool swap_is_there(const struct env *env, const char *path);
/* Ends a swap that a crash cut off. */
kf_rc swap_finish(const struct env *env, struct log *log, const char *path, struct kf_err *err);
/* Opens what a swap closed and could not open again for lack of memory; does nothing otherwise. For
 * whoever leads. */
kf_rc swap_reopen(struct kf_store *s, struct kf_err *err);

#endif
