/* A line is built on the stack and written at once: logging needs no memory, so that lack of memory
 * can be logged, and lines of several threads do not mix (LINE_MAX_BYTES is what a pipe takes in
 * one piece).
 *
 * A write that fails or stops in the middle loses its line. It is not repeated, for the reader of
 * the log may be slow or gone and the server must not wait for it. */
#include "base/log.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/when.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_BYTES  4096
#define VALUE_MAX_BYTES 512
#define FIELDS_MAX      16
#define TAIL_MAX_BYTES  16 /* kept free for the end of a line that is cut */

_Static_assert(LINE_MAX_BYTES <= PIPE_BUF, "a line is one piece in a pipe");

struct log {
    const struct env *env;
    int fd;
    enum log_format format;
    enum log_level level;
    _Atomic uint64_t lost; /* lines that could not be written and were not reported yet */
    atomic_bool torn;      /* the last write stopped inside its line */
};

static const char *const level_names[] = {"debug", "info", "warn", "error", "crit"};

kf_rc log_new(const struct env *env, int fd, enum log_format format, enum log_level level,
              struct log **ret_log, struct kf_err *err)
{
    struct log *log = mem_calloc(1, sizeof(*log));
    if (!log)
        return err_nomem(err);
    log->env = env;
    log->fd = fd;
    log->format = format;
    log->level = level;
    *ret_log = log;
    return KF_OK;
}

void log_free(struct log *log)
{
    mem_free(log);
}

bool log_level_parse(str s, enum log_level *ret)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
        if (str_is(s, level_names[i])) {
            *ret = (enum log_level)i;
            return true;
        }
    return false;
}

/* ------------------------------------------------------------------------------ building a line */

struct line {
    char p[LINE_MAX_BYTES];
    size_t len;
    bool full; /* something did not fit; whoever sees it goes back to where it began */
};

static void line_add(struct line *l, str s)
{
    if (l->full || s.len > LINE_MAX_BYTES - TAIL_MAX_BYTES - l->len) {
        l->full = true;
        return;
    }
    if (s.len)
        memcpy(l->p + l->len, s.p, s.len);
    l->len += s.len;
}

static void line_c(struct line *l, const char *s)
{
    line_add(l, str_of(s));
}

static void line_i64(struct line *l, int64_t v)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%lld", (long long)v);
    line_add(l, str_make(text, (size_t)n));
}

static void line_unicode(struct line *l, unsigned code)
{
    char text[8];
    int n = snprintf(text, sizeof(text), "\\u%04x", code & 0xFFFF);
    line_add(l, str_make(text, (size_t)n));
}

/* The code of a character that would act on a terminal or end a line for some reader (C0, DEL, C1,
 * U+2028, U+2029) or turn what follows around (U+202A to U+202E, U+2066 to U+2069), or 0; *ret_len:
 * its bytes. */
static unsigned acting_character(str s, size_t *ret_len)
{
    const unsigned char *p = (const unsigned char *)s.p;
    *ret_len = 1;
    if (p[0] < 0x20 || p[0] == 0x7F)
        return p[0] ? p[0] : 0x10000; /* line_unicode shows it as 0000 */
    *ret_len = 2;
    if (p[0] == 0xC2 && p[1] < 0xA0)
        return p[1];
    *ret_len = 3;
    if (p[0] == 0xE2 && (p[1] == 0x80 || p[1] == 0x81)) {
        unsigned code = 0x2000u | (unsigned)(p[1] & 1) << 6 | (p[2] & 0x3Fu);
        if ((code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069))
            return code;
    }
    return 0;
}

/* Valid UTF-8 with JSON's escapes. */
static void line_escaped(struct line *l, str s)
{
    while (s.len) {
        size_t n;
        unsigned acting = acting_character(s, &n);
        if (acting) {
            line_unicode(l, acting);
        } else {
            n = 1; /* the rest of a longer character comes through unchanged, byte by byte */
            if (s.p[0] == '"' || s.p[0] == '\\')
                line_c(l, "\\");
            line_add(l, str_make(s.p, 1));
        }
        s = str_from(s, n);
    }
}

/* At most VALUE_MAX_BYTES of `s`, not ending inside a character. */
static str cut(str s)
{
    if (s.len <= VALUE_MAX_BYTES)
        return s;
    size_t len = VALUE_MAX_BYTES;
    while (len > VALUE_MAX_BYTES - 4 && ((unsigned char)s.p[len] & 0xC0) == 0x80)
        len--;
    return str_make(s.p, len);
}

static void line_quoted(struct line *l, str s)
{
    str rest = cut(s);
    line_c(l, "\"");
    while (rest.len) {
        size_t valid = str_utf8_valid(rest);
        line_escaped(l, str_make(rest.p, valid));
        rest = str_from(rest, valid);
        if (rest.len) {
            line_c(l, "\\ufffd");
            rest = str_from(rest, 1);
        }
    }
    line_c(l, s.len > VALUE_MAX_BYTES ? "…\"" : "\"");
}

/* Whether a text value can stand without quotes: one word of visible ASCII. */
static bool plain(str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= 0x20 || c >= 0x7F || c == '"' || c == '\\' || c == '=')
            return false;
    }
    return s.len > 0 && s.len <= VALUE_MAX_BYTES;
}

static void line_field(struct line *l, enum log_format format, const struct log_field *f)
{
    line_c(l, format == LOG_JSON ? ",\"" : " ");
    line_c(l, f->key);
    line_c(l, format == LOG_JSON ? "\":" : "=");
    if (f->type == LOG_INT)
        line_i64(l, f->i);
    else if (format == LOG_TEXT && plain(f->s))
        line_add(l, f->s);
    else
        line_quoted(l, f->s);
}

static void line_head(struct line *l, const struct log *log, enum log_level level,
                      const char *event)
{
    char when[WHEN_LEN + 1];
    when_format(env_wall_ms(log->env), when);
    if (log->format == LOG_JSON) {
        line_c(l, "{\"ts\":\"");
        line_c(l, when);
        line_c(l, "\",\"lvl\":\"");
        line_c(l, level_names[level]);
        line_c(l, "\",\"ev\":\"");
        line_c(l, event);
        line_c(l, "\"");
        return;
    }
    line_c(l, when);
    line_c(l, " ");
    line_c(l, level_names[level]);
    line_c(l, strlen(level_names[level]) < 5 ? "  " : " ");
    line_c(l, event);
}

static void line_build(struct line *l, const struct log *log, enum log_level level,
                       const char *event, const struct log_field *fields)
{
    line_head(l, log, level, event);
    for (size_t i = 0; i < FIELDS_MAX && fields[i].key && !l->full; i++) {
        size_t before = l->len;
        line_field(l, log->format, &fields[i]);
        if (l->full)
            l->len = before;
    }
    bool json = log->format == LOG_JSON;
    const char *tail = json ? (l->full ? ",\"cut\":true}\n" : "}\n") : l->full ? " cut=1\n" : "\n";
    size_t len = strlen(tail);
    memcpy(l->p + l->len, tail, len); /* TAIL_MAX_BYTES were kept for it */
    l->len += len;
}

/* ------------------------------------------------------------------------------------- writing */

static bool line_write(struct log *log, const struct line *l)
{
    ssize_t n;
    do {
        n = write(log->fd, l->p, l->len);
    } while (n < 0 && errno == EINTR);
    if (n > 0)
        atomic_store(&log->torn, (size_t)n < l->len);
    return n >= 0 && (size_t)n == l->len;
}

static bool write_event(struct log *log, enum log_level level, const char *event,
                        const struct log_field *fields)
{
    struct line l;
    l.len = 0;
    l.full = false;
    if (atomic_load(&log->torn))
        line_c(&l, "\n"); /* the break that the last line did not get */
    line_build(&l, log, level, event, fields);
    return line_write(log, &l);
}

void log_write(struct log *log, enum log_level level, const char *event,
               const struct log_field *fields)
{
    if (!log || level < log->level)
        return;
    int saved = errno;
    uint64_t lost = atomic_exchange(&log->lost, 0);
    struct log_field count[] = {LOG_I("lines", lost), LOG_END};
    if (lost && !write_event(log, LOG_WARN, "log.lost", count))
        atomic_fetch_add(&log->lost, lost);
    if (!write_event(log, level, event, fields))
        atomic_fetch_add(&log->lost, 1);
    errno = saved;
}

bool log_quiet_may(struct log_quiet *q, int64_t now_ms, uint32_t most, uint32_t *ret_unsaid)
{
    if (now_ms >= q->until_ms) {
        q->until_ms = now_ms + LOG_QUIET_MS;
        q->written = 0;
    }
    *ret_unsaid = q->unsaid;
    if (q->written >= most) {
        q->unsaid++;
        return false;
    }
    q->written++;
    q->unsaid = 0;
    return true;
}
