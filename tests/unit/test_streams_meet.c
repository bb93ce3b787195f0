/* Several stores that meet at two places, and what their streams hold then.
 *
 * Random histories: three stores append, set and remove attributes, erase, and push and pull at two
 * places in any order; clocks are hours apart, one of them days; pushes are cut at any call, before
 * or after it was carried out; one client id may be used at two stores. When nobody writes any
 * more and everything was exchanged, all have the same digest, and so has a new store that is
 * filled from one of the places; what nobody has erased who had seen it is there. Nothing is
 * pushed or taken any more then.
 *
 * In every third world one of the stores keeps the last few entries alone. It may have less then,
 * but what it has trimmed does not come back to it, and nothing is lost to the others. In all
 * worlds no number of a stream is ever given to another entry.
 *
 * A failure prints its seed: SEED=N runs that history alone. */
#include "remotes_rig.h"

#include "move/backup.h"

#include <stdio.h>
#include <stdlib.h>

#define STORES  3
#define WORLDS  10
#define ROUNDS  22 /* of a world, each with keys of its own */
#define STEPS   24
#define KEYS    2
#define ENTRIES 200
#define TRIMS   1 /* the store that does, in some worlds */
#define KEPT    3
#define NUMBERS 4000 /* given in a store in one round */

struct sent {
    int key, number;
    bool with_id, dead;
};

/* That an entry of a store has had this number. */
struct given {
    int64_t stream, n, stamp;
    char site[STORE_SITE_LEN + 1];
};

static struct given given[STORES][NUMBERS];
static size_t given_count[STORES];
static bool trims; /* of this world */
static struct config_stream keep;
static struct testing_env envs[STORES + 1];
static struct app stores[STORES + 1];
static struct sent sent[ENTRIES];
static int sent_count, world_number, round_number;
static uint64_t seed, began_with;

static int pick(int below)
{
    return (int)(testing_random(&seed) % (unsigned)below);
}

static const char *key_of(int key)
{
    static char text[40];
    snprintf(text, sizeof text, "chat/%d-%d", round_number, key);
    return text;
}

static const char *url_of(int place, bool may_fail)
{
    static char texts[8][80];
    static int at;
    char *text = texts[at++ % 8];
    snprintf(text, 80, "%smem:streams-%d-%c", may_fail ? "fail:name=cut:" : "", world_number,
             'a' + place);
    return text;
}

static void check(kf_rc rc, const struct kf_err *err, const char *what)
{
    if (rc != KF_OK)
        fail_msg("seed %llu: %s: %s: %s", (unsigned long long)began_with, what, err->code,
                 err->detail);
}

static void open_store(int i, bool places)
{
    static const int64_t apart[] = {0, 5 * 3600, -3 * 24 * 3600, 0};
    struct app *a = &stores[i];
    testing_env_init(&envs[i]);
    envs[i].seed = seed + (uint64_t)i * 77 + 1;
    envs[i].wall_ms += apart[i] * 1000;
    app_init(a);
    a->path = testing_path(testing_dir_in_memory(), "app.db");
    a->env = &envs[i].env;
    if (trims && i == TRIMS) {
        keep = (struct config_stream)CONFIG_STREAM_DEFAULT_INIT;
        keep.match = STR("chat/*");
        keep.keep_last = KEPT;
        a->space.streams = &keep;
        a->space.stream_count = 1;
    }
    if (places)
        for (int p = 0; p < 2; p++)
            app_remote(a, p ? "b" : "a", url_of(p, true))->schedule.manual = true;
    else
        app_remote(a, "a", url_of(0, false))->schedule.manual = true;
    app_open(a);
    app_settle(a);
}

/* ---------------------------------------------------------------------------------------- steps */

static void append(int store)
{
    int key = pick(KEYS), count = 1 + pick(3);
    for (int i = 0; i < count && sent_count < ENTRIES; i++) {
        struct kf_err err = KF_ERR_INIT;
        struct kf_entry_new e = KF_ENTRY_NEW_INIT;
        char body[80], id[32];
        struct sent *s = &sent[sent_count];
        *s = (struct sent){.key = key, .number = sent_count, .with_id = pick(4) == 0};
        snprintf(body, sizeof body, pick(5) ? "{\"n\":%d}" : "{\"n\":%d,\n \"x\":[ ]}", s->number);
        snprintf(id, sizeof id, "id-%d", pick(3));
        e.body = body;
        e.len = strlen(body);
        e.kind = pick(2) ? "note" : NULL;
        if (s->with_id)
            e.id = id;
        if (pick(3) == 0) {
            e.attach = "{\"portfolio\":[1,2,3]}";
            e.attach_len = strlen(e.attach);
        }
        kf_rc rc = kf_append(stores[store].store, key_of(key), &e, 1, NULL, NULL, NULL, NULL, &err);
        if (rc == KF_CONFLICT && s->with_id)
            continue; /* another one has the id */
        check(rc, &err, "append");
        sent_count++;
    }
}

static void patch(int store)
{
    struct kf_err err = KF_ERR_INIT;
    char text[80];
    static const char *const names[] = {"customer", "cart", "\xc5\xbc"};
    if (pick(3))
        snprintf(text, sizeof text, "{\"%s\":{\"v\":%d}}", names[pick(3)], pick(5));
    else
        snprintf(text, sizeof text, "{\"%s\":null}", names[pick(3)]);
    check(kf_stream_patch(stores[store].store, key_of(pick(KEYS)), text, strlen(text), NULL, NULL,
                          &err),
          &err, "patch");
}

/* What is seen here is dead from now on. */
static void erase(int store)
{
    struct kf_err err = KF_ERR_INIT;
    struct kf_entry_list list = {0};
    struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
    int key = pick(KEYS);
    q.last = 1000;
    q.limit = 1000;
    kf_rc rc = kf_entries(stores[store].store, key_of(key), &q, &list, NULL);
    for (size_t i = 0; rc == KF_OK && i < list.count; i++)
        for (int k = 0; k < sent_count; k++)
            if (sent[k].key == key &&
                (int)strtol((const char *)list.items[i].body + 5, NULL, 10) == sent[k].number)
                sent[k].dead = true;
    kf_entry_list_free(&list);
    rc = kf_stream_erase(stores[store].store, key_of(key), NULL, &err);
    if (rc != KF_ABSENT)
        check(rc, &err, "erase");
}

static void note_number(int store, struct db_stmt *s)
{
    struct given g = {.stream = db_i64(s, 0), .n = db_i64(s, 1), .stamp = db_i64(s, 2)};
    snprintf(g.site, sizeof g.site, "%.*s", STR_ARGS(db_text(s, 3)));
    for (size_t i = 0; i < given_count[store]; i++) {
        const struct given *k = &given[store][i];
        if (k->stream != g.stream || k->n != g.n)
            continue;
        if (k->stamp != g.stamp || strcmp(k->site, g.site) != 0)
            fail_msg("seed %llu: store %d has given number %lld twice",
                     (unsigned long long)began_with, store, (long long)g.n);
        return;
    }
    assert_true(given_count[store] < NUMBERS);
    given[store][given_count[store]++] = g;
}

/* No number of a stream has gone to another entry; what was erased as a whole is another stream. */
static void check_numbers(int store)
{
    static const char sql[] =
        "SELECT e.stream, e.n, e.stamp, e.site FROM kf_entry e JOIN kf_stream "
        "s ON s.id = e.stream WHERE s.key >= $1 AND s.key < $2";
    char to[40];
    struct db *db;
    struct db_stmt *s;
    bool row = false;
    snprintf(to, sizeof to, "chat/%d.", round_number); /* '.' is behind '-' */
    assert_int_equal(store_read(stores[store].store, &db, NULL), KF_OK);
    assert_int_equal(db_use(db, sql, &s, NULL), KF_OK);
    db_bind_text(s, 1, str_of(key_of(0)));
    db_bind_text(s, 2, str_of(to));
    while (db_step(s, &row, NULL) == KF_OK && row)
        note_number(store, s);
    db_done(s);
    store_read_end(stores[store].store, db);
}

static void exchange(int store, bool may_fail)
{
    struct kf_err err = KF_ERR_INIT;
    struct fail_plan plan = {.at = 0};
    if (may_fail && pick(3) == 0) {
        plan.at = (uint64_t)(1 + pick(12));
        plan.late = pick(2);
    }
    fail_plan_set(STR("cut"), &plan);
    kf_rc rc = app_sync(&stores[store], pick(2) ? "a" : "b", &err);
    if (!plan.at)
        check(rc, &err, "sync");
    fail_plan_set(STR("cut"), &(struct fail_plan){.at = 0});
    check_numbers(store);
}

static void retain(int store)
{
    struct kf_err err = KF_ERR_INIT;
    check(streams_retain(stores[store].streams, &err), &err, "retain");
}

static void pass_time(void)
{
    int64_t ms = pick(100000);
    for (int i = 0; i < STORES; i++)
        testing_env_advance(&envs[i], ms);
}

static void step(void)
{
    int store = pick(STORES), what = pick(20);
    if (what < 7)
        append(store);
    else if (what < 10)
        patch(store);
    else if (what < 11)
        erase(trims && store == TRIMS ? 0 : store); /* what that has trimmed, erase does not see */
    else if (what < 19)
        exchange(store, true);
    else
        pass_time();
    if (trims && pick(6) == 0)
        retain(TRIMS);
}

/* -------------------------------------------------------------------------------------- the end */

static void sync_all(int store)
{
    struct kf_err err = KF_ERR_INIT;
    check(app_sync(&stores[store], "a", &err), &err, "last sync");
    check(app_sync(&stores[store], "b", &err), &err, "last sync");
}

static void digest_of_store(int store, char out[65])
{
    struct kf_err err = KF_ERR_INIT;
    check(kf_digest(stores[store].store, out, &err), &err, "digest");
}

/* What differs, for whoever has to find out why. */
static void show(int store)
{
    struct db *db;
    struct db_stmt *s;
    bool row = false;
    static const char sql[] =
        "SELECT s.key || ' ' || e.n || ' ' || e.stamp || ' ' || e.site || ' ' || e.id || ' ' || "
        "e.body || CASE WHEN e.stream < 0 THEN ' (twin)' ELSE '' END FROM kf_entry e JOIN "
        "kf_stream s ON s.id = abs(e.stream) UNION ALL SELECT key || ' attrs ' || attrs FROM "
        "kf_stream UNION ALL SELECT key || ' erased ' || site || ' ' || stamp FROM kf_erased "
        "ORDER BY 1";
    assert_int_equal(store_read(stores[store].store, &db, NULL), KF_OK);
    assert_int_equal(db_use(db, sql, &s, NULL), KF_OK);
    while (db_step(s, &row, NULL) == KF_OK && row)
        if (str_starts(db_text(s, 0), str_of(key_of(0))) ||
            str_starts(db_text(s, 0), str_of(key_of(1))))
            print_message("store %d: %.*s\n", store, STR_ARGS(db_text(s, 0)));
    db_done(s);
    store_read_end(stores[store].store, db);
}

static bool is_there(struct kf_entry_list *list, int number)
{
    for (size_t i = 0; i < list->count; i++)
        if ((int)strtol((const char *)list->items[i].body + 5, NULL, 10) == number)
            return true;
    return false;
}

static void check_sent(int store)
{
    for (int key = 0; key < KEYS; key++) {
        struct kf_entry_list list = {0};
        struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
        q.last = 1000;
        q.limit = 1000;
        kf_entries(stores[store].store, key_of(key), &q, &list, NULL);
        for (int i = 0; i < sent_count; i++) {
            if (sent[i].key != key || sent[i].with_id)
                continue;
            if (is_there(&list, sent[i].number) == sent[i].dead)
                fail_msg("seed %llu: entry %d of %s is %s", (unsigned long long)began_with,
                         sent[i].number, key_of(key), sent[i].dead ? "there again" : "lost");
        }
        kf_entry_list_free(&list);
    }
}

static void check_verified(int store)
{
    struct kf_verified v = {0};
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_verify(stores[store].store, true, NULL, NULL, &v, &err);
    if (rc != KF_DAMAGED)
        check(rc, &err, "verify");
    if (v.damaged)
        fail_msg("seed %llu: store %d: %.*s", (unsigned long long)began_with, store,
                 (int)v.report.len, (const char *)v.report.p);
    kf_bytes_free(&v.report);
}

static uint64_t manifest_push(int place)
{
    struct buf name = BUF_INIT, text = BUF_INIT;
    buf_c(&name, url_of(place, false) + strlen("mem:"));
    mem_place_get(buf_view(&name), STR(PORTABLE_MANIFEST), &text);
    const char *at = text.len ? strstr(text.p, "\"push\":") : NULL;
    uint64_t push = at ? strtoull(at + 7, NULL, 10) : 0;
    buf_release(&name);
    buf_release(&text);
    return push;
}

/* A store restored from a backup holds the same, and joining again with the places changes
 * nothing. */
static void restore_and_compare(const char *wanted)
{
    struct kf_err err = KF_ERR_INIT;
    char digest[65];
    const char *zip = testing_path(testing_dir_in_memory(), "backup.zip");
    check(kf_backup(stores[0].store, zip, NULL, &err), &err, "backup");
    open_store(STORES, false);
    app_settle(&stores[STORES]);
    struct kf_restore_options o = KF_RESTORE_OPTIONS_INIT;
    o.replace = true;
    check(kf_restore(stores[STORES].store, zip, &o, &err), &err, "restore");
    digest_of_store(STORES, digest);
    if (strcmp(wanted, digest) != 0)
        fail_msg("seed %llu: a restored store has another digest", (unsigned long long)began_with);
    check_verified(STORES);
    check(app_sync(&stores[STORES], "a", &err), &err, "sync after a restore");
    digest_of_store(STORES, digest);
    if (strcmp(wanted, digest) != 0)
        fail_msg("seed %llu: a restored store has another digest after a run",
                 (unsigned long long)began_with);
    assert_int_equal(app_pending(&stores[STORES], "a"), 0);
    check_verified(STORES);
    app_end(&stores[STORES]);
    testing_env_release(&envs[STORES]);
}

/* The store that trims has the last ones, and what it had no more does not come in again. */
static void check_trimmed(void)
{
    retain(TRIMS);
    sync_all(TRIMS);
    check_numbers(TRIMS);
    for (int key = 0; key < KEYS; key++) {
        struct kf_stream_info info = {0};
        if (kf_stream(stores[TRIMS].store, key_of(key), &info, NULL) != KF_OK)
            continue;
        if (info.count > KEPT)
            fail_msg("seed %llu: %llu entries are left", (unsigned long long)began_with,
                     (unsigned long long)info.count);
        kf_stream_info_free(&info);
    }
    check_verified(TRIMS);
}

static void all_agree(bool fresh)
{
    char first[65], other[65];
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < STORES; i++)
            sync_all(i);
    uint64_t pushes = manifest_push(0) + manifest_push(1);
    for (int i = 0; i < STORES; i++)
        sync_all(i);
    if (manifest_push(0) + manifest_push(1) != pushes)
        fail_msg("seed %llu: it does not come to rest", (unsigned long long)began_with);
    digest_of_store(0, first);
    if (trims)
        check_trimmed();
    for (int i = 1; i < STORES; i++) {
        if (trims && i == TRIMS)
            continue;
        digest_of_store(i, other);
        if (strcmp(first, other) != 0)
            show(0), show(i);
        if (strcmp(first, other) != 0)
            fail_msg("seed %llu: store %d has another digest", (unsigned long long)began_with, i);
    }
    check_sent(0);
    if (!fresh)
        return;
    for (int i = 0; i < STORES; i++)
        check_verified(i);
    open_store(STORES, false);
    app_settle(&stores[STORES]);
    digest_of_store(STORES, other);
    if (strcmp(first, other) != 0)
        fail_msg("seed %llu: a new store has another digest", (unsigned long long)began_with);
    assert_int_equal(app_pending(&stores[STORES], "a"), 0);
    check_verified(STORES);
    app_end(&stores[STORES]);
    testing_env_release(&envs[STORES]);
    restore_and_compare(first);
}

static void run_world(uint64_t with)
{
    world_number++;
    trims = with / 1000003 % 3 == 0;
    seed = began_with = with;
    fail_plan_set(STR("cut"), &(struct fail_plan){.at = 0});
    for (int i = 0; i < STORES; i++)
        open_store(i, true);
    for (round_number = 0; round_number < ROUNDS; round_number++) {
        sent_count = 0;
        memset(given_count, 0, sizeof given_count);
        for (int i = 0; i < STEPS; i++)
            step();
        all_agree(round_number % 8 == 7 || round_number == ROUNDS - 1);
    }
    for (int i = 0; i < STORES; i++) {
        app_end(&stores[i]);
        testing_env_release(&envs[i]);
    }
}

static void any_order_ends_alike(void **state)
{
    (void)state;
    const char *only = getenv("SEED");
    if (only) {
        run_world(strtoull(only, NULL, 10));
        return;
    }
    for (uint64_t i = 1; i <= WORLDS; i++)
        run_world(i * 1000003);
    print_message("%d histories in %d worlds\n", WORLDS * ROUNDS, WORLDS);
}

/* What is erased elsewhere of a stream that goes on here goes in groups of a thousand. */
static void a_large_erasure_goes_in_parts(void **state)
{
    (void)state;
    enum { MANY = 2500 };
    static struct kf_entry_new entries[MANY];
    struct kf_err err = KF_ERR_INIT;
    struct kf_stream_info info = {0};
    world_number = 900;
    seed = began_with = 900;
    open_store(0, true);
    open_store(1, true);
    for (int i = 0; i < MANY; i++) {
        entries[i] = (struct kf_entry_new)KF_ENTRY_NEW_INIT;
        entries[i].body = "1";
        entries[i].len = 1;
    }
    check(kf_append(stores[0].store, "a", entries, MANY, NULL, NULL, NULL, NULL, &err), &err, "");
    app_sync_good(&stores[0], "a");
    app_sync_good(&stores[1], "a");
    check(kf_append(stores[1].store, "a", entries, 1, NULL, NULL, NULL, NULL, &err), &err, "");
    check(kf_stream_erase(stores[0].store, "a", NULL, &err), &err, "erase");
    app_sync_good(&stores[0], "a");
    app_sync_good(&stores[1], "a");
    app_sync_good(&stores[0], "a");
    for (int i = 0; i < 2; i++) {
        check(kf_stream(stores[i].store, "a", &info, &err), &err, "what was not seen is there");
        assert_int_equal(info.count, 1);
        kf_stream_info_free(&info);
        assert_int_equal(app_pending(&stores[i], "a"), 0);
        check_verified(i);
    }
    for (int i = 0; i < 2; i++) {
        app_end(&stores[i]);
        testing_env_release(&envs[i]);
    }
}

/* A millisecond goes by whenever somebody looks. */
static uint64_t hurried_ns(void *ctx)
{
    struct testing_env *env = ctx;
    return atomic_fetch_add(&env->mono_ns, 1000000);
}

/* Where entries are taken slowly a file is joined in several groups, and nothing of it is taken
 * twice or forgotten. */
static void a_file_is_joined_in_slices(void **state)
{
    (void)state;
    enum { MANY = 900 };
    static struct kf_entry_new entries[MANY];
    static char ids[MANY][12];
    struct kf_err err = KF_ERR_INIT;
    char first[65], other[65];
    world_number = 901;
    seed = began_with = 901;
    open_store(0, true);
    open_store(1, true);
    for (int i = 0; i < MANY; i++) {
        snprintf(ids[i], sizeof ids[i], "%d", i);
        entries[i] = (struct kf_entry_new)KF_ENTRY_NEW_INIT;
        entries[i].body = entries[i].id = ids[i];
        entries[i].len = strlen(ids[i]);
    }
    check(kf_append(stores[0].store, "a", entries, MANY, NULL, NULL, NULL, NULL, &err), &err, "");
    app_sync_good(&stores[0], "a");
    envs[1].env.mono_ns = hurried_ns;
    app_sync_good(&stores[1], "a");
    digest_of_store(0, first);
    digest_of_store(1, other);
    assert_string_equal(first, other);
    assert_int_equal(app_pending(&stores[1], "a"), 0);
    check_verified(1);
    for (int i = 0; i < 2; i++) {
        app_end(&stores[i]);
        testing_env_release(&envs[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_order_ends_alike),
                                       cmocka_unit_test(a_large_erasure_goes_in_parts),
                                       cmocka_unit_test(a_file_is_joined_in_slices)};
    return cmocka_run_group_tests(tests, remotes_setup, remotes_teardown);
}
