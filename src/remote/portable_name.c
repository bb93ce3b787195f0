/* Names to paths, and back.
 *
 * Each segment of the name (what stands between its slashes) becomes a segment of the path, byte by
 * byte:
 *
 *     a-z 0-9 _ - . blank ! # $ & ' ( ) + , ; = @ [ ] ^ ` { }      stay
 *     every other byte                                            %XX, in capitals
 *
 *     a first byte `.`, `-` or blank, a last byte `.` or blank     %XX
 *
 * A segment longer than 200 bytes in this form is cut before the byte that would pass them; each
 * piece but the last gets `%~` behind it and is a folder of the next. The rule of the first byte
 * holds for each piece. The first byte of a piece is also escaped when the piece
 *
 *     - up to its first `.` and without blanks before that is con, prn, aux, nul, com0-9, lpt0-9,
 *       conin$ or conout$ (Windows),
 *     - is 64 hex digits and `.json` (the name of an object: a document `a/HASH.json` must not take
 *       the place of one of `a`).
 *
 * Why these: capitals and letters beyond ASCII are folded or normalised by some file systems (NTFS,
 * APFS, vfat), so that two names would be one file; libarchive and ZIP tools want a locale for the
 * latter. A first dot covers `.git`; `~` is always escaped since `git~1` is `.git` to git on
 * Windows and short names of vfat look like it.
 *
 * Reading back undoes the escapes and maps the result again: only what comes out the same was made
 * here. */
#include "remote/portable.h"

#include "base/err.h"
#include "shape/doc.h"

#define PIECE_MAX 200
#define CUT       "%~"
#define OBJECTS   "docs/"
#define SUFFIX    ".json"

static bool stays(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
        return true;
    return c != '\0' && strchr("_-. !#$&'()+,;=@[]^`{}", c) != NULL;
}

static bool lower_hex(str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return true;
}

static void escape(struct buf *out, unsigned char c)
{
    static const char digit[] = "0123456789ABCDEF";
    buf_byte(out, '%');
    buf_byte(out, digit[c >> 4]);
    buf_byte(out, digit[c & 15]);
}

/* The names that Windows keeps for devices, whatever extension follows. */
static bool is_device(str piece, bool last)
{
    static const char *const words[] = {"con", "prn", "aux", "nul", "conin$", "conout$"};
    str base = str_trim((str){piece.p, str_index(piece, '.')});
    if (base.len == piece.len && !last)
        return false; /* CUT follows */
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (str_is(base, words[i]))
            return true;
    return base.len == 4 && base.p[3] >= '0' && base.p[3] <= '9' &&
           (str_starts(base, STR("com")) || str_starts(base, STR("lpt")));
}

static bool is_object_file(str piece)
{
    return piece.len == HASH_HEX + sizeof(SUFFIX) - 1 && str_ends(piece, STR(SUFFIX)) &&
           lower_hex((str){piece.p, HASH_HEX});
}

/* How many bytes of `s` go into one piece. The first byte may still grow by two; 200 leaves room
 * for it. */
static size_t piece_len(str s)
{
    size_t mapped = 0;
    for (size_t i = 0; i < s.len; i++) {
        mapped += stays((unsigned char)s.p[i]) ? 1 : 3;
        if (mapped > PIECE_MAX)
            return i;
    }
    return s.len;
}

static void map_piece(str piece, bool last, struct buf *out)
{
    for (size_t i = 0; i < piece.len; i++) {
        unsigned char c = (unsigned char)piece.p[i];
        bool plain = stays(c);
        if (i == 0 && (c == '.' || c == '-' || c == ' '))
            plain = false;
        if (i == 0 && (is_device(piece, last) || (last && is_object_file(piece))))
            plain = false;
        if (last && i + 1 == piece.len && (c == '.' || c == ' '))
            plain = false;
        if (plain)
            buf_byte(out, (char)c);
        else
            escape(out, c);
    }
}

static void map_segment(str segment, struct buf *out)
{
    for (;;) {
        size_t n = piece_len(segment);
        map_piece((str){segment.p, n}, n == segment.len, out);
        if (n == segment.len)
            return;
        buf_c(out, CUT "/");
        segment = str_from(segment, n);
    }
}

void portable_path_of_name(str name, struct buf *out)
{
    for (;;) {
        size_t n = str_index(name, '/');
        map_segment((str){name.p, n}, out);
        if (n == name.len)
            return;
        buf_byte(out, '/');
        name = str_from(name, n + 1);
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Undoes the escapes; leaves what is no escape to the comparison. */
static void unmap(str path, struct buf *out)
{
    for (size_t i = 0; i < path.len; i++) {
        if (path.p[i] == '%' && path.len - i >= 3) {
            if (path.p[i + 1] == '~' && path.p[i + 2] == '/') {
                i += 2;
                continue;
            }
            int high = hex_value(path.p[i + 1]), low = hex_value(path.p[i + 2]);
            if (high >= 0 && low >= 0) {
                buf_byte(out, (char)(high << 4 | low));
                i += 2;
                continue;
            }
        }
        buf_byte(out, path.p[i]);
    }
}

kf_rc portable_name_of_path(str path, struct buf *out, struct kf_err *err)
{
    struct buf name = BUF_INIT, again = BUF_INIT;
    kf_rc rc = KF_OK;
    if (path.len == 0 || path.len > PORTABLE_PATH_MAX)
        return err_set(err, PROBLEM_BAD_ARCHIVE, "a path of %zu bytes is not one of ours",
                       path.len);
    unmap(path, &name);
    if (buf_ok(&name, NULL) == KF_OK && name_check(buf_view(&name), NULL) == KF_OK)
        portable_path_of_name(buf_view(&name), &again);
    if ((rc = buf_ok(&name, err)) != KF_OK || (rc = buf_ok(&again, err)) != KF_OK)
        goto out;
    if (!str_eq(buf_view(&again), path)) {
        rc = err_set(err, PROBLEM_BAD_ARCHIVE, "the path \"%.*s\" is not one that Keepfast writes",
                     (int)(path.len < 200 ? path.len : 200), path.p);
        goto out;
    }
    buf_str(out, buf_view(&name));
    rc = buf_ok(out, err);
out:
    buf_release(&name);
    buf_release(&again);
    return rc;
}

void portable_object(str name, str hash_hex, struct buf *out)
{
    buf_c(out, OBJECTS);
    portable_path_of_name(name, out);
    buf_byte(out, '/');
    buf_str(out, hash_hex);
    buf_c(out, SUFFIX);
}

kf_rc portable_object_parse(str object, struct buf *name, str *ret_hash, struct kf_err *err)
{
    const size_t tail = 1 + HASH_HEX + sizeof(SUFFIX) - 1;
    str hash = {0, 0};
    bool ours = str_starts(object, STR(OBJECTS)) && str_ends(object, STR(SUFFIX)) &&
                object.len > sizeof(OBJECTS) - 1 + tail && object.p[object.len - tail] == '/';
    if (ours) {
        hash = (str){object.p + object.len - tail + 1, HASH_HEX};
        ours = lower_hex(hash);
    }
    if (!ours)
        return err_set(err, PROBLEM_BAD_ARCHIVE, "\"%.*s\" is no object that Keepfast writes",
                       (int)(object.len < 200 ? object.len : 200), object.p);
    str path = {object.p + sizeof(OBJECTS) - 1, object.len - tail - (sizeof(OBJECTS) - 1)};
    kf_rc rc = portable_name_of_path(path, name, err);
    if (rc == KF_OK)
        *ret_hash = hash;
    return rc;
}
