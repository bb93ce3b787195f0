/* stream_internal: what the files of the streams share; DESIGN.md lists them. */
#ifndef KF_SHAPE_STREAM_INTERNAL_H
#define KF_SHAPE_STREAM_INTERNAL_H

#include "shape/doc.h"
#include "shape/stream.h"
#include "shape/stream_search.h"

#include "base/arena.h"
#include "base/bloom.h"
#include "base/err.h"
#include "base/hooks.h"
#include "base/json.h"
#include "base/mem.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>

#define STREAM_TABLE    "stream" /* kf_journal.tbl */
#define STREAM_SHARDS   16
#define STREAM_MARKS    64
#define STREAM_SITE_LEN STORE_SITE_LEN
/* Numbers from elsewhere beyond this are not believed: nobody has appended so often. */
#define STREAM_N_MAX ((uint64_t)1 << 53)
/* Different kinds in one stream with what came from elsewhere: STREAM_KINDS_MAX of each of so many
 * stores that know nothing of each other's. */
#define STREAM_KINDS_ALL 4096

/* ------------------------------------------------------------------- a stream (stream_state.c) */

struct stream_head {
    /* (id, rev) grows with every change of what the key stands for; rev is the number that the
     * store was at, so that those of different streams can be compared */
    int64_t id, rev;
    int64_t seq, stamp, born;
    uint64_t count, last_n, bytes;
    int64_t first_at, last_at;
    int64_t erased_seq; /* !there: number of the erasure, 0 = there was none */
    bool there;
    char site[STREAM_SITE_LEN + 1]; /* of attrs, as stamp */
};
/* A stream as it stands behind a write, or in a snapshot. Counted, and never changed once made, so
 * that group, memory and readers share it. */
struct stream_state {
    atomic_int refs;
    uint32_t key_len, rings_len, attrs_len, kinds_len;
    struct stream_head head;
    /* key NUL, rings NUL, attrs NUL, kinds: {u64 count, u8 len, name} */
};
struct stream_state *state_keep(struct stream_state *s);
void state_drop(struct stream_state *s); /* NULL is fine */
size_t state_cost(const struct stream_state *s);
/* Of a key that stands for nothing. */
kf_rc state_bare(str key, struct stream_state **ret, struct kf_err *err);
static inline const char *state_data(const struct stream_state *s)
{
    return (const char *)(s + 1);
}
static inline str state_key(const struct stream_state *s)
{
    return (str){state_data(s), s->key_len};
}
static inline str state_rings(const struct stream_state *s)
{
    return (str){state_data(s) + s->key_len + 1, s->rings_len};
}
static inline str state_attrs(const struct stream_state *s)
{
    return (str){state_data(s) + s->key_len + 1 + s->rings_len + 1, s->attrs_len};
}
/* The next kind behind *at (0 = the first): false at the end. */
bool state_kind(const struct stream_state *s, uint32_t *at, str *ret_kind, uint64_t *ret_count);
void state_kinds_json(const struct stream_state *s, struct buf *out);

struct stream_count {
    str kind;
    uint64_t count;
};

/* A stream while it is changed. Texts that it is given are borrowed until draft_end. */
struct stream_draft {
    struct stream_head head;
    str key, rings, attrs;
    struct stream_count *kinds;                /* by name; `few`, until there are more */
    struct stream_count few[STREAM_KINDS_MAX]; /* so that an append allocates nothing */
    size_t kind_count, kind_cap;
    struct buf rings_made;
    bool rings_changed, attrs_changed;
};
/* From what there is; what is not there begins empty. A draft stays where it is. After a failure,
 * too, draft_release. */
kf_rc draft_begin(struct stream_draft *d, const struct stream_state *from, struct kf_err *err);
/* One entry more of this kind; KF_INVALID kind_not_allowed when it would be more than kinds_max
 * kinds, all but one of them there before. */
kf_rc draft_count(struct stream_draft *d, str kind, size_t size, int64_t at_ms, size_t kinds_max,
                  struct kf_err *err);
/* One less; its time is not looked at. */
void draft_uncount(struct stream_draft *d, str kind, size_t size);
/* Puts an entry into a ring of at most `last`. */
kf_rc draft_ring(struct stream_draft *d, str ring, uint32_t last, uint64_t n, int64_t at_ms,
                 str body, struct kf_err *err);
/* Takes entries that go out of all rings; `ns` ascends. */
kf_rc draft_unring(struct stream_draft *d, const uint64_t *ns, size_t count, struct kf_err *err);
/* From a JSON object of numbers; KF_DAMAGED for anything else, KF_NOMEM, both without a sentence.
 * Names live in `arena`. */
kf_rc draft_kinds(struct stream_draft *d, str json, struct arena *arena);
kf_rc draft_end(const struct stream_draft *d, struct stream_state **ret, struct kf_err *err);
void draft_release(struct stream_draft *d);

kf_rc stream_damaged(str key, uint64_t n, struct kf_err *err);
/* A read has met damage: it is logged once since open, or seldom more often. */
void stream_log_damage(struct streams *streams, str key, const struct kf_err *err);

/* ------------------------------------------------------------ inside a group (stream_stage.c)
 *
 * What the writes of the group that runs have made of their streams. Belongs to the leader. */
struct stream_stage {
    uint64_t turn;
    bool whole;
    struct staged *items;
    size_t count, cap;
};
/* The stream as this group has left it so far: borrowed until the next call on the stage. From
 * memory where it can be, else from the store. */
kf_rc stage_get(struct streams *streams, struct group *g, str key, uint64_t hash,
                struct stream_state **ret, struct kf_err *err);
/* The same without the store: NULL when it would have to be asked. Borrowed as well. */
struct stream_state *stage_known(struct streams *streams, struct group *g, str key, uint64_t hash);
/* The stream from now on. */
kf_rc stage_put(struct streams *streams, struct group *g, uint64_t hash, struct stream_state *state,
                struct kf_err *err);
void stage_release(struct stream_stage *stage);

/* ----------------------------------------------------------------------- rows (stream_row.c) */

kf_rc stream_row_load(struct db *db, str key, struct stream_state **ret, struct kf_err *err);
/* Columns of STREAM_COLUMNS from `col` on. */
kf_rc stream_row_state(struct db_stmt *s, int col, struct stream_state **ret, struct kf_err *err);
#define STREAM_COLUMNS                                                               \
    "s.id, s.key, s.rev, s.count, s.last_n, s.bytes, s.first_at, s.last_at, s.seq, " \
    "s.stamp, s.site, s.born, s.kinds, s.rings, s.attrs"
/* Writes the row, new or as it is; rings only where they were changed. */
kf_rc stream_row_insert(struct db *db, const struct stream_state *s, struct kf_err *err);
kf_rc stream_row_count(struct db *db, const struct stream_state *s, bool rings, struct kf_err *err);
kf_rc stream_row_attrs(struct db *db, const struct stream_state *s, struct kf_err *err);
kf_rc stream_row_delete(struct db *db, int64_t id, struct kf_err *err);

/* A statement, constant, with one number. */
kf_rc stream_run(struct db *db, const char *sql, int64_t number, struct kf_err *err);

/* An entry to be written. */
struct entry_record {
    int64_t seq, stream;
    uint64_t n;
    int64_t at_ms, stamp;
    str kind, id, site, hash, body;
    str attach; /* its hash; "" = none */
    bool taken; /* it came from elsewhere */
};
/* The only places where entries come and go. */
kf_rc entry_insert(struct db *db, const struct entry_record *e, struct kf_err *err);
kf_rc entry_delete(struct db *db, int64_t seq, struct kf_err *err);
kf_rc attachment_insert(struct db *db, str hash, str body, struct kf_err *err);
/* Removes it unless an entry names it; *ret_gone. */
kf_rc attachment_delete(struct db *db, str hash, bool *ret_gone, struct kf_err *err);

/* ----------------------------------------------------------------- client ids (stream_once.c) */

/* What is placed moves ids from one table to the other. Belongs to who owns the database. */
struct stream_once {
    bool counted;
    uint64_t there; /* that wait to be moved, when they were counted; an upper bound */
    uint64_t came;  /* since */
    uint64_t max;   /* that may wait; 0 = the default */
    int64_t stream; /* up to this id of this stream the last ones were moved */
    struct buf id;
    atomic_bool off;           /* one of the tables is damaged: what came stays where it is */
    struct once_placing *rows; /* of entries that are placed, to be inserted together */
    size_t count, cap;
    struct arena texts; /* of theirs */
};
void once_release(struct stream_once *once);
/* What is damaged may be another thing by now. On any thread. */
void once_other(struct stream_once *once);
/* False in *ret_new: the id was taken before. */
kf_rc once_insert(struct db *db, int64_t stream, str id, uint64_t n, str hash, int64_t at_ms,
                  bool *ret_new, struct kf_err *err);
/* The same in a group. */
kf_rc once_take(struct streams *streams, struct db *db, int64_t stream, str id, uint64_t n,
                str hash, int64_t at_ms, bool *ret_new, struct kf_err *err);
/* The same of an entry that is placed, which who foretold it has asked for. It is inserted with
 * those that come behind it by once_placed, which says whether all were new, and moves many of them
 * on when that is due; or is dropped. */
kf_rc once_place(struct stream_once *once, int64_t stream, str id, uint64_t n, str hash,
                 int64_t at_ms, struct kf_err *err);
kf_rc once_placed(struct stream_once *once, struct db *db, bool *ret_new, struct kf_err *err);
void once_drop(struct stream_once *once);
/* Of one that is done again from the file. */
kf_rc once_place_again(struct stream_once *once, struct db *db, int64_t stream, str id, uint64_t n,
                       str hash, int64_t at_ms, bool *ret_new, struct kf_err *err);
/* KF_ABSENT without a sentence. */
kf_rc once_find(struct db *db, int64_t stream, str id, uint64_t *ret_n, char ret_hash[HASH_HEX + 1],
                struct kf_err *err);
/* Of an id that is there. */
kf_rc once_set(struct db *db, int64_t stream, str id, uint64_t n, str hash, struct kf_err *err);
kf_rc once_remove(struct db *db, int64_t stream, str id, struct kf_err *err);
/* Up to 1,000 of a stream. */
kf_rc once_remove_some(struct db *db, int64_t stream, bool *ret_any, struct kf_err *err);
/* Those of numbers above the last one of the stream. */
kf_rc once_remove_beyond(struct db *db, int64_t stream, struct kf_err *err);
struct once_aged {
    int64_t stream;
    str after, upto; /* ids from behind the one up to the other */
    uint64_t n;      /* of numbers up to this */
    int64_t before_ms;
};
kf_rc once_remove_aged(struct db *db, const struct once_aged *a, struct kf_err *err);
/* The nth id, from 0, of those behind `after`. */
kf_rc once_nth(struct db *db, int64_t stream, str after, size_t nth, struct buf *ret_id,
               bool *ret_there, struct kf_err *err);

/* ------------------------------------------------------- rows as they can be (stream_whole.c) */

/* Columns of entry_facts: those of entry `e`, and the last number of its stream. */
#define ENTRY_FACTS(last_n)                                                                 \
    "e.stream, e.n, e.seq, e.stamp, e.at, e.site, e.id, e.kind, e.hash, e.attach, e.size, " \
    "e.taken, e.timed, e.behind, " last_n
#define ENTRY_FACTS_COUNT 15
#define STREAM_OWN        INT64_MIN /* `behind` of what was appended here */
/* From the first columns on; key and body are the caller's. */
void entry_facts(struct db_stmt *s, struct entry_row *ret);
/* Every reader of an entry's row goes through this, with the body when it has read that: says what
 * is wrong with it. An attachment is not looked at. */
bool entry_is_whole(struct entry_row *e);
bool once_is_whole(const struct once_row *o);
bool erased_is_whole(const struct erased_row *e);
#define STREAM_NAME_MAX \
    1000 /* bytes of a member's; with a key and a value it is a row of an index */
/* KF_NOMEM. */
kf_rc member_is_whole(const struct member_row *m, bool *ret, struct kf_err *err);
bool site_is_whole(str site);

/* ----------------------------------------------------- when they were appended (stream_order.c)
 */

/* The stamp of the last entry in front of a place (stream, n) that was appended here; 0 = none. An
 * expression of SQL. */
#define ENTRY_BEHIND(stream, n)                                                             \
    "coalesce((SELECT coalesce(p.behind, p.stamp) FROM kf_entry p WHERE p.stream = " stream \
    " AND p.n < " n " ORDER BY p.n DESC LIMIT 1), 0)"

/* The number up to which everything that was appended here has a stamp below `stamp`, and above
 * which nothing has; below the first when there is none. Cost: some twenty looks for a million. */
kf_rc entries_below(struct db *db, int64_t stream, int64_t stamp, int64_t *ret_n,
                    struct kf_err *err);
/* The same for those whose time is that of their stamp, by time. */
kf_rc entries_below_time(struct db *db, int64_t stream, int64_t at_ms, int64_t *ret_n,
                         struct kf_err *err);
/* The entry that was appended here with this stamp, as this site; *ret_seq stays when there is
 * none. */
kf_rc entry_at_stamp(struct db *db, int64_t stream, int64_t stamp, str site, int64_t *ret_seq,
                     struct kf_err *err);
/* The earliest and the latest time of its entries; 0 and 0 when there is none. Either may be
 * NULL. */
kf_rc stream_row_times(struct db *db, int64_t stream, int64_t *ret_first, int64_t *ret_last,
                       struct kf_err *err);
/* Makes *from and *to narrower, both within: no entry from from_ms on and before until_ms is
 * outside of them. 1 and 0: there is none. */
kf_rc entries_between_times(struct db *db, int64_t stream, int64_t from_ms, int64_t until_ms,
                            int64_t *from, int64_t *to, struct kf_err *err);
/* How many there are in each of `steps` parts of time, of step_ms each. */
kf_rc entries_count_times(struct db *db, int64_t stream, int64_t from_ms, int64_t step_ms,
                          size_t steps, uint64_t *ret_counts, struct kf_err *err);

/* ------------------------------------------------------------ what is wanted (stream_want.c) */

/* What is asked of the entries of one stream. */
struct entry_want {
    enum { WANT_FIRST, WANT_LAST, WANT_AFTER, WANT_BEFORE } mode;
    uint64_t n; /* of after, before */
    int64_t from_ms, until_ms;
    str kind; /* .p == NULL: any */
    size_t limit, bytes;
    bool strict;       /* not even one entry beyond `bytes` */
    stream_sees *sees; /* across streams: NULL = all */
    void *sees_ctx;
};
bool want_fits(const struct entry_want *w, uint64_t n, int64_t at_ms, str kind);
/* Whether it asks for the newest alone, so that a window may answer it. */
bool want_newest(const struct entry_want *w);

/* An entry as it is read; borrowed until the callback returns. */
struct entry_seen {
    uint64_t n;
    int64_t at_ms;
    str id, kind, body, attach; /* attach.p == NULL: none */
};
typedef kf_rc entry_see(void *ctx, const struct entry_seen *e, struct kf_err *err);
/* Those that are wanted of stream `id`, by n, each of them whole. `key` is for what it says.
 * *ret_more: as kf_entry_list. */
kf_rc entries_read(struct db *db, int64_t id, str key, const struct entry_want *want,
                   entry_see *see, void *ctx, bool *ret_more, struct kf_err *err);
/* One entry by its number in the store. */
kf_rc entry_read_seq(struct db *db, int64_t seq, str key, entry_see *see, void *ctx,
                     struct kf_err *err);

/* ------------------------------------------------------------------ memory (stream_memory*.c) */

/* Bytes of entries, one behind the other. Whoever counts may read what was there when it began;
 * only the memory of the streams adds behind that. */
struct window_block {
    atomic_int refs;
    uint32_t cap, used;
    _Alignas(8) char data[];
};
struct window_record {
    uint32_t size, prev; /* of this one and of the one before it, in bytes */
    uint64_t n;
    int64_t at_ms;
    uint32_t len, attach_len; /* attach_len 0 = none */
    uint8_t id_len, kind_len;
    /* id NUL kind NUL body NUL attach NUL */
};
void block_drop(struct window_block *b); /* NULL is fine */
void record_seen(const struct window_record *r, struct entry_seen *ret);

/* The newest entries of a stream: a run without a hole up to its last one. */
struct window {
    struct window_block *block; /* NULL when there are none */
    uint32_t first, last;       /* places of records */
    uint32_t count;
    bool limited; /* there would be more, but for the bytes of it */
};
/* Adds an entry behind the others; the oldest go when there are more than `max` or when it is
 * beyond `bytes_max`. On failure the window is empty. */
kf_rc window_add(struct window *w, const struct entry_seen *e, uint32_t max, size_t bytes_max,
                 struct kf_err *err);
void window_clear(struct window *w);
/* The oldest goes. */
void window_pop(struct window *w);
const struct window_record *window_at(const struct window *w, uint32_t place);

struct shard {
    pthread_mutex_t lock;
    pthread_cond_t loaded;
    struct hot_stream **buckets;
    size_t bucket_count, count; /* bucket_count is a power of 2 */
    struct hot_stream *newest, *oldest;
    uint64_t marks[STREAM_MARKS];
    int64_t shown[STREAM_MARKS];       /* to readers of the store: the highest rev */
    atomic_uint_fast64_t hits, misses; /* reads; without the lock */
};
struct stream_memory {
    struct shard shards[STREAM_SHARDS];
    unsigned char seed[crypto_shorthash_KEYBYTES];
    atomic_uint_fast64_t limit, bytes, evicted;
    const struct env *env;
};
kf_rc memory_init(struct stream_memory *m, const struct env *env, uint64_t limit_bytes,
                  struct kf_err *err);
void memory_release(struct stream_memory *m);
uint64_t memory_hash(const struct stream_memory *m, str key);
/* What is durable, as memory has it, counted; NULL when it has nothing. For the leader, who has
 * published every group before. */
struct stream_state *memory_state(struct stream_memory *m, str key, uint64_t hash);

/* What a reader has taken out of memory. */
struct window_view {
    struct stream_state *state;
    struct window window;
};
void view_release(struct window_view *v);
/* Whether memory has the stream, and nothing was told of it that is not durable yet. */
bool memory_view(struct stream_memory *m, str key, uint64_t hash, struct window_view *ret);

/* After a commit, on the leader's thread, in the order of the writes. Entries: those that the write
 * has added to the stream as it was at rev_before; count 0 for any other change. */
void memory_publish(struct stream_memory *m, uint64_t hash, struct stream_state *after,
                    int64_t rev_before, const struct stream_new *entries, size_t count,
                    uint32_t window_max);
/* After any change that is not told in full: what is there goes, and what is being loaded is not
 * kept. */
void memory_forget(struct stream_memory *m, str key, uint64_t hash);
void memory_forget_all(struct stream_memory *m);
/* What others have committed: the key is at revision `rev`, and what memory has goes when it is
 * older; anything up to `seq` may have changed. Both count as shown to a reader. */
void memory_changed(struct stream_memory *m, str key, uint64_t hash, int64_t rev);
void memory_doubt(struct stream_memory *m, int64_t seq);
/* Somebody was told of an append that is not durable; -1: it is, or it has failed. */
void memory_ahead(struct stream_memory *m, str key, uint64_t hash, int by);
void memory_limit(struct stream_memory *m, uint64_t limit_bytes);
/* What was not used since STREAM_IDLE_MS goes. */
void memory_sweep(struct stream_memory *m);
/* A read of entries was answered by memory alone, or was not. */
void memory_count(struct stream_memory *m, uint64_t hash, bool hit);
/* Fills what a status says of windows. */
void memory_use(struct stream_memory *m, struct kf_status *ret);

/* A snapshot has shown this of the stream: memory shows nothing older any more. Called before the
 * reader is answered. */
void memory_saw(struct stream_memory *m, const struct stream_state *state, uint64_t hash);

/* Single flight. True: the caller loads, and ends with memory_loaded whatever becomes of it. False:
 * somebody else has loaded meanwhile. */
bool memory_load_begin(struct stream_memory *m, str key, uint64_t hash, uint64_t *ret_mark,
                       struct kf_err *err, kf_rc *ret_rc);
/* `state` (NULL: it could not be read) and window as a snapshot had them; both are taken over. */
void memory_loaded(struct stream_memory *m, str key, uint64_t hash, uint64_t mark,
                   struct stream_state *state, struct window *window, uint32_t window_max);

/* -------------------------------------------------------------------- loading (stream_load.c) */

/* memory_view, unless memory may be behind what others have committed. */
bool stream_view_hot(struct streams *streams, str key, uint64_t hash, struct window_view *ret);
/* The stream and its window: from memory, or loaded into it. Absent: KF_ABSENT without a
 * sentence. */
kf_rc stream_view(struct streams *streams, str key, uint64_t hash, struct window_view *ret,
                  struct kf_err *err);

/* ------------------------------------------------------------------------ the object (stream.c) */

struct stream_new {
    str id, kind, body, attach; /* attach.p == NULL: none */
    int64_t at_ms;              /* as it was given; 0 = now */
    char hash[HASH_HEX + 1], attach_hash[HASH_HEX + 1];
    char asked[HASH_HEX / 2 + 1]; /* what makes two of them the same one */
    /* of apply */
    bool is_new;
    uint64_t n;
    int64_t at;
};

/* What trimming may have left behind (stream_left.c): rows of the index, attachments that nothing
 * names. */
enum stream_left { LEFT_WORDS, LEFT_ATTACHED, LEFT_COUNT };
struct stream_left_of {
    atomic_bool any;
    uint64_t turn; /* of the group that has told of it last; the leader's */
    char seen[24]; /* what kf_meta said when it was looked at last; of who takes it away */
};

/* --- appends that are told before the database has them: stream_foretell.c, stream_place.c */

/* Entries and bytes of one append; more are as quick with a commit. */
#define STREAM_FORETOLD_MAX   64
#define STREAM_FORETOLD_BYTES ((size_t)256 << 10)
enum { FORETOLD_NUMBERS = 4, FORETOLD_TEXTS = 8 };
#define FORETOLD_HEAD (8 * FORETOLD_NUMBERS + 4 * FORETOLD_TEXTS)
#define FORETOLD_NONE UINT32_MAX
/* An entry as it is foretold; stream_foretell.c draws its bytes. What is not there has no p: id,
 * kind and what was asked may be missing, attachment and its hash together. */
struct foretold_entry {
    int64_t stamp, stream, n, at;
    str key, id, kind, body, hash, attach, attach_hash, asked;
};
void foretold_entry_say(const struct foretold_entry *e, struct buf *out);
/* KF_DAMAGED when the bytes are none. What is given lies in them. */
kf_rc foretold_entry_parse(str bytes, struct foretold_entry *ret, struct kf_err *err);
/* Client ids that are there (stream_ids.c). */
struct stream_ids {
    struct bloom known;     /* has all that are there; without words there is none */
    struct bloom next;      /* is being filled */
    uint64_t content, turn; /* of the store, that they are of; of the group that saw to it last */
    uint64_t count, room;   /* of the one that was begun last: that it was told; made for */
    uint64_t known_room;    /* of the other, when there is one */
    bool off;               /* none could be filled; since */
    int64_t off_ms;
    bool read_new; /* kf_entry_once_new was read; up to this id of the one that is: */
    int64_t stream;
    struct buf id;
    size_t rows; /* that are read at once; 0 = the default */
};
void ids_release(struct stream_ids *ids);
void ids_add(struct stream_ids *ids, uint64_t hash);
/* False: it is not there. In a group that is foretold; begins or goes on with reading them. */
bool ids_may_have(struct streams *streams, struct group *g, uint64_t hash);
/* Of an id of a stream. */
uint64_t stream_id_hash(const struct streams *streams, int64_t stream, str id);

/* Ids that were told and are perhaps not committed. */
struct stream_foretold {
    struct id_slot *slots;
    size_t cap, used;
    uint64_t content; /* of the store, that they are of */
};
void foretold_release(struct stream_foretold *f);
/* Adds all that is noted, and more. */
void foretold_each(const struct stream_foretold *f, struct stream_ids *ids);
/* `foretell` of an append. */
kf_rc stream_append_foretell(struct group *g, struct write *write, struct kf_err *err);
/* A struct store_placing of the streams. */
kf_rc stream_place(void *streams, struct group *g, str bytes, struct kf_err *err);
kf_rc stream_place_end(void *streams, struct db *db, struct kf_err *err);
void stream_place_drop(void *streams);
kf_rc stream_place_pass(void *streams, struct group *g, str bytes, struct kf_err *err);
uint64_t stream_place_of(str bytes);

struct streams {
    struct kf_store *store;
    const struct config *config;
    const struct config_space *space;
    uint64_t limit_entry;
    struct stream_memory memory;
    struct stream_stage stage;
    struct stream_foretold foretold;
    struct placed *placed; /* stream_place.c */
    struct stream_once once;
    struct stream_ids ids;
    struct stream_index index;
    atomic_bool hydrating;
    atomic_uint_fast64_t told[64]; /* damage that was logged since open */
    struct stream_left_of left[LEFT_COUNT];
    atomic_int pins;
    atomic_uint_fast64_t appended, duplicates, searches, search_us, erasures; /* since open */
    pthread_mutex_t asks_lock;
    stream_floor *floor;
    void *floor_ctx;
    stream_holders *holders;
    void *holders_ctx;
    pthread_mutex_t listen_lock; /* of the next two; those who are told take locks behind it */
    stream_changed *listener;
    void *listener_ctx;
};

kf_rc streams_key(const char *key, str *ret, struct kf_err *err);
/* Of a stream that is written to: at a remote it must not be taken for something else. */
kf_rc streams_key_own(const char *key, str *ret, struct kf_err *err);
/* To the listener: this stream has changed; key.p == NULL: any may have. */
void streams_tell(struct streams *streams, str key);
/* KF_NOT_HYDRATED; `key` may be empty: nothing was named. */
kf_rc streams_not_hydrated(str key, struct kf_err *err);
bool streams_pinned(const struct streams *streams);
/* Numbers up to which entries of this stream may go. */
int64_t streams_floor_of(struct streams *streams, str key);

/* Behind each number of a group under which the stream of the draft changes. */
void stream_draft_moved(struct stream_draft *d, struct group *g);
/* Makes the row of a stream that is not there yet, or writes what a draft has made of one; its
 * journal row where the draft has another seq. */
kf_rc stream_write_state(struct streams *streams, struct group *g, uint64_t hash,
                         const struct stream_state *before, struct stream_draft *d,
                         struct stream_state **ret_after, struct kf_err *err);
/* What makes two entries of one id the same one; at_ms as it was given. */
void stream_asked(str kind, int64_t at_ms, const char *hash, const char *attach_hash,
                  char out[HASH_HEX / 2 + 1]);
/* The same of an entry from elsewhere, of which nobody knows whether its time was told or is that
 * of its append: without it and with it, one behind the other. */
void stream_asked_there(str kind, int64_t at_ms, const char *hash, const char *attach_hash,
                        char out[HASH_HEX + 1]);
/* The same for one from elsewhere, where its kind may have no ring, and which may be deeper than
 * one takes: then it is in none. */
kf_rc stream_add_rings_there(const struct config_stream *line, struct stream_draft *d, str kind,
                             uint64_t n, int64_t at_ms, str body, struct kf_err *err);
/* A body in a ring stands so much deeper. */
#define STREAM_RING_DEPTH 3
bool stream_has_ring(const struct config_stream *line, str kind);
/* An entry more at the end: statistics, number, rings. */
kf_rc stream_draft_entry(const struct config_stream *line, struct stream_draft *d, str kind,
                         uint64_t n, int64_t at_ms, str body, struct kf_err *err);
/* As before it was applied. */
void stream_append_anew(struct stream_append *a);
/* Puts an entry into the rings that the configuration has for its kind. */
kf_rc stream_add_rings(const struct config_stream *line, struct stream_draft *d, str kind,
                       uint64_t n, int64_t at_ms, str body, struct kf_err *err);
/* Begins the life of a key in a draft: id, number, stamp. */
void draft_be_born(struct stream_draft *d, struct group *g, int64_t stamp);

/* ------------------------------------------------------------------ information (stream_list.c) */

kf_rc info_of_state(struct stream_state *state, struct kf_stream_info *ret, struct kf_err *err);

/* ------------------------------------------------------------------------ lists (stream_read.c) */

/* `owned` of a kf_entry_list. */
struct entries;
kf_rc entries_new(str key, size_t cap, struct entries **ret, struct kf_err *err);
void entries_free(struct entries *list);
/* Of the entries that are added from now on. */
kf_rc entries_key(struct entries *list, str key, struct kf_err *err);
/* Adds a copy. */
kf_rc entries_copy(void *list, const struct entry_seen *e, struct kf_err *err);
/* of: the stream that all of them are of; NULL = of several. */
void entries_give(struct entries *list, const struct stream_state *of, bool more,
                  struct kf_entry_list *ret);
/* Of all streams with the value of the attribute that this one has (stream_across.c). */
kf_rc stream_across(struct streams *streams, str key, str attribute, const struct entry_want *want,
                    struct kf_entry_list *ret_list, struct kf_err *err);
/* From memory alone: false when it cannot say. *ret_rc: of making the list. */
bool entries_of_view(struct window_view *v, const struct entry_want *want,
                     struct kf_entry_list *ret_list, kf_rc *ret_rc, struct kf_err *err);

/* --------------------------------------------------------------------- erasing (stream_erase.c) */

/* Up to which stamp entries of a site are erased; 0 = none. */
kf_rc erased_stamp(struct db *db, str key, str site, int64_t *ret, struct kf_err *err);
/* What is erased of a site from now on. */
kf_rc erased_put(struct db *db, str key, const struct erased_row *row, int64_t seq,
                 struct kf_err *err);
/* The number under which the journal has a key whose stream is not there. */
kf_rc erased_mark(struct db *db, str key, int64_t seq, struct kf_err *err);
/* The stream ends in this group: its entries are left for the slices. */
kf_rc stream_end(struct streams *streams, struct group *g, uint64_t hash,
                 const struct stream_state *before, int64_t erased_seq, int64_t receipt,
                 struct kf_err *err);

/* -------------------------------------------------------- what is left of them (stream_rest.c) */

/* In the group that ends a stream: its entries and twins are left, of this erasure. */
kf_rc rest_note(struct db *db, int64_t stream, int64_t receipt, struct kf_err *err);
/* Removes what erasures have left, whosever, and its words from the bytes of the index. What is
 * damaged is passed over; when it is of this receipt (0: of any) it is told in the end. */
kf_rc streams_erase_rest(struct streams *streams, int64_t receipt, struct kf_err *err);

/* ------------------------------------------------------- receipts of them (stream_receipt.c) */

/* The hash of what was asked for: `what`, and the one or two texts that name it. */
void receipt_subject(const char *what, str a, str b, char out[HASH_HEX + 1]);
/* The latest of this subject. KF_ABSENT without a sentence. */
kf_rc receipt_find(struct db *db, const char *subject, int64_t *ret, struct kf_err *err);
/* An empty one, in the group that erases. */
kf_rc receipt_new(struct group *g, const char *subject, int64_t id, struct kf_err *err);
/* What was erased, added to it. */
kf_rc receipt_count(struct db *db, int64_t id, uint64_t streams, uint64_t entries,
                    uint64_t attachments, uint64_t bytes, struct kf_err *err);
/* Tells the caller of an erasure, whose receipt it is; `again`: nothing was erased, it is that of
 * an earlier one. ret may be NULL. */
kf_rc receipt_give(struct streams *streams, int64_t id, bool again, struct kf_receipt *ret,
                   struct kf_err *err);

/* ------------------------------------------------------------------- the index (stream_find.c) */

/* Behind the entries of an append, in its group. */
kf_rc streams_index_append(struct streams *streams, struct group *g, const struct stream_append *a,
                           struct kf_err *err);
/* Of entries that are being erased. */
struct entries_going;
kf_rc entries_unindex(struct streams *streams, struct db *db, const struct entries_going *going,
                      struct kf_err *err);
/* What no append has brought up, and what it has of trimmed entries. In slices, as the next. */
kf_rc streams_index_retain(struct streams *streams, struct kf_err *err);
/* What it has of erased ones; all of it, and it is brought up anew, when it is damaged. */
kf_rc streams_index_purge(struct streams *streams, struct kf_err *err);

/* ------------------------------------------------------------- entries that go (stream_going.c) */

#define STREAM_GOING_MAX 128
/* Entries that are about to go: read by whoever finds them, then removed together. */
struct entries_going {
    struct arena arena;
    size_t count;
    struct going {
        int64_t seq, at_ms, stamp;
        uint64_t n;
        str kind, attach, site, id;
        size_t size;
        bool twins; /* there are some of its id */
    } items[STREAM_GOING_MAX];
};
/* The oldest by number of the stream, up to the first above number `floor` of the store. */
kf_rc entries_oldest(struct db *db, int64_t stream, int64_t floor, size_t limit,
                     struct entries_going *ret, struct kf_err *err);
/* The oldest by time before `before_ms` of which the number in the store is not above `floor`. */
kf_rc entries_before(struct db *db, int64_t stream, int64_t floor, int64_t before_ms,
                     struct entries_going *ret, struct kf_err *err);
/* Those of a site up to a stamp, the earliest first. */
kf_rc entries_erased(struct db *db, int64_t stream, str site, int64_t stamp,
                     struct entries_going *ret, struct kf_err *err);
/* Entries of a site up to a stamp are trimmed from now on; the larger stamp counts. */
kf_rc trimmed_put(struct db *db, int64_t stream, str site, int64_t stamp, struct kf_err *err);
/* Rows, statistics and rings; attachments are left for later. */
kf_rc entries_remove(struct streams *streams, struct group *g, struct stream_draft *d,
                     struct entries_going *going, struct kf_err *err);
/* What `keep` removes: entries with what is noted of them, and with them those of their twins of
 * which the number in the store is not above `floor`. */
kf_rc entries_trim(struct streams *streams, struct group *g, struct stream_draft *d, int64_t floor,
                   struct entries_going *going, struct kf_err *err);
/* Twins of which the entry is not there any more, for `keep` has removed it: they came later, or
 * were above the floor then. Cost: a look at each twin of the stream. */
kf_rc twins_alone(struct db *db, int64_t stream, int64_t floor, struct entries_going *ret,
                  struct kf_err *err);
kf_rc twins_trim(struct streams *streams, struct group *g, int64_t stream,
                 const struct entries_going *twins, struct kf_err *err);

/* ------------------------------------------------------------------------ kept (stream_keep.c) */

/* With an append of so many: what is beyond keep.last goes, about as much as came. */
kf_rc stream_trim(struct streams *streams, struct group *g, const struct config_stream *line,
                  size_t added, struct stream_draft *d, struct kf_err *err);

/* --------------------------------------------------------- damaged streams (stream_bones.c) */

/* The stream `key`, there, with as much of it as an erasure needs: id, number of its last change,
 * count and bytes of its entries; no attributes. KF_DAMAGED when not even that is known. */
kf_rc stream_bones(struct db *db, str key, struct stream_state **ret, struct kf_err *err);

/* ------------------------------------------------------- entries by their sites (stream_site.c) */

struct site_row {
    char site[STREAM_SITE_LEN + 1];
    int64_t stamp; /* the largest */
};
typedef kf_rc site_visit(void *ctx, const struct site_row *row, struct kf_err *err);
/* Of the entries of a stream (twins: of its negative), by site; what cannot be a site, for it has
 * another length, is visited as "". `visit` may read. Cost: a few steps for each site. */
kf_rc entries_sites(struct db *db, int64_t stream, site_visit *visit, void *ctx,
                    struct kf_err *err);
/* The same without what cannot be a site. */
kf_rc entries_sites_whole(struct db *db, int64_t stream, site_visit *visit, void *ctx,
                          struct kf_err *err);
/* Likewise of what was trimmed of it. */
kf_rc trimmed_sites(struct db *db, int64_t stream, site_visit *visit, void *ctx,
                    struct kf_err *err);
/* Numbers in the store of the entries of a stream, of its twins, too, in the order of (stamp,
 * site). `visit` may read and write, and hide or remove the entry. */
typedef kf_rc seq_visit(void *ctx, int64_t seq, struct kf_err *err);
kf_rc entries_by_stamp(struct db *db, int64_t stream, bool twins, seq_visit *visit, void *ctx,
                       struct kf_err *err);
/* How far the erasure (site, stamp) of a stream goes with about `limit` of its entries and twins:
 * *ret_stamp, not above `stamp`, covers *ret_count of them. */
kf_rc erasure_part(struct db *db, int64_t stream, str site, int64_t stamp, size_t limit,
                   int64_t *ret_stamp, size_t *ret_count, struct kf_err *err);

/* -------------------------------------------------------- what was appended here (stream_own.c) */

/* Entries one behind the other, but for those from elsewhere, that were appended under one site. */
struct own_run {
    char site[STREAM_SITE_LEN + 1]; /* "" = what cannot be one */
    int64_t stamp;                  /* of the last */
    int64_t first, last;            /* their numbers */
};
typedef kf_rc own_visit(void *ctx, const struct own_run *run, struct kf_err *err);
kf_rc own_runs(struct db *db, int64_t stream, own_visit *visit, void *ctx, struct kf_err *err);
/* The numbers behind *ret_from and up to *ret_to have all that was appended under this site with
 * stamps up to `stamp`; *ret_from is not below *ret_to when there is nothing. Cost: a few steps,
 * unless the store has had several sites. */
kf_rc own_numbers(struct db *db, int64_t stream, str site, int64_t stamp, int64_t *ret_from,
                  int64_t *ret_to, struct kf_err *err);

/* ------------------------------------------------------------------- attributes (stream_attr.c) */

/* Of the object that all members make. */
extern const struct json_limits attrs_limits;
/* Makes kf_stream_attr of stream `id` what `attrs` says, knowing what it was. */
kf_rc attrs_index(struct db *db, str key, int64_t id, str before, str attrs, struct kf_err *err);
/* Nothing is found under the attributes of the stream any more, whatever they were. */
kf_rc attrs_forget(struct db *db, str key, struct kf_err *err);
/* What a patch has made of the members that it names: written by this site, under `stamp`. */
kf_rc members_patch(struct group *g, str key, str patch, str before, str after, int64_t stamp,
                    struct kf_err *err);
/* The largest stamp of a member; 0 = there is none. */
kf_rc members_stamp(struct db *db, str key, int64_t *ret, struct kf_err *err);
kf_rc member_put(struct db *db, str key, const struct member_row *m, struct kf_err *err);
/* Whether both engines can keep and index a name: too_large, bad_archive (a NUL byte). */
kf_rc member_check(str name, struct kf_err *err);
/* All that are there are removed by this site, later than any of them. */
kf_rc members_remove(struct group *g, str key, struct kf_err *err);
/* The object that they make, by name. */
kf_rc members_object(struct db *db, str key, struct buf *out, struct kf_err *err);
/* Whether a statement over (name, value, key, stream) has a row for each attribute that can be
 * asked for. KF_DAMAGED: they are no attributes. */
kf_rc attrs_each(struct db *db, const char *sql, str attrs, str key, int64_t id, bool *ret_all,
                 struct kf_err *err);
/* The text of an attribute that can be asked for, in the arena. .p == NULL: it has none such. */
/* Whether it is an object. KF_NOMEM. */
kf_rc attrs_whole(str attrs, bool *ret, struct kf_err *err);
kf_rc attrs_value(str attrs, str name, struct arena *arena, str *ret, struct kf_err *err);

/* --- stream_left.c */

/* Inside apply: something was left. */
kf_rc left_note(struct streams *streams, struct group *g, enum stream_left what,
                struct kf_err *err);
/* Takes in what other processes have told of. For who takes away: before left_take. */
kf_rc left_look(struct streams *streams, struct kf_err *err);
/* Whether anything is left, and that it is being taken away; left_again when that has failed. */
bool left_take(struct streams *streams, enum stream_left what);
void left_again(struct streams *streams, enum stream_left what);

#endif
