/* What the files of track share.
 *
 *   track.c         tables: tracked, forgotten
 *   track_tell.c    what is told of them
 *   track_look.c    whether they are as they were left
 *   track_number.c  changes to numbers
 *   track_read.c    changes, read
 *   track_sql.c     functions inside PostgreSQL */
#ifndef KF_SHAPE_TRACK_INTERNAL_H
#define KF_SHAPE_TRACK_INTERNAL_H

#include "shape/track.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"

#define TRACK_FUNCTIONS 1 /* number of the text of track_sql.c; whoever changes that raises it */
#define TRACK_AGAIN_MS  10000 /* after which what failed by a table itself is tried again */

extern const char track_functions[];

/* not_implemented of a store in a file. */
kf_rc track_has_place(const struct kf_store *store, struct kf_err *err);
/* Whether a table was ever tracked, so that the functions are there. */
kf_rc track_any(struct db *db, bool *ret, struct kf_err *err);
/* The id of the table that is listed as this, or that SQL calls so; 0 = none. */
kf_rc track_id(struct db *db, const char *name, int64_t *ret, struct kf_err *err);
/* KF_ABSENT, with what to do. */
kf_rc track_unknown(const char *name, struct kf_err *err);
/* One statement with numbers and texts, without rows: "it" binds an int64_t, then a const char *.
 * */
kf_rc track_run(struct db *db, const char *sql, struct kf_err *err, const char *types, ...);
kf_rc track_number(struct db *db, const char *sql, int64_t *ret, struct kf_err *err);
/* Installs triggers and sets the state; *ret_word: "" or why not. In a group. */
kf_rc track_install(struct group *g, int64_t id, const char *state, char ret_word[32],
                    struct kf_err *err);

/* Functions inside PostgreSQL that are this program's or newer. In a group; and where tables are
 * tracked, in one of its own if there is need. KF_CONFIG when they are another role's: what is
 * there goes on to serve. */
kf_rc track_functions_renew(struct group *g, struct kf_err *err);
kf_rc track_renew(struct kf_store *store, struct kf_err *err);
/* Whether a failure is that of one table, which stands in its words (KF001 of track_sql.c), so that
 * it is held against that alone. */
bool track_is_its_own(const struct kf_err *why);
/* What the lists then say of it, and since when: it is tried again TRACK_AGAIN_MS later. stops: no
 * changes of it come. `words` may be those of `err`. */
kf_rc track_note_trouble(struct kf_store *store, int64_t id, bool stops, const char *words,
                         struct kf_err *err);

/* What is left to do. */
struct track_work {
    struct kf_store *store;
    int64_t until_id;         /* captured rows up to this one; INT64_MAX = all */
    int64_t only;             /* pages of this table alone; 0 = of all */
    int64_t at, behind;       /* table whose page is being made; those up to it are passed by */
    bool (*go_on)(void *ctx); /* may be NULL */
    void *ctx;
    uint64_t until_ns; /* 0 = no bound */
};
/* In slices, until nothing is left of it. */
kf_rc track_catch_up(struct track_work *work, struct kf_err *err);
/* Looks at every table, and puts right or notes what is not as it was. What fails by a table itself
 * is noted there, and is no failure of this. */
kf_rc track_check_all(struct kf_store *store, struct kf_err *err);
/* What kf_track_check has found, as what it leads to: a state, "unfit WHY", or "older" for
 * functions to be made anew in the state as it is. state: with its WHY, too. NULL: nothing is to be
 * done. */
const char *track_state_for(const char *found, const char *state);

#endif
