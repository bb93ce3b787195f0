/* A connection: making, waiting, letting go. */
#include "db/pg_internal.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

/* Between two looks at deadlines while the network is waited for. */
#define LOOK_MS       50
#define LOOK_OFTEN_MS 2

static void drop_notice(void *ctx, const char *text)
{
    (void)ctx;
    (void)text;
}

void pg_drop(struct pg_db *db)
{
    if (db->conn)
        pq.finish(db->conn);
    db->conn = NULL;
    db->sent_count = 0;
    db->reading = NULL;
    db->dead_count = 0;
    pg_forget_statements(db);
    if (db->txn != PG_NONE)
        db->txn = PG_BROKEN;
}

/* ------------------------------------------------------------------------------------ waiting */

/* Milliseconds that may still pass: of a clock that a test may have stopped, so naps count too. */
struct patience {
    int64_t until_ms, left_ms;
};

static struct patience patience_of(const struct pg_db *db, int64_t ms)
{
    return (struct patience){env_mono_ms(db->base.env) + ms, ms};
}

static bool is_over(const struct pg_db *db, const struct patience *p)
{
    return p->left_ms <= 0 || env_mono_ms(db->base.env) >= p->until_ms;
}

/* Waits a moment for the socket. False: nothing happened. */
static bool nap(const struct pg_db *db, short events, int nap_ms, struct patience *p)
{
    struct pollfd fd = {.fd = pq.socket(db->conn), .events = events};
    int n = poll(&fd, 1, nap_ms);
    if (n == 0)
        p->left_ms -= nap_ms;
    return n > 0;
}

void pg_push(struct pg_db *db)
{
    int left = pq.flush(db->conn);
    (void)left; /* a failure shows when its answer is waited for */
}

/* Ends what runs by closing the connection: the server sees that within a second or two. */
static kf_rc give_up(struct pg_db *db, struct kf_err *err)
{
    KF_SOMETIMES("pg-deadline");
    pg_drop(db);
    db->base.trouble = DB_TROUBLE_BUSY;
    return err_set(err, PROBLEM_BUSY, "cannot read: it took longer than it may");
}

kf_rc pg_gone(struct pg_db *db, struct kf_err *err)
{
    kf_rc rc = pg_lost(db, err);
    pg_drop(db);
    db->base.trouble = DB_TROUBLE_LOST;
    return rc;
}

static bool is_to_close(const struct pg_db *db)
{
    return db->base.lives && !db->base.lives(db->base.lives_ctx);
}

/* Whether a server that has said nothing since then is waited for no longer. */
static bool is_in_a_hurry(const struct pg_db *db, int64_t since_ms)
{
    return is_to_close(db) && env_mono_ms(db->base.env) - since_ms >= PG_HURRY_MS;
}

/* Whether what is silent is still at work: for who has time. An answer may have come while another
 * connection was asked. */
static bool goes_on_in_silence(struct pg_db *db)
{
    struct patience p = patience_of(db, LOOK_MS);
    if (!db->base.patient)
        return false;
    KF_SOMETIMES("pg-silence-asked-about");
    return pg_is_at_work(db) || nap(db, POLLIN, LOOK_MS, &p);
}

static kf_rc wait_for_bytes(struct pg_db *db, struct kf_err *err)
{
    bool watched = (db->base.go_on || db->base.deadline_ms) && !db->base.patient;
    int nap_ms = db->base.go_on ? LOOK_OFTEN_MS : LOOK_MS;
    int64_t since_ms = env_mono_ms(db->base.env);
    struct patience p = patience_of(db, watched ? PG_SILENCE_LONG_MS : db->silence_ms);
    for (;;) {
        int left = pq.flush(db->conn);
        if (left < 0)
            return pg_gone(db, err);
        if (nap(db, (short)(POLLIN | (left ? POLLOUT : 0)), nap_ms, &p))
            break;
        if (db_is_to_end(&db->base))
            return give_up(db, err);
        /* A server that says nothing is gone; who has set a bound may be about something long. */
        if (is_in_a_hurry(db, since_ms) || (is_over(db, &p) && !goes_on_in_silence(db)))
            return pg_gone(db, err);
        if (is_over(db, &p))
            p = patience_of(db, db->silence_ms);
    }
    return pq.consumeInput(db->conn) ? KF_OK : pg_gone(db, err);
}

kf_rc pg_result(struct pg_db *db, PGresult **ret, struct kf_err *err)
{
    if (!db->conn)
        return pg_gone(db, err);
    if (db_is_to_end(&db->base))
        return give_up(db, err);
    while (pq.isBusy(db->conn)) {
        kf_rc rc = wait_for_bytes(db, err);
        if (rc != KF_OK)
            return rc;
    }
    PGresult *res = pq.getResult(db->conn);
    /* The server's last words may be a result: what ends the connection is no statement's fault. */
    if (pq.status(db->conn) == CONNECTION_BAD) {
        pq.clear(res);
        return pg_gone(db, err);
    }
    *ret = res;
    return KF_OK;
}

/* ---------------------------------------------------------------------------------- connecting */

static kf_rc shake_hands(struct pg_db *db, int64_t wait_ms, struct kf_err *err)
{
    int64_t since_ms = env_mono_ms(db->base.env);
    struct patience p = patience_of(db, wait_ms);
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    while (next != PGRES_POLLING_OK) {
        if (next == PGRES_POLLING_FAILED || is_over(db, &p) || is_in_a_hurry(db, since_ms))
            return pg_refused(db, err);
        if (db_is_to_end(&db->base))
            return give_up(db, err);
        if (nap(db, next == PGRES_POLLING_READING ? POLLIN : POLLOUT, LOOK_MS, &p))
            next = pq.connectPoll(db->conn);
    }
    return KF_OK;
}

kf_rc pg_say_for(struct pg_db *db, const char *sql, int64_t *ret, struct kf_err *err)
{
    PGresult *res = NULL;
    kf_rc rc = pq.sendQuery(db->conn, sql) ? KF_OK : pg_gone(db, err), got = rc;
    enum db_trouble trouble = DB_FINE;
    while (db->conn && (got = pg_result(db, &res, rc == KF_OK ? err : NULL)) == KF_OK && res) {
        ExecStatusType status = pq.resultStatus(res);
        if (rc == KF_OK && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
            rc = pg_fail(db, res, &trouble, err);
            db->base.trouble = trouble;
            db->pooled = db->pooled || pg_is_pooled(res);
        } else if (rc == KF_OK && ret && pq.ntuples(res) > 0) {
            *ret = strtoll(pq.getvalue(res, 0, 0), NULL, 10);
        }
        pq.clear(res);
    }
    return rc == KF_OK && !db->conn ? got : rc;
}

kf_rc pg_say(struct pg_db *db, const char *sql, struct kf_err *err)
{
    return pg_say_for(db, sql, NULL, err);
}

static kf_rc check_server(struct pg_db *db, struct kf_err *err)
{
    const char *encoding = pq.parameterStatus(db->conn, "server_encoding");
    int version = pq.serverVersion(db->conn);
    if (version < PG_VERSION_MIN)
        return err_set(err, PROBLEM_CONFIG, "%s is PostgreSQL %d; version 12 or later is needed",
                       db->shown, version / 10000);
    if (!encoding || strcmp(encoding, "UTF8") != 0)
        return err_set(err, PROBLEM_CONFIG,
                       "the database of %s has the encoding %s: make one with ENCODING 'UTF8'",
                       db->shown, encoding ? encoding : "(unknown)");
    return KF_OK;
}

/* Each connection has a name of its own, by which the server's view of it can be found again. */
static void make_tag(struct pg_db *db)
{
    uint64_t random;
    db->base.env->random(db->base.env->ctx, &random, sizeof random);
    snprintf(db->tag, sizeof db->tag, "keepfast %016llx %.36s", (unsigned long long)random,
             db->schema);
}

const char *db_tag(const struct db *db)
{
    return db->driver == &pg_driver ? ((const struct pg_db *)db)->tag : "";
}

/* One of the hosts that an address names: libpq's next one, were it waited for by libpq. NULL: the
 * address has one, or none, and says it itself. */
struct target {
    char *host, *hostaddr, *port;
};

static void target_free(struct target *t)
{
    mem_free(t->host);
    mem_free(t->hostaddr);
    mem_free(t->port);
}

/* Part `i` of a list; of a list of one always that one. NULL: there is no list. */
static kf_rc part_of(const char *list, size_t i, char **ret, struct kf_err *err)
{
    str rest = str_of(list);
    if (!list || !*list)
        return KF_OK;
    for (; i > 0 && str_index(rest, ',') < rest.len; i--)
        rest = str_from(rest, str_index(rest, ',') + 1);
    *ret = mem_dup(rest.p, str_index(rest, ','));
    return *ret ? KF_OK : err_nomem(err);
}

static size_t count_of(const char *list)
{
    size_t n = 1;
    for (; list && *list; list++)
        n += *list == ',';
    return n;
}

/* Reads the address: how many hosts it names, and the one at db->host, counted round. libpq's own
 * words about what it cannot read repeat pieces of it. */
static kf_rc read_address(const struct pg_db *db, const char *address, size_t *ret_count,
                          struct target *ret, struct kf_err *err)
{
    char *words = NULL;
    PQconninfoOption *options = pq.conninfoParse(address, &words);
    const char *host = NULL, *hostaddr = NULL, *port = NULL;
    if (words) {
        mem_wipe(words, strlen(words));
        pq.freemem(words);
    }
    if (!options)
        return err_set(err, PROBLEM_CONFIG,
                       "%s: this address cannot be read; write "
                       "postgres://USER@HOST:PORT/DATABASE#SPACE, with %%-codes where a part "
                       "holds one of :/?#[]@",
                       db->shown);
    for (const PQconninfoOption *o = options; o->keyword; o++) {
        const char **to = strcmp(o->keyword, "host") == 0       ? &host
                          : strcmp(o->keyword, "hostaddr") == 0 ? &hostaddr
                          : strcmp(o->keyword, "port") == 0     ? &port
                                                                : NULL;
        if (to)
            *to = o->val;
    }
    *ret_count = count_of(hostaddr && *hostaddr ? hostaddr : host);
    kf_rc rc = KF_OK;
    if (*ret_count > 1) {
        rc = part_of(host, db->host % *ret_count, &ret->host, err);
        if (rc == KF_OK)
            rc = part_of(hostaddr, db->host % *ret_count, &ret->hostaddr, err);
        if (rc == KF_OK)
            rc = part_of(port, db->host % *ret_count, &ret->port, err);
    }
    pq.conninfoFree(options);
    return rc;
}

static kf_rc start(struct pg_db *db, size_t *ret_count, struct kf_err *err)
{
    struct target t = {0};
    char *address = mem_dup(db->url, strlen(db->url) - strlen(db_url_space(db->url).p) - 1);
    if (!address)
        return err_nomem(err);
    kf_rc rc = read_address(db, address, ret_count, &t, err);
    /* What the address says comes later and wins, but for what stands behind it. Of several hosts
     * one is a standby. */
    const char *names[16] = {"keepalives_idle",  "keepalives_interval",  "keepalives_count",
                             "tcp_user_timeout", "target_session_attrs", "dbname",
                             "application_name", "client_encoding"};
    const char *values[16] = {
        "10", "3", "3", "15000", *ret_count > 1 ? "read-write" : "any", address, db->tag, "UTF8"};
    size_t n = 8;
    const char *const keys[] = {"host", "hostaddr", "port"};
    const char *const those[] = {t.host, t.hostaddr, t.port};
    for (size_t i = 0; i < 3; i++)
        if (those[i]) {
            names[n] = keys[i];
            values[n++] = those[i];
        }
    if (rc == KF_OK)
        db->conn = pq.connectStartParams(names, values, 1);
    target_free(&t);
    mem_wipe(address, strlen(address));
    mem_free(address);
    if (rc != KF_OK)
        return rc;
    if (!db->conn)
        return err_nomem(err);
    return pq.status(db->conn) == CONNECTION_BAD ? pg_refused(db, err) : KF_OK;
}

static kf_rc reach_one(struct pg_db *db, bool briefly, size_t *ret_count, struct kf_err *err)
{
    kf_rc rc = start(db, ret_count, err);
    if (rc != KF_OK)
        return rc;
    int64_t share_ms = PG_CONNECT_MS / (int64_t)*ret_count;
    bool short_time = (briefly && *ret_count > 1) || share_ms < PG_HOST_MS;
    pq.setNoticeProcessor(db->conn, drop_notice, NULL);
    return shake_hands(db, short_time ? PG_HOST_MS : share_ms, err);
}

/* One host has all the time. Several are asked in a short round first: one that is dead says
 * nothing, and the next one may be the one that has taken over. */
kf_rc pg_reach(struct pg_db *db, struct kf_err *err)
{
    size_t count = 1;
    make_tag(db);
    kf_rc rc = reach_one(db, true, &count, err);
    for (size_t tried = 1; tried < 2 * count && count > 1; tried++) {
        if (rc == KF_OK || rc == KF_NOMEM || db_is_to_end(&db->base) || is_to_close(db))
            return rc;
        KF_SOMETIMES("pg-next-host");
        db->host = (db->host + 1) % count;
        pg_drop(db);
        rc = reach_one(db, tried < count, &count, err);
    }
    return rc;
}

static kf_rc connect(struct pg_db *db, struct kf_err *err)
{
    db->pooled = false;
    db->base.trouble = is_to_close(db) ? DB_TROUBLE_LOST : DB_FINE;
    if (db->base.trouble != DB_FINE)
        return err_set(err, PROBLEM_STORE_UNAVAILABLE,
                       "no connection to %s is made any more: what asks for it is being closed",
                       db->shown);
    kf_rc rc = pg_reach(db, err);
    if (rc == KF_OK)
        rc = check_server(db, err);
    if (rc == KF_OK)
        rc = pg_set_up(db, err);
    if (rc == KF_OK && (pq.setnonblocking(db->conn, 1) != 0 || !pq.enterPipelineMode(db->conn)))
        rc = pg_gone(db, err);
    if (rc != KF_OK) {
        if (db->base.trouble == DB_FINE && !db->pooled) /* that is nothing to wait for */
            db->base.trouble = DB_TROUBLE_LOST;
        pg_drop(db);
    }
    return rc;
}

kf_rc pg_connected(struct pg_db *db, struct kf_err *err)
{
    if (db->conn && db->pooled && db->txn == PG_NONE)
        pg_drop(db);
    if (db->conn)
        return KF_OK;
    assert(db->txn == PG_NONE);
    return connect(db, err);
}

/* ---------------------------------------------------------------------------- open and close */

static kf_rc set_names(struct pg_db *db, const char *path, struct kf_err *err)
{
    struct buf at = BUF_INIT, shown = BUF_INIT;
    kf_rc rc = db_url_at(path, NULL, &at, err);
    if (rc == KF_OK)
        rc = db_url_show(path, NULL, &shown, err);
    if (rc == KF_OK) {
        db->url = buf_detach(&at, NULL);
        db->shown = buf_detach(&shown, NULL);
        str space = db_url_space(db->url);
        bool ok = space.len > 0 && space.len + 3 <= PG_SCHEMA_LEN;
        for (size_t i = 0; ok && i < space.len; i++)
            ok = strchr("abcdefghijklmnopqrstuvwxyz0123456789_-", space.p[i]) != NULL;
        if (ok)
            snprintf(db->schema, sizeof db->schema, "kf_%s", space.p);
        else
            rc = err_set(err, PROBLEM_CONFIG,
                         "a space is named with a-z, 0-9, _ and -, 1 to 60 of them");
    }
    buf_release(&at);
    buf_release(&shown);
    return rc;
}

kf_rc pg_open(const struct db_options *o, struct db **ret_db, struct kf_err *err)
{
    kf_rc rc = pg_calls_load(err);
    if (rc != KF_OK)
        return rc;
    struct pg_db *db = mem_calloc(1, sizeof *db);
    if (!db)
        return err_nomem(err);
    db->base = (struct db){.driver = &pg_driver,
                           .env = o->env,
                           .mode = o->mode,
                           .lives = o->lives,
                           .lives_ctx = o->lives_ctx};
    db->busy_ms = o->busy_ms;
    db->silence_ms = o->silence_ms ? o->silence_ms : PG_SILENCE_MS;
    rc = set_names(db, o->path, err);
    if (rc == KF_OK)
        rc = connect(db, err);
    if (rc == KF_OK && o->mode == DB_OWNER)
        rc = pg_have_schema(db, o->create, err);
    if (rc != KF_OK) {
        pg_close(&db->base);
        return rc;
    }
    db->base.wrote = 0;
    db->base.trouble = DB_FINE;
    *ret_db = &db->base;
    return KF_OK;
}

void pg_close(struct db *base)
{
    struct pg_db *db = pg_of(base);
    pg_drop(db); /* the server rolls back */
    for (size_t i = 0; i < DB_STATEMENTS_MAX; i++)
        mem_free(db->stmts[i].ahead);
    if (db->url)
        mem_wipe(db->url, strlen(db->url));
    mem_free(db->url);
    mem_free(db->shown);
    mem_free(db);
}
