/* Words of a command as parts of a request: names escaped, paths made absolute, data read. */
#include "cli/cli.h"
#include "base/when.h"
#include "remote/remotes_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;

/* Far over any document that a server takes; what it takes is the server's to say. */
static const size_t body_max = 1024UL * 1024 * 1024;

kf_rc cli_usage(struct kf_err *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    kf_rc rc = err_vset(err, PROBLEM_USAGE, fmt, args);
    va_end(args);
    return rc;
}

kf_rc cli_config(struct cli *cli, const char *dir, struct config **ret, struct kf_err *err)
{
    struct buf file = BUF_INIT;
    kf_rc rc = config_find(cli->env, cli->opt[OPT_CONFIG], environ, dir, &file, err);
    if (rc == KF_OK)
        rc = config_load(cli->env, file.len ? file.p : NULL, environ, cli->flags, cli->flag_count,
                         ret, err);
    if (rc == KF_OK && (rc = remotes_config_check(*ret, err)) != KF_OK) {
        config_free(*ret);
        *ret = NULL;
    }
    buf_release(&file);
    return rc;
}

char *cli_escape(struct cli *cli, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    struct buf b = BUF_INIT;
    for (const unsigned char *t = (const unsigned char *)text; *t; t++) {
        bool plain = (*t >= '0' && *t <= '9') || (*t >= 'a' && *t <= 'z') ||
                     (*t >= 'A' && *t <= 'Z') || *t == '-' || *t == '.' || *t == '_' || *t == '~' ||
                     *t == '/';
        if (plain) {
            buf_byte(&b, (char)*t);
        } else {
            buf_byte(&b, '%');
            buf_byte(&b, hex[*t >> 4]);
            buf_byte(&b, hex[*t & 15]);
        }
    }
    char *out = b.failed ? NULL : arena_dup(&cli->arena, buf_view(&b));
    buf_release(&b);
    return out;
}

char *cli_escape_name(struct cli *cli, const char *name)
{
    static const char *const words[] = {"/versions", "/revert", "/diff", "/entries", "/context"};
    char *escaped = cli_escape(cli, name);
    for (size_t i = 0; escaped && i < sizeof words / sizeof *words; i++)
        if (str_ends(str_of(escaped), str_of(words[i])) && strlen(escaped) > strlen(words[i]))
            return arena_printf(&cli->arena, "%.*s%%2F%s",
                                (int)(strlen(escaped) - strlen(words[i])), escaped, words[i] + 1);
    return escaped;
}

char *cli_escape_segment(struct cli *cli, const char *text)
{
    char *escaped = cli_escape(cli, text);
    struct buf b = BUF_INIT;
    for (const char *p = escaped; p && *p; p++) {
        if (*p == '/')
            buf_c(&b, "%2F");
        else
            buf_byte(&b, *p);
    }
    char *out = escaped && !b.failed ? arena_dup(&cli->arena, buf_view(&b)) : NULL;
    buf_release(&b);
    return out;
}

/* A "?" of a name is escaped: the first one begins the query. */
void cli_query(struct cli *cli, struct buf *target, const char *key, const char *value)
{
    char *escaped = value ? cli_escape(cli, value) : NULL;
    bool first = str_index(buf_view(target), '?') == target->len;
    if (escaped)
        buf_printf(target, "%c%s=%s", first ? '?' : '&', key, escaped);
    else if (value)
        target->failed = true;
}

kf_rc cli_timeout(const struct cli *cli, uint64_t usual_ms, uint64_t *ret_ms, struct kf_err *err)
{
    const char *text = cli->opt[OPT_TIMEOUT];
    uint64_t ms = usual_ms;
    if (text && !duration_parse(str_of(text), &ms))
        return cli_usage(err, "--timeout wants a time such as 10s");
    *ret_ms = ms;
    return KF_OK;
}

#define ANSWER_MS 15000

uint32_t cli_patience(uint64_t wait_ms)
{
    return wait_ms < UINT32_MAX - ANSWER_MS ? (uint32_t)wait_ms + ANSWER_MS : UINT32_MAX;
}

#define WRITE_MS 10000 /* remotes that are waited for */

kf_rc cli_write_query(struct cli *cli, struct buf *target, uint32_t *ret_timeout_ms,
                      struct kf_err *err)
{
    uint64_t ms = 0;
    cli_query(cli, target, "ack", cli->opt[OPT_ACK]);
    cli_query(cli, target, "wait", cli->opt[OPT_WAIT]);
    cli_query(cli, target, "timeout", cli->opt[OPT_TIMEOUT]);
    cli_query(cli, target, "ride", cli->opt[OPT_RIDE] ? "true" : NULL);
    kf_rc rc = cli_timeout(cli, WRITE_MS, &ms, err);
    if (rc != KF_OK)
        return rc;
    *ret_timeout_ms = cli_patience(ms);
    return buf_ok(target, err);
}

char *cli_absolute(struct cli *cli, const char *path)
{
    struct buf full = BUF_INIT;
    char *copy = NULL;
    if (path_absolute(path, &full, NULL) == KF_OK)
        copy = arena_dup(&cli->arena, buf_view(&full));
    buf_release(&full);
    return copy;
}

static kf_rc read_stdin(struct buf *out, struct kf_err *err)
{
    for (;;) {
        char *room = buf_room(out, 65536);
        ssize_t got = room ? read(STDIN_FILENO, room, 65536) : 0;
        if (!room)
            return err_nomem(err);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_errno(err, errno, "cannot read standard input");
        if (got == 0)
            return KF_OK;
        buf_grew(out, (size_t)got);
        if (out->len > body_max)
            return err_set(err, PROBLEM_TOO_LARGE, "standard input has more than %zu MiB",
                           body_max >> 20);
    }
}

kf_rc cli_confirm(const struct cli *cli, const char *question, struct kf_err *err)
{
    char answer[16] = "";
    if (cli->opt[OPT_YES])
        return KF_OK;
    if (cli->json || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return cli_usage(err, "%s; say --yes", question);
    print_question(question);
    if (!fgets(answer, sizeof answer, stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
        return cli_usage(err, "nothing was done");
    return KF_OK;
}

kf_rc cli_read_body(struct cli *cli, const char *from, str *ret, struct kf_err *err)
{
    struct buf b = BUF_INIT;
    kf_rc rc;
    if (from && strcmp(from, "-") != 0) {
        rc = file_load_linked(cli->env, from, body_max, &b, err);
        if (rc == KF_ABSENT)
            rc = cli_usage(err, "there is no file %s", from);
    } else if (!from && isatty(STDIN_FILENO)) {
        rc = cli_usage(err, "name a FILE, or - and type the document");
    } else {
        rc = read_stdin(&b, err);
    }
    if (rc == KF_OK) {
        *ret = arena_str(&cli->arena, buf_view(&b));
        rc = ret->p ? KF_OK : err_nomem(err);
    }
    buf_release(&b);
    return rc;
}
