/* tokens: who may do what at a server.
 *
 * A token is 256 random bits that a client shows with each request. It says which spaces it is for,
 * what may be done there (rights) and, where it has prefixes, with which names. The text is given
 * out once; what is kept is its hash.
 *
 *     kft_…43 characters of base64url…      the text: kept by nobody but the client
 *     BLAKE2b-256 of the text               kf_token.hash, and the key of the table in memory
 *     12 characters of a-z and 0-9          the id: random, for lists, logs and revocation
 *
 * They stand in DIR/_keepfast.db, which is made with the first one, and all of them in memory:
 *
 *     (none) --tokens_make--> lives --tokens_revoke--> revoked --90 days--> forgotten
 *                               |                         ^
 *                               +------- expires_ms ------+ (as if revoked then)
 *
 * Forgotten they are when the next one is made, or the table is opened.
 *
 * K1  A token is in memory before its text is given out, and on disk before that.
 * K2  One that tokens_revoke answered with KF_OK is refused from then on, also after a crash.
 * K3  Once a token was made, tokens_defined stays true, whatever is revoked, expired or forgotten:
 *     a server that asks for tokens does not stop asking by itself.
 * K4  A file that cannot be read is an error of tokens_open, never "no tokens".
 *
 * The folder's lock (store/lock.h, DIR/_keepfast.db.lock) is its owner's, so nobody else writes
 * the file. It is opened for each change and closed behind it. With `data: postgres://…` they stand
 * in a schema of their own, and what one server makes or revokes the others know TOKENS_REFRESH_MS
 * later.
 *
 * Threads: any, but tokens_open and tokens_close. A token lives as long as its table, so that it
 * may be held without counting. */
#ifndef KF_API_TOKENS_H
#define KF_API_TOKENS_H

#include "base/env.h"
#include "db/db.h"

#include <stdatomic.h>

#define TOKEN_MARK      "kft_"
#define TOKEN_TEXT_LEN  47 /* the mark and 43 characters */
#define TOKEN_ID_LEN    12
#define TOKEN_NAME_MAX  100   /* bytes */
#define TOKENS_MAX      10000 /* with the ended ones that are not forgotten yet */
#define TOKEN_LIST_MAX  100   /* spaces, and prefixes, of one */
#define TOKEN_FORGET_MS ((int64_t)90 * 24 * 3600 * 1000)
#define TOKEN_NEVER     INT64_MAX

/* What a token may do, beside each other; the words of the surface stand in token_right_names. */
enum token_right {
    TOKEN_READ = 1,
    TOKEN_WRITE = 2,
    TOKEN_RUN = 4,
    TOKEN_QUERY = 8,
    TOKEN_ADMIN = 16
};
#define TOKEN_RIGHT_COUNT 5
extern const char *const token_right_names[TOKEN_RIGHT_COUNT]; /* of bit 1 << i */
/* 0 for a word that is none. */
unsigned token_right_of(str word);

/* What it is for. */
struct token_scope {
    unsigned rights; /* enum token_right */
    const str *spaces;
    size_t space_count; /* 0 = all, also those that are made later */
    const str *prefixes;
    size_t prefix_count; /* 0 = all names */
    int64_t expires_ms;  /* wall clock; TOKEN_NEVER */
};

struct token {
    char id[TOKEN_ID_LEN + 1];
    const char *name; /* for people */
    struct token_scope scope;
    int64_t created_ms;
    _Atomic int64_t revoked_ms; /* 0 = it is not */
    _Atomic int64_t used_ms;    /* about when it was shown last; 0 = never */
};

struct tokens;

/* Reads DIR/_keepfast.db, or finds that there is none; of postgres://… the schema kf__keepfast, and
 * when that is away the table is not known yet. damaged, format_too_new, io_error,
 * permission, no_memory. */
struct tokens_options {
    const struct env *env;
    const char *dir;
    db_go_on *lives; /* db_options.lives; NULL = nobody is asked */
    void *lives_ctx;
};
kf_rc tokens_open(const struct tokens_options *options, struct tokens **ret_tokens,
                  struct kf_err *err);
/* NULL is fine. */
void tokens_close(struct tokens *t);

/* Whether they could be read, of a database a moment ago: a server whose database is away does not
 * know whether it is to ask for tokens, nor what others have revoked meanwhile, and lets nobody in.
 * Of a folder always. */
bool tokens_known(const struct tokens *t);
/* Whether they stand in a database, where other servers make and revoke them, too. */
bool tokens_shared(const struct tokens *t);
/* Takes in what others have made and revoked there. Blocks; called every TOKENS_REFRESH_MS. */
#define TOKENS_REFRESH_MS 2000
/* Without one for so long the table is not known any more. */
#define TOKENS_STALE_MS (2 * TOKENS_REFRESH_MS + 1000)
kf_rc tokens_refresh(struct tokens *t, struct kf_err *err);

/* Whether one was ever made here. */
bool tokens_defined(const struct tokens *t);

/* Makes one and keeps it. ret_text has room for TOKEN_TEXT_LEN and a NUL; the caller wipes it.
 * bad_request for a scope or name that cannot be; quota with TOKENS_MAX of them; disk_full,
 * io_error.
 * Blocks on the disk. */
kf_rc tokens_make(struct tokens *t, str name, const struct token_scope *scope, char *ret_text,
                  const struct token **ret_token, struct kf_err *err);
/* not_found for an id that is none. One that is revoked already stays as it is: KF_OK. Blocks on
 * the disk; is refused in memory first, so that no request slips in between. */
kf_rc tokens_revoke(struct tokens *t, str id, struct kf_err *err);

/* The token of a text, revoked and expired ones too; NULL for any other text. Notes that it was
 * shown. Cost: one hash of 47 bytes and a look; never the disk. */
const struct token *tokens_find(struct tokens *t, str text);
/* The first token behind `id` in the order of ids; NULL at the end. */
const struct token *tokens_after(struct tokens *t, str id);
const struct token *tokens_by_id(struct tokens *t, str id);
/* Writes down when tokens were shown last, where that has moved by a minute. Blocks. What fails is
 * written the next time. */
kf_rc tokens_note_use(struct tokens *t, struct kf_err *err);
/* Whether tokens_note_use has something to write. */
bool tokens_unwritten(const struct tokens *t);

/* --- what one allows; pure (token_scope.c) */

/* Whether a token could be for this: bad_request says why not. */
kf_rc token_scope_check(const struct token_scope *s, struct kf_err *err);

bool token_lives(const struct token *k, int64_t now_ms);
bool token_has_space(const struct token_scope *s, str space);
/* Whether a name begins as one of the prefixes says; `*` at the end of one stands for any rest,
 * without it the name is the whole one. */
bool token_has_name(const struct token_scope *s, str name);
/* Whether nothing of `part` is beyond `whole`. */
bool token_within(const struct token_scope *part, const struct token_scope *whole);
/* Whether a text begins as tokens do, to be told apart from other words. */
bool token_like(str text);

#endif
