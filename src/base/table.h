/* table: uthash with our memory, for keys that are hashes themselves (32 bytes of BLAKE2b: their
 * first bytes spread as well as any function of them). An element that could not be added for lack
 * of memory has `lost` set. */
#ifndef KF_BASE_TABLE_H
#define KF_BASE_TABLE_H

#include "base/mem.h"

#include <string.h>

#define HASH_NONFATAL_OOM               1
#define HASH_FUNCTION(key, len, result) memcpy(&(result), key, sizeof(result))
#define uthash_malloc(size)             mem_alloc(size)
#define uthash_free(p, size)            mem_free(p)
#define uthash_nonfatal_oom(e)          ((e)->lost = true)
#include <uthash.h>

#endif
