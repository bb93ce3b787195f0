#include "remote/git_run.h"

#include "base/child.h"
#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"
#include "remote/git_advice.h"
#include "remote/git_repo.h"
#include "remote/retry_after.h"

#include <assert.h>

#define MEMORY_MAX ((uint64_t)512 << 20)
#define FILE_MAX   ((uint64_t)8 << 30)
#define ARGS_MAX   40

const char *git_said_why(const struct git_said *s)
{
    return s->why.len && !s->why.failed ? s->why.p : "";
}

/* The last lines of what it said, on one line and without the token; or what to do about it. */
static void reason(const struct git_repo *r, struct child_end *end, struct git_said *ret)
{
    struct buf *out = &ret->why;
    ret->guest = git_advice_guest_refused(buf_view(&end->said));
    if (git_advice(r->place, r->url, buf_view(&end->said), &ret->problem, out))
        return;
    git_auth_hide(r->auth, end->said.p, end->said.len);
    ret->content = git_advice_content_refused(buf_view(&end->said));
    str said = str_trim(buf_view(&end->said));
    if (said.len > 300)
        said = str_from(said, said.len - 300);
    for (size_t i = 0; i < said.len; i++) {
        unsigned char c = (unsigned char)said.p[i];
        buf_byte(out, c < 0x20 || c == 0x7f ? ' ' : (char)c);
    }
    if (str_has(said, "ut of memory"))
        buf_printf(out, " (it may use %d MiB: something at the host is too large for that)",
                   (int)(MEMORY_MAX >> 20));
    if (said.len == 0)
        buf_printf(out, end->status < 0 ? "it was ended by signal %d" : "it ended with status %d",
                   end->status < 0 ? end->signal : end->status);
}

static void take_trace(void *ctx, str bytes)
{
    retry_after_take(ctx, bytes);
}

static kf_rc failed(const struct git_repo *r, const struct git_command *c, struct child_end *end,
                    struct kf_err *err)
{
    struct git_said said = GIT_SAID_INIT;
    reason(r, end, &said);
    kf_rc rc = buf_ok(&said.why, err);
    if (rc == KF_OK)
        rc = err_set(err, said.problem, "git could not %s: %s", c->what, said.why.p);
    buf_release(&said.why);
    return rc;
}

/* How long the next command may take. */
static kf_rc time_left(const struct git_repo *r, uint32_t *ret_ms, struct kf_err *err)
{
    uint32_t all_ms = r->call_ms * 10;
    int64_t left_ms = r->until_ms ? r->until_ms - env_mono_ms(r->env) : (int64_t)all_ms;
    if (left_ms <= 0)
        return err_set(err, PROBLEM_TIMEOUT,
                       "the host, or the reading of what it sent, took longer than there was time: "
                       "try again, or give it more");
    *ret_ms = left_ms < (int64_t)all_ms ? (uint32_t)left_ms : all_ms;
    return KF_OK;
}

/* So that it stays below MEMORY_MAX whatever the size of a pack: what it maps and keeps is bounded,
 * large files are streamed. A commit is one pack. */
static const char *const settings[] = {
    "core.packedGitWindowSize=16m", "core.packedGitLimit=128m", "core.deltaBaseCacheLimit=32m",
    "core.bigFileThreshold=32m",    "pack.windowMemory=64m",    "pack.threads=1",
    "fastimport.unpackLimit=1",
};

/* git -c SETTING … --git-dir=DIR ARGS */
static void make_argv(const struct git_command *c, const char *dir,
                      const char *ret_argv[ARGS_MAX + 1])
{
    size_t n = 0;
    ret_argv[n++] = "git";
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        ret_argv[n++] = "-c";
        ret_argv[n++] = settings[i];
    }
    /* The cache is not synced; a host that is a folder is. */
    ret_argv[n++] = "-c";
    ret_argv[n++] = c->as == GIT_AS_NOBODY ? "core.fsync=none" : "core.fsync=all";
    ret_argv[n++] = dir;
    for (size_t i = 0; c->args[i]; i++) {
        assert(n < ARGS_MAX);
        ret_argv[n++] = c->args[i];
    }
    ret_argv[n] = NULL;
}

/* What one command was told is not unsaid by another that hears nothing. */
static void heed(const struct git_repo *r, const struct retry_after *told)
{
    int64_t retry_ms = retry_after_ms(told, env_wall_ms(r->env));
    if (retry_ms)
        *r->retry_ms = retry_ms;
}

static void look_at_clock(const struct git_repo *r, const struct retry_after *told, int64_t from_ms)
{
    int64_t ahead_ms;
    if (retry_after_clock(told, from_ms, env_wall_ms(r->env), &ahead_ms))
        *r->clock = (struct remote_clock){.told = true, .ahead_ms = ahead_ms};
}

kf_rc git_command_run(struct git_repo *r, const struct git_command *c, int *ret_status,
                      struct git_said *said, struct kf_err *err)
{
    const char *argv[ARGS_MAX + 1];
    struct child_end end = {0};
    struct buf dir = BUF_INIT;
    struct retry_after told = {0};
    bool web = r->url->transport == GIT_HTTPS || r->url->transport == GIT_HTTP;
    uint32_t left_ms = 0;
    buf_printf(&dir, "--git-dir=%s", r->dir);
    kf_rc rc = buf_ok(&dir, err);
    if (rc != KF_OK) {
        buf_release(&dir);
        return rc;
    }
    make_argv(c, dir.p, argv);
    rc = time_left(r, &left_ms, err);
    struct child child = {
        .argv = argv,
        .environ = git_auth_environ(r->auth, c->as),
        .feed = c->feed,
        .take = c->take,
        .ctx = c->ctx,
        .trace = web && c->as != GIT_AS_NOBODY ? take_trace : NULL,
        .trace_ctx = &told,
        .idle_ms = r->call_ms < left_ms ? r->call_ms : left_ms,
        .total_ms = left_ms,
        .stop = r->stop,
        .memory_max = MEMORY_MAX,
        .file_max = FILE_MAX,
    };
    for (const char *const *e = child.environ; KF_SABOTAGE("log-header") && *e; e++)
        log_event(r->log, LOG_DEBUG, "git.environment", LOG_S("entry", *e), LOG_END);
    uint64_t began_ns = env_mono_ns(r->env);
    int64_t began_wall_ms = env_wall_ms(r->env);
    if (rc == KF_OK)
        rc = child_run(r->env, &child, &end, err);
    if (rc == KF_UNAVAILABLE && time_left(r, &left_ms, NULL) != KF_OK)
        rc = time_left(r, &left_ms, err);
    log_event(r->log, LOG_DEBUG, "git.ran", LOG_S("to", c->what), LOG_I("status", end.status),
              LOG_I("us", (env_mono_ns(r->env) - began_ns) / 1000), LOG_END);
    if (child.trace && (rc != KF_OK || end.status != 0))
        heed(r, &told);
    if (child.trace)
        look_at_clock(r, &told, began_wall_ms);
    mem_wipe(&told, sizeof(told));
    if (rc == KF_OK && ret_status) {
        *ret_status = end.status < 0 ? 128 + end.signal : end.status;
        if (said)
            reason(r, &end, said);
    } else if (rc == KF_OK && end.status != 0) {
        rc = failed(r, c, &end, err);
    }
    buf_release(&end.said);
    buf_release(&dir);
    return rc;
}

kf_rc git_not_understood(const char *command, struct kf_err *err)
{
    return err_set(err, PROBLEM_REMOTE_FAILED,
                   "git %s printed something that this program does not understand", command);
}

kf_rc git_text_take(void *ctx, str bytes, struct kf_err *err)
{
    struct git_text *t = ctx;
    if (t->out.len + bytes.len > t->max)
        return err_set(err, PROBLEM_REMOTE_FAILED, "git printed more than %zu bytes", t->max);
    buf_str(&t->out, bytes);
    return buf_ok(&t->out, err);
}

bool git_id_read(str s, struct git_id *ret)
{
    if (!str_is_hex(s, 40) && !str_is_hex(s, GIT_ID_MAX))
        return false;
    memcpy(ret->hex, s.p, s.len);
    ret->hex[s.len] = '\0';
    return true;
}
