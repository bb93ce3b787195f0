/* Restore, step by step, and what a crash at each leaves:
 *
 *     1  the archive is spooled to the side folder        a temporary file, removed at a start
 *                                                         behind a later write
 *     2  every file in it is read and checked: hash       "
 *        against name, JSON, manifest against files
 *     3  a scratch store is built from it                 "
 *     4  it is read back, each body against its hash,     "
 *        for the digest that the answer shows
 *     5  scratch synced; nobody writes any more: may it   the old store or the new one, whole
 *        be replaced still? the files change places       (store_swap)
 *     6  watermarks are gone, the cache is empty          "
 *
 * An archive of what is pending (manifest: holds pending) is merged instead, behind step 2: the
 * later stamp wins. Many documents are one write, as long as it is not over its slice, so that a
 * sync is shared by them and others write in between.
 *
 * A drill (restore_try) reads the archive where it is, takes steps 2 to 4, verifies the scratch
 * store and removes it; what a crash leaves of it, the next drill removes. */
#include "move/backup.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/public.h"
#include "base/seal_file.h"
#include "db/schema.h"
#include "move/rows.h"
#include "base/table.h"
#include "move/zip.h"
#include "remote/stream_text.h"
#include "shape/stream.h"

#include <stdio.h>

enum { GROUP = 256, GROUP_BYTES = 8 * 1024 * 1024 };

/* A version that the manifest names. */
struct line {
    struct line *next; /* of the same object */
    struct doc_row row;
    bool current;
};
/* The lines of one object. */
struct place {
    struct hash path;
    struct line *first;
    bool lost;
    UT_hash_handle hh;
};

struct restore {
    struct kf_store *store;
    bool replace;
    bool trial; /* the store is not touched: a drill, or only a look */
    struct file spool;
    char *path, *scratch; /* in the side folder */
    int64_t at;
    struct seal_reader *opener; /* of what comes, where it is sealed */
    struct seal_source key;     /* its texts are ours */
    bool begun;                 /* the first byte has come */
    struct buf opened;
    struct zip_limits limits;

    struct buf manifest;
    enum portable_holds holds;
    int64_t newest_stamp;
    struct rows files;    /* objects found in the archive */
    struct place *places; /* objects named by the manifest */
    struct line *deleted; /* lines without an object */
    struct arena arena;   /* of lines and places */
    uint64_t lines, docs, versions, entries, bytes;
    uint64_t looked;   /* objects, in step 2 */
    uint64_t room;     /* bytes of all versions */
    int64_t began_seq; /* of the store that is to be replaced */
    uint64_t overtaken;

    struct doc_import batch[GROUP]; /* to be merged next */
    size_t batch_count;
    struct arena bodies; /* of the batch */

    struct db *db;   /* of the scratch store */
    uint64_t loaded; /* lines */
    int64_t seq;     /* the last number of the scratch store */
    kf_progress *progress;
    void *ctx;
};

/* ------------------------------------------------------------------------------------- the spool
 */

static const char restore_prefix[] = ".tmp-restore-", trial_prefix[] = ".tmp-drill-";

static char *side_path(const struct env *env, const char *dir, const char *prefix, const char *tail)
{
    uint64_t id;
    char name[64];
    env->random(env->ctx, &id, sizeof id);
    snprintf(name, sizeof name, "/%s%016llx%s", prefix, (unsigned long long)id, tail);
    size_t len = strlen(dir);
    char *path = mem_alloc(len + strlen(name) + 1);
    if (path) {
        memcpy(path, dir, len);
        memcpy(path + len, name, strlen(name) + 1);
    }
    return path;
}

static struct zip_limits limits_of(struct kf_store *store)
{
    const struct streams *streams = store_streams(store);
    return (struct zip_limits){.one_max = docs_limit(store_docs(store)),
                               .manifest = PORTABLE_MANIFEST,
                               .manifest_max = OBJECTS_MANIFEST_MAX,
                               .parts = PORTABLE_STREAMS,
                               .parts_max = stream_part_max(streams ? streams_limit(streams) : 0)};
}

static struct restore *reader_new(struct kf_store *store, const struct seal_source *key)
{
    struct restore *r = mem_calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->store = store;
    r->spool = FILE_CLOSED;
    r->key.file = arena_str(&r->arena, key ? key->file : STR(""));
    r->key.variable = arena_str(&r->arena, key ? key->variable : STR(""));
    if (!r->key.file.p || !r->key.variable.p) {
        restore_free(r);
        return NULL;
    }
    r->limits = limits_of(store);
    return r;
}

kf_rc restore_new(struct kf_store *store, bool replace, const struct seal_source *key,
                  struct restore **ret, struct kf_err *err)
{
    const char *dir;
    kf_rc rc = store_side_dir(store, &dir, err);
    if (rc != KF_OK)
        return rc;
    struct restore *r = reader_new(store, key);
    if (!r)
        return err_nomem(err);
    r->replace = replace;
    r->began_seq = store_seq(store);
    r->path = side_path(store_env(store), dir, restore_prefix, ".zip");
    r->scratch = side_path(store_env(store), dir, restore_prefix, ".db");
    rc = r->path && r->scratch ? file_open(store_env(store), r->path, FILE_CREATE, &r->spool, err)
                               : err_nomem(err);
    if (rc != KF_OK) {
        restore_free(r);
        return rc;
    }
    *ret = r;
    return KF_OK;
}

/* By its first byte. */
static kf_rc begin_spool(struct restore *r, str bytes, struct kf_err *err)
{
    r->begun = true;
    if (seal_file_begins(bytes))
        return seal_reader_new(store_env(r->store), &r->key, &r->opener, err);
    if (seal_source_named(&r->key))
        return err_set(err, PROBLEM_BAD_ARCHIVE,
                       "the backup is not encrypted, and a key is named for it: leave the key out "
                       "if you know where it came from; nothing was changed");
    return KF_OK;
}

static kf_rc spool_bytes(struct restore *r, str bytes, struct kf_err *err)
{
    kf_rc rc = file_write(&r->spool, r->at, bytes.p, bytes.len, err);
    r->at += (int64_t)bytes.len;
    return rc;
}

static kf_rc spool_opened(struct restore *r, kf_rc rc, struct kf_err *err)
{
    if (rc == KF_OK)
        rc = spool_bytes(r, buf_view(&r->opened), err);
    buf_clear(&r->opened);
    return rc;
}

kf_rc restore_write(struct restore *r, str bytes, struct kf_err *err)
{
    kf_rc rc = r->begun || !bytes.len ? KF_OK : begin_spool(r, bytes, err);
    if (rc != KF_OK || !r->opener)
        return rc == KF_OK ? spool_bytes(r, bytes, err) : rc;
    return spool_opened(r, seal_reader_add(r->opener, bytes, &r->opened, err), err);
}

/* All of it has come. */
static kf_rc end_spool(struct restore *r, struct kf_err *err)
{
    return r->opener ? spool_opened(r, seal_reader_end(r->opener, &r->opened, err), err) : KF_OK;
}

/* A file that is sealed is opened into a spool of our own; any other is read where it is. */
static kf_rc spool_file(struct restore *r, struct file *f, struct kf_err *err)
{
    const char *dir;
    char piece[65536];
    size_t got = 1;
    kf_rc rc = file_read(f, 0, piece, 1, &got, err);
    if (rc != KF_OK || got == 0 ||
        (!seal_file_begins((str){piece, got}) && !seal_source_named(&r->key)))
        return rc;
    rc = store_side_dir(r->store, &dir, err);
    if (rc == KF_OK && !(r->path = side_path(store_env(r->store), dir, trial_prefix, ".zip")))
        rc = err_nomem(err);
    if (rc == KF_OK)
        rc = file_open(store_env(r->store), r->path, FILE_CREATE, &r->spool, err);
    for (int64_t at = 0; rc == KF_OK && got; at += (int64_t)got) {
        rc = file_read(f, at, piece, sizeof piece, &got, err);
        if (rc == KF_OK && got)
            rc = restore_write(r, (str){piece, got}, err);
        if (rc == KF_OK && r->progress && !r->progress(r->ctx, 0, 0))
            rc = err_set(err, PROBLEM_BUSY, "it was ended by its caller; nothing was changed");
    }
    return rc == KF_OK ? end_spool(r, err) : rc;
}

static void remove_scratch(struct restore *r)
{
    static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
    char path[4200];
    db_close(r->db);
    r->db = NULL;
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        snprintf(path, sizeof path, "%s%s", r->scratch, tails[i]);
        file_unlink(store_env(r->store), path, NULL);
    }
}

void restore_free(struct restore *r)
{
    if (!r)
        return;
    file_close(&r->spool);
    if (r->path)
        file_unlink(store_env(r->store), r->path, NULL);
    if (r->scratch)
        remove_scratch(r);
    HASH_CLEAR(hh, r->places); /* its elements are the arena's */
    rows_release(&r->files);
    arena_release(&r->arena);
    arena_release(&r->bodies);
    buf_release(&r->manifest);
    buf_release(&r->opened);
    seal_reader_free(r->opener);
    mem_free(r->path);
    mem_free(r->scratch);
    mem_free(r);
}

static kf_rc tell(struct restore *r, struct kf_err *err)
{
    if (!r->progress || r->progress(r->ctx, r->loaded, r->lines))
        return KF_OK;
    if (r->holds == PORTABLE_PENDING)
        return err_set(err, PROBLEM_BUSY,
                       "the restore was ended by its caller; %llu documents are merged, and the "
                       "same archive once more does the rest",
                       (unsigned long long)r->loaded);
    return err_set(err, PROBLEM_BUSY, "the restore was ended by its caller; nothing was changed");
}

/* ------------------------------------------------------------------------ step 2: is it whole? */

static kf_rc check_object(struct restore *r, str name, str bytes, struct kf_err *err)
{
    struct buf doc = BUF_INIT;
    struct hash hash;
    char hex[HASH_HEX + 1];
    str wanted;
    bool is_new = true;
    uint64_t entries = 0;
    kf_rc rc = portable_object_parse(name, &doc, &wanted, err);
    if (rc == KF_OK)
        rc = rows_object(&r->files, name, &is_new, err);
    if (rc == KF_OK && !is_new)
        rc = err_set(err, PROBLEM_BAD_ARCHIVE,
                     "\"%.*s\" stands twice in the archive; nothing was changed", STR_SHOWN(name));
    hash_of(bytes, &hash);
    hash_hex(&hash, hex);
    if (rc == KF_OK && !str_is(wanted, hex))
        rc = err_set(err, PROBLEM_INCOMPLETE,
                     "the bytes of \"%.*s\" do not match their hash: the archive is damaged; "
                     "nothing was changed",
                     STR_SHOWN(name));
    if (rc == KF_OK && stream_file_is(buf_view(&doc)))
        rc = stream_read_check(buf_view(&doc), bytes, &entries, err);
    else if (rc == KF_OK)
        rc = json_check(bytes, NULL, NULL, err);
    r->entries += entries;
    r->bytes += bytes.len;
    buf_release(&doc);
    if (rc == KF_OK && r->trial && ++r->looked % GROUP == 0)
        rc = tell(r, err);
    return rc;
}

static kf_rc first_look(void *ctx, str name, str bytes, struct kf_err *err)
{
    struct restore *r = ctx;
    if (!str_is(name, PORTABLE_MANIFEST))
        return check_object(r, name, bytes, err);
    if (r->manifest.len)
        return err_set(err, PROBLEM_BAD_ARCHIVE,
                       "the archive has two manifests; nothing was changed");
    buf_str(&r->manifest, bytes);
    return buf_ok(&r->manifest, err);
}

/* ----------------------------------------------------------------- the manifest against the files
 */

static kf_rc copy_line(struct restore *r, const struct portable_entry *e, struct line **ret,
                       struct kf_err *err)
{
    struct line *l = arena_alloc(&r->arena, sizeof *l);
    if (!l)
        return err_nomem(err);
    l->current = e->line == PORTABLE_DOC;
    l->row = (struct doc_row){.name = arena_str(&r->arena, e->name),
                              .site = arena_str(&r->arena, e->site),
                              .kind = e->kind.len  ? arena_str(&r->arena, e->kind)
                                      : e->deleted ? STR("delete")
                                                   : STR("put"),
                              .hash = arena_str(&r->arena, e->hash),
                              .version = e->version,
                              .stamp = e->stamp,
                              .at_ms = e->at_ms,
                              .size = e->size,
                              .deleted = e->deleted};
    if (!l->row.name.p || !l->row.site.p || !l->row.kind.p || !l->row.hash.p)
        return err_nomem(err);
    *ret = l;
    return KF_OK;
}

static kf_rc file_line(struct restore *r, struct line *l, struct kf_err *err)
{
    struct buf path = BUF_INIT;
    struct place *p;
    struct hash key;
    if (l->row.deleted) {
        l->next = r->deleted;
        r->deleted = l;
        return KF_OK;
    }
    portable_object(l->row.name, l->row.hash, &path);
    kf_rc rc = buf_ok(&path, err);
    if (rc == KF_OK && !rows_has_object(&r->files, buf_view(&path)))
        rc = err_set(err, PROBLEM_INCOMPLETE,
                     "the manifest names version %llu of \"%.*s\" and the archive does not hold "
                     "it; nothing was "
                     "changed",
                     (unsigned long long)l->row.version, STR_SHOWN(l->row.name));
    hash_of(buf_view(&path), &key);
    buf_release(&path);
    if (rc != KF_OK)
        return rc;
    HASH_FIND(hh, r->places, &key, sizeof key, p);
    if (!p) {
        if (!(p = arena_alloc(&r->arena, sizeof *p)))
            return err_nomem(err);
        p->path = key;
        HASH_ADD(hh, r->places, path, sizeof p->path, p);
        if (p->lost)
            return err_nomem(err);
    }
    l->next = p->first;
    p->first = l;
    return KF_OK;
}

static kf_rc take_entry(struct restore *r, const struct portable_entry *e, struct kf_err *err)
{
    struct line *l = NULL;
    if (e->line == PORTABLE_HEAD) {
        r->holds = e->holds;
        return KF_OK;
    }
    if (e->line != PORTABLE_DOC && e->line != PORTABLE_PAST)
        return KF_OK;
    kf_rc rc = copy_line(r, e, &l, err);
    if (rc != KF_OK)
        return rc;
    bool stream = stream_file_is(e->name); /* its stamps are in it; those of attributes are apart */
    if (!stream && e->stamp > r->newest_stamp)
        r->newest_stamp = e->stamp;
    r->lines++;
    r->versions += !stream;
    r->room += e->size;
    r->docs += l->current && !l->row.deleted && !stream;
    return file_line(r, l, err);
}

/* Numbers of the new store. The manifest lists a name's versions from the newest, so a name's lines
 * get descending numbers. */
static kf_rc read_manifest(struct restore *r, struct kf_err *err)
{
    struct portable_reader reader;
    struct portable_entry e;
    if (!r->manifest.len)
        return err_set(err, PROBLEM_INCOMPLETE,
                       "the archive has no manifest: it is no backup, or cut; nothing "
                       "was changed");
    kf_rc rc = portable_read_check(buf_view(&r->manifest), err);
    if (rc != KF_OK)
        return rc;
    portable_read_begin(&reader, buf_view(&r->manifest));
    while (rc == KF_OK && (rc = portable_read(&reader, &e, err)) == KF_OK)
        rc = take_entry(r, &e, err);
    portable_read_end(&reader);
    if (rc == KF_ABSENT)
        rc = KF_OK;
    if (rc == KF_OK && HASH_COUNT(r->places) != rows_objects(&r->files))
        rc = err_set(err, PROBLEM_BAD_ARCHIVE,
                     "the archive holds documents that its manifest does not name; "
                     "nothing was changed");
    if (rc == KF_OK && r->holds == PORTABLE_STATE)
        rc = err_set(err, PROBLEM_BAD_ARCHIVE,
                     "this is the state of a remote, not a backup; add the remote and "
                     "start an empty store");
    return rc;
}

/* ------------------------------------------------------------------------ step 3: a scratch store
 */

struct loading {
    struct restore *r;
    str key;
};

static kf_rc load_entry(void *ctx, const struct entry_import *e, struct kf_err *err)
{
    struct loading *l = ctx;
    if (e->stamp > l->r->newest_stamp)
        l->r->newest_stamp = e->stamp;
    return stream_load_entry(l->r->db, l->key, e, &l->r->seq, err);
}

static kf_rc load_member(void *ctx, const struct member_row *m, struct kf_err *err)
{
    struct loading *l = ctx;
    return stream_load_member(l->r->db, l->key, m, err);
}

static kf_rc load_erasure(void *ctx, const struct erased_row *e, struct kf_err *err)
{
    struct loading *l = ctx;
    return stream_load_erasure(l->r->db, l->key, e, err);
}

static kf_rc load_trimmed(void *ctx, const struct erased_row *e, struct kf_err *err)
{
    struct loading *l = ctx;
    return stream_load_trim(l->r->db, l->key, e, &l->r->seq, err);
}

static kf_rc load_last(void *ctx, uint64_t n, struct kf_err *err)
{
    struct loading *l = ctx;
    return stream_load_last(l->r->db, l->key, n, &l->r->seq, err);
}

static kf_rc load_once(void *ctx, const struct once_row *o, struct kf_err *err)
{
    struct loading *l = ctx;
    return stream_load_id(l->r->db, l->key, o, &l->r->seq, err);
}

static kf_rc load_file(struct restore *r, str name, str text, struct kf_err *err)
{
    struct loading l = {.r = r};
    const struct text_sink sink = {.ctx = &l,
                                   .entry = load_entry,
                                   .member = load_member,
                                   .erasure = load_erasure,
                                   .trimmed = load_trimmed,
                                   .last = load_last,
                                   .once = load_once};
    uint64_t first;
    if (!stream_file_parse(name, &l.key, &first))
        return err_set(err, PROBLEM_BAD_ARCHIVE, "\"%.*s\" is no file of a stream",
                       STR_SHOWN(name));
    return text_each(name, text, &sink, err);
}

static kf_rc load_line(struct restore *r, struct line *l, str body, struct kf_err *err)
{
    struct doc_row row = l->row;
    row.body = body;
    row.size = body.len;
    kf_rc rc = KF_OK;
    r->loaded++;
    if (stream_file_is(row.name)) {
        if (body.p && l->current)
            rc = load_file(r, row.name, body, err);
    } else {
        row.seq = ++r->seq;
        rc = doc_load(r->db, &row, l->current, err);
    }
    if (rc == KF_OK && r->loaded % GROUP == 0)
        rc = tell(r, err);
    return rc;
}

static kf_rc load_object(void *ctx, str name, str bytes, struct kf_err *err)
{
    struct restore *r = ctx;
    struct hash key;
    struct place *p;
    kf_rc rc = KF_OK;
    if (str_is(name, PORTABLE_MANIFEST))
        return KF_OK;
    hash_of(name, &key);
    HASH_FIND(hh, r->places, &key, sizeof key, p);
    for (struct line *l = p ? p->first : NULL; l && rc == KF_OK; l = l->next)
        rc = load_line(r, l, bytes, err);
    return rc;
}

static kf_rc set_state(struct restore *r, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_state SET seq = $1, stamp = $2";
    struct db_stmt *s;
    kf_rc rc = db_use(r->db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, r->seq);
    db_bind_i64(s, 2, r->newest_stamp);
    return db_run(s, err);
}

static kf_rc load_all(struct restore *r, struct kf_err *err)
{
    kf_rc rc = db_begin(r->db, DB_WRITE, err);
    if (rc != KF_OK)
        return rc;
    for (struct line *l = r->deleted; l && rc == KF_OK; l = l->next)
        rc = load_line(r, l, (str){NULL, 0}, err);
    if (rc == KF_OK)
        rc = zip_each(&r->spool, &r->limits, load_object, r, err);
    if (rc == KF_OK && r->loaded != r->lines)
        rc = err_set(err, PROBLEM_INCOMPLETE,
                     "the archive changed while it was read; nothing was changed");
    if (rc == KF_OK)
        rc = stream_load_end(r->db, store_streams(r->store), &r->seq, err);
    if (rc == KF_OK && !r->trial)
        rc = remotes_copy(store_remotes(r->store), r->db, err);
    if (rc == KF_OK)
        rc = set_state(r, err);
    if (rc == KF_OK)
        return db_commit(r->db, err);
    db_rollback(r->db);
    return rc;
}

static kf_rc build_scratch(struct restore *r, struct kf_err *err)
{
    struct db_options o = {.env = store_env(r->store),
                           .path = r->scratch,
                           .mode = DB_OWNER,
                           .create = true,
                           .throw_away = true};
    kf_rc rc = db_open(&o, &r->db, err);
    if (rc == KF_OK)
        rc = schema_apply(r->db, &schema_store, err);
    if (rc == KF_OK)
        rc = load_all(r, err);
    return rc;
}

/* ----------------------------------------------------------------- step 5: the files change places
 */

static kf_rc check_empty(const struct restore *r, struct kf_err *err)
{
    if (r->replace || store_is_empty(r->store))
        return KF_OK;
    return err_set(
        err, PROBLEM_NOT_EMPTY,
        "the space holds documents; say --replace (?replace=true) and they are kept aside");
}

/* What was confirmed while the archive was read and built. */
static kf_rc may_swap(void *ctx, struct kf_err *err)
{
    struct restore *r = ctx;
    int64_t since = store_seq(r->store) - r->began_seq;
    r->overtaken = since > 0 ? (uint64_t)since : 0; /* after another restore numbers begin anew */
    if (r->overtaken)
        KF_SOMETIMES("restore-overtook-writes");
    return KF_SABOTAGE("restore-looks-once") ? KF_OK : check_empty(r, err);
}

static void swapped(void *ctx)
{
    struct restore *r = ctx;
    docs_forget_all(store_docs(r->store));
    streams_forget_all(store_streams(r->store));
}

static kf_rc put_in_place(struct restore *r, struct restored *ret, struct kf_err *err)
{
    kf_rc rc = db_harden(r->db, err);
    db_close(r->db);
    r->db = NULL;
    struct store_swap swap = {.scratch = r->scratch,
                              .may = may_swap,
                              .publish = swapped,
                              .ctx = r,
                              .kept_as = ret->kept_as,
                              .kept_as_size = sizeof ret->kept_as};
    if (rc == KF_OK)
        rc = store_swap(r->store, &swap, err);
    if (rc != KF_OK)
        return rc;
    ret->overtaken = r->overtaken;
    remotes_reset(store_remotes(r->store));
    log_event(store_log(r->store), r->overtaken ? LOG_WARN : LOG_INFO, "store.restored",
              LOG_S("path", store_path(r->store)), LOG_S("kept_as", ret->kept_as),
              LOG_I("overtaken", (int64_t)r->overtaken), LOG_END);
    return KF_OK;
}

/* --------------------------------------------------------------- an archive of what was pending */

struct merge_write {
    struct write write; /* first */
    struct restore *restore;
    size_t from, to; /* of the batch; `to` is found by apply */
};

static kf_rc apply_merge(struct group *g, struct write *w, struct kf_err *err)
{
    struct merge_write *m = (struct merge_write *)w;
    struct restore *r = m->restore;
    kf_rc rc = KF_OK;
    for (m->to = m->from; rc == KF_OK && m->to < r->batch_count;) {
        enum doc_merged merged;
        rc = doc_merge(g, store_docs(r->store), &r->batch[m->to++], &merged, err);
        if (group_slice_over(g))
            break;
    }
    return rc;
}

static void publish_merge(struct write *w)
{
    struct merge_write *m = (struct merge_write *)w;
    struct restore *r = m->restore;
    for (size_t i = m->from; i < m->to; i++)
        docs_forget(store_docs(r->store), r->batch[i].name);
}

static kf_rc merge_batch(struct restore *r, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t from = 0; rc == KF_OK && from < r->batch_count;) {
        struct merge_write m = {
            .write = {.apply = apply_merge, .publish = publish_merge}, .restore = r, .from = from};
        rc = store_write(r->store, &m.write, err);
        if (rc != KF_OK)
            break;
        r->loaded += m.to - from;
        from = m.to;
        rc = tell(r, err);
    }
    r->batch_count = 0;
    arena_clear(&r->bodies);
    return rc;
}

static kf_rc merge_line(struct restore *r, const struct line *l, str body, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    if (r->batch_count == GROUP ||
        (r->batch_count && r->bodies.used_bytes + body.len > GROUP_BYTES))
        rc = merge_batch(r, err);
    if (rc != KF_OK)
        return rc;
    struct doc_import import = {.name = l->row.name,
                                .site = l->row.site,
                                .stamp = l->row.stamp,
                                .at_ms = l->row.at_ms,
                                .version = l->row.version};
    if (body.p && !(import.body = arena_str(&r->bodies, body)).p)
        return err_nomem(err);
    r->batch[r->batch_count++] = import;
    return KF_OK;
}

struct file_merge {
    struct write write; /* first */
    struct restore *r;
    str name, key, text;
    struct stream_take *take;
    bool again; /* it was taken in part */
};

static kf_rc merge_entry(void *ctx, const struct entry_import *e, struct kf_err *err)
{
    enum stream_taken taken;
    int64_t seq;
    return stream_take_entry(((struct file_merge *)ctx)->take, e, &taken, &seq, err);
}

static kf_rc merge_member(void *ctx, const struct member_row *m, struct kf_err *err)
{
    enum stream_taken taken;
    return stream_take_member(((struct file_merge *)ctx)->take, m, &taken, err);
}

static kf_rc merge_erasure(void *ctx, const struct erased_row *e, struct kf_err *err)
{
    enum stream_taken taken;
    return stream_take_erasure(((struct file_merge *)ctx)->take, e, &taken, err);
}

static kf_rc apply_file(struct group *g, struct write *w, struct kf_err *err)
{
    struct file_merge *m = (struct file_merge *)w;
    const struct text_sink sink = {
        .ctx = m, .entry = merge_entry, .member = merge_member, .erasure = merge_erasure};
    bool changed;
    m->again = false;
    kf_rc rc = stream_take_begin(g, store_streams(m->r->store), m->key, &m->take, err);
    if (rc != KF_OK)
        return rc;
    rc = text_each(m->name, m->text, &sink, err);
    if (rc == KF_OK)
        return stream_take_end(m->take, &changed, &m->again, err);
    stream_take_drop(m->take);
    return rc;
}

static void publish_file(struct write *w)
{
    struct file_merge *m = (struct file_merge *)w;
    streams_forget(store_streams(m->r->store), m->key);
}

static kf_rc merge_file(struct restore *r, str name, str text, struct kf_err *err)
{
    struct file_merge m = {.write = {.apply = apply_file, .publish = publish_file},
                           .r = r,
                           .name = name,
                           .text = text};
    uint64_t first;
    if (!stream_file_parse(name, &m.key, &first))
        return err_set(err, PROBLEM_BAD_ARCHIVE, "\"%.*s\" is no file of a stream",
                       STR_SHOWN(name));
    kf_rc rc;
    do
        rc = store_write(r->store, &m.write, err);
    while (rc == KF_OK && m.again);
    r->loaded += rc == KF_OK;
    return rc;
}

static kf_rc merge_object(void *ctx, str name, str bytes, struct kf_err *err)
{
    struct restore *r = ctx;
    struct hash key;
    struct place *p;
    kf_rc rc = KF_OK;
    hash_of(name, &key);
    HASH_FIND(hh, r->places, &key, sizeof key, p);
    for (struct line *l = p ? p->first : NULL; l && rc == KF_OK; l = l->next)
        if (l->current)
            rc = stream_file_is(l->row.name) ? merge_file(r, l->row.name, bytes, err)
                                             : merge_line(r, l, bytes, err);
    return rc;
}

static kf_rc merge_all(struct restore *r, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (struct line *l = r->deleted; l && rc == KF_OK; l = l->next)
        if (l->current && !stream_file_is(l->row.name))
            rc = merge_line(r, l, (str){NULL, 0}, err);
    if (rc == KF_OK)
        rc = zip_each(&r->spool, &r->limits, merge_object, r, err);
    return rc == KF_OK ? merge_batch(r, err) : rc;
}

/* ---------------------------------------------------------------------------------------- finish
 */

static kf_rc replace_all(struct restore *r, struct restored *ret, struct kf_err *err)
{
    uint64_t streams, bytes;
    kf_rc rc = check_empty(r, err); /* now already, and once more when nobody can write */
    if (rc == KF_OK)
        rc = build_scratch(r, err);
    if (rc == KF_OK)
        rc = digest_of(r->db, ret->digest, err);
    if (rc == KF_OK)
        rc = stream_totals(r->db, &streams, &ret->entries, &bytes, err);
    return rc == KF_OK ? put_in_place(r, ret, err) : rc;
}

static kf_rc check_whole(struct restore *r, struct kf_err *err)
{
    kf_rc rc = zip_each(&r->spool, &r->limits, first_look, r, err);
    return rc == KF_OK ? read_manifest(r, err) : rc;
}

kf_rc restore_finish(struct restore *r, kf_progress *progress, void *ctx, struct restored *ret,
                     struct kf_err *err)
{
    struct restored done = {0};
    r->progress = progress;
    r->ctx = ctx;
    kf_rc rc = end_spool(r, err);
    if (rc == KF_OK)
        rc = check_whole(r, err);
    if (rc == KF_OK && r->holds == PORTABLE_PENDING) {
        rc = merge_all(r, err);
        if (rc == KF_OK)
            rc = digest_now(r->store, NULL, NULL, done.digest, err);
    } else if (rc == KF_OK) {
        rc = replace_all(r, &done, err);
    }
    if (rc != KF_OK)
        return rc;
    if (r->holds == PORTABLE_PENDING)
        done.entries = r->entries;
    done.docs = r->docs;
    done.versions = r->versions;
    done.bytes = r->bytes;
    *ret = done;
    return KF_OK;
}

kf_rc restore_store(struct kf_store *store, const char *path,
                    const struct kf_restore_options *options, struct kf_err *err)
{
    struct restore *r = NULL;
    struct restored restored;
    struct file f = FILE_CLOSED;
    struct kf_restore_options o = KF_RESTORE_OPTIONS_INIT;
    struct seal_source key;
    char piece[65536];
    size_t got = 1;
    if (!path)
        return err_set(err, PROBLEM_MISUSE, "kf_restore needs a path");
    kf_rc rc = options_take(options, &o, sizeof o, err);
    if (rc == KF_OK)
        rc = seal_source_of(o.key_file, o.key_env, &key, err);
    if (rc == KF_OK)
        rc = file_open(store_env(store), path, FILE_LINKED, &f, err);
    if (rc == KF_OK)
        rc = restore_new(store, o.replace, &key, &r, err);
    for (int64_t at = 0; rc == KF_OK && got; at += (int64_t)got) {
        rc = file_read(&f, at, piece, sizeof piece, &got, err);
        if (rc == KF_OK && got)
            rc = restore_write(r, (str){piece, got}, err);
    }
    if (rc == KF_OK)
        rc = restore_finish(r, o.progress, o.ctx, &restored, err);
    restore_free(r);
    file_close(&f);
    return rc;
}

/* ----------------------------------------------------------------------------------------- drill
 */

static kf_rc check_kind(const struct restore *r, struct kf_err *err)
{
    if (r->holds == PORTABLE_BACKUP)
        return KF_OK;
    return err_set(err, PROBLEM_BAD_ARCHIVE, "the archive holds what was pending, not everything");
}

kf_rc restore_check(struct kf_store *store, struct file *f, const struct seal_source *key,
                    kf_progress *progress, void *ctx, struct kf_err *err)
{
    struct restore *r = reader_new(store, key);
    if (!r)
        return err_nomem(err);
    r->trial = true;
    r->progress = progress;
    r->ctx = ctx;
    kf_rc rc = spool_file(r, f, err);
    bool own = r->path != NULL;
    if (!own)
        r->spool = *f;
    if (rc == KF_OK)
        rc = check_whole(r, err);
    if (rc == KF_OK)
        rc = check_kind(r, err);
    if (!own)
        r->spool = FILE_CLOSED; /* the caller's */
    restore_free(r);
    return rc;
}

/* Versions of the same bytes are one object and as many rows, so it is the rows that count. */
static kf_rc check_room(const struct restore *r, const char *dir, struct kf_err *err)
{
    uint64_t free_bytes, needed = 2 * (r->room + r->manifest.len) + store_low_water(r->store);
    kf_rc rc = path_free_bytes(store_env(r->store), dir, &free_bytes, err);
    if (rc != KF_OK || free_bytes >= needed)
        return rc;
    return err_set(err, PROBLEM_LOW_SPACE,
                   "a drill wants %llu bytes free in %s, and %llu are; it is tried again the next "
                   "time",
                   (unsigned long long)needed, dir, (unsigned long long)free_bytes);
}

static bool is_wanted(void *ctx)
{
    struct restore *r = ctx;
    return !r->progress || r->progress(r->ctx, r->loaded, r->lines);
}

static kf_rc try_whole(struct restore *r, const char *dir, char ret_digest[HASH_HEX + 1],
                       struct kf_err *err)
{
    kf_rc rc = check_whole(r, err);
    if (rc == KF_OK)
        rc = check_kind(r, err);
    if (rc == KF_OK)
        rc = check_room(r, dir, err);
    if (rc == KF_OK)
        rc = build_scratch(r, err);
    if (rc == KF_OK)
        rc = verify_db(r->db, store_env(r->store), r->progress, r->ctx, err);
    if (rc != KF_OK)
        return rc;
    db_watch(r->db, is_wanted, r);
    rc = digest_of(r->db, ret_digest, err);
    db_watch(r->db, NULL, NULL);
    return rc;
}

kf_rc restore_try(struct kf_store *store, const char *path, const struct seal_source *key,
                  kf_progress *progress, void *ctx, struct restore_tried *ret, struct kf_err *err)
{
    struct restore_tried tried = {0};
    struct file f = FILE_CLOSED;
    const char *dir;
    kf_rc rc = store_side_dir(store, &dir, err);
    if (rc != KF_OK)
        return rc;
    struct restore *r = reader_new(store, key);
    if (!r)
        return err_nomem(err);
    r->trial = true;
    r->progress = progress;
    r->ctx = ctx;
    r->scratch = side_path(store_env(store), dir, trial_prefix, ".db");
    rc = r->scratch ? file_open(store_env(store), path, FILE_READ, &f, err) : err_nomem(err);
    if (rc == KF_OK)
        rc = spool_file(r, &f, err);
    if (rc == KF_OK && !r->path) {
        r->spool = f;
        f = FILE_CLOSED;
    }
    file_close(&f);
    if (rc == KF_OK)
        rc = try_whole(r, dir, tried.digest, err);
    tried.docs = r->docs;
    tried.versions = r->versions;
    restore_free(r);
    if (rc == KF_OK)
        *ret = tried;
    return rc;
}

void restore_try_sweep(struct kf_store *store)
{
    struct buf names = BUF_INIT, path = BUF_INIT;
    const char *dir;
    int64_t count = 0;
    if (store_side_dir(store, &dir, NULL) != KF_OK ||
        dir_list(store_env(store), dir, &names, NULL) != KF_OK)
        goto out;
    for (size_t at = 0; at < names.len; at += strlen(names.p + at) + 1) {
        if (!str_starts(str_of(names.p + at), str_of(trial_prefix)))
            continue;
        buf_clear(&path);
        buf_printf(&path, "%s/%s", dir, names.p + at);
        if (buf_ok(&path, NULL) == KF_OK)
            count += file_unlink(store_env(store), path.p, NULL) == KF_OK;
    }
    if (count) {
        KF_SOMETIMES("drill-scratch-removed");
        log_event(store_log(store), LOG_INFO, "gc.temp", LOG_S("path", dir), LOG_I("n", count),
                  LOG_END);
    }
out:
    buf_release(&names);
    buf_release(&path);
}
