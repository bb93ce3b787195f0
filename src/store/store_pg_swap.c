/* Replacing the content of a store on PostgreSQL by that of a scratch store in a file.
 *
 *      nobody leads -> BEGIN, lock kf_state -> may it still be? -> what was there, copied aside
 *           -> DELETE all rows -> rows of the scratch store -> a site of its own, stamps later than
 *           both -> COMMIT
 *
 * One transaction: whoever reads meanwhile reads what was there, a crash leaves it, and other
 * servers wait with what they would write. They see another site in kf_meta with the next group or
 * look, and forget what their memory has (pg_began, the watcher). Rows are deleted and not
 * truncated, for a reader's snapshot must not become empty under it.
 *
 * What was there stays as tables of a schema of its own, kf-before-TIME-SPACE, until somebody drops
 * it. The words of entries are indexed anew by the chief. Tracked tables stay tracked, and are gone
 * through: each of their rows gets a new number, and so does each that went. For who reads changes
 * may be behind, and must hear of what is no more as of what is there: kf_row is kept, with numbers
 * below 0 until they are given anew, which nobody reads. */
#include "store/store_pg.h"

#include "base/when.h"

#include <stdio.h>

/* Columns as they are bound: i number, o number or NULL, t text, n text or NULL. */
struct table {
    const char *types, *select, *insert, *remove, *keep;
};
#define T(name, types, list, values)                                                          \
    {                                                                                         \
        types, "SELECT " list " FROM " #name,                                                 \
            "INSERT INTO " #name "(" list ") VALUES(" values ")", "DELETE FROM " #name, #name \
    }
static const struct table tables[] = {
    T(kf_meta, "tt", "key, value", "$1, $2"),
    T(kf_doc, "tiiitiiti", "name, version, seq, stamp, site, at, size, hash, deleted",
      "$1, $2, $3, $4, $5, $6, $7, $8, $9"),
    T(kf_doc_version, "itiitititn", "seq, name, version, stamp, site, at, kind, size, hash, body",
      "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10"),
    T(kf_journal, "ittit", "seq, tbl, key, stamp, site", "$1, $2, $3, $4, $5"),
    T(kf_remote, "ttniniiiitti",
      "name, url, options, watermark, position, hydrated, confirmed_at, last_run_at, failures, "
      "last_code, last_error, aside_more",
      "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12"),
    T(kf_run, "itiitttiiiiiiiiiiii",
      "id, remote, began, ended, cause, code, message, times, tries, pushed_docs, pushed_entries, "
      "pushed_files, pushed_bytes, taken_docs, taken_entries, taken_bytes, lost, bad, aside",
      "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, "
      "$18, $19"),
    T(kf_aside, "tttitti", "remote, kind, name, since, code, reason, seq",
      "$1, $2, $3, $4, $5, $6, $7"),
    T(kf_once, "ttti", "key, request, result, at", "$1, $2, $3, $4"),
    T(kf_stream, "itiiiiiiiitittt",
      "id, key, rev, count, last_n, bytes, first_at, last_at, seq, stamp, site, born, kinds, "
      "rings, attrs",
      "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15"),
    T(kf_stream_attr, "ttti", "name, value, key, stream", "$1, $2, $3, $4"),
    T(kf_entry, "iiiiiiittttntio",
      "seq, stream, n, at, stamp, size, taken, kind, id, site, hash, attach, body, timed, behind",
      "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15"),
    T(kf_entry_once, "ititi", "stream, id, n, hash, at", "$1, $2, $3, $4, $5"),
    T(kf_entry_once_new, "ititi", "stream, id, n, hash, at", "$1, $2, $3, $4, $5"),
    T(kf_attachment, "tit", "hash, size, body", "$1, $2, $3"),
    T(kf_stream_member, "ttitn", "key, name, stamp, site, value", "$1, $2, $3, $4, $5"),
    T(kf_erased, "ttiii", "key, site, stamp, at, seq", "$1, $2, $3, $4, $5"),
    T(kf_trimmed, "iti", "stream, site, stamp", "$1, $2, $3"),
    T(kf_remote_file, "ttitiitiit",
      "remote, key, first, hash, version, stamp, site, bytes, last_seq, entries",
      "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10"),
    T(kf_erasing, "ii", "stream, receipt", "$1, $2"),
    T(kf_receipt, "iitiiii", "id, at, subject, streams, entries, attachments, bytes",
      "$1, $2, $3, $4, $5, $6, $7"),
};
#undef T
#define TABLES (sizeof tables / sizeof *tables)

/* ----------------------------------------------------------------------------------------- rows */

static kf_rc copy_row(struct db *to, const struct table *t, struct db_stmt *from,
                      struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(to, t->insert, &s, err);
    if (rc != KF_OK)
        return rc;
    for (int i = 0; t->types[i]; i++)
        if ((t->types[i] == 'o' || t->types[i] == 'n') && db_null(from, i))
            db_bind_null(s, i + 1);
        else if (t->types[i] == 'i' || t->types[i] == 'o')
            db_bind_i64(s, i + 1, db_i64(from, i));
        else
            db_bind_text(s, i + 1, db_text(from, i));
    return db_run(s, err);
}

/* A store that is being closed does not wait for the last of many rows. */
static kf_rc check_wanted(struct kf_store *s, struct kf_err *err)
{
    if (pg_lives(s))
        return KF_OK;
    KF_SOMETIMES("pg-swap-given-up");
    return err_set(err, PROBLEM_STOPPING,
                   "the store is being closed: nothing was restored; try again when it is back");
}

static kf_rc copy_table(struct kf_store *store, struct db *from, const struct table *t,
                        struct kf_err *err)
{
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_exec(store->db, t->remove, err);
    if (rc == KF_OK)
        rc = db_use(from, t->select, &s, err);
    if (rc != KF_OK)
        return rc;
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        rc = check_wanted(store, err);
        if (rc == KF_OK)
            rc = copy_row(store->db, t, s, err);
        if (rc != KF_OK)
            break;
    }
    db_done(s);
    return rc;
}

/* What is of PostgreSQL alone: the index of words begins anew, tables are gone through, from their
 * first row. A pass (shape/track_number.c) tells of rows that are known and not there: so those
 * that went long ago are known again. */
static kf_rc copy_rows(struct kf_store *s, struct db *from, struct kf_err *err)
{
    static const char rest_sql[] =
        "DELETE FROM kf_search;"
        "DELETE FROM kf_meta WHERE key IN ('indexed', 'swept', 'unpurged');"
        "UPDATE kf_row SET seq = -seq, gone = 0 WHERE seq > 0;"
        "UPDATE kf_tracked SET state = 'refill', place = ''"
        " WHERE state IN ('on', 'fill', 'refill', 'sweep');"
        "SELECT setval(pg_get_serial_sequence('kf_run', 'id'),"
        " (SELECT coalesce(max(id), 0) + 1 FROM kf_run), false)";
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < TABLES; i++)
        rc = copy_table(s, from, &tables[i], err);
    return rc == KF_OK ? db_exec(s->db, rest_sql, err) : rc;
}

/* --------------------------------------------------------------------------------------- aside */

/* "kf-before-20261122T110203456Z-shop": of the spaces it is none, whose schemas begin with kf_.
 * With milliseconds, for a restore may follow another at once. */
static void aside_name(struct kf_store *s, const char *space, char ret[64])
{
    char when[WHEN_LEN + 1], compact[WHEN_LEN + 1];
    size_t n = 0;
    when_format(env_wall_ms(s->env), when);
    for (const char *p = when; *p; p++)
        if (*p != '-' && *p != ':' && *p != '.')
            compact[n++] = *p;
    compact[n] = '\0';
    snprintf(ret, 64, "kf-before-%.19s-%.30s", compact, space);
}

kf_rc store_kept_schemas(struct kf_store *store, struct buf *names, struct kf_err *err)
{
    /* The name of a space behind its time begins at the 31st character, and is cut after 30. */
    static const char sql[] =
        "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'kf-before-%' AND"
        " substr(nspname, 31) = left(substr(current_schema(), 4), 30) ORDER BY nspname";
    struct db *db;
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = store_read_behind(store, &db, err);
    if (rc != KF_OK)
        return rc;
    if ((rc = db_use(db, sql, &s, err)) == KF_OK) {
        while ((rc = db_step(s, &row, err)) == KF_OK && row) {
            buf_str(names, db_text(s, 0));
            buf_byte(names, '\0');
        }
        db_done(s);
    }
    store_read_end(store, db);
    return rc == KF_OK ? buf_ok(names, err) : rc;
}

static kf_rc keep_aside(struct kf_store *s, const char *name, struct kf_err *err)
{
    char sql[300];
    snprintf(sql, sizeof sql, "CREATE SCHEMA \"%s\"", name);
    kf_rc rc = db_exec(s->db, sql, err);
    for (size_t i = 0; rc == KF_OK && i < TABLES && (rc = check_wanted(s, err)) == KF_OK; i++) {
        snprintf(sql, sizeof sql, "CREATE TABLE \"%s\".%s AS TABLE %s", name, tables[i].keep,
                 tables[i].keep);
        rc = db_exec(s->db, sql, err);
    }
    if (rc == KF_OK)
        snprintf(sql, sizeof sql, "CREATE TABLE \"%s\".kf_state AS TABLE kf_state", name);
    return rc == KF_OK ? db_exec(s->db, sql, err) : rc;
}

/* ------------------------------------------------------------------------------------- numbers */

static kf_rc write_numbers(struct db *db, int64_t seq, int64_t stamp, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_state SET seq = $1, stamp = $2 WHERE id = 1";
    struct db_stmt *st;
    kf_rc rc = db_use(db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(st, 1, seq);
    db_bind_i64(st, 2, stamp);
    return db_run(st, err);
}

/* A scratch store has a site that somebody made for it, and no marker of this place: it gets one of
 * its own. */
static kf_rc new_identity(struct kf_store *s, char site[STORE_SITE_LEN + 1], struct kf_err *err)
{
    struct buf marker = BUF_INIT;
    char old[STORE_SITE_LEN + 1];
    bool changed;
    kf_rc rc = pg_read_marker(s->db, &marker, err);
    if (rc == KF_OK)
        rc = db_exec(s->db, "DELETE FROM kf_meta WHERE key = 'clone_marker'", err);
    if (rc == KF_OK)
        rc = meta_identify(s, s->db, buf_view(&marker), site, old, &changed, err);
    if (rc == KF_OK)
        rc = db_exec(s->db, "DELETE FROM kf_meta WHERE key = 'cloned_at'", err);
    buf_release(&marker);
    return rc;
}

struct numbers {
    int64_t seq, stamp;
};

/* In the transaction. */
static kf_rc replace_all(struct kf_store *s, struct db *from, const struct store_swap *swap,
                         const char *aside, struct numbers *n, char site[STORE_SITE_LEN + 1],
                         struct kf_err *err)
{
    int64_t seq, stamp;
    kf_rc rc = pg_lock_numbers(s, &n->seq, &n->stamp, err);
    if (rc != KF_OK)
        return rc;
    /* When the swap is refused, the next group must still know that others have written. */
    if (n->seq != s->seq)
        s->pg->foreign_seq = n->seq;
    s->seq = n->seq;
    atomic_store_explicit(&s->committed_seq, n->seq, memory_order_release);
    rc = swap->may ? swap->may(swap->ctx, err) : KF_OK;
    if (rc == KF_OK)
        rc = meta_read_state(from, &seq, &stamp, err);
    if (rc == KF_OK && n->seq)
        rc = keep_aside(s, aside, err);
    if (rc == KF_OK)
        rc = copy_rows(s, from, err);
    if (rc == KF_OK)
        rc = new_identity(s, site, err);
    if (rc != KF_OK)
        return rc;
    /* Numbers go on from the larger ones too: nobody who has read up to one is told less. */
    n->seq = seq > n->seq ? seq : n->seq + 1;
    n->stamp = stamp > n->stamp ? stamp : n->stamp;
    if (s->clock.last > n->stamp)
        n->stamp = s->clock.last;
    return write_numbers(s->db, n->seq, n->stamp, err);
}

static kf_rc swap_content(struct kf_store *s, struct db *from, const struct store_swap *swap,
                          struct kf_err *err)
{
    char aside[64], site[STORE_SITE_LEN + 1];
    struct numbers n = {0};
    aside_name(s, db_url_space(s->pg->url).p, aside);
    db_trouble_clear(s->db);
    kf_rc rc = db_begin(s->db, DB_WRITE, err);
    if (rc == KF_OK)
        rc = replace_all(s, from, swap, aside, &n, site, err);
    bool kept = s->seq != 0;
    if (rc == KF_OK)
        rc = db_exec(s->db, "SELECT pg_notify(current_schema()::text, '')", err);
    if (rc == KF_OK)
        rc = db_commit(s->db, err);
    if (rc != KF_OK) {
        enum db_trouble trouble = db_trouble(s->db);
        db_rollback(s->db);
        if (trouble == DB_TROUBLE_UNKNOWN)
            rc = err_set(err, PROBLEM_OUTCOME_UNKNOWN,
                         "the connection was lost while the restore was committed: look at what is "
                         "there, and restore again when it is not the backup's");
        return rc;
    }
    s->seq = n.seq;
    s->clock.last = n.stamp;
    s->turn++;
    meta_set_site(s, site);
    atomic_store_explicit(&s->committed_seq, n.seq, memory_order_release);
    pg_tell_went_back(s);
    if (swap->kept_as)
        snprintf(swap->kept_as, swap->kept_as_size, "%s", kept ? aside : "");
    return KF_OK;
}

kf_rc pg_swap(struct kf_store *s, const struct store_swap *swap, struct kf_err *err)
{
    struct db_options o = {.env = s->env, .path = swap->scratch, .mode = DB_LOOK};
    struct db *from = NULL;
    kf_rc rc = db_open(&o, &from, err);
    if (rc == KF_OK)
        rc = db_begin(from, DB_READ, err);
    if (rc == KF_OK) {
        lead_alone(s);
        own_begin(s);
        db_patient(s->db, true);
        rc = store_state(s) == STORE_READ_ONLY ? state_refusal(s, err)
                                               : swap_content(s, from, swap, err);
        db_patient(s->db, false);
        if (rc == KF_OK && swap->publish)
            swap->publish(swap->ctx);
        own_end(s);
        lead_end(s);
    }
    db_close(from);
    return rc;
}
