/* stream: append-only sequences of entries under keys, with attributes and statistics.
 *
 * What the public calls do that append, read, list, patch and erase; the calls themselves are in
 * lib/. The rest of this header is for the floors above: router, remotes and backup need more than
 * the public calls give.
 *
 * E1  An entry is appended once per (stream, client id). A retry with the same payload gets the
 *     first number; one with another payload changes nothing. This outlives trimming, a backup and
 *     its restore.
 * E2  Numbers of a stream only grow; none is given twice while the stream lives.
 * E3  An entry, the statistics of its stream and its id appear in one transaction, of one append or
 *     of many. Statistics are those that a recount of the entries would give.
 * E4  What memory shows is durable, written there by `publish` before anybody is told; a window
 *     that went and came back is the same window. Of appends it may have what the tables have not
 *     yet (store/redo.h); who reads the store waits for that.
 * E5  Bytes are compared with their hash when they leave the database. What does not match is
 *     KF_DAMAGED and never served.
 * E6  Nothing is trimmed that a remote which takes the stream has not confirmed.
 * E7  What is erased is not seen any more from the moment its group has committed, and what was
 *     written before does not come back by what others still hold. What others have erased of a
 *     stream that goes on goes in parts, a group each.
 *
 * An entry has a number of the store-wide sequence and needs no row in the journal: it never
 * changes. Creation, attributes and erasure have one (tbl 'stream', key = that of the stream). So
 * what is pending is: journal rows and entries above a watermark.
 *
 * Between stores what a key stands for is a join of three things, which ends in the same state
 * whatever was exchanged in which order, and however often:
 *
 *     entries      a set; one is known by (stamp, site), and the stamps of a site only grow
 *     members      attributes of the top level: of each name the largest (stamp, site, value); one
 *                  that was removed stays, without a value
 *     erasures     {site: stamp}: entries of this site up to this stamp are gone; the larger stamp
 *                  counts
 *
 * Erasing a stream sets for every site the largest stamp that this store has seen of it there, and
 * removes the members that are here. So no clock of another site decides: what was seen is gone for
 * good and everywhere, what was not seen here survives. Of two entries with one client id the one
 * with the smaller (stamp, site) is shown, the other one is kept as its twin: it is shown when the
 * first is erased and it is not.
 *
 * Memory keeps streams that are used: statistics, attributes and the window, within a bound, the
 * least recently used going first and those that were not used for STREAM_IDLE_MS. Lists, pages
 * behind the window and what crosses streams go to the store, where what is told shows a moment
 * before memory has it.
 *
 * Threads: any, unless marked. */
#ifndef KF_SHAPE_STREAM_H
#define KF_SHAPE_STREAM_H

#include "base/config.h"
#include "base/hash.h"
#include "store/store.h"

#define STREAM_ENTRIES_MAX 10000 /* of one append */
#define STREAM_LIMIT_MAX   1000  /* of one list */
#define STREAM_LIMIT       100   /* of one that does not say */
#define STREAM_ID_MAX      255
#define STREAM_KIND_MAX    CONFIG_KIND_MAX
#define STREAM_KINDS_MAX   CONFIG_KINDS_MAX /* different ones in one stream, of appends here */
#define STREAM_ATTRS_MAX   (64 * 1024)      /* bytes of all attributes */
#define STREAM_VALUE_MAX   255              /* of an attribute that can be asked for */
#define STREAM_FILTERS_MAX 8
#define STREAM_LIST_BYTES  ((size_t)16 << 20) /* bodies and attachments of one list */
#define STREAM_ACROSS_MAX  1000               /* streams that one context looks at */
#define STREAM_STEPS_MAX   1000               /* parts of an activity */
#define STREAM_WINDOW      100
#define STREAM_IDLE_MS     (10 * 60 * 1000)

struct streams;

/* `config` (NULL = the defaults) and `space` (may be NULL) must outlive it. memory_bytes: how much
 * of it stays in memory. */
kf_rc streams_new(struct kf_store *store, const struct config *config,
                  const struct config_space *space, uint64_t memory_bytes,
                  struct streams **ret_streams, struct kf_err *err);
/* After store_close, which ends every write. NULL is fine. */
void streams_free(struct streams *streams);

/* --- what the public calls of the same name do, but for passing the store's gate, looking at the
 * place of the result and waiting for remotes */

kf_rc streams_append_submit(struct streams *streams, const char *key,
                            const struct kf_entry_new *entries, size_t count, kf_level level,
                            kf_appended_done *done, void *ctx, struct kf_err *err);
kf_rc streams_entries(struct streams *streams, const char *key, const struct kf_entry_query *query,
                      struct kf_entry_list *ret_list, struct kf_err *err);
/* `sees` (NULL = all), with `ctx`: across streams, entries of those that it says no to are as if
 * they were not there. On the caller's thread. */
typedef bool stream_sees(void *ctx, str key);
kf_rc streams_context(struct streams *streams, const char *key,
                      const struct kf_context_options *options, stream_sees *sees, void *ctx,
                      struct kf_entry_list *ret_list, struct kf_err *err);
/* What is said of a stream that is not there: not_found. */
kf_rc stream_unknown(str key, struct kf_err *err);
kf_rc streams_info(struct streams *streams, const char *key, struct kf_stream_info *ret,
                   struct kf_err *err);
kf_rc streams_list(struct streams *streams, const char *prefix, const char *after, size_t limit,
                   const struct kf_stream_filter *filters, size_t filter_count,
                   struct kf_stream_list *ret_list, struct kf_err *err);
kf_rc streams_erase(struct streams *streams, const char *key, struct kf_receipt *ret,
                    struct kf_err *err);
kf_rc streams_erase_all(struct streams *streams, const char *attribute, const char *value,
                        struct kf_receipt *ret, struct kf_err *err);
/* The receipt of an erasure as things are now: remotes may have confirmed since, and have when they
 * did up to this number; INT64_MAX = all that there is. `again` is what it says of itself. */
kf_rc streams_receipt(struct streams *streams, uint64_t id, bool again, int64_t until,
                      struct kf_receipt *ret, struct kf_err *err);
kf_rc streams_receipts(struct streams *streams, uint64_t before, size_t limit,
                       struct kf_receipt_list *ret_list, struct kf_err *err);
/* How entries lie in time: from the first on in equal parts of step_ms, of which the last one has
 * the latest entry. */
struct stream_activity {
    int64_t from_ms, step_ms;
    size_t steps; /* 0: the stream has no entries */
};
/* ret_counts: room for `steps` (1 to STREAM_STEPS_MAX), of which ret_activity->steps are written:
 * entries in each part. KF_ABSENT: there is no such stream. Cost: a pass over the stream's part of
 * an index; no body is read. */
kf_rc streams_activity(struct streams *streams, const char *key, size_t steps,
                       struct stream_activity *ret_activity, uint64_t *ret_counts,
                       struct kf_err *err);
/* What the configuration says of a stream of this key. Lives as long as the configuration. */
const struct config_stream *streams_rules(const struct streams *streams, str key);
/* stream_search.c */
kf_rc streams_search(struct streams *streams, const char *query, const char *prefix,
                     const struct kf_found *after, size_t limit, struct kf_found_list *ret_list,
                     struct kf_err *err);

/* --- writing without waiting: what the router and kf_append_submit use */

struct stream_new; /* an entry to be appended; stream_internal.h */

/* An append with its own memory. `done` is called once, on the thread that led the group (or on the
 * caller's, before stream_append_submit returns, when it is refused); it reads write.rc, write.err,
 * appended, stream_count and level there, owns `a` from then on and ends with
 * stream_append_free. */
struct stream_append {
    struct write write; /* first */
    struct streams *streams;
    str key;
    struct kf_appended *appended; /* the results: `count` of them */
    size_t count;
    uint64_t stream_count; /* entries the stream has then */
    kf_level wanted, level;
    void (*done)(struct stream_append *a);
    void *ctx;
    /* the module's */
    const struct config_stream *line;
    struct stream_new *entries;
    char *texts;
    size_t added;
    int64_t born;               /* stamp under which it has made the stream; 0 = not */
    struct stream_state *after; /* the stream behind it, for `publish`; NULL = nothing was added */
    int64_t rev_before;         /* of the stream, when it was applied */
    uint64_t hash;              /* of the key */
    _Atomic int refs;           /* `done`'s owner, and `publish` of an early one */
    bool published, told;
};
/* Copies key and entries; checks key, ids, kinds, sizes and JSON before anything is queued, so that
 * bad input costs no transaction. In what it says an entry of several is told by its place. */
kf_rc stream_append_new(struct streams *streams, const char *key,
                        const struct kf_entry_new *entries, size_t count, kf_level level,
                        struct stream_append **ret_append, struct kf_err *err);
void stream_append_submit(struct stream_append *a, void (*done)(struct stream_append *a),
                          void *ctx);
/* Waits for the commit (so a level of memory is exceeded). The results are in `a`, which stays the
 * caller's. Where store_write may be called. */
kf_rc stream_append_run(struct stream_append *a, struct kf_err *err);
void stream_append_free(struct stream_append *a);

/* kf_stream_patch without the gate and without waiting for remotes. *ret_level: memory or disk. */
kf_rc streams_patch(struct streams *streams, const char *key, const void *patch, size_t len,
                    struct kf_stream_info *ret, struct kf_err *err);

/* --- reading from memory only: the loop's fast path. KF_OK and the result, as the public call
 * would give it, or KF_ABSENT when memory alone cannot say (which says nothing about the store). No
 * system call, no wait. A query that is not usable is KF_ABSENT, too. */
kf_rc streams_peek(struct streams *streams, str key, const struct kf_entry_query *query,
                   struct kf_entry_list *ret_list);
kf_rc streams_peek_context(struct streams *streams, str key,
                           const struct kf_context_options *options,
                           struct kf_entry_list *ret_list);
kf_rc streams_peek_info(struct streams *streams, str key, struct kf_stream_info *ret);

/* --- what remotes, backup and digest read: in the caller's snapshot; visits stop at the first code
 * that is not KF_OK, which they return. */

/* A stream as it stands in the store. Borrowed until the callback returns. */
struct stream_row {
    str key;
    int64_t id;  /* of the stream here; the `stream` of its entries */
    int64_t seq; /* of the last change of its attributes or its life */
    bool there;  /* stream_changes: false = it was erased, and only key and seq count */
    uint64_t count, last_n, bytes;
    int64_t first_at_ms, last_at_ms;
    str kinds, rings, attrs; /* JSON objects */
    int64_t stamp;           /* of the last change of attrs here */
    str site;
};
typedef kf_rc stream_visit(void *ctx, const struct stream_row *row, struct kf_err *err);

/* Streams in the order of keys behind `after`, at most `limit`. *ret_count: rows visited. */
kf_rc stream_heads(struct db *db, str after, size_t limit, stream_visit *visit, void *ctx,
                   size_t *ret_count, struct kf_err *err);
/* Creations, changes of attributes and erasures above number `seq`, in the order of numbers: the
 * latest of each key. */
kf_rc stream_changes(struct db *db, int64_t seq, size_t limit, stream_visit *visit, void *ctx,
                     size_t *ret_count, struct kf_err *err);

/* Members of a key by name, erasures by site; also of a key whose stream is not there. */
struct member_row {
    str name, site;
    str value; /* exact bytes; .p == NULL: it was removed */
    int64_t stamp;
    bool damaged; /* it is none that can be: name it, never pass it on */
};
typedef kf_rc member_visit(void *ctx, const struct member_row *row, struct kf_err *err);
kf_rc stream_members(struct db *db, str key, member_visit *visit, void *ctx, struct kf_err *err);
struct erased_row {
    str site;
    int64_t stamp, at_ms;
    bool damaged; /* as of a member */
};
typedef kf_rc erased_visit(void *ctx, const struct erased_row *row, struct kf_err *err);
kf_rc stream_erasures(struct db *db, str key, erased_visit *visit, void *ctx, struct kf_err *err);
/* Entries of a site up to a stamp that `keep` has removed here, by site; at_ms is 0. */
kf_rc stream_trims(struct db *db, int64_t stream, erased_visit *visit, void *ctx,
                   struct kf_err *err);
/* A client id that was taken, and by what. */
struct once_row {
    str id;
    uint64_t n;
    str asked;  /* what makes a retry the same one: 32 hex digits, or 64 of one from elsewhere */
    bool alone; /* its entry is not there any more */
    int64_t at_ms;
    bool damaged; /* as of a member */
};
typedef kf_rc once_visit(void *ctx, const struct once_row *row, struct kf_err *err);
/* Client ids of a stream behind `after`, in their order, at most `limit`. */
kf_rc stream_ids(struct db *db, int64_t stream, str after, size_t limit, once_visit *visit,
                 void *ctx, size_t *ret_count, struct kf_err *err);
/* Keys of streams, and those that have members or erasures alone, behind `after`, in their order.
 * Appends them to `out`, each with a NUL behind it. */
kf_rc stream_keys(struct db *db, str after, size_t limit, struct buf *out, size_t *ret_count,
                  struct kf_err *err);
/* *ret_id 0: there is no such stream. *ret_last_n: the last number that it gave. */
kf_rc stream_find(struct db *db, str key, int64_t *ret_id, uint64_t *ret_last_n,
                  struct kf_err *err);

struct entry_row {
    str key;        /* of its stream */
    int64_t stream; /* its id */
    uint64_t n;
    int64_t seq, stamp, at_ms; /* the stamp says when it was written, at_ms what the entry says */
    str site, id, kind;
    str hash;   /* 64 hex digits of the body's exact bytes */
    str attach; /* the same of the attachment, "" = none */
    str body;   /* .p == NULL when bodies were not asked for */
    size_t size;
    /* it is none that can be, or the body does not match its hash: name it, never pass it on */
    bool damaged;
    const char *wrong;            /* what is, "its ..."; NULL = nothing */
    bool twin;                    /* it is not shown, for another one has its id */
    int64_t taken, timed, behind; /* this and what follows is the module's */
    uint64_t last_n;
    bool attached;
};
typedef kf_rc entry_visit(void *ctx, const struct entry_row *row, struct kf_err *err);

/* Entries of all streams with seq < number <= until, in the order of numbers, at most `limit`;
 * twins, too. Those of a stream that is being erased are not among them. */
kf_rc stream_entries_since(struct db *db, int64_t seq, int64_t until, size_t limit, bool bodies,
                           entry_visit *visit, void *ctx, size_t *ret_count, struct kf_err *err);
/* Entries of one stream with n > after, by n; without twins, or (`twins`) these alone. */
kf_rc stream_entries_of(struct db *db, int64_t stream, bool twins, uint64_t after, size_t limit,
                        bool bodies, entry_visit *visit, void *ctx, size_t *ret_count,
                        struct kf_err *err);
/* An attachment, appended to `out`, compared with its hash: KF_DAMAGED, also when it is not
 * there. */
kf_rc stream_attachment(struct db *db, str hash, struct buf *out, struct kf_err *err);
/* Numbers of streams, of their entries and of the bytes of those. */
kf_rc stream_totals(struct db *db, uint64_t *ret_streams, uint64_t *ret_entries,
                    uint64_t *ret_bytes, struct kf_err *err);

/* Calls `fault` for each stream whose rows do not agree with each other, whose statistics are not
 * those of a recount, or of which an entry or attachment does not match its hash, perhaps more than
 * once; keys and reasons live as long as the call. *ret_entries, *ret_bytes: found good. Cost: a
 * pass over everything. */
typedef kf_rc stream_fault(void *ctx, str key, const char *what, struct kf_err *err);
kf_rc stream_check(struct db *db, stream_fault *fault, void *ctx, uint64_t *ret_entries,
                   uint64_t *ret_bytes, struct kf_err *err);
/* Adds the lines of the streams to a digest, behind those of the documents; none when there is no
 * stream. docs/formats.md says what they are. KF_DAMAGED. */
kf_rc stream_digest(struct db *db, struct hash_state *digest, struct kf_err *err);
/* The line of one stream, appended to `out`, as a store would have it that holds of it what came
 * into being up to number `until`, and its attributes as they are. Cost: a pass over its
 * entries. */
kf_rc stream_digest_line(struct db *db, str key, int64_t until, struct buf *out,
                         struct kf_err *err);

/* --- what hydration, merge and restore write */

/* What others know of one stream, joined with what is here, inside a group:
 *
 *     stream_take_begin -> stream_take_* in any order -> stream_take_end
 *
 * After the commit streams_forget(key) is called from `publish`, whatever came out. KF_INVALID
 * bad_key, bad_json, bad_archive or KF_LIMIT for what cannot be taken: nothing was changed by that
 * call. After any other failure the group is to fail. */
struct stream_take;
kf_rc stream_take_begin(struct group *g, struct streams *streams, str key,
                        struct stream_take **ret_take, struct kf_err *err);
/* Frees. *ret_changed: something is new here. *ret_more: its erasures went as far as one group
 * goes; the caller takes the same again in the next one, until it is false. */
kf_rc stream_take_end(struct stream_take *take, bool *ret_changed, bool *ret_more,
                      struct kf_err *err);
/* Without writing anything more: the group fails. NULL is fine. */
void stream_take_drop(struct stream_take *take);

enum stream_taken {
    STREAM_SAME,   /* nothing in it is new here, or `keep` has removed it */
    STREAM_TAKEN,  /* it is there now */
    STREAM_LOST,   /* what is here is later; of two entries with one id, earlier: it is a twin */
    STREAM_ERASED, /* it was erased here */
};
struct entry_import {
    uint64_t n; /* kept where it is larger than all here, else it gets the next one */
    int64_t stamp, at_ms;
    str site, id, kind;
    str body;
    str attach; /* bytes; .p == NULL: none */
};
/* *ret_seq: its number in the store, 0 = it is not here. */
kf_rc stream_take_entry(struct stream_take *take, const struct entry_import *import,
                        enum stream_taken *ret, int64_t *ret_seq, struct kf_err *err);
kf_rc stream_take_member(struct stream_take *take, const struct member_row *member,
                         enum stream_taken *ret, struct kf_err *err);
/* Cost: entries that go alone are removed in parts (stream_take_end); all of a stream, as an
 * erasure here does it, in later groups (streams_retain). */
kf_rc stream_take_erasure(struct stream_take *take, const struct erased_row *erased,
                          enum stream_taken *ret, struct kf_err *err);

/* Into a store that is being built beside (restore): in a write transaction of `db`, whose schema
 * was applied. In any order; an entry that is there already is passed over, two under one number
 * are KF_INVALID bad_archive. *seq is the last number of that store, and moves on. What follows
 * from the rows - who is shown of those with one id, statistics, rings, attributes - is reckoned
 * by stream_load_end, as `streams` (NULL: not at all) is configured. */
kf_rc stream_load_entry(struct db *db, str key, const struct entry_import *e, int64_t *seq,
                        struct kf_err *err);
kf_rc stream_load_member(struct db *db, str key, const struct member_row *row, struct kf_err *err);
kf_rc stream_load_erasure(struct db *db, str key, const struct erased_row *row, struct kf_err *err);
/* The last number that it gave. */
kf_rc stream_load_last(struct db *db, str key, uint64_t n, int64_t *seq, struct kf_err *err);
kf_rc stream_load_trim(struct db *db, str key, const struct erased_row *row, int64_t *seq,
                       struct kf_err *err);
/* An id whose entry `keep` has removed. It counts when stream_load_last has said a number that is
 * not below its own. */
kf_rc stream_load_id(struct db *db, str key, const struct once_row *row, int64_t *seq,
                     struct kf_err *err);
kf_rc stream_load_end(struct db *db, struct streams *streams, int64_t *seq, struct kf_err *err);
/* Behind it: the words of all entries into the index. Without it a search reads them, until upkeep
 * has come to them, which a brief owner does not have. Cost: about 5 us an entry. */
kf_rc stream_load_words(struct db *db, struct kf_err *err);

/* Forgets what memory has of a stream; of all (after a swap of the store's file). This and the next
 * take NULL: a store without streams. */
void streams_forget(struct streams *streams, str key);
void streams_forget_all(struct streams *streams);

/* While the store is being filled: appends are taken, reads fail. */
void streams_set_hydrating(struct streams *streams, bool hydrating);

/* --- what is kept, and who asks to keep it */

/* The last number that every remote which takes this stream has confirmed; INT64_MAX when none
 * takes it. Called on any thread, inside a group too: it must not write or wait. NULL (from the
 * start): none takes any. */
typedef int64_t stream_floor(void *ctx, str key);
void streams_set_floor(struct streams *streams, stream_floor *fn, void *ctx);
/* Called behind every commit that may have brought entries of a stream, on the thread that led it,
 * when a reader sees them; key.p == NULL: of any stream. Must not call anything of streams. NULL
 * (from the start): nobody listens; when it is taken away, it is not called any more. */
typedef void stream_changed(void *ctx, str key);
void streams_listen(struct streams *streams, stream_changed *fn, void *ctx);
/* Whether a remote takes it, so that there is somebody to wait for. */
bool streams_taken(struct streams *streams, str key);
/* Where something of the store may still be when it was erased here with a number up to `until`:
 * appends JSON objects, with commas between them, to `out`: {"remote": "host", "state": "pending"}.
 * Once for each list of receipts, on any thread. NULL (from the start): nowhere. */
typedef void stream_holders(void *ctx, int64_t until, struct buf *out);
void streams_set_holders(struct streams *streams, stream_holders *fn, void *ctx);

/* While a backup reads entries at one moment, none that it may need is trimmed. Nests. */
void streams_pin(struct streams *streams);
void streams_unpin(struct streams *streams);

/* Removes what keep: says, ids beyond their time, attachments that nothing names and what an
 * interrupted erasure has left, in slices. Called now and then by the owner of the store, or its
 * chief; not on the loop's thread. */
kf_rc streams_retain(struct streams *streams, struct kf_err *err);
/* What was idle for long goes from memory. Called now and then by every process. */
void streams_sweep(struct streams *streams);

/* How much stays in memory from now on. Any thread. */
void streams_memory_limit(struct streams *streams, uint64_t bytes);
uint64_t streams_memory_bytes(const struct streams *streams);
/* Fills what a status says of the use of streams: windows, and what was counted since open. */
void streams_use(struct streams *streams, struct kf_status *ret);
/* Largest body of an entry. */
uint64_t streams_limit(const struct streams *streams);

#endif
