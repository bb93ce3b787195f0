/* Clients of the router that leave at any time, that do not read, and that wait for an entry. */
#include "api_rig.h"

#include "store/store_internal.h"

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
            lay_out_for(&requests[i]);
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
    assert_non_null(strstr(door.body, "\"items\":[],\"next\":null}"));
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
    assert_non_null(strstr(door.body, "\"items\":[],\"next\":null}"));
    api_abandon(c);
    peer = API_PEER_SELF;
    rig_close();
}

/* A router that is stopped waits for no upkeep of its stores. */
static void stores_hurry_when_the_router_stops(void **unused)
{
    (void)unused;
    rig_enter(OPEN);
    struct kf_store *store = space_if_open(rig.api, STR("s"))->store;
    int64_t now_ms = env_mono_ms(&rig.env.env);
    assert_int_equal(atomic_load(&store->hurry_ms), 0);
    api_stop(rig.api);
    int64_t at_ms = atomic_load(&store->hurry_ms);
    assert_true(at_ms > now_ms && at_ms <= env_mono_ms(&rig.env.env) + STORE_STOP_MS + 1);
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_may_leave_at_any_time),
        cmocka_unit_test(a_client_may_leave_within_its_body),
        cmocka_unit_test(a_write_stands_without_its_client),
        cmocka_unit_test(a_wait_ends_with_its_client),
        cmocka_unit_test(a_backup_waits_for_a_full_door),
        cmocka_unit_test(who_follows_holds_nothing),
        cmocka_unit_test(who_follows_may_leave_at_any_time),
        cmocka_unit_test(who_follows_ends_with_the_router),
        cmocka_unit_test(stores_hurry_when_the_router_stops),
        cmocka_unit_test(a_command_does_not_wait),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
