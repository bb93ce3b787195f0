/* The store as a whole on the command line: status, remotes, sync, backup, restore, verify, digest,
 * spaces. */
#include "cli/cli.h"

#include "base/secret.h"
#include "base/when.h"
#include "remote/git_url.h"
#include "remote/remote.h"

#include <poll.h>
#include <unistd.h>

static str human_size(struct cli *cli, uint64_t v)
{
    struct buf b = BUF_INIT;
    size_human(v, &b);
    str s = arena_str(&cli->arena, buf_view(&b));
    buf_release(&b);
    return s.p ? s : STR("");
}

/* --------------------------------------------------------------------------------------- status */

/* Of a state of the store or of a remote. */
static enum tint state_tint(str state)
{
    static const struct {
        const char *state;
        enum tint tint;
    } known[] = {{"open", TINT_GOOD},     {"hydrating", TINT_WARN}, {"full", TINT_BAD},
                 {"read_only", TINT_BAD}, {"idle", TINT_GOOD},      {"running", TINT_GOOD},
                 {"retrying", TINT_WARN}, {"diverged", TINT_BAD},   {"rolled_back", TINT_BAD},
                 {"auth", TINT_BAD}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_is(state, known[i].state))
            return known[i].tint;
    return TINT_NONE;
}

static void remote_row(struct cli *cli, struct table *t, const struct json_node *n)
{
    const struct json_node *pending = json_member(n, "pending"),
                           *failed = json_member(n, "last_error");
    char *count = arena_printf(&cli->arena, "%llu", (unsigned long long)node_u64(pending, "count"));
    table_cell(t, node_text(cli, n, "name"));
    table_cell(t, node_text(cli, n, "state"));
    table_tint(t, state_tint(node_text(cli, n, "state")));
    cli->starved |= !count;
    table_cell(t, str_of(count ? count : ""));
    table_cell(t, human_size(cli, node_u64(pending, "bytes")));
    table_cell(t, node_u64(pending, "count") ? node_age(cli, pending, "oldest") : STR("-"));
    table_cell(t, node_age(cli, n, "confirmed"));
    if (node_text(cli, n, "overdue_since").len) {
        table_cell(t, STR("OVERDUE"));
        table_tint(t, TINT_BAD);
    } else {
        table_cell(t, node_text(cli, n, "next_run").len ? node_age(cli, n, "next_run") : STR("-"));
    }
    table_cell(t, failed && failed->type == JSON_OBJECT ? node_text(cli, failed, "code") : STR(""));
    table_tint(t, TINT_BAD);
}

static void remote_table(struct cli *cli, const struct json_node *remotes)
{
    static const char *const heads[] = {"REMOTE", "STATE",     "PENDING",  "SIZE",
                                        "OLDEST", "CONFIRMED", "NEXT RUN", "LAST ERROR"};
    struct table *t = table_new(cli, heads, 8);
    for (const struct json_node *n = remotes ? remotes->child : NULL; n && t; n = n->next)
        remote_row(cli, t, n);
    table_print(t);
    for (const struct json_node *n = remotes ? remotes->child : NULL; n; n = n->next) {
        const struct json_node *failed = json_member(n, "last_error");
        str key = node_text(cli, n, "key");
        if (node_true(n, "encrypted"))
            print_fmt("%.*s: encrypted, %s%.*s\n", STR_ARGS(node_text(cli, n, "name")),
                      key.len ? "key " : "its key cannot be read", STR_ARGS(key));
        if (failed && failed->type == JSON_OBJECT)
            print_about(TINT_BAD, node_text(cli, n, "name"), node_text(cli, failed, "detail"));
        if (node_u64(n, "set_aside"))
            print_fmt("%s%.*s:%s %llu set aside; keepfast set-aside ls %.*s\n", tint_on(TINT_WARN),
                      STR_ARGS(node_text(cli, n, "name")), tint_off(),
                      (unsigned long long)node_u64(n, "set_aside"),
                      STR_ARGS(node_text(cli, n, "name")));
    }
}

static void say_loss(struct cli *cli, const struct json_node *root)
{
    const struct json_node *p = json_member(root, "pending"),
                           *remotes = json_member(root, "remotes");
    uint64_t count = node_u64(p, "count");
    if (!remotes || !remotes->count)
        print_line(
            STR("No remote: everything is on this disk alone. keepfast remote add makes one."));
    else if (!count)
        print_fmt("%sIf this machine died now, nothing would be lost.%s\n", tint_on(TINT_GOOD),
                  tint_off());
    else
        print_fmt("%sIf this machine died now: %llu document%s, %.*s, the oldest change %.*s.%s\n",
                  tint_on(TINT_WARN), (unsigned long long)count, count == 1 ? "" : "s",
                  STR_ARGS(human_size(cli, node_u64(p, "bytes"))),
                  STR_ARGS(node_age(cli, p, "oldest")), tint_off());
}

/* One or two lines; nothing where no backups are configured. */
static void say_backups(struct cli *cli, const struct json_node *b)
{
    if (!b || b->type != JSON_OBJECT)
        return;
    const struct json_node *last = json_member(b, "last"), *failed = json_member(b, "last_error"),
                           *drill = json_member(b, "drill");
    bool made = last && last->type == JSON_OBJECT;
    bool late = node_text(cli, b, "overdue_since").len > 0;
    print_fmt("\nLast backup: %.*s%s%.*s%s%s%s",
              STR_ARGS(made ? node_age(cli, last, "at") : STR("none")), made ? ", " : "",
              STR_ARGS(made ? node_text(cli, last, "file") : STR("")),
              late ? tint_on(TINT_BAD) : "", late ? ", OVERDUE" : "", late ? tint_off() : "");
    if (node_text(cli, b, "next").len)
        print_fmt("; next %.*s", STR_ARGS(node_age(cli, b, "next")));
    print_line(STR(""));
    if (failed && failed->type == JSON_OBJECT)
        print_fmt("  it failed %llu times in a row: %.*s\n",
                  (unsigned long long)node_u64(b, "failures"),
                  STR_ARGS(node_text(cli, failed, "detail")));
    if (!drill || drill->type != JSON_OBJECT)
        return;
    failed = json_member(drill, "error");
    bool bad = failed && failed->type == JSON_OBJECT;
    print_fmt("Restore drill: %.*s, %.*s: %s%s%s%.*s\n", STR_ARGS(node_age(cli, drill, "at")),
              STR_ARGS(node_text(cli, drill, "file")), tint_on(bad ? TINT_BAD : TINT_GOOD),
              bad ? "NOT PROVED: "
              : node_true(drill, "compared")
                  ? "restored, verified, digest equal"
                  : "restored and verified; its digest is not known here",
              tint_off(), STR_ARGS(bad ? node_text(cli, failed, "detail") : STR("")));
}

static kf_rc show_status(struct cli *cli, struct kf_err *err)
{
    struct cli_request r = {.method = API_GET, .target = "/status"};
    struct cli_answer a;
    struct json_node *root = NULL;
    kf_rc rc = cli_ask(cli, &r, &a, &root, err);
    if (rc != KF_OK || cli->json)
        return rc;
    const struct json_node *s = json_member(root, "store");
    str reason = node_text(cli, s, "reason");
    say_loss(cli, root);
    str state = node_text(cli, s, "state");
    print_fmt("\n%s%.*s%s: %s%.*s%s%s%.*s, %llu document%s, %.*s on disk, %.*s free\n",
              tint_on(TINT_STRONG), STR_ARGS(node_text(cli, root, "space")), tint_off(),
              tint_on(state_tint(state)), STR_ARGS(state), tint_off(), reason.len ? " - " : "",
              STR_ARGS(reason), (unsigned long long)node_u64(s, "docs"),
              node_u64(s, "docs") == 1 ? "" : "s",
              STR_ARGS(human_size(cli, node_u64(s, "disk_bytes"))),
              STR_ARGS(human_size(cli, node_u64(s, "disk_free"))));
    const struct json_node *remotes = json_member(root, "remotes");
    if (remotes && remotes->count) {
        print_line(STR(""));
        remote_table(cli, remotes);
    }
    say_backups(cli, json_member(root, "backups"));
    return KF_OK;
}

/* Again every two seconds: on a terminal in its place, else one after the other. Ends by Ctrl-C, or
 * with a failure. */
static kf_rc watch_status(struct cli *cli, struct kf_err *err)
{
    char now[WHEN_LEN + 1];
    bool terminal = isatty(STDOUT_FILENO) && !cli->json;
    kf_rc rc = KF_OK;
    if (terminal)
        print_out(STR("\x1b[H\x1b[2J"));
    while (rc == KF_OK && print_flush() == 0) {
        if (terminal) {
            print_frame_begin();
            when_format(env_wall_ms(cli->env), now);
            print_fmt("%skeepfast status, %.10s %.8s UTC, again every 2 s; Ctrl-C ends%s\n\n",
                      tint_on(TINT_DIM), now, now + 11, tint_off());
        }
        rc = show_status(cli, err);
        if (terminal && rc == KF_OK)
            print_frame_end();
        else if (terminal)
            print_frame_drop();
        if (rc != KF_OK || print_flush() != 0)
            break;
        poll(NULL, 0, 2000);
        arena_clear(&cli->arena);
    }
    return rc;
}

kf_rc cmd_status(struct cli *cli, struct kf_err *err)
{
    return cli->opt[OPT_WATCH] ? watch_status(cli, err) : show_status(cli, err);
}

/* -------------------------------------------------------------------------------------- remotes */

kf_rc cmd_remote_ls(struct cli *cli, struct kf_err *err)
{
    struct cli_request r = {.method = API_GET, .target = "/remotes?limit=1000"};
    struct cli_answer a;
    struct json_node *root = NULL;
    kf_rc rc = cli_ask(cli, &r, &a, &root, err);
    if (rc == KF_OK && !cli->json)
        remote_table(cli, json_member(root, "items"));
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

/* ----------------------------------------------------------------------------------------- sync */

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
    struct cli_request r = {.method = API_POST, .timeout_ms = (uint32_t)s->timeout_ms + 15000};
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
    struct syncing s = {.timeout_ms = 10000};
    struct json_node *root = NULL;
    const struct json_node *items = NULL;
    if (cli->opt[OPT_TIMEOUT] && !duration_parse(str_of(cli->opt[OPT_TIMEOUT]), &s.timeout_ms))
        return cli_usage(err, "--timeout wants a time such as 10s");
    kf_rc rc = place_open(cli, &s.place, err);
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

/* ---------------------------------------------------------------- backup, restore, verify, digest
 */

static void print_file(const char *path)
{
    struct buf b = BUF_INIT;
    buf_c(&b, "{\"file\":");
    buf_json_string(&b, str_of(path));
    buf_c(&b, "}\n");
    print_out(buf_view(&b));
    buf_release(&b);
}

static void put_query(struct cli *cli, struct buf *target, const char *key, const char *value)
{
    char *escaped = value ? cli_escape(cli, value) : NULL;
    if (value && !escaped)
        cli->starved = true;
    if (!escaped)
        return;
    bool first = str_index(buf_view(target), '?') == target->len;
    buf_printf(target, "%c%s=%s", first ? '?' : '&', key, escaped);
}

/* The target with what is asked for behind it, and the key, whose file is meant as it is seen from
 * here; in the arena. NULL without memory. */
static const char *archive_target(struct cli *cli, const char *path, const char *key,
                                  const char *value)
{
    struct buf target = BUF_INIT;
    const char *file = cli->opt[OPT_KEY_FILE];
    bool good = !file || (file = cli_absolute(cli, file)) != NULL;
    buf_c(&target, path);
    put_query(cli, &target, key, value);
    put_query(cli, &target, "key_file", file);
    put_query(cli, &target, "key_env", cli->opt[OPT_KEY_ENV]);
    good &= !target.failed && !cli->starved;
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
        print_file(cli->args[0]);
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
    print_talk("%llu documents restored, digest %.*s%s%.*s",
               (unsigned long long)node_u64(root, "docs"), STR_ARGS(node_text(cli, root, "digest")),
               kept.len ? "; the old store is kept as " : "", STR_ARGS(kept));
    if (overtaken)
        print_talk("%llu changes were confirmed while this ran: they are in the old store alone",
                   (unsigned long long)overtaken);
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
        print_talk("%llu documents, %llu versions, %.*s read: %s",
                   (unsigned long long)node_u64(root, "docs"),
                   (unsigned long long)node_u64(root, "versions"),
                   STR_ARGS(human_size(cli, node_u64(root, "bytes"))),
                   damaged ? "DAMAGED" : "good");
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

/* --------------------------------------------------------------------------------------- spaces */

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
