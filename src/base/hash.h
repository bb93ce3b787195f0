/* hash: BLAKE2b-256 (RFC 7693, by libsodium), the hash of every object, version and digest. */
#ifndef KF_BASE_HASH_H
#define KF_BASE_HASH_H

#include "base/str.h"

#define HASH_LEN 32
#define HASH_HEX (2 * HASH_LEN) /* 64 */

struct hash {
    unsigned char b[HASH_LEN];
};

void hash_of(str bytes, struct hash *ret);
bool hash_eq(const struct hash *a, const struct hash *b);
void hash_hex(const struct hash *h, char out[HASH_HEX + 1]);
/* Both at once: the digits of the hash of some bytes. */
void hash_hex_of(str bytes, char out[HASH_HEX + 1]);
/* 64 lower-case hex digits; false for anything else. */
bool hash_parse(str hex, struct hash *ret);

/* In pieces. The state is opaque and may be copied. */
struct hash_state {
    _Alignas(64) unsigned char opaque[384];
};
void hash_begin(struct hash_state *s);
void hash_add(struct hash_state *s, str bytes);
/* One of several parts, with its length before it (64 bits, little-endian): no two lists of parts
 * are the same bytes then. */
void hash_add_part(struct hash_state *s, str part);
void hash_end(struct hash_state *s, struct hash *ret);

/* Once per process before the first use; 0, or -1 when the system gives no randomness. Any
 * thread. */
int hash_init(void);

#endif
