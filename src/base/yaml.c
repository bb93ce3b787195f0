/* The tree is built from libfyaml's events with a stack of our own, so depth costs no C stack and
 * every limit is checked before the next node is made.
 *
 * Where an error stands: libfyaml counts lines and columns of tokens from 0 and those of its own
 * complaints from 1. */
#include "base/yaml.h"

#include "base/err.h"

#include <assert.h>
#include <libfyaml.h>
#include <stdlib.h>

#define EXCERPT_MAX 60

struct builder {
    const char *file;
    str text;
    struct arena *arena;
    struct fy_parser *parser;
    struct yaml_node *root;
    struct {
        struct yaml_node *node, *last; /* an open list or map, and its last child */
        struct yaml_node *key;         /* read, its value is next */
    } open[YAML_DEPTH_MAX];
    uint32_t depth, nodes, documents;
    uint32_t line, column; /* of the last node */
    struct kf_err *err;
};

static kf_rc refuse_at(const char *file, uint32_t line, uint32_t column, struct kf_err *err,
                       const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static kf_rc refuse_at_v(const char *file, uint32_t line, uint32_t column, struct kf_err *err,
                         const char *fmt, va_list args) __attribute__((format(printf, 5, 0)));

static kf_rc refuse_at_v(const char *file, uint32_t line, uint32_t column, struct kf_err *err,
                         const char *fmt, va_list args)
{
    err_vset(err, PROBLEM_CONFIG, fmt, args);
    err_prefix(err, "%s:%u:%u", file, line, column);
    return KF_CONFIG;
}

static kf_rc refuse_at(const char *file, uint32_t line, uint32_t column, struct kf_err *err,
                       const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    kf_rc rc = refuse_at_v(file, line, column, err, fmt, args);
    va_end(args);
    return rc;
}

kf_rc yaml_refuse(const char *file, const struct yaml_node *n, struct kf_err *err, const char *fmt,
                  ...)
{
    va_list args;
    va_start(args, fmt);
    kf_rc rc = refuse_at_v(file, n->line, n->column, err, fmt, args);
    va_end(args);
    return rc;
}

/* ------------------------------------------------------------------------------- the plain text */

static void place_of(str text, size_t at, uint32_t *ret_line, uint32_t *ret_column)
{
    uint32_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        if (text.p[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)text.p[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

static kf_rc check_bytes(const struct builder *b)
{
    size_t good = str_utf8_valid(b->text);
    const char *what = "these bytes are no UTF-8";
    for (size_t i = 0; i < good; i++) {
        unsigned char c = (unsigned char)b->text.p[i];
        if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f) {
            good = i;
            what = "a control character has no place here";
        }
    }
    if (good == b->text.len)
        return KF_OK;
    uint32_t line, column;
    place_of(b->text, good, &line, &column);
    return refuse_at(b->file, line, column, b->err, "%s", what);
}

/* The text of a line, for the complaint. What could be a secret is left out: such a line is cut at
 * its colon. */
static str excerpt_of(str text, uint32_t line)
{
    size_t from = 0;
    for (uint32_t at = 1; at < line && from < text.len; at++) {
        from += str_index(str_from(text, from), '\n');
        from += from < text.len;
    }
    str s = str_from(text, from);
    s = str_trim((str){s.p, str_index(s, '\n')});
    static const char *const telling[] = {"token", "secret", "pass", "key", "@"};
    for (size_t i = 0; i < sizeof telling / sizeof *telling; i++) {
        str word = str_of(telling[i]);
        for (size_t at = 0; at + word.len <= s.len; at++) {
            if (str_eq_nocase((str){s.p + at, word.len}, word))
                s.len = str_index(s, ':');
        }
    }
    if (s.len > EXCERPT_MAX) {
        s.len = EXCERPT_MAX;
        s.len = str_utf8_valid(s);
    }
    while (s.len && s.p[s.len - 1] == '\r')
        s.len--;
    return s;
}

/* ------------------------------------------------------------------------------------ the tree */

static kf_rc refuse_second(const struct builder *b, const struct fy_mark *mark)
{
    return refuse_at(b->file, mark ? (uint32_t)mark->line + 1 : 1,
                     mark ? (uint32_t)mark->column + 1 : 1, b->err,
                     "a second document (---) begins here");
}

/* The mark stands behind the asterisk. */
static kf_rc refuse_alias(const struct builder *b, const struct fy_mark *mark)
{
    return refuse_at(b->file, mark ? (uint32_t)mark->line + 1 : 1,
                     mark ? (uint32_t)mark->column : 1, b->err,
                     "aliases (*name) are not allowed here: write the value out");
}

static kf_rc node_new(struct builder *b, enum yaml_type type, struct fy_event *event,
                      struct yaml_node **ret)
{
    struct yaml_node *n = arena_alloc(b->arena, sizeof *n);
    if (!n)
        return err_nomem(b->err);
    const struct fy_mark *mark = fy_event_start_mark(event);
    n->type = type;
    if (mark) {
        n->line = (uint32_t)mark->line + 1;
        n->column = (uint32_t)mark->column + 1;
    } else if (b->depth && b->open[b->depth - 1].key) {
        n->line = b->open[b->depth - 1].key->line;
        n->column = b->open[b->depth - 1].key->column;
    } else if (b->depth) {
        n->line = b->open[b->depth - 1].node->line;
        n->column = b->open[b->depth - 1].node->column;
    } else {
        n->line = n->column = 1;
    }
    b->line = n->line;
    b->column = n->column;
    if (++b->nodes > YAML_NODES_MAX)
        return yaml_refuse(b->file, n, b->err, "more than %d values", YAML_NODES_MAX);
    if (fy_event_get_tag_token(event))
        return yaml_refuse(b->file, n, b->err, "tags (!name) are not allowed here");
    if (fy_event_get_anchor_token(event))
        return yaml_refuse(b->file, n, b->err,
                           "anchors (&name) are not allowed here: write the value out");
    *ret = n;
    return KF_OK;
}

/* Puts a node where the text has it: as the root, an element, a key or the value of the key before
 * it. */
static kf_rc node_put(struct builder *b, struct yaml_node *n)
{
    if (b->depth == 0) {
        b->root = n;
        return KF_OK;
    }
    struct yaml_node *parent = b->open[b->depth - 1].node;
    if (parent->type == YAML_MAP && !b->open[b->depth - 1].key) {
        if (n->type != YAML_SCALAR)
            return yaml_refuse(b->file, n, b->err, "a key must be a single word");
        b->open[b->depth - 1].key = n;
        return KF_OK;
    }
    n->key = b->open[b->depth - 1].key;
    b->open[b->depth - 1].key = NULL;
    struct yaml_node *last = b->open[b->depth - 1].last;
    if (last)
        last->next = n;
    else
        parent->child = n;
    b->open[b->depth - 1].last = n;
    parent->count++;
    return KF_OK;
}

/* The scalar's text, piece by piece: fy_token_get_text would do, but loses memory when there are
 * many pieces (0.7.12). */
static kf_rc scalar_text(struct builder *b, struct fy_token *token, str *ret)
{
    struct fy_token_iter *iter = fy_token_iter_create(token);
    if (!iter)
        return err_nomem(b->err);
    struct buf text = BUF_INIT;
    int failed = 0;
    const struct fy_iter_chunk *chunk = NULL;
    while ((chunk = fy_token_iter_chunk_next(iter, chunk, &failed)) != NULL)
        buf_add(&text, chunk->str, chunk->len);
    fy_token_iter_destroy(iter);
    kf_rc rc = failed ? err_nomem(b->err) : buf_ok(&text, b->err);
    if (rc == KF_OK) {
        str copy = arena_str(b->arena, buf_view(&text));
        if (copy.p)
            *ret = copy;
        else
            rc = err_nomem(b->err);
    }
    buf_release(&text);
    return rc;
}

static kf_rc on_scalar(struct builder *b, struct fy_event *event)
{
    struct yaml_node *n;
    kf_rc rc = node_new(b, YAML_SCALAR, event, &n);
    if (rc != KF_OK)
        return rc;
    struct fy_token *token = event->scalar.value;
    enum fy_scalar_style style = token ? fy_token_scalar_style(token) : FYSS_PLAIN;
    n->plain = style == FYSS_PLAIN;
    if (style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED)
        n->column--; /* libfyaml's mark stands behind the quote */
    n->text = STR("");
    if (token)
        rc = scalar_text(b, token, &n->text);
    return rc == KF_OK ? node_put(b, n) : rc;
}

static kf_rc on_start(struct builder *b, enum yaml_type type, struct fy_event *event)
{
    struct yaml_node *n;
    kf_rc rc = node_new(b, type, event, &n);
    if (rc == KF_OK)
        rc = node_put(b, n);
    if (rc != KF_OK)
        return rc;
    if (b->depth == YAML_DEPTH_MAX)
        return yaml_refuse(b->file, n, b->err, "more than %d levels", YAML_DEPTH_MAX);
    b->open[b->depth].node = n;
    b->open[b->depth].last = NULL;
    b->open[b->depth].key = NULL;
    b->depth++;
    return KF_OK;
}

static int by_key(const void *a, const void *b)
{
    const struct yaml_node *const *x = a, *const *y = b;
    int order = str_cmp((*x)->key->text, (*y)->key->text);
    if (order)
        return order;
    if ((*x)->key->line != (*y)->key->line)
        return (*x)->key->line < (*y)->key->line ? -1 : 1;
    return ((*x)->key->column > (*y)->key->column) - ((*x)->key->column < (*y)->key->column);
}

/* Sorting, so that a map with many keys costs no square. Of several twins the one that stands first
 * is named. */
static kf_rc check_twins(struct builder *b, const struct yaml_node *map)
{
    assert(map); /* libfyaml ends only what it started */
    if (map->count < 2)
        return KF_OK;
    const struct yaml_node **sorted = arena_alloc(b->arena, map->count * sizeof *sorted);
    if (!sorted)
        return err_nomem(b->err);
    size_t count = 0;
    for (const struct yaml_node *n = map->child; n; n = n->next)
        sorted[count++] = n;
    qsort(sorted, count, sizeof *sorted, by_key);
    const struct yaml_node *twin = NULL, *first = NULL;
    for (size_t i = 1; i < count; i++) {
        const struct yaml_node *key = sorted[i]->key;
        if (!str_eq(sorted[i - 1]->key->text, key->text))
            continue;
        if (!twin || key->line < twin->line ||
            (key->line == twin->line && key->column < twin->column)) {
            twin = key;
            first = sorted[i - 1]->key;
        }
    }
    if (!twin)
        return KF_OK;
    return yaml_refuse(b->file, twin, b->err, "\"%.*s\" stands here twice, first in line %u",
                       (int)(twin->text.len < 80 ? twin->text.len : 80), twin->text.p, first->line);
}

static kf_rc on_event(struct builder *b, struct fy_event *event)
{
    /* The event's type is libfyaml's enum; those not named here bring nothing. */
    switch ((int)event->type) {
    case FYET_DOCUMENT_START:
        if (++b->documents > 1)
            return refuse_second(b, fy_event_start_mark(event));
        return KF_OK;
    case FYET_SCALAR: return on_scalar(b, event);
    case FYET_SEQUENCE_START: return on_start(b, YAML_LIST, event);
    case FYET_MAPPING_START: return on_start(b, YAML_MAP, event);
    case FYET_SEQUENCE_END: b->depth--; return KF_OK;
    case FYET_MAPPING_END: b->depth--; return check_twins(b, b->open[b->depth].node);
    case FYET_ALIAS: return refuse_alias(b, fy_event_start_mark(event));
    default: return KF_OK;
    }
}

/* ----------------------------------------------------------------------------------- libfyaml */

/* Complaints are collected; nothing is printed. */
static void drop_output(struct fy_diag *diag, void *user, const char *p, size_t len)
{
    (void)diag;
    (void)user;
    (void)p;
    (void)len;
}

static kf_rc complaint(struct builder *b, struct fy_diag *diag)
{
    void *at = NULL;
    const struct fy_diag_error *e = fy_diag_errors_iterate(diag, &at);
    if (!e || !e->msg) /* it gives up in silence now and then: say what came last */
        return refuse_at(b->file, b->line, b->column, b->err,
                         "what begins here or stands behind it is no YAML");
    uint32_t line = e->line > 0 ? (uint32_t)e->line : 1;
    uint32_t column = e->column > 0 ? (uint32_t)e->column : 1;
    str excerpt = excerpt_of(b->text, line);
    return refuse_at(b->file, line, column, b->err, "%.200s%s%.*s%s", e->msg,
                     excerpt.len ? ", in `" : "", STR_ARGS(excerpt), excerpt.len ? "`" : "");
}

static kf_rc read_events(struct builder *b, struct fy_diag *diag)
{
    for (;;) {
        struct fy_event *event = fy_parser_parse(b->parser);
        if (!event)
            return complaint(b, diag);
        bool end = event->type == FYET_STREAM_END;
        kf_rc rc = on_event(b, event);
        fy_parser_event_free(b->parser, event);
        if (rc != KF_OK)
            return rc;
        if (end)
            return fy_parser_get_stream_error(b->parser) ? complaint(b, diag) : KF_OK;
    }
}

static kf_rc read_text(struct builder *b)
{
    struct fy_diag_cfg to;
    fy_diag_cfg_default(&to);
    to.fp = NULL;
    to.output_fn = drop_output;
    to.level = FYET_ERROR;
    struct fy_diag *diag = fy_diag_create(&to);
    if (!diag)
        return err_nomem(b->err);
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg how = {
        .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE,
        .diag = diag,
    };
    b->parser = fy_parser_create(&how);
    kf_rc rc;
    if (!b->parser || fy_parser_set_string(b->parser, b->text.p, b->text.len) != 0)
        rc = err_nomem(b->err);
    else
        rc = read_events(b, diag);
    if (b->parser)
        fy_parser_destroy(b->parser);
    fy_diag_destroy(diag);
    return rc;
}

kf_rc yaml_parse(str text, const char *file, struct arena *arena, struct yaml_node **ret_root,
                 struct kf_err *err)
{
    if (str_starts(text, STR("\xef\xbb\xbf")))
        text = str_from(text, 3);
    struct builder b = {
        .file = file, .text = text, .arena = arena, .line = 1, .column = 1, .err = err};
    kf_rc rc = check_bytes(&b);
    if (rc == KF_OK && text.len)
        rc = read_text(&b);
    if (rc == KF_OK)
        *ret_root = b.root;
    return rc;
}

/* ------------------------------------------------------------------------ the YAML core schema */

static bool one_of(str s, const char *const *words)
{
    for (; *words; words++) {
        if (str_is(s, *words))
            return true;
    }
    return false;
}

bool yaml_is_null(const struct yaml_node *n)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
    return n->type == YAML_SCALAR && n->plain && one_of(n->text, words);
}

bool yaml_bool(const struct yaml_node *n, bool *ret)
{
    static const char *const yes[] = {"true", "True", "TRUE", NULL};
    static const char *const no[] = {"false", "False", "FALSE", NULL};
    if (n->type != YAML_SCALAR || !n->plain)
        return false;
    bool is_yes = one_of(n->text, yes);
    if (!is_yes && !one_of(n->text, no))
        return false;
    *ret = is_yes;
    return true;
}

static size_t digits(str s)
{
    size_t n = 0;
    while (n < s.len && s.p[n] >= '0' && s.p[n] <= '9')
        n++;
    return n;
}

/* A decimal number taken apart: [+-] whole [. fraction] [e exponent]. */
struct number {
    bool minus, point;
    str whole, fraction, exponent; /* the exponent with its e and sign */
};

static bool number_split(str s, struct number *n)
{
    *n = (struct number){0};
    if (s.len && (s.p[0] == '+' || s.p[0] == '-')) {
        n->minus = s.p[0] == '-';
        s = str_from(s, 1);
    }
    n->whole = (str){s.p, digits(s)};
    s = str_from(s, n->whole.len);
    if (s.len && s.p[0] == '.') {
        n->point = true;
        s = str_from(s, 1);
        n->fraction = (str){s.p, digits(s)};
        s = str_from(s, n->fraction.len);
    }
    if (n->whole.len + n->fraction.len == 0)
        return false;
    if (s.len == 0)
        return true;
    n->exponent = s;
    if (s.p[0] != 'e' && s.p[0] != 'E')
        return false;
    s = str_from(s, 1);
    if (s.len && (s.p[0] == '+' || s.p[0] == '-'))
        s = str_from(s, 1);
    return s.len && digits(s) == s.len;
}

static void number_write(const struct number *n, struct buf *out)
{
    str whole = n->whole;
    while (whole.len > 1 && whole.p[0] == '0')
        whole = str_from(whole, 1);
    if (n->minus)
        buf_byte(out, '-');
    buf_str(out, whole.len ? whole : STR("0"));
    if (n->point) {
        buf_byte(out, '.');
        buf_str(out, n->fraction.len ? n->fraction : STR("0"));
    }
    buf_str(out, n->exponent);
}

/* 0x1F and 0o17. *ret_fits: within 64 bits. */
static bool based_number(str s, uint64_t *ret, bool *ret_fits)
{
    unsigned base = str_starts(s, STR("0x")) ? 16 : str_starts(s, STR("0o")) ? 8 : 0;
    if (!base || s.len == 2)
        return false;
    uint64_t v = 0;
    bool fits = true;
    for (size_t i = 2; i < s.len; i++) {
        char c = s.p[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 99;
        if (digit >= base)
            return false;
        fits = fits && v <= (UINT64_MAX - digit) / base;
        v = v * base + digit;
    }
    *ret = v;
    *ret_fits = fits;
    return true;
}

static kf_rc plain_to_json(const struct yaml_node *n, const char *file, struct buf *out,
                           struct kf_err *err)
{
    static const char *const no_json[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                          "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                          ".NaN",  ".NAN",  NULL};
    struct number number;
    uint64_t value = 0;
    bool truth = false, fits = true;
    if (yaml_is_null(n))
        buf_c(out, "null");
    else if (yaml_bool(n, &truth))
        buf_c(out, truth ? "true" : "false");
    else if (number_split(n->text, &number))
        number_write(&number, out);
    else if (one_of(n->text, no_json))
        return yaml_refuse(file, n, err, "JSON has no number %.*s", STR_ARGS(n->text));
    else if (based_number(n->text, &value, &fits)) {
        if (!fits)
            return yaml_refuse(file, n, err, "this number is beyond 64 bits");
        buf_u64(out, value);
    } else {
        buf_json_string(out, n->text);
    }
    return KF_OK;
}

/* Recursion is bounded by YAML_DEPTH_MAX. */
kf_rc yaml_to_json(const struct yaml_node *n, const char *file, struct buf *out, struct kf_err *err)
{
    if (n->type == YAML_SCALAR && n->plain)
        return plain_to_json(n, file, out, err);
    if (n->type == YAML_SCALAR) {
        buf_json_string(out, n->text);
        return KF_OK;
    }
    bool map = n->type == YAML_MAP;
    buf_byte(out, map ? '{' : '[');
    for (const struct yaml_node *c = n->child; c; c = c->next) {
        if (c != n->child)
            buf_byte(out, ',');
        if (map) {
            buf_json_string(out, c->key->text);
            buf_byte(out, ':');
        }
        kf_rc rc = yaml_to_json(c, file, out, err);
        if (rc != KF_OK)
            return rc;
    }
    buf_byte(out, map ? '}' : ']');
    return KF_OK;
}
