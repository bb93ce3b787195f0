/* What is set aside at a remote, kf_aside: left alone while the rest goes on.
 *
 *     kind        what                                          its list is whole
 *     damaged     a document of ours, damaged here (W6)         when the push ended well
 *     withheld    another one that is not pushed (W6)           when the push ended well
 *     held_back   a document of ours that would replace a       when the push ended well
 *                 later one there that cannot be read (W5)
 *     refused     a document there that cannot be taken in      with every pull that ended well
 *     at_place    something there that is no document: the      when the pull told all of it
 *                 kind tells it (remote_sink.aside)
 *
 * A run gathers what it meets. In the groups that note its position and its end, what is whole
 * replaces what the store had of that kind (what stays keeps its `since`), and what is not is added
 * to it. A kind that tells differences alone (remote_sink.partial) also tells what is right again.
 *
 * At most REMOTES_ASIDE_MAX rows of documents that are withheld are kept of a remote, and as many
 * of the other kinds, in the order above: what people put into a place takes no room from W6.
 * kf_remote.aside_more counts what has no row. Nothing here holds up a run or a hydration: who does
 * is in the code of W1 and W5. The rows are this store's own, as the log of runs is. */
#include "remote/remotes_internal.h"

#include <stdlib.h>

#define ASIDE_NAME_MAX 1024 /* as of documents */

static const char *const kind_names[] = {
    [ASIDE_DAMAGED] = "damaged", [ASIDE_WITHHELD] = "withheld", [ASIDE_HELD_BACK] = "held_back",
    [ASIDE_REFUSED] = "refused", [ASIDE_AT_PLACE] = "at_place",
};

/* ----------------------------------------------------------------------------------- gathering */

void aside_begin(struct run *run)
{
    struct aside *a = &run->aside;
    arena_clear(&a->arena);
    a->count = 0;
    memset(a->of_kind, 0, sizeof(a->of_kind));
    a->beyond = 0;
    a->unlisted_items = 0;
    a->pulled = a->told_all = a->pushed = false;
}

void aside_release(struct aside *a)
{
    arena_release(&a->arena);
    mem_free(a->items);
    withheld_free(a->withheld);
    *a = (struct aside){0};
}

static kf_rc make_room(struct aside *a, struct kf_err *err)
{
    if (a->count < a->cap)
        return KF_OK;
    size_t cap = a->cap ? a->cap * 2 : 32;
    struct aside_item *p = mem_realloc(a->items, cap * sizeof(*p));
    if (!p)
        return err_nomem(err);
    a->items = p;
    a->cap = cap;
    return KF_OK;
}

/* As text of one line, of a length that people read: at a place anything can be a path. */
static str shown_name(struct aside *a, str name)
{
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < name.len && b.len < ASIDE_NAME_MAX;) {
        size_t good = str_utf8_valid(str_from(name, i));
        if (good > ASIDE_NAME_MAX - b.len)
            good = str_utf8_valid((str){name.p + i, ASIDE_NAME_MAX - b.len});
        buf_str(&b, (str){name.p + i, good});
        i += good;
        if (i < name.len && b.len < ASIDE_NAME_MAX)
            buf_printf(&b, "\\x%02x", (unsigned)(unsigned char)name.p[i++]);
    }
    str copy = b.failed ? (str){0, 0} : arena_str(&a->arena, buf_view(&b));
    buf_release(&b);
    return copy;
}

static void note_unlisted(int64_t *unlisted, int64_t seq)
{
    if (seq && (!*unlisted || seq < *unlisted))
        *unlisted = seq;
}

static kf_rc add(struct run *run, enum aside_kind kind, str name, int64_t seq,
                 const struct kf_err *why, struct kf_err *err)
{
    struct aside *a = &run->aside;
    struct kf_err told = why ? *why : (struct kf_err)KF_ERR_INIT;
    if (!why && a->total == 0)
        return KF_OK; /* nothing was */
    if (why && a->of_kind[kind] >= REMOTES_ASIDE_MAX) {
        a->beyond++;
        note_unlisted(&a->unlisted_items, seq);
        return KF_OK;
    }
    remote_url_hide(run->entry->place.url, told.detail);
    kf_rc rc = make_room(a, err);
    struct aside_item item = {
        .kind = kind, .order = a->count, .code = told.code, .seq = seq, .right = !why};
    if (rc == KF_OK) {
        item.name = shown_name(a, name);
        item.reason = arena_str(&a->arena, str_of(told.detail));
    }
    if (rc != KF_OK || !item.name.p || !item.reason.p)
        return err_nomem(err);
    a->items[a->count++] = item;
    a->of_kind[kind] += why != NULL;
    return KF_OK;
}

kf_rc aside_add(struct run *run, enum aside_kind kind, str name, const struct kf_err *why,
                struct kf_err *err)
{
    return add(run, kind, name, 0, why, err);
}

kf_rc aside_withhold(struct run *run, enum aside_kind kind, str name, int64_t seq,
                     const struct kf_err *why, struct kf_err *err)
{
    return add(run, kind, name, seq, why, err);
}

/* ------------------------------------------------------------------------------------- writing */

static int compare_keys(enum aside_kind kind, str name, const struct aside_item *with)
{
    int order = strcmp(kind_names[kind], kind_names[with->kind]);
    return order ? order : str_cmp(name, with->name);
}

static int compare_items(const void *x, const void *y)
{
    const struct aside_item *a = x, *b = y;
    int order = compare_keys(a->kind, a->name, b);
    return order ? order : a->order < b->order ? -1 : a->order > b->order;
}

/* In the order of the rows, each name of a kind once: what was told last. */
static void sort_items(struct aside *a)
{
    size_t n = 0;
    if (a->count)
        qsort(a->items, a->count, sizeof(*a->items), compare_items);
    for (size_t i = 0; i < a->count; i++) {
        if (n && compare_keys(a->items[i].kind, a->items[i].name, &a->items[n - 1]) == 0)
            n--;
        a->items[n++] = a->items[i];
    }
    a->count = n;
}

static bool is_whole(const struct aside *a, str kind)
{
    if (str_is(kind, kind_names[ASIDE_REFUSED]))
        return a->pulled;
    return str_is(kind, kind_names[ASIDE_AT_PLACE]) ? a->told_all : a->pushed;
}

/* What the store has, held against what was found. */
struct compared {
    struct aside *found;
    struct arena arena;
    struct gone {
        struct gone *next;
        str kind, name;
    } * gone;
    uint64_t kept[2]; /* what is at the place; documents of ours (W6) */
    size_t at;        /* in `found`: rows come in the same order */
};

static kf_rc add_gone(struct compared *c, str kind, str name, struct kf_err *err)
{
    struct gone *gone = arena_alloc(&c->arena, sizeof(*gone));
    if (!gone)
        return err_nomem(err);
    *gone = (struct gone){c->gone, arena_str(&c->arena, kind), arena_str(&c->arena, name)};
    if (!gone->kind.p || !gone->name.p)
        return err_nomem(err);
    c->gone = gone;
    return KF_OK;
}

static kf_rc compare_row(struct compared *c, struct db_stmt *s, struct kf_err *err)
{
    str kind = db_text(s, 0), name = db_text(s, 1);
    int order = 1;
    struct aside_item *item = NULL;
    for (; c->at < c->found->count; c->at++) {
        item = &c->found->items[c->at];
        order = str_cmp(kind, str_of(kind_names[item->kind]));
        order = order ? order : str_cmp(name, item->name);
        if (order <= 0)
            break;
    }
    bool met = item && order == 0;
    if (met ? item->right : is_whole(c->found, kind))
        return add_gone(c, kind, name, err);
    c->kept[db_i64(s, 4) != 0]++;
    if (met) {
        item->there = true;
        item->differs = !str_is(db_text(s, 2), item->code) ||
                        !str_eq(db_text(s, 3), item->reason) || db_i64(s, 4) != item->seq;
    }
    return KF_OK;
}

static kf_rc compare(struct db *db, str remote, struct compared *c, struct kf_err *err)
{
    static const char sql[] =
        "SELECT kind, name, code, reason, seq FROM kf_aside WHERE remote = $1 ORDER BY kind, name";
    struct db_stmt *s;
    bool row = false;
    for (size_t i = 0; i < c->found->count; i++)
        c->found->items[i].there = c->found->items[i].differs = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, remote);
    while ((rc = db_step(s, &row, err)) == KF_OK && row)
        if ((rc = compare_row(c, s, err)) != KF_OK)
            break;
    db_done(s);
    return rc;
}

static kf_rc delete_row(struct db *db, str remote, const struct gone *gone, struct kf_err *err)
{
    static const char sql[] = "DELETE FROM kf_aside WHERE remote = $1 AND kind = $2 AND name = $3";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, remote);
    db_bind_text(s, 2, gone->kind);
    db_bind_text(s, 3, gone->name);
    return db_run(s, err);
}

static kf_rc put_row(struct group *g, str remote, const struct aside_item *item, struct kf_err *err)
{
    static const char sql[] = "INSERT INTO kf_aside(remote, kind, name, since, code, reason, seq)"
                              " VALUES($1, $2, $3, $4, $5, $6, $7)"
                              " ON CONFLICT(remote, kind, name) DO UPDATE SET code = excluded.code,"
                              " reason = excluded.reason, seq = excluded.seq";
    struct db_stmt *s;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, remote);
    db_bind_text(s, 2, str_of(kind_names[item->kind]));
    db_bind_text(s, 3, item->name);
    db_bind_i64(s, 4, group_now_ms(g));
    db_bind_text(s, 5, str_of(item->code));
    db_bind_text(s, 6, item->reason);
    db_bind_i64(s, 7, item->seq);
    return db_run(s, err);
}

/* New ones as long as there is room, those of the first kinds first; *ret_beyond counts the
 * others. */
static kf_rc put_rows(struct group *g, str remote, struct compared *c, uint64_t *ret_beyond,
                      struct kf_err *err)
{
    kf_rc rc = KF_OK;
    struct aside *a = c->found;
    for (int kind = ASIDE_DAMAGED; kind < ASIDE_KINDS; kind++)
        for (size_t i = 0; rc == KF_OK && i < a->count; i++) {
            const struct aside_item *item = &a->items[i];
            if ((int)item->kind != kind || item->right || (item->there && !item->differs))
                continue;
            uint64_t *kept = &c->kept[item->seq != 0];
            if (!item->there && *kept >= REMOTES_ASIDE_MAX) {
                ++*ret_beyond;
                note_unlisted(&a->unlisted, item->seq);
                continue;
            }
            if (item->seq && KF_SABOTAGE("aside-forgotten"))
                continue;
            a->changed |= !item->there;
            *kept += !item->there;
            rc = put_row(g, remote, item, err);
        }
    return rc;
}

static kf_rc read_more(struct db *db, str remote, uint64_t *ret, struct kf_err *err)
{
    static const char sql[] = "SELECT aside_more FROM kf_remote WHERE name = $1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, remote);
    rc = db_step(s, &row, err);
    int64_t more = rc == KF_OK && row ? db_i64(s, 0) : 0;
    *ret = more > 0 ? (uint64_t)more : 0;
    db_done(s);
    return rc;
}

static kf_rc write_more(struct db *db, str remote, uint64_t more, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_remote SET aside_more = $1 WHERE name = $2";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, (int64_t)more);
    db_bind_text(s, 2, remote);
    return db_run(s, err);
}

static kf_rc replace(struct group *g, struct compared *c, str remote, struct kf_err *err)
{
    struct db *db = group_db(g);
    struct aside *a = c->found;
    uint64_t beyond = a->beyond, before = 0;
    kf_rc rc = compare(db, remote, c, err);
    a->unlisted = a->unlisted_items;
    for (const struct gone *gone = c->gone; rc == KF_OK && gone; gone = gone->next) {
        a->changed = true;
        rc = delete_row(db, remote, gone, err);
    }
    if (rc == KF_OK)
        rc = put_rows(g, remote, c, &beyond, err);
    if (rc == KF_OK)
        rc = read_more(db, remote, &before, err);
    if (!a->told_all && beyond < before)
        beyond = before; /* of what is at the place nothing else is known */
    if (rc == KF_OK && beyond != before) {
        KF_SOMETIMES("aside-beyond-the-bound");
        a->changed = true;
        rc = write_more(db, remote, beyond, err);
    }
    a->total = c->kept[0] + c->kept[1] + beyond;
    withheld_free(a->withheld);
    a->withheld = NULL;
    if (rc == KF_OK && a->unlisted) {
        KF_SOMETIMES("withheld-beyond-the-bound");
        a->changed = true;
    }
    return rc == KF_OK ? withheld_read(db, remote, &a->withheld, err) : rc;
}

kf_rc aside_write(struct group *g, struct run *run, struct kf_err *err)
{
    struct aside *a = &run->aside;
    struct compared c = {.found = a};
    a->changed = false;
    a->unlisted = 0;
    if (!a->pulled && !a->pushed)
        return KF_OK;
    sort_items(a);
    kf_rc rc = replace(g, &c, str_of(run->entry->name), err);
    arena_release(&c.arena);
    return rc;
}

/* Takes the list over and gives back the one before. */
static void publish_rows(struct remote_entry *e, uint64_t total, struct withheld_list **list)
{
    pthread_mutex_lock(&e->remotes->lock);
    struct withheld_list *before = e->withheld;
    e->set_aside = total;
    e->withheld = *list;
    e->cache_seq = -1; /* what is pending may have changed without a number */
    pthread_mutex_unlock(&e->remotes->lock);
    withheld_free(before);
    *list = NULL;
}

void aside_publish(struct run *run)
{
    run->aside.changed_before |= run->aside.changed;
    if (run->aside.pulled || run->aside.pushed)
        publish_rows(run->entry, run->aside.total, &run->aside.withheld);
}

static kf_rc count_rows(struct db *db, str remote, uint64_t *ret, struct kf_err *err)
{
    static const char sql[] = "SELECT count(*) FROM kf_aside WHERE remote = $1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, remote);
    rc = db_step(s, &row, err);
    *ret = rc == KF_OK ? (uint64_t)db_i64(s, 0) : 0;
    db_done(s);
    return rc;
}

kf_rc aside_load(struct remote_entry *e, struct db *db, struct kf_err *err)
{
    uint64_t rows = 0, more = 0;
    struct withheld_list *withheld = NULL, *old;
    kf_rc rc = count_rows(db, str_of(e->name), &rows, err);
    if (rc == KF_OK)
        rc = read_more(db, str_of(e->name), &more, err);
    if (rc == KF_OK)
        rc = withheld_read(db, str_of(e->name), &withheld, err);
    if (rc != KF_OK)
        return rc;
    pthread_mutex_lock(&e->remotes->lock);
    old = e->withheld;
    e->withheld = withheld;
    e->set_aside = rows + more;
    pthread_mutex_unlock(&e->remotes->lock);
    withheld_free(old);
    return KF_OK;
}

/* ----------------------------------------------------------------------------------- forgetting */

struct drop_write {
    struct write write; /* first */
    struct remote_entry *entry;
    str name; /* .p == NULL: all */
    bool any;
    uint64_t total;
    struct withheld_list *withheld;
};

static kf_rc delete_named(struct db *db, struct drop_write *w, struct kf_err *err)
{
    static const char one_sql[] = "DELETE FROM kf_aside WHERE remote = $1 AND name = $2";
    static const char all_sql[] = "DELETE FROM kf_aside WHERE remote = $1";
    struct db_stmt *s;
    kf_rc rc = db_use(db, w->name.p ? one_sql : all_sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, str_of(w->entry->name));
    if (w->name.p)
        db_bind_text(s, 2, w->name);
    rc = db_run(s, err);
    w->any = rc == KF_OK && db_changed(db) > 0;
    return rc;
}

static kf_rc apply_drop(struct group *g, struct write *write, struct kf_err *err)
{
    struct drop_write *w = (struct drop_write *)write;
    struct db *db = group_db(g);
    str remote = str_of(w->entry->name);
    uint64_t rows = 0, more = 0;
    kf_rc rc = delete_named(db, w, err);
    if (rc == KF_OK && !w->name.p)
        rc = write_more(db, remote, 0, err);
    if (rc == KF_OK)
        rc = count_rows(db, remote, &rows, err);
    if (rc == KF_OK)
        rc = read_more(db, remote, &more, err);
    w->total = rows + more;
    withheld_free(w->withheld);
    w->withheld = NULL;
    return rc == KF_OK ? withheld_read(db, remote, &w->withheld, err) : rc;
}

static void publish_drop(struct write *write)
{
    struct drop_write *w = (struct drop_write *)write;
    publish_rows(w->entry, w->total, &w->withheld);
}

kf_rc remotes_aside_drop(struct remotes *r, const char *remote, const char *name,
                         struct kf_err *err)
{
    struct drop_write w = {.write = {.apply = apply_drop, .publish = publish_drop}};
    kf_rc rc = entry_named(r, remote, &w.entry, err);
    if (rc != KF_OK)
        return rc;
    if (name)
        w.name = str_of(name);
    rc = store_write(r->store, &w.write, err);
    withheld_free(w.withheld);
    entry_drop(w.entry);
    if (rc == KF_OK && name && !w.any)
        rc = err_set(err, PROBLEM_NOT_FOUND, "nothing of this name is set aside at %s", remote);
    return rc;
}
