/* A request on a connection: from its head to the end of its answer. This is the door that the
 * router sees.
 *
 * CORS. A page of another origin that hosts.h lets in is told so with every answer, or its browser
 * would hide it: Access-Control-Allow-Origin names that page alone, never `*`, and credentials are
 * never allowed, for there are no cookies to protect: a token is sent by the page itself. What the
 * browser asks before such a request (OPTIONS) the router answers as any other OPTIONS, and here it
 * gets what browsers want to hear. A page that is not let in never reaches the router.
 *
 * The router may answer at once, inside api_begin, api_data, api_eof or api_drained, or later from
 * the loop. Inside (conn.calling) the door's functions only note what happened, and whoever made
 * the call deals with it when it has returned; later they deal with it themselves. In neither case
 * do they call the router back.
 *
 * Both parsers must agree: the scan has accepted every byte that llhttp is given, and says where
 * the body ends. What llhttp then refuses, or ends elsewhere, is refused as smuggling. */
#include "server/server_internal.h"

#include "base/hooks.h"
#include "base/mem.h"
#include "server/hosts.h"

#include <assert.h>
#include <sys/socket.h>

#define ANSWER_HEADERS_MAX 24
#define CORS_HEADERS_MAX   8

/* ------------------------------------------------------------------------ work, taken and given */

static void door_head(void *ctx, const struct api_answer *answer);
static bool door_body(void *ctx, str bytes);
static void door_end(void *ctx, bool close, bool ok);
static void door_more(void *ctx);
static const struct api_door door = {door_head, door_body, door_end, door_more};

static struct work *work_take(struct server *s)
{
    struct work *w = s->works;
    if (w) {
        s->works = w->next;
        s->works_idle--;
        return w;
    }
    w = mem_calloc(1, sizeof(*w));
    if (w && api_call_new(s->api, &door, w, &w->call, NULL) != KF_OK) {
        mem_free(w);
        w = NULL;
    }
    return w;
}

static void work_give(struct server *s, struct work *w)
{
    server_give_buf(s, &w->held);
    w->conn = NULL;
    w->next = s->works;
    s->works = w;
    s->works_idle++;
}

void work_free(struct work *w)
{
    api_abandon(w->call);
    buf_release(&w->held);
    mem_free(w);
}

/* ------------------------------------------------------------------------------------- llhttp */

static int on_method(llhttp_t *p, const char *at, size_t len)
{
    struct work *w = p->data;
    w->conn->server->head.method = (str){at, len};
    return 0;
}

static int on_target(llhttp_t *p, const char *at, size_t len)
{
    struct work *w = p->data;
    w->conn->server->head.target = (str){at, len};
    return 0;
}

static int on_name(llhttp_t *p, const char *at, size_t len)
{
    struct work *w = p->data;
    struct head *h = &w->conn->server->head;
    if (h->complete) /* a trailer's: checked by the scan and left out */
        return 0;
    if (h->count == API_HEADERS_MAX) {
        h->odd = true;
        return -1;
    }
    h->headers[h->count++] = (struct api_header){{at, len}, {"", 0}};
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t len)
{
    struct work *w = p->data;
    struct head *h = &w->conn->server->head;
    if (h->complete)
        return 0;
    if (h->count == 0 || h->headers[h->count - 1].value.len > 0) {
        h->odd = true;
        return -1;
    }
    h->headers[h->count - 1].value = str_trim((str){at, len});
    return 0;
}

static int on_head(llhttp_t *p)
{
    struct work *w = p->data;
    w->conn->server->head.complete = true;
    w->chunked = (p->flags & F_CHUNKED) != 0;
    w->body_left = p->flags & F_CONTENT_LENGTH ? (int64_t)p->content_length : -1;
    w->keep = llhttp_should_keep_alive(p);
    w->http10 = p->http_minor == 0;
    p->upgrade = 0; /* there is nothing to upgrade to; what follows is HTTP */
    return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    struct work *w = p->data;
    struct conn *c = w->conn;
    str bytes = {at, len};
    if (w->ended || c->lost)
        return 0;
    if (!c->hold) {
        c->calling = true;
        c->hold = !api_data(w->call, bytes);
        c->calling = false;
        if (!c->hold || w->ended)
            return 0;
        KF_SOMETIMES("server-body-held");
        server_take_buf(c->server, &w->held);
    }
    buf_str(&w->held, bytes);
    if (w->held.failed)
        c->lost = true;
    return 0;
}

static int on_whole(llhttp_t *p)
{
    struct work *w = p->data;
    w->whole = true;
    return 0;
}

static const llhttp_settings_t settings = {
    .on_method = on_method,
    .on_url = on_target,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_whole,
};

/* ------------------------------------------------------------------------------------- the head */

static enum api_method method_of(const llhttp_t *p)
{
    switch (p->method) {
    case HTTP_GET: return API_GET;
    case HTTP_HEAD: return API_HEAD;
    case HTTP_PUT: return API_PUT;
    case HTTP_POST: return API_POST;
    case HTTP_PATCH: return API_PATCH;
    case HTTP_DELETE: return API_DELETE;
    case HTTP_OPTIONS: return API_OPTIONS;
    default: return API_OTHER;
    }
}

static const str *find(const struct head *h, str name)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->headers[i].name.len == name.len && str_eq_nocase(h->headers[i].name, name))
            return &h->headers[i].value;
    return NULL;
}

static bool host_is_literal(const struct conn *c, str host)
{
    struct sockaddr_storage local = {0};
    socklen_t len = sizeof(local);
    return getsockname(c->fd.fd, (struct sockaddr *)&local, &len) == 0 &&
           hosts_literal(host, &local);
}

/* Without a Host there is no browser behind the request: only HTTP/1.0 gets so far. */
static bool host_is_ours(const struct conn *c, const str *host)
{
    return !host || (host->len == 0 && peer_is_unix(c->peer)) || hosts_loopback(*host) ||
           hosts_listed(buf_view(&c->server->hosts), *host) ||
           (!peer_is_unix(c->peer) && host_is_literal(c, *host));
}

/* Whether the page may use us; sets what CORS needs of it. */
static bool page_is_ours(const struct server *s, struct work *w, str origin, const str *host)
{
    w->origin = hosts_listed_origin(buf_view(&s->origins), origin);
    if (w->origin || (host && hosts_same_origin(origin, *host)))
        return true;
    if (!hosts_loopback_origin(origin) || origin.len >= sizeof(w->loopback_origin))
        return false;
    memcpy(w->loopback_origin, origin.p, origin.len);
    w->loopback_origin[origin.len] = '\0';
    w->origin = w->loopback_origin;
    return true;
}

static bool origin_is_ours(const struct server *s, struct work *w, const struct head *h,
                           const str *host)
{
    bool seen = false;
    w->origin = NULL;
    for (size_t i = 0; i < h->count; i++) {
        if (!str_eq_nocase(h->headers[i].name, STR("origin")))
            continue;
        if (seen || !page_is_ours(s, w, h->headers[i].value, host))
            return false;
        seen = true;
    }
    w->preflight = w->origin && w->parser.method == HTTP_OPTIONS &&
                   find(h, STR("access-control-request-method"));
    return true;
}

/* What was parsed, whether it is let in. False: refused. */
static bool check_head(struct conn *c, struct work *w)
{
    struct head *h = &c->server->head;
    const str *host = find(h, STR("host"));
    if (c->server->stopping)
        conn_refuse(c, PROBLEM_STOPPING, REFUSAL_STOPPING, "the server is stopping");
    else if (!host_is_ours(c, host))
        conn_refuse(c, PROBLEM_FORBIDDEN, REFUSAL_HOST,
                    "the Host header does not name this server: use its address, or list the name "
                    "in allow_hosts");
    else if (!origin_is_ours(c->server, w, h, host))
        conn_refuse(c, PROBLEM_FORBIDDEN, REFUSAL_ORIGIN,
                    "the page's origin is not in allow_origins");
    else
        return true;
    return false;
}

/* False: refused. */
static bool read_head(struct conn *c, struct work *w, str bytes)
{
    struct head *h = &c->server->head;
    h->count = 0;
    h->complete = h->odd = h->is_head = false;
    w->whole = w->told = w->ended = w->close = false;
    w->chunks = (struct http_chunks){0};
    w->conn = c;
    llhttp_init(&w->parser, HTTP_REQUEST, &settings);
    w->parser.data = w;
    llhttp_errno_t e = llhttp_execute(&w->parser, bytes.p, bytes.len);
    if (e == HPE_INVALID_METHOD || (h->complete && w->parser.method == HTTP_CONNECT)) {
        conn_refuse(c, PROBLEM_METHOD_NOT_ALLOWED, REFUSAL_BAD, "the method is not known");
        return false;
    }
    if (e != HPE_OK || !h->complete || h->odd) {
        conn_refuse(c, PROBLEM_BAD_REQUEST, REFUSAL_SMUGGLE, "the request's head is not clear");
        return false;
    }
    h->is_head = w->parser.method == HTTP_HEAD;
    bool good = check_head(c, w);
    h->is_head = false;
    return good;
}

/* After a call into the router has returned: what it did, and what is due now. */
static void go_on(struct conn *c);

static void expect(struct conn *c, const struct head *h)
{
    const str *value = find(h, STR("expect"));
    if (!value || !str_eq_nocase(*value, STR("100-continue")))
        return;
    server_take_buf(c->server, &c->answer.out);
    answer_continue(&c->answer);
}

void request_begin(struct conn *c, str bytes)
{
    struct server *s = c->server;
    struct head *h = &s->head;
    struct work *w = work_take(s);
    if (!w) {
        conn_refuse(c, PROBLEM_NO_MEMORY, REFUSAL_MEMORY, "no memory for the request");
        return;
    }
    if (!read_head(c, w, bytes)) {
        work_give(s, w);
        return;
    }
    server_count(&s->requests, 1);
    c->work = w;
    conn_move(c, CONN_BODY);
    answer_begin(&c->answer, w->http10, w->parser.method == HTTP_HEAD, w->keep);
    struct api_head head = {
        .method = method_of(&w->parser),
        .method_text = h->method,
        .target = h->target,
        .headers = h->headers,
        .header_count = h->count,
        .content_length = w->chunked ? -2 : w->body_left,
        .peer = (enum api_peer)c->peer,
        .from = accept_peer(c),
    };
    c->calling = true;
    api_begin(w->call, &head);
    c->calling = false;
    if (!w->whole && !w->ended && !c->answer.begun && !w->http10)
        expect(c, h);
    go_on(c);
}

/* ------------------------------------------------------------------------------------- the body */

static void refuse_body(struct conn *c, const struct kf_err *err)
{
    enum problem problem = (enum problem)(problem_find(err->code) - problem_table);
    conn_refuse(c, problem, problem == PROBLEM_BAD_REQUEST ? REFUSAL_SMUGGLE : REFUSAL_LIMIT,
                err->detail);
}

size_t request_body(struct conn *c, str bytes)
{
    struct work *w = c->work;
    size_t n = bytes.len;
    bool last;
    if (w->chunked) {
        struct kf_err err;
        if (http_chunks_scan(&w->chunks, bytes, &n, &err) != KF_OK) {
            refuse_body(c, &err);
            return bytes.len;
        }
        last = w->chunks.state == CHUNKS_END;
    } else {
        if ((int64_t)n > w->body_left)
            n = (size_t)w->body_left;
        w->body_left -= (int64_t)n;
        last = w->body_left == 0;
    }
    c->taken += (uint32_t)n;
    if (llhttp_execute(&w->parser, bytes.p, n) != HPE_OK || w->whole != last)
        conn_refuse(c, PROBLEM_BAD_REQUEST, REFUSAL_SMUGGLE, "the request's body is not clear");
    else
        go_on(c);
    return n;
}

void request_resume(struct conn *c)
{
    struct work *w = c->work;
    if (w->held.len > 0) {
        c->calling = true;
        c->hold = !api_data(w->call, buf_view(&w->held));
        c->calling = false;
        if (!c->hold)
            server_give_buf(c->server, &w->held);
    }
    go_on(c);
}

/* ----------------------------------------------------------------------------------- the answer */

static void request_ended(struct conn *c)
{
    struct work *w = c->work;
    bool keep = c->answer.keep && w->whole && !w->close;
    c->clean = w->whole && c->in.len == 0;
    c->work = NULL;
    c->full = c->hold = false;
    work_give(c->server, w);
    if (c->broken) {
        c->lost = true;
        return;
    }
    if (c->state != CONN_ANSWER)
        conn_move(c, CONN_ANSWER);
    conn_move(c, keep ? CONN_IDLE : CONN_CLOSING);
}

static void go_on(struct conn *c)
{
    struct work *w = c->work;
    if (!w->ended && w->whole && !w->told && w->held.len == 0 && !c->hold) {
        w->told = true;
        conn_move(c, c->answer.begun ? CONN_ANSWER : CONN_WORK);
        c->calling = true;
        api_eof(w->call);
        c->calling = false;
    }
    if (w->ended)
        request_ended(c);
}

void request_drained(struct conn *c)
{
    c->calling = true;
    api_drained(c->work->call);
    c->calling = false;
    if (c->work->ended)
        request_ended(c);
}

void request_abandon(struct conn *c)
{
    struct work *w = c->work;
    c->work = NULL;
    c->full = c->hold = false;
    work_free(w);
}

/* Memory ran out or the client cannot be reached: nobody can be told inside a call, so the end of
 * the turn is. */
static void check_failed(struct conn *c)
{
    if (c->answer.out.failed)
        c->lost = true;
    if (c->lost && !c->calling)
        conn_kick(c);
}

/* The head of an answer with further headers behind those of the router. */
static void put_head(struct conn *c, const struct api_answer *answer, const struct api_header *more,
                     size_t count)
{
    struct api_header headers[ANSWER_HEADERS_MAX];
    struct api_answer with = *answer;
    if (count > 0 && answer->header_count + count <= ANSWER_HEADERS_MAX) {
        memcpy(headers, answer->headers, answer->header_count * sizeof(*headers));
        memcpy(headers + answer->header_count, more, count * sizeof(*headers));
        with.headers = headers;
        with.header_count += count;
    }
    server_take_buf(c->server, &c->answer.out);
    answer_head(&c->answer, &with, server_date(c->server));
}

#define HEADER(name, value)          \
    {                                \
        {name, sizeof(name) - 1},    \
        {                            \
            value, sizeof(value) - 1 \
        }                            \
    }
/* Returns how many headers CORS adds to an answer of this status. */
static size_t cors_headers(const struct work *w, int status, struct api_header *out)
{
    static const struct api_header vary = HEADER("Vary", "Origin"),
                                   expose = HEADER("Access-Control-Expose-Headers",
                                                   "Content-Disposition, ETag, Idempotent-Replay, "
                                                   "Keepfast-Ack, Keepfast-Default, "
                                                   "Keepfast-Version, Retry-After, "
                                                   "WWW-Authenticate");
    static const struct api_header preflight[] = {
        HEADER("Access-Control-Allow-Methods", "GET, HEAD, PUT, POST, PATCH, DELETE"),
        HEADER("Access-Control-Allow-Headers",
               "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match"),
        HEADER("Access-Control-Max-Age", "7200"),
    };
    size_t count = 0;
    /* Also for an answer to nobody's page: a cache must not give it to one. */
    if (w->origin || w->conn->server->origins.len > 0)
        out[count++] = vary;
    if (!w->origin)
        return count;
    out[count++] = (struct api_header){STR("Access-Control-Allow-Origin"), str_of(w->origin)};
    if (!w->preflight || status != 204) {
        out[count++] = expose;
        return count;
    }
    for (size_t i = 0; i < sizeof(preflight) / sizeof(*preflight); i++)
        out[count++] = preflight[i];
    return count;
}

static void door_head(void *ctx, const struct api_answer *answer)
{
    struct api_header cors[CORS_HEADERS_MAX];
    struct work *w = ctx;
    struct conn *c = w->conn;
    /* An answer before the router has the whole body is a refusal: the rest will not be read. */
    if (!w->whole || w->held.len > 0 || c->server->stopping)
        c->answer.keep = false;
    put_head(c, answer, cors, cors_headers(w, answer->status, cors));
    if (c->state == CONN_WORK)
        conn_move(c, CONN_ANSWER);
    if (answer->body_len < 0 && !c->calling)
        conn_kick(c); /* the body may come much later */
    check_failed(c);
}

static bool door_body(void *ctx, str bytes)
{
    struct work *w = ctx;
    struct conn *c = w->conn;
    if (c->lost)
        return true;
    if (bytes.len >= SERVER_DIRECT)
        conn_send_direct(c, bytes);
    else
        answer_body(&c->answer, bytes);
    check_failed(c);
    if (c->lost)
        return true;
    /* A piece that is not the last may be followed by nothing for a long time. */
    if (!c->calling && (c->answer.body != BODY_KNOWN || c->answer.left > 0))
        conn_kick(c);
    c->full = answer_pending(&c->answer).len > SERVER_QUEUE_FULL;
    return !c->full;
}

static void door_end(void *ctx, bool close, bool ok)
{
    struct work *w = ctx;
    struct conn *c = w->conn;
    assert(c->answer.begun && !w->ended);
    w->ended = true;
    w->close = close;
    if (!ok)
        c->broken = true;
    else if (!c->lost)
        answer_end(&c->answer);
    check_failed(c);
    if (c->calling)
        return;
    request_ended(c);
    conn_settle(c);
    if (c->state == CONN_IDLE && c->in.len > 0)
        conn_kick(c);
}

static void door_more(void *ctx)
{
    struct work *w = ctx;
    w->conn->hold = false;
    conn_kick(w->conn);
}

/* ------------------------------------------------------------------------------------- refusing */

/* A 405 names what is allowed (RFC 9110, 15.5.6): of a method that is not even known, all that
 * are. */
static const struct api_header allow = HEADER("Allow",
                                              "GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS");

static void refuse_head(void *ctx, const struct api_answer *answer)
{
    put_head(ctx, answer, &allow, answer->status == 405);
}

static bool refuse_body_bytes(void *ctx, str bytes)
{
    struct conn *c = ctx;
    answer_body(&c->answer, bytes);
    return true;
}

static void refuse_end(void *ctx, bool close, bool ok)
{
    struct conn *c = ctx;
    if (ok && !c->answer.out.failed)
        answer_end(&c->answer);
    else
        c->broken = c->lost = true;
}

static const struct api_door refusing = {refuse_head, refuse_body_bytes, refuse_end, NULL};

void request_refuse(struct conn *c, enum problem problem, const char *detail)
{
    api_refuse(c->server->api, &refusing, c, problem, detail);
}
