/* json_canonical: one text for each value. */
#include "base/json_internal.h"

#include "base/err.h"

#include <assert.h>

/* ------------------------------------------------------------------------------------- numbers */

/* A number taken apart: ±(whole)(fraction) · 10^±(exponent), digits only, exponent without leading zeros. */
struct decimal {
    bool minus, exponent_minus;
    str whole, fraction, exponent;
};

static str take_digits(str *rest)
{
    size_t n = 0;
    while (n < rest->len && rest->p[n] >= '0' && rest->p[n] <= '9')
        n++;
    str digits = str_make(rest->p, n);
    *rest = str_from(*rest, n);
    return digits;
}

static bool take(str *rest, char c)
{
    if (rest->len == 0 || rest->p[0] != c)
        return false;
    *rest = str_from(*rest, 1);
    return true;
}

static str without_leading_zeros(str digits)
{
    while (take(&digits, '0')) {
    }
    return digits;
}

static struct decimal decimal_of(str raw)
{
    struct decimal d = {.minus = take(&raw, '-')};
    d.whole = take_digits(&raw);
    if (take(&raw, '.'))
        d.fraction = take_digits(&raw);
    if (take(&raw, 'e') || take(&raw, 'E')) {
        d.exponent_minus = take(&raw, '-');
        (void)(!d.exponent_minus && take(&raw, '+'));
        d.exponent = without_leading_zeros(take_digits(&raw));
    }
    return d;
}

static size_t trailing_zeros(str digits)
{
    size_t n = 0;
    while (n < digits.len && digits.p[digits.len - 1 - n] == '0')
        n++;
    return n;
}

/* More digits than this are added up as text. Any length of text fits into that many digits. */
#define EXPONENT_DIGITS 17

/* exponent + shift, where the exponent is far beyond the size of any text: its sign stays and the digits are
 * changed from behind. */
static void put_long_exponent(struct buf *out, const struct decimal *d, int64_t shift)
{
    char *room = buf_room(out, d->exponent.len + 3);
    if (!room)
        return;
    *room++ = 'e';
    if (d->exponent_minus)
        *room++ = '-';
    /* One digit more in front, should the sum need it. */
    size_t len = d->exponent.len + 1;
    room[0] = '0';
    memcpy(room + 1, d->exponent.p, d->exponent.len);
    int64_t carry = d->exponent_minus ? -shift : shift;
    for (size_t i = len; carry != 0 && i-- > 0;) {
        int64_t sum = room[i] - '0' + carry;
        int64_t digit = (sum % 10 + 10) % 10;
        room[i] = (char)('0' + digit);
        carry = (sum - digit) / 10;
    }
    size_t zeros = len - without_leading_zeros(str_make(room, len)).len;
    memmove(room, room + zeros, len - zeros);
    buf_grew(out, 1 + d->exponent_minus + len - zeros);
}

static void put_exponent(struct buf *out, const struct decimal *d, int64_t shift)
{
    if (d->exponent.len > EXPONENT_DIGITS) {
        put_long_exponent(out, d, shift);
        return;
    }
    int64_t exponent = 0;
    for (size_t i = 0; i < d->exponent.len; i++)
        exponent = exponent * 10 + (d->exponent.p[i] - '0');
    exponent = (d->exponent_minus ? -exponent : exponent) + shift;
    if (exponent != 0) {
        buf_byte(out, 'e');
        buf_i64(out, exponent);
    }
}

void json_put_number(struct buf *out, str raw)
{
    struct decimal d = decimal_of(raw);
    int64_t shift = -(int64_t)d.fraction.len;
    /* Zeros fall off at both ends: of the fraction first, of the whole part when there is no fraction left,
     * and the other way round in front. */
    size_t zeros = trailing_zeros(d.fraction);
    d.fraction.len -= zeros;
    if (d.fraction.len == 0) {
        size_t more = trailing_zeros(d.whole);
        d.whole.len -= more;
        zeros += more;
    }
    shift += (int64_t)zeros;
    d.whole = without_leading_zeros(d.whole);
    if (d.whole.len == 0)
        d.fraction = without_leading_zeros(d.fraction);
    if (d.whole.len + d.fraction.len == 0) {
        buf_byte(out, '0');
        return;
    }
    if (d.minus)
        buf_byte(out, '-');
    buf_str(out, d.whole);
    buf_str(out, d.fraction);
    put_exponent(out, &d, shift);
}

/* ------------------------------------------------------------------------------------- strings */

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

/* ---------------------------------------------------------------------------------------- tree */

struct writer {
    struct arena *arena;
    struct buf *out;
    struct json_span *spans;
};

static bool put_value(struct writer *w, const struct json_node *n);

static bool put_members(struct writer *w, const struct json_node *n)
{
    const struct json_node **members = json_sorted_members(n, w->arena);
    if (!members)
        return false;
    buf_byte(w->out, '{');
    for (uint32_t i = 0; i < n->count; i++) {
        if (i > 0)
            buf_byte(w->out, ',');
        json_put_string(w->out, members[i]->name);
        buf_byte(w->out, ':');
        if (!put_value(w, members[i]))
            return false;
    }
    buf_byte(w->out, '}');
    return true;
}

static bool put_elements(struct writer *w, const struct json_node *n)
{
    buf_byte(w->out, '[');
    for (const struct json_node *e = n->child; e; e = e->next) {
        if (e != n->child)
            buf_byte(w->out, ',');
        if (!put_value(w, e))
            return false;
    }
    buf_byte(w->out, ']');
    return true;
}

/* Goes down at most JSON_DEPTH_MAX levels. */
static bool put_value(struct writer *w, const struct json_node *n)
{
    size_t at = w->out->len;
    bool ok = true;
    switch (n->type) {
    case JSON_OBJECT: ok = put_members(w, n); break;
    case JSON_ARRAY: ok = put_elements(w, n); break;
    case JSON_STRING: json_put_string(w->out, n->raw); break;
    case JSON_NUMBER: json_put_number(w->out, n->raw); break;
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE: buf_str(w->out, n->raw); break;
    }
    if (w->spans)
        w->spans[n->index] = (struct json_span){at, w->out->len - at};
    return ok;
}

kf_rc json_put_canonical(const struct json_node *node, struct arena *arena, struct buf *out,
                         struct json_span *spans, struct kf_err *err)
{
    size_t before = out->len;
    struct writer w = {arena, out, spans};
    kf_rc rc = put_value(&w, node) ? KF_OK : err_nomem(err);
    return json_finish(out, before, rc, err);
}

kf_rc json_finish(struct buf *out, size_t before, kf_rc rc, struct kf_err *err)
{
    if (rc == KF_OK)
        rc = buf_ok(out, err);
    if (rc != KF_OK && out->len > before) {
        out->len = before;
        out->p[before] = 0;
    }
    return rc;
}

kf_rc json_canonical(str text, struct buf *out, struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct json_node *root;
    kf_rc rc = json_parse(text, &json_limits_none, &arena, &root, err);
    if (rc == KF_OK)
        rc = json_put_canonical(root, &arena, out, NULL, err);
    arena_release(&arena);
    return rc;
}

kf_rc json_same(str a, str b, bool *ret_same, struct kf_err *err)
{
    struct buf ca = BUF_INIT, cb = BUF_INIT;
    kf_rc rc = json_canonical(a, &ca, err);
    if (rc == KF_OK)
        rc = json_canonical(b, &cb, err);
    if (rc == KF_OK)
        *ret_same = str_eq(buf_view(&ca), buf_view(&cb));
    buf_release(&ca);
    buf_release(&cb);
    return rc;
}
