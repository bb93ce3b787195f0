#include "testing.h"

#include "base/when.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---------------------------------------------------------------------------------------- times */

static void times_agree_with_the_system(void **state)
{
    uint64_t random = 11;
    struct when_minute minute = {0};
    (void)state;
    for (int i = 0; i < 200000; i++) {
        int64_t ms = (int64_t)(testing_random(&random) % 315569520000000u) - 62167219200000;
        int64_t seconds = ms >= 0 ? ms / 1000 : -((-ms + 999) / 1000);
        struct tm tm;
        time_t t = (time_t)seconds;
        char want[64], got[WHEN_LEN + 1];
        gmtime_r(&t, &tm);
        snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                 (int)(ms - seconds * 1000));
        when_format(ms, got);
        assert_string_equal(got, want);
        when_format_on(&minute, ms, got);
        assert_string_equal(got, want);
        when_format_on(&minute, ms, got); /* the same minute again */
        assert_string_equal(got, want);
        int64_t again;
        assert_true(when_parse(str_of(got), &again));
        assert_true(again == ms);
        when_format_on(&minute, ms ^ 4095, got); /* often the same minute, or the next one */
        when_format(ms ^ 4095, want);
        assert_string_equal(got, want);
    }
}

/* Every day of the years 0000 to 9999 has one text, and the texts are in order. */
static void every_day_has_its_text(void **state)
{
    char last[WHEN_LEN + 1] = "", text[WHEN_LEN + 1], after[WHEN_LEN + 1];
    struct when_minute known = {0};
    (void)state;
    for (int64_t day = -719528; day < 2932897; day++) {
        int64_t ms;
        when_format(day * 86400000, text);
        when_format_on(&known, day * 86400000 - 1, after);
        assert_true(strcmp(last, after) <= 0 && strcmp(after, text) <= 0);
        when_format_on(&known, day * 86400000, after);
        assert_string_equal(after, text);
        assert_true(strcmp(last, text) < 0);
        memcpy(last, text, sizeof(last));
        assert_true(when_parse(str_of(text), &ms) && ms == day * 86400000);
    }
    assert_string_equal(last, "9999-12-31T00:00:00.000Z");
}

static void outside_is_the_nearest(void **state)
{
    char text[WHEN_LEN + 1];
    (void)state;
    when_format(INT64_MIN, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000Z");
    when_format(-62167219200001, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000Z");
    when_format(253402300799999, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    when_format(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

static void times_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-09T14:23:45.123Z", 1794234225123},
        {"2026-11-09t15:23:45.123+01:00", 1794234225123},
        {"2026-11-09T00:23:45.1239-14:00", 1794234225123},
        {"2026-11-09T14:23:45.123999999z", 1794234225123},
        {"2026-11-09T14:23:45.1-00:00", 1794234225100},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2016-12-31T23:59:60Z", 1483228800000},
        {"2017-01-01T00:59:60+01:00", 1483228800000},
        {"2024-02-29T00:00:00Z", 1709164800000},
        {"0000-01-01T00:00:00Z", -62167219200000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
    };
    static const char *const bad[] = {
        "",
        "2026-11-09",
        "2026-11-09T14:23:45",
        "2026-11-09 14:23:45Z",
        "2026-11-09T14:23Z",
        "2026-11-09T14:23:45.Z",
        "2026-11-09T14:23:45.1234567890Z",
        "2026-11-09T14:23:45Z ",
        " 2026-11-09T14:23:45Z",
        "2026-13-09T14:23:45Z",
        "2026-00-09T14:23:45Z",
        "2026-11-00T14:23:45Z",
        "2026-11-31T14:23:45Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-11-09T24:00:00Z",
        "2026-11-09T14:60:45Z",
        "2026-11-09T14:23:60Z",
        "2026-11-09T14:23:61Z",
        "2026-11-09T14:23:45+24:00",
        "2026-11-09T14:23:45+01:60",
        "2026-11-09T14:23:45+0100",
        "2026-11-09T14:23:45+01",
        "26-11-09T14:23:45Z",
        "2026-1-09T14:23:45Z",
        "+026-11-09T14:23:45Z",
        "0000-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59.999-00:01",
        "9999-12-31T23:59:60Z",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int64_t ms = 5;
        if (!when_parse(str_of(good[i].text), &ms) || ms != good[i].ms)
            fail_msg("%s is %lld", good[i].text, (long long)ms);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t ms = 5;
        if (when_parse(str_of(bad[i]), &ms) || ms != 5)
            fail_msg("%s was taken", bad[i]);
    }
}

/* ----------------------------------------------------------------------------- durations, sizes */

static void assert_text(void (*format)(uint64_t, struct buf *), uint64_t value, const char *want)
{
    struct buf b = BUF_INIT;
    format(value, &b);
    assert_string_equal(b.p, want);
    buf_release(&b);
}

static void durations(void **state)
{
    static const char *const bad[] = {"",
                                      "1",
                                      "00",
                                      "1 s",
                                      "s",
                                      "-1s",
                                      "1.5h",
                                      "01s",
                                      "1S",
                                      "1w",
                                      "1sm",
                                      "36526d",
                                      "0x1s",
                                      "99999999999999999999d",
                                      "18446744073709551615ms"};
    uint64_t ms = 5;
    (void)state;
    assert_true(duration_parse(STR("0"), &ms) && ms == 0);
    assert_true(duration_parse(STR("0s"), &ms) && ms == 0);
    assert_true(duration_parse(STR("500ms"), &ms) && ms == 500);
    assert_true(duration_parse(STR("30s"), &ms) && ms == 30000);
    assert_true(duration_parse(STR("5m"), &ms) && ms == 300000);
    assert_true(duration_parse(STR("24h"), &ms) && ms == 86400000);
    assert_true(duration_parse(STR("36525d"), &ms) && ms == 3155760000000);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (duration_parse(str_of(bad[i]), &ms))
            fail_msg("%s was taken", bad[i]);
    assert_int_equal(ms, 3155760000000);
    assert_text(duration_format, 0, "0");
    assert_text(duration_format, 1, "1ms");
    assert_text(duration_format, 90000, "90s");
    assert_text(duration_format, 3600000, "1h");
    assert_text(duration_format, 86400000, "1d");
    assert_text(duration_format, 5400000, "90m");
}

static void sizes(void **state)
{
    static const char *const bad[] = {"",   "1 KiB",  "1KB",         "1K",
                                      "-1", "1.5MiB", "16777216TiB", "KiB"};
    uint64_t n = 5;
    (void)state;
    assert_true(size_parse(STR("0"), &n) && n == 0);
    assert_true(size_parse(STR("500"), &n) && n == 500);
    assert_true(size_parse(STR("16KiB"), &n) && n == 16384);
    assert_true(size_parse(STR("8MiB"), &n) && n == 8388608);
    assert_true(size_parse(STR("1GiB"), &n) && n == 1073741824);
    assert_true(size_parse(STR("2TiB"), &n) && n == 2199023255552);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (size_parse(str_of(bad[i]), &n))
            fail_msg("%s was taken", bad[i]);
    assert_int_equal(n, 2199023255552);
    assert_text(size_format, 0, "0");
    assert_text(size_format, 1025, "1025");
    assert_text(size_format, 3 << 20, "3MiB");
}

static void what_is_written_is_read(void **state)
{
    uint64_t random = 13;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint64_t n = testing_random(&random) >> (testing_random(&random) % 64), again = 0;
        struct buf b = BUF_INIT;
        size_format(n, &b);
        assert_true(size_parse(buf_view(&b), &again) && again == n);
        buf_clear(&b);
        duration_format(n % 3155760000001, &b);
        assert_true(duration_parse(buf_view(&b), &again) && again == n % 3155760000001);
        buf_release(&b);
    }
}

static void age_text(uint64_t ms, struct buf *out)
{
    age_human((int64_t)ms, out);
}

static void for_people(void **state)
{
    (void)state;
    assert_text(size_human, 0, "0 B");
    assert_text(size_human, 812, "812 B");
    assert_text(size_human, 1023, "1023 B");
    assert_text(size_human, 1024, "1.0 KiB");
    assert_text(size_human, 3355443, "3.2 MiB");
    assert_text(size_human, 1048575, "1.0 MiB");
    assert_text(size_human, 1048524, "1023.9 KiB");
    assert_text(size_human, UINT64_MAX, "16.0 EiB");
    assert_text(age_text, 0, "0 s");
    assert_text(age_text, (uint64_t)-5000, "0 s");
    assert_text(age_text, 4999, "4 s");
    assert_text(age_text, 60000, "1 min");
    assert_text(age_text, 3 * 3600000 - 1, "2 h");
    assert_text(age_text, 5 * (uint64_t)86400000, "5 d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_agree_with_the_system),
        cmocka_unit_test(every_day_has_its_text),
        cmocka_unit_test(outside_is_the_nearest),
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(durations),
        cmocka_unit_test(sizes),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(for_people),
    };
    return cmocka_run_group_tests_name("when", tests, NULL, NULL);
}
