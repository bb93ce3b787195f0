/* oom_rig: what the programs share that fail every allocation once, and from then on: the call
 * answers KF_NOMEM or does its work without, nothing leaks, and the next call works.
 *
 * A script is run with its first allocation failing, then its second, and so on until a run meets
 * no failure; then the same with all later ones failing too. After each run the memory is back and
 * the store must be usable, and hold what the script's answer says: KF_OK its effect, KF_NOMEM what
 * was there before.
 *
 * Warm scripts use one store that is open, with its threads. Cold ones open it, do the same and
 * close it, all of it with failing memory; they reach what the first use of everything allocates.
 * Built for the address sanitizer, which finds the leaks: each script ends with a look for them. */
#ifndef KF_TESTS_OOM_RIG_H
#define KF_TESTS_OOM_RIG_H

#include "testing.h"

struct stage {
    kf_store *store;
    const char *path;
    uint64_t turn; /* counts runs: fresh names and bodies */
    char name[64]; /* what the run writes */
    char body[256];
    int64_t version_before; /* of it; 0 = never written */
    char etag[36];
    char file[128]; /* a backup to be written */
    struct kf_err err;
};
extern struct stage st;

struct script {
    const char *name;
    kf_rc (*run)(void);
    void (*prepare)(void);   /* with memory, before each run; NULL = nothing */
    void (*check)(kf_rc rc); /* with memory, after each; NULL = nothing more */
    kf_rc good;              /* the answer with memory */
    kf_rc instead;           /* an answer that is as good as KF_NOMEM here; KF_OK = none */
    bool cold;
};
/* What a program consists of. */
struct oom_program {
    const char *name;
    const struct script *scripts;
    size_t count;
    int (*set_up)(void **state);
    int (*tear_down)(void **state);
    void (*end)(void);             /* behind each script; NULL = nothing */
    size_t fired_min, refused_min; /* in a whole run */
    const struct CMUnitTest *more; /* tests behind it: of saboteurs */
    size_t more_count;
};
/* What main is. */
int oom_main(int argc, char **argv, const struct oom_program *program);

/* A folder in memory where there is such a place: what fails here is the memory, and syncs take
 * time. Before the first testing_dir. */
const char *oom_dir(void);
/* With memory; the test fails when it does not open. */
kf_store *oom_open(const char *path);
void put_for_sure(const char *name, const char *body);

#endif
