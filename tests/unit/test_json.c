/* The scanner and the tree. */
#include "base/json.h"

#include "base/hooks.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static kf_rc check(str text, struct kf_err *err)
{
    *err = (struct kf_err)KF_ERR_INIT;
    return json_check(text, NULL, NULL, err);
}

/* A copy that ends where its memory ends, so that the sanitizers see a read behind it. */
static str tight(str text)
{
    char *p = malloc(text.len ? text.len : 1);
    assert_non_null(p);
    if (text.len)
        memcpy(p, text.p, text.len);
    return str_make(p, text.len);
}

static void release(str s)
{
    union {
        const char *in;
        void *out;
    } p = {.in = s.p};
    free(p.out);
}

static void repeat(struct buf *b, size_t times, const char *text)
{
    for (size_t i = 0; i < times; i++)
        buf_c(b, text);
}

/* --------------------------------------------------------------------------------- the cases */

static unsigned hex(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

/* Undoes the writing of cases.txt. */
static void decode(str text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        const char *p = text.p + i;
        char *end;
        size_t times = *p == '*' ? strtoul(p + 1, &end, 10) : 0;
        if (times > 0 && *end == '<') {
            size_t len = str_index(str_make(end, text.len), '>');
            for (size_t k = 0; k < times; k++)
                decode(str_make(end + 1, len - 1), out);
            i += (size_t)(end - p) + len;
        } else if (*p == '\\' && p[1] == 'x') {
            buf_byte(out, (char)(hex(p[2]) << 4 | hex(p[3])));
            i += 3;
        } else {
            i += *p == '\\';
            buf_byte(out, *p);
        }
    }
}

static str word(str *line)
{
    str w = str_make(line->p, str_index(*line, ' '));
    *line = str_from(*line, w.len + 1 < line->len ? w.len + 1 : line->len);
    return w;
}

/* Compares the answer of each way into the scanner with the verdict. */
static bool case_holds(str name, str verdict, str text)
{
    struct kf_err err, again = KF_ERR_INIT;
    str copy = tight(text);
    kf_rc rc = check(copy, &err);
    struct arena arena = ARENA_INIT;
    struct json_node *root;
    kf_rc parsed = json_parse(copy, NULL, &arena, &root, &again);
    arena_release(&arena);
    release(copy);

    char got[64] = "ok";
    if (rc != KF_OK)
        (void)snprintf(got, sizeof got, "%s@%lld", err.code, (long long)err.offset);
    bool same = parsed == rc && err.offset == again.offset;
    if (str_is(verdict, got) && same)
        return true;
    printf("# %.*s: expected %.*s, got %s%s: %s\n", STR_ARGS(name), STR_ARGS(verdict), got,
           same ? "" : ", otherwise from json_parse", err.detail);
    return false;
}

static FILE *open_cases(void)
{
    const char *top = getenv("KF_TOP");
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/tests/json/cases.txt", top ? top : ".");
    FILE *file = fopen(path, "r");
    if (!file)
        file = fopen("../tests/json/cases.txt", "r");
    return file;
}

/* How many of the cases fail, and how many there are. */
static size_t run_cases(size_t *ret_count)
{
    FILE *file = open_cases();
    assert_non_null(file);
    char line[1024];
    size_t failed = 0, count = 0;
    while (fgets(line, sizeof line, file)) {
        str rest = str_make(line, strcspn(line, "\n"));
        if (rest.len == 0 || line[0] == '#')
            continue;
        line[rest.len] = 0;
        str name = word(&rest), verdict = word(&rest);
        struct buf text = BUF_INIT;
        decode(rest, &text);
        failed += !case_holds(name, verdict, buf_view(&text));
        count++;
        buf_release(&text);
    }
    (void)fclose(file);
    *ret_count = count;
    return failed;
}

static void every_case_has_its_verdict(void **state)
{
    (void)state;
    size_t count;
    assert_int_equal(run_cases(&count), 0);
    assert_true(count >= 381);
}

#ifdef KF_TEST_HOOKS
/* The scanner that takes overlong UTF-8, in a process of its own, must fail the cases. */
static void saboteur_is_found(void **state)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)setenv("KF_SABOTAGE", "json-overlong", 1);
        (void)execl("/proc/self/exe", *state, "cases", (char *)NULL);
        _exit(99);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}
#endif

/* ------------------------------------------------------------------------------------ offsets */

/* What begins an acceptable document ends too early, and the offset says so. */
static void beginnings_end_at_their_length(void **state)
{
    (void)state;
    const str text = STR(
        "  {\"a\":[1.5e+10,-0,true,false,null,{}],\n \"\\u017a\\ud83d\\ude00\" : \"\xC5\xBC\xF0\x9F"
        "\x98\x80 \\n long enough for sixteen bytes at once\",\"c\":[[],{\"d\":[ ]}]} ");
    struct kf_err err;
    assert_int_equal(check(text, &err), KF_OK);
    for (size_t len = 0; len < text.len - 1; len++) {
        str part = tight(str_make(text.p, len));
        assert_int_equal(check(part, &err), KF_INVALID);
        assert_int_equal(err.offset, len);
        assert_string_equal(err.code, "bad_json");
        release(part);
    }
}

/* One byte changed: either accepted, or refused at or before that byte's end or where the change
 * shows. Never behind the text, and all bytes before the offset alone are a beginning. */
static void changed_bytes_are_found_where_they_show(void **state)
{
    (void)state;
    const str text = STR("{\"a\":[1.5e1,true,\"\\u00fc\\n\xC3\xBC\"],\"bb\":{\"c\":null}}");
    struct kf_err err, part_err;
    for (size_t at = 0; at < text.len; at++) {
        for (unsigned value = 0; value < 256; value++) {
            char changed[128];
            memcpy(changed, text.p, text.len);
            changed[at] = (char)value;
            str copy = tight(str_make(changed, text.len));
            kf_rc rc = check(copy, &err);
            if (rc != KF_OK) {
                assert_int_equal(rc, KF_INVALID);
                assert_in_range(err.offset, 0, text.len);
                str part = tight(str_make(changed, (size_t)err.offset));
                rc = check(part, &part_err);
                assert_true(rc == KF_OK || part_err.offset == err.offset);
                release(part);
            }
            release(copy);
        }
    }
}

static void details_say_where_and_what_to_do(void **state)
{
    (void)state;
    struct kf_err err;
    check(STR("{\n  \"a\": 1,\n  \"a\": 2\n}"), &err);
    assert_string_equal(err.detail,
                        "byte 14 (line 3, column 3): the object has two members of the name "
                        "\"a\"; keep one of them");
    check(STR("[1,]"), &err);
    assert_non_null(strstr(err.detail, "found ']'; remove the comma before it"));
    check(STR("[NaN]"), &err);
    assert_non_null(strstr(err.detail, "JSON has no NaN"));
    check(STR("\xEF\xBB\xBF{}"), &err);
    assert_non_null(strstr(err.detail, "byte order mark"));
    check(STR("{\"a\":"), &err);
    assert_non_null(strstr(err.detail, "Send the whole document"));
    check(STR(""), &err);
    assert_string_equal(err.detail, "byte 0: the text is empty; send a JSON value");
    check(STR("\"a\nb\""), &err);
    assert_non_null(strstr(err.detail, "found byte 0x0A"));
    assert_int_equal(err.http_status, 400);
    assert_int_equal(err.exit_code, 11);
}

/* A long name is cut between two characters, so the sentence stays UTF-8. */
static void details_stay_utf8(void **state)
{
    (void)state;
    struct kf_err err;
    for (size_t shift = 0; shift < 4; shift++) {
        struct buf b = BUF_INIT;
        for (int twice = 0; twice < 2; twice++) {
            buf_c(&b, twice ? ",\"" : "{\"");
            repeat(&b, shift, "x");
            repeat(&b, 300, "\xF0\x9F\x98\x80");
            buf_c(&b, "\":1");
        }
        assert_int_equal(check(buf_view(&b), &err), KF_INVALID);
        str detail = str_of(err.detail);
        assert_int_equal(str_utf8_valid(detail), detail.len);
        buf_release(&b);
    }
}

/* ------------------------------------------------------------------------------------- limits */

static void limits_can_be_narrower_and_wider(void **state)
{
    (void)state;
    struct kf_err err;
    struct json_limits few = {2, 4};
    assert_int_equal(json_check(STR("[[1,2]]"), &few, NULL, &err), KF_OK);
    assert_int_equal(json_check(STR("[[1,2],3]"), &few, NULL, &err), KF_LIMIT);
    assert_int_equal(err.offset, 7);
    assert_string_equal(err.code, "json_limit");
    assert_int_equal(json_check(STR("[[[1]]]"), &few, NULL, &err), KF_LIMIT);
    assert_int_equal(err.offset, 2);
    struct json_limits many = {1000, UINT32_MAX};
    struct buf b = BUF_INIT;
    buf_byte(&b, '[');
    repeat(&b, 150000, "0,");
    buf_c(&b, "0]");
    assert_int_equal(json_check(buf_view(&b), &many, NULL, &err), KF_OK);
    buf_clear(&b);
    repeat(&b, 65, "[");
    assert_int_equal(json_check(buf_view(&b), &many, NULL, &err), KF_LIMIT);
    assert_int_equal(err.offset, 64);
    buf_release(&b);
}

/* --------------------------------------------------------------------------------- duplicates */

/* count names, the one at `copy` repeated at the end (count: none). */
static void many_names(struct buf *b, size_t count, size_t copy, size_t *ret_at)
{
    buf_clear(b);
    for (size_t i = 0; i < count; i++)
        buf_printf(b, "%c\"name %zu\":%zu", i ? ',' : '{', i * 7919 % 1000003, i);
    if (copy < count) {
        buf_byte(b, ',');
        *ret_at = b->len;
        buf_printf(b, "\"\\u006eame %zu\":0", copy * 7919 % 1000003);
    }
    buf_byte(b, '}');
}

static void duplicates_are_found_among_many(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 2, 3, 16, 17, 64, 127, 128, 129, 200, 1000, 49998};
    struct buf b = BUF_INIT;
    struct kf_err err;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        size_t at = 0;
        many_names(&b, counts[i], counts[i], &at);
        assert_int_equal(check(buf_view(&b), &err), KF_OK);
        size_t copies[] = {0, counts[i] / 2, counts[i] - 1};
        for (size_t k = 0; k < 3; k++) {
            many_names(&b, counts[i], copies[k], &at);
            assert_int_equal(check(buf_view(&b), &err), KF_INVALID);
            assert_int_equal(err.offset, at);
        }
    }
    buf_release(&b);
}

/* Of several duplicates in a large object, and of a fault behind them, the first counts. */
static void first_of_several_duplicates_counts(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    struct kf_err err;
    buf_c(&b, "[{\"outer\":1,\"inner\":{");
    for (int i = 0; i < 300; i++)
        buf_printf(&b, "\"k%d\":0,", i);
    size_t first = b.len;
    buf_c(&b, "\"k299\":0,");
    buf_c(&b, "\"k0\":0");
    size_t len = b.len;
    buf_c(&b, "},\"outer\":2}]");
    assert_int_equal(check(buf_view(&b), &err), KF_INVALID);
    assert_int_equal(err.offset, first);
    b.len = len;
    buf_c(&b, ",\"x\":[1,2,{\"y\":1,\"y\":?");
    assert_int_equal(check(buf_view(&b), &err), KF_INVALID);
    assert_int_equal(err.offset, first);
    buf_release(&b);
}

/* The scanner's hash of a name of 16 bytes, up to its second word. */
static uint64_t first_step(uint64_t word)
{
    uint64_t h = (16 ^ word) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

static bool can_stand_in_a_name(uint64_t word)
{
    for (int i = 0; i < 8; i++) {
        unsigned char c = word >> 8 * i & 0xff;
        if (c < 0x23 || c > 0x7e || c == '\\')
            return false;
    }
    return true;
}

/* Names made to have one hash cost no more than a sort. */
static void names_of_one_hash_do_not_stall(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    struct kf_err err;
    char name[17] = {0}, middle[17] = {0};
    uint64_t seed = 1;
    for (size_t count = 0; count < 3000;) {
        uint64_t word = 0x4141414141414141u;
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        for (int i = 0; i < 8; i++)
            word += (seed >> (8 + 5 * i) & 31) << 8 * i;
        uint64_t second = 0x6b6f6c697a6a6121u ^ first_step(word);
        if (!can_stand_in_a_name(word) || !can_stand_in_a_name(second))
            continue;
        memcpy(name, &word, 8);
        memcpy(name + 8, &second, 8);
        buf_printf(&b, "%c\"%s\":0", count ? ',' : '{', name);
        if (++count == 1500)
            memcpy(middle, name, sizeof middle);
    }
    size_t len = b.len;
    buf_byte(&b, '}');
    assert_int_equal(check(buf_view(&b), &err), KF_OK);
    b.len = len;
    buf_printf(&b, ",\"%s\":0,\"%s\":1}", middle, middle);
    assert_int_equal(check(buf_view(&b), &err), KF_INVALID);
    assert_int_equal(err.offset, len + 1);
    buf_release(&b);
}

static bool count_hook(void *ctx, size_t size)
{
    (void)size;
    ++*(size_t *)ctx;
    return true;
}

static void small_documents_need_no_heap(void **state)
{
    (void)state;
    size_t allocations = 0;
    struct kf_err err;
    struct buf b = BUF_INIT;
    size_t at;
    many_names(&b, 100, 100, &at);
    mem_set_hook(count_hook, &allocations);
    assert_int_equal(check(buf_view(&b), &err), KF_OK);
    mem_set_hook(NULL, NULL);
    assert_int_equal(allocations, 0);
    buf_release(&b);
}

/* --------------------------------------------------------------------------------------- tree */

static void tree_has_the_shape_of_the_text(void **state)
{
    (void)state;
    struct arena arena = ARENA_INIT;
    struct json_node *root;
    str text = STR(" {\"a\" : [1, \"x\" ,{}], \"b\\n\":null} ");
    assert_int_equal(json_parse(text, NULL, &arena, &root, NULL), KF_OK);
    assert_int_equal(root->type, JSON_OBJECT);
    assert_int_equal(root->count, 2);
    assert_int_equal(root->index, 0);
    assert_true(str_eq(root->raw, str_make(text.p + 1, text.len - 2)));
    const struct json_node *a = json_member(root, "a");
    assert_int_equal(a->type, JSON_ARRAY);
    assert_int_equal(a->count, 3);
    assert_true(str_is(a->raw, "[1, \"x\" ,{}]"));
    assert_true(str_is(a->name, "\"a\""));
    assert_true(str_is(a->child->raw, "1"));
    assert_null(a->child->name.p);
    assert_int_equal(a->child->next->type, JSON_STRING);
    assert_int_equal(a->child->next->next->type, JSON_OBJECT);
    assert_null(a->child->next->next->next);
    assert_int_equal(json_member(root, "b\n")->type, JSON_NULL);
    assert_int_equal(json_member(root, "b\n")->index, 5);
    assert_null(json_member(root, "b"));
    assert_null(json_member(a, "b"));
    assert_null(json_member(NULL, "b"));
    arena_release(&arena);
}

static void types_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum json_type type;
    } cases[] = {
        {" null", JSON_NULL}, {"\ttrue", JSON_TRUE},   {"false ", JSON_FALSE},
        {"-1", JSON_NUMBER},  {"0", JSON_NUMBER},      {"\"\"", JSON_STRING},
        {"[]", JSON_ARRAY},   {"\n\n{}", JSON_OBJECT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum json_type type;
        assert_int_equal(json_check(str_of(cases[i].text), NULL, &type, NULL), KF_OK);
        assert_int_equal(type, cases[i].type);
    }
}

static void outputs_are_untouched_by_refusals(void **state)
{
    (void)state;
    enum json_type type = JSON_STRING;
    struct json_node *root = NULL;
    struct arena arena = ARENA_INIT;
    assert_int_equal(json_check(STR("{\"a\":1"), NULL, &type, NULL), KF_INVALID);
    assert_int_equal(type, JSON_STRING);
    assert_int_equal(json_parse(STR("{\"a\":1"), NULL, &arena, &root, NULL), KF_INVALID);
    assert_null(root);
    arena_release(&arena);
}

static void text_is_unescaped(void **state)
{
    (void)state;
    struct arena arena = ARENA_INIT;
    str plain = STR("\"as it is\"");
    assert_ptr_equal(json_text(plain, &arena).p, plain.p + 1);
    str all = json_text(
        STR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u0142\\u20AC\\uD83D\\ude00\\u0000.\""), &arena);
    assert_true(str_eq(all, STR("\"\\/\b\f\n\r\tA\xC5\x82\xE2\x82\xAC\xF0\x9F\x98\x80\0.")));
    assert_int_equal(json_text(STR("\"\""), &arena).len, 0);
    assert_non_null(json_text(STR("\"\""), &arena).p);
    assert_true(json_text_is(STR("\"\\u0061b\\u0063\""), STR("abc")));
    assert_false(json_text_is(STR("\"abc\""), STR("ab")));
    assert_false(json_text_is(STR("\"ab\""), STR("abc")));
    assert_true(json_text_is(STR("\"\""), STR("")));
    arena_release(&arena);
}

static void integers_are_exact_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_u, is_i;
        uint64_t u;
        int64_t i;
    } cases[] = {
        {"0", true, true, 0, 0},
        {"-0", false, true, 0, 0},
        {"7", true, true, 7, 7},
        {"-7", false, true, 0, -7},
        {"9223372036854775807", true, true, INT64_MAX, INT64_MAX},
        {"9223372036854775808", true, false, (uint64_t)INT64_MAX + 1, 0},
        {"-9223372036854775808", false, true, 0, INT64_MIN},
        {"-9223372036854775809", false, false, 0, 0},
        {"18446744073709551615", true, false, UINT64_MAX, 0},
        {"18446744073709551616", false, false, 0, 0},
        {"1.0", false, false, 0, 0},
        {"1e3", false, false, 0, 0},
        {"\"1\"", false, false, 0, 0},
        {"true", false, false, 0, 0},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct arena arena = ARENA_INIT;
        struct json_node *n;
        assert_int_equal(json_parse(str_of(cases[k].text), NULL, &arena, &n, NULL), KF_OK);
        uint64_t u = 99;
        int64_t i = 99;
        assert_int_equal(json_u64(n, &u), cases[k].is_u);
        assert_int_equal(json_i64(n, &i), cases[k].is_i);
        assert_true(u == (cases[k].is_u ? cases[k].u : 99));
        assert_true(i == (cases[k].is_i ? cases[k].i : 99));
        arena_release(&arena);
    }
    assert_false(json_u64(NULL, &(uint64_t){0}));
    assert_false(json_i64(NULL, &(int64_t){0}));
}

/* ------------------------------------------------------------------------------------- memory */

struct failing {
    size_t left; /* allocations that still succeed */
};

static bool fail_hook(void *ctx, size_t size)
{
    (void)size;
    struct failing *f = ctx;
    if (f->left == 0)
        return false;
    f->left--;
    return true;
}

static void every_failed_allocation_is_nomem(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    size_t at;
    many_names(&b, 2000, 2000, &at);
    size_t n = 0;
    for (bool done = false; !done; n++) {
        assert_true(n < 10000);
        struct failing f = {n};
        struct kf_err err = KF_ERR_INIT;
        struct arena arena = ARENA_INIT;
        struct json_node *root;
        mem_set_hook(fail_hook, &f);
        kf_rc checked = json_check(buf_view(&b), NULL, NULL, &err);
        f.left = n;
        kf_rc parsed = json_parse(buf_view(&b), NULL, &arena, &root, &err);
        mem_set_hook(NULL, NULL);
        assert_true(checked == KF_OK || checked == KF_NOMEM);
        assert_true(parsed == KF_OK || parsed == KF_NOMEM);
        if (parsed == KF_NOMEM)
            assert_string_equal(err.code, "no_memory");
        done = checked == KF_OK && parsed == KF_OK;
        arena_release(&arena);
    }
    assert_true(n > 10);
    buf_release(&b);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "cases") == 0) {
        size_t count;
        return run_cases(&count) > 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_has_its_verdict),
#ifdef KF_TEST_HOOKS
        {"saboteur json-overlong fails the cases", saboteur_is_found, NULL, NULL, argv[0]},
#endif
        cmocka_unit_test(beginnings_end_at_their_length),
        cmocka_unit_test(changed_bytes_are_found_where_they_show),
        cmocka_unit_test(details_say_where_and_what_to_do),
        cmocka_unit_test(details_stay_utf8),
        cmocka_unit_test(limits_can_be_narrower_and_wider),
        cmocka_unit_test(duplicates_are_found_among_many),
        cmocka_unit_test(first_of_several_duplicates_counts),
        cmocka_unit_test(names_of_one_hash_do_not_stall),
        cmocka_unit_test(small_documents_need_no_heap),
        cmocka_unit_test(tree_has_the_shape_of_the_text),
        cmocka_unit_test(types_are_told),
        cmocka_unit_test(outputs_are_untouched_by_refusals),
        cmocka_unit_test(text_is_unescaped),
        cmocka_unit_test(integers_are_exact_or_refused),
        cmocka_unit_test(every_failed_allocation_is_nomem),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
