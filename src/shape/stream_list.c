/* What is told of streams: one, or a list by prefix and attributes. */
#include "shape/stream_internal.h"

/* ------------------------------------------------------------------------------------- one */

/* The texts are in the arena, or in a state that lives as long. */
static kf_rc fill_info(const struct stream_state *state, struct arena *arena,
                       struct kf_stream_info *ret, struct kf_err *err)
{
    const struct stream_head *h = &state->head;
    uint32_t at = 0;
    uint64_t count;
    str kind;
    size_t kinds = 0;
    while (state_kind(state, &at, &kind, &count))
        kinds++;
    struct kf_stream_kind *items = arena_alloc(arena, (kinds ? kinds : 1) * sizeof *items);
    if (!items)
        return err_nomem(err);
    at = 0;
    for (size_t i = 0; state_kind(state, &at, &kind, &count); i++) {
        items[i] = (struct kf_stream_kind){arena_dup(arena, kind), count};
        if (!items[i].kind)
            return err_nomem(err);
    }
    *ret = (struct kf_stream_info){.key = state_key(state).p,
                                   .count = h->count,
                                   .last_n = h->last_n,
                                   .bytes = h->bytes,
                                   .first_at_ms = h->first_at,
                                   .last_at_ms = h->last_at,
                                   .born = (uint64_t)h->born,
                                   .kinds = items,
                                   .kind_count = kinds,
                                   .attrs = state_attrs(state).p,
                                   .attrs_len = state_attrs(state).len,
                                   .rings = state_rings(state).p,
                                   .rings_len = state_rings(state).len};
    return KF_OK;
}

/* `owned` of a kf_stream_info. */
struct info {
    struct arena arena;
    struct stream_state *state;
};

static void info_free(struct info *info)
{
    if (!info)
        return;
    state_drop(info->state);
    arena_release(&info->arena);
    mem_free(info);
}

void kf_stream_info_free(struct kf_stream_info *info)
{
    if (!info)
        return;
    info_free(info->owned);
    *info = (struct kf_stream_info){0};
}

kf_rc info_of_state(struct stream_state *state, struct kf_stream_info *ret, struct kf_err *err)
{
    struct kf_stream_info made;
    struct info *info = mem_calloc(1, sizeof *info);
    if (!info)
        return err_nomem(err);
    info->state = state_keep(state);
    kf_rc rc = fill_info(state, &info->arena, &made, err);
    if (rc != KF_OK) {
        info_free(info);
        return rc;
    }
    made.owned = info;
    *ret = made;
    return KF_OK;
}

kf_rc streams_peek_info(struct streams *streams, str key, struct kf_stream_info *ret)
{
    struct window_view v;
    if (atomic_load(&streams->hydrating) ||
        !stream_view_hot(streams, key, memory_hash(&streams->memory, key), &v))
        return KF_ABSENT;
    kf_rc rc = info_of_state(v.state, ret, NULL);
    view_release(&v);
    return rc == KF_OK ? KF_OK : KF_ABSENT;
}

/* From memory, else from the store, which leaves memory as it is. */
static kf_rc find_state(struct streams *streams, str key, struct stream_state **ret,
                        struct kf_err *err)
{
    struct window_view v;
    struct db *db;
    if (stream_view_hot(streams, key, memory_hash(&streams->memory, key), &v)) {
        *ret = state_keep(v.state);
        view_release(&v);
        return KF_OK;
    }
    kf_rc rc = store_read(streams->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = stream_row_load(db, key, ret, err);
    store_read_end(streams->store, db);
    if (rc == KF_OK)
        memory_saw(&streams->memory, *ret, memory_hash(&streams->memory, key));
    return rc;
}

kf_rc streams_info(struct streams *streams, const char *key, struct kf_stream_info *ret,
                   struct kf_err *err)
{
    str k;
    struct stream_state *state = NULL;
    kf_rc rc = streams_key(key, &k, err);
    if (rc == KF_OK && atomic_load(&streams->hydrating))
        rc = streams_not_hydrated(k, err);
    if (rc == KF_OK)
        rc = find_state(streams, k, &state, err);
    if (rc == KF_OK && !state->head.there)
        rc = stream_unknown(k, err);
    if (rc == KF_OK)
        rc = info_of_state(state, ret, err);
    state_drop(state);
    return rc;
}

const struct config_stream *streams_rules(const struct streams *streams, str key)
{
    return config_stream(streams->space, key);
}

/* ------------------------------------------------------------------------------------ activity */

static kf_rc read_activity(struct db *db, str key, const struct stream_state *state, size_t steps,
                           struct stream_activity *ret, uint64_t *counts, struct kf_err *err)
{
    const struct stream_head *h = &state->head;
    struct stream_activity a = {0};
    kf_rc rc = h->there ? KF_OK : stream_unknown(key, err);
    if (rc == KF_OK && h->count) {
        a = (struct stream_activity){.from_ms = h->first_at,
                                     .step_ms = (h->last_at - h->first_at) / (int64_t)steps + 1,
                                     .steps = steps};
    }
    if (rc == KF_OK)
        rc = entries_count_times(db, h->id, a.from_ms, a.step_ms, a.steps, counts, err);
    if (rc == KF_OK)
        *ret = a;
    return rc;
}

kf_rc streams_activity(struct streams *streams, const char *key, size_t steps,
                       struct stream_activity *ret_activity, uint64_t *ret_counts,
                       struct kf_err *err)
{
    str k;
    struct stream_state *state = NULL;
    struct db *db;
    kf_rc rc = streams_key(key, &k, err);
    if (rc == KF_OK && (steps == 0 || steps > STREAM_STEPS_MAX))
        rc = err_set(err, PROBLEM_BAD_FILTER, "steps is 1 to %d", STREAM_STEPS_MAX);
    if (rc == KF_OK && atomic_load(&streams->hydrating))
        rc = streams_not_hydrated(k, err);
    if (rc == KF_OK)
        rc = store_read(streams->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = stream_row_load(db, k, &state, err);
    if (rc == KF_OK)
        rc = read_activity(db, k, state, steps, ret_activity, ret_counts, err);
    store_read_end(streams->store, db);
    if (rc == KF_OK)
        memory_saw(&streams->memory, state, memory_hash(&streams->memory, k));
    state_drop(state);
    return rc;
}

/* --------------------------------------------------------------------------------------- lists */

/* A list while it is made; `owned` of the public struct. */
struct list {
    struct arena arena;
    struct stream_state **states;
    struct kf_stream_info *items;
    size_t count, limit, bytes;
    bool more;
};

static void list_free(struct list *list)
{
    if (!list)
        return;
    for (size_t i = 0; list->states && i < list->count; i++)
        state_drop(list->states[i]);
    arena_release(&list->arena);
    mem_free(list);
}

void kf_stream_list_free(struct kf_stream_list *list)
{
    if (!list)
        return;
    list_free(list->owned);
    *list = (struct kf_stream_list){0};
}

static kf_rc list_new(size_t limit, struct list **ret, struct kf_err *err)
{
    if (limit == 0 || limit > STREAM_LIMIT_MAX)
        return err_set(err, PROBLEM_BAD_FILTER, "limit is 1 to %d", STREAM_LIMIT_MAX);
    struct list *list = mem_calloc(1, sizeof *list);
    if (!list)
        return err_nomem(err);
    list->limit = limit;
    list->items = arena_alloc(&list->arena, limit * sizeof *list->items);
    list->states = arena_alloc(&list->arena, limit * sizeof(struct stream_state *));
    if (!list->items || !list->states) {
        list_free(list);
        return err_nomem(err);
    }
    *ret = list;
    return KF_OK;
}

/* KF_ABSENT when the list is full and there is more. */
static kf_rc list_add(struct list *list, struct db_stmt *s, struct kf_err *err)
{
    struct stream_state *state = NULL;
    kf_rc rc = list->count < list->limit ? stream_row_state(s, 0, &state, err) : KF_ABSENT;
    if (rc == KF_OK && list->count && list->bytes + state_cost(state) > STREAM_LIST_BYTES)
        rc = KF_ABSENT;
    if (rc != KF_OK) {
        list->more = list->more || rc == KF_ABSENT;
        state_drop(state);
        return rc;
    }
    list->bytes += state_cost(state);
    list->states[list->count] = state;
    return fill_info(state, &list->arena, &list->items[list->count++], err);
}

/* What a list asks for: keys from `from` on, or behind it. */
struct asking {
    struct list *list;
    struct db *db;
    str prefix;
    const struct kf_stream_filter *filters;
    size_t filter_count;
    struct buf from; /* moves on with each page */
    bool behind;
};

/* As many rows as are asked for at one time: on PostgreSQL what a statement has not given yet
 * stands in memory while another one runs. */
#define LIST_PAGE 64

/* Without rings, which would be most of a list, and which whoever wants one stream gets with it. */
#define LISTED                                                                       \
    "s.id, s.key, s.rev, s.count, s.last_n, s.bytes, s.first_at, s.last_at, s.seq, " \
    "s.stamp, s.site, s.born, s.kinds, '{}', s.attrs"

static kf_rc move_on(struct asking *a, str key, struct kf_err *err)
{
    buf_clear(&a->from);
    buf_str(&a->from, key);
    a->behind = true;
    return buf_ok(&a->from, err);
}

/* KF_ABSENT: that was the last one, also when the list is full. Keys come in order, and those with
 * the prefix are over with the first that has it not. */
static kf_rc page_all(struct asking *a, struct kf_err *err)
{
    static const char from_sql[] = "SELECT " LISTED " FROM kf_stream s "
                                   "WHERE s.key >= $1 ORDER BY s.key LIMIT $2";
    static const char behind_sql[] = "SELECT " LISTED " FROM kf_stream s "
                                     "WHERE s.key > $1 ORDER BY s.key LIMIT $2";
    struct db_stmt *s;
    struct buf last = BUF_INIT;
    size_t rows = 0;
    bool row = false;
    kf_rc rc = db_use(a->db, a->behind ? behind_sql : from_sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, buf_view(&a->from));
    db_bind_i64(s, 2, LIST_PAGE);
    while (rc == KF_OK && (rc = db_step(s, &row, err)) == KF_OK && row) {
        rc = str_starts(db_text(s, 1), a->prefix) ? list_add(a->list, s, err) : KF_ABSENT;
        buf_clear(&last);
        buf_str(&last, db_text(s, 1));
        rows++;
    }
    db_done(s);
    if (rc == KF_OK)
        rc = buf_ok(&last, err);
    if (rc == KF_OK)
        rc = rows == LIST_PAGE ? move_on(a, buf_view(&last), err) : KF_ABSENT;
    buf_release(&last);
    return rc;
}

/* Whether the stream has the other attributes, too. */
static kf_rc has_others(const struct asking *a, str key, bool *ret, struct kf_err *err)
{
    static const char sql[] =
        "SELECT 1 FROM kf_stream_attr WHERE name = $1 AND value = $2 AND key = $3";
    kf_rc rc = KF_OK;
    *ret = true;
    for (size_t i = 1; rc == KF_OK && *ret && i < a->filter_count; i++) {
        struct db_stmt *s;
        if ((rc = db_use(a->db, sql, &s, err)) != KF_OK)
            break;
        db_bind_text(s, 1, str_of(a->filters[i].name));
        db_bind_text(s, 2, str_of(a->filters[i].value));
        db_bind_text(s, 3, key);
        rc = db_step(s, ret, err);
        db_done(s);
    }
    return rc;
}

static kf_rc add_key(struct asking *a, str key, struct kf_err *err)
{
    static const char sql[] = "SELECT " LISTED " FROM kf_stream s WHERE s.key = $1";
    struct db_stmt *s;
    bool fits = false, row = false;
    kf_rc rc = has_others(a, key, &fits, err);
    if (rc != KF_OK || !fits)
        return rc;
    if ((rc = db_use(a->db, sql, &s, err)) != KF_OK)
        return rc;
    db_bind_text(s, 1, key);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row)
        rc = list_add(a->list, s, err);
    db_done(s);
    return rc;
}

/* The next keys that the first filter gives, each with a NUL behind it. */
static kf_rc read_keys(struct asking *a, struct buf *keys, size_t *ret_count, struct kf_err *err)
{
    static const char sql[] = "SELECT key FROM kf_stream_attr WHERE name = $1 AND value = $2 AND "
                              "key >= $3 AND key <> $4 ORDER BY key LIMIT $5";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(a->db, sql, &s, err);
    *ret_count = 0;
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, str_of(a->filters[0].name));
    db_bind_text(s, 2, str_of(a->filters[0].value));
    db_bind_text(s, 3, buf_view(&a->from));
    db_bind_text(s, 4, a->behind ? buf_view(&a->from) : STR(""));
    db_bind_i64(s, 5, LIST_PAGE);
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        buf_str(keys, db_text(s, 0));
        buf_byte(keys, '\0');
        ++*ret_count;
    }
    db_done(s);
    return rc == KF_OK ? buf_ok(keys, err) : rc;
}

/* The first filter drives; as page_all. */
static kf_rc page_filtered(struct asking *a, struct kf_err *err)
{
    struct buf keys = BUF_INIT;
    size_t count = 0, at = 0;
    kf_rc rc = read_keys(a, &keys, &count, err);
    for (size_t i = 0; rc == KF_OK && i < count; i++) {
        str key = str_of(keys.p + at);
        rc = str_starts(key, a->prefix) ? add_key(a, key, err) : KF_ABSENT;
        if (rc == KF_OK && i + 1 == LIST_PAGE)
            rc = move_on(a, key, err);
        at += key.len + 1;
    }
    buf_release(&keys);
    return rc == KF_OK && count < LIST_PAGE ? KF_ABSENT : rc;
}

static kf_rc list_pages(struct asking *a, str from, struct kf_err *err)
{
    kf_rc rc;
    buf_str(&a->from, from);
    rc = buf_ok(&a->from, err);
    while (rc == KF_OK)
        rc = a->filter_count ? page_filtered(a, err) : page_all(a, err);
    buf_release(&a->from);
    return rc == KF_ABSENT ? KF_OK : rc;
}

static kf_rc check_filters(const struct kf_stream_filter *filters, size_t count, struct kf_err *err)
{
    if (count > STREAM_FILTERS_MAX)
        return err_set(err, PROBLEM_BAD_FILTER, "at most %d attributes can be asked for",
                       STREAM_FILTERS_MAX);
    if (count && !filters)
        return err_set(err, PROBLEM_MISUSE, "the filters are NULL");
    for (size_t i = 0; i < count; i++)
        if (!filters[i].name || !filters[i].value)
            return err_set(err, PROBLEM_MISUSE, "a filter has no name or no value");
    return KF_OK;
}

kf_rc streams_list(struct streams *streams, const char *prefix, const char *after, size_t limit,
                   const struct kf_stream_filter *filters, size_t filter_count,
                   struct kf_stream_list *ret_list, struct kf_err *err)
{
    struct list *list = NULL;
    struct db *db;
    str p = prefix ? str_of(prefix) : STR("");
    struct asking asking = {
        .prefix = p, .filters = filters, .filter_count = filter_count, .from = BUF_INIT};
    asking.behind = after && str_cmp(str_of(after), p) >= 0;
    kf_rc rc = check_filters(filters, filter_count, err);
    if (rc == KF_OK && atomic_load(&streams->hydrating))
        rc = err_set(
            err, PROBLEM_NOT_HYDRATED,
            "the store is still being filled from its remotes: a list would have holes. See "
            "`keepfast status` for the remote that is waited for");
    if (rc == KF_OK)
        rc = list_new(limit, &list, err);
    if (rc == KF_OK)
        rc = store_read(streams->store, &db, err);
    if (rc == KF_OK) {
        asking.list = list;
        asking.db = db;
        rc = list_pages(&asking, asking.behind ? str_of(after) : p, err);
        store_read_end(streams->store, db);
    }
    if (rc == KF_OK)
        *ret_list = (struct kf_stream_list){
            .items = list->items, .count = list->count, .more = list->more, .owned = list};
    else
        list_free(list);
    return rc;
}
