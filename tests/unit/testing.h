/* testing: what the unit tests share: an env whose clock, randomness and disk the test turns,
 * folders that go away by themselves, and the loop that fails one allocation after the other.
 *
 * Include it first: it brings cmocka with what cmocka needs. A helper that fails, fails the test
 * that called it.
 *
 * Threads: a testing_env as any env; the rest from the thread of the test. */
#ifndef KF_TESTS_TESTING_H
#define KF_TESTS_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/env.h"

#include <keepfast.h>
#include <pthread.h>
#include <stdatomic.h>

/* The calls of the same name with what is most often said. */
kf_rc testing_backup(kf_store *store, const char *path, const char *pending_to,
                     kf_progress *progress, void *ctx, struct kf_err *err);
kf_rc testing_restore(kf_store *store, const char *path, bool replace, kf_progress *progress,
                      void *ctx, struct kf_err *err);

/* Ends the program when the test hangs: after so many seconds, four times as many under a
 * sanitizer. 0: it did not. */
void testing_guard(unsigned seconds);

/* ----------------------------------------------------------------------------------------- env */

/* Clocks stand still but for testing_env_advance and a loop that waits; randomness repeats with the
 * seed; files are real and may be made to fail. */
struct testing_env {
    struct env env; /* hand out &t->env */
    _Atomic int64_t wall_ms;
    _Atomic uint64_t mono_ns;
    _Atomic uint64_t seed;

    pthread_mutex_t lock; /* for all below */
    enum io_op fault_op;  /* IO_OP_COUNT: any */
    uint64_t fault_at;    /* the n-th call of it from now, 1 = the next; 0 = none */
    int fault_errno;      /* or IO_TAP_SHORT */
    bool fault_sticky;    /* all later ones fail as well */
    uint64_t fired;       /* faults that happened since testing_env_fault */
    uint64_t calls[IO_OP_COUNT];
    bool trace_on;
    struct buf trace; /* "write sync rename ", while trace_on */
};

/* 2026-11-09T14:23:45.123Z, a second after the monotonic zero, seed 1, no fault. */
void testing_env_init(struct testing_env *t);
void testing_env_release(struct testing_env *t);
/* Moves both clocks on. */
void testing_env_advance(struct testing_env *t, int64_t ms);
/* Makes the nth call of `op` from now fail with errnum, or stop short with IO_TAP_SHORT; nth = 0
 * ends it. */
void testing_env_fault(struct testing_env *t, enum io_op op, uint64_t nth, int errnum, bool sticky);
/* Starts a new trace of the calls' names. Read t->trace.p afterwards. */
void testing_env_trace(struct testing_env *t);

/* --------------------------------------------------------------------------------------- files */

/* A new empty folder below $TMPDIR (/tmp), without links in its path; removed with all in it when
 * the program ends. The name lives until then. */
const char *testing_dir(void);
/* The same where syncing costs nothing, if there is such a place: for runs that are repeated
 * thousands of times. */
const char *testing_dir_in_memory(void);
/* "DIR/NAME", living until the end of the program. */
const char *testing_path(const char *dir, const char *name);
void testing_write(const char *path, const void *p, size_t len);
/* The whole file with a NUL behind it, living until the end of the program; fails when it is not
 * there. */
const char *testing_read(const char *path, size_t *ret_len);
bool testing_exists(const char *path);

/* ------------------------------------------------------------------------------ lack of memory */

/* One run of something, which makes all it needs itself and frees all of it. */
typedef kf_rc testing_run(void *ctx);

/* Fails the Nth allocation for N = 1, 2, 3 … until a run ends without a failed one; then the same
 * with the Nth and all later ones failing. A run with a failure must return KF_NOMEM, the last one
 * KF_OK. Returns the number of failed allocations. Leaks are for the address sanitizer to find.
 * Under the thread sanitizer N is each up to a hundred, and some above. */
size_t testing_oom_each(testing_run *run, void *ctx);
/* The same for what may do without the memory: a run with a failure may return KF_OK as well. */
size_t testing_oom_each_tolerant(testing_run *run, void *ctx);

/* ----------------------------------------------------------------------------------- saboteurs */

/* For main: an argument is the name of the only test that runs. */
void testing_only(int argc, char **argv);
/* Runs this program once more with KF_SABOTAGE=name and the one argument `test`, for testing_only,
 * and expects that test to fail. */
void testing_saboteur(const char *name, const char *test);
/* Defines the test saboteur_WORDS, which does so; `words` are the name's, with _ between them. */
#define TESTING_SABOTEUR(words, name, test)    \
    static void saboteur_##words(void **state) \
    {                                          \
        (void)state;                           \
        (void)(test);                          \
        testing_saboteur(name, #test);         \
    }

/* --------------------------------------------------------------------------------- randomness */

/* Repeatable numbers for generated tests: the same state gives the same numbers everywhere. */
uint64_t testing_random(uint64_t *state);

#endif
