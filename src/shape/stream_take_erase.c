/* What others have erased of a stream that goes on.
 *
 * It is erased in parts, each a group: an erasure up to a stamp is one up to any earlier stamp, and
 * then one from there, and each of them is true by itself. So nothing has to be hidden until it is
 * removed. Twins go first, so that none is shown that is to go. */
#include "shape/stream_take.h"

#include "store/clock.h"

/* Entries that the erasures of one group remove. */
#define ERASE_PART 1000

/* ---------------------------------------------------------------------------- what is asked for */

kf_rc take_erased(struct stream_take *t, str site, int64_t *ret, struct kf_err *err)
{
    kf_rc rc = erased_stamp(group_db(t->g), t->key, site, ret, err);
    for (size_t i = 0; rc == KF_OK && i < t->wanted.count; i++)
        if (str_eq(t->wanted.items[i].site, site) && t->wanted.items[i].stamp > *ret)
            *ret = t->wanted.items[i].stamp;
    return rc;
}

static kf_rc want_erasure(struct stream_take *t, const struct erased_row *e, struct kf_err *err)
{
    struct erasures *l = &t->wanted;
    if (l->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        struct erased_row *p = arena_alloc(&t->arena, cap * sizeof *p);
        if (!p)
            return err_nomem(err);
        if (l->count)
            memcpy(p, l->items, l->count * sizeof *p);
        l->items = p;
        l->cap = cap;
    }
    l->items[l->count] = *e;
    l->items[l->count].site = arena_str(&t->arena, e->site);
    return l->items[l->count++].site.p ? KF_OK : err_nomem(err);
}

kf_rc stream_take_erasure(struct stream_take *t, const struct erased_row *e, enum stream_taken *ret,
                          struct kf_err *err)
{
    int64_t had = 0;
    if (!str_is_hex(e->site, STREAM_SITE_LEN) || e->stamp <= 0 || e->stamp > CLOCK_STAMP_MAX)
        return err_set(err, PROBLEM_BAD_ARCHIVE, "the site or stamp of an erasure is not possible");
    kf_rc rc = take_erased(t, e->site, &had, err);
    *ret = had >= e->stamp ? STREAM_SAME : STREAM_TAKEN;
    if (rc != KF_OK || had >= e->stamp)
        return rc;
    t->erasures = true;
    t->site.site[0] = '\0';
    return want_erasure(t, e, err);
}

kf_rc take_put_erasures(struct stream_take *t, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < t->wanted.count; i++)
        rc = erased_put(group_db(t->g), t->key, &t->wanted.items[i], take_seq(t), err);
    return rc;
}

/* --------------------------------------------------------------------------------- what is left */

struct left {
    struct stream_take *t;
    bool any;
};

static kf_rc is_left(void *ctx, const struct site_row *row, struct kf_err *err)
{
    struct left *left = ctx;
    int64_t erased = 0;
    kf_rc rc = take_erased(left->t, str_of(row->site), &erased, err);
    left->any = row->stamp > erased;
    return rc == KF_OK && left->any ? KF_ABSENT : rc; /* no more is to be looked at */
}

kf_rc take_any_left(struct stream_take *t, bool *ret, struct kf_err *err)
{
    struct left left = {.t = t};
    struct db *db = group_db(t->g);
    kf_rc rc = entries_sites(db, t->d.head.id, is_left, &left, err);
    if (rc == KF_OK && !left.any)
        rc = entries_sites(db, -t->d.head.id, is_left, &left, err);
    if (rc == KF_OK && !left.any)
        rc = trimmed_sites(db, t->d.head.id, is_left, &left, err);
    *ret = left.any;
    return left.any ? KF_OK : rc;
}

/* ------------------------------------------------------------------------------------- removing */

static kf_rc remove_shown(struct stream_take *t, struct entries_going *going, struct kf_err *err)
{
    kf_rc rc = entries_unindex(t->streams, group_db(t->g), going, err);
    if (rc == KF_OK)
        rc = entries_remove(t->streams, t->g, &t->d, going, err);
    for (size_t i = 0; rc == KF_OK && i < going->count; i++) {
        bool gone;
        if (going->items[i].id.len)
            rc = take_show_twin(t, going->items[i].id, err);
        if (rc == KF_OK && going->items[i].attach.len)
            rc = attachment_delete(group_db(t->g), going->items[i].attach, &gone, err);
    }
    return rc;
}

static kf_rc remove_of_site(struct stream_take *t, const struct erased_row *e, struct kf_err *err)
{
    struct entries_going going = {.arena = ARENA_INIT};
    struct db *db = group_db(t->g);
    kf_rc rc;
    do { /* twins first, so that none is shown that is to go */
        going.count = 0;
        arena_clear(&going.arena);
        rc = entries_erased(db, -t->d.head.id, e->site, e->stamp, &going, err);
        if (rc == KF_OK)
            rc = entries_unindex(t->streams, db, &going, err);
        for (size_t i = 0; rc == KF_OK && i < going.count; i++)
            rc = entry_delete(db, going.items[i].seq, err);
        for (size_t i = 0; rc == KF_OK && i < going.count; i++) {
            bool gone;
            if (going.items[i].attach.len)
                rc = attachment_delete(db, going.items[i].attach, &gone, err);
        }
    } while (rc == KF_OK && going.count);
    arena_release(&going.arena);
    return rc;
}

static kf_rc remove_shown_of_site(struct stream_take *t, const struct erased_row *e,
                                  struct kf_err *err)
{
    struct entries_going going = {.arena = ARENA_INIT};
    kf_rc rc;
    do {
        going.count = 0;
        arena_clear(&going.arena);
        rc = entries_erased(group_db(t->g), t->d.head.id, e->site, e->stamp, &going, err);
        if (rc == KF_OK)
            rc = remove_shown(t, &going, err);
    } while (rc == KF_OK && going.count);
    arena_release(&going.arena);
    return rc;
}

/* Makes of the erasures what this group does of them. */
static kf_rc cut_erasures(struct stream_take *t, bool *ret_more, struct kf_err *err)
{
    struct erasures *l = &t->wanted;
    size_t room = ERASE_PART, to = 0;
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < l->count && room; i++) {
        struct erased_row e = l->items[i];
        int64_t stamp = 0;
        size_t count = 0;
        rc = erasure_part(group_db(t->g), t->d.head.id, e.site, e.stamp, room, &stamp, &count, err);
        *ret_more = stamp < e.stamp || (count >= room && i + 1 < l->count);
        room = *ret_more || count >= room ? 0 : room - count;
        e.stamp = stamp;
        l->items[to++] = e;
    }
    l->count = to;
    return rc;
}

kf_rc take_erase_part(struct stream_take *t, bool *ret_more, struct kf_err *err)
{
    kf_rc rc = cut_erasures(t, ret_more, err);
    if (rc == KF_OK)
        rc = take_put_erasures(t, err);
    for (size_t i = 0; rc == KF_OK && i < t->wanted.count; i++)
        rc = remove_of_site(t, &t->wanted.items[i], err);
    for (size_t i = 0; rc == KF_OK && i < t->wanted.count; i++)
        rc = remove_shown_of_site(t, &t->wanted.items[i], err);
    if (*ret_more)
        KF_SOMETIMES("stream-erased-in-slices");
    return rc;
}
