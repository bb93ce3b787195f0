/* The store as a whole on the command line: backup, restore, verify, digest. */
#include "cli/cli.h"

/* The target with what is asked for behind it, and the key, whose file is meant as it is seen from
 * here; in the arena. NULL without memory. */
static const char *archive_target(struct cli *cli, const char *path, const char *key,
                                  const char *value)
{
    struct buf target = BUF_INIT;
    const char *file = cli->opt[OPT_KEY_FILE];
    bool good = !file || (file = cli_absolute(cli, file)) != NULL;
    buf_c(&target, path);
    cli_query(cli, &target, key, value);
    cli_query(cli, &target, "key_file", file);
    cli_query(cli, &target, "key_env", cli->opt[OPT_KEY_ENV]);
    good &= !target.failed;
    const char *text = good ? arena_dup(&cli->arena, buf_view(&target)) : NULL;
    buf_release(&target);
    return text;
}

kf_rc cmd_backup(struct cli *cli, struct kf_err *err)
{
    struct cli_answer a;
    struct cli_request r = {
        .method = API_GET,
        .target = archive_target(cli, "/backup", "pending", cli->opt[OPT_PENDING]),
        .sink_file = cli->args[0],
        .timeout_ms = 24 * 3600 * 1000,
        .progress = "backup"};
    if (!r.target)
        return err_nomem(err);
    kf_rc rc = cli_ask(cli, &r, &a, NULL, err);
    if (rc == KF_OK && cli->json)
        print_written(cli->args[0]);
    else if (rc == KF_OK)
        print_talk("%s: written and synced", cli->args[0]);
    return rc;
}

/* A restore is also how a mistake is undone, and a remote that holds later versions undoes that. */
static void tell_of_remotes(struct cli *cli)
{
    struct cli_answer a;
    struct json_node *root = NULL;
    struct cli_request r = {.method = API_GET, .target = "/remotes?limit=1"};
    if (cli_ask(cli, &r, &a, &root, NULL) != KF_OK)
        return;
    const struct json_node *items = json_member(root, "items");
    if (items && items->count)
        print_talk("its remotes keep what they hold: later versions there come back with the next "
                   "run; to stay with the backup, remove the remote or give it an empty place");
}

kf_rc cmd_restore(struct cli *cli, struct kf_err *err)
{
    struct cli_answer a;
    struct json_node *root = NULL;
    struct cli_request r = {
        .method = API_POST,
        .target = archive_target(cli, "/restore", "replace", cli->opt[OPT_REPLACE] ? "true" : NULL),
        .body_file = cli->args[0],
        .timeout_ms = 24 * 3600 * 1000,
        .progress = "restore"};
    if (!r.target)
        return err_nomem(err);
    r.headers[r.header_count++] = (struct api_header){STR("Content-Type"), STR("application/zip")};
    kf_rc rc = cli_ask(cli, &r, &a, &root, err);
    if (rc != KF_OK || cli->json)
        return rc;
    str kept = node_text(cli, root, "kept_as");
    uint64_t overtaken = node_u64(root, "overtaken");
    print_talk("%.*s, %.*s restored, digest %.*s%s%.*s",
               STR_ARGS(cli_count(cli, node_u64(root, "docs"), "document", "documents")),
               STR_ARGS(cli_count(cli, node_u64(root, "entries"), "entry", "entries")),
               STR_ARGS(node_text(cli, root, "digest")),
               kept.len ? "; the old store is kept as " : "", STR_ARGS(kept));
    if (overtaken)
        print_talk("confirmed while this ran, and in the old store alone: %.*s",
                   STR_ARGS(cli_count(cli, overtaken, "change", "changes")));
    tell_of_remotes(cli);
    return KF_OK;
}

static kf_rc found_damage(uint64_t damaged, uint64_t repaired, struct kf_err *err)
{
    if (damaged == repaired)
        return err_set(err, PROBLEM_DAMAGED, "%llu damaged, %llu repaired: nothing is left",
                       (unsigned long long)damaged, (unsigned long long)repaired);
    return err_set(err, PROBLEM_DAMAGED,
                   "%llu damaged, %llu repaired; restore the others from a backup or a remote",
                   (unsigned long long)damaged, (unsigned long long)repaired);
}

kf_rc cmd_verify(struct cli *cli, struct kf_err *err)
{
    struct cli_answer a;
    struct json_node *root = NULL;
    struct cli_request r = {.method = API_POST,
                            .target = cli->opt[OPT_DEEP] ? "/verify?deep=true" : "/verify",
                            .timeout_ms = 24 * 3600 * 1000,
                            .progress = "verify"};
    kf_rc rc = cli_ask(cli, &r, &a, &root, err);
    if (rc != KF_OK)
        return rc;
    uint64_t damaged = node_u64(root, "damaged");
    const struct json_node *report = json_member(root, "report");
    for (const struct json_node *n = report ? report->child : NULL; n && !cli->json; n = n->next)
        print_line(json_text(n->raw, &cli->arena));
    if (!cli->json)
        print_talk("%.*s, %.*s, %.*s, %.*s read: %s",
                   STR_ARGS(cli_count(cli, node_u64(root, "docs"), "document", "documents")),
                   STR_ARGS(cli_count(cli, node_u64(root, "versions"), "version", "versions")),
                   STR_ARGS(cli_count(cli, node_u64(root, "entries"), "entry", "entries")),
                   STR_ARGS(cli_size(cli, node_u64(root, "bytes"))), damaged ? "DAMAGED" : "good");
    return damaged ? found_damage(damaged, node_u64(root, "repaired"), err) : KF_OK;
}

kf_rc cmd_digest(struct cli *cli, struct kf_err *err)
{
    struct cli_answer a;
    struct json_node *root = NULL;
    struct cli_request r = {.method = API_GET,
                            .target = "/digest",
                            .timeout_ms = 24 * 3600 * 1000,
                            .progress = "digest"};
    kf_rc rc = cli_ask(cli, &r, &a, &root, err);
    if (rc == KF_OK && !cli->json)
        print_line(node_text(cli, root, "digest"));
    return rc;
}
