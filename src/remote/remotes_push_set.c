/* The set that a run pushes.
 *
 * The snapshot is a list of heads, read in one short transaction. Their bodies are read in groups
 * while the push goes on: versions are immutable and pinned, so what is pushed is exactly the state
 * at S whatever is written meanwhile. */
#include "remote/remotes_push.h"

#include "base/secret_find.h"

/* Of what has none yet: it is known with the body. */
#define UNKNOWN_HASH "0000000000000000000000000000000000000000000000000000000000000000"

#define PUSH_GROUP_BYTES (4u * 1024 * 1024)

/* ------------------------------------------------------------------------------------ the set */

void snapshot_end_below(struct snapshot *s, int64_t seq)
{
    if (seq <= s->set.seq)
        s->set.seq = seq - 1;
}

static kf_rc hold_back(struct run *run, str name, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    err_set(&why, PROBLEM_BAD_OBJECT,
            "a later version of it is there and cannot be read: this one does not take its place");
    return aside_add(run, ASIDE_HELD_BACK, name, &why, err);
}

kf_rc snapshot_withhold(struct snapshot *s, str name, int64_t seq, const struct kf_err *why,
                        struct kf_err *err)
{
    bool damaged = problem_is(why, PROBLEM_DAMAGED);
    return aside_withhold(s->run, damaged ? ASIDE_DAMAGED : ASIDE_WITHHELD, name, seq, why, err);
}

/* As an earlier run has left it. */
static kf_rc withhold_again(struct snapshot *s, const struct withheld *w, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    s->refused_kept += w->problem == PROBLEM_REMOTE_REFUSED;
    err_set(&why, w->problem, "%.*s", STR_ARGS(w->reason));
    return snapshot_withhold(s, w->name, w->seq, &why, err);
}

static kf_rc withhold_critical(struct snapshot *s, const struct doc_row *row, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    KF_SOMETIMES("critical-document-not-pushed");
    if (s->run->place_unknown)
        err_set(&why, PROBLEM_PUBLIC_REMOTE,
                "it is critical, and whether everybody can read the remote could not be found out "
                "yet: it waits for that, or for `public` or a key (key_file) of the remote");
    else
        err_set(&why, PROBLEM_PUBLIC_REMOTE,
                "it is critical, and everybody can read the remote: make that private, encrypt "
                "what goes there (key_file), or allow it (public)");
    return snapshot_withhold(s, row->name, row->seq, &why, err);
}

static kf_rc more_heads(struct snapshot *s, struct kf_err *err)
{
    if (s->count < s->cap)
        return KF_OK;
    size_t cap = s->cap ? s->cap * 2 : 64;
    struct head *p = mem_realloc(s->heads, cap * sizeof(*p));
    if (!p)
        return err_nomem(err);
    s->heads = p;
    s->cap = cap;
    return KF_OK;
}

static kf_rc add_head(void *ctx, const struct doc_row *row, struct kf_err *err)
{
    struct snapshot *s = ctx;
    if (!entry_wants(s->entry, row->name))
        return KF_OK;
    if (s->run->place_public && !row->deleted && docs_is_critical(s->remotes->docs, row->name))
        return withhold_critical(s, row, err);
    const struct withheld *w = withheld_find(s->withheld, row->name);
    if (w && w->seq == row->seq && !withheld_try(s->run, w))
        return withhold_again(s, w, err);
    if (take_left_unread(s->run, row->name, row->stamp)) { /* W5 */
        KF_SOMETIMES("remote-unread-not-replaced");
        s->run->held_back++;
        snapshot_end_below(s, row->seq);
        return hold_back(s->run, row->name, err);
    }
    kf_rc rc = more_heads(s, err);
    if (rc != KF_OK)
        return rc;
    struct head h = {
        .name = arena_str(&s->arena, row->name),
        .site = arena_str(&s->arena, row->site),
        .hash = arena_str(&s->arena, row->hash),
        .version = row->version,
        .seq = row->seq,
        .stamp = row->stamp,
        .at_ms = row->at_ms,
        .size = row->size,
        .deleted = row->deleted,
    };
    if (!h.name.p || !h.site.p || !h.hash.p)
        return err_nomem(err);
    s->heads[s->count++] = h;
    return KF_OK;
}

/* --- streams: files_plan's */

static kf_rc add_file(void *ctx, struct push_file *file, struct kf_err *err)
{
    struct snapshot *s = ctx;
    struct buf name = BUF_INIT;
    kf_rc rc = more_heads(s, err);
    if (rc != KF_OK)
        return rc;
    if (file->file.first)
        stream_file_part(file->key, file->file.first, &name);
    else
        stream_file_head(file->key, &name);
    file->file.stamp = s->set.stamp;
    memcpy(file->file.site, s->site, sizeof(file->file.site));
    struct head h = {
        .name = arena_str(&s->arena, buf_view(&name)),
        .site = s->set.site,
        .hash = file->gone ? STR("") : STR(UNKNOWN_HASH),
        .version = file->file.version,
        .seq = file->seq,
        .stamp = s->set.stamp,
        .at_ms = s->set.now_ms,
        .size = file->size,
        .deleted = file->gone,
        .file = file,
    };
    if (name.failed || !h.name.p)
        rc = err_nomem(err);
    else
        s->heads[s->count++] = h;
    buf_release(&name);
    return rc;
}

static kf_rc withhold_file(void *ctx, str name, int64_t seq, const struct kf_err *why,
                           struct kf_err *err)
{
    struct snapshot *s = ctx;
    s->refused_kept += problem_is(why, PROBLEM_REMOTE_REFUSED);
    return snapshot_withhold(s, name, seq, why, err);
}

static kf_rc hold_file_back(void *ctx, str name, int64_t seq, struct kf_err *err)
{
    struct snapshot *s = ctx;
    s->run->held_back++;
    snapshot_end_below(s, seq);
    return hold_back(s->run, name, err);
}

static kf_rc add_streams(struct db *db, struct snapshot *s, int64_t watermark, struct kf_err *err)
{
    struct push_files p = {.run = s->run,
                           .arena = &s->arena,
                           .withheld = s->withheld,
                           .watermark = watermark,
                           .until = s->set.seq,
                           .has_secrets = entry_has_secrets(s->entry),
                           .ctx = s,
                           .add = add_file,
                           .withhold = withhold_file,
                           .hold_back = hold_file_back};
    return files_plan(&p, db, err);
}

static kf_rc read_state(struct db *db, struct remote_set *set, struct kf_err *err)
{
    static const char sql[] = "SELECT seq, stamp FROM kf_state WHERE id = 1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    rc = db_step(s, &row, err);
    if (rc == KF_OK) {
        set->seq = db_i64(s, 0);
        set->stamp = db_i64(s, 1);
    }
    db_done(s);
    return rc;
}

/* --------------------------------------------------------------------------------------- bodies */

static kf_rc copy_body(void *ctx, const struct doc_row *row, struct kf_err *err)
{
    struct snapshot *s = ctx;
    const struct head *h = picked(s, s->to);
    if (row->damaged || row->deleted || !str_eq(row->name, h->name) || !str_eq(row->hash, h->hash))
        return KF_OK;
    str body = arena_str(&s->bodies, row->body);
    if (!body.p)
        return err_nomem(err);
    s->body[s->to - s->from] = body;
    s->whole[s->to - s->from] = true;
    return KF_OK;
}

static kf_rc read_body(struct snapshot *s, struct db *db, const struct head *h, struct kf_err *err)
{
    size_t count = 1, at = s->to - s->from;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = KF_OK;
    s->body[at] = (str){0, 0};
    if (h->deleted || (h->file && !s->judged)) /* files are judged by files_plan */
        return KF_OK;
    if (!h->file) {
        rc = doc_all_versions(db, h->seq - 1, h->seq, 1, copy_body, s, &count, err);
    } else if ((rc = files_make(db, h->file, entry_has_secrets(s->entry), &s->text, &why)) ==
               KF_OK) {
        s->body[at] = arena_str(&s->bodies, buf_view(&s->text));
        s->whole[at] = s->body[at].p != NULL;
        rc = s->whole[at] ? KF_OK : err_nomem(err);
    } else if (rc == KF_DAMAGED) {
        rc = KF_OK; /* it is left out */
    } else if (err) {
        *err = why;
    }
    /* A merge may have given the version a new number: then it is above S and pending, and nothing
     * at S can be pushed for it. */
    if (rc == KF_OK && count == 0)
        rc = err_set(err, PROBLEM_VERSION_MISMATCH,
                     "a document changed its number while it was pushed");
    return rc;
}

/* Reads the bodies of as many heads as make a group, from s->at on. */
static kf_rc read_bodies(struct snapshot *s, struct kf_err *err)
{
    struct db *db;
    arena_clear(&s->bodies);
    s->from = s->to = s->at;
    memset(s->whole, 0, sizeof(s->whole));
    kf_rc rc = run_local(s->run, store_read_lenient(s->remotes->store, &db, err));
    if (rc != KF_OK)
        return rc;
    while (rc == KF_OK && s->to < s->set.count && s->to - s->from < PUSH_GROUP &&
           (s->to == s->from || s->bodies.used_bytes + picked(s, s->to)->size < PUSH_GROUP_BYTES)) {
        rc = run_local(s->run, read_body(s, db, picked(s, s->to), err));
        if (rc == KF_OK)
            s->to++;
    }
    store_read_end(s->remotes->store, db);
    return rc;
}

static kf_rc leave_damaged_out(struct snapshot *s, struct head *h, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    KF_SOMETIMES("damaged-document-not-pushed");
    log_event(s->remotes->log, LOG_CRIT, "store.damage", LOG_V("doc", h->name), LOG_END);
    if (h->file) {
        KF_SOMETIMES("damaged-part-not-pushed");
        err_set(&why, PROBLEM_DAMAGED,
                "an entry that it has there is damaged here: what is there stays, and with the "
                "next run new entries go into another part");
    } else {
        err_set(&why, PROBLEM_DAMAGED,
                "its stored bytes are damaged: bring it back from a backup or an older version, or "
                "write it anew with If-Match: *");
    }
    h->left_out = true;
    return snapshot_withhold(s, h->name, h->seq, &why, err);
}

/* *ret: it holds one, and is left out. */
static kf_rc leave_secret_out(struct snapshot *s, struct head *h, str body, bool *ret,
                              struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    struct buf where = BUF_INIT;
    const char *kind = NULL;
    kf_rc rc = secret_find(body, &kind, &where, err);
    *ret = rc == KF_OK && kind && !KF_SABOTAGE("secret-not-seen");
    if (*ret) {
        KF_SOMETIMES("document-with-a-secret-not-pushed");
        err_set(&why, PROBLEM_SECRET_FOUND,
                "%s%.*s holds what is plainly %s: take it out of the document, or let this remote "
                "have secrets (allow_secrets)",
                where.len ? "its member " : "it", STR_ARGS(buf_view(&where)), kind);
        h->left_out = true;
        rc = snapshot_withhold(s, h->name, h->seq, &why, err);
    }
    buf_release(&where);
    return rc;
}

/* Names go to a place as they are, those of deleted documents, too. */
static kf_rc leave_secret_name_out(struct snapshot *s, struct head *h, bool *ret,
                                   struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    const char *kind = secret_in_text(h->name);
    *ret = kind != NULL;
    if (!kind)
        return KF_OK;
    KF_SOMETIMES("name-with-a-secret-not-pushed");
    err_set(&why, PROBLEM_SECRET_FOUND,
            "its name holds what is plainly %s: give the document another name and drop this one "
            "(set-aside drop), or let this remote have secrets (allow_secrets)",
            kind);
    h->left_out = true;
    return snapshot_withhold(s, h->name, h->seq, &why, err);
}

static void head_of(const struct remote_set *set, size_t i, struct remote_doc *ret)
{
    const struct head *h = picked((const struct snapshot *)set, i);
    *ret = (struct remote_doc){
        .doc = {.name = h->name,
                .site = h->site,
                .stamp = h->stamp,
                .at_ms = h->at_ms,
                .version = h->version},
        .hash = h->hash,
        .size = h->size,
        .of_stream = h->file != NULL,
        .entries = h->file ? h->file->fresh : 0,
    };
}

static kf_rc next_of(struct remote_set *set, struct remote_doc *ret, struct kf_err *err)
{
    struct snapshot *s = (struct snapshot *)set;
    for (;; s->at++) {
        bool secret = false;
        kf_rc rc = KF_OK;
        if (s->at == s->set.count)
            return KF_ABSENT;
        if (s->at >= s->to && (rc = read_bodies(s, err)) != KF_OK)
            return rc;
        struct head *h = picked(s, s->at);
        if (h->file && !s->judged)
            continue;
        bool judges = !s->judged && !entry_has_secrets(s->entry);
        if (judges && (rc = leave_secret_name_out(s, h, &secret, err)) != KF_OK)
            return rc;
        if (h->deleted && !secret)
            break;
        if (secret)
            continue;
        if (!s->whole[s->at - s->from])
            rc = leave_damaged_out(s, h, err);
        else if (judges)
            rc = leave_secret_out(s, h, s->body[s->at - s->from], &secret, err);
        if (rc != KF_OK)
            return rc;
        if (s->whole[s->at - s->from] && !secret)
            break;
    }
    head_of(set, s->at, ret);
    ret->doc.body = s->body[s->at - s->from];
    const struct head *given = picked(s, s->at);
    if (given->file && !given->deleted) {
        ret->hash = str_of(given->file->file.hash);
        ret->size = ret->doc.body.len;
    }
    s->at++;
    return KF_OK;
}

/* What is left out is known before the first push: a kind may have to say what is in it before it
 * has seen the bodies, as a commit's message does. */
kf_rc snapshot_judge(struct snapshot *s, const struct remote *remote, struct kf_err *err)
{
    struct remote_doc doc;
    kf_rc rc;
    s->set.count = s->count;
    for (size_t i = 0; i < s->count; i++)
        s->pick[i] = i;
    do
        rc = remote_go_on(remote, err);
    while (rc == KF_OK && (rc = next_of(&s->set, &doc, err)) == KF_OK);
    s->judged = true;
    return rc == KF_ABSENT ? KF_OK : rc;
}

/* ------------------------------------------------------------------------------------- snapshot */

void snapshot_release(struct snapshot *s)
{
    arena_release(&s->arena);
    arena_release(&s->bodies);
    buf_release(&s->text);
    withheld_free(s->withheld);
    mem_free(s->heads);
    mem_free(s->pick);
}

/* What is withheld below the watermark: tried again, or left as it is. */
static kf_rc add_withheld(struct db *db, struct snapshot *s, int64_t watermark, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && s->withheld && i < s->withheld->count; i++) {
        bool same;
        if (s->withheld->items[i].seq <= watermark && !stream_file_is(s->withheld->items[i].name))
            rc = withheld_head(db, &s->withheld->items[i], add_head, s, &same, err);
    }
    return rc;
}

kf_rc snapshot_take(struct run *run, int64_t watermark, struct snapshot *s, struct kf_err *err)
{
    struct remotes *r = run->entry->remotes;
    struct db *db;
    size_t count;
    *s = (struct snapshot){
        .set = {.head = head_of, .next = next_of}, .run = run, .remotes = r, .entry = run->entry};
    memcpy(s->site, run->site, sizeof(s->site));
    s->set.site = str_of(s->site);
    s->set.now_ms = env_wall_ms(r->env);
    run->held_back = 0;
    kf_rc rc = store_read_lenient(r->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = read_state(db, &s->set, err);
    if (rc == KF_OK)
        rc = withheld_read(db, str_of(s->entry->name), &s->withheld, err);
    if (rc == KF_OK)
        rc = add_withheld(db, s, watermark, err);
    if (rc == KF_OK)
        rc = doc_changes(db, watermark, (size_t)INT64_MAX, false, add_head, s, &count, err);
    if (rc == KF_OK && store_streams(r->store))
        rc = add_streams(db, s, watermark, err);
    store_read_end(r->store, db);
    if (rc == KF_OK && !(s->pick = mem_calloc(s->count + 1, sizeof(*s->pick))))
        rc = err_nomem(err);
    if (rc != KF_OK)
        snapshot_release(s);
    return rc;
}
