/* What is kept, and until when.
 *
 * By count: with each append, the oldest entries beyond `last` go in the same group. By age, and
 * what could not go then: streams_retain goes through all streams now and then, in slices. Neither
 * touches an entry that a remote which takes the stream has not confirmed (E6), nor anything while
 * a backup reads. With an entry its twins go, those that come later soon after.
 *
 * Client ids outlive their entries: 30 days, and those of the newest million numbers whatever their
 * age. Attachments go when no entry names them. */
#include "shape/stream_internal.h"

#define ID_AGE_MS     ((int64_t)30 * 86400000)
#define ID_COUNT      1000000
#define ID_SLICE      500
#define STREAMS_SLICE 64
/* Streams that one write may change. */
#define CHANGED_MAX (8 * STREAMS_SLICE)
#define TRIM_MORE   16 /* beyond what an append has brought: so it catches up */

/* ------------------------------------------------------------------------------- with an append */

kf_rc stream_trim(struct streams *streams, struct group *g, const struct config_stream *line,
                  size_t added, struct stream_draft *d, struct kf_err *err)
{
    struct entries_going going = {.arena = ARENA_INIT};
    int64_t floor;
    if (!line->keep_last || d->head.count <= line->keep_last || streams_pinned(streams))
        return KF_OK;
    size_t beyond = d->head.count - line->keep_last, limit = added + TRIM_MORE;
    limit = limit < beyond ? limit : beyond;
    floor = streams_floor_of(streams, d->key);
    kf_rc rc = KF_OK;
    while (rc == KF_OK && limit) {
        size_t part = limit < STREAM_GOING_MAX ? limit : STREAM_GOING_MAX;
        going.count = 0;
        rc = entries_oldest(group_db(g), d->head.id, floor, part, &going, err);
        if (rc == KF_OK)
            rc = entries_trim(streams, g, d, floor, &going, err);
        limit = going.count < part ? 0 : limit - part;
        arena_clear(&going.arena);
    }
    arena_release(&going.arena);
    return rc;
}

/* --------------------------------------------------------------------------- streams, in slices */

/* One slice after the other is a write of its own, so that memory forgets behind its commit what it
 * has changed. */
struct retain {
    struct write write; /* first */
    struct streams *streams;
    struct store_turns turns;
    kf_rc (*slice)(struct group *g, struct retain *r, struct kf_err *err);
    bool more;
    /* where it is: of the streams, of their ids, of the attachments */
    struct buf after, after_id;
    struct buf damaged; /* the stream of which the slice has found that it is, and is tried again */
    bool passed;        /* that one: the slice ends behind it */
    /* of this slice: where the next one begins */
    struct buf next, next_id;
    struct arena arena;
    str changed[CHANGED_MAX];
    size_t changed_count;
    str at; /* the stream that it is at; .p == NULL: none */
};

static kf_rc keep_place(struct buf *to, str place, struct kf_err *err)
{
    buf_clear(to);
    buf_str(to, place);
    return buf_ok(to, err);
}

static kf_rc retain_apply(struct group *g, struct write *w, struct kf_err *err)
{
    struct retain *r = (struct retain *)w;
    arena_clear(&r->arena);
    r->changed_count = 0;
    r->more = r->passed = false;
    r->at = (str){0};
    store_turn_limit(&r->turns, g);
    kf_rc rc = keep_place(&r->next, buf_view(&r->after), err);
    if (rc == KF_OK)
        rc = keep_place(&r->next_id, buf_view(&r->after_id), err);
    /* What it costs others is that all is settled before it: so it does what it has time for. */
    bool goes_on = rc == KF_OK;
    while (goes_on) {
        r->more = false;
        rc = r->slice(g, r, err);
        goes_on = rc == KF_OK && r->more && !r->passed && !group_slice_over(g) &&
                  r->changed_count + STREAMS_SLICE <= CHANGED_MAX;
    }
    return rc;
}

static void retain_publish(struct write *w)
{
    struct retain *r = (struct retain *)w;
    for (size_t i = 0; i < r->changed_count; i++)
        streams_forget(r->streams, r->changed[i]);
}

/* Whether the slice failed for a stream that is damaged: the next try passes that over and ends
 * behind it. */
static bool pass_damaged(struct retain *r, kf_rc rc)
{
    if (rc != KF_DAMAGED || !r->at.p || str_eq(r->at, buf_view(&r->damaged)))
        return false;
    KF_SOMETIMES("retain-passes-a-damaged-stream");
    log_event(store_log(r->streams->store), LOG_CRIT, "store.damage", LOG_V("stream", r->at),
              LOG_END);
    return keep_place(&r->damaged, r->at, NULL) == KF_OK;
}

static kf_rc in_slices(struct retain *r,
                       kf_rc (*slice)(struct group *g, struct retain *r, struct kf_err *err),
                       struct kf_err *err)
{
    kf_rc rc;
    r->turns = store_turns(r->streams->store, true);
    r->write = (struct write){.apply = retain_apply, .publish = retain_publish, .frees = true};
    r->slice = slice;
    buf_clear(&r->after);
    buf_clear(&r->after_id);
    buf_clear(&r->damaged);
    do {
        struct buf was = r->after, was_id = r->after_id;
        store_turn_begin(&r->turns);
        rc = store_write(r->streams->store, &r->write, err);
        if (pass_damaged(r, rc)) {
            rc = KF_OK;
            r->more = true;
            continue;
        }
        r->after = r->next;
        r->after_id = r->next_id;
        r->next = was;
        r->next_id = was_id;
        if (rc == KF_OK && r->more)
            rc = store_turn_end(&r->turns, err);
    } while (rc == KF_OK && r->more);
    return rc;
}

struct due {
    str key;
    int64_t id, first_at;
    uint64_t count, last_n;
    bool twins; /* it has some */
};

static kf_rc next_streams(struct group *g, struct retain *r, struct due *due, size_t *ret_count,
                          struct kf_err *err)
{
    static const char sql[] =
        "SELECT key, id, first_at, count, last_n, CASE WHEN EXISTS (SELECT 1 FROM kf_entry t WHERE "
        "t.stream = -s.id AND t.stream < 0) THEN 1 ELSE 0 END FROM kf_stream s WHERE key > $1 "
        "ORDER BY key LIMIT $2";
    struct db_stmt *s;
    size_t count = 0;
    bool row = false;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, buf_view(&r->next));
    db_bind_i64(s, 2, STREAMS_SLICE);
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        due[count] = (struct due){.key = arena_str(&r->arena, db_text(s, 0)),
                                  .id = db_i64(s, 1),
                                  .first_at = db_i64(s, 2),
                                  .count = (uint64_t)db_i64(s, 3),
                                  .last_n = (uint64_t)db_i64(s, 4),
                                  .twins = db_i64(s, 5) != 0};
        if (!due[count++].key.p) {
            rc = err_nomem(err);
            break;
        }
    }
    db_done(s);
    *ret_count = count;
    return rc;
}

/* What of a stream may go, at most STREAM_GOING_MAX. */
static kf_rc find_going(struct group *g, struct streams *streams, const struct config_stream *line,
                        const struct stream_draft *d, struct entries_going *ret, struct kf_err *err)
{
    int64_t floor = streams_floor_of(streams, d->key);
    kf_rc rc = KF_OK;
    ret->count = 0;
    arena_clear(&ret->arena);
    if (line->keep_last && d->head.count > line->keep_last) {
        size_t beyond = d->head.count - line->keep_last;
        rc = entries_oldest(group_db(g), d->head.id, floor,
                            beyond < STREAM_GOING_MAX ? beyond : STREAM_GOING_MAX, ret, err);
    }
    if (rc == KF_OK && !ret->count && line->keep_age_ms)
        rc = entries_before(group_db(g), d->head.id, floor,
                            group_now_ms(g) - (int64_t)line->keep_age_ms, ret, err);
    return rc;
}

/* *ret_over: the slice is, and there may be more of this one. */
static kf_rc trim_draft(struct group *g, struct streams *streams, const struct config_stream *line,
                        struct stream_draft *d, bool *ret_changed, bool *ret_over,
                        struct kf_err *err)
{
    struct entries_going going = {.arena = ARENA_INIT};
    kf_rc rc;
    do {
        rc = find_going(g, streams, line, d, &going, err);
        if (rc == KF_OK)
            rc = entries_trim(streams, g, d, streams_floor_of(streams, d->key), &going, err);
        *ret_changed = *ret_changed || going.count;
        *ret_over = going.count && group_slice_over(g);
    } while (rc == KF_OK && going.count && !*ret_over);
    arena_release(&going.arena);
    return rc;
}

static kf_rc trim_stream(struct group *g, struct retain *r, const struct config_stream *line,
                         str key, bool *ret_over, struct kf_err *err)
{
    struct streams *streams = r->streams;
    uint64_t hash = memory_hash(&streams->memory, key);
    struct stream_state *before = NULL, *after = NULL;
    struct stream_draft d;
    bool changed = false;
    kf_rc rc = stage_get(streams, g, key, hash, &before, err);
    if (rc != KF_OK || !before->head.there)
        return rc;
    state_keep(before);
    rc = draft_begin(&d, before, err);
    if (rc == KF_OK)
        rc = trim_draft(g, streams, line, &d, &changed, ret_over, err);
    if (rc == KF_OK && changed) {
        r->changed[r->changed_count++] = key;
        rc = group_doubt(g, err);
    }
    if (rc == KF_OK && changed)
        rc = stream_write_state(streams, g, hash, before, &d, &after, err);
    draft_release(&d);
    state_drop(before);
    state_drop(after);
    return rc;
}

static bool is_due(const struct config_stream *line, const struct due *due, int64_t now_ms)
{
    bool old = line->keep_age_ms && due->first_at < now_ms - (int64_t)line->keep_age_ms;
    return due->count && (old || (line->keep_last && due->count > line->keep_last));
}

/* A page of streams; one in whose midst the slice is over is begun with again. */
static kf_rc retain_entries(struct group *g, struct retain *r, struct kf_err *err)
{
    struct due due[STREAMS_SLICE];
    size_t count = 0;
    bool over = false;
    kf_rc rc = next_streams(g, r, due, &count, err);
    for (size_t i = 0; rc == KF_OK && i < count && !over; i++) {
        const struct config_stream *line = config_stream(r->streams->space, due[i].key);
        bool damaged = str_eq(due[i].key, buf_view(&r->damaged));
        if (streams_pinned(r->streams))
            return KF_OK;
        r->at = due[i].key;
        if (!damaged && is_due(line, &due[i], group_now_ms(g)))
            rc = trim_stream(g, r, line, due[i].key, &over, err);
        if (rc == KF_OK && !over)
            rc = keep_place(&r->next, due[i].key, err);
        r->passed = r->passed || damaged;
        over = over || damaged || group_slice_over(g);
    }
    r->more = over || count == STREAMS_SLICE;
    return rc;
}

/* --------------------------------------------------------------------------------------- twins */

static kf_rc trim_twins(struct group *g, struct streams *streams, const struct due *due,
                        bool *ret_over, struct kf_err *err)
{
    struct entries_going going = {.arena = ARENA_INIT};
    int64_t floor = streams_floor_of(streams, due->key);
    kf_rc rc;
    do {
        going.count = 0;
        arena_clear(&going.arena);
        rc = twins_alone(group_db(g), due->id, floor, &going, err);
        if (rc == KF_OK)
            rc = twins_trim(streams, g, due->id, &going, err);
        if (going.count)
            KF_SOMETIMES("twins-alone-are-trimmed");
        *ret_over = going.count && group_slice_over(g);
    } while (rc == KF_OK && going.count && !*ret_over);
    arena_release(&going.arena);
    return rc;
}

/* Those whose entry went before they came, or could go. */
static kf_rc retain_twins(struct group *g, struct retain *r, struct kf_err *err)
{
    struct due due[STREAMS_SLICE];
    size_t count = 0;
    bool over = false;
    kf_rc rc = next_streams(g, r, due, &count, err);
    for (size_t i = 0; rc == KF_OK && i < count && !over; i++) {
        const struct config_stream *line = config_stream(r->streams->space, due[i].key);
        bool damaged = str_eq(due[i].key, buf_view(&r->damaged));
        if (streams_pinned(r->streams))
            return KF_OK;
        r->at = due[i].key;
        if (!damaged && due[i].twins && (line->keep_last || line->keep_age_ms))
            rc = trim_twins(g, r->streams, &due[i], &over, err);
        if (rc == KF_OK && !over)
            rc = keep_place(&r->next, due[i].key, err);
        r->passed = r->passed || damaged;
        over = over || damaged || group_slice_over(g);
    }
    r->more = over || count == STREAMS_SLICE;
    return rc;
}

/* ------------------------------------------------------------------------------------------ ids
 *
 * after: the stream; after_id: behind which of its ids. Only streams that have had more than a
 * million entries have any that may go. */

static kf_rc oldest_number(struct group *g, int64_t stream, uint64_t *ret, struct kf_err *err)
{
    static const char sql[] = "SELECT n FROM kf_entry WHERE stream = $1 ORDER BY n LIMIT 1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    rc = db_step(s, &row, err);
    if (rc == KF_OK)
        *ret = row ? (uint64_t)db_i64(s, 0) : UINT64_MAX;
    db_done(s);
    return rc;
}

/* Up to which number ids may go: of entries that are gone and not among the newest million. */
static kf_rc ids_until(struct group *g, const struct due *due, uint64_t *ret, struct kf_err *err)
{
    uint64_t oldest = 0, keep = KF_SABOTAGE("entry-ids-expire") ? 0 : ID_COUNT;
    *ret = 0;
    if (due->last_n <= keep)
        return KF_OK;
    kf_rc rc = oldest_number(g, due->id, &oldest, err);
    if (rc == KF_OK)
        *ret = oldest - 1 < due->last_n - keep ? oldest - 1 : due->last_n - keep;
    return rc;
}

/* A text that no id is behind. */
static kf_rc behind_all(struct buf *out, struct kf_err *err)
{
    buf_clear(out);
    for (int i = 0; i <= STREAM_ID_MAX / 4; i++)
        buf_c(out, "\xf4\x8f\xbf\xbf"); /* U+10FFFF */
    return buf_ok(out, err);
}

/* A page of the ids of one stream; *ret_done: there was no full one. */
static kf_rc forget_ids(struct group *g, struct retain *r, int64_t stream, uint64_t until,
                        bool *ret_done, struct kf_err *err)
{
    int64_t before_ms = KF_SABOTAGE("entry-ids-expire") ? INT64_MAX : group_now_ms(g) - ID_AGE_MS;
    str after = buf_view(&r->next_id);
    struct buf last = BUF_INIT;
    bool more = false;
    kf_rc rc = once_nth(group_db(g), stream, after, ID_SLICE, &last, &more, err);
    if (rc == KF_OK && !more)
        rc = behind_all(&last, err);
    if (rc == KF_OK) {
        const struct once_aged aged = {stream, after, buf_view(&last), until, before_ms};
        rc = once_remove_aged(group_db(g), &aged, err);
    }
    if (rc == KF_OK)
        rc = keep_place(&r->next_id, more ? buf_view(&last) : STR(""), err);
    buf_release(&last);
    *ret_done = !more;
    return rc;
}

static kf_rc retain_ids(struct group *g, struct retain *r, struct kf_err *err)
{
    struct due due[STREAMS_SLICE];
    size_t count = 0;
    bool over = false;
    kf_rc rc = next_streams(g, r, due, &count, err);
    for (size_t i = 0; rc == KF_OK && i < count && !over; i++) {
        uint64_t until = 0;
        bool done = true;
        rc = ids_until(g, &due[i], &until, err);
        if (rc == KF_OK && until)
            rc = forget_ids(g, r, due[i].id, until, &done, err);
        if (rc == KF_OK && done)
            rc = keep_place(&r->next, due[i].key, err);
        over = !done || group_slice_over(g);
    }
    r->more = over || count == STREAMS_SLICE;
    return rc;
}

/* --------------------------------------------------------------------------------- attachments */

static kf_rc retain_attachments(struct group *g, struct retain *r, struct kf_err *err)
{
    static const char page[] =
        "SELECT hash FROM kf_attachment WHERE hash > $1 ORDER BY hash LIMIT 1 OFFSET $2";
    static const char forget[] =
        "DELETE FROM kf_attachment WHERE hash > $1 AND hash <= $2 AND NOT EXISTS "
        "(SELECT 1 FROM kf_entry e WHERE e.attach = kf_attachment.hash)";
    char last[HASH_HEX + 1] = "~"; /* behind all of them */
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(group_db(g), page, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, buf_view(&r->next));
    db_bind_i64(s, 2, STREAMS_SLICE);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row && db_text(s, 0).len == HASH_HEX)
        memcpy(last, db_text(s, 0).p, HASH_HEX);
    db_done(s);
    if (rc == KF_OK && (rc = db_use(group_db(g), forget, &s, err)) == KF_OK) {
        db_bind_text(s, 1, buf_view(&r->next));
        db_bind_text(s, 2, str_of(last));
        rc = db_run(s, err);
    }
    r->more = row;
    return rc == KF_OK ? keep_place(&r->next, str_of(last), err) : rc;
}

/* ------------------------------------------------------------------------------------------ all */

static bool any_keep(const struct config_space *space)
{
    for (size_t i = 0; space && i < space->stream_count; i++)
        if (space->streams[i].keep_age_ms || space->streams[i].keep_last)
            return true;
    return false;
}

static kf_rc retain_attached(struct streams *streams, struct retain *r, struct kf_err *err)
{
    if (streams_pinned(streams) || !left_take(streams, LEFT_ATTACHED))
        return KF_OK;
    kf_rc rc = in_slices(r, retain_attachments, err);
    if (rc != KF_OK)
        left_again(streams, LEFT_ATTACHED);
    return rc;
}

/* What is damaged keeps nothing else from being done; it is told when that is. */
static bool goes_on(kf_rc rc, kf_rc *first, struct kf_err **err)
{
    if (rc != KF_OK && *first == KF_OK) {
        *first = rc;
        *err = NULL; /* it is filled */
    }
    return rc == KF_OK || rc == KF_DAMAGED;
}

kf_rc streams_retain(struct streams *streams, struct kf_err *err)
{
    struct retain r = {.streams = streams};
    kf_rc first = KF_OK;
    bool keeps = any_keep(streams->space);
    bool on = goes_on(streams_erase_rest(streams, 0, err), &first, &err);
    if (on)
        on = goes_on(left_look(streams, err), &first, &err);
    if (on && keeps && !streams_pinned(streams))
        on = goes_on(in_slices(&r, retain_entries, err), &first, &err);
    if (on && keeps && !streams_pinned(streams) && !atomic_load(&streams->hydrating))
        on = goes_on(in_slices(&r, retain_twins, err), &first, &err);
    if (on && keeps && !streams_pinned(streams))
        on = goes_on(in_slices(&r, retain_ids, err), &first, &err);
    if (on)
        on = goes_on(retain_attached(streams, &r, err), &first, &err);
    if (on)
        goes_on(streams_index_retain(streams, err), &first, &err);
    buf_release(&r.after);
    buf_release(&r.after_id);
    buf_release(&r.damaged);
    buf_release(&r.next);
    buf_release(&r.next_id);
    arena_release(&r.arena);
    return first;
}
