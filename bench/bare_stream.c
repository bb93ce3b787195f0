#include "bare_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAMS 1000000

enum { ONCE, ENTRY, COUNT, BORN, JOURNAL, STATEMENT_COUNT };

static const char *const statements[STATEMENT_COUNT] = {
    [ONCE] = "INSERT INTO kf_entry_once(stream, id, n, hash, at) "
             "VALUES($1, $2, $3, $4, $5) ON CONFLICT(stream, id) DO NOTHING",
    [ENTRY] = "INSERT INTO kf_entry(seq, stream, n, at, stamp, size, taken, kind, id, site, hash, "
              "attach, body, timed, behind) "
              "VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, NULL)",
    [COUNT] = "UPDATE kf_stream SET rev = $1, count = $2, last_n = $3, bytes = $4, first_at = $5, "
              "last_at = $6, kinds = $7 WHERE id = $8",
    [BORN] = "INSERT INTO kf_stream(id, key, rev, count, last_n, bytes, first_at, last_at, seq, "
             "stamp, site, born, kinds, rings, attrs) "
             "VALUES($1, $2, $1, 0, 0, 0, $1, $1, $1, $1, $3, $1, '{}', '{}', '{}')",
    [JOURNAL] = "INSERT INTO kf_journal(seq, tbl, key, stamp, site) "
                "VALUES($1, 'stream', $2, $1, $3)",
};

static const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static struct {
    sqlite3_int64 id, n, bytes;
} streams[STREAMS];

static sqlite3_stmt *stmts[STATEMENT_COUNT];

static void check(sqlite3 *db, int rc)
{
    if (rc == SQLITE_OK || rc == SQLITE_DONE)
        return;
    fprintf(stderr, "bare_epoll: %s\n", sqlite3_errmsg(db));
    exit(1);
}

static sqlite3_stmt *use(sqlite3 *db, int which)
{
    if (!stmts[which])
        check(db, sqlite3_prepare_v3(db, statements[which], -1, SQLITE_PREPARE_PERSISTENT,
                                     &stmts[which], NULL));
    return stmts[which];
}

static void run(sqlite3 *db, int which)
{
    check(db, sqlite3_step(stmts[which]));
    sqlite3_reset(stmts[which]);
}

static void bind_text(sqlite3_stmt *s, int i, const char *text, size_t len)
{
    sqlite3_bind_text(s, i, text, (int)len, SQLITE_STATIC);
}

static void be_born(sqlite3 *db, sqlite3_int64 seq, const char *key, size_t len)
{
    for (int i = BORN; i <= JOURNAL; i++) {
        sqlite3_stmt *s = use(db, i);
        sqlite3_bind_int64(s, 1, seq);
        bind_text(s, 2, key, len);
        bind_text(s, 3, hash, 16);
        run(db, i);
    }
}

static void add_entry(sqlite3 *db, sqlite3_int64 seq, unsigned number, const char *id,
                      size_t id_len, const char *text, size_t len)
{
    sqlite3_stmt *once = use(db, ONCE), *entry = use(db, ENTRY);
    sqlite3_int64 ints[] = {
        seq, streams[number].id, streams[number].n, seq, seq, (sqlite3_int64)len, 0};
    sqlite3_bind_int64(once, 1, streams[number].id);
    bind_text(once, 2, id, id_len);
    sqlite3_bind_int64(once, 3, streams[number].n);
    bind_text(once, 4, hash, 32);
    sqlite3_bind_int64(once, 5, seq);
    run(db, ONCE);
    for (int i = 0; i < 7; i++)
        sqlite3_bind_int64(entry, i + 1, ints[i]);
    bind_text(entry, 8, "user", 4);
    bind_text(entry, 9, id, id_len);
    bind_text(entry, 10, hash, 16);
    bind_text(entry, 11, hash, 64);
    sqlite3_bind_null(entry, 12);
    bind_text(entry, 13, text, len);
    run(db, ENTRY);
}

static void count(sqlite3 *db, sqlite3_int64 seq, unsigned number)
{
    sqlite3_stmt *s = use(db, COUNT);
    char kinds[40];
    int len = snprintf(kinds, sizeof kinds, "{\"user\":%lld}", (long long)streams[number].n);
    sqlite3_int64 ints[] = {
        seq, streams[number].n, streams[number].n, streams[number].bytes, streams[number].id, seq};
    for (int i = 0; i < 6; i++)
        sqlite3_bind_int64(s, i + 1, ints[i]);
    bind_text(s, 7, kinds, (size_t)len);
    sqlite3_bind_int64(s, 8, streams[number].id);
    run(db, COUNT);
}

void bare_append(sqlite3 *db, sqlite3_int64 *seq, const char *head, const char *body, size_t size)
{
    const char *key = strstr(head, "chat/"), *id = body + strlen("{\"id\":\""),
               *id_end = memchr(id, '"', size), *text = strstr(id_end, "\"body\":") + 7;
    unsigned number = (unsigned)strtoul(key + 5, NULL, 10) % STREAMS;
    size_t len = (size_t)(body + size - 1 - text);
    if (!streams[number].id) {
        streams[number].id = ++*seq;
        be_born(db, *seq, key, strcspn(key + 5, "/") + 5);
    }
    streams[number].n++;
    streams[number].bytes += (sqlite3_int64)len;
    ++*seq;
    add_entry(db, *seq, number, id, (size_t)(id_end - id), text, len);
    count(db, *seq, number);
}
