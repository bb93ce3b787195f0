/* Three-way merge of texts. */
#include "testing.h"

#include "../json/merge3.h"

#include <stdio.h>
#include <string.h>

struct merge_case {
    const char *base, *ours, *theirs;
    bool ours_win;
    const char *result;
    uint32_t clashes;
};

static void check(const struct merge_case *c)
{
    struct buf out = BUF_INIT;
    uint32_t clashes = UINT32_MAX;
    assert_int_equal(json_merge3(str_of(c->base), str_of(c->ours), str_of(c->theirs), c->ours_win,
                                 &out, &clashes, NULL),
                     KF_OK);
    if (!str_is(buf_view(&out), c->result) || clashes != c->clashes)
        fail_msg("%s with %s and %s: %s and %u clashes instead of %s and %u", c->base, c->ours,
                 c->theirs, out.p, clashes, c->result, c->clashes);
    buf_release(&out);
}

static void members_are_merged(void **state)
{
    (void)state;
    static const struct merge_case cases[] = {
        /* one side, or both alike */
        {"{\"a\":1,\"b\":2}", "{\"a\":9,\"b\":2}", "{\"a\":1,\"b\":8}", true, "{\"a\":9,\"b\":8}",
         0},
        {"{\"a\":1}", "{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":3}", true, "{\"a\":1,\"b\":2,\"c\":3}",
         0},
        {"{\"a\":1,\"b\":2,\"c\":3}", "{\"b\":2,\"c\":3}", "{\"a\":1,\"b\":2}", false, "{\"b\":2}",
         0},
        {"{\"a\":1,\"b\":2}", "{\"a\":3,\"b\":2,\"x\":1}", "{\"b\":5,\"a\":3.0}", true,
         "{\"a\":3,\"b\":5,\"x\":1}", 0},
        {"{\"a\":1,\"b\":2}", "{\"b\":3}", "{\"b\":2,\"c\":4}", true, "{\"b\":3,\"c\":4}", 0},
        /* both, differently */
        {"{\"a\":1,\"b\":2}", "{\"a\":3,\"b\":2}", "{\"a\":4,\"b\":5}", true, "{\"a\":3,\"b\":5}",
         1},
        {"{\"a\":1,\"b\":2}", "{\"a\":3,\"b\":2,\"c\":1}", "{\"a\":4,\"b\":2}", false,
         "{\"a\":4,\"b\":2,\"c\":1}", 1},
        {"{\"a\":1}", "{\"c\":1}", "{\"a\":2,\"d\":1}", true, "{\"c\":1,\"d\":1}", 1},
        {"{\"a\":1}", "{\"c\":1}", "{\"a\":2,\"d\":1}", false, "{\"c\":1,\"a\":2,\"d\":1}", 1},
        {"{\"a\":1}", "{\"a\":2,\"c\":1}", "{\"d\":1}", true, "{\"a\":2,\"c\":1,\"d\":1}", 1},
        {"{\"a\":1}", "{\"a\":2,\"c\":1}", "{\"d\":1}", false, "{\"c\":1,\"d\":1}", 1},
        {"{}", "{\"a\":1,\"b\":1}", "{\"a\":2,\"c\":1}", false, "{\"a\":2,\"b\":1,\"c\":1}", 1},
        /* members are merged as wholes */
        {"{\"a\":{\"x\":1,\"y\":1}}", "{\"a\":{\"x\":2,\"y\":1},\"b\":1}",
         "{\"a\":{\"x\":1,\"y\":2},\"c\":1}", true, "{\"a\":{\"x\":2,\"y\":1},\"b\":1,\"c\":1}", 1},
        {"{\"a\":[1,2]}", "{\"a\":[1,2],\"b\":1}", "{\"a\":[1,2,3]}", true,
         "{\"a\":[1,2,3],\"b\":1}", 0},
        /* null is a value, not absence */
        {"{\"a\":null}", "{\"a\":null,\"b\":1}", "{\"c\":null}", true, "{\"b\":1,\"c\":null}", 0},
        {"{}", "{\"a\":null,\"x\":1}", "{\"y\":1}", true, "{\"a\":null,\"x\":1,\"y\":1}", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(&cases[i]);
}

static void bytes_stay(void **state)
{
    (void)state;
    static const struct merge_case cases[] = {
        /* the result is one of them: its text */
        {"{\"a\":1}", "{ \"a\" : 2 }\n", "{\"a\":1.0}", false, "{ \"a\" : 2 }\n", 0},
        {"{\"a\":1}", "{ \"a\" : 1.0 }", "{\n  \"a\": 5\n}\n", true, "{\n  \"a\": 5\n}\n", 0},
        {"{\"a\":1}", "{ \"a\" : 2 }", "{\"a\":20e-1}", false, "{ \"a\" : 2 }", 0},
        {"{\"a\":1}", "{\"a\":2}", "{ \"a\" : 3 }", false, "{ \"a\" : 3 }", 1},
        /* members that nobody changed keep theirs, also where the other writes them otherwise */
        {"{\"a\":1,\"b\":2}", " {\n  \"a\": 1.00,\n  \"b\": 3\n}\n",
         "{\"c\":[ 1 ],\"b\":2,\"a\":1}", true,
         " {\n  \"a\": 1.00,\n  \"b\": 3,\n  \"c\": [ 1 ]\n}\n", 0},
        {"{\"a\":1,\"b\":2,\"c\":3}", "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 4\n}\n",
         "{\"b\":2,\"c\":3}", true, "{\n  \"b\": 2,\n  \"c\": 4\n}\n", 0},
        {"{\"a\":1,\"b\":2,\"c\":3}", "{\n  \"a\": 7,\n  \"b\": 2,\n  \"c\": 3\n}\n",
         "{\"a\":1,\"b\":2}", true, "{\n  \"a\": 7,\n  \"b\": 2\n}\n", 0},
        {"{\"\\u0061\":1}", "{\"a\":1,\"b\":1}", "{\"\\u0061\":2}", true, "{\"a\":2,\"b\":1}", 0},
        {"{\"a\":1,\"b\":1}", "{\"b\":2, \"a\":1 }", "{\"b\":1}", true, "{\"b\":2 }", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(&cases[i]);
}

static void what_is_no_object_is_one_member(void **state)
{
    (void)state;
    static const struct merge_case cases[] = {
        {"1", "2", "1", false, "2", 0},
        {"1", "1.0", "2", true, "2", 0},
        {"1", "2", "3", true, "2", 1},
        {"1", "2", "3", false, "3", 1},
        {"[1]", "{\"a\":1}", "{\"b\":1}", true, "{\"a\":1}", 1},
        {"{\"a\":1}", "[1]", "{\"a\":1,\"b\":2}", true, "[1]", 1},
        {"{\"a\":1}", "{\"a\":1}", "[1]", true, "[1]", 0},
        {"[1]", "{\"a\":1}", "{\"a\":1e0}", false, "{\"a\":1}", 0},
        {"\"x\"", "{}", "\"\\u0078\"", false, "{}", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(&cases[i]);
}

static void what_is_no_json_is_refused(void **state)
{
    (void)state;
    for (int bad = 0; bad < 3; bad++) {
        struct buf out = BUF_INIT;
        struct kf_err err = KF_ERR_INIT;
        uint32_t clashes = 7;
        str texts[3] = {STR("{}"), STR("{}"), STR("{}")};
        texts[bad] = STR("{\"a\":1,}");
        buf_c(&out, "before");
        assert_int_equal(json_merge3(texts[0], texts[1], texts[2], true, &out, &clashes, &err),
                         KF_INVALID);
        assert_int_equal(err.offset, 7);
        assert_int_equal(clashes, 7);
        assert_string_equal(out.p, "before");
        buf_release(&out);
    }
}

/* ------------------------------------------------------------------------------ exhaustively
 *
 * A document of the model is one digit for each name, 0 = absent. */

#define NAMES_MAX 3

struct world {
    int names, values; /* per name: absent, 1 .. values - 1 */
    int docs;
};

static int digit_of(const struct world *w, int doc, int name)
{
    while (name--)
        doc /= w->values;
    return doc % w->values;
}

/* Names rise in ours and base and fall in theirs, so that the order of the result shows. */
static void put_doc(const struct world *w, int doc, bool falling, char *out)
{
    size_t n = 0;
    out[n++] = '{';
    for (int i = 0; i < w->names; i++) {
        int name = falling ? w->names - 1 - i : i, digit = digit_of(w, doc, name);
        if (!digit)
            continue;
        if (n > 1)
            out[n++] = ',';
        n += (size_t)snprintf(out + n, 8, "\"%c\":%d", 'a' + name, digit);
    }
    out[n++] = '}';
    out[n] = 0;
}

static int model_digit(int b, int o, int t, bool ours_win, uint32_t *clashes)
{
    if (o == t || t == b)
        return o;
    if (o == b)
        return t;
    ++*clashes;
    return ours_win ? o : t;
}

/* In the order of ours; what ours does not have follows in the order of theirs. */
static void model_text(const struct world *w, const int digits[NAMES_MAX], int o, char *out)
{
    size_t n = 0;
    out[n++] = '{';
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < w->names; i++) {
            int name = round ? w->names - 1 - i : i;
            bool in_ours = digit_of(w, o, name) != 0;
            if (!digits[name] || in_ours == (round == 1))
                continue;
            if (n > 1)
                out[n++] = ',';
            n += (size_t)snprintf(out + n, 8, "\"%c\":%d", 'a' + name, digits[name]);
        }
    }
    out[n++] = '}';
    out[n] = 0;
}

static void check_triple(const struct world *w, int b, int o, int t, bool ours_win, struct buf *out)
{
    char base[40], ours[40], theirs[40], wanted[40];
    int digits[NAMES_MAX] = {0};
    uint32_t clashes = 0, got = UINT32_MAX;
    bool is_ours = true, is_theirs = true;
    for (int name = 0; name < w->names; name++) {
        int od = digit_of(w, o, name), td = digit_of(w, t, name);
        digits[name] = model_digit(digit_of(w, b, name), od, td, ours_win, &clashes);
        is_ours = is_ours && digits[name] == od;
        is_theirs = is_theirs && digits[name] == td;
    }
    put_doc(w, b, false, base);
    put_doc(w, o, false, ours);
    put_doc(w, t, true, theirs);
    if (is_ours)
        put_doc(w, o, false, wanted);
    else if (is_theirs)
        put_doc(w, t, true, wanted);
    else
        model_text(w, digits, o, wanted);
    buf_clear(out);
    assert_int_equal(
        json_merge3(str_of(base), str_of(ours), str_of(theirs), ours_win, out, &got, NULL), KF_OK);
    if (!str_is(buf_view(out), wanted) || got != clashes)
        fail_msg("%s with %s and %s, %s win: %s and %u clashes instead of %s and %u", base, ours,
                 theirs, ours_win ? "ours" : "theirs", out->p, got, wanted, clashes);
}

static void every_small_triple_is_the_models(void **state)
{
    (void)state;
    static const struct world worlds[] = {{3, 3, 27}, {2, 4, 16}, {1, 5, 5}};
    struct buf out = BUF_INIT;
    for (size_t i = 0; i < sizeof worlds / sizeof *worlds; i++) {
        const struct world *w = &worlds[i];
        for (int b = 0; b < w->docs; b++)
            for (int o = 0; o < w->docs; o++)
                for (int t = 0; t < w->docs; t++)
                    for (int ours_win = 0; ours_win < 2; ours_win++)
                        check_triple(w, b, o, t, ours_win, &out);
    }
    buf_release(&out);
}

/* ----------------------------------------------------------------------------------- at random */

static uint64_t pick(uint64_t *seed, uint64_t below)
{
    return testing_random(seed) % below;
}

static void put_value(struct buf *b, uint64_t *seed, int depth)
{
    static const char *const scalars[] = {"1", "1.0", "2", "null", "\"x\"", "\"\\u0078\"", "-0"};
    uint64_t kind = pick(seed, depth > 2 ? 7 : 11);
    if (kind < 7) {
        buf_c(b, scalars[kind]);
        return;
    }
    bool object = kind < 9;
    buf_byte(b, object ? '{' : '[');
    for (uint64_t i = 0, n = pick(seed, 3); i < n; i++) {
        buf_c(b, i ? " ," : "");
        if (object)
            buf_printf(b, "\"m%d\":", (int)i);
        put_value(b, seed, depth + 1);
    }
    buf_byte(b, object ? '}' : ']');
}

/* Mostly an object of a few members in any order; names have two spellings. */
static void put_text(struct buf *b, uint64_t *seed)
{
    static const char *const names[2][6] = {
        {"a", "b", "", "\xC5\xBC", "x y", "\\n"},
        {"\\u0061", "b", "", "\\u017c", "x\\u0020y", "\\u000a"},
    };
    static const char *const blanks[] = {"", " ", "\n  "};
    const char *blank = blanks[pick(seed, 3)];
    buf_clear(b);
    if (pick(seed, 12) == 0) {
        put_value(b, seed, 0);
        return;
    }
    buf_printf(b, "%s{", blank);
    uint64_t first = pick(seed, 6), any = 0, step = pick(seed, 2) ? 1 : 5;
    for (uint64_t i = 0; i < 6; i++) {
        if (pick(seed, 2))
            continue;
        buf_printf(b, "%s%s\"%s\"%s:", any++ ? "," : "", blank,
                   names[pick(seed, 2)][(first + i * step) % 6], blank);
        put_value(b, seed, 1);
    }
    buf_printf(b, "%s}%s", blank, blank);
}

static void what_must_hold_holds_of_random_texts(void **state)
{
    (void)state;
    uint64_t seed = 3301;
    struct buf text[3] = {BUF_INIT, BUF_INIT, BUF_INIT};
    for (int round = 0; round < 4000; round++) {
        for (int i = 0; i < 3; i++)
            put_text(&text[i], &seed);
        const char *broken = merge3_broken(buf_view(&text[0]), buf_view(&text[1]),
                                           buf_view(&text[2]), pick(&seed, 2));
        if (broken)
            fail_msg("%s with %s and %s: not so: %s", text[0].p, text[1].p, text[2].p, broken);
    }
    for (int i = 0; i < 3; i++)
        buf_release(&text[i]);
}

/* ------------------------------------------------------------------------------ size and memory */

static void many_members_are_not_quadratic(void **state)
{
    (void)state;
    struct buf base = BUF_INIT, ours = BUF_INIT, theirs = BUF_INIT, out = BUF_INIT;
    struct buf wanted = BUF_INIT;
    enum { MANY = 60000 };
    uint32_t clashes = 1;
    for (int i = 0; i < MANY; i++) {
        char comma = i ? ',' : '{';
        buf_printf(&base, "%c\"k%d\":%d", comma, i, i);
        buf_printf(&ours, "%c\"k%d\":%d", comma, i, i % 3 ? i : -1);
        buf_printf(&theirs, "%c\"k%d\":%d", comma, MANY - 1 - i,
                   (MANY - 1 - i) % 3 == 1 ? -2 : MANY - 1 - i);
        buf_printf(&wanted, "%c\"k%d\":%d", comma, i, i % 3 == 0 ? -1 : i % 3 == 1 ? -2 : i);
    }
    for (int i = 0; i < MANY; i++) {
        buf_printf(&theirs, ",\"n%d\":0", i);
        buf_printf(&wanted, ",\"n%d\":0", i);
    }
    buf_byte(&base, '}');
    buf_byte(&ours, '}');
    buf_byte(&theirs, '}');
    buf_byte(&wanted, '}');
    assert_int_equal(json_merge3(buf_view(&base), buf_view(&ours), buf_view(&theirs), true, &out,
                                 &clashes, NULL),
                     KF_OK);
    assert_int_equal(clashes, 0);
    assert_true(str_eq(buf_view(&out), buf_view(&wanted)));
    buf_release(&base);
    buf_release(&ours);
    buf_release(&theirs);
    buf_release(&out);
    buf_release(&wanted);
}

static kf_rc merge_something(void *ctx)
{
    struct buf out = BUF_INIT;
    uint32_t clashes = 7;
    (void)ctx;
    kf_rc rc = json_merge3(STR("{\"a\":[1,2,{\"x\":1e99}],\"b\":1e999999999999999999999,\"c\":3}"),
                           STR("{\"a\":[1,2,{\"x\":1e98}],\"b\":1e999999999999999999999}"),
                           STR("{\"c\":4,\"a\":[1,2,{\"x\":1e99}],\"b\":2,\"d\":[[[]]]}"), true,
                           &out, &clashes, NULL);
    if (rc != KF_OK) {
        assert_int_equal(clashes, 7);
        assert_int_equal(out.len, 0);
    }
    buf_release(&out);
    return rc;
}

static void no_memory(void **state)
{
    (void)state;
    assert_true(testing_oom_each(merge_something, NULL) > 5);
}

#ifdef KF_TEST_HOOKS
static void saboteur_merge3_keeps_removed(void **state)
{
    (void)state;
    testing_saboteur("merge3-keeps-removed", "every_small_triple_is_the_models");
    testing_saboteur("merge3-keeps-removed", "what_must_hold_holds_of_random_texts");
}
#endif

int main(int argc, char **argv)
{
    testing_only(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_merged),
        cmocka_unit_test(bytes_stay),
        cmocka_unit_test(what_is_no_object_is_one_member),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(every_small_triple_is_the_models),
        cmocka_unit_test(what_must_hold_holds_of_random_texts),
        cmocka_unit_test(many_members_are_not_quadratic),
        cmocka_unit_test(no_memory),
#ifdef KF_TEST_HOOKS
        cmocka_unit_test(saboteur_merge3_keeps_removed),
#endif
    };
    return cmocka_run_group_tests_name("json_merge3", tests, NULL, NULL);
}
