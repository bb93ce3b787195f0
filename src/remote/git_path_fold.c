/* The fold of a path: what file systems take for the same, written the same.
 *
 *     1  code points that Unicode calls default ignorable go (HFS+, Linux with casefold)
 *     2  a letter becomes the small one of its pair: `spans`, then `pairs`
 *     3  one that is written as several becomes these: `parts`; hangul by its formula
 *     4  marks on one letter are sorted by their class
 *     5  dots and blanks at the end of a segment go (Windows)
 *
 * That is the normal form D of Unicode with full case folding for the letters which plain paths
 * hold, and for all else that folds into them. It goes further where some file system does, or
 * where the exact rule would be longer: dotted and dotless i are one letter, `×` and `÷` are, and
 * letters of a pair that came into Unicode one after the other.
 *
 * The tables are facts of the Unicode Character Database 14.0 (UnicodeData.txt, CaseFolding.txt);
 * tests/checker/test_git_names.py compares them with it. Code points that a normal form would
 * change are written as numbers, so that no editor does. */
#include "remote/git_path.h"

#include "base/hooks.h"

#include <assert.h>
#include <uchar.h>

/* Of one code point, ligatures and letters with two marks included. */
#define PARTS_MAX 4

/* Capitals `first`, `first + step` … `last`: the small letter is `add` further on. */
static const struct {
    uint16_t first, last;
    uint8_t step, add;
} spans[] = {
    {'A', 'Z', 1, 32},       {0x00C0, 0x00DE, 1, 32}, {0x0100, 0x012E, 2, 1},
    {0x0132, 0x0136, 2, 1},  {0x0139, 0x0147, 2, 1},  {0x014A, 0x0176, 2, 1},
    {0x0179, 0x017D, 2, 1},  {0x01A0, 0x01A4, 2, 1},  {0x01CD, 0x01DB, 2, 1},
    {0x01DE, 0x01EE, 2, 1},  {0x01F8, 0x021E, 2, 1},  {0x0222, 0x0232, 2, 1},
    {0x0391, 0x03AB, 1, 32}, {0x0400, 0x040F, 1, 80}, {0x0410, 0x042F, 1, 32},
    {0x0460, 0x0480, 2, 1},  {0x048A, 0x04BE, 2, 1},  {0x04C1, 0x04CD, 2, 1},
    {0x04D0, 0x052E, 2, 1},  {0x1E00, 0x1E94, 2, 1},  {0x1EA0, 0x1EFE, 2, 1},
};

/* How many code points a string of them has. Where two strings stand side by side, this does not
 * compile unless they are equally long. */
#define COUNT(a, b) (sizeof(a) / sizeof(char16_t) - sizeof(char[sizeof(a) == sizeof(b) ? 1 : -1]))

/* Letters, and below each the one that it becomes. */
#define ROW(from, to)             \
    {                             \
        COUNT(from, to), from, to \
    }
static const struct {
    size_t count;
    const char16_t *from, *to;
} pairs[] = {
    ROW(u"µİıŸſƁƂƄƆƇƉƊƋƎƏƐ", u"μiiÿsɓƃƅɔƈɖɗƌǝəɛ"),
    ROW(u"ƑƓƔƖƗƘƜƝƟƦƧƩƬƮƯƱ", u"ƒɠɣɩɨƙɯɲɵʀƨʃƭʈưʊ"),
    ROW(u"ƲƳƵƷƸƼǴǶǷȠȽɃɄɅ\u0340\u0341", u"ʋƴƶʒƹƽǵƕƿƞƚƀʉʌ\u0300\u0301"),
    ROW(u"\u0345ΆΈΉΊΌΎΏςϐϑϕϖϰϱϴ", u"ιάέήίόύώσβθφπκρθ"),
    ROW(u"ϵӀᲀᲁᲂᲃᲄᲅᲆᲇẛẞ\u1F71\u1F73\u1F75\u1F77", u"εӏвдосттъѣṡßάέήί"),
    ROW(u"\u1F79\u1F7B\u1F7D\u1FBBᾼ\u1FBE\u1FC9\u1FCBῌ\u1FD3\u1FDB\u1FE3\u1FEB\u1FF9\u1FFBῼ",
        u"όύώάᾳιέήῃΐίΰύόώῳ"),
    ROW(u"\u2126\u212A\u212BⱢⱤⱭⱮⱯⱰꞍꞪꞫꞬꞭꞮꞰ", u"ωkåɫɽɑɱɐɒɥɦɜɡɬɪʞ"),
    ROW(u"ꞱꞲꟅ", u"ʇʝʂ"),
};
#undef ROW

/* What follows, letters (or signs) that end with it, and below each what it is put behind. The
 * letters of a row ascend. */
#define ROW(second, whole, first)                 \
    {                                             \
        COUNT(whole, first), second, whole, first \
    }
static const struct {
    size_t count;
    char16_t second;
    const char16_t *whole, *first;
} parts[] = {
    ROW(0x0066, u"ﬀ", u"f"),
    ROW(0x0069, u"ﬁﬃ", u"fﬀ"),
    ROW(0x006C, u"ﬂﬄ", u"fﬀ"),
    ROW(0x0073, u"ß", u"s"),
    ROW(0x0074, u"ﬅﬆ", u"ss"),
    ROW(0x0300, u"àèìòùǜǹѐѝḕṑẁầằềồờừỳ", u"aeiouünеиēōwâăêôơưy"),
    ROW(0x0301, u"áéíóúýćĺńŕśźǘǵǻǽǿ\u0344ΐάέήίΰόύώѓќḉ", u"aeiouyclnrszügåæø\u0308ϊαεηιϋουωгкç"),
    ROW(0x0301, u"ḗḯḱḿṍṓṕṹẃấắếốớứ", u"ēïkmõōpũwâăêôơư"),
    ROW(0x0302, u"âêîôûĉĝĥĵŝŵŷẑậệộ", u"aeioucghjswyzạẹọ"),
    ROW(0x0303, u"ãñõĩũṽẫẵẽễỗỡữỹ", u"anoiuvâăeêôơưy"),
    ROW(0x0304, u"āēīōūǖǟǡǣǭȫȭȱȳӣӯḡḹṝ", u"aeiouüäȧæǫöõȯyиуgḷṛ"),
    ROW(0x0306, u"ăĕğĭŏŭйўӂӑӗḝặ", u"aegiouиужаеȩạ"),
    ROW(0x0307, u"ċėġżȧȯḃḋḟḣṁṅṗṙṡṥṧṩṫẇẋẏ", u"cegzaobdfhmnprsśšṣtwxy"),
    ROW(0x0308, u"äëïöüÿϊϋёїӓӛӝӟӥӧӫӭӱӵӹḧṏṻẅẍẗ", u"aeiouyιυеіаәжзиоөэучыhõūwxt"),
    ROW(0x0309, u"ảẩẳẻểỉỏổởủửỷ", u"aâăeêioôơuưy"),
    ROW(0x030A, u"åůẘẙ", u"auwy"),
    ROW(0x030B, u"őűӳ", u"ouу"),
    ROW(0x030C, u"čďěľňřšťžǎǐǒǔǚǧǩǯǰȟ", u"cdelnrstzaiouügkʒjh"),
    ROW(0x030F, u"ȁȅȉȍȑȕѷ", u"aeioruѵ"),
    ROW(0x0311, u"ȃȇȋȏȓȗ", u"aeioru"),
    ROW(0x031B, u"ơư", u"ou"),
    ROW(0x0323, u"ḅḍḥḳḷṃṇṛṣṭṿẉẓạẹịọợụựỵ", u"bdhklmnrstvwzaeioơuưy"),
    ROW(0x0324, u"ṳ", u"u"),
    ROW(0x0325, u"ḁ", u"a"),
    ROW(0x0326, u"șț", u"st"),
    ROW(0x0327, u"çģķļņŗşţȩḑḩ", u"cgklnrstedh"),
    ROW(0x0328, u"ąęįųǫ", u"aeiuo"),
    ROW(0x032D, u"ḓḙḽṋṱṷ", u"delntu"),
    ROW(0x032E, u"ḫ", u"h"),
    ROW(0x0330, u"ḛḭṵ", u"eiu"),
    ROW(0x0331, u"ḇḏḵḻṉṟṯẕẖ", u"bdklnrtzh"),
    ROW(0x03B9, u"ᾳᾴῃῄῳῴ", u"αάηήωώ"),
    ROW(0x0653, u"\u0622", u"\u0627"),
    ROW(0x0654, u"\u0623\u0624\u0626\u06C0\u06C2\u06D3", u"\u0627\u0648\u064A\u06D5\u06C1\u06D2"),
    ROW(0x0655, u"\u0625", u"\u0627"),
    ROW(0x3099, u"がぎぐげござじずぜぞだぢづでどばびぶべぼ",
        u"かきくけこさしすせそたちつてとはひふへほ"),
    ROW(0x3099, u"ゔゞガギグゲゴザジズゼゾダヂヅデドバビブ",
        u"うゝカキクケコサシスセソタチツテトハヒフ"),
    ROW(0x3099, u"ベボヴヷヸヹヺヾ", u"ヘホウワヰヱヲヽ"),
    ROW(0x309A, u"ぱぴぷぺぽパピプペポ", u"はひふへほハヒフヘホ"),
};
#undef ROW

/* Default_Ignorable_Code_Point */
static const struct {
    uint32_t first, last;
} ignored[] = {
    {0x00AD, 0x00AD},   {0x034F, 0x034F},   {0x061C, 0x061C}, {0x115F, 0x1160}, {0x17B4, 0x17B5},
    {0x180B, 0x180F},   {0x200B, 0x200F},   {0x202A, 0x202E}, {0x2060, 0x206F}, {0x3164, 0x3164},
    {0xFE00, 0xFE0F},   {0xFEFF, 0xFEFF},   {0xFFA0, 0xFFA0}, {0xFFF0, 0xFFF8}, {0x1BCA0, 0x1BCA3},
    {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF},
};

static bool is_ignored(uint32_t c)
{
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        if (c >= ignored[i].first && c <= ignored[i].last)
            return true;
    return false;
}

static char16_t small(char16_t c)
{
    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++)
        if (c >= spans[i].first && c <= spans[i].last && (c - spans[i].first) % spans[i].step == 0)
            return (char16_t)(c + spans[i].add);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        for (size_t k = 0; k < pairs[i].count; k++)
            if (pairs[i].from[k] == c)
                return pairs[i].to[k];
    return c;
}

/* The last part of `c`, and what it is put behind, which may have parts again. */
static bool take_apart(char16_t c, char16_t *ret_first, char16_t *ret_second)
{
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        for (size_t k = 0; k < parts[i].count && parts[i].whole[k] <= c; k++)
            if (parts[i].whole[k] == c) {
                *ret_first = parts[i].first[k];
                *ret_second = parts[i].second;
                return true;
            }
    return false;
}

static void put(char16_t c, struct buf *out)
{
    if (c < 0x80) {
        buf_byte(out, (char)c);
        return;
    }
    if (c < 0x800) {
        buf_byte(out, (char)(0xC0 | c >> 6));
    } else {
        buf_byte(out, (char)(0xE0 | c >> 12));
        buf_byte(out, (char)(0x80 | (c >> 6 & 0x3F)));
    }
    buf_byte(out, (char)(0x80 | (c & 0x3F)));
}

static bool is_mark(char16_t c)
{
    return c >= 0x0300 && c <= 0x036F;
}

/* Where it is on its letter: the canonical combining class, exact for the marks in `parts`. */
static int mark_class(char16_t c)
{
    if (c == 0x0327 || c == 0x0328)
        return 202;
    if (c == 0x031B)
        return 216;
    return c >= 0x0316 && c <= 0x0333 ? 220 : 230;
}

/* The mark whose two bytes end at `end`, or 0. `from`: where the segment begins in `out`. */
static char16_t mark_before(const struct buf *out, size_t end, size_t from)
{
    if (end < from + 2 || (out->p[end - 2] & 0xE0) != 0xC0)
        return 0;
    char16_t c = (char16_t)((out->p[end - 2] & 0x1F) << 6 | (out->p[end - 1] & 0x3F));
    return is_mark(c) ? c : 0;
}

/* Behind those of its class, before those of higher ones. */
static void put_mark(char16_t c, size_t from, struct buf *out)
{
    size_t run = out->len, at = out->len;
    for (char16_t mark; (mark = mark_before(out, run, from)) != 0; run -= 2)
        if (mark_class(mark) > mark_class(c) && at == run)
            at = run - 2;
    if (c == 0x0307 && run > from && out->p[run - 1] == 'i')
        return; /* the dot that an i has anyway, as in the Turkish capital */
    put(c, out);
    if (out->failed)
        return;
    const char mark[2] = {out->p[out->len - 2], out->p[out->len - 1]};
    memmove(out->p + at + 2, out->p + at, out->len - 2 - at);
    memcpy(out->p + at, mark, 2);
}

static void put_folded(char16_t c, size_t from, struct buf *out)
{
    char16_t run[PARTS_MAX];
    size_t n = 0;
    if (c >= 0xAC00 && c <= 0xD7A3) {
        unsigned s = c - 0xAC00u; /* the Unicode Standard, section 3.12 */
        put((char16_t)(0x1100 + s / 588), out);
        put((char16_t)(0x1161 + s % 588 / 28), out);
        if (s % 28)
            put((char16_t)(0x11A7 + s % 28), out);
        return;
    }
    for (c = small(c); take_apart(c, &c, &run[n]); n++)
        assert(n + 1 < PARTS_MAX);
    for (run[n++] = c; n > 0; n--)
        if (is_mark(run[n - 1]))
            put_mark(run[n - 1], from, out);
        else
            put(run[n - 1], out);
}

static void fold_segment(str s, struct buf *out)
{
    size_t from = out->len;
    while (s.len) {
        uint32_t c = 0xFFFFFF;
        size_t n = str_utf8_first(s, &c);
        if (n == 0)
            n = 1; /* no UTF-8: as it is */
        if (n == 1 && c >= 'A' && c <= 'Z')
            buf_byte(out, (char)(c + ('a' - 'A')));
        else if (n == 1 || c > 0xFFFF || KF_SABOTAGE("fold-ascii-only"))
            buf_add(out, s.p, is_ignored(c) ? 0 : n);
        else if (!is_ignored(c))
            put_folded((char16_t)c, from, out);
        s = str_from(s, n);
    }
    while (out->len > from && (out->p[out->len - 1] == '.' || out->p[out->len - 1] == ' '))
        out->p[--out->len] = '\0';
}

void git_path_fold(str path, struct buf *out)
{
    for (;;) {
        size_t n = str_index(path, '/');
        fold_segment((str){path.p, n}, out);
        if (n == path.len)
            return;
        buf_byte(out, '/');
        path = str_from(path, n + 1);
    }
}
