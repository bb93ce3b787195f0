/* Idempotency keys of writes that take long: one that waits for remotes, or that reads a version
 * from one first.
 *
 * Others need nothing of the kind. They are one behind the other in the store's queue, and who
 * comes second with a key is answered with the result of the first (shape/doc_once.c). But a write
 * that waits is not over when it has been written: a second with its key is in_progress meanwhile,
 * and may come again, rather than wait beside it or read the same from the remote once more.
 *
 *     once_check          in_progress when a call of this key is listed
 *        | once_begin     listed
 *        v
 *     answer_over, api_abandon: once_end
 *
 * A call whose door has left is listed no more: who lost a connection and asks again is not kept
 * waiting by what is left of the first request. A connection that its client has closed in order
 * may still be read at the other end, so there the first is under way until its timeout. */
#include "api/api_internal.h"

#include "base/hooks.h"

#include <utlist.h>

static struct api_call **list_of(struct api_home *home, const struct hash *once)
{
    return &home->once[once->b[0] % API_ONCE_LISTS];
}

/* Of the store, whose key it is, and the key. */
static void hash_key(struct api_call *c)
{
    struct hash_state state;
    hash_begin(&state);
    hash_add(&state, str_make(&c->store, sizeof c->store));
    hash_add(&state, str_make(c->once_of, sizeof c->once_of));
    hash_add(&state, c->idempotency_key);
    hash_end(&state, &c->once);
}

kf_rc once_check(struct api_call *c, struct kf_err *err)
{
    struct api_home *home = c->api->home;
    const struct api_call *first;
    if (!c->idempotency_key.p || c->once_listed)
        return KF_OK;
    hash_key(c);
    pthread_mutex_lock(&home->lock);
    for (first = *list_of(home, &c->once); first; first = first->once_next)
        if (hash_eq(&first->once, &c->once))
            break;
    pthread_mutex_unlock(&home->lock);
    if (!first || KF_SABOTAGE("in-progress-unseen"))
        return KF_OK;
    KF_SOMETIMES("key-in-progress");
    return err_set(err, PROBLEM_IN_PROGRESS,
                   "a request with this idempotency key is still under way: ask again when it has "
                   "been answered");
}

void once_begin(struct api_call *c)
{
    struct api_home *home = c->api->home;
    if (!c->idempotency_key.p || c->once_listed)
        return;
    c->once_listed = true;
    pthread_mutex_lock(&home->lock);
    DL_APPEND2(*list_of(home, &c->once), c, once_prev, once_next);
    pthread_mutex_unlock(&home->lock);
}

void once_end(struct api_call *c)
{
    struct api_home *home = c->api->home;
    if (!c->once_listed)
        return;
    c->once_listed = false;
    pthread_mutex_lock(&home->lock);
    DL_DELETE2(*list_of(home, &c->once), c, once_prev, once_next);
    pthread_mutex_unlock(&home->lock);
}
