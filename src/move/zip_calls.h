/* zip_calls: the calls of libarchive, which is loaded when the first archive is made or read.
 *
 * It brings ten libraries along (XML, Unicode tables, every compressor), which would be a third of
 * the memory of an idle process and half the time of its start, for something most never do. */
#ifndef KF_MOVE_ZIP_CALLS_H
#define KF_MOVE_ZIP_CALLS_H

#include "base/str.h"

#include <keepfast.h>

#include <archive.h>
#include <archive_entry.h>

/* X(name without `archive_`) */
#define ZIP_CALLS(X)                    \
    X(error_string)                     \
    X(format)                           \
    X(write_new)                        \
    X(write_set_format_zip)             \
    X(write_set_bytes_per_block)        \
    X(write_open)                       \
    X(write_header)                     \
    X(write_data)                       \
    X(write_finish_entry)               \
    X(write_close)                      \
    X(write_free)                       \
    X(read_new)                         \
    X(read_support_format_zip_seekable) \
    X(read_set_seek_callback)           \
    X(read_open2)                       \
    X(read_next_header)                 \
    X(read_data)                        \
    X(read_free)                        \
    X(entry_new)                        \
    X(entry_clear)                      \
    X(entry_free)                       \
    X(entry_set_pathname)               \
    X(entry_set_filetype)               \
    X(entry_set_perm)                   \
    X(entry_set_size)                   \
    X(entry_set_mtime)                  \
    X(entry_pathname)                   \
    X(entry_filetype)                   \
    X(entry_hardlink)                   \
    X(entry_symlink)                    \
    X(entry_is_encrypted)

struct zip_calls {
#define X(name) __typeof__(archive_##name) *name;
    ZIP_CALLS(X)
#undef X
};

/* KF_CONFIG when the machine has no libarchive. What was loaded stays until the process ends. Any
 * thread. */
kf_rc zip_calls_load(const struct zip_calls **ret, struct kf_err *err);

#endif
