/* What the calls of keepfast.h about remotes do. */
#include "remote/remotes_internal.h"
#include "remote/stream_part.h"

#include "base/public.h"

#include <stdlib.h>

kf_rc entry_named(struct remotes *r, const char *name, struct remote_entry **ret,
                  struct kf_err *err)
{
    if (!name)
        return err_set(err, PROBLEM_MISUSE, "the name of a remote is missing");
    struct remote_entry *e = entry_find(r, str_of(name));
    if (!e)
        return err_set(
            err, PROBLEM_UNKNOWN_REMOTE,
            "there is no remote \"%.60s\" here: `keepfast remote ls` names those there are", name);
    *ret = e;
    return KF_OK;
}

/* -------------------------------------------------------------------------------------- listing */

struct listing {
    struct arena arena;
};

static char *schedule_text(struct arena *a, const struct config_schedule *s)
{
    struct buf b = BUF_INIT;
    config_schedule_format(s, &b);
    char *text = b.failed ? NULL : arena_dup(a, buf_view(&b));
    buf_release(&b);
    return text;
}

/* A point of our own clock on the wall. */
static int64_t wall_of(const struct remotes *r, int64_t mono_ms, int64_t now_ms)
{
    return mono_ms ? env_wall_ms(r->env) + (mono_ms - now_ms) : 0;
}

/* "a,b"; "" = all documents. NULL without memory. */
static const char *join_globs(const struct remote_entry *e, struct arena *a)
{
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < e->doc_count; i++)
        buf_printf(&b, "%s%.*s", i ? "," : "", STR_ARGS(e->docs[i]));
    const char *text = b.failed ? NULL : arena_dup(a, buf_view(&b));
    buf_release(&b);
    return text;
}

static kf_rc describe(struct remote_entry *e, struct arena *a, struct kf_remote_info *ret,
                      struct kf_err *err)
{
    struct remotes *r = e->remotes;
    struct kf_pending pending = {0};
    int64_t now = remotes_now(r);
    kf_rc rc = pending_now(e, &pending, err);
    if (rc != KF_OK)
        return rc;
    pthread_mutex_lock(&r->lock);
    struct schedule_view view = entry_view(e, now);
    struct schedule_plan plan = schedule_plan(&e->schedule, &view);
    struct kf_err why = KF_ERR_INIT;
    bool withheld = e->failures == 0 && withheld_tell(e, STR(""), &why);
    *ret = (struct kf_remote_info){
        .name = arena_dup(a, str_of(e->name)),
        .url = arena_dup(a, str_of(e->shown)),
        .kind = e->driver->kind,
        .source = e->from_config ? "config" : "store",
        .state = entry_state(e),
        .hydrated = e->hydrated,
        .pending = pending,
        .confirmed_seq = (uint64_t)e->watermark,
        .confirmed_ms = e->confirmed_wall_ms,
        .last_run_ms = e->last_run_wall_ms,
        .next_run_ms = wall_of(r, plan.next_ms, now),
        .overdue_ms = wall_of(r, plan.overdue_ms, now),
        .failures = e->failures,
        .set_aside = e->set_aside,
        .last_code = arena_dup(a, str_of(withheld ? why.code : e->last_code)),
        .last_error = arena_dup(a, str_of(withheld ? why.detail : e->last_error)),
        .encrypted = sealed_wanted(&e->place),
        .key_id = arena_dup(a, str_of(e->key_id)),
        .docs = join_globs(e, a),
    };
    pthread_mutex_unlock(&r->lock);
    ret->schedule = schedule_text(a, &e->schedule);
    bool good = ret->name && ret->url && ret->last_code && ret->last_error && ret->schedule &&
                ret->key_id && ret->docs;
    return good ? access_show(&e->place, a, ret, err) : err_nomem(err);
}

static int compare_infos(const void *a, const void *b)
{
    return strcmp(((const struct kf_remote_info *)a)->name,
                  ((const struct kf_remote_info *)b)->name);
}

kf_rc remotes_list(struct remotes *r, struct kf_remote_list *ret_list, struct kf_err *err)
{
    struct kf_remote_list list = {0};
    kf_rc rc = KF_OK;
    struct listing *l = mem_calloc(1, sizeof(*l));
    if (!l || !(list.items = arena_alloc(&l->arena, REMOTES_MAX * sizeof(*list.items)))) {
        mem_free(l);
        return err_nomem(err);
    }
    list.owned = l;
    for (int i = 0; rc == KF_OK && i < REMOTES_MAX; i++) {
        struct remote_entry *e = entry_at(r, i);
        if (e)
            rc = describe(e, &l->arena, &list.items[list.count++], err);
        entry_drop(e);
    }
    if (rc != KF_OK) {
        kf_remote_list_free(&list);
        return rc;
    }
    qsort(list.items, list.count, sizeof(*list.items), compare_infos);
    *ret_list = list;
    return KF_OK;
}

void kf_remote_list_free(struct kf_remote_list *list)
{
    if (!list)
        return;
    struct listing *l = list->owned;
    if (l)
        arena_release(&l->arena);
    mem_free(l);
    *list = (struct kf_remote_list){0};
}

/* ------------------------------------------------------------------------- adding and removing */

static kf_rc check_options(const struct kf_remote_options *o, struct kf_err *err)
{
    if (!o->name || !o->url)
        return err_set(err, PROBLEM_MISUSE, "a remote needs a name and an address");
    if (!config_name_ok(str_of(o->name)))
        return err_set(err, PROBLEM_BAD_REQUEST,
                       "\"%.60s\" is no name of a remote: small letters, digits, _ and -, at most "
                       "%d, beginning with a letter or digit",
                       o->name, CONFIG_NAME_MAX);
    if (str_is(str_of(o->name), "all"))
        return err_set(err, PROBLEM_BAD_REQUEST, "\"all\" means every remote and names none");
    if (str_utf8_valid(str_of(o->url)) != strlen(o->url))
        return err_set(err, PROBLEM_BAD_REQUEST, "the address is not UTF-8");
    if (o->manual && (o->every_ms || o->after || o->on_change_ms))
        return err_set(err, PROBLEM_BAD_REQUEST, "a manual remote has no schedule");
    return KF_OK;
}

/* "a,b" as a list in the arena. */
static kf_rc split_globs(const char *docs, struct arena *a, struct entry_options *ret,
                         struct kf_err *err)
{
    str rest = str_of(docs);
    size_t count = 1;
    for (size_t i = 0; i < rest.len; i++)
        count += rest.p[i] == ',';
    str *globs = arena_alloc(a, count * sizeof(*globs));
    if (!globs)
        return err_nomem(err);
    ret->docs = globs;
    ret->doc_count = 0;
    while (rest.len) {
        str one = {rest.p, str_index(rest, ',')};
        if (str_trim(one).len)
            globs[ret->doc_count++] = str_trim(one);
        rest = str_from(rest, one.len + 1);
    }
    return KF_OK;
}

/* An entry that is in no list and has no row. */
static kf_rc entry_of_options(struct remotes *r, const struct kf_remote_options *options,
                              struct remote_entry **ret, struct kf_err *err)
{
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    struct arena arena = ARENA_INIT;
    if (!options)
        return err_set(err, PROBLEM_MISUSE, "a remote needs options");
    kf_rc rc = options_take(options, &o, sizeof o, err);
    if (rc == KF_OK)
        rc = check_options(&o, err);
    if (rc != KF_OK)
        return rc;
    struct entry_options eo = {
        .name = str_of(o.name),
        .place = {.url = str_of(o.url)},
        .kind = STR(""),
        .schedule = {.every_ms = o.every_ms,
                     .on_change_ms = o.on_change_ms,
                     .after = o.after,
                     .manual = o.manual},
        .warn_bytes = CONFIG_WARN_PENDING,
    };
    char id[SEAL_ID + 1];
    rc = access_of_options(r->env, &o, &eo.place, err);
    if (rc == KF_OK)
        rc = sealed_check(&eo.place, err);
    if (rc == KF_OK) /* here it is somebody's who can mend it at once */
        rc = sealed_id(r->env, &eo.place, id, err);
    if (rc == KF_OK)
        rc = split_globs(o.docs ? o.docs : "", &arena, &eo, err);
    if (rc == KF_OK)
        rc = entry_new(r, &eo, ret, err);
    arena_release(&arena);
    return rc;
}

kf_rc remotes_add(struct remotes *r, const struct kf_remote_options *options, struct kf_err *err)
{
    struct remote_entry *e = NULL;
    kf_rc rc = entry_of_options(r, options, &e, err);
    if (rc != KF_OK)
        return rc;
    e->first_ms = remotes_now(r); /* everything is pending to it */
    e->first_wall_ms = env_wall_ms(r->env);
    e->refs++; /* ours */
    rc = entry_attach(r, e, err);
    if (rc != KF_OK) {
        entry_drop(e);
        entry_drop(e);
        return rc;
    }
    rc = row_put(e, err);
    if (rc != KF_OK)
        entry_detach(e);
    entry_drop(e);
    remotes_plan_soon(r);
    return rc;
}

/* The folder of its own, which is a cache. A run or a probe that is on still works in it: then it
 * stays until the space goes. Called with the entry taken out of the list, which nobody can find
 * any more: the list and the caller count one each. */
static void drop_folder(struct remote_entry *e)
{
    struct remotes *r = e->remotes;
    struct kf_err why = KF_ERR_INIT;
    pthread_mutex_lock(&r->lock);
    bool busy = e->running || e->refs > 2;
    pthread_mutex_unlock(&r->lock);
    kf_rc rc = busy ? KF_OK : dir_unmake_all(r->env, e->place.dir.p, &why);
    if (rc != KF_OK && rc != KF_ABSENT)
        log_event(r->log, LOG_WARN, "remote.folder_left", LOG_S("remote", e->name),
                  LOG_S("why", why.detail), LOG_END);
}

kf_rc remotes_remove(struct remotes *r, const char *name, struct kf_err *err)
{
    struct remote_entry *e = NULL;
    kf_rc rc = entry_named(r, name, &e, err);
    if (!e)
        return rc;
    if (e->from_config) {
        rc = err_set(err, PROBLEM_NOT_EMPTY,
                     "the remote \"%s\" stands in the configuration: take it out there", e->name);
    } else {
        entry_detach(e);
        rc = row_delete(r, str_of(e->name), err);
        if (rc == KF_OK)
            drop_folder(e);
    }
    entry_drop(e);
    return rc;
}

kf_rc remotes_probe(struct remotes *r, const char *name, struct kf_err *err)
{
    struct remote_entry *e = NULL;
    struct remote *remote = NULL;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = entry_named(r, name, &e, err);
    if (rc != KF_OK)
        return rc;
    rc = entry_connect(e, &remote, &why);
    if (rc == KF_OK)
        rc = remote->driver->probe(remote, &why);
    if (rc == KF_OK)
        readers_ask(e, remote);
    if (remote)
        remote->driver->close(remote);
    if (rc == KF_NOMEM)
        rc = err_nomem(err);
    else if (rc != KF_OK)
        rc = err_set(
            err, problem_is(&why, PROBLEM_KEY_NEEDED) ? PROBLEM_KEY_NEEDED : PROBLEM_REMOTE_FAILED,
            "%s: %s", e->name, why.detail);
    entry_drop(e);
    return rc;
}

/* --------------------------------------------------------------------------------------- trying */

struct counting {
    struct remote_sink sink; /* first */
    struct kf_remote_found found;
};

static kf_rc count_one(struct remote_sink *sink, const struct remote_doc *doc, bool *ret_want,
                       struct kf_err *err)
{
    struct counting *c = (struct counting *)sink;
    (void)err;
    c->found.docs += doc->hash.len > 0; /* else it is a deletion */
    *ret_want = false;
    return KF_OK;
}

static kf_rc take_none(struct remote_sink *sink, const struct remote_doc *doc, struct kf_err *err)
{
    (void)sink;
    (void)doc;
    return err_set(err, PROBLEM_INTERNAL, "a document came that was not wanted");
}

static kf_rc count_bad(struct remote_sink *sink, const struct remote_doc *doc,
                       const struct kf_err *why, struct kf_err *err)
{
    struct counting *c = (struct counting *)sink;
    (void)doc;
    (void)why;
    (void)err;
    c->found.bad++;
    return KF_OK;
}

static kf_rc try_place(struct remote_entry *e, struct counting *c, struct kf_err *err)
{
    struct remote *remote = NULL;
    struct buf position = BUF_INIT;
    kf_rc rc = entry_connect(e, &remote, err);
    if (rc == KF_OK)
        rc = remote->driver->pull(remote, STR(""), true, &c->sink, &position, err);
    if (rc == KF_OK)
        rc = remote->driver->probe(remote, err);
    if (rc == KF_OK && remote->driver->is_public)
        c->found.readers_known = remote->driver->is_public(remote, &c->found.is_public, NULL) ==
                                 KF_OK;
    if (remote)
        remote->driver->close(remote);
    c->found.there = position.len > 0;
    buf_release(&position);
    return rc;
}

/* A name that is taken is refused first: its runs work in the same folder beside the store. */
kf_rc remotes_try(struct remotes *r, const struct kf_remote_options *options,
                  struct kf_remote_found *ret_found, struct kf_err *err)
{
    struct counting c = {.sink = {.want = count_one, .take = take_none, .bad = count_bad}};
    struct kf_err why = KF_ERR_INIT;
    struct remote_entry *e = NULL, *other = NULL;
    kf_rc rc = entry_of_options(r, options, &e, err);
    if (rc != KF_OK)
        return rc;
    if ((other = entry_find(r, str_of(e->name))))
        rc = entry_taken(e, err);
    else if ((rc = try_place(e, &c, &why)) == KF_NOMEM)
        rc = err_nomem(err);
    else if (rc == KF_CONFIG)
        rc = err_set(err,
                     problem_is(&why, PROBLEM_KEY_NEEDED) ? PROBLEM_KEY_NEEDED : PROBLEM_CONFIG,
                     "%s: %s", e->name, why.detail);
    else if (rc != KF_OK)
        rc = err_set(err, PROBLEM_REMOTE_FAILED, "%s: %s", e->name, why.detail);
    else
        *ret_found = c.found;
    entry_drop(other);
    entry_drop(e);
    return rc;
}

/* -------------------------------------------------------------------------------------- pending */

struct pending_found {
    const struct remote_entry *entry;
    str after;
    struct arena arena;
    struct kf_pending_item *items;
    size_t count, cap;
};

static kf_rc add_item(struct pending_found *f, const struct doc_row *row, struct kf_err *err)
{
    if (f->count == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 64;
        struct kf_pending_item *p = mem_realloc(f->items, cap * sizeof(*p));
        if (!p)
            return err_nomem(err);
        f->items = p;
        f->cap = cap;
    }
    struct kf_pending_item item = {.name = arena_dup(&f->arena, row->name),
                                   .size = row->size,
                                   .since_ms = row->at_ms,
                                   .deleted = row->deleted,
                                   .version = row->version};
    if (!item.name)
        return err_nomem(err);
    f->items[f->count++] = item;
    return KF_OK;
}

static kf_rc add_pending(void *ctx, const struct doc_row *row, struct kf_err *err)
{
    struct pending_found *f = ctx;
    bool wanted = stream_file_is(row->name) || entry_wants(f->entry, row->name);
    if (!wanted || (f->after.len && str_cmp(row->name, f->after) <= 0))
        return KF_OK;
    return add_item(f, row, err);
}

/* Of a stream one item stands for all that is pending of it. */
static kf_rc add_stream(void *ctx, const struct doc_row *row, struct kf_err *err)
{
    struct pending_found *f = ctx;
    struct buf name = BUF_INIT;
    struct doc_row told = *row;
    buf_c(&name, STREAM_FILES);
    buf_str(&name, row->name);
    told.name = buf_view(&name);
    kf_rc rc = buf_ok(&name, err);
    if (rc == KF_OK && (f->after.len == 0 || str_cmp(told.name, f->after) > 0))
        rc = add_item(f, &told, err);
    buf_release(&name);
    return rc;
}

/* Items of one name, which are those of a stream, become one. */
static void unite(struct pending_found *f)
{
    size_t n = 0;
    for (size_t i = 0; i < f->count; i++) {
        struct kf_pending_item *last = n ? &f->items[n - 1] : NULL;
        const struct kf_pending_item *item = &f->items[i];
        if (!last || strcmp(last->name, item->name) != 0) {
            f->items[n++] = *item;
            continue;
        }
        last->size += item->size;
        last->deleted |= item->deleted;
        if (item->since_ms < last->since_ms)
            last->since_ms = item->since_ms;
        if (item->version > last->version)
            last->version = item->version;
    }
    f->count = n;
}

static int compare_items(const void *a, const void *b)
{
    return strcmp(((const struct kf_pending_item *)a)->name,
                  ((const struct kf_pending_item *)b)->name);
}

static kf_rc read_pending(struct remote_entry *e, struct pending_found *f, size_t limit,
                          struct kf_err *err)
{
    struct remotes *r = e->remotes;
    struct db *db;
    size_t count;
    pthread_mutex_lock(&r->lock);
    int64_t watermark = e->watermark;
    pthread_mutex_unlock(&r->lock);
    kf_rc rc = store_read_lenient(r->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = doc_changes(db, watermark, (size_t)INT64_MAX, false, add_pending, f, &count, err);
    if (rc == KF_OK)
        rc = withheld_pending(db, str_of(e->name), watermark, add_pending, f, err);
    if (rc == KF_OK)
        rc = pending_streams(e, db, watermark, add_stream, f, err);
    if (rc == KF_OK && f->count) {
        qsort(f->items, f->count, sizeof(*f->items), compare_items);
        unite(f);
    }
    for (size_t i = 0; rc == KF_OK && i < f->count && i < limit; i++) {
        int64_t since = 0;
        rc = doc_since(db, str_of(f->items[i].name), watermark, &since, err);
        if (since)
            f->items[i].since_ms = since;
    }
    store_read_end(r->store, db);
    return rc;
}

struct pending_owned {
    struct arena arena;
    struct kf_pending_item *items;
};

kf_rc remotes_pending(struct remotes *r, const char *remote, const char *after, size_t limit,
                      struct kf_pending_list *ret_list, struct kf_err *err)
{
    struct remote_entry *e = NULL;
    kf_rc rc = entry_named(r, remote, &e, err);
    if (rc != KF_OK)
        return rc;
    if (limit < 1 || limit > 1000) {
        entry_drop(e);
        return err_set(err, PROBLEM_BAD_FILTER, "a list has a limit of 1 to 1,000");
    }
    struct pending_found f = {.entry = e, .after = str_of(after)};
    struct pending_owned *owned = mem_calloc(1, sizeof(*owned));
    rc = owned ? read_pending(e, &f, limit, err) : err_nomem(err);
    entry_drop(e);
    if (rc != KF_OK) {
        arena_release(&f.arena);
        mem_free(f.items);
        mem_free(owned);
        return rc;
    }
    *owned = (struct pending_owned){f.arena, f.items};
    *ret_list = (struct kf_pending_list){.items = f.items,
                                         .count = f.count < limit ? f.count : limit,
                                         .more = f.count > limit,
                                         .owned = owned};
    return KF_OK;
}

void kf_pending_list_free(struct kf_pending_list *list)
{
    if (!list)
        return;
    struct pending_owned *owned = list->owned;
    if (owned) {
        arena_release(&owned->arena);
        mem_free(owned->items);
    }
    mem_free(owned);
    *list = (struct kf_pending_list){0};
}
