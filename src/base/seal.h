/* seal: what leaves the machine encrypted. Keys, names, bodies; pure but for reading a key.
 *
 * A key is 32 bytes, in a file (or a variable) as 64 hex digits on one line. Whoever has it can
 * read and write what was sealed with it; without it neither is possible, and nothing brings a
 * lost key back. Its id, 8 hex digits, is derived from it and tells keys apart without telling
 * anything of them.
 *
 * S1  Sealing depends on nothing but the key and what is sealed: the same name gives the same
 *     sealed name, and the same write (name, version, stamp, site, time, bytes) the same sealed
 *     body. So a place can be asked for a name, what arrived twice is seen to be the same, and a
 *     damaged body can be made again. Two different writes never look alike, even of equal bytes.
 * S2  What was not sealed with this key, for this name, in just these bytes, is refused: whatever
 *     is flipped, cut, added or moved to another name.
 * S3  A sealed name is a name (name_check) of small letters, digits, `-` and `/` alone, so that it
 *     stands as it is wherever names become paths.
 * S4  Keys and what is derived from them lie in memory that is not swapped out, where the system
 *     allows it, and are wiped. No error says anything of them.
 *
 * What stays visible: how many documents there are, how long they and their names are, when and by
 * which store they were written.
 *
 * Threads: any; a key is read only. */
#ifndef KF_BASE_SEAL_H
#define KF_BASE_SEAL_H

#include "base/buf.h"
#include "base/env.h"

#include <keepfast.h>

#define SEAL_ID     8 /* hex digits */
#define SEAL_PREFIX "keepfast-sealed/"
/* How much longer than its document a sealed body can be: base64, tags, names. */
#define SEAL_ROOM(size) ((size) + (size) / 3 + (size) / 1024 + 16384)

struct seal_key;

/* Where a key is: a file (a whole path), or a variable of this process. */
struct seal_source {
    str file, variable;
};
static inline bool seal_source_named(const struct seal_source *s)
{
    return s->file.len || s->variable.len;
}

/* What a caller of the library names; either may be NULL. KF_INVALID when both are there, or the
 * file is no whole path. Borrows. */
kf_rc seal_source_of(const char *file, const char *variable, struct seal_source *ret,
                     struct kf_err *err);

/* KF_CONFIG `key_needed`, naming file or variable, when it is not there, is not its owner's alone
 * or holds no key. */
kf_rc seal_key_load(const struct env *env, const struct seal_source *source,
                    struct seal_key **ret_key, struct kf_err *err);
/* 64 hex digits, perhaps with a line's end. KF_CONFIG `key_needed`. */
kf_rc seal_key_parse(str hex, struct seal_key **ret_key, struct kf_err *err);
/* Makes a key and a file of it: 0600, synced, KF_CONFLICT when something has the name. */
kf_rc seal_key_make(const struct env *env, const char *path, struct seal_key **ret_key,
                    struct kf_err *err);
/* NULL is fine. */
void seal_key_free(struct seal_key *key);
const char *seal_key_id(const struct seal_key *key);

/* --------------------------------------------------------------------------------------- names */

/* Whether it begins as sealed names do, well formed or not. */
bool seal_is_name(str name);
/* The id of the key under which a sealed name stands; false when it says none. */
bool seal_name_key(str sealed, char ret_id[SEAL_ID + 1]);
/* Appended. Of a name that name_check accepts; buf_ok tells whether it worked. */
void seal_name(const struct seal_key *key, str name, struct buf *out);
/* The name, appended; nothing is appended for one that was too long for its sealed name and stands
 * in the body alone. KF_UNAVAILABLE bad_object for what this key did not seal; KF_NOMEM. */
kf_rc seal_name_open(const struct seal_key *key, str sealed, struct buf *name, struct kf_err *err);

/* -------------------------------------------------------------------------------------- bodies */

/* A document as it is sealed. */
struct seal_doc {
    str name, site;
    uint64_t version;
    int64_t stamp, at_ms;
    str body; /* .p NULL: it is deleted */
};
/* Appends the sealed body, JSON on one line. */
kf_rc seal_body(const struct seal_key *key, str sealed, const struct seal_doc *doc, struct buf *out,
                struct kf_err *err);
/* `plain` is cleared and then holds what *ret points to; what cannot be read into is wiped. In any
 * JSON form of the same value. KF_UNAVAILABLE bad_object for what is not as this key sealed it
 * under this name; KF_NOMEM. */
kf_rc seal_body_open(const struct seal_key *key, str sealed, str text, struct buf *plain,
                     struct seal_doc *ret, struct kf_err *err);

#endif
