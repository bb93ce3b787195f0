/* certs: the certificate that a server shows, read anew when its files change.
 *
 *     certs_new --> in force --- asked (SIGHUP), or files changed ---> read by a job
 *                     ^  ^                                               |   |
 *                     |  +--- fits: the new one, for new connections ----+   |
 *                     +------ does not: the old one, and `failing` ----------+
 *
 * Files are looked at every CERTS_LOOK_MS: time, size and inode behind links (certbot, Kubernetes).
 * A change counts when two looks see the same, so that a pair is not read between the writing of
 * its halves: within 2 * CERTS_LOOK_MS. One that does not fit is tried again when it changes;
 * where it could not be read for want of memory or descriptors, at the next look.
 *
 * Threads: the loop's, but certs_reload and certs_state. */
#ifndef KF_SERVER_CERTS_H
#define KF_SERVER_CERTS_H

#include "base/log.h"
#include "base/loop.h"
#include "server/tls.h"

#define CERTS_LOOK_MS 10000

struct certs;

/* Reads the pair; errors as tls_load, and its terms for `tickets`. The paths are copied. */
kf_rc certs_new(struct loop *loop, struct log *log, const char *cert_file, const char *key_file,
                struct tickets *tickets, struct certs **ret_certs, struct kf_err *err);
/* NULL is fine. A job that is under way ends by itself. */
void certs_free(struct certs *c);
/* The pair in force, until the loop turns. */
const struct tls *certs_tls(const struct certs *c);
/* At the end of each turn: does what certs_reload has asked for. */
void certs_turn(struct certs *c);
/* Whether that is not done yet. */
bool certs_reloading(const struct certs *c);
/* Any thread, and from a signal handler. */
void certs_reload(struct certs *c);

struct certs_state {
    int64_t not_before_ms, not_after_ms; /* of the certificate in force */
    uint64_t loaded;                     /* times that a pair came into force */
    bool failing;                        /* the files hold another one, which does not fit: */
    char error[600];                     /* why, with the next step */
};
/* Any thread. */
void certs_state(struct certs *c, struct certs_state *ret);

#endif
