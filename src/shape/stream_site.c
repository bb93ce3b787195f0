/* Entries of a stream by the sites that wrote them: what an erasure covers, and their order.
 *
 * A stream may have millions of entries, of a few sites. So nothing here walks over them to find
 * something out, and nothing sorts them: the index over (stream, site, stamp) gives one site after
 * the other, the largest stamp of each, and the entries of each in their order. */
#include "shape/stream_internal.h"

/* The first site behind `after`, and its largest stamp. KF_ABSENT without a sentence. */
static kf_rc next_site(struct db *db, int64_t stream, const char *after, struct site_row *ret,
                       struct kf_err *err)
{
    static const char sql[] =
        "SELECT e.site, (SELECT max(m.stamp) FROM kf_entry m WHERE m.stream = $1 AND m.site = "
        "e.site) FROM kf_entry e WHERE e.stream = $1 AND e.site > $2 ORDER BY e.site LIMIT 1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_text(s, 2, str_of(after));
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row && db_text(s, 0).len != STREAM_SITE_LEN)
        rc = err_set(err, PROBLEM_DAMAGED,
                     "the site of an entry is damaged; `keepfast verify` lists what is");
    if (rc == KF_OK && row) {
        memcpy(ret->site, db_text(s, 0).p, STREAM_SITE_LEN);
        ret->site[STREAM_SITE_LEN] = 0;
        ret->stamp = db_i64(s, 1);
    }
    db_done(s);
    return rc == KF_OK && !row ? KF_ABSENT : rc;
}

kf_rc entries_sites(struct db *db, int64_t stream, site_visit *visit, void *ctx, struct kf_err *err)
{
    struct site_row row = {.site = ""};
    kf_rc rc;
    while ((rc = next_site(db, stream, row.site, &row, err)) == KF_OK)
        if ((rc = visit(ctx, &row, err)) != KF_OK)
            return rc;
    return rc == KF_ABSENT ? KF_OK : rc;
}

static bool is_site(const char *site)
{
    return strlen(site) == STREAM_SITE_LEN && strspn(site, "0123456789abcdef") == STREAM_SITE_LEN;
}

struct whole {
    site_visit *visit;
    void *ctx;
};

static kf_rc visit_whole(void *ctx, const struct site_row *row, struct kf_err *err)
{
    const struct whole *w = ctx;
    return is_site(row->site) ? w->visit(w->ctx, row, err) : KF_OK;
}

kf_rc entries_sites_whole(struct db *db, int64_t stream, site_visit *visit, void *ctx,
                          struct kf_err *err)
{
    return entries_sites(db, stream, visit_whole, &(struct whole){visit, ctx}, err);
}

kf_rc trimmed_sites(struct db *db, int64_t stream, site_visit *visit, void *ctx, struct kf_err *err)
{
    static const char sql[] = "SELECT site, stamp FROM kf_trimmed WHERE stream = $1 AND site > $2 "
                              "ORDER BY site LIMIT 1";
    struct site_row at = {.site = ""};
    for (;;) {
        struct db_stmt *s;
        bool row = false;
        kf_rc rc = db_use(db, sql, &s, err);
        if (rc != KF_OK)
            return rc;
        db_bind_i64(s, 1, stream);
        db_bind_text(s, 2, str_of(at.site));
        rc = db_step(s, &row, err);
        bool good = rc == KF_OK && row && db_text(s, 0).len == STREAM_SITE_LEN;
        if (good) {
            memcpy(at.site, db_text(s, 0).p, STREAM_SITE_LEN);
            at.stamp = db_i64(s, 1);
        }
        db_done(s);
        if (!good || (rc = visit(ctx, &at, err)) != KF_OK)
            return rc;
    }
}

static kf_rc one_number(struct db *db, const char *sql, int64_t stream, str site, int64_t stamp,
                        size_t skip, bool *ret_row, int64_t *ret, struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_text(s, 2, site);
    db_bind_i64(s, 3, stamp);
    db_bind_i64(s, 4, (int64_t)skip);
    rc = db_step(s, ret_row, err);
    if (rc == KF_OK && *ret_row)
        *ret = db_i64(s, 0);
    db_done(s);
    return rc;
}

/* The first stamps of a site, at most `limit`, of one that is not negative. */
static kf_rc part_of(struct db *db, int64_t stream, str site, int64_t stamp, size_t limit,
                     int64_t *ret_stamp, size_t *ret_count, struct kf_err *err)
{
    static const char behind[] = "SELECT stamp FROM kf_entry WHERE stream = $1 AND site = $2 AND "
                                 "stamp <= $3 ORDER BY stamp LIMIT 1 OFFSET $4";
    static const char count[] =
        "SELECT count(*) FROM (SELECT 1 FROM kf_entry WHERE stream = $1 AND site = $2 AND stamp <= "
        "$3 LIMIT $4) x";
    int64_t first = 0, number = 0;
    bool more = false, row;
    kf_rc rc = one_number(db, behind, stream, site, stamp, limit, &more, &first, err);
    *ret_stamp = more ? first - 1 : stamp;
    if (rc == KF_OK)
        rc = one_number(db, count, stream, site, *ret_stamp, limit, &row, &number, err);
    *ret_count = (size_t)number;
    return rc;
}

kf_rc erasure_part(struct db *db, int64_t stream, str site, int64_t stamp, size_t limit,
                   int64_t *ret_stamp, size_t *ret_count, struct kf_err *err)
{
    size_t shown = 0, twins = 0;
    kf_rc rc = part_of(db, stream, site, stamp, limit, ret_stamp, &shown, err);
    if (rc == KF_OK)
        rc = part_of(db, -stream, site, *ret_stamp, limit, ret_stamp, &twins, err);
    *ret_count = shown + twins;
    return rc;
}

/* ---------------------------------------------------------------------------- in their order */

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

static kf_rc find_sources(struct db *db, int64_t stream, bool twins, struct sources *all,
                          struct kf_err *err)
{
    all->stream = stream;
    kf_rc rc = entries_sites(db, stream, add_source, all, err);
    all->stream = -stream;
    if (rc == KF_OK && twins)
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

kf_rc entries_by_stamp(struct db *db, int64_t stream, bool twins, seq_visit *visit, void *ctx,
                       struct kf_err *err)
{
    struct sources all = {.arena = ARENA_INIT};
    kf_rc rc = find_sources(db, stream, twins, &all, err);
    while (rc == KF_OK && all.count) {
        struct source *s = all.heap[0];
        rc = visit(ctx, s->rows[s->at++].seq, err);
        if (rc == KF_OK && s->at == s->count)
            rc = read_more(db, s, err);
        if (rc == KF_OK && !s->count)
            all.heap[0] = all.heap[--all.count];
        if (rc == KF_OK)
            sift(&all, 0);
    }
    arena_release(&all.arena);
    return rc;
}
