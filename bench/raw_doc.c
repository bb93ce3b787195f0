#include "raw_doc.h"

#include "db/schema.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BEGIN, HEAD, VERSION, PUT, FORGET, JOURNAL, TRIM, STATE, COMMIT, STATEMENT_COUNT };

/* Word for word those of src/shape/doc_row.c, doc_keep.c, src/store/store_apply.c and
 * store_group.c; raw_doc_compare looks after it. */
static const char *const statements[STATEMENT_COUNT] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [HEAD] = "SELECT deleted, version, seq, stamp, at, site, hash FROM kf_doc WHERE name = $1",
    [VERSION] = "INSERT INTO kf_doc_version"
                "(seq, name, version, stamp, site, at, kind, size, hash, body) "
                "VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    [PUT] = "INSERT INTO kf_doc(name, version, seq, stamp, site, at, size, hash, deleted) "
            "VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT(name) DO UPDATE SET "
            "version = excluded.version, seq = excluded.seq, stamp = excluded.stamp, "
            "site = excluded.site, at = excluded.at, size = excluded.size, hash = excluded.hash, "
            "deleted = excluded.deleted",
    [FORGET] = "DELETE FROM kf_journal WHERE seq = $1",
    [JOURNAL] = "INSERT INTO kf_journal(seq, tbl, key, stamp, site) VALUES($1, $2, $3, $4, $5)",
    [TRIM] = "DELETE FROM kf_doc_version WHERE name = $1 AND version <= (SELECT "
             "version FROM kf_doc_version "
             "WHERE name = $1 ORDER BY version DESC LIMIT 1 OFFSET $2)",
    [STATE] = "UPDATE kf_state SET seq = $1, stamp = $2 WHERE id = 1",
    [COMMIT] = "COMMIT",
};

struct raw_doc {
    sqlite3 *db;
    sqlite3_stmt *stmts[STATEMENT_COUNT];
    int frames;
    int64_t seq;
};

#define SITE STR("0123456789abcdef")

static void check(const struct raw_doc *raw, int rc)
{
    if (rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW)
        return;
    fprintf(stderr, "raw SQLite: %s\n", sqlite3_errmsg(raw->db));
    exit(1);
}

static int on_commit(void *ctx, sqlite3 *db, const char *name, int frames)
{
    ((struct raw_doc *)ctx)->frames = frames;
    return SQLITE_OK;
}

struct raw_doc *raw_doc_open(const char *path)
{
    static const char settings[] =
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -2048;"
        "PRAGMA journal_size_limit = 8388608";
    struct raw_doc *raw = calloc(1, sizeof *raw);
    if (!raw)
        exit(1);
    check(raw, sqlite3_open(path, &raw->db));
    check(raw, sqlite3_exec(raw->db, settings, NULL, NULL, NULL));
    check(raw, sqlite3_exec(raw->db, schema_store.create, NULL, NULL, NULL));
    sqlite3_wal_autocheckpoint(raw->db, 0);
    sqlite3_wal_hook(raw->db, on_commit, raw);
    for (int i = 0; i < STATEMENT_COUNT; i++)
        check(raw, sqlite3_prepare_v3(raw->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &raw->stmts[i], NULL));
    return raw;
}

void raw_doc_close(struct raw_doc *raw)
{
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(raw->stmts[i]);
    sqlite3_close(raw->db);
    free(raw);
}

static void run(const struct raw_doc *raw, int which)
{
    check(raw, sqlite3_step(raw->stmts[which]));
    check(raw, sqlite3_reset(raw->stmts[which]));
}

static void bind_text(sqlite3_stmt *s, int i, str text)
{
    sqlite3_bind_text(s, i, text.p, (int)text.len, SQLITE_STATIC);
}

/* The columns that the version and the head of a document share but for their order. */
struct row {
    str name, body, hash;
    int64_t version, old_seq;
};

static void load_head(const struct raw_doc *raw, struct row *row)
{
    sqlite3_stmt *s = raw->stmts[HEAD];
    bind_text(s, 1, row->name);
    int rc = sqlite3_step(s);
    check(raw, rc);
    if (rc == SQLITE_ROW) {
        row->version = sqlite3_column_int64(s, 1);
        row->old_seq = sqlite3_column_int64(s, 2);
    }
    sqlite3_reset(s);
}

static void insert_version(const struct raw_doc *raw, const struct row *row)
{
    sqlite3_stmt *s = raw->stmts[VERSION];
    sqlite3_bind_int64(s, 1, raw->seq);
    bind_text(s, 2, row->name);
    sqlite3_bind_int64(s, 3, row->version);
    sqlite3_bind_int64(s, 4, raw->seq);
    bind_text(s, 5, SITE);
    sqlite3_bind_int64(s, 6, raw->seq);
    bind_text(s, 7, STR("put"));
    sqlite3_bind_int64(s, 8, (int64_t)row->body.len);
    bind_text(s, 9, row->hash);
    bind_text(s, 10, row->body);
    run(raw, VERSION);
}

static void put_head(const struct raw_doc *raw, const struct row *row)
{
    sqlite3_stmt *s = raw->stmts[PUT];
    bind_text(s, 1, row->name);
    sqlite3_bind_int64(s, 2, row->version);
    sqlite3_bind_int64(s, 3, raw->seq);
    sqlite3_bind_int64(s, 4, raw->seq);
    bind_text(s, 5, SITE);
    sqlite3_bind_int64(s, 6, raw->seq);
    sqlite3_bind_int64(s, 7, (int64_t)row->body.len);
    bind_text(s, 8, row->hash);
    sqlite3_bind_int64(s, 9, 0);
    run(raw, PUT);
}

static void journal(const struct raw_doc *raw, const struct row *row)
{
    if (row->old_seq) {
        sqlite3_bind_int64(raw->stmts[FORGET], 1, row->old_seq);
        run(raw, FORGET);
    }
    sqlite3_stmt *s = raw->stmts[JOURNAL];
    sqlite3_bind_int64(s, 1, raw->seq);
    bind_text(s, 2, STR("doc"));
    bind_text(s, 3, row->name);
    sqlite3_bind_int64(s, 4, raw->seq);
    bind_text(s, 5, SITE);
    run(raw, JOURNAL);
}

static void put(struct raw_doc *raw, const char *name, str body)
{
    char hash[65];
    snprintf(hash, sizeof hash, "%064llx", (unsigned long long)raw->seq * 0x9e3779b97f4a7c15u);
    struct row row = {.name = str_of(name), .body = body, .hash = str_make(hash, 64)};
    raw->seq++;
    load_head(raw, &row);
    row.version++;
    insert_version(raw, &row);
    put_head(raw, &row);
    journal(raw, &row);
    if (row.version > CONFIG_KEEP_DEFAULT.versions) {
        bind_text(raw->stmts[TRIM], 1, row.name);
        sqlite3_bind_int64(raw->stmts[TRIM], 2, CONFIG_KEEP_DEFAULT.versions);
        run(raw, TRIM);
    }
}

void raw_doc_group(struct raw_doc *raw, const char *const *names, size_t count, str body)
{
    run(raw, BEGIN);
    for (size_t i = 0; i < count; i++)
        put(raw, names[i], body);
    sqlite3_bind_int64(raw->stmts[STATE], 1, raw->seq);
    sqlite3_bind_int64(raw->stmts[STATE], 2, raw->seq);
    run(raw, STATE);
    run(raw, COMMIT);
    if (raw->frames >= STORE_CHECKPOINT_FRAMES)
        check(raw, sqlite3_wal_checkpoint_v2(raw->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL));
}

/* ------------------------------------------------------------------------------------ comparing */

static int runs(sqlite3_stmt *s, bool forget)
{
    return sqlite3_stmt_status(s, SQLITE_STMTSTATUS_RUN, forget);
}

static void differ(const char *sql, const char *what)
{
    fprintf(stderr, "raw_doc: Keepfast %s: %s\n", what, sql);
    exit(1);
}

static int place_of(const char *sql)
{
    int i = 0;
    while (i < STATEMENT_COUNT && strcmp(sql, statements[i]) != 0)
        i++;
    return i;
}

void raw_doc_count_from_here(struct raw_doc *raw, sqlite3 *other)
{
    for (sqlite3_stmt *s = sqlite3_next_stmt(other, NULL); s; s = sqlite3_next_stmt(other, s))
        runs(s, true);
    for (int i = 0; i < STATEMENT_COUNT; i++)
        runs(raw->stmts[i], true);
}

void raw_doc_compare(const struct raw_doc *raw, sqlite3 *other)
{
    int ours[STATEMENT_COUNT + 1] = {0};
    for (sqlite3_stmt *s = sqlite3_next_stmt(other, NULL); s; s = sqlite3_next_stmt(other, s)) {
        int which = place_of(sqlite3_sql(s));
        if (which < STATEMENT_COUNT)
            ours[which] = runs(s, false);
        else if (runs(s, false) > 10)
            differ(sqlite3_sql(s), "runs a statement that is not measured");
    }
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        int per = i == BEGIN || i == STATE || i == COMMIT ? BEGIN : HEAD;
        double mine = (double)ours[i] / (ours[per] + 1);
        double bare = (double)runs(raw->stmts[i], false) / (runs(raw->stmts[per], false) + 1);
        if (mine < bare * 0.98 || mine > bare * 1.02)
            differ(statements[i], "runs this more or less often than is measured");
    }
}
