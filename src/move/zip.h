/* zip: the archive of a backup, written and read in pieces. Over libarchive; knows of no store.
 *
 * Written: plain files only, fixed owner and mode, deflate. Read: plain files of names that the
 * portable form can have; links, folders, absolute names, `..`, a name twice, anything over the
 * limits is refused (bad_archive names the entry) before a byte of it is used.
 *
 * Threads: one at a time. */
#ifndef KF_MOVE_ZIP_H
#define KF_MOVE_ZIP_H

#include "base/env.h"

/* An archive whose files unpack to more than this times its own size plus 64 MiB is refused. */
#define ZIP_RATIO_MAX 200
#define ZIP_FILES_MAX 20000000

struct zip_writer;
/* What is made is appended to `out`, which the caller empties between calls; it may change `out` by
 * zip_writer_to. */
kf_rc zip_writer_new(struct zip_writer **ret, struct kf_err *err);
void zip_writer_to(struct zip_writer *w, struct buf *out);
kf_rc zip_writer_add(struct zip_writer *w, const char *name, str bytes, int64_t at_ms,
                     struct kf_err *err);
/* Writes the archive's end. */
kf_rc zip_writer_end(struct zip_writer *w, struct kf_err *err);
void zip_writer_free(struct zip_writer *w);

/* Every file of the archive `f`, in its order. `one_max`: largest file but the manifest and those
 * whose names begin with `parts` (NULL: none do), which have the limits beside their names. */
typedef kf_rc zip_visit(void *ctx, str name, str bytes, struct kf_err *err);
struct zip_limits {
    uint64_t one_max;
    const char *manifest, *parts;
    uint64_t manifest_max, parts_max;
};
kf_rc zip_each(struct file *f, const struct zip_limits *limits, zip_visit *visit, void *ctx,
               struct kf_err *err);

#endif
