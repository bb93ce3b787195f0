/* stream_take: what the files of a take share; stream.h is its contract.
 *
 * Threads: the leader's, inside a group. */
#ifndef KF_SHAPE_STREAM_TAKE_H
#define KF_SHAPE_STREAM_TAKE_H

#include "shape/stream_internal.h"

/* What is known of a site in the stream. */
struct seen_site {
    char site[STREAM_SITE_LEN + 1];
    int64_t erased, trimmed; /* stamps up to which it is; 0 = nothing */
};

struct erasures {
    struct erased_row *items;
    size_t count, cap;
};

struct stream_take {
    struct group *g;
    struct streams *streams;
    const struct config_stream *line;
    uint64_t hash; /* of the key */
    struct arena arena;
    str key;
    struct stream_state *before; /* the stream when the take began */
    struct stream_draft d;       /* what it becomes */
    struct buf attrs;
    struct erasures wanted;          /* those that are new here */
    struct seen_site site;           /* of the last entry: entries of a site come together */
    int64_t seq;                     /* of what the journal says; 0 = not taken yet */
    bool entries, members, erasures; /* changed */
    bool hidden;                     /* an entry that was shown is a twin now */
};

/* -------------------------------------------------------------------- the frame (stream_take.c) */

/* The number of the store under which the journal tells of this take. */
int64_t take_seq(struct stream_take *t);
/* The stream begins its life, unless it is there. */
void take_be_there(struct stream_take *t);

/* --------------------------------------------------------------- entries (stream_take_entry.c) */

/* An entry with this id has gone: the earliest twin of it is shown, or the id is free. */
kf_rc take_show_twin(struct stream_take *t, str id, struct kf_err *err);

/* -------------------------------------------------------------- erasures (stream_take_erase.c) */

/* Up to which stamp the entries of a site are erased, with what this take brings; 0 = none. */
kf_rc take_erased(struct stream_take *t, str site, int64_t *ret, struct kf_err *err);
/* Writes down what this take brings. */
kf_rc take_put_erasures(struct stream_take *t, struct kf_err *err);
/* Whether the stream has, or has had and trimmed, an entry that no erasure covers. */
kf_rc take_any_left(struct stream_take *t, bool *ret, struct kf_err *err);
/* Erases as much as one group may, and writes down as much of the erasures; *ret_more: they go
 * further. */
kf_rc take_erase_part(struct stream_take *t, bool *ret_more, struct kf_err *err);

#endif
