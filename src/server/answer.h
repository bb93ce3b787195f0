/* answer: how an answer becomes bytes for one client, and the bytes that still wait for it. Does no
 * I/O.
 *
 *     answer_begin -> answer_head -> answer_body* -> answer_end
 *
 * The router says status, headers and body; from the door come Date, Connection, and the framing:
 *
 *     the length is known         Content-Length
 *     not known, HTTP/1.1         chunked, one chunk for each piece
 *     not known, HTTP/1.0         until the connection closes
 *     HEAD, 204, 304              no body, whatever the router gives
 *
 * Control bytes in a header's value become blanks: no value can make a header or an answer of its
 * own.
 *
 * Several answers may stand behind each other (pipelining). Memory is taken as needed; running out
 * sticks (answer_failed). */
#ifndef KF_SERVER_ANSWER_H
#define KF_SERVER_ANSWER_H

#include "api/api.h"

#define ANSWER_DATE_LEN 37 /* "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" */

struct answer {
    struct buf out;
    size_t sent; /* of out: gone already */
    enum { BODY_NONE, BODY_KNOWN, BODY_CHUNKED, BODY_UNTIL_CLOSE } body;
    int64_t left; /* BODY_KNOWN */
    bool http10, head_only;
    bool keep;  /* the connection goes on after this answer */
    bool begun; /* the head is in `out` */
};

/* A request was read; what stands in `out` stays. */
void answer_begin(struct answer *a, bool http10, bool head_only, bool keep);
/* date: the whole line, ANSWER_DATE_LEN bytes. May turn a->keep off. */
void answer_head(struct answer *a, const struct api_answer *answer, str date);
void answer_body(struct answer *a, str bytes);
/* answer_body in two halves, for a caller that sends the bytes themselves past `out`. Returns false
 * when they are not to be sent. */
bool answer_piece(struct answer *a, size_t len);
void answer_piece_end(struct answer *a);
void answer_end(struct answer *a);
/* "HTTP/1.1 100 Continue" */
void answer_continue(struct answer *a);

static inline str answer_pending(const struct answer *a)
{
    return str_from(buf_view(&a->out), a->sent);
}
/* `n` bytes of it have been sent. */
void answer_sent(struct answer *a, size_t n);
static inline bool answer_failed(const struct answer *a)
{
    return a->out.failed;
}

/* The Date line for a moment, ANSWER_DATE_LEN bytes. */
void answer_date(int64_t wall_ms, char out[ANSWER_DATE_LEN]);

#endif
