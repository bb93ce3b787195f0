/* http_scan: the strict look at a request's head before llhttp parses it. Pure; fuzzed.
 *
 * Refused, each with the status and code of PROMISES: bare LF or CR, NUL and other control bytes, obs-fold, blank before the colon, empty or non-token names,
 * HTTP/0.9 and versions other than 1.0 and 1.1, absolute-form and authority-form targets, bytes of the target that are no URI characters, two Host headers or none in
 * 1.1, two Content-Length (also equal ones), a Content-Length that is not digits, Content-Length with Transfer-Encoding, any Transfer-Encoding but one `chunked`, over 100 lines. */
#ifndef KF_SERVER_HTTP_SCAN_H
#define KF_SERVER_HTTP_SCAN_H

#include "api/api.h"

struct http_scanned {
    size_t len;      /* of the head with its empty line */
    bool smuggle;    /* the refusal is one of those that smuggle requests: logged */
};
/* KF_OK: `bytes` begins with a whole, acceptable head; KF_BUSY: more bytes are needed (nothing wrong so far); else the problem to answer with. */
kf_rc http_scan(str bytes, struct http_scanned *ret, struct kf_err *err);

#endif
