#include "testing.h"

#include "server/answer.h"
#include "server/http_scan.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

struct head_case {
    const char *name;
    int status;
    bool later; /* refused, but not by the scan */
    str bytes;
};
static const struct head_case heads[] = {
#define H(name, status, bytes) {name, status, false, {bytes, sizeof(bytes) - 1}},
#define L(name, status, bytes) {name, status, true, {bytes, sizeof(bytes) - 1}},
#include "../http/heads.def"
#undef L
#undef H
};
#define HEADS (sizeof(heads) / sizeof(heads[0]))

struct chunk_case {
    const char *name;
    int status;
    bool later;
    size_t data;
    str bytes;
};
static const struct chunk_case chunks[] = {
#define B(name, status, data, bytes) {name, status, false, data, {bytes, sizeof(bytes) - 1}},
#define L(name, status, data, bytes) {name, status, true, data, {bytes, sizeof(bytes) - 1}},
#include "../http/chunks.def"
#undef L
#undef B
};
#define CHUNKS (sizeof(chunks) / sizeof(chunks[0]))

/* The status of a head: 200, 0 when it is not complete, else the problem's. */
static int status_of(str bytes, struct http_scanned *ret)
{
    struct kf_err err = KF_ERR_INIT;
    *ret = (struct http_scanned){0, false};
    kf_rc rc = http_scan(bytes, ret, &err);
    if (rc == KF_BUSY)
        return 0;
    return rc == KF_OK ? 200 : err.http_status;
}

static void heads_get_their_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < HEADS; i++) {
        struct http_scanned scanned;
        int status = status_of(heads[i].bytes, &scanned);
        if (status != (heads[i].later ? 200 : heads[i].status))
            fail_msg("%s: %d instead of %d", heads[i].name, status, heads[i].status);
        if (status == 200)
            assert_memory_equal(heads[i].bytes.p + scanned.len - 4, "\r\n\r\n", 4);
    }
}

/* A head in pieces: never accepted or refused for another reason than when it comes whole. */
static void a_head_may_come_in_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < HEADS; i++) {
        struct http_scanned whole, part;
        int status = status_of(heads[i].bytes, &whole);
        size_t end = status == 200 ? whole.len : heads[i].bytes.len;
        for (size_t len = 0; len < end; len++) {
            /* At the very place, so that the sanitizer sees a byte too many. */
            char *copy = malloc(len + 1);
            memcpy(copy, heads[i].bytes.p, len);
            int early = status_of((str){copy, len}, &part);
            free(copy);
            if (early != 0 && (status == 200 || early != status))
                fail_msg("%s: %d after %zu bytes, %d when whole", heads[i].name, early, len,
                         status);
        }
    }
}

static void what_follows_is_not_looked_at(void **state)
{
    (void)state;
    const char bytes[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n\n\0 garbage";
    struct http_scanned scanned;
    assert_int_equal(status_of((str){bytes, sizeof(bytes)}, &scanned), 200);
    assert_int_equal(scanned.len, 27);
}

static void smuggling_is_marked(void **state)
{
    (void)state;
    static const char *const smuggle[] = {"length and chunked",
                                          "chunked and length",
                                          "two lengths",
                                          "two equal lengths",
                                          "folded with a blank",
                                          "LF behind a header",
                                          "CR in a value",
                                          "two Hosts",
                                          "blank before the colon",
                                          "NUL in a value",
                                          "length with plus",
                                          "two encodings",
                                          "encoding in HTTP/1.0",
                                          "length and unknown encoding"};
    static const char *const other[] = {"no Host", "fragment", "HTTP/2.0", "unknown encoding",
                                        "no slash"};
    size_t seen = 0;
    for (size_t i = 0; i < HEADS; i++) {
        struct http_scanned scanned;
        status_of(heads[i].bytes, &scanned);
        for (size_t j = 0; j < sizeof(smuggle) / sizeof(smuggle[0]); j++)
            if (strcmp(heads[i].name, smuggle[j]) == 0) {
                assert_true(scanned.smuggle);
                seen++;
            }
        for (size_t j = 0; j < sizeof(other) / sizeof(other[0]); j++)
            if (strcmp(heads[i].name, other[j]) == 0) {
                assert_false(scanned.smuggle);
                seen++;
            }
    }
    assert_int_equal(seen, sizeof(smuggle) / sizeof(smuggle[0]) + sizeof(other) / sizeof(other[0]));
}

/* "GET /aaa… HTTP/1.1" with a target of `target` bytes and `lines` further lines of `line` bytes
 * each. */
static int sized(size_t target, size_t lines, size_t line, size_t cut)
{
    struct buf b = BUF_INIT;
    buf_c(&b, "GET /");
    for (size_t i = 1; i < target; i++)
        buf_byte(&b, 'a');
    buf_c(&b, " HTTP/1.1\r\nHost: localhost\r\n");
    for (size_t i = 0; i < lines; i++) {
        buf_c(&b, "X: ");
        for (size_t j = 5; j < line; j++)
            buf_byte(&b, 'x');
        buf_c(&b, "\r\n");
    }
    buf_c(&b, "\r\n");
    struct http_scanned scanned;
    int status = status_of((str){b.p, cut && cut < b.len ? cut : b.len}, &scanned);
    buf_release(&b);
    return status;
}

static void limits_are_exact(void **state)
{
    (void)state;
    assert_int_equal(sized(8192, 0, 0, 0), 200);
    assert_int_equal(sized(8193, 0, 0, 0), 414);
    assert_int_equal(sized(20000, 0, 0, 0), 414);
    assert_int_equal(sized(20000, 0, 0, 8000), 0);
    assert_int_equal(sized(20000, 0, 0, 9000), 414);
    assert_int_equal(sized(1, 99, 20, 0), 200);
    assert_int_equal(sized(1, 100, 20, 0), 431);
    assert_int_equal(sized(1, 100, 20, 500), 0);
    /* The head without the line has 15 + 17 + 2 bytes. */
    assert_int_equal(sized(1, 1, 16384 - 35, 0), 200);
    assert_int_equal(sized(1, 1, 16384 - 34, 0), 431);
    assert_int_equal(sized(1, 1, 16384 - 34, 16383), 0);
    assert_int_equal(sized(1, 1, 100000, 0), 431);
}

/* Feeds a body in pieces of `step` bytes; the status, and how many bytes of data went by. */
static int chunk_status(str bytes, size_t step, size_t *ret_data)
{
    struct http_chunks c = {0};
    struct kf_err err = KF_ERR_INIT;
    *ret_data = 0;
    for (size_t at = 0; at < bytes.len && c.state != CHUNKS_END;) {
        size_t n = bytes.len - at < step ? bytes.len - at : step, took = 0;
        uint64_t before = c.state == CHUNKS_DATA ? c.left : 0;
        if (http_chunks_scan(&c, (str){bytes.p + at, n}, &took, &err) != KF_OK)
            return err.http_status;
        if (step == 1 && before > 0)
            *ret_data += (size_t)(before - c.left);
        assert_true(took == n || c.state == CHUNKS_END);
        at += took;
    }
    return c.state == CHUNKS_END ? 200 : 0;
}

static void chunks_get_their_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < CHUNKS; i++)
        for (size_t step = 1; step < 40; step++) {
            size_t data;
            int status = chunk_status(chunks[i].bytes, step, &data);
            if (status != (chunks[i].later ? 200 : chunks[i].status))
                fail_msg("%s in pieces of %zu: %d instead of %d", chunks[i].name, step, status,
                         chunks[i].status);
            if (step == 1)
                assert_int_equal(data, chunks[i].data);
        }
}

static int repeated(const char *begin, const char *again, size_t times, const char *end)
{
    struct buf b = BUF_INIT;
    size_t data;
    buf_c(&b, begin);
    for (size_t i = 0; i < times; i++)
        buf_c(&b, again);
    buf_c(&b, end);
    int status = chunk_status(buf_view(&b), 1000, &data);
    buf_release(&b);
    return status;
}

static void limits_of_chunks_are_exact(void **state)
{
    (void)state;
    assert_int_equal(repeated("1;", "e", 256, "\r\nx\r\n0\r\n\r\n"), 200);
    assert_int_equal(repeated("1;", "e", 257, "\r\nx\r\n0\r\n\r\n"), 400);
    assert_int_equal(repeated("", "1;eeeeeeee\r\nx\r\n", 1000, "0\r\n\r\n"), 200);
    assert_int_equal(repeated("0\r\n", "X: a\r\n", 100, "\r\n"), 200);
    assert_int_equal(repeated("0\r\n", "X: a\r\n", 101, "\r\n"), 431);
    assert_int_equal(repeated("0\r\nX: ", "a", 16000, "\r\n\r\n"), 200);
    assert_int_equal(repeated("0\r\nX: ", "a", 17000, "\r\n\r\n"), 431);
}

/* ------------------------------------------------------------------------------------ answer */

static str date(void)
{
    static char line[ANSWER_DATE_LEN];
    answer_date(784111777000, line);
    return (str){line, sizeof(line)};
}

static void dates_are_in_the_form_of_http(void **state)
{
    (void)state;
    assert_memory_equal(date().p, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", ANSWER_DATE_LEN);
    char line[ANSWER_DATE_LEN];
    answer_date(INT64_MAX, line);
    assert_memory_equal(line, "Date: Thu, 01 Jan 1970", 22);
    answer_date(951782400000, line);
    assert_memory_equal(line, "Date: Tue, 29 Feb 2000 00:00:00 GMT\r\n", ANSWER_DATE_LEN);
}

/* An answer with one piece of body, as text without its date. */
static const char *rendered(bool http10, bool head_only, bool keep, int status, int64_t len,
                            str body)
{
    static char text[1024];
    struct answer a = {.out = BUF_INIT};
    answer_begin(&a, http10, head_only, keep);
    answer_head(&a, &(struct api_answer){.status = status, .body_len = len}, date());
    answer_body(&a, body);
    answer_end(&a);
    assert_false(answer_failed(&a));
    str p = answer_pending(&a);
    const char *at = strstr(p.p, "Date:");
    snprintf(text, sizeof(text), "%.*s%s", (int)(at - p.p), p.p, at + ANSWER_DATE_LEN);
    buf_release(&a.out);
    return text;
}

static void answers_are_framed(void **state)
{
    (void)state;
    assert_string_equal(rendered(false, false, true, 200, 2, STR("ok")),
                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_string_equal(
        rendered(false, false, true, 200, -1, STR("ok")),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    assert_string_equal(rendered(false, false, false, 404, 0, STR("")),
                        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_string_equal(rendered(true, false, true, 200, 2, STR("ok")),
                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok");
    assert_string_equal(rendered(true, false, true, 200, -1, STR("ok")),
                        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok");
    assert_string_equal(rendered(false, true, true, 200, 9, STR("ok")),
                        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    assert_string_equal(rendered(false, true, true, 200, -1, STR("")),
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_string_equal(rendered(false, false, true, 204, 0, STR("")),
                        "HTTP/1.1 204 No Content\r\n\r\n");
    assert_string_equal(rendered(false, false, true, 304, -1, STR("x")),
                        "HTTP/1.1 304 Not Modified\r\n\r\n");
    assert_string_equal(rendered(false, false, true, 299, 0, STR("")),
                        "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n");
}

/* Every status of the table of problems has its words. */
static void problems_have_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < PROBLEM_COUNT; i++) {
        int status = problem_table[i].http_status;
        char bare[32];
        snprintf(bare, sizeof(bare), "HTTP/1.1 %d \r\n", status);
        if (status != 0 &&
            strncmp(rendered(false, false, true, status, 0, STR("")), bare, strlen(bare)) == 0)
            fail_msg("no words for %d", status);
    }
}

static void no_value_makes_a_header(void **state)
{
    (void)state;
    struct api_header evil = {STR("X"), {"a\r\nY: b\0c\x7f\t", 11}};
    struct answer a = {.out = BUF_INIT};
    answer_begin(&a, false, false, true);
    answer_head(&a, &(struct api_answer){200, &evil, 1, 0}, date());
    answer_end(&a);
    assert_non_null(strstr(a.out.p, "\r\nX: a  Y: b c  \r\nDate"));
    buf_release(&a.out);
}

static void what_is_sent_is_forgotten(void **state)
{
    (void)state;
    static char bytes[200 * 1000];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)('a' + i % 23);
    struct answer a = {.out = BUF_INIT};
    answer_begin(&a, true, false, false);
    answer_head(&a, &(struct api_answer){200, NULL, 0, -1}, date());
    answer_sent(&a, answer_pending(&a).len);
    answer_body(&a, (str){bytes, sizeof(bytes)});
    answer_end(&a);
    for (size_t at = 0; at < sizeof(bytes);) {
        str p = answer_pending(&a);
        assert_int_equal(p.len, sizeof(bytes) - at);
        assert_memory_equal(p.p, bytes + at, p.len);
        size_t n = p.len < 7001 ? p.len : 7001;
        answer_sent(&a, n);
        at += n;
    }
    assert_int_equal(answer_pending(&a).len, 0);
    buf_release(&a.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_get_their_status),
        cmocka_unit_test(a_head_may_come_in_pieces),
        cmocka_unit_test(what_follows_is_not_looked_at),
        cmocka_unit_test(smuggling_is_marked),
        cmocka_unit_test(limits_are_exact),
        cmocka_unit_test(chunks_get_their_status),
        cmocka_unit_test(limits_of_chunks_are_exact),
        cmocka_unit_test(dates_are_in_the_form_of_http),
        cmocka_unit_test(answers_are_framed),
        cmocka_unit_test(problems_have_words),
        cmocka_unit_test(no_value_makes_a_header),
        cmocka_unit_test(what_is_sent_is_forgotten),
    };
    return cmocka_run_group_tests_name("http_scan", tests, NULL, NULL);
}
