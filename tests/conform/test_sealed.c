/* What becomes of a sealed place in the hands of somebody who may write to it and has no key, and
 * of what stands under another key. The place is `mem`; who tampers uses the kind itself. */
#include "remotes_suite.h"

#include "base/hooks.h"
#include "base/seal.h"
#include "remote/sealed.h"

#include <stdio.h>
#include <stdlib.h>

#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static struct seal_key *key_a, *key_b;
static char url[512];

static int setup(void **state)
{
    if (suite_setup(state) != 0 || setenv("KEY_A", KEY_A, 1) != 0 || setenv("KEY_B", KEY_B, 1) != 0)
        return -1;
    return seal_key_parse(STR(KEY_A), &key_a, NULL) == KF_OK &&
                   seal_key_parse(STR(KEY_B), &key_b, NULL) == KF_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    seal_key_free(key_a);
    seal_key_free(key_b);
    return suite_teardown(state);
}

static void new_place(void)
{
    struct place p;
    for (size_t i = 0; i < kinds_count; i++)
        if (strcmp(kinds[i].name, "sealed-mem") == 0)
            place_new(&kinds[i], &p);
    snprintf(url, sizeof(url), "%s", p.clean);
}

static struct remote *at(const char *address, const char *now, const char *old)
{
    const struct remote_driver *driver = NULL;
    struct remote *r = NULL;
    struct kf_err err = KF_ERR_INIT;
    const struct remote_place place = {
        .url = str_of(address), .key_env = str_of(now), .old_key_env = str_of(old)};
    GOOD(remote_driver_of(&world.env, STR(""), place.url, &driver, &err));
    GOOD(sealed_open(driver, &world.env, &place, &r, &err));
    return r;
}

static struct remote *with(const char *now, const char *old)
{
    return at(url, now, old);
}

/* ---------------------------------------------------------------------- one document at a time */

struct one {
    struct remote_set set; /* first */
    const struct remote_doc *docs;
    size_t at, left_out; /* 1 = the first one turns out to be unusable */
};

static void one_head(const struct remote_set *set, size_t i, struct remote_doc *ret)
{
    *ret = ((const struct one *)set)->docs[i];
    ret->doc.body = (str){0, 0};
}

static kf_rc one_next(struct remote_set *set, struct remote_doc *ret, struct kf_err *err)
{
    struct one *o = (struct one *)set;
    (void)err;
    if (o->at < o->left_out)
        o->at++;
    if (o->at == set->count)
        return KF_ABSENT;
    *ret = o->docs[o->at++];
    return KF_OK;
}

static struct remote_doc doc_of(const char *name, const char *body, int64_t stamp)
{
    static char hex[16][HASH_HEX + 1];
    static int next;
    struct hash hash;
    char *to = hex[next++ % 16];
    hash_of(str_of(body), &hash);
    hash_hex(&hash, to);
    return (struct remote_doc){.doc = {.name = str_of(name),
                                       .site = STR(SITE_A),
                                       .stamp = stamp,
                                       .at_ms = 5,
                                       .version = 1,
                                       .body = body ? str_of(body) : (str){0, 0}},
                               .hash = body ? str_of(to) : STR(""),
                               .size = body ? strlen(body) : 0};
}

/* Pulls from the position, and pushes on top of what is there; without `docs` it only pulls. */
static kf_rc go_on(struct remote *r, str since, const struct remote_doc *docs, size_t count,
                   size_t left_out, struct buf *after, struct kf_err *err)
{
    struct test_sink t;
    struct buf position = BUF_INIT;
    struct remote_pushed pushed;
    struct one o = {.set = {.count = count,
                            .head = one_head,
                            .next = one_next,
                            .site = STR(SITE_A),
                            .seq = 1,
                            .stamp = 100,
                            .now_ms = 6},
                    .docs = docs,
                    .left_out = left_out};
    sink_init(&t);
    kf_rc rc = r->driver->pull(r, since, false, &t.sink, &position, err);
    if (rc == KF_OK && docs)
        rc = r->driver->push(r, buf_view(&position), &o.set, after, &pushed, err);
    else
        buf_str(after, buf_view(&position));
    r->driver->close(r);
    items_free(&t.got);
    buf_release(&position);
    return rc;
}

static kf_rc try_some(struct remote *r, const struct remote_doc *docs, size_t count,
                      size_t left_out, struct kf_err *err)
{
    struct buf after = BUF_INIT;
    kf_rc rc = go_on(r, STR(""), docs, count, left_out, &after, err);
    buf_release(&after);
    return rc;
}

static void put_some(struct remote *r, const struct remote_doc *docs, size_t count, size_t left_out)
{
    struct kf_err err = KF_ERR_INIT;
    GOOD(try_some(r, docs, count, left_out, &err));
}

static void put(const char *name, const char *body, int64_t stamp)
{
    struct remote_doc d = doc_of(name, body, stamp);
    put_some(with("KEY_A", ""), &d, 1, 0);
}

/* As somebody without a key, who knows what is there. */
static void tamper(str name, const char *body, int64_t stamp)
{
    struct remote *r = NULL;
    struct kf_err err = KF_ERR_INIT;
    char copy[1100];
    const struct remote_place place = {.url = str_of(url)};
    snprintf(copy, sizeof(copy), "%.*s", STR_ARGS(name));
    struct remote_doc d = doc_of(copy, body, stamp);
    GOOD(remote_mem.open(&world.env, &place, &r, &err));
    put_some(r, &d, 1, 0);
}

static str sealed_name(const struct seal_key *key, const char *name)
{
    static struct buf out[4];
    static int next;
    struct buf *b = &out[next++ % 4];
    buf_clear(b);
    seal_name(key, str_of(name), b);
    return buf_view(b);
}

/* The body that this key seals for a name. */
static const char *sealed_body(const struct seal_key *key, const char *name, const char *body,
                               int64_t stamp)
{
    static struct buf out;
    struct kf_err err = KF_ERR_INIT;
    const struct seal_doc d = {.name = str_of(name),
                               .site = STR(SITE_A),
                               .version = 1,
                               .stamp = stamp,
                               .at_ms = 5,
                               .body = str_of(body)};
    buf_clear(&out);
    GOOD(seal_body(key, sealed_name(key, name), &d, &out, &err));
    return out.p;
}

struct seen {
    struct test_sink t; /* first */
    int64_t bad_stamp;
    char aside[2200];
    unsigned asides, elsewhere;
};

static kf_rc see_bad(struct remote_sink *sink, const struct remote_doc *doc,
                     const struct kf_err *why, struct kf_err *err)
{
    struct seen *s = (struct seen *)sink;
    size_t at = strlen(s->t.bad_names);
    (void)err;
    s->t.bad++;
    s->bad_stamp = doc->doc.stamp;
    snprintf(s->t.bad_names + at, sizeof(s->t.bad_names) - at, "%.*s ", STR_ARGS(doc->doc.name));
    snprintf(s->t.bad_code, sizeof(s->t.bad_code), "%s", why->code);
    return KF_OK;
}

static kf_rc see_aside(struct remote_sink *sink, str path, const struct kf_err *why,
                       struct kf_err *err)
{
    struct seen *s = (struct seen *)sink;
    (void)err;
    assert_non_null(why);
    s->asides++;
    snprintf(s->aside, sizeof(s->aside), "%.*s", STR_ARGS(path));
    return KF_OK;
}

static kf_rc see_want(struct remote_sink *sink, const struct remote_doc *doc, bool *ret_want,
                      struct kf_err *err)
{
    (void)err;
    ((struct seen *)sink)->elsewhere += doc->elsewhere;
    *ret_want = true;
    return KF_OK;
}

static void see_free(struct seen *s)
{
    items_free(&s->t.got);
}

static kf_rc see(const char *now, const char *old, struct seen *s, struct kf_err *err)
{
    struct buf position = BUF_INIT;
    struct remote *r = with(now, old);
    *s = (struct seen){.aside = ""};
    sink_init(&s->t);
    s->t.sink.want = see_want;
    s->t.sink.bad = see_bad;
    s->t.sink.aside = see_aside;
    kf_rc rc = r->driver->pull(r, STR(""), false, &s->t.sink, &position, err);
    r->driver->close(r);
    buf_release(&position);
    return rc;
}

/* Pulls with the key: so many good ones, and those that are bad. */
static void expect(size_t good, const char *bad, unsigned asides)
{
    struct seen s;
    struct kf_err err = KF_ERR_INIT;
    GOOD(see("KEY_A", "", &s, &err));
    assert_string_equal(s.t.bad_names, bad);
    assert_int_equal(s.t.got.count, good);
    assert_int_equal(s.asides, asides);
    assert_string_equal(s.t.bad_code, *bad ? "bad_object" : "");
    see_free(&s);
}

static void refused(const char *now, const char *old, const char *says)
{
    struct seen s;
    struct kf_err err = KF_ERR_INIT;
    assert_int_equal(see(now, old, &s, &err), KF_CONFIG);
    assert_string_equal(err.code, "key_needed");
    if (!strstr(err.detail, says))
        fail_msg("%s, not %s", err.detail, says);
    see_free(&s);
}

/* --------------------------------------------------------------------------------- tampering */

static void bodies_are_not_exchanged(void **state)
{
    (void)state;
    new_place();
    put("a", "1", 10);
    put("b", "2", 10);
    expect(2, "", 0);
    tamper(sealed_name(key_a, "a"), sealed_body(key_a, "b", "2", 10), 10);
    expect(1, "a ", 0);
}

static void writes_are_not_moved(void **state)
{
    (void)state;
    new_place();
    put("a", "1", 10);
    put("b", "2", 10);
    tamper(sealed_name(key_a, "a"), sealed_body(key_a, "a", "1", 10), 11);
    expect(1, "a ", 0);
    tamper(sealed_name(key_a, "a"), "{}", 10);
    expect(1, "a ", 0);
}

/* A deletion without a key tells nothing of when: its stamp counts for nothing. */
static void only_a_key_deletes(void **state)
{
    (void)state;
    struct seen s;
    struct kf_err err = KF_ERR_INIT;
    new_place();
    put("a", "1", 10);
    put("b", "2", 10);
    tamper(sealed_name(key_a, "a"), NULL, 99);
    GOOD(see("KEY_A", "", &s, &err));
    assert_string_equal(s.t.bad_names, "a ");
    assert_int_equal(s.bad_stamp, 0);
    see_free(&s);
    put("a", NULL, 20);
    GOOD(see("KEY_A", "", &s, &err));
    assert_int_equal(s.t.bad, 0);
    assert_true(items_find(&s.t.got, STR("a"))->deleted);
    see_free(&s);
}

static void what_is_none_is_left_alone(void **state)
{
    (void)state;
    new_place();
    put("a", "1", 10);
    tamper(STR("plain.json"), "1", 10);
    expect(1, "", 1);
    tamper(STR("keepfast-sealed/x"), "1", 10);
    expect(1, "", 2);
    tamper(STR("keepfast-sealed/ca83af2a/aa/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "1", 10);
    expect(1, "", 3);
    tamper(STR("plain.json"), NULL, 11);
    expect(1, "", 2);
}

static void names_of_every_length(void **state)
{
    (void)state;
    char name[1025];
    new_place();
    for (size_t len = 590; len < 1025; len += 62) {
        memset(name, 'n', sizeof(name));
        name[len] = '\0';
        put(name, "1", 10);
    }
    struct seen s;
    struct kf_err err = KF_ERR_INIT;
    GOOD(see("KEY_A", "", &s, &err));
    assert_int_equal(s.t.bad + s.asides, 0);
    assert_true(s.t.got.count > 0);
    see_free(&s);
    name[700] = '\0';
    tamper(sealed_name(key_a, name), sealed_body(key_a, "a", "1", 10), 10);
    GOOD(see("KEY_A", "", &s, &err));
    assert_int_equal(s.t.bad, 1);
    assert_memory_equal(s.t.bad_names, "keepfast-sealed/ca83af2a/long/", 30);
    see_free(&s);
}

/* ------------------------------------------------------------------------------------- repair */

static kf_rc repair(const struct remote_doc *d, const char *hash, size_t size, struct kf_err *err)
{
    struct remote *r = with("KEY_A", "");
    struct remote_doc doc = *d;
    doc.hash = str_of(hash);
    doc.size = size;
    kf_rc rc = r->driver->repair(r, &doc, err);
    r->driver->close(r);
    return rc;
}

/* The same write makes the same bytes, and another one is told apart. */
static void a_damaged_object_is_made_again(void **state)
{
    (void)state;
    struct buf path = BUF_INIT;
    struct hash hash;
    char hex[HASH_HEX + 1];
    struct kf_err err = KF_ERR_INIT;
    new_place();
    put("a", "1", 10);
    const char *body = sealed_body(key_a, "a", "1", 10);
    size_t size = strlen(body);
    hash_of(str_of(body), &hash);
    hash_hex(&hash, hex);
    portable_object(sealed_name(key_a, "a"), str_of(hex), &path);
    assert_int_equal(mem_place_set(str_of(url + 4), buf_view(&path), (str){0, 0}), KF_OK);
    expect(0, "a ", 0);
    struct remote_doc d = doc_of("a", "1", 10), other = doc_of("a", "2", 10);
    assert_int_equal(repair(&other, hex, size, &err), KF_UNAVAILABLE);
    expect(0, "a ", 0);
    GOOD(repair(&d, hex, size, &err));
    expect(1, "", 0);
    buf_release(&path);
}

/* --------------------------------------------------------------------------------- other keys */

static void places_and_keys_that_do_not_fit(void **state)
{
    (void)state;
    new_place();
    put("a", "1", 10);
    refused("", "", "with the key ca83af2a");
    refused("KEY_B", "", "configured is");
    tamper(sealed_name(key_a, "a"), NULL, 11); /* nobody's any more */
    struct seen s;
    struct kf_err err = KF_ERR_INIT;
    GOOD(see("KEY_B", "", &s, &err));
    see_free(&s);
    GOOD(see("", "", &s, &err));
    see_free(&s);
    new_place();
    tamper(STR("a"), "1", 10);
    refused("KEY_A", "", "not encrypted");
}

static void positions_belong_to_keys(void **state)
{
    (void)state;
    assert_true(sealed_position_fits(STR(""), "") && sealed_position_fits(STR(""), "ca83af2a"));
    assert_true(sealed_position_fits(STR("1 2 x"), ""));
    assert_false(sealed_position_fits(STR("1 2 x"), "ca83af2a"));
    assert_true(sealed_position_fits(STR("sealed ca83af2a 1 2"), "ca83af2a"));
    assert_true(sealed_position_fits(STR("sealed ca83af2a+1 2"), "ca83af2a"));
    assert_false(sealed_position_fits(STR("sealed ca83af2a 1 2"), "ca83af2b"));
    assert_false(sealed_position_fits(STR("sealed ca83af2a 1 2"), ""));
    assert_false(sealed_position_fits(STR("sealed ca83af2a"), "ca83af2a"));
}

/* E4: what goes out under the new key goes away under the old one, and nothing else does. */
static void a_new_key_takes_over(void **state)
{
    (void)state;
    struct seen s;
    struct kf_err err = KF_ERR_INIT;
    const struct remote_doc docs[] = {doc_of("a", "1", 10), doc_of("b", "2", 10)};
    new_place();
    put("a", "1", 10);
    put("b", "2", 10);
    put("c", "3", 10);
    GOOD(see("KEY_B", "KEY_A", &s, &err));
    assert_int_equal(s.t.got.count, 3);
    assert_int_equal(s.elsewhere, 3);
    see_free(&s);
    /* of a and b, a cannot be sent: it stays where it was, as c, of which nobody spoke */
    put_some(with("KEY_B", "KEY_A"), docs, 2, 1);
    refused("KEY_B", "", "with the key ca83af2a");
    GOOD(see("KEY_B", "KEY_A", &s, &err));
    assert_int_equal(s.t.got.count, 3);
    assert_int_equal(s.elsewhere, 2);
    assert_int_equal(s.t.bad + s.asides, 0);
    see_free(&s);
    const struct remote_doc rest[] = {doc_of("a", "1", 10), doc_of("b", "2", 10),
                                      doc_of("c", "3", 10)};
    put_some(with("KEY_B", "KEY_A"), rest, 3, 0);
    GOOD(see("KEY_B", "", &s, &err));
    assert_int_equal(s.t.got.count, 3);
    assert_int_equal(s.t.bad + s.asides + s.elsewhere, 0);
    see_free(&s);
    refused("KEY_A", "", "configured is ca83af2a");
    /* who goes back finds the names of the first key removed, and nobody but the change did it */
    GOOD(see("KEY_A", "KEY_B", &s, &err));
    assert_int_equal(s.elsewhere, 3);
    assert_int_equal(s.t.bad + s.asides, 0);
    see_free(&s);
    tamper(sealed_name(key_b, "a"), NULL, 11);
    GOOD(see("KEY_A", "KEY_B", &s, &err));
    assert_string_equal(s.t.bad_names, "a ");
    see_free(&s);
}

/* A store that is filled pulls in one run and pushes in another. */
static void a_later_run_takes_away_what_is_left(void **state)
{
    (void)state;
    struct seen s;
    struct kf_err err = KF_ERR_INIT;
    struct buf first = BUF_INIT, second = BUF_INIT, third = BUF_INIT;
    const struct remote_doc docs[] = {doc_of("a", "1", 10), doc_of("b", "2", 10)};
    new_place();
    put("a", "1", 10);
    put("b", "2", 10);
    GOOD(go_on(with("KEY_B", "KEY_A"), STR(""), NULL, 0, 0, &first, &err));
    assert_true(sealed_position_fits(buf_view(&first), seal_key_id(key_b)));
    /* a cannot be sent yet */
    GOOD(go_on(with("KEY_B", "KEY_A"), buf_view(&first), docs, 2, 1, &second, &err));
    refused("KEY_B", "", "with the key ca83af2a");
    GOOD(go_on(with("KEY_B", "KEY_A"), buf_view(&second), docs, 1, 0, &third, &err));
    GOOD(see("KEY_B", "", &s, &err));
    assert_int_equal(s.t.got.count, 2);
    assert_int_equal(s.t.bad + s.asides + s.elsewhere, 0);
    assert_memory_equal(third.p, "sealed ", 7);
    assert_int_equal(third.p[7 + SEAL_ID], ' ');
    see_free(&s);
    buf_release(&first);
    buf_release(&second);
    buf_release(&third);
}

/* Cut at any call, all of it is under one key or all under the other, and the next run ends it. */
static void a_change_that_is_cut_goes_on(void **state)
{
    (void)state;
    const struct remote_doc docs[] = {doc_of("a", "1", 10), doc_of("b", "2", 10)};
    uint64_t fired = 1, cut = 0;
    for (uint64_t n = 1; fired; n++) {
        struct seen s;
        struct kf_err err = KF_ERR_INIT;
        char plan[32], address[600];
        new_place();
        put("a", "1", 10);
        put("b", "2", 10);
        snprintf(plan, sizeof(plan), "rotation-%d", (int)n);
        snprintf(address, sizeof(address), "fail:name=%s:%s", plan, url);
        fail_plan_set(str_of(plan), &(struct fail_plan){.at = n, .sticky = true});
        kf_rc rc = try_some(at(address, "KEY_B", "KEY_A"), docs, 2, 0, &err);
        fired = fail_fired(str_of(plan));
        cut += rc != KF_OK;
        GOOD(see("KEY_B", "KEY_A", &s, &err));
        assert_int_equal(s.t.got.count, 2);
        assert_int_equal(s.t.bad + s.asides, 0);
        assert_true(s.elsewhere == 0 || (s.elsewhere == 2 && rc != KF_OK));
        see_free(&s);
        put_some(with("KEY_B", "KEY_A"), docs, 2, 0);
        GOOD(see("KEY_B", "", &s, &err));
        assert_int_equal(s.t.got.count, 2);
        see_free(&s);
    }
    assert_true(cut > 5);
}

/* ----------------------------------------------------------------------------------- the past */

struct asked {
    struct remote_history h; /* first */
    char id[4][80], body[4][16], code[4][32];
    bool deleted[4];
    size_t count;
};

static kf_rc take_one(struct remote_history *h, const struct remote_version *v,
                      const struct kf_err *why, struct kf_err *err)
{
    struct asked *a = (struct asked *)h;
    (void)err;
    assert_true(a->count < 4 && str_eq(v->doc.doc.name, h->name));
    snprintf(a->id[a->count], sizeof(a->id[0]), "%.*s", STR_ARGS(v->id));
    snprintf(a->body[a->count], sizeof(a->body[0]), "%.*s", STR_ARGS(v->doc.doc.body));
    snprintf(a->code[a->count], sizeof(a->code[0]), "%s", why ? why->code : "");
    a->deleted[a->count++] = v->deleted;
    return KF_OK;
}

static void ask(struct asked *a, const char *id, const char *now, const char *old)
{
    struct remote *r = with(now, old);
    struct kf_err err = KF_ERR_INIT;
    bool more = true;
    *a = (struct asked){.h = {.name = STR("a"), .id = str_of(id), .max = 4, .take = take_one}};
    if (*id) {
        GOOD(r->driver->version(r, &a->h, &err));
    } else {
        GOOD(r->driver->versions(r, &a->h, &more, &err));
        assert_false(more);
    }
    r->driver->close(r);
}

/* Versions come back as they were, by the key under which they are; forged ones are told. */
static void the_past_is_opened(void **state)
{
    (void)state;
    struct asked list, one;
    const struct remote_doc docs[] = {doc_of("a", "[3]", 12)};
    new_place();
    put("a", "[1]", 10);
    testing_env_advance(&world, 1000);
    put("a", NULL, 11);
    ask(&list, "", "KEY_A", "");
    assert_int_equal(list.count, 2);
    ask(&one, list.id[0], "KEY_A", "");
    assert_true(one.count == 1 && one.deleted[0] && !one.code[0][0]);
    ask(&one, list.id[1], "KEY_A", "");
    assert_int_equal(one.count, 1);
    assert_string_equal(one.body[0], "[1]");
    put_some(with("KEY_B", "KEY_A"), docs, 1, 0);
    ask(&one, list.id[1], "KEY_B", "KEY_A");
    assert_string_equal(one.body[0], "[1]");
    tamper(sealed_name(key_b, "a"), sealed_body(key_b, "a", "[9]", 9), 13);
    ask(&list, "", "KEY_B", "");
    ask(&one, list.id[0], "KEY_B", "");
    assert_string_equal(one.code[0], "bad_object");
    assert_string_equal(one.body[0], "");
}

TESTING_SABOTEUR(seal_no_binding, "seal-no-binding", writes_are_not_moved)

int main(int argc, char **argv)
{
    testing_only(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_not_exchanged),
        cmocka_unit_test(writes_are_not_moved),
        cmocka_unit_test(only_a_key_deletes),
        cmocka_unit_test(what_is_none_is_left_alone),
        cmocka_unit_test(names_of_every_length),
        cmocka_unit_test(a_damaged_object_is_made_again),
        cmocka_unit_test(places_and_keys_that_do_not_fit),
        cmocka_unit_test(positions_belong_to_keys),
        cmocka_unit_test(a_new_key_takes_over),
        cmocka_unit_test(a_later_run_takes_away_what_is_left),
        cmocka_unit_test(a_change_that_is_cut_goes_on),
        cmocka_unit_test(the_past_is_opened),
        cmocka_unit_test(saboteur_seal_no_binding),
    };
    return cmocka_run_group_tests_name("sealed", tests, setup, teardown);
}
