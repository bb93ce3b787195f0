/* remotes_push: what the files of a push share. Threads: the run's. */
#ifndef KF_REMOTE_REMOTES_PUSH_H
#define KF_REMOTE_REMOTES_PUSH_H

#include "remote/remotes_files.h"

/* Bodies that are read at once. */
#define PUSH_GROUP 64

/* A version, or a file of a stream, that the run is about. */
struct head {
    str name, site, hash;
    uint64_t version;
    int64_t seq, stamp, at_ms;
    size_t size;
    bool deleted;
    bool left_out;          /* it is withheld, or cannot be read: not pushed in this run */
    struct push_file *file; /* of a stream; NULL: a document */
};

/* What a run pushes, at one number of the store. */
struct snapshot {
    struct remote_set set; /* first */
    struct run *run;
    struct remotes *remotes;
    struct remote_entry *entry;
    struct arena arena; /* of the heads */
    struct head *heads;
    size_t count, cap;
    char site[STORE_SITE_LEN + 1];
    struct withheld_list *withheld; /* what earlier runs have left out */
    size_t refused_kept;            /* of that, what the place refused and is not tried again */
    bool judged;                    /* of all heads it is known whether they are left out */
    bool answered;                  /* the place has taken or refused something */

    size_t *pick;        /* which heads are pushed now; set.count of them */
    size_t at;           /* in `pick`, as the next two */
    struct arena bodies; /* of heads from `from` to `to` */
    str body[PUSH_GROUP];
    bool whole[PUSH_GROUP]; /* it fits the head's hash */
    size_t from, to;
    struct buf text; /* of one file of a stream */
};

static inline struct head *picked(const struct snapshot *s, size_t i)
{
    return &s->heads[s->pick[i]];
}

/* Everything above the watermark, at one number, and what is withheld below it. */
kf_rc snapshot_take(struct run *run, int64_t watermark, struct snapshot *s, struct kf_err *err);
void snapshot_release(struct snapshot *s);
/* Looks at all bodies, and leaves out what may not go there or cannot be read. */
kf_rc snapshot_judge(struct snapshot *s, const struct remote *remote, struct kf_err *err);
/* Leaves a row of what is not pushed, and why. */
kf_rc snapshot_withhold(struct snapshot *s, str name, int64_t seq, const struct kf_err *why,
                        struct kf_err *err);
/* The set, and with it the watermark, ends below this number: its document is not pushed and has
 * no row. */
void snapshot_end_below(struct snapshot *s, int64_t seq);

#endif
