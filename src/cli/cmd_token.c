/* Tokens on the command line. The text of a new one goes to stdout alone, or into a file: nowhere
 * else is it ever written. */
#include "cli/cli.h"

#include "base/mem.h"

static void put_strings(struct buf *out, const char *key, const char *const *list, size_t count)
{
    if (!count)
        return;
    buf_printf(out, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_byte(out, ',');
        buf_json_string(out, str_of(list[i]));
    }
    buf_byte(out, ']');
}

static void put_rights(struct buf *out, str words)
{
    const char *between = "";
    buf_c(out, ",\"rights\":[");
    while (words.len) {
        str one = {words.p, str_index(words, ',')};
        words = str_from(words, one.len + 1);
        buf_c(out, between);
        buf_json_string(out, str_trim(one));
        between = ",";
    }
    buf_byte(out, ']');
}

static kf_rc wish(struct cli *cli, str *ret, struct kf_err *err)
{
    struct buf b = BUF_INIT;
    buf_c(&b, "{\"name\":");
    buf_json_string(&b, str_of(cli->args[0]));
    put_rights(&b, str_of(cli->opt[OPT_RIGHTS] ? cli->opt[OPT_RIGHTS] : "read,write,run"));
    put_strings(&b, "spaces", cli->repeat[OPT_SPACE], cli->repeat_count[OPT_SPACE]);
    put_strings(&b, "prefixes", cli->repeat[OPT_PREFIX], cli->repeat_count[OPT_PREFIX]);
    if (cli->opt[OPT_EXPIRES]) {
        buf_c(&b, ",\"expires_in\":");
        buf_json_string(&b, str_of(cli->opt[OPT_EXPIRES]));
    }
    buf_byte(&b, '}');
    kf_rc rc = buf_ok(&b, err);
    if (rc == KF_OK) {
        *ret = arena_str(&cli->arena, buf_view(&b));
        rc = ret->p ? KF_OK : err_nomem(err);
    }
    buf_release(&b);
    return rc;
}

/* The token and a newline, durable. */
static kf_rc into_file(struct file *f, str token, struct kf_err *err)
{
    kf_rc rc = file_write(f, 0, token.p, token.len, err);
    return rc == KF_OK ? file_write(f, (int64_t)token.len, "\n", 1, err) : rc;
}

/* The answer without the token, for --json beside --file. */
static void print_made(struct cli *cli, const struct json_node *root)
{
    print_fmt("{\"id\":\"%.*s\",\"file\":", STR_ARGS(node_text(cli, root, "id")));
    struct buf b = BUF_INIT;
    buf_json_string(&b, str_of(cli->opt[OPT_FILE]));
    buf_byte(&b, '}');
    cli->starved |= b.failed;
    print_line(buf_view(&b));
    buf_release(&b);
}

static void say_made(struct cli *cli, const struct json_node *root)
{
    const char *file = cli->opt[OPT_FILE];
    if (!file)
        print_line(node_text(cli, root, "token"));
    print_talk("%s: token %.*s is made%s%s. It is shown this once; a program sends it as\n"
               "Authorization: Bearer TOKEN, the command line finds it in KEEPFAST_TOKEN or "
               "--token-file",
               cli->args[0], STR_ARGS(node_text(cli, root, "id")), file ? " and stands in " : "",
               file ? file : "");
}

static kf_rc make(struct cli *cli, struct cli_request *r, struct file *f, struct kf_err *err)
{
    struct cli_answer a;
    struct json_node *root = NULL;
    bool json = cli->json;
    cli->json = json && !cli->opt[OPT_FILE];
    kf_rc rc = cli_ask(cli, r, &a, &root, err);
    cli->json = json;
    if (rc == KF_OK && cli->opt[OPT_FILE])
        rc = into_file(f, node_text(cli, root, "token"), err);
    if (cli->opt[OPT_FILE])
        rc = file_new_end(f, cli->opt[OPT_FILE], rc, err);
    if (rc == KF_OK && !json)
        say_made(cli, root);
    else if (rc == KF_OK && cli->opt[OPT_FILE])
        print_made(cli, root);
    return rc;
}

kf_rc cmd_token_create(struct cli *cli, struct kf_err *err)
{
    struct cli_request r = {.method = API_POST, .target = "//v1/tokens"};
    struct file f = FILE_CLOSED;
    r.headers[r.header_count++] = (struct api_header){STR("Content-Type"), STR("application/json")};
    kf_rc rc = wish(cli, &r.body, err);
    /* First the file: a token that could not be written down would be one that nobody has. */
    if (rc == KF_OK && cli->opt[OPT_FILE])
        rc = file_new_begin(cli->env, cli->opt[OPT_FILE], &f, err);
    return rc == KF_OK ? make(cli, &r, &f, err) : rc;
}

/* "read,write" of an array; "all" of null. */
static str joined(struct cli *cli, const struct json_node *item, const char *member)
{
    const struct json_node *list = json_member(item, member);
    struct buf b = BUF_INIT;
    if (!list || list->type != JSON_ARRAY)
        return STR("all");
    for (const struct json_node *n = list->child; n; n = n->next) {
        if (b.len)
            buf_byte(&b, ',');
        buf_str(&b, json_text(n->raw, &cli->arena));
    }
    str s = arena_str(&cli->arena, buf_view(&b));
    cli->starved |= b.failed || !s.p;
    buf_release(&b);
    return s.p ? s : STR("");
}

static void token_row(struct cli *cli, struct table *t, const struct json_node *n)
{
    table_cell(t, node_text(cli, n, "id"));
    table_cell(t, node_text(cli, n, "name"));
    table_cell(t, node_text(cli, n, "state"));
    table_cell(t, joined(cli, n, "rights"));
    table_cell(t, joined(cli, n, "spaces"));
    table_cell(t, joined(cli, n, "prefixes"));
    table_cell(t, node_text(cli, n, "expires_at").len ? node_age(cli, n, "expires_at") : STR("-"));
    table_cell(t, node_age(cli, n, "last_used_at"));
}

kf_rc cmd_token_ls(struct cli *cli, struct kf_err *err)
{
    static const char *const heads[] = {"ID",     "NAME",  "STATE",   "RIGHTS",
                                        "SPACES", "NAMES", "EXPIRES", "USED"};
    return list_show(cli, "//v1/tokens", table_new(cli, heads, 8), token_row, err);
}

kf_rc cmd_token_revoke(struct cli *cli, struct kf_err *err)
{
    struct cli_answer a;
    char *id = cli_escape(cli, cli->args[0]);
    struct cli_request r = {.method = API_DELETE,
                            .target = id ? arena_printf(&cli->arena, "//v1/tokens/%s", id) : NULL};
    kf_rc rc = cli_ask(cli, &r, &a, NULL, err);
    if (rc == KF_OK && cli->json)
        print_removed(cli->args[0]);
    else if (rc == KF_OK)
        print_talk("%s: revoked; who shows it is refused from now on", cli->args[0]);
    return rc;
}
