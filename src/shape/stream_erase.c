/* What goes for good.
 *
 *     one group   the stream's row and attributes, a tombstone (kf_erased) with its journal
 *                 row, the receipt, a note of what is left (kf_erasing): nobody sees the
 *                 stream any more, and its key is free
 *     slices      what is left goes (stream_rest.c); then the index of words is written anew, if
 *                 it had some of that
 *
 * The group asks as little as it can of what may be damaged: it removes no entry. A crash in
 * between leaves the note, and the next slices of anybody go on: those of the same erasure, asked
 * for again, of any other one, and of streams_retain. */
#include "shape/stream_internal.h"

#define FAILING_SHOWN 3
#define FAILING_BYTES 80

struct erase {
    struct write write; /* first */
    struct streams *streams;
    str key;
    uint64_t hash;
    const char *subject;  /* 64 hex digits */
    int64_t receipt;      /* 0 = none yet */
    str attribute, value; /* of a person: erased while it has them; .p == NULL: whatever it has */
    /* of apply */
    int64_t made; /* the receipt that it has written to */
    bool again;   /* it was erased before, and `made` is the receipt of then */
};

/* ------------------------------------------------------------------------------------ the group */

static kf_rc erased_run(struct db *db, const char *sql, str key, str site, int64_t stamp,
                        int64_t at_ms, int64_t seq, struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, key);
    db_bind_text(s, 2, site);
    db_bind_i64(s, 3, stamp);
    db_bind_i64(s, 4, at_ms);
    db_bind_i64(s, 5, seq);
    return db_run(s, err);
}

kf_rc erased_put(struct db *db, str key, const struct erased_row *row, int64_t seq,
                 struct kf_err *err)
{
    static const char sql[] =
        "INSERT INTO kf_erased(key, site, stamp, at, seq) VALUES($1, $2, $3, $4, $5) "
        "ON CONFLICT(key, site) DO UPDATE SET stamp = excluded.stamp, at = excluded.at, "
        "seq = excluded.seq";
    return erased_run(db, sql, key, row->site, row->stamp, row->at_ms, seq, err);
}

kf_rc erased_mark(struct db *db, str key, int64_t seq, struct kf_err *err)
{
    return erased_put(db, key, &(struct erased_row){.site = STR("")}, seq, err);
}

kf_rc erased_stamp(struct db *db, str key, str site, int64_t *ret, struct kf_err *err)
{
    static const char sql[] = "SELECT stamp FROM kf_erased WHERE key = $1 AND site = $2";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, key);
    db_bind_text(s, 2, site);
    rc = db_step(s, &row, err);
    if (rc == KF_OK)
        *ret = row ? db_i64(s, 0) : 0;
    db_done(s);
    return rc;
}

struct seen {
    struct group *g;
    str key;
    int64_t seq;
};

static kf_rc erase_site(void *ctx, const struct site_row *row, struct kf_err *err)
{
    const struct seen *seen = ctx;
    struct db *db = group_db(seen->g);
    struct erased_row e = {
        .site = str_of(row->site), .stamp = row->stamp, .at_ms = group_now_ms(seen->g)};
    int64_t had = 0;
    kf_rc rc = erased_stamp(db, seen->key, e.site, &had, err);
    return rc == KF_OK && had < e.stamp ? erased_put(db, seen->key, &e, seen->seq, err) : rc;
}

/* Of every site what this store has seen of it in the stream. */
static kf_rc erase_seen(struct group *g, str key, int64_t stream, int64_t seq, struct kf_err *err)
{
    struct seen seen = {g, key, seq};
    struct db *db = group_db(g);
    kf_rc rc = entries_sites_whole(db, stream, erase_site, &seen, err);
    if (rc == KF_OK)
        rc = entries_sites_whole(db, -stream, erase_site, &seen, err);
    return rc == KF_OK ? trimmed_sites(db, stream, erase_site, &seen, err) : rc;
}

kf_rc stream_end(struct streams *streams, struct group *g, uint64_t hash,
                 const struct stream_state *before, int64_t erased_seq, int64_t receipt,
                 struct kf_err *err)
{
    struct stream_draft d = {.key = state_key(before),
                             .rings = STR(""),
                             .attrs = STR(""),
                             .head = {.erased_seq = erased_seq}};
    struct stream_state *gone = NULL;
    struct db *db = group_db(g);
    kf_rc rc = attrs_forget(db, d.key, err);
    if (rc == KF_OK)
        rc = stream_row_delete(db, before->head.id, err);
    if (rc == KF_OK)
        rc = rest_note(db, before->head.id, receipt, err);
    if (rc == KF_OK)
        rc = draft_end(&d, &gone, err);
    if (rc == KF_OK)
        rc = stage_put(streams, g, hash, gone, err);
    state_drop(gone);
    return rc;
}

static kf_rc erase_there(struct group *g, struct erase *e, const struct stream_state *before,
                         struct kf_err *err)
{
    const struct stream_head *head = &before->head;
    struct db *db = group_db(g);
    int64_t seq = group_seq(g);
    /* applied again, a new stamp: later than what another process has appended meanwhile */
    struct erased_row own = {
        .site = str_of(group_site(g)), .stamp = group_stamp(g), .at_ms = group_now_ms(g)};
    e->made = e->receipt ? e->receipt : seq;
    kf_rc rc = e->receipt ? KF_OK : receipt_new(g, e->subject, e->made, err);
    if (rc == KF_OK)
        rc = erase_seen(g, e->key, head->id, seq, err);
    if (rc == KF_OK)
        rc = erased_put(db, e->key, &own, seq, err);
    if (rc == KF_OK)
        rc = members_remove(g, e->key, err);
    if (rc == KF_OK)
        rc = group_journal(g, seq, head->seq, STREAM_TABLE, e->key, own.stamp, own.site, err);
    if (rc == KF_OK)
        rc = stream_end(e->streams, g, e->hash, before, seq, e->made, err);
    return rc == KF_OK ? receipt_count(db, e->made, 1, head->count, 0, head->bytes, err) : rc;
}

static kf_rc erase_absent(struct group *g, struct erase *e, struct kf_err *err)
{
    if (e->attribute.p)
        return KF_OK;
    kf_rc rc = receipt_find(group_db(g), e->subject, &e->made, err);
    e->again = rc == KF_OK;
    return rc == KF_ABSENT ? stream_unknown(e->key, err) : rc;
}

/* ----------------------------------------------------------------------------------- one stream */

/* What was found of a person by a reader may have become somebody else's meanwhile. */
static kf_rc is_of_person(struct group *g, const struct erase *e, bool *ret, struct kf_err *err)
{
    static const char sql[] =
        "SELECT 1 FROM kf_stream_attr WHERE name = $1 AND value = $2 AND key = $3";
    struct db_stmt *s;
    *ret = true;
    if (!e->attribute.p)
        return KF_OK;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, e->attribute);
    db_bind_text(s, 2, e->value);
    db_bind_text(s, 3, e->key);
    rc = db_step(s, ret, err);
    db_done(s);
    return rc;
}

/* The stream as it stands, to be dropped; of one that is damaged its bones. */
static kf_rc find_stream(struct group *g, const struct erase *e, struct stream_state **ret,
                         struct kf_err *err)
{
    struct stream_state *state = NULL;
    bool whole = true;
    kf_rc rc = stage_get(e->streams, g, e->key, e->hash, &state, err);
    if (rc == KF_OK && state->head.there)
        rc = attrs_whole(state_attrs(state), &whole, err);
    if (whole && (rc != KF_DAMAGED || db_trouble(group_db(g)) != DB_FINE)) {
        *ret = rc == KF_OK ? state_keep(state) : NULL;
        return rc;
    }
    KF_SOMETIMES("erasure-of-a-damaged-stream");
    err_clear(err);
    return stream_bones(group_db(g), e->key, ret, err);
}

static kf_rc apply_erase(struct group *g, struct write *write, struct kf_err *err)
{
    struct erase *e = (struct erase *)write;
    struct stream_state *before = NULL;
    bool theirs = false;
    e->made = 0;
    e->again = false;
    kf_rc rc = find_stream(g, e, &before, err);
    if (rc != KF_OK)
        return rc;
    rc = group_scrub(g, true, err);
    if (rc == KF_OK)
        rc = is_of_person(g, e, &theirs, err);
    if (rc == KF_OK && theirs)
        rc = before->head.there ? erase_there(g, e, before, err) : erase_absent(g, e, err);
    kf_rc off = group_scrub(g, false, rc == KF_OK ? err : NULL);
    state_drop(before);
    return rc == KF_OK ? off : rc;
}

static void publish_erase(struct write *write)
{
    struct erase *e = (struct erase *)write;
    memory_forget(&e->streams->memory, e->key, e->hash);
    streams_tell(e->streams, e->key);
}

/* `e` says what of. */
static kf_rc erase_one(struct erase *e, int64_t *receipt, struct kf_err *err)
{
    e->write = (struct write){.apply = apply_erase, .publish = publish_erase, .frees = true};
    e->hash = memory_hash(&e->streams->memory, e->key);
    e->receipt = *receipt;
    kf_rc rc = store_write(e->streams->store, &e->write, err);
    if (rc == KF_OK && e->made)
        *receipt = e->made;
    return rc;
}

kf_rc streams_erase(struct streams *streams, const char *key, struct kf_receipt *ret,
                    struct kf_err *err)
{
    str k;
    char subject[HASH_HEX + 1];
    int64_t receipt = 0;
    struct erase e = {.streams = streams, .subject = subject};
    kf_rc rc = streams_key(key, &k, err);
    if (rc == KF_OK && atomic_load(&streams->hydrating)) /* what has not come in is not seen */
        rc = streams_not_hydrated(k, err);
    if (rc != KF_OK)
        return rc;
    receipt_subject("stream", k, STR(""), subject);
    e.key = k;
    rc = erase_one(&e, &receipt, err);
    if (rc == KF_OK)
        rc = streams_erase_rest(streams, receipt, err);
    return rc == KF_OK ? receipt_give(streams, receipt, e.again, ret, err) : rc;
}

/* ------------------------------------------------------------------------------------- a person */

/* One stream with this value of the attribute behind key `after`, appended to `out`. KF_ABSENT
 * without a sentence. */
static kf_rc find_one(struct kf_store *store, str attribute, str value, str after, struct buf *out,
                      struct kf_err *err)
{
    static const char sql[] = "SELECT key FROM kf_stream_attr WHERE name = $1 AND value = $2 AND "
                              "key > $3 ORDER BY key LIMIT 1";
    struct db *db;
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = store_read(store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = db_use(db, sql, &s, err);
    if (rc == KF_OK) {
        db_bind_text(s, 1, attribute);
        db_bind_text(s, 2, value);
        db_bind_text(s, 3, after);
        rc = db_step(s, &row, err);
        if (rc == KF_OK && row) {
            buf_str(out, db_text(s, 0));
            rc = buf_ok(out, err);
        }
        db_done(s);
    }
    store_read_end(store, db);
    return rc == KF_OK && !row ? KF_ABSENT : rc;
}

static kf_rc last_receipt(struct streams *streams, const char *subject, int64_t *ret,
                          struct kf_err *err)
{
    struct db *db;
    kf_rc rc = store_read(streams->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = receipt_find(db, subject, ret, err);
    store_read_end(streams->store, db);
    return rc;
}

/* Streams of a person that are damaged, so that nothing could be done to them. */
struct failing {
    size_t count;
    struct buf keys; /* of the first ones, as they are told */
    struct kf_err why;
};

static kf_rc note_failing(struct streams *streams, struct failing *f, str key,
                          const struct kf_err *why, struct kf_err *err)
{
    KF_SOMETIMES("erasure-of-a-person-passes-damage");
    log_event(store_log(streams->store), LOG_CRIT, "store.damage", LOG_V("stream", key), LOG_END);
    if (!f->count)
        f->why = *why;
    if (++f->count <= FAILING_SHOWN)
        buf_printf(&f->keys, "%s\"%.*s\"", f->count > 1 ? ", " : "",
                   (int)(key.len < FAILING_BYTES ? key.len : FAILING_BYTES), key.p);
    return buf_ok(&f->keys, err);
}

static kf_rc tell_failing(struct failing *f, struct kf_err *err)
{
    if (err)
        *err = f->why;
    err_prefix(err,
               "everything else of this person was erased, but %zu stream%s could not be (%.*s%s)",
               f->count, f->count == 1 ? "" : "s", STR_ARGS(buf_view(&f->keys)),
               f->count > FAILING_SHOWN ? " and more" : "");
    return f->why.rc;
}

/* What was found and not erased is passed over: it is not theirs any more, or it is a row of a
 * stream that is not there (which kf_verify tells), or it is damaged. */
static kf_rc erase_each(struct streams *streams, str attribute, str value, const char *subject,
                        int64_t *receipt, struct failing *failing, struct kf_err *err)
{
    struct buf key = BUF_INIT, passed = BUF_INIT;
    kf_rc rc;
    while ((rc = find_one(streams->store, attribute, value, buf_view(&passed), &key, err)) ==
           KF_OK) {
        struct kf_err why = KF_ERR_INIT;
        struct erase e = {.streams = streams,
                          .subject = subject,
                          .key = buf_view(&key),
                          .attribute = attribute,
                          .value = value};
        rc = erase_one(&e, receipt, &why);
        bool erased = rc == KF_OK && e.made;
        if (rc == KF_DAMAGED)
            rc = note_failing(streams, failing, e.key, &why, err);
        else if (rc != KF_OK && err)
            *err = why;
        if (rc == KF_OK && !erased) {
            KF_SOMETIMES("erasure-of-a-person-passes-over");
            buf_clear(&passed);
            buf_str(&passed, e.key);
            rc = buf_ok(&passed, err);
        }
        if (rc != KF_OK)
            break;
        buf_clear(&key);
    }
    buf_release(&key);
    buf_release(&passed);
    return rc == KF_ABSENT ? KF_OK : rc;
}

/* *ret_again: there was nothing, and it is the receipt of an earlier erasure. */
static kf_rc erase_person(struct streams *streams, str attribute, str value, int64_t *receipt,
                          bool *ret_again, struct kf_err *err)
{
    char subject[HASH_HEX + 1];
    struct failing failing = {.keys = BUF_INIT};
    receipt_subject(attribute.p, value, STR("person"), subject);
    kf_rc rc = erase_each(streams, attribute, value, subject, receipt, &failing, err);
    if (rc == KF_OK && !*receipt && !failing.count) {
        rc = last_receipt(streams, subject, receipt, err);
        *ret_again = rc == KF_OK;
        if (rc == KF_ABSENT)
            rc = err_set(err, PROBLEM_NOT_FOUND, "no stream has \"%.100s\" of this value",
                         attribute.p);
    }
    if (rc == KF_OK && *receipt)
        rc = streams_erase_rest(streams, *receipt, err);
    if (failing.count && (rc == KF_OK || rc == KF_DAMAGED))
        rc = tell_failing(&failing, err);
    buf_release(&failing.keys);
    return rc;
}

kf_rc streams_erase_all(struct streams *streams, const char *attribute, const char *value,
                        struct kf_receipt *ret, struct kf_err *err)
{
    int64_t receipt = 0;
    bool again = false;
    if (!attribute || !*attribute || !value)
        return err_set(err, PROBLEM_MISUSE, "kf_erase needs an attribute and its value");
    if (atomic_load(&streams->hydrating))
        return err_set(
            err, PROBLEM_NOT_HYDRATED,
            "the store is still being filled from its remotes, and not everything of this "
            "person may have come in: try again when `keepfast status` says open");
    kf_rc rc = erase_person(streams, str_of(attribute), str_of(value), &receipt, &again, err);
    return rc == KF_OK ? receipt_give(streams, receipt, again, ret, err) : rc;
}
