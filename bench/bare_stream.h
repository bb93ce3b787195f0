/* Appends of bare_epoll: the rows of an appended entry, with the statements of src/shape. What a
 * stream has is known by its number, in an array; nothing of it is looked up. */
#ifndef KF_BENCH_BARE_STREAM_H
#define KF_BENCH_BARE_STREAM_H

#include <sqlite3.h>
#include <stddef.h>

/* In a transaction. `head`: the request from its beginning; its body is an entry with id, kind and
 * body, in this order, as session_load writes it. Ends the program when SQLite refuses. */
void bare_append(sqlite3 *db, sqlite3_int64 *seq, const char *head, const char *body, size_t size);
#endif
