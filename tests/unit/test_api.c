/* The router, asked without a socket: every route with every method while the store is open, being
 * filled, read-only and closing; clients that go away; no memory.
 *
 * Whatever is asked in whatever state, the answer is one that /openapi.json describes for the
 * route: one of its own, or a problem with the status that base/problems.def gives its code. */
#include "testing.h"

#include "api/api_internal.h"
#include "lib/house.h"
#include "remote/mem.h"

#include <errno.h>
#include <unistd.h>

enum state { OPEN, FILLING, READ_ONLY, CLOSING, STATES };
static const char *const state_names[] = {"open", "being filled", "read-only", "closing"};

/* ------------------------------------------------------------------------------------- the door */

/* Keeps what it is given in memory of its own: it needs none while there is none. */
struct door {
    int heads, ends;
    int status;
    bool close, ok, gone, more;
    size_t full_at; /* the door is full from this many bytes on; 0 = never */
    char headers[1024];
    char body[1024 * 1024];
    size_t len;
};

static void door_head(void *ctx, const struct api_answer *a)
{
    struct door *d = ctx;
    assert_false(d->gone);
    assert_int_equal(d->heads++, 0);
    d->status = a->status;
    d->headers[0] = '\0';
    for (size_t i = 0; i < a->header_count; i++) {
        size_t at = strlen(d->headers);
        assert_non_null(a->headers[i].value.p);
        snprintf(d->headers + at, sizeof d->headers - at, "%.*s: %.*s\n",
                 STR_ARGS(a->headers[i].name), STR_ARGS(a->headers[i].value));
    }
}

static bool door_body(void *ctx, str bytes)
{
    struct door *d = ctx;
    assert_false(d->gone);
    assert_int_equal(d->heads, 1);
    assert_true(d->len + bytes.len < sizeof d->body);
    memcpy(d->body + d->len, bytes.p, bytes.len);
    d->len += bytes.len;
    d->body[d->len] = '\0';
    return !d->full_at || d->len < d->full_at;
}

static void door_end(void *ctx, bool close, bool ok)
{
    struct door *d = ctx;
    assert_false(d->gone);
    assert_int_equal(d->ends++, 0);
    d->close = close;
    d->ok = ok;
}

static void door_more(void *ctx)
{
    struct door *d = ctx;
    assert_false(d->gone);
    d->more = true;
}

static const struct api_door door_ops = {door_head, door_body, door_end, door_more};

/* The member of a JSON answer, without its quotes; good until the next call. */
static const char *member(const struct door *d, const char *name)
{
    static char value[200];
    char key[64];
    snprintf(key, sizeof key, "\"%s\":\"", name);
    const char *at = strstr(d->body, key);
    value[0] = '\0';
    if (at)
        snprintf(value, sizeof value, "%.*s", (int)strcspn(at + strlen(key), "\""),
                 at + strlen(key));
    return value;
}

static bool has_header(const struct door *d, const char *line)
{
    char wanted[200];
    snprintf(wanted, sizeof wanted, "%s\n", line);
    return strstr(d->headers, wanted) != NULL;
}

static bool is_problem(const struct door *d)
{
    return has_header(d, "Content-Type: application/problem+json");
}

/* -------------------------------------------------------------------------------------- the rig */

struct rig {
    struct testing_env env;
    const char *dir;
    struct config *config;
    struct house *house;
    struct api *api;
    struct loop *loop;
    enum state state;
};

static struct rig rig;
static struct door door;
static struct door kept; /* an earlier answer */
static struct buf archive, description;
static bool insist; /* requests say If-Match: *, which a store that is being filled wants */
static char unmatched[4200]; /* If-None-Match of requests; "" = none */

static void door_clear(void)
{
    door.heads = door.ends = door.status = 0;
    door.close = door.ok = door.gone = door.more = false;
    door.len = door.full_at = 0;
    door.body[0] = '\0';
}

static enum api_peer peer = API_PEER_SELF;

/* On a call that has none under way. */
static void begin_on(struct api_call *c, enum api_method method, const char *target, str body,
                     bool zip)
{
    const struct api_header headers[] = {
        {STR("Content-Type"), zip ? STR("application/zip") : STR("application/json")},
        {insist ? STR("If-Match") : STR("If-None-Match"), insist ? STR("*") : str_of(unmatched)},
    };
    struct api_head head = {.method = method,
                            .method_text = str_of(route_method_name(method)),
                            .target = str_of(target),
                            .headers = headers,
                            .header_count = insist || *unmatched ? 2 : 1,
                            .content_length = body.p ? (int64_t)body.len : -1,
                            .peer = peer};
    door_clear();
    api_begin(c, &head);
}

static struct api_call *begin(enum api_method method, const char *target, str body, bool zip)
{
    struct api_call *c;
    struct kf_err err = KF_ERR_INIT;
    door_clear();
    if (api_call_new(rig.api, &door_ops, &door, &c, &err) != KF_OK)
        return NULL;
    begin_on(c, method, target, body, zip);
    return c;
}

/* Body and end of a request that was begun; what comes back comes with the loop. */
static void send_rest(struct api_call *c, str body)
{
    if (body.len)
        assert_true(api_data(c, body));
    if (!door.ends)
        api_eof(c);
}

static void until_answered(void)
{
    for (int turns = 0; !door.ends; turns++) {
        if (turns > 5000)
            fail_msg("no answer in %s", state_names[rig.state]);
        loop_turn(rig.loop, 50);
    }
}

/* The status of the answer, which is in `door`; 0 when there was no memory to ask. */
static int ask_bytes(enum api_method method, const char *target, str body, bool zip)
{
    struct api_call *c = begin(method, target, body, zip);
    if (!c)
        return 0;
    send_rest(c, body);
    until_answered();
    assert_int_equal(door.heads, 1);
    api_abandon(c);
    return door.status;
}

static int ask(enum api_method method, const char *target, const char *body)
{
    return ask_bytes(method, target, body ? str_of(body) : (str){NULL, 0}, false);
}

static void want(int status, enum api_method method, const char *target, const char *body)
{
    if (ask(method, target, body) != status)
        fail_msg("%s %s: %d %s", route_method_name(method), target, door.status, door.body);
}

static void rig_open(enum state state)
{
    struct kf_err err = KF_ERR_INIT;
    static int number;
    char yaml[400];
    rig = (struct rig){.state = state};
    testing_env_init(&rig.env);
    rig.dir = testing_dir_in_memory();
    const char *file = testing_path(rig.dir, "keepfast.yaml");
    int n = snprintf(yaml, sizeof yaml,
                     "spaces:\n  s:\n    remotes:\n"
                     "      usb: { url: \"%smem:api-%d\", manual: true }\n",
                     state == FILLING ? "fail:at=1,sticky,name=api:" : "", number++);
    testing_write(file, yaml, (size_t)n);
    if (config_load(env_system(), file, NULL, NULL, 0, &rig.config, &err) != KF_OK)
        fail_msg("%s", err.detail);
    struct house_options o = {.env = &rig.env.env,
                              .config = rig.config,
                              .data_dir = testing_path(rig.dir, "data"),
                              .inline_loop = true};
    if (house_new(&o, &rig.house, &err) != KF_OK)
        fail_msg("%s", err.detail);
    rig.api = house_api(rig.house);
    rig.loop = house_loop(rig.house);
    house_settle(rig.house, 5000);
}

static void rig_close(void)
{
    testing_env_fault(&rig.env, IO_OP_COUNT, 0, 0, false);
    assert_int_equal(api_calls(rig.api), 0);
    for (const struct space *s = rig.api->home->spaces; s; s = s->next)
        assert_int_equal(s->users, 0);
    house_free(rig.house, NULL);
    config_free(rig.config);
    testing_env_release(&rig.env);
    mem_forget();
    fail_forget();
}

/* What the routes below ask about: a document of two versions, a remote that may go, a space that
 * may go, and nothing yet of what they make. May be called again. */
static void lay_out(void)
{
    insist = rig.state == FILLING;
    if (ask(API_GET, "/v1/s/docs/a", NULL) != 200 || strcmp(door.body, "{\"n\":2}") != 0) {
        ask(API_PUT, "/v1/s/docs/a", "{\"n\":1}");
        ask(API_PUT, "/v1/s/docs/a", "{\"n\":2}");
    }
    ask(API_PATCH, "/v1/s/streams/c", "{\"customer\":7}");
    ask(API_POST, "/v1/s/streams/c/entries",
        "{\"id\":\"a\",\"at\":\"2026-01-01T00:00:00Z\",\"body\":1}");
    insist = false;
    ask(API_DELETE, "/v1/s/docs/new", NULL);
    ask(API_DELETE, "/v1/s/remotes/extra", NULL);
    if (ask(API_GET, "/v1/s/remotes/old", NULL) == 404)
        ask(API_POST, "/v1/s/remotes",
            "{\"name\":\"old\",\"url\":\"mem:api-old\",\"manual\":true}");
    ask(API_DELETE, "/v1/fresh?confirm=fresh", NULL);
    ask(API_PUT, "/v1/spare", NULL);
}

/* The space `s` gets into the state, with everything laid out that can be. */
static void rig_enter(enum state state)
{
    rig_open(state);
    lay_out();
    if (state == READ_ONLY) {
        testing_env_fault(&rig.env, IO_SYNC, 1, EIO, true);
        ask(API_PUT, "/v1/s/docs/lost", "1");
        assert_string_equal(member(&door, "code"), "store_read_only");
    } else if (state == CLOSING) {
        api_stop(rig.api);
    }
    testing_env_fault(&rig.env, IO_OP_COUNT, 0, 0, false);
}

/* ------------------------------------------------------------------------------------ the table */

/* One request for each route. What is answered: "" = the route's own answer, else a problem. */
static const struct request {
    enum route route;
    const char *target, *body, *open, *filling, *read_only;
    bool steady; /* the body is the same whenever it is asked */
} requests[] = {
    {ROUTE_SPACES, "/v1", NULL, "", "", "", true},
    {ROUTE_TOKENS, "/v1/tokens", NULL, "", "", "", false},
    {ROUTE_TOKEN_MAKE, "/v1/tokens", "{\"name\":\"app\",\"rights\":[\"read\"]}", "", "", "", false},
    {ROUTE_TOKEN_REVOKE, "/v1/tokens/none", NULL, "not_found", "not_found", "not_found", false},
    {ROUTE_SPACE_PUT, "/v1/fresh", NULL, "", "", "", true},
    {ROUTE_SPACE_DELETE, "/v1/spare?confirm=spare", NULL, "", "", "", false},
    {ROUTE_DOC_LIST, "/v1/s/docs", NULL, "", "not_hydrated", "", false},
    {ROUTE_DOC_GET, "/v1/s/docs/a", NULL, "", "", "", true},
    {ROUTE_DOC_PUT, "/v1/s/docs/new", "[2]", "", "load_failed", "store_read_only", false},
    {ROUTE_DOC_PATCH, "/v1/s/docs/a", "{\"m\":1}", "", "", "store_read_only", false},
    {ROUTE_DOC_DELETE, "/v1/s/docs/a", NULL, "", "", "store_read_only", false},
    {ROUTE_DOC_VERSIONS, "/v1/s/docs/a/versions", NULL, "", "", "", false},
    {ROUTE_DOC_REVERT, "/v1/s/docs/a/revert", "{\"version\":1}", "", "", "store_read_only", false},
    {ROUTE_DOC_DIFF, "/v1/s/docs/a/diff", NULL, "", "", "", true},
    {ROUTE_STREAM_LIST, "/v1/s/streams?attr.customer=7", NULL, "", "not_hydrated", "", true},
    {ROUTE_STREAM_GET, "/v1/s/streams/c", NULL, "", "not_hydrated", "", true},
    {ROUTE_STREAM_PATCH, "/v1/s/streams/c", "{\"m\":1}", "", "not_hydrated", "store_read_only",
     false},
    {ROUTE_STREAM_ERASE, "/v1/s/streams/c", NULL, "", "not_hydrated", "store_read_only", false},
    {ROUTE_ENTRY_APPEND, "/v1/s/streams/c/entries", "[{\"body\":1},{\"body\":2}]", "", "",
     "store_read_only", false},
    {ROUTE_ENTRIES, "/v1/s/streams/c/entries?last=5", NULL, "", "not_hydrated", "", true},
    {ROUTE_CONTEXT, "/v1/s/streams/c/context?across=customer", NULL, "", "not_hydrated", "", true},
    {ROUTE_SEARCH, "/v1/s/search?q=hello", NULL, "", "not_hydrated", "", true},
    {ROUTE_PERSON_ERASE, "/v1/s/people/customer/7", NULL, "", "not_hydrated", "store_read_only",
     false},
    {ROUTE_RECEIPTS, "/v1/s/receipts", NULL, "", "", "", true},
    {ROUTE_IMPORT, "/v1/s/import?file=persona_memory.json",
     "{\"a\":{\"conversations\":[{\"user_message\":\"x\"}]}}", "", "not_hydrated",
     "store_read_only", false},
    {ROUTE_EXPORT, "/v1/s/export?file=partner_conversations.json", NULL, "", "not_hydrated", "",
     true},
    {ROUTE_TRACKED, "/v1/s/tracked", NULL, "", "", "", true},
    {ROUTE_TRACK, "/v1/s/tracked/public.t", NULL, "not_implemented", "not_implemented",
     "not_implemented", false},
    {ROUTE_UNTRACK, "/v1/s/tracked/public.t", NULL, "not_implemented", "not_implemented",
     "not_implemented", false},
    {ROUTE_CHANGES, "/v1/s/changes?after=5", NULL, "not_implemented", "not_implemented",
     "not_implemented", false},
    {ROUTE_STATUS, "/v1/s/status", NULL, "", "", "", false},
    {ROUTE_REMOTES, "/v1/s/remotes", NULL, "", "", "", false},
    {ROUTE_REMOTE_ADD, "/v1/s/remotes",
     "{\"name\":\"extra\",\"url\":\"mem:api-extra\",\"manual\":true}", "", "", "store_read_only",
     false},
    {ROUTE_REMOTE_GET, "/v1/s/remotes/usb", NULL, "", "", "", false},
    {ROUTE_REMOTE_DELETE, "/v1/s/remotes/old", NULL, "", "", "store_read_only", false},
    {ROUTE_REMOTE_RUN, "/v1/s/remotes/usb/run", NULL, "", "level_unavailable", "level_unavailable",
     false},
    {ROUTE_REMOTE_PROBE, "/v1/s/remotes/usb/probe", NULL, "", "remote_failed", "", true},
    {ROUTE_REMOTE_PENDING, "/v1/s/remotes/usb/pending", NULL, "", "", "", false},
    {ROUTE_REMOTE_RUNS, "/v1/s/remotes/usb/runs", NULL, "", "", "", false},
    {ROUTE_REMOTE_ASIDE, "/v1/s/remotes/usb/set-aside", NULL, "", "", "", true},
    {ROUTE_REMOTE_RETRY, "/v1/s/remotes/usb/set-aside", NULL, "", "level_unavailable",
     "level_unavailable", false},
    {ROUTE_REMOTE_DROP, "/v1/s/remotes/usb/set-aside", NULL, "", "", "store_read_only", false},
    {ROUTE_ASIDE, "/v1/s/set-aside", NULL, "", "", "", true},
    {ROUTE_RUNS, "/v1/s/runs", NULL, "", "", "", false},
    {ROUTE_BACKUP, "/v1/s/backup", NULL, "", "", "", false},
    {ROUTE_RESTORE, "/v1/s/restore?replace=true", "(archive)", "", "", "store_read_only", false},
    {ROUTE_DIGEST, "/v1/s/digest", NULL, "", "", "", false},
    {ROUTE_VERIFY, "/v1/s/verify", NULL, "", "", "", false},
    {ROUTE_DOCTOR, "/v1/s/doctor", NULL, "", "", "", false},
    {ROUTE_HEALTHZ, "/healthz", NULL, "", "", "", true},
    {ROUTE_READYZ, "/readyz", NULL, "", "", "", true},
    {ROUTE_DURABLEZ, "/durablez", NULL, "", "", "", false},
    {ROUTE_METRICS, "/metrics", NULL, "", "", "", false},
    {ROUTE_OPENAPI, "/openapi.json", NULL, "", "", "", true},
    {ROUTE_PAGE, "/", NULL, "", "", "", true},
    {ROUTE_PAGE_FILE, "/page/main.js", NULL, "", "", "", true},
    {ROUTE_PAGE_GUARD, "/keepfast-guard.js", NULL, "", "", "", true},
};
_Static_assert(sizeof requests / sizeof *requests == ROUTE_COUNT, "a request for each route");

static const struct route_info *info_of(const struct request *r)
{
    return &route_table[r->route];
}

static bool is_stream(const struct request *r)
{
    return info_of(r)->body == BODY_STREAM;
}

static str body_of(const struct request *r)
{
    if (is_stream(r))
        return buf_view(&archive);
    return r->body ? str_of(r->body) : (str){NULL, 0};
}

static int ask_request(const struct request *r, enum api_method method)
{
    return ask_bytes(method, r->target, body_of(r), is_stream(r));
}

/* The bits of the methods that the path of a route has. */
static unsigned methods_of(const struct request *r)
{
    unsigned bits = 0;
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        if (strcmp(route_table[i].pattern, info_of(r)->pattern) == 0)
            bits |= 1u << route_table[i].method;
    return bits & 1u << API_GET ? bits | 1u << API_HEAD : bits;
}

/* ------------------------------------------------------------------------------------ described */

static const struct json_node *below(const struct json_node *n, const char *key)
{
    const struct json_node *m = n ? json_member(n, key) : NULL;
    if (!m)
        fail_msg("/openapi.json has no %s", key);
    return m;
}

/* Fails unless the answer in `door` is one that the description has for the route. */
static void is_described(const struct request *r, bool head_only)
{
    struct arena arena = ARENA_INIT;
    struct json_node *root;
    char status[8], method[8] = "";
    const struct problem_info *p;
    assert_int_equal(json_parse(buf_view(&description), NULL, &arena, &root, NULL), KF_OK);
    for (size_t i = 0; i < strlen(route_method_name(info_of(r)->method)); i++)
        method[i] = (char)(route_method_name(info_of(r)->method)[i] | 0x20);
    const struct json_node *responses = below(
        below(below(below(root, "paths"), info_of(r)->pattern), method), "responses");
    snprintf(status, sizeof status, "%d", door.status);
    if (is_problem(&door)) {
        p = problem_find(member(&door, "code"));
        if (!head_only && (!p || p->http_status != door.status))
            fail_msg("%s: %d %s", r->target, door.status, door.body);
        below(responses, "default");
    } else if (!json_member(responses, status)) {
        fail_msg("%s answers %d, which is not described: %s", r->target, door.status, door.body);
    }
    arena_release(&arena);
}

/* ---------------------------------------------------------------------------------------- tests */

static void answers_as_in_table(enum state state)
{
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        const struct request *r = &requests[i];
        const char *wanted = state == OPEN        ? r->open
                             : state == FILLING   ? r->filling
                             : state == READ_ONLY ? r->read_only
                                                  : "stopping";
        assert_int_equal(r->route, i);
        rig_enter(state);
        ask_request(r, info_of(r)->method);
        const char *code = is_problem(&door) ? member(&door, "code") : "";
        if (strcmp(code, wanted) != 0)
            fail_msg("%s: %s %s, wanted \"%s\": %d %s", state_names[state],
                     route_method_name(info_of(r)->method), r->target, wanted, door.status,
                     door.body);
        assert_true(door.ok);
        is_described(r, false);
        rig_close();
    }
}

static void open_stores_answer(void **unused)
{
    (void)unused;
    answers_as_in_table(OPEN);
}

static void stores_being_filled_answer(void **unused)
{
    (void)unused;
    answers_as_in_table(FILLING);
}

static void read_only_stores_answer(void **unused)
{
    (void)unused;
    answers_as_in_table(READ_ONLY);
}

static void a_closing_router_refuses_all(void **unused)
{
    (void)unused;
    answers_as_in_table(CLOSING);
}

/* Allow names the methods of the path and OPTIONS, in the order of enum api_method. */
static void allows(unsigned bits, const char *target)
{
    struct buf line = BUF_INIT;
    for (int m = API_GET; m < API_OTHER; m++)
        if (m == API_OPTIONS || bits & 1u << m)
            buf_printf(&line, "%s%s",
                       line.len ? ", " : "Allow: ", route_method_name((enum api_method)m));
    assert_int_equal(buf_ok(&line, NULL), KF_OK);
    if (!has_header(&door, line.p))
        fail_msg("%s: wanted %s, got\n%s", target, line.p, door.headers);
    buf_release(&line);
}

/* A path has the methods of its routes and no other, in every state; a refusal changes nothing. */
static void other_methods_are_refused(void **unused)
{
    (void)unused;
    for (enum state state = OPEN; state < STATES; state++) {
        rig_enter(state);
        uint64_t seq = store_seq(space_if_open(rig.api, STR("s"))->store);
        for (size_t i = 0; i < ROUTE_COUNT; i++)
            for (int m = API_GET; m <= API_OTHER; m++) {
                const struct request *r = &requests[i];
                unsigned has = methods_of(r);
                if (has & 1u << m)
                    continue;
                int status = ask_bytes((enum api_method)m, r->target, STR("{}"), false);
                assert_int_equal(status, m == API_OPTIONS ? 204 : 405);
                if (m != API_OPTIONS) /* which only asks for Allow */
                    assert_string_equal(member(&door, "code"), "method_not_allowed");
                assert_true(door.close); /* its body was not read */
                allows(has, r->target);
            }
        assert_int_equal(store_seq(space_if_open(rig.api, STR("s"))->store), seq);
        rig_close();
    }
}

/* OPTIONS of `*` is of the server as a whole. */
static void the_server_tells_its_methods(void **unused)
{
    (void)unused;
    rig_enter(OPEN);
    assert_int_equal(ask(API_OPTIONS, "*", ""), 204);
    allows(~0u, "*");
    assert_int_equal(ask(API_GET, "*", ""), 405);
    allows(~0u, "*");
    rig_close();
}

/* A body of no bytes is read to its end: its connection may go on. */
static void a_refusal_of_no_body_closes_nothing(void **unused)
{
    (void)unused;
    rig_enter(OPEN);
    assert_int_equal(ask(API_POST, "/v1", ""), 405);
    assert_false(door.close);
    assert_int_equal(ask(API_POST, "/v1", "{}"), 405);
    assert_true(door.close);
    rig_close();
}

/* HEAD is GET without the body, in every state. */
static void head_is_get_without_its_body(void **unused)
{
    (void)unused;
    for (enum state state = OPEN; state < STATES; state++) {
        rig_enter(state);
        for (size_t i = 0; i < ROUTE_COUNT; i++) {
            const struct request *r = &requests[i];
            if (info_of(r)->method != API_GET)
                continue;
            ask_request(r, API_GET);
            kept = door;
            ask_request(r, API_HEAD);
            assert_int_equal(door.len, 0);
            assert_int_equal(door.status, kept.status);
            assert_string_equal(door.headers, kept.headers);
            is_described(r, true);
        }
        rig_close();
    }
}

static void a_refusal_behind_a_head_has_its_body(void **state)
{
    (void)state;
    rig_open(OPEN);
    struct api_call *c = begin(API_HEAD, "/healthz", (str){NULL, 0}, false);
    assert_non_null(c);
    send_rest(c, (str){NULL, 0});
    assert_int_equal(door.status, 200);
    assert_int_equal(door.len, 0);
    begin_on(c, API_POST, "/healthz", (str){NULL, 0}, false);
    assert_int_equal(door.status, 405);
    assert_string_equal(member(&door, "code"), "method_not_allowed");
    api_abandon(c);
    rig_close();
}

/* --------------------------------------------------------------------------- clients that leave */

/* The client goes `turns` turns of the loop after its request was whole; the call ends all the
 * same, and tells nobody. True when it had been answered before. */
static bool leaves_after(const struct request *r, int turns)
{
    struct api_call *c = begin(info_of(r)->method, r->target, body_of(r), is_stream(r));
    assert_non_null(c);
    send_rest(c, body_of(r));
    for (int i = 0; i < turns && !door.ends; i++)
        loop_turn(rig.loop, 0);
    bool answered = door.ends > 0;
    door.gone = true;
    api_abandon(c);
    assert_int_equal(api_calls(rig.api), 0);
    for (int i = 0; api_busy(rig.api); i++) {
        assert_true(i < 5000);
        loop_turn(rig.loop, 50);
    }
    for (const struct space *s = rig.api->home->spaces; s; s = s->next)
        assert_int_equal(s->users, 0);
    return answered;
}

static void a_client_may_leave_at_any_time(void **unused)
{
    (void)unused;
    rig_enter(OPEN);
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        for (int turns = 0;; turns++) {
            lay_out();
            if (leaves_after(&requests[i], turns))
                break;
            assert_true(turns < 5000);
        }
    want(200, API_GET, "/v1/s/docs/a", NULL);
    rig_close();
}

/* Before a body is whole nothing has happened. */
static void a_client_may_leave_within_its_body(void **unused)
{
    (void)unused;
    rig_enter(OPEN);
    uint64_t seq = store_seq(space_if_open(rig.api, STR("s"))->store);
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        const struct request *r = &requests[i];
        if (info_of(r)->body == BODY_NONE)
            continue;
        for (int part = 0; part < 3; part++) {
            str body = body_of(r);
            struct api_call *c = begin(info_of(r)->method, r->target, body, is_stream(r));
            if (part)
                api_data(c, (str){body.p, body.len / 2});
            if (part == 2)
                loop_turn(rig.loop, 0);
            door.gone = true;
            api_abandon(c);
            while (api_busy(rig.api))
                loop_turn(rig.loop, 50);
        }
    }
    assert_int_equal(store_seq(space_if_open(rig.api, STR("s"))->store), seq);
    rig_close();
}

/* What was submitted stands although nobody hears of it. */
static void a_write_stands_without_its_client(void **unused)
{
    (void)unused;
    rig_enter(OPEN);
    struct api_call *c = begin(API_PUT, "/v1/s/docs/new", STR("[7]"), false);
    send_rest(c, STR("[7]"));
    assert_int_equal(door.ends, 0);
    door.gone = true;
    api_abandon(c);
    assert_true(api_busy(rig.api));
    while (api_busy(rig.api))
        loop_turn(rig.loop, 50);
    want(200, API_GET, "/v1/s/docs/new", NULL);
    assert_string_equal(door.body, "[7]");
    rig_close();
}

/* A wait for a remote that does not answer ends with its client, at once. */
static void a_wait_ends_with_its_client(void **unused)
{
    static const char *const targets[] = {"/v1/s/docs/new?wait=usb&timeout=1h&ride=true",
                                          "/v1/s/docs/new?wait=usb&timeout=1h"};
    (void)unused;
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        rig_enter(FILLING);
        int64_t before = env_mono_ms(&rig.env.env);
        insist = true;
        struct api_call *c = begin(API_PUT, targets[i], STR("[7]"), false);
        insist = false;
        send_rest(c, STR("[7]"));
        for (int turn = 0; turn < 10 && !c->wait.remotes; turn++)
            loop_turn(rig.loop, 0);
        if (!c->wait.remotes)
            fail_msg("it did not wait: %d %s", door.status, door.body);
        door.gone = true;
        api_abandon(c);
        assert_false(api_busy(rig.api));
        assert_true(env_mono_ms(&rig.env.env) - before < 60000);
        want(200, API_GET, "/v1/s/docs/new", NULL);
        rig_close();
    }
}

/* A backup whose client does not read stands still; when the client leaves, it goes. */
static void a_backup_waits_for_a_full_door(void **unused)
{
    static char body[300000] = "\"";
    uint64_t seed = 7;
    (void)unused;
    rig_enter(OPEN);
    for (size_t i = 1; i < sizeof body - 2; i++) /* what cannot be pressed into one piece */
        body[i] = (char)('#' + testing_random(&seed) % 50);
    body[sizeof body - 2] = '"';
    want(201, API_PUT, "/v1/s/docs/large", body);
    for (int leaves = 0; leaves < 2; leaves++) {
        struct api_call *c = begin(API_GET, "/v1/s/backup", (str){NULL, 0}, false);
        door.full_at = 1;
        send_rest(c, (str){NULL, 0});
        while (!door.len)
            loop_turn(rig.loop, 0);
        size_t len = door.len;
        for (int i = 0; i < 20; i++)
            loop_turn(rig.loop, 0);
        assert_int_equal(door.len, len);
        assert_int_equal(door.ends, 0);
        if (!leaves) {
            door.full_at = 0;
            api_drained(c);
            until_answered();
            assert_true(door.ok && door.len > len);
        }
        door.gone = true;
        api_abandon(c);
        assert_false(api_busy(rig.api));
    }
    rig_close();
}

/* ------------------------------------------------------------------- who waits for an entry */

/* Somebody beside whom others append. */
static const struct request following = {
    ROUTE_ENTRIES, "/v1/s/streams/c/entries?after=1&follow=2500ms", NULL, "", "", "", true};

static struct api_call *follow(void)
{
    struct api_call *c = begin(API_GET, following.target, (str){NULL, 0}, false);
    assert_non_null(c);
    send_rest(c, (str){NULL, 0});
    for (int i = 0; i < 50; i++)
        loop_turn(rig.loop, 0);
    assert_int_equal(door.ends, 0);
    return c;
}

static void who_follows_holds_nothing(void **unused)
{
    (void)unused;
    rig_enter(OPEN);
    peer = API_PEER_UNIX;
    struct api_call *c = follow();
    for (const struct space *s = rig.api->home->spaces; s; s = s->next)
        assert_int_equal(s->users, 0);
    until_answered();
    assert_int_equal(door.status, 200);
    assert_string_equal(door.body, "{\"items\":[],\"next\":null}");
    api_abandon(c);
    struct space *s = space_if_open(rig.api, STR("s"));
    c = follow();
    struct kf_entry_new entry = {.size = sizeof entry, .body = "2", .len = 1};
    struct kf_appended appended;
    assert_int_equal(kf_append(s->store, "c", &entry, 1, NULL, &appended, NULL, NULL, NULL), KF_OK);
    loop_turn(rig.loop, 0);
    loop_turn(rig.loop, 0);
    assert_int_equal(door.ends, 1);
    assert_non_null(strstr(door.body, "\"n\":2"));
    api_abandon(c);
    peer = API_PEER_SELF;
    rig_close();
}

static void who_follows_may_leave_at_any_time(void **unused)
{
    (void)unused;
    rig_enter(OPEN);
    peer = API_PEER_UNIX;
    for (int turns = 0; turns < 40; turns++)
        assert_false(leaves_after(&following, turns));
    struct api_call *c = follow();
    struct space *s = space_if_open(rig.api, STR("s"));
    follow_tell(rig.api->home, str_of(s->name), STR("c")); /* it is on its way back */
    door.gone = true;
    api_abandon(c);
    assert_true(api_busy(rig.api));
    loop_turn(rig.loop, 0);
    assert_false(api_busy(rig.api));
    peer = API_PEER_SELF;
    rig_close();
}

static void who_follows_ends_with_the_router(void **unused)
{
    (void)unused;
    rig_enter(OPEN);
    peer = API_PEER_UNIX;
    struct api_call *c = follow();
    api_stop(rig.api);
    loop_turn(rig.loop, 0);
    loop_turn(rig.loop, 0);
    assert_int_equal(door.ends, 1);
    assert_string_equal(door.body, "{\"items\":[],\"next\":null}");
    api_abandon(c);
    peer = API_PEER_SELF;
    rig_close();
}

/* In a process of its own nobody could append meanwhile. */
static void a_command_does_not_wait(void **unused)
{
    (void)unused;
    rig_enter(OPEN);
    struct api_call *c = begin(API_GET, following.target, (str){NULL, 0}, false);
    send_rest(c, (str){NULL, 0});
    for (int i = 0; i < 50 && !door.ends; i++)
        loop_turn(rig.loop, 0);
    assert_int_equal(door.ends, 1);
    api_abandon(c);
    rig_close();
}

/* ------------------------------------------------------------------------------- lack of memory */

struct scarce {
    long left;
    bool sticky;
    long fired;
};

static bool scarce_hook(void *ctx, size_t size)
{
    struct scarce *s = ctx;
    (void)size;
    s->left--;
    if (s->left > 0 || (s->left < 0 && !s->sticky))
        return true;
    s->fired++;
    return false;
}

static const char *etag_line(const struct door *d)
{
    const char *at = strstr(d->headers, "ETag: ");
    return at ? at : "";
}

/* An erasure takes thousands of allocations, more with each that was before it, and so does a look
 * at everything, most of them in the database's own index of words: the first are enough here,
 * oom_streams.c has all. */
#define LONG_MAX_TRIES 400
static bool is_long(const struct request *r)
{
    return r->route == ROUTE_STREAM_ERASE || r->route == ROUTE_PERSON_ERASE ||
           r->route == ROUTE_VERIFY;
}

/* The answer without memory is the one with memory, or says that there was none. */
static void judge(const struct request *r, const struct scarce *s, long n)
{
    bool refused = door.status == 503 &&
                   (door.len == 0 || strcmp(member(&door, "code"), "no_memory") == 0);
    if (door.status == 0 || (s->fired && (refused || (door.ends && !door.ok))))
        return;
    const char *what = NULL;
    if (door.status != kept.status)
        what = "another status";
    else if (r->steady && (door.len != kept.len || memcmp(door.body, kept.body, door.len) != 0))
        what = "another body";
    else if (r->steady && strcmp(door.headers, kept.headers) != 0)
        what = "other headers";
    else if ((*etag_line(&door) != '\0') != (*etag_line(&kept) != '\0'))
        what = "no ETag";
    if (what)
        fail_msg("%s %s, allocation %ld%s: %s: %d\n%s%s", route_method_name(info_of(r)->method),
                 r->target, n, s->sticky ? " and all later ones" : "", what, door.status,
                 door.headers, door.body);
}

static long starve(const struct request *r, bool sticky, long stride)
{
    long fired = 0;
    for (long n = 1;; n += stride) {
        struct scarce s = {.left = n, .sticky = sticky};
        if (!*unmatched)
            lay_out();
        mem_set_hook(scarce_hook, &s);
        ask_request(r, info_of(r)->method);
        while (api_busy(rig.api))
            loop_turn(rig.loop, 50);
        mem_set_hook(NULL, NULL);
        judge(r, &s, n);
        fired += s.fired;
        if (!s.fired || (is_long(r) && n > LONG_MAX_TRIES))
            return fired;
    }
}

static void a_follower_without_memory_is_answered(void **unused)
{
    (void)unused;
    rig_enter(OPEN);
    peer = API_PEER_UNIX;
    ask_request(&following, API_GET);
    kept = door;
    peer = API_PEER_SELF; /* of what is laid out */
    for (int sticky = 0; sticky < 2; sticky++)
        for (long n = 1, fired = 1; fired; n++) {
            struct scarce s = {.left = n, .sticky = sticky};
            lay_out();
            peer = API_PEER_UNIX;
            mem_set_hook(scarce_hook, &s);
            ask_request(&following, API_GET);
            while (api_busy(rig.api))
                loop_turn(rig.loop, 50);
            mem_set_hook(NULL, NULL);
            peer = API_PEER_SELF;
            judge(&following, &s, n);
            fired = s.fired;
        }
    rig_close();
}

/* The memory of a call comes in blocks; a header of the client's choice moves what stands at their
 * ends, so that each part of an answer is once the one for which there is no room. */
static void any_part_may_lack_room(void **unused)
{
    static const enum route routes[] = {ROUTE_DOC_GET, ROUTE_SPACES, ROUTE_DOC_DIFF,
                                        ROUTE_REMOTE_PROBE};
    (void)unused;
    rig_enter(OPEN);
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        for (size_t len = 3000; len < sizeof unmatched - 1; len += 16) {
            memset(unmatched, 'x', len);
            unmatched[len] = '\0';
            ask_request(&requests[routes[i]], info_of(&requests[routes[i]])->method);
            kept = door;
            starve(&requests[routes[i]], false, 1);
        }
    unmatched[0] = '\0';
    rig_close();
}

static void each_allocation_may_fail(void **unused)
{
    (void)unused;
    const char *longer = getenv("KEEPFAST_LONG");
    bool all = longer && *longer == '1';
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        const struct request *r = &requests[i];
        rig_enter(OPEN);
        ask_request(r, info_of(r)->method);
        kept = door;
        /* A restore opens and fills a store: oom.c fails each of its allocations. */
        long stride = r->route == ROUTE_RESTORE && !all ? 97 : 1;
        long fired = starve(r, false, stride) + starve(r, true, stride);
        print_message("# %s %s: %ld allocations failed\n", route_method_name(info_of(r)->method),
                      r->target, fired);
        rig_close();
    }
}

TESTING_SABOTEUR(answer_without_etag, "answer-without-etag", any_part_may_lack_room)

/* ----------------------------------------------------------------------------------------- main */

static int setup(void **state)
{
    (void)state;
    testing_guard(120);
    if (api_openapi(&description, NULL) != KF_OK)
        return 1;
    rig_open(OPEN);
    want(201, API_PUT, "/v1/s/docs/a", "{\"n\":1}");
    want(200, API_GET, "/v1/s/backup", NULL);
    buf_add(&archive, door.body, door.len);
    rig_close();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_release(&archive);
    buf_release(&description);
    return 0;
}

static void a_router_over_one_store_flushes_it(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    struct config *config = NULL;
    struct house *house = NULL;
    const char *dir = testing_dir_in_memory();
    assert_int_equal(config_load(env_system(), NULL, NULL, NULL, 0, &config, &err), KF_OK);
    struct house_options o = {.config = config,
                              .store_path = testing_path(dir, "one.db"),
                              .space = "default",
                              .inline_loop = true};
    if (house_new(&o, &house, &err) != KF_OK)
        fail_msg("%s", err.detail);
    assert_int_equal(api_flush_spaces(house_api(house), 100, &err), KF_OK);
    house_free(house, NULL);
    config_free(config);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_stores_answer),
        cmocka_unit_test(stores_being_filled_answer),
        cmocka_unit_test(read_only_stores_answer),
        cmocka_unit_test(a_closing_router_refuses_all),
        cmocka_unit_test(other_methods_are_refused),
        cmocka_unit_test(the_server_tells_its_methods),
        cmocka_unit_test(a_refusal_of_no_body_closes_nothing),
        cmocka_unit_test(head_is_get_without_its_body),
        cmocka_unit_test(a_refusal_behind_a_head_has_its_body),
        cmocka_unit_test(a_client_may_leave_at_any_time),
        cmocka_unit_test(a_client_may_leave_within_its_body),
        cmocka_unit_test(a_write_stands_without_its_client),
        cmocka_unit_test(a_wait_ends_with_its_client),
        cmocka_unit_test(a_backup_waits_for_a_full_door),
        cmocka_unit_test(who_follows_holds_nothing),
        cmocka_unit_test(who_follows_may_leave_at_any_time),
        cmocka_unit_test(who_follows_ends_with_the_router),
        cmocka_unit_test(a_command_does_not_wait),
        cmocka_unit_test(a_follower_without_memory_is_answered),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(any_part_may_lack_room),
        cmocka_unit_test(a_router_over_one_store_flushes_it),
        cmocka_unit_test(saboteur_answer_without_etag),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests(tests, setup, teardown);
}
