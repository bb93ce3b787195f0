#include "base/when.h"

#include <stdio.h>

#define SECOND_MS 1000
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    ((int64_t)24 * HOUR_MS)

/* ---------------------------------------------------------------------------- calendar
 *
 * Days are counted from 0000-01-01 of the Gregorian calendar, extended backwards, so that no number
 * here is negative. */

#define DAYS_TO_1970 719528
#define MS_MIN       (-DAYS_TO_1970 * DAY_MS)
#define MS_MAX       ((days_before_year(10000) - DAYS_TO_1970) * DAY_MS - 1)

static bool leap_year(int64_t y)
{
    return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
}

static int64_t days_before_year(int64_t y)
{
    if (y == 0)
        return 0;
    int64_t last = y - 1;
    return y * 365 + last / 4 - last / 100 + last / 400 + 1; /* the 1: year 0 is a leap year */
}

static int64_t days_before_month(int64_t y, int64_t month)
{
    static const int16_t before[13] = {0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    return before[month] + (month > 2 && leap_year(y));
}

static int64_t days_in_month(int64_t y, int64_t month)
{
    if (month == 12)
        return 31;
    return days_before_month(y, month + 1) - days_before_month(y, month);
}

static void put_two(char *out, uint32_t v)
{
    out[0] = (char)('0' + v / 10);
    out[1] = (char)('0' + v % 10);
}

static void put_three(char *out, uint32_t v)
{
    put_two(out, v / 10);
    out[2] = (char)('0' + v % 10);
}

/* A day as year, month and day of the month, without looking for any of them: years are counted
 * from March, so that the leap day is the last one, and months of 153 days in five follow a line.
 * After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days. */
static void civil_of(int64_t day, uint32_t *y, uint32_t *month, uint32_t *day_of_month)
{
    uint32_t from_march = (uint32_t)day + 146097 - 60, era = from_march / 146097;
    uint32_t of_era = from_march % 146097;
    uint32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint32_t of_year = of_era - (365 * year + year / 4 - year / 100);
    uint32_t from = (5 * of_year + 2) / 153; /* 0 = March */
    *day_of_month = of_year - (153 * from + 2) / 5 + 1;
    *month = from < 10 ? from + 3 : from - 9;
    *y = year + era * 400 - 400 + (*month <= 2);
}

static void find_minute(struct when_minute *d, int64_t minute)
{
    int64_t day = minute / (DAY_MS / MINUTE_MS);
    uint32_t of_day = (uint32_t)(minute - day * (DAY_MS / MINUTE_MS));
    uint32_t y, month, day_of_month;
    civil_of(day, &y, &month, &day_of_month);
    memcpy(d->text, "0000-00-00T00:00:00.000Z", sizeof d->text);
    put_two(d->text, y / 100);
    put_two(d->text + 2, y % 100);
    put_two(d->text + 5, month);
    put_two(d->text + 8, day_of_month);
    put_two(d->text + 11, of_day / 60);
    put_two(d->text + 14, of_day % 60);
    d->minute = minute;
    d->known = true;
}

/* Not by snprintf: a list of entries has a thousand of these. */
void when_format_on(struct when_minute *d, int64_t ms, char out[WHEN_LEN + 1])
{
    ms = ms < MS_MIN ? MS_MIN : ms > MS_MAX ? MS_MAX : ms;
    ms -= MS_MIN;
    int64_t minute = ms / MINUTE_MS;
    uint32_t rest = (uint32_t)(ms - minute * MINUTE_MS);
    if (!d->known || d->minute != minute)
        find_minute(d, minute);
    memcpy(out, d->text, sizeof d->text);
    put_two(out + 17, rest / SECOND_MS);
    put_three(out + 20, rest % SECOND_MS);
}

void when_format(int64_t ms, char out[WHEN_LEN + 1])
{
    struct when_minute minute = {0};
    when_format_on(&minute, ms, out);
}

/* Takes `n` digits from the front. */
static bool take_digits(str *s, size_t n, int64_t *ret)
{
    int64_t v = 0;
    if (s->len < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        v = v * 10 + (s->p[i] - '0');
    }
    *s = str_from(*s, n);
    *ret = v;
    return true;
}

static bool take_byte(str *s, char c)
{
    if (s->len == 0 || s->p[0] != c)
        return false;
    *s = str_from(*s, 1);
    return true;
}

/* "YYYY-MM-DD" as days from 0000-01-01. */
static bool take_date(str *s, int64_t *ret_days)
{
    int64_t y, month, day;
    if (!take_digits(s, 4, &y) || !take_byte(s, '-') || !take_digits(s, 2, &month) ||
        !take_byte(s, '-') || !take_digits(s, 2, &day))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(y, month))
        return false;
    *ret_days = days_before_year(y) + days_before_month(y, month) + day - 1;
    return true;
}

/* ".123456789" or nothing, as milliseconds. */
static bool take_fraction(str *s, int64_t *ret_ms)
{
    int64_t ms = 0, scale = 100, digit;
    size_t count = 0;
    if (take_byte(s, '.')) {
        for (; take_digits(s, 1, &digit); count++, scale /= 10)
            ms += digit * scale;
        if (count < 1 || count > 9)
            return false;
    }
    *ret_ms = ms;
    return true;
}

/* "Z" or "+02:00", as what is to be taken off. */
static bool take_zone(str *s, int64_t *ret_ms)
{
    int64_t hours, minutes;
    *ret_ms = 0;
    if (take_byte(s, 'Z') || take_byte(s, 'z'))
        return true;
    bool west = take_byte(s, '-');
    if (!west && !take_byte(s, '+'))
        return false;
    if (!take_digits(s, 2, &hours) || !take_byte(s, ':') || !take_digits(s, 2, &minutes) ||
        hours > 23 || minutes > 59)
        return false;
    *ret_ms = (hours * HOUR_MS + minutes * MINUTE_MS) * (west ? -1 : 1);
    return true;
}

bool when_parse(str s, int64_t *ret_ms)
{
    int64_t days, hour, minute, second, fraction, zone;
    if (!take_date(&s, &days) || !(take_byte(&s, 'T') || take_byte(&s, 't')))
        return false;
    if (!take_digits(&s, 2, &hour) || !take_byte(&s, ':') || !take_digits(&s, 2, &minute) ||
        !take_byte(&s, ':') || !take_digits(&s, 2, &second))
        return false;
    if (!take_fraction(&s, &fraction) || !take_zone(&s, &zone) || s.len)
        return false;
    if (hour > 23 || minute > 59 || second > 60)
        return false;

    int64_t ms = (days - DAYS_TO_1970) * DAY_MS + hour * HOUR_MS + minute * MINUTE_MS - zone;
    /* A leap second comes at the end of a day in UTC, and our count has no place for it: it is the
     * next second. */
    int64_t minute_of_day = (ms - MS_MIN) % DAY_MS / MINUTE_MS;
    if (second == 60 && (ms < MS_MIN || minute_of_day != 24 * 60 - 1))
        return false;
    ms += second * SECOND_MS + fraction;
    if (ms < MS_MIN || ms > MS_MAX)
        return false;
    *ret_ms = ms;
    return true;
}

/* -------------------------------------------------------------------------- numbers with a unit */

struct unit {
    const char *name;
    uint64_t size;
};

/* Largest first, as the formatting needs it; the last one has size 1. */
static const struct unit durations[] = {
    {"d", DAY_MS}, {"h", HOUR_MS}, {"m", MINUTE_MS}, {"s", SECOND_MS}, {"ms", 1}, {NULL, 0},
};
static const struct unit sizes[] = {
    {"TiB", (uint64_t)1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20},
    {"KiB", 1 << 10},           {"", 1},          {NULL, 0},
};

static bool unit_parse(str s, const struct unit *units, uint64_t *ret)
{
    size_t digits = 0;
    while (digits < s.len && s.p[digits] >= '0' && s.p[digits] <= '9')
        digits++;
    uint64_t n;
    if (!str_to_u64(str_make(s.p, digits), &n))
        return false;
    for (const struct unit *u = units; u->name; u++)
        if (str_is(str_from(s, digits), u->name))
            return !__builtin_mul_overflow(n, u->size, ret);
    return false;
}

static void unit_format(uint64_t n, const struct unit *units, struct buf *out)
{
    const struct unit *u = units;
    while (n % u->size != 0)
        u++;
    buf_u64(out, n / u->size);
    buf_c(out, u->name);
}

#define DURATION_MAX_MS ((uint64_t)36525 * DAY_MS) /* 100 years */

bool duration_parse(str s, uint64_t *ret_ms)
{
    uint64_t ms = 0;
    if (!str_eq(s, STR("0")) && !unit_parse(s, durations, &ms))
        return false;
    if (ms > DURATION_MAX_MS)
        return false;
    *ret_ms = ms;
    return true;
}

void duration_format(uint64_t ms, struct buf *out)
{
    if (ms == 0)
        buf_byte(out, '0');
    else
        unit_format(ms, durations, out);
}

bool size_parse(str s, uint64_t *ret_bytes)
{
    uint64_t bytes;
    if (!unit_parse(s, sizes, &bytes))
        return false;
    *ret_bytes = bytes;
    return true;
}

void size_format(uint64_t bytes, struct buf *out)
{
    if (bytes == 0)
        buf_byte(out, '0');
    else
        unit_format(bytes, sizes, out);
}

/* ----------------------------------------------------------------------------------- for people */

void size_human(uint64_t bytes, struct buf *out)
{
    static const char prefix[] = "KMGTPE";
    if (bytes < 1024) {
        buf_printf(out, "%u B", (unsigned)bytes);
        return;
    }
    /* In tenths, rounded; a unit is left when it would show as 1024.0. */
    uint64_t tenths = 0;
    size_t i = 0;
    for (;; i++) {
        uint64_t unit = (uint64_t)1 << (10 * (i + 1));
        uint64_t rest = bytes % unit;
        tenths = bytes / unit * 10 + (rest * 10 + unit / 2) / unit; /* rest < 2^60 */
        if (tenths < 10240 || i == sizeof(prefix) - 2)
            break;
    }
    buf_printf(out, "%u.%u %ciB", (unsigned)(tenths / 10), (unsigned)(tenths % 10), prefix[i]);
}

void age_human(int64_t ms, struct buf *out)
{
    int64_t seconds = ms > 0 ? ms / SECOND_MS : 0;
    if (seconds < 60)
        buf_printf(out, "%d s", (int)seconds);
    else if (seconds < 3600)
        buf_printf(out, "%d min", (int)(seconds / 60));
    else if (seconds < 86400)
        buf_printf(out, "%d h", (int)(seconds / 3600));
    else
        buf_printf(out, "%lld d", (long long)(seconds / 86400));
}
