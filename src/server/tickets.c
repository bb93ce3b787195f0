#include "server/tickets.h"

#include "base/err.h"
#include "base/mem.h"
#include "server/tls_calls.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define NAME_BYTES 16 /* how a ticket says which key it is of; OpenSSL's size */
#define IV_BYTES   16
#define EX_DATA    0 /* of an SSL_CTX: the place that is the application's */

/* What the callback of OpenSSL may answer. */
enum { BROKEN = -1, NOT_OURS, GOOD, GOOD_AND_RENEWED };

struct ticket_key {
    unsigned char name[NAME_BYTES];
    unsigned char cipher[32], mac[32];
};

struct tickets {
    atomic_uint held;
    const struct env *env;
    pthread_mutex_t lock; /* for what follows */
    struct ticket_key now, before;
    uint64_t since_ns; /* when `now` was made */
};

static void make_key(struct tickets *t, struct ticket_key *k)
{
    t->env->random(t->env->ctx, k, sizeof(*k));
}

kf_rc tickets_new(const struct env *env, struct tickets **ret_tickets, struct kf_err *err)
{
    struct tickets *t = mem_calloc(1, sizeof(*t));
    if (!t)
        return err_nomem(err);
    (void)mlock(t, sizeof(*t)); /* a limit of the system may not allow it */
    atomic_init(&t->held, 1);
    t->env = env;
    pthread_mutex_init(&t->lock, NULL);
    make_key(t, &t->now);
    make_key(t, &t->before); /* which nobody has a ticket of */
    t->since_ns = env_mono_ns(env);
    *ret_tickets = t;
    return KF_OK;
}

struct tickets *tickets_hold(struct tickets *t)
{
    atomic_fetch_add_explicit(&t->held, 1, memory_order_relaxed);
    return t;
}

void tickets_free(struct tickets *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->held, 1, memory_order_acq_rel) > 1)
        return;
    pthread_mutex_destroy(&t->lock);
    mem_wipe(t, sizeof(*t));
    (void)munlock(t, sizeof(*t));
    mem_free(t);
}

/* With the lock. */
static void turn(struct tickets *t)
{
    const uint64_t turn_ns = (uint64_t)TICKETS_TURN_MS * 1000000;
    uint64_t now_ns = env_mono_ns(t->env), age_ns = now_ns - t->since_ns;
    if (age_ns < turn_ns)
        return;
    if (age_ns < 2 * turn_ns)
        t->before = t->now;
    else
        make_key(t, &t->before);
    make_key(t, &t->now);
    t->since_ns = now_ns;
}

void tickets_turn(struct tickets *t)
{
    pthread_mutex_lock(&t->lock);
    turn(t);
    pthread_mutex_unlock(&t->lock);
}

/* ---------------------------------------------------------------------------- what OpenSSL asks */

static bool authenticate_by(EVP_MAC_CTX *mac, struct ticket_key *k)
{
    static char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string("key", k->mac, sizeof(k->mac)),
        OSSL_PARAM_utf8_string("digest", digest, sizeof(digest) - 1),
        OSSL_PARAM_END,
    };
    return openssl.EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* With the lock. */
static int seal(struct tickets *t, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                EVP_MAC_CTX *mac)
{
    struct ticket_key *k = &t->now;
    memcpy(name, k->name, NAME_BYTES);
    t->env->random(t->env->ctx, iv, IV_BYTES);
    bool ok = openssl.EVP_EncryptInit_ex(cipher, openssl.EVP_aes_256_cbc(), NULL, k->cipher, iv) ==
                  1 &&
              authenticate_by(mac, k);
    return ok ? GOOD : BROKEN;
}

/* With the lock. */
static int unseal(struct tickets *t, const unsigned char *name, const unsigned char *iv,
                  EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, bool renew)
{
    struct ticket_key *k = memcmp(name, t->now.name, NAME_BYTES) == 0      ? &t->now
                           : memcmp(name, t->before.name, NAME_BYTES) == 0 ? &t->before
                                                                           : NULL;
    if (!k)
        return NOT_OURS;
    if (!authenticate_by(mac, k) ||
        openssl.EVP_DecryptInit_ex(cipher, openssl.EVP_aes_256_cbc(), NULL, k->cipher, iv) != 1)
        return BROKEN;
    return renew || k == &t->before ? GOOD_AND_RENEWED : GOOD;
}

/* A client of TLS 1.3 uses each ticket once, and so wants another with every connection. */
static int with_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, int sealing)
{
    struct tickets *t = openssl.SSL_CTX_get_ex_data(openssl.SSL_get_SSL_CTX(ssl), EX_DATA);
    bool once = openssl.SSL_version(ssl) == TLS1_3_VERSION;
    pthread_mutex_lock(&t->lock);
    turn(t);
    int answer = sealing ? seal(t, name, iv, cipher, mac) : unseal(t, name, iv, cipher, mac, once);
    pthread_mutex_unlock(&t->lock);
    return answer;
}

void tickets_use(struct tickets *t, SSL_CTX *ctx)
{
    openssl.SSL_CTX_set_ex_data(ctx, EX_DATA, t);
    openssl.SSL_CTX_set_timeout(ctx, TICKETS_TURN_MS / 1000);
    openssl.SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, with_key);
}
