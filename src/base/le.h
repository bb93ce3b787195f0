/* le: numbers as bytes, little-endian, as every binary format of ours has them. Pure; `p` need not
 * be aligned. */
#ifndef KF_BASE_LE_H
#define KF_BASE_LE_H

#include <stdint.h>

static inline void le_put(void *p, uint64_t v, int bytes)
{
    unsigned char *to = p;
    for (int i = 0; i < bytes; i++)
        to[i] = (unsigned char)(v >> 8 * i);
}

static inline uint64_t le_get(const void *p, int bytes)
{
    const unsigned char *from = p;
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--)
        v = v << 8 | from[i];
    return v;
}

static inline void le_put32(void *p, uint32_t v)
{
    le_put(p, v, 4);
}
static inline void le_put64(void *p, uint64_t v)
{
    le_put(p, v, 8);
}
static inline uint32_t le_get32(const void *p)
{
    return (uint32_t)le_get(p, 4);
}
static inline uint64_t le_get64(const void *p)
{
    return le_get(p, 8);
}

#endif
