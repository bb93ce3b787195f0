/* One bit of a row of a stream flips: whoever reads the row finds it, or it is still a row that
 * others take. So it costs this row and never the part, or the archive, that it is sent in. */
#include "testing_pg.h"
#include "testing_streams.h"

#include "remote/stream_text.h"
#include "shape/stream_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAR "00000000000000aa"
#define KEY "chat/1"

static struct testing_docs t;
static struct db *owner; /* in a transaction that is taken back */

/* --------------------------------------------------------------------------------------- rows */

struct far_write {
    struct write write; /* first */
};

static kf_rc far_apply(struct group *g, struct write *write, struct kf_err *err)
{
    struct stream_take *take = NULL;
    enum stream_taken taken;
    int64_t seq, later = group_stamp(g) + clock_stamp_at(1000);
    bool changed, more;
    struct entry_import far = {.stamp = 77,
                               .at_ms = 5,
                               .site = STR(FAR),
                               .id = STR(""),
                               .kind = STR("x"),
                               .body = STR("[1]")};
    struct entry_import twin = {.stamp = later,
                                .at_ms = 6,
                                .site = STR(FAR),
                                .id = STR("i"),
                                .kind = STR(""),
                                .body = STR("[2]")};
    (void)write;
    kf_rc rc = stream_take_begin(g, t.streams, STR(KEY), &take, err);
    if (rc == KF_OK)
        rc = stream_take_entry(take, &far, &taken, &seq, err);
    if (rc == KF_OK)
        rc = stream_take_entry(take, &twin, &taken, &seq, err);
    if (rc == KF_OK && taken != STREAM_LOST)
        fail_msg("it is no twin");
    if (rc == KF_OK)
        rc = stream_take_erasure(
            take, &(struct erased_row){.site = STR("00000000000000bb"), .stamp = 99, .at_ms = 7},
            &taken, err);
    return rc == KF_OK ? stream_take_end(take, &changed, &more, err) : rc;
}

static int setup(void **state)
{
    static const char patch[] = "{\"who\":\"ann\",\"gone\":1}", gone[] = "{\"gone\":null}";
    struct testing_entry own[] = {
        {.id = "i", .kind = "user", .body = "{\"a\":1}", .attach = "[7]"},
        {.body = "2"},
        {.body = "3", .at_ms = 1000},
    };
    struct far_write far = {.write = {.apply = far_apply}};
    *state = NULL;
    testing_docs_open(&t, NULL);
    assert_int_equal(testing_append_all(&t, KEY, own, 3, NULL), KF_OK);
    assert_int_equal(streams_patch(t.streams, KEY, patch, strlen(patch), NULL, &t.err), KF_OK);
    assert_int_equal(streams_patch(t.streams, KEY, gone, strlen(gone), NULL, &t.err), KF_OK);
    if (store_write(t.store, &far.write, &t.err) != KF_OK)
        fail_msg("%s", t.err.detail);
    streams_forget_all(t.streams);
    testing_sql(&t, "INSERT INTO kf_trimmed SELECT id, '00000000000000cc', 55 FROM kf_stream");
    struct db_options o = {.env = env_system(), .path = t.path, .mode = DB_OWNER};
    assert_int_equal(db_open(&o, &owner, &t.err), KF_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    db_close(owner);
    testing_docs_close(&t);
    return 0;
}

/* --------------------------------------------------------------------------------- what is sent */

struct sent {
    struct part_writer w;
    struct buf text, name;
    uint64_t n;
    size_t damaged;
};

static kf_rc send_entry(void *ctx, const struct entry_row *row, struct kf_err *err)
{
    struct sent *s = ctx;
    struct kf_err why = KF_ERR_INIT;
    if (row->damaged) {
        assert_non_null(row->wrong);
        s->damaged++;
        return KF_OK;
    }
    kf_rc rc = part_entry(&s->w, row, ++s->n, &why);
    if (rc == KF_DAMAGED) { /* its attachment, or its stamp is that of another one */
        s->damaged++;
        s->n--;
        return KF_OK;
    }
    if (rc != KF_OK)
        *err = why;
    return rc;
}

static void must_be_taken(const struct sent *s, const char *about)
{
    struct kf_err err = KF_ERR_INIT;
    if (stream_read_check(buf_view(&s->name), buf_view(&s->text), NULL, &err) != KF_OK)
        fail_msg("%s: others refuse all of it: %s\n%s", about, err.detail, s->text.p);
}

static void sent_release(struct sent *s)
{
    part_end(&s->w);
    buf_release(&s->text);
    buf_release(&s->name);
}

/* How many of its entries are not sent. */
static size_t send_part(const char *about)
{
    struct sent s = {.n = 0};
    struct kf_err err = KF_ERR_INIT;
    size_t count, damaged;
    int64_t id = 0;
    uint64_t last_n;
    assert_int_equal(stream_find(owner, STR(KEY), &id, &last_n, &err), KF_OK);
    part_begin(&s.w, owner, STR(KEY), 1, &s.text);
    stream_file_part(STR(KEY), 1, &s.name);
    for (int twins = 0; twins < 2; twins++)
        if (stream_entries_of(owner, id, twins, 0, 100, true, send_entry, &s, &count, &err) !=
            KF_OK)
            fail_msg("%s: %s", about, err.detail);
    if (s.n)
        must_be_taken(&s, about);
    damaged = s.damaged;
    sent_release(&s);
    return damaged;
}

/* Whether something of it is damaged. */
static bool send_head(const char *about)
{
    const struct head_wish wish = {.own_until = INT64_MAX};
    struct sent s = {.n = 0};
    struct kf_err err = KF_ERR_INIT;
    stream_file_head(STR(KEY), &s.name);
    kf_rc rc = head_write(owner, STR(KEY), &wish, &s.text, &err);
    if (rc == KF_OK)
        must_be_taken(&s, about);
    else if (rc != KF_DAMAGED && strcmp(err.code, "too_large") != 0)
        fail_msg("%s: %s", about, err.detail);
    sent_release(&s);
    return rc == KF_DAMAGED;
}

/* ------------------------------------------------------------------------------------- finding */

static kf_rc count_fault(void *ctx, str key, const char *what, struct kf_err *err)
{
    (void)key, (void)what, (void)err;
    ++*(size_t *)ctx;
    return KF_OK;
}

static size_t verify(void)
{
    size_t faults = 0;
    uint64_t entries, bytes;
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = stream_check(owner, count_fault, &faults, &entries, &bytes, &err);
    if (rc != KF_OK && rc != KF_DAMAGED)
        fail_msg("verify: %s", err.detail);
    return faults + (rc == KF_DAMAGED);
}

static kf_rc see(void *ctx, const struct entry_seen *e, struct kf_err *err)
{
    (void)ctx, (void)e, (void)err;
    return KF_OK;
}

/* Whether a read of all finds something. */
static bool read_all(void)
{
    const struct entry_want want = {
        .from_ms = INT64_MIN, .until_ms = INT64_MAX, .limit = 100, .bytes = SIZE_MAX};
    struct kf_err err = KF_ERR_INIT;
    int64_t id = 0;
    uint64_t last_n;
    bool more;
    assert_int_equal(stream_find(owner, STR(KEY), &id, &last_n, &err), KF_OK);
    kf_rc rc = entries_read(owner, id, STR(KEY), &want, see, NULL, &more, &err);
    if (rc == KF_DAMAGED)
        assert_true(err.entry > 0);
    else if (rc != KF_OK)
        fail_msg("%s", err.detail);
    return rc == KF_DAMAGED;
}

/* ------------------------------------------------------------------------------------- flipping */

/* A column, and how it is read and written of the i-th row. */
struct column {
    const char *name, *read, *write;
    bool number;
};
#define ROW(table, name, where, number)                                \
    {                                                                  \
        table "." name, "SELECT " name " FROM " table " WHERE " where, \
            "UPDATE " table " SET " name " = $1 WHERE " where, number  \
    }
#define NUMBER(table, name, where) ROW(table, name, where, true)
#define TEXT(table, name, where)   ROW(table, name, where, false)

#define ENTRY(where)                                                            \
    NUMBER("kf_entry", "seq", where), NUMBER("kf_entry", "stream", where),      \
        NUMBER("kf_entry", "n", where), NUMBER("kf_entry", "at", where),        \
        NUMBER("kf_entry", "stamp", where), NUMBER("kf_entry", "size", where),  \
        NUMBER("kf_entry", "taken", where), NUMBER("kf_entry", "timed", where), \
        NUMBER("kf_entry", "behind", where), TEXT("kf_entry", "kind", where),   \
        TEXT("kf_entry", "id", where), TEXT("kf_entry", "site", where),         \
        TEXT("kf_entry", "hash", where), TEXT("kf_entry", "attach", where),     \
        TEXT("kf_entry", "body", where)

static const struct column entries[] = {
    ENTRY("n = 1 AND stream > 0"), ENTRY("n = 2 AND stream > 0"), ENTRY("n = 3 AND stream > 0"),
    ENTRY("n = 4 AND stream > 0"), ENTRY("stream < 0"),
};
static const struct column beside[] = {
    NUMBER("kf_stream", "last_n", "1 = 1"),
    TEXT("kf_stream_member", "name", "name = 'who'"),
    NUMBER("kf_stream_member", "stamp", "name = 'who'"),
    TEXT("kf_stream_member", "site", "name = 'who'"),
    TEXT("kf_stream_member", "value", "name = 'who'"),
    NUMBER("kf_stream_member", "stamp", "name = 'gone'"),
    TEXT("kf_erased", "site", "site = '00000000000000bb'"),
    NUMBER("kf_erased", "stamp", "site = '00000000000000bb'"),
    NUMBER("kf_erased", "at", "site = '00000000000000bb'"),
    TEXT("kf_trimmed", "site", "1 = 1"),
    NUMBER("kf_trimmed", "stamp", "1 = 1"),
    TEXT("kf_entry_once", "id", "1 = 1"),
    NUMBER("kf_entry_once", "n", "1 = 1"),
    TEXT("kf_entry_once", "hash", "1 = 1"),
    NUMBER("kf_entry_once", "at", "1 = 1"),
};

/* What the column has; false for NULL. Numbers are eight bytes. */
static bool read_column(const struct column *c, char out[256], size_t *ret_len)
{
    struct db_stmt *s;
    struct kf_err err = KF_ERR_INIT;
    bool row = false;
    if (db_use(owner, c->read, &s, &err) != KF_OK || db_step(s, &row, &err) != KF_OK || !row)
        fail_msg("%s: %s", c->name, err.detail);
    bool there = !db_null(s, 0);
    if (c->number) {
        int64_t value = db_i64(s, 0);
        memcpy(out, &value, *ret_len = sizeof value);
    } else {
        *ret_len = db_text(s, 0).len;
        assert_true(*ret_len <= 256);
        memcpy(out, db_text(s, 0).p, *ret_len);
    }
    db_done(s);
    return there;
}

/* False: the engine does not have such a value. */
static bool write_column(const struct column *c, const char *bytes, size_t len)
{
    struct db_stmt *s;
    struct kf_err err = KF_ERR_INIT;
    int64_t value;
    if (db_use(owner, c->write, &s, &err) != KF_OK)
        fail_msg("%s: %s", c->name, err.detail);
    if (c->number) {
        memcpy(&value, bytes, sizeof value);
        db_bind_i64(s, 1, value);
    } else {
        db_bind_text(s, 1, str_make(bytes, len));
    }
    kf_rc rc = db_run(s, &err);
    if (rc == KF_OK && (rc = db_use(owner, "SELECT 1", &s, &err)) == KF_OK) { /* PostgreSQL tells */
        bool row;
        rc = db_step(s, &row, &err);
        db_done(s);
    }
    return rc == KF_OK;
}

static bool in_short(size_t bit)
{
#ifdef RIG_PG
    return bit % 5 != 0 && bit > 3;
#else
    (void)bit;
    return false;
#endif
}

typedef void look_at(const struct column *c, const char *about, size_t *add_found);

/* Every bit of a column, each by itself. */
static size_t flip(const struct column *c, look_at *look, size_t *add_flips)
{
    char good[256], bad[256], about[100];
    size_t len = 0, found = 0;
    assert_int_equal(db_begin(owner, DB_WRITE, &t.err), KF_OK);
    bool there = read_column(c, good, &len);
    db_rollback(owner);
    for (size_t bit = 0; there && bit < 8 * len; bit++) {
        if (in_short(bit))
            continue;
        memcpy(bad, good, len);
        bad[bit / 8] = (char)(bad[bit / 8] ^ 1 << bit % 8);
        snprintf(about, sizeof about, "bit %zu of %s", bit, c->name);
        assert_int_equal(db_begin(owner, DB_WRITE, &t.err), KF_OK);
        if (write_column(c, bad, len)) {
            look(c, about, &found);
            ++*add_flips;
        }
        db_rollback(owner);
    }
    return found;
}

static bool is(const struct column *c, const char *name)
{
    return strcmp(c->name + strlen("kf_entry."), name) == 0;
}

/* What is not sent is said by reads and by verify. */
static void look_at_entry(const struct column *c, const char *about, size_t *add_found)
{
    size_t damaged = send_part(about);
    *add_found += damaged > 0;
    assert_true(damaged <= 1);
    if (damaged && !verify())
        fail_msg("%s: verify says nothing", about);
    bool apart = is(c, "stamp") || strstr(c->read, "stream < 0") || is(c, "n");
    if (damaged && !apart && !read_all())
        fail_msg("%s: a read says nothing", about);
    if (!damaged && read_all())
        fail_msg("%s: a read says what nobody else does", about);
    bool certain = is(c, "size") || is(c, "hash") || is(c, "body") || is(c, "taken") ||
                   is(c, "timed") || is(c, "attach") ||
                   (is(c, "at") && !strstr(c->read, "n = 3") && !strstr(c->read, "n = 4") &&
                    !strstr(c->read, "stream < 0"));
    if (certain && !damaged)
        fail_msg("%s: nobody says anything", about);
}

static void nothing_is_wrong(void)
{
    assert_int_equal(db_begin(owner, DB_WRITE, &t.err), KF_OK);
    assert_int_equal(send_part("nothing"), 0);
    assert_false(send_head("nothing") || read_all());
    assert_int_equal(verify(), 0);
    db_rollback(owner);
}

static void a_flip_costs_an_entry_alone(void **state)
{
    size_t flips = 0, found = 0;
    (void)state;
    nothing_is_wrong();
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        found += flip(&entries[i], look_at_entry, &flips);
    print_message("flips=%zu found=%zu\n", flips, found);
    assert_true(found > flips / 2);
}

static void look_beside(const struct column *c, const char *about, size_t *add_found)
{
    bool damaged = send_head(about);
    send_part(about);
    *add_found += verify() > 0;
    if (damaged && !verify())
        fail_msg("%s: verify says nothing", about);
    bool certain = strcmp(c->name, "kf_stream_member.value") == 0 ||
                   strcmp(c->name, "kf_stream_member.name") == 0 ||
                   strcmp(c->name, "kf_entry_once.id") == 0 ||
                   strcmp(c->name, "kf_entry_once.n") == 0;
    if (certain && !verify())
        fail_msg("%s: nobody says anything", about);
}

static void a_flip_beside_entries_is_found_or_harmless(void **state)
{
    size_t flips = 0, found = 0;
    (void)state;
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
        found += flip(&beside[i], look_beside, &flips);
    print_message("flips=%zu found=%zu\n", flips, found);
    nothing_is_wrong();
    assert_true(found > flips / 4);
}

TESTING_SABOTEUR(skip_hash_check, "skip-hash-check", a_flip_costs_an_entry_alone)

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_flip_costs_an_entry_alone),
        TEST(a_flip_beside_entries_is_found_or_harmless),
        cmocka_unit_test(saboteur_skip_hash_check),
    };
#ifdef RIG_PG
    testing_docs_on_pg();
    testing_pg_new(); /* saboteurs have the same server */
#endif
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("stream_whole", tests, NULL, NULL);
}
