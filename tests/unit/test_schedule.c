#include "remote/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define MIN  60000
#define HOUR 3600000

/* One line of a table: what is known, and what must be planned. */
#define T0 1000000
struct line {
    const char *what;
    struct config_schedule s;
    struct schedule_view v;
    bool run_now;
    int64_t next_ms, overdue_ms;
};

static void check(const struct line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct line *l = &lines[i];
        struct schedule_plan plan = schedule_plan(&l->s, &l->v);
        if (plan.run_now != l->run_now || plan.next_ms != l->next_ms ||
            plan.overdue_ms != l->overdue_ms)
            fail_msg("%s: run_now %d next %lld overdue %lld", l->what, plan.run_now,
                     (long long)plan.next_ms, (long long)plan.overdue_ms);
    }
}
#define CHECK(lines) check(lines, sizeof(lines) / sizeof((lines)[0]))

static void each_rule_alone(void **state)
{
    (void)state;
    const struct config_schedule change = {.on_change_ms = 10000}, five = {.after = 5};
    const struct config_schedule hourly = {.every_ms = HOUR}, manual = {.manual = true};
    const struct config_schedule manual_wins = {1, 1, 1, true};
    const struct line lines[] = {
        {"nothing pending", change, {.now_ms = T0}, false, 0, 0},
        {"changed just now", change, {.now_ms = T0, .first_pending_ms = T0}, false, T0 + 10000, 0},
        {"changed 10 s ago",
         change,
         {.now_ms = T0 + 10000, .first_pending_ms = T0},
         true,
         T0 + 10000,
         0},
        {"after: too few", five, {.now_ms = T0, .first_pending_ms = T0}, false, 0, 0},
        {"after: enough", five, {.now_ms = T0, .full_ms = T0}, true, T0, 0},
        {"every: never ran", hourly, {.now_ms = T0, .started_ms = T0}, true, T0, 0},
        {"every: ran just now",
         hourly,
         {.now_ms = T0, .last_end_ms = T0, .last_good_ms = T0},
         false,
         T0 + HOUR,
         0},
        {"every: full jitter",
         hourly,
         {.now_ms = T0, .last_end_ms = T0, .last_good_ms = T0, .jitter = 65535},
         false,
         T0 + HOUR + HOUR / 10,
         0},
        {"manual", manual_wins, {.now_ms = T0, .first_pending_ms = 1, .full_ms = 1}, false, 0, 0},
        {"manual, asked", manual, {.now_ms = T0, .asked = true}, true, T0, 0},
        {"asked while it runs",
         manual,
         {.now_ms = T0, .asked = true, .running = true},
         false,
         0,
         0},
    };
    CHECK(lines);
}

static void nothing_set_is_ten_seconds_after_a_change(void **state)
{
    (void)state;
    struct config_schedule none = {0}, manual = {.manual = true}, hourly = {.every_ms = HOUR};
    assert_int_equal(schedule_effective(&none).on_change_ms, 10000);
    assert_int_equal(schedule_effective(&manual).on_change_ms, 0);
    assert_int_equal(schedule_effective(&hourly).on_change_ms, 0);
}

static void whichever_comes_first(void **state)
{
    (void)state;
    const struct config_schedule both = {.every_ms = 5 * MIN, .after = 5};
    const struct config_schedule all = {.every_ms = HOUR, .after = 5, .on_change_ms = 30000};
    const struct schedule_view ran = {.now_ms = T0, .last_end_ms = T0, .last_good_ms = T0};
    struct schedule_view changed = ran, full = ran, asked = ran;
    changed.first_pending_ms = T0;
    full.full_ms = T0;
    asked.asked = true;
    const struct line lines[] = {
        {"every first", both, changed, false, T0 + 5 * MIN, 0},
        {"after first", both, full, true, T0, 0},
        {"on_change first", all, changed, false, T0 + 30000, 0},
        {"asked first", all, asked, true, T0, 0},
    };
    CHECK(lines);
}

static void failures_back_off(void **state)
{
    (void)state;
    const struct config_schedule s = {.on_change_ms = 1000}, hourly = {.every_ms = HOUR};
    const int64_t expected[] = {1000,  2000,   4000,   8000,   16000, 32000,
                                64000, 128000, 256000, 300000, 300000};
    for (uint32_t n = 1; n <= sizeof(expected) / sizeof(expected[0]); n++) {
        struct schedule_view v = {
            .now_ms = T0, .first_pending_ms = T0 - 5000, .last_end_ms = T0, .failures = n};
        struct schedule_plan plan = schedule_plan(&s, &v);
        assert_false(plan.run_now);
        assert_int_equal(plan.next_ms - T0, expected[n - 1]);
        v.jitter = 65535;
        plan = schedule_plan(&s, &v);
        assert_int_equal(plan.next_ms - T0, expected[n - 1] - expected[n - 1] / 4);
        v.now_ms = plan.next_ms;
        assert_true(schedule_plan(&s, &v).run_now);
    }
    const struct schedule_view failed = {
        .now_ms = T0, .last_end_ms = T0, .failures = 1, .first_pending_ms = T0 - 5000};
    struct schedule_view asked = failed, told = failed, refused = failed, often = failed;
    asked.asked = true;
    asked.failures = 9;
    told.asked = true;
    told.retry_at_ms = T0 + HOUR;
    refused.refused = true;
    often.failures = UINT32_MAX;
    const struct line lines[] = {
        {"an asker does not wait", s, asked, true, T0 - 4000, 0},
        {"but for what the place told", s, told, false, T0 + HOUR, 0},
        {"refused credentials", s, refused, false, T0 + 5 * MIN, 0},
        {"failures beyond any shift", s, often, false, T0 + 5 * MIN, 0},
        {"hourly, too, is tried again soon", hourly, failed, false, T0 + 1000, 0},
    };
    CHECK(lines);
}

static void late_is_told(void **state)
{
    (void)state;
    const struct config_schedule s = {.on_change_ms = 10000}, manual = {.manual = true};
    const struct config_schedule hourly = {.every_ms = HOUR};
    const int64_t border = T0 + 10000 + MIN + 1000;
    const struct schedule_view stuck = {.last_good_ms = T0, .last_end_ms = T0, .running = true};
    struct schedule_view six = stuck, eight = stuck;
    six.now_ms = T0 + HOUR + 6 * MIN;
    eight.now_ms = T0 + HOUR + 8 * MIN;
    const struct line lines[] = {
        {"at the border",
         s,
         {.now_ms = border, .first_pending_ms = T0, .running = true},
         false,
         0,
         0},
        {"a moment later",
         s,
         {.now_ms = border + 1, .first_pending_ms = T0, .running = true},
         false,
         0,
         T0 + 10000},
        {"hourly, six minutes late", hourly, six, false, 0, 0},
        {"hourly, eight minutes late", hourly, eight, false, 0, T0 + HOUR},
        {"manual is never late",
         manual,
         {.now_ms = T0 + 100 * (int64_t)HOUR, .first_pending_ms = T0},
         false,
         0,
         0},
    };
    CHECK(lines);
}

/* Whatever is known, a plan contradicts neither itself nor the clock. */
static void plans_are_sound(void **state)
{
    (void)state;
    uint64_t seed = 42, runs = 0, waits = 0;
    for (int i = 0; i < 200000; i++) {
        uint64_t r[8];
        for (int k = 0; k < 8; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            r[k] = seed >> 33;
        }
        struct config_schedule s = {.every_ms = r[0] % 3 ? 0 : 1 + r[0] % HOUR,
                                    .on_change_ms = r[1] % 3 ? 0 : 1 + r[1] % HOUR,
                                    .after = r[2] % 3 ? 0 : 5,
                                    .manual = r[2] % 17 == 0};
        struct schedule_view v = {.now_ms = T0 + (int64_t)(r[3] % HOUR), .started_ms = T0};
        uint64_t passed = (uint64_t)(v.now_ms - T0) + 1;
        v.jitter = r[4] % 65536;
        v.last_end_ms = r[4] % 5 ? T0 + (int64_t)(r[4] % passed) : 0;
        v.last_good_ms = r[5] % 2 ? v.last_end_ms : 0;
        v.first_pending_ms = r[5] % 3 ? T0 + (int64_t)(r[5] % passed) : 0;
        v.full_ms = v.first_pending_ms && r[6] % 4 == 0 ? v.now_ms : 0;
        v.failures = v.last_end_ms && !v.last_good_ms ? (uint32_t)(r[6] % 40) : 0;
        v.running = r[7] % 7 == 0;
        v.asked = r[7] % 5 == 0;
        s = schedule_effective(&s);
        struct schedule_plan plan = schedule_plan(&s, &v);
        assert_true(!plan.run_now || (plan.next_ms && plan.next_ms <= v.now_ms && !v.running));
        assert_true(plan.run_now || plan.next_ms == 0 || plan.next_ms > v.now_ms);
        assert_true(plan.overdue_ms < v.now_ms);
        runs += plan.run_now;
        if (plan.next_ms > v.now_ms) { /* nothing else happens: it runs exactly then */
            v.now_ms = plan.next_ms - 1;
            assert_false(schedule_plan(&s, &v).run_now);
            v.now_ms = plan.next_ms;
            assert_true(schedule_plan(&s, &v).run_now);
            waits++;
        }
    }
    assert_true(runs > 20000 && waits > 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_alone),
        cmocka_unit_test(nothing_set_is_ten_seconds_after_a_change),
        cmocka_unit_test(whichever_comes_first),
        cmocka_unit_test(failures_back_off),
        cmocka_unit_test(late_is_told),
        cmocka_unit_test(plans_are_sound),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
