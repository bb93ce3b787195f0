/* git_auth: how a git child process gets in: its environment, made from nothing.
 *
 * What git does follows from its environment, its configuration files and what the user's home
 * holds. A child of ours gets none of these from us but the search path and the proxies; all else
 * is said here, and the same on every machine. A token is in a header that is bound to scheme,
 * host and port, never in an argument, a file or an address, and what held it is wiped.
 *
 * Threads: one at a time; the environments may be read by several. */
#ifndef KF_REMOTE_GIT_AUTH_H
#define KF_REMOTE_GIT_AUTH_H

#include "remote/git_url.h"
#include "remote/remote.h"

/* Checks what a configuration says of a git remote, as far as the text alone can tell: the address,
 * the branch, and that token, key and files are for such an address. For `open` of the kind.
 * KF_CONFIG; *ret_url is the caller's. */
kf_rc git_place_check(const struct remote_place *place, struct git_url *ret_url,
                      struct kf_err *err);

/* Whom a child is taken for. */
enum git_as {
    GIT_AS_NOBODY, /* it works on our own repository: no protocol is allowed */
    GIT_AS_GUEST,  /* at the place, without token and key, as everybody could */
    GIT_AS_OWNER,  /* with what the configuration names */
    GIT_AS_COUNT
};

struct git_auth;

/* Reads the token, so it is for one run: a new one is found by the next. `url` is of `place` and is
 * not kept, nor is `environ` ("KEY=VALUE", ended by NULL; ours). KF_CONFIG names the variable or
 * file that is not there, empty, too large or holds control bytes, `permission` the file that
 * others may read; neither says what it holds. */
kf_rc git_auth_new(const struct env *env, const struct remote_place *place,
                   const struct git_url *url, char *const *environ, struct git_auth **ret_auth,
                   struct kf_err *err);
/* "KEY=VALUE", ended by NULL; lives as long as `a`. */
const char *const *git_auth_environ(const struct git_auth *a, enum git_as as);
/* Puts `*` over every byte of the token in what a child or a host has said: a host may say back
 * what it was sent, as it is, in base64, with its user or alone, in hex, or with %XX. One that
 * wants to hide it from us can, but then it has it already. */
void git_auth_hide(const struct git_auth *a, char *text, size_t len);
/* NULL is fine. */
void git_auth_free(struct git_auth *a);

#endif
