/* Context across the streams of one customer, or whatever an attribute stands for.
 *
 *     streams      those with the value, by pages of keys; those that may be seen, and of these the
 *                  STREAM_ACROSS_MAX that changed last
 *     newest       of each, the one that changed last first, its last entries by number; of all of
 *                  them the newest by number of the store, without their bodies
 *     entries      read in their order
 *
 * The newest of all are among the newest of each, and no entry has a larger number of the store
 * than its stream had at its last change: so it is over with the first stream that changed before
 * the oldest that is found. Numbers of the store fall with those of the stream, but for what came
 * from elsewhere: a twin that is shown again has a new one of the stream. So behind an entry that
 * was appended here nothing newer comes, and the stream is left there. */
#include "shape/stream_internal.h"

#include <stdlib.h>

#define KEYS_PAGE 256

struct across_stream {
    int64_t id, rev;
    str key;
};

struct across {
    struct arena arena;
    struct across_stream *streams;
    size_t stream_count;
    int64_t cut_rev; /* what changed then or before is not among them any more */
    struct across_entry {
        int64_t seq;
        size_t size;
        str key;
    } * items; /* newest first */
    size_t count, max;
    bool more;
};

/* -------------------------------------------------------------------------------------- streams */

static int latest_first(const void *a, const void *b)
{
    const struct across_stream *x = a, *y = b;
    return x->rev > y->rev ? -1 : x->rev < y->rev;
}

/* Twice as many as are kept, so that it is seldom sorted. */
static void keep_latest(struct across *found)
{
    if (found->stream_count)
        qsort(found->streams, found->stream_count, sizeof *found->streams, latest_first);
    if (found->stream_count <= STREAM_ACROSS_MAX)
        return;
    KF_SOMETIMES("more-streams-than-a-context-looks-at");
    found->stream_count = STREAM_ACROSS_MAX;
    found->cut_rev = found->streams[STREAM_ACROSS_MAX - 1].rev;
}

static kf_rc add_stream(struct across *found, struct db_stmt *s, struct kf_err *err)
{
    if (db_i64(s, 1) <= found->cut_rev)
        return KF_OK;
    if (found->stream_count == (size_t)STREAM_ACROSS_MAX * 2)
        keep_latest(found);
    struct across_stream *stream = &found->streams[found->stream_count];
    *stream = (struct across_stream){
        .id = db_i64(s, 0), .rev = db_i64(s, 1), .key = arena_str(&found->arena, db_text(s, 2))};
    found->stream_count++;
    return stream->key.p ? KF_OK : err_nomem(err);
}

/* A page behind *after, which moves on; KF_ABSENT: that was the last. */
static kf_rc add_streams(struct db *db, str name, str value, const struct entry_want *want,
                         struct buf *after, struct across *found, struct kf_err *err)
{
    static const char sql[] =
        "SELECT s.id, s.rev, a.key FROM kf_stream_attr a JOIN kf_stream s ON s.id = a.stream "
        "WHERE a.name = $1 AND a.value = $2 AND a.key > $3 ORDER BY a.key LIMIT $4";
    struct buf last = BUF_INIT; /* what is bound is borrowed */
    struct db_stmt *s;
    size_t count = 0;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, name);
    db_bind_text(s, 2, value);
    db_bind_text(s, 3, buf_view(after));
    db_bind_i64(s, 4, KEYS_PAGE);
    while (rc == KF_OK && (rc = db_step(s, &row, err)) == KF_OK && row) {
        buf_clear(&last);
        buf_str(&last, db_text(s, 2));
        count++;
        if (!want->sees || want->sees(want->sees_ctx, db_text(s, 2)))
            rc = add_stream(found, s, err);
    }
    db_done(s);
    buf_clear(after);
    buf_str(after, buf_view(&last));
    if (rc == KF_OK)
        rc = last.failed ? err_nomem(err) : buf_ok(after, err);
    buf_release(&last);
    return rc == KF_OK && count < KEYS_PAGE ? KF_ABSENT : rc;
}

static kf_rc find_streams(struct db *db, str name, str value, const struct entry_want *want,
                          struct across *found, struct kf_err *err)
{
    struct buf after = BUF_INIT;
    kf_rc rc = KF_OK;
    found->streams = arena_alloc(&found->arena,
                                 (size_t)STREAM_ACROSS_MAX * 2 * sizeof *found->streams);
    if (!found->streams)
        return err_nomem(err);
    while (rc == KF_OK)
        rc = add_streams(db, name, value, want, &after, found, err);
    keep_latest(found);
    buf_release(&after);
    return rc == KF_ABSENT ? KF_OK : rc;
}

/* --------------------------------------------------------------------------------------- newest */

/* The oldest of those that are found, when these are all that are wanted. */
static int64_t oldest_found(const struct across *found)
{
    return found->count == found->max ? found->items[found->max - 1].seq : 0;
}

static void add_entry(struct across *found, int64_t seq, size_t size, str key)
{
    size_t low = 0, high = found->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (found->items[middle].seq > seq)
            low = middle + 1;
        else
            high = middle;
    }
    found->count += found->count < found->max;
    memmove(&found->items[low + 1], &found->items[low],
            (found->count - low - 1) * sizeof *found->items);
    found->items[low] = (struct across_entry){seq, size, key};
}

static kf_rc add_newest(struct db *db, const struct across_stream *stream, struct across *found,
                        struct kf_err *err)
{
    static const char sql[] = "SELECT e.seq, e.taken, e.size + coalesce(m.size, 0) FROM kf_entry e "
                              "LEFT JOIN kf_attachment m ON m.hash = e.attach WHERE e.stream = $1 "
                              "ORDER BY e.n DESC LIMIT $2";
    struct db_stmt *s;
    bool row = false, over = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream->id);
    db_bind_i64(s, 2, (int64_t)found->max);
    while (!over && (rc = db_step(s, &row, err)) == KF_OK && row) {
        bool older = db_i64(s, 0) < oldest_found(found);
        over = older && !db_i64(s, 1);
        if (!older)
            add_entry(found, db_i64(s, 0), (size_t)db_i64(s, 2), stream->key);
    }
    db_done(s);
    return rc;
}

/* What of them is given, within the bounds. */
static void cut_entries(struct across *found, const struct entry_want *want)
{
    size_t bytes = 0, count = 0;
    while (count < found->count && !found->more) {
        bytes += found->items[count].size;
        found->more = count == want->limit || bytes > want->bytes;
        count += !found->more;
    }
    found->count = count;
}

static kf_rc find_entries(struct db *db, str name, str value, const struct entry_want *want,
                          struct across *found, struct kf_err *err)
{
    found->max = want->limit + 1; /* one more tells that there is more */
    found->items = arena_alloc(&found->arena, (found->max + 1) * sizeof *found->items);
    if (!found->items)
        return err_nomem(err);
    kf_rc rc = find_streams(db, name, value, want, found, err);
    for (size_t i = 0; rc == KF_OK && i < found->stream_count; i++) {
        if (found->streams[i].rev < oldest_found(found))
            break;
        rc = add_newest(db, &found->streams[i], found, err);
    }
    if (rc == KF_OK)
        cut_entries(found, want);
    return rc;
}

static kf_rc read_found(struct db *db, const struct across *found, struct entries *list,
                        struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = found->count; rc == KF_OK && i > 0; i--) {
        const struct across_entry *e = &found->items[i - 1];
        rc = entries_key(list, e->key, err);
        if (rc == KF_OK)
            rc = entry_read_seq(db, e->seq, e->key, entries_copy, list, err);
    }
    return rc;
}

static kf_rc read_across(struct db *db, str key, str attribute, const struct entry_want *want,
                         struct across *found, struct entries *list, struct kf_err *err)
{
    struct stream_state *state = NULL;
    str value = {0};
    kf_rc rc = stream_row_load(db, key, &state, err);
    if (rc == KF_OK && !state->head.there)
        rc = stream_unknown(key, err);
    if (rc == KF_OK)
        rc = attrs_value(state_attrs(state), attribute, &found->arena, &value, err);
    if (rc == KF_OK && !value.p)
        rc = err_set(err, PROBLEM_BAD_FILTER,
                     "\"%.*s\" has no attribute \"%.*s\" with a short text, number, true or false",
                     STR_SHOWN(key), STR_SHOWN(attribute));
    if (rc == KF_OK)
        rc = find_entries(db, attribute, value, want, found, err);
    if (rc == KF_OK)
        rc = read_found(db, found, list, err);
    state_drop(state);
    return rc;
}

kf_rc stream_across(struct streams *streams, str key, str attribute, const struct entry_want *want,
                    struct kf_entry_list *ret_list, struct kf_err *err)
{
    struct across found = {.arena = ARENA_INIT};
    struct entries *list = NULL;
    struct db *db;
    if (atomic_load(&streams->hydrating))
        return streams_not_hydrated(key, err);
    kf_rc rc = entries_new(key, 0, &list, err);
    if (rc == KF_OK)
        rc = store_read(streams->store, &db, err);
    if (rc == KF_OK) {
        rc = read_across(db, key, attribute, want, &found, list, err);
        store_read_end(streams->store, db);
    }
    if (rc == KF_DAMAGED)
        stream_log_damage(streams, key, err);
    if (rc == KF_OK)
        entries_give(list, NULL, found.more, ret_list);
    else
        entries_free(list);
    arena_release(&found.arena);
    return rc;
}
