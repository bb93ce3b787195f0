/* Targets to routes. The path is looked at raw and each piece decoded once, so that what a proxy
 * saw is what we see:
 *
 *     /v1/finance/docs/a%2Fb/c/versions?limit=5
 *     v1  space   docs name........ word       query
 *
 * A name may hold `/` as such or as %2F; a last segment that is a route word belongs to the route
 * when a name segment stands before it. */
#include "api/api_internal.h"

#include <assert.h>
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

/* A pattern in pieces, as each request asks of it: constant once it was read. */
#define PIECES_MAX 6
struct piece {
    enum { PIECE_WORD, PIECE_SEGMENT, PIECE_NAME } kind;
    str text;
    size_t into; /* of raw_match; not of a word */
};
struct pattern {
    struct piece pieces[PIECES_MAX];
    size_t count;
    str text;
    str end;          /* behind its last brace: so must a path end that fits */
    char letter;      /* the first one behind "/v1/{space}/"; 0 = it begins with something else */
    unsigned methods; /* a bit for each that a route with this pattern has */
    enum route routes[API_OTHER + 1]; /* by method */
};
/* In the order of their first routes. */
static struct {
    struct pattern all[ROUTE_COUNT];
    size_t count;
    unsigned methods; /* of all */
} patterns;
static pthread_once_t patterns_read = PTHREAD_ONCE_INIT;

static struct piece piece_of(str text)
{
#define PLACE(kind, word, member)                                   \
    {                                                               \
        PIECE_##kind, STR(word), offsetof(struct raw_match, member) \
    }
    static const struct piece places[] = {
        PLACE(NAME, "{name}", name),
        PLACE(NAME, "{key}", name),
        PLACE(SEGMENT, "{space}", space),
        PLACE(SEGMENT, "{remote}", remote),
        PLACE(SEGMENT, "{id}", id),
        PLACE(SEGMENT, "{file}", file),
        PLACE(SEGMENT, "{attribute}", attribute),
        PLACE(SEGMENT, "{value}", value),
        PLACE(SEGMENT, "{table}", table),
    };
#undef PLACE
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (str_eq(text, places[i].text))
            return places[i];
    return (struct piece){PIECE_WORD, text, 0};
}

/* What stands behind a name is `end`, not a piece. */
static void read_pieces(struct pattern *p)
{
    str rest = p->text;
    while (rest.len) {
        assert(p->count < PIECES_MAX);
        struct piece piece = piece_of(take_segment(&rest));
        p->pieces[p->count++] = piece;
        if (piece.kind == PIECE_NAME)
            return;
    }
}

static struct pattern *pattern_of(const char *text)
{
    static const char begins[] = "/v1/{space}/";
    size_t len = sizeof begins - 1;
    for (size_t i = 0; i < patterns.count; i++)
        if (str_is(patterns.all[i].text, text))
            return &patterns.all[i];
    struct pattern *p = &patterns.all[patterns.count++];
    const char *brace = strrchr(text, '}');
    p->text = str_of(text);
    p->end = str_of(brace ? brace + 1 : text);
    p->letter = strncmp(text, begins, len) == 0 ? text[len] : 0;
    for (size_t m = 0; m <= API_OTHER; m++)
        p->routes[m] = ROUTE_NONE;
    read_pieces(p);
    return p;
}

static void read_patterns(void)
{
    for (int i = 0; i < ROUTE_COUNT; i++) {
        struct pattern *p = pattern_of(route_table[i].pattern);
        p->routes[route_table[i].method] = (enum route)i;
        p->methods |= 1u << route_table[i].method;
        patterns.methods |= p->methods;
    }
}

/* Whether `path`, which ends as the pattern does, has its form; *words: how many of its segments
 * are literal, by which the closest pattern is chosen. */
static bool pattern_fits(const struct pattern *p, str path, struct raw_match *raw, int *words)
{
    *words = 0;
    for (size_t i = 0; i < p->count; i++) {
        const struct piece *piece = &p->pieces[i];
        str *into = (str *)(void *)((char *)raw + piece->into);
        if (path.len == 0 || path.p[0] != '/')
            return false;
        if (piece->kind == PIECE_NAME) {
            /* A slash and the name stand before the end. A name that is empty is a bad one, not
             * another route. */
            if (path.len <= p->end.len)
                return false;
            *into = (str){path.p + 1, path.len - p->end.len - 1};
            *words += p->end.len > 0;
            return true;
        }
        str have = take_segment(&path);
        if (piece->kind == PIECE_SEGMENT) {
            if (have.len == 0)
                return false;
            *into = have;
        } else {
            if (!str_eq(piece->text, have))
                return false;
            ++*words;
        }
    }
    return path.len == 0;
}

/* The first letter behind the space, 0 when there is none. */
static char letter_behind_space(str path)
{
    str rest = path;
    for (int i = 0; i < 2 && rest.len && rest.p[0] == '/'; i++)
        take_segment(&rest);
    return rest.len > 1 ? rest.p[1] : 0;
}

/* The closest pattern that fits, of those the first; NULL when none does. Most patterns are of
 * something in a space and differ from the path by the letter behind that already, or by the
 * end. */
static const struct pattern *closest_pattern(str path, struct raw_match *ret)
{
    char letter = letter_behind_space(path);
    const struct pattern *best = NULL;
    int best_words = -1;
    for (const struct pattern *p = patterns.all; p < patterns.all + patterns.count; p++) {
        if ((letter && p->letter && p->letter != letter) || !str_ends(path, p->end))
            continue;
        struct raw_match raw = {0};
        int words;
        if (pattern_fits(p, path, &raw, &words) && words > best_words) {
            best = p;
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
    const struct pattern *closest = closest_pattern(path, &raw);
    bool whole_server = str_is(target, "*"); /* RFC 9110, 9.3.7 */
    if (!closest && !whole_server)
        return err_set(err, PROBLEM_NOT_FOUND,
                       "there is no such route; GET /openapi.json lists those there are");
    if (method == API_HEAD)
        method = API_GET;
    *ret = (struct route_match){.route = closest ? closest->routes[method] : ROUTE_NONE,
                                .allowed = closest ? closest->methods : patterns.methods};
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
