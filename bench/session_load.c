/* session_load: the load for bench/sessions.py. One thread keeps one request under way on each of
 * some connections and says how many answers came in a second, and after which time. What it asks
 * is the same for every server; only the protocol differs.
 *
 *     session_load http[:PATH]|redis|redis-whole HOST:PORT WHAT CONNECTIONS SECONDS STREAMS STRIDE
 *                  [SCRIPT]
 *
 *     append   one entry of 200 bytes to a stream that is drawn, over http with a client id
 *     last     the last 50 entries of a stream that is drawn
 *     fill     each stream once, in order, with CONNECTIONS under way; SECONDS is how many entries
 *              each gets
 *
 *     stream   chat/NNNNNNN, the number times STRIDE
 *     SCRIPT   of redis: the SHA1 of the script that appends
 *
 * Over HTTP it is `POST PATH/KEY/entries` and `GET PATH/KEY/entries?last=50`, PATH being
 * /v1/bench/streams unless it is given. To Redis it is EVALSHA and LRANGE, of bodies; redis-whole
 * has lists of its own, full/NNNNNNN, of all that an entry says over HTTP. Prints "ANSWERS SECONDS
 * P50 P99", the last two in microseconds. Ends with 1 when an answer is not the one that was asked
 * for. */
#include "base/buf.h"
#include "base/err.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNS_MAX 1024
#define IN_MAX    (1 << 20)
#define BODY      200
#define LAST      50
#define WORDS     512
#define LATE_US   (1 << 20)

static void die(const char *what, const char *bytes, size_t len)
{
    fprintf(stderr, "session_load: %s: %.*s\n", what, (int)(len < 500 ? len : 500), bytes);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t draw(void)
{
    static uint64_t seed;
    if (!seed)
        seed = now_ns() ^ (uint64_t)getpid() << 40;
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* ------------------------------------------------------------------------------------- requests */

static struct {
    bool redis, whole;
    const char *path, *script;
    enum { APPEND, READ_LAST, FILL } what;
    unsigned streams, stride, entries; /* entries: of fill */
    unsigned next;                     /* of fill */
} plan;

static char words[WORDS][12];
static size_t word_len[WORDS];

static void make_words(void)
{
    for (size_t i = 0; i < WORDS; i++) {
        word_len[i] = 3 + draw() % 8;
        for (size_t j = 0; j < word_len[i]; j++)
            words[i][j] = (char)('a' + draw() % 26);
    }
}

/* A message of BODY bytes: words as people send them. */
static void put_body(struct buf *out)
{
    static const char begins[] = "{\"text\":\"", ends[] = "\"}";
    size_t left = BODY - (sizeof begins - 1) - (sizeof ends - 1);
    buf_c(out, begins);
    for (size_t i = draw() % WORDS; word_len[i] < left; i = draw() % WORDS) {
        buf_add(out, words[i], word_len[i]);
        buf_byte(out, ' ');
        left -= word_len[i] + 1;
    }
    buf_add(out, "..........", left);
    buf_c(out, ends);
}

static void put_hex(struct buf *out, uint64_t number)
{
    char text[16];
    for (int i = 0; i < 16; i++)
        text[i] = "0123456789abcdef"[number >> (60 - 4 * i) & 15];
    buf_add(out, text, sizeof text);
}

static void put_key(struct buf *out)
{
    unsigned number = plan.what == FILL ? plan.next++ : (unsigned)(draw() % plan.streams);
    char text[] = "chat/0000000";
    if (plan.whole)
        memcpy(text, "full", 4);
    number *= plan.stride;
    for (size_t i = sizeof text - 2; number; i--, number /= 10)
        text[i] = (char)('0' + number % 10);
    buf_c(out, text);
}

static void put_entry(struct buf *out)
{
    buf_c(out, "{\"id\":\"");
    put_hex(out, draw());
    buf_c(out, "\",\"kind\":\"user\",\"body\":");
    put_body(out);
    buf_c(out, "}");
}

static void put_head(struct buf *out, const char *method, const char *query)
{
    buf_c(out, method);
    buf_c(out, plan.path);
    buf_c(out, "/");
    put_key(out);
    buf_c(out, "/entries");
    buf_c(out, query);
    buf_c(out, " HTTP/1.1\r\nHost: localhost\r\n");
}

static void http_request(struct buf *out)
{
    static struct buf content;
    buf_clear(&content);
    if (plan.what == READ_LAST) {
        put_head(out, "GET ", "?last=50");
        buf_c(out, "\r\n");
        return;
    }
    if (plan.what == APPEND)
        put_entry(&content);
    for (unsigned i = 0; plan.what == FILL && i < plan.entries; i++) {
        buf_c(&content, i ? "," : "[");
        put_entry(&content);
    }
    if (plan.what == FILL)
        buf_c(&content, "]");
    put_head(out, "POST ", "");
    buf_c(out, "Content-Type: application/json\r\nContent-Length: ");
    buf_u64(out, content.len);
    buf_c(out, "\r\n\r\n");
    buf_add(out, content.p, content.len);
}

/* An array of strings: its length, then each. */
static void redis_word(struct buf *out, const char *word)
{
    buf_c(out, "$");
    buf_u64(out, strlen(word));
    buf_c(out, "\r\n");
    buf_c(out, word);
    buf_c(out, "\r\n");
}

static void redis_key(struct buf *out)
{
    buf_c(out, "$12\r\n");
    put_key(out);
    buf_c(out, "\r\n");
}

/* As an answer over HTTP has it. */
static void put_whole(struct buf *out, unsigned n)
{
    buf_c(out, "{\"n\":");
    buf_u64(out, n);
    buf_c(out, ",\"id\":\"");
    put_hex(out, draw());
    buf_c(out, "\",\"kind\":\"user\",\"at\":\"2026-11-09T14:23:45.123Z\",\"body\":");
    put_body(out);
    buf_c(out, "}");
}

static void redis_element(struct buf *out, unsigned n)
{
    static struct buf element;
    buf_clear(&element);
    if (plan.whole)
        put_whole(&element, n);
    else
        put_body(&element);
    buf_c(out, "$");
    buf_u64(out, element.len);
    buf_c(out, "\r\n");
    buf_add(out, element.p, element.len);
    buf_c(out, "\r\n");
}

static void redis_request(struct buf *out)
{
    unsigned bodies = plan.what == READ_LAST ? 0 : plan.what == APPEND ? 1 : plan.entries;
    buf_c(out, "*");
    buf_u64(out, plan.what == FILL ? bodies + 2 : plan.what == APPEND ? 5 : 4);
    buf_c(out, "\r\n");
    redis_word(out, plan.what == FILL ? "RPUSH" : plan.what == APPEND ? "EVALSHA" : "LRANGE");
    if (plan.what == APPEND) {
        redis_word(out, plan.script);
        redis_word(out, "1");
    }
    redis_key(out);
    for (unsigned i = 0; i < bodies; i++)
        redis_element(out, i + 1);
    if (plan.what == READ_LAST) {
        redis_word(out, "-50");
        redis_word(out, "-1");
    }
}

/* -------------------------------------------------------------------------------------- answers
 *
 * Each says how many bytes the answer at the beginning has, 0: more are needed. */

static size_t http_answer(const char *in, size_t len)
{
    const char *end = memmem(in, len, "\r\n\r\n", 4);
    if (!end)
        return 0;
    if (len < 12 || memcmp(in, "HTTP/1.1 2", 10) != 0)
        die("refused", in, len);
    for (const char *at = in; at < end;
         at = (const char *)memchr(at, '\n', (size_t)(end + 2 - at)) + 1)
        if (strncasecmp(at, "Content-Length:", 15) == 0) {
            size_t all = (size_t)(end + 4 - in) + strtoul(at + 15, NULL, 10);
            return len >= all ? all : 0;
        }
    die("without a length", in, len);
    return 0;
}

/* The bytes of one reply of Redis: a number, a string, or a list of strings. */
static size_t redis_answer(const char *in, size_t len)
{
    const char *at = in, *end = in + len;
    long left = 1;
    while (left > 0) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        if (!line)
            return 0;
        char type = *at;
        long number = strtol(at + 1, NULL, 10);
        at = line + 1;
        left--;
        if (type == '*')
            left += number;
        else if (type == '$')
            at += number + 2;
        else if (type != ':')
            die("refused", in, len);
        if (at > end)
            return 0;
    }
    return (size_t)(at - in);
}

/* Whether it has all entries that were asked for. */
static bool is_full(size_t len)
{
    return plan.what != READ_LAST || len > (size_t)LAST * BODY;
}

/* ---------------------------------------------------------------------------------- connections */

struct conn {
    int fd;
    uint64_t sent_ns;
    size_t len;
    char *in;
};

static int epoll_fd;
static unsigned under_way;
static uint32_t *late;
static uint64_t answers;
static bool ending;

static void ask(struct conn *c)
{
    static struct buf out;
    size_t done = 0;
    if (ending || (plan.what == FILL && plan.next >= plan.streams))
        return;
    buf_clear(&out);
    if (plan.redis)
        redis_request(&out);
    else
        http_request(&out);
    c->sent_ns = now_ns();
    while (done < out.len) { /* little, to a server that reads */
        ssize_t n = send(c->fd, out.p + done, out.len - done, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            die("cannot send", out.p, out.len);
        done += n > 0 ? (size_t)n : 0;
    }
    under_way++;
}

static void take(struct conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->len, IN_MAX - c->len, 0);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN)
            return;
        die("the server has hung up", c->in, c->len);
    }
    c->len += (size_t)n;
    size_t all = plan.redis ? redis_answer(c->in, c->len) : http_answer(c->in, c->len);
    if (!all)
        return;
    if (all != c->len || !is_full(all))
        die("another answer than was asked for", c->in, c->len);
    uint64_t us = (now_ns() - c->sent_ns) / 1000;
    late[us < LATE_US ? us : LATE_US - 1]++;
    answers++;
    under_way--;
    c->len = 0;
    ask(c);
}

static unsigned number(const char *text)
{
    uint64_t n = 0;
    if (!str_to_u64(str_of(text), &n) || n > 100000000)
        die("no number", text, strlen(text));
    return (unsigned)n;
}

static void connect_all(struct conn *conns, unsigned count, const char *address)
{
    const char *colon = strrchr(address, ':');
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr = {htonl(INADDR_LOOPBACK)},
                             .sin_port = htons((uint16_t)number(colon ? colon + 1 : ""))};
    int on = 1;
    epoll_fd = epoll_create1(0);
    for (unsigned i = 0; i < count; i++) {
        conns[i] = (struct conn){.fd = socket(AF_INET, SOCK_STREAM, 0), .in = malloc(IN_MAX)};
        if (!conns[i].in || connect(conns[i].fd, (struct sockaddr *)&to, sizeof to) != 0)
            die("cannot connect", address, strlen(address));
        setsockopt(conns[i].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, conns[i].fd,
                  &(struct epoll_event){.events = EPOLLIN, .data.ptr = &conns[i]});
    }
}

static unsigned percentile(unsigned of_100)
{
    uint64_t seen = 0;
    unsigned us = 0;
    while (us < LATE_US - 1 && (seen += late[us]) * 100 < answers * of_100)
        us++;
    return us;
}

static void run(struct conn *conns, unsigned count, unsigned seconds)
{
    static struct epoll_event events[CONNS_MAX];
    uint64_t start_ns = now_ns(), end_ns = start_ns + seconds * 1000000000ull, last_ns = start_ns;
    for (unsigned i = 0; i < count; i++)
        ask(&conns[i]);
    while (under_way > 0) {
        int n = epoll_wait(epoll_fd, events, CONNS_MAX, 30000);
        if (n == 0)
            die("no answer for 30 s", "", 0);
        for (int i = 0; i < n; i++)
            take(events[i].data.ptr);
        last_ns = now_ns();
        ending = plan.what != FILL && last_ns >= end_ns;
    }
    printf("%" PRIu64 " %.6f %u %u\n", answers, (double)(last_ns - start_ns) / 1e9, percentile(50),
           percentile(99));
}

int main(int argc, char **argv)
{
    static struct conn conns[CONNS_MAX];
    if (argc < 8)
        return 2;
    unsigned count = number(argv[4]);
    plan.whole = strcmp(argv[1], "redis-whole") == 0;
    plan.redis = plan.whole || strcmp(argv[1], "redis") == 0;
    plan.what = strcmp(argv[3], "append") == 0 ? APPEND
                : strcmp(argv[3], "last") == 0 ? READ_LAST
                                               : FILL;
    plan.streams = number(argv[6]);
    plan.stride = number(argv[7]);
    plan.entries = number(argv[5]);
    plan.script = argc > 8 ? argv[8] : "";
    plan.path = strncmp(argv[1], "http:", 5) == 0 ? argv[1] + 5 : "/v1/bench/streams";
    late = calloc(LATE_US, sizeof *late);
    if (!late || count == 0 || count > CONNS_MAX)
        return 2;
    make_words();
    connect_all(conns, count, argv[2]);
    run(conns, count, number(argv[5]));
    return 0;
}
