/* doc: named JSON documents with versions.
 *
 * The public calls (kf_doc_…, kf_submit, kf_wait) are implemented here; the rest of this header is for the floors above: router,
 * remotes and backup need more than the public calls give.
 *
 * D1  A name's version numbers grow by at least one with every change, deletions included, and are never used twice.
 * D2  Bytes come out as they went in. Writing the same bytes changes nothing: no version, no journal row.
 * D3  The head (kf_doc), its version row and its journal row carry the same number and appear in one transaction.
 * D4  What memory shows is what is committed: the cache is written by `publish`, before anybody is told.
 *
 * The cache keeps bodies of current documents by name, counted, within limits.memory; the least recently used goes first. A read that misses
 * fills it only when no group was committed since its snapshot began (store_seq), so that it never holds an older version than the
 * database. Absent names are not cached.
 *
 * Threads: any, unless marked. */
#ifndef KF_SHAPE_DOC_H
#define KF_SHAPE_DOC_H

#include "base/config.h"
#include "base/hash.h"
#include "store/store.h"

#define DOC_NAME_MAX 1024
#define DOC_ETAG_LEN 34 /* a quote, 32 hex digits, a quote */

/* `config` and `space` must outlive it; space may be NULL. cache_bytes: how much of the bodies stays in memory. */
kf_rc docs_new(struct kf_store *store, const struct config *config, const struct config_space *space,
               uint64_t cache_bytes, struct docs **ret_docs, struct kf_err *err);
void docs_free(struct docs *docs);

/* 1 to 1,024 bytes of UTF-8, no NUL, no segment empty, `.` or `..`: else bad_key with the offset. Serves streams and blobs too. */
kf_rc name_check(str name, struct kf_err *err);

void doc_etag(int64_t stamp, str site, char out[DOC_ETAG_LEN + 1]);

/* --- writing without waiting: what the router and kf_submit use */

/* A write with its own memory. `done` is called once, on the thread that committed; it owns `w` from then on and ends with doc_write_free. */
struct doc_write {
    struct write write; /* first */
    struct docs *docs;
    kf_verb verb;
    str name, body; /* in `arena` */
    uint64_t version;
    str if_match, idempotency_key;
    bool if_none_match, force;
    kf_level level;
    struct kf_written written;
    void (*done)(struct doc_write *w); /* w->write.rc, w->write.err, w->written */
    void *ctx;
    /* the module's */
    struct arena arena;
    struct hash hash, request;
    struct hot *publish;
    str dropped;
    int refs;
    bool replay;
};
/* Copies name, body and options; checks name, size and JSON before anything is queued, so bad input costs no transaction. */
kf_rc doc_write_new(struct docs *docs, const struct kf_write *request, struct doc_write **ret_write,
                    struct kf_err *err);
void doc_write_submit(struct doc_write *w, void (*done)(struct doc_write *w), void *ctx);
void doc_write_free(struct doc_write *w);

/* --- reading from memory only: the loop's fast path. KF_OK and *ret_doc (release it), or KF_ABSENT when it is not in memory (which says nothing about
 * the store). No system call, no wait. */
kf_rc doc_peek(struct docs *docs, str name, struct kf_doc *ret_doc);

/* --- what remotes, backup and digest read */

/* A version as it stands in the store. Borrowed until the callback returns. */
struct doc_row {
    str name, site, kind, hash; /* hash: 64 hex digits of the body's exact bytes, "" for a deletion */
    str body;                   /* .p == NULL for a deletion, or when bodies were not asked for */
    uint64_t version;
    int64_t seq, stamp, at_ms;
    size_t size;
    bool deleted;
};
typedef kf_rc doc_visit(void *ctx, const struct doc_row *row, struct kf_err *err);

/* Heads (deleted ones too) in the order of names behind `after`, at most `limit`; in the caller's snapshot. *ret_count: rows visited. */
kf_rc doc_heads(struct db *db, str after, size_t limit, bool bodies, doc_visit *visit, void *ctx,
                size_t *ret_count, struct kf_err *err);
/* Heads whose journal number is above `seq`, in the order of numbers, at most `limit`. */
kf_rc doc_changes(struct db *db, int64_t seq, size_t limit, bool bodies, doc_visit *visit, void *ctx,
                  size_t *ret_count, struct kf_err *err);
/* Every kept version of every document up to number `until`, by number behind `after_seq`, with body. */
kf_rc doc_all_versions(struct db *db, int64_t after_seq, int64_t until, size_t limit,
                       doc_visit *visit, void *ctx, size_t *ret_count, struct kf_err *err);
/* When the first change of `name` above number `seq` was made; 0 = none. */
kf_rc doc_since(struct db *db, str name, int64_t seq, int64_t *ret_ms, struct kf_err *err);
/* Numbers of current documents and of their bytes. */
kf_rc doc_totals(struct db *db, uint64_t *ret_docs, uint64_t *ret_bytes, struct kf_err *err);

/* --- what hydration, merge and restore write */

/* A version from elsewhere. */
struct doc_import {
    str name, body; /* body.p == NULL: a deletion */
    str site;
    int64_t stamp, at_ms;
    uint64_t version;
};
enum doc_merged {
    DOC_SAME,     /* already there: same stamp and site, or the same bytes */
    DOC_TAKEN,    /* it is the current document now */
    DOC_LOST,     /* the local one is later; the other stays as a version */
    DOC_REPLACED  /* it is current now; the local one it beat stays as a version */
};
/* Inside a group: the later stamp wins, then site, then content hash; the loser stays as a version. A stamp that the clock does
 * not believe is replaced by one of our own (the value is taken, its clock is not).
 * Version: the larger of the other's and our next one. */
kf_rc doc_merge(struct group *g, struct docs *docs, const struct doc_import *import,
                enum doc_merged *ret, struct kf_err *err);
/* Writes a version into a store that is being built beside (restore): in a write transaction of `db`, whose schema was applied; row->seq is the caller's. current: it is
 * the head, with a journal row. */
kf_rc doc_load(struct db *db, const struct doc_row *row, bool current, struct kf_err *err);
/* Largest document that may be written. */
uint64_t docs_limit(const struct docs *docs);

/* The merged document must be shown by the cache after the commit: forgets `name` there. Called from `publish`. */
void docs_forget(struct docs *docs, str name);
/* Forgets everything: after a swap of the store's file. */
void docs_forget_all(struct docs *docs);

/* While the store is being filled: names that were taken in are served, all others fail. */
void docs_set_hydrating(struct docs *docs, bool hydrating);

/* While a backup reads versions at one moment, no version that it may need is trimmed. Nests. */
void docs_pin(struct docs *docs);
void docs_unpin(struct docs *docs);

/* Removes versions beyond their age, in slices. Called now and then by the owner of the store. */
kf_rc docs_retain(struct docs *docs, struct kf_err *err);

/* Bytes of bodies in memory. */
uint64_t docs_cache_bytes(const struct docs *docs);

#endif
