/* Versions of a document out of the history of a branch: against real repositories, whose commits
 * are made here as stores and people make them. */
#include "host_git.h"

#include "base/err.h"
#include "remote/git_internal.h"
#include "remote/git_path.h"
#include "remote/git_walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SITE  "aaaaaaaaaaaaaaaa"
#define BEGIN 1700000000

static struct testing_env world;
static char host[300], cache[300];
static atomic_bool stop;
static struct kf_err err;

/* ------------------------------------------------------------------------------------- the host */

#define GIT(...) GIT_IN(host, __VA_ARGS__)

/* Commits wait here until they are made; `now` is the time of the next one. */
static struct buf pending;
static int64_t now_s;

static void made(void)
{
    buf_c(&pending, "done\n");
    host_git(host, buf_view(&pending),
             (const char *const[]){"fast-import", "--quiet", "--done", "--force",
                                   "--date-format=raw", NULL});
    buf_clear(&pending);
}

static void data(str bytes)
{
    buf_printf(&pending, "data %zu\n", bytes.len);
    buf_str(&pending, bytes);
    buf_c(&pending, "\n");
}

/* Begins a commit of somebody on a branch; what it changes follows. */
static void commit_as(const char *branch, str who, str message)
{
    buf_printf(&pending, "commit refs/heads/%s\nauthor ", branch);
    buf_str(&pending, who);
    buf_printf(&pending, " <x@example.com> %lld +0000\n", (long long)now_s);
    buf_printf(&pending, "committer C <c@example.com> %lld +0000\n", (long long)now_s);
    now_s += 60;
    data(message);
}

static void person(void)
{
    commit_as("data", STR("Ola"), STR("edit\n"));
}

static void put(const char *path, str bytes)
{
    buf_printf(&pending, "M 100644 inline %s\n", path);
    data(bytes);
}

static void part_path(const char *name, struct buf *out)
{
    git_part_path(git_part_of(str_of(name)), out);
}

/* A store's row of the document, alone in its part. `text`: NULL = it is deleted. */
static void put_row(const char *name, const char *path, const char *text, int64_t stamp)
{
    struct buf part = BUF_INIT, row = BUF_INIT;
    struct hash hash;
    char hex[HASH_HEX + 1] = "";
    struct portable_writer w = {.out = &row};
    if (text) {
        hash_of(str_of(text), &hash);
        hash_hex(&hash, hex);
    }
    portable_write(&w, &(struct portable_entry){.line = PORTABLE_FILE,
                                                .name = str_of(name),
                                                .site = STR(SITE),
                                                .stamp = stamp,
                                                .at_ms = 1600000000000 + stamp,
                                                .version = (uint64_t)stamp,
                                                .deleted = !text,
                                                .size = text ? strlen(text) + 1000 : 0,
                                                .hash = str_of(hex),
                                                .path = str_of(text ? path : ""),
                                                .text = str_of(hex)});
    part_path(name, &part);
    put(part.p, buf_view(&row));
    buf_release(&part);
    buf_release(&row);
}

static void store_writes(const char *name, const char *path, const char *text, int64_t stamp)
{
    commit_as("data", STR("Keepfast"), STR("saved\n"));
    if (text)
        put(path, str_of(text));
    else
        buf_printf(&pending, "D %s\n", path);
    put_row(name, path, text, stamp);
}

static void begin_branch(void)
{
    commit_as("data", STR("Keepfast"), STR("begin\n"));
    put(GIT_FORMAT_FILE, STR("{\"keepfast\":\"git\",\"format\":1}\n"));
}

/* --------------------------------------------------------------------------------------- asking */

#define GOT_MAX 1000
struct got {
    char id[65], who[GIT_WHO_MAX + 1], code[40], body[100], site[17];
    int64_t stamp, at_ms;
    uint64_t version;
    size_t size;
    bool deleted, by_hand, current, has_body;
};
struct asked {
    struct remote_history h; /* first */
    struct got got[GOT_MAX];
    size_t count;
    bool more;
};
static struct asked asked;

static kf_rc note(struct remote_history *h, const struct remote_version *v,
                  const struct kf_err *why, struct kf_err *e)
{
    struct asked *a = (struct asked *)h;
    (void)e;
    assert_true(a->count < GOT_MAX);
    struct got *g = &a->got[a->count++];
    *g = (struct got){.stamp = v->doc.doc.stamp,
                      .at_ms = v->doc.doc.at_ms,
                      .version = v->doc.doc.version,
                      .size = v->doc.size,
                      .deleted = v->deleted,
                      .by_hand = v->by_hand,
                      .current = v->current,
                      .has_body = v->doc.doc.body.p != NULL};
    assert_true(str_eq(v->doc.doc.name, h->name));
    snprintf(g->id, sizeof(g->id), "%.*s", STR_ARGS(v->id));
    snprintf(g->who, sizeof(g->who), "%.*s", STR_ARGS(v->who));
    snprintf(g->site, sizeof(g->site), "%.*s", STR_ARGS(v->doc.doc.site));
    snprintf(g->code, sizeof(g->code), "%s", why ? why->code : "");
    if (g->has_body)
        snprintf(g->body, sizeof(g->body), "%.*s", STR_ARGS(v->doc.doc.body));
    return KF_OK;
}

static kf_rc ask(const char *name, const char *id, size_t max, bool one, int64_t until_ms)
{
    struct remote *r = NULL;
    char url[330];
    snprintf(url, sizeof(url), "file://%s", host);
    struct remote_place place = {.url = str_of(url), .dir = str_of(cache)};
    asked = (struct asked){.h = {.name = str_of(name),
                                 .id = str_of(id),
                                 .max = max,
                                 .until_ms = until_ms,
                                 .take = note}};
    err = (struct kf_err)KF_ERR_INIT;
    kf_rc rc = remote_git.open(&world.env, &place, &r, &err);
    if (rc != KF_OK)
        return rc;
    r->call_ms = 30000;
    r->stop = &stop;
    rc = one ? r->driver->version(r, &asked.h, &err)
             : r->driver->versions(r, &asked.h, &asked.more, &err);
    r->driver->close(r);
    if (rc != KF_OK && rc != KF_NOMEM)
        assert_true(err.detail[0] != '\0');
    return rc;
}

static void list(const char *name)
{
    kf_rc rc = ask(name, "", GOT_MAX, false, 0);
    if (rc != KF_OK)
        fail_msg("%s: %s", err.code, err.detail);
    assert_false(asked.more);
}

/* The list as a line for each: "WHO BODY-OR-DELETED hand VERSION". Reads each on its own. */
static void list_is(const char *name, const char *wanted)
{
    struct buf is = BUF_INIT;
    list(name);
    static struct asked all;
    all = asked;
    for (size_t i = 0; i < all.count; i++) {
        const struct got *g = &all.got[i];
        assert_false(g->has_body);
        assert_int_equal(g->current, i == 0);
        buf_printf(&is, "%s ", g->who);
        if (g->code[0]) {
            buf_printf(&is, "%s", g->code);
        } else {
            assert_int_equal(ask(name, g->id, 1, true, 0), KF_OK);
            assert_int_equal(asked.count, 1);
            assert_int_equal(asked.got[0].has_body, !g->deleted);
            assert_int_equal(asked.got[0].stamp, g->stamp);
            assert_int_equal(asked.got[0].size, g->size);
            assert_string_equal(asked.got[0].id, g->id);
            buf_printf(&is, "%s", g->deleted ? "deleted" : asked.got[0].body);
        }
        if (g->by_hand) {
            assert_memory_equal(g->site, g->id, 16);
            buf_c(&is, " hand");
        } else if (!g->code[0]) {
            assert_string_equal(g->site, SITE);
            buf_printf(&is, " v%llu", (unsigned long long)g->version);
        }
        buf_c(&is, "\n");
    }
    assert_string_equal(is.len ? is.p : "", wanted);
    buf_release(&is);
}

static unsigned fetched(void)
{
    char dir[330];
    uint64_t n = 0;
    snprintf(dir, sizeof(dir), "%s/history", cache);
    assert_true(str_to_u64(str_of(GIT_IN(dir, "rev-list", "--count", "refs/keepfast/tip")), &n));
    return (unsigned)n;
}

static int setup(void **state)
{
    (void)state;
    testing_env_init(&world);
    snprintf(host, sizeof(host), "%s", testing_path(testing_dir(), "host.git"));
    snprintf(cache, sizeof(cache), "%s", testing_path(testing_dir(), "cache"));
    host_git_new(host);
    now_s = BEGIN;
    begin_branch();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_env_release(&world);
    buf_release(&pending);
    return 0;
}

/* ---------------------------------------------------------------------------------------- tests */

static void what_stores_and_people_did(void **state)
{
    (void)state;
    store_writes("a.json", "a.json", "1\n", 1);
    store_writes("b.json", "b.json", "100\n", 1);
    person();
    put("a.json", STR("2\n"));
    store_writes("a.json", "a.json", "3\n", 3);
    person();
    buf_c(&pending, "D a.json\n");
    store_writes("a.json", "a.json", "4\n", 5);
    store_writes("a.json", "a.json", NULL, 6);
    person(); /* somebody renames another one to it */
    buf_c(&pending, "R b.json a.json\n");
    made();
    list_is("a.json", "Ola 100\n hand\n"
                      "Keepfast deleted v6\n"
                      "Keepfast 4\n v5\n"
                      "Ola deleted hand\n"
                      "Keepfast 3\n v3\n"
                      "Ola 2\n hand\n"
                      "Keepfast 1\n v1\n");
    assert_int_equal(asked.got[0].size, 1002); /* of the document, not of its file */
    list_is("b.json", "Ola deleted hand\nKeepfast 100\n v1\n");
    list("nobody.json");
    assert_int_equal(asked.count, 0);
}

/* A change that only the part shows is no version. */
static void a_name_has_two_paths(void **state)
{
    (void)state;
    struct buf apart = BUF_INIT;
    git_path_apart(STR("Twin.json"), &apart);
    store_writes("Twin.json", apart.p, "1\n", 1);
    commit_as("data", STR("Keepfast"), STR("moved\n"));
    buf_printf(&pending, "D %s\n", apart.p);
    put("Twin.json", STR("2\n"));
    put_row("Twin.json", "Twin.json", "2\n", 2);
    commit_as("data", STR("Keepfast"), STR("the same value\n"));
    put_row("Twin.json", "Twin.json", "2\n", 3);
    person();
    buf_c(&pending, "D Twin.json\n");
    made();
    list_is("Twin.json", "Ola deleted hand\n"
                         "Keepfast 2\n v2\n"
                         "Keepfast 1\n v1\n");
    buf_release(&apart);
}

/* Who pulls before pushing has what stores pushed behind the second parent. */
static void merges_of_people(void **state)
{
    (void)state;
    store_writes("a.json", "a.json", "1\n", 1);
    commit_as("mine", STR("Ola"), STR("on my branch\n"));
    buf_c(&pending, "from refs/heads/data\n");
    put("b.json", STR("9\n"));
    store_writes("a.json", "a.json", "2\n", 2);
    commit_as("mine", STR("Ola"), STR("merge\n"));
    buf_c(&pending, "merge refs/heads/data\n");
    put("a.json", STR("2\n"));
    put_row("a.json", "a.json", "2\n", 2);
    commit_as("mine", STR("Ola"), STR("and on\n"));
    put("a.json", STR("3\n"));
    store_writes("a.json", "a.json", "4\n", 4);
    commit_as("mine", STR("Ola"), STR("a clash\n"));
    buf_c(&pending, "merge refs/heads/data\n");
    put("a.json", STR("5\n"));
    put_row("a.json", "a.json", "4\n", 4);
    buf_c(&pending, "reset refs/heads/data\nfrom refs/heads/mine\n\n");
    made();
    list_is("a.json", "Ola 5\n hand\n"
                      "Keepfast 4\n v4\n"
                      "Ola 3\n hand\n"
                      "Keepfast 2\n v2\n"
                      "Keepfast 1\n v1\n");
}

static void damaged_commits_are_told(void **state)
{
    (void)state;
    struct buf part = BUF_INIT;
    part_path("a.json", &part);
    store_writes("a.json", "a.json", "1\n", 1);
    person();
    put("a.json", STR("<<<<<<< HEAD\n"));
    person();
    put("a.json", STR("2\n"));
    put(part.p, STR("<<<<<<< HEAD\n"));
    person();
    put("a.json", STR("3\n"));
    put(part.p, STR("{\"file\":\"a.json\",\"version\":oops}\n"));
    person();
    buf_c(&pending, "D a.json\n");
    put(part.p, STR("{\"file\":\"a.json\"")); /* cut */
    store_writes("a.json", "a.json", "4\n", 4);
    made();
    list_is("a.json", "Keepfast 4\n v4\n"
                      "Ola bad_object hand\n"
                      "Ola bad_object hand\n"
                      "Ola bad_object hand\n"
                      "Ola bad_object hand\n"
                      "Keepfast 1\n v1\n");
    list("a.json");
    char id[65];
    memcpy(id, asked.got[1].id, sizeof(id));
    assert_int_equal(ask("a.json", id, 1, true, 0), KF_OK);
    assert_string_equal(asked.got[0].code, "bad_object");
    assert_false(asked.got[0].has_body);
    buf_release(&part);
}

static void hostile_authors_and_messages(void **state)
{
    (void)state;
    struct buf big = BUF_INIT;
    for (int i = 0; i < 1 << 20; i++)
        buf_byte(&big, 'A');
    commit_as("data", STR("\x1b[31m\x01\x7fred\xe2\x80\xae rev\xc2\x9b"), buf_view(&big));
    put("a.json", STR("1\n"));
    commit_as("data", buf_view(&big), STR("m"));
    put("a.json", STR("2\n"));
    commit_as("data", STR("\xff\xfe\xc3"),
              STR("\x01"
                  "0123456789012345678901234567890123456789 1 x\n"));
    put("a.json", STR("3\n"));
    commit_as("data", STR("Zażółć"), STR(""));
    put("a.json", STR("4\n"));
    commit_as("data", STR(""), STR("no name\n"));
    put("a.json", STR("5\n"));
    made();
    list("a.json");
    assert_int_equal(asked.count, 5);
    assert_string_equal(asked.got[0].who, "");
    assert_string_equal(asked.got[1].who, "Zażółć");
    assert_int_equal(strlen(asked.got[3].who), GIT_WHO_MAX);
    assert_string_equal(asked.got[4].who, "[31mred rev");
    buf_release(&big);
}

/* Hourly commits of 15 months; a document that changes with each, one that changed long ago. */
static void years(int commits)
{
    char text[40];
    store_writes("old.json", "old.json", "1\n", 1);
    for (int i = 0; i < commits; i++) {
        snprintf(text, sizeof(text), "{\"v\":%d}\n", i);
        commit_as("data", STR("Keepfast"), STR("saved\n"));
        put("often.json", str_of(text));
    }
    made();
}

static void years_are_fetched_in_steps(void **state)
{
    (void)state;
    years(11000);
    assert_int_equal(ask("often.json", "", 20, false, 0), KF_OK);
    assert_int_equal(asked.count, 20);
    assert_true(asked.more);
    print_message("# the newest 20 versions of 11,000: %u commits fetched\n", fetched());
    assert_true(fetched() < 1000);
    list("old.json");
    assert_int_equal(asked.count, 1);
    assert_int_equal(fetched(), 11002);
    char last[65] = "";
    int total = 0;
    do {
        assert_int_equal(ask("often.json", last, 1000, false, 0), KF_OK);
        for (size_t i = 0; i < asked.count; i++, total++)
            assert_int_equal(asked.got[i].at_ms / 1000, BEGIN + 60 * (int64_t)(11001 - total));
        memcpy(last, asked.got[asked.count - 1].id, sizeof(last));
    } while (asked.more);
    assert_int_equal(total, 11000);
}

/* The first 12 digits do where no other commit begins so. One that was not fetched yet is
 * fetched. */
static void a_version_by_its_id(void **state)
{
    (void)state;
    years(900);
    char first[65];
    snprintf(first, sizeof(first), "%s", GIT("rev-list", "-1", "data~899"));
    assert_int_equal(ask("often.json", first, 1, true, 0), KF_OK);
    assert_string_equal(asked.got[0].body, "{\"v\":0}\n");
    first[12] = '\0';
    assert_int_equal(ask("often.json", first, 1, true, 0), KF_OK);
    assert_string_equal(asked.got[0].body, "{\"v\":0}\n");
    assert_int_equal(strlen(asked.got[0].id), 40);
    static const char *const wrong[] = {"0000000000000000000000000000000000000000",
                                        "00000000",
                                        "abc",
                                        "refs/heads/data",
                                        "HEAD",
                                        "-1",
                                        "01234567^",
                                        "ABCDEFABCDEF"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(ask("often.json", wrong[i], 1, true, 0), KF_ABSENT);
        assert_string_equal(err.code, "not_found");
    }
    assert_int_equal(ask("often.json", wrong[0], 10, false, 0), KF_INVALID);
    assert_string_equal(err.code, "bad_filter");
}

static void what_was_rewritten_is_not_shown(void **state)
{
    (void)state;
    char secret[65];
    store_writes("a.json", "a.json", "1\n", 1);
    store_writes("a.json", "a.json", "\"a secret\"\n", 2);
    made();
    list("a.json");
    assert_int_equal(asked.count, 2);
    memcpy(secret, asked.got[0].id, sizeof(secret));
    GIT("update-ref", "refs/heads/data", "data~1");
    commit_as("data", STR("Ola"), STR("without\n"));
    buf_c(&pending, "from refs/heads/data^0\n");
    put("a.json", STR("3\n"));
    made();
    list_is("a.json", "Ola 3\n hand\nKeepfast 1\n v1\n");
    assert_int_equal(ask("a.json", secret, 1, true, 0), KF_ABSENT);
}

static void time_and_the_end_of_the_store(void **state)
{
    (void)state;
    store_writes("a.json", "a.json", "1\n", 1);
    made();
    assert_int_equal(ask("a.json", "", 10, false, env_mono_ms(&world.env)), KF_BUSY);
    assert_string_equal(err.code, "timeout");
    assert_true(err.retryable);
    atomic_store(&stop, true);
    assert_int_equal(ask("a.json", "", 10, false, 0), KF_BUSY);
    assert_string_equal(err.code, "stopping");
    atomic_store(&stop, false);
    list_is("a.json", "Keepfast 1\n v1\n");
    GIT("update-ref", "-d", "refs/heads/data");
    assert_int_equal(ask("a.json", "", 10, false, 0), KF_ABSENT);
    begin_branch();
    buf_clear(&pending);
    commit_as("data", STR("Ola"), STR("another project\n"));
    put("main.c", STR("int main(void);\n"));
    made();
    assert_int_equal(ask("a.json", "", 10, false, 0), KF_CONFIG);
}

static kf_rc both_without_memory(void *ctx)
{
    kf_rc rc = ask("a.json", "", 10, false, 0);
    return rc == KF_OK ? ask("a.json", ctx, 1, true, 0) : rc;
}

static void no_memory(void **state)
{
    (void)state;
    char id[65];
    store_writes("a.json", "a.json", "1\n", 1);
    person();
    put("a.json", STR("2\n"));
    store_writes("a.json", "a.json", NULL, 6);
    made();
    list("a.json");
    memcpy(id, asked.got[2].id, sizeof(id));
    size_t failed = testing_oom_each_tolerant(both_without_memory, id);
    print_message("# allocations failed: %zu\n", failed);
    assert_true(failed > 50);
    list_is("a.json", "Keepfast deleted v6\nOla 2\n hand\nKeepfast 1\n v1\n");
}

/* ---------------------------------------------------------------------- what git printed alone */

static struct buf told;

static kf_rc tell(void *ctx, const struct git_walked *c, struct kf_err *e)
{
    (void)ctx;
    (void)e;
    buf_printf(&told, "%.4s %lld %.*s %d\n", c->id.hex, (long long)c->time_s, STR_ARGS(c->who),
               c->touched);
    return KF_OK;
}

#define ID1 "1111111111111111111111111111111111111111"
#define ID2 "2222222222222222222222222222222222222222"

static kf_rc walk_pieces(str text, size_t piece)
{
    struct git_walk w = {.paths = {STR("a.json"), STR("%~/a")}, .each = tell};
    kf_rc rc = KF_OK;
    buf_clear(&told);
    for (size_t i = 0; rc == KF_OK && i < text.len; i += piece)
        rc = git_walk_take(&w, (str){text.p + i, text.len - i < piece ? text.len - i : piece},
                           &err);
    if (rc == KF_OK)
        rc = git_walk_end(&w, &err);
    git_walk_release(&w);
    return rc;
}

static void what_git_prints_in_any_pieces(void **state)
{
    (void)state;
    static const char text[] = "\x01" ID1 " 5 Ann Lee\n\0\na.json\0a.json/x\0"
                               "\x01" ID2 " 99999999999999999999 \n\0\0other\0%~/a\0"
                               "\x01" ID1 " 7 N\n\0\0\n\0";
    for (size_t piece = 1; piece < sizeof(text); piece++) {
        assert_int_equal(walk_pieces((str){text, sizeof(text) - 1}, piece), KF_OK);
        assert_string_equal(told.p, "1111 5 Ann Lee 1\n2222 0  1\n1111 7 N 0\n");
    }
    static const char *const wrong[] = {"a.json", "\x01 5 x\n", "\x01" ID1 "5 x\n", "\x01" ID1,
                                        "\x01" ID1 "0 5 x"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(walk_pieces((str){wrong[i], strlen(wrong[i]) + 1}, 7), KF_UNAVAILABLE);
    buf_release(&told);
}

TESTING_SABOTEUR(edge_is_a_root, "edge-is-a-root", years_are_fetched_in_steps)

int main(int argc, char **argv)
{
    testing_only(argc, argv);
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_stores_and_people_did),
        TEST(a_name_has_two_paths),
        TEST(merges_of_people),
        TEST(damaged_commits_are_told),
        TEST(hostile_authors_and_messages),
        TEST(years_are_fetched_in_steps),
        TEST(a_version_by_its_id),
        TEST(what_was_rewritten_is_not_shown),
        TEST(time_and_the_end_of_the_store),
        TEST(no_memory),
        cmocka_unit_test(what_git_prints_in_any_pieces),
        cmocka_unit_test(saboteur_edge_is_a_root),
    };
    return cmocka_run_group_tests_name("git_past", tests, NULL, NULL);
}
