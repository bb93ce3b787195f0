#include "base/mem.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* This is the door: the heap's own functions are called here and nowhere else. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* Written before `hook`, whose release and acquire publish it. */
static void *hook_ctx;
static _Atomic(mem_hook *) hook;

static bool allowed(size_t size)
{
    mem_hook *ask = atomic_load_explicit(&hook, memory_order_acquire);
    return !ask || ask(hook_ctx, size);
}

void mem_set_hook(mem_hook *new_hook, void *ctx)
{
    atomic_store_explicit(&hook, NULL, memory_order_release);
    hook_ctx = ctx;
    atomic_store_explicit(&hook, new_hook, memory_order_release);
}

void *mem_alloc(size_t size)
{
    return allowed(size) ? malloc(size ? size : 1) : NULL;
}

void *mem_calloc(size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    return allowed(total) ? calloc(1, total ? total : 1) : NULL;
}

void *mem_realloc(void *old, size_t size)
{
    return allowed(size) ? realloc(old, size ? size : 1) : NULL;
}

void mem_free(void *p)
{
    free(p);
}

char *mem_dup(const void *p, size_t len)
{
    if (len == SIZE_MAX)
        return NULL;
    char *copy = mem_alloc(len + 1);
    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, p, len);
    copy[len] = '\0';
    return copy;
}

char *mem_strdup(const char *s)
{
    return mem_dup(s, strlen(s));
}

void mem_wipe(void *p, size_t len)
{
    if (len)
        explicit_bzero(p, len);
}
