/* tickets: the keys that TLS session tickets are sealed with: one set for all loops and every
 * certificate, so that a client goes on with its session whichever loop takes its connection, and
 * after a renewal.
 *
 *     now ----- TICKETS_TURN_MS -----> before ----- TICKETS_TURN_MS -----> wiped
 *     seals and opens                  opens; its tickets are renewed
 *
 * A session lives as long as a key seals: whoever got a ticket in a key's last moment can use it
 * until it ends. The keys are in this memory alone, kept from the swap where the system allows it:
 * a restart costs each client one full handshake.
 *
 * What is sealed is AES-256-CBC under HMAC-SHA256, with OpenSSL's form around it.
 *
 * Threads: any. */
#ifndef KF_SERVER_TICKETS_H
#define KF_SERVER_TICKETS_H

#include "base/env.h"

#define TICKETS_TURN_MS (2 * 3600 * 1000)

struct tickets;
struct ssl_ctx_st;

/* KF_NOMEM. Counted: each tickets_hold wants a tickets_free too. */
kf_rc tickets_new(const struct env *env, struct tickets **ret_tickets, struct kf_err *err);
struct tickets *tickets_hold(struct tickets *t);
/* The last one wipes them. NULL is fine. */
void tickets_free(struct tickets *t);
/* Turns the keys when that is due; sealing and opening do so too, where anybody comes. */
void tickets_turn(struct tickets *t);
/* Sessions of ctx, an SSL_CTX, use them: to be held until the last of those has ended. OpenSSL is
 * loaded. */
void tickets_use(struct tickets *t, struct ssl_ctx_st *ctx);

#endif
