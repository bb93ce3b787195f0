/* memory_export: a memory file out of a store, read in one snapshot, by pages. */
#include "move/memory_store.h"

#include "base/err.h"
#include "base/mem.h"
#include "shape/doc.h"

#define PAGE_STREAMS 50
#define PAGE_ENTRIES 200

struct head {
    str key, attrs;
    int64_t id;
};
struct export
{
    struct db *db;
    str prefix;
    /* streams that were read ahead */
    struct arena heads_arena;
    struct head heads[PAGE_STREAMS];
    size_t head_count, head_at;
    str after; /* the last key, in heads_arena or the prefix */
    bool heads_over;
    /* entries of the stream at hand that were read ahead */
    struct arena arena;
    struct memory_entry entries[PAGE_ENTRIES];
    str attach[PAGE_ENTRIES]; /* hashes */
    size_t count, at;
    uint64_t last;
    bool over;
    struct buf attached;
};

static bool copy(struct arena *arena, str s, str *ret)
{
    *ret = arena_str(arena, s);
    return ret->p != NULL;
}

/* ------------------------------------------------------------------------------------- streams */

static kf_rc keep_head(void *ctx, const struct stream_row *row, struct kf_err *err)
{
    struct export *x = ctx;
    struct head *h = &x->heads[x->head_count];
    if (x->heads_over || !str_starts(row->key, x->prefix)) {
        x->heads_over = true;
        return KF_OK;
    }
    if (!copy(&x->heads_arena, row->key, &h->key) || !copy(&x->heads_arena, row->attrs, &h->attrs))
        return err_nomem(err);
    h->id = row->id;
    x->head_count++;
    return KF_OK;
}

static kf_rc read_heads(struct export *x, struct kf_err *err)
{
    char last[DOC_NAME_MAX];
    size_t rows = 0;
    str after = {last, x->after.len};
    memcpy(last, x->after.p, x->after.len);
    arena_clear(&x->heads_arena);
    x->head_count = x->head_at = 0;
    kf_rc rc = stream_heads(x->db, after, PAGE_STREAMS, keep_head, x, &rows, err);
    if (rows < PAGE_STREAMS)
        x->heads_over = true;
    if (rc == KF_OK && x->head_count)
        x->after = x->heads[x->head_count - 1].key;
    return rc;
}

static kf_rc next_stream(void *ctx, struct memory_stream *ret, bool *ret_there, struct kf_err *err)
{
    struct export *x = ctx;
    *ret_there = false;
    if (x->head_at == x->head_count && !x->heads_over) {
        kf_rc rc = read_heads(x, err);
        if (rc != KF_OK)
            return rc;
    }
    if (x->head_at == x->head_count)
        return KF_OK;
    const struct head *h = &x->heads[x->head_at++];
    *ret = (struct memory_stream){h->key, h->attrs};
    *ret_there = true;
    x->count = x->at = 0;
    x->last = 0;
    x->over = false;
    return KF_OK;
}

/* ------------------------------------------------------------------------------------- entries */

static kf_rc keep_entry(void *ctx, const struct entry_row *row, struct kf_err *err)
{
    struct export *x = ctx;
    struct memory_entry *e = &x->entries[x->count];
    if (row->damaged)
        return err_set(err, PROBLEM_DAMAGED,
                       "entry %llu of \"%.*s\" is damaged: see what `keepfast verify` says",
                       (unsigned long long)row->n, STR_SHOWN(row->key));
    *e = (struct memory_entry){.n = row->n, .at_ms = row->at_ms};
    if (!copy(&x->arena, row->id, &e->id) || !copy(&x->arena, row->kind, &e->kind) ||
        !copy(&x->arena, row->body, &e->body) ||
        !copy(&x->arena, row->attach, &x->attach[x->count]))
        return err_nomem(err);
    x->last = row->n;
    x->count++;
    return KF_OK;
}

static kf_rc read_entries(struct export *x, struct kf_err *err)
{
    size_t rows = 0;
    arena_clear(&x->arena);
    x->count = x->at = 0;
    kf_rc rc = stream_entries_of(x->db, x->heads[x->head_at - 1].id, false, x->last, PAGE_ENTRIES,
                                 true, keep_entry, x, &rows, err);
    x->over = rows < PAGE_ENTRIES;
    return rc;
}

static kf_rc next_entry(void *ctx, struct memory_entry *ret, bool *ret_there, struct kf_err *err)
{
    struct export *x = ctx;
    kf_rc rc = KF_OK;
    if (x->at == x->count && !x->over)
        rc = read_entries(x, err);
    *ret_there = rc == KF_OK && x->at < x->count;
    if (!*ret_there)
        return rc;
    *ret = x->entries[x->at];
    str attach = x->attach[x->at++];
    if (!attach.len)
        return KF_OK;
    buf_clear(&x->attached);
    rc = stream_attachment(x->db, attach, &x->attached, err);
    ret->attach = buf_view(&x->attached);
    return rc;
}

/* ----------------------------------------------------------------------------------- the whole */

/* A store that is being filled says so for lists. */
static kf_rc is_filled(struct streams *streams, enum memory_file file, struct kf_err *err)
{
    struct kf_stream_list list = {0};
    kf_rc rc = streams_list(streams, memory_file_prefix(file), NULL, 1, NULL, 0, &list, err);
    kf_stream_list_free(&list);
    return rc;
}

kf_rc memory_export(struct kf_store *store, struct streams *streams, enum memory_file file,
                    bool (*wanted)(void *ctx), void *ctx, struct buf *out,
                    struct memory_counts *ret, struct kf_err *err)
{
    struct long_read read = {.wanted = wanted, .ctx = ctx};
    struct export *x = mem_calloc(1, sizeof *x);
    if (!x)
        return err_nomem(err);
    const struct memory_source source = {next_stream, next_entry, x};
    x->prefix = x->after = str_of(memory_file_prefix(file));
    kf_rc rc = is_filled(streams, file, err);
    if (rc == KF_OK)
        rc = store_read_long(store, &read, &x->db, err);
    if (rc == KF_OK) {
        rc = memory_file_write(file, &source, out, ret, err);
        store_read_end(store, x->db);
    }
    arena_release(&x->heads_arena);
    arena_release(&x->arena);
    buf_release(&x->attached);
    mem_free(x);
    return rc;
}
