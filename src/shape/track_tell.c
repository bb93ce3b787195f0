/* What is told of tracked tables: how each stands, what waits, and who holds something back. */
#include "shape/track_internal.h"

#include <stdio.h>

#define HOLDERS     100
#define WAITING_MAX 1000000

/* ------------------------------------------------------------------------------------- tables */

/* What a state other than `on` means to people; the reason of `unfit` stands behind it. */
static const struct {
    const char *state, *detail;
} details[] = {
    {"fill", "its rows are being numbered for the first time"},
    {"refill", "something went past its triggers (TRUNCATE, ALTER, triggers that were off): all of "
               "its rows are being numbered anew"},
    {"sweep", "rows that are no more are being looked for"},
    {"missing", "there is no table of this name: nothing is told of its rows until there is one "
                "again, or until it is untracked"},
    {"off",
     "its triggers were switched off: ALTER TABLE … ENABLE TRIGGER ALL, then all of its rows "
     "are numbered anew"},
    {"unfit partitioned", "it has partitions now: untrack it, and track those"},
    {"unfit kind", "it is no table any more: untrack it"},
    {"unfit unlogged", "it is unlogged now: ALTER TABLE … SET LOGGED, or untrack it"},
    {"unfit key", "it has no primary key any more: give it one, or untrack it"},
    {"unfit denied", "our role may not read it any more: GRANT USAGE on its schema, and SELECT, "
                     "TRIGGER on it"},
    {"unfit row_security",
     "it has row-level security now, by which our role does not see every row, and what is not "
     "seen would be told as gone: ALTER ROLE … BYPASSRLS, or make our role its owner; or untrack "
     "it"},
    {"unfit failed", "it could not be put right, so its changes do not come"},
};

static const char *detail_of(const char *state)
{
    for (size_t i = 0; i < sizeof details / sizeof *details; i++)
        if (strcmp(details[i].state, state) == 0)
            return details[i].detail;
    return "";
}

static const char *text(struct arena *arena, struct db_stmt *s, int column, bool *ok)
{
    const char *t = arena_dup(arena, db_text(s, column));
    *ok &= t != NULL;
    return t;
}

static kf_rc take_table(struct arena *arena, struct db_stmt *s, struct track_info *t,
                        struct kf_err *err)
{
    bool ok = true;
    *t = (struct track_info){.name = text(arena, s, 0, &ok),
                             .state = text(arena, s, 1, &ok),
                             .since_ms = db_i64(s, 2),
                             .changed_ms = db_i64(s, 3),
                             .of_config = str_is(db_text(s, 4), "config"),
                             .numbered = (uint64_t)db_i64(s, 5),
                             .cause = text(arena, s, 6, &ok),
                             .caused_ms = db_i64(s, 7),
                             .now_called = text(arena, s, 8, &ok),
                             .found = text(arena, s, 9, &ok)};
    const char *trouble = text(arena, s, 10, &ok);
    if (!ok)
        return err_nomem(err);
    t->troubled = trouble[0] != '\0';
    t->stopped = strcmp(t->state, "missing") == 0 || strcmp(t->state, "off") == 0 ||
                 strncmp(t->state, "unfit", 5) == 0;
    t->detail = detail_of(t->state);
    if (t->now_called[0])
        t->detail = arena_printf(arena,
                                 "it was renamed and is %s now: nothing is told of its rows until "
                                 "there is a table of the old name again, or until it is untracked",
                                 t->now_called);
    if (t->detail && t->troubled)
        t->detail = arena_printf(arena, "%s: %s; it is tried again each %d s", t->detail, trouble,
                                 TRACK_AGAIN_MS / 1000);
    return t->detail ? KF_OK : err_nomem(err);
}

static kf_rc list_tables(struct db *db, bool look, struct arena *arena, struct track_status *ret,
                         struct kf_err *err)
{
    static const char sql[] =
        "SELECT name, state || CASE WHEN state = 'unfit' THEN ' ' || place ELSE '' END, since,"
        " changed, source, numbered, cause, caused, CASE WHEN state = 'missing' AND relid > 0"
        " THEN coalesce(kf_track_name(relid::oid), '') ELSE '' END,"
        " CASE WHEN $1 = 1 THEN kf_track_check(id) ELSE '' END, trouble FROM kf_tracked"
        " WHERE state <> 'forget' ORDER BY name";
    struct db_stmt *s;
    bool row = false;
    struct track_info *tables = arena_alloc(arena, TRACK_TABLES_MAX * sizeof *tables);
    kf_rc rc = tables ? db_use(db, sql, &s, err) : err_nomem(err);
    if (rc != KF_OK)
        return rc;
    ret->tables = tables;
    db_bind_i64(s, 1, look);
    while (ret->table_count < TRACK_TABLES_MAX && (rc = db_step(s, &row, err)) == KF_OK && row) {
        rc = take_table(arena, s, &tables[ret->table_count], err);
        if (rc != KF_OK)
            break;
        ret->table_count++;
    }
    db_done(s);
    return rc;
}

/* ------------------------------------------------------------------------------------ waiting */

/* What nobody takes may be much, and is counted up to a bound. The first by its id: they are given
 * in the order in which they are written, if not in that of the commits. The age by the clock that
 * wrote the time, which is the database's. */
static kf_rc tell_waiting(struct db *db, struct track_status *ret, struct kf_err *err)
{
    static const char sql[] =
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM kf_captured LIMIT $1) c),"
        " coalesce((SELECT at FROM kf_captured ORDER BY id LIMIT 1), 0),"
        " (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, WAITING_MAX);
    rc = db_step(s, &row, err);
    if (rc == KF_OK) {
        ret->waiting = (uint64_t)db_i64(s, 0);
        ret->oldest_ms = db_i64(s, 1);
        ret->now_ms = db_i64(s, 2);
    }
    db_done(s);
    return rc;
}

/* ------------------------------------------------------------------------------- held back */

/* Whoever has written to kf_captured holds its lock until the transaction ends, prepared or not.
 * A group of ours does too, when it numbers; it alone has the lock of kf_state as well. What a
 * role may not see of others' sessions is NULL there. */
static kf_rc list_holders(struct db *db, struct arena *arena, struct track_status *ret,
                          struct kf_err *err)
{
    static const char sql[] =
        "SELECT DISTINCT coalesce(l.pid, 0)::bigint, coalesce(a.usename::text, p.gid, ''),"
        " coalesce(nullif(a.application_name, ''), a.client_addr::text, ''),"
        " CASE WHEN l.pid IS NULL THEN 'prepared' ELSE coalesce(a.state, 'unknown') END,"
        " coalesce((extract(epoch FROM coalesce(a.xact_start, p.prepared)) * 1000)::bigint, 0)"
        " FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
        " LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid'"
        " AND x.virtualtransaction = l.virtualtransaction"
        " LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid"
        " WHERE l.locktype = 'relation' AND l.granted AND l.mode = 'RowExclusiveLock'"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND l.relation = 'kf_captured'::regclass AND NOT EXISTS(SELECT 1 FROM pg_locks o"
        " WHERE o.virtualtransaction = l.virtualtransaction AND o.locktype = 'relation'"
        " AND o.database = l.database AND o.relation = 'kf_state'::regclass)"
        " ORDER BY 5 LIMIT $1";
    struct db_stmt *s;
    bool row = false;
    struct track_holder *holders = arena_alloc(arena, HOLDERS * sizeof *holders);
    kf_rc rc = holders ? db_use(db, sql, &s, err) : err_nomem(err);
    if (rc != KF_OK)
        return rc;
    ret->holders = holders;
    db_bind_i64(s, 1, HOLDERS);
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        struct track_holder *h = &holders[ret->holder_count++];
        *h = (struct track_holder){.pid = db_i64(s, 0),
                                   .who = arena_dup(arena, db_text(s, 1)),
                                   .client = arena_dup(arena, db_text(s, 2)),
                                   .state = arena_dup(arena, db_text(s, 3)),
                                   .since_ms = db_i64(s, 4)};
        if (!h->who || !h->client || !h->state) {
            rc = err_nomem(err);
            break;
        }
    }
    db_done(s);
    return rc;
}

static kf_rc tell(struct db *db, bool look, struct arena *arena, struct track_status *ret,
                  struct kf_err *err)
{
    bool any = false;
    kf_rc rc = track_any(db, &any, err);
    if (rc == KF_OK && any)
        rc = list_tables(db, look, arena, ret, err);
    if (rc == KF_OK && ret->table_count)
        rc = tell_waiting(db, ret, err);
    if (rc == KF_OK && ret->table_count)
        rc = list_holders(db, arena, ret, err);
    return rc;
}

kf_rc tracks_tell(struct kf_store *store, bool look, struct arena *arena, struct track_status *ret,
                  struct kf_err *err)
{
    struct track_status t = {0};
    struct db *db;
    if (store_level(store) != KF_LEVEL_SHARED) {
        *ret = t;
        return KF_OK;
    }
    kf_rc rc = store_read(store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = tell(db, look, arena, &t, err);
    store_read_end(store, db);
    if (rc == KF_OK)
        *ret = t;
    return rc;
}

bool track_needs_care(const struct track_info *t)
{
    return t->found[0] && !t->troubled && track_state_for(t->found, t->state) != NULL &&
           strcmp(t->found, "older") != 0;
}

kf_rc tracks_known(struct kf_store *store, const char *name, bool *ret, struct kf_err *err)
{
    struct db *db;
    int64_t id = 0;
    kf_rc rc = store_read(store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = track_id(db, name, &id, err);
    store_read_end(store, db);
    if (rc == KF_OK)
        *ret = id != 0;
    return rc;
}

kf_rc tracks_use(struct kf_store *store, struct kf_status *status, struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct track_status t;
    kf_rc rc = tracks_tell(store, false, &arena, &t, err);
    if (rc == KF_OK) {
        status->tracked = t.table_count;
        status->changes_waiting = t.waiting;
        status->changes_waiting_ms = t.oldest_ms;
        status->changes_held = t.holder_count;
        for (size_t i = 0; i < t.holder_count && !status->changes_held_ms; i++)
            status->changes_held_ms = t.holders[i].since_ms; /* 0: not shown to our role */
        for (size_t i = 0; i < t.table_count; i++) {
            status->tracked_stopped += t.tables[i].stopped;
            status->changes += t.tables[i].numbered;
        }
    }
    arena_release(&arena);
    return rc;
}
