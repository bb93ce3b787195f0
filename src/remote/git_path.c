/* Names to paths in git. The frame, with pieces and escapes, is path_map.c.
 *
 *     plain     Daten/Größe.json            the segments of the name, with letters as they are
 *     apart     %~%44aten%2F%47r%C3%B6…     `%~`, and the portable map (portable_name.c) of the
 *                                           whole name as one segment
 *
 * In plain paths these stay:
 *
 *     what stays in the portable form, A-Z, and the letters of `letters` below
 *
 * and a piece is reserved when Windows keeps it for a device, in any case.
 *
 * Why the two never meet: in a plain path `%` is followed by two hex digits, or by `~` and the
 * slash behind a cut, and no piece is empty. So nothing plain begins with `%~`, and no folder in
 * the root of a tree does but the first piece of an apart path that is cut. Such a folder ends with
 * `%~`, and no last piece does. In an apart path no letter has a twin in another case but those of
 * the escapes, which all have the same one.
 *
 * Which letters stay: those of scripts that many read and write, provided that a file system does
 * nothing with them but folding case and taking their marks apart: letters (and `々 〆 〇`), in
 * Unicode since 3.2, whose tables HFS+ has; unchanged by the normal forms C and KC, alone and
 * beside any other that stays. So a combining mark never stays, nor anything invisible, private or
 * without a meaning, of which HFS+ and Linux overlook some in names (`.g\u200cit`). */
#include "remote/git_path.h"

#include "base/hooks.h"
#include "remote/portable.h"

/* Before an apart path. */
#define APART PATH_MAP_CUT

static const struct {
    uint16_t first, last;
} letters[] = {
    {0x00C0, 0x00D6}, {0x00D8, 0x00F6},
    {0x00F8, 0x0131}, /* Latin */
    {0x0134, 0x013E}, {0x0141, 0x0148},
    {0x014A, 0x017E}, /* without compatibility forms */
    {0x0180, 0x01BF}, {0x01CD, 0x01F0},
    {0x01F4, 0x0220},                   /* without clicks, which look like signs */
    {0x0222, 0x0233}, {0x0250, 0x02AD}, /* and of the phonetic alphabet */
    {0x0386, 0x0386}, {0x0388, 0x038A},
    {0x038C, 0x038C},                   /* Greek */
    {0x038E, 0x03A1}, {0x03A3, 0x03CE}, /**/
    {0x0400, 0x0481}, {0x048A, 0x04CE},
    {0x04D0, 0x04F5},                   /* Cyrillic */
    {0x04F8, 0x04F9}, {0x0500, 0x050F}, /**/
    {0x05D0, 0x05EA},                   /* Hebrew */
    {0x0621, 0x063A}, {0x0641, 0x064A},
    {0x0671, 0x0673},                   /* Arabic */
    {0x0679, 0x06D3}, {0x06D5, 0x06D5}, /**/
    {0x1E00, 0x1E99}, {0x1EA0, 0x1EF9}, /* Latin, most of it for Vietnamese */
    {0x3005, 0x3007}, {0x3041, 0x3096},
    {0x309D, 0x309E},                   /* kana */
    {0x30A1, 0x30FA}, {0x30FC, 0x30FE}, /**/
    {0x3400, 0x4DB5}, {0x4E00, 0x9FA5}, /* ideographs */
    {0xAC00, 0xD7A3},                   /* hangul */
};

static bool is_letter(uint32_t c)
{
    size_t low = 0, high = sizeof(letters) / sizeof(letters[0]);
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (c > letters[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    return low < sizeof(letters) / sizeof(letters[0]) && c >= letters[low].first;
}

static size_t character(str s, bool *ret_stays)
{
    uint32_t c = 0;
    size_t n = str_utf8_first(s, &c);
    if (c < 0x80)
        *ret_stays = (c >= 'A' && c <= 'Z') || portable_byte_stays((unsigned char)c);
    else
        *ret_stays = is_letter(c);
    return n ? n : 1;
}

static bool reserved(str piece, bool last)
{
    return path_is_device(piece, last, str_eq_nocase);
}

static const struct path_rules rules = {.character = character, .reserved = reserved};

void git_path_plain(str name, struct buf *out)
{
    path_map(&rules, name, out);
}

void git_path_apart(str name, struct buf *out)
{
    if (!KF_SABOTAGE("apart-unmarked"))
        buf_c(out, APART);
    portable_flat_of_name(name, out);
}

kf_rc git_path_name(str path, struct buf *name, struct kf_err *err)
{
    if (str_starts(path, STR(APART)))
        return path_read_back(path, str_from(path, sizeof(APART) - 1), git_path_apart, name, err);
    return path_read_back(path, path, git_path_plain, name, err);
}
