#include "base/hooks.h"

#ifdef KF_TEST_HOOKS

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Situations reached so far. Only ever grows at its head, so that readers need no lock. */
static _Atomic(struct hooks_situation *) reached;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char
    *sabotage; /* the environment's, read once: it may change in a test's own process */

static void start(void)
{
    sabotage = getenv("KF_SABOTAGE");
    if (getenv("KF_SOMETIMES_FILE"))
        atexit(hooks_flush);
}

void hooks_reached(struct hooks_situation *s)
{
    atomic_fetch_add_explicit(&s->count, 1, memory_order_relaxed);
    if (atomic_flag_test_and_set(&s->listed))
        return;
    pthread_once(&once, start);
    s->next = atomic_load(&reached);
    while (!atomic_compare_exchange_weak(&reached, &s->next, s))
        ;
}

bool hooks_sabotage(const char *name)
{
    pthread_once(&once, start);
    if (!sabotage)
        return false;
    size_t len = strlen(name);
    for (const char *at = sabotage; (at = strstr(at, name)); at += len) {
        bool begins = at == sabotage || at[-1] == ',';
        if (begins && (at[len] == ',' || at[len] == '\0'))
            return true;
    }
    return false;
}

void hooks_flush(void)
{
    const char *path = getenv("KF_SOMETIMES_FILE");
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
    int fd = path ? open(path, flags, 0600) : -1; /* seam: a test's own file, at exit */
    if (fd < 0)
        return;
    for (struct hooks_situation *s = atomic_load(&reached); s; s = s->next) {
        unsigned long count = atomic_exchange(&s->count, 0);
        char line[160];
        int len = count ? snprintf(line, sizeof(line), "%s %lu\n", s->name, count) : 0;
        /* One write a line: several processes append to the same file. A lost line fails the test
         * that looks for it. */
        if (len > 0 && (size_t)len < sizeof(line) && write(fd, line, (size_t)len) != len)
            break;
    }
    close(fd);
}

#else

/* An empty file is no C. */
typedef int hooks_absent;

#endif
