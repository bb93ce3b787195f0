/* json: one strict scanner, and what is built on its events.
 *
 * Accepts exactly RFC 8259 in UTF-8 and nothing more: no byte order mark, no NaN, no trailing text,
 * no duplicate member names (compared after unescaping), no escape of half a surrogate pair (it
 * stands for no character, so the value would not be UTF-8), no bytes that are no UTF-8.
 * Numbers are never converted: they are slices of the text, of any length and exponent.
 *
 * Where a text is refused (err->offset)
 *   1. The first byte that cannot stand where it stands: no acceptable document begins with the
 *      bytes up to and including it.
 *   2. A sequence that is no UTF-8, and an escape that is half a surrogate pair, are refused as a
 *      whole: the offset is their first byte (of the escape, its backslash), not the byte that gave
 *      them away.
 *   3. A duplicate member: the opening quote of the second name, whatever else is wrong behind it.
 *   4. A text that ends too early: its length. So the offset is the length exactly when more bytes
 *      could have made the text acceptable.
 *   5. json_limit: the first byte of the token that is one too many, or of the bracket that is one
 *      too deep.
 *   Of several faults the one with the smallest offset is reported.
 *
 * Iterative: depth costs no stack while scanning; what walks a tree goes down at most
 * JSON_DEPTH_MAX levels. Names are compared by sorting, O(n log n) for any input, so there is no
 * hash table that an attacker could flood and no seed to keep secret.
 *
 * Threads: no state is shared; any thread, each with its own arena and buf. */
#ifndef KF_BASE_JSON_H
#define KF_BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"

#include <keepfast.h>

#define JSON_DEPTH_MAX  64
#define JSON_TOKENS_MAX 100000

/* Tokens: each string (member names too), number, literal, `[` and `{` counts one. */
struct json_limits {
    uint32_t depth_max;  /* 0 = JSON_DEPTH_MAX, which is also the most */
    uint32_t tokens_max; /* 0 = JSON_TOKENS_MAX */
};

enum json_type {
    JSON_NULL = 1,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

/* Checks the whole text. KF_INVALID bad_json or KF_LIMIT json_limit with err->offset, KF_NOMEM.
 * ret_type (may be NULL): type of the top value. NULL limits are the defaults.
 * Cost: one pass, at more than 800 MB/s; allocates only when the objects open at one time have more
 * than a hundred members together. */
kf_rc json_check(str text, const struct json_limits *limits, enum json_type *ret_type,
                 struct kf_err *err);

/* --- the tree: a document taken apart, slices into its text, all in one arena */

struct json_node {
    enum json_type type;
    uint32_t index; /* in the order of the text, 0 is the root: for tables beside the tree */
    str raw;        /* the value's exact bytes: with quotes, brackets */
    str name;       /* raw member name with quotes, when the parent is an object */
    struct json_node *next;  /* following sibling */
    struct json_node *child; /* first member or element */
    uint32_t count;          /* of members or elements */
};

/* Checks and takes apart; errors as json_check. The text and the arena must outlive the tree. */
kf_rc json_parse(str text, const struct json_limits *limits, struct arena *arena,
                 struct json_node **ret_root, struct kf_err *err);

/* The member of this (unescaped) name, NULL when absent or `object` is NULL or no object.
 * Cost: O(members). */
const struct json_node *json_member(const struct json_node *object, const char *name);
/* Unescaped text of a raw string with quotes, in the arena (a slice of `raw` when nothing is
 * escaped). .p is NULL when out of memory. May hold NUL bytes. */
str json_text(str raw, struct arena *arena);
/* Whether the raw string with quotes stands for these bytes. No allocation. */
bool json_text_is(str raw, str text);
/* The number as a 64 bit integer: false, and *ret untouched, for NULL, other types, fractions,
 * exponents (also where the value is whole) and beyond the range; json_u64 for any sign, too. */
bool json_u64(const struct json_node *n, uint64_t *ret);
bool json_i64(const struct json_node *n, int64_t *ret);

/* --- forms. Each text has passed json_check, under whatever number of tokens; one that has not is
 * refused as json_check would. Output is appended to `out`, which is as before on failure. */

/* The canonical form: members sorted by code point of their unescaped names, no blanks, strings
 * with the fewest escapes (`\"`, `\\`, \u00XX for control bytes, in lower case), numbers as
 * `[-]DIGITS` or `[-]DIGITSe[-]EXP` with neither leading nor trailing zeros in DIGITS and no
 * leading zeros in EXP, so that equal exact decimal values have equal text (1.0, 1 and 10e-1 are
 * `1`; 0, -0 and 0e9 are `0`; 1500 is `15e2`; 0.25 is `25e-2`). docs/formats.md owns the
 * definition. */
kf_rc json_canonical(str text, struct buf *out, struct kf_err *err);

/* The pretty form, which diffs well: members in their order, numbers and strings as written, two
 * blanks a level, empty containers as `{}` and `[]`, a newline at the end. */
kf_rc json_pretty(str text, struct buf *out, struct kf_err *err);

/* As json_pretty without any blanks and newlines. */
kf_rc json_compact(str text, struct buf *out, struct kf_err *err);

/* RFC 7396: `patch` applied to `target`. Members that the patch does not touch keep their exact
 * bytes and order; new ones come last, with the blanks of the member before them. Removing a member
 * takes its comma and blanks along. The result may have more tokens than either text: check it
 * before storing. */
kf_rc json_merge_patch(str target, str patch, struct buf *out, struct kf_err *err);

/* Three-way merge by top-level members: `ours` with what was changed between `base` and `theirs`.
 * A member (its canonical value, or that it is absent) changed on one side takes that side's value;
 * changed to equal values on both is no clash; changed to different ones, removed here and changed
 * there too, is a clash and takes the value of the winner: ours with ours_win, else theirs. When
 * one of the three is no object, the whole value counts as one member.
 * The text: that of `ours` when the result has the value of ours, else that of `theirs` when it has
 * that of theirs, else ours with its exact bytes and order but for the members that theirs gives
 * (their value's exact bytes); new ones come last, in their order, with the blanks of the member
 * before them. Deterministic. The result may have more tokens than either text: check it before
 * storing. *ret_clashes (may be NULL): members that clashed. Cost: O(n log n). */
kf_rc json_merge3(str base, str ours, str theirs, bool ours_win, struct buf *out,
                  uint32_t *ret_clashes, struct kf_err *err);

/* RFC 6902: a patch that makes `to` of `from`, as a compact JSON array; `[]` when their values are
 * equal. Objects by member, arrays by their longest common part (elements compared by canonical
 * value); whole values are replaced where that is the shorter answer. Bounded work: 4,000,000
 * comparisons of array elements in all; arrays beyond that are compared place by place. */
kf_rc json_diff(str from, str to, struct buf *out, struct kf_err *err);

/* Whether the canonical values are equal. */
kf_rc json_same(str a, str b, bool *ret_same, struct kf_err *err);

#endif
