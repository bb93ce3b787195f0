/* fold_snippet: a window of the text as it was written, and where the terms stand in it.
 *
 * Terms are found in folded text, snippets are of the text itself. What leads from one to the other
 * is reading the words again and counting the bytes that they have when folded:
 *
 *      text     Zażółć  gęślą   jaźń!         words by fold_next: from, to
 *      folded    zazolc gesla jazn            a word begins where the count stands
 *               ^0     ^7    ^13 */
#include "base/fold.h"

#include <assert.h>

/* Where words of the text stand in the folded text. */
struct follower {
    struct fold_reader r;
    size_t at; /* of the blank before the word at hand, in the folded text */
    size_t next;
    size_t end; /* of the folded text, which may have been cut */
};

static struct follower follow(str text, str folded)
{
    struct follower f = {.end = folded.len};
    fold_begin(&f.r, text);
    return f;
}

static bool follow_next(struct follower *f)
{
    if (f->next + 1 >= f->end || !fold_next(&f->r))
        return false;
    f->at = f->next;
    f->next += 1 + f->r.len;
    return true;
}

/* The first byte of the folded text where a term stands; its length when there is none. */
static size_t first_match(const struct fold_query *q, str folded)
{
    size_t first = folded.len;
    for (size_t i = 0; i < q->count; i++) {
        str term = fold_term_text(q, i);
        const char *at = folded.len ? memmem(folded.p, folded.len, term.p, term.len) : NULL;
        if (at && (size_t)(at - folded.p) < first)
            first = (size_t)(at - folded.p);
    }
    return first;
}

/* Where the longest term that begins at byte `at` of the folded text ends, without the blank behind
 * it; 0 when none does. */
static size_t match_end(const struct fold_query *q, str folded, size_t at)
{
    size_t end = 0;
    str rest = str_from(folded, at);
    for (size_t i = 0; i < q->count; i++) {
        str term = fold_term_text(q, i);
        if (!str_starts(rest, term))
            continue;
        size_t here = at + term.len - !q->terms[i].prefix;
        if (here > end)
            end = here;
    }
    return end;
}

/* Where the first match stands in the text. */
struct place {
    size_t from, to;
};
static struct place find_first(const struct fold_query *q, str text, str folded)
{
    size_t first = first_match(q, folded);
    struct place found = {0};
    struct follower f = follow(text, folded);
    if (first == folded.len)
        return found;
    while (follow_next(&f) && f.at < first) {
    }
    assert(f.at == first);
    found.from = f.r.from;
    size_t end = match_end(q, folded, first);
    do
        found.to = f.r.to;
    while (f.next < end && follow_next(&f));
    return found;
}

static bool in_character(str text, size_t at)
{
    return at > 0 && at < text.len && ((unsigned char)text.p[at] & 0xC0) == 0x80;
}

/* Moves `at` to where a character begins, on or back. In bytes that are no UTF-8 there may be none
 * near. */
static size_t to_character(str text, size_t at, int step)
{
    for (int i = 0; i < 3 && in_character(text, at); i++)
        at = step > 0 ? at + 1 : at - 1;
    return at;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* The beginning of the window: a third of its room before the match, more at the end of the text,
 * and not in a word. */
static size_t window_begin(str text, struct place match, size_t len_max)
{
    struct fold_reader r;
    size_t before = len_max / 3;
    size_t from = match.from > before ? match.from - before : 0;
    if (from + len_max > text.len)
        from = text.len - len_max;
    from = to_character(text, from, 1);
    fold_begin(&r, text);
    while (fold_next(&r) && r.from < from)
        if (from < r.to && r.to <= match.from)
            from = r.to;
    return from;
}

/* The end of the window that begins at `from`: before the word that would be cut, unless it is of
 * the match or fills the window. */
static size_t window_end(str text, struct place match, size_t from, size_t len_max)
{
    struct fold_reader r;
    if (text.len - from <= len_max)
        return text.len;
    size_t to = to_character(text, from + len_max, -1);
    fold_begin(&r, text);
    while (fold_next(&r) && r.from < to)
        if (to < r.to && r.from >= match.to && r.from > from)
            to = r.from;
    return to;
}

static void choose_window(str text, struct place match, size_t len_max, struct fold_snippet *s)
{
    size_t from = text.len > len_max ? window_begin(text, match, len_max) : 0;
    while (from < match.from && is_blank(text.p[from]))
        from++;
    size_t to = window_end(text, match, from, len_max);
    while (to > from && to > match.to && is_blank(text.p[to - 1]))
        to--;
    s->from = from;
    s->len = to - from;
    s->before = from > 0;
    s->after = to < text.len;
}

/* Adds bytes from..to of the text, as far as they lie in the window. */
static void add_mark(struct fold_snippet *s, size_t from, size_t to)
{
    size_t end = s->from + s->len;
    if (from < s->from || from >= end || to <= from)
        return;
    struct fold_mark mark = {from - s->from, (to < end ? to : end) - s->from};
    struct fold_mark *last = s->mark_count ? &s->marks[s->mark_count - 1] : NULL;
    if (last && mark.from <= last->to) {
        if (mark.to > last->to)
            last->to = mark.to;
    } else if (s->mark_count < FOLD_MARKS_MAX) {
        s->marks[s->mark_count++] = mark;
    }
}

static void mark_matches(const struct fold_query *q, str text, str folded, struct fold_snippet *s)
{
    struct follower f = follow(text, folded);
    struct place open = {0}; /* the match that the word at hand belongs to */
    size_t until = 0;        /* where it ends in the folded text */
    while (follow_next(&f) && f.r.from < s->from + s->len) {
        size_t end = match_end(q, folded, f.at);
        if (f.at >= until) {
            add_mark(s, open.from, open.to);
            open = (struct place){f.r.from, f.r.from};
        }
        if (end > until)
            until = end;
        if (f.at < until)
            open.to = f.r.to;
    }
    add_mark(s, open.from, open.to);
}

kf_rc fold_snippet(const struct fold_query *q, str text, size_t len_max, struct fold_snippet *ret,
                   struct kf_err *err)
{
    struct buf folded = BUF_INIT;
    struct fold_snippet s = {0};
    assert(len_max >= 16);
    kf_rc rc = fold_text(text, &folded, err);
    if (rc == KF_OK) {
        struct place match = find_first(q, text, buf_view(&folded));
        choose_window(text, match, len_max, &s);
        mark_matches(q, text, buf_view(&folded), &s);
        *ret = s;
    }
    buf_release(&folded);
    return rc;
}
