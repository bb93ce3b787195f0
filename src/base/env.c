#include "base/env.h"

#include <sodium.h>
#include <time.h>

/* The one place that asks the system for the time. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static struct timespec now(clockid_t clock)
{
    struct timespec t = {0, 0};
    clock_gettime(clock, &t); /* fails for clocks that do not exist alone */
    return t;
}

static int64_t system_wall_ms(void *ctx)
{
    struct timespec t = now(CLOCK_REALTIME);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t system_mono_ns(void *ctx)
{
    struct timespec t = now(CLOCK_MONOTONIC);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void system_random(void *ctx, void *p, size_t len)
{
    randombytes_buf(p, len);
}

static const struct env system_env = {
    .wall_ms = system_wall_ms,
    .mono_ns = system_mono_ns,
    .random = system_random,
};

const struct env *env_system(void)
{
    return &system_env;
}

const char *io_op_name(enum io_op op)
{
    static const char *const names[IO_OP_COUNT] = {
        [IO_OPEN] = "open",     [IO_CREATE] = "create", [IO_READ] = "read",
        [IO_WRITE] = "write",   [IO_SYNC] = "sync",     [IO_DIRSYNC] = "dirsync",
        [IO_RENAME] = "rename", [IO_UNLINK] = "unlink", [IO_TRUNCATE] = "truncate",
        [IO_LOCK] = "lock",     [IO_MKDIR] = "mkdir",   [IO_ACCEPT] = "accept",
        [IO_RECV] = "recv",     [IO_SEND] = "send",     [IO_SPAWN] = "spawn",
    };
    return (unsigned)op < IO_OP_COUNT ? names[op] : "unknown";
}

int env_tap(const struct env *env, const struct io_event *event)
{
    int verdict = env->tap ? env->tap(env->ctx, event) : 0;
    bool goes_on = event->op == IO_WRITE || event->op == IO_RECV || event->op == IO_SEND;
    return verdict == IO_TAP_SHORT && !goes_on ? 0 : verdict;
}

int env_tap_path(const struct env *env, enum io_op op, const char *path)
{
    return env_tap(env, &(struct io_event){.op = op, .path = path});
}
