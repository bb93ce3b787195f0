/* secret_find: what is plainly a secret in a document.
 *
 * Looked for are texts that are made to be recognised (tokens with a mark of their issuer, private
 * keys in PEM, signed tokens) and addresses with a password. Nothing is guessed: words that merely
 * look random are names, hashes and ids more often than secrets. That nothing was found says
 * nothing.
 *
 * Threads: any. Cost: linear in the length, each byte is looked at a bounded number of times;
 * without recursion. */
#ifndef KF_BASE_SECRET_FIND_H
#define KF_BASE_SECRET_FIND_H

#include "base/buf.h"

struct secret_mark {
    const char *mark;          /* how it begins */
    size_t more_min, more_max; /* how many bytes of the alphabet follow it */
    enum secret_alphabet { SECRET_DIGITS_LETTERS, SECRET_WORD, SECRET_UPPER } alphabet;
    bool of_git_host; /* what a git host gives out: see secret_like */
    const char *kind; /* "a token of GitHub" */
};
/* All marks; ended by one whose `mark` is NULL. */
extern const struct secret_mark secret_marks[];

/* Looks through the strings and member names of a JSON text. *ret_kind: what the first one is,
 * static; NULL when there is none. `where`: its JSON pointer is appended, at most 200 bytes,
 * printable, never with the secret itself: one in a name is told by the pointer of what holds it.
 * What is no JSON is looked through as far as it is. */
kf_rc secret_find(str json, const char **ret_kind, struct buf *where, struct kf_err *err);
/* The same in one text. */
const char *secret_in_text(str text);

#endif
