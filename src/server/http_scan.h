/* http_scan: the strict look at a request's framing before llhttp parses it. Pure; fuzzed.
 *
 * A head is refused, with the status and code of the problem, for: bare LF or CR, NUL and other
 * control bytes, obs-fold, blank before the colon, empty or non-token names, HTTP/0.9 and versions
 * other than 1.0 and 1.1, absolute-form and authority-form targets, bytes of the target that are no
 * URI characters, a `%` without two hex digits behind it, two Host headers or none in 1.1, two
 * Content-Length (also equal ones), a Content-Length that is not digits, Content-Length with
 * Transfer-Encoding, any Transfer-Encoding but one `chunked` in 1.1, over 100 lines, over 16 KiB, a
 * target over 8 KiB. One empty line before the request line is let pass (RFC 9112, 2.2).
 *
 * A chunked body is refused for: a size that is not 1 to 15 hex digits, anything but `;` or CR LF
 * behind it, extensions over 256 bytes a chunk, data that does not end where the size says, and in
 * the trailer for what a head is refused for. */
#ifndef KF_SERVER_HTTP_SCAN_H
#define KF_SERVER_HTTP_SCAN_H

#include "api/api.h"

#define HTTP_EXTENSION_MAX 256

struct http_scanned {
    size_t len;   /* KF_OK: of the head with its empty line */
    bool smuggle; /* refused: it smuggles requests past a proxy, to be logged as such */
};
/* KF_OK: `bytes` begins with a whole, acceptable head; KF_BUSY (err untouched): more bytes are
 * needed, nothing wrong so far; else the problem to answer with. Cost: one pass. */
kf_rc http_scan(str bytes, struct http_scanned *ret, struct kf_err *err);

/* Where a chunked body stands. Zeroed = at its beginning. */
struct http_chunks {
    enum http_chunks_state {
        CHUNKS_SIZE,
        CHUNKS_EXTENSION,
        CHUNKS_SIZE_LF,
        CHUNKS_DATA,
        CHUNKS_DATA_CR,
        CHUNKS_DATA_LF,
        CHUNKS_TRAILER,
        CHUNKS_TRAILER_NAME,
        CHUNKS_TRAILER_VALUE,
        CHUNKS_TRAILER_LF,
        CHUNKS_END_LF,
        CHUNKS_END
    } state;
    uint32_t digits, extension_bytes, trailer_bytes, trailer_lines;
    uint64_t left; /* of the chunk's data */
};
/* Takes the next bytes of the body. *ret_len: how many of them belong to it, less than bytes.len
 * only when state has become CHUNKS_END. Otherwise the problem to answer with, always one that is
 * logged as smuggling but for limits. */
kf_rc http_chunks_scan(struct http_chunks *c, str bytes, size_t *ret_len, struct kf_err *err);

#endif
