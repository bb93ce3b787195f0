/* raw_doc: what a put of a document costs on bare SQLite: one thread, the statements that Keepfast
 * runs for it, prepared once, in groups, with nothing between them. */
#ifndef KF_BENCH_RAW_DOC_H
#define KF_BENCH_RAW_DOC_H

#include "base/str.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct raw_doc;

/* A new store file at `path` with Keepfast's tables and its settings. Ends the program when it
 * fails, as all of this does. */
struct raw_doc *raw_doc_open(const char *path);
void raw_doc_close(struct raw_doc *raw);

/* Puts a document under each of `count` names in one transaction, made durable; then a checkpoint
 * when Keepfast would make one. */
void raw_doc_group(struct raw_doc *raw, const char *const *names, size_t count, str body);

/* Whether this measures what it says: between these two calls `other`, the connection with which
 * Keepfast writes, must have run the statements that `raw` ran, as often in proportion, and nothing
 * else. Otherwise the second ends the program with a sentence on stderr. */
void raw_doc_count_from_here(struct raw_doc *raw, sqlite3 *other);
void raw_doc_compare(const struct raw_doc *raw, sqlite3 *other);

#endif
