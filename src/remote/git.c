/* git: a branch of a git repository as a remote.
 *
 *     pull   ls-remote -> moved? fetch -> diff-tree -> cat-file          (git_pull.c)
 *     push   cat-file (rows) -> fast-import -> push on condition         (git_push.c)
 *
 * The bare repository in which this is done stands beside the store and is a cache. */
#include "remote/git_internal.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/json.h"
#include "base/mem.h"
#include "remote/git_run.h"
#include "store/clock.h"

#include <inttypes.h>
#include <unistd.h>

#define STAMP_TRAILER "\nKeepfast-Stamp: "

kf_rc git_position(str position, struct git_id *ret, struct kf_err *err)
{
    if (git_id_read(position, ret))
        return KF_OK;
    return err_set(err, PROBLEM_DAMAGED,
                   "what is remembered of the remote is no commit: give it another name");
}

int64_t git_stamp(int64_t time_s)
{
    int64_t ms = time_s > 0 ? time_s * 1000 : 1;
    return ms < clock_stamp_ms(CLOCK_STAMP_MAX) ? ms << 16 : CLOCK_STAMP_MAX;
}

/* ----------------------------------------------------------------------------------- the format */

/* What a host puts into a new repository. */
static bool is_usual(str path)
{
    static const char *const starts[] = {"README", "readme", "LICENSE", "license", ".git"};
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
        if (str_starts(path, str_of(starts[i])) && str_index(path, '/') == path.len)
            return true;
    return false;
}

struct format_look {
    struct git *g;
    bool there;
    uint64_t format;
};

static kf_rc read_format(void *ctx, size_t i, enum git_found found, str bytes, struct kf_err *err)
{
    struct format_look *f = ctx;
    struct arena arena = ARENA_INIT;
    struct json_node *root = NULL;
    uint64_t format = 0;
    f->there = found != GIT_MISSING;
    if (found != GIT_THERE)
        return KF_OK;
    kf_rc rc = json_parse(str_trim(bytes), NULL, &arena, &root, NULL);
    if (rc == KF_OK && json_u64(json_member(root, "format"), &format))
        f->format = format;
    arena_release(&arena);
    return rc == KF_NOMEM ? err_nomem(err) : KF_OK;
}

static kf_rc refuse_foreign(void *ctx, const struct git_file *file, struct kf_err *err)
{
    const struct format_look *f = ctx;
    if (is_usual(file->path))
        return KF_OK;
    return err_set(
        err, PROBLEM_CONFIG,
        "the branch %s holds something else than Keepfast's documents (%.*s): name a branch that "
        "does not exist yet, or commit a file " GIT_FORMAT_FILE " with {\"keepfast\":\"git\","
        "\"format\":%d} to have its JSON files taken in",
        f->g->branch, (int)(file->path.len < 100 ? file->path.len : 100), file->path.p, GIT_FORMAT);
}

kf_rc git_check_format(struct git *g, const struct git_id *commit, struct kf_err *err)
{
    struct format_look f = {.g = g};
    struct buf name = BUF_INIT;
    buf_printf(&name, "%s:" GIT_FORMAT_FILE, commit->hex);
    kf_rc rc = buf_ok(&name, err);
    str object = buf_view(&name);
    if (rc == KF_OK)
        rc = git_read(&g->repo, &object, 1, 4096, read_format, &f, err);
    buf_release(&name);
    if (rc != KF_OK)
        return rc;
    if (!f.there)
        return git_files(&g->repo, commit, refuse_foreign, &f, err);
    if (f.format > GIT_FORMAT)
        return err_set(err, PROBLEM_FORMAT_TOO_NEW,
                       "the branch has format %" PRIu64
                       ", this program reads up to %d: use a newer Keepfast",
                       f.format, GIT_FORMAT);
    if (f.format != GIT_FORMAT)
        return err_set(err, PROBLEM_BAD_OBJECT,
                       GIT_FORMAT_FILE " of the branch is not as Keepfast writes it: revert the "
                                       "commit that changed it");
    return KF_OK;
}

kf_rc git_too_much(struct kf_err *err)
{
    KF_SOMETIMES("git-too-much");
    return err_set(err, PROBLEM_REMOTE_FAILED,
                   "the branch has more files than can be kept in memory: their names and rows are "
                   "more than %zu MiB; revert the commit that brought them",
                   GIT_HELD_MAX >> 20);
}

/* ------------------------------------------------------------------------------- open and close */

static void close_git(struct remote *r)
{
    struct git *g = (struct git *)r;
    if (!g)
        return;
    git_auth_free(g->auth);
    git_url_release(&g->url);
    arena_release(&g->arena);
    mem_free(g);
}

/* A copy of the place, whose texts end when its configuration does. */
static bool keep_place(struct git *g, const struct remote_place *place)
{
    g->place = *place;
    str *const texts[] = {&g->place.url,        &g->place.branch,          &g->place.token_env,
                          &g->place.token_file, &g->place.ssh_key_file,    &g->place.ca_file,
                          &g->place.dir,        &g->place.known_hosts_file};
    bool all = true;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        *texts[i] = arena_str(&g->arena, *texts[i]);
        all &= texts[i]->p != NULL;
    }
    g->branch = arena_dup(&g->arena, place->branch.len ? place->branch : STR(GIT_BRANCH));
    g->repo.dir = arena_printf(&g->arena, "%.*s/git", STR_ARGS(place->dir));
    g->past_dir = arena_printf(&g->arena, "%.*s/history", STR_ARGS(place->dir));
    return all && g->branch && g->repo.dir && g->past_dir;
}

static kf_rc open_git(const struct env *env, const struct remote_place *place, struct remote **ret,
                      struct kf_err *err)
{
    struct git *g = mem_calloc(1, sizeof(*g));
    if (!g)
        return err_nomem(err);
    g->remote = (struct remote){.driver = &remote_git, .env = env};
    kf_rc rc = keep_place(g, place) ? KF_OK : err_nomem(err);
    if (rc == KF_OK)
        rc = git_place_check(&g->place, &g->url, err);
    if (rc != KF_OK) {
        close_git(&g->remote);
        return rc;
    }
    *ret = &g->remote;
    return KF_OK;
}

kf_rc git_begin(struct git *g, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    if (!g->auth)
        rc = git_auth_new(g->remote.env, &g->place, &g->url, environ, &g->auth, err);
    g->repo.env = g->remote.env;
    g->repo.log = g->remote.log;
    g->repo.place = &g->place;
    g->repo.url = &g->url;
    g->repo.auth = g->auth;
    g->repo.call_ms = g->remote.call_ms;
    g->repo.stop = g->remote.stop;
    g->repo.retry_ms = &g->remote.retry_ms;
    g->repo.clock = &g->remote.clock;
    return rc == KF_OK ? git_repo_make(&g->repo, err) : rc;
}

/* -------------------------------------------------------------------------- look, probe, verify */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static kf_rc stamp_of_tip(struct git *g, const struct git_id *tip, int64_t *ret, struct kf_err *err)
{
    struct buf message = BUF_INIT;
    int64_t time_s = 0;
    uint64_t stamp = 0;
    kf_rc rc = git_commit_read(&g->repo, tip, &time_s, &message, err);
    const char *at = rc == KF_OK && message.len ? strstr(message.p, STAMP_TRAILER) : NULL;
    for (at = at ? at + sizeof(STAMP_TRAILER) - 1 : ""; hex_digit(*at) >= 0; at++)
        stamp = stamp << 4 | (uint64_t)hex_digit(*at);
    *ret = git_stamp(time_s);
    if (stamp > 0 && stamp <= (uint64_t)CLOCK_STAMP_MAX)
        *ret = (int64_t)stamp;
    buf_release(&message);
    return rc;
}

static kf_rc look(struct remote *r, int64_t *ret_stamp, struct kf_err *err)
{
    struct git *g = (struct git *)r;
    struct git_id tip = {""};
    bool here = false;
    kf_rc rc = git_begin(g, err);
    if (rc == KF_OK)
        rc = git_remote_tip(&g->repo, g->branch, &tip, err);
    if (rc == KF_OK && !tip.hex[0])
        return err_set(err, PROBLEM_NOT_FOUND, "the host has no branch %s", g->branch);
    if (rc == KF_OK)
        rc = git_has(&g->repo, &tip, &here, err);
    if (rc == KF_OK && !here)
        rc = git_fetch(&g->repo, g->branch, GIT_NEWEST, &tip, err);
    if (rc == KF_OK)
        rc = git_check_format(g, &tip, err);
    if (rc == KF_OK)
        rc = stamp_of_tip(g, &tip, ret_stamp, err);
    return rc;
}

static kf_rc nothing_more(void *ctx, struct git_change *ret, struct kf_err *err)
{
    (void)ctx;
    (void)ret;
    (void)err;
    return KF_ABSENT;
}

static kf_rc probe(struct remote *r, struct kf_err *err)
{
    struct git *g = (struct git *)r;
    struct git_id made = {""};
    struct buf name = BUF_INIT;
    unsigned char random[8];
    r->env->random(r->env->ctx, random, sizeof(random));
    buf_c(&name, "probe-");
    buf_hex(&name, random, sizeof(random));
    struct git_commit c = {.site = STR("probe"),
                           .message = STR("Whether writing is possible\n"),
                           .time_s = env_wall_ms(r->env) / 1000,
                           .next = nothing_more};
    kf_rc rc = buf_ok(&name, err);
    if (rc == KF_OK)
        rc = git_begin(g, err);
    if (rc == KF_OK)
        rc = git_commit_make(&g->repo, &c, &made, err);
    if (rc == KF_OK)
        rc = git_probe(&g->repo, name.p, &made, err);
    buf_release(&name);
    return rc;
}

static kf_rc verify(struct remote *r, struct remote_sink *sink, struct kf_err *err)
{
    struct buf position = BUF_INIT;
    kf_rc rc = git_pull(r, STR(""), true, sink, &position, err);
    buf_release(&position);
    return rc;
}

static kf_rc repair(struct remote *r, const struct remote_doc *doc, struct kf_err *err)
{
    (void)r;
    return err_set(err, PROBLEM_REMOTE_FAILED,
                   "a file of a branch is mended by a commit: revert the one that broke "
                   "\"%.*s\", or write the document anew",
                   STR_SHOWN(doc->doc.name));
}

static kf_rc is_public(struct remote *r, bool *ret, struct kf_err *err)
{
    struct git *g = (struct git *)r;
    kf_rc rc = git_begin(g, err);
    return rc == KF_OK ? git_is_public(&g->repo, ret, err) : rc;
}

const struct remote_driver remote_git = {
    .kind = "git",
    .prefixes = (const char *const[]){GIT_URL_PREFIXES, NULL},
    .caps = REMOTE_OTHER_FORMS | REMOTE_HAS_ACCESS | REMOTE_PUSH_FIRST,
    .open = open_git,
    .close = close_git,
    .probe = probe,
    .look = look,
    .pull = git_pull,
    .push = git_push_set,
    .verify = verify,
    .repair = repair,
    .is_public = is_public,
    .versions = git_versions,
    .version = git_version,
};
