/* Entries that others have written, and of those with one client id which one is shown.
 *
 * An entry is known by (site, stamp): of those from elsewhere there is an index over that, those of
 * here are found by halving. It is passed over when an
 * erasure covers it, when it is here, and when `keep` has removed it.
 *
 * Twins are rows of kf_entry whose stream is the negative of their stream's id and whose number is
 * that of the store. They are counted nowhere. Of all entries with one id the earliest by (stamp,
 * site) is shown; when that goes, the earliest twin takes its place under the next number. */
#include "shape/stream_take.h"

#include "store/clock.h"

/* -------------------------------------------------------------------------- what is known of it */

static kf_rc trimmed_of(struct stream_take *t, str site, int64_t *ret, struct kf_err *err)
{
    static const char sql[] = "SELECT stamp FROM kf_trimmed WHERE stream = $1 AND site = $2";
    struct db_stmt *s;
    bool row = false;
    if (!t->before->head.there)
        return KF_OK;
    kf_rc rc = db_use(group_db(t->g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, t->before->head.id);
    db_bind_text(s, 2, site);
    rc = db_step(s, &row, err);
    if (rc == KF_OK)
        *ret = row ? db_i64(s, 0) : 0;
    db_done(s);
    return rc;
}

/* Into t->site. */
static kf_rc look_at_site(struct stream_take *t, str site, struct kf_err *err)
{
    if (str_is(site, t->site.site))
        return KF_OK;
    struct seen_site seen = {.erased = 0};
    memcpy(seen.site, site.p, STREAM_SITE_LEN);
    kf_rc rc = take_erased(t, site, &seen.erased, err);
    if (rc == KF_OK)
        rc = trimmed_of(t, site, &seen.trimmed, err);
    if (rc == KF_OK)
        t->site = seen;
    return rc;
}

/* *ret_seq stays 0: it is not. Whether it was appended here makes no difference: this store may
 * have another site by now than the one under which it did. */
static kf_rc is_here(struct stream_take *t, const struct entry_import *e, int64_t *ret_seq,
                     struct kf_err *err)
{
    static const char sql[] = "SELECT seq FROM kf_entry WHERE stream IN ($1, $2) AND site = $3 AND "
                              "stamp = $4 AND behind IS NOT NULL LIMIT 1";
    struct db_stmt *s;
    bool row = false;
    if (!t->d.head.there)
        return KF_OK;
    kf_rc rc = db_use(group_db(t->g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, t->d.head.id);
    db_bind_i64(s, 2, -t->d.head.id);
    db_bind_text(s, 3, e->site);
    db_bind_i64(s, 4, e->stamp);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row)
        *ret_seq = db_i64(s, 0);
    db_done(s);
    if (rc == KF_OK && !row)
        rc = entry_at_stamp(group_db(t->g), t->d.head.id, e->stamp, e->site, ret_seq, err);
    return rc;
}

/* -------------------------------------------------------------------------------------- checks */

static kf_rc not_possible(struct kf_err *err, const char *what)
{
    return err_set(err, PROBLEM_BAD_ARCHIVE, "the %s of an entry is not possible", what);
}

static bool kind_fits(const struct stream_draft *d, str kind)
{
    for (size_t i = 0; i < d->kind_count; i++)
        if (str_eq(d->kinds[i].kind, kind))
            return true;
    return d->kind_count < STREAM_KINDS_ALL;
}

static kf_rc check_import(const struct stream_take *t, const struct entry_import *e,
                          struct kf_err *err)
{
    if (!str_is_hex(e->site, STREAM_SITE_LEN) || e->stamp <= 0 || e->stamp > CLOCK_STAMP_MAX)
        return not_possible(err, "site or stamp");
    if (e->n > STREAM_N_MAX || e->at_ms < 0 || e->at_ms > clock_stamp_ms(CLOCK_STAMP_MAX))
        return not_possible(err, "number or time");
    if (e->id.len > STREAM_ID_MAX || str_utf8_valid(e->id) != e->id.len ||
        str_index(e->id, '\0') != e->id.len)
        return not_possible(err, "id");
    if ((e->kind.len && !config_kind_ok(e->kind)) || !kind_fits(&t->d, e->kind))
        return not_possible(err, "kind");
    kf_rc rc = json_check(e->body, NULL, NULL, err);
    if (rc == KF_OK && e->attach.p)
        rc = json_check(e->attach, NULL, NULL, err);
    return rc;
}

/* --------------------------------------------------------------------------------- one of an id */

/* One that is here under the id of another one. */
struct holder {
    int64_t seq, stamp;
    uint64_t n;
    size_t size;
    str site, kind;
    bool there;
};

static kf_rc find_holder(struct stream_take *t, uint64_t n, struct holder *ret, struct kf_err *err)
{
    static const char sql[] =
        "SELECT seq, stamp, size, site, kind FROM kf_entry WHERE stream = $1 AND n = $2";
    struct db_stmt *s;
    *ret = (struct holder){.n = n};
    kf_rc rc = db_use(group_db(t->g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, t->d.head.id);
    db_bind_i64(s, 2, (int64_t)n);
    rc = db_step(s, &ret->there, err);
    if (rc == KF_OK && ret->there) {
        ret->seq = db_i64(s, 0);
        ret->stamp = db_i64(s, 1);
        ret->size = (size_t)db_i64(s, 2);
        ret->site = arena_str(&t->arena, db_text(s, 3));
        ret->kind = arena_str(&t->arena, db_text(s, 4));
        if (!ret->site.p || !ret->kind.p)
            rc = err_nomem(err);
    }
    db_done(s);
    return rc;
}

static kf_rc set_entry(struct db *db, int64_t seq, int64_t stream, uint64_t n, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_entry SET stream = $1, n = $2, taken = 1, timed = 1, "
                              "behind = " ENTRY_BEHIND("$1", "$2") " WHERE seq = $3";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_i64(s, 2, (int64_t)n);
    db_bind_i64(s, 3, seq);
    return db_run(s, err);
}

static bool is_earlier(int64_t stamp, str site, int64_t than, str than_site)
{
    return stamp < than || (stamp == than && str_cmp(site, than_site) < 0);
}

/* Hides what is here under the id, or says that the new one is to be hidden. */
static kf_rc settle_id(struct stream_take *t, const struct entry_import *e, uint64_t n,
                       const char *asked, bool *ret_twin, struct kf_err *err)
{
    struct db *db = group_db(t->g);
    struct holder h;
    char hash[HASH_HEX + 1];
    uint64_t held = 0;
    bool is_new = true;
    kf_rc rc = once_take(t->streams, db, t->d.head.id, e->id, n, str_of(asked), group_now_ms(t->g),
                         &is_new, err);
    if (rc != KF_OK || is_new)
        return rc;
    if ((rc = once_find(db, t->d.head.id, e->id, &held, hash, err)) == KF_OK)
        rc = find_holder(t, held, &h, err);
    if (rc != KF_OK)
        return rc == KF_ABSENT ? stream_damaged(t->key, 0, err) : rc;
    KF_SOMETIMES("stream-one-id-at-two-sites");
    *ret_twin = !h.there || !is_earlier(e->stamp, e->site, h.stamp, h.site);
    if (*ret_twin)
        return KF_OK;
    rc = set_entry(db, h.seq, -t->d.head.id, (uint64_t)h.seq, err);
    draft_uncount(&t->d, h.kind, h.size);
    t->hidden = true;
    if (rc == KF_OK)
        rc = draft_unring(&t->d, &h.n, 1, err);
    return rc == KF_OK ? once_set(db, t->d.head.id, e->id, n, str_of(asked), err) : rc;
}

/* -------------------------------------------------------------------------------- what is shown */

kf_rc stream_add_rings_there(const struct config_stream *line, struct stream_draft *d, str kind,
                             uint64_t n, int64_t at_ms, str body, struct kf_err *err)
{
    const struct json_limits limits = {.depth_max = JSON_DEPTH_MAX - STREAM_RING_DEPTH};
    if (!stream_has_ring(line, kind))
        return KF_OK;
    kf_rc rc = json_check(body, &limits, NULL, NULL);
    if (rc == KF_NOMEM)
        return err_nomem(err);
    if (rc != KF_OK) {
        KF_SOMETIMES("too-deep-for-a-ring");
        return KF_OK;
    }
    return stream_add_rings(line, d, kind, n, at_ms, body, err);
}

/* Counts an entry that is shown from now on. */
static kf_rc show(struct stream_take *t, str kind, str body, uint64_t n, int64_t at_ms,
                  struct kf_err *err)
{
    str known = {0, 0}; /* the draft borrows it */
    for (size_t i = 0; i < t->d.kind_count && !known.p; i++)
        if (str_eq(t->d.kinds[i].kind, kind))
            known = t->d.kinds[i].kind;
    if (!known.p && !(known = arena_str(&t->arena, kind)).p)
        return err_nomem(err);
    kf_rc rc = draft_count(&t->d, known, body.len, at_ms, STREAM_KINDS_ALL, err);
    if (rc == KF_OK)
        rc = stream_add_rings_there(t->line, &t->d, kind, n, at_ms, body, err);
    if (rc == KF_OK && n > t->d.head.last_n)
        t->d.head.last_n = n;
    return rc;
}

kf_rc take_show_twin(struct stream_take *t, str id, struct kf_err *err)
{
    static const char find[] = "SELECT seq, at, kind, body, hash, attach FROM kf_entry WHERE "
                               "stream = $1 AND stream < 0 AND id = $2 ORDER BY stamp, site "
                               "LIMIT 1";
    struct db *db = group_db(t->g);
    struct db_stmt *s;
    bool row = false;
    int64_t seq = 0, at_ms = 0, stream = t->d.head.id;
    uint64_t n = t->d.head.last_n + 1;
    char asked[HASH_HEX + 1];
    str kind = STR(""), body = STR("");
    kf_rc rc = db_use(db, find, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, -stream);
    db_bind_text(s, 2, id);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row) {
        seq = db_i64(s, 0);
        at_ms = db_i64(s, 1);
        kind = arena_str(&t->arena, db_text(s, 2));
        body = arena_str(&t->arena, db_text(s, 3));
        const char *hash = arena_dup(&t->arena, db_text(s, 4)),
                   *attach = arena_dup(&t->arena, db_text(s, 5));
        if (!kind.p || !body.p || !hash || !attach)
            rc = err_nomem(err);
        else
            stream_asked_there(kind, at_ms, hash, attach, asked);
    }
    db_done(s);
    if (rc == KF_OK && row) {
        KF_SOMETIMES("stream-twin-shown");
        rc = set_entry(db, seq, stream, n, err);
        if (rc == KF_OK)
            rc = once_set(db, stream, id, n, str_of(asked), err);
        return rc == KF_OK ? show(t, kind, body, n, at_ms, err) : rc;
    }
    return rc == KF_OK ? once_remove(db, stream, id, err) : rc;
}

/* -------------------------------------------------------------------------------------- entries */

/* The number that it gets: its own where that is behind all others. While the store is filled, also
 * one that is free: the parts of a stream come in the order of their sealed names from some places,
 * and of numbers nobody was told yet. */
static kf_rc choose_number(struct stream_take *t, const struct entry_import *e, uint64_t *ret,
                           struct kf_err *err)
{
    static const char sql[] = "SELECT 1 FROM kf_entry WHERE stream = $1 AND n = $2";
    struct db_stmt *s;
    bool there = true;
    *ret = e->n > t->d.head.last_n ? e->n : t->d.head.last_n + 1;
    if (e->n == *ret || e->n == 0 || !atomic_load(&t->streams->hydrating))
        return KF_OK;
    kf_rc rc = db_use(group_db(t->g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, t->d.head.id);
    db_bind_i64(s, 2, (int64_t)e->n);
    rc = db_step(s, &there, err);
    db_done(s);
    if (rc == KF_OK && !there) {
        KF_SOMETIMES("stream-filled-out-of-order");
        *ret = e->n;
    }
    return rc;
}

static kf_rc insert(struct stream_take *t, const struct entry_import *e, enum stream_taken *ret,
                    int64_t *ret_seq, struct kf_err *err)
{
    char hash[HASH_HEX + 1], attach[HASH_HEX + 1] = "", asked[HASH_HEX + 1];
    struct db *db = group_db(t->g);
    bool twin = false;
    uint64_t n = 0;
    kf_rc rc = choose_number(t, e, &n, err);
    hash_hex_of(e->body, hash);
    if (e->attach.p)
        hash_hex_of(e->attach, attach);
    if (rc == KF_OK && e->id.len) {
        stream_asked_there(e->kind, e->at_ms, hash, attach, asked);
        rc = settle_id(t, e, n, asked, &twin, err);
    }
    if (rc == KF_OK && e->attach.p)
        rc = attachment_insert(db, str_of(attach), e->attach, err);
    struct entry_record record = {
        .seq = group_seq(t->g),
        .stream = twin ? -t->d.head.id : t->d.head.id,
        .n = n,
        .at_ms = e->at_ms,
        .stamp = e->stamp,
        .kind = e->kind,
        .id = e->id,
        .site = e->site,
        .hash = str_of(hash),
        .body = e->body,
        .attach = str_of(attach),
        .taken = true,
    };
    if (twin)
        record.n = (uint64_t)record.seq;
    if (rc == KF_OK)
        rc = entry_insert(db, &record, err);
    if (rc == KF_OK)
        rc = stream_index_added(&t->streams->index, db, 1, e->body.len, err);
    if (rc == KF_OK && !twin)
        rc = show(t, e->kind, e->body, n, e->at_ms, err);
    *ret = twin ? STREAM_LOST : STREAM_TAKEN;
    *ret_seq = record.seq;
    return rc;
}

kf_rc stream_take_entry(struct stream_take *t, const struct entry_import *e, enum stream_taken *ret,
                        int64_t *ret_seq, struct kf_err *err)
{
    int64_t seq = 0;
    kf_rc rc = check_import(t, e, err);
    if (rc == KF_OK)
        rc = look_at_site(t, e->site, err);
    if (rc != KF_OK)
        return rc;
    *ret = e->stamp <= t->site.erased ? STREAM_ERASED : STREAM_SAME;
    *ret_seq = 0;
    if (*ret == STREAM_ERASED)
        return KF_OK;
    rc = is_here(t, e, &seq, err);
    *ret_seq = seq;
    if (rc != KF_OK || seq || e->stamp <= t->site.trimmed)
        return rc;
    group_see(t->g, e->stamp);
    take_be_there(t);
    t->entries = true;
    return insert(t, e, ret, ret_seq, err);
}
