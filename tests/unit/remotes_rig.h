/* remotes_rig: machines of one application, each a store with documents and remotes on a loop that
 * the test turns, and what places of the kind `mem` hold of them.
 *
 * The clock stands still but for app_pass and a loop that waits. A machine with workers has real
 * threads instead, and `env` = env_system(). All of them write into one log. A helper that fails,
 * fails the test. */
#ifndef KF_TESTS_REMOTES_RIG_H
#define KF_TESTS_REMOTES_RIG_H

#include "testing.h"

#include "remote/mem.h"
#include "remote/portable.h"
#include "remote/remotes.h"
#include "shape/stream.h"

#define SECOND 1000
#define MINUTE (60 * SECOND)

extern struct testing_env world;

/* Of a test program's main: setup and teardown of its group. */
int remotes_setup(void **state);
int remotes_teardown(void **state);

/* -------------------------------------------------------------------------------- one machine */

/* What is not said here may be set between app_init and app_open, or while it is closed. */
struct app {
    const char *path;
    struct config *config;
    struct config_space space;
    struct config_remote remotes[REMOTES_MAX];
    struct config_doc lines[2]; /* what the configuration says of documents */
    size_t line_count;
    const struct env *env;
    struct loop *loop;
    struct log *log;
    int log_fd;
    struct kf_store *store;
    struct docs *docs;
    struct streams *streams;
    struct remotes *r;
    uint32_t workers;
    bool start_empty;
    pthread_t thread; /* with workers */
};

void app_init(struct app *a);
/* One more in its configuration, for its next opening; lives as long as the app. */
struct config_remote *app_remote(struct app *a, const char *name, const char *url);
void app_open(struct app *a);
/* These three, and settles. */
void app_begin(struct app *a, const char *name, const char *url);
/* Without a log, and what was opened stays: app_close releases it, after a failure as well. */
kf_rc app_try_open(struct app *a, struct kf_err *err);
void app_close(struct app *a);
/* The same configuration on a new machine. */
void app_anew(struct app *a);
/* Closes, and releases all. */
void app_end(struct app *a);

/* Turns until nothing is left that can be done without time passing. */
void app_settle(struct app *a);
/* Settles, moves the clock and settles again. */
void app_pass(struct app *a, int64_t ms);

/* A write that is waited for. body NULL: a deletion. */
kf_rc app_write(struct app *a, const char *name, const char *body, const char *if_match,
                struct kf_err *err);
void app_put(struct app *a, const char *name, const char *body);
/* The document has this body. */
void app_is(struct app *a, const char *name, const char *body);
/* What a read of it says. */
kf_rc app_get(struct app *a, const char *name);

/* Waits for a run for at most 5 s. */
kf_rc app_sync(struct app *a, const char *names, struct kf_err *err);
void app_sync_good(struct app *a, const char *names);
/* Its texts are good until the next call. */
struct kf_remote_info app_info(struct app *a, const char *name);
uint64_t app_pending(struct app *a, const char *name);
/* "KIND NAME CODE;" of each that is set aside at a remote. */
void app_aside_is(struct app *a, const char *remote, const char *wanted);

/* ------------------------------------------------------------------------- places and the log */

/* Whether the place has a document with this body, named by its manifest. */
bool place_holds(const char *place, const char *name, const char *body);
/* Every call of a plan's remotes fails from now on, or none. */
void plan_down(const char *plan, bool is_down);

void log_forget(void);
/* How often the log of all machines has this text since it was forgotten. */
int log_count(const char *event);

#endif
