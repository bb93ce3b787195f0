/* Streams as a whole: statistics and attributes, lists, and what is erased. */
#include "api/api_internal.h"

/* ------------------------------------------------------------------------------------- reading */

static void kinds_json(const struct kf_stream_info *s, struct buf *out)
{
    bool first = true;
    buf_c(out, "{");
    for (size_t i = 0; i < s->kind_count; i++)
        json_put_u64(out, &first, s->kinds[i].kind, s->kinds[i].count);
    buf_c(out, "}");
}

static void members_json(const struct kf_stream_info *s, bool *first, struct buf *out)
{
    json_put_str(out, first, "key", str_of(s->key));
    json_put_u64(out, first, "count", s->count);
    json_put_u64(out, first, "last_n", s->last_n);
    json_put_u64(out, first, "bytes", s->bytes);
    json_put_time(out, first, "first_at", s->first_at_ms);
    json_put_time(out, first, "last_at", s->last_at_ms);
    json_put_born(out, first, s->born);
    json_key(out, first, "kinds");
    kinds_json(s, out);
    json_key(out, first, "attrs");
    buf_add(out, s->attrs, s->attrs_len);
}

static void stream_json(const struct kf_stream_info *s, struct buf *out)
{
    bool first = true;
    buf_c(out, "{");
    members_json(s, &first, out);
    buf_c(out, "}");
}

/* What the configuration says of it that a reader has use for. */
static void rules_json(const struct config_stream *r, struct buf *out)
{
    bool first = true;
    buf_c(out, "{");
    json_put_u64(out, &first, "window", r->window);
    json_put_u64(out, &first, "conversation_gap_ms", r->gap_ms);
    json_key(out, &first, "kinds");
    buf_c(out, "[");
    for (size_t i = 0; i < r->kind_count; i++) {
        buf_c(out, i ? "," : "");
        buf_json_string(out, r->kinds[i]);
    }
    buf_c(out, "]");
    if (r->keep_last)
        json_put_u64(out, &first, "keep_last", r->keep_last);
    if (r->keep_age_ms)
        json_put_u64(out, &first, "keep_age_ms", r->keep_age_ms);
    buf_c(out, "}");
}

static void activity_json(const struct stream_activity *a, const uint64_t *counts, struct buf *out)
{
    bool first = true;
    if (!a->steps) {
        buf_c(out, "null");
        return;
    }
    buf_c(out, "{");
    json_put_time(out, &first, "from", a->from_ms);
    json_put_u64(out, &first, "step_ms", (uint64_t)a->step_ms);
    json_key(out, &first, "counts");
    for (size_t i = 0; i < a->steps; i++)
        buf_printf(out, "%s%llu", i ? "," : "[", (unsigned long long)counts[i]);
    buf_c(out, "]}");
}

/* One stream with all that is told of it. activity: NULL when nobody has asked for it. */
static void whole_json(struct api_call *c, const struct kf_stream_info *s,
                       const struct stream_activity *activity, const uint64_t *counts)
{
    bool first = true;
    buf_c(&c->out, "{");
    members_json(s, &first, &c->out);
    json_key(&c->out, &first, "rings");
    buf_add(&c->out, s->rings, s->rings_len);
    json_key(&c->out, &first, "rules");
    rules_json(streams_rules(store_streams(c->store), str_of(s->key)), &c->out);
    if (activity) {
        json_key(&c->out, &first, "activity");
        activity_json(activity, counts, &c->out);
    }
    buf_c(&c->out, "}");
}

static void read_stream(struct api_call *c)
{
    struct kf_stream_info info = {0};
    struct stream_activity activity = {0};
    uint64_t steps = 0, *counts = NULL;
    char *key = arena_dup(&c->arena, c->match.name);
    c->rc = key ? query_number(c, "steps", 1, STREAM_STEPS_MAX, &steps, &c->err)
                : err_nomem(&c->err);
    if (c->rc == KF_OK)
        c->rc = kf_stream(c->store, key, &info, &c->err);
    if (c->rc == KF_OK && steps) {
        counts = arena_alloc(&c->arena, (size_t)steps * sizeof *counts);
        c->rc = counts ? streams_activity(store_streams(c->store), key, (size_t)steps, &activity,
                                          counts, &c->err)
                       : err_nomem(&c->err);
    }
    if (c->rc == KF_OK)
        whole_json(c, &info, steps ? &activity : NULL, counts);
    kf_stream_info_free(&info);
}

/* How entries lie in time is counted in the store. */
void stream_get(struct api_call *c)
{
    struct kf_stream_info info = {0};
    if (query_get(c, "steps").len ||
        streams_peek_info(store_streams(c->store), c->match.name, &info) != KF_OK) {
        call_work(c, read_stream, call_answer_out);
        return;
    }
    whole_json(c, &info, NULL, NULL);
    kf_stream_info_free(&info);
    c->rc = KF_OK;
    call_answer_out(c);
}

/* The parameters attr.NAME=VALUE. */
static kf_rc read_filters(struct api_call *c, struct kf_stream_filter **ret, size_t *ret_count)
{
    struct kf_stream_filter *filters = arena_alloc(&c->arena,
                                                   (c->match.query_count + 1) * sizeof *filters);
    size_t count = 0;
    if (!filters)
        return err_nomem(&c->err);
    for (size_t i = 0; i < c->match.query_count; i++) {
        const struct api_query *q = &c->match.query[i];
        str name = str_from(q->key, strlen("attr."));
        if (!str_starts(q->key, STR("attr.")))
            continue;
        if (str_index(name, '\0') < name.len || str_index(q->value, '\0') < q->value.len)
            return err_set(&c->err, PROBLEM_BAD_FILTER,
                           "the name or the value of an attribute has a NUL byte: take it out");
        struct kf_stream_filter *f = &filters[count++];
        f->name = arena_dup(&c->arena, name);
        f->value = arena_dup(&c->arena, q->value);
        if (!f->name || !f->value)
            return err_nomem(&c->err);
    }
    *ret = filters;
    *ret_count = count;
    return KF_OK;
}

static kf_rc streams_page(struct api_call *c, const struct own_ask *ask, struct own_got *ret)
{
    struct kf_stream_list list = {0};
    struct kf_stream_filter *filters = NULL;
    size_t count = 0;
    kf_rc rc = read_filters(c, &filters, &count);
    if (rc == KF_OK)
        rc = kf_stream_list(c->store, ask->prefix, ask->after, own_room(ask), filters, count, &list,
                            &c->err);
    if (rc == KF_OK) {
        *ret = (struct own_got){.shown = list.count, .more = list.more};
        own_cut(ask, list.count ? list.items[0].key : "", ret);
        for (size_t i = 0; i < ret->shown; i++) {
            if (ask->shown + i)
                buf_byte(&c->out, ',');
            stream_json(&list.items[i], &c->out);
        }
        rc = own_last(c, ret->shown ? list.items[ret->shown - 1].key : "", ret);
    }
    kf_stream_list_free(&list);
    return rc;
}

static void list_streams(struct api_call *c)
{
    own_list(c, streams_page);
}

void stream_list(struct api_call *c)
{
    call_work(c, list_streams, call_answer_out);
}

/* ---------------------------------------------------------------------------------- attributes */

kf_rc stream_wait_check(const struct api_call *c, struct kf_err *err)
{
    if (!query_get(c, "wait").len || streams_taken(store_streams(c->store), c->match.name))
        return KF_OK;
    return err_set(err, PROBLEM_BAD_REQUEST,
                   "no remote takes the stream \"%.*s\", so there is none to wait for",
                   STR_SHOWN(c->match.name));
}

/* What the call asks for is looked at before anything is changed. False: it is answered. */
static bool stream_wait_checked(struct api_call *c)
{
    kf_level level = KF_LEVEL_DEFAULT;
    c->rc = write_level(c, &level, &c->err);
    if (c->rc == KF_OK)
        c->rc = stream_wait_check(c, &c->err);
    if (c->rc != KF_OK)
        answer_problem(c, &c->err);
    return c->rc == KF_OK;
}

static void patch_stream(struct api_call *c)
{
    struct kf_stream_info info = {0};
    char *key = arena_dup(&c->arena, c->match.name);
    c->rc = key ? streams_patch(store_streams(c->store), key, c->body.p, c->body.len, &info,
                                &c->err)
                : err_nomem(&c->err);
    if (c->rc == KF_OK)
        whole_json(c, &info, NULL, NULL);
    kf_stream_info_free(&info);
}

static void stream_patched(struct api_call *c)
{
    write_worked(c, write_answer_out);
}

void stream_patch(struct api_call *c)
{
    if (stream_wait_checked(c))
        call_work(c, patch_stream, stream_patched);
}

/* ------------------------------------------------------------------------------------- erasing */

static void take_receipt(struct api_call *c, struct kf_receipt *receipt)
{
    if (c->rc == KF_OK) {
        c->receipt = receipt->id;
        c->receipt_again = receipt->again;
        c->out.len = 0;
        buf_add(&c->out, receipt->json.p, receipt->json.len);
    }
    kf_receipt_free(receipt);
}

/* It is erased, whatever comes of this: what cannot be read again is answered as it was read
 * before. */
static void read_receipt(struct api_call *c)
{
    struct kf_receipt receipt = {0};
    c->rc = streams_receipt(store_streams(c->store), c->receipt, c->receipt_again, c->wait.seq,
                            &receipt, &c->err);
    take_receipt(c, &receipt);
    c->rc = KF_OK;
}

/* Remotes that were waited for have confirmed what the receipt of before says they had not. */
static void answer_erased(struct api_call *c)
{
    if (query_get(c, "wait").len)
        call_work(c, read_receipt, write_answer_out);
    else
        write_answer_out(c);
}

static void erased(struct api_call *c)
{
    write_worked(c, answer_erased);
}

static void erase_stream(struct api_call *c)
{
    struct kf_receipt receipt = {0};
    char *key = arena_dup(&c->arena, c->match.name);
    c->rc = key ? kf_stream_erase(c->store, key, &receipt, &c->err) : err_nomem(&c->err);
    take_receipt(c, &receipt);
}

void stream_erase(struct api_call *c)
{
    if (stream_wait_checked(c))
        call_work(c, erase_stream, erased);
}

static void erase_person(struct api_call *c)
{
    struct kf_receipt receipt = {0};
    str a = c->match.attribute, v = c->match.value;
    char *attribute = arena_dup(&c->arena, a), *value = arena_dup(&c->arena, v);
    if (str_index(a, '\0') < a.len || str_index(v, '\0') < v.len)
        c->rc = err_set(&c->err, PROBLEM_BAD_REQUEST,
                        "the name or the value of the attribute has a NUL byte: take it out");
    else
        c->rc = attribute && value ? kf_erase(c->store, attribute, value, &receipt, &c->err)
                                   : err_nomem(&c->err);
    take_receipt(c, &receipt);
}

void person_erase(struct api_call *c)
{
    kf_level level = KF_LEVEL_DEFAULT;
    c->rc = write_level(c, &level, &c->err);
    if (c->rc != KF_OK)
        answer_problem(c, &c->err);
    else
        call_work(c, erase_person, erased);
}

static void receipts_json(const struct kf_receipt_list *list, struct buf *out)
{
    char last[24] = "";
    buf_c(out, "{\"items\":[");
    for (size_t i = 0; i < list->count; i++) {
        if (i)
            buf_byte(out, ',');
        buf_add(out, list->items[i].json.p, list->items[i].json.len);
    }
    if (list->count)
        snprintf(last, sizeof last, "%llu", (unsigned long long)list->items[list->count - 1].id);
    answer_next(out, list->more, str_of(last));
}

static void list_receipts(struct api_call *c)
{
    struct kf_receipt_list list = {0};
    uint64_t before = 0;
    size_t limit;
    str after;
    c->rc = query_page(c, &limit, &after, &c->err);
    if (c->rc == KF_OK && after.p && !str_to_u64(after, &before))
        c->rc = cursor_foreign(&c->err);
    if (c->rc == KF_OK)
        c->rc = kf_receipts(c->store, before, limit, &list, &c->err);
    if (c->rc == KF_OK)
        receipts_json(&list, &c->out);
    kf_receipt_list_free(&list);
}

void receipt_list(struct api_call *c)
{
    call_work(c, list_receipts, call_answer_out);
}
