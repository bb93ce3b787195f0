/* Entries of a stream for people: the newest, what follows, a context. */
#include "cli/cli.h"

#include <stdio.h>

char *stream_target(struct cli *cli, const char *tail)
{
    char *key = cli_escape_name(cli, cli->args[0]);
    return key ? arena_printf(&cli->arena, "/streams/%s%s", key, tail) : NULL;
}

static enum tint tint_of(str kind)
{
    if (str_is(kind, "user"))
        return TINT_STRONG;
    if (str_is(kind, "assistant"))
        return TINT_GOOD;
    return str_is(kind, "system") || str_is(kind, "tool") ? TINT_WARN : TINT_NONE;
}

str entry_text(struct cli *cli, const struct json_node *entry)
{
    const struct json_node *body = json_member(entry, "body");
    const struct json_node *text = body ? json_member(body, "text") : NULL;
    if (text && text->type == JSON_STRING)
        return node_text(cli, body, "text");
    if (body && body->type == JSON_STRING)
        return node_text(cli, entry, "body");
    return body ? body->raw : STR("");
}

void print_entry(struct cli *cli, const struct json_node *entry)
{
    str kind = node_text(cli, entry, "kind"), stream = node_text(cli, entry, "stream");
    char *about = arena_printf(&cli->arena, "%.*s%s%llu%s%.*s, %.*s", STR_ARGS(stream),
                               stream.len ? " " : "", (unsigned long long)node_u64(entry, "n"),
                               kind.len ? " " : "", STR_ARGS(kind),
                               STR_ARGS(node_age(cli, entry, "at")));
    cli->starved |= !about;
    if (about)
        print_about(tint_of(kind), str_of(about), entry_text(cli, entry));
}

/* The entries of an answer. */
static kf_rc print_entries(struct cli *cli, const struct json_node *root, struct kf_err *err)
{
    const struct json_node *items = json_member(root, "items");
    kf_rc rc = KF_OK;
    for (const struct json_node *n = items ? items->child : NULL; rc == KF_OK && n; n = n->next) {
        if (cli->json)
            rc = print_json_line(n, err);
        else
            print_entry(cli, n);
    }
    return rc;
}

/* How far somebody has followed a stream. A key that is erased and made anew, a store that is
 * restored or filled again: `born` is another one then. It may be the same stream all the same, or
 * another one that has these numbers, too: the entry that was shown last tells. */
struct seen {
    uint64_t last;    /* number of the entry that was shown last; 0 = none was */
    struct buf text;  /* that entry, as the answer had it */
    struct buf born;  /* of the stream that it is of */
    uint64_t damaged; /* entries that could not be shown */
    bool waits;       /* for the next one */
    bool expected;    /* the stream: it has not been there yet */
};

static void seen_release(struct seen *seen)
{
    buf_release(&seen->text);
    buf_release(&seen->born);
}

static kf_rc keep_born(struct cli *cli, const struct json_node *root, struct seen *seen,
                       struct kf_err *err)
{
    buf_clear(&seen->born);
    buf_str(&seen->born, node_text(cli, root, "born"));
    return buf_ok(&seen->born, err);
}

/* What was not seen yet. */
static kf_rc show(struct cli *cli, const struct json_node *root, struct seen *seen,
                  struct kf_err *err)
{
    const struct json_node *items = json_member(root, "items"), *last = NULL;
    kf_rc rc = print_entries(cli, root, err);
    for (const struct json_node *n = items ? items->child : NULL; n; n = n->next)
        last = n;
    if (rc == KF_OK && last) {
        seen->last = node_u64(last, "n");
        buf_clear(&seen->text);
        buf_str(&seen->text, last->raw);
        rc = buf_ok(&seen->text, err);
    }
    return rc == KF_OK ? keep_born(cli, root, seen, err) : rc;
}

static kf_rc ask_at(struct cli *cli, struct place *place, const char *tail,
                    struct json_node **ret_root, struct kf_err *err)
{
    return follow_ask(cli, place, stream_target(cli, tail), ret_root, err);
}

static kf_rc ask_entries(struct cli *cli, const char *tail, struct json_node **ret_root,
                         struct kf_err *err)
{
    struct place *place = NULL;
    kf_rc rc = place_open(cli, &place, err);
    if (rc == KF_OK)
        rc = ask_at(cli, place, tail, ret_root, err);
    place_close(place);
    return rc;
}

/* Whether the entry that was shown last is still what has its number. */
static kf_rc is_there(struct cli *cli, struct place *place, const struct seen *seen, bool *ret,
                      struct kf_err *err)
{
    struct json_node *root = NULL;
    char tail[100];
    snprintf(tail, sizeof tail, "/entries?after=%llu&limit=1", (unsigned long long)seen->last - 1);
    kf_rc rc = ask_at(cli, place, tail, &root, err);
    const struct json_node *items = rc == KF_OK ? json_member(root, "items") : NULL;
    *ret = items && items->child && str_eq(items->child->raw, buf_view(&seen->text));
    return rc;
}

/* *ret_anew: what was answered is of another stream, which is shown from its beginning. */
static kf_rc look_for_new_life(struct cli *cli, struct place *place, const struct json_node *root,
                               struct seen *seen, bool *ret_anew, struct kf_err *err)
{
    bool same = str_eq(node_text(cli, root, "born"), buf_view(&seen->born)) || !seen->last ||
                !seen->born.len;
    kf_rc rc = same ? KF_OK : is_there(cli, place, seen, &same, err);
    *ret_anew = rc == KF_OK && !same;
    if (!*ret_anew)
        return rc;
    print_talk("%s: the stream has begun anew", cli->args[0]);
    seen->last = 0;
    return keep_born(cli, root, seen, err);
}

/* A page that a damaged entry is on fails, and the problem names it. So shorter ones are asked for,
 * up to it; KF_DAMAGED: it is the next one. */
static kf_rc ask_behind(struct cli *cli, struct place *place, const struct seen *seen,
                        struct json_node **ret_root, struct kf_err *err)
{
    uint64_t limit = 1000;
    char wait[40] = "", tail[140];
    if (seen->waits)
        snprintf(wait, sizeof wait, "&follow=%dms", FOLLOW_MS);
    for (;;) {
        snprintf(tail, sizeof tail, "/entries?after=%llu&limit=%llu%s",
                 (unsigned long long)seen->last, (unsigned long long)limit, wait);
        kf_rc rc = ask_at(cli, place, tail, ret_root, err);
        uint64_t between = err->entry - seen->last - 1;
        if (rc != KF_DAMAGED || err->entry <= seen->last || !between || limit == 1)
            return rc;
        limit = between < limit / 2 ? between : limit / 2;
    }
}

static void pass_over(struct cli *cli, struct seen *seen, const struct kf_err *err)
{
    print_talk("%s: entry %llu is damaged", cli->args[0], (unsigned long long)err->entry);
    seen->last = err->entry;
    seen->damaged++;
    buf_clear(&seen->text);
}

/* Who follows may be there before what he follows. A space that is not there is a mistake. */
static bool is_to_come(const struct kf_err *err)
{
    return strcmp(err->code, "not_found") == 0;
}

/* What is behind the last one seen, or comes within FOLLOW_MS where a server waits for it. */
static kf_rc print_behind(struct cli *cli, struct place *place, void *ctx, bool *ret_any,
                          struct kf_err *err)
{
    struct seen *seen = ctx;
    struct json_node *root = NULL;
    uint64_t before = seen->last;
    bool anew = false;
    kf_rc rc = ask_behind(cli, place, seen, &root, err);
    if (rc == KF_DAMAGED && err->entry > seen->last) {
        pass_over(cli, seen, err);
        err_clear(err);
        *ret_any = true;
        return KF_OK;
    }
    if (rc == KF_ABSENT && seen->expected && is_to_come(err)) {
        err_clear(err);
        return KF_OK;
    }
    seen->expected &= rc != KF_OK;
    if (rc == KF_OK)
        rc = look_for_new_life(cli, place, root, seen, &anew, err);
    if (rc == KF_OK && !anew)
        rc = show(cli, root, seen, err);
    *ret_any = anew || seen->last != before;
    return rc;
}

/* The newest by their numbers, around what is damaged. */
static kf_rc tail_around(struct cli *cli, uint64_t count, struct seen *seen, struct kf_err *err)
{
    struct place *place = NULL;
    struct json_node *root = NULL;
    bool any = true;
    err_clear(err);
    kf_rc rc = place_open(cli, &place, err);
    if (rc == KF_OK)
        rc = ask_at(cli, place, "", &root, err);
    uint64_t last = rc == KF_OK ? node_u64(root, "last_n") : 0;
    seen->last = last > count ? last - count : 0;
    while (rc == KF_OK && any)
        rc = print_behind(cli, place, seen, &any, err);
    place_close(place);
    return rc;
}

static kf_rc expect(struct cli *cli, struct seen *seen, struct kf_err *err)
{
    print_talk("keepfast: %s yet; waiting for it", err->detail);
    err_clear(err);
    seen->expected = true;
    return KF_OK;
}

static kf_rc say_damage(const struct seen *seen, struct kf_err *err)
{
    return err_set(err, PROBLEM_DAMAGED,
                   "%llu of these entries %s damaged; `keepfast verify` lists what is. Bring them "
                   "back from a backup or a remote",
                   (unsigned long long)seen->damaged, seen->damaged == 1 ? "is" : "are");
}

kf_rc cmd_tail(struct cli *cli, struct kf_err *err)
{
    struct json_node *root = NULL;
    struct seen seen = {.text = BUF_INIT, .born = BUF_INIT};
    uint64_t count = 10;
    const char *given = cli->opt[OPT_LAST];
    if (given && (!str_to_u64(str_of(given), &count) || count < 1 || count > 1000))
        return cli_usage(err, "-n wants a number from 1 to 1000");
    char *tail = arena_printf(&cli->arena, "/entries?last=%llu", (unsigned long long)count);
    if (!tail)
        return err_nomem(err);
    if (cli->json && !cli->opt[OPT_FOLLOW]) {
        struct cli_answer a;
        struct cli_request r = {.method = API_GET, .target = stream_target(cli, tail)};
        return cli_ask(cli, &r, &a, NULL, err);
    }
    kf_rc rc = ask_entries(cli, tail, &root, err);
    if (rc == KF_OK)
        rc = show(cli, root, &seen, err);
    else if (rc == KF_DAMAGED && err->entry)
        rc = tail_around(cli, count, &seen, err);
    else if (rc == KF_ABSENT && cli->opt[OPT_FOLLOW] && is_to_come(err))
        rc = expect(cli, &seen, err);
    seen.waits = true;
    if (rc == KF_OK && seen.damaged && !cli->opt[OPT_FOLLOW])
        rc = say_damage(&seen, err);
    else if (rc == KF_OK && cli->opt[OPT_FOLLOW])
        rc = follow_on(cli, print_behind, &seen, err);
    seen_release(&seen);
    return rc;
}

kf_rc cmd_context(struct cli *cli, struct kf_err *err)
{
    struct json_node *root = NULL;
    struct cli_answer a;
    struct buf target = BUF_INIT;
    char *start = stream_target(cli, "/context");
    buf_c(&target, start ? start : "");
    cli_query(cli, &target, "entries", cli->opt[OPT_ENTRIES]);
    cli_query(cli, &target, "bytes", cli->opt[OPT_BYTES]);
    cli_query(cli, &target, "across", cli->opt[OPT_ACROSS]);
    kf_rc rc = start ? buf_ok(&target, err) : err_nomem(err);
    struct cli_request r = {.method = API_GET, .target = target.p};
    if (rc == KF_OK)
        rc = cli_ask(cli, &r, &a, &root, err);
    if (rc == KF_OK && !cli->json)
        rc = print_entries(cli, root, err);
    buf_release(&target);
    return rc;
}
