/* An archive of what was pending is merged into the store as it stands: of a document the later
 * stamp wins, a file of a stream is joined.
 *
 * Many documents are one write, as long as it is not over its slice, so that a sync is shared by
 * them and others write in between. What was merged before a failure stays, and the same archive
 * once more does the rest. */
#include "move/restore_internal.h"

#include "remote/stream_text.h"

/* ------------------------------------------------------------------------------------ documents */

struct merge_write {
    struct write write; /* first */
    struct restore *restore;
    size_t from, to; /* of the batch; `to` is found by apply */
};

static kf_rc apply_merge(struct group *g, struct write *w, struct kf_err *err)
{
    struct merge_write *m = (struct merge_write *)w;
    struct restore *r = m->restore;
    kf_rc rc = KF_OK;
    for (m->to = m->from; rc == KF_OK && m->to < r->batch_count;) {
        enum doc_merged merged;
        rc = doc_merge(g, store_docs(r->store), &r->batch[m->to++], &merged, err);
        if (group_slice_over(g))
            break;
    }
    return rc;
}

static void publish_merge(struct write *w)
{
    struct merge_write *m = (struct merge_write *)w;
    struct restore *r = m->restore;
    for (size_t i = m->from; i < m->to; i++)
        docs_forget(store_docs(r->store), r->batch[i].name);
}

static kf_rc merge_batch(struct restore *r, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t from = 0; rc == KF_OK && from < r->batch_count;) {
        struct merge_write m = {
            .write = {.apply = apply_merge, .publish = publish_merge}, .restore = r, .from = from};
        rc = store_write(r->store, &m.write, err);
        if (rc != KF_OK)
            break;
        r->loaded += m.to - from;
        from = m.to;
        rc = restore_tell(r, err);
    }
    r->batch_count = 0;
    arena_clear(&r->bodies);
    return rc;
}

static kf_rc merge_line(struct restore *r, const struct line *l, str body, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    if (r->batch_count == RESTORE_GROUP ||
        (r->batch_count && r->bodies.used_bytes + body.len > RESTORE_GROUP_BYTES))
        rc = merge_batch(r, err);
    if (rc != KF_OK)
        return rc;
    struct doc_import import = {.name = l->row.name,
                                .site = l->row.site,
                                .stamp = l->row.stamp,
                                .at_ms = l->row.at_ms,
                                .version = l->row.version};
    if (body.p && !(import.body = arena_str(&r->bodies, body)).p)
        return err_nomem(err);
    r->batch[r->batch_count++] = import;
    return KF_OK;
}

/* ----------------------------------------------------------------------------- files of streams */

struct file_merge {
    struct write write; /* first */
    struct restore *r;
    str name, key, text;
    struct stream_take *take;
    bool again; /* it was taken in part */
};

static kf_rc merge_entry(void *ctx, const struct entry_import *e, struct kf_err *err)
{
    enum stream_taken taken;
    int64_t seq;
    return stream_take_entry(((struct file_merge *)ctx)->take, e, &taken, &seq, err);
}

static kf_rc merge_member(void *ctx, const struct member_row *m, struct kf_err *err)
{
    enum stream_taken taken;
    return stream_take_member(((struct file_merge *)ctx)->take, m, &taken, err);
}

static kf_rc merge_erasure(void *ctx, const struct erased_row *e, struct kf_err *err)
{
    enum stream_taken taken;
    return stream_take_erasure(((struct file_merge *)ctx)->take, e, &taken, err);
}

static kf_rc apply_file(struct group *g, struct write *w, struct kf_err *err)
{
    struct file_merge *m = (struct file_merge *)w;
    const struct text_sink sink = {
        .ctx = m, .entry = merge_entry, .member = merge_member, .erasure = merge_erasure};
    bool changed;
    m->again = false;
    kf_rc rc = stream_take_begin(g, store_streams(m->r->store), m->key, &m->take, err);
    if (rc != KF_OK)
        return rc;
    rc = text_each(m->name, m->text, &sink, err);
    if (rc == KF_OK)
        return stream_take_end(m->take, &changed, &m->again, err);
    stream_take_drop(m->take);
    return rc;
}

static void publish_file(struct write *w)
{
    struct file_merge *m = (struct file_merge *)w;
    streams_forget(store_streams(m->r->store), m->key);
}

static kf_rc merge_file(struct restore *r, str name, str text, struct kf_err *err)
{
    struct file_merge m = {.write = {.apply = apply_file, .publish = publish_file},
                           .r = r,
                           .name = name,
                           .text = text};
    uint64_t first;
    if (!stream_file_parse(name, &m.key, &first))
        return err_set(err, PROBLEM_BAD_ARCHIVE, "\"%.*s\" is no file of a stream",
                       STR_SHOWN(name));
    kf_rc rc;
    do
        rc = store_write(r->store, &m.write, err);
    while (rc == KF_OK && m.again);
    r->loaded += rc == KF_OK;
    return rc;
}

/* ------------------------------------------------------------------------------------------ all */

static kf_rc merge_object(void *ctx, str name, str bytes, struct kf_err *err)
{
    struct restore *r = ctx;
    struct hash key;
    struct place *p;
    kf_rc rc = KF_OK;
    hash_of(name, &key);
    HASH_FIND(hh, r->places, &key, sizeof key, p);
    for (struct line *l = p ? p->first : NULL; l && rc == KF_OK; l = l->next)
        if (l->current)
            rc = stream_file_is(l->row.name) ? merge_file(r, l->row.name, bytes, err)
                                             : merge_line(r, l, bytes, err);
    return rc;
}

kf_rc restore_merge(struct restore *r, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (struct line *l = r->deleted; l && rc == KF_OK; l = l->next)
        if (l->current && !stream_file_is(l->row.name))
            rc = merge_line(r, l, (str){NULL, 0}, err);
    if (rc == KF_OK)
        rc = zip_each(&r->spool, &r->limits, merge_object, r, err);
    return rc == KF_OK ? merge_batch(r, err) : rc;
}
