#include "base/buf.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define CAP_MIN 64

void buf_release(struct buf *b)
{
    mem_free(b->p);
    *b = BUF_INIT;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->cap)
        b->p[0] = '\0';
}

char *buf_room(struct buf *b, size_t more)
{
    if (b->failed)
        return NULL;
    if (b->cap - b->len > more)
        return b->p + b->len;
    size_t need, cap;
    if (__builtin_add_overflow(b->len, more, &need) || need == SIZE_MAX ||
        __builtin_mul_overflow(b->cap, (size_t)2, &cap)) {
        b->failed = true;
        return NULL;
    }
    need++; /* the NUL */
    if (cap < CAP_MIN)
        cap = CAP_MIN;
    if (cap < need)
        cap = need;
    char *p = mem_realloc(b->p, cap);
    if (!p) {
        b->failed = true;
        return NULL;
    }
    b->p = p;
    b->cap = cap;
    b->p[b->len] = '\0';
    return b->p + b->len;
}

void buf_grew(struct buf *b, size_t n)
{
    assert(n < b->cap - b->len);
    b->len += n;
    b->p[b->len] = '\0';
}

void buf_add(struct buf *b, const void *p, size_t len)
{
    if (len && !b->failed && b->cap - b->len > len) { /* nearly always */
        memcpy(b->p + b->len, p, len);
        b->len += len;
        b->p[b->len] = '\0';
        return;
    }
    char *to = len ? buf_room(b, len) : NULL;
    if (!to)
        return;
    memcpy(to, p, len);
    buf_grew(b, len);
}

void buf_str(struct buf *b, str s)
{
    buf_add(b, s.p, s.len);
}

void buf_c(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_byte(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_u64(struct buf *b, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    buf_add(b, digits + at, sizeof(digits) - at);
}

void buf_i64(struct buf *b, int64_t v)
{
    if (v < 0)
        buf_byte(b, '-');
    buf_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void buf_hex(struct buf *b, const void *p, size_t len)
{
    static const char digit[] = "0123456789abcdef";
    const unsigned char *byte = p;
    char *to = len <= SIZE_MAX / 2 ? buf_room(b, 2 * len) : NULL;
    if (!to) {
        b->failed = true;
        return;
    }
    for (size_t i = 0; i < len; i++) {
        *to++ = digit[byte[i] >> 4];
        *to++ = digit[byte[i] & 15];
    }
    buf_grew(b, 2 * len);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    buf_vprintf(b, fmt, args);
    va_end(args);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    char *to = buf_room(b, CAP_MIN);
    size_t room = to ? b->cap - b->len : 0;
    int n = to ? vsnprintf(to, room, fmt, args) : -1;
    if (n >= 0 && (size_t)n >= room) {
        to = buf_room(b, (size_t)n);
        n = to ? vsnprintf(to, (size_t)n + 1, fmt, again) : -1;
    }
    va_end(again);
    if (n >= 0) {
        buf_grew(b, (size_t)n);
        return;
    }
    /* A format that cannot be printed is refused by the compiler, so this is the lack of memory. */
    b->failed = true;
    if (b->cap)
        b->p[b->len] = '\0';
}

/* -------------------------------------------------------------------------------------- JSON */

/* What stands for each byte behind a backslash: 0 = itself, no backslash; 'u' = \u00XX. */
static char json_escape(unsigned char c)
{
    switch (c) {
    case '"': return '"';
    case '\\': return '\\';
    case '\b': return 'b';
    case '\f': return 'f';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    default: return c < 0x20 ? 'u' : 0;
    }
}

static void json_escaped_run(struct buf *b, str s)
{
    size_t from = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        char escape = json_escape(c);
        if (!escape)
            continue;
        buf_add(b, s.p + from, i - from);
        buf_add(b, (char[]){'\\', escape}, 2);
        if (escape == 'u') {
            buf_c(b, "00");
            buf_hex(b, &c, 1);
        }
        from = i + 1;
    }
    buf_str(b, str_from(s, from));
}

#define EACH_BYTE(n) (0x0101010101010101u * (n))

/* The high bit of a byte that is less than `n`, of all eight, up to the first at least; their own
 * high bits must be clear. */
static uint64_t less(uint64_t bytes, unsigned n)
{
    return (bytes - EACH_BYTE(n)) & EACH_BYTE(0x80);
}

/* How many of the first bytes stand for themselves, and are ASCII. */
static size_t plain_run(str s)
{
    size_t i = 0;
    for (uint64_t eight; i + sizeof eight <= s.len; i += sizeof eight) {
        memcpy(&eight, s.p + i, sizeof eight);
        if ((eight & EACH_BYTE(0x80)) || less(eight, 0x20) || less(eight ^ EACH_BYTE('"'), 1) ||
            less(eight ^ EACH_BYTE('\\'), 1))
            break;
    }
    while (i < s.len && (unsigned char)s.p[i] < 0x80 && !json_escape((unsigned char)s.p[i]))
        i++;
    return i;
}

bool json_is_plain(str s)
{
    return plain_run(s) == s.len;
}

static void buf_plain_string(struct buf *b, str s)
{
    char *to = buf_room(b, s.len + 2);
    if (!to)
        return;
    *to++ = '"';
    if (s.len)
        memcpy(to, s.p, s.len);
    to[s.len] = '"';
    buf_grew(b, s.len + 2);
}

void buf_json_string(struct buf *b, str s)
{
    size_t plain = plain_run(s);
    if (plain == s.len) {
        buf_plain_string(b, s);
        return;
    }
    buf_byte(b, '"');
    buf_add(b, s.p, plain);
    s = str_from(s, plain);
    while (s.len) {
        size_t valid = str_utf8_valid(s);
        json_escaped_run(b, str_make(s.p, valid));
        s = str_from(s, valid);
        if (s.len) {
            buf_c(b, "\xEF\xBF\xBD"); /* U+FFFD */
            s = str_from(s, 1);
        }
    }
    buf_byte(b, '"');
}

/* ------------------------------------------------------------------------------ taking it out */

void buf_shift(struct buf *b, size_t n)
{
    assert(n <= b->len);
    if (n == 0)
        return;
    memmove(b->p, b->p + n, b->len - n + 1);
    b->len -= n;
}

kf_rc buf_ok(const struct buf *b, struct kf_err *err)
{
    return b->failed ? err_nomem(err) : KF_OK;
}

char *buf_detach(struct buf *b, size_t *ret_len)
{
    if (!buf_room(b, 0)) /* so that the empty one is an allocation as well */
        return NULL;
    char *p = b->p;
    if (ret_len)
        *ret_len = b->len;
    *b = BUF_INIT;
    return p;
}
