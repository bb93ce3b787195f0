/* json_schema: the part of JSON Schema 2020-12 that describes the shape of a document.
 *
 * Rules        type, properties, required, additionalProperties, items, enum, const, minimum,
 *              maximum, minLength, maxLength, pattern; a schema may also be true (anything) or
 *              false (nothing).
 * Annotations  $schema, $comment, title, description, default, examples: allowed, without effect.
 * Any other keyword is refused when the schema is read, so that no rule is silently not applied.
 *
 * Numbers are compared as exact decimals, never as doubles: 0.1 is a tenth, 1.0 is an integer,
 * 1e400 is larger than 1e399. Values of enum and const are compared by their canonical form.
 * Lengths count code points.
 * A pattern is a regular expression of PCRE2 set up like ECMAScript's: searched anywhere in the
 * text unless it has ^ or $, \d and \w are ASCII. It must decide within a bounded number of steps
 * per document; one that does not refuses the document, with a sentence that says so.
 *
 * Threads: a schema that was read is never changed; any number of threads may check with it at
 * once. */
#ifndef KF_BASE_JSON_SCHEMA_H
#define KF_BASE_JSON_SCHEMA_H

#include "base/str.h"

#include <keepfast.h>

struct json_schema;

/* Reads a schema; `text` is copied. KF_CONFIG config when it is not acceptable JSON, has a keyword
 * that is not listed above or a value that a keyword cannot have; the sentence names the place as a
 * JSON Pointer. KF_NOMEM. */
kf_rc json_schema_new(str text, struct json_schema **ret_schema, struct kf_err *err);
void json_schema_free(struct json_schema *schema);

/* KF_INVALID schema when the document does not fit: the sentence names the place as a JSON Pointer,
 * what was expected and what was found; err->offset is the byte offset of that value (for a missing
 * member, of its object). The first misfit in the order of the document counts. KF_INVALID
 * bad_json, KF_LIMIT json_limit as json_check. Cost: a parse, and O(n log n) comparisons. */
kf_rc json_schema_check(const struct json_schema *schema, str text, struct kf_err *err);

#endif
