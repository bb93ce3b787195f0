/* Blocks in a list, the one that is being filled first. A block is twice as large as the one
 * before, up to BLOCK_MAX; what is larger than that gets a block of its own behind the first one,
 * so that the rest of the first one is not lost. */
#include "base/arena.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdalign.h>
#include <stdio.h>

#define BLOCK_MIN ((size_t)4096)
#define BLOCK_MAX ((size_t)64 * 1024)

struct arena_block {
    struct arena_block *next;
    size_t cap, used; /* bytes behind this head */
    alignas(max_align_t) unsigned char bytes[];
};

static struct arena_block *block_new(size_t cap)
{
    struct arena_block *block = mem_alloc(sizeof(*block) + cap);
    if (block)
        *block = (struct arena_block){NULL, cap, 0};
    return block;
}

/* A block with room for `size` bytes, in its place in the list. */
static struct arena_block *block_for(struct arena *a, size_t size)
{
    struct arena_block *first = a->blocks;
    if (first && first->cap - first->used >= size)
        return first;

    size_t cap = first ? 2 * (sizeof(*first) + first->cap) : BLOCK_MIN;
    if (cap > BLOCK_MAX)
        cap = BLOCK_MAX;
    cap -= sizeof(*first);
    bool own = size > cap;
    struct arena_block *block = block_new(own ? size : cap);
    if (!block)
        return NULL;
    if (own && first) {
        block->next = first->next;
        first->next = block;
    } else {
        block->next = first;
        a->blocks = block;
    }
    return block;
}

void *arena_alloc(struct arena *a, size_t size)
{
    const size_t align = alignof(max_align_t);
    if (size > SIZE_MAX / 2)
        return NULL;
    size_t rounded = (size + align - 1) / align * align;
    struct arena_block *block = block_for(a, rounded);
    if (!block)
        return NULL;
    void *p = block->bytes + block->used;
    block->used += rounded;
    a->used_bytes += rounded;
    return memset(p, 0, size);
}

char *arena_dup(struct arena *a, str s)
{
    char *p = s.len < SIZE_MAX / 2 ? arena_alloc(a, s.len + 1) : NULL;
    if (p && s.len)
        memcpy(p, s.p, s.len);
    return p;
}

str arena_str(struct arena *a, str s)
{
    char *p = arena_dup(a, s);
    return (str){p, p ? s.len : 0};
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *p = len >= 0 ? arena_alloc(a, (size_t)len + 1) : NULL;
    if (!p)
        return NULL;
    va_start(args, fmt);
    vsnprintf(p, (size_t)len + 1, fmt, args);
    va_end(args);
    return p;
}

static void blocks_free(struct arena_block *block)
{
    while (block) {
        struct arena_block *next = block->next;
        mem_free(block);
        block = next;
    }
}

void arena_release(struct arena *a)
{
    blocks_free(a->blocks);
    *a = ARENA_INIT;
}

void arena_clear(struct arena *a)
{
    struct arena_block *keep = a->blocks;
    if (!keep)
        return;
    if (keep->cap > BLOCK_MAX) {
        arena_release(a);
        return;
    }
    blocks_free(keep->next);
    keep->next = NULL;
    keep->used = 0;
    a->used_bytes = 0;
}
