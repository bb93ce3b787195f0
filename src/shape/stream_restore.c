/* Streams in a store that is being built beside: rows as they come, in any order; what follows from
 * them (what is erased, who is shown of those with one id, statistics, rings, attributes) last.
 * All entries are of other sites: the store will be a new one.
 *
 * An archive that was written while entries changed their places (twins, stream.h) may have one
 * twice, in two parts and under two numbers: the first counts. */
#include "shape/stream_internal.h"

#include "store/clock.h"

#include <stdio.h>

static kf_rc put_journal(struct db *db, int64_t seq, str key, int64_t stamp, str site,
                         struct kf_err *err)
{
    static const char sql[] =
        "INSERT INTO kf_journal(seq, tbl, key, stamp, site) VALUES($1, '" STREAM_TABLE
        "', $2, $3, $4)";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, seq);
    db_bind_text(s, 2, key);
    db_bind_i64(s, 3, stamp);
    db_bind_text(s, 4, site);
    return db_run(s, err);
}

/* Its row, empty until the end. */
static kf_rc make_stream(struct db *db, str key, int64_t stamp, str site, int64_t *seq,
                         int64_t *ret, struct kf_err *err)
{
    struct stream_draft d = {.key = key, .rings = STR("{}"), .attrs = STR("{}")};
    struct stream_state *state = NULL;
    d.head = (struct stream_head){
        .id = ++*seq, .seq = *seq, .stamp = stamp, .born = stamp, .there = true};
    memcpy(d.head.site, site.p, site.len < STREAM_SITE_LEN ? site.len : STREAM_SITE_LEN);
    kf_rc rc = draft_end(&d, &state, err);
    if (rc == KF_OK)
        rc = stream_row_insert(db, state, err);
    if (rc == KF_OK)
        rc = put_journal(db, d.head.seq, key, stamp, site, err);
    state_drop(state);
    *ret = d.head.id;
    return rc;
}

/* Its id; the row is made when there is none. */
static kf_rc need_stream(struct db *db, str key, int64_t stamp, str site, int64_t *seq,
                         int64_t *ret, struct kf_err *err)
{
    uint64_t last_n;
    kf_rc rc = stream_find(db, key, ret, &last_n, err);
    return rc == KF_OK && !*ret ? make_stream(db, key, stamp, site, seq, ret, err) : rc;
}

/* Whether there is a row for two numbers and a text (.p == NULL: none), whose hash is appended. */
static kf_rc find_entry(struct db *db, const char *sql, int64_t stream, int64_t number,
                        const str *text, bool *ret, char hash[HASH_HEX + 1], struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_i64(s, 2, number);
    if (text)
        db_bind_text(s, 3, *text);
    rc = db_step(s, ret, err);
    if (rc == KF_OK && *ret)
        snprintf(hash, HASH_HEX + 1, "%.*s", STR_ARGS(db_text(s, 0)));
    db_done(s);
    return rc;
}

/* *ret_there: this entry is. KF_INVALID: another one is in its place. */
static kf_rc is_loaded(struct db *db, str key, int64_t stream, const struct entry_import *e,
                       const char *hash, bool *ret_there, struct kf_err *err)
{
    static const char same[] = "SELECT hash FROM kf_entry WHERE stream = $1 AND stamp = $2 AND "
                               "site = $3 AND behind IS NOT NULL LIMIT 1",
                      number[] = "SELECT hash FROM kf_entry WHERE stream = $1 AND n = $2";
    char found[HASH_HEX + 1];
    bool taken = false;
    kf_rc rc = find_entry(db, same, stream, e->stamp, &e->site, ret_there, found, err);
    if (rc == KF_OK && *ret_there)
        taken = strcmp(found, hash) != 0;
    else if (rc == KF_OK)
        rc = find_entry(db, number, stream, (int64_t)e->n, NULL, &taken, found, err);
    if (rc == KF_OK && taken)
        rc = err_set(err, PROBLEM_BAD_ARCHIVE,
                     "entry %llu of \"%.*s\" stands twice in the archive; nothing was changed",
                     (unsigned long long)e->n, STR_SHOWN(key));
    return rc;
}

kf_rc stream_load_entry(struct db *db, str key, const struct entry_import *e, int64_t *seq,
                        struct kf_err *err)
{
    char hash[HASH_HEX + 1], attach[HASH_HEX + 1] = "";
    int64_t stream = 0;
    bool there = false;
    hash_hex_of(e->body, hash);
    if (e->attach.p)
        hash_hex_of(e->attach, attach);
    kf_rc rc = need_stream(db, key, e->stamp, e->site, seq, &stream, err);
    if (rc == KF_OK)
        rc = is_loaded(db, key, stream, e, hash, &there, err);
    if (rc == KF_OK && !there && e->attach.p)
        rc = attachment_insert(db, str_of(attach), e->attach, err);
    if (rc != KF_OK || there)
        return rc;
    struct entry_record record = {
        .seq = ++*seq,
        .stream = stream,
        .n = e->n,
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
    return entry_insert(db, &record, err);
}

kf_rc stream_load_member(struct db *db, str key, const struct member_row *row, struct kf_err *err)
{
    kf_rc rc = member_check(row->name, err);
    return rc == KF_OK ? member_put(db, key, row, err) : rc;
}

kf_rc stream_load_erasure(struct db *db, str key, const struct erased_row *row, struct kf_err *err)
{
    return erased_put(db, key, row, 0, err);
}

#define NOBODY STR("0000000000000000")

kf_rc stream_load_last(struct db *db, str key, uint64_t n, int64_t *seq, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_stream SET last_n = $1 WHERE id = $2";
    struct db_stmt *s;
    int64_t stream = 0;
    kf_rc rc = need_stream(db, key, 1, NOBODY, seq, &stream, err);
    if (rc == KF_OK)
        rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, (int64_t)n);
    db_bind_i64(s, 2, stream);
    return db_run(s, err);
}

kf_rc stream_load_trim(struct db *db, str key, const struct erased_row *row, int64_t *seq,
                       struct kf_err *err)
{
    int64_t stream = 0;
    kf_rc rc = need_stream(db, key, 1, NOBODY, seq, &stream, err);
    return rc == KF_OK ? trimmed_put(db, stream, row->site, row->stamp, err) : rc;
}

kf_rc stream_load_id(struct db *db, str key, const struct once_row *row, int64_t *seq,
                     struct kf_err *err)
{
    int64_t stream = 0;
    bool is_new;
    kf_rc rc = need_stream(db, key, 1, NOBODY, seq, &stream, err);
    return rc == KF_OK
               ? once_insert(db, stream, row->id, row->n, row->asked, row->at_ms, &is_new, err)
               : rc;
}

/* -------------------------------------------------------------------------------------- the end */

enum { KEYS_PAGE = 256 };

static kf_rc hide(struct db *db, int64_t stream, int64_t seq, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_entry SET stream = $1, n = $2 WHERE seq = $2";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, -stream);
    db_bind_i64(s, 2, seq);
    return db_run(s, err);
}

struct settling {
    struct db *db;
    int64_t stream;
    struct arena arena;
};

struct loaded_id {
    int64_t stamp, at_ms;
    uint64_t n;
    str id;
    char asked[HASH_HEX + 1];
};

/* .id is empty when it has none. */
static kf_rc read_id(struct settling *l, int64_t seq, struct loaded_id *ret, struct kf_err *err)
{
    static const char sql[] =
        "SELECT stamp, n, id, kind, hash, attach, at FROM kf_entry WHERE seq = $1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(l->db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, seq);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row && db_text(s, 2).len) {
        const char *hash = arena_dup(&l->arena, db_text(s, 4)),
                   *attach = arena_dup(&l->arena, db_text(s, 5));
        *ret = (struct loaded_id){.stamp = db_i64(s, 0),
                                  .n = (uint64_t)db_i64(s, 1),
                                  .id = arena_str(&l->arena, db_text(s, 2)),
                                  .at_ms = db_i64(s, 6)};
        if (!hash || !attach || !ret->id.p)
            rc = err_nomem(err);
        else
            stream_asked_there(db_text(s, 3), ret->at_ms, hash, attach, ret->asked);
    }
    db_done(s);
    return rc;
}

static kf_rc settle_one(void *ctx, int64_t seq, struct kf_err *err)
{
    struct settling *l = ctx;
    struct loaded_id i = {.n = 0};
    bool is_new = true;
    arena_clear(&l->arena);
    kf_rc rc = read_id(l, seq, &i, err);
    if (rc == KF_OK && i.id.len)
        rc = once_insert(l->db, l->stream, i.id, i.n, str_of(i.asked), clock_stamp_ms(i.stamp),
                         &is_new, err);
    return rc == KF_OK && !is_new ? hide(l->db, l->stream, seq, err) : rc;
}

/* In the order in which the first of each id counts. */
static kf_rc settle_ids(struct db *db, int64_t stream, struct kf_err *err)
{
    struct settling l = {.db = db, .stream = stream, .arena = ARENA_INIT};
    kf_rc rc = entries_by_stamp(db, stream, false, settle_one, &l, err);
    arena_release(&l.arena);
    return rc;
}

static kf_rc drop_erased(struct db *db, str key, int64_t stream, struct kf_err *err)
{
    static const char sql[] =
        "DELETE FROM kf_entry WHERE stream = $1 AND EXISTS (SELECT 1 FROM kf_erased x WHERE "
        "x.key = $2 AND x.site = kf_entry.site AND x.stamp >= kf_entry.stamp)";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_text(s, 2, key);
    return db_run(s, err);
}

struct counting {
    struct stream_draft *d;
    const struct config_stream *line;
    struct arena arena;
};

static kf_rc count_entry(void *ctx, const struct entry_row *row, struct kf_err *err)
{
    struct counting *c = ctx;
    str kind = {0, 0}; /* the draft borrows it */
    for (size_t i = 0; i < c->d->kind_count && !kind.p; i++)
        if (str_eq(c->d->kinds[i].kind, row->kind))
            kind = c->d->kinds[i].kind;
    if (!kind.p && !(kind = arena_str(&c->arena, row->kind)).p)
        return err_nomem(err);
    kf_rc rc = draft_count(c->d, kind, row->size, row->at_ms, STREAM_KINDS_ALL, err);
    if (rc == KF_OK)
        rc = stream_add_rings_there(c->line, c->d, kind, row->n, row->at_ms, row->body, err);
    c->d->head.last_n = row->n > c->d->head.last_n ? row->n : c->d->head.last_n;
    c->d->head.rev = row->seq > c->d->head.rev ? row->seq : c->d->head.rev;
    return rc;
}

/* Statistics, rings and attributes of one stream; *ret_bare: it is none. */
static kf_rc settle_stream(struct db *db, struct streams *streams, str key, int64_t id,
                           bool *ret_bare, struct kf_err *err)
{
    struct stream_state *state = NULL, *after = NULL;
    struct buf attrs = BUF_INIT;
    struct stream_draft d;
    struct counting c = {.d = &d, .line = config_stream(streams ? streams->space : NULL, key)};
    size_t count;
    kf_rc rc = drop_erased(db, key, id, err);
    if (rc == KF_OK)
        rc = once_remove_beyond(db, id, err); /* of one that was erased behind them: it had none */
    if (rc == KF_OK)
        rc = settle_ids(db, id, err);
    if (rc == KF_OK)
        rc = stream_row_load(db, key, &state, err);
    if (rc != KF_OK)
        return rc;
    rc = draft_begin(&d, state, err);
    if (rc == KF_OK)
        rc = stream_entries_of(db, id, false, 0, (size_t)INT64_MAX, true, count_entry, &c, &count,
                               err);
    if (rc == KF_OK)
        rc = members_object(db, key, &attrs, err);
    d.attrs = buf_view(&attrs);
    if (d.head.rev < d.head.seq)
        d.head.rev = d.head.seq;
    *ret_bare = rc == KF_OK && d.head.last_n == 0 && attrs.len <= 2;
    if (rc == KF_OK && !*ret_bare)
        rc = draft_end(&d, &after, err);
    if (rc == KF_OK && after)
        rc = stream_row_count(db, after, true, err);
    if (rc == KF_OK && after)
        rc = stream_row_attrs(db, after, err);
    if (rc == KF_OK && after)
        rc = attrs_index(db, key, id, STR("{}"), d.attrs, err);
    draft_release(&d);
    arena_release(&c.arena);
    state_drop(state);
    state_drop(after);
    buf_release(&attrs);
    return rc;
}

/* A key that has attributes alone, or erasures, gets its row; or what the journal says of it. */
static kf_rc settle_key(struct db *db, struct streams *streams, str key, int64_t *seq,
                        struct kf_err *err)
{
    int64_t id = 0, stamp = 0;
    bool bare = true;
    kf_rc rc = members_stamp(db, key, &stamp, err);
    if (rc == KF_OK)
        rc = need_stream(db, key, stamp ? stamp : 1, NOBODY, seq, &id, err);
    if (rc == KF_OK)
        rc = settle_stream(db, streams, key, id, &bare, err);
    if (rc == KF_OK && bare)
        rc = stream_row_delete(db, id, err);
    return rc == KF_OK && bare ? erased_mark(db, key, id, err) : rc;
}

static kf_rc settle_all(struct db *db, struct streams *streams, int64_t *seq, struct kf_err *err)
{
    struct buf after = BUF_INIT, keys = BUF_INIT;
    size_t count = KEYS_PAGE;
    kf_rc rc = KF_OK;
    while (rc == KF_OK && count == KEYS_PAGE) {
        buf_clear(&keys);
        rc = stream_keys(db, buf_view(&after), KEYS_PAGE, &keys, &count, err);
        for (size_t at = 0; rc == KF_OK && at < keys.len; at += strlen(keys.p + at) + 1) {
            str key = str_of(keys.p + at);
            rc = settle_key(db, streams, key, seq, err);
            buf_clear(&after);
            buf_str(&after, key);
            if (rc == KF_OK)
                rc = buf_ok(&after, err);
        }
    }
    buf_release(&after);
    buf_release(&keys);
    return rc;
}

/* Those of entries that were erased. */
static kf_rc drop_loose(struct db *db, struct kf_err *err)
{
    static const char sql[] =
        "DELETE FROM kf_attachment WHERE NOT EXISTS (SELECT 1 FROM kf_entry e "
        "WHERE e.attach = kf_attachment.hash)";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    return rc == KF_OK ? db_run(s, err) : rc;
}

kf_rc stream_load_end(struct db *db, struct streams *streams, int64_t *seq, struct kf_err *err)
{
    kf_rc rc = db_scrub(db, true, err);
    if (rc == KF_OK)
        rc = settle_all(db, streams, seq, err);
    if (rc == KF_OK)
        rc = drop_loose(db, err);
    kf_rc off = db_scrub(db, false, rc == KF_OK ? err : NULL);
    return rc == KF_OK ? off : rc;
}

kf_rc stream_load_words(struct db *db, struct kf_err *err)
{
    struct stream_index index = {0};
    bool more = true;
    kf_rc rc = KF_OK;
    while (rc == KF_OK && more)
        rc = stream_index_batch(&index, db, &more, err);
    return rc;
}
