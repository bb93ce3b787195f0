/* From documents to one commit on top of the position.
 *
 *     heads of the set -> rows of their parts -> which are new there, and their paths
 *     bodies of the set, pretty -> fast-import -> commit (files, then parts) -> push -> kept
 *
 * The commit is made on what was pulled last and pushed on condition that the branch still ends
 * there. When it does not, the commit is forgotten: nothing that was not pushed is ever built upon.
 * What the branch holds already makes no commit. */
#include "remote/git_internal.h"
#include "remote/stream_part.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/table.h"
#include "remote/git_path.h"

#include <assert.h>
#include <inttypes.h>

#define SUBJECT_NAMES 3
#define BODY_NAMES    50

/* A document that the branch does not hold as it is. */
struct change {
    struct git_row row; /* as it will be; text "" until its body came */
    size_t head;        /* of the set */
    str old_path;       /* of the row before; .p NULL = none */
    str old_text;       /* of the same write, which may stand there from other bytes */
    size_t entries;     /* of a part: new ones */
    bool is_new;        /* to the branch, or deleted there */
    bool sent;
};

/* A path of the branch, or a folder of one, by the hash of its folded form. */
struct taken {
    UT_hash_handle hh;
    struct hash key;
    str path;
    bool folder, lost;
};

struct pushing {
    struct git *g;
    const struct git_id *on;
    struct remote_set *set;
    struct arena arena;
    struct git_rows rows;
    struct change *changes;
    size_t count, at, head; /* at, head: whose body comes next, at the earliest */
    struct taken *taken;    /* what new paths could meet in the branch */

    enum { BODIES, PARTS, FORMAT, DONE } step;
    unsigned part;
    struct buf path, bytes; /* of the change that was handed out last */
    str removed;            /* a path to remove before the next document; .p NULL = none */
    struct remote_pushed pushed;
};

/* --------------------------------------------------------------------------------------- paths */

static struct taken *find_taken(struct pushing *p, str path, struct hash *key)
{
    struct taken *found = NULL;
    buf_clear(&p->path);
    git_path_fold(path, &p->path);
    hash_of(buf_view(&p->path), key);
    HASH_FIND(hh, p->taken, key, sizeof(*key), found);
    return found;
}

static kf_rc add_taken(struct pushing *p, str path, bool folder, struct kf_err *err)
{
    struct hash key;
    if (find_taken(p, path, &key))
        return KF_OK;
    if (p->arena.used_bytes > GIT_HELD_MAX)
        return git_too_much(err);
    struct taken *t = arena_alloc(&p->arena, sizeof(*t));
    if (!t)
        return err_nomem(err);
    t->key = key;
    t->path = arena_str(&p->arena, path);
    t->folder = folder;
    HASH_ADD(hh, p->taken, key, sizeof(t->key), t);
    return t->path.p && !t->lost ? KF_OK : err_nomem(err);
}

/* The path, of a file or a folder, and all its folders. */
static kf_rc take_path(struct pushing *p, str path, bool folder, struct kf_err *err)
{
    kf_rc rc = add_taken(p, path, folder, err);
    for (size_t i = path.len; rc == KF_OK && i-- > 0;)
        if (path.p[i] == '/')
            rc = add_taken(p, (str){path.p, i}, true, err);
    return rc;
}

static kf_rc list_one(void *ctx, const struct git_file *file, struct kf_err *err)
{
    return take_path(ctx, file->path, file->mode == GIT_FOLDER, err);
}

/* Whether the path can stand in the branch beside what is there. */
static bool is_free(struct pushing *p, str path)
{
    struct hash key;
    const struct taken *t = find_taken(p, path, &key);
    if (t && (t->folder || !str_eq(t->path, path)))
        return false;
    for (size_t i = path.len; i-- > 0;) {
        if (path.p[i] != '/')
            continue;
        t = find_taken(p, (str){path.p, i}, &key);
        if (t && (!t->folder || !str_eq(t->path, (str){path.p, i})))
            return false;
    }
    return true;
}

static kf_rc choose_path(struct pushing *p, struct git_row *row, struct kf_err *err)
{
    struct buf path = BUF_INIT;
    git_path_plain(row->name, &path);
    kf_rc rc = buf_ok(&path, err);
    if (rc == KF_OK && !is_free(p, buf_view(&path))) {
        KF_SOMETIMES("git-path-apart");
        buf_clear(&path);
        git_path_apart(row->name, &path);
        rc = buf_ok(&path, err);
    }
    if (rc == KF_OK)
        rc = take_path(p, buf_view(&path), false, err);
    if (rc == KF_OK) {
        row->path = arena_str(&p->arena, buf_view(&path));
        if (!row->path.p)
            rc = err_nomem(err);
    }
    buf_release(&path);
    return rc;
}

/* ---------------------------------------------------------------------------- what is to change */

static kf_rc keep_head(struct pushing *p, const struct remote_doc *d, struct git_row *ret,
                       struct kf_err *err)
{
    *ret = (struct git_row){
        .name = arena_str(&p->arena, d->doc.name),
        .site = arena_str(&p->arena, d->doc.site),
        .hash = arena_str(&p->arena, d->hash),
        .path = STR(""),
        .text = STR(""),
        .version = d->doc.version,
        .size = d->size,
        .stamp = d->doc.stamp,
        .at_ms = d->doc.at_ms,
        .deleted = d->hash.len == 0,
    };
    return ret->name.p && ret->site.p && ret->hash.p ? KF_OK : err_nomem(err);
}

static bool same_write(const struct git_row *there, const struct git_row *row)
{
    return there && there->stamp == row->stamp && str_eq(there->site, row->site);
}

/* Whether the branch has no file of the document yet. */
static bool needs_path(struct pushing *p, const struct git_row *row)
{
    const struct git_row *there = git_rows_find(&p->rows, row->name);
    return !row->deleted && (!there || there->deleted);
}

/* Adds the folders of a path, each once. False when they are more than a few. */
static bool add_folders(struct pushing *p, str path, const char **folders, size_t *count,
                        struct kf_err *err, kf_rc *ret_rc)
{
    for (size_t i = 0; i < path.len; i++) {
        bool known = false;
        str folder = {path.p, i + 1};
        if (path.p[i] != '/')
            continue;
        for (size_t k = 0; k < *count && !known; k++)
            known = str_is(folder, folders[k]);
        if (known)
            continue;
        if (*count == GIT_FOLDERS_MAX)
            return false;
        folders[*count] = arena_dup(&p->arena, folder);
        if (!folders[(*count)++])
            *ret_rc = err_nomem(err);
    }
    return true;
}

/* What the new paths of this push could meet: with few of them only what stands beside them is
 * looked at, for a branch may have many thousands of files. */
static kf_rc list_taken(struct pushing *p, const struct git_row *heads, struct kf_err *err)
{
    const char *folders[GIT_FOLDERS_MAX];
    struct buf path = BUF_INIT;
    size_t count = 0;
    bool any = false, few = true;
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && few && i < p->set->count; i++) {
        if (!needs_path(p, &heads[i]))
            continue;
        any = true;
        buf_clear(&path);
        git_path_plain(heads[i].name, &path);
        rc = buf_ok(&path, err);
        few = rc == KF_OK && add_folders(p, buf_view(&path), folders, &count, err, &rc);
    }
    buf_release(&path);
    if (rc != KF_OK || !any || !p->on->hex[0])
        return rc;
    return few ? git_folders(&p->g->repo, p->on, folders, count, list_one, p, err)
               : git_files(&p->g->repo, p->on, list_one, p, err);
}

static kf_rc judge_head(struct pushing *p, size_t head, const struct git_row *row,
                        struct kf_err *err)
{
    struct remote_doc d;
    const struct git_row *there = git_rows_find(&p->rows, row->name);
    bool same = same_write(there, row);
    if (same && str_eq(there->hash, row->hash))
        return KF_OK;
    struct change *c = &p->changes[p->count];
    bool has_file = there && !there->deleted;
    p->set->head(p->set, head, &d);
    *c = (struct change){.row = *row, .head = head, .is_new = !has_file, .entries = d.entries};
    if (has_file)
        c->old_path = there->path;
    if (has_file && same)
        c->old_text = there->text;
    p->count++;
    if (row->deleted)
        return KF_OK;
    if (has_file) {
        c->row.path = there->path;
        return KF_OK;
    }
    return choose_path(p, &c->row, err);
}

/* A file that people made has no row until its document changes. To go, it must be found. */
struct unnamed {
    UT_hash_handle hh;
    struct hash key; /* of the name */
    struct change *change;
    bool lost;
};
struct finding {
    struct pushing *p;
    struct unnamed *all, *by_name;
    size_t count;
    struct buf name;
};

static kf_rc find_one(void *ctx, const struct git_file *file, struct kf_err *err)
{
    struct finding *f = ctx;
    struct unnamed *u = NULL;
    struct hash key;
    buf_clear(&f->name);
    kf_rc rc = git_path_name(file->path, &f->name, NULL);
    if (rc != KF_OK) /* not one of ours */
        return rc == KF_NOMEM ? err_nomem(err) : KF_OK;
    hash_of(buf_view(&f->name), &key);
    HASH_FIND(hh, f->by_name, &key, sizeof(key), u);
    if (!u || u->change->old_path.p || !GIT_REGULAR(file->mode))
        return KF_OK;
    KF_SOMETIMES("git-deleted-without-a-row");
    u->change->old_path = arena_str(&f->p->arena, file->path);
    return u->change->old_path.p ? KF_OK : err_nomem(err);
}

static kf_rc find_unnamed(struct pushing *p, struct kf_err *err)
{
    struct finding f = {.p = p};
    kf_rc rc = KF_OK;
    if (!p->on->hex[0])
        return KF_OK;
    if (!(f.all = mem_calloc(p->count + 1, sizeof(*f.all))))
        return err_nomem(err);
    for (size_t i = 0; rc == KF_OK && i < p->count; i++) {
        struct change *c = &p->changes[i];
        if (!c->row.deleted || c->old_path.p)
            continue;
        struct unnamed *u = &f.all[f.count++];
        u->change = c;
        hash_of(c->row.name, &u->key);
        HASH_ADD(hh, f.by_name, key, sizeof(u->key), u);
        if (u->lost)
            rc = err_nomem(err);
    }
    if (rc == KF_OK && f.count)
        rc = git_files(&p->g->repo, p->on, find_one, &f, err);
    HASH_CLEAR(hh, f.by_name);
    buf_release(&f.name);
    mem_free(f.all);
    return rc;
}

static kf_rc decide(struct pushing *p, struct kf_err *err)
{
    struct remote_doc d;
    kf_rc rc = KF_OK;
    struct git_row *heads = mem_calloc(p->set->count + 1, sizeof(*heads));
    p->changes = mem_calloc(p->set->count + 1, sizeof(*p->changes));
    if (!heads || !p->changes)
        rc = err_nomem(err);
    for (size_t i = 0; rc == KF_OK && i < p->set->count; i++) {
        p->set->head(p->set, i, &d);
        rc = keep_head(p, &d, &heads[i], err);
        p->rows.part[git_part_of(d.doc.name)].wanted = true;
    }
    if (rc == KF_OK)
        rc = git_rows_load(p->g, p->on, &p->rows, err);
    if (rc == KF_OK)
        rc = list_taken(p, heads, err);
    for (size_t i = 0; rc == KF_OK && i < p->set->count; i++)
        rc = judge_head(p, i, &heads[i], err);
    if (rc == KF_OK)
        rc = find_unnamed(p, err);
    mem_free(heads);
    return rc;
}

/* -------------------------------------------------------------------------------------- message */

/* What a terminal or a line would take for something else becomes `?`. */
static void put_name(struct buf *out, str name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.p[i];
        buf_byte(out, c < 0x20 || c == 0x7f ? '?' : (char)c);
    }
}

static const char *verb(const struct change *c)
{
    return c->row.deleted ? "deleted" : c->is_new ? "new" : "changed";
}

/* The key of a stream's file; "" = a document's. *ret_head: it is stream.ndjson. */
static str stream_of(const struct change *c, bool *ret_head)
{
    uint64_t first = 0;
    str key;
    if (!stream_file_parse(c->row.name, &key, &first))
        return STR("");
    *ret_head = first == 0;
    return key;
}

/* Files of one stream that stand one behind the other are one item of the message, whose first is
 * `from`. */
struct item {
    str name; /* of a document, or the key of a stream */
    bool stream;
    size_t entries;     /* new ones */
    bool headed, fewer; /* stream.ndjson; a part that goes or has lost entries */
};
static size_t read_item(const struct pushing *p, size_t from, struct item *ret)
{
    bool head = false;
    size_t i = from;
    str key = stream_of(&p->changes[i], &head);
    *ret = (struct item){.name = key.len ? key : p->changes[i].row.name, .stream = key.len != 0};
    if (!key.len)
        return from + 1;
    for (; i < p->count && str_eq(key, stream_of(&p->changes[i], &head)); i++) {
        const struct change *c = &p->changes[i];
        ret->entries += c->entries;
        ret->headed |= head;
        ret->fewer |= !head && !c->entries;
    }
    return i;
}

/* What it is about, in short. */
static void put_subject(const struct pushing *p, struct buf *out)
{
    size_t docs = 0, deleted = 0, entries = 0, streams = 0;
    struct item item;
    for (size_t i = 0, next; i < p->count; i = next) {
        next = read_item(p, i, &item);
        docs += !item.stream;
        streams += item.stream;
        deleted += !item.stream && p->changes[i].row.deleted;
        entries += item.entries;
    }
    buf_c(out, !streams && deleted == docs ? "Delete " : "Save ");
    if (docs > 1 || (docs && streams))
        buf_printf(out, docs > 1 ? "%zu documents" : "%zu document", docs);
    if (entries)
        buf_printf(out, entries > 1 ? "%s%zu entries" : "%s%zu entry", docs ? ", " : "", entries);
    else if (streams)
        buf_c(out, docs ? ", streams" : "streams");
    if (docs > 1 || streams)
        buf_c(out, ": ");
}

static void put_item(const struct change *c, const struct item *item, struct buf *out)
{
    buf_printf(out, "%-7s ", item->stream ? "stream" : verb(c));
    put_name(out, item->name);
    if (!item->stream)
        buf_printf(out, " (version %" PRIu64 ")\n", c->row.version);
    else
        buf_printf(out, " (%zu new%s%s)\n", item->entries, item->headed ? ", attributes" : "",
                   item->fewer ? ", fewer than before" : "");
}

/* "Save 12 documents: a.json, b.json, c.json, …", then a line each, then what machines read. */
static void write_message(const struct pushing *p, struct buf *out)
{
    struct item item;
    size_t count = 0, left = 0;
    put_subject(p, out);
    for (size_t i = 0; i < p->count && count <= SUBJECT_NAMES; count++) {
        i = read_item(p, i, &item);
        buf_c(out, count == SUBJECT_NAMES ? ", …" : count ? ", " : "");
        if (count < SUBJECT_NAMES)
            put_name(out, item.name);
    }
    buf_c(out, "\n\n");
    count = 0;
    for (size_t i = 0, next; i < p->count; i = next) {
        next = read_item(p, i, &item);
        if (count++ < BODY_NAMES)
            put_item(&p->changes[i], &item, out);
        else
            left++;
    }
    if (left)
        buf_printf(out, "and %zu more\n", left);
    buf_printf(out, "\nKeepfast-Site: %.*s\nKeepfast-Seq: %" PRId64 "\n", STR_ARGS(p->set->site),
               p->set->seq);
    buf_printf(out, "Keepfast-Stamp: %016" PRIx64 "\n", (uint64_t)p->set->stamp);
}

/* --------------------------------------------------------------------------------- the commit */

static kf_rc give(struct pushing *p, str path, bool removes, struct git_change *ret,
                  struct kf_err *err)
{
    buf_clear(&p->path);
    buf_str(&p->path, path);
    kf_rc rc = buf_ok(&p->path, err);
    if (rc == KF_OK)
        rc = buf_ok(&p->bytes, err);
    ret->path = buf_view(&p->path);
    ret->bytes = removes ? (str){0, 0} : buf_view(&p->bytes);
    return rc;
}

/* KF_ABSENT: the branch holds this text of this write. */
static kf_rc put_body(struct pushing *p, struct change *c, const struct remote_doc *d,
                      struct git_change *ret, struct kf_err *err)
{
    struct hash hash;
    char hex[HASH_HEX + 1];
    buf_clear(&p->bytes);
    kf_rc rc = KF_OK;
    if (stream_file_is(d->doc.name))
        buf_str(&p->bytes, d->doc.body);
    else
        rc = json_pretty(d->doc.body, &p->bytes, err);
    if (rc != KF_OK || (rc = buf_ok(&p->bytes, err)) != KF_OK)
        return rc;
    hash_of(buf_view(&p->bytes), &hash);
    hash_hex(&hash, hex);
    if (c->old_text.p && str_is(c->old_text, hex))
        return KF_ABSENT;
    c->row.text = arena_str(&p->arena, (str){hex, HASH_HEX});
    c->row.hash = arena_str(&p->arena, d->hash); /* now at the latest it is known */
    c->row.size = d->size;
    if (!c->row.text.p || !c->row.hash.p)
        return err_nomem(err);
    remote_pushed_add(&p->pushed, d);
    return give(p, c->row.path, false, ret, err);
}

/* The change that is of this document; NULL: the branch holds it. Both are in the order of the
 * set. */
static struct change *change_of(struct pushing *p, const struct remote_doc *d)
{
    struct remote_doc head;
    for (;; p->head++) {
        assert(p->head < p->set->count);
        p->set->head(p->set, p->head, &head);
        if (str_eq(head.doc.name, d->doc.name))
            break;
    }
    while (p->at < p->count && p->changes[p->at].head < p->head)
        p->at++;
    return p->at < p->count && p->changes[p->at].head == p->head ? &p->changes[p->at] : NULL;
}

/* The next document that is to change; KF_ABSENT behind the last. */
static kf_rc next_body(struct pushing *p, struct git_change *ret, struct kf_err *err)
{
    struct remote_doc d;
    kf_rc rc;
    while ((rc = p->set->next(p->set, &d, err)) == KF_OK) {
        struct change *c = change_of(p, &d);
        if (!c)
            continue;
        if (d.doc.body.p) {
            rc = put_body(p, c, &d, ret, err);
            c->sent = rc == KF_OK;
            if (rc != KF_ABSENT)
                return rc;
            continue;
        }
        c->sent = true;
        remote_pushed_add(&p->pushed, &d);
        if (c->old_path.p)
            return give(p, c->old_path, true, ret, err);
    }
    return rc;
}

static kf_rc settle_rows(struct pushing *p, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (unsigned k = 0; k < GIT_PARTS; k++)
        p->rows.part[k].wanted = false;
    for (size_t i = 0; rc == KF_OK && i < p->count; i++)
        if (p->changes[i].sent) {
            p->rows.part[git_part_of(p->changes[i].row.name)].wanted = true;
            rc = git_rows_put(&p->rows, &p->changes[i].row, err);
        }
    return rc;
}

static kf_rc next_part(struct pushing *p, struct git_change *ret, struct kf_err *err)
{
    while (p->part < GIT_PARTS && !p->rows.part[p->part].wanted)
        p->part++;
    if (p->part == GIT_PARTS)
        return KF_ABSENT;
    struct buf path = BUF_INIT;
    git_part_path(p->part, &path);
    buf_clear(&p->bytes);
    git_part_write(&p->rows.part[p->part++], &p->bytes);
    kf_rc rc = buf_ok(&path, err);
    if (rc == KF_OK)
        rc = give(p, buf_view(&path), false, ret, err);
    buf_release(&path);
    return rc;
}

static kf_rc next_format(struct pushing *p, struct git_change *ret, struct kf_err *err)
{
    if (p->rows.ours)
        return KF_ABSENT;
    buf_clear(&p->bytes);
    buf_printf(&p->bytes, "{\"keepfast\":\"git\",\"format\":%d}\n", GIT_FORMAT);
    return give(p, STR(GIT_FORMAT_FILE), false, ret, err);
}

static kf_rc next_change(void *ctx, struct git_change *ret, struct kf_err *err)
{
    struct pushing *p = ctx;
    kf_rc rc = remote_go_on(&p->g->remote, err);
    if (rc == KF_OK && p->step == BODIES && (rc = next_body(p, ret, err)) == KF_ABSENT) {
        rc = settle_rows(p, err);
        p->step = PARTS;
    } else if (rc != KF_OK || p->step == BODIES) {
        return rc;
    }
    if (rc == KF_OK && p->step == PARTS) {
        if ((rc = next_part(p, ret, err)) != KF_ABSENT)
            return rc;
        p->step = FORMAT;
        rc = KF_OK;
    }
    if (rc == KF_OK && p->step == FORMAT) {
        p->step = DONE;
        return next_format(p, ret, err);
    }
    return rc == KF_OK ? KF_ABSENT : rc;
}

static kf_rc make_and_push(struct pushing *p, struct git_id *ret, struct kf_err *err)
{
    struct buf message = BUF_INIT;
    write_message(p, &message);
    kf_rc rc = buf_ok(&message, err);
    struct git_commit c = {
        .on = *p->on,
        .site = p->set->site,
        .message = buf_view(&message),
        .time_s = p->set->now_ms / 1000,
        .next = next_change,
        .ctx = p,
    };
    *ret = *p->on;
    if (rc == KF_OK)
        rc = git_commit_make(&p->g->repo, &c, ret, err);
    if (rc == KF_OK && p->pushed.files == 0) { /* nothing came of what was to change */
        *ret = *p->on;
    } else if (rc == KF_OK) {
        rc = git_push(&p->g->repo, p->g->branch, p->on, ret, err);
        if (rc == KF_OK)
            rc = git_pack(&p->g->repo, err);
    }
    buf_release(&message);
    return rc;
}

kf_rc git_push_set(struct remote *r, str on_text, struct remote_set *set, struct buf *position,
                   struct remote_pushed *ret, struct kf_err *err)
{
    struct git *g = (struct git *)r;
    struct git_id on = {""}, made = {""};
    struct pushing p = {.g = g, .on = &on, .set = set};
    kf_rc rc = on_text.len ? git_position(on_text, &on, err) : KF_OK;
    if (rc == KF_OK)
        rc = git_begin(g, err);
    if (rc == KF_OK)
        rc = decide(&p, err);
    if (rc == KF_ABSENT) /* the cache was removed: a pull brings it back */
        rc = err_set(err, PROBLEM_VERSION_MISMATCH, "commit %.12s is not here any more", on.hex);
    if (rc == KF_OK && p.count)
        rc = make_and_push(&p, &made, err);
    else
        made = on;
    if (rc == KF_OK) {
        *ret = p.pushed;
        buf_c(position, made.hex);
        rc = buf_ok(position, err);
    }
    HASH_CLEAR(hh, p.taken);
    git_rows_release(&p.rows);
    mem_free(p.changes);
    buf_release(&p.path);
    buf_release(&p.bytes);
    arena_release(&p.arena);
    return rc;
}
