/* Documents of ours that are not pushed while the rest goes on (W6). Each is a row of kf_aside with
 * `seq`, the number of the head that was not pushed:
 *
 *     code             why                                        tried again when
 *     secret_found     it holds a secret                          secrets may go there now
 *     public_remote    it is critical, everybody can read there   that is so no more
 *     remote_refused   the place refuses it                       it seems to refuse everything
 *     damaged          its bytes are damaged here                 with every run
 *
 * and all of them when somebody asks (set-aside retry), or when nothing is known of the place.
 *
 *     pending, above W --- run: not pushed, row written ---> withheld: row, W passes its number
 *            ^                                                 |            |
 *            +------ it changes: a new number above W ---------+            +--> confirmed: a later
 *                                                                                run pushed it, its
 *                                                                                row goes
 *
 * A row whose document has another number by now says nothing: the document is above the watermark,
 * and the next run replaces the row. The list in memory is what the rows say; it is swapped behind
 * the commit that writes them, the watermark in memory moves after that. So who looks finds a
 * document pending, withheld or confirmed, and never confirmed by mistake. */
#include "remote/remotes_internal.h"

#include "remote/sealed.h"
#include "remote/stream_part.h"
#include "store/clock.h"

#include <stdlib.h>

void withheld_free(struct withheld_list *list)
{
    if (!list)
        return;
    arena_release(&list->arena);
    mem_free(list);
}

/* ------------------------------------------------------------------------------------ the rows */

static enum problem problem_of(str code)
{
    for (int i = 0; i < PROBLEM_COUNT; i++)
        if (str_is(code, problem_table[i].code))
            return (enum problem)i;
    return PROBLEM_REMOTE_REFUSED; /* of a later version: it stays aside */
}

static kf_rc add_row(struct withheld_list *list, size_t *cap, struct db_stmt *s, struct kf_err *err)
{
    if (list->count == *cap) {
        size_t larger = *cap ? *cap * 2 : 16;
        struct withheld *p = arena_alloc(&list->arena, larger * sizeof(*p));
        if (!p)
            return err_nomem(err);
        if (list->count)
            memcpy(p, list->items, list->count * sizeof(*p));
        list->items = p;
        *cap = larger;
    }
    struct withheld w = {.name = arena_str(&list->arena, db_text(s, 0)),
                         .seq = db_i64(s, 1),
                         .problem = problem_of(db_text(s, 2)),
                         .reason = arena_str(&list->arena, db_text(s, 3))};
    if (!w.name.p || !w.reason.p)
        return err_nomem(err);
    list->items[list->count++] = w;
    return KF_OK;
}

static int compare_firsts(const void *a, const void *b)
{
    const struct withheld_first *x = a, *y = b;
    int order = str_cmp(x->key, y->key);
    return order ? order : x->seq < y->seq ? -1 : x->seq > y->seq;
}

static kf_rc find_firsts(struct withheld_list *list, struct kf_err *err)
{
    size_t n = 0;
    list->firsts = arena_alloc(&list->arena, (list->count + 1) * sizeof *list->firsts);
    if (!list->firsts)
        return err_nomem(err);
    for (size_t i = 0; i < list->count; i++)
        if (withheld_of_stream(list->items[i].name, &list->firsts[n].key))
            list->firsts[n++].seq = list->items[i].seq;
    if (n)
        qsort(list->firsts, n, sizeof *list->firsts, compare_firsts);
    for (size_t i = 0; i < n; i++)
        if (!i || !str_eq(list->firsts[i].key, list->firsts[list->first_count - 1].key))
            list->firsts[list->first_count++] = list->firsts[i];
    return KF_OK;
}

int64_t withheld_first(const struct withheld_list *list, str key)
{
    size_t low = 0, high = list ? list->first_count : 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = str_cmp(list->firsts[middle].key, key);
        if (order == 0)
            return list->firsts[middle].seq;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return INT64_MAX;
}

kf_rc withheld_read(struct db *db, str remote, struct withheld_list **ret, struct kf_err *err)
{
    static const char sql[] = "SELECT name, seq, code, reason FROM kf_aside"
                              " WHERE remote = $1 AND seq > 0 ORDER BY name, seq";
    struct withheld_list *list = mem_calloc(1, sizeof(*list));
    struct db_stmt *s;
    bool row = false;
    size_t cap = 0;
    if (!list)
        return err_nomem(err);
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc == KF_OK) {
        db_bind_text(s, 1, remote);
        while ((rc = db_step(s, &row, err)) == KF_OK && row)
            if ((rc = add_row(list, &cap, s, err)) != KF_OK)
                break;
        db_done(s);
    }
    if (rc == KF_OK)
        rc = find_firsts(list, err);
    if (rc != KF_OK || list->count == 0) {
        withheld_free(list);
        list = NULL;
    }
    if (rc == KF_OK)
        *ret = list;
    return rc;
}

static int compare_names(const void *a, const void *b)
{
    return str_cmp(((const struct withheld *)a)->name, ((const struct withheld *)b)->name);
}

const struct withheld *withheld_find(const struct withheld_list *list, str name)
{
    const struct withheld key = {.name = name};
    if (!list)
        return NULL;
    return bsearch(&key, list->items, list->count, sizeof(key), compare_names);
}

/* -------------------------------------------------------------------------- unchanged documents */

struct same_look {
    const struct withheld *withheld;
    doc_visit *visit;
    void *ctx;
    bool same;
};

/* The first head from the row's number on: the same one, or the document has changed. */
static kf_rc look_at(void *ctx, const struct doc_row *row, struct kf_err *err)
{
    struct same_look *l = ctx;
    l->same = row->seq == l->withheld->seq && str_eq(row->name, l->withheld->name);
    return l->same && l->visit ? l->visit(l->ctx, row, err) : KF_OK;
}

bool withheld_of_stream(str name, str *ret_key)
{
    str key = str_from(name, sizeof(STREAM_FILES) - 1);
    uint64_t first;
    if (!stream_file_is(name))
        return false;
    if (stream_file_parse(name, ret_key, &first))
        return true;
    while (key.len && key.p[key.len - 1] >= '0' && key.p[key.len - 1] <= '9')
        key.len--;
    if (!str_ends(key, STR("/entries/")))
        return false;
    key.len -= sizeof("/entries/") - 1;
    *ret_key = key;
    return true;
}

struct stream_look {
    struct same_look look; /* first */
    str key;
};

static kf_rc look_at_entry(void *ctx, const struct entry_row *row, struct kf_err *err)
{
    struct stream_look *l = ctx;
    const struct withheld *w = l->look.withheld;
    struct doc_row told = {.name = w->name,
                           .seq = w->seq,
                           .version = row->n,
                           .size = row->size,
                           .at_ms = clock_stamp_ms(row->stamp)};
    l->look.same = row->seq == w->seq && str_eq(row->key, l->key);
    return l->look.same && l->look.visit ? l->look.visit(l->look.ctx, &told, err) : KF_OK;
}

static kf_rc look_at_change(void *ctx, const struct stream_row *row, struct kf_err *err)
{
    struct stream_look *l = ctx;
    const struct withheld *w = l->look.withheld;
    struct doc_row told = {.name = w->name,
                           .seq = w->seq,
                           .version = 1,
                           .size = row->attrs.len,
                           .at_ms = clock_stamp_ms(row->stamp)};
    l->look.same = row->seq == w->seq && str_eq(row->key, l->key);
    return l->look.same && l->look.visit ? l->look.visit(l->look.ctx, &told, err) : KF_OK;
}

kf_rc withheld_head(struct db *db, const struct withheld *w, doc_visit *visit, void *ctx,
                    bool *ret_same, struct kf_err *err)
{
    struct stream_look l = {.look = {.withheld = w, .visit = visit, .ctx = ctx}};
    size_t count;
    kf_rc rc;
    if (withheld_of_stream(w->name, &l.key)) {
        rc = stream_entries_since(db, w->seq - 1, w->seq, 1, false, look_at_entry, &l, &count, err);
        if (rc == KF_OK && !l.look.same)
            rc = stream_changes(db, w->seq - 1, 1, look_at_change, &l, &count, err);
    } else {
        rc = doc_changes(db, w->seq - 1, 1, false, look_at, &l.look, &count, err);
    }
    *ret_same = l.look.same;
    return rc;
}

kf_rc withheld_pending(struct db *db, str remote, int64_t watermark, doc_visit *visit, void *ctx,
                       struct kf_err *err)
{
    struct withheld_list *list = NULL;
    bool same;
    kf_rc rc = withheld_read(db, remote, &list, err);
    for (size_t i = 0; rc == KF_OK && list && i < list->count; i++)
        if (list->items[i].seq <= watermark)
            rc = withheld_head(db, &list->items[i], visit, ctx, &same, err);
    withheld_free(list);
    return rc;
}

/* ----------------------------------------------------------------------------------- the policy */

bool entry_seals(const struct remote_entry *e)
{
    return sealed_wanted(&e->place);
}

bool entry_has_secrets(const struct remote_entry *e)
{
    return e->place.allow_secrets || entry_seals(e);
}

bool withheld_try(const struct run *run, const struct withheld *w)
{
    switch (w->problem) {
    case PROBLEM_DAMAGED: return true;
    case PROBLEM_SECRET_FOUND: return run->retry || entry_has_secrets(run->entry);
    case PROBLEM_PUBLIC_REMOTE:
        return run->retry || !run->place_public ||
               !docs_is_critical(run->entry->remotes->docs, w->name);
    default: return run->retry || run->refused_all;
    }
}

kf_rc withheld_any(struct run *run, bool *ret, struct kf_err *err)
{
    struct remotes *r = run->entry->remotes;
    struct withheld_list *list = NULL;
    struct db *db;
    kf_rc rc = store_read_lenient(r->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = withheld_read(db, str_of(run->entry->name), &list, err);
    *ret = false;
    for (size_t i = 0; rc == KF_OK && list && !*ret && i < list->count; i++)
        if (list->items[i].seq <= run->watermark && withheld_try(run, &list->items[i]))
            rc = withheld_head(db, &list->items[i], NULL, NULL, ret, err);
    store_read_end(r->store, db);
    withheld_free(list);
    return rc;
}

/* -------------------------------------------------------------------------------------- telling */

bool withheld_tell(const struct remote_entry *e, str doc, struct kf_err *why)
{
    const struct withheld *first = NULL;
    size_t count = 0;
    for (size_t i = 0; e->withheld && i < e->withheld->count; i++) {
        const struct withheld *w = &e->withheld->items[i];
        if (w->seq > e->watermark || (doc.len && !str_eq(w->name, doc)))
            continue;
        first = first ? first : w;
        count++;
    }
    if (!first)
        return false;
    size_t most = first->name.len < 120 ? first->name.len : 120;
    int len = (int)str_utf8_valid((str){first->name.p, most});
    if (count == 1)
        err_set(why, first->problem, "\"%.*s\" is saved here and not there: %.*s", len,
                first->name.p, STR_ARGS(first->reason));
    else
        err_set(why, first->problem,
                "%zu documents are saved here and not there, the first is \"%.*s\": %.*s", count,
                len, first->name.p, STR_ARGS(first->reason));
    return true;
}
