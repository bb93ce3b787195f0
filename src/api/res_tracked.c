/* Tables that are tracked, and their changes (shape/track.h). */
#include "api/api_internal.h"

#include "shape/track.h"

#include <inttypes.h>

/* ------------------------------------------------------------------------------------- tables */

static void table_json(const struct track_info *t, struct buf *out)
{
    bool first = true;
    str state = str_of(t->state);
    buf_c(out, "{");
    json_put_str(out, &first, "table", str_of(t->name));
    json_put_str(out, &first, "state", (str){state.p, str_index(state, ' ')});
    json_put_str(out, &first, "detail", str_of(t->detail));
    json_put_str(out, &first, "source", t->of_config ? STR("config") : STR("store"));
    json_put_time(out, &first, "since", t->since_ms);
    json_put_time(out, &first, "changed", t->changed_ms);
    json_put_u64(out, &first, "changes", t->numbered);
    buf_c(out, "}");
}

static void holder_json(const struct track_holder *h, struct buf *out)
{
    bool first = true;
    buf_c(out, "{");
    if (h->pid)
        json_put_u64(out, &first, "pid", (uint64_t)h->pid);
    json_put_str(out, &first, "who", str_of(h->who));
    json_put_str(out, &first, "client", str_of(h->client));
    json_put_str(out, &first, "state", str_of(h->state));
    json_put_time(out, &first, "since", h->since_ms);
    buf_c(out, "}");
}

static void status_json(const struct track_status *t, struct buf *out)
{
    bool first = true, inner = true;
    buf_c(out, "{");
    json_key(out, &first, "items");
    buf_c(out, "[");
    for (size_t i = 0; i < t->table_count; i++) {
        buf_c(out, i ? "," : "");
        table_json(&t->tables[i], out);
    }
    buf_c(out, "]");
    json_key(out, &first, "waiting");
    buf_c(out, "{");
    json_put_u64(out, &inner, "count", t->waiting);
    json_put_time(out, &inner, "oldest", t->oldest_ms);
    buf_c(out, "}");
    json_key(out, &first, "held");
    buf_c(out, "[");
    for (size_t i = 0; i < t->holder_count; i++) {
        buf_c(out, i ? "," : "");
        holder_json(&t->holders[i], out);
    }
    buf_c(out, "],\"next\":null}");
}

kf_rc tracked_json(struct api_call *c, struct kf_err *err)
{
    struct track_status t;
    kf_rc rc = tracks_tell(c->store, false, &c->arena, &t, err);
    if (rc == KF_OK && t.table_count)
        status_json(&t, &c->out);
    else if (rc == KF_OK)
        buf_c(&c->out, "null");
    return rc;
}

static void work_list(struct api_call *c)
{
    struct track_status t;
    c->rc = tracks_tell(c->store, false, &c->arena, &t, &c->err);
    if (c->rc == KF_OK)
        status_json(&t, &c->out);
}

void track_list(struct api_call *c)
{
    call_work(c, work_list, call_answer_out);
}

static kf_rc table_of(struct api_call *c, char **ret)
{
    str table = c->match.table;
    if (str_index(table, '\0') < table.len)
        return err_set(&c->err, PROBLEM_BAD_REQUEST, "the name of the table has a NUL byte");
    *ret = arena_dup(&c->arena, table);
    return *ret ? KF_OK : err_nomem(&c->err);
}

static void work_add(struct api_call *c)
{
    char *table = NULL;
    bool is_new = false;
    c->rc = table_of(c, &table);
    if (c->rc == KF_OK)
        c->rc = tracks_add(c->store, table, &is_new, &c->err);
    if (c->rc == KF_OK)
        work_list(c);
    if (c->rc == KF_OK && is_new)
        c->status = 201;
}

void track_add(struct api_call *c)
{
    call_work(c, work_add, call_answer_out);
}

static void work_remove(struct api_call *c)
{
    char *table = NULL;
    c->rc = table_of(c, &table);
    if (c->rc == KF_OK)
        c->rc = tracks_remove(c->store, table, &c->err);
}

static void answer_removed(struct api_call *c)
{
    if (c->rc == KF_OK)
        answer_empty(c, 204);
    else
        answer_problem(c, &c->err);
}

void track_remove(struct api_call *c)
{
    call_work(c, work_remove, answer_removed);
}

/* ------------------------------------------------------------------------------------ changes */

static kf_rc show_change(void *ctx, const struct track_change *change, struct kf_err *err)
{
    struct buf *out = ctx;
    bool first = true;
    buf_c(out, out->len ? ",{" : "{");
    json_put_u64(out, &first, "n", (uint64_t)change->n);
    json_put_str(out, &first, "table", change->table);
    json_key(out, &first, "key");
    buf_str(out, change->key);
    json_put_time(out, &first, "at", change->at_ms);
    json_key(out, &first, "row");
    buf_str(out, change->row.p ? change->row : STR("null"));
    buf_c(out, "}");
    return buf_ok(out, err);
}

static void work_changes(struct api_call *c)
{
    struct track_query q = {0};
    char *table = NULL, last_text[24];
    uint64_t after = 0;
    int64_t last = 0;
    bool more = false;
    str at;
    c->rc = query_page(c, &q.limit, &at, &c->err);
    if (c->rc == KF_OK)
        c->rc = query_number(c, "after", 0, INT64_MAX, &after, &c->err);
    if (c->rc == KF_OK && at.p && !str_to_u64(at, &after))
        c->rc = cursor_foreign(&c->err);
    if (c->rc == KF_OK)
        c->rc = query_text(c, "table", &table, &c->err);
    if (c->rc != KF_OK)
        return;
    q.table = table;
    q.after = (int64_t)after;
    struct buf items = BUF_INIT;
    c->rc = tracks_changes(c->store, &q, show_change, &items, &last, &more, &c->err);
    if (c->rc == KF_OK)
        c->rc = buf_ok(&items, &c->err);
    if (c->rc == KF_OK) {
        snprintf(last_text, sizeof last_text, "%" PRId64, last);
        buf_printf(&c->out, "{\"last\":%s,\"items\":[", last_text);
        buf_str(&c->out, buf_view(&items));
        answer_next(&c->out, more, str_of(last_text));
    }
    buf_release(&items);
}

static void look_at_changes(struct api_call *c);

/* "{\"last\":41,\"items\":[]": what is in rows cannot be taken for it. */
static bool has_none(str out)
{
    size_t at = strlen("{\"last\":");
    while (at < out.len && out.p[at] >= '0' && out.p[at] <= '9')
        at++;
    return str_starts(str_from(out, at), STR(",\"items\":[]"));
}

static void changes_looked(struct api_call *c)
{
    if (c->follows && c->rc == KF_OK && has_none(buf_view(&c->out))) {
        follow_wait(c, look_at_changes);
        return;
    }
    follow_end(c);
    call_answer_out(c);
}

static void look_at_changes(struct api_call *c)
{
    call_work(c, work_changes, changes_looked);
}

void change_list(struct api_call *c)
{
    uint32_t wait_ms = 0;
    c->rc = follow_read(c, &wait_ms, &c->err);
    if (c->rc != KF_OK) {
        call_answer_out(c);
        return;
    }
    if (wait_ms && store_level(c->store) == KF_LEVEL_SHARED)
        follow_begin(c, wait_ms);
    look_at_changes(c);
}
