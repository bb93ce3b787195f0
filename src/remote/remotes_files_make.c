/* The texts of files of streams, made from what is here: stream.ndjson and parts, for a push; and
 * files that were pushed or taken, again. */
#include "remote/remotes_files_push.h"

#include "base/secret_find.h"

#include "remote/stream_text.h"

/* ------------------------------------------------------------------------------- stream.ndjson */

/* A member with a secret stays here. */
static kf_rc may_go(void *ctx, const struct member_row *m, bool *ret_keep, struct kf_err *err)
{
    struct heading *h = ctx;
    const char *kind = NULL;
    kf_rc rc = KF_OK;
    if (!h->secrets && !(kind = secret_in_text(m->name)) && m->value.p) {
        struct buf where = BUF_INIT;
        rc = secret_find(m->value, &kind, &where, err);
        buf_release(&where);
    }
    *ret_keep = !kind;
    if (rc == KF_OK && kind && h->p && !h->told) {
        h->told = true;
        rc = files_leave_secret(h->p, h->name, h->seq, m->name, kind, err);
    }
    return rc;
}

kf_rc files_make_head(struct db *db, str key, struct heading *h, struct buf *out,
                      struct kf_err *err)
{
    const struct head_wish wish = {.keep = may_go, .ctx = h};
    return head_write(db, key, &wish, out, err);
}

kf_rc files_head_same(struct db *db, str remote, str key, bool secrets, bool *ret,
                      struct kf_err *err)
{
    struct known_file known;
    struct buf text = BUF_INIT;
    struct heading h = {.secrets = secrets};
    struct kf_err why = KF_ERR_INIT;
    char hash[HASH_HEX + 1];
    kf_rc rc = files_one(db, remote, key, 0, &known, err);
    bool there = rc == KF_OK;
    if (rc == KF_OK || rc == KF_ABSENT)
        rc = files_make_head(db, key, &h, &text, &why);
    if (rc == KF_DAMAGED) { /* the push says so */
        *ret = false;
        rc = KF_OK;
    } else if (rc != KF_OK && why.detail[0] && err) {
        *err = why;
    } else if (rc == KF_OK) {
        hash_hex_of(buf_view(&text), hash);
        *ret = there ? strcmp(known.hash, hash) == 0 : text.len == 0;
    }
    buf_release(&text);
    return rc;
}

/* ---------------------------------------------------------------------------------------- parts */

struct making {
    struct part_writer w;
    const struct known_entry *e;
    bool found;
};

static kf_rc put_line(void *ctx, const struct entry_row *row, struct kf_err *err)
{
    struct making *m = ctx;
    if (row->damaged)
        return err_set(err, PROBLEM_DAMAGED, "entry %llu of \"%.*s\" is damaged here (%s)",
                       (unsigned long long)row->n, STR_SHOWN(row->key), row->wrong);
    if (row->stamp != m->e->stamp || !str_is(row->site, m->e->site))
        return KF_OK;
    m->found = true;
    return part_entry(&m->w, row, m->e->n, err);
}

static kf_rc make_part(struct db *db, const struct push_file *f, struct buf *out,
                       struct kf_err *err)
{
    struct making m = {.e = NULL};
    kf_rc rc = KF_OK;
    part_begin(&m.w, db, f->key, f->file.first, out);
    for (size_t i = 0; rc == KF_OK && i < f->file.count; i++) {
        size_t count;
        m.e = &f->file.entries[i];
        m.found = false;
        rc = stream_entries_since(db, m.e->seq - 1, m.e->seq, 1, true, put_line, &m, &count, err);
        if (rc == KF_OK && !m.found)
            rc = err_set(err, PROBLEM_VERSION_MISMATCH,
                         "an entry has gone while its stream was pushed");
    }
    part_end(&m.w);
    return rc;
}

kf_rc files_make(struct db *db, struct push_file *f, bool secrets, struct buf *out,
                 struct kf_err *err)
{
    struct heading h = {.secrets = secrets};
    buf_clear(out);
    kf_rc rc = f->file.first ? make_part(db, f, out, err)
                             : files_make_head(db, f->key, &h, out, err);
    if (rc == KF_OK && out->len == 0) /* it has nothing to say any more */
        stream_file_begin(f->key, 0, out);
    if (rc == KF_OK)
        rc = buf_ok(out, err);
    if (rc == KF_OK) {
        hash_hex_of(buf_view(out), f->file.hash);
        f->file.bytes = out->len;
    }
    return rc;
}

/* --------------------------------------------------------------------------------------- again */

/* KF_ABSENT: something of it is not here. */
static kf_rc make_known(struct db *db, str remote, str key, uint64_t first, struct push_file *f,
                        struct arena *arena, bool secrets, struct buf *out, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    *f = (struct push_file){.key = key};
    kf_rc rc = files_one(db, remote, key, first, &f->file, err);
    if (rc == KF_OK && first)
        rc = files_entries(db, remote, key, &f->file, arena, err);
    for (size_t i = 0; rc == KF_OK && i < f->file.count; i++)
        if (!f->file.entries[i].seq)
            rc = KF_ABSENT;
    if (rc != KF_OK)
        return rc;
    rc = files_make(db, f, secrets, out, &why);
    if (rc == KF_CONFLICT || rc == KF_DAMAGED)
        return KF_ABSENT;
    if (rc != KF_OK && err)
        *err = why;
    return rc;
}

kf_rc files_copy(struct db *db, str remote, const struct file_wanted *wanted, struct buf *out,
                 struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct known_file known;
    struct push_file f;
    uint64_t first;
    str key;
    if (!stream_file_parse(wanted->name, &key, &first))
        return KF_ABSENT;
    kf_rc rc = files_one(db, remote, key, first, &known, err);
    if (rc == KF_OK)
        rc = make_known(db, remote, key, first, &f, &arena, wanted->secrets, out, err);
    bool same = wanted->inexact
                    ? known.stamp == wanted->stamp && str_is(wanted->site, known.site) &&
                          rc == KF_OK && strcmp(f.file.hash, known.hash) == 0
                    : rc == KF_OK && str_is(wanted->hash, f.file.hash);
    arena_release(&arena);
    return rc == KF_OK && !same ? KF_ABSENT : rc;
}
