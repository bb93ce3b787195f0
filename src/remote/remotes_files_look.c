/* Which streams a push is about, and which of their entries may leave.
 *
 * What may not is told to the push (withhold) and is no candidate: a secret, damage, and what an
 * earlier run has left out while nothing has changed for it. */
#include "remote/remotes_files_push.h"

#include "base/json.h"

#include "base/secret_find.h"

/* -------------------------------------------------------------------------------------- streams */

static kf_rc touch(struct push_files *p, str key, struct touched **ret, struct kf_err *err)
{
    struct hash hash;
    struct touched *t = NULL;
    hash_of(key, &hash);
    HASH_FIND(hh, p->touched, &hash, sizeof hash, t);
    if (!t) {
        if (!(t = mem_calloc(1, sizeof *t)))
            return err_nomem(err);
        t->key_hash = hash;
        t->key = arena_str(p->arena, key);
        if (t->key.p)
            HASH_ADD(hh, p->touched, key_hash, sizeof hash, t);
        if (!t->key.p || t->lost) {
            mem_free(t);
            return err_nomem(err);
        }
    }
    *ret = t;
    return KF_OK;
}

void files_untouch(struct push_files *p)
{
    struct touched *t, *next;
    HASH_ITER (hh, p->touched, t, next) {
        HASH_DELETE(hh, p->touched, t);
        mem_free(t->c);
        mem_free(t);
    }
}

/* --------------------------------------------------------------------------- what may not leave */

static kf_rc name_entry(struct push_files *p, str key, uint64_t n, str *ret, struct kf_err *err)
{
    char *name = arena_printf(p->arena, STREAM_FILES "%.*s/entries/%llu", STR_ARGS(key),
                              (unsigned long long)n);
    *ret = str_of(name);
    return name ? KF_OK : err_nomem(err);
}

const struct withheld *files_left_before(const struct push_files *p, str name, int64_t seq)
{
    const struct withheld *w = withheld_find(p->withheld, name);
    return w && w->seq == seq && !withheld_try(p->run, w) ? w : NULL;
}

static kf_rc leave_again(struct push_files *p, const struct withheld *w, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    err_set(&why, w->problem, "%.*s", STR_ARGS(w->reason));
    return p->withhold(p->ctx, w->name, w->seq, &why, err);
}

kf_rc files_leave_secret(struct push_files *p, str name, int64_t seq, str member, const char *kind,
                         struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    KF_SOMETIMES("entry-with-a-secret-not-pushed");
    err_set(&why, PROBLEM_SECRET_FOUND,
            "%s%.*s holds what is plainly %s: erase the stream, or let this remote have secrets "
            "(allow_secrets)",
            member.len ? "its member " : "it", STR_ARGS(member), kind);
    return p->withhold(p->ctx, name, seq, &why, err);
}

/* *ret: it holds one, and is left out. */
static kf_rc judge_text(struct push_files *p, str name, int64_t seq, str text, bool *ret,
                        struct kf_err *err)
{
    struct buf where = BUF_INIT;
    const char *kind = NULL;
    kf_rc rc = secret_find(text, &kind, &where, err);
    *ret = rc == KF_OK && kind;
    if (*ret)
        rc = files_leave_secret(p, name, seq, buf_view(&where), kind, err);
    buf_release(&where);
    return rc;
}

static kf_rc leave_damaged(struct push_files *p, str name, int64_t seq, const char *what,
                           struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    KF_SOMETIMES("damaged-entry-not-pushed");
    log_event(p->run->entry->remotes->log, LOG_CRIT, "store.damage", LOG_V("entry", name), LOG_END);
    err_set(&why, PROBLEM_DAMAGED,
            "it is damaged here, for %s: bring the store back from a backup, or erase the stream",
            what);
    return p->withhold(p->ctx, name, seq, &why, err);
}

kf_rc files_leave_entry(struct push_files *p, str key, uint64_t n, int64_t seq, const char *what,
                        struct kf_err *err)
{
    str name;
    kf_rc rc = name_entry(p, key, n, &name, err);
    return rc == KF_OK ? leave_damaged(p, name, seq, what, err) : rc;
}

static kf_rc judge(struct push_files *p, struct db *db, const struct entry_row *row, str name,
                   size_t *ret_attach, bool *ret_left, struct kf_err *err)
{
    struct buf attach = BUF_INIT;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = KF_OK;
    const char *kind = p->has_secrets ? NULL : secret_in_text(row->id);
    *ret_left = row->damaged || kind;
    if (row->damaged)
        rc = leave_damaged(p, name, row->seq, row->wrong, err);
    else if (kind)
        rc = files_leave_secret(p, name, row->seq, STR("id"), kind, err);
    else if (!p->has_secrets)
        rc = judge_text(p, name, row->seq, row->body, ret_left, err);
    if (rc != KF_OK || *ret_left || row->attach.len == 0)
        return rc;
    rc = stream_attachment(db, row->attach, &attach, &why);
    if (rc == KF_DAMAGED) {
        *ret_left = true;
        rc = leave_damaged(p, name, row->seq, "its attachment is", err);
    } else if (rc != KF_OK) {
        if (err)
            *err = why;
    } else {
        *ret_attach = attach.len;
        if (!p->has_secrets)
            rc = judge_text(p, name, row->seq, buf_view(&attach), ret_left, err);
    }
    buf_release(&attach);
    return rc;
}

/* ------------------------------------------------------------------------------------- visiting */

struct visiting {
    struct push_files *p;
    struct db *db;
    bool all; /* entries of a stream that is looked at as a whole */
};

static kf_rc add_candidate(struct touched *t, const struct entry_row *row, size_t attach,
                           struct kf_err *err)
{
    if (t->count == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 16;
        struct candidate *c = mem_realloc(t->c, cap * sizeof *c);
        if (!c)
            return err_nomem(err);
        t->c = c;
        t->cap = cap;
    }
    struct candidate *c = &t->c[t->count++];
    *c = (struct candidate){
        .e = {.stamp = row->stamp, .seq = row->seq, .n = row->twin ? 0 : row->n},
        .room = stream_entry_room(row->size, attach)};
    memcpy(c->e.site, row->site.p, row->site.len < PORTABLE_SITE ? row->site.len : PORTABLE_SITE);
    return KF_OK;
}

static kf_rc visit_entry(void *ctx, const struct entry_row *row, struct kf_err *err)
{
    struct visiting *v = ctx;
    struct push_files *p = v->p;
    struct touched *t = NULL;
    const struct withheld *w;
    str name;
    size_t attach = 0;
    bool left = false;
    if (!entry_wants(p->run->entry, row->key))
        return KF_OK;
    kf_rc rc = touch(p, row->key, &t, err);
    if (rc != KF_OK || (t->whole && !v->all) || row->seq > p->until)
        return rc;
    t->stream = row->stream;
    if ((rc = name_entry(p, row->key, row->n, &name, err)) != KF_OK)
        return rc;
    if ((w = files_left_before(p, name, row->seq)) != NULL) /* the rest of them: add_withheld */
        return v->all ? KF_OK : leave_again(p, w, err);
    rc = judge(p, v->db, row, name, &attach, &left, err);
    return rc == KF_OK && !left ? add_candidate(t, row, attach, err) : rc;
}

static kf_rc visit_change(void *ctx, const struct stream_row *row, struct kf_err *err)
{
    struct push_files *p = ((struct visiting *)ctx)->p;
    struct touched *t = NULL;
    if (!entry_wants(p->run->entry, row->key))
        return KF_OK;
    kf_rc rc = touch(p, row->key, &t, err);
    if (rc == KF_OK) {
        t->head_seq = row->seq;
        t->stream = row->there ? row->id : 0;
    }
    return rc;
}

/* What is withheld stays so, or its stream is looked at as a whole. */
static kf_rc add_withheld(struct push_files *p, struct db *db, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && p->withheld && i < p->withheld->count; i++) {
        const struct withheld *w = &p->withheld->items[i];
        struct touched *t = NULL;
        bool same = false;
        str key;
        if (!withheld_of_stream(w->name, &key))
            continue;
        rc = withheld_head(db, w, NULL, NULL, &same, err);
        if (rc != KF_OK || !same)
            continue;
        if (!withheld_try(p->run, w)) {
            if (w->seq <= p->watermark)
                rc = leave_again(p, w, err);
            continue;
        }
        if ((rc = touch(p, key, &t, err)) == KF_OK)
            t->whole = true;
    }
    return rc;
}

static kf_rc add_lost(struct push_files *p, struct kf_err *err)
{
    const struct buf *lost = &p->run->lost_streams;
    kf_rc rc = KF_OK;
    for (size_t at = 0; rc == KF_OK && at < lost->len; at += strlen(lost->p + at) + 1) {
        struct touched *t = NULL;
        if ((rc = touch(p, str_of(lost->p + at), &t, err)) == KF_OK)
            t->whole = true;
    }
    return rc;
}

static kf_rc gather_whole(struct visiting *v, struct touched *t, struct kf_err *err)
{
    size_t count;
    uint64_t last_n;
    t->count = 0;
    v->all = true;
    kf_rc rc = stream_find(v->db, t->key, &t->stream, &last_n, err);
    if (rc == KF_OK && t->stream)
        rc = stream_entries_of(v->db, t->stream, false, 0, (size_t)INT64_MAX, true, visit_entry, v,
                               &count, err);
    if (rc == KF_OK && t->stream)
        rc = stream_entries_of(v->db, t->stream, true, 0, (size_t)INT64_MAX, true, visit_entry, v,
                               &count, err);
    v->all = false;
    return rc;
}

kf_rc files_look(struct push_files *p, struct db *db, struct kf_err *err)
{
    struct visiting v = {.p = p, .db = db};
    size_t count;
    kf_rc rc = add_withheld(p, db, err);
    if (rc == KF_OK)
        rc = add_lost(p, err);
    if (rc == KF_OK)
        rc = stream_changes(db, p->watermark, (size_t)INT64_MAX, visit_change, &v, &count, err);
    if (rc == KF_OK)
        rc = stream_entries_since(db, p->watermark, p->until, (size_t)INT64_MAX, true, visit_entry,
                                  &v, &count, err);
    for (struct touched *t = p->touched; rc == KF_OK && t; t = t->hh.next)
        if (t->whole)
            rc = gather_whole(&v, t, err);
    return rc;
}
