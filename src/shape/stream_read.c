/* Reading entries: from the window where it has what is asked for, else from the store.
 *
 *     last, context       the window; one that is not there is loaded into memory
 *     after, before,      the window when memory has one that reaches far enough, else the store,
 *     first, times, kind  which leaves memory as it is
 *
 * A window is the newest entries without a hole. So it knows the newest of something unless it runs
 * out of entries before it has enough of them, and everything behind a number that is not before
 * its first. */
#include "shape/stream_internal.h"

#include "base/public.h"

/* --------------------------------------------------------------------------------------- lists */

struct entries {
    struct arena arena;
    struct window_block *block; /* which the items lie in; NULL: in the arena */
    const char *key;
    struct kf_entry *items; /* own, or of their own allocation */
    size_t count, cap;
    struct kf_entry own[]; /* as many as were known to come, and the key behind them */
};

void entries_free(struct entries *list)
{
    if (!list)
        return;
    block_drop(list->block);
    arena_release(&list->arena);
    if (list->items != list->own)
        mem_free(list->items);
    mem_free(list);
}

void kf_entry_list_free(struct kf_entry_list *list)
{
    if (!list)
        return;
    entries_free(list->owned);
    *list = (struct kf_entry_list){0};
}

static kf_rc make_room(struct entries *list, struct kf_err *err)
{
    if (list->count < list->cap)
        return KF_OK;
    size_t cap = list->cap ? list->cap * 2 : 16;
    bool own = list->items == list->own;
    struct kf_entry *items = mem_realloc(own ? NULL : list->items, cap * sizeof *items);
    if (!items)
        return err_nomem(err);
    if (own)
        memcpy(items, list->own, list->count * sizeof *items);
    list->items = items;
    list->cap = cap;
    return KF_OK;
}

kf_rc entries_new(str key, size_t cap, struct entries **ret, struct kf_err *err)
{
    struct entries *list = mem_alloc(sizeof *list + cap * sizeof *list->own + key.len + 1);
    if (!list)
        return err_nomem(err);
    char *own_key = (char *)(list->own + cap);
    if (key.len)
        memcpy(own_key, key.p, key.len);
    own_key[key.len] = '\0';
    *list = (struct entries){.key = own_key, .items = list->own, .cap = cap};
    *ret = list;
    return KF_OK;
}

kf_rc entries_key(struct entries *list, str key, struct kf_err *err)
{
    if (str_is(key, list->key))
        return KF_OK;
    const char *copy = arena_dup(&list->arena, key);
    if (!copy)
        return err_nomem(err);
    list->key = copy;
    return KF_OK;
}

void entries_give(struct entries *list, const struct stream_state *of, bool more,
                  struct kf_entry_list *ret)
{
    *ret = (struct kf_entry_list){.items = list->items,
                                  .count = list->count,
                                  .more = more,
                                  .born = of ? (uint64_t)of->head.born : 0,
                                  .owned = list};
}

static struct kf_entry item_of(const struct entry_seen *e, const char *key)
{
    return (struct kf_entry){.n = e->n,
                             .stream = key,
                             .id = e->id.p,
                             .kind = e->kind.p,
                             .id_len = e->id.len,
                             .kind_len = e->kind.len,
                             .at_ms = e->at_ms,
                             .body = e->body.p,
                             .len = e->body.len,
                             .attach = e->attach.p,
                             .attach_len = e->attach.len};
}

kf_rc entries_copy(void *ctx, const struct entry_seen *e, struct kf_err *err)
{
    struct entries *list = ctx;
    struct entry_seen copy = *e;
    kf_rc rc = make_room(list, err);
    if (rc != KF_OK)
        return rc;
    copy.id.p = arena_dup(&list->arena, e->id);
    copy.kind.p = arena_dup(&list->arena, e->kind);
    copy.body.p = arena_dup(&list->arena, e->body);
    if (e->attach.p)
        copy.attach.p = arena_dup(&list->arena, e->attach);
    if (!copy.id.p || !copy.kind.p || !copy.body.p || (e->attach.p && !copy.attach.p))
        return err_nomem(err);
    list->items[list->count++] = item_of(&copy, list->key);
    return KF_OK;
}

/* ------------------------------------------------------------------------------- from a window */

/* A run of records: from one place on, so many that fit, among others that do not. */
struct run {
    uint32_t place; /* of the first of them */
    size_t count;
    bool more, known; /* known: the window can say it all */
};

static size_t weight(const struct window_record *r)
{
    return (size_t)r->len + r->attach_len;
}

static bool fits(const struct entry_want *want, const struct window_record *r)
{
    struct entry_seen e = {.n = r->n, .at_ms = r->at_ms};
    if (want->kind.p)
        record_seen(r, &e);
    return want_fits(want, e.n, e.at_ms, e.kind);
}

/* In records, in bytes of one of them, and what memory gives at once. */
#define AHEAD     32
#define AHEAD_MAX 512
#define LINE      64

static bool is_whole(const struct window_view *v)
{
    return v->window.count == v->state->head.count;
}

/* Each record says where the one before it lies, so none is asked of memory before the last one has
 * come from there. Most are about as long as their neighbours: by that guess those that are `ahead`
 * records further on are asked for. */
static void come_closer(const struct window *w, uint32_t place, uint32_t prev, uint32_t ahead)
{
    uint64_t back = (uint64_t)prev * ahead;
    if (back && back <= place)
        for (uint32_t i = 0; i < prev && i < AHEAD_MAX; i += LINE)
            __builtin_prefetch(w->block->data + place - back + i);
}

/* Backwards from the newest: as many as are wanted, and whether there is one more. */
static struct run find_newest(const struct window_view *v, const struct entry_want *want)
{
    const struct window *w = &v->window;
    struct run run = {.place = w->first};
    size_t bytes = 0;
    bool plain = want_newest(want);
    /* One more than is wanted, which tells that there is more. */
    uint32_t looks = plain && want->limit < w->count ? (uint32_t)want->limit + 1 : w->count;
    for (uint32_t ahead = 1; ahead < AHEAD && ahead < looks; ahead++)
        come_closer(w, w->last, window_at(w, w->last)->prev, ahead);
    for (uint32_t i = w->count, place = w->last; i > 0; i--) {
        const struct window_record *r = window_at(w, place);
        if (plain || fits(want, r)) {
            bytes += weight(r);
            run.more = run.count == want->limit ||
                       (bytes > want->bytes && (run.count || want->strict));
            if (run.more)
                break;
            run.place = place;
            run.count++;
        }
        if (w->count - i + AHEAD < looks)
            come_closer(w, place, r->prev, AHEAD);
        place -= r->prev;
    }
    run.known = run.more || is_whole(v) || (plain && run.count == want->limit);
    run.more = run.more || (run.known && !is_whole(v));
    return run;
}

/* Forwards, for what is behind a number. */
static struct run find_behind(const struct window_view *v, const struct entry_want *want)
{
    const struct window *w = &v->window;
    struct run run = {.place = w->first};
    uint64_t after = want->mode == WANT_AFTER ? want->n : 0;
    size_t bytes = 0;
    bool reaches = w->count && window_at(w, w->first)->n <= after + 1 && after < UINT64_MAX;
    run.known = is_whole(v) || reaches || after >= v->state->head.last_n;
    for (uint32_t i = 0, place = w->first; run.known && i < w->count; i++) {
        const struct window_record *r = window_at(w, place);
        if (fits(want, r)) {
            bytes += weight(r);
            run.more = run.count == want->limit || (bytes > want->bytes && run.count);
            if (run.more)
                break;
            if (!run.count)
                run.place = place;
            run.count++;
        }
        place += r->size;
    }
    return run;
}

/* The list shares the block with the window. */
static kf_rc list_run(struct window_view *v, const struct entry_want *want, const struct run *run,
                      struct kf_entry_list *ret, struct kf_err *err)
{
    struct entries *list = NULL;
    kf_rc rc = entries_new(state_key(v->state), run->count, &list, err);
    if (!list)
        return rc;
    bool plain = want_newest(want);
    for (uint32_t place = run->place; list->count < run->count;) {
        const struct window_record *r = window_at(&v->window, place);
        struct entry_seen e;
        if (plain || fits(want, r)) {
            record_seen(r, &e);
            list->items[list->count++] = item_of(&e, list->key);
        }
        place += r->size;
    }
    if (run->count) {
        list->block = v->window.block;
        v->window = (struct window){0};
    }
    entries_give(list, v->state, run->more, ret);
    return KF_OK;
}

bool entries_of_view(struct window_view *v, const struct entry_want *want,
                     struct kf_entry_list *ret_list, kf_rc *ret_rc, struct kf_err *err)
{
    bool backwards = want->mode == WANT_LAST || want->mode == WANT_BEFORE;
    struct run run = backwards ? find_newest(v, want) : find_behind(v, want);
    if (run.known)
        *ret_rc = list_run(v, want, &run, ret_list, err);
    return run.known;
}

/* --------------------------------------------------------------------------------------- query */

static kf_rc check_query(const struct kf_entry_query *q, struct kf_err *err)
{
    if ((q->last != 0) + (q->after != 0) + (q->before != 0) > 1)
        return err_set(err, PROBLEM_BAD_FILTER, "last, after and before exclude each other");
    if (q->last > STREAM_LIMIT_MAX)
        return err_set(err, PROBLEM_BAD_FILTER, "last is 1 to %d", STREAM_LIMIT_MAX);
    if (q->limit > STREAM_LIMIT_MAX)
        return err_set(err, PROBLEM_BAD_FILTER, "limit is 1 to %d", STREAM_LIMIT_MAX);
    if (q->from_ms && q->until_ms && q->from_ms >= q->until_ms)
        return err_set(err, PROBLEM_BAD_FILTER, "from is not before until");
    if (q->kind && *q->kind && !config_kind_ok(str_of(q->kind)))
        return err_set(err, PROBLEM_BAD_FILTER, "there is no kind \"%.60s\"", q->kind);
    return KF_OK;
}

static kf_rc want_of(const struct kf_entry_query *given, struct entry_want *ret, struct kf_err *err)
{
    struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
    kf_rc rc = options_take(given, &q, sizeof q, err);
    if (rc == KF_OK)
        rc = check_query(&q, err);
    if (rc != KF_OK)
        return rc;
    *ret = (struct entry_want){
        .mode = q.last     ? WANT_LAST
                : q.after  ? WANT_AFTER
                : q.before ? WANT_BEFORE
                           : WANT_FIRST,
        .n = q.after ? q.after : q.before,
        .from_ms = q.from_ms ? q.from_ms : INT64_MIN,
        .until_ms = q.until_ms ? q.until_ms : INT64_MAX,
        .kind = str_of(q.kind),
        .limit = q.last    ? q.last
                 : q.limit ? q.limit
                           : STREAM_LIMIT,
        .bytes = STREAM_LIST_BYTES,
    };
    return KF_OK;
}

/* In the store; memory stays as it is. */
static kf_rc read_stored(struct streams *streams, str key, const struct entry_want *want,
                         struct kf_entry_list *ret_list, struct kf_err *err)
{
    struct stream_state *state = NULL;
    struct entries *list = NULL;
    struct db *db;
    bool more = false;
    kf_rc rc = entries_new(key, 0, &list, err);
    if (rc != KF_OK)
        return rc;
    rc = store_read(streams->store, &db, err);
    if (rc == KF_OK) {
        rc = stream_row_load(db, key, &state, err);
        if (rc == KF_OK && !state->head.there)
            rc = stream_unknown(key, err);
        if (rc == KF_OK)
            rc = entries_read(db, state->head.id, key, want, entries_copy, list, &more, err);
        store_read_end(streams->store, db);
    }
    if (rc == KF_OK)
        memory_saw(&streams->memory, state, memory_hash(&streams->memory, key));
    if (rc == KF_DAMAGED)
        stream_log_damage(streams, key, err);
    if (rc == KF_OK)
        entries_give(list, state, more, ret_list);
    else
        entries_free(list);
    state_drop(state);
    return rc;
}

/* From memory alone: false when it cannot say. */
static bool read_hot(struct streams *streams, str key, uint64_t hash, const struct entry_want *want,
                     struct kf_entry_list *ret_list, kf_rc *ret_rc, struct kf_err *err)
{
    struct window_view v;
    if (!stream_view_hot(streams, key, hash, &v))
        return false;
    bool known = entries_of_view(&v, want, ret_list, ret_rc, err);
    view_release(&v);
    if (known)
        memory_count(&streams->memory, hash, true);
    return known;
}

static kf_rc read_entries(struct streams *streams, str key, const struct entry_want *want,
                          struct kf_entry_list *ret_list, struct kf_err *err)
{
    uint64_t hash = memory_hash(&streams->memory, key);
    struct window_view v;
    kf_rc rc = KF_OK;
    if (atomic_load(&streams->hydrating))
        return streams_not_hydrated(key, err);
    if (read_hot(streams, key, hash, want, ret_list, &rc, err))
        return rc;
    memory_count(&streams->memory, hash, false);
    if (!want_newest(want) || want->limit > config_stream(streams->space, key)->window)
        return read_stored(streams, key, want, ret_list, err);
    rc = stream_view(streams, key, hash, &v, err);
    if (rc == KF_ABSENT)
        return stream_unknown(key, err);
    if (rc == KF_DAMAGED) { /* somewhere in the window: not all of it may be wanted */
        err_clear(err);
        return read_stored(streams, key, want, ret_list, err);
    }
    if (rc != KF_OK)
        return rc;
    bool known = entries_of_view(&v, want, ret_list, &rc, err);
    view_release(&v);
    return known ? rc : read_stored(streams, key, want, ret_list, err);
}

kf_rc streams_entries(struct streams *streams, const char *key, const struct kf_entry_query *query,
                      struct kf_entry_list *ret_list, struct kf_err *err)
{
    str k;
    struct entry_want want;
    kf_rc rc = streams_key(key, &k, err);
    if (rc == KF_OK)
        rc = want_of(query, &want, err);
    return rc == KF_OK ? read_entries(streams, k, &want, ret_list, err) : rc;
}

static kf_rc peek(struct streams *streams, str key, const struct entry_want *want,
                  struct kf_entry_list *ret_list)
{
    kf_rc rc = KF_OK;
    uint64_t hash = memory_hash(&streams->memory, key);
    if (atomic_load(&streams->hydrating) ||
        !read_hot(streams, key, hash, want, ret_list, &rc, NULL))
        return KF_ABSENT;
    return rc == KF_OK ? KF_OK : KF_ABSENT;
}

kf_rc streams_peek(struct streams *streams, str key, const struct kf_entry_query *query,
                   struct kf_entry_list *ret_list)
{
    struct entry_want want;
    if (want_of(query, &want, NULL) != KF_OK)
        return KF_ABSENT;
    return peek(streams, key, &want, ret_list);
}

/* ------------------------------------------------------------------------------------- context */

static kf_rc context_of(const struct kf_context_options *given, struct entry_want *ret,
                        const char **ret_across, struct kf_err *err)
{
    struct kf_context_options o = KF_CONTEXT_OPTIONS_INIT;
    kf_rc rc = options_take(given, &o, sizeof o, err);
    if (rc != KF_OK)
        return rc;
    if (o.entries > STREAM_LIMIT_MAX)
        return err_set(err, PROBLEM_BAD_FILTER, "entries is 1 to %d", STREAM_LIMIT_MAX);
    if (o.across && !*o.across)
        return err_set(err, PROBLEM_BAD_FILTER, "across names an attribute");
    *ret_across = o.across;
    *ret = (struct entry_want){
        .mode = WANT_LAST,
        .from_ms = INT64_MIN,
        .until_ms = INT64_MAX,
        .limit = o.entries ? o.entries : 20,
        .bytes = o.bytes && o.bytes < STREAM_LIST_BYTES ? o.bytes : STREAM_LIST_BYTES,
        .strict = true,
    };
    return KF_OK;
}

kf_rc streams_context(struct streams *streams, const char *key,
                      const struct kf_context_options *options, stream_sees *sees, void *ctx,
                      struct kf_entry_list *ret_list, struct kf_err *err)
{
    str k;
    struct entry_want want;
    const char *across = NULL;
    kf_rc rc = streams_key(key, &k, err);
    if (rc == KF_OK)
        rc = context_of(options, &want, &across, err);
    if (rc != KF_OK)
        return rc;
    want.sees = sees;
    want.sees_ctx = ctx;
    return across ? stream_across(streams, k, str_of(across), &want, ret_list, err)
                  : read_entries(streams, k, &want, ret_list, err);
}

kf_rc streams_peek_context(struct streams *streams, str key,
                           const struct kf_context_options *options, struct kf_entry_list *ret_list)
{
    struct entry_want want;
    const char *across = NULL;
    if (context_of(options, &want, &across, NULL) != KF_OK || across)
        return KF_ABSENT;
    return peek(streams, key, &want, ret_list);
}
