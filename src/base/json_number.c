/* json_number: numbers as exact decimals, of any length and exponent, without arithmetic beyond
 * their exponents. */
#include "base/json_internal.h"

/* A number taken apart: ±(whole)(fraction) · 10^±(exponent), digits only, exponent without leading
 * zeros. */
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

/* exponent + shift, as text, where the exponent is far beyond the size of any text: its sign stays
 * and the digits are changed from behind. */
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

/* Zeros fall off at both ends: behind, of the fraction first, and of the whole part when there is
 * no fraction left; in front the other way round. What is left are the digits of a whole number;
 * returned is the power of ten, beside the exponent, that makes the value of it. */
static int64_t trim(struct decimal *ret)
{
    struct decimal d = *ret;
    int64_t shift = -(int64_t)d.fraction.len;
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
    *ret = d;
    return shift;
}

static size_t digits_of(const struct decimal *d)
{
    return d->whole.len + d->fraction.len;
}

void json_put_number(struct buf *out, str raw)
{
    struct decimal d = decimal_of(raw);
    int64_t shift = trim(&d);
    if (digits_of(&d) == 0) {
        buf_byte(out, '0');
        return;
    }
    if (d.minus)
        buf_byte(out, '-');
    buf_str(out, d.whole);
    buf_str(out, d.fraction);
    put_exponent(out, &d, shift);
}

bool json_number_is_whole(str raw, bool *ret_whole)
{
    struct decimal d = decimal_of(raw);
    int64_t shift = trim(&d);
    struct buf exponent = BUF_INIT;
    if (digits_of(&d) > 0)
        put_exponent(&exponent, &d, shift);
    bool good = !exponent.failed;
    if (good)
        *ret_whole = !str_starts(buf_view(&exponent), STR("e-"));
    buf_release(&exponent);
    return good;
}

/* -------------------------------------------------------------------------------------- order */

/* The order of two exponents as put_exponent writes them: shorter ones are nearer to zero. */
static int order_exponents(str a, str b)
{
    bool minus_a = str_starts(a, STR("e-")), minus_b = str_starts(b, STR("e-"));
    if (minus_a != minus_b)
        return minus_a ? -1 : 1;
    int order = a.len != b.len ? (a.len < b.len ? -1 : 1) : str_cmp(a, b);
    return minus_a ? -order : order;
}

/* The order of 0.DIGITS of two numbers, whose digits lie in two pieces each. */
static int order_digits(const struct decimal *a, const struct decimal *b)
{
    size_t na = digits_of(a), nb = digits_of(b);
    for (size_t i = 0; i < na && i < nb; i++) {
        char ca = i < a->whole.len ? a->whole.p[i] : a->fraction.p[i - a->whole.len];
        char cb = i < b->whole.len ? b->whole.p[i] : b->fraction.p[i - b->whole.len];
        if (ca != cb)
            return ca < cb ? -1 : 1;
    }
    return na == nb ? 0 : na < nb ? -1 : 1;
}

/* -1, 0, 1 for the sign. */
static int sign_of(const struct decimal *d)
{
    return digits_of(d) == 0 ? 0 : d->minus ? -1 : 1;
}

bool json_number_order(str raw_a, str raw_b, int *ret_order)
{
    struct decimal a = decimal_of(raw_a), b = decimal_of(raw_b);
    int64_t shift_a = trim(&a), shift_b = trim(&b);
    int sign = sign_of(&a);
    if (sign != sign_of(&b) || sign == 0) {
        *ret_order = sign < sign_of(&b) ? -1 : sign > sign_of(&b);
        return true;
    }
    /* Written as 0.DIGITS · 10^EXPONENT, the larger exponent decides, then the digits. */
    struct buf ea = BUF_INIT, eb = BUF_INIT;
    put_exponent(&ea, &a, shift_a + (int64_t)digits_of(&a));
    put_exponent(&eb, &b, shift_b + (int64_t)digits_of(&b));
    bool good = !ea.failed && !eb.failed;
    int order = good ? order_exponents(buf_view(&ea), buf_view(&eb)) : 0;
    if (good)
        *ret_order = sign * (order ? order : order_digits(&a, &b));
    buf_release(&ea);
    buf_release(&eb);
    return good;
}
