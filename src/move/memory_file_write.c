/* memory_file_write: streams become a file again.
 *
 *   entries -> elements -> the list of a persona -> its object -> the file */
#include "move/memory_file_internal.h"

#include "base/json_internal.h"

#include <assert.h>

/* A persona or dialogue that is done. */
struct object {
    struct object *next;
    str key, text;
    uint64_t place; /* UINT64_MAX: came from no file */
};

struct writer {
    const struct memory_kind *kind;
    const struct memory_source *source;
    struct arena arena;
    struct object *objects;
    str rest; /* the members of what is no persona, with commas between them */
    const struct json_node *wrapper; /* the object in whose member the dialogues are; NULL = none */
    struct memory_counts counts;

    /* The stream at hand. */
    struct memory_elements elements;
    const struct json_node *memory; /* memory[0] of its attributes; NULL = came from no file */
    const char *list;
};

static kf_rc refuse_attrs(struct writer *w, struct kf_err *err)
{
    str key = w->elements.key;
    return err_set(err, PROBLEM_SCHEMA,
                   "the attribute `memory` of %.*s is not what an import of %s writes: import the "
                   "file again, or remove the attribute",
                   key.len > 200 ? 200 : (int)key.len, key.p, w->kind->name);
}

/* --------------------------------------------------------------------------------- statistics */

/* The statistics of the file, and `more` exchanges. */
static void put_statistics(const struct writer *w, const struct json_node *old, uint64_t more,
                           struct buf *out)
{
    str first, last;
    memory_elements_times(&w->elements, &first, &last);
    buf_byte(out, '{');
    for (const struct json_node *m = old->child; m; m = m->next) {
        uint64_t total;
        buf_str(out, m->name);
        buf_byte(out, ':');
        if (json_text_is(m->name, STR("total_messages")) && json_u64(m, &total) &&
            total <= UINT64_MAX - more)
            buf_u64(out, total + more);
        else if (json_text_is(m->name, STR("last_interaction")) && last.p)
            buf_str(out, last);
        else if (json_text_is(m->name, STR("first_interaction")) && m->type == JSON_NULL && first.p)
            buf_str(out, first);
        else
            buf_str(out, m->raw);
        buf_c(out, m->next ? "," : "");
    }
    buf_byte(out, '}');
}

static void put_new_statistics(const struct writer *w, struct buf *out)
{
    str first, last;
    memory_elements_times(&w->elements, &first, &last);
    buf_c(out, "{\"total_messages\":");
    buf_u64(out, w->elements.count);
    memory_put_member(out, "first_interaction", first);
    memory_put_member(out, "last_interaction", last);
    buf_byte(out, '}');
}

/* ------------------------------------------------------------------------------------ objects */

/* The object of a stream that came from a file. */
static kf_rc put_old_object(struct writer *w, struct buf *out, struct kf_err *err)
{
    const struct json_node *object = json_member(w->memory, "object");
    bool listed = json_member(w->memory, "list") != NULL, done = false;
    uint64_t count = 0;
    kf_rc rc = KF_OK;
    if (!object || object->type != JSON_OBJECT ||
        (listed && !json_u64(json_member(w->memory, "count"), &count)))
        return refuse_attrs(w, err);
    uint64_t more = w->elements.count > count ? w->elements.count - count : 0;
    buf_byte(out, '{');
    for (const struct json_node *m = object->child; m && rc == KF_OK; m = m->next) {
        buf_str(out, m->name);
        buf_byte(out, ':');
        if (json_text_is(m->name, str_of(w->list)) && (listed || w->elements.first)) {
            rc = memory_elements_put(&w->elements, out, err);
            done = true;
        } else if (more && w->elements.exchanges && m->type == JSON_OBJECT &&
                   json_text_is(m->name, STR("statistics"))) {
            put_statistics(w, m, more, out);
        } else {
            buf_str(out, m->raw);
        }
        buf_c(out, m->next ? "," : "");
    }
    if (rc == KF_OK && !done && w->elements.first) {
        buf_printf(out, "%s\"%s\":", object->child ? "," : "", w->list);
        rc = memory_elements_put(&w->elements, out, err);
    }
    buf_byte(out, '}');
    return rc;
}

/* The object of a stream that came from no file. */
static kf_rc put_new_object(struct writer *w, const struct json_node *attrs, struct buf *out,
                            struct kf_err *err)
{
    buf_byte(out, '{');
    if (w->kind->array) {
        buf_c(out, "\"id\":");
        buf_json_string(out, str_from(w->elements.key, strlen(w->kind->prefix)));
        buf_byte(out, ',');
    } else if (w->elements.exchanges && memory_raw(attrs, "persona").p) {
        memory_put_member(out, "partner_name", memory_raw(attrs, "persona"));
        buf_byte(out, ',');
    }
    buf_printf(out, "\"%s\":", w->list);
    kf_rc rc = memory_elements_put(&w->elements, out, err);
    if (rc == KF_OK && w->elements.exchanges) {
        buf_c(out, ",\"statistics\":");
        put_new_statistics(w, out);
    }
    buf_byte(out, '}');
    return rc;
}

static kf_rc keep_object(struct writer *w, const struct buf *text, struct kf_err *err)
{
    struct object *o = arena_alloc(&w->arena, sizeof *o);
    kf_rc rc = buf_ok(text, err);
    if (rc != KF_OK)
        return rc;
    if (!o)
        return err_nomem(err);
    o->place = UINT64_MAX;
    if (w->memory && !json_u64(json_member(w->memory, "place"), &o->place))
        return refuse_attrs(w, err);
    o->key = arena_str(&w->arena, w->elements.key);
    o->text = arena_str(&w->arena, buf_view(text));
    if (!o->key.p || !o->text.p)
        return err_nomem(err);
    o->next = w->objects;
    w->objects = o;
    w->counts.streams++;
    w->counts.exchanges += w->elements.count;
    return KF_OK;
}

/* ------------------------------------------------------------------------------------ streams */

/* memory[0] of the attributes, and with it the list; NULL when the stream came from no file. */
static kf_rc read_memory(struct writer *w, const struct json_node *attrs, struct kf_err *err)
{
    const struct json_node *memory = json_member(attrs, "memory");
    w->memory = NULL;
    w->list = w->kind->list;
    if (memory) {
        if (memory->type != JSON_ARRAY || !memory->child)
            return refuse_attrs(w, err);
        w->memory = memory->child;
        str list = memory_raw(w->memory, "list");
        if (list.p && json_text_is(list, STR(MEMORY_EXCHANGES)))
            w->list = MEMORY_EXCHANGES;
        else if (list.p && json_text_is(list, STR(MEMORY_MESSAGES)))
            w->list = MEMORY_MESSAGES;
        else if (json_member(w->memory, "list"))
            return refuse_attrs(w, err);
    }
    w->elements.exchanges = str_is(str_of(w->list), MEMORY_EXCHANGES);
    return KF_OK;
}

/* What stood beside the personas of the file. */
static kf_rc take_rest(struct writer *w, struct kf_err *err)
{
    const struct json_node *object = json_member(w->memory, "object");
    struct memory_entry entry = {0};
    bool there = false, wrapped = json_member(w->memory, "list") != NULL;
    kf_rc rc = KF_OK;
    if (!object || object->type != JSON_OBJECT || !object->count ||
        (wrapped ? !json_member(object, MEMORY_EXCHANGES) : w->kind->array))
        return refuse_attrs(w, err);
    if (wrapped) {
        rc = memory_parse(&w->arena, object->raw, &w->wrapper, err);
    } else {
        w->rest = arena_str(&w->arena, str_make(object->raw.p + 1, object->raw.len - 2));
        rc = w->rest.p ? KF_OK : err_nomem(err);
    }
    if (rc == KF_OK)
        rc = w->source->entry(w->source->ctx, &entry, &there, err);
    return rc == KF_OK && there
               ? err_set(err, PROBLEM_SCHEMA,
                         "entry %llu of %.*s cannot stand in %s: it is of no persona",
                         (unsigned long long)entry.n, STR_ARGS(w->elements.key), w->kind->name)
               : rc;
}

/* Takes in all entries of the stream at hand. tolerant: those that cannot be elements are passed
 * over. */
static kf_rc read_entries(struct writer *w, bool tolerant, struct kf_err *err)
{
    for (;;) {
        struct memory_entry entry = {0};
        bool there = false;
        kf_rc rc = w->source->entry(w->source->ctx, &entry, &there, err);
        if (rc != KF_OK || !there)
            return rc;
        rc = memory_elements_take(&w->elements, &entry, err);
        if (rc == KF_OK)
            w->counts.entries++;
        else if (rc != KF_INVALID || !tolerant)
            return rc;
    }
}

/* Makes it the stream at hand. */
static kf_rc begin_stream(struct writer *w, const struct memory_stream *stream,
                          const struct json_node **ret_attrs, struct kf_err *err)
{
    struct memory_elements *e = &w->elements;
    assert(str_starts(stream->key, str_of(w->kind->prefix)));
    memory_elements_clear(e);
    e->kind = w->kind;
    e->key = arena_str(&e->arena, stream->key);
    if (!e->key.p)
        return err_nomem(err);
    kf_rc rc = memory_parse(&e->arena, stream->attrs, ret_attrs, err);
    return rc == KF_OK ? read_memory(w, *ret_attrs, err) : rc;
}

static kf_rc write_stream(struct writer *w, const struct memory_stream *stream, struct kf_err *err)
{
    struct buf text = BUF_INIT;
    const struct json_node *attrs;
    kf_rc rc = begin_stream(w, stream, &attrs, err);
    if (rc != KF_OK)
        return rc;
    str name = str_from(w->elements.key, strlen(w->kind->prefix));
    if (w->memory && str_is(name, MEMORY_REST) && !json_member(w->memory, "place"))
        return take_rest(w, err);
    rc = read_entries(w, false, err);
    if (rc == KF_OK)
        rc = w->memory ? put_old_object(w, &text, err) : put_new_object(w, attrs, &text, err);
    if (rc == KF_OK)
        rc = keep_object(w, &text, err);
    buf_release(&text);
    return rc;
}

/* -------------------------------------------------------------------------------------- files */

static int order_objects(const void *va, const void *vb)
{
    const struct object *a = va, *b = vb;
    if (a->place != b->place)
        return a->place < b->place ? -1 : 1;
    return str_cmp(a->key, b->key);
}

static void put_personas(const struct writer *w, const void *const *items, size_t count,
                         struct buf *out)
{
    buf_byte(out, '{');
    for (size_t n = 0; n < count; n++) {
        const struct object *o = items[n];
        buf_c(out, n ? "," : "");
        buf_json_string(out, str_from(o->key, strlen(w->kind->prefix)));
        buf_byte(out, ':');
        buf_str(out, o->text);
    }
    if (w->rest.len) {
        buf_c(out, count ? "," : "");
        buf_str(out, w->rest);
    }
    buf_byte(out, '}');
}

static void put_dialogues(const struct writer *w, const void *const *items, size_t count,
                          struct buf *out)
{
    buf_byte(out, '[');
    for (size_t n = 0; n < count; n++) {
        const struct object *o = items[n];
        str text = o->text;
        buf_c(out, n ? "," : "");
        if (o->place == UINT64_MAX && !w->kind->array) { /* made as a persona, which has no id */
            buf_c(out, "{\"id\":");
            buf_json_string(out, str_from(o->key, strlen(w->kind->prefix)));
            buf_byte(out, ',');
            text = str_from(text, 1);
        }
        buf_str(out, text);
    }
    buf_byte(out, ']');
}

static void put_wrapper(const struct writer *w, const void *const *items, size_t count,
                        struct buf *out)
{
    buf_byte(out, '{');
    for (const struct json_node *m = w->wrapper->child; m; m = m->next) {
        buf_str(out, m->name);
        buf_byte(out, ':');
        if (json_text_is(m->name, STR(MEMORY_EXCHANGES)))
            put_dialogues(w, items, count, out);
        else
            buf_str(out, m->raw);
        buf_c(out, m->next ? "," : "");
    }
    buf_byte(out, '}');
}

static kf_rc put_file(struct writer *w, struct buf *out, struct kf_err *err)
{
    size_t count = 0, n = 0;
    for (const struct object *o = w->objects; o; o = o->next)
        count++;
    const void **items = arena_alloc(&w->arena, (2 * count + 1) * sizeof *items);
    if (!items)
        return err_nomem(err);
    for (const struct object *o = w->objects; o; o = o->next)
        items[n++] = o;
    json_sort(items, items + count, count, order_objects);
    if (w->wrapper)
        put_wrapper(w, items, count, out);
    else if (w->kind->array)
        put_dialogues(w, items, count, out);
    else
        put_personas(w, items, count, out);
    return buf_ok(out, err);
}

static kf_rc write_streams(struct writer *w, struct kf_err *err)
{
    for (;;) {
        struct memory_stream stream = {0};
        bool there = false;
        kf_rc rc = w->source->stream(w->source->ctx, &stream, &there, err);
        if (rc == KF_OK && there)
            rc = write_stream(w, &stream, err);
        if (rc != KF_OK || !there)
            return rc;
    }
}

kf_rc memory_file_write(enum memory_file file, const struct memory_source *source, struct buf *out,
                        struct memory_counts *ret, struct kf_err *err)
{
    struct writer w = {.kind = &memory_kinds[file], .source = source};
    struct buf text = BUF_INIT;
    kf_rc rc = write_streams(&w, err);
    if (rc == KF_OK)
        rc = put_file(&w, &text, err);
    if (rc == KF_OK)
        rc = json_pretty(buf_view(&text), out, err);
    if (rc == KF_OK && ret)
        *ret = w.counts;
    buf_release(&text);
    memory_elements_release(&w.elements);
    arena_release(&w.arena);
    return rc;
}

kf_rc memory_file_values(enum memory_file file, const struct memory_stream *stream,
                         const struct memory_source *source, memory_value *fn, void *ctx,
                         struct kf_err *err)
{
    struct writer w = {.kind = &memory_kinds[file], .source = source};
    const struct json_node *attrs;
    kf_rc rc = begin_stream(&w, stream, &attrs, err);
    if (rc == KF_OK)
        rc = read_entries(&w, true, err);
    if (rc == KF_OK)
        rc = memory_elements_values(&w.elements, fn, ctx, err);
    memory_elements_release(&w.elements);
    return rc;
}
