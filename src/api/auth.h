/* auth: whose request it is, and what that one may do.
 *
 *     token in the address        400 token_in_url, whatever else
 *     peer is trusted             all is allowed: the process itself, a Unix socket's peer with the
 *                                 uid of the server or of root
 *     no token was ever made      all is allowed: the server listens on this machine alone
 *     no token                    401 auth_required
 *     an unknown one              401 auth_required; 429 auth_rate after many of them
 *     one that is over            401 token_expired
 *     space or name is not its    the request goes on as one for what is not there (HIDDEN_*)
 *     right is missing            403 forbidden
 *
 * A token that is shown counts also where none is needed: who shows one wants to see what it sees.
 *
 * What is hidden is answered when the body has been read, as the absence of the real thing is: the
 * two must not differ in a byte, nor in whether the connection is kept.
 *
 * Guesses. A token has 256 random bits, so that guessing is hopeless; what failures could cost is
 * the log and the processor. Each address (IPv6: each /64) may show a wrong token AUTH_FAILURES
 * times a minute, all together AUTH_FAILURES_ALL; beyond that the answer is 429. What an address
 * fails beyond its own bound does not count among all. A token that is right always passes: nobody
 * can lock others out by failing in their name. Showing none is no guess.
 *
 * Threads: any; one struct auth serves all loops. */
#ifndef KF_API_AUTH_H
#define KF_API_AUTH_H

#include "api/tokens.h"
#include "base/log.h"

#define AUTH_FAILURES     10
#define AUTH_FAILURES_ALL 600
#define AUTH_MINUTE_MS    60000
#define AUTH_ADDRESSES    4096 /* whose failures are remembered */

struct api_call;
struct api_head;
struct auth;

/* `tokens` may be NULL (there can be none) and must outlive it. */
kf_rc auth_new(const struct env *env, struct log *log, struct tokens *tokens,
               struct auth **ret_auth, struct kf_err *err);
void auth_free(struct auth *a);

/* Of a call whose route is known: sets c->token, c->known and c->hidden, or says why not. */
kf_rc auth_request(struct auth *a, struct api_call *c, const struct api_head *head,
                   struct kf_err *err);
/* Whether a query holds what looks like a token, by the name of a parameter or by its value. Before
 * the route is looked for, so that no other message repeats it. */
kf_rc auth_check_url(struct auth *a, const struct api_head *head, struct kf_err *err);

/* Whether the call may go on: token_expired when its token has ended meanwhile. Cheap. */
kf_rc auth_still(const struct api_call *c, struct kf_err *err);
/* Whether a call may be told of a space. */
bool auth_sees(const struct api_call *c, str space);
/* Whether the request comes from who runs the server, and shows no token: no limit is for him. */
bool auth_is_operator(const struct api_call *c);
/* What its maker may give to a new token: NULL = everything. */
const struct token_scope *auth_scope(const struct api_call *c);

#endif
