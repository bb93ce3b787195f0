/* How long hosts ask to be left alone: their answers as git traces them. */
#include "testing.h"

#include "remote/retry_after.h"

#include "base/buf.h"

#define MARK "13:42:49.941899 http.c:684              <= Recv header: "
#define NOW  ((int64_t)1795268569 * 1000) /* Sat, 21 Nov 2026 13:42:49 GMT */

static const struct line {
    const char *heads[6];
    int64_t ms;
} lines[] = {
    {{"HTTP/1.1 429 Too Many Requests", "Retry-After: 7"}, 7000},
    {{"HTTP/1.1 503 Service Unavailable", "Content-Length: 0", "retry-after:120"}, 120000},
    {{"HTTP/2 429 ", "RETRY-AFTER: 3"}, 3000},
    {{"HTTP/1.0 429", "Retry-After: 0"}, 0},
    {{"HTTP/1.1 429 x"}, 0},
    /* only of an answer that refuses for the time being, and only of the newest */
    {{"HTTP/1.1 200 OK", "Retry-After: 7"}, 0},
    {{"HTTP/1.1 301 Moved", "Retry-After: 7"}, 0},
    {{"HTTP/1.1 401 x", "Retry-After: 9", "HTTP/1.1 429 x"}, 0},
    {{"HTTP/1.1 429 x", "Retry-After: 9", "HTTP/1.1 200 OK"}, 0},
    {{"HTTP/1.1 429 x", "Retry-After: 9", "HTTP/1.1 503 x", "Retry-After: 4"}, 4000},
    {{"Retry-After: 9"}, 0},
    {{"Retry-After: 9", "HTTP/1.1 429 x"}, 0},
    /* dates, by the host's own clock where it says what that is */
    {{"HTTP/1.1 429 x", "Retry-After: Sat, 21 Nov 2026 13:43:49 GMT"}, 60000},
    {{"HTTP/1.1 429 x", "Retry-After: Sat, 21 Nov 2026 13:42:09 GMT"}, 0},
    {{"HTTP/1.1 429 x", "Date: Sat, 21 Nov 2026 13:27:49 GMT",
      "Retry-After: Sat, 21 Nov 2026 13:28:49 GMT"},
     60000},
    {{"HTTP/1.1 429 x", "Retry-After: Sat, 21 Nov 2026 13:58:49 GMT",
      "Date: Sat, 21 Nov 2026 13:57:49 GMT"},
     60000},
    {{"HTTP/1.1 429 x", "Date: yesterday", "Retry-After: Sat, 21 Nov 2026 13:43:49 GMT"}, 60000},
    /* what is no such thing */
    {{"HTTP/1.1 429 x", "Retry-After: -5"}, 0},
    {{"HTTP/1.1 429 x", "Retry-After: 5s"}, 0},
    {{"HTTP/1.1 429 x", "Retry-After: 5 "}, 5000},
    {{"HTTP/1.1 429 x", "Retry-After:"}, 0},
    {{"HTTP/1.1 429 x", "Retry-Afterwards: 5"}, 0},
    {{"HTTP/1.1 429 x", "X-Retry-After: 5"}, 0},
    {{"HTTP/1.1 429 x", "Retry-After: Sat, 21 Nov 2026 25:43:49 GMT"}, 0},
    {{"HTTP/1.1 429 x", "Retry-After: Sat, 00 Nov 2026 13:43:49 GMT"}, 0},
    {{"HTTP/1.1 429 x", "Retry-After: Sat, 21 Nox 2026 13:43:49 GMT"}, 0},
    {{"HTTP/1.1 429 x", "Retry-After: Sat, 21 Nov 1926 13:43:49 GMT"}, 0},
    {{"HTTP/1.1 429 x", "Retry-After: Sat, 21 Nov 2026 13:43:49 CET"}, 0},
    {{"HTTP/1.1 429 x", "Retry-After: Saturday, 21-Nov-26 13:43:49 GMT"}, 0},
    {{"HTTP/1.1 x", "Retry-After: 5"}, 0},
    {{"HTTP/1.1 42", "Retry-After: 5"}, 0},
    {{"HTTP/1.1 429 x", "Retry-After: 99999999999999999999999999999999"}, RETRY_AFTER_MAX_MS},
    {{"HTTP/1.1 429 x", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"}, RETRY_AFTER_MAX_MS},
};

static void put(struct buf *out, const char *head)
{
    buf_printf(out, MARK "%s\r\n", head);
}

static void what_hosts_ask_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        for (size_t step = 1; step < 400; step += 13) {
            struct retry_after r = {0};
            struct buf text = BUF_INIT;
            for (int k = 0; lines[i].heads[k]; k++)
                put(&text, lines[i].heads[k]);
            for (size_t at = 0; at < text.len; at += step)
                retry_after_take(
                    &r, str_make(text.p + at, at + step < text.len ? step : text.len - at));
            int64_t ms = retry_after_ms(&r, NOW);
            if (ms != lines[i].ms)
                fail_msg("%s, %s: %lld", lines[i].heads[0], lines[i].heads[1], (long long)ms);
            buf_release(&text);
        }
    }
}

static void days(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t s;
    } known[] = {
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
        {"Wed, 01 Mar 2000 00:00:00 GMT", 951868800},
        {"Thu, 31 Dec 2026 23:59:60 GMT", 1798761600},
        {"Sat, 21 Nov 2026 13:42:49 GMT", NOW / 1000},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        int64_t s = -1;
        assert_true(retry_after_date(str_of(known[i].text), &s));
        assert_int_equal(s, known[i].s);
    }
}

static void clocks_beside_ours(void **state)
{
    static const struct {
        const char *heads[3];
        int64_t from_ms, to_ms; /* since NOW */
        bool told;
        int64_t ahead_ms;
    } cases[] = {
        {{"HTTP/1.1 200 OK", "Date: Sat, 21 Nov 2026 13:42:49 GMT"}, 0, 0, true, 0},
        {{"HTTP/1.1 200 OK", "Date: Sat, 21 Nov 2026 13:42:49 GMT"}, 0, 999, true, 0},
        {{"HTTP/1.1 200 OK", "Date: Sat, 21 Nov 2026 13:43:49 GMT"}, -5000, 7000, true, 53000},
        {{"HTTP/1.1 401 x", "date: Sat, 21 Nov 2026 13:41:49 GMT"}, -5000, 7000, true, -54001},
        /* the answer was long on its way: nothing is left */
        {{"HTTP/1.1 200 OK", "Date: Sat, 21 Nov 2026 13:42:49 GMT"}, -90000, 90000, true, 0},
        {{"HTTP/1.1 200 OK", "Date: Thu, 01 Jan 1970 00:00:00 GMT"}, 0, 0, true, 999 - NOW},
        {{"HTTP/1.1 200 OK"}, 0, 0, false, 0},
        {{"HTTP/1.1 200 OK", "Date: now"}, 0, 0, false, 0},
        {{"Date: Sat, 21 Nov 2026 13:42:49 GMT"}, 0, 0, false, 0},
        /* of the newest answer, and not when our clock was turned back meanwhile */
        {{"HTTP/1.1 401 x", "Date: Sat, 21 Nov 2026 11:42:49 GMT", "HTTP/1.1 200 OK"},
         0,
         0,
         false,
         0},
        {{"HTTP/1.1 200 OK", "Date: Sat, 21 Nov 2026 13:42:49 GMT"}, 0, -1, false, 0},
    };
    (void)state;
    struct retry_after none = {0};
    int64_t ahead_ms = 7;
    assert_false(retry_after_clock(&none, NOW, NOW, &ahead_ms));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct retry_after r = {0};
        struct buf text = BUF_INIT;
        for (size_t k = 0; k < 3 && cases[i].heads[k]; k++)
            put(&text, cases[i].heads[k]);
        retry_after_take(&r, buf_view(&text));
        ahead_ms = 7;
        bool told = retry_after_clock(&r, NOW + cases[i].from_ms, NOW + cases[i].to_ms, &ahead_ms);
        if (told != cases[i].told || ahead_ms != (told ? cases[i].ahead_ms : 7))
            fail_msg("case %zu: %d %lld", i, told, (long long)ahead_ms);
        buf_release(&text);
    }
}

/* A head of any length, and one that speaks of a head. */
static void lines_are_bounded(void **state)
{
    (void)state;
    struct retry_after r = {0};
    struct buf text = BUF_INIT;
    put(&text, "HTTP/1.1 429 x");
    buf_c(&text, MARK "Retry-After: 1");
    for (int i = 0; i < 100000; i++)
        buf_c(&text, "0");
    buf_c(&text, "\n" MARK "X: a\n");
    retry_after_take(&r, buf_view(&text));
    assert_int_equal(retry_after_ms(&r, NOW), 0);
    buf_clear(&text);
    put(&text, "Retry-After: 2");
    retry_after_take(&r, buf_view(&text));
    assert_int_equal(retry_after_ms(&r, NOW), 2000);
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_hosts_ask_for),
        cmocka_unit_test(days),
        cmocka_unit_test(clocks_beside_ours),
        cmocka_unit_test(lines_are_bounded),
    };
    return cmocka_run_group_tests_name("retry_after", tests, NULL, NULL);
}
