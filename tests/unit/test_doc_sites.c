/* Several stores that meet at places and join what they find there, at random.
 *
 * A place holds one version of each document, as a git branch or a folder does. A store pulls what
 * has changed there since they last agreed, with the value of that moment as base, and pushes what
 * it has; now and then another store comes in between, a run ends after its pull, or somebody edits
 * at the place itself. Clocks differ, one by a day. From time to time nobody writes any more, and
 * then a few rounds must leave one value under one ETag everywhere, and the next must change
 * nothing at all: no version that two stores throw at each other for ever.
 *
 * Where each store writes members of its own and all meet at one place, nothing may be lost. */
#include "testing_docs.h"
#include "testing_pg.h"

#include "shape/doc_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SITES   3
#define PLACES  2
#define DOCS    3
#define MEMBERS 4 /* the last is edited at places, in worlds of own members */
#define TEXT    200

struct value {
    int members[MEMBERS]; /* 0 = absent */
};
struct version {
    bool there, deleted;
    char body[TEXT];
    int64_t stamp;
    char site[STORE_SITE_LEN + 1];
    uint64_t number;
};
struct place {
    bool inexact;
    struct version docs[DOCS];
    uint64_t changes;
};

static struct world {
    int places;
    bool own_members; /* nobody writes what another one does */
    struct testing_docs sites[SITES];
    struct place at[PLACES];
    struct version agreed[SITES][PLACES][DOCS];
    int64_t told[SITES][PLACES];
    struct value wanted[DOCS]; /* of own members: what was written last */
    uint64_t merged[DOC_MERGED_CLASH + 1];
    int number; /* the last one written */
} w;
static uint64_t seed;

static int pick(int below)
{
    return (int)(testing_random(&seed) % (unsigned)below);
}

static const char *name_of(int doc)
{
    static const char *const names[DOCS] = {"a", "b/c", "d"};
    return names[doc];
}

/* --------------------------------------------------------------------------------------- values */

static void text_of(const struct value *v, int form, char out[TEXT])
{
    static const char *const before[] = {"", " ", "\n  "}; /* the last is what a host keeps */
    int at = snprintf(out, TEXT, "{"), any = 0;
    for (int i = 0; i < MEMBERS; i++) {
        int m = form == 1 ? MEMBERS - 1 - i : i;
        if (v->members[m])
            at += snprintf(out + at, (size_t)(TEXT - at), "%s%s\"%c\":%d", any++ ? "," : "",
                           before[form], 'a' + m, v->members[m]);
    }
    snprintf(out + at, (size_t)(TEXT - at), "}");
}

static struct value value_of(const char *text)
{
    struct value v = {0};
    for (int m = 0; m < MEMBERS; m++) {
        char name[6];
        snprintf(name, sizeof name, "\"%c\":", 'a' + m);
        const char *at = strstr(text, name);
        if (at)
            v.members[m] = (int)strtol(at + 4, NULL, 10);
    }
    return v;
}

static struct value random_value(void)
{
    struct value v = {0};
    for (int m = 0; m < MEMBERS; m++)
        v.members[m] = pick(3) ? pick(3) + 1 : 0;
    return v;
}

/* ------------------------------------------------------------------------------------- versions */

static bool same_write(const struct version *a, const struct version *b)
{
    return a->there == b->there && a->stamp == b->stamp && strcmp(a->site, b->site) == 0;
}

static bool is_later(const struct version *a, const struct version *b)
{
    return a->stamp != b->stamp ? a->stamp > b->stamp : strcmp(a->site, b->site) > 0;
}

static struct version head_of(int site, int doc)
{
    struct kf_store *store = w.sites[site].store;
    struct kf_doc_list list = {0};
    struct version v = {0};
    if (kf_doc_versions(store, name_of(doc), 0, 1, &list, NULL) != KF_OK)
        return v;
    char hex[17] = "";
    memcpy(hex, list.items[0].etag + 1, 16);
    v.there = true;
    v.deleted = list.items[0].deleted;
    v.number = list.items[0].version;
    v.stamp = strtoll(hex, NULL, 16);
    memcpy(v.site, list.items[0].etag + 17, STORE_SITE_LEN);
    kf_doc_list_free(&list);
    struct kf_doc got = {0};
    assert_int_equal(kf_doc_get(store, name_of(doc), &got, NULL), v.deleted ? KF_ABSENT : KF_OK);
    if (!v.deleted)
        snprintf(v.body, sizeof v.body, "%.*s", (int)got.len, (const char *)got.body);
    kf_doc_release(&got);
    return v;
}

/* ----------------------------------------------------------------------------------------- runs */

static void pull(int site, int place)
{
    for (int doc = 0; doc < DOCS; doc++) {
        const struct version *v = &w.at[place].docs[doc];
        struct version *agreed = &w.agreed[site][place][doc];
        enum doc_merged merged = DOC_SAME;
        if (!v->there || same_write(v, agreed))
            continue;
        struct doc_import import = {
            .name = str_of(name_of(doc)),
            .body = v->deleted ? (str){0} : str_of(v->body),
            .base = agreed->there && !agreed->deleted ? str_of(agreed->body) : (str){0},
            .site = str_of(v->site),
            .stamp = v->stamp,
            .at_ms = 1000,
            .version = v->number,
            .told = w.told[site][place],
            .inexact = w.at[place].inexact,
        };
        if (testing_merge(&w.sites[site], &import, &merged) != KF_OK)
            fail_msg("%s", w.sites[site].err.detail);
        w.merged[merged]++;
        *agreed = *v;
    }
}

static void push(int site, int place)
{
    struct place *p = &w.at[place];
    for (int doc = 0; doc < DOCS; doc++) {
        struct version head = head_of(site, doc);
        if (!head.there || same_write(&head, &p->docs[doc]))
            continue;
        assert_true(!p->docs[doc].there || is_later(&head, &p->docs[doc]));
        if (p->inexact && !head.deleted) {
            struct value v = value_of(head.body);
            text_of(&v, 2, head.body);
        }
        p->docs[doc] = w.agreed[site][place][doc] = head;
        p->changes++;
    }
    w.told[site][place] = store_seq(w.sites[site].store);
}

static void sync_site(int site, int place, int depth)
{
    uint64_t seen;
    int tries = 0;
    do {
        seen = w.at[place].changes;
        struct version before[DOCS];
        memcpy(before, w.agreed[site][place], sizeof before);
        pull(site, place);
        /* It ends here. The base has moved, or, where that may cost members, the next run begins as
         * this one did. */
        if (pick(6) == 0) {
            if (!w.own_members && pick(2))
                memcpy(w.agreed[site][place], before, sizeof before);
            return;
        }
        if (depth < 2 && tries++ == 0 && pick(3) == 0) /* another one comes in between */
            sync_site((site + 1 + pick(SITES - 1)) % SITES, place, depth + 1);
    } while (w.at[place].changes != seen);
    push(site, place);
}

/* --------------------------------------------------------------------------------------- writes */

static void write_here(int site, int doc)
{
    struct testing_docs *t = &w.sites[site];
    char body[TEXT];
    kf_rc rc;
    if (w.own_members) {
        snprintf(body, sizeof body, "{\"%c\":%d}", 'a' + site, ++w.number);
        w.wanted[doc].members[site] = w.number;
        assert_int_equal(testing_write_doc(t, KF_PATCH, name_of(doc), body, 0, NULL), KF_OK);
        return;
    }
    struct value v = random_value();
    int how = pick(10);
    if (how == 0) {
        rc = testing_write_doc(t, KF_DELETE, name_of(doc), NULL, 0, NULL);
    } else if (how < 6) {
        snprintf(body, sizeof body, "{\"%c\":%s}", 'a' + pick(MEMBERS), pick(4) ? "7" : "null");
        rc = testing_write_doc(t, KF_PATCH, name_of(doc), body, 0, NULL);
    } else {
        text_of(&v, pick(3), body);
        rc = testing_put(t, name_of(doc), body);
    }
    assert_true(rc == KF_OK || rc == KF_ABSENT);
}

/* By hand, at the place: later than what it changes, with the clock of somebody. */
static void edit_there(int place, int doc)
{
    struct version *v = &w.at[place].docs[doc];
    if (!v->there || (v->deleted && w.own_members))
        return;
    struct value value = v->deleted ? random_value() : value_of(v->body);
    if (w.own_members)
        value.members[MEMBERS - 1] = w.wanted[doc].members[MEMBERS - 1] = ++w.number;
    else if (pick(3))
        value.members[pick(MEMBERS)] = pick(4);
    v->deleted = !w.own_members && pick(10) == 0;
    v->body[0] = 0;
    if (!v->deleted)
        text_of(&value, pick(3), v->body);
    int64_t now = atomic_load(&w.sites[pick(SITES)].env.wall_ms) << 16;
    v->stamp = now > v->stamp ? now : v->stamp + 1;
    v->number++;
    snprintf(v->site, sizeof v->site, "%016llx", (unsigned long long)testing_random(&seed));
    w.at[place].changes++;
}

/* ----------------------------------------------------------------------------------------- rest */

static uint64_t everything(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < SITES; i++)
        sum += (uint64_t)store_seq(w.sites[i].store);
    for (int p = 0; p < w.places; p++)
        sum += w.at[p].changes;
    return sum;
}

static void sync_all(void)
{
    for (int i = 0; i < SITES; i++)
        for (int p = 0; p < w.places; p++) {
            pull(i, p);
            push(i, p);
        }
}

static void compare_heads(int doc)
{
    struct version first = head_of(0, doc);
    struct value value = value_of(first.body);
    for (int i = 1; i < SITES + w.places; i++) {
        struct version v = i < SITES ? head_of(i, doc) : w.at[i - SITES].docs[doc];
        struct value other = value_of(v.body);
        assert_true(same_write(&first, &v));
        assert_int_equal(first.deleted, v.deleted);
        if (memcmp(&value, &other, sizeof value) != 0)
            fail_msg("%s is %s and %s", name_of(doc), first.body, v.body);
        if (!w.at[0].inexact && !w.at[w.places - 1].inexact)
            assert_string_equal(first.body, v.body);
    }
    if (w.own_members && memcmp(&value, &w.wanted[doc], sizeof value) != 0)
        fail_msg("%s is %s, and something of it is not the last that was written", name_of(doc),
                 first.body);
}

static void come_to_rest(void)
{
    uint64_t before;
    int passes = 0;
    do {
        before = everything();
        sync_all();
        if (++passes > 2 * w.places + 2)
            fail_msg("the stores still write after %d passes", passes);
    } while (everything() != before);
    for (int doc = 0; doc < DOCS; doc++)
        compare_heads(doc);
}

/* --------------------------------------------------------------------------------------- worlds */

static void world_open(int places, unsigned inexact, bool own_members)
{
    static const int64_t skew_ms[SITES] = {0, 3000, (int64_t)86400000};
    memset(&w, 0, sizeof w);
    w.places = places;
    w.own_members = own_members;
    for (int p = 0; p < places; p++)
        w.at[p].inexact = inexact >> p & 1;
    for (int i = 0; i < SITES; i++) {
        w.sites[i].cache_bytes = 1 << 16;
        w.sites[i].in_memory = true;
        w.sites[i].seed = (uint64_t)i + 2;
        testing_docs_open(&w.sites[i], NULL);
        testing_env_advance(&w.sites[i].env, skew_ms[i]);
    }
    /* Own members are own from the first agreement on. */
    for (int doc = 0; own_members && doc < DOCS; doc++)
        assert_int_equal(testing_put(&w.sites[0], name_of(doc), "{}"), KF_OK);
    if (own_members)
        sync_all();
}

static void world_run(int rests, int steps)
{
    for (int r = 0; r < rests; r++) {
        for (int step = 0; step < steps; step++) {
            int site = pick(SITES), place = pick(w.places), doc = pick(DOCS), how = pick(10);
            if (how < 5)
                write_here(site, doc);
            else if (how < 9)
                sync_site(site, place, 0);
            else
                edit_there(place, doc);
            testing_env_advance(&w.sites[pick(SITES)].env, pick(2000));
        }
        come_to_rest();
    }
}

static void world_close(void)
{
    for (int i = 0; i < SITES; i++)
        testing_docs_close(&w.sites[i]);
}

static void begin(uint64_t fixed)
{
    const char *given = getenv("KEEPFAST_SEED");
    seed = given ? strtoull(given, NULL, 10) : fixed;
    if (!given && !fixed) {
        seed = (uint64_t)time(NULL);
        print_message("# fresh seed %llu\n", (unsigned long long)seed);
    }
}

/* ---------------------------------------------------------------------------------------- tests */

static void own_members_are_never_lost(void **state)
{
    (void)state;
    for (unsigned inexact = 0; inexact < 2; inexact++) {
        begin(inexact ? 0 : 11);
        world_open(1, inexact, true);
        world_run(40, 30);
        assert_true(w.merged[DOC_MERGED] > 100);
        assert_int_equal(w.merged[DOC_LOST] + w.merged[DOC_REPLACED] + w.merged[DOC_MERGED_CLASH],
                         0);
        world_close();
    }
}

static void stores_that_meet_at_one_place_agree(void **state)
{
    (void)state;
    for (unsigned inexact = 0; inexact < 2; inexact++) {
        begin(21 + inexact);
        world_open(1, inexact, false);
        world_run(40, 30);
        for (int i = 0; i <= DOC_MERGED_CLASH; i++)
            if (w.merged[i] < 5)
                fail_msg("outcome %d came up %d times", i, (int)w.merged[i]);
        world_close();
    }
}

static void stores_that_meet_at_two_places_agree(void **state)
{
    static const uint64_t seeds[] = {33, 36, 40, 0};
    (void)state;
    for (unsigned inexact = 0; inexact < 4; inexact++) {
        begin(seeds[inexact]);
        world_open(2, inexact, false);
        world_run(60, 25);
        assert_true(w.merged[DOC_MERGED] > 5 && w.merged[DOC_MERGED_CLASH] > 5);
        world_close();
    }
}

#ifdef KF_TEST_HOOKS
TESTING_SABOTEUR(merge_without_base, "merge-without-base", own_members_are_never_lost)
TESTING_SABOTEUR(merged_not_later, "merged-not-later", stores_that_meet_at_one_place_agree)
TESTING_SABOTEUR(join_for_ever, "join-for-ever", stores_that_meet_at_two_places_agree)
#endif

int main(int argc, char **argv)
{
    testing_only(argc, argv);
#ifdef RIG_PG
    testing_docs_on_pg();
    testing_pg_new(); /* saboteurs have the same server */
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_members_are_never_lost),
        cmocka_unit_test(stores_that_meet_at_one_place_agree),
        cmocka_unit_test(stores_that_meet_at_two_places_agree),
#ifdef KF_TEST_HOOKS
        cmocka_unit_test(saboteur_merge_without_base),
        cmocka_unit_test(saboteur_merged_not_later),
        cmocka_unit_test(saboteur_join_for_ever),
#endif
    };
    return cmocka_run_group_tests_name("doc_sites", tests, NULL, NULL);
}
