/* sealed_internal: what the files of `sealed` share.
 *
 *     sealed.c        the connection: its keys, its positions, the calls of a remote
 *     sealed_pull.c   inwards: what a place offers is opened
 *     sealed_push.c   outwards: what a store pushes is sealed
 *     sealed_past.c   versions of a document are opened
 *
 * The last three are called when the connection inside is ready for a call (s->inner), and their
 * positions are its own: those of the wrapper are made and understood in sealed.c alone. Their
 * errors are those of the calls of remote.h that they stand for.
 *
 * Threads: as the connection. */
#ifndef KF_REMOTE_SEALED_INTERNAL_H
#define KF_REMOTE_SEALED_INTERNAL_H

#include "base/arena.h"
#include "remote/sealed.h"

/* What stands under the old key; or what was removed under the present one by nobody who has it. */
struct sealed_left {
    str sealed, name;
    uint64_t version;
};
struct sealed_lefts {
    struct sealed_left *p; /* texts in the arena of the connection */
    size_t count, cap;
};

struct sealed {
    struct remote remote;        /* first */
    struct remote_driver driver; /* the inner one's name and abilities with our calls */
    struct remote *inner;
    struct seal_key *now, *old; /* NULL = none */
    struct arena arena;
    struct sealed_lefts left, removed; /* since the last pull */
    bool looked; /* the last pull has offered everything, so `left` is all that there is */
};

/* --- sealed_pull.c */

/* One sealed document: its key, and its name unless it is too long for that. */
struct sealed_found {
    const struct seal_key *key;
    str name; /* "" = in the body alone */
};
/* Pulls, and hands out what the documents there are when they are opened. Fills `left` and
 * `removed` anew. */
kf_rc sealed_pull(struct sealed *s, str since, bool all, struct remote_sink *sink,
                  struct buf *position, struct kf_err *err);
/* Hands out everything in the same way. */
kf_rc sealed_verify(struct sealed *s, struct remote_sink *sink, struct kf_err *err);
/* E2: whether the opened document `d` is the one, and the write, that the place says of `doc`.
 * KF_UNAVAILABLE bad_object when it is not; KF_NOMEM. `scratch` is overwritten. */
kf_rc sealed_is_as_told(const struct sealed_found *f, const struct remote_doc *doc,
                        const struct seal_doc *d, struct buf *scratch, struct kf_err *why);

/* --- sealed_push.c */

/* Pushes the documents of the set as sealed ones and, of those that stand under the old key,
 * takes away the ones whose documents went out; they are then no longer in `left`. There is a
 * key. */
kf_rc sealed_push(struct sealed *s, str on, struct remote_set *set, struct buf *position,
                  struct remote_pushed *ret, struct kf_err *err);
/* Puts the sealed document again of which hash and size are those in `doc`. There is a key. */
kf_rc sealed_repair(struct sealed *s, const struct remote_doc *doc, struct kf_err *err);

/* --- sealed_past.c */

/* Asks for what stands under the name that `key` gives: with ret_more the list, else one version.
 * What cannot be opened is handed out with the cause. */
kf_rc sealed_past(struct sealed *s, const struct seal_key *key, struct remote_history *h,
                  bool *ret_more, struct kf_err *err);

#endif
