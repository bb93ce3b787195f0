/* docs/reference.md, made from the tables of the program. */
#include "api/api_internal.h"

#include "base/config.h"
#include "base/findings.h"

static const struct {
    int number;
    const char *name, *sentence;
} exit_table[] = {
#define E(number, name, sentence) {number, #name, sentence},
#include "base/exits.def"
#undef E
};

static void reference_routes(struct buf *out)
{
    buf_c(out, "## Routes\n\n| method and path | parameters | right | |\n|---|---|---|---|\n");
    for (int i = 0; i < ROUTE_COUNT; i++) {
        const struct route_info *r = &route_table[i];
        buf_printf(out, "| `%s %s` | %s | %s | %s |\n", route_method_name(r->method), r->pattern,
                   r->query, r->right, r->summary);
    }
    buf_c(out, "\nRight: what a token needs for it, once there are tokens; empty: nobody is asked "
               "for one; any: a token that lives; operator: `admin`, for all spaces and names. "
               "`key_file` and `key_env` want an operator, too.\n");
    buf_c(out, "\n`HEAD` goes wherever `GET` does; `OPTIONS` everywhere, also of `*`, and answers "
               "204 with `Allow`; for it nobody is asked for a token.\n\n### Parameters\n\n| name "
               "| type | "
               "|\n|---|---|---|\n");
    for (size_t i = 0; i < parameter_count; i++)
        buf_printf(out, "| `%s` | %s | %s |\n", parameter_table[i].name, parameter_table[i].type,
                   parameter_table[i].help);
}

static void reference_problems(struct buf *out)
{
    buf_c(out, "\n## Problems\n\nEvery error over HTTP is `application/problem+json` (RFC 9457) "
               "with one of these codes; "
               "the command line exits with the number.\n\n| code | HTTP | exit | retryable | "
               "|\n|---|---|---|---|---|\n");
    for (int i = 0; i < PROBLEM_COUNT; i++) {
        const struct problem_info *p = &problem_table[i];
        buf_printf(out, "| `%s` | ", p->code);
        if (p->http_status)
            buf_printf(out, "%d", p->http_status);
        buf_printf(out, " | %d | %s | %s |\n", p->exit_code, p->retryable ? "yes" : "", p->title);
    }
    buf_c(out, "\n## Exit statuses\n\n| status | meaning |\n|---|---|\n");
    for (size_t i = 0; i < sizeof exit_table / sizeof *exit_table; i++)
        buf_printf(out, "| %d | %s |\n", exit_table[i].number, exit_table[i].sentence);
    buf_c(out, "| 128 + n | ended by signal n |\n");
}

static void reference_findings(struct buf *out)
{
    buf_c(out,
          "\n## Findings\n\nWhat `keepfast doctor` and `GET /v1/{space}/doctor` can tell; "
          "[troubleshooting.md](troubleshooting.md) explains each. An error or a warning makes "
          "the command exit with 1. What is marked is about the process and its machine, and "
          "told to their operators alone.\n\n| code | level | machine | |\n|---|---|---|---|\n");
    for (int i = 0; i < FINDING_COUNT; i++) {
        const struct finding_info *f = &finding_table[i];
        buf_printf(out, "| `%s` | %s | %s | %s |\n", f->code, kf_finding_level_name(f->level),
                   f->of_machine ? "yes" : "", f->title);
    }
}

static void reference_settings(struct buf *out)
{
    buf_c(out, "\n## Settings\n\nOutside `spaces`. A flag (`--data DIR`, `--pool.max 5`) beats the "
               "environment, which beats "
               "`keepfast.yaml`. A name that is none of these is refused, also in a variable whose "
               "name begins like a group of them (`KEEPFAST_LIMITS_…`) or is nearly one.\n\n| "
               "setting | environment | type | default | "
               "|\n|---|---|---|---|---|\n");
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_info *s = &setting_table[i];
        const char *quote = s->def[0] ? "`" : "";
        buf_printf(out, "| `%s` | `%s` | %s | %s%s%s | %s |\n", s->path, s->env, s->type, quote,
                   s->def, quote, s->help);
    }
}

struct named {
    const char *key, *help;
};

static void reference_named(const struct named *keys, size_t count, struct buf *out)
{
    buf_c(out, "\n| key | |\n|---|---|\n");
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "| `%s` | %s |\n", keys[i].key, keys[i].help);
}

static void reference_access(struct buf *out)
{
#define T(member, word, help) {word, help},
#define F(member, word, help) {word, help},
#define S(member, word, help) {word, help},
#define B(member, word, help) {word, help},
    static const struct named of_git[] = {
#define ACCESS_OF_GIT_ALONE
#include "base/access.def"
#undef ACCESS_OF_GIT_ALONE
    };
    static const struct named of_keys[] = {
#include "base/seal.def"
    };
#undef T
#undef F
#undef S
#undef B
    buf_c(out,
          "\n## Remotes of kind git\n\nWhat may stand beside the address, in the configuration and "
          "in `POST /v1/{space}/remotes`; `keepfast remote add` has a flag for each "
          "(`--token-env`). [git.md](git.md) says what to set.\n");
    reference_named(of_git, sizeof of_git / sizeof *of_git, out);
    buf_c(out, "\nFor every kind: `allow_secrets` (`--allow-secrets`), documents that hold what is "
               "plainly a secret go there, too.\n");
    buf_c(out, "\n## Encrypted remotes\n\nFor every kind: in the configuration within `encrypt: "
               "{ … }`, in `POST /v1/{space}/remotes` beside the address, and with a flag for each "
               "(`--key-file`). [encryption.md](encryption.md) says what is hidden.\n");
    reference_named(of_keys, sizeof of_keys / sizeof *of_keys, out);
}

kf_rc api_reference(struct buf *out, struct kf_err *err)
{
    buf_c(out, "# Reference\n\nMade from the tables of the program by `keepfast reference`; a test "
               "holds it against them.\n\n");
    reference_routes(out);
    reference_problems(out);
    reference_findings(out);
    reference_settings(out);
    reference_access(out);
    return buf_ok(out, err);
}
