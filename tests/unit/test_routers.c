/* Routers of several loops over the same spaces: each loop has a thread, the stores have one loop,
 * and what a call of another needs there comes and goes as messages. */
#include "testing.h"

#include "api/direct.h"
#include "base/config.h"
#include "base/err.h"
#include "lib/house.h"
#include "remote/mem.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define LOOPS 3 /* beside that of the stores */
#define EACH  40

struct beside {
    struct loop *loop;
    struct api *api;
    pthread_t thread;
    int number;
    _Atomic bool done;
    int failures;
    char why[300];
};

static struct {
    const char *dir;
    struct config *config;
    struct house *house;
    struct api *api;
    struct loop *loop;
    struct beside beside[LOOPS];
} rig;

/* The system's world, with a disk that may be full. */
static struct env env;
static _Atomic bool disk_full;

static int tap(void *ctx, const struct io_event *event)
{
    (void)ctx;
    return disk_full && event->op == IO_WRITE ? ENOSPC : 0;
}

/* ------------------------------------------------------------------------------------- asking */

struct kept {
    char text[4096];
    size_t len;
};

static kf_rc take(void *ctx, int status, str bytes, struct kf_err *err)
{
    struct kept *k = ctx;
    size_t room = sizeof k->text - 1 - k->len;
    memcpy(k->text + k->len, bytes.p, bytes.len < room ? bytes.len : room);
    k->len += bytes.len < room ? bytes.len : room;
    k->text[k->len] = '\0';
    (void)status;
    (void)err;
    return KF_OK;
}

static int ask(struct beside *b, enum api_method method, const char *name, const char *target,
               const char *body, struct kept *k)
{
    struct kept own;
    struct direct_answer a = {0};
    struct direct_request r = {.method = method,
                               .method_text = name,
                               .target = str_of(target),
                               .body = body ? str_of(body) : (str){NULL, 0},
                               .take = take,
                               .ctx = k ? k : &own};
    ((struct kept *)r.ctx)->len = 0;
    struct kf_err err = KF_ERR_INIT;
    if (direct_call(b->api, b->loop, &r, &a, &err) != KF_OK) {
        snprintf(b->why, sizeof b->why, "%s: %.200s", target, err.detail);
        b->failures++;
        return 0;
    }
    int status = a.status;
    direct_answer_release(&a);
    return status;
}

static void want(struct beside *b, int status, enum api_method method, const char *name,
                 const char *target, const char *body)
{
    struct kept k;
    int got = ask(b, method, name, target, body, &k);
    if (got == status)
        return;
    snprintf(b->why, sizeof b->why, "%s %s: %d %.180s", name, target, got, k.text);
    b->failures++;
}

/* Each in its thread, while the loop of the stores turns here. */
static void all_at_once(void *(*run)(void *ctx))
{
    for (int i = 0; i < LOOPS; i++) {
        rig.beside[i].done = false;
        assert_int_equal(pthread_create(&rig.beside[i].thread, NULL, run, &rig.beside[i]), 0);
    }
    for (int i = 0; i < LOOPS; i++) {
        while (!rig.beside[i].done)
            loop_turn(rig.loop, 5);
        pthread_join(rig.beside[i].thread, NULL);
        if (rig.beside[i].failures)
            fail_msg("%s", rig.beside[i].why);
    }
}

static int setup(void **state)
{
    struct kf_err err = KF_ERR_INIT;
    static int number;
    char yaml[300];
    (void)state;
    rig.dir = testing_dir_in_memory();
    const char *file = testing_path(rig.dir, "keepfast.yaml");
    int n = snprintf(yaml, sizeof yaml,
                     "spaces:\n  s:\n    remotes:\n"
                     "      usb: { url: \"mem:routers-%d\", manual: true }\n",
                     number++);
    testing_write(file, yaml, (size_t)n);
    if (config_load(env_system(), file, NULL, NULL, 0, &rig.config, &err) != KF_OK)
        fail_msg("%s", err.detail);
    env = *env_system();
    env.tap = tap;
    disk_full = false;
    struct house_options o = {
        .env = &env, .config = rig.config, .data_dir = testing_path(rig.dir, "data")};
    if (house_new(&o, &rig.house, &err) != KF_OK)
        fail_msg("%s", err.detail);
    rig.api = house_api(rig.house);
    rig.loop = house_loop(rig.house);
    house_settle(rig.house, 5000);
    struct beside home = {.loop = rig.loop, .api = rig.api};
    want(&home, 201, API_PUT, "PUT", "/v1/s/docs/first", "1");
    want(&home, 201, API_POST, "POST", "/v1/s/remotes",
         "{\"name\":\"gone\",\"url\":\"fail:at=1,sticky,name=x:mem:routers-gone\","
         "\"manual\":true}");
    if (home.failures)
        fail_msg("%s", home.why);
    for (int i = 0; i < LOOPS; i++) {
        struct beside *b = &rig.beside[i];
        *b = (struct beside){.number = i};
        assert_int_equal(loop_new(env_system(), 2, &b->loop, NULL), KF_OK);
        assert_int_equal(api_new_beside(rig.api, b->loop, &b->api, NULL), KF_OK);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < LOOPS; i++) {
        api_free(rig.beside[i].api);
        loop_free(rig.beside[i].loop);
    }
    house_free(rig.house, NULL);
    config_free(rig.config);
    mem_forget();
    return 0;
}

/* -------------------------------------------------------------------------------------- tests */

static void *works(void *ctx)
{
    struct beside *b = ctx;
    char target[100], body[40];
    loop_hand_to(b->loop, pthread_self());
    for (int i = 0; i < EACH; i++) {
        snprintf(target, sizeof target, "/v1/s/docs/d-%d-%d", b->number, i);
        snprintf(body, sizeof body, "{\"n\":%d}", i);
        want(b, 201, API_PUT, "PUT", target, body);
        want(b, 200, API_GET, "GET", target, NULL);
        snprintf(target, sizeof target, "/v1/s/docs/shared");
        snprintf(body, sizeof body, "{\"n\":%d,\"by\":%d}", i, b->number);
        int status = ask(b, API_PUT, "PUT", target, body, NULL);
        b->failures += status != 200 && status != 201;
        want(b, 200, API_GET, "GET", "/v1/s/docs?limit=5", NULL);
        /* A space of its own: opened and removed where the stores are. */
        snprintf(target, sizeof target, "/v1/own%d/docs/a", b->number);
        want(b, 201, API_PUT, "PUT", target, "1");
        snprintf(target, sizeof target, "/v1/own%d?confirm=own%d", b->number, b->number);
        int removed; /* busy while somebody's sum over all spaces holds it */
        while ((removed = ask(b, API_DELETE, "DELETE", target, NULL, NULL)) == 503) {
        }
        b->failures += removed != 204;
        want(b, 404, API_GET, "GET", "/v1/nobody/docs/a", NULL);
        want(b, 200, API_GET, "GET", "/v1", NULL);
        if (i % 10 == 0) {
            want(b, 200, API_GET, "GET", "/metrics", NULL);
            want(b, 200, API_GET, "GET", "/v1/s/status", NULL);
            want(b, 200, API_GET, "GET", "/durablez", NULL);
        }
    }
    b->done = true;
    return NULL;
}

static void all_loops_serve_all_spaces(void **state)
{
    struct kept k;
    struct beside home = {.loop = rig.loop, .api = rig.api};
    (void)state;
    all_at_once(works);
    assert_int_equal(ask(&home, API_GET, "GET", "/v1/s/status", NULL, &k), 200);
    char docs[40];
    snprintf(docs, sizeof docs, "\"docs\":%d,", LOOPS * EACH + 2);
    if (!strstr(k.text, docs))
        fail_msg("%s in %s", docs, k.text);
    assert_int_equal(ask(&home, API_GET, "GET", "/v1/s/docs/shared/versions", NULL, &k), 200);
    assert_non_null(strstr(k.text, "\"version\":100"));
}

static void *waits(void *ctx)
{
    struct beside *b = ctx;
    char target[100];
    loop_hand_to(b->loop, pthread_self());
    for (int i = 0; i < EACH; i++) {
        snprintf(target, sizeof target, "/v1/s/docs/w-%d-%d?wait=usb&timeout=30s", b->number, i);
        want(b, 201, API_PUT, "PUT", target, "1");
    }
    want(b, 200, API_POST, "POST", "/v1/s/remotes/usb/run", NULL);
    want(b, 202, API_POST, "POST", "/v1/s/remotes/usb/run?start=true", NULL);
    want(b, 404, API_POST, "POST", "/v1/s/remotes/nobody/run", NULL);
    snprintf(target, sizeof target, "/v1/s/docs/late-%d?wait=gone&timeout=20ms", b->number);
    want(b, 503, API_PUT, "PUT", target, "1");
    b->done = true;
    return NULL;
}

static void waiting_for_remotes(void **state)
{
    (void)state;
    all_at_once(waits);
}

/* A door whose client goes away. */
static void gone_head(void *ctx, const struct api_answer *answer)
{
    (void)ctx;
    (void)answer;
}
static bool gone_body(void *ctx, str bytes)
{
    (void)ctx;
    (void)bytes;
    return true;
}
static void gone_end(void *ctx, bool close, bool ok)
{
    *(bool *)ctx = true;
    (void)close;
    (void)ok;
}
static void gone_more(void *ctx)
{
    (void)ctx;
}
static const struct api_door gone = {gone_head, gone_body, gone_end, gone_more};

static void leave(struct beside *b, enum api_method method, const char *name, const char *target,
                  int turns)
{
    struct api_call *c;
    bool ended = false;
    struct api_head head = {.method = method,
                            .method_text = str_of(name),
                            .target = str_of(target),
                            .content_length = method == API_GET ? -1 : 1,
                            .peer = API_PEER_SELF};
    if (api_call_new(b->api, &gone, &ended, &c, NULL) != KF_OK) {
        b->failures++;
        return;
    }
    api_begin(c, &head);
    if (method != API_GET && !ended)
        api_data(c, STR("1"));
    if (!ended)
        api_eof(c);
    for (int i = 0; i < turns && !ended; i++)
        loop_turn(b->loop, 1);
    api_abandon(c);
}

static void *goes(void *ctx)
{
    struct beside *b = ctx;
    char target[100];
    loop_hand_to(b->loop, pthread_self());
    for (int i = 0; i < EACH * 3; i++) {
        snprintf(target, sizeof target, "/v1/s/docs/g-%d-%d?wait=%s&timeout=30s", b->number, i,
                 i % 2 ? "gone" : "usb");
        leave(b, API_PUT, "PUT", target, i % 5);
        snprintf(target, sizeof target, "/v1/left%d-%d/docs/a", b->number, i % 7);
        leave(b, API_PUT, "PUT", target, i % 4);
        leave(b, API_GET, "GET", "/v1/s/docs", i % 3);
    }
    while (api_busy(b->api))
        loop_turn(b->loop, 5);
    b->failures += api_calls(b->api) != 0;
    b->done = true;
    return NULL;
}

static void clients_may_leave_at_any_moment(void **state)
{
    (void)state;
    all_at_once(goes);
}

/* A door that keeps what it was answered with. */
struct answered {
    int status;
    bool memory, ended;
};

static void kept_head(void *ctx, const struct api_answer *answer)
{
    struct answered *a = ctx;
    a->status = answer->status;
    for (size_t i = 0; i < answer->header_count; i++)
        a->memory |= str_is(answer->headers[i].name, "Keepfast-Ack") &&
                     str_is(answer->headers[i].value, "memory");
}
static void kept_end(void *ctx, bool close, bool ok)
{
    ((struct answered *)ctx)->ended = ok && !close;
}
static const struct api_door keeps = {kept_head, gone_body, kept_end, gone_more};

static _Atomic bool was_asked, may_turn;

static void *asks_for_memory(void *ctx)
{
    struct beside *b = ctx;
    struct api_call *c;
    struct answered a = {0};
    struct api_head head = {.method = API_PUT,
                            .method_text = STR("PUT"),
                            .target = STR("/v1/s/docs/early?ack=memory"),
                            .content_length = 1,
                            .peer = API_PEER_SELF};
    loop_hand_to(b->loop, pthread_self());
    assert_int_equal(api_call_new(b->api, &keeps, &a, &c, NULL), KF_OK);
    api_begin(c, &head);
    api_data(c, STR("1"));
    api_eof(c);
    was_asked = true;
    while (!may_turn)
        poll(NULL, 0, 1);
    while (!a.ended)
        loop_turn(b->loop, 5);
    api_abandon(c);
    snprintf(b->why, sizeof b->why, "%d, %s", a.status, a.memory ? "memory" : "not memory");
    b->failures += a.status != 201 || !a.memory;
    return NULL;
}

/* An answer of level memory is what was told, whatever becomes of the group while it is on its way
 * to its loop. */
static void an_early_answer_is_what_was_told(void **state)
{
    struct beside *b = &rig.beside[0];
    (void)state;
    was_asked = may_turn = false;
    assert_int_equal(pthread_create(&b->thread, NULL, asks_for_memory, b), 0);
    while (!was_asked)
        poll(NULL, 0, 1);
    disk_full = true;
    for (int i = 0; i < 20; i++)
        loop_turn(rig.loop, 2);
    disk_full = false;
    may_turn = true;
    pthread_join(b->thread, NULL);
    if (b->failures)
        fail_msg("%s", b->why);
    struct kept k;
    struct beside home = {.loop = rig.loop, .api = rig.api};
    assert_int_equal(ask(&home, API_GET, "GET", "/v1/s/docs/early", NULL, &k), 404);
}

static void *backs_up(void *ctx)
{
    struct beside *b = ctx;
    char target[100];
    static struct kept k[LOOPS];
    loop_hand_to(b->loop, pthread_self());
    want(b, 201, API_PUT, "PUT",
         b->number == 0   ? "/v1/s/docs/x0"
         : b->number == 1 ? "/v1/s/docs/x1"
                          : "/v1/s/docs/x2",
         "1");
    if (ask(b, API_GET, "GET", "/v1/s/backup", NULL, &k[b->number]) != 200)
        b->failures++;
    /* Into a space that is not open, with the body coming in before it is. */
    struct direct_answer a = {0};
    snprintf(target, sizeof target, "/v1/copy%d/restore", b->number);
    struct kept own = {.len = 0};
    static const struct api_header zip[] = {{{"Content-Type", 12}, {"application/zip", 15}}};
    struct direct_request r = {.method = API_POST,
                               .method_text = "POST",
                               .target = str_of(target),
                               .headers = zip,
                               .header_count = 1,
                               .body = (str){k[b->number].text, k[b->number].len},
                               .take = take,
                               .ctx = &own};
    if (direct_call(b->api, b->loop, &r, &a, NULL) != KF_OK || a.status != 200) {
        snprintf(b->why, sizeof b->why, "restore: %d %.200s", a.status, own.text);
        b->failures++;
    }
    direct_answer_release(&a);
    b->done = true;
    return NULL;
}

static void archives_go_through_other_loops(void **state)
{
    (void)state;
    all_at_once(backs_up);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_loops_serve_all_spaces, setup, teardown),
        cmocka_unit_test_setup_teardown(waiting_for_remotes, setup, teardown),
        cmocka_unit_test_setup_teardown(clients_may_leave_at_any_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(an_early_answer_is_what_was_told, setup, teardown),
        cmocka_unit_test_setup_teardown(archives_go_through_other_loops, setup, teardown),
    };
    testing_guard(100);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
