/* fold: text as search sees it: words in small letters without marks; questions to such text.
 *
 * The folded form of a text is its words with a blank before each and one at the end, such as
 * " zazolc gesla ", or nothing when it has none. A word is a run of letters and digits, in which
 *
 *   - capitals are small, accents and other marks are gone: Łódź is lodz, Ångström is angstrom,
 *     ΆΝΘΡΩΠΟΣ is ανθρωποσ, ёлка is елка, Việt is viet; it does not matter whether a letter came as
 *     one character or as a letter and a mark;
 *   - letters that Unicode does not take apart are what people type who lack them: ł l, ø o, æ ae,
 *     đ d, ß ss, þ th, œ oe, ı i, ð d, ħ h, ŧ t;
 *   - digits of all scripts are 0 to 9, ligatures and full-width letters are what they consist of;
 *   - Chinese characters and kana are words of one character each, since no blanks stand between
 *     their words: who looks for several finds them side by side;
 *   - bytes behind the first FOLD_WORD_MAX (whole characters) do not count: words that long are
 *     equal when they begin alike.
 *
 * Everything else separates: blanks, points, hyphens, underscores, apostrophes, symbols, and bytes
 * that are no UTF-8. Folding folded text changes nothing.
 *
 * Both engines index folded text and find candidates in it; what is a hit, and how good a one, is
 * decided here, so that they agree. So a change of what folding does is a new format of the store.
 *
 * Threads: no state is shared. Nothing is allocated but what says so, and nothing per character. */
#ifndef KF_BASE_FOLD_H
#define KF_BASE_FOLD_H

#include "base/buf.h"

/* ---------------------------------------------------------------------------------------- text */

#define FOLD_WORD_MAX 128 /* bytes of a folded word */
/* Bytes of a folded text: what comes behind is not searched. So many fit into the index of either
 * engine. */
#define FOLD_TEXT_MAX (512 * 1024)

/* The words of a text, one after the other. */
struct fold_reader {
    const char *start, *p, *end;
    size_t from, to; /* where the word at hand stands in the text, with its marks */
    size_t len;
    char word[FOLD_WORD_MAX]; /* its folded form, no NUL behind it */
};
/* The text is borrowed. */
void fold_begin(struct fold_reader *r, str text);
/* The next word; false at the end. Cost: linear. */
bool fold_next(struct fold_reader *r);

/* Appends the folded form of a text, at most FOLD_TEXT_MAX bytes of it. KF_NOMEM, with `out` as
 * before. */
kf_rc fold_text(str text, struct buf *out, struct kf_err *err);

/* Appends what a JSON value says: its string values in their order, unescaped, a newline between
 * them; no names of members, no numbers. The text has passed json_check before; one that has not is
 * refused as json_check would. KF_NOMEM. On failure `out` is as before. */
kf_rc fold_strings(str json, struct buf *out, struct kf_err *err);
/* Appends the folded form of what a JSON value says. Errors as fold_strings. */
kf_rc fold_json(str json, struct buf *out, struct kf_err *err);

/* ----------------------------------------------------------------------------------- questions
 *
 *   question := term { separator term }       all must occur, in any order
 *   term     := WORD                          this word
 *             | WORD "*"                      a word that begins so
 *             | '"' text '"'                  these words side by side
 *
 * What folding makes several words of (e-mail, 12:30, 東京) is taken as a phrase of them, with the
 * star belonging to the last. A separator alone (-, &) asks for nothing. */

#define FOLD_QUERY_MAX 1024 /* bytes of a question */
#define FOLD_TERMS_MAX 32

struct fold_term {
    /* Its words as they stand in folded text, with a blank before each, and at the end when the
     * last is whole. In fold_query.bytes. */
    size_t at, len;
    bool prefix; /* the last one may go on */
};
struct fold_query {
    size_t count; /* at least 1 */
    struct fold_term terms[FOLD_TERMS_MAX];
    char bytes[2 * FOLD_QUERY_MAX];
};

/* Reads a question. KF_INVALID bad_filter, with the offset and what to write instead: nothing to
 * look for, a phrase that does not end or says nothing, a star that stands anywhere but behind a
 * word, no UTF-8, NUL, more than FOLD_QUERY_MAX bytes or FOLD_TERMS_MAX terms. Terms that stand
 * twice are one. Not moved once read: it has no pointers, so it may be copied. */
kf_rc fold_query_read(str text, struct fold_query *ret, struct kf_err *err);

static inline str fold_term_text(const struct fold_query *q, size_t i)
{
    return str_make(q->bytes + q->terms[i].at, q->terms[i].len);
}

/* How often a term counts at most, so that one word said a hundred times does not hide what answers
 * the question. */
#define FOLD_COUNT_MAX 10

/* Whether every term occurs in this folded text. *ret_rank (may be NULL): how often the terms occur
 * in all, each counted up to FOLD_COUNT_MAX. Cost: linear for each term, less when they are
 * frequent. */
bool fold_match(const struct fold_query *q, str folded, uint32_t *ret_rank);

/* ------------------------------------------------------------------------------------ snippets */

#define FOLD_MARKS_MAX 32

struct fold_mark {
    size_t from, to; /* bytes of the snippet: the first, and the one behind the last */
};
struct fold_snippet {
    size_t from, len;   /* bytes of the text */
    bool before, after; /* there is more text there */
    size_t mark_count;  /* ascending, never overlapping or touching */
    struct fold_mark marks[FOLD_MARKS_MAX];
};

/* A part of `text` of at most len_max bytes (at least 16) around the first place where one of the
 * terms occurs; the beginning when none does. It begins and ends between characters, and between
 * words unless one fills it. Further marks than FOLD_MARKS_MAX are left out.
 * KF_NOMEM. Cost: linear in the text. */
kf_rc fold_snippet(const struct fold_query *q, str text, size_t len_max, struct fold_snippet *ret,
                   struct kf_err *err);

#endif
