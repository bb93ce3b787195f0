/* What others know of a stream, joined with what is here (stream.h says to what).
 *
 * An entry is known by (site, stamp), over which there is an index.
 *
 * What others have erased of a stream that goes on is erased in parts, each a group: an erasure up
 * to a stamp is one up to any earlier stamp, and then one from there, and each of them is true by
 * itself. So nothing has to be hidden until it is removed.
 *
 * Twins are rows of kf_entry whose stream is the negative of their stream's id and whose number is
 * that of the store. They are counted nowhere. */
#include "shape/stream_internal.h"

#include "store/clock.h"

struct seen_site {
    char site[STREAM_SITE_LEN + 1];
    int64_t erased, trimmed; /* 0 = nothing */
};

/* Entries that the erasures of one group remove. */
#define ERASE_PART 1000

struct erasures {
    struct erased_row *items;
    size_t count, cap;
};

struct stream_take {
    struct group *g;
    struct streams *streams;
    const struct config_stream *line;
    uint64_t hash;
    struct arena arena;
    str key;
    struct stream_state *before;
    struct stream_draft d;
    struct buf attrs;
    struct erasures wanted;          /* what was taken of them */
    struct seen_site site;           /* of the last entry */
    int64_t seq;                     /* of what the journal says; 0 = not taken yet */
    bool entries, members, erasures; /* changed */
    bool hidden;                     /* an entry that was shown is a twin now */
};

/* ------------------------------------------------------------------------------------ the frame */

kf_rc stream_take_begin(struct group *g, struct streams *streams, str key,
                        struct stream_take **ret_take, struct kf_err *err)
{
    kf_rc rc = name_check_own(key, err);
    if (rc != KF_OK)
        return rc;
    struct stream_take *t = mem_calloc(1, sizeof *t);
    if (!t)
        return err_nomem(err);
    t->g = g;
    t->streams = streams;
    t->line = config_stream(streams->space, key);
    t->key = arena_str(&t->arena, key);
    t->hash = memory_hash(&streams->memory, key);
    rc = t->key.p ? stage_get(streams, g, t->key, t->hash, &t->before, err) : err_nomem(err);
    if (rc != KF_OK) {
        t->before = NULL;
        stream_take_drop(t);
        return rc;
    }
    state_keep(t->before);
    rc = draft_begin(&t->d, t->before, err);
    if (rc == KF_OK)
        *ret_take = t;
    else
        stream_take_drop(t);
    return rc;
}

void stream_take_drop(struct stream_take *t)
{
    if (!t)
        return;
    draft_release(&t->d);
    state_drop(t->before);
    buf_release(&t->attrs);
    arena_release(&t->arena);
    mem_free(t);
}

static int64_t take_seq(struct stream_take *t)
{
    if (!t->seq)
        t->seq = group_seq(t->g);
    return t->seq;
}

static void be_there(struct stream_take *t)
{
    if (!t->d.head.there)
        draft_be_born(&t->d, t->g, 0);
}

static kf_rc not_possible(struct kf_err *err, const char *what)
{
    return err_set(err, PROBLEM_BAD_ARCHIVE, "the %s of an entry is not possible", what);
}

/* --------------------------------------------------------------------------------- what is gone */

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

static kf_rc erased_of(struct stream_take *t, str site, int64_t *ret, struct kf_err *err)
{
    kf_rc rc = erased_stamp(group_db(t->g), t->key, site, ret, err);
    for (size_t i = 0; rc == KF_OK && i < t->wanted.count; i++)
        if (str_eq(t->wanted.items[i].site, site) && t->wanted.items[i].stamp > *ret)
            *ret = t->wanted.items[i].stamp;
    return rc;
}

/* Into t->site. */
static kf_rc look_at_site(struct stream_take *t, str site, struct kf_err *err)
{
    if (str_is(site, t->site.site))
        return KF_OK;
    struct seen_site seen = {.erased = 0};
    memcpy(seen.site, site.p, STREAM_SITE_LEN);
    kf_rc rc = erased_of(t, site, &seen.erased, err);
    if (rc == KF_OK)
        rc = trimmed_of(t, site, &seen.trimmed, err);
    if (rc == KF_OK)
        t->site = seen;
    return rc;
}

/* --------------------------------------------------------------------------- whether it is here */

/* *ret_seq stays 0: it is not. Whether it was appended here makes no difference: this store may
 * have another site by now than the one under which it did. */
static kf_rc is_here(struct stream_take *t, const struct entry_import *e, int64_t *ret_seq,
                     struct kf_err *err)
{
    static const char sql[] = "SELECT seq FROM kf_entry WHERE stream IN ($1, $2) AND site = $3 AND "
                              "stamp = $4 LIMIT 1";
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
    return rc;
}

/* -------------------------------------------------------------------------------------- entries */

static bool kind_possible(str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
              s.p[i] == '_' || s.p[i] == '.' || s.p[i] == '-'))
            return false;
    return s.len <= STREAM_KIND_MAX;
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
    if (!kind_possible(e->kind) || !kind_fits(&t->d, e->kind))
        return not_possible(err, "kind");
    kf_rc rc = json_check(e->body, NULL, NULL, err);
    if (rc == KF_OK && e->attach.p)
        rc = json_check(e->attach, NULL, NULL, err);
    return rc;
}

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
    static const char sql[] = "UPDATE kf_entry SET stream = $1, n = $2, taken = 1 WHERE seq = $3";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_i64(s, 2, (int64_t)n);
    db_bind_i64(s, 3, seq);
    return db_run(s, err);
}

static kf_rc set_once(struct db *db, int64_t stream, str id, uint64_t n, const char *asked,
                      struct kf_err *err)
{
    static const char sql[] =
        "UPDATE kf_entry_once SET n = $1, hash = $2 WHERE stream = $3 AND id = $4";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, (int64_t)n);
    db_bind_text(s, 2, str_of(asked));
    db_bind_i64(s, 3, stream);
    db_bind_text(s, 4, id);
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
    kf_rc rc = once_insert(db, t->d.head.id, e->id, n, str_of(asked), group_now_ms(t->g), &is_new,
                           err);
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
    return rc == KF_OK ? set_once(db, t->d.head.id, e->id, n, asked, err) : rc;
}

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
    be_there(t);
    t->entries = true;
    return insert(t, e, ret, ret_seq, err);
}

/* -------------------------------------------------------------------------------------- members */

struct found_member {
    struct member_row row;
    bool there;
};

static kf_rc find_member(struct stream_take *t, str name, struct found_member *ret,
                         struct kf_err *err)
{
    static const char sql[] =
        "SELECT stamp, site, value FROM kf_stream_member WHERE key = $1 AND name = $2";
    struct db_stmt *s;
    kf_rc rc = db_use(group_db(t->g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, t->key);
    db_bind_text(s, 2, name);
    rc = db_step(s, &ret->there, err);
    if (rc == KF_OK && ret->there) {
        ret->row.stamp = db_i64(s, 0);
        ret->row.site = arena_str(&t->arena, db_text(s, 1));
        if (!db_null(s, 2) && !(ret->row.value = arena_str(&t->arena, db_text(s, 2))).p)
            rc = err_nomem(err);
        if (!ret->row.site.p)
            rc = err_nomem(err);
    }
    db_done(s);
    return rc;
}

static int compare_members(const struct member_row *a, const struct member_row *b)
{
    if (a->stamp != b->stamp)
        return a->stamp < b->stamp ? -1 : 1;
    int site = str_cmp(a->site, b->site);
    if (site)
        return site;
    if (!a->value.p || !b->value.p)
        return (a->value.p != NULL) - (b->value.p != NULL);
    return str_cmp(a->value, b->value);
}

kf_rc stream_take_member(struct stream_take *t, const struct member_row *m, enum stream_taken *ret,
                         struct kf_err *err)
{
    /* within the object that the members make it stands one level deeper */
    const struct json_limits limits = {.depth_max = JSON_DEPTH_MAX - 1};
    struct found_member found = {.there = false};
    if (str_index(m->name, '\0') < m->name.len)
        return err_set(err, PROBLEM_BAD_ARCHIVE, "the name of an attribute has a NUL byte");
    if (!str_is_hex(m->site, STREAM_SITE_LEN) || m->stamp <= 0 || m->stamp > CLOCK_STAMP_MAX)
        return err_set(err, PROBLEM_BAD_ARCHIVE,
                       "the site or stamp of an attribute is not possible");
    kf_rc rc = m->value.p ? json_check(m->value, &limits, NULL, err) : KF_OK;
    if (rc == KF_OK)
        rc = find_member(t, m->name, &found, err);
    if (rc != KF_OK)
        return rc;
    int order = found.there ? compare_members(m, &found.row) : 1;
    *ret = order > 0 ? STREAM_TAKEN : order < 0 ? STREAM_LOST : STREAM_SAME;
    if (order <= 0)
        return KF_OK;
    t->members = true;
    return member_put(group_db(t->g), t->key, m, err);
}

/* ------------------------------------------------------------------------------------- erasures */

static kf_rc want_erasure(struct stream_take *t, const struct erased_row *e, struct kf_err *err)
{
    struct erasures *l = &t->wanted;
    if (l->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        struct erased_row *p = arena_alloc(&t->arena, cap * sizeof *p);
        if (!p)
            return err_nomem(err);
        if (l->count)
            memcpy(p, l->items, l->count * sizeof *p);
        l->items = p;
        l->cap = cap;
    }
    l->items[l->count] = *e;
    l->items[l->count].site = arena_str(&t->arena, e->site);
    return l->items[l->count++].site.p ? KF_OK : err_nomem(err);
}

kf_rc stream_take_erasure(struct stream_take *t, const struct erased_row *e, enum stream_taken *ret,
                          struct kf_err *err)
{
    int64_t had = 0;
    if (!str_is_hex(e->site, STREAM_SITE_LEN) || e->stamp <= 0 || e->stamp > CLOCK_STAMP_MAX)
        return err_set(err, PROBLEM_BAD_ARCHIVE, "the site or stamp of an erasure is not possible");
    kf_rc rc = erased_of(t, e->site, &had, err);
    *ret = had >= e->stamp ? STREAM_SAME : STREAM_TAKEN;
    if (rc != KF_OK || had >= e->stamp)
        return rc;
    t->erasures = true;
    t->site.site[0] = '\0';
    return want_erasure(t, e, err);
}

struct left {
    struct stream_take *t;
    bool any;
};

static kf_rc is_left(void *ctx, const struct site_row *row, struct kf_err *err)
{
    struct left *left = ctx;
    int64_t erased = 0;
    kf_rc rc = erased_of(left->t, str_of(row->site), &erased, err);
    left->any = left->any || row->stamp > erased;
    return rc;
}

/* Whether the stream has, or has had and trimmed, an entry that no erasure covers. */
static kf_rc any_left(struct stream_take *t, bool *ret, struct kf_err *err)
{
    struct left left = {.t = t};
    struct db *db = group_db(t->g);
    kf_rc rc = entries_sites(db, t->d.head.id, is_left, &left, err);
    if (rc == KF_OK && !left.any)
        rc = entries_sites(db, -t->d.head.id, is_left, &left, err);
    if (rc == KF_OK && !left.any)
        rc = trimmed_sites(db, t->d.head.id, is_left, &left, err);
    *ret = left.any;
    return rc;
}

/* The earliest twin with this id is shown, or the id is free. */
static kf_rc show_twin(struct stream_take *t, str id, struct kf_err *err)
{
    static const char find[] = "SELECT seq, at, kind, body, hash, attach FROM kf_entry WHERE "
                               "stream = $1 AND id = $2 ORDER BY stamp, site LIMIT 1";
    static const char forget[] = "DELETE FROM kf_entry_once WHERE stream = $1 AND id = $2";
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
            rc = set_once(db, stream, id, n, asked, err);
        return rc == KF_OK ? show(t, kind, body, n, at_ms, err) : rc;
    }
    if (rc == KF_OK && (rc = db_use(db, forget, &s, err)) == KF_OK) {
        db_bind_i64(s, 1, stream);
        db_bind_text(s, 2, id);
        rc = db_run(s, err);
    }
    return rc;
}

static kf_rc remove_shown(struct stream_take *t, struct entries_going *going, struct kf_err *err)
{
    kf_rc rc = entries_unindex(group_db(t->g), going, err);
    if (rc == KF_OK)
        rc = entries_remove(t->streams, t->g, &t->d, going, err);
    for (size_t i = 0; rc == KF_OK && i < going->count; i++) {
        bool gone;
        if (going->items[i].id.len)
            rc = show_twin(t, going->items[i].id, err);
        if (rc == KF_OK && going->items[i].attach.len)
            rc = attachment_delete(group_db(t->g), going->items[i].attach, &gone, err);
    }
    return rc;
}

static kf_rc remove_of_site(struct stream_take *t, const struct erased_row *e, struct kf_err *err)
{
    struct entries_going going = {.arena = ARENA_INIT};
    struct db *db = group_db(t->g);
    kf_rc rc;
    do { /* twins first, so that none is shown that is to go */
        going.count = 0;
        arena_clear(&going.arena);
        rc = entries_erased(db, -t->d.head.id, e->site, e->stamp, &going, err);
        if (rc == KF_OK)
            rc = entries_unindex(db, &going, err);
        for (size_t i = 0; rc == KF_OK && i < going.count; i++)
            rc = entry_delete(db, going.items[i].seq, err);
        for (size_t i = 0; rc == KF_OK && i < going.count; i++) {
            bool gone;
            if (going.items[i].attach.len)
                rc = attachment_delete(db, going.items[i].attach, &gone, err);
        }
    } while (rc == KF_OK && going.count);
    arena_release(&going.arena);
    return rc;
}

static kf_rc remove_shown_of_site(struct stream_take *t, const struct erased_row *e,
                                  struct kf_err *err)
{
    struct entries_going going = {.arena = ARENA_INIT};
    kf_rc rc;
    do {
        going.count = 0;
        arena_clear(&going.arena);
        rc = entries_erased(group_db(t->g), t->d.head.id, e->site, e->stamp, &going, err);
        if (rc == KF_OK)
            rc = remove_shown(t, &going, err);
    } while (rc == KF_OK && going.count);
    arena_release(&going.arena);
    return rc;
}

static kf_rc put_erasures(struct stream_take *t, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < t->wanted.count; i++)
        rc = erased_put(group_db(t->g), t->key, &t->wanted.items[i], take_seq(t), err);
    return rc;
}

/* Makes of the erasures what this group does of them. */
static kf_rc cut_erasures(struct stream_take *t, bool *ret_more, struct kf_err *err)
{
    struct erasures *l = &t->wanted;
    size_t room = ERASE_PART, to = 0;
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < l->count && room; i++) {
        struct erased_row e = l->items[i];
        int64_t stamp = 0;
        size_t count = 0;
        rc = erasure_part(group_db(t->g), t->d.head.id, e.site, e.stamp, room, &stamp, &count, err);
        *ret_more = stamp < e.stamp || (count >= room && i + 1 < l->count);
        room = *ret_more || count >= room ? 0 : room - count;
        e.stamp = stamp;
        l->items[to++] = e;
    }
    l->count = to;
    return rc;
}

static kf_rc erase_part(struct stream_take *t, bool *ret_more, struct kf_err *err)
{
    kf_rc rc = cut_erasures(t, ret_more, err);
    if (rc == KF_OK)
        rc = put_erasures(t, err);
    for (size_t i = 0; rc == KF_OK && i < t->wanted.count; i++)
        rc = remove_of_site(t, &t->wanted.items[i], err);
    for (size_t i = 0; rc == KF_OK && i < t->wanted.count; i++)
        rc = remove_shown_of_site(t, &t->wanted.items[i], err);
    if (*ret_more)
        KF_SOMETIMES("stream-erased-in-slices");
    return rc;
}

/* -------------------------------------------------------------------------------------- the end */

/* Nothing of the key is here any more, or still not. */
static kf_rc end_bare(struct stream_take *t, struct kf_err *err)
{
    const struct stream_head *head = &t->before->head;
    struct stream_draft d = {
        .key = t->key, .rings = STR(""), .attrs = STR(""), .head = {.erased_seq = take_seq(t)}};
    struct stream_state *bare = NULL;
    struct db *db = group_db(t->g);
    kf_rc rc = erased_mark(db, t->key, t->seq, err);
    if (rc == KF_OK)
        rc = group_journal(t->g, t->seq, head->there ? head->seq : head->erased_seq, STREAM_TABLE,
                           t->key, group_stamp(t->g), str_of(group_site(t->g)), err);
    if (rc == KF_OK && head->there)
        return stream_end(t->streams, t->g, t->hash, t->before, t->seq, 0, err);
    if (rc == KF_OK)
        rc = draft_end(&d, &bare, err);
    if (rc == KF_OK)
        rc = stage_put(t->streams, t->g, t->hash, bare, err);
    state_drop(bare);
    return rc;
}

static kf_rc end_there(struct stream_take *t, struct kf_err *err)
{
    struct stream_state *after = NULL;
    struct stream_draft *d = &t->d;
    bool born = !t->before->head.there;
    kf_rc rc = KF_OK;
    be_there(t);
    if (t->members) {
        d->attrs = buf_view(&t->attrs);
        rc = attrs_index(group_db(t->g), t->key, d->head.id,
                         born ? STR("{}") : state_attrs(t->before), d->attrs, err);
    }
    if ((t->members || t->erasures) && !born)
        d->head.seq = take_seq(t);
    d->attrs_changed = t->members || t->erasures;
    if (rc == KF_OK)
        rc = stream_write_state(t->streams, t->g, t->hash, t->before, d, &after, err);
    state_drop(after);
    return rc;
}

/* Whether nothing is left of the key, or nothing has come of it but what says so. What `keep` has
 * emptied is no such stream: it has its numbers, ids and what it knows of trimmed entries. */
static kf_rc is_bare(struct stream_take *t, bool *ret, struct kf_err *err)
{
    bool left = true;
    kf_rc rc = members_object(group_db(t->g), t->key, &t->attrs, err);
    *ret = false;
    if (rc != KF_OK || t->attrs.len > 2)
        return rc;
    if (!t->d.head.there)
        left = false;
    else if (t->erasures && t->before->head.there)
        rc = any_left(t, &left, err);
    *ret = !left;
    return rc;
}

static kf_rc take_end(struct stream_take *t, bool *ret_more, struct kf_err *err)
{
    bool bare = false;
    kf_rc rc = t->members || t->erasures ? is_bare(t, &bare, err) : KF_OK;
    if (rc == KF_OK && (bare || !t->d.head.there))
        rc = put_erasures(t, err);
    if (rc == KF_OK && bare)
        return end_bare(t, err);
    if (rc == KF_OK && t->erasures && t->d.head.there) {
        KF_SOMETIMES("stream-erased-in-part");
        rc = erase_part(t, ret_more, err);
    }
    if (rc == KF_OK && t->hidden)
        rc = stream_row_times(group_db(t->g), t->d.head.id, &t->d.head.first_at, &t->d.head.last_at,
                              err);
    return rc == KF_OK ? end_there(t, err) : rc;
}

kf_rc stream_take_end(struct stream_take *t, bool *ret_changed, bool *ret_more, struct kf_err *err)
{
    bool changed = t->entries || t->members || t->erasures, more = false;
    struct db *db = group_db(t->g);
    kf_rc rc = changed && t->erasures ? db_scrub(db, true, err) : KF_OK;
    if (rc == KF_OK && changed)
        rc = take_end(t, &more, err);
    if (t->erasures) {
        kf_rc off = db_scrub(db, false, rc == KF_OK ? err : NULL);
        rc = rc == KF_OK ? off : rc;
    }
    if (rc == KF_OK) {
        *ret_changed = changed;
        *ret_more = more;
    }
    stream_take_drop(t);
    return rc;
}
