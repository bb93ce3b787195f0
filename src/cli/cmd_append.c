/* append: what is typed or piped, as entries of a stream.
 *
 * What becomes an entry
 *
 *     TEXT              an object or a list is the body as it stands; anything else, also 42 or
 *                       true, is {"text": TEXT}, which is where readers look for it
 *     a line of stdin   an object with a member `body` is an entry as HTTP takes it; else as TEXT
 *
 * What begins as an object does and is none is text like any other, and is counted on stderr.
 *
 * Lines are sent together, at most BATCH_LINES and about BATCH_BYTES at a time, and at once when no
 * more is there to be read: who pipes a program that goes on sees each line arrive. While nothing
 * comes the store is let go of, so that others have it.
 *
 * Lines that all have an id may be sent twice without being there twice: a batch of them is sent
 * again while what was in its way may pass. Of others it is not known whether they have arrived,
 * so what was confirmed before is said, and that is the end. */
#include "cli/cli.h"

#include "base/when.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH_LINES 500
#define BATCH_BYTES (1024 * 1024)
/* Answers of so many batches stay in memory. */
#define BATCHES_MAX 64
#define PAUSE_MS    200
#define AGAIN_MS    500
#define PATIENCE_MS 60000

struct appending {
    struct cli *cli;
    struct place *place; /* NULL = none is open */
    const char *target;
    uint32_t timeout_ms;
    struct buf batch; /* "[entry,entry" */
    size_t lines;     /* in the batch */
    size_t with_id;   /* of them */
    size_t batches;   /* since the place was opened */
    uint64_t sent, known, count;
    bool waited;           /* for the rest of a line, since the last batch */
    uint64_t as_text;      /* lines that look like JSON and are none */
    uint64_t bytes, total; /* of standard input; total 0 = not known */
};

static void put_text(struct buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    buf_printf(out, "\"%s\":", name);
    buf_json_string(out, str_of(value));
    buf_byte(out, ',');
}

/* Whether it is an entry already, rather than a body. */
static bool is_entry(const struct json_node *root)
{
    return root->type == JSON_OBJECT && json_member(root, "body");
}

/* The members of an entry as they are, but for the kind, which it may lack. */
static void put_entry(const struct cli *cli, const struct json_node *root, struct buf *out)
{
    bool first = true;
    buf_byte(out, '{');
    if (!json_member(root, "kind"))
        put_text(out, "kind", cli->opt[OPT_KIND]);
    for (const struct json_node *m = root->child; m; m = m->next, first = false) {
        buf_c(out, first ? "" : ",");
        buf_str(out, m->name);
        buf_byte(out, ':');
        buf_str(out, m->raw);
    }
    buf_byte(out, '}');
}

static void put_body(const struct cli *cli, str text, const struct json_node *root, struct buf *out)
{
    bool as_is = root && (root->type == JSON_OBJECT || root->type == JSON_ARRAY);
    buf_byte(out, '{');
    put_text(out, "kind", cli->opt[OPT_KIND]);
    put_text(out, "id", cli->opt[OPT_ID]);
    put_text(out, "at", cli->opt[OPT_TIME]);
    buf_c(out, as_is ? "\"body\":" : "\"body\":{\"text\":");
    if (as_is)
        buf_str(out, text);
    else
        buf_json_string(out, text);
    buf_c(out, as_is ? "}" : "}}");
}

static bool has_id(const struct json_node *root)
{
    const struct json_node *id = json_member(root, "id");
    return id && id->type == JSON_STRING;
}

kf_rc append_line(const struct cli *cli, str text, bool of_lines, struct buf *out,
                  struct append_found *ret_found, struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct json_node *root = NULL;
    kf_rc rc = json_parse(text, NULL, &arena, &root, NULL);
    if (rc != KF_OK)
        root = NULL;
    if (rc == KF_NOMEM) {
        arena_release(&arena);
        return err_nomem(err);
    }
    if (!root && str_utf8_valid(text) != text.len) {
        arena_release(&arena);
        return cli_usage(err, "the text is no UTF-8");
    }
    bool whole = root && of_lines && is_entry(root);
    *ret_found = (struct append_found){.has_id = whole && has_id(root),
                                       .as_text = !root && str_starts(str_trim(text), STR("{"))};
    if (whole)
        put_entry(cli, root, out);
    else
        put_body(cli, text, root, out);
    arena_release(&arena);
    return buf_ok(out, err);
}

static kf_rc ask(struct appending *a, str body, struct json_node **ret_root, struct kf_err *err)
{
    struct cli_answer answer;
    struct cli_request r = {.method = API_POST,
                            .target = a->target,
                            .headers = {{STR("Content-Type"), STR("application/json")}},
                            .header_count = 1,
                            .body = body,
                            .timeout_ms = a->timeout_ms};
    kf_rc rc = a->place ? KF_OK : place_open(a->cli, &a->place, err);
    if (rc == KF_OK)
        rc = place_request(a->place, &r, &answer, err);
    if (rc == KF_OK)
        rc = answer_parse(a->cli, &answer, ret_root, err);
    if (rc == KF_OK && a->cli->json)
        print_line(answer.body);
    return rc;
}

static void count_known(struct appending *a, const struct json_node *items)
{
    for (const struct json_node *n = items ? items->child : NULL; n; n = n->next)
        a->known += node_true(n, "duplicate");
}

/* Nothing of an answer is looked at any more. */
static void let_go(struct appending *a)
{
    place_close(a->place);
    place_finish(a->cli);
    a->place = NULL;
    a->batches = 0;
    arena_clear(&a->cli->arena);
}

static bool may_pass(const struct kf_err *err)
{
    return err->retryable || err->rc == KF_UNAVAILABLE || err->rc == KF_BUSY;
}

/* Again, for a minute, what may be sent again. */
static kf_rc ask_again(struct appending *a, struct json_node **ret_root, struct kf_err *err)
{
    int64_t until = env_mono_ms(a->cli->env) + PATIENCE_MS;
    bool told = false;
    for (;;) {
        struct kf_err why = KF_ERR_INIT;
        kf_rc rc = ask(a, buf_view(&a->batch), ret_root, &why);
        if (rc == KF_OK)
            return KF_OK;
        if (a->with_id < a->lines || !may_pass(&why) || env_mono_ms(a->cli->env) > until) {
            *err = why;
            return rc;
        }
        print_progress_end(a->cli);
        if (!told)
            print_talk("keepfast: %s; these lines have ids, so they are sent again", why.detail);
        told = true;
        let_go(a);
        poll(NULL, 0, AGAIN_MS);
    }
}

static kf_rc send_batch(struct appending *a, struct kf_err *err)
{
    struct json_node *root = NULL;
    if (!a->lines)
        return KF_OK;
    buf_byte(&a->batch, ']');
    kf_rc rc = buf_ok(&a->batch, err);
    if (rc == KF_OK)
        rc = ask_again(a, &root, err);
    if (rc == KF_OK) {
        a->sent += a->lines;
        a->count = node_u64(root, "count");
        count_known(a, json_member(root, "items"));
        print_progress(a->cli, "appending", a->bytes, a->total);
    }
    a->lines = a->with_id = 0;
    a->waited = false;
    buf_clear(&a->batch);
    if (rc == KF_OK && ++a->batches == BATCHES_MAX)
        let_go(a);
    return rc;
}

static kf_rc take_line(struct appending *a, str line, struct kf_err *err)
{
    if (line.len && line.p[line.len - 1] == '\r')
        line.len--;
    if (!str_trim(line).len)
        return KF_OK;
    struct append_found found = {0};
    buf_byte(&a->batch, a->lines ? ',' : '[');
    kf_rc rc = append_line(a->cli, line, true, &a->batch, &found, err);
    if (rc != KF_OK)
        return rc;
    a->lines++;
    a->with_id += found.has_id;
    a->as_text += found.as_text;
    return a->lines == BATCH_LINES || a->batch.len >= BATCH_BYTES ? send_batch(a, err) : KF_OK;
}

/* Whole lines of what was read; what is left of the last one moves to the front. */
static kf_rc take_lines(struct appending *a, struct buf *in, bool end, struct kf_err *err)
{
    str rest = buf_view(in);
    kf_rc rc = KF_OK;
    while (rc == KF_OK && rest.len) {
        size_t len = str_index(rest, '\n');
        if (len == rest.len && !end)
            break;
        a->bytes += len + (len < rest.len);
        rc = take_line(a, (str){rest.p, len}, err);
        rest = str_from(rest, len + 1);
    }
    memmove(in->p, rest.p, rest.len);
    in->len = rest.len;
    return rc;
}

static bool more_is_there(int within_ms)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&p, 1, within_ms) > 0;
}

/* Behind a part of a line its rest comes, or the end of input: a moment is waited for it, once for
 * what is gathered, so that a last line that nothing ends goes with the lines before it. */
static bool more_is_coming(struct appending *a, bool in_line)
{
    bool wait = in_line && a->lines && !a->waited;
    a->waited |= wait;
    return more_is_there(wait ? PAUSE_MS : 0);
}

/* Of a file whose end is known. */
static uint64_t size_of_input(void)
{
    struct stat st;
    off_t at = lseek(STDIN_FILENO, 0, SEEK_CUR);
    if (fstat(STDIN_FILENO, &st) != 0) /* seam: a descriptor, not a file of ours */
        return 0;
    bool file = S_ISREG(st.st_mode) && at >= 0;
    return file && st.st_size > at ? (uint64_t)(st.st_size - at) : 0;
}

/* A program that writes lines cut short has lost something, and nobody would see it. */
static void say_texts(const struct appending *a)
{
    if (a->as_text)
        print_talk("keepfast: %llu line%s with { and cannot be read as JSON: taken as text",
                   (unsigned long long)a->as_text, a->as_text == 1 ? " begins" : "s begin");
}

/* What is in already is worth knowing for who has to go on from there. */
static void say_how_far(const struct appending *a, struct kf_err *err)
{
    if (a->sent)
        err_prefix(err, "%llu line%s appended, then", (unsigned long long)a->sent,
                   a->sent == 1 ? " was" : "s were");
}

static kf_rc append_lines(struct appending *a, struct kf_err *err)
{
    struct buf in = BUF_INIT;
    kf_rc rc = KF_OK;
    a->total = size_of_input();
    for (bool end = false; rc == KF_OK && !end;) {
        char *room = buf_room(&in, 65536);
        ssize_t got = room ? read(STDIN_FILENO, room, 65536) : -1;
        if (!room)
            rc = err_nomem(err);
        else if (got < 0 && errno != EINTR)
            rc = err_errno(err, errno, "cannot read standard input");
        if (rc != KF_OK || got < 0)
            continue;
        end = got == 0;
        buf_grew(&in, (size_t)got);
        if (in.len)
            rc = take_lines(a, &in, end, err);
        if (rc == KF_OK && (end || !more_is_coming(a, in.len > 0)))
            rc = send_batch(a, err);
        if (rc == KF_OK && !end && a->place && !more_is_there(PAUSE_MS))
            let_go(a);
    }
    buf_release(&in);
    print_progress_end(a->cli);
    if (rc == KF_OK)
        say_texts(a);
    else
        say_how_far(a, err);
    if (rc == KF_OK && !a->cli->json && !a->sent)
        print_talk("%s: there were no lines; nothing was appended", a->cli->args[0]);
    else if (rc == KF_OK && !a->cli->json)
        print_talk("%s: %.*s, %llu of them known before, %.*s in all", a->cli->args[0],
                   STR_ARGS(cli_count(a->cli, a->sent, "line", "lines")),
                   (unsigned long long)a->known,
                   STR_ARGS(cli_count(a->cli, a->count, "entry", "entries")));
    return rc;
}

static kf_rc append_text(struct appending *a, const char *text, struct kf_err *err)
{
    struct json_node *root = NULL;
    struct append_found found = {0};
    kf_rc rc = append_line(a->cli, str_of(text), false, &a->batch, &found, err);
    if (rc == KF_OK)
        rc = ask(a, buf_view(&a->batch), &root, err);
    if (rc == KF_OK && !a->cli->json)
        print_talk("%s: entry %llu%s", a->cli->args[0], (unsigned long long)node_u64(root, "n"),
                   node_true(root, "duplicate") ? ", which was there" : "");
    if (rc == KF_OK && found.as_text)
        print_talk("keepfast: it begins with { and cannot be read as JSON: taken as text");
    return rc;
}

static kf_rc make_target(struct appending *a, struct buf *target, struct kf_err *err)
{
    struct cli *cli = a->cli;
    char *start = stream_target(cli, "/entries");
    buf_c(target, start ? start : "");
    kf_rc rc = start ? cli_write_query(cli, target, &a->timeout_ms, err) : err_nomem(err);
    a->target = target->p;
    return rc;
}

kf_rc cmd_append(struct cli *cli, struct kf_err *err)
{
    struct appending a = {.cli = cli, .batch = BUF_INIT};
    struct buf target = BUF_INIT;
    int64_t at_ms = 0;
    bool lines = cli->arg_count < 2 || strcmp(cli->args[1], "-") == 0;
    if (lines && cli->arg_count < 2 && isatty(STDIN_FILENO))
        return cli_usage(err, "say a TEXT, or - and type lines");
    if (lines && (cli->opt[OPT_ID] || cli->opt[OPT_TIME]))
        return cli_usage(err, "--id and --time are of one entry: give each line its own, as "
                              "{\"id\": …, \"at\": …, \"body\": …}");
    if (cli->opt[OPT_TIME] && (!when_parse(str_of(cli->opt[OPT_TIME]), &at_ms) || at_ms <= 0))
        return cli_usage(err, "--time wants a time after 1970, such as 2026-11-09T14:23:45Z");
    kf_rc rc = make_target(&a, &target, err);
    if (rc == KF_OK)
        rc = lines ? append_lines(&a, err) : append_text(&a, cli->args[1], err);
    place_close(a.place);
    buf_release(&target);
    buf_release(&a.batch);
    return rc;
}
