/* What is pending is a query: documents, entries and changes of streams whose number is above the
 * watermark and whose name the remote takes, and those at or below it that are withheld (W6). */
#include "remote/stream_part.h"
#include "remote/remotes_internal.h"
#include "shape/stream.h"
#include "store/clock.h"

struct walk {
    const struct remote_entry *entry;
    uint64_t count, bytes, limit;
    int64_t oldest_ms, oldest_stream_ms;
};

static kf_rc count_head(void *ctx, const struct doc_row *row, struct kf_err *err)
{
    struct walk *w = ctx;
    if (!entry_wants(w->entry, row->name))
        return KF_OK;
    w->count++;
    w->bytes += row->size;
    return w->count >= w->limit ? KF_ABSENT : KF_OK;
}

/* The first version of all above the watermark: the walk ends there. */
static kf_rc first_version(void *ctx, const struct doc_row *row, struct kf_err *err)
{
    struct walk *w = ctx;
    if (!entry_wants(w->entry, row->name))
        return KF_OK;
    w->oldest_ms = row->at_ms;
    return KF_ABSENT;
}

static kf_rc walk_changes(struct db *db, int64_t watermark, struct walk *w, struct kf_err *err)
{
    size_t count;
    kf_rc rc = doc_changes(db, watermark, (size_t)INT64_MAX, false, count_head, w, &count, err);
    return rc == KF_ABSENT ? KF_OK : rc;
}

/* ------------------------------------------------------------------------------------- streams */

struct stream_walk {
    const struct remote_entry *entry;
    doc_visit *visit;
    void *ctx;
};

static kf_rc walk_entry(void *ctx, const struct entry_row *row, struct kf_err *err)
{
    struct stream_walk *w = ctx;
    const struct doc_row told = {.name = row->key,
                                 .seq = row->seq,
                                 .version = row->n,
                                 .size = row->size,
                                 .at_ms = clock_stamp_ms(row->stamp)};
    return entry_wants(w->entry, row->key) ? w->visit(w->ctx, &told, err) : KF_OK;
}

static kf_rc walk_change(void *ctx, const struct stream_row *row, struct kf_err *err)
{
    struct stream_walk *w = ctx;
    const struct doc_row told = {.name = row->key,
                                 .seq = row->seq,
                                 .deleted = !row->there,
                                 .size = row->attrs.len,
                                 .at_ms = clock_stamp_ms(row->stamp)};
    return entry_wants(w->entry, row->key) ? w->visit(w->ctx, &told, err) : KF_OK;
}

kf_rc pending_streams(const struct remote_entry *e, struct db *db, int64_t watermark,
                      doc_visit *visit, void *ctx, struct kf_err *err)
{
    struct stream_walk w = {e, visit, ctx};
    size_t count;
    kf_rc rc = stream_changes(db, watermark, (size_t)INT64_MAX, walk_change, &w, &count, err);
    if (rc == KF_OK)
        rc = stream_entries_since(db, watermark, INT64_MAX, (size_t)INT64_MAX, false, walk_entry,
                                  &w, &count, err);
    return rc;
}

static kf_rc count_stream(void *ctx, const struct doc_row *row, struct kf_err *err)
{
    struct walk *w = ctx;
    w->count++;
    w->bytes += row->size;
    if (row->at_ms && (!w->oldest_stream_ms || row->at_ms < w->oldest_stream_ms))
        w->oldest_stream_ms = row->at_ms;
    return w->count >= w->limit ? KF_ABSENT : KF_OK;
}

static kf_rc walk_streams(const struct remote_entry *e, struct db *db, int64_t watermark,
                          struct walk *w, struct kf_err *err)
{
    kf_rc rc = w->count < w->limit ? pending_streams(e, db, watermark, count_stream, w, err)
                                   : KF_OK;
    return rc == KF_ABSENT ? KF_OK : rc;
}

/* ----------------------------------------------------------------------------- who waits for it */

/* Also what is withheld is not confirmed. With the lock held. */
static int64_t floor_of(const struct remote_entry *e, str key)
{
    int64_t first = withheld_first(e->withheld, key);
    return first <= e->watermark ? first - 1 : e->watermark;
}

int64_t remotes_floor(void *ctx, str key)
{
    struct remotes *r = ctx;
    int64_t floor = INT64_MAX;
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < REMOTES_MAX; i++) {
        const struct remote_entry *e = r->entries[i];
        int64_t of = e && entry_wants(e, key) ? floor_of(e, key) : INT64_MAX;
        floor = of < floor ? of : floor;
    }
    pthread_mutex_unlock(&r->lock);
    return floor;
}

/* Every remote, whatever patterns it has: keys of streams are as free as names of documents, so any
 * pattern may have taken one; a receipt does not keep which it was, and is asked for years later,
 * when the patterns are others. To leave out one that has something is what must not happen. */
void remotes_holders(void *ctx, int64_t until, struct buf *out)
{
    struct remotes *r = ctx;
    bool any = false;
    pthread_mutex_lock(&r->lock);
    int64_t wanted = until < r->last_seq ? until : r->last_seq;
    for (int i = 0; i < REMOTES_MAX; i++) {
        const struct remote_entry *e = r->entries[i];
        if (!e)
            continue;
        buf_c(out, any ? ",{\"remote\":" : "{\"remote\":");
        buf_json_string(out, str_of(e->name));
        buf_printf(out, ",\"kind\":\"%s\",\"state\":\"%s\"", e->driver->kind,
                   e->watermark >= wanted ? "confirmed" : "pending");
        if (e->driver->caps & REMOTE_EXACT_BYTES)
            buf_c(out, ",\"still\":\"what a push has replaced, for an hour\"");
        else
            buf_c(out, ",\"still\":\"earlier commits of the branch\"");
        buf_byte(out, '}');
        any = true;
    }
    pthread_mutex_unlock(&r->lock);
}

static kf_rc count_withheld(void *ctx, const struct doc_row *row, struct kf_err *err)
{
    struct walk *w = ctx;
    (void)err;
    w->count++;
    w->bytes += row->size;
    if (!w->oldest_ms || row->at_ms < w->oldest_ms)
        w->oldest_ms = row->at_ms;
    return KF_OK;
}

kf_rc pending_of(struct remote_entry *e, int64_t watermark, struct kf_pending *ret,
                 struct kf_err *err)
{
    struct remotes *r = e->remotes;
    struct walk w = {.entry = e, .limit = UINT64_MAX};
    struct db *db;
    size_t count;
    kf_rc rc = store_read_lenient(r->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = walk_changes(db, watermark, &w, err);
    if (rc == KF_OK && w.count) {
        rc = doc_all_versions(db, watermark, INT64_MAX, (size_t)INT64_MAX, first_version, &w,
                              &count, err);
        if (rc == KF_ABSENT)
            rc = KF_OK;
    }
    if (rc == KF_OK)
        rc = walk_streams(e, db, watermark, &w, err);
    if (rc == KF_OK && w.oldest_stream_ms && (!w.oldest_ms || w.oldest_stream_ms < w.oldest_ms))
        w.oldest_ms = w.oldest_stream_ms;
    if (rc == KF_OK)
        rc = withheld_pending(db, str_of(e->name), watermark, count_withheld, &w, err);
    store_read_end(r->store, db);
    if (rc == KF_OK)
        *ret = (struct kf_pending){w.count, w.bytes, w.oldest_ms};
    return rc;
}

kf_rc pending_count(struct remote_entry *e, int64_t watermark, uint64_t limit, uint64_t *ret,
                    int64_t *ret_seq, struct kf_err *err)
{
    static const char sql[] = "SELECT seq FROM kf_state WHERE id = 1";
    struct remotes *r = e->remotes;
    struct walk w = {.entry = e, .limit = limit};
    struct db *db;
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = store_read_lenient(r->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = walk_changes(db, watermark, &w, err);
    if (rc == KF_OK)
        rc = walk_streams(e, db, watermark, &w, err);
    if (rc == KF_OK && (rc = db_use(db, sql, &s, err)) == KF_OK) {
        rc = db_step(s, &row, err);
        if (rc == KF_OK)
            *ret_seq = db_i64(s, 0);
        db_done(s);
    }
    store_read_end(r->store, db);
    if (rc == KF_OK)
        *ret = w.count;
    return rc;
}

kf_rc pending_now(struct remote_entry *e, struct kf_pending *ret, struct kf_err *err)
{
    struct remotes *r = e->remotes;
    struct kf_pending p = {0};
    int64_t seq = store_seq(r->store);
    pthread_mutex_lock(&r->lock);
    if (r->shared && r->last_seq > seq) /* what others wrote */
        seq = r->last_seq;
    int64_t watermark = e->watermark, first = e->first_wall_ms;
    bool cached = e->cache_seq == seq && e->cache_watermark == watermark;
    if (cached)
        *ret = e->cache;
    pthread_mutex_unlock(&r->lock);
    if (cached)
        return KF_OK;
    kf_rc rc = pending_of(e, watermark, &p, err);
    if (rc != KF_OK)
        return rc;
    if (p.count && first && (!p.oldest_ms || first < p.oldest_ms))
        p.oldest_ms = first; /* its version may be kept no longer */
    pthread_mutex_lock(&r->lock);
    /* What was read may be younger than `seq`; an older number only means to read again. */
    e->cache = p;
    e->cache_seq = seq;
    e->cache_watermark = watermark;
    pthread_mutex_unlock(&r->lock);
    *ret = p;
    return KF_OK;
}

/* ------------------------------------------------------------------------------ `after` so many */

struct counting {
    struct task task; /* first */
    struct remotes *remotes;
};

/* With the lock held. More cannot be pending than were and than numbers were given since. */
static bool may_be_full(const struct remote_entry *e, int64_t seq)
{
    uint64_t since = seq > e->counted_seq ? (uint64_t)(seq - e->counted_seq) : 0;
    return e->schedule.after && !e->full_ms && e->counted + since >= e->schedule.after;
}

static void count_one(struct remote_entry *e)
{
    struct remotes *r = e->remotes;
    uint64_t count = 0;
    int64_t seq = 0;
    pthread_mutex_lock(&r->lock);
    int64_t watermark = e->watermark;
    bool wanted = may_be_full(e, r->last_seq);
    pthread_mutex_unlock(&r->lock);
    if (!wanted || pending_count(e, watermark, e->schedule.after, &count, &seq, NULL) != KF_OK)
        return;
    pthread_mutex_lock(&r->lock);
    if (watermark == e->watermark) {
        e->counted = count;
        e->counted_seq = seq;
        if (count >= e->schedule.after && !e->full_ms)
            e->full_ms = remotes_now(r);
    }
    pthread_mutex_unlock(&r->lock);
}

static void count_work(struct task *t)
{
    struct remotes *r = ((struct counting *)t)->remotes;
    for (int i = 0; i < REMOTES_MAX; i++) {
        struct remote_entry *e = entry_at(r, i);
        if (e)
            count_one(e);
        entry_drop(e);
    }
}

static void count_done(struct task *t)
{
    struct remotes *r = t->remotes;
    mem_free(t);
    if (!r)
        return;
    r->counting = false;
    remotes_plan(r);
}

void pending_count_soon(struct remotes *r)
{
    bool wanted = false;
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < REMOTES_MAX; i++)
        wanted |= r->entries[i] && may_be_full(r->entries[i], r->last_seq);
    pthread_mutex_unlock(&r->lock);
    if (!wanted || r->counting)
        return;
    struct counting *c = mem_calloc(1, sizeof(*c));
    if (!c)
        return; /* the next commit tries again */
    c->remotes = r;
    c->task.work = count_work;
    c->task.done = count_done;
    r->counting = task_start(r, &c->task, NULL) == KF_OK;
    if (!r->counting)
        mem_free(c);
}
