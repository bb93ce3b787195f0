/* Keys for encryption, in files. The key itself is never printed; these two commands ask no store.
 * */
#include "cli/cli.h"

#include "base/seal.h"

static void say_id(const struct cli *cli, const struct seal_key *key)
{
    if (cli->json)
        print_fmt("{\"key\":\"%s\"}\n", seal_key_id(key));
    else
        print_fmt("%s\n", seal_key_id(key));
}

kf_rc cmd_key_new(struct cli *cli, struct kf_err *err)
{
    struct seal_key *key = NULL;
    kf_rc rc = seal_key_make(cli->env, cli->args[0], &key, err);
    if (rc == KF_CONFLICT)
        return err_set(err, PROBLEM_NOT_EMPTY,
                       "%.300s is there already and may be the only copy of a key: choose another "
                       "name",
                       cli->args[0]);
    if (rc != KF_OK)
        return rc;
    say_id(cli, key);
    print_talk("%s: a new key. Keep a copy elsewhere, on paper or in a safe: without it everything "
               "that is encrypted with it is lost, and nobody can bring it back",
               cli->args[0]);
    seal_key_free(key);
    return KF_OK;
}

kf_rc cmd_key_id(struct cli *cli, struct kf_err *err)
{
    const struct seal_source source = {.file = str_of(cli->args[0])};
    struct seal_key *key = NULL;
    kf_rc rc = seal_key_load(cli->env, &source, &key, err);
    if (rc == KF_OK)
        say_id(cli, key);
    seal_key_free(key);
    return rc;
}
