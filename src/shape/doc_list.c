/* Lists: documents by name, versions of one by number. */
#include "shape/doc_internal.h"

/* ---------------------------------------------------------------------------- a list being made */

/* A list while it is made; `owned` of the public struct. */
struct list {
    struct arena arena;
    struct kf_doc_info *items;
    size_t count, limit;
    bool more;
};

static void list_free(struct list *list)
{
    if (!list)
        return;
    arena_release(&list->arena);
    mem_free(list);
}

void kf_doc_list_free(struct kf_doc_list *list)
{
    if (!list)
        return;
    list_free(list->owned);
    *list = (struct kf_doc_list){0};
}

static kf_rc list_new(size_t limit, struct list **ret, struct kf_err *err)
{
    if (limit == 0 || limit > DOC_LIMIT_MAX)
        return err_set(err, PROBLEM_BAD_FILTER, "limit is 1 to %d", DOC_LIMIT_MAX);
    struct list *list = mem_calloc(1, sizeof *list);
    if (!list)
        return err_nomem(err);
    list->limit = limit;
    list->items = arena_alloc(&list->arena, limit * sizeof *list->items);
    if (!list->items) {
        list_free(list);
        return err_nomem(err);
    }
    *ret = list;
    return KF_OK;
}

/* The next item, or KF_ABSENT when the list is full and there is more. */
static kf_rc list_add(struct list *list, str name, const struct kf_doc_info *info, const char *kind,
                      struct kf_err *err)
{
    if (list->count == list->limit) {
        list->more = true;
        return KF_ABSENT;
    }
    struct kf_doc_info *item = &list->items[list->count];
    *item = *info;
    item->kind = kind;
    item->name = list->count && str_is(name, item[-1].name) ? item[-1].name
                                                            : arena_dup(&list->arena, name);
    if (!item->name)
        return err_nomem(err);
    list->count++;
    return KF_OK;
}

static void list_give(struct list *list, struct kf_doc_list *ret)
{
    *ret = (struct kf_doc_list){
        .items = list->items, .count = list->count, .more = list->more, .owned = list};
}

/* -------------------------------------------------------------------------------------- by name */

/* Columns: name, version, stamp, site, size, at. */
static kf_rc add_current(struct list *list, struct db_stmt *s, str prefix, struct kf_err *err)
{
    str name = db_text(s, 0), site = db_text(s, 3);
    if (!str_starts(name, prefix))
        return KF_ABSENT; /* names come in order: those with the prefix are over */
    if (!doc_site_ok(site))
        return doc_damaged(name, err);
    struct kf_doc_info info = {.version = (uint64_t)db_i64(s, 1),
                               .size = (size_t)db_i64(s, 4),
                               .at_ms = db_i64(s, 5),
                               .current = true};
    doc_etag(db_i64(s, 2), site, info.etag);
    return list_add(list, name, &info, "", err);
}

static kf_rc list_current(struct list *list, struct db *db, str prefix, const char *after,
                          struct kf_err *err)
{
    static const char from_sql[] = "SELECT name, version, stamp, site, size, at FROM kf_doc "
                                   "WHERE name >= $1 AND deleted = 0 ORDER BY name LIMIT $2";
    static const char after_sql[] = "SELECT name, version, stamp, site, size, at FROM kf_doc "
                                    "WHERE name > $1 AND deleted = 0 ORDER BY name LIMIT $2";
    bool behind = after && str_cmp(str_of(after), prefix) >= 0;
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, behind ? after_sql : from_sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, behind ? str_of(after) : prefix);
    db_bind_i64(s, 2, (int64_t)list->limit + 1);
    do {
        rc = db_step(s, &row, err);
        if (rc == KF_OK && row)
            rc = add_current(list, s, prefix, err);
    } while (rc == KF_OK && row);
    db_done(s);
    return rc == KF_ABSENT ? KF_OK : rc;
}

kf_rc docs_list(struct docs *docs, const char *prefix, const char *after, size_t limit,
                struct kf_doc_list *ret_list, struct kf_err *err)
{
    struct list *list = NULL;
    struct db *db;
    /* A list with holes would say of names that have not come in yet that they are absent. */
    if (docs_hydrating(docs))
        return err_set(
            err, PROBLEM_NOT_HYDRATED,
            "the store is still being filled from its remotes: a list would have holes. See "
            "`keepfast status` for the remote that is waited for");
    kf_rc rc = list_new(limit, &list, err);
    if (rc == KF_OK)
        rc = store_read_behind(docs->store, &db, err);
    if (rc == KF_OK) {
        rc = list_current(list, db, str_of(prefix), after, err);
        store_read_end(docs->store, db);
    }
    if (rc == KF_OK)
        list_give(list, ret_list);
    else
        list_free(list);
    return rc;
}

/* ------------------------------------------------------------------------------------- versions */

/* The kinds that a version can have, as static text. */
static const char *kind_name(str kind)
{
    static const char *const kinds[] = {"put", "patch", "delete", "revert", "merge", "loser"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (str_is(kind, kinds[i]))
            return kinds[i];
    }
    return "";
}

/* Columns: version, stamp, site, size, at, kind, whether it is a deletion. */
static kf_rc add_version(struct list *list, struct db_stmt *s, str name, uint64_t current,
                         struct kf_err *err)
{
    if (!doc_site_ok(db_text(s, 2)))
        return doc_damaged(name, err);
    struct kf_doc_info info = {.version = (uint64_t)db_i64(s, 0),
                               .size = (size_t)db_i64(s, 3),
                               .at_ms = db_i64(s, 4),
                               .deleted = db_i64(s, 6) != 0};
    info.current = info.version == current;
    doc_etag(db_i64(s, 1), db_text(s, 2), info.etag);
    return list_add(list, name, &info, kind_name(db_text(s, 5)), err);
}

static kf_rc list_versions(struct list *list, struct db *db, str name, uint64_t before,
                           uint64_t current, struct kf_err *err)
{
    static const char sql[] =
        "SELECT version, stamp, site, size, at, kind, hash = '' FROM kf_doc_version "
        "WHERE name = $1 AND version < $2 ORDER BY version DESC LIMIT $3";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, name);
    db_bind_i64(s, 2, before == 0 || before > INT64_MAX ? INT64_MAX : (int64_t)before);
    db_bind_i64(s, 3, (int64_t)list->limit + 1);
    do {
        rc = db_step(s, &row, err);
        if (rc == KF_OK && row)
            rc = add_version(list, s, name, current, err);
    } while (rc == KF_OK && row);
    db_done(s);
    return rc == KF_ABSENT ? KF_OK : rc;
}

kf_rc docs_versions(struct docs *docs, const char *name, uint64_t before, size_t limit,
                    struct kf_doc_list *ret_list, struct kf_err *err)
{
    str n;
    struct db *db;
    struct list *list = NULL;
    struct doc_head head;
    kf_rc rc = doc_take_name(name, &n, err);
    if (rc == KF_OK)
        rc = list_new(limit, &list, err);
    if (rc != KF_OK)
        return rc;
    bool hydrating = docs_unknown(docs, n);
    rc = store_read_behind(docs->store, &db, err);
    if (rc == KF_OK) {
        rc = doc_check_known(docs, db, n, &head, hydrating, err);
        if (rc == KF_OK)
            rc = list_versions(list, db, n, before, head.version, err);
        store_read_end(docs->store, db);
    }
    if (rc == KF_OK)
        list_give(list, ret_list);
    else
        list_free(list);
    return rc;
}
