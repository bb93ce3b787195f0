/* A name is the space's, a dash, and then always the same form:
 *
 *     2026-11-21T12.00.00Z        20 bytes: RFC 3339 with dots for the colons, which some file
 *                                 systems do not take
 *     -2                          from the second of a second on
 *     .zip
 *     .sealed                     of one that is encrypted
 *     .part                       while it is made, with a dot before the name
 *
 * Reading makes the name anew from what it read and compares, so that there is one spelling. */
#include "move/backup_name.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/when.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { TIME_LEN = 20, NTH_MAX = 99999 };

static const char *tail_of(const struct backup_name *n)
{
    if (n->part)
        return n->sealed ? ".zip.sealed.part" : ".zip.part";
    return n->sealed ? ".zip.sealed" : ".zip";
}

static void text_of(str space, const struct backup_name *n, char out[BACKUP_NAME_MAX])
{
    char when[WHEN_LEN + 1], nth[16] = "";
    when_format(n->at_ms, when);
    when[13] = when[16] = '.';
    if (n->nth > 1)
        snprintf(nth, sizeof nth, "-%u", (unsigned)n->nth);
    int len = snprintf(out, BACKUP_NAME_MAX, "%s%.*s-%.19sZ%s%s", n->part ? "." : "",
                       STR_ARGS(space), when, nth, tail_of(n));
    assert(len > 0 && len < BACKUP_NAME_MAX); /* spaces have at most CONFIG_NAME_MAX bytes */
}

void backup_name_format(str space, const struct backup_name *n, struct buf *out)
{
    char text[BACKUP_NAME_MAX];
    text_of(space, n, text);
    buf_c(out, text);
}

static bool parse_time(str s, int64_t *ret_ms)
{
    char when[TIME_LEN];
    if (s.len < TIME_LEN || s.p[13] != '.' || s.p[16] != '.')
        return false;
    memcpy(when, s.p, TIME_LEN);
    when[13] = when[16] = ':';
    return when_parse(str_make(when, TIME_LEN), ret_ms);
}

bool backup_name_parse(str space, str name, struct backup_name *ret)
{
    struct backup_name n = {.nth = 1, .part = str_starts(name, STR("."))};
    str rest = str_from(name, n.part);
    char again[BACKUP_NAME_MAX];
    uint64_t nth;
    n.sealed = str_ends(name, n.part ? STR(".sealed.part") : STR(".sealed"));
    str ending = str_of(tail_of(&n));
    if (!str_starts(rest, space) || !str_ends(name, ending))
        return false;
    rest = str_from(rest, space.len);
    if (rest.len < 1 + TIME_LEN + ending.len || rest.p[0] != '-')
        return false;
    rest = (str){rest.p + 1, rest.len - 1 - ending.len};
    if (!parse_time(rest, &n.at_ms))
        return false;
    rest = str_from(rest, TIME_LEN);
    if (rest.len) {
        if (rest.p[0] != '-' || !str_to_u64(str_from(rest, 1), &nth) || nth > NTH_MAX)
            return false;
        n.nth = (uint32_t)nth;
    }
    text_of(space, &n, again);
    if (!str_is(name, again))
        return false;
    *ret = n;
    return true;
}

/* ------------------------------------------------------------------------------------- folders */

/* The next of `names`; .p == NULL behind the last one. */
static str next_name(str *names)
{
    if (names->len == 0)
        return (str){NULL, 0};
    str name = {names->p, str_index(*names, '\0')};
    *names = str_from(*names, name.len + 1);
    return name;
}

static int order(const struct backup_name *a, const struct backup_name *b)
{
    if (a->at_ms != b->at_ms)
        return a->at_ms < b->at_ms ? -1 : 1;
    return a->nth < b->nth ? -1 : a->nth > b->nth;
}

void backup_name_next(str space, str names, int64_t now_ms, bool sealed, struct buf *out)
{
    struct backup_name n, next = {.at_ms = now_ms - now_ms % 1000, .nth = 1, .sealed = sealed};
    for (str name = next_name(&names); name.p; name = next_name(&names)) {
        if (backup_name_parse(space, name, &n) && n.at_ms == next.at_ms && n.nth >= next.nth)
            next.nth = n.nth + 1;
    }
    backup_name_format(space, &next, out);
}

bool backup_name_newest(str space, str names, int64_t now_ms, str *ret_name,
                        struct backup_name *ret)
{
    struct backup_name n;
    bool found = false;
    for (str name = next_name(&names); name.p; name = next_name(&names)) {
        if (!backup_name_parse(space, name, &n) || n.part || n.at_ms > now_ms)
            continue;
        if (found && order(&n, ret) < 0)
            continue;
        found = true;
        *ret = n;
        *ret_name = name;
    }
    return found;
}

/* ------------------------------------------------------------------------------------- pruning */

struct kept {
    struct backup_name name;
    str text;
    bool future;
};

static int by_age(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;
    if (x->future != y->future)
        return x->future ? -1 : 1;
    return order(&x->name, &y->name);
}

static size_t count_names(str names)
{
    size_t count = 0;
    while (next_name(&names).p)
        count++;
    return count;
}

kf_rc backup_name_prune(str space, str names, uint64_t keep, str verified, int64_t now_ms,
                        struct buf *out, struct kf_err *err)
{
    size_t count = 0;
    struct kept *all = mem_calloc(count_names(names) + 1, sizeof *all);
    if (!all)
        return err_nomem(err);
    for (str name = next_name(&names); name.p; name = next_name(&names)) {
        struct kept *k = &all[count];
        if (!backup_name_parse(space, name, &k->name) || k->name.part)
            continue;
        k->text = name;
        k->future = k->name.at_ms > now_ms;
        count++;
    }
    qsort(all, count, sizeof *all, by_age);
    size_t left = count;
    for (size_t i = 0; i < count && left > (keep ? keep : 1); i++) {
        if (str_eq(all[i].text, verified))
            continue;
        buf_str(out, all[i].text);
        buf_byte(out, '\0');
        left--;
    }
    mem_free(all);
    return buf_ok(out, err);
}
