/* merge3: what must hold of json_merge3, whatever the texts. The oracle finds members by going
 * through all of them and compares values by json_same; it shares the parser with what it judges
 * and nothing else. Test code: running out of memory ends the program. */
#ifndef TESTS_JSON_MERGE3_H
#define TESTS_JSON_MERGE3_H

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

static const struct json_limits merge3_limits = {0, UINT32_MAX};

static inline void merge3_need(bool is)
{
    if (!is)
        abort();
}

static inline bool merge3_same(str a, str b)
{
    bool is = false;
    merge3_need(json_same(a, b, &is, NULL) == KF_OK);
    return is;
}

/* The member's value; .p is NULL when it is absent. */
static inline str merge3_find(const struct json_node *object, str name)
{
    for (const struct json_node *m = object->child; m; m = m->next)
        if (json_text_is(m->name, name))
            return m->raw;
    return (str){0};
}

static inline bool merge3_equal(str a, str b)
{
    return !a.p == !b.p && (!a.p || merge3_same(a, b));
}

/* The value that a member, or a whole document, must have. */
static inline str merge3_value(str b, str o, str t, bool ours_win, uint32_t *clashes)
{
    if (merge3_equal(o, t))
        return o;
    if (merge3_equal(o, b))
        return t;
    if (merge3_equal(t, b))
        return o;
    ++*clashes;
    return ours_win ? o : t;
}

static inline struct json_node *merge3_tree(str text, struct arena *arena)
{
    struct json_node *root = NULL;
    merge3_need(json_parse(text, &merge3_limits, arena, &root, NULL) == KF_OK);
    return root;
}

/* Holds each member that any of them has against the oracle. */
static inline bool merge3_members_are(const struct json_node *tree[3], const struct json_node *r,
                                      bool ours_win, uint32_t *clashes, struct arena *arena)
{
    uint32_t present = 0;
    for (int side = 0; side < 3; side++) {
        for (const struct json_node *m = tree[side]->child; m; m = m->next) {
            str name = json_text(m->name, arena), at[3];
            bool before = false;
            for (int i = 0; i < 3; i++) {
                at[i] = merge3_find(tree[i], name);
                before = before || (i < side && at[i].p);
            }
            if (before)
                continue;
            str wanted = merge3_value(at[0], at[1], at[2], ours_win, clashes);
            if (!merge3_equal(wanted, merge3_find(r, name)))
                return false;
            present += wanted.p != NULL;
        }
    }
    return r->count == present;
}

static inline bool merge3_is_right(str base, str ours, str theirs, bool ours_win, str result,
                                   uint32_t clashes)
{
    struct arena arena = ARENA_INIT;
    const struct json_node *tree[3] = {merge3_tree(base, &arena), merge3_tree(ours, &arena),
                                       merge3_tree(theirs, &arena)};
    const struct json_node *r = merge3_tree(result, &arena);
    bool objects = true, is;
    uint32_t wanted = 0;
    for (int i = 0; i < 3; i++)
        objects = objects && tree[i]->type == JSON_OBJECT;
    if (objects)
        is = r->type == JSON_OBJECT && merge3_members_are(tree, r, ours_win, &wanted, &arena);
    else
        is = merge3_same(result, merge3_value(base, ours, theirs, ours_win, &wanted));
    arena_release(&arena);
    return is && clashes == wanted;
}

/* Merges and compares with an exact text and no clash. */
static inline bool merge3_gives(str base, str ours, str theirs, bool ours_win, str wanted)
{
    struct buf out = BUF_INIT;
    uint32_t clashes = 1;
    bool is = json_merge3(base, ours, theirs, ours_win, &out, &clashes, NULL) == KF_OK &&
              str_eq(buf_view(&out), wanted) && clashes == 0;
    buf_release(&out);
    return is;
}

/* What does not hold of three acceptable texts; NULL = everything does. */
static inline const char *merge3_broken(str b, str o, str t, bool ours_win)
{
    struct buf out = BUF_INIT, other = BUF_INIT;
    uint32_t clashes = UINT32_MAX, other_clashes = UINT32_MAX;
    const char *what = NULL;
    merge3_need(json_merge3(b, o, t, ours_win, &out, &clashes, NULL) == KF_OK);
    merge3_need(json_merge3(b, t, o, !ours_win, &other, &other_clashes, NULL) == KF_OK);
    str r = buf_view(&out);
    if (json_check(r, &merge3_limits, NULL, NULL) != KF_OK)
        what = "the result is acceptable JSON";
    else if (!merge3_is_right(b, o, t, ours_win, r, clashes))
        what = "the result is the oracle's";
    else if (!merge3_same(r, buf_view(&other)) || clashes != other_clashes)
        what = "with the same winner the sides can be exchanged";
    else if (merge3_same(r, o) && !str_eq(r, o))
        what = "a result that is ours is our text";
    else if (!merge3_same(r, o) && merge3_same(r, t) && !str_eq(r, t))
        what = "a result that is theirs is their text";
    else if (!merge3_gives(b, o, b, ours_win, o))
        what = "what they did not change stays";
    else if (!merge3_gives(b, b, t, ours_win, merge3_same(b, t) ? b : t))
        what = "what we did not change becomes theirs";
    else if (!merge3_gives(b, o, o, ours_win, o))
        what = "equal changes are no clash";
    buf_clear(&other);
    if (!what && (json_merge3(b, r, t, ours_win, &other, NULL, NULL) != KF_OK ||
                  !merge3_same(r, buf_view(&other))))
        what = "what was merged is merged";
    buf_release(&out);
    buf_release(&other);
    return what;
}

#endif
