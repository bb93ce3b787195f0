/* backup: a ZIP of everything or of what is pending; restore from one; verify; digest. The archive
 * is the portable form (remote/portable.h), packed by libarchive, its manifest written last.
 * Readers ask for no order: they check the whole archive before they use any of it.
 *
 * Consistent while writes go on: the backup reads the versions that were current at one number of
 * the sequence, in short snapshots; versions are immutable and pinned meanwhile (docs_pin).
 *
 * Restore: verify the archive whole -> build a scratch store beside -> read it back for its digest
 * -> nobody writes: still empty, or to be replaced? -> swap -> new site, larger stamps, no
 * watermarks. The old file stays.
 *
 * Threads: a backup belongs to one thread at a time; blocking: for workers and programs, not for
 * the loop. */
#ifndef KF_MOVE_BACKUP_H
#define KF_MOVE_BACKUP_H

#include "remote/objects.h"
#include "remote/portable.h"
#include "remote/remotes.h"

struct backup;
/* pending_to: a remote, only what is pending to it; "" = everything. Waits for the group that is on
 * its way: where store_write may be called. */
kf_rc backup_new(struct kf_store *store, str pending_to, struct backup **ret, struct kf_err *err);
/* Fills the empty `out` with the next piece of the archive, at least one byte: about 64 KiB, more
 * only by what one document or the manifest adds. KF_ABSENT at its end. For streaming with
 * back-pressure. */
kf_rc backup_read(struct backup *b, struct buf *out, struct kf_err *err);
void backup_progress(const struct backup *b, uint64_t *ret_done, uint64_t *ret_total);
void backup_free(struct backup *b);

/* What the public calls do, but for passing the store's gate. */
kf_rc backup_store(struct kf_store *store, const char *path, const char *pending_to,
                   kf_progress *progress, void *ctx, struct kf_err *err);
kf_rc restore_store(struct kf_store *store, const char *path, bool replace, kf_progress *progress,
                    void *ctx, struct kf_err *err);
kf_rc verify_store(struct kf_store *store, bool deep, kf_progress *progress, void *ctx,
                   struct kf_verified *ret, struct kf_err *err);
/* Ended with KF_BUSY when `wanted` (store_read_long; may be NULL) says no. */
kf_rc digest_now(struct kf_store *store, bool (*wanted)(void *ctx), void *ctx,
                 char ret_hex[HASH_HEX + 1], struct kf_err *err);

/* The digest of the current documents as they stand in the caller's snapshot. KF_DAMAGED when a
 * body does not match its hash. */
kf_rc digest_of(struct db *db, char ret_hex[HASH_HEX + 1], struct kf_err *err);

/* Restore in pieces: bytes are spooled to the side folder, then one call does the rest. */
struct restore;
kf_rc restore_new(struct kf_store *store, bool replace, struct restore **ret, struct kf_err *err);
kf_rc restore_write(struct restore *r, str bytes, struct kf_err *err);
struct restored {
    uint64_t docs, versions, bytes;
    char kept_as[1024]; /* where the old store file is, "" = it was never written to */
    uint64_t overtaken; /* changes that were confirmed since restore_new: only kept_as has them */
    char digest[65];
};
kf_rc restore_finish(struct restore *r, kf_progress *progress, void *ctx, struct restored *ret,
                     struct kf_err *err);
/* Removes the spool; nothing was changed unless restore_finish said KF_OK. */
void restore_free(struct restore *r);

#endif
