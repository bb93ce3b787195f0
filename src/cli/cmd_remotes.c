/* What remotes have done, on the command line: the log of their runs. */
#include "cli/cli.h"

#include "base/when.h"

/* "1.2 s", how long it ran; of several runs from the first to the last. */
static void cell_took(struct cli *cli, struct table *t, const struct json_node *n)
{
    int64_t began, ended;
    struct buf b = BUF_INIT;
    if (when_parse(node_text(cli, n, "began"), &began) &&
        when_parse(node_text(cli, n, "ended"), &ended))
        buf_printf(&b, "%lld.%01lld s", (long long)(ended - began) / 1000,
                   (long long)(ended - began) % 1000 / 100);
    cli->starved |= b.failed;
    table_cell(t, buf_view(&b));
    buf_release(&b);
}

/* "good", or the code of what went wrong and how often in a row. */
static void cell_result(struct cli *cli, struct table *t, const struct json_node *n)
{
    const struct json_node *failed = json_member(n, "error");
    uint64_t times = node_u64(n, "times");
    struct buf b = BUF_INIT;
    if (failed && failed->type == JSON_OBJECT)
        buf_str(&b, node_text(cli, failed, "code"));
    else
        buf_c(&b, "good");
    if (times > 1)
        buf_printf(&b, ", %llu times", (unsigned long long)times);
    cli->starved |= b.failed;
    table_cell(t, buf_view(&b));
    buf_release(&b);
}

static void run_row(struct cli *cli, struct table *t, const struct json_node *n)
{
    const struct json_node *pushed = json_member(n, "pushed"), *taken = json_member(n, "taken");
    table_cell(t, node_text(cli, n, "ended"));
    cell_took(cli, t, n);
    table_cell(t, node_text(cli, n, "remote"));
    table_cell(t, node_text(cli, n, "cause"));
    table_u64(cli, t, node_u64(pushed, "docs"));
    table_size(cli, t, node_u64(pushed, "bytes"));
    table_u64(cli, t, node_u64(taken, "docs"));
    table_u64(cli, t, node_u64(n, "lost"));
    table_u64(cli, t, node_u64(n, "bad"));
    table_u64(cli, t, node_u64(n, "set_aside"));
    table_u64(cli, t, node_u64(n, "tries"));
    cell_result(cli, t, n);
}

kf_rc cmd_runs(struct cli *cli, struct kf_err *err)
{
    static const char *const heads[] = {"ENDED", "TOOK", "REMOTE", "BY",    "PUSHED", "SIZE",
                                        "TAKEN", "LOST", "BAD",    "ASIDE", "TRIES",  "RESULT"};
    const char *target = "/runs";
    if (cli->arg_count) {
        char *name = cli_escape(cli, cli->args[0]);
        target = name ? arena_printf(&cli->arena, "/remotes/%s/runs", name) : NULL;
    }
    struct table *t = table_new(cli, heads, 12);
    return list_show(cli, target, t, run_row, err);
}
