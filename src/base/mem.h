/* Memory: the one door to the heap.
 *
 * Every allocation of Keepfast goes through these calls, so that a test can fail the Nth one, once
 * or from then on, and prove that each failure comes back as KF_NOMEM. SQLite's allocator is
 * pointed at the same door when the first store opens.
 *
 * The hook is process-wide because SQLite's own allocator setting is. Only tests set it, and only
 * while no other thread is inside the library.
 *
 * Threads: all calls but mem_set_hook, any thread. */
#ifndef KF_BASE_MEM_H
#define KF_BASE_MEM_H

#include <stddef.h>
#include <stdbool.h>

/* As malloc, calloc, realloc, free; NULL when out of memory. A size of 0 is an allocation of 1
 * byte, so that NULL always means failure. mem_realloc leaves the old block alone when it fails. */
void *mem_alloc(size_t size);
void *mem_calloc(size_t count, size_t size);
void *mem_realloc(void *old, size_t size);
void mem_free(void *p);

/* A copy of `len` bytes with a NUL behind them; mem_strdup of a C string. NULL when out of
 * memory. */
char *mem_dup(const void *p, size_t len);
char *mem_strdup(const char *s);

/* Asked before every allocation and reallocation, on the thread that makes it: false makes it fail.
 * It must not allocate through this door. NULL: never asked. */
typedef bool mem_hook(void *ctx, size_t size);
void mem_set_hook(mem_hook *hook, void *ctx);

/* Overwrites `len` bytes so that the compiler cannot leave it out. For secrets. */
void mem_wipe(void *p, size_t len);

#endif
