/* remote: a place that changes flow to. The seam between the wrapper (remotes.h) and its kinds.
 *
 * A kind knows how to look, to give what others changed and to take what we changed, once, now.
 * Everything else - when, again after a failure, watermarks, which documents, what to do with what
 * others changed - is the wrapper's, so that each kind stays small and one suite (tests/conform)
 * holds for all of them.
 *
 *     probe      write, read back and delete something small
 *     look       how new is what it holds? (hydration takes the newest first)
 *     pull       what others changed behind a position we had; behind none: everything (that is
 *                what hydration is)
 *     push       a set of changes, on top of the position that was pulled last; all of it confirmed
 *                or an error
 *     verify     read everything and compare it with its hash
 *     repair     put one thing back that verify found bad
 *     versions   what it still has of the past of one document, and `version` one of them
 *
 * R1  push answers KF_OK only when the whole set would survive the loss of this machine, as far as
 *     the kind can tell.
 * R2  A push that was cut anywhere leaves the old state or the new one for readers, never a
 *     mixture.
 * R3  push answers KF_CONFLICT when somebody else pushed since our last pull; nothing was changed
 *     then. The wrapper pulls and tries again.
 * R4  What a pull hands out was verified against its hash. A single bad item is reported through
 *     `bad` and the rest goes on.
 * R5  A state that does not follow the position we had is `rolled_back` or `diverged`: nothing is
 *     handed out and nothing pushed. A place that held something of ours and is empty now is
 *     `remote_failed` (a disk that is not mounted looks like that).
 * R6  Names and paths that come from the place are never used as they come.
 * R7  push answers remote_refused when the place takes our pushes and not this content (a hook, a
 *     limit of size); nothing was changed then. Whom it does not let in, what is full, broken or
 *     read-only is none of it. `err` has the place's own words, of one line, without secrets.
 *
 * Threads: a connection is used by one worker at a time. Calls may block. */
#ifndef KF_REMOTE_REMOTE_H
#define KF_REMOTE_REMOTE_H

#include "base/config.h"
#include "base/log.h"
#include "shape/doc.h"
#include "shape/stream.h"

#include <stdatomic.h>

#define REMOTE_POSITION_MAX 1024
#define REMOTE_SCP          "USER@HOST:" /* a prefix: git_url_is_scp */

struct remote_driver;

/* Where a remote is and what opens the door there: names of variables and files, never a secret.
 * Whoever makes one owns the texts, each with a NUL behind it; a kind copies what it keeps. "" =
 * not said. Kinds look at what concerns them: all of them at `url`. */
struct remote_place {
    str url;
    str branch;
    str token_env, token_file;          /* where the token is */
    str ssh_key_file, known_hosts_file; /* our key, and the hosts that are believed */
    str ca_file;                        /* certificates that are believed */
    bool insecure;                      /* what travels may be read and changed on the way */
    bool public_ok;                     /* it may be readable by everybody */
    str key_file, key_env;              /* what travels is sealed with this key (sealed.h) */
    str old_key_file, old_key_env;      /* the one that it replaces */
    bool allow_secrets;                 /* documents with secrets go there, too */
    str dir; /* a folder of this remote's own beside the store; a kind that needs it makes it */
};

/* What an answer of a place showed of its clock. */
struct remote_clock {
    bool told;        /* it said what time it was */
    int64_t ahead_ms; /* of ours, as far as the way of the answer does not explain it; behind:
                         below 0 */
};

/* Base struct first in each kind's own. A connection lives for one run: nothing is held open
 * between runs (a disk can be unmounted). */
struct remote {
    const struct remote_driver *driver;
    const struct env *env;
    struct log *log;   /* may be NULL */
    uint32_t call_ms;  /* how long one request to the place may take */
    uint64_t body_max; /* larger documents are bad; 0 = the kind's own bound */
    const atomic_bool
        *stop; /* may be NULL; when it becomes true, calls end soon with KF_BUSY `stopping` */
    /* Set by the kind with a call that fails: for how long the place asks to be left alone, as it
     * said it; 0 = it said nothing. What is made of it is the wrapper's. */
    int64_t retry_ms;
    struct remote_clock clock; /* set by the kind with any call: of the newest answer */
};

/* One document as it travels. */
struct remote_doc {
    struct doc_import doc; /* body.p == NULL: a deletion; in `want`: always NULL */
    str hash;              /* of the body, 64 hex digits; "" for a deletion */
    size_t size;
    bool of_stream; /* in a set that is pushed: a file of a stream, which may travel sealed */
    size_t entries; /* of such a file: those that are new in it */
    bool elsewhere; /* it stands there where this remote keeps nothing any more: taken in like any
                       other, and still to be pushed */
};

/* The set that is pushed, each name once. */
struct remote_set {
    /* What is in it, without bodies; i < count. Valid as long as the set. Hash and size may be
     * known with the body alone; "" is of deletions all the same. */
    size_t count;
    void (*head)(const struct remote_set *set, size_t i, struct remote_doc *ret);
    /* One after the other in the same order, with their bodies; those that turned out to be
     * unusable are missing. */
    /* KF_OK: *ret is valid until the next call; KF_ABSENT: that was all. */
    kf_rc (*next)(struct remote_set *set, struct remote_doc *ret, struct kf_err *err);
    str site;      /* of the store that pushes */
    int64_t seq;   /* the last number in the set */
    int64_t stamp; /* the store's clock */
    int64_t now_ms;
};
/* What was really written: what the place held already does not count. */
struct remote_pushed {
    uint64_t files; /* documents and files of streams, also those that went */
    uint64_t docs, entries, bytes;
};
static inline void remote_pushed_add(struct remote_pushed *p, const struct remote_doc *doc)
{
    p->files++;
    p->docs += !doc->of_stream;
    p->entries += doc->entries;
    p->bytes += doc->doc.body.len;
}

/* Takes what a pull gives. */
struct remote_sink {
    /* Whether the document is needed: asked before its body is fetched. NULL = all are. */
    kf_rc (*want)(struct remote_sink *sink, const struct remote_doc *doc, bool *ret_want,
                  struct kf_err *err);
    kf_rc (*take)(struct remote_sink *sink, const struct remote_doc *doc, struct kf_err *err);
    /* A document that cannot be used: the pull goes on. `doc` as for `want`. */
    kf_rc (*bad)(struct remote_sink *sink, const struct remote_doc *doc, const struct kf_err *why,
                 struct kf_err *err);
    /* Something at `path` there that is no document and is left alone. Neither the pull nor its run
     * fails by it. why == NULL: what was told of this path before holds no more; only a partial
     * pull says so. The slot may be NULL. */
    kf_rc (*aside)(struct remote_sink *sink, str path, const struct kf_err *why,
                   struct kf_err *err);
    bool partial; /* set by the kind before it tells anything aside: it looks only at what differs
                     from `since`. Otherwise a pull that hands out tells all that is aside. */
};

/* One version of a document as a place has it. */
struct remote_version {
    /* site "", stamp, at_ms and version 0: the place does not know. doc.doc.body: as a pull would
     * give it; .p == NULL in a list, and of a deletion. */
    struct remote_doc doc;
    str id;       /* by which the place knows it: hex digits, from 32 to 64 */
    str who;      /* who put it there, as the place has it; for people, of at most 100 bytes */
    bool deleted; /* it is that the document went */
    bool by_hand; /* not written by a store */
    bool current; /* what a pull would give */
};
/* What is asked of the past, and who takes the answer. */
#define REMOTE_VERSION_MIN 8 /* digits of an id that may stand for it, where they are enough */
struct remote_history {
    str name; /* of the document */
    str id;   /* `versions`: behind this one, in full; "" = from the newest. `version`: this one */
    size_t max;       /* versions: at most so many */
    int64_t until_ms; /* by the monotonic clock of env; then KF_BUSY `timeout`. 0 = never */
    /* v is valid until it returns. why: it cannot be used, and the rest goes on; else NULL. */
    kf_rc (*take)(struct remote_history *h, const struct remote_version *v,
                  const struct kf_err *why, struct kf_err *err);
};

enum remote_cap {
    REMOTE_EXACT_BYTES = 1, /* bytes come back as they were put (git keeps values) */
    REMOTE_TEST_ONLY = 2,   /* refused but in test builds and under a test's env */
    REMOTE_PUSH_FIRST = 16, /* looking costs about as much as pushing, which tells as well whether
                              somebody else pushed: a run that has something to push does not pull
                              before it was refused */
    REMOTE_OTHER_FORMS = 4, /* `open` knows addresses that begin with none of the prefixes, where
                               the kind is named */
    REMOTE_HAS_ACCESS = 8   /* what base/access.def names means something to it */
};

struct remote_driver {
    const char *kind;
    const char *const *prefixes; /* of addresses: "dir:", REMOTE_SCP; ended by NULL */
    unsigned caps;               /* enum remote_cap */
    /* Checks the address and prepares; touches nothing outside. KF_CONFIG with the cause. */
    kf_rc (*open)(const struct env *env, const struct remote_place *place, struct remote **ret,
                  struct kf_err *err);
    void (*close)(struct remote *r);
    kf_rc (*probe)(struct remote *r, struct kf_err *err);
    /* KF_ABSENT: there is nothing of ours. *ret_stamp: the newest stamp it holds. */
    kf_rc (*look)(struct remote *r, int64_t *ret_stamp, struct kf_err *err);
    /* `since`: the position of an earlier pull or push, "" = none; when the place still shows it,
     * nothing is handed out, else every document is offered to sink->want. `all`: offer even then
     * (some were bad last time). Appends the new position, a token of the kind's own of at most
     * REMOTE_POSITION_MAX bytes; "" when there is nothing of ours. */
    kf_rc (*pull)(struct remote *r, str since, bool all, struct remote_sink *sink,
                  struct buf *position, struct kf_err *err);
    /* `on`: the position the set is based on. Appends the new position. */
    kf_rc (*push)(struct remote *r, str on, struct remote_set *set, struct buf *position,
                  struct remote_pushed *ret, struct kf_err *err);
    /* Reads every object and checks it against its hash: findings through sink->bad, good ones
     * through sink->take. */
    kf_rc (*verify)(struct remote *r, struct remote_sink *sink, struct kf_err *err);
    /* Puts the body of a document back that verify found bad: doc.body has its hash and its size;
     * of one that was told inexact it is the body of the same write.
     * Nothing else changes there. KF_OK: it was read back and is whole. */
    kf_rc (*repair)(struct remote *r, const struct remote_doc *doc, struct kf_err *err);
    /* Both may be NULL: the kind has no past. They change nothing there, and nothing that another
     * call of this remote depends on; so they may be under way beside one run of it, but not beside
     * each other. What they fetch to answer they may keep.
     * Newest first. Time that is over with something told already is KF_OK and *ret_more. A name
     * of which there is nothing is KF_OK and nothing told. KF_INVALID bad_filter: h->id is none of
     * this list. */
    kf_rc (*versions)(struct remote *r, struct remote_history *h, bool *ret_more,
                      struct kf_err *err);
    /* Takes one, whose body was verified (R4), or tells why it cannot be used. KF_ABSENT: there is
     * none of this id. */
    kf_rc (*version)(struct remote *r, struct remote_history *h, struct kf_err *err);
    /* Whether anybody can read what is there, without a token or key. KF_UNAVAILABLE: it is not
     * known, for a cause that says nothing of it (away, too slow). NULL: the question means nothing
     * to this kind. */
    kf_rc (*is_public)(struct remote *r, bool *ret, struct kf_err *err);
};

/* All kinds of this build; ended by NULL. */
extern const struct remote_driver *const remote_drivers[];
extern const struct remote_driver remote_dir, remote_git, remote_mem, remote_fail;

/* By stated kind ("" = by address). KF_CONFIG names the kinds there are; a kind for tests is not
 * there under the system's env. */
kf_rc remote_driver_of(const struct env *env, str kind, str url, const struct remote_driver **ret,
                       struct kf_err *err);
/* The address without user, password and query, for status and logs. */
void remote_url_shown(str url, struct buf *out);
/* Writes stars over what of the address is not shown, wherever it stands in `text`. */
void remote_url_hide(str url, char *text);

/* For kinds. KF_BUSY `stopping` when `stop` was set. */
kf_rc remote_go_on(const struct remote *r, struct kf_err *err);
/* Waits; returns early when stopped. */
void remote_pause(const struct remote *r, uint32_t ms);

#endif
