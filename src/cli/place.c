/* Places. What --at names, who owns it, and how a request gets there:
 *
 *     https://HOST:PORT/SPACE, http://…, unix:PATH#SPACE  ->  over a socket
 *     postgres://…#SPACE  ->  a router in this process, beside whoever else has it open
 *     DIR#SPACE   ->  a server holds DIR?  its socket : the store DIR/SPACE.db
 *     PATH.db     ->  a server holds its folder?  its socket, the space is named like the file
 *                     : a lasting owner?  its socket, or busy without one
 *                     : a router in this process
 *
 * The last two look anew for 5 s: when taking the lock loses a race, when the owner's socket is not
 * there yet or no more, and when the owner is stopping. As on a server, only what writes makes a
 * store. */
#include "cli/cli.h"
#include "lib/house.h"

#include "base/mem.h"
#include "base/when.h"
#include "store/store.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const int64_t patience_ms = 5000;
static const char tokens_target[] = "//v1/tokens";

struct place {
    struct cli *cli;
    char *space;
    char *stem; /* of PATH.db: the space that it is in a data folder, NULL when no space can be */
    char *base; /* over a socket: "unix:PATH", "http://HOST:PORT" or "https://HOST:PORT" */
    bool found; /* base is what a lock file names, not what --at does */
    char *dir, *file; /* in this process */
    char *url;        /* of a store on PostgreSQL: the same as file, which is a secret */
    char *shown;      /* the same for people */
    struct config *config;
    struct log *log;
    struct house *house;
};

bool place_is_served(const struct place *p)
{
    return p->base != NULL;
}

/* ------------------------------------------------------------------------------ the words of --at
 */

static char *copy(struct cli *cli, str s)
{
    return arena_dup(&cli->arena, s);
}

/* "left#right": right is "default" when there is no #. */
static void split_space(struct cli *cli, str at, char **ret_left, char **ret_space)
{
    size_t hash = at.len;
    for (size_t i = 0; i < at.len; i++)
        if (at.p[i] == '#')
            hash = i;
    *ret_left = copy(cli, (str){at.p, hash});
    *ret_space = hash < at.len ? copy(cli, str_from(at, hash + 1)) : copy(cli, STR("default"));
}

static kf_rc split_http(struct place *p, str at, struct kf_err *err)
{
    size_t scheme = str_index(at, '/') + strlen("//");
    str rest = str_from(at, scheme);
    size_t slash = str_index(rest, '/');
    str space = str_trim(str_from(rest, slash + 1));
    if (space.len && space.p[space.len - 1] == '/')
        space.len--;
    p->base = copy(p->cli, (str){at.p, scheme + slash});
    p->space = copy(p->cli, space.len ? space : STR("default"));
    return p->base && p->space ? KF_OK : err_nomem(err);
}

/* "PATH.db": a space by the name of the file where its folder is a data folder, else "default". */
static void split_file(struct place *p, str at)
{
    size_t from = at.len, len = at.len - strlen(".db");
    while (from > 0 && at.p[from - 1] != '/')
        from--;
    str stem = {at.p + from, len > from ? len - from : 0};
    p->file = copy(p->cli, at);
    p->space = copy(p->cli, STR("default"));
    p->stem = config_space_name_ok(stem) ? copy(p->cli, stem) : NULL;
}

/* "postgres://…#SPACE" is its database's store, and its own: nobody owns it. */
static kf_rc split_url(struct place *p, str at, struct kf_err *err)
{
    struct buf whole = BUF_INIT, shown = BUF_INIT;
    const char *url = copy(p->cli, at);
    str space = url ? db_url_space(url) : (str){0};
    if (!url)
        return err_nomem(err);
    if (space.len && !config_space_name_ok(space))
        return cli_usage(err,
                         "--at …#SPACE: a space is named with a-z, 0-9, _ and -, 1 to 60 of them");
    kf_rc rc = db_url_at(url, NULL, &whole, err);
    if (rc == KF_OK)
        rc = db_url_show(url, NULL, &shown, err);
    if (rc == KF_OK) {
        p->shown = copy(p->cli, buf_view(&shown));
        p->url = copy(p->cli, buf_view(&whole));
        p->file = p->url;
        p->space = copy(p->cli, space.len ? space : STR("default"));
        if (!p->file || !p->shown || !p->space)
            rc = err_nomem(err);
    }
    buf_release(&whole);
    buf_release(&shown);
    return rc;
}

static kf_rc split_at(struct place *p, str at, struct kf_err *err)
{
    struct cli *cli = p->cli;
    if (str_starts(at, STR("http://")) || str_starts(at, STR("https://")))
        return split_http(p, at, err);
    if (db_is_url(at.p))
        return split_url(p, at, err);
    if (str_starts(at, STR("unix:"))) {
        split_space(cli, at, &p->base, &p->space);
    } else if (str_ends(at, STR(".db"))) {
        split_file(p, at);
    } else {
        split_space(cli, at, &p->dir, &p->space);
        if (p->space && !config_space_name_ok(str_of(p->space)))
            return cli_usage(err,
                             "--at %.*s: a space is named with a-z, 0-9, _ and -, 1 to 60 of them",
                             STR_ARGS(at));
        if (p->dir)
            p->file = arena_printf(&cli->arena, "%s/%s.db", p->dir, p->space);
    }
    if (!p->space || (!p->base && !p->file))
        return err_nomem(err);
    return KF_OK;
}

/* -------------------------------------------------------------------------------- who owns it */

/* Sets p->base when a lasting owner can be asked. KF_BUSY when one cannot; KF_OK with p->base NULL
 * when nobody lasting has it. */
static kf_rc ask_owner(struct place *p, const char *path, struct kf_err *err)
{
    struct store_owner owner;
    kf_rc rc = store_owner(p->cli->env, path, &owner, err);
    if (rc == KF_ABSENT)
        return KF_OK;
    if (rc != KF_OK || owner.brief)
        return rc;
    if (!owner.socket[0])
        return err_set(
            err, PROBLEM_BUSY,
            "process %lld owns the store and has no socket to ask it through; end it, or give it "
            "one (kf_options.socket, keepfast serve --socket)",
            (long long)owner.pid);
    p->base = arena_printf(&p->cli->arena, "unix:%s", owner.socket);
    p->found = true;
    return p->base ? KF_OK : err_nomem(err);
}

static kf_rc look(struct place *p, struct kf_err *err)
{
    struct buf server = BUF_INIT;
    kf_rc rc = KF_OK;
    if (p->url)
        return KF_OK;
    if (p->dir)
        buf_c(&server, p->dir);
    else
        path_parent(p->file, &server);
    buf_c(&server, "/_keepfast.db");
    if (p->dir || p->stem) {
        rc = buf_ok(&server, err);
        if (rc == KF_OK)
            rc = ask_owner(p, server.p, err);
        if (p->base && p->stem)
            p->space = p->stem;
    }
    buf_release(&server);
    if (rc == KF_OK && !p->base)
        rc = ask_owner(p, p->file, err);
    return rc;
}

/* Whether the request may make the store, or its folder: the first document, a remote, a restore,
 * the space itself, a token. */
static bool creates(const struct cli_request *r)
{
    str target = {r->target, strcspn(r->target, "?")};
    bool of_stream = str_starts(str_of(r->target), STR("/streams/"));
    if (r->method == API_PUT || (of_stream && (r->method == API_POST || r->method == API_PATCH)))
        return true;
    return r->method == API_POST && (str_is(target, "/remotes") || str_is(target, "/restore") ||
                                     str_is(target, "/import") || str_is(target, tokens_target));
}

/* Requests about spaces are about the folder. */
static bool is_absolute(const struct cli_request *r)
{
    return r->target[0] == '/' && r->target[1] == '/';
}

/* The configuration beside the store; the folder itself when the request makes something in it, or
 * the configuration says that the space is there: its remotes have what this disk has lost. */
static kf_rc prepare(struct place *p, const struct cli_request *r, struct kf_err *err)
{
    struct buf dir = BUF_INIT;
    if (p->dir)
        buf_c(&dir, p->dir);
    else if (!p->url)
        path_parent(p->file, &dir);
    kf_rc rc = buf_ok(&dir, err);
    if (rc == KF_OK && !p->config)
        rc = cli_config(p->cli, p->url ? NULL : dir.p, &p->config, err);
    if (rc == KF_OK && p->dir && (creates(r) || config_space(p->config, str_of(p->space))))
        rc = dir_make(p->cli->env, p->dir, err);
    buf_release(&dir);
    if (rc == KF_OK && !p->log)
        log_new(p->cli->env, STDERR_FILENO, LOG_TEXT, LOG_WARN, &p->log, NULL);
    return rc;
}

static kf_rc open_here(struct place *p, const struct cli_request *r, struct kf_err *err)
{
    struct stat st;
    bool whole = is_absolute(r) && (p->dir || p->url);
    kf_rc rc = prepare(p, r, err);
    if (rc != KF_OK)
        return rc;
    if (p->stem && config_space(p->config, str_of(p->stem)))
        p->space = p->stem;
    bool there = store_is_there(p->cli->env, p->file) || config_space(p->config, str_of(p->space));
    if (!there && !whole && !creates(r))
        return err_set(err, PROBLEM_UNKNOWN_SPACE, "there is no store %s; a first write makes one",
                       place_file(p));
    if (whole && p->dir && path_stat(p->cli->env, p->dir, &st, NULL) == KF_ABSENT)
        return err_set(err, PROBLEM_NOT_FOUND, "there is no folder %s", p->dir);
    struct house_options o = {.env = p->cli->env,
                              .config = p->config,
                              .log = p->log,
                              .data_dir = !whole   ? NULL
                                          : p->url ? p->url
                                                   : p->dir,
                              .store_path = whole ? NULL : p->file,
                              .in_data_dir = p->dir != NULL,
                              .space = p->space,
                              .brief = true,
                              .bare = str_starts(str_of(r->target), str_of(tokens_target)),
                              .lock_wait_ms = 1000};
    rc = house_new(&o, &p->house, err);
    if (rc == KF_OK) /* a new store is filled first, or nothing in it could be read or written */
        house_settle(p->house, (uint32_t)patience_ms);
    return rc;
}

/* An owner, or a router of our own; both may change while we look. */
static kf_rc reach(struct place *p, const struct cli_request *r, int64_t until, struct kf_err *err)
{
    if (p->base || p->house)
        return KF_OK;
    for (;;) {
        kf_rc rc = look(p, err);
        if (rc != KF_OK || p->base)
            return rc;
        rc = open_here(p, r, err);
        if (rc != KF_BUSY || env_mono_ms(p->cli->env) > until)
            return rc;
        poll(NULL, 0, 50);
    }
}

const char *place_named(const struct cli *cli)
{
    const char *from_env = getenv("KEEPFAST_AT");
    return cli->opt[OPT_AT] ? cli->opt[OPT_AT] : from_env && *from_env ? from_env : NULL;
}

kf_rc place_open(struct cli *cli, struct place **ret, struct kf_err *err)
{
    const char *at = place_named(cli);
    return place_open_at(cli, at ? at : PLACE_DEFAULT, ret, err);
}

const char *place_file(const struct place *p)
{
    return p->url ? p->shown : p->file;
}

const char *place_space(const struct place *p)
{
    return p->space;
}

kf_rc place_open_at(struct cli *cli, const char *at, struct place **ret, struct kf_err *err)
{
    struct place *p = arena_alloc(&cli->arena, sizeof *p);
    if (!p)
        return err_nomem(err);
    place_finish(cli); /* a store is opened once in a process */
    p->cli = cli;
    kf_rc rc = split_at(p, str_of(at), err);
    if (rc == KF_OK)
        *ret = p;
    return rc;
}

void place_close(struct place *p)
{
    if (!p)
        return;
    place_finish(p->cli);
    p->cli->closing = p;
}

void place_finish(struct cli *cli)
{
    struct kf_err err = KF_ERR_INIT;
    struct place *p = cli->closing;
    if (!p)
        return;
    cli->closing = NULL;
    if (p->house && house_free(p->house, &err) != KF_OK)
        print_talk("keepfast: %s", err.detail);
    p->house = NULL;
    log_free(p->log);
    config_free(p->config);
    p->log = NULL;
    p->config = NULL;
}

/* -------------------------------------------------------------------------------------- requests
 */

struct stream {
    struct cli *cli;
    const struct cli_request *request;
    struct file in, out;
    int64_t at, size;
    struct buf kept;            /* a problem's body, or a success without sink_file */
    int64_t began_ms, moved_ms; /* monotonic: the request, the last piece of either body */
};

/* Ctrl-C while a file is written: it must not stay half; the second one ends at once. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    interrupted = number;
}

static void catch_interrupt(void)
{
    struct sigaction a = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

static kf_rc stopped_by_hand(struct kf_err *err)
{
    kf_rc rc = err_set(err, PROBLEM_BUSY, "interrupted; no file was written");
    if (err)
        err->exit_code = 128 + interrupted;
    return rc;
}

static void moved(struct stream *s, int64_t len, uint64_t total)
{
    s->at += len;
    s->moved_ms = env_mono_ms(s->cli->env);
    if (s->request->progress)
        print_progress(s->cli, s->request->progress, (uint64_t)s->at, total);
}

static void while_waiting(void *ctx)
{
    struct stream *s = ctx;
    if (env_mono_ms(s->cli->env) - s->moved_ms >= 1000)
        print_waiting(s->cli, s->request->progress, s->began_ms);
}

static kf_rc send_piece(void *ctx, struct buf *piece, struct kf_err *err)
{
    struct stream *s = ctx;
    size_t got = 0;
    char *room = buf_room(piece, 65536);
    if (!room)
        return err_nomem(err);
    kf_rc rc = file_read(&s->in, s->at, room, 65536, &got, err);
    if (rc != KF_OK)
        return rc;
    buf_grew(piece, got);
    moved(s, (int64_t)got, (uint64_t)s->size);
    return got ? KF_OK : KF_ABSENT;
}

static kf_rc take_piece(void *ctx, int status, str bytes, struct kf_err *err)
{
    struct stream *s = ctx;
    if (interrupted)
        return stopped_by_hand(err);
    if (status >= 400 || s->out.fd < 0) {
        buf_str(&s->kept, bytes);
        return buf_ok(&s->kept, err);
    }
    kf_rc rc = file_write(&s->out, s->at, bytes.p, bytes.len, err);
    moved(s, (int64_t)bytes.len, 0);
    return rc;
}

static const char *method_text(enum api_method m)
{
    static const char *const names[] = {
        [API_GET] = "GET",   [API_HEAD] = "HEAD",   [API_PUT] = "PUT",
        [API_POST] = "POST", [API_PATCH] = "PATCH", [API_DELETE] = "DELETE"};
    return names[m];
}

/* The same request to the router in this process or to the owner's socket. */
static kf_rc exchange(struct place *p, const char *target, struct stream *s, struct cli_answer *ret,
                      struct kf_err *err)
{
    const struct cli_request *r = s->request;
    struct arena *arena = &p->cli->arena;
    struct direct_request d = {.method = r->method,
                               .method_text = method_text(r->method),
                               .target = str_of(target),
                               .headers = r->headers,
                               .header_count = r->header_count,
                               .body = r->body,
                               .content_length = -2,
                               .send = r->body_file ? send_piece : NULL,
                               .take = take_piece,
                               .tick = r->progress ? while_waiting : NULL,
                               .ctx = s};
    if (p->base) {
        kf_rc rc = wire_request(p->cli, p->base, &d, r->body_file ? s->size : -1,
                                r->timeout_ms ? r->timeout_ms : 60000, ret, err);
        if (rc != KF_OK)
            return rc;
    } else {
        struct direct_answer a = {0};
        kf_rc rc = direct_call(house_api(p->house), house_loop(p->house), &d, &a, err);
        if (rc != KF_OK)
            return rc;
        ret->status = a.status;
        ret->etag = arena_str(arena, direct_header(&a, "ETag"));
        ret->ack = arena_str(arena, direct_header(&a, "Keepfast-Ack"));
        ret->is_default = direct_header(&a, "Keepfast-Default").len > 0;
        direct_answer_release(&a);
    }
    ret->body = arena_str(arena, buf_view(&s->kept));
    return ret->body.p && ret->etag.p && ret->ack.p ? KF_OK : err_nomem(err);
}

static kf_rc open_files(struct place *p, struct stream *s, struct kf_err *err)
{
    const struct cli_request *r = s->request;
    kf_rc rc = KF_OK;
    if (r->body_file) {
        rc = file_open(p->cli->env, r->body_file, FILE_LINKED, &s->in, err);
        if (rc == KF_ABSENT)
            return cli_usage(err, "there is no file %s", r->body_file);
        if (rc == KF_OK)
            rc = file_size(&s->in, &s->size, err);
    }
    if (rc == KF_OK && r->sink_file) {
        catch_interrupt();
        rc = file_new_begin(p->cli->env, r->sink_file, &s->out, err);
        if (rc == KF_CONFLICT)
            return cli_usage(err, "%s is there already; nothing is written over it", r->sink_file);
    }
    return rc;
}

/* The file that was written is durable, or gone. */
static kf_rc settle_sink(struct stream *s, kf_rc rc, int status, struct kf_err *err)
{
    if (s->out.fd < 0)
        return rc;
    if (rc == KF_OK && status >= 400) {
        file_new_end(&s->out, s->request->sink_file, KF_INTERNAL, NULL);
        return KF_OK; /* the problem is in the answer */
    }
    return file_new_end(&s->out, s->request->sink_file, rc, err);
}

static kf_rc request_once(struct place *p, const struct cli_request *r, struct cli_answer *ret,
                          struct kf_err *err)
{
    struct stream s = {.cli = p->cli, .request = r, .in = FILE_CLOSED, .out = FILE_CLOSED};
    const char *target = is_absolute(r)
                             ? r->target + 1
                             : arena_printf(&p->cli->arena, "/v1/%s%s", p->space, r->target);
    kf_rc rc = target ? open_files(p, &s, err) : err_nomem(err);
    s.began_ms = env_mono_ms(p->cli->env);
    if (rc == KF_OK) {
        rc = exchange(p, target, &s, ret, err);
        rc = settle_sink(&s, rc, ret->status, err);
    }
    if (r->progress)
        print_progress_end(p->cli);
    file_close(&s.in);
    file_close(&s.out);
    buf_release(&s.kept);
    if (rc == KF_OK && ret->status >= 400)
        rc = wire_problem(p->cli, ret->status, ret->body, err);
    return rc;
}

/* An owner that does not listen yet, or no more, has done nothing: whoever owns the store next may
 * be asked. */
static bool owner_has_left(const struct place *p, const struct kf_err *err)
{
    const struct problem_info *info = problem_find(err->code);
    return p->found && !interrupted &&
           (info == &problem_table[PROBLEM_BUSY] || info == &problem_table[PROBLEM_STOPPING]);
}

kf_rc place_request(struct place *p, const struct cli_request *r, struct cli_answer *ret,
                    struct kf_err *err)
{
    struct cli_answer a;
    struct kf_err failed = KF_ERR_INIT;
    int64_t until = env_mono_ms(p->cli->env) + patience_ms;
    kf_rc rc = KF_OK;
    while (rc == KF_OK) {
        a = (struct cli_answer){0};
        rc = reach(p, r, until, &failed);
        if (rc == KF_OK)
            rc = request_once(p, r, &a, &failed);
        if (rc == KF_OK)
            break;
        if (!owner_has_left(p, &failed) || env_mono_ms(p->cli->env) > until)
            break;
        p->base = NULL;
        p->found = false;
        rc = KF_OK;
        poll(NULL, 0, 50);
    }
    if (rc == KF_OK)
        *ret = a;
    else if (err)
        *err = failed;
    return rc;
}

kf_rc cli_ask(struct cli *cli, struct cli_request *r, struct cli_answer *ret,
              struct json_node **ret_root, struct kf_err *err)
{
    struct place *place = NULL;
    kf_rc rc = r->target ? place_open(cli, &place, err) : err_nomem(err);
    if (rc == KF_OK)
        rc = place_request(place, r, ret, err);
    if (rc == KF_OK && ret->body.len && ret_root)
        rc = answer_parse(cli, ret, ret_root, err);
    if (rc == KF_OK && cli->json && ret->body.len)
        print_line(ret->body);
    place_close(place);
    return rc;
}
