/* Names to paths, and back. The frame, with pieces and escapes, is path_map.c; the characters are
 * bytes:
 *
 *     a-z 0-9 _ - . blank ! # $ & ' ( ) + , ; = @ [ ] ^ ` { }      stay
 *     every other byte                                            %XX
 *
 * A piece is reserved when it
 *
 *     - up to its first `.` and without blanks before that is con, prn, aux, nul, com0-9, lpt0-9,
 *       conin$ or conout$ (Windows),
 *     - is 64 hex digits and `.json` or `.ndjson` (the name of an object: a document `a/HASH.json`
 *       must not take the place of one of `a`, a stream `a/stream/HASH.ndjson` of a file of `a`).
 *
 * Why these: capitals and letters beyond ASCII are folded or normalised by some file systems (NTFS,
 * APFS, vfat), so that two names would be one file; libarchive and ZIP tools want a locale for the
 * latter. A first dot covers `.git`; `~` is always escaped since `git~1` is `.git` to git on
 * Windows and short names of vfat look like it. */
#include "remote/portable.h"

#include "base/err.h"
#include "remote/stream_part.h"

#define OBJECTS        "docs/"
#define SUFFIX         ".json"
#define STREAM_OBJECTS PORTABLE_STREAMS
#define STREAM_SUFFIX  ".ndjson"

bool portable_byte_stays(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
        return true;
    return c != '\0' && strchr("_-. !#$&'()+,;=@[]^`{}", c) != NULL;
}

static size_t byte(str s, bool *ret_stays)
{
    *ret_stays = portable_byte_stays((unsigned char)s.p[0]);
    return 1;
}

static bool is_object_file(str piece)
{
    str end = str_from(piece, HASH_HEX);
    return (str_is(end, SUFFIX) || str_is(end, STREAM_SUFFIX)) &&
           str_is_hex((str){piece.p, HASH_HEX}, HASH_HEX);
}

static bool reserved(str piece, bool last)
{
    return path_is_device(piece, last, str_eq) || (last && is_object_file(piece));
}

static const struct path_rules rules = {.character = byte, .reserved = reserved};

void portable_path_of_name(str name, struct buf *out)
{
    path_map(&rules, name, out);
}

void portable_flat_of_name(str name, struct buf *out)
{
    path_map_flat(&rules, name, out);
}

kf_rc portable_name_of_path(str path, struct buf *out, struct kf_err *err)
{
    return path_read_back(path, path, portable_path_of_name, out, err);
}

bool portable_name_is(str name)
{
    uint64_t first;
    str key;
    return stream_file_is(name) ? stream_file_parse(name, &key, &first)
                                : name_check(name, NULL) == KF_OK;
}

void portable_object(str name, str hash_hex, struct buf *out)
{
    bool stream = stream_file_is(name);
    str mapped = name;
    if (stream) {
        mapped = str_from(name, sizeof(STREAM_FILES) - 1);
        mapped.len -= sizeof(STREAM_SUFFIX) - 1;
    }
    buf_c(out, stream ? STREAM_OBJECTS : OBJECTS);
    portable_path_of_name(mapped, out);
    buf_byte(out, '/');
    buf_str(out, hash_hex);
    buf_c(out, stream ? STREAM_SUFFIX : SUFFIX);
}

/* The name of a stream's file from its mapped key and file, without its end. */
static kf_rc stream_name_of(str path, struct buf *name, struct kf_err *err)
{
    size_t before = name->len;
    uint64_t first;
    str key;
    buf_c(name, STREAM_FILES);
    kf_rc rc = portable_name_of_path(path, name, err);
    buf_c(name, STREAM_SUFFIX);
    if (rc == KF_OK)
        rc = buf_ok(name, err);
    if (rc == KF_OK && !stream_file_parse(str_from(buf_view(name), before), &key, &first))
        rc = err_set(err, PROBLEM_BAD_ARCHIVE, "\"%.*s\" is no file of a stream", STR_SHOWN(path));
    if (rc != KF_OK && !name->failed)
        name->len = before;
    return rc;
}

kf_rc portable_object_parse(str object, struct buf *name, str *ret_hash, struct kf_err *err)
{
    bool stream = str_starts(object, STR(STREAM_OBJECTS));
    size_t front = (stream ? sizeof(STREAM_OBJECTS) : sizeof(OBJECTS)) - 1;
    size_t end = (stream ? sizeof(STREAM_SUFFIX) : sizeof(SUFFIX)) - 1;
    const size_t tail = 1 + HASH_HEX + end;
    str hash = {0, 0};
    bool ours = (stream || str_starts(object, STR(OBJECTS))) &&
                str_ends(object, stream ? STR(STREAM_SUFFIX) : STR(SUFFIX)) &&
                object.len > front + tail && object.p[object.len - tail] == '/';
    if (ours) {
        hash = (str){object.p + object.len - tail + 1, HASH_HEX};
        ours = str_is_hex(hash, HASH_HEX);
    }
    if (!ours)
        return err_set(err, PROBLEM_BAD_ARCHIVE, "\"%.*s\" is no object that Keepfast writes",
                       STR_SHOWN(object));
    str path = {object.p + front, object.len - tail - front};
    kf_rc rc = stream ? stream_name_of(path, name, err) : portable_name_of_path(path, name, err);
    if (rc == KF_OK)
        *ret_hash = hash;
    return rc;
}
