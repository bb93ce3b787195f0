/* json: one strict scanner, and what is built on its events.
 *
 * Accepts exactly RFC 8259 in UTF-8 and nothing more: no byte order mark, no NaN, no trailing text, no duplicate
 * member names (compared after unescaping), no lone surrogate escapes, no bytes that are no UTF-8.
 * Every refusal has the byte offset of the first byte that cannot stand where it stands.
 * Numbers are never converted: they are slices of the text.
 *
 * Iterative: depth costs no stack. Everything is bounded by json_limits.
 *
 * Threads: a reader belongs to one thread; the functions are pure. */
#ifndef KF_BASE_JSON_H
#define KF_BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"

#include <keepfast.h>

#define JSON_DEPTH_MAX  64
#define JSON_TOKENS_MAX 100000

/* Tokens: each string (member names too), number, literal, `[` and `{` counts one. */
struct json_limits {
    uint32_t depth_max, tokens_max; /* 0 = the defaults above */
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
 * *ret_type (may be NULL): type of the top value. Cost: one pass; aims at 800 MB/s. */
kf_rc json_check(str text, const struct json_limits *limits, enum json_type *ret_type,
                 struct kf_err *err);

/* --- the tree: a document taken apart, slices into its text, all in one arena */

struct json_node {
    enum json_type type;
    str raw;                /* the value's exact bytes: with quotes, brackets */
    str name;               /* raw member name with quotes, when the parent is an object */
    struct json_node *next; /* following sibling */
    struct json_node *child; /* first member or element */
    uint32_t count;         /* of members or elements */
};

/* Checks and takes apart. The text and the arena must outlive the tree. */
kf_rc json_parse(str text, const struct json_limits *limits, struct arena *arena,
                 struct json_node **ret_root, struct kf_err *err);

/* The member of this (unescaped) name, NULL when absent or `object` is no object. */
const struct json_node *json_member(const struct json_node *object, const char *name);
/* Unescaped text of a raw string with quotes, in the arena (not copied when nothing is escaped). .p is NULL when out of memory. */
str json_text(str raw, struct arena *arena);
/* The number as an unsigned 64 bit integer: false for other types, signs, fractions, exponents, beyond the range. */
bool json_u64(const struct json_node *n, uint64_t *ret);
bool json_i64(const struct json_node *n, int64_t *ret);

/* --- forms of a checked document. The text must have passed json_check. */

/* The canonical form, appended to `out`: members sorted by code point of their unescaped names, no blanks, strings with the
 * fewest escapes (`\"`, `\\`, \u00XX for control bytes, in lower case), numbers as `[-]DIGITS` or `[-]DIGITSe[-]EXP` with neither
 * leading nor trailing zeros in DIGITS, so that equal exact decimal values have equal text (1.0, 1 and 10e-1 are `1`; 0, -0 and 0e9 are `0`;
 * 1500 is `15e2`). docs/formats.md owns the definition. */
kf_rc json_canonical(str text, struct buf *out, struct kf_err *err);

/* The pretty form, which diffs well: members in their order, numbers and strings as written, two blanks a level, a newline at the end. */
kf_rc json_pretty(str text, struct buf *out, struct kf_err *err);

/* RFC 7396: `patch` applied to `target`, appended to `out`. Members that the patch does not touch keep their exact bytes and order; new ones come
 * last. Removing a member takes its comma and blanks along. */
kf_rc json_merge_patch(str target, str patch, struct buf *out, struct kf_err *err);

/* RFC 6902: a patch that makes `to` of `from`, appended to `out` as a JSON array; `[]` when their values are equal. Objects by member, arrays by
 * their longest common part (elements compared by canonical value); whole values are replaced where that is the shorter answer or the
 * arrays are too large to compare (bounded work: 4,000,000 steps). */
kf_rc json_diff(str from, str to, struct buf *out, struct kf_err *err);

/* Whether the canonical values are equal. */
kf_rc json_same(str a, str b, bool *ret_same, struct kf_err *err);

#endif
