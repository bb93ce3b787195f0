/* The scan is a hand-written descent over one cursor: each step takes what its grammar allows and
 * leaves the cursor on the byte that it does not. Running out of bytes is KF_BUSY at whatever
 * depth, so the caller calls again with more from the start.
 *
 *     head     = [CR LF] method SP target SP "HTTP/1." ("0" | "1") CR LF *line CR LF
 *     line     = 1*token ":" *(visible | SP | HTAB | obs-text) CR LF
 *
 * A chunked body, in pieces (the letters are what is waited for):
 *
 *     SIZE --hex--> SIZE     SIZE --;--> EXTENSION --CR--> SIZE_LF     SIZE --CR--> SIZE_LF
 *     SIZE_LF --LF--> DATA (size > 0) --size bytes--> DATA_CR --> DATA_LF --> SIZE
 *     SIZE_LF --LF--> TRAILER (size = 0)
 *     TRAILER --token--> TRAILER_NAME --:--> TRAILER_VALUE --CR--> TRAILER_LF --> TRAILER
 *     TRAILER --CR--> END_LF --LF--> END */
#include "server/http_scan.h"

/* Methods are short words; the bound keeps a target from hiding behind a long one. */
#define METHOD_MAX       32
#define CHUNK_DIGITS_MAX 15

enum { TOKEN = 1, URI = 2, VALUE = 4, HEX = 8, DIGIT = 16 };

/* What most bytes are: good everywhere; good in targets and values; good in names and values. */
#define ALL    (TOKEN | URI | VALUE)
#define NO_TOK (URI | VALUE)
#define NO_URI (TOKEN | VALUE)
#define A_TO_F (ALL | HEX)
#define NUMBER (ALL | HEX | DIGIT)
static const uint8_t class_of[256] = {
    ['\t'] = VALUE,      [' '] = VALUE,
    ['!'] = ALL,         ['"'] = VALUE,
    ['#'] = NO_URI,      ['$'] = ALL,
    ['%'] = ALL,         ['&'] = ALL,
    ['\''] = ALL,        ['('] = NO_TOK,
    [')'] = NO_TOK,      ['*'] = ALL,
    ['+'] = ALL,         [','] = NO_TOK,
    ['-'] = ALL,         ['.'] = ALL,
    ['/'] = NO_TOK,      ['0' ... '9'] = NUMBER,
    [':'] = NO_TOK,      [';'] = NO_TOK,
    ['<'] = VALUE,       ['='] = NO_TOK,
    ['>'] = VALUE,       ['?'] = NO_TOK,
    ['@'] = NO_TOK,      ['A' ... 'F'] = A_TO_F,
    ['G' ... 'Z'] = ALL, ['['] = NO_TOK,
    ['\\'] = VALUE,      [']'] = NO_TOK,
    ['^'] = NO_URI,      ['_'] = ALL,
    ['`'] = NO_URI,      ['a' ... 'f'] = A_TO_F,
    ['g' ... 'z'] = ALL, ['{'] = VALUE,
    ['|'] = NO_URI,      ['}'] = VALUE,
    ['~'] = ALL,         [0x80 ... 0xff] = VALUE,
};

static bool is(char c, unsigned class)
{
    return (class_of[(unsigned char)c] & class) != 0;
}

struct scan {
    str bytes; /* cut to API_HEAD_MAX */
    size_t at;
    bool smuggle;
    struct kf_err *err;

    int minor;
    unsigned lines, hosts, lengths, codings;
    bool coding_known;
};

static bool out_of_bytes(const struct scan *s)
{
    return s->at == s->bytes.len;
}

static char here(const struct scan *s)
{
    return s->bytes.p[s->at];
}

static size_t run(const struct scan *s, unsigned class)
{
    size_t at = s->at;
    while (at < s->bytes.len && is(s->bytes.p[at], class))
        at++;
    return at - s->at;
}

static kf_rc bad(struct scan *s, const char *why)
{
    return err_at(s->err, PROBLEM_BAD_REQUEST, (int64_t)s->at,
                  "%s at byte %zu of the request's head", why, s->at);
}

static kf_rc smuggled(struct scan *s, const char *why)
{
    s->smuggle = true;
    return bad(s, why);
}

/* A byte that is allowed nowhere in a line. */
static kf_rc bad_byte(struct scan *s, const char *why)
{
    switch (here(s)) {
    case '\n': return smuggled(s, "bare LF");
    case '\r': return smuggled(s, "bare CR");
    case '\0': return smuggled(s, "NUL");
    default: return bad(s, why);
    }
}

/* The cursor is on CR or on something that should have been one. */
static kf_rc take_crlf(struct scan *s, const char *why)
{
    if (out_of_bytes(s))
        return KF_BUSY;
    if (here(s) != '\r')
        return bad_byte(s, why);
    if (s->at + 1 == s->bytes.len)
        return KF_BUSY;
    if (s->bytes.p[s->at + 1] != '\n')
        return smuggled(s, "bare CR");
    s->at += 2;
    return KF_OK;
}

static kf_rc take_method(struct scan *s)
{
    size_t len = run(s, TOKEN);
    if (len > METHOD_MAX)
        return bad(s, "the method is too long");
    s->at += len;
    if (out_of_bytes(s))
        return KF_BUSY;
    if (len == 0 || here(s) != ' ')
        return bad_byte(s, "no method");
    s->at++;
    return KF_OK;
}

/* RFC 9112, 3.2: origin-form, or `*` for OPTIONS. The other forms are for proxies, and this is
 * none. */
static kf_rc check_target(struct scan *s, str method, str target)
{
    if (target.p[0] != '/' && !(str_is(target, "*") && str_is(method, "OPTIONS")))
        return bad(s, "the address does not begin with a slash");
    for (size_t i = 0; i < target.len; i++)
        if (target.p[i] == '%' &&
            (target.len - i < 3 || !is(target.p[i + 1], HEX) || !is(target.p[i + 2], HEX)))
            return bad(s, "a % in the address is not followed by two hex digits");
    return KF_OK;
}

static kf_rc take_target(struct scan *s, str method)
{
    size_t len = run(s, URI);
    if (len > API_TARGET_MAX)
        return err_set(s->err, PROBLEM_URI_TOO_LONG, "the address is longer than %d bytes",
                       API_TARGET_MAX);
    str target = {s->bytes.p + s->at, len};
    s->at += len;
    if (out_of_bytes(s))
        return KF_BUSY;
    if (len > 0 && here(s) == '\r') {
        kf_rc rc = take_crlf(s, "");
        return rc == KF_OK ? err_set(s->err, PROBLEM_HTTP_VERSION,
                                     "the request line names no HTTP version: HTTP/0.9")
                           : rc;
    }
    if (len == 0 || here(s) != ' ')
        return bad_byte(s, "the address has a byte that is no URI character");
    kf_rc rc = check_target(s, method, target);
    if (rc == KF_OK)
        s->at++;
    return rc;
}

static kf_rc take_version(struct scan *s)
{
    const char name[] = "HTTP/";
    for (size_t i = 0; name[i]; i++, s->at++) {
        if (out_of_bytes(s))
            return KF_BUSY;
        if (here(s) != name[i])
            return bad_byte(s, "no HTTP version");
    }
    char number[3];
    for (size_t i = 0; i < 3; i++, s->at++) {
        if (out_of_bytes(s))
            return KF_BUSY;
        number[i] = here(s);
        if (i == 1 ? number[i] != '.' : !is(number[i], DIGIT))
            return bad_byte(s, "no HTTP version");
    }
    if (number[0] != '1' || number[2] > '1')
        return err_set(s->err, PROBLEM_HTTP_VERSION, "HTTP/%c.%c is not supported: use 1.1 or 1.0",
                       number[0], number[2]);
    s->minor = number[2] - '0';
    return take_crlf(s, "something stands behind the HTTP version");
}

static kf_rc take_request_line(struct scan *s)
{
    if (!out_of_bytes(s) && here(s) == '\r') {
        kf_rc rc = take_crlf(s, "");
        if (rc != KF_OK)
            return rc;
    }
    size_t begin = s->at;
    kf_rc rc = take_method(s);
    if (rc == KF_OK)
        rc = take_target(s, (str){s->bytes.p + begin, s->at - begin - 1});
    if (rc == KF_OK)
        rc = take_version(s);
    return rc;
}

static kf_rc note_length(struct scan *s, str value)
{
    if (s->lengths++)
        return smuggled(s, "two Content-Length");
    if (value.len == 0)
        return smuggled(s, "Content-Length is empty");
    for (size_t i = 0; i < value.len; i++)
        if (!is(value.p[i], DIGIT))
            return smuggled(s, "Content-Length is not digits");
    /* 18 digits are below 2^63 whatever they are. */
    if (value.len > 18)
        return err_set(s->err, PROBLEM_TOO_LARGE, "Content-Length has %zu digits", value.len);
    return KF_OK;
}

/* The headers that frame a request are noted; what they mean together is checked at the end. */
static kf_rc note_header(struct scan *s, str name, str value)
{
    switch (name.len) {
    case 4:
        if (str_eq_nocase(name, STR("host")) && s->hosts++)
            return smuggled(s, "two Host headers");
        return KF_OK;
    case 14: return str_eq_nocase(name, STR("content-length")) ? note_length(s, value) : KF_OK;
    case 17:
        if (str_eq_nocase(name, STR("transfer-encoding"))) {
            if (s->codings++)
                return smuggled(s, "two Transfer-Encoding headers");
            s->coding_known = str_eq_nocase(value, STR("chunked"));
        }
        return KF_OK;
    default: return KF_OK;
    }
}

static kf_rc take_name(struct scan *s, str *ret)
{
    size_t len = run(s, TOKEN);
    *ret = (str){s->bytes.p + s->at, len};
    s->at += len;
    if (out_of_bytes(s))
        return KF_BUSY;
    if (here(s) == ':' && len > 0) {
        s->at++;
        return KF_OK;
    }
    if (here(s) == ' ' || here(s) == '\t')
        return smuggled(s, len ? "a blank before the colon" : "a folded header line");
    return bad_byte(s, len ? "a header's name has a byte that is not allowed"
                           : "a header without a name");
}

static kf_rc take_line(struct scan *s)
{
    str name;
    kf_rc rc = take_name(s, &name);
    if (rc != KF_OK)
        return rc;
    size_t len = run(s, VALUE);
    str value = str_trim((str){s->bytes.p + s->at, len});
    s->at += len;
    rc = take_crlf(s, "a header's value has a control byte");
    if (rc != KF_OK)
        return rc;
    if (++s->lines > API_HEADERS_MAX)
        return err_set(s->err, PROBLEM_HEADERS_TOO_LARGE, "more than %d header lines",
                       API_HEADERS_MAX);
    return note_header(s, name, value);
}

static kf_rc check_framing(struct scan *s)
{
    if (s->codings && s->lengths)
        return smuggled(s, "Content-Length with Transfer-Encoding");
    if (s->codings && s->minor == 0)
        return smuggled(s, "Transfer-Encoding in HTTP/1.0");
    if (s->codings && !s->coding_known)
        return err_set(s->err, PROBLEM_NOT_IMPLEMENTED, "the only Transfer-Encoding is chunked");
    if (s->minor == 1 && s->hosts == 0)
        return bad(s, "no Host header");
    return KF_OK;
}

static kf_rc take_head(struct scan *s)
{
    kf_rc rc = take_request_line(s);
    while (rc == KF_OK) {
        if (out_of_bytes(s))
            return KF_BUSY;
        if (here(s) == '\r') {
            rc = take_crlf(s, "");
            return rc == KF_OK ? check_framing(s) : rc;
        }
        rc = take_line(s);
    }
    return rc;
}

kf_rc http_scan(str bytes, struct http_scanned *ret, struct kf_err *err)
{
    struct scan s = {.bytes = bytes, .err = err};
    if (s.bytes.len > API_HEAD_MAX)
        s.bytes.len = API_HEAD_MAX;
    kf_rc rc = take_head(&s);
    if (rc == KF_BUSY && bytes.len >= API_HEAD_MAX)
        rc = err_set(err, PROBLEM_HEADERS_TOO_LARGE, "the request's head is longer than %d bytes",
                     API_HEAD_MAX);
    if (rc != KF_BUSY)
        *ret = (struct http_scanned){rc == KF_OK ? s.at : 0, s.smuggle};
    return rc;
}

/* ------------------------------------------------------------------------------------ chunks */

static kf_rc bad_chunk(struct kf_err *err, const char *why)
{
    return err_set(err, PROBLEM_BAD_REQUEST, "the chunked body is malformed: %s", why);
}

static kf_rc step_size(struct http_chunks *c, char byte, struct kf_err *err)
{
    if (is(byte, HEX)) {
        if (++c->digits > CHUNK_DIGITS_MAX)
            return bad_chunk(err, "a size has too many digits");
        unsigned digit = is(byte, DIGIT) ? (unsigned)(byte - '0')
                                         : (unsigned)((byte | 0x20) - 'a') + 10;
        c->left = c->left << 4 | digit;
        return KF_OK;
    }
    if (c->digits == 0)
        return bad_chunk(err, "no size where one is due");
    if (byte != ';' && byte != '\r')
        return bad_chunk(err, "a size is not followed by CR LF");
    c->state = byte == ';' ? CHUNKS_EXTENSION : CHUNKS_SIZE_LF;
    c->extension_bytes = 0;
    return KF_OK;
}

static kf_rc step_extension(struct http_chunks *c, char byte, struct kf_err *err)
{
    if (byte == '\r')
        c->state = CHUNKS_SIZE_LF;
    else if (!is(byte, VALUE))
        return bad_chunk(err, "an extension has a control byte");
    else if (++c->extension_bytes > HTTP_EXTENSION_MAX)
        return bad_chunk(err, "an extension is too long");
    return KF_OK;
}

static kf_rc step_trailer(struct http_chunks *c, char byte, struct kf_err *err)
{
    if (++c->trailer_bytes > API_HEAD_MAX)
        return err_set(err, PROBLEM_HEADERS_TOO_LARGE, "the trailer is longer than %d bytes",
                       API_HEAD_MAX);
    switch (c->state) {
    case CHUNKS_TRAILER:
        if (byte == '\r') {
            c->state = CHUNKS_END_LF;
            return KF_OK;
        }
        if (!is(byte, TOKEN))
            return bad_chunk(err, "a trailer line without a name");
        if (++c->trailer_lines > API_HEADERS_MAX)
            return err_set(err, PROBLEM_HEADERS_TOO_LARGE, "more than %d trailer lines",
                           API_HEADERS_MAX);
        c->state = CHUNKS_TRAILER_NAME;
        return KF_OK;
    case CHUNKS_TRAILER_NAME:
        if (byte == ':')
            c->state = CHUNKS_TRAILER_VALUE;
        else if (!is(byte, TOKEN))
            return bad_chunk(err, "a trailer's name has a byte that is not allowed");
        return KF_OK;
    default:
        if (byte == '\r')
            c->state = CHUNKS_TRAILER_LF;
        else if (!is(byte, VALUE))
            return bad_chunk(err, "a trailer's value has a control byte");
        return KF_OK;
    }
}

static kf_rc step_expected(struct http_chunks *c, char byte, char due, enum http_chunks_state next,
                           struct kf_err *err)
{
    if (byte != due)
        return bad_chunk(err, due == '\r' ? "a chunk does not end where its size says"
                                          : "CR without LF");
    c->state = next;
    return KF_OK;
}

static kf_rc step(struct http_chunks *c, char byte, struct kf_err *err)
{
    switch (c->state) {
    case CHUNKS_SIZE: return step_size(c, byte, err);
    case CHUNKS_EXTENSION: return step_extension(c, byte, err);
    case CHUNKS_SIZE_LF:
        return step_expected(c, byte, '\n', c->left ? CHUNKS_DATA : CHUNKS_TRAILER, err);
    case CHUNKS_DATA_CR: return step_expected(c, byte, '\r', CHUNKS_DATA_LF, err);
    case CHUNKS_DATA_LF: c->digits = 0; return step_expected(c, byte, '\n', CHUNKS_SIZE, err);
    case CHUNKS_TRAILER_LF: return step_expected(c, byte, '\n', CHUNKS_TRAILER, err);
    case CHUNKS_END_LF: return step_expected(c, byte, '\n', CHUNKS_END, err);
    default: return step_trailer(c, byte, err);
    }
}

kf_rc http_chunks_scan(struct http_chunks *c, str bytes, size_t *ret_len, struct kf_err *err)
{
    size_t at = 0;
    while (at < bytes.len && c->state != CHUNKS_END) {
        if (c->state == CHUNKS_DATA) {
            size_t n = bytes.len - at < c->left ? bytes.len - at : (size_t)c->left;
            at += n;
            c->left -= n;
            if (c->left == 0)
                c->state = CHUNKS_DATA_CR;
            continue;
        }
        kf_rc rc = step(c, bytes.p[at], err);
        if (rc != KF_OK)
            return rc;
        at++;
    }
    *ret_len = at;
    return KF_OK;
}
