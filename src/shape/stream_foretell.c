/* Appends that are told before the database has them (store/redo.h): what they will do is decided
 * from memory, and said in bytes that stream_place.c does later, or after a crash.
 *
 * Only what is as good as always so is decided here: entries with new ids, to a stream that is
 * there, of which nothing is trimmed. Everything else (a retry, a refusal, a new stream) is left to
 * `apply`, which asks the database.
 *
 * An append says each of its entries, little-endian:
 *
 *      0  i64  stamp
 *      8  i64  the stream's id
 *     16  i64  number in the stream
 *     24  i64  time
 *     32  u32  bytes of: key, id, kind, body, its hash, attachment, its hash, what was asked
 *              (8 numbers; 2^32-1 = none)
 *     64       each of them, with a NUL behind it
 *
 * An id is new when neither the store has it nor any entry that was told and is not committed yet.
 * The first is known (stream_ids.c) or asked in a snapshot, the second asked of a table here. The
 * same goes for the row of a stream that memory does not have: the snapshot's counts unless
 * something was told of the stream since (memory may have had it then, and dropped it).
 *
 *     slots, a power of 2:  { hash of (stream, id), or of the key | number of the store }
 *
 * A slot counts while its number is above what is committed. Two of one hash cost a look by
 * `apply`, and nothing else. Belongs to the leader. */
#include "shape/stream_internal.h"

#include "base/le.h"

#define SLOTS_MIN 1024

/* ------------------------------------------------------------------------------ what was told */

struct id_slot {
    uint64_t hash; /* 0 = free */
    int64_t seq;
};

void foretold_release(struct stream_foretold *f)
{
    mem_free(f->slots);
    *f = (struct stream_foretold){0};
}

static struct id_slot *slot_of(const struct stream_foretold *f, uint64_t hash)
{
    size_t at = (size_t)hash & (f->cap - 1);
    while (f->slots[at].hash && f->slots[at].hash != hash)
        at = (at + 1) & (f->cap - 1);
    return &f->slots[at];
}

/* What is committed goes, and there is room for one more, twice over. */
static kf_rc tidy(struct stream_foretold *f, int64_t committed, struct kf_err *err)
{
    struct stream_foretold old = *f;
    size_t live = 0, cap = SLOTS_MIN;
    for (size_t i = 0; i < old.cap; i++)
        live += old.slots[i].hash && old.slots[i].seq > committed;
    while (cap < 4 * (live + 1))
        cap *= 2;
    f->slots = mem_calloc(cap, sizeof *f->slots);
    if (!f->slots) {
        f->slots = old.slots;
        return err_nomem(err);
    }
    f->cap = cap;
    f->used = live;
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].hash && old.slots[i].seq > committed)
            *slot_of(f, old.slots[i].hash) = old.slots[i];
    mem_free(old.slots);
    return KF_OK;
}

static kf_rc note(struct stream_foretold *f, uint64_t hash, int64_t seq, int64_t committed,
                  struct kf_err *err)
{
    if (2 * f->used >= f->cap) {
        kf_rc rc = tidy(f, committed, err);
        if (rc != KF_OK)
            return rc;
    }
    struct id_slot *slot = slot_of(f, hash);
    f->used += !slot->hash;
    *slot = (struct id_slot){hash, seq};
    return KF_OK;
}

static bool is_noted(const struct stream_foretold *f, uint64_t hash, int64_t committed)
{
    return f->cap && slot_of(f, hash)->hash && slot_of(f, hash)->seq > committed;
}

/* Numbers of another content begin anew, and nothing of the table means it. */
static void begin_with(struct stream_foretold *f, uint64_t content)
{
    if (content != f->content)
        foretold_release(f);
    f->content = content;
}

void foretold_each(const struct stream_foretold *f, struct stream_ids *ids)
{
    for (size_t i = 0; i < f->cap; i++)
        if (f->slots[i].hash)
            ids_add(ids, f->slots[i].hash);
}

uint64_t stream_id_hash(const struct streams *streams, int64_t stream, str id)
{
    uint64_t hash = memory_hash(&streams->memory, id) ^ (uint64_t)stream * 0x9e3779b97f4a7c15u;
    return hash ? hash : 1;
}

static uint64_t hash_of_key(uint64_t hash)
{
    hash = ~hash * 0x9e3779b97f4a7c15u;
    return hash ? hash : 1;
}

/* KF_ABSENT: it may be there. *ret_hash = 0: there is none. */
static kf_rc check_id_new(struct streams *streams, struct group *g, int64_t stream, str id,
                          uint64_t *ret_hash, struct kf_err *err)
{
    struct db *db;
    char asked[HASH_HEX + 1];
    uint64_t n;
    *ret_hash = 0;
    if (!id.len)
        return KF_OK;
    *ret_hash = stream_id_hash(streams, stream, id);
    if (is_noted(&streams->foretold, *ret_hash, group_committed(g)))
        return KF_ABSENT;
    if (!ids_may_have(streams, g, *ret_hash))
        return KF_OK;
    kf_rc rc = group_look(g, &db, err);
    if (rc == KF_OK)
        rc = once_find(db, stream, id, &n, asked, err);
    return rc == KF_ABSENT ? KF_OK : KF_ABSENT;
}

/* --------------------------------------------------------------------------------- what is said */

void foretold_entry_say(const struct foretold_entry *e, struct buf *out)
{
    const int64_t numbers[FORETOLD_NUMBERS] = {e->stamp, e->stream, e->n, e->at};
    const str texts[FORETOLD_TEXTS] = {e->key,  e->id,     e->kind,        e->body,
                                       e->hash, e->attach, e->attach_hash, e->asked};
    char head[FORETOLD_HEAD];
    for (size_t i = 0; i < FORETOLD_NUMBERS; i++)
        le_put64(head + 8 * i, (uint64_t)numbers[i]);
    for (size_t i = 0; i < FORETOLD_TEXTS; i++)
        le_put32(head + 8 * FORETOLD_NUMBERS + 4 * i,
                 texts[i].p ? (uint32_t)texts[i].len : FORETOLD_NONE);
    buf_add(out, head, sizeof head);
    for (size_t i = 0; i < FORETOLD_TEXTS; i++) {
        buf_str(out, texts[i]);
        buf_byte(out, '\0');
    }
}

static void say(const struct stream_append *a, const struct stream_new *e, int64_t stamp,
                int64_t stream, struct buf *out)
{
    const struct foretold_entry entry = {
        .stamp = stamp,
        .stream = stream,
        .n = (int64_t)e->n,
        .at = e->at,
        .key = a->key,
        .id = e->id,
        .kind = e->kind,
        .body = e->body,
        .hash = str_of(e->hash),
        .attach = e->attach,
        .attach_hash = str_of(e->attach_hash),
        .asked = str_of(e->asked),
    };
    foretold_entry_say(&entry, out);
}

static kf_rc foretell_entry(struct group *g, struct stream_append *a, struct stream_draft *d,
                            size_t i, struct kf_err *err)
{
    struct stream_new *e = &a->entries[i];
    uint64_t hash;
    kf_rc rc = check_id_new(a->streams, g, d->head.id, e->id, &hash, err);
    if (rc != KF_OK)
        return rc;
    e->n = d->head.last_n + 1;
    e->at = e->at_ms ? e->at_ms : group_now_ms(g);
    rc = stream_draft_entry(a->line, d, e->kind, e->n, e->at, e->body, err);
    if (rc != KF_OK)
        return rc;
    struct buf *out = group_foretold(g);
    int64_t seq = group_seq(g);
    stream_draft_moved(d, g);
    say(a, e, group_stamp(g), d->head.id, out);
    group_foretold_end(g);
    if (hash && !KF_SABOTAGE("told-id-not-added"))
        ids_add(&a->streams->ids, hash);
    if (hash && !KF_SABOTAGE("foretold-id-not-noted"))
        rc = note(&a->streams->foretold, hash, seq, group_committed(g), err);
    if (rc == KF_OK && !KF_SABOTAGE("foretold-stream-not-noted"))
        rc = note(&a->streams->foretold, hash_of_key(a->hash), seq, group_committed(g), err);
    e->is_new = true;
    a->added++;
    a->appended[i] = (struct kf_appended){.n = e->n};
    return rc;
}

static kf_rc foretell_to(struct group *g, struct stream_append *a, struct stream_draft *d,
                         struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < a->count; i++)
        rc = foretell_entry(g, a, d, i, err);
    if (rc == KF_OK)
        rc = draft_end(d, &a->after, err);
    if (rc == KF_OK)
        rc = stage_put(a->streams, g, a->hash, a->after, err);
    a->stream_count = d->head.count;
    return rc;
}

/* Before any of them is copied. */
static bool is_small(const struct stream_append *a)
{
    size_t bytes = 0;
    for (size_t i = 0; i < a->count && bytes <= STREAM_FORETOLD_BYTES; i++) {
        const struct stream_new *e = &a->entries[i];
        bytes += FORETOLD_HEAD + a->key.len + e->id.len + e->kind.len + e->body.len + e->attach.len;
    }
    return bytes <= STREAM_FORETOLD_BYTES;
}

/* The caller's to drop; NULL: only the database knows. */
static struct stream_state *find_state(struct stream_append *a, struct group *g)
{
    struct stream_state *state = stage_known(a->streams, g, a->key, a->hash);
    struct db *db;
    if (state) /* a place on the stage is not for long */
        return state_keep(state);
    if (is_noted(&a->streams->foretold, hash_of_key(a->hash), group_committed(g)) ||
        group_look(g, &db, NULL) != KF_OK || stream_row_load(db, a->key, &state, NULL) != KF_OK)
        return NULL;
    KF_SOMETIMES("foretold-for-a-cold-stream");
    return state;
}

static bool is_trimmed(const struct stream_append *a, const struct stream_state *before)
{
    return a->line->keep_last && before->head.count + a->count > a->line->keep_last;
}

kf_rc stream_append_foretell(struct group *g, struct write *write, struct kf_err *err)
{
    struct stream_append *a = (struct stream_append *)write;
    struct stream_draft d;
    stream_append_anew(a);
    begin_with(&a->streams->foretold, group_content(g));
    if (!is_small(a))
        return KF_ABSENT;
    struct stream_state *before = find_state(a, g);
    if (!before || !before->head.there || is_trimmed(a, before)) {
        state_drop(before);
        return KF_ABSENT;
    }
    kf_rc rc = draft_begin(&d, before, err);
    a->rev_before = d.head.rev;
    if (rc == KF_OK)
        rc = foretell_to(g, a, &d, err);
    draft_release(&d);
    state_drop(before);
    return rc;
}
