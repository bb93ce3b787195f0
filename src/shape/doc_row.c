/* Rows of documents: the statements, and nothing but what they carry. docs/formats.md says what the
 * columns mean.
 *
 * A write of an existing document is
 *
 *     SELECT head -> INSERT version -> INSERT OR UPDATE head
 *                 -> DELETE journal(old seq), INSERT journal(new seq)
 *
 * and each of them touches one place of one b-tree, two of them its end. */
#include "shape/doc_internal.h"

kf_rc doc_damaged(str name, struct kf_err *err)
{
    return err_set(
        err, PROBLEM_DAMAGED,
        "the stored bytes of \"%.*s\" are damaged; `keepfast verify` lists what is. Bring it back "
        "from a backup or an older version, or write it anew with If-Match: *",
        STR_SHOWN(name));
}

bool doc_hash_fits(str body, str hex_wanted)
{
    struct hash hash;
    char hex[HASH_HEX + 1];
    hash_of(body, &hash);
    hash_hex(&hash, hex);
    return str_is(hex_wanted, hex) || KF_SABOTAGE("skip-hash-check");
}

/* --------------------------------------------------------------------------------------- read */

kf_rc doc_head_load(struct db *db, str name, struct doc_head *ret, struct kf_err *err)
{
    static const char sql[] =
        "SELECT deleted, version, seq, stamp, at, site, hash FROM kf_doc WHERE name = $1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, name);
    rc = db_step(s, &row, err);
    if (rc == KF_OK) {
        *ret = (struct doc_head){.there = row};
        if (row) {
            ret->deleted = db_i64(s, 0) != 0;
            ret->version = (uint64_t)db_i64(s, 1);
            ret->seq = db_i64(s, 2);
            ret->stamp = db_i64(s, 3);
            ret->at_ms = db_i64(s, 4);
            str_copy(ret->site, sizeof ret->site, db_text(s, 5));
            str_copy(ret->hash, sizeof ret->hash, db_text(s, 6));
        }
        if (row && (!doc_site_ok(str_of(ret->site)) || ret->version == 0))
            rc = doc_damaged(name, err);
    }
    db_done(s);
    return rc;
}

kf_rc doc_body_load(struct db *db, str name, int64_t seq, struct buf *out, struct kf_err *err)
{
    static const char sql[] = "SELECT body, hash FROM kf_doc_version WHERE seq = $1 AND name = $2";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, seq);
    db_bind_text(s, 2, name);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && (!row || db_null(s, 0) || !doc_hash_fits(db_text(s, 0), db_text(s, 1))))
        rc = doc_damaged(name, err);
    if (rc == KF_OK) {
        buf_str(out, db_text(s, 0));
        rc = buf_ok(out, err);
    }
    db_done(s);
    return rc;
}

/* -------------------------------------------------------------------------------------- visits */

/* Every statement of a visit gives these columns. */
#define COLUMNS(body)                                                                     \
    "v.name, v.version, v.seq, v.stamp, v.site, v.at, v.kind, v.size, v.hash, v.body IS " \
    "NULL, " body

static void row_read(struct db_stmt *s, bool bodies, struct doc_row *row)
{
    *row = (struct doc_row){
        .name = db_text(s, 0),
        .version = (uint64_t)db_i64(s, 1),
        .seq = db_i64(s, 2),
        .stamp = db_i64(s, 3),
        .site = db_text(s, 4),
        .at_ms = db_i64(s, 5),
        .kind = db_text(s, 6),
        .size = (size_t)db_i64(s, 7),
        .hash = db_text(s, 8),
    };
    bool no_body = db_i64(s, 9) != 0;
    row->deleted = no_body && row->hash.len == 0;
    row->damaged = no_body && !row->deleted;
    if (!bodies || no_body)
        return;
    row->body = db_text(s, 10);
    row->damaged = row->body.len != row->size || !doc_hash_fits(row->body, row->hash);
}

/* Steps through a bound statement and ends its use. */
static kf_rc visit_rows(struct db_stmt *s, bool bodies, doc_visit *visit, void *ctx,
                        size_t *ret_count, struct kf_err *err)
{
    size_t count = 0;
    kf_rc rc;
    for (;;) {
        bool more = false;
        rc = db_step(s, &more, err);
        if (rc != KF_OK || !more)
            break;
        struct doc_row row;
        row_read(s, bodies, &row);
        count++;
        rc = visit(ctx, &row, err);
        if (rc != KF_OK)
            break;
    }
    db_done(s);
    if (rc == KF_OK)
        *ret_count = count;
    return rc;
}

/* A head whose version row is gone must not vanish: it comes as a row without body and hash of its
 * own. */
#define HEADS(body)                                                                          \
    "SELECT d.name, d.version, d.seq, d.stamp, d.site, d.at, coalesce(v.kind, ''), d.size, " \
    "d.hash, "                                                                               \
    "v.body IS NULL, " body                                                                  \
    " FROM kf_doc d LEFT JOIN kf_doc_version v ON v.seq = d.seq AND v.name = d.name "        \
    "WHERE d.name > $1 ORDER BY d.name LIMIT $2"

kf_rc doc_heads(struct db *db, str after, size_t limit, bool bodies, doc_visit *visit, void *ctx,
                size_t *ret_count, struct kf_err *err)
{
    static const char with[] = HEADS("v.body"), without[] = HEADS("NULL");
    struct db_stmt *s;
    kf_rc rc = db_use(db, bodies ? with : without, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, after.p ? after : STR(""));
    db_bind_i64(s, 2, (int64_t)limit);
    return visit_rows(s, bodies, visit, ctx, ret_count, err);
}

#define CHANGES(body)                                                                        \
    "SELECT d.name, d.version, d.seq, d.stamp, d.site, d.at, coalesce(v.kind, ''), d.size, " \
    "d.hash, "                                                                               \
    "v.body IS NULL, " body " FROM kf_journal j JOIN kf_doc d ON d.name = j.key "            \
    "LEFT JOIN kf_doc_version v ON v.seq = d.seq AND v.name = d.name "                       \
    "WHERE j.seq > $1 AND j.tbl = 'doc' ORDER BY j.seq LIMIT $2"

kf_rc doc_changes(struct db *db, int64_t seq, size_t limit, bool bodies, doc_visit *visit,
                  void *ctx, size_t *ret_count, struct kf_err *err)
{
    static const char with[] = CHANGES("v.body"), without[] = CHANGES("NULL");
    struct db_stmt *s;
    kf_rc rc = db_use(db, bodies ? with : without, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, seq);
    db_bind_i64(s, 2, (int64_t)limit);
    return visit_rows(s, bodies, visit, ctx, ret_count, err);
}

kf_rc doc_all_versions(struct db *db, int64_t after_seq, int64_t until, size_t limit,
                       doc_visit *visit, void *ctx, size_t *ret_count, struct kf_err *err)
{
    static const char sql[] =
        "SELECT " COLUMNS("v.body") " FROM kf_doc_version v "
                                    "WHERE v.seq > $1 AND v.seq <= $2 ORDER BY v.seq LIMIT $3";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, after_seq);
    db_bind_i64(s, 2, until);
    db_bind_i64(s, 3, (int64_t)limit);
    return visit_rows(s, true, visit, ctx, ret_count, err);
}

kf_rc doc_body_of(struct db *db, str name, str hash, struct buf *out, struct kf_err *err)
{
    static const char sql[] = "SELECT body FROM kf_doc_version WHERE name = $1 AND hash = $2 AND "
                              "body IS NOT NULL ORDER BY version DESC";
    struct db_stmt *s;
    bool row = false, fits = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, name);
    db_bind_text(s, 2, hash);
    while (!fits && (rc = db_step(s, &row, err)) == KF_OK && row)
        fits = doc_hash_fits(db_text(s, 0), hash);
    if (fits)
        buf_str(out, db_text(s, 0));
    db_done(s);
    if (rc == KF_OK)
        rc = fits ? buf_ok(out, err) : KF_ABSENT;
    return rc;
}

/* The two numbers of the one row that a bound statement gives. Ends its use. */
static kf_rc two_numbers(struct db_stmt *s, int64_t ret[2], struct kf_err *err)
{
    bool row = false;
    kf_rc rc = db_step(s, &row, err);
    if (rc == KF_OK) {
        ret[0] = row ? db_i64(s, 0) : 0;
        ret[1] = row ? db_i64(s, 1) : 0;
    }
    db_done(s);
    return rc;
}

kf_rc doc_since(struct db *db, str name, int64_t seq, int64_t *ret_ms, struct kf_err *err)
{
    static const char sql[] = "SELECT at, seq FROM kf_doc_version WHERE name = $1 AND seq > $2 "
                              "ORDER BY seq LIMIT 1";
    struct db_stmt *s;
    int64_t found[2];
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, name);
    db_bind_i64(s, 2, seq);
    rc = two_numbers(s, found, err);
    if (rc == KF_OK)
        *ret_ms = found[0];
    return rc;
}

kf_rc doc_totals(struct db *db, uint64_t *ret_docs, uint64_t *ret_bytes, struct kf_err *err)
{
    static const char sql[] =
        "SELECT count(*), coalesce(sum(size), 0) FROM kf_doc WHERE deleted = 0";
    struct db_stmt *s;
    int64_t found[2];
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc == KF_OK)
        rc = two_numbers(s, found, err);
    if (rc == KF_OK) {
        *ret_docs = (uint64_t)found[0];
        *ret_bytes = (uint64_t)found[1];
    }
    return rc;
}

/* -------------------------------------------------------------------------------------- write */

static kf_rc insert_version(struct db *db, const struct doc_record *r, int64_t seq,
                            struct kf_err *err)
{
    static const char sql[] = "INSERT INTO kf_doc_version"
                              "(seq, name, version, stamp, site, at, kind, size, hash, body) "
                              "VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, seq);
    db_bind_text(s, 2, r->name);
    db_bind_i64(s, 3, (int64_t)r->version);
    db_bind_i64(s, 4, r->stamp);
    db_bind_text(s, 5, r->site);
    db_bind_i64(s, 6, r->at_ms);
    db_bind_text(s, 7, r->kind);
    db_bind_i64(s, 8, (int64_t)r->body.len);
    db_bind_text(s, 9, r->hash);
    db_bind_text(s, 10, r->body);
    return db_run(s, err);
}

static kf_rc put_head(struct db *db, const struct doc_record *r, int64_t seq, struct kf_err *err)
{
    static const char sql[] =
        "INSERT INTO kf_doc(name, version, seq, stamp, site, at, size, hash, deleted) "
        "VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT(name) DO UPDATE SET "
        "version = excluded.version, seq = excluded.seq, stamp = excluded.stamp, "
        "site = excluded.site, at = excluded.at, size = excluded.size, hash = excluded.hash, "
        "deleted = excluded.deleted";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, r->name);
    db_bind_i64(s, 2, (int64_t)r->version);
    db_bind_i64(s, 3, seq);
    db_bind_i64(s, 4, r->stamp);
    db_bind_text(s, 5, r->site);
    db_bind_i64(s, 6, r->at_ms);
    db_bind_i64(s, 7, (int64_t)r->body.len);
    db_bind_text(s, 8, r->hash);
    db_bind_i64(s, 9, !r->body.p);
    return db_run(s, err);
}

kf_rc doc_record(struct group *g, const struct doc_record *record, const struct doc_head *head,
                 int64_t *ret_seq, struct kf_err *err)
{
    assert(record->version > head->version || !head->there);
    assert(!record->body.p == (record->hash.len == 0));
    int64_t seq = group_seq(g);
    kf_rc rc = insert_version(group_db(g), record, seq, err);
    if (rc == KF_OK)
        rc = put_head(group_db(g), record, seq, err);
    if (rc == KF_OK)
        rc = group_journal(g, seq, head->there ? head->seq : 0, DOC_TABLE, record->name,
                           record->stamp, record->site, err);
    if (rc == KF_OK)
        *ret_seq = seq;
    return rc;
}

kf_rc doc_record_past(struct group *g, const struct doc_record *record, struct kf_err *err)
{
    return insert_version(group_db(g), record, group_seq(g), err);
}

/* A store that is being built has no group yet, and its documents no number before. */
static kf_rc load_journal(struct db *db, const struct doc_row *row, struct kf_err *err)
{
    static const char sql[] = "INSERT INTO kf_journal(seq, tbl, key, stamp, site) "
                              "VALUES($1, $2, $3, $4, $5)";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, row->seq);
    db_bind_text(s, 2, str_of(DOC_TABLE));
    db_bind_text(s, 3, row->name);
    db_bind_i64(s, 4, row->stamp);
    db_bind_text(s, 5, row->site);
    return db_run(s, err);
}

kf_rc doc_load(struct db *db, const struct doc_row *row, bool current, struct kf_err *err)
{
    static const str nothing = {0};
    struct doc_record record = {
        .name = row->name,
        .site = row->site,
        .kind = row->kind,
        .body = row->deleted ? nothing : row->body,
        .hash = row->deleted ? STR("") : row->hash,
        .version = row->version,
        .stamp = row->stamp,
        .at_ms = row->at_ms,
    };
    kf_rc rc = insert_version(db, &record, row->seq, err);
    if (rc == KF_OK && current)
        rc = put_head(db, &record, row->seq, err);
    if (rc == KF_OK && current)
        rc = load_journal(db, row, err);
    return rc;
}
