/* fold_query: questions, read and put to folded text.
 *
 * A term is kept as the bytes that stand in folded text where it occurs: " lodz " for a word, " lo"
 * for what begins so, " nowy rok " for a phrase. As each word has a blank before it and the last
 * one another behind it, no border needs to be looked at: where the bytes are, the term is. */
#include "base/err.h"
#include "base/fold.h"

#include <assert.h>

struct reading {
    str text;
    size_t at; /* the next byte */
    struct fold_query *q;
    size_t used; /* of q->bytes */
};

static kf_rc refuse(struct kf_err *err, size_t offset, const char *what)
{
    return err_at(err, PROBLEM_BAD_FILTER, (int64_t)offset, "%s", what);
}

/* Adds a term unless it is there. */
static kf_rc add_term(struct reading *r, size_t from, size_t len, bool prefix, struct kf_err *err)
{
    struct fold_query *q = r->q;
    struct fold_term term = {r->used, len, prefix};
    str text = str_make(q->bytes + term.at, len);
    for (size_t i = 0; i < q->count; i++)
        if (q->terms[i].prefix == prefix && str_eq(fold_term_text(q, i), text))
            return KF_OK;
    if (q->count == FOLD_TERMS_MAX)
        return err_at(err, PROBLEM_BAD_FILTER, (int64_t)from,
                      "a search has at most %d words and phrases: leave some out", FOLD_TERMS_MAX);
    q->terms[q->count++] = term;
    r->used += len;
    return KF_OK;
}

/* Makes a term of the words in bytes `from` to `to` of the question, a phrase if there are several.
 * *ret_any: whether there is one. */
static kf_rc take(struct reading *r, size_t from, size_t to, bool prefix, bool *ret_any,
                  struct kf_err *err)
{
    struct fold_reader words;
    size_t len = 0;
    fold_begin(&words, str_make(r->text.p + from, to - from));
    while (fold_next(&words)) {
        /* With its blank a word has at most half as many bytes again as it had (a Roman numeral of
         * one character beside an ideograph), and a term one blank more. */
        assert(r->used + len + words.len + 2 <= sizeof r->q->bytes);
        r->q->bytes[r->used + len] = ' ';
        memcpy(r->q->bytes + r->used + len + 1, words.word, words.len);
        len += words.len + 1;
    }
    *ret_any = len > 0;
    if (!len)
        return KF_OK;
    if (!prefix)
        r->q->bytes[r->used + len++] = ' ';
    return add_term(r, from, len, prefix, err);
}

static kf_rc read_phrase(struct reading *r, struct kf_err *err)
{
    size_t from = r->at, end = from + 1 + str_index(str_from(r->text, from + 1), '"');
    bool any = false;
    if (end == r->text.len)
        return refuse(err, from, "the phrase has no end: put a \" behind its last word");
    kf_rc rc = take(r, from + 1, end, false, &any, err);
    if (rc == KF_OK && !any)
        rc = refuse(err, from, "there is no word between the quotes: leave them out");
    r->at = end + 1;
    if (rc == KF_OK && r->at < r->text.len && r->text.p[r->at] == '*')
        rc = refuse(err, r->at, "a star cannot follow a phrase: write it behind a word of its own");
    return rc;
}

/* Bytes of the blank at `at`; 0 when something else stands there. */
static size_t blank(str text, size_t at)
{
    char c = text.p[at];
    uint32_t code = 0;
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
        return 1;
    size_t bytes = str_utf8_first(str_from(text, at), &code);
    bool is = code == 0xA0 || (code >= 0x2000 && code <= 0x200B) || code == 0x202F ||
              code == 0x3000;
    return is ? bytes : 0;
}

static bool ends_word(str text, size_t at)
{
    return text.p[at] == '"' || text.p[at] == '*' || blank(text, at) > 0;
}

/* Whether the last character before `to` belongs to a word, so that a star may follow it. */
static bool in_word(str text, size_t from, size_t to)
{
    struct fold_reader words;
    size_t end = 0;
    fold_begin(&words, str_make(text.p + from, to - from));
    while (fold_next(&words))
        end = words.to;
    return end > 0 && from + end == to;
}

static kf_rc read_word(struct reading *r, struct kf_err *err)
{
    size_t from = r->at;
    bool any = false;
    while (r->at < r->text.len && !ends_word(r->text, r->at))
        r->at++;
    bool star = r->at < r->text.len && r->text.p[r->at] == '*';
    if (star && !in_word(r->text, from, r->at))
        return refuse(err, r->at, "a star stands behind the beginning of a word: write part*");
    kf_rc rc = take(r, from, r->at, star, &any, err);
    if (rc != KF_OK || !star)
        return rc;
    r->at++;
    if (r->at < r->text.len && (r->text.p[r->at] == '*' || !ends_word(r->text, r->at)))
        return refuse(err, r->at, "nothing follows a star: put a blank behind it");
    return KF_OK;
}

static kf_rc check_text(str text, struct kf_err *err)
{
    size_t valid = str_utf8_valid(text), nul = str_index(text, '\0');
    if (text.len > FOLD_QUERY_MAX)
        return err_at(err, PROBLEM_BAD_FILTER, FOLD_QUERY_MAX,
                      "a search has at most %d bytes: leave some words out", FOLD_QUERY_MAX);
    if (nul < valid)
        return refuse(err, nul, "a search has no NUL byte");
    if (valid < text.len)
        return refuse(err, valid, "the search is not UTF-8");
    return KF_OK;
}

kf_rc fold_query_read(str text, struct fold_query *ret, struct kf_err *err)
{
    struct fold_query q = {0};
    struct reading r = {.text = text, .q = &q};
    kf_rc rc = check_text(text, err);
    while (rc == KF_OK && r.at < text.len) {
        size_t skip = blank(text, r.at);
        if (skip)
            r.at += skip;
        else if (text.p[r.at] == '"')
            rc = read_phrase(&r, err);
        else
            rc = read_word(&r, err);
    }
    if (rc == KF_OK && q.count == 0)
        rc = refuse(err, 0, "there is nothing to look for: name at least one word");
    if (rc == KF_OK)
        *ret = q;
    return rc;
}

/* ------------------------------------------------------------------------------------ matching */

static uint32_t count_term(str term, str folded)
{
    uint32_t count = 0;
    while (count < FOLD_COUNT_MAX) {
        const char *at = folded.len ? memmem(folded.p, folded.len, term.p, term.len) : NULL;
        if (!at)
            break;
        count++;
        /* From the next byte on: the blank at the end of this one begins the next. */
        folded = str_from(folded, (size_t)(at - folded.p) + 1);
    }
    return count;
}

bool fold_match(const struct fold_query *q, str folded, uint32_t *ret_rank)
{
    uint32_t rank = 0;
    assert(q->count > 0);
    for (size_t i = 0; i < q->count; i++) {
        uint32_t count = count_term(fold_term_text(q, i), folded);
        if (!count)
            return false;
        rank += count;
    }
    if (ret_rank)
        *ret_rank = rank;
    return true;
}
