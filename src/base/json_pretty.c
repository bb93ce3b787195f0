/* json_pretty: the same tokens with other blanks between them. */
#include "base/json_internal.h"

/* What was written last decides what comes between. */
struct layout {
    struct buf *out;
    bool pretty;
    uint32_t depth;
    int last; /* event, 0 = none */
};

static bool is_open(int what)
{
    return what == JSON_ARRAY || what == JSON_OBJECT;
}

static void new_line(struct layout *l)
{
    if (!l->pretty)
        return;
    buf_byte(l->out, '\n');
    char *room = buf_room(l->out, 2 * l->depth);
    if (room) {
        memset(room, ' ', 2 * l->depth);
        buf_grew(l->out, 2 * l->depth);
    }
}

static void put_event(struct layout *l, const struct json_event *e)
{
    if (e->what == JSON_EVENT_END) {
        l->depth--;
        if (!is_open(l->last))
            new_line(l);
    } else if (l->last == JSON_EVENT_NAME) {
        buf_c(l->out, l->pretty ? ": " : ":");
    } else if (l->depth > 0) {
        if (!is_open(l->last))
            buf_byte(l->out, ',');
        new_line(l);
    }
    buf_str(l->out, e->raw);
    l->depth += is_open(e->what);
    l->last = e->what;
}

static kf_rc put_form(str text, bool pretty, struct buf *out, struct kf_err *err)
{
    struct json_scan s;
    struct json_event events[64];
    struct layout l = {.out = out, .pretty = pretty};
    size_t before = out->len, count = 0;
    kf_rc rc;
    json_scan_begin(&s, text, &json_limits_none);
    do {
        rc = json_scan_next(&s, events, sizeof events / sizeof *events, &count, err);
        for (size_t i = 0; rc == KF_OK && i < count; i++)
            put_event(&l, &events[i]);
    } while (rc == KF_OK && count > 0);
    if (pretty)
        buf_byte(out, '\n');
    json_scan_release(&s);
    return json_finish(out, before, rc, err);
}

kf_rc json_pretty(str text, struct buf *out, struct kf_err *err)
{
    return put_form(text, true, out, err);
}

kf_rc json_compact(str text, struct buf *out, struct kf_err *err)
{
    return put_form(text, false, out, err);
}
