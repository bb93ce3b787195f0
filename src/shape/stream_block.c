/* The window of one stream: its newest entries, one behind the other in a block of memory.
 *
 *     block:  | gone … | record | record | record | room |
 *                        ^ first           ^ last
 *
 * A record knows its own length and that of the one before it, so a window is walked both ways.
 * Entries are only ever added behind `used`. Readers count the block and read what was there when
 * they began, while more is added behind it; when there is no room, what is still wanted moves to
 * another block, and the old one goes with its last reader. So nothing is copied for a reader, and
 * nobody waits while one is served. */
#include "shape/stream_internal.h"

#define ALIGN     8
#define BLOCK_MIN 192
#define BLOCK_MAX ((size_t)1 << 31)

void block_drop(struct window_block *b)
{
    if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        mem_free(b);
}

static struct window_record *at(const struct window *w, uint32_t place)
{
    return (struct window_record *)(void *)(w->block->data + place);
}

const struct window_record *window_at(const struct window *w, uint32_t place)
{
    return at(w, place);
}

void record_seen(const struct window_record *r, struct entry_seen *ret)
{
    const char *p = (const char *)(r + 1);
    *ret = (struct entry_seen){.n = r->n, .at_ms = r->at_ms, .id = {p, r->id_len}};
    p += r->id_len + 1;
    ret->kind = str_make(p, r->kind_len);
    p += r->kind_len + 1;
    ret->body = str_make(p, r->len);
    p += r->len + 1;
    ret->attach = str_make(r->attach_len ? p : NULL, r->attach_len);
}

void window_clear(struct window *w)
{
    block_drop(w->block);
    *w = (struct window){0};
}

static size_t record_size(const struct entry_seen *e)
{
    size_t size = sizeof(struct window_record) + e->id.len + e->kind.len + e->body.len +
                  e->attach.len + 4;
    return (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static size_t live_bytes(const struct window *w)
{
    return w->count ? w->block->used - w->first : 0;
}

void window_pop(struct window *w)
{
    w->first += at(w, w->first)->size;
    w->count--;
}

/* A block with room for `size` more bytes behind what is live. */
static kf_rc make_room(struct window *w, size_t size, struct kf_err *err)
{
    size_t live = live_bytes(w), cap = live + size + (live + size) / 4;
    if (w->block && w->block->cap - w->block->used >= size)
        return KF_OK;
    cap = cap < BLOCK_MIN ? BLOCK_MIN : cap;
    if (cap > BLOCK_MAX)
        return err_nomem(err);
    struct window_block *b = mem_alloc(sizeof *b + cap);
    if (!b)
        return err_nomem(err);
    atomic_init(&b->refs, 1);
    b->cap = (uint32_t)cap;
    b->used = (uint32_t)live;
    if (live) {
        memcpy(b->data, w->block->data + w->first, live);
        KF_SOMETIMES("window-moves-on");
    }
    block_drop(w->block);
    w->block = b;
    w->last -= w->count ? w->first : w->last;
    w->first = 0;
    return KF_OK;
}

static char *put_text(char *to, str s)
{
    if (s.len)
        memcpy(to, s.p, s.len);
    to[s.len] = 0;
    return to + s.len + 1;
}

static void put_record(struct window *w, const struct entry_seen *e, size_t size)
{
    uint32_t place = w->block->used;
    struct window_record *r = at(w, place);
    *r = (struct window_record){.size = (uint32_t)size,
                                .prev = w->count ? place - w->last : 0,
                                .n = e->n,
                                .at_ms = e->at_ms,
                                .len = (uint32_t)e->body.len,
                                .attach_len = (uint32_t)e->attach.len,
                                .id_len = (uint8_t)e->id.len,
                                .kind_len = (uint8_t)e->kind.len};
    char *to = put_text(put_text((char *)(r + 1), e->id), e->kind);
    put_text(put_text(to, e->body), e->attach);
    if (!w->count)
        w->first = place;
    w->last = place;
    w->block->used += (uint32_t)size;
    w->count++;
}

kf_rc window_add(struct window *w, const struct entry_seen *e, uint32_t max, size_t bytes_max,
                 struct kf_err *err)
{
    size_t size = record_size(e);
    if (max == 0 || size > bytes_max) {
        window_clear(w);
        w->limited = true;
        return KF_OK;
    }
    while (w->count >= max || (w->count && live_bytes(w) + size > bytes_max)) {
        w->limited = w->limited || w->count < max;
        window_pop(w);
    }
    kf_rc rc = make_room(w, size, err);
    if (rc == KF_OK)
        put_record(w, e, size);
    else
        window_clear(w);
    return rc;
}
