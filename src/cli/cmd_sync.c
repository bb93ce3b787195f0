/* Saving now: a run of each remote, and what it says at its end. */
#include "cli/cli.h"

struct syncing {
    struct place *place;
    bool wait; /* until each run has ended */
    uint64_t timeout_ms;
    size_t shown;
};

static kf_rc list_remotes(struct cli *cli, struct place *place, struct json_node **ret,
                          struct kf_err *err)
{
    struct cli_answer a;
    struct cli_request r = {.method = API_GET, .target = "/remotes?limit=1000"};
    kf_rc rc = place_request(place, &r, &a, err);
    return rc == KF_OK ? answer_parse(cli, &a, ret, err) : rc;
}

static kf_rc sync_one(struct cli *cli, struct syncing *s, str name, struct kf_err *err)
{
    struct cli_answer a;
    struct json_node *root;
    char *text = arena_dup(&cli->arena, name), *escaped = text ? cli_escape(cli, text) : NULL;
    struct cli_request r = {.method = API_POST, .timeout_ms = cli_patience(s->timeout_ms)};
    r.progress = arena_printf(&cli->arena, "sync %.*s", STR_ARGS(name));
    r.target = escaped
                   ? arena_printf(&cli->arena, "/remotes/%s/run?timeout=%llums%s", escaped,
                                  (unsigned long long)s->timeout_ms, s->wait ? "" : "&start=true")
                   : NULL;
    kf_rc rc = r.target ? place_request(s->place, &r, &a, err) : err_nomem(err);
    if (rc == KF_OK)
        rc = answer_parse(cli, &a, &root, err);
    if (rc != KF_OK)
        return rc;
    if (cli->json) {
        print_out(s->shown++ ? STR(",") : STR(""));
        print_out(a.body);
    } else {
        print_talk("%.*s: %s, %llu pending", STR_ARGS(name), s->wait ? "confirmed" : "started",
                   (unsigned long long)node_u64(json_member(root, "pending"), "count"));
    }
    return KF_OK;
}

static bool wanted(const struct cli *cli, str name)
{
    for (size_t i = 0; i < cli->arg_count; i++)
        if (str_is(name, cli->args[i]) || strcmp(cli->args[i], "all") == 0)
            return true;
    return cli->arg_count == 0;
}

/* Each argument is a remote that there is. */
static kf_rc check_wanted(struct cli *cli, const struct json_node *items, struct kf_err *err)
{
    for (size_t i = 0; i < cli->arg_count; i++) {
        bool there = strcmp(cli->args[i], "all") == 0;
        for (const struct json_node *n = items ? items->child : NULL; n; n = n->next)
            there = there || str_is(node_text(cli, n, "name"), cli->args[i]);
        if (!there)
            return err_set(
                err, PROBLEM_UNKNOWN_REMOTE,
                "there is no remote \"%s\" in this space; keepfast remote ls names those "
                "there are",
                cli->args[i]);
    }
    return KF_OK;
}

/* All that are wanted, one after the other; the first failure is the one to tell, the others are
 * said. */
static kf_rc sync_all(struct cli *cli, struct syncing *s, const struct json_node *items,
                      struct kf_err *err)
{
    kf_rc worst = KF_OK;
    for (const struct json_node *n = items ? items->child : NULL; n; n = n->next) {
        struct kf_err one = KF_ERR_INIT;
        str name = node_text(cli, n, "name");
        kf_rc rc = wanted(cli, name) ? sync_one(cli, s, name, &one) : KF_OK;
        if (rc != KF_OK && worst == KF_OK) {
            worst = rc;
            if (err)
                *err = one;
        } else if (rc != KF_OK) {
            print_talk("keepfast: %s", one.detail);
        }
    }
    return worst;
}

/* A server goes on when this command has ended, so without --wait the runs are only started
 * there. */
kf_rc cmd_sync(struct cli *cli, struct kf_err *err)
{
    struct syncing s = {0};
    struct json_node *root = NULL;
    const struct json_node *items = NULL;
    kf_rc rc = cli_timeout(cli, 10000, &s.timeout_ms, err);
    if (rc == KF_OK)
        rc = place_open(cli, &s.place, err);
    if (rc == KF_OK)
        rc = list_remotes(cli, s.place, &root, err);
    if (rc == KF_OK) {
        items = json_member(root, "items");
        rc = check_wanted(cli, items, err);
    }
    if (rc == KF_OK) {
        s.wait = cli->opt[OPT_WAIT_NOW] || !place_is_served(s.place);
        print_out(cli->json ? STR("{\"items\":[") : STR(""));
        rc = sync_all(cli, &s, items, err);
        print_out(cli->json ? STR("]}\n") : STR(""));
    }
    if (rc == KF_OK && !cli->json && (!items || !items->count))
        print_talk("there is no remote; keepfast remote add makes one");
    place_close(s.place);
    return rc;
}
