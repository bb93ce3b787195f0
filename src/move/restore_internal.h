/* restore_internal: what the files of a restore share; backup.h is its contract, restore.c has its
 * steps. A restore belongs to one thread. */
#ifndef KF_MOVE_RESTORE_INTERNAL_H
#define KF_MOVE_RESTORE_INTERNAL_H

#include "move/backup.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"
#include "base/seal_file.h"
#include "base/table.h"
#include "move/rows.h"
#include "move/zip.h"
#include "shape/stream.h"

enum {
    RESTORE_GROUP = 256, /* of what is merged in one write; and how often its caller is told */
    RESTORE_GROUP_BYTES = 8 * 1024 * 1024
};

/* A version that the manifest names. */
struct line {
    struct line *next; /* of the same object */
    struct doc_row row;
    bool current;
};
/* The lines of one object. */
struct place {
    struct hash path;
    struct line *first;
    bool lost;
    UT_hash_handle hh;
};

struct restore {
    struct kf_store *store;
    bool replace;
    bool trial; /* the store is not touched: a drill, or only a look */
    struct file spool;
    char *path, *scratch; /* in the side folder */
    int64_t at;
    struct seal_reader *opener; /* of what comes, where it is sealed */
    struct seal_source key;     /* its texts are ours */
    bool begun;                 /* the first byte has come */
    struct buf opened;
    struct zip_limits limits;

    struct buf manifest;
    enum portable_holds holds;
    int64_t newest_stamp;
    struct rows files;    /* objects found in the archive */
    struct place *places; /* objects named by the manifest */
    struct line *deleted; /* lines without an object */
    struct arena arena;   /* of lines and places */
    uint64_t lines, docs, versions, entries, bytes;
    uint64_t looked;   /* objects, in step 2 */
    uint64_t room;     /* bytes of all versions */
    int64_t began_seq; /* of the store that is to be replaced */
    uint64_t overtaken;

    struct doc_import batch[RESTORE_GROUP]; /* to be merged next */
    size_t batch_count;
    struct arena bodies; /* of the batch */

    struct db *db;   /* of the scratch store */
    uint64_t loaded; /* lines */
    int64_t seq;     /* the last number of the scratch store */
    kf_progress *progress;
    void *ctx;
};

/* --- restore.c */

/* With nothing in it yet; the key is copied. NULL without memory. */
struct restore *restore_reader_new(struct kf_store *store, const struct seal_source *key);
/* Tells the caller how far it is; KF_BUSY when that ends it. */
kf_rc restore_tell(struct restore *r, struct kf_err *err);

/* --- restore_spool.c: step 1 */

#define RESTORE_SPOOL ".tmp-restore-"
#define RESTORE_DRILL ".tmp-drill-"
/* A new path in the side folder; free with mem_free. NULL without memory. */
char *restore_side_path(const struct env *env, const char *dir, const char *prefix,
                        const char *tail);
/* All of it has come. */
kf_rc restore_end_spool(struct restore *r, struct kf_err *err);
/* A file that is sealed is opened into a spool of our own (r->path is set then); any other is to be
 * read where it is. */
kf_rc restore_spool_file(struct restore *r, struct file *f, struct kf_err *err);

/* --- restore_look.c: step 2 */

/* Reads and checks all of the spool, and fills what the manifest says. */
kf_rc restore_look(struct restore *r, struct kf_err *err);

/* --- restore_build.c: step 3 */

/* Builds r->db at r->scratch. */
kf_rc restore_build(struct restore *r, struct kf_err *err);

/* --- restore_merge.c: an archive of what was pending, instead of the steps behind 2 */

kf_rc restore_merge(struct restore *r, struct kf_err *err);

#endif
