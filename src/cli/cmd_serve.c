/* keepfast serve, config, reference, version. */
#include "cli/cli.h"
#include "cli/notify.h"
#include "cli/table.h"
#include "lib/house.h"

#include "store/store.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* How long the ready line waits for stores that are being filled. */
static const uint32_t settle_ms = 1000;

/* After the first signal: by then all that can end has ended (house_run, house_free). */
static const unsigned stop_s = 10;

static struct house *volatile serving;   /* for the signal handler */
static volatile sig_atomic_t stop_asked; /* before it was serving, too */
static struct notify manager = NOTIFY_INIT;
static struct {
    struct loop_hook hook;
    volatile sig_atomic_t asked; /* by SIGHUP; the manager does not know yet */
    bool under_way;
} reload;

static void on_signal(int number)
{
    (void)number;
    stop_asked = 1;
    notify_stopping(&manager);
    if (serving)
        house_stop(serving);
    cli_end_within(stop_s, 0);
}

static void on_hangup(int number)
{
    (void)number;
    reload.asked = 1;
    if (serving) {
        house_reload(serving);
        loop_poke(house_loop(serving));
    }
}

/* At the end of each turn, behind the server's own hook: tells the manager that a reload has begun,
 * and that it is over. */
static bool tell_of_reload(struct loop_hook *h)
{
    (void)h;
    if (reload.asked) {
        reload.asked = 0;
        reload.under_way = true;
        notify_reloading(&manager);
    }
    if (reload.under_way && !house_reloading(serving)) {
        reload.under_way = false;
        notify_ready(&manager, house_loop(serving), NULL);
    }
    return false;
}

/* SIGHUP reads the certificate anew, and ends nothing: not where there is none, and not while
 * stores are still being opened. */
static void catch_hangup(void)
{
    struct sigaction a = {.sa_handler = on_hangup, .sa_flags = SA_RESTART};
    sigemptyset(&a.sa_mask);
    sigaction(SIGHUP, &a, NULL);
}

static bool goes_on(void *ctx)
{
    (void)ctx;
    return !stop_asked;
}

/* The first SIGTERM or SIGINT ends gracefully, also while stores are still being opened: a database
 * that hangs keeps a start waiting, and the first process of a container is ended by no signal that
 * it does not take; a second one ends at once, which is safe by the
 * promise of every answer. */
static void catch_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&a.sa_mask);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGINT, &a, NULL);
}

/* As many descriptors as we may have: a connection is one. */
static void raise_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

static kf_rc add_flag(struct cli *cli, const char *path, const char *value, struct kf_err *err)
{
    if (cli->flag_count == SETTING_COUNT)
        return cli_usage(err, "too many settings");
    cli->flags[cli->flag_count++] = (struct config_flag){path, value};
    return KF_OK;
}

/* --listen may stand more than once; the setting is a list with commas. */
static kf_rc listen_flag(struct cli *cli, struct kf_err *err)
{
    struct buf b = BUF_INIT;
    kf_rc rc = KF_OK;
    for (size_t i = 0; i < cli->repeat_count[OPT_LISTEN]; i++) {
        if (i)
            buf_byte(&b, ',');
        buf_c(&b, cli->repeat[OPT_LISTEN][i]);
    }
    if (b.len) {
        char *value = arena_dup(&cli->arena, buf_view(&b));
        rc = value ? add_flag(cli, "listen", value, err) : err_nomem(err);
    }
    buf_release(&b);
    return rc;
}

static kf_rc serve_config(struct cli *cli, struct config **ret, struct kf_err *err)
{
    kf_rc rc = listen_flag(cli, err);
    if (rc == KF_OK && cli->opt[OPT_DATA])
        rc = add_flag(cli, "data", cli->opt[OPT_DATA], err);
    if (rc != KF_OK)
        return rc;
    const char *data = cli->opt[OPT_DATA] ? cli->opt[OPT_DATA] : "./data";
    return cli_config(cli, db_is_url(data) ? NULL : data, ret, err);
}

static kf_rc serve_log(struct cli *cli, const struct config *config, struct log **ret,
                       struct kf_err *err)
{
    enum log_level level = LOG_INFO;
    log_level_parse(config->log_level, &level);
    return log_new(cli->env, STDERR_FILENO,
                   str_is(config->log_format, "json") ? LOG_JSON : LOG_TEXT, level, ret, err);
}

/* Opens every address; the first TCP one is what the ready line names. */
static kf_rc listen_all(struct house *h, const struct config *config, const char *socket,
                        struct buf *shown, struct kf_err *err)
{
    struct buf unix_address = BUF_INIT, one = BUF_INIT;
    kf_rc rc = KF_OK;
    for (size_t i = 0; i < config->listen_count && rc == KF_OK; i++) {
        buf_clear(&one);
        rc = house_listen(h, config->listen[i], &one, err);
        if (shown->len)
            buf_c(shown, " ");
        buf_str(shown, buf_view(&one));
    }
    buf_c(&unix_address, "unix:");
    buf_c(&unix_address, socket ? socket : "");
    buf_clear(&one);
    if (rc == KF_OK && socket)
        rc = house_listen(h, buf_view(&unix_address), &one, err);
    buf_release(&unix_address);
    buf_release(&one);
    return rc;
}

static void say_ready(const struct cli *cli, struct house *house, const char *shown)
{
    house_settle(house, settle_ms);
    if (cli->json)
        print_fmt("{\"ready\":\"%s\"}\n", shown);
    else
        print_fmt("keepfast ready at %s\n", shown);
    print_flush();
    notify_ready(&manager, house_loop(house), shown);
}

/* Until it is to stop, which may have been asked for before there was a house to tell. */
static void serve(const struct cli *cli, struct house *house, const char *shown)
{
    serving = house;
    if (stop_asked)
        house_stop(house);
    else
        say_ready(cli, house, shown);
    reload.hook.run = tell_of_reload;
    loop_after(house_loop(house), &reload.hook);
    house_run(house);
    loop_after_remove(house_loop(house), &reload.hook);
    serving = NULL;
    notify_close(&manager);
}

kf_rc cmd_serve(struct cli *cli, struct kf_err *err)
{
    struct config *config = NULL;
    struct log *log = NULL;
    struct house *house = NULL;
    struct buf shown = BUF_INIT;
    catch_hangup();
    raise_descriptors();
    notify_open(&manager, cli->env);
    kf_rc rc = serve_config(cli, &config, err);
    if (rc == KF_OK)
        rc = serve_log(cli, config, &log, err);
    if (rc != KF_OK)
        goto out;
    char *dir = arena_dup(&cli->arena, config->data);
    const char *socket = cli->opt[OPT_SOCKET];
    bool shared = dir && db_is_url(dir);
    if (dir && !socket && !shared)
        socket = arena_printf(&cli->arena, "%s/_keepfast.sock", dir);
    if (!dir || (!socket && !shared)) {
        rc = err_nomem(err);
        goto out;
    }
    struct house_options o = {.env = cli->env,
                              .config = config,
                              .log = log,
                              .data_dir = dir,
                              .socket = socket,
                              .start_empty = cli->opt[OPT_START_EMPTY] != NULL,
                              .allow_network_fs = cli->opt[OPT_ALLOW_NETWORK_FS] != NULL,
                              .goes_on = goes_on};
    catch_signals();
    rc = house_new(&o, &house, err);
    if (rc != KF_OK && stop_asked) {
        rc = KF_OK;
        goto out;
    }
    if (rc == KF_BUSY && err && !err->retryable) /* a lasting owner: this start was a mistake */
        err->exit_code = 3;
    if (rc == KF_OK && !stop_asked)
        rc = listen_all(house, config, socket, &shown, err);
    if (rc == KF_OK) {
        serve(cli, house, shown.p);
        rc = house_free(house, err);
        house = NULL;
        if (rc == KF_UNAVAILABLE) { /* said, and safe on disk: the stop itself was clean */
            print_talk("keepfast: %s", err->detail);
            rc = KF_OK;
        }
    }
out:
    notify_close(&manager);
    house_free(house, NULL);
    log_free(log);
    config_free(config);
    buf_release(&shown);
    return rc;
}

kf_rc cmd_config(struct cli *cli, struct kf_err *err)
{
    struct config *config = NULL;
    struct buf b = BUF_INIT;
    kf_rc rc = cli_config(cli, "./data", &config, err);
    if (rc == KF_OK) {
        config_print(config, cli->json, &b);
        rc = buf_ok(&b, err);
    }
    if (rc == KF_OK)
        print_out(buf_view(&b));
    buf_release(&b);
    config_free(config);
    return rc;
}

static kf_rc write_form(const char *form, struct buf *out, struct kf_err *err)
{
    static const struct {
        const char *name;
        void (*write)(struct buf *out);
    } forms[] = {{"man", man_page},
                 {"bash", completion_bash},
                 {"zsh", completion_zsh},
                 {"fish", completion_fish}};
    if (!form || strcmp(form, "markdown") == 0)
        return api_reference(out, err);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(form, forms[i].name) == 0) {
            forms[i].write(out);
            return buf_ok(out, err);
        }
    return cli_usage(err, "there is no form \"%s\": markdown, man, bash, zsh and fish", form);
}

kf_rc cmd_reference(struct cli *cli, struct kf_err *err)
{
    struct buf b = BUF_INIT;
    kf_rc rc = cli->json ? api_openapi(&b, err) : write_form(cli->opt[OPT_FORM], &b, err);
    if (rc == KF_OK)
        print_out(buf_view(&b));
    buf_release(&b);
    return rc;
}

kf_rc cmd_version(struct cli *cli, struct kf_err *err)
{
    (void)err;
    if (cli->json)
        print_fmt("{\"keepfast\":\"%s\",\"sqlite\":\"%s\"}\n", kf_version(), db_engine_version());
    else
        print_fmt("keepfast %s (SQLite %s)\n", kf_version(), db_engine_version());
    return KF_OK;
}
