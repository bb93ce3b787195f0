/* What a pull gives of streams. A file is needed unless it is known by its hash; of an inexact one,
 * which was not opened yet, by stamp and site. It is read as a whole before anything of it is used,
 * gathered, and joined through the store's writer, files of one group in one transaction. */
#include "remote/remotes_files.h"

#include "remote/stream_text.h"
#include "shape/stream.h"

#include <stdlib.h>

struct file_import {
    str name, key, text; /* text.p == NULL: it was removed */
    struct known_file file;
    bool elsewhere;
    struct kf_err *why; /* what of it could not be taken; NULL = nothing */
};

struct take_files {
    struct run *run;
    struct remotes *remotes;
    struct take *take;
    struct streams *streams;
    struct arena arena;
    struct file_import batch[REMOTES_GROUP];
    size_t count;
};

/* ------------------------------------------------------------------------------- what is needed */

struct forget_write {
    struct write write; /* first */
    struct run *run;
};

static kf_rc apply_forget(struct group *g, struct write *write, struct kf_err *err)
{
    struct run *run = ((struct forget_write *)write)->run;
    return run_is_current(run, g) ? files_forget(group_db(g), str_of(run->entry->name), err)
                                  : KF_OK;
}

/* Of a place of which nothing is known no file is. */
static kf_rc forget_all(struct run *run, struct kf_err *err)
{
    struct forget_write w = {.write = {.apply = apply_forget}, .run = run};
    struct kf_store *store = run->entry->remotes->store;
    struct db *db;
    bool any = false;
    kf_rc rc = store_read_lenient(store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = files_any(db, str_of(run->entry->name), &any, err);
    store_read_end(store, db);
    return rc == KF_OK && any ? store_write(store, &w.write, err) : rc;
}

kf_rc files_take_new(struct run *run, struct take *take, struct take_files **ret,
                     struct kf_err *err)
{
    struct take_files *t = mem_calloc(1, sizeof *t);
    if (!t)
        return err_nomem(err);
    t->run = run;
    t->take = take;
    t->remotes = run->entry->remotes;
    t->streams = store_streams(t->remotes->store);
    kf_rc rc = run->since.len == 0 ? run_local(run, forget_all(run, err)) : KF_OK;
    if (rc != KF_OK) {
        files_take_free(t);
        return rc;
    }
    *ret = t;
    return KF_OK;
}

void files_take_free(struct take_files *t)
{
    if (!t)
        return;
    arena_release(&t->arena);
    mem_free(t);
}

kf_rc files_want(struct take_files *t, const struct remote_doc *doc, bool *ret_want,
                 struct kf_err *err)
{
    struct known_file known;
    struct db *db;
    uint64_t first;
    str key;
    *ret_want = false;
    if (!t->streams || !stream_file_parse(doc->doc.name, &key, &first))
        return KF_OK; /* a stranger's, under our names */
    if (!entry_wants(t->run->entry, key))
        return KF_OK;
    kf_rc rc = run_local(t->run, store_read_lenient(t->remotes->store, &db, err));
    if (rc != KF_OK)
        return rc;
    rc = files_one(db, str_of(t->run->entry->name), key, first, &known, err);
    store_read_end(t->remotes->store, db);
    bool deleted = doc->hash.len == 0, there = rc == KF_OK;
    if (rc != KF_OK && rc != KF_ABSENT)
        return run_local(t->run, rc);
    if (!there)
        *ret_want = !deleted;
    else if (doc->doc.inexact)
        *ret_want = known.stamp != doc->doc.stamp || known.version != doc->doc.version ||
                    !str_is(doc->doc.site, known.site);
    else
        *ret_want = !str_is(doc->hash, known.hash);
    return KF_OK;
}

/* -------------------------------------------------------------------------------------- joining */

struct join_write {
    struct write write; /* first */
    struct take_files *t;
    size_t from, to; /* of the batch; `to` is found by apply */
    bool again;      /* the file at `to` was taken in part */
    uint64_t taken, taken_bytes, lost;
    struct buf gone; /* streams of which a file is there no more, each with a NUL */
};

/* A group goes on with a file until its slice is over, but takes at least so many of its entries:
 * the next one looks at all of them again, and has to get further. */
#define JOIN_LEAST 100

struct joining {
    struct join_write *w;
    struct group *g;
    struct stream_take *take;
    struct file_import *f;
    struct arena arena; /* of what is known of its entries */
    size_t cap, fresh;
    bool over; /* the rest of the file is for the next group */
};

/* What is refused leaves its file for bad, and the rest goes on. */
static kf_rc note_refused(struct joining *j, kf_rc rc, const struct kf_err *why, struct kf_err *err)
{
    if (rc != KF_INVALID && rc != KF_LIMIT) {
        if (rc != KF_OK && err)
            *err = *why;
        return rc;
    }
    if (!j->f->why && !(j->f->why = arena_alloc(&j->w->t->arena, sizeof *why)))
        return err_nomem(err);
    *j->f->why = *why;
    return KF_OK;
}

static kf_rc keep_known(struct joining *j, const struct entry_import *import, int64_t seq,
                        struct kf_err *err)
{
    struct known_file *k = &j->f->file;
    if (k->count == j->cap) {
        size_t cap = j->cap ? j->cap * 2 : 64;
        struct known_entry *e = arena_alloc(&j->arena, cap * sizeof *e);
        if (!e)
            return err_nomem(err);
        if (k->count)
            memcpy(e, k->entries, k->count * sizeof *e);
        k->entries = e;
        j->cap = cap;
    }
    struct known_entry *e = &k->entries[k->count++];
    *e = (struct known_entry){.stamp = import->stamp, .n = import->n, .seq = seq};
    memcpy(e->site, import->site.p, PORTABLE_SITE);
    return KF_OK;
}

static kf_rc join_entry(void *ctx, const struct entry_import *e, struct kf_err *err)
{
    struct joining *j = ctx;
    enum stream_taken taken = STREAM_SAME;
    struct kf_err why = KF_ERR_INIT;
    int64_t seq = 0;
    if (j->over)
        return KF_OK;
    kf_rc rc = stream_take_entry(j->take, e, &taken, &seq, &why);
    rc = note_refused(j, rc, &why, err);
    if (rc != KF_OK)
        return rc;
    j->w->taken += taken == STREAM_TAKEN;
    j->w->taken_bytes += taken == STREAM_TAKEN ? e->body.len : 0;
    j->w->lost += taken == STREAM_LOST;
    j->fresh += taken == STREAM_TAKEN || taken == STREAM_LOST;
    j->over = j->fresh >= JOIN_LEAST && group_slice_over(j->g);
    return keep_known(j, e, seq, err);
}

static kf_rc join_member(void *ctx, const struct member_row *m, struct kf_err *err)
{
    struct joining *j = ctx;
    enum stream_taken taken;
    struct kf_err why = KF_ERR_INIT;
    if (j->over)
        return KF_OK;
    return note_refused(j, stream_take_member(j->take, m, &taken, &why), &why, err);
}

static kf_rc join_erasure(void *ctx, const struct erased_row *e, struct kf_err *err)
{
    struct joining *j = ctx;
    enum stream_taken taken;
    struct kf_err why = KF_ERR_INIT;
    if (j->over)
        return KF_OK;
    return note_refused(j, stream_take_erasure(j->take, e, &taken, &why), &why, err);
}

/* *ret_again: the next group begins with this file. */
static kf_rc join_file(struct group *g, struct join_write *w, struct file_import *f,
                       bool *ret_again, struct kf_err *err)
{
    struct joining j = {.w = w, .g = g, .f = f};
    const struct text_sink sink = {
        .ctx = &j, .entry = join_entry, .member = join_member, .erasure = join_erasure};
    str remote = str_of(w->t->run->entry->name);
    struct kf_err why = KF_ERR_INIT;
    bool changed = false;
    f->file.count = 0;
    f->file.entries = NULL;
    f->why = NULL;
    if (!f->text.p) {
        group_stamp(
            g); /* what is pushed in its place is a later write than the one that was lost */
        buf_str(&w->gone, f->key);
        buf_byte(&w->gone, '\0');
        kf_rc rc = buf_ok(&w->gone, err);
        return rc == KF_OK ? files_drop(group_db(g), remote, f->key, f->file.first, err) : rc;
    }
    kf_rc rc = stream_take_begin(g, w->t->streams, f->key, &j.take, &why);
    if (rc != KF_OK)
        return note_refused(&j, rc, &why, err);
    rc = text_each(f->name, f->text, &sink, err);
    if (rc == KF_OK)
        rc = stream_take_end(j.take, &changed, ret_again, err);
    else
        stream_take_drop(j.take);
    if (j.over)
        KF_SOMETIMES("stream-file-in-slices");
    *ret_again = *ret_again || j.over;
    if (rc == KF_OK && !f->why && !f->elsewhere && !*ret_again)
        rc = files_put(group_db(g), remote, f->key, &f->file, err);
    arena_release(&j.arena);
    f->file.count = 0;
    return rc;
}

static kf_rc apply_join(struct group *g, struct write *write, struct kf_err *err)
{
    struct join_write *w = (struct join_write *)write;
    struct take_files *t = w->t;
    kf_rc rc = KF_OK;
    w->taken = w->taken_bytes = w->lost = 0;
    w->again = false;
    buf_clear(&w->gone);
    if (t->run->kind == RUN_HYDRATE && w->from == 0)
        rc = hydration_mark(g, true, err);
    for (w->to = w->from; rc == KF_OK && w->to < t->count;) {
        rc = join_file(g, w, &t->batch[w->to], &w->again, err);
        w->to += !w->again;
        if (w->again || group_slice_over(g))
            break;
    }
    return rc;
}

static void publish_join(struct write *write)
{
    struct join_write *w = (struct join_write *)write;
    for (size_t i = w->from; i < w->to + w->again; i++)
        streams_forget(w->t->streams, w->t->batch[i].key);
}

static kf_rc note_bad(struct take_files *t, const struct file_import *f, struct kf_err *err)
{
    return f->why ? take_missing(t->take, f->name, f->file.stamp, f->why, err) : KF_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct file_import *x = a, *y = b;
    int order = str_cmp(x->key, y->key);
    if (order)
        return order;
    return x->file.first < y->file.first ? -1 : x->file.first > y->file.first;
}

kf_rc files_join(struct take_files *t, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    if (t->count) /* sealed names have another order, and parts are to be joined in theirs */
        qsort(t->batch, t->count, sizeof t->batch[0], by_place);
    for (size_t from = 0; rc == KF_OK && from < t->count;) {
        struct join_write w = {
            .write = {.apply = apply_join, .publish = publish_join}, .t = t, .from = from};
        rc = run_local(t->run, store_write(t->remotes->store, &w.write, err));
        if (rc == KF_OK) {
            t->run->taken_entries += w.taken;
            t->run->taken_bytes += w.taken_bytes;
            t->run->lost += w.lost;
            buf_str(&t->run->lost_streams, buf_view(&w.gone));
            rc = buf_ok(&t->run->lost_streams, err);
        }
        for (size_t i = from; rc == KF_OK && i < w.to; i++)
            rc = note_bad(t, &t->batch[i], err);
        from = w.to;
        buf_release(&w.gone);
    }
    t->count = 0;
    arena_clear(&t->arena);
    return rc;
}

static kf_rc gather(struct take_files *t, const struct remote_doc *doc, str key, uint64_t first,
                    struct kf_err *err)
{
    struct file_import *f = &t->batch[t->count];
    struct hash hash;
    *f = (struct file_import){.name = arena_str(&t->arena, doc->doc.name),
                              .key = arena_str(&t->arena, key),
                              .elsewhere = doc->elsewhere,
                              .file = {.first = first,
                                       .version = doc->doc.version,
                                       .stamp = doc->doc.stamp,
                                       .bytes = doc->doc.body.len}};
    if (doc->doc.body.p)
        f->text = arena_str(&t->arena, doc->doc.body);
    if (!f->name.p || !f->key.p || !f->text.p != !doc->doc.body.p)
        return err_nomem(err);
    memcpy(f->file.site, doc->doc.site.p,
           doc->doc.site.len < PORTABLE_SITE ? doc->doc.site.len : PORTABLE_SITE);
    hash_of(doc->doc.body, &hash);
    hash_hex(&hash, f->file.hash);
    t->count++;
    return KF_OK;
}

kf_rc files_take(struct take_files *t, const struct remote_doc *doc, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    uint64_t first, entries = 0;
    str key;
    kf_rc rc = KF_OK;
    if (!stream_file_parse(doc->doc.name, &key, &first))
        return KF_OK;
    if (doc->doc.body.p)
        rc = stream_read_check(doc->doc.name, doc->doc.body, &entries, &why);
    if (rc == KF_OK && doc->doc.body.p && first && !entries)
        rc = err_set(&why, PROBLEM_BAD_ARCHIVE, "ids without entries stand in backups alone");
    if (rc == KF_NOMEM || rc == KF_TOO_NEW) {
        if (err)
            *err = why;
        return rc;
    }
    if (rc != KF_OK)
        return take_missing(t->take, doc->doc.name, doc->doc.stamp, &why, err);
    if (t->count == REMOTES_GROUP ||
        (t->count && t->arena.used_bytes + doc->doc.body.len > REMOTES_GROUP_BYTES))
        rc = files_join(t, err);
    return rc == KF_OK ? gather(t, doc, key, first, err) : rc;
}

/* -------------------------------------------------------------------------- a first pull's end */

struct first_looking {
    struct run *run;
    struct db *db;
    int64_t *there;
    size_t count;
    int64_t found;
};

static int compare_numbers(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static kf_rc look_entry(void *ctx, const struct entry_row *row, struct kf_err *err)
{
    struct first_looking *l = ctx;
    if (!entry_wants(l->run->entry, row->key))
        return KF_OK;
    if (l->count && bsearch(&row->seq, l->there, l->count, sizeof row->seq, compare_numbers))
        return KF_OK;
    l->found = row->seq;
    return KF_ABSENT;
}

static kf_rc look_change(void *ctx, const struct stream_row *row, struct kf_err *err)
{
    struct first_looking *l = ctx;
    bool same = false;
    if (!entry_wants(l->run->entry, row->key))
        return KF_OK;
    kf_rc rc = files_head_same(l->db, str_of(l->run->entry->name), row->key,
                               entry_has_secrets(l->run->entry), &same, err);
    if (rc != KF_OK || same)
        return rc;
    if (!l->found || row->seq < l->found)
        l->found = row->seq;
    return KF_ABSENT;
}

kf_rc files_first_other(struct run *run, struct db *db, int64_t *ret, struct kf_err *err)
{
    struct first_looking l = {.run = run, .db = db};
    size_t count;
    kf_rc rc = files_numbers(db, str_of(run->entry->name), &l.there, &l.count, err);
    if (rc == KF_OK)
        rc = stream_entries_since(db, 0, INT64_MAX, (size_t)INT64_MAX, false, look_entry, &l,
                                  &count, err);
    if (rc == KF_OK || rc == KF_ABSENT)
        rc = stream_changes(db, 0, (size_t)INT64_MAX, look_change, &l, &count, err);
    mem_free(l.there);
    if (rc != KF_OK && rc != KF_ABSENT)
        return rc;
    *ret = l.found;
    return KF_OK;
}
