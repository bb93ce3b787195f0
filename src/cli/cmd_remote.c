/* Remotes on the command line: listed, shown, tried, forgotten, added. */
#include "cli/cli.h"

#include "base/secret.h"
#include "remote/git_url.h"
#include "remote/remote.h"

kf_rc cmd_remote_ls(struct cli *cli, struct kf_err *err)
{
    struct cli_request r = {.method = API_GET, .target = "/remotes?limit=1000"};
    struct cli_answer a;
    struct json_node *root = NULL;
    kf_rc rc = cli_ask(cli, &r, &a, &root, err);
    if (rc == KF_OK && !cli->json)
        print_remotes(cli, json_member(root, "items"));
    return rc;
}

static kf_rc on_remote(struct cli *cli, enum api_method method, const char *name, const char *tail,
                       uint32_t timeout_ms, struct json_node **ret_root, struct kf_err *err)
{
    struct cli_answer a;
    char *escaped = cli_escape(cli, name);
    struct cli_request r = {.method = method, .timeout_ms = timeout_ms};
    r.target = escaped ? arena_printf(&cli->arena, "/remotes/%s%s", escaped, tail) : NULL;
    return cli_ask(cli, &r, &a, ret_root, err);
}

kf_rc cmd_remote_show(struct cli *cli, struct kf_err *err)
{
    struct json_node *root = NULL;
    kf_rc rc = on_remote(cli, API_GET, cli->args[0], "", 0, &root, err);
    struct buf b = BUF_INIT;
    if (rc == KF_OK && !cli->json)
        rc = json_pretty(root->raw, &b, err);
    if (rc == KF_OK)
        print_out(buf_view(&b));
    buf_release(&b);
    return rc;
}

kf_rc cmd_remote_probe(struct cli *cli, struct kf_err *err)
{
    struct json_node *root = NULL;
    kf_rc rc = on_remote(cli, API_POST, cli->args[0], "/probe", 90000, &root, err);
    if (rc == KF_OK && !cli->json)
        print_talk("%s: written, read back and removed", cli->args[0]);
    return rc;
}

kf_rc cmd_remote_rm(struct cli *cli, struct kf_err *err)
{
    kf_rc rc = on_remote(cli, API_DELETE, cli->args[0], "", 0, NULL, err);
    if (rc == KF_OK && cli->json)
        print_removed(cli->args[0]);
    else if (rc == KF_OK)
        print_talk("%s: forgotten; what it holds stays there", cli->args[0]);
    return rc;
}

static void put_text(struct buf *b, const char *key, const char *value)
{
    if (!value)
        return;
    buf_printf(b, ",\"%s\":", key);
    buf_json_string(b, str_of(value));
}

/* A folder is meant as it is seen from here; the owner of the store may be somewhere else. */
static const char *remote_address(struct cli *cli, const char *address)
{
    if (strncmp(address, "dir:", 4) != 0 || address[4] == '/' || !address[4])
        return address;
    const char *path = cli_absolute(cli, address + 4);
    return path ? arena_printf(&cli->arena, "dir:%s", path) : NULL;
}

/* Files are meant as they are seen from here, like a folder. */
static kf_rc put_access(struct cli *cli, struct buf *b, struct kf_err *err)
{
    static const struct {
        enum option option;
        const char *key;
    } texts[] = {{OPT_BRANCH, "branch"},
                 {OPT_TOKEN_ENV, "token_env"},
                 {OPT_KEY_ENV, "key_env"},
                 {OPT_OLD_KEY_ENV, "old_key_env"}},
      files[] = {{OPT_TOKEN_FILE, "token_file"},
                 {OPT_SSH_KEY_FILE, "ssh_key_file"},
                 {OPT_KNOWN_HOSTS_FILE, "known_hosts_file"},
                 {OPT_CA_FILE, "ca_file"},
                 {OPT_KEY_FILE, "key_file"},
                 {OPT_OLD_KEY_FILE, "old_key_file"}};
    const char *variable = cli->opt[OPT_TOKEN_ENV];
    if (secret_in_url(str_of(cli->args[1])) || (variable && secret_like(str_of(variable))))
        return cli_usage(err, "a token is no argument, others see it there: make a new one, put it "
                              "into a variable or a file, and name that with --token-env or "
                              "--token-file");
    const char *key = cli->opt[OPT_KEY_ENV], *old_key = cli->opt[OPT_OLD_KEY_ENV];
    if (secret_like(str_of(key)) || secret_like(str_of(old_key)))
        return cli_usage(err, "a key is no argument, others see it there: make a new one with "
                              "keepfast key new, and name its file with --key-file");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        put_text(b, texts[i].key, cli->opt[texts[i].option]);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *path = cli->opt[files[i].option];
        if (path && !(path = cli_absolute(cli, path)))
            return err_nomem(err);
        put_text(b, files[i].key, path);
    }
    buf_c(b, cli->opt[OPT_INSECURE] ? ",\"insecure\":true" : "");
    buf_c(b, cli->opt[OPT_PUBLIC] ? ",\"public\":true" : "");
    buf_c(b, cli->opt[OPT_ALLOW_SECRETS] ? ",\"allow_secrets\":true" : "");
    return KF_OK;
}

/* A folder may be one that is not mounted now; a host is there or the set-up is not done. */
static bool tries_first(struct cli *cli, const char *address)
{
    const struct remote_driver *driver = NULL;
    return !cli->opt[OPT_NO_PROBE] &&
           remote_driver_of(cli->env, STR(""), str_of(address), &driver, NULL) == KF_OK &&
           driver == &remote_git;
}

static void say_added(struct cli *cli, const struct json_node *root)
{
    const char *name = cli->args[0],
               *branch = cli->opt[OPT_BRANCH] ? cli->opt[OPT_BRANCH] : GIT_BRANCH;
    const struct json_node *found = json_member(root, "found"),
                           *there = json_member(found, "there");
    unsigned long long bad = node_u64(found, "bad"), all = node_u64(found, "docs") + bad;
    if (!found) {
        print_talk("%s: added; keepfast remote probe %s tries it", name, name);
        return;
    }
    if (!there || there->type != JSON_TRUE)
        print_talk("%s: may be read and written; the branch %s is not there yet, the first save "
                   "makes it",
                   name, branch);
    else if (all == 0)
        print_talk("%s: may be read and written; the branch %s holds no documents yet", name,
                   branch);
    else
        print_talk("%s: may be read and written; the branch %s holds %llu document%s of Keepfast, "
                   "which are joined with those here",
                   name, branch, all, all == 1 ? "" : "s");
    if (bad)
        print_talk("%s: %llu of them cannot be read; keepfast verify --deep names them", name, bad);
    const struct json_node *open = json_member(found, "public");
    if (open && open->type == JSON_TRUE && !cli->opt[OPT_PUBLIC])
        print_talk("%s: everybody can read it; documents of class critical do not go there, unless "
                   "it becomes private, is encrypted (--key-file) or added with --public",
                   name);
    else if (open && open->type == JSON_TRUE)
        print_talk("%s: everybody can read it, and critical documents go there all the same", name);
    print_talk("%s: added; keepfast sync %s --wait saves everything there now", name, name);
}

kf_rc cmd_remote_add(struct cli *cli, struct kf_err *err)
{
    struct buf b = BUF_INIT;
    struct cli_answer a;
    struct json_node *root = NULL;
    uint64_t after;
    const char *address = remote_address(cli, cli->args[1]);
    if (!address)
        return err_nomem(err);
    if (cli->opt[OPT_AFTER] && !str_to_u64(str_of(cli->opt[OPT_AFTER]), &after))
        return cli_usage(err, "--after wants a number of documents");
    buf_c(&b, "{\"name\":");
    buf_json_string(&b, str_of(cli->args[0]));
    put_text(&b, "url", address);
    put_text(&b, "every", cli->opt[OPT_EVERY]);
    put_text(&b, "on_change", cli->opt[OPT_ON_CHANGE]);
    if (cli->opt[OPT_AFTER])
        buf_printf(&b, ",\"after\":%s", cli->opt[OPT_AFTER]);
    if (cli->opt[OPT_MANUAL])
        buf_c(&b, ",\"manual\":true");
    kf_rc rc = put_access(cli, &b, err);
    for (size_t i = 0; i < cli->repeat_count[OPT_DOCS]; i++) {
        buf_c(&b, i ? "," : ",\"docs\":[");
        buf_json_string(&b, str_of(cli->repeat[OPT_DOCS][i]));
    }
    buf_c(&b, cli->repeat_count[OPT_DOCS] ? "]}" : "}");
    bool probe = tries_first(cli, address);
    struct cli_request r = {.method = API_POST,
                            .target = probe ? "/remotes?probe=true" : "/remotes",
                            .body = buf_view(&b),
                            .timeout_ms = probe ? 300000 : 0};
    r.headers[r.header_count++] = (struct api_header){STR("Content-Type"), STR("application/json")};
    if (rc == KF_OK)
        rc = buf_ok(&b, err);
    if (rc == KF_OK)
        rc = cli_ask(cli, &r, &a, &root, err);
    buf_release(&b);
    if (cli->json)
        return rc;
    if (rc == KF_OK)
        say_added(cli, root);
    else if (probe && rc == KF_UNAVAILABLE)
        print_talk("%s: not added. Its token or key needs to read and write the contents of this "
                   "one repository, nothing more; --no-probe adds it untried",
                   cli->args[0]);
    return rc;
}
