/* Streams against a model: random appends (some of them twice, some in one group, some refused),
 * attributes, trimming, erasures, forgetting; what is read must be what the model says, from
 * memory, from a window that was loaded again and from the store, and a recount finds what the
 * streams say of themselves. */
#include "testing_pg.h"
#include "testing_streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAMS 5
#define STEPS   1500
#define KEPT    4000

static struct testing_docs t;

/* Small windows and little memory, so that everything happens. */
static const char yaml[] =
    "spaces:\n"
    "  default:\n"
    "    streams:\n"
    "      - { match: \"last/*\", window: 6, keep: { last: 9 } }\n"
    "      - { match: \"age/*\", window: 7, keep: { age: 1m } }\n"
    "      - { match: \"**\", window: 8, rings: { r: { kind: view, last: 3 } } }\n";
static const char *const keys[STREAMS] = {"a", "b/c", "last/a", "age/a", "z"};

struct model {
    struct entry {
        uint64_t n;
        int64_t at_ms;
        char kind[8], id[16], body[64];
    } entries[KEPT];
    size_t count;
    uint64_t last_n;
    bool there;
    int customer;
};
static struct model models[STREAMS];

static int setup(void **state)
{
    *state = NULL;
    memset(models, 0, sizeof models);
    t.stream_bytes = 9000;
    t.in_memory = true;
    testing_docs_open(&t, yaml);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_recount(&t);
    testing_docs_close(&t);
    return 0;
}

/* --------------------------------------------------------------------------------------- the
 * model */

static void model_add(struct model *m, const struct testing_entry *e, int64_t now_ms)
{
    assert_true(m->count < KEPT);
    struct entry *to = &m->entries[m->count++];
    m->there = true;
    to->n = ++m->last_n;
    to->at_ms = e->at_ms ? e->at_ms : now_ms;
    snprintf(to->kind, sizeof to->kind, "%s", e->kind);
    snprintf(to->id, sizeof to->id, "%s", e->id ? e->id : "");
    snprintf(to->body, sizeof to->body, "%s", e->body);
}

static void model_remove(struct model *m, size_t i)
{
    memmove(&m->entries[i], &m->entries[i + 1], (m->count - i - 1) * sizeof m->entries[0]);
    m->count--;
}

static const char *model_text(const struct model *m, size_t from, size_t to, bool more)
{
    static struct buf texts[2];
    static int at;
    struct buf *text = &texts[at = !at];
    buf_clear(text);
    for (size_t i = from; i < to; i++)
        buf_printf(text, "%s%llu:%s", i > from ? " " : "", (unsigned long long)m->entries[i].n,
                   m->entries[i].body);
    buf_c(text, more ? "+" : "");
    buf_byte(text, 0);
    return text->p;
}

/* ----------------------------------------------------------------------------------------
 * checks */

static void check_last(const struct model *m, const char *key, size_t last)
{
    if (!m->there) {
        assert_string_equal(testing_last(&t, key, last), "(not_found)");
        return;
    }
    size_t from = m->count > last ? m->count - last : 0;
    assert_string_equal(testing_last(&t, key, last), model_text(m, from, m->count, from > 0));
}

static void check_pages(const struct model *m, const char *key, uint64_t n, size_t limit)
{
    size_t behind = 0, before = 0;
    if (!m->there)
        return;
    while (behind < m->count && m->entries[behind].n <= n)
        behind++;
    while (before < m->count && m->entries[before].n < n)
        before++;
    size_t end = behind + limit < m->count ? behind + limit : m->count;
    size_t begin = before > limit ? before - limit : 0;
    if (n) {
        assert_string_equal(
            testing_entries(&t, key, (struct kf_entry_query){.after = n, .limit = limit}),
            model_text(m, behind, end, end < m->count));
        assert_string_equal(
            testing_entries(&t, key, (struct kf_entry_query){.before = n, .limit = limit}),
            model_text(m, begin, before, begin > 0));
    } else {
        assert_string_equal(testing_entries(&t, key, (struct kf_entry_query){.limit = limit}),
                            model_text(m, behind, end, end < m->count));
    }
}

/* Of a kind, in a time: the same from memory and from the store. */
static void check_filtered(const struct model *m, const char *key, uint64_t *random)
{
    struct model some = {0};
    struct kf_entry_query q = {.last = 1 + testing_random(random) % 9};
    static struct model found;
    found = some;
    if (!m->there || !m->count)
        return;
    const struct entry *edge = &m->entries[testing_random(random) % m->count];
    if (testing_random(random) % 2)
        q.kind = testing_random(random) % 2 ? "view" : "user";
    if (testing_random(random) % 2)
        q.from_ms = edge->at_ms;
    else
        q.until_ms = edge->at_ms;
    for (size_t i = 0; i < m->count; i++) {
        const struct entry *e = &m->entries[i];
        if ((q.kind && strcmp(q.kind, e->kind) != 0) || e->at_ms < q.from_ms ||
            (q.until_ms && e->at_ms >= q.until_ms))
            continue;
        found.entries[found.count++] = *e;
    }
    size_t from = found.count > q.last ? found.count - q.last : 0;
    assert_string_equal(testing_entries(&t, key, q),
                        model_text(&found, from, found.count, from > 0));
}

static void check(uint64_t *random)
{
    size_t i = testing_random(random) % STREAMS;
    const struct model *m = &models[i];
    check_last(m, keys[i], 1 + testing_random(random) % 12);
    check_pages(m, keys[i], m->last_n ? testing_random(random) % (m->last_n + 3) : 0,
                1 + testing_random(random) % 9);
    check_filtered(m, keys[i], random);
}

static void check_all(void)
{
    for (size_t i = 0; i < STREAMS; i++) {
        check_last(&models[i], keys[i], 8);
        const char *hot = testing_stream(&t, keys[i]);
        streams_forget(t.streams, str_of(keys[i]));
        assert_string_equal(hot, testing_stream(&t, keys[i]));
        check_last(&models[i], keys[i], 8); /* loads */
        assert_string_equal(hot, testing_stream(&t, keys[i]));
        check_last(&models[i], keys[i], 5);
    }
    testing_recount(&t);
}

/* -----------------------------------------------------------------------------------------
 * steps */

static void append(size_t i, uint64_t *random)
{
    static unsigned next_id;
    struct model *m = &models[i];
    struct testing_entry e[12] = {0};
    char ids[12][16], bodies[12][64];
    struct testing_appended done;
    size_t count = 1 + (testing_random(random) % 4 ? 0 : testing_random(random) % 12);
    int64_t now_ms = atomic_load(&t.env.wall_ms);
    for (size_t k = 0; k < count; k++) {
        snprintf(ids[k], sizeof ids[k], "i%u", ++next_id);
        snprintf(bodies[k], sizeof bodies[k], "\"%.*s%llu\"", (int)(testing_random(random) % 40),
                 "........................................",
                 (unsigned long long)testing_random(random) % 1000);
        e[k].id = testing_random(random) % 2 ? ids[k] : NULL;
        e[k].kind = testing_random(random) % 3 ? "user" : "view";
        e[k].body = bodies[k];
        if (testing_random(random) % 5 == 0)
            e[k].at_ms = now_ms - (int64_t)(testing_random(random) % 90000);
        if (testing_random(random) % 7 == 0)
            e[k].attach = testing_random(random) % 2 ? "{\"v\":1}" : "{\"v\":2}";
    }
    assert_int_equal(testing_append_all(&t, keys[i], e, count, &done), KF_OK);
    uint64_t before = m->last_n;
    for (size_t k = 0; k < count; k++) {
        model_add(m, &e[k], now_ms);
        assert_int_equal(done.items[k].n, m->last_n);
    }
    if (i == 2)
        while (m->count > 9)
            model_remove(m, 0);
    assert_int_equal(done.count, m->count);
    if (testing_random(random) % 4 == 0 && e[0].id) { /* again, which changes nothing */
        assert_int_equal(testing_append_all(&t, keys[i], e, 1, &done), KF_OK);
        assert_true(done.items[0].duplicate);
        assert_int_equal(done.items[0].n, before + 1);
        e[0].body = "\"another\"";
        assert_int_equal(testing_append_all(&t, keys[i], e, count, NULL), KF_CONFLICT);
    }
}

static void ended(struct stream_append *a)
{
    uint64_t *n = a->ctx;
    *n = a->write.rc == KF_OK ? a->appended[0].n : 0;
    stream_append_free(a);
}

/* Some in one group, of which some are refused there. */
static void append_group(uint64_t *random)
{
    enum { MANY = 9 };
    struct testing_entry e[MANY] = {0};
    uint64_t got[MANY];
    size_t to[MANY];
    char bodies[MANY][24];
    int64_t now_ms = atomic_load(&t.env.wall_ms);
    struct testing_entry taken = {.id = "taken", .kind = "user", .body = "0"};
    struct testing_appended first;
    assert_int_equal(testing_append_all(&t, keys[0], &taken, 1, &first), KF_OK);
    if (!first.items[0].duplicate)
        model_add(&models[0], &taken, now_ms);
    for (int k = 0; k < MANY; k++) {
        struct kf_entry_new one = KF_ENTRY_NEW_INIT;
        struct stream_append *a = NULL;
        bool bad = testing_random(random) % 4 == 0;
        to[k] = bad ? 0 : testing_random(random) % 2 ? 0 : 1 + testing_random(random) % 4;
        snprintf(bodies[k], sizeof bodies[k], "%d", 100 + k);
        e[k] = (struct testing_entry){
            .id = bad ? "taken" : NULL, .kind = "user", .body = bodies[k]};
        one.id = e[k].id;
        one.kind = e[k].kind;
        one.body = e[k].body;
        one.len = strlen(e[k].body);
        assert_int_equal(
            stream_append_new(t.streams, keys[to[k]], &one, 1, KF_LEVEL_DEFAULT, &a, &t.err),
            KF_OK);
        stream_append_submit(a, ended, &got[k]);
    }
    while (store_lead(t.store))
        ;
    for (int k = 0; k < MANY; k++) {
        struct model *m = &models[to[k]];
        if (e[k].id) {
            assert_int_equal(got[k], 0);
            continue;
        }
        model_add(m, &e[k], now_ms);
        assert_int_equal(got[k], m->last_n);
    }
    for (; models[2].count > 9;)
        model_remove(&models[2], 0);
}

static void patch(size_t i, uint64_t *random)
{
    char text[64];
    struct kf_stream_info info = {0};
    models[i].customer = 1 + (int)(testing_random(random) % 3);
    models[i].there = true;
    snprintf(text, sizeof text, "{\"customer\":\"c%d\"}", models[i].customer);
    assert_int_equal(streams_patch(t.streams, keys[i], text, strlen(text), &info, &t.err), KF_OK);
    assert_string_equal(info.attrs, text);
    kf_stream_info_free(&info);
}

static void retain(void)
{
    int64_t before_ms = atomic_load(&t.env.wall_ms) - 60000;
    struct model *m = &models[3];
    assert_int_equal(streams_retain(t.streams, &t.err), KF_OK);
    for (size_t i = m->count; i > 0; i--)
        if (m->entries[i - 1].at_ms < before_ms)
            model_remove(m, i - 1);
}

static void erase(size_t i)
{
    struct kf_receipt r = {0};
    struct model *m = &models[i];
    kf_rc rc = streams_erase(t.streams, keys[i], &r, &t.err);
    if (m->there) {
        assert_int_equal(rc, KF_OK);
        assert_int_equal(r.entries, m->count);
        assert_false(r.again);
    } else {
        assert_true(rc == KF_ABSENT || r.again);
    }
    kf_receipt_free(&r);
    memset(m, 0, sizeof *m);
}

static void erase_customer(int customer)
{
    struct kf_receipt r = {0};
    char value[8];
    uint64_t streams = 0, entries = 0;
    snprintf(value, sizeof value, "c%d", customer);
    for (size_t i = 0; i < STREAMS; i++) {
        if (models[i].customer != customer)
            continue;
        streams++;
        entries += models[i].count;
        memset(&models[i], 0, sizeof models[i]);
    }
    kf_rc rc = streams_erase_all(t.streams, "customer", value, &r, &t.err);
    if (streams) {
        assert_int_equal(rc, KF_OK);
        assert_int_equal(r.streams, streams);
        assert_int_equal(r.entries, entries);
    } else {
        assert_true(rc == KF_ABSENT || r.again);
    }
    kf_receipt_free(&r);
}

static void run(uint64_t seed)
{
    uint64_t random = seed;
    for (int step = 0; step < STEPS; step++) {
        size_t i = testing_random(&random) % STREAMS;
        switch (testing_random(&random) % 40) {
        case 0: streams_forget_all(t.streams); break;
        case 1: streams_forget(t.streams, str_of(keys[i])); break;
        case 2: retain(); break;
        case 3: patch(i, &random); break;
        case 4: erase(i); break;
        case 5: erase_customer(1 + (int)(testing_random(&random) % 3)); break;
        case 6: testing_docs_reopen(&t); break;
        case 7:
        case 8: append_group(&random); break;
        case 9: streams_memory_limit(t.streams, 3000 + testing_random(&random) % 20000); break;
        default: append(i, &random);
        }
        testing_env_advance(&t.env, (int64_t)(testing_random(&random) % 3000));
        check(&random);
        if (step % 50 == 0)
            check_all();
        for (size_t k = 0; k < STREAMS; k++)
            if (models[k].count > KEPT - 50)
                erase(k);
    }
    check_all();
}

static void everything_is_as_the_model_says(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        run(seed);
        for (size_t i = 0; i < STREAMS; i++)
            erase(i);
        assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 0);
        assert_int_equal(testing_number(&t, TESTING_IDS), 0);
        assert_int_equal(streams_retain(t.streams, &t.err), KF_OK);
        assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_attachment"), 0);
    }
}

TESTING_SABOTEUR(erase_leaves_entries, "erase-leaves-entries", everything_is_as_the_model_says)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_is_as_the_model_says, setup, teardown),
        cmocka_unit_test(saboteur_erase_leaves_entries),
    };
#ifdef RIG_PG
    testing_docs_on_pg();
    testing_pg_new(); /* saboteurs have the same server */
#endif
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("stream_model", tests, NULL, NULL);
}
