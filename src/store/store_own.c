/* Who owns the database: s->db, its transaction, and what is looked after around it.
 *
 * Leadership (store_queue.c) says whose turn it is to decide; a group that is told before it is
 * committed needs no more than that. Everything that touches the database owns it meanwhile: the
 * leader of a group that is committed, the thread that places what was told, a reader that wants it
 * committed. First come, first served. Who leads may wait for it; who owns it never waits for
 * leadership. */
#include "store/store_internal.h"

bool store_has_to_place(const struct kf_store *s)
{
    return atomic_load_explicit(&s->placing.told, memory_order_acquire) > s->placing.seq;
}

bool store_places_again(const struct kf_store *s)
{
    return atomic_load_explicit(&s->placing.lost, memory_order_acquire);
}

void own_init(struct kf_store *s)
{
    pthread_mutex_init(&s->owning.lock, NULL);
    pthread_cond_init(&s->owning.moved, NULL);
}

void own_destroy(struct kf_store *s)
{
    pthread_mutex_destroy(&s->owning.lock);
    pthread_cond_destroy(&s->owning.moved);
}

void own_begin(struct kf_store *s)
{
    struct owning *o = &s->owning;
    pthread_mutex_lock(&o->lock);
    uint64_t ticket = o->next++;
    while (o->serving != ticket) {
        KF_SOMETIMES("database-waited-for");
        pthread_cond_wait(&o->moved, &o->lock);
    }
    pthread_mutex_unlock(&o->lock);
}

void own_end(struct kf_store *s)
{
    struct owning *o = &s->owning;
    pthread_mutex_lock(&o->lock);
    o->serving++;
    if (o->serving != o->next)
        pthread_cond_broadcast(&o->moved);
    pthread_mutex_unlock(&o->lock);
}

kf_rc own_begin_txn(struct kf_store *s, struct kf_err *err)
{
    if (KF_SABOTAGE("ack-before-write") && db_in_txn(s->db))
        db_commit(s->db, NULL);
    return db_begin(s->db, DB_WRITE, err);
}
