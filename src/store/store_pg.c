/* A store that is a schema of PostgreSQL.
 *
 * A group:
 *
 *      BEGIN, lock and read kf_state -> apply* -> kf_state, kf_group, NOTIFY, COMMIT
 *        ^                                |                        |
 *        |  connection lost, deadlock     |                        +- no answer:
 *        +--------------------------------+                        |     reconnect, lock kf_state,
 *        |                                                         |     look at kf_group
 *        +------------------- it is not there ---------------------+
 *                                                                  +-> it is there: committed
 *
 * The lock makes the look certain: the lost connection held it until its transaction had ended. One
 * that the server still keeps although it idles is ended by us. */
#include "store/store_pg.h"
#include "base/when.h"

#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GROUPS_KEPT_MS ((int64_t)24 * 3600 * 1000)
#define GROUPS_CARE    256 /* groups between two looks at old rows of kf_group */
#define RESOLVE_NAP_MS 100
#define READ_AGAIN_MS  1000
#define CONTENT_MS     1000 /* between two counts of the content, at least */

/* ------------------------------------------------------------------------------------- identity */

static kf_rc ask_text(struct db *db, const char *sql, struct buf *out, struct kf_err *err)
{
    struct db_stmt *st;
    bool row = false;
    kf_rc rc = db_use(db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    rc = db_step(st, &row, err);
    if (rc == KF_OK && row)
        buf_str(out, db_text(st, 0));
    db_done(st);
    return rc == KF_OK ? buf_ok(out, err) : rc;
}

/* Where the store is: cluster, database, schema. A standby that takes over has the same; a dump
 * that is restored elsewhere has not. Who may not ask for the cluster does without. */
kf_rc pg_read_marker(struct db *db, struct buf *out, struct kf_err *err)
{
    static const char cluster_sql[] = "SELECT system_identifier::text FROM pg_control_system()";
    static const char place_sql[] =
        "SELECT ' ' || d.oid::text || ' ' || n.oid::text FROM pg_database d, pg_namespace n"
        " WHERE d.datname = current_database() AND n.nspname = current_schema()";
    kf_rc rc = ask_text(db, cluster_sql, out, err);
    if (rc != KF_OK && rc != KF_NOMEM && db_trouble(db) == DB_FINE) {
        buf_clear(out);
        rc = KF_OK;
    }
    return rc == KF_OK ? ask_text(db, place_sql, out, err) : rc;
}

/* The row of numbers, locked, and whose content it is that they number. */
struct numbers {
    int64_t seq, stamp;
    int64_t number; /* of the last group of ours in kf_group; -1 = it has none */
    bool pinned;
    char site[STORE_SITE_LEN + 1]; /* "" = it has none yet */
};

/* The numbers are of the row as it is when the lock was had. The site and the group of ours are
 * what they were when the wait for it began: that somebody has replaced the content meanwhile shows
 * in the number, and in the site with the next group. */
static kf_rc lock_numbers(struct kf_store *s, struct db *db, struct numbers *ret,
                          struct kf_err *err)
{
    static const char sql[] =
        "SELECT seq, stamp, CASE WHEN pinned > extract(epoch FROM clock_timestamp()) * 1000"
        " THEN 1 ELSE 0 END, coalesce((SELECT value FROM kf_meta WHERE key = 'site'), ''),"
        " coalesce((SELECT g.number FROM kf_group g WHERE g.id = $1), -1)"
        " FROM kf_state WHERE id = 1 FOR UPDATE";
    struct db_stmt *st;
    bool row = false;
    kf_rc rc = db_use(db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(st, 1, str_of(s->pg->id));
    rc = db_step(st, &row, err);
    if (rc == KF_OK && !row)
        rc = err_set(err, PROBLEM_DAMAGED, "the store has lost its state row: restore a backup");
    if (rc == KF_OK) {
        ret->seq = db_i64(st, 0);
        ret->stamp = db_i64(st, 1);
        ret->pinned = db_i64(st, 2) != 0;
        ret->number = db_i64(st, 4);
        snprintf(ret->site, sizeof ret->site, "%.*s", STR_ARGS(db_text(st, 3)));
    }
    db_done(st);
    return rc;
}

kf_rc pg_lock_numbers(struct kf_store *s, int64_t *ret_seq, int64_t *ret_stamp, struct kf_err *err)
{
    struct numbers n = {0};
    kf_rc rc = lock_numbers(s, s->db, &n, err);
    if (rc == KF_OK) {
        *ret_seq = n.seq;
        *ret_stamp = n.stamp;
    }
    return rc;
}

static kf_rc identify(struct kf_store *s, struct db *db, int64_t *ret_seq, int64_t *ret_stamp,
                      struct kf_err *err)
{
    struct buf marker = BUF_INIT;
    char site[STORE_SITE_LEN + 1], old[STORE_SITE_LEN + 1] = "";
    struct numbers n = {0};
    bool changed = false;
    kf_rc rc = pg_read_marker(db, &marker, err);
    if (rc == KF_OK && (rc = db_begin(db, DB_WRITE, err)) == KF_OK) {
        rc = lock_numbers(s, db, &n, err);
        if (rc == KF_OK)
            rc = meta_identify(s, db, buf_view(&marker), site, old, &changed, err);
        if (rc == KF_OK && changed)
            rc = db_commit(db, err);
        else
            db_rollback(db);
    }
    if (rc == KF_OK) {
        meta_set_site(s, site);
        *ret_seq = n.seq;
        *ret_stamp = n.stamp;
    }
    if (rc == KF_OK && old[0]) {
        KF_SOMETIMES("pg-store-was-cloned");
        log_event(s->options.log, LOG_WARN, "node.cloned", LOG_S("path", s->path),
                  LOG_S("old_site", old), LOG_S("site", site), LOG_END);
    }
    buf_release(&marker);
    return rc;
}

/* ------------------------------------------------------------------------------- open and close */

static kf_rc part_new(struct kf_store *s, struct kf_err *err)
{
    struct buf url = BUF_INIT, shown = BUF_INIT, id = BUF_INIT;
    unsigned char random[PG_ID_LEN / 2];
    struct pg_part *p = mem_calloc(1, sizeof *p);
    if (!p)
        return err_nomem(err);
    p->wake = -1;
    p->resolve_ms = PG_RESOLVE_MS;
    pthread_mutex_init(&p->lock, NULL);
    s->pg = p;
    s->env->random(s->env->ctx, random, sizeof random);
    buf_hex(&id, random, sizeof random);
    kf_rc rc = db_url_at(s->path, NULL, &url, err);
    if (rc == KF_OK)
        rc = db_url_show(s->path, NULL, &shown, err);
    if (rc == KF_OK)
        rc = buf_ok(&id, err);
    if (rc == KF_OK) {
        memcpy(p->id, id.p, sizeof p->id);
        mem_wipe(s->path, strlen(s->path));
        mem_free(s->path);
        p->url = buf_detach(&url, NULL);
        s->path = buf_detach(&shown, NULL);
    }
    if (rc == KF_OK && (p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        rc = err_set(err, PROBLEM_BUSY, "no file descriptor is left; try again");
    buf_release(&url);
    buf_release(&shown);
    buf_release(&id);
    return rc;
}

void pg_part_free(struct pg_part *p)
{
    if (!p)
        return;
    if (p->wake >= 0)
        close(p->wake);
    if (p->url)
        mem_wipe(p->url, strlen(p->url));
    mem_free(p->url);
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}

static kf_rc bring_up_to_date(struct kf_store *s, struct db *db, struct kf_err *err)
{
    enum schema_found found;
    int format;
    kf_rc rc = schema_look(db, s->options.schema, &found, &format, err);
    if (rc == KF_TOO_NEW)
        log_event(s->options.log, LOG_ERROR, "pg.format", LOG_S("path", s->path), LOG_END);
    if (rc == KF_OK && found == SCHEMA_EMPTY && s->options.must_exist)
        return err_set(err, PROBLEM_NOT_FOUND, "there is no store %s", s->path);
    if (rc != KF_OK || found == SCHEMA_CURRENT)
        return rc;
    db_patient(db, true); /* a column of a large table may take minutes */
    rc = schema_apply(db, s->options.schema, err);
    db_patient(db, false);
    return rc;
}

bool pg_lives(void *ctx)
{
    const struct kf_store *s = ctx;
    const struct store_options *o = &s->options;
    int64_t until_ms = atomic_load_explicit(&s->hurry_ms, memory_order_relaxed);
    return (!until_ms || env_mono_ms(s->env) < until_ms) && (!o->lives || o->lives(o->lives_ctx));
}

bool store_is_past_asking(const struct kf_store *s)
{
    return s->pg && !store_is_fresh(s) && !pg_lives((void *)(uintptr_t)s);
}

static kf_rc pg_store_open(struct kf_store *s, struct kf_err *err)
{
    struct db *db = NULL;
    int64_t seq = 0, stamp = 0;
    kf_rc rc = part_new(s, err);
    if (rc != KF_OK)
        return rc;
    struct db_options o = {.env = s->env,
                           .path = s->pg->url,
                           .mode = DB_OWNER,
                           .create = !s->options.must_exist,
                           .busy_ms = STORE_BUSY_MS,
                           .lives = pg_lives,
                           .lives_ctx = s,
                           .silence_ms = s->options.silence_ms};
    rc = db_open(&o, &db, err);
    if (rc == KF_OK)
        rc = bring_up_to_date(s, db, err);
    if (rc == KF_OK)
        rc = identify(s, db, &seq, &stamp, err);
    if (rc != KF_OK) {
        db_close(db);
        return rc;
    }
    s->seq = seq;
    s->pg->stamp = stamp;
    clock_init(&s->clock, stamp);
    atomic_store_explicit(&s->committed_seq, seq, memory_order_release);
    /* A loop never waits for a network: the committing thread leads. */
    atomic_store_explicit(&s->slow, true, memory_order_relaxed);
    s->db = db;
    rc = pg_watch_start(s, err);
    if (rc != KF_OK) {
        db_close(db);
        s->db = NULL;
    }
    return rc;
}

static void pg_store_close(struct kf_store *s)
{
    pg_watch_end(s);
    db_close(s->pg->vigil);
    s->pg->vigil = NULL;
    db_close(s->db);
    s->db = NULL;
}

bool pg_is_there(const struct env *env, const char *url)
{
    struct db *db = NULL;
    enum schema_found found = SCHEMA_EMPTY;
    int format;
    struct db_options o = {.env = env, .path = url, .mode = DB_FOREIGN};
    /* What cannot be asked is there for all we know: opening it says what is the matter. */
    bool there = db_open(&o, &db, NULL) != KF_OK ||
                 schema_look(db, &schema_store, &found, &format, NULL) != KF_OK ||
                 found != SCHEMA_EMPTY;
    db_close(db);
    return there;
}

/* --------------------------------------------------------------------------------------- groups */

void pg_away(struct kf_store *s, struct kf_err *err)
{
    struct kf_err why = *err;
    if (err->rc == KF_NOMEM)
        return;
    err_set(err, PROBLEM_STORE_UNAVAILABLE, "%s", why.detail);
    state_full(s, PROBLEM_STORE_UNAVAILABLE, err);
}

void pg_moved(struct kf_store *s)
{
    if (state_is_moved(s))
        return;
    KF_SOMETIMES("pg-schema-gone");
    state_read_only(s, PROBLEM_STORE_MOVED, "store.moved",
                    "its schema was removed, or made anew, by somebody else");
}

static kf_rc pg_before(struct kf_store *s, struct kf_err *err)
{
    int64_t now_ms = env_mono_ms(s->env);
    if (store_state(s) == STORE_READ_ONLY)
        return state_refusal(s, err);
    if (store_state(s) == STORE_FULL) {
        if (now_ms - s->full_tried_ms < STORE_FULL_RETRY_MS)
            return state_refusal(s, err);
        s->full_tried_ms = now_ms;
    }
    return KF_OK;
}

/* Another process has replaced the content. */
static void note_replaced(struct kf_store *s, const char *site)
{
    KF_SOMETIMES("pg-store-was-replaced");
    log_event(s->options.log, LOG_INFO, "pg.replaced", LOG_S("path", s->path),
              LOG_S("old_site", s->site), LOG_S("site", site), LOG_END);
    meta_set_site(s, site);
    s->pg->kept_number = 0;
    pg_tell_went_back(s);
}

/* A standby that had not heard of the last commits has taken over. Whether others have gone on
 * since or not: stamps and the groups of a process only grow. */
static bool went_back(const struct kf_store *s, const struct numbers *n)
{
    const struct pg_part *p = s->pg;
    bool lost = p->kept_number && n->number < (int64_t)p->kept_number &&
                (n->number >= 0 || env_mono_ms(s->env) - p->kept_ms < GROUPS_KEPT_MS / 2);
    return n->seq < s->seq || n->stamp < p->stamp || lost;
}

static kf_rc pg_began(struct group *g, struct kf_err *err)
{
    struct kf_store *s = g->store;
    struct numbers n = {0};
    kf_rc rc = lock_numbers(s, s->db, &n, err);
    if (rc != KF_OK)
        return rc;
    atomic_store_explicit(&s->pg->pinned, n.pinned, memory_order_relaxed);
    if (n.site[0] && strcmp(n.site, s->site) != 0)
        note_replaced(s, n.site);
    if (went_back(s, &n)) {
        KF_SOMETIMES("pg-numbers-went-back");
        log_event(s->options.log, LOG_CRIT, "pg.went_back", LOG_S("path", s->path),
                  LOG_I("from", s->seq), LOG_I("to", n.seq), LOG_END);
        s->pg->kept_number = 0;
        s->pg->foreign_seq = n.seq;
        pg_tell_went_back(s);
    }
    if (n.seq > s->seq)
        KF_SOMETIMES("pg-others-have-written");
    if (n.seq != s->seq)
        s->pg->foreign_seq = n.seq;
    /* What others wrote counts against memory until the watcher has told of it: not for the one
     * group that found it, which may write of something else or fail. */
    g->broken = s->pg->foreign_seq > atomic_load_explicit(&s->pg->told_seq, memory_order_acquire) &&
                !KF_SABOTAGE("pg-others-forgotten");
    s->seq = n.seq;
    s->pg->stamp = n.stamp;
    if (n.stamp > s->clock.last)
        s->clock.last = n.stamp;
    return KF_OK;
}

static void pg_committed(struct group *g)
{
    struct kf_store *s = g->store;
    s->pg->stamp = s->clock.last;
    s->pg->kept_number = s->pg->number;
    s->pg->kept_ms = env_mono_ms(s->env);
}

kf_rc group_pin(struct group *g, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_state SET pinned ="
                              " (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $1"
                              " WHERE id = 1";
    struct db_stmt *st;
    if (!g->store->pg)
        return KF_OK;
    kf_rc rc = db_use(g->store->db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(st, 1, STORE_PIN_MS);
    return db_run(st, err);
}

bool store_is_pinned(const struct kf_store *s)
{
    return s->pg && atomic_load_explicit(&s->pg->pinned, memory_order_relaxed);
}

kf_rc group_doubt(struct group *g, struct kf_err *err)
{
    char number[24];
    if (!g->store->pg)
        return KF_OK;
    snprintf(number, sizeof number, "%lld", (long long)group_seq(g));
    return meta_set(g->store->db, PG_DOUBT_KEY, str_of(number), err);
}

static kf_rc note_group(struct group *g, struct kf_err *err)
{
    static const char sql[] =
        "INSERT INTO kf_group(id, number, at)"
        " VALUES($1, $2, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)"
        " ON CONFLICT(id) DO UPDATE SET number = excluded.number, at = excluded.at";
    struct kf_store *s = g->store;
    struct db_stmt *st;
    kf_rc rc = db_use(s->db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(st, 1, str_of(s->pg->id));
    db_bind_i64(st, 2, (int64_t)++s->pg->number);
    return db_run(st, err);
}

/* Rows of processes that are no more, by the server's clock as they were written: each process has
 * another one. */
static kf_rc forget_groups(struct group *g, struct kf_err *err)
{
    static const char sql[] = "DELETE FROM kf_group WHERE at <"
                              " (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $1";
    struct db_stmt *st;
    kf_rc rc = db_use(g->store->db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(st, 1, GROUPS_KEPT_MS);
    return db_run(st, err);
}

static kf_rc pg_ends(struct group *g, struct kf_err *err)
{
    static const char notify_sql[] = "SELECT pg_notify(current_schema()::text, '')";
    struct db_stmt *st;
    kf_rc rc = note_group(g, err);
    if (rc == KF_OK && g->store->pg->number % GROUPS_CARE == 0)
        rc = forget_groups(g, err);
    if (rc == KF_OK)
        rc = db_use(g->store->db, notify_sql, &st, err);
    return rc == KF_OK ? db_run(st, err) : rc;
}

/* The connection that was lost may live on at the server, in a transaction that nobody will end. */
static kf_rc end_the_lost(struct db *db, const char *tag, struct kf_err *err)
{
    static const char sql[] = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                              " WHERE application_name = $1 AND state LIKE 'idle in transaction%'";
    struct db_stmt *st;
    bool row;
    kf_rc rc = db_use(db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(st, 1, str_of(tag));
    rc = db_step(st, &row, err);
    db_done(st);
    return rc;
}

static kf_rc read_group(struct kf_store *s, int64_t *ret, struct kf_err *err)
{
    static const char sql[] = "SELECT number FROM kf_group WHERE id = $1";
    struct db_stmt *st;
    bool row = false;
    kf_rc rc = db_use(s->db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(st, 1, str_of(s->pg->id));
    rc = db_step(st, &row, err);
    if (rc == KF_OK)
        *ret = row ? db_i64(st, 0) : 0;
    db_done(st);
    return rc;
}

static kf_rc look_up(struct kf_store *s, const char *tag, bool *ret_there, struct kf_err *err)
{
    struct numbers n = {0};
    int64_t number = 0;
    db_trouble_clear(s->db);
    kf_rc rc = db_begin(s->db, DB_WRITE, err);
    if (rc == KF_OK)
        rc = end_the_lost(s->db, tag, err);
    if (rc == KF_OK)
        rc = lock_numbers(s, s->db, &n, err);
    if (rc == KF_OK)
        rc = read_group(s, &number, err);
    db_rollback(s->db);
    if (rc == KF_OK)
        *ret_there = (uint64_t)number == s->pg->number;
    return rc;
}

static bool may_pass(enum db_trouble trouble)
{
    return trouble == DB_TROUBLE_LOST || trouble == DB_TROUBLE_BUSY ||
           trouble == DB_TROUBLE_AGAIN || trouble == DB_TROUBLE_UNKNOWN;
}

static kf_rc pg_resolve(struct group *g, struct kf_err *err)
{
    struct kf_store *s = g->store;
    struct kf_err why = KF_ERR_INIT;
    char tag[128];
    bool there = false;
    int64_t until_ms = env_mono_ms(s->env) + s->pg->resolve_ms;
    snprintf(tag, sizeof tag, "%s", db_tag(s->db));
    if (KF_SABOTAGE("pg-commit-assumed"))
        return KF_OK;
    log_event(s->options.log, LOG_INFO, "pg.unknown_outcome", LOG_S("path", s->path), LOG_END);
    for (int naps = 0;; naps++) {
        kf_rc rc = look_up(s, tag, &there, &why);
        if (rc == KF_OK)
            break;
        if (!may_pass(db_trouble(s->db)) || !pg_lives(s) || env_mono_ms(s->env) >= until_ms ||
            naps >= s->pg->resolve_ms / RESOLVE_NAP_MS) {
            log_event(s->options.log, LOG_ERROR, "pg.outcome_unresolved", LOG_S("path", s->path),
                      LOG_S("reason", why.detail), LOG_END);
            return err_set(err, PROBLEM_OUTCOME_UNKNOWN,
                           "the connection was lost while this was committed, and the database "
                           "could not be asked since: read it again, or write it again with the "
                           "same idempotency key");
        }
        poll(NULL, 0, RESOLVE_NAP_MS);
    }
    if (there)
        KF_SOMETIMES("pg-unknown-was-committed");
    else
        KF_SOMETIMES("pg-unknown-was-not-committed");
    log_event(s->options.log, LOG_INFO, "pg.outcome_resolved", LOG_S("path", s->path),
              LOG_S("outcome", there ? "committed" : "not committed"), LOG_END);
    return there ? KF_OK : KF_ABSENT;
}

/* Tables keep the size that they once had: what was deleted is used again, and not given back. So a
 * quota would never be met again by deleting. Bodies and 200 bytes for each row; tables of users as
 * they are. */
static kf_rc count_content(struct kf_store *s, int64_t *ret, struct kf_err *err)
{
    static const char sql[] =
        "SELECT (SELECT coalesce(sum(size + 200), 0) FROM kf_doc_version)"
        " + (SELECT coalesce(sum(size + 200), 0) FROM kf_entry)"
        " + (SELECT coalesce(sum(size + 200), 0) FROM kf_attachment)"
        " + (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema()"
        " AND c.relkind IN ('r', 'm') AND left(c.relname::text, 3) <> 'kf_')";
    struct db_stmt *st;
    bool row = false;
    kf_rc rc = db_use(s->db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    db_patient(s->db, true);
    rc = db_step(st, &row, err);
    db_patient(s->db, false);
    if (rc == KF_OK && row)
        *ret = db_i64(st, 0);
    db_done(st);
    return rc;
}

/* Asked only while the tables are beyond the quota. Counting takes a while where there is much, so
 * for some time what tables have grown since is added. */
static kf_rc pg_content(struct kf_store *s, uint64_t *ret, struct kf_err *err)
{
    struct pg_part *p = s->pg;
    uint64_t tables = *ret;
    int64_t began_ms = env_mono_ms(s->env), counted = 0;
    int64_t lasts_ms = CONTENT_MS + 20 * p->content_took_ms;
    if (!p->content_tables || began_ms - p->content_ms >= lasts_ms) {
        kf_rc rc = count_content(s, &counted, err);
        if (rc != KF_OK)
            return rc;
        KF_SOMETIMES("pg-content-counted");
        p->content = (uint64_t)counted;
        p->content_tables = tables;
        p->content_ms = env_mono_ms(s->env);
        p->content_took_ms = p->content_ms - began_ms;
    }
    uint64_t used = p->content + (tables > p->content_tables ? tables - p->content_tables : 0);
    *ret = used < tables ? used : tables;
    return KF_OK;
}

static void pg_judge(struct kf_store *s, struct kf_err *err)
{
    struct kf_err why = *err;
    if (problem_find(err->code) == &problem_table[PROBLEM_STORE_MOVED])
        pg_moved(s);
    /* Who wrote is told that nobody knows, which is not "try again". */
    bool unknown = problem_find(err->code) == &problem_table[PROBLEM_OUTCOME_UNKNOWN];
    switch (db_trouble(s->db)) {
    case DB_TROUBLE_LOST: pg_away(s, unknown ? &why : err); break;
    case DB_TROUBLE_UNKNOWN: pg_away(s, &why); break;
    case DB_TROUBLE_FULL: state_full(s, PROBLEM_DISK_FULL, &why); break;
    case DB_TROUBLE_READ_ONLY: state_full(s, PROBLEM_STORE_READ_ONLY, &why); break;
    case DB_TROUBLE_CORRUPT:
        log_event(s->options.log, LOG_CRIT, "store.damage", LOG_S("path", s->path),
                  LOG_S("reason", why.detail), LOG_END);
        break;
    case DB_TROUBLE_NOMEM:
        log_event(s->options.log, LOG_ERROR, "mem.fail", LOG_S("path", s->path), LOG_END);
        break;
    default: break;
    }
}

/* -------------------------------------------------------------------------------------- reading */

static bool is_away(struct kf_store *s)
{
    return store_state(s) == STORE_FULL && state_problem(s) == PROBLEM_STORE_UNAVAILABLE;
}

/* What hangs would take every thread that reads: while it is away, only the watcher asks. */
static kf_rc pg_may_read(struct kf_store *s, struct kf_err *err)
{
    return s->pg->started && is_away(s) ? state_refusal(s, err) : KF_OK;
}

static kf_rc pg_reader(struct kf_store *s, struct db **ret_db, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    struct db_options o = {.env = s->env,
                           .path = s->pg->url,
                           .mode = DB_READER,
                           .busy_ms = READER_BUSY_MS,
                           .lives = pg_lives,
                           .lives_ctx = s,
                           .silence_ms = s->options.silence_ms};
    int64_t now_ms = env_mono_ms(s->env);
    int64_t tried_ms = atomic_load_explicit(&s->pg->read_tried_ms, memory_order_relaxed);
    if (is_away(s) && tried_ms && now_ms - tried_ms < READ_AGAIN_MS)
        return state_refusal(s, err);
    atomic_store_explicit(&s->pg->read_tried_ms, now_ms, memory_order_relaxed);
    /* Readers without a connection are no reason to write no more: whether it is there the owner's
     * connection and the watcher find out. */
    kf_rc rc = db_open(&o, ret_db, &why);
    if (rc == KF_OK || rc == KF_NOMEM)
        return rc == KF_OK ? rc : err_nomem(err);
    return err_set(err, PROBLEM_STORE_UNAVAILABLE, "%s", why.detail);
}

static void pg_judge_read(struct kf_store *s, enum db_trouble trouble)
{
    if (trouble == DB_TROUBLE_CORRUPT)
        log_event(s->options.log, LOG_CRIT, "store.damage", LOG_S("path", s->path), LOG_END);
}

/* ------------------------------------------------------------------------------------ the rest */

static kf_rc pg_status(struct kf_store *s, struct kf_status *ret, struct kf_err *err)
{
    (void)s;
    (void)err;
    ret->disk_bytes = ret->used_bytes;
    return KF_OK;
}

static kf_rc pg_health(struct kf_store *s, struct store_health *ret, struct kf_err *err)
{
    struct store_health h = {.oldest_read_ms = readers_oldest_ms(s)};
    struct buf cloned = BUF_INIT;
    struct db *db;
    int64_t seq;
    kf_rc rc = store_read(s, &db, err);
    if (rc == KF_OK) {
        rc = meta_read_state(db, &seq, &h.stamp, err);
        if (rc == KF_OK)
            rc = meta_or_empty(db, STORE_CLONED_KEY, &cloned, err);
        if (rc == KF_OK && cloned.len)
            when_parse(buf_view(&cloned), &h.cloned_ms);
        store_read_end(s, db);
    }
    buf_release(&cloned);
    if (rc == KF_NOMEM)
        return rc;
    err_clear(err); /* what cannot be read says so in the state of the store */
    *ret = h;
    return KF_OK;
}

const struct store_engine pg_engine = {
    .open = pg_store_open,
    .close = pg_store_close,
    .before = pg_before,
    .began = pg_began,
    .ends = pg_ends,
    .committed = pg_committed,
    .resolve = pg_resolve,
    .judge = pg_judge,
    .content = pg_content,
    .may_read = pg_may_read,
    .reader = pg_reader,
    .judge_read = pg_judge_read,
    .status = pg_status,
    .health = pg_health,
    .side_dir = pg_side_dir,
    .swap = pg_swap,
};
