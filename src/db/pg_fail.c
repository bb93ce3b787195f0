/* What failures of PostgreSQL mean: by the five characters of SQLSTATE, of which the first two are
 * the class. */
#include "db/pg_internal.h"

#include <stdio.h>

#define TEXT_MAX 300

struct meaning {
    const char *state; /* the whole, or the class */
    enum db_trouble trouble;
    enum problem problem;
    const char *next; /* what to do, behind the server's words */
};

/* The first that fits counts. */
static const struct meaning meanings[] = {
    {"40001", DB_TROUBLE_AGAIN, PROBLEM_CONTENTION,
     "another transaction was in the way; try again"},
    {"40P01", DB_TROUBLE_AGAIN, PROBLEM_CONTENTION,
     "another transaction was in the way; try again"},
    {"55P03", DB_TROUBLE_BUSY, PROBLEM_BUSY,
     "another server or program holds the store; try again"},
    {"57014", DB_TROUBLE_BUSY, PROBLEM_BUSY, "it was cancelled on the server; try again"},
    {"25006", DB_TROUBLE_READ_ONLY, PROBLEM_STORE_READ_ONLY,
     "the server takes no writes: it is a standby, or was made read-only"},
    {"53100", DB_TROUBLE_FULL, PROBLEM_DISK_FULL,
     "the disk of the server is full; make room, writes then go on by themselves"},
    {"53200", DB_TROUBLE_BUSY, PROBLEM_BUSY, "the server is out of memory; try again"},
    {"53300", DB_TROUBLE_LOST, PROBLEM_STORE_UNAVAILABLE,
     "the server has no connection left: raise max_connections or lower pool.max"},
    {"54", DB_FINE, PROBLEM_TOO_LARGE, "a value is larger than the database takes"},
    {"22021", DB_FINE, PROBLEM_BAD_REQUEST, "text that is no UTF-8 cannot be kept there"},
    {"22P05", DB_FINE, PROBLEM_BAD_REQUEST, "text that is no UTF-8 cannot be kept there"},
    {"42501", DB_FINE, PROBLEM_CONFIG, "the role may not do that: grant it, or use another role"},
    {"3F000", DB_FINE, PROBLEM_STORE_MOVED, "its schema is gone"},
    {"42P01", DB_FINE, PROBLEM_STORE_MOVED, "its tables are gone"},
    {"XX001", DB_TROUBLE_CORRUPT, PROBLEM_DAMAGED, "restore the database from its own backup"},
    {"XX002", DB_TROUBLE_CORRUPT, PROBLEM_DAMAGED, "REINDEX, or restore the database"},
    {"58", DB_FINE, PROBLEM_IO_ERROR, "the server could not use its disk: see its log"},
    {"57P", DB_TROUBLE_LOST, PROBLEM_STORE_UNAVAILABLE, "the server is stopping or starting"},
    {"25P03", DB_TROUBLE_LOST, PROBLEM_STORE_UNAVAILABLE, "the transaction stood still too long"},
    /* what functions of ours say of a table that is not ours (shape/track_sql.c) */
    {"KF001", DB_FINE, PROBLEM_CONFIG, "mend that, or untrack the table"},
    {"08", DB_TROUBLE_LOST, PROBLEM_STORE_UNAVAILABLE, "the connection was lost"},
};

static const struct meaning *meaning_of(const char *state)
{
    for (size_t i = 0; state && i < sizeof meanings / sizeof *meanings; i++)
        if (strncmp(state, meanings[i].state, strlen(meanings[i].state)) == 0)
            return &meanings[i];
    return NULL;
}

/* On one line, and without the password that the connection was made with. */
static void tidy(const struct pg_db *db, const char *from, char to[TEXT_MAX])
{
    size_t n = 0;
    const char *secret = db->conn ? pq.pass(db->conn) : NULL;
    size_t secret_len = secret ? strlen(secret) : 0;
    while (*from && n + 4 < TEXT_MAX) {
        if (secret_len && strncmp(from, secret, secret_len) == 0) {
            memcpy(to + n, "***", 3);
            n += 3;
            from += secret_len;
            continue;
        }
        to[n++] = (unsigned char)*from < ' ' ? ' ' : *from;
        from++;
    }
    while (n > 0 && (to[n - 1] == ' ' || to[n - 1] == '.'))
        n--;
    /* A character that was cut in two would be no text. */
    to[str_utf8_valid(str_make(to, n))] = '\0';
}

bool pg_is_pooled(const PGresult *res)
{
    const char *text = pq.resultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    return text && strstr(text, "keepfast_pooled");
}

kf_rc pg_pooled(const struct pg_db *db, struct kf_err *err)
{
    return err_set(err, PROBLEM_CONFIG,
                   "%s leads through a pooler that shares its connections between transactions: "
                   "let it pool by the session (pgbouncer: pool_mode = session), or name the "
                   "server itself",
                   db->shown);
}

kf_rc pg_fail(const struct pg_db *db, const PGresult *res, enum db_trouble *ret_trouble,
              struct kf_err *err)
{
    char words[TEXT_MAX];
    const char *state = pq.resultErrorField(res, PG_DIAG_SQLSTATE);
    const char *text = pq.resultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    const struct meaning *m = meaning_of(state);
    tidy(db, text ? text : pq.resultErrorMessage(res), words);
    *ret_trouble = m ? m->trouble : DB_FINE;
    if (pg_is_pooled(res))
        return pg_pooled(db, err);
    if (m)
        return err_set(err, m->problem, "PostgreSQL (%s): %s; %s", db->shown, words, m->next);
    return err_set(err, PROBLEM_INTERNAL, "PostgreSQL (%s) refused a statement: %s (SQLSTATE %s)",
                   db->shown, words, state ? state : "?");
}

kf_rc pg_lost(const struct pg_db *db, struct kf_err *err)
{
    char words[TEXT_MAX] = "";
    if (db->conn)
        tidy(db, pq.errorMessage(db->conn), words);
    return err_set(err, PROBLEM_STORE_UNAVAILABLE,
                   "the connection to %s was lost%s%s; it is made again by itself", db->shown,
                   words[0] ? ": " : "", words);
}

/* libpq gives no SQLSTATE for what the server says before there is a connection. What an operator
 * has to mend is told from what passes by the server's words, which are English unless it was
 * told otherwise; where they are not, it is taken for something that passes. */
static bool is_for_an_operator(const char *words)
{
    static const char *const signs[] = {"authentication failed", "no pg_hba.conf entry",
                                        "does not exist",        "is not permitted to log in",
                                        "no password supplied",  "invalid "};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (strstr(words, signs[i]))
            return true;
    return false;
}

kf_rc pg_refused(const struct pg_db *db, struct kf_err *err)
{
    char words[TEXT_MAX];
    tidy(db, pq.errorMessage(db->conn), words);
    if (is_for_an_operator(words) && !strstr(words, "No such file"))
        return err_set(err, PROBLEM_CONFIG, "%s lets us not in: %s", db->shown, words);
    return err_set(err, PROBLEM_STORE_UNAVAILABLE,
                   "%s cannot be reached: %s; it is tried again by itself", db->shown,
                   words[0] ? words : "it does not answer");
}
