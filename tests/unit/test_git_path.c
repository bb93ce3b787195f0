#include "testing.h"

#include "remote/git_path.h"

#include "base/err.h"
#include "shape/doc.h"

#include <stdlib.h>

static uint64_t seed = 11;
static uint64_t draw(uint64_t below)
{
    return testing_random(&seed) % below;
}

#define X50  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X199 X50 X50 X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define L20  "łłłłłłłłłłłłłłłłłłłł"
#define L99  L20 L20 L20 L20 "łłłłłłłłłłłłłłłłłłł"

/* --------------------------------------------------------------------------------------- forms */

static void reads_back(str path, str name)
{
    struct buf back = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    if (git_path_name(path, &back, &err) != KF_OK)
        fail_msg("%.*s: %s", STR_ARGS(path), err.detail);
    if (!str_eq(buf_view(&back), name))
        fail_msg("%.*s is the name of %.*s", STR_ARGS(buf_view(&back)), STR_ARGS(path));
    buf_release(&back);
}

static const char *const forms[][3] = {
    {"kredyty.json", "kredyty.json", "%~kredyty.json"},
    {"Daten/Größe.json", "Daten/Größe.json", "%~%44aten%2F%47r%C3%B6%C3%9Fe.json"},
    {"Zażółć gęślą", "Zażółć gęślą", "%~%5Aa%C5%BC%C3%B3%C5%82%C4%87 g%C4%99%C5%9Bl%C4%85"},
    {"Ωμέγα/Ёж/日本語/한국어/עברית/عربي", "Ωμέγα/Ёж/日本語/한국어/עברית/عربي", NULL},
    {"ガラス・ー", "ガラス%E3%83%BBー", NULL},
    {"e\u0301", "e%CC%81", "%~e%CC%81"},
    {"\u200cx", "%E2%80%8Cx", "%~%E2%80%8Cx"},
    {"\u212a", "%E2%84%AA", "%~%E2%84%AA"},
    {"ﬁ", "%EF%AC%81", NULL},
    {"😀", "%F0%9F%98%80", "%~%F0%9F%98%80"},
    {"a/b", "a/b", "%~a%2Fb"},
    {"~", "%7E", "%~%7E"},
    {"%~", "%25%7E", "%~%25%7E"},
    {"%41", "%2541", "%~%2541"},
    {"git~1", "git%7E1", "%~git%7E1"},
    {".git/.GIT", "%2Egit/%2EGIT", "%~%2Egit%2F.%47%49%54"},
    {".keepfast/docs", "%2Ekeepfast/docs", "%~%2Ekeepfast%2Fdocs"},
    {"-rf/ a /b.", "%2Drf/%20a%20/b%2E", NULL},
    {"...", "%2E.%2E", "%~%2E.%2E"},
    {"a\\b:c*?\"<>|", "a%5Cb%3Ac%2A%3F%22%3C%3E%7C", NULL},
    {"tab\there\x7f", "tab%09here%7F", "%~tab%09here%7F"},
    {"CON", "%43ON", "%~%43%4F%4E"},
    {"Aux.txt/nul", "%41ux.txt/%6Eul", NULL},
    {"Com1 .a.b", "%43om1 .a.b", NULL},
    {"lpt0/com10/console", "%6Cpt0/com10/console", NULL},
    {"ConIn$", "%43onIn$", NULL},
    {"com¹", "com%C2%B9", "%~com%C2%B9"},
    {X199 "x" X199 "x" X50, X199 "x%~/" X199 "x%~/" X50, "%~" X199 "x%~/" X199 "x%~/" X50},
    {X199 "ł", X199 "%~/ł", "%~" X199 "%~/%C5%82"},
    {L99 "xxł", L99 "xx%~/ł", NULL},
    {L99 "łx", L99 "ł%~/x", NULL},
    {L99 "x\u0301", L99 "x%~/%CC%81", NULL},
    {X199 "x.git", X199 "x%~/%2Egit", "%~" X199 "x%~/%2Egit"},
    {X199 "xNUL", X199 "x%~/%4EUL", NULL},
    {X199 "..", X199 ".%~/%2E", "%~" X199 ".%~/%2E"},
};

static void names_have_these_paths(void **state)
{
    (void)state;
    struct buf plain = BUF_INIT, apart = BUF_INIT;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        str name = str_of(forms[i][0]);
        assert_int_equal(name_check(name, NULL), KF_OK);
        buf_clear(&plain);
        buf_clear(&apart);
        git_path_plain(name, &plain);
        git_path_apart(name, &apart);
        assert_string_equal(plain.p, forms[i][1]);
        if (forms[i][2])
            assert_string_equal(apart.p, forms[i][2]);
        reads_back(buf_view(&plain), name);
        reads_back(buf_view(&apart), name);
    }
    buf_release(&plain);
    buf_release(&apart);
}

static void refused(str path)
{
    struct buf back = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    if (git_path_name(path, &back, &err) != KF_INVALID)
        fail_msg("\"%.*s\" is taken", STR_ARGS(path));
    assert_string_equal(err.code, "bad_archive");
    assert_int_equal(back.len, 0);
    buf_release(&back);
}

static void paths_that_no_name_has_are_refused(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "%2E%2E",
        ".git",
        ".keepfast/format.json",
        ".gitattributes",
        "%2egit",
        "%61",
        "%41",
        "%C5%BC",
        "%zz",
        "50%",
        "%4",
        "%",
        "a~",
        "git~1",
        "con",
        "CON",
        "Con.txt",
        "a/NUL",
        "-rf",
        "end.",
        "end ",
        " a",
        "a\\b",
        "a:b",
        "a\nb",
        "a%2Fb",
        "%2F",
        "%FF",
        "%C0%AF",
        "%ED%A0%80",
        "a%00",
        "\xff",
        "\xc5",
        "e\u0301",
        "za\u0307",
        "\u212a",
        "a\u200b",
        "a%~",
        "a%~/b",
        "%~",
        "%~/",
        "%~/a",
        "%~A",
        "%~a/b",
        "%~a%2fb",
        "%~%61",
        "%~%2F",
        "%~a%2F",
        "%~%2Fa",
        "%~ż",
        "%~.git",
        "%~%~a",
        "%~a%~",
        "%~a%~/b",
        X199 "xx",
        "%~" X199 "xx",
        X199 "%~/x",
        X199 "ł",
        L99 "ł%~/ł%~/ł",
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        refused(str_of(paths[i]));
    refused(str_make("a\0b", 3));
    struct buf longer = BUF_INIT;
    while (longer.len <= GIT_PATH_MAX)
        buf_c(&longer, "a/");
    buf_byte(&longer, 'a');
    refused(buf_view(&longer));
    buf_release(&longer);
}

/* ------------------------------------------------------------------------------ sets of names */

enum kind { PLAIN, PLAIN_FOLDER, APART, APART_FOLDER, KINDS };

/* A path that stands in some tree. Names and paths are compared by 64 bits of them: the names are
 * always the same ones, so that this is right or wrong once and for all. */
struct entry {
    uint64_t path, name; /* name of a folder: what it reads as, 0 when that is no name */
    enum kind kind;
};
struct set {
    struct entry *entries;
    size_t count, cap;
};

static uint64_t sum(str s)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    return h;
}

static void set_add(struct set *set, str path, uint64_t name, enum kind kind)
{
    if (set->count == set->cap) {
        set->cap = set->cap ? 2 * set->cap : 1 << 16;
        set->entries = realloc(set->entries, set->cap * sizeof(struct entry));
        assert_non_null(set->entries);
    }
    set->entries[set->count++] = (struct entry){sum(path), name, kind};
}

static int by_path(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return (x->path > y->path) - (x->path < y->path);
}

/* Calls `check` with each run of entries that have one path. */
static void set_each(struct set *set, void (*check)(const struct entry *run, size_t count))
{
    qsort(set->entries, set->count, sizeof(struct entry), by_path);
    for (size_t i = 0, n; i < set->count; i += n) {
        for (n = 1; i + n < set->count && set->entries[i + n].path == set->entries[i].path;)
            n++;
        check(set->entries + i, n);
    }
    free(set->entries);
    *set = (struct set){0};
}

/* Paths: P1, P2. */
static void one_name_each(const struct entry *run, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        bool folders = run[i].kind == run[0].kind &&
                       (run[0].kind == PLAIN_FOLDER || run[0].kind == APART_FOLDER);
        bool plain = run[i].kind <= PLAIN_FOLDER && run[0].kind <= PLAIN_FOLDER;
        if (!folders && !(run[i].name == run[0].name && (plain || run[i].kind == run[0].kind)))
            fail_msg("two names meet in one path, as %d and %d", run[0].kind, run[i].kind);
    }
}

/* Folds: P3. */
static void apart_stays_apart(const struct entry *run, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        bool plain = run[i].kind <= PLAIN_FOLDER && run[0].kind <= PLAIN_FOLDER;
        if (!plain && !(run[i].name == run[0].name && run[i].kind == run[0].kind))
            fail_msg("two names meet in one fold, as %d and %d", run[0].kind, run[i].kind);
    }
}

static struct set paths, folds;

static void put_path(str path, str name, enum kind kind)
{
    struct buf fold = BUF_INIT, folder = BUF_INIT;
    git_path_fold(path, &fold);
    set_add(&paths, path, sum(name), kind);
    set_add(&folds, buf_view(&fold), sum(name), kind);
    for (size_t i = 0; i < path.len; i++) {
        if (path.p[i] != '/')
            continue;
        str above = {path.p, i};
        buf_clear(&fold);
        buf_clear(&folder);
        git_path_fold(above, &fold);
        bool named = git_path_name(above, &folder, NULL) == KF_OK;
        set_add(&paths, above, named ? sum(buf_view(&folder)) : 0, kind + 1);
        set_add(&folds, buf_view(&fold), kind == APART ? sum(above) : 0, kind + 1);
    }
    buf_release(&fold);
    buf_release(&folder);
}

static bool is_one_of(str s, const char *const *words)
{
    for (; *words; words++)
        if (str_eq_nocase(s, str_of(*words)))
            return true;
    return false;
}

/* What every segment of a path promises to git and file systems: P4. */
static void segment_is_harmless(str s)
{
    static const char *const devices[] = {"con",  "prn",  "aux",    "nul",     "com0", "com1",
                                          "lpt1", "lpt9", "conin$", "conout$", NULL};
    assert_in_range(s.len, 1, 206);
    assert_true(s.p[0] != '.' && s.p[0] != '-' && s.p[0] != ' ');
    assert_true(s.p[s.len - 1] != '.' && s.p[s.len - 1] != ' ');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        assert_true(c >= ' ' && c != 0x7f && !strchr("\\:*?\"<>|", c));
        assert_true(c != '~' || (i >= 1 && s.p[i - 1] == '%' && (i == 1 || i + 1 == s.len)));
    }
    assert_int_equal(str_utf8_valid(s), s.len);
    assert_false(is_one_of(str_trim((str){s.p, str_index(s, '.')}), devices));
}

static void path_is_harmless(str path)
{
    assert_in_range(path.len, 1, GIT_PATH_MAX);
    for (size_t at = 0; at <= path.len;) {
        str rest = str_from(path, at);
        str segment = {rest.p, str_index(rest, '/')};
        segment_is_harmless(segment);
        at += segment.len + 1;
    }
}

/* Puts both forms of a name into the sets. */
static void put_name(str name)
{
    struct buf plain = BUF_INIT, apart = BUF_INIT;
    git_path_plain(name, &plain);
    git_path_apart(name, &apart);
    path_is_harmless(buf_view(&plain));
    path_is_harmless(buf_view(&apart));
    reads_back(buf_view(&plain), name);
    reads_back(buf_view(&apart), name);
    put_path(buf_view(&plain), name, PLAIN);
    put_path(buf_view(&apart), name, APART);
    buf_release(&plain);
    buf_release(&apart);
}

/* Every name of up to five of these. */
static void no_two_paths_meet(void **state)
{
    (void)state;
    static const char *const parts[] = {"a", "A", ".", " ", "%", "~", "/", "2F", "ż", "con"};
    const size_t count = sizeof(parts) / sizeof(parts[0]);
    size_t names = 0, total = 1;
    for (size_t len = 1; len <= 5; len++) {
        total *= count;
        for (size_t n = 0; n < total; n++) {
            char name[32];
            str s = {name, 0};
            for (size_t i = 0, left = n; i < len; i++, left /= count) {
                str part = str_of(parts[left % count]);
                memcpy(name + s.len, part.p, part.len);
                s.len += part.len;
            }
            if (name_check(s, NULL) != KF_OK)
                continue;
            put_name(s);
            names++;
        }
    }
    assert_true(names > 80000);
    set_each(&paths, one_name_each);
    set_each(&folds, apart_stays_apart);
}

/* Names made of what is likely to go wrong. */
static str random_name(char *p, size_t max)
{
    static const char *const parts[] = {
        "a",       "z",  "0",      "9",      "A",      "Z",      "K",      ".",       "..",
        "-",       " ",  "~",      "%",      "%41",    "%4a",    "%~",     "%~/",     "%2F",
        "/",       "/",  "/",      "con",    "NUL",    "Lpt1",   ".git",   ".GIT",    ".json",
        "git",     "~1", "\t",     "\x7f",   "\x01",   "ż",      "Ż",      "z\u0307", "ß",
        "SS",      "ı",  "İ",      "i",      "I",      "ſ",      "\u212a", "Σ",       "ς",
        "ё",       "Ё",  "が",     "か",     "한",     "\u1112", "漢",     "א",       "آ",
        "e\u0301", "😀",  "\u200c", "\ufeff", "\u00ad", "ﬁ",      "x",      X50,       X199,
        L20,       L99,  ":",      "\\",     "*",      "$",      "CONIN$", "×",       "\u0345",
    };
    str name = {p, 0};
    for (uint64_t i = 1 + draw(12); i > 0; i--) {
        str part = str_of(parts[draw(sizeof(parts) / sizeof(parts[0]))]);
        if (name.len + part.len > max)
            break;
        memcpy(p + name.len, part.p, part.len);
        name.len += part.len;
    }
    return name;
}

static void nor_do_those_of_random_names(void **state)
{
    (void)state;
    char name[DOC_NAME_MAX];
    size_t names = 0;
    while (names < 200000) {
        str s = random_name(name, draw(8) ? 120 : sizeof(name));
        if (name_check(s, NULL) != KF_OK)
            continue;
        put_name(s);
        names++;
    }
    size_t cut = 0;
    for (size_t i = 0; i < paths.count; i++)
        cut += paths.entries[i].kind == APART_FOLDER;
    assert_true(cut > 10000);
    set_each(&paths, one_name_each);
    set_each(&folds, apart_stays_apart);
}

static void as_it_is(str name, struct buf *out)
{
    buf_str(out, name);
}

/* The other way: what is read back has exactly this path. Paths are drawn near to good ones. */
static void random_paths_are_refused_or_exact(void **state)
{
    (void)state;
    char name[DOC_NAME_MAX];
    struct buf path = BUF_INIT, back = BUF_INIT, again = BUF_INIT;
    int taken = 0, not_taken = 0;
    for (int i = 0; i < 100000; i++) {
        static void (*const make[])(str, struct buf *) = {as_it_is, git_path_plain, git_path_apart};
        buf_clear(&path);
        buf_clear(&back);
        buf_clear(&again);
        make[draw(3)](random_name(name, 300), &path);
        if (path.len && draw(2))
            path.p[draw(path.len)] = "%~/.-aA4E\xc5"[draw(10)];
        if (git_path_name(buf_view(&path), &back, NULL) != KF_OK) {
            not_taken++;
            continue;
        }
        assert_int_equal(name_check(buf_view(&back), NULL), KF_OK);
        make[str_starts(buf_view(&path), STR("%~")) ? 2 : 1](buf_view(&back), &again);
        assert_true(str_eq(buf_view(&again), buf_view(&path)));
        taken++;
    }
    assert_true(taken > 5000 && not_taken > 5000);
    buf_release(&path);
    buf_release(&back);
    buf_release(&again);
}

static void longest_names_fit(void **state)
{
    (void)state;
    char name[DOC_NAME_MAX];
    static const char *const fillers[] = {"A", "~", "A/", "~/", "ł", "\u0301", "\u200c", "😀", "x"};
    for (size_t i = 0; i < sizeof(fillers) / sizeof(fillers[0]); i++) {
        str part = str_of(fillers[i]), s = {name, 0};
        while (s.len + part.len <= sizeof(name)) {
            memcpy(name + s.len, part.p, part.len);
            s.len += part.len;
        }
        if (name[s.len - 1] == '/')
            s.len--;
        put_name(s);
    }
    set_each(&paths, one_name_each);
    set_each(&folds, apart_stays_apart);
}

/* ---------------------------------------------------------------------------------------- fold */

static bool folds_equal(const char *a, const char *b)
{
    struct buf x = BUF_INIT, y = BUF_INIT;
    git_path_fold(str_of(a), &x);
    git_path_fold(str_of(b), &y);
    bool equal = str_eq(buf_view(&x), buf_view(&y));
    buf_release(&x);
    buf_release(&y);
    return equal;
}

static void what_could_be_one_file_folds_equal(void **state)
{
    (void)state;
    static const char *const equal[][2] = {
        {"README.md", "readme.MD"},
        {"ZAŻÓŁĆ/Gęślą", "zażółć/GĘŚLĄ"},
        {"Straße", "STRASSE"},
        {"STRAẞE", "strasse"},
        {"Iıİi", "iiii"},
        {"i\u0307", "İ"},
        {"\u212aeep\u017fake", "keepsake"},
        {"\u212bngström", "ÅNGSTRÖM"},
        {"ΟΔΟΣ", "οδος"},
        {"οδοσ", "οδος"},
        {"\u2126", "ω"},
        {"\u1f71", "Ά"},
        {"ᾳ", "ΑΙ"},
        {"\u00b5", "Μ"},
        {"ЁЖ", "ёж"},
        {"Љ", "љ"},
        {"Ә", "ә"},
        {"Ǟ", "a\u0308\u0304"},
        {"Ậ", "a\u0323\u0302"},
        {"Ậ", "a\u0302\u0323"},
        {"\u0340", "\u0300"},
        {"ż", "z\u0307"},
        {"Й", "\u0438\u0306"},
        {"が", "か\u3099"},
        {"한", "\u1112\u1161\u11ab"},
        {"\u0622", "\u0627\u0653"},
        {"ﬃx", "FFIX"},
        {".g\u200cit", ".GIT"},
        {"a\u00adb\ufeff", "AB"},
        {"a.. ./b. ", "A/B"},
        {"a.\u200b", "a"},
    };
    static const char *const different[][2] = {
        {"e", "é"},    {"l", "ł"},   {"a/b", "a"}, {"ж", "з"}, {"и", "й"}, {"か", "が"},
        {"ss", "s"},   {"漢", "字"}, {"å", "ä"},   {"a", "а"}, {"ъ", "ь"}, {"\xff", "\xfe"},
        {"a.b", "ab"}, {" a", "a"},  {"α", "ά"},   {"o", "ø"}, {"d", "đ"}, {"%41", "a"},
    };
    for (size_t i = 0; i < sizeof(equal) / sizeof(equal[0]); i++)
        if (!folds_equal(equal[i][0], equal[i][1]))
            fail_msg("%s and %s do not meet", equal[i][0], equal[i][1]);
    for (size_t i = 0; i < sizeof(different) / sizeof(different[0]); i++)
        if (folds_equal(different[i][0], different[i][1]))
            fail_msg("%s and %s meet", different[i][0], different[i][1]);
}

static void a_fold_folds_to_itself_by_folders(void **state)
{
    (void)state;
    char name[DOC_NAME_MAX];
    struct buf once = BUF_INIT, twice = BUF_INIT, folder = BUF_INIT;
    for (int i = 0; i < 50000; i++) {
        str s = random_name(name, 200);
        buf_clear(&once);
        buf_clear(&twice);
        git_path_fold(s, &once);
        git_path_fold(buf_view(&once), &twice);
        if (!str_eq(buf_view(&once), buf_view(&twice)))
            fail_msg("%.*s: %s, %s", STR_ARGS(s), once.p, twice.p);
        buf_clear(&folder);
        size_t n = str_index(s, '/');
        git_path_fold((str){s.p, n}, &folder);
        assert_int_equal(folder.len, str_index(buf_view(&once), '/'));
        assert_true(str_starts(buf_view(&once), buf_view(&folder)));
    }
    buf_release(&once);
    buf_release(&twice);
    buf_release(&folder);
}

static void any_bytes_fold(void **state)
{
    (void)state;
    struct buf fold = BUF_INIT;
    for (int i = 0; i < 100000; i++) {
        /* Beginnings of characters, marks and what is none of both. */
        static const char bytes[] = "aI.\xcc\x80\xcd\xaf\xc4\xb0\xe1\xba\xad\xf0\x9f/\xff";
        char s[12];
        size_t len = draw(sizeof(s) + 1);
        for (size_t k = 0; k < len; k++)
            s[k] = bytes[draw(sizeof(bytes) - 1)];
        buf_clear(&fold);
        git_path_fold(str_make(s, len), &fold);
        assert_int_equal(buf_ok(&fold, NULL), KF_OK);
        assert_true(fold.len <= 3 * len);
    }
    buf_release(&fold);
}

/* ------------------------------------------------------------------------------- lack of memory */

static kf_rc all_of_it(void *ctx)
{
    (void)ctx;
    struct buf plain = BUF_INIT, apart = BUF_INIT, fold = BUF_INIT, name = BUF_INIT;
    const str of = STR("Ậ/한/ﬃ/" L99 L99 L99);
    git_path_plain(of, &plain);
    git_path_apart(of, &apart);
    git_path_fold(of, &fold);
    kf_rc rc = buf_ok(&plain, NULL);
    if (rc == KF_OK)
        rc = buf_ok(&apart, NULL);
    if (rc == KF_OK)
        rc = buf_ok(&fold, NULL);
    if (rc == KF_OK)
        rc = git_path_name(buf_view(&plain), &name, NULL);
    if (rc == KF_OK)
        rc = git_path_name(buf_view(&apart), &name, NULL);
    buf_release(&plain);
    buf_release(&apart);
    buf_release(&fold);
    buf_release(&name);
    return rc;
}

static void no_memory(void **state)
{
    (void)state;
    assert_true(testing_oom_each(all_of_it, NULL) > 20);
}

/* ------------------------------------------------------------------------------------ saboteurs */

TESTING_SABOTEUR(loose_path, "loose-path", paths_that_no_name_has_are_refused)
TESTING_SABOTEUR(apart_unmarked, "apart-unmarked", no_two_paths_meet)
TESTING_SABOTEUR(fold_ascii_only, "fold-ascii-only", what_could_be_one_file_folds_equal)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_have_these_paths),
        cmocka_unit_test(paths_that_no_name_has_are_refused),
        cmocka_unit_test(no_two_paths_meet),
        cmocka_unit_test(nor_do_those_of_random_names),
        cmocka_unit_test(random_paths_are_refused_or_exact),
        cmocka_unit_test(longest_names_fit),
        cmocka_unit_test(what_could_be_one_file_folds_equal),
        cmocka_unit_test(a_fold_folds_to_itself_by_folders),
        cmocka_unit_test(any_bytes_fold),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(saboteur_loose_path),
        cmocka_unit_test(saboteur_apart_unmarked),
        cmocka_unit_test(saboteur_fold_ascii_only),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("git_path", tests, NULL, NULL);
}
