/* memory: a store of streams that is two lists, for tests and the fuzz target of memory files. What
 * allocates here ends the program when it cannot. Include after the headers of the test. */
#ifndef KF_TESTS_JSON_MEMORY_H
#define KF_TESTS_JSON_MEMORY_H

#include "base/json.h"
#include "move/memory_file.h"

#include <stdlib.h>

#define MEMORY_NEED(what) \
    do {                  \
        if (!(what))      \
            abort();      \
    } while (0)

struct memory_model_entry {
    struct memory_model_entry *next;
    char *id, *kind, *body, *attach; /* attach may be NULL */
    int64_t at_ms;
    uint64_t n;
};
struct memory_model_stream {
    struct memory_model_stream *next;
    char *key, *attrs;
    struct memory_model_entry *entries, **last;
    uint64_t last_n;
};
struct memory_model {
    struct memory_model_stream *streams, *at; /* at: of the sink or the source */
    struct memory_model_entry *entry_at;
    const char *prefix; /* the source's */
    bool begun;
    uint64_t duplicates;
};

static inline char *memory_dup(str s)
{
    char *p = s.p ? malloc(s.len + 1) : NULL;
    if (s.p) {
        MEMORY_NEED(p);
        memcpy(p, s.p, s.len);
        p[s.len] = '\0';
    }
    return p;
}

static inline struct memory_model_stream *memory_model_find(struct memory_model *m, str key)
{
    struct memory_model_stream *s = m->streams;
    while (s && !str_is(key, s->key))
        s = s->next;
    return s;
}

/* The stream of this key, made when there is none; attributes as kf_stream_patch takes them. */
static inline struct memory_model_stream *memory_model_patch(struct memory_model *m, str key,
                                                             str patch)
{
    struct memory_model_stream *s = memory_model_find(m, key);
    struct buf out = BUF_INIT;
    if (!s) {
        s = calloc(1, sizeof *s);
        MEMORY_NEED(s);
        s->key = memory_dup(key);
        s->attrs = memory_dup(STR("{}"));
        s->last = &s->entries;
        s->next = m->streams;
        m->streams = s;
    }
    MEMORY_NEED(json_merge_patch(str_of(s->attrs), patch, &out, NULL) == KF_OK);
    free(s->attrs);
    s->attrs = memory_dup(buf_view(&out));
    buf_release(&out);
    return s;
}

/* As kf_append: an id that is there already changes nothing. */
static inline void memory_model_append(struct memory_model *m, struct memory_model_stream *s,
                                       const struct memory_entry *entry)
{
    for (struct memory_model_entry *e = entry->id.len ? s->entries : NULL; e; e = e->next) {
        if (!str_is(entry->id, e->id))
            continue;
        MEMORY_NEED(str_is(entry->body, e->body) && str_is(entry->kind, e->kind));
        m->duplicates++;
        return;
    }
    struct memory_model_entry *e = calloc(1, sizeof *e);
    MEMORY_NEED(e);
    e->id = memory_dup(entry->id);
    e->kind = memory_dup(entry->kind);
    e->body = memory_dup(entry->body);
    e->attach = memory_dup(entry->attach);
    e->at_ms = entry->at_ms;
    e->n = ++s->last_n;
    *s->last = e;
    s->last = &e->next;
}

static inline kf_rc memory_model_sink_stream(void *ctx, const struct memory_stream *stream,
                                             struct kf_err *err)
{
    struct memory_model *m = ctx;
    (void)err;
    m->at = memory_model_patch(m, stream->key, stream->attrs);
    return KF_OK;
}
static inline kf_rc memory_model_sink_entry(void *ctx, const struct memory_entry *entry,
                                            struct kf_err *err)
{
    struct memory_model *m = ctx;
    (void)err;
    memory_model_append(m, m->at, entry);
    return KF_OK;
}
static inline kf_rc memory_model_read(struct memory_model *m, enum memory_file file, str json,
                                      struct memory_counts *ret, struct kf_err *err)
{
    const struct memory_sink sink = {memory_model_sink_stream, NULL, memory_model_sink_entry, m};
    return memory_file_read(file, json, (size_t)1 << 20, &sink, ret, err);
}

static inline kf_rc memory_model_source_stream(void *ctx, struct memory_stream *ret,
                                               bool *ret_there, struct kf_err *err)
{
    struct memory_model *m = ctx;
    (void)err;
    m->at = m->begun ? m->at->next : m->streams;
    m->begun = true;
    while (m->at && !str_starts(str_of(m->at->key), str_of(m->prefix)))
        m->at = m->at->next;
    *ret_there = m->at != NULL;
    if (m->at) {
        *ret = (struct memory_stream){str_of(m->at->key), str_of(m->at->attrs)};
        m->entry_at = m->at->entries;
    }
    return KF_OK;
}
static inline kf_rc memory_model_source_entry(void *ctx, struct memory_entry *ret, bool *ret_there,
                                              struct kf_err *err)
{
    struct memory_model *m = ctx;
    struct memory_model_entry *e = m->entry_at;
    (void)err;
    *ret_there = e != NULL;
    if (e) {
        *ret = (struct memory_entry){e->n,     str_of(e->id),   str_of(e->kind),
                                     e->at_ms, str_of(e->body), str_of(e->attach)};
        m->entry_at = e->next;
    }
    return KF_OK;
}
static inline kf_rc memory_model_write(struct memory_model *m, enum memory_file file,
                                       struct buf *out, struct memory_counts *ret,
                                       struct kf_err *err)
{
    const struct memory_source source = {memory_model_source_stream, memory_model_source_entry, m};
    m->begun = false;
    m->prefix = memory_file_prefix(file);
    return memory_file_write(file, &source, out, ret, err);
}

static inline void memory_model_free(struct memory_model *m)
{
    while (m->streams) {
        struct memory_model_stream *s = m->streams;
        m->streams = s->next;
        while (s->entries) {
            struct memory_model_entry *e = s->entries;
            s->entries = e->next;
            free(e->id);
            free(e->kind);
            free(e->body);
            free(e->attach);
            free(e);
        }
        free(s->key);
        free(s->attrs);
        free(s);
    }
    *m = (struct memory_model){0};
}

#endif
