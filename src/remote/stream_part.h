/* stream_part: streams in their portable form, as files of lines. Pure: texts in, texts out.
 *
 *     keepfast-streams/KEY/stream.ndjson        what the stream is: attributes, erasures
 *     keepfast-streams/KEY/000000000001.ndjson  a part: entries, in the order of their numbers
 *
 * are names beside those of documents (P1), so that whatever carries documents carries them too:
 * a manifest, a branch, sealed or not, an archive. A file is replaced as a whole and never merged
 * by its bytes: what two of them hold is joined by the store.
 *
 * Lines of JSON in exactly this form, members in this order, no blanks, a newline behind each:
 *
 *     stream.ndjson   {"keepfast":"stream","format":1,"stream":KEY}
 *                     {"last":N}                                           in a backup
 *                     {"attr":NAME,"stamp":T,"site":S,"value":VALUE}       by NAME
 *                     {"attr":NAME,"stamp":T,"site":S,"removed":true}
 *                     {"erased":S,"stamp":T,"at":TIME}                     by S
 *                     {"trimmed":S,"stamp":T}                              by S, in a backup
 *     a part          {"keepfast":"part","format":1,"stream":KEY,"first":N}
 *                     {"attach":H,"body":VALUE}              before the first entry that names it
 *                     {"n":N,"stamp":T,"site":S,"at":TIME,"id":ID,"kind":K,"attach":H,"body":VALUE}
 *                     {"once":ID,"n":N,"asked":A,"at":TIME}                by ID, in a backup
 *
 * `id`, `kind` and `attach` are missing where there is none. VALUE is what was written, byte for
 * byte; where it cannot stand in a line as it is (a newline, blanks around it, nested too deep, too
 * many tokens) `"body":VALUE` is `"text":STRING` instead, which holds its bytes. H is the hash of
 * an attachment's bytes. `last` and `trimmed` are what one store knows of itself: the last number
 * that it gave, and up to which stamp of a site `keep` has removed entries. `once` is a client id
 * that one of these had, so that a retry does not append it again: N was its number, A what tells a
 * retry from another entry (kf_entry_once.hash). Another store passes them over. A part holds
 * entries or ids, and the number in the name of one with ids says where it stands among the parts,
 * no more.
 *
 * P1  No document and no stream has a name that begins with STREAM_FILES.
 * P2  `n` grows from line to line and is not below `first`, which is the number in the file's name.
 *     It is the entry's number at this place. No two lines of a part have one (site, stamp).
 * P3  A file that is read comes out the same, byte for byte, when it is written again. So all that
 *     is not said here is refused: another order, another spelling, a member too many.
 * P4  A part stands for itself: what its entries have attached is in it, once each. So an erasure
 *     that takes a part takes all of it, and nobody has to count who else at a place names it.
 *
 * Threads: pure. */
#ifndef KF_REMOTE_STREAM_PART_H
#define KF_REMOTE_STREAM_PART_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "shape/doc.h"

#include <keepfast.h>

#define STREAM_FILES        NAME_STREAM_FILES
#define STREAM_FILE_FORMAT  1
#define STREAM_PART_ENTRIES 1000
#define STREAM_PART_BYTES   ((size_t)1 << 20) /* a part that has more is closed */
#define STREAM_PART_N_MAX   999999999999ull   /* twelve digits */
#define STREAM_FILE_NAME    (sizeof(STREAM_FILES) - 1 + 1024 + 1 + 19) /* bytes of the longest */

/* ------------------------------------------------------------------------------------- names */

/* Whether it is a name that files of streams are kept under (P1); it may still be none. */
bool stream_file_is(str name);
/* Appended. */
void stream_file_head(str key, struct buf *out);
void stream_file_part(str key, uint64_t first, struct buf *out);
/* *ret_first 0: stream.ndjson. False: it is no file of a stream. *ret_key points into `name`. */
bool stream_file_parse(str name, str *ret_key, uint64_t *ret_first);

/* ------------------------------------------------------------------------------------- lines */

/* Those of stream.ndjson in their order, then those of a part. */
enum stream_line_kind {
    STREAM_LAST = 1,
    STREAM_ATTR,
    STREAM_GONE,
    STREAM_TRIMMED,
    STREAM_ATTACH,
    STREAM_ENTRY,
    STREAM_ONCE
};
struct stream_line {
    enum stream_line_kind kind_of;
    str name;      /* ATTR */
    str site;      /* all but LAST, ATTACH, ONCE: 16 hex digits */
    str id, kind;  /* ENTRY; "" = none. ONCE: id */
    str hash;      /* ATTACH; ENTRY: of its attachment, "" = none; ONCE: `asked` */
    str value;     /* exact bytes; ATTR: .p == NULL: it was removed */
    uint64_t n;    /* ENTRY, LAST, ONCE */
    int64_t stamp; /* all but LAST, ATTACH, ONCE */
    int64_t at_ms; /* GONE, ENTRY, ONCE */
};

/* The first line of a file; first 0 = stream.ndjson. Everything is appended to `out`, whose failure
 * (buf_ok) is the writer's. */
void stream_file_begin(str key, uint64_t first, struct buf *out);
/* What the reader would refuse is the caller's fault. Values must be JSON that was checked. */
void stream_file_line(const struct stream_line *line, struct buf *out);
/* The most that a part has whose last entry and its attachment are as large as may be, escaped. */
static inline uint64_t stream_part_max(uint64_t entry_max)
{
    return 2 * STREAM_PART_BYTES + 4 * entry_max;
}
/* About how many bytes an entry takes in a part, with its attachment; never less than it does by
 * more than what escapes add. */
size_t stream_entry_room(size_t body, size_t attach);

struct stream_reader {
    str text, key;
    uint64_t first, line, last_n, entries, ids;
    size_t at;
    struct arena arena; /* of the line last read */
    struct buf again;   /* it, written again */
    struct buf last;    /* name or site of the line before, attachment that waits for its entry */
    enum stream_line_kind last_kind;
    struct stream_once *once; /* of a part: what was read and stands there once */
    bool nomem;
};
/* `name` is the name under which the text stood. Both must outlive the reader. */
void stream_read_begin(struct stream_reader *r, str name, str text);
/* KF_ABSENT behind the last line. The line is valid until the next call. KF_INVALID bad_archive,
 * KF_TOO_NEW, KF_NOMEM. */
kf_rc stream_read(struct stream_reader *r, struct stream_line *ret, struct kf_err *err);
void stream_read_end(struct stream_reader *r);
/* All of it, so that nothing of a file is used that is not whole. ret_entries may be NULL; of a
 * part with ids there are none. */
kf_rc stream_read_check(str name, str text, uint64_t *ret_entries, struct kf_err *err);

#endif
