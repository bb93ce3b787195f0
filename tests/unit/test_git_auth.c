/* The environment of git: exactly what it is, and what a real git makes of it. */
#include "testing.h"

#include "remote/git_advice.h"
#include "remote/git_auth.h"

#include "base/secret.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOKEN "hunter2-hunter2"
#define BASIC "eC1hY2Nlc3MtdG9rZW46aHVudGVyMi1odW50ZXIy" /* x-access-token:TOKEN */

#define VAR(text) ((char[]){text})

/* What must not come through stands among it. */
static char *const *const outside = (char *const[]){VAR("HOME=/home/me"),
                                                    VAR("PATH=/opt/bin:/usr/bin:/bin"),
                                                    VAR("GIT_DIR=/elsewhere/.git"),
                                                    VAR("GIT_SSL_NO_VERIFY=1"),
                                                    VAR("GIT_CONFIG_PARAMETERS='core.pager=x'"),
                                                    VAR("GIT_CONFIG_COUNT=1"),
                                                    VAR("GIT_CONFIG_KEY_0=http.proxy"),
                                                    VAR("GIT_CONFIG_VALUE_0=http://evil"),
                                                    VAR("GIT_TRACE_CURL=1"),
                                                    VAR("GIT_PROXY_COMMAND=/bin/x"),
                                                    VAR("SSH_AUTH_SOCK=/tmp/agent"),
                                                    VAR("LD_PRELOAD=x.so"),
                                                    VAR("https_proxy=http://proxy:3128"),
                                                    VAR("NO_PROXY=.lan"),
                                                    VAR("http_proxy=http://plain:1"),
                                                    VAR("ALL_PROXY=socks5://x"),
                                                    VAR("LANG=pl_PL.UTF-8"),
                                                    VAR("GITHUB_TOKEN=" TOKEN "\n"),
                                                    VAR("EMPTY="),
                                                    VAR("LINES=a\nb"),
                                                    VAR("BELL=a\ab"),
                                                    VAR("GITHUB_TOKEN_2=x"),
                                                    NULL};

struct in {
    struct git_url url;
    struct git_auth *auth;
};

static kf_rc open_in(struct in *in, const struct remote_place *place, char *const *environ_of,
                     struct kf_err *err)
{
    *in = (struct in){.url = {.arena = ARENA_INIT}};
    kf_rc rc = git_place_check(place, &in->url, err);
    if (rc == KF_OK)
        rc = git_auth_new(env_system(), place, &in->url, environ_of, &in->auth, err);
    return rc;
}

static void close_in(struct in *in)
{
    git_auth_free(in->auth);
    git_url_release(&in->url);
}

static void open_good(struct in *in, const struct remote_place *place)
{
    struct kf_err err = KF_ERR_INIT;
    if (open_in(in, place, outside, &err) != KF_OK)
        fail_msg("%s", err.detail);
}

/* ----------------------------------------------------------------------- the exact environment */

#define BASE                                                                           \
    "PATH=/opt/bin:/usr/bin:/bin", "HOME=/nonexistent", "LC_ALL=C", "TZ=UTC",          \
        "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1", \
        "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=/bin/false"
#define SETTINGS                                                                                 \
    "GIT_CONFIG_KEY_0=core.hooksPath", "GIT_CONFIG_VALUE_0=/dev/null",                           \
        "GIT_CONFIG_KEY_1=core.attributesFile", "GIT_CONFIG_VALUE_1=/dev/null",                  \
        "GIT_CONFIG_KEY_2=core.fsync", "GIT_CONFIG_VALUE_2=all",                                 \
        "GIT_CONFIG_KEY_3=core.fsyncMethod", "GIT_CONFIG_VALUE_3=fsync",                         \
        "GIT_CONFIG_KEY_4=credential.helper", "GIT_CONFIG_VALUE_4=", "GIT_CONFIG_KEY_5=gc.auto", \
        "GIT_CONFIG_VALUE_5=0", "GIT_CONFIG_KEY_6=maintenance.auto", "GIT_CONFIG_VALUE_6=false", \
        "GIT_CONFIG_KEY_7=protocol.version", "GIT_CONFIG_VALUE_7=2",                             \
        "GIT_CONFIG_KEY_8=transfer.fsckObjects", "GIT_CONFIG_VALUE_8=true",                      \
        "GIT_CONFIG_KEY_9=transfer.credentialsInUrl", "GIT_CONFIG_VALUE_9=die",                  \
        "GIT_CONFIG_KEY_10=http.sslVerify", "GIT_CONFIG_VALUE_10=true",                          \
        "GIT_CONFIG_KEY_11=http.lowSpeedLimit", "GIT_CONFIG_VALUE_11=1000",                      \
        "GIT_CONFIG_KEY_12=http.lowSpeedTime", "GIT_CONFIG_VALUE_12=30",                         \
        "GIT_CONFIG_KEY_13=http.followRedirects", "GIT_CONFIG_VALUE_13=false"
#define TRACE "GIT_TRACE_CURL=4", "GIT_TRACE_CURL_NO_DATA=1", "GIT_TRACE_REDACT=1"
#define SSH                                                                              \
    "GIT_SSH_COMMAND=ssh -F none -T -a -x -o BatchMode=yes -o StrictHostKeyChecking=yes" \
    " -o IdentitiesOnly=yes -o IdentityAgent=none -o UpdateHostKeys=no"                  \
    " -o ClearAllForwardings=yes -o PermitLocalCommand=no -o ControlPath=none"           \
    " -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"

static void expect(const struct in *in, enum git_as as, const char *const *want)
{
    const char *const *is = git_auth_environ(in->auth, as);
    for (size_t i = 0; is[i] || want[i]; i++)
        if (!is[i] || !want[i] || strcmp(is[i], want[i]) != 0)
            fail_msg("%zu: %s, not %s", i, is[i] ? is[i] : "the end",
                     want[i] ? want[i] : "the end");
}

static void exact_environment_over_https(void **state)
{
    (void)state;
    struct in in;
    const struct remote_place place = {.url = STR("https://GitHub.com/me/x.git"),
                                       .token_env = STR("GITHUB_TOKEN"),
                                       .ca_file = STR("/etc/our ca.pem")};
    open_good(&in, &place);
    expect(&in, GIT_AS_NOBODY,
           (const char *const[]){BASE, SETTINGS, "GIT_CONFIG_COUNT=14", "GIT_ALLOW_PROTOCOL=none",
                                 NULL});
    expect(&in, GIT_AS_GUEST,
           (const char *const[]){BASE, SETTINGS, "GIT_CONFIG_KEY_14=http.sslCAInfo",
                                 "GIT_CONFIG_VALUE_14=/etc/our ca.pem", "GIT_CONFIG_COUNT=15",
                                 "GIT_ALLOW_PROTOCOL=https", TRACE, "https_proxy=http://proxy:3128",
                                 "NO_PROXY=.lan", NULL});
    expect(&in, GIT_AS_OWNER,
           (const char *const[]){BASE, SETTINGS, "GIT_CONFIG_KEY_14=http.sslCAInfo",
                                 "GIT_CONFIG_VALUE_14=/etc/our ca.pem",
                                 "GIT_CONFIG_KEY_15=http.https://github.com:443/.extraHeader",
                                 "GIT_CONFIG_VALUE_15=Authorization: Basic " BASIC,
                                 "GIT_CONFIG_COUNT=16", "GIT_ALLOW_PROTOCOL=https", TRACE,
                                 "https_proxy=http://proxy:3128", "NO_PROXY=.lan", NULL});
    close_in(&in);
}

static void exact_environment_over_ssh(void **state)
{
    (void)state;
    struct in in;
    const struct remote_place bare = {.url = STR("git@host:me/x.git")};
    const struct remote_place place = {.url = STR("ssh://git@host:22/x"),
                                       .ssh_key_file = STR("/k/it's 100%"),
                                       .known_hosts_file = STR("/k/known hosts")};
    open_good(&in, &bare);
    expect(&in, GIT_AS_OWNER,
           (const char *const[]){BASE, SETTINGS, "GIT_CONFIG_COUNT=14", "GIT_ALLOW_PROTOCOL=ssh",
                                 "GIT_SSH_VARIANT=ssh", SSH, NULL});
    expect(&in, GIT_AS_GUEST,
           (const char *const[]){BASE, SETTINGS, "GIT_CONFIG_COUNT=14", "GIT_ALLOW_PROTOCOL=ssh",
                                 "GIT_SSH_VARIANT=ssh", SSH " -o PubkeyAuthentication=no", NULL});
    close_in(&in);
    open_good(&in, &place);
    expect(&in, GIT_AS_OWNER,
           (const char *const[]){BASE, SETTINGS, "GIT_CONFIG_COUNT=14", "GIT_ALLOW_PROTOCOL=ssh",
                                 "GIT_SSH_VARIANT=ssh",
                                 SSH " -o 'IdentityFile=\"/k/it'\\''s 100%%\"'"
                                     " -o GlobalKnownHostsFile=/dev/null"
                                     " -o 'UserKnownHostsFile=\"/k/known hosts\"'",
                                 NULL});
    expect(&in, GIT_AS_NOBODY,
           (const char *const[]){BASE, SETTINGS, "GIT_CONFIG_COUNT=14", "GIT_ALLOW_PROTOCOL=none",
                                 NULL});
    close_in(&in);
}

static void exact_environment_of_a_file(void **state)
{
    (void)state;
    struct in in;
    char *const empty[] = {NULL};
    const struct remote_place place = {.url = STR("file:///srv/x.git")};
    open_good(&in, &place);
    expect(&in, GIT_AS_OWNER,
           (const char *const[]){BASE, SETTINGS, "GIT_CONFIG_COUNT=14", "GIT_ALLOW_PROTOCOL=file",
                                 NULL});
    close_in(&in);
    assert_int_equal(open_in(&in, &place, empty, NULL), KF_OK);
    assert_string_equal(git_auth_environ(in.auth, GIT_AS_OWNER)[0],
                        "PATH=/usr/local/bin:/usr/bin:/bin");
    close_in(&in);
}

/* ---------------------------------------------------------------------------------- a real git */

/* Runs git with these arguments; what it said on both ways, or fails. */
static const char *git(const struct in *in, enum git_as as, const char *const *argv,
                       int *ret_status)
{
    const char *path = testing_path(testing_dir(), "said");
    posix_spawn_file_actions_t files;
    pid_t pid;
    int status;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    assert_int_equal(posix_spawn(&pid, "/usr/bin/git", &files, NULL, (char *const *)(uintptr_t)argv,
                                 (char *const *)(uintptr_t)git_auth_environ(in->auth, as)),
                     0);
    posix_spawn_file_actions_destroy(&files);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (ret_status)
        *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return testing_read(path, NULL);
}

static void a_real_git_has_our_settings_alone(void **state)
{
    (void)state;
    struct in in;
    int status;
    const char *dir = testing_dir();
    const struct remote_place place = {.url = STR("https://github.com/me/x.git"),
                                       .token_env = STR("GITHUB_TOKEN")};
    open_good(&in, &place);
    const char *const list[] = {"git", "-C", dir, "config", "--list", "--show-origin", NULL};
    const char *said = git(&in, GIT_AS_OWNER, list, &status);
    assert_int_equal(status, 0);
    assert_string_equal(said,
                        "command line:\tcore.hookspath=/dev/null\n"
                        "command line:\tcore.attributesfile=/dev/null\n"
                        "command line:\tcore.fsync=all\n"
                        "command line:\tcore.fsyncmethod=fsync\n"
                        "command line:\tcredential.helper=\n"
                        "command line:\tgc.auto=0\n"
                        "command line:\tmaintenance.auto=false\n"
                        "command line:\tprotocol.version=2\n"
                        "command line:\ttransfer.fsckobjects=true\n"
                        "command line:\ttransfer.credentialsinurl=die\n"
                        "command line:\thttp.sslverify=true\n"
                        "command line:\thttp.lowspeedlimit=1000\n"
                        "command line:\thttp.lowspeedtime=30\n"
                        "command line:\thttp.followredirects=false\n"
                        "command line:\thttp.https://github.com:443/.extraheader=Authorization: "
                        "Basic " BASIC "\n");
    close_in(&in);
}

static void the_token_is_for_its_origin(void **state)
{
    (void)state;
    static const struct {
        const char *ours, *asked;
        bool sent;
    } table[] = {
        {"https://github.com/me/x.git", "https://github.com/me/x.git", true},
        {"https://github.com/me/x.git", "https://github.com:443/other", true},
        {"https://github.com/me/x.git", "https://GITHUB.com/me/x.git", true},
        {"https://github.com:443/me/x.git", "https://github.com/me/x.git/info/refs", true},
        {"https://github.com/me/x.git", "http://github.com/me/x.git", false},
        {"https://github.com/me/x.git", "https://github.com:8443/me/x.git", false},
        {"https://github.com/me/x.git", "https://github.com.evil.org/me/x.git", false},
        {"https://github.com/me/x.git", "https://evil.org/github.com/me/x.git", false},
        {"https://github.com/me/x.git", "https://api.github.com/", false},
        {"https://host:8443/x.git", "https://host:8443/x.git", true},
        {"https://host:8443/x.git", "https://host/x.git", false},
        {"http://127.0.0.1:3000/x.git", "http://127.0.0.1:3000/x.git", true},
        {"http://127.0.0.1:3000/x.git", "http://127.0.0.1/x.git", false},
        {"https://[2001:db8::1]:8443/x.git", "https://[2001:db8::1]:8443/x.git", true},
        {"https://[2001:db8::1]:8443/x.git", "https://[2001:db8::2]:8443/x.git", false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct in in;
        int status;
        const struct remote_place place = {.url = str_of(table[i].ours),
                                           .token_env = STR("GITHUB_TOKEN")};
        const char *const ask[] = {"git",          "config", "--get-urlmatch", "http.extraHeader",
                                   table[i].asked, NULL};
        open_good(&in, &place);
        const char *said = git(&in, GIT_AS_OWNER, ask, &status);
        if (!!strstr(said, BASIC) != table[i].sent)
            fail_msg("%s -> %s: %s", table[i].ours, table[i].asked, said);
        if (strstr(git(&in, GIT_AS_GUEST, ask, &status), BASIC) ||
            strstr(git(&in, GIT_AS_NOBODY, ask, &status), BASIC))
            fail_msg("%s -> %s: sent by a guest", table[i].ours, table[i].asked);
        close_in(&in);
    }
}

static void a_real_git_takes_no_other_way(void **state)
{
    (void)state;
    struct in in;
    int status;
    const char *dir = testing_dir();
    const char *canary = testing_path(dir, "canary"), *repo = testing_path(dir, "x.git");
    char helper[300], address[300], option[300];
    snprintf(helper, sizeof(helper), "ext::touch %s", canary);
    snprintf(address, sizeof(address), "file://%s", repo);
    snprintf(option, sizeof(option), "--upload-pack=touch %s", canary);
    const struct remote_place web = {.url = STR("https://127.0.0.1:1/x.git"),
                                     .token_env = STR("GITHUB_TOKEN")};
    const struct remote_place file = {.url = str_of(address)};
    const char *const init[] = {"git", "init", "-q", "--bare", repo, NULL};
    const char *const others[] = {helper, address, "ssh://127.0.0.1:1/x", "git://127.0.0.1:1/x",
                                  "http://127.0.0.1:1/x"};
    open_good(&in, &web);
    git(&in, GIT_AS_NOBODY, init, &status);
    assert_int_equal(status, 0);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        const char *const ask[] = {"git", "ls-remote", "--", others[i], NULL};
        const char *said = git(&in, GIT_AS_OWNER, ask, &status);
        if (status == 0 || !strstr(said, "not allowed"))
            fail_msg("%s: %d %s", others[i], status, said);
        said = git(&in, GIT_AS_NOBODY, ask, &status);
        if (status == 0 || !strstr(said, "not allowed"))
            fail_msg("%s: %d %s", others[i], status, said);
    }
    close_in(&in);
    open_good(&in, &file);
    const char *const ask[] = {"git", "ls-remote", "--", in.url.address.p, NULL};
    git(&in, GIT_AS_OWNER, ask, &status);
    assert_int_equal(status, 0);
    git(&in, GIT_AS_NOBODY, ask, &status);
    assert_true(status != 0);
    const char *const injected[] = {"git", "ls-remote", "--", option, NULL};
    git(&in, GIT_AS_OWNER, injected, &status);
    assert_true(status != 0);
    assert_false(testing_exists(canary));
    close_in(&in);
}

/* A program called ssh in front of the real one keeps what it was given. */
static void ssh_gets_paths_as_they_are(void **state)
{
    (void)state;
    struct in in;
    int status;
    const char *dir = testing_dir();
    const char *ssh = testing_path(dir, "ssh"), *argv_file = testing_path(dir, "argv");
    char script[400], path[600], key[300], known[300];
    snprintf(script, sizeof(script),
             "#!/bin/sh\nfor a; do printf '%%s\\n' \"$a\"; done >%s\nexec /usr/bin/ssh -G \"$@\" "
             ">%s.read\n",
             argv_file, argv_file);
    testing_write(ssh, script, strlen(script));
    assert_int_equal(chmod(ssh, 0700), 0);
    snprintf(path, sizeof(path), "PATH=%s:/usr/bin:/bin", dir);
    snprintf(key, sizeof(key), "%s/it's my 100%% key;$", dir);
    key[strlen(key) - 1] = '\0';
    snprintf(known, sizeof(known), "%s/known #1 'hosts'", dir);
    char *const environ_of[] = {path, NULL};
    const struct remote_place place = {.url = STR("ssh://git@host.example:2222/me/x.git"),
                                       .ssh_key_file = str_of(key),
                                       .known_hosts_file = str_of(known)};
    struct kf_err err = KF_ERR_INIT;
    if (open_in(&in, &place, environ_of, &err) != KF_OK)
        fail_msg("%s", err.detail);
    const char *const ask[] = {"git", "ls-remote", "--", in.url.address.p, NULL};
    git(&in, GIT_AS_OWNER, ask, &status);
    const char *given = testing_read(argv_file, NULL);
    assert_non_null(strstr(given, "\nStrictHostKeyChecking=yes\n"));
    assert_non_null(strstr(given, "\n-p\n2222\ngit@host.example\ngit-upload-pack '/me/x.git'\n"));
    const char *read = testing_read(testing_path(dir, "argv.read"), NULL);
    char want[700];
    snprintf(want, sizeof(want), "\nuserknownhostsfile %s\n", known);
    if (!strstr(read, want))
        fail_msg("no%s in %s", want, read);
    snprintf(want, sizeof(want), "\nidentityfile %s/it's my 100%%%% key;\n", dir);
    if (!strstr(read, want))
        fail_msg("no%s in %s", want, read);
    assert_non_null(strstr(read, "\nbatchmode yes\n"));
    assert_non_null(strstr(read, "\nstricthostkeychecking true\n"));
    assert_non_null(strstr(read, "\nglobalknownhostsfile /dev/null\n"));
    assert_null(strstr(read, "\nproxycommand"));
    close_in(&in);
}

/* ----------------------------------------------------------------------------------- the token */

static void expect_refused(const struct remote_place *place, kf_rc want, const char *code,
                           const char *says)
{
    struct in in;
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = open_in(&in, place, outside, &err);
    if (rc != want || strcmp(err.code, code) != 0 || !strstr(err.detail, says) ||
        strstr(err.detail, "hunter2"))
        fail_msg("%s %s: %s", kf_rc_name(rc), err.code, err.detail);
    assert_null(in.auth);
    close_in(&in);
}

static void tokens_of_variables(void **state)
{
    (void)state;
    struct remote_place place = {.url = STR("https://host/x.git")};
    static const char *const table[][2] = {
        {"NOBODY", "the variable NOBODY is not set"},
        {"GITHUB", "the variable GITHUB is not set"},
        {"EMPTY", "the variable EMPTY is empty"},
        {"LINES", "the variable LINES holds a control character or several lines"},
        {"BELL", "the variable BELL holds a control character"},
        {"1st", "token_env is the name of a variable"},
        {"A B", "token_env is the name of a variable"},
        {"ghp_hunter2hunter2hunter2", "looks like a token itself"},
        {"glpat_hunter2-hunter2", "token_env is the name of a variable"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        place.token_env = str_of(table[i][0]);
        expect_refused(&place, KF_CONFIG, "config", table[i][1]);
    }
}

static void tokens_of_files(void **state)
{
    (void)state;
    const char *dir = testing_dir();
    const char *path = testing_path(dir, "token"), *link = testing_path(dir, "link");
    static char large[SECRET_MAX + 8];
    memset(large, 'x', sizeof(large));
    const struct remote_place place = {.url = STR("https://me@host/x.git"),
                                       .token_file = str_of(path)};
    const struct remote_place linked = {.url = place.url, .token_file = str_of(link)};
    const struct {
        const char *bytes;
        size_t len;
        const char *says; /* NULL = taken */
    } table[] = {
        {TOKEN, sizeof(TOKEN) - 1, NULL},
        {TOKEN "\n", sizeof(TOKEN), NULL},
        {TOKEN "\r\n", sizeof(TOKEN) + 1, NULL},
        {"", 0, "is empty"},
        {"\n", 1, "is empty"},
        {"\r\n", 2, "is empty"},
        {TOKEN "\n\n", sizeof(TOKEN) + 1, "several lines"},
        {TOKEN "\nmore", sizeof(TOKEN) + 4, "several lines"},
        {"hunter2\0x", 9, "a control character"},
        {"hunter2\x7f", 8, "a control character"},
        {"\xef\xbb\xbfhunter2", 10, NULL},
        {large, SECRET_MAX, NULL},
        {large, SECRET_MAX + 1, "more than 4096 bytes"},
        {large, sizeof(large), "more than 4096 bytes"},
    };
    expect_refused(&place, KF_CONFIG, "config", "there is no file");
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct in in;
        struct kf_err err = KF_ERR_INIT;
        testing_write(path, table[i].bytes, table[i].len);
        assert_int_equal(chmod(path, 0600), 0);
        if (table[i].says) {
            expect_refused(&place, KF_CONFIG, "config", table[i].says);
            continue;
        }
        if (open_in(&in, &place, outside, &err) != KF_OK)
            fail_msg("%zu: %s", i, err.detail);
        close_in(&in);
    }
    static const mode_t open_modes[] = {0640, 0604, 0620, 0666, 0644};
    testing_write(path, TOKEN, sizeof(TOKEN) - 1);
    for (size_t i = 0; i < sizeof(open_modes) / sizeof(open_modes[0]); i++) {
        char says[40];
        assert_int_equal(chmod(path, open_modes[i]), 0);
        snprintf(says, sizeof(says), "(mode %04o)", (unsigned)open_modes[i]);
        expect_refused(&place, KF_CONFIG, "permission", says);
        expect_refused(&place, KF_CONFIG, "permission", path);
    }
    assert_int_equal(symlink("token", link), 0);
    expect_refused(&linked, KF_CONFIG, "permission", "(mode 0644)");
    assert_int_equal(chmod(path, 0400), 0);
    struct in in;
    open_good(&in, &linked);
    /* The user of the address goes with it: "me:" and the token. */
    const char *const *entries = git_auth_environ(in.auth, GIT_AS_OWNER);
    bool found = false;
    for (; *entries; entries++)
        found |= strstr(*entries, "Basic bWU6aHVudGVyMi1odW50ZXIy") != NULL;
    assert_true(found);
    close_in(&in);
}

static void what_a_host_says_back_is_hidden(void **state)
{
    (void)state;
    struct in in;
    const struct remote_place place = {.url = STR("https://host/x.git"),
                                       .token_env = STR("GITHUB_TOKEN")};
    const struct remote_place none = {.url = STR("https://host/x.git")};
    char said[] = "remote: you sent " TOKEN TOKEN " as " BASIC ", hunter2";
    open_good(&in, &place);
    git_auth_hide(in.auth, said, strlen(said));
    assert_null(strstr(said, TOKEN));
    assert_null(strstr(said, BASIC));
    assert_non_null(strstr(said, "remote: you sent ***"));
    assert_non_null(strstr(said, "**, hunter2"));
    git_auth_hide(in.auth, said, 0);
    static const char *const spelt[] = {"68756e746572322d68756e74657232",
                                        "68756E746572322D68756E74657232", "aHVudGVyMi1odW50ZXIy",
                                        "hunter2%2Dhunter2", "hunter2%2dhunter2"};
    for (size_t i = 0; i < sizeof(spelt) / sizeof(spelt[0]); i++) {
        char text[100];
        snprintf(text, sizeof(text), "you sent %s, did you", spelt[i]);
        git_auth_hide(in.auth, text, strlen(text));
        if (strstr(text, spelt[i]) || !strstr(text, "you sent ***") || !strstr(text, "*, did you"))
            fail_msg("%s", text);
    }
    close_in(&in);
    open_good(&in, &none);
    git_auth_hide(in.auth, said, strlen(said));
    assert_non_null(strstr(said, "**, hunter2"));
    close_in(&in);
}

/* ----------------------------------------------------------------------------------- the place */

static void what_contradicts_itself_is_refused(void **state)
{
    (void)state;
    const str web = STR("https://host/x.git"), ssh = STR("git@host:x"), file = STR("file:///x.git");
    const struct {
        struct remote_place place;
        const char *says;
    } table[] = {
        {{.url = STR("https://u:hunter2@host/x.git")}, "password or token"},
        {{.url = web, .branch = STR("-x")}, "a branch is"},
        {{.url = web, .token_env = STR("A"), .token_file = STR("/a")}, "leave one out"},
        {{.url = ssh, .token_env = STR("A")}, "token_env is for https addresses alone"},
        {{.url = file, .token_file = STR("/a")}, "token_file is for https addresses alone"},
        {{.url = web, .token_file = STR("a")}, "token_file must be a whole path"},
        {{.url = web, .token_file = STR("/a\nb")}, "token_file must be a whole path"},
        {{.url = web, .ssh_key_file = STR("/a")}, "ssh_key_file is for ssh addresses alone"},
        {{.url = web, .known_hosts_file = STR("/a")}, "known_hosts_file is for ssh"},
        {{.url = ssh, .ssh_key_file = STR("~/a")}, "ssh_key_file must be a whole path"},
        {{.url = ssh, .ssh_key_file = STR("/a\"b")}, "ssh would read"},
        {{.url = ssh, .ssh_key_file = STR("/a\\b")}, "ssh would read"},
        {{.url = ssh, .known_hosts_file = STR("/a${HOME}")}, "ssh would read"},
        {{.url = ssh, .ca_file = STR("/a")}, "ca_file is for https addresses alone"},
        {{.url = STR("http://127.0.0.1/x.git"), .ca_file = STR("/a")}, "ca_file is for https"},
        {{.url = web, .ca_file = STR("a.pem")}, "ca_file must be a whole path"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        expect_refused(&table[i].place, KF_CONFIG, "config", table[i].says);
}

static void advice_fits_what_was_said(void **state)
{
    (void)state;
    static const struct {
        const char *url, *said, *says; /* NULL = nothing to say */
        const char *code;              /* NULL = remote_failed */
    } table[] = {
        {"git@h:x",
         "No ED25519 host key is known for h and you have requested strict checking.\r\n"
         "Host key verification failed.\r\nfatal: Could not read from remote",
         "the key of h is not known here"},
        {"git@h:x",
         "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification "
         "failed.",
         "another key than the one that is known"},
        {"git@h:x", "git@h: Permission denied (publickey,password).", "/k/id", "remote_auth"},
        {"https://h/x.git",
         "fatal: could not read Username for 'https://h': terminal prompts "
         "disabled",
         "does not take the token of GITHUB_TOKEN", "remote_auth"},
        {"https://h/x.git", "error: RPC failed; The requested URL returned error: 403",
         "the right to read and write", "remote_auth"},
        {"https://h/x.git", "fatal: unable to access 'x': The requested URL returned error: 429",
         "too many requests"},
        {"https://h/x.git", "fatal: unable to access 'x': The requested URL returned error: 507",
         "no space left", "remote_full"},
        {"https://h/x.git", "error: RPC failed; HTTP 507 curl 22", "no space left", "remote_full"},
        {"git@h:x", "remote: fatal: write error: No space left on device\nerror: unpack failed",
         "no space left", "remote_full"},
        {"git@h:x", "remote: error: Disk quota exceeded", "no space left", "remote_full"},
        {"git@h:x", "fatal: write error: No space left on device", NULL}, /* it is ours */
        {"https://h/x.git", "fatal: https://h/x.git/info/refs not valid: is this a git repository?",
         "not as a git repository"},
        {"https://h/x.git", "fatal: repository 'https://h/x.git/' not found", "no such repository"},
        {"https://h/x.git", "fatal: unable to access: SSL certificate problem: self signed",
         "the certificate of h"},
        {"https://h/x.git",
         "fatal: unable to access 'https://h/x.git/': The requested URL returned "
         "error: 302",
         "sends us elsewhere"},
        {"https://h/x.git", "fatal: unable to access: Could not resolve host: h", NULL},
        {"https://h/x.git", "", NULL},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        bool ssh = table[i].url[0] == 'g';
        const struct remote_place place = {.url = str_of(table[i].url),
                                           .token_env = ssh ? STR("") : STR("GITHUB_TOKEN"),
                                           .ssh_key_file = ssh ? STR("/k/id") : STR("")};
        struct git_url u;
        struct buf out = BUF_INIT;
        assert_int_equal(git_place_check(&place, &u, NULL), KF_OK);
        enum problem problem = PROBLEM_INTERNAL;
        bool said = git_advice(&place, &u, str_of(table[i].said), &problem, &out);
        assert_string_equal(problem_table[problem].code,
                            table[i].code ? table[i].code : "remote_failed");
        if (said != (table[i].says != NULL) || (said && !strstr(out.p, table[i].says)))
            fail_msg("%s: %s", table[i].said, out.p ? out.p : "nothing");
        buf_release(&out);
        git_url_release(&u);
    }
}

#define REJECTED(why) "error: failed to push some refs\n ! [remote rejected] x -> data (" why ")\n"

static void what_is_refused_for_its_content(void **state)
{
    static const struct {
        const char *said;
        bool refused;
    } table[] = {
        {"remote: File a is 9 bytes; this exceeds the limit\n" REJECTED(
             "pre-receive hook declined"),
         true},
        {REJECTED("hook declined"), true},
        {"remote: error: GH001: Large files detected.\n" REJECTED("pre-receive hook declined"),
         true},
        {"remote: error: GH013: Repository rule violations found\n" REJECTED(
             "push declined due to repository rule violations"),
         true},
        {"remote: fatal: pack exceeds maximum allowed size\n" REJECTED("unpacker error"), true},
        {"error: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413", true},
        {"remote: GitLab: You are not allowed to push code to protected branches on this "
         "project.\n" REJECTED("pre-receive hook declined"),
         false},
        {REJECTED("protected branch hook declined"), false},
        {"remote: This repository is archived\n" REJECTED("pre-receive hook declined"), false},
        {REJECTED("failed to update ref"), false},
        {REJECTED("unpacker error"), false},
        {"fatal: unable to access: Connection refused", false},
        {"", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (git_advice_content_refused(str_of(table[i].said)) != table[i].refused)
            fail_msg("%s", table[i].said);
}

/* --------------------------------------------------------------------------------------- memory */

static kf_rc open_two(void *ctx)
{
    struct in web, ssh = {.url = {.arena = ARENA_INIT}};
    const struct remote_place a = {.url = STR("https://host/x.git"), .token_file = str_of(ctx)};
    const struct remote_place b = {.url = STR("git@host:x"), .ssh_key_file = STR("/k/id")};
    kf_rc rc = open_in(&web, &a, outside, NULL);
    if (rc == KF_OK)
        rc = open_in(&ssh, &b, outside, NULL);
    close_in(&web);
    close_in(&ssh);
    return rc;
}

static void no_memory(void **state)
{
    (void)state;
    const char *path = testing_path(testing_dir(), "token");
    testing_write(path, TOKEN, sizeof(TOKEN) - 1);
    assert_int_equal(chmod(path, 0600), 0);
    assert_true(testing_oom_each(open_two, (void *)(uintptr_t)path) >= 10);
}

#ifdef KF_TEST_HOOKS
TESTING_SABOTEUR(follow_redirect, "follow-redirect", exact_environment_over_https)
#endif

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_environment_over_https),
        cmocka_unit_test(exact_environment_over_ssh),
        cmocka_unit_test(exact_environment_of_a_file),
        cmocka_unit_test(a_real_git_has_our_settings_alone),
        cmocka_unit_test(the_token_is_for_its_origin),
        cmocka_unit_test(a_real_git_takes_no_other_way),
        cmocka_unit_test(ssh_gets_paths_as_they_are),
        cmocka_unit_test(tokens_of_variables),
        cmocka_unit_test(tokens_of_files),
        cmocka_unit_test(what_a_host_says_back_is_hidden),
        cmocka_unit_test(what_contradicts_itself_is_refused),
        cmocka_unit_test(advice_fits_what_was_said),
        cmocka_unit_test(what_is_refused_for_its_content),
        cmocka_unit_test(no_memory),
#ifdef KF_TEST_HOOKS
        {"saboteur follow-redirect is found", saboteur_follow_redirect, NULL, NULL, NULL},
#endif
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("git_auth", tests, NULL, NULL);
}
