/* git_run: git itself on a bare repository, for tests that play the people who work there or look
 * at what a store left in a branch.
 *
 * It has an environment of its own, in which nothing of the machine's settings counts, and commits
 * as Ola. What fails, fails the test that called. Threads: one. */
#ifndef KF_TESTS_GIT_RUN_H
#define KF_TESTS_GIT_RUN_H

#include "testing.h"

#include "base/str.h"

/* Runs `git --git-dir DIR ARGS` (ended by NULL) with `input` to read. Returns what it printed,
 * without newlines at the end; good until the next call. */
const char *git_run(const char *dir, str input, const char *const *args);
#define GIT_IN(dir, ...) git_run(dir, (str){0, 0}, (const char *const[]){__VA_ARGS__, NULL})

/* A new empty repository as hosts have them, without branches. */
void git_host_new(const char *dir);

#endif
