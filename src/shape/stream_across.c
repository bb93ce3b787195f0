/* Context across the streams of one customer, or whatever an attribute stands for.
 *
 * The newest entries of all of them are among the newest of each. So of each stream as many of its
 * last numbers are looked at as are wanted in all, by index; the newest of these are found without
 * their bodies, and read in their order. */
#include "shape/stream_internal.h"

struct across {
    struct arena arena;
    struct across_entry {
        int64_t seq;
        str key;
    } * items; /* newest first */
    size_t count;
    bool more;
};

static kf_rc find_entries(struct db *db, str name, str value, const struct entry_want *want,
                          struct across *found, struct kf_err *err)
{
    static const char sql[] =
        "SELECT e.seq, t.key, e.size + coalesce(m.size, 0) FROM "
        "(SELECT s.id, s.key, s.last_n FROM kf_stream_attr a JOIN kf_stream s ON s.id = a.stream "
        "WHERE a.name = $1 AND a.value = $2 ORDER BY s.last_at DESC, s.id DESC LIMIT $3) t "
        "JOIN kf_entry e ON e.stream = t.id AND e.n > t.last_n - $4 "
        "LEFT JOIN kf_attachment m ON m.hash = e.attach ORDER BY e.seq DESC LIMIT $5";
    struct db_stmt *s;
    size_t bytes = 0;
    bool row = false;
    found->items = arena_alloc(&found->arena, want->limit * sizeof *found->items);
    if (!found->items)
        return err_nomem(err);
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, name);
    db_bind_text(s, 2, value);
    db_bind_i64(s, 3, STREAM_ACROSS_MAX);
    db_bind_i64(s, 4, (int64_t)want->limit + 1);
    db_bind_i64(s, 5, ((int64_t)want->limit + 1) * (want->sees ? STREAM_ACROSS_MAX : 1));
    while (!found->more && (rc = db_step(s, &row, err)) == KF_OK && row) {
        if (want->sees && !want->sees(want->sees_ctx, db_text(s, 1)))
            continue;
        bytes += (size_t)db_i64(s, 2);
        found->more = found->count == want->limit || bytes > want->bytes;
        if (found->more)
            break;
        struct across_entry *e = &found->items[found->count++];
        *e = (struct across_entry){db_i64(s, 0), arena_str(&found->arena, db_text(s, 1))};
        if (!e->key.p) {
            rc = err_nomem(err);
            break;
        }
    }
    db_done(s);
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
                     STREAM_SHOWN(key), STREAM_SHOWN(attribute));
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
        log_event(store_log(streams->store), LOG_CRIT, "store.damage", LOG_V("stream", key),
                  LOG_END);
    if (rc == KF_OK)
        entries_give(list, found.more, ret_list);
    else
        entries_free(list);
    arena_release(&found.arena);
    return rc;
}
