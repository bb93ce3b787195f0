/* What people ask of what is set aside: the list of it, and that it is tried again. */
#include "remote/remotes_internal.h"

/* --------------------------------------------------------------------------------- asking again */

kf_rc remotes_ask_again(struct remotes *r, str remote, struct kf_err *err)
{
    struct buf name = BUF_INIT;
    struct remote_entry *e = NULL;
    buf_str(&name, remote);
    kf_rc rc = buf_ok(&name, err);
    if (rc == KF_OK)
        rc = entry_named(r, name.len ? name.p : "", &e, err);
    if (rc == KF_OK) {
        pthread_mutex_lock(&r->lock);
        e->asked_again++;
        pthread_mutex_unlock(&r->lock);
    }
    entry_drop(e);
    buf_release(&name);
    return rc;
}

kf_rc remotes_aside_retry(struct remotes *r, const char *remote, uint32_t timeout_ms,
                          struct kf_err *err)
{
    if (!remote)
        return err_set(err, PROBLEM_MISUSE, "the name of a remote is missing");
    kf_rc rc = remotes_ask_again(r, str_of(remote), err);
    return rc == KF_OK ? remotes_sync(r, str_of(remote), timeout_ms, err) : rc;
}

/* -------------------------------------------------------------------------------------- listing */

struct asked {
    str remote, name; /* .p == NULL: any */
    str after[3];     /* "" = from the first */
    size_t limit;
};

struct aside_found {
    struct arena arena;
    struct kf_aside_item *items;
    size_t count;
};

static kf_rc read_item(struct aside_found *f, struct db_stmt *s, struct kf_err *err)
{
    struct kf_aside_item item = {
        .remote = arena_dup(&f->arena, db_text(s, 0)),
        .kind = arena_dup(&f->arena, db_text(s, 1)),
        .name = arena_dup(&f->arena, db_text(s, 2)),
        .since_ms = db_i64(s, 3),
        .code = arena_dup(&f->arena, db_text(s, 4)),
        .reason = arena_dup(&f->arena, db_text(s, 5)),
    };
    if (!item.remote || !item.kind || !item.name || !item.code || !item.reason)
        return err_nomem(err);
    f->items[f->count++] = item;
    return KF_OK;
}

/* At most one more than the limit, which says whether there are more. */
static kf_rc read_items(struct db *db, const struct asked *a, struct aside_found *f,
                        struct kf_err *err)
{
    static const char sql[] =
        "SELECT remote, kind, name, since, code, reason FROM kf_aside"
        " WHERE (remote, kind, name) > ($1, $2, $3) AND remote = coalesce($4, remote)"
        " AND name = coalesce($5, name) ORDER BY remote, kind, name LIMIT $6";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    for (int i = 0; i < 3; i++)
        db_bind_text(s, i + 1, a->after[i]);
    db_bind_text(s, 4, a->remote);
    db_bind_text(s, 5, a->name);
    db_bind_i64(s, 6, (int64_t)a->limit + 1);
    while ((rc = db_step(s, &row, err)) == KF_OK && row)
        if ((rc = read_item(f, s, err)) != KF_OK)
            break;
    db_done(s);
    return rc;
}

static void found_free(struct aside_found *f)
{
    if (f)
        arena_release(&f->arena);
    mem_free(f);
}

static str text_of(const char *text)
{
    return text ? str_of(text) : (str){0, 0};
}

kf_rc remotes_aside(struct remotes *r, const char *remote, const char *name,
                    const struct kf_aside_item *after, size_t limit, struct kf_aside_list *ret_list,
                    struct kf_err *err)
{
    struct asked a = {text_of(remote), text_of(name), {STR(""), STR(""), STR("")}, limit};
    struct remote_entry *e = NULL;
    struct db *db;
    kf_rc rc = remote ? entry_named(r, remote, &e, err) : KF_OK;
    entry_drop(e);
    if (rc != KF_OK)
        return rc;
    if (limit < 1 || limit > 1000)
        return err_set(err, PROBLEM_BAD_FILTER, "a list has a limit of 1 to 1,000");
    if (after && (!after->remote || !after->kind || !after->name))
        return err_set(err, PROBLEM_MISUSE, "the list goes on behind an item of it");
    for (int i = 0; after && i < 3; i++)
        a.after[i] = str_of(i == 0 ? after->remote : i == 1 ? after->kind : after->name);
    struct aside_found *f = mem_calloc(1, sizeof(*f));
    if (!f || !(f->items = arena_alloc(&f->arena, (limit + 1) * sizeof(*f->items))))
        rc = err_nomem(err);
    if (rc == KF_OK && (rc = store_read_lenient(r->store, &db, err)) == KF_OK) {
        rc = read_items(db, &a, f, err);
        store_read_end(r->store, db);
    }
    if (rc != KF_OK) {
        found_free(f);
        return rc;
    }
    *ret_list = (struct kf_aside_list){.items = f->items,
                                       .count = f->count < limit ? f->count : limit,
                                       .more = f->count > limit,
                                       .owned = f};
    return KF_OK;
}

void kf_aside_list_free(struct kf_aside_list *list)
{
    if (!list)
        return;
    found_free(list->owned);
    *list = (struct kf_aside_list){0};
}
