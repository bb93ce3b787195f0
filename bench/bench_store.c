/* bench_store: what group commit costs over SQLite itself.
 *
 * Threads write 2 KB rows through the store, which records the size of each group; then one thread
 * runs the same statements in groups of the same sizes on bare SQLite with the same settings. The
 * ratio is the store's rate over SQLite's. */
#include "base/env.h"
#include "base/err.h"
#include "store/store.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define BODY   2048
#define NAMES  1000
#define GROUPS 1000000

static const char sql_head[] = "SELECT version, seq FROM kf_doc WHERE name = $1";
static const char sql_put[] =
    "INSERT INTO kf_doc(name, version, seq, stamp, site, at, size, hash, deleted)"
    " VALUES($1, $2, $3, $4, $5, $6, $7, $8, 0) ON CONFLICT(name) DO UPDATE SET"
    " version = excluded.version, seq = excluded.seq, stamp = excluded.stamp, at = excluded.at,"
    " size = excluded.size, hash = excluded.hash";
static const char sql_version[] =
    "INSERT INTO kf_doc_version(seq, name, version, stamp, site, at, kind, size, hash, body)"
    " VALUES($1, $2, $3, $4, $5, $6, 'put', $7, $8, $9)";
static const char sql_forget[] = "DELETE FROM kf_journal WHERE seq = $1";
static const char sql_journal[] =
    "INSERT INTO kf_journal(seq, tbl, key, stamp, site) VALUES($1, $2, $3, $4, $5)";
static const char sql_state[] = "UPDATE kf_state SET seq = $1, stamp = $2 WHERE id = 1";

static const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static char body[BODY];
static uint32_t groups[GROUPS];
static size_t group_count;
static int64_t last_seq;

/* ------------------------------------------------------------------------------- the store */

struct put {
    struct write write; /* first */
    char name[32];
};

static kf_rc put_apply(struct group *g, struct write *w, struct kf_err *err)
{
    struct put *p = (struct put *)w;
    struct db *db = group_db(g);
    struct db_stmt *s;
    str name = str_of(p->name), site = str_of(group_site(g));
    int64_t version = 0, old = 0, seq = group_seq(g), stamp = group_stamp(g), at = group_now_ms(g);
    bool row;
    kf_rc rc = db_use(db, sql_head, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, name);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row) {
        version = db_i64(s, 0);
        old = db_i64(s, 1);
    }
    db_done(s);
    if (rc != KF_OK || (rc = db_use(db, sql_put, &s, err)) != KF_OK)
        return rc;
    db_bind_text(s, 1, name);
    db_bind_i64(s, 2, version + 1);
    db_bind_i64(s, 3, seq);
    db_bind_i64(s, 4, stamp);
    db_bind_text(s, 5, site);
    db_bind_i64(s, 6, at);
    db_bind_i64(s, 7, BODY);
    db_bind_text(s, 8, str_make(hash, 64));
    if ((rc = db_run(s, err)) != KF_OK || (rc = db_use(db, sql_version, &s, err)) != KF_OK)
        return rc;
    db_bind_i64(s, 1, seq);
    db_bind_text(s, 2, name);
    db_bind_i64(s, 3, version + 1);
    db_bind_i64(s, 4, stamp);
    db_bind_text(s, 5, site);
    db_bind_i64(s, 6, at);
    db_bind_i64(s, 7, BODY);
    db_bind_text(s, 8, str_make(hash, 64));
    db_bind_text(s, 9, str_make(body, BODY));
    if ((rc = db_run(s, err)) != KF_OK)
        return rc;
    return group_journal(g, seq, old, "doc", name, stamp, site, err);
}

static void on_commit(void *ctx, int64_t seq, int64_t at_ms)
{
    groups[group_count++] = (uint32_t)(seq - last_seq);
    last_seq = seq;
}

struct writer {
    pthread_t thread;
    struct kf_store *store;
    unsigned number, count;
};

static void *write_some(void *arg)
{
    struct writer *w = arg;
    struct put p = {.write = {.apply = put_apply}};
    for (unsigned i = 0; i < w->count; i++) {
        snprintf(p.name, sizeof(p.name), "doc-%u.json", (i * 64 + w->number) % NAMES);
        if (store_write(w->store, &p.write, NULL) != KF_OK)
            abort();
    }
    return NULL;
}

static double store_seconds(const char *path, unsigned threads, unsigned total)
{
    struct kf_store *store;
    struct store_options options = {0};
    struct writer writers[64];
    struct kf_err err;
    if (store_open(path, &options, &store, &err) != KF_OK) {
        fprintf(stderr, "%s\n", err.detail);
        exit(1);
    }
    group_count = 0;
    last_seq = 0;
    store_listen(store, on_commit, NULL);
    uint64_t start = env_mono_ns(env_system());
    for (unsigned i = 0; i < threads; i++) {
        writers[i] = (struct writer){.store = store, .number = i, .count = total / threads};
        pthread_create(&writers[i].thread, NULL, write_some, &writers[i]);
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(writers[i].thread, NULL);
    uint64_t end = env_mono_ns(env_system());
    store_close(store);
    return (double)(end - start) / 1e9;
}

/* --------------------------------------------------------------------------------- SQLite */

struct raw {
    sqlite3 *db;
    sqlite3_stmt *begin, *head, *put, *version, *forget, *journal, *state, *commit;
    int frames;
};

static int raw_committed(void *ctx, sqlite3 *db, const char *name, int frames)
{
    ((struct raw *)ctx)->frames = frames;
    return SQLITE_OK;
}

static void check(const struct raw *r, int rc)
{
    if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW) {
        fprintf(stderr, "%s\n", sqlite3_errmsg(r->db));
        exit(1);
    }
}

static void raw_done(const struct raw *r, sqlite3_stmt *s)
{
    check(r, sqlite3_step(s));
    sqlite3_reset(s);
}

static void raw_open(struct raw *r, const char *path)
{
    static const char *const setup[] = {
        "PRAGMA auto_vacuum = INCREMENTAL", "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",        "PRAGMA cache_size = -2048",
        "PRAGMA temp_store = MEMORY",       "PRAGMA cell_size_check = ON",
    };
    check(r, sqlite3_open(path, &r->db));
    for (size_t i = 0; i < sizeof(setup) / sizeof(setup[0]); i++)
        check(r, sqlite3_exec(r->db, setup[i], NULL, NULL, NULL));
    check(r, sqlite3_exec(r->db, schema_store.create, NULL, NULL, NULL));
    sqlite3_wal_hook(r->db, raw_committed, r);
    const struct {
        const char *sql;
        sqlite3_stmt **stmt;
    } all[] = {
        {"BEGIN IMMEDIATE", &r->begin}, {sql_head, &r->head},     {sql_put, &r->put},
        {sql_version, &r->version},     {sql_forget, &r->forget}, {sql_journal, &r->journal},
        {sql_state, &r->state},         {"COMMIT", &r->commit},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        check(r, sqlite3_prepare_v3(r->db, all[i].sql, -1, SQLITE_PREPARE_PERSISTENT, all[i].stmt,
                                    NULL));
}

static void raw_put(struct raw *r, const char *name, int64_t seq)
{
    int64_t version = 0, old = 0;
    sqlite3_bind_text(r->head, 1, name, -1, SQLITE_STATIC);
    if (sqlite3_step(r->head) == SQLITE_ROW) {
        version = sqlite3_column_int64(r->head, 0);
        old = sqlite3_column_int64(r->head, 1);
    }
    sqlite3_reset(r->head);
    sqlite3_stmt *s = r->put;
    sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 2, version + 1);
    sqlite3_bind_int64(s, 3, seq);
    sqlite3_bind_int64(s, 4, seq);
    sqlite3_bind_text(s, 5, hash, 16, SQLITE_STATIC);
    sqlite3_bind_int64(s, 6, seq);
    sqlite3_bind_int64(s, 7, BODY);
    sqlite3_bind_text(s, 8, hash, 64, SQLITE_STATIC);
    raw_done(r, s);
    s = r->version;
    sqlite3_bind_int64(s, 1, seq);
    sqlite3_bind_text(s, 2, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 3, version + 1);
    sqlite3_bind_int64(s, 4, seq);
    sqlite3_bind_text(s, 5, hash, 16, SQLITE_STATIC);
    sqlite3_bind_int64(s, 6, seq);
    sqlite3_bind_int64(s, 7, BODY);
    sqlite3_bind_text(s, 8, hash, 64, SQLITE_STATIC);
    sqlite3_bind_text(s, 9, body, BODY, SQLITE_STATIC);
    raw_done(r, s);
    if (old) {
        sqlite3_bind_int64(r->forget, 1, old);
        raw_done(r, r->forget);
    }
    s = r->journal;
    sqlite3_bind_int64(s, 1, seq);
    sqlite3_bind_text(s, 2, "doc", 3, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 4, seq);
    sqlite3_bind_text(s, 5, hash, 16, SQLITE_STATIC);
    raw_done(r, s);
}

static double raw_seconds(const char *path, unsigned threads)
{
    struct raw r = {0};
    raw_open(&r, path);
    int64_t seq = 0;
    uint64_t start = env_mono_ns(env_system());
    for (size_t i = 0; i < group_count; i++) {
        raw_done(&r, r.begin);
        for (uint32_t n = 0; n < groups[i]; n++) {
            char name[32];
            unsigned turn = (unsigned)(seq / threads), number = (unsigned)(seq % threads);
            snprintf(name, sizeof(name), "doc-%u.json", (turn * 64 + number) % NAMES);
            raw_put(&r, name, ++seq);
        }
        sqlite3_bind_int64(r.state, 1, seq);
        sqlite3_bind_int64(r.state, 2, seq);
        raw_done(&r, r.state);
        raw_done(&r, r.commit);
        if (r.frames >= STORE_CHECKPOINT_FRAMES)
            sqlite3_wal_checkpoint_v2(r.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    }
    uint64_t end = env_mono_ns(env_system());
    sqlite3_stmt *s;
    while ((s = sqlite3_next_stmt(r.db, NULL)))
        sqlite3_finalize(s);
    sqlite3_close(r.db);
    return (double)(end - start) / 1e9;
}

/* ----------------------------------------------------------------------------------- both */

static void measure(const char *dir, unsigned threads, unsigned total)
{
    char path[512], raw_path[512];
    snprintf(path, sizeof(path), "%s/store-%u.db", dir, threads);
    snprintf(raw_path, sizeof(raw_path), "%s/raw-%u.db", dir, threads);
    double ours = store_seconds(path, threads, total);
    double bare = raw_seconds(raw_path, threads);
    printf("{\"name\":\"store.write.%u\",\"unit\":\"1/s\",\"value\":%.0f,\"base\":%.0f,"
           "\"against\":\"raw SQLite, same statements, same "
           "groups\",\"group\":%.1f}\n",
           threads, total / ours, total / bare, (double)total / (double)group_count);
    fflush(stdout);
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    char dir[400];
    snprintf(dir, sizeof(dir), "%s/bench-store-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return 1;
    memset(body, 'x', sizeof(body));
    measure(dir, 1, 4096);
    measure(dir, 16, 32768);
    measure(dir, 64, 65536);
    return 0;
}
