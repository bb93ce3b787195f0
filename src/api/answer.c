/* Answers: how a result, a problem or a list leaves the router. */
#include "api/api_internal.h"

#include <ctype.h>
#include <sodium.h>

void answer_header(struct api_call *c, const char *name, str value)
{
    if (c->header_count < API_ANSWER_HEADERS_MAX)
        c->headers[c->header_count++] = (struct api_header){str_of(name), value};
}

/* The body goes out in pieces of this size: a client that does not read holds one of them, not a
 * copy of the whole. */
#define PIECE (32 * 1024)

void answer_over(struct api_call *c, bool ok)
{
    const struct api_door *door = c->door;
    void *ctx = c->ctx;
    bool close = c->close;
    kf_doc_release(&c->doc);
    call_unwatch(c);
    once_end(c);
    c->state = CALL_IDLE;
    c->api->calls--;
    call_leave_spaces(c);
    door->end(ctx, close, ok);
}

void answer_go_on(struct api_call *c)
{
    while (c->rest.len) {
        str piece = {c->rest.p, c->rest.len < PIECE ? c->rest.len : PIECE};
        c->rest = str_from(c->rest, piece.len);
        c->draining = !c->door->body(c->ctx, piece) && c->rest.len;
        if (c->draining) {
            call_watch(c);
            return;
        }
    }
    answer_over(c, true);
}

/* The head, the body when it is wanted, the end. `c` is idle for the door's next request once `end`
 * has been called. The body stays where it is until then: in c->out, in c->doc, or static. */
static void answer_whole(struct api_call *c, int status, str body)
{
    struct api_answer a = {status, c->headers, c->header_count, (int64_t)body.len};
    c->state = CALL_ANSWER;
    c->rest = c->head_only ? (str){"", 0} : body;
    c->door->head(c->ctx, &a);
    answer_go_on(c);
}

void answer_bytes(struct api_call *c, int status, const char *type, str body)
{
    answer_header(c, "Content-Type", str_of(type));
    answer_whole(c, status, body);
}

void answer_json(struct api_call *c, int status, str body)
{
    answer_bytes(c, status, "application/json", body);
}

void answer_empty(struct api_call *c, int status)
{
    answer_whole(c, status, (str){"", 0});
}

void problem_json(const struct kf_err *err, const char *request_id, str extra, struct buf *out)
{
    const struct problem_info *info = problem_find(err->code);
    bool first = true;
    buf_c(out, "{");
    buf_c(out, "\"type\":\"urn:keepfast:problem:");
    buf_c(out, err->code);
    buf_c(out, "\"");
    first = false;
    json_put_str(out, &first, "title", str_of(info ? info->title : ""));
    json_put_u64(out, &first, "status", (uint64_t)err->http_status);
    json_put_str(out, &first, "detail", str_of(err->detail));
    json_put_str(out, &first, "code", str_of(err->code));
    json_put_bool(out, &first, "retryable", err->retryable);
    json_put_str(out, &first, "request_id", str_of(request_id));
    if (err->offset >= 0)
        json_put_u64(out, &first, "offset", (uint64_t)err->offset);
    if (err->entry)
        json_put_u64(out, &first, "n", err->entry);
    if (err->etag[0]) {
        json_put_u64(out, &first, "version", err->version);
        json_put_str(out, &first, "etag", str_of(err->etag));
    }
    buf_str(out, extra);
    buf_c(out, "}");
}

static void advice_of(struct api_call *c, const struct kf_err *err)
{
    const struct problem_info *p = problem_find(err->code);
    if (p == &problem_table[PROBLEM_AUTH_REQUIRED] || p == &problem_table[PROBLEM_TOKEN_EXPIRED])
        answer_header(c, "WWW-Authenticate", STR("Bearer realm=\"keepfast\""));
    else if (p == &problem_table[PROBLEM_AUTH_RATE])
        answer_header(c, "Retry-After", STR("60"));
    else if (p == &problem_table[PROBLEM_DISK_FULL])
        answer_header(c, "Retry-After", STR("5"));
    else if (p && p->retryable)
        answer_header(c, "Retry-After", STR("1"));
}

/* Files of the data folder by their names in it, the folder itself as a dot. */
static void hide_folder(const char *dir, char *detail)
{
    size_t len = strlen(dir);
    for (char *at = detail; len > 1 && (at = strstr(at, dir)); at++) {
        char behind = at[len];
        if (behind == '/') {
            memmove(at, at + len + 1, strlen(at + len + 1) + 1);
        } else if (!isalnum((unsigned char)behind) && behind != '-' && behind != '_') {
            *at = '.';
            memmove(at + 1, at + len, strlen(at + len) + 1);
        }
        if (*at == '\0')
            break;
    }
}

/* What failed inside is the log's to say: paths and causes are nothing to a client of the
 * network. */
static void hide_inside(const struct api_call *c, struct kf_err *err)
{
    static const enum problem inside[] = {PROBLEM_INTERNAL, PROBLEM_MISUSE, PROBLEM_IO_ERROR};
    if (c->peer == API_PEER_SELF || c->peer == API_PEER_UNIX)
        return;
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        if (problem_find(err->code) == &problem_table[inside[i]])
            snprintf(err->detail, sizeof err->detail,
                     "something failed inside; the server's log says what, under this request_id");
    if (c->api->o.data_dir)
        hide_folder(c->api->o.data_dir, err->detail);
}

#define TOLD_LINES 10 /* of each (log_quiet) */

/* What an operator wants to hear of, though nothing is wrong with the server. */
static void tell_problem(struct api_call *c, enum problem problem)
{
    static const struct {
        enum problem problem;
        const char *event;
    } told[API_TOLD] = {{PROBLEM_ID_REUSED, "id.reused"},
                        {PROBLEM_LEVEL_UNAVAILABLE, "level.miss"}};
    char id[REQUEST_ID_LEN + 1];
    uint32_t unsaid;
    if (c->peer == API_PEER_SELF) /* who asks reads it anyhow */
        return;
    for (size_t i = 0; i < API_TOLD; i++)
        if (told[i].problem == problem &&
            log_quiet_may(&c->api->told[i], env_mono_ms(c->api->o.env), TOLD_LINES, &unsaid))
            log_event(c->api->o.log, LOG_WARN, told[i].event, LOG_V("space", c->match.space),
                      LOG_S("route", c->route ? c->route->id : ""),
                      LOG_S("token", c->token ? c->token->id : ""),
                      LOG_S("req", call_id_text(c, id)), LOG_I("unsaid", unsaid), LOG_END);
}

void answer_problem(struct api_call *c, const struct kf_err *err)
{
    answer_problem_with(c, err, (str){"", 0});
}

void answer_problem_with(struct api_call *c, const struct kf_err *given, str extra)
{
    struct kf_err err = *given;
    char id[REQUEST_ID_LEN + 1];
    const struct problem_info *info = problem_find(err.code);
    if (!info || err.http_status == 0) { /* what must not happen over HTTP is an error of ours */
        err_set(&err, PROBLEM_INTERNAL, "%s", given->detail);
        info = problem_find(err.code);
    }
    count_one(&c->api->problems[info - problem_table]);
    if (err.http_status >= 500 && !err.retryable && info != &problem_table[PROBLEM_NOT_IMPLEMENTED])
        log_event(c->api->o.log, LOG_ERROR, "internal", LOG_S("code", err.code),
                  LOG_S("detail", err.detail), LOG_S("req", call_id_text(c, id)), LOG_END);
    tell_problem(c, (enum problem)(info - problem_table));
    hide_inside(c, &err);
    buf_clear(&c->out);
    if (strcmp(err.code, "level_unavailable") == 0)
        extra = c->store && store_level(c->store) == KF_LEVEL_SHARED ? STR(",\"level\":\"shared\"")
                                                                     : STR(",\"level\":\"disk\"");
    problem_json(&err, call_id_text(c, id), extra, &c->out);
    str etag = err.etag[0] ? arena_str(&c->arena, str_of(err.etag)) : (str){NULL, 0};
    if (etag.p)
        answer_header(c, "ETag", etag);
    advice_of(c, &err);
    if (c->out.failed) { /* no memory to say so at length */
        answer_empty(c, err.http_status);
        return;
    }
    answer_bytes(c, err.http_status, "application/problem+json", buf_view(&c->out));
}

void call_answer_out(struct api_call *c)
{
    if (c->rc == KF_OK)
        c->rc = buf_ok(&c->out, &c->err);
    if (c->rc != KF_OK)
        answer_problem(c, &c->err);
    else
        answer_json(c, c->status ? c->status : 200, buf_view(&c->out));
}

/* --- members of JSON objects */

void json_key(struct buf *b, bool *first, const char *key)
{
    if (!*first)
        buf_byte(b, ',');
    *first = false;
    buf_json_string(b, str_of(key));
    buf_byte(b, ':');
}

void json_put_str(struct buf *b, bool *first, const char *key, str v)
{
    json_key(b, first, key);
    buf_json_string(b, v);
}

void json_put_u64(struct buf *b, bool *first, const char *key, uint64_t v)
{
    json_key(b, first, key);
    buf_u64(b, v);
}

void json_put_bool(struct buf *b, bool *first, const char *key, bool v)
{
    json_key(b, first, key);
    buf_c(b, v ? "true" : "false");
}

void json_put_time(struct buf *b, bool *first, const char *key, int64_t ms)
{
    char text[WHEN_LEN + 1];
    json_key(b, first, key);
    if (ms == 0) {
        buf_c(b, "null");
        return;
    }
    when_format(ms, text);
    buf_json_string(b, str_of(text));
}

void json_put_born(struct buf *b, bool *first, uint64_t born)
{
    unsigned char bytes[sizeof born];
    for (size_t i = 0; i < sizeof born; i++)
        bytes[i] = (unsigned char)(born >> (56 - 8 * i));
    json_key(b, first, "born");
    buf_byte(b, '"');
    buf_hex(b, bytes, sizeof bytes); /* every list of entries has it */
    buf_byte(b, '"');
}

void json_put_list(struct buf *b, bool *first, const char *key, const str *list, size_t count)
{
    json_key(b, first, key);
    if (!count) {
        buf_c(b, "null");
        return;
    }
    buf_byte(b, '[');
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_byte(b, ',');
        buf_json_string(b, list[i]);
    }
    buf_byte(b, ']');
}

void json_put_rights(struct buf *b, bool *first, unsigned rights)
{
    const char *between = "";
    json_key(b, first, "rights");
    buf_byte(b, '[');
    for (unsigned i = 0; i < TOKEN_RIGHT_COUNT; i++) {
        if (!(rights & 1u << i))
            continue;
        buf_c(b, between);
        buf_json_string(b, str_of(token_right_names[i]));
        between = ",";
    }
    buf_byte(b, ']');
}

/* --- parameters */

str query_get(const struct api_call *c, const char *key)
{
    for (size_t i = 0; i < c->match.query_count; i++)
        if (str_is(c->match.query[i].key, key))
            return c->match.query[i].value;
    return (str){"", 0};
}

kf_rc query_text(struct api_call *c, const char *key, char **ret, struct kf_err *err)
{
    str given = query_get(c, key);
    *ret = NULL;
    if (!given.len)
        return KF_OK;
    if (str_index(given, '\0') < given.len) /* what is called would take a part for the whole */
        return err_set(err, PROBLEM_BAD_FILTER, "%s has a NUL byte: take it out", key);
    *ret = arena_dup(&c->arena, given);
    return *ret ? KF_OK : err_nomem(err);
}

kf_rc query_number(const struct api_call *c, const char *key, uint64_t min, uint64_t max,
                   uint64_t *ret, struct kf_err *err)
{
    uint64_t n = 0;
    str text = query_get(c, key);
    if (text.len && (!str_to_u64(text, &n) || n < min || n > max))
        return err_set(err, PROBLEM_BAD_FILTER, "%s must be a number from %llu to %llu", key,
                       (unsigned long long)min, (unsigned long long)max);
    *ret = n;
    return KF_OK;
}

kf_rc cursor_foreign(struct kf_err *err)
{
    return err_set(err, PROBLEM_BAD_FILTER,
                   "the cursor is not one of ours; use the member `next` of the page before");
}

/* A cursor is the last key of the page before, base64url: opaque, so that it may become something
 * else. */
static kf_rc cursor_read(struct api_call *c, str cursor, str *ret, struct kf_err *err)
{
    size_t len = 0;
    char *bin = arena_alloc(&c->arena, cursor.len + 1);
    if (!bin)
        return err_nomem(err);
    if (sodium_base642bin((unsigned char *)bin, cursor.len, cursor.p, cursor.len, NULL, &len, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        len == 0)
        return cursor_foreign(err);
    *ret = (str){bin, len};
    return KF_OK;
}

kf_rc query_cursor(struct api_call *c, str *ret_after, struct kf_err *err)
{
    str cursor = query_get(c, "cursor");
    *ret_after = (str){NULL, 0};
    return cursor.len ? cursor_read(c, cursor, ret_after, err) : KF_OK;
}

kf_rc query_page(struct api_call *c, size_t *ret_limit, str *ret_after, struct kf_err *err)
{
    uint64_t limit = 0;
    kf_rc rc = query_number(c, "limit", 1, API_LIST_MAX, &limit, err);
    if (rc == KF_OK)
        rc = query_cursor(c, ret_after, err);
    if (rc == KF_OK)
        *ret_limit = limit ? (size_t)limit : API_LIST_DEFAULT;
    return rc;
}

void answer_next(struct buf *out, bool more, str last_key)
{
    buf_c(out, "],\"next\":");
    if (!more) {
        buf_c(out, "null}");
        return;
    }
    size_t cap = sodium_base64_encoded_len(last_key.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    buf_byte(out, '"');
    char *room = buf_room(out, cap);
    if (room) {
        sodium_bin2base64(room, cap, (const unsigned char *)last_key.p, last_key.len,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        buf_grew(out, strlen(room));
    }
    buf_c(out, "\"}");
}

kf_rc query_timeout(const struct api_call *c, uint32_t *ret_ms, struct kf_err *err)
{
    uint64_t ms = 10000;
    str text = query_get(c, "timeout");
    if (text.len && (!duration_parse(text, &ms) || ms == 0 || ms > 3600000))
        return err_set(err, PROBLEM_BAD_FILTER,
                       "timeout must be a duration from 1ms to 1h, such as 10s");
    *ret_ms = (uint32_t)ms;
    return KF_OK;
}

kf_rc query_flag(const struct api_call *c, const char *key, bool *ret, struct kf_err *err)
{
    str text = query_get(c, key);
    if (text.len == 0 || str_is(text, "false"))
        *ret = false;
    else if (str_is(text, "true"))
        *ret = true;
    else
        return err_set(err, PROBLEM_BAD_FILTER, "%s must be true or false", key);
    return KF_OK;
}
