/* Parts of rows. A part is read whole and kept as an array by name; the slices are in one arena. */
#include "remote/git_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "remote/git_path.h"

#include <stdlib.h>

#define DOCS GIT_OWN_DIR "docs/"

unsigned git_part_of(str name)
{
    struct hash hash;
    hash_of(name, &hash);
    return hash.b[0];
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int git_part_of_path(str path)
{
    str name = str_from(path, sizeof(DOCS) - 1);
    if (!str_starts(path, STR(DOCS)) || name.len != 2 || hex_digit(name.p[0]) < 0 ||
        hex_digit(name.p[1]) < 0)
        return -1;
    return hex_digit(name.p[0]) << 4 | hex_digit(name.p[1]);
}

void git_part_path(unsigned part, struct buf *out)
{
    buf_printf(out, DOCS "%02x", part);
}

/* -------------------------------------------------------------------------------------- reading */

/* What is read: the commit, its format file, the parts. */
#define FIRST_PART 2
struct loading {
    struct git_rows *rows;
    bool here;
    unsigned part[GIT_PARTS]; /* of the objects from FIRST_PART on */
};

static kf_rc damaged(unsigned part, const char *why, struct kf_err *err)
{
    return err_set(err, PROBLEM_BAD_OBJECT,
                   "%s%02x of the branch is not as Keepfast writes it (%.200s): "
                   "revert the commit that changed it",
                   DOCS, part, why);
}

static str kept(struct arena *a, str s, bool *nomem)
{
    str copy = arena_str(a, s);
    *nomem |= copy.p == NULL;
    return copy;
}

/* The path must be one of the name's: it will be written to. */
static kf_rc check_path(const struct portable_entry *e, unsigned part, struct kf_err *err)
{
    struct buf name = BUF_INIT;
    kf_rc rc = KF_OK;
    if (git_part_of(e->name) != part)
        rc = KF_INVALID;
    else if (!e->deleted && (rc = git_path_name(e->path, &name, NULL)) == KF_OK &&
             !str_eq(buf_view(&name), e->name))
        rc = KF_INVALID;
    buf_release(&name);
    if (rc == KF_NOMEM)
        return err_nomem(err);
    return rc == KF_OK ? rc : damaged(part, "a row does not belong there", err);
}

static kf_rc keep_row(struct git_rows *rows, struct git_part *part, size_t *cap,
                      const struct portable_entry *e, struct kf_err *err)
{
    bool nomem = false;
    if (part->count == *cap) {
        size_t larger = *cap ? *cap * 2 : 16;
        struct git_row *p = mem_realloc(part->rows, larger * sizeof(*p));
        if (!p)
            return err_nomem(err);
        part->rows = p;
        rows->array_bytes += (larger - *cap) * sizeof(*p);
        *cap = larger;
    }
    if (rows->arena.used_bytes + rows->array_bytes > GIT_HELD_MAX)
        return git_too_much(err);
    part->rows[part->count++] = (struct git_row){
        .name = kept(&rows->arena, e->name, &nomem),
        .path = kept(&rows->arena, e->path, &nomem),
        .site = kept(&rows->arena, e->site, &nomem),
        .hash = kept(&rows->arena, e->hash, &nomem),
        .text = kept(&rows->arena, e->text, &nomem),
        .version = e->version,
        .size = e->size,
        .stamp = e->stamp,
        .at_ms = e->at_ms,
        .deleted = e->deleted,
    };
    return nomem ? err_nomem(err) : KF_OK;
}

static kf_rc read_part(struct git_rows *rows, unsigned number, str bytes, struct kf_err *err)
{
    struct git_part *part = &rows->part[number];
    struct portable_reader r;
    struct portable_entry e;
    struct kf_err why = KF_ERR_INIT;
    size_t cap = 0;
    kf_rc rc;
    part->there = true;
    portable_read_part(&r, bytes);
    while ((rc = portable_read(&r, &e, &why)) == KF_OK) {
        rc = check_path(&e, number, err);
        if (rc == KF_OK)
            rc = keep_row(rows, part, &cap, &e, err);
        if (rc != KF_OK)
            break;
    }
    portable_read_end(&r);
    if (rc == KF_ABSENT)
        return KF_OK;
    if (why.rc == KF_OK)
        return rc;
    return rc == KF_NOMEM ? err_nomem(err) : damaged(number, why.detail, err);
}

static kf_rc read_object(void *ctx, size_t i, enum git_found found, str bytes, struct kf_err *err)
{
    struct loading *l = ctx;
    if (i == 0)
        l->here = found != GIT_MISSING;
    else if (i == 1)
        l->rows->ours = found != GIT_MISSING;
    else if (found == GIT_TOO_LARGE)
        return damaged(l->part[i - FIRST_PART], "it is larger than any that Keepfast writes", err);
    else if (found == GIT_NO_FILE)
        return damaged(l->part[i - FIRST_PART], "it is no file", err);
    else if (found == GIT_THERE)
        return read_part(l->rows, l->part[i - FIRST_PART], bytes, err);
    return KF_OK;
}

kf_rc git_rows_load(struct git *g, const struct git_id *commit, struct git_rows *rows,
                    struct kf_err *err)
{
    struct loading l = {.rows = rows};
    struct arena names = ARENA_INIT;
    str object[FIRST_PART + GIT_PARTS] = {str_of(commit->hex)};
    size_t count = FIRST_PART;
    if (!commit->hex[0])
        return KF_OK;
    object[1] = str_of(arena_printf(&names, "%s:" GIT_FORMAT_FILE, commit->hex));
    bool nomem = object[1].p == NULL;
    for (unsigned i = 0; i < GIT_PARTS; i++) {
        if (!rows->part[i].wanted)
            continue;
        object[count] = str_of(arena_printf(&names, "%s:" DOCS "%02x", commit->hex, i));
        nomem |= object[count].p == NULL;
        l.part[count++ - FIRST_PART] = i;
    }
    kf_rc rc = nomem ? err_nomem(err) : KF_OK;
    if (rc == KF_OK)
        rc = git_read(&g->repo, object, count, GIT_PART_MAX, read_object, &l, err);
    arena_release(&names);
    return rc == KF_OK && !l.here ? KF_ABSENT : rc;
}

/* -------------------------------------------------------------------------------------- finding */

/* Where the row is or would be. */
static size_t slot_of(const struct git_part *part, str name, bool *ret_there)
{
    size_t from = 0, to = part->count;
    *ret_there = false;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        int order = str_cmp(part->rows[mid].name, name);
        if (order == 0) {
            *ret_there = true;
            return mid;
        }
        if (order < 0)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

const struct git_row *git_rows_find(const struct git_rows *rows, str name)
{
    bool there;
    const struct git_part *part = &rows->part[git_part_of(name)];
    size_t slot = slot_of(part, name, &there);
    return there ? &part->rows[slot] : NULL;
}

kf_rc git_rows_put(struct git_rows *rows, const struct git_row *row, struct kf_err *err)
{
    bool there;
    struct git_part *part = &rows->part[git_part_of(row->name)];
    size_t slot = slot_of(part, row->name, &there);
    if (!there) {
        struct git_row *p = mem_realloc(part->rows, (part->count + 1) * sizeof(*p));
        if (!p)
            return err_nomem(err);
        part->rows = p;
        memmove(p + slot + 1, p + slot, (part->count - slot) * sizeof(*p));
        part->count++;
    }
    part->rows[slot] = *row;
    return KF_OK;
}

void git_part_write(const struct git_part *part, struct buf *out)
{
    struct portable_writer w = {.out = out};
    for (size_t i = 0; i < part->count; i++) {
        const struct git_row *r = &part->rows[i];
        portable_write(&w, &(struct portable_entry){.line = PORTABLE_FILE,
                                                    .name = r->name,
                                                    .site = r->site,
                                                    .hash = r->hash,
                                                    .path = r->path,
                                                    .text = r->text,
                                                    .version = r->version,
                                                    .size = r->size,
                                                    .stamp = r->stamp,
                                                    .at_ms = r->at_ms,
                                                    .deleted = r->deleted});
    }
}

void git_rows_release(struct git_rows *rows)
{
    for (unsigned i = 0; i < GIT_PARTS; i++)
        mem_free(rows->part[i].rows);
    arena_release(&rows->arena);
    *rows = (struct git_rows){0};
}
