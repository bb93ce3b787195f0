/* remotes_files_push: what the files of a push of streams share; remotes_files.h is its contract.
 *
 * Threads: the run's. */
#ifndef KF_REMOTE_REMOTES_FILES_PUSH_H
#define KF_REMOTE_REMOTES_FILES_PUSH_H

#include "remote/remotes_files.h"

#include "base/table.h"

/* An entry that may leave. */
struct candidate {
    struct known_entry e;
    size_t room; /* bytes of its line, about */
    bool placed; /* it fills a gap */
};

/* A stream that the push is about. */
struct touched {
    struct hash key_hash; /* first: the key of the table */
    str key;
    int64_t stream;   /* 0: it is not there */
    int64_t head_seq; /* of its journal row; 0 = it says nothing new */
    bool whole;       /* all of its entries are looked at */
    struct candidate *c;
    size_t count, cap;
    bool lost;
    UT_hash_handle hh;
};

/* --- remotes_files_look.c */

/* Fills p->touched, and withholds what may not leave. */
kf_rc files_look(struct push_files *p, struct db *db, struct kf_err *err);
void files_untouch(struct push_files *p);
/* The row of what an earlier run has left out, when nothing has changed for it; else NULL. */
const struct withheld *files_left_before(const struct push_files *p, str name, int64_t seq);
/* Withholds `name` for a secret of this kind in its member ("" = itself). */
kf_rc files_leave_secret(struct push_files *p, str name, int64_t seq, str member, const char *kind,
                         struct kf_err *err);

/* Withholds an entry of number `n` here, for what is wrong with it. */
kf_rc files_leave_entry(struct push_files *p, str key, uint64_t n, int64_t seq, const char *what,
                        struct kf_err *err);

/* --- remotes_files_make.c */

struct heading {
    struct push_files *p; /* NULL: nobody is told of secrets */
    str name;
    int64_t seq;
    bool secrets, told;
};
/* The text of stream.ndjson; empty when there is nothing to say. */
kf_rc files_make_head(struct db *db, str key, struct heading *h, struct buf *out,
                      struct kf_err *err);

#endif
