/* Schemas: what fits, what does not and where. */
#include "base/json_schema.h"

#include "base/buf.h"
#include "base/mem.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct json_schema *schema_of(const char *text)
{
    struct json_schema *s = NULL;
    struct kf_err err = KF_ERR_INIT;
    if (json_schema_new(str_of(text), &s, &err) != KF_OK)
        fail_msg("schema %s: %s", text, err.detail);
    return s;
}

struct fit {
    const char *schema, *document;
    const char *where; /* NULL = it fits; else the JSON Pointer */
    const char *expected;
};

static bool fit_holds(const struct fit *f)
{
    struct json_schema *s = schema_of(f->schema);
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = json_schema_check(s, str_of(f->document), &err);
    json_schema_free(s);
    char wanted[300] = "";
    if (f->where)
        (void)snprintf(wanted, sizeof wanted, "at \"%s\": expected %s, found", f->where,
                       f->expected);
    bool good = f->where ? rc == KF_INVALID && strcmp(err.code, "schema") == 0 &&
                               str_starts(str_of(err.detail), str_of(wanted))
                         : rc == KF_OK;
    if (!good)
        printf("# %s against %s: expected %s, got %d %s\n", f->document, f->schema,
               f->where ? wanted : "a fit", rc, err.detail);
    return good;
}

static void check_all(const struct fit *fits, size_t count)
{
    size_t failed = 0;
    for (size_t i = 0; i < count; i++)
        failed += !fit_holds(&fits[i]);
    assert_int_equal(failed, 0);
}

#define CHECK_ALL(fits) check_all(fits, sizeof(fits) / sizeof *(fits))

static void types(void **state)
{
    (void)state;
    static const struct fit fits[] = {
        {"{}", "[1,null]", NULL, NULL},
        {"true", "{}", NULL, NULL},
        {"false", "{}", "", "nothing"},
        {"{\"type\":\"object\"}", "{}", NULL, NULL},
        {"{\"type\":\"object\"}", "[]", "", "an object"},
        {"{\"type\":[\"string\",\"null\"]}", "null", NULL, NULL},
        {"{\"type\":[\"string\",\"null\"]}", "\"a\"", NULL, NULL},
        {"{\"type\":[\"string\",\"null\"]}", "1", "", "null or a string"},
        {"{\"type\":[\"string\",\"null\",\"array\"]}", "1", "", "null, a string or an array"},
        {"{\"type\":\"boolean\"}", "false", NULL, NULL},
        {"{\"type\":\"boolean\"}", "true", NULL, NULL},
        {"{\"type\":\"boolean\"}", "0", "", "true or false"},
        {"{\"type\":\"number\"}", "1.5", NULL, NULL},
        {"{\"type\":\"number\"}", "7", NULL, NULL},
        {"{\"type\":\"integer\"}", "7", NULL, NULL},
        {"{\"type\":\"integer\"}", "7.0", NULL, NULL},
        {"{\"type\":\"integer\"}", "70e-1", NULL, NULL},
        {"{\"type\":\"integer\"}", "-0.0", NULL, NULL},
        {"{\"type\":\"integer\"}", "1e999999999999999999999", NULL, NULL},
        {"{\"type\":\"integer\"}", "1e-999999999999999999999", "", "a whole number"},
        {"{\"type\":\"integer\"}", "7.5", "", "a whole number"},
        {"{\"type\":\"integer\"}", "75e-1", "", "a whole number"},
        {"{\"type\":\"integer\"}", "99999999999999999999999.0000000000001", "", "a whole number"},
        {"{\"type\":[\"integer\",\"number\"]}", "\"1\"", "", "a number"},
    };
    CHECK_ALL(fits);
}

static void objects(void **state)
{
    (void)state;
    const char *person = "{\"type\":\"object\",\"required\":[\"name\",\"a/b~\"],\"properties\":{"
                         "\"name\":{\"type\":\"string\"},\"a/b~\":{\"type\":\"array\",\"items\":{"
                         "\"type\":\"object\",\"additionalProperties\":{\"type\":\"number\"}}}}}";
    const char *closed = "{\"properties\":{\"a\":true,\"b\":false},\"additionalProperties\":false}";
    const struct fit fits[] = {
        {person, "{\"name\":\"x\",\"a/b~\":[],\"more\":1}", NULL, NULL},
        {person, "{\"n\\u0061me\":\"x\",\"a\\/b~\":[{\"q\":1}]}", NULL, NULL},
        {person, "{\"name\":\"x\"}", "", "a member \"a/b~\""},
        {person, "{\"name\":1,\"a/b~\":[]}", "/name", "a string"},
        {person, "{\"name\":\"x\",\"a/b~\":[{},{\"q\":1,\"r\":null}]}", "/a~1b~0/1/r", "a number"},
        {closed, "{}", NULL, NULL},
        {closed, "{\"a\":[]}", NULL, NULL},
        {closed, "{\"b\":[]}", "/b", "no member of this name"},
        {closed, "{\"a\":1,\"c\":2}", "/c", "no member of this name"},
        {closed, "[1]", NULL, NULL},
        {"{\"required\":[\"a\"]}", "\"not an object\"", NULL, NULL},
        {"{\"additionalProperties\":true}", "{\"x\":1}", NULL, NULL},
        {"{\"items\":false}", "[]", NULL, NULL},
        {"{\"items\":false}", "[1]", "/0", "nothing"},
        {"{\"items\":{\"items\":{\"type\":\"null\"}}}", "[[],[null],[null,1]]", "/2/1", "null"},
    };
    CHECK_ALL(fits);
}

static void values(void **state)
{
    (void)state;
    static const struct fit fits[] = {
        {"{\"enum\":[\"a\",1,null,{\"x\":[1.0]}]}", "\"\\u0061\"", NULL, NULL},
        {"{\"enum\":[\"a\",1,null,{\"x\":[1.0]}]}", "1.00", NULL, NULL},
        {"{\"enum\":[\"a\",1,null,{\"x\":[1.0]}]}", "{ \"x\": [10e-1] }", NULL, NULL},
        {"{\"enum\":[\"a\",1,null]}", "\"b\"", "", "one of \"a\", 1, null"},
        {"{\"enum\":[0.1]}", "0.1000000000000000055511151231257827", "", "1e-1"},
        {"{\"const\":{\"b\":1,\"a\":2}}", "{\"a\":2,\"b\":1}", NULL, NULL},
        {"{\"const\":false}", "0", "", "false"},
        {"{\"const\":null}", "null", NULL, NULL},
        {"{\"const\":1,\"enum\":[1,2]}", "2", "", "1"},
    };
    CHECK_ALL(fits);
}

static void numbers_are_exact(void **state)
{
    (void)state;
    static const struct fit fits[] = {
        {"{\"minimum\":0.1}", "0.1", NULL, NULL},
        {"{\"minimum\":0.1}", "0.10000000000000000000000000001", NULL, NULL},
        {"{\"minimum\":0.1}", "0.09999999999999999999999999999", "", "a number of at least 0.1"},
        {"{\"maximum\":9007199254740993}", "9007199254740992", NULL, NULL},
        {"{\"maximum\":9007199254740992}", "9007199254740993", "",
         "a number of at most 9007199254740992"},
        {"{\"minimum\":-5,\"maximum\":5}", "-5.0", NULL, NULL},
        {"{\"minimum\":-5,\"maximum\":5}", "5e0", NULL, NULL},
        {"{\"minimum\":-5,\"maximum\":5}", "-5.1", "", "a number of at least -5"},
        {"{\"minimum\":-5,\"maximum\":5}", "50e-1", NULL, NULL},
        {"{\"minimum\":-5,\"maximum\":5}", "51e-1", "", "a number of at most 5"},
        {"{\"minimum\":0}", "-0", NULL, NULL},
        {"{\"minimum\":0}", "-1e-400", "", "a number of at least 0"},
        {"{\"maximum\":0}", "1e-400", "", "a number of at most 0"},
        {"{\"maximum\":1e400}", "1e399", NULL, NULL},
        {"{\"maximum\":1e400}", "1.1e400", "", "a number of at most 1e400"},
        {"{\"maximum\":1e100000000000000000}", "1000e99999999999999997", NULL, NULL},
        {"{\"maximum\":1e100000000000000000}", "1001e99999999999999997", "",
         "a number of at most 1e100000000000000000"},
        {"{\"minimum\":-1e100000000000000000}", "-1001e99999999999999997", "",
         "a number of at least -1e100000000000000000"},
        {"{\"minimum\":1e-100000000000000000}", "0.001e-99999999999999997", NULL, NULL},
        {"{\"minimum\":1e-100000000000000000}", "0.00099e-99999999999999997", "",
         "a number of at least 1e-100000000000000000"},
        {"{\"minimum\":12}", "1.2e1", NULL, NULL},
        {"{\"minimum\":12}", "11.99", "", "a number of at least 12"},
        {"{\"minimum\":12}", "\"1\"", NULL, NULL},
    };
    CHECK_ALL(fits);
}

static void texts(void **state)
{
    (void)state;
    static const struct fit fits[] = {
        {"{\"minLength\":2,\"maxLength\":3}", "\"ab\"", NULL, NULL},
        {"{\"minLength\":2,\"maxLength\":3}", "\"a\"", "", "a text of at least 2 characters"},
        {"{\"minLength\":2,\"maxLength\":3}", "\"abcd\"", "", "a text of at most 3 characters"},
        {"{\"maxLength\":3}", "\"\xC5\xBC\xE2\x82\xAC\xF0\x9F\x98\x80\"", NULL, NULL},
        {"{\"maxLength\":3}", "\"\\ud83d\\ude00\\u0061b\"", NULL, NULL},
        {"{\"maxLength\":0}", "\"\"", NULL, NULL},
        {"{\"minLength\":1}", "[]", NULL, NULL},
        {"{\"pattern\":\"b+\"}", "\"abbc\"", NULL, NULL},
        {"{\"pattern\":\"^b+$\"}", "\"abbc\"", "", "a text that fits the pattern \"^b+$\""},
        {"{\"pattern\":\"^b+$\"}", "\"bb\\n\"", "", "a text that fits the pattern \"^b+$\""},
        {"{\"pattern\":\"^\\\\d{4}-\\\\d\\\\d$\"}", "\"2024-07\"", NULL, NULL},
        {"{\"pattern\":\"^\\\\d$\"}", "\"\xD9\xA3\"", "",
         "a text that fits the pattern \"^\\\\d$\""},
        {"{\"pattern\":\"^\\\\u0142.$\"}", "\"\xC5\x82\xF0\x9F\x98\x80\"", NULL, NULL},
        {"{\"pattern\":\"^a|b$\"}", "\"xb\"", NULL, NULL},
        {"{\"pattern\":\"^\\\\p{Lu}\"}", "\"\xC5\x81\"", NULL, NULL},
        {"{\"pattern\":\"^.$\"}", "\"\\u0000\"", NULL, NULL},
        {"{\"pattern\":\"\"}", "\"\"", NULL, NULL},
        {"{\"pattern\":\"x\"}", "7", NULL, NULL},
    };
    CHECK_ALL(fits);
}

static void annotations_have_no_effect(void **state)
{
    (void)state;
    static const struct fit fits[] = {
        {"{\"$schema\":\"https://json-schema.org/draft/2020-12/"
         "schema\",\"$comment\":\"c\",\"title\":\"t\","
         "\"description\":\"d\",\"default\":{\"type\":1},\"examples\":[{\"oneOf\":1}]}",
         "17", NULL, NULL},
    };
    CHECK_ALL(fits);
}

static void wrong_schemas_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *detail;
    } cases[] = {
        {"{\"oneOf\":[]}", "at \"/oneOf\": this keyword is not supported"},
        {"{\"properties\":{\"a\":{\"items\":{\"format\":\"date\"}}}}",
         "at \"/properties/a/items/format\": this keyword is not supported"},
        {"{\"Type\":\"string\"}", "at \"/Type\": this keyword"},
        {"{\"type\":\"text\"}", "at \"/type\": a type is null, boolean"},
        {"{\"type\":[]}", "at \"/type\": name at least one"},
        {"{\"type\":[1]}", "at \"/type\": a type is"},
        {"{\"type\":null}", "at \"/type\": a type is"},
        {"{\"properties\":[]}", "at \"/properties\": properties is an object"},
        {"{\"properties\":{\"x\":1}}",
         "at \"/properties/x\": a schema is an object, true or false"},
        {"{\"required\":\"a\"}", "at \"/required\": required is an array"},
        {"{\"required\":[1]}", "at \"/required\": required is an array"},
        {"{\"items\":[{}]}", "at \"/items\": a schema is"},
        {"{\"enum\":[]}", "at \"/enum\": enum is an array of at least one"},
        {"{\"enum\":1}", "at \"/enum\": enum is an array"},
        {"{\"minimum\":\"1\"}", "at \"/minimum\": a bound is a number"},
        {"{\"minLength\":-1}", "at \"/minLength\": a length is a whole number"},
        {"{\"maxLength\":1.5}", "at \"/maxLength\": a length is a whole number"},
        {"{\"pattern\":7}", "at \"/pattern\": pattern is a string"},
        {"{\"pattern\":\"a(\"}", "at \"/pattern\": the pattern is wrong at its byte 2"},
        {"{\"pattern\":\"a)|(b\"}", "at \"/pattern\": the pattern is wrong at its byte"},
        {"{\"title\":7}", "at \"/title\": this annotation is a string"},
        {"{\"examples\":7}", "at \"/examples\": examples is an array"},
        {"[]", "at \"\": a schema is"},
        {"{\"type\":\"string\"", "schema: byte 16"},
        {"{\"type\":\"string\",\"type\":\"number\"}", "two members of the name \"type\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_schema *s = NULL;
        struct kf_err err = KF_ERR_INIT;
        assert_int_equal(json_schema_new(str_of(cases[i].schema), &s, &err), KF_CONFIG);
        assert_null(s);
        assert_string_equal(err.code, "config");
        if (!strstr(err.detail, cases[i].detail))
            fail_msg("%s: %s", cases[i].schema, err.detail);
    }
}

static void misfits_have_offsets(void **state)
{
    (void)state;
    struct kf_err err;
    struct json_schema *s = schema_of("{\"items\":{\"type\":\"number\"},\"type\":\"array\"}");
    assert_int_equal(json_schema_check(s, STR(" [1, \"x\",2]"), &err), KF_INVALID);
    assert_int_equal(err.offset, 5);
    assert_string_equal(
        err.detail, "at \"/1\": expected a number, found \"x\"; correct the value, or the schema");
    assert_int_equal(err.exit_code, 11);
    assert_int_equal(json_schema_check(s, STR("[1,"), &err), KF_INVALID);
    assert_string_equal(err.code, "bad_json");
    assert_int_equal(err.offset, 3);
    json_schema_free(s);
    json_schema_free(NULL);
}

/* Long names and values, line breaks in them: one line of UTF-8 that fits. */
static void sentences_stay_in_form(void **state)
{
    (void)state;
    struct json_schema *s = schema_of(
        "{\"additionalProperties\":{\"additionalProperties\":{\"type\":\"null\"}}}");
    struct buf b = BUF_INIT;
    struct kf_err err;
    for (int shift = 0; shift < 4; shift++) {
        buf_clear(&b);
        buf_c(&b, "{\"\\n");
        for (int i = 0; i < shift; i++)
            buf_byte(&b, 'x');
        for (int i = 0; i < 200; i++)
            buf_c(&b, "\xF0\x9F\x98\x80");
        buf_c(&b, "\":{\"b\":\"");
        for (int i = 0; i < 200; i++)
            buf_c(&b, "\xC5\xBC");
        buf_c(&b, "\"}}");
        assert_int_equal(json_schema_check(s, buf_view(&b), &err), KF_INVALID);
        str detail = str_of(err.detail);
        assert_int_equal(str_utf8_valid(detail), detail.len);
        assert_int_equal(str_index(detail, '\n'), detail.len);
        assert_non_null(strstr(err.detail, "/\\u000a"));
        assert_non_null(strstr(err.detail, "correct the value"));
    }
    buf_release(&b);
    json_schema_free(s);
}

/* Patterns that would run for years end soon, and say so. */
static void patterns_end(void **state)
{
    (void)state;
    static const char *const patterns[] = {"(a*)*c", "(a|aa)+$", "^(([a-z])+.)+[A-Z]([a-z])+$",
                                           "a*a*a*a*b"};
    struct buf b = BUF_INIT;
    buf_byte(&b, '"');
    for (int i = 0; i < 200000; i++)
        buf_byte(&b, 'a');
    buf_c(&b, "!\"");
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "{\"pattern\":\"%s\"}", patterns[i]);
        struct json_schema *s = schema_of(text);
        struct kf_err err = KF_ERR_INIT;
        assert_int_equal(json_schema_check(s, buf_view(&b), &err), KF_INVALID);
        assert_string_equal(err.code, "schema");
        json_schema_free(s);
    }
    /* A pattern that decides early costs nothing of note, however many texts there are. */
    struct json_schema *s = schema_of("{\"items\":{\"pattern\":\"a!?\"}}");
    buf_clear(&b);
    buf_byte(&b, '[');
    for (int i = 0; i < 90000; i++)
        buf_c(&b, "\"xxxxxxxxxxxxxxxxxxxxa\",");
    buf_c(&b, "\"a\"]");
    assert_int_equal(json_schema_check(s, buf_view(&b), NULL), KF_OK);
    json_schema_free(s);
    buf_release(&b);
}

#define EVERYTHING                                                                                \
    "{\"type\":\"object\",\"required\":[\"a\",\"b\"],\"properties\":{\"a\":{\"enum\":[1,\"x\"]}," \
    "\"b\":{\"type\":\"array\",\"items\":{\"pattern\":\"^[a-z]+$\",\"maxLength\":9}},"            \
    "\"c\":{\"minimum\":1e99999999999999999999,\"const\":1e99999999999999999999}},"               \
    "\"additionalProperties\":{\"type\":\"integer\"}}"
#define FITTING \
    "{\"a\":1.0,\"b\":[\"abc\",\"d\\u0065f\"],\"c\":10e99999999999999999998,\"d\":70e-1}"
#define MISFIT "{\"a\":1.0,\"b\":[\"abc\",\"d\\u0065f\",\"\xC5\xBC\"]}"

static bool fail_hook(void *ctx, size_t size)
{
    (void)size;
    size_t *left = ctx;
    return *left > 0 && (*left)--;
}

static void every_failed_allocation_is_nomem(void **state)
{
    (void)state;
    size_t n = 0;
    for (bool done = false; !done; n++) {
        assert_true(n < 1000);
        size_t left = n;
        struct json_schema *s = NULL;
        struct kf_err err = KF_ERR_INIT;
        kf_rc fits = KF_NOMEM, misfits = KF_NOMEM;
        mem_set_hook(fail_hook, &left);
        kf_rc rc = json_schema_new(STR(EVERYTHING), &s, &err);
        mem_set_hook(NULL, NULL);
        assert_true(rc == KF_OK || rc == KF_NOMEM);
        if (rc != KF_OK)
            s = schema_of(EVERYTHING);
        left = n;
        mem_set_hook(fail_hook, &left);
        fits = json_schema_check(s, STR(FITTING), &err);
        left = n;
        misfits = json_schema_check(s, STR(MISFIT), &err);
        mem_set_hook(NULL, NULL);
        assert_true(fits == KF_OK || fits == KF_NOMEM);
        assert_true(misfits == KF_INVALID || misfits == KF_NOMEM);
        done = rc == KF_OK && fits == KF_OK && misfits == KF_INVALID;
        json_schema_free(s);
    }
    assert_true(n > 10);
}

static void *check_often(void *schema)
{
    for (int i = 0; i < 300; i++) {
        if (json_schema_check(schema, STR(FITTING), NULL) != KF_OK ||
            json_schema_check(schema, STR(MISFIT), NULL) != KF_INVALID)
            return NULL;
    }
    return schema;
}

static void threads_share_a_schema(void **state)
{
    (void)state;
    struct json_schema *s = schema_of(EVERYTHING);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, check_often, s), 0);
    for (int i = 0; i < 4; i++) {
        void *ret;
        assert_int_equal(pthread_join(threads[i], &ret), 0);
        assert_ptr_equal(ret, s);
    }
    json_schema_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types),
        cmocka_unit_test(objects),
        cmocka_unit_test(values),
        cmocka_unit_test(numbers_are_exact),
        cmocka_unit_test(texts),
        cmocka_unit_test(annotations_have_no_effect),
        cmocka_unit_test(wrong_schemas_are_refused),
        cmocka_unit_test(misfits_have_offsets),
        cmocka_unit_test(sentences_stay_in_form),
        cmocka_unit_test(patterns_end),
        cmocka_unit_test(every_failed_allocation_is_nomem),
        cmocka_unit_test(threads_share_a_schema),
    };
    return cmocka_run_group_tests_name("json_schema", tests, NULL, NULL);
}
