/* What would be lost if this machine died now, and why: the status on the command line. */
#include "cli/cli.h"

#include "base/when.h"

#include <poll.h>
#include <unistd.h>

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
    table_cell(t, node_text(cli, n, "name"));
    table_cell(t, node_text(cli, n, "state"));
    table_tint(t, state_tint(node_text(cli, n, "state")));
    table_u64(cli, t, node_u64(pending, "count"));
    table_size(cli, t, node_u64(pending, "bytes"));
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

void print_remotes(struct cli *cli, const struct json_node *remotes)
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

/* A remote that is not as it was left: what it still has cannot be told. */
static bool is_doubtful(struct cli *cli, const struct json_node *remote)
{
    str state = node_text(cli, remote, "state");
    return str_is(state, "diverged") || str_is(state, "rolled_back");
}

/* What of it all is where, over all remotes. */
struct loss {
    size_t remotes, whole, doubtful, partial;
    const struct json_node *first_whole, *first_doubtful, *first_partial;
    const struct json_node *least; /* what the remote lacks that lacks least */
};

static struct loss loss_of(struct cli *cli, const struct json_node *remotes)
{
    struct loss l = {0};
    for (const struct json_node *n = remotes ? remotes->child : NULL; n; n = n->next) {
        const struct json_node *pending = json_member(n, "pending");
        uint64_t count = node_u64(pending, "count");
        l.remotes++;
        if (is_doubtful(cli, n)) {
            l.first_doubtful = l.doubtful++ ? l.first_doubtful : n;
        } else if (count) {
            if (!l.least || count < node_u64(l.least, "count"))
                l.least = pending;
        } else if (json_member(n, "docs")) {
            l.first_partial = l.partial++ ? l.first_partial : n;
        } else if (node_true(n, "hydrated")) {
            l.first_whole = l.whole++ ? l.first_whole : n;
        }
    }
    return l;
}

static void say_least(struct cli *cli, const struct json_node *p)
{
    uint64_t count = node_u64(p, "count");
    print_fmt("%sIf this machine died now: %llu change%s, %.*s, the oldest %.*s.%s\n",
              tint_on(TINT_WARN), (unsigned long long)count, count == 1 ? "" : "s",
              STR_ARGS(cli_size(cli, node_u64(p, "bytes"))), STR_ARGS(node_age(cli, p, "oldest")),
              tint_off());
}

/* Nothing is pending where it is to go; what goes nowhere is not counted. */
static void say_partial(struct cli *cli, const struct json_node *remote)
{
    print_fmt(
        "%sIf this machine died now, documents that no remote takes would be lost: %.*s takes",
        tint_on(TINT_WARN), STR_ARGS(node_text(cli, remote, "name")));
    const struct json_node *docs = json_member(remote, "docs");
    for (const struct json_node *n = docs ? docs->child : NULL; n; n = n->next)
        print_fmt("%s%.*s", n == docs->child ? " " : ", ",
                  STR_ARGS(json_text(n->raw, &cli->arena)));
    print_fmt(".%s\n", tint_off());
}

static void say_loss(struct cli *cli, const struct json_node *root)
{
    struct loss l = loss_of(cli, json_member(root, "remotes"));
    str level = node_text(cli, json_member(root, "store"), "level");
    if (!l.remotes && str_is(level, "shared"))
        print_line(STR("Everything is in its database, which its own backups keep."));
    else if (!l.remotes)
        print_line(
            STR("No remote: everything is on this disk alone. keepfast remote add makes one."));
    else if (l.whole && l.whole < l.remotes)
        print_fmt("%sIf this machine died now, nothing would be lost: %.*s has everything.%s\n",
                  tint_on(TINT_GOOD), STR_ARGS(node_text(cli, l.first_whole, "name")), tint_off());
    else if (l.least)
        say_least(cli, l.least);
    else if (l.doubtful)
        print_fmt("%sWhat would be lost if this machine died now cannot be told: %.*s is not as it "
                  "was left.%s\n",
                  tint_on(TINT_BAD), STR_ARGS(node_text(cli, l.first_doubtful, "name")),
                  tint_off());
    else if (l.partial)
        say_partial(cli, l.first_partial);
    else
        print_fmt("%sIf this machine died now, nothing would be lost.%s\n", tint_on(TINT_GOOD),
                  tint_off());
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

/* One line; nothing where there are no streams. */
static void say_streams(struct cli *cli, const struct json_node *s)
{
    uint64_t streams = node_u64(s, "streams"), entries = node_u64(s, "entries");
    uint64_t hits = node_u64(s, "window_hits"), reads = hits + node_u64(s, "window_misses");
    if (!streams)
        return;
    print_fmt("%llu stream%s, %llu entr%s, %.*s; %llu in memory, %.*s", (unsigned long long)streams,
              streams == 1 ? "" : "s", (unsigned long long)entries, entries == 1 ? "y" : "ies",
              STR_ARGS(cli_size(cli, node_u64(s, "entry_bytes"))),
              (unsigned long long)node_u64(s, "windows"),
              STR_ARGS(cli_size(cli, node_u64(s, "window_bytes"))));
    if (reads)
        print_fmt(", %llu of %llu reads answered there", (unsigned long long)hits,
                  (unsigned long long)reads);
    print_line(STR(""));
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
    bool shared = str_is(node_text(cli, s, "level"), "shared");
    print_fmt("\n%s%.*s%s: %s%.*s%s%s%.*s, %llu document%s, %.*s on disk", tint_on(TINT_STRONG),
              STR_ARGS(node_text(cli, root, "space")), tint_off(), tint_on(state_tint(state)),
              STR_ARGS(state), tint_off(), reason.len ? " - " : "", STR_ARGS(reason),
              (unsigned long long)node_u64(s, "docs"), node_u64(s, "docs") == 1 ? "" : "s",
              STR_ARGS(cli_size(cli, node_u64(s, "disk_bytes"))));
    if (shared)
        print_line(STR(""));
    else
        print_fmt(", %.*s free\n", STR_ARGS(cli_size(cli, node_u64(s, "disk_free"))));
    say_streams(cli, s);
    if (node_u64(s, "quota_bytes"))
        print_fmt("%.*s of its quota of %.*s used\n",
                  STR_ARGS(cli_size(cli, node_u64(s, "used_bytes"))),
                  STR_ARGS(cli_size(cli, node_u64(s, "quota_bytes"))));
    const struct json_node *remotes = json_member(root, "remotes");
    if (remotes && remotes->count) {
        print_line(STR(""));
        print_remotes(cli, remotes);
    }
    const struct json_node *tracked = json_member(root, "tracked");
    if (tracked && tracked->type == JSON_OBJECT)
        print_tracked(cli, tracked);
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
