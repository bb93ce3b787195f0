/* host_git: git itself on a bare repository, for tests that play the people who work there or look
 * at what a store left in a branch.
 *
 * It has an environment of its own, in which nothing of the machine's settings counts, and commits
 * as Ola. What fails, fails the test that called. Threads: one. */
#ifndef KF_TESTS_HOST_GIT_H
#define KF_TESTS_HOST_GIT_H

#include "testing.h"

#include "base/str.h"

/* Runs `git --git-dir DIR ARGS` (ended by NULL) with `input` to read. Returns what it printed,
 * without newlines at the end; good until the next call. */
const char *host_git(const char *dir, str input, const char *const *args);
#define GIT_IN(dir, ...) host_git(dir, (str){0, 0}, (const char *const[]){__VA_ARGS__, NULL})

/* A new empty repository as hosts have them, without branches. */
void host_git_new(const char *dir);

#endif
