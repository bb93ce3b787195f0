/* What a pull gives. Documents are gathered and merged in groups of REMOTES_GROUP through the
 * store's writer, each group at most one slice of its time long; local writes go in between.
 *
 * Before a body is fetched, the head of the manifest is compared with what is here:
 *
 *     not here, or here with other bytes and not known        needed
 *     the same bytes with a later stamp                       needed (the stamp is taken in)
 *     the same document, or the same bytes with an older stamp not needed
 *     written by this store before what is here now           not needed: our own past
 *     a version of it is kept here already                    not needed
 *
 * The bytes of an inexact document are not those that were written, so stamp and site alone tell
 * whether it is known.
 *
 * A first pull also notes what the remote holds. Whatever is here and not there, or there as
 * something else, is pending to it; the watermark begins right below the first of these numbers. So
 * a store that came from one remote has nothing pending to it; unless it is there elsewhere. */
#include "remote/remotes_files.h"

#include <stdio.h>
#include <stdlib.h>

struct held {
    str name, site, hash;
    int64_t stamp;
    bool inexact;
};

struct take {
    struct remote_sink sink; /* first */
    struct run *run;
    struct remotes *remotes;
    bool first; /* of a remote of which nothing is known here */
    bool empty; /* nothing is here: everything is needed */
    struct take_files *files;

    struct arena batch_arena;
    struct doc_import batch[REMOTES_GROUP];
    size_t batch_count;

    struct arena arena; /* of all below */
    struct held *held;
    size_t held_count, held_cap;
    struct unread *missing;
    size_t missing_count, missing_cap;
};

static void *grown(void *p, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return p;
    size_t larger = *cap ? *cap * 2 : 64;
    void *q = mem_realloc(p, larger * size);
    if (q)
        *cap = larger;
    return q;
}

/* ------------------------------------------------------------------------------- what is needed */

static kf_rc is_kept(struct db *db, const struct remote_doc *doc, bool *ret, struct kf_err *err)
{
    static const char sql[] =
        "SELECT 1 FROM kf_doc_version WHERE name = $1 AND (hash = $2 OR $3 = 1) AND stamp = $4"
        " AND site = $5 LIMIT 1";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, doc->doc.name);
    db_bind_text(s, 2, doc->hash);
    db_bind_i64(s, 3, doc->doc.inexact);
    db_bind_i64(s, 4, doc->doc.stamp);
    db_bind_text(s, 5, doc->doc.site);
    rc = db_step(s, ret, err);
    db_done(s);
    return rc;
}

/* By the head alone, where it says enough. */
static kf_rc compare_head(const struct take *t, struct db *db, const struct remote_doc *doc,
                          bool *ret_want, bool *ret_look, struct kf_err *err)
{
    static const char sql[] = "SELECT stamp, site, hash FROM kf_doc WHERE name = $1";
    struct db_stmt *s;
    bool there = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, doc->doc.name);
    rc = db_step(s, &there, err);
    if (rc == KF_OK && there) {
        int64_t stamp = db_i64(s, 0);
        bool same = str_eq(db_text(s, 2), doc->hash);
        bool own_past = str_is(doc->doc.site, t->run->site) && doc->doc.stamp <= stamp;
        *ret_want = same ? doc->doc.stamp > stamp : !own_past;
        *ret_look = !same && !own_past;
    }
    db_done(s);
    return rc;
}

static kf_rc note_held(struct take *t, const struct remote_doc *doc, struct kf_err *err)
{
    struct held *p = grown(t->held, t->held_count, &t->held_cap, sizeof(*p));
    if (!p)
        return err_nomem(err);
    t->held = p;
    struct held h = {arena_str(&t->arena, doc->doc.name), arena_str(&t->arena, doc->doc.site),
                     arena_str(&t->arena, doc->hash), doc->doc.stamp, doc->doc.inexact};
    if (!h.name.p || !h.site.p || !h.hash.p)
        return err_nomem(err);
    t->held[t->held_count++] = h;
    return KF_OK;
}

static kf_rc want(struct remote_sink *sink, const struct remote_doc *doc, bool *ret_want,
                  struct kf_err *err)
{
    struct take *t = (struct take *)sink;
    struct db *db;
    bool wanted = true, look = false, kept = false;
    kf_rc rc = KF_OK;
    if (stream_file_is(doc->doc.name))
        return files_want(t->files, doc, ret_want, err);
    if (!entry_wants(t->run->entry, doc->doc.name)) {
        *ret_want = false;
        return KF_OK;
    }
    if (t->first && !doc->elsewhere)
        rc = note_held(t, doc, err);
    if (rc == KF_OK && !t->empty) {
        /* Short: what follows may be a fetch, and no snapshot is held while the place is waited
         * for. */
        rc = run_local(t->run, store_read_lenient(t->remotes->store, &db, err));
        if (rc != KF_OK)
            return rc;
        rc = compare_head(t, db, doc, &wanted, &look, err);
        if (rc == KF_OK && look)
            rc = is_kept(db, doc, &kept, err);
        store_read_end(t->remotes->store, db);
        run_local(t->run, rc);
    }
    if (rc == KF_OK)
        *ret_want = wanted && !kept;
    return rc;
}

/* ------------------------------------------------------------------------------------ merging */

kf_rc take_missing(struct take *t, str name, int64_t stamp, const struct kf_err *why,
                   struct kf_err *err)
{
    struct run *run = t->run;
    struct kf_err told = *why;
    remote_url_hide(run->entry->place.url, told.detail);
    log_event(t->remotes->log, LOG_ERROR, "remote.bad_object", LOG_S("remote", run->entry->name),
              LOG_V("doc", name), LOG_S("why", told.detail), LOG_END);
    struct unread *p = grown(t->missing, t->missing_count, &t->missing_cap, sizeof(*p));
    if (!p)
        return err_nomem(err);
    t->missing = p;
    struct unread m = {arena_str(&t->arena, name), stamp, arena_alloc(&t->arena, sizeof(told))};
    if (!m.name.p || !m.why)
        return err_nomem(err);
    *m.why = told;
    t->missing[t->missing_count++] = m;
    if (run->bad_err.rc == KF_OK)
        run->bad_err = told;
    return KF_OK;
}

static kf_rc bad(struct remote_sink *sink, const struct remote_doc *doc, const struct kf_err *why,
                 struct kf_err *err)
{
    struct take *t = (struct take *)sink;
    uint64_t first;
    str name = doc->doc.name;
    if (stream_file_is(name) && !stream_file_parse(doc->doc.name, &name, &first))
        return KF_OK;
    if (!entry_wants(t->run->entry, name))
        return KF_OK;
    return take_missing(t, doc->doc.name, doc->doc.stamp, why, err);
}

static kf_rc aside(struct remote_sink *sink, str path, const struct kf_err *why, struct kf_err *err)
{
    return aside_add(((struct take *)sink)->run, ASIDE_AT_PLACE, path, why, err);
}

struct merge_write {
    struct write write; /* first */
    struct take *take;
    size_t from, to; /* of the batch; `to` is found by apply */
    uint64_t taken, taken_bytes, lost;
    size_t refused; /* of those, how many were no documents */
    size_t refused_at[REMOTES_GROUP];
    struct kf_err why; /* the last refusal */
};

/* Lost is what one side had written and the current document does not have. */
static void count_merged(struct merge_write *m, enum doc_merged merged, size_t size)
{
    bool taken = merged != DOC_SAME && merged != DOC_LOST;
    m->taken += taken;
    m->taken_bytes += taken ? size : 0;
    m->lost += merged == DOC_LOST || merged == DOC_REPLACED || merged == DOC_MERGED_CLASH;
}

static kf_rc apply_merge(struct group *g, struct write *write, struct kf_err *err)
{
    struct merge_write *m = (struct merge_write *)write;
    struct take *t = m->take;
    kf_rc rc = KF_OK;
    m->taken = m->taken_bytes = m->lost = m->refused = 0;
    if (t->run->kind == RUN_HYDRATE && m->from == 0)
        rc = hydration_mark(g, true, err);
    for (m->to = m->from; rc == KF_OK && m->to < t->batch_count;) {
        enum doc_merged merged = DOC_SAME;
        struct kf_err why = KF_ERR_INIT;
        rc = doc_merge(g, t->remotes->docs, &t->batch[m->to], &merged, &why);
        if (rc == KF_OK)
            count_merged(m, merged, t->batch[m->to].body.len);
        if (rc == KF_INVALID || rc == KF_LIMIT) { /* it was refused before anything was written */
            m->refused_at[m->refused++] = m->to;
            m->why = why;
            rc = KF_OK;
        } else if (rc != KF_OK && err) {
            *err = why;
        }
        m->to++;
        if (group_slice_over(g))
            break;
    }
    return rc;
}

static void publish_merge(struct write *write)
{
    struct merge_write *m = (struct merge_write *)write;
    for (size_t i = m->from; i < m->to; i++)
        docs_forget(m->take->remotes->docs, m->take->batch[i].name);
}

static kf_rc merge_batch(struct take *t, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t from = 0; rc == KF_OK && from < t->batch_count;) {
        struct merge_write m = {
            .write = {.apply = apply_merge, .publish = publish_merge}, .take = t, .from = from};
        rc = run_local(t->run, store_write(t->remotes->store, &m.write, err));
        if (rc != KF_OK)
            break;
        t->run->taken += m.taken;
        t->run->taken_bytes += m.taken_bytes;
        t->run->lost += m.lost;
        for (size_t i = 0; rc == KF_OK && i < m.refused; i++) {
            const struct doc_import *d = &t->batch[m.refused_at[i]];
            rc = take_missing(t, d->name, d->stamp, &m.why, err);
        }
        from = m.to;
    }
    t->batch_count = 0;
    arena_clear(&t->batch_arena);
    return rc;
}

/* Of one that is withheld the place knows nothing, though the watermark has passed it (W6). */
static int64_t told_of(const struct run *run, str name)
{
    struct remote_entry *e = run->entry;
    pthread_mutex_lock(&e->remotes->lock);
    bool withheld = withheld_find(e->withheld, name) != NULL;
    pthread_mutex_unlock(&e->remotes->lock);
    return withheld ? 0 : run->watermark;
}

static kf_rc take_one(struct remote_sink *sink, const struct remote_doc *doc, struct kf_err *err)
{
    struct take *t = (struct take *)sink;
    const struct doc_import *d = &doc->doc;
    kf_rc rc = KF_OK;
    if (stream_file_is(d->name))
        return files_take(t->files, doc, err);
    if (t->batch_count == REMOTES_GROUP ||
        (t->batch_count &&
         t->batch_arena.used_bytes + d->body.len + d->base.len > REMOTES_GROUP_BYTES))
        rc = merge_batch(t, err);
    if (rc != KF_OK)
        return rc;
    struct doc_import copy = *d;
    copy.told = told_of(t->run, d->name);
    copy.name = arena_str(&t->batch_arena, d->name);
    copy.site = arena_str(&t->batch_arena, d->site);
    if (d->body.p)
        copy.body = arena_str(&t->batch_arena, d->body);
    if (d->base.p)
        copy.base = arena_str(&t->batch_arena, d->base);
    if (!copy.name.p || !copy.site.p || !copy.body.p != !d->body.p || !copy.base.p != !d->base.p)
        return err_nomem(err);
    t->batch[t->batch_count++] = copy;
    return KF_OK;
}

/* ----------------------------------------------------------------------------------- at the end */

static int compare_unread(const void *a, const void *b)
{
    return str_cmp(((const struct unread *)a)->name, ((const struct unread *)b)->name);
}

/* W5: what could not be read is missing, unless what is here now is as new. */
static kf_rc judge_missing(struct take *t, struct db *db, struct kf_err *err)
{
    static const char sql[] = "SELECT stamp FROM kf_doc WHERE name = $1";
    kf_rc rc = KF_OK;
    struct run *run = t->run;
    char first[200] = "";
    if (t->missing_count &&
        !(run->unread = arena_alloc(&run->unread_arena, t->missing_count * sizeof(*run->unread))))
        return err_nomem(err);
    for (size_t i = 0; rc == KF_OK && i < t->missing_count; i++) {
        const struct unread *m = &t->missing[i];
        struct db_stmt *s;
        bool there = false;
        if ((rc = db_use(db, sql, &s, err)) != KF_OK)
            break;
        db_bind_text(s, 1, m->name);
        rc = db_step(s, &there, err);
        /* At stamp 0 it was removed there, and nobody would push again what is here. To a store
         * that is being filled it matters alone that it is here. */
        bool told = m->stamp == 0 && run->kind == RUN_SYNC;
        bool replaced = rc == KF_OK && there && !told && db_i64(s, 0) >= m->stamp;
        db_done(s);
        if (rc != KF_OK || replaced)
            continue;
        if (run->bad == 0)
            snprintf(first, sizeof(first), "%.*s", (int)(m->name.len < 150 ? m->name.len : 150),
                     m->name.p);
        struct unread left = {arena_str(&run->unread_arena, m->name), m->stamp, NULL};
        if (!left.name.p)
            return err_nomem(err);
        run->unread[run->bad++] = left;
        rc = aside_add(run, ASIDE_REFUSED, m->name, m->why, err);
    }
    if (rc == KF_OK && run->bad)
        qsort(run->unread, run->bad, sizeof(*run->unread), compare_unread);
    if (rc == KF_OK && run->bad) {
        struct kf_err cause = run->bad_err;
        err_set(&run->bad_err, PROBLEM_BAD_OBJECT,
                "%zu of its documents cannot be read, the first is \"%s\" (%.200s): bring the "
                "object back there, or write the document"
                " anew with If-Match: *",
                run->bad, first, cause.detail);
    }
    return rc;
}

static int compare_held(const void *a, const void *b)
{
    return str_cmp(((const struct held *)a)->name, ((const struct held *)b)->name);
}

struct first_other {
    const struct take *take;
    int64_t seq; /* of the first head that the remote does not hold; 0 = none */
};

static kf_rc find_other(void *ctx, const struct doc_row *row, struct kf_err *err)
{
    struct first_other *f = ctx;
    const struct take *t = f->take;
    struct held key = {.name = row->name};
    if (!entry_wants(t->run->entry, row->name))
        return KF_OK;
    const struct held *h = t->held_count
                               ? bsearch(&key, t->held, t->held_count, sizeof(key), compare_held)
                               : NULL;
    if (h && h->stamp == row->stamp && str_eq(h->site, row->site) &&
        (h->inexact || str_eq(h->hash, row->hash)))
        return KF_OK;
    f->seq = row->seq;
    return KF_ABSENT; /* ends the walk */
}

static kf_rc below_first_other(struct take *t, struct db *db, int64_t *ret, struct kf_err *err)
{
    static const char sql[] = "SELECT seq FROM kf_state WHERE id = 1";
    struct first_other f = {.take = t};
    struct db_stmt *s;
    bool there = false;
    size_t count;
    if (t->held_count)
        qsort(t->held, t->held_count, sizeof(*t->held), compare_held);
    kf_rc rc = doc_changes(db, 0, (size_t)INT64_MAX, false, find_other, &f, &count, err);
    if (rc != KF_OK && rc != KF_ABSENT)
        return rc;
    int64_t files = 0;
    if ((rc = files_first_other(t->run, db, &files, err)) != KF_OK)
        return rc;
    if (files && (!f.seq || files < f.seq))
        f.seq = files;
    if (f.seq) {
        *ret = f.seq - 1;
        return KF_OK;
    }
    if ((rc = db_use(db, sql, &s, err)) != KF_OK)
        return rc;
    rc = db_step(s, &there, err);
    if (rc == KF_OK)
        *ret = db_i64(s, 0);
    db_done(s);
    return rc;
}

kf_rc take_finish(struct take *t, int64_t *ret_watermark, struct kf_err *err)
{
    struct db *db;
    int64_t watermark = t->run->watermark;
    kf_rc rc = merge_batch(t, err);
    if (rc == KF_OK)
        rc = files_join(t->files, err);
    if (rc == KF_OK && (t->first || t->missing_count)) {
        rc = run_local(t->run, store_read_lenient(t->remotes->store, &db, err));
        if (rc != KF_OK)
            return rc;
        rc = judge_missing(t, db, err);
        if (rc == KF_OK && t->first)
            rc = below_first_other(t, db, &watermark, err);
        store_read_end(t->remotes->store, db);
        run_local(t->run, rc);
    }
    if (rc == KF_OK)
        rc = unread_note(t->run, err);
    if (rc == KF_OK)
        *ret_watermark = watermark > t->run->watermark ? watermark : t->run->watermark;
    return rc;
}

bool take_left_unread(const struct run *run, str name, int64_t stamp)
{
    const struct unread key = {.name = name}, *found = NULL;
    if (run->bad)
        found = bsearch(&key, run->unread, run->bad, sizeof(key), compare_unread);
    return found && found->stamp > stamp;
}

kf_rc take_new(struct run *run, struct take **ret, struct kf_err *err)
{
    struct take *t = mem_calloc(1, sizeof(*t));
    if (!t)
        return err_nomem(err);
    t->sink = (struct remote_sink){.want = want, .take = take_one, .bad = bad, .aside = aside};
    t->run = run;
    t->remotes = run->entry->remotes;
    t->first = run->since.len == 0;
    t->empty = store_is_empty(t->remotes->store);
    kf_rc rc = files_take_new(run, t, &t->files, err);
    if (rc != KF_OK) {
        take_free(t);
        return rc;
    }
    *ret = t;
    return KF_OK;
}

struct remote_sink *take_sink(struct take *t)
{
    return &t->sink;
}

void take_free(struct take *t)
{
    if (!t)
        return;
    files_take_free(t->files);
    arena_release(&t->batch_arena);
    arena_release(&t->arena);
    mem_free(t->held);
    mem_free(t->missing);
    mem_free(t);
}
