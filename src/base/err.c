#include "base/err.h"

#include "base/str.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

const struct problem_info problem_table[PROBLEM_COUNT] = {
#define P(name, code, status, exit, rc, retryable, title) \
    [PROBLEM_##name] = {code, title, status, exit, rc, retryable},
#include "base/problems.def"
#undef P
};

const struct problem_info *problem_find(const char *code)
{
    for (size_t i = 0; i < PROBLEM_COUNT; i++)
        if (str_is(str_of(code), problem_table[i].code))
            return &problem_table[i];
    return NULL;
}

/* One line of valid UTF-8 whatever was printed into it: names and texts from outside end up here
 * and go on to logs and JSON. A character that was cut at the end (was_cut) is dropped. */
static void make_one_line(char *text, bool was_cut)
{
    str rest = str_of(text);
    char *p = text;
    while (rest.len) {
        size_t valid = str_utf8_valid(rest);
        for (size_t i = 0; i < valid; i++, p++)
            if ((unsigned char)*p < 0x20 || *p == 0x7F)
                *p = ' ';
        rest = str_from(rest, valid);
        if (rest.len == 0)
            return;
        if (was_cut && rest.len < 4 && (unsigned char)*p >= 0xC0) {
            *p = '\0';
            return;
        }
        *p++ = '?';
        rest = str_from(rest, 1);
    }
}

__attribute__((format(printf, 3, 0))) static void print_line(char *out, size_t cap, const char *fmt,
                                                             va_list args)
{
    int n = vsnprintf(out, cap, fmt, args);
    if (n < 0)
        out[0] = '\0';
    make_one_line(out, n >= 0 && (size_t)n >= cap);
}

void err_clear(struct kf_err *err)
{
    if (err)
        *err = (struct kf_err)KF_ERR_INIT;
}

kf_rc err_vset(struct kf_err *err, enum problem problem, const char *fmt, va_list args)
{
    assert((unsigned)problem < PROBLEM_COUNT);
    const struct problem_info *info = &problem_table[problem];
    if (!err)
        return info->rc;
    struct kf_err e = KF_ERR_INIT;
    e.rc = info->rc;
    e.code = info->code;
    e.http_status = info->http_status;
    e.exit_code = info->exit_code;
    e.retryable = info->retryable;
    print_line(e.detail, sizeof(e.detail), fmt, args);
    *err = e; /* only now: the arguments may be texts of the error that is replaced */
    return info->rc;
}

kf_rc err_set(struct kf_err *err, enum problem problem, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    kf_rc rc = err_vset(err, problem, fmt, args);
    va_end(args);
    return rc;
}

kf_rc err_at(struct kf_err *err, enum problem problem, int64_t offset, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    kf_rc rc = err_vset(err, problem, fmt, args);
    va_end(args);
    if (err)
        err->offset = offset;
    return rc;
}

static enum problem problem_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT: return PROBLEM_DISK_FULL;
    case ENOMEM: return PROBLEM_NO_MEMORY;
    case EACCES:
    case EPERM:
    case EROFS: return PROBLEM_PERMISSION;
    default: return PROBLEM_IO_ERROR;
    }
}

kf_rc err_errno(struct kf_err *err, int errnum, const char *fmt, ...)
{
    char what[sizeof(err->detail)];
    va_list args;
    va_start(args, fmt);
    print_line(what, sizeof(what), fmt, args);
    va_end(args);
    const char *text = strerrordesc_np(errnum);
    if (!text)
        return err_set(err, problem_of_errno(errnum), "%s: error %d", what, errnum);
    return err_set(err, problem_of_errno(errnum), "%s: %s", what, text);
}

kf_rc err_nomem(struct kf_err *err)
{
    return err_set(err, PROBLEM_NO_MEMORY,
                   "out of memory; nothing was changed: free some memory and try again");
}

void err_prefix(struct kf_err *err, const char *fmt, ...)
{
    if (!err)
        return;
    char context[sizeof(err->detail)], detail[sizeof(err->detail)];
    va_list args;
    va_start(args, fmt);
    print_line(context, sizeof(context), fmt, args);
    va_end(args);
    memcpy(detail, err->detail, sizeof(detail));
    int n = snprintf(err->detail, sizeof(err->detail), "%s: %s", context, detail);
    make_one_line(err->detail, n >= (int)sizeof(err->detail));
}
