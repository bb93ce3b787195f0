/* str: a borrowed run of bytes, never NUL-terminated by promise.
 *
 * Owns nothing and is passed by value. Whoever hands one out says how long its bytes live. */
#ifndef KF_BASE_STR_H
#define KF_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct str {
    const char *p;
    size_t len;
} str;

#define STR(lit) ((str){("" lit), sizeof(lit) - 1})
/* For printf-like calls: "%.*s", STR_ARGS(s). */
#define STR_ARGS(s) (int)(s).len, (s).p
/* The same of a name in a sentence: its first 200 bytes tell which one it is. */
#define STR_SHOWN(s) (int)((s).len < 200 ? (s).len : 200), (s).p

static inline str str_of(const char *c)
{
    return (str){c, c ? strlen(c) : 0};
}

static inline str str_make(const void *p, size_t len)
{
    return (str){p, len};
}

static inline bool str_eq(str a, str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool str_is(str a, const char *b)
{
    return str_eq(a, str_of(b));
}

/* Order of bytes, shorter first where one begins the other: the order of every list of names. */
int str_cmp(str a, str b);

/* ASCII letters of both cases are the same; other bytes must be equal. */
bool str_eq_nocase(str a, str b);

bool str_starts(str s, str prefix);
bool str_ends(str s, str suffix);
/* Whether `what` stands anywhere in `s`. */
bool str_has(str s, const char *what);

/* The part of `s` from byte `from` (at most its length) to its end. */
static inline str str_from(str s, size_t from)
{
    if (from > s.len)
        from = s.len;
    /* An empty str may have no bytes at all, and NULL + 0 is not allowed in C. */
    return from ? (str){s.p + from, s.len - from} : s;
}

/* Index of the first byte `c`, or s.len. */
static inline size_t str_index(str s, char c)
{
    const char *at = s.len ? memchr(s.p, c, s.len) : NULL;
    return at ? (size_t)(at - s.p) : s.len;
}

/* Whether it is `len` lower-case hex digits, as sites, stamps and hashes have them. */
bool str_is_hex(str s, size_t len);

/* Copies as much of `s` as `to` has room for, and a NUL behind it. `size` is not 0. */
void str_copy(char *to, size_t size, str s);

/* Copies all of `s` to *at and a NUL behind it, and moves *at behind that: for texts that lie in
 * one block. Returns the copy. */
str str_put(char **at, str s);

/* Without ASCII blanks and tabs at both ends. */
str str_trim(str s);

/* The whole of `s` as a decimal number without sign, blanks or leading zeros (other than "0"
 * itself). False, and *ret untouched, for anything else or beyond 64 bits. */
bool str_to_u64(str s, uint64_t *ret);

/* Length of the valid UTF-8 at the start of `s`: s.len when all of it is valid (RFC 3629: no
 * surrogates, no overlong forms, nothing above U+10FFFF). */
size_t str_utf8_valid(str s);

/* Bytes of the first character of `s`, with *ret its code point; 0, and *ret untouched, when `s`
 * does not begin with valid UTF-8 or is empty. */
size_t str_utf8_first(str s, uint32_t *ret);

/* Glob of configured names: `*` and `?` stay within a segment, `**` crosses `/`, everything else is
 * itself. `?` is one UTF-8 character, or one byte that belongs to none. A name over
 * STR_GLOB_NAME_MAX bytes matches nothing. Cost: O(len(pattern) * len(name)). */
#define STR_GLOB_NAME_MAX 1024
bool str_glob(str pattern, str name);

#endif
