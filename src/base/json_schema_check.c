/* json_schema_check: a document against a schema that was read.
 *
 * How long patterns may take. PCRE2 tries a pattern at one place of the text after the other. What
 * it may do at one place is limited by its own count of steps: STEPS_BASE, and STEPS_EACH for each
 * byte of the text. Each try costs TRY_COST and the bytes that are left of its text; over all
 * places, texts and patterns of one document the sum is at most WORK_MAX. A pattern that finds its
 * answer early costs little; one that reads each text to the end from each place soon uses it
 * up. */
#include "base/json_schema_internal.h"

#include "base/err.h"

#include <stdio.h>

#define STEPS_BASE 1000
#define STEPS_EACH 4
#define HEAP_KIB   4096
#define TRY_COST   8
#define WORK_MAX   ((uint64_t)1 << 27)

struct checker {
    const struct json_schema *schema;
    struct arena *arena;
    const char *text; /* of the document */
    struct buf scratch;
    pcre2_match_context *match_context;
    pcre2_match_data *match;
    uint64_t work_left;
    struct kf_err *err;
};

static kf_rc check_value(struct checker *c, const struct json_rule *r, const struct json_node *n,
                         const struct json_step *step);

/* -------------------------------------------------------------------------------------- misfit */

/* A value or a piece of text for a sentence: on one line and not longer than that. */
struct shown {
    char text[100];
};

static struct shown show(str s)
{
    struct shown out = {""};
    json_shorten(s, out.text, sizeof out.text);
    return out;
}

static struct shown show_value(const struct json_node *n)
{
    /* A container may hold line breaks. */
    if (n->type == JSON_ARRAY)
        return show(STR("an array"));
    if (n->type == JSON_OBJECT)
        return show(STR("an object"));
    return show(n->raw);
}

static kf_rc misfit(struct checker *c, const struct json_node *n, const struct json_step *step,
                    const char *expected)
{
    char pointer[JSON_POINTER_SIZE];
    if (!json_step_pointer(step, pointer))
        return err_nomem(c->err);
    struct shown found = show_value(n);
    return err_at(c->err, PROBLEM_SCHEMA, n->raw.p - c->text,
                  "at \"%s\": expected %s, found %s; correct the value, or the schema", pointer,
                  expected, found.text);
}

/* ---------------------------------------------------------------------------------- any value */

static kf_rc type_of(const struct json_node *n, unsigned *ret_type, struct kf_err *err)
{
    static const unsigned types[] = {
        [JSON_NULL] = JSON_RULE_NULL,     [JSON_FALSE] = JSON_RULE_BOOLEAN,
        [JSON_TRUE] = JSON_RULE_BOOLEAN,  [JSON_NUMBER] = JSON_RULE_NUMBER,
        [JSON_STRING] = JSON_RULE_STRING, [JSON_ARRAY] = JSON_RULE_ARRAY,
        [JSON_OBJECT] = JSON_RULE_OBJECT,
    };
    bool whole = false;
    if (n->type == JSON_NUMBER && !json_number_is_whole(n->raw, &whole))
        return err_nomem(err);
    *ret_type = whole ? JSON_RULE_INTEGER : types[n->type];
    return KF_OK;
}

/* "a string, a number or null" */
static void list_types(unsigned types, struct buf *out)
{
    static const char *const names[] = {"null",     "true or false", "a whole number", "a number",
                                        "a string", "an array",      "an object"};
    if (types & JSON_RULE_NUMBER)
        types &= ~(unsigned)JSON_RULE_INTEGER;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (!(types >> i & 1))
            continue;
        if (out->len > 0)
            buf_c(out, types >> (i + 1) ? ", " : " or ");
        buf_c(out, names[i]);
    }
    buf_byte(out, '\0');
}

static kf_rc check_type(struct checker *c, const struct json_rule *r, const struct json_node *n,
                        const struct json_step *step)
{
    unsigned type = 0;
    if (!r->types)
        return KF_OK;
    kf_rc rc = type_of(n, &type, c->err);
    if (rc != KF_OK || (type & r->types))
        return rc;
    buf_clear(&c->scratch);
    list_types(r->types, &c->scratch);
    rc = buf_ok(&c->scratch, c->err);
    return rc == KF_OK ? misfit(c, n, step, c->scratch.p) : rc;
}

/* The values of enum with commas between, as many as a sentence bears. */
static void list_allowed(const struct json_rule *r, struct buf *out)
{
    buf_c(out, r->allowed_count > 1 ? "one of " : "");
    for (size_t i = 0; i < r->allowed_count && out->len < 120; i++) {
        struct shown value = show(r->allowed[i]);
        buf_c(out, i ? ", " : "");
        buf_c(out, value.text);
    }
    buf_byte(out, '\0');
}

static kf_rc check_values(struct checker *c, const struct json_rule *r, const struct json_node *n,
                          const struct json_step *step)
{
    if (!r->allowed && !r->constant.p)
        return KF_OK;
    buf_clear(&c->scratch);
    kf_rc rc = json_put_canonical(n, c->arena, &c->scratch, NULL, c->err);
    if (rc != KF_OK)
        return rc;
    str value = buf_view(&c->scratch);
    if (r->constant.p && !str_eq(r->constant, value)) {
        struct shown constant = show(r->constant);
        return misfit(c, n, step, constant.text);
    }
    bool found = !r->allowed;
    for (size_t i = 0; i < r->allowed_count && !found; i++)
        found = str_eq(r->allowed[i], value);
    if (found)
        return KF_OK;
    buf_clear(&c->scratch);
    list_allowed(r, &c->scratch);
    rc = buf_ok(&c->scratch, c->err);
    return rc == KF_OK ? misfit(c, n, step, c->scratch.p) : rc;
}

/* ------------------------------------------------------------------------------------- numbers */

static kf_rc check_bound(struct checker *c, str bound, int wrong, const char *words,
                         const struct json_node *n, const struct json_step *step)
{
    int order;
    if (!bound.p)
        return KF_OK;
    if (!json_number_order(n->raw, bound, &order))
        return err_nomem(c->err);
    if (order * wrong <= 0)
        return KF_OK;
    char expected[160];
    struct shown number = show(bound);
    (void)snprintf(expected, sizeof expected, "a number of %s %s", words, number.text);
    return misfit(c, n, step, expected);
}

static kf_rc check_number(struct checker *c, const struct json_rule *r, const struct json_node *n,
                          const struct json_step *step)
{
    kf_rc rc = check_bound(c, r->minimum, -1, "at least", n, step);
    return rc == KF_OK ? check_bound(c, r->maximum, 1, "at most", n, step) : rc;
}

/* ------------------------------------------------------------------------------------- strings */

static uint64_t code_points(str text)
{
    uint64_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += ((unsigned char)text.p[i] & 0xC0) != 0x80;
    return count;
}

static kf_rc check_length(struct checker *c, const struct json_rule *r, str text,
                          const struct json_node *n, const struct json_step *step)
{
    if (r->length_min == 0 && r->length_max == UINT64_MAX)
        return KF_OK;
    uint64_t count = code_points(text);
    char expected[80];
    if (count < r->length_min)
        (void)snprintf(expected, sizeof expected, "a text of at least %llu characters",
                       (unsigned long long)r->length_min);
    else if (count > r->length_max)
        (void)snprintf(expected, sizeof expected, "a text of at most %llu characters",
                       (unsigned long long)r->length_max);
    else
        return KF_OK;
    return misfit(c, n, step, expected);
}

/* Called by PCRE2 before each try. A negative answer ends the search with that error. */
static int count_try(pcre2_callout_block *block, void *data)
{
    struct checker *c = data;
    uint64_t cost = block->subject_length - block->start_match + TRY_COST;
    if (cost > c->work_left)
        return PCRE2_ERROR_MATCHLIMIT;
    c->work_left -= cost;
    return 0;
}

/* What searching needs is made when the first pattern is met. */
static kf_rc prepare_match(struct checker *c)
{
    if (c->match)
        return KF_OK;
    c->match_context = pcre2_match_context_create(c->schema->memory);
    c->match = pcre2_match_data_create(1, c->schema->memory);
    if (!c->match_context || !c->match)
        return err_nomem(c->err);
    (void)pcre2_set_heap_limit(c->match_context, HEAP_KIB);
    (void)pcre2_set_callout(c->match_context, count_try, c);
    return KF_OK;
}

static kf_rc check_pattern(struct checker *c, const struct json_rule *r, str text,
                           const struct json_node *n, const struct json_step *step)
{
    if (!r->pattern)
        return KF_OK;
    kf_rc rc = prepare_match(c);
    if (rc != KF_OK)
        return rc;
    uint64_t steps = STEPS_BASE + STEPS_EACH * (uint64_t)text.len;
    (void)pcre2_set_match_limit(c->match_context,
                                steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
    int found = pcre2_match(r->pattern->code, (PCRE2_SPTR)text.p, text.len, 0, PCRE2_NO_UTF_CHECK,
                            c->match, c->match_context);
    if (found >= 0)
        return KF_OK;
    if (found == PCRE2_ERROR_NOMEMORY)
        return err_nomem(c->err);
    char expected[160];
    struct shown pattern = show(r->pattern->text);
    (void)snprintf(expected, sizeof expected,
                   found == PCRE2_ERROR_NOMATCH
                       ? "a text that fits the pattern %s"
                       : "a text on which the pattern %s is decided in time (simplify it)",
                   pattern.text);
    return misfit(c, n, step, expected);
}

static kf_rc check_string(struct checker *c, const struct json_rule *r, const struct json_node *n,
                          const struct json_step *step)
{
    if (r->length_min == 0 && r->length_max == UINT64_MAX && !r->pattern)
        return KF_OK;
    str text = json_text(n->raw, c->arena);
    if (!text.p)
        return err_nomem(c->err);
    kf_rc rc = check_length(c, r, text, n, step);
    return rc == KF_OK ? check_pattern(c, r, text, n, step) : rc;
}

/* ---------------------------------------------------------------------------------- containers */

static kf_rc check_required(struct checker *c, const struct json_rule *r, const struct json_node *n,
                            const struct json_step *step)
{
    if (!r->required)
        return KF_OK;
    const struct json_node **members = json_sorted_members(n, c->arena);
    if (!members)
        return err_nomem(c->err);
    for (const struct json_node *name = r->required->child; name; name = name->next) {
        if (json_sorted_find(members, n->count, name->raw) < n->count)
            continue;
        char expected[160];
        struct shown missing = show(name->raw);
        (void)snprintf(expected, sizeof expected, "a member %s", missing.text);
        return misfit(c, n, step, expected);
    }
    return KF_OK;
}

/* The rule for a member, NULL when any value will do. */
static const struct json_rule *rule_of_member(const struct json_rule *r, const struct json_node *m)
{
    size_t at = json_sorted_find(r->properties, r->property_count, m->name);
    return at < r->property_count ? r->property_rules[at] : r->additional;
}

static kf_rc check_object(struct checker *c, const struct json_rule *r, const struct json_node *n,
                          const struct json_step *step)
{
    kf_rc rc = check_required(c, r, n, step);
    if (!r->property_count && !r->additional)
        return rc;
    for (const struct json_node *m = n->child; m && rc == KF_OK; m = m->next) {
        const struct json_rule *rule = rule_of_member(r, m);
        struct json_step inner = {step, m->name, 0};
        if (rule)
            rc = check_value(c, rule, m, &inner);
    }
    return rc;
}

static kf_rc check_array(struct checker *c, const struct json_rule *r, const struct json_node *n,
                         const struct json_step *step)
{
    kf_rc rc = KF_OK;
    struct json_step inner = {step, {0}, 0};
    for (const struct json_node *e = r->items ? n->child : NULL; e && rc == KF_OK; e = e->next) {
        rc = check_value(c, r->items, e, &inner);
        inner.at++;
    }
    return rc;
}

/* Goes down at most JSON_DEPTH_MAX levels. */
static kf_rc check_value(struct checker *c, const struct json_rule *r, const struct json_node *n,
                         const struct json_step *step)
{
    if (r->never)
        return misfit(c, n, step, step->name.p && step->up ? "no member of this name" : "nothing");
    kf_rc rc = check_type(c, r, n, step);
    if (rc == KF_OK)
        rc = check_values(c, r, n, step);
    if (rc != KF_OK)
        return rc;
    switch (n->type) {
    case JSON_NUMBER: return check_number(c, r, n, step);
    case JSON_STRING: return check_string(c, r, n, step);
    case JSON_ARRAY: return check_array(c, r, n, step);
    case JSON_OBJECT: return check_object(c, r, n, step);
    default: return KF_OK;
    }
}

kf_rc json_schema_check(const struct json_schema *schema, str text, struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct checker c = {
        .schema = schema, .arena = &arena, .text = text.p, .work_left = WORK_MAX, .err = err};
    struct json_node *root;
    kf_rc rc = json_parse(text, NULL, &arena, &root, err);
    if (rc == KF_OK) {
        struct json_step top = {NULL, STR(""), 0};
        rc = check_value(&c, schema->root, root, &top);
    }
    pcre2_match_data_free(c.match);
    pcre2_match_context_free(c.match_context);
    buf_release(&c.scratch);
    arena_release(&arena);
    return rc;
}
