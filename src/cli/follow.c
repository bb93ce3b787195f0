/* Going on with what comes: entries of a stream, changes of tables. */
#include "cli/cli.h"

#include <poll.h>
#include <unistd.h>

#define PAUSE_MS 1000
/* A server that waits for FOLLOW_MS, and may number changes for as long before that, has said
 * something by then; a network that swallows all is noticed. */
#define STALL_MS (FOLLOW_MS * 4)
/* An answer of many bytes over a slow line. */
#define ANSWER_MS 600000

kf_rc print_json_line(const struct json_node *item, struct kf_err *err)
{
    struct buf line = BUF_INIT;
    kf_rc rc = json_compact(item->raw, &line, err);
    if (rc == KF_OK)
        print_line(buf_view(&line));
    buf_release(&line);
    return rc;
}

kf_rc follow_ask(struct cli *cli, struct place *place, const char *target,
                 struct json_node **ret_root, struct kf_err *err)
{
    struct cli_answer a;
    struct cli_request r = {.method = API_GET, .target = target, .timeout_ms = ANSWER_MS};
    kf_rc rc = target ? place_request(place, &r, &a, err) : err_nomem(err);
    return rc == KF_OK ? answer_parse(cli, &a, ret_root, err) : rc;
}

/* What passes by itself: the server is away, or stops, or is full of others. */
static bool may_pass(const struct kf_err *err)
{
    return err->retryable || err->rc == KF_UNAVAILABLE || err->rc == KF_BUSY;
}

/* A pipe is told of only when it is written to. */
static bool nobody_reads(void)
{
    struct pollfd p = {.fd = STDOUT_FILENO};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLNVAL));
}

/* A store of our own is opened anew each time, so that others have it meanwhile. */
static kf_rc behind_once(struct cli *cli, follow_behind *behind, void *ctx, bool *ret_any,
                         struct kf_err *err)
{
    struct place *place = NULL;
    kf_rc rc = place_open(cli, &place, err);
    if (rc == KF_OK)
        rc = behind(cli, place, ctx, ret_any, err);
    place_close(place);
    place_finish(cli);
    arena_clear(&cli->arena);
    return rc;
}

kf_rc follow_on(struct cli *cli, follow_behind *behind, void *ctx, struct kf_err *err)
{
    bool told = false;
    cli->stall_ms = STALL_MS;
    while (print_flush() == 0) {
        int64_t began = env_mono_ms(cli->env);
        bool any = false;
        kf_rc rc = behind_once(cli, behind, ctx, &any, err);
        if (rc != KF_OK && !may_pass(err))
            return rc;
        if (rc != KF_OK && !told)
            print_talk("keepfast: %s; waiting", err->detail);
        told = rc != KF_OK;
        if (nobody_reads()) {
            cli->status = 141;
            return KF_OK;
        }
        int64_t left = PAUSE_MS - (env_mono_ms(cli->env) - began);
        if (!any && left > 0)
            poll(NULL, 0, (int)left);
    }
    return KF_OK;
}
