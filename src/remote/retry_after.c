/* A trace, of which the last column is the host's:
 *
 *     13:42:49.941899 http.c:684              <= Recv header: HTTP/1.1 429 Too Many Requests
 *     13:42:49.941910 http.c:684              <= Recv header: Date: Sat, 21 Nov 2026 13:42:49 GMT
 *     13:42:49.941916 http.c:684              <= Recv header: Retry-After: 7
 *     13:42:49.941935 http.c:725              == Info: Closing connection 0
 *
 *     line --"<= Recv header: "--> "HTTP/…": the answer begins, all before is forgotten
 *       |                     \--> Retry-After, Date: of that answer
 *       +--anything else--> nothing
 *
 * A value that a host sends cannot begin a line of its own: git writes each line of a head behind
 * its own mark. */
#include "remote/retry_after.h"

#include "base/hooks.h"

#include <string.h>

#define MARK  "<= Recv header: "
#define DAY_S 86400

/* ---------------------------------------------------------------------------------------- dates */

/* Days from 1970-01-01 to a day of the Gregorian calendar; month from 1. */
static int64_t days_of(int64_t year, int month, int day)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int64_t past = year - 1;
    int64_t days = past * 365 + past / 4 - past / 100 + past / 400 - 719162;
    return days + before[month - 1] + (leap && month > 2) + day - 1;
}

/* Exactly `digits` of them, at `at`. */
static bool number_at(str s, size_t at, size_t digits, int64_t max, int64_t *ret)
{
    int64_t v = 0;
    for (size_t i = at; i < at + digits; i++) {
        if (i >= s.len || s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (s.p[i] - '0');
    }
    *ret = v;
    return v <= max;
}

bool retry_after_date(str text, int64_t *ret_s)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const char shape[] = "Sun, 06 Nov 1994 08:49:37 GMT";
    int64_t day, year, hour, minute, second;
    int month = 0;
    if (text.len != sizeof(shape) - 1 || memcmp(text.p + 25, " GMT", 4) != 0)
        return false;
    for (size_t i = 3; i < 25; i++)
        if (strchr(", :", shape[i]) && text.p[i] != shape[i])
            return false;
    while (month < 12 && memcmp(text.p + 8, months + (size_t)month * 3, 3) != 0)
        month++;
    if (month == 12 || !number_at(text, 5, 2, 31, &day) || day == 0 ||
        !number_at(text, 12, 4, 9999, &year) || year < 1970 || !number_at(text, 17, 2, 23, &hour) ||
        !number_at(text, 20, 2, 59, &minute) || !number_at(text, 23, 2, 60, &second))
        return false;
    *ret_s = days_of(year, month + 1, (int)day) * DAY_S + hour * 3600 + minute * 60 + second;
    return true;
}

/* ---------------------------------------------------------------------------------------- lines */

/* A number of any length; beyond the bound it counts as the bound. */
static bool seconds_of(str s, int64_t *ret)
{
    int64_t v = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        if (v < RETRY_AFTER_MAX_MS / 1000)
            v = v * 10 + (s.p[i] - '0');
    }
    *ret = v;
    return s.len > 0;
}

/* "HTTP/1.1 429 …", "HTTP/2 429 " */
static void begin_answer(struct retry_after *r, str head)
{
    int64_t status;
    size_t at = str_index(head, ' ') + 1;
    if (!number_at(head, at, 3, 999, &status))
        return;
    r->status = (int)status;
    r->in_s = r->at_s = r->date_s = -1;
}

/* The value of a field whose name is this one in letters of any size. */
static bool field(str head, const char *name, str *ret)
{
    size_t len = strlen(name);
    if (head.len <= len || head.p[len] != ':')
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = head.p[i];
        if ((c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c) != name[i])
            return false;
    }
    *ret = str_trim(str_from(head, len + 1));
    return true;
}

static void take_line(struct retry_after *r)
{
    str line = {r->line, r->len}, mark = STR(MARK), value;
    size_t at = 0;
    while (at + mark.len <= line.len && memcmp(line.p + at, mark.p, mark.len) != 0)
        at++;
    if (r->beyond || at + mark.len > line.len)
        return;
    str head = str_from(line, at + mark.len);
    if (str_ends(head, STR("\r")))
        head.len--;
    head = str_trim(head);
    if (str_starts(head, STR("HTTP/"))) {
        begin_answer(r, head);
    } else if (r->status == 0) {
        return;
    } else if (field(head, "retry-after", &value)) {
        if (!seconds_of(value, &r->in_s) && !retry_after_date(value, &r->at_s))
            KF_SOMETIMES("retry-after-not-understood");
    } else if (field(head, "date", &value)) {
        retry_after_date(value, &r->date_s);
    }
}

void retry_after_take(struct retry_after *r, str bytes)
{
    while (bytes.len) {
        size_t n = str_index(bytes, '\n'), room = sizeof(r->line) - r->len;
        size_t kept = n < room ? n : room;
        memcpy(r->line + r->len, bytes.p, kept);
        r->len += kept;
        r->beyond |= kept < n;
        if (n == bytes.len)
            return;
        take_line(r);
        r->len = 0;
        r->beyond = false;
        bytes = str_from(bytes, n + 1);
    }
}

int64_t retry_after_ms(const struct retry_after *r, int64_t now_ms)
{
    int64_t ms = 0;
    if (r->status != 429 && r->status != 503)
        return 0;
    if (r->in_s >= 0)
        ms = r->in_s * 1000;
    else if (r->at_s >= 0)
        ms = r->at_s * 1000 - (r->date_s >= 0 ? r->date_s * 1000 : now_ms);
    if (ms < 0)
        return 0;
    return ms < RETRY_AFTER_MAX_MS ? ms : RETRY_AFTER_MAX_MS;
}

bool retry_after_clock(const struct retry_after *r, int64_t from_ms, int64_t to_ms,
                       int64_t *ret_ahead_ms)
{
    if (r->status == 0 || r->date_s < 0 || to_ms < from_ms)
        return false;
    int64_t first_ms = r->date_s * 1000, least = first_ms - to_ms, most = first_ms + 999 - from_ms;
    *ret_ahead_ms = least > 0 ? least : most < 0 ? most : 0;
    return true;
}
