/* stream_search: finding entries by the words in their bodies. What is a word, a question and a hit
 * is base/fold.h's; this is the index that finds candidates, and the search over it.
 *
 * The index (kf_search) has the folded text of every entry up to a number, kf_meta `indexed`. It is
 * brought up in batches, not with each entry: of an entry alone it would be the larger part of what
 * is written. What is above that number is read as it is. So
 *
 * I1  search sees what is committed: index and number change in one transaction;
 * I2  what is not indexed is little: every append that makes it more than a batch brings it up
 *     in its own group, or with the entries that are placed where it was told before; what came
 *     otherwise (a restore, what a crash left) waits for streams_index_retain or the next of those.
 *     While the index is written anew without what was erased, more may wait: INDEX_MERGING;
 * I3  an entry that is gone is not found, whatever the index says: candidates are read from
 *     kf_entry, and their words are looked at again. What the index still has of entries that
 *     were trimmed goes with stream_index_sweep now and then; of erased ones at once, and with
 *     stream_index_purge from its bytes.
 *
 * Threads: as the transaction. */
#ifndef KF_SHAPE_STREAM_SEARCH_H
#define KF_SHAPE_STREAM_SEARCH_H

#include "base/fold.h"
#include "base/log.h"
#include "db/db.h"

#include <keepfast.h>
#include <stdatomic.h>

struct group;

/* ------------------------------------------------------------------------------------ the index */

#define INDEX_BATCH_ENTRIES 512
#define INDEX_BATCH_BYTES   (1024 * 1024) /* of bodies */
/* So many batches may wait while more entries wait to be placed. */
#define INDEX_BEHIND 8
/* And while the index is written anew. A batch in the midst of that makes FTS5 begin it again. */
#define INDEX_MERGING 128

/* What came since the last batch, about: nothing depends on it but when the next one is due. And
 * whether a statement over the index alone has found it damaged: then nothing more is added to it
 * and nothing removed, and the next purge begins it anew. In groups it may be set; a purge clears
 * it. */
struct stream_index {
    atomic_size_t entries, bytes;
    atomic_bool damaged;
    atomic_bool put_off;    /* placing could not bring it up: it waits for a batch that succeeds */
    atomic_bool merging;    /* it is being written anew; until the last step or _purge_left */
    _Atomic int64_t placed; /* up to which number placing has brought it up; 0 = unknown */
};
bool stream_index_is_damaged(const struct stream_index *index);
/* In a group, behind entries that it has added: indexes a batch when it is due. */
kf_rc stream_index_added(struct stream_index *index, struct db *db, size_t entries, size_t bytes,
                         struct kf_err *err);
/* The same for entries that are placed, which no failure here may keep out: counts them, and behind
 * them all indexes what is due. `busy`: more wait, and only what is much is indexed. A failure is
 * told to `log`, nothing of it stays, and upkeep is left to bring the index up. KF_OK, unless the
 * transaction as a whole can only be rolled back; in the next one it is not tried. */
void stream_index_came(struct stream_index *index, size_t entries, size_t bytes);
kf_rc stream_index_placed(struct stream_index *index, struct db *db, bool busy, struct log *log,
                          struct kf_err *err);
/* The database is another one, or older than it was. Any thread. */
void stream_index_other(struct stream_index *index);
/* Indexes up to a batch of what is not. *ret_more: there is more. In a write transaction. While the
 * index is written anew it does nothing, unless INDEX_MERGING batches wait. */
kf_rc stream_index_batch(struct stream_index *index, struct db *db, bool *ret_more,
                         struct kf_err *err);
/* Every entry up to this number is indexed. */
kf_rc stream_index_number(struct db *db, int64_t *ret, struct kf_err *err);
/* Looks at the next thousand rows and removes those that are no entry any more. *ret_more: the end
 * was not reached; the next one goes on. */
kf_rc stream_index_sweep(struct stream_index *index, struct db *db, bool *ret_more,
                         struct kf_err *err);
/* Removes the rows of entries that are being erased, and notes that stream_index_purge has work. Of
 * an index that is known to be damaged only the latter. */
kf_rc stream_index_erase(struct stream_index *index, struct db *db, const int64_t *seqs,
                         size_t count, struct kf_err *err);
/* Whether words of what was erased are still in the bytes of the index, or it is to begin anew. */
kf_rc stream_index_unpurged(struct stream_index *index, struct db *db, bool *ret,
                            struct kf_err *err);
/* A step in which what was erased leaves the bytes of the index as well; nothing when all has.
 * *ret_more: it is to be called again. PostgreSQL does that when it vacuums. Of a damaged index
 * everything goes at once: then nothing is indexed, and a search reads entries as they are until
 * batches have brought it up. */
kf_rc stream_index_purge(struct stream_index *index, struct db *db, bool *ret_more,
                         struct kf_err *err);
/* Who took steps takes no more, however far it came: batches wait no longer. */
void stream_index_purge_left(struct stream_index *index);

/* -------------------------------------------------------------------------------------- search
 *
 * The best first, then the newest: of all hits while these are at most SEARCH_HITS, which is nearly
 * always. Of more, the newest SEARCH_HITS are put in order and given out, then the next ones: so a
 * common word costs what these cost, and every hit is reached by going on. Bodies of more than
 * SEARCH_BYTES together end such a round earlier. Hits of other streams than those asked for cost a
 * look each. */

#define SEARCH_HITS    1000
#define SEARCH_BYTES   ((size_t)32 << 20)
#define SEARCH_SNIPPET 200 /* bytes */

/* In the caller's snapshot; as kf_search. KF_DAMAGED: a hit that is to be shown does not match its
 * hash. */
kf_rc stream_search(struct db *db, const struct fold_query *q, str prefix,
                    const struct kf_found *after, size_t limit, struct kf_found_list *ret_list,
                    struct kf_err *err);
#endif
