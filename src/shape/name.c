#include "shape/doc.h"

#include "base/err.h"
#include "base/seal.h"

static kf_rc bad_segment(str segment, size_t offset, struct kf_err *err)
{
    if (segment.len == 0)
        return err_at(err, PROBLEM_BAD_KEY, (int64_t)offset,
                      "a name has no empty segment: it neither begins nor ends with a slash, nor "
                      "has two in a row");
    if (str_is(segment, ".") || str_is(segment, ".."))
        return err_at(err, PROBLEM_BAD_KEY, (int64_t)offset,
                      "no segment of a name is \".\" or \"..\"");
    return KF_OK;
}

kf_rc name_check(str name, struct kf_err *err)
{
    return name_check_to(name, DOC_NAME_MAX, err);
}

kf_rc name_check_to(str name, size_t len_max, struct kf_err *err)
{
    if (name.len == 0)
        return err_at(err, PROBLEM_BAD_KEY, 0, "the name is empty");
    if (name.len > len_max)
        return err_at(err, PROBLEM_BAD_KEY, (int64_t)len_max,
                      "the name has %zu bytes, at most %zu are allowed", name.len, len_max);
    size_t nul = str_index(name, '\0'), valid = str_utf8_valid(name);
    if (nul < name.len && nul < valid)
        return err_at(err, PROBLEM_BAD_KEY, (int64_t)nul, "the name contains a NUL byte");
    if (valid < name.len)
        return err_at(err, PROBLEM_BAD_KEY, (int64_t)valid, "the name is not UTF-8");
    for (size_t at = 0; at <= name.len;) {
        str rest = str_from(name, at);
        str segment = {rest.p, str_index(rest, '/')};
        kf_rc rc = bad_segment(segment, at, err);
        if (rc != KF_OK)
            return rc;
        at += segment.len + 1;
    }
    return KF_OK;
}

kf_rc name_check_own(str name, struct kf_err *err)
{
    kf_rc rc = name_check(name, err);
    if (rc == KF_OK && seal_is_name(name))
        rc = err_at(err, PROBLEM_BAD_KEY, 0,
                    "names that begin with " SEAL_PREFIX " are those of encrypted documents at a "
                    "remote: choose another one");
    if (rc == KF_OK && str_starts(name, STR(NAME_STREAM_FILES)))
        rc = err_at(err, PROBLEM_BAD_KEY, 0,
                    "names that begin with " NAME_STREAM_FILES " are those of streams at a remote: "
                    "choose another one");
    return rc;
}
