/* lasting: whether what is written to a folder is still there after the next start.
 *
 * A disk in memory is empty when the machine starts again. What a container writes beside its
 * volumes goes with the container, and so does a volume that nobody gave a name: each redeploy
 * makes a new, empty one. All of them look like any other folder, and everything works, until it is
 * gone.
 *
 * Threads: any. Nothing is kept. */
#ifndef KF_STORE_LASTING_H
#define KF_STORE_LASTING_H

#include "base/env.h"
#include "base/log.h"

enum lasting {
    LASTING_YES,    /* or nothing says that it is not */
    LASTING_MEMORY, /* tmpfs, ramfs: until the power goes */
    LASTING_LAYER,  /* in a container, on no volume of it: until the container is replaced */
    LASTING_UNNAMED /* on a volume that goes with its container or pod */
};

/* Of a folder or file that is there. */
enum lasting lasting_of(const struct env *env, const char *path);
/* What is so, and what to do, as sentences begin; "" for LASTING_YES. Static storage. */
const char *lasting_title(enum lasting what);
const char *lasting_next(enum lasting what);
/* Writes the warning start.volatile where it does not last. */
void lasting_warn(const struct env *env, struct log *log, const char *path);

/* Whether the mount `id` of a /proc/self/mountinfo is a volume without a name: an anonymous one of
 * Docker or Podman, an emptyDir of Kubernetes. */
bool lasting_is_unnamed(str mountinfo, uint64_t id);
/* Whether it is all of a file system, and not a folder of one. */
bool lasting_is_whole(str mountinfo, uint64_t id);

#endif
