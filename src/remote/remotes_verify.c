/* Every object of every remote against its hash, and what to do about those that fail:
 *
 *     verify: read all -> bad ones noted -> each: a whole copy of these bytes here?
 *                                               --yes--> put, settle, read back: repaired
 *                                               --no---> left as it is
 *
 * An object's name holds the hash of its bytes. So a copy that fits the hash is the one that was
 * there, whichever store wrote it and whatever became of the document since, and writing it again
 * cannot take anything newer away. A manifest that is damaged is not made anew: it may have said
 * what other stores pushed, and that would be a guess. */
#include "remote/remotes_files.h"

struct bad_object {
    str name, site, hash, why;
    int64_t stamp, at_ms;
    uint64_t version;
    size_t size;
    bool inexact; /* the hash is not that of the bytes here */
};

struct verifying {
    struct remote_sink sink; /* first */
    struct remote_entry *entry;
    struct buf *report;
    struct arena arena; /* of the objects */
    struct bad_object *bad;
    size_t count, cap;
    uint64_t repaired;
};

static kf_rc note_bad(struct remote_sink *sink, const struct remote_doc *doc,
                      const struct kf_err *why, struct kf_err *err)
{
    struct verifying *v = (struct verifying *)sink;
    if (v->count == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : 16;
        struct bad_object *p = mem_realloc(v->bad, cap * sizeof(*p));
        if (!p)
            return err_nomem(err);
        v->bad = p;
        v->cap = cap;
    }
    struct bad_object b = {.name = arena_str(&v->arena, doc->doc.name),
                           .hash = arena_str(&v->arena, doc->hash),
                           .why = arena_str(&v->arena, str_of(why->detail)),
                           .site = arena_str(&v->arena, doc->doc.site),
                           .stamp = doc->doc.stamp,
                           .at_ms = doc->doc.at_ms,
                           .version = doc->doc.version,
                           .size = doc->size,
                           .inexact = doc->doc.inexact};
    if (!b.name.p || !b.hash.p || !b.why.p || !b.site.p)
        return err_nomem(err);
    v->bad[v->count++] = b;
    return KF_OK;
}

/* Its bytes are those that its hash says; of a stream they must also be a file that can be read. */
static kf_rc note_good(struct remote_sink *sink, const struct remote_doc *doc, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    if (!stream_file_is(doc->doc.name) || !doc->doc.body.p)
        return KF_OK;
    kf_rc rc = stream_read_check(doc->doc.name, doc->doc.body, NULL, &why);
    if (rc == KF_OK || rc == KF_NOMEM)
        return rc == KF_OK ? KF_OK : err_nomem(err);
    return note_bad(sink, doc, &why, err);
}

/* ----------------------------------------------------------------------------------- repairing */

/* The same write, in whatever bytes it stands there. *ret_deleted: it has none. */
static kf_rc same_write(struct db *db, const struct bad_object *b, struct buf *body,
                        bool *ret_deleted, struct kf_err *err)
{
    static const char sql[] = "SELECT hash FROM kf_doc_version WHERE name = $1 AND"
                              " stamp = $2 AND site = $3 LIMIT 1";
    struct db_stmt *s;
    struct buf hash = BUF_INIT;
    bool there = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, b->name);
    db_bind_i64(s, 2, b->stamp);
    db_bind_text(s, 3, b->site);
    rc = db_step(s, &there, err);
    if (rc == KF_OK && there)
        buf_str(&hash, db_text(s, 0));
    db_done(s);
    if (rc == KF_OK && !there)
        rc = KF_ABSENT;
    if (rc == KF_OK)
        rc = buf_ok(&hash, err);
    *ret_deleted = hash.len == 0;
    if (rc == KF_OK && hash.len)
        rc = doc_body_of(db, b->name, buf_view(&hash), body, err);
    buf_release(&hash);
    return rc;
}

static kf_rc local_file(struct db *db, struct remote_entry *e, const struct bad_object *b,
                        struct buf *body, struct kf_err *err)
{
    const struct file_wanted wanted = {.name = b->name,
                                       .hash = b->hash,
                                       .site = b->site,
                                       .stamp = b->stamp,
                                       .inexact = b->inexact,
                                       .secrets = entry_has_secrets(e)};
    return files_copy(db, str_of(e->name), &wanted, body, err);
}

/* KF_ABSENT: there is no whole copy here. */
static kf_rc local_copy(struct remote_entry *e, const struct bad_object *b, struct buf *body,
                        bool *ret_deleted, struct kf_err *err)
{
    struct remotes *r = e->remotes;
    struct db *db;
    *ret_deleted = false;
    kf_rc rc = store_read_lenient(r->store, &db, err);
    if (rc != KF_OK)
        return rc;
    if (stream_file_is(b->name))
        rc = local_file(db, e, b, body, err);
    else
        rc = b->inexact ? same_write(db, b, body, ret_deleted, err)
                        : doc_body_of(db, b->name, b->hash, body, err);
    store_read_end(r->store, db);
    return rc == KF_OK && !b->inexact && body->len != b->size ? KF_ABSENT : rc;
}

/* Its line in the report is ended with what became of it. KF_NOMEM, and `stopping`; every other
 * failure is in the line. */
static kf_rc repair(struct verifying *v, struct remote *remote, const struct bad_object *b,
                    struct kf_err *err)
{
    struct remotes *r = v->entry->remotes;
    struct buf body = BUF_INIT;
    struct kf_err why = KF_ERR_INIT;
    bool deleted = false;
    kf_rc rc = remote_go_on(remote, err);
    if (rc != KF_OK)
        return rc;
    if ((rc = local_copy(v->entry, b, &body, &deleted, &why)) == KF_OK) {
        const struct remote_doc doc = {.doc = {.name = b->name,
                                               .site = b->site,
                                               .stamp = b->stamp,
                                               .at_ms = b->at_ms,
                                               .version = b->version,
                                               .body = deleted ? (str){0, 0} : buf_view(&body)},
                                       .hash = b->hash,
                                       .size = b->size};
        rc = remote->driver->repair(remote, &doc, &why);
    }
    if (rc == KF_OK) {
        KF_SOMETIMES("remote-object-repaired");
        v->repaired++;
        buf_c(v->report, "; written again from this store\n");
        log_event(r->log, LOG_INFO, "remote.repaired", LOG_S("remote", v->entry->name),
                  LOG_V("doc", b->name), LOG_END);
    } else if (rc == KF_ABSENT) {
        buf_c(v->report, "; there is no whole copy of it here\n");
    } else if (rc != KF_NOMEM) {
        buf_printf(v->report, "; it cannot be written again: %s\n", why.detail);
    }
    buf_release(&body);
    return rc == KF_NOMEM ? err_nomem(err) : KF_OK;
}

static kf_rc repair_all(struct verifying *v, struct remote *remote, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < v->count; i++) {
        const struct bad_object *b = &v->bad[i];
        log_event(v->entry->remotes->log, LOG_ERROR, "remote.bad_object",
                  LOG_S("remote", v->entry->name), LOG_V("doc", b->name), LOG_V("why", b->why),
                  LOG_END);
        buf_printf(v->report, "remote %s: \"%.*s\": %.*s", v->entry->name,
                   (int)(b->name.len < 300 ? b->name.len : 300), b->name.p, STR_ARGS(b->why));
        rc = repair(v, remote, b, err);
    }
    return rc == KF_OK ? buf_ok(v->report, err) : rc;
}

/* ------------------------------------------------------------------------------------ verifying */

static kf_rc verify_one(struct verifying *v, struct kf_err *err)
{
    struct remote *remote = NULL;
    kf_rc rc = entry_connect(v->entry, &remote, err);
    if (rc == KF_OK)
        rc = remote->driver->verify(remote, &v->sink, err);
    if (rc == KF_OK)
        rc = repair_all(v, remote, err);
    if (remote)
        remote->driver->close(remote);
    return rc;
}

static kf_rc verify_entry(struct remote_entry *e, struct buf *report, uint64_t *damaged,
                          uint64_t *repaired, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    struct verifying v = {
        .sink = {.take = note_good, .bad = note_bad}, .entry = e, .report = report};
    kf_rc rc = verify_one(&v, &why);
    *damaged += v.count;
    *repaired += v.repaired;
    arena_release(&v.arena);
    mem_free(v.bad);
    if (rc == KF_OK)
        return KF_OK;
    if (rc == KF_NOMEM)
        return err_nomem(err);
    if (problem_is(&why, PROBLEM_KEY_NEEDED))
        return err_set(err, PROBLEM_KEY_NEEDED, "%s cannot be verified: %s", e->name, why.detail);
    if (problem_is(&why, PROBLEM_BAD_OBJECT)) { /* its manifest */
        ++*damaged;
        buf_printf(report, "remote %s: %s\n", e->name, why.detail);
        return buf_ok(report, err);
    }
    return err_set(err, PROBLEM_REMOTE_FAILED, "%s cannot be verified: %s", e->name, why.detail);
}

kf_rc remotes_verify(struct remotes *r, struct buf *report, uint64_t *damaged, uint64_t *repaired,
                     struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (int i = 0; rc == KF_OK && i < REMOTES_MAX; i++) {
        struct remote_entry *e = entry_at(r, i);
        if (e)
            rc = verify_entry(e, report, damaged, repaired, err);
        entry_drop(e);
    }
    return rc;
}
