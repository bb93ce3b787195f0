/* testing_docs: a store with its documents in a folder that goes away, and writes in one line. */
#ifndef KF_TESTS_TESTING_DOCS_H
#define KF_TESTS_TESTING_DOCS_H

#include "testing.h"

#include "shape/doc.h"
#include "shape/stream.h"

struct testing_docs {
    struct testing_env env;
    const char *path; /* of the store */
    struct config *config;
    struct kf_store *store;
    struct docs *docs;
    struct streams *streams;
    uint64_t cache_bytes;  /* of documents */
    uint64_t stream_bytes; /* of streams; 0 = 64 MiB */
    bool in_memory;        /* where syncing costs nothing */
    bool at_once;          /* every group is committed before it is told (store/redo.h) */
    struct log *log;       /* may be NULL */
    uint64_t seed; /* of the env's randomness, and so of the store's site; 0 = the usual one */
    /* of the last call */
    struct kf_written written;
    struct kf_err err;
};

/* From now on stores are spaces of a private PostgreSQL (testing_pg.h). */
void testing_docs_on_pg(void);
bool testing_docs_are_on_pg(void);

/* Opens a new store whose space "default" is configured by `yaml` (NULL: nothing is). What is said
 * above of how it is to be is as it is in *t. */
void testing_docs_open(struct testing_docs *t, const char *yaml);
void testing_docs_reopen(struct testing_docs *t);
/* Opens in *ret what a kill would leave of the store now: its files as they are, in a folder of
 * their own. */
void testing_docs_killed(struct testing_docs *t, struct testing_docs *ret);
/* The same as whom a configuration has it, with what `sql` does to the file before. NULL: none. */
void testing_docs_killed_as(struct testing_docs *t, const char *yaml, const char *sql,
                            struct testing_docs *ret);
/* In two steps: its files, which `sql` leaves without a log, and opening them. */
void testing_docs_take(struct testing_docs *t, const char *sql, struct testing_docs *ret);
void testing_docs_open_taken(struct testing_docs *taken, const char *yaml);
void testing_docs_close(struct testing_docs *t);

/* A write with options (NULL: none), waited for; t->written and t->err. */
kf_rc testing_write_doc(struct testing_docs *t, kf_verb verb, const char *name, const char *body,
                        uint64_t version, const struct kf_write_options *options);
kf_rc testing_put(struct testing_docs *t, const char *name, const char *body);
/* Fails the test unless the document has this body and version (0 = any). */
void testing_is(struct testing_docs *t, const char *name, const char *body, uint64_t version);
/* The code of a read: KF_OK, or what it says in t->err. */
kf_rc testing_get(struct testing_docs *t, const char *name);
/* A merge in a group of its own, with the cache told of it. */
kf_rc testing_merge(struct testing_docs *t, const struct doc_import *import, enum doc_merged *ret);
/* SQL that changes the store behind its back, in a group. */
void testing_sql(struct testing_docs *t, const char *sql);
/* The one number that a query gives. */
int64_t testing_number(struct testing_docs *t, const char *sql);

#endif
