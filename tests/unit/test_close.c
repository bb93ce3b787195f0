/* kf_close while other threads are inside the store. Run under the thread and the address
 * sanitizer, which see what is used after it was freed.
 *
 * A thread cannot see when the store is freed, so it must not begin a call any more by then. The
 * tests hold kf_close back with a backup whose progress callback waits until every other thread has
 * been told `stopping` and has stopped. */
#include "testing.h"

#include "base/env.h"
#include "remote/mem.h"
#include "store/store.h"

#include <keepfast.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define THREADS 6

static kf_store *store;
static const char *dir, *archive;
static atomic_int wrong, going;
static atomic_ulong calls, done_calls;
static _Thread_local int me;

#define MUST(holds)                                                 \
    do {                                                            \
        if (!(holds)) {                                             \
            atomic_fetch_add(&wrong, 1);                            \
            print_error("%s:%d: %s\n", __FILE__, __LINE__, #holds); \
        }                                                           \
    } while (0)

static int setup(void **state)
{
    (void)state;
    testing_guard(60);
    atomic_store(&wrong, 0);
    atomic_store(&calls, 0);
    atomic_store(&done_calls, 0);
    dir = testing_dir();
    assert_int_equal(kf_open(testing_path(dir, "s.db"), NULL, &store, NULL), KF_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kf_close(&store, NULL);
    mem_forget();
    testing_guard(0);
    return 0;
}

static void add_remote(const char *name, const char *url, bool manual)
{
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    o.name = name;
    o.url = url;
    o.manual = manual;
    assert_int_equal(kf_remote_add(store, &o, NULL), KF_OK);
}

static kf_rc put(const char *name, const char *body)
{
    return kf_doc_put(store, name, body, strlen(body), NULL, NULL, NULL);
}

static bool is_stopping(kf_rc rc, const struct kf_err *err)
{
    return rc == KF_BUSY && strcmp(err->code, "stopping") == 0;
}

static void nap(void)
{
    usleep(1000);
}

/* --------------------------------------------------------------------------------- every call */

static void name_of_mine(char out[16], const char *word)
{
    snprintf(out, 16, "%s%d", word, me);
}

static kf_rc do_put(struct kf_err *err)
{
    char name[16], body[32];
    name_of_mine(name, "d");
    snprintf(body, sizeof body, "%lu", atomic_load(&calls));
    return kf_doc_put(store, name, body, strlen(body), NULL, NULL, err);
}

static kf_rc do_put_and_wait(struct kf_err *err)
{
    struct kf_write_options o = KF_WRITE_OPTIONS_INIT;
    char body[32];
    o.wait = "near";
    snprintf(body, sizeof body, "%lu", atomic_load(&calls));
    return kf_doc_put(store, "waited", body, strlen(body), &o, NULL, err);
}

static kf_rc do_patch(struct kf_err *err)
{
    return kf_doc_patch(store, "object", "{\"a\":1}", 7, NULL, NULL, err);
}

static kf_rc do_delete(struct kf_err *err)
{
    return kf_doc_delete(store, "waited", NULL, NULL, err);
}

static kf_rc do_revert(struct kf_err *err)
{
    return kf_doc_revert(store, "object", 1, NULL, NULL, err);
}

static kf_rc do_get(struct kf_err *err)
{
    struct kf_doc doc = {0};
    kf_rc rc = kf_doc_get(store, "object", &doc, err);
    kf_doc_release(&doc);
    return rc;
}

static kf_rc do_get_version(struct kf_err *err)
{
    struct kf_doc doc = {0};
    kf_rc rc = kf_doc_get_version(store, "object", 1, &doc, err);
    kf_doc_release(&doc);
    return rc;
}

static kf_rc do_list(struct kf_err *err)
{
    struct kf_doc_list list = {0};
    kf_rc rc = kf_doc_list(store, "", NULL, 100, &list, err);
    kf_doc_list_free(&list);
    return rc;
}

static kf_rc do_versions(struct kf_err *err)
{
    struct kf_doc_list list = {0};
    kf_rc rc = kf_doc_versions(store, "object", 0, 10, &list, err);
    kf_doc_list_free(&list);
    return rc;
}

static kf_rc do_diff(struct kf_err *err)
{
    struct kf_bytes patch = {0};
    kf_rc rc = kf_doc_diff(store, "object", 0, 0, &patch, err);
    kf_bytes_free(&patch);
    return rc;
}

static struct kf_write a_write(const char *name)
{
    struct kf_write w = KF_WRITE_INIT;
    w.verb = KF_PUT;
    w.name = name;
    w.body = "[1]";
    w.len = 3;
    return w;
}

static void count_done(void *ctx, kf_rc rc, const struct kf_written *written,
                       const struct kf_err *err)
{
    atomic_fetch_add((atomic_ulong *)ctx, 1);
    MUST((rc == KF_OK) == (written != NULL) && (rc == KF_OK) == (err == NULL));
}

static kf_rc do_submit(struct kf_err *err)
{
    struct kf_write w = a_write("submitted");
    kf_rc rc = kf_submit(store, &w, count_done, &done_calls, NULL, err);
    MUST(rc == KF_OK || rc == KF_BUSY);
    return rc;
}

static kf_rc do_submit_and_wait(struct kf_err *err)
{
    struct kf_write w = a_write("ticketed");
    kf_ticket *ticket = NULL;
    kf_rc rc = kf_submit(store, &w, NULL, NULL, &ticket, err);
    if (rc == KF_OK)
        rc = kf_wait(&ticket, 30000, NULL, err);
    MUST(ticket == NULL);
    return rc;
}

static kf_rc do_remotes(struct kf_err *err)
{
    struct kf_remote_list list = {0};
    kf_rc rc = kf_remotes(store, &list, err);
    kf_remote_list_free(&list);
    return rc;
}

static kf_rc do_remote_add(struct kf_err *err)
{
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    char name[16];
    name_of_mine(name, "r");
    o.name = name;
    o.url = "mem:others";
    o.manual = true;
    return kf_remote_add(store, &o, err);
}

static kf_rc do_remote_remove(struct kf_err *err)
{
    char name[16];
    name_of_mine(name, "r");
    return kf_remote_remove(store, name, err);
}

static kf_rc do_probe(struct kf_err *err)
{
    return kf_remote_probe(store, "near", err);
}

static kf_rc do_sync(struct kf_err *err)
{
    return kf_sync(store, "near", 0, err);
}

static kf_rc do_pending(struct kf_err *err)
{
    struct kf_pending_list list = {0};
    kf_rc rc = kf_pending(store, "near", NULL, 100, &list, err);
    kf_pending_list_free(&list);
    return rc;
}

static kf_rc do_past(struct kf_err *err)
{
    struct kf_remote_version_list list = {0};
    kf_rc rc = kf_remote_versions(store, "near", "a", NULL, 100, 0, &list, err);
    kf_remote_version_list_free(&list);
    return rc == KF_ABSENT ? KF_OK : rc;
}

static kf_rc do_status(struct kf_err *err)
{
    struct kf_status s = {0};
    return kf_status(store, &s, err);
}

static kf_rc do_backup(struct kf_err *err)
{
    char name[16], path[500];
    name_of_mine(name, "b");
    snprintf(path, sizeof path, "%s/%s.zip", dir, name);
    kf_rc rc = kf_backup(store, path, NULL, err);
    unlink(path);
    return rc;
}

static kf_rc do_restore(struct kf_err *err)
{
    return kf_restore(store, archive, NULL, err);
}

static kf_rc do_verify(struct kf_err *err)
{
    struct kf_verified v = {0};
    kf_rc rc = kf_verify(store, false, NULL, NULL, &v, err);
    kf_bytes_free(&v.report);
    return rc;
}

static kf_rc do_digest(struct kf_err *err)
{
    char hex[65];
    return kf_digest(store, hex, err);
}

static kf_rc do_pump(struct kf_err *err)
{
    return kf_pump(store, 0, err);
}

typedef kf_rc call(struct kf_err *err);
static call *const all[] = {
    do_put,     do_get,         do_patch,           do_get_version, do_delete, do_list,
    do_revert,  do_versions,    do_submit,          do_diff,        do_status, do_remotes,
    do_submit,  do_remote_add,  do_submit_and_wait, do_probe,       do_sync,   do_remote_remove,
    do_pending, do_past,        do_backup,          do_restore,     do_verify, do_digest,
    do_pump,    do_put_and_wait};
#define ALL (sizeof all / sizeof *all)

/* Makes all calls in turn, each thread beginning elsewhere, until each has answered `stopping`. */
static void *hammer(void *arg)
{
    bool stopped[ALL] = {false};
    me = (int)(intptr_t)arg;
    for (size_t left = ALL, i = (size_t)me * 4; left; i++) {
        struct kf_err err = KF_ERR_INIT;
        kf_rc rc = all[i % ALL](&err);
        MUST(rc == err.rc || rc == KF_OK);
        MUST(rc != KF_INTERNAL && rc != KF_IO && rc != KF_DAMAGED && rc != KF_NOMEM);
        if (is_stopping(rc, &err) && !stopped[i % ALL]) {
            stopped[i % ALL] = true;
            left--;
        }
        atomic_fetch_add(&calls, 1);
    }
    atomic_fetch_sub(&going, 1);
    return NULL;
}

/* -------------------------------------------------------------------------------- holding back */

static atomic_bool held;

static bool hold(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    (void)done;
    (void)total;
    atomic_store(&held, true);
    while (atomic_load(&going) > 0)
        nap();
    return true;
}

static void *long_backup(void *arg)
{
    struct kf_err err = KF_ERR_INIT;
    (void)arg;
    MUST(testing_backup(store, testing_path(dir, "held.zip"), NULL, hold, NULL, &err) == KF_OK);
    return NULL;
}

static pthread_t start(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, fn, arg), 0);
    return thread;
}

static void calls_at_work_are_waited_for_and_new_ones_refused(void **state)
{
    (void)state;
    pthread_t threads[THREADS], holder;
    kf_store *closing = store;
    struct kf_err err = KF_ERR_INIT;
    archive = testing_path(dir, "a.zip");
    add_remote("near", "mem:near", false);
    assert_int_equal(put("object", "{\"b\":2}"), KF_OK);
    assert_int_equal(kf_backup(store, archive, NULL, NULL), KF_OK);
    atomic_store(&going, THREADS);
    atomic_store(&held, false);
    holder = start(long_backup, NULL);
    while (!atomic_load(&held))
        nap();
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(hammer, (void *)(intptr_t)i);
    while (atomic_load(&calls) < 5 * ALL)
        nap();
    /* `store` stays what it is for the others. */
    assert_int_equal(kf_close(&closing, &err), KF_OK);
    assert_null(closing);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_join(holder, NULL);
    store = NULL;
    assert_int_equal(atomic_load(&wrong), 0);
    assert_true(testing_exists(testing_path(dir, "held.zip")));
    assert_true(atomic_load(&done_calls) > 0);
    print_message("# calls=%lu\n", atomic_load(&calls));
}

/* ---------------------------------------------------------------------- one call, and its proof */

static atomic_bool closed;

static bool see_that_it_is_open(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    (void)done;
    (void)total;
    atomic_store(&held, true);
    for (int waited_ms = 0; waited_ms < 300; waited_ms++) {
        nap();
        if (atomic_load(&closed))
            _exit(1); /* what the backup goes on with is freed */
    }
    return true;
}

static void *watched_backup(void *arg)
{
    (void)arg;
    MUST(testing_backup(store, testing_path(dir, "w.zip"), NULL, see_that_it_is_open, NULL, NULL) ==
         KF_OK);
    return NULL;
}

static void closing_does_not_end_before_a_call_at_work(void **state)
{
    (void)state;
    kf_store *closing = store;
    atomic_store(&held, false);
    atomic_store(&closed, false);
    pthread_t thread = start(watched_backup, NULL);
    while (!atomic_load(&held))
        nap();
    assert_int_equal(kf_close(&closing, NULL), KF_OK);
    atomic_store(&closed, true);
    pthread_join(thread, NULL);
    store = NULL;
    assert_int_equal(atomic_load(&wrong), 0);
}

TESTING_SABOTEUR(close_without_waiting, "close-without-waiting",
                 closing_does_not_end_before_a_call_at_work)

/* ---------------------------------------------------------------------------- waits for remotes */

static struct kf_err waited_err;
static struct kf_written waited_written;
static kf_rc waited_rc;

/* Nobody ever runs the manual remote that it rides on. */
static void *put_that_waits(void *arg)
{
    struct kf_write_options o = KF_WRITE_OPTIONS_INIT;
    (void)arg;
    o.wait = "never";
    o.ride = true;
    o.timeout_ms = 10 * 60 * 1000;
    waited_rc = kf_doc_put(store, "waits", "1", 1, &o, &waited_written, &waited_err);
    return NULL;
}

static void a_wait_for_a_remote_is_cut_short(void **state)
{
    (void)state;
    kf_store *closing = store;
    struct kf_status s = {0};
    add_remote("never", "mem:never", true);
    pthread_t thread = start(put_that_waits, NULL);
    while (s.docs == 0) {
        nap();
        assert_int_equal(kf_status(store, &s, NULL), KF_OK);
    }
    int64_t began = env_mono_ms(env_system());
    assert_int_equal(kf_close(&closing, NULL), KF_OK);
    assert_true(env_mono_ms(env_system()) - began < 10000);
    pthread_join(thread, NULL);
    store = NULL;
    assert_int_equal(waited_rc, KF_UNAVAILABLE);
    assert_string_equal(waited_err.code, "level_unavailable");
    assert_int_equal(waited_written.version, 1);
    assert_int_equal(waited_written.level, KF_LEVEL_DISK);
}

/* ------------------------------------------------------------------------------------ submitted */

#define SUBMITTED 1000

static void what_was_submitted_is_committed(void **state)
{
    (void)state;
    struct kf_options o = KF_OPTIONS_INIT;
    struct kf_doc_list list = {0};
    assert_int_equal(kf_close(&store, NULL), KF_OK);
    for (int background = 0; background < 2; background++) {
        const char *path = testing_path(dir, background ? "with.db" : "without.db");
        char name[16];
        struct kf_write w = a_write(name);
        kf_ticket *ticket = NULL;
        atomic_store(&done_calls, 0);
        o.no_background = !background;
        assert_int_equal(kf_open(path, &o, &store, NULL), KF_OK);
        for (int i = 0; i < SUBMITTED; i++) {
            snprintf(name, sizeof name, "n%d", i);
            assert_int_equal(kf_submit(store, &w, count_done, &done_calls, NULL, NULL), KF_OK);
        }
        assert_int_equal(kf_submit(store, &w, NULL, NULL, &ticket, NULL), KF_OK);
        assert_int_equal(kf_close(&store, NULL), KF_OK); /* frees the ticket */
        assert_int_equal(atomic_load(&done_calls), SUBMITTED);
        assert_int_equal(kf_open(path, &o, &store, NULL), KF_OK);
        assert_int_equal(kf_doc_list(store, "", NULL, 1000, &list, NULL), KF_OK);
        assert_int_equal(list.count, SUBMITTED);
        kf_doc_list_free(&list);
        assert_int_equal(kf_close(&store, NULL), KF_OK);
    }
    assert_int_equal(atomic_load(&wrong), 0);
}

static void *wait_for_ticket(void *arg)
{
    kf_ticket *ticket = arg;
    struct kf_written written = {0};
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_wait(&ticket, 30000, &written, &err);
    MUST(rc == KF_OK || is_stopping(rc, &err));
    MUST(ticket == NULL);
    MUST(rc != KF_OK || written.version == 1);
    return NULL;
}

/* Nobody pumps: kf_close does what the waiting thread waits for. */
static void a_thread_that_waits_for_a_ticket_is_not_waited_for_in_vain(void **state)
{
    (void)state;
    struct kf_options o = KF_OPTIONS_INIT;
    struct kf_write w = a_write("a");
    kf_ticket *ticket = NULL;
    assert_int_equal(kf_close(&store, NULL), KF_OK);
    o.no_background = true;
    assert_int_equal(kf_open(testing_path(dir, "w.db"), &o, &store, NULL), KF_OK);
    assert_int_equal(kf_submit(store, &w, NULL, NULL, &ticket, NULL), KF_OK);
    pthread_t thread = start(wait_for_ticket, ticket);
    while (!store_has_calls(store))
        nap();
    int64_t began = env_mono_ms(env_system());
    assert_int_equal(kf_close(&store, NULL), KF_OK);
    assert_true(env_mono_ms(env_system()) - began < 10000);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&wrong), 0);
}

/* ----------------------------------------------------------------------------------- the socket */

#define CLIENTS      4
#define REQUESTS_MAX 100000

static struct sockaddr_un address;
static int confirmed[CLIENTS]; /* each client's puts are numbered from 0 */
static atomic_int answered, refused;

/* The status, 0 when the connection ended without one, -1 when nobody is there. */
static int ask(const char *request)
{
    char answer[2000];
    size_t have = 0;
    ssize_t n = 0;
    int status = 0, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) > 0)
        while ((n = read(fd, answer + have, sizeof answer - 1 - have)) > 0)
            have += (size_t)n;
    close(fd);
    answer[have] = '\0';
    if (have > 12 && memcmp(answer, "HTTP/1.1 ", 9) == 0)
        status = (answer[9] - '0') * 100 + (answer[10] - '0') * 10 + answer[11] - '0';
    MUST(have == 0 || (status && strstr(answer, "\r\n\r\n")));
    return status;
}

static void *client(void *arg)
{
    int mine = (int)(intptr_t)arg;
    for (int i = 0; i < REQUESTS_MAX; i++) {
        char request[300];
        snprintf(request, sizeof request,
                 "PUT /v1/default/docs/c%d/%d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                 "Content-Type: application/json\r\nContent-Length: 1\r\n\r\n1",
                 mine, i);
        int status = ask(request);
        if (status == -1)
            break;
        MUST(status == 0 || status == 201 || status == 503);
        atomic_fetch_add(status == 201 ? &answered : &refused, 1);
        if (status != 201)
            break;
        confirmed[mine] = i + 1;
    }
    return NULL;
}

/* What was confirmed is there; a request that came too late is refused or finds nobody. */
static void requests_of_the_socket_are_ended(void **state)
{
    (void)state;
    struct kf_options o = KF_OPTIONS_INIT;
    pthread_t threads[CLIENTS];
    const char *path = testing_path(dir, "t.db");
    assert_int_equal(kf_close(&store, NULL), KF_OK);
    o.socket = testing_path(dir, "t.sock");
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", o.socket);
    for (int round = 0; round < 5; round++) {
        atomic_store(&answered, 0);
        assert_int_equal(kf_open(path, &o, &store, NULL), KF_OK);
        for (int i = 0; i < CLIENTS; i++)
            threads[i] = start(client, (void *)(intptr_t)i);
        while (atomic_load(&answered) < 20 && !atomic_load(&wrong))
            nap();
        assert_int_equal(kf_close(&store, NULL), KF_OK);
        for (int i = 0; i < CLIENTS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(kf_open(path, NULL, &store, NULL), KF_OK);
        for (int i = 0; i < CLIENTS; i++) {
            struct kf_doc doc = {0};
            char name[32];
            snprintf(name, sizeof name, "c%d/%d", i, confirmed[i] - 1);
            assert_true(confirmed[i] == 0 || kf_doc_get(store, name, &doc, NULL) == KF_OK);
            kf_doc_release(&doc);
            confirmed[i] = 0;
            for (int n = 0; n < REQUESTS_MAX; n++) { /* for the next round */
                snprintf(name, sizeof name, "c%d/%d", i, n);
                if (kf_doc_delete(store, name, NULL, NULL, NULL) != KF_OK)
                    break;
            }
        }
        assert_int_equal(kf_close(&store, NULL), KF_OK);
    }
    assert_int_equal(atomic_load(&wrong), 0);
    print_message("# refused=%d\n", atomic_load(&refused));
}

/* --------------------------------------------------------------------------------- a slow disk */

static atomic_int sync_ms;
static atomic_bool syncing;

static int slow_tap(void *ctx, const struct io_event *event)
{
    int ms = atomic_load(&sync_ms);
    (void)ctx;
    if (event->op == IO_SYNC && ms) {
        atomic_store(&syncing, true);
        poll(NULL, 0, ms);
    }
    return 0;
}

static bool place_holds(const char *place, const char *bytes)
{
    struct buf names = BUF_INIT, object = BUF_INIT;
    bool found = false;
    assert_int_equal(mem_place_list(str_of(place), STR(""), &names), KF_OK);
    for (size_t at = 0; at < names.len; at += strlen(names.p + at) + 1) {
        buf_clear(&object);
        assert_int_equal(mem_place_get(str_of(place), str_of(names.p + at), &object), KF_OK);
        found |= str_has(buf_view(&object), bytes);
    }
    buf_release(&names);
    buf_release(&object);
    return found;
}

static void was_written(void *ctx, kf_rc rc, const struct kf_written *written,
                        const struct kf_err *err)
{
    (void)written;
    (void)err;
    *(atomic_bool *)ctx = rc == KF_OK;
}

/* What a thread commits while the store is closed goes to the remotes that close runs, too. */
static void what_is_being_committed_is_flushed(void **state)
{
    struct env env = *env_system();
    struct kf_options o = KF_OPTIONS_INIT;
    struct kf_remote_options r = KF_REMOTE_OPTIONS_INIT;
    struct kf_write w = KF_WRITE_INIT;
    atomic_bool written = false;
    (void)state;
    assert_int_equal(kf_close(&store, NULL), KF_OK);
    env.tap = slow_tap;
    o.env = &env;
    atomic_store(&sync_ms, 0);
    assert_int_equal(kf_open(testing_path(dir, "slow.db"), &o, &store, NULL), KF_OK);
    r.name = "near";
    r.url = "mem:close-slow";
    r.on_change_ms = 3600000;
    assert_int_equal(kf_remote_add(store, &r, NULL), KF_OK);
    atomic_store(&sync_ms, 3);
    for (int i = 0; i < 20; i++)
        assert_int_equal(put("d", i % 2 ? "1" : "2"), KF_OK);
    assert_int_equal(kf_sync(store, "near", 10000, NULL), KF_OK);
    atomic_store(&sync_ms, 300);
    atomic_store(&syncing, false);
    w.verb = KF_PUT;
    w.name = "last";
    w.body = "\"the last one\"";
    w.len = strlen(w.body);
    assert_int_equal(kf_submit(store, &w, was_written, &written, NULL, NULL), KF_OK);
    while (!atomic_load(&syncing))
        nap();
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_close(&store, &err);
    atomic_store(&sync_ms, 0);
    if (rc != KF_OK)
        fail_msg("%s", err.detail);
    assert_true(written);
    assert_true(place_holds("close-slow", "the last one"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(calls_at_work_are_waited_for_and_new_ones_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(closing_does_not_end_before_a_call_at_work, setup,
                                        teardown),
        cmocka_unit_test(saboteur_close_without_waiting),
        cmocka_unit_test_setup_teardown(a_wait_for_a_remote_is_cut_short, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_submitted_is_committed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_thread_that_waits_for_a_ticket_is_not_waited_for_in_vain,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(requests_of_the_socket_are_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_being_committed_is_flushed, setup, teardown),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
