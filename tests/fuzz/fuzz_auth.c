/* What shows a token, as a hostile client would write it. The first byte says which route is asked
 * and by which peer; then the target and the headers, a line each: a name, a colon, a value. The
 * byte 1 stands for the text of a token that lives, 2 for one that was revoked: nobody else can
 * write them.
 *
 * Nobody gets in without such a byte, and nobody with the revoked one. An address that shows the
 * one or the other is always refused, and no answer repeats it. */
#include "api/api_internal.h"

#include <ftw.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TARGET_MAX 2048

static struct tokens *tokens;
static struct auth *auth;
static struct api api;
static char lives[TOKEN_TEXT_LEN + 1], gone[TOKEN_TEXT_LEN + 1];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    return remove(path);
}

static void start(void)
{
    char dir[] = "/tmp/kf-fuzz-XXXXXX";
    const struct token_scope scope = {.rights = TOKEN_READ | TOKEN_WRITE,
                                      .expires_ms = TOKEN_NEVER};
    const struct token *first, *second;
    bool made = mkdtemp(dir) && hash_init() == 0 &&
                tokens_open(&(struct tokens_options){.env = env_system(), .dir = dir}, &tokens,
                            NULL) == KF_OK &&
                tokens_make(tokens, STR("lives"), &scope, lives, &first, NULL) == KF_OK &&
                tokens_make(tokens, STR("gone"), &scope, gone, &second, NULL) == KF_OK &&
                tokens_revoke(tokens, str_of(second->id), NULL) == KF_OK &&
                auth_new(env_system(), NULL, tokens, &auth, NULL) == KF_OK;
    if (!made)
        abort();
    nftw(dir, remove_one, 4, FTW_DEPTH | FTW_PHYS);
    api.o.env = env_system();
    api.o.tokens = tokens;
}

/* The input with its two bytes written out. */
static str written(str in, char *room, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < in.len && n + TOKEN_TEXT_LEN < cap; i++) {
        const char *text = in.p[i] == 1 ? lives : in.p[i] == 2 ? gone : NULL;
        memcpy(room + n, text ? text : in.p + i, text ? TOKEN_TEXT_LEN : 1);
        n += text ? TOKEN_TEXT_LEN : 1;
    }
    return (str){room, n};
}

static bool repeats(const struct kf_err *err)
{
    return strstr(err->detail, lives) || strstr(err->detail, gone);
}

static size_t take_headers(str rest, struct api_header *headers)
{
    size_t n = 0;
    while (rest.len && n < API_HEADERS_MAX) {
        str line = {rest.p, str_index(rest, '\n')};
        size_t colon = str_index(line, ':');
        rest = str_from(rest, line.len + 1);
        headers[n++] = (struct api_header){{line.p, colon}, str_trim(str_from(line, colon + 1))};
    }
    return n;
}

/* Whether a parameter's name or value begins as tokens do. */
static bool shows_one(str target)
{
    bool shows = false;
    for (str rest = str_from(target, str_index(target, '?') + 1); rest.len;) {
        str pair = {rest.p, str_index(rest, '&')};
        rest = str_from(rest, pair.len + 1);
        str value = str_from(pair, str_index(pair, '=') + 1);
        shows |= token_like(pair) || token_like(value);
    }
    return shows;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char room[1 << 16];
    struct api_header headers[API_HEADERS_MAX];
    struct api_call c = {.api = &api};
    struct kf_err err = KF_ERR_INIT;
    if (!tokens)
        start();
    if (size == 0)
        return 0;
    str in = str_make(data + 1, size - 1), target = {in.p, str_index(in, '\n')};
    bool may = str_index(in, 1) < in.len; /* else nobody has shown it */
    str text = written(in, room, sizeof room);
    target = (str){text.p, str_index(text, '\n')};
    struct api_head head = {.method = API_GET,
                            .target = target,
                            .headers = headers,
                            .header_count = take_headers(str_from(text, target.len + 1), headers),
                            .peer = (enum api_peer)(API_PEER_UNIX_OTHER + data[0] % 2),
                            .from = {.is_uid = data[0] % 2 == 0, .uid = data[0] / 2}};
    if (target.len > TARGET_MAX)
        return 0;
    bool taken = auth_check_url(auth, &head, &err) == KF_OK;
    assert(taken || strcmp(err.code, "token_in_url") == 0);
    assert(!repeats(&err));
    assert(!taken || !shows_one(target));

    c.peer = head.peer;
    c.match.route = (enum route)(data[0] % ROUTE_COUNT);
    c.route = &route_table[c.match.route];
    c.match.space = strstr(c.route->pattern, "{space}") ? STR("default") : (str){NULL, 0};
    c.match.name = strstr(c.route->pattern, "{name}") ? STR("a") : (str){NULL, 0};
    kf_rc rc = auth_request(auth, &c, &head, &err);
    assert(rc == KF_OK || rc == KF_DENIED);
    assert(!repeats(&err));
    bool asked = c.route->right[0] != '\0';
    assert(rc != KF_OK || !asked || (may && c.token && c.known));
    assert(!c.token || (rc == KF_OK || strcmp(err.code, "forbidden") == 0));
    assert(!c.token || strcmp(c.token->name, "lives") == 0);
    return 0;
}
