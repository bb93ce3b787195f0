/* mem, fail: remotes for tests, "mem:NAME" and "fail:SPEC:URL".
 *
 * mem keeps its objects in a table of the process, so that they survive the stores that use them.
 * It is the reference: what the other kinds do to readers, this one does with nothing in between.
 *
 * fail passes the calls of an object store on to the one behind it (mem or dir), counts them, and
 * makes some of them fail. SPEC is words with commas between, none is needed:
 *
 *     at=N          the N-th call fails, counted over all connections to NAME; 0 = none
 *     sticky        and all later ones
 *     late          it fails after it was carried out: the outcome is unknown to the caller
 *     delay=T       every call takes so long ("50ms"), on the env's clock
 *     code=CODE     remote_failed (default), remote_full, io_error …
 *     name=NAME     several addresses may share a plan, and a test may change it; default: the
 *                   whole SPEC
 *
 * Threads: any. */
#ifndef KF_REMOTE_MEM_H
#define KF_REMOTE_MEM_H

#include "remote/objects.h"

/* What is put under this is no document: a pull tells that it is set aside. */
#define MEM_ASIDE "aside/"

/* What a place holds under `path`, appended; KF_ABSENT. */
kf_rc mem_place_get(str place, str path, struct buf *out);
/* Puts, replaces or (bytes.p == NULL) removes, as somebody would who tampers with it. */
kf_rc mem_place_set(str place, str path, str bytes);
/* Paths with the prefix, in the order of bytes, a NUL behind each, appended. */
kf_rc mem_place_list(str place, str prefix, struct buf *out);
/* Empties it. */
void mem_place_clear(str place);
/* Frees all places; all plans. No store may be using one. */
void mem_forget(void);
void fail_forget(void);

struct fail_plan {
    uint64_t at; /* 0 = no call fails */
    bool sticky, late;
    uint32_t delay_ms;
    uint32_t retry_ms; /* a call that fails asks to be left alone for so long */
    const char *code;  /* static; NULL = remote_failed */
    enum { FAIL_NOT_PUBLIC, FAIL_PUBLIC, FAIL_NOT_KNOWN } readers; /* what is_public answers */
    const char *refuse; /* static; what an object must not hold, NULL = it may hold anything */
};
/* (`refuse` is in no SPEC: an object that holds it is refused as R7 says, "" refuses all.)
 * Sets the plan of a name, and its counts to zero. */
kf_rc fail_plan_set(str name, const struct fail_plan *plan);
/* Calls since the plan was set, and how many of them failed. 0 for a name that is not known. */
uint64_t fail_calls(str name);
uint64_t fail_fired(str name);
/* How often somebody wanted to know whether it is public. */
uint64_t fail_asked(str name);

#endif
