/* json_text: raw strings and what they stand for. Everything here reads strings that the scanner
 * has let through, so escapes are whole and surrogates come in pairs. */
#include "base/json_internal.h"

#include "base/arena.h"

#include <assert.h>

struct json_unescape json_unescape_begin(str raw)
{
    assert(raw.len >= 2);
    return (struct json_unescape){.p = raw.p + 1, .end = raw.p + raw.len - 1};
}

static unsigned hex4(const char *p)
{
    unsigned code = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        unsigned digit = c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
        code = code << 4 | digit;
    }
    return code;
}

static size_t put_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

/* The bytes of the escape at u->p, which is passed. */
static str one_escape(struct json_unescape *u)
{
    static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
    char c = u->p[1];
    if (c != 'u') {
        const char *letter = strchr(letters, c);
        u->few[0] = letter ? meant[letter - letters] : c;
        u->p += 2;
        return str_make(u->few, 1);
    }
    unsigned code = hex4(u->p + 2);
    u->p += 6;
    if (code >= 0xD800 && code <= 0xDBFF) {
        code = 0x10000 + ((code - 0xD800) << 10) + (hex4(u->p + 2) - 0xDC00);
        u->p += 6;
    }
    return str_make(u->few, put_utf8(u->few, code));
}

str json_unescape_next(struct json_unescape *u)
{
    if (u->p == u->end)
        return STR("");
    if (*u->p == '\\')
        return one_escape(u);
    const char *from = u->p;
    const char *escape = memchr(from, '\\', (size_t)(u->end - from));
    u->p = escape ? escape : u->end;
    return str_make(from, (size_t)(u->p - from));
}

int json_raw_cmp(str a, str b)
{
    struct json_unescape ua = json_unescape_begin(a), ub = json_unescape_begin(b);
    str ra = json_unescape_next(&ua), rb = json_unescape_next(&ub);
    while (ra.len && rb.len) {
        size_t n = ra.len < rb.len ? ra.len : rb.len;
        int order = memcmp(ra.p, rb.p, n);
        if (order)
            return order;
        ra = str_from(ra, n);
        rb = str_from(rb, n);
        if (!ra.len)
            ra = json_unescape_next(&ua);
        if (!rb.len)
            rb = json_unescape_next(&ub);
    }
    return (ra.len > 0) - (rb.len > 0);
}

str json_raw_at(const char *at)
{
    const char *p = at + 1;
    for (; *p != '"'; p++)
        p += *p == '\\';
    return str_make(at, (size_t)(p + 1 - at));
}

bool json_text_is(str raw, str text)
{
    struct json_unescape u = json_unescape_begin(raw);
    for (str run = json_unescape_next(&u); run.len; run = json_unescape_next(&u)) {
        if (!str_starts(text, run))
            return false;
        text = str_from(text, run.len);
    }
    return text.len == 0;
}

str json_text(str raw, struct arena *arena)
{
    str plain = str_make(raw.p + 1, raw.len - 2);
    if (!memchr(plain.p, '\\', plain.len))
        return plain;
    /* No escape is shorter than what it stands for. */
    char *text = arena_alloc(arena, plain.len + 1);
    if (!text)
        return str_make(NULL, 0);
    size_t len = 0;
    struct json_unescape u = json_unescape_begin(raw);
    for (str run = json_unescape_next(&u); run.len; run = json_unescape_next(&u)) {
        memcpy(text + len, run.p, run.len);
        len += run.len;
    }
    return str_make(text, len);
}

void json_put_escaped(struct buf *out, char c)
{
    if (c == '"' || c == '\\') {
        buf_byte(out, '\\');
        buf_byte(out, c);
    } else if ((unsigned char)c < 0x20) {
        buf_c(out, "\\u00");
        buf_hex(out, &c, 1);
    } else {
        buf_byte(out, c);
    }
}

void json_put_string(struct buf *out, str raw)
{
    if (!memchr(raw.p, '\\', raw.len)) {
        buf_str(out, raw);
        return;
    }
    buf_byte(out, '"');
    struct json_unescape u = json_unescape_begin(raw);
    for (str run = json_unescape_next(&u); run.len; run = json_unescape_next(&u)) {
        if (run.p == u.few && run.len == 1)
            json_put_escaped(out, run.p[0]);
        else
            buf_str(out, run);
    }
    buf_byte(out, '"');
}

void json_put_pointer_token(struct buf *out, str raw_name)
{
    struct json_unescape u = json_unescape_begin(raw_name);
    for (str run = json_unescape_next(&u); run.len; run = json_unescape_next(&u)) {
        for (size_t i = 0; i < run.len; i++) {
            if (run.p[i] == '~')
                buf_c(out, "~0");
            else if (run.p[i] == '/')
                buf_c(out, "~1");
            else
                json_put_escaped(out, run.p[i]);
        }
    }
}

void json_shorten(str s, char *out, size_t size)
{
    size_t len = s.len;
    if (len > size - 1) {
        for (len = size - 4; len > 0 && ((unsigned char)s.p[len] & 0xC0) == 0x80;)
            len--;
    }
    memcpy(out, s.p, len);
    if (len == s.len)
        out[len] = '\0';
    else
        memcpy(out + len, "...", 4);
}
