/* Names to paths, and back.
 *
 *     name      segment / segment / …
 *     segment   one piece, or  piece `%~` / piece `%~` / … / piece
 *     piece     characters that stay, and %XX, in capitals, for each byte of those that do not
 *
 *     a first byte `.`, `-` or blank of a piece              %XX
 *     a last byte `.` or blank of a last piece               %XX
 *     the first character of a piece that is reserved        %XX
 *
 * A segment longer than 200 bytes in this form is cut before the character that would pass them;
 * what the three rules above escape is not counted. Each piece but the last is a folder of the
 * next.
 *
 * Reading back undoes the escapes and maps the result again: only what comes out the same was made
 * here. So no rule has a second half that could disagree with the first. */
#include "remote/path_map.h"

#include "base/err.h"
#include "base/hooks.h"
#include "shape/doc.h"

#define PIECE_MAX 200

static void escape(struct buf *out, unsigned char c)
{
    static const char digit[] = "0123456789ABCDEF";
    buf_byte(out, '%');
    buf_byte(out, digit[c >> 4]);
    buf_byte(out, digit[c & 15]);
}

bool path_is_device(str piece, bool last, bool (*same)(str a, str b))
{
    static const char *const words[] = {"con", "prn", "aux", "nul", "conin$", "conout$"};
    str base = {piece.p, str_index(piece, '.')};
    while (base.len && base.p[base.len - 1] == ' ')
        base.len--;
    if (base.len == piece.len && !last)
        return false; /* PATH_MAP_CUT follows */
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (same(base, str_of(words[i])))
            return true;
    str port = {base.p, base.len == 4 ? 3 : 0};
    return port.len && base.p[3] >= '0' && base.p[3] <= '9' &&
           (same(port, STR("com")) || same(port, STR("lpt")));
}

/* How many bytes of `s` go into one piece. Its ends may still grow; 200 leaves room for it. */
static size_t piece_len(const struct path_rules *rules, str s)
{
    size_t mapped = 0;
    for (size_t i = 0; i < s.len;) {
        bool stays;
        size_t n = rules->character(str_from(s, i), &stays);
        mapped += stays ? n : 3 * n;
        if (mapped > PIECE_MAX)
            return i;
        i += n;
    }
    return s.len;
}

static void map_piece(const struct path_rules *rules, str piece, bool last, struct buf *out)
{
    for (size_t i = 0, n; i < piece.len; i += n) {
        bool stays;
        char c = piece.p[i];
        n = rules->character(str_from(piece, i), &stays);
        if (i == 0 && (c == '.' || c == '-' || c == ' ' || rules->reserved(piece, last)))
            stays = false;
        if (last && i + 1 == piece.len && (c == '.' || c == ' '))
            stays = false;
        if (stays)
            buf_add(out, piece.p + i, n);
        else
            for (size_t k = i; k < i + n; k++)
                escape(out, (unsigned char)piece.p[k]);
    }
}

void path_map_flat(const struct path_rules *rules, str flat, struct buf *out)
{
    for (;;) {
        size_t n = piece_len(rules, flat);
        map_piece(rules, (str){flat.p, n}, n == flat.len, out);
        if (n == flat.len)
            return;
        buf_c(out, PATH_MAP_CUT "/");
        flat = str_from(flat, n);
    }
}

void path_map(const struct path_rules *rules, str name, struct buf *out)
{
    for (;;) {
        size_t n = str_index(name, '/');
        path_map_flat(rules, (str){name.p, n}, out);
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

kf_rc path_read_back(str path, str body, path_mapper *map, struct buf *out, struct kf_err *err)
{
    struct buf name = BUF_INIT, again = BUF_INIT;
    kf_rc rc = KF_OK;
    if (path.len == 0 || path.len > PATH_MAP_MAX)
        return err_set(err, PROBLEM_BAD_ARCHIVE, "a path of %zu bytes is not one of ours",
                       path.len);
    unmap(body, &name);
    if (buf_ok(&name, NULL) == KF_OK &&
        name_check_to(buf_view(&name), PATH_MAP_NAME_MAX, NULL) == KF_OK)
        map(buf_view(&name), &again);
    if ((rc = buf_ok(&name, err)) != KF_OK || (rc = buf_ok(&again, err)) != KF_OK)
        goto out;
    if (!str_eq(buf_view(&again), path) && !KF_SABOTAGE("loose-path")) {
        rc = err_set(err, PROBLEM_BAD_ARCHIVE, "the path \"%.*s\" is not one that Keepfast writes",
                     STR_SHOWN(path));
        goto out;
    }
    buf_str(out, buf_view(&name));
    rc = buf_ok(out, err);
out:
    buf_release(&name);
    buf_release(&again);
    return rc;
}
