#include "base/loop_internal.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ----------------------------------------------------------------------------------- life time */

static int open_descriptors(struct loop *loop)
{
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return errno;
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0)
        return errno;
    /* Known by its pointer: the loop itself. */
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = loop};
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) == 0 ? 0 : errno;
}

static void close_descriptors(struct loop *loop)
{
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
}

kf_rc loop_new(const struct env *env, uint32_t workers, struct loop **ret_loop, struct kf_err *err)
{
    struct loop *loop = mem_calloc(1, sizeof(*loop));
    if (!loop)
        return err_nomem(err);
    loop->env = env;
    loop->epoll_fd = loop->wake_fd = -1;
    loop->end = &loop->first;
    loop->now_ms = env_mono_ms(env);
    atomic_store(&loop->owner, pthread_self());
    int e = open_descriptors(loop);
    kf_rc rc = e ? err_errno(err, e, "cannot make an event loop") : KF_OK;
    if (rc == KF_OK)
        rc = loop_pool_init(loop, workers, err);
    if (rc != KF_OK) {
        close_descriptors(loop);
        mem_free(loop);
        return rc;
    }
    pthread_mutex_init(&loop->lock, NULL);
    *ret_loop = loop;
    return KF_OK;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    loop_pool_release(loop);
    assert(loop->watches == 0 && loop->timers == 0);
    close_descriptors(loop);
    pthread_mutex_destroy(&loop->lock);
    mem_free(loop->heap);
    mem_free(loop);
}

const struct env *loop_env(const struct loop *loop)
{
    return loop->env;
}

int64_t loop_now_ms(const struct loop *loop)
{
    return loop->now_ms;
}

bool loop_is_own_thread(const struct loop *loop)
{
    return pthread_equal(atomic_load(&loop->owner), pthread_self());
}

void loop_hand_to(struct loop *loop, pthread_t thread)
{
    atomic_store(&loop->owner, thread);
}

bool loop_in_turn(const struct loop *loop)
{
    return loop_is_own_thread(loop) && loop->turning;
}

bool loop_is_inline(const struct loop *loop)
{
    return loop->pool.max == LOOP_INLINE;
}

/* ------------------------------------------------------------------------------------ messages
 *
 * A poster writes to the eventfd only when the loop sleeps or is about to (`sleeping`, set under
 * the same lock under which the loop looked for messages for the last time), and only the first one
 * does. It writes with the lock held: when the loop has taken the message, the poster is done with
 * the loop's descriptors. */

static void wake_locked(struct loop *loop)
{
    if (!loop->sleeping)
        return;
    loop->sleeping = false;
    eventfd_write(loop->wake_fd, 1);
}

void loop_post(struct loop *loop, struct loop_msg *m)
{
    m->next = NULL;
    pthread_mutex_lock(&loop->lock);
    *loop->end = m;
    loop->end = &m->next;
    wake_locked(loop);
    pthread_mutex_unlock(&loop->lock);
}

void loop_wake(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->woken = true;
    wake_locked(loop);
    pthread_mutex_unlock(&loop->lock);
}

void loop_poke(struct loop *loop)
{
    /* A signal handler takes no lock, so it writes always; a signal may come between any two lines
     * of the program, and errno is theirs. */
    int saved = errno;
    eventfd_write(loop->wake_fd, 1);
    errno = saved;
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stop, true);
    loop_poke(loop);
}

int loop_run_messages(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct loop_msg *m = loop->first;
    loop->first = NULL;
    loop->end = &loop->first;
    pthread_mutex_unlock(&loop->lock);
    int count = 0;
    for (; m; count++) {
        struct loop_msg *next = m->next; /* m is gone after its run */
        m->run(m);
        m = next;
    }
    return count;
}

/* --------------------------------------------------------------------------------- descriptors */

kf_rc loop_fd_add(struct loop *loop, struct loop_fd *w, int fd, uint32_t events,
                  void (*ready)(struct loop_fd *w, uint32_t events), struct kf_err *err)
{
    struct epoll_event event = {.events = events, .data.ptr = w};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return err_errno(err, errno, "cannot watch a descriptor");
    *w = (struct loop_fd){fd, events, ready, loop};
    loop->watches++;
    return KF_OK;
}

void loop_fd_set(struct loop_fd *w, uint32_t events)
{
    assert(w->loop);
    if (w->events == events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = w};
    int failed = epoll_ctl(w->loop->epoll_fd, EPOLL_CTL_MOD, w->fd, &event);
    assert(!failed); /* only a descriptor closed before its removal fails */
    (void)failed;
    w->events = events;
}

void loop_fd_remove(struct loop_fd *w)
{
    struct loop *loop = w->loop;
    if (!loop)
        return;
    int failed = epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    assert(!failed);
    (void)failed;
    for (int i = loop->events_at; i < loop->events_end; i++)
        if (loop->events[i].data.ptr == w)
            loop->events[i].data.ptr = NULL;
    w->loop = NULL;
    loop->watches--;
}

static int deliver(struct loop *loop)
{
    int count = 0;
    while (loop->events_at < loop->events_end) {
        struct epoll_event event = loop->events[loop->events_at++];
        struct loop_fd *w = event.data.ptr;
        if (event.data.ptr == loop) {
            eventfd_t drained;
            eventfd_read(loop->wake_fd, &drained);
        } else if (w) {
            w->ready(w, event.events);
            count++;
        }
    }
    return count;
}

/* --------------------------------------------------------------------------------------- hooks */

void loop_after(struct loop *loop, struct loop_hook *h)
{
    struct loop_hook **at = &loop->hooks;
    while (*at)
        at = &(*at)->next;
    h->next = NULL;
    *at = h;
}

void loop_after_remove(struct loop *loop, struct loop_hook *h)
{
    struct loop_hook **at = &loop->hooks;
    while (*at && *at != h)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = h->next;
    if (loop->next_hook == h)
        loop->next_hook = h->next;
}

static int run_hooks(struct loop *loop)
{
    int count = 0;
    loop->again = false;
    for (struct loop_hook *h = loop->hooks; h; h = loop->next_hook) {
        loop->next_hook = h->next;
        if (h->run(h))
            loop->again = true;
        count++;
    }
    loop->next_hook = NULL;
    return count;
}

/* ---------------------------------------------------------------------------------------- turns */

/* How long this turn may wait: wait_ms, less when a timer is due earlier, 0 when there is work. */
static int time_to_wait(struct loop *loop, int wait_ms)
{
    if (wait_ms == 0 || loop->again || loop_has_own_job(loop))
        return 0;
    int64_t due = loop_first_due_ms(loop);
    if (due == INT64_MAX)
        return wait_ms;
    int64_t left = due - env_mono_ms(loop->env);
    if (left <= 0)
        return 0;
    if (left > INT_MAX)
        left = INT_MAX;
    return wait_ms < 0 || left < wait_ms ? (int)left : wait_ms;
}

/* False when there is something for which the loop must not sleep. */
static bool go_to_sleep(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    bool sleep = !loop->first && !loop->woken;
    loop->sleeping = sleep;
    loop->woken = false;
    pthread_mutex_unlock(&loop->lock);
    return sleep;
}

static void woke_up(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->sleeping = false;
    loop->woken = false;
    pthread_mutex_unlock(&loop->lock);
}

static int poll_events(struct loop *loop, int timeout_ms)
{
    int n = epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS_MAX, timeout_ms);
    assert(n >= 0 || errno == EINTR);
    loop->events_at = 0;
    loop->events_end = n > 0 ? n : 0;
    return n; /* -1: a signal came, which ends the wait like an event */
}

static void wait_for_events(struct loop *loop, int wait_ms)
{
    int timeout = time_to_wait(loop, wait_ms);
    if (timeout == 0 || !go_to_sleep(loop)) {
        poll_events(loop, 0);
        return;
    }
    bool standing = loop->env->wait && timeout > 0;
    int ready = poll_events(loop, standing && loop->pool.out == 0 ? 0 : timeout);
    woke_up(loop);
    if (standing && ready == 0)
        loop->env->wait(loop->env->ctx, timeout);
}

int loop_turn(struct loop *loop, int wait_ms)
{
    if (!loop_is_own_thread(loop))
        atomic_store(&loop->owner, pthread_self());
    assert(!loop->turning);
    loop->turning = true;
    wait_for_events(loop, wait_ms);
    loop->now_ms = env_mono_ms(loop->env);
    int count = deliver(loop);
    count += loop_fire_timers(loop);
    count += loop_run_own_job(loop);
    count += loop_run_messages(loop);
    count += run_hooks(loop);
    loop->turning = false;
    return count;
}

void loop_run(struct loop *loop)
{
    while (!atomic_exchange(&loop->stop, false))
        loop_turn(loop, -1);
}
