#include "testing.h"

#include "remote/stream_part.h"

#include "base/err.h"
#include "base/json.h"

#include <stdio.h>

#define S1 "00000000000000a1"
#define S2 "00000000000000b2"
#define T1 "0000000000010000"
#define T2 "0000000000020000"
#define AT "1970-01-01T00:00:01.000Z"

#define HEAD(key) "{\"keepfast\":\"stream\",\"format\":1,\"stream\":\"" key "\"}\n"
#define PART(key) "{\"keepfast\":\"part\",\"format\":1,\"stream\":\"" key "\",\"first\":1}\n"
#define ENTRY(n, stamp, rest) \
    "{\"n\":" n ",\"stamp\":\"" stamp "\",\"site\":\"" S1 "\",\"at\":\"" AT "\"" rest "}\n"
#define ATTR(name, rest) \
    "{\"attr\":\"" name "\",\"stamp\":\"" T1 "\",\"site\":\"" S1 "\"" rest "}\n"
#define LAST(n)       "{\"last\":" n "}\n"
#define TRIMMED(site) "{\"trimmed\":\"" site "\",\"stamp\":\"" T1 "\"}\n"
#define A32           "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
#define ONCE(id, n, asked) \
    "{\"once\":\"" id "\",\"n\":" n ",\"asked\":\"" asked "\",\"at\":\"" AT "\"}\n"
/* BLAKE2b-256 of `{"p":1}` */
#define H "c2e0d5a1ac7a10f9d24c1f0d0ee0f6d5a0b41a06fb1aa2f5f8b3d4ca2ca52be7"

static void names_both_ways(void **state)
{
    (void)state;
    struct buf name = BUF_INIT;
    str key;
    uint64_t first;
    stream_file_head(STR("chat/abc"), &name);
    assert_string_equal(name.p, "keepfast-streams/chat/abc/stream.ndjson");
    assert_true(stream_file_parse(buf_view(&name), &key, &first));
    assert_true(str_is(key, "chat/abc") && first == 0);
    buf_clear(&name);
    stream_file_part(STR("chat/abc"), 1001, &name);
    assert_string_equal(name.p, "keepfast-streams/chat/abc/000000001001.ndjson");
    assert_true(stream_file_parse(buf_view(&name), &key, &first));
    assert_true(str_is(key, "chat/abc") && first == 1001);
    buf_release(&name);

    static const char *const none[] = {
        "chat/abc/stream.ndjson",
        "keepfast-streams/stream.ndjson",
        "keepfast-streams//stream.ndjson",
        "keepfast-streams/a/../stream.ndjson",
        "keepfast-streams/a/000000000000.ndjson",
        "keepfast-streams/a/00000000001.ndjson",
        "keepfast-streams/a/0000000000001.ndjson",
        "keepfast-streams/a/00000000000x.ndjson",
        "keepfast-streams/000000000001.ndjson",
        "keepfast-streams/a",
        "keepfast-streams/",
    };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        if (stream_file_parse(str_of(none[i]), &key, &first))
            fail_msg("%s is a file of a stream", none[i]);
    /* A stream may be called as its files are. */
    assert_true(
        stream_file_parse(STR("keepfast-streams/stream.ndjson/stream.ndjson"), &key, &first));
    assert_true(str_is(key, "stream.ndjson"));
}

/* Every value comes back byte for byte, whatever form it takes in the line. */
static void values_come_back(void **state)
{
    (void)state;
    struct buf deep = BUF_INIT, many = BUF_INIT, text = BUF_INIT;
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        buf_c(&deep, "[");
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        buf_c(&deep, "]");
    buf_c(&many, "[0");
    for (int i = 0; i < JSON_TOKENS_MAX - 3; i++)
        buf_c(&many, ",0");
    buf_c(&many, "]");
    const str values[] = {
        STR("{\"a\":1}"),
        STR("{\n \"a\" : 1\n}"),
        STR(" 1"),
        STR("1\t"),
        STR("\"\\u0000 \\n\""),
        STR("1e400"),
        STR("{\"a\":\r1}"),
        STR("null"),
        STR("{\"text\":\"x\",\"body\":2}"),
        buf_view(&deep),
        buf_view(&many),
    };
    size_t count = sizeof values / sizeof values[0], i = 0;
    stream_file_begin(STR("k"), 5, &text);
    for (i = 0; i < count; i++) {
        struct stream_line l = {.kind_of = STREAM_ENTRY,
                                .site = STR(S1),
                                .id = i % 2 ? STR("x\"\xc5\xbc") : STR(""),
                                .kind = i % 3 ? STR("note") : STR(""),
                                .hash = STR(""),
                                .value = values[i],
                                .n = 7 + i,
                                .stamp = (int64_t)(65536 + i),
                                .at_ms = 1234567};
        stream_file_line(&l, &text);
    }
    assert_int_equal(buf_ok(&text, NULL), KF_OK);
    struct stream_reader r;
    struct stream_line l;
    stream_read_begin(&r, STR("keepfast-streams/k/000000000005.ndjson"), buf_view(&text));
    for (i = 0; i < count; i++) {
        struct kf_err err = KF_ERR_INIT;
        if (stream_read(&r, &l, &err) != KF_OK)
            fail_msg("value %zu: %s", i, err.detail);
        assert_true(str_eq(l.value, values[i]));
        assert_int_equal(l.n, 7 + i);
        assert_int_equal(l.at_ms, 1234567);
        assert_true(str_is(l.id, i % 2 ? "x\"\xc5\xbc" : ""));
    }
    assert_int_equal(stream_read(&r, &l, NULL), KF_ABSENT);
    stream_read_end(&r);
    buf_release(&deep);
    buf_release(&many);
    buf_release(&text);
}

static void attachments_stand_once(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct hash hash;
    char hex[HASH_HEX + 1];
    str value = STR("{\"p\":1}");
    hash_of(value, &hash);
    hash_hex(&hash, hex);
    stream_file_begin(STR("k"), 1, &text);
    struct stream_line a = {.kind_of = STREAM_ATTACH, .hash = str_of(hex), .value = value};
    struct stream_line e = {.kind_of = STREAM_ENTRY,
                            .site = STR(S1),
                            .hash = str_of(hex),
                            .value = STR("1"),
                            .n = 1,
                            .stamp = 65536};
    stream_file_line(&a, &text);
    stream_file_line(&e, &text);
    e.n = 2;
    e.stamp++;
    stream_file_line(&e, &text);
    uint64_t entries = 0;
    struct kf_err err = KF_ERR_INIT;
    str name = STR("keepfast-streams/k/000000000001.ndjson");
    if (stream_read_check(name, buf_view(&text), &entries, &err) != KF_OK)
        fail_msg("%s", err.detail);
    assert_int_equal(entries, 2);
    size_t good = text.len;
    stream_file_line(&a, &text); /* once more, and for nobody */
    assert_int_equal(stream_read_check(name, buf_view(&text), NULL, NULL), KF_INVALID);
    text.len = good;
    e.n = 3;
    e.stamp++;
    e.hash = STR(H); /* not there */
    stream_file_line(&e, &text);
    assert_int_equal(stream_read_check(name, buf_view(&text), NULL, NULL), KF_INVALID);
    text.len = 0;
    stream_file_begin(STR("k"), 1, &text);
    a.hash = STR(H); /* not its hash */
    stream_file_line(&a, &text);
    stream_file_line(&e, &text);
    assert_int_equal(stream_read_check(name, buf_view(&text), NULL, NULL), KF_INVALID);
    buf_release(&text);
}

/* The same ones stand in tests/checker/test_kfcheck.py. */
static void strangers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        kf_rc rc;
    } cases[] = {
        {"k/stream.ndjson", HEAD("k"), KF_OK},
        {"k/stream.ndjson", HEAD("k") ATTR("a", ",\"value\":1") ATTR("b", ",\"removed\":true"),
         KF_OK},
        {"k/stream.ndjson",
         HEAD("k") ATTR("a", ",\"value\":1") "{\"erased\":\"" S1 "\",\"stamp\":\"" T1
                                             "\",\"at\":\"" AT "\"}\n{\"erased\":\"" S2
                                             "\",\"stamp\":\"" T1 "\",\"at\":\"" AT "\"}\n",
         KF_OK},
        {"k/000000000001.ndjson", PART("k") ENTRY("1", T1, ",\"body\":1"), KF_OK},
        {"k/000000000001.ndjson",
         PART("k") ENTRY("5", T1, ",\"body\":1") ENTRY("9", T2, ",\"body\":1"), KF_OK},
        {"k/stream.ndjson", HEAD("k") LAST("7") ATTR("a", ",\"value\":1") TRIMMED(S1) TRIMMED(S2),
         KF_OK},
        {"k/000000000001.ndjson", PART("k") ONCE("a", "7", A32) ONCE("b", "1", A32 A32), KF_OK},
        /* ids where they do not belong, and what none can be */
        {"k/stream.ndjson", HEAD("k") ONCE("a", "1", A32), KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ONCE("a", "1", A32) ENTRY("1", T1, ",\"body\":1"),
         KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ENTRY("1", T1, ",\"body\":1") ONCE("a", "1", A32),
         KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ONCE("b", "1", A32) ONCE("a", "1", A32), KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ONCE("a", "1", A32) ONCE("a", "2", A32), KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ONCE("", "1", A32), KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ONCE("a\\u0000", "1", A32), KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ONCE("a", "0", A32), KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ONCE("a", "1000000000000", A32), KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ONCE("a", "1", "0a"), KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ONCE("a", "1", "0A0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"),
         KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ONCE("a", "1", A32 "\",\"more\":\""), KF_INVALID},
        /* another stream's, another file's */
        {"k/stream.ndjson", HEAD("other"), KF_INVALID},
        {"k/stream.ndjson", PART("k") ENTRY("1", T1, ",\"body\":1"), KF_INVALID},
        {"k/000000000002.ndjson", PART("k") ENTRY("2", T1, ",\"body\":1"), KF_INVALID},
        {"k/000000000001.ndjson", HEAD("k"), KF_INVALID},
        /* order, twice */
        {"k/stream.ndjson", HEAD("k") ATTR("b", ",\"value\":1") ATTR("a", ",\"value\":1"),
         KF_INVALID},
        {"k/stream.ndjson", HEAD("k") ATTR("a", ",\"value\":1") ATTR("a", ",\"value\":2"),
         KF_INVALID},
        {"k/stream.ndjson",
         HEAD("k") "{\"erased\":\"" S1 "\",\"stamp\":\"" T1 "\",\"at\":\"" AT
                   "\"}\n" ATTR("a", ",\"value\":1"),
         KF_INVALID},
        {"k/stream.ndjson", HEAD("k") LAST("7") LAST("8"), KF_INVALID},
        {"k/stream.ndjson", HEAD("k") ATTR("a", ",\"value\":1") LAST("7"), KF_INVALID},
        {"k/stream.ndjson", HEAD("k") LAST("7") TRIMMED(S1) ATTR("a", ",\"value\":1"), KF_INVALID},
        {"k/stream.ndjson", HEAD("k") LAST("7") TRIMMED(S2) TRIMMED(S1), KF_INVALID},
        {"k/stream.ndjson", HEAD("k") TRIMMED(S1), KF_INVALID},
        {"k/000000000001.ndjson", PART("k") LAST("7") ENTRY("1", T1, ",\"body\":1"), KF_INVALID},
        {"k/000000000001.ndjson",
         PART("k") ENTRY("1", T1, ",\"body\":1") ENTRY("1", T2, ",\"body\":1"), KF_INVALID},
        {"k/000000000001.ndjson",
         PART("k") ENTRY("2", T1, ",\"body\":1") ENTRY("1", T2, ",\"body\":1"), KF_INVALID},
        {"k/000000000001.ndjson",
         PART("k") ENTRY("1", T1, ",\"body\":1") ENTRY("2", T1, ",\"body\":1"), KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ENTRY("0", T1, ",\"body\":1"), KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ENTRY("1000000000000", T1, ",\"body\":1"), KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ENTRY("18446744073709551617", T1, ",\"body\":1"),
         KF_INVALID},
        /* form */
        {"k/stream.ndjson", "", KF_DAMAGED},
        {"k/stream.ndjson", "{\"keepfast\":\"stream\",\"format\":1,\"stream\":\"k\"}", KF_DAMAGED},
        {"k/stream.ndjson", "{\"keepfast\":\"stream\",\"format\":2,\"stream\":\"k\"}\n",
         KF_TOO_NEW},
        {"k/stream.ndjson", HEAD("k") "\n", KF_INVALID},
        {"k/stream.ndjson", HEAD("k") LAST("0"), KF_INVALID},
        {"k/stream.ndjson", HEAD("k") LAST("1000000000000"), KF_INVALID},
        {"k/stream.ndjson", HEAD("k") LAST("\"7\""), KF_INVALID},
        {"k/stream.ndjson", HEAD("k") LAST("7,\"more\":1"), KF_INVALID},
        {"k/stream.ndjson", HEAD("k") ATTR("a", ""), KF_INVALID},
        {"k/stream.ndjson", HEAD("k") ATTR("a", ",\"text\":\"1\""), KF_INVALID},
        {"k/stream.ndjson", HEAD("k") ATTR("a", ",\"text\":\" 1\""), KF_OK},
        {"k/stream.ndjson", HEAD("k") ATTR("a", ",\"text\":\" x\""), KF_INVALID},
        {"k/stream.ndjson", HEAD("k") ATTR("a", ",\"value\":1,\"more\":1"), KF_INVALID},
        {"k/000000000001.ndjson", PART("k"), KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ENTRY("1", T1, ""), KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ENTRY("1", T1, ",\"id\":\"\",\"body\":1"), KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ENTRY("1", T1, ",\"kind\":\"A\",\"body\":1"),
         KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ENTRY("1", T1, ",\"id\":\"a\\u0000\",\"body\":1"),
         KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ENTRY("1", "0000000000000000", ",\"body\":1"),
         KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ENTRY("1", "ffffffffffffffff", ",\"body\":1"),
         KF_INVALID},
        {"k/000000000001.ndjson", PART("k") ENTRY("1", T1, ",\"attach\":\"" H "\",\"body\":1"),
         KF_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf name = BUF_INIT;
        struct kf_err err = KF_ERR_INIT;
        buf_printf(&name, "%s%s", STREAM_FILES, cases[i].name);
        kf_rc rc = stream_read_check(buf_view(&name), str_of(cases[i].text), NULL, &err);
        if (rc != cases[i].rc)
            fail_msg("case %zu gives %d (%s), not %d:\n%s", i, rc, err.detail, cases[i].rc,
                     cases[i].text);
        buf_release(&name);
    }
}

static void a_part_has_an_end(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct stream_line e = {
        .kind_of = STREAM_ENTRY, .site = STR(S1), .value = STR("1"), .n = 1, .stamp = 65536};
    str name = STR("keepfast-streams/k/000000000001.ndjson");
    stream_file_begin(STR("k"), 1, &text);
    for (; e.n <= STREAM_PART_ENTRIES; e.n++, e.stamp++)
        stream_file_line(&e, &text);
    assert_int_equal(stream_read_check(name, buf_view(&text), NULL, NULL), KF_OK);
    stream_file_line(&e, &text);
    assert_int_equal(stream_read_check(name, buf_view(&text), NULL, NULL), KF_INVALID);
    text.len = 0;
    stream_file_begin(STR("k"), 1, &text);
    for (int i = 0; i <= STREAM_PART_ENTRIES; i++) {
        char id[16];
        uint64_t entries = 77;
        snprintf(id, sizeof id, "%04d", i);
        struct stream_line o = {
            .kind_of = STREAM_ONCE, .id = str_of(id), .hash = STR(A32), .n = 1, .at_ms = 1};
        stream_file_line(&o, &text);
        kf_rc rc = stream_read_check(name, buf_view(&text), &entries, NULL);
        assert_int_equal(rc, i < STREAM_PART_ENTRIES ? KF_OK : KF_INVALID);
        assert_int_equal(entries, i < STREAM_PART_ENTRIES ? 0 : 77);
    }
    /* Cut anywhere, it is refused, but for where a line ends. */
    text.len = 0;
    stream_file_begin(STR("k"), 1, &text);
    for (e.n = 1; e.n < 4; e.n++, e.stamp++)
        stream_file_line(&e, &text);
    for (size_t len = 0; len < text.len; len++) {
        bool line = len > 80 && text.p[len - 1] == '\n';
        kf_rc rc = stream_read_check(name, (str){text.p, len}, NULL, NULL);
        if ((rc == KF_OK) != line)
            fail_msg("cut at %zu of %zu: %d", len, text.len, rc);
    }
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_both_ways),        cmocka_unit_test(values_come_back),
        cmocka_unit_test(attachments_stand_once), cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(a_part_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
