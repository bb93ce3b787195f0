/* err: filling in struct kf_err from the table of problems. */
#ifndef KF_BASE_ERR_H
#define KF_BASE_ERR_H

#include <keepfast.h>
#include <stdarg.h>

/* One for each line of problems.def. */
enum problem {
#define P(name, code, status, exit, rc, retryable, title) PROBLEM_##name,
#include "base/problems.def"
#undef P
    PROBLEM_COUNT
};

struct problem_info {
    const char *code, *title;
    int http_status, exit_code;
    kf_rc rc;
    bool retryable;
};
extern const struct problem_info problem_table[PROBLEM_COUNT];

/* The line of a code, NULL when there is none of this code. */
const struct problem_info *problem_find(const char *code);

/* Fills *err (which may be NULL) with the problem and a sentence that names the cause and the next
 * step; returns the problem's kf_rc, so that `return err_set(err, PROBLEM_BAD_KEY, "…")` reads
 * well. */
kf_rc err_set(struct kf_err *err, enum problem problem, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
kf_rc err_vset(struct kf_err *err, enum problem problem, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));

/* As err_set, with the byte offset at which the input was refused. */
kf_rc err_at(struct kf_err *err, enum problem problem, int64_t offset, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* A failed system call: chooses DISK_FULL (ENOSPC, EDQUOT), NO_MEMORY, PERMISSION (EACCES, EPERM,
 * EROFS) or IO_ERROR by `errnum` and says `what` failed with its text: "cannot write the manifest:
 * No space left on device". */
kf_rc err_errno(struct kf_err *err, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* PROBLEM_NO_MEMORY with its fixed sentence. */
kf_rc err_nomem(struct kf_err *err);

/* Puts "context: " before the sentence. Used at most once on the way up. */
void err_prefix(struct kf_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* *err as new. */
void err_clear(struct kf_err *err);

#endif
