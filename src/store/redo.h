/* redo: what groups did, in a file of its own, so that they are durable before the database has
 * them.
 *
 * A commit of SQLite writes whole pages. An entry of 200 bytes changes three or four of them, and
 * everybody waits until they are on disk. Some writes can say in few bytes what they will do
 * (struct write, `foretell`). A group of such writes is written here, synced, and told
 * (store_foretell.c). The database gets it later, many groups in one transaction: when somebody
 * wants to read it, when enough has come, or soon after the last of them (store_place.c). Out of
 * this file it is read only when that has failed, or after a crash (store_again.c).
 *
 * The file is PATH-redo, little-endian:
 *
 *      0    head      "KFREDO 1", a key of 16 random bytes, the first 16 bytes of the BLAKE2b-256
 *                     of the key and the text, zeros up to 64
 *      64   record    of a group, 88 bytes and its parts, zeros up to a multiple of 64
 *           record    ...
 *           zeros, or records of an earlier cycle
 *
 *      record   0  u32  0x3152464b ("KFR1")
 *               4  u32  bytes of the parts
 *               8  u64  cycle: 1, and 1 more whenever the file begins anew
 *              16  i64  the store's number before the group
 *              24  i64  the same behind it: a part for each number
 *              32  i64  wall clock of the group, ms
 *              40  i64  where it stands in the file
 *              48  i64  the last stamp of the store's clock
 *              56  16   the first 16 bytes of the BLAKE2b-256 of: key, the 56 bytes before, all
 *                       behind
 *              72  16   site of the store
 *              88       each part: u32 its bytes, u32 zero, the bytes, zeros up to a multiple of 8
 *
 * When the database has all of it the next group begins the file anew, at 64, with the next cycle:
 * nothing has to be erased. A record counts when it is whole, of the cycle of the first one, and
 * where it says it is. The key is known to nobody who writes entries, so no body of one can
 * pretend to be a record.
 *
 * Each record was synced before the next was written. So where one cannot be read and another
 * stands behind it, of a group that the database does not have, the first was damaged and not cut
 * off by a crash.
 *
 * Threads: one at a time: the leader, or who opens or closes the store. */
#ifndef KF_STORE_REDO_H
#define KF_STORE_REDO_H

#include "base/buf.h"
#include "base/env.h"

/* What a cycle may take up on disk. Where writes go on and on it ends when that is full: the store
 * has all of it committed then, while everybody waits. */
#define REDO_BYTES_MAX ((int64_t)32 << 20)

struct redo;

#define REDO_SITE 16
struct redo_record {
    char site[REDO_SITE + 1];
    int64_t first, last; /* the store's number before and behind the group */
    int64_t now_ms, stamp;
    str parts;
};

/* Opens what is at `path`, or makes it, whole and synced, where `create`. KF_ABSENT without it.
 * KF_DAMAGED when its head is not one. */
kf_rc redo_open(const struct env *env, const char *path, bool create, struct redo **ret,
                struct kf_err *err);
/* Whether the file at `path` is this one. */
bool redo_is_at(struct redo *r, const char *path);
/* NULL is fine. The file stays. */
void redo_close(struct redo *r);

/* A record is put together in a buffer of the file's: begin, each part, end. */
void redo_begin(struct redo *r, int64_t first, int64_t now_ms, const char *site);
/* Where the bytes of a part go; redo_part_end behind them. */
struct buf *redo_part(struct redo *r);
void redo_part_end(struct redo *r);
/* Bytes of it so far; what came behind so many is not in it any more. */
size_t redo_mark(const struct redo *r);
void redo_cut(struct redo *r, size_t mark);
/* Its parts; borrowed until the next call. */
str redo_parts(const struct redo *r);
/* Whether what was put together fits into what is left of the cycle. */
bool redo_fits(const struct redo *r);
/* Writes and syncs it. On failure nobody knows whether it is there: it counts only if the store's
 * number does not pass `last` by another way. */
kf_rc redo_end(struct redo *r, int64_t last, int64_t stamp, struct kf_err *err);
/* What is in the file counts no more. */
void redo_restart(struct redo *r);
/* Nothing of what is in the file counts any more, and nothing of it can be read: zeros, synced.
 * Costs nothing when that is so already. */
kf_rc redo_erase(struct redo *r, struct kf_err *err);
/* Bytes of this cycle; 0 = none. */
int64_t redo_bytes(const struct redo *r);

/* Shows the records of the cycle that the file holds, in their order, but for those of groups up to
 * number `known`; the next redo_end goes on behind them. `see` ends it with another code than
 * KF_OK, which is returned. KF_DAMAGED: one cannot be read, and a group behind it is neither known
 * nor among those that were shown; or the parts of one are not as many as its numbers. */
typedef kf_rc redo_see(void *ctx, const struct redo_record *record, struct kf_err *err);
kf_rc redo_read(struct redo *r, int64_t known, redo_see *see, void *ctx, struct kf_err *err);
/* The next part; *parts moves behind it. False: there is none. Of a record that redo_read has shown
 * there are as many as it has numbers. */
bool redo_next(str *parts, str *ret);
/* The key in hex, by which the database knows its file. */
#define REDO_KEY_HEX 32
void redo_key(const struct redo *r, char out[REDO_KEY_HEX + 1]);

#endif
