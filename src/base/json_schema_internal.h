/* json_schema_internal: a schema that was read. For src/base/json_schema*.c alone. */
#ifndef KF_BASE_JSON_SCHEMA_INTERNAL_H
#define KF_BASE_JSON_SCHEMA_INTERNAL_H

#include "base/json_internal.h"
#include "base/json_schema.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* A set of these; JSON_RULE_NUMBER includes whole numbers. */
enum {
    JSON_RULE_NULL = 1,
    JSON_RULE_BOOLEAN = 2,
    JSON_RULE_INTEGER = 4,
    JSON_RULE_NUMBER = 8,
    JSON_RULE_STRING = 16,
    JSON_RULE_ARRAY = 32,
    JSON_RULE_OBJECT = 64
};

struct json_pattern {
    struct json_pattern *next; /* of all, to be freed */
    pcre2_code *code;
    str text; /* as it was written, with quotes */
};

/* One schema object. A zeroed one accepts everything. */
struct json_rule {
    bool never;                          /* `false` */
    unsigned types;                      /* 0 = any */
    const struct json_node **properties; /* sorted by name */
    struct json_rule **property_rules;   /* in the same order */
    size_t property_count;
    const struct json_node *required; /* array of strings; NULL = none */
    struct json_rule *additional;     /* for members that are no properties; NULL = any */
    struct json_rule *items;
    str *allowed; /* canonical; enum has several, const one */
    size_t allowed_count;
    str constant;
    str minimum, maximum; /* as written; .p NULL = none */
    uint64_t length_min, length_max;
    const struct json_pattern *pattern;
};

struct json_schema {
    struct arena arena; /* everything but the patterns */
    struct json_rule *root;
    struct json_pattern *patterns;
    pcre2_general_context *memory; /* PCRE2's door to mem.h */
};

/* The way to a value, from the value up. */
struct json_step {
    const struct json_step *up;
    str name; /* raw, with quotes; .p NULL = an element */
    size_t at;
};
/* The JSON Pointer, cut to a length for a sentence. False when out of memory. */
#define JSON_POINTER_SIZE 240
bool json_step_pointer(const struct json_step *step, char out[JSON_POINTER_SIZE]);

#endif
