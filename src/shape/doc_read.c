/* Reading one document: the current one (memory first), a version, the difference of two. */
#include "shape/doc_internal.h"

static void give(struct hot *hot, struct kf_doc *ret)
{
    *ret = (struct kf_doc){
        .body = hot->body.p,
        .len = hot->body.len,
        .version = hot->version,
        .at_ms = hot->at_ms,
        .is_default = hot->version == 0,
        .owned = hot,
    };
    memcpy(ret->etag, hot->etag, sizeof ret->etag);
}

void kf_doc_release(struct kf_doc *doc)
{
    if (!doc)
        return;
    hot_drop(doc->owned);
    *doc = (struct kf_doc){0};
}

/* NULL also when memory may be behind what others have committed. */
static struct hot *in_memory(struct docs *docs, str name, uint64_t *ret_mark)
{
    struct hot *hot = doc_cache_get(docs->cache, name, ret_mark);
    if (hot && !store_is_fresh(docs->store)) {
        KF_SOMETIMES("doc-cache-not-fresh");
        hot_drop(hot);
        hot = NULL;
    }
    return hot;
}

kf_rc doc_peek(struct docs *docs, str name, struct kf_doc *ret_doc)
{
    struct hot *hot = in_memory(docs, name, NULL);
    if (!hot)
        return KF_ABSENT;
    give(hot, ret_doc);
    return KF_OK;
}

/* ------------------------------------------------------------------------------------- current */

kf_rc doc_unknown(str name, struct kf_err *err)
{
    return err_set(err, PROBLEM_NOT_FOUND, "there is no document \"%.*s\"", STR_SHOWN(name));
}

/* A body that cannot be read is an event that somebody must see. */
static kf_rc damaged(const struct docs *docs, str name, struct kf_err *err)
{
    log_event(store_log(docs->store), LOG_CRIT, "store.damage", LOG_V("doc", name), LOG_END);
    doc_damaged(name, err);
    return KF_DAMAGED;
}

/* What the reading statements give: version, seq, stamp, at, site, hash, body. */
static kf_rc hot_of_row(const struct docs *docs, struct db_stmt *s, str name, struct hot **ret,
                        struct kf_err *err)
{
    str site = db_text(s, 4), hash = db_text(s, 5), body = db_text(s, 6);
    struct hot *hot;
    if (db_null(s, 6) || !doc_site_ok(site) || !doc_hash_fits(body, hash))
        return damaged(docs, name, err);
    kf_rc rc = hot_new(name, body.len, &hot, err);
    if (rc != KF_OK)
        return rc;
    memcpy(hot_room(hot), body.p, body.len);
    hot->version = (uint64_t)db_i64(s, 0);
    hot->seq = db_i64(s, 1);
    hot->at_ms = db_i64(s, 3);
    doc_etag(db_i64(s, 2), site, hot->etag);
    *ret = hot;
    return KF_OK;
}

/* The name of a version is compared as well, here and wherever a version is found by its number: a
 * hash says which bytes they are and not whose, and a flipped bit in the key of a head can make it
 * the head of another name.
 * KF_ABSENT without a sentence: there is no head (*ret_seq = 0), or it is a deletion. */
static kf_rc read_current(const struct docs *docs, struct db *db, str name, struct hot **ret,
                          int64_t *ret_seq, struct kf_err *err)
{
    static const char sql[] =
        "SELECT d.version, d.seq, d.stamp, d.at, d.site, d.hash, v.body, d.deleted "
        "FROM kf_doc d LEFT JOIN kf_doc_version v ON v.seq = d.seq AND v.name = d.name "
        "WHERE d.name = $1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, name);
    rc = db_step(s, &row, err);
    if (rc == KF_OK) {
        *ret_seq = row ? db_i64(s, 1) : 0;
        rc = !row || db_i64(s, 7) ? KF_ABSENT : hot_of_row(docs, s, name, ret, err);
    }
    db_done(s);
    return rc;
}

kf_rc doc_of_import(const struct doc_import *import, struct kf_doc *ret_doc, struct kf_err *err)
{
    struct hot *hot;
    kf_rc rc = hot_new(import->name, import->body.len, &hot, err);
    if (rc != KF_OK)
        return rc;
    memcpy(hot_room(hot), import->body.p, import->body.len);
    hot->version = import->version;
    hot->at_ms = import->at_ms;
    if (import->stamp && doc_site_ok(import->site))
        doc_etag(import->stamp, import->site, hot->etag);
    give(hot, ret_doc);
    ret_doc->is_default = false; /* its number need not be known */
    return KF_OK;
}

static kf_rc give_default(const struct docs *docs, str name, struct kf_doc *ret_doc,
                          struct kf_err *err)
{
    str def = docs_default(docs, name);
    struct hot *hot;
    if (!def.p)
        return doc_unknown(name, err);
    kf_rc rc = hot_new(name, def.len, &hot, err);
    if (rc != KF_OK)
        return rc;
    memcpy(hot_room(hot), def.p, def.len);
    give(hot, ret_doc);
    return KF_OK;
}

/* Asked before the snapshot: a store that became whole meanwhile is then at worst reported as not
 * yet whole. */
static kf_rc get_absent(const struct docs *docs, str name, bool hydrating, bool there,
                        struct kf_doc *ret_doc, struct kf_err *err)
{
    if (hydrating && !there && !KF_SABOTAGE("absent-while-filling"))
        return docs_not_hydrated(docs, name, err);
    if (hydrating)
        return doc_unknown(name, err);
    return give_default(docs, name, ret_doc, err);
}

static kf_rc get_from_store(struct docs *docs, str name, uint64_t mark, struct kf_doc *ret_doc,
                            struct kf_err *err)
{
    struct hot *hot = NULL;
    struct db *db;
    int64_t seq = 0;
    bool hydrating = docs_unknown(docs, name);
    kf_rc rc = store_read_behind(docs->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = read_current(docs, db, name, &hot, &seq, err);
    store_read_end(docs->store, db);
    if (rc != KF_OK && rc != KF_ABSENT)
        return rc;
    doc_cache_saw(docs->cache, name, seq, hot, mark);
    if (rc == KF_ABSENT)
        return get_absent(docs, name, hydrating, seq != 0, ret_doc, err);
    give(hot, ret_doc);
    return KF_OK;
}

kf_rc doc_take_name(const char *name, str *ret, struct kf_err *err)
{
    if (!name)
        return err_set(err, PROBLEM_MISUSE, "the name is NULL");
    *ret = str_of(name);
    return name_check(*ret, err);
}

kf_rc docs_get(struct docs *docs, const char *name, struct kf_doc *ret_doc, struct kf_err *err)
{
    str n;
    uint64_t mark;
    kf_rc rc = doc_take_name(name, &n, err);
    if (rc != KF_OK)
        return rc;
    struct hot *hot = in_memory(docs, n, &mark);
    if (!hot)
        return get_from_store(docs, n, mark, ret_doc, err);
    give(hot, ret_doc);
    return KF_OK;
}

/* ------------------------------------------------------------------------------------- versions */

/* KF_ABSENT with a sentence when it is not kept or a deletion. */
static kf_rc read_version(const struct docs *docs, struct db *db, str name, uint64_t version,
                          struct hot **ret, struct kf_err *err)
{
    static const char sql[] = /* i is the index alone, v the row that it leads to */
        "SELECT v.version, v.seq, v.stamp, v.at, v.site, v.hash, v.body "
        "FROM kf_doc_version i LEFT JOIN kf_doc_version v "
        "ON v.seq = i.seq AND v.name = i.name AND v.version = i.version "
        "WHERE i.name = $1 AND i.version = $2";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, name);
    db_bind_i64(s, 2, (int64_t)version);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row && db_null(s, 1))
        rc = damaged(docs, name, err);
    else if (rc == KF_OK && (!row || db_text(s, 5).len == 0))
        rc = err_set(err, PROBLEM_NOT_FOUND, "version %llu of \"%.*s\" is %s",
                     (unsigned long long)version, STR_SHOWN(name), row ? "a deletion" : "not kept");
    else if (rc == KF_OK)
        rc = hot_of_row(docs, s, name, ret, err);
    db_done(s);
    return rc;
}

kf_rc doc_check_known(const struct docs *docs, struct db *db, str name, struct doc_head *ret_head,
                      bool hydrating, struct kf_err *err)
{
    kf_rc rc = doc_head_load(db, name, ret_head, err);
    if (rc != KF_OK || ret_head->there)
        return rc;
    return hydrating ? docs_not_hydrated(docs, name, err) : doc_unknown(name, err);
}

kf_rc docs_get_version(struct docs *docs, const char *name, uint64_t version,
                       struct kf_doc *ret_doc, struct kf_err *err)
{
    str n;
    struct db *db;
    struct hot *hot = NULL;
    struct doc_head head;
    kf_rc rc = doc_take_name(name, &n, err);
    if (rc == KF_OK && (version == 0 || version > INT64_MAX))
        rc = err_set(err, PROBLEM_BAD_FILTER, "versions count from 1");
    if (rc != KF_OK)
        return rc;
    bool hydrating = docs_unknown(docs, n);
    rc = store_read_behind(docs->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = doc_check_known(docs, db, n, &head, hydrating, err);
    if (rc == KF_OK)
        rc = read_version(docs, db, n, version, &hot, err);
    store_read_end(docs->store, db);
    if (rc == KF_OK)
        give(hot, ret_doc);
    return rc;
}

/* ---------------------------------------------------------------------------------- difference */

/* The newest kept version below `before`. */
static kf_rc version_before(struct db *db, str name, uint64_t before, uint64_t *ret,
                            struct kf_err *err)
{
    static const char sql[] = "SELECT version FROM kf_doc_version WHERE name = $1 AND version < $2 "
                              "ORDER BY version DESC LIMIT 1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, name);
    db_bind_i64(s, 2, before > INT64_MAX ? INT64_MAX : (int64_t)before);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && !row)
        rc = err_set(err, PROBLEM_NOT_FOUND, "no version of \"%.*s\" below %llu is kept",
                     STR_SHOWN(name), (unsigned long long)before);
    else if (rc == KF_OK)
        *ret = (uint64_t)db_i64(s, 0);
    db_done(s);
    return rc;
}

static kf_rc read_both(const struct docs *docs, struct db *db, str name, uint64_t from, uint64_t to,
                       bool hydrating, struct hot *ret[2], struct kf_err *err)
{
    struct doc_head head;
    kf_rc rc = doc_check_known(docs, db, name, &head, hydrating, err);
    if (rc == KF_OK && to == 0)
        to = head.version;
    if (rc == KF_OK && from == 0)
        rc = version_before(db, name, to, &from, err);
    if (rc == KF_OK)
        rc = read_version(docs, db, name, from, &ret[0], err);
    if (rc == KF_OK)
        rc = read_version(docs, db, name, to, &ret[1], err);
    return rc;
}

kf_rc docs_diff(struct docs *docs, const char *name, uint64_t from, uint64_t to,
                struct kf_bytes *ret_patch, struct kf_err *err)
{
    str n;
    struct db *db;
    struct hot *both[2] = {NULL, NULL};
    struct buf patch = BUF_INIT;
    kf_rc rc = doc_take_name(name, &n, err);
    if (rc == KF_OK && (from > INT64_MAX || to > INT64_MAX))
        rc = err_set(err, PROBLEM_BAD_FILTER, "versions count from 1");
    if (rc != KF_OK)
        return rc;
    bool hydrating = docs_unknown(docs, n);
    rc = store_read_behind(docs->store, &db, err);
    if (rc == KF_OK) {
        rc = read_both(docs, db, n, from, to, hydrating, both, err);
        store_read_end(docs->store, db);
    }
    if (rc == KF_OK)
        rc = json_diff(both[0]->body, both[1]->body, &patch, err);
    if (rc == KF_OK)
        rc = buf_ok(&patch, err);
    if (rc == KF_OK)
        ret_patch->p = buf_detach(&patch, &ret_patch->len);
    hot_drop(both[0]);
    hot_drop(both[1]);
    buf_release(&patch);
    return rc;
}
