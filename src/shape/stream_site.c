/* Entries of a stream by the sites that wrote them: what an erasure covers, and their order.
 *
 * A stream may have millions of entries, of a few sites. So nothing here walks over them to find
 * something out, and nothing sorts them. Of those from elsewhere the index over (stream, site,
 * stamp) gives one site after the other, the largest stamp of each, and the entries of each in
 * their order. Those that were appended here are in their order by number (stream_order.c), and
 * nearly always of one site (stream_own.c). */
#include "shape/stream_internal.h"

/* ------------------------------------------------------------------------------------- sites */

/* A site of some others, as it stands there. */
struct place {
    struct buf site;
    bool
        behind; /* it is behind the one before it: else it is damaged, and so are all that follow */
};

/* A row of (site, stamp): the first behind *at, which it becomes. KF_ABSENT without a sentence. */
static kf_rc next_site(struct db *db, const char *sql, int64_t stream, struct place *at,
                       struct site_row *ret, struct kf_err *err)
{
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_text(s, 2, buf_view(&at->site));
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row) {
        str site = db_text(s, 0);
        *ret = (struct site_row){.stamp = db_i64(s, 1)};
        at->behind = str_cmp(site, buf_view(&at->site)) > 0;
        if (at->behind && site.len == STREAM_SITE_LEN)
            memcpy(ret->site, site.p, STREAM_SITE_LEN);
        buf_clear(&at->site);
        buf_str(&at->site, site);
        rc = buf_ok(&at->site, err);
    }
    db_done(s);
    return rc == KF_OK && !row ? KF_ABSENT : rc;
}

static kf_rc each_site(struct db *db, const char *sql, int64_t stream, site_visit *visit, void *ctx,
                       struct kf_err *err)
{
    struct place at = {.site = BUF_INIT, .behind = true};
    struct site_row row;
    kf_rc rc = KF_OK;
    while (rc == KF_OK && at.behind) {
        rc = next_site(db, sql, stream, &at, &row, err);
        if (rc == KF_ABSENT) {
            rc = KF_OK;
            break;
        }
        if (rc == KF_OK)
            rc = visit(ctx, &row, err);
    }
    buf_release(&at.site);
    return rc;
}

/* Of those from elsewhere, each with its largest stamp. */
static kf_rc taken_sites(struct db *db, int64_t stream, site_visit *visit, void *ctx,
                         struct kf_err *err)
{
    static const char sql[] =
        "SELECT e.site, (SELECT max(m.stamp) FROM kf_entry m WHERE m.stream = $1 AND m.site = "
        "e.site AND m.behind IS NOT NULL) FROM kf_entry e WHERE e.stream = $1 AND e.site > $2 AND "
        "e.behind IS NOT NULL ORDER BY e.site LIMIT 1";
    return each_site(db, sql, stream, visit, ctx, err);
}

struct visiting {
    site_visit *visit;
    void *ctx;
};

static kf_rc visit_own(void *ctx, const struct own_run *run, struct kf_err *err)
{
    const struct visiting *v = ctx;
    struct site_row row = {.stamp = run->stamp};
    memcpy(row.site, run->site, sizeof row.site);
    return v->visit(v->ctx, &row, err);
}

static kf_rc own_sites(struct db *db, int64_t stream, site_visit *visit, void *ctx,
                       struct kf_err *err)
{
    return own_runs(db, stream, visit_own, &(struct visiting){visit, ctx}, err);
}

kf_rc entries_sites(struct db *db, int64_t stream, site_visit *visit, void *ctx, struct kf_err *err)
{
    kf_rc rc = taken_sites(db, stream, visit, ctx, err);
    return rc == KF_OK ? own_sites(db, stream, visit, ctx, err) : rc;
}

static kf_rc visit_whole(void *ctx, const struct site_row *row, struct kf_err *err)
{
    const struct visiting *v = ctx;
    return str_is_hex(str_of(row->site), STREAM_SITE_LEN) ? v->visit(v->ctx, row, err) : KF_OK;
}

kf_rc entries_sites_whole(struct db *db, int64_t stream, site_visit *visit, void *ctx,
                          struct kf_err *err)
{
    return entries_sites(db, stream, visit_whole, &(struct visiting){visit, ctx}, err);
}

kf_rc trimmed_sites(struct db *db, int64_t stream, site_visit *visit, void *ctx, struct kf_err *err)
{
    static const char sql[] = "SELECT site, stamp FROM kf_trimmed WHERE stream = $1 AND site > $2 "
                              "ORDER BY site LIMIT 1";
    return each_site(db, sql, stream, visit_whole, &(struct visiting){visit, ctx}, err);
}

/* --------------------------------------------------------------------------- parts of erasures */

/* What one side has of a site: those from elsewhere by stamp, those of here by number. */
struct part {
    const char *behind, *count;
    int64_t stream, from, to; /* from < stamp or number <= to */
    int64_t stamp;            /* the largest of those that count */
    str site;
};

static kf_rc one_number(struct db *db, const char *sql, const struct part *p, size_t limit,
                        bool *ret_row, int64_t *ret, struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, p->stream);
    db_bind_text(s, 2, p->site);
    db_bind_i64(s, 3, p->from);
    db_bind_i64(s, 4, p->to);
    db_bind_i64(s, 5, p->stamp);
    db_bind_i64(s, 6, (int64_t)limit);
    rc = db_step(s, ret_row, err);
    if (rc == KF_OK && *ret_row)
        *ret = db_i64(s, 0);
    db_done(s);
    return rc;
}

/* *ret_stamp becomes less when it has more than `limit`. */
static kf_rc part_of(struct db *db, const struct part *p, size_t limit, int64_t *ret_stamp,
                     size_t *add_count, struct kf_err *err)
{
    int64_t first = 0, number = 0;
    bool more = false, row;
    kf_rc rc = one_number(db, p->behind, p, limit, &more, &first, err);
    if (rc == KF_OK)
        rc = one_number(db, p->count, p, limit, &row, &number, err);
    if (rc == KF_OK && more && first - 1 < *ret_stamp)
        *ret_stamp = first - 1;
    *add_count += (size_t)number;
    return rc;
}

static kf_rc part_taken(struct db *db, int64_t stream, str site, size_t limit, int64_t *ret_stamp,
                        size_t *add_count, struct kf_err *err)
{
#define TAKEN                                                                           \
    "FROM kf_entry WHERE stream = $1 AND site = $2 AND stamp > $3 AND stamp <= $4 AND " \
    "+stamp <= $5 AND behind IS NOT NULL "
    static const char behind[] = "SELECT stamp " TAKEN "ORDER BY stamp LIMIT 1 OFFSET $6",
                      count[] = "SELECT count(*) FROM (SELECT 1 " TAKEN "LIMIT $6) x";
    struct part p = {behind, count, stream, INT64_MIN, *ret_stamp, *ret_stamp, site};
    return part_of(db, &p, limit, ret_stamp, add_count, err);
}

static kf_rc part_own(struct db *db, int64_t stream, str site, size_t limit, int64_t *ret_stamp,
                      size_t *add_count, struct kf_err *err)
{
#define APPENDED                                                                                 \
    "FROM kf_entry WHERE stream = $1 AND site = $2 AND n > $3 AND n <= $4 AND +stamp <= $5 AND " \
    "behind IS NULL "
    static const char behind[] = "SELECT stamp " APPENDED "ORDER BY n LIMIT 1 OFFSET $6",
                      count[] = "SELECT count(*) FROM (SELECT 1 " APPENDED "LIMIT $6) x";
    struct part p = {behind, count, stream, 0, 0, *ret_stamp, site};
    kf_rc rc = own_numbers(db, stream, site, *ret_stamp, &p.from, &p.to, err);
    return rc == KF_OK && p.from < p.to ? part_of(db, &p, limit, ret_stamp, add_count, err) : rc;
}

kf_rc erasure_part(struct db *db, int64_t stream, str site, int64_t stamp, size_t limit,
                   int64_t *ret_stamp, size_t *ret_count, struct kf_err *err)
{
    size_t count = 0;
    kf_rc rc = part_taken(db, stream, site, limit, &stamp, &count, err);
    if (rc == KF_OK)
        rc = part_own(db, stream, site, limit, &stamp, &count, err);
    if (rc == KF_OK)
        rc = part_taken(db, -stream, site, limit, &stamp, &count, err);
    *ret_stamp = stamp;
    *ret_count = count;
    return rc;
}

/* ---------------------------------------------------------------------------- in their order */

/* The entries of one site, in the order of their stamps, some at a time: the index has them so, or
 * their numbers, and nothing has to be sorted, nor to stand in memory as a whole. Those of all
 * sites are merged. */
struct source {
    struct source *next; /* while they are found */
    char site[STREAM_SITE_LEN + 1];
    bool own;               /* they were appended here */
    int64_t stream, behind; /* the stamp that was read last, of own ones the number */
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
    bool own;       /* so are those that are found */
};

static kf_rc add_source(void *ctx, const struct site_row *row, struct kf_err *err)
{
    struct sources *all = ctx;
    if (!row->site[0])
        return err_set(err, PROBLEM_DAMAGED,
                       "the site of an entry is damaged; `keepfast verify` lists what is");
    struct source *s = arena_alloc(&all->arena, sizeof *s);
    if (!s)
        return err_nomem(err);
    *s = (struct source){
        .next = all->found, .own = all->own, .stream = all->stream, .behind = INT64_MIN};
    memcpy(s->site, row->site, sizeof s->site);
    all->found = s;
    all->count++;
    return KF_OK;
}

/* The next rows of a source: none, when it has no more. */
static kf_rc read_more(struct db *db, struct source *source, struct kf_err *err)
{
    static const char taken[] =
        "SELECT stamp, seq, stamp FROM kf_entry WHERE stream = $1 AND site = $2 AND stamp > $3 AND "
        "behind IS NOT NULL ORDER BY stamp LIMIT $4";
    static const char own[] =
        "SELECT stamp, seq, n FROM kf_entry WHERE stream = $1 AND site = $2 AND n > $3 AND behind "
        "IS NULL ORDER BY n LIMIT $4";
    struct db_stmt *s;
    bool row = false;
    source->at = source->count = 0;
    kf_rc rc = db_use(db, source->own ? own : taken, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, source->stream);
    db_bind_text(s, 2, str_of(source->site));
    db_bind_i64(s, 3, source->behind);
    db_bind_i64(s, 4, sizeof source->rows / sizeof *source->rows);
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        if (db_i64(s, 2) <=
            source->behind) { /* it is no number any more, and would come for ever */
            rc = err_set(err, PROBLEM_DAMAGED,
                         "the place of an entry is damaged; `keepfast verify` lists what is");
            break;
        }
        source->behind = db_i64(s, 2);
        source->rows[source->count].stamp = db_i64(s, 0);
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
    kf_rc rc = taken_sites(db, stream, add_source, all, err);
    all->own = true;
    if (rc == KF_OK)
        rc = own_sites(db, stream, add_source, all, err);
    all->own = false;
    all->stream = -stream;
    if (rc == KF_OK && twins)
        rc = taken_sites(db, -stream, add_source, all, err);
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
