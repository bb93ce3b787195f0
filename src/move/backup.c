/* A backup in pieces:
 *
 *     ROWS      versions up to number `until`, in the order of their numbers, a page a snapshot:
 *               objects into the archive
 *     OBJECTS   (of what is pending) the current version of each name that was pending at one
 *               moment
 *     STREAMS   files of streams (backup_streams.h)
 *     MANIFEST  what was written, sorted
 *     CLOSE     the archive's end
 *     END
 *
 * `until` is taken once, at the beginning; what is written later has a larger number and is not
 * seen. Versions are immutable and pinned, so pages read in different snapshots are of one moment.
 * A current document at `until` is the highest version with a number up to it: which is what
 * sorting finds. A group that was on its way when the pin was set may still trim what it thinks is
 * old: `until` is taken behind it.
 *
 * Memory: a row per version (rows.h), the manifest's text, libarchive's directory. */
#include "move/backup.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/public.h"
#include "base/seal_file.h"
#include "move/backup_streams.h"
#include "move/rows.h"
#include "remote/stream_part.h"
#include "move/zip.h"

#include <assert.h>
#include <stdio.h>

enum { PAGE_FIRST = 4, PAGE = 64, HEADS_PAGE = 1000, PIECE = 64 * 1024 };

enum backup_phase {
    BACKUP_ROWS,
    BACKUP_OBJECTS,
    BACKUP_STREAMS,
    BACKUP_MANIFEST,
    BACKUP_CLOSE,
    BACKUP_END
};

struct backup {
    struct kf_store *store;
    char site[PORTABLE_SITE + 1]; /* of the store when it began */
    char *pending_to;             /* NULL = everything */
    enum backup_phase phase;
    int64_t until, after; /* numbers */
    int64_t pinned_ms;    /* monotonic */
    uint64_t done, total;
    bool enough; /* for this piece */
    /* Rows of the page, and of the next one: about as many as fill a piece, for what is asked for
     * and not taken crosses the network all the same. */
    size_t seen, page;
    struct zip_writer *zip;
    struct buf *out;            /* of this piece, not sealed yet */
    struct seal_writer *sealer; /* NULL = it is not sealed */
    struct buf plain;           /* what was not sealed yet */
    bool sealed;                /* its end is written */
    struct rows rows;
    struct backup_streams streams;
    bool (*reckons)(void *ctx); /* backup_reckon: whether to go on */
    void *reckons_ctx;
    struct rows wanted; /* names that are pending, in its set of objects */
    size_t next;        /* of rows, in OBJECTS */
    struct buf path;
    kf_rc failed;
};

/* ------------------------------------------------------------------------------- what is pending
 */

/* Names pending to the remote, page by page. */
static kf_rc gather_wanted(struct backup *b, struct kf_err *err)
{
    struct kf_pending_list list;
    char *after = NULL;
    bool more = true, is_new;
    kf_rc rc = KF_OK;
    while (rc == KF_OK && more) {
        list = (struct kf_pending_list){0};
        rc = remotes_pending(store_remotes(b->store), b->pending_to, after, 1000, &list, err);
        for (size_t i = 0; i < list.count && rc == KF_OK; i++)
            rc = rows_object(&b->wanted, str_of(list.items[i].name), &is_new, err);
        more = rc == KF_OK && list.more && list.count;
        if (more) {
            mem_free(after);
            after = mem_strdup(list.items[list.count - 1].name);
            rc = after ? KF_OK : err_nomem(err);
        }
        kf_pending_list_free(&list);
    }
    mem_free(after);
    return rc;
}

static kf_rc keep_wanted(void *ctx, const struct doc_row *row, struct kf_err *err)
{
    struct backup *b = ctx;
    b->after = row->seq;
    return rows_has_object(&b->wanted, row->name) ? rows_add(&b->rows, row, err) : KF_OK;
}

/* The rows of pending names, all in one snapshot and without bodies: their versions are read
 * later. */
static kf_rc gather_heads(struct backup *b, struct kf_err *err)
{
    struct db *db;
    size_t count = HEADS_PAGE;
    kf_rc rc = gather_wanted(b, err);
    if (rc == KF_OK)
        rc = store_read(b->store, &db, err);
    if (rc != KF_OK)
        return rc;
    while (rc == KF_OK && count == HEADS_PAGE)
        rc = doc_changes(db, b->after, HEADS_PAGE, false, keep_wanted, b, &count, err);
    if (rc == KF_OK)
        rc = store_seq_of(db, &b->until, err);
    store_read_end(b->store, db);
    if (rc != KF_OK)
        return rc;
    b->total = b->rows.count;
    b->phase = BACKUP_OBJECTS;
    return rc;
}

/* A restore may put another store in the place of the one that was begun with; it has another site.
 * Inside store_read, which keeps it from happening meanwhile. */
static kf_rc check_same(const struct backup *b, struct kf_err *err)
{
    char site[STORE_SITE_LEN + 1];
    store_site(b->store, site);
    if (strcmp(b->site, site) == 0)
        return KF_OK;
    return err_set(err, PROBLEM_BUSY,
                   "the store was replaced by a restore while it was backed up; begin again");
}

static kf_rc keep_the_past(struct group *g, struct write *w, struct kf_err *err)
{
    (void)w;
    return group_pin(g, err);
}

/* Pins what there is. Returns when no group from before the pin is on its way; a file that takes no
 * writes has none, but on PostgreSQL others may write all the same. */
static kf_rc pin(struct backup *b, struct kf_err *err)
{
    struct write barrier = {.apply = keep_the_past, .frees = true};
    docs_pin(store_docs(b->store));
    if (store_streams(b->store))
        streams_pin(store_streams(b->store));
    b->pinned_ms = env_mono_ms(store_env(b->store));
    struct db *db;
    kf_rc rc = store_write(b->store, &barrier, err);
    bool alone = store_level(b->store) != KF_LEVEL_SHARED;
    if (rc == KF_OK || (alone && rc != KF_NOMEM))
        rc = store_read(b->store, &db, err);
    else
        err_prefix(err, "what is backed up cannot be kept meanwhile");
    if (rc != KF_OK)
        return rc;
    rc = store_seq_of(db, &b->until, err);
    store_site(b->store, b->site);
    store_read_end(b->store, db);
    return rc;
}

kf_rc backup_new(struct kf_store *store, str pending_to, const struct seal_source *key,
                 struct backup **ret, struct kf_err *err)
{
    struct backup *b = mem_calloc(1, sizeof *b);
    if (!b)
        return err_nomem(err);
    b->store = store;
    kf_rc rc = pin(b, err);
    b->total = (uint64_t)b->until;
    if (rc == KF_OK && key && seal_source_named(key))
        rc = seal_writer_new(store_env(store), key, &b->sealer, err);
    if (rc == KF_OK)
        rc = zip_writer_new(&b->zip, err);
    if (rc == KF_OK && pending_to.len) {
        b->pending_to = mem_dup(pending_to.p, pending_to.len);
        rc = b->pending_to ? gather_heads(b, err) : err_nomem(err);
    }
    if (rc != KF_OK) {
        backup_free(b);
        return rc;
    }
    *ret = b;
    return KF_OK;
}

void backup_free(struct backup *b)
{
    if (!b)
        return;
    docs_unpin(store_docs(b->store));
    if (store_streams(b->store))
        streams_unpin(store_streams(b->store));
    backup_streams_release(&b->streams);
    zip_writer_free(b->zip);
    seal_writer_free(b->sealer);
    buf_release(&b->plain);
    rows_release(&b->rows);
    rows_release(&b->wanted);
    buf_release(&b->path);
    mem_free(b->pending_to);
    mem_free(b);
}

void backup_progress(const struct backup *b, uint64_t *ret_done, uint64_t *ret_total)
{
    *ret_done = b->done;
    *ret_total = b->total;
}

/* ------------------------------------------------------------------------------------------ rows
 */

static kf_rc add_object(struct backup *b, str name, str hash, str body, int64_t at_ms,
                        struct kf_err *err)
{
    bool is_new = true;
    buf_clear(&b->path);
    portable_object(name, hash, &b->path);
    kf_rc rc = buf_ok(&b->path, err);
    if (rc == KF_OK)
        rc = rows_object(&b->rows, buf_view(&b->path), &is_new, err);
    if (rc == KF_OK && is_new)
        rc = zip_writer_add(b->zip, b->path.p, body, at_ms, err);
    return rc;
}

static kf_rc damaged(str name, uint64_t version, struct kf_err *err)
{
    return err_set(err, PROBLEM_DAMAGED,
                   "version %llu of \"%.*s\" is damaged, so this would be no backup; `keepfast "
                   "verify` lists what is",
                   (unsigned long long)version, STR_SHOWN(name));
}

/* Ends the page with KF_ABSENT when there is enough for this piece. */
static kf_rc visit_row(void *ctx, const struct doc_row *row, struct kf_err *err)
{
    struct backup *b = ctx;
    if (row->damaged)
        return damaged(row->name, row->version, err);
    kf_rc rc = KF_OK;
    if (!row->deleted)
        rc = add_object(b, row->name, row->hash, row->body, row->at_ms, err);
    if (rc == KF_OK)
        rc = rows_add(&b->rows, row, err);
    if (rc != KF_OK)
        return rc;
    b->after = row->seq;
    b->seen++;
    b->done = (uint64_t)row->seq;
    b->enough = b->out->len >= PIECE;
    return b->enough ? KF_ABSENT : KF_OK;
}

/* Other processes forget that there is a backup, should it die, or stand still for so long: what it
 * was to read may be gone then, whether it is there again or not. */
static kf_rc stay_pinned(struct backup *b, struct kf_err *err)
{
    struct write again = {.apply = keep_the_past, .frees = true};
    int64_t now_ms = env_mono_ms(store_env(b->store));
    if (store_level(b->store) != KF_LEVEL_SHARED || now_ms - b->pinned_ms < STORE_PIN_MS / 3)
        return KF_OK;
    if (now_ms - b->pinned_ms >= STORE_PIN_MS)
        return err_set(err, PROBLEM_BUSY,
                       "the backup stood still for %lld s, and what it was to read may be gone: "
                       "begin again",
                       (long long)(now_ms - b->pinned_ms) / 1000);
    b->pinned_ms = now_ms;
    return store_write(b->store, &again, err);
}

static kf_rc page_of_rows(struct backup *b, struct kf_err *err)
{
    struct db *db;
    size_t count = 0;
    kf_rc rc = store_read(b->store, &db, err);
    if (rc != KF_OK)
        return rc;
    b->enough = false;
    b->seen = 0;
    size_t asked = b->page ? b->page : PAGE_FIRST;
    rc = check_same(b, err);
    if (rc == KF_OK)
        rc = doc_all_versions(db, b->after, b->until, asked, visit_row, b, &count, err);
    store_read_end(b->store, db);
    b->page = b->enough ? b->seen + 1 : asked * 2 < PAGE ? asked * 2 : PAGE;
    if (b->enough)
        return KF_OK;
    if (rc == KF_OK && count < asked)
        b->phase = BACKUP_STREAMS;
    return rc;
}

static kf_rc next_object(struct backup *b, struct kf_err *err)
{
    struct kf_doc doc;
    char hex[HASH_HEX + 1];
    if (b->next == b->rows.count) {
        b->phase = BACKUP_STREAMS;
        return KF_OK;
    }
    const struct row *r = &b->rows.items[b->next++];
    b->done = b->next;
    if (r->deleted)
        return KF_OK;
    kf_rc rc = docs_get_version(store_docs(b->store), r->name, r->version, &doc, err);
    if (rc != KF_OK)
        return rc == KF_DAMAGED || rc == KF_ABSENT ? damaged(str_of(r->name), r->version, err) : rc;
    hash_hex(&r->hash, hex);
    rc = add_object(b, str_of(r->name), str_of(hex), str_make(doc.body, doc.len), r->at_ms, err);
    kf_doc_release(&doc);
    return rc;
}

static bool wants_stream(void *ctx, str key)
{
    struct backup *b = ctx;
    struct buf name = BUF_INIT;
    buf_c(&name, STREAM_FILES);
    buf_str(&name, key);
    bool wanted = name.failed || rows_has_object(&b->wanted, buf_view(&name));
    buf_release(&name);
    return wanted;
}

static kf_rc add_file(void *ctx, const struct doc_row *row, struct kf_err *err)
{
    struct backup *b = ctx;
    kf_rc rc = add_object(b, row->name, row->hash, row->body, row->at_ms, err);
    return rc == KF_OK ? rows_add(&b->rows, row, err) : rc;
}

/* A digest reads all of a stream in the snapshot of its file. */
static kf_rc next_file(struct backup *b, struct kf_err *err)
{
    struct long_read read = {.wanted = b->reckons, .ctx = b->reckons_ctx};
    struct db *db;
    kf_rc rc = stay_pinned(b, err);
    if (rc == KF_OK && b->streams.heads && b->streams.digests)
        rc = store_read_long(b->store, &read, &db, err);
    else if (rc == KF_OK)
        rc = store_read(b->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = check_same(b, err);
    if (rc == KF_OK)
        rc = backup_streams_step(&b->streams, db, b->until, str_of(b->site),
                                 b->pending_to ? wants_stream : NULL, add_file, b, err);
    store_read_end(b->store, db);
    if (rc == KF_ABSENT) {
        b->phase = BACKUP_MANIFEST;
        return KF_OK;
    }
    return rc;
}

/* -------------------------------------------------------------------------------------- manifest
 */

static void write_row(struct portable_writer *w, const struct row *r, bool current)
{
    char hex[HASH_HEX + 1] = "";
    if (!r->deleted)
        hash_hex(&r->hash, hex);
    struct portable_entry e = {.line = current ? PORTABLE_DOC : PORTABLE_PAST,
                               .name = str_of(r->name),
                               .site = str_of(r->site),
                               .hash = str_of(hex),
                               .kind = str_of(r->kind),
                               .version = r->version,
                               .size = r->size,
                               .stamp = r->stamp,
                               .at_ms = r->at_ms,
                               .deleted = r->deleted};
    portable_write(w, &e);
}

static int64_t newest_stamp(const struct rows *rows)
{
    int64_t newest = 0;
    for (size_t i = 0; i < rows->count; i++)
        if (rows->items[i].stamp > newest)
            newest = rows->items[i].stamp;
    return newest;
}

static kf_rc write_manifest(struct backup *b, struct kf_err *err)
{
    struct buf text = BUF_INIT;
    struct db *db;
    kf_rc rc = store_read(b->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = check_same(b, err);
    store_read_end(b->store, db);
    if (rc != KF_OK)
        return rc;
    struct portable_writer w;
    int64_t now = env_wall_ms(store_env(b->store));
    rows_sort(&b->rows);
    portable_write_begin(&w, &text);
    struct portable_entry head = {.line = PORTABLE_HEAD,
                                  .site = str_of(b->site),
                                  .seq = (uint64_t)b->until,
                                  .stamp = newest_stamp(&b->rows),
                                  .at_ms = now,
                                  .holds = b->pending_to ? PORTABLE_PENDING : PORTABLE_BACKUP};
    portable_write(&w, &head);
    for (size_t i = 0; i < b->rows.count; i++) {
        const struct row *r = &b->rows.items[i];
        write_row(&w, r, i == 0 || strcmp(r[-1].name, r->name) != 0);
    }
    portable_write_end(&w);
    rc = buf_ok(&text, err);
    if (rc == KF_OK)
        rc = zip_writer_add(b->zip, PORTABLE_MANIFEST, buf_view(&text), now, err);
    buf_release(&text);
    b->phase = BACKUP_CLOSE;
    return rc;
}

static kf_rc step(struct backup *b, struct kf_err *err)
{
    kf_rc rc = b->phase == BACKUP_CLOSE || b->phase == BACKUP_END ? KF_OK : stay_pinned(b, err);
    if (rc != KF_OK)
        return rc;
    switch (b->phase) {
    case BACKUP_ROWS: return page_of_rows(b, err);
    case BACKUP_OBJECTS: return next_object(b, err);
    case BACKUP_STREAMS: return next_file(b, err);
    case BACKUP_MANIFEST: return write_manifest(b, err);
    case BACKUP_CLOSE: b->phase = BACKUP_END; return zip_writer_end(b->zip, err);
    case BACKUP_END: break;
    }
    return KF_ABSENT;
}

static kf_rc read_plain(struct backup *b, struct buf *out, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    b->out = out;
    zip_writer_to(b->zip, out);
    while (rc == KF_OK && out->len < PIECE)
        rc = step(b, err);
    return rc;
}

static kf_rc read_sealed(struct backup *b, struct buf *out, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    while (rc == KF_OK && out->len == 0) {
        buf_clear(&b->plain);
        rc = read_plain(b, &b->plain, err);
        kf_rc sealed = KF_OK;
        if (rc == KF_OK || rc == KF_ABSENT)
            sealed = seal_writer_add(b->sealer, buf_view(&b->plain), out, err);
        if (rc == KF_ABSENT && sealed == KF_OK && !b->sealed) {
            sealed = seal_writer_end(b->sealer, out, err);
            b->sealed = true;
        }
        if (sealed != KF_OK)
            rc = sealed;
    }
    return rc;
}

kf_rc backup_read(struct backup *b, struct buf *out, struct kf_err *err)
{
    kf_rc rc = b->failed;
    assert(out->len == 0);
    if (rc == KF_OK)
        rc = b->sealer ? read_sealed(b, out, err) : read_plain(b, out, err);
    if (rc == KF_ABSENT && out->len > 0)
        rc = KF_OK; /* the last piece; the end is said by the next call */
    else if (rc != KF_OK && rc != KF_ABSENT)
        b->failed = rc;
    return rc;
}

/* -------------------------------------------------------------------------------- kf_backup */

static kf_rc ended(struct kf_err *err)
{
    return err_set(err, PROBLEM_BUSY, "the backup was ended by its caller");
}

kf_rc backup_copy(struct backup *b, struct file *f, kf_progress *progress, void *ctx,
                  struct kf_err *err)
{
    struct buf piece = BUF_INIT;
    int64_t at = 0;
    kf_rc rc;
    while ((rc = backup_read(b, &piece, err)) == KF_OK) {
        rc = file_write(f, at, piece.p, piece.len, err);
        at += (int64_t)piece.len;
        buf_clear(&piece);
        if (rc == KF_OK && progress && !progress(ctx, b->done, b->total))
            rc = ended(err);
        if (rc != KF_OK)
            break;
    }
    buf_release(&piece);
    return rc == KF_ABSENT ? KF_OK : rc;
}

static kf_rc digest_row(struct backup *b, const struct row *r, struct portable_digest *d,
                        struct kf_err *err)
{
    struct kf_doc doc;
    kf_rc rc = docs_get_version(store_docs(b->store), r->name, r->version, &doc, err);
    if (rc != KF_OK)
        return rc == KF_DAMAGED || rc == KF_ABSENT ? damaged(str_of(r->name), r->version, err) : rc;
    rc = portable_digest_add(d, str_of(r->name), str_make(doc.body, doc.len), err);
    kf_doc_release(&doc);
    return rc;
}

void backup_reckon(struct backup *b, bool (*wanted)(void *ctx), void *ctx)
{
    assert(b->phase == BACKUP_ROWS && b->rows.count == 0 && !b->pending_to);
    b->streams.digests = true;
    b->reckons = wanted;
    b->reckons_ctx = ctx;
}

/* The rows are sorted by name, the newest version of each first: what is current. */
static kf_rc digest_docs(struct backup *b, struct portable_digest *digest, kf_progress *progress,
                         void *ctx, uint64_t *ret_docs, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = 0; i < b->rows.count && rc == KF_OK; i++) {
        const struct row *r = &b->rows.items[i];
        bool past = i > 0 && strcmp(r[-1].name, r->name) == 0;
        if (r->deleted || past || stream_file_is(str_of(r->name)))
            continue;
        rc = digest_row(b, r, digest, err);
        if (++*ret_docs % PAGE == 0 && rc == KF_OK && progress &&
            !progress(ctx, *ret_docs, b->rows.count))
            rc = ended(err);
    }
    return rc;
}

kf_rc backup_digest(struct backup *b, kf_progress *progress, void *ctx, char ret_hex[HASH_HEX + 1],
                    uint64_t *ret_docs, uint64_t *ret_entries, struct kf_err *err)
{
    struct portable_digest digest;
    struct db *db;
    char hex[HASH_HEX + 1];
    uint64_t docs = 0;
    assert(b->phase == BACKUP_END && !b->pending_to);
    portable_digest_begin(&digest);
    kf_rc rc = digest_docs(b, &digest, progress, ctx, &docs, err);
    hash_add(&digest.hash, buf_view(&b->streams.lines));
    portable_digest_end(&digest, hex);
    if (rc == KF_OK)
        rc = store_read(b->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = check_same(b, err);
    store_read_end(b->store, db);
    if (rc != KF_OK)
        return rc;
    memcpy(ret_hex, b->streams.digests ? hex : "", b->streams.digests ? sizeof hex : 1);
    *ret_docs = docs;
    *ret_entries = b->streams.entries;
    return KF_OK;
}

kf_rc backup_store(struct kf_store *store, const char *path,
                   const struct kf_backup_options *options, struct kf_err *err)
{
    struct backup *b = NULL;
    struct file f = FILE_CLOSED;
    struct kf_backup_options o = KF_BACKUP_OPTIONS_INIT;
    struct seal_source key;
    if (!path)
        return err_set(err, PROBLEM_MISUSE, "kf_backup needs a path");
    kf_rc rc = options_take(options, &o, sizeof o, err);
    if (rc == KF_OK)
        rc = seal_source_of(o.key_file, o.key_env, &key, err);
    if (rc == KF_OK)
        rc = backup_new(store, str_of(o.pending_to), &key, &b, err);
    if (rc == KF_OK)
        rc = file_new_begin(store_env(store), path, &f, err);
    if (rc == KF_OK)
        rc = file_new_end(&f, path, backup_copy(b, &f, o.progress, o.ctx, err), err);
    backup_free(b);
    return rc;
}
