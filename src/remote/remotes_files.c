/* The rows of kf_remote_file. `entries` is a line for each entry of a part, in its order:
 * "SITE STAMP N SEQ\n", the stamp in 16 hex digits. */
#include "remote/remotes_files.h"

#include <inttypes.h>
#include <stdlib.h>

#define COLUMNS "first, hash, version, stamp, site, bytes, last_seq"

static void read_row(struct db_stmt *s, struct known_file *f)
{
    *f = (struct known_file){.first = (uint64_t)db_i64(s, 0),
                             .version = (uint64_t)db_i64(s, 2),
                             .stamp = db_i64(s, 3),
                             .bytes = (uint64_t)db_i64(s, 5),
                             .last_seq = db_i64(s, 6)};
    str_copy(f->hash, sizeof f->hash, db_text(s, 1));
    str_copy(f->site, sizeof f->site, db_text(s, 4));
}

kf_rc files_known(struct db *db, str remote, str key, struct arena *arena, struct known_file **ret,
                  size_t *ret_count, struct kf_err *err)
{
    static const char sql[] = "SELECT " COLUMNS " FROM kf_remote_file WHERE remote = $1 AND "
                              "key = $2 ORDER BY first";
    struct known_file *items = NULL;
    size_t count = 0, cap = 0;
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, remote);
    db_bind_text(s, 2, key);
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        if (count == cap) {
            cap = cap ? cap * 2 : 4;
            struct known_file *p = arena_alloc(arena, cap * sizeof *p);
            if (!p) {
                rc = err_nomem(err);
                break;
            }
            if (count)
                memcpy(p, items, count * sizeof *p);
            items = p;
        }
        read_row(s, &items[count++]);
    }
    db_done(s);
    *ret = items;
    *ret_count = count;
    return rc;
}

kf_rc files_one(struct db *db, str remote, str key, uint64_t first, struct known_file *ret,
                struct kf_err *err)
{
    static const char sql[] = "SELECT " COLUMNS " FROM kf_remote_file WHERE remote = $1 AND "
                              "key = $2 AND first = $3";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, remote);
    db_bind_text(s, 2, key);
    db_bind_i64(s, 3, (int64_t)first);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row)
        read_row(s, ret);
    db_done(s);
    return rc == KF_OK && !row ? KF_ABSENT : rc;
}

/* ------------------------------------------------------------------------------- their entries */

static bool take_number(str *line, int base, uint64_t *ret)
{
    char text[24], *end;
    size_t len = str_index(*line, ' ');
    if (len == 0 || len >= sizeof text)
        return false;
    memcpy(text, line->p, len);
    text[len] = '\0';
    *ret = strtoull(text, &end, base);
    *line = str_from(*line, len + 1);
    return *end == '\0';
}

static bool read_entry(str line, struct known_entry *e)
{
    uint64_t stamp, seq;
    if (line.len < PORTABLE_SITE + 1)
        return false;
    str_copy(e->site, sizeof e->site, (str){line.p, PORTABLE_SITE});
    line = str_from(line, PORTABLE_SITE + 1);
    if (!take_number(&line, 16, &stamp) || !take_number(&line, 10, &e->n) ||
        !take_number(&line, 10, &seq))
        return false;
    e->stamp = (int64_t)stamp;
    e->seq = (int64_t)seq;
    return true;
}

static kf_rc read_entries(str text, struct known_file *f, struct arena *arena, struct kf_err *err)
{
    size_t lines = 0;
    for (size_t i = 0; i < text.len; i++)
        lines += text.p[i] == '\n';
    f->count = 0;
    f->entries = arena_alloc(arena, (lines + 1) * sizeof *f->entries);
    if (!f->entries)
        return err_nomem(err);
    for (size_t at = 0; at < text.len;) {
        str rest = str_from(text, at), line = {rest.p, str_index(rest, '\n')};
        if (!read_entry(line, &f->entries[f->count++]))
            return err_set(err, PROBLEM_DAMAGED,
                           "what is known of a file of a stream is damaged (kf_remote_file): its "
                           "row may be removed");
        at += line.len + 1;
    }
    return KF_OK;
}

/* Trimming and erasing know nothing of remotes. */
static kf_rc look_here(struct db *db, struct known_file *f, struct kf_err *err)
{
    static const char sql[] = "SELECT 1 FROM kf_entry WHERE seq = $1 AND stamp = $2 AND site = $3";
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < f->count; i++) {
        struct known_entry *e = &f->entries[i];
        struct db_stmt *s;
        bool here = false;
        if (!e->seq || (rc = db_use(db, sql, &s, err)) != KF_OK)
            continue;
        db_bind_i64(s, 1, e->seq);
        db_bind_i64(s, 2, e->stamp);
        db_bind_text(s, 3, str_of(e->site));
        rc = db_step(s, &here, err);
        db_done(s);
        if (rc == KF_OK && !here)
            e->seq = 0;
    }
    return rc;
}

kf_rc files_entries(struct db *db, str remote, str key, struct known_file *f, struct arena *arena,
                    struct kf_err *err)
{
    static const char sql[] =
        "SELECT entries FROM kf_remote_file WHERE remote = $1 AND key = $2 AND first = $3";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, remote);
    db_bind_text(s, 2, key);
    db_bind_i64(s, 3, (int64_t)f->first);
    rc = db_step(s, &row, err);
    if (rc == KF_OK)
        rc = read_entries(row ? db_text(s, 0) : STR(""), f, arena, err);
    db_done(s);
    return rc == KF_OK ? look_here(db, f, err) : rc;
}

kf_rc files_put(struct db *db, str remote, str key, const struct known_file *f, struct kf_err *err)
{
    static const char sql[] =
        "INSERT INTO kf_remote_file(remote, key, " COLUMNS ", entries) "
        "VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT(remote, key, first) DO UPDATE "
        "SET hash = excluded.hash, version = excluded.version, stamp = excluded.stamp, "
        "site = excluded.site, bytes = excluded.bytes, last_seq = excluded.last_seq, "
        "entries = excluded.entries";
    struct buf entries = BUF_INIT;
    struct db_stmt *s;
    int64_t last = 0;
    for (size_t i = 0; i < f->count; i++) {
        const struct known_entry *e = &f->entries[i];
        buf_printf(&entries, "%s %016" PRIx64 " %" PRIu64 " %" PRId64 "\n", e->site,
                   (uint64_t)e->stamp, e->n, e->seq);
        last = e->seq > last ? e->seq : last;
    }
    kf_rc rc = buf_ok(&entries, err);
    if (rc == KF_OK)
        rc = db_use(db, sql, &s, err);
    if (rc == KF_OK) {
        db_bind_text(s, 1, remote);
        db_bind_text(s, 2, key);
        db_bind_i64(s, 3, (int64_t)f->first);
        db_bind_text(s, 4, str_of(f->hash));
        db_bind_i64(s, 5, (int64_t)f->version);
        db_bind_i64(s, 6, f->stamp);
        db_bind_text(s, 7, str_of(f->site));
        db_bind_i64(s, 8, (int64_t)f->bytes);
        db_bind_i64(s, 9, last);
        db_bind_text(s, 10, entries.len ? buf_view(&entries) : STR(""));
        rc = db_run(s, err);
    }
    buf_release(&entries);
    return rc;
}

kf_rc files_drop(struct db *db, str remote, str key, uint64_t first, struct kf_err *err)
{
    static const char sql[] =
        "DELETE FROM kf_remote_file WHERE remote = $1 AND key = $2 AND first = $3";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, remote);
    db_bind_text(s, 2, key);
    db_bind_i64(s, 3, (int64_t)first);
    return db_run(s, err);
}

kf_rc files_forget(struct db *db, str remote, struct kf_err *err)
{
    static const char sql[] = "DELETE FROM kf_remote_file WHERE remote = $1";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, remote);
    return db_run(s, err);
}

kf_rc files_any(struct db *db, str remote, bool *ret, struct kf_err *err)
{
    static const char sql[] = "SELECT 1 FROM kf_remote_file WHERE remote = $1 LIMIT 1";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, remote);
    rc = db_step(s, ret, err);
    db_done(s);
    return rc;
}

/* --------------------------------------------------------------------------------- all numbers */

struct numbers {
    int64_t *p;
    size_t count, cap;
};

static kf_rc add_numbers(struct numbers *n, str text, struct kf_err *err)
{
    struct known_entry e;
    for (size_t at = 0; at < text.len;) {
        str rest = str_from(text, at), line = {rest.p, str_index(rest, '\n')};
        if (n->count == n->cap) {
            size_t cap = n->cap ? n->cap * 2 : 1024;
            int64_t *p = mem_realloc(n->p, cap * sizeof *p);
            if (!p)
                return err_nomem(err);
            n->p = p;
            n->cap = cap;
        }
        if (read_entry(line, &e) && e.seq)
            n->p[n->count++] = e.seq;
        at += line.len + 1;
    }
    return KF_OK;
}

static int compare_numbers(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

kf_rc files_numbers(struct db *db, str remote, int64_t **ret, size_t *ret_count, struct kf_err *err)
{
    static const char sql[] = "SELECT entries FROM kf_remote_file WHERE remote = $1";
    struct numbers n = {.p = NULL};
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, remote);
    while ((rc = db_step(s, &row, err)) == KF_OK && row)
        if ((rc = add_numbers(&n, db_text(s, 0), err)) != KF_OK)
            break;
    db_done(s);
    if (rc != KF_OK) {
        mem_free(n.p);
        return rc;
    }
    if (n.count)
        qsort(n.p, n.count, sizeof *n.p, compare_numbers);
    *ret = n.p;
    *ret_count = n.count;
    return KF_OK;
}
