/* doc: named JSON documents with versions.
 *
 * What the public calls do that read, list and compare, kf_submit and kf_wait; the calls
 * themselves, and those that write and may wait for remotes, are in lib/. The rest of this header
 * is for the floors above: router, remotes and backup need more than the public calls give.
 *
 * D1  A name's version numbers grow by at least one with every change, deletions included, and are
 *     never used twice. The current document has the highest.
 * D2  Bytes come out as they went in. Writing the same bytes changes nothing: no version, no
 *     journal row.
 * D3  The head (kf_doc), its version row and its journal row carry the same number and appear in
 *     one transaction.
 * D4  What memory shows is what is committed: the cache is written by `publish`, before anybody is
 *     told.
 * D5  Bytes are compared with their hash when they leave the database. What does not match is
 *     KF_DAMAGED and never served; writing over it needs If-Match or force.
 *
 * The cache keeps bodies of current documents by name, counted, within limits.memory; the least
 * recently used goes first. A read that misses fills it only when no other read or publish of that
 * name has ended since before its snapshot began, so that a version which one kf_doc_get has shown
 * is not followed by an older one. Absent names are not cached. Lists and reads of versions go to
 * the store, where a commit shows a moment before memory does: they may be ahead of kf_doc_get by
 * what is just being committed, of which no writer has been told yet.
 *
 * Threads: any, unless marked. */
#ifndef KF_SHAPE_DOC_H
#define KF_SHAPE_DOC_H

#include "base/config.h"
#include "base/hash.h"
#include "store/store.h"

#define DOC_ONCE_LEN 32 /* hex digits */
#define DOC_NAME_MAX 1024
/* Under which files of streams stand beside documents at a remote; remote/stream_part.h. */
#define NAME_STREAM_FILES "keepfast-streams/"
#define DOC_ETAG_LEN      34 /* a quote, 32 hex digits, a quote */

/* `config` (NULL = the defaults) and `space` (may be NULL) must outlive it. cache_bytes: how much
 * of the bodies stays in memory. KF_CONFIG when a schema of the configuration is not usable. */
kf_rc docs_new(struct kf_store *store, const struct config *config,
               const struct config_space *space, uint64_t cache_bytes, struct docs **ret_docs,
               struct kf_err *err);
/* After store_close, which ends every write. Frees tickets that nobody waited for. NULL is fine. */
void docs_free(struct docs *docs);

/* 1 to 1,024 bytes of UTF-8, no NUL, no segment empty, `.` or `..`: else bad_key with the offset.
 * Serves streams and blobs too. */
kf_rc name_check(str name, struct kf_err *err);

/* The same of at most so many bytes: what stands beside documents at a remote has longer names. */
kf_rc name_check_to(str name, size_t len_max, struct kf_err *err);

/* Names that no document of a store has: those of sealed documents and of files
 * of streams at a place. bad_key. */
kf_rc name_check_own(str name, struct kf_err *err);

/* Whether `body` has this hash (64 hex digits). Serves streams and blobs, too. */
bool doc_hash_fits(str body, str hex);

void doc_etag(int64_t stamp, str site, char out[DOC_ETAG_LEN + 1]);

/* --- what the public calls of the same name do, but for passing the store's gate and looking at
 * the place of the result */

kf_rc docs_get(struct docs *docs, const char *name, struct kf_doc *ret_doc, struct kf_err *err);
kf_rc docs_get_version(struct docs *docs, const char *name, uint64_t version,
                       struct kf_doc *ret_doc, struct kf_err *err);
kf_rc docs_list(struct docs *docs, const char *prefix, const char *after, size_t limit,
                struct kf_doc_list *ret_list, struct kf_err *err);
kf_rc docs_versions(struct docs *docs, const char *name, uint64_t before, size_t limit,
                    struct kf_doc_list *ret_list, struct kf_err *err);
kf_rc docs_diff(struct docs *docs, const char *name, uint64_t from, uint64_t to,
                struct kf_bytes *ret_patch, struct kf_err *err);
kf_rc docs_submit(struct docs *docs, const struct kf_write *write, kf_done *done, void *ctx,
                  kf_ticket **ret_ticket, struct kf_err *err);
kf_rc ticket_wait(kf_ticket **ticket, uint32_t timeout_ms, struct kf_written *ret,
                  struct kf_err *err);
struct kf_store *ticket_store(const kf_ticket *t);

/* --- writing without waiting: what the router and kf_submit use */

/* A write with its own memory. `done` is called once, on the thread that led the group (or on the
 * caller's, before doc_write_submit returns, when the write is refused); it reads write.rc,
 * write.err and written there, owns `w` from then on and ends with doc_write_free. */
struct doc_write {
    struct write write; /* first */
    struct docs *docs;
    kf_verb verb;
    str name, body; /* copies; body: PUT, PATCH */
    uint64_t version;
    str if_match, idempotency_key;
    /* Whose key it is: those of one writer are not those of another. "" = the store's own. May be
     * set until it is submitted. */
    char once_of[DOC_ONCE_LEN + 1];
    bool if_none_match, force;
    kf_level level;
    struct kf_written written;
    void (*done)(struct doc_write *w);
    void *ctx;
    /* the module's */
    struct hash request; /* of everything that the request asks for; with an idempotency key */
    char hash_hex[HASH_HEX + 1]; /* PUT: of the body */
    struct hot *next; /* what memory shows after the commit; NULL = nothing of this name */
    struct buf made;  /* PATCH, REVERT: the new body */
    int64_t stamp;    /* of the version that it writes; 0 = none yet */
    _Atomic int refs; /* `done`'s owner, and `publish` of an early write */
    bool changed, published;
};
/* Copies name, body and options; checks name, size, JSON and schema before anything is queued, so
 * bad input costs no transaction. */
kf_rc doc_write_new(struct docs *docs, const struct kf_write *request, struct doc_write **ret_write,
                    struct kf_err *err);
void doc_write_submit(struct doc_write *w, void (*done)(struct doc_write *w), void *ctx);
/* Waits for the commit (so a level of memory is exceeded). w->written is the result; w stays the
 * caller's. Where store_write may be called. */
kf_rc doc_write_run(struct doc_write *w, struct kf_err *err);
void doc_write_free(struct doc_write *w);

/* not_found, as of any name that no document has. */
kf_rc doc_unknown(str name, struct kf_err *err);

/* --- reading from memory only: the loop's fast path. KF_OK and *ret_doc (release it), or KF_ABSENT
 * when it is not in memory (which says nothing about the store). No system call, no wait. */
kf_rc doc_peek(struct docs *docs, str name, struct kf_doc *ret_doc);

/* --- what remotes, backup and digest read; all but doc_since and doc_totals visit in the caller's
 * snapshot and stop at the first code that is not KF_OK, which they return. A body is compared with
 * its hash before it is visited. */

/* A version as it stands in the store. Borrowed until the callback returns. */
struct doc_row {
    str name, site, kind;
    str hash; /* 64 hex digits of the body's exact bytes, "" for a deletion */
    str body; /* .p == NULL for a deletion, or when bodies were not asked for */
    uint64_t version;
    int64_t seq, stamp, at_ms;
    size_t size;
    bool deleted;
    bool damaged; /* the body is missing or does not match its hash: name it, never pass it on */
};
typedef kf_rc doc_visit(void *ctx, const struct doc_row *row, struct kf_err *err);

/* Heads (deleted ones too) in the order of names behind `after`, at most `limit`; in the caller's
 * snapshot. *ret_count: rows visited. */
kf_rc doc_heads(struct db *db, str after, size_t limit, bool bodies, doc_visit *visit, void *ctx,
                size_t *ret_count, struct kf_err *err);
/* Heads whose journal number is above `seq`, in the order of numbers, at most `limit`. */
kf_rc doc_changes(struct db *db, int64_t seq, size_t limit, bool bodies, doc_visit *visit,
                  void *ctx, size_t *ret_count, struct kf_err *err);
/* Every kept version of every document up to number `until`, by number behind `after_seq`, with
 * body. */
kf_rc doc_all_versions(struct db *db, int64_t after_seq, int64_t until, size_t limit,
                       doc_visit *visit, void *ctx, size_t *ret_count, struct kf_err *err);
/* The body of any kept version of `name` that has this hash and fits it, appended. KF_ABSENT: there
 * is none, or all are damaged. */
kf_rc doc_body_of(struct db *db, str name, str hash, struct buf *out, struct kf_err *err);
/* When the first change of `name` above number `seq` was made; 0 = none. */
kf_rc doc_since(struct db *db, str name, int64_t seq, int64_t *ret_ms, struct kf_err *err);
/* Calls `fault` for each document whose rows do not agree with each other, perhaps more than once;
 * names and reasons live as long as the call. Bodies are not read. KF_DAMAGED: pages cannot be
 * read. Cost: a pass over all rows. */
typedef kf_rc doc_fault(void *ctx, str name, const char *what, struct kf_err *err);
kf_rc doc_check(struct db *db, doc_fault *fault, void *ctx, struct kf_err *err);
/* Numbers of current documents and of their bytes. */
kf_rc doc_totals(struct db *db, uint64_t *ret_docs, uint64_t *ret_bytes, struct kf_err *err);

/* --- what hydration, merge and restore write */

/* A version from elsewhere. */
struct doc_import {
    str name, body; /* body.p == NULL: a deletion */
    str site;
    int64_t stamp, at_ms;
    uint64_t version;
    /* The document when this store and the other one last agreed: as it came with the last pull
     * that was merged here, or as it was pushed behind that. An older one makes clashes out of what
     * was taken in already. .p == NULL: there was none, or it is not known. What is no acceptable
     * JSON counts as not known. */
    str base;
    /* The number up to which the other one knows what was written here; 0 = of nothing. */
    int64_t told;
    /* The body stands for a value; its bytes are not those that were written (a git host keeps
     * pretty forms). */
    bool inexact;
};
/* As if it had been read here: its bytes copied. Not a deletion. */
kf_rc doc_of_import(const struct doc_import *import, struct kf_doc *ret_doc, struct kf_err *err);
enum doc_merged {
    DOC_SAME,        /* nothing in it is new here: the same write, the same bytes, or with a base
                      * nothing that the later document here does not have */
    DOC_TAKEN,       /* it is the current document now, and nothing here was beaten by it */
    DOC_LOST,        /* the local one is later; the other stays as a version */
    DOC_REPLACED,    /* it is current now; the local one it beat stays as a version */
    DOC_MERGED,      /* a new version has the changes of both, which stay as versions */
    DOC_MERGED_CLASH /* the same, but some members had been changed by both: the later one's */
};
/* Inside a group: the later stamp wins, then site, then content hash; the loser stays as a version.
 * A stamp that the clock does not believe counts for its document and does not move the clock. How
 * versions are numbered: doc_merge.c.
 * With a base, what was written here and not told yet is merged by members with what was changed
 * there (json_merge3), into a new version of this store with a stamp later than both, so that it is
 * pending to every remote; deletions are not merged. An inexact body of equal value counts as the
 * bytes of the current document, and one whose stamp and site are known here is the same write
 * whatever its bytes.
 * KF_INVALID bad_key, bad_json or bad_archive (site, stamp) for what cannot be taken: nothing was
 * changed. */
kf_rc doc_merge(struct group *g, struct docs *docs, const struct doc_import *import,
                enum doc_merged *ret, struct kf_err *err);
/* Writes a version into a store that is being built beside (restore): in a write transaction of
 * `db`, whose schema was applied; row->seq is the caller's. current: it is the head, with a journal
 * row. */
kf_rc doc_load(struct db *db, const struct doc_row *row, bool current, struct kf_err *err);
/* Whether the configuration says that the document is of class `critical`; whether of any. */
bool docs_is_critical(const struct docs *docs, str name);
bool docs_any_critical(const struct docs *docs);
/* Largest document that may be written. */
uint64_t docs_limit(const struct docs *docs);

/* The merged document must be shown by the cache after the commit: forgets `name` there. Called
 * from `publish` for every name that was merged, whatever came out. */
void docs_forget(struct docs *docs, str name);
/* Forgets everything: after a swap of the store's file. */
void docs_forget_all(struct docs *docs);

/* While the store is being filled: names that were taken in are served, all others fail. */
void docs_set_hydrating(struct docs *docs, bool hydrating);

/* In a store that is open: names which the remote of this slot holds and of which nothing could be
 * read there. Who asks for one that is not here is told that it failed, not that it is absent. They
 * replace those of the slot before; copied. */
#define DOC_UNREAD_SLOTS 16
kf_rc docs_set_unread(struct docs *docs, unsigned slot, const str *names, size_t count,
                      struct kf_err *err);
bool docs_has_unread(struct docs *docs, unsigned slot);

/* While a backup reads versions at one moment, no version that it may need is trimmed. Nests. */
void docs_pin(struct docs *docs);
void docs_unpin(struct docs *docs);
bool docs_pinned(const struct docs *docs);

/* Removes versions beyond their count or age and idempotency keys beyond theirs, in slices. Called
 * now and then by the owner of the store; not on the loop's thread. */
kf_rc docs_retain(struct docs *docs, struct kf_err *err);

/* How much of the bodies stays in memory from now on. Any thread. */
void docs_cache_limit(struct docs *docs, uint64_t bytes);
/* Bytes of bodies in memory. */
uint64_t docs_cache_bytes(const struct docs *docs);

#endif
