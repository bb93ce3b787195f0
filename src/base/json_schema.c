/* json_schema: reading a schema.
 *
 * The schema's text is taken apart into a tree; each schema object in it becomes a struct
 * json_rule, by one function per keyword. Everything lies in the schema's arena but the compiled
 * patterns, which PCRE2 owns. */
#include "base/json_schema_internal.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>

struct loader {
    struct json_schema *schema;
    struct kf_err *err;
};

static struct json_rule *load_rule(struct loader *l, const struct json_node *n,
                                   const struct json_step *step, kf_rc *rc);

/* ------------------------------------------------------------------------------------ pointers */

bool json_step_pointer(const struct json_step *step, char out[JSON_POINTER_SIZE])
{
    const struct json_step *steps[JSON_DEPTH_MAX + 1];
    size_t count = 0;
    for (const struct json_step *s = step; s->up; s = s->up)
        steps[count++] = s;
    struct buf b = BUF_INIT;
    while (count > 0) {
        const struct json_step *s = steps[--count];
        buf_byte(&b, '/');
        if (s->name.p)
            json_put_pointer_token(&b, s->name);
        else
            buf_u64(&b, s->at);
    }
    json_shorten(buf_view(&b), out, JSON_POINTER_SIZE);
    bool good = !b.failed;
    buf_release(&b);
    return good;
}

static kf_rc refuse(struct loader *l, const struct json_step *step, const char *why)
{
    char pointer[JSON_POINTER_SIZE];
    if (!json_step_pointer(step, pointer))
        return err_nomem(l->err);
    return err_set(l->err, PROBLEM_CONFIG, "schema, at \"%s\": %s", pointer, why);
}

/* ------------------------------------------------------------------------------------ keywords */

static void *need(struct loader *l, size_t size, kf_rc *rc)
{
    void *p = arena_alloc(&l->schema->arena, size);
    if (!p)
        *rc = err_nomem(l->err);
    return p;
}

static unsigned type_named(str raw)
{
    static const struct {
        const char *name;
        unsigned type;
    } types[] = {
        {"null", JSON_RULE_NULL},       {"boolean", JSON_RULE_BOOLEAN},
        {"integer", JSON_RULE_INTEGER}, {"number", JSON_RULE_INTEGER | JSON_RULE_NUMBER},
        {"string", JSON_RULE_STRING},   {"array", JSON_RULE_ARRAY},
        {"object", JSON_RULE_OBJECT},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (json_text_is(raw, str_of(types[i].name)))
            return types[i].type;
    }
    return 0;
}

static kf_rc load_type(struct loader *l, struct json_rule *r, const struct json_node *n,
                       const struct json_step *step)
{
    const struct json_node *first = n->type == JSON_ARRAY ? n->child : n;
    for (const struct json_node *t = first; t; t = n->type == JSON_ARRAY ? t->next : NULL) {
        unsigned type = t->type == JSON_STRING ? type_named(t->raw) : 0;
        if (!type)
            return refuse(l, step,
                          "a type is null, boolean, integer, number, string, array or object");
        r->types |= type;
    }
    return first ? KF_OK : refuse(l, step, "name at least one type");
}

static kf_rc load_properties(struct loader *l, struct json_rule *r, const struct json_node *n,
                             const struct json_step *step)
{
    kf_rc rc = KF_OK;
    if (n->type != JSON_OBJECT)
        return refuse(l, step, "properties is an object of schemas");
    r->properties = json_sorted_members(n, &l->schema->arena);
    r->property_rules = need(l, (n->count + 1) * sizeof *r->property_rules, &rc);
    if (!r->properties || !r->property_rules)
        return err_nomem(l->err);
    r->property_count = n->count;
    for (size_t i = 0; i < n->count && rc == KF_OK; i++) {
        struct json_step inner = {step, r->properties[i]->name, 0};
        r->property_rules[i] = load_rule(l, r->properties[i], &inner, &rc);
    }
    return rc;
}

static kf_rc load_required(struct loader *l, struct json_rule *r, const struct json_node *n,
                           const struct json_step *step)
{
    bool good = n->type == JSON_ARRAY;
    for (const struct json_node *name = good ? n->child : NULL; name; name = name->next)
        good = good && name->type == JSON_STRING;
    r->required = n;
    return good ? KF_OK : refuse(l, step, "required is an array of names");
}

static kf_rc load_items(struct loader *l, struct json_rule *r, const struct json_node *n,
                        const struct json_step *step)
{
    kf_rc rc = KF_OK;
    r->items = load_rule(l, n, step, &rc);
    return rc;
}

static kf_rc load_additional(struct loader *l, struct json_rule *r, const struct json_node *n,
                             const struct json_step *step)
{
    kf_rc rc = KF_OK;
    r->additional = load_rule(l, n, step, &rc);
    return rc;
}

/* The canonical text of a value, in the arena. */
static kf_rc canonical_of(struct loader *l, const struct json_node *n, str *ret)
{
    struct buf text = BUF_INIT;
    kf_rc rc = json_put_canonical(n, &l->schema->arena, &text, NULL, l->err);
    if (rc == KF_OK) {
        *ret = arena_str(&l->schema->arena, buf_view(&text));
        rc = ret->p ? KF_OK : err_nomem(l->err);
    }
    buf_release(&text);
    return rc;
}

static kf_rc load_enum(struct loader *l, struct json_rule *r, const struct json_node *n,
                       const struct json_step *step)
{
    kf_rc rc = KF_OK;
    if (n->type != JSON_ARRAY || n->count == 0)
        return refuse(l, step, "enum is an array of at least one value");
    r->allowed = need(l, n->count * sizeof *r->allowed, &rc);
    for (const struct json_node *v = n->child; v && rc == KF_OK; v = v->next)
        rc = canonical_of(l, v, &r->allowed[r->allowed_count++]);
    return rc;
}

static kf_rc load_const(struct loader *l, struct json_rule *r, const struct json_node *n,
                        const struct json_step *step)
{
    (void)step;
    return canonical_of(l, n, &r->constant);
}

static kf_rc load_number(struct loader *l, str *ret, const struct json_node *n,
                         const struct json_step *step)
{
    if (n->type != JSON_NUMBER)
        return refuse(l, step, "a bound is a number");
    *ret = n->raw;
    return KF_OK;
}

static kf_rc load_minimum(struct loader *l, struct json_rule *r, const struct json_node *n,
                          const struct json_step *step)
{
    return load_number(l, &r->minimum, n, step);
}

static kf_rc load_maximum(struct loader *l, struct json_rule *r, const struct json_node *n,
                          const struct json_step *step)
{
    return load_number(l, &r->maximum, n, step);
}

static kf_rc load_length(struct loader *l, uint64_t *ret, const struct json_node *n,
                         const struct json_step *step)
{
    return json_u64(n, ret) ? KF_OK
                            : refuse(l, step, "a length is a whole number, written in digits");
}

static kf_rc load_min_length(struct loader *l, struct json_rule *r, const struct json_node *n,
                             const struct json_step *step)
{
    return load_length(l, &r->length_min, n, step);
}

static kf_rc load_max_length(struct loader *l, struct json_rule *r, const struct json_node *n,
                             const struct json_step *step)
{
    return load_length(l, &r->length_max, n, step);
}

static kf_rc load_text(struct loader *l, struct json_rule *r, const struct json_node *n,
                       const struct json_step *step)
{
    (void)r;
    return n->type == JSON_STRING ? KF_OK : refuse(l, step, "this annotation is a string");
}

static kf_rc load_examples(struct loader *l, struct json_rule *r, const struct json_node *n,
                           const struct json_step *step)
{
    (void)r;
    return n->type == JSON_ARRAY ? KF_OK : refuse(l, step, "examples is an array");
}

static kf_rc load_default(struct loader *l, struct json_rule *r, const struct json_node *n,
                          const struct json_step *step)
{
    (void)l;
    (void)r;
    (void)n;
    (void)step;
    return KF_OK;
}

/* ------------------------------------------------------------------------------------- pattern */

static void *pattern_alloc(size_t size, void *ctx)
{
    (void)ctx;
    return mem_alloc(size);
}

static void pattern_free(void *p, void *ctx)
{
    (void)ctx;
    mem_free(p);
}

/* As ECMAScript reads a pattern in Unicode mode, as far as PCRE2 goes. */
#define PATTERN_OPTIONS                                                              \
    (PCRE2_UTF | PCRE2_NO_UTF_CHECK | PCRE2_ALT_BSUX | PCRE2_DOLLAR_ENDONLY |        \
     PCRE2_MATCH_UNSET_BACKREF | PCRE2_ALLOW_EMPTY_CLASS | PCRE2_NEVER_BACKSLASH_C | \
     PCRE2_NEVER_UCP)

static pcre2_code *pattern_compile(str text, pcre2_compile_context *context, int *ret_error,
                                   size_t *ret_at)
{
    PCRE2_SIZE at = 0;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)text.p, text.len, PATTERN_OPTIONS, ret_error, &at,
                                     context);
    *ret_at = at;
    return code;
}

static kf_rc pattern_refused(struct loader *l, const struct json_step *step, int error, size_t at)
{
    char why[160], said[120] = "";
    (void)pcre2_get_error_message(error, (PCRE2_UCHAR *)said, sizeof said);
    (void)snprintf(why, sizeof why, "the pattern is wrong at its byte %zu: %s", at, said);
    return refuse(l, step, why);
}

/* Compiled twice: alone, to see whether it is a pattern; then behind a callout, by which the
 * checker counts how many places it is tried at. */
static kf_rc load_pattern(struct loader *l, struct json_rule *r, const struct json_node *n,
                          const struct json_step *step)
{
    struct json_schema *s = l->schema;
    if (n->type != JSON_STRING)
        return refuse(l, step, "pattern is a string with a regular expression");
    kf_rc rc = KF_OK;
    struct json_pattern *p = need(l, sizeof *p, &rc);
    str text = json_text(n->raw, &s->arena);
    struct buf counted = BUF_INIT;
    buf_c(&counted, "(?C1)(?:");
    buf_str(&counted, text);
    buf_byte(&counted, ')');
    pcre2_compile_context *context = pcre2_compile_context_create(s->memory);
    pcre2_code *alone = NULL;
    if (!p || !text.p || counted.failed || !context) {
        rc = err_nomem(l->err);
        goto out;
    }
    (void)pcre2_set_newline(context, PCRE2_NEWLINE_ANYCRLF);
    (void)pcre2_set_compile_extra_options(context, PCRE2_EXTRA_ALT_BSUX);
    int error = 0;
    size_t at = 0;
    alone = pattern_compile(text, context, &error, &at);
    p->code = alone ? pattern_compile(buf_view(&counted), context, &error, &at) : NULL;
    if (!p->code) {
        rc = error == PCRE2_ERROR_HEAP_FAILED ? err_nomem(l->err)
                                              : pattern_refused(l, step, error, at);
        goto out;
    }
    p->text = n->raw;
    p->next = s->patterns;
    s->patterns = p;
    r->pattern = p;
out:
    pcre2_code_free(alone);
    pcre2_compile_context_free(context);
    buf_release(&counted);
    return rc;
}

/* --------------------------------------------------------------------------------------- rules */

typedef kf_rc load_keyword(struct loader *l, struct json_rule *r, const struct json_node *n,
                           const struct json_step *step);

static const struct {
    const char *name;
    load_keyword *load;
} keywords[] = {
    {"type", load_type},
    {"properties", load_properties},
    {"required", load_required},
    {"additionalProperties", load_additional},
    {"items", load_items},
    {"enum", load_enum},
    {"const", load_const},
    {"minimum", load_minimum},
    {"maximum", load_maximum},
    {"minLength", load_min_length},
    {"maxLength", load_max_length},
    {"pattern", load_pattern},
    {"$schema", load_text},
    {"$comment", load_text},
    {"title", load_text},
    {"description", load_text},
    {"default", load_default},
    {"examples", load_examples},
};

static load_keyword *keyword_of(str raw_name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
        if (json_text_is(raw_name, str_of(keywords[i].name)))
            return keywords[i].load;
    }
    return NULL;
}

/* NULL when *rc tells why. Goes down at most JSON_DEPTH_MAX levels. */
static struct json_rule *load_rule(struct loader *l, const struct json_node *n,
                                   const struct json_step *step, kf_rc *rc)
{
    struct json_rule *r = need(l, sizeof *r, rc);
    if (!r)
        return NULL;
    r->length_max = UINT64_MAX;
    r->never = n->type == JSON_FALSE;
    if (n->type == JSON_TRUE || n->type == JSON_FALSE)
        return r;
    if (n->type != JSON_OBJECT) {
        *rc = refuse(l, step, "a schema is an object, true or false");
        return NULL;
    }
    for (const struct json_node *k = n->child; k; k = k->next) {
        struct json_step inner = {step, k->name, 0};
        load_keyword *load = keyword_of(k->name);
        *rc = load
                  ? load(l, r, k, &inner)
                  : refuse(l, &inner,
                           "this keyword is not supported; there are type, properties, required, "
                           "additionalProperties, items, enum, const, minimum, maximum, minLength, "
                           "maxLength and pattern");
        if (*rc != KF_OK)
            return NULL;
    }
    return r;
}

static kf_rc load(struct json_schema *s, str text, struct kf_err *err)
{
    struct loader l = {s, err};
    struct json_node *root;
    struct kf_err why;
    s->memory = pcre2_general_context_create(pattern_alloc, pattern_free, NULL);
    str own = arena_str(&s->arena, text);
    if (!s->memory || !own.p)
        return err_nomem(err);
    kf_rc rc = json_parse(own, NULL, &s->arena, &root, &why);
    if (rc == KF_NOMEM)
        return err_nomem(err);
    if (rc != KF_OK)
        return err_set(err, PROBLEM_CONFIG, "schema: %s", why.detail);
    struct json_step top = {NULL, STR(""), 0};
    s->root = load_rule(&l, root, &top, &rc);
    return rc;
}

kf_rc json_schema_new(str text, struct json_schema **ret_schema, struct kf_err *err)
{
    struct json_schema *s = mem_calloc(1, sizeof *s);
    if (!s)
        return err_nomem(err);
    kf_rc rc = load(s, text, err);
    if (rc == KF_OK)
        *ret_schema = s;
    else
        json_schema_free(s);
    return rc;
}

void json_schema_free(struct json_schema *schema)
{
    if (!schema)
        return;
    for (struct json_pattern *p = schema->patterns; p; p = p->next)
        pcre2_code_free(p->code);
    pcre2_general_context_free(schema->memory);
    arena_release(&schema->arena);
    mem_free(schema);
}
