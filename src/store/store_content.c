/* The content of a store's file: looking at it, making or migrating it, and whose it is.
 *
 *      look without touching -> open -> create or migrate -> empty the log that a crash left
 *               |                            |                               |
 *               +- too new, not ours         +- copied aside first           v
 *                                                      who are we: site, clone marker
 *                                                                            |
 *                                                                            v
 *                                                      number and clock go on from kf_state
 *
 * A swap goes through the same steps with another file at the path.
 *
 * Emptying the log and a new site need space. Where there is none the store is "unsettled": FULL,
 * read as it is, and nothing is written to it before both are done (content_settle). */
#include "store/store_internal.h"
#include "base/when.h"

#define OPEN_BUSY_MS 5000

/* --------------------------------------------------------------------------- before it is open */

static bool has_bytes(struct kf_store *s, const char *path)
{
    struct stat st;
    return path_stat(s->env, path, &st, NULL) == KF_OK && st.st_size > 0;
}

static kf_rc look(struct kf_store *s, const char *path, bool *ret_corrupt, struct kf_err *err)
{
    struct db *db = NULL;
    struct db_options o = {.env = s->env, .path = path, .mode = DB_LOOK};
    enum schema_found found;
    int format;
    kf_rc rc = db_open(&o, &db, err);
    if (rc == KF_OK)
        rc = schema_look(db, s->options.schema, &found, &format, err);
    *ret_corrupt = rc == KF_DAMAGED && (!db || db_trouble(db) == DB_TROUBLE_CORRUPT);
    db_close(db);
    return rc;
}

kf_rc content_look(struct kf_store *s, const char *path, struct kf_err *err)
{
    bool ignored;
    return look(s, path, &ignored, err);
}

/* Looks at a file that is there without making a log beside it. A journal that must be rolled
 * back first says nothing. */
static kf_rc look_untouched(struct kf_store *s, struct kf_err *err)
{
    struct stat st;
    struct buf journal = BUF_INIT;
    buf_printf(&journal, "%s-journal", s->path);
    kf_rc rc = buf_ok(&journal, err);
    if (rc != KF_OK)
        return rc;
    bool hot = has_bytes(s, journal.p);
    buf_release(&journal);
    if (hot || path_stat(s->env, s->path, &st, NULL) != KF_OK || st.st_size == 0)
        return KF_OK;

    bool corrupt = false;
    rc = look(s, s->path, &corrupt, err);
    /* A crash within a checkpoint leaves a file that makes sense with its log alone. */
    if (corrupt && has_bytes(s, s->wal_path)) {
        KF_SOMETIMES("file-makes-sense-with-its-log-alone");
        return KF_OK;
    }
    return rc;
}

/* ---------------------------------------------------------------------------------- migration */

kf_rc content_aside_name(struct kf_store *s, const char *word, struct buf *out, struct kf_err *err)
{
    char now[WHEN_LEN + 1];
    struct stat st;
    when_format(env_wall_ms(s->env), now);
    size_t start = out->len;
    kf_rc rc = KF_OK;
    for (int n = 0; rc == KF_OK; n++) {
        if (out->cap)
            out->len = start;
        buf_printf(out, "%s.%s-%.19sZ", s->path, word, now);
        if (n)
            buf_printf(out, "-%d", n);
        for (size_t i = start + strlen(s->path); !out->failed && i < out->len; i++)
            if (out->p[i] == ':')
                out->p[i] = '.';
        if ((rc = buf_ok(out, err)) == KF_OK &&
            path_stat(s->env, out->p + start, &st, NULL) == KF_ABSENT)
            return KF_OK;
    }
    return rc;
}

/* A copy under a temporary name, synced, then its name. After a crash there is a whole copy or
 * none. */
static kf_rc copy_aside(struct kf_store *s, struct db *db, struct buf *ret_name, struct kf_err *err)
{
    struct buf tmp = BUF_INIT;
    const char *side;
    kf_rc rc = store_side_dir(s, &side, err);
    if (rc == KF_OK)
        rc = content_aside_name(s, "before", ret_name, err);
    if (rc == KF_OK) {
        buf_printf(&tmp, "%s/.tmp-before", side);
        rc = buf_ok(&tmp, err);
    }
    if (rc == KF_OK) {
        rc = file_unlink(s->env, tmp.p, err);
        if (rc == KF_ABSENT)
            rc = KF_OK;
    }
    if (rc == KF_OK)
        rc = db_copy(db, tmp.p, err);
    if (rc == KF_OK)
        rc = file_rename(s->env, tmp.p, ret_name->p, err);
    if (rc == KF_OK)
        rc = dir_sync(s->env, s->dir, err);
    buf_release(&tmp);
    return rc;
}

static kf_rc migrate(struct kf_store *s, struct db *db, int from, struct kf_err *err)
{
    struct buf aside = BUF_INIT;
    KF_SOMETIMES("store-migrated");
    kf_rc rc = copy_aside(s, db, &aside, err);
    if (rc == KF_OK)
        rc = schema_apply(db, s->options.schema, err);
    if (rc == KF_OK)
        log_event(s->options.log, LOG_INFO, "migrate", LOG_S("path", s->path), LOG_I("from", from),
                  LOG_I("to", s->options.schema->format), LOG_S("kept", aside.p), LOG_END);
    buf_release(&aside);
    return rc;
}

/* *ret_made: the store is new. */
static kf_rc bring_up_to_date(struct kf_store *s, struct db *db, bool *ret_made, struct kf_err *err)
{
    enum schema_found found;
    int format;
    kf_rc rc = schema_look(db, s->options.schema, &found, &format, err);
    if (rc != KF_OK)
        return rc;
    *ret_made = found == SCHEMA_EMPTY;
    if (found == SCHEMA_EMPTY)
        return schema_apply(db, s->options.schema, err);
    return found == SCHEMA_OLDER ? migrate(s, db, format, err) : KF_OK;
}

/* A log that a crash left goes into the file whole before anything is added to it. After a
 * failed sync its pages may look written without being on disk, and nothing would ever write
 * them again: what comes after them in the same log would be lost with them. */
static kf_rc empty_log(struct kf_store *s, struct db *db, bool made, struct kf_err *err)
{
    uint32_t frames = db_wal_frames(db), left;
    if (!frames)
        return KF_OK;
    kf_rc rc = db_checkpoint(db, true, &left, err);
    if (!made && (rc == KF_OK || rc == KF_BUSY)) { /* else they are its tables */
        KF_SOMETIMES("log-recovered-at-open");
        log_event(s->options.log, LOG_INFO, "store.recovered", LOG_S("path", s->path),
                  LOG_I("frames", frames), LOG_END);
    }
    return rc;
}

/* ----------------------------------------------------------------------------------- identity */

static kf_rc write_identity(struct kf_store *s, struct db *db, str marker,
                            char site[STORE_SITE_LEN + 1], char old[STORE_SITE_LEN + 1],
                            struct kf_err *err)
{
    bool changed;
    kf_rc rc = db_begin(db, DB_WRITE, err);
    if (rc != KF_OK)
        return rc;
    rc = meta_identify(s, db, marker, site, old, &changed, err);
    if (rc == KF_OK && changed)
        return db_commit(db, err);
    db_rollback(db);
    return rc;
}

/* A site of its own for a new store, and for one whose marker says that it is a copy (or was
 * moved or restored, to which a new site does no harm). One that knows its marker is not written
 * to. */
static kf_rc identify(struct kf_store *s, struct db *db, struct kf_err *err)
{
    struct buf site = BUF_INIT, known = BUF_INIT, marker = BUF_INIT;
    char now[STORE_SITE_LEN + 1], old[STORE_SITE_LEN + 1] = "";
    place_marker(s->env, s->path, &marker);
    kf_rc rc = buf_ok(&marker, err);
    if (rc == KF_OK)
        rc = meta_or_empty(db, "site", &site, err);
    if (rc == KF_OK)
        rc = meta_or_empty(db, "clone_marker", &known, err);
    bool ours = rc == KF_OK && site.len == STORE_SITE_LEN &&
                str_eq(buf_view(&known), buf_view(&marker));
    if (ours)
        memcpy(now, site.p, sizeof now);
    else if (rc == KF_OK)
        rc = write_identity(s, db, buf_view(&marker), now, old, err);
    if (rc == KF_OK)
        meta_set_site(s, now);
    if (rc == KF_OK && old[0]) {
        KF_SOMETIMES("store-was-cloned");
        log_event(s->options.log, LOG_WARN, "node.cloned", LOG_S("path", s->path),
                  LOG_S("old_site", old), LOG_S("site", now), LOG_END);
    }
    buf_release(&site);
    buf_release(&known);
    buf_release(&marker);
    return rc;
}

/* ------------------------------------------------------------------------------------ content */

/* As the file stands, with the site that it names. */
static kf_rc leave_unsettled(struct kf_store *s, struct db *db, const struct kf_err *why,
                             struct kf_err *err)
{
    struct buf site = BUF_INIT;
    kf_rc rc = meta_get(db, "site", &site, err);
    if (rc == KF_OK && site.len != sizeof(s->site) - 1)
        rc = err_set(err, PROBLEM_DAMAGED, "the store's site is no site: restore a backup");
    if (rc == KF_OK) {
        KF_SOMETIMES("opened-on-a-full-disk");
        meta_set_site(s, site.p);
        s->unsettled = true;
        s->full_tried_ms = env_mono_ms(s->env);
        state_full(s, PROBLEM_DISK_FULL, why);
    }
    buf_release(&site);
    return rc;
}

/* The log emptied and the file ours, or unsettled for want of space. */
static kf_rc settle(struct kf_store *s, struct db *db, bool made, struct kf_err *err)
{
    struct kf_err later;
    s->unsettled = false;
    db_trouble_clear(db);
    kf_rc rc = empty_log(s, db, made, err);
    /* A foreign reader: it goes on being a log, and what can be moved has been. */
    if (rc == KF_BUSY)
        rc = KF_OK;
    if (rc == KF_OK)
        rc = identify(s, db, err);
    if (rc != KF_OK && !made && db_trouble(db) == DB_TROUBLE_FULL &&
        leave_unsettled(s, db, err, &later) == KF_OK)
        return KF_OK;
    return rc;
}

/* What db_open and its followers do to an open connection; the store is not touched before all
 * of it went well. */
static kf_rc content_prepare(struct kf_store *s, struct db *db, struct kf_err *err)
{
    int64_t seq, stamp;
    struct stat st;
    bool made = false;
    kf_rc rc = bring_up_to_date(s, db, &made, err);
    if (rc == KF_OK && (rc = settle(s, db, made, err)) == KF_OK &&
        (rc = meta_read_state(db, &seq, &stamp, err)) == KF_OK &&
        (rc = path_stat(s->env, s->path, &st, err)) == KF_OK &&
        (rc = store_lock_guard(s->lock, &st, err)) == KF_OK) {
        s->seq = seq;
        place_at(s, seq, stamp);
        clock_init(&s->clock, stamp > s->clock.last ? stamp : s->clock.last);
        s->dev = st.st_dev;
        s->ino = st.st_ino;
        atomic_store_explicit(&s->committed_seq, seq, memory_order_release);
    }
    return rc;
}

kf_rc content_open(struct kf_store *s, bool create, struct kf_err *err)
{
    struct db *db = NULL;
    struct db_options o = {
        .env = s->env,
        .path = s->path,
        .mode = DB_OWNER,
        .create = create,
        .busy_ms = OPEN_BUSY_MS,
    };
    /* After the first time what is at the path was put there by us; and closing what looks would
     * take SQLite's locks away from readers that are open. */
    kf_rc rc = s->ino ? KF_OK : look_untouched(s, err);
    if (rc == KF_OK)
        rc = db_open(&o, &db, err);
    if (rc == KF_OK)
        rc = content_prepare(s, db, err);
    if (rc != KF_OK) {
        if (rc == KF_TOO_NEW)
            log_event(s->options.log, LOG_ERROR, "start.format", LOG_S("path", s->path), LOG_END);
        /* The log stays as it is: what has just failed must not be tried again while closing. */
        if (db)
            db_distrust(db);
        db_close(db);
        return rc;
    }
    /* From now on a foreign writer is waited for by the leader, who knows whether it may sleep. */
    db_set_busy(db, DB_BUSY_NONE);
    s->db = db;
    return KF_OK;
}

kf_rc content_settle(struct kf_store *s, struct kf_err *err)
{
    if (!s->unsettled)
        return KF_OK;
    db_trouble_clear(s->db);
    kf_rc rc = empty_log(s, s->db, false, err);
    /* Not as while opening: the reader may be one of ours, which ends. */
    if (rc == KF_BUSY)
        return err_set(err, PROBLEM_BUSY,
                       "a reader holds on to the log that a crash left, into which nothing more "
                       "may be written: end long reads, also of other programs");
    if (rc == KF_OK)
        rc = identify(s, s->db, err);
    if (rc != KF_OK)
        care_judge(s, err);
    s->unsettled = rc != KF_OK;
    return rc;
}

void content_close(struct kf_store *s)
{
    if (s->db && KF_SABOTAGE("ack-before-write") && db_in_txn(s->db))
        db_commit(s->db, NULL);
    db_close(s->db);
    s->db = NULL;
}

void content_rescue(struct kf_store *s)
{
    struct buf name = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = content_aside_name(s, "rescue", &name, &err);
    if (rc == KF_OK)
        rc = db_copy(s->db, name.p, &err);
    if (rc == KF_OK)
        rc = dir_sync(s->env, s->dir, &err);
    log_event(s->options.log, LOG_CRIT, "store.rescue", LOG_S("path", name.p),
              LOG_S("result", rc == KF_OK ? "written" : err.detail), LOG_END);
    buf_release(&name);
}
