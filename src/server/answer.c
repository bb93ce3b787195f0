#include "server/answer.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

/* Sent bytes are cut off when there are this many: moving the rest costs less than keeping them. */
#define CUT_BYTES (64 * 1024)

static const struct status {
    int status;
    str line;
} statuses[] = {
#define STATUS(code, text)                                                                   \
    {                                                                                        \
        code,                                                                                \
        {                                                                                    \
            "HTTP/1.1 " #code " " text "\r\n", sizeof("HTTP/1.1 " #code " " text "\r\n") - 1 \
        }                                                                                    \
    }
    STATUS(200, "OK"),
    STATUS(201, "Created"),
    STATUS(204, "No Content"),
    STATUS(202, "Accepted"),
    STATUS(206, "Partial Content"),
    STATUS(304, "Not Modified"),
    STATUS(400, "Bad Request"),
    STATUS(401, "Unauthorized"),
    STATUS(403, "Forbidden"),
    STATUS(404, "Not Found"),
    STATUS(405, "Method Not Allowed"),
    STATUS(408, "Request Timeout"),
    STATUS(409, "Conflict"),
    STATUS(410, "Gone"),
    STATUS(411, "Length Required"),
    STATUS(412, "Precondition Failed"),
    STATUS(413, "Content Too Large"),
    STATUS(414, "URI Too Long"),
    STATUS(415, "Unsupported Media Type"),
    STATUS(416, "Range Not Satisfiable"),
    STATUS(422, "Unprocessable Content"),
    STATUS(426, "Upgrade Required"),
    STATUS(429, "Too Many Requests"),
    STATUS(431, "Request Header Fields Too Large"),
    STATUS(500, "Internal Server Error"),
    STATUS(501, "Not Implemented"),
    STATUS(503, "Service Unavailable"),
    STATUS(505, "HTTP Version Not Supported"),
    STATUS(507, "Insufficient Storage"),
#undef STATUS
};

static void put_status(struct buf *out, int status)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        if (statuses[i].status == status) {
            buf_str(out, statuses[i].line);
            return;
        }
    /* The reason is optional, its blank is not. */
    buf_printf(out, "HTTP/1.1 %d \r\n", status);
}

static void put_value(struct buf *out, str value)
{
    size_t from = out->len;
    buf_str(out, value);
    for (size_t i = from; i < out->len; i++)
        if ((unsigned char)out->p[i] < ' ' || out->p[i] == 0x7f)
            out->p[i] = ' ';
}

static void put_header(struct buf *out, str name, str value)
{
    buf_str(out, name);
    buf_str(out, STR(": "));
    put_value(out, value);
    buf_str(out, STR("\r\n"));
}

void answer_begin(struct answer *a, bool http10, bool head_only, bool keep)
{
    a->http10 = http10;
    a->head_only = head_only;
    a->keep = keep;
    a->begun = false;
    a->body = BODY_NONE;
    a->left = 0;
}

static void choose_body(struct answer *a, const struct api_answer *answer)
{
    if (answer->status == 204 || answer->status == 304)
        a->body = BODY_NONE;
    else if (answer->body_len >= 0)
        a->body = BODY_KNOWN;
    else
        a->body = a->http10 ? BODY_UNTIL_CLOSE : BODY_CHUNKED;
    a->left = answer->body_len;
    if (a->body == BODY_UNTIL_CLOSE)
        a->keep = false;
}

void answer_head(struct answer *a, const struct api_answer *answer, str date)
{
    assert(!a->begun && date.len == ANSWER_DATE_LEN);
    struct buf *out = &a->out;
    a->begun = true;
    choose_body(a, answer);
    put_status(out, answer->status);
    for (size_t i = 0; i < answer->header_count; i++)
        put_header(out, answer->headers[i].name, answer->headers[i].value);
    buf_str(out, date);
    if (a->body == BODY_KNOWN) {
        buf_str(out, STR("Content-Length: "));
        buf_i64(out, answer->body_len);
        buf_str(out, STR("\r\n"));
    } else if (a->body == BODY_CHUNKED) {
        buf_str(out, STR("Transfer-Encoding: chunked\r\n"));
    }
    if (!a->keep)
        buf_str(out, STR("Connection: close\r\n"));
    else if (a->http10)
        buf_str(out, STR("Connection: keep-alive\r\n"));
    buf_str(out, STR("\r\n"));
    if (a->head_only)
        a->body = BODY_NONE;
}

bool answer_piece(struct answer *a, size_t len)
{
    assert(a->begun);
    if (a->body == BODY_NONE || len == 0)
        return false;
    if (a->body == BODY_KNOWN) {
        assert((int64_t)len <= a->left);
        a->left -= (int64_t)len;
    } else if (a->body == BODY_CHUNKED) {
        buf_printf(&a->out, "%zx\r\n", len);
    }
    return true;
}

void answer_piece_end(struct answer *a)
{
    if (a->body == BODY_CHUNKED)
        buf_str(&a->out, STR("\r\n"));
}

void answer_body(struct answer *a, str bytes)
{
    if (!answer_piece(a, bytes.len))
        return;
    buf_str(&a->out, bytes);
    answer_piece_end(a);
}

void answer_end(struct answer *a)
{
    assert(a->begun && (a->body != BODY_KNOWN || a->left == 0));
    if (a->body == BODY_CHUNKED)
        buf_str(&a->out, STR("0\r\n\r\n"));
}

void answer_continue(struct answer *a)
{
    assert(!a->begun);
    buf_str(&a->out, STR("HTTP/1.1 100 Continue\r\n\r\n"));
}

void answer_sent(struct answer *a, size_t n)
{
    assert(n <= a->out.len - a->sent);
    a->sent += n;
    if (a->sent == a->out.len && !a->out.failed) {
        buf_clear(&a->out);
        a->sent = 0;
    } else if (a->sent >= CUT_BYTES) {
        buf_shift(&a->out, a->sent);
        a->sent = 0;
    }
}

/* RFC 9110, 5.6.7; never in the words of a locale. */
void answer_date(int64_t wall_ms, char out[ANSWER_DATE_LEN])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    char line[ANSWER_DATE_LEN + 16];
    if (!gmtime_r(&seconds, &tm) || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900) {
        seconds = 0;
        gmtime_r(&seconds, &tm);
    }
    snprintf(line, sizeof(line), "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n",
             days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900,
             tm.tm_hour, tm.tm_min, tm.tm_sec);
    memcpy(out, line, ANSWER_DATE_LEN);
}
