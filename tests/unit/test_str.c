#include "testing.h"

#include "base/str.h"

#include <string.h>

static void order_is_that_of_bytes(void **state)
{
    static const char *const sorted[] = {"", "A", "a", "a!", "aa", "ab", "b", "\xC3\xA9", "\xFF"};
    (void)state;
    for (int i = 0; i < 9; i++)
        for (int k = 0; k < 9; k++) {
            int order = str_cmp(str_of(sorted[i]), str_of(sorted[k]));
            assert_true(i < k ? order < 0 : i > k ? order > 0 : order == 0);
            assert_true(str_eq(str_of(sorted[i]), str_of(sorted[k])) == (i == k));
        }
    assert_true(str_eq(str_of(NULL), STR("")));
    assert_int_equal(str_cmp(str_of(NULL), STR("")), 0);
}

static void parts(void **state)
{
    (void)state;
    assert_true(str_starts(STR("abc"), STR("ab")) && str_starts(STR("abc"), STR("")));
    assert_false(str_starts(STR("ab"), STR("abc")) || str_starts(STR("abc"), STR("b")));
    assert_true(str_ends(STR("abc"), STR("bc")) && str_ends(STR("abc"), STR("")));
    assert_false(str_ends(STR("bc"), STR("abc")) || str_ends(STR("abc"), STR("b")));
    assert_true(str_is(str_from(STR("abc"), 1), "bc"));
    assert_true(str_is(str_from(STR("abc"), 3), "") && str_is(str_from(STR("abc"), 9), ""));
    assert_int_equal(str_from(str_of(NULL), 0).len, 0);
    assert_int_equal(str_index(STR("a=b"), '='), 1);
    assert_int_equal(str_index(STR("abc"), '='), 3);
    assert_int_equal(str_index(str_of(NULL), '='), 0);
    assert_true(str_is(str_trim(STR(" \ta b\t ")), "a b"));
    assert_true(str_is(str_trim(STR(" \t ")), "") && str_is(str_trim(STR("\n")), "\n"));
    assert_true(str_eq_nocase(STR("Content-TYPE"), STR("content-type")));
    assert_false(str_eq_nocase(STR("a"), STR("ab")) || str_eq_nocase(STR("@["), STR("`{")));
    assert_false(str_eq_nocase(STR("\xC4"), STR("\xE4"))); /* ASCII alone */
    assert_true(str_has(STR("abcabd"), "abd"));
    assert_true(str_has(STR("a"), "a"));
    assert_true(str_has(STR("a"), ""));
    assert_false(str_has(STR("ab"), "abc"));
    assert_false(str_has((str){NULL, 0}, "a"));
    assert_true(str_has((str){NULL, 0}, ""));
}

static void hex_is_lower_case_and_of_one_length(void **state)
{
    (void)state;
    assert_true(str_is_hex(STR("0123456789abcdef"), 16) && str_is_hex(STR(""), 0));
    assert_false(str_is_hex(STR("0123456789abcdef"), 15) || str_is_hex(STR("0"), 2));
    for (int c = 0; c < 256; c++) {
        char s[] = {'0', (char)c, 'f'};
        bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        assert_true(str_is_hex(str_make(s, 3), 3) == digit);
    }
}

static void copies_end_with_a_nul(void **state)
{
    char room[8], *at = room;
    (void)state;
    memset(room, '#', sizeof(room));
    str_copy(room, 4, STR("ab"));
    assert_string_equal(room, "ab");
    str_copy(room, 4, STR("abcd"));
    assert_string_equal(room, "abc");
    assert_int_equal(room[4], '#');
    str_copy(room, 1, str_of(NULL));
    assert_string_equal(room, "");
    str first = str_put(&at, STR("abc")), none = str_put(&at, str_of(NULL));
    assert_true(str_is(first, "abc") && first.p == room && first.p[3] == '\0');
    assert_true(none.len == 0 && none.p == room + 4 && *none.p == '\0');
    assert_ptr_equal(at, room + 5);
}

static void numbers(void **state)
{
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      "01",
                                      "00",
                                      " 1",
                                      "1 ",
                                      "1a",
                                      "0x1",
                                      "18446744073709551616",
                                      "99999999999999999999999"};
    uint64_t v = 7;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(str_to_u64(str_of(bad[i]), &v));
    assert_int_equal(v, 7);
    assert_true(str_to_u64(STR("0"), &v) && v == 0);
    assert_true(str_to_u64(STR("18446744073709551615"), &v) && v == UINT64_MAX);
}

/* ------------------------------------------------------------------------------------- UTF-8 */

/* The length of a character by its code, straight from the table of RFC 3629; 0 = no character. */
static size_t encode(uint32_t code, unsigned char out[4])
{
    if (code < 0x80) {
        out[0] = (unsigned char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (unsigned char)(0xC0 | code >> 6);
        out[1] = (unsigned char)(0x80 | (code & 63));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (unsigned char)(0xE0 | code >> 12);
        out[1] = (unsigned char)(0x80 | (code >> 6 & 63));
        out[2] = (unsigned char)(0x80 | (code & 63));
        return 3;
    }
    out[0] = (unsigned char)(0xF0 | code >> 18);
    out[1] = (unsigned char)(0x80 | (code >> 12 & 63));
    out[2] = (unsigned char)(0x80 | (code >> 6 & 63));
    out[3] = (unsigned char)(0x80 | (code & 63));
    return 4;
}

static void every_character_is_judged(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x111000; code++) {
        unsigned char c[4];
        size_t len = encode(code, c);
        bool valid = code < 0x110000 && (code < 0xD800 || code > 0xDFFF);
        assert_int_equal(str_utf8_valid(str_make(c, len)), valid ? len : 0);
        if (len > 1)
            assert_int_equal(str_utf8_valid(str_make(c, len - 1)), 0);
        uint32_t first = 0xFFFFFFFF;
        assert_int_equal(str_utf8_first(str_make(c, len), &first), valid ? len : 0);
        assert_int_equal(first, valid ? code : 0xFFFFFFFF);
    }
}

/* All pairs and, behind a lead byte of three, all triples, against decoding and encoding again. */
static void every_short_run_is_judged(void **state)
{
    (void)state;
    for (unsigned a = 0x80; a < 0x100; a++)
        for (unsigned b = 0; b < 0x100; b++) {
            unsigned char c[2] = {(unsigned char)a, (unsigned char)b};
            bool valid = a >= 0xC2 && a <= 0xDF && (b & 0xC0) == 0x80;
            assert_int_equal(str_utf8_valid(str_make(c, 2)), valid ? 2 : 0);
        }
    for (uint32_t i = 0; i < 0x100000; i++) {
        unsigned char c[3] = {(unsigned char)(0xE0 | i >> 16), (unsigned char)(i >> 8),
                              (unsigned char)i};
        uint32_t code = (c[0] & 15u) << 12 | (c[1] & 63u) << 6 | (c[2] & 63u);
        unsigned char again[4];
        bool valid = encode(code, again) == 3 && memcmp(again, c, 3) == 0 &&
                     (code < 0xD800 || code > 0xDFFF);
        assert_int_equal(str_utf8_valid(str_make(c, 3)), valid ? 3 : 0);
    }
}

static void the_valid_part_ends_where_it_does(void **state)
{
    char text[40];
    (void)state;
    for (size_t bad = 0; bad < sizeof(text); bad++) {
        memset(text, 'x', sizeof(text));
        text[bad] = (char)0x80;
        assert_int_equal(str_utf8_valid(str_make(text, sizeof(text))), bad);
    }
    assert_int_equal(str_utf8_valid(STR("\xF0\x80\x80\x80")), 0); /* overlong */
    assert_int_equal(str_utf8_valid(STR("\xF4\x90\x80\x80")), 0); /* above U+10FFFF */
    assert_int_equal(str_utf8_valid(STR("ab\xF0\x9F\x98")), 2);   /* cut */
    assert_int_equal(str_utf8_valid(str_of(NULL)), 0);
    uint32_t first = 7;
    assert_int_equal(str_utf8_first(str_of(NULL), &first), 0);
    assert_int_equal(str_utf8_first(STR("\xF0\x9F\x98"), &first), 0);
    assert_int_equal(first, 7);
    assert_int_equal(str_utf8_first(STR("\xC5\xBCx"), &first), 2);
    assert_int_equal(first, 0x17C);
}

/* -------------------------------------------------------------------------------------- glob */

static void globs(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool match;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"a", "a", true},
        {"*", "", true},
        {"*", "abc", true},
        {"*", "a/b", false},
        {"**", "a/b/c", true},
        {"**", "", true},
        {"***", "a/b", true},
        {"a/*", "a/b", true},
        {"a/*", "a/b/c", false},
        {"a/**", "a/b/c", true},
        {"a/**", "a/", true},
        {"a/**", "a", false},
        {"**/c", "a/b/c", true},
        {"**/c", "c", false},
        {"**.json", "a/b.json", true},
        {"*.json", "a/b.json", false},
        {"*.json", ".json", true},
        {"a*b*c", "aXbYbc", true},
        {"a*b*c", "aXbYbd", false},
        {"a*/b*", "ax/by", true},
        {"*a/**x*y", "ba/c/d/xzzy", true},
        {"**a*/b", "aa/c/aa/b", true},
        {"**a*/b", "aa/c/bb/b", false},
        {"?", "a", true},
        {"?", "", false},
        {"?", "/", false},
        {"?", "\xC5\xBC", true},
        {"??", "\xC5\xBC", false},
        {"a?c",
         "a\xF0\x9F\x98\x80"
         "c",
         true},
        {"?", "\xFF", true},
        {"a.c", "abc", false},
        {"[a]", "a", false},
        {"[a]", "[a]", true},
        {"\\*", "\\x", true},
        {"A", "a", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (str_glob(str_of(cases[i].pattern), str_of(cases[i].name)) != cases[i].match)
            fail_msg("%s on %s", cases[i].pattern, cases[i].name);
}

/* The definition, written as plainly as it can be (and as slow). */
static bool glob_defined(const char *p, const char *n)
{
    if (!*p)
        return !*n;
    if (p[0] == '*' && p[1] == '*')
        return glob_defined(p + 2, n) || (*n && glob_defined(p, n + 1));
    if (p[0] == '*')
        return glob_defined(p + 1, n) || (*n && *n != '/' && glob_defined(p, n + 1));
    if (p[0] == '?')
        return *n && *n != '/' && glob_defined(p + 1, n + 1);
    return *n == *p && glob_defined(p + 1, n + 1);
}

static void globs_agree_with_their_definition(void **state)
{
    uint64_t random = 3;
    size_t matches = 0;
    (void)state;
    for (int i = 0; i < 100000; i++) {
        char pattern[9] = "", name[11] = "";
        size_t p = testing_random(&random) % 9, n = testing_random(&random) % 11;
        for (size_t k = 0; k < p; k++)
            pattern[k] = "ab/**?"[testing_random(&random) % 6];
        for (size_t k = 0; k < n; k++)
            name[k] = "ab/"[testing_random(&random) % 3];
        bool want = glob_defined(pattern, name);
        if (str_glob(str_of(pattern), str_of(name)) != want)
            fail_msg("%s on %s", pattern, name);
        matches += want;
    }
    assert_true(matches > 1000);
}

static void no_glob_is_slow(void **state)
{
    static char pattern[2000], name[STR_GLOB_NAME_MAX + 1];
    (void)state;
    for (size_t i = 0; i + 3 < sizeof(pattern); i += 3)
        memcpy(pattern + i, i % 2 ? "**a" : "a*a", 3);
    pattern[1997] = 'b';
    memset(name, 'a', sizeof(name));
    assert_false(str_glob(str_make(pattern, 1998), str_make(name, STR_GLOB_NAME_MAX - 1)));
    assert_true(str_glob(STR("**a*a*"), str_make(name, STR_GLOB_NAME_MAX)));
    assert_false(str_glob(STR("**"), str_make(name, sizeof(name)))); /* no name is that long */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_that_of_bytes),
        cmocka_unit_test(parts),
        cmocka_unit_test(hex_is_lower_case_and_of_one_length),
        cmocka_unit_test(copies_end_with_a_nul),
        cmocka_unit_test(numbers),
        cmocka_unit_test(every_character_is_judged),
        cmocka_unit_test(every_short_run_is_judged),
        cmocka_unit_test(the_valid_part_ends_where_it_does),
        cmocka_unit_test(globs),
        cmocka_unit_test(globs_agree_with_their_definition),
        cmocka_unit_test(no_glob_is_slow),
    };
    return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
