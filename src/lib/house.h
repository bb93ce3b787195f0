/* house: the floors put together. One loop, one router, spaces or one store, doors.
 *
 *     keepfast serve    a folder of spaces      house_new(data_dir), house_listen, house_run
 *     keepfast put …    one store, no door      house_new(store_path), direct_call
 *     kf_open           one store, a thread that turns the loop, perhaps a socket (lib/open.c)
 *
 * Threads: the one that made it, but house_stop. */
#ifndef KF_LIB_HOUSE_H
#define KF_LIB_HOUSE_H

#include "api/direct.h"
#include "server/server.h"

struct backups_turn; /* lib/backups.h */
struct house;
struct house_options {
    const struct env *env;       /* NULL = the system's */
    const struct config *config; /* must outlive it */
    struct log *log;             /* may be NULL */
    const char *data_dir;        /* a folder of spaces … */
    const char *store_path;      /* … or one store … */
    bool in_data_dir;            /* … in a data folder, which is checked like one */
    const char *space;           /* … and which space of the configuration it is */
    const char *socket;          /* named in lock files: where others reach the owner */
    bool brief, start_empty, must_exist, allow_network_fs;
    bool inline_loop; /* no worker threads: LOOP_INLINE */
    bool bare;        /* a folder: opens no space but those that are asked for */
    uint32_t lock_wait_ms;
    /* Asked while it is made: false, and house_new ends soon, perhaps with a house. NULL = nobody
     * is asked. */
    db_go_on *goes_on;
    void *goes_on_ctx;
};
/* A folder: its permissions are checked, DIR/_keepfast.db.lock is taken. A store: it is opened. */
kf_rc house_new(const struct house_options *options, struct house **ret_house, struct kf_err *err);
struct api *house_api(struct house *h);
struct loop *house_loop(struct house *h);
struct kf_store *house_store(struct house *h); /* NULL for a folder */
kf_rc house_listen(struct house *h, str address, struct buf *shown, struct kf_err *err);
/* Reads what can be read anew: the certificate. Any thread, and from a signal handler, between the
 * first house_listen and the end of house_run. */
void house_reload(struct house *h);
/* Whether that is not done yet. */
bool house_reloading(const struct house *h);
/* Turns until no store is being filled any more, at most wait_ms: who starts an app right after its
 * store finds it whole when its remotes are near. What is not done by then goes on in the
 * background. */
void house_settle(struct house *h, uint32_t wait_ms);
/* Turns until house_stop; then new requests are refused and those that run are ended, within
 * SERVER_STOP_MS. */
void house_run(struct house *h);
/* Any thread, and from a signal handler. */
void house_stop(struct house *h);
/* Flushes remotes with on_change (at most 10 s in all), closes everything. KF_UNAVAILABLE names
 * what is still pending to one of them. NULL is fine. */
kf_rc house_free(struct house *h, struct kf_err *err);

/* Opens one store with its documents and remotes on an existing loop; what kf_open and the spaces
 * of a server do. */
struct open_options {
    const struct env *env;
    struct log *log;
    struct loop *loop;
    const struct config *config; /* borrowed */
    const char *space, *socket;
    bool data_dir; /* the folder is a data folder of Keepfast's own */
    bool brief, start_empty, must_exist, allow_network_fs;
    uint32_t lock_wait_ms;
    uint64_t cache_bytes;
    struct backups_turn *turn; /* of all stores of the loop; outlives them */
    db_go_on *lives;           /* store_options.lives */
    void *lives_ctx;
};
kf_rc open_store(const char *path, const struct open_options *options, struct kf_store **ret_store,
                 struct kf_err *err);
void close_store(struct kf_store **store);
/* The same in two parts each. What may wait for a disk or a network is done on any thread
 * (reach_store, close_store behind leave_store), the rest at once on the loop's: enter_store,
 * behind which it works by itself (when it fails, the store is closed), and leave_store, behind
 * which it no longer does. Only while none of its remotes runs is nothing waited for by
 * leave_store. */
kf_rc reach_store(const char *path, const struct open_options *options, struct kf_store **ret_store,
                  struct kf_err *err);
kf_rc enter_store(struct kf_store **store, struct kf_err *err);
void leave_store(struct kf_store *store);
struct doctor_view; /* lib/doctor.h */
/* What it was opened with, into the view of a look at it. */
void open_terms(const struct kf_store *store, struct doctor_view *v);
/* What kf_status gives: of the store, its documents and its remotes. */
kf_rc whole_status(struct kf_store *store, struct kf_status *ret, struct kf_err *err);

#endif
