/* portable: the one form in which documents leave a store. `dir`, object stores, backup and restore speak it.
 *
 *     manifest.ndjson                       written last; whoever reads starts here
 *     docs/MAPPED-NAME/HASH.json            one version of one document, its exact bytes, never changed once written
 *
 * The manifest is lines of JSON, sorted by document name as bytes (then, in a backup, by version, newest first):
 *
 *     {"keepfast":"manifest","format":1,"holds":"state","site":S,"seq":N,"stamp":T,"at":TIME}     head
 *     {"seen":SITE,"seq":N}                                                                       what each site has pushed
 *     {"doc":NAME,"version":V,"stamp":T,"site":S,"at":TIME,"size":B,"hash":H}                     current document
 *     {"doc":NAME,"version":V,"stamp":T,"site":S,"at":TIME,"deleted":true}                        deleted document
 *     {"past":NAME,"version":V,…,"kind":K}                                                        older version (backup only)
 *     {"retired":OBJECT,"at":TIME}                                                                object no longer named, to be removed
 *     {"end":LINES,"hash":H}                                                                      BLAKE2b-256 of every byte before this line
 *
 * T and S are 16 lower-case hex digits, H 64, TIME RFC 3339 in milliseconds UTC. The object of a line is derived from NAME and H and never
 * read from the manifest, so that a hostile one cannot point elsewhere.
 *
 * Names to paths (reversible; serves git, dir and ZIP). A segment stays as it is unless it must be escaped; an escaped byte is `%XX` in
 * capitals, a `%` is always escaped. Escaped are: bytes below 0x20, 0x7f, `\`, `:`, `*`, `?`, `"`, `<`, `>`, `|`; a leading `.` or `-` or blank, a
 * trailing `.` or blank; the first byte of a segment that is `.git` in any case, a reserved device name (CON, NUL …), or that begins with `~`;
 * letters in capitals, so that names that differ only in case stay apart on any file system (`A` is `%41`);
 * bytes of non-ASCII letters stay (UTF-8, not normalised: two spellings stay two names only where the file system keeps bytes).
 * A segment whose escaped form is over 200 bytes is cut into pieces of 200 with `%~/` between (never within an escape). A name that is a folder of another is
 * no clash, because each name is a folder of its own here (`docs/a/HASH.json`, `docs/a/b/HASH.json`); git, which has files, adds its own rule.
 * Reading back refuses every path that the map could not have made.
 *
 * Threads: pure. */
#ifndef KF_REMOTE_PORTABLE_H
#define KF_REMOTE_PORTABLE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"

#include <keepfast.h>

#define PORTABLE_MANIFEST "manifest.ndjson"
#define PORTABLE_FORMAT   1
#define PORTABLE_LINE_MAX 8192

/* The mapped form of a name, appended. */
void portable_path_of_name(str name, struct buf *out);
/* The name of a mapped path; KF_INVALID bad_archive for a path that portable_path_of_name could not have made. */
kf_rc portable_name_of_path(str path, struct buf *out, struct kf_err *err);
/* "docs/MAPPED/HASH.json", appended. */
void portable_object(str name, str hash_hex, struct buf *out);
/* Takes an object path apart again. KF_INVALID bad_archive. ret_hash points into `object`. */
kf_rc portable_object_parse(str object, struct buf *name, str *ret_hash, struct kf_err *err);

enum portable_holds { PORTABLE_STATE = 1, PORTABLE_BACKUP, PORTABLE_PENDING };
enum portable_line { PORTABLE_HEAD = 1, PORTABLE_SEEN, PORTABLE_DOC, PORTABLE_PAST, PORTABLE_RETIRED, PORTABLE_END };

/* One line, read or to be written; which members count depends on `line`. Slices are borrowed. */
struct portable_entry {
    enum portable_line line;
    str name;                   /* DOC, PAST: the document; RETIRED: the object; HEAD, SEEN: the site */
    str site, hash, kind;       /* hash: "" for a deletion */
    uint64_t version, size, seq;
    int64_t stamp, at_ms;
    bool deleted;
    enum portable_holds holds;  /* HEAD */
};

/* Writing: head first, then lines in order, then the end. Everything is appended to `out`. */
struct portable_writer {
    struct buf *out;
    struct hash_state hash;
    uint64_t lines;
};
void portable_write_begin(struct portable_writer *w, struct buf *out);
void portable_write(struct portable_writer *w, const struct portable_entry *e);
void portable_write_end(struct portable_writer *w);

/* Reading: checks the order of lines, every value, and at the end the hash: nothing of a manifest may be used before portable_read_check
 * of its whole text has answered KF_OK. Errors are `incomplete` (cut, wrong hash) or `bad_archive` (not ours) or format_too_new, with the line number. */
kf_rc portable_read_check(str text, struct kf_err *err);
struct portable_reader {
    str text;
    size_t at;
    uint64_t line;
    struct arena arena; /* of the entry last read */
};
void portable_read_begin(struct portable_reader *r, str text);
/* KF_ABSENT behind the last line. The entry is valid until the next call. */
kf_rc portable_read(struct portable_reader *r, struct portable_entry *ret, struct kf_err *err);
void portable_read_end(struct portable_reader *r);

/* DIGEST: fed with current documents in the order of names; docs/formats.md defines it. */
struct portable_digest {
    struct hash_state hash;
};
void portable_digest_begin(struct portable_digest *d);
/* `body` must be JSON that was checked. */
kf_rc portable_digest_add(struct portable_digest *d, str name, str body, struct kf_err *err);
void portable_digest_end(struct portable_digest *d, char ret_hex[HASH_HEX + 1]);

#endif
