/* backup_streams: the files of streams in a backup, one after the other. Threads: the backup's. */
#ifndef KF_MOVE_BACKUP_STREAMS_H
#define KF_MOVE_BACKUP_STREAMS_H

#include "move/rows.h"
#include "shape/stream.h"

enum backup_pass { PASS_SHOWN, PASS_TWINS, PASS_AGAIN, PASS_IDS };
/* Where it is. Begins as zeros; ended by backup_streams_release. */
struct backup_streams {
    struct buf key, name, text, scratch;
    int64_t stream; /* whose parts are written; 0 = the next one is looked for */
    enum backup_pass pass;
    uint64_t shown, twins; /* their numbers up to here are done */
    uint64_t last_n;       /* that was given in a part */
    uint64_t entries;      /* in the parts so far, of those that are shown; one that is
                              erased meanwhile counts */
    struct buf id;         /* up to which ids are done */
    bool heads;            /* behind all parts */
    bool digests;          /* `lines` is wanted */
    struct buf lines;      /* of the digest, of what the archive has */
};
/* A file: `row` is what the manifest says of it. */
typedef kf_rc backup_file(void *ctx, const struct doc_row *row, struct kf_err *err);
/* Gives the next file of what had a number up to `until`, or looks further; `wants` (may be NULL)
 * says which streams. What is erased meanwhile is erased in the backup, for stream.ndjson is
 * written behind all parts. KF_ABSENT at the end. KF_DAMAGED names the entry. */
kf_rc backup_streams_step(struct backup_streams *b, struct db *db, int64_t until, str site,
                          bool (*wants)(void *ctx, str key), backup_file *give, void *ctx,
                          struct kf_err *err);
void backup_streams_release(struct backup_streams *b);

#endif
