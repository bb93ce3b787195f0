/* What the streams add to a digest, as docs/formats.md defines it: a line for each that has entries
 * or attributes, in the order of keys as bytes,
 *
 *     stream blank CANONICAL-KEY blank HASH newline
 *
 * where the key is a canonical JSON string, and HASH is over lines in their turn: the first has the
 * hash of the canonical attributes, then comes one for each entry, twins too, in the order of
 * (stamp, site),
 *
 *     STAMP blank SITE blank CANONICAL-ID blank KIND blank AT blank BODY-HASH blank ATTACHMENT-HASH
 *
 * with `-` for no kind and no attachment. Hashes of values are those of their canonical forms.
 * Numbers are not part of it: they are a store's own. */
#include "shape/stream_internal.h"

struct digesting {
    struct db *db;
    struct hash_state *out;
    struct buf key, canonical, text;
    str stream;       /* of what it says */
    int64_t until;    /* entries with larger numbers do not count */
    uint64_t entries; /* of the stream that it is at */
};

/* BLAKE2b-256 of the canonical form, appended as hex digits. */
static kf_rc add_hash(struct digesting *d, str value, struct buf *line, struct kf_err *err)
{
    struct hash hash;
    char hex[HASH_HEX + 1];
    buf_clear(&d->canonical);
    kf_rc rc = json_canonical(value, &d->canonical, err);
    if (rc != KF_OK)
        return rc;
    hash_of(buf_view(&d->canonical), &hash);
    hash_hex(&hash, hex);
    buf_c(line, hex);
    return KF_OK;
}

/* A text as a canonical JSON string. */
static kf_rc add_text(struct digesting *d, str text, struct buf *line, struct kf_err *err)
{
    struct buf plain = BUF_INIT;
    buf_json_string(&plain, text);
    buf_clear(&d->canonical);
    kf_rc rc = buf_ok(&plain, err);
    if (rc == KF_OK)
        rc = json_canonical(buf_view(&plain), &d->canonical, err);
    if (rc == KF_OK)
        buf_str(line, buf_view(&d->canonical));
    buf_release(&plain);
    return rc;
}

static kf_rc add_row(struct digesting *d, struct db_stmt *s, struct hash_state *h,
                     struct kf_err *err)
{
    struct entry_row e;
    str attached = db_text(s, ENTRY_FACTS_COUNT + 1);
    entry_facts(s, &e);
    e.body = db_text(s, ENTRY_FACTS_COUNT);
    if (!entry_is_whole(&e) || (e.attached && !doc_hash_fits(attached, e.attach)))
        return stream_damaged(d->stream, e.n, err);
    buf_clear(&d->text);
    buf_i64(&d->text, e.stamp);
    buf_byte(&d->text, ' ');
    buf_str(&d->text, e.site);
    buf_byte(&d->text, ' ');
    kf_rc rc = add_text(d, e.id, &d->text, err);
    buf_byte(&d->text, ' ');
    buf_str(&d->text, e.kind.len ? e.kind : STR("-"));
    buf_byte(&d->text, ' ');
    buf_i64(&d->text, e.at_ms);
    buf_byte(&d->text, ' ');
    if (rc == KF_OK)
        rc = add_hash(d, e.body, &d->text, err);
    buf_byte(&d->text, ' ');
    if (rc == KF_OK && e.attached)
        rc = add_hash(d, attached, &d->text, err);
    buf_c(&d->text, e.attached ? "\n" : "-\n");
    if (rc == KF_OK)
        rc = buf_ok(&d->text, err);
    if (rc == KF_OK)
        hash_add(h, buf_view(&d->text));
    return rc;
}

struct entries_of {
    struct digesting *d;
    struct hash_state *h;
};

static kf_rc add_entry(void *ctx, int64_t seq, struct kf_err *err)
{
    const struct entries_of *of = ctx;
    struct digesting *d = of->d;
    static const char sql[] =
        "SELECT " ENTRY_FACTS("s.last_n") ", e.body, a.body FROM kf_entry e JOIN kf_stream s ON "
                                          "s.id = abs(e.stream) LEFT JOIN kf_attachment a ON "
                                          "a.hash = e.attach WHERE e.seq = $1";
    struct db_stmt *s;
    bool row = false;
    if (seq > d->until)
        return KF_OK;
    d->entries++;
    kf_rc rc = db_use(d->db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, seq);
    rc = db_step(s, &row, err);
    if (rc == KF_OK)
        rc = row ? add_row(d, s, of->h, err) : stream_damaged(d->stream, 0, err);
    db_done(s);
    return rc;
}

/* What the line of a stream is the hash of. */
static kf_rc hash_stream(struct digesting *d, int64_t id, str attrs, struct hash *ret,
                         bool *ret_nothing, struct kf_err *err)
{
    struct buf line = BUF_INIT;
    struct hash_state h;
    d->entries = 0;
    hash_begin(&h);
    kf_rc rc = add_hash(d, attrs, &line, err);
    *ret_nothing = str_is(buf_view(&d->canonical), "{}");
    buf_byte(&line, '\n');
    if (rc == KF_OK)
        rc = buf_ok(&line, err);
    if (rc == KF_OK) {
        hash_add(&h, buf_view(&line));
        rc = entries_by_stamp(d->db, id, true, add_entry, &(struct entries_of){d, &h}, err);
    }
    hash_end(&h, ret);
    *ret_nothing = *ret_nothing && d->entries == 0;
    buf_release(&line);
    return rc;
}

/* Appended to `out`; nothing for one without entries and attributes, which other stores do not
 * know. */
static kf_rc put_line(struct digesting *d, str key, int64_t id, str attrs, struct buf *out,
                      struct kf_err *err)
{
    struct hash hash;
    char hex[HASH_HEX + 1];
    bool nothing = false;
    d->stream = key;
    kf_rc rc = hash_stream(d, id, attrs, &hash, &nothing, err);
    if (rc != KF_OK || nothing)
        return rc;
    hash_hex(&hash, hex);
    buf_c(out, "stream ");
    rc = add_text(d, key, out, err);
    buf_printf(out, " %s\n", hex);
    return rc == KF_OK ? buf_ok(out, err) : rc;
}

static kf_rc add_stream(void *ctx, const struct stream_row *row, struct kf_err *err)
{
    struct digesting *d = ctx;
    struct buf line = BUF_INIT;
    buf_clear(&d->key);
    buf_str(&d->key, row->key);
    kf_rc rc = put_line(d, row->key, row->id, row->attrs, &line, err);
    if (rc == KF_OK)
        hash_add(d->out, buf_view(&line));
    buf_release(&line);
    return rc == KF_OK ? buf_ok(&d->key, err) : rc;
}

static void digesting_release(struct digesting *d)
{
    buf_release(&d->key);
    buf_release(&d->canonical);
    buf_release(&d->text);
}

kf_rc stream_digest(struct db *db, struct hash_state *digest, struct kf_err *err)
{
    enum { PAGE = 256 };
    struct digesting d = {.db = db, .out = digest, .until = INT64_MAX};
    struct buf after = BUF_INIT;
    size_t count = PAGE;
    kf_rc rc = KF_OK;
    while (rc == KF_OK && count == PAGE) {
        buf_clear(&after);
        buf_str(&after, buf_view(&d.key));
        rc = buf_ok(&after, err);
        if (rc == KF_OK)
            rc = stream_heads(db, buf_view(&after), PAGE, add_stream, &d, &count, err);
    }
    buf_release(&after);
    digesting_release(&d);
    return rc;
}

/* *ret_id 0: there is none that came into being up to number `until`. */
static kf_rc find_attrs(struct db *db, str key, int64_t until, int64_t *ret_id, struct buf *attrs,
                        struct kf_err *err)
{
    static const char sql[] = "SELECT id, attrs FROM kf_stream WHERE key = $1 AND id <= $2";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, key);
    db_bind_i64(s, 2, until);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row) {
        *ret_id = db_i64(s, 0);
        buf_str(attrs, db_text(s, 1));
        rc = buf_ok(attrs, err);
    }
    db_done(s);
    return rc;
}

kf_rc stream_digest_line(struct db *db, str key, int64_t until, struct buf *out, struct kf_err *err)
{
    struct digesting d = {.db = db, .until = until};
    struct buf attrs = BUF_INIT;
    int64_t id = 0;
    kf_rc rc = find_attrs(db, key, until, &id, &attrs, err);
    if (rc == KF_OK && id)
        rc = put_line(&d, key, id, buf_view(&attrs), out, err);
    buf_release(&attrs);
    digesting_release(&d);
    return rc;
}
