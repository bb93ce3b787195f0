/* keepfast.h: the public face of libkeepfast.
 *
 * Keepfast keeps an application's state through restarts, redeploys and lost networks. A write is
 * on disk before the call returns, together with the writes of other threads that arrived at the
 * same moment, and flows by itself to remotes.
 *
 *     kf_store *store;
 *     struct kf_err err;
 *     if (kf_open("app.db", NULL, &store, &err) != KF_OK)
 *         ... err.detail says what is wrong and what to do ...
 *     kf_doc_put(store, "settings.json", "{\"theme\":\"dark\"}", 16, NULL, NULL, &err);
 *     kf_close(&store, &err);
 *
 * Rules for every call
 *   Errors    KF_OK, or a code below; `struct kf_err *err` is last and may be NULL. Outputs are
 *             untouched on failure. *found*, *absent* (KF_ABSENT) and *failed* (all else) are three
 *             different answers.
 *   Text      Names are UTF-8, NUL-terminated, 1 to 1,024 bytes, with `/` between segments; no
 *             segment is empty, `.` or `..`. Bodies are bytes with a length.
 *   Units     Times end in _ms: milliseconds, UTC since 1970 for points, else durations. Sizes are
 *             bytes.
 *   Ownership What a call returns in an out-parameter is the caller's; each type names the call
 *             that frees it. What is passed in stays the caller's and may be freed when the call
 *             returns.
 *   Threads   A kf_store may be used from any thread at once. Other objects belong to one thread.
 *   Fork      A store does not survive fork: every call in the child answers KF_MISUSE, kf_open of
 *             the same store too. The parent is not touched by it, nor a program that is executed.
 *   Structs   Option structs begin with their own size, set by their _INIT macro, so that a program
 *             built with an older header goes on working. */
#ifndef KEEPFAST_H
#define KEEPFAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define KF_API __attribute__((visibility("default")))
#else
#define KF_API
#endif

/* ------------------------------------------------------------------------------------- errors */

/* What a caller may branch on. The exact cause is kf_err.code. */
typedef enum kf_rc {
    KF_OK = 0,
    KF_ABSENT,      /* there is nothing of this name: an answer, not a failure */
    KF_CONFLICT,    /* a condition did not hold: the document has changed, the store is not empty */
    KF_INVALID,     /* malformed input: JSON, name, archive, address */
    KF_LIMIT,       /* well-formed, over a limit */
    KF_DENIED,      /* not allowed */
    KF_BUSY,        /* somebody else owns it, or time ran out: try again */
    KF_FULL,        /* disk full or quota */
    KF_READ_ONLY,   /* the store takes no writes until it is reopened */
    KF_IO,          /* the disk failed */
    KF_DAMAGED,     /* bytes do not match their checksum, or the file is corrupt */
    KF_UNAVAILABLE, /* a remote did not confirm; the write stands locally */
    KF_NOT_HYDRATED, /* the store is still being filled from its remotes */
    KF_TOO_NEW,      /* the format is newer than this library */
    KF_CONFIG,       /* configuration or permissions */
    KF_NOMEM,        /* out of memory; the call did nothing */
    KF_MISUSE,       /* the call was used wrongly */
    KF_INTERNAL      /* a defect of Keepfast: please report it */
} kf_rc;

struct kf_err {
    kf_rc rc;
    const char *code; /* stable, for programs: "bad_json"; static storage */
    int http_status;  /* what the server answers, 0 = never over HTTP */
    int exit_code;    /* what the command line exits with */
    bool retryable;   /* the same call may succeed later */
    int64_t offset;   /* byte offset in the body that was refused, -1 = none */
    uint64_t version; /* KF_CONFLICT of a document: its current version, 0 = absent */
    uint64_t entry;   /* KF_DAMAGED of an entry of a stream: its number, 0 = of none */
    char etag[36];    /* KF_CONFLICT of a document: its current ETag, "" = absent */
    char detail[600]; /* for people: cause and next step, one line, no newline */
};
#define KF_ERR_INIT                              \
    {                                            \
        KF_OK, "", 0, 0, false, -1, 0, 0, "", "" \
    }

/* The short name of a code, "KF_BUSY" and so on. Static storage. */
KF_API const char *kf_rc_name(kf_rc rc);

/* The library's version, "0.1.0". Static storage. */
KF_API const char *kf_version(void);

/* -------------------------------------------------------------------------------------- store */

typedef struct kf_store kf_store;

/* How a store is opened. Start from KF_OPTIONS_INIT; a zeroed member means its default. */
struct kf_options {
    size_t size;
    const char *space;     /* the space in the configuration that this store is; "default" */
    const char *config;    /* path of a keepfast.yaml; NULL = KEEPFAST_CONFIG, else the file beside
                              the store, else in the working directory, else none */
    const char *socket;    /* NULL = none; else the Unix socket through which other processes
                              reach this store while it is open (HTTP) */
    bool brief;            /* this process is a single command and ends soon: others wait for it */
    bool no_background;    /* no thread of the library's own: nothing runs by itself, and
                              kf_pump drives submitted writes, timers and remotes */
    bool start_empty;      /* go on without the remotes that do not answer while the store is
                              being filled */
    bool must_exist;       /* KF_ABSENT instead of creating a store */
    bool allow_network_fs; /* open a store on NFS, SMB or FUSE; locks may not hold there */
    uint32_t lock_wait_ms; /* how long to wait for a brief owner; default 5,000 */
    const void *env;       /* NULL; tests give their own clock, disk and randomness */
};
#define KF_OPTIONS_INIT                                         \
    {                                                           \
        sizeof(struct kf_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 \
    }

/* Opens the store at `path` (PATH.db, or postgres://…#SPACE) and creates it when it is not there.
 * One process owns a file at a time; a second open, also in the same process, is KF_BUSY. A schema
 * of PostgreSQL may be open any number of times. An older format is migrated after
 * a backup (path.before-TIME); a newer one is KF_TOO_NEW and untouched. A store that is empty and
 * has remotes is filled from them in the background; until then names not yet taken in answer
 * KF_NOT_HYDRATED. A store that was killed on a full disk opens in KF_STATE_FULL. Frees: kf_close.
 * Cost: a few milliseconds. */
KF_API kf_rc kf_open(const char *path, const struct kf_options *options, kf_store **ret_store,
                     struct kf_err *err);

/* Ends everything and frees the store; *store becomes NULL whatever the result. What was submitted
 * is committed, then remotes with `on_change` that have something pending are run, for at most 10 s
 * together. KF_UNAVAILABLE when something is still pending to one of them: everything is safe on
 * disk, and err names what is left. A ticket not yet waited for is ended and freed.
 * Only a run of a remote that sits in a call of the system (a dead network disk) is waited for
 * without an end; the program keepfast ends without it. A PostgreSQL that hangs is waited for as
 * long as for an answer that may still come, and no more than 10 s in all.
 *
 * Calls of other threads that are at work are waited for; only those that wait for remotes are
 * ended: kf_sync answers KF_BUSY `stopping`, a write with `wait` KF_UNAVAILABLE, and the write
 * stands. A long backup, restore or verification is ended by its kf_progress. A call that begins
 * meanwhile answers KF_BUSY `stopping` and does nothing, and so does kf_wait, whose ticket is gone
 * then. Nothing can answer a call that begins when the store has been freed, and a thread cannot
 * see that moment: one that may be about to call must be stopped before. Not to be called by a
 * callback of the store (kf_done, kf_progress), nor by two threads. */
KF_API kf_rc kf_close(kf_store **store, struct kf_err *err);

/* For a store opened with no_background: runs everything that is due (writes that were submitted,
 * timers, remotes), waiting at most wait_ms for something to become due. Threads: in such a store
 * kf_pump, kf_sync, writes with `wait` and kf_close drive the store themselves: one of them at a
 * time; all other calls from any thread at any time. */
KF_API kf_rc kf_pump(kf_store *store, uint32_t wait_ms, struct kf_err *err);

/* Bytes given out by the library. Zeroed = empty. */
struct kf_bytes {
    void *p; /* a NUL stands behind len */
    size_t len;
};
KF_API void kf_bytes_free(struct kf_bytes *bytes);

/* ---------------------------------------------------------------------------------- documents */

/* What an answer means, weakest first. */
typedef enum kf_level {
    KF_LEVEL_DEFAULT = 0, /* of the store: disk, or shared */
    KF_LEVEL_MEMORY,      /* taken, lost if the process dies before its group is durable */
    KF_LEVEL_DISK,        /* survives kill -9, kernel crash and loss of power */
    KF_LEVEL_SHARED,      /* committed in a shared database (stores on PostgreSQL) */
    KF_LEVEL_REMOTE       /* the named remotes confirmed it */
} kf_level;
KF_API const char *kf_level_name(kf_level level);

/* A document as it was read. Zeroed = none. */
struct kf_doc {
    const void *body; /* exactly the bytes that were put; a NUL stands behind len */
    size_t len;
    uint64_t version; /* 1, 2, 3 ...; 0 = a default, never stored, or of a remote and not known */
    char etag[36];   /* "\"…32 hex digits…\""; "" for a default, or of a remote and not known */
    int64_t at_ms;   /* when it was written */
    bool is_default; /* absent, and the configuration has a default: this is it */
    void *owned;     /* the library's */
};
KF_API void kf_doc_release(struct kf_doc *doc);

/* The current document. KF_ABSENT: there is none (and no default). KF_NOT_HYDRATED: it may be on a
 * remote that has not been taken in yet. KF_DAMAGED, KF_IO: it is there and cannot be read. Cost:
 * no system call while the document is in memory. */
KF_API kf_rc kf_doc_get(kf_store *store, const char *name, struct kf_doc *ret_doc,
                        struct kf_err *err);

/* One kept version. KF_ABSENT also when that version was a deletion or is no longer kept. */
KF_API kf_rc kf_doc_get_version(kf_store *store, const char *name, uint64_t version,
                                struct kf_doc *ret_doc, struct kf_err *err);

/* Conditions and wishes of a write. NULL means all defaults. */
struct kf_write_options {
    size_t size;
    const char *if_match; /* ETag that the current document must have; "*" = any, and also what a
                             failed load or an open hydration would refuse */
    const char *if_none_match;   /* "*": only create */
    bool force;                  /* write even though what is there could not be read */
    kf_level level;              /* KF_LEVEL_MEMORY: answer before the commit */
    const char *idempotency_key; /* a write with this key happens once: the same key and the same
                                    request gets the first result again, another request
                                    KF_CONFLICT. Kept 30 days. 1 to 255 bytes */
    const char *wait;            /* remotes to wait for: "host", "host,usb" or "all" */
    bool ride;                   /* with wait: do not run them now, wait for their next run */
    uint32_t timeout_ms;         /* of wait; default 10,000 */
};
#define KF_WRITE_OPTIONS_INIT                                   \
    {                                                           \
        sizeof(struct kf_write_options), 0, 0, 0, 0, 0, 0, 0, 0 \
    }

/* What a write did. */
struct kf_written {
    uint64_t version;
    char etag[36];
    bool created;   /* there was no document of this name before */
    bool unchanged; /* the bytes were the same: nothing was written */
    bool replayed;  /* the first result of this idempotency key */
    kf_level level; /* what has been reached */
};

/* Writes a document: one JSON value, UTF-8, kept byte for byte. Identical bytes change nothing.
 * KF_INVALID bad_json, with err->offset; KF_LIMIT over 64 levels, 100,000 tokens or the size limit;
 * KF_INVALID schema; KF_CONFLICT version_mismatch with the current ETag, or load_failed. ret may be
 * NULL. */
KF_API kf_rc kf_doc_put(kf_store *store, const char *name, const void *body, size_t len,
                        const struct kf_write_options *options, struct kf_written *ret,
                        struct kf_err *err);

/* Applies a JSON Merge Patch (RFC 7396); members it does not touch keep their bytes. KF_ABSENT when
 * there is no document. */
KF_API kf_rc kf_doc_patch(kf_store *store, const char *name, const void *patch, size_t len,
                          const struct kf_write_options *options, struct kf_written *ret,
                          struct kf_err *err);

/* Deletes a document; the deletion takes a version of its own and older versions stay readable.
 * KF_ABSENT when there is none. */
KF_API kf_rc kf_doc_delete(kf_store *store, const char *name,
                           const struct kf_write_options *options, struct kf_written *ret,
                           struct kf_err *err);

/* Writes the bytes of a kept version again, as a new version. Also brings back a deleted document.
 */
KF_API kf_rc kf_doc_revert(kf_store *store, const char *name, uint64_t version,
                           const struct kf_write_options *options, struct kf_written *ret,
                           struct kf_err *err);

/* One line of a list of documents or versions. */
struct kf_doc_info {
    const char *name;
    uint64_t version;
    char etag[36];
    size_t size; /* of the body; 0 for a deletion */
    int64_t at_ms;
    bool deleted;     /* versions only: this version is a deletion */
    bool current;     /* versions only */
    const char *kind; /* versions only: "put", "patch", "delete", "revert", "merge" or "loser" */
};
struct kf_doc_list {
    struct kf_doc_info *items;
    size_t count;
    bool more; /* there are further ones: go on after the last name (version) */
    void *owned;
};
KF_API void kf_doc_list_free(struct kf_doc_list *list);

/* Documents whose name begins with `prefix` ("" = all), sorted by bytes, behind the name `after`
 * (NULL = from the start), at most `limit` (1 to 1,000). KF_NOT_HYDRATED while the store is being
 * filled: the list would have holes. */
KF_API kf_rc kf_doc_list(kf_store *store, const char *prefix, const char *after, size_t limit,
                         struct kf_doc_list *ret_list, struct kf_err *err);

/* Kept versions of a document, newest first, below version `before` (0 = from the newest).
 * KF_ABSENT when the name was never written. */
KF_API kf_rc kf_doc_versions(kf_store *store, const char *name, uint64_t before, size_t limit,
                             struct kf_doc_list *ret_list, struct kf_err *err);

/* The JSON Patch (RFC 6902) that makes version `to` of version `from`; 0 and 0: the last two.
 * KF_ABSENT when either is not kept or a deletion. */
KF_API kf_rc kf_doc_diff(kf_store *store, const char *name, uint64_t from, uint64_t to,
                         struct kf_bytes *ret_patch, struct kf_err *err);

/* --------------------------------------------------------------------------- submit and wait */

typedef enum kf_verb { KF_PUT = 1, KF_PATCH, KF_DELETE, KF_REVERT } kf_verb;

/* A write to be submitted; the bytes are copied. */
struct kf_write {
    size_t size;
    kf_verb verb;
    const char *name;
    const void *body; /* PUT, PATCH */
    size_t len;
    uint64_t version; /* REVERT */
    struct kf_write_options options;
};
#define KF_WRITE_INIT                                                 \
    {                                                                 \
        sizeof(struct kf_write), 0, 0, 0, 0, 0, KF_WRITE_OPTIONS_INIT \
    }

typedef struct kf_ticket kf_ticket;

/* Called once when the write has been committed or has failed, on the thread that committed it. It
 * may submit further writes; it must not wait, nor call kf_close. */
typedef void kf_done(void *ctx, kf_rc rc, const struct kf_written *written,
                     const struct kf_err *err);

/* Hands a write to the store and returns at once. Writes of one thread are applied in their order.
 * With `done` it is called and ret_ticket must be NULL; without it kf_wait must be called once for
 * the ticket. `options.wait` is not taken here: KF_MISUSE. KF_BUSY when 65,536 writes are waiting
 * already. */
KF_API kf_rc kf_submit(kf_store *store, const struct kf_write *write, kf_done *done, void *ctx,
                       kf_ticket **ret_ticket, struct kf_err *err);

/* Waits for a ticket and frees it (*ticket becomes NULL). KF_BUSY after timeout_ms without a
 * result: the ticket lives on and the write may still happen. KF_BUSY `stopping` when kf_close has
 * begun: the ticket is gone. */
KF_API kf_rc kf_wait(kf_ticket **ticket, uint32_t timeout_ms, struct kf_written *ret,
                     struct kf_err *err);

/* ------------------------------------------------------------------------------------ streams
 *
 * A stream is an append-only sequence of entries under a key, which is named like a document:
 * "chat/abc123". Entries are numbered 1, 2, 3 ... in the order in which they were appended; numbers
 * only grow and are never given twice. A stream comes into being with its first entry, or the first
 * attributes, and ends when it is erased. `streams:` of the configuration says how many of the last
 * entries stay in memory (the window), which kinds there are and how long entries are kept. */

/* An entry to be appended; a zeroed member means its default. In an array of them every element has
 * the same size. */
struct kf_entry_new {
    size_t size;
    const char *id;   /* the caller's, 1 to 255 bytes of UTF-8: the entry happens once in its
                           stream, however often it is sent. NULL = none */
    const char *kind; /* NULL or "" = none, else 1 to 64 of a-z, 0-9, _, . and - */
    int64_t at_ms;    /* 0 = now */
    const void *body; /* one JSON value, kept byte for byte, at most limits.entry */
    size_t len;
    const void *attach; /* NULL, or one JSON value, at most limits.entry: what many entries have
                           in common is stored once */
    size_t attach_len;
};
#define KF_ENTRY_NEW_INIT                                \
    {                                                    \
        sizeof(struct kf_entry_new), 0, 0, 0, 0, 0, 0, 0 \
    }

/* Wishes of an append, and of a change of attributes. NULL means all defaults. */
struct kf_append_options {
    size_t size;
    kf_level level;   /* KF_LEVEL_MEMORY: answer before the commit */
    const char *wait; /* as in kf_write_options, with the next two */
    bool ride;
    uint32_t timeout_ms;
};
#define KF_APPEND_OPTIONS_INIT                       \
    {                                                \
        sizeof(struct kf_append_options), 0, 0, 0, 0 \
    }

/* What became of one entry. */
struct kf_appended {
    uint64_t n;
    bool duplicate; /* it had been appended before: n is what it got then */
};

/* Appends 1 to 10,000 entries, all or nothing. The same id with the same payload (kind, body,
 * attach, and time where one is given) again gives the first number and `duplicate`; with another
 * payload KF_CONFLICT id_reused. Ids are kept for 30 days, and the last
 * million of each stream whatever their age, also when their entries are no longer kept.
 * ret: `count` of them, may be NULL. *ret_count (may be NULL): entries the stream has then.
 * KF_INVALID bad_json with err->offset in that body, bad_request (an id), kind_not_allowed;
 * KF_LIMIT. Taken also while the store is being filled. */
KF_API kf_rc kf_append(kf_store *store, const char *key, const struct kf_entry_new *entries,
                       size_t count, const struct kf_append_options *options,
                       struct kf_appended *ret, uint64_t *ret_count, kf_level *ret_level,
                       struct kf_err *err);

/* Called once when the entries are durable or have failed, as kf_done. `appended`: `count` of them,
 * NULL when it failed. */
typedef void kf_appended_done(void *ctx, kf_rc rc, const struct kf_appended *appended, size_t count,
                              uint64_t stream_count, const struct kf_err *err);
/* Hands entries to the store and returns at once; they are copied. Those of one thread are appended
 * in their order, also among what kf_submit was given. What is refused at once is told by the
 * result alone. KF_BUSY when 65,536 writes are waiting already. */
KF_API kf_rc kf_append_submit(kf_store *store, const char *key, const struct kf_entry_new *entries,
                              size_t count, kf_level level, kf_appended_done *done, void *ctx,
                              struct kf_err *err);

/* An entry as it was read. Texts and bytes live as long as their list; a NUL stands behind each. */
struct kf_entry {
    uint64_t n;
    const char *stream;      /* its key */
    const char *id;          /* "" = none */
    const char *kind;        /* "" = none */
    size_t id_len, kind_len; /* in bytes, without the NUL */
    int64_t at_ms;
    const void *body; /* exactly the bytes that were appended */
    size_t len;
    const void *attach; /* NULL = none */
    size_t attach_len;
};
struct kf_entry_list {
    struct kf_entry *items; /* n ascends; across streams, the order in which they were appended */
    size_t count;
    bool more; /* there are further ones: behind the last item, or with `last` and `before` before
                  the first */
    uint64_t born; /* as in kf_stream_info; 0 = of several streams */
    void *owned;
};
KF_API void kf_entry_list_free(struct kf_entry_list *list);

/* Which entries. At most one of last, after and before; with none of them, from the first. The
 * others narrow it down. */
struct kf_entry_query {
    size_t size;
    uint64_t last;             /* so many of the newest, 1 to 1,000; then limit is not looked at */
    uint64_t after;            /* n > after: page forwards from the last one seen */
    uint64_t before;           /* n < before, the newest of those: page backwards */
    int64_t from_ms, until_ms; /* from_ms <= at_ms < until_ms; 0 = not bounded */
    const char *kind;          /* NULL = any */
    size_t limit;              /* 1 to 1,000; 0 = 100 */
};
#define KF_ENTRY_QUERY_INIT                                \
    {                                                      \
        sizeof(struct kf_entry_query), 0, 0, 0, 0, 0, 0, 0 \
    }
/* query: NULL = as INIT. A list also ends, with `more`, before its bodies are larger than 16 MiB
 * together; it always has one entry if there is any. KF_ABSENT: there is no such stream.
 * KF_NOT_HYDRATED while the store is being filled. KF_DAMAGED: an entry of them cannot be read, and
 * err->entry says which: go on behind it (after), or before it.
 * Cost: no system call while what is asked for is in the window. */
KF_API kf_rc kf_entries(kf_store *store, const char *key, const struct kf_entry_query *query,
                        struct kf_entry_list *ret_list, struct kf_err *err);

struct kf_context_options {
    size_t size;
    size_t entries;     /* at most so many, 1 to 1,000; 0 = 20 */
    size_t bytes;       /* of bodies and attachments together; 0 = 16 MiB, which is also the most */
    const char *across; /* an attribute: entries of all streams that have the value of it which this
                           one has; NULL = of this stream alone */
};
#define KF_CONTEXT_OPTIONS_INIT                    \
    {                                              \
        sizeof(struct kf_context_options), 0, 0, 0 \
    }
/* The newest entries, as many as fit whole without a gap, oldest first: what a language model is
 * given. Across streams in the order in which they were appended to the store; of more than 1,000
 * streams, those with the latest entries. `more`: there are earlier ones. KF_ABSENT: there is no
 * such stream; KF_INVALID bad_filter: it has no such attribute. */
KF_API kf_rc kf_context(kf_store *store, const char *key, const struct kf_context_options *options,
                        struct kf_entry_list *ret_list, struct kf_err *err);

struct kf_stream_kind {
    const char *kind; /* "" = entries without one */
    uint64_t count;
};
/* Statistics are of the entries that the stream has, and kept in the transaction that changes
 * them. */
struct kf_stream_info {
    const char *key;
    uint64_t count;                  /* of entries */
    uint64_t last_n;                 /* number of the newest; 0 = there never was one */
    uint64_t bytes;                  /* of their bodies */
    int64_t first_at_ms, last_at_ms; /* the earliest and the latest time of one; 0 = none */
    uint64_t born; /* which life of the key this is, never 0: another one when it was erased and has
                      come into being again, or when the store has it from a remote or a backup
                      since */
    const struct kf_stream_kind *kinds; /* by kind */
    size_t kind_count;
    const void *attrs; /* attributes: a JSON object; a NUL stands behind it */
    size_t attrs_len;
    const void *rings; /* the last entries of some kinds: a JSON object of arrays of
                          {"n", "at" (RFC 3339), "body"}, oldest first. {} in a list */
    size_t rings_len;
    void *owned; /* the library's; NULL in a list */
};
KF_API void kf_stream_info_free(struct kf_stream_info *info);

/* KF_ABSENT: there is no such stream. Cost: no system call while it is in memory. */
KF_API kf_rc kf_stream(kf_store *store, const char *key, struct kf_stream_info *ret,
                       struct kf_err *err);

struct kf_stream_filter {
    const char *name, *value; /* an attribute and the text of its value: of a string without quotes,
                                 of a number as it was written, "true" or "false" */
};
struct kf_stream_list {
    struct kf_stream_info *items;
    size_t count;
    bool more; /* there are further ones: go on after the last key. Also when they would be more
                  than 16 MiB */
    void *owned;
};
KF_API void kf_stream_list_free(struct kf_stream_list *list);
/* Streams whose key begins with `prefix` ("" = all) and whose attributes fit all filters (at most
 * 8), sorted by bytes of their keys, behind the key `after` (NULL = from the start), at most
 * `limit` (1 to 1,000). Only attributes of the top level are found whose value is a string of at
 * most 255 bytes, a number, true or false. */
KF_API kf_rc kf_stream_list(kf_store *store, const char *prefix, const char *after, size_t limit,
                            const struct kf_stream_filter *filters, size_t filter_count,
                            struct kf_stream_list *ret_list, struct kf_err *err);

/* Applies a JSON Merge Patch (RFC 7396), an object, to the attributes; null removes one. A stream
 * that is not there comes into being. Attributes have at most 64 KiB. ret (may be NULL): the stream
 * afterwards; frees: kf_stream_info_free. */
KF_API kf_rc kf_stream_patch(kf_store *store, const char *key, const void *patch, size_t len,
                             const struct kf_append_options *options, struct kf_stream_info *ret,
                             struct kf_err *err);

/* What an erasure did. It is kept, without what would say whose it was. */
struct kf_receipt {
    uint64_t id;
    int64_t at_ms;
    uint64_t streams, entries, attachments, bytes;
    bool again;           /* it had been erased before: the receipt of then */
    struct kf_bytes json; /* the same for programs, and `held`: where some of it may still be, such
                             as remotes that have not confirmed, histories, backups, and files and
                             schemas that were set aside */
};
KF_API void kf_receipt_free(struct kf_receipt *receipt);
/* Removes a stream with entries, ids, attributes, statistics and what of attachments nothing else
 * names, and overwrites what it had; the store's files are rid of it a second later, when no reader
 * is in the way. The key is free again; what was appended before does not come back from elsewhere.
 * At once nobody sees it any more; the call returns when it is gone. Asked for again: the receipt.
 * KF_ABSENT: there is no such stream and never was. KF_DAMAGED: nobody sees it any more, but bytes
 * of it that are damaged could not be removed yet. ret may be NULL. */
KF_API kf_rc kf_stream_erase(kf_store *store, const char *key, struct kf_receipt *ret,
                             struct kf_err *err);
/* The same for every stream whose attribute has this value (see kf_stream_filter): one person.
 * KF_DAMAGED also when a stream is damaged beyond that, which err names; all others are erased. */
KF_API kf_rc kf_erase(kf_store *store, const char *attribute, const char *value,
                      struct kf_receipt *ret, struct kf_err *err);

/* Receipts, newest first, with an id below `before` (0 = from the newest), at most `limit` (1 to
 * 1,000). */
struct kf_receipt_list {
    struct kf_receipt *items;
    size_t count;
    bool more;
    void *owned;
};
KF_API void kf_receipt_list_free(struct kf_receipt_list *list);
KF_API kf_rc kf_receipts(kf_store *store, uint64_t before, size_t limit,
                         struct kf_receipt_list *ret_list, struct kf_err *err);

/* Where in a snippet something stands: its first byte, and the one behind its last. */
struct kf_mark {
    size_t from, to;
};
/* An entry that was found. */
struct kf_found {
    const char *stream;
    uint64_t n;
    const char *kind; /* "" = none */
    int64_t at_ms;
    const char *snippet; /* at most 200 bytes of what the body says, around the first word found */
    bool cut_before, cut_after;  /* there is more text there */
    const struct kf_mark *marks; /* the words that were looked for, ascending */
    size_t mark_count;
    uint32_t rank;     /* how often they occur, each word counted up to 10 times */
    uint64_t place[3]; /* with rank all that `after` needs; not for anybody else */
};
struct kf_found_list {
    struct kf_found *items;
    size_t count;
    bool more; /* there are further ones: go on after the last item */
    void *owned;
};
KF_API void kf_found_list_free(struct kf_found_list *list);
/* Entries whose strings (of the body; not names of members, not numbers) have all that `query` asks
 * for: words, "a phrase", a beginning*. Letters are compared without case and marks, so that lodz
 * finds what others write with marks. Of streams whose key begins with `prefix` ("" = all), the
 * best first (larger rank), then the newest; behind `after` (NULL = from the best), at most `limit`
 * (1 to 1,000). Of more than 1,000 hits the newest 1,000 come first in this order, then the next
 * 1,000: a common word costs no more. KF_INVALID bad_filter, with err->offset in the query: nothing
 * to look for, a phrase without end, a star that stands alone, over 1,024 bytes. KF_NOT_HYDRATED
 * while the store is being filled. */
KF_API kf_rc kf_search(kf_store *store, const char *query, const char *prefix,
                       const struct kf_found *after, size_t limit, struct kf_found_list *ret_list,
                       struct kf_err *err);

/* ----------------------------------------------------------------------------- tracked tables
 *
 * Tables of your own in the database of a store on PostgreSQL, written by whatever client: what is
 * committed there is taken into the store's journal, with numbers that only grow, so that a reader
 * who has seen all up to N reads on behind N and misses nothing, however late something commits. A
 * row that changed several times has one number, the last, and is read as it is now. In a store in
 * a file these calls are KF_INVALID not_implemented, but for kf_tracked, which lists nothing.
 * docs/postgresql.md. */

/* Takes the changes of a table from now on; the rows that it has get their numbers before this
 * answers. `table`: as in SQL, SCHEMA.TABLE or TABLE (of the schema public), with quotes where SQL
 * wants them, at most 200 bytes. *ret_new (may be NULL): it was not tracked before. KF_ABSENT;
 * KF_INVALID bad_request: it has no primary key, or is a view, partitioned, temporary, unlogged or
 * our own; KF_CONFIG: our role may not; KF_BUSY: somebody has held the table for 10 s; KF_LIMIT:
 * 1,000 are tracked. */
KF_API kf_rc kf_track(kf_store *store, const char *table, bool *ret_new, struct kf_err *err);
/* Takes them no more: the triggers go, and the numbers of its rows. The table stays as it is.
 * KF_ABSENT: it is not tracked. KF_CONFLICT not_empty: the configuration of a server names it.
 * KF_BUSY as above. */
KF_API kf_rc kf_untrack(kf_store *store, const char *table, struct kf_err *err);

struct kf_tracked_table {
    const char *table;  /* SCHEMA.TABLE, quoted where SQL wants it */
    const char *state;  /* "on"; "fill", "refill", "sweep": its rows are being numbered, and what is
                          told goes on; "missing", "off", "unfit": nothing is told of it */
    const char *detail; /* what the state means, and what to do; "" = on */
    int64_t since_ms, changed_ms; /* tracked since; in this state since */
    uint64_t changes;             /* so many had a number until now */
    bool of_config;               /* the configuration of a server names it */
};
/* A transaction that is open and has changed tracked tables: those changes come when it commits. */
struct kf_change_holder {
    int64_t pid;        /* 0 = it is prepared, and its name is `who` */
    const char *who;    /* its role */
    const char *client; /* the program's name, or its address; "" = not known */
    const char *state;  /* "idle in transaction", "prepared", as PostgreSQL says it */
    int64_t since_ms;   /* 0 = not shown to our role: grant it pg_read_all_stats */
};
struct kf_tracked_list {
    struct kf_tracked_table *items; /* by name */
    size_t count;
    struct kf_change_holder *holders; /* the oldest first, at most 100 */
    size_t holder_count;
    uint64_t waiting;   /* changes that are committed and have no number yet, up to a million */
    int64_t waiting_ms; /* when the first of them was made; 0 = none */
    void *owned;
};
KF_API void kf_tracked_list_free(struct kf_tracked_list *list);
KF_API kf_rc kf_tracked(kf_store *store, struct kf_tracked_list *ret_list, struct kf_err *err);

/* Texts and bytes live as long as their list; a NUL stands behind each. */
struct kf_change {
    uint64_t n;
    const char *table;
    const char *key; /* JSON object: the columns of the primary key */
    size_t key_len;
    const char *row; /* JSON object: all columns, now; NULL = the row is gone */
    size_t row_len;
    int64_t at_ms; /* when it had its number */
};
struct kf_change_list {
    struct kf_change *items; /* n ascends */
    size_t count;
    uint64_t last; /* what to ask `after` next, also where there is nothing: it may be larger than
                      the number of the last item */
    bool more;     /* there are further ones behind it already */
    void *owned;
};
KF_API void kf_change_list_free(struct kf_change_list *list);

struct kf_change_query {
    size_t size;
    const char *table; /* of this one alone; NULL = of all */
    uint64_t after;    /* n > after; 0 = from the first */
    size_t limit;      /* 1 to 1,000; 0 = 100 */
};
#define KF_CHANGE_QUERY_INIT                    \
    {                                           \
        sizeof(struct kf_change_query), 0, 0, 0 \
    }
/* What has changed. Numbers first what was committed before the call, for at most 5 s. A row that
 * is gone is told of for 30 days. query: NULL = as INIT. A list also ends, with `more`, before its
 * rows are larger than 16 MiB together. KF_ABSENT: the table is not tracked. KF_INVALID bad_filter:
 * `after` is larger than any number, so it is of another store: begin anew with 0. */
KF_API kf_rc kf_changes(kf_store *store, const struct kf_change_query *query,
                        struct kf_change_list *ret_list, struct kf_err *err);

/* ------------------------------------------------------------------------------------ remotes */

/* What is not yet safe at a remote. */
struct kf_pending {
    uint64_t count;
    uint64_t bytes;
    int64_t oldest_ms; /* when the first change not yet confirmed was made; 0 = nothing pending */
};

typedef enum kf_remote_state {
    KF_REMOTE_IDLE = 1, /* nothing to do, or waiting for its schedule */
    KF_REMOTE_RUNNING,
    KF_REMOTE_RETRYING,    /* the last run failed; it will be tried again by itself */
    KF_REMOTE_DIVERGED,    /* needs a decision: nothing is pushed or dropped */
    KF_REMOTE_ROLLED_BACK, /* the remote shows an older state than it had */
    KF_REMOTE_AUTH         /* it does not let us in; tried again every five minutes */
} kf_remote_state;

struct kf_remote_info {
    const char *name;
    const char *url;      /* without secrets */
    const char *kind;     /* "dir" */
    const char *source;   /* "config" or "store" (kf_remote_add) */
    const char *schedule; /* as in the configuration: "on_change: 10s" */
    kf_remote_state state;
    bool hydrated; /* it has been taken in (or the store never needed it) */
    struct kf_pending pending;
    uint64_t confirmed_seq; /* its watermark */
    int64_t confirmed_ms;   /* when it last confirmed something; 0 = never */
    int64_t last_run_ms;    /* end of the last run; 0 = never */
    int64_t next_run_ms;    /* 0 = nothing planned */
    int64_t overdue_ms;     /* since when a run is late; 0 = it is not */
    uint32_t failures;      /* in a row */
    /* Code of the last failure and its sentence, with the next step; of what is withheld from a
     * remote whose last run was good (secret_found, public_remote, remote_refused, damaged); else
     * "". */
    const char *last_code, *last_error;
    /* What it names beside its address, "" = not said; names of variables and files, never what
     * they hold. Only remotes of kind git have them. */
    const char *branch, *token_env, *token_file, *ssh_key_file, *known_hosts_file, *ca_file;
    bool insecure, public_ok;
    uint64_t set_aside; /* what is left alone there while the rest goes on; kf_aside */
    /* Of any kind: where the key is with which everything is encrypted that is sent there. */
    const char *key_file, *key_env, *old_key_file, *old_key_env;
    bool encrypted;
    const char *key_id; /* 8 hex digits of that key; "" = none, or it cannot be read */
    bool allow_secrets; /* of any kind: documents with secrets go there, too */
    const char *docs;   /* globs, comma-separated: these alone go there; "" = all documents */
};
struct kf_remote_list {
    struct kf_remote_info *items;
    size_t count;
    void *owned;
};
KF_API void kf_remote_list_free(struct kf_remote_list *list);
KF_API kf_rc kf_remotes(kf_store *store, struct kf_remote_list *ret_list, struct kf_err *err);

/* A remote to be kept in the store itself. Times of 0 mean: not set; all of them 0 and not manual:
 * on_change 10 s. */
struct kf_remote_options {
    size_t size;
    const char *name; /* [a-z0-9][a-z0-9_-]{0,59} */
    const char *url;  /* "dir:/mnt/usb" */
    const char *docs; /* globs, comma-separated; NULL = all documents */
    uint64_t every_ms, on_change_ms;
    uint32_t after;
    bool manual;
    /* The rest is for remotes of kind git; NULL = not said. A secret is never given here, only the
     * name of the variable or file that holds it. Files are whole paths. */
    const char *branch;
    const char *token_env;        /* variable of the process that owns the store */
    const char *token_file;       /* readable by its owner alone, as the next */
    const char *ssh_key_file;     /* NULL = the keys of the user that runs this */
    const char *known_hosts_file; /* hosts that ssh believes; NULL = that user's */
    const char *ca_file;          /* authorities that https believes; NULL = the system's */
    bool insecure;                /* http to another machine, where the way there is one's own */
    bool public_ok;               /* critical documents go there also when everybody reads */
    /* For any kind: a file, readable by its owner alone, or a variable that holds the key with
     * which everything is encrypted that is sent there; and the one that it replaces, until a run
     * was confirmed under the new one. docs/encryption.md says what is hidden and what is not. */
    const char *key_file, *key_env, *old_key_file, *old_key_env;
    /* For any kind: documents that hold what is plainly a secret go there, too. */
    bool allow_secrets;
};
#define KF_REMOTE_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(struct kf_remote_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
            0                                                                                      \
    }
KF_API kf_rc kf_remote_add(kf_store *store, const struct kf_remote_options *options,
                           struct kf_err *err);
/* What a place holds that is to become a remote. */
struct kf_remote_found {
    bool there;    /* something that this kind can use; else the first push makes it */
    uint64_t docs; /* documents there */
    uint64_t bad;  /* and those of which nothing can be read */
    /* Whether it was found out who can read it; everybody can: documents of class critical do not
     * go there, unless it is encrypted or public_ok. */
    bool readers_known, is_public;
};
/* Tries what a remote with these options would need: reads what is there, all of it, then writes
 * something small and removes it. Nothing of it is kept in the store. KF_CONFIG when the place
 * holds something else than documents, or what the options name is not there; KF_UNAVAILABLE when
 * the place cannot be used as it is; both say what to do. KF_CONFLICT for a name that is taken. */
KF_API kf_rc kf_remote_try(kf_store *store, const struct kf_remote_options *options,
                           struct kf_remote_found *ret_found, struct kf_err *err);
/* Forgets a remote and its watermark; what it holds stays there. KF_CONFLICT for one of the
 * configuration. */
KF_API kf_rc kf_remote_remove(kf_store *store, const char *name, struct kf_err *err);
/* Writes, reads back and deletes a small object at the remote. */
KF_API kf_rc kf_remote_probe(kf_store *store, const char *name, struct kf_err *err);

/* Runs remotes now ("host", "host,usb", "all"), also when nothing is pending, and waits until each
 * has taken in what others changed there and confirmed everything that was written before the call,
 * at most timeout_ms (0 = 10,000). A run that is on may have looked there before the call, so that
 * another one follows it; callers that wait for the same one share it.
 * KF_UNAVAILABLE names those that did not, or what is withheld from one (see kf_aside); KF_CONFLICT
 * diverged, KF_DAMAGED rolled_back or damaged: it needs a decision. */
KF_API kf_rc kf_sync(kf_store *store, const char *remotes, uint32_t timeout_ms, struct kf_err *err);

/* Names that are pending to a remote, sorted by bytes, behind `after`. All that is pending of a
 * stream is one item, "keepfast-streams/KEY". */
struct kf_pending_item {
    const char *name;
    uint64_t size;    /* bytes of the current body; of what is pending of a stream */
    int64_t since_ms; /* first change not yet confirmed */
    bool deleted;
    uint64_t version; /* of a stream: the number of its newest entry that is pending, 0 = none */
};
struct kf_pending_list {
    struct kf_pending_item *items;
    size_t count;
    bool more;
    void *owned;
};
KF_API void kf_pending_list_free(struct kf_pending_list *list);
KF_API kf_rc kf_pending(kf_store *store, const char *remote, const char *after, size_t limit,
                        struct kf_pending_list *ret_list, struct kf_err *err);

/* The log of runs, newest first: those of a remote, or of all (NULL), whose id is below `before`
 * (0 = from the newest). A run that found nothing to do is not in it; one that failed as the one
 * before it, having done nothing, is counted in the same item. At most 1,000 items of each remote
 * and 90 days are kept. */
struct kf_run {
    uint64_t id;
    const char *remote;
    int64_t began_ms, ended_ms; /* began: the first, ended: the last of `times` */
    const char *cause;          /* "change", "schedule", "asked" or "hydration" */
    const char *code;           /* of what went wrong, "" = nothing */
    const char *message;        /* its sentence, with the next step */
    uint64_t times;             /* how many runs this is: 1, or failures in a row */
    uint64_t tries;             /* pulls and pushes in the last: more than 1 = others pushed too */
    /* Written there: what the place held does not count. Documents, entries of streams, and the
     * files of both, which are also removed, or written again without a new entry. */
    uint64_t pushed_docs, pushed_entries, pushed_files, pushed_bytes;
    uint64_t taken_docs, taken_entries, taken_bytes; /* current here since */
    uint64_t lost;  /* versions, of either side, that gave way to a later one and are kept */
    uint64_t bad;   /* documents there of which nothing could be read */
    uint64_t aside; /* what was set aside when it had ended; kf_aside lists it */
};
struct kf_run_list {
    struct kf_run *items;
    size_t count;
    bool more;
    void *owned;
};
KF_API void kf_run_list_free(struct kf_run_list *list);
KF_API kf_rc kf_runs(kf_store *store, const char *remote, uint64_t before, size_t limit,
                     struct kf_run_list *ret_list, struct kf_err *err);

/* What is set aside: left alone while the rest goes on, with the reason. Kinds:
 *   "damaged"    a document whose stored bytes are damaged, so it is not sent
 *   "withheld"   a document that is not sent, for it holds a secret (secret_found), everybody can
 *                read the remote (public_remote), or the remote refuses it (remote_refused)
 *   "held_back"  a document that is not sent, for it would replace a later one there that cannot be
 *                read
 *   "refused"    a document there that cannot be taken in
 *   "at_place"   something there that is no document; `name` is its path
 * The first two are pending all the same: they count as not confirmed.
 * At most 1,000 items of a remote are kept; kf_remote_info.set_aside counts those beyond, too. */
struct kf_aside_item {
    const char *remote, *kind, *name;
    int64_t since_ms;
    const char *code;   /* "damaged", "bad_object" and so on */
    const char *reason; /* its sentence */
};
struct kf_aside_list {
    struct kf_aside_item *items;
    size_t count;
    bool more;
    void *owned;
};
KF_API void kf_aside_list_free(struct kf_aside_list *list);
/* Of a remote, or of all (NULL), of this name alone, or all (NULL): sorted by remote, kind and
 * name, behind `after` (NULL = from the first). */
KF_API kf_rc kf_aside(kf_store *store, const char *remote, const char *name,
                      const struct kf_aside_item *after, size_t limit,
                      struct kf_aside_list *ret_list, struct kf_err *err);
/* Runs the remote as kf_sync does, asks it again for everything it holds and offers it again what
 * it was not sent: what is right by now is set aside no more. */
KF_API kf_rc kf_aside_retry(kf_store *store, const char *remote, uint32_t timeout_ms,
                            struct kf_err *err);
/* Forgets what is set aside under this name, or everything (NULL), until it is met again. A
 * document that was not sent is then not pending any more, and not sent until it changes. KF_ABSENT
 * when there is none of the name. */
KF_API kf_rc kf_aside_drop(kf_store *store, const char *remote, const char *name,
                           struct kf_err *err);

/* What a remote still has of the past of a document, whether that is here or not: of a git host the
 * whole history of its branch, of which a store that was filled from it has the newest state alone;
 * of other kinds the current version and what it has replaced within the last hour. */
struct kf_remote_version {
    const char *id;     /* by which the remote knows it, hex digits: of git its commit */
    int64_t at_ms;      /* when it was written, or, where only that is known, replaced there */
    const char *author; /* of the commit; "" = not known. Anybody may call himself anything */
    const char *site;   /* of the store that wrote it, 16 hex digits; of an edit by hand the first
                           of its commit; "" = not known */
    uint64_t version;   /* its number where it was written; 0 = not known */
    char etag[36];      /* "" = not known, or a deletion */
    size_t size;        /* of the document as it was written; of an edit by hand, of the file */
    bool deleted;       /* it is that the document went */
    bool by_hand;       /* not written by a store */
    bool current;       /* the remote's present state of the document */
    const char *code;   /* why it cannot be read, "" = it can */
    const char *reason; /* its sentence */
};
struct kf_remote_version_list {
    struct kf_remote_version *items;
    size_t count;
    bool more; /* there are further ones: go on after the last id */
    void *owned;
};
KF_API void kf_remote_version_list_free(struct kf_remote_version_list *list);
/* Newest first, behind the version `after` (NULL = from the newest), at most `limit` (1 to 1,000).
 * Fetches from the host what it takes, in a few steps, of which those that are done stay when one
 * is cut: at most timeout_ms (0 = 60,000; at most 10 minutes). When that is over it answers with
 * what was found so far and `more`, or, with nothing, KF_BUSY timeout. One call at a time reads the
 * past of a remote; KF_BUSY busy when another one does for long. KF_ABSENT: the remote has none.
 * KF_INVALID not_implemented: a kind that keeps no past. */
KF_API kf_rc kf_remote_versions(kf_store *store, const char *remote, const char *name,
                                const char *after, size_t limit, uint32_t timeout_ms,
                                struct kf_remote_version_list *ret_list, struct kf_err *err);
/* One of them. id: all of its digits, or the first of them, at least 8, where no other begins so.
 * Verified against the hash that was written with it; from git comes the value, not the bytes that
 * were put. KF_ABSENT: there is no such version, or it was a deletion; KF_UNAVAILABLE bad_object:
 * it is damaged. */
KF_API kf_rc kf_remote_version(kf_store *store, const char *remote, const char *name,
                               const char *id, uint32_t timeout_ms, struct kf_doc *ret_doc,
                               struct kf_err *err);
/* Writes one of them as a new version here, as kf_doc_put would. Also brings back a document that
 * was deleted, or never was here. */
KF_API kf_rc kf_remote_revert(kf_store *store, const char *remote, const char *name, const char *id,
                              const struct kf_write_options *options, struct kf_written *ret,
                              struct kf_err *err);

/* ------------------------------------------------------------------------------------- status */

typedef enum kf_state {
    KF_STATE_OPEN = 1,  /* reads and writes */
    KF_STATE_HYDRATING, /* being filled from its remotes */
    KF_STATE_FULL,      /* the disk is full: reads only, heals by itself */
    KF_STATE_READ_ONLY, /* a sync or write failed: reads only until reopened. On PostgreSQL: the
                           server takes no writes, which heals by itself */
    KF_STATE_AWAY       /* its PostgreSQL cannot be reached: nothing goes, heals by itself */
} kf_state;
KF_API const char *kf_state_name(kf_state state);

/* The newest good backup of the schedule (`backup:` in the configuration). */
struct kf_backup_made {
    int64_t at_ms;    /* its moment; 0 = there is none */
    char file[128];   /* its name in the folder */
    uint64_t bytes;   /* of the archive */
    uint64_t docs;    /* current documents in it; this and what follows are known to who made it */
    uint64_t entries; /* of streams; also of one that was erased while it was made */
    char digest[65];  /* taken from the store while it was made; "" = not known */
};
/* The last restore drill: a backup restored into a scratch store and verified. */
struct kf_backup_drill {
    int64_t at_ms; /* 0 = there was none */
    char file[128];
    bool good;     /* it restored, was verified, and no digest differed */
    bool compared; /* there was a digest to compare with */
    uint64_t docs; /* current documents found */
    char digest[65];
    char code[32]; /* why it is not good; "" else */
    char error[300];
};
/* All zero where no backups are configured. */
struct kf_backups {
    bool on;
    struct kf_backup_made last;
    int64_t next_ms;    /* when the next one is due */
    int64_t overdue_ms; /* since when there should have been one; 0 = it is not late */
    uint32_t failures;  /* in a row */
    char last_code[32]; /* why the last one failed; "" = it did not */
    char last_error[300];
    struct kf_backup_drill drill;
};

struct kf_status {
    kf_state state;
    char reason[300]; /* of a state other than open; "" else */
    kf_level level;   /* what an answer of it means: disk or shared */
    uint64_t site;
    uint64_t seq;       /* last journal number */
    uint64_t docs;      /* current documents */
    uint64_t doc_bytes; /* of their bodies */
    uint64_t streams;
    uint64_t entries;      /* of all streams */
    uint64_t entry_bytes;  /* of their bodies */
    uint64_t windows;      /* streams held in memory */
    uint64_t window_bytes; /* of them */
    /* Since open, by this process: entries that were appended, and those that were there already;
     * reads of entries that memory has answered, and those for which the store was asked; streams
     * that went from memory for room or because nobody asked; searches, and how long all of them
     * took; erasures. */
    uint64_t appended, duplicates;
    uint64_t window_hits, window_misses, window_evictions;
    uint64_t searches, search_us;
    uint64_t erasures;
    /* Tables that are tracked, and those of them of whose rows nothing is told (missing, off,
     * unfit). Changes that had a number so far, those that are committed and wait for one (counted
     * up to a million), when the first of these was made, and open transactions that have more,
     * with the beginning of the oldest (0 = none, or not shown to our role). */
    uint64_t tracked, tracked_stopped;
    uint64_t changes, changes_waiting;
    int64_t changes_waiting_ms;
    uint64_t changes_held;
    int64_t changes_held_ms;
    uint64_t disk_bytes;  /* of the store's files or tables */
    uint64_t used_bytes;  /* of its content, old versions too: what limits.quota counts */
    uint64_t quota_bytes; /* limits.quota; 0 = none */
    uint64_t disk_free;   /* bytes free on its file system; 0 on PostgreSQL, which does not say */
    uint64_t wal_bytes;
    uint64_t cache_bytes; /* documents held in memory */
    uint64_t commits;     /* groups committed since open */
    uint64_t flush_us;    /* how long the last commits took in the mean; 0 = none yet */
    uint64_t writes;      /* writes committed since open */
    int64_t opened_ms;
    struct kf_pending pending; /* the worst remote: largest count, bytes and age over all of them */
    struct kf_backups backups;
};
KF_API kf_rc kf_status(kf_store *store, struct kf_status *ret, struct kf_err *err);

/* ------------------------------------------------------------------------------------- doctor */

typedef enum kf_finding_level {
    KF_FINDING_NOTE = 1, /* explains something */
    KF_FINDING_WARNING,  /* something may soon not work, or be lost */
    KF_FINDING_ERROR     /* something does not work, or is about to be lost */
} kf_finding_level;
/* "note", "warning", "error". Static storage. */
KF_API const char *kf_finding_level_name(kf_finding_level level);

struct kf_finding {
    const char *code; /* for programs, never changes: "remote_token_refused" */
    kf_finding_level level;
    const char *title;  /* what is wrong, in general */
    const char *detail; /* what was seen here, one line */
    const char *next;   /* what to do: a command or a setting */
    const char *remote; /* that it is about; "" = none */
    bool of_machine;    /* about the process and its machine, not this store alone */
};
struct kf_finding_list {
    struct kf_finding *items;
    size_t count;
    void *owned;
};
KF_API void kf_finding_list_free(struct kf_finding_list *list);
/* What is wrong with the store, its remotes, its backups and its place, errors first; an empty list
 * when nothing is. docs/troubleshooting.md explains each finding. Looks only, and asks no remote:
 * kf_remote_probe and kf_verify do. Cost: milliseconds, more on a machine with thousands of
 * processes, which are asked whether they have the store's file open. */
KF_API kf_rc kf_doctor(kf_store *store, struct kf_finding_list *ret_list, struct kf_err *err);

/* ---------------------------------------------------------------- backup, restore, verify, digest
 */

/* Called now and then on long work: `done` of `total` units (0 = not known). Returning false ends
 * the work with KF_BUSY and nothing changed. It must not call kf_close. */
typedef bool kf_progress(void *ctx, uint64_t done, uint64_t total);

/* Begin with the INIT of each: what a later version adds has its default then. */
struct kf_backup_options {
    size_t size;
    const char *pending_to; /* a remote: only what is pending to it; NULL = everything */
    /* A file, readable by its owner alone, or a variable that holds the key with which the backup
     * is encrypted; neither: a ZIP. docs/encryption.md. */
    const char *key_file, *key_env;
    kf_progress *progress; /* may be NULL */
    void *ctx;
};
#define KF_BACKUP_OPTIONS_INIT                          \
    {                                                   \
        sizeof(struct kf_backup_options), 0, 0, 0, 0, 0 \
    }
/* Writes a backup to `path`, which must not be there. The state is that of one moment, writes go on
 * meanwhile. A failed backup leaves no file. options: NULL = as INIT. KF_CONFIG key_needed, with
 * nothing written, when the key cannot be read. */
KF_API kf_rc kf_backup(kf_store *store, const char *path, const struct kf_backup_options *options,
                       struct kf_err *err);

struct kf_restore_options {
    size_t size;
    bool replace;                   /* what the store holds may go; it is kept aside */
    const char *key_file, *key_env; /* with which the backup is encrypted, as above */
    kf_progress *progress;          /* may be NULL */
    void *ctx;
};
#define KF_RESTORE_OPTIONS_INIT                              \
    {                                                        \
        sizeof(struct kf_restore_options), false, 0, 0, 0, 0 \
    }
/* Replaces the store's content by a backup. The archive is verified whole and built beside before
 * anything is replaced; the old store file stays as PATH.db.before-TIME, unless it was never
 * written to. The restored store has a new site and everything is pending to every remote. Its
 * documents keep their stamps, so a later version that a remote still holds comes back from there
 * at its next run: to stay with the older state, remove the remote first or give it an empty place.
 * KF_CONFLICT not_empty, with nothing changed, when the store holds anything and `replace` is
 * false, also when it came while the archive was read. With `replace` a write that is confirmed
 * between the call and the moment in which the files change places is in the old file, not in the
 * restored store; HTTP, the command line and the server's log tell how many there were. A ZIP of
 * pending documents is merged into the store instead: the later stamp wins. options: NULL = as
 * INIT. KF_CONFIG key_needed, with nothing changed, when the backup is encrypted and the key is not
 * that one; a key for a ZIP is bad_archive, for somebody may have exchanged them. */
KF_API kf_rc kf_restore(kf_store *store, const char *path, const struct kf_restore_options *options,
                        struct kf_err *err);

/* What a verification found. */
struct kf_verified {
    uint64_t docs, versions, bytes; /* read and found good; bytes: of entries, too */
    uint64_t entries;               /* of streams, the same */
    uint64_t damaged;               /* things that are not; `report` names them, a line each */
    uint64_t repaired; /* of those: objects of remotes that were written again from this store */
    struct kf_bytes report;
};
/* Reads everything: pages of the file, each version against its hash, and, with `deep`, every
 * object of every remote; one that is damaged there and whole here is written there again.
 * KF_DAMAGED when something is or was wrong; ret is filled then too. Frees:
 * kf_bytes_free(&ret->report). */
KF_API kf_rc kf_verify(kf_store *store, bool deep, kf_progress *progress, void *ctx,
                       struct kf_verified *ret, struct kf_err *err);

/* The digest of the current documents: 64 hex digits and a NUL; docs/formats.md says how it is
 * made. */
KF_API kf_rc kf_digest(kf_store *store, char ret_hex[65], struct kf_err *err);

#ifdef __cplusplus
}
#endif
#endif
