/* Entries of streams. What the window has is answered in the turn in which it was asked for, the
 * rest by a worker. Appends are checked here, ride in the store's next group and come back to the
 * loop as writes of documents do. */
#include "api/api_internal.h"

#include "api/entries.h"

/* ------------------------------------------------------------------------------------- reading */

/* What an entry takes besides its texts: names of members, a number and a time. */
#define ENTRY_ROOM 160

static char *put(char *to, const void *p, size_t len)
{
    memcpy(to, p, len);
    return to + len;
}

#define PUT(to, literal) put(to, "" literal, sizeof(literal) - 1)

static char *put_u64(char *to, uint64_t v)
{
    size_t digits = 1;
    for (uint64_t rest = v; rest >= 10; rest /= 10)
        digits++;
    for (char *at = to + digits; at > to; v /= 10)
        *--at = (char)('0' + v % 10);
    return to + digits;
}

/* The members of an entry are known, so they are put as they are, into room that was made before: a
 * list may have a thousand, and whoever else asks waits meanwhile. A kind has nothing that would
 * have to be escaped, an id hardly ever.
 * across: entries of several streams, each with the key of its own.
 * first: none stands before it. */
static void entry_json(const struct kf_entry *e, bool across, bool first,
                       struct when_minute *minute, struct buf *out)
{
    str id = str_make(e->id, e->id_len);
    bool plain = json_is_plain(id);
    size_t texts = e->id_len + e->kind_len + e->len + e->attach_len;
    if (across) {
        buf_c(out, first ? "{\"stream\":" : ",{\"stream\":");
        buf_json_string(out, str_of(e->stream));
    }
    char *to = buf_room(out, ENTRY_ROOM + texts), *begin = to;
    if (!to)
        return;
    if (across)
        to = PUT(to, ",\"n\":");
    else
        to = first ? PUT(to, "{\"n\":") : PUT(to, ",{\"n\":");
    to = put_u64(to, e->n);
    if (e->id_len) {
        to = PUT(to, ",\"id\":");
        if (plain) {
            to = PUT(put(PUT(to, "\""), id.p, id.len), "\"");
        } else {
            buf_grew(out, (size_t)(to - begin));
            buf_json_string(out, id);
            to = begin = buf_room(out, ENTRY_ROOM + texts);
            if (!to)
                return;
        }
    }
    if (e->kind_len) {
        to = PUT(to, ",\"kind\":\"");
        to = put(to, e->kind, e->kind_len);
        to = PUT(to, "\"");
    }
    to = PUT(to, ",\"at\":\"");
    when_format_on(minute, e->at_ms, to);
    to = PUT(to + WHEN_LEN, "\",\"body\":");
    to = put(to, e->body, e->len);
    if (e->attach) {
        to = PUT(to, ",\"attach\":");
        to = put(to, e->attach, e->attach_len);
    }
    to = PUT(to, "}");
    buf_grew(out, (size_t)(to - begin));
}

/* Behind the members that stand before them. */
static void items_json(const struct kf_entry_list *list, bool across, bool first, struct buf *out)
{
    size_t room = 0;
    struct when_minute minute = {0};
    json_key(out, &first, "items");
    buf_byte(out, '[');
    for (size_t i = 0; i < list->count; i++)
        room += ENTRY_ROOM + list->items[i].id_len + list->items[i].len + list->items[i].attach_len;
    buf_room(out, room); /* nearly all at once */
    for (size_t i = 0; i < list->count; i++)
        entry_json(&list->items[i], across, i == 0, &minute, out);
}

/* A cursor is the direction and the number to go on from: "a17" behind 17, "b17" before it. */
static void page_json(struct api_call *c, const struct kf_entry_query *q,
                      const struct kf_entry_list *list)
{
    char next[24] = "", *end = next;
    bool back = q->last || q->before, first = true;
    c->follow_none = list->count == 0;
    if (list->count) {
        end = back ? PUT(end, "b") : PUT(end, "a");
        end = put_u64(end, list->items[back ? 0 : list->count - 1].n);
    }
    buf_byte(&c->out, '{');
    json_put_born(&c->out, &first, list->born);
    items_json(list, false, first, &c->out);
    answer_next(&c->out, list->more && list->count, str_make(next, (size_t)(end - next)));
}

static kf_rc take_time(const struct api_call *c, const char *key, int64_t *ret, struct kf_err *err)
{
    str text = query_get(c, key);
    if (!text.len)
        return KF_OK;
    if (!when_parse(text, ret))
        return err_set(err, PROBLEM_BAD_FILTER,
                       "%s must be a time such as 2026-11-09T14:23:45.123Z (a + of an address is "
                       "a blank: write %%2B)",
                       key);
    if (*ret == 0) /* which would mean that there is no bound; no entry is that old */
        *ret = 1;
    return KF_OK;
}

static kf_rc take_cursor(struct api_call *c, struct kf_entry_query *q, struct kf_err *err)
{
    uint64_t n;
    str from;
    kf_rc rc = query_cursor(c, &from, err);
    if (rc != KF_OK || !from.p)
        return rc;
    if (!str_to_u64(str_from(from, 1), &n) || n == 0 || (from.p[0] != 'a' && from.p[0] != 'b'))
        return cursor_foreign(err);
    q->limit = q->last;                 /* 0: what is asked for, or the usual */
    q->last = q->before = q->after = 0; /* the place where the first page began */
    *(from.p[0] == 'a' ? &q->after : &q->before) = n;
    return KF_OK;
}

kf_rc entries_query(struct api_call *c, struct kf_entry_query *q, struct kf_err *err)
{
    uint64_t limit = 0;
    char *kind = NULL;
    kf_rc rc = query_number(c, "last", 1, API_LIST_MAX, &q->last, err);
    if (rc == KF_OK)
        rc = query_number(c, "after", 0, INT64_MAX, &q->after, err);
    if (rc == KF_OK)
        rc = query_number(c, "before", 1, INT64_MAX, &q->before, err);
    if (rc == KF_OK)
        rc = query_number(c, "limit", 1, API_LIST_MAX, &limit, err);
    if (rc == KF_OK)
        rc = take_time(c, "from", &q->from_ms, err);
    if (rc == KF_OK)
        rc = take_time(c, "until", &q->until_ms, err);
    if (rc == KF_OK)
        rc = query_text(c, "kind", &kind, err);
    if (rc == KF_OK && query_get(c, "last").len + query_get(c, "after").len &&
        query_get(c, "before").len)
        rc = err_set(err, PROBLEM_BAD_FILTER, "last, after and before exclude each other");
    if (rc == KF_OK)
        rc = take_cursor(c, q, err);
    q->kind = kind;
    if (!q->limit)
        q->limit = (size_t)limit;
    return rc;
}

static void read_entries(struct api_call *c)
{
    struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
    struct kf_entry_list list = {0};
    char *key = arena_dup(&c->arena, c->match.name);
    c->rc = key ? entries_query(c, &q, &c->err) : err_nomem(&c->err);
    if (c->rc == KF_OK)
        c->rc = kf_entries(c->store, key, &q, &list, &c->err);
    if (c->rc == KF_OK)
        page_json(c, &q, &list);
    kf_entry_list_free(&list);
}

static void look(struct api_call *c);

/* Whether who follows has what it waits for: an entry, or a reason not to wait. */
static void looked(struct api_call *c)
{
    if (c->follows && c->rc == KF_OK && c->follow_none) {
        follow_wait(c, look);
        return;
    }
    follow_end(c);
    call_answer_out(c);
}

static void look(struct api_call *c)
{
    struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
    struct kf_entry_list list = {0};
    c->rc = entries_query(c, &q, &c->err);
    if (c->rc == KF_OK &&
        streams_peek(store_streams(c->store), c->match.name, &q, &list) != KF_OK) {
        call_work(c, read_entries, looked);
        return;
    }
    if (c->rc == KF_OK)
        page_json(c, &q, &list);
    kf_entry_list_free(&list);
    looked(c);
}

/* In a process of its own, with the file of the store locked, nobody else could append: there is
 * nothing to wait for. */
static bool may_wait(const struct api_call *c)
{
    return c->peer != API_PEER_SELF || store_level(c->store) == KF_LEVEL_SHARED;
}

void entry_list(struct api_call *c)
{
    uint32_t wait_ms = 0;
    c->rc = follow_read(c, &wait_ms, &c->err);
    if (c->rc != KF_OK) {
        call_answer_out(c);
        return;
    }
    if (wait_ms && may_wait(c))
        follow_begin(c, wait_ms);
    look(c);
}

static kf_rc read_context_options(struct api_call *c, struct kf_context_options *o,
                                  struct kf_err *err)
{
    uint64_t entries = 0, bytes = 0;
    char *across = NULL;
    kf_rc rc = query_number(c, "entries", 1, API_LIST_MAX, &entries, err);
    if (rc == KF_OK)
        rc = query_number(c, "bytes", 1, INT64_MAX, &bytes, err);
    if (rc == KF_OK)
        rc = query_text(c, "across", &across, err);
    o->entries = (size_t)entries;
    o->bytes = (size_t)bytes;
    o->across = across;
    return rc;
}

/* A context has no second page: what came before did not fit. */
static void context_json(const struct kf_context_options *o, const struct kf_entry_list *list,
                         struct buf *out)
{
    buf_byte(out, '{');
    items_json(list, o->across != NULL, true, out);
    buf_c(out, "],\"next\":null,\"more\":");
    buf_c(out, list->more ? "true}" : "false}");
}

static void read_context(struct api_call *c)
{
    struct kf_context_options o = KF_CONTEXT_OPTIONS_INIT;
    struct kf_entry_list list = {0};
    char *key = arena_dup(&c->arena, c->match.name);
    c->rc = key ? read_context_options(c, &o, &c->err) : err_nomem(&c->err);
    if (c->rc == KF_OK)
        c->rc = streams_context(store_streams(c->store), key, &o, own_sees, c, &list, &c->err);
    if (c->rc == KF_OK)
        context_json(&o, &list, &c->out);
    kf_entry_list_free(&list);
}

void entry_context(struct api_call *c)
{
    struct kf_context_options o = KF_CONTEXT_OPTIONS_INIT;
    struct kf_entry_list list = {0};
    c->rc = read_context_options(c, &o, &c->err);
    if (c->rc == KF_OK &&
        streams_peek_context(store_streams(c->store), c->match.name, &o, &list) != KF_OK) {
        call_work(c, read_context, call_answer_out);
        return;
    }
    if (c->rc == KF_OK)
        context_json(&o, &list, &c->out);
    kf_entry_list_free(&list);
    call_answer_out(c);
}

/* ----------------------------------------------------------------------------------- appending */

static bool all_known(const struct api_call *c)
{
    for (size_t i = 0; i < c->append_count; i++)
        if (!c->appended[i].duplicate)
            return false;
    return true;
}

static void appended_json(const struct kf_appended *a, bool *first, struct buf *out)
{
    json_put_u64(out, first, "n", a->n);
    if (a->duplicate)
        json_put_bool(out, first, "duplicate", true);
}

static void appended_list_json(const struct api_call *c, bool *first, struct buf *out)
{
    json_key(out, first, "items");
    for (size_t i = 0; i < c->append_count; i++) {
        bool one = true;
        buf_c(out, i ? ",{" : "[{");
        appended_json(&c->appended[i], &one, out);
        buf_c(out, "}");
    }
    buf_c(out, "]");
}

static void answer_appended(struct api_call *c)
{
    bool first = true, known = all_known(c);
    answer_header(c, "Keepfast-Ack", str_of(kf_level_name(c->written.level)));
    if (known)
        answer_header(c, "Idempotent-Replay", STR("true"));
    buf_c(&c->out, "{");
    if (c->of_list)
        appended_list_json(c, &first, &c->out);
    else
        appended_json(c->appended, &first, &c->out);
    json_put_u64(&c->out, &first, "count", c->stream_count);
    buf_c(&c->out, "}");
    c->status = known ? 200 : 201;
    call_answer_out(c);
}

/* On the loop, with the result. */
static void append_back(struct api_call *c)
{
    if (!call_end_work(c))
        return;
    if (c->rc != KF_OK)
        answer_problem(c, &c->err);
    else
        write_confirm(c, STR(""), answer_appended);
}

static void append_back_msg(struct loop_msg *m)
{
    append_back((struct api_call *)((char *)m - offsetof(struct api_call, msg)));
}

/* On the thread that leads. What is told is copied here: of an append of level memory the group
 * goes on, and may be applied again while its answer is on the way. */
static void append_done(struct stream_append *a)
{
    struct api_call *c = a->ctx;
    c->rc = a->write.rc;
    if (c->rc == KF_OK)
        memcpy(c->appended, a->appended, c->append_count * sizeof *c->appended);
    else
        c->err = a->write.err;
    c->stream_count = a->stream_count;
    c->written.level = a->level;
    c->append = NULL;
    stream_append_free(a);
    if (loop_is_own_thread(c->api->o.loop)) {
        append_back(c);
    } else {
        c->msg = (struct loop_msg){.run = append_back_msg};
        loop_post(c->api->o.loop, &c->msg);
    }
}

/* What is wrong with one entry of a list is told with its place in it. */
static void refuse_item(struct api_call *c, const struct kf_err *why, size_t index, size_t count)
{
    struct kf_err err = KF_ERR_INIT;
    char extra[120];
    snprintf(extra, sizeof extra, ",\"index\":%zu,\"cause\":\"%s\"", index, why->code);
    err_at(&err, PROBLEM_BATCH_ITEM, why->offset,
           "entry %zu of %zu: %s; none of the list was appended", index + 1, count, why->detail);
    answer_problem_with(c, &err, str_of(extra));
}

/* Offsets of a body or attachment become offsets of the request. */
static void place_in_request(const struct api_call *c, const struct kf_entry_new *e,
                             struct kf_err *err)
{
    if (err->offset >= 0)
        err->offset += (const char *)e->body - c->body.p;
}

/* The stream has refused something before anything was queued. Which of several it was is found by
 * asking for each alone. */
static void refuse(struct api_call *c, const char *key, const struct entries_asked *asked,
                   const struct kf_err *why)
{
    for (size_t i = 0; i < asked->count; i++) {
        struct kf_err err = KF_ERR_INIT;
        struct stream_append *one = NULL;
        kf_rc rc = stream_append_new(store_streams(c->store), key, &asked->items[i], 1,
                                     KF_LEVEL_DEFAULT, &one, &err);
        stream_append_free(one);
        if (rc == KF_OK)
            continue;
        place_in_request(c, &asked->items[i], &err);
        if (asked->list && rc != KF_NOMEM)
            refuse_item(c, &err, i, asked->count);
        else
            answer_problem(c, &err);
        return;
    }
    answer_problem(c, why);
}

static void append_entries(struct api_call *c, const struct entries_asked *asked)
{
    struct kf_err err = KF_ERR_INIT;
    kf_level level = KF_LEVEL_DEFAULT;
    char *key = arena_dup(&c->arena, c->match.name);
    c->append_count = asked->count;
    c->of_list = asked->list;
    c->appended = arena_alloc(&c->arena, asked->count * sizeof *c->appended);
    kf_rc rc = key && c->appended ? write_level(c, &level, &err) : err_nomem(&err);
    if (rc == KF_OK)
        rc = stream_wait_check(c, &err);
    if (rc != KF_OK) {
        answer_problem(c, &err);
        return;
    }
    rc = stream_append_new(store_streams(c->store), key, asked->items, asked->count, level,
                           &c->append, &err);
    if (rc != KF_OK) {
        refuse(c, key, asked, &err);
        return;
    }
    call_begin_work(c);
    stream_append_submit(c->append, append_done, c);
}

void entry_append(struct api_call *c)
{
    struct entries_asked asked = {0};
    struct kf_err err = KF_ERR_INIT;
    size_t index, count;
    kf_rc rc = entries_parse(buf_view(&c->body), &c->arena, &asked, &index, &count, &err);
    if (rc == KF_OK)
        append_entries(c, &asked);
    else if (index != SIZE_MAX)
        refuse_item(c, &err, index, count);
    else
        answer_problem(c, &err);
}
