#include "testing_store.h"

#include "base/err.h"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>

static kf_rc put_apply(struct group *g, struct write *w, struct kf_err *err)
{
    struct put *p = (struct put *)w;
    p->applied++;
    p->seq = group_seq(g);
    p->stamp = group_stamp(g);
    kf_rc rc = group_meta_set(g, p->key, str_of(p->value), err);
    if (rc == KF_OK)
        rc = group_journal(g, p->seq, 0, "test", str_of(p->key), p->stamp, str_of(group_site(g)),
                           err);
    if (rc == KF_OK && p->fail)
        rc = err_set(err, PROBLEM_VERSION_MISMATCH, "told to fail");
    return rc;
}

static void put_publish(struct write *w)
{
    ((struct put *)w)->published++;
}

static void put_done(struct write *w)
{
    ((struct put *)w)->done++;
}

struct put put_of(const char *key, const char *value)
{
    return (struct put){.write = {.apply = put_apply, .publish = put_publish, .done = put_done},
                        .key = key,
                        .value = value};
}

kf_rc put(struct kf_store *s, const char *key, const char *value, struct kf_err *err)
{
    struct put p = put_of(key, value);
    return store_write(s, &p.write, err);
}

const char *get(struct kf_store *s, const char *key)
{
    static char text[256];
    struct buf b = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = store_meta_get(s, key, &b, &err);
    if (rc != KF_OK && rc != KF_ABSENT)
        fail_msg("%s", err.detail);
    snprintf(text, sizeof(text), "%.*s", rc == KF_OK ? (int)b.len : 8,
             rc == KF_OK && b.len ? b.p : "(absent)");
    buf_release(&b);
    return text;
}

/* ------------------------------------------------------------------------- a group applied again
 *
 *   another thread   leads a group, whose write waits until there is one behind it, and then queues
 *                    one that fails when it has written
 *   this thread      queues its write meanwhile, and leads the next group: its own and the failing
 *                    one */

static struct twice {
    struct write write; /* first */
    struct kf_store *store;
    struct put failing;
    pthread_t thread;
    sem_t leads;
} twice;

static kf_rc twice_apply(struct group *g, struct write *w, struct kf_err *err)
{
    struct twice *t = (struct twice *)w;
    (void)g;
    (void)err;
    sem_post(&t->leads);
    while (!store_has_writes(t->store))
        poll(NULL, 0, 1);
    store_submit(t->store, &t->failing.write);
    return KF_OK;
}

static void *twice_run(void *ctx)
{
    struct twice *t = ctx;
    store_write(t->store, &t->write, NULL);
    return NULL;
}

void testing_twice_begin(struct kf_store *s)
{
    twice = (struct twice){
        .write = {.apply = twice_apply}, .store = s, .failing = put_of("twice", "x")};
    twice.failing.fail = KF_CONFLICT;
    assert_int_equal(sem_init(&twice.leads, 0, 0), 0);
    assert_int_equal(pthread_create(&twice.thread, NULL, twice_run, &twice), 0);
    while (sem_wait(&twice.leads) != 0) {
    }
}

void testing_twice_end(void)
{
    assert_int_equal(pthread_join(twice.thread, NULL), 0);
    sem_destroy(&twice.leads);
    assert_int_equal(twice.write.rc, KF_OK);
    assert_int_equal(twice.failing.write.rc, KF_CONFLICT);
    assert_int_equal(twice.failing.applied, 2); /* and so what was before it */
}

struct kf_store *testing_store_open(const char *path, struct store_options options)
{
    struct kf_store *s = NULL;
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = store_open(path, &options, &s, &err);
    if (rc != KF_OK)
        fail_msg("%s", err.detail);
    return s;
}
