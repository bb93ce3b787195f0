/* What trimming leaves behind: attachments that no entry names any more, and rows of the index of
 * words. One process takes it away (the chief), in its own time; any may have trimmed.
 *
 *     of a file      a flag in memory, set by who trims; set at the start, too, for what a crash
 *                    has left
 *     PostgreSQL     besides, a number in kf_meta that moves with each group that trims; who takes
 *                    away looks first whether it is the one that was there the last time
 *
 * The number is read before what is left is looked for: what is trimmed meanwhile moves it
 * again. */
#include "shape/stream_internal.h"

#include <stdio.h>

static const char *const left_keys[LEFT_COUNT] = {
    [LEFT_WORDS] = "trimmed", [LEFT_ATTACHED] = "trimmed_attached"};

kf_rc left_note(struct streams *streams, struct group *g, enum stream_left what, struct kf_err *err)
{
    struct stream_left_of *l = &streams->left[what];
    char number[24];
    bool whole;
    uint64_t turn = group_turn(g, &whole);
    atomic_store(&l->any, true);
    if (store_level(streams->store) != KF_LEVEL_SHARED || l->turn == turn ||
        KF_SABOTAGE("left-not-told"))
        return KF_OK;
    snprintf(number, sizeof number, "%lld", (long long)group_stamp(g));
    kf_rc rc = group_meta_set(g, left_keys[what], str_of(number), err);
    if (rc == KF_OK)
        l->turn = turn;
    return rc;
}

/* What other processes have left since. */
static kf_rc look(struct streams *streams, enum stream_left what, struct kf_err *err)
{
    struct stream_left_of *l = &streams->left[what];
    struct buf number = BUF_INIT;
    kf_rc rc = store_meta_get(streams->store, left_keys[what], &number, err);
    if (rc == KF_OK && !str_is(buf_view(&number), l->seen)) {
        atomic_store(&l->any, true);
        snprintf(l->seen, sizeof l->seen, "%.*s", STR_ARGS(buf_view(&number)));
    }
    buf_release(&number);
    return rc == KF_ABSENT ? KF_OK : rc;
}

kf_rc left_look(struct streams *streams, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (int what = 0; what < LEFT_COUNT && rc == KF_OK; what++)
        if (store_level(streams->store) == KF_LEVEL_SHARED)
            rc = look(streams, (enum stream_left)what, err);
    return rc;
}

bool left_take(struct streams *streams, enum stream_left what)
{
    return atomic_exchange(&streams->left[what].any, false);
}

void left_again(struct streams *streams, enum stream_left what)
{
    atomic_store(&streams->left[what].any, true);
}
