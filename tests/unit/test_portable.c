#include "testing.h"

#include "remote/portable.h"

#include "base/err.h"
#include "shape/doc.h"

static uint64_t seed = 7;
static uint64_t draw(uint64_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % below;
}

/* ---------------------------------------------------------------------------------------- names */

static void both_ways(str name, const char *path)
{
    struct buf mapped = BUF_INIT, back = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    portable_path_of_name(name, &mapped);
    assert_int_equal(buf_ok(&mapped, NULL), KF_OK);
    if (path)
        assert_string_equal(mapped.p, path);
    if (portable_name_of_path(buf_view(&mapped), &back, &err) != KF_OK)
        fail_msg("%s: %s", mapped.p, err.detail);
    assert_true(str_eq(buf_view(&back), name));
    buf_release(&mapped);
    buf_release(&back);
}

#define X50  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X199 X50 X50 X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define HEX  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"

/* The same pairs stand in tests/checker/test_kfcheck.py. */
static void names_have_these_paths(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"kredyty.json", "kredyty.json"},
        {"a/b/c", "a/b/c"},
        {"\xc5\xbc\xc3\xb3\xc5\x82w.json", "%C5%BC%C3%B3%C5%82w.json"},
        {"README", "%52%45%41%44%4D%45"},
        {"50%", "50%25"},
        {".git/x", "%2Egit/x"},
        {".GiT", "%2E%47i%54"},
        {"git~1", "git%7E1"},
        {"a b", "a b"},
        {" a ", "%20a%20"},
        {"-rf", "%2Drf"},
        {"end.", "end%2E"},
        {"...", "%2E.%2E"},
        {"con", "%63on"},
        {"con/con", "%63on/%63on"},
        {"nul.txt", "%6Eul.txt"},
        {"com1 .a.b", "%63om1 .a.b"},
        {"com10", "com10"},
        {"nul\t.a", "nul%09.a"},
        {"conin$", "%63onin$"},
        {"CON", "%43%4F%4E"},
        {"console", "console"},
        {"a:b\\c*?", "a%3Ab%5Cc%2A%3F"},
        {"tab\there\x7f", "tab%09here%7F"},
        {X199 "x" X199 "x" X50, X199 "x%~/" X199 "x%~/" X50},
        {X199 "A", X199 "%~/%41"},
        {X199 "x.git", X199 "x%~/%2Egit"},
        {X199 "xnul", X199 "x%~/%6Eul"},
        {X199 "..", X199 ".%~/%2E"},
        {"con." X199 "x",
         "%63on." X50 X50 X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx%~/xxxx"},
        {"a/" HEX "f.json",
         "a/%30123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.json"},
        {HEX ".json", HEX ".json"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        both_ways(str_of(pairs[i][0]), pairs[i][1]);
}

static void refused(str path)
{
    struct buf back = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    if (portable_name_of_path(path, &back, &err) != KF_INVALID)
        fail_msg("\"%.*s\" is taken", STR_ARGS(path));
    assert_string_equal(err.code, "bad_archive");
    assert_int_equal(back.len, 0);
    buf_release(&back);
}

static void paths_that_no_name_has_are_refused(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "",     "/",        "/a",      "a/",       "a//b",      "..",    "a/../b",    ".",
        "./a",  "%2E%2E",   "a%~/b",   "a%~",      "%~/a",      "%zz",   "50%",       "%4",
        "%",    "A",        "%61",     "%2e",      "%7e",       "a~",    "con",       "con.txt",
        ".git", "a%00",     X199 "xx", "-rf",      "end.",      "end ",  " a",        "a:b",
        "a\\b", "a\nb",     "%FF",     "%C0%AF",   "%2F",       "a%2Fb", "%ED%A0%80", HEX "f.json",
        "a|b",  "\xc5\xbc", "%25%",    "a%2E%2E/", X199 "%~/x",
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        refused(str_of(paths[i]));
    refused(str_make("a\0b", 3));
}

/* Segments made of what is likely to go wrong. */
static size_t random_name(char *p, size_t max)
{
    static const char *const parts[] = {
        "a",
        "z",
        "0",
        "9",
        "A",
        "Z",
        ".",
        "..",
        "-",
        " ",
        "~",
        "%",
        "%41",
        "%~",
        "%~/",
        "/",
        "/",
        "con",
        "nul",
        "lpt1",
        ".git",
        ".json",
        "git",
        "~1",
        "\t",
        "\x7f",
        "\x01",
        "\xc5\xbc",
        "\xc4\x84",
        "e\xcc\x81",
        "\xf0\x9f\x98\x80",
        "\xe2\x80\x8c",
        "x",
        X50,
        X199,
        HEX,
        HEX "f.json",
        ":",
        "\\",
        "*",
        "$",
    };
    size_t len = 0;
    for (uint64_t i = 1 + draw(12); i > 0; i--) {
        str part = str_of(parts[draw(sizeof(parts) / sizeof(parts[0]))]);
        if (len + part.len > max)
            break;
        memcpy(p + len, part.p, part.len);
        len += part.len;
    }
    return len;
}

/* What every mapped path promises to file systems, archives and git. */
static void path_is_portable(str path)
{
    assert_true(path.len <= PORTABLE_PATH_MAX);
    for (size_t at = 0; at < path.len;) {
        str rest = str_from(path, at);
        str s = {rest.p, str_index(rest, '/')};
        assert_true(s.len >= 1 && s.len <= 210);
        assert_true(s.p[0] != '.' && s.p[0] != '-' && s.p[0] != ' ');
        assert_true(s.p[s.len - 1] != '.' && s.p[s.len - 1] != ' ');
        for (size_t i = 0; i < s.len; i++) {
            unsigned char c = (unsigned char)s.p[i];
            bool escape = i >= 1 && (s.p[i - 1] == '%' || (i >= 2 && s.p[i - 2] == '%'));
            assert_true(c >= ' ' && c < 0x7f && !strchr("\\:*?\"<>|", c));
            assert_true(escape || c < 'A' || c > 'Z');
            assert_true(c != '~' || (i >= 1 && s.p[i - 1] == '%' && i + 1 == s.len));
        }
        str base = str_trim((str){s.p, str_index(s, '.')});
        assert_false(str_is(base, "con") || str_is(base, "nul") || str_is(base, "lpt1"));
        at += s.len + 1;
    }
}

static void random_names_go_both_ways(void **state)
{
    (void)state;
    char name[DOC_NAME_MAX];
    struct buf path = BUF_INIT;
    int good = 0, cut = 0;
    for (int i = 0; i < 100000; i++) {
        str s = {name, random_name(name, sizeof(name))};
        if (name_check(s, NULL) != KF_OK)
            continue;
        both_ways(s, NULL);
        buf_clear(&path);
        portable_path_of_name(s, &path);
        path_is_portable(buf_view(&path));
        good++;
        cut += strstr(path.p, "%~/") != NULL;
    }
    assert_true(good > 20000 && cut > 2000);
    buf_release(&path);
}

/* The other way: a path that is read back must be the one its name has. Paths are drawn near to
 * good ones. */
static void random_paths_are_refused_or_exact(void **state)
{
    (void)state;
    char name[DOC_NAME_MAX];
    struct buf path = BUF_INIT, back = BUF_INIT, again = BUF_INIT;
    int taken = 0, not_taken = 0;
    for (int i = 0; i < 100000; i++) {
        str s = {name, random_name(name, 300)};
        buf_clear(&path);
        buf_clear(&back);
        if (draw(2))
            buf_str(&path, s);
        else
            portable_path_of_name(s, &path);
        if (path.len && draw(2))
            path.p[draw(path.len)] = "%~/.-aA4E\xc5"[draw(10)];
        if (portable_name_of_path(buf_view(&path), &back, NULL) != KF_OK) {
            not_taken++;
            continue;
        }
        buf_clear(&again);
        portable_path_of_name(buf_view(&back), &again);
        assert_true(str_eq(buf_view(&again), buf_view(&path)));
        assert_int_equal(name_check(buf_view(&back), NULL), KF_OK);
        taken++;
    }
    assert_true(taken > 5000 && not_taken > 5000);
    buf_release(&path);
    buf_release(&back);
    buf_release(&again);
}

/* Two names, one path: no random pair, and no pair that file systems are known to fold. */
static void longest_name_fits(void **state)
{
    (void)state;
    char name[DOC_NAME_MAX];
    memset(name, 'A', sizeof(name));
    both_ways(str_make(name, sizeof(name)), NULL);
    for (size_t i = 1; i < sizeof(name); i += 2)
        name[i] = '/';
    both_ways(str_make(name, sizeof(name) - 1), NULL);
    struct buf path = BUF_INIT;
    memset(name, '~', sizeof(name));
    portable_path_of_name(str_make(name, sizeof(name)), &path);
    assert_true(path.len <= PORTABLE_PATH_MAX);
    buf_release(&path);
}

static void objects_are_taken_apart_again(void **state)
{
    (void)state;
    struct buf object = BUF_INIT, name = BUF_INIT;
    str hash;
    portable_object(STR("a/B.json"), STR(HEX "f"), &object);
    assert_string_equal(object.p, "docs/a/%42.json/" HEX "f.json");
    assert_int_equal(portable_object_parse(buf_view(&object), &name, &hash, NULL), KF_OK);
    assert_string_equal(name.p, "a/B.json");
    assert_true(str_is(hash, HEX "f"));
    static const char *const others[] = {
        "docs/" HEX "f.json",   "docs//" HEX "f.json",  "docs/a/" HEX ".json",
        "docs/a/" HEX "F.json", "doc/a/" HEX "f.json",  "docs/../a/" HEX "f.json",
        "docs/a/" HEX "f.jso",  "docs/A/" HEX "f.json", "/docs/a/" HEX "f.json",
        "docs/a" HEX "f.json",
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        buf_clear(&name);
        assert_int_equal(portable_object_parse(str_of(others[i]), &name, &hash, NULL), KF_INVALID);
        assert_int_equal(name.len, 0);
    }
    buf_release(&object);
    buf_release(&name);
}

/* ------------------------------------------------------------------------------------- manifest */

#define SITE "00112233445566ff"
#define HASH HEX "f"
#define AT   1762698225123 /* 2025-11-09T14:23:45.123Z */

static const struct portable_entry sample[] = {
    {.line = PORTABLE_HEAD,
     .holds = PORTABLE_BACKUP,
     .site = STR(SITE),
     .push = 3,
     .seq = 9,
     .stamp = 0x123456789abcdef,
     .at_ms = AT},
    {.line = PORTABLE_SEEN, .site = STR("0000000000000001"), .seq = 4},
    {.line = PORTABLE_SEEN, .site = STR(SITE), .seq = 9},
    {.line = PORTABLE_DOC,
     .name = STR("a \"\\\n\xc5\xbc"),
     .version = 2,
     .stamp = 5,
     .site = STR(SITE),
     .at_ms = AT,
     .size = 12,
     .hash = STR(HASH)},
    {.line = PORTABLE_PAST,
     .name = STR("a \"\\\n\xc5\xbc"),
     .version = 1,
     .stamp = 4,
     .site = STR(SITE),
     .at_ms = AT,
     .kind = STR("put"),
     .size = 2,
     .hash = STR(HASH)},
    {.line = PORTABLE_DOC,
     .name = STR("b"),
     .version = 7,
     .stamp = 6,
     .site = STR(SITE),
     .at_ms = AT,
     .deleted = true,
     .hash = STR("")},
    {.line = PORTABLE_PAST,
     .name = STR("b"),
     .version = 6,
     .stamp = 5,
     .site = STR(SITE),
     .at_ms = AT,
     .kind = STR("delete"),
     .deleted = true,
     .hash = STR("")},
    {.line = PORTABLE_PAST,
     .name = STR("b"),
     .version = 2,
     .stamp = 4,
     .site = STR(SITE),
     .at_ms = AT,
     .kind = STR("loser"),
     .size = 0,
     .hash = STR(HASH)},
    {.line = PORTABLE_RETIRED, .name = STR("docs/a/" HASH ".json"), .at_ms = AT},
};
#define SAMPLE_COUNT (sizeof(sample) / sizeof(sample[0]))

static void write_sample(struct buf *out)
{
    struct portable_writer w;
    portable_write_begin(&w, out);
    for (size_t i = 0; i < SAMPLE_COUNT; i++)
        portable_write(&w, &sample[i]);
    portable_write_end(&w);
    assert_int_equal(buf_ok(out, NULL), KF_OK);
}

static void a_manifest_reads_back(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    write_sample(&text);
    if (portable_read_check(buf_view(&text), &err) != KF_OK)
        fail_msg("%s", err.detail);
    struct portable_reader r;
    struct portable_entry e;
    portable_read_begin(&r, buf_view(&text));
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        assert_int_equal(portable_read(&r, &e, &err), KF_OK);
        assert_int_equal(e.line, sample[i].line);
        assert_true(str_eq(e.name, sample[i].name));
        assert_true(str_eq(e.site, sample[i].site) && str_eq(e.hash, sample[i].hash));
        assert_true(str_eq(e.kind, sample[i].kind));
        assert_true(e.version == sample[i].version && e.size == sample[i].size);
        assert_true(e.seq == sample[i].seq && e.push == sample[i].push);
        assert_true(e.stamp == sample[i].stamp && e.at_ms == sample[i].at_ms);
        assert_true(e.deleted == sample[i].deleted && e.holds == sample[i].holds);
    }
    assert_int_equal(portable_read(&r, &e, &err), KF_OK);
    assert_int_equal(e.line, PORTABLE_END);
    assert_int_equal(portable_read(&r, &e, &err), KF_ABSENT);
    portable_read_end(&r);
    buf_release(&text);
}

static void every_cut_and_every_flip_is_found(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    write_sample(&text);
    for (size_t len = 0; len < text.len; len++)
        assert_int_not_equal(portable_read_check((str){text.p, len}, &err), KF_OK);
    for (size_t bit = 0; bit < text.len * 8; bit++) {
        text.p[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_not_equal(portable_read_check(buf_view(&text), &err), KF_OK);
        text.p[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_int_equal(portable_read_check(buf_view(&text), &err), KF_OK);
    buf_release(&text);
}

/* Lines with a right end behind them. */
static kf_rc check_lines(const char *lines, struct kf_err *err)
{
    struct buf text = BUF_INIT;
    struct portable_writer w;
    portable_write_begin(&w, &text);
    buf_c(&text, lines);
    for (const char *p = lines; *p; p++)
        w.lines += *p == '\n';
    portable_write_end(&w);
    kf_rc rc = portable_read_check(buf_view(&text), err);
    buf_release(&text);
    return rc;
}

#define HEAD_TO(n, site)                                                                          \
    "{\"keepfast\":\"manifest\",\"format\":" n ",\"holds\":\"state\",\"site\":\"" site            \
    "\",\"push\":1,\"seq\":1,\"stamp\":\"0000000000000001\",\"at\":\"2025-11-09T14:23:45.123Z\"}" \
    "\n"
#define GOOD_HEAD HEAD_TO("1", SITE)
#define REST \
    ",\"stamp\":\"0000000000000001\",\"site\":\"" SITE "\",\"at\":\"2025-11-09T14:23:45.123Z\""
#define DOC(name)  "{\"doc\":\"" name "\",\"version\":1" REST ",\"size\":1,\"hash\":\"" HASH "\"}\n"
#define GONE(name) "{\"doc\":\"" name "\",\"version\":1" REST ",\"deleted\":true}\n"
#define PAST(name, v)                                                                            \
    "{\"past\":\"" name "\",\"version\":" v REST ",\"kind\":\"put\",\"size\":1,\"hash\":\"" HASH \
    "\"}\n"
#define RETIRED(name) \
    "{\"retired\":\"docs/" name "/" HASH ".json\",\"at\":\"2025-11-09T14:23:45.123Z\"}\n"
#define SEEN(site) "{\"seen\":\"" site "\",\"seq\":1}\n"

static void what_is_not_ours_is_refused(void **state)
{
    (void)state;
    static const char *const good[] = {
        GOOD_HEAD,
        GOOD_HEAD DOC("a") DOC("b"),
        GOOD_HEAD SEEN(SITE) GONE("a") RETIRED("a") RETIRED("b"),
        GOOD_HEAD RETIRED("a"),
    };
    static const struct {
        const char *lines, *code;
    } bad[] = {
        {HEAD_TO("2", SITE), "format_too_new"},
        {HEAD_TO("0", SITE), "bad_archive"},
        {HEAD_TO("1", "00112233445566FF"), "bad_archive"},
        {HEAD_TO("1", "0011"), "bad_archive"},
        {DOC("a"), "bad_archive"},
        {GOOD_HEAD GOOD_HEAD, "bad_archive"},
        {GOOD_HEAD DOC("b") DOC("a"), "bad_archive"},
        {GOOD_HEAD DOC("a") DOC("a"), "bad_archive"},
        {GOOD_HEAD DOC("a") SEEN(SITE), "bad_archive"},
        {GOOD_HEAD SEEN(SITE) SEEN(SITE), "bad_archive"},
        {GOOD_HEAD RETIRED("a") DOC("b"), "bad_archive"},
        {GOOD_HEAD RETIRED("b") RETIRED("a"), "bad_archive"},
        {GOOD_HEAD RETIRED(".."), "bad_archive"},
        {GOOD_HEAD RETIRED("A"), "bad_archive"},
        {GOOD_HEAD PAST("a", "1"), "bad_archive"},
        {GOOD_HEAD DOC("a") PAST("b", "1"), "bad_archive"},
        {GOOD_HEAD DOC("a") PAST("a", "1"), "bad_archive"},
        {GOOD_HEAD DOC("../a"), "bad_archive"},
        {GOOD_HEAD DOC(""), "bad_archive"},
        {GOOD_HEAD DOC("a\\u0000"), "bad_archive"},
        {GOOD_HEAD DOC("\\u0061"), "bad_archive"},
        {GOOD_HEAD "\n", "bad_archive"},
        {GOOD_HEAD " " DOC("a"), "bad_archive"},
        {GOOD_HEAD "[1]\n", "bad_archive"},
        {GOOD_HEAD "{}\n", "bad_archive"},
        {GOOD_HEAD "{\"doc\":1}\n", "bad_archive"},
        {GOOD_HEAD "{\"doc\":\"a\",\"version\":0" REST ",\"deleted\":true}\n", "bad_archive"},
        {GOOD_HEAD "{\"doc\":\"a\",\"version\":1" REST ",\"deleted\":false}\n", "bad_archive"},
        {GOOD_HEAD "{\"doc\":\"a\",\"version\":1" REST ",\"deleted\":true,\"x\":1}\n",
         "bad_archive"},
        {GOOD_HEAD "{\"doc\":\"a\",\"version\":1.0" REST ",\"deleted\":true}\n", "bad_archive"},
        {GOOD_HEAD "{\"doc\":\"a\",\"version\":18446744073709551616" REST ",\"deleted\":true}\n",
         "bad_archive"},
        {GOOD_HEAD "{\"doc\":\"a\",\"version\":1,\"stamp\":\"ffffffffffffffff\",\"site\":\"" SITE
                   "\",\"at\":\"2025-11-09T14:23:45.123Z\",\"deleted\":true}\n",
         "bad_archive"},
        {GOOD_HEAD "{\"doc\":\"a\",\"version\":1,\"stamp\":\"0000000000000001\",\"site\":\"" SITE
                   "\",\"at\":\"2025-11-09T14:23:45Z\",\"deleted\":true}\n",
         "bad_archive"},
        {"<html>\n", "bad_archive"},
        {"", "bad_archive"},
    };
    struct kf_err err = KF_ERR_INIT;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (check_lines(good[i], &err) != KF_OK)
            fail_msg("good %zu: %s", i, err.detail);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (check_lines(bad[i].lines, &err) == KF_OK)
            fail_msg("taken: %s", bad[i].lines);
        if (strcmp(err.code, bad[i].code) != 0)
            fail_msg("%s instead of %s: %s%s", err.code, bad[i].code, bad[i].lines, err.detail);
    }
}

static void a_newer_format_is_told_apart_from_damage(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    str text = STR("{\"keepfast\":\"manifest\",\"format\":2,\"whatever\":[]}\nand so on\n");
    assert_int_equal(portable_read_check(text, &err), KF_TOO_NEW);
    assert_string_equal(err.code, "format_too_new");
}

/* --------------------------------------------------------------------------------------- digest */

static void digests(void **state)
{
    (void)state;
    struct portable_digest d;
    char hex[HASH_HEX + 1], other[HASH_HEX + 1];
    portable_digest_begin(&d);
    portable_digest_end(&d, hex);
    assert_string_equal(hex, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    portable_digest_begin(&d);
    assert_int_equal(portable_digest_add(&d, STR("a"), STR("{\"b\": 1.0, \"a\": [ ] }"), NULL),
                     KF_OK);
    portable_digest_end(&d, hex);
    portable_digest_begin(&d);
    assert_int_equal(portable_digest_add(&d, STR("a"), STR("{\"a\":[],\"b\":1}"), NULL), KF_OK);
    portable_digest_end(&d, other);
    assert_string_equal(hex, other);
    portable_digest_begin(&d);
    assert_int_equal(portable_digest_add(&d, STR("b"), STR("{\"a\":[],\"b\":1}"), NULL), KF_OK);
    portable_digest_end(&d, other);
    assert_string_not_equal(hex, other);
}

/* ------------------------------------------------------------------------------- lack of memory */

static kf_rc all_of_it(void *ctx)
{
    (void)ctx;
    struct buf text = BUF_INIT, back = BUF_INIT;
    struct portable_writer w;
    struct portable_digest d;
    portable_write_begin(&w, &text);
    for (size_t i = 0; i < SAMPLE_COUNT; i++)
        portable_write(&w, &sample[i]);
    portable_write_end(&w);
    kf_rc rc = buf_ok(&text, NULL);
    if (rc == KF_OK)
        rc = portable_read_check(buf_view(&text), NULL);
    if (rc == KF_OK)
        rc = portable_name_of_path(STR(X199 "x%~/%2Egit"), &back, NULL);
    portable_digest_begin(&d);
    if (rc == KF_OK)
        rc = portable_digest_add(&d, STR("a"), STR("{\"b\":[1.0]}"), NULL);
    portable_digest_end(&d, NULL);
    buf_release(&text);
    buf_release(&back);
    return rc;
}

static void lack_of_memory_is_told(void **state)
{
    (void)state;
    assert_true(testing_oom_each(all_of_it, NULL) > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_have_these_paths),
        cmocka_unit_test(paths_that_no_name_has_are_refused),
        cmocka_unit_test(random_names_go_both_ways),
        cmocka_unit_test(random_paths_are_refused_or_exact),
        cmocka_unit_test(longest_name_fits),
        cmocka_unit_test(objects_are_taken_apart_again),
        cmocka_unit_test(a_manifest_reads_back),
        cmocka_unit_test(every_cut_and_every_flip_is_found),
        cmocka_unit_test(what_is_not_ours_is_refused),
        cmocka_unit_test(a_newer_format_is_told_apart_from_damage),
        cmocka_unit_test(digests),
        cmocka_unit_test(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests_name("portable", tests, NULL, NULL);
}
