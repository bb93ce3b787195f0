/* remotes_internal: what the files of the wrapper share.
 *
 *     remotes.c       the list of remotes: from configuration and rows, its end, status, restore
 *     remotes_entry.c one entry of it
 *     remotes_access.c  what it names beside its address
 *     remotes_config.c  addresses and branches of a configuration, before a store is opened
 *     remotes_plan.c  who runs next; what commits and ends of runs do to it
 *     remotes_row.c   the rows of kf_remote
 *     remotes_readers.c  whether everybody can read a remote
 *     remotes_clock.c the clock of its host beside ours
 *     remotes_aside.c what is set aside, kf_aside; remotes_aside_ask.c what people ask of it
 *     remotes_withheld.c  documents of ours among it, which are not pushed (W6)
 *     remotes_log.c   the log of runs, kf_run
 *     remotes_run.c   one run: pull, push, confirm (its own thread)
 *     remotes_push_set.c  what of the store it pushes
 *     remotes_push.c  the push, and what the place refuses of it
 *     remotes_take.c  what a pull gives: which documents are needed, merging them in groups (the
 *                     run's thread)
 *     remotes_files*.c  the same of streams (remotes_files.h)
 *     remotes_shared.c  where several processes have the store open
 *     remotes_task.c  threads, or jobs of an inline loop
 *     hydrate.c       who is looked at, pulled, waived, and when the store is open (the loop's
 *                     thread)
 *     remotes_wait.c  waiting, blocking or not
 *     remotes_past.c  what places have of the past of a document
 *     remotes_pending.c what is not confirmed yet
 *     remotes_unread.c  names of which a remote holds something that cannot be read
 *     remotes_verify.c  every object against its hash, and back from here what is damaged there
 *
 * Times named _ms without _wall are of the monotonic clock, moved so that 0 can mean never
 * (remotes_now). */
#ifndef KF_REMOTE_REMOTES_INTERNAL_H
#define KF_REMOTE_REMOTES_INTERNAL_H

#include "remote/remotes.h"
#include "remote/sealed.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"

#include <pthread.h>

struct task;
struct run;

/* A piece of work that may block. Embedded first; freed by `done`. */
struct task {
    struct loop_msg msg;
    struct loop_job job;
    struct task *next;       /* of those that are out */
    struct remotes *remotes; /* NULL: nobody is interested any more, `done` only frees */
    pthread_t thread;
    bool threaded, joined;
    void (*work)(struct task *t);
    void (*done)(struct task *t); /* on the loop's thread */
    /* NULL = nothing to do. Work has ended (or never began), the remotes go, `done` will come later
     * with remotes == NULL. */
    void (*forget)(struct task *t);
};

/* Asks the loop to plan. Its own memory: it may still be on its way when the remotes are gone. */
struct plan_msg {
    struct loop_msg msg;     /* first */
    struct remotes *remotes; /* under its lock; the loop's once the remotes have stopped */
    bool posted;
};

enum taking { TAKE_LOOK, TAKE_LOOKING, TAKE_FOUND, TAKE_PULLING }; /* hydration of one remote */

/* Of a run that one process asks another for: remotes_shared.c. */
#define ASK_TOKEN 16

struct remote_entry {
    /* --- constant */
    struct remotes *remotes;
    struct arena arena;
    char *name, *shown;
    struct remote_place place;
    char *options; /* JSON: source, schedule, docs, access; as in the row */
    const struct remote_driver *driver;
    struct config_schedule schedule; /* effective */
    str *docs;
    size_t doc_count;
    uint64_t warn_bytes;
    bool from_config;
    uint32_t bit;

    /* --- under remotes->lock */
    uint32_t refs;
    bool removed;
    bool row_stale; /* the row is not there or another remote's: written by the next run */
    int64_t watermark;
    struct buf position;
    char key_id[SEAL_ID + 1]; /* of the key that was read last; "" = none, or none could be */
    bool hydrated, waived;
    int64_t confirmed_wall_ms, last_run_wall_ms;
    uint32_t failures;
    uint64_t set_aside;
    struct withheld_list *withheld; /* W6; NULL = none */
    size_t refused_alone; /* documents that the place has refused since it last took one */
    bool refuses_all;     /* it seems to refuse everything */
    bool took_some;       /* it takes some, and runs are finding out what it refuses */
    bool past_on;         /* its past is being read */
    uint32_t asked_again, answered_again; /* how often everything was asked for; up to which */
    char last_code[32];
    char last_error[600];
    bool running, asked;
    char ask[ASK_TOKEN + 1];   /* remotes_shared.c: what we have asked the chief; "" = nothing */
    char heard[ASK_TOKEN + 1]; /* what others have asked us last */
    bool ask_sent;             /* it is in the store */
    bool has_row;              /* was seen to have one: without it, somebody has removed it */
    int64_t snapshot_seq;      /* of the run that is on; -1 = not taken yet */
    int64_t first_ms, first_wall_ms;   /* first change not yet confirmed */
    int64_t behind_ms, behind_wall_ms; /* first change behind the snapshot of the run that is on */
    int64_t full_ms;                   /* since when `after` items are pending */
    uint64_t counted;                  /* items pending at counted_seq, up to `after` */
    int64_t counted_seq;
    int64_t started_ms, last_end_ms, last_good_ms;
    int64_t retry_at_ms; /* not before, as the place asked for; 0 = it did not */
    uint32_t jitter;
    struct kf_pending cache; /* at cache_seq above cache_watermark */
    int64_t cache_seq, cache_watermark;

    struct remote_entry *departed; /* next of the list of those that were removed */

    /* --- the loop's */
    struct loop_timer timer;
    int64_t told_down_ms; /* last remote.down */
    bool told_big;
    bool told_changed; /* that its row is another remote's */
    enum taking taking;
    int64_t look_stamp;
};

struct remotes {
    /* --- constant */
    struct kf_store *store;
    struct docs *docs;
    const struct env *env;
    struct log *log;
    struct loop *loop;
    bool start_empty;
    bool shared; /* several processes have the store open */
    atomic_bool stop;
    atomic_bool ending; /* calls that read the past end */

    pthread_mutex_t lock;
    pthread_cond_t past_over;
    uint32_t past_count;                       /* entries with past_on */
    struct remote_entry *entries[REMOTES_MAX]; /* NULL = free */
    bool hydrating;
    struct remote_entry *departed;
    struct plan_msg *plan;
    int64_t last_seq, last_wall_ms;
    /* Counts restores: what a run knows of the content before one says nothing of the new one. */
    uint64_t content;

    /* --- the loop's */
    struct remotes_wait *waits;
    struct task *tasks;
    struct loop_timer hydrate_timer;
    int64_t hydrate_since_ms;
    struct write *mark; /* that hydration is on; NULL when it is written or on its way */
    bool started, stopped, finishing, counting;
    bool active;     /* this process runs them; of a file always */
    bool refreshing; /* remotes_shared.c */
    unsigned refreshed;
    struct loop_timer shared_timer;
    char site[STORE_SITE_LEN + 1]; /* of the content that they were loaded for */
    bool refusing;                 /* waits are ended at once */
};

/* Pushes of one run that look for what the place refuses; and as many documents that it refused,
 * each alone, while it took nothing, mean that it refuses everything. */
#define REFUSED_PUSHES 64
#define REFUSED_ALL    3

#define CLOCK_BASE ((int64_t)1 << 40)
static inline int64_t remotes_now(const struct remotes *r)
{
    return env_mono_ms(r->env) + CLOCK_BASE;
}

/* When a point of the wall clock was; one in the future, as clocks may say, is now. 0 = never. */
int64_t remotes_mono_of(const struct remotes *r, int64_t wall_ms);

/* --- remotes_entry.c */
/* Makes an entry; reads nothing. Strings are copied. */
struct entry_options {
    str name, kind;
    struct remote_place place; /* but for its folder */
    struct config_schedule schedule;
    const str *docs;
    size_t doc_count;
    uint64_t warn_bytes;
    bool from_config;
};
kf_rc entry_new(struct remotes *r, const struct entry_options *o, struct remote_entry **ret,
                struct kf_err *err);
/* Entries are counted: the list has one, who works with one outside of the lock has one. entry_at
 * and entry_find give one or NULL; dropping the last frees. NULL is fine. */
struct remote_entry *entry_at(struct remotes *r, int slot);
struct remote_entry *entry_find(struct remotes *r, str name);
/* KF_ABSENT unknown_remote says so. */
kf_rc entry_named(struct remotes *r, const char *name, struct remote_entry **ret,
                  struct kf_err *err);
void entry_drop(struct remote_entry *e);
bool entry_wants(const struct remote_entry *e, str name); /* its patterns */
/* KF_CONFLICT that says so. */
kf_rc entry_taken(const struct remote_entry *e, struct kf_err *err);
/* Puts it in a free slot: KF_LIMIT, and KF_CONFLICT when its name is taken. Takes over the caller's
 * count. */
kf_rc entry_attach(struct remotes *r, struct remote_entry *e, struct kf_err *err);
/* Takes it out of the list; a run of it that is on confirms nothing any more. Its timer and its
 * waiters are ended by the loop, soon. */
void entry_detach(struct remote_entry *e);
/* Ends the timers and the waiters of those that were taken out. The loop's. */
void entries_see_off(struct remotes *r);

/* --- remotes_access.c */
/* Texts are borrowed. */
void access_of_config(const struct config_access *a, struct remote_place *to);
/* The same from a call of kf_remote_add, checked but for what only the kind knows: KF_INVALID, and
 * KF_CONFIG for a file of a secret that is not its owner's alone. to->url is set. */
kf_rc access_of_options(const struct env *env, const struct kf_remote_options *o,
                        struct remote_place *to, struct kf_err *err);
kf_rc access_copy(struct arena *a, const struct remote_place *from, struct remote_place *to,
                  struct kf_err *err);
/* KF_CONFIG when something is named and means nothing to this kind. */
kf_rc access_check(const struct remote_driver *driver, const struct remote_place *place,
                   struct kf_err *err);
/* Members of the row's options, each with a comma before it; not `all`: the branch alone. */
void access_write(const struct remote_place *p, bool all, struct buf *out);
/* Copied to the arena. */
struct json_node;
kf_rc access_read(const struct json_node *root, struct arena *a, struct remote_place *to,
                  struct kf_err *err);
kf_rc access_show(const struct remote_place *p, struct arena *a, struct kf_remote_info *ret,
                  struct kf_err *err);

/* --- remotes_plan.c */
/* A store_on_commit; ctx = the remotes. */
void remotes_on_commit(void *ctx, int64_t seq, int64_t at_ms);
/* Looks at all remotes again, soon. Any thread. */
void remotes_plan_soon(struct remotes *r);
/* At once. The loop's. */
void remotes_plan(struct remotes *r);
/* With the lock held: nothing is known of the place any more. */
void forget_place(struct remote_entry *e);
/* With the lock held. */
struct schedule_view entry_view(const struct remote_entry *e, int64_t now_ms);
enum kf_remote_state entry_state(const struct remote_entry *e);
/* Notes the end of a run that failed; row and log are the caller's. With the lock held. */
void entry_failed(struct remote_entry *e, const struct kf_err *why, int64_t now_ms);
/* That the place asks to be left alone, as a run that has failed heard it. With the lock held; told
 * in the log without. */
void entry_left_alone(struct remote_entry *e, const struct run *run);
void tell_left_alone(const struct run *run);
bool problem_is(const struct kf_err *err, enum problem problem);

/* --- remotes_row.c */
struct row {
    int64_t watermark, confirmed_wall_ms, last_run_wall_ms;
    struct buf url, options, position, last_code, last_error;
    bool hydrated;
    uint32_t failures;
};
void row_release(struct row *row);
kf_rc row_load(struct db *db, str name, struct row *ret, struct kf_err *err); /* KF_ABSENT */
/* Calls `each` for the name of every row that `remote add` made. */
kf_rc row_each(struct db *db,
               kf_rc (*each)(void *ctx, str name, const struct row *row, struct kf_err *err),
               void *ctx, struct kf_err *err);
/* Writes the whole row from the entry, unless it was removed. Blocking. */
kf_rc row_put(struct remote_entry *e, struct kf_err *err);
/* What a run found is confirmed, and the run is put in the log: in one group. `why`: what is wrong
 * all the same, NULL = nothing. Refused (KF_CONFLICT) when the store's content was replaced since
 * it began, or the remote removed. */
kf_rc row_confirm(struct run *run, const struct kf_err *why, struct kf_err *err);
/* It failed, and nothing is confirmed. */
kf_rc row_failed(struct run *run, const struct kf_err *why, struct kf_err *err);
/* What a pull brought is merged: its position, what it has set aside, and that not all of it could
 * be read (W5), whatever becomes of the push. Refused as row_confirm. */
kf_rc row_moved(struct run *run, struct kf_err *err);
kf_rc row_delete(struct remotes *r, str name, struct kf_err *err);
/* Whether the run still speaks of this remote and of what the store holds now. Inside a group. */
bool run_is_current(const struct run *run, struct group *g);
/* kf_meta "hydration" */
kf_rc hydration_is_on(struct remotes *r, bool *ret, struct kf_err *err);
kf_rc hydration_mark(struct group *g, bool on, struct kf_err *err);

/* --- remotes_log.c */
/* Puts a run in the log, in the group that confirms it or notes its failure; nothing of one that
 * did nothing. `why` as for row_confirm. */
kf_rc log_run(struct group *g, const struct run *run, const struct kf_err *why, struct kf_err *err);

/* --- remotes_aside.c */
enum aside_kind {
    ASIDE_DAMAGED,
    ASIDE_WITHHELD,
    ASIDE_HELD_BACK,
    ASIDE_REFUSED,
    ASIDE_AT_PLACE,
    ASIDE_KINDS
};
struct aside_item {
    enum aside_kind kind;
    str name, reason;
    const char *code;    /* static */
    int64_t seq;         /* W6: of the head that is not pushed; else 0 */
    size_t order;        /* in which it was told */
    bool right;          /* it is set aside no more */
    bool there, differs; /* than the row that is there */
};
/* What a run has met, and what became of it in the store. */
struct aside {
    struct arena arena;
    struct aside_item *items;
    size_t count, cap, of_kind[ASIDE_KINDS];
    uint64_t beyond;                /* what is not in `items`, for there were too many */
    bool pulled, told_all, pushed;  /* which lists are whole */
    int64_t unlisted;               /* W6: the lowest number that has no row and should; 0 = none */
    int64_t unlisted_items;         /* the same of what is not in `items` */
    struct withheld_list *withheld; /* what the rows say once they are written */
    uint64_t total;                 /* set aside at the remote: before, and once written by now */
    bool changed, changed_before;   /* something is new or gone: by this write, by an earlier one */
};
/* A pull begins: what an earlier try met is forgotten. */
void aside_begin(struct run *run);
/* why == NULL: it is right again. */
kf_rc aside_add(struct run *run, enum aside_kind kind, str name, const struct kf_err *why,
                struct kf_err *err);
/* W6: a document that is not pushed, with the number of its head. */
kf_rc aside_withhold(struct run *run, enum aside_kind kind, str name, int64_t seq,
                     const struct kf_err *why, struct kf_err *err);
/* In the group that confirms the run or notes its failure, before log_run; and behind its commit.
 * The watermark must stay below a->unlisted. */
kf_rc aside_write(struct group *g, struct run *run, struct kf_err *err);
void aside_publish(struct run *run);
kf_rc aside_load(struct remote_entry *e, struct db *db, struct kf_err *err);
void aside_release(struct aside *a);

/* --- remotes_withheld.c */
struct withheld {
    str name;
    int64_t seq; /* of the head */
    enum problem problem;
    str reason;
};
/* The rows of kf_aside that stand for documents of ours, by name; of those that stand for what is
 * in streams the lowest number of each stream, by key. */
struct withheld_list {
    struct arena arena;
    struct withheld *items;
    size_t count;
    struct withheld_first {
        str key;
        int64_t seq;
    } * firsts;
    size_t first_count;
};
/* *ret NULL: there are none. */
kf_rc withheld_read(struct db *db, str remote, struct withheld_list **ret, struct kf_err *err);
/* NULL is fine, for both. */
void withheld_free(struct withheld_list *list);
const struct withheld *withheld_find(const struct withheld_list *list, str name);
/* The lowest number of what is withheld of a stream; INT64_MAX = nothing. NULL is fine. Cost: it is
 * asked with each append that has something to trim, under a lock. */
int64_t withheld_first(const struct withheld_list *list, str key);
/* Whether the row is of an entry or a file of a stream. */
bool withheld_of_stream(str name, str *ret_key);
/* Visits the head of a document (of a stream: what has this number, as a document would) that has
 * not changed since it was withheld; *ret_same says whether that is so. */
kf_rc withheld_head(struct db *db, const struct withheld *w, doc_visit *visit, void *ctx,
                    bool *ret_same, struct kf_err *err);
/* Visits those that are pending at or below the watermark. */
kf_rc withheld_pending(struct db *db, str remote, int64_t watermark, doc_visit *visit, void *ctx,
                       struct kf_err *err);
/* Whether the next push is to try it, for what kept it back may hold no more. */
bool withheld_try(const struct run *run, const struct withheld *w);
/* Whether a run that is to find out has something to try. */
kf_rc withheld_any(struct run *run, bool *ret, struct kf_err *err);
/* Whether something at or below the watermark is withheld: of `doc`, "" = of all. *why says what.
 * With the lock held. */
bool withheld_tell(const struct remote_entry *e, str doc, struct kf_err *why);
/* Whoever has what stands there cannot read it: documents go there whatever they hold. */
bool entry_seals(const struct remote_entry *e);
/* Whether documents with secrets may go there. */
bool entry_has_secrets(const struct remote_entry *e);

/* --- remotes_readers.c */
/* Whether critical documents may not go there (run->place_public), and why: asks the place where
 * that is due. The answer is kept with the remote. Blocking; not knowing is no failure. */
kf_rc readers_judge(struct run *run, struct remote *remote, struct kf_err *err);
/* Asks now and keeps the answer. */
void readers_ask(struct remote_entry *e, struct remote *remote);
#define READERS_KEY "readers/"

/* --- remotes_clock.c */
/* Keeps what a run has seen of the clock of a remote's host. Blocking. */
void clock_note(struct remote_entry *e, const struct remote_clock *seen);
#define CLOCK_KEY "clock/"

/* --- remotes_task.c */
/* On the loop's thread. Otherwise than KF_OK `done` is not called. */
kf_rc task_start(struct remotes *r, struct task *t, struct kf_err *err);
/* Waits for all that are out and forgets them. */
void tasks_stop(struct remotes *r);

/* --- remotes_run.c */
struct unread {
    str name;
    int64_t stamp;
    struct kf_err *why; /* NULL once it is judged */
};
enum run_kind { RUN_SYNC, RUN_LOOK, RUN_HYDRATE };
struct run {
    struct task task; /* first */
    struct remote_entry *entry;
    enum run_kind kind;
    bool asked;        /* go to the place even when nothing is pending */
    const char *cause; /* what started it, as the log has it */
    int64_t began_wall_ms;

    /* taken from the entry at the start */
    char site[17];
    uint64_t content; /* of the store; see struct remotes */
    int64_t watermark;
    struct buf since; /* its position */
    bool retry;       /* somebody asks for what is set aside, or nothing is known of the place */
    bool again;       /* all of the place was never read without a fault, or somebody asks for it */
    uint32_t asked_again;
    uint32_t failures;
    char ask[ASK_TOKEN + 1]; /* what of other processes it answers */

    /* found; the worker's until `done` */
    kf_rc rc;
    struct kf_err err;
    bool local; /* it was the store that failed, not the remote */
    int64_t seq;
    int64_t snapshot; /* the number at which it looked; `seq` may stay below */
    struct buf position;
    bool confirmed, hydrated;
    bool outdated; /* the store was replaced while it ran: it says nothing */
    int64_t stamp; /* RUN_LOOK; 0 = nothing there */
    struct remote_pushed pushed;
    uint64_t taken, taken_entries, taken_bytes, lost; /* taken: documents */
    uint32_t tries;
    size_t bad; /* documents of which nothing could be read */
    struct arena unread_arena;
    struct unread *unread; /* `bad` of them, sorted by name */
    struct kf_err bad_err; /* the first of them, and how many */
    size_t held_back;      /* documents that would replace one that was not read (W5) */
    /* Critical documents may not go there: everybody can read it, or nobody knows. */
    bool place_public, place_unknown;
    /* Documents that the place has refused alone since it last took one: before, and now. */
    size_t refused_before, refused_alone;
    bool refused_all, refuses_all; /* it seems to refuse everything: before, and now */
    bool took_before;              /* it took something while runs before found that out */
    bool judged;                   /* what it refuses of this push is known as far as a run goes */
    size_t unsettled;              /* documents among which the place refuses some */
    struct kf_err unsettled_err;
    struct aside aside;
    struct buf lost_streams;   /* keys with a NUL each: of them the place has lost a file */
    struct kf_pending pending; /* after a failure */
    int64_t retry_ms;          /* the place asks to be left alone for so long; 0 = it does not */
};
/* Passes rc on and notes a failure as the store's. */
kf_rc run_local(struct run *run, kf_rc rc);
/* Starts a run. On the loop's thread; the entry is neither running nor removed. A failure is noted
 * like one of the run. `cause`: where nobody asked for it. */
void run_start(struct remote_entry *e, enum run_kind kind, const char *cause);
/* What remotes.c and hydrate.c do with a run that ended. */
void remotes_run_ended(struct run *run);
void hydrate_run_ended(struct run *run);
/* From here on a change is behind the snapshot, and the next run's. */
void run_note_snapshot(struct run *run, int64_t seq);
/* Opens a connection. Blocking from here on. */
kf_rc entry_connect(struct remote_entry *e, struct remote **ret, struct kf_err *err);

/* --- remotes_push.c */
/* Pushes what is above the watermark, on top of what was pulled, and what was withheld below it;
 * run->seq is then the number up to which everything is there or withheld. *ret_any: the place has
 * taken or refused something, so it was looked at. KF_CONFLICT as push of the kind: some of it may
 * be there. */
kf_rc run_push(struct run *run, struct remote *remote, int64_t watermark, bool *ret_any,
               struct kf_err *err);

/* --- remotes_take.c */
struct take;
/* For one pull of a run. */
kf_rc take_new(struct run *run, struct take **ret, struct kf_err *err);
struct remote_sink *take_sink(struct take *t);
/* Merges the rest and judges what was bad. With run->since "" *ret_watermark is the number below
 * which nothing is pending, for the remote has it; otherwise the run's own. */
kf_rc take_finish(struct take *t, int64_t *ret_watermark, struct kf_err *err);
/* Whether the last pull found a version of this document that could not be read and is later than
 * `stamp`. */
bool take_left_unread(const struct run *run, str name, int64_t stamp);
void take_free(struct take *t);

/* --- remotes_past.c */
void remotes_past_init(struct remotes *r);

/* --- remotes_unread.c */
/* What the pull of a run has left unread: remembered here and in the store. Blocking. */
kf_rc unread_note(struct run *run, struct kf_err *err);
/* What the store remembers, into memory. */
kf_rc unread_load(struct remote_entry *e, struct kf_err *err);
/* Out of memory: the remote goes, or its store was replaced. */
void unread_forget(struct remote_entry *e);

/* --- remotes_pending.c */
/* What of streams is above the watermark, as documents would be: entries, and changes of
 * attributes and lives. Stops at the first code that is not KF_OK, which it returns. */
kf_rc pending_streams(const struct remote_entry *e, struct db *db, int64_t watermark,
                      doc_visit *visit, void *ctx, struct kf_err *err);
/* A stream_floor; ctx = the remotes. */
int64_t remotes_floor(void *ctx, str key);
kf_rc pending_of(struct remote_entry *e, int64_t watermark, struct kf_pending *ret,
                 struct kf_err *err);
/* Items above the watermark, at most `limit`. */
kf_rc pending_count(struct remote_entry *e, int64_t watermark, uint64_t limit, uint64_t *ret,
                    int64_t *ret_seq, struct kf_err *err);
/* From the cache when nothing has changed. */
kf_rc pending_now(struct remote_entry *e, struct kf_pending *ret, struct kf_err *err);
/* Starts a count for those whose `after` may be reached. The loop's. */
void pending_count_soon(struct remotes *r);

/* --- remotes.c, for remotes_shared.c */
/* Takes over what the row says; twice is fine. */
kf_rc entry_adopt(struct remote_entry *e, const struct row *row, struct kf_err *err);
/* Of a row that `remote add` made, ctx = the remotes: an entry, unless there is one. */
kf_rc entry_add_stored(void *ctx, str name, const struct row *row, struct kf_err *err);
kf_rc entry_find_first(struct remote_entry *e, struct kf_err *err);
bool remotes_any(struct remotes *r);
/* Writes down that hydration is on. */
void remotes_mark(struct remotes *r);

/* --- remotes_shared.c; the loop's but shared_answer */
void shared_start(struct remotes *r);
/* Looks at once. */
void shared_soon(struct remotes *r);
/* Of a process that does not run them: asks who does. */
void shared_plan(struct remotes *r);
struct answering {
    struct write write; /* first */
    struct run *run;
};
/* The run has ended for whoever has asked for it. Blocking; on its own thread. */
void shared_answer(struct run *run);

/* --- hydrate.c */
void hydrate_plan(struct remotes *r);

/* --- remotes_wait.c */
/* A run has ended; tell those who waited for it. The loop's. */
void waits_run_ended(struct remotes *r, const struct run *run);
/* Those that wait for a level which the watermark has reached, by whomever. The loop's. */
void waits_reached(struct remotes *r, struct remote_entry *e);
/* An entry goes, or all do. */
void waits_drop(struct remotes *r, uint32_t bit, const struct kf_err *why);
void waits_stop(struct remotes *r);

#endif
