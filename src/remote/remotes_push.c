/* What a run pushes:
 *
 *     pin -> snapshot at number S: heads above the watermark, and what was withheld below it
 *         -> bodies, by groups -> what may not go there is withheld (W6) -> push -> unpin
 *                                                  refused (R7): halves ^--'
 *
 * The snapshot is a list of heads, read in one short transaction. Their bodies are read in groups
 * while the push goes on: versions are immutable and pinned, so what is pushed is exactly the state
 * at S whatever is written meanwhile. */
#include "remote/remotes_files.h"

#include "base/secret_find.h"

/* Of what has none yet: it is known with the body. */
#define UNKNOWN_HASH "0000000000000000000000000000000000000000000000000000000000000000"

#define BODY_GROUP       64
#define BODY_GROUP_BYTES (4u * 1024 * 1024)

/* ------------------------------------------------------------------------------------ the set */

struct head {
    str name, site, hash;
    uint64_t version;
    int64_t seq, stamp, at_ms;
    size_t size;
    bool deleted;
    bool left_out;          /* it is withheld, or cannot be read: not pushed in this run */
    struct push_file *file; /* of a stream; NULL: a document */
};

struct snapshot {
    struct remote_set set; /* first */
    struct run *run;
    struct remotes *remotes;
    struct remote_entry *entry;
    struct arena arena; /* of the heads */
    struct head *heads;
    size_t count, cap;
    char site[STORE_SITE_LEN + 1];
    struct withheld_list *withheld; /* what earlier runs have left out */
    size_t refused_kept;            /* of that, what the place refused and is not tried again */
    bool judged;                    /* of all heads it is known whether they are left out */
    bool answered;                  /* the place has taken or refused something */

    size_t *pick;        /* which heads are pushed now; set.count of them */
    size_t at;           /* in `pick`, as the next two */
    struct arena bodies; /* of heads from `from` to `to` */
    str body[BODY_GROUP];
    bool whole[BODY_GROUP]; /* it fits the head's hash */
    size_t from, to;
    struct buf text; /* of one file of a stream */
};

/* The set, and with it the watermark, ends below this number: its document is not pushed and has
 * no row. */
static void end_below(struct snapshot *s, int64_t seq)
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

static kf_rc withhold(struct snapshot *s, str name, int64_t seq, const struct kf_err *why,
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
    return withhold(s, w->name, w->seq, &why, err);
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
    return withhold(s, row->name, row->seq, &why, err);
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
        end_below(s, row->seq);
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
    return withhold(s, name, seq, why, err);
}

static kf_rc hold_file_back(void *ctx, str name, int64_t seq, struct kf_err *err)
{
    struct snapshot *s = ctx;
    s->run->held_back++;
    end_below(s, seq);
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

static struct head *picked(const struct snapshot *s, size_t i)
{
    return &s->heads[s->pick[i]];
}

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
    kf_rc rc = KF_OK;
    s->body[at] = (str){0, 0};
    if (h->deleted || (h->file && !s->judged)) /* files are judged by files_plan */
        return KF_OK;
    if (!h->file) {
        rc = doc_all_versions(db, h->seq - 1, h->seq, 1, copy_body, s, &count, err);
    } else if ((rc = files_make(db, h->file, entry_has_secrets(s->entry), &s->text, err)) ==
               KF_OK) {
        s->body[at] = arena_str(&s->bodies, buf_view(&s->text));
        s->whole[at] = s->body[at].p != NULL;
        rc = s->whole[at] ? KF_OK : err_nomem(err);
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
    kf_rc rc = run_local(s->run, store_read(s->remotes->store, &db, err));
    if (rc != KF_OK)
        return rc;
    while (rc == KF_OK && s->to < s->set.count && s->to - s->from < BODY_GROUP &&
           (s->to == s->from || s->bodies.used_bytes + picked(s, s->to)->size < BODY_GROUP_BYTES)) {
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
    err_set(&why, PROBLEM_DAMAGED,
            "its stored bytes are damaged: bring it back from a backup or an older version, or "
            "write it anew with If-Match: *");
    h->left_out = true;
    return withhold(s, h->name, h->seq, &why, err);
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
        rc = withhold(s, h->name, h->seq, &why, err);
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
    return withhold(s, h->name, h->seq, &why, err);
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
static kf_rc judge_bodies(struct snapshot *s, const struct remote *remote, struct kf_err *err)
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

static void snapshot_release(struct snapshot *s)
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

/* Everything above the watermark, at one number, and what is withheld below it. */
static kf_rc snapshot_take(struct run *run, int64_t watermark, struct snapshot *s,
                           struct kf_err *err)
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
    kf_rc rc = store_read(r->store, &db, err);
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

static kf_rc note_files(struct snapshot *s, struct kf_err *err)
{
    struct push_file **files = arena_alloc(&s->arena, (s->set.count + 1) * sizeof(*files));
    size_t count = 0;
    if (!files)
        return err_nomem(err);
    for (size_t i = 0; i < s->set.count; i++)
        if (picked(s, i)->file)
            files[count++] = picked(s, i)->file;
    return run_local(s->run, files_pushed(s->run, files, count, err));
}

/* Pushes those of the heads from `from` to `to` that are not left out. */
static kf_rc push_range(struct snapshot *s, struct remote *remote, size_t from, size_t to,
                        struct kf_err *err)
{
    struct run *run = s->run;
    struct buf after = BUF_INIT;
    struct remote_pushed pushed = {0};
    s->set.count = s->at = s->from = s->to = 0;
    for (size_t i = from; i < to; i++)
        if (!s->heads[i].left_out)
            s->pick[s->set.count++] = i;
    if (s->set.count == 0)
        return KF_OK;
    kf_rc rc = remote->driver->push(remote, buf_view(&run->position), &s->set, &after, &pushed,
                                    err);
    if (rc == KF_OK) {
        s->answered |= pushed.docs > 0;
        run->pushed.docs += pushed.docs;
        run->pushed.bytes += pushed.bytes;
        buf_release(&run->position);
        run->position = after;
        after = BUF_INIT;
        rc = note_files(s, err);
    }
    buf_release(&after);
    return rc;
}

/* --------------------------------------------------------------------- what the place refuses (R7)

   A set that is refused is halved until the documents are found that are refused alone; the others
   are pushed on the way, so what is refused costs some pushes and keeps nothing else back:

       [ 0 ........ 8 )  refused
                         [ 4 .. 8 ) refused
                                             [ 6 . 8 ) taken
                         [ 4 . 6 ) refused: 5 taken, 4 refused -> 4 is withheld
       [ 0 .. 4 ) taken

   The newest come first: what has just been written may be the first thing in a while that the
   place takes. One that took nothing at all may as well have stopped taking anything. */

struct range {
    size_t from, to;
};

struct halving {
    struct snapshot *s;
    struct range open[2 * REFUSED_PUSHES]; /* to be tried; the last one first */
    size_t count, pushes;
    size_t *alone; /* heads that were refused alone */
    size_t alone_count;
    struct kf_err why; /* the last refusal */
    struct kf_err *whys;
};

/* The heads of a range that are pushed. */
static size_t left_in(const struct snapshot *s, struct range r)
{
    size_t n = 0;
    for (size_t i = r.from; i < r.to; i++)
        n += !s->heads[i].left_out;
    return n;
}

/* `before`: how many it has refused since it last took one. A run that goes on where one was left
 * unsettled may have nothing more that is taken. */
static kf_rc refuses_all(const struct halving *h, size_t before, struct kf_err *err)
{
    if (h->alone_count == 0 || h->s->run->pushed.docs || h->s->run->took_before ||
        before + h->alone_count < REFUSED_ALL)
        return KF_OK;
    KF_SOMETIMES("remote-refuses-everything");
    h->s->run->refuses_all = true;
    if (err)
        *err = h->why;
    return h->why.rc;
}

static kf_rc refused_alone(struct halving *h, struct range r, struct kf_err *err)
{
    while (h->s->heads[r.from].left_out)
        r.from++;
    h->whys[h->alone_count] = h->why;
    h->alone[h->alone_count++] = r.from;
    return refuses_all(h, 0, err);
}

static void halve(struct halving *h, struct range r)
{
    size_t half = left_in(h->s, r) / 2, mid = r.from;
    for (size_t n = 0; n < half; mid++)
        n += !h->s->heads[mid].left_out;
    h->open[h->count++] = (struct range){r.from, mid};
    h->open[h->count++] = (struct range){mid, r.to};
}

static kf_rc try_range(struct halving *h, struct remote *remote, struct range r, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = push_range(h->s, remote, r.from, r.to, &why);
    size_t left = left_in(h->s, r);
    h->pushes++;
    if (rc == KF_OK || !problem_is(&why, PROBLEM_REMOTE_REFUSED)) {
        if (rc != KF_OK && err)
            *err = why;
        return rc;
    }
    h->why = why;
    h->s->answered = true;
    if (left > 1)
        halve(h, r);
    return left == 1 ? refused_alone(h, r, err) : KF_OK;
}

/* What was not tried any more is the next run's. */
static void leave_unsettled(struct halving *h)
{
    struct run *run = h->s->run;
    for (size_t i = 0; i < h->count; i++)
        for (size_t k = h->open[i].from; k < h->open[i].to; k++)
            if (!h->s->heads[k].left_out) {
                end_below(h->s, h->s->heads[k].seq);
                run->unsettled++;
            }
    if (!run->unsettled)
        return;
    KF_SOMETIMES("remote-refused-beyond-a-run");
    err_set(&run->unsettled_err, PROBLEM_REMOTE_REFUSED,
            "it refuses more than one run can tell apart, the next run goes on: %s", h->why.detail);
}

static kf_rc withhold_refused(struct halving *h, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < h->alone_count; i++) {
        const struct head *head = &h->s->heads[h->alone[i]];
        struct kf_err why = KF_ERR_INIT;
        KF_SOMETIMES("document-refused-alone");
        err_set(&why, PROBLEM_REMOTE_REFUSED,
                "the remote refuses it (%.400s): change it, or what is not allowed there, and "
                "`keepfast set-aside retry`",
                h->whys[i].detail);
        rc = withhold(h->s, head->name, head->seq, &why, err);
    }
    return rc;
}

static kf_rc push_all(struct snapshot *s, struct remote *remote, struct kf_err *err)
{
    struct halving h = {.s = s, .open = {{0, s->count}}, .count = 1};
    kf_rc rc = KF_OK;
    size_t before = s->run->refused_before;
    before = before < s->refused_kept ? before : s->refused_kept;
    s->run->unsettled = 0;
    s->run->refuses_all = s->run->judged = false;
    h.alone = mem_calloc(REFUSED_PUSHES, sizeof(*h.alone));
    h.whys = mem_calloc(REFUSED_PUSHES, sizeof(*h.whys));
    if (!h.alone || !h.whys)
        rc = err_nomem(err);
    if (rc == KF_OK)
        rc = judge_bodies(s, remote, err);
    while (rc == KF_OK && h.count && h.pushes < REFUSED_PUSHES)
        rc = try_range(&h, remote, h.open[--h.count], err);
    if (rc == KF_OK && h.count == 0)
        rc = refuses_all(&h, before, err);
    if (rc == KF_OK)
        rc = withhold_refused(&h, err);
    if (rc == KF_OK)
        leave_unsettled(&h);
    s->run->judged = rc == KF_OK || s->run->refuses_all;
    s->run->refused_alone = s->run->pushed.docs || s->run->took_before ? 0 : before + h.alone_count;
    mem_free(h.alone);
    mem_free(h.whys);
    return rc;
}

static void unpin(struct remotes *r, struct streams *streams)
{
    docs_unpin(r->docs);
    if (streams)
        streams_unpin(streams);
}

kf_rc run_push(struct run *run, struct remote *remote, int64_t watermark, bool *ret_any,
               struct kf_err *err)
{
    struct snapshot s;
    struct remotes *r = run->entry->remotes;
    struct streams *streams = store_streams(r->store);
    docs_pin(r->docs);
    if (streams)
        streams_pin(streams);
    kf_rc rc = run_local(run, snapshot_take(run, watermark, &s, err));
    if (rc != KF_OK) {
        unpin(r, streams);
        return rc;
    }
    run_note_snapshot(run, s.set.seq);
    rc = push_all(&s, remote, err);
    *ret_any = s.answered;
    unpin(r, streams);
    if (rc == KF_OK) {
        run->aside.pushed = true;
        run->seq = s.set.seq;
    }
    snapshot_release(&s);
    return rc;
}
