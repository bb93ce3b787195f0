/* The configuration: what is accepted, what each wrong input is told, with its exact place; layers;
 * printing. */
#include "testing.h"

#include "base/config_internal.h"
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *path;

static int setup(void **state)
{
    *state = NULL;
    path = testing_path(testing_dir(), "keepfast.yaml");
    return 0;
}

static const char *folder(void)
{
    static char dir[256];
    snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
    return dir;
}

/* A string of an environment. */
#define VAR(text) ((char[]){text})

static kf_rc load(const char *text, size_t len, struct config **ret, struct kf_err *err)
{
    testing_write(path, text, len);
    return config_load(env_system(), path, NULL, NULL, 0, ret, err);
}

static struct config *load_good(const char *text)
{
    struct config *c = NULL;
    struct kf_err err = KF_ERR_INIT;
    if (load(text, strlen(text), &c, &err) != KF_OK)
        fail_msg("%s\n%s", err.detail, text);
    return c;
}

/* ---------------------------------------------------------------------------------- accepted */

static void nothing_gives_the_defaults(void **state)
{
    (void)state;
    const char *const texts[] = {"",     "# nothing\n",  "---\n",    "~\n",
                                 "{}\n", "\xef\xbb\xbf", "spaces:\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct config *c = load_good(texts[i]);
        assert_true(str_is(c->data, "./data"));
        assert_int_equal(c->listen_count, 1);
        assert_true(str_is(c->listen[0], "127.0.0.1:7070"));
        assert_false(c->listen_insecure);
        assert_int_equal(c->allow_hosts_count + c->allow_origins_count, 0);
        assert_int_equal(c->tls_cert.len + c->tls_key.len, 0);
        assert_int_equal(c->pool_min, 2);
        assert_int_equal(c->pool_max, 10);
        assert_int_equal(c->pool_idle_ms, 60000);
        assert_int_equal(c->limit_doc, 8 << 20);
        assert_int_equal(c->limit_memory, 256 << 20);
        assert_int_equal(c->space_count, 0);
        assert_int_equal(c->source[SETTING_DATA], CONFIG_DEFAULT);
        config_free(c);
    }
}

static const char full[] =
    "data: /var/lib/keepfast\n"
    "listen: [\"127.0.0.1:7071\", \"[::1]:7071\", unix:/run/keepfast.sock, "
    "\"http://127.0.0.1:1\", \"https://[::]:443\"]\n"
    "listen_insecure: true\n"
    "allow_hosts: [keepfast.example.org, \"a:1\", \"[2001:db8::1]\", \"[2001:db8::1]:1\"]\n"
    "allow_origins: [\"https://app.example.org\", \"http://[2001:db8::1]:8080\"]\n"
    "tls: { cert: /etc/keepfast/chain.pem, key: /etc/keepfast/key.pem }\n"
    "pool: { min: 3, max: 12, idle: 90s }\n"
    "limits: { doc: 1MiB, body: 2MiB, memory: 64MiB, connections: 100, per_address: 10 }\n"
    "log: { format: json, level: warn }\n"
    "spaces:\n"
    "  finance:\n"
    "    docs:\n"
    "      - { match: \"a/*.json\", class: critical, keep: { versions: 7, age: 365d } }\n"
    "      - match: notify.json\n"
    "        class: config\n"
    "        default: { email: null, n: 1.50, on: true, list: [a, \"1\", 0x1F, 0o17, +7, 007, .5, "
    "5., -0] }\n"
    "        schema: shape.json\n"
    "    remotes:\n"
    "      usb:  { url: \"dir:/mnt/usb\", after: 20, on_change: 30s, docs: [\"*.json\", \"x/**\"] "
    "}\n"
    "      hand: { url: dir:x, manual: true, warn_pending: 5MiB }\n"
    "      plain: { url: dir:y, kind: dir }\n"
    "  empty:\n";

static void everything_is_read(void **state)
{
    (void)state;
    testing_write(testing_path(folder(), "shape.json"), "{\"type\":\"object\"}", 17);
    struct config *c = load_good(full);
    assert_true(str_is(c->data, "/var/lib/keepfast"));
    assert_int_equal(c->listen_count, 5);
    assert_true(str_is(c->listen[2], "unix:/run/keepfast.sock"));
    assert_true(str_is(c->listen[4], "https://[::]:443"));
    assert_true(c->listen_insecure);
    assert_int_equal(c->allow_hosts_count, 4);
    assert_true(str_is(c->allow_hosts[1], "a:1"));
    assert_int_equal(c->allow_origins_count, 2);
    assert_string_equal(c->tls_cert.p, "/etc/keepfast/chain.pem");
    assert_string_equal(c->tls_key.p, "/etc/keepfast/key.pem");
    assert_int_equal(c->pool_idle_ms, 90000);
    assert_int_equal(c->source[SETTING_POOL_MIN], CONFIG_FILE);
    const struct config_space *s = config_space(c, STR("finance"));
    assert_non_null(s);
    assert_int_equal(s->doc_count, 2);
    const struct config_doc *d = config_doc(s, STR("a/b.json"));
    assert_ptr_equal(d, &s->docs[0]);
    assert_true(str_is(d->klass, "critical"));
    assert_int_equal(d->keep.versions, 7);
    assert_int_equal(d->keep.age_ms, 365ull * 86400000);
    assert_null(d->def.p);
    d = config_doc(s, STR("notify.json"));
    assert_ptr_equal(d, &s->docs[1]);
    assert_int_equal(d->keep.versions, 100);
    assert_string_equal(d->def.p, "{\"email\":null,\"n\":1.50,\"on\":true,"
                                  "\"list\":[\"a\",\"1\",31,15,7,7,0.5,5.0,-0]}");
    assert_true(str_is(d->schema_text, "{\"type\":\"object\"}"));
    assert_null(config_doc(s, STR("other.json")));
    assert_int_equal(s->remote_count, 3);
    assert_true(str_is(s->remotes[0].name, "usb"));
    assert_true(str_is(s->remotes[0].kind, "dir"));
    assert_int_equal(s->remotes[0].schedule.after, 20);
    assert_int_equal(s->remotes[0].schedule.on_change_ms, 30000);
    assert_int_equal(s->remotes[0].doc_count, 2);
    assert_int_equal(s->remotes[0].warn_pending_bytes, 1 << 30);
    assert_true(s->remotes[1].schedule.manual);
    assert_int_equal(s->remotes[1].warn_pending_bytes, 5 << 20);
    s = config_space(c, STR("empty"));
    assert_non_null(s);
    assert_int_equal(s->doc_count + s->remote_count, 0);
    assert_null(config_space(c, STR("nobody")));
    assert_null(config_doc(NULL, STR("x")));
    config_free(c);
}

/* ----------------------------------------------------------------------------------- refused */

static const struct wrong {
    const char *text, *place, *says;
} wrong[] = {
    /* the text itself */
    {"a: [1, 2\n", "2:1", "flow sequence without a closing bracket"},
    {"data: \"x\n", "1:8", "without closing quote"},
    {"pool:\n\tmin: 1\n", "2:1", "tab"},
    {"data: @x\n", "1:7", "cannot start with '@'"},
    {"data: a: b\n", "1:8", "invalid nested block mapping"},
    {"pool:\n  min: 1\n max: 2\n", "3:2", "invalid indentation"},
    {"data: a\x01\n", "1:8", "control character"},
    {"# \xc3\xa9\ndata: \xc3\xa9\xff\n", "2:8", "UTF-8"},
    {"data: *x\n", "1:7", "aliases"},
    {"data: &x y\n", "1:10", "anchors"},
    {"data: !!str y\n", "1:13", "tags"},
    {"data: a\npool: {}\ndata: b\n", "3:1", "\"data\" stands here twice, first in line 1"},
    {"? {a: b}\n: c\n", "1:3", "a key must be a single word"},
    {"data: a\n---\ndata: b\n", "2:1", "second document"},
    {"- a\n", "1:1", "a map of keys"},
    {"word\n", "1:1", "a map of keys"},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n", "1:33", "32 levels"},
    /* keys */
    {"lisen: x\n", "1:1", "no key \"lisen\"; did you mean \"listen\"?"},
    {"colour: x\n", "1:1",
     "it knows data, listen, listen_insecure, allow_hosts, allow_origins, tls, pool, limits, "
     "backup, log, spaces"},
    {"pool.max: 3\n", "1:1", "no key \"pool.max\""},
    {"backup: { to: x }\n", "1:15", "backup.to is dir:PATH"},
    {"backup: { to: \"dir:\" }\n", "1:15", "backup.to is dir:PATH"},
    {"backup: { to: \"s3://b/p\" }\n", "1:15", "not part of this version"},
    {"backup: dir:x\n", "1:9", "backup is a map"},
    {"backup: { to: dir:x, evry: 1h }\n", "1:22", "did you mean \"every\"?"},
    {"backup: { to: dir:x, every: 5ms }\n", "1:29", "backup.every must be 100ms to 365d"},
    {"backup: { to: dir:x, every: daily }\n", "1:29", "a time such as"},
    {"backup: { to: dir:x, keep: 0 }\n", "1:28", "backup.keep must be 1 to 1000000"},
    {"backup: { every: 1h }\n", "1:18", "backup.every needs backup.to"},
    {"data: x\nbackup:\n  keep: 3\n", "3:9", "backup.keep needs backup.to"},
    {"allow_origins: https://app.example.org/\n", "1:16", "is no origin"},
    {"allow_origins: [\"http://a\", app.example.org]\n", "1:29", "is no origin"},
    {"allow_origins: https://App.example.org\n", "1:16", "is no origin"},
    {"allow_origins: https://app.example.org:443\n", "1:16", "is no origin"},
    {"allow_origins: \"*\"\n", "1:16", "is no origin"},
    {"allow_hosts: https://keepfast.example.org\n", "1:14", "is no name of a host"},
    {"allow_hosts: [a, \"b:x\"]\n", "1:18", "is no name of a host"},
    {"listen_insecure: yes\n", "1:18", "must be true or false"},
    {"tls: { cert: /a }\n", "1:14", "tls.cert and tls.key go together"},
    {"tls: { cert: a, key: /b }\n", "1:14", "tls.cert is a whole path"},
    {"tls: { certs: a }\n", "1:8", "did you mean \"cert\"?"},
    {"tls: on\n", "1:6", "tls is a map of keys and values"},
    {"limits: { doc: 1MiB, entry: 5 }\n", "1:29", "limits.entry must be 64 to 64MiB"},
    {"limits: { blob: 1GiB }\n", "1:11", "\"blob\" is not part of this version"},
    {"limits:\n  dock: 1MiB\n", "2:3", "limits has no key \"dock\"; did you mean \"doc\"?"},
    {"pool: 5\n", "1:7", "pool is a map"},
    {"log: { level: loud }\n", "1:15", "log.level is debug, info, warn or error, not \"loud\""},
    {"log: { format: xml }\n", "1:16", "log.format is text or json"},
    /* values of settings */
    {"data:\n", "1:1", "data takes one value"},
    {"data: [a, b]\n", "1:7", "data takes one value"},
    {"data: \"\"\n", "1:7", "data is empty"},
    {"listen: []\n", "1:9", "listen is empty"},
    {"listen: [a:1, b]\n", "1:15", "\"b\" is no address"},
    {"listen: 127.0.0.1:70000\n", "1:9", "is no address"},
    {"listen: ::1:7070\n", "1:9", "is no address"},
    {"listen: \"unix:\"\n", "1:9", "is no address"},
    {"listen: https://127.0.0.1\n", "1:9", "is no address"},
    {"listen: https://127.0.0.1:1/\n", "1:9", "is no address"},
    {"listen: ftp://127.0.0.1:1\n", "1:9", "is no address"},
    {"pool: { min: 0 }\n", "1:14", "pool.min must be 1 to 1000"},
    {"pool: { max: many }\n", "1:14", "pool.max must be a whole number, not \"many\""},
    {"pool: { min: 5, max: 4 }\n", "1:14", "pool.min (5) is above pool.max (4)"},
    {"pool: { idle: 5 }\n", "1:15", "a time such as"},
    {"limits: { doc: 1MB }\n", "1:16", "a size such as"},
    {"limits: { doc: 1GiB }\n", "1:16", "limits.doc must be 64 to 512MiB"},
    /* spaces */
    {"spaces: [a]\n", "1:9", "spaces is a map"},
    {"spaces: { tokens: }\n", "1:11", "cannot name a space"},
    {"spaces: { Big: }\n", "1:11", "cannot name a space"},
    {"spaces: { _a: }\n", "1:11", "cannot name a space"},
    {"spaces: { a: 5 }\n", "1:14", "a space is a map"},
    {"spaces: { a: { tables: [] } }\n", "1:16", "not part of this version"},
    /* streams */
    {"spaces: { a: { streams: x } }\n", "1:25", "streams is a list"},
    {"spaces: { a: { streams: [ { window: 5 } ] } }\n", "1:27", "no \"match\""},
    {"spaces: { a: { streams: [ { match: x, window: 10001 } ] } }\n", "1:47",
     "window is a whole number from 0 to 10000"},
    {"spaces: { a: { streams: [ { match: x, kinds: [a, B] } ] } }\n", "1:50",
     "\"B\" cannot be a kind"},
    {"spaces: { a: { streams: [ { match: x, kinds: [] } ] } }\n", "1:46", "kinds is empty"},
    {"spaces: { a: { streams: [ { match: x, keep: { last: 0 } } ] } }\n", "1:53",
     "last is a whole number"},
    {"spaces: { a: { streams: [ { match: x, keep: { age: 0 } } ] } }\n", "1:52", "age is at least"},
    {"spaces: { a: { streams: [ { match: x, keep: { versions: 3 } } ] } }\n", "1:47",
     "not part of"},
    {"spaces: { a: { streams: [ { match: x, conversation_gap: 5 } ] } }\n", "1:57",
     "conversation_gap is a time"},
    {"spaces: { a: { streams: [ { match: x, rings: [] } ] } }\n", "1:46", "rings is a map"},
    {"spaces: { a: { streams: [ { match: x, rings: { r: { last: 3 } } } ] } }\n", "1:48",
     "the ring \"r\" has no \"kind\""},
    {"spaces: { a: { streams: [ { match: x, kinds: [a], "
     "rings: { r: { kind: b } } } ] } }\n",
     "1:58", "not among kinds"},
    {"spaces: { a: { streams: [ { match: x, ring: {} } ] } }\n", "1:39", "did you mean \"rings\"?"},
    {"spaces: { a: { doc: [] } }\n", "1:16", "did you mean \"docs\"?"},
    /* documents */
    {"spaces: { a: { docs: x } }\n", "1:22", "docs is a list"},
    {"spaces: { a: { docs: [ { class: x } ] } }\n", "1:24", "no \"match\""},
    {"spaces: { a: { docs: [ { match: } ] } }\n", "1:26", "match is a text"},
    {"spaces: { a: { docs: [ { match: x, keep: 5 } ] } }\n", "1:42", "keep is a map"},
    {"spaces: { a: { docs: [ { match: x, keep: { versions: -1 } } ] } }\n", "1:54",
     "versions is a whole number"},
    {"spaces: { a: { docs: [ { match: x, keep: { age: 5y } } ] } }\n", "1:49", "age is a time"},
    {"spaces: { a: { docs: [ { match: x, keep: { last: 5 } } ] } }\n", "1:44", "not part of"},
    {"spaces: { a: { docs: [ { match: x, default: .inf } ] } }\n", "1:45",
     "JSON has no number .inf"},
    {"spaces: { a: { docs: [ { match: x, default: { a: .nan } } ] } }\n", "1:50",
     "JSON has no number"},
    {"spaces: { a: { docs: [ { match: x, default: 0x1ffffffffffffffff } ] } }\n", "1:45",
     "beyond 64 bits"},
    {"spaces: { a: { docs: [ { match: x, schema: none.json } ] } }\n", "1:44", "there is no file"},
    {"spaces: { a: { docs: [ { match: x, encrypt: { key_file: k } } ] } }\n", "1:36",
     "not part of"},
    /* remotes */
    {"spaces: { a: { remotes: [] } }\n", "1:25", "remotes is a map"},
    {"spaces: { a: { remotes: { all: { url: dir:x } } } }\n", "1:27", "cannot name a remote"},
    {"spaces: { a: { remotes: { X: { url: dir:x } } } }\n", "1:27", "cannot name a remote"},
    {"spaces: { a: { remotes: { x: {} } } }\n", "1:27", "the remote \"x\" has no \"url\""},
    {"spaces: { a: { remotes: { x: { url: here } } } }\n", "1:37", "names no kind"},
    {"spaces: { a: { remotes: { x: { url: \"dir:\" } } } }\n", "1:37", "needs the path"},
    {"spaces: { a: { remotes: { x: { url: \"s3://b/p\" } } } }\n", "1:37", "kind s3 are not part"},
    {"spaces: { a: { remotes: { x: { url: dir:x, kind: ftp } } } }\n", "1:50", "no kind \"ftp\""},
    {"spaces: { a: { remotes: { x: { url: mem:x, kind: dir } } } }\n", "1:37", "begins with dir:"},
    {"spaces: { a: { remotes: { x: { url: dir:x, branch: d } } } }\n", "1:44",
     "\"branch\" is for remotes of kind git alone"},
    {"spaces: { a: { remotes: { x: { token_env: T, url: mem:x } } } }\n", "1:32",
     "\"token_env\" is for remotes of kind git alone"},
    {"spaces: { a: { remotes: { x: { url: dir:x, public: false } } } }\n", "1:44",
     "\"public\" is for remotes of kind git alone"},
    {"spaces: { a: { remotes: { x: { url: dir:x, token: y } } } }\n", "1:44", "has no key"},
    {"spaces: { a: { remotes: { x: { url: dir:x, encrypt: {} } } } }\n", "1:53",
     "encrypt names one key"},
    {"spaces: { a: { remotes: { x: { url: dir:x, encrypt: { key_file: k, key_env: K } } } } }\n",
     "1:53", "encrypt names one key"},
    {"spaces: { a: { remotes: { x: { url: dir:x, encrypt: { old_key_file: k } } } } }\n", "1:53",
     "encrypt names one key"},
    {"spaces: { a: { remotes: { x: { url: dir:x, encrypt: { key_env: a b } } } } }\n", "1:64",
     "key_env is the name of a variable"},
    {"spaces: { a: { remotes: { x: { url: dir:x, encrypt: { key: k } } } } }\n", "1:55",
     "has no key \"key\""},
    {"spaces: { a: { remotes: { x: { url: dir:x, key_file: k } } } }\n", "1:44",
     "has no key \"key_file\""},
    {"spaces: { a: { remotes: { x: { url: dir:x, evry: 5m } } } }\n", "1:44",
     "did you mean \"every\"?"},
    {"spaces: { a: { remotes: { x: { url: dir:x, every: 5 } } } }\n", "1:51", "every is a time"},
    {"spaces: { a: { remotes: { x: { url: dir:x, every: 5ms } } } }\n", "1:51", "at least 100ms"},
    {"spaces: { a: { remotes: { x: { url: dir:x, after: 0 } } } }\n", "1:51",
     "after is a whole number"},
    {"spaces: { a: { remotes: { x: { url: dir:x, manual: perhaps } } } }\n", "1:52",
     "true or false"},
    {"spaces: { a: { remotes: { x: { url: dir:x, every: 5m, manual: true } } } }\n", "1:55",
     "manual: true contradicts \"every\" in line 1"},
    {"spaces: { a: { remotes: { x: { url: dir:x, docs: [] } } } }\n", "1:50", "docs is empty"},
    {"spaces: { a: { remotes: { x: { url: dir:x, warn_pending: big } } } }\n", "1:58", "is a size"},
};

static void wrong_inputs_are_told_where(void **state)
{
    (void)state;
    int failed = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct config *c = NULL;
        struct kf_err err = KF_ERR_INIT;
        char place[300];
        snprintf(place, sizeof place, "%s:%s: ", path, wrong[i].place);
        kf_rc rc = load(wrong[i].text, strlen(wrong[i].text), &c, &err);
        bool good = rc == KF_CONFIG && !c && err.exit_code == 3 &&
                    strncmp(err.detail, place, strlen(place)) == 0 &&
                    strstr(err.detail, wrong[i].says) && !strchr(err.detail, '\n');
        if (!good) {
            print_error("%swant %s %s\n got %d %s\n", wrong[i].text, wrong[i].place, wrong[i].says,
                        (int)rc, err.detail);
            failed++;
        }
        config_free(c);
    }
    assert_int_equal(failed, 0);
}

static void a_schema_is_checked_with_the_default(void **state)
{
    (void)state;
    static const char text[] =
        "spaces: { a: { docs: [ { match: x, schema: shape.json, default: 5 } ] } }\n";
    const char *shape = testing_path(folder(), "shape.json");
    struct config *c = NULL;
    struct kf_err err = KF_ERR_INIT;
    testing_write(shape, "{\"type\":\"object\"}", 17);
    assert_int_equal(load(text, strlen(text), &c, &err), KF_CONFIG);
    assert_non_null(strstr(err.detail, ":1:65: default: "));
    testing_write(shape, "{\"typ\":\"object\"}", 16);
    assert_int_equal(load(text, strlen(text), &c, &err), KF_CONFIG);
    assert_non_null(strstr(err.detail, ":1:44: schema, at \"/typ\""));
}

static void a_secret_is_not_repeated(void **state)
{
    (void)state;
    const char *const texts[] = {
        "token: hunter2\n",
        "spaces: { a: { remotes: { x: { url: \"https://u:hunter2@h/x.git\" } } } }\n",
        "spaces: { a: { remotes: { x: { url: \"ftp://u:hunter2@h/x\" } } } }\n",
        "spaces: { a: { remotes: { x: { url: dir:x, token: hunter2 } } } }\n",
        "password: hunter2: x\n",
        "token: \"hunter2\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct config *c = NULL;
        struct kf_err err = KF_ERR_INIT;
        assert_int_equal(load(texts[i], strlen(texts[i]), &c, &err), KF_CONFIG);
        if (strstr(err.detail, "hunter2"))
            fail_msg("%s", err.detail);
    }
}

/* ------------------------------------------------------------------------------ remotes of git */

/* As a build that has them reads it. */
static kf_rc read_git(const char *text, struct config **ret, struct kf_err *err)
{
    struct config_place places[SETTING_COUNT] = {0};
    struct config *c = NULL;
    char dir[300];
    snprintf(dir, sizeof dir, "%s/", folder());
    kf_rc rc = config_load(env_system(), NULL, NULL, NULL, 0, &c, err);
    if (rc != KF_OK)
        return rc;
    struct config_reader r = {.c = c,
                              .env = env_system(),
                              .file = "f",
                              .dir = str_of(dir),
                              .places = places,
                              .git = true,
                              .err = err};
    rc = config_read_with(&r, str_of(text));
    if (rc == KF_OK)
        *ret = c;
    else
        config_free(c);
    return rc;
}

#define REMOTE(inner) "spaces: { a: { remotes: { x: { " inner " } } } }\n"

static void remotes_of_git_are_read(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "https://github.com/me/app-data.git",
        "git+https://host/x",
        "ssh://git@host/x",
        "git@github.com:me/x.git",
        "file:///srv/x.git",
        "http://127.0.0.1:3000/x.git",
    };
    struct kf_err err = KF_ERR_INIT;
    struct config *c = NULL;
    struct buf out = BUF_INIT;
    char text[900], file[300];
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        snprintf(text, sizeof text, REMOTE("url: \"%s\""), urls[i]);
        if (read_git(text, &c, &err) != KF_OK)
            fail_msg("%s: %s", urls[i], err.detail);
        assert_true(str_is(c->spaces[0].remotes[0].kind, "git"));
        assert_int_equal(c->spaces[0].remotes[0].access.branch.len, 0);
        config_free(c);
    }
    assert_int_equal(read_git(REMOTE("url: \"me@host:x\", kind: git"), &c, &err), KF_OK);
    config_free(c);
    if (read_git(REMOTE("url: \"https://h/x.git\", branch: live, token_env: GITHUB_TOKEN, "
                        "ssh_key_file: keys/id, known_hosts_file: /etc/known, ca_file: ca.pem, "
                        "insecure: true, public: true, every: 1h"),
                 &c, &err) != KF_OK)
        fail_msg("%s", err.detail);
    const struct config_access *a = &c->spaces[0].remotes[0].access;
    assert_true(str_is(a->branch, "live") && str_is(a->token_env, "GITHUB_TOKEN"));
    snprintf(file, sizeof file, "%s/keys/id", folder());
    assert_true(str_is(a->ssh_key_file, file) && str_is(a->known_hosts_file, "/etc/known"));
    snprintf(file, sizeof file, "%s/ca.pem", folder());
    assert_true(str_is(a->ca_file, file) && a->insecure && a->public_ok);
    config_print(c, true, &out);
    if (json_check(buf_view(&out), NULL, NULL, &err) != KF_OK)
        fail_msg("%s\n%s", err.detail, out.p);
    assert_non_null(strstr(out.p, "\"schedule\": \"every: 1h\", \"branch\": \"live\", "
                                  "\"token_env\": \"GITHUB_TOKEN\", \"ssh_key_file\": \"/"));
    assert_non_null(strstr(out.p, "\"insecure\": true, \"public\": true}"));
    buf_clear(&out);
    config_print(c, false, &out);
    assert_non_null(strstr(out.p, "  remote x  https://h/x.git  (every: 1h)  branch live  "
                                  "token_env GITHUB_TOKEN  ssh_key_file /"));
    buf_release(&out);
    config_free(c);
}

static void wrong_remotes_of_git_are_told_where(void **state)
{
    (void)state;
    static const struct wrong table[] = {
        {REMOTE("url: \"https://u:hunter2@h/x.git\""), "1:37", "holds a password or token"},
        {REMOTE("url: \"https://ghp_hunter2hunter2hunter2@h/x.git\""), "1:37",
         "(token_env) or the file (token_file)"},
        {REMOTE("kind: git, url: \"dir:/x\""), "1:48", "begins with https:"},
        {REMOTE("kind: git, url: \"here\""), "1:48", "begins with https:"},
        {REMOTE("kind: dir, url: \"https://h/x.git\""), "1:48", "begins with dir:"},
        {REMOTE("url: \"git@h:x\", token_env: ghp_hunter2hunter2hunter2"), "1:59",
         "looks like a token itself"},
        {REMOTE("url: \"git@h:x\", token_env: $TOKEN"), "1:59", "the name of a variable"},
        {REMOTE("url: \"git@h:x\", token_env: T, token_file: none"), "1:48", "leave one out"},
        {REMOTE("url: \"git@h:x\", token_env: [T]"), "1:59", "token_env is a text"},
        {REMOTE("url: \"git@h:x\", branch:"), "1:48", "branch is a text"},
        {REMOTE("url: \"git@h:x\", insecure: perhaps"), "1:58", "insecure is true or false"},
        {REMOTE("url: \"git@h:x\", public: 1"), "1:56", "public is true or false"},
        {REMOTE("url: \"git@h:x\", token: hunter2"), "1:48", "has no key \"token\""},
        {REMOTE("url: \"git@h:x\", token_file: open"), "1:60", "(mode 0644)"},
        {REMOTE("url: \"git@h:x\", ssh_key_file: open"), "1:62", "(mode 0644)"},
        {REMOTE("url: \"git@h:x\", token_file: ."), "1:60", "no ordinary file"},
        {REMOTE("url: \"git@h:x\", layout: chat"), "1:48", "not part of this version"},
    };
    const char *open_file = testing_path(folder(), "open");
    testing_write(open_file, "hunter2", 7);
    assert_int_equal(chmod(open_file, 0644), 0);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct config *c = NULL;
        struct kf_err err = KF_ERR_INIT;
        char place[40];
        snprintf(place, sizeof place, "f:%s: ", table[i].place);
        kf_rc rc = read_git(table[i].text, &c, &err);
        if (rc != KF_CONFIG || err.exit_code != 3 ||
            strncmp(err.detail, place, strlen(place)) != 0 || !strstr(err.detail, table[i].says) ||
            strstr(err.detail, "hunter2"))
            fail_msg("%swant %s %s\n got %s", table[i].text, place, table[i].says, err.detail);
    }
    /* A file that is nobody else's, or not there yet. */
    struct config *c = NULL;
    struct kf_err err = KF_ERR_INIT;
    assert_int_equal(chmod(open_file, 0600), 0);
    assert_int_equal(read_git(REMOTE("url: \"git@h:x\", token_file: open"), &c, &err), KF_OK);
    config_free(c);
    assert_int_equal(read_git(REMOTE("url: \"git@h:x\", token_file: later"), &c, &err), KF_OK);
    config_free(c);
}

static void git_is_there_when_it_is_built(void **state)
{
    (void)state;
    static const char text[] = REMOTE("url: \"https://h/x.git\"");
    struct config *c = NULL;
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = load(text, strlen(text), &c, &err);
    assert_int_equal(rc, CONFIG_HAS_GIT ? KF_OK : KF_CONFIG);
    if (rc != KF_OK)
        assert_non_null(strstr(err.detail, ":1:37: remotes of kind git are not part of this"));
    config_free(c);
}

static kf_rc read_git_once(void *ctx)
{
    struct config *c = NULL;
    kf_rc rc = read_git(ctx, &c, NULL);
    if (rc == KF_OK)
        config_free(c);
    return rc;
}

static void no_memory_for_git(void **state)
{
    (void)state;
    static char text[] = REMOTE("url: \"https://h/x.git\", token_file: later, ca_file: ca.pem");
    assert_true(testing_oom_each(read_git_once, text) >= 8);
}

static void a_nul_and_a_large_file(void **state)
{
    (void)state;
    struct config *c = NULL;
    struct kf_err err = KF_ERR_INIT;
    assert_int_equal(load("data: a\0b\n", 10, &c, &err), KF_CONFIG);
    assert_non_null(strstr(err.detail, ":1:8: a control character"));
    char *large = malloc(CONFIG_FILE_MAX + 1);
    assert_non_null(large);
    memset(large, '#', CONFIG_FILE_MAX + 1);
    assert_int_equal(load(large, CONFIG_FILE_MAX + 1, &c, &err), KF_CONFIG);
    assert_non_null(strstr(err.detail, "at most 1 MiB"));
    /* The most values in the least text: refused by their number, soon. */
    for (size_t i = 0; i < CONFIG_FILE_MAX; i += 2)
        memcpy(large + i, i ? "1," : " [", 2);
    assert_int_equal(load(large, CONFIG_FILE_MAX, &c, &err), KF_CONFIG);
    assert_non_null(strstr(err.detail, "more than 50000 values"));
    free(large);
}

/* ------------------------------------------------------------------------------------ layers */

static void a_variable_that_is_meant_to_be_a_setting_is_one(void **state)
{
    static const struct {
        const char *variable, *why; /* NULL = it is none of ours */
    } all[] = {
        {"KEEPFAST_LIMITS_DOCS=1MiB",
         "KEEPFAST_LIMITS_DOCS: there is no such setting; did you mean KEEPFAST_LIMITS_DOC?"},
        {"KEEPFAST_LIMITS_DOCUMENT=1MiB", "KEEPFAST_LIMITS_DOCUMENT: there is no such setting"},
        {"KEEPFAST_POOL_=1", "KEEPFAST_POOL_: there is no such setting"},
        {"KEEPFAST_LOG_LEVLE=info",
         "KEEPFAST_LOG_LEVLE: there is no such setting; did you mean KEEPFAST_LOG_LEVEL?"},
        {"KEEPFAST_LISTN=:1",
         "KEEPFAST_LISTN: there is no such setting; did you mean KEEPFAST_LISTEN?"},
        {"KEEPFAST_DATE=", "KEEPFAST_DATE: there is no such setting; did you mean KEEPFAST_DATA?"},
        {"KEEPFAST_SPACES_DEFAULT=x", "KEEPFAST_SPACES_DEFAULT: there is no such setting"},
        {"KEEPFAST_PORT=tcp://10.0.0.1:7070", NULL},
        {"KEEPFAST_PORT_7070_TCP=tcp://10.0.0.1:7070", NULL},
        {"KEEPFAST_SERVICE_HOST=10.0.0.1", NULL},
        {"KEEPFAST_AT=./data", NULL},
        {"KEEPFAST_TOKEN=x", NULL},
        {"KEEPFAST_TOKEN_FILE=x", NULL},
        {"KEEPFAST_CONFIG=x", NULL},
        {"KEEPFAST_LONG=1", NULL},
        {"KEEPFAST_SEED=1", NULL},
        {"KEEPFAST_=1", NULL},
        {"KEEPFAST_LIMITS", NULL},
        {"KEEPFASTER_LIMITS_DOCS=1", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char variable[80];
        char *const environ_of[] = {variable, NULL};
        struct config *c = NULL;
        struct kf_err err = KF_ERR_INIT;
        snprintf(variable, sizeof variable, "%s", all[i].variable);
        kf_rc rc = config_load(env_system(), NULL, environ_of, NULL, 0, &c, &err);
        if (rc != (all[i].why ? KF_CONFIG : KF_OK))
            fail_msg("%s: %s %s", variable, kf_rc_name(rc), err.detail);
        if (all[i].why)
            assert_string_equal(err.detail, all[i].why);
        config_free(c);
    }
}

static void later_layers_win(void **state)
{
    (void)state;
    char *const environ_of[] = {VAR("KEEPFAST_POOL_MAX=20"),
                                VAR("KEEPFAST_POOL_MIN=4"),
                                VAR("KEEPFAST_LISTEN=127.0.0.1:1, unix:/x"),
                                VAR("KEEPFAST_AT=elsewhere"),
                                VAR("KEEPFAST_NOBODY=1"),
                                NULL};
    const struct config_flag flags[] = {
        {"pool.max", "30"}, {"listen", "127.0.0.1:2"}, {"listen", "127.0.0.1:3"}};
    struct config *c = NULL;
    struct kf_err err = KF_ERR_INIT;
    testing_write(path, "pool: { min: 3, max: 9, idle: 5s }\nlisten: 127.0.0.1:9\n", 55);
    assert_int_equal(config_load(env_system(), path, environ_of, NULL, 0, &c, &err), KF_OK);
    assert_int_equal(c->pool_max, 20);
    assert_int_equal(c->pool_min, 4);
    assert_int_equal(c->pool_idle_ms, 5000);
    assert_int_equal(c->listen_count, 2);
    assert_true(str_is(c->listen[1], "unix:/x"));
    assert_int_equal(c->source[SETTING_POOL_MAX], CONFIG_ENV);
    assert_int_equal(c->source[SETTING_POOL_IDLE], CONFIG_FILE);
    config_free(c);
    assert_int_equal(config_load(env_system(), path, environ_of, flags, 3, &c, &err), KF_OK);
    assert_int_equal(c->pool_max, 30);
    assert_int_equal(c->listen_count, 2);
    assert_true(str_is(c->listen[0], "127.0.0.1:2"));
    assert_true(str_is(c->listen[1], "127.0.0.1:3"));
    assert_int_equal(c->source[SETTING_LISTEN], CONFIG_FLAG);
    config_free(c);
}

static void layers_name_themselves_in_errors(void **state)
{
    (void)state;
    char *const few[] = {VAR("KEEPFAST_POOL_MAX=few"), NULL};
    char *const one[] = {VAR("KEEPFAST_POOL_MAX=1"), NULL};
    char *const five[] = {VAR("KEEPFAST_POOL_MIN=50"), NULL};
    const struct config_flag bad = {"log.level", "loud"}, unknown = {"pool.maxx", "3"};
    struct config *c = NULL;
    struct kf_err err = KF_ERR_INIT;
    assert_int_equal(config_load(env_system(), NULL, few, NULL, 0, &c, &err), KF_CONFIG);
    assert_string_equal(err.detail,
                        "KEEPFAST_POOL_MAX: pool.max must be a whole number, not \"few\"");
    assert_int_equal(config_load(env_system(), NULL, five, NULL, 0, &c, &err), KF_CONFIG);
    assert_string_equal(err.detail, "KEEPFAST_POOL_MIN: pool.min (50) is above pool.max (10)");
    assert_int_equal(config_load(env_system(), NULL, NULL, &bad, 1, &c, &err), KF_CONFIG);
    assert_true(strncmp(err.detail, "--log.level: log.level is", 25) == 0);
    assert_int_equal(config_load(env_system(), NULL, NULL, &unknown, 1, &c, &err), KF_INVALID);
    assert_int_equal(err.exit_code, 2);
    assert_string_equal(err.detail,
                        "--pool.maxx: there is no such setting; did you mean --pool.max?");
    /* A maximum below the default minimum needs no second setting. */
    assert_int_equal(config_load(env_system(), NULL, one, NULL, 0, &c, &err), KF_OK);
    assert_int_equal(c->pool_min, 1);
    config_free(c);
    assert_int_equal(config_load(env_system(), "/nowhere/k.yaml", NULL, NULL, 0, &c, &err),
                     KF_CONFIG);
    assert_string_equal(err.detail, "/nowhere/k.yaml: there is no such file");
}

static void the_table_is_consistent(void **state)
{
    (void)state;
    for (int id = 0; id < SETTING_COUNT; id++) {
        char want[64] = "KEEPFAST_";
        size_t at = strlen(want);
        for (const char *p = setting_table[id].path; *p; p++)
            want[at++] = (char)(*p == '.' ? '_' : *p >= 'a' && *p <= 'z' ? *p - 32 : *p);
        assert_string_equal(setting_table[id].env, want);
    }
}

static void the_file_is_found(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    struct buf found = BUF_INIT;
    char setting[300];
    char *const environ_of[] = {setting, NULL};
    char *const gone[] = {VAR("KEEPFAST_CONFIG=/nowhere/k.yaml"), NULL};
    testing_write(path, "", 0);
    snprintf(setting, sizeof setting, "KEEPFAST_CONFIG=%s", path);
    assert_int_equal(config_find(env_system(), path, NULL, NULL, &found, &err), KF_OK);
    assert_string_equal(found.p, path);
    assert_int_equal(config_find(env_system(), NULL, environ_of, NULL, &found, &err), KF_OK);
    assert_string_equal(found.p, path);
    assert_int_equal(config_find(env_system(), NULL, NULL, folder(), &found, &err), KF_OK);
    assert_string_equal(found.p, path);
    assert_int_equal(config_find(env_system(), NULL, NULL, "/nowhere", &found, &err), KF_OK);
    assert_int_equal(found.len, 0);
    assert_int_equal(config_find(env_system(), "/nowhere/k.yaml", NULL, folder(), &found, &err),
                     KF_CONFIG);
    assert_string_equal(err.detail, "--config: /nowhere/k.yaml: there is no such file");
    assert_int_equal(config_find(env_system(), NULL, gone, folder(), &found, &err), KF_CONFIG);
    assert_string_equal(err.detail, "KEEPFAST_CONFIG: /nowhere/k.yaml: there is no such file");
    buf_release(&found);
}

/* ----------------------------------------------------------------------------------- printing */

static void it_prints_what_is_in_force(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    testing_write(testing_path(folder(), "shape.json"), "{}", 2);
    struct config *c = load_good(full);
    config_print(c, true, &out);
    if (json_check(buf_view(&out), NULL, NULL, &err) != KF_OK)
        fail_msg("%s\n%s", err.detail, out.p);
    assert_non_null(
        strstr(out.p, "{\"path\": \"limits.doc\", \"value\": \"1MiB\", \"source\": \"file\"}"));
    assert_non_null(strstr(out.p, "\"schedule\": \"after: 20, on_change: 30s\""));
    buf_clear(&out);
    config_print(c, false, &out);
    assert_non_null(strstr(out.p, "pool.idle            90s  (file)\n"));
    assert_non_null(strstr(out.p, "  remote hand  dir:x  (manual: true)\n"));
    assert_non_null(strstr(out.p, "  remote plain  dir:y  (on_change: 10s)\n"));
    buf_release(&out);
    config_free(c);
}

static void schedules_as_text(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    buf_c(&out, "x ");
    config_schedule_format(&(struct config_schedule){.every_ms = 300000, .after = 5}, &out);
    assert_string_equal(out.p, "x every: 5m, after: 5");
    buf_release(&out);
}

/* -------------------------------------------------------------------------------------- memory */

static kf_rc load_full(void *ctx)
{
    (void)ctx;
    const struct config_flag flag = {"pool.max", "30"};
    char *const environ_of[] = {VAR("KEEPFAST_LISTEN=127.0.0.1:1,unix:/x"), NULL};
    struct config *c = NULL;
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = config_load(env_system(), path, environ_of, &flag, 1, &c, &err);
    if (rc != KF_OK)
        assert_null(c);
    config_free(c);
    return rc;
}

static void every_failed_allocation_is_nomem(void **state)
{
    (void)state;
    testing_write(testing_path(folder(), "shape.json"), "{\"type\":\"object\"}", 17);
    testing_write(path, full, sizeof full - 1);
    assert_true(testing_oom_each(load_full, NULL) >= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_gives_the_defaults),
        cmocka_unit_test(everything_is_read),
        cmocka_unit_test(wrong_inputs_are_told_where),
        cmocka_unit_test(a_schema_is_checked_with_the_default),
        cmocka_unit_test(a_secret_is_not_repeated),
        cmocka_unit_test(remotes_of_git_are_read),
        cmocka_unit_test(wrong_remotes_of_git_are_told_where),
        cmocka_unit_test(git_is_there_when_it_is_built),
        cmocka_unit_test(no_memory_for_git),
        cmocka_unit_test(a_nul_and_a_large_file),
        cmocka_unit_test(later_layers_win),
        cmocka_unit_test(a_variable_that_is_meant_to_be_a_setting_is_one),
        cmocka_unit_test(layers_name_themselves_in_errors),
        cmocka_unit_test(the_table_is_consistent),
        cmocka_unit_test(the_file_is_found),
        cmocka_unit_test(it_prints_what_is_in_force),
        cmocka_unit_test(schedules_as_text),
        cmocka_unit_test(every_failed_allocation_is_nomem),
    };
    return cmocka_run_group_tests_name("config", tests, setup, NULL);
}
