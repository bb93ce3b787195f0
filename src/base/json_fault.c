/* json_fault: the sentence for each way a text can be refused. */
#include "base/json_internal.h"

#include "base/err.h"

#include <stdio.h>

/* What stands there, for people: in quotes when it can be printed. */
struct found {
    char text[80];
};

static struct found found_at(const struct json_scan *s)
{
    struct found f;
    const char *p = s->fault_at;
    if (p == s->end)
        (void)snprintf(f.text, sizeof f.text, "the end of the text");
    else if (*p > 0x20 && *p < 0x7f)
        (void)snprintf(f.text, sizeof f.text, "'%c'", *p);
    else
        (void)snprintf(f.text, sizeof f.text, "byte 0x%02X", (unsigned)(unsigned char)*p);
    return f;
}

struct place {
    size_t offset, line, column;
};

static struct place place_of(const struct json_scan *s)
{
    struct place at = {(size_t)(s->fault_at - s->start), 1, 1};
    const char *line = s->start;
    for (const char *p = s->start; p < s->fault_at; p++) {
        if (*p == '\n') {
            at.line++;
            line = p + 1;
        }
    }
    at.column = (size_t)(s->fault_at - line) + 1;
    return at;
}

/* The byte before the fault that is no blank; 0 at the start. */
static char before(const struct json_scan *s)
{
    const char *p = s->fault_at;
    while (p > s->start) {
        p--;
        if (*p != ' ' && *p != '\n' && *p != '\r' && *p != '\t')
            return *p;
    }
    return 0;
}

/* Where a value was expected: the usual mistakes have an answer of their own. */
static const char *advice_value(const struct json_scan *s)
{
    str rest = str_make(s->fault_at, (size_t)(s->end - s->fault_at));
    switch (*rest.p) {
    case '\xEF':
        if (s->fault_at == s->start && str_starts(rest, STR("\xEF\xBB\xBF")))
            return "this is a byte order mark: save the text as UTF-8 without one";
        break;
    case '\xFE':
    case '\xFF':
        if (s->fault_at == s->start)
            return "this looks like UTF-16: save the text as UTF-8";
        break;
    case 'N':
    case 'I': return "JSON has no NaN and no Infinity: use null or a string";
    case 'T':
    case 'F': return "literals are true, false and null, in lower case";
    case '\'': return "strings stand in double quotes";
    case '/':
    case '#': return "JSON has no comments: remove it";
    case '+': return "numbers have no plus sign: remove it";
    case '.': return "numbers begin with a digit: write 0 before the point";
    case '-': return "check the number";
    case ']':
    case '}':
        if (before(s) == ',')
            return "remove the comma before it";
        break;
    case ',': return "remove the comma or put a value before it";
    default: break;
    }
    return "a value is a string, a number, true, false, null, [ or {";
}

static const char *advice_next(const struct json_scan *s)
{
    const char *p = s->fault_at;
    if (p > s->start && p[-1] == '0' && *p >= '0' && *p <= '9')
        return "numbers have no leading zeros: remove them";
    if (*p == '"' || *p == '{' || *p == '[')
        return "is a comma missing before it?";
    if (*p == '/' || *p == '#')
        return "JSON has no comments: remove it";
    return "separate with a comma or close the bracket";
}

static const char *advice_name(const struct json_scan *s)
{
    if (*s->fault_at == '}' && before(s) == ',')
        return "remove the comma before it";
    if (*s->fault_at == '\'')
        return "names stand in double quotes";
    return "names of members stand in double quotes";
}

/* What should have come where the text ends. */
static const char *ends_in(enum json_fault fault)
{
    switch (fault) {
    case JSON_FAULT_VALUE: return "where a value must follow";
    case JSON_FAULT_NAME:
    case JSON_FAULT_NAME_OR_END:
    case JSON_FAULT_MEMBER_NEXT:
    case JSON_FAULT_COLON: return "inside an object";
    case JSON_FAULT_ELEMENT_NEXT: return "inside an array";
    case JSON_FAULT_DIGIT: return "inside a number";
    case JSON_FAULT_LITERAL: return "inside true, false or null";
    default: return "inside a string";
    }
}

#define AT    "byte %zu (line %zu, column %zu): "
#define PLACE at.offset, at.line, at.column

static kf_rc report_limit(const struct json_scan *s, const struct place at, struct kf_err *err)
{
    if (s->fault == JSON_FAULT_DEPTH)
        return err_at(err, PROBLEM_JSON_LIMIT, (int64_t)at.offset,
                      AT "more than %u levels of arrays and objects; make the document flatter",
                      PLACE, (unsigned)s->depth_max);
    return err_at(err, PROBLEM_JSON_LIMIT, (int64_t)at.offset,
                  AT "more than %u tokens (strings, names, numbers, literals, brackets); split the "
                     "document into several",
                  PLACE, (unsigned)s->tokens_max);
}

kf_rc json_fault_report(const struct json_scan *s, struct kf_err *err)
{
    if (s->fault == JSON_FAULT_MEMORY)
        return err_nomem(err);
    struct place at = place_of(s);
    int64_t offset = (int64_t)at.offset;
    if (s->fault == JSON_FAULT_DEPTH || s->fault == JSON_FAULT_TOKENS)
        return report_limit(s, at, err);
    if (s->fault_at == s->end) {
        if (at.offset == 0)
            return err_at(err, PROBLEM_BAD_JSON, 0, "byte 0: the text is empty; send a JSON value");
        return err_at(err, PROBLEM_BAD_JSON, offset,
                      AT "the text ends %s; was it cut off? Send the whole document", PLACE,
                      ends_in(s->fault));
    }
    if (s->fault == JSON_FAULT_DUPLICATE) {
        char name[80];
        json_shorten(json_raw_at(s->fault_at), name, sizeof name);
        return err_at(err, PROBLEM_BAD_JSON, offset,
                      AT "the object has two members of the name %s; keep one of them", PLACE,
                      name);
    }

    struct found f = found_at(s);
    const char *expected = "", *advice = "";
    switch (s->fault) {
    case JSON_FAULT_VALUE:
        expected = "a value";
        advice = advice_value(s);
        break;
    case JSON_FAULT_NAME:
        expected = "the name of a member";
        advice = advice_name(s);
        break;
    case JSON_FAULT_NAME_OR_END:
        expected = "the name of a member or '}'";
        advice = advice_name(s);
        break;
    case JSON_FAULT_COLON:
        expected = "':'";
        advice = "a member is a name, a colon and a value";
        break;
    case JSON_FAULT_MEMBER_NEXT:
        expected = "',' or '}'";
        advice = advice_next(s);
        break;
    case JSON_FAULT_ELEMENT_NEXT:
        expected = "',' or ']'";
        advice = advice_next(s);
        break;
    case JSON_FAULT_TRAILING:
        expected = "nothing more";
        advice = "one text holds one JSON value: remove what follows it";
        break;
    case JSON_FAULT_DIGIT:
        expected = "a digit";
        advice = "check the number";
        break;
    case JSON_FAULT_LITERAL:
        expected = "true, false or null";
        advice = "put text into double quotes";
        break;
    case JSON_FAULT_CONTROL:
        expected = "no control byte in a string";
        advice = "write it as an escape such as \\n, \\t or \\u0000";
        break;
    case JSON_FAULT_ESCAPE:
        expected = "one of \" \\ / b f n r t u behind the backslash";
        advice = "write \\\\ for a backslash";
        break;
    case JSON_FAULT_HEX:
        expected = "four hexadecimal digits behind \\u";
        advice = "write \\\\ for a backslash";
        break;
    case JSON_FAULT_SURROGATE:
        expected = "a pair of surrogate escapes";
        advice = "one alone stands for no character: remove it or complete the pair";
        break;
    default:
        expected = "UTF-8";
        advice = "the bytes are no UTF-8: save the text as UTF-8";
        break;
    }
    return err_at(err, PROBLEM_BAD_JSON, offset, AT "expected %s, found %s; %s", PLACE, expected,
                  f.text, advice);
}
