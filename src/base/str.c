#include "base/str.h"

int str_cmp(str a, str b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.p, b.p, common) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool str_eq_nocase(str a, str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

bool str_starts(str s, str prefix)
{
    return s.len >= prefix.len && str_eq(str_make(s.p, prefix.len), prefix);
}

bool str_ends(str s, str suffix)
{
    return s.len >= suffix.len && str_eq(str_from(s, s.len - suffix.len), suffix);
}

bool str_has(str s, const char *what)
{
    return s.len ? memmem(s.p, s.len, what, strlen(what)) != NULL : *what == '\0';
}

bool str_is_hex(str s, size_t len)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return s.len == len;
}

void str_copy(char *to, size_t size, str s)
{
    size_t len = s.len < size ? s.len : size - 1;
    if (len)
        memcpy(to, s.p, len);
    to[len] = '\0';
}

str str_put(char **at, str s)
{
    str copy = {*at, s.len};
    if (s.len)
        memcpy(*at, s.p, s.len);
    (*at)[s.len] = '\0';
    *at += s.len + 1;
    return copy;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

str str_trim(str s)
{
    while (s.len && blank(s.p[s.len - 1]))
        s.len--;
    while (s.len && blank(s.p[0]))
        s = str_from(s, 1);
    return s;
}

bool str_to_u64(str s, uint64_t *ret)
{
    uint64_t v = 0;
    if (s.len == 0 || (s.len > 1 && s.p[0] == '0'))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
            return false;
    }
    *ret = v;
    return true;
}

/* ------------------------------------------------------------------------------------- UTF-8 */

static bool tail(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

/* Bytes of the character at `p`, of which `left` (at least 1) bytes are there; 0 when it is none.
 * The second byte's range shuts out overlong forms, surrogates and what is above U+10FFFF
 * (RFC 3629, section 4). */
static size_t utf8_char(const unsigned char *p, size_t left)
{
    unsigned char c = p[0];
    if (c < 0x80)
        return 1;
    if (c < 0xC2 || c > 0xF4)
        return 0;
    if (c < 0xE0)
        return left >= 2 && tail(p[1]) ? 2 : 0;
    unsigned char low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    unsigned char high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    if (left < 2 || p[1] < low || p[1] > high)
        return 0;
    if (c < 0xF0)
        return left >= 3 && tail(p[2]) ? 3 : 0;
    return left >= 4 && tail(p[2]) && tail(p[3]) ? 4 : 0;
}

static bool eight_ascii(const unsigned char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return (word & 0x8080808080808080u) == 0;
}

size_t str_utf8_valid(str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0;
    while (i < s.len) {
        if (s.len - i >= 8 && eight_ascii(p + i)) {
            i += 8;
            continue;
        }
        size_t n = utf8_char(p + i, s.len - i);
        if (n == 0)
            return i;
        i += n;
    }
    return i;
}

size_t str_utf8_first(str s, uint32_t *ret)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t n = s.len ? utf8_char(p, s.len) : 0;
    if (n == 0)
        return 0;
    uint32_t c = n == 1 ? p[0] : p[0] & (0x7F >> n);
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3F);
    *ret = c;
    return n;
}

/* -------------------------------------------------------------------------------------- glob
 *
 * The pattern is taken token by token over a row of all places in the name: row[i] says whether
 * the pattern so far can end before name.p[i]. No backtracking, so no pattern is slow. */

#define ANY_DEPTH 256 /* `**`; all other tokens are their own byte */

static int glob_token(str *pattern)
{
    int token = (unsigned char)pattern->p[0];
    *pattern = str_from(*pattern, 1);
    if (token != '*' || pattern->len == 0 || pattern->p[0] != '*')
        return token;
    while (pattern->len && pattern->p[0] == '*')
        *pattern = str_from(*pattern, 1);
    return ANY_DEPTH;
}

/* `*` and `**`: every place can be reached from the one before it. */
static void glob_spread(bool *row, str name, bool cross)
{
    for (size_t i = 0; i < name.len; i++)
        if (row[i] && (cross || name.p[i] != '/'))
            row[i + 1] = true;
}

/* A byte or `?`: each place moves on by what the token takes, or is lost. From the end, so that
 * what is set has been read already. False when no place is left. */
static bool glob_move(bool *row, str name, int token)
{
    bool any = false;
    row[name.len] = false;
    for (size_t i = name.len; i-- > 0;) {
        if (!row[i])
            continue;
        row[i] = false;
        if (token == '?' ? name.p[i] == '/' : token != (unsigned char)name.p[i])
            continue;
        size_t n = token == '?' ? utf8_char((const unsigned char *)name.p + i, name.len - i) : 1;
        row[i + (n ? n : 1)] = true;
        any = true;
    }
    return any;
}

bool str_glob(str pattern, str name)
{
    /* Most patterns begin with what they are about, and most names do not. */
    while (pattern.len && pattern.p[0] != '*' && pattern.p[0] != '?') {
        if (name.len == 0 || name.p[0] != pattern.p[0])
            return false;
        pattern = str_from(pattern, 1);
        name = str_from(name, 1);
    }
    bool row[STR_GLOB_NAME_MAX + 1];
    if (name.len > STR_GLOB_NAME_MAX)
        return false;
    memset(row, 0, (name.len + 1) * sizeof(row[0]));
    row[0] = true;
    while (pattern.len) {
        int token = glob_token(&pattern);
        if (token == '*' || token == ANY_DEPTH)
            glob_spread(row, name, token == ANY_DEPTH);
        else if (!glob_move(row, name, token))
            return false;
    }
    return row[name.len];
}
