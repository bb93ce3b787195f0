/* What of streams is pushed:
 *
 *     journal rows and entries above the watermark; streams of which something is withheld, or of
 *     which the place has lost a file                  -> streams          (remotes_files_look.c)
 *     each: parts with entries that are erased by now  -> rewritten, or removed
 *           entries that no part has, but for what     -> behind the last part while it is open,
 *           may not leave                                 else new ones
 *           attributes and erasures, when they make    -> stream.ndjson
 *           another text
 *     each file                                        -> its text         (remotes_files_make.c)
 *
 * A number at the place is the entry's number here unless it would not be behind the one before it
 * (P2): another store has pushed there, too. */
#include "remote/remotes_files_push.h"

#include "base/secret_find.h"

#include <stdlib.h>

/* ------------------------------------------------------------------------------------ a stream */

struct erased_sites {
    struct arena *arena;
    struct erased_row *items;
    size_t count, cap;
};

static kf_rc add_erased(void *ctx, const struct erased_row *row, struct kf_err *err)
{
    struct erased_sites *l = ctx;
    if (row->damaged) /* it takes nothing away */
        return KF_OK;
    if (l->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        struct erased_row *more = arena_alloc(l->arena, cap * sizeof *more);
        if (!more)
            return err_nomem(err);
        if (l->count)
            memcpy(more, l->items, l->count * sizeof *more);
        l->items = more;
        l->cap = cap;
    }
    l->items[l->count] = *row;
    l->items[l->count].site = arena_str(l->arena, row->site);
    return l->items[l->count++].site.p ? KF_OK : err_nomem(err);
}

struct planning {
    struct push_files *p;
    struct db *db;
    struct touched *t;
    struct known_file *known;
    size_t known_count;
    struct erased_sites erased;
    int64_t *there; /* numbers of entries that are in parts, sorted */
    size_t there_count;
    uint64_t last_n;
    struct push_file *open; /* the part that grows */
    size_t open_cap;
    bool held; /* something of it cannot be replaced */
};

static bool is_erased(const struct planning *l, const struct known_entry *e)
{
    for (size_t i = 0; i < l->erased.count; i++)
        if (e->stamp <= l->erased.items[i].stamp && str_is(l->erased.items[i].site, e->site))
            return true;
    return false;
}

static kf_rc name_of(struct planning *l, uint64_t first, str *ret, struct kf_err *err)
{
    struct buf name = BUF_INIT;
    if (first)
        stream_file_part(l->t->key, first, &name);
    else
        stream_file_head(l->t->key, &name);
    *ret = arena_str(l->p->arena, buf_view(&name));
    bool ok = !name.failed && ret->p;
    buf_release(&name);
    return ok ? KF_OK : err_nomem(err);
}

/* Whether the file may not be replaced: what stands there could not be read (W5). */
static kf_rc is_unread(struct planning *l, uint64_t first, bool *ret, struct kf_err *err)
{
    str name;
    kf_rc rc = name_of(l, first, &name, err);
    if (rc == KF_OK)
        *ret = take_left_unread(l->p->run, name, 0);
    return rc;
}

static kf_rc hold_back(struct planning *l, uint64_t first, struct kf_err *err)
{
    str name;
    kf_rc rc = name_of(l, first, &name, err);
    int64_t seq = l->t->head_seq ? l->t->head_seq : l->p->until;
    return rc == KF_OK ? l->p->hold_back(l->p->ctx, name, seq, err) : rc;
}

static int compare_numbers(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Nothing is put under the name of a part that is there and could not be read. */
static void stay_behind_unread(struct planning *l)
{
    const struct run *run = l->p->run;
    for (size_t i = 0; i < run->bad; i++) {
        uint64_t first = 0;
        str key;
        if (stream_file_parse(run->unread[i].name, &key, &first) && str_eq(key, l->t->key) &&
            first && l->last_n < first + STREAM_PART_ENTRIES)
            l->last_n = first + STREAM_PART_ENTRIES;
    }
}

static kf_rc load_parts(struct planning *l, struct kf_err *err)
{
    const struct push_files *p = l->p;
    str remote = str_of(p->run->entry->name);
    size_t total = 0;
    kf_rc rc = files_known(l->db, remote, l->t->key, p->arena, &l->known, &l->known_count, err);
    if (rc == KF_OK)
        rc = stream_erasures(l->db, l->t->key, add_erased, &l->erased, err);
    bool erases = l->erased.count && (l->t->head_seq || l->t->whole);
    for (size_t i = 0; rc == KF_OK && i < l->known_count; i++) {
        struct known_file *f = &l->known[i];
        bool last = i + 1 == l->known_count;
        if (f->first && (last || erases || l->t->whole || f->last_seq > p->watermark))
            rc = files_entries(l->db, remote, l->t->key, f, p->arena, err);
        total += f->count;
        if (f->first > l->last_n)
            l->last_n = f->first;
        if (f->count && f->entries[f->count - 1].n > l->last_n)
            l->last_n = f->entries[f->count - 1].n;
    }
    stay_behind_unread(l);
    if (rc == KF_OK && !(l->there = arena_alloc(p->arena, (total + 1) * sizeof *l->there)))
        rc = err_nomem(err);
    for (size_t i = 0; rc == KF_OK && i < l->known_count; i++)
        for (size_t k = 0; k < l->known[i].count; k++)
            l->there[l->there_count++] = l->known[i].entries[k].seq;
    if (rc == KF_OK && l->there_count)
        qsort(l->there, l->there_count, sizeof *l->there, compare_numbers);
    return rc;
}

static kf_rc new_file(struct planning *l, uint64_t first, struct push_file **ret,
                      struct kf_err *err)
{
    struct push_file *f = arena_alloc(l->p->arena, sizeof *f);
    if (!f)
        return err_nomem(err);
    *f = (struct push_file){.key = l->t->key, .file = {.first = first, .version = 1}};
    *ret = f;
    return KF_OK;
}

/* Left as it is when an earlier push of it was refused. */
static kf_rc give(struct planning *l, struct push_file *f, struct kf_err *err)
{
    str name;
    kf_rc rc = name_of(l, f->file.first, &name, err);
    if (rc != KF_OK || files_left_before(l->p, name, f->seq))
        return rc;
    return l->p->add(l->p->ctx, f, err);
}

/* A part that has entries which are erased by now. */
static kf_rc rewrite(struct planning *l, struct known_file *k, struct kf_err *err)
{
    struct push_file *f = NULL;
    bool unread = false, whole = true;
    size_t left = 0;
    for (size_t i = 0; i < k->count; i++) {
        if (is_erased(l, &k->entries[i]))
            continue;
        left++;
        whole &= k->entries[i].seq != 0;
    }
    if (left == k->count)
        return KF_OK;
    kf_rc rc = is_unread(l, k->first, &unread, err);
    if (rc == KF_OK && (unread || !whole))
        return hold_back(l, k->first, err);
    if (rc == KF_OK)
        rc = new_file(l, k->first, &f, err);
    if (rc != KF_OK)
        return rc;
    KF_SOMETIMES("stream-part-rewritten");
    size_t n = 0;
    for (size_t i = 0; i < k->count; i++)
        if (!is_erased(l, &k->entries[i]))
            k->entries[n++] = k->entries[i];
    k->count = n;
    f->file = *k;
    f->file.version++;
    f->gone = n == 0;
    f->seq = l->t->head_seq ? l->t->head_seq : l->p->until;
    f->size = (size_t)k->bytes;
    k->bytes = STREAM_PART_BYTES; /* it is not added to in this push */
    return give(l, f, err);
}

/* Whether an earlier run could not make it again, for an entry of it is damaged here. */
static kf_rc is_spoiled(struct planning *l, uint64_t first, bool *ret, struct kf_err *err)
{
    str name;
    kf_rc rc = name_of(l, first, &name, err);
    const struct withheld *w = rc == KF_OK ? withheld_find(l->p->withheld, name) : NULL;
    *ret = w && w->problem == PROBLEM_DAMAGED;
    return rc;
}

static kf_rc find_open(struct planning *l, struct kf_err *err)
{
    struct known_file *k = l->known_count ? &l->known[l->known_count - 1] : NULL;
    bool unread = false;
    if (!k || !k->first || k->count == 0 || k->count >= STREAM_PART_ENTRIES ||
        k->bytes >= STREAM_PART_BYTES)
        return KF_OK;
    for (size_t i = 0; i < k->count; i++)
        if (!k->entries[i].seq)
            return KF_OK; /* L2 */
    bool spoiled = false;
    kf_rc rc = is_unread(l, k->first, &unread, err);
    if (rc == KF_OK)
        rc = is_spoiled(l, k->first, &spoiled, err);
    if (rc != KF_OK || unread || spoiled)
        return rc;
    if ((rc = new_file(l, k->first, &l->open, err)) != KF_OK)
        return rc;
    l->open->file = *k;
    l->open->file.version++;
    l->open->size = (size_t)k->bytes;
    l->open->file.entries = arena_alloc(l->p->arena, STREAM_PART_ENTRIES * sizeof *k->entries);
    if (!l->open->file.entries)
        return err_nomem(err);
    memcpy(l->open->file.entries, k->entries, k->count * sizeof *k->entries);
    return KF_OK;
}

static kf_rc open_part(struct planning *l, uint64_t first, struct kf_err *err)
{
    kf_rc rc = new_file(l, first, &l->open, err);
    if (rc != KF_OK)
        return rc;
    l->open->file.entries = arena_alloc(l->p->arena,
                                        STREAM_PART_ENTRIES * sizeof *l->open->file.entries);
    return l->open->file.entries ? KF_OK : err_nomem(err);
}

static kf_rc give_open(struct planning *l, struct kf_err *err)
{
    struct push_file *f = l->open;
    l->open = NULL;
    return f && f->fresh ? give(l, f, err) : KF_OK;
}

/* Who reads a part refuses one that has an entry twice (P2). */
static bool has_entry(const struct push_file *f, const struct known_entry *e)
{
    for (size_t i = 0; i < f->file.count; i++)
        if (f->file.entries[i].stamp == e->stamp && strcmp(f->file.entries[i].site, e->site) == 0)
            return true;
    return false;
}

static kf_rc put_entry(struct planning *l, const struct candidate *c, struct kf_err *err)
{
    uint64_t n = c->e.n > l->last_n ? c->e.n : l->last_n + 1;
    kf_rc rc = KF_OK;
    if (n > STREAM_PART_N_MAX)
        return err_set(err, PROBLEM_TOO_LARGE, "the stream has no numbers left at the remote");
    if (l->open && (l->open->file.count == STREAM_PART_ENTRIES ||
                    (l->open->file.count && l->open->size + c->room > STREAM_PART_BYTES)))
        rc = give_open(l, err);
    if (rc == KF_OK && !l->open)
        rc = open_part(l, n, err);
    if (rc != KF_OK)
        return rc;
    struct push_file *f = l->open;
    if (has_entry(f, &c->e))
        return files_leave_entry(l->p, l->t->key, c->e.n ? c->e.n : (uint64_t)c->e.seq, c->e.seq,
                                 "its stamp is that of another one", err);
    f->file.entries[f->file.count] = c->e;
    f->file.entries[f->file.count++].n = n;
    f->size += c->room;
    f->fresh++;
    if (!f->seq || c->e.seq < f->seq)
        f->seq = c->e.seq;
    l->last_n = n;
    return KF_OK;
}

static int by_number(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return x->e.seq < y->e.seq ? -1 : x->e.seq > y->e.seq;
}

static bool is_wanted(const struct planning *l, const struct candidate *c)
{
    bool there = l->there_count &&
                 bsearch(&c->e.seq, l->there, l->there_count, sizeof *l->there, compare_numbers);
    return !there && !c->placed && !is_erased(l, &c->e);
}

static int by_n(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return x->e.n < y->e.n ? -1 : x->e.n > y->e.n;
}

static void bound_gap(uint64_t n, uint64_t first, uint64_t last, uint64_t *end)
{
    if (n >= first && n <= last)
        *end = 0;
    else if (first > n && first < *end)
        *end = first;
}

/* The first number behind n that a part has, where no part has n; 0: one may have it, or all are
 * before it. */
static uint64_t end_of_gap(const struct planning *l, uint64_t n)
{
    const struct run *run = l->p->run;
    uint64_t end = l->last_n;
    if (n == 0 || n >= end)
        return 0;
    for (size_t i = 0; i < l->known_count; i++) {
        const struct known_file *k = &l->known[i];
        if (k->first)
            bound_gap(n, k->first, k->count ? k->entries[k->count - 1].n : k->first, &end);
    }
    for (size_t i = 0; i < run->bad; i++) {
        uint64_t first = 0;
        str key;
        if (stream_file_parse(run->unread[i].name, &key, &first) && str_eq(key, l->t->key) && first)
            bound_gap(n, first, first + STREAM_PART_ENTRIES, &end);
    }
    return end;
}

/* Parts that the place has lost come back where they were, so that who is filled from there has the
 * entries in their order. */
static kf_rc fill_gaps(struct planning *l, struct kf_err *err)
{
    struct touched *t = l->t;
    uint64_t last_n = l->last_n, end = 0;
    kf_rc rc = KF_OK;
    if (t->count)
        qsort(t->c, t->count, sizeof *t->c, by_n);
    for (size_t i = 0; rc == KF_OK && i < t->count; i++) {
        struct candidate *c = &t->c[i];
        if (!is_wanted(l, c))
            continue;
        if (c->e.n >= end) {
            rc = give_open(l, err);
            end = rc == KF_OK ? end_of_gap(l, c->e.n) : 0;
        }
        if (rc != KF_OK || !end)
            continue;
        KF_SOMETIMES("stream-part-put-back");
        c->placed = true;
        l->last_n = c->e.n - 1;
        rc = put_entry(l, c, err);
        l->last_n = last_n;
    }
    return rc == KF_OK ? give_open(l, err) : rc;
}

static kf_rc add_entries(struct planning *l, struct kf_err *err)
{
    struct touched *t = l->t;
    kf_rc rc = t->whole ? fill_gaps(l, err) : KF_OK;
    if (rc == KF_OK)
        rc = find_open(l, err);
    if (t->count)
        qsort(t->c, t->count, sizeof *t->c, by_number);
    for (size_t i = 0; rc == KF_OK && i < t->count; i++)
        if (is_wanted(l, &t->c[i]))
            rc = put_entry(l, &t->c[i], err);
    return rc == KF_OK ? give_open(l, err) : rc;
}

static kf_rc add_head(struct planning *l, struct kf_err *err)
{
    struct known_file *k = l->known_count && !l->known[0].first ? &l->known[0] : NULL;
    struct push_files *p = l->p;
    struct buf text = BUF_INIT;
    struct push_file *f = NULL;
    char hash[HASH_HEX + 1];
    bool unread = false;
    struct heading h = {
        .p = p, .seq = l->t->head_seq ? l->t->head_seq : p->until, .secrets = p->has_secrets};
    if (!l->t->head_seq && !l->t->whole)
        return KF_OK;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = name_of(l, 0, &h.name, err);
    if (rc == KF_OK && (rc = files_make_head(l->db, l->t->key, &h, &text, &why)) == KF_DAMAGED) {
        KF_SOMETIMES("damaged-head-not-pushed");
        buf_release(&text);
        return p->withhold(p->ctx, h.name, h.seq, &why, err); /* what is there stays there */
    }
    if (rc != KF_OK && why.detail[0] && err)
        *err = why;
    if (rc == KF_OK && text.len == 0 && k) { /* as files_make has it */
        stream_file_begin(l->t->key, 0, &text);
        rc = buf_ok(&text, err);
    }
    if (rc == KF_OK)
        hash_hex_of(buf_view(&text), hash);
    bool same = k ? strcmp(k->hash, hash) == 0 : text.len == 0;
    if (rc == KF_OK && !same)
        rc = is_unread(l, 0, &unread, err);
    if (rc == KF_OK && unread)
        rc = hold_back(l, 0, err);
    else if (rc == KF_OK && !same && (rc = new_file(l, 0, &f, err)) == KF_OK) {
        f->file.version = k ? k->version + 1 : 1;
        f->seq = h.seq;
        f->size = text.len;
        rc = give(l, f, err);
    }
    buf_release(&text);
    return rc;
}

static kf_rc plan_stream(struct push_files *p, struct db *db, struct touched *t, struct kf_err *err)
{
    struct planning l = {.p = p, .db = db, .t = t, .erased = {.arena = p->arena}};
    struct known_file *parts;
    const char *kind = p->has_secrets ? NULL : secret_in_text(t->key);
    str name;
    if (kind) {
        kf_rc rc = name_of(&l, 0, &name, err);
        int64_t seq = t->head_seq ? t->head_seq : t->count ? t->c[0].e.seq : p->until;
        return rc == KF_OK ? files_leave_secret(p, name, seq, STR("key"), kind, err) : rc;
    }
    kf_rc rc = load_parts(&l, err);
    parts = l.known;
    for (size_t i = 0; rc == KF_OK && i < l.known_count; i++)
        if (parts[i].first && parts[i].count && l.erased.count && (t->head_seq || t->whole))
            rc = rewrite(&l, &parts[i], err);
    if (rc == KF_OK)
        rc = add_entries(&l, err);
    return rc == KF_OK ? add_head(&l, err) : rc;
}

static int by_key(const struct touched *a, const struct touched *b)
{
    return str_cmp(a->key, b->key);
}

kf_rc files_plan(struct push_files *p, struct db *db, struct kf_err *err)
{
    kf_rc rc = files_look(p, db, err);
    HASH_SORT(p->touched, by_key);
    for (struct touched *t = p->touched; rc == KF_OK && t; t = t->hh.next)
        rc = plan_stream(p, db, t, err);
    files_untouch(p);
    return rc;
}

/* ---------------------------------------------------------------------------------- afterwards */

struct pushed_write {
    struct write write; /* first */
    struct run *run;
    struct push_file *const *files;
    size_t count;
};

static kf_rc apply_pushed(struct group *g, struct write *write, struct kf_err *err)
{
    struct pushed_write *w = (struct pushed_write *)write;
    str remote = str_of(w->run->entry->name);
    kf_rc rc = KF_OK;
    if (!run_is_current(w->run, g))
        return KF_OK;
    for (size_t i = 0; rc == KF_OK && i < w->count; i++) {
        const struct push_file *f = w->files[i];
        rc = f->gone ? files_drop(group_db(g), remote, f->key, f->file.first, err)
                     : files_put(group_db(g), remote, f->key, &f->file, err);
    }
    return rc;
}

kf_rc files_pushed(struct run *run, struct push_file *const *files, size_t count,
                   struct kf_err *err)
{
    struct pushed_write w = {
        .write = {.apply = apply_pushed}, .run = run, .files = files, .count = count};
    return count ? store_write(run->entry->remotes->store, &w.write, err) : KF_OK;
}
