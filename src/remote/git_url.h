/* git_url: the address of a git remote, taken apart. Pure: reads the text alone, looks nothing up.
 *
 *     https://[USER@]HOST[:PORT]/PATH.git      git+https://… with any PATH
 *     ssh://[USER@]HOST[:PORT]/PATH            USER@HOST:PATH
 *     file:///PATH.git
 *     http://LOOPBACK[:PORT]/PATH.git          other hosts only where it is said: insecure
 *     git://LOOPBACK[:PORT]/PATH               only where it is said: insecure
 *
 * An address comes from an operator, and from whoever got hold of a configuration. So what git is
 * given is put together again from checked parts, and whatever could be an option, another helper
 * of git (ext::, fd::), a way around a check (other spellings of 127.0.0.1, what is behind `%`), or
 * a secret that would be stored and shown, is refused with what to write instead. No message
 * repeats the address.
 *
 * Threads: any. */
#ifndef KF_REMOTE_GIT_URL_H
#define KF_REMOTE_GIT_URL_H

#include "base/arena.h"
#include "base/err.h"

#define GIT_URL_MAX    1024 /* bytes of an address */
#define GIT_BRANCH_MAX 200
#define GIT_BRANCH     "data" /* where none is named */
/* How addresses of this kind begin (remote.h). */
#define GIT_URL_PREFIXES \
    "https://", "git+https://", "ssh://", REMOTE_SCP, "file://", "http://", "git://"

enum git_transport { GIT_HTTPS, GIT_HTTP, GIT_SSH, GIT_FILE, GIT_DAEMON };

struct git_url {
    struct arena arena; /* owns the texts; each has a NUL behind it */
    enum git_transport transport;
    str address;  /* for git; never begins with `-`, holds no user but of ssh */
    str protocol; /* the one that is allowed: GIT_ALLOW_PROTOCOL */
    str origin;   /* "https://github.com:443": who may see the credentials; "" = there are none */
    str shown;    /* the address without user, for people */
    str user;     /* "" = none */
    str host;     /* in small letters; "" of a file */
    str path;     /* of a file: decoded, where it is on this machine; else as it stands */
    bool loopback;
};

/* KF_CONFIG says what is wrong and what to write; *ret is untouched then. `insecure`: see above. */
kf_rc git_url_parse(str url, bool insecure, struct git_url *ret, struct kf_err *err);
void git_url_release(struct git_url *u);

/* A name that git takes for a branch and that means nothing else to it or to a shell.
 * KF_CONFIG. */
kf_rc git_branch_check(str branch, struct kf_err *err);

/* "USER@HOST:PATH", the form of scp: where its host begins and where its path begins; false when it
 * is not one. */
bool git_url_is_scp(str url, size_t *ret_host, size_t *ret_path);

#endif
