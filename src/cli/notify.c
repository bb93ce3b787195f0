/* A few lines of our own: libsystemd would be one more library in every container and on every
 * machine that has no systemd. */
#include "cli/notify.h"

#include "base/net.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

static void tell(struct notify *n, const char *text)
{
    struct iovec part = {(void *)(uintptr_t)text, strlen(text)};
    if (n->fd >= 0)
        net_send(n->env, n->fd, &part, 1);
}

/* "/run/…" of a file, "@…" of a name in the kernel's own space. False for anything else. */
static bool address_of(const char *name, struct sockaddr_un *ret, socklen_t *ret_len)
{
    size_t len = name ? strlen(name) : 0;
    if (len < 2 || len >= sizeof ret->sun_path || (name[0] != '/' && name[0] != '@'))
        return false;
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret->sun_path, name, len);
    if (name[0] == '@')
        ret->sun_path[0] = '\0';
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (name[0] == '/'));
    return true;
}

/* Half of what is asked for, as the protocol advises; 0 where it is asked of another process. */
static int64_t watchdog_ms(void)
{
    const char *every = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t us, id;
    if (!every || !str_to_u64(str_of(every), &us))
        return 0;
    if (pid && (!str_to_u64(str_of(pid), &id) || id != (uint64_t)getpid()))
        return 0;
    return (int64_t)(us / 2000);
}

void notify_open(struct notify *n, const struct env *env)
{
    struct sockaddr_un to;
    socklen_t len;
    *n = (struct notify){.env = env, .fd = -1};
    if (!address_of(getenv("NOTIFY_SOCKET"), &to, &len))
        return;
    /* Never waits: a manager that does not read does not stop the loop. */
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (n->fd >= 0 && connect(n->fd, (struct sockaddr *)&to, len) != 0)
        notify_close(n);
    n->every_ms = watchdog_ms();
}

static void feed(struct loop_timer *t)
{
    struct notify *n = (struct notify *)((char *)t - offsetof(struct notify, watchdog));
    tell(n, "WATCHDOG=1");
    loop_timer_set(n->loop, &n->watchdog, n->every_ms, feed);
}

void notify_ready(struct notify *n, struct loop *loop, const char *status)
{
    char text[400];
    if (n->fd < 0)
        return;
    snprintf(text, sizeof text, "READY=1%s%.300s", status ? "\nSTATUS=" : "", status ? status : "");
    tell(n, text);
    if (!n->loop && n->every_ms > 0) {
        n->loop = loop;
        feed(&n->watchdog);
    }
}

void notify_reloading(struct notify *n)
{
    char text[80];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu",
             n->fd < 0 ? 0ULL : (unsigned long long)(env_mono_ns(n->env) / 1000));
    tell(n, text);
}

void notify_stopping(struct notify *n)
{
    tell(n, "STOPPING=1");
}

void notify_close(struct notify *n)
{
    if (n->loop)
        loop_timer_cancel(&n->watchdog);
    n->loop = NULL;
    int fd = n->fd;
    n->fd = -1; /* first: a signal handler may look */
    if (fd >= 0)
        close(fd);
}
