/* The public calls of tracked tables. Each passes the store's gate and looks at the place of its
 * result; what it gives away lies in an arena of the list. */
#include "base/err.h"
#include "base/mem.h"
#include "base/public.h"
#include "shape/track.h"

#define LIMIT_MAX 1000

struct owned {
    struct arena arena;
};

static void owned_free(struct owned *o)
{
    if (o)
        arena_release(&o->arena);
    mem_free(o);
}

static kf_rc enter_with(kf_store *store, const void *must, const char *what, struct kf_err *err)
{
    kf_rc rc = store_enter(store, err);
    if (rc == KF_OK && !must)
        rc = store_leave(store, err_set(err, PROBLEM_MISUSE, "the %s is NULL", what));
    return rc;
}

/* ------------------------------------------------------------------------------------- tables */

kf_rc kf_track(kf_store *store, const char *table, bool *ret_new, struct kf_err *err)
{
    bool is_new = false;
    kf_rc rc = enter_with(store, table, "name of the table", err);
    if (rc != KF_OK)
        return rc;
    rc = tracks_add(store, table, &is_new, err);
    if (rc == KF_OK && ret_new)
        *ret_new = is_new;
    return store_leave(store, rc);
}

kf_rc kf_untrack(kf_store *store, const char *table, struct kf_err *err)
{
    kf_rc rc = enter_with(store, table, "name of the table", err);
    return rc == KF_OK ? store_leave(store, tracks_remove(store, table, err)) : rc;
}

static kf_rc give_tables(const struct track_status *t, struct owned *o, struct kf_tracked_list *ret,
                         struct kf_err *err)
{
    struct kf_tracked_list list = {.count = t->table_count,
                                   .holder_count = t->holder_count,
                                   .waiting = t->waiting,
                                   .waiting_ms = t->oldest_ms,
                                   .owned = o};
    list.items = arena_alloc(&o->arena, (t->table_count + 1) * sizeof *list.items);
    list.holders = arena_alloc(&o->arena, (t->holder_count + 1) * sizeof *list.holders);
    if (!list.items || !list.holders)
        return err_nomem(err);
    for (size_t i = 0; i < t->table_count; i++) {
        const struct track_info *info = &t->tables[i];
        str state = str_of(info->state);
        list.items[i] = (struct kf_tracked_table){
            .table = info->name,
            .state = arena_dup(&o->arena, (str){state.p, str_index(state, ' ')}),
            .detail = info->detail,
            .since_ms = info->since_ms,
            .changed_ms = info->changed_ms,
            .changes = info->numbered,
            .of_config = info->of_config};
        if (!list.items[i].state)
            return err_nomem(err);
    }
    for (size_t i = 0; i < t->holder_count; i++) {
        const struct track_holder *h = &t->holders[i];
        list.holders[i] = (struct kf_change_holder){.pid = h->pid,
                                                    .who = h->who,
                                                    .client = h->client,
                                                    .state = h->state,
                                                    .since_ms = h->since_ms};
    }
    *ret = list;
    return KF_OK;
}

kf_rc kf_tracked(kf_store *store, struct kf_tracked_list *ret_list, struct kf_err *err)
{
    struct track_status t;
    kf_rc rc = enter_with(store, ret_list, "place for the result", err);
    if (rc != KF_OK)
        return rc;
    struct owned *o = mem_calloc(1, sizeof *o);
    rc = o ? tracks_tell(store, false, &o->arena, &t, err) : err_nomem(err);
    if (rc == KF_OK)
        rc = give_tables(&t, o, ret_list, err);
    if (rc != KF_OK)
        owned_free(o);
    return store_leave(store, rc);
}

void kf_tracked_list_free(struct kf_tracked_list *list)
{
    if (!list)
        return;
    owned_free(list->owned);
    *list = (struct kf_tracked_list){0};
}

/* ------------------------------------------------------------------------------------ changes */

struct gathering {
    struct owned *owned;
    struct kf_change *items;
    size_t count;
};

static kf_rc gather(void *ctx, const struct track_change *c, struct kf_err *err)
{
    struct gathering *g = ctx;
    struct arena *arena = &g->owned->arena;
    struct kf_change *item = &g->items[g->count];
    *item = (struct kf_change){.n = (uint64_t)c->n,
                               .table = arena_dup(arena, c->table),
                               .key = arena_dup(arena, c->key),
                               .key_len = c->key.len,
                               .row = c->row.p ? arena_dup(arena, c->row) : NULL,
                               .row_len = c->row.len,
                               .at_ms = c->at_ms};
    if (!item->table || !item->key || (c->row.p && !item->row))
        return err_nomem(err);
    g->count++;
    return KF_OK;
}

static kf_rc take_query(const struct kf_change_query *given, struct track_query *ret,
                        struct kf_err *err)
{
    struct kf_change_query q = KF_CHANGE_QUERY_INIT;
    kf_rc rc = options_take(given, &q, sizeof q, err);
    if (rc != KF_OK)
        return rc;
    if (q.limit > LIMIT_MAX || q.after > INT64_MAX)
        return err_set(err, PROBLEM_BAD_FILTER, "limit is 1 to %d, after at most %lld", LIMIT_MAX,
                       (long long)INT64_MAX);
    *ret = (struct track_query){
        .table = q.table, .after = (int64_t)q.after, .limit = q.limit ? q.limit : 100};
    return KF_OK;
}

static kf_rc read_changes(kf_store *store, const struct track_query *q, struct kf_change_list *ret,
                          struct kf_err *err)
{
    struct gathering g = {.owned = mem_calloc(1, sizeof *g.owned)};
    int64_t last = 0;
    bool more = false;
    if (!g.owned)
        return err_nomem(err);
    g.items = arena_alloc(&g.owned->arena, q->limit * sizeof *g.items);
    kf_rc rc = g.items ? tracks_changes(store, q, gather, &g, &last, &more, err) : err_nomem(err);
    if (rc != KF_OK) {
        owned_free(g.owned);
        return rc;
    }
    *ret = (struct kf_change_list){
        .items = g.items, .count = g.count, .last = (uint64_t)last, .more = more, .owned = g.owned};
    return KF_OK;
}

kf_rc kf_changes(kf_store *store, const struct kf_change_query *query,
                 struct kf_change_list *ret_list, struct kf_err *err)
{
    struct track_query q;
    kf_rc rc = enter_with(store, ret_list, "place for the result", err);
    if (rc != KF_OK)
        return rc;
    rc = take_query(query, &q, err);
    if (rc == KF_OK)
        rc = read_changes(store, &q, ret_list, err);
    return store_leave(store, rc);
}

void kf_change_list_free(struct kf_change_list *list)
{
    if (!list)
        return;
    owned_free(list->owned);
    *list = (struct kf_change_list){0};
}
