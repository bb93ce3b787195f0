#include "testing.h"

#include "base/le.h"
#include "base/mem.h"
#include "store/redo.h"

#include <errno.h>
#include <string.h>

/* What was seen of a file: "FIRST-LAST@MS:part,part " for each record. */
static kf_rc see_text(void *ctx, const struct redo_record *record, struct kf_err *err)
{
    struct buf *out = ctx;
    str parts = record->parts, one;
    assert_string_equal(record->site, "0123456789abcdef");
    assert_int_equal(record->stamp, 7);
    buf_printf(out, "%lld-%lld@%lld:", (long long)record->first, (long long)record->last,
               (long long)record->now_ms);
    while (redo_next(&parts, &one)) {
        buf_str(out, one);
        buf_byte(out, ',');
    }
    buf_byte(out, ' ');
    return KF_OK;
}

static kf_rc see_count(void *ctx, const struct redo_record *record, struct kf_err *err)
{
    int64_t *count = ctx;
    str parts = record->parts, one;
    (void)err;
    while (redo_next(&parts, &one))
        ++*count;
    assert_int_equal(parts.len, 0);
    return KF_OK;
}

static struct testing_env env;

/* A part for each of the words of `text`, one or two. */
static kf_rc add(struct redo *r, int64_t first, int64_t last, const char *text, struct kf_err *err)
{
    str all = str_of(text);
    size_t word = str_index(all, ' ');
    redo_begin(r, first, 1000 + first, "0123456789abcdef");
    buf_str(redo_part(r), str_make(text, word));
    redo_part_end(r);
    if (word < all.len) {
        buf_str(redo_part(r), str_from(all, word + 1));
        redo_part_end(r);
    }
    return redo_end(r, last, 7, err);
}

static struct redo *opened(const char *path, bool create)
{
    struct redo *r = NULL;
    struct kf_err err = KF_ERR_INIT;
    if (redo_open(&env.env, path, create, &r, &err) != KF_OK)
        fail_msg("%s", err.detail);
    return r;
}

static void assert_reads(const char *path, int64_t known, kf_rc want_rc, const char *want)
{
    struct redo *r = opened(path, false);
    struct buf out = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    buf_c(&out, "");
    buf_room(&out, 1);
    assert_int_equal(redo_read(r, known, see_text, &out, &err), want_rc);
    assert_string_equal(out.p, want);
    buf_release(&out);
    redo_close(r);
}

static int setup(void **state)
{
    (void)state;
    testing_env_init(&env);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_env_release(&env);
    return 0;
}

static void groups_come_back_in_their_order(void **state)
{
    const char *path = testing_path(testing_dir(), "a-redo");
    struct kf_err err = KF_ERR_INIT;
    struct redo *r = NULL;
    (void)state;
    assert_int_equal(redo_open(&env.env, path, false, &r, &err), KF_ABSENT);
    r = opened(path, true);
    assert_int_equal(redo_bytes(r), 0);
    assert_reads(path, 0, KF_OK, "");
    assert_int_equal(add(r, 3, 4, "one", &err), KF_OK);
    assert_int_equal(add(r, 4, 6, "two three", &err), KF_OK);
    assert_int_equal(redo_bytes(r), 256);
    redo_close(r);
    assert_reads(path, 3, KF_OK, "3-4@1003:one, 4-6@1004:two,three, ");
    assert_reads(path, 4, KF_OK, "4-6@1004:two,three, ");
    assert_reads(path, 6, KF_OK, "");
}

static void what_is_cut_is_not_there(void **state)
{
    const char *path = testing_path(testing_dir(), "a-redo");
    struct redo *r = opened(path, true);
    (void)state;
    redo_begin(r, 0, 1000, "0123456789abcdef");
    assert_int_equal(redo_parts(r).len, 0);
    buf_c(redo_part(r), "kept");
    redo_part_end(r);
    size_t mark = redo_mark(r);
    buf_c(redo_part(r), "taken back");
    redo_part_end(r);
    redo_cut(r, mark);
    assert_int_equal(redo_parts(r).len, 16);
    assert_int_equal(redo_end(r, 1, 7, NULL), KF_OK);
    redo_close(r);
    assert_reads(path, 0, KF_OK, "0-1@1000:kept, ");
}

static void what_is_read_is_gone_on_with(void **state)
{
    const char *path = testing_path(testing_dir(), "a-redo");
    struct buf out = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    struct redo *r = opened(path, true);
    (void)state;
    assert_int_equal(add(r, 0, 1, "a", &err), KF_OK);
    redo_close(r);
    r = opened(path, false);
    assert_int_equal(redo_read(r, 0, see_text, &out, &err), KF_OK);
    assert_int_equal(add(r, 1, 2, "b", &err), KF_OK);
    redo_close(r);
    buf_release(&out);
    assert_reads(path, 0, KF_OK, "0-1@1000:a, 1-2@1001:b, ");
}

static void a_new_cycle_hides_the_old_one(void **state)
{
    const char *path = testing_path(testing_dir(), "a-redo");
    struct kf_err err = KF_ERR_INIT;
    struct redo *r = opened(path, true);
    (void)state;
    for (int i = 0; i < 9; i++)
        assert_int_equal(add(r, i, i + 1, "old", &err), KF_OK);
    redo_restart(r);
    redo_restart(r);
    assert_int_equal(add(r, 9, 10, "new", &err), KF_OK);
    redo_close(r);
    assert_reads(path, 9, KF_OK, "9-10@1009:new, ");
    assert_reads(path, 10, KF_OK, "");
    /* One that is opened again without having been read does not know the cycle: who reads does. */
    r = opened(path, false);
    assert_int_equal(redo_read(r, 10, NULL, NULL, &err), KF_OK);
    redo_restart(r);
    assert_int_equal(add(r, 10, 11, "newer", &err), KF_OK);
    redo_close(r);
    assert_reads(path, 10, KF_OK, "10-11@1010:newer, ");
}

/* Cuts off, or changes, each byte of the last record and of the one before. */
static void what_is_cut_off_and_what_is_damaged(void **state)
{
    const char *path = testing_path(testing_dir(), "a-redo");
    struct kf_err err = KF_ERR_INIT;
    struct redo *r = opened(path, true);
    size_t len;
    (void)state;
    assert_int_equal(add(r, 0, 1, "first", &err), KF_OK);
    assert_int_equal(add(r, 1, 2, "second", &err), KF_OK);
    assert_int_equal(add(r, 2, 3, "third", &err), KF_OK);
    redo_close(r);
    const char *whole = testing_read(path, &len);
    char *bytes = mem_alloc(len);
    for (size_t at = 64; at < 64 + 3 * 128; at++) {
        size_t record = (at - 64) / 128, in = (at - 64) % 128;
        bool counts = in < 88 + 8 + 8;
        memcpy(bytes, whole, len);
        bytes[at] ^= 0x10;
        testing_write(path, bytes, len);
        if (!counts) /* zeros behind the writes */
            assert_reads(path, 0, KF_OK, "0-1@1000:first, 1-2@1001:second, 2-3@1002:third, ");
        else if (record == 0)
            assert_reads(path, 0, KF_DAMAGED, "");
        else if (record == 1)
            assert_reads(path, 0, KF_DAMAGED, "0-1@1000:first, ");
        else /* as if it had never been written whole */
            assert_reads(path, 0, KF_OK, "0-1@1000:first, 1-2@1001:second, ");
        /* What the database has need not be read. */
        if (counts && record < 2)
            assert_reads(path, 3, KF_OK, "");
    }
    for (size_t at = 64 + 256; at < 64 + 256 + 88 + 8 + 5; at++) {
        memcpy(bytes, whole, len);
        memset(bytes + at, 0, len - at);
        testing_write(path, bytes, len);
        assert_reads(path, 0, KF_OK, "0-1@1000:first, 1-2@1001:second, ");
    }
    mem_free(bytes);
}

static void a_head_that_is_none_is_damage(void **state)
{
    const char *path = testing_path(testing_dir(), "a-redo");
    struct kf_err err = KF_ERR_INIT;
    struct redo *r = opened(path, true);
    size_t len;
    (void)state;
    redo_close(r);
    const char *whole = testing_read(path, &len);
    char bytes[64];
    assert_int_equal(len, sizeof bytes);
    for (size_t at = 0; at < 40; at++) {
        memcpy(bytes, whole, len);
        bytes[at] ^= 1;
        testing_write(path, bytes, len);
        r = NULL;
        assert_int_equal(redo_open(&env.env, path, true, &r, &err), KF_DAMAGED);
        assert_string_equal(err.code, "damaged");
        assert_null(r);
    }
    testing_write(path, whole, 20);
    assert_int_equal(redo_open(&env.env, path, true, &r, &err), KF_DAMAGED);
}

/* Bytes of a write that are those of a record are none: they lack the key, and the place. */
static void a_write_cannot_pretend_to_be_a_record(void **state)
{
    const char *path = testing_path(testing_dir(), "a-redo"),
               *other = testing_path(testing_dir(), "b-redo");
    struct kf_err err = KF_ERR_INIT;
    struct redo *r = opened(other, true);
    size_t len;
    char head[64] = {0};
    struct buf body = BUF_INIT;
    (void)state;
    assert_int_equal(add(r, 1, 9, "forged", &err), KF_OK);
    redo_close(r);
    const char *forged = testing_read(other, &len);
    buf_add(&body, head, 32); /* so that it begins where a record may */
    buf_add(&body, forged + 64, 128);
    r = opened(path, true);
    redo_begin(r, 0, 1, "0123456789abcdef");
    buf_str(redo_part(r), buf_view(&body));
    redo_part_end(r);
    assert_int_equal(redo_end(r, 1, 7, &err), KF_OK);
    redo_restart(r);
    assert_int_equal(add(r, 1, 2, "short", &err), KF_OK);
    redo_close(r);
    assert_reads(path, 1, KF_OK, "1-2@1001:short, ");
    buf_release(&body);
}

static void it_grows_and_has_an_end(void **state)
{
    const char *path = testing_path(testing_dir(), "a-redo");
    struct kf_err err = KF_ERR_INIT;
    struct redo *r = opened(path, true);
    char *text = mem_calloc(1, 300001);
    int64_t n = 0;
    (void)state;
    memset(text, 'x', 300000);
    for (;; n++) {
        redo_begin(r, n, 1, "0123456789abcdef");
        buf_c(redo_part(r), text);
        redo_part_end(r);
        if (!redo_fits(r))
            break;
        assert_int_equal(redo_end(r, n + 1, 7, &err), KF_OK);
    }
    assert_int_equal(n, (REDO_BYTES_MAX - 64) / 300096);
    redo_restart(r);
    assert_true(redo_fits(r));
    redo_close(r);
    mem_free(text);
}

static kf_rc write_some(void *ctx)
{
    const char *path = testing_path(testing_dir(), "oom-redo");
    struct kf_err err = KF_ERR_INIT;
    struct buf out = BUF_INIT;
    struct redo *r = NULL;
    (void)ctx;
    kf_rc rc = redo_open(&env.env, path, true, &r, &err);
    if (rc == KF_OK)
        rc = add(r, 0, 2, "a b", &err);
    if (rc == KF_OK)
        rc = redo_read(r, 0, see_text, &out, &err);
    if (rc == KF_OK)
        rc = buf_ok(&out, &err);
    redo_close(r);
    buf_release(&out);
    return rc;
}

static void without_memory(void **state)
{
    (void)state;
    assert_true(testing_oom_each(write_some, NULL) > 4);
}

/* Each call fails once: what was told before is there. */
static void calls_that_fail(void **state)
{
    static const enum io_op ops[] = {IO_WRITE, IO_SYNC};
    struct kf_err err = KF_ERR_INIT;
    (void)state;
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        const char *path = testing_path(testing_dir(), "a-redo");
        struct redo *r = opened(path, true);
        assert_int_equal(add(r, 0, 1, "told", &err), KF_OK);
        testing_env_fault(&env, ops[i], 1, EIO, false);
        assert_int_equal(add(r, 1, 2, "lost", &err), KF_IO);
        testing_env_fault(&env, ops[i], 0, 0, false);
        assert_int_equal(redo_bytes(r), 128);
        assert_int_equal(add(r, 1, 2, "again", &err), KF_OK);
        redo_close(r);
        assert_reads(path, 0, KF_OK, "0-1@1000:told, 1-2@1001:again, ");
    }
}

/* Where a record is cut off and older ones stand behind it, of a later cycle than the one before:
 * what is written next is of the cycle that the file began with, or nobody would find it. */
static void it_goes_on_in_the_cycle_that_it_began_with(void **state)
{
    const char *path = testing_path(testing_dir(), "a-redo");
    struct kf_err err = KF_ERR_INIT;
    struct buf out = BUF_INIT;
    struct redo *r = opened(path, true);
    size_t len;
    char first[128];
    (void)state;
    assert_int_equal(add(r, 4, 5, "kept", &err), KF_OK);
    memcpy(first, testing_read(path, &len) + 64, sizeof first);
    redo_restart(r);
    for (int i = 1; i < 4; i++)
        assert_int_equal(add(r, i, i + 1, "later", &err), KF_OK);
    redo_close(r);
    const char *whole = testing_read(path, &len);
    char *bytes = mem_dup(whole, len);
    memcpy(bytes + 64, first, sizeof first);
    bytes[64 + 128] ^= 1;
    testing_write(path, bytes, len);
    mem_free(bytes);
    r = opened(path, false);
    assert_int_equal(redo_read(r, 4, see_text, &out, &err), KF_OK);
    assert_int_equal(add(r, 5, 6, "next", &err), KF_OK);
    redo_close(r);
    buf_release(&out);
    assert_reads(path, 4, KF_OK, "4-5@1004:kept, 5-6@1005:next, ");
}

/* Its sum is right, its parts are not: nobody but us writes such a thing, and still. */
static void parts_that_do_not_make_a_record(void **state)
{
    static const struct {
        size_t at; /* in the record's parts */
        uint32_t len;
        int64_t last;
        kf_rc want;
    } cases[] = {{0, 3, 2, KF_OK},       /* as it was */
                 {0, 3, 3, KF_DAMAGED},  /* a number more */
                 {0, 3, 1, KF_DAMAGED},  /* one less */
                 {0, 19, 1, KF_OK},      /* as one part */
                 {0, 25, 1, KF_DAMAGED}, /* a byte too long */
                 {16, 0, 2, KF_DAMAGED}, /* something is left */
                 {0, UINT32_MAX, 0, KF_DAMAGED},
                 {16, UINT32_MAX, 2, KF_DAMAGED}};
    struct kf_err err = KF_ERR_INIT;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *path = testing_path(testing_dir(), "a-redo");
        struct redo *r = opened(path, true);
        redo_begin(r, 0, 1000, "0123456789abcdef");
        buf_c(redo_part(r), "one");
        redo_part_end(r);
        struct buf *record = redo_part(r);
        buf_c(record, "second");
        redo_part_end(r);
        le_put32(record->p + record->len - redo_parts(r).len + cases[i].at, cases[i].len);
        assert_int_equal(redo_end(r, cases[i].last, 7, &err), KF_OK);
        int64_t count = 0;
        redo_close(r);
        r = opened(path, false);
        assert_int_equal(redo_read(r, -1, see_count, &count, &err), cases[i].want);
        assert_int_equal(count, cases[i].want == KF_OK ? cases[i].last : 0);
        assert_int_equal(redo_read(r, cases[i].last, see_count, &count, &err), KF_OK);
        redo_close(r);
    }
}

/* A record behind which others stand is damaged: whoever goes on begins anew. */
static void a_damaged_one_is_full(void **state)
{
    const char *path = testing_path(testing_dir(), "a-redo");
    struct kf_err err = KF_ERR_INIT;
    struct redo *r = opened(path, true);
    size_t len;
    (void)state;
    assert_int_equal(add(r, 0, 1, "first", &err), KF_OK);
    assert_int_equal(add(r, 1, 2, "second", &err), KF_OK);
    redo_close(r);
    const char *whole = testing_read(path, &len);
    char *bytes = mem_dup(whole, len);
    bytes[100] ^= 1;
    testing_write(path, bytes, len);
    mem_free(bytes);
    r = opened(path, false);
    assert_int_equal(redo_read(r, 0, NULL, NULL, &err), KF_DAMAGED);
    assert_true(redo_bytes(r) > 0);
    redo_restart(r);
    assert_int_equal(add(r, 2, 3, "anew", &err), KF_OK);
    redo_close(r);
    assert_reads(path, 2, KF_OK, "2-3@1002:anew, ");
}

static uint64_t writes_and_syncs(void)
{
    return env.calls[IO_WRITE] + env.calls[IO_SYNC];
}

static bool file_has(const char *path, const char *text)
{
    size_t len;
    const char *bytes = testing_read(path, &len);
    return memmem(bytes, len, text, strlen(text)) != NULL;
}

/* Every slice of an erasure asks for it. */
static void what_is_wiped_is_not_wiped_again(void **state)
{
    const char *path = testing_path(testing_dir(), "a-redo");
    struct kf_err err = KF_ERR_INIT;
    struct redo *r = opened(path, true);
    (void)state;
    uint64_t before = writes_and_syncs();
    assert_int_equal(redo_erase(r, &err), KF_OK); /* nothing was ever in it */
    assert_int_equal(writes_and_syncs(), before);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(add(r, i, i + 1, "secret", &err), KF_OK);
        before = writes_and_syncs();
        assert_int_equal(redo_erase(r, &err), KF_OK);
        assert_true(writes_and_syncs() > before + 1);
        before = writes_and_syncs();
        assert_int_equal(redo_erase(r, &err), KF_OK);
        assert_int_equal(writes_and_syncs(), before);
        assert_false(file_has(path, "secret"));
    }
    /* What is behind the end of a cycle that is shorter than the one before. */
    for (int i = 3; i < 13; i++)
        assert_int_equal(add(r, i, i + 1, "secret", &err), KF_OK);
    redo_restart(r);
    assert_int_equal(add(r, 13, 14, "short", &err), KF_OK);
    assert_true(file_has(path, "secret"));
    assert_int_equal(redo_erase(r, &err), KF_OK);
    assert_false(file_has(path, "secret"));
    /* One that failed is done again, and what is written and failed may be in it. */
    assert_int_equal(add(r, 14, 15, "secret", &err), KF_OK);
    testing_env_fault(&env, IO_SYNC, 1, EIO, false);
    assert_int_equal(redo_erase(r, &err), KF_IO);
    testing_env_fault(&env, IO_SYNC, 1, EIO, false);
    assert_int_equal(add(r, 15, 16, "secret", &err), KF_IO);
    testing_env_fault(&env, IO_SYNC, 0, 0, false);
    assert_int_equal(redo_erase(r, &err), KF_OK);
    assert_false(file_has(path, "secret"));
    redo_close(r);
    /* Of one that is opened nobody knows. */
    r = opened(path, false);
    before = writes_and_syncs();
    assert_int_equal(redo_erase(r, &err), KF_OK);
    assert_true(writes_and_syncs() > before);
    redo_close(r);
}

static bool count_allocation(void *ctx, size_t size)
{
    (void)size;
    ++*(int *)ctx;
    return true;
}

static int allocations_of(struct redo *r, int64_t first, const char *text)
{
    int count = 0;
    mem_set_hook(count_allocation, &count);
    kf_rc rc = add(r, first, first + 1, text, NULL);
    mem_set_hook(NULL, NULL);
    assert_int_equal(rc, KF_OK);
    return count;
}

/* Of every store that once had a large group the memory would be gone. */
static void room_for_a_large_one_is_given_back(void **state)
{
    (void)state;
    static char large[3 << 20];
    struct redo *r = opened(testing_path(testing_dir(), "r"), true);
    memset(large, 'x', sizeof large - 1);
    allocations_of(r, 1, "small");
    assert_int_equal(allocations_of(r, 2, "small"), 0);
    assert_true(allocations_of(r, 3, large) > 0);
    assert_true(allocations_of(r, 4, "small") > 0);
    assert_int_equal(allocations_of(r, 5, "small"), 0);
    redo_close(r);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_come_back_in_their_order),
        cmocka_unit_test(what_is_cut_is_not_there),
        cmocka_unit_test(what_is_read_is_gone_on_with),
        cmocka_unit_test(a_new_cycle_hides_the_old_one),
        cmocka_unit_test(what_is_cut_off_and_what_is_damaged),
        cmocka_unit_test(a_head_that_is_none_is_damage),
        cmocka_unit_test(a_write_cannot_pretend_to_be_a_record),
        cmocka_unit_test(it_grows_and_has_an_end),
        cmocka_unit_test(without_memory),
        cmocka_unit_test(calls_that_fail),
        cmocka_unit_test(it_goes_on_in_the_cycle_that_it_began_with),
        cmocka_unit_test(parts_that_do_not_make_a_record),
        cmocka_unit_test(a_damaged_one_is_full),
        cmocka_unit_test(what_is_wiped_is_not_wiped_again),
        cmocka_unit_test(room_for_a_large_one_is_given_back),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests(tests, setup, teardown);
}
