/* Step 2 of a restore: every file of the archive is read and checked, hash against name, JSON, the
 * manifest against the files. Nothing is written. */
#include "move/restore_internal.h"

#include "base/json.h"

#include "remote/stream_text.h"

/* ------------------------------------------------------------------------------------ the files */

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
    if (rc == KF_OK && r->trial && ++r->looked % RESTORE_GROUP == 0)
        rc = restore_tell(r, err);
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

/* --------------------------------------------------------------- the manifest against the files */

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

kf_rc restore_look(struct restore *r, struct kf_err *err)
{
    kf_rc rc = zip_each(&r->spool, &r->limits, first_look, r, err);
    return rc == KF_OK ? read_manifest(r, err) : rc;
}
