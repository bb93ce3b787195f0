/* A server as a whole: its doors, its tokens, its log. */
#include "lib/doctor.h"

#include "api/tokens.h"
#include "base/when.h"

#define ENDS_SOON_MS ((int64_t)14 * 24 * 3600 * 1000)

static void look_at_doors(const struct doctor_server *s, struct findings *f)
{
    struct doctor_doors d = {0};
    char until[WHEN_LEN + 1];
    int64_t now_ms = env_wall_ms(s->env);
    if (!s->doors)
        return;
    s->doors(s->doors_ctx, &d);
    when_format(d.tls_ends_ms, until);
    if (d.plain_beyond)
        findings_add(f, FINDING_PLAIN_HTTP, NULL,
                     "listen_insecure is set: whoever is on the way reads tokens and documents");
    if (d.tls_ends_ms && d.tls_ends_ms - now_ms < ENDS_SOON_MS)
        findings_add(f, FINDING_TLS_ENDS, NULL, "it is good until %s", until);
    if (d.tls_ends_ms && d.tls_ends_ms <= now_ms)
        findings_level(f, FINDING_TLS_ENDS, NULL, KF_FINDING_ERROR);
    if (d.tls_error[0])
        findings_add(f, FINDING_TLS_NOT_RELOADED, NULL, "%s", d.tls_error);
}

static bool listens_on_tcp(const struct config *config)
{
    for (size_t i = 0; i < config->listen_count; i++)
        if (!str_starts(config->listen[i], STR("unix:")))
            return true;
    return false;
}

static void look_at_ends(const struct doctor_server *s, struct findings *f)
{
    char until[WHEN_LEN + 1];
    int64_t now_ms = env_wall_ms(s->env);
    const struct token *first = NULL;
    size_t count = 0;
    for (const struct token *k = tokens_after(s->tokens, STR("")); k;
         k = tokens_after(s->tokens, str_of(k->id))) {
        int64_t ends_ms = k->scope.expires_ms;
        if (!token_lives(k, now_ms) || ends_ms == TOKEN_NEVER || ends_ms - now_ms >= ENDS_SOON_MS)
            continue;
        count++;
        if (!first || ends_ms < first->scope.expires_ms)
            first = k;
    }
    if (!first)
        return;
    when_format(first->scope.expires_ms, until);
    findings_add(
        f, FINDING_TOKEN_ENDS, NULL,
        "%zu within two weeks, the first is %s \"%s\", at %s: who shows it is refused then", count,
        first->id, first->name, until);
}

static void look_at_tokens(const struct doctor_server *s, struct findings *f)
{
    if (!s->tokens)
        return;
    if (!tokens_defined(s->tokens) && listens_on_tcp(s->config))
        findings_add(f, FINDING_NO_TOKENS, NULL,
                     "the server listens on TCP, and no token was ever made: whoever can run a "
                     "program here, as any user, may read and write every space");
    look_at_ends(s, f);
}

void doctor_server(const struct doctor_server *s, struct findings *f)
{
    struct doctor_limits limits = {.memory = s->config->limit_memory,
                                   .descriptors = s->config->limit_connections};
    doctor_process(s->env, &limits, f);
    look_at_doors(s, f);
    look_at_tokens(s, f);
    if (str_is(s->config->log_level, "error"))
        findings_add(f, FINDING_LOG_QUIET, NULL,
                     "log.level is error: that a remote is away, the disk fills or a token is "
                     "guessed at is a warning, and not seen");
}
