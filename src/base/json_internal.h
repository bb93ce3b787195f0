/* json_internal: the scanner's events, and what the forms share. For src/base/json_*.c alone. */
#ifndef KF_BASE_JSON_INTERNAL_H
#define KF_BASE_JSON_INTERNAL_H

#include "base/json.h"

/* ------------------------------------------------------------------------------------- scanner */

/* What an event says: a value by its enum json_type, or one of these. */
#define JSON_EVENT_NAME 8 /* a member's name; its value follows */
#define JSON_EVENT_END  9 /* the innermost container ends; raw is its bracket */

struct json_event {
    int what;
    str raw; /* the token's exact bytes; of JSON_ARRAY and JSON_OBJECT the opening bracket */
};

/* A name of an object that is still open. */
struct json_name {
    uint64_t hash;  /* of the unescaped name */
    const char *at; /* its opening quote */
};

struct json_frame {
    uint64_t seen; /* which of 64 classes of hashes occurred */
    size_t names;  /* where its names begin in json_scan.names */
    bool suspect;  /* two names of one class: only then can there be a duplicate */
    bool object;
};

enum json_fault {
    JSON_FAULT_NONE,
    JSON_FAULT_VALUE,
    JSON_FAULT_NAME,
    JSON_FAULT_NAME_OR_END,
    JSON_FAULT_COLON,
    JSON_FAULT_MEMBER_NEXT,
    JSON_FAULT_ELEMENT_NEXT,
    JSON_FAULT_TRAILING,
    JSON_FAULT_DIGIT,
    JSON_FAULT_LITERAL,
    JSON_FAULT_CONTROL,
    JSON_FAULT_ESCAPE,
    JSON_FAULT_HEX,
    JSON_FAULT_SURROGATE,
    JSON_FAULT_UTF8,
    JSON_FAULT_STRING_END,
    JSON_FAULT_DUPLICATE,
    JSON_FAULT_DEPTH,
    JSON_FAULT_TOKENS,
    JSON_FAULT_MEMORY
};

#define JSON_NAMES_INLINE 128

/* One pass over one text. Not copied once begun: it points into itself. */
struct json_scan {
    const char *start, *end;
    const char *p; /* the next byte */
    int state;
    uint32_t depth, depth_max;
    uint32_t tokens_left, tokens_max;
    enum json_fault fault;
    const char *fault_at;
    struct json_frame frames[JSON_DEPTH_MAX];
    struct json_name *names; /* a stack: the names of inner objects lie above those of outer ones */
    size_t names_len, names_cap;
    struct json_name names_inline[JSON_NAMES_INLINE];
};

/* NULL limits are the defaults. */
void json_scan_begin(struct json_scan *s, str text, const struct json_limits *limits);
/* The next 1 to `max` events; 0 when the text has ended and was acceptable. Errors as json_check;
 * the scan is over then. Duplicates are found when their object ends, so up to then its events have
 * been given out. */
kf_rc json_scan_next(struct json_scan *s, struct json_event *events, size_t max, size_t *ret_count,
                     struct kf_err *err);
void json_scan_release(struct json_scan *s);

/* Fills *err with s->fault, its offset and what to do. */
kf_rc json_fault_report(const struct json_scan *s, struct kf_err *err);

/* Limits for texts that have passed a check before: no number of tokens is too many. */
extern const struct json_limits json_limits_none;

/* ------------------------------------------------------------------------------------- strings */

/* Reads the unescaped bytes of a raw string with quotes, in runs. */
struct json_unescape {
    const char *p, *end; /* what is left of it, without quotes */
    char few[4];         /* the bytes of one escape */
};
struct json_unescape json_unescape_begin(str raw);
/* The next run of bytes, in `raw` or in u->few; .len is 0 at the end. */
str json_unescape_next(struct json_unescape *u);

/* Order of the unescaped bytes of two raw strings: <0, 0, >0. That is the order of code points,
 * too. */
int json_raw_cmp(str a, str b);
/* The raw string that begins at its opening quote `at`, in text that was scanned. */
str json_raw_at(const char *at);

/* ------------------------------------------------------------------------------------- members */

/* The members of `object` sorted by unescaped name, in the arena (count of them); NULL when out of
 * memory. */
const struct json_node **json_sorted_members(const struct json_node *object, struct arena *arena);
/* The member of this raw name among `count` sorted ones: its place, or `count`. */
size_t json_sorted_find(const struct json_node *const *members, size_t count, str raw_name);

/* Sorts stably with O(n log n) comparisons and no recursion; `scratch` has room for `count`,
 * too. */
typedef int json_order(const void *a, const void *b);
void json_sort(const void **items, const void **scratch, size_t count, json_order *order);

/* --------------------------------------------------------------------------- objects, rewritten */

/* An object that is written anew after an old one, in its bytes and blanks (json_rewrite.c has the
 * drawing). For each member of the old one, in its order: json_rewrite_next; then, if it stays,
 * json_rewrite_name and the caller appends a value. New members follow by json_rewrite_name alone,
 * dressed like the last of the old ones. */
struct json_rewrite {
    struct buf *out;
    const struct json_node *object;
    const char *from;      /* behind the bracket or comma before the next member */
    str lead, colon, tail; /* around the member at hand */
    str owed;              /* behind the member written last, should another follow */
    str closing;
    bool any;
};
void json_rewrite_begin(struct json_rewrite *w, const struct json_node *object, struct buf *out);
void json_rewrite_next(struct json_rewrite *w, const struct json_node *member);
void json_rewrite_name(struct json_rewrite *w, str name);
void json_rewrite_end(struct json_rewrite *w);

/* What stands in `text` before and behind its value `root`. */
str json_text_before(str text, const struct json_node *root);
str json_text_behind(str text, const struct json_node *root);

/* ------------------------------------------------------------------------------------- values */

/* The canonical text of a number, of a string, and of one ASCII byte of a string. */
void json_put_number(struct buf *out, str raw);
void json_put_string(struct buf *out, str raw);
void json_put_escaped(struct buf *out, char c);

/* The name of a member as a token of a JSON Pointer (RFC 6901), escaped for a JSON string. */
void json_put_pointer_token(struct buf *out, str raw_name);

/* For a sentence: `s` with a NUL behind it, and when it is too long, cut between two characters,
 * "..." in its place. */
void json_shorten(str s, char *out, size_t size);

/* Whether a number is whole (1.0 and 10e-1 are), and the order of two: <0, 0, >0. False when out of
 * memory. */
bool json_number_is_whole(str raw, bool *ret_whole);
bool json_number_order(str a, str b, int *ret_order);

/* How many nodes the tree has. */
uint32_t json_node_total(const struct json_node *root);

/* Where the canonical text of a node lies in the buffer it was written to. */
struct json_span {
    size_t at, len;
};
/* Appends the canonical text of the tree; `spans` (may be NULL) has room for each node by its
 * index. */
kf_rc json_put_canonical(const struct json_node *node, struct arena *arena, struct buf *out,
                         struct json_span *spans, struct kf_err *err);

/* The end of a form: rc, or KF_NOMEM when `out` has failed; if not KF_OK, `out` is `before` bytes
 * long again. */
kf_rc json_finish(struct buf *out, size_t before, kf_rc rc, struct kf_err *err);

#endif
