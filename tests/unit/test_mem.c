#include "testing.h"

#include "base/mem.h"

#include <string.h>

static size_t asked;
static bool refuse_large(void *ctx, size_t size)
{
    (void)ctx;
    asked++;
    return size < 100;
}

static void nothing_is_an_allocation(void **state)
{
    (void)state;
    void *a = mem_alloc(0), *b = mem_calloc(0, 8), *c = mem_realloc(NULL, 0);
    assert_true(a && b && c);
    c = mem_realloc(c, 0);
    assert_non_null(c);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(NULL);
}

static void products_do_not_overflow(void **state)
{
    (void)state;
    assert_null(mem_calloc(SIZE_MAX / 2, 3));
    assert_null(mem_dup("x", SIZE_MAX));
}

static void the_hook_is_asked_each_time(void **state)
{
    (void)state;
    mem_set_hook(refuse_large, NULL);
    asked = 0;
    char *p = mem_alloc(10);
    assert_non_null(p);
    memset(p, 'x', 10);
    assert_null(mem_alloc(100));
    assert_null(mem_calloc(10, 10));
    assert_null(mem_realloc(p, 100));
    assert_memory_equal(p, "xxxxxxxxxx", 10); /* the old block stays */
    assert_null(mem_dup("", 99));
    p = mem_realloc(p, 20);
    assert_non_null(p);
    mem_set_hook(NULL, NULL);
    mem_free(p);
    assert_int_equal(asked, 6);
    p = mem_alloc(100);
    assert_non_null(p);
    mem_free(p);
}

static void copies_end_with_a_nul(void **state)
{
    (void)state;
    char *a = mem_dup("a\0bcd", 4), *b = mem_strdup("text"), *c = mem_dup(NULL, 0);
    assert_memory_equal(a, "a\0bc", 5);
    assert_string_equal(b, "text");
    assert_string_equal(c, "");
    mem_wipe(b, 4);
    assert_memory_equal(b, "\0\0\0\0", 4);
    mem_wipe(NULL, 0);
    mem_free(a);
    mem_free(b);
    mem_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_an_allocation),
        cmocka_unit_test(products_do_not_overflow),
        cmocka_unit_test(the_hook_is_asked_each_time),
        cmocka_unit_test(copies_end_with_a_nul),
    };
    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
