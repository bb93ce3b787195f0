/* Canonical and pretty form, merge patch, difference. */
#include "base/json.h"

#include "../json/patch.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void expect(const struct buf *got, kf_rc rc, const char *wanted)
{
    assert_int_equal(rc, KF_OK);
    if (!str_is(buf_view(got), wanted))
        fail_msg("expected %s, got %.*s", wanted, STR_ARGS(buf_view(got)));
}

/* ----------------------------------------------------------------------------------- canonical */

static void canonical_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *canonical;
    } cases[] = {
        {"0", "0"},
        {"-0", "0"},
        {"0.000", "0"},
        {"-0.0e-7", "0"},
        {"0e999999999999999999999999", "0"},
        {"1", "1"},
        {"1.0", "1"},
        {"10e-1", "1"},
        {"0.1e1", "1"},
        {"10", "1e1"},
        {"1500", "15e2"},
        {"15E+2", "15e2"},
        {"15.00e2", "15e2"},
        {"0.25", "25e-2"},
        {"-0.0025", "-25e-4"},
        {"25e-002", "25e-2"},
        {"-12.50", "-125e-1"},
        {"100000000000000000001", "100000000000000000001"},
        {"123456789012345678901234567890", "12345678901234567890123456789e1"},
        {"1.000000000000000005", "1000000000000000005e-18"},
        {"1e400", "1e400"},
        {"1e-400", "1e-400"},
        {"1e17", "1e17"},
        {"10e99999999999999999", "1e100000000000000000"},
        {"10e99999999999999998", "1e99999999999999999"},
        {"1e100000000000000000", "1e100000000000000000"},
        {"0.1e100000000000000000", "1e99999999999999999"},
        {"0.01e100000000000000000", "1e99999999999999998"},
        {"10e-100000000000000000", "1e-99999999999999999"},
        {"0.1e-99999999999999999", "1e-100000000000000000"},
        {"0.1e-999999999999999999999", "1e-1000000000000000000000"},
        {"1.5e00000000000000000000000007", "15e6"},
        {"123e-1000000000000000000000000000000", "123e-1000000000000000000000000000000"},
        {"\"plain \xC5\xBC\"", "\"plain \xC5\xBC\""},
        {"\"\\u017c\\/\\u0041\"", "\"\xC5\xBC/A\""},
        {"\"\\b\\f\\n\\r\\t\\u001F\\u007f\"", "\"\\u0008\\u000c\\u000a\\u000d\\u0009\\u001f\x7f\""},
        {"\"\\\"\\\\\\u0022\\u005c\"", "\"\\\"\\\\\\\"\\\\\""},
        {"\"\\uD83D\\uDE00\\u0000\"", "\"\xF0\x9F\x98\x80\\u0000\""},
        {" [ 1 , true ,\n\tfalse,null , [ ] , { } ] ", "[1,true,false,null,[],{}]"},
        {"{\"b\":1,\"a\":2,\"\":3,\"ab\":4,\"B\":5}", "{\"\":3,\"B\":5,\"a\":2,\"ab\":4,\"b\":1}"},
        /* by code point: U+FFFF before U+1F600, which UTF-16 would turn round */
        {"{\"\\uD83D\\uDE00\":1,\"\\uFFFF\":2,\"z\":3}",
         "{\"z\":3,\"\xEF\xBF\xBF\":2,\"\xF0\x9F\x98\x80\":1}"},
        {"{\"a\\u0000b\":1,\"a\":2,\"a\\u0000\":3}", "{\"a\":2,\"a\\u0000\":3,\"a\\u0000b\":1}"},
        {"{\"x\":{\"d\":[{\"f\":1.10,\"e\":[]}],\"c\":-0}}",
         "{\"x\":{\"c\":0,\"d\":[{\"e\":[],\"f\":11e-1}]}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = BUF_INIT, again = BUF_INIT;
        expect(&out, json_canonical(str_of(cases[i].text), &out, NULL), cases[i].canonical);
        expect(&again, json_canonical(buf_view(&out), &again, NULL), cases[i].canonical);
        buf_release(&out);
        buf_release(&again);
    }
}

static void same_compares_values(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"{\"a\":1,\"b\":[1.0]}", "{ \"b\": [1], \"\\u0061\": 10e-1 }", true},
        {"[1,2]", "[2,1]", false},
        {"1", "\"1\"", false},
        {"0.1", "0.10000000000000001", false},
        {"null", "false", false},
        {"{}", "[]", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool same = !cases[i].same;
        assert_int_equal(json_same(str_of(cases[i].a), str_of(cases[i].b), &same, NULL), KF_OK);
        assert_int_equal(same, cases[i].same);
    }
    bool same = true;
    struct kf_err err;
    assert_int_equal(json_same(STR("1"), STR("{"), &same, &err), KF_INVALID);
    assert_int_equal(err.offset, 1);
}

/* -------------------------------------------------------------------------------------- pretty */

static void pretty_and_compact(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    const char *text = "{\"b\":[1.50,{\"x\":\"\\u0061\"},[ ]] , \"a\":{}}";
    expect(&out, json_pretty(str_of(text), &out, NULL),
           "{\n  \"b\": [\n    1.50,\n    {\n      \"x\": \"\\u0061\"\n    },\n    []\n  ],\n  "
           "\"a\": {}\n}\n");
    str pretty = buf_view(&out);
    struct buf again = BUF_INIT;
    assert_int_equal(json_pretty(pretty, &again, NULL), KF_OK);
    assert_true(str_eq(pretty, buf_view(&again)));
    buf_clear(&again);
    expect(&again, json_compact(pretty, &again, NULL),
           "{\"b\":[1.50,{\"x\":\"\\u0061\"},[]],\"a\":{}}");
    buf_clear(&out);
    expect(&out, json_pretty(STR(" 7 "), &out, NULL), "7\n");
    buf_clear(&out);
    buf_c(&out, "before");
    expect(&out, json_pretty(STR("[]"), &out, NULL), "before[]\n");
    struct kf_err err;
    assert_int_equal(json_pretty(STR("[1,2"), &out, &err), KF_INVALID);
    assert_int_equal(err.offset, 4);
    assert_true(str_is(buf_view(&out), "before[]\n"));
    buf_release(&out);
    buf_release(&again);
}

/* --------------------------------------------------------------------------------- merge patch */

struct merge_case {
    const char *target, *patch, *result;
};

static void check_merges(const struct merge_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct buf out = BUF_INIT;
        kf_rc rc = json_merge_patch(str_of(cases[i].target), str_of(cases[i].patch), &out, NULL);
        expect(&out, rc, cases[i].result);
        buf_release(&out);
    }
}

/* The situations of RFC 7396, appendix A, in its order, with our own names and values. */
static void merge_patch_as_the_rfc_wants(void **state)
{
    (void)state;
    static const struct merge_case cases[] = {
        {"{\"q\":\"r\"}", "{\"q\":\"s\"}", "{\"q\":\"s\"}"},
        {"{\"q\":\"r\"}", "{\"s\":\"t\"}", "{\"q\":\"r\",\"s\":\"t\"}"},
        {"{\"q\":\"r\"}", "{\"q\":null}", "{}"},
        {"{\"q\":\"r\",\"s\":\"t\"}", "{\"q\":null}", "{\"s\":\"t\"}"},
        {"{\"q\":[\"r\"]}", "{\"q\":\"s\"}", "{\"q\":\"s\"}"},
        {"{\"q\":\"s\"}", "{\"q\":[\"r\"]}", "{\"q\":[\"r\"]}"},
        {"{\"q\":{\"r\":\"s\"}}", "{\"q\":{\"r\":\"t\",\"s\":null}}", "{\"q\":{\"r\":\"t\"}}"},
        {"{\"q\":[{\"r\":\"s\"}]}", "{\"q\":[7]}", "{\"q\":[7]}"},
        {"[\"q\",\"r\"]", "[\"s\",\"t\"]", "[\"s\",\"t\"]"},
        {"{\"q\":\"r\"}", "[\"s\"]", "[\"s\"]"},
        {"{\"q\":\"bar\"}", "null", "null"},
        {"{\"q\":\"bar\"}", "\"baz\"", "\"baz\""},
        {"{\"v\":null}", "{\"q\":7}", "{\"v\":null,\"q\":7}"},
        {"[3,4]", "{\"q\":\"r\",\"s\":null}", "{\"q\":\"r\"}"},
        {"{}", "{\"q\":{\"rr\":{\"ss\":null}}}", "{\"q\":{\"rr\":{}}}"},
    };
    check_merges(cases, sizeof cases / sizeof *cases);
}

static void merge_patch_keeps_bytes(void **state)
{
    (void)state;
    static const struct merge_case cases[] = {
        {" { \"a\" : 1.0 , \"b\" :2 } \n", "{}", " { \"a\" : 1.0 , \"b\" :2 } \n"},
        {" { \"a\" : 1.0 , \"b\" :2 } \n", "{\"b\":3}", " { \"a\" : 1.0 , \"b\" :3 } \n"},
        {" { \"a\" : 1.0 , \"b\" :2 } \n", "{\"a\":null}", " { \"b\" :2 } \n"},
        {" { \"a\" : 1.0 , \"b\" :2 } \n", "{\"b\":null}", " { \"a\" : 1.0 } \n"},
        {" { \"a\" : 1.0 , \"b\" :2 } \n", "{\"a\":null,\"b\":null}", " {} \n"},
        {" { \"a\" : 1.0 } ", "{\"c\":[ null ]}", " { \"a\" : 1.0, \"c\" : [ null ] } "},
        {"{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}\n", "{\"b\":null}",
         "{\n  \"a\": 1,\n  \"c\": 3\n}\n"},
        {"{\n  \"a\": 1,\n  \"b\": 2\n}\n", "{\"b\":null}", "{\n  \"a\": 1\n}\n"},
        {"{\n  \"a\": 1,\n  \"b\": 2\n}\n", "{\"c\":3}",
         "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}\n"},
        {"{\n  \"a\": {\n    \"x\": 1\n  }\n}\n", "{\"a\":{\"y\":2}}",
         "{\n  \"a\": {\n    \"x\": 1,\n    \"y\": 2\n  }\n}\n"},
        {"{ }", "{\"a\":1}", "{\"a\":1}"},
        {"{\"\\u0061\":1}", "{\"a\":2}", "{\"\\u0061\":2}"},
        {"{\"a\":\"\\u0062\"}", "{\"c\":1e5}", "{\"a\":\"\\u0062\",\"c\":1e5}"},
        {"{\"a\":1}", "{\"a\":{\"b\":null,\"c\":{\"d\":null,\"e\":[{\"f\":null}]}}}",
         "{\"a\":{\"c\":{\"e\":[{\"f\":null}]}}}"},
        {"1", " [1, 2] ", "[1, 2]"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "{\"a\":null,\"c\":null,\"d\":null}", "{\"b\":2}"},
    };
    check_merges(cases, sizeof cases / sizeof *cases);
}

static void merge_patch_of_many_members_is_not_quadratic(void **state)
{
    (void)state;
    struct buf target = BUF_INIT, patch = BUF_INIT, out = BUF_INIT, wanted = BUF_INIT;
    for (int i = 0; i < 40000; i++) {
        buf_printf(&target, "%c\"k%d\":%d", i ? ',' : '{', i, i);
        buf_printf(&patch, "%c\"k%d\":%s", i ? ',' : '{', 79999 - i, i % 2 ? "null" : "true");
        buf_printf(&wanted, "%c\"k%d\":%d", i ? ',' : '{', i, i);
    }
    buf_byte(&target, '}');
    buf_byte(&patch, '}');
    for (int i = 0; i < 40000; i += 2)
        buf_printf(&wanted, ",\"k%d\":true", 79999 - i);
    buf_byte(&wanted, '}');
    assert_int_equal(json_merge_patch(buf_view(&target), buf_view(&patch), &out, NULL), KF_OK);
    assert_true(str_eq(buf_view(&wanted), buf_view(&out)));
    buf_release(&target);
    buf_release(&patch);
    buf_release(&out);
    buf_release(&wanted);
}

/* ---------------------------------------------------------------------------------- difference */

#define LONG "\"a text that is long enough to be worth keeping, word by word, over and over\""

static void differences_are_small(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *patch;
    } cases[] = {
        {"{\"a\":1}", "{ \"a\" : 1.0 }", "[]"},
        {"1", "2", "[{\"op\":\"replace\",\"path\":\"\",\"value\":2}]"},
        {"{\"a\":" LONG ",\"b\":1}", "{\"a\":" LONG ",\"b\":2}",
         "[{\"op\":\"replace\",\"path\":\"/b\",\"value\":2}]"},
        {"{\"a\":" LONG ",\"b\":1}", "{\"a\":" LONG "}", "[{\"op\":\"remove\",\"path\":\"/b\"}]"},
        {"{\"a\":" LONG "}", "{\"c\":{ \"x\": 1.0 },\"a\":" LONG "}",
         "[{\"op\":\"add\",\"path\":\"/c\",\"value\":{\"x\":1.0}}]"},
        {"{\"a\":" LONG ",\"x/y~z\\\"\":[1]}", "{\"a\":" LONG ",\"x/y~z\\\"\":[2]}",
         "[{\"op\":\"replace\",\"path\":\"/x~1y~0z\\\"/0\",\"value\":2}]"},
        {"[" LONG "," LONG ",1,2,3]", "[" LONG "," LONG ",2,3]",
         "[{\"op\":\"remove\",\"path\":\"/2\"}]"},
        {"[" LONG ",1,2,3]", "[0," LONG ",1,2,3,4]",
         "[{\"op\":\"add\",\"path\":\"/0\",\"value\":0},{\"op\":\"add\",\"path\":\"/"
         "5\",\"value\":4}]"},
        {"[{\"id\":1,\"t\":" LONG "},{\"id\":2,\"t\":" LONG "}]",
         "[{\"id\":1,\"t\":" LONG "},{\"id\":3,\"t\":" LONG "}]",
         "[{\"op\":\"replace\",\"path\":\"/1/id\",\"value\":3}]"},
        {"{\"a\":[1,2,3]}", "{\"a\":[4,5,6]}",
         "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":[4,5,6]}]"},
        {"{\"a\":{}}", "{\"a\":[]}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":[]}]"},
        {"{\"\":" LONG ",\"b\":{\"\":1}}", "{\"\":" LONG ",\"b\":{}}",
         "[{\"op\":\"remove\",\"path\":\"/b/\"}]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = BUF_INIT, result = BUF_INIT;
        kf_rc rc = json_diff(str_of(cases[i].from), str_of(cases[i].to), &out, NULL);
        expect(&out, rc, cases[i].patch);
        bool same = false;
        assert_true(patch_apply(str_of(cases[i].from), buf_view(&out), &result));
        assert_int_equal(json_same(buf_view(&result), str_of(cases[i].to), &same, NULL), KF_OK);
        assert_true(same);
        buf_release(&out);
        buf_release(&result);
    }
}

/* xorshift: the same documents in every run. */
static uint64_t chance(uint64_t *seed, uint64_t below)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed % below;
}

/* A value out of few, so that documents share parts. */
static void put_random(struct buf *b, uint64_t *seed, int depth)
{
    static const char *const names[] = {"a", "b", "c/d", "e~f", "\\u0061b", "\\\"", "", "\xC5\xBC"};
    static const char *const scalars[] = {"1",     "1.0",         "null",   "true",
                                          "\"x\"", "\"\\u0078\"", "-2.5e3", LONG};
    uint64_t kind = chance(seed, depth > 4 ? 4 : 8);
    if (kind < 4) {
        buf_c(b, scalars[chance(seed, 8)]);
        return;
    }
    bool object = kind < 6;
    buf_byte(b, object ? '{' : '[');
    uint64_t taken = 0;
    for (uint64_t i = 0, n = chance(seed, 7), any = 0; i < n; i++) {
        uint64_t name = chance(seed, 8);
        if (object && (taken >> name & 1))
            continue;
        taken |= UINT64_C(1) << name;
        buf_c(b, any++ ? ", " : "");
        if (object)
            buf_printf(b, "\"%s\": ", names[name]);
        put_random(b, seed, depth + 1);
    }
    buf_byte(b, object ? '}' : ']');
}

static void differences_lead_from_one_to_the_other(void **state)
{
    (void)state;
    uint64_t seed = 20240607;
    struct buf from = BUF_INIT, to = BUF_INIT, patch = BUF_INIT, result = BUF_INIT;
    for (int round = 0; round < 4000; round++) {
        buf_clear(&from);
        buf_clear(&to);
        buf_clear(&patch);
        buf_clear(&result);
        put_random(&from, &seed, 0);
        put_random(&to, &seed, 0);
        assert_int_equal(json_diff(buf_view(&from), buf_view(&to), &patch, NULL), KF_OK);
        bool same = false, equal = false;
        if (!patch_apply(buf_view(&from), buf_view(&patch), &result))
            fail_msg("%s to %s: %s does not apply", from.p, to.p, patch.p);
        assert_int_equal(json_same(buf_view(&result), buf_view(&to), &same, NULL), KF_OK);
        if (!same)
            fail_msg("%s to %s: %s makes %s", from.p, to.p, patch.p, result.p);
        assert_int_equal(json_same(buf_view(&from), buf_view(&to), &equal, NULL), KF_OK);
        assert_int_equal(equal, str_is(buf_view(&patch), "[]"));
    }
    buf_release(&from);
    buf_release(&to);
    buf_release(&patch);
    buf_release(&result);
}

/* Every random value is a merge patch, too: the result has the value that the oracle finds. */
static void merge_patches_agree_with_the_oracle(void **state)
{
    (void)state;
    uint64_t seed = 7396;
    struct buf target = BUF_INIT, patch = BUF_INIT, result = BUF_INIT, wanted = BUF_INIT;
    for (int round = 0; round < 4000; round++) {
        buf_clear(&target);
        buf_clear(&patch);
        buf_clear(&result);
        buf_clear(&wanted);
        put_random(&target, &seed, 0);
        put_random(&patch, &seed, 0);
        assert_int_equal(json_merge_patch(buf_view(&target), buf_view(&patch), &result, NULL),
                         KF_OK);
        assert_true(patch_merge(buf_view(&target), buf_view(&patch), &wanted));
        bool same = false;
        assert_int_equal(json_same(buf_view(&result), buf_view(&wanted), &same, NULL), KF_OK);
        if (!same)
            fail_msg("%s with %s: %s instead of %s", target.p, patch.p, result.p, wanted.p);
    }
    buf_release(&target);
    buf_release(&patch);
    buf_release(&result);
    buf_release(&wanted);
}

/* Arrays too large for the table, and a long name that would stand in many paths. */
static void differences_stay_bounded(void **state)
{
    (void)state;
    struct buf from = BUF_INIT, to = BUF_INIT, patch = BUF_INIT, result = BUF_INIT;
    buf_c(&from, "{\"");
    for (int i = 0; i < 50000; i++)
        buf_c(&from, "name");
    buf_c(&from, "\":[");
    buf_str(&to, buf_view(&from));
    for (int i = 0; i < 9000; i++) {
        buf_printf(&from, "%s%d", i ? "," : "", i);
        buf_printf(&to, "%s%d", i ? "," : "", i * 3);
    }
    buf_c(&from, "]}");
    buf_c(&to, "]}");
    assert_int_equal(json_diff(buf_view(&from), buf_view(&to), &patch, NULL), KF_OK);
    assert_true(patch.len <= to.len + 100);
    bool same = false;
    assert_true(patch_apply(buf_view(&from), buf_view(&patch), &result));
    assert_int_equal(json_same(buf_view(&result), buf_view(&to), &same, NULL), KF_OK);
    assert_true(same);
    buf_release(&from);
    buf_release(&to);
    buf_release(&patch);
    buf_release(&result);
}

/* ------------------------------------------------------------------------------------- memory */

static bool fail_hook(void *ctx, size_t size)
{
    (void)size;
    size_t *left = ctx;
    return *left > 0 && (*left)--;
}

#define FROM "{\"b\":[1,2,3,{\"x\":" LONG "}],\"a\\u0061\":1e999999999999999999999,\"n\":{\"m\":1}}"
#define TO \
    "{\"b\":[1,3,{\"x\":" LONG ",\"y\":2}],\"z\":[10e999999999999999999999],\"n\":{\"m\":null}}"

static kf_rc run_form(int form, struct buf *out, struct kf_err *err)
{
    bool same;
    switch (form) {
    case 0: return json_canonical(STR(FROM), out, err);
    case 1: return json_pretty(STR(FROM), out, err);
    case 2: return json_merge_patch(STR(FROM), STR(TO), out, err);
    case 3: return json_diff(STR(FROM), STR(TO), out, err);
    case 4: return json_same(STR(FROM), STR(TO), &same, err);
    default: return json_compact(STR(FROM), out, err);
    }
}

/* Whatever allocation fails, the answer is KF_NOMEM and what was there before is as it was. */
static void every_failed_allocation_is_nomem(void **state)
{
    (void)state;
    for (int form = 0; form < 6; form++) {
        kf_rc rc = KF_NOMEM;
        for (size_t n = 0; rc != KF_OK; n++) {
            assert_true(n < 1000);
            struct buf out = BUF_INIT;
            struct kf_err err = KF_ERR_INIT;
            buf_c(&out, "before");
            size_t left = n;
            mem_set_hook(fail_hook, &left);
            rc = run_form(form, &out, &err);
            mem_set_hook(NULL, NULL);
            assert_true(rc == KF_OK || rc == KF_NOMEM);
            if (rc == KF_NOMEM)
                assert_string_equal(out.p, "before");
            buf_release(&out);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_vectors),
        cmocka_unit_test(same_compares_values),
        cmocka_unit_test(pretty_and_compact),
        cmocka_unit_test(merge_patch_as_the_rfc_wants),
        cmocka_unit_test(merge_patch_keeps_bytes),
        cmocka_unit_test(merge_patch_of_many_members_is_not_quadratic),
        cmocka_unit_test(differences_are_small),
        cmocka_unit_test(differences_lead_from_one_to_the_other),
        cmocka_unit_test(merge_patches_agree_with_the_oracle),
        cmocka_unit_test(differences_stay_bounded),
        cmocka_unit_test(every_failed_allocation_is_nomem),
    };
    return cmocka_run_group_tests_name("json_forms", tests, NULL, NULL);
}
