/* Words without marks, questions, snippets. */
#include "testing.h"

#include "base/err.h"
#include "base/fold.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* --------------------------------------------------------------------------------------- words */

static const struct {
    const char *text, *folded;
} words[] = {
    {"", ""},
    {"...", ""},
    {"Hello, World", " hello world "},
    {"a", " a "},
    {"e-mail snake_case don't 12:30 3.14", " e mail snake case don t 12 30 3 14 "},
    /* Polish */
    {"Zażółć gęślą jaźń", " zazolc gesla jazn "},
    {"ZAŻÓŁĆ GĘŚLĄ JAŹŃ", " zazolc gesla jazn "},
    {"Łódź, Wrocław; Kraków!", " lodz wroclaw krakow "},
    /* Danish, Norwegian, Swedish, Icelandic */
    {"Rødgrød med fløde på Ærø", " rodgrod med flode pa aero "},
    {"Ångström ÅRHUS", " angstrom arhus "},
    {"Þórður Guðmundsdóttir", " thordur gudmundsdottir "},
    /* German */
    {"Größe Straße GRÖẞE Übermut", " grosse strasse grosse ubermut "},
    /* French */
    {"L'œuvre déjà FAÇADE Noël Æsop", " l oeuvre deja facade noel aesop "},
    /* Czech, Slovak */
    {"Příliš žluťoučký kůň úpěl ďábelské ódy", " prilis zlutoucky kun upel dabelske ody "},
    {"Ľubica Čučoriedka", " lubica cucoriedka "},
    /* Vietnamese */
    {"Tiếng Việt ĐƯỜNG phở Nguyễn", " tieng viet duong pho nguyen "},
    /* Turkish, Croatian, Maltese, Catalan, Hungarian, Romanian */
    {"Işık İstanbul ığdır", " isik istanbul igdir "},
    {"Đorđević ǆ Ǆ Čačak", " dordevic dz dz cacak "},
    {"Ħal Għargħur", " hal gharghur "},
    {"Paral·lel coŀlega", " paral lel collega "},
    {"árvíztűrő tükörfúrógép", " arvizturo tukorfurogep "},
    {"Ștefan Şerban Țară", " stefan serban tara "},
    /* Greek */
    {"ΆΝΘΡΩΠΟΣ άνθρωπος Ἀθῆναι ᾳ", " ανθρωποσ ανθρωποσ αθηναι α "},
    {"Οδυσσεύς ΟΔΥΣΣΕΥΣ", " οδυσσευσ οδυσσευσ "},
    /* Cyrillic */
    {"Ёлка ЕЛКА Йод", " елка елка иод "},
    {"Україна ЇЖАК Ґудзик", " украіна іжак ґудзик "},
    {"Ђорђе Љиљана", " ђорђе љиљана "},
    /* As one character, and as a letter with marks */
    {"o\xCC\x81 Z\xCC\x87 e\xCC\x81\xCC\x82", " o z e "},
    {"и\xCC\x86 е\xCC\x88", " и е "},
    /* A mark that stands alone is nothing; a soft hyphen does not separate */
    {"\xCC\x81 a\xC2\xADz", " az "},
    {"זָהָב كِتَاب", " זהב كتاب "},
    /* Ligatures, full width, numbers */
    {"ﬁnance ＫＦ７ m² Ⅷ ª", " finance kf7 m2 viii a "},
    {"٣٤ ३", " 34 3 "},
    {"½ µm", " ½ μm "},
    /* One word for each */
    {"東京とABC京", " 東 京 と abc 京 "},
    {"हिन्दी ไทย 한국어", " हिन्दी ไทย 한국어 "},
    /* No letters */
    {"👍 ❤️ €5", " 5 "},
    {"a\xFF"
     "b\x80",
     " a b "},
    {"\xC5", ""},
};

static void words_lose_their_marks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        struct buf out = BUF_INIT;
        assert_int_equal(fold_text(str_of(words[i].text), &out, NULL), KF_OK);
        assert_string_equal(out.len ? out.p : "", words[i].folded);
        struct buf again = BUF_INIT;
        assert_int_equal(fold_text(buf_view(&out), &again, NULL), KF_OK);
        assert_true(str_eq(buf_view(&out), buf_view(&again)));
        buf_release(&out);
        buf_release(&again);
    }
}

static void a_word_knows_where_it_stood(void **state)
{
    (void)state;
    struct fold_reader r;
    str text = STR("  Łódź,e\xCC\x81 東");
    fold_begin(&r, text);
    assert_true(fold_next(&r));
    assert_true(str_eq(str_make(text.p + r.from, r.to - r.from), STR("Łódź")));
    assert_true(fold_next(&r));
    assert_true(str_eq(str_make(text.p + r.from, r.to - r.from), STR("e\xCC\x81")));
    assert_true(fold_next(&r));
    assert_int_equal(r.from, text.len - 3);
    assert_int_equal(r.to, text.len);
    assert_false(fold_next(&r));
    assert_false(fold_next(&r));
}

static void long_words_are_cut_between_characters(void **state)
{
    (void)state;
    struct buf text = BUF_INIT, out = BUF_INIT;
    buf_byte(&text, 'a');
    for (int i = 0; i < 200; i++)
        buf_c(&text, "Ж");
    buf_c(&text, " b");
    assert_int_equal(fold_text(buf_view(&text), &out, NULL), KF_OK);
    assert_int_equal(out.len, 1 + 127 + 3);
    assert_int_equal(str_utf8_valid(buf_view(&out)), out.len);
    assert_true(str_ends(buf_view(&out), STR("ж b ")));
    buf_release(&text);
    buf_release(&out);
}

static void long_texts_are_cut_between_words(void **state)
{
    (void)state;
    struct buf text = BUF_INIT, out = BUF_INIT;
    for (int i = 0; i < FOLD_TEXT_MAX / 5; i++)
        buf_c(&text, "abcdef,");
    buf_c(&out, "kept");
    assert_int_equal(fold_text(buf_view(&text), &out, NULL), KF_OK);
    assert_in_range(out.len - 4, FOLD_TEXT_MAX - 8, FOLD_TEXT_MAX);
    assert_true(str_ends(buf_view(&out), STR(" abcdef ")));
    assert_true(str_starts(buf_view(&out), STR("kept abcdef ")));
    buf_release(&text);
    buf_release(&out);
}

/* ---------------------------------------------------------------------------------------- JSON */

static void of_json_only_string_values_are_text(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text, *folded;
    } cases[] = {
        {"{\"role\":\"user\",\"text\":\"Za\\u017c\\u00f3\\u0142\\u0107 \\\"g\\\"\",\"n\":17}",
         "user\nZażółć \"g\"", " user zazolc g "},
        {"[\"a\",[\"b\",{\"x\":\"c\"}],null,true,1.5]", "a\nb\nc", " a b c "},
        {"\"\\ud83d\\udc4d ok\"", "👍 ok", " ok "},
        {"[\"\",\"x\",\"\"]", "\nx\n", " x "},
        {"{\"name\":{}}", "", ""},
        {"12", "", ""},
        {"\"one\\ntwo\"", "one\ntwo", " one two "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf text = BUF_INIT, folded = BUF_INIT;
        assert_int_equal(fold_strings(str_of(cases[i].json), &text, NULL), KF_OK);
        assert_string_equal(text.len ? text.p : "", cases[i].text);
        assert_int_equal(fold_json(str_of(cases[i].json), &folded, NULL), KF_OK);
        assert_string_equal(folded.len ? folded.p : "", cases[i].folded);
        buf_release(&text);
        buf_release(&folded);
    }
}

static void what_is_no_json_is_refused(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    buf_c(&out, "before");
    assert_int_equal(fold_json(STR("[\"a\",\"b\"x"), &out, &err), KF_INVALID);
    assert_string_equal(err.code, "bad_json");
    assert_int_equal(err.offset, 8);
    assert_string_equal(out.p, "before");
    assert_int_equal(fold_strings(STR("[\"a\",\"b\"x"), &out, &err), KF_INVALID);
    assert_string_equal(out.p, "before");
    buf_release(&out);
}

/* ----------------------------------------------------------------------------------- questions */

static const struct {
    const char *question, *terms; /* each term, then `*` or `.` */
} questions[] = {
    {"Bitcoin", " bitcoin ."},
    {"  sprzedać\tŁÓDŹ ", " sprzedac . lodz ."},
    {"\"nowy Rok\"", " nowy rok ."},
    {"bit*", " bit*"},
    {"bit* \"czy powinienem\" dług", " bit* czy powinienem . dlug ."},
    {"e-mail", " e mail ."},
    {"e-mai*", " e mai*"},
    {"12:30", " 12 30 ."},
    {"東京", " 東 京 ."},
    {"東京*", " 東 京*"},
    {"a - b & c", " a . b . c ."},
    {"a a A á a*", " a . a*"},
    {"\"a\"b\"c d\"", " a . b . c d ."},
    {"x* \"y\"", " x* y ."},
    {"x*\"y\"", " x* y ."},
    {"a\xC2\xA0"
     "b\xE3\x80\x80"
     "c",
     " a . b . c ."},
    {"Za\xCC\x81*", " za*"},
    {"AND OR NOT", " and . or . not ."},
    {"body:x", " body x ."},
};

static void questions_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        struct fold_query q;
        struct kf_err err = KF_ERR_INIT;
        struct buf got = BUF_INIT;
        assert_int_equal(fold_query_read(str_of(questions[i].question), &q, &err), KF_OK);
        for (size_t n = 0; n < q.count; n++) {
            buf_str(&got, fold_term_text(&q, n));
            buf_byte(&got, q.terms[n].prefix ? '*' : '.');
        }
        assert_string_equal(got.p, questions[i].terms);
        buf_release(&got);
    }
}

static const struct {
    const char *question;
    int64_t offset;
    const char *word; /* in the sentence */
} refused[] = {
    {"", 0, "at least one word"},
    {"   ", 0, "at least one word"},
    {"--- &", 0, "at least one word"},
    {"👍", 0, "at least one word"},
    {"*", 0, "part*"},
    {"a *", 2, "part*"},
    {"*a", 0, "part*"},
    {"a-*", 2, "part*"},
    {"a**", 2, "nothing follows"},
    {"a*b", 2, "nothing follows"},
    {"a \"b", 2, "no end"},
    {"\"", 0, "no end"},
    {"a \"\"", 2, "no word between"},
    {"\"...\"", 0, "no word between"},
    {"\"a b\"*", 5, "star cannot follow a phrase"},
    {"a\xFF", 1, "UTF-8"},
    {"\"a\xC5", 2, "UTF-8"},
};

static void what_cannot_be_asked_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct fold_query q = {.count = 77};
        struct kf_err err = KF_ERR_INIT;
        assert_int_equal(fold_query_read(str_of(refused[i].question), &q, &err), KF_INVALID);
        assert_string_equal(err.code, "bad_filter");
        assert_int_equal(err.offset, refused[i].offset);
        assert_non_null(strstr(err.detail, refused[i].word));
        assert_int_equal(q.count, 77);
    }
    struct fold_query q;
    struct kf_err err = KF_ERR_INIT;
    assert_int_equal(fold_query_read(str_make("a\0b", 3), &q, &err), KF_INVALID);
    assert_int_equal(err.offset, 1);
}

static void questions_have_bounds(void **state)
{
    (void)state;
    struct fold_query q;
    struct kf_err err = KF_ERR_INIT;
    struct buf text = BUF_INIT;
    /* What grows most: a Roman numeral of one character beside an ideograph. */
    while (text.len + 6 <= FOLD_QUERY_MAX)
        buf_c(&text, "Ⅷ東");
    assert_int_equal(fold_query_read(buf_view(&text), &q, &err), KF_OK);
    assert_int_equal(q.count, 1);
    while (text.len <= FOLD_QUERY_MAX)
        buf_byte(&text, ' ');
    assert_int_equal(fold_query_read(buf_view(&text), &q, &err), KF_INVALID);
    assert_int_equal(err.offset, FOLD_QUERY_MAX);
    buf_clear(&text);
    for (int i = 0; i < FOLD_TERMS_MAX; i++)
        buf_printf(&text, "w%d ", i);
    assert_int_equal(fold_query_read(buf_view(&text), &q, &err), KF_OK);
    assert_int_equal(q.count, FOLD_TERMS_MAX);
    size_t last = text.len;
    buf_c(&text, "w0 more");
    assert_int_equal(fold_query_read(buf_view(&text), &q, &err), KF_INVALID);
    assert_int_equal(err.offset, last + 3);
    buf_release(&text);
}

static const struct {
    const char *question, *text;
    uint32_t rank; /* 0: no hit */
} matches[] = {
    {"bitcoin", "Czy sprzedać Bitcoin? Bitcoin!", 2},
    {"bitcoin", "Bitcoiny", 0},
    {"bit*", "Bitcoiny i bity, orbit", 2},
    {"sprzedac bitcoin", "Bitcoin: sprzedać", 2},
    {"sprzedac bitcoin", "Bitcoin: kupić", 0},
    {"\"nowy rok\"", "Nowy rok, stary rok", 1},
    {"\"nowy rok\"", "rok nowy", 0},
    {"\"nowy rok\"", "odnowy rok", 0},
    {"\"nowy rok\"", "nowy roku", 0},
    {"\"a a\"", "a a a", 2},
    {"a", "a a a", 3},
    {"e-mail", "mój E-Mail; email", 1},
    {"東京", "私は東京に", 1},
    {"東京", "京東", 0},
    {"x", "", 0},
    {"a", "a a a a a a a a a a a a a a a", FOLD_COUNT_MAX},
    {"a b", "a a a a a a a a a a a a b a a a", FOLD_COUNT_MAX + 1},
    {"a*", "a", 1},
    {"grosse", "GRÖẞE", 1},
    {"GRÖẞE", "grosse", 1},
};

static void terms_are_counted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof matches / sizeof *matches; i++) {
        struct fold_query q;
        struct buf folded = BUF_INIT;
        uint32_t rank = 0;
        assert_int_equal(fold_query_read(str_of(matches[i].question), &q, NULL), KF_OK);
        assert_int_equal(fold_text(str_of(matches[i].text), &folded, NULL), KF_OK);
        assert_int_equal(fold_match(&q, buf_view(&folded), &rank), matches[i].rank > 0);
        assert_int_equal(rank, matches[i].rank);
        assert_int_equal(fold_match(&q, buf_view(&folded), NULL), matches[i].rank > 0);
        buf_release(&folded);
    }
}

/* ------------------------------------------------------------------------------------ snippets */

/* The snippet with [ ] around its marks and … where text is left out. */
static const char *snippet(const char *question, const char *text, size_t len_max)
{
    static char out[4096];
    struct fold_query q;
    struct fold_snippet s;
    struct buf b = BUF_INIT;
    assert_int_equal(fold_query_read(str_of(question), &q, NULL), KF_OK);
    assert_int_equal(fold_snippet(&q, str_of(text), len_max, &s, NULL), KF_OK);
    assert_in_range(s.len, 0, len_max);
    str window = str_make(text + s.from, s.len);
    assert_int_equal(str_utf8_valid(window), window.len);
    size_t at = 0;
    buf_c(&b, s.before ? "…" : "");
    for (size_t i = 0; i < s.mark_count; i++) {
        assert_true(s.marks[i].from >= at && s.marks[i].to > s.marks[i].from);
        buf_add(&b, window.p + at, s.marks[i].from - at);
        buf_byte(&b, '[');
        buf_add(&b, window.p + s.marks[i].from, s.marks[i].to - s.marks[i].from);
        buf_byte(&b, ']');
        at = s.marks[i].to;
    }
    buf_add(&b, window.p + at, window.len - at);
    buf_c(&b, s.after ? "…" : "");
    assert_true(b.len < sizeof out);
    memcpy(out, b.len ? b.p : "", b.len + 1);
    buf_release(&b);
    return out;
}

static void snippets_mark_what_was_found(void **state)
{
    (void)state;
    assert_string_equal(snippet("sprzedac", "Czy sprzedać Bitcoin?", 100),
                        "Czy [sprzedać] Bitcoin?");
    assert_string_equal(snippet("bit* czy", "Czy sprzedać Bitcoin?", 100),
                        "[Czy] sprzedać [Bitcoin]?");
    assert_string_equal(snippet("\"czy sprzedac\"", "Czy sprzedać Bitcoin? czy", 100),
                        "[Czy sprzedać] Bitcoin? czy");
    assert_string_equal(snippet("\"a b\" \"b c\" d", "x a b, c d e d", 100),
                        "x [a b, c] [d] e [d]");
    assert_string_equal(snippet("東京", "私は東京に 京", 100), "私は[東京]に 京");
    assert_string_equal(snippet("e-mail", "mój E-Mail.", 100), "mój [E-Mail].");
    assert_string_equal(snippet("absent", "nothing of it", 100), "nothing of it");
    assert_string_equal(snippet("x", "", 100), "");
    assert_string_equal(snippet("e", "e\xCC\x81", 100), "[e\xCC\x81]");
}

static void snippets_are_windows(void **state)
{
    (void)state;
    const char *text =
        "Zażółć gęślą jaźń, a potem jeszcze raz od początku: zażółć gęślą jaźń i koniec.";
    assert_string_equal(snippet("poczatku", text, 32), "…raz od [początku]: zażółć…");
    assert_string_equal(snippet("zazolc", text, 24), "[Zażółć] gęślą…");
    assert_string_equal(snippet("koniec", text, 24), "…jaźń i [koniec].");
    assert_string_equal(snippet("absent", text, 24), "Zażółć gęślą…");
    /* A match that is longer than the window, and a word without end. */
    assert_string_equal(snippet("\"gesla jazn a potem\"", text, 16), "…[gęślą jaźń],…");
    char word[300];
    memset(word, 'x', sizeof word);
    word[sizeof word - 1] = '\0';
    assert_string_equal(snippet("xx*", word, 16), "[xxxxxxxxxxxxxxxx]…");
    /* Characters of four bytes on every border. */
    for (size_t len = 16; len < 40; len++)
        (void)snippet("z", "👍👍👍👍👍👍👍👍👍👍👍👍👍👍z👍👍👍👍👍👍👍👍👍👍👍👍👍👍", len);
    /* A match at the end is not lost to the borders of characters. */
    for (size_t len = 16; len < 40; len++)
        assert_non_null(strstr(snippet("z", "👍👍👍👍👍👍👍👍👍👍👍👍👍👍z", len), "[z]"));
}

static void marks_have_a_bound(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct fold_query q;
    struct fold_snippet s;
    for (int i = 0; i < 200; i++)
        buf_c(&text, "a b ");
    assert_int_equal(fold_query_read(STR("a"), &q, NULL), KF_OK);
    assert_int_equal(fold_snippet(&q, buf_view(&text), 1000, &s, NULL), KF_OK);
    assert_int_equal(s.mark_count, FOLD_MARKS_MAX);
    buf_release(&text);
}

/* ------------------------------------------------------------------------- the whole of it */

static void folding_random_text_is_done_once(void **state)
{
    (void)state;
    uint64_t seed = 4;
    for (int round = 0; round < 3000; round++) {
        struct buf text = BUF_INIT, once = BUF_INIT, twice = BUF_INIT;
        for (uint64_t n = testing_random(&seed) % 40; n > 0; n--) {
            uint64_t kind = testing_random(&seed) % 4;
            uint64_t code = kind == 0   ? testing_random(&seed) % 0x80
                            : kind == 1 ? 0x80 + testing_random(&seed) % 0x780
                            : kind == 2 ? 0x800 + testing_random(&seed) % 0xD000
                                        : 0xE000 + testing_random(&seed) % 0x2000;
            if (code < 0x80) {
                buf_byte(&text, (char)code);
            } else if (code < 0x800) {
                buf_byte(&text, (char)(0xC0 | code >> 6));
                buf_byte(&text, (char)(0x80 | (code & 0x3F)));
            } else {
                buf_byte(&text, (char)(0xE0 | code >> 12));
                buf_byte(&text, (char)(0x80 | (code >> 6 & 0x3F)));
                buf_byte(&text, (char)(0x80 | (code & 0x3F)));
            }
        }
        assert_int_equal(fold_text(buf_view(&text), &once, NULL), KF_OK);
        assert_int_equal(fold_text(buf_view(&once), &twice, NULL), KF_OK);
        assert_true(str_eq(buf_view(&once), buf_view(&twice)));
        assert_int_equal(str_utf8_valid(buf_view(&once)), once.len);
        buf_release(&text);
        buf_release(&once);
        buf_release(&twice);
    }
}

/* Takes as long as the text is, however often the terms nearly match. */
static void it_takes_linear_time(void **state)
{
    (void)state;
    struct buf text = BUF_INIT, folded = BUF_INIT;
    struct fold_query q;
    struct fold_snippet s;
    testing_guard(60);
    for (int i = 0; i < 100000; i++)
        buf_c(&text, "a ");
    buf_c(&text, "b");
    assert_int_equal(fold_query_read(STR("\"a a a a a a a a a a a a a a a b\" aa* b"), &q, NULL),
                     KF_OK);
    assert_int_equal(fold_text(buf_view(&text), &folded, NULL), KF_OK);
    for (int i = 0; i < 20; i++)
        assert_false(fold_match(&q, buf_view(&folded), NULL));
    for (int i = 0; i < 20; i++)
        assert_int_equal(fold_snippet(&q, buf_view(&text), 200, &s, NULL), KF_OK);
    assert_true(s.mark_count == 1 && s.before && !s.after);
    testing_guard(0);
    buf_release(&text);
    buf_release(&folded);
}

static kf_rc all_of_it(void *ctx)
{
    struct buf text = BUF_INIT, folded = BUF_INIT;
    struct fold_query q;
    struct fold_snippet s = {.len = 77};
    str json = STR("{\"text\":\"Czy sprzedać Bitcoin, je\\u015bli wszyscy to robią?\"}");
    (void)ctx;
    assert_int_equal(fold_query_read(STR("bit*"), &q, NULL), KF_OK);
    kf_rc rc = fold_strings(json, &text, NULL);
    if (rc == KF_OK)
        rc = fold_json(json, &folded, NULL);
    if (rc == KF_OK) {
        assert_true(fold_match(&q, buf_view(&folded), NULL));
        rc = fold_snippet(&q, buf_view(&text), 30, &s, NULL);
        assert_int_equal(s.len == 77, rc != KF_OK);
    } else {
        assert_int_equal(folded.len, 0);
    }
    buf_release(&text);
    buf_release(&folded);
    return rc;
}

static void no_memory(void **state)
{
    (void)state;
    assert_true(testing_oom_each(all_of_it, NULL) > 6);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_lose_their_marks),
        cmocka_unit_test(a_word_knows_where_it_stood),
        cmocka_unit_test(long_words_are_cut_between_characters),
        cmocka_unit_test(long_texts_are_cut_between_words),
        cmocka_unit_test(of_json_only_string_values_are_text),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(questions_are_read),
        cmocka_unit_test(what_cannot_be_asked_is_told),
        cmocka_unit_test(questions_have_bounds),
        cmocka_unit_test(terms_are_counted),
        cmocka_unit_test(snippets_mark_what_was_found),
        cmocka_unit_test(snippets_are_windows),
        cmocka_unit_test(marks_have_a_bound),
        cmocka_unit_test(folding_random_text_is_done_once),
        cmocka_unit_test(it_takes_linear_time),
        cmocka_unit_test(no_memory),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("fold", tests, NULL, NULL);
}
