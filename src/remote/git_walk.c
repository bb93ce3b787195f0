/* git log -z --sparse -c --name-only with GIT_WALK_FORMAT:
 *
 *     "\x01" ID " " SECONDS " " AUTHOR "\n" NUL          a commit that touches nothing of interest
 *     … NUL "\n" PATH NUL PATH NUL …                     its names
 *     … NUL NUL PATH NUL …                               those of a merge
 *
 * An author has no NUL and no newline. A path may begin with anything, but all that are asked for
 * begin with the path of a document, which never begins with \x01 (git_path.h). */
#include "remote/git_walk.h"

#include "base/err.h"
#include "base/hooks.h"

#define RECORD_MAX (GIT_RECORD_MAX + 256)

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool turns_around(uint32_t c)
{
    return c == 0x200e || c == 0x200f || c == 0x061c || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

static bool is_shown(uint32_t c)
{
    return c >= 0x20 && !(c >= 0x7f && c < 0xa0) && c != 0x2028 && c != 0x2029 && c != 0xfeff &&
           !turns_around(c);
}

void git_who(str name, struct buf *out)
{
    size_t from = out->len;
    while (name.len) {
        uint32_t c = 0;
        size_t n = str_utf8_first(name, &c);
        if (out->len - from + n > GIT_WHO_MAX)
            return;
        if (n && is_shown(c))
            buf_add(out, name.p, n);
        name = str_from(name, n ? n : 1);
    }
}

static kf_rc told(struct git_walk *w, struct kf_err *err)
{
    if (!w->begun)
        return KF_OK;
    w->begun = false;
    w->now.who = buf_view(&w->who);
    return w->each(w->ctx, &w->now, err);
}

static kf_rc not_understood(struct kf_err *err)
{
    return err_set(err, PROBLEM_REMOTE_FAILED,
                   "git log printed something that this program does not understand");
}

/* Behind the \x01. */
static kf_rc begin_commit(struct git_walk *w, str head, struct kf_err *err)
{
    uint64_t seconds = 0;
    size_t len = str_index(head, ' ');
    str rest = str_from(head, len + 1);
    size_t digits = str_index(rest, ' ');
    bool ok = (len == 40 || len == GIT_ID_MAX) && len < head.len && digits < rest.len;
    for (size_t i = 0; ok && i < len; i++)
        ok = is_hex(head.p[i]);
    if (!ok)
        return not_understood(err);
    kf_rc rc = told(w, err);
    if (rc != KF_OK)
        return rc;
    w->now = (struct git_walked){0};
    memcpy(w->now.id.hex, head.p, len);
    /* Before 1970, or beyond all time: what it says is of no use. */
    if (str_to_u64((str){rest.p, digits}, &seconds) && seconds < INT32_MAX * (uint64_t)64)
        w->now.time_s = (int64_t)seconds;
    rest = str_from(rest, digits + 1);
    buf_clear(&w->who);
    git_who((str){rest.p, str_index(rest, '\n')}, &w->who);
    w->begun = true;
    return buf_ok(&w->who, err);
}

static kf_rc take_record(struct git_walk *w, str record, struct kf_err *err)
{
    if (str_starts(record, STR("\n")))
        record = str_from(record, 1);
    if (record.len && record.p[0] == '\x01')
        return begin_commit(w, str_from(record, 1), err);
    if (!w->begun)
        return record.len ? not_understood(err) : KF_OK;
    for (size_t i = 0; record.len && i < sizeof(w->paths) / sizeof(w->paths[0]); i++)
        w->now.touched |= str_eq(record, w->paths[i]);
    return KF_OK;
}

kf_rc git_walk_take(struct git_walk *w, str bytes, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    while (rc == KF_OK && bytes.len) {
        size_t n = str_index(bytes, '\0');
        bool whole = n < bytes.len;
        str piece = {bytes.p, n};
        bytes = str_from(bytes, n + 1);
        if (whole && !w->part.len && n <= RECORD_MAX) {
            rc = take_record(w, piece, err);
            continue;
        }
        if (piece.len > RECORD_MAX - w->part.len) {
            KF_SOMETIMES("git-history-long-record");
            piece.len = RECORD_MAX - w->part.len;
        }
        buf_str(&w->part, piece);
        rc = buf_ok(&w->part, err);
        if (rc == KF_OK && whole) {
            rc = take_record(w, buf_view(&w->part), err);
            buf_clear(&w->part);
        }
    }
    return rc;
}

kf_rc git_walk_end(struct git_walk *w, struct kf_err *err)
{
    kf_rc rc = w->part.len ? take_record(w, buf_view(&w->part), err) : KF_OK;
    buf_clear(&w->part);
    return rc == KF_OK ? told(w, err) : rc;
}

void git_walk_release(struct git_walk *w)
{
    buf_release(&w->part);
    buf_release(&w->who);
}
