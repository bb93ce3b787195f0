/* doctor: looks for what is wrong, and says what to do (base/findings.def). It changes nothing and
 * asks no remote: what it tells of one is what its last run has met.
 *
 *     doctor.c          which looks there are, and their order
 *     doctor_store.c    the state of an open store: disk, log, clock, what became of its data
 *     doctor_remotes.c  what keeps a remote from having everything
 *     doctor_backups.c  scheduled backups and their drill
 *     doctor_tracked.c  tables whose changes are taken, in a store on PostgreSQL
 *     doctor_place.c    folder, files and file system, of a store that is open or not, and what is
 *                       left of one that is gone
 *     doctor_others.c   other processes that have the store's file open
 *     doctor_process.c  limits of our own process and of its machine
 *     doctor_server.c   what concerns a server as a whole: doors, tokens, log
 *     doctor_opening.c  why a store could not be opened
 *
 * Threads: any; it blocks, so not the loop's. */
#ifndef KF_LIB_DOCTOR_H
#define KF_LIB_DOCTOR_H

#include "api/api.h"
#include "base/config.h"
#include "base/findings.h"
#include "base/seal.h"
#include "store/store.h"

/* An open store as the looks see it: taken once, so that they speak of one moment. */
struct doctor_view {
    struct kf_store *store;
    const struct env *env;
    const char *path;
    const struct config *config;      /* NULL = none */
    const struct config_space *space; /* NULL = the configuration does not name it */
    bool brief;                       /* its owner is a command */
    bool own_folder;                  /* of Keepfast alone */
    int64_t now_ms;
    struct kf_status status;
    struct store_health health;
    struct kf_remote_list remotes;
};

void doctor_store(const struct doctor_view *v, struct findings *f);
void doctor_remotes(const struct doctor_view *v, struct findings *f);
void doctor_backups(const struct doctor_view *v, struct findings *f);
void doctor_tracked(const struct doctor_view *v, struct findings *f);

/* Of a store's files, which need not be there. `own_folder`: the folder is a data folder. */
void doctor_place(const struct env *env, const char *path, bool own_folder, struct findings *f);
/* What the log of a store tells whose file is not there and that nobody has open. After
 * doctor_place. */
void doctor_gone(const struct env *env, const char *path, struct findings *f);
/* Whether two paths are on the same file system; a path that is not there counts as its folder. */
bool doctor_same_disk(const struct env *env, const char *a, const char *b);
/* A variable of this process, or a file, that is to hold a secret; "" = none is named. `what`
 * names its setting. */
void doctor_secret_env(const char *variable, const char *what, const char *remote,
                       struct findings *f);
void doctor_secret_file(const struct env *env, const char *path, const char *what,
                        const char *remote, struct findings *f);
void doctor_others(const struct env *env, const char *path, struct findings *f);
/* Whether an SQLite of this version ("3.40.1") can lose what was committed when a checkpoint
 * races with a commit; what is no version cannot be trusted either. Pure. */
bool doctor_sqlite_is_affected(str version);
/* The version that the bytes of a library name; empty when they name none, or several. Pure. */
str doctor_sqlite_version(str bytes);

/* Limits of this process. `memory`: what it is told to use, 0 = not said; `descriptors` likewise.
 * `secrets`: it holds tokens or keys. */
struct doctor_limits {
    uint64_t memory, descriptors;
    bool secrets;
};
void doctor_process(const struct env *env, const struct doctor_limits *limits, struct findings *f);

/* How a server's doors stand. */
struct doctor_doors {
    bool plain_beyond;   /* HTTP without TLS is served beyond this machine */
    int64_t tls_ends_ms; /* when the certificate in force ends; 0 = there is none */
    char tls_error[600]; /* why a newer one is not in force; "" = there is none */
};
/* What concerns a server as a whole. */
struct doctor_server {
    const struct env *env;
    const struct config *config;
    struct tokens *tokens; /* NULL: there can be none */
    /* Fills *ret; any thread. NULL = nothing to tell. */
    void (*doors)(void *ctx, struct doctor_doors *ret);
    void *doors_ctx;
};
void doctor_server(const struct doctor_server *s, struct findings *f);

/* Why the store at `path` could not be opened or asked; with what its files show. */
void doctor_opening(const struct env *env, const char *path, bool own_folder,
                    const struct kf_err *why, struct findings *f);

/* What GET /v1/{space}/doctor answers (struct api_doctor). ctx: a struct doctor_server, NULL = of a
 * program that has one store open. */
kf_rc doctor_answer(void *ctx, const struct api_patient *patient, struct kf_finding_list *ret_list,
                    struct kf_err *err);

/* All of an open store, inside its gate. `machine`: also what is for operators alone. */
kf_rc doctor_look(struct kf_store *store, bool machine, struct findings *f, struct kf_err *err);

#endif
