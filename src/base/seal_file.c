/* A sealed file:
 *
 *     {"keepfast":"sealed-file","format":1,"key":ID} \n
 *     header          24 random bytes
 *     chunk chunk …   secretstream of 64 KiB each under subkey 6, the line as additional data; the
 *                     last one, which may be empty, with TAG_FINAL
 *
 *     reader:  LINE --newline--> BODY --chunk of TAG_FINAL--> DONE --any byte--> refused
 *
 * A chunk that is not the last one is always full, so where it ends is known; the last one is what
 * is left when the file ends, and so opened by seal_reader_end alone. */
#include "base/seal_file.h"

#include "base/seal_internal.h"

#include <stdio.h>

#define SEALED   (CHUNK + TAG)
#define FORMAT   1
#define BEGINS   "{\"keepfast\":\"sealed-file\",\"format\":"
#define LINE_CAP 80

struct seal_writer {
    struct seal_key *key;
    crypto_secretstream_xchacha20poly1305_state stream;
    char line[LINE_CAP];
    bool begun;
    unsigned char header[HEADER];
    struct buf plain; /* at most a chunk between calls: it may be the last */
};

struct seal_reader {
    struct seal_key *key; /* NULL = none is known */
    crypto_secretstream_xchacha20poly1305_state stream;
    char line[LINE_CAP]; /* "" = it has not come yet */
    struct buf rest;
    bool streaming;
};

static void line_of(const struct seal_key *key, char line[LINE_CAP])
{
    snprintf(line, LINE_CAP, BEGINS "%d,\"key\":\"%s\"}\n", FORMAT, seal_key_id(key));
}

/* ------------------------------------------------------------------------------------- writing */

kf_rc seal_writer_new(const struct env *env, const struct seal_source *source,
                      struct seal_writer **ret, struct kf_err *err)
{
    struct seal_writer *w = mem_calloc(1, sizeof(*w));
    if (!w)
        return err_nomem(err);
    kf_rc rc = seal_key_load(env, source, &w->key, err);
    if (rc != KF_OK) {
        seal_writer_free(w);
        return rc;
    }
    env->random(env->ctx, w->header, sizeof(w->header));
    stream_begin(&w->stream, w->key, FILE_TEXT, w->header);
    line_of(w->key, w->line);
    *ret = w;
    return KF_OK;
}

static void put_chunk(struct seal_writer *w, str chunk, bool last, struct buf *out)
{
    if (!w->begun) {
        buf_c(out, w->line);
        buf_add(out, w->header, sizeof(w->header));
        w->begun = true;
    }
    char *room = buf_room(out, chunk.len + TAG);
    if (!room)
        return;
    crypto_secretstream_xchacha20poly1305_push(
        &w->stream, (unsigned char *)room, NULL, (const unsigned char *)chunk.p, chunk.len,
        (const unsigned char *)w->line, strlen(w->line), last ? FINAL : 0);
    buf_grew(out, chunk.len + TAG);
}

kf_rc seal_writer_add(struct seal_writer *w, str bytes, struct buf *out, struct kf_err *err)
{
    size_t at = 0;
    buf_str(&w->plain, bytes);
    kf_rc rc = buf_ok(&w->plain, err);
    for (; rc == KF_OK && w->plain.len - at > CHUNK; at += CHUNK)
        put_chunk(w, (str){w->plain.p + at, CHUNK}, false, out);
    if (rc == KF_OK)
        rc = buf_ok(out, err);
    if (at)
        buf_shift(&w->plain, at);
    return rc;
}

kf_rc seal_writer_end(struct seal_writer *w, struct buf *out, struct kf_err *err)
{
    put_chunk(w, buf_view(&w->plain), true, out);
    return buf_ok(out, err);
}

void seal_writer_free(struct seal_writer *w)
{
    if (!w)
        return;
    seal_key_free(w->key);
    buf_release(&w->plain);
    mem_wipe(&w->stream, sizeof(w->stream));
    mem_free(w);
}

/* ------------------------------------------------------------------------------------- reading */

bool seal_file_begins(str bytes)
{
    return bytes.p[0] == BEGINS[0];
}

kf_rc seal_reader_new(const struct env *env, const struct seal_source *source,
                      struct seal_reader **ret, struct kf_err *err)
{
    struct seal_reader *r = mem_calloc(1, sizeof(*r));
    if (!r)
        return err_nomem(err);
    kf_rc rc = seal_source_named(source) ? seal_key_load(env, source, &r->key, err) : KF_OK;
    if (rc != KF_OK) {
        seal_reader_free(r);
        return rc;
    }
    *ret = r;
    return KF_OK;
}

static kf_rc no_line(struct kf_err *err)
{
    return err_set(err, PROBLEM_BAD_ARCHIVE,
                   "this is neither a backup nor an encrypted one; nothing was changed");
}

/* The key that it names, where another one is there or none. */
static kf_rc judge_line(const struct seal_reader *r, str line, struct kf_err *err)
{
    static const str tail = {",\"key\":\"", 8};
    str rest = str_from(line, sizeof(BEGINS) - 1);
    str format = {rest.p, str_index(rest, ',')};
    uint64_t number = 0;
    if (!str_starts(line, STR(BEGINS)) || !str_to_u64(format, &number))
        return no_line(err);
    if (number > FORMAT)
        return err_set(err, PROBLEM_FORMAT_TOO_NEW,
                       "the file is encrypted in format %llu, this program reads up to %d: use a "
                       "newer Keepfast",
                       (unsigned long long)number, FORMAT);
    rest = str_from(rest, format.len);
    if (!str_starts(rest, tail) || rest.len != tail.len + SEAL_ID + 2)
        return no_line(err);
    for (size_t i = 0; i < SEAL_ID; i++)
        if (!strchr("0123456789abcdef", rest.p[tail.len + i]) || !rest.p[tail.len + i])
            return no_line(err);
    if (!r->key)
        return err_set(err, PROBLEM_KEY_NEEDED,
                       "it is encrypted with the key %.8s: name it with --key-file; nothing was "
                       "changed",
                       rest.p + tail.len);
    return err_set(err, PROBLEM_KEY_NEEDED,
                   "it is encrypted with the key %.8s, and the one that is named is %s; nothing "
                   "was changed",
                   rest.p + tail.len, seal_key_id(r->key));
}

/* KF_ABSENT: it has not come yet. */
static kf_rc take_line(struct seal_reader *r, struct kf_err *err)
{
    char line[LINE_CAP] = "";
    str rest = buf_view(&r->rest);
    size_t len = str_index(rest, '\n');
    if (len == rest.len)
        return len >= LINE_CAP ? no_line(err) : KF_ABSENT;
    if (r->key)
        line_of(r->key, line);
    if (!r->key || !str_is((str){rest.p, len + 1}, line))
        return judge_line(r, (str){rest.p, len}, err);
    memcpy(r->line, line, sizeof(line));
    buf_shift(&r->rest, len + 1);
    return KF_OK;
}

static kf_rc open_chunk(struct seal_reader *r, str chunk, bool last, struct buf *out,
                        struct kf_err *err)
{
    unsigned char tag = 0;
    if (chunk.len < TAG)
        return err_set(err, PROBLEM_INCOMPLETE, "the file is cut; nothing was changed");
    char *room = buf_room(out, chunk.len - TAG);
    if (!room)
        return err_nomem(err);
    if (crypto_secretstream_xchacha20poly1305_pull(
            &r->stream, (unsigned char *)room, NULL, &tag, (const unsigned char *)chunk.p,
            chunk.len, (const unsigned char *)r->line, strlen(r->line)) != 0 ||
        (tag == FINAL) != last)
        return err_set(err, PROBLEM_INCOMPLETE,
                       "the file is cut, or its bytes were changed; nothing was changed here");
    buf_grew(out, chunk.len - TAG);
    return KF_OK;
}

kf_rc seal_reader_add(struct seal_reader *r, str bytes, struct buf *out, struct kf_err *err)
{
    size_t at = 0;
    buf_str(&r->rest, bytes);
    kf_rc rc = buf_ok(&r->rest, err);
    if (rc == KF_OK && !r->line[0] && (rc = take_line(r, err)) == KF_ABSENT)
        return KF_OK;
    if (rc == KF_OK && !r->streaming && r->rest.len >= HEADER) {
        stream_begin(&r->stream, r->key, FILE_TEXT, (const unsigned char *)r->rest.p);
        r->streaming = true;
        at = HEADER;
    }
    /* One that is full and the last to have come may be the last of all. */
    for (; rc == KF_OK && r->streaming && r->rest.len - at > SEALED; at += SEALED)
        rc = open_chunk(r, (str){r->rest.p + at, SEALED}, false, out, err);
    if (at)
        buf_shift(&r->rest, at);
    return rc;
}

kf_rc seal_reader_end(struct seal_reader *r, struct buf *out, struct kf_err *err)
{
    if (!r->streaming)
        return err_set(err, PROBLEM_INCOMPLETE, "the file is cut; nothing was changed");
    return open_chunk(r, buf_view(&r->rest), true, out, err);
}

void seal_reader_free(struct seal_reader *r)
{
    if (!r)
        return;
    seal_key_free(r->key);
    buf_release(&r->rest);
    mem_wipe(&r->stream, sizeof(r->stream));
    mem_free(r);
}
