/* memory_store: memory files into a store and out of it. What is in the files is memory_file.h's.
 *
 * Threads: not the loop's. */
#ifndef KF_MOVE_MEMORY_STORE_H
#define KF_MOVE_MEMORY_STORE_H

#include "move/memory_file.h"
#include "shape/stream.h"

struct memory_import {
    struct memory_counts file; /* what the file has */
    uint64_t added;            /* entries that are new in the store */
    uint64_t changed;          /* streams that are new or got other attributes */
};
/* Takes in what the file has and the store does not: elements (by value and how many equal ones
 * there are, also those that came from elsewhere or were appended by other means), and the
 * attributes of streams. Nothing is removed. The same file once more changes nothing. Errors as
 * memory_file_read, before anything is written; then what an append may say, with the streams
 * before it in the store: the same call goes on from there. KF_NOT_HYDRATED. Memory: about twelve
 * times the file. */
kf_rc memory_import(struct streams *streams, enum memory_file file, str json,
                    struct memory_import *ret, struct kf_err *err);

/* Appends the file as the store has it at one moment. Errors as memory_file_write; KF_NOT_HYDRATED;
 * KF_DAMAGED names the stream. wanted, ctx (may be NULL): as long_read.wanted. */
kf_rc memory_export(struct kf_store *store, struct streams *streams, enum memory_file file,
                    bool (*wanted)(void *ctx), void *ctx, struct buf *out,
                    struct memory_counts *ret, struct kf_err *err);

#endif
