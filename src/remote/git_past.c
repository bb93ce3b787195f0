/* Versions of one document out of the history of a branch, which is fetched when somebody asks.
 *
 *     where the branch ends -> fetch what is new -> walk from there back (git_walk.h)
 *                                   ^                     |
 *                                   |    an edge: what is behind it was not fetched
 *                                   +---- more, as long as time lasts ----+
 *                                                         |  enough, or the whole history
 *                                                         v
 *     for each commit that touched the document: its row (one line of a part), its file
 *
 * This is done in a repository of its own beside that of the runs, so that no run waits for years
 * of history, and what is fetched here never decides what a run does. It is a cache as the other.
 *
 * A walk is in an order in which no commit comes before one that follows on it. So what stands
 * before the first edge is final, whatever is fetched later; and nothing behind it is told.
 *
 * Commits, each with the state of the document in it:
 *
 *     row          file                   it is
 *     there        the row's text         what Keepfast wrote
 *     any other    JSON                   by hand: written when it was committed, by the commit
 *     deleted      none                   a deletion
 *     any other    none                   a deletion by hand
 *     damaged, or  no JSON, too large     told as unusable; the others go on
 *
 * Merges are walked into on all sides: who pulls before pushing has the commits of others behind
 * the second parent. A merge itself is a version when it is like none of its parents. */
#include "remote/git_internal.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/json.h"
#include "base/mem.h"
#include "remote/git_path.h"
#include "remote/git_walk.h"
#include "store/clock.h"

#include <stdio.h>

#define STEP_FIRST 256 /* commits that are fetched at once; more where it goes fast */
#define STEP_LEAST 32
#define STEP_MOST  65536
#define FAST_MS    1000
#define SLOW_MS    5000

struct found {
    struct git_id id;
    int64_t time_s;
    str who;
};

struct past {
    struct git *g;
    struct remote_history *h;
    struct git_id tip;
    struct buf plain, apart, edges;
    struct arena arena; /* of names */
    struct found *found;
    size_t count, cap;
    bool behind; /* the cursor was met */
    bool edge;   /* the walk ended where something was not fetched */
    bool whole;  /* the host has nothing behind the edges: it is shallow itself */
    bool enough;
    uint64_t walked;
    unsigned step;
};

/* ------------------------------------------------------------------------------------- fetching */

static bool is_edge(const struct past *p, const struct git_id *id)
{
    size_t len = strlen(id->hex);
    for (str rest = buf_view(&p->edges); rest.len >= len; rest = str_from(rest, len + 1))
        if (memcmp(rest.p, id->hex, len) == 0)
            return true;
    return false;
}

static kf_rc read_edges(struct past *p, struct kf_err *err)
{
    buf_clear(&p->edges);
    return git_edges(&p->g->repo, &p->edges, err);
}

/* The history was rewritten: nothing that was fetched is shown any more, and kept neither. */
static kf_rc begin_anew(struct past *p, struct kf_err *err)
{
    KF_SOMETIMES("git-history-fetched-anew");
    kf_rc rc = git_repo_remove(&p->g->repo, err);
    if (rc == KF_OK)
        rc = git_repo_make(&p->g->repo, err);
    return rc == KF_OK ? git_fetch_past(&p->g->repo, p->g->branch, STEP_FIRST, false, &p->tip, err)
                       : rc;
}

/* The newest commit is here. */
static kf_rc fetch_tip(struct past *p, struct kf_err *err)
{
    struct git_repo *repo = &p->g->repo;
    struct git_id old = {""};
    bool follows = true;
    kf_rc rc = git_remote_tip(repo, p->g->branch, &p->tip, err);
    if (rc == KF_OK && !p->tip.hex[0])
        rc = err_set(err, PROBLEM_NOT_FOUND, "the host has no branch %s", p->g->branch);
    if (rc == KF_OK)
        rc = git_fetched(repo, &old, err);
    if (rc != KF_OK || strcmp(old.hex, p->tip.hex) == 0)
        return rc;
    if (!old.hex[0])
        return git_fetch_past(repo, p->g->branch, STEP_FIRST, false, &p->tip, err);
    rc = git_fetch(repo, p->g->branch, GIT_FOLLOW, &p->tip, err);
    if (rc == KF_OK)
        rc = git_follows(repo, &old, &p->tip, &follows, err);
    return rc == KF_OK && !follows ? begin_anew(p, err) : rc;
}

static kf_rc fetch_more(struct past *p, struct kf_err *err)
{
    const struct env *env = p->g->remote.env;
    int64_t began_ms = env_mono_ms(env);
    struct buf before = p->edges;
    p->edges = BUF_INIT;
    kf_rc rc = remote_go_on(&p->g->remote, err);
    if (rc == KF_OK)
        rc = git_fetch_past(&p->g->repo, p->g->branch, p->step, true, &p->tip, err);
    if (rc == KF_OK)
        rc = read_edges(p, err);
    p->whole = rc == KF_OK && str_eq(buf_view(&before), buf_view(&p->edges));
    buf_release(&before);
    int64_t took_ms = env_mono_ms(env) - began_ms;
    if (took_ms < FAST_MS && p->step < STEP_MOST)
        p->step *= 4;
    else if (took_ms > SLOW_MS && p->step > STEP_LEAST)
        p->step /= 2;
    KF_SOMETIMES("git-history-fetched-in-steps");
    return rc;
}

static kf_rc past_begin(struct past *p, struct kf_err *err)
{
    struct git *g = p->g;
    p->step = STEP_FIRST;
    git_path_plain(p->h->name, &p->plain);
    git_path_apart(p->h->name, &p->apart);
    kf_rc rc = buf_ok(&p->plain, err);
    if (rc == KF_OK)
        rc = buf_ok(&p->apart, err);
    if (rc == KF_OK)
        rc = git_begin(g, err);
    if (rc == KF_OK)
        rc = fetch_tip(p, err);
    if (rc == KF_OK)
        rc = git_check_format(g, &p->tip, err);
    return rc == KF_OK ? read_edges(p, err) : rc;
}

static void past_release(struct past *p)
{
    buf_release(&p->plain);
    buf_release(&p->apart);
    buf_release(&p->edges);
    arena_release(&p->arena);
    mem_free(p->found);
}

/* -------------------------------------------------------------------------------------- walking */

static kf_rc keep_found(struct past *p, const struct git_walked *c, struct kf_err *err)
{
    if (p->count == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 32;
        struct found *grown = mem_realloc(p->found, cap * sizeof(*grown));
        if (!grown)
            return err_nomem(err);
        p->found = grown;
        p->cap = cap;
    }
    struct found f = {.id = c->id, .time_s = c->time_s, .who = arena_str(&p->arena, c->who)};
    if (!f.who.p)
        return err_nomem(err);
    p->found[p->count++] = f;
    return KF_OK;
}

/* KF_ABSENT: the walk ends here, and no error is set. */
static kf_rc walked(void *ctx, const struct git_walked *c, struct kf_err *err)
{
    struct past *p = ctx;
    p->walked++;
    if ((p->edge = !p->whole && is_edge(p, &c->id) && !KF_SABOTAGE("edge-is-a-root")))
        return KF_ABSENT;
    if (!p->behind) {
        p->behind = str_is(p->h->id, c->id.hex);
        return KF_OK;
    }
    if (!c->touched)
        return KF_OK;
    if ((p->enough = p->count == p->h->max))
        return KF_ABSENT;
    return keep_found(p, c, err);
}

static kf_rc walked_one(void *ctx, const struct git_walked *c, struct kf_err *err)
{
    return keep_found(ctx, c, err);
}

static kf_rc take_log(void *ctx, str bytes, struct kf_err *err)
{
    return git_walk_take(ctx, bytes, err);
}

static kf_rc walk(struct past *p, const struct git_id *from, bool only, struct kf_err *err)
{
    struct git_walk w = {.paths = {buf_view(&p->plain), buf_view(&p->apart)},
                         .each = only ? walked_one : walked,
                         .ctx = p};
    p->count = 0;
    p->walked = 0;
    p->edge = p->enough = false;
    p->behind = p->h->id.len == 0;
    arena_clear(&p->arena);
    kf_rc rc = git_log(&p->g->repo, from, only, w.paths, take_log, &w, err);
    if (rc == KF_OK)
        rc = git_walk_end(&w, err);
    git_walk_release(&w);
    return rc == KF_ABSENT ? KF_OK : rc;
}

static bool is_timeout(const struct kf_err *err)
{
    return strcmp(err->code, problem_table[PROBLEM_TIMEOUT].code) == 0;
}

static kf_rc too_slow(const struct past *p, struct kf_err *err)
{
    return err_set(err, PROBLEM_TIMEOUT,
                   "its time was over with %llu commits of the history here, which are kept: ask "
                   "again, or give it more time",
                   (unsigned long long)p->walked);
}

/* Finds the commits, fetching what it takes. *ret_more: there are further ones, or may be. */
static kf_rc find(struct past *p, bool *ret_more, struct kf_err *err)
{
    const struct env *env = p->g->remote.env;
    int64_t until_ms = p->g->repo.until_ms, now_ms = env_mono_ms(env);
    /* What is left then is for reading what was found. */
    int64_t fetch_until_ms = until_ms ? now_ms + (until_ms - now_ms) * 3 / 4 : 0;
    for (;;) {
        struct kf_err why = KF_ERR_INIT;
        kf_rc rc = walk(p, &p->tip, false, err);
        if (rc != KF_OK)
            return rc;
        *ret_more = p->edge || p->enough;
        if (!p->edge)
            break;
        p->g->repo.until_ms = fetch_until_ms;
        rc = fetch_more(p, &why);
        p->g->repo.until_ms = until_ms;
        if (rc == KF_BUSY && is_timeout(&why))
            return p->count ? KF_OK : too_slow(p, err);
        if (rc != KF_OK) {
            if (err)
                *err = why;
            return rc;
        }
    }
    if (!p->behind)
        return err_set(err, PROBLEM_BAD_FILTER,
                       "the cursor is not one of this list, or the branch's history was rewritten");
    return KF_OK;
}

/* -------------------------------------------------------------------------------------- reading */

enum { ROW, PLAIN, APART, OBJECTS };

/* What was found is read in threes: its part, and the file at each of the two paths. */
struct reading {
    struct past *p;
    struct arena arena; /* of the commit that is read */
    struct git_row row;
    bool has_row;
    struct kf_err damaged; /* its part; rc KF_OK: it is not */
    struct {
        bool there, too_large;
        struct buf bytes;
    } file[OBJECTS];
    size_t told;
    bool bodies;
};

/* Copies what outlives the reader. */
static bool keep_row(struct reading *r, const struct portable_entry *e)
{
    r->row = (struct git_row){.name = r->p->h->name,
                              .path = arena_str(&r->arena, e->path),
                              .site = arena_str(&r->arena, e->site),
                              .hash = arena_str(&r->arena, e->hash),
                              .text = arena_str(&r->arena, e->text),
                              .version = e->version,
                              .size = e->size,
                              .stamp = e->stamp,
                              .at_ms = e->at_ms,
                              .deleted = e->deleted};
    r->has_row = true;
    return r->row.path.p && r->row.site.p && r->row.hash.p && r->row.text.p;
}

static kf_rc read_line(struct reading *r, str line, struct kf_err *err)
{
    struct portable_reader reader;
    struct portable_entry e;
    portable_read_part(&reader, line);
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = portable_read(&reader, &e, &why);
    if (rc == KF_OK && !keep_row(r, &e))
        rc = KF_NOMEM;
    else if (rc != KF_OK)
        err_set(&r->damaged, PROBLEM_BAD_OBJECT, "its row cannot be read: %.300s", why.detail);
    portable_read_end(&reader);
    return rc == KF_NOMEM ? err_nomem(err) : KF_OK;
}

/* The document's line, and that the others look like lines: a part has as many as there are
 * documents, and is read once for each commit. */
static kf_rc read_part(struct reading *r, str bytes, struct kf_err *err)
{
    struct buf mine = BUF_INIT;
    buf_c(&mine, "{\"file\":");
    buf_json_string(&mine, r->p->h->name);
    buf_byte(&mine, ',');
    kf_rc rc = buf_ok(&mine, err);
    while (rc == KF_OK && bytes.len) {
        size_t n = str_index(bytes, '\n');
        str line = {bytes.p, n};
        if (n == bytes.len || !str_starts(line, STR("{\"file\":\"")) || !str_ends(line, STR("}"))) {
            err_set(&r->damaged, PROBLEM_BAD_OBJECT,
                    GIT_OWN_DIR "docs/%02x of this commit is not as Keepfast writes it",
                    git_part_of(r->p->h->name));
            break;
        }
        if (str_starts(line, buf_view(&mine)))
            rc = read_line(r, (str){bytes.p, n + 1}, err);
        bytes = str_from(bytes, n + 1);
    }
    buf_release(&mine);
    return rc;
}

/* The file that counts: the row's, or the only one. */
static int file_of(const struct reading *r)
{
    bool apart = r->has_row && str_eq(r->row.path, buf_view(&r->p->apart));
    int first = apart ? APART : PLAIN, other = apart ? PLAIN : APART;
    return r->file[first].there ? first : r->file[other].there ? other : ROW;
}

static bool is_of_row(const struct reading *r, str bytes)
{
    struct hash hash;
    char hex[HASH_HEX + 1];
    hash_of(bytes, &hash);
    hash_hex(&hash, hex);
    return r->has_row && !r->row.deleted && str_is(r->row.text, hex);
}

static void as_written(const struct reading *r, struct remote_version *v)
{
    const struct git_row *row = &r->row;
    v->doc.doc.site = row->site;
    v->doc.doc.stamp = row->stamp;
    v->doc.doc.at_ms = row->at_ms;
    v->doc.doc.version = row->version;
    v->doc.doc.inexact = !row->deleted;
    v->doc.hash = row->hash;
    v->doc.size = (size_t)row->size;
}

/* As a pull has it (git_pull.c). */
static void by_hand(const struct reading *r, const struct found *f, struct remote_version *v)
{
    int64_t stamp = git_stamp(f->time_s);
    if (r->has_row && stamp <= r->row.stamp)
        stamp = r->row.stamp < CLOCK_STAMP_MAX ? r->row.stamp + 1 : CLOCK_STAMP_MAX;
    KF_SOMETIMES("git-history-hand-edit");
    v->by_hand = true;
    v->doc.doc.stamp = stamp;
    v->doc.doc.site = str_make(f->id.hex, PORTABLE_SITE);
    v->doc.doc.at_ms = f->time_s * 1000;
}

/* KF_OK with `why` set where the version cannot be used. */
static kf_rc judge(struct reading *r, const struct found *f, struct remote_version *v,
                   struct kf_err *why, struct kf_err *err)
{
    int k = file_of(r);
    str bytes = buf_view(&r->file[k].bytes);
    v->deleted = k == ROW;
    if (r->damaged.rc != KF_OK) {
        *why = r->damaged;
    } else if (k == ROW && r->has_row && r->row.deleted) {
        as_written(r, v);
        return KF_OK;
    } else if (k != ROW && r->file[k].too_large) {
        err_set(why, PROBLEM_BAD_OBJECT, "its file is too large");
    } else if (k != ROW && is_of_row(r, bytes)) {
        as_written(r, v);
        v->doc.doc.body = bytes;
        return KF_OK;
    } else if (k != ROW) {
        struct kf_err json = KF_ERR_INIT;
        kf_rc rc = json_check(bytes, NULL, NULL, &json);
        if (rc == KF_NOMEM)
            return err_nomem(err);
        if (rc != KF_OK)
            err_set(why, PROBLEM_BAD_OBJECT, "its file is not one that can be taken: %.300s",
                    json.detail);
        v->doc.doc.body = bytes;
        v->doc.size = bytes.len;
    }
    by_hand(r, f, v);
    return KF_OK;
}

static kf_rc tell(struct reading *r, const struct found *f, struct kf_err *err)
{
    struct remote_history *h = r->p->h;
    struct kf_err why = KF_ERR_INIT;
    struct hash hash;
    char hex[HASH_HEX + 1] = "";
    struct remote_version v = {
        .doc = {.doc = {.name = h->name, .site = STR("")}, .hash = STR("")},
        .id = str_of(f->id.hex),
        .who = f->who,
        .current = !h->id.len && !r->told && !r->bodies,
    };
    kf_rc rc = judge(r, f, &v, &why, err);
    if (rc != KF_OK)
        return rc;
    if (v.by_hand && v.doc.doc.body.p && why.rc == KF_OK) {
        hash_of(v.doc.doc.body, &hash);
        hash_hex(&hash, hex);
        v.doc.hash = (str){hex, HASH_HEX};
    }
    if (!r->bodies || why.rc != KF_OK)
        v.doc.doc.body = (str){0, 0};
    if (why.rc != KF_OK)
        KF_SOMETIMES("git-history-damaged-commit");
    rc = h->take(h, &v, why.rc == KF_OK ? NULL : &why, err);
    r->told += rc == KF_OK;
    return rc;
}

static kf_rc got(void *ctx, size_t n, enum git_found found, str bytes, struct kf_err *err)
{
    struct reading *r = ctx;
    int k = (int)(n % OBJECTS);
    kf_rc rc = remote_go_on(&r->p->g->remote, err);
    if (rc != KF_OK)
        return rc;
    /* A folder of its name has come where the file was. */
    r->file[k].there = found == GIT_THERE || found == GIT_TOO_LARGE;
    r->file[k].too_large = found == GIT_TOO_LARGE;
    buf_clear(&r->file[k].bytes);
    if (k == ROW) {
        arena_clear(&r->arena);
        r->has_row = false;
        r->damaged = (struct kf_err)KF_ERR_INIT;
        if (found == GIT_TOO_LARGE || found == GIT_NO_FILE)
            err_set(&r->damaged, PROBLEM_BAD_OBJECT, "a part of this commit is %s",
                    found == GIT_NO_FILE ? "no file" : "larger than any that Keepfast writes");
        return read_part(r, bytes, err);
    }
    buf_str(&r->file[k].bytes, bytes);
    rc = buf_ok(&r->file[k].bytes, err);
    return rc == KF_OK && k == OBJECTS - 1 ? tell(r, &r->p->found[n / OBJECTS], err) : rc;
}

static kf_rc name_objects(const struct past *p, struct arena *arena, str *objects,
                          struct kf_err *err)
{
    struct buf part = BUF_INIT;
    git_part_path(git_part_of(p->h->name), &part);
    kf_rc rc = buf_ok(&part, err);
    for (size_t i = 0; rc == KF_OK && i < p->count * OBJECTS; i++) {
        const struct buf *path = i % OBJECTS == ROW     ? &part
                                 : i % OBJECTS == PLAIN ? &p->plain
                                                        : &p->apart;
        objects[i] = str_of(
            arena_printf(arena, "%s:%.*s", p->found[i / OBJECTS].id.hex, STR_ARGS(buf_view(path))));
        if (!objects[i].p)
            rc = err_nomem(err);
    }
    buf_release(&part);
    return rc;
}

static kf_rc read_found(struct past *p, bool bodies, size_t *ret_told, struct kf_err *err)
{
    struct reading r = {.p = p, .bodies = bodies};
    struct arena names = ARENA_INIT;
    uint64_t max = p->g->remote.body_max ? p->g->remote.body_max : GIT_BODY_MAX;
    str *objects = mem_calloc(p->count * OBJECTS + 1, sizeof(*objects));
    kf_rc rc = objects ? name_objects(p, &names, objects, err) : err_nomem(err);
    /* A pretty form may be several times as long as the document. */
    if (rc == KF_OK)
        rc = git_read(&p->g->repo, objects, p->count * OBJECTS, (size_t)(max * 4), got, &r, err);
    *ret_told = r.told;
    for (size_t i = 0; i < OBJECTS; i++)
        buf_release(&r.file[i].bytes);
    arena_release(&r.arena);
    arena_release(&names);
    mem_free(objects);
    return rc;
}

/* ------------------------------------------------------------------------------------ the slots */

/* All of this happens in another repository than that of the runs. */
static void enter_past(struct git *g, const struct remote_history *h)
{
    g->repo.dir = g->past_dir;
    g->repo.until_ms = h->until_ms;
}

kf_rc git_versions(struct remote *remote, struct remote_history *h, bool *ret_more,
                   struct kf_err *err)
{
    struct past p = {.g = (struct git *)remote, .h = h};
    struct kf_err why = KF_ERR_INIT;
    size_t told = 0;
    bool more = false;
    enter_past(p.g, h);
    kf_rc rc = past_begin(&p, err);
    if (rc == KF_OK)
        rc = find(&p, &more, err);
    if (rc == KF_OK && p.count) {
        rc = read_found(&p, false, &told, &why);
        if (rc == KF_BUSY && told && is_timeout(&why)) {
            more = true; /* the rest comes with the next page */
            rc = KF_OK;
        } else if (rc != KF_OK && err) {
            *err = why;
        }
    }
    if (rc == KF_OK)
        rc = git_pack(&p.g->repo, err);
    if (rc == KF_OK)
        *ret_more = more;
    past_release(&p);
    return rc;
}

static bool is_id(str id)
{
    return str_is_hex(id, id.len) && id.len >= REMOTE_VERSION_MIN && id.len <= GIT_ID_MAX;
}

static kf_rc unknown(str id, struct kf_err *err)
{
    return err_set(err, PROBLEM_NOT_FOUND, "the branch has no commit \"%.*s\"",
                   (int)(id.len < 80 ? id.len : 80), id.p);
}

/* The commit of the branch: one that was left behind by a rewritten history is none. */
static kf_rc resolve(struct past *p, struct git_id *ret, struct kf_err *err)
{
    str digits = p->h->id;
    bool follows = false;
    kf_rc rc;
    if (!is_id(digits))
        return unknown(digits, err);
    while ((rc = git_commit_of(&p->g->repo, digits, ret, err)) == KF_ABSENT && p->edges.len &&
           !p->whole) {
        err_clear(err);
        if ((rc = fetch_more(p, err)) != KF_OK)
            return rc;
    }
    if (rc == KF_OK)
        rc = git_follows(&p->g->repo, ret, &p->tip, &follows, err);
    return rc == KF_ABSENT || (rc == KF_OK && !follows) ? unknown(digits, err) : rc;
}

kf_rc git_version(struct remote *remote, struct remote_history *h, struct kf_err *err)
{
    struct past p = {.g = (struct git *)remote, .h = h};
    struct git_id id = {""};
    size_t told = 0;
    enter_past(p.g, h);
    kf_rc rc = past_begin(&p, err);
    if (rc == KF_OK)
        rc = resolve(&p, &id, err);
    if (rc == KF_OK)
        rc = walk(&p, &id, true, err);
    if (rc == KF_OK && p.count != 1)
        rc = unknown(h->id, err);
    if (rc == KF_OK)
        rc = read_found(&p, true, &told, err);
    past_release(&p);
    return rc;
}
