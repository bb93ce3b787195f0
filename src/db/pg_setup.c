/* A session: whether it is ours alone, and its settings.
 *
 * A pooler that gives out connections by the transaction gives ours to others, and theirs to us:
 * what is set here would be set for others, an advisory lock would be theirs as well, and a
 * statement would meet the tables of another space. So nothing is set before it is known that there
 * is none:
 *
 *     the server says the number that it said when the connection was made    nobody is between
 *     another: a pooler has made that number up. A second connection is asked as well
 *         what each of the two is told stays the same, and differs            ours alone
 *         it changes, or is the same for both                                 shared: refused
 *
 * Poolers may come to share later, and a busy one may look like one that does not share. So each
 * session has a mark, and what begins in one that has another mark is refused: there is no
 * parameter of the name that it asks for then (pg_is_pooled). */
#include "db/pg_internal.h"

#include <stdio.h>

#define BUSY_MS 100
/* A pooler that shares answers a second connection while the first one is silent. */
#define SECOND_MS 3000
/* PostgreSQL before 14, and machines where it cannot see a closed socket, do without. */
#define CHECK_CLIENTS_FROM 140000

static const char number_sql[] = "SELECT pg_backend_pid()";

static uint32_t lock_ms(const struct pg_db *db)
{
    return db->busy_ms == DB_BUSY_NONE ? 1 : db->busy_ms ? db->busy_ms : BUSY_MS;
}

/* ------------------------------------------------------------------------------- ours alone? */

/* The same address once more, of which nothing is asked but its number. */
static struct pg_db *second_of(const struct pg_db *db)
{
    struct pg_db *other = mem_calloc(1, sizeof *other);
    if (!other)
        return NULL;
    other->base = (struct db){.driver = &pg_driver,
                              .env = db->base.env,
                              .mode = DB_FOREIGN,
                              .lives = db->base.lives,
                              .lives_ctx = db->base.lives_ctx,
                              .deadline_ms = env_mono_ms(db->base.env) + SECOND_MS};
    other->url = db->url;
    other->shown = db->shown;
    memcpy(other->schema, db->schema, sizeof other->schema);
    return other;
}

static kf_rc ask_second(struct pg_db *other, int64_t numbers[2], struct kf_err *err)
{
    kf_rc rc = pg_reach(other, err);
    for (size_t i = 0; i < 2 && rc == KF_OK; i++)
        rc = pg_say_for(other, number_sql, &numbers[i], err);
    return rc;
}

static kf_rc check_alone(struct pg_db *db, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    int64_t mine = 0, again = 0, other_is[2] = {0, 0};
    struct pg_db *other = second_of(db);
    if (!other)
        return err_nomem(err);
    KF_SOMETIMES("pg-behind-a-pooler");
    kf_rc rc = pg_say_for(db, number_sql, &mine, &why);
    if (rc == KF_OK)
        rc = ask_second(other, other_is, &why);
    bool silent = rc != KF_OK && other->base.trouble == DB_TROUBLE_BUSY;
    pg_drop(other);
    mem_free(other);
    if (silent) /* it waits for a connection that nobody uses: each has its own */
        return KF_OK;
    if (rc == KF_OK)
        rc = pg_say_for(db, number_sql, &again, &why);
    if (rc == KF_OK && (mine != again || mine == other_is[0] || other_is[0] != other_is[1])) {
        db->pooled = true;
        rc = pg_pooled(db, &why);
    }
    if (rc != KF_OK && err)
        *err = why;
    return rc;
}

/* ------------------------------------------------------------------------------------ settings */

static void make_place(struct pg_db *db, const char *mark)
{
    int n = snprintf(db->place, sizeof db->place,
                     "SELECT set_config(CASE coalesce(current_setting('keepfast.session', true), "
                     "'') WHEN '%s' THEN 'search_path' ELSE 'keepfast_pooled' END, '\"%s\"', true)",
                     mark, db->schema);
    assert(n > 0 && (size_t)n < sizeof db->place);
    (void)n;
}

/* Only in the session of this number, 0 = whichever it is. Whatever the role or database has set,
 * an answer comes behind the server's own log. *ret is the session's number, unless it has
 * another. */
static kf_rc set(struct pg_db *db, const char *mark, int number, int64_t *ret, struct kf_err *err)
{
    char sql[768];
    int n = snprintf(
        sql, sizeof sql,
        "SELECT pg_backend_pid(), set_config('keepfast.session', '%s', false),"
        " set_config('search_path', '\"%s\"', false),"
        " set_config('client_min_messages', 'error', false), set_config('jit', 'off', false),"
        " set_config('lock_timeout', '%u', false), set_config('statement_timeout', '0', false),"
        " set_config('idle_in_transaction_session_timeout', '%s', false),"
        " CASE current_setting('synchronous_commit') WHEN 'off'"
        " THEN set_config('synchronous_commit', 'on', false) END"
        " WHERE %d IN (0, pg_backend_pid())",
        mark, db->schema, lock_ms(db),
        db->base.mode == DB_OWNER ? "60s" : "15min", /* who writes stands in others' way */
        number);
    assert(n > 0 && (size_t)n < sizeof sql);
    (void)n;
    return pg_say_for(db, sql, ret, err);
}

kf_rc pg_set_up(struct pg_db *db, struct kf_err *err)
{
    char mark[17] = "";
    int64_t number = 0;
    bool unchecked = KF_SABOTAGE("pg-pooler-unchecked"), blind = false;
    if (KF_SABOTAGE("pg-pooler-unnoticed"))
        blind = unchecked = true;
    if (!blind)
        snprintf(mark, sizeof mark, "%.16s", db->tag + sizeof "keepfast"); /* behind the blank */
    make_place(db, mark);
    kf_rc rc = set(db, mark, unchecked ? 0 : pq.backendPID(db->conn), &number, err);
    if (rc == KF_OK && !number && (rc = check_alone(db, err)) == KF_OK)
        rc = set(db, mark, 0, &number, err);
    if (rc != KF_OK || pq.serverVersion(db->conn) < CHECK_CLIENTS_FROM)
        return rc;
    /* Where the server's system cannot tell, it goes on with what nobody waits for. */
    if (pg_say(db, "SET client_connection_check_interval = '1s'", NULL) != KF_OK && !db->conn)
        return pg_gone(db, err);
    db->base.trouble = DB_FINE;
    return KF_OK;
}

void pg_set_busy(struct db *base, uint32_t busy_ms)
{
    struct pg_db *db = pg_of(base);
    char sql[64];
    db->busy_ms = busy_ms;
    if (!db->conn)
        return; /* it is set when there is one */
    snprintf(sql, sizeof sql, "SET lock_timeout = %u", lock_ms(db));
    if (pg_exec(base, sql, NULL) != KF_OK)
        pg_drop(db);
}
