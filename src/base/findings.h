/* findings: what a look at a store has found, as a list that the public face gives out.
 *
 * A finding is a line of findings.def with what was seen. Of each line there is at most one for a
 * remote, and one without a remote: who looks twice finds it once.
 *
 * Threads: one at a time. */
#ifndef KF_BASE_FINDINGS_H
#define KF_BASE_FINDINGS_H

#include "base/arena.h"

#include <keepfast.h>

enum finding {
#define F(id, code, level, of, title, next) FINDING_##id,
#include "base/findings.def"
#undef F
    FINDING_COUNT
};

struct finding_info {
    const char *code, *title, *next;
    kf_finding_level level;
    bool of_machine;
};
extern const struct finding_info finding_table[FINDING_COUNT];
/* FINDING_COUNT for a word that is none. */
enum finding finding_of(str code);

struct findings {
    struct arena arena;
    struct kf_finding *items;
    size_t count, cap;
    struct kf_finding *last; /* that was added; NULL when it had been found before */
    bool failed;             /* memory lacked */
};
#define FINDINGS_INIT ((struct findings){0})

void findings_release(struct findings *f);
/* `remote` may be NULL; copied. The detail is one line: what was seen, and why it matters. */
void findings_add(struct findings *f, enum finding id, const char *remote, const char *detail, ...)
    __attribute__((format(printf, 4, 5)));
/* A next step of its own, for the one that was just added. */
void findings_next(struct findings *f, const char *next, ...) __attribute__((format(printf, 2, 3)));
/* A level of its own, where there is one. */
void findings_level(struct findings *f, enum finding id, const char *remote,
                    kf_finding_level level);
bool findings_has(const struct findings *f, enum finding id, const char *remote);
/* Takes out what is told to operators alone. */
void findings_drop_machine(struct findings *f);
/* Sorted: errors, warnings, notes, each in the order of the table and then of remotes. *f is empty
 * then. KF_NOMEM when something could not be noted. */
kf_rc findings_give(struct findings *f, struct kf_finding_list *ret_list, struct kf_err *err);

#endif
