#include "testing.h"

#include "base/hash.h"

#include <string.h>

static int setup(void **state)
{
    (void)state;
    return hash_init() == 0 && hash_init() == 0 ? 0 : -1; /* twice does no harm */
}

/* BLAKE2b with 32 bytes and no key; figures from Python's hashlib.blake2b(..., digest_size=32). */
static void known_hashes(void **state)
{
    static const struct {
        str bytes;
        const char *hex;
    } cases[] = {
        {{"", 0}, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"},
        {{"abc", 3}, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"},
        {{"The quick brown fox jumps over the lazy dog", 43},
         "01718cec35cd3d796dd00020e0bfecb473ad23457d063b75eff29c0ffa2e58a9"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hash h, again;
        char hex[HASH_HEX + 1];
        hash_of(cases[i].bytes, &h);
        hash_hex(&h, hex);
        assert_string_equal(hex, cases[i].hex);
        assert_true(hash_parse(str_of(hex), &again));
        assert_true(hash_eq(&h, &again));
    }
    /* 0, 1, ... 255, 0, 1, ...: longer than several blocks */
    unsigned char bytes[1000];
    char hex[HASH_HEX + 1];
    struct hash h;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)i;
    hash_of(str_make(bytes, sizeof(bytes)), &h);
    hash_hex(&h, hex);
    assert_string_equal(hex, "c636324d47d89f2b2434dc2c994100663fbbaea880ff020fc5de89dd0f77a1ec");
}

static void pieces_make_the_whole(void **state)
{
    char text[700];
    struct hash whole, pieces, fork;
    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i * 7);
    hash_of(str_make(text, sizeof(text)), &whole);
    for (size_t cut = 0; cut <= sizeof(text); cut += 13) {
        struct hash_state s, copy;
        hash_begin(&s);
        hash_add(&s, str_make(text, cut));
        copy = s;
        hash_add(&s, str_make(text + cut, sizeof(text) - cut));
        hash_end(&s, &pieces);
        assert_true(hash_eq(&whole, &pieces));
        hash_end(&copy, &fork);
        hash_of(str_make(text, cut), &pieces);
        assert_true(hash_eq(&fork, &pieces));
    }
}

static void digits_of(char hex[HASH_HEX + 1], const str *parts, int count)
{
    struct hash_state s;
    struct hash h;
    hash_begin(&s);
    for (int i = 0; i < count; i++)
        hash_add_part(&s, parts[i]);
    hash_end(&s, &h);
    hash_hex(&h, hex);
}

static void parts_are_told_apart(void **state)
{
    const str cut[][2] = {{STR("ab"), STR("c")}, {STR("a"), STR("bc")}, {STR("abc"), STR("")}};
    char hex[3][HASH_HEX + 1], plain[HASH_HEX + 1];
    (void)state;
    for (int i = 0; i < 3; i++)
        digits_of(hex[i], cut[i], 2);
    assert_string_not_equal(hex[0], hex[1]);
    assert_string_not_equal(hex[1], hex[2]);
    assert_string_not_equal(hex[0], hex[2]);
    digits_of(hex[0], cut[0], 1); /* the length is in front, its lowest byte first */
    hash_hex_of(str_make("\2\0\0\0\0\0\0\0ab", 10), plain);
    assert_string_equal(hex[0], plain);
}

static void only_its_own_form_is_read(void **state)
{
    char hex[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    struct hash h;
    (void)state;
    memset(&h, 9, sizeof(h));
    assert_false(hash_parse(STR(""), &h));
    assert_false(hash_parse(str_make(hex, 63), &h));
    assert_int_equal(h.b[0], 9);
    assert_true(hash_parse(str_of(hex), &h));
    assert_int_equal(h.b[31], 0xEF);
    for (int c = 0; c < 256; c++) {
        hex[40] = (char)c;
        bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        assert_true(hash_parse(str_make(hex, 64), &h) == digit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_hashes),
        cmocka_unit_test(pieces_make_the_whole),
        cmocka_unit_test(parts_are_told_apart),
        cmocka_unit_test(only_its_own_form_is_read),
    };
    return cmocka_run_group_tests_name("hash", tests, setup, NULL);
}
