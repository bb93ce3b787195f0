/* store: one opened Keepfast database. Who owns it, how it is written, what it numbers.
 *
 * Ownership. PATH.lock beside the file is held by an OFD lock while the store is open
 * (store/lock.h). The database file itself is never opened by anything but SQLite.
 *
 * Writing. A write is a `struct write` that waits in one queue. Whoever finds writes waiting and
 * nobody leading becomes the leader: it takes all that wait (at most STORE_GROUP_MAX) and runs
 * them as one group:
 *
 *      queue --take--> BEGIN -> apply* -> UPDATE kf_state -> COMMIT (synced)
 *                                                               |
 *         publish each (memory shows it) -> done each (callers are told) -> checkpoint when due
 *
 * - a thread that calls store_write leads itself when it can: a lone writer hands nothing over and
 *   waits for nobody; others ride in the next group and are woken when it is durable. A leader
 *   serves one group and hands on;
 * - store_submit only queues; the loop's after-hook leads, so everything that one turn of the loop
 *   read is one group.
 *
 * What can say in advance what it will do (struct write, `foretell`) is written to a file of its
 * own instead, synced, told, and put into the database by another thread (store/redo.h).
 *
 * G1  Nobody is told OK before the COMMIT of its group has returned, or the sync of its record in
 *     the redo file (ack level memory: before that, after apply or foretell).
 * G2  A write that fails in apply leaves no trace, and the rest of its group is not touched.
 * G3  When the transaction as a whole is lost (full, I/O, memory), each write of the group is
 *     either applied again in a new transaction or told the failure; none is told OK.
 * G4  After a failed sync or write nobody is told OK again until the store is reopened
 *     (STORE_READ_ONLY).
 * G5  Journal numbers of a group are given in the order of its writes and appear together; seq
 *     only grows.
 *
 * States (store_state.c has the table of legal moves):
 *
 *      OPENING -> HYDRATING <-> OPEN <-> FULL (and back to HYDRATING)
 *                     |          |        |
 *                     +----------+--------+--> READ_ONLY --(reopen only)
 *
 * HYDRATING and OPEN differ only for readers of names; FULL heals by itself when a write
 * succeeds again. A store that a crash left on a full disk opens FULL, to be read. On PostgreSQL
 * FULL is any reason for which no write goes and that may pass: a full disk there, a standby, a
 * server that cannot be reached.
 *
 * Threads: calls are any-thread unless marked. Lock order: every lock is a leaf and held for
 * moments; no callback is made under one. */
#ifndef KF_STORE_STORE_H
#define KF_STORE_STORE_H

#include "base/config.h"
#include "base/log.h"
#include "base/loop.h"
#include "db/db.h"
#include "db/schema.h"
#include "store/clock.h"

#define STORE_SITE_LEN      16 /* hex digits */
#define STORE_GROUP_MAX     256
#define STORE_QUEUE_MAX     65536
#define STORE_SLICE_MS      50
#define STORE_SLICE_BUSY_MS 10
#define STORE_READERS_MIN   2
#define STORE_READERS_MAX   10
#define STORE_READ_MS       30000
/* Frames in the log after which the leader checkpoints; well below the 1,000 of SQLite's own
 * default. */
#define STORE_CHECKPOINT_FRAMES 800

struct kf_store; /* store_internal.h */
struct docs;     /* shape/doc.h */
struct streams;  /* shape/stream.h */
struct remotes;  /* remote/remotes.h */
struct group;

/* ------------------------------------------------------------------------------- open and close */

struct store_options {
    const struct env *env;       /* NULL = env_system() */
    const struct schema *schema; /* NULL = schema_store */
    struct log *log;             /* may be NULL; not owned */
    /* Its after-hook leads submitted writes; store_open and store_close are then called on its
     * thread. NULL = only store_write and store_lead. */
    struct loop *loop;
    /* Groups are told ahead of their commit also where no loop would see to that: tests. */
    bool redo_always;
    /* store_open is called on any thread, and store_join on the loop's behind it: until then nobody
     * leads what is submitted. */
    bool joins_later;
    /* PostgreSQL: once false, as if the moment of store_hurry had come, while it is opened, too.
     * Any thread; NULL = nobody is asked. */
    db_go_on *lives;
    void *lives_ctx;
    uint32_t silence_ms; /* db_options */
    const char *socket;  /* to be named in the lock file; NULL = none */
    bool brief, must_exist, allow_network_fs;
    bool data_dir;         /* the folder is Keepfast's own: store_check_dir(ours) */
    uint32_t lock_wait_ms; /* for a brief owner; 0 = 5,000 */
    uint32_t readers_min, readers_max, reader_idle_ms; /* 0 = the defaults */
    uint32_t checkpoint_frames; /* in the log, after which it is checkpointed; 0 = the default */
    /* Size of the log that is warned of, and that stops writes; 0 = 64 MiB, 1 GiB. */
    uint64_t wal_big_bytes, wal_stalled_bytes;
    /* With less space free, writes but those that make room are refused; 0 = the smaller of 5 % of
     * the file system and 512 MiB. */
    uint64_t low_water_bytes;
    /* What its content may take up; writes that are `metered` and lead beyond are refused. 0 = no
     * bound. */
    uint64_t quota_bytes;
};

/* Opens, creates or migrates the store at `path`: a file, or postgres://…#SPACE (without #SPACE:
 * `default`). Problems: busy (names the pid), permission,
 * config, not_found (must_exist, or no folder), format_too_new, damaged, io_error, disk_full. A
 * failed open leaves a file that was there as it was, or recovered; a format that is too new
 * leaves it byte for byte. Without the space to take over what a crash left, the store opens in
 * state FULL: reads go, writes fail with disk_full until there is some. Cost: a few milliseconds;
 * an older format is copied aside first (PATH.before-TIME). On PostgreSQL: store_unavailable;
 * brief, lock and socket mean nothing there. */
kf_rc store_open(const char *path, const struct store_options *options, struct kf_store **ret_store,
                 struct kf_err *err);
/* Whether there is a store to open at `path`: its file, or a replacement of it that a crash cut
 * short and that opening ends. */
bool store_is_there(const struct env *env, const char *path);
/* The loop's part of opening, at once, and of closing: on its thread. store_part may be called
 * again, and without store_join; behind it store_close may be called on any thread. */
kf_rc store_join(struct kf_store *store, struct kf_err *err);
void store_part(struct kf_store *store);
/* Ends writes that wait with `stopping`, waits for the group that runs and for readers, closes
 * connections, releases the lock, frees. In the child of a fork it does nothing and leaks. NULL
 * is fine. */
void store_close(struct kf_store *store);
/* It is to be closed: what is done gently ends behind its slice (`stopping`), now; from that moment
 * on all that goes in slices does, and on PostgreSQL a server that says nothing is waited for no
 * longer, and no connection is made. Of several calls the earliest moment counts. store_close does
 * so itself, with STORE_HURRY_MS; before it, for who waits for calls that run: STORE_STOP_MS where
 * a program was asked to end, and is to be gone within 10 s. Any thread. */
#define STORE_HURRY_MS 3000
#define STORE_STOP_MS  6000
void store_hurry(struct kf_store *store, uint32_t within_ms);
/* Whether that moment has come and its database has not answered lately: nothing can be asked of it
 * any more. */
bool store_is_past_asking(const struct kf_store *store);

/* Who owns a store that is not ours to open. */
struct store_owner {
    int64_t pid;
    bool brief;
    char socket[2048]; /* "" = none */
};
/* KF_ABSENT when nobody does, as always on PostgreSQL. Opens only the lock file. */
kf_rc store_owner(const struct env *env, const char *path, struct store_owner *ret,
                  struct kf_err *err);

/* ------------------------------------------------------------------------------------- writing */

struct write {
    struct write *next; /* the store's */
    /* In the group's transaction, on the leader's thread. May be called again after a failure of
     * the group (G3), so it must not change anything outside the transaction but its own result.
     * When it fails, what it wrote is undone. */
    kf_rc (*apply)(struct group *g, struct write *w, struct kf_err *err);
    /* After the commit and before any `done` of the group: makes the result visible in memory.
     * NULL = nothing to do. Not called for a write that failed. */
    void (*publish)(struct write *w);
    /* Once, last, on the leader's thread; w->rc and w->err are set; owns w from then on. NULL
     * for store_write. */
    void (*done)(struct write *w);
    /* Ack level memory: done may be called with KF_OK after apply, before the commit. `publish`
     * then still follows, once, also when the group failed (w->rc is no longer KF_OK by then): it
     * ends the life of w; shape/doc_write.c. */
    bool early;
    /* Decides without the database what apply would do, and says it, by group_foretold: a group of
     * such writes is durable when that is, told, and put into the database later (store/redo.h).
     * Anything else than KF_OK: nothing is decided, and apply is called. NULL = it cannot. */
    kf_rc (*foretell)(struct group *g, struct write *w, struct kf_err *err);
    bool frees;   /* makes room: allowed below the low-water mark (deletes, retention) */
    bool metered; /* a user's: undone with `quota` when the content grows beyond quota_bytes */
    kf_rc rc;
    struct kf_err err;
    int phase;                   /* the store's */
    struct store_waiter *waiter; /* the store's */
};

/* Inside of foretell. */
/* Where the next part of what is said goes: one for each number that the write takes, in their
 * order, and group_foretold_end behind each. */
struct buf *group_foretold(struct group *g);
void group_foretold_end(struct group *g);
/* A snapshot of what is committed, until the group is told: at least up to group_committed. */
kf_rc group_look(struct group *g, struct db **ret_db, struct kf_err *err);
int64_t group_committed(const struct group *g);
/* Another one when the content of the store was replaced. */
uint64_t group_content(const struct group *g);

/* How what was foretold comes into the database: many groups in one transaction, on the thread of
 * who owns the database by then. */
struct store_placing {
    /* A part: group_seq, group_now_ms and group_site give what they gave when it was said.
     * KF_DAMAGED when it does not come out as it was told. */
    kf_rc (*place)(void *ctx, struct group *g, str bytes, struct kf_err *err);
    /* Before the commit: what `place` has kept back. */
    kf_rc (*end)(void *ctx, struct db *db, struct kf_err *err);
    /* Behind it, or when it was all rolled back: nothing is remembered. */
    void (*drop)(void *ctx);
    /* A part that cannot be placed, undone: what was told by its number is told no more, but no
     * number is given twice. NULL = it takes none but the store's. */
    kf_rc (*pass)(void *ctx, struct group *g, str bytes, struct kf_err *err);
    /* Of what it is: where a page is damaged that a part needs, those of the same that came behind
     * it are left out as well. NULL = all of one. */
    uint64_t (*of)(str bytes);
    /* The leader: what memory shows may not have come into the database. */
    void (*doubt)(void *ctx);
};
/* Inside of place and end. Whether more was told and waits to be placed. */
bool store_has_to_place(const struct kf_store *store);
/* Likewise: what is done is done again, out of the file, each by itself: a crash has left it, or a
 * transaction was lost. */
bool store_places_again(const struct kf_store *store);
/* Before the first write or read; where nobody says it nothing is foretold. *placing is there as
 * long as the store. */
void store_placing(struct kf_store *store, const struct store_placing *placing, void *ctx);

/* Queues a write; never blocks. When it cannot be taken (queue full, stopping, read-only) `done`
 * is called at once with the failure, on the caller's thread. */
void store_submit(struct kf_store *store, struct write *w);
/* Queues, leads or waits until the write is durable or failed. Not on the loop's thread of a
 * store that has one (assert), but for a LOOP_INLINE one. */
kf_rc store_write(struct kf_store *store, struct write *w, struct kf_err *err);
/* Leads one group when writes wait and nobody leads. True when more wait and could be led at
 * once. Never blocks for a foreign writer when the store has a loop: the group goes back to the
 * queue and a timer tries again. */
bool store_lead(struct kf_store *store);
/* Whether any wait, those that go back for a foreign writer too; not those of the group that
 * runs. */
bool store_has_writes(struct kf_store *store);
/* Waits for the group that runs, on whichever thread. Not from a callback of a write. */
void store_settle(struct kf_store *store);

/* Inside apply. On PostgreSQL keeps every process from removing what is old, for STORE_PIN_MS: a
 * backup reads it. Of a file nothing: its one owner knows (shape/doc.h, docs_pin). */
#define STORE_PIN_MS (5 * 60 * 1000)
kf_rc group_pin(struct group *g, struct kf_err *err);
/* Whether somebody has done that, as the group that runs has found it. */
bool store_is_pinned(const struct kf_store *store);
/* Inside apply, for a change that leaves no number in the journal and in no entry, so that nobody
 * could be told of it by name: the memory of every process is in doubt behind the commit. Takes a
 * number. Of a file nothing: memory is its owner's. */
kf_rc group_doubt(struct group *g, struct kf_err *err);

/* Inside apply. */
struct kf_store *group_store(struct group *g);
struct db *group_db(struct group *g);
/* Whether what is deleted from now on is overwritten where it stands, and soon in the log, too. */
kf_rc group_scrub(struct group *g, bool on, struct kf_err *err);
int64_t group_now_ms(const struct group *g);
int64_t group_stamp(struct group *g); /* the next stamp of this store's clock */
/* Takes in a stamp of somebody else, so that what is written from now on is later. False: not
 * believed (clock.h, C4). */
bool group_see(struct group *g, int64_t stamp);
int64_t group_seq(struct group *g);            /* the next number of the store-wide sequence */
int64_t group_first(const struct group *g);    /* the last before this group, by whomever */
int64_t group_last(const struct group *g);     /* the last that was given */
const char *group_site(const struct group *g); /* 16 hex digits */
/* Another number whenever something that was written in this group may have been taken back: all of
 * it, or what one write wrote. What apply remembers of what was written, beside the transaction, is
 * true under the number under which it was remembered and no other. *ret_whole: nothing was taken
 * back since the transaction began, nor has another process written what followers were not told
 * of, so that what memory shows is true of everything that is not remembered under this number. */
uint64_t group_turn(const struct group *g, bool *ret_whole);
/* Writes the journal row of a changed row under number `seq`; old_seq is the number it had
 * before, 0 = none. */
kf_rc group_journal(struct group *g, int64_t seq, int64_t old_seq, const char *tbl, str key,
                    int64_t stamp, str site, struct kf_err *err);

/* Long work in slices: `slice` is applied as a write of its own again and again, each at most
 * STORE_SLICE_MS (it asks group_slice_over), until it sets *ret_more false. It may be called
 * again for the same slice (G3). Between slices other writes go. Counts as making room
 * (`frees`). Not on the loop's thread. Ends in between with `stopping` when the store is closed
 * (store_hurry). */
typedef kf_rc store_slice(struct group *g, void *ctx, bool *ret_more, struct kf_err *err);
kf_rc store_in_slices(struct kf_store *store, store_slice *slice, void *ctx, struct kf_err *err);
/* The same for upkeep, for which nobody waits: while others write a slice has STORE_SLICE_BUSY_MS,
 * and the others most of the time (not on PostgreSQL). For work that is at a place: `slice` begins
 * there each time and leaves in `ctx` where the next one is to begin, and `stands` (may be NULL)
 * makes that the place. It is called behind the commit of each slice, on the caller's thread: a
 * slice that is applied again begins where it began. */
typedef void store_stands(void *ctx);
kf_rc store_in_slices_gently(struct kf_store *store, store_slice *slice, store_stands *stands,
                             void *ctx, struct kf_err *err);

/* What those two are made of, for who needs writes of another kind: begin, store_write (its apply
 * asks for the limit first), and the end when there is more to do. */
struct store_turns {
    struct kf_store *store;
    bool gently, rests; /* rests: where others write */
    bool others;
    uint64_t seen, began_ns;
};
struct store_turns store_turns(struct kf_store *store, bool gently);
void store_turn_begin(struct store_turns *turns);
void store_turn_limit(const struct store_turns *turns, struct group *g);
/* Rests, where that is due. KF_BUSY: `stopping`. */
kf_rc store_turn_end(struct store_turns *turns, struct kf_err *err);
/* Whether the group has had the writer for as long as it may: any apply with much to do asks. */
bool group_slice_over(const struct group *g);

/* Called after every group that moved the sequence, on the leader's thread: last number and wall
 * clock. One listener, NULL = none; setting it waits for the group that runs, and the old one is
 * not called any more. */
typedef void store_on_commit(void *ctx, int64_t seq, int64_t at_ms);
void store_listen(struct kf_store *store, store_on_commit *fn, void *ctx);

/* ------------------------------------------------------------------------------------- sharing
 *
 * A store on PostgreSQL may be open in several processes. What one commits the others hear of a
 * moment later; until then their memory shows what was there before. A file has one owner, and
 * nothing of this happens. */

/* Called on the store's watcher thread, and `doubt` on the leader's as well. */
struct store_follower {
    /* The row `key` of `tbl` in the journal has number `seq`; by whomever. Of a stream, whose
     * entries have no row there: it is at revision `seq` (shape/stream_internal.h). */
    void (*changed)(void *ctx, str tbl, str key, int64_t seq);
    /* Anything up to number `seq` may have changed. went_back: also what was committed here may be
     * gone, and numbers begin anew below. */
    void (*doubt)(void *ctx, int64_t seq, bool went_back);
    void *ctx;
};
/* Before the first read; for the life of the store. */
kf_rc store_follow(struct kf_store *store, const struct store_follower *follower,
                   struct kf_err *err);
/* Whether what memory shows may be served: everything committed up to a moment ago was heard of.
 * Of a file always. Any thread. */
bool store_is_fresh(const struct kf_store *store);
/* Whether this process is the one that does what one alone should do. Of a file always. */
bool store_is_chief(const struct kf_store *store);
/* Where no watcher does: tries to become it, until the store is closed. Blocks; one thread at a
 * time. */
void store_try_chief(struct kf_store *store);
/* What a commit of it means: KF_LEVEL_DISK or KF_LEVEL_SHARED. */
kf_level store_level(const struct kf_store *store);

/* ------------------------------------------------------------------------------------- reading */

/* A read-only connection inside a snapshot (BEGIN … first read), to be given back within
 * STORE_READ_MS: later its calls fail with KF_BUSY. Waits for one when all are out: KF_BUSY
 * after 5 s. */
kf_rc store_read(struct kf_store *store, struct db **ret_db, struct kf_err *err);
/* The same, perhaps without groups that were told and are not committed yet (store/redo.h), which
 * are of streams: for who reads none. It does not wait for them, nor fail with them. */
kf_rc store_read_behind(struct kf_store *store, struct db **ret_db, struct kf_err *err);
/* As store_read; as store_read_behind where nothing can be committed now (FULL, READ_ONLY): for who
 * brings to other places what there is, or counts it. */
kf_rc store_read_lenient(struct kf_store *store, struct db **ret_db, struct kf_err *err);
void store_read_end(struct kf_store *store, struct db *db);
/* For a read that must see one moment and may take long (a digest, a check of all pages): past
 * STORE_READ_MS it goes on while the log that it holds up is small. It fails with KF_BUSY when that
 * grows big, when the store is to be closed or replaced, and as soon as `wanted` (called often, on
 * this thread; NULL = always) says no. *l is the caller's until store_read_end. */
struct long_read {
    struct kf_store *store;
    bool (*wanted)(void *ctx);
    void *ctx;
    int64_t until_ms;
};
kf_rc store_read_long(struct kf_store *store, struct long_read *l, struct db **ret_db,
                      struct kf_err *err);

/* The number of the last group that is durable, in the database or in the redo file; with it a
 * cache can tell whether what it read is still the newest. */
int64_t store_seq(const struct kf_store *store);
/* The same as the snapshot `db` of store_read has it: on PostgreSQL others commit as well, and
 * store_seq knows of them with the next group of this process. */
kf_rc store_seq_of(struct db *db, int64_t *ret_seq, struct kf_err *err);

/* ------------------------------------------------------------------------------------ the rest */

enum store_state { STORE_OPENING, STORE_HYDRATING, STORE_OPEN, STORE_FULL, STORE_READ_ONLY };
enum store_state store_state(const struct kf_store *store);
/* Set by the remotes while the store is being filled; see remote/hydrate.h. */
void store_set_hydrating(struct kf_store *store, bool hydrating);
/* Whether anything was ever written to it. */
bool store_is_empty(const struct kf_store *store);

/* Bytes that must stay free on its disk; with less, writes are refused. */
uint64_t store_low_water(const struct kf_store *store);
/* Fills what the store itself knows; the shapes and remotes add theirs. */
kf_rc store_status(struct kf_store *store, struct kf_status *ret, struct kf_err *err);

/* What a look at the files of an open store tells, beside its status. */
struct store_health {
    bool moved;     /* the file at its path is another one, or none */
    bool lock_gone; /* its lock file is another one, or none */
    bool log_gone;  /* it has written, and there is no log at its path */
    bool wal_big;   /* at the last checkpoint; wal_stalled: writes were refused for it */
    bool wal_stalled;
    int64_t oldest_read_ms; /* how long the oldest read of our own goes on; 0 = there is none */
    int64_t stamp;          /* the last that was given or seen; 0 = none */
    int64_t cloned_ms;      /* when it found out last that it is a copy; 0 = never */
};
kf_rc store_health(struct kf_store *store, struct store_health *ret, struct kf_err *err);

/* Whether what it was opened from is not there any more: it takes no writes until it is opened
 * again. */
bool store_is_moved(struct kf_store *store);

const struct env *store_env(const struct kf_store *store);
struct log *store_log(const struct kf_store *store);
struct loop *store_loop(const struct kf_store *store);
/* On PostgreSQL its address as it may be shown. */
const char *store_path(const struct kf_store *store);
/* SPACE.db.d/, made when first asked for: scratch files. KF_INVALID not_implemented for a store on
 * PostgreSQL. */
kf_rc store_side_dir(struct kf_store *store, const char **ret_path, struct kf_err *err);
/* Its site as it is now; another one after a restore, and when a copy finds out that it is one. */
void store_site(struct kf_store *store, char ret[STORE_SITE_LEN + 1]);

/* Values of kf_meta. Absent: KF_ABSENT. Setting goes through a group. */
kf_rc store_meta_get(struct kf_store *store, const char *key, struct buf *out, struct kf_err *err);
kf_rc group_meta_set(struct group *g, const char *key, str value, struct kf_err *err);

struct store_swap {
    const char *scratch; /* a closed, hardened store file on the same file system */
    /* Both may be NULL. `may` is asked when nobody can write any more, before anything is touched:
     * what it says but KF_OK ends the swap. `publish` is called behind it, before anybody reads or
     * writes. */
    kf_rc (*may)(void *ctx, struct kf_err *err);
    void (*publish)(void *ctx);
    void *ctx;
    /* May be NULL; filled with the old file's new path, "" when it was never written to. */
    char *kept_as;
    size_t kept_as_size;
};
/* Replaces the content by another: waits for the running group and for readers, closes, renames
 * the old file to PATH.before-TIME and the scratch to PATH, opens again; an old file that was never
 * written to is removed. Stamps go on from the later of both. After a crash at any point the old or
 * the new store is at PATH. KF_BUSY when a reader does not end or another program has the file
 * open. On failure the old store is open again. Not on the loop's thread. */
kf_rc store_swap(struct kf_store *store, const struct store_swap *swap, struct kf_err *err);

/* Appends the names, each with a NUL, of the schemas of PostgreSQL in which restores of this store
 * have left what was there (store_pg_swap.c), the oldest first. Of stores on PostgreSQL alone;
 * blocks. */
kf_rc store_kept_schemas(struct kf_store *store, struct buf *names, struct kf_err *err);

/* What of the higher floors belongs to this store. Set once at open, by lib/. */
struct docs *store_docs(const struct kf_store *store);
struct remotes *store_remotes(const struct kf_store *store);
void store_attach(struct kf_store *store, struct docs *docs, struct remotes *remotes);
struct streams *store_streams(const struct kf_store *store);
void store_set_streams(struct kf_store *store, struct streams *streams);
/* What lib/open.c made around it. */
void *store_host(const struct kf_store *store);
void store_set_host(struct kf_store *store, void *host);

/* The gate. Every public call on a store stands between store_enter and store_leave; kf_close shuts
 * it and waits until nobody is inside. store_enter: KF_MISUSE for NULL and after fork, KF_BUSY
 * `stopping` once it is shut; store_leave gives back `rc`. Nothing inside a call passes it again.
 * Any thread; two additions to one number. */
kf_rc store_enter(struct kf_store *store, struct kf_err *err);
kf_rc store_leave(struct kf_store *store, kf_rc rc);
void store_shut(struct kf_store *store);
bool store_has_calls(const struct kf_store *store);

#endif
