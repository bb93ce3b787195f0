/* bare_epoll: the limit for writes over HTTP. One thread reads the requests of every connection
 * that is ready, runs the statements of a saved document or of an appended entry for each in one
 * SQLite transaction (synchronous=FULL), commits once, and answers. No names are checked, no JSON
 * is read, nothing is hashed: only what cannot be left out.
 *
 *     bare_epoll FILE.db        prints its address, and serves until it is told to end
 *
 * PUT .../NAME with Content-Length saves, POST .../chat/NUMBER/entries appends (bare_stream.h);
 * anything else is answered with the constant. */
#include "bare_stream.h"
#include "db/schema.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNS    1024
#define IN_MAX   (64 * 1024)
#define VERSIONS 100
#define FRAMES   800 /* of the log before it is checkpointed: STORE_CHECKPOINT_FRAMES */

/* --------------------------------------------------------------------------------------- SQLite */

static struct raw {
    sqlite3 *db;
    sqlite3_stmt *begin, *head, *put, *version, *trim, *forget, *journal, *state, *commit;
    sqlite3_int64 seq;
} raw;

static const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static void check(int rc)
{
    if (rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW)
        return;
    fprintf(stderr, "bare_epoll: %s\n", sqlite3_errmsg(raw.db));
    exit(1);
}

static void run(sqlite3_stmt *s)
{
    check(sqlite3_step(s));
    sqlite3_reset(s);
}

static void raw_open(const char *path)
{
    const struct {
        const char *sql;
        sqlite3_stmt **stmt;
    } all[] = {
        {"BEGIN IMMEDIATE", &raw.begin},
        {"SELECT version, seq FROM kf_doc WHERE name = ?1", &raw.head},
        {"INSERT INTO kf_doc(name, version, seq, stamp, site, at, size, hash, deleted) VALUES(?1, "
         "?2, ?3, ?4, ?5, ?6, ?7, ?8, 0) "
         "ON CONFLICT(name) DO UPDATE SET version = excluded.version, seq = excluded.seq, stamp = "
         "excluded.stamp, "
         "site = excluded.site, at = excluded.at, size = excluded.size, hash = excluded.hash, "
         "deleted = 0",
         &raw.put},
        {"INSERT INTO kf_doc_version(seq, name, version, stamp, site, at, kind, size, hash, body) "
         "VALUES(?3, ?1, ?2, ?4, ?5, ?6, 'put', ?7, ?8, ?9)",
         &raw.version},
        {"DELETE FROM kf_doc_version WHERE name = ?1 AND version <= (SELECT version FROM "
         "kf_doc_version WHERE name = ?1 "
         "ORDER BY version DESC LIMIT 1 OFFSET ?2)",
         &raw.trim},
        {"DELETE FROM kf_journal WHERE seq = ?1", &raw.forget},
        {"INSERT INTO kf_journal(seq, tbl, key, stamp, site) VALUES(?1, 'doc', ?2, ?3, ?4)",
         &raw.journal},
        {"UPDATE kf_state SET seq = ?1, stamp = ?1 WHERE id = 1", &raw.state},
        {"COMMIT", &raw.commit},
    };
    check(sqlite3_open(path, &raw.db));
    check(sqlite3_exec(
        raw.db,
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON",
        NULL, NULL, NULL));
    check(sqlite3_exec(raw.db, schema_store.create, NULL, NULL, NULL));
    sqlite3_wal_autocheckpoint(raw.db, FRAMES);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        check(sqlite3_prepare_v3(raw.db, all[i].sql, -1, SQLITE_PREPARE_PERSISTENT, all[i].stmt,
                                 NULL));
}

/* ?1 name, ?2 version, ?3 seq, ?4 stamp, ?5 site, ?6 at, ?7 size, ?8 hash */
static void bind_row(sqlite3_stmt *s, const char *name, int name_len, sqlite3_int64 version,
                     int size)
{
    sqlite3_bind_text(s, 1, name, name_len, SQLITE_STATIC);
    sqlite3_bind_int64(s, 2, version);
    sqlite3_bind_int64(s, 3, raw.seq);
    sqlite3_bind_int64(s, 4, raw.seq);
    sqlite3_bind_text(s, 5, hash, 16, SQLITE_STATIC);
    sqlite3_bind_int64(s, 6, raw.seq);
    sqlite3_bind_int64(s, 7, size);
    sqlite3_bind_text(s, 8, hash, 64, SQLITE_STATIC);
}

static void raw_put(const char *name, int name_len, const char *body, int size)
{
    sqlite3_int64 version = 0, old = 0;
    sqlite3_bind_text(raw.head, 1, name, name_len, SQLITE_STATIC);
    if (sqlite3_step(raw.head) == SQLITE_ROW) {
        version = sqlite3_column_int64(raw.head, 0);
        old = sqlite3_column_int64(raw.head, 1);
    }
    sqlite3_reset(raw.head);
    raw.seq++;
    bind_row(raw.put, name, name_len, ++version, size);
    run(raw.put);
    bind_row(raw.version, name, name_len, version, size);
    sqlite3_bind_text(raw.version, 9, body, size, SQLITE_STATIC);
    run(raw.version);
    if (version > VERSIONS) {
        sqlite3_bind_text(raw.trim, 1, name, name_len, SQLITE_STATIC);
        sqlite3_bind_int64(raw.trim, 2, VERSIONS);
        run(raw.trim);
    }
    if (old) {
        sqlite3_bind_int64(raw.forget, 1, old);
        run(raw.forget);
    }
    sqlite3_bind_int64(raw.journal, 1, raw.seq);
    sqlite3_bind_text(raw.journal, 2, name, name_len, SQLITE_STATIC);
    sqlite3_bind_int64(raw.journal, 3, raw.seq);
    sqlite3_bind_text(raw.journal, 4, hash, 16, SQLITE_STATIC);
    run(raw.journal);
}

/* ----------------------------------------------------------------------------------------- HTTP */

struct conn {
    int fd;
    size_t len;
    char in[IN_MAX];
};

static const char answer[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

/* The request at the beginning of `in`, whole. False: more bytes are needed. */
static bool whole(const struct conn *c, const char **ret_body, size_t *ret_size)
{
    const char *end = memmem(c->in, c->len, "\r\n\r\n", 4);
    if (!end)
        return false;
    const char *length = memmem(c->in, (size_t)(end - c->in), "\r\nContent-Length: ", 18);
    *ret_body = end + 4;
    *ret_size = length ? strtoul(length + 18, NULL, 10) : 0;
    return *ret_size <= c->len - (size_t)(*ret_body - c->in);
}

/* Runs what is there; true when it is to be answered after the commit. */
static bool take(struct conn *c, bool *begun)
{
    const char *body;
    size_t size;
    if (!whole(c, &body, &size))
        return false;
    bool put = memcmp(c->in, "PUT ", 4) == 0, post = memcmp(c->in, "POST ", 5) == 0;
    if (!*begun && (put || post)) {
        run(raw.begin);
        *begun = true;
    }
    if (put) {
        const char *end = memchr(c->in + 4, ' ', c->len - 4), *name = end;
        while (name[-1] != '/')
            name--;
        raw_put(name, (int)(end - name), body, (int)size);
    }
    if (post)
        bare_append(raw.db, &raw.seq, c->in, body, size);
    size_t used = (size_t)(body - c->in) + size;
    memmove(c->in, c->in + used, c->len - used);
    c->len -= used;
    return true;
}

static int epoll_fd;

static void accept_all(int listener)
{
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct conn *c = malloc(sizeof(*c));
        c->fd = fd;
        c->len = 0;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd,
                  &(struct epoll_event){.events = EPOLLIN, .data.ptr = c});
    }
}

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
    (void)number;
    ended = 1;
}

static void turn(int listener)
{
    static struct epoll_event events[CONNS];
    struct conn *due[CONNS];
    int count = 0, n = epoll_wait(epoll_fd, events, CONNS, -1);
    bool begun = false;
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        if (!c) {
            accept_all(listener);
            continue;
        }
        ssize_t got = read(c->fd, c->in + c->len, sizeof(c->in) - c->len);
        if (got <= 0) {
            close(c->fd);
            free(c);
            continue;
        }
        c->len += (size_t)got;
        if (take(c, &begun))
            due[count++] = c;
    }
    if (begun) {
        sqlite3_bind_int64(raw.state, 1, raw.seq);
        run(raw.state);
        run(raw.commit);
    }
    for (int i = 0; i < count; i++)
        if (write(due[i]->fd, answer, sizeof(answer) - 1) < 0)
            continue; /* seen when it is read */
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    if (argc != 2)
        return 2;
    raw_open(argv[1]);
    signal(SIGTERM, on_signal);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    epoll_fd = epoll_create1(0);
    if (bind(listener, (struct sockaddr *)&address, len) || listen(listener, 1024) ||
        getsockname(listener, (struct sockaddr *)&address, &len) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN}))
        return 1;
    printf("127.0.0.1:%u\n", (unsigned)ntohs(address.sin_port));
    fflush(stdout);
    while (!ended)
        turn(listener);
    return 0;
}
