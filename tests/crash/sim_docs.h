/* sim_docs: a store with its documents and its one remote, a folder, for scripts of sim.h; and what
 * such a folder holds. */
#ifndef KF_TESTS_SIM_DOCS_H
#define KF_TESTS_SIM_DOCS_H

#include "remote/remotes.h"

struct sim_floor {
    struct loop *loop;
    struct docs *docs;
    struct remotes *remotes;
    struct streams *streams;
    struct config *config;
    struct config_space space;
    struct config_doc keep;      /* two versions of each document */
    struct config_stream stream; /* windows of two entries; three are kept under last/ */
    struct config_remote remote;
    char url[1200];
};

/* `place`: the folder of the remote "place", which is pushed to when it is told; NULL = none. The
 * loop is inline. On failure what was made is left for sim_floor_close. */
kf_rc sim_floor_open(struct sim_floor *f, const struct env *env, const char *path,
                     const char *place, uint32_t checkpoint_frames, struct kf_store **ret_store,
                     struct kf_err *err);
/* Closes the store as well. */
void sim_floor_close(struct sim_floor *f, struct kf_store *store);

/* What the folder holds, as text: a line for each document, and one for each that cannot be read. A
 * folder that is not there holds nothing. To be freed. */
char *sim_place(const struct env *env, const char *place);

#endif
