/* Between the two halves of child: child_start.c makes the process, child.c goes with it to its
 * end. */
#ifndef KF_BASE_CHILD_INTERNAL_H
#define KF_BASE_CHILD_INTERNAL_H

#include "base/child.h"

#include <sys/types.h>

/* A child that runs its program and was not waited for. */
struct child_process {
    pid_t pid;
    /* Becomes readable when it ends. -1: the kernel has none, or no descriptor was left. */
    int pidfd;
    int in, out, said, trace; /* our ends of its pipes, non-blocking; -1 = closed */
    int life;                 /* when it is closed, its group is killed */
};
#define CHILD_NONE ((struct child_process){0, -1, -1, -1, -1, -1, -1})

/* Makes the process and returns when its program was loaded. On failure there is none. */
kf_rc child_start(const struct env *env, const struct child *child, struct child_process *ret,
                  struct kf_err *err);

#endif
