/* seal_internal: what seal.c and seal_file.c share. */
#ifndef KF_BASE_SEAL_INTERNAL_H
#define KF_BASE_SEAL_INTERNAL_H

#include "base/seal.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"

#include <assert.h>
#include <sodium.h>

#define KEY_LEN 32
#define CHUNK   65536
#define HEADER  crypto_secretstream_xchacha20poly1305_HEADERBYTES
#define TAG     crypto_secretstream_xchacha20poly1305_ABYTES
#define FINAL   crypto_secretstream_xchacha20poly1305_TAG_FINAL

enum subkey { ID = 1, NAME_NONCE, NAME_TEXT, BODY_NONCE, BODY_TEXT, FILE_TEXT, SUBKEYS };

struct seal_key {
    unsigned char sub[SUBKEYS][KEY_LEN];
    char id[SEAL_ID + 1];
};

/* The stream's state is a function of key and header alone, the same for both directions. libsodium
 * lets only the reader choose the header; that of a body is made of what is sealed (S1). */
static inline void stream_begin(crypto_secretstream_xchacha20poly1305_state *s,
                                const struct seal_key *key, enum subkey which,
                                const unsigned char header[HEADER])
{
    assert(key);
    crypto_secretstream_xchacha20poly1305_init_pull(s, header, key->sub[which]);
}

#endif
