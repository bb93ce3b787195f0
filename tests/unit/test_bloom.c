/* The filter denies nothing that is in it, and confirms of the rest as little as it says. */
#include "testing.h"

#include "base/bloom.h"
#include "base/mem.h"

static uint64_t seed = 1;

/* How many of 100,000 others are confirmed after `count` were added. */
static size_t confirmed(struct bloom *b, size_t count)
{
    size_t n = 0;
    uint64_t mine = 7;
    for (size_t i = 0; i < count; i++)
        bloom_add(b, testing_random(&mine));
    mine = 7;
    for (size_t i = 0; i < count; i++)
        assert_true(bloom_may_have(b, testing_random(&mine)));
    for (size_t i = 0; i < 100000; i++)
        n += bloom_may_have(b, testing_random(&seed));
    return n;
}

static void it_confirms_little(void **state)
{
    (void)state;
    struct bloom b;
    assert_int_equal(bloom_init(&b, 50000, 1 << 30, NULL), KF_OK);
    assert_int_equal(confirmed(&b, 0), 0);
    size_t n = confirmed(&b, 50000);
    print_message("# %.2f %% confirmed\n", (double)n / 1000);
    assert_true(n < 2000);
    n = confirmed(&b, 100000);
    print_message("# %.2f %% confirmed with twice as many\n", (double)n / 1000);
    assert_true(n < 15000);
    bloom_release(&b);
}

static void it_is_as_large_as_it_may_be(void **state)
{
    (void)state;
    struct bloom b;
    assert_int_equal(bloom_init(&b, 0, 1 << 20, NULL), KF_OK);
    assert_int_equal(b.blocks, 1);
    assert_true(confirmed(&b, 10) < 100000);
    bloom_release(&b);
    assert_int_equal(bloom_init(&b, UINT64_MAX, 1 << 20, NULL), KF_OK);
    assert_int_equal(b.blocks * 64, 1 << 20);
    confirmed(&b, 100);
    bloom_release(&b);
    assert_null(b.words);
}

static bool none(void *ctx, size_t size)
{
    (void)ctx;
    (void)size;
    return false;
}

static void memory_may_lack(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    struct bloom b;
    mem_set_hook(none, NULL);
    assert_int_equal(bloom_init(&b, 1000, 1 << 20, &err), KF_NOMEM);
    mem_set_hook(NULL, NULL);
    bloom_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_confirms_little),
        cmocka_unit_test(it_is_as_large_as_it_may_be),
        cmocka_unit_test(memory_may_lack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
