/* Digest and verify: everything that is stored is read and held against its hash. */
#include "move/backup.h"

#include "base/err.h"
#include "db/schema.h"
#include "shape/stream.h"

enum { PAGE = 256 };

/* ---------------------------------------------------------------------------------------- digest
 */

struct digesting {
    struct portable_digest digest;
    struct buf after; /* the name last seen */
};

static kf_rc add_to_digest(void *ctx, const struct doc_row *row, struct kf_err *err)
{
    struct digesting *d = ctx;
    buf_clear(&d->after);
    buf_str(&d->after, row->name);
    if (row->deleted)
        return buf_ok(&d->after, err);
    if (row->damaged)
        return err_set(err, PROBLEM_DAMAGED,
                       "the stored bytes of \"%.*s\" are damaged, so there is no digest; `keepfast "
                       "verify` lists "
                       "what is",
                       STR_SHOWN(row->name));
    return portable_digest_add(&d->digest, row->name, row->body, err);
}

kf_rc digest_of(struct db *db, char ret_hex[HASH_HEX + 1], struct kf_err *err)
{
    struct digesting d = {.after = BUF_INIT};
    char hex[HASH_HEX + 1];
    size_t count = PAGE;
    kf_rc rc = KF_OK;
    portable_digest_begin(&d.digest);
    while (rc == KF_OK && count == PAGE)
        rc = doc_heads(db, buf_view(&d.after), PAGE, true, add_to_digest, &d, &count, err);
    if (rc == KF_OK)
        rc = stream_digest(db, &d.digest.hash, err);
    portable_digest_end(&d.digest, hex);
    buf_release(&d.after);
    if (rc == KF_OK)
        memcpy(ret_hex, hex, sizeof hex);
    return rc;
}

kf_rc digest_now(struct kf_store *store, bool (*wanted)(void *ctx), void *ctx,
                 char ret_hex[HASH_HEX + 1], struct kf_err *err)
{
    struct long_read read = {.wanted = wanted, .ctx = ctx};
    struct db *db;
    kf_rc rc = store_read_long(store, &read, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = digest_of(db, ret_hex, err);
    store_read_end(store, db);
    return rc;
}

/* ---------------------------------------------------------------------------------------- verify
 */

struct verifying {
    struct kf_verified v;
    struct buf report;
    int64_t after, until;
    uint64_t seen;
    kf_progress *progress;
    void *ctx;
    const struct env *env;
    int64_t asked_ms; /* when `progress` was asked last, monotonic */
    bool ended;       /* it said no */
};

static void report_name(struct buf *b, str name)
{
    buf_json_string(b, (str){name.p, name.len < 200 ? name.len : 200});
}

static kf_rc note_fault(void *ctx, str name, const char *what, struct kf_err *err)
{
    struct verifying *v = ctx;
    v->v.damaged++;
    buf_c(&v->report, "document ");
    report_name(&v->report, name);
    buf_printf(&v->report, ": %s\n", what);
    return buf_ok(&v->report, err);
}

static kf_rc note_stream_fault(void *ctx, str key, const char *what, struct kf_err *err)
{
    struct verifying *v = ctx;
    v->v.damaged++;
    buf_c(&v->report, "stream ");
    report_name(&v->report, key);
    buf_printf(&v->report, ": %s\n", what);
    return buf_ok(&v->report, err);
}

static kf_rc verify_streams(struct db *db, struct verifying *v, struct kf_err *err)
{
    uint64_t entries = 0, bytes = 0;
    kf_rc rc = stream_check(db, note_stream_fault, v, &entries, &bytes, err);
    if (rc == KF_OK) {
        v->v.entries += entries;
        v->v.bytes += bytes;
    }
    return rc;
}

/* What cannot be read is a finding, and the verification goes on behind it. */
static kf_rc note_unreadable(struct verifying *v, kf_rc rc, const struct kf_err *why,
                             struct kf_err *err)
{
    if (rc == KF_DAMAGED) {
        v->v.damaged++;
        buf_printf(&v->report, "%s\n", why->detail);
        return buf_ok(&v->report, err);
    }
    if (rc != KF_OK && err)
        *err = *why;
    return rc;
}

static kf_rc verify_row(void *ctx, const struct doc_row *row, struct kf_err *err)
{
    struct verifying *v = ctx;
    v->after = row->seq;
    v->seen++;
    if (name_check(row->name, NULL) != KF_OK) {
        kf_rc rc = note_fault(v, row->name, "no document can have this name", err);
        if (rc != KF_OK)
            return rc;
    }
    if (row->damaged) {
        v->v.damaged++;
        buf_c(&v->report, "document ");
        report_name(&v->report, row->name);
        buf_printf(&v->report, " version %llu: its bytes do not match their hash\n",
                   (unsigned long long)row->version);
    } else {
        v->v.versions++;
        v->v.bytes += row->size;
    }
    if (v->progress && v->seen % PAGE == 0 && !v->progress(v->ctx, v->seen, 0))
        return err_set(err, PROBLEM_BUSY, "the verification was ended by its caller");
    return KF_OK;
}

/* Every version, a page a snapshot. */
static kf_rc verify_versions(struct kf_store *store, struct verifying *v, struct kf_err *err)
{
    size_t count = PAGE;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = KF_OK;
    while (rc == KF_OK && count == PAGE) {
        struct db *db;
        rc = store_read(store, &db, err);
        if (rc != KF_OK)
            return rc;
        rc = doc_all_versions(db, v->after, v->until, PAGE, verify_row, v, &count, &why);
        store_read_end(store, db);
    }
    return note_unreadable(v, rc, &why, err);
}

/* A check of the pages tells nothing of how far it is: the caller is asked whether to go on, ten
 * times a second. */
static bool is_wanted(void *ctx)
{
    struct verifying *v = ctx;
    int64_t now_ms = env_mono_ms(v->env);
    if (v->ended || !v->progress || now_ms - v->asked_ms < 100)
        return !v->ended;
    v->asked_ms = now_ms;
    v->ended = !v->progress(v->ctx, v->seen, 0);
    return !v->ended;
}

static kf_rc verify_pages(struct kf_store *store, struct verifying *v, bool full,
                          struct kf_err *err)
{
    struct long_read read = {.wanted = is_wanted, .ctx = v};
    struct kf_err why = KF_ERR_INIT;
    struct db *db;
    uint64_t bad = 0;
    kf_rc rc = store_read_long(store, &read, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = store_seq_of(db, &v->until, &why);
    if (rc == KF_OK)
        rc = db_check(db, full, &v->report, &bad, &why);
    if (rc == KF_OK)
        rc = schema_check(db, &schema_store, &v->report, &bad, &why);
    v->v.damaged += bad;
    if (rc == KF_OK)
        rc = doc_check(db, note_fault, v, &why);
    if (rc == KF_OK)
        rc = verify_streams(db, v, &why);
    if (rc == KF_OK)
        rc = doc_totals(db, &v->v.docs, &(uint64_t){0}, &why);
    store_read_end(store, db);
    return note_unreadable(v, rc, &why, err);
}

static kf_rc found_damage(const struct kf_verified *v, struct kf_err *err)
{
    unsigned long long damaged = v->damaged, left = v->damaged - v->repaired;
    if (!left)
        return err_set(err, PROBLEM_DAMAGED,
                       "%llu damaged, all written again from this store: see the report", damaged);
    return err_set(err, PROBLEM_DAMAGED,
                   "%llu damaged, %llu of them left: see the report; restore them from a backup or "
                   "a remote",
                   damaged, left);
}

kf_rc verify_store(struct kf_store *store, bool deep, kf_progress *progress, void *ctx,
                   struct kf_verified *ret, struct kf_err *err)
{
    struct verifying v = {
        .progress = progress, .ctx = ctx, .until = store_seq(store), .env = store_env(store)};
    kf_rc rc = verify_pages(store, &v, deep, err);
    if (rc == KF_OK)
        rc = verify_versions(store, &v, err);
    if (rc == KF_OK && deep)
        rc = remotes_verify(store_remotes(store), &v.report, &v.v.damaged, &v.v.repaired, err);
    if (rc == KF_OK)
        rc = buf_ok(&v.report, err);
    if (rc == KF_OK && ret) {
        *ret = v.v;
        ret->report.p = buf_detach(&v.report, &ret->report.len);
    }
    buf_release(&v.report);
    return rc == KF_OK && v.v.damaged ? found_damage(&v.v, err) : rc;
}

kf_rc verify_db(struct db *db, const struct env *env, kf_progress *progress, void *ctx,
                struct kf_err *err)
{
    struct verifying v = {.progress = progress, .ctx = ctx, .until = INT64_MAX, .env = env};
    size_t count = PAGE;
    uint64_t bad = 0;
    db_watch(db, is_wanted, &v);
    kf_rc rc = db_check(db, true, &v.report, &bad, err);
    if (rc == KF_OK)
        rc = schema_check(db, &schema_store, &v.report, &bad, err);
    v.v.damaged += bad;
    if (rc == KF_OK)
        rc = doc_check(db, note_fault, &v, err);
    if (rc == KF_OK)
        rc = verify_streams(db, &v, err);
    while (rc == KF_OK && count == PAGE)
        rc = doc_all_versions(db, v.after, v.until, PAGE, verify_row, &v, &count, err);
    db_watch(db, NULL, NULL);
    if (rc == KF_OK)
        rc = buf_ok(&v.report, err);
    if (rc == KF_OK && v.v.damaged)
        rc = err_set(err, PROBLEM_DAMAGED, "%llu damaged; the first: %.*s",
                     (unsigned long long)v.v.damaged, (int)str_index(buf_view(&v.report), '\n'),
                     v.report.p);
    buf_release(&v.report);
    return rc;
}
