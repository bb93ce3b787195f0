/* Commands of git, and what they print.
 *
 *     ls-remote       "ID\tREF\n"
 *     ls-tree         "MODE TYPE ID\tPATH\0"
 *     diff-tree       ":OLDMODE NEWMODE OLDID NEWID STATUS\0PATH\0"
 *     log             "\x01ID SECONDS\n" PATH\0 PATH\0 …
 *     cat-file        "ID TYPE SIZE\nBYTES\n", or "NAME missing\n"
 *     fast-import     "ID\n" for get-mark
 *
 * A command is judged by its exit status; what it says on stderr goes into the message and is never
 * understood. What it traces of the heads of answers over HTTP is read for one thing alone, how
 * long the host asks to be left alone, and kept nowhere. */
#include "remote/git_repo.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"
#include "remote/git_walk.h"
#include "remote/retry_after.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define MEMORY_MAX ((uint64_t)512 << 20)
#define FILE_MAX   ((uint64_t)8 << 30)
#define ARGS_MAX   40
#define LOOSE_MAX  2048 /* objects that are not packed, about */
#define PACKS_MAX  30
#define TIP        "refs/keepfast/tip"
#define NEXT       "refs/keepfast/next"
#define READY      "keepfast-ready"

/* ------------------------------------------------------------------------------------ running */

struct command {
    const char *what; /* for messages: "fetch from" */
    enum git_as as;   /* nobody: it stays in the repository */
    const char *args[20];
    kf_rc (*feed)(void *ctx, struct buf *out, struct kf_err *err);
    kf_rc (*take)(void *ctx, str bytes, struct kf_err *err);
    void *ctx;
};

static bool str_has(str s, const char *what)
{
    str w = str_of(what);
    for (size_t i = 0; i + w.len <= s.len; i++)
        if (memcmp(s.p + i, w.p, w.len) == 0)
            return true;
    return false;
}

/* Why a command failed. */
struct said {
    struct buf why;
    enum problem problem;
    bool content; /* the host refuses what was pushed */
    bool guest;   /* it refuses a guest */
};

static const char *why_of(const struct said *s)
{
    return s->why.len && !s->why.failed ? s->why.p : "";
}

/* The last lines of what it said, on one line and without the token; or what to do about it. */
static void reason(const struct git_repo *r, struct child_end *end, struct said *ret)
{
    struct buf *out = &ret->why;
    ret->guest = git_auth_guest_refused(buf_view(&end->said));
    if (git_auth_advice(r->place, r->url, buf_view(&end->said), &ret->problem, out))
        return;
    git_auth_hide(r->auth, end->said.p, end->said.len);
    ret->content = git_auth_content_refused(buf_view(&end->said));
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

static kf_rc failed(const struct git_repo *r, const struct command *c, struct child_end *end,
                    struct kf_err *err)
{
    struct said said = {.why = BUF_INIT, .problem = PROBLEM_REMOTE_FAILED};
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

/* Runs `git --git-dir=DIR ARGS`. With ret_status the exit status is the caller's to judge (of a
 * signal: 128 and its number, as in a shell); what it said is then appended to `said` (may be
 * NULL). Without, all but 0 is remote_failed. */
static kf_rc run(struct git_repo *r, const struct command *c, int *ret_status, struct said *said,
                 struct kf_err *err)
{
    /* So that it stays below MEMORY_MAX whatever the size of a pack: what it maps and keeps is
     * bounded, large files are streamed. A commit is one pack. The cache is not synced; a host that
     * is a folder is. */
    const char *argv[ARGS_MAX + 1] = {"git",
                                      "-c",
                                      "core.packedGitWindowSize=16m",
                                      "-c",
                                      "core.packedGitLimit=128m",
                                      "-c",
                                      "core.deltaBaseCacheLimit=32m",
                                      "-c",
                                      "core.bigFileThreshold=32m",
                                      "-c",
                                      "pack.windowMemory=64m",
                                      "-c",
                                      "pack.threads=1",
                                      "-c",
                                      "fastimport.unpackLimit=1",
                                      "-c",
                                      c->as == GIT_AS_NOBODY ? "core.fsync=none"
                                                             : "core.fsync=all"};
    struct child_end end = {0};
    struct buf dir = BUF_INIT;
    struct retry_after told = {0};
    int64_t retry_ms = 0;
    bool web = r->url->transport == GIT_HTTPS || r->url->transport == GIT_HTTP;
    uint32_t left_ms = 0;
    int n = 17;
    buf_printf(&dir, "--git-dir=%s", r->dir);
    kf_rc rc = buf_ok(&dir, err);
    if (rc != KF_OK) {
        buf_release(&dir);
        return rc;
    }
    argv[n++] = dir.p;
    for (int i = 0; c->args[i]; i++) {
        assert(n < ARGS_MAX);
        argv[n++] = c->args[i];
    }
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
    if (rc == KF_OK)
        rc = child_run(r->env, &child, &end, err);
    if (rc == KF_UNAVAILABLE && time_left(r, &left_ms, NULL) != KF_OK)
        rc = time_left(r, &left_ms, err);
    log_event(r->log, LOG_DEBUG, "git.ran", LOG_S("to", c->what), LOG_I("status", end.status),
              LOG_I("us", (env_mono_ns(r->env) - began_ns) / 1000), LOG_END);
    if (child.trace && (rc != KF_OK || end.status != 0))
        retry_ms = retry_after_ms(&told, env_wall_ms(r->env));
    if (retry_ms) /* what one command was told is not unsaid by another that hears nothing */
        *r->retry_ms = retry_ms;
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

static kf_rc not_understood(const char *command, struct kf_err *err)
{
    return err_set(err, PROBLEM_REMOTE_FAILED,
                   "git %s printed something that this program does not understand", command);
}

/* Output that is short and read as a whole. */
struct text {
    struct buf out;
    size_t max;
};

static kf_rc take_text(void *ctx, str bytes, struct kf_err *err)
{
    struct text *t = ctx;
    if (t->out.len + bytes.len > t->max)
        return err_set(err, PROBLEM_REMOTE_FAILED, "git printed more than %zu bytes", t->max);
    buf_str(&t->out, bytes);
    return buf_ok(&t->out, err);
}

static bool read_id(str s, struct git_id *ret)
{
    if (s.len != 40 && s.len != GIT_ID_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    memcpy(ret->hex, s.p, s.len);
    ret->hex[s.len] = '\0';
    return true;
}

/* ---------------------------------------------------------------------------- the repository */

kf_rc git_repo_remove(struct git_repo *r, struct kf_err *err)
{
    const char *const argv[] = {"rm", "-rf", "--", r->dir, NULL};
    struct child_end end = {0};
    struct child child = {
        .argv = argv,
        .environ = git_auth_environ(r->auth, GIT_AS_NOBODY),
        .total_ms = r->call_ms * 10,
    };
    kf_rc rc = child_run(r->env, &child, &end, err);
    if (rc == KF_OK && end.status != 0)
        rc = err_set(err, PROBLEM_IO_ERROR, "cannot remove %s", r->dir);
    buf_release(&end.said);
    return rc;
}

/* Says what the machine started with: it is another text after each start. */
static kf_rc read_boot(struct git_repo *r, struct buf *out, struct kf_err *err)
{
    kf_rc rc = file_load(r->env, "/proc/sys/kernel/random/boot_id", 128, out, err);
    if (rc == KF_ABSENT) /* then every start is like the others, and a sync is not waited for */
        rc = KF_OK;
    return rc == KF_OK ? buf_ok(out, err) : rc;
}

static kf_rc init(struct git_repo *r, const char *ready, str boot, struct kf_err *err)
{
    struct command c = {.what = "make a repository beside the store",
                        .args = {"init", "--quiet", "--bare", "--template=", r->dir}};
    kf_rc rc = git_repo_remove(r, err);
    if (rc == KF_OK)
        rc = dir_make(r->env, r->dir, err);
    if (rc == KF_OK)
        rc = run(r, &c, NULL, NULL, err);
    return rc == KF_OK ? file_store(r->env, ready, boot, err) : rc;
}

/* Nothing in it is synced, so after a loss of power it may be in any state: it is read whole once,
 * and made anew when something is wrong. */
static kf_rc check_after_start(struct git_repo *r, const char *ready, str boot, struct kf_err *err)
{
    struct command c = {.what = "check the repository beside the store",
                        .args = {"fsck", "--full", "--no-dangling", "--no-progress"}};
    int status = 0;
    kf_rc rc = run(r, &c, &status, NULL, err);
    if (rc == KF_OK && status == 0)
        return file_store(r->env, ready, boot, err);
    if (rc != KF_OK && rc != KF_UNAVAILABLE)
        return rc;
    KF_SOMETIMES("git-repository-made-anew");
    log_event(r->log, LOG_WARN, "git.cache", LOG_S("path", r->dir), LOG_END);
    return init(r, ready, boot, err);
}

/* What a command leaves when it is killed, or fails: a lock, which would stop all that come after
 * it; a pack that is kept, or was not finished; a report of fast-import, as large as what it was
 * given. No other command is at work here, so nobody misses any of it. */
static bool is_left(str name)
{
    return str_ends(name, STR(".lock")) || str_ends(name, STR(".keep")) ||
           str_starts(name, STR("tmp_")) || str_starts(name, STR(".tmp-")) ||
           str_starts(name, STR("fast_import_crash_"));
}

static void remove_left_of(struct git_repo *r, const char *folder)
{
    struct buf names = BUF_INIT, path = BUF_INIT;
    buf_printf(&path, "%s/%s", r->dir, folder);
    size_t len = path.len;
    if (buf_ok(&path, NULL) == KF_OK && dir_list(r->env, path.p, &names, NULL) == KF_OK)
        for (size_t at = 0; at < names.len; at += strlen(names.p + at) + 1) {
            if (!is_left(str_of(names.p + at)))
                continue;
            KF_SOMETIMES("git-left-by-a-killed-command");
            path.len = len;
            buf_printf(&path, "/%s", names.p + at);
            if (buf_ok(&path, NULL) == KF_OK)
                file_unlink(r->env, path.p, NULL);
        }
    buf_release(&names);
    buf_release(&path);
}

static void remove_left(struct git_repo *r)
{
    static const char *const folders[] = {".", "refs/keepfast", "objects", "objects/pack"};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        remove_left_of(r, folders[i]);
}

kf_rc git_repo_make(struct git_repo *r, struct kf_err *err)
{
    struct buf ready = BUF_INIT, then = BUF_INIT, boot = BUF_INIT;
    buf_printf(&ready, "%s/" READY, r->dir);
    kf_rc rc = buf_ok(&ready, err);
    if (rc == KF_OK)
        rc = read_boot(r, &boot, err);
    if (rc == KF_OK)
        remove_left(r);
    if (rc == KF_OK && (rc = file_load(r->env, ready.p, 128, &then, err)) == KF_ABSENT)
        rc = init(r, ready.p, buf_view(&boot), err);
    else if (rc == KF_OK && !str_eq(buf_view(&then), buf_view(&boot)))
        rc = check_after_start(r, ready.p, buf_view(&boot), err);
    buf_release(&ready);
    buf_release(&then);
    buf_release(&boot);
    return rc;
}

kf_rc git_has(struct git_repo *r, const struct git_id *id, bool *ret, struct kf_err *err)
{
    int status = 0;
    struct command c = {.what = "look for a commit", .args = {"cat-file", "-e", id->hex}};
    kf_rc rc = run(r, &c, &status, NULL, err);
    if (rc == KF_OK)
        *ret = status == 0;
    return rc;
}

kf_rc git_follows(struct git_repo *r, const struct git_id *older, const struct git_id *newer,
                  bool *ret, struct kf_err *err)
{
    int status = 0;
    struct command c = {.what = "compare two commits",
                        .args = {"merge-base", "--is-ancestor", older->hex, newer->hex}};
    kf_rc rc = run(r, &c, &status, NULL, err);
    if (rc == KF_OK && status > 1)
        return err_set(err, PROBLEM_REMOTE_FAILED, "git could not compare two commits");
    if (rc == KF_OK)
        *ret = status == 0;
    return rc;
}

static size_t names_in(struct git_repo *r, const char *folder)
{
    struct buf path = BUF_INIT, names = BUF_INIT;
    size_t count = 0;
    buf_printf(&path, "%s/objects/%s", r->dir, folder);
    if (buf_ok(&path, NULL) == KF_OK && dir_list(r->env, path.p, &names, NULL) == KF_OK)
        for (size_t at = 0; at < names.len; at += strlen(names.p + at) + 1)
            count++;
    buf_release(&path);
    buf_release(&names);
    return count;
}

/* One of the 256 folders of loose objects tells how many there are; a pack is two files. */
static bool has_gathered(struct git_repo *r)
{
    return names_in(r, "17") >= LOOSE_MAX / 256 || names_in(r, "pack") >= 2 * PACKS_MAX;
}

kf_rc git_pack(struct git_repo *r, struct kf_err *err)
{
    struct command c = {.what = "pack its objects",
                        .args = {"repack", "-d", "--quiet", "--geometric=2"}};
    if (!has_gathered(r))
        return KF_OK;
    KF_SOMETIMES("git-repository-packed");
    return run(r, &c, NULL, NULL, err);
}

/* ------------------------------------------------------------------------------------ the host */

static kf_rc full_ref(const char *branch, struct buf *out, struct kf_err *err)
{
    buf_printf(out, "refs/heads/%s", branch);
    return buf_ok(out, err);
}

static kf_rc tip_of(struct git_repo *r, const char *ref, struct git_id *ret, struct kf_err *err)
{
    struct text t = {.max = 65536};
    struct command c = {.what = "ask the host for its branch",
                        .as = GIT_AS_OWNER,
                        .args = {"ls-remote", "--quiet", "--", r->url->address.p, ref},
                        .take = take_text,
                        .ctx = &t};
    struct git_id tip = {""};
    kf_rc rc = run(r, &c, NULL, NULL, err);
    /* A name is matched from its end: refs/x/refs/heads/data is listed, too. */
    for (str rest = buf_view(&t.out); rc == KF_OK && rest.len;) {
        size_t n = str_index(rest, '\n'), tab = str_index(rest, '\t');
        if (tab >= n || !read_id((str){rest.p, tab}, &tip))
            rc = not_understood("ls-remote", err);
        else if (str_is((str){rest.p + tab + 1, n - tab - 1}, ref))
            break;
        else
            tip.hex[0] = '\0';
        rest = str_from(rest, n + 1);
    }
    buf_release(&t.out);
    if (rc == KF_OK)
        *ret = tip;
    return rc;
}

kf_rc git_remote_tip(struct git_repo *r, const char *branch, struct git_id *ret, struct kf_err *err)
{
    struct buf ref = BUF_INIT;
    kf_rc rc = full_ref(branch, &ref, err);
    if (rc == KF_OK)
        rc = tip_of(r, ref.p, ret, err);
    buf_release(&ref);
    return rc;
}

kf_rc git_is_public(struct git_repo *r, bool *ret, struct kf_err *err)
{
    struct text t = {.max = 65536};
    struct said said = {.why = BUF_INIT, .problem = PROBLEM_REMOTE_FAILED};
    struct command c = {.what = "ask the host as a guest",
                        .as = GIT_AS_GUEST,
                        .args = {"ls-remote", "--quiet", "--", r->url->address.p, "HEAD"},
                        .take = take_text,
                        .ctx = &t};
    int status = 0;
    if (r->url->transport == GIT_SSH || r->url->transport == GIT_FILE) {
        *ret = false;
        return KF_OK;
    }
    kf_rc rc = run(r, &c, &status, &said, err);
    if (rc == KF_OK && status != 0 && !said.guest)
        rc = err_set(err, PROBLEM_REMOTE_FAILED, "git could not %s: %s", c.what, why_of(&said));
    if (rc == KF_OK)
        *ret = status == 0;
    buf_release(&t.out);
    buf_release(&said.why);
    return rc;
}

/* KF_ABSENT when there is none. */
static kf_rc local_id(struct git_repo *r, const char *name, struct git_id *ret, struct kf_err *err)
{
    struct text t = {.max = 4096};
    struct command c = {.what = "read a name of its own",
                        .args = {"rev-parse", "--verify", "--quiet", name},
                        .take = take_text,
                        .ctx = &t};
    int status = 0;
    kf_rc rc = run(r, &c, &status, NULL, err);
    if (rc == KF_OK && status != 0)
        rc = err_set(err, PROBLEM_NOT_FOUND, "there is nothing of this name here");
    if (rc == KF_OK &&
        !read_id(str_trim(str_make(t.out.p, str_index(buf_view(&t.out), '\n'))), ret))
        rc = not_understood("rev-parse", err);
    buf_release(&t.out);
    return rc;
}

static kf_rc local_ref(struct git_repo *r, const char *ref, struct git_id *ret, struct kf_err *err)
{
    kf_rc rc = local_id(r, ref, ret, err);
    return rc == KF_ABSENT ? not_understood("rev-parse", err) : rc;
}

static kf_rc fetch(struct git_repo *r, const char *branch, const char *depth, struct git_id *ret,
                   struct kf_err *err)
{
    struct buf spec = BUF_INIT;
    buf_printf(&spec, "+refs/heads/%s:" TIP, branch);
    kf_rc rc = buf_ok(&spec, err);
    struct command c = {.what = "fetch from the host",
                        .as = GIT_AS_OWNER,
                        .args = {"fetch", "--quiet", "--no-tags", "--no-write-fetch-head",
                                 "--no-auto-maintenance", "--no-recurse-submodules",
                                 "--update-shallow", depth, "--", r->url->address.p, spec.p}};
    if (rc == KF_OK)
        rc = run(r, &c, NULL, NULL, err);
    if (rc == KF_OK)
        rc = local_ref(r, TIP, ret, err);
    buf_release(&spec);
    return rc;
}

kf_rc git_fetch(struct git_repo *r, const char *branch, enum git_depth depth, struct git_id *ret,
                struct kf_err *err)
{
    static const char *const depths[] = {
        [GIT_NEWEST] = "--depth=1", [GIT_FOLLOW] = "--no-tags", [GIT_WHOLE] = "--depth=2147483647"};
    return fetch(r, branch, depths[depth], ret, err);
}

kf_rc git_fetch_past(struct git_repo *r, const char *branch, unsigned commits, bool more,
                     struct git_id *ret, struct kf_err *err)
{
    char depth[40];
    snprintf(depth, sizeof(depth), more ? "--deepen=%u" : "--depth=%u", commits);
    return fetch(r, branch, depth, ret, err);
}

/* Pushes "COMMIT:REF" on condition that REF is at `on` now. */
static kf_rc push_ref(struct git_repo *r, const char *ref, const struct git_id *on,
                      const struct git_id *commit, int *ret_status, struct said *said,
                      struct kf_err *err)
{
    struct buf lease = BUF_INIT, spec = BUF_INIT;
    buf_printf(&lease, "--force-with-lease=%s:%s", ref, on->hex);
    buf_printf(&spec, "%s:%s", commit->hex, ref);
    kf_rc rc = buf_ok(&lease, err);
    if (rc == KF_OK)
        rc = buf_ok(&spec, err);
    struct command c = {.what = "push to the host",
                        .as = GIT_AS_OWNER,
                        .args = {"push", "--quiet", "--no-verify", "--no-recurse-submodules",
                                 lease.p, "--", r->url->address.p, spec.p}};
    if (rc == KF_OK)
        rc = run(r, &c, ret_status, said, err);
    buf_release(&lease);
    buf_release(&spec);
    return rc;
}

/* Where the ref is after a push that git called a failure. */
static kf_rc judge_push(struct git_repo *r, const char *ref, const struct git_id *on,
                        const struct git_id *commit, const struct said *said, struct kf_err *err)
{
    struct git_id now = {""};
    struct kf_err why = KF_ERR_INIT;
    /* One that asks to be left alone is not asked at once what has become of it: the next run finds
     * out. */
    kf_rc rc = *r->retry_ms ? KF_UNAVAILABLE : tip_of(r, ref, &now, &why);
    if (rc == KF_UNAVAILABLE) /* the push has said why */
        return err_set(err, said->problem, "git could not push to the host: %s", why_of(said));
    if (rc != KF_OK) {
        if (err)
            *err = why;
        return rc;
    }
    if (strcmp(now.hex, commit->hex) == 0) {
        KF_SOMETIMES("git-push-arrived-unheard");
        return KF_OK;
    }
    if (strcmp(now.hex, on->hex) != 0)
        return err_set(err, PROBLEM_VERSION_MISMATCH, "somebody else pushed meanwhile");
    if (said->content)
        KF_SOMETIMES("git-content-refused");
    return err_set(err, said->content ? PROBLEM_REMOTE_REFUSED : said->problem,
                   "the host refused the push: %s", why_of(said));
}

static kf_rc push_and_judge(struct git_repo *r, const char *ref, const struct git_id *on,
                            const struct git_id *commit, struct kf_err *err)
{
    struct said said = {.why = BUF_INIT, .problem = PROBLEM_REMOTE_FAILED};
    struct kf_err why = KF_ERR_INIT;
    int status = 0;
    kf_rc rc = push_ref(r, ref, on, commit, &status, &said, &why);
    if (rc == KF_UNAVAILABLE) { /* its time was over: it may have arrived */
        buf_c(&said.why, why.detail);
        status = -1;
        rc = KF_OK;
    } else if (rc != KF_OK && err) {
        *err = why;
    }
    if (rc == KF_OK && status != 0 && !KF_SABOTAGE("git-confirm-early"))
        rc = judge_push(r, ref, on, commit, &said, err);
    buf_release(&said.why);
    return rc;
}

kf_rc git_push(struct git_repo *r, const char *branch, const struct git_id *on,
               const struct git_id *commit, struct kf_err *err)
{
    struct buf ref = BUF_INIT;
    kf_rc rc = full_ref(branch, &ref, err);
    if (rc == KF_OK)
        rc = push_and_judge(r, ref.p, on, commit, err);
    buf_release(&ref);
    return rc;
}

kf_rc git_probe(struct git_repo *r, const char *name, const struct git_id *commit,
                struct kf_err *err)
{
    const struct git_id none = {""};
    struct git_id there = {""};
    struct buf ref = BUF_INIT, gone = BUF_INIT;
    buf_printf(&ref, "refs/keepfast/%s", name);
    buf_printf(&gone, ":refs/keepfast/%s", name);
    kf_rc rc = buf_ok(&ref, err);
    if (rc == KF_OK)
        rc = buf_ok(&gone, err);
    if (rc == KF_OK)
        rc = push_and_judge(r, ref.p, &none, commit, err);
    if (rc == KF_OK)
        rc = tip_of(r, ref.p, &there, err);
    if (rc == KF_OK && strcmp(there.hex, commit->hex) != 0)
        rc = err_set(err, PROBLEM_REMOTE_FAILED, "what was written does not come back");
    struct command c = {
        .what = "remove what it wrote for a test",
        .as = GIT_AS_OWNER,
        .args = {"push", "--quiet", "--no-verify", "--", r->url->address.p, gone.p}};
    if (rc == KF_OK)
        rc = run(r, &c, NULL, NULL, err);
    buf_release(&ref);
    buf_release(&gone);
    return rc;
}

/* ---------------------------------------------------------------------------- files and changes */

/* Records that end with a NUL; one may come in several pieces. */
struct records {
    struct buf part;
    size_t count;
    kf_rc (*record)(struct records *r, str record, struct kf_err *err);
};

static kf_rc take_records(struct records *r, str bytes, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    while (rc == KF_OK && bytes.len) {
        size_t n = str_index(bytes, '\0');
        str piece = {bytes.p, n};
        if (r->part.len + n > GIT_RECORD_MAX + 256)
            return err_set(err, PROBLEM_REMOTE_FAILED, "the branch has a path longer than %d bytes",
                           GIT_RECORD_MAX);
        if (n == bytes.len) {
            buf_str(&r->part, piece);
            return buf_ok(&r->part, err);
        }
        if (r->part.len) {
            buf_str(&r->part, piece);
            piece = buf_view(&r->part);
            rc = buf_ok(&r->part, err);
        }
        if (rc == KF_OK && ++r->count > 2 * (size_t)GIT_FILES_MAX)
            rc = err_set(err, PROBLEM_REMOTE_FAILED, "the branch has more than %d files",
                         GIT_FILES_MAX);
        if (rc == KF_OK)
            rc = r->record(r, piece, err);
        buf_clear(&r->part);
        bytes = str_from(bytes, n + 1);
    }
    return rc;
}

struct listing {
    struct records records; /* first */
    git_each *each;
    void *ctx;
    struct git_file file; /* of a change, until its path comes */
    struct git_id id, old_id;
    bool has_head;
};

static kf_rc take_listing(void *ctx, str bytes, struct kf_err *err)
{
    struct listing *l = ctx;
    return take_records(&l->records, bytes, err);
}

/* Six octal digits at the start; then a blank. */
static bool read_mode(str s, uint32_t *ret)
{
    uint32_t mode = 0;
    if (s.len < 7 || s.p[6] != ' ')
        return false;
    for (int i = 0; i < 6; i++) {
        if (s.p[i] < '0' || s.p[i] > '7')
            return false;
        mode = mode * 8 + (uint32_t)(s.p[i] - '0');
    }
    *ret = mode;
    return true;
}

/* The next word; what is behind it stays in *rest. */
static str take_word(str *rest)
{
    str word = {rest->p, str_index(*rest, ' ')};
    *rest = str_from(*rest, word.len + 1);
    return word;
}

static kf_rc file_record(struct records *r, str record, struct kf_err *err)
{
    struct listing *l = (struct listing *)r;
    struct git_file f = {0};
    size_t tab = str_index(record, '\t');
    str words = {record.p, tab};
    bool ok = tab < record.len && read_mode(record, &f.mode);
    take_word(&words); /* the mode */
    take_word(&words); /* the type, as the mode says */
    if (!ok || !read_id(words, &l->id))
        return not_understood("ls-tree", err);
    f.id = str_of(l->id.hex);
    f.path = str_from(record, tab + 1);
    return l->each(l->ctx, &f, err);
}

static kf_rc change_record(struct records *r, str record, struct kf_err *err)
{
    struct listing *l = (struct listing *)r;
    if (l->has_head) {
        l->has_head = false;
        l->file.path = record;
        return l->each(l->ctx, &l->file, err);
    }
    str ids = str_from(record, 15);
    if (!str_starts(record, STR(":")) || !read_mode(str_from(record, 1), &l->file.old_mode) ||
        !read_mode(str_from(record, 8), &l->file.mode) || !read_id(take_word(&ids), &l->old_id) ||
        !read_id(take_word(&ids), &l->id))
        return not_understood("diff-tree", err);
    l->file.old_id = str_of(l->old_id.hex);
    l->file.id = str_of(l->id.hex);
    l->has_head = true;
    return KF_OK;
}

static kf_rc list(struct git_repo *r, struct listing *l, struct command *c, struct kf_err *err)
{
    c->take = take_listing;
    c->ctx = l;
    kf_rc rc = run(r, c, NULL, NULL, err);
    if (rc == KF_OK && (l->records.part.len || l->has_head))
        rc = not_understood(c->args[0], err);
    buf_release(&l->records.part);
    return rc;
}

kf_rc git_files(struct git_repo *r, const struct git_id *commit, git_each *each, void *ctx,
                struct kf_err *err)
{
    struct listing l = {.records = {.record = file_record}, .each = each, .ctx = ctx};
    struct command c = {.what = "list the files of a commit",
                        .args = {"ls-tree", "-r", "-z", "--full-tree", commit->hex}};
    return list(r, &l, &c, err);
}

kf_rc git_changes(struct git_repo *r, const struct git_id *from, const struct git_id *to,
                  git_each *each, void *ctx, struct kf_err *err)
{
    struct listing l = {.records = {.record = change_record}, .each = each, .ctx = ctx};
    struct command c = {.what = "compare two commits",
                        .args = {"diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-ext-diff",
                                 from->hex, to->hex}};
    return list(r, &l, &c, err);
}

/* -------------------------------------------------------------------------------------- reading */

struct reading {
    const str *names;
    size_t count, fed, at; /* at: whose answer comes */
    size_t max;
    git_object *each;
    void *ctx;
    struct buf head, body;
    uint64_t left; /* bytes of the body, and the newline behind it */
    bool in_body, too_large, no_file;
};

static kf_rc feed_names(void *ctx, struct buf *out, struct kf_err *err)
{
    struct reading *r = ctx;
    for (; r->fed < r->count && out->len < 65536; r->fed++) {
        buf_str(out, r->names[r->fed]);
        buf_byte(out, '\n');
    }
    return buf_ok(out, err);
}

static kf_rc answer(struct reading *r, enum git_found found, struct kf_err *err)
{
    str bytes = found == GIT_THERE ? buf_view(&r->body) : (str){0, 0};
    kf_rc rc = r->each(r->ctx, r->at++, found, bytes, err);
    buf_clear(&r->body);
    return rc;
}

/* "ID TYPE SIZE", or "NAME missing"; a name may hold blanks. */
static kf_rc read_head(struct reading *r, struct kf_err *err)
{
    str head = buf_view(&r->head);
    struct git_id id;
    if (str_ends(head, STR(" missing")) || str_ends(head, STR(" ambiguous")))
        return answer(r, GIT_MISSING, err);
    size_t a = str_index(head, ' ');
    str rest = str_from(head, a + 1);
    size_t b = str_index(rest, ' ');
    if (!read_id((str){head.p, a}, &id) || !str_to_u64(str_from(rest, b + 1), &r->left))
        return not_understood("cat-file", err);
    r->no_file = !str_is((str){rest.p, b}, "blob"); /* a path may be a folder's */
    r->too_large = r->left > r->max;
    r->left++;
    r->in_body = true;
    return KF_OK;
}

static kf_rc take_body(struct reading *r, str *bytes, struct kf_err *err)
{
    size_t n = bytes->len < r->left ? bytes->len : (size_t)r->left;
    r->left -= n;
    if (!r->too_large && !r->no_file)
        buf_add(&r->body, bytes->p, r->left ? n : n - 1);
    *bytes = str_from(*bytes, n);
    kf_rc rc = buf_ok(&r->body, err);
    if (rc != KF_OK || r->left)
        return rc;
    r->in_body = false;
    return answer(r, r->no_file ? GIT_NO_FILE : r->too_large ? GIT_TOO_LARGE : GIT_THERE, err);
}

static kf_rc take_objects(void *ctx, str bytes, struct kf_err *err)
{
    struct reading *r = ctx;
    kf_rc rc = KF_OK;
    while (rc == KF_OK && bytes.len) {
        if (r->in_body) {
            rc = take_body(r, &bytes, err);
            continue;
        }
        if (r->at == r->count)
            return not_understood("cat-file", err);
        size_t n = str_index(bytes, '\n');
        if (r->head.len + n > GIT_RECORD_MAX + 256)
            return not_understood("cat-file", err);
        buf_add(&r->head, bytes.p, n);
        rc = buf_ok(&r->head, err);
        if (n == bytes.len)
            return rc;
        bytes = str_from(bytes, n + 1);
        if (rc == KF_OK)
            rc = read_head(r, err);
        buf_clear(&r->head);
    }
    return rc;
}

kf_rc git_read(struct git_repo *r, const str *names, size_t count, size_t max, git_object *each,
               void *ctx, struct kf_err *err)
{
    struct reading reading = {.names = names, .count = count, .max = max, .each = each, .ctx = ctx};
    struct command c = {.what = "read its objects",
                        .args = {"cat-file", "--batch", "--buffer"},
                        .feed = feed_names,
                        .take = take_objects,
                        .ctx = &reading};
    kf_rc rc = count ? run(r, &c, NULL, NULL, err) : KF_OK;
    if (rc == KF_OK && (reading.at != count || reading.in_body))
        rc = not_understood("cat-file", err);
    buf_release(&reading.head);
    buf_release(&reading.body);
    return rc;
}

/* -------------------------------------------------------------------------------------- commits */

struct touching {
    struct records records; /* first */
    struct git_id commit;
    int64_t time_s;
    git_touch *each;
    void *ctx;
};

/* A record is a path; the first one of a commit has "\x01ID SECONDS\n" before it, or, for commits
 * without paths, several such lines. */
static kf_rc touch_record(struct records *r, str record, struct kf_err *err)
{
    struct touching *t = (struct touching *)r;
    for (;;) {
        while (str_starts(record, STR("\n")))
            record = str_from(record, 1);
        if (!str_starts(record, STR("\x01")))
            break;
        size_t blank = str_index(record, ' '), end = str_index(record, '\n');
        uint64_t seconds = 0;
        if (blank >= end || !read_id((str){record.p + 1, blank - 1}, &t->commit))
            break; /* a path that begins so */
        str number = {record.p + blank + 1, end - blank - 1};
        /* Before 1970, or beyond all time: what it says is of no use. */
        t->time_s = str_to_u64(number, &seconds) && seconds < INT32_MAX * (uint64_t)64
                        ? (int64_t)seconds
                        : 0;
        record = str_from(record, end + 1);
    }
    return record.len && t->commit.hex[0] ? t->each(t->ctx, &t->commit, t->time_s, record, err)
                                          : KF_OK;
}

static kf_rc take_touched(void *ctx, str bytes, struct kf_err *err)
{
    struct touching *t = ctx;
    return take_records(&t->records, bytes, err);
}

kf_rc git_touched(struct git_repo *r, const struct git_id *from, const struct git_id *to,
                  git_touch *each, void *ctx, struct kf_err *err)
{
    struct touching t = {.records = {.record = touch_record}, .each = each, .ctx = ctx};
    struct buf range = BUF_INIT;
    buf_printf(&range, "%s..%s", from->hex, to->hex);
    kf_rc rc = buf_ok(&range, err);
    struct command c = {.what = "read the history",
                        .args = {"log", "-z", "--format=%x01%H %ct%x0a", "--name-only",
                                 "--no-renames", "-m", "--first-parent", "--no-ext-diff", range.p},
                        .take = take_touched,
                        .ctx = &t};
    if (rc == KF_OK)
        rc = run(r, &c, NULL, NULL, err);
    buf_release(&t.records.part);
    buf_release(&range);
    return rc;
}

kf_rc git_fetched(struct git_repo *r, struct git_id *ret, struct kf_err *err)
{
    struct git_id id = {""};
    kf_rc rc = local_id(r, TIP, &id, err);
    if (rc == KF_ABSENT) {
        err_clear(err);
        rc = KF_OK;
    }
    if (rc == KF_OK)
        *ret = id;
    return rc;
}

kf_rc git_edges(struct git_repo *r, struct buf *out, struct kf_err *err)
{
    struct buf path = BUF_INIT;
    buf_printf(&path, "%s/shallow", r->dir);
    kf_rc rc = buf_ok(&path, err);
    if (rc == KF_OK && (rc = file_load(r->env, path.p, GIT_EDGES_MAX, out, err)) == KF_ABSENT) {
        err_clear(err);
        rc = KF_OK;
    }
    buf_release(&path);
    return rc == KF_OK ? buf_ok(out, err) : rc;
}

kf_rc git_commit_of(struct git_repo *r, str digits, struct git_id *ret, struct kf_err *err)
{
    char name[GIT_ID_MAX + 16];
    snprintf(name, sizeof(name), "%.*s^{commit}",
             (int)(digits.len < GIT_ID_MAX ? digits.len : GIT_ID_MAX), digits.p);
    return local_id(r, name, ret, err);
}

kf_rc git_log(struct git_repo *r, const struct git_id *from, bool only, const str paths[2],
              kf_rc (*take)(void *ctx, str bytes, struct kf_err *err), void *ctx,
              struct kf_err *err)
{
    struct command c = {.what = "read the history",
                        .args = {"--literal-pathspecs", "log", "-z", GIT_WALK_FORMAT,
                                 "--date-order", "--full-history", "--sparse", "-c", "--name-only",
                                 "--no-renames", "--no-ext-diff", "--no-textconv",
                                 only ? "--max-count=1" : "--no-mailmap", from->hex, "--",
                                 paths[0].p, paths[1].p},
                        .take = take,
                        .ctx = ctx};
    return run(r, &c, NULL, NULL, err);
}

/* "SECONDS\nMESSAGE": a message may be as long as somebody likes. */
struct commit_reading {
    struct buf time; /* until the end of its line */
    struct buf *message;
    bool in_message;
};

static kf_rc take_commit(void *ctx, str bytes, struct kf_err *err)
{
    struct commit_reading *c = ctx;
    if (!c->in_message) {
        size_t n = str_index(bytes, '\n');
        if (c->time.len + n > 64)
            return not_understood("log", err);
        buf_add(&c->time, bytes.p, n);
        c->in_message = n < bytes.len;
        bytes = str_from(bytes, n + 1);
    }
    buf_str(c->message, bytes);
    kf_rc rc = buf_ok(c->message, err);
    if (rc == KF_OK && c->message->len > 2 * GIT_MESSAGE_MAX)
        buf_shift(c->message, c->message->len - GIT_MESSAGE_MAX);
    return rc == KF_OK ? buf_ok(&c->time, err) : rc;
}

kf_rc git_commit_read(struct git_repo *r, const struct git_id *id, int64_t *ret_time_s,
                      struct buf *message, struct kf_err *err)
{
    struct commit_reading reading = {.message = message};
    struct command c = {.what = "read a commit",
                        .args = {"log", "-1", "--format=%ct%n%B", id->hex},
                        .take = take_commit,
                        .ctx = &reading};
    uint64_t seconds = 0;
    kf_rc rc = run(r, &c, NULL, NULL, err);
    if (rc == KF_OK)
        *ret_time_s = str_to_u64(buf_view(&reading.time), &seconds) &&
                              seconds < INT32_MAX * (uint64_t)64
                          ? (int64_t)seconds
                          : 0;
    buf_release(&reading.time);
    return rc;
}

struct making {
    const struct git_commit *commit;
    struct text out;
    enum { HEAD, FILES, END } at;
};

static void put_data(struct buf *out, str bytes)
{
    buf_printf(out, "data %zu\n", bytes.len);
    buf_str(out, bytes);
    buf_byte(out, '\n');
}

static void put_commit(struct buf *out, const struct git_commit *c)
{
    buf_c(out, "commit " NEXT "\nmark :1\n");
    buf_printf(out, "committer Keepfast <%.*s@keepfast.invalid> %" PRId64 " +0000\n",
               STR_ARGS(c->site), c->time_s);
    put_data(out, c->message);
    if (c->on.hex[0])
        buf_printf(out, "from %s\n", c->on.hex);
}

static kf_rc feed_commit(void *ctx, struct buf *out, struct kf_err *err)
{
    struct making *m = ctx;
    const struct git_commit *c = m->commit;
    struct git_change change;
    kf_rc rc = KF_OK;
    if (m->at == HEAD) {
        /* The name may be left from a commit that was not pushed. */
        buf_c(out, "reset " NEXT "\n\n");
        put_commit(out, c);
        m->at = FILES;
    }
    while (m->at == FILES && out->len < 65536 && (rc = c->next(c->ctx, &change, err)) == KF_OK) {
        if (change.bytes.p) {
            buf_printf(out, "M 100644 inline %.*s\n", STR_ARGS(change.path));
            put_data(out, change.bytes);
        } else {
            buf_printf(out, "D %.*s\n", STR_ARGS(change.path));
        }
    }
    if (rc == KF_ABSENT) {
        buf_c(out, "\nget-mark :1\ndone\n");
        m->at = END;
        rc = KF_OK;
    }
    return rc == KF_OK ? buf_ok(out, err) : rc;
}

static kf_rc take_made(void *ctx, str bytes, struct kf_err *err)
{
    struct making *m = ctx;
    return take_text(&m->out, bytes, err);
}

kf_rc git_commit_make(struct git_repo *r, const struct git_commit *commit, struct git_id *ret,
                      struct kf_err *err)
{
    struct making m = {.commit = commit, .out = {.max = 4096}};
    struct command c = {
        .what = "make a commit",
        .args = {"fast-import", "--quiet", "--done", "--force", "--date-format=raw"},
        .feed = feed_commit,
        .take = take_made,
        .ctx = &m};
    kf_rc rc = run(r, &c, NULL, NULL, err);
    if (rc == KF_OK &&
        !read_id(str_trim(str_make(m.out.out.p, str_index(buf_view(&m.out.out), '\n'))), ret))
        rc = not_understood("fast-import", err);
    buf_release(&m.out.out);
    return rc;
}
