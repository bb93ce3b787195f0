/* The server with the router of the unit tests behind it: what the door alone costs, whoever
 * answers. Prints its address and serves until it is told to end. */
#include "../tests/unit/fake_api.h"
#include "server/server.h"

#include <signal.h>
#include <stdio.h>

static struct loop *loop;

static void on_signal(int number)
{
    (void)number;
    loop_stop(loop);
}

int main(void)
{
    struct server *server = NULL;
    struct buf shown = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    if (loop_new(env_system(), 1, &loop, &err) != KF_OK)
        return 1;
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    struct api *api = fake_api_new(loop);
    struct server_options options = {.env = env_system(),
                                     .loop = loop,
                                     .api = api,
                                     .connections_max = 4096,
                                     .per_address_max = 4096};
    if (!api || server_new(&options, &server, &err) != KF_OK ||
        server_listen(server, STR("127.0.0.1:0"), &shown, &err) != KF_OK) {
        fprintf(stderr, "http_door: %s\n", err.detail);
        return 1;
    }
    printf("%.*s\n", STR_ARGS(buf_view(&shown)));
    fflush(stdout);
    loop_run(loop);
    server_free(server);
    fake_api_free(api);
    loop_free(loop);
    buf_release(&shown);
    return 0;
}
