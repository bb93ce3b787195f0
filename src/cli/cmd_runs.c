/* What remotes have done and left alone, on the command line: the log of their runs, what is set
 * aside. */
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
    table_tint(t, failed && failed->type == JSON_OBJECT ? TINT_BAD : TINT_GOOD);
    buf_release(&b);
}

/* Documents, and entries of streams where there are some; else files that were removed there, or
 * written again without new entries. */
static void cell_sum(struct cli *cli, struct table *t, const struct json_node *sum)
{
    struct buf b = BUF_INIT;
    uint64_t docs = node_u64(sum, "docs"), entries = node_u64(sum, "entries");
    uint64_t files = docs || entries ? 0 : node_u64(sum, "files");
    if (docs || (!entries && !files))
        buf_printf(&b, "%llu", (unsigned long long)docs);
    if (entries)
        buf_printf(&b, "%s%llu entr%s", docs ? ", " : "", (unsigned long long)entries,
                   entries == 1 ? "y" : "ies");
    if (files)
        buf_printf(&b, "%llu file%s", (unsigned long long)files, files == 1 ? "" : "s");
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
    cell_sum(cli, t, pushed);
    table_size(cli, t, node_u64(pushed, "bytes"));
    cell_sum(cli, t, taken);
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

/* ------------------------------------------------------------------------------------ set aside */

static void aside_row(struct cli *cli, struct table *t, const struct json_node *n)
{
    table_cell(t, node_text(cli, n, "remote"));
    table_cell(t, node_text(cli, n, "kind"));
    table_cell(t, node_text(cli, n, "name"));
    table_cell(t, node_age(cli, n, "since"));
    table_cell(t, node_text(cli, n, "code"));
    table_tint(t, TINT_WARN);
    table_cell(t, node_text(cli, n, "reason"));
}

/* What is asked of one remote; `name` may be NULL. NULL without memory. */
static char *aside_target(struct cli *cli, const char *remote, const char *name)
{
    char *r = cli_escape(cli, remote), *n = name ? cli_escape(cli, name) : NULL;
    if (!r || (name && !n))
        return NULL;
    return arena_printf(&cli->arena, "/remotes/%s/set-aside%s%s", r, name ? "?name=" : "",
                        name ? n : "");
}

kf_rc cmd_aside_ls(struct cli *cli, struct kf_err *err)
{
    static const char *const heads[] = {"REMOTE", "KIND", "NAME", "SINCE", "CODE", "REASON"};
    const char *target = "/set-aside";
    if (cli->arg_count)
        target = aside_target(cli, cli->args[0], NULL);
    struct table *t = table_new(cli, heads, 6);
    return list_show(cli, target, t, aside_row, err);
}

static kf_rc ask(struct cli *cli, struct place *place, const struct cli_request *r,
                 struct cli_answer *ret, struct json_node **ret_root, struct kf_err *err)
{
    kf_rc rc = r->target ? place_request(place, r, ret, err) : err_nomem(err);
    return rc == KF_OK && ret_root ? answer_parse(cli, ret, ret_root, err) : rc;
}

/* The document of this name as it stands here, whatever is said of it elsewhere. */
static kf_rc show_document(struct cli *cli, struct place *place, const char *name)
{
    struct cli_answer a;
    struct kf_err why = KF_ERR_INIT;
    char *escaped = cli_escape_name(cli, name);
    struct cli_request r = {.method = API_GET};
    r.target = escaped ? arena_printf(&cli->arena, "/docs/%s", escaped) : NULL;
    kf_rc rc = ask(cli, place, &r, &a, NULL, &why);
    if (rc == KF_OK)
        print_line(a.body);
    else
        print_talk("here: %s", why.detail);
    return rc == KF_NOMEM ? rc : KF_OK;
}

static bool is_at_place(struct cli *cli, const struct json_node *n)
{
    return str_is(node_text(cli, n, "kind"), "at_place");
}

static kf_rc show_items(struct cli *cli, struct place *place, const struct json_node *items,
                        struct kf_err *err)
{
    bool document = false;
    for (const struct json_node *n = items->child; n; n = n->next) {
        print_talk("%.*s, since %.*s (%.*s): %.*s", STR_ARGS(node_text(cli, n, "kind")),
                   STR_ARGS(node_text(cli, n, "since")), STR_ARGS(node_text(cli, n, "code")),
                   STR_ARGS(node_text(cli, n, "reason")));
        document |= !is_at_place(cli, n);
    }
    return document && show_document(cli, place, cli->args[1]) != KF_OK ? err_nomem(err) : KF_OK;
}

kf_rc cmd_aside_show(struct cli *cli, struct kf_err *err)
{
    struct cli_answer a;
    struct place *place = NULL;
    struct json_node *root = NULL;
    struct cli_request r = {.method = API_GET,
                            .target = aside_target(cli, cli->args[0], cli->args[1])};
    kf_rc rc = place_open(cli, &place, err);
    if (rc == KF_OK)
        rc = ask(cli, place, &r, &a, &root, err);
    const struct json_node *items = rc == KF_OK ? json_member(root, "items") : NULL;
    if (rc == KF_OK && (!items || !items->count))
        rc = err_set(err, PROBLEM_NOT_FOUND, "nothing of this name is set aside at %s",
                     cli->args[0]);
    if (rc == KF_OK && cli->json)
        print_line(a.body);
    else if (rc == KF_OK)
        rc = show_items(cli, place, items, err);
    place_close(place);
    return rc;
}

kf_rc cmd_aside_retry(struct cli *cli, struct kf_err *err)
{
    struct cli_answer a;
    struct json_node *root = NULL;
    uint64_t ms;
    kf_rc rc = cli_timeout(cli, 10000, &ms, err);
    if (rc != KF_OK)
        return rc;
    struct cli_request r = {.method = API_POST, .timeout_ms = cli_patience(ms)};
    r.target = aside_target(cli, cli->args[0], NULL);
    r.target = r.target ? arena_printf(&cli->arena, "%s?timeout=%llums", r.target,
                                       (unsigned long long)ms)
                        : NULL;
    rc = cli_ask(cli, &r, &a, &root, err);
    if (rc == KF_OK && !cli->json)
        print_talk("%s: asked again, %llu set aside", cli->args[0],
                   (unsigned long long)node_u64(root, "set_aside"));
    return rc;
}

kf_rc cmd_aside_drop(struct cli *cli, struct kf_err *err)
{
    struct cli_answer a;
    const char *name = cli->arg_count > 1 ? cli->args[1] : NULL;
    if (!name && !cli->opt[OPT_YES])
        return cli_usage(err,
                         "this forgets everything that is set aside at %s: name one, or say "
                         "--yes",
                         cli->args[0]);
    struct cli_request r = {.method = API_DELETE, .target = aside_target(cli, cli->args[0], name)};
    kf_rc rc = cli_ask(cli, &r, &a, NULL, err);
    if (rc == KF_OK && cli->json)
        print_removed(name ? name : cli->args[0]);
    else if (rc == KF_OK)
        print_talk("%s: forgotten, until it is met again", name ? name : cli->args[0]);
    return rc;
}
