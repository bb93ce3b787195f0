/* What a store knows of itself: values of kf_meta, the row of numbers, its identity.
 *
 *     site           16 hex digits; who wrote what was written here
 *     old_sites      those that it had before, with commas
 *     clone_marker   where it was when it got its site: a store that finds itself elsewhere is a
 * copy
 *     cloned_at      when it found that out last */
#include "store/store_internal.h"
#include "base/when.h"

kf_rc meta_get(struct db *db, const char *key, struct buf *out, struct kf_err *err)
{
    static const char sql[] = "SELECT value FROM kf_meta WHERE key = $1";
    struct db_stmt *st;
    bool row = false;
    kf_rc rc = db_use(db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(st, 1, str_of(key));
    rc = db_step(st, &row, err);
    if (rc == KF_OK && row) {
        buf_str(out, db_text(st, 0));
        rc = buf_ok(out, err);
    } else if (rc == KF_OK) {
        rc = err_set(err, PROBLEM_NOT_FOUND, "the store has no value named %s", key);
    }
    db_done(st);
    return rc;
}

kf_rc meta_set(struct db *db, const char *key, str value, struct kf_err *err)
{
    static const char sql[] = "INSERT INTO kf_meta(key, value) VALUES($1, $2)"
                              " ON CONFLICT(key) DO UPDATE SET value = excluded.value";
    struct db_stmt *st;
    kf_rc rc = db_use(db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(st, 1, str_of(key));
    db_bind_text(st, 2, value);
    return db_run(st, err);
}

kf_rc meta_or_empty(struct db *db, const char *key, struct buf *out, struct kf_err *err)
{
    kf_rc rc = meta_get(db, key, out, err);
    return rc == KF_ABSENT ? KF_OK : rc;
}

kf_rc store_seq_of(struct db *db, int64_t *ret_seq, struct kf_err *err)
{
    int64_t stamp;
    return meta_read_state(db, ret_seq, &stamp, err);
}

kf_rc meta_read_state(struct db *db, int64_t *ret_seq, int64_t *ret_stamp, struct kf_err *err)
{
    static const char sql[] = "SELECT seq, stamp FROM kf_state WHERE id = 1";
    struct db_stmt *st;
    bool row = false;
    kf_rc rc = db_use(db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    rc = db_step(st, &row, err);
    if (rc == KF_OK && !row)
        rc = err_set(err, PROBLEM_DAMAGED, "the store has lost its state row: restore a backup");
    if (rc == KF_OK) {
        *ret_seq = db_i64(st, 0);
        *ret_stamp = db_i64(st, 1);
    }
    db_done(st);
    return rc;
}

void meta_set_site(struct kf_store *s, const char *site)
{
    pthread_mutex_lock(&s->meta_lock);
    memcpy(s->site, site, sizeof(s->site));
    pthread_mutex_unlock(&s->meta_lock);
}

static kf_rc write_identity(struct db *db, str site, str old_sites, str marker, int64_t now_ms,
                            struct kf_err *err)
{
    char now[WHEN_LEN + 1];
    when_format(now_ms, now);
    kf_rc rc = meta_set(db, "site", site, err);
    if (rc == KF_OK && old_sites.len)
        rc = meta_set(db, "old_sites", old_sites, err);
    if (rc == KF_OK && old_sites.len)
        rc = meta_set(db, STORE_CLONED_KEY, str_of(now), err);
    return rc == KF_OK ? meta_set(db, "clone_marker", marker, err) : rc;
}

static kf_rc new_site(struct kf_store *s, struct db *db, str old_site, str marker,
                      char ret_site[STORE_SITE_LEN + 1], struct kf_err *err)
{
    struct buf old = BUF_INIT, site = BUF_INIT;
    unsigned char random[STORE_SITE_LEN / 2];
    kf_rc rc = meta_or_empty(db, "old_sites", &old, err);
    if (old_site.len) {
        if (old.len)
            buf_byte(&old, ',');
        buf_str(&old, old_site);
    }
    s->env->random(s->env->ctx, random, sizeof(random));
    buf_hex(&site, random, sizeof(random));
    if (rc == KF_OK)
        rc = buf_ok(&old, err);
    if (rc == KF_OK)
        rc = buf_ok(&site, err);
    if (rc == KF_OK)
        rc = write_identity(db, buf_view(&site), buf_view(&old), marker, env_wall_ms(s->env), err);
    if (rc == KF_OK)
        memcpy(ret_site, site.p, STORE_SITE_LEN + 1);
    buf_release(&old);
    buf_release(&site);
    return rc;
}

kf_rc meta_identify(struct kf_store *s, struct db *db, str marker,
                    char ret_site[STORE_SITE_LEN + 1], char ret_old[STORE_SITE_LEN + 1],
                    bool *ret_changed, struct kf_err *err)
{
    struct buf site = BUF_INIT, known = BUF_INIT;
    kf_rc rc = meta_or_empty(db, "site", &site, err);
    if (rc == KF_OK)
        rc = meta_or_empty(db, "clone_marker", &known, err);
    bool named = rc == KF_OK && site.len == STORE_SITE_LEN;
    bool ours = named && str_eq(buf_view(&known), marker);
    ret_old[0] = '\0';
    if (rc == KF_OK && ours) {
        memcpy(ret_site, site.p, STORE_SITE_LEN + 1);
    } else if (rc == KF_OK) {
        if (named)
            memcpy(ret_old, site.p, STORE_SITE_LEN + 1);
        rc = new_site(s, db, buf_view(&site), marker, ret_site, err);
    }
    *ret_changed = !ours;
    buf_release(&site);
    buf_release(&known);
    return rc;
}

/* --------------------------------------------------------------------------------------- calls */

kf_rc store_meta_get(struct kf_store *s, const char *key, struct buf *out, struct kf_err *err)
{
    struct db *db;
    kf_rc rc = store_read_behind(s, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = meta_get(db, key, out, err);
    store_read_end(s, db);
    return rc;
}

kf_rc group_meta_set(struct group *g, const char *key, str value, struct kf_err *err)
{
    return meta_set(group_db(g), key, value, err);
}

kf_rc state_write(struct kf_store *s, int64_t seq, int64_t stamp, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_state SET seq = $1, stamp = $2 WHERE id = 1";
    struct db_stmt *st;
    kf_rc rc = db_use(s->db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(st, 1, seq);
    db_bind_i64(st, 2, stamp);
    return db_run(st, err);
}
