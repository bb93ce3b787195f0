/* The archive, by libarchive (`la` everywhere here). Its file calls are ours, so that faults and
 * limits of base/env.h hold here too. */
#include "move/zip.h"
#include "move/zip_calls.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"

/* What libarchive has to say. */
static const char *reason(const struct zip_calls *la, struct archive *a)
{
    const char *why = la->error_string(a);
    return why ? why : "no reason given";
}

/* --------------------------------------------------------------------------------------- writing
 */

struct zip_writer {
    const struct zip_calls *la;
    struct archive *archive;
    struct archive_entry *entry;
    struct buf *out;
};

static la_ssize_t take(struct archive *a, void *ctx, const void *p, size_t len)
{
    struct zip_writer *w = ctx;
    (void)a;
    /* Never a failure: libarchive would lose what it holds for the callback. The buffer remembers
     * it. */
    if (w->out)
        buf_add(w->out, p, len);
    return (la_ssize_t)len;
}

kf_rc zip_writer_new(struct zip_writer **ret, struct kf_err *err)
{
    struct zip_writer *w = mem_calloc(1, sizeof *w);
    if (!w)
        return err_nomem(err);
    kf_rc rc = zip_calls_load(&w->la, err);
    if (rc == KF_OK) {
        w->archive = w->la->write_new();
        w->entry = w->la->entry_new();
        rc = w->archive && w->entry ? KF_OK : err_nomem(err);
    }
    if (rc == KF_OK)
        *ret = w;
    else
        zip_writer_free(w);
    return rc;
}

static kf_rc write_trouble(const struct zip_writer *w, const char *doing, struct kf_err *err)
{
    if (w->out && w->out->failed)
        return err_nomem(err);
    return err_set(err, PROBLEM_BAD_ARCHIVE, "%s: %s", doing, reason(w->la, w->archive));
}

static kf_rc open_once(struct zip_writer *w, struct kf_err *err)
{
    if (w->la->format(w->archive) == ARCHIVE_FORMAT_ZIP)
        return KF_OK;
    if (w->la->write_set_format_zip(w->archive) != ARCHIVE_OK ||
        w->la->write_set_bytes_per_block(w->archive, 0) != ARCHIVE_OK ||
        w->la->write_open(w->archive, w, NULL, take, NULL) != ARCHIVE_OK)
        return write_trouble(w, "cannot begin the archive", err);
    return KF_OK;
}

void zip_writer_to(struct zip_writer *w, struct buf *out)
{
    w->out = out;
}

kf_rc zip_writer_add(struct zip_writer *w, const char *name, str bytes, int64_t at_ms,
                     struct kf_err *err)
{
    kf_rc rc = open_once(w, err);
    if (rc != KF_OK)
        return rc;
    w->la->entry_clear(w->entry);
    w->la->entry_set_pathname(w->entry, name);
    w->la->entry_set_filetype(w->entry, AE_IFREG);
    w->la->entry_set_perm(w->entry, 0600);
    w->la->entry_set_size(w->entry, (la_int64_t)bytes.len);
    w->la->entry_set_mtime(w->entry, (time_t)(at_ms / 1000), 0);
    if (w->la->write_header(w->archive, w->entry) != ARCHIVE_OK ||
        (bytes.len && w->la->write_data(w->archive, bytes.p, bytes.len) != (la_ssize_t)bytes.len) ||
        w->la->write_finish_entry(w->archive) != ARCHIVE_OK)
        return write_trouble(w, "cannot write into the archive", err);
    return buf_ok(w->out, err);
}

kf_rc zip_writer_end(struct zip_writer *w, struct kf_err *err)
{
    kf_rc rc = open_once(w, err);
    if (rc == KF_OK && w->la->write_close(w->archive) != ARCHIVE_OK)
        rc = write_trouble(w, "cannot end the archive", err);
    return rc == KF_OK ? buf_ok(w->out, err) : rc;
}

void zip_writer_free(struct zip_writer *w)
{
    if (!w)
        return;
    w->out = NULL; /* an archive that was not ended writes its end on being freed */
    if (w->la) {
        w->la->entry_free(w->entry);
        w->la->write_free(w->archive);
    }
    mem_free(w);
}

/* --------------------------------------------------------------------------------------- reading
 */

struct reading {
    const struct zip_calls *la;
    struct file *file;
    const struct zip_limits *limits;
    int64_t at, size;
    uint64_t unpacked, files;
    char piece[65536];
    struct buf body;
    kf_rc rc; /* of our own file calls */
    struct kf_err *err;
};

static la_ssize_t give(struct archive *a, void *ctx, const void **ret)
{
    struct reading *r = ctx;
    size_t got = 0;
    (void)a;
    r->rc = file_read(r->file, r->at, r->piece, sizeof r->piece, &got, r->err);
    if (r->rc != KF_OK)
        return -1;
    r->at += (int64_t)got;
    *ret = r->piece;
    return (la_ssize_t)got;
}

static la_int64_t seek(struct archive *a, void *ctx, la_int64_t offset, int whence)
{
    struct reading *r = ctx;
    (void)a;
    r->at = whence == SEEK_SET ? offset : whence == SEEK_CUR ? r->at + offset : r->size + offset;
    return r->at;
}

static la_int64_t skip(struct archive *a, void *ctx, la_int64_t n)
{
    struct reading *r = ctx;
    (void)a;
    r->at += n;
    return n;
}

static kf_rc refuse(const char *name, const char *why, struct kf_err *err)
{
    return err_set(err, PROBLEM_BAD_ARCHIVE, "\"%.200s\" in the archive %s; nothing was changed",
                   name, why);
}

static kf_rc read_body(struct archive *a, struct reading *r, const char *name, struct kf_err *err)
{
    const struct zip_limits *l = r->limits;
    bool manifest = strcmp(name, l->manifest) == 0;
    bool part = l->parts && str_starts(str_of(name), str_of(l->parts));
    uint64_t max = manifest ? l->manifest_max : part ? l->parts_max : l->one_max;
    uint64_t all_max = (uint64_t)r->size * ZIP_RATIO_MAX + 64 * 1024 * 1024;
    la_ssize_t got;
    buf_clear(&r->body);
    for (;;) {
        char *room = buf_room(&r->body, 65536);
        if (!room)
            return err_nomem(err);
        got = r->la->read_data(a, room, 65536);
        if (got <= 0)
            break;
        buf_grew(&r->body, (size_t)got);
        r->unpacked += (uint64_t)got;
        if (r->body.len > max)
            return refuse(name, "is larger than a document may be", err);
        if (r->unpacked > all_max && !KF_SABOTAGE("archive-bomb"))
            return refuse(name, "unpacks to far more than a backup does", err);
    }
    if (r->rc != KF_OK)
        return r->rc;
    if (got < 0)
        return err_set(err, PROBLEM_INCOMPLETE, "\"%.200s\" in the archive is damaged: %s", name,
                       reason(r->la, a));
    return KF_OK;
}

static kf_rc read_entry(struct archive *a, struct archive_entry *e, struct reading *r,
                        zip_visit *visit, void *ctx, struct kf_err *err)
{
    const char *name = r->la->entry_pathname(e);
    if (!name || !*name)
        return refuse("?", "has a name that cannot be read", err);
    if (r->la->entry_filetype(e) != AE_IFREG || r->la->entry_hardlink(e) || r->la->entry_symlink(e))
        return refuse(name, "is no plain file", err);
    if (r->la->entry_is_encrypted(e))
        return refuse(name, "is encrypted by the archive", err);
    if (++r->files > ZIP_FILES_MAX)
        return refuse(name, "is one file too many", err);
    kf_rc rc = read_body(a, r, name, err);
    return rc == KF_OK ? visit(ctx, str_of(name), buf_view(&r->body), err) : rc;
}

static kf_rc read_all(struct archive *a, struct reading *r, zip_visit *visit, void *ctx,
                      struct kf_err *err)
{
    struct archive_entry *e;
    int got;
    kf_rc rc = KF_OK;
    while (rc == KF_OK && (got = r->la->read_next_header(a, &e)) != ARCHIVE_EOF) {
        if (r->rc != KF_OK)
            return r->rc;
        if (got != ARCHIVE_OK)
            return err_set(err, PROBLEM_INCOMPLETE, "the archive is damaged or cut: %s",
                           reason(r->la, a));
        rc = read_entry(a, e, r, visit, ctx, err);
    }
    return rc;
}

static kf_rc open_archive(struct archive *a, struct reading *r, struct kf_err *err)
{
    r->la->read_support_format_zip_seekable(a);
    r->la->read_set_seek_callback(a, seek);
    if (r->la->read_open2(a, r, NULL, give, skip, NULL) == ARCHIVE_OK)
        return KF_OK;
    if (r->rc != KF_OK)
        return r->rc;
    return err_set(err, PROBLEM_BAD_ARCHIVE,
                   "this is no ZIP archive, or its end is missing; nothing was changed");
}

kf_rc zip_each(struct file *f, const struct zip_limits *limits, zip_visit *visit, void *ctx,
               struct kf_err *err)
{
    const struct zip_calls *la;
    kf_rc rc = zip_calls_load(&la, err);
    if (rc != KF_OK)
        return rc;
    struct reading *r = mem_calloc(1, sizeof *r);
    struct archive *a = la->read_new();
    rc = r && a ? KF_OK : err_nomem(err);
    if (rc == KF_OK) {
        r->la = la;
        r->file = f;
        r->limits = limits;
        r->err = err;
        rc = file_size(f, &r->size, err);
    }
    if (rc == KF_OK)
        rc = open_archive(a, r, err);
    if (rc == KF_OK)
        rc = read_all(a, r, visit, ctx, err);
    la->read_free(a);
    if (r)
        buf_release(&r->body);
    mem_free(r);
    return rc;
}
