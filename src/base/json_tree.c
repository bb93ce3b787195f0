/* json_tree: a document taken apart, and questions to it. */
#include "base/json_internal.h"

#include "base/err.h"

#include <assert.h>

/* Grows a tree from events. The path from the root to the open containers is `open`; a container's
 * `last` child is where the next one is linked. */
struct grower {
    struct arena *arena;
    struct json_node *root;
    uint32_t count, depth;
    str name; /* of the member whose value comes next */
    struct {
        struct json_node *node, *last;
    } open[JSON_DEPTH_MAX];
};

static bool grow_value(struct grower *g, const struct json_event *e)
{
    struct json_node *node = arena_alloc(g->arena, sizeof *node);
    if (!node)
        return false;
    node->type = (enum json_type)e->what;
    node->index = g->count++;
    node->raw = e->raw;
    node->name = g->name;
    g->name = (str){0};
    if (g->depth == 0) {
        g->root = node;
    } else {
        struct json_node *parent = g->open[g->depth - 1].node;
        if (parent->count++ == 0)
            parent->child = node;
        else {
            assert(g->open[g->depth - 1].last);
            g->open[g->depth - 1].last->next = node;
        }
        g->open[g->depth - 1].last = node;
    }
    if (node->type >= JSON_ARRAY)
        g->open[g->depth++].node = node;
    return true;
}

static bool grow(struct grower *g, const struct json_event *e)
{
    if (e->what == JSON_EVENT_NAME) {
        g->name = e->raw;
        return true;
    }
    if (e->what == JSON_EVENT_END) {
        assert(g->depth > 0 && g->open[g->depth - 1].node);
        struct json_node *node = g->open[--g->depth].node;
        node->raw.len = (size_t)(e->raw.p + 1 - node->raw.p);
        return true;
    }
    return grow_value(g, e);
}

kf_rc json_parse(str text, const struct json_limits *limits, struct arena *arena,
                 struct json_node **ret_root, struct kf_err *err)
{
    struct json_scan s;
    struct json_event events[64];
    size_t count = 0;
    struct grower g = {.arena = arena};
    kf_rc rc;
    json_scan_begin(&s, text, limits);
    do {
        rc = json_scan_next(&s, events, sizeof events / sizeof *events, &count, err);
        if (rc != KF_OK)
            goto out;
        for (size_t i = 0; i < count; i++) {
            if (!grow(&g, &events[i])) {
                rc = err_nomem(err);
                goto out;
            }
        }
    } while (count > 0);
    *ret_root = g.root;
out:
    json_scan_release(&s);
    return rc;
}

const struct json_node *json_member(const struct json_node *object, const char *name)
{
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    str wanted = str_of(name);
    const struct json_node *n = object->child;
    while (n && !json_text_is(n->name, wanted))
        n = n->next;
    return n;
}

bool json_u64(const struct json_node *n, uint64_t *ret)
{
    return n && n->type == JSON_NUMBER && str_to_u64(n->raw, ret);
}

bool json_i64(const struct json_node *n, int64_t *ret)
{
    if (!n || n->type != JSON_NUMBER)
        return false;
    bool minus = n->raw.p[0] == '-';
    uint64_t size;
    if (!str_to_u64(str_from(n->raw, minus), &size))
        return false;
    if (size > (uint64_t)INT64_MAX + minus)
        return false;
    /* -(2^63) has no positive twin: negate one less. */
    *ret = !minus ? (int64_t)size : size == 0 ? 0 : -(int64_t)(size - 1) - 1;
    return true;
}

/* The index of the last one tells. */
uint32_t json_node_total(const struct json_node *root)
{
    const struct json_node *n = root;
    for (;;) {
        while (n->next)
            n = n->next;
        if (!n->child)
            return n->index + 1;
        n = n->child;
    }
}

/* ------------------------------------------------------------------------------------- sorting */

/* Bottom-up merge sort: runs of 1, 2, 4 … are merged from one array into the other. */
static void merge(const void **from, const void **to, size_t a, size_t b, size_t end,
                  json_order *order)
{
    size_t i = a, j = b;
    for (size_t k = a; k < end; k++) {
        bool left = i < b && (j >= end || order(from[i], from[j]) <= 0);
        to[k] = left ? from[i++] : from[j++];
    }
}

void json_sort(const void **items, const void **scratch, size_t count, json_order *order)
{
    const void **from = items, **to = scratch;
    for (size_t run = 1; run < count; run *= 2) {
        for (size_t a = 0; a < count; a += 2 * run) {
            size_t b = a + run < count ? a + run : count;
            size_t end = b + run < count ? b + run : count;
            merge(from, to, a, b, end, order);
        }
        const void **other = from;
        from = to;
        to = other;
    }
    if (from != items)
        memcpy(items, from, count * sizeof *items);
}

static int order_members(const void *va, const void *vb)
{
    const struct json_node *a = va, *b = vb;
    return json_raw_cmp(a->name, b->name);
}

const struct json_node **json_sorted_members(const struct json_node *object, struct arena *arena)
{
    size_t count = object->count, n = 0;
    const void **items = arena_alloc(arena, (2 * count + 1) * sizeof *items);
    if (!items)
        return NULL;
    for (const struct json_node *m = object->child; m; m = m->next)
        items[n++] = m;
    json_sort(items, items + count, count, order_members);
    return (const struct json_node **)(void *)items;
}

size_t json_sorted_find(const struct json_node *const *members, size_t count, str raw_name)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = json_raw_cmp(members[middle]->name, raw_name);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return count;
}
