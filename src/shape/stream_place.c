/* Entries that were foretold (stream_foretell.c) are put into the database here: soon after, or
 * after a crash.
 *
 * Many of them go in one transaction. The rows of their streams are kept back until its end, so
 * that one to which a hundred entries came is written once:
 *
 *     place      attachment, entry; its id, and what its stream has become, are remembered
 *     place_end  the rows of all those streams; ids, and when many wait, they move (stream_once.c);
 *                words, when nothing is in a hurry
 *     place_drop nothing is remembered: behind the commit, or after it was rolled back
 *     pass       of one that was left out: its number is not given again
 *
 * It comes out as it was foretold, or is damaged: nobody else writes to streams meanwhile. Rules
 * of the configuration are asked again, and may be others after a restart: then rings are as they
 * are wanted now, and what is too deep for one is in none.
 *
 * The index of words is nobody's promise: whatever is wrong with it keeps no entry out. Where
 * entries are done again one by one, for that they were lost, it is not touched.
 *
 * Belongs to who owns the database, which is not always the leader. */
#include "shape/stream_internal.h"

#include "base/le.h"

/* clang-format off */
#define uthash_malloc(size)     mem_alloc(size)
#define uthash_free(p, size)    mem_free(p)
#define HASH_NONFATAL_OOM       1
#define uthash_nonfatal_oom(p)  ((p)->unremembered = true)
/* clang-format on */
#include <uthash.h>

struct placed {
    struct stream_state *state;
    bool dirty, rings, unremembered;
    UT_hash_handle hh; /* by the key */
    char key[];
};

static kf_rc misfit(struct kf_err *err)
{
    return err_set(err, PROBLEM_DAMAGED,
                   "an entry that was told does not come out as it did; the stream was changed by "
                   "somebody else, or is damaged");
}

/* Nothing that every entry has is missing. */
static bool is_whole(const struct foretold_entry *e)
{
    return e->n > 0 && e->key.len && e->body.p && e->hash.len &&
           (e->attach.p != NULL) == (e->attach_hash.len > 0);
}

kf_rc foretold_entry_parse(str bytes, struct foretold_entry *ret, struct kf_err *err)
{
    struct foretold_entry e = {0};
    int64_t *numbers[FORETOLD_NUMBERS] = {&e.stamp, &e.stream, &e.n, &e.at};
    str *texts[FORETOLD_TEXTS] = {&e.key,  &e.id,     &e.kind,        &e.body,
                                  &e.hash, &e.attach, &e.attach_hash, &e.asked};
    if (bytes.len < FORETOLD_HEAD)
        return misfit(err);
    const char *head = bytes.p;
    for (size_t i = 0; i < FORETOLD_NUMBERS; i++)
        *numbers[i] = (int64_t)le_get64(head + 8 * i);
    bytes = str_from(bytes, FORETOLD_HEAD);
    for (size_t i = 0; i < FORETOLD_TEXTS; i++) {
        uint32_t len = le_get32(head + 8 * FORETOLD_NUMBERS + 4 * i);
        bool none = len == FORETOLD_NONE;
        size_t n = none ? 0 : len;
        if (bytes.len <= n || bytes.p[n])
            return misfit(err);
        *texts[i] = str_make(none ? NULL : bytes.p, n);
        bytes = str_from(bytes, n + 1);
    }
    if (bytes.len || !is_whole(&e))
        return misfit(err);
    *ret = e;
    return KF_OK;
}

/* ---------------------------------------------------------------------------------- the streams */

static kf_rc find(struct streams *streams, struct db *db, str key, struct placed **ret,
                  struct kf_err *err)
{
    struct placed *p = NULL;
    unsigned hash = (unsigned)memory_hash(&streams->memory, key);
    HASH_FIND_BYHASHVALUE(hh, streams->placed, key.p, key.len, hash, p);
    if (p) {
        *ret = p;
        return KF_OK;
    }
    p = mem_calloc(1, sizeof *p + key.len);
    kf_rc rc = p ? stream_row_load(db, key, &p->state, err) : err_nomem(err);
    if (rc == KF_OK) {
        memcpy(p->key, key.p, key.len);
        HASH_ADD_KEYPTR_BYHASHVALUE(hh, streams->placed, p->key, key.len, hash, p);
        rc = p->unremembered ? err_nomem(err) : KF_OK;
    }
    if (rc == KF_OK) {
        *ret = p;
    } else if (p) {
        state_drop(p->state);
        mem_free(p);
    }
    return rc;
}

/* ---------------------------------------------------------------------------------- the entries */

static kf_rc insert(struct streams *streams, struct group *g, const struct foretold_entry *e,
                    int64_t seq, struct kf_err *err)
{
    struct db *db = group_db(g);
    bool is_new = true;
    struct entry_record record = {
        .seq = seq,
        .stream = e->stream,
        .n = (uint64_t)e->n,
        .at_ms = e->at,
        .stamp = e->stamp,
        .kind = e->kind,
        .id = e->id,
        .site = str_of(group_site(g)),
        .hash = e->hash,
        .body = e->body,
        .attach = e->attach_hash,
    };
    kf_rc rc = KF_OK;
    if (e->id.len && store_places_again(streams->store))
        rc = once_place_again(&streams->once, db, e->stream, e->id, record.n, e->asked,
                              group_now_ms(g), &is_new, err);
    else if (e->id.len)
        rc = once_place(&streams->once, e->stream, e->id, record.n, e->asked, group_now_ms(g), err);
    if (rc == KF_OK && !is_new)
        rc = misfit(err);
    if (rc == KF_OK && e->attach.p)
        rc = attachment_insert(db, record.attach, e->attach, err);
    if (rc == KF_OK)
        rc = entry_insert(db, &record, err);
    if (rc == KF_OK)
        stream_index_came(&streams->index, 1, e->body.len);
    return rc;
}

/* As stream_draft_entry, but for the rules: they may be others than when the entry was told. */
static kf_rc draft(struct streams *streams, const struct foretold_entry *e, struct stream_draft *d,
                   struct kf_err *err)
{
    const struct config_stream *line = config_stream(streams->space, e->key);
    kf_rc rc = draft_count(d, e->kind, e->body.len, e->at, STREAM_KINDS_MAX, err);
    if (rc == KF_OK)
        rc = stream_add_rings_there(line, d, e->kind, (uint64_t)e->n, e->at, e->body, err);
    if (rc == KF_OK)
        d->head.last_n = (uint64_t)e->n;
    return rc;
}

static kf_rc place_to(struct streams *streams, struct group *g, const struct foretold_entry *e,
                      struct placed *p, struct stream_draft *d, struct kf_err *err)
{
    struct stream_state *after = NULL;
    int64_t seq = group_seq(g);
    kf_rc rc = insert(streams, g, e, seq, err);
    if (rc == KF_OK)
        rc = draft(streams, e, d, err);
    if (rc != KF_OK)
        return rc;
    stream_draft_moved(d, g);
    rc = draft_end(d, &after, err);
    if (rc != KF_OK)
        return rc;
    state_drop(p->state);
    p->state = after;
    p->dirty = true;
    p->rings = p->rings || d->rings_changed;
    return KF_OK;
}

kf_rc stream_place(void *ctx, struct group *g, str bytes, struct kf_err *err)
{
    struct streams *streams = ctx;
    struct foretold_entry e;
    struct placed *p = NULL;
    struct stream_draft d;
    kf_rc rc = foretold_entry_parse(bytes, &e, err);
    if (rc == KF_OK)
        rc = find(streams, group_db(g), e.key, &p, err);
    if (rc != KF_OK)
        return rc;
    assert(p);
    const struct stream_head *head = &p->state->head;
    if (!head->there || head->id != e.stream || head->last_n + 1 != (uint64_t)e.n)
        return misfit(err);
    rc = draft_begin(&d, p->state, err);
    if (rc == KF_OK)
        rc = place_to(streams, g, &e, p, &d, err);
    draft_release(&d);
    return rc;
}

static kf_rc move_past(struct db *db, const struct foretold_entry *e, int64_t seq,
                       struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_stream SET last_n = $1, "
                              "rev = CASE WHEN rev < $2 THEN $2 ELSE rev + 1 END "
                              "WHERE id = $3 AND last_n < $1";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, e->n);
    db_bind_i64(s, 2, seq);
    db_bind_i64(s, 3, e->stream);
    return db_run(s, err);
}

/* What was told behind it for its stream goes on behind its number, and is not left out as well. */
kf_rc stream_place_pass(void *ctx, struct group *g, str bytes, struct kf_err *err)
{
    struct streams *streams = ctx;
    struct foretold_entry e;
    assert(!streams->placed);
    if (foretold_entry_parse(bytes, &e, NULL) != KF_OK || (uint64_t)e.n > STREAM_N_MAX)
        return KF_OK; /* nobody can have been told by it */
    return move_past(group_db(g), &e, group_last(g), err);
}

uint64_t stream_place_of(str bytes)
{
    struct foretold_entry e;
    return foretold_entry_parse(bytes, &e, NULL) == KF_OK ? (uint64_t)e.stream : 0;
}

kf_rc stream_place_end(void *ctx, struct db *db, struct kf_err *err)
{
    struct streams *streams = ctx;
    struct placed *p = NULL, *next = NULL;
    kf_rc rc = KF_OK;
    HASH_ITER (hh, streams->placed, p, next) {
        if (rc == KF_OK && p->dirty && !KF_SABOTAGE("placed-row-forgotten"))
            rc = stream_row_count(db, p->state, p->rings, err);
        p->dirty = p->dirty && rc != KF_OK;
    }
    if (rc != KF_OK || store_places_again(streams->store))
        return rc;
    bool are_new = true;
    rc = once_placed(&streams->once, db, &are_new, err);
    if (rc == KF_OK && !are_new)
        rc = misfit(err);
    if (rc != KF_OK)
        return rc;
    return stream_index_placed(&streams->index, db, store_has_to_place(streams->store),
                               store_log(streams->store), err);
}

void stream_place_drop(void *ctx)
{
    struct streams *streams = ctx;
    struct placed *p, *next;
    once_drop(&streams->once);
    HASH_ITER (hh, streams->placed, p, next) {
        HASH_DEL(streams->placed, p);
        state_drop(p->state);
        mem_free(p);
    }
}
