/* The table of tokens: what is made is found by its text, survives, and ends when it is ended. */
#include "testing.h"

#include "api/tokens.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "db/db.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DAY_MS ((int64_t)24 * 3600 * 1000)

static struct testing_env env;
static const char *dir;

static kf_rc open_in(struct tokens **ret, struct kf_err *err)
{
    return tokens_open(&(struct tokens_options){.env = &env.env, .dir = dir}, ret, err);
}

static struct tokens *open_all(void)
{
    struct tokens *t = NULL;
    struct kf_err err = KF_ERR_INIT;
    if (open_in(&t, &err) != KF_OK)
        fail_msg("%s", err.detail);
    return t;
}

static int setup(void **state)
{
    (void)state;
    testing_env_init(&env);
    dir = testing_dir_in_memory();
    return hash_init();
}

static int teardown(void **state)
{
    (void)state;
    testing_env_release(&env);
    return 0;
}

static const struct token_scope to_read = {.rights = TOKEN_READ, .expires_ms = TOKEN_NEVER};

static const struct token *make(struct tokens *t, const struct token_scope *scope, char *text)
{
    const struct token *k = NULL;
    struct kf_err err = KF_ERR_INIT;
    if (tokens_make(t, STR("app"), scope, text, &k, &err) != KF_OK)
        fail_msg("%s", err.detail);
    return k;
}

/* ------------------------------------------------------------------------------------- one life */

static void one_is_found_by_its_text_alone(void **state)
{
    char text[TOKEN_TEXT_LEN + 1], other[TOKEN_TEXT_LEN + 1];
    struct tokens *t = open_all();
    (void)state;
    assert_false(tokens_defined(t));
    assert_false(testing_exists(testing_path(dir, "_keepfast.db")));
    const struct token *k = make(t, &to_read, text);
    assert_true(tokens_defined(t));
    assert_int_equal(strlen(text), TOKEN_TEXT_LEN);
    assert_true(token_like(str_of(text)));
    assert_ptr_equal(tokens_find(t, str_of(text)), k);
    assert_ptr_equal(tokens_by_id(t, str_of(k->id)), k);
    for (size_t i = 0; i < TOKEN_TEXT_LEN; i++) { /* each character counts */
        memcpy(other, text, sizeof other);
        other[i] = text[i] == 'a' ? 'b' : 'a';
        assert_null(tokens_find(t, str_of(other)));
    }
    assert_null(tokens_find(t, str_make(text, TOKEN_TEXT_LEN - 1)));
    assert_null(tokens_find(t, STR("")));
    make(t, &to_read, other);
    assert_string_not_equal(text, other);
    tokens_close(t);
}

static void the_file_holds_no_text(void **state)
{
    char text[TOKEN_TEXT_LEN + 1];
    size_t len;
    struct tokens *t = open_all();
    (void)state;
    make(t, &to_read, text);
    tokens_close(t);
    const char *file = testing_read(testing_path(dir, "_keepfast.db"), &len);
    assert_null(memmem(file, len, text, 20));
    assert_null(memmem(file, len, text + strlen(TOKEN_MARK), 20));
}

static void all_of_it_is_there_again(void **state)
{
    static const str spaces[] = {{"finance", 7}, {"shop", 4}}, prefixes[] = {{"chat/a\"b*", 9}};
    char text[TOKEN_TEXT_LEN + 1];
    struct tokens *t = open_all();
    struct token_scope scope = {.rights = TOKEN_READ | TOKEN_ADMIN,
                                .spaces = spaces,
                                .space_count = 2,
                                .prefixes = prefixes,
                                .prefix_count = 1,
                                .expires_ms = env.wall_ms + DAY_MS};
    char id[TOKEN_ID_LEN + 1];
    (void)state;
    memcpy(id, make(t, &scope, text)->id, sizeof id);
    tokens_close(t);
    t = open_all();
    const struct token *k = tokens_find(t, str_of(text));
    assert_non_null(k);
    assert_string_equal(k->id, id);
    assert_string_equal(k->name, "app");
    assert_int_equal(k->scope.rights, TOKEN_READ | TOKEN_ADMIN);
    assert_int_equal(k->scope.space_count, 2);
    assert_true(str_is(k->scope.spaces[1], "shop"));
    assert_int_equal(k->scope.prefix_count, 1);
    assert_true(str_is(k->scope.prefixes[0], "chat/a\"b*"));
    assert_int_equal(k->scope.expires_ms, env.wall_ms + DAY_MS);
    assert_int_equal(k->created_ms, env.wall_ms);
    assert_true(token_lives(k, env.wall_ms));
    assert_false(token_lives(k, env.wall_ms + DAY_MS));
    tokens_close(t);
}

static void revoked_is_for_good(void **state)
{
    char text[TOKEN_TEXT_LEN + 1];
    struct tokens *t = open_all();
    const struct token *k = make(t, &to_read, text);
    (void)state;
    assert_int_equal(tokens_revoke(t, str_of(k->id), NULL), KF_OK);
    assert_false(token_lives(k, env.wall_ms));
    int64_t at = atomic_load(&k->revoked_ms);
    testing_env_advance(&env, 5000);
    assert_int_equal(tokens_revoke(t, str_of(k->id), NULL), KF_OK);
    assert_int_equal(atomic_load(&k->revoked_ms), at);
    assert_int_equal(tokens_revoke(t, STR("nobody"), NULL), KF_ABSENT);
    tokens_close(t);
    t = open_all();
    assert_true(tokens_defined(t));
    k = tokens_find(t, str_of(text));
    assert_non_null(k);
    assert_false(token_lives(k, env.wall_ms));
    tokens_close(t);
}

/* Months later nothing is left of it but that tokens are asked for. */
static void the_old_are_forgotten(void **state)
{
    char revoked[TOKEN_TEXT_LEN + 1], expired[TOKEN_TEXT_LEN + 1];
    struct tokens *t = open_all();
    struct token_scope short_lived = to_read;
    (void)state;
    short_lived.expires_ms = env.wall_ms + 1000;
    make(t, &short_lived, expired);
    assert_int_equal(tokens_revoke(t, str_of(make(t, &to_read, revoked)->id), NULL), KF_OK);
    tokens_close(t);
    testing_env_advance(&env, TOKEN_FORGET_MS - DAY_MS);
    t = open_all();
    assert_non_null(tokens_find(t, str_of(revoked)));
    assert_non_null(tokens_find(t, str_of(expired)));
    tokens_close(t);
    testing_env_advance(&env, 2 * DAY_MS);
    t = open_all();
    assert_null(tokens_find(t, str_of(revoked)));
    assert_null(tokens_find(t, str_of(expired)));
    assert_true(tokens_defined(t));
    tokens_close(t);
}

/* Also by a server that is not started anew for months: with the next that is made. */
static void the_old_are_forgotten_meanwhile(void **state)
{
    char text[TOKEN_TEXT_LEN + 1], old[3][TOKEN_TEXT_LEN + 1], lives[TOKEN_TEXT_LEN + 1];
    struct tokens *t = open_all();
    struct token_scope short_lived = to_read;
    const struct token *held;
    size_t n = 0;
    (void)state;
    make(t, &to_read, lives);
    short_lived.expires_ms = env.wall_ms + 1000;
    held = make(t, &short_lived, old[0]);
    make(t, &short_lived, old[1]);
    assert_int_equal(tokens_revoke(t, str_of(make(t, &to_read, old[2])->id), NULL), KF_OK);
    testing_env_advance(&env, TOKEN_FORGET_MS + DAY_MS);
    make(t, &to_read, text);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++)
            assert_null(tokens_find(t, str_of(old[i])));
        assert_non_null(tokens_find(t, str_of(lives)));
        assert_non_null(tokens_find(t, str_of(text)));
        n = 0;
        for (const struct token *k = tokens_after(t, STR("")); k; n++)
            k = tokens_after(t, str_of(k->id));
        assert_int_equal(n, 2);
        if (round == 0) {
            assert_false(token_lives(held, env.wall_ms)); /* a call may hold it still */
            tokens_close(t);
            t = open_all();
        }
    }
    tokens_close(t);
}

static void lists_are_in_order(void **state)
{
    enum { MANY = 40 };
    char text[TOKEN_TEXT_LEN + 1];
    struct tokens *t = open_all();
    size_t n = 0;
    str last = STR("");
    (void)state;
    for (int i = 0; i < MANY; i++)
        make(t, &to_read, text);
    for (const struct token *k; (k = tokens_after(t, last)); n++) {
        assert_true(str_cmp(last, str_of(k->id)) < 0);
        last = str_of(k->id);
    }
    assert_int_equal(n, MANY);
    tokens_close(t);
}

static void when_it_was_used_is_noted(void **state)
{
    char text[TOKEN_TEXT_LEN + 1];
    struct tokens *t = open_all();
    make(t, &to_read, text);
    (void)state;
    assert_false(tokens_unwritten(t));
    testing_env_advance(&env, 61000);
    tokens_find(t, str_of(text));
    int64_t used_ms = env.wall_ms;
    assert_true(tokens_unwritten(t));
    assert_int_equal(tokens_note_use(t, NULL), KF_OK);
    assert_false(tokens_unwritten(t));
    testing_env_advance(&env, 30000); /* not worth a write */
    tokens_find(t, str_of(text));
    assert_int_equal(tokens_note_use(t, NULL), KF_OK);
    tokens_close(t);
    t = open_all();
    assert_int_equal(atomic_load(&tokens_after(t, STR(""))->used_ms), used_ms);
    tokens_close(t);
}

/* What could not be written down is, the next time. */
static void a_use_that_was_not_written_is_not_forgotten(void **state)
{
    char text[TOKEN_TEXT_LEN + 1];
    struct tokens *t = open_all();
    make(t, &to_read, text);
    (void)state;
    testing_env_advance(&env, 61000);
    tokens_find(t, str_of(text));
    int64_t used_ms = env.wall_ms;
    testing_env_fault(&env, IO_WRITE, 1, EIO, true);
    assert_int_not_equal(tokens_note_use(t, NULL), KF_OK);
    testing_env_fault(&env, IO_OP_COUNT, 0, 0, false);
    assert_true(tokens_unwritten(t));
    assert_int_equal(tokens_note_use(t, NULL), KF_OK);
    assert_false(tokens_unwritten(t));
    tokens_close(t);
    t = open_all();
    assert_int_equal(atomic_load(&tokens_after(t, STR(""))->used_ms), used_ms);
    tokens_close(t);
}

/* --------------------------------------------------------------------------------------- scopes */

static void names_are_those_of_the_prefixes(void **state)
{
    static const str prefixes[] = {{"chat/*", 6}, {"a", 1}, {"x*", 2}};
    const struct token_scope s = {.rights = 1, .prefixes = prefixes, .prefix_count = 3};
    (void)state;
    assert_true(token_has_name(&s, STR("chat/")));
    assert_true(token_has_name(&s, STR("chat/b/c")));
    assert_true(token_has_name(&s, STR("a")));
    assert_true(token_has_name(&s, STR("xyz")));
    assert_false(token_has_name(&s, STR("chat")));
    assert_false(token_has_name(&s, STR("ab")));
    assert_false(token_has_name(&s, STR("")));
    assert_true(token_has_name(&to_read, STR("anything")));
}

/* Whether a token of spaces, prefixes and rights `part` may be made by one of `whole`; lists with
 * blanks between. */
static bool within(unsigned part_rights, const char *part_spaces, const char *part_prefixes,
                   unsigned rights, const char *spaces, const char *prefixes)
{
    str lists[4][8];
    size_t counts[4] = {0};
    const char *texts[] = {part_spaces, part_prefixes, spaces, prefixes};
    for (int i = 0; i < 4; i++)
        for (str rest = str_of(texts[i]); rest.len;) {
            str one = {rest.p, str_index(rest, ' ')};
            lists[i][counts[i]++] = one;
            rest = str_from(rest, one.len + 1);
        }
    struct token_scope part = {part_rights, lists[0], counts[0], lists[1], counts[1], 5},
                       whole = {rights, lists[2], counts[2], lists[3], counts[3], 5};
    return token_within(&part, &whole);
}

static void nobody_gives_more_than_they_have(void **state)
{
    struct token_scope later = to_read, sooner = to_read;
    (void)state;
    assert_true(within(1, "a", "n*", 3, "", ""));
    assert_true(within(1, "a", "", 1, "a b", ""));
    assert_false(within(2, "", "", 1, "", ""));
    assert_false(within(1, "", "", 1, "a", "")); /* all spaces out of one */
    assert_false(within(1, "a c", "", 1, "a b", ""));
    assert_false(within(1, "", "", 1, "", "n*")); /* all names out of some */
    assert_true(within(1, "", "na* n", 1, "", "n*"));
    assert_false(within(1, "", "m", 1, "", "n*"));
    assert_false(within(1, "", "n*", 1, "", "na*"));
    assert_false(within(1, "", "n*", 1, "", "n")); /* names that begin so out of one */
    assert_true(within(1, "", "n", 1, "", "n"));
    later.expires_ms = 10;
    sooner.expires_ms = 9;
    assert_true(token_within(&sooner, &later));
    assert_false(token_within(&later, &sooner));
    assert_false(token_within(&to_read, &later));
}

static void refused(struct tokens *t, const char *name, const struct token_scope *scope)
{
    char text[TOKEN_TEXT_LEN + 1] = "";
    const struct token *k = NULL;
    struct kf_err err = KF_ERR_INIT;
    assert_int_equal(tokens_make(t, str_of(name), scope, text, &k, &err), KF_INVALID);
    assert_string_equal(err.code, "bad_request");
    assert_string_equal(text, "");
    assert_null(k);
}

static void wishes_that_cannot_be(void **state)
{
    static const char *const bad_prefixes[] = {"", "*", "a*b", "**", "\xff*"};
    struct tokens *t = open_all();
    struct token_scope s = to_read;
    char long_name[TOKEN_NAME_MAX + 2];
    (void)state;
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    refused(t, "", &to_read);
    refused(t, long_name, &to_read);
    refused(t, "two\nlines", &to_read);
    refused(t, "\xc3", &to_read);
    s.rights = 0;
    refused(t, "app", &s);
    s.rights = 1u << TOKEN_RIGHT_COUNT;
    refused(t, "app", &s);
    s = to_read;
    s.expires_ms = env.wall_ms;
    refused(t, "app", &s);
    for (size_t i = 0; i < sizeof bad_prefixes / sizeof *bad_prefixes; i++) {
        str p = str_of(bad_prefixes[i]);
        s = to_read;
        s.prefixes = &p;
        s.prefix_count = 1;
        refused(t, "app", &s);
    }
    str space = STR("tokens");
    s = to_read;
    s.spaces = &space;
    s.space_count = 1;
    refused(t, "app", &s);
    assert_false(tokens_defined(t));
    tokens_close(t);
}

/* --------------------------------------------------------------------------------------- faults */

static void alter(const char *sql)
{
    struct db_options o = {
        .env = &env.env, .path = testing_path(dir, "_keepfast.db"), .mode = DB_OWNER};
    struct db *db;
    assert_int_equal(db_open(&o, &db, NULL), KF_OK);
    assert_int_equal(db_exec(db, sql, NULL), KF_OK);
    db_close(db);
}

static void must_not_open(const char *code)
{
    struct tokens *t = NULL;
    struct kf_err err = KF_ERR_INIT;
    assert_int_not_equal(open_in(&t, &err), KF_OK);
    assert_null(t);
    assert_string_equal(err.code, code);
}

/* A file that cannot be read is never taken for one without tokens. */
static void damage_is_not_taken_for_none(void **state)
{
    static const char *const changes[] = {
        "UPDATE kf_token SET spaces = '{}'",       "UPDATE kf_token SET spaces = '[1]'",
        "UPDATE kf_token SET prefixes = '[\"\"]'", "UPDATE kf_token SET rights = 0",
        "UPDATE kf_token SET rights = 64",         "UPDATE kf_token SET id = 'short'",
        "UPDATE kf_token SET hash = x'00'",        "DROP TABLE kf_server",
    };
    char text[TOKEN_TEXT_LEN + 1];
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        dir = testing_dir_in_memory();
        struct tokens *t = open_all();
        make(t, &to_read, text);
        tokens_close(t);
        alter(changes[i]);
        must_not_open("damaged");
    }
    dir = testing_dir_in_memory();
    testing_write(testing_path(dir, "_keepfast.db"), "no database at all, but long enough", 35);
    must_not_open("damaged");
    dir = testing_dir_in_memory();
    tokens_close(open_all());
    struct tokens *t = open_all();
    make(t, &to_read, text);
    tokens_close(t);
    alter("PRAGMA user_version = 2");
    must_not_open("format_too_new");
}

/* Whatever call fails: who was told that it is made or revoked finds it so after a restart. */
static void any_call_may_fail(void **state)
{
    static const enum io_op ops[] = {IO_WRITE, IO_SYNC};
    char first[TOKEN_TEXT_LEN + 1], second[TOKEN_TEXT_LEN + 1];
    unsigned fired = 0;
    (void)state;
    for (size_t o = 0; o < sizeof ops / sizeof *ops; o++)
        for (uint64_t nth = 1;; nth++) {
            const struct token *k = NULL;
            dir = testing_dir_in_memory();
            struct tokens *t = open_all();
            const struct token *old = make(t, &to_read, first);
            testing_env_fault(&env, ops[o], nth, EIO, true);
            kf_rc made = tokens_make(t, STR("b"), &to_read, second, &k, NULL);
            kf_rc revoked = tokens_revoke(t, str_of(old->id), NULL);
            bool fault = env.fired > 0;
            testing_env_fault(&env, IO_OP_COUNT, 0, 0, false);
            assert_false(token_lives(old, env.wall_ms)); /* refused here in any case */
            tokens_close(t);
            t = open_all();
            const struct token *again = tokens_find(t, str_of(first));
            assert_non_null(again);
            if (made == KF_OK)
                assert_non_null(tokens_find(t, str_of(second)));
            if (revoked == KF_OK)
                assert_false(token_lives(again, env.wall_ms));
            tokens_close(t);
            fired += fault;
            if (!fault)
                break;
        }
    print_message("# %u faults fired\n", fired);
    assert_true(fired >= 6);
}

static kf_rc a_life(void *ctx)
{
    char text[TOKEN_TEXT_LEN + 1];
    const struct token *k;
    struct tokens *t = NULL;
    static const str space = {"finance", 7};
    const struct token_scope scope = {
        .rights = TOKEN_READ, .spaces = &space, .space_count = 1, .expires_ms = TOKEN_NEVER};
    (void)ctx;
    dir = testing_dir_in_memory();
    kf_rc rc = open_in(&t, NULL);
    if (rc == KF_OK)
        rc = tokens_make(t, STR("app"), &scope, text, &k, NULL);
    if (rc == KF_OK)
        rc = tokens_revoke(t, str_of(k->id), NULL);
    tokens_close(t);
    t = NULL;
    if (rc == KF_OK)
        rc = open_in(&t, NULL);
    tokens_close(t);
    return rc;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    a_life(NULL);
    size_t failed = testing_oom_each_tolerant(a_life, NULL);
    print_message("# %zu allocations failed\n", failed);
    assert_true(failed > 100);
}

/* -------------------------------------------------------------------------------------- threads */

struct looking {
    struct tokens *t;
    const char *text;
    atomic_bool stop;
    uint64_t found;
};

static void *look(void *ctx)
{
    struct looking *l = ctx;
    while (!atomic_load(&l->stop)) {
        const struct token *k = tokens_find(l->t, str_of(l->text));
        if (!k || !token_lives(k, 0))
            return NULL;
        l->found++;
    }
    return l;
}

static void finding_goes_on_while_others_are_made(void **state)
{
    enum { MADE = 60 };
    char text[TOKEN_TEXT_LEN + 1], other[TOKEN_TEXT_LEN + 1];
    struct looking l = {.t = open_all(), .text = text};
    pthread_t thread;
    void *well = NULL;
    (void)state;
    make(l.t, &to_read, text);
    assert_int_equal(pthread_create(&thread, NULL, look, &l), 0);
    for (int i = 0; i < MADE; i++)
        assert_int_equal(tokens_revoke(l.t, str_of(make(l.t, &to_read, other)->id), NULL), KF_OK);
    atomic_store(&l.stop, true);
    pthread_join(thread, &well);
    assert_ptr_equal(well, &l);
    assert_true(l.found > 0);
    tokens_close(l.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_is_found_by_its_text_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(the_file_holds_no_text, setup, teardown),
        cmocka_unit_test_setup_teardown(all_of_it_is_there_again, setup, teardown),
        cmocka_unit_test_setup_teardown(revoked_is_for_good, setup, teardown),
        cmocka_unit_test_setup_teardown(the_old_are_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(the_old_are_forgotten_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_are_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(when_it_was_used_is_noted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_use_that_was_not_written_is_not_forgotten, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(names_are_those_of_the_prefixes, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_gives_more_than_they_have, setup, teardown),
        cmocka_unit_test_setup_teardown(wishes_that_cannot_be, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_not_taken_for_none, setup, teardown),
        cmocka_unit_test_setup_teardown(any_call_may_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(each_allocation_may_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(finding_goes_on_while_others_are_made, setup, teardown),
    };
    testing_guard(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
