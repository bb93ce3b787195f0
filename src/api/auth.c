/* Whose request it is. The contract is auth.h.
 *
 * Failures are counted in a table of AUTH_ADDRESSES places. An address has one, by a hash that
 * nobody can aim (SipHash with a random key). Who comes second to a place takes it over when the
 * minute of the first is over, or when only one failure is counted there; otherwise its failures
 * count among those of all alone. */
#include "api/auth.h"

#include "api/api_internal.h"
#include "base/hooks.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sodium.h>

#define ADDRESS_LEN 17 /* kind and address */
#define LOOK_MAX    24 /* longer than any word that names a token */
#define LINES_MAX   10 /* of one event (log_quiet) */

struct failures {
    unsigned char address[ADDRESS_LEN];
    uint32_t count; /* 0 = free */
    bool told;
    int64_t until_ms; /* monotonic: the end of the minute */
};

enum auth_event { EVENT_FAIL, EVENT_EXPIRED, EVENT_DENY, EVENT_CROSS, EVENT_URL, EVENT_COUNT };

struct auth {
    const struct env *env;
    struct log *log;
    struct tokens *tokens;
    pthread_mutex_t lock; /* of what follows */
    unsigned char key[crypto_shorthash_KEYBYTES];
    struct failures *places; /* made with the first failure */
    struct failures all;
    struct log_quiet lines[EVENT_COUNT];
};

kf_rc auth_new(const struct env *env, struct log *log, struct tokens *tokens,
               struct auth **ret_auth, struct kf_err *err)
{
    struct auth *a = mem_calloc(1, sizeof *a);
    if (!a)
        return err_nomem(err);
    a->env = env;
    a->log = log;
    a->tokens = tokens;
    pthread_mutex_init(&a->lock, NULL);
    env->random(env->ctx, a->key, sizeof a->key);
    *ret_auth = a;
    return KF_OK;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    mem_free(a->places);
    pthread_mutex_destroy(&a->lock);
    mem_free(a);
}

/* ------------------------------------------------------------------------------------- the log */

/* "192.0.2.7", "2001:db8::1", "uid 1000". */
static const char *shown_address(const struct api_peer_address *from, char out[64])
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const unsigned char *ip = from->ip;
    if (from->is_uid)
        snprintf(out, 64, "uid %lu", (unsigned long)from->uid);
    else if (memcmp(ip, mapped, sizeof mapped) == 0)
        snprintf(out, 64, "%u.%u.%u.%u", ip[12], ip[13], ip[14], ip[15]);
    else if (!inet_ntop(AF_INET6, ip, out, 64))
        snprintf(out, 64, "?");
    return out;
}

static void say(struct auth *a, enum auth_event e, const struct api_call *c,
                const struct api_head *head)
{
    static const struct {
        enum log_level level;
        const char *name;
    } events[EVENT_COUNT] = {[EVENT_FAIL] = {LOG_WARN, "auth.fail"},
                             [EVENT_EXPIRED] = {LOG_INFO, "auth.expired"},
                             [EVENT_DENY] = {LOG_WARN, "authz.deny"},
                             [EVENT_CROSS] = {LOG_WARN, "authz.cross_tenant"},
                             [EVENT_URL] = {LOG_WARN, "auth.in_url"}};
    char address[64], id[REQUEST_ID_LEN + 1];
    uint32_t unsaid;
    pthread_mutex_lock(&a->lock);
    bool write = log_quiet_may(&a->lines[e], env_mono_ms(a->env), LINES_MAX, &unsaid);
    pthread_mutex_unlock(&a->lock);
    if (write)
        log_event(a->log, events[e].level, events[e].name,
                  LOG_S("address", shown_address(&head->from, address)),
                  LOG_S("token", c && c->token ? c->token->id : ""),
                  LOG_S("route", c && c->route ? c->route->id : ""),
                  LOG_S("req", c ? call_id_text(c, id) : ""), LOG_I("unsaid", unsaid), LOG_END);
}

/* -------------------------------------------------------------------------------------- guesses */

static void address_key(const struct api_peer_address *from, unsigned char out[ADDRESS_LEN])
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    memset(out, 0, ADDRESS_LEN);
    out[0] = from->is_uid;
    if (from->is_uid)
        memcpy(out + 1, &from->uid, sizeof from->uid);
    else /* of IPv6 one customer has a /64 at the least */
        memcpy(out + 1, from->ip, memcmp(from->ip, mapped, sizeof mapped) == 0 ? 16 : 8);
}

static void begin_minute(struct failures *f, int64_t now_ms)
{
    if (now_ms < f->until_ms)
        return;
    f->count = 0;
    f->told = false;
    f->until_ms = now_ms + AUTH_MINUTE_MS;
}

/* The place of an address; NULL when there is no memory, or who has it has failed more often. */
static struct failures *place_of(struct auth *a, const unsigned char address[ADDRESS_LEN],
                                 int64_t now_ms)
{
    unsigned char hash[crypto_shorthash_BYTES];
    size_t at;
    if (!a->places)
        a->places = mem_calloc(AUTH_ADDRESSES, sizeof *a->places);
    if (!a->places)
        return NULL;
    crypto_shorthash(hash, address, ADDRESS_LEN, a->key);
    memcpy(&at, hash, sizeof at);
    struct failures *f = &a->places[at % AUTH_ADDRESSES];
    if (memcmp(f->address, address, ADDRESS_LEN) != 0) {
        if (now_ms < f->until_ms && f->count > 1)
            return NULL;
        *f = (struct failures){0};
        memcpy(f->address, address, ADDRESS_LEN);
    }
    begin_minute(f, now_ms);
    return f;
}

/* Counts a failure; true when it is one too many. */
static bool too_many(struct auth *a, const struct api_head *head)
{
    unsigned char address[ADDRESS_LEN];
    char shown[64];
    int64_t now_ms = env_mono_ms(a->env);
    bool many = false, tell = false;
    address_key(&head->from, address);
    pthread_mutex_lock(&a->lock);
    begin_minute(&a->all, now_ms);
    struct failures *f = place_of(a, address, now_ms);
    if (f && ++f->count > AUTH_FAILURES) {
        many = true;
        tell = !f->told;
        f->told = true;
    } else { /* so that one address alone does not bring others to their bound */
        many = ++a->all.count > AUTH_FAILURES_ALL;
    }
    pthread_mutex_unlock(&a->lock);
    if (tell)
        log_event(a->log, LOG_WARN, "auth.throttle",
                  LOG_S("address", shown_address(&head->from, shown)), LOG_END);
    return many && !KF_SABOTAGE("guess-unthrottled");
}

/* `shown`: a token was, and it is not taken. */
static kf_rc refuse(struct auth *a, struct api_call *c, const struct api_head *head, bool shown,
                    enum auth_event why, struct kf_err *err)
{
    if (shown && too_many(a, head))
        return err_set(err, PROBLEM_AUTH_RATE,
                       "too many requests from this address had no token that is taken: wait a "
                       "minute, and check the token");
    say(a, why, c, head);
    if (why == EVENT_EXPIRED)
        return err_set(err, PROBLEM_TOKEN_EXPIRED,
                       "the token has expired or was revoked: ask for a new one (keepfast token "
                       "create)");
    return err_set(err, PROBLEM_AUTH_REQUIRED,
                   "this server asks for a token: send one that it made (keepfast token create) "
                   "as Authorization: Bearer TOKEN");
}

/* ---------------------------------------------------------------------------------- the address */

/* The beginning of a text without its escapes: as much as tells a token from another word. */
static str unescaped(str s, char out[LOOK_MAX])
{
    size_t n = 0;
    while (s.len && n < LOOK_MAX) {
        int byte = s.p[0] == '%' ? route_percent(s) : -1;
        out[n++] = byte < 0 ? s.p[0] : (char)byte;
        s = str_from(s, byte < 0 ? 1 : 3);
    }
    return (str){out, n};
}

static bool names_a_token(str key)
{
    static const char *const words[] = {"token",  "access_token", "auth",      "authorization",
                                        "bearer", "api_key",      "apikey",    "password",
                                        "secret", "kf_token",     "auth_token"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_eq_nocase(key, str_of(words[i])))
            return true;
    return false;
}

kf_rc auth_check_url(struct auth *a, const struct api_head *head, struct kf_err *err)
{
    str query = str_from(head->target, str_index(head->target, '?') + 1);
    while (query.len) {
        str pair = {query.p, str_index(query, '&')};
        size_t eq = str_index(pair, '=');
        char key_room[LOOK_MAX], value_room[LOOK_MAX];
        str key = unescaped((str){pair.p, eq}, key_room);
        str value = unescaped(str_from(pair, eq + 1), value_room);
        query = str_from(query, pair.len + 1);
        if (!names_a_token(key) && !token_like(key) && !token_like(value))
            continue;
        say(a, EVENT_URL, NULL, head);
        return err_set(err, PROBLEM_TOKEN_IN_URL,
                       "a token in an address is written down by proxies, browsers and logs: take "
                       "it for lost, revoke it, and send the next one as Authorization: Bearer "
                       "TOKEN");
    }
    return KF_OK;
}

/* ---------------------------------------------------------------------------------- the request */

static bool is_trusted(const struct api_call *c)
{
    return c->peer == API_PEER_SELF || c->peer == API_PEER_UNIX;
}

/* The token of "Authorization: Bearer TOKEN"; .p NULL when the header is not there, "" when it is
 * something else, or there twice. */
static str shown_token(const struct api_head *head)
{
    str found = {NULL, 0};
    for (size_t i = 0; i < head->header_count; i++) {
        if (!str_eq_nocase(head->headers[i].name, STR("Authorization")))
            continue;
        str v = str_trim(head->headers[i].value);
        size_t blank = str_index(v, ' ');
        if (found.p || !str_eq_nocase((str){v.p, blank}, STR("Bearer")))
            return (str){"", 0};
        found = str_trim(str_from(v, blank));
        if (!found.p)
            found.p = "";
    }
    return found;
}

/* c->token, and c->known: whether somebody stands behind the request. */
static kf_rc identify(struct auth *a, struct api_call *c, const struct api_head *head,
                      struct kf_err *err)
{
    str text = shown_token(head);
    bool asked = c->route->right[0] != '\0';
    c->token = NULL;
    c->known = true;
    if (a->tokens && asked && !tokens_known(a->tokens))
        return err_set(err, PROBLEM_STORE_UNAVAILABLE,
                       "the database of this server cannot be reached, so nobody can be let in; it "
                       "is tried again by itself");
    if (!a->tokens || !tokens_defined(a->tokens))
        return KF_OK;
    if (!text.p) {
        c->known = is_trusted(c);
        return c->known || !asked ? KF_OK : refuse(a, c, head, false, EVENT_FAIL, err);
    }
    if (KF_SABOTAGE("log-authorization"))
        log_event(a->log, LOG_DEBUG, "auth.shown", LOG_V("header", text), LOG_END);
    if (!asked && c->match.route != ROUTE_DURABLEZ) { /* its answer is the same for everybody */
        c->known = is_trusted(c);
        return KF_OK;
    }
    c->token = tokens_find(a->tokens, text);
    if (!c->token)
        return refuse(a, c, head, true, EVENT_FAIL, err);
    if (token_lives(c->token, env_wall_ms(a->env)))
        return KF_OK;
    kf_rc rc = refuse(a, c, head, true, EVENT_EXPIRED, err);
    c->token = NULL; /* the answer that says so must not be broken off for it */
    return rc;
}

static bool is_of_names(const struct api_call *c)
{
    switch (c->match.route) {
    case ROUTE_DOC_LIST:
    case ROUTE_STREAM_LIST:
    case ROUTE_SEARCH:
    case ROUTE_SPACES: return true;
    default: return c->match.name.p != NULL;
    }
}

/* Routes that reach beyond a space: tokens, and what names files, variables and places of the
 * server. */
static bool is_for_operators(const struct api_call *c)
{
    return str_is(str_of(c->route->right), "operator") || query_get(c, "key_file").len ||
           query_get(c, "key_env").len;
}

static unsigned wanted_right(const struct api_call *c)
{
    if (is_for_operators(c))
        return TOKEN_ADMIN;
    return token_right_of(str_of(c->route->right));
}

static kf_rc deny(struct auth *a, const struct api_call *c, const struct api_head *head,
                  struct kf_err *err, const char *what)
{
    say(a, EVENT_DENY, c, head);
    return err_set(err, PROBLEM_FORBIDDEN, "%s", what);
}

static kf_rc allow(struct auth *a, struct api_call *c, const struct api_head *head,
                   struct kf_err *err)
{
    const struct token_scope *scope = &c->token->scope;
    unsigned right = wanted_right(c);
    bool own_space = !c->match.space.p || token_has_space(scope, c->match.space);
    bool own_name = !c->match.name.p || token_has_name(scope, c->match.name);
    if (KF_SABOTAGE("skip-tenant-check-http"))
        own_space = own_name = true;
    if (!own_space || !own_name) {
        c->hidden = own_space ? HIDDEN_NAME : HIDDEN_SPACE;
        say(a, EVENT_CROSS, c, head);
        return KF_OK;
    }
    if ((scope->rights & right) != right && !KF_SABOTAGE("skip-right-check")) {
        char text[80];
        snprintf(text, sizeof text, "this token has not the right \"%s\", which the request needs",
                 right == TOKEN_ADMIN ? "admin" : c->route->right);
        return deny(a, c, head, err, text);
    }
    if (scope->prefix_count && !is_of_names(c))
        return deny(a, c, head, err,
                    "this token is for some names only, and the request speaks of all of a space");
    if (scope->space_count && is_for_operators(c))
        return deny(a, c, head, err,
                    "this token is for some spaces only, and the request reaches beyond them");
    return KF_OK;
}

kf_rc auth_request(struct auth *a, struct api_call *c, const struct api_head *head,
                   struct kf_err *err)
{
    kf_rc rc = identify(a, c, head, err);
    return rc == KF_OK && c->token && c->route->right[0] ? allow(a, c, head, err) : rc;
}

/* ------------------------------------------------------------------------------------ meanwhile */

kf_rc auth_still(const struct api_call *c, struct kf_err *err)
{
    if (!c->token || token_lives(c->token, env_wall_ms(c->api->o.env)))
        return KF_OK;
    return err_set(err, PROBLEM_TOKEN_EXPIRED, "the token has expired or was revoked meanwhile");
}

bool auth_sees(const struct api_call *c, str space)
{
    bool all = !c->token || KF_SABOTAGE("skip-tenant-check-lists");
    return c->known && (all || token_has_space(&c->token->scope, space));
}

bool auth_is_operator(const struct api_call *c)
{
    return is_trusted(c) && !c->token;
}

const struct token_scope *auth_scope(const struct api_call *c)
{
    return c->token ? &c->token->scope : NULL;
}
