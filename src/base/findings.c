#include "base/findings.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>

#define OF_STORE   false
#define OF_MACHINE true

const struct finding_info finding_table[FINDING_COUNT] = {
#define F(id, code_, level_, of_, title_, next_)    \
    [FINDING_##id] = {.code = code_,                \
                      .title = title_,              \
                      .next = next_,                \
                      .level = KF_FINDING_##level_, \
                      .of_machine = OF_##of_},
#include "base/findings.def"
#undef F
};

const char *kf_finding_level_name(kf_finding_level level)
{
    switch (level) {
    case KF_FINDING_NOTE: return "note";
    case KF_FINDING_WARNING: return "warning";
    case KF_FINDING_ERROR: return "error";
    }
    return "unknown"; /* a program may hand in any number */
}

enum finding finding_of(str code)
{
    int id = 0;
    while (id < FINDING_COUNT && !str_is(code, finding_table[id].code))
        id++;
    return (enum finding)id;
}

void findings_release(struct findings *f)
{
    arena_release(&f->arena);
    mem_free(f->items);
    *f = FINDINGS_INIT;
}

static struct kf_finding *find(const struct findings *f, enum finding id, const char *remote)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->items[i].code == finding_table[id].code &&
            strcmp(f->items[i].remote, remote ? remote : "") == 0)
            return &f->items[i];
    return NULL;
}

bool findings_has(const struct findings *f, enum finding id, const char *remote)
{
    return find(f, id, remote) != NULL;
}

static struct kf_finding *grow(struct findings *f)
{
    if (f->count == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 16;
        struct kf_finding *more = mem_realloc(f->items, cap * sizeof(*more));
        if (!more)
            return NULL;
        f->items = more;
        f->cap = cap;
    }
    return &f->items[f->count];
}

/* Names and messages of others are in it: one line, valid UTF-8. */
__attribute__((format(printf, 2, 0))) static const char *one_line(struct findings *f,
                                                                  const char *fmt, va_list args)
{
    struct buf b = BUF_INIT;
    buf_vprintf(&b, fmt, args);
    for (size_t i = 0; i < b.len; i++)
        if (b.p[i] == '\n' || b.p[i] == '\r' || b.p[i] == '\t')
            b.p[i] = ' ';
    for (size_t at = 0; at < b.len; at++) {
        at += str_utf8_valid(str_from(buf_view(&b), at));
        if (at < b.len)
            b.p[at] = '?';
    }
    const char *text = b.failed ? NULL : arena_dup(&f->arena, buf_view(&b));
    buf_release(&b);
    f->failed |= !text;
    return text;
}

/* The next step of the table, with the remote's name where it says REMOTE. */
static const char *next_step(struct findings *f, const char *next, const char *remote)
{
    static const char word[] = "REMOTE";
    const char *at = remote ? strstr(next, word) : NULL;
    struct buf b = BUF_INIT;
    if (!at)
        return next;
    for (; at; next = at + strlen(word), at = strstr(next, word)) {
        buf_add(&b, next, (size_t)(at - next));
        buf_c(&b, remote);
    }
    buf_c(&b, next);
    const char *text = b.failed ? NULL : arena_dup(&f->arena, buf_view(&b));
    buf_release(&b);
    return text;
}

void findings_add(struct findings *f, enum finding id, const char *remote, const char *detail, ...)
{
    va_list args;
    const struct finding_info *info = &finding_table[id];
    f->last = NULL;
    if (findings_has(f, id, remote))
        return;
    va_start(args, detail);
    const char *text = one_line(f, detail, args);
    va_end(args);
    const char *of = arena_dup(&f->arena, str_of(remote ? remote : ""));
    const char *next = next_step(f, info->next, remote);
    struct kf_finding *item = grow(f);
    f->failed |= !of || !next || !item;
    if (!text || !of || !next || !item)
        return;
    *item = (struct kf_finding){.code = info->code,
                                .level = info->level,
                                .title = info->title,
                                .detail = text,
                                .next = next,
                                .remote = of,
                                .of_machine = info->of_machine};
    f->last = item;
    f->count++;
}

void findings_next(struct findings *f, const char *next, ...)
{
    va_list args;
    if (!f->last)
        return;
    va_start(args, next);
    const char *text = one_line(f, next, args);
    va_end(args);
    if (text)
        f->last->next = text;
}

void findings_level(struct findings *f, enum finding id, const char *remote, kf_finding_level level)
{
    struct kf_finding *found = find(f, id, remote);
    if (found)
        found->level = level;
}

void findings_drop_machine(struct findings *f)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->count; i++)
        if (!f->items[i].of_machine)
            f->items[kept++] = f->items[i];
    f->count = kept;
    f->last = NULL;
}

static int compare(const void *a, const void *b)
{
    const struct kf_finding *x = a, *y = b;
    if (x->level != y->level)
        return x->level > y->level ? -1 : 1;
    int left = (int)finding_of(str_of(x->code)), right = (int)finding_of(str_of(y->code));
    return left != right ? left - right : strcmp(x->remote, y->remote);
}

/* What a list owns. */
struct given {
    struct arena arena;
    struct kf_finding items[];
};

kf_rc findings_give(struct findings *f, struct kf_finding_list *ret_list, struct kf_err *err)
{
    struct given *g = f->failed ? NULL
                                : mem_calloc(1, sizeof(*g) + (f->count + 1) * sizeof(*g->items));
    if (!g) {
        findings_release(f);
        return err_nomem(err);
    }
    if (f->count) {
        memcpy(g->items, f->items, f->count * sizeof(*g->items));
        qsort(g->items, f->count, sizeof(*g->items), compare);
    }
    g->arena = f->arena;
    f->arena = ARENA_INIT;
    *ret_list = (struct kf_finding_list){.items = g->items, .count = f->count, .owned = g};
    findings_release(f);
    return KF_OK;
}

void kf_finding_list_free(struct kf_finding_list *list)
{
    if (!list)
        return;
    struct given *g = list->owned;
    if (g)
        arena_release(&g->arena);
    mem_free(g);
    *list = (struct kf_finding_list){0};
}
