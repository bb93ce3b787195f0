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
    str stream; /* of what it says */
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

/* Columns: n, stamp, site, id, kind, at, hash, body, attach, body of the attachment. */
static kf_rc add_row(struct digesting *d, struct db_stmt *s, struct hash_state *h,
                     struct kf_err *err)
{
    bool attached = !db_null(s, 8);
    str kind = db_text(s, 4);
    if (!doc_hash_fits(db_text(s, 7), db_text(s, 6)) ||
        (attached && !doc_hash_fits(db_text(s, 9), db_text(s, 8))))
        return stream_damaged(d->stream, (uint64_t)db_i64(s, 0), err);
    buf_clear(&d->text);
    buf_i64(&d->text, db_i64(s, 1));
    buf_byte(&d->text, ' ');
    buf_str(&d->text, db_text(s, 2));
    buf_byte(&d->text, ' ');
    kf_rc rc = add_text(d, db_text(s, 3), &d->text, err);
    buf_byte(&d->text, ' ');
    buf_str(&d->text, kind.len ? kind : STR("-"));
    buf_byte(&d->text, ' ');
    buf_i64(&d->text, db_i64(s, 5));
    buf_byte(&d->text, ' ');
    if (rc == KF_OK)
        rc = add_hash(d, db_text(s, 7), &d->text, err);
    buf_byte(&d->text, ' ');
    if (rc == KF_OK && attached)
        rc = add_hash(d, db_text(s, 9), &d->text, err);
    buf_c(&d->text, attached ? "\n" : "-\n");
    if (rc == KF_OK)
        rc = buf_ok(&d->text, err);
    if (rc == KF_OK)
        hash_add(h, buf_view(&d->text));
    return rc;
}

static kf_rc add_entry(struct digesting *d, int64_t seq, struct hash_state *h, struct kf_err *err)
{
    static const char sql[] =
        "SELECT e.n, e.stamp, e.site, e.id, e.kind, e.at, e.hash, e.body, e.attach, a.body FROM "
        "kf_entry e LEFT JOIN kf_attachment a ON a.hash = e.attach WHERE e.seq = $1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(d->db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, seq);
    rc = db_step(s, &row, err);
    if (rc == KF_OK)
        rc = row ? add_row(d, s, h, err) : stream_damaged(d->stream, 0, err);
    db_done(s);
    return rc;
}

/* The entries of one site, in the order of their stamps, some at a time: the index has them so, and
 * nothing has to be sorted, nor to stand in memory as a whole. Those of all sites are merged. */
struct source {
    struct source *next; /* while they are found */
    char site[STREAM_SITE_LEN + 1];
    int64_t stream, behind;
    size_t at, count;
    struct {
        int64_t stamp, seq;
    } rows[64];
};

struct sources {
    struct arena arena;
    struct source **heap; /* the earliest first */
    struct source *found;
    size_t count;
    int64_t stream; /* the one that is looked at */
};

static kf_rc add_source(void *ctx, const struct site_row *row, struct kf_err *err)
{
    struct sources *all = ctx;
    struct source *s = arena_alloc(&all->arena, sizeof *s);
    if (!s)
        return err_nomem(err);
    *s = (struct source){.next = all->found, .stream = all->stream, .behind = INT64_MIN};
    memcpy(s->site, row->site, sizeof s->site);
    all->found = s;
    all->count++;
    return KF_OK;
}

/* The next rows of a source: none, when it has no more. */
static kf_rc read_more(struct db *db, struct source *source, struct kf_err *err)
{
    static const char sql[] = "SELECT stamp, seq FROM kf_entry WHERE stream = $1 AND site = $2 AND "
                              "stamp > $3 ORDER BY stamp LIMIT $4";
    struct db_stmt *s;
    bool row = false;
    source->at = source->count = 0;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, source->stream);
    db_bind_text(s, 2, str_of(source->site));
    db_bind_i64(s, 3, source->behind);
    db_bind_i64(s, 4, sizeof source->rows / sizeof *source->rows);
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        source->behind = source->rows[source->count].stamp = db_i64(s, 0);
        source->rows[source->count++].seq = db_i64(s, 1);
    }
    db_done(s);
    return rc;
}

static bool is_before(const struct source *a, const struct source *b)
{
    int64_t x = a->rows[a->at].stamp, y = b->rows[b->at].stamp;
    return x < y || (x == y && strcmp(a->site, b->site) < 0);
}

static void sift(struct sources *all, size_t i)
{
    for (;;) {
        size_t child = 2 * i + 1, least = i;
        for (size_t k = child; k < child + 2 && k < all->count; k++)
            if (is_before(all->heap[k], all->heap[least]))
                least = k;
        if (least == i)
            return;
        struct source *s = all->heap[i];
        all->heap[i] = all->heap[least];
        all->heap[least] = s;
        i = least;
    }
}

static kf_rc find_sources(struct db *db, int64_t stream, struct sources *all, struct kf_err *err)
{
    all->stream = stream;
    kf_rc rc = entries_sites(db, stream, add_source, all, err);
    all->stream = -stream;
    if (rc == KF_OK)
        rc = entries_sites(db, -stream, add_source, all, err);
    if (rc == KF_OK &&
        !(all->heap = arena_alloc(&all->arena, (all->count + 1) * sizeof *all->heap)))
        rc = err_nomem(err);
    size_t n = 0;
    for (struct source *s = all->found; rc == KF_OK && s; s = s->next) {
        rc = read_more(db, s, err);
        if (rc == KF_OK && s->count)
            all->heap[n++] = s;
    }
    all->count = n;
    for (size_t i = n / 2; rc == KF_OK && i > 0; i--)
        sift(all, i - 1);
    return rc;
}

static kf_rc add_entries(struct digesting *d, int64_t stream, struct hash_state *h,
                         struct kf_err *err)
{
    struct sources all = {.arena = ARENA_INIT};
    kf_rc rc = find_sources(d->db, stream, &all, err);
    while (rc == KF_OK && all.count) {
        struct source *s = all.heap[0];
        rc = add_entry(d, s->rows[s->at++].seq, h, err);
        if (rc == KF_OK && s->at == s->count)
            rc = read_more(d->db, s, err);
        if (rc == KF_OK && !s->count)
            all.heap[0] = all.heap[--all.count];
        if (all.count)
            sift(&all, 0);
    }
    arena_release(&all.arena);
    return rc;
}

/* Of one without entries and attributes other stores do not know. */
static kf_rc says_nothing(struct digesting *d, const struct stream_row *row, bool *ret,
                          struct kf_err *err)
{
    kf_rc rc = KF_OK;
    *ret = row->count == 0;
    if (*ret) {
        buf_clear(&d->canonical);
        rc = json_canonical(row->attrs, &d->canonical, err);
        *ret = str_is(buf_view(&d->canonical), "{}");
    }
    return rc;
}

static kf_rc add_stream(void *ctx, const struct stream_row *row, struct kf_err *err)
{
    struct digesting *d = ctx;
    bool nothing = false;
    struct hash_state h;
    struct hash hash;
    char hex[HASH_HEX + 1];
    struct buf line = BUF_INIT;
    buf_clear(&d->key);
    buf_str(&d->key, row->key);
    d->stream = row->key;
    kf_rc rc = says_nothing(d, row, &nothing, err);
    if (rc != KF_OK || nothing)
        return rc == KF_OK ? buf_ok(&d->key, err) : rc;
    hash_begin(&h);
    rc = add_hash(d, row->attrs, &line, err);
    buf_byte(&line, '\n');
    if (rc == KF_OK)
        rc = buf_ok(&line, err);
    if (rc == KF_OK) {
        hash_add(&h, buf_view(&line));
        rc = add_entries(d, row->id, &h, err);
    }
    hash_end(&h, &hash);
    hash_hex(&hash, hex);
    buf_clear(&line);
    buf_c(&line, "stream ");
    if (rc == KF_OK)
        rc = add_text(d, row->key, &line, err);
    buf_printf(&line, " %s\n", hex);
    if (rc == KF_OK)
        rc = buf_ok(&line, err);
    if (rc == KF_OK)
        hash_add(d->out, buf_view(&line));
    buf_release(&line);
    return rc == KF_OK ? buf_ok(&d->key, err) : rc;
}

kf_rc stream_digest(struct db *db, struct hash_state *digest, struct kf_err *err)
{
    enum { PAGE = 256 };
    struct digesting d = {.db = db, .out = digest};
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
    buf_release(&d.key);
    buf_release(&d.canonical);
    buf_release(&d.text);
    return rc;
}
