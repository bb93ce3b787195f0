/* Any bytes up to the first newline as a question, the rest as a text that it is put to, and as a
 * JSON value. */
#include "base/fold.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Each word is where it says, folds to itself and is what the folded text has. */
static void words(str text, str folded)
{
    struct fold_reader r, again;
    size_t behind = 0, at = 0;
    fold_begin(&r, text);
    while (fold_next(&r)) {
        str word = str_make(r.word, r.len);
        must(r.from >= behind && r.from < r.to && r.to <= text.len);
        must(r.len > 0 && r.len <= FOLD_WORD_MAX && str_utf8_valid(word) == r.len);
        behind = r.to;
        fold_begin(&again, word);
        must(fold_next(&again) && str_eq(str_make(again.word, again.len), word));
        must(!fold_next(&again));
        if (at + 1 + r.len + 1 <= FOLD_TEXT_MAX) {
            must(folded.p[at] == ' ' && str_starts(str_from(folded, at + 1), word));
            at += 1 + r.len;
        }
    }
    must(folded.len == (at ? at + 1 : 0));
}

static void question(const struct fold_query *q, str text, str folded)
{
    uint32_t rank = 0;
    struct fold_snippet s;
    bool hit = fold_match(q, folded, &rank);
    must(q->count > 0 && q->count <= FOLD_TERMS_MAX);
    must(hit ? rank >= q->count && rank <= q->count * FOLD_COUNT_MAX : rank == 0);
    size_t len_max = 16 + text.len % 100;
    must(fold_snippet(q, text, len_max, &s, NULL) == KF_OK);
    must(s.len <= len_max && s.from + s.len <= text.len && s.mark_count <= FOLD_MARKS_MAX);
    must(s.before == (s.from > 0) && s.after == (s.from + s.len < text.len));
    must(!hit || s.mark_count > 0);
    for (size_t i = 0; i < s.mark_count; i++) {
        must(s.marks[i].from < s.marks[i].to && s.marks[i].to <= s.len);
        must(i == 0 || s.marks[i].from > s.marks[i - 1].to);
    }
    if (str_utf8_valid(text) == text.len)
        must(str_utf8_valid(str_make(text.p + s.from, s.len)) == s.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str all = str_make(data, size);
    size_t line = str_index(all, '\n');
    str asked = str_make(all.p, line), text = str_from(all, line < size ? line + 1 : size);
    struct buf folded = BUF_INIT, twice = BUF_INIT, strings = BUF_INIT;
    struct fold_query q;
    struct kf_err err = KF_ERR_INIT;
    must(fold_text(text, &folded, NULL) == KF_OK);
    must(fold_text(buf_view(&folded), &twice, NULL) == KF_OK);
    must(str_eq(buf_view(&folded), buf_view(&twice)));
    words(text, buf_view(&folded));
    if (fold_query_read(asked, &q, &err) == KF_OK)
        question(&q, text, buf_view(&folded));
    else
        must(err.offset >= 0 && (size_t)err.offset <= asked.len);
    kf_rc rc = fold_strings(text, &strings, NULL);
    must(rc == KF_OK || (rc == KF_INVALID && strings.len == 0) || rc == KF_LIMIT);
    must(str_utf8_valid(buf_view(&strings)) == strings.len);
    buf_release(&folded);
    buf_release(&twice);
    buf_release(&strings);
    return 0;
}
