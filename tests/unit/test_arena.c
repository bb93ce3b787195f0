#include "testing.h"

#include "base/arena.h"
#include "base/mem.h"

#include <string.h>

static size_t allocations;
static bool count_allocation(void *ctx, size_t size)
{
    (void)ctx, (void)size;
    allocations++;
    return true;
}

static void bytes_are_zero_aligned_and_apart(void **state)
{
    enum { COUNT = 3000 };
    static unsigned char *p[COUNT];
    static size_t len[COUNT];
    struct arena a = ARENA_INIT;
    uint64_t random = 5;
    (void)state;
    for (int round = 0; round < 3; round++) {
        size_t asked = 0;
        for (int i = 0; i < COUNT; i++) {
            uint64_t r = testing_random(&random);
            len[i] = r % 100 == 0 ? (r >> 8) % 200000 : (r >> 8) % 100;
            p[i] = arena_alloc(&a, len[i]);
            assert_non_null(p[i]);
            assert_int_equal((uintptr_t)p[i] % _Alignof(max_align_t), 0);
            for (size_t k = 0; k < len[i]; k++)
                assert_int_equal(p[i][k], 0);
            memset(p[i], i % 255 + 1, len[i]);
            asked += len[i];
        }
        for (int i = 0; i < COUNT; i++)
            for (size_t k = 0; k < len[i]; k++)
                assert_int_equal(p[i][k], i % 255 + 1);
        assert_true(a.used_bytes >= asked && a.used_bytes <= asked + 16 * COUNT);
        arena_clear(&a);
        assert_int_equal(a.used_bytes, 0);
    }
    arena_release(&a);
    arena_release(&a);
}

static void texts(void **state)
{
    struct arena a = ARENA_INIT;
    (void)state;
    assert_string_equal(arena_dup(&a, STR("abc")), "abc");
    assert_string_equal(arena_dup(&a, str_of(NULL)), "");
    str s = arena_str(&a, STR("x\0y"));
    assert_memory_equal(s.p, "x\0y", 4);
    assert_int_equal(s.len, 3);
    assert_string_equal(arena_printf(&a, "%d-%s", 7, "z"), "7-z");
    assert_null(arena_alloc(&a, SIZE_MAX));
    arena_release(&a);
}

static void later_rounds_need_no_new_memory(void **state)
{
    struct arena a = ARENA_INIT;
    (void)state;
    arena_clear(&a);
    mem_set_hook(count_allocation, NULL);
    allocations = 0;
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 20; i++)
            assert_non_null(arena_alloc(&a, 100));
        arena_clear(&a);
    }
    mem_set_hook(NULL, NULL);
    assert_int_equal(allocations, 1);
    arena_release(&a);
}

static kf_rc fill(void *ctx)
{
    struct arena a = ARENA_INIT;
    bool ok = true;
    (void)ctx;
    for (int i = 0; i < 50 && ok; i++)
        ok = arena_alloc(&a, 3000) && arena_printf(&a, "%d", i) && arena_str(&a, STR("s")).p;
    arena_release(&a);
    return ok ? KF_OK : KF_NOMEM;
}

static void lack_of_memory_is_null(void **state)
{
    (void)state;
    assert_true(testing_oom_each(fill, NULL) >= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_zero_aligned_and_apart),
        cmocka_unit_test(texts),
        cmocka_unit_test(later_rounds_need_no_new_memory),
        cmocka_unit_test(lack_of_memory_is_null),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
