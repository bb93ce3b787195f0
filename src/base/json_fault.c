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
    if (*p > 0x20 && *p < 0x7f)
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

static const char *advice_digit(const struct json_scan *s)
{
    if (*s->fault_at == 'I' || *s->fault_at == 'N')
        return "JSON has no NaN and no Infinity: use null or a string";
    return "digits stand behind a minus, a point and an exponent";
}

/* What was expected at a fault inside the text, what to do (either of the two), and what the text
 * ends in when it ends there. */
static const struct {
    const char *expected, *advice;
    const char *(*advise)(const struct json_scan *s);
    const char *ends;
} faults[] = {
    [JSON_FAULT_VALUE] = {"a value", NULL, advice_value, "where a value must follow"},
    [JSON_FAULT_NAME] = {"the name of a member", NULL, advice_name, "inside an object"},
    [JSON_FAULT_NAME_OR_END] = {"the name of a member or '}'", NULL, advice_name,
                                "inside an object"},
    [JSON_FAULT_COLON] = {"':'", "a member is a name, a colon and a value", NULL,
                          "inside an object"},
    [JSON_FAULT_MEMBER_NEXT] = {"',' or '}'", NULL, advice_next, "inside an object"},
    [JSON_FAULT_ELEMENT_NEXT] = {"',' or ']'", NULL, advice_next, "inside an array"},
    [JSON_FAULT_TRAILING] = {"nothing more",
                             "one text holds one JSON value: remove what follows it", NULL, NULL},
    [JSON_FAULT_DIGIT] = {"a digit", NULL, advice_digit, "inside a number"},
    [JSON_FAULT_LITERAL] = {"true, false or null", "put text into double quotes", NULL,
                            "inside true, false or null"},
    [JSON_FAULT_CONTROL] = {"no control byte in a string",
                            "write it as an escape such as \\n, \\t or \\u0000", NULL, NULL},
    [JSON_FAULT_ESCAPE] = {"one of \" \\ / b f n r t u behind the backslash",
                           "write \\\\ for a backslash", NULL, NULL},
    [JSON_FAULT_HEX] = {"four hexadecimal digits behind \\u", "write \\\\ for a backslash", NULL,
                        NULL},
    [JSON_FAULT_SURROGATE] = {"a pair of surrogate escapes",
                              "one alone stands for no character: remove it or complete the pair",
                              NULL, NULL},
    [JSON_FAULT_UTF8] = {"UTF-8", "the bytes are no UTF-8: save the text as UTF-8", NULL, NULL},
    [JSON_FAULT_STRING_END] = {NULL, NULL, NULL, "inside a string"},
};

/* "byte 7 (line 1, column 8): " begins every sentence. */
#define AT    "byte %zu (line %zu, column %zu): "
#define PLACE at.offset, at.line, at.column

static kf_rc report_limit(const struct json_scan *s, struct place at, struct kf_err *err)
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

static kf_rc report_end(const struct json_scan *s, struct place at, struct kf_err *err)
{
    if (at.offset == 0)
        return err_at(err, PROBLEM_BAD_JSON, 0, "byte 0: the text is empty; send a JSON value");
    return err_at(err, PROBLEM_BAD_JSON, (int64_t)at.offset,
                  AT "the text ends %s; was it cut off? Send the whole document", PLACE,
                  faults[s->fault].ends);
}

static kf_rc report_duplicate(const struct json_scan *s, struct place at, struct kf_err *err)
{
    char name[80];
    json_shorten(json_raw_at(s->fault_at), name, sizeof name);
    return err_at(err, PROBLEM_BAD_JSON, (int64_t)at.offset,
                  AT "the object has two members of the name %s; keep one of them", PLACE, name);
}

kf_rc json_fault_report(const struct json_scan *s, struct kf_err *err)
{
    if (s->fault == JSON_FAULT_MEMORY)
        return err_nomem(err);
    struct place at = place_of(s);
    if (s->fault == JSON_FAULT_DEPTH || s->fault == JSON_FAULT_TOKENS)
        return report_limit(s, at, err);
    if (s->fault == JSON_FAULT_DUPLICATE)
        return report_duplicate(s, at, err);
    if (s->fault_at == s->end)
        return report_end(s, at, err);
    struct found found = found_at(s);
    const char *advice = faults[s->fault].advise ? faults[s->fault].advise(s)
                                                 : faults[s->fault].advice;
    return err_at(err, PROBLEM_BAD_JSON, (int64_t)at.offset, AT "expected %s, found %s; %s", PLACE,
                  faults[s->fault].expected, found.text, advice);
}
