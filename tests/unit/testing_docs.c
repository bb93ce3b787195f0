#include "testing_docs.h"

#include "testing_pg.h"

#include "store/store_pg.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

static bool on_pg;

void testing_docs_on_pg(void)
{
    on_pg = true;
}

bool testing_docs_are_on_pg(void)
{
    return on_pg;
}

static void open_store(struct testing_docs *t)
{
    struct store_options options = {.env = &t->env.env, .log = t->log, .redo_always = !t->at_once};
    struct kf_err err = KF_ERR_INIT;
    if (store_open(t->path, &options, &t->store, &err) != KF_OK)
        fail_msg("store_open: %s", err.detail);
    /* Nobody else writes, and a loop that would hear of it is not there: memory counts. */
    if (on_pg)
        atomic_store(&t->store->pg->fresh_until_ms, INT64_MAX);
    const struct config_space *space = config_space(t->config, STR("default"));
    if (docs_new(t->store, t->config, space, t->cache_bytes, &t->docs, &err) != KF_OK)
        fail_msg("docs_new: %s", err.detail);
    store_attach(t->store, t->docs, NULL);
    uint64_t bytes = t->stream_bytes ? t->stream_bytes : 64 << 20;
    if (streams_new(t->store, t->config, space, bytes, &t->streams, &err) != KF_OK)
        fail_msg("streams_new: %s", err.detail);
    store_set_streams(t->store, t->streams);
}

static void close_store_of(struct testing_docs *t)
{
    store_close(t->store);
    docs_free(t->docs);
    streams_free(t->streams);
    t->store = NULL;
    t->streams = NULL;
    t->docs = NULL;
}

static void configure(struct testing_docs *t, const char *dir, const char *yaml)
{
    struct kf_err err = KF_ERR_INIT;
    const char *config = NULL;
    if (yaml) {
        config = testing_path(dir, "keepfast.yaml");
        testing_write(config, yaml, strlen(yaml));
    }
    if (config_load(env_system(), config, NULL, NULL, 0, &t->config, &err) != KF_OK)
        fail_msg("config_load: %s", err.detail);
}

void testing_docs_open(struct testing_docs *t, const char *yaml)
{
    struct testing_docs kept = {.cache_bytes = t->cache_bytes,
                                .stream_bytes = t->stream_bytes,
                                .in_memory = t->in_memory,
                                .at_once = t->at_once,
                                .log = t->log,
                                .seed = t->seed};
    const char *dir = kept.in_memory ? testing_dir_in_memory() : testing_dir();
    *t = kept;
    testing_env_init(&t->env);
    if (t->seed)
        atomic_store(&t->env.seed, t->seed);
    t->path = on_pg ? testing_pg_new() : testing_path(dir, "t.db");
    configure(t, dir, yaml);
    open_store(t);
}

void testing_docs_reopen(struct testing_docs *t)
{
    close_store_of(t);
    open_store(t);
}

static void change(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

void testing_docs_killed(struct testing_docs *t, struct testing_docs *ret)
{
    testing_docs_killed_as(t, NULL, NULL, ret);
}

void testing_docs_killed_as(struct testing_docs *t, const char *yaml, const char *sql,
                            struct testing_docs *ret)
{
    testing_docs_take(t, sql, ret);
    testing_docs_open_taken(ret, yaml);
}

void testing_docs_take(struct testing_docs *t, const char *sql, struct testing_docs *ret)
{
    static const char *const tails[] = {"", "-wal", "-redo"};
    char from[PATH_MAX], to[PATH_MAX];
    size_t len;
    const char *dir = t->in_memory ? testing_dir_in_memory() : testing_dir();
    *ret = *t;
    testing_env_init(&ret->env);
    atomic_store(&ret->env.wall_ms, atomic_load(&t->env.wall_ms));
    ret->path = testing_path(dir, "t.db");
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        snprintf(from, sizeof from, "%s%s", t->path, tails[i]);
        snprintf(to, sizeof to, "%s%s", ret->path, tails[i]);
        if (testing_exists(from)) {
            const char *bytes = testing_read(from, &len);
            testing_write(to, bytes, len);
        }
    }
    if (sql)
        change(ret->path, sql);
}

void testing_docs_open_taken(struct testing_docs *t, const char *yaml)
{
    configure(t, t->in_memory ? testing_dir_in_memory() : testing_dir(), yaml);
    open_store(t);
}

void testing_docs_close(struct testing_docs *t)
{
    close_store_of(t);
    config_free(t->config);
    testing_env_release(&t->env);
}

kf_rc testing_write_doc(struct testing_docs *t, kf_verb verb, const char *name, const char *body,
                        uint64_t version, const struct kf_write_options *options)
{
    struct kf_write request = KF_WRITE_INIT;
    struct doc_write *w = NULL;
    request.verb = verb;
    request.name = name;
    request.body = body;
    request.len = body ? strlen(body) : 0;
    request.version = version;
    if (options)
        request.options = *options;
    t->err = (struct kf_err)KF_ERR_INIT;
    t->written = (struct kf_written){0};
    kf_rc rc = doc_write_new(t->docs, &request, &w, &t->err);
    if (rc == KF_OK)
        rc = doc_write_run(w, &t->err);
    if (rc == KF_OK)
        t->written = w->written;
    else
        assert_int_equal(t->err.rc, rc);
    doc_write_free(w);
    return rc;
}

kf_rc testing_put(struct testing_docs *t, const char *name, const char *body)
{
    return testing_write_doc(t, KF_PUT, name, body, 0, NULL);
}

void testing_is(struct testing_docs *t, const char *name, const char *body, uint64_t version)
{
    struct kf_doc doc = {0};
    if (kf_doc_get(t->store, name, &doc, &t->err) != KF_OK)
        fail_msg("%s: %s", name, t->err.detail);
    if (doc.len != strlen(body) || memcmp(doc.body, body, doc.len) != 0)
        fail_msg("%s is %.*s, not %s", name, (int)doc.len, (const char *)doc.body, body);
    assert_int_equal(((const char *)doc.body)[doc.len], 0);
    if (version)
        assert_int_equal(doc.version, version);
    kf_doc_release(&doc);
    assert_null(doc.body);
}

kf_rc testing_get(struct testing_docs *t, const char *name)
{
    struct kf_doc doc = {0};
    t->err = (struct kf_err)KF_ERR_INIT;
    kf_rc rc = kf_doc_get(t->store, name, &doc, &t->err);
    kf_doc_release(&doc);
    return rc;
}

struct merge {
    struct write write;
    struct docs *docs;
    const struct doc_import *import;
    enum doc_merged merged;
};

static kf_rc apply_merge(struct group *g, struct write *w, struct kf_err *err)
{
    struct merge *m = (struct merge *)w;
    return doc_merge(g, m->docs, m->import, &m->merged, err);
}

static void publish_merge(struct write *w)
{
    struct merge *m = (struct merge *)w;
    docs_forget(m->docs, m->import->name);
}

kf_rc testing_merge(struct testing_docs *t, const struct doc_import *import, enum doc_merged *ret)
{
    struct merge m = {.write = {.apply = apply_merge, .publish = publish_merge},
                      .docs = t->docs,
                      .import = import};
    t->err = (struct kf_err)KF_ERR_INIT;
    kf_rc rc = store_write(t->store, &m.write, &t->err);
    if (rc == KF_OK)
        *ret = m.merged;
    return rc;
}

struct sql_write {
    struct write write;
    const char *sql;
};

static kf_rc apply_sql(struct group *g, struct write *w, struct kf_err *err)
{
    return db_exec(group_db(g), ((struct sql_write *)w)->sql, err);
}

void testing_sql(struct testing_docs *t, const char *sql)
{
    struct sql_write w = {.write = {.apply = apply_sql}, .sql = sql};
    struct kf_err err = KF_ERR_INIT;
    if (store_write(t->store, &w.write, &err) != KF_OK)
        fail_msg("%s: %s", sql, err.detail);
}

int64_t testing_number(struct testing_docs *t, const char *sql)
{
    struct kf_err err = KF_ERR_INIT;
    struct db *db;
    struct db_stmt *s;
    bool row = false;
    if (store_read(t->store, &db, &err) != KF_OK || db_use(db, sql, &s, &err) != KF_OK ||
        db_step(s, &row, &err) != KF_OK)
        fail_msg("%s: %s", sql, err.detail);
    assert_true(row);
    int64_t n = db_i64(s, 0);
    db_done(s);
    store_read_end(t->store, db);
    return n;
}
