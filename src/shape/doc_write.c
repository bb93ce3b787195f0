/* Put, patch, delete, revert.
 *
 *     doc_write_new           on the caller's thread: copies, checks name, size, JSON and schema,
 *                             hashes the body
 *        | doc_write_submit, doc_write_run
 *     apply                   on the leader's thread, in the group:
 *        |   idempotency key   known: its first result, or id_reused            (doc_once.c)
 *        |   head              what there is now
 *        |   conditions        may what is there be replaced?                   (doc_condition.c)
 *        |   the verb          same bytes: unchanged; else version, head, journal, trim
 *        |   idempotency key   its result
 *     publish                 the cache shows it (D4)
 *     done
 *
 * apply may run again for the same write (G3), so it begins by forgetting what it did before.
 *
 * Who owns a write of level memory: `done` comes before the commit and `publish` after it, on
 * possibly different threads, so such a write has two owners and the second to leave frees it. When
 * it fails in its own apply, no publish follows and `done` leaves for both. */
#include "shape/doc_internal.h"

#include "base/public.h"

/* --------------------------------------------------------------------------------------- checks */

static kf_rc check_options(const struct docs *docs, const struct kf_write_options *o,
                           struct kf_err *err)
{
    str key = str_of(o->idempotency_key);
    if (o->idempotency_key &&
        (key.len == 0 || key.len > DOC_KEY_MAX || str_utf8_valid(key) != key.len))
        return err_set(err, PROBLEM_BAD_REQUEST, "an idempotency key has 1 to %d bytes of UTF-8",
                       DOC_KEY_MAX);
    if (o->if_none_match && strcmp(o->if_none_match, "*") != 0)
        return err_set(err, PROBLEM_BAD_REQUEST,
                       "If-None-Match takes * alone: write only when there is nothing");
    if (o->if_match && !*o->if_match)
        return err_set(err, PROBLEM_BAD_REQUEST, "If-Match is empty: give an ETag or *");
    if (o->if_match && o->if_none_match)
        return err_set(err, PROBLEM_BAD_REQUEST,
                       "If-Match and If-None-Match contradict each other");
    kf_level own = store_level(docs->store);
    if (o->level != KF_LEVEL_DEFAULT && o->level != KF_LEVEL_MEMORY && o->level != own)
        return err_set(
            err, PROBLEM_BAD_REQUEST,
            "this store answers at level memory or %s; for remotes, name them to wait for",
            kf_level_name(own));
    return KF_OK;
}

static kf_rc check_size(const struct docs *docs, str body, struct kf_err *err)
{
    if (body.len <= docs->limit_doc)
        return KF_OK;
    return err_set(err, PROBLEM_TOO_LARGE, "the document has %zu bytes, limits.doc allows %llu",
                   body.len, (unsigned long long)docs->limit_doc);
}

kf_rc doc_body_check(const struct docs *docs, str name, str body, struct kf_err *err)
{
    kf_rc rc = check_size(docs, body, err);
    if (rc == KF_OK)
        rc = json_check(body, NULL, NULL, err);
    return rc == KF_OK ? docs_check_schema(docs, name, body, err) : rc;
}

/* Empty for verbs without one. */
static str body_of(const struct kf_write *r)
{
    bool has = (r->verb == KF_PUT || r->verb == KF_PATCH) && r->body;
    return has ? str_make(r->body, r->len) : STR("");
}

static kf_rc check_request(const struct docs *docs, const struct kf_write *r, struct kf_err *err)
{
    if ((r->verb == KF_PUT || r->verb == KF_PATCH) && !r->body && r->len)
        return err_set(err, PROBLEM_MISUSE, "the body is NULL, its length is not 0");
    str name = str_of(r->name), body = body_of(r);
    kf_rc rc = name_check_own(name, err);
    if (rc != KF_OK)
        return rc;
    switch (r->verb) {
    case KF_PUT: return doc_body_check(docs, name, body, err);
    case KF_PATCH:
        rc = check_size(docs, body, err);
        return rc == KF_OK ? json_check(body, NULL, NULL, err) : rc;
    case KF_DELETE: return KF_OK;
    case KF_REVERT:
        if (r->version == 0 || r->version > INT64_MAX)
            return err_set(err, PROBLEM_BAD_REQUEST, "versions count from 1");
        return KF_OK;
    }
    return err_set(err, PROBLEM_MISUSE, "there is no verb %d", (int)r->verb);
}

/* ----------------------------------------------------------------------------------- the object */

/* What makes two requests the same one: all that could make a difference to the result. */
static void hash_request(struct doc_write *w)
{
    struct hash_state h;
    unsigned char flags[3] = {(unsigned char)w->verb, w->if_none_match, w->force};
    hash_begin(&h);
    hash_add_part(&h, str_make(flags, sizeof flags));
    hash_add_part(&h, w->name);
    hash_add_part(&h, w->body);
    hash_add_part(&h, w->if_match);
    hash_add_part(&h, str_make(&w->version, sizeof w->version));
    hash_end(&h, &w->request);
}

static kf_rc apply(struct group *g, struct write *write, struct kf_err *err);
static void publish(struct write *write);

/* One block: the struct and its texts behind it. The body of a PUT lies where it will stay, in what
 * the cache gets. */
static struct doc_write *write_alloc(struct docs *docs, const struct kf_write *r,
                                     const struct kf_write_options *o)
{
    str name = str_of(r->name), if_match = str_of(o->if_match);
    str key = str_of(KF_SABOTAGE("drop-idempotency-index") ? NULL : o->idempotency_key);
    str body = body_of(r);
    bool in_hot = r->verb == KF_PUT;
    size_t room = name.len + if_match.len + key.len + 4 + (in_hot ? 0 : body.len);
    struct doc_write *w = mem_alloc(sizeof *w + room);
    if (!w)
        return NULL;
    char *at = (char *)(w + 1);
    *w = (struct doc_write){.docs = docs, .verb = r->verb, .version = r->version};
    atomic_init(&w->refs, 1);
    w->name = str_put(&at, name);
    w->if_match = str_put(&at, if_match);
    w->idempotency_key = str_put(&at, key);
    if (!in_hot) {
        w->body = str_put(&at, body);
    } else if (hot_new(name, body.len, &w->next, NULL) == KF_OK) {
        memcpy(hot_room(w->next), body.p, body.len);
        w->body = w->next->body;
    } else {
        if (!KF_SABOTAGE("leak-on-oom"))
            mem_free(w);
        return NULL;
    }
    return w;
}

kf_rc doc_write_new(struct docs *docs, const struct kf_write *request, struct doc_write **ret_write,
                    struct kf_err *err)
{
    struct kf_write_options o = KF_WRITE_OPTIONS_INIT;
    if (!request || request->size < sizeof *request || !request->name)
        return err_set(err, PROBLEM_MISUSE,
                       "this write has no size or name: begin with KF_WRITE_INIT");
    kf_rc rc = options_take(&request->options, &o, sizeof o, err);
    if (rc == KF_OK)
        rc = check_options(docs, &o, err);
    if (rc == KF_OK)
        rc = check_request(docs, request, err);
    if (rc != KF_OK)
        return rc;
    struct doc_write *w = write_alloc(docs, request, &o);
    if (!w)
        return err_nomem(err);
    w->if_none_match = o.if_none_match;
    w->force = o.force;
    w->level = o.level;
    w->write.apply = apply;
    w->write.publish = publish;
    w->write.frees = w->verb == KF_DELETE;
    w->write.metered = true;
    if (w->idempotency_key.len)
        hash_request(w);
    if (w->verb == KF_PUT) {
        struct hash hash;
        hash_of(w->body, &hash);
        hash_hex(&hash, w->hash_hex);
    }
    *ret_write = w;
    return KF_OK;
}

static void leave(struct doc_write *w)
{
    if (atomic_fetch_sub_explicit(&w->refs, 1, memory_order_acq_rel) != 1)
        return;
    hot_drop(w->next);
    buf_release(&w->made);
    mem_free(w);
}

void doc_write_free(struct doc_write *w)
{
    if (w)
        leave(w);
}

static void on_done(struct write *write)
{
    struct doc_write *w = (struct doc_write *)write;
    bool before_commit = write->early && !w->published;
    w->written.level = before_commit ? KF_LEVEL_MEMORY : store_level(w->docs->store);
    /* Who is told now may read next: memory has the version before, and who finds nothing there
     * waits for the commit (store/store_read.c). */
    if (before_commit && w->changed && !KF_SABOTAGE("early-shown-late"))
        doc_cache_forget(w->docs->cache, w->name);
    if (before_commit && write->rc != KF_OK)
        leave(w); /* for publish, which will not come */
    w->done(w);
}

void doc_write_submit(struct doc_write *w, void (*done)(struct doc_write *w), void *ctx)
{
    w->done = done;
    w->ctx = ctx;
    w->write.done = on_done;
    w->write.early = w->level == KF_LEVEL_MEMORY;
    if (w->write.early)
        atomic_fetch_add_explicit(&w->refs, 1, memory_order_relaxed);
    store_submit(w->docs->store, &w->write);
}

kf_rc doc_write_run(struct doc_write *w, struct kf_err *err)
{
    w->write.early = false;
    kf_rc rc = store_write(w->docs->store, &w->write, err);
    w->written.level = store_level(w->docs->store);
    return rc;
}

/* ------------------------------------------------------------------------------------ the verbs */

/* Later than what it replaces, also when that came from a clock far ahead of ours. Applied again
 * after its group failed, a write keeps the stamp that it had: whoever was told early has the ETag
 * of it. Somebody else who has this store open may have given the same one to another document in
 * between, which is no matter: stamps are compared within a name. */
static int64_t stamp_for(struct group *g, struct doc_write *w, const struct doc_head *head)
{
    int64_t before = head->there ? head->stamp : 0;
    if (w->stamp <= before)
        w->stamp = group_stamp(g);
    if (w->stamp <= before)
        w->stamp = before + 1;
    return w->stamp;
}

/* Writes the next version. Deletion: body.p == NULL. */
static kf_rc put_version(struct group *g, struct doc_write *w, const struct doc_head *head,
                         const char *kind, str body, str hash, struct kf_err *err)
{
    struct doc_record record = {
        .name = w->name,
        .site = str_of(group_site(g)),
        .kind = str_of(kind),
        .body = body,
        .hash = hash,
        .version = head->there ? head->version + 1 : 1,
        .stamp = stamp_for(g, w, head),
        .at_ms = group_now_ms(g),
    };
    int64_t seq = 0;
    kf_rc rc = doc_record(g, &record, head, &seq, err);
    if (rc == KF_OK)
        rc = doc_trim(g, w->docs, w->name, record.version, err);
    if (rc != KF_OK)
        return rc;
    w->changed = true;
    w->written.version = record.version;
    w->written.created = !doc_exists(head) && body.p;
    if (!body.p)
        return KF_OK;
    doc_etag(record.stamp, record.site, w->written.etag);
    w->next->version = record.version;
    w->next->seq = seq;
    w->next->at_ms = record.at_ms;
    memcpy(w->next->etag, w->written.etag, sizeof w->written.etag);
    return KF_OK;
}

/* w->next->body becomes the document, unless it is already. */
static kf_rc put_body(struct group *g, struct doc_write *w, const struct doc_head *head,
                      const char *kind, const char *hash, struct kf_err *err)
{
    bool same = doc_exists(head) && strcmp(head->hash, hash) == 0, readable = false;
    if (same) {
        kf_rc rc = doc_is_readable(g, w, head, &readable, err);
        if (rc != KF_OK)
            return rc;
    }
    if (!readable)
        return put_version(g, w, head, kind, w->next->body, str_of(hash), err);
    w->written.version = head->version;
    w->written.unchanged = true;
    doc_etag(head->stamp, str_of(head->site), w->written.etag);
    return KF_OK;
}

/* As put_body, for a body that came about in this group. An offset in it would mean nothing to the
 * caller. */
static kf_rc put_made(struct group *g, struct doc_write *w, const struct doc_head *head,
                      const char *kind, str body, struct kf_err *err)
{
    struct hash hash;
    char hex[HASH_HEX + 1];
    kf_rc rc = doc_body_check(w->docs, w->name, body, err);
    if (rc != KF_OK && rc != KF_NOMEM) {
        err_prefix(err, "the document would be refused after this %s", kind);
        if (err)
            err->offset = -1;
    }
    if (rc == KF_OK)
        rc = hot_new(w->name, body.len, &w->next, err);
    if (rc != KF_OK)
        return rc;
    memcpy(hot_room(w->next), body.p, body.len);
    hash_of(body, &hash);
    hash_hex(&hash, hex);
    return put_body(g, w, head, kind, hex, err);
}

static kf_rc apply_patch(struct group *g, struct doc_write *w, const struct doc_head *head,
                         struct kf_err *err)
{
    struct buf now = BUF_INIT;
    struct hot *hot = NULL;
    str target;
    kf_rc rc = KF_OK;
    if (!doc_exists(head))
        return doc_unknown(w->name, err);
    hot = doc_cache_get(w->docs->cache, w->name, NULL);
    if (hot && hot->seq == head->seq) {
        target = hot->body;
    } else {
        rc = doc_body_load(group_db(g), w->name, head->seq, &now, err);
        target = buf_view(&now);
    }
    if (rc == KF_OK)
        rc = json_merge_patch(target, w->body, &w->made, err);
    if (rc == KF_OK)
        rc = put_made(g, w, head, "patch", buf_view(&w->made), err);
    hot_drop(hot);
    buf_release(&now);
    return rc;
}

static kf_rc version_seq(struct group *g, const struct doc_write *w, int64_t *ret_seq,
                         struct kf_err *err)
{
    static const char sql[] = "SELECT seq, body IS NULL AND hash = '' FROM kf_doc_version "
                              "WHERE name = $1 AND version = $2";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, w->name);
    db_bind_i64(s, 2, (int64_t)w->version);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && (!row || db_i64(s, 1)))
        rc = err_set(err, PROBLEM_NOT_FOUND, "version %llu of \"%.*s\" is %s",
                     (unsigned long long)w->version, STR_SHOWN(w->name),
                     row ? "a deletion" : "not kept (any more)");
    if (rc == KF_OK)
        *ret_seq = db_i64(s, 0);
    db_done(s);
    return rc;
}

static kf_rc apply_revert(struct group *g, struct doc_write *w, const struct doc_head *head,
                          struct kf_err *err)
{
    int64_t seq = 0;
    if (!head->there)
        return doc_unknown(w->name, err);
    kf_rc rc = version_seq(g, w, &seq, err);
    if (rc == KF_OK)
        rc = doc_body_load(group_db(g), w->name, seq, &w->made, err);
    return rc == KF_OK ? put_made(g, w, head, "revert", buf_view(&w->made), err) : rc;
}

static kf_rc apply_delete(struct group *g, struct doc_write *w, const struct doc_head *head,
                          struct kf_err *err)
{
    /* While the store is being filled, a deletion that insists is kept and merged with what
     * comes. */
    if (!doc_exists(head) && (head->there || !docs_unknown(w->docs, w->name)))
        return doc_unknown(w->name, err);
    return put_version(g, w, head, "delete", (str){0}, STR(""), err);
}

static kf_rc apply_verb(struct group *g, struct doc_write *w, const struct doc_head *head,
                        struct kf_err *err)
{
    switch (w->verb) {
    case KF_PUT: return put_body(g, w, head, "put", w->hash_hex, err);
    case KF_PATCH: return apply_patch(g, w, head, err);
    case KF_DELETE: return apply_delete(g, w, head, err);
    case KF_REVERT: return apply_revert(g, w, head, err);
    }
    assert(!"a verb that doc_write_new let through");
    return err_set(err, PROBLEM_INTERNAL, "no such verb");
}

static kf_rc apply(struct group *g, struct write *write, struct kf_err *err)
{
    struct doc_write *w = (struct doc_write *)write;
    struct doc_head head;
    kf_rc rc;
    w->written = (struct kf_written){0};
    w->changed = false;
    if (w->verb != KF_PUT) {
        hot_drop(w->next);
        w->next = NULL;
        buf_clear(&w->made);
    }
    if (w->idempotency_key.len) {
        rc = doc_once_look(g, w, err);
        if (rc != KF_ABSENT)
            return rc;
    }
    rc = doc_head_load(group_db(g), w->name, &head, err);
    if (rc == KF_OK)
        rc = doc_conditions(g, w, &head, err);
    if (rc == KF_OK)
        rc = apply_verb(g, w, &head, err);
    if (rc == KF_OK && w->idempotency_key.len)
        rc = doc_once_keep(g, w, err);
    return rc;
}

static void publish(struct write *write)
{
    struct doc_write *w = (struct doc_write *)write;
    if (w->changed && write->rc == KF_OK) {
        if (w->next)
            doc_cache_publish(w->docs->cache, w->next);
        else
            doc_cache_forget(w->docs->cache, w->name);
    }
    w->published = true;
    if (write->early)
        leave(w);
}
