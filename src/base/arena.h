/* arena: memory of one request or one sync round, freed at once.
 *
 * Threads: one at a time. Cost: O(1) amortised per allocation. */
#ifndef KF_BASE_ARENA_H
#define KF_BASE_ARENA_H

#include "base/str.h"

struct arena_block;
struct arena {
    struct arena_block *blocks;
    size_t used_bytes; /* of all allocations, to bound what a peer can grow */
};

#define ARENA_INIT ((struct arena){0})

/* NULL when out of memory. Aligned for any type. The bytes are zero. */
void *arena_alloc(struct arena *a, size_t size);
/* A copy with a NUL behind it. NULL when out of memory. */
char *arena_dup(struct arena *a, str s);
/* As arena_dup, as a str; .p is NULL when out of memory. */
str arena_str(struct arena *a, str s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void arena_release(struct arena *a);
/* Empty again; keeps one block of ordinary size for the next round. */
void arena_clear(struct arena *a);

#endif
