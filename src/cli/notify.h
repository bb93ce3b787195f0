/* notify: what a server tells the service manager that started it, as sd_notify(3) describes:
 * datagrams to the socket that NOTIFY_SOCKET names.
 *
 *     READY=1       it listens, and systemctl start returns
 *     WATCHDOG=1    its loop turns; when WATCHDOG_USEC pass without it, it is ended and started
 *     RELOADING=1   it reads its files anew, until the next READY=1
 *     STOPPING=1    it ends
 *
 * Where there is no such socket all of this does nothing; nothing that goes wrong here is an error.
 *
 * Threads: the loop's. */
#ifndef KF_CLI_NOTIFY_H
#define KF_CLI_NOTIFY_H

#include "base/loop.h"

struct notify {
    const struct env *env;
    int fd; /* -1: nobody is told */
    struct loop *loop;
    struct loop_timer watchdog;
    int64_t every_ms; /* 0: there is none */
};
#define NOTIFY_INIT \
    {               \
        .fd = -1    \
    }

void notify_open(struct notify *n, const struct env *env);
/* `status` is what systemctl shows, one line; NULL = what it shows already. The first time, the
 * watchdog begins to be fed from `loop`. */
void notify_ready(struct notify *n, struct loop *loop, const char *status);
void notify_reloading(struct notify *n);
/* Also from a signal handler. */
void notify_stopping(struct notify *n);
/* Before the loop is freed. */
void notify_close(struct notify *n);

#endif
