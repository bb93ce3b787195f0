#include "base/hash.h"

#include "base/le.h"

#include <assert.h>
#include <sodium.h>

_Static_assert(sizeof(crypto_generichash_state) <= sizeof(struct hash_state), "state too small");
_Static_assert(_Alignof(crypto_generichash_state) <= _Alignof(struct hash_state), "alignment");
_Static_assert(HASH_LEN == crypto_generichash_BYTES, "BLAKE2b-256");

int hash_init(void)
{
    return sodium_init() < 0 ? -1 : 0;
}

void hash_of(str bytes, struct hash *ret)
{
    struct hash_state s;
    hash_begin(&s);
    hash_add(&s, bytes);
    hash_end(&s, ret);
}

bool hash_eq(const struct hash *a, const struct hash *b)
{
    return sodium_memcmp(a->b, b->b, HASH_LEN) == 0;
}

void hash_hex(const struct hash *h, char out[HASH_HEX + 1])
{
    sodium_bin2hex(out, HASH_HEX + 1, h->b, HASH_LEN);
}

void hash_hex_of(str bytes, char out[HASH_HEX + 1])
{
    struct hash hash;
    hash_of(bytes, &hash);
    hash_hex(&hash, out);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hash_parse(str hex, struct hash *ret)
{
    struct hash h;
    if (hex.len != HASH_HEX)
        return false;
    for (size_t i = 0; i < HASH_LEN; i++) {
        int high = hex_digit(hex.p[2 * i]), low = hex_digit(hex.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        h.b[i] = (unsigned char)(high << 4 | low);
    }
    *ret = h;
    return true;
}

static crypto_generichash_state *state(struct hash_state *s)
{
    return (crypto_generichash_state *)(void *)s->opaque;
}

/* The calls below fail for lengths and keys out of range alone; ours are fixed. */

void hash_begin(struct hash_state *s)
{
    int failed = crypto_generichash_init(state(s), NULL, 0, HASH_LEN);
    assert(!failed);
    (void)failed;
}

void hash_add(struct hash_state *s, str bytes)
{
    if (bytes.len)
        crypto_generichash_update(state(s), (const unsigned char *)bytes.p, bytes.len);
}

void hash_add_part(struct hash_state *s, str part)
{
    unsigned char len[8];
    le_put64(len, part.len);
    hash_add(s, str_make(len, sizeof len));
    hash_add(s, part);
}

void hash_end(struct hash_state *s, struct hash *ret)
{
    int failed = crypto_generichash_final(state(s), ret->b, HASH_LEN);
    assert(!failed);
    (void)failed;
}
