/* Step 1 of a restore: what comes is spooled to the side folder, and opened on its way when it is
 * sealed. A drill and a look read the file where it is, unless it is sealed. */
#include "move/restore_internal.h"

#include <stdio.h>

char *restore_side_path(const struct env *env, const char *dir, const char *prefix,
                        const char *tail)
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

kf_rc restore_end_spool(struct restore *r, struct kf_err *err)
{
    return r->opener ? spool_opened(r, seal_reader_end(r->opener, &r->opened, err), err) : KF_OK;
}

kf_rc restore_spool_file(struct restore *r, struct file *f, struct kf_err *err)
{
    const char *dir;
    char piece[65536];
    size_t got = 1;
    kf_rc rc = file_read(f, 0, piece, 1, &got, err);
    if (rc != KF_OK || got == 0 ||
        (!seal_file_begins((str){piece, got}) && !seal_source_named(&r->key)))
        return rc;
    rc = store_side_dir(r->store, &dir, err);
    if (rc == KF_OK &&
        !(r->path = restore_side_path(store_env(r->store), dir, RESTORE_DRILL, ".zip")))
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
    return rc == KF_OK ? restore_end_spool(r, err) : rc;
}
