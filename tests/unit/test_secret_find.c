/* What is found in a document and what is not. The secrets here were made for this file: they have
 * the form of real ones and open nothing. Marks are joined from two halves, so that nobody who
 * looks for secrets in sources finds one. */
#include "testing.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/secret_find.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define A36 "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5"
#define A24 "aB3dE5gH7jK9mN1pQ3sT5vW7"
#define B64 "MIIEpAIBAAKCAQEAx7JvQ0n3Zr5tUeWm9pLs2dFgHjKl4oIuYtReWqAsDfGhJkLz"
#define PEM           \
    "-----BEGIN RSA " \
    "PRIVATE KEY-----"
#define AWS_ID \
    "AKI"      \
    "AQ3EXAMPLE7KEYID2"
#define AWS_KEY  "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzz9a"
#define JWT_HEAD "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9" /* {"alg":"HS256","typ":"JWT"} */
#define JWT_NONE "eyJhbGciOiJub25lIn0"                  /* {"alg":"none"} */
#define JWT_BODY "eyJzdWIiOiIxMjM0NTY3ODkwIn0"
#define JWT_SIGN "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"

static const char *found(const char *json, struct buf *where)
{
    const char *kind = "";
    struct kf_err err = KF_ERR_INIT;
    buf_clear(where);
    assert_int_equal(secret_find(str_of(json), &kind, where, &err), KF_OK);
    return kind;
}

/* ---------------------------------------------------------------------------------------- found */

static const struct {
    const char *json, *kind, *where;
} secrets[] = {
    {"{\"a\":{\"token\":\"gh"
     "p_" A36 "\"}}",
     "a token of GitHub", "/a/token"},
    {"{\"x\":[1,{},\"Bearer gh"
     "s_" A36 "\"]}",
     "a token of GitHub", "/x/2"},
    {"[\"github"
     "_pat_11ABCDEFG0" A24 "_" A36 "\"]",
     "a token of GitHub", "/0"},
    {"\"glpa"
     "t-aB3dE5gH7jK9mN1pQ3sT\"",
     "a token of GitLab", ""},
    {"{\"a\":\"x\",\"b\":\"ATB"
     "BaB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF\"}",
     "a password of Bitbucket", "/b"},
    {"{\"s\":\"xox"
     "b-123456789012-123456789012-" A24 "\"}",
     "a token of Slack", "/s"},
    {"{\"s\":\"sk_li"
     "ve_" A24 "\"}",
     "a live key of Stripe", "/s"},
    {"{\"s\":\"see AIz"
     "aSyA1bC2dE3fG4hI5jK6lM7nO8pQ9rS0tU5v\"}",
     "an API key of Google", "/s"},
    {"{\"k\":\"" PEM "\\n" B64 "\\n" B64 "\\n-----END\"}", "a private key", "/k"},
    {"{\"k\":\"-----BEGIN "
     "PRIVATE KEY-----\\n" B64 "\"}",
     "a private key", "/k"},
    {"{\"k\":\"-----BEGIN PGP "
     "PRIVATE KEY BLOCK-----\\n\\n" B64 "\"}",
     "a private key", "/k"},
    {"{\"jwt\":\"" JWT_HEAD "." JWT_BODY "." JWT_SIGN "\"}", "a signed token (JWT)", "/jwt"},
    {"{\"db\":\"postgres://app:s3cr3t-9@db.example.com:5432/app\"}", "an address with a password",
     "/db"},
    {"{\"db\":\"mongodb+srv:\\/\\/app:s3cr3t@db.example.com\"}", "an address with a password",
     "/db"},
    {"{\"a/b~\":{\"c\":\"https://me:hunter22@host/x\"}}", "an address with a password",
     "/a~1b~0/c"},
    {"{\"id\":\"" AWS_ID "\",\"key\":\"" AWS_KEY "\"}", "a key of AWS", "/key"},
    {"{\"key\":\"" AWS_KEY "\",\"id\":\"" AWS_ID "\"}", "a key of AWS", "/key"},
    {"{\"both\":\"" AWS_ID ":" AWS_KEY "\"}", "a key of AWS", "/both"},
    {"{\"a\":{\"gh"
     "p_" A36 "\":1}}",
     "a token of GitHub", "/a"},
    {"{\"\\u0067hp_" A36 "\":1}", "a token of GitHub", ""},
    {"{\"" AWS_ID "\":\"" AWS_KEY "\"}", "a key of AWS", "/…"},
    {"{\"a\":[[],[{\"b\":0}],{\"c\":[7,8,\"gh"
     "p_" A36 "\"]}]}",
     "a token of GitHub", "/a/2/c/2"},
};

static void what_is_plainly_a_secret_is_found(void **state)
{
    struct buf where = BUF_INIT;
    (void)state;
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        const char *kind = found(secrets[i].json, &where);
        if (!kind || strcmp(kind, secrets[i].kind) != 0)
            fail_msg("%s: %s", secrets[i].json, kind ? kind : "nothing");
        if (!str_is(buf_view(&where), secrets[i].where))
            fail_msg("%s: at %.*s", secrets[i].json, STR_ARGS(buf_view(&where)));
    }
    buf_release(&where);
}

static void every_mark_is_found_in_each_place(void **state)
{
    struct buf json = BUF_INIT, where = BUF_INIT;
    (void)state;
    for (const struct secret_mark *m = secret_marks; m->mark; m++) {
        for (int form = 0; form < 3; form++) {
            static const char *const before[] = {"[\"", "{\"", "{\"a\":\"x="}, *const after[] = {
                                                                                   "\"]", "\":0}",
                                                                                   "; y\"}"};
            buf_clear(&json);
            buf_c(&json, before[form]);
            buf_c(&json, m->mark);
            for (size_t i = 0; i < m->more_min; i++)
                buf_byte(&json, "A1b2C3d4E5f6G7h8"[i % 16]);
            buf_c(&json, after[form]);
            if (!found(json.p, &where))
                fail_msg("%s", json.p);
            assert_null(strstr(where.len ? where.p : "", m->mark));
        }
    }
    buf_release(&json);
    buf_release(&where);
}

/* ------------------------------------------------------------------------------------ not found */

static const char *const harmless[] = {
    "{}",
    "\"\"",
    "{\"hash\":\"d41d8cd98f00b204e9800998ecf8427e\"}",
    "{\"commit\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\"}",
    "{\"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}",
    "{\"id\":\"550e8400-e29b-41d4-a716-446655440000\",\"ulid\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\"}",
    "{\"ghp_token\":\"GITHUB_TOKEN\",\"glpat-\":1}",
    "{\"a\":\"ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}",
    "{\"a\":\"gh"
    "p_" A24 "\"}",
    "{\"a\":\"nogh"
    "p_" A36 "\"}",
    "{\"a\":\"sk_test_" A24 "\"}",
    "{\"a\":\"AIza\",\"b\":\"AIz"
    "aSyA1bC2dE3fG4hI5jK6lM7nO8pQ9rS0tUvwx\"}",
    "{\"a\":\"a line of " PEM " begins a key\"}",
    "{\"a\":\"" PEM "\\n...\\n-----END RSA PRIVATE KEY-----\"}",
    "{\"a\":\"-----BEGIN CERTIFICATE-----\\n" B64 "\\n" B64 "\"}",
    "{\"a\":\"-----BEGIN PUBLIC KEY-----\\n" B64 "\\n" B64 "\"}",
    "{\"jwt\":\"" JWT_NONE "." JWT_BODY ".\"}",
    "{\"jwt\":\"" JWT_NONE "." JWT_BODY "." JWT_SIGN "\"}",
    "{\"jwt\":\"" JWT_HEAD "." JWT_BODY "\"}",
    "{\"jwt\":\"" JWT_HEAD "." JWT_BODY ".short\"}",
    "{\"db\":\"postgres://app@db.example.com/app\"}",
    "{\"db\":\"postgres://app:password@localhost/app\"}",
    "{\"db\":\"postgres://app:${DB_PASSWORD}@localhost/app\"}",
    "{\"db\":\"postgres://app:<password>@localhost/app\"}",
    "{\"db\":\"postgres://app:xxxx@localhost/app\"}",
    "{\"db\":\"mysql://app:****@localhost/app\"}",
    "{\"url\":\"https://example.com:8080/@me/a:b@c\"}",
    "{\"url\":\"https://example.com/?q=a:b@c\"}",
    "{\"at\":\"see foo://x:y3df@z and note: a@b\"}",
    "{\"id\":\"" AWS_ID "\"}",
    "{\"id\":\"" AWS_ID "\",\"hash\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\"}",
    "{\"key\":\"" AWS_KEY "\"}",
    "{\"price\":12.5,\"list\":[true,null,-1e9],\"text\":\"zażółć gęślą jaźń\"}",
};

static void what_looks_random_is_not(void **state)
{
    struct buf where = BUF_INIT;
    (void)state;
    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
        const char *kind = found(harmless[i], &where);
        if (kind)
            fail_msg("%s: %s", harmless[i], kind);
        assert_int_equal(where.len, 0);
    }
    buf_release(&where);
}

static void nothing_is_found_in_the_examples(void **state)
{
    static const char *const names[] = {"notification_config",
                                        "portfolio_history",
                                        "autonomous_conversations",
                                        "api_usage",
                                        "partner_conversations",
                                        "wydatki",
                                        "persona_memory",
                                        "daily_snapshots",
                                        "kredyty",
                                        "cele",
                                        "wyplaty",
                                        "krypto"};
    const char *top = getenv("KF_TOP");
    struct buf where = BUF_INIT;
    (void)state;
    assert_non_null(top); /* as the runner and ninja set it */
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char name[200];
        size_t len;
        snprintf(name, sizeof(name), "examples/finance/data/%s.json", names[i]);
        const char *kind = found(testing_read(testing_path(top, name), &len), &where);
        if (kind)
            fail_msg("%s: %s at %.*s", name, kind, STR_ARGS(buf_view(&where)));
        assert_true(len > 100);
    }
    buf_release(&where);
}

/* ----------------------------------------------------------------------- odd texts, and cost */

static void any_bytes_end(void **state)
{
    uint64_t seed = 5;
    struct buf where = BUF_INIT;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        char text[64];
        size_t len = testing_random(&seed) % sizeof(text);
        const char *kind;
        for (size_t k = 0; k < len; k++)
            text[k] = "{}[]\",:\\u-_./aegAxr\0\xc5"[testing_random(&seed) % 21];
        assert_int_equal(secret_find((str){text, len}, &kind, &where, NULL), KF_OK);
    }
    buf_release(&where);
}

static void a_long_pointer_is_cut(void **state)
{
    struct buf json = BUF_INIT, where = BUF_INIT;
    (void)state;
    for (int i = 0; i < 500; i++)
        buf_c(&json, "{\"zażółć\\u0007\":");
    buf_c(&json, "\"gh"
                 "p_" A36 "\"");
    assert_non_null(found(json.p, &where));
    assert_true(where.len > 150 && where.len <= 204);
    assert_int_equal(str_utf8_valid(buf_view(&where)), where.len);
    assert_null(memchr(where.p, 7, where.len));
    buf_release(&json);
    buf_release(&where);
}

/* Texts that begin with a mark again and again cost no more than others by much. */
static void it_takes_linear_time(void **state)
{
    static const char *const pieces[] = {
        "x",   "eyJ.",       "eyJeyJ",      "ghp_",   " ghp_A1", "AKIA ",
        "://", "https://a:", "-----BEGIN ", "xoxb- ", "a/B1",    "{\\\"a\\\":1} "};
    struct buf json = BUF_INIT, where = BUF_INIT;
    (void)state;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        buf_clear(&json);
        buf_byte(&json, '"');
        while (json.len < 4u << 20)
            buf_c(&json, pieces[i]);
        buf_byte(&json, '"');
        clock_t began = clock();
        found(json.p, &where);
        double s = (double)(clock() - began) / CLOCKS_PER_SEC;
        print_message("# %.1f ms per MiB of \"%s\"\n", s * 1000 / 4, pieces[i]);
        assert_true(s < 60); /* a square of 4 MiB would take days */
    }
    buf_release(&json);
    buf_release(&where);
}

static kf_rc all_of_it(void *ctx)
{
    struct buf where = BUF_INIT;
    const char *kind = NULL;
    struct kf_err err = KF_ERR_INIT;
    (void)ctx;
    kf_rc rc = secret_find(
        STR("{\"a\":[{\"b\\n\":[\"x\\\\y\",{\"id\":\"" AWS_ID "\",\"key\":\"" AWS_KEY "\"}]}]}"),
        &kind, &where, &err);
    if (rc == KF_OK)
        assert_string_equal(kind, "a key of AWS");
    else
        assert_null(kind);
    buf_release(&where);
    return rc;
}

static void no_memory(void **state)
{
    (void)state;
    assert_true(testing_oom_each(all_of_it, NULL) > 4);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_plainly_a_secret_is_found),
        cmocka_unit_test(every_mark_is_found_in_each_place),
        cmocka_unit_test(what_looks_random_is_not),
        cmocka_unit_test(nothing_is_found_in_the_examples),
        cmocka_unit_test(any_bytes_end),
        cmocka_unit_test(a_long_pointer_is_cut),
        cmocka_unit_test(it_takes_linear_time),
        cmocka_unit_test(no_memory),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("secret_find", tests, NULL, NULL);
}
