/* The contract is api_rig.h. */
#include "api_rig.h"

#include "remote/mem.h"

#include <errno.h>

const char *const state_names[STATES] = {"open", "being filled", "read-only", "closing"};

/* ------------------------------------------------------------------------------------- the door */

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

const char *member(const struct door *d, const char *name)
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

bool has_header(const struct door *d, const char *line)
{
    char wanted[200];
    snprintf(wanted, sizeof wanted, "%s\n", line);
    return strstr(d->headers, wanted) != NULL;
}

bool is_problem(const struct door *d)
{
    return has_header(d, "Content-Type: application/problem+json");
}

/* -------------------------------------------------------------------------------------- the rig */

struct rig rig;
struct door door;
struct door kept;
struct buf description;
static struct buf archive;
bool insist;
char unmatched[4200];

static void door_clear(void)
{
    door.heads = door.ends = door.status = 0;
    door.close = door.ok = door.gone = door.more = false;
    door.len = door.full_at = 0;
    door.body[0] = '\0';
}

enum api_peer peer = API_PEER_SELF;

void begin_on(struct api_call *c, enum api_method method, const char *target, str body, bool zip)
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

struct api_call *begin(enum api_method method, const char *target, str body, bool zip)
{
    struct api_call *c;
    struct kf_err err = KF_ERR_INIT;
    door_clear();
    if (api_call_new(rig.api, &door_ops, &door, &c, &err) != KF_OK)
        return NULL;
    begin_on(c, method, target, body, zip);
    return c;
}

void send_rest(struct api_call *c, str body)
{
    if (body.len)
        assert_true(api_data(c, body));
    if (!door.ends)
        api_eof(c);
}

void until_answered(void)
{
    for (int turns = 0; !door.ends; turns++) {
        if (turns > 5000)
            fail_msg("no answer in %s", state_names[rig.state]);
        loop_turn(rig.loop, 50);
    }
}

int ask_bytes(enum api_method method, const char *target, str body, bool zip)
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

int ask(enum api_method method, const char *target, const char *body)
{
    return ask_bytes(method, target, body ? str_of(body) : (str){NULL, 0}, false);
}

void want(int status, enum api_method method, const char *target, const char *body)
{
    if (ask(method, target, body) != status)
        fail_msg("%s %s: %d %s", route_method_name(method), target, door.status, door.body);
}

void rig_open(enum state state)
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

void rig_close(void)
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

void lay_out(void)
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

void rig_enter(enum state state)
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

const struct request requests[ROUTE_COUNT] = {
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

const struct route_info *info_of(const struct request *r)
{
    return &route_table[r->route];
}

bool is_stream(const struct request *r)
{
    return info_of(r)->body == BODY_STREAM;
}

str body_of(const struct request *r)
{
    if (is_stream(r))
        return buf_view(&archive);
    return r->body ? str_of(r->body) : (str){NULL, 0};
}

void lay_out_for(const struct request *r)
{
    if (info_of(r)->method != API_GET)
        lay_out();
}

int ask_request(const struct request *r, enum api_method method)
{
    return ask_bytes(method, r->target, body_of(r), is_stream(r));
}

const struct request following = {
    ROUTE_ENTRIES, "/v1/s/streams/c/entries?after=1&follow=2500ms", NULL, "", "", "", true};

/* ------------------------------------------------------------------------------- of the program */

int rig_setup(void **state)
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

int rig_teardown(void **state)
{
    (void)state;
    buf_release(&archive);
    buf_release(&description);
    return 0;
}
