/* backup: a ZIP of everything or of what is pending; restore from one; verify; digest. The archive
 * is the portable form (remote/portable.h), packed by libarchive, its manifest written last.
 * Readers ask for no order: they check the whole archive before they use any of it.
 *
 * Consistent while writes go on: the backup reads the versions that were current at one number of
 * the sequence, in short snapshots; versions are immutable and pinned meanwhile (docs_pin). Of
 * streams it has the entries up to that number (streams_pin) but for those that are erased
 * meanwhile, and attributes as they are at its end.
 *
 * Restore: verify the archive whole -> build a scratch store beside -> read it back for its digest
 * -> nobody writes: still empty, or to be replaced? -> swap -> new site, larger stamps, no
 * watermarks. The old file stays.
 *
 * Threads: a backup belongs to one thread at a time; blocking: for workers and programs, not for
 * the loop. */
#ifndef KF_MOVE_BACKUP_H
#define KF_MOVE_BACKUP_H

#include "base/seal.h"
#include "remote/objects.h"
#include "remote/portable.h"
#include "remote/remotes.h"

struct backup;
/* pending_to: a remote, only what is pending to it; "" = everything. Waits for the group that is on
 * its way: where store_write may be called. `key`: what comes out is sealed with it (seal_file.h);
 * NULL, or naming nothing: a ZIP. */
kf_rc backup_new(struct kf_store *store, str pending_to, const struct seal_source *key,
                 struct backup **ret, struct kf_err *err);
/* Fills the empty `out` with the next piece of the archive, at least one byte: about 64 KiB, more
 * only by what one document or the manifest adds. KF_ABSENT at its end. For streaming with
 * back-pressure. */
kf_rc backup_read(struct backup *b, struct buf *out, struct kf_err *err);
/* All of it into a new file; not synced. KF_BUSY when `progress` (may be NULL) says no. */
kf_rc backup_copy(struct backup *b, struct file *f, kf_progress *progress, void *ctx,
                  struct kf_err *err);
/* Before the first read of a backup of everything: backup_digest will be asked. `wanted` (NULL:
 * always) is asked often while a stream is gone through. */
void backup_reckon(struct backup *b, bool (*wanted)(void *ctx), void *ctx);
/* Behind its end: the digest of what it holds, read from the store and not from what was written: a
 * restore of the archive must have the same. Documents are read again now; of streams it was
 * reckoned in the snapshots of their files, for what is erased meanwhile is gone from the store
 * that would have to be asked. *ret_hex is "" when that took too long (store_read_long) or was not
 * wanted any more. Cost: as digest_now. */
kf_rc backup_digest(struct backup *b, kf_progress *progress, void *ctx, char ret_hex[HASH_HEX + 1],
                    uint64_t *ret_docs, uint64_t *ret_entries, struct kf_err *err);
void backup_progress(const struct backup *b, uint64_t *ret_done, uint64_t *ret_total);
void backup_free(struct backup *b);

/* What the public calls do, but for passing the store's gate. */
kf_rc backup_store(struct kf_store *store, const char *path,
                   const struct kf_backup_options *options, struct kf_err *err);
kf_rc restore_store(struct kf_store *store, const char *path,
                    const struct kf_restore_options *options, struct kf_err *err);
kf_rc verify_store(struct kf_store *store, bool deep, kf_progress *progress, void *ctx,
                   struct kf_verified *ret, struct kf_err *err);
/* Ended with KF_BUSY when `wanted` (store_read_long; may be NULL) says no. */
kf_rc digest_now(struct kf_store *store, bool (*wanted)(void *ctx), void *ctx,
                 char ret_hex[HASH_HEX + 1], struct kf_err *err);

/* The digest of the current documents and of the streams as they stand in the caller's snapshot.
 * KF_DAMAGED when a body does not match its hash. */
kf_rc digest_of(struct db *db, char ret_hex[HASH_HEX + 1], struct kf_err *err);

/* Restore in pieces: bytes are spooled to the side folder, then one call does the rest. */
struct restore;
/* `key`: of an archive that is sealed; NULL, or naming nothing: none. KF_CONFIG `key_needed` where
 * it does not fit; a key for a ZIP is bad_archive, for somebody may have exchanged them. */
kf_rc restore_new(struct kf_store *store, bool replace, const struct seal_source *key,
                  struct restore **ret, struct kf_err *err);
kf_rc restore_write(struct restore *r, str bytes, struct kf_err *err);
struct restored {
    uint64_t docs, versions, bytes;
    uint64_t entries; /* of streams, those that are shown; of an archive of what was pending, all */
    char kept_as[1024]; /* where the old store file is, "" = it was never written to */
    uint64_t overtaken; /* changes that were confirmed since restore_new: only kept_as has them */
    char digest[65];
};
kf_rc restore_finish(struct restore *r, kf_progress *progress, void *ctx, struct restored *ret,
                     struct kf_err *err);
/* Removes the spool; nothing was changed unless restore_finish said KF_OK. */
void restore_free(struct restore *r);

/* Whether the archive in `f` is a whole backup: reads all of it, every file against its hash, the
 * manifest against the files. Problems as of a restore: incomplete, bad_archive. Changes nothing.
 * KF_BUSY when `progress` says no. */
kf_rc restore_check(struct kf_store *store, struct file *f, const struct seal_source *key,
                    kf_progress *progress, void *ctx, struct kf_err *err);

/* A drill: the archive at `path` is restored into a scratch store in the side folder, which is then
 * read back (digest), verified as `verify --deep` would, and removed. The store itself is not
 * touched. low_space, with nothing built, unless twice what it takes is free beyond the store's
 * low-water mark: the drill must not be what stops writes. */
struct restore_tried {
    uint64_t docs, versions;
    char digest[HASH_HEX + 1];
};
kf_rc restore_try(struct kf_store *store, const char *path, const struct seal_source *key,
                  kf_progress *progress, void *ctx, struct restore_tried *ret, struct kf_err *err);
/* Removes what drills left in the side folder that a crash cut short. While none is on its way. */
void restore_try_sweep(struct kf_store *store);

/* Verifies a database that no store has open: its pages, then every version. KF_DAMAGED, with the
 * first finding in *err. */
kf_rc verify_db(struct db *db, const struct env *env, kf_progress *progress, void *ctx,
                struct kf_err *err);

#endif
