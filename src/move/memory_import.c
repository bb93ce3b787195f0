/* memory_import: a memory file into a store.
 *
 *   for each stream of the file
 *      what of it the store has: values of elements, counted
 *      its attributes, when they differ
 *      elements that are not among them, in appends of some hundred entries
 *
 * An element is known by its value, not by its id alone: a file that somebody has read and written
 * again has other bytes and so other ids. The ids are for an import that was cut: its entries are
 * not appended twice. */
#include "move/memory_store.h"

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/table.h"

#define BATCH_ENTRIES 400
#define BATCH_BYTES   ((size_t)2 << 20)

/* A value of elements that the store has, and how many of them the file has not named yet. */
struct known {
    struct hash value;
    uint64_t left;
    bool lost;
    UT_hash_handle hh;
};

struct import {
    struct streams *streams;
    enum memory_file file;
    struct memory_import counts;
    /* the stream at hand */
    struct arena known_arena;
    struct known *known;
    struct buf key; /* with a NUL behind it */
    /* what is to be appended */
    struct arena arena;
    struct kf_entry_new *entries; /* BATCH_ENTRIES of them */
    size_t count, bytes;
    /* entries that are read */
    struct kf_entry_list page;
    size_t at;
    uint64_t last;
};

/* ---------------------------------------------------------------------------- what the store has
 * */

static kf_rc next_page(struct import *im, struct kf_err *err)
{
    struct kf_entry_query query = KF_ENTRY_QUERY_INIT;
    query.after = im->last;
    query.limit = STREAM_LIMIT_MAX;
    kf_entry_list_free(&im->page);
    im->at = 0;
    return streams_entries(im->streams, im->key.p, &query, &im->page, err);
}

static kf_rc give_entry(void *ctx, struct memory_entry *ret, bool *ret_there, struct kf_err *err)
{
    struct import *im = ctx;
    *ret_there = false;
    if (im->at == im->page.count) {
        kf_rc rc = next_page(im, err);
        if (rc != KF_OK || im->page.count == 0)
            return rc;
    }
    const struct kf_entry *e = &im->page.items[im->at++];
    im->last = e->n;
    *ret = (struct memory_entry){.n = e->n,
                                 .id = str_of(e->id),
                                 .kind = str_of(e->kind),
                                 .at_ms = e->at_ms,
                                 .body = str_make(e->body, e->len),
                                 .attach = str_make(e->attach, e->attach_len)};
    *ret_there = true;
    return KF_OK;
}

static kf_rc count_value(void *ctx, const struct hash *value, struct kf_err *err)
{
    struct import *im = ctx;
    struct known *k = NULL;
    HASH_FIND(hh, im->known, value, sizeof *value, k);
    if (!k) {
        k = arena_alloc(&im->known_arena, sizeof *k);
        if (!k)
            return err_nomem(err);
        k->value = *value;
        HASH_ADD(hh, im->known, value, sizeof k->value, k);
        if (k->lost)
            return err_nomem(err);
    }
    k->left++;
    return KF_OK;
}

static void forget_known(struct import *im)
{
    HASH_CLEAR(hh, im->known); /* its elements are the arena's */
    arena_clear(&im->known_arena);
}

static kf_rc find_known(struct import *im, str attrs, struct kf_err *err)
{
    const struct memory_stream stream = {buf_view(&im->key), attrs};
    const struct memory_source source = {NULL, give_entry, im};
    im->last = 0;
    kf_rc rc = memory_file_values(im->file, &stream, &source, count_value, im, err);
    kf_entry_list_free(&im->page);
    im->at = 0;
    return rc;
}

/* ------------------------------------------------------------------------------------- writing */

static kf_rc flush(struct import *im, struct kf_err *err)
{
    struct stream_append *a = NULL;
    if (!im->count)
        return KF_OK;
    kf_rc rc = stream_append_new(im->streams, im->key.p, im->entries, im->count, KF_LEVEL_DEFAULT,
                                 &a, err);
    if (rc == KF_OK)
        rc = stream_append_run(a, err);
    for (size_t i = 0; rc == KF_OK && i < im->count; i++)
        im->counts.added += !a->appended[i].duplicate;
    stream_append_free(a);
    im->count = im->bytes = 0;
    arena_clear(&im->arena);
    if (rc != KF_OK && rc != KF_NOMEM)
        err_prefix(err, "\"%.200s\"", im->key.p);
    return rc;
}

static kf_rc take_entry(void *ctx, const struct memory_entry *entry, struct kf_err *err)
{
    struct import *im = ctx;
    size_t bytes = entry->body.len + entry->attach.len;
    kf_rc rc = KF_OK;
    if (im->count == BATCH_ENTRIES || im->bytes + bytes > BATCH_BYTES)
        rc = flush(im, err);
    if (rc != KF_OK)
        return rc;
    struct kf_entry_new *e = &im->entries[im->count];
    *e = (struct kf_entry_new)KF_ENTRY_NEW_INIT;
    e->id = arena_dup(&im->arena, entry->id);
    e->kind = arena_dup(&im->arena, entry->kind);
    e->at_ms = entry->at_ms;
    e->body = arena_dup(&im->arena, entry->body);
    e->len = entry->body.len;
    if (entry->attach.p)
        e->attach = arena_dup(&im->arena, entry->attach);
    e->attach_len = entry->attach.len;
    if (!e->id || !e->kind || !e->body || (entry->attach.p && !e->attach))
        return err_nomem(err);
    im->count++;
    im->bytes += bytes;
    return KF_OK;
}

/* Whether the attributes are another value with the patch than without it. */
static kf_rc would_change(str attrs, str patch, bool *ret, struct kf_err *err)
{
    struct buf after = BUF_INIT;
    bool same = false;
    kf_rc rc = json_merge_patch(attrs, patch, &after, err);
    if (rc == KF_OK)
        rc = json_same(attrs, buf_view(&after), &same, err);
    *ret = !same;
    buf_release(&after);
    return rc;
}

static kf_rc set_attrs(struct import *im, str patch, struct kf_err *err)
{
    kf_rc rc = streams_patch(im->streams, im->key.p, patch.p, patch.len, NULL, err);
    if (rc == KF_OK)
        im->counts.changed++;
    else if (rc != KF_NOMEM)
        err_prefix(err, "\"%.200s\"", im->key.p);
    return rc;
}

static kf_rc take_stream(void *ctx, const struct memory_stream *stream, struct kf_err *err)
{
    struct import *im = ctx;
    struct kf_stream_info info = {0};
    bool change = true;
    kf_rc rc = flush(im, err);
    if (rc != KF_OK)
        return rc;
    forget_known(im);
    buf_clear(&im->key);
    buf_str(&im->key, stream->key);
    rc = buf_ok(&im->key, err);
    if (rc == KF_OK)
        rc = streams_info(im->streams, im->key.p, &info, err);
    bool there = rc == KF_OK;
    if (there) {
        str attrs = str_make(info.attrs, info.attrs_len);
        rc = would_change(attrs, stream->attrs, &change, err);
        if (rc == KF_OK && info.count)
            rc = find_known(im, stream->attrs, err);
    } else if (rc == KF_ABSENT) {
        rc = KF_OK;
    }
    kf_stream_info_free(&info);
    return rc == KF_OK && change ? set_attrs(im, stream->attrs, err) : rc;
}

static kf_rc take_element(void *ctx, const struct hash *value, bool *ret_wanted, struct kf_err *err)
{
    struct import *im = ctx;
    struct known *k = NULL;
    (void)err;
    HASH_FIND(hh, im->known, value, sizeof *value, k);
    *ret_wanted = !k || !k->left;
    if (!*ret_wanted)
        k->left--;
    return KF_OK;
}

/* What the file has, whatever is new of it. */
static kf_rc count_stream(void *ctx, const struct memory_stream *stream, struct kf_err *err)
{
    (void)ctx;
    (void)stream;
    (void)err;
    return KF_OK;
}
static kf_rc count_entry(void *ctx, const struct memory_entry *entry, struct kf_err *err)
{
    (void)ctx;
    (void)entry;
    (void)err;
    return KF_OK;
}

kf_rc memory_import(struct streams *streams, enum memory_file file, str json,
                    struct memory_import *ret, struct kf_err *err)
{
    struct import im = {.streams = streams, .file = file};
    const struct memory_sink sink = {take_stream, take_element, take_entry, &im};
    const struct memory_sink counter = {count_stream, NULL, count_entry, NULL};
    size_t body_max = (size_t)streams_limit(streams);
    im.entries = mem_calloc(BATCH_ENTRIES, sizeof *im.entries);
    kf_rc rc = im.entries ? KF_OK : err_nomem(err);
    if (rc == KF_OK)
        rc = memory_file_read(file, json, body_max, &counter, &im.counts.file, err);
    if (rc == KF_OK)
        rc = memory_file_read(file, json, body_max, &sink, NULL, err);
    if (rc == KF_OK)
        rc = flush(&im, err);
    if (rc == KF_OK && ret)
        *ret = im.counts;
    forget_known(&im);
    kf_entry_list_free(&im.page);
    buf_release(&im.key);
    arena_release(&im.known_arena);
    arena_release(&im.arena);
    mem_free(im.entries);
    return rc;
}
