#include "testing.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static void assert_holds(const struct buf *b, const char *want)
{
    assert_false(b->failed);
    assert_int_equal(b->len, strlen(want));
    assert_string_equal(b->cap ? b->p : "", want);
}

static void it_grows(void **state)
{
    struct buf b = BUF_INIT;
    struct kf_err err;
    (void)state;
    assert_int_equal(buf_view(&b).len, 0);
    buf_add(&b, NULL, 0);
    buf_c(&b, "a");
    buf_str(&b, STR("bc"));
    buf_byte(&b, '-');
    buf_u64(&b, UINT64_MAX);
    buf_byte(&b, ' ');
    buf_i64(&b, INT64_MIN);
    buf_byte(&b, ' ');
    buf_i64(&b, 0);
    buf_hex(&b, "\x00\xAF", 2);
    assert_holds(&b, "abc-18446744073709551615 -9223372036854775808 000af");
    assert_int_equal(buf_ok(&b, &err), KF_OK);
    buf_clear(&b);
    assert_holds(&b, "");
    for (int i = 0; i < 10000; i++)
        buf_byte(&b, (char)('a' + i % 26));
    assert_int_equal(b.len, 10000);
    assert_int_equal(b.p[9999], 'a' + 9999 % 26);
    assert_int_equal(b.p[10000], 0);
    buf_release(&b);
    assert_null(b.p);
}

static void it_prints_any_length(void **state)
{
    struct buf b = BUF_INIT;
    static char text[5000];
    (void)state;
    for (size_t len = 0; len < 300; len++) {
        memset(text, 'x', len);
        text[len] = '\0';
        buf_clear(&b);
        buf_printf(&b, "%s", text);
        assert_holds(&b, text);
    }
    memset(text, 'y', sizeof(text) - 1);
    buf_printf(&b, "%d%s", 12, text);
    assert_int_equal(b.len, 299 + 2 + sizeof(text) - 1);
    buf_release(&b);
}

static void it_writes_json(void **state)
{
    static const struct {
        const char *text, *json;
    } cases[] = {
        {"", "\"\""},
        {"za\xC5\xBC\xC3\xB3\xC5\x82\xC4\x87", "\"za\xC5\xBC\xC3\xB3\xC5\x82\xC4\x87\""},
        {"a\"b\\c/", "\"a\\\"b\\\\c/\""},
        {"\b\f\n\r\t\x01\x1F\x7F", "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7F\""},
        {"a\xFFz\xC3", "\"a\xEF\xBF\xBDz\xEF\xBF\xBD\""},
        {"\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf b = BUF_INIT;
        buf_json_string(&b, str_of(cases[i].text));
        assert_holds(&b, cases[i].json);
        buf_release(&b);
    }
    struct buf b = BUF_INIT;
    buf_json_string(&b, STR("a\0b"));
    assert_holds(&b, "\"a\\u0000b\"");
    buf_release(&b);
}

/* Plain bytes are taken by eight: what is not plain is found wherever it stands. */
static void it_escapes_at_any_place(void **state)
{
    static const struct {
        const char *text, *json;
    } odd[] = {{"\"", "\\\""},      {"\\", "\\\\"},           {"\x1F", "\\u001f"},
               {"\x01", "\\u0001"}, {"\xC3\xB8", "\xC3\xB8"}, {"\xFF", "\xEF\xBF\xBD"},
               {" ", " "},          {"\x7F", "\x7F"}};
    char text[64], want[96];
    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        for (int before = 0; before < 20; before++) {
            struct buf b = BUF_INIT;
            snprintf(text, sizeof text, "%.*s%s!#[]~0123456789", before, "abcdefghijklmnopqrst",
                     odd[i].text);
            snprintf(want, sizeof want, "\"%.*s%s!#[]~0123456789\"", before, "abcdefghijklmnopqrst",
                     odd[i].json);
            buf_json_string(&b, str_of(text));
            assert_holds(&b, want);
            buf_release(&b);
        }
    }
}

static void its_front_goes(void **state)
{
    struct buf b = BUF_INIT;
    (void)state;
    buf_shift(&b, 0);
    buf_c(&b, "abcdef");
    buf_shift(&b, 2);
    assert_holds(&b, "cdef");
    buf_shift(&b, 4);
    assert_holds(&b, "");
    buf_release(&b);
}

static void it_gives_its_bytes(void **state)
{
    struct buf b = BUF_INIT;
    size_t len = 9;
    (void)state;
    char *p = buf_detach(&b, &len);
    assert_string_equal(p, "");
    assert_int_equal(len, 0);
    mem_free(p);
    buf_c(&b, "abc");
    p = buf_detach(&b, NULL);
    assert_string_equal(p, "abc");
    assert_int_equal(b.cap, 0);
    mem_free(p);
}

static kf_rc write_a_document(void *ctx)
{
    struct buf b = BUF_INIT;
    struct kf_err err;
    (void)ctx;
    for (int i = 0; i < 50; i++) {
        buf_json_string(&b, STR("a\nb\xFF"));
        buf_printf(&b, "%080d", i);
        buf_hex(&b, "abc", 3);
        buf_i64(&b, -i);
    }
    kf_rc rc = buf_ok(&b, &err);
    assert_true(rc == KF_OK || strcmp(err.code, "no_memory") == 0);
    char *p = buf_detach(&b, NULL);
    assert_true((p != NULL) == (rc == KF_OK));
    mem_free(p);
    buf_release(&b);
    return rc;
}

static void failure_sticks_until_it_is_asked_for(void **state)
{
    struct buf b = BUF_INIT;
    (void)state;
    assert_true(testing_oom_each(write_a_document, NULL) > 10);
    buf_c(&b, "abc");
    assert_null(buf_room(&b, SIZE_MAX - 1));
    assert_true(b.failed);
    buf_c(&b, "def");
    assert_string_equal(b.p, "abc");
    buf_clear(&b);
    buf_c(&b, "def");
    assert_holds(&b, "def");
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows),
        cmocka_unit_test(it_prints_any_length),
        cmocka_unit_test(it_writes_json),
        cmocka_unit_test(it_escapes_at_any_place),
        cmocka_unit_test(its_front_goes),
        cmocka_unit_test(it_gives_its_bytes),
        cmocka_unit_test(failure_sticks_until_it_is_asked_for),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
