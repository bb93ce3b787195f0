#include "base/bloom.h"

#include "base/mem.h"

#define BLOCK_WORDS 8 /* 512 bits */
#define BLOCK_BYTES (BLOCK_WORDS * sizeof(uint64_t))
#define MARKS       6 /* bits of an element in its block, nine bits of the hash for each */

kf_rc bloom_init(struct bloom *b, uint64_t elements, size_t bytes_max, struct kf_err *err)
{
    uint64_t most = bytes_max / BLOCK_BYTES, want = elements / (BLOCK_BYTES * 8 / BLOOM_BITS) + 1;
    *b = (struct bloom){.blocks = (size_t)(want < most ? want : most)};
    b->words = mem_calloc(b->blocks, BLOCK_BYTES);
    return b->words ? KF_OK : err_nomem(err);
}

void bloom_release(struct bloom *b)
{
    mem_free(b->words);
    *b = (struct bloom){0};
}

/* By its upper half; the marks are of the lower bits, mixed so that they say something else. */
static uint64_t *block_of(const struct bloom *b, uint64_t hash)
{
    return b->words + BLOCK_WORDS * (size_t)((hash >> 32) * b->blocks >> 32);
}

static uint64_t marks_of(uint64_t hash)
{
    return hash * 0x9e3779b97f4a7c15u >> (64 - 9 * MARKS);
}

void bloom_add(struct bloom *b, uint64_t hash)
{
    uint64_t *block = block_of(b, hash), marks = marks_of(hash);
    for (int i = 0; i < MARKS; i++, marks >>= 9)
        block[(marks & 511) / 64] |= (uint64_t)1 << (marks & 63);
}

bool bloom_may_have(const struct bloom *b, uint64_t hash)
{
    const uint64_t *block = block_of(b, hash);
    uint64_t marks = marks_of(hash);
    for (int i = 0; i < MARKS; i++, marks >>= 9)
        if (!(block[(marks & 511) / 64] >> (marks & 63) & 1))
            return false;
    return true;
}
