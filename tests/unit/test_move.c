/* Backup, restore, verification and digest through the public calls: a backup is the state of one
 * moment of a store that is being written to, a restore gives it back whole, and damage is found by
 * all four. Hostile archives have test_archive.c, lack of memory tests/crash/oom.c. */
#include "testing.h"
#include "testing_docs.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *dir;

static int setup(void **state)
{
    (void)state;
    testing_guard(90);
    dir = testing_dir_in_memory();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_guard(0);
    return 0;
}

static const char *in_dir(const char *name, int n, const char *tail)
{
    char full[64];
    snprintf(full, sizeof full, "%s-%d%s", name, n, tail);
    return testing_path(dir, full);
}

static kf_store *open_store(const char *path, const char *config)
{
    struct kf_options o = KF_OPTIONS_INIT;
    struct kf_err err = KF_ERR_INIT;
    kf_store *s = NULL;
    o.config = config;
    if (kf_open(path, &o, &s, &err) != KF_OK)
        fail_msg("kf_open: %s", err.detail);
    return s;
}

static void put_doc(kf_store *s, const char *name, const char *body)
{
    assert_int_equal(kf_doc_put(s, name, body, strlen(body), NULL, NULL, NULL), KF_OK);
}

static void must(kf_rc rc, const struct kf_err *err)
{
    if (rc != KF_OK)
        fail_msg("%s", err->detail);
}

/* -------------------------------------------------------------------- one moment of many writes */

enum { WRITERS = 3, DOCS = 8, REST = 400, BACKUPS = 6 };

/* Operation n of a writer is about document n % DOCS: every 13th deletes it, the others write n. */
struct writer {
    kf_store *store;
    int number;
    _Atomic long begun, acknowledged;
    atomic_bool *stop;
    bool failed;
};

static bool deletes(long n)
{
    return n % 13 == 12;
}

static void *write_on(void *arg)
{
    struct writer *w = arg;
    for (long n = 0; !atomic_load(w->stop) && !w->failed; n++) {
        char name[32], body[32];
        snprintf(name, sizeof name, "w%d/%ld", w->number, n % DOCS);
        snprintf(body, sizeof body, "%ld", n);
        atomic_store(&w->begun, n);
        kf_rc rc = deletes(n) ? kf_doc_delete(w->store, name, NULL, NULL, NULL)
                              : kf_doc_put(w->store, name, body, strlen(body), NULL, NULL, NULL);
        w->failed = rc != KF_OK && !(deletes(n) && rc == KF_ABSENT);
        atomic_store(&w->acknowledged, n);
        usleep(500); /* versions that are pinned add up */
    }
    return NULL;
}

/* What document d holds behind operation n: the number, -1 = absent. */
static long wanted(long n, int d)
{
    while (n >= 0 && n % DOCS != d)
        n--;
    return n < 0 || deletes(n) ? -1 : n;
}

/* The last operation of this writer that the store has, -1 = none; -2: a state that never was. */
static long moment_of(kf_store *s, int number, long from, long to)
{
    long held[DOCS];
    for (int d = 0; d < DOCS; d++) {
        struct kf_doc doc = {0};
        char name[32];
        snprintf(name, sizeof name, "w%d/%d", number, d);
        kf_rc rc = kf_doc_get(s, name, &doc, NULL);
        assert_true(rc == KF_OK || rc == KF_ABSENT);
        held[d] = -1;
        if (rc == KF_OK)
            sscanf(doc.body, "%ld", &held[d]);
        kf_doc_release(&doc);
    }
    for (long n = from; n <= to; n++) {
        int d = 0;
        while (d < DOCS && held[d] == wanted(n, d))
            d++;
        if (d == DOCS)
            return n;
    }
    return -2;
}

/* Time for some writes, at the first pieces. */
static bool take_time(void *ctx, uint64_t done, uint64_t total)
{
    int *calls = ctx;
    assert_true(done <= total);
    if ((*calls)++ < 6)
        usleep(3000);
    return true;
}

/* Restores the archive into a store of its own and looks. */
static void is_one_moment(int k, const long from[WRITERS], const long to[WRITERS])
{
    struct kf_err err = KF_ERR_INIT;
    struct kf_verified v = {0};
    struct kf_status status = {0};
    kf_store *s = open_store(in_dir("moment", k, ".db"), NULL);
    must(kf_restore(s, in_dir("moment", k, ".zip"), NULL, &err), &err);
    for (int i = 0; i < WRITERS; i++)
        if (moment_of(s, i, from[i], to[i]) < -1)
            fail_msg("backup %d: writer %d: no state between %ld and %ld", k, i, from[i], to[i]);
    must(kf_verify(s, false, NULL, NULL, &v, &err), &err);
    kf_bytes_free(&v.report);
    must(kf_status(s, &status, &err), &err);
    assert_in_range(status.docs, REST, REST + WRITERS * DOCS);
    must(kf_close(&s, &err), &err);
}

static void a_backup_is_one_moment_of_many_writes(void **state)
{
    static const char config[] =
        "spaces: { default: { docs: [ { match: '**', keep: { versions: 2 } } ] } }\n";
    struct kf_err err = KF_ERR_INIT;
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    atomic_bool stop;
    long from[BACKUPS][WRITERS], to[BACKUPS][WRITERS], meanwhile = 0;
    (void)state;
    testing_write(testing_path(dir, "two.yaml"), config, sizeof config - 1);
    kf_store *s = open_store(testing_path(dir, "busy.db"), testing_path(dir, "two.yaml"));
    for (int i = 0; i < REST; i++) {
        char name[32], body[1024];
        snprintf(name, sizeof name, "rest/%d", i);
        snprintf(body, sizeof body, "\"%0*d\"", 1000, i);
        put_doc(s, name, body);
    }
    atomic_init(&stop, false);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.store = s, .number = i, .stop = &stop};
        assert_int_equal(pthread_create(&threads[i], NULL, write_on, &writers[i]), 0);
    }
    for (int k = 0; k < BACKUPS; k++) {
        int calls = 0;
        usleep(5000);
        for (int i = 0; i < WRITERS; i++)
            from[k][i] = atomic_load(&writers[i].acknowledged);
        must(testing_backup(s, in_dir("moment", k, ".zip"), NULL, take_time, &calls, &err), &err);
        for (int i = 0; i < WRITERS; i++) {
            to[k][i] = atomic_load(&writers[i].begun);
            meanwhile += to[k][i] - from[k][i];
        }
    }
    atomic_store(&stop, true);
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(writers[i].failed);
    }
    must(kf_close(&s, &err), &err);
    print_message("# writes while backups were made: %ld\n", meanwhile);
    assert_true(meanwhile >= 100);
    for (int k = 0; k < BACKUPS; k++)
        is_one_moment(k, from[k], to[k]);
}

/* ------------------------------------------------------------------------- all of it comes back */

static void digest(kf_store *s, char hex[65])
{
    struct kf_err err = KF_ERR_INIT;
    must(kf_digest(s, hex, &err), &err);
}

static void same_versions(kf_store *a, kf_store *b, const char *name)
{
    struct kf_doc_list x = {0}, y = {0};
    struct kf_err err = KF_ERR_INIT;
    must(kf_doc_versions(a, name, 0, 100, &x, &err), &err);
    must(kf_doc_versions(b, name, 0, 100, &y, &err), &err);
    assert_int_equal(x.count, y.count);
    for (size_t i = 0; i < x.count; i++) {
        struct kf_doc p = {0}, q = {0};
        assert_int_equal(x.items[i].version, y.items[i].version);
        assert_int_equal(x.items[i].at_ms, y.items[i].at_ms);
        assert_int_equal(x.items[i].size, y.items[i].size);
        kf_rc rc = kf_doc_get_version(a, name, x.items[i].version, &p, NULL);
        assert_int_equal(kf_doc_get_version(b, name, x.items[i].version, &q, NULL), rc);
        assert_int_equal(p.len, q.len);
        assert_memory_equal(p.body ? p.body : "", q.body ? q.body : "", p.len);
        assert_string_equal(p.etag, q.etag);
        kf_doc_release(&p);
        kf_doc_release(&q);
    }
    kf_doc_list_free(&x);
    kf_doc_list_free(&y);
}

static const char *const odd_names[] = {
    "a",
    "a/b",
    "a/b.json",
    "A",
    "con",
    ".git/config",
    "Za\xc5\xbc\xc3\xb3\xc5\x82\xc4\x87.json",
    "%",
    "a ",
    " a",
    "...",
    "x\x01",
    "a:b",
    "manifest.ndjson",
    "\\",
    "a~1",
    "docs",
    "docs/docs",
    "-rf",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.json",
};
enum { ODD = sizeof odd_names / sizeof *odd_names };

static void fill(kf_store *s)
{
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < ODD; i++) {
            char body[64];
            if (round == 2 && i % 3 == 0) {
                assert_int_equal(kf_doc_delete(s, odd_names[i], NULL, NULL, NULL), KF_OK);
                continue;
            }
            if (round == 3 && i % 2)
                continue;
            snprintf(body, sizeof body, " { \"n\" : %d.50,\r\n\"%d\":-0.0 }\n", i, round);
            put_doc(s, odd_names[i], body);
        }
    }
}

static void versions_and_deletions_come_back(void **state)
{
    struct kf_err err = KF_ERR_INIT;
    struct kf_written written = {0};
    char was[65], is[65];
    (void)state;
    kf_store *a = open_store(testing_path(dir, "all.db"), NULL);
    kf_store *b = open_store(testing_path(dir, "again.db"), NULL);
    fill(a);
    must(kf_backup(a, testing_path(dir, "all.zip"), NULL, &err), &err);
    must(kf_restore(b, testing_path(dir, "all.zip"), NULL, &err), &err);
    digest(a, was);
    digest(b, is);
    assert_string_equal(was, is);
    for (int i = 0; i < ODD; i++)
        same_versions(a, b, odd_names[i]);
    /* Numbers and stamps go on; the backup of the restored store holds the same. */
    put_doc(a, "a", "1");
    must(kf_doc_put(b, "a", "1", 1, NULL, &written, &err), &err);
    assert_int_equal(written.version, 5);
    must(kf_backup(b, testing_path(dir, "again.zip"), NULL, &err), &err);
    must(testing_restore(b, testing_path(dir, "again.zip"), true, NULL, NULL, &err), &err);
    digest(a, was);
    digest(b, is);
    assert_string_equal(was, is);
    kf_close(&a, NULL);
    kf_close(&b, NULL);
}

static void an_empty_store_is_backed_up_too(void **state)
{
    struct kf_err err = KF_ERR_INIT;
    struct kf_status status = {0};
    (void)state;
    kf_store *s = open_store(testing_path(dir, "empty.db"), NULL);
    must(kf_backup(s, testing_path(dir, "empty.zip"), NULL, &err), &err);
    put_doc(s, "a", "1");
    must(testing_restore(s, testing_path(dir, "empty.zip"), true, NULL, NULL, &err), &err);
    must(kf_status(s, &status, &err), &err);
    assert_int_equal(status.docs, 0);
    kf_close(&s, NULL);
}

/* ------------------------------------------------------------------------------------- progress */

struct patience {
    int calls, until; /* the call that says no; 0 = none */
    uint64_t last, total;
};

static bool be_patient(void *ctx, uint64_t done, uint64_t total)
{
    struct patience *p = ctx;
    assert_true(done >= p->last);
    assert_true(total == 0 || done <= total);
    p->last = done;
    p->total = total;
    return ++p->calls != p->until;
}

static void long_work_says_how_far_it_is_and_can_be_ended(void **state)
{
    struct kf_err err = KF_ERR_INIT;
    struct patience p = {0};
    char was[65], is[65];
    (void)state;
    kf_store *s = open_store(testing_path(dir, "long.db"), NULL);
    for (int i = 0; i < 600; i++) {
        char name[32], body[600];
        snprintf(name, sizeof name, "%d", i);
        snprintf(body, sizeof body, "\"%0*d\"", 500, i);
        put_doc(s, name, body);
    }
    digest(s, was);
    const char *archive = testing_path(dir, "long.zip");
    for (int until = 1; until <= 2; until++) {
        p = (struct patience){.until = until};
        assert_int_equal(testing_backup(s, archive, NULL, be_patient, &p, &err), KF_BUSY);
        assert_false(testing_exists(archive));
    }
    p = (struct patience){0};
    must(testing_backup(s, archive, NULL, be_patient, &p, &err), &err);
    assert_true(p.calls >= 2 && p.last == p.total);
    for (int until = 1; until <= 2; until++) {
        p = (struct patience){.until = until};
        assert_int_equal(testing_restore(s, archive, true, be_patient, &p, &err), KF_BUSY);
        digest(s, is);
        assert_string_equal(was, is);
    }
    p = (struct patience){0};
    must(testing_restore(s, archive, true, be_patient, &p, &err), &err);
    assert_true(p.calls >= 2 && p.total == 600);
    struct kf_verified v = {0};
    p = (struct patience){.until = 2};
    assert_int_equal(kf_verify(s, false, be_patient, &p, &v, &err), KF_BUSY);
    assert_null(v.report.p);
    p = (struct patience){0};
    must(kf_verify(s, false, be_patient, &p, &v, &err), &err);
    assert_true(p.calls >= 2 && v.docs == 600 && v.versions == 600);
    kf_bytes_free(&v.report);
    kf_close(&s, NULL);
}

/* -------------------------------------------------------------------- merging what was pending */

enum { PENDING_DOCS = 2000 };

/* An archive of what is pending to a remote: documents, and deletions of others. */
static const char *pending_archive(char ret_digest[65])
{
    struct kf_err err = KF_ERR_INIT;
    const char *to = testing_path(dir, "pending.zip");
    struct kf_remote_options usb = KF_REMOTE_OPTIONS_INIT;
    usb.name = "usb";
    usb.url = "mem:move-pending";
    usb.manual = true;
    kf_store *s = open_store(testing_path(dir, "pending.db"), NULL);
    for (int i = 0; i < PENDING_DOCS; i++) {
        char name[32], body[32];
        snprintf(name, sizeof name, "%d", i);
        snprintf(body, sizeof body, "{\"n\":%d}", i);
        struct kf_write_options o = KF_WRITE_OPTIONS_INIT;
        o.level = KF_LEVEL_MEMORY;
        must(kf_doc_put(s, name, body, strlen(body), &o, NULL, &err), &err);
        if (i % 50 == 0)
            must(kf_doc_delete(s, name, NULL, NULL, &err), &err);
    }
    must(kf_remote_add(s, &usb, &err), &err);
    must(testing_backup(s, to, "usb", NULL, NULL, &err), &err);
    digest(s, ret_digest);
    kf_close(&s, NULL);
    return to;
}

static kf_store *open_with(struct testing_env *t, const char *name)
{
    struct kf_options o = KF_OPTIONS_INIT;
    struct kf_err err = KF_ERR_INIT;
    kf_store *s = NULL;
    o.env = &t->env;
    o.no_background = true;
    must(kf_open(testing_path(dir, name), &o, &s, &err), &err);
    return s;
}

/* At each look so much time has gone that a slice is over. */
static uint64_t time_flies(void *ctx)
{
    struct testing_env *t = ctx;
    return atomic_fetch_add(&t->mono_ns, 60000000);
}

static void what_was_pending_is_merged_by_groups(void **state)
{
    struct kf_err err = KF_ERR_INIT;
    struct testing_env t;
    struct patience p = {0};
    char was[65], is[65];
    (void)state;
    const char *archive = pending_archive(was);
    testing_env_init(&t);
    kf_store *s = open_with(&t, "merged.db");
    put_doc(s, "own", "1");
    uint64_t syncs = t.calls[IO_SYNC];
    must(testing_restore(s, archive, false, be_patient, &p, &err), &err);
    syncs = t.calls[IO_SYNC] - syncs;
    assert_int_equal(p.last, PENDING_DOCS);
    assert_in_range(p.calls, PENDING_DOCS / 256, PENDING_DOCS / 100);
    assert_in_range(syncs, PENDING_DOCS / 256, PENDING_DOCS / 20);
    must(kf_doc_delete(s, "own", NULL, NULL, &err), &err);
    digest(s, is);
    assert_string_equal(was, is);
    kf_close(&s, NULL);

    /* Ended by its caller: what was merged stays, once more does the rest. */
    s = open_with(&t, "ended.db");
    p = (struct patience){.until = 2};
    assert_int_equal(testing_restore(s, archive, false, be_patient, &p, &err), KF_BUSY);
    assert_null(strstr(err.detail, "nothing"));
    struct kf_status status = {0};
    must(kf_status(s, &status, &err), &err);
    assert_in_range(status.docs, 256, 600);
    must(kf_restore(s, archive, NULL, &err), &err);
    digest(s, is);
    assert_string_equal(was, is);
    kf_close(&s, NULL);

    /* Each write that takes long is left to others after its first document. */
    t.env.mono_ns = time_flies;
    s = open_with(&t, "slow.db");
    p = (struct patience){0};
    must(testing_restore(s, archive, false, be_patient, &p, &err), &err);
    assert_int_equal(p.calls, PENDING_DOCS);
    digest(s, is);
    assert_string_equal(was, is);
    kf_close(&s, NULL);
    testing_env_release(&t);
}

static void what_is_there_is_not_written_over(void **state)
{
    struct kf_err err = KF_ERR_INIT;
    size_t len;
    (void)state;
    kf_store *s = open_store(testing_path(dir, "careful.db"), NULL);
    const char *archive = testing_path(dir, "careful.zip");
    put_doc(s, "a", "1");
    testing_write(archive, "mine", 4);
    assert_int_not_equal(kf_backup(s, archive, NULL, &err), KF_OK);
    assert_memory_equal(testing_read(archive, &len), "mine", 4);
    assert_int_not_equal(kf_backup(s, testing_path(dir, "none/x.zip"), NULL, &err), KF_OK);
    put_doc(s, "b", "1");
    assert_int_equal(testing_backup(s, testing_path(dir, "x.zip"), "nobody", NULL, NULL, &err),
                     KF_ABSENT);
    assert_false(testing_exists(testing_path(dir, "x.zip")));
    assert_int_equal(testing_restore(s, testing_path(dir, "none.zip"), true, NULL, NULL, &err),
                     KF_ABSENT);
    kf_close(&s, NULL);
}

/* --------------------------------------------------------------------------------------- damage */

static void damage_is_found_by_all(void **state)
{
    struct testing_docs t = {0};
    struct kf_verified v = {0};
    char hex[65];
    (void)state;
    testing_docs_open(&t, NULL);
    for (int i = 0; i < 5; i++)
        for (int n = 0; n < 3; n++) {
            char name[16], body[16];
            snprintf(name, sizeof name, "d%d", i);
            snprintf(body, sizeof body, "[%d]", n);
            assert_int_equal(testing_put(&t, name, body), KF_OK);
        }
    assert_int_equal(kf_verify(t.store, false, NULL, NULL, &v, &t.err), KF_OK);
    assert_int_equal(v.versions, 15);
    kf_bytes_free(&v.report);
    /* An older version and a current one. */
    testing_sql(&t, "UPDATE kf_doc_version SET body = '[7]' WHERE name = 'd1' AND version = 2");
    testing_sql(&t, "UPDATE kf_doc_version SET body = '[8]' WHERE name = 'd3' AND version = 3");
    testing_docs_reopen(&t);
    assert_int_equal(kf_verify(t.store, false, NULL, NULL, &v, &t.err), KF_DAMAGED);
    assert_int_equal(v.damaged, 2);
    assert_int_equal(v.versions, 13);
    assert_non_null(strstr(v.report.p, "\"d1\" version 2"));
    assert_non_null(strstr(v.report.p, "\"d3\" version 3"));
    assert_null(strstr(v.report.p, "d2"));
    kf_bytes_free(&v.report);
    const char *archive = testing_path(dir, "damaged.zip");
    assert_int_equal(kf_digest(t.store, hex, &t.err), KF_DAMAGED);
    assert_non_null(strstr(t.err.detail, "d3"));
    assert_int_equal(kf_backup(t.store, archive, NULL, &t.err), KF_DAMAGED);
    assert_non_null(strstr(t.err.detail, "d1"));
    assert_false(testing_exists(archive));
    testing_docs_close(&t);
}

/* SQLite finds nothing wrong with a schema of which a bit was flipped. */
static void a_damaged_definition_is_found(void **state)
{
    struct testing_docs t = {0};
    struct kf_verified v = {0};
    (void)state;
    size_t len = 0;
    testing_docs_open(&t, NULL);
    const char *path = t.path;
    assert_int_equal(testing_put(&t, "a", "1"), KF_OK);
    testing_docs_reopen(&t); /* now it is in the file, and not in its log */
    const char *bytes = testing_read(path, &len);
    char *flipped = test_malloc(len), *at;
    size_t found = 0;
    memcpy(flipped, bytes, len);
    /* A page that was split has kept what moved to another one. */
    for (; (at = memmem(flipped, len, "id = 1", 6)) != NULL; found++)
        at[5] ^= 2;
    assert_true(found > 0);
    testing_write(path, flipped, len);
    test_free(flipped);
    testing_docs_reopen(&t);
    assert_int_equal(kf_verify(t.store, false, NULL, NULL, &v, &t.err), KF_DAMAGED);
    assert_non_null(strstr(v.report.p, "the definition of \"kf_state\""));
    kf_bytes_free(&v.report);
    testing_docs_close(&t);
}

/* --------------------------------------------------------------------------- faults of the disk */

/* The nth call of this kind fails, for all n: the file is there whole or not at all, and the store
 * goes on. */
static size_t faults_of_a_backup(kf_store *s, struct testing_env *env, enum io_op op, int errnum)
{
    const char *archive = testing_path(dir, "fault.zip");
    struct kf_err err;
    for (size_t n = 1;; n++) {
        err = (struct kf_err)KF_ERR_INIT;
        testing_env_fault(env, op, n, errnum, false);
        kf_rc rc = kf_backup(s, archive, NULL, &err);
        uint64_t fired = env->fired;
        testing_env_fault(env, op, 0, 0, false);
        if (rc == KF_OK)
            unlink(archive);
        else if (testing_exists(archive))
            fail_msg("call %zu: a backup that failed left a file: %s", n, err.detail);
        if (!fired)
            return n - 1;
        assert_true(rc == KF_OK || rc == KF_IO || rc == KF_FULL || rc == KF_READ_ONLY);
    }
}

static void a_disk_that_fails_leaves_no_backup(void **state)
{
    static const enum io_op ops[] = {IO_CREATE, IO_WRITE, IO_SYNC, IO_RENAME, IO_DIRSYNC};
    struct kf_options o = KF_OPTIONS_INIT;
    struct kf_err err = KF_ERR_INIT;
    struct testing_env env;
    size_t fired = 0;
    (void)state;
    testing_env_init(&env);
    o.env = &env.env;
    o.no_background = true;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        for (int full = 0; full < 2; full++) {
            kf_store *s = NULL;
            must(kf_open(in_dir("fault", (int)i * 2 + full, ".db"), &o, &s, &err), &err);
            fill(s);
            fired += faults_of_a_backup(s, &env, ops[i], full ? ENOSPC : EIO);
            kf_close(&s, NULL);
        }
    }
    print_message("# faults of backups: %zu\n", fired);
    assert_true(fired >= 8);
    testing_env_release(&env);
}

/* ----------------------------------------------------------------------------------------- main */

TESTING_SABOTEUR(backup_unpinned, "backup-unpinned", a_backup_is_one_moment_of_many_writes)

int main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_backup_is_one_moment_of_many_writes),
        TEST(versions_and_deletions_come_back),
        TEST(an_empty_store_is_backed_up_too),
        TEST(long_work_says_how_far_it_is_and_can_be_ended),
        TEST(what_was_pending_is_merged_by_groups),
        TEST(what_is_there_is_not_written_over),
        TEST(damage_is_found_by_all),
        TEST(a_damaged_definition_is_found),
        TEST(a_disk_that_fails_leaves_no_backup),
        cmocka_unit_test(saboteur_backup_unpinned),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
