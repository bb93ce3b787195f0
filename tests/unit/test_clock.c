#include "testing.h"

#include "store/clock.h"

#define T0 ((int64_t)1763000000000)

static void shows_the_wall_clock_while_it_may(void **state)
{
    (void)state;
    struct clock c;
    clock_init(&c, 0);
    assert_int_equal(clock_next(&c, T0), T0 << 16);
    assert_int_equal(clock_next(&c, T0), (T0 << 16) + 1);
    assert_int_equal(clock_next(&c, T0 + 5), (T0 + 5) << 16);
    assert_int_equal(clock_stamp_ms(c.last), T0 + 5);
}

static void never_goes_back(void **state)
{
    (void)state;
    struct clock c;
    clock_init(&c, 0);
    int64_t last = clock_next(&c, T0);
    for (int i = 0; i < 10; i++) {
        int64_t next = clock_next(&c, T0 - 1000 * (i + 1));
        assert_true(next > last);
        last = next;
    }
    assert_int_equal(clock_ahead_ms(&c, T0 - 10000), 10000);
    assert_int_equal(clock_ahead_ms(&c, T0 + 1), 0);
}

static void a_restart_goes_on(void **state)
{
    (void)state;
    struct clock c;
    clock_init(&c, 0);
    int64_t last = clock_next(&c, T0 + 86400000);
    clock_init(&c, last);
    assert_true(clock_next(&c, T0) > last);
    clock_init(&c, -5);
    assert_int_equal(clock_next(&c, T0), T0 << 16);
}

static void the_counter_overflows_into_the_milliseconds(void **state)
{
    (void)state;
    struct clock c;
    clock_init(&c, (T0 << 16) | 0xffff);
    assert_int_equal(clock_next(&c, T0), (T0 + 1) << 16);
}

static void others_are_believed_within_bounds(void **state)
{
    (void)state;
    struct clock c;
    clock_init(&c, T0 << 16);
    assert_true(clock_see(&c, ((T0 + CLOCK_DRIFT_MS) << 16), T0));
    assert_true(clock_next(&c, T0) > (T0 + CLOCK_DRIFT_MS) << 16);

    clock_init(&c, T0 << 16);
    assert_false(clock_see(&c, ((T0 + CLOCK_DRIFT_MS) << 16) + 1, T0));
    assert_false(clock_see(&c, INT64_MAX, T0));
    assert_false(clock_see(&c, -1, T0));
    assert_int_equal(c.last, T0 << 16);
    /* Later than the wall clock allows, but said by ourselves before it was corrected. */
    clock_init(&c, (T0 + 86400000) << 16);
    assert_true(clock_see(&c, (T0 + 86400000) << 16, T0));
    assert_false(clock_see(&c, ((T0 + 86400000) << 16) + 1, T0));
}

static void ends_in_order(void **state)
{
    (void)state;
    struct clock c;
    clock_init(&c, INT64_MAX - 1);
    assert_true(clock_next(&c, T0) == INT64_MAX);
    assert_true(clock_next(&c, T0) == INT64_MAX);
    clock_init(&c, 0);
    assert_true(clock_next(&c, INT64_MAX) > 0);
    clock_init(&c, 0);
    assert_int_equal(clock_next(&c, -1), 1);
}

/* C1 and C2 over a hostile wall clock, restarts and other people's stamps. */
static void holds_whatever_the_wall_clock_does(void **state)
{
    (void)state;
    uint64_t seed = 7;
    unsigned back = 0, believed = 0, refused = 0;
    for (int round = 0; round < 200; round++) {
        struct clock c;
        clock_init(&c, 0);
        int64_t wall = T0, last = 0;
        for (int i = 0; i < 200; i++) {
            uint64_t r = testing_random(&seed);
            switch (r % 8) {
            case 0:
                wall -= (int64_t)(r >> 8) % 100000000;
                back++;
                break;
            case 1: wall += (int64_t)(r >> 8) % 100000000; break;
            case 2: clock_init(&c, c.last); break;
            case 3: {
                int64_t stamp = (wall + (int64_t)((r >> 8) % 1200000) - 600000) << 16;
                bool yes = clock_see(&c, stamp, wall);
                believed += yes;
                refused += !yes;
                assert_true(yes ? c.last >= stamp : c.last == last);
                last = c.last;
                break;
            }
            default: wall += (int64_t)(r >> 8) % 3; break;
            }
            int64_t next = clock_next(&c, wall);
            assert_true(next > last);
            if (wall > last >> 16)
                assert_int_equal(next, wall << 16);
            last = next;
        }
    }
    print_message("# back=%u believed=%u refused=%u\n", back, believed, refused);
    assert_true(back > 1000 && believed > 1000 && refused > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_the_wall_clock_while_it_may),
        cmocka_unit_test(never_goes_back),
        cmocka_unit_test(a_restart_goes_on),
        cmocka_unit_test(the_counter_overflows_into_the_milliseconds),
        cmocka_unit_test(others_are_believed_within_bounds),
        cmocka_unit_test(ends_in_order),
        cmocka_unit_test(holds_whatever_the_wall_clock_does),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
