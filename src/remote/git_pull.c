/* From a branch to documents.
 *
 *     files of the tip, or what changed since the position     -> items by name
 *     parts that changed, and those of the items, as they are and (of changed ones) as they were
 *                                                              -> rows; more items: another stamp
 *     who touched the items last                               -> for what people did
 *     each item's file, and its file at the position           -> sink
 *
 * What an item is:
 *
 *     row          file                   it is
 *     there        the row's text         the document that Keepfast wrote
 *     there        another text           a hand edit
 *     there        gone                   a deletion by hand
 *     deleted      none                   a deletion
 *     none, or
 *     deleted      there                  a new document by hand
 *     any          no JSON, no file       left alone and told; a document of which nothing can be
 *                                         read where there is a row
 *
 * The file at the position, when there was one, is the base: what this store and the branch last
 * agreed on. */
#include "remote/git_internal.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/json.h"
#include "base/mem.h"
#include "remote/git_path.h"
#include "remote/portable.h"
#include "remote/stream_part.h"
#include "store/clock.h"

#include <assert.h>
#include <stdlib.h>

#define TOLD_BYTES 128 /* about, for a path beside its text */

struct item {
    str name;
    str path, old_path; /* .p NULL: no file of this name in the tip, at the position */
    str id, old_id;     /* of their objects; .p NULL: not known */
    struct git_id by;   /* who touched it last; "" = nobody between */
    int64_t by_time_s;
    uint32_t mode;
};

struct pulling {
    struct git *g;
    const struct git_id *since, *tip;
    struct remote_sink *sink;
    struct arena arena;
    struct item *items;
    size_t count, cap;
    size_t told_bytes; /* of paths that were told to the sink, which remembers them */
    bool changed[GIT_PARTS];
    struct git_rows now, before;
    int64_t tip_time_s;

    struct buf base; /* of the item that is read */
    bool has_base;
};

static kf_rc item_add(struct pulling *p, str name, struct item **ret, struct kf_err *err)
{
    size_t cap = p->count < p->cap ? p->cap : p->cap ? p->cap * 2 : 64;
    if (cap * sizeof(*p->items) + p->arena.used_bytes > GIT_HELD_MAX)
        return git_too_much(err);
    if (cap > p->cap) {
        struct item *grown = mem_realloc(p->items, cap * sizeof(*grown));
        if (!grown)
            return err_nomem(err);
        p->items = grown;
        p->cap = cap;
    }
    struct item *i = &p->items[p->count];
    *i = (struct item){.name = arena_str(&p->arena, name)};
    if (!i->name.p)
        return err_nomem(err);
    p->count++;
    *ret = i;
    return KF_OK;
}

/* Where the file is, and what was there before. */
static kf_rc item_place(struct pulling *p, struct item *i, const struct git_file *f,
                        struct kf_err *err)
{
    /* Most names stand as they are. */
    str path = str_eq(f->path, i->name) ? i->name : arena_str(&p->arena, f->path);
    bool ok = path.p != NULL;
    i->mode = f->mode;
    if (f->mode)
        i->path = path;
    if (GIT_REGULAR(f->mode))
        ok &= (i->id = arena_str(&p->arena, f->id)).p != NULL;
    if (GIT_REGULAR(f->old_mode)) {
        i->old_path = path;
        ok &= (i->old_id = arena_str(&p->arena, f->old_id)).p != NULL;
    }
    return ok ? KF_OK : err_nomem(err);
}

/* --------------------------------------------------------------------------------------- items */

static kf_rc tell_aside(const struct pulling *p, str path, const char *why, struct kf_err *err)
{
    struct kf_err cause = KF_ERR_INIT;
    if (!p->sink->aside)
        return KF_OK;
    err_set(&cause, PROBLEM_BAD_OBJECT, "%s", why);
    return p->sink->aside(p->sink, path, &cause, err);
}

/* What is right, or there no more. */
static kf_rc tell_right(const struct pulling *p, str path, struct kf_err *err)
{
    return p->sink->aside && p->sink->partial ? p->sink->aside(p->sink, path, NULL, err) : KF_OK;
}

static kf_rc add_file(void *ctx, const struct git_file *f, struct kf_err *err)
{
    struct pulling *p = ctx;
    struct buf name = BUF_INIT;
    if (str_starts(f->path, STR(GIT_OWN_DIR))) {
        int part = git_part_of_path(f->path);
        if (part >= 0)
            p->changed[part] = true;
        return KF_OK;
    }
    p->told_bytes += f->path.len + TOLD_BYTES;
    if (p->told_bytes > GIT_HELD_MAX)
        return git_too_much(err);
    kf_rc told = tell_right(p, f->path, err); /* until somebody finds otherwise */
    if (told != KF_OK)
        return told;
    kf_rc rc = git_path_name(f->path, &name, NULL);
    if (rc == KF_OK && !portable_name_is(buf_view(&name)))
        rc = KF_INVALID;
    if (rc == KF_OK) {
        struct item *i;
        rc = item_add(p, buf_view(&name), &i, err);
        if (rc == KF_OK)
            rc = item_place(p, i, f, err);
    } else if (rc == KF_INVALID) {
        rc = f->mode ? tell_aside(p, f->path, "the path is not one of a document", err) : KF_OK;
    } else {
        rc = err_nomem(err);
    }
    buf_release(&name);
    return rc;
}

static int compare_items(const void *a, const void *b)
{
    return str_cmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

/* Two paths of one name (plain and apart): the file counts that the row names, or the only one. */
static kf_rc unite(struct pulling *p, struct item *into, const struct item *other,
                   struct kf_err *err)
{
    const struct git_row *row = git_rows_find(&p->now, into->name);
    bool others = other->path.p && (!into->path.p || (row && str_eq(row->path, other->path)));
    kf_rc rc = KF_OK;
    if (other->path.p && into->path.p)
        rc = tell_aside(p, others ? into->path : other->path,
                        "there is another file of the same document", err);
    if (others) {
        into->path = other->path;
        into->id = other->id;
        into->mode = other->mode;
    }
    if (!into->old_path.p) {
        into->old_path = other->old_path;
        into->old_id = other->old_id;
    }
    return rc;
}

static kf_rc sort_items(struct pulling *p, struct kf_err *err)
{
    size_t n = 0;
    kf_rc rc = KF_OK;
    if (p->count)
        qsort(p->items, p->count, sizeof(*p->items), compare_items);
    for (size_t i = 0; rc == KF_OK && i < p->count; i++) {
        if (n && str_eq(p->items[n - 1].name, p->items[i].name))
            rc = unite(p, &p->items[n - 1], &p->items[i], err);
        else
            p->items[n++] = p->items[i];
    }
    p->count = n;
    return rc;
}

static bool same_row(const struct git_row *a, const struct git_row *b)
{
    return a->stamp == b->stamp && a->deleted == b->deleted && str_eq(a->site, b->site) &&
           str_eq(a->text, b->text);
}

/* Rows that say something else than at the position, whose file may be the same. */
static kf_rc add_changed_rows(struct pulling *p, struct kf_err *err)
{
    size_t files = p->count;
    for (unsigned k = 0; k < GIT_PARTS; k++) {
        const struct git_part *part = &p->now.part[k];
        for (size_t i = 0; p->changed[k] && i < part->count; i++) {
            const struct git_row *row = &part->rows[i];
            const struct git_row *old = git_rows_find(&p->before, row->name);
            struct item key = {.name = row->name};
            if (old && same_row(row, old))
                continue;
            if (files && bsearch(&key, p->items, files, sizeof(key), compare_items))
                continue;
            struct item *item = NULL;
            kf_rc rc = item_add(p, row->name, &item, err);
            if (rc != KF_OK)
                return rc;
            assert(item);
            if (p->since->hex[0] && !row->deleted) { /* its file is as it was, if there is one */
                item->path = item->old_path = row->path;
                item->mode = 0100644;
            }
        }
    }
    return sort_items(p, err);
}

static kf_rc gather(struct pulling *p, struct kf_err *err)
{
    bool whole = p->since->hex[0] == '\0';
    kf_rc rc = whole ? git_files(&p->g->repo, p->tip, add_file, p, err)
                     : git_changes(&p->g->repo, p->since, p->tip, add_file, p, err);
    for (size_t i = 0; i < p->count; i++)
        p->now.part[git_part_of(p->items[i].name)].wanted = true;
    for (unsigned k = 0; k < GIT_PARTS; k++) {
        p->now.part[k].wanted |= p->changed[k];
        p->before.part[k].wanted = p->changed[k] && !whole;
    }
    if (rc == KF_OK)
        rc = git_rows_load(p->g, p->tip, &p->now, err);
    if (rc == KF_OK)
        rc = git_rows_load(p->g, p->since, &p->before, err);
    if (rc != KF_OK)
        return rc;
    rc = sort_items(p, err);
    return rc == KF_OK ? add_changed_rows(p, err) : rc;
}

/* ----------------------------------------------------------------------------- who was it, when */

static kf_rc note_touch(void *ctx, const struct git_id *commit, int64_t time_s, str path,
                        struct kf_err *err)
{
    struct pulling *p = ctx;
    struct buf name = BUF_INIT;
    kf_rc rc = git_path_name(path, &name, NULL);
    struct item key = {.name = buf_view(&name)};
    struct item *i = rc == KF_OK && p->count
                         ? bsearch(&key, p->items, p->count, sizeof(key), compare_items)
                         : NULL;
    if (i && !i->by.hex[0]) {
        i->by = *commit;
        i->by_time_s = time_s;
    }
    buf_release(&name);
    return rc == KF_NOMEM ? err_nomem(err) : KF_OK;
}

static kf_rc find_who(struct pulling *p, struct kf_err *err)
{
    struct buf message = BUF_INIT;
    kf_rc rc = git_commit_read(&p->g->repo, p->tip, &p->tip_time_s, &message, err);
    buf_release(&message);
    if (rc == KF_OK && p->since->hex[0] && p->count)
        rc = git_touched(&p->g->repo, p->since, p->tip, note_touch, p, err);
    return rc;
}

/* --------------------------------------------------------------------------------- handing out */

/* What somebody did by hand: by the commit, later than the row. */
static void by_hand(const struct pulling *p, const struct item *i, const struct git_row *row,
                    struct remote_doc *doc)
{
    const struct git_id *by = i->by.hex[0] ? &i->by : p->tip;
    int64_t time_s = i->by.hex[0] ? i->by_time_s : p->tip_time_s;
    int64_t stamp = git_stamp(time_s);
    if (row && stamp <= row->stamp)
        stamp = row->stamp < CLOCK_STAMP_MAX ? row->stamp + 1 : CLOCK_STAMP_MAX;
    KF_SOMETIMES("git-hand-edit");
    doc->doc.stamp = stamp;
    doc->doc.at_ms = time_s * 1000;
    doc->doc.site = str_make(by->hex, PORTABLE_SITE);
    doc->doc.version = row ? row->version + 1 : 1;
}

static void as_written(const struct git_row *row, struct remote_doc *doc)
{
    doc->doc.stamp = row->stamp;
    doc->doc.at_ms = row->at_ms;
    doc->doc.site = row->site;
    doc->doc.version = row->version;
    doc->doc.inexact = !row->deleted && !stream_file_is(row->name); /* those are kept as they are */
    doc->hash = row->hash;
    doc->size = row->size;
}

static kf_rc hand_out(struct pulling *p, struct remote_doc *doc, str body, struct kf_err *err)
{
    bool want = true;
    struct remote_sink *sink = p->sink;
    kf_rc rc = sink->want ? sink->want(sink, doc, &want, err) : KF_OK;
    doc->doc.body = body;
    if (p->has_base && body.p)
        doc->doc.base = buf_view(&p->base);
    return rc == KF_OK && want ? sink->take(sink, doc, err) : rc;
}

/* A file that is none of ours to understand. With a row there is a document of this name, and
 * nothing of it can be read. */
static kf_rc unreadable(struct pulling *p, const struct item *i, const struct git_row *row,
                        const char *why, struct kf_err *err)
{
    struct kf_err cause = KF_ERR_INIT;
    struct remote_doc doc = {.doc = {.name = i->name}};
    kf_rc rc = tell_aside(p, i->path, why, err);
    if (rc != KF_OK || !row || row->deleted)
        return rc;
    as_written(row, &doc);
    err_set(&cause, PROBLEM_BAD_OBJECT, "its file %.*s: %.200s", STR_SHOWN(i->path), why);
    return p->sink->bad(p->sink, &doc, &cause, err);
}

static kf_rc take_file(struct pulling *p, const struct item *i, const struct git_row *row,
                       str bytes, struct kf_err *err)
{
    struct remote_doc doc = {.doc = {.name = i->name}};
    struct hash hash;
    struct kf_err why = KF_ERR_INIT;
    char hex[HASH_HEX + 1];
    hash_of(bytes, &hash);
    hash_hex(&hash, hex);
    if (row && !row->deleted && str_is(row->text, hex)) {
        as_written(row, &doc);
        return hand_out(p, &doc, bytes, err);
    }
    kf_rc rc = stream_file_is(i->name) ? stream_read_check(i->name, bytes, NULL, &why)
                                       : json_check(bytes, NULL, NULL, &why);
    if (rc == KF_NOMEM)
        return err_nomem(err);
    if (rc != KF_OK)
        return unreadable(p, i, row, why.detail, err);
    by_hand(p, i, row, &doc);
    doc.hash = (str){hex, HASH_HEX};
    doc.size = bytes.len;
    return hand_out(p, &doc, bytes, err);
}

/* There is no file. */
static kf_rc take_absence(struct pulling *p, const struct item *i, const struct git_row *row,
                          struct kf_err *err)
{
    struct remote_doc doc = {.doc = {.name = i->name}, .hash = STR("")};
    if (!row)
        return KF_OK;
    if (row->deleted)
        as_written(row, &doc);
    else
        by_hand(p, i, row, &doc);
    return hand_out(p, &doc, (str){0, 0}, err);
}

/* ------------------------------------------------------------------------------------- reading */

/* What is read for an item: its file at the position, then its file. */
struct request {
    size_t item;
    bool base;
};

struct requests {
    struct pulling *p;
    struct arena names;
    str *object;
    struct request *request;
    size_t count;
};

/* By its path only where the id is not known: git would read a folder of 100,000 files through for
 * each of them. */
static kf_rc ask(struct requests *r, const struct git_id *commit, str path, str id, size_t item,
                 bool base, struct kf_err *err)
{
    char *name = NULL;
    if (!id.p && !(name = arena_printf(&r->names, "%s:%.*s", commit->hex, STR_ARGS(path))))
        return err_nomem(err);
    r->object[r->count] = name ? str_of(name) : id;
    r->request[r->count++] = (struct request){item, base};
    return KF_OK;
}

static kf_rc got(void *ctx, size_t n, enum git_found found, str bytes, struct kf_err *err)
{
    struct requests *r = ctx;
    struct pulling *p = r->p;
    const struct item *i = &p->items[r->request[n].item];
    const struct git_row *row = git_rows_find(&p->now, i->name);
    kf_rc rc = remote_go_on(&p->g->remote, err);
    if (rc != KF_OK)
        return rc;
    if (r->request[n].base) {
        buf_clear(&p->base);
        buf_str(&p->base, bytes);
        p->has_base = found == GIT_THERE && json_check(bytes, NULL, NULL, NULL) == KF_OK;
        return buf_ok(&p->base, err);
    }
    if (found == GIT_THERE)
        rc = take_file(p, i, row, bytes, err);
    else if (found == GIT_MISSING && !i->id.p) /* only the row said that there is one */
        rc = take_absence(p, i, row, err);
    else
        rc = unreadable(p, i, row, found == GIT_TOO_LARGE ? "it is too large" : "it cannot be read",
                        err);
    p->has_base = false;
    return rc;
}

/* Items without a file need no reading. */
static kf_rc take_absent(struct pulling *p, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t k = 0; rc == KF_OK && k < p->count; k++) {
        const struct item *i = &p->items[k];
        const struct git_row *row = git_rows_find(&p->now, i->name);
        if (!i->mode)
            rc = take_absence(p, i, row, err);
        else if (!GIT_REGULAR(i->mode))
            rc = unreadable(p, i, row, "it is a link or another repository", err);
    }
    return rc;
}

static kf_rc read_items(struct pulling *p, struct kf_err *err)
{
    struct requests r = {.p = p};
    uint64_t max = p->g->remote.body_max ? p->g->remote.body_max : GIT_BODY_MAX;
    kf_rc rc = KF_OK;
    r.object = mem_calloc(2 * p->count + 1, sizeof(*r.object));
    r.request = mem_calloc(2 * p->count + 1, sizeof(*r.request));
    if (!r.object || !r.request)
        rc = err_nomem(err);
    for (size_t k = 0; rc == KF_OK && k < p->count; k++) {
        const struct item *i = &p->items[k];
        if (!GIT_REGULAR(i->mode))
            continue;
        if (i->old_path.p && p->since->hex[0])
            rc = ask(&r, p->since, i->old_path, i->old_id, k, true, err);
        if (rc == KF_OK)
            rc = ask(&r, p->tip, i->path, i->id, k, false, err);
    }
    /* A pretty form may be several times as long as the document. */
    if (rc == KF_OK)
        rc = git_read(&p->g->repo, r.object, r.count, (size_t)(max * 4), got, &r, err);
    mem_free(r.object);
    mem_free(r.request);
    arena_release(&r.names);
    return rc;
}

kf_rc git_hand_out(struct git *g, const struct git_id *since, const struct git_id *tip,
                   struct remote_sink *sink, struct kf_err *err)
{
    struct pulling p = {.g = g, .since = since, .tip = tip, .sink = sink};
    sink->partial = since->hex[0] != '\0';
    kf_rc rc = gather(&p, err);
    if (rc == KF_OK)
        rc = find_who(&p, err);
    if (rc == KF_OK)
        rc = take_absent(&p, err);
    if (rc == KF_OK)
        rc = read_items(&p, err);
    git_rows_release(&p.now);
    git_rows_release(&p.before);
    buf_release(&p.base);
    arena_release(&p.arena);
    mem_free(p.items);
    return rc;
}

/* ----------------------------------------------------------------------------------------- pull */

static kf_rc vanished(const struct git *g, struct kf_err *err)
{
    return err_set(
        err, PROBLEM_REMOTE_FAILED,
        "the branch %s is gone from the host: nothing is pushed until it is back, or the "
        "remote gets another name",
        g->branch);
}

/* The tip does not follow on the position: it is an older state, where the position follows on it,
 * and another history otherwise. */
static kf_rc refuse_tip(struct git *g, const struct git_id *since, bool here,
                        const struct git_id *tip, struct kf_err *err)
{
    bool older = false;
    kf_rc rc = here ? git_follows(&g->repo, tip, since, &older, err) : KF_OK;
    if (rc != KF_OK)
        return rc;
    if (older) {
        KF_SOMETIMES("git-rolled-back");
        return err_set(err, PROBLEM_ROLLED_BACK,
                       "the branch %s ends at an older commit than %.12s, which was there: bring "
                       "that commit back, or give the remote another name or branch to merge with "
                       "what is there",
                       g->branch, since->hex);
    }
    KF_SOMETIMES("git-history-rewritten");
    return err_set(err, PROBLEM_DIVERGED,
                   "the branch %s does not follow on commit %.12s any more: somebody rewrote its "
                   "history; bring that commit back, or give the remote another name or branch",
                   g->branch, since->hex);
}

/* The newest commit, here, and that it follows on the position (R5). */
static kf_rc fetch_tip(struct git *g, const struct git_id *since, struct git_id *tip,
                       struct kf_err *err)
{
    bool here = false, follows = true;
    kf_rc rc = since->hex[0] ? git_has(&g->repo, since, &here, err) : KF_OK;
    enum git_depth depth = here ? GIT_FOLLOW : since->hex[0] ? GIT_WHOLE : GIT_NEWEST;
    if (rc == KF_OK)
        rc = git_fetch(&g->repo, g->branch, depth, tip, err);
    if (rc == KF_OK && since->hex[0] && !here)
        rc = git_has(&g->repo, since, &here, err);
    if (rc == KF_OK && since->hex[0] && here)
        rc = git_follows(&g->repo, since, tip, &follows, err);
    if (rc == KF_OK && since->hex[0] && (!here || !follows))
        rc = refuse_tip(g, since, here, tip, err);
    return rc;
}

kf_rc git_pull(struct remote *r, str since_text, bool all, struct remote_sink *sink,
               struct buf *position, struct kf_err *err)
{
    struct git *g = (struct git *)r;
    struct git_id since = {""}, tip = {""};
    const struct git_id none = {""};
    bool here = false;
    kf_rc rc = since_text.len ? git_position(since_text, &since, err) : KF_OK;
    if (rc == KF_OK)
        rc = git_begin(g, err);
    if (rc == KF_OK)
        rc = git_remote_tip(&g->repo, g->branch, &tip, err);
    if (rc != KF_OK)
        return rc;
    if (!tip.hex[0])
        return since.hex[0] ? vanished(g, err) : KF_OK;
    bool moved = strcmp(tip.hex, since.hex) != 0;
    if (!moved)
        rc = git_has(&g->repo, &tip, &here, err);
    if (rc == KF_OK && !here)
        rc = fetch_tip(g, &since, &tip, err);
    if (rc == KF_OK && (moved || all))
        rc = git_check_format(g, &tip, err);
    if (rc == KF_OK && (moved || all))
        rc = git_hand_out(g, all ? &none : &since, &tip, sink, err);
    if (rc == KF_OK) {
        buf_c(position, tip.hex);
        rc = buf_ok(position, err);
    }
    return rc;
}
