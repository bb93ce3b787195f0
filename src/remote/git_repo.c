/* The repository and the host. What the commands print:
 *
 *     rev-parse       "ID\n"
 *     ls-remote       "ID\tREF\n" */
#include "remote/git_repo.h"

#include "base/child.h"
#include "base/err.h"
#include "base/hooks.h"
#include "remote/git_run.h"

#include <stdio.h>

#define LOOSE_MAX 2048 /* objects that are not packed, about */
#define PACKS_MAX 30
#define TIP       "refs/keepfast/tip"
#define READY     "keepfast-ready"

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
    struct git_command c = {.what = "make a repository beside the store",
                            .args = {"init", "--quiet", "--bare", "--template=", r->dir}};
    kf_rc rc = git_repo_remove(r, err);
    if (rc == KF_OK)
        rc = dir_make(r->env, r->dir, err);
    if (rc == KF_OK)
        rc = git_command_run(r, &c, NULL, NULL, err);
    return rc == KF_OK ? file_store(r->env, ready, boot, err) : rc;
}

/* Nothing in it is synced, so after a loss of power it may be in any state: it is read whole once,
 * and made anew when something is wrong. */
static kf_rc check_after_start(struct git_repo *r, const char *ready, str boot, struct kf_err *err)
{
    struct git_command c = {.what = "check the repository beside the store",
                            .args = {"fsck", "--full", "--no-dangling", "--no-progress"}};
    int status = 0;
    kf_rc rc = git_command_run(r, &c, &status, NULL, err);
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

/* KF_ABSENT when there is none. */
static kf_rc local_id(struct git_repo *r, const char *name, struct git_id *ret, struct kf_err *err)
{
    struct git_text t = {.max = 4096};
    struct git_command c = {.what = "read a name of its own",
                            .args = {"rev-parse", "--verify", "--quiet", name},
                            .take = git_text_take,
                            .ctx = &t};
    int status = 0;
    kf_rc rc = git_command_run(r, &c, &status, NULL, err);
    if (rc == KF_OK && status != 0)
        rc = err_set(err, PROBLEM_NOT_FOUND, "there is nothing of this name here");
    if (rc == KF_OK &&
        !git_id_read(str_trim(str_make(t.out.p, str_index(buf_view(&t.out), '\n'))), ret))
        rc = git_not_understood("rev-parse", err);
    buf_release(&t.out);
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

kf_rc git_has(struct git_repo *r, const struct git_id *id, bool *ret, struct kf_err *err)
{
    int status = 0;
    struct git_command c = {.what = "look for a commit", .args = {"cat-file", "-e", id->hex}};
    kf_rc rc = git_command_run(r, &c, &status, NULL, err);
    if (rc == KF_OK)
        *ret = status == 0;
    return rc;
}

kf_rc git_follows(struct git_repo *r, const struct git_id *older, const struct git_id *newer,
                  bool *ret, struct kf_err *err)
{
    int status = 0;
    struct git_command c = {.what = "compare two commits",
                            .args = {"merge-base", "--is-ancestor", older->hex, newer->hex}};
    kf_rc rc = git_command_run(r, &c, &status, NULL, err);
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
    struct git_command c = {.what = "pack its objects",
                            .args = {"repack", "-d", "--quiet", "--geometric=2"}};
    if (!has_gathered(r))
        return KF_OK;
    KF_SOMETIMES("git-repository-packed");
    return git_command_run(r, &c, NULL, NULL, err);
}

/* ------------------------------------------------------------------------------------ the host */

static kf_rc full_ref(const char *branch, struct buf *out, struct kf_err *err)
{
    buf_printf(out, "refs/heads/%s", branch);
    return buf_ok(out, err);
}

static kf_rc tip_of(struct git_repo *r, const char *ref, struct git_id *ret, struct kf_err *err)
{
    struct git_text t = {.max = 65536};
    struct git_command c = {.what = "ask the host for its branch",
                            .as = GIT_AS_OWNER,
                            .args = {"ls-remote", "--quiet", "--", r->url->address.p, ref},
                            .take = git_text_take,
                            .ctx = &t};
    struct git_id tip = {""};
    kf_rc rc = git_command_run(r, &c, NULL, NULL, err);
    /* A name is matched from its end: refs/x/refs/heads/data is listed, too. */
    for (str rest = buf_view(&t.out); rc == KF_OK && rest.len;) {
        size_t n = str_index(rest, '\n'), tab = str_index(rest, '\t');
        if (tab >= n || !git_id_read((str){rest.p, tab}, &tip))
            rc = git_not_understood("ls-remote", err);
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
    struct git_text t = {.max = 65536};
    struct git_said said = GIT_SAID_INIT;
    struct git_command c = {.what = "ask the host as a guest",
                            .as = GIT_AS_GUEST,
                            .args = {"ls-remote", "--quiet", "--", r->url->address.p, "HEAD"},
                            .take = git_text_take,
                            .ctx = &t};
    int status = 0;
    if (r->url->transport == GIT_SSH || r->url->transport == GIT_FILE) {
        *ret = false;
        return KF_OK;
    }
    kf_rc rc = git_command_run(r, &c, &status, &said, err);
    if (rc == KF_OK && status != 0 && !said.guest)
        rc = err_set(err, PROBLEM_REMOTE_FAILED, "git could not %s: %s", c.what,
                     git_said_why(&said));
    if (rc == KF_OK)
        *ret = status == 0;
    buf_release(&t.out);
    buf_release(&said.why);
    return rc;
}

static kf_rc local_ref(struct git_repo *r, const char *ref, struct git_id *ret, struct kf_err *err)
{
    kf_rc rc = local_id(r, ref, ret, err);
    return rc == KF_ABSENT ? git_not_understood("rev-parse", err) : rc;
}

static kf_rc fetch(struct git_repo *r, const char *branch, const char *depth, struct git_id *ret,
                   struct kf_err *err)
{
    struct buf spec = BUF_INIT;
    buf_printf(&spec, "+refs/heads/%s:" TIP, branch);
    kf_rc rc = buf_ok(&spec, err);
    struct git_command c = {.what = "fetch from the host",
                            .as = GIT_AS_OWNER,
                            .args = {"fetch", "--quiet", "--no-tags", "--no-write-fetch-head",
                                     "--no-auto-maintenance", "--no-recurse-submodules",
                                     "--update-shallow", depth, "--", r->url->address.p, spec.p}};
    if (rc == KF_OK)
        rc = git_command_run(r, &c, NULL, NULL, err);
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
                      const struct git_id *commit, int *ret_status, struct git_said *said,
                      struct kf_err *err)
{
    struct buf lease = BUF_INIT, spec = BUF_INIT;
    buf_printf(&lease, "--force-with-lease=%s:%s", ref, on->hex);
    buf_printf(&spec, "%s:%s", commit->hex, ref);
    kf_rc rc = buf_ok(&lease, err);
    if (rc == KF_OK)
        rc = buf_ok(&spec, err);
    struct git_command c = {.what = "push to the host",
                            .as = GIT_AS_OWNER,
                            .args = {"push", "--quiet", "--no-verify", "--no-recurse-submodules",
                                     lease.p, "--", r->url->address.p, spec.p}};
    if (rc == KF_OK)
        rc = git_command_run(r, &c, ret_status, said, err);
    buf_release(&lease);
    buf_release(&spec);
    return rc;
}

/* Where the ref is after a push that git called a failure. */
static kf_rc judge_push(struct git_repo *r, const char *ref, const struct git_id *on,
                        const struct git_id *commit, const struct git_said *said,
                        struct kf_err *err)
{
    struct git_id now = {""};
    struct kf_err why = KF_ERR_INIT;
    /* One that asks to be left alone is not asked at once what has become of it: the next run finds
     * out. */
    kf_rc rc = *r->retry_ms ? KF_UNAVAILABLE : tip_of(r, ref, &now, &why);
    if (rc == KF_UNAVAILABLE) /* the push has said why */
        return err_set(err, said->problem, "git could not push to the host: %s",
                       git_said_why(said));
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
                   "the host refused the push: %s", git_said_why(said));
}

static kf_rc push_and_judge(struct git_repo *r, const char *ref, const struct git_id *on,
                            const struct git_id *commit, struct kf_err *err)
{
    struct git_said said = GIT_SAID_INIT;
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
    struct git_command c = {
        .what = "remove what it wrote for a test",
        .as = GIT_AS_OWNER,
        .args = {"push", "--quiet", "--no-verify", "--", r->url->address.p, gone.p}};
    if (rc == KF_OK)
        rc = git_command_run(r, &c, NULL, NULL, err);
    buf_release(&ref);
    buf_release(&gone);
    return rc;
}
