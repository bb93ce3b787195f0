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
 * Step 1 is restore_spool.c, 2 restore_look.c, 3 restore_build.c, the rest is here. An archive of
 * what is pending (manifest: holds pending) is merged instead, behind step 2 (restore_merge.c). A
 * drill (restore_try.c) takes steps 2 to 4 and ends there. */
#include "move/restore_internal.h"

#include "base/public.h"
#include "remote/stream_text.h"

#include <stdio.h>

/* --------------------------------------------------------------------------------------- object */

static struct zip_limits limits_of(struct kf_store *store)
{
    const struct streams *streams = store_streams(store);
    return (struct zip_limits){.one_max = docs_limit(store_docs(store)),
                               .manifest = PORTABLE_MANIFEST,
                               .manifest_max = OBJECTS_MANIFEST_MAX,
                               .parts = PORTABLE_STREAMS,
                               .parts_max = stream_part_max(streams ? streams_limit(streams) : 0)};
}

struct restore *restore_reader_new(struct kf_store *store, const struct seal_source *key)
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
    struct restore *r = restore_reader_new(store, key);
    if (!r)
        return err_nomem(err);
    r->replace = replace;
    r->began_seq = store_seq(store);
    r->path = restore_side_path(store_env(store), dir, RESTORE_SPOOL, ".zip");
    r->scratch = restore_side_path(store_env(store), dir, RESTORE_SPOOL, ".db");
    rc = r->path && r->scratch ? file_open(store_env(store), r->path, FILE_CREATE, &r->spool, err)
                               : err_nomem(err);
    if (rc != KF_OK) {
        restore_free(r);
        return rc;
    }
    *ret = r;
    return KF_OK;
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

kf_rc restore_tell(struct restore *r, struct kf_err *err)
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

/* -------------------------------------------------------------- step 5: the files change places */

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

/* --------------------------------------------------------------------------------------- finish */

static kf_rc replace_all(struct restore *r, struct restored *ret, struct kf_err *err)
{
    uint64_t streams, bytes;
    kf_rc rc = check_empty(r, err); /* now already, and once more when nobody can write */
    if (rc == KF_OK)
        rc = restore_build(r, err);
    if (rc == KF_OK)
        rc = digest_of(r->db, ret->digest, err);
    if (rc == KF_OK)
        rc = stream_totals(r->db, &streams, &ret->entries, &bytes, err);
    return rc == KF_OK ? put_in_place(r, ret, err) : rc;
}

kf_rc restore_finish(struct restore *r, kf_progress *progress, void *ctx, struct restored *ret,
                     struct kf_err *err)
{
    struct restored done = {0};
    r->progress = progress;
    r->ctx = ctx;
    kf_rc rc = restore_end_spool(r, err);
    if (rc == KF_OK)
        rc = restore_look(r, err);
    if (rc == KF_OK && r->holds == PORTABLE_PENDING) {
        rc = restore_merge(r, err);
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
