/* Tables that are tracked, and their changes. */
#include "cli/cli.h"

static char *table_target(struct cli *cli)
{
    char *table = cli_escape_segment(cli, cli->args[0]);
    return table ? arena_printf(&cli->arena, "/tracked/%s", table) : NULL;
}

static void show_tables(struct cli *cli, const struct json_node *items)
{
    static const char *const heads[] = {"TABLE", "STATE", "SINCE", ""};
    struct table *t = table_new(cli, heads, 4);
    for (const struct json_node *n = items ? items->child : NULL; t && n; n = n->next) {
        str state = node_text(cli, n, "state");
        table_cell(t, node_text(cli, n, "table"));
        table_cell(t, state);
        table_tint(t, str_is(state, "on") ? TINT_GOOD : TINT_WARN);
        table_cell(t, node_age(cli, n, "changed"));
        table_cell(t, node_text(cli, n, "detail"));
    }
    cli->starved |= !t;
    if (t)
        table_print(t);
}

static void say_held(struct cli *cli, const struct json_node *held)
{
    for (const struct json_node *h = held ? held->child : NULL; h; h = h->next) {
        uint64_t pid = node_u64(h, "pid");
        str who = node_text(cli, h, "who"), client = node_text(cli, h, "client");
        if (pid)
            print_fmt("held back: changes of the open transaction of %.*s%s%.*s (pid %llu, %.*s), "
                      "begun %.*s\n",
                      STR_ARGS(who), client.len ? ", " : "", STR_ARGS(client),
                      (unsigned long long)pid, STR_ARGS(node_text(cli, h, "state")),
                      STR_ARGS(node_age(cli, h, "since")));
        else
            print_fmt("held back: changes of the prepared transaction %.*s, since %.*s: COMMIT "
                      "PREPARED or ROLLBACK PREPARED ends it\n",
                      STR_ARGS(who), STR_ARGS(node_age(cli, h, "since")));
    }
}

static kf_rc ask(struct cli *cli, enum api_method method, const char *target, struct cli_answer *a,
                 struct kf_err *err)
{
    struct json_node *root = NULL;
    struct cli_request r = {
        .method = method, .target = target, .timeout_ms = 3600000, .progress = "numbering rows"};
    kf_rc rc = target ? cli_ask(cli, &r, a, method == API_DELETE ? NULL : &root, err)
                      : err_nomem(err);
    if (rc != KF_OK || cli->json || !root || method == API_PUT)
        return rc;
    show_tables(cli, json_member(root, "items"));
    say_held(cli, json_member(root, "held"));
    const struct json_node *waiting = json_member(root, "waiting");
    if (waiting && node_u64(waiting, "count"))
        print_fmt("to be numbered: %llu changes, the first %.*s\n",
                  (unsigned long long)node_u64(waiting, "count"),
                  STR_ARGS(node_age(cli, waiting, "oldest")));
    return rc;
}

kf_rc cmd_track(struct cli *cli, struct kf_err *err)
{
    struct cli_answer a;
    if (!cli->arg_count)
        return ask(cli, API_GET, "/tracked", &a, err);
    kf_rc rc = ask(cli, API_PUT, table_target(cli), &a, err);
    if (rc == KF_OK && !cli->json)
        print_talk("%s: %s", cli->args[0], a.status == 201 ? "tracked" : "was tracked");
    return rc;
}

kf_rc cmd_untrack(struct cli *cli, struct kf_err *err)
{
    struct cli_answer a;
    kf_rc rc = ask(cli, API_DELETE, table_target(cli), &a, err);
    if (rc == KF_OK && cli->json)
        print_removed(cli->args[0]);
    else if (rc == KF_OK)
        print_talk("%s: not tracked any more", cli->args[0]);
    return rc;
}

static void change_row(struct cli *cli, struct table *t, const struct json_node *n)
{
    const struct json_node *key = json_member(n, "key"), *row = json_member(n, "row");
    bool gone = !row || row->type != JSON_OBJECT;
    table_u64(cli, t, node_u64(n, "n"));
    table_cell(t, node_text(cli, n, "table"));
    table_cell(t, key ? key->raw : STR(""));
    table_cell(t, gone ? STR("gone") : row->raw);
    if (gone)
        table_tint(t, TINT_DIM);
}

kf_rc cmd_changes(struct cli *cli, struct kf_err *err)
{
    static const char *const heads[] = {"N", "TABLE", "KEY", "ROW"};
    struct buf target = BUF_INIT;
    buf_c(&target, "/changes");
    cli_query(cli, &target, "table", cli->arg_count ? cli->args[0] : NULL);
    cli_query(cli, &target, "after", cli->opt[OPT_AFTER_N]);
    kf_rc rc = buf_ok(&target, err);
    if (rc == KF_OK)
        rc = list_show(cli, target.p, table_new(cli, heads, 4), change_row, err);
    buf_release(&target);
    return rc;
}
