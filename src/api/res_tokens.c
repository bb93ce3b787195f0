/* Tokens: made, listed, revoked. Making and revoking wait for the disk, on a worker. */
#include "api/api_internal.h"

/* An answer with the longest lists takes no more. */
#define ANSWER_ROOM (512 * 1024)

static bool has_tokens(struct api_call *c)
{
    if (c->api->o.tokens)
        return true;
    err_set(&c->err, PROBLEM_FORBIDDEN,
            "tokens belong to a data folder and its server (keepfast serve --data DIR); this store "
            "is reached through its file or its socket alone");
    answer_problem(c, &c->err);
    return false;
}

/* ------------------------------------------------------------------------------ as it is told */

/* `text`: of a new one; NULL = it is not known any more. */
static void token_json(const struct token *k, const char *text, int64_t now_ms, struct buf *out)
{
    const struct token_scope *s = &k->scope;
    int64_t revoked_ms = atomic_load(&k->revoked_ms);
    bool first = true;
    buf_byte(out, '{');
    json_put_str(out, &first, "id", str_of(k->id));
    if (text)
        json_put_str(out, &first, "token", str_of(text));
    json_put_str(out, &first, "name", str_of(k->name));
    json_put_rights(out, &first, s->rights);
    json_put_list(out, &first, "spaces", s->spaces, s->space_count);
    json_put_list(out, &first, "prefixes", s->prefixes, s->prefix_count);
    json_put_time(out, &first, "created_at", k->created_ms);
    json_put_time(out, &first, "expires_at", s->expires_ms == TOKEN_NEVER ? 0 : s->expires_ms);
    json_put_time(out, &first, "revoked_at", revoked_ms);
    json_put_time(out, &first, "last_used_at", atomic_load(&k->used_ms));
    json_put_str(out, &first, "state",
                 str_of(token_lives(k, now_ms) ? "live"
                        : revoked_ms           ? "revoked"
                                               : "expired"));
    buf_byte(out, '}');
}

void token_list(struct api_call *c)
{
    size_t limit, shown = 0;
    str after;
    if (!has_tokens(c))
        return;
    c->rc = query_page(c, &limit, &after, &c->err);
    if (c->rc != KF_OK) {
        answer_problem(c, &c->err);
        return;
    }
    const struct token *k = tokens_after(c->api->o.tokens, after.p ? after : STR(""));
    str last = {"", 0};
    buf_c(&c->out, "{\"items\":[");
    for (; k && shown < limit; k = tokens_after(c->api->o.tokens, last), shown++) {
        if (shown)
            buf_byte(&c->out, ',');
        token_json(k, NULL, env_wall_ms(c->api->o.env), &c->out);
        last = str_of(k->id);
    }
    answer_next(&c->out, k != NULL, last);
    call_answer_out(c);
}

/* ----------------------------------------------------------------------------------------- made */

struct wish {
    str name;
    struct token_scope scope;
    bool has_expiry;
};

static kf_rc wish_text(struct api_call *c, const struct json_node *n, const char *key, str *ret)
{
    if (n->type != JSON_STRING)
        return err_set(&c->err, PROBLEM_BAD_REQUEST, "%s must be a string", key);
    *ret = json_text(n->raw, &c->arena);
    return ret->p ? KF_OK : err_nomem(&c->err);
}

static kf_rc wish_list(struct api_call *c, const struct json_node *n, const char *key,
                       const str **ret, size_t *ret_count)
{
    size_t count = 0;
    if (n->type == JSON_NULL)
        return KF_OK;
    if (n->type != JSON_ARRAY || !n->child)
        return err_set(&c->err, PROBLEM_BAD_REQUEST,
                       "%s must be an array of strings with one at least, or null for all", key);
    str *list = arena_alloc(&c->arena, n->count * sizeof *list);
    if (!list)
        return err_nomem(&c->err);
    for (const struct json_node *e = n->child; e; e = e->next) {
        kf_rc rc = wish_text(c, e, key, &list[count++]);
        if (rc != KF_OK)
            return rc;
    }
    *ret = list;
    *ret_count = count;
    return KF_OK;
}

static kf_rc wish_rights(struct api_call *c, const struct json_node *n, unsigned *ret)
{
    const str *words = NULL;
    size_t count = 0;
    kf_rc rc = wish_list(c, n, "rights", &words, &count);
    for (size_t i = 0; rc == KF_OK && i < count; i++) {
        unsigned right = token_right_of(words[i]);
        if (!right)
            rc = err_set(&c->err, PROBLEM_BAD_REQUEST,
                         "there is no right \"%.*s\"; there are read, write, run, query, admin",
                         (int)(words[i].len < 40 ? words[i].len : 40), words[i].p);
        *ret |= right;
    }
    return rc;
}

/* "expires_in": "90d", or "expires_at": a time. */
static kf_rc wish_expiry(struct api_call *c, str key, const struct json_node *n, struct wish *w)
{
    str text = {"", 0};
    uint64_t in_ms = 0;
    if (n->type == JSON_NULL)
        return KF_OK;
    if (w->has_expiry)
        return err_set(&c->err, PROBLEM_BAD_REQUEST,
                       "expires_in and expires_at contradict each other: send one of them");
    w->has_expiry = true;
    kf_rc rc = wish_text(c, n, "the expiry", &text);
    if (rc != KF_OK)
        return rc;
    if (str_is(key, "expires_in")) {
        if (!duration_parse(text, &in_ms) || in_ms == 0)
            return err_set(&c->err, PROBLEM_BAD_REQUEST,
                           "expires_in must be a duration such as 90d");
        w->scope.expires_ms = env_wall_ms(c->api->o.env) + (int64_t)in_ms;
        return KF_OK;
    }
    if (!when_parse(text, &w->scope.expires_ms))
        return err_set(&c->err, PROBLEM_BAD_REQUEST,
                       "expires_at must be a time such as 2027-01-31T00:00:00Z");
    return KF_OK;
}

static kf_rc wish_member(struct api_call *c, const struct json_node *n, struct wish *w)
{
    str key = json_text(n->name, &c->arena);
    struct token_scope *s = &w->scope;
    if (!key.p)
        return err_nomem(&c->err);
    if (str_is(key, "name"))
        return wish_text(c, n, "name", &w->name);
    if (str_is(key, "rights"))
        return wish_rights(c, n, &s->rights);
    if (str_is(key, "spaces"))
        return wish_list(c, n, "spaces", &s->spaces, &s->space_count);
    if (str_is(key, "prefixes"))
        return wish_list(c, n, "prefixes", &s->prefixes, &s->prefix_count);
    if (str_is(key, "expires_in") || str_is(key, "expires_at"))
        return wish_expiry(c, key, n, w);
    return err_set(&c->err, PROBLEM_BAD_REQUEST,
                   "a token has no member \"%.*s\"; there are name, rights, spaces, prefixes, "
                   "expires_in and expires_at",
                   (int)(key.len < 60 ? key.len : 60), key.p);
}

static kf_rc read_wish(struct api_call *c, struct wish *w)
{
    struct json_node *root;
    const struct token_scope *maker = auth_scope(c);
    kf_rc rc = json_parse(buf_view(&c->body), NULL, &c->arena, &root, &c->err);
    if (rc == KF_OK && root->type != JSON_OBJECT)
        rc = err_set(&c->err, PROBLEM_BAD_REQUEST,
                     "send an object: {\"name\": …, \"rights\": […]}");
    for (const struct json_node *n = rc == KF_OK ? root->child : NULL; n && rc == KF_OK;
         n = n->next)
        rc = wish_member(c, n, w);
    if (rc == KF_OK && maker && !token_within(&w->scope, maker))
        rc = err_set(&c->err, PROBLEM_FORBIDDEN,
                     "a token cannot give more than it has: fewer rights, spaces or names, or an "
                     "earlier end");
    return rc;
}

static void work_make(struct api_call *c)
{
    struct wish w = {.name = STR(""), .scope = {.expires_ms = TOKEN_NEVER}};
    char text[TOKEN_TEXT_LEN + 1], id[REQUEST_ID_LEN + 1];
    const struct token *k = NULL;
    c->secret = true;
    buf_room(&c->out, ANSWER_ROOM); /* so that growing leaves no copy behind */
    c->rc = read_wish(c, &w);
    if (c->rc == KF_OK)
        c->rc = tokens_make(c->api->o.tokens, w.name, &w.scope, text, &k, &c->err);
    if (c->rc != KF_OK)
        return;
    token_json(k, text, env_wall_ms(c->api->o.env), &c->out);
    mem_wipe(text, sizeof text);
    c->status = 201;
    log_event(c->api->o.log, LOG_INFO, "token.made", LOG_S("id", k->id),
              LOG_S("by", c->token ? c->token->id : ""), LOG_S("req", call_id_text(c, id)),
              LOG_END);
}

/* Nobody between us and who asked may keep it. */
static void was_made(struct api_call *c)
{
    answer_header(c, "Cache-Control", STR("no-store"));
    call_answer_out(c);
}

void token_make(struct api_call *c)
{
    if (has_tokens(c))
        call_work(c, work_make, was_made);
}

/* -------------------------------------------------------------------------------------- revoked */

static void work_revoke(struct api_call *c)
{
    char id[REQUEST_ID_LEN + 1];
    c->rc = tokens_revoke(c->api->o.tokens, c->match.id, &c->err);
    if (c->rc == KF_OK)
        log_event(c->api->o.log, LOG_INFO, "token.revoked", LOG_V("id", c->match.id),
                  LOG_S("by", c->token ? c->token->id : ""), LOG_S("req", call_id_text(c, id)),
                  LOG_END);
}

static void was_revoked(struct api_call *c)
{
    if (c->rc == KF_OK)
        answer_empty(c, 204);
    else
        answer_problem(c, &c->err);
}

void token_revoke(struct api_call *c)
{
    if (has_tokens(c))
        call_work(c, work_revoke, was_revoked);
}
