/* Words to commands. */
#include "cli/table.h"

#include "base/hash.h"
#include "base/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* ----------------------------------------------------------------------------------------- help */

static void help_command(const struct command *c)
{
    print_fmt("keepfast %s %s\n    %s\n\n", c->words, c->args, c->summary);
    for (int o = 0; o < OPT_COUNT; o++)
        if (option_fits((enum option)o, c)) {
            char left[40];
            snprintf(left, sizeof left, "--%s %s", option_table[o].name,
                     option_table[o].value ? option_table[o].value : "");
            print_fmt("  %-24s %s\n", left, option_table[o].help);
        }
    if (strcmp(c->words, "serve") == 0)
        print_fmt("\nEvery setting is an option too (keepfast config lists them): --pool.max 5\n");
}

static void help_line(const struct command *c, struct buf *out)
{
    enum { WIDTH = 28 };
    char left[48];
    int columns = 0;
    snprintf(left, sizeof left, "%s %s", c->words, c->args);
    for (const char *p = left; *p; p++)
        columns += (*p & 0xc0) != 0x80; /* of one that takes several bytes, the first */
    buf_printf(out, "  %s%*s %s\n", left, columns < WIDTH ? WIDTH - columns : 0, "", c->summary);
}

static void help_all(struct buf *out)
{
    buf_c(out,
          "keepfast keeps an application's state: on disk at once, at its remotes by itself.\n\n");
    for (size_t i = 0; i < command_count; i++)
        help_line(&command_table[i], out);
    buf_c(out,
          "\nkeepfast COMMAND --help has the options. Every command takes --at PLACE and --json.\n"
          "Exit status: 0 done, 1 not found or different, 2 usage, 5 conflict, 6 a remote is away\n"
          "(everything is safe here), 10 busy; docs/reference.md has them all.\n");
}

/* The commands whose first word is `word`: those of `keepfast remote`. False when there are
 * none. */
static bool help_group(const char *word, struct buf *out)
{
    bool any = false;
    for (size_t i = 0; i < command_count; i++) {
        str words = str_of(command_table[i].words), first = {words.p, str_index(words, ' ')};
        if (first.len == words.len || !str_is(first, word))
            continue;
        help_line(&command_table[i], out);
        any = true;
    }
    return any;
}

/* -------------------------------------------------------------------------------------- parsing */

/* Letters to change to make `a` of `b`, small strings only: for "did you mean". */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], la = strlen(a), lb = strlen(b);
    if (la >= 63 || lb >= 63)
        return 99;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[lb];
}

/* The second words of a group, for the one line that an error may have. */
static kf_rc unfinished_group(const char *word, struct kf_err *err)
{
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < command_count; i++) {
        str words = str_of(command_table[i].words), first = {words.p, str_index(words, ' ')};
        if (first.len < words.len && str_is(first, word))
            buf_printf(&b, "%s%.*s", b.len ? ", " : "", STR_ARGS(str_from(words, first.len + 1)));
    }
    kf_rc rc = b.len && !b.failed ? cli_usage(err, "keepfast %s what? %s", word, b.p) : KF_OK;
    buf_release(&b);
    return rc;
}

static kf_rc unknown_command(const char *word, struct kf_err *err)
{
    char near[64] = "";
    size_t best = 3;
    kf_rc rc = unfinished_group(word, err);
    if (rc != KF_OK)
        return rc;
    for (size_t i = 0; i < command_count; i++) {
        char first[64];
        const char *words = command_table[i].words;
        snprintf(first, sizeof first, "%.*s", (int)str_index(str_of(words), ' '), words);
        size_t d = distance(word, first);
        if (d < best) {
            best = d;
            memcpy(near, first, sizeof near);
        }
    }
    if (*near)
        return cli_usage(err, "there is no command \"%s\"; did you mean %s?", word, near);
    return cli_usage(err, "there is no command \"%s\"; keepfast --help lists them", word);
}

/* The command of the first words; *used: how many of them. */
static const struct command *find_command(char **argv, int argc, int *used)
{
    char two[64] = "";
    if (argc >= 2)
        snprintf(two, sizeof two, "%s %s", argv[0], argv[1]);
    for (size_t i = 0; i < command_count; i++) {
        bool pair = strcmp(command_table[i].words, two) == 0;
        if (pair || strcmp(command_table[i].words, argv[0]) == 0) {
            *used = pair && strchr(two, ' ') && strchr(command_table[i].words, ' ') ? 2 : 1;
            return &command_table[i];
        }
    }
    return NULL;
}

static bool looks_secret(const char *name)
{
    return strcmp(name, "token") == 0 || strcmp(name, "password") == 0 ||
           strcmp(name, "key-text") == 0;
}

static kf_rc take_setting(struct cli *cli, const struct command *c, str name, const char *value,
                          struct kf_err *err)
{
    bool serves = strcmp(c->words, "serve") == 0 || strcmp(c->words, "config") == 0;
    if (!serves && (str_is(name, "data") || str_is(name, "listen")))
        return cli_usage(err, "--%.*s is the server's; a command is told its store with --at",
                         STR_ARGS(name));
    for (int i = 0; i < SETTING_COUNT; i++)
        if (str_is(name, setting_table[i].path) && cli->flag_count < SETTING_COUNT) {
            cli->flags[cli->flag_count++] = (struct config_flag){setting_table[i].path, value};
            return KF_OK;
        }
    return cli_usage(err, "there is no option --%.*s; add --help for those there are",
                     STR_ARGS(name));
}

/* One argument that begins with --. *next is what follows it. *ret_took: whether it was used as the
 * value. */
static kf_rc take_option(struct cli *cli, const struct command *c, const char *arg,
                         const char *next, bool *ret_took, struct kf_err *err)
{
    str name = {arg + 2, str_index(str_of(arg + 2), '=')};
    const char *inline_value = arg[2 + name.len] == '=' ? arg + 3 + name.len : NULL;
    char text[64];
    snprintf(text, sizeof text, "%.*s", STR_ARGS(name));
    *ret_took = false;
    if (looks_secret(text))
        return cli_usage(
            err, "a secret on the command line is seen by everybody here; use --token-file or "
                 "KEEPFAST_TOKEN");
    for (int i = 0; i < OPT_COUNT; i++) {
        if (!str_is(name, option_table[i].name) || !option_fits((enum option)i, c))
            continue;
        bool wants = option_table[i].value != NULL;
        if (!wants && inline_value)
            return cli_usage(err, "--%s takes no value", text);
        const char *value = !wants ? "" : inline_value ? inline_value : next;
        if (!value)
            return cli_usage(err, "--%s needs a value: %s", text, option_table[i].value);
        *ret_took = wants && !inline_value;
        cli->opt[i] = value;
        if (cli->repeat_count[i] < CLI_REPEAT_MAX)
            cli->repeat[i][cli->repeat_count[i]++] = value;
        return KF_OK;
    }
    *ret_took = !inline_value;
    if (!inline_value && !next)
        return cli_usage(err, "there is no option --%s; add --help for those there are", text);
    return take_setting(cli, c, name, inline_value ? inline_value : next, err);
}

static bool is_long(const char *arg)
{
    return strncmp(arg, "--", 2) == 0;
}

/* The two letters that everybody types: "-n 5" and "-n5" are --last, -f is --follow. NULL when it
 * is none that the command takes. */
static const char *long_form(struct cli *cli, const struct command *c, const char *arg)
{
    if (arg[0] != '-')
        return NULL;
    if (arg[1] == 'f' && !arg[2] && option_fits(OPT_FOLLOW, c))
        return "--follow";
    if (arg[1] == 'n' && option_fits(OPT_LAST, c))
        return arg[2] ? arena_printf(&cli->arena, "--last=%s", arg + 2) : "--last";
    return NULL;
}

static kf_rc parse(struct cli *cli, const struct command *c, char **argv, int argc,
                   struct kf_err *err)
{
    bool only_args = false;
    for (int i = 0; i < argc; i++) {
        bool took = false;
        if (!only_args && strcmp(argv[i], "--") == 0) {
            only_args = true;
        } else if (!only_args && (is_long(argv[i]) || long_form(cli, c, argv[i]))) {
            const char *word = is_long(argv[i]) ? argv[i] : long_form(cli, c, argv[i]);
            kf_rc rc = take_option(cli, c, word, i + 1 < argc ? argv[i + 1] : NULL, &took, err);
            if (rc != KF_OK)
                return rc;
            i += took;
        } else if (!only_args && argv[i][0] == '-' && argv[i][1]) {
            return cli_usage(
                err, "options are long here: %s is none; add --help for those there are", argv[i]);
        } else if (cli->arg_count == CLI_ARGS_MAX) {
            return cli_usage(err, "more than %d arguments", CLI_ARGS_MAX);
        } else {
            cli->args[cli->arg_count++] = argv[i];
        }
    }
    return KF_OK;
}

/* Errors of parsing are told as the caller will read them, whichever word stopped it. A --json that
 * turns out to be another option's value counts until then. */
static bool says_json(char **words, int count)
{
    for (int i = 0; i < count && strcmp(words[i], "--") != 0; i++)
        if (strcmp(words[i], "--json") == 0)
            return true;
    return false;
}

/* Least and most arguments that the form allows: words in brackets may be left out, a `…` takes any
 * number. */
static kf_rc check_count(const struct cli *cli, const struct command *c, struct kf_err *err)
{
    size_t least = 0, most = 0;
    int depth = 0;
    for (str rest = str_of(c->args); rest.len;) {
        str w = {rest.p, str_index(rest, ' ')};
        rest = str_from(rest, w.len + 1);
        depth += str_starts(w, STR("["));
        most++;
        least += depth == 0;
        if (str_index(w, ']') < w.len)
            depth = 0;
        if (str_has(w, "…"))
            most = CLI_ARGS_MAX;
    }
    if (cli->arg_count < least || cli->arg_count > most)
        return cli_usage(err, "usage: keepfast %s %s", c->words, c->args);
    return KF_OK;
}

/* ------------------------------------------------------------------------------------------ main
 */

static int fail(const struct cli *cli, const struct kf_err *err)
{
    if (cli->json) {
        struct buf b = BUF_INIT;
        buf_c(&b, "{\"code\":");
        buf_json_string(&b, str_of(err->code));
        buf_c(&b, ",\"detail\":");
        buf_json_string(&b, str_of(err->detail));
        if (err->offset >= 0)
            buf_printf(&b, ",\"offset\":%lld", (long long)err->offset);
        if (err->entry)
            buf_printf(&b, ",\"n\":%llu", (unsigned long long)err->entry);
        if (err->etag[0]) {
            buf_printf(&b, ",\"version\":%llu,\"etag\":", (unsigned long long)err->version);
            buf_json_string(&b, str_of(err->etag));
        }
        buf_c(&b, "}");
        fprintf(stderr, "%s\n", b.failed ? err->detail : b.p);
        buf_release(&b);
    } else {
        print_failure(err->detail);
    }
    return err->exit_code ? err->exit_code : 70;
}

/* "--at", whose value is the next word; "--at=PLACE" brings its own. */
static bool takes_next(const char *word)
{
    for (int o = 0; o < OPT_COUNT; o++)
        if (option_is_common((enum option)o) && option_table[o].value &&
            strcmp(word + strlen("--"), option_table[o].name) == 0)
            return true;
    return false;
}

/* Options may stand before the command too: `keepfast --at PLACE get NAME`. The index of the
 * command's first word, argc when there is none. */
static int first_word(int argc, char **argv)
{
    int i = 1;
    while (i < argc && strncmp(argv[i], "--", 2) == 0)
        i += takes_next(argv[i]) ? 2 : 1;
    return i < argc ? i : argc;
}

static kf_rc run_command(struct cli *cli, const struct command *c, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    if (cli->opt[OPT_HELP])
        help_command(c);
    else if ((rc = check_count(cli, c, err)) == KF_OK)
        rc = c->run(cli, err);
    return rc;
}

static int help(const char *group, int status)
{
    struct buf b = BUF_INIT;
    if (!group || !help_group(group, &b))
        help_all(&b);
    if (status == 0)
        print_out(buf_view(&b));
    else
        fwrite(b.p, 1, b.len, stderr);
    buf_release(&b);
    return status;
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

/* `keepfast help`, `keepfast help put`, `keepfast help remote`. */
static int help_about(const struct cli *cli, char **words, int count, struct kf_err *err)
{
    struct buf group = BUF_INIT;
    int used;
    if (count == 0)
        return help(NULL, 0);
    const struct command *c = find_command(words, count, &used);
    bool known = c || help_group(words[0], &group);
    buf_release(&group);
    if (c)
        help_command(c);
    else if (known)
        return help(words[0], 0);
    else
        unknown_command(words[0], err);
    return known ? 0 : fail(cli, err);
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct kf_err err = KF_ERR_INIT;
    int word = first_word(argc, argv), used = 0;
    if (argc < 2)
        return help(NULL, 2);
    cli->json = says_json(argv + 1, argc - 1);
    print_begin(cli);
    if (is_help(argv[1]))
        return help_about(cli, argv + 2, argc - 2, &err);
    if (strcmp(argv[1], "--version") == 0) {
        cmd_version(cli, &err);
        return 0;
    }
    if (word == argc) {
        cli_usage(&err, "say what to do: keepfast --help lists the commands");
        return fail(cli, &err);
    }
    const struct command *c = find_command(argv + word, argc - word, &used);
    if (!c && word + 1 < argc && is_help(argv[word + 1]))
        return help(argv[word], 0);
    if (!c) {
        unknown_command(argv[word], &err);
        return fail(cli, &err);
    }
    kf_rc rc = parse(cli, c, argv + 1, word - 1, &err);
    if (rc == KF_OK)
        rc = parse(cli, c, argv + word + used, argc - word - used, &err);
    if (rc == KF_OK) {
        cli->json = cli->opt[OPT_JSON] != NULL;
        print_begin(cli);
        rc = run_command(cli, c, &err);
        if (rc == KF_OK && cli->starved)
            rc = err_nomem(&err);
    }
    return rc == KF_OK ? cli->status : fail(cli, &err);
}

/* A pipe that was closed ends a command in silence, whatever it was saying; a disk that is full
 * does not. */
static int end_output(int status)
{
    struct kf_err err = KF_ERR_INIT;
    int lost = print_flush();
    if (!lost)
        return status;
    if (lost == EPIPE || lost == EBADF)
        return 141;
    err_errno(&err, lost, "cannot write to standard output");
    print_talk("keepfast: %s", err.detail);
    return err.exit_code;
}

static volatile sig_atomic_t late_status;

static void on_alarm(int number)
{
    static const char said[] = "keepfast: a remote hangs: ended without waiting for it\n";
    (void)number;
    ssize_t written = write(STDERR_FILENO, said, sizeof said - 1);
    (void)written;
    _exit(late_status);
}

void cli_end_within(unsigned seconds, int status)
{
    struct sigaction a = {.sa_handler = on_alarm};
    sigemptyset(&a.sa_mask);
    late_status = status;
    sigaction(SIGALRM, &a, NULL);
    alarm(seconds);
}

/* Remotes have their 10 s (house_free), and no more. */
static void finish(struct cli *cli, int status)
{
    cli_end_within(12, status);
    place_finish(cli);
    cli_end_within(0, status);
}

/* A descriptor of these three that is closed would be given to the next file that is opened, which
 * then is written to as if it were the terminal. */
static void fill_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", O_RDWR); /* seam: a descriptor, not a file of ours */
}

/* A core file would hold the tokens and keys that are in memory. With a limit of 0 the kernel
 * still hands one to a program that collects them (core(5)); with one of a single byte it does
 * neither. */
static void leave_no_core(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_CORE, &r) != 0 || KF_SABOTAGE("core-dumped"))
        return;
    r.rlim_max = r.rlim_max > 1 ? 1 : r.rlim_max;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_CORE, &r);
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    leave_no_core();
    struct cli cli = {.env = env_system(), .tty = isatty(STDERR_FILENO)};
    signal(SIGPIPE, SIG_IGN);
    if (hash_init() != 0) {
        fprintf(stderr, "keepfast: this system gives no randomness\n");
        return 70;
    }
    int status = end_output(run(&cli, argc, argv));
    finish(&cli, status);
    arena_release(&cli.arena);
    return status;
}
