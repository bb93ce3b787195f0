#include "testing.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

static void the_table_is_sound(void **state)
{
    (void)state;
    for (int i = 0; i < PROBLEM_COUNT; i++) {
        const struct problem_info *info = &problem_table[i];
        assert_ptr_equal(problem_find(info->code), info); /* so no code is there twice */
        assert_true(info->rc != KF_OK && info->exit_code > 0 && *info->title);
        assert_true(info->http_status == 0 ||
                    (info->http_status >= 400 && info->http_status < 600));
        assert_string_not_equal(kf_rc_name(info->rc), "KF_UNKNOWN");
    }
    assert_null(problem_find("no such code"));
}

static void an_error_is_filled(void **state)
{
    struct kf_err err;
    (void)state;
    memset(&err, 0x55, sizeof(err));
    assert_int_equal(err_at(&err, PROBLEM_BAD_JSON, 17, "byte %d is no digit", 17), KF_INVALID);
    assert_int_equal(err.rc, KF_INVALID);
    assert_string_equal(err.code, "bad_json");
    assert_int_equal(err.http_status, 400);
    assert_int_equal(err.exit_code, 11);
    assert_false(err.retryable);
    assert_int_equal(err.offset, 17);
    assert_int_equal(err.version, 0);
    assert_string_equal(err.etag, "");
    assert_string_equal(err.detail, "byte 17 is no digit");
    assert_int_equal(err_nomem(&err), KF_NOMEM);
    assert_int_equal(err.offset, -1);
    assert_true(err.retryable);
    err_clear(&err);
    assert_int_equal(err.rc, KF_OK);
    assert_string_equal(err.code, "");
}

static void nobody_has_to_look(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, PROBLEM_BUSY, "x"), KF_BUSY);
    assert_int_equal(err_at(NULL, PROBLEM_BAD_JSON, 1, "x"), KF_INVALID);
    assert_int_equal(err_errno(NULL, ENOSPC, "x"), KF_FULL);
    assert_int_equal(err_nomem(NULL), KF_NOMEM);
    err_prefix(NULL, "x");
    err_clear(NULL);
}

static void details_are_one_line_of_utf8(void **state)
{
    struct kf_err err;
    char want[sizeof(err.detail)];
    (void)state;
    err_set(&err, PROBLEM_BAD_KEY,
            "a\nb\tc\x7F"
            "d\x80 \xC5\xBC");
    assert_string_equal(err.detail, "a b c d? \xC5\xBC");
    /* 599 bytes are room for 299 characters of two bytes and half of one. */
    static char text[1000];
    for (size_t i = 0; i < 998; i += 2)
        memcpy(text + i, "\xC5\xBC", 2);
    err_set(&err, PROBLEM_BAD_KEY, "%s", text);
    assert_int_equal(strlen(err.detail), 598);
    assert_int_equal(str_utf8_valid(str_of(err.detail)), 598);
    memcpy(want, err.detail, sizeof(want));
    err_prefix(&err, "in %s", "config");
    assert_memory_equal(err.detail, "in config: \xC5\xBC", 13);
    assert_int_equal(str_utf8_valid(str_of(err.detail)), strlen(err.detail));
    assert_string_equal(err.code, "bad_key");
}

static void an_error_may_quote_the_one_it_replaces(void **state)
{
    struct kf_err err;
    (void)state;
    err_set(&err, PROBLEM_IO_ERROR, "the disk is gone");
    err_set(&err, PROBLEM_REMOTE_FAILED, "remote usb: %s", err.detail);
    assert_string_equal(err.detail, "remote usb: the disk is gone");
    err_prefix(&err, "%s", err.code);
    assert_string_equal(err.detail, "remote_failed: remote usb: the disk is gone");
}

static void system_errors_have_their_codes(void **state)
{
    static const struct {
        int errnum;
        const char *code;
    } cases[] = {
        {ENOSPC, "disk_full"},  {EDQUOT, "disk_full"}, {ENOMEM, "no_memory"},
        {EACCES, "permission"}, {EPERM, "permission"}, {EROFS, "permission"},
        {EIO, "io_error"},      {ENOENT, "io_error"},  {99999, "io_error"},
    };
    struct kf_err err;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        err_errno(&err, cases[i].errnum, "cannot write %s", "x");
        assert_string_equal(err.code, cases[i].code);
    }
    assert_string_equal(err.detail, "cannot write x: error 99999");
    err_errno(&err, ENOSPC, "cannot write %s", "the manifest");
    assert_string_equal(err.detail, "cannot write the manifest: No space left on device");
}

static void public_names(void **state)
{
    (void)state;
    for (int rc = KF_OK; rc <= KF_INTERNAL; rc++)
        assert_memory_equal(kf_rc_name((kf_rc)rc), "KF_", 3);
    assert_string_equal(kf_rc_name(KF_NOT_HYDRATED), "KF_NOT_HYDRATED");
    assert_string_equal(kf_rc_name((kf_rc)1000), "KF_UNKNOWN");
    assert_string_equal(kf_level_name(KF_LEVEL_DISK), "disk");
    assert_string_equal(kf_level_name((kf_level)1000), "unknown");
    assert_string_equal(kf_state_name(KF_STATE_READ_ONLY), "read_only");
    assert_string_equal(kf_state_name((kf_state)0), "unknown");
    struct kf_bytes bytes = {mem_strdup("x"), 1};
    kf_bytes_free(&bytes);
    assert_null(bytes.p);
    kf_bytes_free(&bytes);
    kf_bytes_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(an_error_is_filled),
        cmocka_unit_test(nobody_has_to_look),
        cmocka_unit_test(details_are_one_line_of_utf8),
        cmocka_unit_test(an_error_may_quote_the_one_it_replaces),
        cmocka_unit_test(system_errors_have_their_codes),
        cmocka_unit_test(public_names),
    };
    return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
