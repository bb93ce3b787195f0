/* buf: bytes that grow, with an error that sticks.
 *
 * Appending to a buf that has run out of memory does nothing, so a writer may append a whole
 * document and ask once at the end (buf_ok). A zeroed buf is an empty one.
 *
 * Threads: one at a time. */
#ifndef KF_BASE_BUF_H
#define KF_BASE_BUF_H

#include "base/str.h"

#include <keepfast.h>
#include <stdarg.h>

struct buf {
    char *p; /* always a NUL behind len when cap > 0 */
    size_t len, cap;
    bool failed;
};

#define BUF_INIT ((struct buf){0})

void buf_release(struct buf *b);
/* Empty again, memory kept, failure forgotten. */
void buf_clear(struct buf *b);
/* Room for `more` bytes behind the end; NULL (and failed) when out of memory. buf_grew() counts
 * what was written there. */
char *buf_room(struct buf *b, size_t more);
void buf_grew(struct buf *b, size_t n);

void buf_add(struct buf *b, const void *p, size_t len);
void buf_str(struct buf *b, str s);
void buf_c(struct buf *b, const char *s);
void buf_byte(struct buf *b, char c);
void buf_u64(struct buf *b, uint64_t v);
void buf_i64(struct buf *b, int64_t v);
void buf_hex(struct buf *b, const void *p, size_t len);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));
/* `s` as a JSON string with its quotes: `"`, `\` and control bytes escaped, the rest as it is.
 * Bytes that are no UTF-8 become U+FFFD, so that what we write is always JSON. */
void buf_json_string(struct buf *b, str s);
/* Whether it is one as it stands: ASCII, of which nothing is to be escaped. */
bool json_is_plain(str s);

/* Removes the first `n` bytes. Cost: O(rest). */
void buf_shift(struct buf *b, size_t n);

static inline str buf_view(const struct buf *b)
{
    return (str){b->len ? b->p : "", b->len};
}

/* KF_OK, or KF_NOMEM with the error filled. */
kf_rc buf_ok(const struct buf *b, struct kf_err *err);

/* The bytes with a NUL behind them, now the caller's (mem_free); the buf is empty. NULL when
 * failed. */
char *buf_detach(struct buf *b, size_t *ret_len);

#endif
