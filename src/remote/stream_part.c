/* Files of streams, written and read. Reading is strict by construction, as that of the manifest:
 * a line is taken apart as JSON, and must come out the same byte for byte when it is written
 * again. */
#include "remote/stream_part.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/table.h"
#include "base/when.h"
#include "remote/portable.h"
#include "shape/doc.h"
#include "store/clock.h"

#include <inttypes.h>

#define HEAD_FILE "/stream.ndjson"
#define PART_TAIL ".ndjson"
#define DIGITS    12
#define PART_FILE (1 + DIGITS + sizeof(PART_TAIL) - 1) /* bytes behind the key */
/* What stands in a line beside a value has a few tokens and one level. */
#define VALUE_DEPTH  (JSON_DEPTH_MAX - 1)
#define VALUE_TOKENS (JSON_TOKENS_MAX - 32)

/* ---------------------------------------------------------------------------------------- names */

bool stream_file_is(str name)
{
    return str_starts(name, STR(STREAM_FILES));
}

void stream_file_head(str key, struct buf *out)
{
    buf_c(out, STREAM_FILES);
    buf_str(out, key);
    buf_c(out, HEAD_FILE);
}

void stream_file_part(str key, uint64_t first, struct buf *out)
{
    buf_c(out, STREAM_FILES);
    buf_str(out, key);
    buf_printf(out, "/%0*" PRIu64 PART_TAIL, DIGITS, first);
}

/* "/000000000001.ndjson" */
static bool part_number(str file, uint64_t *ret)
{
    uint64_t n = 0;
    for (size_t i = 1; i <= DIGITS; i++) {
        if (file.p[i] < '0' || file.p[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(file.p[i] - '0');
    }
    *ret = n;
    return n > 0 && file.p[0] == '/' && str_ends(file, STR(PART_TAIL));
}

bool stream_file_parse(str name, str *ret_key, uint64_t *ret_first)
{
    str rest = str_from(name, sizeof(STREAM_FILES) - 1), key = rest;
    uint64_t first = 0;
    if (!stream_file_is(name))
        return false;
    if (str_ends(rest, STR(HEAD_FILE)))
        key.len -= sizeof(HEAD_FILE) - 1;
    else if (rest.len > PART_FILE && part_number(str_from(rest, rest.len - PART_FILE), &first))
        key.len -= PART_FILE;
    else
        return false;
    if (name_check(key, NULL) != KF_OK)
        return false;
    *ret_key = key;
    *ret_first = first;
    return true;
}

/* -------------------------------------------------------------------------------------- writing */

static void put_text(struct buf *out, const char *before, str value)
{
    buf_c(out, before);
    buf_json_string(out, value);
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

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Whether a value can stand in a line as it is, and be found there again. */
static bool stands_in_line(str value)
{
    const struct json_limits limits = {VALUE_DEPTH, VALUE_TOKENS};
    return value.len && !is_blank(value.p[0]) && !is_blank(value.p[value.len - 1]) &&
           str_index(value, '\n') == value.len && json_check(value, &limits, NULL, NULL) == KF_OK;
}

static void put_value(struct buf *out, const char *name, str value)
{
    if (stands_in_line(value)) {
        buf_printf(out, ",\"%s\":", name);
        buf_str(out, value);
    } else {
        put_text(out, ",\"text\":", value);
    }
}

static void put_entry(struct buf *out, const struct stream_line *l)
{
    buf_printf(out, "{\"n\":%" PRIu64, l->n);
    put_stamp(out, l->stamp);
    put_text(out, ",\"site\":", l->site);
    put_time(out, l->at_ms);
    if (l->id.len)
        put_text(out, ",\"id\":", l->id);
    if (l->kind.len)
        put_text(out, ",\"kind\":", l->kind);
    if (l->hash.len)
        put_text(out, ",\"attach\":", l->hash);
    put_value(out, "body", l->value);
}

void stream_file_line(const struct stream_line *l, struct buf *out)
{
    switch (l->kind_of) {
    case STREAM_LAST: buf_printf(out, "{\"last\":%" PRIu64, l->n); break;
    case STREAM_ATTR:
        put_text(out, "{\"attr\":", l->name);
        put_stamp(out, l->stamp);
        put_text(out, ",\"site\":", l->site);
        if (l->value.p)
            put_value(out, "value", l->value);
        else
            buf_c(out, ",\"removed\":true");
        break;
    case STREAM_GONE:
        put_text(out, "{\"erased\":", l->site);
        put_stamp(out, l->stamp);
        put_time(out, l->at_ms);
        break;
    case STREAM_TRIMMED:
        put_text(out, "{\"trimmed\":", l->site);
        put_stamp(out, l->stamp);
        break;
    case STREAM_ATTACH:
        put_text(out, "{\"attach\":", l->hash);
        put_value(out, "body", l->value);
        break;
    case STREAM_ENTRY: put_entry(out, l); break;
    case STREAM_ONCE:
        put_text(out, "{\"once\":", l->id);
        buf_printf(out, ",\"n\":%" PRIu64, l->n);
        put_text(out, ",\"asked\":", l->hash);
        put_time(out, l->at_ms);
        break;
    }
    buf_c(out, "}\n");
}

void stream_file_begin(str key, uint64_t first, struct buf *out)
{
    buf_printf(out, "{\"keepfast\":\"%s\",\"format\":%d", first ? "part" : "stream",
               STREAM_FILE_FORMAT);
    put_text(out, ",\"stream\":", key);
    if (first)
        buf_printf(out, ",\"first\":%" PRIu64, first);
    buf_c(out, "}\n");
}

size_t stream_entry_room(size_t body, size_t attach)
{
    return 256 + STREAM_FILE_NAME / 4 + body + (attach ? attach + 96 : 0);
}

/* -------------------------------------------------------------------------------------- reading */

/* What stands once in a part: the hash of site and stamp, or that of an attachment. */
struct stream_once {
    unsigned char key[HASH_LEN];
    bool lost;
    UT_hash_handle hh;
};

static kf_rc not_ours(const struct stream_reader *r, struct kf_err *err, const char *why)
{
    return err_set(err, PROBLEM_BAD_ARCHIVE, "line %" PRIu64 " of the file: %s", r->line, why);
}

/* A member that is not there or of another type gives an empty value: writing the line again then
 * differs. */
static str text_of(struct stream_reader *r, const struct json_node *line, const char *name)
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

static int64_t stamp_of(struct stream_reader *r, const struct json_node *line)
{
    str s = text_of(r, line, "stamp");
    uint64_t v = 0;
    if (!str_is_hex(s, PORTABLE_SITE))
        return 0;
    for (size_t i = 0; i < s.len; i++)
        v = v << 4 | (uint64_t)(s.p[i] <= '9' ? s.p[i] - '0' : s.p[i] - 'a' + 10);
    return v <= INT64_MAX ? (int64_t)v : 0;
}

/* The bytes of a value; .p == NULL when there is none. */
static str value_of(struct stream_reader *r, const struct json_node *line, const char *name)
{
    const struct json_node *n = json_member(line, name);
    if (n)
        return n->raw;
    n = json_member(line, "text");
    return n && n->type == JSON_STRING ? text_of(r, line, "text") : (str){0, 0};
}

static enum stream_line_kind kind_of(const struct json_node *line)
{
    static const struct {
        const char *member;
        enum stream_line_kind kind;
    } known[] = {{"once", STREAM_ONCE}, {"n", STREAM_ENTRY},     {"attach", STREAM_ATTACH},
                 {"attr", STREAM_ATTR}, {"erased", STREAM_GONE}, {"trimmed", STREAM_TRIMMED},
                 {"last", STREAM_LAST}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (json_member(line, known[i].member))
            return known[i].kind;
    return 0;
}

static void take_apart(struct stream_reader *r, const struct json_node *line, struct stream_line *l)
{
    l->name = text_of(r, line, "attr");
    l->site = text_of(r, line,
                      l->kind_of == STREAM_GONE      ? "erased"
                      : l->kind_of == STREAM_TRIMMED ? "trimmed"
                                                     : "site");
    l->id = text_of(r, line, l->kind_of == STREAM_ONCE ? "once" : "id");
    l->kind = text_of(r, line, "kind");
    l->hash = text_of(r, line, l->kind_of == STREAM_ONCE ? "asked" : "attach");
    l->stamp = stamp_of(r, line);
    if (!when_parse(text_of(r, line, "at"), &l->at_ms))
        l->at_ms = 0;
    if (!json_u64(json_member(line, l->kind_of == STREAM_LAST ? "last" : "n"), &l->n))
        l->n = 0;
    l->value = value_of(r, line, l->kind_of == STREAM_ATTR ? "value" : "body");
}

/* --- what the form alone does not say; NULL = nothing wrong */

static const char *once_only(struct stream_reader *r, const unsigned char key[HASH_LEN])
{
    struct stream_once *o = NULL;
    HASH_FIND(hh, r->once, key, HASH_LEN, o);
    if (o)
        return "it stands there twice";
    if (!(o = mem_calloc(1, sizeof(*o)))) {
        r->nomem = true;
        return NULL;
    }
    memcpy(o->key, key, HASH_LEN);
    HASH_ADD(hh, r->once, key, HASH_LEN, o);
    if (o->lost) {
        mem_free(o);
        r->nomem = true;
    }
    return NULL;
}

static const char *wrong_attach(struct stream_reader *r, const struct stream_line *l)
{
    struct hash told, found;
    if (!l->value.p || !hash_parse(l->hash, &told))
        return "an attachment has a hash of 64 hex digits";
    hash_of(l->value, &found);
    if (!hash_eq(&told, &found))
        return "the attachment does not match its hash";
    if (r->last_kind == STREAM_ATTACH)
        return "no entry names the attachment before it";
    return once_only(r, told.b);
}

static bool kind_is_good(str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
              s.p[i] == '_' || s.p[i] == '.' || s.p[i] == '-'))
            return false;
    return s.len <= 64;
}

static const char *wrong_names(struct stream_reader *r, const struct stream_line *l)
{
    struct stream_once *o = NULL;
    struct hash attach;
    if (r->last_kind == STREAM_ATTACH && !str_eq(buf_view(&r->last), l->hash))
        return "it does not name the attachment before it";
    if (l->hash.len == 0)
        return NULL;
    if (!hash_parse(l->hash, &attach))
        return "an attachment has a hash of 64 hex digits";
    HASH_FIND(hh, r->once, attach.b, HASH_LEN, o);
    return o ? NULL : "its attachment is not there";
}

static bool id_is_good(str id)
{
    return id.len <= 255 && str_utf8_valid(id) == id.len && str_index(id, '\0') == id.len;
}

static const char *wrong_once(struct stream_reader *r, const struct stream_line *l)
{
    if (r->entries || r->last_kind == STREAM_ATTACH)
        return "a part has entries or ids";
    if (++r->ids > STREAM_PART_ENTRIES)
        return "there are too many ids";
    if (!l->id.len || !id_is_good(l->id))
        return "the id is not possible";
    if (r->ids > 1 && str_cmp(buf_view(&r->last), l->id) >= 0)
        return "it does not belong behind the line before it";
    if (!str_is_hex(l->hash, HASH_HEX / 2) && !str_is_hex(l->hash, HASH_HEX))
        return "what was asked is 32 or 64 hex digits";
    return l->n > 0 && l->n <= STREAM_PART_N_MAX ? NULL : "a number is from 1 on";
}

static const char *wrong_entry(struct stream_reader *r, const struct stream_line *l)
{
    struct hash key;
    if (!l->value.p)
        return "an entry has a body";
    if (l->n < r->first || l->n <= r->last_n || l->n > STREAM_PART_N_MAX)
        return "its number does not belong behind the one before it";
    if (++r->entries > STREAM_PART_ENTRIES || r->ids)
        return "there are too many entries, or there are ids before it";
    if (!id_is_good(l->id) || !kind_is_good(l->kind))
        return "id or kind is not possible";
    const char *wrong = wrong_names(r, l);
    if (wrong)
        return wrong;
    r->last_n = l->n;
    buf_clear(&r->again);
    buf_printf(&r->again, "%.*s %" PRId64, STR_ARGS(l->site), l->stamp);
    hash_of(buf_view(&r->again), &key);
    r->nomem |= r->again.failed;
    return once_only(r, key.b);
}

static const char *wrong_place(const struct stream_reader *r, const struct stream_line *l)
{
    bool part = l->kind_of >= STREAM_ATTACH;
    if (part != (r->first != 0) || (!part && r->last_kind > l->kind_of))
        return "it does not belong there";
    str by = l->kind_of == STREAM_ATTR ? l->name : l->site;
    if (!part && r->last_kind == l->kind_of && str_cmp(buf_view(&r->last), by) >= 0)
        return "it does not belong behind the line before it";
    return NULL;
}

static const char *wrong_line(struct stream_reader *r, const struct stream_line *l)
{
    const char *wrong = wrong_place(r, l);
    if (wrong)
        return wrong;
    if (l->kind_of == STREAM_ATTACH)
        return r->ids ? "a part has entries or ids" : wrong_attach(r, l);
    if (l->kind_of == STREAM_ONCE)
        return wrong_once(r, l);
    if (l->kind_of == STREAM_LAST) {
        r->last_n = l->n;
        return l->n > 0 && l->n <= STREAM_PART_N_MAX ? NULL : "a number is from 1 on";
    }
    if (l->kind_of == STREAM_TRIMMED && r->last_n == 0)
        return "nothing is trimmed of a stream that never had an entry";
    if (!str_is_hex(l->site, PORTABLE_SITE))
        return "a site is 16 hex digits";
    if (l->stamp <= 0 || l->stamp > CLOCK_STAMP_MAX)
        return "the stamp is not one that a clock gives";
    return l->kind_of == STREAM_ENTRY ? wrong_entry(r, l) : NULL;
}

/* The text of a value that stands as a string is JSON, too. */
static kf_rc check_value(const struct stream_reader *r, const struct stream_line *l,
                         struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    if (!l->value.p)
        return KF_OK;
    kf_rc rc = json_check(l->value, NULL, NULL, &why);
    if (rc == KF_NOMEM)
        return err_nomem(err);
    return rc == KF_OK ? KF_OK : not_ours(r, err, "its value is no JSON");
}

static kf_rc remember(struct stream_reader *r, const struct stream_line *l, struct kf_err *err)
{
    buf_clear(&r->last);
    buf_str(&r->last, l->kind_of == STREAM_ATTR     ? l->name
                      : l->kind_of == STREAM_ATTACH ? l->hash
                      : l->kind_of == STREAM_ONCE   ? l->id
                                                    : l->site);
    r->last_kind = l->kind_of;
    return buf_ok(&r->last, err);
}

static kf_rc parse(struct stream_reader *r, str text, struct json_node **ret, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = json_parse(text, NULL, &r->arena, ret, &why);
    if (rc == KF_NOMEM)
        return err_nomem(err);
    return rc == KF_OK ? KF_OK : not_ours(r, err, "this is no line of a stream");
}

static kf_rc came_out(struct stream_reader *r, str text, struct kf_err *err)
{
    kf_rc rc = r->nomem ? err_nomem(err) : buf_ok(&r->again, err);
    if (rc == KF_OK && !str_eq(buf_view(&r->again), text))
        rc = not_ours(r, err, "it is not in the form that Keepfast writes");
    return rc;
}

static kf_rc read_line(struct stream_reader *r, str text, struct stream_line *ret,
                       struct kf_err *err)
{
    struct json_node *node = NULL;
    struct stream_line l = {0};
    kf_rc rc = parse(r, (str){text.p, text.len - 1}, &node, err);
    if (rc != KF_OK)
        return rc;
    if (!(l.kind_of = kind_of(node)))
        return not_ours(r, err, "this is no line of a stream");
    take_apart(r, node, &l);
    if (r->nomem)
        return err_nomem(err);
    if ((rc = check_value(r, &l, err)) != KF_OK)
        return rc;
    buf_clear(&r->again);
    stream_file_line(&l, &r->again);
    if ((rc = came_out(r, text, err)) != KF_OK)
        return rc;
    const char *wrong = wrong_line(r, &l);
    if (r->nomem)
        return err_nomem(err);
    if (wrong)
        return not_ours(r, err, wrong);
    if ((rc = remember(r, &l, err)) == KF_OK)
        *ret = l;
    return rc;
}

static kf_rc read_head(struct stream_reader *r, str text, struct kf_err *err)
{
    struct json_node *node = NULL;
    uint64_t format = 0;
    kf_rc rc = parse(r, (str){text.p, text.len - 1}, &node, err);
    if (rc != KF_OK)
        return rc;
    if (json_u64(json_member(node, "format"), &format) && format > STREAM_FILE_FORMAT)
        return err_set(err, PROBLEM_FORMAT_TOO_NEW,
                       "the file has format %" PRIu64
                       ", this program reads up to %d: use a newer Keepfast",
                       format, STREAM_FILE_FORMAT);
    buf_clear(&r->again);
    stream_file_begin(r->key, r->first, &r->again);
    rc = buf_ok(&r->again, err);
    if (rc == KF_OK && !str_eq(buf_view(&r->again), text))
        rc = not_ours(r, err, "it does not begin as a file of this stream does");
    return rc;
}

void stream_read_begin(struct stream_reader *r, str name, str text)
{
    *r = (struct stream_reader){.text = text};
    if (!stream_file_parse(name, &r->key, &r->first))
        r->key = (str){0, 0};
}

kf_rc stream_read(struct stream_reader *r, struct stream_line *ret, struct kf_err *err)
{
    for (;;) {
        str rest = str_from(r->text, r->at);
        r->line++;
        if (!r->key.p)
            return not_ours(r, err, "its name is not one of a stream's file");
        if (rest.len == 0 && r->line > 1)
            return r->last_kind == STREAM_ATTACH
                       ? not_ours(r, err, "no entry names the attachment before it")
                       : KF_ABSENT;
        size_t n = str_index(rest, '\n');
        if (n == rest.len)
            return err_set(err, PROBLEM_INCOMPLETE, "line %" PRIu64 " of the file is cut", r->line);
        arena_clear(&r->arena);
        str text = {rest.p, n + 1};
        bool head = r->line == 1;
        kf_rc rc = head ? read_head(r, text, err) : read_line(r, text, ret, err);
        if (rc != KF_OK)
            return rc;
        r->at += n + 1;
        if (!head)
            return KF_OK;
    }
}

void stream_read_end(struct stream_reader *r)
{
    struct stream_once *o, *next;
    HASH_ITER (hh, r->once, o, next) {
        HASH_DELETE(hh, r->once, o);
        mem_free(o);
    }
    arena_release(&r->arena);
    buf_release(&r->again);
    buf_release(&r->last);
}

kf_rc stream_read_check(str name, str text, uint64_t *ret_entries, struct kf_err *err)
{
    struct stream_reader r;
    struct stream_line l;
    kf_rc rc;
    stream_read_begin(&r, name, text);
    while ((rc = stream_read(&r, &l, err)) == KF_OK)
        ;
    if (rc == KF_ABSENT) {
        rc = KF_OK;
        if (r.first && r.entries + r.ids == 0)
            rc = not_ours(&r, err, "a part has entries");
        else if (ret_entries)
            *ret_entries = r.entries;
    }
    stream_read_end(&r);
    return rc;
}
