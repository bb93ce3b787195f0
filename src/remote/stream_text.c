#include "remote/stream_text.h"

#include "base/err.h"
#include "remote/portable.h"

#include <assert.h>

struct written_attachment {
    struct written_attachment *next;
    str hash;
};

struct written_entry {
    int64_t stamp;
    char site[PORTABLE_SITE];
};

/* -------------------------------------------------------------------------------------- a part */

void part_begin(struct part_writer *w, struct db *db, str key, uint64_t first, struct buf *out)
{
    *w = (struct part_writer){.db = db, .out = out};
    stream_file_begin(key, first, out);
}

void part_end(struct part_writer *w)
{
    arena_release(&w->arena);
    buf_release(&w->attach);
}

static kf_rc put_attachment(struct part_writer *w, str hash, struct kf_err *err)
{
    for (const struct written_attachment *a = w->attached; a; a = a->next)
        if (str_eq(a->hash, hash))
            return KF_OK;
    struct written_attachment *a = arena_alloc(&w->arena, sizeof *a);
    if (!a || !(a->hash = arena_str(&w->arena, hash)).p)
        return err_nomem(err);
    buf_clear(&w->attach);
    kf_rc rc = stream_attachment(w->db, hash, &w->attach, err);
    if (rc != KF_OK)
        return rc;
    a->next = w->attached;
    w->attached = a;
    stream_file_line(&(struct stream_line){.kind_of = STREAM_ATTACH,
                                           .hash = hash,
                                           .value = buf_view(&w->attach)},
                     w->out);
    return KF_OK;
}

/* Who reads a part refuses one that has an entry twice (P2): one of both has another stamp than it
 * was given. */
static kf_rc see_entry(struct part_writer *w, const struct entry_row *row, struct kf_err *err)
{
    if (!w->seen)
        w->seen = arena_alloc(&w->arena, STREAM_PART_ENTRIES * sizeof *w->seen);
    if (!w->seen)
        return err_nomem(err);
    assert(w->entries < STREAM_PART_ENTRIES && row->site.len == PORTABLE_SITE);
    for (uint64_t i = 0; i < w->entries; i++)
        if (w->seen[i].stamp == row->stamp &&
            memcmp(w->seen[i].site, row->site.p, PORTABLE_SITE) == 0)
            return err_set(err, PROBLEM_DAMAGED,
                           "entry %llu of \"%.*s\" is damaged (its stamp is that of another one); "
                           "`keepfast verify` lists what is",
                           (unsigned long long)row->n, STR_SHOWN(row->key));
    w->seen[w->entries].stamp = row->stamp;
    memcpy(w->seen[w->entries].site, row->site.p, PORTABLE_SITE);
    return KF_OK;
}

kf_rc part_entry(struct part_writer *w, const struct entry_row *row, uint64_t n, struct kf_err *err)
{
    kf_rc rc = see_entry(w, row, err);
    if (rc == KF_OK && row->attach.len)
        rc = put_attachment(w, row->attach, err);
    const struct stream_line line = {.kind_of = STREAM_ENTRY,
                                     .n = n,
                                     .stamp = row->stamp,
                                     .site = row->site,
                                     .at_ms = row->at_ms,
                                     .id = row->id,
                                     .kind = row->kind,
                                     .hash = row->attach.len ? row->attach : STR(""),
                                     .value = row->body};
    if (rc != KF_OK)
        return rc;
    stream_file_line(&line, w->out);
    w->entries++;
    return buf_ok(w->out, err);
}

/* ------------------------------------------------------------------------------- stream.ndjson */

struct head_writer {
    const struct head_wish *wish;
    struct buf *out;
    str key;
    uint64_t last_n; /* 0: it is not said */
};

static kf_rc not_whole(const struct head_writer *w, const char *what, struct kf_err *err)
{
    return err_set(err, PROBLEM_DAMAGED,
                   "what is known of %s of the stream \"%.*s\" is damaged; `keepfast verify` lists "
                   "what is",
                   what, STR_SHOWN(w->key));
}

static kf_rc put_line(struct buf *out, const struct stream_line *line, struct kf_err *err)
{
    stream_file_line(line, out);
    return buf_ok(out, err);
}

static kf_rc put_member(void *ctx, const struct member_row *m, struct kf_err *err)
{
    const struct head_writer *w = ctx;
    const struct stream_line line = {.kind_of = STREAM_ATTR,
                                     .name = m->name,
                                     .site = m->site,
                                     .stamp = m->stamp,
                                     .value = m->value};
    bool keep = true;
    if (m->damaged)
        return not_whole(w, "an attribute", err);
    kf_rc rc = w->wish->keep ? w->wish->keep(w->wish->ctx, m, &keep, err) : KF_OK;
    return rc == KF_OK && keep ? put_line(w->out, &line, err) : rc;
}

static kf_rc put_erased(void *ctx, const struct erased_row *e, struct kf_err *err)
{
    const struct stream_line line = {
        .kind_of = STREAM_GONE, .site = e->site, .stamp = e->stamp, .at_ms = e->at_ms};
    const struct head_writer *w = ctx;
    return e->damaged ? not_whole(w, "an erasure", err) : put_line(w->out, &line, err);
}

static kf_rc put_trimmed(void *ctx, const struct erased_row *e, struct kf_err *err)
{
    const struct stream_line line = {.kind_of = STREAM_TRIMMED, .site = e->site, .stamp = e->stamp};
    const struct head_writer *w = ctx;
    return e->damaged || !w->last_n ? not_whole(w, "what was trimmed", err)
                                    : put_line(w->out, &line, err);
}

kf_rc head_write(struct db *db, str key, const struct head_wish *wish, struct buf *out,
                 struct kf_err *err)
{
    struct head_writer w = {wish, out, key};
    size_t before = out->len;
    int64_t stream = 0;
    uint64_t last_n = 0;
    kf_rc rc = wish->own_until ? stream_find(db, key, &stream, &last_n, err) : KF_OK;
    if (stream > wish->own_until)
        stream = 0;
    if (rc == KF_OK && stream && last_n > STREAM_PART_N_MAX)
        rc = err_set(err, PROBLEM_TOO_LARGE, "\"%.*s\" has numbers that no archive can have",
                     STR_SHOWN(key));
    stream_file_begin(key, 0, out);
    size_t bare = out->len;
    if (stream && last_n)
        stream_file_line(&(struct stream_line){.kind_of = STREAM_LAST, .n = last_n}, out);
    if (rc == KF_OK)
        rc = stream_members(db, key, put_member, &w, err);
    if (rc == KF_OK)
        rc = stream_erasures(db, key, put_erased, &w, err);
    if (rc == KF_OK && stream)
        w.last_n = last_n;
    if (rc == KF_OK && stream)
        rc = stream_trims(db, stream, put_trimmed, &w, err);
    if (out->len == bare)
        out->len = before;
    return rc == KF_OK ? buf_ok(out, err) : rc;
}

/* -------------------------------------------------------------------------------------- reading */

struct read_attachment {
    struct read_attachment *next;
    str hash, value;
};

struct text_reader {
    const struct text_sink *sink;
    struct arena arena; /* of the attachments */
    struct read_attachment *attached;
};

static kf_rc keep_attachment(struct text_reader *t, const struct stream_line *l, struct kf_err *err)
{
    struct read_attachment *a = arena_alloc(&t->arena, sizeof *a);
    if (!a)
        return err_nomem(err);
    *a = (struct read_attachment){.next = t->attached,
                                  .hash = arena_str(&t->arena, l->hash),
                                  .value = arena_str(&t->arena, l->value)};
    t->attached = a;
    return a->hash.p && a->value.p ? KF_OK : err_nomem(err);
}

static kf_rc give_entry(struct text_reader *t, const struct stream_line *l, struct kf_err *err)
{
    struct entry_import e = {.n = l->n,
                             .stamp = l->stamp,
                             .at_ms = l->at_ms,
                             .site = l->site,
                             .id = l->id,
                             .kind = l->kind,
                             .body = l->value};
    for (const struct read_attachment *a = t->attached; a && l->hash.len && !e.attach.p;
         a = a->next)
        if (str_eq(a->hash, l->hash))
            e.attach = a->value;
    return t->sink->entry(t->sink->ctx, &e, err);
}

static kf_rc give_line(struct text_reader *t, const struct stream_line *l, struct kf_err *err)
{
    void *ctx = t->sink->ctx;
    const struct member_row m = {
        .name = l->name, .site = l->site, .value = l->value, .stamp = l->stamp};
    const struct erased_row e = {.site = l->site, .stamp = l->stamp, .at_ms = l->at_ms};
    const struct once_row o = {
        .id = l->id, .n = l->n, .asked = l->hash, .alone = true, .at_ms = l->at_ms};
    switch (l->kind_of) {
    case STREAM_ATTACH: return keep_attachment(t, l, err);
    case STREAM_ENTRY: return give_entry(t, l, err);
    case STREAM_ATTR: return t->sink->member(ctx, &m, err);
    case STREAM_GONE: return t->sink->erasure(ctx, &e, err);
    case STREAM_TRIMMED: return t->sink->trimmed ? t->sink->trimmed(ctx, &e, err) : KF_OK;
    case STREAM_LAST: return t->sink->last ? t->sink->last(ctx, l->n, err) : KF_OK;
    case STREAM_ONCE: return t->sink->once ? t->sink->once(ctx, &o, err) : KF_OK;
    }
    return KF_OK;
}

kf_rc text_each(str name, str text, const struct text_sink *sink, struct kf_err *err)
{
    struct text_reader t = {.sink = sink};
    struct stream_reader r;
    struct stream_line l;
    kf_rc rc;
    stream_read_begin(&r, name, text);
    while ((rc = stream_read(&r, &l, err)) == KF_OK && (rc = give_line(&t, &l, err)) == KF_OK)
        ;
    stream_read_end(&r);
    arena_release(&t.arena);
    return rc == KF_ABSENT ? KF_OK : rc;
}
