/* What could not be read at a remote of an open store, by name (W5): in kf_meta as "unread/REMOTE",
 * a JSON array, so that the next process knows it before its first run; and in memory, where reads
 * find it. Noted by every pull that left something unread, and by the one that no longer does.
 * While a store is being filled it needs none of this, for then every name that has not come in
 * fails. */
#include "remote/remotes_internal.h"

#include "base/json.h"

#define META_UNREAD "unread/"
/* More are not remembered by name: a place with so many faults is one to be repaired, and the store
 * is told of it by every run. */
#define UNREAD_MAX 10000

static unsigned slot_of(const struct remote_entry *e)
{
    return (unsigned)__builtin_ctz(e->bit);
}

static kf_rc key_of(const struct remote_entry *e, struct buf *key, struct kf_err *err)
{
    buf_printf(key, META_UNREAD "%s", e->name);
    return buf_ok(key, err);
}

/* ------------------------------------------------------------------------------------- noting */

struct unread_write {
    struct write write; /* first */
    const char *key;
    str value;
};

static kf_rc apply_unread(struct group *g, struct write *write, struct kf_err *err)
{
    const struct unread_write *w = (const struct unread_write *)write;
    return group_meta_set(g, w->key, w->value, err);
}

static kf_rc write_names(struct remote_entry *e, const str *names, size_t count, struct kf_err *err)
{
    struct buf key = BUF_INIT, value = BUF_INIT;
    kf_rc rc = key_of(e, &key, err);
    buf_c(&value, "[");
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_byte(&value, ',');
        buf_json_string(&value, names[i]);
    }
    buf_c(&value, "]");
    if (rc == KF_OK)
        rc = buf_ok(&value, err);
    if (rc == KF_OK) {
        struct unread_write w = {
            .write = {.apply = apply_unread}, .key = key.p, .value = buf_view(&value)};
        rc = store_write(e->remotes->store, &w.write, err);
    }
    buf_release(&key);
    buf_release(&value);
    return rc;
}

kf_rc unread_note(struct run *run, struct kf_err *err)
{
    struct remote_entry *e = run->entry;
    struct docs *docs = e->remotes->docs;
    size_t count = run->bad < UNREAD_MAX ? run->bad : UNREAD_MAX;
    if (run->kind != RUN_SYNC || (!count && !docs_has_unread(docs, slot_of(e))))
        return KF_OK;
    KF_SOMETIMES("unread-names-remembered");
    str *names = mem_calloc(count + 1, sizeof(*names));
    if (!names)
        return err_nomem(err);
    for (size_t i = 0; i < count; i++)
        names[i] = run->unread[i].name;
    kf_rc rc = docs_set_unread(docs, slot_of(e), names, count, err);
    if (rc == KF_OK)
        rc = run_local(run, write_names(e, names, count, err));
    mem_free(names);
    pthread_mutex_lock(&e->remotes->lock);
    bool removed = e->removed;
    pthread_mutex_unlock(&e->remotes->lock);
    if (removed)
        unread_forget(e);
    return rc;
}

void unread_forget(struct remote_entry *e)
{
    if (!e->bit)
        return;
    docs_set_unread(e->remotes->docs, slot_of(e), NULL, 0, NULL);
}

/* ------------------------------------------------------------------------------------ loading */

static kf_rc take_names(struct remote_entry *e, str value, struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct json_node *root = NULL;
    str *names = NULL;
    size_t count = 0;
    kf_rc rc = json_parse(value, NULL, &arena, &root, err);
    if (rc == KF_OK && root->type == JSON_ARRAY && root->count) {
        names = arena_alloc(&arena, root->count * sizeof(*names));
        rc = names ? KF_OK : err_nomem(err);
        for (const struct json_node *n = root->child; rc == KF_OK && n; n = n->next) {
            names[count] = json_text(n->raw, &arena);
            rc = names[count++].p ? KF_OK : err_nomem(err);
        }
    }
    if (rc == KF_OK)
        rc = docs_set_unread(e->remotes->docs, slot_of(e), names, count, err);
    arena_release(&arena);
    return rc;
}

kf_rc unread_load(struct remote_entry *e, struct kf_err *err)
{
    struct buf key = BUF_INIT, value = BUF_INIT;
    struct kf_err why = KF_ERR_INIT;
    if (e->hydrated || e->row_stale)
        return KF_OK;
    kf_rc rc = key_of(e, &key, err);
    if (rc == KF_OK && (rc = store_meta_get(e->remotes->store, key.p, &value, &why)) == KF_OK)
        rc = take_names(e, buf_view(&value), &why);
    if (rc == KF_ABSENT)
        rc = KF_OK;
    else if (rc != KF_OK && why.rc != KF_OK && err)
        *err = why;
    buf_release(&key);
    buf_release(&value);
    return rc;
}
