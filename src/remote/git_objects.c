/* What is in the repository. What the commands print:
 *
 *     ls-tree         "MODE TYPE ID\tPATH\0"
 *     diff-tree       ":OLDMODE NEWMODE OLDID NEWID STATUS\0PATH\0"
 *     log             "\x01ID SECONDS\n" PATH\0 PATH\0 …, of one commit "SECONDS\nMESSAGE"
 *     cat-file        "ID TYPE SIZE\nBYTES\n", or "NAME missing\n"
 *     fast-import     "ID\n" for get-mark */
#include "remote/git_repo.h"

#include "base/err.h"
#include "remote/git_run.h"
#include "remote/git_walk.h"

#include <assert.h>
#include <inttypes.h>

#define NEXT "refs/keepfast/next"

/* ---------------------------------------------------------------------------- files and changes */

/* Records that end with a NUL; one may come in several pieces. */
struct records {
    struct buf part;
    size_t count;
    kf_rc (*record)(struct records *r, str record, struct kf_err *err);
};

static kf_rc take_records(struct records *r, str bytes, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    while (rc == KF_OK && bytes.len) {
        size_t n = str_index(bytes, '\0');
        str piece = {bytes.p, n};
        if (r->part.len + n > GIT_RECORD_MAX + 256)
            return err_set(err, PROBLEM_REMOTE_FAILED, "the branch has a path longer than %d bytes",
                           GIT_RECORD_MAX);
        if (n == bytes.len) {
            buf_str(&r->part, piece);
            return buf_ok(&r->part, err);
        }
        if (r->part.len) {
            buf_str(&r->part, piece);
            piece = buf_view(&r->part);
            rc = buf_ok(&r->part, err);
        }
        if (rc == KF_OK && ++r->count > 2 * (size_t)GIT_FILES_MAX)
            rc = err_set(err, PROBLEM_REMOTE_FAILED, "the branch has more than %d files",
                         GIT_FILES_MAX);
        if (rc == KF_OK)
            rc = r->record(r, piece, err);
        buf_clear(&r->part);
        bytes = str_from(bytes, n + 1);
    }
    return rc;
}

struct listing {
    struct records records; /* first */
    git_each *each;
    void *ctx;
    struct git_file file; /* of a change, until its path comes */
    struct git_id id, old_id;
    bool has_head;
};

static kf_rc take_listing(void *ctx, str bytes, struct kf_err *err)
{
    struct listing *l = ctx;
    return take_records(&l->records, bytes, err);
}

/* Six octal digits at the start; then a blank. */
static bool read_mode(str s, uint32_t *ret)
{
    uint32_t mode = 0;
    if (s.len < 7 || s.p[6] != ' ')
        return false;
    for (int i = 0; i < 6; i++) {
        if (s.p[i] < '0' || s.p[i] > '7')
            return false;
        mode = mode * 8 + (uint32_t)(s.p[i] - '0');
    }
    *ret = mode;
    return true;
}

/* The next word; what is behind it stays in *rest. */
static str take_word(str *rest)
{
    str word = {rest->p, str_index(*rest, ' ')};
    *rest = str_from(*rest, word.len + 1);
    return word;
}

static kf_rc file_record(struct records *r, str record, struct kf_err *err)
{
    struct listing *l = (struct listing *)r;
    struct git_file f = {0};
    size_t tab = str_index(record, '\t');
    str words = {record.p, tab};
    bool ok = tab < record.len && read_mode(record, &f.mode);
    take_word(&words); /* the mode */
    take_word(&words); /* the type, as the mode says */
    if (!ok || !git_id_read(words, &l->id))
        return git_not_understood("ls-tree", err);
    f.id = str_of(l->id.hex);
    f.path = str_from(record, tab + 1);
    return l->each(l->ctx, &f, err);
}

static kf_rc change_record(struct records *r, str record, struct kf_err *err)
{
    struct listing *l = (struct listing *)r;
    if (l->has_head) {
        l->has_head = false;
        l->file.path = record;
        return l->each(l->ctx, &l->file, err);
    }
    str ids = str_from(record, 15);
    if (!str_starts(record, STR(":")) || !read_mode(str_from(record, 1), &l->file.old_mode) ||
        !read_mode(str_from(record, 8), &l->file.mode) ||
        !git_id_read(take_word(&ids), &l->old_id) || !git_id_read(take_word(&ids), &l->id))
        return git_not_understood("diff-tree", err);
    l->file.old_id = str_of(l->old_id.hex);
    l->file.id = str_of(l->id.hex);
    l->has_head = true;
    return KF_OK;
}

static kf_rc list(struct git_repo *r, struct listing *l, struct git_command *c, struct kf_err *err)
{
    c->take = take_listing;
    c->ctx = l;
    kf_rc rc = git_command_run(r, c, NULL, NULL, err);
    if (rc == KF_OK && (l->records.part.len || l->has_head))
        rc = git_not_understood(c->args[0], err);
    buf_release(&l->records.part);
    return rc;
}

kf_rc git_files(struct git_repo *r, const struct git_id *commit, git_each *each, void *ctx,
                struct kf_err *err)
{
    struct listing l = {.records = {.record = file_record}, .each = each, .ctx = ctx};
    struct git_command c = {.what = "list the files of a commit",
                            .args = {"ls-tree", "-r", "-z", "--full-tree", commit->hex}};
    return list(r, &l, &c, err);
}

kf_rc git_folders(struct git_repo *r, const struct git_id *commit, const char *const *folders,
                  size_t count, git_each *each, void *ctx, struct kf_err *err)
{
    struct listing l = {.records = {.record = file_record}, .each = each, .ctx = ctx};
    struct git_command top = {.what = "list the top of a commit",
                              .args = {"ls-tree", "-z", "--full-tree", commit->hex}};
    struct git_command below = {.what = "list folders of a commit",
                                .args = {"ls-tree", "-z", "--full-tree", commit->hex, "--"}};
    assert(count <= GIT_FOLDERS_MAX);
    for (size_t i = 0; i < count; i++)
        below.args[5 + i] = folders[i];
    kf_rc rc = list(r, &l, &top, err);
    return rc == KF_OK && count ? list(r, &l, &below, err) : rc;
}

kf_rc git_changes(struct git_repo *r, const struct git_id *from, const struct git_id *to,
                  git_each *each, void *ctx, struct kf_err *err)
{
    struct listing l = {.records = {.record = change_record}, .each = each, .ctx = ctx};
    struct git_command c = {.what = "compare two commits",
                            .args = {"diff-tree", "-r", "-z", "--raw", "--no-renames",
                                     "--no-ext-diff", from->hex, to->hex}};
    return list(r, &l, &c, err);
}

/* -------------------------------------------------------------------------------------- reading */

struct reading {
    const str *names;
    size_t count, fed, at; /* at: whose answer comes */
    size_t max;
    git_object *each;
    void *ctx;
    struct buf head, body;
    uint64_t left; /* bytes of the body, and the newline behind it */
    bool in_body, too_large, no_file;
};

static kf_rc feed_names(void *ctx, struct buf *out, struct kf_err *err)
{
    struct reading *r = ctx;
    for (; r->fed < r->count && out->len < 65536; r->fed++) {
        buf_str(out, r->names[r->fed]);
        buf_byte(out, '\n');
    }
    return buf_ok(out, err);
}

static kf_rc answer(struct reading *r, enum git_found found, struct kf_err *err)
{
    str bytes = found == GIT_THERE ? buf_view(&r->body) : (str){0, 0};
    kf_rc rc = r->each(r->ctx, r->at++, found, bytes, err);
    buf_clear(&r->body);
    return rc;
}

/* "ID TYPE SIZE", or "NAME missing"; a name may hold blanks. */
static kf_rc read_head(struct reading *r, struct kf_err *err)
{
    str head = buf_view(&r->head);
    struct git_id id;
    if (str_ends(head, STR(" missing")) || str_ends(head, STR(" ambiguous")))
        return answer(r, GIT_MISSING, err);
    size_t a = str_index(head, ' ');
    str rest = str_from(head, a + 1);
    size_t b = str_index(rest, ' ');
    if (!git_id_read((str){head.p, a}, &id) || !str_to_u64(str_from(rest, b + 1), &r->left))
        return git_not_understood("cat-file", err);
    r->no_file = !str_is((str){rest.p, b}, "blob"); /* a path may be a folder's */
    r->too_large = r->left > r->max;
    r->left++;
    r->in_body = true;
    return KF_OK;
}

static kf_rc take_body(struct reading *r, str *bytes, struct kf_err *err)
{
    size_t n = bytes->len < r->left ? bytes->len : (size_t)r->left;
    r->left -= n;
    if (!r->too_large && !r->no_file)
        buf_add(&r->body, bytes->p, r->left ? n : n - 1);
    *bytes = str_from(*bytes, n);
    kf_rc rc = buf_ok(&r->body, err);
    if (rc != KF_OK || r->left)
        return rc;
    r->in_body = false;
    return answer(r, r->no_file ? GIT_NO_FILE : r->too_large ? GIT_TOO_LARGE : GIT_THERE, err);
}

static kf_rc take_objects(void *ctx, str bytes, struct kf_err *err)
{
    struct reading *r = ctx;
    kf_rc rc = KF_OK;
    while (rc == KF_OK && bytes.len) {
        if (r->in_body) {
            rc = take_body(r, &bytes, err);
            continue;
        }
        if (r->at == r->count)
            return git_not_understood("cat-file", err);
        size_t n = str_index(bytes, '\n');
        if (r->head.len + n > GIT_RECORD_MAX + 256)
            return git_not_understood("cat-file", err);
        buf_add(&r->head, bytes.p, n);
        rc = buf_ok(&r->head, err);
        if (n == bytes.len)
            return rc;
        bytes = str_from(bytes, n + 1);
        if (rc == KF_OK)
            rc = read_head(r, err);
        buf_clear(&r->head);
    }
    return rc;
}

kf_rc git_read(struct git_repo *r, const str *names, size_t count, size_t max, git_object *each,
               void *ctx, struct kf_err *err)
{
    struct reading reading = {.names = names, .count = count, .max = max, .each = each, .ctx = ctx};
    struct git_command c = {.what = "read its objects",
                            .args = {"cat-file", "--batch", "--buffer"},
                            .feed = feed_names,
                            .take = take_objects,
                            .ctx = &reading};
    kf_rc rc = count ? git_command_run(r, &c, NULL, NULL, err) : KF_OK;
    if (rc == KF_OK && (reading.at != count || reading.in_body))
        rc = git_not_understood("cat-file", err);
    buf_release(&reading.head);
    buf_release(&reading.body);
    return rc;
}

/* -------------------------------------------------------------------------------------- commits */

struct touching {
    struct records records; /* first */
    struct git_id commit;
    int64_t time_s;
    git_touch *each;
    void *ctx;
};

/* A record is a path; the first one of a commit has "\x01ID SECONDS\n" before it, or, for commits
 * without paths, several such lines. */
static kf_rc touch_record(struct records *r, str record, struct kf_err *err)
{
    struct touching *t = (struct touching *)r;
    for (;;) {
        while (str_starts(record, STR("\n")))
            record = str_from(record, 1);
        if (!str_starts(record, STR("\x01")))
            break;
        size_t blank = str_index(record, ' '), end = str_index(record, '\n');
        uint64_t seconds = 0;
        if (blank >= end || !git_id_read((str){record.p + 1, blank - 1}, &t->commit))
            break; /* a path that begins so */
        str number = {record.p + blank + 1, end - blank - 1};
        /* Before 1970, or beyond all time: what it says is of no use. */
        t->time_s = str_to_u64(number, &seconds) && seconds < INT32_MAX * (uint64_t)64
                        ? (int64_t)seconds
                        : 0;
        record = str_from(record, end + 1);
    }
    return record.len && t->commit.hex[0] ? t->each(t->ctx, &t->commit, t->time_s, record, err)
                                          : KF_OK;
}

static kf_rc take_touched(void *ctx, str bytes, struct kf_err *err)
{
    struct touching *t = ctx;
    return take_records(&t->records, bytes, err);
}

kf_rc git_touched(struct git_repo *r, const struct git_id *from, const struct git_id *to,
                  git_touch *each, void *ctx, struct kf_err *err)
{
    struct touching t = {.records = {.record = touch_record}, .each = each, .ctx = ctx};
    struct buf range = BUF_INIT;
    buf_printf(&range, "%s..%s", from->hex, to->hex);
    kf_rc rc = buf_ok(&range, err);
    struct git_command c = {.what = "read the history",
                            .args = {"log", "-z", "--format=%x01%H %ct%x0a", "--name-only",
                                     "--no-renames", "-m", "--first-parent", "--no-ext-diff",
                                     range.p},
                            .take = take_touched,
                            .ctx = &t};
    if (rc == KF_OK)
        rc = git_command_run(r, &c, NULL, NULL, err);
    buf_release(&t.records.part);
    buf_release(&range);
    return rc;
}

kf_rc git_log(struct git_repo *r, const struct git_id *from, bool only, const str paths[2],
              kf_rc (*take)(void *ctx, str bytes, struct kf_err *err), void *ctx,
              struct kf_err *err)
{
    struct git_command c = {.what = "read the history",
                            .args = {"--literal-pathspecs", "log", "-z", GIT_WALK_FORMAT,
                                     "--date-order", "--full-history", "--sparse", "-c",
                                     "--name-only", "--no-renames", "--no-ext-diff",
                                     "--no-textconv", only ? "--max-count=1" : "--no-mailmap",
                                     from->hex, "--", paths[0].p, paths[1].p},
                            .take = take,
                            .ctx = ctx};
    return git_command_run(r, &c, NULL, NULL, err);
}

/* "SECONDS\nMESSAGE": a message may be as long as somebody likes. */
struct commit_reading {
    struct buf time; /* until the end of its line */
    struct buf *message;
    bool in_message;
};

static kf_rc take_commit(void *ctx, str bytes, struct kf_err *err)
{
    struct commit_reading *c = ctx;
    if (!c->in_message) {
        size_t n = str_index(bytes, '\n');
        if (c->time.len + n > 64)
            return git_not_understood("log", err);
        buf_add(&c->time, bytes.p, n);
        c->in_message = n < bytes.len;
        bytes = str_from(bytes, n + 1);
    }
    buf_str(c->message, bytes);
    kf_rc rc = buf_ok(c->message, err);
    if (rc == KF_OK && c->message->len > 2 * GIT_MESSAGE_MAX)
        buf_shift(c->message, c->message->len - GIT_MESSAGE_MAX);
    return rc == KF_OK ? buf_ok(&c->time, err) : rc;
}

kf_rc git_commit_read(struct git_repo *r, const struct git_id *id, int64_t *ret_time_s,
                      struct buf *message, struct kf_err *err)
{
    struct commit_reading reading = {.message = message};
    struct git_command c = {.what = "read a commit",
                            .args = {"log", "-1", "--format=%ct%n%B", id->hex},
                            .take = take_commit,
                            .ctx = &reading};
    uint64_t seconds = 0;
    kf_rc rc = git_command_run(r, &c, NULL, NULL, err);
    if (rc == KF_OK)
        *ret_time_s = str_to_u64(buf_view(&reading.time), &seconds) &&
                              seconds < INT32_MAX * (uint64_t)64
                          ? (int64_t)seconds
                          : 0;
    buf_release(&reading.time);
    return rc;
}

struct making {
    const struct git_commit *commit;
    struct git_text out;
    enum { HEAD, FILES, END } at;
};

static void put_data(struct buf *out, str bytes)
{
    buf_printf(out, "data %zu\n", bytes.len);
    buf_str(out, bytes);
    buf_byte(out, '\n');
}

static void put_commit(struct buf *out, const struct git_commit *c)
{
    buf_c(out, "commit " NEXT "\nmark :1\n");
    buf_printf(out, "committer Keepfast <%.*s@keepfast.invalid> %" PRId64 " +0000\n",
               STR_ARGS(c->site), c->time_s);
    put_data(out, c->message);
    if (c->on.hex[0])
        buf_printf(out, "from %s\n", c->on.hex);
}

static kf_rc feed_commit(void *ctx, struct buf *out, struct kf_err *err)
{
    struct making *m = ctx;
    const struct git_commit *c = m->commit;
    struct git_change change;
    kf_rc rc = KF_OK;
    if (m->at == HEAD) {
        /* The name may be left from a commit that was not pushed. */
        buf_c(out, "reset " NEXT "\n\n");
        put_commit(out, c);
        m->at = FILES;
    }
    while (m->at == FILES && out->len < 65536 && (rc = c->next(c->ctx, &change, err)) == KF_OK) {
        if (change.bytes.p) {
            buf_printf(out, "M 100644 inline %.*s\n", STR_ARGS(change.path));
            put_data(out, change.bytes);
        } else {
            buf_printf(out, "D %.*s\n", STR_ARGS(change.path));
        }
    }
    if (rc == KF_ABSENT) {
        buf_c(out, "\nget-mark :1\ndone\n");
        m->at = END;
        rc = KF_OK;
    }
    return rc == KF_OK ? buf_ok(out, err) : rc;
}

static kf_rc take_made(void *ctx, str bytes, struct kf_err *err)
{
    struct making *m = ctx;
    return git_text_take(&m->out, bytes, err);
}

kf_rc git_commit_make(struct git_repo *r, const struct git_commit *commit, struct git_id *ret,
                      struct kf_err *err)
{
    struct making m = {.commit = commit, .out = {.max = 4096}};
    struct git_command c = {
        .what = "make a commit",
        .args = {"fast-import", "--quiet", "--done", "--force", "--date-format=raw"},
        .feed = feed_commit,
        .take = take_made,
        .ctx = &m};
    kf_rc rc = git_command_run(r, &c, NULL, NULL, err);
    if (rc == KF_OK &&
        !git_id_read(str_trim(str_make(m.out.out.p, str_index(buf_view(&m.out.out), '\n'))), ret))
        rc = git_not_understood("fast-import", err);
    buf_release(&m.out.out);
    return rc;
}
