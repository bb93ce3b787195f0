/* Whose request it is: who is asked for a token at all, how one is shown, and what guesses cost.
 * What a token then allows is asked from outside, of every route (tests/script/test_tenants.py). */
#include "testing.h"

#include "api/api_internal.h"
#include "base/config.h"
#include "base/loop.h"

#include <stdio.h>

static struct testing_env env;
static struct tokens *tokens;
static struct auth *auth;
static struct api api;
static char lives[TOKEN_TEXT_LEN + 1];

static const struct token_scope scope = {.rights = TOKEN_READ, .expires_ms = TOKEN_NEVER};

static void begin(bool defined)
{
    const struct token *k;
    testing_env_init(&env);
    assert_int_equal(hash_init(), 0);
    assert_int_equal(
        tokens_open(&(struct tokens_options){.env = &env.env, .dir = testing_dir_in_memory()},
                    &tokens, NULL),
        KF_OK);
    if (defined)
        assert_int_equal(tokens_make(tokens, STR("app"), &scope, lives, &k, NULL), KF_OK);
    assert_int_equal(auth_new(&env.env, NULL, tokens, &auth, NULL), KF_OK);
    api = (struct api){.o = {.env = &env.env, .tokens = tokens}};
}

static void end(void)
{
    auth_free(auth);
    tokens_close(tokens);
    testing_env_release(&env);
}

static const struct api_peer_address somewhere = {
    .ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7}};

/* The code with which a request for the route is refused, "" when it is not. `shown`: the value of
 * Authorization, NULL for none. */
static const char *asked(enum route route, enum api_peer peer, const struct api_peer_address *from,
                         const char *shown, struct api_call *c)
{
    static struct kf_err err;
    struct api_header header = {STR("Authorization"), str_of(shown ? shown : "")};
    struct api_head head = {.method = API_GET,
                            .target = STR("/"),
                            .headers = &header,
                            .header_count = shown != NULL,
                            .peer = peer,
                            .from = *from};
    *c = (struct api_call){.api = &api, .peer = peer, .route = &route_table[route]};
    c->match.route = route;
    err = (struct kf_err)KF_ERR_INIT;
    return auth_request(auth, c, &head, &err) == KF_OK ? "" : err.code;
}

static const char *bearer(const char *text)
{
    static char line[200];
    snprintf(line, sizeof line, "Bearer %s", text);
    return line;
}

static const char *of_anybody(const char *shown)
{
    struct api_call c;
    return asked(ROUTE_METRICS, API_PEER_LOOPBACK, &somewhere, shown, &c);
}

/* ----------------------------------------------------------------------------- who is asked */

static void nobody_is_asked_before_the_first(void **state)
{
    static const enum api_peer peers[] = {API_PEER_SELF, API_PEER_UNIX, API_PEER_UNIX_OTHER,
                                          API_PEER_LOOPBACK};
    struct api_call c;
    (void)state;
    begin(false);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(asked(ROUTE_TOKENS, peers[i], &somewhere, NULL, &c), "");
        assert_true(c.known);
        assert_string_equal(asked(ROUTE_TOKENS, peers[i], &somewhere, "Bearer x", &c), "");
        assert_null(c.token);
    }
    end();
}

static void who_comes_from_here_needs_none(void **state)
{
    struct api_call c;
    (void)state;
    begin(true);
    assert_string_equal(asked(ROUTE_TOKENS, API_PEER_SELF, &somewhere, NULL, &c), "");
    assert_string_equal(asked(ROUTE_TOKENS, API_PEER_UNIX, &somewhere, NULL, &c), "");
    assert_string_equal(asked(ROUTE_TOKENS, API_PEER_UNIX_OTHER, &somewhere, NULL, &c),
                        "auth_required");
    assert_string_equal(asked(ROUTE_TOKENS, API_PEER_LOOPBACK, &somewhere, NULL, &c),
                        "auth_required");
    /* Who shows one is seen as it sees. */
    assert_string_equal(asked(ROUTE_TOKENS, API_PEER_UNIX, &somewhere, bearer(lives), &c),
                        "forbidden");
    assert_string_equal(asked(ROUTE_METRICS, API_PEER_UNIX, &somewhere, bearer(lives), &c), "");
    assert_non_null(c.token);
    end();
}

static void open_routes_are_open(void **state)
{
    static const enum route open[] = {ROUTE_HEALTHZ, ROUTE_READYZ, ROUTE_OPENAPI};
    struct api_call c;
    (void)state;
    begin(true);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(asked(open[i], API_PEER_LOOPBACK, &somewhere, NULL, &c), "");
        assert_string_equal(asked(open[i], API_PEER_LOOPBACK, &somewhere, "Bearer x", &c), "");
        assert_null(c.token);
    }
    assert_string_equal(asked(ROUTE_DURABLEZ, API_PEER_LOOPBACK, &somewhere, NULL, &c), "");
    assert_false(c.known); /* is told whether, not which */
    assert_string_equal(asked(ROUTE_DURABLEZ, API_PEER_LOOPBACK, &somewhere, bearer(lives), &c),
                        "");
    assert_true(c.known);
    end();
}

/* ------------------------------------------------------------------------- how it is shown */

/* `form` with the token for its @. */
static const char *with_token(const char *form)
{
    static char line[200];
    size_t at = strcspn(form, "@");
    snprintf(line, sizeof line, "%.*s%s%s", (int)at, form, form[at] ? lives : "",
             form[at] ? form + at + 1 : "");
    return line;
}

static void only_a_bearer_shows_one(void **state)
{
    static const char *const good[] = {"Bearer @", "bearer @", "BEARER @", "Bearer   @",
                                       "Bearer @  "};
    static const char *const bad[] = {
        "",          "@",         "Bearer",    "Bearer ",      "Basic @", "Bearer@",   "Bearer @ x",
        "Bearer x@", "Bearer @x", "Bearer @,", "Bearer \"@\"", "Token @", "Bearer\t@", "Bearer, @"};
    (void)state;
    begin(true);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (*of_anybody(with_token(good[i])))
            fail_msg("refused: %s", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        testing_env_advance(&env, AUTH_MINUTE_MS);
        if (strcmp(of_anybody(with_token(bad[i])), "auth_required") != 0)
            fail_msg("taken: %s", bad[i]);
    }
    end();
}

static void two_headers_are_none(void **state)
{
    struct api_header headers[2] = {{STR("Authorization"), str_of(bearer(lives))},
                                    {STR("authorization"), str_of(bearer(lives))}};
    struct api_head head = {.method = API_GET,
                            .target = STR("/"),
                            .headers = headers,
                            .header_count = 2,
                            .peer = API_PEER_LOOPBACK,
                            .from = somewhere};
    (void)state;
    begin(true);
    headers[0].value = headers[1].value = str_of(bearer(lives));
    for (size_t count = 1; count <= 2; count++) {
        struct api_call c = {
            .api = &api, .peer = API_PEER_LOOPBACK, .route = &route_table[ROUTE_METRICS]};
        c.match.route = ROUTE_METRICS;
        head.header_count = count;
        assert_int_equal(auth_request(auth, &c, &head, NULL), count == 1 ? KF_OK : KF_DENIED);
    }
    end();
}

static const char *in_url(const char *target)
{
    static struct kf_err err;
    struct api_head head = {.method = API_GET, .target = str_of(target), .from = somewhere};
    err = (struct kf_err)KF_ERR_INIT;
    return auth_check_url(auth, &head, &err) == KF_OK ? "" : err.code;
}

static void a_token_in_an_address_is_seen(void **state)
{
    static const char *const seen[] = {
        "/?token=x",       "/?a=b&token=x", "/?TOKEN=x",     "/?%74oken=x",  "/?token",
        "/?access_token=", "/?a=kft_x",     "/?a=%6bft_x",   "/?a=kft%5Fx",  "/?kft_x",
        "/?a&&kft_x",      "/?=kft_x",      "/?secret=1&&&", "/?password=1", "/?Api_Key=1"};
    static const char *const not_seen[] = {
        "/",      "/?",          "/?a=b",
        "/kft_x", "/?a=bkft_x",  "/?tokens=x",
        "/?a=%",  "/?a=%6",      "/?a=%zzft_x",
        "/?%",    "/?a=kft",     "/?a=b=kft_x",
        "/?A=KF", "/token=x?a=", "/?accesstoken=verylongindeedandlonger"};
    (void)state;
    begin(true);
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++)
        if (strcmp(in_url(seen[i]), "token_in_url") != 0)
            fail_msg("not seen: %s", seen[i]);
    for (size_t i = 0; i < sizeof not_seen / sizeof *not_seen; i++)
        if (*in_url(not_seen[i]))
            fail_msg("seen: %s", not_seen[i]);
    end();
}

/* ---------------------------------------------------------------------------------- guesses */

static size_t refused_plainly(const struct api_peer_address *from, size_t guesses)
{
    size_t n = 0;
    struct api_call c;
    for (size_t i = 0; i < guesses; i++)
        n += strcmp(asked(ROUTE_METRICS, API_PEER_LOOPBACK, from, "Bearer x", &c),
                    "auth_required") == 0;
    return n;
}

static struct api_peer_address ip6(unsigned net, unsigned host)
{
    struct api_peer_address a = {.ip = {0x20, 0x01, 0x0d, 0xb8}};
    a.ip[6] = (unsigned char)(net >> 8);
    a.ip[7] = (unsigned char)net;
    a.ip[15] = (unsigned char)host;
    return a;
}

static void guesses_are_counted_by_the_minute(void **state)
{
    (void)state;
    begin(true);
    assert_int_equal(refused_plainly(&somewhere, 30), AUTH_FAILURES);
    assert_string_equal(of_anybody(bearer(lives)), ""); /* the right one always */
    assert_string_equal(of_anybody(NULL), "auth_required");
    testing_env_advance(&env, AUTH_MINUTE_MS - 1);
    assert_int_equal(refused_plainly(&somewhere, 1), 0);
    testing_env_advance(&env, 1);
    assert_int_equal(refused_plainly(&somewhere, 30), AUTH_FAILURES);
    end();
}

static void an_address_is_what_one_customer_has(void **state)
{
    struct api_peer_address first = ip6(1, 1), same = ip6(1, 2), other = ip6(2, 1);
    struct api_peer_address uid = {.is_uid = true, .uid = 1000},
                            another = {.is_uid = true, .uid = 1001};
    struct api_peer_address near = somewhere;
    (void)state;
    begin(true);
    assert_int_equal(refused_plainly(&first, 20), AUTH_FAILURES);
    assert_int_equal(refused_plainly(&same, 20), 0); /* of the same /64 */
    assert_int_equal(refused_plainly(&other, 20), AUTH_FAILURES);
    assert_int_equal(refused_plainly(&uid, 20), AUTH_FAILURES);
    assert_int_equal(refused_plainly(&another, 20), AUTH_FAILURES);
    assert_int_equal(refused_plainly(&somewhere, 20), AUTH_FAILURES);
    near.ip[15]++; /* of IPv4 each is one's own */
    assert_int_equal(refused_plainly(&near, 20), AUTH_FAILURES);
    end();
}

static void one_alone_is_not_all(void **state)
{
    struct api_peer_address other = ip6(2, 1);
    (void)state;
    begin(true);
    assert_int_equal(refused_plainly(&somewhere, 3 * AUTH_FAILURES_ALL), AUTH_FAILURES);
    assert_int_equal(refused_plainly(&other, 20), AUTH_FAILURES);
    end();
}

static void all_together_are_bounded(void **state)
{
    size_t plainly = 0;
    (void)state;
    begin(true);
    for (unsigned net = 0; net < 3 * AUTH_ADDRESSES; net++) {
        struct api_peer_address from = ip6(net, 1);
        plainly += refused_plainly(&from, 1);
    }
    assert_int_equal(plainly, AUTH_FAILURES_ALL);
    assert_string_equal(of_anybody(bearer(lives)), "");
    testing_env_advance(&env, AUTH_MINUTE_MS);
    assert_int_equal(refused_plainly(&somewhere, 20), AUTH_FAILURES);
    end();
}

static bool never(void *ctx, size_t size)
{
    (void)ctx;
    (void)size;
    return false;
}

static void no_memory_counts_all_alike(void **state)
{
    (void)state;
    begin(true);
    mem_set_hook(never, NULL);
    size_t plainly = refused_plainly(&somewhere, 20);
    mem_set_hook(NULL, NULL);
    assert_int_equal(plainly, 20); /* below what all together may */
    end();
}

/* --------------------------------------------------------------------------------- meanwhile */

/* What a call of a router was answered with. */
struct heard {
    int status;
    bool ended;
    struct buf body;
};

static void heard_head(void *ctx, const struct api_answer *answer)
{
    ((struct heard *)ctx)->status = answer->status;
}
static bool heard_body(void *ctx, str bytes)
{
    buf_add(&((struct heard *)ctx)->body, bytes.p, bytes.len);
    return true;
}
static void heard_end(void *ctx, bool close, bool ok)
{
    (void)close;
    ((struct heard *)ctx)->ended = ok;
}
static const struct api_door ear = {.head = heard_head, .body = heard_body, .end = heard_end};

static struct {
    struct loop *loop;
    struct config *config;
    struct api *api;
    const struct token *shown; /* the one that asks */
    bool revoke_in_work;
} rig;

/* A space that cannot be opened, so that its doctor has something to find, on a worker. */
static kf_rc broken(void *ctx, const struct api_space_path *path, struct kf_store **ret,
                    struct kf_err *err)
{
    return err_set(err, PROBLEM_IO_ERROR, "it is broken");
}

static kf_rc look(void *ctx, const struct api_patient *patient, struct kf_finding_list *ret_list,
                  struct kf_err *err)
{
    if (rig.revoke_in_work)
        assert_int_equal(tokens_revoke(tokens, str_of(rig.shown->id), NULL), KF_OK);
    return KF_OK;
}

static void begin_router(void)
{
    static const struct token_scope all = {.rights = TOKEN_READ | TOKEN_ADMIN,
                                           .expires_ms = TOKEN_NEVER};
    const char *dir = testing_dir_in_memory(), *file = testing_path(dir, "keepfast.yaml");
    begin(true);
    testing_write(file, "{}", 2);
    assert_int_equal(config_load(env_system(), file, NULL, NULL, 0, &rig.config, NULL), KF_OK);
    assert_int_equal(loop_new(&env.env, LOOP_INLINE, &rig.loop, NULL), KF_OK);
    assert_int_equal(tokens_make(tokens, STR("asks"), &all, lives, &rig.shown, NULL), KF_OK);
    rig.revoke_in_work = false;
    struct api_options o = {.env = &env.env,
                            .loop = rig.loop,
                            .config = rig.config,
                            .data_dir = dir,
                            .tokens = tokens,
                            .spaces = {.reach = broken},
                            .doctor = {.look = look}};
    assert_int_equal(api_new(&o, &rig.api, NULL), KF_OK);
}

static void end_router(void)
{
    api_free(rig.api);
    loop_free(rig.loop);
    config_free(rig.config);
    end();
}

/* With the token, or (lives = "") without. */
static struct api_call *ask(enum api_method method, const char *target, const char *body,
                            struct heard *h)
{
    struct api_call *c;
    struct api_header header = {STR("Authorization"), str_of(bearer(lives))};
    struct api_head head = {.method = method,
                            .target = str_of(target),
                            .headers = &header,
                            .header_count = lives[0] != '\0',
                            .content_length = body ? (int64_t)strlen(body) : -1,
                            .peer = API_PEER_LOOPBACK,
                            .from = somewhere};
    *h = (struct heard){.body = BUF_INIT};
    assert_int_equal(api_call_new(rig.api, &ear, h, &c, NULL), KF_OK);
    api_begin(c, &head);
    if (body && !h->ended)
        api_data(c, str_of(body));
    if (!h->ended)
        api_eof(c);
    return c;
}

static void hear(struct api_call *c, struct heard *h, int status, const char *word)
{
    while (!h->ended)
        loop_turn(rig.loop, 10);
    buf_byte(&h->body, '\0');
    if (h->status != status || !strstr(h->body.p, word))
        fail_msg("%d %s", h->status, h->body.p);
    buf_release(&h->body);
    api_abandon(c);
}

/* A request that waits for a worker when its token is revoked does nothing: it would leave another
 * token behind. */
static void what_waits_for_a_worker_is_not_begun(void **state)
{
    struct heard h;
    size_t before = 0, after = 0;
    (void)state;
    begin_router();
    for (const struct token *k = tokens_after(tokens, STR("")); k; before++)
        k = tokens_after(tokens, str_of(k->id));
    struct api_call *c = ask(API_POST, "/v1/tokens", "{\"name\":\"x\",\"rights\":[\"read\"]}", &h);
    assert_int_equal(tokens_revoke(tokens, str_of(rig.shown->id), NULL), KF_OK);
    hear(c, &h, 401, "token_expired");
    for (const struct token *k = tokens_after(tokens, STR("")); k; after++)
        k = tokens_after(tokens, str_of(k->id));
    assert_int_equal(before, after);
    end_router();
}

/* Work that took long is not shown to whom it is not for any more. */
static void what_was_read_meanwhile_is_not_shown(void **state)
{
    struct heard h;
    (void)state;
    begin_router();
    struct api_call *c = ask(API_GET, "/v1/s/doctor", NULL, &h);
    hear(c, &h, 200, "items");
    rig.revoke_in_work = true;
    c = ask(API_GET, "/v1/s/doctor", NULL, &h);
    hear(c, &h, 401, "token_expired");
    end_router();
}

/* Who needs no token may ask as often as they like: that is no work for all spaces each time. */
static void what_all_may_ask_is_reckoned_once_a_second(void **state)
{
    struct heard h;
    (void)state;
    begin_router();
    lives[0] = '\0';
    for (int second = 0; second < 3; second++) {
        struct api_call *first = ask(API_GET, "/durablez", NULL, &h);
        assert_false(h.ended); /* a worker has it */
        hear(first, &h, 200, "durable");
        for (int i = 0; i < 10; i++) {
            struct api_call *c = ask(API_GET, "/durablez", NULL, &h);
            assert_true(h.ended);
            hear(c, &h, 200, "durable");
        }
        testing_env_advance(&env, 1000);
    }
    end_router();
}

TESTING_SABOTEUR(guess_unthrottled, "guess-unthrottled", guesses_are_counted_by_the_minute)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_asked_before_the_first),
        cmocka_unit_test(who_comes_from_here_needs_none),
        cmocka_unit_test(open_routes_are_open),
        cmocka_unit_test(only_a_bearer_shows_one),
        cmocka_unit_test(two_headers_are_none),
        cmocka_unit_test(a_token_in_an_address_is_seen),
        cmocka_unit_test(guesses_are_counted_by_the_minute),
        cmocka_unit_test(an_address_is_what_one_customer_has),
        cmocka_unit_test(one_alone_is_not_all),
        cmocka_unit_test(all_together_are_bounded),
        cmocka_unit_test(no_memory_counts_all_alike),
        cmocka_unit_test(what_waits_for_a_worker_is_not_begun),
        cmocka_unit_test(what_was_read_meanwhile_is_not_shown),
        cmocka_unit_test(what_all_may_ask_is_reckoned_once_a_second),
        cmocka_unit_test(saboteur_guess_unthrottled),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
