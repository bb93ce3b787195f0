/* remote: a place that changes flow to. The seam between the wrapper (remotes.h) and its kinds.
 *
 * A kind knows how to look, to give what others changed and to take what we changed, once, now. Everything else - when, again after a failure, deadlines,
 * watermarks, which documents, what to do with what others changed - is the wrapper's, so that each kind stays small and one suite
 * (tests/conform) holds for all of them.
 *
 *     probe      write, read back and delete something small
 *     look       what position does it hold? (hydration takes the newest first)
 *     pull       every change behind a position we had; behind none: everything (that is what hydration is)
 *     push       a set of changes, on top of the position that was pulled last; all of it confirmed or an error
 *
 * R1  push answers KF_OK only when the whole set would survive the loss of this machine, as far as the kind can tell.
 * R2  A push that was cut anywhere leaves the old state or the new one for readers, never a mixture.
 * R3  push answers KF_CONFLICT when somebody else pushed since our last pull; nothing was changed then. The wrapper pulls and tries again.
 * R4  What a pull hands out was verified against its hash. A single bad item is reported through `bad` and the rest goes on.
 * R5  A position that is not a successor of the one we had is KF_DAMAGED `rolled_back` or KF_CONFLICT `diverged`: nothing was handed out.
 *
 * Threads: a connection is used by one worker at a time. Calls may block; they end by `deadline_ms` (monotonic, of the env). */
#ifndef KF_REMOTE_REMOTE_H
#define KF_REMOTE_REMOTE_H

#include "base/config.h"
#include "base/log.h"
#include "shape/doc.h"

struct remote_driver;

/* Base struct first in each kind's own. */
struct remote {
    const struct remote_driver *driver;
    const struct env *env;
    struct log *log;
    int64_t deadline_ms; /* set by the wrapper before each call */
};

/* One document as it travels. */
struct remote_doc {
    struct doc_import doc; /* body.p == NULL: a deletion */
    str hash;              /* of the body, 64 hex digits */
};

/* The set that is pushed: asked for one after the other, from the start again after KF_CONFLICT. */
struct remote_set {
    /* KF_OK: *ret is valid until the next call; KF_ABSENT: that was all. */
    kf_rc (*next)(struct remote_set *set, struct remote_doc *ret, struct kf_err *err);
    void (*rewind)(struct remote_set *set);
    str site;       /* of the store that pushes */
    int64_t seq;    /* the last number in the set */
    int64_t stamp;  /* the store's clock */
    int64_t now_ms;
};
struct remote_pushed {
    uint64_t docs, bytes; /* really written */
};

/* Takes what a pull gives. */
struct remote_sink {
    kf_rc (*take)(struct remote_sink *sink, const struct remote_doc *doc, struct kf_err *err);
    /* An item that cannot be used: counted and logged, the pull goes on. */
    void (*bad)(struct remote_sink *sink, str what, const struct kf_err *why);
};

enum remote_cap {
    REMOTE_EXACT_BYTES = 1, /* bytes come back as they were put (git keeps values) */
    REMOTE_TEST_ONLY = 2
};

struct remote_driver {
    const char *kind;
    const char *prefix; /* of addresses: "dir:" */
    unsigned caps;      /* enum remote_cap */
    /* Checks the address and prepares; touches nothing outside. KF_CONFIG with the cause. */
    kf_rc (*open)(const struct env *env, str url, struct remote **ret, struct kf_err *err);
    void (*close)(struct remote *r);
    kf_rc (*probe)(struct remote *r, struct kf_err *err);
    /* KF_ABSENT: there is nothing of ours. *ret_stamp: the newest stamp it holds. */
    kf_rc (*look)(struct remote *r, int64_t *ret_stamp, struct kf_err *err);
    /* `since`: the position of an earlier pull or push, "" = none. Appends the new position (a token of the kind's own, at most 1 KiB). */
    kf_rc (*pull)(struct remote *r, str since, struct remote_sink *sink, struct buf *position,
                  struct kf_err *err);
    /* `on`: the position the set is based on. Appends the new position. */
    kf_rc (*push)(struct remote *r, str on, struct remote_set *set, struct buf *position,
                  struct remote_pushed *ret, struct kf_err *err);
    /* Reads every object and checks it against its hash: findings through sink->bad, good ones through sink->take. */
    kf_rc (*verify)(struct remote *r, struct remote_sink *sink, struct kf_err *err);
};

/* All kinds of this build; ended by NULL. */
extern const struct remote_driver *const remote_drivers[];
/* By stated kind or by address. KF_CONFIG names the kinds there are. */
kf_rc remote_driver_of(str kind, str url, const struct remote_driver **ret, struct kf_err *err);
/* The address without user, password and query, for status and logs. */
void remote_url_shown(str url, struct buf *out);

extern const struct remote_driver remote_dir, remote_mem, remote_fail;

#endif
