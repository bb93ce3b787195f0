/* Spaces on the command line: made and removed. */
#include "cli/cli.h"

kf_rc cmd_space_create(struct cli *cli, struct kf_err *err)
{
    struct cli_answer a;
    char *name = cli_escape(cli, cli->args[0]);
    struct cli_request r = {.method = API_PUT,
                            .target = name ? arena_printf(&cli->arena, "//v1/%s", name) : NULL};
    kf_rc rc = cli_ask(cli, &r, &a, NULL, err);
    if (rc == KF_OK && !cli->json)
        print_talk("%s: %s", cli->args[0], a.status == 201 ? "made" : "was there");
    return rc;
}

kf_rc cmd_space_rm(struct cli *cli, struct kf_err *err)
{
    struct cli_answer a;
    char *name = cli_escape(cli, cli->args[0]);
    if (!cli->opt[OPT_YES])
        return cli_usage(err, "this removes every document of \"%s\" from this machine; say --yes",
                         cli->args[0]);
    struct cli_request r = {
        .method = API_DELETE,
        .target = name ? arena_printf(&cli->arena, "//v1/%s?confirm=%s", name, name) : NULL};
    kf_rc rc = cli_ask(cli, &r, &a, NULL, err);
    if (rc == KF_OK && cli->json)
        print_removed(cli->args[0]);
    else if (rc == KF_OK)
        print_talk("%s: removed", cli->args[0]);
    return rc;
}
