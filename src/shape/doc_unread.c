/* Names that a remote holds and of which nothing could be read there. In a store that is open they
 * are few, and mostly there are none: one flag keeps every other reader from the lock. */
#include "shape/doc_internal.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    return str_cmp(*(const str *)a, *(const str *)b);
}

static kf_rc copy_names(struct unread_names *to, const str *names, size_t count, struct kf_err *err)
{
    to->count = count;
    if (!count)
        return KF_OK;
    to->names = arena_alloc(&to->arena, count * sizeof(*to->names));
    if (!to->names)
        return err_nomem(err);
    for (size_t i = 0; i < count; i++)
        if (!(to->names[i] = arena_str(&to->arena, names[i])).p)
            return err_nomem(err);
    qsort(to->names, count, sizeof(*to->names), compare);
    return KF_OK;
}

kf_rc docs_set_unread(struct docs *docs, unsigned slot, const str *names, size_t count,
                      struct kf_err *err)
{
    struct unread_names fresh = {.count = 0};
    assert(slot < DOC_UNREAD_SLOTS);
    kf_rc rc = copy_names(&fresh, names, count, err);
    if (rc != KF_OK) {
        arena_release(&fresh.arena);
        return rc;
    }
    bool any = false;
    pthread_mutex_lock(&docs->unread_lock);
    struct unread_names old = docs->unread[slot];
    docs->unread[slot] = fresh;
    for (size_t i = 0; i < DOC_UNREAD_SLOTS; i++)
        any |= docs->unread[i].count > 0;
    atomic_store(&docs->any_unread, any);
    pthread_mutex_unlock(&docs->unread_lock);
    arena_release(&old.arena);
    return KF_OK;
}

bool docs_has_unread(struct docs *docs, unsigned slot)
{
    assert(slot < DOC_UNREAD_SLOTS);
    pthread_mutex_lock(&docs->unread_lock);
    bool has = docs->unread[slot].count > 0;
    pthread_mutex_unlock(&docs->unread_lock);
    return has;
}

bool docs_unknown(struct docs *docs, str name)
{
    bool found = false;
    if (docs_hydrating(docs))
        return true;
    if (!atomic_load(&docs->any_unread))
        return false;
    pthread_mutex_lock(&docs->unread_lock);
    for (size_t i = 0; i < DOC_UNREAD_SLOTS && !found; i++) {
        const struct unread_names *u = &docs->unread[i];
        found = u->count && bsearch(&name, u->names, u->count, sizeof(name), compare);
    }
    pthread_mutex_unlock(&docs->unread_lock);
    return found;
}

void docs_free_unread(struct docs *docs)
{
    for (size_t i = 0; i < DOC_UNREAD_SLOTS; i++)
        arena_release(&docs->unread[i].arena);
    pthread_mutex_destroy(&docs->unread_lock);
}
