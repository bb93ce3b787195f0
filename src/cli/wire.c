/* Requests over a socket, by libcurl. The library is loaded when the first such request is made: it
 * and what it brings along take longer to start than everything else a command does, and a server
 * never needs it. */
#include "cli/cli.h"

#include "base/calls.h"
#include "base/mem.h"
#include "base/secret.h"
#include "server/hosts.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

/* The calls that are used, by their own names. */
struct curl_calls {
    CURL *(*easy_init)(void);
    void (*easy_cleanup)(CURL *);
    CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
    CURLcode (*easy_perform)(CURL *);
    CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
    struct curl_slist *(*slist_append)(struct curl_slist *, const char *);
    void (*slist_free_all)(struct curl_slist *);
    const char *(*easy_strerror)(CURLcode);
};

static const struct calls_entry entries[] = {
#define X(name)                                          \
    {                                                    \
        "curl_" #name, offsetof(struct curl_calls, name) \
    }
    X(easy_init),    X(easy_cleanup), X(easy_setopt),    X(easy_perform),
    X(easy_getinfo), X(slist_append), X(slist_free_all), X(easy_strerror),
#undef X
};

static kf_rc load_curl(struct curl_calls *c, struct kf_err *err)
{
    static struct curl_calls calls;
    static struct calls_library library = {.file = "libcurl.so.4",
                                           .entries = entries,
                                           .count = sizeof entries / sizeof *entries,
                                           .table = &calls,
                                           .lock = PTHREAD_MUTEX_INITIALIZER};
    if (!calls_load(&library))
        return err_set(
            err, PROBLEM_CONFIG,
            "cannot load libcurl, which talks to servers for the command line; install libcurl4");
    *c = calls;
    return KF_OK;
}

struct transfer {
    struct cli *cli;
    const struct direct_request *request;
    struct curl_calls curl;
    CURL *easy;
    int folder;       /* of a socket whose path is too long for the system; -1 = none */
    struct buf piece; /* of the request's body, not yet sent */
    bool sent_all;
    struct cli_answer answer;
    char why[CURL_ERROR_SIZE];
    kf_rc rc;
    struct kf_err *err;
};

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is libcurl's */
static size_t on_header(char *p, size_t one, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    str line = {p, one * n};
    size_t colon = str_index(line, ':');
    str name = {p, colon}, value = str_from(line, colon + 1);
    while (value.len && (value.p[value.len - 1] == '\n' || value.p[value.len - 1] == '\r'))
        value.len--;
    value = str_trim(value);
    if (str_eq_nocase(name, STR("ETag")))
        t->answer.etag = arena_str(&t->cli->arena, value);
    else if (str_eq_nocase(name, STR("Keepfast-Ack")))
        t->answer.ack = arena_str(&t->cli->arena, value);
    else if (str_eq_nocase(name, STR("Keepfast-Default")))
        t->answer.is_default = true;
    return line.len;
}

static size_t on_body(char *p, size_t one, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    long status = 0;
    t->curl.easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    t->rc = t->request->take(t->request->ctx, (int)status, str_make(p, one * n), t->err);
    return t->rc == KF_OK ? one * n : 0;
}

static int on_tick(void *ctx, curl_off_t down, curl_off_t downed, curl_off_t up, curl_off_t upped)
{
    struct transfer *t = ctx;
    t->request->tick(t->request->ctx);
    return 0;
}

static size_t on_read(char *p, size_t one, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    if (t->piece.len == 0 && !t->sent_all) {
        kf_rc rc = t->request->send ? t->request->send(t->request->ctx, &t->piece, t->err)
                                    : KF_ABSENT;
        if (rc == KF_ABSENT) {
            t->sent_all = true;
        } else if (rc != KF_OK) {
            t->rc = rc;
            return CURL_READFUNC_ABORT;
        }
    }
    size_t len = t->piece.len < one * n ? t->piece.len : one * n;
    memcpy(p, t->piece.p ? t->piece.p : "", len);
    buf_shift(&t->piece, len);
    return len;
}

/* A path that a socket's address has no room for is reached through its folder. NULL without
 * memory. */
static const char *socket_path(struct transfer *t, const char *path)
{
    const char *name = strrchr(path, '/');
    if (strlen(path) < sizeof((struct sockaddr_un *)NULL)->sun_path || !name)
        return path;
    char *dir = arena_dup(&t->cli->arena, (str){path, (size_t)(name - path)});
    if (!dir)
        return NULL;
    const char *named = *dir ? dir : "/";
    t->folder = open(named, O_PATH | O_DIRECTORY | O_CLOEXEC); /* seam: a socket's name */
    return t->folder < 0 ? path
                         : arena_printf(&t->cli->arena, "/proc/self/fd/%d%s", t->folder, name);
}

/* "unix:PATH" is reached as http://localhost over that socket. */
static kf_rc set_address(struct transfer *t, const char *base, struct kf_err *err)
{
    bool local = strncmp(base, "unix:", 5) == 0;
    char *url = arena_printf(&t->cli->arena, "%s%.*s", local ? "http://localhost" : base,
                             STR_ARGS(t->request->target));
    const char *socket = local ? socket_path(t, base + 5) : "";
    if (!url || !socket)
        return err_nomem(err);
    t->curl.easy_setopt(t->easy, CURLOPT_URL, url);
    t->curl.easy_setopt(t->easy, CURLOPT_PATH_AS_IS, 1L);
    if (local)
        t->curl.easy_setopt(t->easy, CURLOPT_UNIX_SOCKET_PATH, socket);
    t->curl.easy_setopt(t->easy, CURLOPT_PROXY, "");
    return KF_OK;
}

/* Who is believed to be the server: --ca-file, else what OpenSSL's and curl's variables name, else
 * the system's authorities. */
static void set_trust(struct transfer *t)
{
    const char *file = t->cli->opt[OPT_OWN_CA_FILE] ? t->cli->opt[OPT_OWN_CA_FILE]
                                                    : getenv("SSL_CERT_FILE");
    const char *folder = t->cli->opt[OPT_OWN_CA_FILE] ? NULL : getenv("SSL_CERT_DIR");
    t->curl.easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    t->curl.easy_setopt(t->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (file && *file) {
        t->curl.easy_setopt(t->easy, CURLOPT_CAINFO, file);
        t->curl.easy_setopt(t->easy, CURLOPT_CAPATH, NULL);
    }
    if (folder && *folder)
        t->curl.easy_setopt(t->easy, CURLOPT_CAPATH, folder);
}

static kf_rc add_header(struct transfer *t, struct curl_slist **list, const char *name, str value,
                        struct kf_err *err)
{
    char *line = arena_printf(&t->cli->arena, "%s: %.*s", name, STR_ARGS(value));
    struct curl_slist *more = line ? t->curl.slist_append(*list, line) : NULL;
    if (!more)
        return err_nomem(err);
    *list = more;
    return KF_OK;
}

/* The first line of what holds a token; it becomes part of a header. */
static kf_rc add_bearer(struct transfer *t, str text, const char *from, struct curl_slist **list,
                        struct kf_err *err)
{
    str token = str_trim((str){text.p, str_index(text, '\n')});
    if (token.len && token.p[token.len - 1] == '\r')
        token.len--;
    bool ok = token.len > 0;
    for (size_t i = 0; ok && i < token.len; i++)
        ok = token.p[i] > 0x20 && token.p[i] < 0x7f;
    if (!ok)
        return err_set(err, PROBLEM_CONFIG, "%s holds no token on its first line", from);
    char *value = arena_printf(&t->cli->arena, "Bearer %.*s", STR_ARGS(token));
    return value ? add_header(t, list, "Authorization", str_of(value), err) : err_nomem(err);
}

/* http:// and the host is not this machine. */
static bool readable_on_the_way(const char *base)
{
    str http = STR("http://");
    return str_starts(str_of(base), http) && !hosts_loopback(str_from(str_of(base), http.len));
}

/* The token that the command was given, for servers beyond a socket of this machine: there a peer
 * is known by its uid. */
static kf_rc add_token(struct transfer *t, const char *base, struct curl_slist **list,
                       struct kf_err *err)
{
    const char *file = t->cli->opt[OPT_OWN_TOKEN_FILE], *variable = getenv("KEEPFAST_TOKEN");
    char text[SECRET_MAX];
    size_t len = 0;
    bool given = file || (variable && *variable);
    if (strncmp(base, "unix:", 5) == 0)
        return KF_OK;
    if (given && readable_on_the_way(base))
        return err_set(err, PROBLEM_CONFIG,
                       "a token is not sent to %s, where it could be read on the way: use https://",
                       base);
    if (!file)
        return given ? add_bearer(t, str_of(variable), "KEEPFAST_TOKEN", list, err) : KF_OK;
    kf_rc rc = secret_file_read(t->cli->env, file, text, sizeof text, &len, err);
    if (rc == KF_ABSENT)
        rc = err_set(err, PROBLEM_CONFIG, "there is no file %s for --token-file", file);
    if (rc == KF_OK)
        rc = add_bearer(t, (str){text, len}, file, list, err);
    mem_wipe(text, sizeof text);
    return rc;
}

static kf_rc set_body(struct transfer *t, int64_t size, struct kf_err *err)
{
    const struct direct_request *r = t->request;
    if (!r->send && !r->body.p) {
        t->curl.easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, r->method_text);
        if (r->method == API_HEAD)
            t->curl.easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
        return KF_OK;
    }
    if (!r->send) {
        buf_str(&t->piece, r->body);
        size = (int64_t)r->body.len;
    }
    t->curl.easy_setopt(t->easy, CURLOPT_UPLOAD, 1L);
    t->curl.easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, r->method_text);
    t->curl.easy_setopt(t->easy, CURLOPT_READFUNCTION, on_read);
    t->curl.easy_setopt(t->easy, CURLOPT_READDATA, t);
    if (size >= 0)
        t->curl.easy_setopt(t->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
    return buf_ok(&t->piece, err);
}

static kf_rc perform(struct transfer *t, const char *base, uint32_t timeout_ms, struct kf_err *err)
{
    long status = 0;
    CURLcode code = t->curl.easy_perform(t->easy);
    if (t->rc != KF_OK)
        return t->rc;
    if (code == CURLE_COULDNT_CONNECT)
        return err_set(err, PROBLEM_BUSY, "nobody answers at %s: is the server running?", base);
    if (code == CURLE_COULDNT_RESOLVE_HOST)
        return err_set(err, PROBLEM_BUSY, "%s: %s", base, t->curl.easy_strerror(code));
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return err_set(err, PROBLEM_CONFIG,
                       "%s is not believed to be who it says (%s): name its authority with "
                       "--ca-file or SSL_CERT_FILE",
                       base, t->why);
    if (code == CURLE_SSL_CONNECT_ERROR || code == CURLE_SSL_CACERT_BADFILE)
        return err_set(err, PROBLEM_CONFIG, "no TLS with %s: %s", base,
                       *t->why ? t->why : t->curl.easy_strerror(code));
    if (code == CURLE_OPERATION_TIMEDOUT)
        return err_set(err, PROBLEM_TIMEOUT, "%s did not answer within %u s", base,
                       (t->cli->stall_ms ? t->cli->stall_ms : timeout_ms) / 1000);
    t->curl.easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    t->answer.status = (int)status;
    /* Refused before all of the body was sent: the problem is here, the connection is not. */
    bool refused = status >= 400 && (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR);
    /* Not as busy: that is tried again, and this may have happened. Not as a remote that is away:
     * that says that everything is safe here. */
    bool writes = t->request->method != API_GET && t->request->method != API_HEAD;
    if (code != CURLE_OK && !refused)
        return err_set(err, PROBLEM_TIMEOUT, "the connection to %s broke (%s)%s", base,
                       t->curl.easy_strerror(code),
                       writes ? ": whether a write has happened is not known, so read it before "
                                "you repeat it"
                              : "");
    return KF_OK;
}

kf_rc wire_request(struct cli *cli, const char *base, const struct direct_request *request,
                   int64_t size, uint32_t timeout_ms, struct cli_answer *ret, struct kf_err *err)
{
    struct transfer t = {.cli = cli, .request = request, .folder = -1, .err = err};
    struct curl_slist *headers = NULL;
    t.answer.etag = t.answer.ack = t.answer.body = (str){"", 0};
    kf_rc rc = load_curl(&t.curl, err);
    if (rc != KF_OK)
        return rc;
    t.easy = t.curl.easy_init();
    rc = t.easy ? set_address(&t, base, err) : err_nomem(err);
    if (rc == KF_OK)
        rc = set_body(&t, size, err);
    if (rc == KF_OK)
        rc = add_header(&t, &headers, "Expect", (str){"", 0}, err);
    if (rc == KF_OK)
        rc = add_token(&t, base, &headers, err);
    for (size_t i = 0; i < request->header_count && rc == KF_OK; i++)
        rc = add_header(&t, &headers, request->headers[i].name.p, request->headers[i].value, err);
    if (rc == KF_OK) {
        t.curl.easy_setopt(t.easy, CURLOPT_HTTPHEADER, headers);
        t.curl.easy_setopt(t.easy, CURLOPT_NOSIGNAL, 1L);
        t.curl.easy_setopt(t.easy, CURLOPT_ERRORBUFFER, t.why);
        set_trust(&t);
        t.curl.easy_setopt(t.easy, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
        t.curl.easy_setopt(t.easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
        if (cli->stall_ms) {
            t.curl.easy_setopt(t.easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
            t.curl.easy_setopt(t.easy, CURLOPT_LOW_SPEED_TIME, (long)(cli->stall_ms / 1000));
        }
        t.curl.easy_setopt(t.easy, CURLOPT_HEADERFUNCTION, on_header);
        t.curl.easy_setopt(t.easy, CURLOPT_HEADERDATA, &t);
        t.curl.easy_setopt(t.easy, CURLOPT_WRITEFUNCTION, on_body);
        t.curl.easy_setopt(t.easy, CURLOPT_WRITEDATA, &t);
        if (request->tick) {
            t.curl.easy_setopt(t.easy, CURLOPT_NOPROGRESS, 0L);
            t.curl.easy_setopt(t.easy, CURLOPT_XFERINFOFUNCTION, on_tick);
            t.curl.easy_setopt(t.easy, CURLOPT_XFERINFODATA, &t);
        }
        rc = perform(&t, base, timeout_ms, err);
    }
    if (t.easy)
        t.curl.easy_cleanup(t.easy);
    t.curl.slist_free_all(headers);
    if (t.folder >= 0)
        close(t.folder);
    buf_release(&t.piece);
    if (rc == KF_OK)
        *ret = t.answer;
    return rc;
}

kf_rc wire_problem(struct cli *cli, int status, str body, struct kf_err *err)
{
    struct json_node *root;
    if (json_parse(body, NULL, &cli->arena, &root, NULL) != KF_OK)
        return err_set(err, PROBLEM_INTERNAL, "the server answered %d and no problem we can read",
                       status);
    str code = node_text(cli, root, "code"), detail = node_text(cli, root, "detail"),
        etag = node_text(cli, root, "etag");
    char *code_text = arena_dup(&cli->arena, code);
    const struct problem_info *p = code_text ? problem_find(code_text) : NULL;
    if (!p)
        return err_set(err, PROBLEM_INTERNAL, "the server answered %d: %.*s", status,
                       STR_ARGS(detail));
    kf_rc rc = err_set(err, (enum problem)(p - problem_table), "%.*s", STR_ARGS(detail));
    const struct json_node *offset = json_member(root, "offset");
    if (err && offset)
        err->offset = (int64_t)node_u64(root, "offset");
    if (err && rc == KF_DAMAGED)
        err->entry = node_u64(root, "n");
    if (err && etag.len) {
        err->version = node_u64(root, "version");
        snprintf(err->etag, sizeof err->etag, "%.*s", STR_ARGS(etag));
    }
    return rc;
}
