/* A request on its way into a call: its head, its space, its body. The checks on a head come in the
 * order of auth.h, then those of its form. */
#include "api/api_internal.h"

#include "base/hooks.h"

static const size_t spool_max = 1024 * 1024;

/* ---------------------------------------------------------------------------------- the request */

void call_refuse_early(struct api_call *c, const struct kf_err *err)
{
    c->close = !c->eof;
    answer_problem(c, err);
}

static str header_value(const struct api_head *head, const char *name)
{
    for (size_t i = 0; i < head->header_count; i++)
        if (str_eq_nocase(head->headers[i].name, str_of(name)))
            return head->headers[i].value;
    return (str){NULL, 0};
}

static bool type_is_json(str type)
{
    str t = str_trim((str){type.p, str_index(type, ';')});
    return str_eq_nocase(t, STR("application/json")) ||
           (t.len > 5 && str_eq_nocase(str_from(t, t.len - 5), STR("+json")));
}

static kf_rc check_types(struct api_call *c, const struct api_head *head, struct kf_err *err)
{
    str type = header_value(head, "Content-Type"), coding = header_value(head, "Content-Encoding");
    if (coding.p && !str_eq_nocase(coding, STR("identity")))
        return err_set(err, PROBLEM_MEDIA_TYPE,
                       "bodies are taken as they are; send this one without Content-Encoding");
    if (!type.p || c->route->body == BODY_NONE || type_is_json(type))
        return KF_OK;
    str plain = str_trim((str){type.p, str_index(type, ';')});
    if (c->route->body == BODY_DOC &&
        str_eq_nocase(plain, STR("application/x-www-form-urlencoded")))
        return KF_OK; /* what curl says of every -d and --data-binary; a document is read, not a
                         form */
    if (c->route->body == BODY_STREAM && (str_eq_nocase(plain, STR("application/zip")) ||
                                          str_eq_nocase(plain, STR("application/octet-stream"))))
        return KF_OK;
    return err_set(err, PROBLEM_MEDIA_TYPE, "send the body as %s",
                   c->route->body == BODY_STREAM ? "application/zip" : "application/json");
}

/* One header that may stand once, copied into the call. */
static kf_rc take_header(struct api_call *c, const struct api_head *head, const char *name,
                         str *ret, struct kf_err *err)
{
    str v = header_value(head, name);
    if (!v.p)
        return KF_OK;
    *ret = arena_str(&c->arena, v);
    return ret->p ? KF_OK : err_nomem(err);
}

/* Whether the route is of something in a space; the other two are of the space itself. */
static bool is_of_store(const struct api_call *c)
{
    return c->match.space.p && c->match.route != ROUTE_SPACE_PUT &&
           c->match.route != ROUTE_SPACE_DELETE;
}

/* What a token does not show counts for nobody: its owner is not to be slowed down by others. */
static kf_rc admit(struct api_call *c, struct kf_err *err)
{
    if (c->hidden || !is_of_store(c) || auth_is_operator(c))
        return KF_OK;
    return space_admit(c->api, c->match.space, err);
}

/* What a stream does not have must not be taken for granted by who asks for it. */
static kf_rc check_conditions(const struct api_call *c, struct kf_err *err)
{
    bool writes = str_is(str_of(c->route->right), "write") && route_writes_streams(c->route);
    if (writes && (c->if_match.p || c->if_none_match.p))
        return err_set(err, PROBLEM_BAD_REQUEST,
                       "a stream has no ETag: send this without If-Match and If-None-Match");
    if (writes && c->idempotency_key.p)
        return err_set(err, PROBLEM_BAD_REQUEST,
                       "streams know no Idempotency-Key: give each entry a member id, and it is "
                       "appended once; what was erased or imported before is known again");
    return KF_OK;
}

static kf_rc take_head(struct api_call *c, const struct api_head *head, struct kf_err *err)
{
    str target = arena_str(&c->arena, head->target);
    if (!target.p)
        return err_nomem(err);
    kf_rc rc = auth_check_url(c->api->home->auth, head, err);
    if (rc == KF_OK)
        rc = route_match(head->method, target, &c->arena, &c->match, err);
    if (rc != KF_OK)
        return rc;
    c->route = &route_table[c->match.route];
    c->head_only = head->method == API_HEAD;
    c->method = c->route->method;
    if (c->api->stopping)
        return err_set(err, PROBLEM_STOPPING, "the server is stopping; try again when it is back");
    if ((rc = auth_request(c->api->home->auth, c, head, err)) != KF_OK ||
        (rc = admit(c, err)) != KF_OK || (rc = check_types(c, head, err)) != KF_OK ||
        (rc = take_header(c, head, "If-Match", &c->if_match, err)) != KF_OK ||
        (rc = take_header(c, head, "If-None-Match", &c->if_none_match, err)) != KF_OK ||
        (rc = take_header(c, head, "Idempotency-Key", &c->idempotency_key, err)) != KF_OK ||
        (rc = check_conditions(c, err)) != KF_OK)
        return rc;
    bool wants_body = c->route->body != BODY_NONE;
    if (wants_body && head->content_length == -1)
        return err_set(err, PROBLEM_LENGTH_REQUIRED,
                       "send the body with a Content-Length or chunked");
    const struct config *config = c->api->o.config;
    c->body_max = c->route->body == BODY_DOC ? config->limit_doc : config->limit_body;
    if (wants_body && c->route->body != BODY_STREAM && head->content_length > 0 &&
        (uint64_t)head->content_length > c->body_max)
        return err_set(err, PROBLEM_TOO_LARGE, "the body has %lld bytes, at most %zu are taken",
                       (long long)head->content_length, c->body_max);
    if (!wants_body && head->content_length != -1 && head->content_length != 0)
        return err_set(err, PROBLEM_BAD_REQUEST, "this request takes no body");
    return KF_OK;
}

static void add_allow(struct api_call *c)
{
    struct buf b = BUF_INIT;
    for (int m = API_GET; m < API_OTHER; m++) {
        unsigned get_too = m == API_HEAD ? 1u << API_GET : 0;
        if (m != API_OPTIONS && !(c->match.allowed & (1u << m | get_too)))
            continue;
        if (b.len)
            buf_c(&b, ", ");
        buf_c(&b, route_method_name((enum api_method)m));
    }
    str v = arena_str(&c->arena, buf_view(&b));
    if (v.p)
        answer_header(c, "Allow", v);
    buf_release(&b);
}

void api_begin(struct api_call *c, const struct api_head *head)
{
    assert(c->state == CALL_IDLE && !c->abandoned);
    call_reset(c);
    c->state = CALL_BODY;
    c->id = api_next_id(c->api);
    c->peer = head->peer;
    c->head_only = false; /* until the route is known: doors leave the body of a refusal out */
    c->token = NULL;
    c->route = NULL;
    c->known = false;
    c->hidden = HIDDEN_NOT;
    c->body_taken = 0;
    c->eof = head->content_length == -1 || head->content_length == 0;
    c->api->calls++;
    count_one(&c->api->requests);
    c->match.allowed = 0;
    struct kf_err err = KF_ERR_INIT;
    if (take_head(c, head, &err) == KF_OK) {
        if (!c->eof)
            call_watch(c);
        return;
    }
    bool other_method = c->match.allowed && strcmp(err.code, "method_not_allowed") == 0;
    if (other_method)
        add_allow(c);
    if (other_method && head->method == API_OPTIONS) {
        c->close = !c->eof;
        answer_empty(c, 204);
        return;
    }
    call_refuse_early(c, &err);
}

/* ---------------------------------------------------------------------------------- the space */

void call_enter(struct api_call *c, void (*then)(struct api_call *c))
{
    c->rc = KF_OK;
    if (c->space || !is_of_store(c) || call_hold_space(c))
        then(c);
    else
        call_errand(c, call_open_space, then);
}

/* With the space, or with why it cannot be had: for the doctor that is something to find. */
static void dispatch(struct api_call *c)
{
    if (c->rc != KF_OK && c->match.route != ROUTE_DOCTOR) {
        answer_problem(c, &c->err);
        return;
    }
    if (c->route->body == BODY_STREAM)
        restore_eof(c);
    else
        c->route->handle(c);
}

/* With the first bytes of a body that streams. */
static void stream_entered(struct api_call *c)
{
    c->entering = false;
    if (c->rc != KF_OK)
        call_refuse_early(c, &c->err);
    else if (c->eof && !c->pending)
        restore_eof(c);
    else if (c->paused) {
        c->paused = false;
        c->door->more(c->ctx);
    }
}

/* What the token does not show is answered as what is not there. */
static void answer_hidden(struct api_call *c)
{
    struct kf_err err = KF_ERR_INIT;
    if (KF_SABOTAGE("foreign-told-apart"))
        c->close = true;
    if (c->hidden == HIDDEN_SPACE)
        space_unknown(c->api, c->match.space, &err);
    else if (route_is_of_stream(c->route))
        stream_unknown(c->match.name, &err);
    else
        doc_unknown(c->match.name, &err);
    answer_problem(c, &err);
}

/* Of a restore, which begins with the first bytes: where there is nothing it ends with them. */
static bool stream_data(struct api_call *c, str bytes)
{
    if (c->hidden) {
        c->close = true;
        answer_hidden(c);
        return true;
    }
    if (!c->entering && !c->space) {
        call_enter(c, stream_entered);
        c->entering = c->pending; /* until then the call is the home loop's */
    }
    if (c->state != CALL_BODY) /* it is not there, and that was answered */
        return true;
    if (c->entering || c->spool.len > spool_max) {
        c->paused = true;
        return false;
    }
    return restore_data(c, bytes);
}

bool api_data(struct api_call *c, str bytes)
{
    if (c->state != CALL_BODY)
        return true; /* answered already: what still comes is dropped */
    struct kf_err err = KF_ERR_INIT;
    /* While a worker has the call nobody answers: spool_done looks at the token, too. */
    if (!c->pending && auth_still(c, &err) != KF_OK) {
        call_refuse_early(c, &err);
        return true;
    }
    if (c->route->body == BODY_STREAM)
        return stream_data(c, bytes);
    if (c->body_taken + bytes.len > c->body_max) {
        err_set(&err, PROBLEM_TOO_LARGE, "the body has more than %zu bytes", c->body_max);
        call_refuse_early(c, &err);
        return true;
    }
    c->body_taken += bytes.len;
    if (c->hidden) /* read and dropped, as it would be where there is nothing */
        return true;
    buf_add(&c->body, bytes.p, bytes.len);
    if (buf_ok(&c->body, &err) != KF_OK)
        call_refuse_early(c, &err);
    return true;
}

void api_eof(struct api_call *c)
{
    if (c->state != CALL_BODY)
        return;
    c->eof = true;
    if (c->hidden) {
        answer_hidden(c);
        return;
    }
    if (c->route->body != BODY_STREAM)
        c->state = CALL_WORK;
    if (!c->pending || c->route->body != BODY_STREAM)
        call_enter(c, dispatch);
}
