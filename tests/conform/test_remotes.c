/* One suite over every kind of remote (remotes_suite.h). What is of objects and a manifest alone is
 * left out for branches, of which test_git.c has the like; faults are in test_remotes_faults.c. */
#include "remotes_suite.h"

#include "base/err.h"
#include "base/hooks.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void empty_place(const struct kind *kind)
{
    struct place p;
    struct test_sink t;
    struct buf position = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    int64_t stamp = 77;
    place_new(kind, &p);
    struct remote *r = connect_to(p.url);
    assert_int_equal(r->driver->look(r, &stamp, &err), KF_ABSENT);
    assert_int_equal(stamp, 77);
    r->driver->close(r);
    sink_init(&t);
    GOOD(pull(p.url, "", false, &t, &position, &err));
    assert_int_equal(t.offered + t.got.count + t.bad, 0);
    assert_string_equal(text(&position), "");
    buf_release(&position);
}

static void what_is_pushed_comes_back(const struct kind *kind)
{
    struct place p;
    struct items docs = {0}, got = {0};
    struct test_sink t;
    struct buf pos = BUF_INIT, again = BUF_INIT;
    struct remote_pushed pushed = {0};
    struct kf_err err = KF_ERR_INIT;
    int64_t stamp = 0;
    place_new(kind, &p);
    items_sample(&docs, SITE_A, 1000, 50);
    GOOD(push(p.url, "", &docs, SITE_A, 60, &pos, &pushed, &err));
    assert_int_equal(pushed.docs, docs.count);
    pull_all(&p, &got);
    assert_true(items_equal(&docs, &got));
    struct remote *r = connect_to(p.url);
    GOOD(r->driver->look(r, &stamp, &err));
    assert_int_equal(stamp, 60);
    r->driver->close(r);

    /* At the position we have there is nothing to offer, unless everything is asked for. */
    sink_init(&t);
    GOOD(pull(p.url, text(&pos), false, &t, &again, &err));
    assert_int_equal(t.offered, 0);
    assert_string_equal(text(&again), text(&pos));
    t.have = &docs;
    GOOD(pull(p.url, text(&pos), true, &t, &again, &err));
    assert_int_equal(t.offered, docs.count);
    assert_int_equal(t.got.count, 0);

    /* The same set again is no push. */
    GOOD(push(p.url, text(&pos), &docs, SITE_A, 61, &again, &pushed, &err));
    assert_int_equal(pushed.docs, 0);
    assert_string_equal(text(&again), text(&pos));

    /* A change, a deletion, a document that comes back with the bytes it had. */
    items_put(&docs, "a", "{}", SITE_A, 2000);
    items_put(&docs, "a/b", NULL, SITE_A, 2001);
    items_put(&docs, "gone", "true", SITE_A, 2002);
    GOOD(push(p.url, text(&pos), &docs, SITE_A, 63, &again, &pushed, &err));
    assert_int_equal(pushed.docs, 3);
    pull_all(&p, &got);
    assert_true(items_equal(&docs, &got));
    items_free(&docs);
    items_free(&got);
    buf_release(&pos);
    buf_release(&again);
}

static void two_who_push(const struct kind *kind)
{
    struct place p;
    struct items a = {0}, b = {0}, got = {0};
    struct test_sink t;
    struct buf pos_a = BUF_INIT, pos_b = BUF_INIT, pos = BUF_INIT;
    struct remote_pushed pushed;
    struct kf_err err = KF_ERR_INIT;
    place_new(kind, &p);
    items_put(&a, "both", "1", SITE_A, 10);
    items_put(&a, "only-a", "1", SITE_A, 11);
    items_put(&b, "both", "2", SITE_B, 12);
    items_put(&b, "only-b", "2", SITE_B, 13);
    GOOD(push(p.url, "", &a, SITE_A, 2, &pos_a, &pushed, &err));
    /* R3: B believes that the place is empty. */
    place_machine(1);
    assert_int_equal(push(p.url, "", &b, SITE_B, 2, &pos_b, &pushed, &err), KF_CONFLICT);
    pull_all(&p, &got);
    assert_true(items_equal(&a, &got));
    sink_init(&t);
    GOOD(pull(p.url, "", false, &t, &pos, &err));
    assert_int_equal(t.got.count, 2);
    items_free(&t.got);
    GOOD(push(p.url, text(&pos), &b, SITE_B, 2, &pos_b, &pushed, &err));
    /* A pushes on top of what it last saw. */
    place_machine(0);
    items_put(&a, "only-a", "3", SITE_A, 20);
    assert_int_equal(push(p.url, text(&pos_a), &a, SITE_A, 3, &pos, &pushed, &err), KF_CONFLICT);
    sink_init(&t);
    t.have = &a;
    GOOD(pull(p.url, text(&pos_a), false, &t, &pos, &err));
    /* All that differs: B's two; and, where everything is offered, only-a, whose older state is
     * there. */
    assert_int_equal(t.offered, kind->branch ? 2 : 3);
    assert_int_equal(t.got.count, t.offered);
    items_put(&a, "both", "2", SITE_B, 12)->version = 1;
    items_put(&a, "only-b", "2", SITE_B, 13);
    GOOD(push(p.url, text(&pos), &a, SITE_A, 4, &pos_a, &pushed, &err));
    assert_int_equal(pushed.docs, 1);
    pull_all(&p, &got);
    assert_true(items_equal(&a, &got));
    items_free(&a);
    items_free(&b);
    items_free(&got);
    items_free(&t.got);
    buf_release(&pos);
    buf_release(&pos_a);
    buf_release(&pos_b);
}

static void expect_pull(const struct place *p, const struct buf *since, const char *code)
{
    struct test_sink t;
    struct buf position = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    sink_init(&t);
    kf_rc rc = pull(p->url, text(since), true, &t, &position, &err);
    if (rc == KF_OK || strcmp(err.code, code) != 0)
        fail_msg("%s: %s %s instead of %s", p->kind->name, err.code, err.detail, code);
    assert_int_equal(t.got.count + t.bad + position.len, 0);
    buf_release(&position);
}

/* R5 */
static void older_states_are_seen(const struct kind *kind)
{
    struct place p, other;
    struct items docs = {0};
    struct buf first = BUF_INIT, first_state = BUF_INIT, second = BUF_INIT, second_state = BUF_INIT,
               forked = BUF_INIT;
    struct remote_pushed pushed;
    struct kf_err err = KF_ERR_INIT;
    const char *code = kind->branch ? "diverged"
                                    : "rolled_back"; /* once somebody goes on from it */
    place_new(kind, &p);
    items_put(&docs, "a", "1", SITE_A, 1);
    GOOD(push(p.url, "", &docs, SITE_A, 1, &first, &pushed, &err));
    place_state(&p, &first_state);
    items_put(&docs, "a", "2", SITE_A, 2);
    GOOD(push(p.url, text(&first), &docs, SITE_A, 2, &second, &pushed, &err));
    place_state(&p, &second_state);

    place_set_state(&p, buf_view(&first_state));
    expect_pull(&p, &second, "rolled_back");
    items_put(&docs, "a", "3", SITE_A, 3);
    assert_int_equal(push(p.url, text(&second), &docs, SITE_A, 3, &forked, &pushed, &err),
                     KF_CONFLICT);
    /* Somebody goes on from the old state: the number of pushes is the same, then higher. What we
     * pushed is still missing. */
    struct items theirs = {0};
    items_put(&theirs, "b", "3", SITE_B, 3);
    GOOD(push(p.url, text(&first), &theirs, SITE_B, 1, &forked, &pushed, &err));
    expect_pull(&p, &second, code);
    items_put(&theirs, "b", "4", SITE_B, 4);
    GOOD(push(p.url, text(&forked), &theirs, SITE_B, 2, &forked, &pushed, &err));
    expect_pull(&p, &second, code);

    place_set_state(&p, (str){0, 0});
    expect_pull(&p, &second, "remote_failed");
    assert_int_equal(push(p.url, text(&second), &docs, SITE_A, 3, &forked, &pushed, &err),
                     KF_CONFLICT);
    place_set_state(&p, buf_view(&second_state));
    struct test_sink t;
    sink_init(&t);
    GOOD(pull(p.url, text(&second), true, &t, &forked, &err));
    assert_int_equal(t.got.count, 1);
    place_new(kind, &other);
    expect_pull(&other, &second, "remote_failed");
    items_free(&docs);
    items_free(&theirs);
    items_free(&t.got);
    buf_release(&first);
    buf_release(&first_state);
    buf_release(&second);
    buf_release(&second_state);
    buf_release(&forked);
}

static void object_path(const struct item *it, struct buf *out)
{
    buf_clear(out);
    portable_object(str_of(it->name), str_of(it->hash), out);
}

static void expect_bad(const struct place *p, size_t good, const char *names)
{
    struct test_sink t;
    struct buf position = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    sink_init(&t);
    GOOD(pull(p->url, "", false, &t, &position, &err));
    if (t.got.count != good || strcmp(t.bad_names, names) != 0)
        fail_msg("%s: %zu good, bad \"%s\" instead of \"%s\"", p->kind->name, t.got.count,
                 t.bad_names, names);
    items_free(&t.got);
    struct remote *r = connect_to(p->url);
    sink_init(&t);
    t.sink.want = NULL;
    GOOD(r->driver->verify(r, &t.sink, &err));
    assert_string_equal(t.bad_names, names);
    r->driver->close(r);
    items_free(&t.got);
    buf_release(&position);
}

/* R4: each flipped bit, a cut at each length, what is missing, what is too long. */
static void damaged_objects_are_found(const struct kind *kind)
{
    struct place p;
    struct items docs = {0};
    struct buf pos = BUF_INIT, path = BUF_INIT, again = BUF_INIT;
    struct remote_pushed pushed;
    struct kf_err err = KF_ERR_INIT;
    char body[] = "{\"a\":\"some text\"}";
    const size_t len = sizeof(body) - 1;
    place_new(kind, &p);
    items_put(&docs, "a", "1", SITE_A, 1);
    items_put(&docs, "b", body, SITE_A, 2);
    items_put(&docs, "c", "3", SITE_A, 3);
    GOOD(push(p.url, "", &docs, SITE_A, 3, &pos, &pushed, &err));
    object_path(&docs.p[1], &path);
    for (size_t bit = 0; bit < len * 8; bit++) {
        body[bit / 8] ^= (char)(1 << bit % 8);
        place_write(&p, path.p, (str){body, len});
        expect_bad(&p, 2, "b ");
        body[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < len; cut++) {
        place_write(&p, path.p, (str){body, cut});
        expect_bad(&p, 2, "b ");
    }
    place_write(&p, path.p, STR("{\"a\":\"some text\"} "));
    expect_bad(&p, 2, "b ");
    place_remove(&p, path.p);
    expect_bad(&p, 2, "b ");
    object_path(&docs.p[2], &path);
    place_remove(&p, path.p);
    expect_bad(&p, 1, "b c ");

    /* A push mends what it has the bytes of, when it has to name it again. */
    items_put(&docs, "b", "9", SITE_A, 4);
    items_put(&docs, "c", "3 ", SITE_A, 5);
    GOOD(push(p.url, text(&pos), &docs, SITE_A, 5, &again, &pushed, &err));
    expect_bad(&p, 3, "");
    items_free(&docs);
    buf_release(&pos);
    buf_release(&path);
    buf_release(&again);
}

/* A damaged object that a push wants to use again is written anew. */
static void damage_is_not_built_upon(const struct kind *kind)
{
    struct place p;
    struct items docs = {0}, got = {0};
    struct buf pos = BUF_INIT, path = BUF_INIT;
    struct remote_pushed pushed;
    struct kf_err err = KF_ERR_INIT;
    place_new(kind, &p);
    items_put(&docs, "a", "[1]", SITE_A, 1);
    GOOD(push(p.url, "", &docs, SITE_A, 1, &pos, &pushed, &err));
    object_path(&docs.p[0], &path);
    items_put(&docs, "a", "[2]", SITE_A, 2);
    GOOD(push(p.url, text(&pos), &docs, SITE_A, 2, &pos, &pushed, &err));
    place_write(&p, path.p, STR("[9]"));
    items_put(&docs, "a", "[1]", SITE_A, 3);
    GOOD(run(p.url, &docs, SITE_A, 3, &pos, &err));
    pull_all(&p, &got);
    assert_true(items_equal(&docs, &got));
    items_free(&docs);
    items_free(&got);
    buf_release(&pos);
    buf_release(&path);
}

/* What verify found is put back from a whole copy, whatever is in its place, and nothing else
 * changes. */
static void damage_is_repaired(const struct kind *kind)
{
    static const str instead[] = {{"[9]", 3}, {"[2] ", 4}, {"", 0}, {0, 0}};
    struct place p;
    struct items docs = {0}, got = {0};
    struct buf pos = BUF_INIT, path = BUF_INIT, before = BUF_INIT, after = BUF_INIT;
    struct remote_pushed pushed;
    struct kf_err err = KF_ERR_INIT;
    place_new(kind, &p);
    items_put(&docs, "a", "[1]", SITE_A, 1);
    items_put(&docs, "b/c", "[2]", SITE_A, 2);
    GOOD(push(p.url, "", &docs, SITE_A, 2, &pos, &pushed, &err));
    place_read(&p, PORTABLE_MANIFEST, &before);
    object_path(&docs.p[1], &path);
    for (size_t i = 0; i < sizeof(instead) / sizeof(instead[0]); i++) {
        if (instead[i].p)
            place_write(&p, path.p, instead[i]);
        else
            place_remove(&p, path.p);
        expect_bad(&p, 1, "b/c ");
        struct remote *r = connect_to(p.url);
        const struct remote_doc doc = {.doc = {.name = STR("b/c"), .body = STR("[2]")},
                                       .hash = str_of(docs.p[1].hash),
                                       .size = 3};
        GOOD(r->driver->repair(r, &doc, &err));
        r->driver->close(r);
        expect_bad(&p, 2, "");
    }
    place_read(&p, PORTABLE_MANIFEST, &after);
    assert_true(str_eq(buf_view(&before), buf_view(&after)));
    pull_all(&p, &got);
    assert_true(items_equal(&docs, &got));
    items_free(&docs);
    items_free(&got);
    buf_release(&pos);
    buf_release(&path);
    buf_release(&before);
    buf_release(&after);
}

static void damaged_manifests_are_refused(const struct kind *kind)
{
    struct place p;
    struct items docs = {0};
    struct buf pos = BUF_INIT, good = BUF_INIT;
    struct remote_pushed pushed;
    struct kf_err err = KF_ERR_INIT;
    place_new(kind, &p);
    items_put(&docs, "a", "1", SITE_A, 1);
    GOOD(push(p.url, "", &docs, SITE_A, 1, &pos, &pushed, &err));
    place_read(&p, PORTABLE_MANIFEST, &good);
    struct buf none = BUF_INIT;
    for (size_t i = 0; i < good.len; i += 7) {
        good.p[i] ^= 4;
        place_write(&p, PORTABLE_MANIFEST, buf_view(&good));
        expect_pull(&p, &none, "bad_object");
        kf_rc rc = push(p.url, text(&pos), &docs, SITE_A, 2, &none, &pushed, &err);
        assert_true(rc != KF_OK);
        buf_clear(&none);
        good.p[i] ^= 4;
        place_write(&p, PORTABLE_MANIFEST, (str){good.p, i});
        expect_pull(&p, &none, "bad_object");
    }
    place_write(&p, PORTABLE_MANIFEST, STR("<html><body>Sign in</body></html>"));
    expect_pull(&p, &none, "bad_object");
    place_write(&p, PORTABLE_MANIFEST, STR("{\"keepfast\":\"manifest\",\"format\":2}\n"));
    expect_pull(&p, &none, "format_too_new");
    items_free(&docs);
    buf_release(&pos);
    buf_release(&good);
    buf_release(&none);
}

/* R6, T18, T19: a manifest whose hash is right and whose content is not. `lines` stand behind a
 * good head. */
static void write_hostile(const struct place *p, const char *lines)
{
    struct buf out = BUF_INIT;
    struct portable_writer w;
    struct portable_entry head = {.line = PORTABLE_HEAD,
                                  .holds = PORTABLE_STATE,
                                  .site = STR(SITE_B),
                                  .push = 9,
                                  .seq = 9,
                                  .stamp = 9};
    portable_write_begin(&w, &out);
    portable_write(&w, &head);
    buf_c(&out, lines);
    for (const char *c = lines; *c; c++)
        w.lines += *c == '\n';
    portable_write_end(&w);
    place_write(p, PORTABLE_MANIFEST, buf_view(&out));
    buf_release(&out);
}

#define H64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define TAIL \
    ",\"stamp\":\"0000000000000001\",\"site\":\"" SITE_B "\",\"at\":\"2025-11-09T14:23:45.123Z\""
#define LINE(name, size) \
    "{\"doc\":\"" name "\",\"version\":1" TAIL ",\"size\":" size ",\"hash\":\"" H64 "\"}\n"
#define RETIRED(path) "{\"retired\":\"" path "\",\"at\":\"2001-11-09T14:23:45.123Z\"}\n"

static void hostile_manifests_reach_nothing(const struct kind *kind)
{
    static const char *const refused[] = {
        LINE("../../canary", "1"),
        LINE("/etc/passwd", "1"),
        LINE("a//b", "1"),
        LINE("a/..", "1"),
        LINE("b", "1") LINE("a", "1"),
        LINE("a", "1") LINE("a", "1"),
        RETIRED("docs/../../canary"),
        RETIRED("../canary"),
        RETIRED("docs/../../canary/" H64 ".json"),
        RETIRED("docs/a/../../../canary/" H64 ".json"),
        RETIRED("docs/%2E%2E/" H64 ".json"),
        RETIRED("manifest.ndjson"),
        RETIRED("lock"),
    };
    struct place p;
    struct items docs = {0};
    struct buf none = BUF_INIT, pos = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    place_new(kind, &p);
    items_put(&docs, "z", "1", SITE_A, 1);
    GOOD(run(p.url, &docs, SITE_A, 1, &pos, &err));
    const char *canary = NULL;
    if (kind->folder) {
        canary = testing_path(testing_path(p.where, ".."), "canary");
        testing_write(canary, "here", 4);
    }
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        write_hostile(&p, refused[i]);
        expect_pull(&p, &none, "bad_object");
        items_put(&docs, "z", i % 2 ? "1" : "2", SITE_A, (int64_t)i + 2);
        assert_true(run(p.url, &docs, SITE_A, 2, &pos, &err) != KF_OK);
    }
    /* Ten gigabytes are not asked for, and what the size says is all that is read. */
    write_hostile(&p, LINE("a", "10737418240") LINE("b", "9223372036854775807"));
    expect_bad(&p, 0, "a b ");
    if (canary)
        assert_string_equal(testing_read(canary, NULL), "here");
    items_free(&docs);
    buf_release(&none);
    buf_release(&pos);
}

/* What a push replaces stays for an hour and then goes; what is named again stays. */
static void retired_objects_go_after_an_hour(const struct kind *kind)
{
    struct place p;
    struct items docs = {0}, got = {0};
    struct buf pos = BUF_INIT, old_a = BUF_INIT, old_b = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    place_new(kind, &p);
    items_put(&docs, "a", "[1]", SITE_A, 1);
    items_put(&docs, "b", "[1]", SITE_A, 2);
    GOOD(run(p.url, &docs, SITE_A, 1, &pos, &err));
    object_path(&docs.p[0], &old_a);
    object_path(&docs.p[1], &old_b);
    items_put(&docs, "a", "[2]", SITE_A, 3);
    items_put(&docs, "b", NULL, SITE_A, 4);
    GOOD(run(p.url, &docs, SITE_A, 2, &pos, &err));
    testing_env_advance(&world, HOUR - 1);
    items_put(&docs, "c", "1", SITE_A, 5);
    GOOD(run(p.url, &docs, SITE_A, 3, &pos, &err));
    assert_true(place_has(&p, old_a.p) && place_has(&p, old_b.p));
    testing_env_advance(&world, 1);
    items_put(&docs, "b", "[1]", SITE_A, 6); /* back again, in the push that may remove it */
    GOOD(run(p.url, &docs, SITE_A, 4, &pos, &err));
    assert_false(place_has(&p, old_a.p));
    assert_true(place_has(&p, old_b.p));
    testing_env_advance(&world, 2 * HOUR);
    items_put(&docs, "c", "2", SITE_A, 7);
    GOOD(run(p.url, &docs, SITE_A, 5, &pos, &err));
    pull_all(&p, &got);
    assert_true(items_equal(&docs, &got));
    items_free(&docs);
    items_free(&got);
    buf_release(&pos);
    buf_release(&old_a);
    buf_release(&old_b);
}

/* ------------------------------------------------------------------------------------- the past */

struct past_asked {
    struct remote_history h; /* first */
    struct buf text;         /* a line for each */
    char id[8][65];
    size_t count;
};

static kf_rc past_take(struct remote_history *h, const struct remote_version *v,
                       const struct kf_err *why, struct kf_err *err)
{
    struct past_asked *a = (struct past_asked *)h;
    (void)err;
    assert_true(str_eq(v->doc.doc.name, h->name));
    assert_true(a->count < 8 && v->id.len >= 32);
    snprintf(a->id[a->count++], 65, "%.*s", STR_ARGS(v->id));
    buf_printf(&a->text, "%s%s%s %zu %.*s\n", v->current ? "current" : "old",
               v->deleted ? " deleted" : "", why ? why->code : "", v->doc.size,
               STR_ARGS(v->doc.doc.body));
    return KF_OK;
}

static kf_rc past_ask(const char *url, const char *id, size_t max, bool one, struct past_asked *a,
                      bool *more, struct kf_err *err)
{
    struct remote *r = connect_to(url);
    *a = (struct past_asked){
        .h = {.name = STR("a"), .id = str_of(id), .max = max, .take = past_take}};
    kf_rc rc = one ? r->driver->version(r, &a->h, err) : r->driver->versions(r, &a->h, more, err);
    r->driver->close(r);
    return rc;
}

static void past_is(const char *url, const char *id, size_t max, bool one, const char *wanted,
                    bool wanted_more)
{
    struct past_asked a;
    struct kf_err err = KF_ERR_INIT;
    bool more = false;
    GOOD(past_ask(url, id, max, one, &a, &more, &err));
    assert_string_equal(a.text.len ? a.text.p : "", wanted);
    assert_int_equal(more, wanted_more);
    buf_release(&a.text);
}

/* The current version, and for an hour what it replaced. */
static void the_past_of_a_document(const struct kind *kind)
{
    struct place p;
    struct items docs = {0};
    struct buf pos = BUF_INIT, path = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    struct past_asked all, one;
    bool more = false;
    place_new(kind, &p);
    past_is(p.url, "", 10, false, "", false);
    items_put(&docs, "a", "[1]", SITE_A, 1);
    items_put(&docs, "b", "[1]", SITE_A, 2);
    GOOD(run(p.url, &docs, SITE_A, 1, &pos, &err));
    object_path(&docs.p[0], &path);
    testing_env_advance(&world, 1000);
    items_put(&docs, "a", "[22]", SITE_A, 3);
    GOOD(run(p.url, &docs, SITE_A, 2, &pos, &err));
    testing_env_advance(&world, 1000);
    items_put(&docs, "a", NULL, SITE_A, 4);
    GOOD(run(p.url, &docs, SITE_A, 3, &pos, &err));
    GOOD(past_ask(p.url, "", 10, false, &all, &more, &err));
    assert_string_equal(all.text.p, "current deleted 0 \nold 4 \nold 3 \n");
    past_is(p.url, all.id[0], 1, true, "current deleted 0 \n", false);
    past_is(p.url, all.id[1], 1, true, "old 4 [22]\n", false);
    all.id[2][12] = '\0';
    past_is(p.url, all.id[2], 1, true, "old 3 [1]\n", false);
    past_is(p.url, all.id[0], 1, false, "old 4 \n", true);
    past_is(p.url, all.id[1], 1, false, "old 3 \n", false);
    assert_int_equal(past_ask(p.url, "0123456789", 1, true, &one, &more, &err), KF_ABSENT);
    assert_int_equal(past_ask(p.url, "0123456789", 1, false, &one, &more, &err), KF_INVALID);
    assert_int_equal(past_ask(p.url, "", 1, true, &one, &more, &err), KF_ABSENT);
    place_write(&p, path.p, STR("[9]"));
    past_is(p.url, all.id[2], 1, true, "oldbad_object 3 \n", false);
    place_remove(&p, path.p);
    past_is(p.url, "", 10, false, "current deleted 0 \nold 4 \noldbad_object 0 \n", false);
    buf_release(&all.text);
    items_free(&docs);
    buf_release(&pos);
    buf_release(&path);
}

static void probes_leave_nothing(const struct kind *kind)
{
    struct place p;
    struct items docs = {0}, got = {0};
    struct buf pos = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    place_new(kind, &p);
    items_put(&docs, "a", "1", SITE_A, 1);
    GOOD(run(p.url, &docs, SITE_A, 1, &pos, &err));
    struct remote *r = connect_to(p.url);
    GOOD(r->driver->probe(r, &err));
    r->driver->close(r);
    pull_all(&p, &got);
    assert_true(items_equal(&docs, &got));
    if (kind->folder) {
        struct buf names = BUF_INIT;
        assert_int_equal(dir_list(&world.env, p.where, &names, NULL), KF_OK);
        assert_int_equal(names.len, sizeof("docs\0lock\0manifest.ndjson"));
        assert_memory_equal(names.p, "docs\0lock\0manifest.ndjson", names.len);
        buf_release(&names);
    }
    items_free(&docs);
    items_free(&got);
    buf_release(&pos);
}

static void a_stop_ends_it(const struct kind *kind)
{
    struct place p;
    struct items docs = {0};
    struct buf pos = BUF_INIT;
    struct test_set set;
    struct remote_pushed pushed;
    struct kf_err err = KF_ERR_INIT;
    atomic_bool stop = true;
    place_new(kind, &p);
    items_sample(&docs, SITE_A, 1, 10);
    struct remote *r = connect_to(p.url);
    r->stop = &stop;
    set_init(&set, &docs, SITE_A, 1);
    assert_int_equal(r->driver->push(r, STR(""), &set.set, &pos, &pushed, &err), KF_BUSY);
    assert_string_equal(err.code, "stopping");
    r->driver->close(r);
    items_free(&docs);
    buf_release(&pos);
}

/* --------------------------------------------------------------------- several at the same time */

#define PUSHERS 3
#define PUSHES  12
struct pusher {
    const struct place *place;
    char site[PORTABLE_SITE + 1];
    int number;
    int conflicts;
    char failed[300];
};

static void put_of(struct items *docs, const struct pusher *w, int i)
{
    char name[32], body[32];
    snprintf(name, sizeof(name), "of-%d/%d", w->number, i % 5);
    snprintf(body, sizeof(body), "[%d]", i);
    items_put(docs, name, body, w->site, 10 + i);
}

static void *pusher_main(void *arg)
{
    struct pusher *w = arg;
    struct items docs = {0};
    struct buf pos = BUF_INIT;
    place_machine(w->number);
    for (int i = 0; i < PUSHES && !w->failed[0]; i++) {
        put_of(&docs, w, i);
        struct kf_err err = KF_ERR_INIT;
        kf_rc rc = KF_CONFLICT;
        for (int tries = 0; rc != KF_OK && tries < 1000; tries++) {
            rc = run(w->place->url, &docs, w->site, i + 1, &pos, &err);
            w->conflicts += rc == KF_CONFLICT;
            if (rc != KF_OK && rc != KF_CONFLICT && rc != KF_BUSY)
                break;
        }
        if (rc != KF_OK)
            snprintf(w->failed, sizeof(w->failed), "%s: %.200s", err.code, err.detail);
    }
    items_free(&docs);
    buf_release(&pos);
    return NULL;
}

static void many_push_at_the_same_time(const struct kind *kind)
{
    struct place p;
    struct pusher w[PUSHERS];
    pthread_t threads[PUSHERS];
    struct items got = {0};
    place_new(kind, &p);
    /* Files have the time of the machine, and what looks a day old is swept up. */
    atomic_store(&world.wall_ms, (int64_t)time(NULL) * 1000);
    for (int i = 0; i < PUSHERS; i++) {
        w[i] = (struct pusher){.place = &p, .number = i};
        snprintf(w[i].site, sizeof(w[i].site), "%016x", i + 1);
        assert_int_equal(pthread_create(&threads[i], NULL, pusher_main, &w[i]), 0);
    }
    int conflicts = 0;
    for (int i = 0; i < PUSHERS; i++) {
        pthread_join(threads[i], NULL);
        conflicts += w[i].conflicts;
    }
    for (int i = 0; i < PUSHERS; i++)
        if (w[i].failed[0])
            fail_msg("%s: %s", kind->name, w[i].failed);
    pull_all(&p, &got);
    struct items wanted = {0};
    for (int i = 0; i < PUSHERS; i++)
        for (int k = 0; k < PUSHES; k++)
            put_of(&wanted, &w[i], k);
    assert_true(items_equal(&got, &wanted));
    items_free(&wanted);
    print_message("# %s: %d races lost and won again\n", kind->name, conflicts);
    items_free(&got);
}

/* ------------------------------------------------------------------------------- folders alone */

static void check_modes(const char *path)
{
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, S_ISDIR(st.st_mode) ? 0700 : 0600);
}

static void only_the_owner_reads(const struct kind *kind)
{
    struct place p;
    struct items docs = {0};
    struct buf pos = BUF_INIT, path = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    mode_t before = umask(0);
    place_new(kind, &p);
    items_put(&docs, "x/y", "1", SITE_A, 1);
    GOOD(run(p.url, &docs, SITE_A, 1, &pos, &err));
    umask(before);
    object_path(&docs.p[0], &path);
    check_modes(p.where);
    check_modes(testing_path(p.where, "docs"));
    check_modes(testing_path(p.where, "docs/x"));
    check_modes(testing_path(p.where, "docs/x/y"));
    check_modes(testing_path(p.where, path.p));
    check_modes(testing_path(p.where, "manifest.ndjson"));
    check_modes(testing_path(p.where, "lock"));
    items_free(&docs);
    buf_release(&pos);
    buf_release(&path);
}

/* T28: whatever is a link in the place, nothing behind it is read or changed. */
static void no_link_is_followed(const struct kind *kind)
{
    struct place p;
    struct items docs = {0};
    struct buf pos = BUF_INIT, path = BUF_INIT, none = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    place_new(kind, &p);
    items_put(&docs, "a", "[1]", SITE_A, 1);
    items_put(&docs, "b", "[2]", SITE_A, 2);
    GOOD(run(p.url, &docs, SITE_A, 1, &pos, &err));
    const char *outside = testing_dir_in_memory(); /* things are moved there */
    object_path(&docs.p[0], &path);

    /* An object: its bytes would be right, it is bad all the same. */
    testing_write(testing_path(outside, "bytes"), "[1]", 3);
    place_remove(&p, path.p);
    assert_int_equal(symlink(testing_path(outside, "bytes"), testing_path(p.where, path.p)), 0);
    expect_bad(&p, 1, "a ");

    /* A folder on the way. */
    place_remove(&p, path.p);
    assert_int_equal(rmdir(testing_path(p.where, "docs/a")), 0);
    assert_int_equal(symlink(outside, testing_path(p.where, "docs/a")), 0);
    expect_bad(&p, 1, "a ");
    items_put(&docs, "a", "[3]", SITE_A, 3);
    assert_true(push(p.url, text(&pos), &docs, SITE_A, 2, &none, &(struct remote_pushed){0},
                     &err) != KF_OK);
    unlink(testing_path(p.where, "docs/a"));
    GOOD(push(p.url, text(&pos), &docs, SITE_A, 2, &pos, &(struct remote_pushed){0}, &err));

    /* The lock and the manifest. */
    unlink(testing_path(p.where, "lock"));
    assert_int_equal(symlink(testing_path(outside, "made"), testing_path(p.where, "lock")), 0);
    items_put(&docs, "a", "[4]", SITE_A, 4);
    buf_clear(&none);
    assert_true(push(p.url, text(&pos), &docs, SITE_A, 3, &none, &(struct remote_pushed){0},
                     &err) != KF_OK);
    unlink(testing_path(p.where, "lock"));
    assert_int_equal(
        rename(testing_path(p.where, "manifest.ndjson"), testing_path(outside, "manifest")), 0);
    assert_int_equal(
        symlink(testing_path(outside, "manifest"), testing_path(p.where, "manifest.ndjson")), 0);
    struct test_sink t;
    sink_init(&t);
    buf_clear(&none);
    assert_true(pull(p.url, "", false, &t, &none, &err) != KF_OK);
    assert_int_equal(t.got.count, 0);
    assert_string_equal(testing_read(testing_path(outside, "bytes"), NULL), "[1]");
    assert_false(testing_exists(testing_path(outside, "made")));
    struct buf names = BUF_INIT;
    assert_int_equal(dir_list(&world.env, outside, &names, NULL), KF_OK);
    assert_int_equal(names.len, sizeof("bytes\0manifest"));
    buf_release(&names);
    items_free(&docs);
    buf_release(&pos);
    buf_release(&path);
    buf_release(&none);
}

/* A path of which more than the last part is missing looks like a disk that is not mounted. */
static void a_missing_disk_is_not_filled(const struct kind *kind)
{
    struct items docs = {0};
    struct buf pos = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    char url[400];
    const char *dir = testing_dir();
    snprintf(url, sizeof(url), "dir:%s/mnt/usb", dir);
    items_put(&docs, "a", "1", SITE_A, 1);
    assert_int_equal(run(url, &docs, SITE_A, 1, &pos, &err), KF_UNAVAILABLE);
    assert_string_equal(err.code, "remote_failed");
    assert_false(testing_exists(testing_path(dir, "mnt")));
    /* Whether a new store is empty is not known without the folder; a push may make the last part
     * of the path. */
    struct remote *r = NULL;
    int64_t stamp = 0;
    snprintf(url, sizeof(url), "dir:%s/app", dir);
    GOOD(open_place(&remote_dir, url, &r, &err));
    assert_int_equal(r->driver->look(r, &stamp, &err), KF_UNAVAILABLE);
    assert_string_equal(err.code, "remote_failed");
    assert_non_null(strstr(err.detail, "mkdir -m 700"));
    assert_false(testing_exists(testing_path(dir, "app")));
    r->driver->close(r);
    GOOD(run(url, &docs, SITE_A, 1, &pos, &err));
    assert_true(testing_exists(testing_path(dir, "app/manifest.ndjson")));
    items_free(&docs);
    buf_release(&pos);
}

static void leftovers_go(const struct kind *kind)
{
    struct place p;
    struct items docs = {0};
    struct buf pos = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    place_new(kind, &p);
    items_put(&docs, "a", "1", SITE_A, 1);
    GOOD(run(p.url, &docs, SITE_A, 1, &pos, &err));
    testing_write(testing_path(p.where, ".tmp-0123456789abcdef"), "left", 4);
    int64_t now = atomic_load(&world.wall_ms);
    struct timespec times[2] = {{.tv_sec = now / 1000 - 60}, {.tv_sec = now / 1000 - 60}};
    assert_int_equal(utimensat(AT_FDCWD, testing_path(p.where, ".tmp-0123456789abcdef"), times, 0),
                     0);
    items_put(&docs, "a", "2", SITE_A, 2);
    GOOD(run(p.url, &docs, SITE_A, 2, &pos, &err));
    assert_true(testing_exists(testing_path(p.where, ".tmp-0123456789abcdef")));
    testing_env_advance(&world, 25 * (int64_t)HOUR);
    items_put(&docs, "a", "3", SITE_A, 3);
    GOOD(run(p.url, &docs, SITE_A, 3, &pos, &err));
    assert_false(testing_exists(testing_path(p.where, ".tmp-0123456789abcdef")));
    items_free(&docs);
    buf_release(&pos);
}

/* -------------------------------------------------------------------------------- the addresses */

static void addresses(void **state)
{
    (void)state;
    const struct remote_driver *driver = NULL;
    struct kf_err err = KF_ERR_INIT;
    assert_int_equal(remote_driver_of(&world.env, STR(""), STR("dir:/x"), &driver, &err), KF_OK);
    assert_ptr_equal(driver, &remote_dir);
    assert_int_equal(remote_driver_of(&world.env, STR("dir"), STR("dir:/x"), &driver, &err), KF_OK);
    assert_int_equal(remote_driver_of(&world.env, STR("dir"), STR("mem:x"), &driver, &err),
                     KF_CONFIG);
    assert_int_equal(remote_driver_of(&world.env, STR("gopher"), STR("gopher:x"), &driver, &err),
                     KF_CONFIG);
    assert_int_equal(remote_driver_of(&world.env, STR(""), STR("/just/a/path"), &driver, &err),
                     KF_CONFIG);
    assert_non_null(strstr(err.detail, "dir"));
    static const char *const bad[] = {"dir:", "fail:at=x:mem:a", "fail:whatever:mem:a", "fail:at=1",
                                      "fail:code=nonsense:mem:a"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct remote *r = NULL;
        assert_int_equal(remote_driver_of(&world.env, STR(""), str_of(bad[i]), &driver, &err),
                         KF_OK);
        assert_int_equal(open_place(driver, bad[i], &r, &err), KF_CONFIG);
    }
    static const char *const shown[][2] = {
        {"dir:/mnt/a@b?c", "dir:/mnt/a@b?c"},
        {"https://user:pass@host:8/p.git?token=x#y", "https://host:8/p.git"},
        {"https://u:p@ss@host/p", "https://host/p"},
        {"https://host/p@q", "https://host/p@q"},
        {"postgres://u:p@/db", "postgres:///db"},
    };
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        struct buf out = BUF_INIT;
        remote_url_shown(str_of(shown[i][0]), &out);
        assert_string_equal(out.p, shown[i][1]);
        buf_release(&out);
    }
}

/* ----------------------------------------------------------------------------------------- main */

/* Over every kind, over those of objects and a manifest, over folders. */
#define TESTS(X)                                 \
    X(empty_place, all)                          \
    X(what_is_pushed_comes_back, all)            \
    X(two_who_push, all)                         \
    X(older_states_are_seen, all)                \
    X(damaged_objects_are_found, objects)        \
    X(damage_is_not_built_upon, objects)         \
    X(damage_is_repaired, objects)               \
    X(damaged_manifests_are_refused, objects)    \
    X(hostile_manifests_reach_nothing, objects)  \
    X(retired_objects_go_after_an_hour, objects) \
    X(the_past_of_a_document, objects)           \
    X(probes_leave_nothing, all)                 \
    X(a_stop_ends_it, all)                       \
    X(many_push_at_the_same_time, all)           \
    X(only_the_owner_reads, folders)             \
    X(no_link_is_followed, folders)              \
    X(a_missing_disk_is_not_filled, folders)     \
    X(leftovers_go, folders)

static bool all(const struct kind *kind)
{
    return kind != NULL;
}

static bool objects(const struct kind *kind)
{
    return !kind->branch && !kind->sealed;
}

static bool folders(const struct kind *kind)
{
    return kind->folder && !kind->sealed;
}

TESTS(OVER_KINDS)

/* ----------------------------------------------------------------------------------- saboteurs */

TESTING_SABOTEUR(skip_hash_check, "skip-hash-check", damaged_objects_are_found_everywhere)
TESTING_SABOTEUR(list_path_unchecked, "list-path-unchecked",
                 hostile_manifests_reach_nothing_everywhere)

int main(int argc, char **argv)
{
    testing_only(argc, argv);
#define ENTRY(test, which) cmocka_unit_test(test##_everywhere),
    const struct CMUnitTest tests[] = {
        TESTS(ENTRY) cmocka_unit_test(addresses),
        cmocka_unit_test(saboteur_skip_hash_check),
        cmocka_unit_test(saboteur_list_path_unchecked),
    };
    return cmocka_run_group_tests_name("remotes", tests, suite_setup, suite_teardown);
}
