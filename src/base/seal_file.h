/* seal_file: a file of any length, sealed as it passes by. docs/formats.md ("Sealed files") says
 * the form for others.
 *
 * What the reader has given is authentic and in its place; that nothing is missing behind it is
 * known at the end alone. So nothing of it may be used for good before seal_reader_end said KF_OK.
 *
 * Threads: one at a time. */
#ifndef KF_BASE_SEAL_FILE_H
#define KF_BASE_SEAL_FILE_H

#include "base/seal.h"

struct seal_writer;
/* The key is read when it begins: seal_key_load. */
kf_rc seal_writer_new(const struct env *env, const struct seal_source *source,
                      struct seal_writer **ret, struct kf_err *err);
/* Appends what is complete of the sealed file, perhaps nothing. */
kf_rc seal_writer_add(struct seal_writer *w, str bytes, struct buf *out, struct kf_err *err);
/* The rest of it, at least one byte. */
kf_rc seal_writer_end(struct seal_writer *w, struct buf *out, struct kf_err *err);
void seal_writer_free(struct seal_writer *w);

/* Whether a file that begins with these bytes, at least one, is sealed and no archive. */
bool seal_file_begins(str bytes);

struct seal_reader;
/* A source that names nothing: what the file says of its key is told with KF_CONFIG `key_needed` by
 * seal_reader_add, as for another key. */
kf_rc seal_reader_new(const struct env *env, const struct seal_source *source,
                      struct seal_reader **ret, struct kf_err *err);
/* Appends what was opened, perhaps nothing. KF_DAMAGED incomplete for what was changed or moved;
 * KF_INVALID bad_archive for what is no sealed file; KF_TOO_NEW. */
kf_rc seal_reader_add(struct seal_reader *r, str bytes, struct buf *out, struct kf_err *err);
/* KF_DAMAGED incomplete when it was cut. */
kf_rc seal_reader_end(struct seal_reader *r, struct buf *out, struct kf_err *err);
void seal_reader_free(struct seal_reader *r);

#endif
