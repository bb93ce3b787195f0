/* Documents on the command line. */
#include "cli/cli.h"

#include "shape/doc.h"

#include <stdio.h>
#include <unistd.h>

static const char *const reading_past = "reading the history";

static void add_header(struct cli_request *r, const char *name, const char *value)
{
    if (value)
        r->headers[r->header_count++] = (struct api_header){str_of(name), str_of(value)};
}

static void say_written(struct cli *cli, const char *name, const struct cli_answer *a)
{
    struct json_node *root;
    if (cli->json) {
        if (a->body.len)
            print_line(a->body);
        else
            print_removed(name);
        return;
    }
    if (a->body.len && answer_parse(cli, a, &root, NULL) == KF_OK)
        print_talk("%s: version %llu%s (%.*s)", name, (unsigned long long)node_u64(root, "version"),
                   node_true(root, "unchanged") ? ", the bytes were the same" : "",
                   STR_ARGS(a->ack));
    else
        print_talk("%s: deleted (%.*s)", name, STR_ARGS(a->ack));
}

/* `tail`: what follows the name in the target. */
static kf_rc write_doc(struct cli *cli, enum api_method method, const char *tail, str body,
                       const char *type, struct kf_err *err)
{
    struct place *place = NULL;
    struct cli_answer a;
    struct buf target = BUF_INIT;
    struct cli_request r = {.method = method, .body = body};
    char *name = cli_escape_name(cli, cli->args[0]);
    kf_rc rc = name ? KF_OK : err_nomem(err);
    buf_printf(&target, "/docs/%s%s", name ? name : "", tail);
    if (rc == KF_OK)
        rc = cli_write_query(cli, &target, &r.timeout_ms, err);
    if (cli->opt[OPT_REMOTE]) {
        r.timeout_ms += 60000; /* for the past, before the write */
        r.progress = reading_past;
    }
    if (rc == KF_OK)
        rc = place_open(cli, &place, err);
    if (rc == KF_OK) {
        r.target = target.p;
        if (body.p)
            add_header(&r, "Content-Type", type);
        add_header(&r, "If-Match", cli->opt[OPT_FORCE] ? "*" : cli->opt[OPT_IF_MATCH]);
        add_header(&r, "If-None-Match", cli->opt[OPT_IF_NONE_MATCH]);
        add_header(&r, "Idempotency-Key", cli->opt[OPT_KEY]);
        rc = place_request(place, &r, &a, err);
    }
    if (rc == KF_OK)
        say_written(cli, cli->args[0], &a);
    buf_release(&target);
    place_close(place);
    return rc;
}

kf_rc cmd_put(struct cli *cli, struct kf_err *err)
{
    str body = {NULL, 0};
    kf_rc rc = cli_read_body(cli, cli->arg_count > 1 ? cli->args[1] : NULL, &body, err);
    return rc == KF_OK ? write_doc(cli, API_PUT, "", body, "application/json", err) : rc;
}

kf_rc cmd_patch(struct cli *cli, struct kf_err *err)
{
    str body = {NULL, 0};
    kf_rc rc = cli_read_body(cli, cli->arg_count > 1 ? cli->args[1] : NULL, &body, err);
    return rc == KF_OK ? write_doc(cli, API_PATCH, "", body, "application/merge-patch+json", err)
                       : rc;
}

kf_rc cmd_rm(struct cli *cli, struct kf_err *err)
{
    return write_doc(cli, API_DELETE, "", (str){NULL, 0}, NULL, err);
}

/* Of the options that say where and which, and how long the request may take: as long again as a
 * server may need to say no. */
static kf_rc past_query(struct cli *cli, struct buf *out, uint32_t *ret_timeout_ms,
                        struct kf_err *err)
{
    uint64_t ms = 0;
    if (cli->opt[OPT_TIMEOUT] && !cli->opt[OPT_REMOTE])
        return cli_usage(err, "--timeout is for the past of a remote, which --remote names");
    cli_query(cli, out, "remote", cli->opt[OPT_REMOTE]);
    cli_query(cli, out, "version", cli->opt[OPT_VERSION]);
    cli_query(cli, out, "timeout", cli->opt[OPT_TIMEOUT]);
    kf_rc rc = cli_timeout(cli, 60000, &ms, err);
    if (rc != KF_OK)
        return rc;
    *ret_timeout_ms = cli_patience(ms);
    return buf_ok(out, err);
}

static kf_rc revert_to_past(struct cli *cli, struct kf_err *err)
{
    struct buf body = BUF_INIT;
    buf_c(&body, "{\"remote\":");
    buf_json_string(&body, str_of(cli->opt[OPT_REMOTE]));
    buf_c(&body, ",\"version\":");
    buf_json_string(&body, str_of(cli->args[1]));
    buf_byte(&body, '}');
    str text = arena_str(&cli->arena, buf_view(&body));
    kf_rc rc = buf_ok(&body, err);
    buf_release(&body);
    if (rc == KF_OK && !text.p)
        rc = err_nomem(err);
    return rc == KF_OK ? write_doc(cli, API_POST, "/revert", text, "application/json", err) : rc;
}

kf_rc cmd_revert(struct cli *cli, struct kf_err *err)
{
    uint64_t version;
    if (cli->opt[OPT_REMOTE])
        return revert_to_past(cli, err);
    if (!str_to_u64(str_of(cli->args[1]), &version))
        return cli_usage(err, "VERSION is a number; keepfast log %s lists those that are kept",
                         cli->args[0]);
    char *body = arena_printf(&cli->arena, "{\"version\":%llu}", (unsigned long long)version);
    if (!body)
        return err_nomem(err);
    return write_doc(cli, API_POST, "/revert", str_of(body), "application/json", err);
}

/* ---------------------------------------------------------------------------------------- reading
 */

/* GET of "/docs/NAME" + tail, the answer in the arena. */
static kf_rc fetch(struct cli *cli, const char *name, const char *tail, uint32_t timeout_ms,
                   struct cli_answer *ret, struct kf_err *err)
{
    struct place *place = NULL;
    char *escaped = cli_escape_name(cli, name);
    char *target = escaped ? arena_printf(&cli->arena, "/docs/%s%s", escaped, tail) : NULL;
    kf_rc rc = target ? place_open(cli, &place, err) : err_nomem(err);
    if (rc == KF_OK) {
        struct cli_request r = {.method = API_GET,
                                .target = target,
                                .timeout_ms = timeout_ms,
                                .progress = cli->opt[OPT_REMOTE] ? reading_past : NULL};
        rc = place_request(place, &r, ret, err);
    }
    place_close(place);
    return rc;
}

kf_rc cmd_get(struct cli *cli, struct kf_err *err)
{
    struct cli_answer a;
    struct buf tail = BUF_INIT;
    uint32_t timeout_ms = 0;
    if (cli->opt[OPT_REMOTE] && !cli->opt[OPT_VERSION])
        return cli_usage(err,
                         "--remote wants --version with an ID; keepfast log %s --remote %s "
                         "lists them",
                         cli->args[0], cli->opt[OPT_REMOTE]);
    kf_rc rc = past_query(cli, &tail, &timeout_ms, err);
    if (rc == KF_OK)
        rc = fetch(cli, cli->args[0], tail.len ? tail.p : "", timeout_ms, &a, err);
    buf_release(&tail);
    if (rc != KF_OK)
        return rc;
    if (a.is_default && !cli->json)
        print_talk("%s: not there; this is its default", cli->args[0]);
    print_out(a.body);
    if (isatty(STDOUT_FILENO) && a.body.len && a.body.p[a.body.len - 1] != '\n')
        print_out(STR("\n"));
    return KF_OK;
}

kf_rc cmd_diff(struct cli *cli, struct kf_err *err)
{
    struct cli_answer a;
    struct buf tail = BUF_INIT;
    uint64_t n;
    for (size_t i = 1; i < cli->arg_count; i++) {
        if (!str_to_u64(str_of(cli->args[i]), &n)) {
            buf_release(&tail);
            return cli_usage(err, "A and B are version numbers; keepfast log %s lists them",
                             cli->args[0]);
        }
        buf_printf(&tail, "%c%s=%llu", i == 1 ? '?' : '&', i == 1 ? "from" : "to",
                   (unsigned long long)n);
    }
    char *text = arena_dup(&cli->arena, buf_view(&tail));
    buf_release(&tail);
    char *whole = text ? arena_printf(&cli->arena, "/diff%s", text) : NULL;
    kf_rc rc = whole ? fetch(cli, cli->args[0], whole, 0, &a, err) : err_nomem(err);
    if (rc != KF_OK)
        return rc;
    struct buf pretty = BUF_INIT;
    rc = cli->json ? KF_OK : json_pretty(a.body, &pretty, err);
    if (rc == KF_OK && cli->json)
        print_line(a.body);
    else if (rc == KF_OK)
        print_out(buf_view(&pretty));
    buf_release(&pretty);
    return rc;
}

/* ------------------------------------------------------------------------------------------ lists
 */

/* A list, printed as a table or as one JSON object, and how far it has got. */
struct listing {
    struct table *table;
    void (*row)(struct cli *cli, struct table *t, const struct json_node *item);
    size_t items;
    uint32_t timeout_ms;
    str last; /* of the newest page: what to ask `after` next; empty where the list has none */
};

static void show_items(struct cli *cli, struct listing *l, const struct json_node *items)
{
    for (const struct json_node *n = items ? items->child : NULL; n; n = n->next, l->items++) {
        if (!cli->json) {
            l->row(cli, l->table, n);
            continue;
        }
        if (l->items)
            print_out(STR(","));
        print_out(n->raw);
    }
}

/* One page; *ret_cursor is empty behind the last. */
static kf_rc show_page(struct cli *cli, struct place *place, const char *target, str cursor,
                       struct listing *l, str *ret_cursor, struct kf_err *err)
{
    struct cli_answer a;
    struct json_node *root;
    char *whole = arena_printf(&cli->arena, "%s%climit=1000%s%.*s", target,
                               strchr(target, '?') ? '&' : '?', cursor.len ? "&cursor=" : "",
                               STR_ARGS(cursor));
    struct cli_request r = {.method = API_GET,
                            .target = whole,
                            .timeout_ms = l->timeout_ms,
                            .progress = cli->opt[OPT_REMOTE] ? reading_past : NULL};
    kf_rc rc = whole ? place_request(place, &r, &a, err) : err_nomem(err);
    if (rc == KF_OK)
        rc = answer_parse(cli, &a, &root, err);
    if (rc != KF_OK)
        return rc;
    if (cli->json && !cursor.len)
        print_out(STR("{\"items\":["));
    show_items(cli, l, json_member(root, "items"));
    *ret_cursor = node_text(cli, root, "next");
    const struct json_node *last = json_member(root, "last");
    l->last = last ? last->raw : STR("");
    return KF_OK;
}

static void end_json(const struct listing *l)
{
    print_out(STR("],"));
    if (l->last.len) {
        print_out(STR("\"last\":"));
        print_out(l->last);
        print_out(STR(","));
    }
    print_line(STR("\"next\":null}"));
}

static kf_rc list_within(struct cli *cli, const char *target, uint32_t timeout_ms, struct table *t,
                         void (*row)(struct cli *cli, struct table *t,
                                     const struct json_node *item),
                         struct kf_err *err)
{
    struct listing l = {.table = t, .row = row, .timeout_ms = timeout_ms};
    struct place *place = NULL;
    str cursor = {"", 0};
    if (!t || !target)
        return err_nomem(err);
    kf_rc rc = place_open(cli, &place, err);
    if (rc == KF_OK)
        do
            rc = show_page(cli, place, target, cursor, &l, &cursor, err);
        while (rc == KF_OK && cursor.len);
    place_close(place);
    if (rc == KF_OK && cli->json)
        end_json(&l);
    else if (rc == KF_OK)
        table_print(t);
    return rc;
}

kf_rc list_show(struct cli *cli, const char *target, struct table *t,
                void (*row)(struct cli *cli, struct table *t, const struct json_node *item),
                struct kf_err *err)
{
    return list_within(cli, target, 0, t, row, err);
}

void table_u64(struct cli *cli, struct table *t, uint64_t v)
{
    char *text = arena_printf(&cli->arena, "%llu", (unsigned long long)v);
    cli->starved |= !text;
    table_cell(t, str_of(text ? text : ""));
}

void table_size(struct cli *cli, struct table *t, uint64_t v)
{
    table_cell(t, cli_size(cli, v));
}

static void doc_row(struct cli *cli, struct table *t, const struct json_node *n)
{
    table_cell(t, node_text(cli, n, "name"));
    table_u64(cli, t, node_u64(n, "version"));
    table_size(cli, t, node_u64(n, "size"));
    table_cell(t, node_age(cli, n, "at"));
}

kf_rc cmd_ls(struct cli *cli, struct kf_err *err)
{
    static const char *const heads[] = {"NAME", "VERSION", "SIZE", "WRITTEN"};
    const char *target = "/docs";
    if (cli->arg_count) {
        char *prefix = cli_escape(cli, cli->args[0]);
        target = prefix ? arena_printf(&cli->arena, "/docs?prefix=%s", prefix) : NULL;
    }
    struct table *t = table_new(cli, heads, 4);
    return list_show(cli, target, t, doc_row, err);
}

static void version_row(struct cli *cli, struct table *t, const struct json_node *n)
{
    table_u64(cli, t, node_u64(n, "version"));
    table_cell(t, node_text(cli, n, "at"));
    table_size(cli, t, node_u64(n, "size"));
    table_cell(t, node_text(cli, n, "kind"));
    table_cell(t, node_true(n, "current") ? STR("current") : STR(""));
}

/* The first digits of an id are enough to name it. */
static void past_row(struct cli *cli, struct table *t, const struct json_node *n)
{
    str id = node_text(cli, n, "id");
    const struct json_node *error = json_member(n, "error");
    uint64_t version = node_u64(n, "version");
    table_cell(t, (str){id.p, id.len < 12 ? id.len : 12});
    table_cell(t, node_text(cli, n, "at"));
    table_size(cli, t, node_u64(n, "size"));
    table_cell(t, node_text(cli, n, "author"));
    if (error && error->type == JSON_OBJECT)
        table_cell(t, STR("damaged"));
    else if (node_true(n, "deleted"))
        table_cell(t, node_true(n, "by_hand") ? STR("deleted by hand") : STR("deleted"));
    else if (version && !node_true(n, "by_hand"))
        table_u64(cli, t, version);
    else
        table_cell(t, node_true(n, "by_hand") ? STR("by hand") : STR(""));
    table_cell(t, node_true(n, "current") ? STR("current") : STR(""));
}

static kf_rc log_of_past(struct cli *cli, struct kf_err *err)
{
    static const char *const heads[] = {"ID", "WRITTEN", "SIZE", "AUTHOR", "VERSION", ""};
    struct buf target = BUF_INIT, query = BUF_INIT;
    uint32_t timeout_ms = 0;
    char *name = cli_escape_name(cli, cli->args[0]);
    kf_rc rc = name ? past_query(cli, &query, &timeout_ms, err) : err_nomem(err);
    buf_printf(&target, "/docs/%s/versions%s", name ? name : "", query.len ? query.p : "");
    if (rc == KF_OK)
        rc = buf_ok(&target, err);
    if (rc == KF_OK)
        rc = list_within(cli, target.p, timeout_ms, table_new(cli, heads, 6), past_row, err);
    buf_release(&target);
    buf_release(&query);
    return rc;
}

kf_rc cmd_log(struct cli *cli, struct kf_err *err)
{
    static const char *const heads[] = {"VERSION", "WRITTEN", "SIZE", "BY", ""};
    if (cli->opt[OPT_REMOTE])
        return log_of_past(cli, err);
    if (cli->opt[OPT_TIMEOUT])
        return cli_usage(err, "--timeout is for the past of a remote, which --remote names");
    char *name = cli_escape_name(cli, cli->args[0]);
    char *target = name ? arena_printf(&cli->arena, "/docs/%s/versions", name) : NULL;
    struct table *t = table_new(cli, heads, 5);
    return list_show(cli, target, t, version_row, err);
}

/* A stream has no version: what stands there is the number of the newest entry that waits, 0 where
 * attributes alone do. */
static void pending_row(struct cli *cli, struct table *t, const struct json_node *n)
{
    unsigned long long version = node_u64(n, "version");
    str name = node_text(cli, n, "name");
    bool stream = str_starts(name, STR(NAME_STREAM_FILES));
    char *what = arena_printf(&cli->arena,
                              !stream   ? "version %llu"
                              : version ? "stream, up to entry %llu"
                                        : "stream",
                              version);
    cli->starved |= !what;
    table_cell(t, stream ? str_from(name, sizeof NAME_STREAM_FILES - 1) : name);
    table_cell(t, str_of(what));
    table_size(cli, t, node_u64(n, "size"));
    table_cell(t, node_age(cli, n, "since"));
    table_cell(t, node_true(n, "deleted") ? STR("deleted") : STR(""));
}

/* Without a name: the sums of every remote, as status has them. */
kf_rc cmd_pending(struct cli *cli, struct kf_err *err)
{
    static const char *const heads[] = {"NAME", "WHAT", "SIZE", "SINCE", ""};
    if (!cli->arg_count)
        return cmd_remote_ls(cli, err);
    char *name = cli_escape(cli, cli->args[0]);
    char *target = name ? arena_printf(&cli->arena, "/remotes/%s/pending", name) : NULL;
    struct table *t = table_new(cli, heads, 5);
    return list_show(cli, target, t, pending_row, err);
}

static void space_row(struct cli *cli, struct table *t, const struct json_node *n)
{
    table_cell(t, node_text(cli, n, "name"));
    table_cell(t, node_true(n, "open") ? STR("open") : STR(""));
}

kf_rc cmd_space_ls(struct cli *cli, struct kf_err *err)
{
    static const char *const heads[] = {"SPACE", ""};
    struct table *t = table_new(cli, heads, 2);
    return list_show(cli, "//v1", t, space_row, err);
}
