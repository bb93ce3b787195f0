/* Targets to routes. The path is looked at raw and each piece decoded once, so that what a proxy
 * saw is what we see:
 *
 *     /v1/finance/docs/a%2Fb/c/versions?limit=5
 *     v1  space   docs name........ word       query
 *
 * A name may hold `/` as such or as %2F; a last segment that is a route word belongs to the route
 * when a name segment stands before it. */
#include "api/api_internal.h"

#include <pthread.h>

#define R(id_, method_, pattern_, body_, handler_, query_, right_, summary_) \
    [ROUTE_##                                                                \
        id_] = {#id_, API_##method_, pattern_, BODY_##body_, handler_, query_, right_, summary_},
const struct route_info route_table[ROUTE_COUNT] = {
#include "api/routes.def"
};
#undef R

static const char *const method_names[] = {
    [API_GET] = "GET",         [API_HEAD] = "HEAD",   [API_PUT] = "PUT",
    [API_POST] = "POST",       [API_PATCH] = "PATCH", [API_DELETE] = "DELETE",
    [API_OPTIONS] = "OPTIONS", [API_OTHER] = "OTHER",
};

const char *route_method_name(enum api_method m)
{
    return method_names[m];
}

bool route_is_of_stream(const struct route_info *route)
{
    return strstr(route->pattern, "{key}") != NULL;
}

bool route_writes_streams(const struct route_info *route)
{
    return route_is_of_stream(route) || route == &route_table[ROUTE_PERSON_ERASE] ||
           route == &route_table[ROUTE_IMPORT];
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int route_percent(str s)
{
    if (s.len < 3)
        return -1;
    int hi = hex_value(s.p[1]), lo = hex_value(s.p[2]);
    return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

/* Percent-decoding, once. `plus`: a plus is a blank, as forms write queries. */
static kf_rc decode(str raw, bool plus, struct arena *arena, str *ret, struct kf_err *err)
{
    if (str_index(raw, '%') == raw.len && (!plus || str_index(raw, '+') == raw.len)) {
        *ret = raw;
        return KF_OK;
    }
    char *out = arena_alloc(arena, raw.len + 1);
    if (!out)
        return err_nomem(err);
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        int c = (unsigned char)raw.p[i];
        if (c == '+' && plus) {
            c = ' ';
        } else if (c == '%') {
            c = route_percent(str_from(raw, i));
            if (c < 0)
                return err_set(err, PROBLEM_BAD_REQUEST,
                               "the address has a %% that two hex digits do not follow; write a "
                               "percent sign as %%25");
            i += 2;
        }
        out[n++] = (char)c;
    }
    *ret = (str){out, n};
    return KF_OK;
}

/* The first segment of *rest, which begins with a slash; *rest goes on behind it. */
static str take_segment(str *rest)
{
    str s = str_from(*rest, 1);
    s.len = str_index(s, '/');
    *rest = str_from(*rest, 1 + s.len);
    return s;
}

struct raw_match {
    str space, name, remote, id, file, attribute, value, table;
};

/* Whether `path` has the form of `pattern`; *words: how many of its segments are literal, by which
 * the closest pattern is chosen. */
static bool pattern_fits(str pattern, str path, struct raw_match *raw, int *words)
{
    *words = 0;
    while (pattern.len) {
        if (path.len == 0 || path.p[0] != '/')
            return false;
        str want = take_segment(&pattern);
        if (str_is(want, "{name}") || str_is(want, "{key}")) {
            /* `pattern` is what must end the path; a slash and the name stand before it. A name
             * that is empty is a bad one, not another route. */
            if (!str_ends(path, pattern) || path.len - pattern.len < 1)
                return false;
            raw->name = (str){path.p + 1, path.len - pattern.len - 1};
            *words += pattern.len > 0;
            return true;
        }
        str have = take_segment(&path);
        if (str_is(want, "{space}")) {
            raw->space = have;
        } else if (str_is(want, "{remote}")) {
            raw->remote = have;
        } else if (str_is(want, "{id}")) {
            raw->id = have;
        } else if (str_is(want, "{file}")) {
            raw->file = have;
        } else if (str_is(want, "{attribute}")) {
            raw->attribute = have;
        } else if (str_is(want, "{value}")) {
            raw->value = have;
        } else if (str_is(want, "{table}")) {
            raw->table = have;
        } else {
            if (!str_eq(want, have))
                return false;
            ++*words;
            continue;
        }
        if (have.len == 0)
            return false;
    }
    return path.len == 0;
}

/* What each request asks of each pattern; constant once it was read. */
static struct {
    int first;   /* the first route with this pattern */
    char letter; /* the first one behind "/v1/{space}/"; 0 = it begins with something else */
    str text;
    str end; /* behind its last brace: so must a path end that fits */
} patterns[ROUTE_COUNT];
static pthread_once_t patterns_read = PTHREAD_ONCE_INIT;

static void read_patterns(void)
{
    static const char begins[] = "/v1/{space}/";
    size_t len = sizeof begins - 1;
    for (int i = 0; i < ROUTE_COUNT; i++) {
        const char *pattern = route_table[i].pattern;
        while (strcmp(route_table[patterns[i].first].pattern, pattern) != 0)
            patterns[i].first++;
        if (strncmp(pattern, begins, len) == 0)
            patterns[i].letter = pattern[len];
        patterns[i].text = str_of(pattern);
        const char *brace = strrchr(pattern, '}');
        patterns[i].end = str_of(brace ? brace + 1 : pattern);
    }
}

/* The methods of all routes with the pattern of this one, a bit each; ROUTE_NONE: of all routes. */
static unsigned methods_of(int first)
{
    unsigned methods = 0;
    for (int i = 0; i < ROUTE_COUNT; i++)
        if (first == ROUTE_NONE || patterns[i].first == first)
            methods |= 1u << route_table[i].method;
    return methods;
}

/* The first letter behind the space, 0 when there is none. */
static char letter_behind_space(str path)
{
    str rest = path;
    for (int i = 0; i < 2 && rest.len && rest.p[0] == '/'; i++)
        take_segment(&rest);
    return rest.len > 1 ? rest.p[1] : 0;
}

/* The first route with the closest pattern that fits; ROUTE_NONE when none does. Most patterns are
 * of something in a space and differ from the path by the letter behind that already, or by the
 * end. */
static int closest_pattern(str path, struct raw_match *ret)
{
    char letter = letter_behind_space(path);
    int best = ROUTE_NONE, best_words = -1;
    for (int i = 0; i < ROUTE_COUNT; i++) {
        struct raw_match raw = {0};
        int words;
        if (patterns[i].first != i ||
            (letter && patterns[i].letter && patterns[i].letter != letter) ||
            !str_ends(path, patterns[i].end))
            continue;
        if (pattern_fits(patterns[i].text, path, &raw, &words) && words > best_words) {
            best = i;
            best_words = words;
            *ret = raw;
        }
    }
    return best;
}

/* A word that ends in .NAME stands for all that begin with what is before it. */
static bool fits_word(str one, str word)
{
    str begin = {one.p, one.len - (str_ends(one, STR(".NAME")) ? 4 : 0)};
    return begin.len == one.len ? str_eq(one, word)
                                : str_starts(word, begin) && word.len > begin.len;
}

static bool word_in(const char *words, str word)
{
    for (str rest = str_of(words); rest.len;) {
        str one = {rest.p, str_index(rest, ' ')};
        if (fits_word(one, word))
            return true;
        rest = str_from(rest, one.len + 1);
    }
    return false;
}

static kf_rc parse_query(str query, const struct route_info *route, struct arena *arena,
                         struct route_match *m, struct kf_err *err)
{
    while (query.len) {
        str pair = {query.p, str_index(query, '&')};
        query = str_from(query, pair.len + 1);
        if (pair.len == 0)
            continue;
        if (m->query_count == API_QUERY_MAX)
            return err_set(err, PROBLEM_BAD_FILTER, "the address has more than %d parameters",
                           API_QUERY_MAX);
        struct api_query *q = &m->query[m->query_count];
        size_t eq = str_index(pair, '=');
        kf_rc rc = decode((str){pair.p, eq}, true, arena, &q->key, err);
        if (rc == KF_OK)
            rc = decode(str_from(pair, eq + 1), true, arena, &q->value, err);
        if (rc != KF_OK)
            return rc;
        for (size_t i = 0; i < m->query_count; i++)
            if (str_eq(m->query[i].key, q->key))
                return err_set(err, PROBLEM_BAD_FILTER, "the parameter \"%.*s\" stands twice",
                               (int)(q->key.len < 60 ? q->key.len : 60), q->key.p);
        if (!word_in(route->query, q->key))
            return err_set(err, PROBLEM_BAD_FILTER, "this route has no parameter \"%.*s\"%s%s",
                           (int)(q->key.len < 60 ? q->key.len : 60), q->key.p,
                           *route->query ? "; it takes: " : "", route->query);
        m->query_count++;
    }
    return KF_OK;
}

kf_rc route_match(enum api_method method, str target, struct arena *arena, struct route_match *ret,
                  struct kf_err *err)
{
    if (target.len > API_TARGET_MAX)
        return err_set(err, PROBLEM_URI_TOO_LONG, "the address has %zu bytes, at most %d are read",
                       target.len, API_TARGET_MAX);
    str path = {target.p, str_index(target, '?')};
    struct raw_match raw = {0};
    pthread_once(&patterns_read, read_patterns);
    int first = closest_pattern(path, &raw);
    bool whole_server = str_is(target, "*"); /* RFC 9110, 9.3.7 */
    if (first == ROUTE_NONE && !whole_server)
        return err_set(err, PROBLEM_NOT_FOUND,
                       "there is no such route; GET /openapi.json lists those there are");
    *ret = (struct route_match){.route = ROUTE_NONE, .allowed = methods_of(first)};
    if (method == API_HEAD)
        method = API_GET;
    for (int i = 0; first != ROUTE_NONE && i < ROUTE_COUNT; i++)
        if (route_table[i].method == method && patterns[i].first == first)
            ret->route = (enum route)i;
    if (ret->route == ROUTE_NONE)
        return err_set(err, PROBLEM_METHOD_NOT_ALLOWED,
                       "the route is there, not with this method; see the header Allow");
    kf_rc rc = decode(raw.space, false, arena, &ret->space, err);
    if (rc == KF_OK)
        rc = decode(raw.name, false, arena, &ret->name, err);
    if (rc == KF_OK)
        rc = decode(raw.remote, false, arena, &ret->remote, err);
    if (rc == KF_OK)
        rc = decode(raw.id, false, arena, &ret->id, err);
    if (rc == KF_OK)
        rc = decode(raw.file, false, arena, &ret->file, err);
    if (rc == KF_OK)
        rc = decode(raw.attribute, false, arena, &ret->attribute, err);
    if (rc == KF_OK)
        rc = decode(raw.value, false, arena, &ret->value, err);
    if (rc == KF_OK)
        rc = decode(raw.table, false, arena, &ret->table, err);
    if (rc == KF_OK && raw.name.p)
        rc = name_check(ret->name, err);
    if (rc == KF_OK)
        rc = parse_query(str_from(target, path.len + 1), &route_table[ret->route], arena, ret, err);
    return rc;
}
