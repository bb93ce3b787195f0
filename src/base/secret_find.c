/* A document's text is read once, byte by byte:
 *
 *     { "name" : "text" , … }       strings are cut out, decoded where they hold a backslash,
 *       |        |                  and looked through
 *       |        +-- value of /name, or of /0, /1 in an array
 *       +-- is one when it stands in an object and no name is open there
 *
 * A stack has a frame for each open object or array: where its name ends in the pointer, and how
 * many values it had. In a string a mark counts where a word begins, that is behind a byte that
 * cannot stand in a word; the mark's first byte chooses which rows are compared. */
#include "base/secret_find.h"

#include "base/err.h"
#include "base/mem.h"

#define WHERE_MAX   200
#define JWT_MAX     8192 /* of each of its three parts */
#define JWT_SIGNED  43   /* 32 bytes: what the shortest algorithm signs with */
#define PEM_LOOK    400
#define PEM_MIN     60
#define AWS_ID_LEN  20
#define AWS_KEY_LEN 40
#define URL_USER    256
#define URL_SECRET  256

/* Each form with the public text that says so. Longer marks before those that they begin with. */
const struct secret_mark secret_marks[] = {
    /* github.blog/2021-04-05-behind-githubs-new-authentication-token-formats; docs.github.com:
     * authentication, "GitHub's token formats" */
    {"ghp_", 36, 251, SECRET_DIGITS_LETTERS, true, "a token of GitHub"},
    {"gho_", 36, 251, SECRET_DIGITS_LETTERS, true, "a token of GitHub"},
    {"ghu_", 36, 251, SECRET_DIGITS_LETTERS, true, "a token of GitHub"},
    {"ghs_", 36, 251, SECRET_DIGITS_LETTERS, true, "a token of GitHub"},
    {"ghr_", 36, 251, SECRET_DIGITS_LETTERS, true, "a token of GitHub"},
    {"github_pat_", 60, 244, SECRET_WORD, true, "a token of GitHub"},
    /* docs.gitlab.com/security/tokens, "Token prefixes" */
    {"glpat-", 20, 300, SECRET_WORD, true, "a token of GitLab"},
    {"gldt-", 20, 300, SECRET_WORD, true, "a token of GitLab"},
    {"glptt-", 40, 300, SECRET_WORD, true, "a token of GitLab"},
    {"gloas-", 40, 300, SECRET_WORD, true, "a token of GitLab"},
    /* support.atlassian.com: app passwords, API tokens and access tokens of Bitbucket */
    {"ATBB", 32, 40, SECRET_DIGITS_LETTERS, true, "a password of Bitbucket"},
    {"ATCTT", 100, 400, SECRET_WORD, true, "a token of Bitbucket"},
    {"ATATT", 100, 400, SECRET_WORD, true, "a token of Atlassian"},
    /* docs.slack.dev/authentication/tokens: xoxb-, xoxp- and their like with ids of digits */
    {"xoxb-", 40, 250, SECRET_WORD, false, "a token of Slack"},
    {"xoxp-", 40, 250, SECRET_WORD, false, "a token of Slack"},
    {"xoxa-", 40, 250, SECRET_WORD, false, "a token of Slack"},
    {"xoxr-", 40, 250, SECRET_WORD, false, "a token of Slack"},
    {"xoxs-", 40, 250, SECRET_WORD, false, "a token of Slack"},
    {"xapp-", 40, 250, SECRET_WORD, false, "a token of Slack"},
    /* docs.stripe.com/keys: secret and restricted keys in live mode */
    {"sk_live_", 24, 250, SECRET_DIGITS_LETTERS, false, "a live key of Stripe"},
    {"rk_live_", 24, 250, SECRET_DIGITS_LETTERS, false, "a live key of Stripe"},
    /* cloud.google.com/docs/authentication/api-keys: 39 characters that begin with AIza */
    {"AIza", 35, 35, SECRET_WORD, false, "an API key of Google"},
    /* api/tokens.h */
    {"kft_", 43, 43, SECRET_WORD, false, "a token of Keepfast"},
    {0},
};

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return is_upper(c) || (c >= 'a' && c <= 'z');
}

static bool is_word(char c)
{
    return is_letter(c) || is_digit(c) || c == '_' || c == '-';
}

static bool is_base64(char c)
{
    return is_letter(c) || is_digit(c) || c == '+' || c == '/' || c == '=';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool in_alphabet(enum secret_alphabet a, char c)
{
    switch (a) {
    case SECRET_DIGITS_LETTERS: return is_letter(c) || is_digit(c);
    case SECRET_WORD: return is_word(c);
    case SECRET_UPPER: return is_upper(c) || is_digit(c);
    }
    return false;
}

/* How many bytes of `s` from its beginning are of the alphabet, at most `max` + 1. */
static size_t run_of(str s, enum secret_alphabet a, size_t max)
{
    size_t n = 0;
    while (n < s.len && n <= max && in_alphabet(a, s.p[n]))
        n++;
    return n;
}

/* A word of one letter again and again stands for a token and is none. */
static bool is_varied(str s)
{
    size_t changes = 0;
    for (size_t i = 1; i < s.len && changes < 8; i++)
        changes += s.p[i] != s.p[i - 1];
    return changes >= 8;
}

static const char *marked(str s)
{
    for (const struct secret_mark *m = secret_marks; m->mark; m++) {
        str mark = str_of(m->mark);
        if (s.p[0] != mark.p[0] || !str_starts(s, mark))
            continue;
        str rest = str_from(s, mark.len);
        size_t n = run_of(rest, m->alphabet, m->more_max);
        if (n >= m->more_min && n <= m->more_max && is_varied((str){rest.p, n}))
            return m->kind;
    }
    return NULL;
}

/* ------------------------------------------------------------------------------- PEM blocks */

/* "-----BEGIN … PRIVATE KEY-----" (RFC 7468, RFC 4716, PGP's of RFC 9580) with a key behind it, and
 * not one line that tells of it. */
static bool is_pem_key(str s)
{
    static const char *const ends[] = {"PRIVATE KEY-----", "PRIVATE KEY BLOCK-----"};
    str begin = STR("-----BEGIN ");
    size_t at = begin.len, good = 0;
    if (!str_starts(s, begin))
        return false;
    for (bool found = false; !found; at++) {
        if (at >= s.len || at > 60 || (!is_upper(s.p[at]) && s.p[at] != ' '))
            return false;
        for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]) && !found; i++)
            if (str_starts(str_from(s, at), str_of(ends[i]))) {
                at += strlen(ends[i]) - 1;
                found = true;
            }
    }
    for (size_t i = at; i < s.len && i < at + PEM_LOOK && good < PEM_MIN; i++) {
        if (str_starts(str_from(s, i), STR("-----END")))
            break;
        good += is_base64(s.p[i]);
    }
    return good >= PEM_MIN;
}

/* ------------------------------------------------------------------------------- signed tokens */

static int base64_value(char c)
{
    if (is_upper(c))
        return c - 'A';
    if (is_letter(c))
        return c - 'a' + 26;
    if (is_digit(c))
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* The header names an algorithm that signs (RFC 7518, 3.1), "none" being no such one. */
static bool is_signing_header(str part)
{
    static const char *const algorithms[] = {"\"HS", "\"RS", "\"ES", "\"PS", "\"EdDSA\""};
    char text[768];
    size_t len = 0;
    uint32_t bits = 0;
    unsigned count = 0;
    if (part.len > 1000)
        return false;
    for (size_t i = 0; i < part.len; i++) {
        bits = bits << 6 | (uint32_t)base64_value(part.p[i]);
        count += 6;
        if (count >= 8) {
            count -= 8;
            text[len++] = (char)(bits >> count & 0xff);
        }
    }
    if (!str_has((str){text, len}, "\"alg\""))
        return false;
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
        if (str_has((str){text, len}, algorithms[i]))
            return true;
    return false;
}

/* HEADER.PAYLOAD.SIGNATURE in base64url (RFC 7515, 7.1), the first two objects of JSON. */
static bool is_signed_token(str s)
{
    str part[3];
    for (int i = 0; i < 3; i++) {
        size_t n = run_of(s, SECRET_WORD, JWT_MAX);
        part[i] = (str){s.p, n};
        s = str_from(s, n);
        if (n == 0 || n > JWT_MAX || (i < 2 && (!s.len || s.p[0] != '.')))
            return false;
        s = i < 2 ? str_from(s, 1) : s;
    }
    return str_starts(part[0], STR("eyJ")) && str_starts(part[1], STR("eyJ")) &&
           part[2].len >= JWT_SIGNED && is_signing_header(part[0]);
}

/* --------------------------------------------------------------------------- addresses with one */

static bool is_example(str secret)
{
    static const char *const words[] = {"password", "passwd", "pass",    "pwd",      "pw",
                                        "secret",   "user",   "example", "changeme", "token",
                                        "PASSWORD", "PASS",   "SECRET",  "TOKEN",    "Password"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (str_is(secret, words[i]))
            return true;
    for (size_t i = 0; i < secret.len; i++)
        if (strchr("<>{}$*", secret.p[i]))
            return true; /* a place for one */
    for (size_t i = 1; i < secret.len; i++)
        if (secret.p[i] != secret.p[0])
            return false;
    return true; /* "xxxx" */
}

/* At "://": whether SCHEME before it is one of services, and USER:PASSWORD@ stands behind it
 * (RFC 3986, 3.2.1). `begin`: how far back the scheme may reach. */
static bool is_address_with_one(str text, size_t at, size_t begin)
{
    static const char *const schemes[] = {
        "postgres",  "postgresql", "mysql",      "mariadb", "mongodb", "mongodb+srv", "redis",
        "rediss",    "amqp",       "amqps",      "http",    "https",   "ftp",         "ftps",
        "sftp",      "smtp",       "smtps",      "imap",    "imaps",   "ldap",        "ldaps",
        "sqlserver", "mssql",      "clickhouse", "nats",    "mqtt",    "mqtts",       "ssh"};
    size_t from = at, colon, end;
    bool known = false;
    while (from > begin && at - from < 16 &&
           (is_letter(text.p[from - 1]) || text.p[from - 1] == '+'))
        from--;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]) && !known; i++)
        known = str_is((str){text.p + from, at - from}, schemes[i]);
    if (!known)
        return false;
    str rest = str_from(text, at + 3);
    for (colon = 0; colon < rest.len && colon < URL_USER && rest.p[colon] != ':'; colon++)
        if (strchr("/?#@ \t\r\n\"'<>", rest.p[colon]))
            return false;
    if (colon >= rest.len || rest.p[colon] != ':')
        return false;
    str secret = str_from(rest, colon + 1);
    for (end = 0; end < secret.len && end < URL_SECRET && secret.p[end] != '@'; end++)
        if (strchr("/?# \t\r\n\"'", secret.p[end]))
            return false;
    if (end >= secret.len || secret.p[end] != '@' || end + 1 >= secret.len)
        return false;
    secret.len = end;
    return end >= 3 && is_word(rest.p[colon + 1 + end + 1]) && !is_example(secret);
}

/* -------------------------------------------------------------------------------------- a text */

/* An id says who, the other half is the secret: docs.aws.amazon.com/IAM, "Unique identifiers". */
static bool is_aws_id(str s)
{
    return (str_starts(s, STR("AKIA")) || str_starts(s, STR("ASIA"))) &&
           run_of(s, SECRET_UPPER, AWS_ID_LEN) == AWS_ID_LEN &&
           (s.len == AWS_ID_LEN || !is_word(s.p[AWS_ID_LEN]));
}

/* 40 characters of base64: not a hash, which has neither large letters nor signs. */
static bool is_aws_key(str s)
{
    size_t n = 0, upper = 0, lower = 0, digit = 0, hex = 0;
    for (; n < s.len && n <= AWS_KEY_LEN && is_base64(s.p[n]) && s.p[n] != '='; n++) {
        upper += is_upper(s.p[n]);
        digit += is_digit(s.p[n]);
        lower += is_letter(s.p[n]) && !is_upper(s.p[n]);
        hex += is_hex(s.p[n]);
    }
    return n == AWS_KEY_LEN && upper >= 4 && lower >= 4 && digit && hex < AWS_KEY_LEN;
}

/* Where a word may begin with something that is compared further. */
static bool may_begin(char c)
{
    switch (c) {
    case 'g':
    case 'A':
    case 'x':
    case 's':
    case 'r':
    case 'e':
    case 'k':
    case '-': return true;
    default: return false;
    }
}

static const char *at_word(str s)
{
    const char *kind = marked(s);
    if (kind)
        return kind;
    if (s.p[0] == '-' && is_pem_key(s))
        return "a private key";
    return str_starts(s, STR("eyJ")) && is_signed_token(s) ? "a signed token (JWT)" : NULL;
}

/* What the parts of an AWS key have to do with each other is for the whole document. */
struct pair {
    bool id, key;
};

static const char *look(str text, struct pair *pair)
{
    size_t scheme = 0; /* the scheme of an address begins here at the earliest */
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        bool begins = i == 0 || !is_word(text.p[i - 1]);
        const char *kind = NULL;
        if (c == ':' && text.len - i > 3 && text.p[i + 1] == '/' && text.p[i + 2] == '/') {
            if (is_address_with_one(text, i, scheme))
                kind = "an address with a password";
            scheme = i;
        } else if (may_begin(c) && (begins || (c == '-' && text.p[i - 1] != '-'))) {
            kind = at_word(str_from(text, i));
        }
        if (kind)
            return kind;
        if (begins && c == 'A' && is_aws_id(str_from(text, i)))
            pair->id = true;
        if ((i == 0 || !is_base64(text.p[i - 1])) && is_base64(c) && !pair->key)
            pair->key = is_aws_key(str_from(text, i));
    }
    return NULL;
}

const char *secret_in_text(str text)
{
    struct pair pair = {0};
    const char *kind = look(text, &pair);
    return kind ? kind : pair.id && pair.key ? "a key of AWS" : NULL;
}

/* ---------------------------------------------------------------------------------- a document */

struct frame {
    size_t path; /* the pointer's length outside of it */
    uint64_t index;
    bool array, named; /* a name was read, its value comes */
};

struct walk {
    struct frame *frames;
    size_t depth, cap;
    struct buf path, text;
    struct buf key_path; /* where the second half of an AWS key is */
    struct pair pair;
    const char *kind;
};

static kf_rc push_frame(struct walk *w, bool array, struct kf_err *err)
{
    if (w->depth == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 32;
        struct frame *p = mem_realloc(w->frames, cap * sizeof(*p));
        if (!p)
            return err_nomem(err);
        w->frames = p;
        w->cap = cap;
    }
    w->frames[w->depth++] = (struct frame){.path = w->path.len, .array = array};
    return KF_OK;
}

static unsigned four_hex(str s)
{
    unsigned v = 0;
    for (size_t i = 0; i < 4; i++)
        v = v << 4 | (unsigned)(is_digit(s.p[i]) ? s.p[i] - '0' : (s.p[i] | 0x20) - 'a' + 10);
    return v;
}

/* What a string says. All that is looked for is ASCII: any other character becomes a mark that no
 * word holds. */
static void decode(str raw, struct buf *out)
{
    buf_clear(out);
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.p[i];
        if (c == '\\' && i + 1 < raw.len) {
            c = raw.p[++i];
            if (c == 'u' && raw.len - i > 4) {
                unsigned v = four_hex(str_from(raw, i + 1));
                c = v < 0x80 ? (char)v : '\x7f';
                i += 4;
            } else if (c == 'n' || c == 'r' || c == 't') {
                c = c == 'n' ? '\n' : c == 'r' ? '\r' : '\t';
            }
        }
        buf_byte(out, c);
    }
}

/* A name or number of the pointer; ~ and / as RFC 6901 wants them. */
static void add_step(struct buf *path, str name)
{
    buf_byte(path, '/');
    for (size_t i = 0; i < name.len && i < WHERE_MAX; i++) {
        char c = name.p[i];
        if (c == '~' || c == '/')
            buf_c(path, c == '~' ? "~0" : "~1");
        else
            buf_byte(path, c);
    }
}

/* The pointer of a value that comes now: the name is there already, a number is not. */
static void enter_value(struct walk *w)
{
    struct frame *f = w->depth ? &w->frames[w->depth - 1] : NULL;
    if (!f || !f->array)
        return;
    w->path.len = f->path;
    buf_byte(&w->path, '/');
    buf_u64(&w->path, f->index);
}

static kf_rc take_string(struct walk *w, str raw, struct kf_err *err)
{
    struct frame *f = w->depth ? &w->frames[w->depth - 1] : NULL;
    bool name = f && !f->array && !f->named;
    str text = raw;
    if (str_index(raw, '\\') < raw.len) {
        decode(raw, &w->text);
        kf_rc rc = buf_ok(&w->text, err);
        if (rc != KF_OK)
            return rc;
        text = buf_view(&w->text);
    }
    bool had_key = w->pair.key;
    if (name)
        w->path.len = f->path;
    else
        enter_value(w);
    w->kind = look(text, &w->pair);
    if (!had_key && w->pair.key) {
        buf_clear(&w->key_path);
        buf_str(&w->key_path, buf_view(&w->path));
    }
    if (name && !w->kind) {
        /* An id is no secret and still not repeated. */
        str shown = text;
        if (secret_in_text(text) || (w->pair.id && str_has(text, "AKIA")))
            shown = STR("…");
        add_step(&w->path, shown);
        f->named = true;
    }
    kf_rc rc = buf_ok(&w->key_path, err);
    return rc == KF_OK ? buf_ok(&w->path, err) : rc;
}

static kf_rc walk(struct walk *w, str json, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && !w->kind && i < json.len; i++) {
        struct frame *f = w->depth ? &w->frames[w->depth - 1] : NULL;
        switch (json.p[i]) {
        case '"': {
            size_t end = i + 1;
            while (end < json.len && json.p[end] != '"')
                end += json.p[end] == '\\' ? 2 : 1;
            if (end > json.len)
                end = json.len;
            rc = take_string(w, (str){json.p + i + 1, end - i - 1}, err);
            i = end;
            break;
        }
        case '{':
        case '[':
            enter_value(w);
            rc = buf_ok(&w->path, err);
            if (rc == KF_OK)
                rc = push_frame(w, json.p[i] == '[', err);
            break;
        case '}':
        case ']':
            if (f) {
                w->path.len = f->path;
                w->depth--;
            }
            break;
        case ',':
            if (f) {
                f->index++;
                f->named = false;
            }
            break;
        default: break;
        }
    }
    return rc;
}

static void put_where(str path, struct buf *where)
{
    size_t len = path.len < WHERE_MAX ? path.len : WHERE_MAX;
    len = str_utf8_valid((str){path.p, len});
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)path.p[i];
        buf_byte(where, c < 0x20 || c == 0x7f ? '?' : (char)c);
    }
    if (len < path.len)
        buf_c(where, "…");
}

kf_rc secret_find(str json, const char **ret_kind, struct buf *where, struct kf_err *err)
{
    struct walk w = {.path = BUF_INIT, .text = BUF_INIT, .key_path = BUF_INIT};
    kf_rc rc = walk(&w, json, err);
    bool pair = rc == KF_OK && !w.kind && w.pair.id && w.pair.key;
    if (rc == KF_OK && (w.kind || pair)) {
        put_where(buf_view(pair ? &w.key_path : &w.path), where);
        rc = buf_ok(where, err);
    }
    if (rc == KF_OK)
        *ret_kind = pair ? "a key of AWS" : w.kind;
    mem_free(w.frames);
    buf_release(&w.path);
    buf_release(&w.text);
    buf_release(&w.key_path);
    return rc;
}
