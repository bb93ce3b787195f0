/* testing_streams: a store as in testing_docs, with appends and reads in one line. */
#ifndef KF_TESTS_TESTING_STREAMS_H
#define KF_TESTS_TESTING_STREAMS_H

#include "testing_docs.h"

/* An entry to be appended. NULL and 0: none. */
struct testing_entry {
    const char *id, *kind, *body, *attach;
    int64_t at_ms;
};
#define TESTING_APPENDED_MAX 512

/* How many client ids there are. */
#define TESTING_IDS \
    "SELECT (SELECT count(*) FROM kf_entry_once) + (SELECT count(*) FROM kf_entry_once_new)"
struct testing_appended {
    struct kf_appended items[TESTING_APPENDED_MAX];
    uint64_t count; /* of the stream */
};

/* Waited for; t->err. */
kf_rc testing_append_all(struct testing_docs *t, const char *key, const struct testing_entry *items,
                         size_t count, struct testing_appended *ret);
/* One; its number, or the test fails. */
uint64_t testing_append(struct testing_docs *t, const char *key, const char *id, const char *kind,
                        const char *body);
/* "1:body 2:body", "(CODE)" when it failed, "+" behind it with `more`; good until the third call
 * from now. */
const char *testing_entries(struct testing_docs *t, const char *key, struct kf_entry_query query);
const char *testing_list_text(struct kf_entry_list *list);
const char *testing_last(struct testing_docs *t, const char *key, uint64_t last);
/* "count last_n bytes first-last {kinds} attrs rings" of memory or store. */
const char *testing_stream(struct testing_docs *t, const char *key);
/* Fails the test unless a recount finds what the streams say of themselves. */
void testing_recount(struct testing_docs *t);

#endif
