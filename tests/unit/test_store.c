#include "testing.h"

#include "store/store.h"
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct testing_env t;
static const char *dir;

static int setup(void **state)
{
    (void)state;
    testing_env_init(&t);
    dir = testing_dir();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_env_release(&t);
    return 0;
}

static const char *path(const char *name)
{
    return testing_path(dir, name);
}

/* ------------------------------------------------------------------------------------- a write */

/* Puts `value` under `key` into kf_meta and numbers it. */
struct put {
    struct write write; /* first */
    const char *key, *value;
    kf_rc fail; /* after having written */
    int applied, published, done;
    int64_t seq;
};

static kf_rc put_apply(struct group *g, struct write *w, struct kf_err *err)
{
    struct put *p = (struct put *)w;
    p->applied++;
    p->seq = group_seq(g);
    kf_rc rc = group_meta_set(g, p->key, str_of(p->value), err);
    if (rc == KF_OK)
        rc = group_journal(g, p->seq, 0, "test", str_of(p->key), group_stamp(g),
                           str_of(group_site(g)), err);
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

static struct put put_of(const char *key, const char *value)
{
    return (struct put){.write = {.apply = put_apply, .publish = put_publish, .done = put_done},
                        .key = key,
                        .value = value};
}

static kf_rc put(struct kf_store *s, const char *key, const char *value, struct kf_err *err)
{
    struct put p = put_of(key, value);
    return store_write(s, &p.write, err);
}

static const char *get(struct kf_store *s, const char *key)
{
    static char text[256];
    struct buf b = BUF_INIT;
    struct kf_err err;
    kf_rc rc = store_meta_get(s, key, &b, &err);
    assert_true(rc == KF_OK || rc == KF_ABSENT);
    snprintf(text, sizeof(text), "%s", rc == KF_OK ? b.p : "(absent)");
    buf_release(&b);
    return text;
}

static struct kf_store *open_with(const char *name, struct store_options o)
{
    struct kf_store *s = NULL;
    struct kf_err err = KF_ERR_INIT;
    if (!o.env)
        o.env = &t.env;
    kf_rc rc = store_open(path(name), &o, &s, &err);
    if (rc != KF_OK)
        fail_msg("%s", err.detail);
    return s;
}

static struct kf_store *open_store(const char *name)
{
    return open_with(name, (struct store_options){0});
}

/* ---------------------------------------------------------------------------------- the tests */

static void what_is_written_is_there_after_reopening(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    assert_true(store_is_empty(s));
    assert_int_equal(store_state(s), STORE_OPEN);
    assert_int_equal(strlen(store_site(s)), 16);
    char site[17];
    snprintf(site, sizeof(site), "%s", store_site(s));
    assert_int_equal(put(s, "k", "v", NULL), KF_OK);
    assert_string_equal(get(s, "k"), "v");
    assert_int_equal(store_seq(s), 1);
    store_close(s);
    assert_false(testing_exists(path("a.db-wal")));

    s = open_store("a.db");
    assert_string_equal(get(s, "k"), "v");
    assert_int_equal(store_seq(s), 1);
    assert_false(store_is_empty(s));
    assert_string_equal(store_site(s), site);
    store_close(s);
}

/* Whatever write it stops at, the next open makes it a store that the one after that knows again. */
static void a_file_that_was_begun_becomes_a_store(void **state)
{
    (void)state;
    bool stopped = true;
    for (uint64_t n = 1; stopped; n++) {
        char name[32];
        struct kf_store *s = NULL;
        snprintf(name, sizeof(name), "begun%d.db", (int)n);
        testing_env_fault(&t, IO_WRITE, n, EIO, true);
        stopped = store_open(path(name), &(struct store_options){.env = &t.env}, &s, NULL) != KF_OK;
        testing_env_fault(&t, IO_WRITE, 0, 0, false);
        store_close(s);
        s = open_store(name);
        assert_int_equal(put(s, "k", "v", NULL), KF_OK);
        store_close(s);
        s = open_store(name);
        assert_string_equal(get(s, "k"), "v");
        store_close(s);
        assert_true(n < 100);
    }
}

/* As the command line and kf_pump do it: nothing else would wake the loop before its next timer. */
static void what_is_submitted_between_turns_is_led_in_the_next(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    assert_int_equal(loop_new(&t.env, LOOP_INLINE, &loop, NULL), KF_OK);
    struct kf_store *s = open_with("b.db", (struct store_options){.loop = loop});
    struct put p = put_of("k", "v");
    int64_t before_ms = env_mono_ms(&t.env);
    store_submit(s, &p.write);
    loop_turn(loop, -1);
    assert_int_equal(p.done, 1);
    assert_int_equal(env_mono_ms(&t.env), before_ms);
    store_close(s);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_that_was_begun_becomes_a_store, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_submitted_between_turns_is_led_in_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_written_is_there_after_reopening, setup, teardown),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
