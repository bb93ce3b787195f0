/* The router, asked without a socket: every route with every method while the store is open, being
 * filled, read-only and closing.
 *
 * Whatever is asked in whatever state, the answer is one that /openapi.json describes for the
 * route: one of its own, or a problem with the status that base/problems.def gives its code. */
#include "api_rig.h"

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

/* ------------------------------------------------------------------------------------ one store */

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
        cmocka_unit_test(a_router_over_one_store_flushes_it),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
