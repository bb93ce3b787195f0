/* Whether the rows of streams agree with each other, and what they amount to.
 *
 * Each row alone is held against what it can be (stream_whole.c). What stands twice or follows from
 * something else is compared here: statistics with a recount, attributes with what can be asked for
 * and with the members that they are made of, rings with the entries they are of, streams with the
 * journal, numbers with the largest that was ever given. */
#include "shape/stream_internal.h"

#include <stdio.h>

enum { PAGE = 256 };

struct checking {
    stream_fault *fault;
    void *ctx;
    uint64_t entries, bytes;
    int64_t after;  /* the entry that was seen last */
    struct buf key; /* the stream that was seen last */
    struct buf id;  /* the client id that was seen last */
    struct db *db;
};

/* ---------------------------------------------------------------------------------------- rules */

struct rule {
    const char *sql; /* gives the key of each stream that breaks it */
    const char *what;
};

#define ONCE \
    "(SELECT stream, n FROM kf_entry_once UNION ALL SELECT stream, n FROM kf_entry_once_new)"

static const struct rule rules[] = {
    {"SELECT s.key FROM kf_stream s LEFT JOIN (SELECT stream, count(*) AS c, sum(size) AS b, "
     "min(at) AS f, max(at) AS l, max(n) AS m FROM kf_entry GROUP BY stream) e ON e.stream = s.id "
     "WHERE s.count <> coalesce(e.c, 0) OR s.bytes <> coalesce(e.b, 0) OR s.first_at <> "
     "coalesce(e.f, 0) OR s.last_at <> coalesce(e.l, 0) OR s.last_n < coalesce(e.m, 0)",
     "its statistics are not those of its entries"},
    {"SELECT s.key FROM kf_stream s LEFT JOIN kf_journal j ON j.seq = s.seq AND j.key = s.key AND "
     "j.tbl = '" STREAM_TABLE "' AND j.stamp = s.stamp AND j.site = s.site WHERE j.seq IS NULL",
     "it is not in the journal"},
    {"SELECT j.key FROM kf_journal j LEFT JOIN kf_stream s ON s.key = j.key AND s.seq = j.seq LEFT "
     "JOIN kf_erased x ON x.key = j.key AND x.seq = j.seq WHERE j.tbl = '" STREAM_TABLE
     "' AND s.key IS NULL AND x.key IS NULL",
     "the journal has it and there is no such stream"},
    {"SELECT a.key FROM kf_stream_attr a LEFT JOIN kf_stream s ON s.id = a.stream AND s.key = "
     "a.key "
     "WHERE s.id IS NULL",
     "an attribute is found under it and it is not there"},
    {"SELECT coalesce(s.key, '') FROM " ONCE " o LEFT JOIN kf_stream s ON s.id = o.stream "
     "LEFT "
     "JOIN kf_erasing x ON x.stream = o.stream WHERE (s.id IS NULL AND x.stream IS NULL) OR o.n < "
     "1 "
     "OR o.n > s.last_n",
     "an id is of an entry that it never had"},
    {"SELECT coalesce(s.key, '') FROM kf_entry_once_new w JOIN kf_entry_once o ON o.stream = "
     "w.stream AND o.id = w.id LEFT JOIN kf_stream s ON s.id = w.stream",
     "an id is remembered twice"},
    {"SELECT s.key FROM kf_entry e JOIN kf_stream s ON s.id = e.stream LEFT JOIN kf_entry_once o "
     "ON o.stream = e.stream AND o.id = e.id LEFT JOIN kf_entry_once_new w ON w.stream = e.stream "
     "AND w.id = e.id WHERE e.id <> '' AND coalesce(o.n, w.n, 0) <> e.n",
     "the id of an entry is not remembered"},
    {"SELECT CAST(e.stream AS TEXT) FROM kf_entry e LEFT JOIN kf_stream s ON s.id = abs(e.stream) "
     "LEFT JOIN kf_erasing x ON x.stream = e.stream WHERE s.id IS NULL AND x.stream IS NULL",
     "there are entries of it and no stream"},
    {"SELECT s.key FROM kf_entry e JOIN kf_stream s ON s.id = e.stream LEFT JOIN kf_attachment a "
     "ON "
     "a.hash = e.attach WHERE e.attach IS NOT NULL AND a.hash IS NULL",
     "what an entry has attached is missing"},
    {"SELECT s.key FROM kf_entry e JOIN kf_stream s ON s.id = abs(e.stream) WHERE e.seq > (SELECT "
     "seq FROM kf_state)",
     "an entry has a number of the store that it never gave"},
    {"SELECT s.key FROM (SELECT stream, behind, coalesce(behind, stamp) AS place, "
     "lag(coalesce(behind, "
     "stamp)) OVER (PARTITION BY stream ORDER BY n) AS earlier FROM kf_entry) e JOIN kf_stream s "
     "ON "
     "s.id = e.stream WHERE e.place < e.earlier OR (e.place = e.earlier AND e.behind IS NULL)",
     "an entry has a smaller number than one that was appended before it"},
    {"SELECT s.key FROM kf_entry e JOIN kf_entry o ON o.stream = e.stream AND o.site = e.site AND "
     "o.stamp = e.stamp AND o.behind IS NOT NULL JOIN kf_stream s ON s.id = e.stream WHERE "
     "e.behind "
     "IS NULL",
     "an entry is there twice"},
};

static kf_rc hold(struct checking *c, const struct rule *rule, struct kf_err *err)
{
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(c->db, rule->sql, &s, err);
    if (rc != KF_OK)
        return rc;
    while ((rc = db_step(s, &row, err)) == KF_OK && row)
        if ((rc = c->fault(c->ctx, db_text(s, 0), rule->what, err)) != KF_OK)
            break;
    db_done(s);
    return rc;
}

/* --------------------------------------------------------------------------------- each stream */

static kf_rc check_kinds(struct checking *c, const struct stream_state *state, struct kf_err *err)
{
    static const char sql[] =
        "SELECT kind, count(*) FROM kf_entry WHERE stream = $1 GROUP BY kind ORDER BY kind";
    struct db_stmt *s;
    uint32_t at = 0;
    uint64_t count = 0;
    str kind = {0};
    bool row = false, same = true;
    kf_rc rc = db_use(c->db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, state->head.id);
    while (same && (rc = db_step(s, &row, err)) == KF_OK && row)
        same = state_kind(state, &at, &kind, &count) && str_eq(kind, db_text(s, 0)) &&
               count == (uint64_t)db_i64(s, 1);
    db_done(s);
    if (rc == KF_OK && (!same || state_kind(state, &at, &kind, &count)))
        rc = c->fault(c->ctx, state_key(state), "its kinds are not those of its entries", err);
    return rc;
}

/* Whether a statement over (stream, number) or (name, value, key) has a row. */
static kf_rc has_entry(struct db *db, int64_t stream, uint64_t n, bool *ret, struct kf_err *err)
{
    static const char sql[] = "SELECT 1 FROM kf_entry WHERE stream = $1 AND n = $2";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_i64(s, 2, (int64_t)n);
    rc = db_step(s, ret, err);
    db_done(s);
    return rc;
}

static kf_rc check_rings(struct checking *c, const struct stream_state *state, struct kf_err *err)
{
    static const struct json_limits limits = {.tokens_max = UINT32_MAX};
    struct arena arena = ARENA_INIT;
    struct json_node *root = NULL;
    bool good = true;
    kf_rc rc = json_parse(state_rings(state), &limits, &arena, &root, NULL);
    if (rc == KF_NOMEM)
        rc = err_nomem(err);
    else if (rc != KF_OK || root->type != JSON_OBJECT)
        good = false;
    const struct json_node *ring = rc == KF_OK && good ? root->child : NULL;
    rc = rc == KF_NOMEM ? rc : KF_OK;
    for (; ring && rc == KF_OK; ring = ring->next) {
        for (const struct json_node *e = ring->child; e && rc == KF_OK && good; e = e->next) {
            uint64_t n = 0;
            good = json_u64(json_member(e, "n"), &n) && n <= INT64_MAX;
            if (good)
                rc = has_entry(c->db, state->head.id, n, &good, err);
        }
    }
    arena_release(&arena);
    if (rc == KF_OK && !good)
        rc = c->fault(c->ctx, state_key(state), "a ring has what is no entry of it", err);
    return rc;
}

static kf_rc check_attrs(struct checking *c, const struct stream_state *state, struct kf_err *err)
{
    static const char sql[] =
        "SELECT name, value FROM kf_stream_attr WHERE name = $1 AND value = $2 "
        "AND key = $3 AND stream = $4";
    bool all = true;
    kf_rc rc = attrs_each(c->db, sql, state_attrs(state), state_key(state), state->head.id, &all,
                          err);
    if (rc == KF_DAMAGED || (rc == KF_OK && !all))
        rc = c->fault(c->ctx, state_key(state), "an attribute of it is not found", err);
    return rc;
}

/* Whether the members make what the row says; texts that are no JSON are damaged, too. */
static kf_rc members_make(struct checking *c, const struct stream_state *state, bool *ret,
                          struct kf_err *err)
{
    struct buf made = BUF_INIT, is = BUF_INIT, should = BUF_INIT;
    kf_rc rc = members_object(c->db, state_key(state), &made, err);
    if (rc == KF_OK)
        rc = json_canonical(buf_view(&made), &should, err);
    if (rc == KF_OK)
        rc = json_canonical(state_attrs(state), &is, err);
    *ret = rc == KF_OK && str_eq(buf_view(&is), buf_view(&should));
    if (rc == KF_INVALID || rc == KF_LIMIT) {
        err_clear(err);
        rc = KF_OK;
    }
    buf_release(&made);
    buf_release(&is);
    buf_release(&should);
    return rc;
}

static kf_rc check_members(struct checking *c, const struct stream_state *state, struct kf_err *err)
{
    bool same = true;
    kf_rc rc = members_make(c, state, &same, err);
    return rc == KF_OK && !same ? c->fault(c->ctx, state_key(state),
                                           "its attributes are not what was set one by one", err)
                                : rc;
}

static kf_rc check_stream(struct checking *c, const struct stream_state *state, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    if (name_check(state_key(state), NULL) != KF_OK)
        rc = c->fault(c->ctx, state_key(state), "no stream can have this key", err);
    if (rc == KF_OK)
        rc = check_kinds(c, state, err);
    if (rc == KF_OK)
        rc = check_rings(c, state, err);
    if (rc == KF_OK)
        rc = check_attrs(c, state, err);
    return rc == KF_OK ? check_members(c, state, err) : rc;
}

/* The next stream behind c->key; KF_ABSENT when that was the last. */
static kf_rc next_stream(struct checking *c, struct stream_state **ret, struct kf_err *err)
{
    static const char sql[] = "SELECT " STREAM_COLUMNS
                              " FROM kf_stream s WHERE s.key > $1 ORDER BY s.key LIMIT 1";
    struct db_stmt *s;
    struct kf_err why = KF_ERR_INIT;
    bool row = false;
    kf_rc rc = db_use(c->db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, buf_view(&c->key));
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row && str_cmp(db_text(s, 1), buf_view(&c->key)) <= 0) {
        row = false; /* it is no text, and stands behind all that are */
        rc = c->fault(c->ctx, db_text(s, 1), "no stream can have this key", err);
    }
    if (rc == KF_OK && row) {
        buf_clear(&c->key);
        buf_str(&c->key, db_text(s, 1));
        rc = buf_ok(&c->key, err);
        if (rc == KF_OK)
            rc = stream_row_state(s, 0, ret, &why);
        if (rc == KF_DAMAGED)
            rc = c->fault(c->ctx, db_text(s, 1), "its row is damaged", err);
        else if (rc != KF_OK && err)
            *err = why;
    }
    db_done(s);
    return rc == KF_OK && !row ? KF_ABSENT : rc;
}

static kf_rc check_streams(struct checking *c, struct kf_err *err)
{
    kf_rc rc;
    struct stream_state *state = NULL;
    while ((rc = next_stream(c, &state, err)) == KF_OK) {
        if (state)
            rc = check_stream(c, state, err);
        state_drop(state);
        state = NULL;
        if (rc != KF_OK)
            break;
    }
    return rc == KF_ABSENT ? KF_OK : rc;
}

/* ------------------------------------------------------------------------------------- bytes */

static kf_rc check_entry(void *ctx, const struct entry_row *row, struct kf_err *err)
{
    struct checking *c = ctx;
    char what[120];
    c->after = row->seq;
    if (!row->damaged) {
        c->entries++;
        c->bytes += row->size;
        return KF_OK;
    }
    snprintf(what, sizeof what, "entry %llu: %s", (unsigned long long)row->n, row->wrong);
    return c->fault(c->ctx, row->key, what, err);
}

/* ---------------------------------------------------------------------- what stands beside them */

static kf_rc check_member(void *ctx, const struct member_row *m, struct kf_err *err)
{
    struct checking *c = ctx;
    return m->damaged ? c->fault(c->ctx, buf_view(&c->key),
                                 "what is known of an attribute of it is none that can be", err)
                      : KF_OK;
}

static kf_rc check_erased(void *ctx, const struct erased_row *e, struct kf_err *err)
{
    struct checking *c = ctx;
    return e->damaged ? c->fault(c->ctx, buf_view(&c->key),
                                 "what was erased or trimmed of it is none that can be", err)
                      : KF_OK;
}

static kf_rc check_once(void *ctx, const struct once_row *o, struct kf_err *err)
{
    struct checking *c = ctx;
    buf_clear(&c->id);
    buf_str(&c->id, o->id);
    if (o->damaged)
        return c->fault(c->ctx, buf_view(&c->key), "a client id of it is none that can be", err);
    return buf_ok(&c->id, err);
}

static kf_rc check_ids(struct checking *c, int64_t stream, struct kf_err *err)
{
    struct buf after = BUF_INIT;
    size_t count = PAGE;
    kf_rc rc = KF_OK;
    buf_clear(&c->id);
    while (rc == KF_OK && count == PAGE) {
        buf_clear(&after);
        buf_str(&after, buf_view(&c->id));
        rc = buf_ok(&after, err);
        if (rc == KF_OK)
            rc = stream_ids(c->db, stream, buf_view(&after), PAGE, check_once, c, &count, err);
    }
    buf_release(&after);
    return rc;
}

static kf_rc check_beside(struct checking *c, struct kf_err *err)
{
    str key = buf_view(&c->key);
    int64_t stream = 0;
    uint64_t last_n;
    kf_rc rc = stream_members(c->db, key, check_member, c, err);
    if (rc == KF_OK)
        rc = stream_erasures(c->db, key, check_erased, c, err);
    if (rc == KF_OK)
        rc = stream_find(c->db, key, &stream, &last_n, err);
    if (rc == KF_OK && stream)
        rc = stream_trims(c->db, stream, check_erased, c, err);
    return rc == KF_OK && stream ? check_ids(c, stream, err) : rc;
}

/* Of every key, whether its stream is there or not. */
static kf_rc check_keys(struct checking *c, struct kf_err *err)
{
    struct buf next = BUF_INIT;
    size_t count = 1;
    kf_rc rc = KF_OK;
    buf_clear(&c->key);
    while (rc == KF_OK && count) {
        buf_clear(&next);
        rc = stream_keys(c->db, buf_view(&c->key), 1, &next, &count, err);
        buf_clear(&c->key);
        if (rc == KF_OK && count)
            buf_c(&c->key, next.p);
        if (rc == KF_OK)
            rc = buf_ok(&c->key, err);
        if (rc == KF_OK && count)
            rc = check_beside(c, err);
    }
    buf_release(&next);
    return rc;
}

static kf_rc check_attachments(struct checking *c, struct kf_err *err)
{
    static const char sql[] = "SELECT hash, size, body FROM kf_attachment ORDER BY hash";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(c->db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        str body = db_text(s, 2);
        if (body.len == (size_t)db_i64(s, 1) && doc_hash_fits(body, db_text(s, 0)))
            continue;
        rc = c->fault(c->ctx, db_text(s, 0), "an attachment does not match this hash", err);
        if (rc != KF_OK)
            break;
    }
    db_done(s);
    return rc;
}

kf_rc stream_check(struct db *db, stream_fault *fault, void *ctx, uint64_t *ret_entries,
                   uint64_t *ret_bytes, struct kf_err *err)
{
    struct checking c = {.fault = fault, .ctx = ctx, .db = db, .after = INT64_MIN};
    size_t count = PAGE;
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < sizeof rules / sizeof *rules; i++)
        rc = hold(&c, &rules[i], err);
    if (rc == KF_OK)
        rc = check_streams(&c, err);
    while (rc == KF_OK && count == PAGE)
        rc = stream_entries_since(db, c.after, INT64_MAX, PAGE, true, check_entry, &c, &count, err);
    if (rc == KF_OK)
        rc = check_attachments(&c, err);
    if (rc == KF_OK)
        rc = check_keys(&c, err);
    buf_release(&c.key);
    buf_release(&c.id);
    if (rc == KF_OK) {
        *ret_entries = c.entries;
        *ret_bytes = c.bytes;
    }
    return rc;
}
