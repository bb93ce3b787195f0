/* Names of scheduled backups, and which of them go: pure, so every case is a list. */
#include "testing.h"

#include "base/when.h"
#include "move/backup_name.h"

#include <string.h>

static int64_t at(const char *when)
{
    int64_t ms = 0;
    assert_true(when_parse(str_of(when), &ms));
    return ms;
}

/* Names with a blank between, as dir_list gives them. */
static str list(const char *names, char room[1024])
{
    size_t len = strlen(names);
    assert_true(len + 1 < 1024);
    memcpy(room, names, len + 1);
    for (size_t i = 0; i < len; i++)
        room[i] = room[i] == ' ' ? '\0' : room[i];
    return (str){room, len ? len + 1 : 0};
}

/* ------------------------------------------------------------------------------------- names */

static void names_are_written_and_read(void **state)
{
    static const struct {
        const char *when;
        uint32_t nth;
        bool part;
        const char *name;
    } cases[] = {
        {"2026-11-21T12:00:00Z", 1, false, "shop-2026-11-21T12.00.00Z.zip"},
        {"2026-11-21T12:00:00Z", 2, false, "shop-2026-11-21T12.00.00Z-2.zip"},
        {"2026-02-28T23:59:59Z", 1, true, ".shop-2026-02-28T23.59.59Z.zip.part"},
        {"2026-02-28T23:59:59Z", 12, true, ".shop-2026-02-28T23.59.59Z-12.zip.part"},
        {"1970-01-01T00:00:00Z", 1, false, "shop-1970-01-01T00.00.00Z.zip"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct backup_name n = {at(cases[i].when), cases[i].nth, cases[i].part}, back;
        struct buf b = BUF_INIT;
        backup_name_format(STR("shop"), &n, &b);
        assert_int_equal(buf_ok(&b, NULL), KF_OK);
        assert_string_equal(b.p, cases[i].name);
        assert_true(backup_name_parse(STR("shop"), buf_view(&b), &back));
        assert_true(back.at_ms == n.at_ms && back.nth == n.nth && back.part == n.part);
        buf_release(&b);
    }
}

static const char *const strangers[] = {
    "",
    ".",
    "shop.zip",
    "shop-.zip",
    "shop-2026-11-21T12.00.00Z",
    "shop-2026-11-21T12.00.00Z.zip.part",
    ".shop-2026-11-21T12.00.00Z.zip",
    "shop-2026-11-21T12:00:00Z.zip",
    "shop-2026-11-21t12.00.00z.zip",
    "shop-2026-11-21T12.00.00Z.ZIP",
    "shop-2026-11-21T12.00.00Z-1.zip",
    "shop-2026-11-21T12.00.00Z-02.zip",
    "shop-2026-11-21T12.00.00Z-.zip",
    "shop-2026-11-21T12.00.00Z-x.zip",
    "shop-2026-11-21T12.00.00Z-99999999999.zip",
    "shop-2026-11-21T12.00.00Z-2-2.zip",
    "shop-2026-11-31T12.00.00Z.zip",
    "shop-2026-13-01T12.00.00Z.zip",
    "shop-2026-11-21T24.00.00Z.zip",
    "shop-2026-11-21T12.00.60Z.zip",
    "shop-2026-11-21T12.00.00Z.zip.zip",
    "shop-2026-11-21T12.00.00Z copy.zip",
    "Shop-2026-11-21T12.00.00Z.zip",
    "shop-old-2026-11-21T12.00.00Z.zip",
    "sho-2026-11-21T12.00.00Z.zip",
    "shopp-2026-11-21T12.00.00Z.zip",
    "x/shop-2026-11-21T12.00.00Z.zip",
};

static void strangers_are_told_apart(void **state)
{
    struct backup_name n;
    (void)state;
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        if (backup_name_parse(STR("shop"), str_of(strangers[i]), &n))
            fail_msg("%s was read", strangers[i]);
    assert_true(
        backup_name_parse(STR("shop-old"), str_of("shop-old-2026-11-21T12.00.00Z.zip"), &n));
}

static void the_next_name_is_a_new_one(void **state)
{
    static const struct {
        const char *names, *next;
    } cases[] = {
        {"", "a-2026-11-21T12.00.00Z.zip"},
        {"a-2026-11-21T11.59.59Z.zip b-2026-11-21T12.00.00Z.zip", "a-2026-11-21T12.00.00Z.zip"},
        {"a-2026-11-21T12.00.00Z.zip", "a-2026-11-21T12.00.00Z-2.zip"},
        {"a-2026-11-21T12.00.00Z-7.zip a-2026-11-21T12.00.00Z.zip", "a-2026-11-21T12.00.00Z-8.zip"},
        {".a-2026-11-21T12.00.00Z.zip.part", "a-2026-11-21T12.00.00Z-2.zip"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char room[1024];
        struct buf b = BUF_INIT;
        backup_name_next(STR("a"), list(cases[i].names, room), at("2026-11-21T12:00:00.999Z"),
                         false, &b);
        assert_int_equal(buf_ok(&b, NULL), KF_OK);
        assert_string_equal(b.p, cases[i].next);
        buf_release(&b);
    }
}

static void the_newest_is_found(void **state)
{
    char room[1024];
    struct backup_name n = {0};
    str name = STR("");
    int64_t now = at("2026-11-21T12:00:00Z");
    (void)state;
    assert_false(backup_name_newest(STR("a"), list("", room), now, &name, &n));
    assert_false(backup_name_newest(
        STR("a"), list("b-2026-11-20T12.00.00Z.zip a.zip .a-2026-11-21T11.00.00Z.zip.part", room),
        now, &name, &n));
    assert_true(backup_name_newest(
        STR("a"),
        list("a-2025-01-01T00.00.00Z.zip a-2026-11-21T11.00.00Z-2.zip a-2026-11-21T11.00.00Z.zip "
             "a-2030-01-01T00.00.00Z.zip",
             room),
        now, &name, &n));
    assert_true(str_is(name, "a-2026-11-21T11.00.00Z-2.zip") && n.nth == 2);
}

/* ------------------------------------------------------------------------------------- pruning */

static const struct {
    const char *about, *names;
    uint64_t keep;
    const char *verified, *removed;
} prunes[] = {
    {"nothing", "", 1, "", ""},
    {"as many as may stay", "a-2026-11-20T00.00.00Z.zip a-2026-11-21T00.00.00Z.zip", 2,
     "a-2026-11-21T00.00.00Z.zip", ""},
    {"the oldest goes, in whatever order they are listed",
     "a-2026-11-21T00.00.00Z.zip a-2026-11-19T00.00.00Z.zip a-2026-11-20T00.00.00Z.zip", 2,
     "a-2026-11-21T00.00.00Z.zip", "a-2026-11-19T00.00.00Z.zip "},
    {"of one second the first",
     "a-2026-11-20T00.00.00Z-10.zip a-2026-11-20T00.00.00Z-9.zip a-2026-11-20T00.00.00Z.zip", 1,
     "a-2026-11-20T00.00.00Z-10.zip", "a-2026-11-20T00.00.00Z.zip a-2026-11-20T00.00.00Z-9.zip "},
    {"strangers stay and do not count",
     "a-2026-11-18T00.00.00Z.zip a-2026-11-19T00.00.00Z.zip b-2026-11-01T00.00.00Z.zip "
     "a-old.zip a-b-2026-11-01T00.00.00Z.zip .a-2026-11-01T00.00.00Z.zip.part photo.jpg",
     1, "a-2026-11-19T00.00.00Z.zip", "a-2026-11-18T00.00.00Z.zip "},
    {"the verified one stays though it is the oldest",
     "a-2026-11-18T00.00.00Z.zip a-2026-11-19T00.00.00Z.zip a-2026-11-20T00.00.00Z.zip", 1,
     "a-2026-11-18T00.00.00Z.zip", "a-2026-11-19T00.00.00Z.zip a-2026-11-20T00.00.00Z.zip "},
    {"those of the future were made before the clock was set right",
     "a-2026-11-19T00.00.00Z.zip a-2026-11-20T00.00.00Z.zip a-2031-01-01T00.00.00Z.zip", 2,
     "a-2026-11-20T00.00.00Z.zip", "a-2031-01-01T00.00.00Z.zip "},
    {"none is asked for: one stays", "a-2026-11-19T00.00.00Z.zip a-2026-11-20T00.00.00Z.zip", 0, "",
     "a-2026-11-19T00.00.00Z.zip "},
};

static void what_is_beyond_goes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof prunes / sizeof *prunes; i++) {
        char room[1024], wanted[1024];
        struct buf out = BUF_INIT;
        assert_int_equal(backup_name_prune(STR("a"), list(prunes[i].names, room), prunes[i].keep,
                                           str_of(prunes[i].verified), at("2026-11-21T12:00:00Z"),
                                           &out, NULL),
                         KF_OK);
        str want = list(prunes[i].removed, wanted);
        want.len = want.len ? want.len - 1 : 0; /* each has one behind it already */
        if (!str_eq(want, buf_view(&out)))
            fail_msg("%s: %zu bytes, not %zu: %.*s", prunes[i].about, out.len, want.len,
                     (int)out.len, out.p);
        buf_release(&out);
    }
}

static kf_rc prune_once(void *ctx)
{
    char room[1024];
    struct buf out = BUF_INIT;
    (void)ctx;
    kf_rc rc = backup_name_prune(
        STR("a"), list("a-2026-11-20T00.00.00Z.zip a-2026-11-21T00.00.00Z.zip", room), 1, STR(""),
        at("2026-11-21T12:00:00Z"), &out, NULL);
    if (rc == KF_OK)
        assert_string_equal(out.p, "a-2026-11-20T00.00.00Z.zip");
    buf_release(&out);
    return rc;
}

static void no_memory(void **state)
{
    (void)state;
    assert_true(testing_oom_each(prune_once, NULL) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_written_and_read), cmocka_unit_test(strangers_are_told_apart),
        cmocka_unit_test(the_next_name_is_a_new_one), cmocka_unit_test(the_newest_is_found),
        cmocka_unit_test(what_is_beyond_goes),        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("backup_name", tests, NULL, NULL);
}
