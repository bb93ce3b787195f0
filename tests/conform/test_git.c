/* The kind `git` against real repositories: what it leaves in a branch, and what it makes of what
 * people leave there. The host is a folder; tests/script/test_git.py has real servers. */
#include "host_git.h"

#include "base/err.h"
#include "base/json.h"
#include "remote/remote.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SITE_A "aaaaaaaaaaaaaaaa"
#define SITE_B "bbbbbbbbbbbbbbbb"
#define STAMP  ((int64_t)1700000000000 << 16)

static struct testing_env world;
static char host[300];
static atomic_bool stop;

/* ------------------------------------------------------------------------------------- the host */

#define GIT(...) GIT_IN(host, __VA_ARGS__)

/* A commit of somebody: lines of fast-import behind the message ("M …", "D …"). */
static void person(int64_t time_s, const char *changes)
{
    struct buf in = BUF_INIT;
    buf_printf(&in,
               "commit refs/heads/data\ncommitter Ola <ola@example.com> %lld +0100\n"
               "data 5\nedit\nfrom refs/heads/data^0\n%s\ndone\n",
               (long long)time_s, changes);
    host_git(host, buf_view(&in),
             (const char *const[]){"fast-import", "--quiet", "--done", "--date-format=raw", NULL});
    buf_release(&in);
}

static const char *file(const char *path)
{
    char name[400];
    snprintf(name, sizeof(name), "data:%s", path);
    return GIT("cat-file", "blob", name);
}

static int commits(void)
{
    uint64_t n = 0;
    assert_true(str_to_u64(str_of(GIT("rev-list", "--count", "data")), &n));
    return (int)n;
}

/* ------------------------------------------------------------------------------------ documents */

struct doc {
    const char *name, *body; /* NULL: deleted */
    int64_t stamp;
    const char *site;
};

struct set {
    struct remote_set set; /* first */
    const struct doc *docs;
    char hash[96][HASH_HEX + 1];
    size_t at;
};

static void set_head(const struct remote_set *set, size_t i, struct remote_doc *ret)
{
    const struct set *s = (const struct set *)set;
    const struct doc *d = &s->docs[i];
    *ret = (struct remote_doc){
        .doc = {.name = str_of(d->name),
                .site = str_of(d->site ? d->site : SITE_A),
                .stamp = STAMP + d->stamp,
                .at_ms = 1700000000000,
                .version = 1 + (uint64_t)d->stamp},
        .hash = str_of(s->hash[i]),
        .size = d->body ? strlen(d->body) : 0,
    };
}

static kf_rc set_next(struct remote_set *set, struct remote_doc *ret, struct kf_err *err)
{
    struct set *s = (struct set *)set;
    if (s->at == set->count)
        return KF_ABSENT;
    set_head(set, s->at, ret);
    const struct doc *d = &s->docs[s->at++];
    if (d->body)
        ret->doc.body = str_of(d->body);
    return KF_OK;
}

#define GOT_MAX 64
struct got {
    char name[200], body[400], base[400], site[17], code[40];
    int64_t stamp;
    bool deleted, inexact, bad, has_base;
};
struct sink {
    struct remote_sink sink; /* first */
    struct got got[GOT_MAX];
    size_t count;
};

static struct got *add(struct sink *s, const struct remote_doc *doc)
{
    assert_true(s->count < GOT_MAX);
    struct got *g = &s->got[s->count++];
    snprintf(g->name, sizeof(g->name), "%.*s", STR_ARGS(doc->doc.name));
    snprintf(g->site, sizeof(g->site), "%.*s", STR_ARGS(doc->doc.site));
    g->stamp = doc->doc.stamp - STAMP;
    return g;
}

static kf_rc sink_take(struct remote_sink *sink, const struct remote_doc *doc, struct kf_err *err)
{
    struct got *g = add((struct sink *)sink, doc);
    g->deleted = doc->doc.body.p == NULL;
    g->inexact = doc->doc.inexact;
    g->has_base = doc->doc.base.p != NULL;
    struct buf b = BUF_INIT;
    kf_rc rc = doc->doc.body.p ? json_compact(doc->doc.body, &b, err) : KF_OK;
    snprintf(g->body, sizeof(g->body), "%.*s", STR_ARGS(buf_view(&b)));
    buf_clear(&b);
    if (rc == KF_OK && doc->doc.base.p)
        rc = json_compact(doc->doc.base, &b, err);
    snprintf(g->base, sizeof(g->base), "%.*s", STR_ARGS(buf_view(&b)));
    buf_release(&b);
    return rc;
}

static kf_rc sink_bad(struct remote_sink *sink, const struct remote_doc *doc,
                      const struct kf_err *why, struct kf_err *err)
{
    struct got *g = add((struct sink *)sink, doc);
    g->bad = true;
    snprintf(g->code, sizeof(g->code), "%s", why->code);
    return KF_OK;
}

static const struct got *find(const struct sink *s, const char *name)
{
    size_t i = 0;
    while (i < s->count && strcmp(s->got[i].name, name) != 0)
        i++;
    if (i == s->count)
        fail_msg("%s was not handed out", name);
    return &s->got[i];
}

/* ------------------------------------------------------------------------------------ the store */

/* One who pushes and pulls: its repository and its position. */
struct store {
    char dir[300];
    char position[REMOTE_POSITION_MAX];
    struct kf_err err;
};

static struct store store_new(const char *name)
{
    struct store s = {.position = ""};
    snprintf(s.dir, sizeof(s.dir), "%s", testing_path(testing_dir(), name));
    return s;
}

static kf_rc try_connect(struct store *s, struct remote **ret)
{
    struct remote *r = NULL;
    char url[330];
    snprintf(url, sizeof(url), "file://%s", host);
    struct remote_place place = {.url = str_of(url), .dir = str_of(s->dir)};
    kf_rc rc = remote_git.open(&world.env, &place, &r, &s->err);
    if (rc != KF_OK)
        return rc;
    r->call_ms = 30000;
    r->stop = &stop;
    *ret = r;
    return KF_OK;
}

static struct remote *connect(struct store *s)
{
    struct remote *r = NULL;
    assert_int_equal(try_connect(s, &r), KF_OK);
    return r;
}

static kf_rc pull_all(struct store *s, bool all, struct sink *sink)
{
    struct buf position = BUF_INIT;
    struct remote *r = NULL;
    s->err = (struct kf_err)KF_ERR_INIT;
    kf_rc rc = try_connect(s, &r);
    if (rc != KF_OK)
        return rc;
    *sink = (struct sink){.sink = {.take = sink_take, .bad = sink_bad}};
    rc = remote_git.pull(r, str_of(s->position), all, &sink->sink, &position, &s->err);
    if (rc == KF_OK)
        snprintf(s->position, sizeof(s->position), "%.*s", STR_ARGS(buf_view(&position)));
    else
        assert_true(s->err.detail[0] != '\0');
    remote_git.close(r);
    buf_release(&position);
    return rc;
}

static kf_rc pull(struct store *s, struct sink *sink)
{
    return pull_all(s, false, sink);
}

static kf_rc push(struct store *s, const struct doc *docs, size_t count,
                  struct remote_pushed *pushed)
{
    struct buf position = BUF_INIT;
    struct remote *r = NULL;
    s->err = (struct kf_err)KF_ERR_INIT;
    kf_rc rc = try_connect(s, &r);
    if (rc != KF_OK)
        return rc;
    struct set set = {.set = {.count = count,
                              .head = set_head,
                              .next = set_next,
                              .site = STR(SITE_A),
                              .seq = 7,
                              .stamp = STAMP + 100,
                              .now_ms = 1700000000000},
                      .docs = docs};
    for (size_t i = 0; i < count; i++) {
        struct hash h;
        if (docs[i].body) {
            hash_of(str_of(docs[i].body), &h);
            hash_hex(&h, set.hash[i]);
        }
    }
    rc = remote_git.push(r, str_of(s->position), &set.set, &position, pushed, &s->err);
    if (rc == KF_OK)
        snprintf(s->position, sizeof(s->position), "%.*s", STR_ARGS(buf_view(&position)));
    remote_git.close(r);
    buf_release(&position);
    return rc;
}
#define PUSH(s, ...)                                                     \
    push(s, (const struct doc[]){__VA_ARGS__},                           \
         sizeof((const struct doc[]){__VA_ARGS__}) / sizeof(struct doc), \
         &(struct remote_pushed){0})

static int setup(void **state)
{
    (void)state;
    testing_env_init(&world);
    snprintf(host, sizeof(host), "%s", testing_path(testing_dir(), "host.git"));
    host_git_new(host);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_env_release(&world);
    return 0;
}

/* --------------------------------------------------------------------------------------- tests */

static void what_is_pushed_is_there_and_comes_back(void **state)
{
    (void)state;
    struct store a = store_new("a"), b = store_new("b");
    struct sink got;
    struct remote_pushed pushed;
    assert_int_equal(pull(&a, &got), KF_OK);
    assert_string_equal(a.position, "");
    const struct doc docs[] = {
        {"kredyty.json", "{\"rata\": 1.50,\"x\":[1,2]}", 1, SITE_A},
        {"chat/ola", "\"cześć\"", 2, SITE_B},
        {"gone", NULL, 3, SITE_A},
        {"Twin.json", "1", 4, SITE_A},
        {"twin.json", "2", 5, SITE_A},
        {"f", "3", 6, SITE_A},
        {"f/g", "4", 7, SITE_A},
    };
    assert_int_equal(push(&a, docs, 7, &pushed), KF_OK);
    assert_int_equal(pushed.docs, 7);
    assert_int_equal(commits(), 1);
    assert_string_equal(file("kredyty.json"),
                        "{\n  \"rata\": 1.50,\n  \"x\": [\n    1,\n    2\n  ]\n}");
    assert_string_equal(file("chat/ola"), "\"cześć\"");
    assert_string_equal(file(".keepfast/format.json"), "{\"keepfast\":\"git\",\"format\":1}");
    GIT("fsck", "--strict");
    assert_non_null(strstr(GIT("log", "-1", "--format=%B", "data"), "Keepfast-Seq: 7"));

    assert_int_equal(pull(&b, &got), KF_OK);
    assert_int_equal(got.count, 7);
    assert_string_equal(b.position, a.position);
    assert_string_equal(find(&got, "kredyty.json")->body, "{\"rata\":1.50,\"x\":[1,2]}");
    assert_int_equal(find(&got, "kredyty.json")->stamp, 1);
    assert_true(find(&got, "kredyty.json")->inexact);
    assert_string_equal(find(&got, "chat/ola")->site, SITE_B);
    assert_true(find(&got, "gone")->deleted);
    assert_string_equal(find(&got, "Twin.json")->body, "1");
    assert_string_equal(find(&got, "twin.json")->body, "2");
    assert_string_equal(find(&got, "f")->body, "3");
    assert_string_equal(find(&got, "f/g")->body, "4");

    /* Nothing new: no commit, nothing handed out. */
    assert_int_equal(push(&a, docs, 7, &pushed), KF_OK);
    assert_int_equal(pushed.docs, 0);
    assert_int_equal(commits(), 1);
    assert_int_equal(pull(&b, &got), KF_OK);
    assert_int_equal(got.count, 0);
    assert_int_equal(pull_all(&b, true, &got), KF_OK);
    assert_int_equal(got.count, 7);
}

static void changes_come_alone_and_with_their_base(void **state)
{
    (void)state;
    struct store a = store_new("a"), b = store_new("b");
    struct sink got;
    assert_int_equal(PUSH(&a, {"x", "{\"a\":1}", 1}, {"y", "1", 2}, {"z", "1", 3}), KF_OK);
    assert_int_equal(pull(&b, &got), KF_OK);
    assert_int_equal(PUSH(&a, {"x", "{\"a\":2}", 4}, {"y", NULL, 5}), KF_OK);
    assert_int_equal(commits(), 2);
    assert_int_equal(pull(&b, &got), KF_OK);
    assert_int_equal(got.count, 2);
    assert_string_equal(find(&got, "x")->body, "{\"a\":2}");
    assert_string_equal(find(&got, "x")->base, "{\"a\":1}");
    assert_int_equal(find(&got, "x")->stamp, 4);
    assert_true(find(&got, "y")->deleted);
    assert_int_equal(find(&got, "y")->stamp, 5);
    /* The same bytes with a later stamp: the row changed alone. */
    assert_int_equal(PUSH(&a, {"z", "1", 9, SITE_B}), KF_OK);
    assert_int_equal(pull(&b, &got), KF_OK);
    assert_int_equal(got.count, 1);
    assert_int_equal(find(&got, "z")->stamp, 9);
    /* What was deleted is back. */
    assert_int_equal(PUSH(&a, {"y", "2", 10}), KF_OK);
    assert_string_equal(file("y"), "2");
}

static void what_people_do(void **state)
{
    (void)state;
    struct store a = store_new("a"), b = store_new("b");
    struct sink got;
    int64_t later = (STAMP >> 16) / 1000 + 100;
    assert_int_equal(PUSH(&a, {"x", "{\"a\":1}", 1}, {"y", "1", 2}, {"z", "1", 3}, {"w", "1", 4}),
                     KF_OK);
    assert_int_equal(pull(&b, &got), KF_OK);
    person(later, "M 100644 inline x\ndata 7\n{\"a\":5}\nD y\nM 100644 inline new/one.json\n"
                  "data 2\n{}\n");
    person(1000, "M 100644 inline z\ndata 1\n9\nM 100644 inline README.md\ndata 5\nhello\n"
                 "M 120000 inline link\ndata 1\nx\nM 100644 inline w\ndata 3\nno!\n");
    char second[17];
    snprintf(second, sizeof(second), "%.16s", GIT("rev-parse", "data"));
    assert_int_equal(pull(&b, &got), KF_OK);
    assert_int_equal(got.count, 5);
    assert_string_equal(find(&got, "x")->body, "{\"a\":5}");
    assert_string_equal(find(&got, "x")->base, "{\"a\":1}");
    assert_false(find(&got, "x")->inexact);
    assert_int_equal(find(&got, "x")->stamp, (later * 1000 << 16) - STAMP);
    assert_true(find(&got, "y")->deleted);
    assert_int_equal(find(&got, "y")->stamp, (later * 1000 << 16) - STAMP);
    assert_string_equal(find(&got, "new/one.json")->body, "{}");
    /* An old clock: later than what it was made on all the same. */
    assert_string_equal(find(&got, "z")->body, "9");
    assert_int_equal(find(&got, "z")->stamp, 4);
    assert_string_equal(find(&got, "z")->site, second);
    /* A document of ours of which nothing is left that is JSON. */
    assert_true(find(&got, "w")->bad);
    assert_string_equal(find(&got, "w")->code, "bad_object");
    /* Everything at once sees the same. */
    struct store c = store_new("c");
    assert_int_equal(pull(&c, &got), KF_OK);
    assert_int_equal(got.count, 5);
    /* And goes on. */
    a = b;
    assert_int_equal(PUSH(&a, {"w", "2", 20}, {"x", "{\"a\":6}", 21}), KF_OK);
    assert_string_equal(file("w"), "2");
    assert_string_equal(file("README.md"), "hello");
}

/* A file that people made has no row of Keepfast's yet: it goes all the same, and stays away. */
static void what_people_made_is_deleted_too(void **state)
{
    (void)state;
    struct store a = store_new("a"), b = store_new("b");
    struct sink got;
    assert_int_equal(PUSH(&a, {"x", "1", 1}, {"back", "1", 2}), KF_OK);
    assert_int_equal(PUSH(&a, {"back", NULL, 3}), KF_OK);
    person((STAMP >> 16) / 1000 + 100, "M 100644 inline new.json\ndata 2\n{}\n"
                                       "M 100644 inline back\ndata 1\n2\n"
                                       "M 100644 inline %~apart\ndata 1\n3\n"
                                       "M 100644 inline kept.json\ndata 1\n4\n"
                                       "M 120000 inline link\ndata 1\nx\n");
    assert_int_equal(pull(&a, &got), KF_OK);
    assert_int_equal(got.count, 4);
    int64_t later = ((STAMP >> 16) + 200000) << 16;
    assert_int_equal(PUSH(&a, {"new.json", NULL, later - STAMP}, {"back", NULL, later - STAMP + 1},
                          {"apart", NULL, later - STAMP + 2}, {"link", NULL, later - STAMP + 3}),
                     KF_OK);
    assert_string_equal(GIT("ls-tree", "--name-only", "data"), ".keepfast\nkept.json\nlink\nx");
    assert_int_equal(pull(&b, &got), KF_OK);
    assert_int_equal(got.count, 5);
    assert_true(find(&got, "new.json")->deleted);
    assert_true(find(&got, "back")->deleted);
    assert_true(find(&got, "apart")->deleted);
    assert_string_equal(find(&got, "kept.json")->body, "4");
    assert_int_equal(pull(&a, &got), KF_OK);
    assert_int_equal(got.count, 0);
}

static void who_is_late_is_told(void **state)
{
    (void)state;
    struct store a = store_new("a"), b = store_new("b");
    struct sink got;
    assert_int_equal(PUSH(&a, {"x", "1", 1}), KF_OK);
    assert_int_equal(PUSH(&b, {"x", "2", 2, SITE_B}), KF_CONFLICT);
    assert_string_equal(b.err.code, "version_mismatch");
    assert_int_equal(pull(&b, &got), KF_OK);
    assert_int_equal(PUSH(&b, {"x", "2", 2, SITE_B}), KF_OK);
    assert_int_equal(PUSH(&a, {"x", "3", 3}), KF_CONFLICT);
    assert_int_equal(pull(&a, &got), KF_OK);
    assert_string_equal(find(&got, "x")->body, "2");
    assert_int_equal(PUSH(&a, {"x", "3", 3}), KF_OK);
    assert_int_equal(commits(), 3);
}

static void a_history_that_was_rewritten_is_seen(void **state)
{
    (void)state;
    struct store a = store_new("a"), b = store_new("b");
    struct sink got;
    assert_int_equal(PUSH(&a, {"x", "1", 1}), KF_OK);
    assert_int_equal(PUSH(&a, {"x", "2", 2}), KF_OK);
    GIT("update-ref", "refs/heads/data", "data~1");
    assert_int_equal(pull(&a, &got), KF_DAMAGED);
    assert_string_equal(a.err.code, "rolled_back");
    assert_int_equal(pull(&b, &got), KF_OK);
    assert_int_equal(PUSH(&b, {"y", "1", 3, SITE_B}), KF_OK);
    assert_int_equal(pull(&a, &got), KF_CONFLICT);
    assert_string_equal(a.err.code, "diverged");
    GIT("update-ref", "-d", "refs/heads/data");
    assert_int_equal(pull(&a, &got), KF_UNAVAILABLE);
    assert_string_equal(a.err.code, "remote_failed");
}

static void a_cache_that_is_gone_is_fetched_again(void **state)
{
    (void)state;
    struct store a = store_new("a"), b = store_new("b");
    struct sink got;
    assert_int_equal(PUSH(&a, {"x", "1", 1}), KF_OK);
    assert_int_equal(pull(&b, &got), KF_OK);
    assert_int_equal(PUSH(&a, {"x", "2", 2}), KF_OK);
    struct store anew = store_new("anew");
    snprintf(anew.position, sizeof(anew.position), "%s", b.position);
    assert_int_equal(pull(&anew, &got), KF_OK);
    assert_int_equal(got.count, 1);
    assert_string_equal(find(&got, "x")->base, "1");
}

/* After a loss of power: the machine was started since, and objects are not what they were. */
static void a_cache_that_is_broken_is_made_anew(void **state)
{
    (void)state;
    struct store a = store_new("a");
    struct sink got;
    char ready[400], head[400];
    size_t len;
    assert_int_equal(PUSH(&a, {"x", "1", 1}), KF_OK);
    assert_int_equal(pull(&a, &got), KF_OK);
    snprintf(ready, sizeof(ready), "%s/git/keepfast-ready", a.dir);
    const char *boot = testing_read(ready, &len);
    assert_true(len > 30);
    testing_write(ready, "another start\n", 14);
    assert_int_equal(PUSH(&a, {"x", "2", 2}), KF_OK); /* whole: it goes on */
    size_t again;
    assert_memory_equal(testing_read(ready, &again), boot, len);
    testing_write(ready, "another start\n", 14);
    snprintf(head, sizeof(head), "%s/git/refs/keepfast/next", a.dir);
    testing_write(head, "1234567890123456789012345678901234567890\n", 41);
    assert_int_equal(PUSH(&a, {"x", "3", 3}), KF_CONFLICT); /* nothing is here to build upon */
    assert_int_equal(pull(&a, &got), KF_OK);
    assert_int_equal(got.count, 0);
    assert_int_equal(PUSH(&a, {"x", "3", 3}), KF_OK);
    assert_int_equal(commits(), 3);
}

static void a_branch_of_somebody_else_is_left_alone(void **state)
{
    (void)state;
    struct store a = store_new("a");
    struct sink got;
    host_git(host,
             STR("commit refs/heads/data\ncommitter O <o@x> 1 +0000\ndata 1\nx\n"
                 "M 100644 inline README.md\ndata 1\nx\ndone\n"),
             (const char *const[]){"fast-import", "--quiet", "--done", NULL});
    assert_int_equal(pull(&a, &got), KF_OK);
    assert_int_equal(got.count, 0);
    person(2, "M 100644 inline package.json\ndata 2\n{}\n");
    assert_int_equal(pull(&a, &got), KF_CONFIG);
    assert_non_null(strstr(a.err.detail, "package.json"));
    assert_int_equal(commits(), 2);
}

/* The push arrives, and its answer does not. */
static void a_push_of_which_nothing_is_heard(void **state)
{
    (void)state;
    static const char hook[] =
        "#!/bin/sh\n# ends the push that waits for us\np=$PPID\n"
        "while ! tr '\\0' ' ' </proc/$p/cmdline | grep -q ' push '; do\n"
        "    p=$(sed 's/.*) . //' /proc/$p/stat | cut -d' ' -f1)\ndone\nkill -9 $p\n";
    struct store a = store_new("a");
    struct sink got;
    char name[400];
    assert_int_equal(PUSH(&a, {"x", "1", 1}), KF_OK);
    snprintf(name, sizeof(name), "%s/hooks", host);
    mkdir(name, 0700);
    snprintf(name, sizeof(name), "%s/hooks/post-receive", host);
    testing_write(name, hook, sizeof(hook) - 1);
    assert_int_equal(chmod(name, 0700), 0);
    assert_int_equal(PUSH(&a, {"x", "2", 2}), KF_OK);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(commits(), 2);
    assert_int_equal(pull(&a, &got), KF_OK);
    assert_int_equal(got.count, 0);
    assert_int_equal(PUSH(&a, {"x", "3", 3}), KF_OK);
    assert_int_equal(commits(), 3);
}

/* What gathers in the repository beside the store is packed. */
static void much_is_packed(void **state)
{
    (void)state;
    static char names[90][16], bodies[90][32];
    struct doc docs[90];
    struct store a = store_new("a");
    struct remote_pushed pushed;
    char packs[400];
    snprintf(packs, sizeof(packs), "%s/git/objects/info/packs", a.dir);
    int rounds = 0;
    for (; rounds < 60 && !testing_exists(packs); rounds++) {
        for (int i = 0; i < 90; i++) {
            snprintf(names[i], sizeof(names[i]), "d%d", i);
            snprintf(bodies[i], sizeof(bodies[i]), "[%d,%d]", i, rounds);
            docs[i] = (struct doc){names[i], bodies[i], rounds + 1, NULL};
        }
        assert_int_equal(push(&a, docs, 90, &pushed), KF_OK);
    }
    print_message("# packed after %d pushes\n", rounds);
    assert_true(testing_exists(packs));
    assert_int_equal(push(&a, docs, 1, &pushed), KF_OK);
}

/* One round of a store: what others did, then its own change. */
static kf_rc round_of(struct store *s, struct sink *got, int64_t stamp)
{
    char body[40];
    snprintf(body, sizeof(body), "{\"n\":%lld}", (long long)stamp);
    /* Of what goes nothing is known: its file is looked for. */
    const struct doc docs[] = {{.name = "x", .body = body, .stamp = stamp},
                               {.name = "gone", .stamp = stamp}};
    struct remote_pushed pushed;
    kf_rc rc = pull(s, got);
    return rc == KF_OK ? push(s, docs, 2, &pushed) : rc;
}

/* Each command in turn cannot be started. The branch holds the old state or the new one, the next
 * round mends it, and no change makes two commits. */
static void a_command_that_cannot_be_started(void **state)
{
    (void)state;
    struct store a = store_new("a");
    struct sink got;
    int64_t stamp = 1;
    uint64_t failed = 0;
    assert_int_equal(round_of(&a, &got, stamp), KF_OK);
    for (uint64_t n = 1;; n++) {
        int before = commits();
        testing_env_fault(&world, IO_SPAWN, n, EAGAIN, false);
        kf_rc rc = round_of(&a, &got, ++stamp);
        bool fired = world.fired > 0;
        testing_env_fault(&world, IO_OP_COUNT, 0, 0, false);
        if (!fired)
            break;
        failed += rc != KF_OK;
        if (rc != KF_OK)
            assert_int_equal(round_of(&a, &got, stamp), KF_OK);
        assert_int_equal(commits(), before + 1);
    }
    print_message("# commands that failed: %d\n", (int)failed);
    assert_true(failed >= 4);
    GIT("fsck", "--strict");
}

static struct store oom_store;

static kf_rc round_without_memory(void *ctx)
{
    struct sink got;
    int64_t *stamp = ctx;
    kf_rc rc = round_of(&oom_store, &got, ++*stamp);
    if (rc != KF_OK && rc != KF_NOMEM)
        print_message("# %s: %s\n", oom_store.err.code, oom_store.err.detail);
    return rc;
}

static void lack_of_memory_is_survived(void **state)
{
    (void)state;
    int64_t stamp = 1;
    struct sink got;
    oom_store = store_new("a");
    assert_int_equal(round_of(&oom_store, &got, stamp), KF_OK);
    size_t failed = testing_oom_each_tolerant(round_without_memory, &stamp);
    print_message("# allocations failed: %zu\n", failed);
    assert_true(failed > 50);
    assert_int_equal(round_of(&oom_store, &got, ++stamp), KF_OK);
    GIT("fsck", "--strict");
}

static void probing_and_looking(void **state)
{
    (void)state;
    struct store a = store_new("a");
    int64_t stamp = 0;
    struct remote *r = connect(&a);
    assert_int_equal(remote_git.look(r, &stamp, &a.err), KF_ABSENT);
    assert_int_equal(remote_git.probe(r, &a.err), KF_OK);
    assert_string_equal(GIT("for-each-ref"), "");
    remote_git.close(r);
    assert_int_equal(PUSH(&a, {"x", "1", 1}), KF_OK);
    struct store b = store_new("b");
    r = connect(&b);
    assert_int_equal(remote_git.look(r, &stamp, &b.err), KF_OK);
    assert_int_equal(stamp, STAMP + 100);
    remote_git.close(r);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_pushed_is_there_and_comes_back),
        TEST(changes_come_alone_and_with_their_base),
        TEST(what_people_do),
        TEST(what_people_made_is_deleted_too),
        TEST(who_is_late_is_told),
        TEST(a_history_that_was_rewritten_is_seen),
        TEST(a_cache_that_is_gone_is_fetched_again),
        TEST(a_cache_that_is_broken_is_made_anew),
        TEST(a_branch_of_somebody_else_is_left_alone),
        TEST(probing_and_looking),
        TEST(a_push_of_which_nothing_is_heard),
        TEST(much_is_packed),
        TEST(a_command_that_cannot_be_started),
        TEST(lack_of_memory_is_survived),
    };
    return cmocka_run_group_tests_name("git", tests, NULL, NULL);
}
