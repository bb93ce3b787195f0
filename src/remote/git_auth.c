/* The environment of a child:
 *
 *     PATH HOME LC_ALL TZ              where programs are; nothing of a user; one language
 *     GIT_CONFIG_NOSYSTEM …            no configuration but the next, no prompt
 *     GIT_CONFIG_COUNT, _KEY_n, _VALUE_n
 *     GIT_ALLOW_PROTOCOL               the one of the address, or none
 *     https_proxy …                    https and http: passed on
 *     GIT_SSH_COMMAND                  ssh: nothing of the user's but, where no key is named, keys
 *
 *     token: variable or file -> checked -> http.ORIGIN.extraHeader, as owner alone
 *
 * It is written twice by the same steps: once to count, once into memory of just that size. So the
 * token never lies in a piece of memory that was grown away from. */
#include "remote/git_auth.h"

#include "base/child.h"
#include "base/hooks.h"
#include "base/mem.h"
#include "base/secret.h"

#include <sodium.h>
#include <stdio.h>

#define TOKEN_USER   "x-access-token" /* hosts look at the token and take any user */
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"
#define NO_HOME      "/nonexistent"
#define PAIR_MAX     (SECRET_MAX + 64)
#define BASIC_MAX    (PAIR_MAX * 4 / 3 + 8)

struct environment {
    char *text;
    size_t size;
    const char **entries;
};

struct git_auth {
    struct environment of[GIT_AS_COUNT];
    size_t token_len;           /* 0 = none */
    char token[SECRET_MAX + 4]; /* with room for a line's end, and to see that there is more */
    char basic[BASIC_MAX];      /* base64 of USER:TOKEN */
};

/* ----------------------------------------------------------------------------------- the place */

/* A path that goes into a command line of ssh: what its reader of options and its variables would
 * take apart. */
static bool path_ok(str path, bool ssh)
{
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.p[i];
        if (c < ' ' || c == 0x7f || (ssh && (c == '"' || c == '\\' || c == '$')))
            return false;
    }
    return path.p[0] == '/';
}

static kf_rc check_path(const char *key, str path, bool fits, const char *fitting, bool ssh,
                        struct kf_err *err)
{
    if (path.len == 0)
        return KF_OK;
    if (!fits)
        return err_set(err, PROBLEM_CONFIG, "%s is for %s addresses alone", key, fitting);
    if (!path_ok(path, ssh))
        return err_set(err, PROBLEM_CONFIG,
                       "%s must be a whole path from / on without control characters%s", key,
                       ssh ? " and without \" \\ $, which ssh would read as something else" : "");
    return KF_OK;
}

static kf_rc check_token(const struct remote_place *p, bool web, struct kf_err *err)
{
    if (p->token_env.len && p->token_file.len)
        return err_set(err, PROBLEM_CONFIG,
                       "token_env and token_file both name a token: leave one out");
    if (p->token_env.len && secret_like(p->token_env))
        return err_set(err, PROBLEM_CONFIG,
                       "token_env is the name of a variable, and this looks like a token itself: "
                       "make a new one, for this one stands in a file, and name its variable");
    if (p->token_env.len && !secret_variable_ok(p->token_env))
        return err_set(err, PROBLEM_CONFIG,
                       "token_env is the name of a variable: letters, digits and _");
    if (p->token_env.len && !web)
        return err_set(err, PROBLEM_CONFIG, "token_env is for https addresses alone");
    return check_path("token_file", p->token_file, web, "https", false, err);
}

static kf_rc check_access(const struct remote_place *p, const struct git_url *u, struct kf_err *err)
{
    bool web = u->transport == GIT_HTTPS || u->transport == GIT_HTTP;
    bool ssh = u->transport == GIT_SSH;
    kf_rc rc = check_token(p, web, err);
    if (rc == KF_OK)
        rc = check_path("ssh_key_file", p->ssh_key_file, ssh, "ssh", true, err);
    if (rc == KF_OK)
        rc = check_path("known_hosts_file", p->known_hosts_file, ssh, "ssh", true, err);
    if (rc == KF_OK)
        rc = check_path("ca_file", p->ca_file, u->transport == GIT_HTTPS, "https", false, err);
    return rc;
}

kf_rc git_place_check(const struct remote_place *place, struct git_url *ret_url, struct kf_err *err)
{
    struct git_url u;
    kf_rc rc = git_url_parse(place->url, place->insecure, &u, err);
    if (rc != KF_OK)
        return rc;
    rc = place->branch.len ? git_branch_check(place->branch, err) : KF_OK;
    if (rc == KF_OK)
        rc = check_access(place, &u, err);
    if (rc == KF_OK)
        *ret_url = u;
    else
        git_url_release(&u);
    return rc;
}

/* ----------------------------------------------------------------------------------- the token */

static const char *variable(char *const *environ, const char *name)
{
    size_t len = strlen(name);
    for (; environ && *environ; environ++)
        if (strncmp(*environ, name, len) == 0 && (*environ)[len] == '=')
            return *environ + len + 1;
    return NULL;
}

/* What was read, without the end of its line. `from`: "the variable NAME". */
static kf_rc judge_token(struct git_auth *a, size_t len, const char *what, const char *name,
                         struct kf_err *err)
{
    if (len && a->token[len - 1] == '\n')
        len -= len > 1 && a->token[len - 2] == '\r' ? 2 : 1;
    if (len == 0)
        return err_set(err, PROBLEM_CONFIG, "the %s %s is empty: it should hold the token", what,
                       name);
    if (len > SECRET_MAX)
        return err_set(err, PROBLEM_CONFIG, "the %s %s holds more than %d bytes: that is no token",
                       what, name, SECRET_MAX);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)a->token[i];
        if (c < ' ' || c == 0x7f)
            return err_set(err, PROBLEM_CONFIG,
                           "the %s %s holds a control character or several lines: one token, on "
                           "one line",
                           what, name);
    }
    a->token[len] = '\0';
    a->token_len = len;
    return KF_OK;
}

static kf_rc token_of_variable(struct git_auth *a, const char *name, char *const *environ,
                               struct kf_err *err)
{
    const char *value = variable(environ, name);
    if (!value)
        return err_set(err, PROBLEM_CONFIG, "the variable %s is not set: it should hold the token",
                       name);
    size_t len = strnlen(value, sizeof(a->token) - 1);
    memcpy(a->token, value, len);
    return judge_token(a, len, "variable", name, err);
}

static kf_rc token_of_file(struct git_auth *a, const struct env *env, const char *path,
                           struct kf_err *err)
{
    size_t len = 0;
    kf_rc rc = secret_file_read(env, path, a->token, sizeof(a->token) - 1, &len, err);
    if (rc == KF_ABSENT)
        return err_set(err, PROBLEM_CONFIG, "there is no file %s: it should hold the token", path);
    return rc == KF_OK ? judge_token(a, len, "file", path, err) : rc;
}

static kf_rc read_token(struct git_auth *a, const struct env *env, const struct remote_place *p,
                        const struct git_url *url, char *const *environ, struct kf_err *err)
{
    char pair[PAIR_MAX];
    kf_rc rc = KF_OK;
    if (p->token_env.len)
        rc = token_of_variable(a, p->token_env.p, environ, err);
    else if (p->token_file.len)
        rc = token_of_file(a, env, p->token_file.p, err);
    if (rc != KF_OK || !a->token_len)
        return rc;
    int len = snprintf(pair, sizeof(pair), "%s:%s", url->user.len ? url->user.p : TOKEN_USER,
                       a->token);
    sodium_bin2base64(a->basic, sizeof(a->basic), (const unsigned char *)pair, (size_t)len,
                      sodium_base64_VARIANT_ORIGINAL);
    mem_wipe(pair, sizeof(pair));
    return KF_OK;
}

/* --------------------------------------------------------------------------------- writing it */

/* Counts while text is NULL. */
struct pen {
    char *text;
    size_t len, size;
    const char **entries;
    size_t count;
    unsigned pairs;
};

static void put(struct pen *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct pen *p, const char *fmt, ...)
{
    va_list args;
    char none[1], *at = p->text ? p->text + p->len : none;
    va_start(args, fmt);
    int len = vsnprintf(at, p->text ? p->size - p->len : 0, fmt, args);
    va_end(args);
    if (p->text)
        p->entries[p->count] = at;
    p->count++;
    p->len += (size_t)len + 1;
}

static void put_config(struct pen *p, const char *key, const char *value)
{
    put(p, "GIT_CONFIG_KEY_%u=%s", p->pairs, key);
    put(p, "GIT_CONFIG_VALUE_%u=%s", p->pairs, value);
    p->pairs++;
}

struct making {
    const struct git_auth *auth;
    const struct remote_place *place;
    const struct git_url *url;
    char *const *environ;
    const char *ssh;    /* the command, as guest and as owner; "" = not over ssh */
    const char *header; /* the name of the setting: "http.ORIGIN/.extraHeader" */
};

static void put_base(struct pen *p, const struct making *m)
{
    const char *path = variable(m->environ, "PATH");
    put(p, "PATH=%s", path && *path ? path : DEFAULT_PATH);
    put(p, "HOME=" NO_HOME);
    put(p, "LC_ALL=C");
    put(p, "TZ=UTC");
    put(p, "GIT_CONFIG_NOSYSTEM=1");
    put(p, "GIT_CONFIG_GLOBAL=/dev/null");
    put(p, "GIT_ATTR_NOSYSTEM=1");
    put(p, "GIT_TERMINAL_PROMPT=0");
    put(p, "GIT_ASKPASS=/bin/false");
}

static void put_settings(struct pen *p, const struct making *m, enum git_as as)
{
    static const char *const settings[][2] = {
        {"core.hooksPath", "/dev/null"},
        {"core.attributesFile", "/dev/null"},
        {"core.fsync", "all"},
        {"core.fsyncMethod", "fsync"},
        {"credential.helper", ""},
        {"gc.auto", "0"},
        {"maintenance.auto", "false"},
        {"protocol.version", "2"},
        {"transfer.fsckObjects", "true"},
        {"transfer.credentialsInUrl", "die"},
        {"http.sslVerify", "true"},
        {"http.lowSpeedLimit", "1000"},
        {"http.lowSpeedTime", "30"},
    };
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        put_config(p, settings[i][0], settings[i][1]);
    put_config(p, "http.followRedirects", KF_SABOTAGE("follow-redirect") ? "true" : "false");
    if (as != GIT_AS_NOBODY && m->place->ca_file.len)
        put_config(p, "http.sslCAInfo", m->place->ca_file.p);
    if (as == GIT_AS_OWNER && m->auth->token_len) {
        put(p, "GIT_CONFIG_KEY_%u=%s", p->pairs, m->header);
        put(p, "GIT_CONFIG_VALUE_%u=Authorization: Basic %s", p->pairs, m->auth->basic);
        p->pairs++;
    }
    put(p, "GIT_CONFIG_COUNT=%u", p->pairs);
}

static void put_way(struct pen *p, const struct making *m, enum git_as as)
{
    static const char *const proxies[] = {"https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"};
    put(p, "GIT_ALLOW_PROTOCOL=%s", as == GIT_AS_NOBODY ? "none" : m->url->protocol.p);
    if (as == GIT_AS_NOBODY)
        return;
    if (m->url->origin.len) {
        /* The heads of answers, to a pipe of ours (retry_after.h). Git leaves credentials out. */
        put(p, "GIT_TRACE_CURL=%d", CHILD_TRACE);
        put(p, "GIT_TRACE_CURL_NO_DATA=1");
        put(p, "GIT_TRACE_REDACT=1");
    }
    for (size_t i = 0; m->url->origin.len && i < sizeof(proxies) / sizeof(proxies[0]); i++) {
        const char *value = variable(m->environ, proxies[i]);
        if (value)
            put(p, "%s=%s", proxies[i], value);
    }
    if (m->url->transport == GIT_SSH) {
        put(p, "GIT_SSH_VARIANT=ssh");
        put(p, "GIT_SSH_COMMAND=%s%s", m->ssh,
            as == GIT_AS_GUEST ? " -o PubkeyAuthentication=no" : "");
    }
}

static void write_all(struct pen *p, const struct making *m, enum git_as as)
{
    put_base(p, m);
    put_settings(p, m, as);
    put_way(p, m, as);
}

static kf_rc make_environment(struct environment *e, const struct making *m, enum git_as as,
                              struct kf_err *err)
{
    struct pen count = {0};
    write_all(&count, m, as);
    e->text = mem_alloc(count.len);
    e->entries = mem_calloc(count.count + 1, sizeof(*e->entries));
    if (!e->text || !e->entries)
        return err_nomem(err);
    e->size = count.len;
    struct pen pen = {.text = e->text, .size = e->size, .entries = e->entries};
    write_all(&pen, m, as);
    return KF_OK;
}

/* ---------------------------------------------------------------------------------------- ssh */

/* -o KEY="PATH" for ssh, in quotes for the shell to which git gives the command. ssh replaces %X
 * in these values; `-i` would be looked for before that. */
static void ssh_path(struct buf *out, const char *key, str path)
{
    buf_printf(out, " -o '%s=\"", key);
    for (size_t i = 0; i < path.len; i++) {
        if (path.p[i] == '\'')
            buf_c(out, "'\\''");
        else if (path.p[i] == '%')
            buf_c(out, "%%");
        else
            buf_byte(out, path.p[i]);
    }
    buf_c(out, "\"'");
}

/* The first key of a host must be known before: whoever answers the first time could be anybody
 * (accept-new would believe). No configuration of the user or the machine is read (-F), and no
 * agent is asked. */
static void ssh_command(const struct remote_place *p, struct buf *out)
{
    buf_c(out, "ssh -F none -T -a -x -o BatchMode=yes -o StrictHostKeyChecking=yes"
               " -o IdentitiesOnly=yes -o IdentityAgent=none -o UpdateHostKeys=no"
               " -o ClearAllForwardings=yes -o PermitLocalCommand=no -o ControlPath=none"
               " -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4");
    if (p->ssh_key_file.len)
        ssh_path(out, "IdentityFile", p->ssh_key_file);
    if (p->known_hosts_file.len) {
        buf_c(out, " -o GlobalKnownHostsFile=/dev/null");
        ssh_path(out, "UserKnownHostsFile", p->known_hosts_file);
    }
}

/* --------------------------------------------------------------------------------- the whole */

static kf_rc make_all(struct git_auth *a, struct making *m, struct kf_err *err)
{
    struct buf ssh = BUF_INIT, header = BUF_INIT;
    kf_rc rc;
    if (m->url->transport == GIT_SSH)
        ssh_command(m->place, &ssh);
    buf_printf(&header, "http.%s/.extraHeader", m->url->origin.p);
    if ((rc = buf_ok(&ssh, err)) == KF_OK)
        rc = buf_ok(&header, err);
    m->ssh = buf_view(&ssh).p;
    m->header = header.p;
    for (int as = 0; rc == KF_OK && as < GIT_AS_COUNT; as++)
        rc = make_environment(&a->of[as], m, (enum git_as)as, err);
    buf_release(&ssh);
    buf_release(&header);
    return rc;
}

kf_rc git_auth_new(const struct env *env, const struct remote_place *place,
                   const struct git_url *url, char *const *environ, struct git_auth **ret_auth,
                   struct kf_err *err)
{
    struct git_auth *a = mem_calloc(1, sizeof(*a));
    struct making m = {.auth = a, .place = place, .url = url, .environ = environ};
    if (!a)
        return err_nomem(err);
    kf_rc rc = read_token(a, env, place, url, environ, err);
    if (rc == KF_OK)
        rc = make_all(a, &m, err);
    if (rc == KF_OK)
        *ret_auth = a;
    else
        git_auth_free(a);
    return rc;
}

const char *const *git_auth_environ(const struct git_auth *a, enum git_as as)
{
    return a->of[as].entries;
}

void git_auth_free(struct git_auth *a)
{
    if (!a)
        return;
    for (int as = 0; as < GIT_AS_COUNT; as++) {
        if (a->of[as].text)
            mem_wipe(a->of[as].text, a->of[as].size);
        mem_free(a->of[as].text);
        mem_free(a->of[as].entries);
    }
    mem_wipe(a, sizeof(*a));
    mem_free(a);
}

/* ------------------------------------------------------------------------ hiding what it holds */

static void hide(char *text, size_t len, const char *secret, size_t secret_len)
{
    for (size_t i = 0; secret_len && i + secret_len <= len;) {
        if (memcmp(text + i, secret, secret_len) == 0) {
            memset(text + i, '*', secret_len);
            i += secret_len;
        } else {
            i++;
        }
    }
}

/* With every byte that is no letter or digit as %XX, and hidden so. */
static void hide_percent(const struct git_auth *a, const char *digits, char *text, size_t len)
{
    char spelt[3 * SECRET_MAX + 1];
    size_t n = 0;
    for (size_t i = 0; i < a->token_len; i++) {
        unsigned char c = (unsigned char)a->token[i];
        bool word = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!word)
            spelt[n++] = '%';
        spelt[n++] = word ? (char)c : digits[c >> 4];
        if (!word)
            spelt[n++] = digits[c & 15];
    }
    hide(text, len, spelt, n);
    mem_wipe(spelt, sizeof(spelt));
}

static void hide_hex(const struct git_auth *a, const char *digits, char *text, size_t len)
{
    char spelt[2 * SECRET_MAX];
    for (size_t i = 0; i < a->token_len; i++) {
        spelt[2 * i] = digits[(unsigned char)a->token[i] >> 4];
        spelt[2 * i + 1] = digits[(unsigned char)a->token[i] & 15];
    }
    hide(text, len, spelt, 2 * a->token_len);
    mem_wipe(spelt, sizeof(spelt));
}

static void hide_base64(const struct git_auth *a, char *text, size_t len)
{
    char spelt[BASIC_MAX];
    sodium_bin2base64(spelt, sizeof(spelt), (const unsigned char *)a->token, a->token_len,
                      sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    hide(text, len, spelt, strlen(spelt));
    mem_wipe(spelt, sizeof(spelt));
}

void git_auth_hide(const struct git_auth *a, char *text, size_t len)
{
    static const char small[] = "0123456789abcdef", large[] = "0123456789ABCDEF";
    hide(text, len, a->token, a->token_len);
    hide(text, len, a->basic, strlen(a->basic));
    hide_base64(a, text, len);
    for (int i = 0; i < 2; i++) {
        hide_hex(a, i ? large : small, text, len);
        hide_percent(a, i ? large : small, text, len);
    }
}
