#include "testing.h"

#include "base/loop.h"

#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop *new_loop(const struct env *env, uint32_t workers)
{
    struct loop *loop = NULL;
    struct kf_err err;
    assert_int_equal(loop_new(env, workers, &loop, &err), KF_OK);
    return loop;
}

/* --------------------------------------------------------------------------------- descriptors */

struct watch {
    struct loop_fd w;
    int far; /* the other end */
    int calls;
    uint32_t events;
    struct watch *removes; /* what it removes when it is called */
};

static void on_ready(struct loop_fd *w, uint32_t events)
{
    struct watch *watch = (struct watch *)w;
    watch->calls++;
    watch->events = events;
    if (watch->removes)
        loop_fd_remove(&watch->removes->w);
}

static void open_watch(struct loop *loop, struct watch *watch, uint32_t events)
{
    int pair[2];
    memset(watch, 0, sizeof(*watch));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(loop_fd_add(loop, &watch->w, pair[0], events, on_ready, NULL), KF_OK);
    watch->far = pair[1];
}

static void close_watch(struct watch *watch)
{
    loop_fd_remove(&watch->w);
    close(watch->w.fd);
    close(watch->far);
}

static void descriptors_are_level_triggered(void **state)
{
    struct loop *loop = new_loop(env_system(), LOOP_INLINE);
    struct watch watch;
    (void)state;
    open_watch(loop, &watch, EPOLLIN);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(write(watch.far, "ab", 2), 2);
    assert_int_equal(loop_turn(loop, -1), 1);
    assert_int_equal(watch.events, EPOLLIN);
    char c;
    assert_int_equal(read(watch.w.fd, &c, 1), 1);
    assert_int_equal(loop_turn(loop, -1), 1);
    assert_int_equal(read(watch.w.fd, &c, 1), 1);
    assert_int_equal(loop_turn(loop, 0), 0);

    loop_fd_set(&watch.w, EPOLLIN | EPOLLOUT);
    assert_int_equal(loop_turn(loop, -1), 1);
    assert_int_equal(watch.events, EPOLLOUT);
    loop_fd_set(&watch.w, 0);
    assert_int_equal(loop_turn(loop, 0), 0);
    shutdown(watch.far, SHUT_RDWR);
    assert_int_equal(loop_turn(loop, -1), 1); /* comes without being asked for */
    assert_true(watch.events & EPOLLHUP);
    close_watch(&watch);
    loop_free(loop);
}

static void a_removed_watch_is_not_called(void **state)
{
    struct loop *loop = new_loop(env_system(), LOOP_INLINE);
    struct watch a, b;
    (void)state;
    open_watch(loop, &a, EPOLLOUT);
    open_watch(loop, &b, EPOLLOUT);
    a.removes = &b; /* both are ready at once: whoever comes first removes the other one */
    b.removes = &a;
    assert_int_equal(loop_turn(loop, -1), 1);
    assert_int_equal(a.calls + b.calls, 1);
    assert_int_equal((a.w.loop != NULL) + (b.w.loop != NULL), 1);
    struct watch *left = a.w.loop ? &a : &b;
    left->removes = left;
    assert_int_equal(loop_turn(loop, -1), 1);
    assert_int_equal(loop_turn(loop, 0), 0);
    close_watch(&a);
    close_watch(&b);
    loop_free(loop);
}

static void a_bad_descriptor_is_an_error(void **state)
{
    struct loop *loop = new_loop(env_system(), LOOP_INLINE);
    struct loop_fd w = {0};
    struct kf_err err;
    (void)state;
    assert_int_equal(loop_fd_add(loop, &w, -1, EPOLLIN, on_ready, &err), KF_IO);
    assert_null(w.loop);
    loop_free(loop);
}

/* -------------------------------------------------------------------------------------- timers */

struct tick {
    struct loop_timer t;
    int id;
    struct tick *cancels;
};
static int fired[4096];
static size_t fired_count;

static void on_fire(struct loop_timer *t)
{
    struct tick *tick = (struct tick *)t;
    assert_null(t->loop);
    assert_true(fired_count < sizeof(fired) / sizeof(fired[0]));
    fired[fired_count++] = tick->id;
    if (tick->cancels)
        loop_timer_cancel(&tick->cancels->t);
}

static void timers_fire_in_order(void **state)
{
    struct testing_env t;
    struct tick ticks[5] = {{.id = 0}, {.id = 1}, {.id = 2}, {.id = 3}, {.id = 4}};
    static const int64_t after[5] = {30, 10, 20, 10, 40};
    (void)state;
    testing_env_init(&t);
    struct loop *loop = new_loop(&t.env, LOOP_INLINE);
    fired_count = 0;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(loop_timer_set(loop, &ticks[i].t, after[i], on_fire), KF_OK);
    }
    ticks[2].cancels = &ticks[0];
    int64_t start = loop_now_ms(loop);
    assert_int_equal(loop_turn(loop, 5), 0); /* the clock moves by what was waited */
    assert_int_equal(loop_now_ms(loop), start + 5);
    assert_int_equal(loop_turn(loop, -1), 2);
    assert_int_equal(loop_now_ms(loop), start + 10);
    assert_int_equal(loop_turn(loop, 1000), 1);
    assert_int_equal(loop_turn(loop, 1000), 1);
    assert_int_equal(loop_now_ms(loop), start + 40);
    static const int want[4] = {1, 3, 2, 4};
    assert_int_equal(fired_count, 4);
    assert_memory_equal(fired, want, sizeof(want));
    loop_free(loop);
    testing_env_release(&t);
}

/* A thousand steps of set, set anew, cancel and wait against the plainest model: an array of due
 * times. */
static void timers_agree_with_a_model(void **state)
{
    enum { COUNT = 64 };
    static struct tick ticks[COUNT];
    int64_t due[COUNT];
    uint64_t random = 7;
    struct testing_env t;
    (void)state;
    testing_env_init(&t);
    struct loop *loop = new_loop(&t.env, LOOP_INLINE);
    for (int i = 0; i < COUNT; i++) {
        ticks[i] = (struct tick){.id = i};
        due[i] = -1;
    }
    for (int step = 0; step < 20000; step++) {
        size_t i = testing_random(&random) % COUNT;
        switch (testing_random(&random) % 4) {
        case 0:
        case 1: {
            int64_t after = (int64_t)(testing_random(&random) % 50);
            assert_int_equal(loop_timer_set(loop, &ticks[i].t, after, on_fire), KF_OK);
            due[i] = env_mono_ms(&t.env) + after;
            break;
        }
        case 2:
            loop_timer_cancel(&ticks[i].t);
            due[i] = -1;
            break;
        default:
            testing_env_advance(&t, (int64_t)(testing_random(&random) % 10));
            fired_count = 0;
            loop_turn(loop, 0);
            int64_t last = 0;
            for (size_t k = 0; k < fired_count; k++) {
                int64_t at = due[fired[k]];
                assert_true(at >= last && at <= env_mono_ms(&t.env));
                last = at;
                due[fired[k]] = -1;
            }
            for (int k = 0; k < COUNT; k++)
                assert_true(due[k] == -1 || due[k] > env_mono_ms(&t.env));
        }
    }
    for (int i = 0; i < COUNT; i++)
        loop_timer_cancel(&ticks[i].t);
    loop_free(loop);
    testing_env_release(&t);
}

static struct loop *self_loop;
static int self_fired;
static void fire_again(struct loop_timer *t)
{
    self_fired++;
    assert_int_equal(loop_timer_set(self_loop, t, 0, fire_again), KF_OK);
}

static void a_timer_set_anew_does_not_hold_the_turn(void **state)
{
    struct testing_env t;
    struct loop_timer timer = {0};
    (void)state;
    testing_env_init(&t);
    self_loop = new_loop(&t.env, LOOP_INLINE);
    self_fired = 0;
    assert_int_equal(loop_timer_set(self_loop, &timer, -5, fire_again), KF_OK);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(loop_turn(self_loop, -1), 1);
        assert_int_equal(self_fired, i);
    }
    loop_timer_cancel(&timer);
    loop_timer_cancel(&timer);
    loop_free(self_loop);
    testing_env_release(&t);
}

/* Clocks have fractions of a millisecond, and a timer set within one counts from its end. */
static void a_fraction_does_not_make_a_timer_early(void **state)
{
    struct testing_env t;
    struct tick tick = {0};
    (void)state;
    testing_env_init(&t);
    struct loop *loop = new_loop(&t.env, LOOP_INLINE);
    fired_count = 0;
    atomic_fetch_add(&t.mono_ns, 900000);
    assert_int_equal(loop_timer_set(loop, &tick.t, 5, on_fire), KF_OK);
    atomic_fetch_add(&t.mono_ns, 4100001); /* 4.100001 ms later, in the fifth millisecond */
    assert_int_equal(loop_turn(loop, 0), 0);
    testing_env_advance(&t, 1);
    assert_int_equal(loop_turn(loop, 0), 1);
    loop_free(loop);
    testing_env_release(&t);
}

static void a_real_timer_is_never_early(void **state)
{
    struct loop *loop = new_loop(env_system(), LOOP_INLINE);
    struct tick tick = {0};
    (void)state;
    for (int i = 0; i < 5; i++) {
        uint64_t start = env_mono_ns(env_system());
        fired_count = 0;
        assert_int_equal(loop_timer_set(loop, &tick.t, 3, on_fire), KF_OK);
        while (fired_count == 0)
            loop_turn(loop, -1);
        assert_true(env_mono_ns(env_system()) - start >= 3000000);
    }
    loop_free(loop);
}

/* ------------------------------------------------------------------------------------ messages */

enum { POSTERS = 4, POSTS = 5000 };

struct letter {
    struct loop_msg msg;
    int poster, number;
};
struct poster {
    struct loop *loop;
    struct letter letters[POSTS];
};
static int next_number[POSTERS], letters_read;

static void read_letter(struct loop_msg *m)
{
    struct letter *l = (struct letter *)m;
    assert_int_equal(l->number, next_number[l->poster]);
    next_number[l->poster]++;
    letters_read++;
}

static void *post_all(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < POSTS; i++) {
        loop_post(p->loop, &p->letters[i].msg);
        if (i % 100 == 0)
            loop_wake(p->loop);
    }
    return NULL;
}

static void posts_of_threads_keep_their_order(void **state)
{
    static struct poster posters[POSTERS];
    struct loop *loop = new_loop(env_system(), LOOP_INLINE);
    pthread_t threads[POSTERS];
    (void)state;
    letters_read = 0;
    for (int i = 0; i < POSTERS; i++) {
        next_number[i] = 0;
        posters[i].loop = loop;
        for (int k = 0; k < POSTS; k++)
            posters[i].letters[k] = (struct letter){{0, read_letter}, i, k};
    }
    for (int i = 0; i < POSTERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
    while (letters_read < POSTERS * POSTS)
        loop_turn(loop, -1); /* hangs when a wake-up is lost */
    for (int i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    loop_free(loop);
}

static struct letter chained;
static int chain_runs;
static void post_again(struct loop_msg *m)
{
    if (++chain_runs < 3)
        loop_post(self_loop, m);
}

static void a_message_posted_by_a_message_waits_a_turn(void **state)
{
    (void)state;
    self_loop = new_loop(env_system(), LOOP_INLINE);
    chain_runs = 0;
    chained.msg.run = post_again;
    loop_post(self_loop, &chained.msg);
    assert_int_equal(loop_turn(self_loop, -1), 1);
    assert_int_equal(chain_runs, 1);
    assert_int_equal(loop_turn(self_loop, -1), 1);
    loop_free(self_loop); /* runs what is still queued */
    assert_int_equal(chain_runs, 3);
}

static void a_wake_is_not_lost(void **state)
{
    struct loop *loop = new_loop(env_system(), LOOP_INLINE);
    (void)state;
    loop_wake(loop);
    assert_int_equal(loop_turn(loop, -1), 0);
    loop_stop(loop);
    loop_run(loop); /* ends at once */
    loop_free(loop);
}

static void stop_on_signal(int number)
{
    (void)number;
    loop_stop(self_loop);
}

static void *raise_later(void *arg)
{
    pthread_t *main_thread = arg;
    usleep(10000);
    pthread_kill(*main_thread, SIGUSR1);
    return NULL;
}

static void a_signal_stops_the_loop(void **state)
{
    pthread_t self = pthread_self(), thread;
    struct sigaction action = {.sa_handler = stop_on_signal}, before;
    (void)state;
    self_loop = new_loop(env_system(), LOOP_INLINE);
    sigaction(SIGUSR1, &action, &before);
    assert_int_equal(pthread_create(&thread, NULL, raise_later, &self), 0);
    loop_run(self_loop);
    pthread_join(thread, NULL);
    sigaction(SIGUSR1, &before, NULL);
    loop_free(self_loop);
}

/* --------------------------------------------------------------------------------------- hooks */

struct hook {
    struct loop_hook h;
    struct loop *loop;
    char name;
    int again;            /* how often it asks for another turn */
    struct hook *removes; /* when it runs */
};
static char order[64];

static bool on_hook(struct loop_hook *h)
{
    struct hook *hook = (struct hook *)h;
    size_t len = strlen(order);
    order[len] = hook->name;
    order[len + 1] = '\0';
    if (hook->removes)
        loop_after_remove(hook->loop, &hook->removes->h);
    return hook->again-- > 0;
}

static void hooks_run_in_order_and_come_last(void **state)
{
    struct loop *loop = new_loop(env_system(), LOOP_INLINE);
    struct hook a = {{0, on_hook}, loop, 'a', 2, NULL}, b = {{0, on_hook}, loop, 'b', 0, NULL},
                c = {{0, on_hook}, loop, 'c', 0, NULL};
    (void)state;
    order[0] = '\0';
    loop_after(loop, &a.h);
    loop_after(loop, &b.h);
    loop_after(loop, &c.h);
    loop_wake(loop);
    loop_turn(loop, -1);
    assert_string_equal(order, "abc");
    loop_turn(loop, -1); /* does not wait, because a asked for it */
    b.removes = &c;
    loop_turn(loop, -1);
    assert_string_equal(order, "abcabcab");
    order[0] = '\0';
    b.removes = &b;
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_string_equal(order, "aba");
    loop_after_remove(loop, &c.h); /* is not there: nothing happens */
    loop_free(loop);
}

/* ---------------------------------------------------------------------------------------- jobs */

struct work {
    struct loop_job j;
    pthread_t ran_on;
    atomic_bool *gate; /* waited for */
    atomic_int *begun;
    bool worked, done, cancelled, signals_blocked;
};

static void do_work(struct loop_job *j)
{
    struct work *w = (struct work *)j;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    w->signals_blocked = sigismember(&mask, SIGTERM) == 1;
    w->ran_on = pthread_self();
    if (w->begun)
        atomic_fetch_add(w->begun, 1);
    while (w->gate && !atomic_load(w->gate))
        usleep(500);
    w->worked = true;
}

static void work_done(struct loop_job *j, bool cancelled)
{
    struct work *w = (struct work *)j;
    assert_true(loop_is_own_thread(j->loop));
    w->done = true;
    w->cancelled = cancelled;
}

static void jobs_run_on_workers(void **state)
{
    enum { JOBS = 200 };
    static struct work works[JOBS];
    struct loop *loop = new_loop(env_system(), 3);
    (void)state;
    memset(works, 0, sizeof(works));
    for (int i = 0; i < JOBS; i++) {
        works[i].j = (struct loop_job){.work = do_work, .done = work_done};
        loop_job(loop, &works[i].j);
    }
    while (loop_jobs(loop))
        loop_turn(loop, -1);
    for (int i = 0; i < JOBS; i++) {
        assert_true(works[i].worked && works[i].done && !works[i].cancelled);
        assert_true(works[i].signals_blocked);
        assert_false(pthread_equal(works[i].ran_on, pthread_self()));
    }
    loop_free(loop);
}

static void *open_gate(void *arg)
{
    atomic_bool *gate = arg;
    usleep(20000);
    atomic_store(gate, true);
    return NULL;
}

static void the_end_waits_for_running_jobs_and_cancels_the_rest(void **state)
{
    static struct work works[5];
    atomic_bool gate = false;
    atomic_int begun = 0;
    struct loop *loop = new_loop(env_system(), 2);
    (void)state;
    memset(works, 0, sizeof(works));
    for (int i = 0; i < 5; i++) {
        works[i].j = (struct loop_job){.work = do_work, .done = work_done};
        works[i].gate = &gate;
        works[i].begun = &begun;
        loop_job(loop, &works[i].j);
    }
    while (atomic_load(&begun) < 2)
        usleep(500);
    pthread_t opener;
    assert_int_equal(pthread_create(&opener, NULL, open_gate, &gate), 0);
    loop_free(loop);
    pthread_join(opener, NULL);
    int worked = 0, cancelled = 0;
    for (int i = 0; i < 5; i++) {
        assert_true(works[i].done && works[i].worked != works[i].cancelled);
        worked += works[i].worked;
        cancelled += works[i].cancelled;
    }
    assert_int_equal(worked, 2);
    assert_int_equal(cancelled, 3);
}

static void an_inline_loop_runs_one_job_a_turn(void **state)
{
    struct testing_env t;
    struct work works[3] = {0};
    (void)state;
    testing_env_init(&t);
    struct loop *loop = new_loop(&t.env, LOOP_INLINE);
    int64_t start = loop_now_ms(loop);
    for (int i = 0; i < 3; i++) {
        works[i].j = (struct loop_job){.work = do_work, .done = work_done};
        loop_job(loop, &works[i].j);
    }
    for (size_t left = 3; left > 0; left--) {
        assert_int_equal(loop_jobs(loop), left);
        assert_int_equal(loop_turn(loop, -1), 1);
    }
    assert_true(works[0].done && works[1].done && works[2].done);
    assert_true(pthread_equal(works[2].ran_on, pthread_self()));
    assert_int_equal(loop_now_ms(loop), start);
    loop_job(loop, &works[0].j);
    loop_free(loop);
    assert_true(works[0].cancelled);
    testing_env_release(&t);
}

/* A clock that stands still waits for the workers before it moves on. */
static void standing_time_waits_for_jobs(void **state)
{
    struct testing_env t;
    struct work work = {.j = {.work = do_work, .done = work_done}};
    struct tick tick = {0};
    atomic_bool gate = false;
    pthread_t opener;
    (void)state;
    testing_env_init(&t);
    struct loop *loop = new_loop(&t.env, 1);
    fired_count = 0;
    assert_int_equal(loop_timer_set(loop, &tick.t, 60000, on_fire), KF_OK);
    work.gate = &gate;
    loop_job(loop, &work.j);
    assert_int_equal(pthread_create(&opener, NULL, open_gate, &gate), 0);
    while (!work.done)
        loop_turn(loop, -1);
    assert_int_equal(fired_count, 0);
    loop_turn(loop, -1);
    assert_int_equal(fired_count, 1);
    pthread_join(opener, NULL);
    loop_free(loop);
    testing_env_release(&t);
}

/* ------------------------------------------------------------------------------ lack of memory */

static kf_rc use_a_loop(void *ctx)
{
    struct tick ticks[40] = {0};
    struct loop *loop = NULL;
    kf_rc rc = loop_new(env_system(), 2, &loop, NULL);
    (void)ctx;
    for (int i = 0; i < 40 && rc == KF_OK; i++) {
        rc = loop_timer_set(loop, &ticks[i].t, i, on_fire);
        assert_true((ticks[i].t.loop == NULL) == (rc != KF_OK));
    }
    for (int i = 0; i < 40; i++)
        loop_timer_cancel(&ticks[i].t);
    loop_free(loop);
    return rc;
}

static void lack_of_memory_is_an_answer(void **state)
{
    (void)state;
    assert_true(testing_oom_each(use_a_loop, NULL) >= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_are_level_triggered),
        cmocka_unit_test(a_removed_watch_is_not_called),
        cmocka_unit_test(a_bad_descriptor_is_an_error),
        cmocka_unit_test(timers_fire_in_order),
        cmocka_unit_test(timers_agree_with_a_model),
        cmocka_unit_test(a_timer_set_anew_does_not_hold_the_turn),
        cmocka_unit_test(a_fraction_does_not_make_a_timer_early),
        cmocka_unit_test(a_real_timer_is_never_early),
        cmocka_unit_test(posts_of_threads_keep_their_order),
        cmocka_unit_test(a_message_posted_by_a_message_waits_a_turn),
        cmocka_unit_test(a_wake_is_not_lost),
        cmocka_unit_test(a_signal_stops_the_loop),
        cmocka_unit_test(hooks_run_in_order_and_come_last),
        cmocka_unit_test(jobs_run_on_workers),
        cmocka_unit_test(the_end_waits_for_running_jobs_and_cancels_the_rest),
        cmocka_unit_test(an_inline_loop_runs_one_job_a_turn),
        cmocka_unit_test(standing_time_waits_for_jobs),
        cmocka_unit_test(lack_of_memory_is_an_answer),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
