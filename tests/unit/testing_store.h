/* testing_store: a small write for tests of the store, and shortcuts around it.
 *
 * A put writes `value` under `key` into kf_meta, takes a journal number and leaves a journal row,
 * and counts what is done with it. */
#ifndef KF_TESTS_TESTING_STORE_H
#define KF_TESTS_TESTING_STORE_H

#include "testing.h"

#include "store/store.h"

struct put {
    struct write write; /* first */
    const char *key, *value;
    kf_rc fail; /* after having written */
    int applied, published, done;
    int64_t seq, stamp;
};
struct put put_of(const char *key, const char *value);
/* store_write of one. */
kf_rc put(struct kf_store *s, const char *key, const char *value, struct kf_err *err);
/* The value, "(absent)" when there is none; good until the next call. */
const char *get(struct kf_store *s, const char *key);

/* Between the two the next write of this thread is applied, undone with its whole group and applied
 * again (store.h, G3); its group has another write behind it that fails. */
void testing_twice_begin(struct kf_store *s);
void testing_twice_end(void);

/* Fails the test when it cannot. */
struct kf_store *testing_store_open(const char *path, struct store_options options);

#endif
