/* Streams in archives: what a backup holds of them, and what a restore makes of it. */
#include "remotes_rig.h"

#include "move/backup.h"

#include <stdio.h>

static struct app a, b;
static const char *zip;
static struct config_stream line;

static void configure(struct app *app)
{
    app_init(app);
    line = (struct config_stream)CONFIG_STREAM_DEFAULT_INIT;
    line.match = STR("last/*");
    line.keep_last = 3;
    app->space.streams = &line;
    app->space.stream_count = 1;
}

static int setup(void **state)
{
    (void)state;
    testing_guard(60);
    zip = testing_path(testing_dir(), "a.zip");
    configure(&a);
    configure(&b);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    app_end(&a);
    app_end(&b);
    mem_forget();
    testing_guard(0);
    return 0;
}

static void good(kf_rc rc, const struct kf_err *err)
{
    if (rc != KF_OK)
        fail_msg("%s: %s", err->code, err->detail);
}

/* Many in one append, ids ID-1 and so on (NULL: none), each of `len` bytes of noise (0: its
 * number). */
static void append_batch(struct app *app, const char *key, const char *id, int first, int count,
                         size_t len)
{
    enum { BATCH_MAX = 500, LEN_MAX = 2048 };
    static struct kf_entry_new e[BATCH_MAX];
    static char ids[BATCH_MAX][32], bodies[BATCH_MAX][LEN_MAX];
    static uint64_t seed = 7;
    struct kf_err err = KF_ERR_INIT;
    assert_true(count <= BATCH_MAX && len <= LEN_MAX);
    for (int i = 0; i < count; i++) {
        char *body = bodies[i];
        snprintf(ids[i], sizeof ids[i], "%s-%d", id ? id : "", first + i);
        snprintf(body, LEN_MAX, "{\"n\":%d}", first + i);
        for (size_t k = 0; k < len; k++)
            body[k] = k == 0 || k + 2 == len ? '"' : (char)('a' + testing_random(&seed) % 26);
        if (len)
            body[len - 1] = '\0';
        e[i] = (struct kf_entry_new)KF_ENTRY_NEW_INIT;
        e[i].id = id ? ids[i] : NULL;
        e[i].kind = "user";
        e[i].body = body;
        e[i].len = strlen(body);
    }
    testing_env_advance(&world, 1);
    good(kf_append(app->store, key, e, (size_t)count, NULL, NULL, NULL, NULL, &err), &err);
}

/* Its number; 0 when it was there already. */
static uint64_t append(struct app *app, const char *key, const char *id, const char *body,
                       const char *attach)
{
    struct kf_err err = KF_ERR_INIT;
    struct kf_entry_new e = KF_ENTRY_NEW_INIT;
    struct kf_appended appended = {0};
    e.id = id;
    e.kind = "user";
    e.body = body;
    e.len = strlen(body);
    e.attach = attach;
    e.attach_len = attach ? strlen(attach) : 0;
    testing_env_advance(&world, 1);
    good(kf_append(app->store, key, &e, 1, NULL, &appended, NULL, NULL, &err), &err);
    return appended.duplicate ? 0 : appended.n;
}

static void append_many(struct app *app, const char *key, int count)
{
    for (int i = 1; i <= count; i++)
        append_batch(app, key, NULL, i, 1, 0);
}

static void patch(struct app *app, const char *key, const char *text)
{
    struct kf_err err = KF_ERR_INIT;
    good(kf_stream_patch(app->store, key, text, strlen(text), NULL, NULL, &err), &err);
}

static void erase(struct app *app, const char *key)
{
    struct kf_err err = KF_ERR_INIT;
    good(kf_stream_erase(app->store, key, NULL, &err), &err);
}

/* "1:body 2:body" of the newest; the body alone where there is no number to be told. */
static const char *entries_of(struct app *app, const char *key)
{
    static char text[64000];
    struct kf_entry_list list = {0};
    struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
    struct kf_err err = KF_ERR_INIT;
    size_t at = 0;
    q.last = q.limit = 20;
    text[0] = '\0';
    kf_rc rc = kf_entries(app->store, key, &q, &list, &err);
    if (rc != KF_OK)
        return err.code;
    for (size_t i = 0; i < list.count; i++) {
        const struct kf_entry *e = &list.items[i];
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%llu:%.*s%s%.*s", i ? " " : "",
                               (unsigned long long)e->n, (int)e->len, (const char *)e->body,
                               e->attach ? "+" : "", (int)e->attach_len,
                               e->attach ? (const char *)e->attach : "");
    }
    kf_entry_list_free(&list);
    return text;
}

/* "count last_n attrs" */
static const char *info_of(struct app *app, const char *key)
{
    static char text[1000];
    struct kf_stream_info info = {0};
    struct kf_err err = KF_ERR_INIT;
    if (kf_stream(app->store, key, &info, &err) != KF_OK)
        return err.code;
    snprintf(text, sizeof text, "%llu %llu %.*s", (unsigned long long)info.count,
             (unsigned long long)info.last_n, (int)info.attrs_len, (const char *)info.attrs);
    kf_stream_info_free(&info);
    return text;
}

static int64_t number(struct app *app, const char *sql)
{
    struct db *db;
    struct db_stmt *s;
    bool row = false;
    assert_int_equal(store_read(app->store, &db, NULL), KF_OK);
    assert_int_equal(db_use(db, sql, &s, NULL), KF_OK);
    assert_int_equal(db_step(s, &row, NULL), KF_OK);
    int64_t n = row ? db_i64(s, 0) : -1;
    db_done(s);
    store_read_end(app->store, db);
    return n;
}

static size_t found(struct app *app, const char *words)
{
    struct kf_found_list list = {0};
    struct kf_err err = KF_ERR_INIT;
    good(kf_search(app->store, words, NULL, NULL, 100, &list, &err), &err);
    size_t count = list.count;
    kf_found_list_free(&list);
    return count;
}

static const char *digest(struct app *app)
{
    static char text[4][65];
    static int at;
    struct kf_err err = KF_ERR_INIT;
    char *out = text[at++ % 4];
    good(kf_digest(app->store, out, &err), &err);
    return out;
}

static void verified(struct app *app)
{
    struct kf_verified v = {0};
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_verify(app->store, true, NULL, NULL, &v, &err);
    if (rc == KF_DAMAGED)
        fail_msg("%.*s", (int)v.report.len, (const char *)v.report.p);
    good(rc, &err);
    kf_bytes_free(&v.report);
}

static void back_up(struct app *app, const char *pending_to)
{
    struct kf_err err = KF_ERR_INIT;
    zip = testing_path(testing_dir(), "again.zip");
    good(testing_backup(app->store, zip, pending_to, NULL, NULL, &err), &err);
}

static void restore(struct app *app, bool replace)
{
    struct kf_err err = KF_ERR_INIT;
    good(testing_restore(app->store, zip, replace, NULL, NULL, &err), &err);
}

/* ---------------------------------------------------------------------------------------------- */

static void everything_comes_back(void **state)
{
    (void)state;
    app_open(&a);
    app_open(&b);
    app_put(&a, "doc", "{\"a\":1}");
    append(&a, "chat/1", "x", "{\"text\":\"Zażółć\"}", "{\"p\":1}");
    append(&a, "chat/1", NULL, "{\n \"text\": \"two\" }", "{\"p\":1}");
    append(&a, "chat/1", "y", "[1.0,\"three\"]", NULL);
    patch(&a, "chat/1", "{\"customer\":\"k1\",\"gone\":1}");
    patch(&a, "chat/1", "{\"gone\":null}");
    patch(&a, "only/attrs", "{\"customer\":\"k2\"}");
    append(&a, "erased/1", NULL, "1", "\"attached\"");
    erase(&a, "erased/1");
    for (int i = 1; i <= 2100; i += 300)
        append_batch(&a, "many", NULL, i, 300, 0);
    back_up(&a, NULL);
    restore(&b, false);
    assert_string_equal(digest(&a), digest(&b));
    assert_string_equal(entries_of(&b, "chat/1"),
                        "1:{\"text\":\"Zażółć\"}+{\"p\":1} 2:{\n \"text\": \"two\" }+{\"p\":1} "
                        "3:[1.0,\"three\"]");
    assert_string_equal(info_of(&b, "chat/1"), "3 3 {\"customer\":\"k1\"}");
    assert_string_equal(info_of(&b, "only/attrs"), "0 0 {\"customer\":\"k2\"}");
    assert_string_equal(info_of(&b, "erased/1"), "not_found");
    assert_string_equal(info_of(&b, "many"), "2100 2100 {}");
    app_is(&b, "doc", "{\"a\":1}");
    assert_int_equal(found(&b, "zazolc"), 1);
    verified(&b);

    /* It goes on as the other one would have. */
    assert_int_equal(append(&b, "chat/1", "x", "{\"text\":\"Zażółć\"}", "{\"p\":1}"), 0);
    assert_int_equal(append(&b, "chat/1", "z", "4", NULL), 4);
    patch(&b, "chat/1", "{\"customer\":\"k3\"}");
    assert_string_equal(info_of(&b, "chat/1"), "4 4 {\"customer\":\"k3\"}");
    verified(&b);
}

/* Windows, counts and words of the store that was there are gone. */
static void a_store_in_use_is_replaced(void **state)
{
    (void)state;
    app_open(&a);
    app_open(&b);
    append(&a, "chat/1", NULL, "\"from the archive\"", NULL);
    back_up(&a, NULL);
    append_many(&b, "chat/1", 5);
    append(&b, "chat/2", NULL, "\"replaced\"", NULL);
    patch(&b, "chat/1", "{\"old\":1}");
    assert_int_equal(found(&b, "replaced"), 1);
    restore(&b, true);
    assert_string_equal(entries_of(&b, "chat/1"), "1:\"from the archive\"");
    assert_string_equal(info_of(&b, "chat/1"), "1 1 {}");
    assert_string_equal(entries_of(&b, "chat/2"), "not_found");
    assert_int_equal(found(&b, "replaced"), 0);
    assert_int_equal(found(&b, "archive"), 1);
    assert_int_equal(append(&b, "chat/1", NULL, "\"later words\"", NULL), 2);
    assert_int_equal(found(&b, "later"), 1);
    verified(&b);
}

/* Also of a store that nobody keeps: its words are in the index at once, and none of others. */
static void what_is_restored_is_found_by_the_index(void **state)
{
    (void)state;
    app_open(&a);
    app_open(&b);
    append(&a, "chat/1", NULL, "\"from the archive\"", NULL);
    append(&a, "erased/1", NULL, "\"words of the erased\"", NULL);
    erase(&a, "erased/1");
    for (int i = 1; i <= 700; i += 350)
        append_batch(&b, "chat/1", NULL, i, 350, 0);
    back_up(&a, NULL);
    restore(&b, true);
    assert_int_equal(number(&b, "SELECT count(*) FROM kf_search_docsize"), 1);
    assert_int_equal(number(&b, "SELECT CAST(value AS INTEGER) FROM kf_meta WHERE key = 'indexed'"),
                     number(&b, "SELECT max(seq) FROM kf_entry"));
    assert_int_equal(found(&b, "archive"), 1);
    assert_int_equal(found(&b, "erased"), 0);
    verified(&b);
}

/* Numbers are not given again, and what `keep` has removed does not come back from a place that
 * still has it. */
static void what_was_trimmed_stays_so(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    app_remote(&a, "place", "mem:trims")->schedule.manual = true;
    app_remote(&b, "place", "mem:trims")->schedule.manual = true;
    app_open(&a);
    append_many(&a, "last/1", 10);
    app_sync_good(&a, "place");
    good(streams_retain(a.streams, &err), &err);
    assert_string_equal(entries_of(&a, "last/1"), "8:{\"n\":8} 9:{\"n\":9} 10:{\"n\":10}");
    back_up(&a, NULL);
    app_open(&b);
    app_settle(&b);
    restore(&b, true);
    assert_string_equal(entries_of(&b, "last/1"), "8:{\"n\":8} 9:{\"n\":9} 10:{\"n\":10}");
    app_sync_good(&b, "place");
    assert_string_equal(entries_of(&b, "last/1"), "8:{\"n\":8} 9:{\"n\":9} 10:{\"n\":10}");
    assert_int_equal(append(&b, "last/1", NULL, "11", NULL), 11);
    app_sync_good(&b, "place");
    verified(&b);

    /* Of one that has no entries left, too. */
    app_close(&a);
    line.keep_last = 0;
    line.keep_age_ms = 1000;
    app_open(&a);
    app_settle(&a);
    testing_env_advance(&world, 5000);
    app_sync_good(&a, "place");
    good(streams_retain(a.streams, &err), &err);
    assert_string_equal(info_of(&a, "last/1"), "0 11 {}");
    back_up(&a, NULL);
    restore(&b, true);
    assert_string_equal(info_of(&b, "last/1"), "0 11 {}");
    assert_string_equal(digest(&a), digest(&b));
    assert_int_equal(append(&b, "last/1", NULL, "12", NULL), 12);
    /* An erasure reaches what it no longer had. */
    erase(&b, "last/1");
    app_sync_good(&b, "place");
    app_sync_good(&a, "place");
    assert_string_equal(info_of(&a, "last/1"), "not_found");
    verified(&b);
}

static void read_pieces(struct backup *from, struct file *f, int64_t *at, int count)
{
    struct kf_err err = KF_ERR_INIT;
    struct buf piece = BUF_INIT;
    kf_rc rc = KF_OK;
    while (count-- && (rc = backup_read(from, &piece, &err)) == KF_OK) {
        good(file_write(f, *at, piece.p, piece.len, &err), &err);
        *at += (int64_t)piece.len;
        buf_clear(&piece);
    }
    if (rc != KF_ABSENT)
        good(rc, &err);
    buf_release(&piece);
}

static uint64_t reckoned_entries;

/* Behind its end: what a restore of it must have. */
static const char *reckoned(struct backup *from)
{
    static char hex[65];
    struct kf_err err = KF_ERR_INIT;
    uint64_t docs;
    good(backup_digest(from, NULL, NULL, hex, &docs, &reckoned_entries, &err), &err);
    return hex;
}

/* So that one piece of the archive is less than one part. */
static void append_noise(struct app *app, const char *key, int count)
{
    for (int i = 0; i < count; i += 250)
        append_batch(app, key, NULL, i, 250, 2048);
}

/* E1 outlives trimming, and a restore: of ids whose entries are not there any more, too. */
static void what_was_trimmed_is_not_appended_again(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    struct kf_entry_new e = KF_ENTRY_NEW_INIT;
    struct kf_appended appended = {0};
    char id[16], body[32];
    app_open(&a);
    app_open(&b);
    for (int i = 1; i <= 2005; i += 401)
        append_batch(&a, "last/1", "id", i, 401, 0);
    append(&a, "last/gone", "x", "1", NULL);
    append_many(&a, "last/gone", 3);
    assert_string_equal(info_of(&a, "last/1"), "3 2005 {}");
    back_up(&a, NULL);
    restore(&b, true);
    assert_string_equal(digest(&a), digest(&b));
    verified(&b);
    for (int i = 1; i <= 2005; i += 167) {
        snprintf(id, sizeof id, "id-%d", i);
        snprintf(body, sizeof body, "{\"n\":%d}", i);
        assert_int_equal(append(&b, "last/1", id, body, NULL), 0);
    }
    e.id = "id-7";
    e.kind = "user";
    e.body = "{\"n\":7}";
    e.len = 7;
    good(kf_append(b.store, "last/1", &e, 1, NULL, &appended, NULL, NULL, &err), &err);
    assert_true(appended.duplicate && appended.n == 7);
    e.body = "{\"n\":8}";
    assert_int_equal(kf_append(b.store, "last/1", &e, 1, NULL, &appended, NULL, NULL, &err),
                     KF_CONFLICT);
    assert_string_equal(err.code, "id_reused");
    assert_string_equal(info_of(&b, "last/1"), "3 2005 {}");

    /* What is erased takes them along, also when that comes behind them in the archive. */
    struct backup *backup = NULL;
    struct file f = FILE_CLOSED;
    int64_t at = 0;
    zip = testing_path(testing_dir(), "erased.zip");
    good(file_new_begin(a.env, zip, &f, &err), &err);
    append_noise(&a, "zz", 1500);
    good(backup_new(a.store, STR(""), NULL, &backup, &err), &err);
    backup_reckon(backup, NULL, NULL);
    read_pieces(backup, &f, &at, 1);
    erase(&a, "last/gone");
    read_pieces(backup, &f, &at, 10000);
    good(file_new_end(&f, zip, KF_OK, &err), &err);
    const char *wanted = reckoned(backup);
    backup_free(backup);
    restore(&b, true);
    assert_string_equal(digest(&b), wanted);
    assert_string_equal(info_of(&b, "last/gone"), "not_found");
    assert_int_equal(append(&b, "last/gone", "x", "1", NULL), 1);
    verified(&b);
}

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

/* A digest that nobody waits for is none, and the backup is made all the same. */
static void a_backup_does_without_its_digest(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    struct backup *backup = NULL;
    struct file f = FILE_CLOSED;
    int64_t at = 0;
    app_open(&a);
    app_open(&b);
    for (int i = 1; i <= 2100; i += 300)
        append_batch(&a, "many", NULL, i, 300, 0);
    zip = testing_path(testing_dir(), "undigested.zip");
    good(file_new_begin(a.env, zip, &f, &err), &err);
    good(backup_new(a.store, STR(""), NULL, &backup, &err), &err);
    backup_reckon(backup, never, NULL);
    read_pieces(backup, &f, &at, 10000);
    good(file_new_end(&f, zip, KF_OK, &err), &err);
    assert_string_equal(reckoned(backup), "");
    backup_free(backup);
    restore(&b, false);
    assert_string_equal(digest(&b), digest(&a));
}

/* What is written during a backup is not in it; what is erased meanwhile is not either. */
static void others_write_and_erase_meanwhile(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    struct backup *backup = NULL;
    struct file f = FILE_CLOSED;
    int64_t at = 0;
    app_open(&a);
    app_open(&b);
    append_noise(&a, "a/first", 1500);
    append(&a, "m/erased", NULL, "\"secret words\"", "\"secret attachment\"");
    append(&a, "z/last", NULL, "1", NULL);
    patch(&a, "only/attrs", "{\"a\":1}");
    good(file_new_begin(a.env, zip, &f, &err), &err);
    good(backup_new(a.store, STR(""), NULL, &backup, &err), &err);
    backup_reckon(backup, NULL, NULL);
    read_pieces(backup, &f, &at, 1);
    append(&a, "a/first", NULL, "\"too late\"", NULL);
    append(&a, "z/last", NULL, "\"too late\"", NULL);
    append(&a, "zz/new", NULL, "\"too late\"", NULL);
    patch(&a, "zz/new", "{\"too\":\"late\"}");
    erase(&a, "a/first");
    erase(&a, "m/erased");
    append(&a, "m/erased", NULL, "\"born again\"", NULL);
    patch(&a, "only/attrs", "{\"a\":2}");
    append(&a, "only/attrs", NULL, "\"too late\"", NULL);
    read_pieces(backup, &f, &at, 10000);
    good(file_new_end(&f, zip, KF_OK, &err), &err);
    const char *wanted = reckoned(backup);
    backup_free(backup);
    restore(&b, false);
    assert_string_equal(digest(&b), wanted);
    assert_string_equal(info_of(&b, "only/attrs"), "0 1 {\"a\":2}");
    assert_string_equal(info_of(&b, "a/first"), "not_found");
    assert_string_equal(info_of(&b, "m/erased"), "not_found");
    assert_string_equal(entries_of(&b, "z/last"), "1:1");
    assert_string_equal(info_of(&b, "zz/new"), "not_found");
    verified(&b);
    size_t len;
    const char *file = testing_read(b.path, &len);
    for (size_t i = 0; i + 6 < len; i++)
        assert_true(memcmp(file + i, "secret", 6) != 0);
}

/* Two stores have used one id. While one of them is backed up the other's entry, which is earlier,
 * comes in and takes the place of the one that is in the archive already. */
static void an_entry_changes_its_place_meanwhile(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    struct backup *backup = NULL;
    struct file f = FILE_CLOSED;
    int64_t at = 0;
    app_remote(&a, "place", "mem:twins")->schedule.manual = true;
    app_remote(&b, "place", "mem:twins")->schedule.manual = true;
    app_open(&b);
    app_settle(&b);
    append(&b, "chat", "x", "\"earlier\"", NULL);
    app_sync_good(&b, "place");
    app_open(&a);
    app_settle(&a);
    app_close(&a); /* a first run joins; this one is to come later */
    a.path = testing_path(testing_dir(), "other.db");
    a.space.remote_count = 0;
    app_open(&a);
    append(&a, "chat", "x", "\"shown first\"", NULL);
    append_noise(&a, "chat", 1500);
    app_close(&a);
    a.space.remote_count = 1;
    app_open(&a);
    good(file_new_begin(a.env, zip, &f, &err), &err);
    good(backup_new(a.store, STR(""), NULL, &backup, &err), &err);
    backup_reckon(backup, NULL, NULL);
    read_pieces(backup, &f, &at, 1);
    app_settle(&a);
    app_sync_good(&a, "place");
    assert_int_equal(strncmp(entries_of(&a, "chat"), "1:", 2) == 0, 0);
    read_pieces(backup, &f, &at, 10000);
    good(file_new_end(&f, zip, KF_OK, &err), &err);
    const char *wanted = reckoned(backup);
    backup_free(backup);
    restore(&b, true);
    assert_string_equal(digest(&b), wanted);
    assert_string_equal(info_of(&b, "chat"), "1501 1502 {}");
    assert_int_equal(reckoned_entries, 1501);
    verified(&b);
    app_sync_good(&b, "place");
    app_sync_good(&a, "place");
    app_sync_good(&b, "place");
    assert_string_equal(digest(&a), digest(&b));
    verified(&b);
}

static void what_is_pending_is_joined(void **state)
{
    (void)state;
    app_remote(&a, "place", "mem:pending")->schedule.manual = true;
    app_open(&a);
    app_settle(&a);
    append(&a, "chat/old", NULL, "\"confirmed\"", NULL);
    app_sync_good(&a, "place");
    append(&a, "chat/1", "x", "\"one\"", NULL);
    append(&a, "chat/2", NULL, "\"two\"", NULL);
    patch(&a, "chat/2", "{\"k\":1}");
    append(&a, "chat/3", NULL, "\"three\"", NULL);
    erase(&a, "chat/3");
    app_put(&a, "doc", "1");
    back_up(&a, "place");
    app_open(&b);
    append(&b, "chat/2", NULL, "\"here\"", NULL);
    append(&b, "mine", NULL, "\"stays\"", NULL);
    restore(&b, false);
    assert_string_equal(entries_of(&b, "chat/old"), "not_found");
    assert_string_equal(entries_of(&b, "chat/1"), "1:\"one\"");
    assert_string_equal(entries_of(&b, "chat/2"), "1:\"here\" 2:\"two\"");
    assert_string_equal(info_of(&b, "chat/2"), "2 2 {\"k\":1}");
    assert_string_equal(info_of(&b, "chat/3"), "not_found");
    assert_string_equal(entries_of(&b, "mine"), "1:\"stays\"");
    app_is(&b, "doc", "1");
    restore(&b, false); /* twice is once */
    assert_string_equal(entries_of(&b, "chat/2"), "1:\"here\" 2:\"two\"");
    verified(&b);
}

static void sql(struct app *app, const char *text)
{
    struct db *db;
    struct db_stmt *s;
    struct db_options o = {.env = app->env, .path = app->path, .mode = DB_OWNER};
    assert_int_equal(db_open(&o, &db, NULL), KF_OK);
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    assert_int_equal(db_use(db, text, &s, NULL), KF_OK);
    assert_int_equal(db_run(s, NULL), KF_OK);
    assert_int_equal(db_commit(db, NULL), KF_OK);
    db_close(db);
}

static void damage_is_named_and_not_archived(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    app_open(&a);
    app_open(&b);
    append_many(&a, "chat/1", 3);
    append(&a, "chat/1", NULL, "4", "{\"p\":1}");
    app_close(&a);
    sql(&a, "UPDATE kf_entry SET body = '{\"n\":7}' WHERE n = 2");
    app_open(&a);
    assert_int_equal(testing_backup(a.store, zip, NULL, NULL, NULL, &err), KF_DAMAGED);
    assert_non_null(strstr(err.detail, "entry 2 of \"chat/1\""));
    assert_false(testing_exists(zip));
    app_close(&a);
    sql(&a, "UPDATE kf_entry SET body = '{\"n\":2}' WHERE n = 2");
    sql(&a, "UPDATE kf_attachment SET body = '{\"p\":2}'");
    app_open(&a);
    assert_int_equal(testing_backup(a.store, zip, NULL, NULL, NULL, &err), KF_DAMAGED);
    assert_false(testing_exists(zip));
}

/* What surrounds a body, and what stands beside entries, too. */
static void what_surrounds_a_body_is_named_and_not_archived(void **state)
{
    static const char *const damage[][2] = {
        {"UPDATE kf_entry SET site = 'x' || substr(site, 2) WHERE n = 2",
         "UPDATE kf_entry SET site = (SELECT site FROM kf_entry WHERE n = 1) WHERE n = 2"},
        {"UPDATE kf_entry SET stamp = stamp + 4611686018427387904 WHERE n = 2",
         "UPDATE kf_entry SET stamp = stamp - 4611686018427387904 WHERE n = 2"},
        {"UPDATE kf_entry SET kind = 'USER' WHERE n = 2",
         "UPDATE kf_entry SET kind = 'user' WHERE n = 2"},
        {"UPDATE kf_entry SET n = n + 1024 WHERE n = 2",
         "UPDATE kf_entry SET n = n - 1024 WHERE n = 1026"},
        {"UPDATE kf_entry SET at = at + 4 WHERE n = 2",
         "UPDATE kf_entry SET at = at - 4 WHERE n = 2"},
        {"UPDATE kf_stream_member SET site = 'x' || substr(site, 2)",
         "UPDATE kf_stream_member SET site = (SELECT site FROM kf_entry WHERE n = 1)"},
        {"UPDATE kf_stream_member SET value = '{'", "UPDATE kf_stream_member SET value = '1'"},
    };
    struct kf_err err = KF_ERR_INIT;
    (void)state;
    app_open(&a);
    append_many(&a, "chat/1", 3);
    patch(&a, "chat/1", "{\"k\":1}");
    app_close(&a);
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        sql(&a, damage[i][0]);
        app_open(&a);
        if (testing_backup(a.store, zip, NULL, NULL, NULL, &err) != KF_DAMAGED)
            fail_msg("%s: it is backed up", damage[i][0]);
        assert_non_null(strstr(err.detail, "\"chat/1\""));
        assert_false(testing_exists(zip));
        app_close(&a);
        sql(&a, damage[i][1]);
    }
    app_open(&a);
    good(testing_backup(a.store, zip, NULL, NULL, NULL, &err), &err);
}

static void sync_finds_damage(struct app *app)
{
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = app_sync(app, "place", &err);
    if (rc == KF_OK)
        fail_msg("nothing is said");
    if (!strstr(err.detail, "damaged"))
        fail_msg("%s", err.detail);
}

/* Others have all but the entry; and what went into the part before it was damaged stays there. */
static void a_flip_costs_one_entry_at_a_place(void **state)
{
    (void)state;
    app_remote(&a, "place", "mem:flips")->schedule.manual = true;
    app_remote(&b, "place", "mem:flips")->schedule.manual = true;
    app_open(&a);
    app_settle(&a);
    append_many(&a, "old", 2);
    app_sync_good(&a, "place");
    append_many(&a, "new", 3);
    append_batch(&a, "twice", NULL, 1, 3, 0);
    app_close(&a);
    sql(&a, "UPDATE kf_entry SET stamp = (SELECT o.stamp FROM kf_entry o WHERE o.stream = "
            "kf_entry.stream AND o.n = 1) WHERE n = 2 AND stream = (SELECT id FROM kf_stream WHERE "
            "key = 'twice')");
    sql(&a, "UPDATE kf_entry SET kind = 'USER' WHERE n = 2 AND stream = (SELECT id FROM kf_stream "
            "WHERE key = 'new')");
    app_open(&a);
    sync_finds_damage(&a);
    app_open(&b);
    app_settle(&b);
    app_sync_good(&b, "place");
    assert_string_equal(entries_of(&b, "new"), "1:{\"n\":1} 3:{\"n\":3}");
    assert_string_equal(entries_of(&b, "old"), "1:{\"n\":1} 2:{\"n\":2}");
    assert_string_equal(entries_of(&b, "twice"), "1:{\"n\":1} 3:{\"n\":3}");
    app_close(&a);
    sql(&a, "UPDATE kf_entry SET kind = 'USER' WHERE n = 1 AND stream = (SELECT id FROM kf_stream "
            "WHERE key = 'old')");
    app_open(&a);
    append_batch(&a, "old", NULL, 3, 1, 0);
    sync_finds_damage(&a);
    sync_finds_damage(&a);
    app_sync_good(&b, "place");
    assert_string_equal(entries_of(&b, "old"), "1:{\"n\":1} 2:{\"n\":2} 3:{\"n\":3}");
    app_aside_is(&b, "place", "");
    append_batch(&a, "old", NULL, 4, 1, 0);
    sync_finds_damage(&a);
    app_sync_good(&b, "place");
    assert_string_equal(entries_of(&b, "old"), "1:{\"n\":1} 2:{\"n\":2} 3:{\"n\":3} 4:{\"n\":4}");
}

/* Others keep the attributes that they have; entries go on. */
static void a_damaged_attribute_stays_here(void **state)
{
    (void)state;
    app_remote(&a, "place", "mem:head")->schedule.manual = true;
    app_remote(&b, "place", "mem:head")->schedule.manual = true;
    app_open(&a);
    app_settle(&a);
    append_many(&a, "chat", 1);
    patch(&a, "chat", "{\"k\":1}");
    app_sync_good(&a, "place");
    patch(&a, "chat", "{\"l\":2}");
    append_batch(&a, "chat", NULL, 2, 1, 0);
    app_close(&a);
    sql(&a, "UPDATE kf_stream_member SET site = 'x' || substr(site, 2) WHERE name = 'k'");
    app_open(&a);
    sync_finds_damage(&a);
    app_open(&b);
    app_settle(&b);
    app_sync_good(&b, "place");
    assert_string_equal(entries_of(&b, "chat"), "1:{\"n\":1} 2:{\"n\":2}");
    assert_string_equal(info_of(&b, "chat"), "2 2 {\"k\":1}");
    app_close(&a);
    sql(&a, "UPDATE kf_stream_member SET site = (SELECT site FROM kf_entry WHERE n = 1) WHERE name "
            "= 'k'");
    app_open(&a);
    app_sync_good(&a, "place");
    app_sync_good(&b, "place");
    assert_string_equal(info_of(&b, "chat"), "2 2 {\"k\":1,\"l\":2}");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(everything_comes_back),
        TEST(a_store_in_use_is_replaced),
        TEST(what_is_restored_is_found_by_the_index),
        TEST(what_was_trimmed_stays_so),
        TEST(what_was_trimmed_is_not_appended_again),
        TEST(a_backup_does_without_its_digest),
        TEST(others_write_and_erase_meanwhile),
        TEST(an_entry_changes_its_place_meanwhile),
        TEST(what_is_pending_is_joined),
        TEST(damage_is_named_and_not_archived),
        TEST(what_surrounds_a_body_is_named_and_not_archived),
        TEST(a_flip_costs_one_entry_at_a_place),
        TEST(a_damaged_attribute_stays_here),
    };
    return cmocka_run_group_tests(tests, remotes_setup, remotes_teardown);
}
