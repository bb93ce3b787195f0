/* Streams as a whole: lists, attributes, search, and what is erased for good. */
#include "cli/cli.h"

#include <stdio.h>

/* ------------------------------------------------------------------------------------- reading */

/* A text without its quotes, any other value as it stands. */
static str value_text(struct cli *cli, const struct json_node *value)
{
    if (value->type != JSON_STRING)
        return value->raw;
    str text = json_text(value->raw, &cli->arena);
    cli->starved |= !text.p;
    return text.p ? text : STR("");
}

static str name_text(struct cli *cli, const struct json_node *member)
{
    str name = json_text(member->name, &cli->arena);
    cli->starved |= !name.p;
    return name.p ? name : STR("");
}

/* "customer=7, cart=c-99": what an imported file left there would fill the screen. */
static void attrs_cell(struct cli *cli, struct table *t, const struct json_node *attrs)
{
    enum { NAME_COLUMNS = 24, VALUE_COLUMNS = 24, ALL_COLUMNS = 60 };
    struct buf all = BUF_INIT, cut = BUF_INIT;
    for (const struct json_node *m = attrs ? attrs->child : NULL; m; m = m->next) {
        buf_c(&all, all.len ? ", " : "");
        print_brief(&all, name_text(cli, m), NAME_COLUMNS);
        buf_byte(&all, '=');
        print_brief(&all, value_text(cli, m), VALUE_COLUMNS);
    }
    print_brief(&cut, buf_view(&all), ALL_COLUMNS);
    cli->starved |= all.failed || cut.failed;
    table_cell(t, buf_view(&cut));
    buf_release(&all);
    buf_release(&cut);
}

static void stream_row(struct cli *cli, struct table *t, const struct json_node *n)
{
    table_cell(t, node_text(cli, n, "key"));
    table_u64(cli, t, node_u64(n, "count"));
    table_size(cli, t, node_u64(n, "bytes"));
    table_cell(t, node_age(cli, n, "last_at"));
    attrs_cell(cli, t, json_member(n, "attrs"));
}

/* "customer=7" as attr.customer=7. */
static kf_rc add_filter(struct cli *cli, const char *given, struct buf *target, struct kf_err *err)
{
    str text = str_of(given);
    size_t eq = str_index(text, '=');
    char *name = eq && eq < text.len ? arena_printf(&cli->arena, "attr.%.*s", (int)eq, given)
                                     : NULL;
    char *escaped = name ? cli_escape(cli, name) : NULL;
    if (eq == 0 || eq == text.len)
        return cli_usage(err, "--attr wants NAME=VALUE, such as customer=7");
    if (!escaped)
        return err_nomem(err);
    cli_query(cli, target, escaped, given + eq + 1);
    return KF_OK;
}

kf_rc cmd_stream_ls(struct cli *cli, struct kf_err *err)
{
    static const char *const heads[] = {"STREAM", "ENTRIES", "SIZE", "LAST", "ATTRIBUTES"};
    struct buf target = BUF_INIT;
    kf_rc rc = KF_OK;
    buf_c(&target, "/streams");
    cli_query(cli, &target, "prefix", cli->arg_count ? cli->args[0] : NULL);
    for (size_t i = 0; rc == KF_OK && i < cli->repeat_count[OPT_ATTR]; i++)
        rc = add_filter(cli, cli->repeat[OPT_ATTR][i], &target, err);
    if (rc == KF_OK)
        rc = buf_ok(&target, err);
    if (rc == KF_OK)
        rc = list_show(cli, target.p, table_new(cli, heads, 5), stream_row, err);
    buf_release(&target);
    return rc;
}

static void show_kinds(struct cli *cli, const struct json_node *kinds)
{
    for (const struct json_node *k = kinds ? kinds->child : NULL; k; k = k->next) {
        str kind = json_text(k->name, &cli->arena);
        cli->starved |= !kind.p;
        print_fmt("  %.*s %.*s\n", STR_ARGS(k->raw),
                  STR_ARGS(kind.len ? kind : STR("without a kind")));
    }
}

static void show_attrs(struct cli *cli, const struct json_node *attrs)
{
    for (const struct json_node *m = attrs ? attrs->child : NULL; m; m = m->next)
        print_about_line(cli, 0, TINT_STRONG, name_text(cli, m), value_text(cli, m));
}

/* Of a ring, whose last is the newest. */
static void show_ring(struct cli *cli, const struct json_node *ring)
{
    enum { SHOWN = 10 };
    const struct json_node *newest[SHOWN] = {NULL};
    size_t shown = ring->count < SHOWN ? ring->count : SHOWN, i = 0;
    for (const struct json_node *n = ring->child; n; n = n->next)
        newest[i++ % SHOWN] = n;
    print_about_line(cli, 0, TINT_STRONG, name_text(cli, ring),
                     str_of(arena_printf(&cli->arena, "%u, newest first", ring->count)));
    for (size_t k = 1; k <= shown; k++) {
        const struct json_node *n = newest[(i - k) % SHOWN];
        char *about = arena_printf(&cli->arena, "%llu, %.*s", (unsigned long long)node_u64(n, "n"),
                                   STR_ARGS(node_age(cli, n, "at")));
        cli->starved |= !about;
        print_about_line(cli, 2, TINT_NONE, str_of(about), entry_text(cli, n));
    }
    if (shown < ring->count)
        print_fmt("  and %u more: --json has them\n", (unsigned)(ring->count - shown));
}

static void show_stream(struct cli *cli, const struct json_node *s)
{
    const struct json_node *rings = json_member(s, "rings");
    print_fmt("%s: %.*s, %.*s, first %.*s, last %.*s\n", cli->args[0],
              STR_ARGS(cli_count(cli, node_u64(s, "count"), "entry", "entries")),
              STR_ARGS(cli_size(cli, node_u64(s, "bytes"))), STR_ARGS(node_age(cli, s, "first_at")),
              STR_ARGS(node_age(cli, s, "last_at")));
    show_kinds(cli, json_member(s, "kinds"));
    show_attrs(cli, json_member(s, "attrs"));
    for (const struct json_node *r = rings ? rings->child : NULL; r; r = r->next)
        show_ring(cli, r);
}

kf_rc cmd_stream_show(struct cli *cli, struct kf_err *err)
{
    struct cli_answer a;
    struct json_node *root = NULL;
    struct cli_request r = {.method = API_GET, .target = stream_target(cli, "")};
    kf_rc rc = cli_ask(cli, &r, &a, &root, err);
    if (rc == KF_OK && !cli->json)
        show_stream(cli, root);
    return rc;
}

static void found_row(struct cli *cli, struct table *t, const struct json_node *n)
{
    table_cell(t, node_text(cli, n, "stream"));
    table_u64(cli, t, node_u64(n, "n"));
    table_cell(t, node_text(cli, n, "kind"));
    table_cell(t, node_age(cli, n, "at"));
    table_cell(t, node_text(cli, n, "snippet"));
}

/* "chat/" as well as "chat/" with a star behind it. */
static const char *prefix_of(struct cli *cli)
{
    const char *given = cli->opt[OPT_FOUND_PREFIX];
    size_t len = given ? strlen(given) : 0;
    if (!len || given[len - 1] != '*')
        return given;
    char *prefix = arena_dup(&cli->arena, (str){given, len - 1});
    cli->starved |= !prefix;
    return prefix;
}

kf_rc cmd_search(struct cli *cli, struct kf_err *err)
{
    static const char *const heads[] = {"STREAM", "N", "KIND", "WHEN", "TEXT"};
    struct buf target = BUF_INIT, words = BUF_INIT;
    if (cli->repeat_count[OPT_FOUND_PREFIX] > 1)
        return cli_usage(err, "search takes one --prefix");
    for (size_t i = 0; i < cli->arg_count; i++) {
        buf_c(&words, i ? " " : "");
        buf_c(&words, cli->args[i]);
    }
    kf_rc rc = buf_ok(&words, err);
    char *query = rc == KF_OK ? arena_dup(&cli->arena, buf_view(&words)) : NULL;
    buf_c(&target, "/search");
    cli_query(cli, &target, "q", query);
    cli_query(cli, &target, "prefix", prefix_of(cli));
    if (rc == KF_OK)
        rc = query ? buf_ok(&target, err) : err_nomem(err);
    if (rc == KF_OK)
        rc = list_show(cli, target.p, table_new(cli, heads, 5), found_row, err);
    buf_release(&words);
    buf_release(&target);
    return rc;
}

/* ------------------------------------------------------------------------------------- writing */

/* NAME=VALUE as a member: a VALUE that is JSON is taken as it is, any other as a text. */
static kf_rc add_member(const char *given, struct buf *patch, struct kf_err *err)
{
    str text = str_of(given);
    size_t eq = str_index(text, '=');
    str value = str_from(text, eq + 1);
    if (eq == 0 || eq == text.len)
        return cli_usage(err, "\"%s\" is no NAME=VALUE, such as customer=7", given);
    buf_c(patch, patch->len > 1 ? "," : "");
    buf_json_string(patch, (str){text.p, eq});
    buf_byte(patch, ':');
    if (json_check(value, NULL, NULL, NULL) == KF_OK)
        buf_str(patch, value);
    else
        buf_json_string(patch, value);
    return KF_OK;
}

kf_rc cmd_stream_set(struct cli *cli, struct kf_err *err)
{
    struct buf patch = BUF_INIT, target = BUF_INIT;
    struct cli_answer a;
    uint32_t timeout_ms = 0;
    char *start = stream_target(cli, "");
    kf_rc rc = start ? KF_OK : err_nomem(err);
    buf_c(&patch, "{");
    for (size_t i = 1; rc == KF_OK && i < cli->arg_count; i++)
        rc = add_member(cli->args[i], &patch, err);
    buf_c(&patch, "}");
    buf_c(&target, start ? start : "");
    if (rc == KF_OK)
        rc = buf_ok(&patch, err);
    if (rc == KF_OK)
        rc = cli_write_query(cli, &target, &timeout_ms, err);
    struct cli_request r = {.method = API_PATCH,
                            .target = target.p,
                            .headers = {{STR("Content-Type"), STR("application/merge-patch+json")}},
                            .header_count = 1,
                            .body = buf_view(&patch),
                            .timeout_ms = timeout_ms};
    if (rc == KF_OK)
        rc = cli_ask(cli, &r, &a, NULL, err);
    if (rc == KF_OK && !cli->json)
        print_talk("%s: set (%.*s)", cli->args[0], STR_ARGS(a.ack));
    buf_release(&patch);
    buf_release(&target);
    return rc;
}

/* ------------------------------------------------------------------------------------- erasing */

/* A remote, a folder of backups, or what was set aside: at most one of the names is there. */
static void say_holder(struct cli *cli, const struct json_node *h)
{
    str remote = node_text(cli, h, "remote"), backups = node_text(cli, h, "backups"),
        file = node_text(cli, h, "file"), schema = node_text(cli, h, "schema");
    str name = remote.len ? remote : backups.len ? backups : file.len ? file : schema;
    str state = node_text(cli, h, "state");
    print_talk("  may still be at %.*s: %.*s (%.*s)", STR_ARGS(name),
               STR_ARGS(node_text(cli, h, "still")), STR_ARGS(state));
}

static void say_receipt(struct cli *cli, const char *what, const struct json_node *r)
{
    const struct json_node *held = json_member(r, "held");
    print_talk("%s: %s, %.*s, %.*s, %.*s, %.*s; receipt %llu", what,
               node_true(r, "again") ? "was erased before" : "erased",
               STR_ARGS(cli_count(cli, node_u64(r, "streams"), "stream", "streams")),
               STR_ARGS(cli_count(cli, node_u64(r, "entries"), "entry", "entries")),
               STR_ARGS(cli_count(cli, node_u64(r, "attachments"), "attachment", "attachments")),
               STR_ARGS(cli_size(cli, node_u64(r, "bytes"))),
               (unsigned long long)node_u64(r, "id"));
    for (const struct json_node *h = held ? held->child : NULL; h; h = h->next)
        say_holder(cli, h);
}

#define ERASE_MS 3600000

static kf_rc erase(struct cli *cli, const char *target, const char *what, const char *question,
                   struct kf_err *err)
{
    struct cli_answer a;
    struct json_node *root = NULL;
    struct buf path = BUF_INIT;
    uint32_t timeout_ms = 0;
    buf_c(&path, target ? target : "");
    kf_rc rc = target && question ? cli_write_query(cli, &path, &timeout_ms, err) : err_nomem(err);
    struct cli_request r = {.method = API_DELETE,
                            .target = path.p,
                            .timeout_ms = ERASE_MS > timeout_ms ? ERASE_MS : timeout_ms,
                            .progress = "erasing"};
    if (rc == KF_OK)
        rc = cli_confirm(cli, question, err);
    if (rc == KF_OK)
        rc = cli_ask(cli, &r, &a, &root, err);
    if (rc == KF_OK && !cli->json)
        say_receipt(cli, what, root);
    buf_release(&path);
    return rc;
}

kf_rc cmd_stream_rm(struct cli *cli, struct kf_err *err)
{
    const char *key = cli->args[0];
    return erase(
        cli, stream_target(cli, ""), key,
        arena_printf(&cli->arena, "this erases \"%s\" with all its entries, for good", key), err);
}

kf_rc cmd_erase(struct cli *cli, struct kf_err *err)
{
    const char *a = cli->args[0], *v = cli->args[1];
    char *attribute = cli_escape_segment(cli, a), *value = cli_escape_segment(cli, v);
    char *target = attribute && value ? arena_printf(&cli->arena, "/people/%s/%s", attribute, value)
                                      : NULL;
    char *what = arena_printf(&cli->arena, "%s %s", a, v);
    if (!*a || !*v)
        return cli_usage(err, "name an attribute and its value, such as customer 7");
    if (!what)
        return err_nomem(err);
    return erase(cli, target, what,
                 arena_printf(&cli->arena,
                              "this erases every stream whose %s is %s, with all entries, for good",
                              a, v),
                 err);
}
