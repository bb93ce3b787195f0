/* Random histories of documents, against a model that knows nothing of tables, caches or groups.
 *
 * A document of the model is its list of versions. After every step the store must agree with it
 * about the touched document and its versions, now and then about everything; at random points
 * memory is emptied or the store opened anew. A few fixed seeds and a fresh one, which is printed;
 * KEEPFAST_SEED runs one alone. */
#include "testing_docs.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DOCS     5
#define MEMBERS  3
#define VERSIONS 400
#define STEPS    600
#define KEEP     6 /* of documents 0 and 1; the others keep 100 */

/* A value is an object of up to MEMBERS numbers, in an order, laid out with blanks or without. */
struct value {
    bool blanks;
    int count;
    struct {
        int name, number;
    } members[MEMBERS];
};
struct version {
    uint64_t number;
    bool deleted;
    struct value value;
    int64_t stamp;
    int64_t seq; /* of what was written here */
    char site[STORE_SITE_LEN + 1];
    const char *kind;
};
struct model_doc {
    struct version versions[VERSIONS];
    int count; /* the last is the current one */
};

static struct testing_docs t;
static struct model_doc model[DOCS];
static uint64_t seed;

enum {
    DID_PUT,
    DID_SAME,
    DID_PATCH,
    DID_DELETE,
    DID_REVERT,
    DID_MATCH,
    DID_MISMATCH,
    DID_ABSENT,
    DID_TAKEN,
    DID_REPLACED,
    DID_LOST,
    DID_MERGE_SAME,
    DID_ADOPT,
    DID_JOIN,
    DID_JOIN_CLASH,
    DID_JOIN_NOTHING, /* the later one has all of it */
    DID_TOLD,         /* what would have been joined, had it not been told */
    DID_KNOW,         /* other bytes of a version that is here */
    DID_ADOPT_VALUE,
    DID_REOPEN,
    DID_END
};
static unsigned long counts[DID_END]; /* what the generator really did */

static int pick(int below)
{
    return (int)(testing_random(&seed) % (unsigned)below);
}

/* ----------------------------------------------------------------------------------- the model */

static void text_of(const struct value *v, char *out, size_t size)
{
    int at = snprintf(out, size, "{");
    for (int i = 0; i < v->count; i++)
        at += snprintf(out + at, size - (size_t)at, "%s%s\"%c\":%d", i ? "," : "",
                       v->blanks ? " " : "", 'a' + v->members[i].name, v->members[i].number);
    snprintf(out + at, size - (size_t)at, "}");
}

static bool same_value(const struct value *a, const struct value *b)
{
    char x[64], y[64];
    text_of(a, x, sizeof x);
    text_of(b, y, sizeof y);
    return strcmp(x, y) == 0;
}

static struct version *current(struct model_doc *d)
{
    return &d->versions[d->count ? d->count - 1 : 0]; /* counts only when there is one */
}

static bool exists(struct model_doc *d)
{
    return d->count && !current(d)->deleted;
}

static void trim(struct model_doc *d, int doc)
{
    int keep = doc < 2 ? KEEP : 100;
    if (d->count > keep) {
        memmove(d->versions, d->versions + (d->count - keep), (size_t)keep * sizeof *d->versions);
        d->count = keep;
    }
    assert_true(d->count < VERSIONS - 2);
}

static void append(int doc, const struct version *v)
{
    struct model_doc *d = &model[doc];
    assert_true(!d->count || v->number > current(d)->number);
    d->versions[d->count++] = *v;
    trim(d, doc);
}

static struct value patched(struct value v, const struct value *patch, unsigned removes)
{
    for (int i = 0; i < patch->count; i++) {
        int at = 0;
        while (at < v.count && v.members[at].name != patch->members[i].name)
            at++;
        bool remove = removes >> i & 1;
        if (remove && at < v.count) {
            memmove(&v.members[at], &v.members[at + 1],
                    (size_t)(v.count - at - 1) * sizeof v.members[0]);
            v.count--;
        } else if (!remove) {
            v.members[at] = patch->members[i];
            v.count += at == v.count;
        }
    }
    v.blanks = v.blanks && v.count;
    return v;
}

/* The number of a member, -1 = it is absent. */
static int number_in(const struct value *v, int name)
{
    for (int i = 0; i < v->count; i++)
        if (v->members[i].name == name)
            return v->members[i].number;
    return -1;
}

static bool equal(const struct value *a, const struct value *b)
{
    for (int name = 0; name < MEMBERS; name++)
        if (number_in(a, name) != number_in(b, name))
            return false;
    return true;
}

static void add_member(struct value *v, int name, int number)
{
    v->members[v->count].name = name;
    v->members[v->count++].number = number;
}

/* Both changes of `base`: in the order of ours, what is new behind it in the order of theirs. */
static struct value joined(const struct value *base, const struct value *ours,
                           const struct value *theirs, bool ours_win, int *clashes)
{
    int now[MEMBERS];
    struct value v = {.blanks = ours->blanks};
    for (int name = 0; name < MEMBERS; name++) {
        int before = number_in(base, name), we = number_in(ours, name);
        int they = number_in(theirs, name);
        bool clash = we != they && we != before && they != before;
        *clashes += clash;
        now[name] = clash ? (ours_win ? we : they) : we == before ? they : we;
    }
    for (int i = 0; i < ours->count; i++)
        if (now[ours->members[i].name] >= 0)
            add_member(&v, ours->members[i].name, now[ours->members[i].name]);
    for (int i = 0; i < theirs->count; i++) {
        int name = theirs->members[i].name;
        if (number_in(ours, name) < 0 && now[name] >= 0)
            add_member(&v, name, now[name]);
    }
    v.blanks = v.blanks && v.count;
    return equal(&v, ours) ? *ours : equal(&v, theirs) ? *theirs : v;
}

/* --------------------------------------------------------------------------------- comparison */

static const char *name_of(int doc)
{
    static const char *const names[DOCS] = {"keep/a", "keep/b", "c", "c/d", "\xc4\x99"};
    return names[doc];
}

static void compare_current(int doc)
{
    struct model_doc *d = &model[doc];
    char body[64];
    if (!exists(d)) {
        assert_int_equal(testing_get(&t, name_of(doc)), KF_ABSENT);
        return;
    }
    text_of(&current(d)->value, body, sizeof body);
    testing_is(&t, name_of(doc), body, current(d)->number);
}

static void compare_versions(int doc)
{
    struct model_doc *d = &model[doc];
    struct kf_doc_list list = {0};
    kf_rc rc = kf_doc_versions(t.store, name_of(doc), 0, 1000, &list, NULL);
    assert_int_equal(rc, d->count ? KF_OK : KF_ABSENT);
    assert_int_equal(list.count, d->count);
    for (int i = 0; i < d->count; i++) {
        const struct version *v = &d->versions[d->count - 1 - i];
        char etag[DOC_ETAG_LEN + 1];
        doc_etag(v->stamp, str_of(v->site), etag);
        assert_int_equal(list.items[i].version, v->number);
        assert_int_equal(list.items[i].deleted, v->deleted);
        assert_string_equal(list.items[i].kind, v->kind);
        assert_string_equal(list.items[i].etag, etag);
        assert_int_equal(list.items[i].current, i == 0);
    }
    kf_doc_list_free(&list);
    if (!d->count)
        return;
    const struct version *v = &d->versions[pick(d->count)];
    struct kf_doc got = {0};
    char body[64];
    rc = kf_doc_get_version(t.store, name_of(doc), v->number, &got, NULL);
    assert_int_equal(rc, v->deleted ? KF_ABSENT : KF_OK);
    text_of(&v->value, body, sizeof body);
    if (rc == KF_OK)
        assert_string_equal(got.body, body);
    kf_doc_release(&got);
}

static void compare_all(void)
{
    struct kf_doc_list list = {0};
    size_t there = 0;
    for (int doc = 0; doc < DOCS; doc++) {
        compare_current(doc);
        compare_versions(doc);
        there += exists(&model[doc]);
    }
    assert_int_equal(kf_doc_list(t.store, "", NULL, 1000, &list, NULL), KF_OK);
    assert_int_equal(list.count, there);
    kf_doc_list_free(&list);
    assert_int_equal(
        testing_number(&t, "SELECT count(*) FROM kf_doc d JOIN kf_journal j ON j.seq = d.seq "
                           "JOIN kf_doc_version v ON v.seq = d.seq AND v.version = d.version"),
        testing_number(&t, "SELECT count(*) FROM kf_journal"));
}

/* --------------------------------------------------------------------------------------- steps */

static struct value random_value(void)
{
    struct value v = {0};
    int first = pick(MEMBERS);
    v.count = pick(MEMBERS) + 1;
    for (int i = 0; i < v.count; i++) {
        v.members[i].name = (first + i) % MEMBERS;
        v.members[i].number = pick(3);
    }
    v.blanks = pick(2);
    return v;
}

/* An ETag condition: none, right or wrong. */
static struct kf_write_options random_match(struct model_doc *d, char etag[DOC_ETAG_LEN + 1],
                                            bool *ret_fits)
{
    struct kf_write_options o = KF_WRITE_OPTIONS_INIT;
    int how = pick(8);
    *ret_fits = true;
    if (how > 2)
        return o;
    const struct version *v = d->count ? &d->versions[how == 0 ? d->count - 1 : pick(d->count)]
                                       : NULL;
    if (how == 2)
        o.if_match = "*";
    else if (v) {
        doc_etag(v->stamp, str_of(v->site), etag);
        o.if_match = etag;
    } else {
        o.if_match = "\"0123456789abcdef0123456789abcdef\"";
    }
    *ret_fits = exists(d) && (how == 2 || (v->stamp == current(d)->stamp &&
                                           strcmp(v->site, current(d)->site) == 0));
    counts[*ret_fits ? DID_MATCH : DID_MISMATCH]++;
    return o;
}

/* The stamp that the store gave, out of its row. */
static void stamp_of_last(struct version *v)
{
    v->stamp = testing_number(&t, "SELECT stamp FROM kf_doc_version ORDER BY seq DESC LIMIT 1");
    v->seq = store_seq(t.store);
    store_site(t.store, v->site);
}

static void expect_written(int doc, struct version *v, bool same)
{
    struct model_doc *d = &model[doc];
    if (same) {
        assert_true(t.written.unchanged);
        assert_int_equal(t.written.version, current(d)->number);
        counts[DID_SAME]++;
        return;
    }
    assert_false(t.written.unchanged);
    assert_int_equal(t.written.created, !exists(d) && !v->deleted);
    v->number = d->count ? current(d)->number + 1 : 1;
    assert_int_equal(t.written.version, v->number);
    stamp_of_last(v);
    for (int i = 0; i < d->count; i++)
        assert_true(v->stamp > d->versions[i].stamp);
    append(doc, v);
}

static void step_write(int doc)
{
    struct model_doc *d = &model[doc];
    struct version v = {0};
    char body[64] = "", etag[DOC_ETAG_LEN + 1];
    bool fits, absent = false;
    struct kf_write_options o = random_match(d, etag, &fits);
    kf_verb verb = (kf_verb)(KF_PUT + pick(4));
    uint64_t number = 0;
    unsigned removes = (unsigned)pick(8);
    v.value = random_value();
    switch (verb) {
    case KF_PUT:
        v.kind = "put";
        text_of(&v.value, body, sizeof body);
        counts[DID_PUT]++;
        break;
    case KF_PATCH: {
        int at = snprintf(body, sizeof body, "{");
        for (int i = 0; i < v.value.count; i++)
            at += removes >> i & 1
                      ? snprintf(body + at, sizeof body - (size_t)at, "%s\"%c\":null", i ? "," : "",
                                 'a' + v.value.members[i].name)
                      : snprintf(body + at, sizeof body - (size_t)at, "%s\"%c\":%d", i ? "," : "",
                                 'a' + v.value.members[i].name, v.value.members[i].number);
        snprintf(body + at, sizeof body - (size_t)at, "}");
        v.kind = "patch";
        absent = !exists(d);
        if (!absent)
            v.value = patched(current(d)->value, &v.value, removes);
        counts[DID_PATCH]++;
        break;
    }
    case KF_DELETE:
        v.kind = "delete";
        v.deleted = true;
        absent = !exists(d);
        counts[DID_DELETE]++;
        break;
    case KF_REVERT: {
        const struct version *old = d->count ? &d->versions[pick(d->count)] : NULL;
        number = old ? old->number : 1;
        v.kind = "revert";
        absent = !old || old->deleted;
        if (!absent)
            v.value = old->value;
        counts[DID_REVERT]++;
        break;
    }
    }
    kf_rc rc = testing_write_doc(&t, verb, name_of(doc), body, number, &o);
    if (!fits) {
        assert_int_equal(rc, KF_CONFLICT);
        assert_int_equal(t.err.version, exists(d) ? current(d)->number : 0);
    } else if (absent) {
        assert_int_equal(rc, KF_ABSENT);
        counts[DID_ABSENT]++;
    } else {
        assert_int_equal(rc, KF_OK);
        expect_written(doc, &v,
                       !v.deleted && exists(d) && same_value(&v.value, &current(d)->value));
    }
}

static void hash_of_version(const struct version *v, char hex[HASH_HEX + 1])
{
    char body[64];
    struct hash h;
    hex[0] = 0;
    if (v->deleted)
        return;
    text_of(&v->value, body, sizeof body);
    hash_of(str_of(body), &h);
    hash_hex(&h, hex);
}

/* (stamp, site, hash): positive when `a` is later. */
static int order(const struct version *a, const struct version *b)
{
    char x[HASH_HEX + 1], y[HASH_HEX + 1];
    if (a->stamp != b->stamp)
        return a->stamp > b->stamp ? 1 : -1;
    int by_site = strcmp(a->site, b->site);
    hash_of_version(a, x);
    hash_of_version(b, y);
    return by_site ? by_site : strcmp(x, y);
}

static bool same_bytes(const struct version *a, const struct version *b)
{
    return a->deleted == b->deleted && (a->deleted || same_value(&a->value, &b->value));
}

/* What comes from elsewhere, and what is known of it. */
struct other {
    struct version version;
    uint64_t number; /* on its site */
    bool with_base, inexact;
    struct value base;
    int64_t told;
};

static bool is_untold(const struct model_doc *d, int64_t told)
{
    char site[STORE_SITE_LEN + 1];
    store_site(t.store, site);
    for (int i = 0; i < d->count; i++) {
        const struct version *v = &d->versions[i];
        if (v->seq > told && strcmp(v->site, site) == 0 && strcmp(v->kind, "merge") != 0)
            return true;
    }
    return false;
}

static bool is_known(const struct model_doc *d, const struct other *o)
{
    for (int i = 0; i < d->count; i++)
        if (d->versions[i].stamp == o->version.stamp &&
            strcmp(d->versions[i].site, o->version.site) == 0 &&
            (o->inexact || same_bytes(&d->versions[i], &o->version)))
            return true;
    return false;
}

static void adopt(struct version *now, const struct version *v)
{
    now->stamp = v->stamp;
    memcpy(now->site, v->site, sizeof now->site);
}

/* The later one as a whole. */
static enum doc_merged model_whole(int doc, const struct other *o, bool later, bool nothing_lost)
{
    struct model_doc *d = &model[doc];
    uint64_t next = current(d)->number + 1;
    struct version v = o->version, again = *current(d);
    if (later) {
        v.kind = "merge";
        v.number = o->number > next ? o->number : next;
        append(doc, &v);
        return nothing_lost ? DOC_TAKEN : DOC_REPLACED;
    }
    v.kind = "loser";
    v.number = next;
    again.kind = "merge";
    again.number = next + 1;
    d->versions[d->count++] = v;
    append(doc, &again);
    return nothing_lost ? DOC_SAME : DOC_LOST;
}

/* A version of both, whose stamp the store has given by now. */
static enum doc_merged model_join(int doc, const struct other *o, bool later,
                                  const struct value *value, int clashes)
{
    struct model_doc *d = &model[doc];
    uint64_t next = current(d)->number + 1;
    struct version v = o->version, both = {.value = *value, .kind = "merge"};
    v.kind = later ? "merge" : "loser";
    v.number = later && o->number > next ? o->number : next;
    both.number = v.number + 1;
    stamp_of_last(&both);
    assert_true(both.stamp > v.stamp && both.stamp > current(d)->stamp);
    d->versions[d->count++] = v;
    append(doc, &both);
    return clashes ? DOC_MERGED_CLASH : DOC_MERGED;
}

static enum doc_merged model_both(int doc, const struct other *o, bool later)
{
    struct model_doc *d = &model[doc];
    const struct version *now = current(d), *v = &o->version;
    int clashes = 0;
    if (v->deleted || now->deleted) {
        const struct version *earlier = later ? now : v;
        return model_whole(doc, o, later, !earlier->deleted && equal(&earlier->value, &o->base));
    }
    struct value value = joined(&o->base, &now->value, &v->value, !later, &clashes);
    bool is_later = equal(&value, later ? &v->value : &now->value);
    if (!is_later && is_untold(d, o->told))
        return model_join(doc, o, later, &value, clashes);
    counts[is_later ? DID_JOIN_NOTHING : DID_TOLD]++;
    return model_whole(doc, o, later, is_later && clashes == 0);
}

static enum doc_merged model_merge(int doc, const struct other *o)
{
    struct model_doc *d = &model[doc];
    struct version *now = current(d);
    if (d->count == 0) {
        struct version v = o->version;
        v.kind = "merge";
        v.number = o->number ? o->number : 1;
        append(doc, &v);
        return DOC_TAKEN;
    }
    bool later = order(&o->version, now) > 0;
    if (same_bytes(&o->version, now)) {
        if (later)
            adopt(now, &o->version);
        counts[DID_ADOPT] += later;
        return DOC_SAME;
    }
    if (is_known(d, o)) {
        counts[DID_KNOW] += o->inexact;
        return DOC_SAME;
    }
    bool values = !o->version.deleted && !now->deleted;
    if (values && o->inexact && equal(&o->version.value, &now->value)) {
        if (later)
            adopt(now, &o->version);
        counts[DID_ADOPT_VALUE] += later;
        return DOC_SAME;
    }
    if (values && o->with_base && equal(&o->version.value, &now->value))
        return model_whole(doc, o, later, true);
    return o->with_base ? model_both(doc, o, later) : model_whole(doc, o, later, false);
}

static struct other random_other(int doc)
{
    struct model_doc *d = &model[doc];
    struct other o = {.version = {.deleted = pick(6) == 0, .value = random_value()},
                      .number = (uint64_t)pick(20),
                      .with_base = pick(3) > 0,
                      .inexact = pick(3) == 0};
    const struct version *some = !d->count ? NULL
                                 : pick(2) ? current(d)
                                           : &d->versions[pick(d->count)];
    o.base = some && !some->deleted && pick(3) ? some->value : random_value();
    if (some && !some->deleted && pick(4) == 0) /* the value of a version, laid out anew */
        o.version.value = some->value;
    o.version.value.blanks = pick(2) && o.version.value.count;
    int64_t seq = store_seq(t.store);
    o.told = pick(2) ? 0 : seq - pick(10);
    o.version.stamp = (atomic_load(&t.env.wall_ms) - 2000 + pick(4) * 1000) << 16;
    snprintf(o.version.site, sizeof o.version.site, "%s",
             pick(2) ? "0000000000000001" : "fffffffffffffffe");
    if (exists(d) && pick(8) == 0) { /* the current value, later */
        o.version.value = current(d)->value;
        o.version.value.blanks = !o.version.value.blanks && o.version.value.count;
        o.version.stamp = current(d)->stamp + 1;
        o.version.deleted = false;
        o.inexact = true;
    } else if (some && pick(6) == 0) { /* a write that is here */
        o.version.stamp = some->stamp;
        memcpy(o.version.site, some->site, sizeof o.version.site);
        o.inexact = true;
    }
    return o;
}

static void step_merge(int doc)
{
    static const int did[] = {
        [DOC_SAME] = DID_MERGE_SAME,   [DOC_TAKEN] = DID_TAKEN, [DOC_LOST] = DID_LOST,
        [DOC_REPLACED] = DID_REPLACED, [DOC_MERGED] = DID_JOIN, [DOC_MERGED_CLASH] = DID_JOIN_CLASH,
    };
    struct other o = random_other(doc);
    char body[64], base[64];
    enum doc_merged merged = DOC_SAME, want;
    text_of(&o.version.value, body, sizeof body);
    text_of(&o.base, base, sizeof base);
    struct doc_import import = {.name = str_of(name_of(doc)),
                                .body = o.version.deleted ? (str){0} : str_of(body),
                                .base = o.with_base ? str_of(base) : (str){0},
                                .told = o.told,
                                .inexact = o.inexact,
                                .site = str_of(o.version.site),
                                .stamp = o.version.stamp,
                                .version = o.number};
    assert_int_equal(testing_merge(&t, &import, &merged), KF_OK);
    want = model_merge(doc, &o);
    assert_int_equal(merged, want);
    counts[did[want]]++;
}

static void run(uint64_t first_seed)
{
    seed = first_seed;
    t.cache_bytes = pick(2) ? 1 << 20 : 900;
    memset(model, 0, sizeof model);
    t.in_memory = true;
    testing_docs_open(
        &t, "spaces: { default: { docs: [ { match: \"keep/*\", keep: { versions: 6 } } ] } }\n");
    for (int step = 0; step < STEPS; step++) {
        int doc = pick(DOCS);
        if (pick(3))
            step_write(doc);
        else
            step_merge(doc);
        if (pick(5) == 0)
            docs_forget_all(t.docs);
        compare_current(doc);
        compare_versions(doc);
        testing_env_advance(&t.env, pick(3) * 500);
        if (pick(40) == 0) {
            testing_docs_reopen(&t);
            counts[DID_REOPEN]++;
            compare_all();
        }
    }
    compare_all();
    testing_docs_close(&t);
}

static void histories_agree_with_the_model(void **state)
{
    (void)state;
    const char *given = getenv("KEEPFAST_SEED");
    if (given) {
        run(strtoull(given, NULL, 10));
        return;
    }
    for (uint64_t s = 1; s <= 4; s++)
        run(s);
    uint64_t fresh = (uint64_t)time(NULL);
    print_message("# fresh seed %llu\n", (unsigned long long)fresh);
    run(fresh);
    for (int i = 0; i < DID_END; i++)
        if (counts[i] < 5)
            fail_msg("situation %d came up %lu times in all", i, counts[i]);
}

int main(void)
{
#ifdef RIG_PG
    testing_docs_on_pg();
#endif
    const struct CMUnitTest tests[] = {cmocka_unit_test(histories_agree_with_the_model)};
    return cmocka_run_group_tests_name("doc_model", tests, NULL, NULL);
}
