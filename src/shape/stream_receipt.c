/* Receipts of erasures: rows of kf_receipt, and what is told of them.
 *
 * A receipt is written by the group that erases and counted up by the slices that remove what is
 * left. It is found again by its subject, a hash of what was asked for: so who asks once more
 * for what is gone gets the receipt of then, and no name of a person has to be kept for it. */
#include "shape/stream_internal.h"

#include "base/when.h"

/* ----------------------------------------------------------------------------------------- rows */

void receipt_subject(const char *what, str a, str b, char out[HASH_HEX + 1])
{
    struct hash_state h;
    struct hash hash;
    str parts[] = {str_of(what), a, b};
    hash_begin(&h);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        hash_add_part(&h, parts[i]);
    hash_end(&h, &hash);
    hash_hex(&hash, out);
}

kf_rc receipt_find(struct db *db, const char *subject, int64_t *ret, struct kf_err *err)
{
    static const char sql[] =
        "SELECT id FROM kf_receipt WHERE subject = $1 ORDER BY id DESC LIMIT 1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, str_of(subject));
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row)
        *ret = db_i64(s, 0);
    db_done(s);
    return rc == KF_OK && !row ? KF_ABSENT : rc;
}

kf_rc receipt_new(struct group *g, const char *subject, int64_t id, struct kf_err *err)
{
    static const char sql[] = "INSERT INTO kf_receipt(id, at, subject, streams, entries, "
                              "attachments, bytes) VALUES($1, $2, $3, 0, 0, 0, 0)";
    struct db_stmt *s;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, id);
    db_bind_i64(s, 2, group_now_ms(g));
    db_bind_text(s, 3, str_of(subject));
    return db_run(s, err);
}

kf_rc receipt_count(struct db *db, int64_t id, uint64_t streams, uint64_t entries,
                    uint64_t attachments, uint64_t bytes, struct kf_err *err)
{
    static const char sql[] =
        "UPDATE kf_receipt SET streams = streams + $1, entries = entries + $2, "
        "attachments = attachments + $3, bytes = bytes + $4 WHERE id = $5";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, (int64_t)streams);
    db_bind_i64(s, 2, (int64_t)entries);
    db_bind_i64(s, 3, (int64_t)attachments);
    db_bind_i64(s, 4, (int64_t)bytes);
    db_bind_i64(s, 5, id);
    return db_run(s, err);
}

/* --------------------------------------------------------------------------------- what is told */

void kf_receipt_free(struct kf_receipt *receipt)
{
    if (!receipt)
        return;
    kf_bytes_free(&receipt->json);
    *receipt = (struct kf_receipt){0};
}

/* Where what is erased may still be: the same for all. */
static void add_held(struct streams *streams, int64_t until, struct buf *out)
{
    pthread_mutex_lock(&streams->asks_lock);
    stream_holders *fn = streams->holders;
    void *ctx = streams->holders_ctx;
    pthread_mutex_unlock(&streams->asks_lock);
    if (fn)
        fn(ctx, until, out);
}

static kf_rc receipt_json(struct kf_receipt *r, const struct buf *held, struct kf_err *err)
{
    struct buf json = BUF_INIT;
    char at[WHEN_LEN + 1];
    when_format(r->at_ms, at);
    buf_printf(&json,
               "{\"id\":%llu,\"at\":\"%s\",\"streams\":%llu,\"entries\":%llu,\"attachments\":%llu,"
               "\"bytes\":%llu,\"again\":%s,\"held\":[",
               (unsigned long long)r->id, at, (unsigned long long)r->streams,
               (unsigned long long)r->entries, (unsigned long long)r->attachments,
               (unsigned long long)r->bytes, r->again ? "true" : "false");
    json.failed |= held->failed;
    buf_str(&json, buf_view(held));
    buf_c(&json, "]}");
    kf_rc rc = buf_ok(&json, err);
    if (rc == KF_OK)
        r->json.p = buf_detach(&json, &r->json.len);
    buf_release(&json);
    return rc;
}

static kf_rc receipts_json(struct streams *streams, struct kf_receipt *items, size_t count,
                           int64_t until, struct kf_err *err)
{
    struct buf held = BUF_INIT;
    kf_rc rc = KF_OK;
    if (count)
        add_held(streams, until, &held);
    for (size_t i = 0; rc == KF_OK && i < count; i++)
        rc = receipt_json(&items[i], &held, err);
    buf_release(&held);
    return rc;
}

/* Columns: id, at, streams, entries, attachments, bytes. */
static struct kf_receipt receipt_of(struct db_stmt *s)
{
    return (struct kf_receipt){.id = (uint64_t)db_i64(s, 0),
                               .at_ms = db_i64(s, 1),
                               .streams = (uint64_t)db_i64(s, 2),
                               .entries = (uint64_t)db_i64(s, 3),
                               .attachments = (uint64_t)db_i64(s, 4),
                               .bytes = (uint64_t)db_i64(s, 5)};
}

struct receipts {
    struct kf_receipt *items;
    size_t count;
    bool more;
};

static void receipts_release(struct receipts *r)
{
    for (size_t i = 0; i < r->count; i++)
        kf_receipt_free(&r->items[i]);
    mem_free(r->items);
    *r = (struct receipts){0};
}

/* With an id below `before`, newest first. */
static kf_rc read_receipts(struct streams *streams, int64_t before, size_t limit,
                           struct receipts *ret, struct kf_err *err)
{
    static const char sql[] = "SELECT id, at, streams, entries, attachments, bytes "
                              "FROM kf_receipt WHERE id < $1 ORDER BY id DESC LIMIT $2";
    struct db *db;
    struct db_stmt *s;
    bool row = false;
    ret->items = mem_calloc(limit, sizeof *ret->items);
    if (!ret->items)
        return err_nomem(err);
    kf_rc rc = store_read(streams->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = db_use(db, sql, &s, err);
    if (rc == KF_OK) {
        db_bind_i64(s, 1, before);
        db_bind_i64(s, 2, (int64_t)limit + 1);
        while ((rc = db_step(s, &row, err)) == KF_OK && row && !ret->more) {
            ret->more = ret->count == limit;
            if (!ret->more)
                ret->items[ret->count++] = receipt_of(s);
        }
        db_done(s);
    }
    store_read_end(streams->store, db);
    return rc;
}

kf_rc streams_receipt(struct streams *streams, uint64_t id, bool again, int64_t until,
                      struct kf_receipt *ret, struct kf_err *err)
{
    struct receipts found = {0};
    kf_rc rc = read_receipts(streams, (int64_t)id + 1, 1, &found, err);
    if (rc == KF_OK && (!found.count || found.items[0].id != id))
        rc = err_set(err, PROBLEM_DAMAGED, "the receipt of the erasure is not there");
    if (rc == KF_OK) {
        found.items[0].again = again;
        rc = receipts_json(streams, found.items, 1, until, err);
    }
    if (rc == KF_OK) {
        *ret = found.items[0];
        found.count = 0;
    }
    receipts_release(&found);
    return rc;
}

kf_rc receipt_give(struct streams *streams, int64_t id, bool again, struct kf_receipt *ret,
                   struct kf_err *err)
{
    if (!again)
        atomic_fetch_add_explicit(&streams->erasures, 1, memory_order_relaxed);
    return ret ? streams_receipt(streams, (uint64_t)id, again, INT64_MAX, ret, err) : KF_OK;
}

/* ------------------------------------------------------------------------------------- the list */

void kf_receipt_list_free(struct kf_receipt_list *list)
{
    if (!list)
        return;
    struct receipts r = {.items = list->items, .count = list->count};
    receipts_release(&r);
    *list = (struct kf_receipt_list){0};
}

kf_rc streams_receipts(struct streams *streams, uint64_t before, size_t limit,
                       struct kf_receipt_list *ret_list, struct kf_err *err)
{
    struct receipts found = {0};
    if (limit == 0 || limit > STREAM_LIMIT_MAX)
        return err_set(err, PROBLEM_BAD_FILTER, "limit is 1 to %d", STREAM_LIMIT_MAX);
    int64_t below = before == 0 || before > INT64_MAX ? INT64_MAX : (int64_t)before;
    kf_rc rc = read_receipts(streams, below, limit, &found, err);
    if (rc == KF_OK)
        rc = receipts_json(streams, found.items, found.count, INT64_MAX, err);
    if (rc == KF_OK)
        *ret_list = (struct kf_receipt_list){
            .items = found.items, .count = found.count, .more = found.more};
    else
        receipts_release(&found);
    return rc;
}
