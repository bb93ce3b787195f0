/* remotes_files: streams at remotes, for the wrapper. What goes there and comes from there are
 * files (stream_part.h) that travel as documents do; what this store knows of them is in
 * kf_remote_file:
 *
 *     a row for each file as it was last seen there: its hash, and of a part which entries are in
 *     it, with their numbers in this store
 *
 * L1  A row is only ever written for a file whose entries were all taken in (or were gone already),
 *     in the same group; or that was pushed. One that is missing or wrong costs that the file is
 *     read again, and joining it changes nothing.
 * L2  What is pushed replaces a file that was taken in: its entries that are still here, and new
 *     ones.
 *     A part of which not every entry is here (`keep` has removed it) is closed.
 *
 * Threads: the run's. */
#ifndef KF_REMOTE_REMOTES_FILES_H
#define KF_REMOTE_REMOTES_FILES_H

#include "remote/portable.h"
#include "remote/remotes_internal.h"
#include "remote/stream_part.h"

/* --- remotes_files.c: the rows */

struct known_entry {
    char site[PORTABLE_SITE + 1];
    int64_t stamp;
    uint64_t n;  /* there */
    int64_t seq; /* here; 0 = it is not */
};
struct known_file {
    uint64_t first; /* 0: stream.ndjson */
    uint64_t version, bytes;
    int64_t stamp, last_seq; /* last_seq: the largest of its entries' */
    char site[PORTABLE_SITE + 1], hash[HASH_HEX + 1];
    struct known_entry *entries; /* NULL: not read */
    size_t count;
};
/* Those of one stream by number, without entries; in the arena. */
kf_rc files_known(struct db *db, str remote, str key, struct arena *arena, struct known_file **ret,
                  size_t *ret_count, struct kf_err *err);
/* The entries of one of them; `seq` is 0 of what `keep` has removed since the row was written. */
kf_rc files_entries(struct db *db, str remote, str key, struct known_file *f, struct arena *arena,
                    struct kf_err *err);
/* KF_ABSENT without a sentence. */
kf_rc files_one(struct db *db, str remote, str key, uint64_t first, struct known_file *ret,
                struct kf_err *err);
kf_rc files_put(struct db *db, str remote, str key, const struct known_file *f, struct kf_err *err);
kf_rc files_drop(struct db *db, str remote, str key, uint64_t first, struct kf_err *err);
/* All of a remote. */
kf_rc files_forget(struct db *db, str remote, struct kf_err *err);
kf_rc files_any(struct db *db, str remote, bool *ret, struct kf_err *err);
/* Numbers here of all entries that the remote has, sorted; free with mem_free. */
kf_rc files_numbers(struct db *db, str remote, int64_t **ret, size_t *ret_count,
                    struct kf_err *err);

/* --- what is pushed: remotes_files_look.c (of what), remotes_files_push.c (which files),
 * remotes_files_make.c (their texts) */

/* A file that is pushed; in the arena of the push. */
struct push_file {
    str key;
    struct known_file file; /* hash and bytes are known once it was made */
    bool gone;              /* it is to be removed */
    int64_t seq;            /* the lowest number of what is new in it */
    size_t size;            /* about */
    size_t fresh;           /* entries that are new in it */
};
struct push_files {
    struct run *run;
    struct arena *arena;
    const struct withheld_list *withheld;
    int64_t watermark, until;
    bool has_secrets; /* they may go there */
    void *ctx;
    kf_rc (*add)(void *ctx, struct push_file *file, struct kf_err *err);
    /* Not pushed, with the number of what is not. */
    kf_rc (*withhold)(void *ctx, str name, int64_t seq, const struct kf_err *why,
                      struct kf_err *err);
    kf_rc (*hold_back)(void *ctx, str name, int64_t seq, struct kf_err *err);
    /* the module's */
    struct touched *touched;
};
/* Gives what of streams is to be pushed, in the caller's snapshot. */
kf_rc files_plan(struct push_files *p, struct db *db, struct kf_err *err);
/* Makes the text of a file, and its hash. KF_CONFLICT version_mismatch: something of it has gone
 * meanwhile. */
kf_rc files_make(struct db *db, struct push_file *f, bool secrets, struct buf *out,
                 struct kf_err *err);
/* A file of a stream as it was last seen there or pushed, made again from what is here. KF_ABSENT:
 * not all of it is here, or it would be another one. Of one that is not `inexact` the text has
 * `hash`; of one that is, it is the one of this write. */
struct file_wanted {
    str name, hash, site;
    int64_t stamp;
    bool inexact, secrets; /* secrets: they may be there */
};
kf_rc files_copy(struct db *db, str remote, const struct file_wanted *wanted, struct buf *out,
                 struct kf_err *err);
/* Whether stream.ndjson there says what this store would say. */
kf_rc files_head_same(struct db *db, str remote, str key, bool secrets, bool *ret,
                      struct kf_err *err);
/* Notes what has been pushed. Nothing, when the store was replaced. */
kf_rc files_pushed(struct run *run, struct push_file *const *files, size_t count,
                   struct kf_err *err);

/* --- remotes_files_take.c: what a pull gives */

struct take_files;
kf_rc files_take_new(struct run *run, struct take *take, struct take_files **ret,
                     struct kf_err *err);
kf_rc files_want(struct take_files *t, const struct remote_doc *doc, bool *ret_want,
                 struct kf_err *err);
kf_rc files_take(struct take_files *t, const struct remote_doc *doc, struct kf_err *err);
/* Joins what was gathered. */
kf_rc files_join(struct take_files *t, struct kf_err *err);
/* The first number of which the remote does not have everything; 0 = it has all. */
kf_rc files_first_other(struct run *run, struct db *db, int64_t *ret, struct kf_err *err);
void files_take_free(struct take_files *t);
/* remotes_take.c: one that cannot be used (W5). */
kf_rc take_missing(struct take *t, str name, int64_t stamp, const struct kf_err *why,
                   struct kf_err *err);

#endif
