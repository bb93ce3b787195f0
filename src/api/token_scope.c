/* What a token allows: rights, spaces, names. Pure; the contract is tokens.h. */
#include "api/tokens.h"

#include "base/config.h"
#include "base/err.h"
#include "base/hooks.h"
#include "shape/doc.h"

const char *const token_right_names[TOKEN_RIGHT_COUNT] = {"read", "write", "run", "query", "admin"};

static kf_rc check_prefix(str p, struct kf_err *err)
{
    size_t star = str_index(p, '*');
    bool ok = p.len > 0 && p.len <= DOC_NAME_MAX && str_utf8_valid(p) == p.len && star > 0 &&
              star + 1 >= p.len && str_index(p, '\0') == p.len;
    return ok ? KF_OK
              : err_set(err, PROBLEM_BAD_REQUEST,
                        "a prefix is the beginning of names with a * behind it (chat/abc*), or a "
                        "whole name; a token for all names has none");
}

kf_rc token_scope_check(const struct token_scope *scope, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    if (!scope->rights || scope->rights >= 1u << TOKEN_RIGHT_COUNT)
        return err_set(err, PROBLEM_BAD_REQUEST,
                       "a token needs a right at least: read, write, run, query or admin");
    if (scope->space_count > TOKEN_LIST_MAX || scope->prefix_count > TOKEN_LIST_MAX)
        return err_set(err, PROBLEM_BAD_REQUEST,
                       "a token names at most %d spaces and as many prefixes", TOKEN_LIST_MAX);
    for (size_t i = 0; i < scope->space_count; i++)
        if (!config_space_name_ok(scope->spaces[i]))
            return err_set(err, PROBLEM_BAD_REQUEST,
                           "a space is named with a-z, 0-9, _ and -, 1 to 60 of them");
    for (size_t i = 0; rc == KF_OK && i < scope->prefix_count; i++)
        rc = check_prefix(scope->prefixes[i], err);
    return rc;
}

unsigned token_right_of(str word)
{
    for (unsigned i = 0; i < TOKEN_RIGHT_COUNT; i++)
        if (str_is(word, token_right_names[i]))
            return 1u << i;
    return 0;
}

bool token_lives(const struct token *k, int64_t now_ms)
{
    int64_t revoked_ms = atomic_load_explicit(&k->revoked_ms, memory_order_acquire);
    return (revoked_ms == 0 || KF_SABOTAGE("revoked-lives")) && now_ms < k->scope.expires_ms;
}

bool token_has_space(const struct token_scope *s, str space)
{
    bool has = s->space_count == 0;
    for (size_t i = 0; !has && i < s->space_count; i++)
        has = str_eq(s->spaces[i], space);
    return has;
}

/* Whether all names of prefix `p` are names of prefix `of`. */
static bool prefix_within(str p, str of)
{
    bool all = of.len && of.p[of.len - 1] == '*', some = p.len && p.p[p.len - 1] == '*';
    if (!all)
        return str_eq(p, of);
    return str_starts((str){p.p, p.len - some}, (str){of.p, of.len - 1});
}

bool token_has_name(const struct token_scope *s, str name)
{
    bool has = s->prefix_count == 0;
    for (size_t i = 0; !has && i < s->prefix_count; i++) {
        str p = s->prefixes[i];
        has = p.p[p.len - 1] == '*' ? str_starts(name, (str){p.p, p.len - 1}) : str_eq(name, p);
    }
    return has;
}

static bool spaces_within(const struct token_scope *part, const struct token_scope *whole)
{
    bool within = whole->space_count == 0 || part->space_count > 0;
    for (size_t i = 0; within && i < part->space_count; i++)
        within = token_has_space(whole, part->spaces[i]);
    return within;
}

static bool prefixes_within(const struct token_scope *part, const struct token_scope *whole)
{
    if (whole->prefix_count == 0)
        return true;
    for (size_t i = 0; i < part->prefix_count; i++) {
        bool found = false;
        for (size_t k = 0; !found && k < whole->prefix_count; k++)
            found = prefix_within(part->prefixes[i], whole->prefixes[k]);
        if (!found)
            return false;
    }
    return part->prefix_count > 0;
}

bool token_within(const struct token_scope *part, const struct token_scope *whole)
{
    return (part->rights & ~whole->rights) == 0 && part->expires_ms <= whole->expires_ms &&
           spaces_within(part, whole) && prefixes_within(part, whole);
}

bool token_like(str text)
{
    return str_starts(text, STR(TOKEN_MARK));
}
