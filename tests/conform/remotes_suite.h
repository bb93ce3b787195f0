/* remotes_suite: what the tests over every kind of remote share: places of each kind, documents,
 * and what a wrapper does with a kind (pull, push, a run of both).
 *
 * A kind is a row of the table `kinds`: how its address looks, and how somebody who tampers with
 * the place gets at what it holds. What a kind can do besides is in the `caps` of its driver.
 *
 * A helper that fails, fails the test that called it. Threads: each call makes a connection of its
 * own; place_new and the reading of places belong to the thread of the test. */
#ifndef KF_TESTS_REMOTES_SUITE_H
#define KF_TESTS_REMOTES_SUITE_H

#include "testing.h"

#include "remote/mem.h"
#include "remote/portable.h"

#define SITE_A "aaaaaaaaaaaaaaaa"
#define SITE_B "bbbbbbbbbbbbbbbb"
#define HOUR   (60 * 60 * 1000)

extern struct testing_env world;

/* Of a test program's main. */
int suite_setup(void **state);
int suite_teardown(void **state);

/* ----------------------------------------------------------------------------------- the places */

struct kind {
    const char *name;
    bool folder; /* objects and a manifest as files */
    bool faults; /* its address makes calls fail (fail_plan_set) */
    bool branch; /* of a git repository: no objects, no manifest */
    bool sealed; /* through remote/sealed.h: what is there looks otherwise than what was pushed */
};
extern const struct kind kinds[];
extern const size_t kinds_count;

/* Defines TEST_everywhere: `test` of each kind that `which` says yes to. */
#define OVER_KINDS(test, which)                  \
    static void test##_everywhere(void **state)  \
    {                                            \
        (void)state;                             \
        for (size_t i = 0; i < kinds_count; i++) \
            if (which(&kinds[i]))                \
                test(&kinds[i]);                 \
    }

struct place {
    const struct kind *kind;
    char url[640];   /* as a store would have it: perhaps with faults */
    char clean[512]; /* the same place without */
    char where[400]; /* name or folder */
    char plan[64];   /* of the faults, "" = none */
};

/* A new one that holds nothing. */
void place_new(const struct kind *kind, struct place *ret);
/* Who connects next from this thread is the n-th machine that uses the place: it has a folder of
 * its own beside its store. 0 after place_new. */
void place_machine(int n);
/* What is under `path`; nothing when it is not there. Not for branches. */
void place_read(const struct place *p, const char *path, struct buf *out);
void place_write(const struct place *p, const char *path, str bytes);
void place_remove(const struct place *p, const char *path);
bool place_has(const struct place *p, const char *path);
/* What the place holds, as one piece that can be put back: its manifest, or where the branch ends.
 * A state with .p == NULL: there is none. */
void place_state(const struct place *p, struct buf *out);
void place_set_state(const struct place *p, str state);
/* git in the repository of a branch; appends what it printed, without the last newline. */
void place_git(const struct place *p, struct buf *out, const char *const *args);
#define PLACE_GIT(p, out, ...) place_git(p, out, (const char *const[]){__VA_ARGS__, NULL})

/* ------------------------------------------------------------------------------------ documents */

#define BODY_MAX 4096
struct item {
    char name[128];
    char site[PORTABLE_SITE + 1];
    char hash[HASH_HEX + 1];
    char body[BODY_MAX];
    size_t len;
    bool deleted;
    uint64_t version;
    int64_t stamp;
};
struct items {
    struct item *p;
    size_t count;
};

struct item *items_find(struct items *s, str name);
/* body NULL: a deletion. */
struct item *items_put(struct items *s, const char *name, const char *body, const char *site,
                       int64_t stamp);
void items_copy(struct items *to, const struct items *from);
/* The same writes with the same bytes; of a kind that does not keep bytes, the same values. */
bool items_equal(struct items *a, struct items *b);
void items_free(struct items *s);
/* A document of each unpleasant sort, and so many of another. */
void items_sample(struct items *s, const char *site, int64_t stamp, int filler);

/* ------------------------------------------------------------------------------- set and sink */

struct test_set {
    struct remote_set set; /* first */
    const struct items *items;
    size_t at;
};
void set_init(struct test_set *t, const struct items *items, const char *site, int64_t seq);

struct test_sink {
    struct remote_sink sink; /* first */
    struct items got;
    struct items *have; /* not wanted when equal */
    size_t offered, bad;
    char bad_names[512];
    char bad_code[32];
};
void sink_init(struct test_sink *t);

/* ------------------------------------------------------------------------------------ one call */

kf_rc open_place(const struct remote_driver *driver, const char *url, struct remote **ret,
                 struct kf_err *err);
struct remote *connect_to(const char *url);
kf_rc pull(const char *url, const char *since, bool all, struct test_sink *t, struct buf *position,
           struct kf_err *err);
/* `on` may be the text of *position. */
kf_rc push(const char *url, const char *on, const struct items *items, const char *site,
           int64_t seq, struct buf *position, struct remote_pushed *ret, struct kf_err *err);
/* Pulls all there is through the clean address. */
void pull_all(const struct place *p, struct items *ret);
/* A whole run as the wrapper makes it: pull what differs from `since`, then push on top. */
kf_rc run_since(const char *url, const char *since, const struct items *items, const char *site,
                int64_t seq, struct buf *position, struct kf_err *err);
/* The same, knowing nothing of the place. */
kf_rc run(const char *url, const struct items *items, const char *site, int64_t seq,
          struct buf *position, struct kf_err *err);
/* "" for nothing. */
const char *text(const struct buf *b);

#define GOOD(call)                                                               \
    do {                                                                         \
        if ((call) != KF_OK)                                                     \
            fail_msg("%s:%d: %s: %s", __FILE__, __LINE__, err.code, err.detail); \
    } while (0)

#endif
