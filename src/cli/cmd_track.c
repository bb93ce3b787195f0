/* Tables that are tracked, and their changes. */
#include "cli/cli.h"

#include <stdio.h>

static char *table_target(struct cli *cli)
{
    char *table = cli_escape_segment(cli, cli->args[0]);
    return table ? arena_printf(&cli->arena, "/tracked/%s", table) : NULL;
}

static void show_tables(struct cli *cli, const struct json_node *items)
{
    static const char *const heads[] = {"TABLE", "STATE", "SINCE", "CHANGES", ""};
    struct table *t = table_new(cli, heads, 5);
    for (const struct json_node *n = items ? items->child : NULL; t && n; n = n->next) {
        str state = node_text(cli, n, "state");
        table_cell(t, node_text(cli, n, "table"));
        table_cell(t, state);
        table_tint(t, str_is(state, "on") ? TINT_GOOD : TINT_WARN);
        table_cell(t, node_age(cli, n, "changed"));
        table_u64(cli, t, node_u64(n, "changes"));
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

static void say_waiting(struct cli *cli, const struct json_node *waiting)
{
    if (waiting && node_u64(waiting, "count"))
        print_fmt("to be numbered: %llu changes, the first %.*s\n",
                  (unsigned long long)node_u64(waiting, "count"),
                  STR_ARGS(node_age(cli, waiting, "oldest")));
}

/* In the status: how many there are, and at length what is not as it should be. */
void print_tracked(struct cli *cli, const struct json_node *tracked)
{
    const struct json_node *items = json_member(tracked, "items");
    uint64_t count = 0, changes = 0;
    for (const struct json_node *n = items ? items->child : NULL; n; n = n->next) {
        count++;
        changes += node_u64(n, "changes");
    }
    print_fmt("\n%llu tracked table%s, %llu change%s so far\n", (unsigned long long)count,
              count == 1 ? "" : "s", (unsigned long long)changes, changes == 1 ? "" : "s");
    for (const struct json_node *n = items ? items->child : NULL; n; n = n->next)
        if (!str_is(node_text(cli, n, "state"), "on"))
            print_fmt("%.*s: %s%.*s%s, %.*s\n", STR_ARGS(node_text(cli, n, "table")),
                      tint_on(TINT_WARN), STR_ARGS(node_text(cli, n, "state")), tint_off(),
                      STR_ARGS(node_text(cli, n, "detail")));
    say_held(cli, json_member(tracked, "held"));
    say_waiting(cli, json_member(tracked, "waiting"));
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
    say_waiting(cli, json_member(root, "waiting"));
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

/* For people; a table would have to wait for its last row to know how wide it is. */
static void print_change(struct cli *cli, const struct json_node *n)
{
    const struct json_node *key = json_member(n, "key"), *row = json_member(n, "row");
    bool gone = !row || row->type != JSON_OBJECT;
    char *about = arena_printf(
        &cli->arena, "%llu %.*s %.*s, %.*s", (unsigned long long)node_u64(n, "n"),
        STR_ARGS(node_text(cli, n, "table")), STR_ARGS(key ? key->raw : STR("")),
        STR_ARGS(node_age(cli, n, "at")));
    cli->starved |= !about;
    if (about)
        print_about(gone ? TINT_DIM : TINT_NONE, str_of(about), gone ? STR("gone") : row->raw);
}

static kf_rc print_changes(struct cli *cli, const struct json_node *root, struct kf_err *err)
{
    const struct json_node *items = json_member(root, "items");
    kf_rc rc = KF_OK;
    for (const struct json_node *n = items ? items->child : NULL; rc == KF_OK && n; n = n->next)
        if (cli->json)
            rc = print_json_line(n, err);
        else
            print_change(cli, n);
    return rc;
}

static kf_rc change_target(struct cli *cli, struct buf *target, const char *after,
                           struct kf_err *err)
{
    buf_c(target, "/changes");
    cli_query(cli, target, "table", cli->arg_count ? cli->args[0] : NULL);
    cli_query(cli, target, "after", after);
    return buf_ok(target, err);
}

/* Numbers that are smaller than what was seen are of a space that was removed and made again: its
 * rows are shown from the first. What --after says is somebody's own business. */
static kf_rc begun_anew(const struct cli *cli, uint64_t *last, struct kf_err *err)
{
    uint64_t given = 0;
    if (cli->opt[OPT_AFTER_N])
        str_to_u64(str_of(cli->opt[OPT_AFTER_N]), &given);
    if (strcmp(err->code, problem_table[PROBLEM_BAD_FILTER].code) != 0 || *last == given)
        return err->rc;
    print_talk("the numbers of changes have begun anew");
    *last = 0;
    err_clear(err);
    return KF_OK;
}

/* `last` of the answer and not the last item's number, so that where a table alone is followed
 * what others have is not looked at again and again. */
static kf_rc changes_behind(struct cli *cli, struct place *place, void *ctx, bool *ret_any,
                            struct kf_err *err)
{
    uint64_t *last = ctx, before = *last;
    struct buf target = BUF_INIT;
    struct json_node *root = NULL;
    char after[24], wait[24];
    snprintf(after, sizeof after, "%llu", (unsigned long long)*last);
    snprintf(wait, sizeof wait, "%dms", FOLLOW_MS);
    kf_rc rc = change_target(cli, &target, after, err);
    cli_query(cli, &target, "limit", "1000");
    cli_query(cli, &target, "follow", wait);
    if (rc == KF_OK)
        rc = buf_ok(&target, err);
    if (rc == KF_OK)
        rc = follow_ask(cli, place, target.p, &root, err);
    buf_release(&target);
    if (rc != KF_OK)
        return begun_anew(cli, last, err);
    rc = print_changes(cli, root, err);
    if (rc == KF_OK)
        *last = node_u64(root, "last");
    *ret_any = *last != before;
    return rc;
}

kf_rc cmd_changes(struct cli *cli, struct kf_err *err)
{
    static const char *const heads[] = {"N", "TABLE", "KEY", "ROW"};
    struct buf target = BUF_INIT;
    uint64_t after = 0;
    const char *given = cli->opt[OPT_AFTER_N];
    if (given && !str_to_u64(str_of(given), &after))
        return cli_usage(err, "--after wants the number of a change");
    if (cli->opt[OPT_FOLLOW])
        return follow_on(cli, changes_behind, &after, err);
    kf_rc rc = change_target(cli, &target, given, err);
    if (rc == KF_OK)
        rc = list_show(cli, target.p, table_new(cli, heads, 4), change_row, err);
    buf_release(&target);
    return rc;
}
