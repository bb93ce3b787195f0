/* The framing of requests as a hostile client would send it. The first byte chooses: a head, or a
 * chunked body; both whole and in two pieces. What the scan takes, llhttp must end at the same byte
 * and read as the same headers and data, or refuse. */
#include "server/http_scan.h"

#include <assert.h>
#include <llhttp.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    size_t headers, body;
    uint64_t sum; /* of the body's bytes with their places */
    bool complete, whole;
};

static int on_value(llhttp_t *p, const char *at, size_t len)
{
    struct seen *s = p->data;
    s->headers += !s->complete;
    return 0;
}

static int on_head(llhttp_t *p)
{
    ((struct seen *)p->data)->complete = true;
    p->upgrade = 0;
    return 0;
}

static void add(struct seen *s, const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        s->sum += (uint64_t)(unsigned char)at[i] * (2 * s->body++ + 1);
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    add(p->data, at, len);
    return 0;
}

static int on_whole(llhttp_t *p)
{
    ((struct seen *)p->data)->whole = true;
    return 0;
}

static const llhttp_settings_t settings = {.on_header_value = on_value,
                                           .on_headers_complete = on_head,
                                           .on_body = on_body,
                                           .on_message_complete = on_whole};

static size_t count_lines(str s)
{
    size_t lines = 0;
    for (size_t i = 0; i + 1 < s.len; i++)
        lines += s.p[i] == '\r' && s.p[i + 1] == '\n';
    return lines;
}

static void fuzz_head(str bytes, size_t cut)
{
    struct http_scanned scanned, early;
    kf_rc rc = http_scan(bytes, &scanned, NULL);
    if (cut < bytes.len) {
        kf_rc before = http_scan((str){bytes.p, cut}, &early, NULL);
        /* Nothing is refused that would have been taken, nothing taken that would have been
         * refused. */
        assert(before == KF_BUSY || before == rc || (before == KF_LIMIT && rc != KF_OK));
    }
    if (rc != KF_OK)
        return;
    assert(scanned.len <= bytes.len && scanned.len <= API_HEAD_MAX);
    llhttp_t p;
    struct seen seen = {0};
    llhttp_init(&p, HTTP_REQUEST, &settings);
    p.data = &seen;
    if (llhttp_execute(&p, bytes.p, scanned.len) != HPE_OK)
        return;
    size_t lines = count_lines((str){bytes.p, scanned.len}) - 2 - (bytes.p[0] == '\r');
    assert(seen.complete && seen.headers == lines);
}

static void fuzz_chunks(str bytes, size_t cut)
{
    struct http_chunks c = {0}, pieces = {0};
    size_t len = 0, first = 0, second = 0;
    kf_rc rc = http_chunks_scan(&c, bytes, &len, NULL);
    if (cut > bytes.len)
        cut = bytes.len;
    kf_rc in_pieces = http_chunks_scan(&pieces, (str){bytes.p, cut}, &first, NULL);
    if (in_pieces == KF_OK)
        in_pieces = http_chunks_scan(&pieces, str_from(bytes, first), &second, NULL);
    assert(rc == in_pieces);
    if (rc != KF_OK)
        return;
    assert(len == first + second && c.state == pieces.state);

    llhttp_t p;
    struct seen seen = {0}, ours = {0};
    str head = STR("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    llhttp_init(&p, HTTP_REQUEST, &settings);
    p.data = &seen;
    assert(llhttp_execute(&p, head.p, head.len) == HPE_OK);
    if (llhttp_execute(&p, bytes.p, len) != HPE_OK)
        return;
    assert(seen.whole == (c.state == CHUNKS_END));
    struct http_chunks one = {0};
    for (size_t i = 0, took; i < len; i++) {
        if (one.state == CHUNKS_DATA)
            add(&ours, bytes.p + i, 1);
        assert(http_chunks_scan(&one, (str){bytes.p + i, 1}, &took, NULL) == KF_OK);
    }
    assert(seen.body == ours.body && seen.sum == ours.sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    str bytes = str_make(data + 2, size - 2);
    (data[0] % 2 ? fuzz_chunks : fuzz_head)(bytes, data[1]);
    return 0;
}
