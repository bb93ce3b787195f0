/* The manifest and parts of it, written and read. Reading is strict by construction: a line is
 * taken apart as JSON, and must come out the same byte for byte when it is written again. Unknown
 * members, another order, a number with a fraction, an escape more than needed: all are refused
 * without a rule of their own. */
#include "remote/portable.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/json.h"
#include "base/when.h"
#include "shape/doc.h"
#include "store/clock.h"

#include <inttypes.h>

static const char *const holds_words[] = {
    [PORTABLE_STATE] = "state",
    [PORTABLE_BACKUP] = "backup",
    [PORTABLE_PENDING] = "pending",
};
#define HOLDS_COUNT (sizeof(holds_words) / sizeof(holds_words[0]))

/* ------------------------------------------------------------------------------------- writing */

static void put_text(struct buf *out, const char *before, str value)
{
    buf_c(out, before);
    buf_json_string(out, value);
}

static void put_number(struct buf *out, const char *before, uint64_t value)
{
    buf_c(out, before);
    buf_u64(out, value);
}

static void put_stamp(struct buf *out, int64_t stamp)
{
    buf_printf(out, ",\"stamp\":\"%016" PRIx64 "\"", (uint64_t)stamp);
}

static void put_time(struct buf *out, int64_t at_ms)
{
    char text[WHEN_LEN + 1];
    when_format(at_ms, text);
    buf_printf(out, ",\"at\":\"%s\"", text);
}

static void put_head(struct buf *out, const struct portable_entry *e)
{
    buf_printf(out, "{\"keepfast\":\"manifest\",\"format\":%d,\"holds\":\"%s\"", PORTABLE_FORMAT,
               holds_words[e->holds]);
    put_text(out, ",\"site\":", e->site);
    put_number(out, ",\"push\":", e->push);
    put_number(out, ",\"seq\":", e->seq);
    put_stamp(out, e->stamp);
    put_time(out, e->at_ms);
}

static void put_version(struct buf *out, const struct portable_entry *e)
{
    put_text(out,
             e->line == PORTABLE_DOC    ? "{\"doc\":"
             : e->line == PORTABLE_FILE ? "{\"file\":"
                                        : "{\"past\":",
             e->name);
    put_number(out, ",\"version\":", e->version);
    put_stamp(out, e->stamp);
    put_text(out, ",\"site\":", e->site);
    put_time(out, e->at_ms);
    if (e->line == PORTABLE_PAST)
        put_text(out, ",\"kind\":", e->kind);
    if (e->deleted) {
        buf_c(out, ",\"deleted\":true");
    } else {
        put_number(out, ",\"size\":", e->size);
        put_text(out, ",\"hash\":", e->hash);
        if (e->line == PORTABLE_FILE) {
            put_text(out, ",\"path\":", e->path);
            put_text(out, ",\"text\":", e->text);
        }
    }
}

static void put_line(struct buf *out, const struct portable_entry *e)
{
    switch (e->line) {
    case PORTABLE_HEAD: put_head(out, e); break;
    case PORTABLE_SEEN:
        put_text(out, "{\"seen\":", e->site);
        put_number(out, ",\"seq\":", e->seq);
        break;
    case PORTABLE_DOC:
    case PORTABLE_FILE:
    case PORTABLE_PAST: put_version(out, e); break;
    case PORTABLE_RETIRED:
        put_text(out, "{\"retired\":", e->name);
        put_time(out, e->at_ms);
        break;
    case PORTABLE_END:
        put_number(out, "{\"end\":", e->seq);
        put_text(out, ",\"hash\":", e->hash);
        break;
    }
    buf_c(out, "}\n");
}

void portable_write_begin(struct portable_writer *w, struct buf *out)
{
    *w = (struct portable_writer){.out = out, .from = out->len};
}

void portable_write(struct portable_writer *w, const struct portable_entry *e)
{
    put_line(w->out, e);
    w->lines++;
}

void portable_write_end(struct portable_writer *w)
{
    struct hash hash;
    char hex[HASH_HEX + 1];
    hash_of(str_from(buf_view(w->out), w->from), &hash);
    hash_hex(&hash, hex);
    put_line(w->out, &(struct portable_entry){
                         .line = PORTABLE_END, .seq = w->lines, .hash = {hex, HASH_HEX}});
}

/* ------------------------------------------------------------------------------------- reading */

static kf_rc not_ours(const struct portable_reader *r, struct kf_err *err, const char *why)
{
    return err_set(err, PROBLEM_BAD_ARCHIVE, "line %" PRIu64 " of the %s: %s", r->line,
                   r->part ? "file" : "manifest", why);
}

/* A member that is not there or of another type gives an empty value: writing the line again then
 * differs. */
static str text_of(struct portable_reader *r, const struct json_node *line, const char *name)
{
    const struct json_node *n = json_member(line, name);
    if (!n || n->type != JSON_STRING)
        return STR("");
    str s = json_text(n->raw, &r->arena);
    if (s.p)
        return s;
    r->nomem = true;
    return STR("");
}

static uint64_t number_of(const struct json_node *line, const char *name)
{
    const struct json_node *n = json_member(line, name);
    uint64_t v = 0;
    return n && json_u64(n, &v) ? v : 0;
}

static int64_t stamp_of(struct portable_reader *r, const struct json_node *line)
{
    str s = text_of(r, line, "stamp");
    uint64_t v = 0;
    if (!str_is_hex(s, PORTABLE_SITE))
        return 0;
    for (size_t i = 0; i < s.len; i++)
        v = v << 4 | (uint64_t)(s.p[i] <= '9' ? s.p[i] - '0' : s.p[i] - 'a' + 10);
    return v <= INT64_MAX ? (int64_t)v : 0;
}

static int64_t time_of(struct portable_reader *r, const struct json_node *line)
{
    int64_t ms = 0;
    return when_parse(text_of(r, line, "at"), &ms) ? ms : 0;
}

static enum portable_line line_of(const struct json_node *line)
{
    static const struct {
        const char *member;
        enum portable_line line;
    } words[] = {
        {"keepfast", PORTABLE_HEAD}, {"seen", PORTABLE_SEEN},       {"doc", PORTABLE_DOC},
        {"past", PORTABLE_PAST},     {"retired", PORTABLE_RETIRED}, {"end", PORTABLE_END},
        {"file", PORTABLE_FILE},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (json_member(line, words[i].member))
            return words[i].line;
    return 0;
}

static enum portable_holds holds_of(str word)
{
    for (size_t i = PORTABLE_STATE; i < HOLDS_COUNT; i++)
        if (str_is(word, holds_words[i]))
            return (enum portable_holds)i;
    return 0;
}

/* Takes a line apart without judging it. */
static void take_apart(struct portable_reader *r, const struct json_node *line,
                       struct portable_entry *e)
{
    const char *name = e->line == PORTABLE_DOC    ? "doc"
                       : e->line == PORTABLE_PAST ? "past"
                       : e->line == PORTABLE_FILE ? "file"
                                                  : "retired";
    e->name = text_of(r, line, name);
    e->site = text_of(r, line, e->line == PORTABLE_SEEN ? "seen" : "site");
    e->hash = text_of(r, line, "hash");
    e->kind = text_of(r, line, "kind");
    e->path = text_of(r, line, "path");
    e->text = text_of(r, line, "text");
    e->version = number_of(line, "version");
    e->size = number_of(line, "size");
    e->seq = number_of(line, e->line == PORTABLE_END ? "end" : "seq");
    e->push = number_of(line, "push");
    e->stamp = stamp_of(r, line);
    e->at_ms = time_of(r, line);
    e->deleted = json_member(line, "deleted") != NULL;
    e->holds = holds_of(text_of(r, line, "holds"));
}

static bool is_kind(str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < 'a' || s.p[i] > 'z')
            return false;
    return s.len >= 1 && s.len <= 16;
}

/* What the form alone does not say of a line's values. NULL = nothing wrong. */
static const char *wrong_value(struct portable_reader *r, const struct portable_entry *e)
{
    bool version = e->line == PORTABLE_DOC || e->line == PORTABLE_PAST || e->line == PORTABLE_FILE;
    if (e->line != PORTABLE_RETIRED && e->line != PORTABLE_END &&
        !str_is_hex(e->site, PORTABLE_SITE))
        return "a site is 16 hex digits";
    if ((e->line == PORTABLE_HEAD || e->line == PORTABLE_SEEN) && e->seq > INT64_MAX)
        return "the number is too large";
    if (KF_SABOTAGE("list-path-unchecked"))
        return NULL;
    if (version && !portable_name_is(e->name))
        return "the name is not one of a document";
    if (version && (e->version == 0 || e->version > INT64_MAX))
        return "the version is not possible";
    if (version && (e->stamp <= 0 || e->stamp > CLOCK_STAMP_MAX))
        return "the stamp is not one that a clock gives";
    if (version && e->size > INT64_MAX)
        return "the size is not possible";
    if (e->line == PORTABLE_PAST && !is_kind(e->kind))
        return "the kind is not possible";
    if ((e->line == PORTABLE_END || (version && !e->deleted)) && !str_is_hex(e->hash, HASH_HEX))
        return "a hash is 64 hex digits";
    if (e->line == PORTABLE_FILE && !e->deleted && !str_is_hex(e->text, HASH_HEX))
        return "a hash is 64 hex digits";
    if (e->line == PORTABLE_RETIRED) {
        struct buf name = BUF_INIT;
        str hash;
        kf_rc rc = portable_object_parse(e->name, &name, &hash, NULL);
        buf_release(&name);
        r->nomem = rc == KF_NOMEM;
        if (rc != KF_OK)
            return "the object is not one that Keepfast writes";
    }
    return NULL;
}

/* Whether `e` may stand behind the line before it. */
static bool in_order(const struct portable_reader *r, const struct portable_entry *e)
{
    if (r->part || e->line == PORTABLE_FILE)
        return r->part && e->line == PORTABLE_FILE &&
               (r->last_line == 0 || str_cmp(buf_view(&r->last), e->name) < 0);
    if (r->last_line == 0)
        return e->line == PORTABLE_HEAD;
    if (r->last_line == PORTABLE_END || e->line == PORTABLE_HEAD)
        return false;
    int order = str_cmp(buf_view(&r->last), e->line == PORTABLE_SEEN ? e->site : e->name);
    bool versions = r->last_line == PORTABLE_DOC || r->last_line == PORTABLE_PAST;
    switch (e->line) {
    case PORTABLE_SEEN:
        return r->last_line == PORTABLE_HEAD || (r->last_line == PORTABLE_SEEN && order < 0);
    case PORTABLE_DOC: return versions ? order < 0 : r->last_line < PORTABLE_DOC;
    case PORTABLE_PAST: return versions && order == 0 && e->version < r->last_version;
    case PORTABLE_RETIRED: return r->last_line != PORTABLE_RETIRED || order < 0;
    case PORTABLE_END: return true;
    case PORTABLE_FILE:
    case PORTABLE_HEAD: break;
    }
    return false;
}

static kf_rc remember(struct portable_reader *r, const struct portable_entry *e, struct kf_err *err)
{
    buf_clear(&r->last);
    buf_str(&r->last, e->line == PORTABLE_SEEN ? e->site : e->name);
    r->last_line = e->line;
    r->last_version = e->version;
    return buf_ok(&r->last, err);
}

static kf_rc read_line(struct portable_reader *r, str text, struct portable_entry *ret,
                       struct kf_err *err)
{
    struct json_node *line = NULL;
    struct portable_entry e = {0};
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = json_parse((str){text.p, text.len - 1}, NULL, &r->arena, &line, &why);
    if (rc == KF_NOMEM)
        return err_nomem(err);
    if (rc != KF_OK || !(e.line = line_of(line)))
        return not_ours(r, err, "this is no line of a manifest");
    uint64_t format = number_of(line, "format");
    if (e.line == PORTABLE_HEAD && format > PORTABLE_FORMAT)
        return err_set(err, PROBLEM_FORMAT_TOO_NEW,
                       "the manifest has format %" PRIu64
                       ", this program reads up to %d: use a newer Keepfast",
                       format, PORTABLE_FORMAT);
    take_apart(r, line, &e);
    if (r->nomem)
        return err_nomem(err);
    if (e.line == PORTABLE_HEAD && !e.holds)
        return not_ours(r, err, "it does not say what it holds");

    buf_clear(&r->again);
    put_line(&r->again, &e);
    if ((rc = buf_ok(&r->again, err)) != KF_OK)
        return rc;
    if (!str_eq(buf_view(&r->again), text))
        return not_ours(r, err, "it is not in the form that Keepfast writes");
    const char *wrong = wrong_value(r, &e);
    if (r->nomem)
        return err_nomem(err);
    if (wrong)
        return not_ours(r, err, wrong);
    if (!in_order(r, &e))
        return not_ours(r, err, "it does not belong behind the line before it");
    if ((rc = remember(r, &e, err)) == KF_OK)
        *ret = e;
    return rc;
}

void portable_read_begin(struct portable_reader *r, str text)
{
    *r = (struct portable_reader){.text = text};
}

void portable_read_part(struct portable_reader *r, str text)
{
    *r = (struct portable_reader){.text = text, .part = true};
}

kf_rc portable_read(struct portable_reader *r, struct portable_entry *ret, struct kf_err *err)
{
    str rest = str_from(r->text, r->at);
    if (rest.len == 0)
        return KF_ABSENT;
    r->line++;
    size_t n = str_index(rest, '\n');
    if (n == rest.len)
        return err_set(err, PROBLEM_INCOMPLETE, "line %" PRIu64 " of the %s is cut", r->line,
                       r->part ? "file" : "manifest");
    if (n >= PORTABLE_LINE_MAX)
        return not_ours(r, err, "it is too long");
    arena_clear(&r->arena);
    kf_rc rc = read_line(r, (str){rest.p, n + 1}, ret, err);
    if (rc == KF_OK)
        r->at += n + 1;
    return rc;
}

void portable_read_end(struct portable_reader *r)
{
    arena_release(&r->arena);
    buf_release(&r->again);
    buf_release(&r->last);
}

/* Where the last line begins; 0 when there is only one or the text does not end with a line. */
static size_t last_line(str text)
{
    if (text.len == 0 || text.p[text.len - 1] != '\n')
        return 0;
    size_t at = text.len - 1;
    while (at > 0 && text.p[at - 1] != '\n')
        at--;
    return at;
}

/* The hash first: what was cut or damaged on the way is told apart from what somebody else
 * wrote. */
static kf_rc check_end(str text, struct kf_err *err)
{
    size_t at = last_line(text);
    struct portable_reader r;
    struct portable_entry e;
    struct hash hash;
    char hex[HASH_HEX + 1];
    portable_read_begin(&r, str_from(text, at));
    r.last_line = PORTABLE_RETIRED;
    kf_rc rc = at ? portable_read(&r, &e, err) : KF_INVALID;
    if (rc == KF_OK && e.line == PORTABLE_END) {
        hash_of((str){text.p, at}, &hash);
        hash_hex(&hash, hex);
        if (!str_is(e.hash, hex))
            rc = err_set(err, PROBLEM_INCOMPLETE, "the manifest does not match its hash");
    } else if (rc != KF_NOMEM) {
        rc = err_set(err, PROBLEM_INCOMPLETE, "the manifest has no end: it was cut");
    }
    portable_read_end(&r);
    return rc;
}

kf_rc portable_read_check(str text, struct kf_err *err)
{
    struct portable_reader r;
    struct portable_entry e = {0};
    kf_rc rc = KF_OK;
    portable_read_begin(&r, text);
    /* A newer format may end in another way, so the head is looked at before the end. */
    if (!str_starts(text, STR("{\"keepfast\":\"manifest\",")))
        rc = err_set(err, PROBLEM_BAD_ARCHIVE, "this is no manifest of Keepfast");
    else if ((rc = portable_read(&r, &e, err)) != KF_TOO_NEW && rc != KF_NOMEM)
        rc = check_end(text, err);
    while (rc == KF_OK && e.line != PORTABLE_END)
        rc = portable_read(&r, &e, err);
    if (rc == KF_ABSENT)
        rc = err_set(err, PROBLEM_INCOMPLETE, "the manifest has no end: it was cut");
    else if (rc == KF_OK && (r.at != text.len || e.seq != r.line - 1))
        rc = not_ours(&r, err, "it does not count the lines before it");
    portable_read_end(&r);
    return rc;
}
