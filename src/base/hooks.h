/* hooks: what test builds can see and switch, and a release does not contain.
 *
 *     KF_SOMETIMES("group-of-several");            counts that this situation occurred
 *     if (KF_SABOTAGE("ack-before-sync")) ...      true when the environment's KF_SABOTAGE names it
 *
 * Tests list the situations that a run must have reached, so that none passes by never getting
 * there. A saboteur is a planted defect: each test that claims to find it is run against it and
 * must fail.
 *
 * KF_SABOTAGE holds one name or several with commas between. KF_SOMETIMES_FILE names a file to
 * which the process appends, when it exits, one line "NAME COUNT" for each situation that it
 * reached; a process that is killed writes none, unless it calls hooks_flush first.
 *
 * Both exist with KF_TEST_HOOKS alone. Without it they expand to nothing, and not even their names
 * are in the program.
 *
 * Threads: any. Cost: an atomic add; a load and, when sabotage is on, a comparison of names. */
#ifndef KF_BASE_HOOKS_H
#define KF_BASE_HOOKS_H

#ifdef KF_TEST_HOOKS

#include <stdatomic.h>
#include <stdbool.h>

/* One for each place; lives as long as the process. */
struct hooks_situation {
    const char *name;
    _Atomic unsigned long count;
    atomic_flag listed;
    struct hooks_situation *next; /* of the list of those reached */
};
void hooks_reached(struct hooks_situation *s);
bool hooks_sabotage(const char *name);
/* Appends what was counted since the last flush. */
void hooks_flush(void);

#define KF_SOMETIMES(situation)                                                         \
    do {                                                                                \
        static struct hooks_situation hooks_here = {situation, 0, ATOMIC_FLAG_INIT, 0}; \
        hooks_reached(&hooks_here);                                                     \
    } while (0)
#define KF_SABOTAGE(saboteur) hooks_sabotage(saboteur)

#else

#define KF_SOMETIMES(situation) ((void)0)
#define KF_SABOTAGE(saboteur)   0

#endif
#endif
