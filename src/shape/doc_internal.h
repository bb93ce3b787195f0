/* doc_internal: what the files of the documents share; DESIGN.md lists them. */
#ifndef KF_SHAPE_DOC_INTERNAL_H
#define KF_SHAPE_DOC_INTERNAL_H

#include "shape/doc.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/hooks.h"
#include "base/json.h"
#include "base/mem.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#define DOC_SITE_LEN  16
#define DOC_TABLE     "doc" /* kf_journal.tbl */
#define DOC_LIMIT_MAX 1000
/* Versions from elsewhere beyond this are not believed: nobody has written so often. */
#define DOC_VERSION_MAX ((uint64_t)1 << 53)

struct unread_names {
    struct arena arena;
    str *names; /* sorted */
    size_t count;
};

struct docs {
    struct kf_store *store;
    const struct config *config;
    const struct config_space *space;
    uint64_t limit_doc;
    struct doc_cache *cache;
    struct json_schema **schemas; /* one for each line of space->docs, NULL = none; never changed */
    size_t schema_count;
    atomic_bool hydrating;
    atomic_int pins;
    atomic_bool any_unread;
    pthread_mutex_t unread_lock;
    struct unread_names unread[DOC_UNREAD_SLOTS]; /* under unread_lock */
    pthread_mutex_t tickets_lock;
    struct kf_ticket *tickets; /* not yet waited for */
};

/* ------------------------------------------------------------------------- ETags (doc_etag.c) */

bool doc_site_ok(str site);
bool doc_etag_fits(str wanted, const char *etag);

/* ------------------------------------------------------------------------ cache (doc_cache.c) */

/* A current document in memory, counted; never changed while others can see it. */
struct hot {
    atomic_int refs;
    struct hot *chain, *newer, *older; /* of its shard, under its lock */
    uint64_t key;                      /* of the name */
    size_t cost;                       /* bytes of memory */
    str name, body;                    /* behind this struct; a NUL behind each */
    uint64_t version;                  /* 0 = a default, in no cache */
    int64_t seq, at_ms;
    char etag[DOC_ETAG_LEN + 2];
};
/* With room for the body; whoever made it fills it in. */
kf_rc hot_new(str name, size_t body_len, struct hot **ret_hot, struct kf_err *err);
char *hot_room(struct hot *hot); /* where the body goes */
struct hot *hot_keep(struct hot *hot);
void hot_drop(struct hot *hot); /* NULL is fine */

struct doc_cache;
kf_rc doc_cache_new(const struct env *env, uint64_t limit_bytes, struct doc_cache **ret_cache,
                    struct kf_err *err);
void doc_cache_free(struct doc_cache *cache);
/* The document, kept for the caller (hot_drop), or NULL. *ret_mark (may be NULL) is for
 * doc_cache_saw. */
struct hot *doc_cache_get(struct doc_cache *cache, str name, uint64_t *ret_mark);
/* Whether memory has the document under this number; leaves its place in the order alone. */
bool doc_cache_has(struct doc_cache *cache, str name, int64_t seq);
/* What was committed: replaces what is there. Keeps a count of its own. On the leader's thread, in
 * the order of groups. */
void doc_cache_publish(struct doc_cache *cache, struct hot *hot);
void doc_cache_forget(struct doc_cache *cache, str name);
void doc_cache_forget_all(struct doc_cache *cache);
/* Somebody else may have committed `name` under number `seq`: what is older goes and does not come
 * back. The same of all names up to `seq`. */
void doc_cache_changed(struct doc_cache *cache, str name, int64_t seq);
void doc_cache_doubt(struct doc_cache *cache, int64_t seq);
/* What a snapshot had under this name: number `seq`, and the document, or NULL for a deletion.
 * Called before the reader is answered. The document is kept when no other read or publish of this
 * name has ended since the mark; an older one that is there goes. */
void doc_cache_saw(struct doc_cache *cache, str name, int64_t seq, struct hot *hot, uint64_t mark);
/* Another bound from now on; what is beyond it goes. */
void doc_cache_limit(struct doc_cache *cache, uint64_t limit_bytes);
uint64_t doc_cache_bytes(const struct doc_cache *cache);

/* --------------------------------------------------------------------------- rows (doc_row.c) */

/* The head of a name. */
struct doc_head {
    bool there; /* it was written once; the members below count */
    bool deleted;
    uint64_t version;
    int64_t seq, stamp, at_ms;
    char site[DOC_SITE_LEN + 1];
    char hash[HASH_HEX + 1]; /* "" for a deletion */
};
kf_rc doc_head_load(struct db *db, str name, struct doc_head *ret, struct kf_err *err);

/* The body of version row `seq` appended to `out`, compared with its hash: KF_DAMAGED. */
kf_rc doc_body_load(struct db *db, str name, int64_t seq, struct buf *out, struct kf_err *err);
kf_rc doc_damaged(str name, struct kf_err *err);

/* A version to be written. */
struct doc_record {
    str name, site, kind;
    str body, hash; /* .p == NULL, "": a deletion */
    uint64_t version;
    int64_t stamp, at_ms;
};
/* Writes it as the current version: version row, head, journal. `head`: what there is now.
 * *ret_seq: its number. */
kf_rc doc_record(struct group *g, const struct doc_record *record, const struct doc_head *head,
                 int64_t *ret_seq, struct kf_err *err);
/* Writes it as a version only. */
kf_rc doc_record_past(struct group *g, const struct doc_record *record, struct kf_err *err);

/* ------------------------------------------------------- what may be written (doc_write.c) */

/* Size, JSON and schema of a body that this store writes under `name`. */
kf_rc doc_body_check(const struct docs *docs, str name, str body, struct kf_err *err);

/* ------------------------------------------------------------------------ reading (doc_read.c) */

/* A name as a caller gives it, which must be one. */
kf_rc doc_take_name(const char *name, str *ret, struct kf_err *err);
/* Whether anything is known of the name; while the store is being filled that decides between
 * absent and not yet known. */
kf_rc doc_check_known(const struct docs *docs, struct db *db, str name, struct doc_head *ret_head,
                      bool hydrating, struct kf_err *err);

/* ----------------------------------------- what must hold before a write (doc_condition.c) */

static inline bool doc_exists(const struct doc_head *head)
{
    return head->there && !head->deleted;
}
/* Hydration, conditions of the request, and that what is there can be read or is knowingly written
 * over. */
kf_rc doc_conditions(struct group *g, const struct doc_write *w, const struct doc_head *head,
                     struct kf_err *err);
/* Whether the current body can be read. */
kf_rc doc_is_readable(struct group *g, const struct doc_write *w, const struct doc_head *head,
                      bool *ret, struct kf_err *err);

/* ----------------------------------------------------------- idempotency keys (doc_once.c) */

#define DOC_KEY_MAX 255
/* KF_ABSENT: the key is new. KF_OK: w->written is the first result. */
kf_rc doc_once_look(struct group *g, struct doc_write *w, struct kf_err *err);
/* Keeps w->written under the key. */
kf_rc doc_once_keep(struct group *g, const struct doc_write *w, struct kf_err *err);

/* ------------------------------------------------- two versions of a document (doc_join.c) */

struct doc_join {
    struct buf ours; /* the current body; empty when there is none or it cannot be read */
    struct buf made; /* the merged value, when neither version has it; else empty */
    char made_hash[HASH_HEX + 1];
    bool equal;        /* the values of the two are */
    bool nothing_lost; /* the result has all that either of them changed */
};
/* Fills a zeroed *ret with what `import` and the current version make together. With `made` empty
 * the later one of the two is the result. Without base nothing is made, and without inexact, too,
 * nothing is read: both stay as different as they are. */
kf_rc doc_join(struct group *g, const struct docs *docs, const struct doc_import *import,
               const struct doc_head *head, bool import_is_later, struct doc_join *ret,
               struct kf_err *err);
void doc_join_release(struct doc_join *join);

/* -------------------------------------------------------------------- configuration (doc.c) */

/* The shape check of the first line that fits, KF_OK when there is none. */
kf_rc docs_check_schema(const struct docs *docs, str name, str body, struct kf_err *err);
struct config_keep docs_keep(const struct docs *docs, str name);
/* The default of an absent document, .p == NULL when there is none. */
str docs_default(const struct docs *docs, str name);
bool docs_hydrating(const struct docs *docs);
/* Whether a name that is not here may be one that has not come in. */
bool docs_unknown(struct docs *docs, str name);
void docs_free_unread(struct docs *docs);
kf_rc docs_not_hydrated(const struct docs *docs, str name, struct kf_err *err);

/* --------------------------------------------------------------------------- kept (doc_keep.c) */

/* Removes versions of `name` beyond its count; `version` is the newest. Nothing while pinned. */
kf_rc doc_trim(struct group *g, const struct docs *docs, str name, uint64_t version,
               struct kf_err *err);

/* ----------------------------------------------------------------------- public (doc_submit.c) */

void docs_free_tickets(struct docs *docs);

#endif
