/* portable: the one form in which documents leave a store. `dir`, object stores, backup and restore
 * speak it.
 *
 *     manifest.ndjson                       written last; whoever reads starts here
 *     docs/MAPPED-NAME/HASH.json            one version of one document, its exact bytes, never
 *                                           changed once written
 *     streams/MAPPED-KEY/FILE/HASH.ndjson   the same of a file of a stream (stream_part.h), whose
 *                                           lines here are those of a document of its name
 *
 * The manifest is lines of JSON in exactly this form, members in this order, no blanks, each ended
 * by a newline:
 *
 *     head: who pushed, and up to where
 *         {"keepfast":"manifest","format":1,"holds":"state","site":S,"push":P,"seq":N,"stamp":T,
 *          "at":TIME}                      (one line)
 *     what each site has pushed
 *         {"seen":S,"seq":N}
 *     current document, deleted document
 *         {"doc":NAME,"version":V,"stamp":T,"site":S,"at":TIME,"size":B,"hash":H}
 *         {"doc":NAME,"version":V,"stamp":T,"site":S,"at":TIME,"deleted":true}
 *     older version (backup only; a deletion as above, with kind)
 *         {"past":NAME,"version":V,"stamp":T,"site":S,"at":TIME,"kind":K,"size":B,"hash":H}
 *     object no longer named, to be removed
 *         {"retired":OBJECT,"at":TIME}
 *     end: BLAKE2b-256 of every byte before this line
 *         {"end":LINES,"hash":H}
 *
 * What git cannot know of the files in a branch stands in parts of such lines, by name, without
 * head and end (git has a hash over them); `text` is the hash of the file as it was written:
 *         {"file":NAME,"version":V,"stamp":T,"site":S,"at":TIME,"size":B,"hash":H,"path":PATH,
 *          "text":H}                       (one line)
 *         {"file":NAME,"version":V,"stamp":T,"site":S,"at":TIME,"deleted":true}
 *
 * Their order: head; `seen` by site; `doc` by name as bytes, each followed by its `past` from the
 * newest; `retired` by object; end. Nothing stands twice. S and T are 16 lower-case hex digits (T
 * below 2^63), H 64, TIME is RFC 3339 in milliseconds UTC, P counts the pushes to this place by
 * anybody, LINES the lines before. The object of a line is derived from NAME and H and never read
 * from the manifest, so that a hostile one cannot point elsewhere; that of `retired` must be one
 * the map could have made.
 *
 * Names to paths (reversible; path_map.c and portable_name.c have the rules). A path is plain ASCII
 * without capitals, so that it survives every file system, archive and locale, and two names never
 * meet in one path: `Zażółć.json` is `%5Aa%C5%BC%C3%B3%C5%82%C4%87.json`. A name that is a folder
 * of another is no clash, because each name is a folder of its own here (`docs/a/HASH.json`,
 * `docs/a/b/HASH.json`); git, which has files, has a map of its own (git_path.h). Reading back
 * refuses every path that the map could not have made.
 *
 * Threads: pure. */
#ifndef KF_REMOTE_PORTABLE_H
#define KF_REMOTE_PORTABLE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "remote/path_map.h"

#include <keepfast.h>

#define PORTABLE_MANIFEST "manifest.ndjson"
#define PORTABLE_STREAMS  "streams/" /* paths of files of streams begin so */
#define PORTABLE_FORMAT   1
#define PORTABLE_LINE_MAX 16384
#define PORTABLE_SITE     16 /* hex digits of a site or stamp */
#define PORTABLE_PATH_MAX PATH_MAP_MAX

/* The mapped form of a name that name_check accepts, appended. */
void portable_path_of_name(str name, struct buf *out);
/* The same without folders but those of cuts: a slash is %2F. */
void portable_flat_of_name(str name, struct buf *out);
/* Whether an ASCII byte needs no escape. */
bool portable_byte_stays(unsigned char c);
/* The name of a mapped path, appended; KF_INVALID bad_archive for a path that portable_path_of_name
 * could not have made. */
kf_rc portable_name_of_path(str path, struct buf *out, struct kf_err *err);
/* Whether it is the name of a document, or of a file of a stream (stream_part.h). */
bool portable_name_is(str name);
/* "docs/MAPPED/HASH.json", appended; of a file of a stream "streams/MAPPED/HASH.ndjson", where
 * MAPPED is the key with the file's name behind it, without its end. */
void portable_object(str name, str hash_hex, struct buf *out);
/* Takes an object path apart again; the name is appended. KF_INVALID bad_archive. ret_hash points
 * into `object`. */
kf_rc portable_object_parse(str object, struct buf *name, str *ret_hash, struct kf_err *err);

enum portable_holds { PORTABLE_STATE = 1, PORTABLE_BACKUP, PORTABLE_PENDING };
enum portable_line {
    PORTABLE_HEAD = 1,
    PORTABLE_SEEN,
    PORTABLE_DOC,
    PORTABLE_PAST,
    PORTABLE_RETIRED,
    PORTABLE_END,
    PORTABLE_FILE
};

/* One line, read or to be written; which members count depends on `line`. Slices are borrowed. */
struct portable_entry {
    enum portable_line line;
    str name;             /* DOC, PAST, FILE: the document; RETIRED: the object */
    str site, hash, kind; /* hash: "" for a deletion */
    str path, text;       /* FILE; "" for a deletion. The path is not looked at */
    uint64_t version, size;
    uint64_t seq;  /* HEAD, SEEN; END: the number of lines before */
    uint64_t push; /* HEAD */
    int64_t stamp, at_ms;
    bool deleted;
    enum portable_holds holds; /* HEAD */
};

/* Writing: head first, then lines in order, then the end. Everything is appended to `out`, whose
 * failure (buf_ok) is the writer's. Values are the caller's to have right: what portable_read would
 * refuse is an assertion in reading back. */
struct portable_writer {
    struct buf *out;
    size_t from; /* where the manifest begins in `out` */
    uint64_t lines;
};
void portable_write_begin(struct portable_writer *w, struct buf *out);
void portable_write(struct portable_writer *w, const struct portable_entry *e);
void portable_write_end(struct portable_writer *w);

/* Reading: checks the order of lines, every value, and at the end the hash: nothing of a manifest
 * may be used before portable_read_check of its whole text has answered KF_OK. Errors are
 * `incomplete` (cut, wrong hash), `bad_archive` (not ours) or format_too_new, with the line's
 * number; KF_NOMEM. */
kf_rc portable_read_check(str text, struct kf_err *err);
struct portable_reader {
    str text;
    size_t at;
    uint64_t line;
    struct arena arena; /* of the entry last read */
    struct buf again;   /* the entry last read, written again */
    struct buf last;    /* name of the line before, to see the order */
    enum portable_line last_line;
    uint64_t last_version;
    bool nomem;
    bool part;
};
void portable_read_begin(struct portable_reader *r, str text);
/* For lines of kind FILE: what was read before the first error, or KF_ABSENT at the end, may be
 * used. */
void portable_read_part(struct portable_reader *r, str text);
/* KF_ABSENT behind the last line. The entry is valid until the next call. */
kf_rc portable_read(struct portable_reader *r, struct portable_entry *ret, struct kf_err *err);
void portable_read_end(struct portable_reader *r);

/* DIGEST: fed with current documents in the order of names; docs/formats.md defines it. */
struct portable_digest {
    struct hash_state hash;
    struct buf name, body; /* canonical forms of one document at a time */
};
void portable_digest_begin(struct portable_digest *d);
/* `body` must be JSON that was checked. */
kf_rc portable_digest_add(struct portable_digest *d, str name, str body, struct kf_err *err);
/* Releases; ret_hex may be NULL. */
void portable_digest_end(struct portable_digest *d, char ret_hex[HASH_HEX + 1]);

#endif
