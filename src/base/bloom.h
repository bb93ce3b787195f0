/* A set that never denies what is in it, and now and then confirms what is not: a Bloom filter
 * (B. H. Bloom, CACM 13, 1970), cut into blocks of a cache line, of which each element has one (F.
 * Putze, P. Sanders, J. Singler, WEA 2007).
 *
 * Elements are hashes of 64 bits that nobody can choose. Nothing is ever removed. With as many
 * elements as it was made for it confirms about 1 of 100 others, with twice as many 1 of 10.
 *
 * Not for two threads at once. */
#ifndef KF_BASE_BLOOM_H
#define KF_BASE_BLOOM_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOOM_BITS 12 /* for each element */

struct bloom {
    uint64_t *words; /* NULL: none was made */
    size_t blocks;
};

/* Empty, for so many elements, of bytes_max at most. KF_NOMEM. */
kf_rc bloom_init(struct bloom *b, uint64_t elements, size_t bytes_max, struct kf_err *err);
void bloom_release(struct bloom *b);
void bloom_add(struct bloom *b, uint64_t hash);
bool bloom_may_have(const struct bloom *b, uint64_t hash);

#endif
