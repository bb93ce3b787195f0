/* stream_text: between the rows of a stream and its files (stream_part.h): what a remote and a
 * backup write, and what a pull and a restore read. Threads: as the database and the group that
 * they use. */
#ifndef KF_REMOTE_STREAM_TEXT_H
#define KF_REMOTE_STREAM_TEXT_H

#include "remote/stream_part.h"
#include "shape/stream.h"

/* A part that is being written. What an entry has attached comes before the first that names it. */
struct part_writer {
    struct db *db;
    struct buf *out;
    uint64_t entries;
    struct arena arena; /* of below */
    struct written_attachment *attached;
    struct written_entry *seen; /* those that it has */
    struct buf attach;
};
void part_begin(struct part_writer *w, struct db *db, str key, uint64_t first, struct buf *out);
/* An entry, read with its body and not damaged, under the number `n`. KF_DAMAGED, and nothing was
 * written: its attachment is, or another one in the part has its site and stamp. */
kf_rc part_entry(struct part_writer *w, const struct entry_row *row, uint64_t n,
                 struct kf_err *err);
void part_end(struct part_writer *w);

/* stream.ndjson as it is in the snapshot; nothing is appended when there is nothing to say.
 * KF_DAMAGED: something of it is none that can be, and who reads it would refuse all of it. */
struct head_wish {
    /* Whether a member may be in it; NULL: all may. */
    kf_rc (*keep)(void *ctx, const struct member_row *m, bool *ret_keep, struct kf_err *err);
    void *ctx;
    /* With what this store alone knows: a backup's. Of a stream that came into being behind this
     * number there is nothing of that; 0 = of none. */
    int64_t own_until;
};
kf_rc head_write(struct db *db, str key, const struct head_wish *wish, struct buf *out,
                 struct kf_err *err);

/* Who takes the lines of a file; `last`, `trimmed` and `once` may be NULL. */
struct text_sink {
    void *ctx;
    kf_rc (*entry)(void *ctx, const struct entry_import *e, struct kf_err *err);
    kf_rc (*member)(void *ctx, const struct member_row *m, struct kf_err *err);
    kf_rc (*erasure)(void *ctx, const struct erased_row *e, struct kf_err *err);
    kf_rc (*trimmed)(void *ctx, const struct erased_row *e, struct kf_err *err);
    kf_rc (*last)(void *ctx, uint64_t n, struct kf_err *err);
    kf_rc (*once)(void *ctx, const struct once_row *o, struct kf_err *err);
};
/* Of a file that stream_read_check has accepted. Errors are the sink's, and KF_NOMEM. What it is
 * given is borrowed until it returns. */
kf_rc text_each(str name, str text, const struct text_sink *sink, struct kf_err *err);

#endif
