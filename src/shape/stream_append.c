/* Appends.
 *
 *     stream_append_new       on the caller's thread: copies, checks key, ids, kinds, sizes, JSON;
 *                             hashes
 *        | stream_append_submit, stream_append_run
 *     apply                   on the leader's thread, in the group:
 *        |   the stream         as the group has left it so far; born when it is not there
 *        |   each entry         its id is taken: the first number, or id_reused
 *        |                      else attachment, entry, statistics, rings
 *        |   the stream         its row; what is beyond keep.last goes
 *     publish                 the window shows it (E4)
 *     done
 *
 * apply may run again for the same append (G3), so it begins by forgetting what it did before.
 *
 * Who owns an append of level memory: as with a document, `done` comes before the commit and
 * `publish` after it, so it has two owners and the second to leave frees it. When it fails in its
 * own apply, no publish follows and `done` leaves for both. What its stream shows meanwhile comes
 * from the store, where who asks waits for the commit. */
#include "shape/stream_internal.h"

#include "base/public.h"

#include <stdio.h>

/* --------------------------------------------------------------------------------------- checks */

/* What is wrong with an entry of several is told by its place. */
static kf_rc at_entry(size_t i, size_t count, kf_rc rc, struct kf_err *err)
{
    if (rc != KF_OK && rc != KF_NOMEM && count > 1)
        err_prefix(err, "entry %zu of %zu", i + 1, count);
    return rc;
}

static kf_rc check_value(const struct streams *streams, str text, const char *what, uint32_t depth,
                         struct kf_err *err)
{
    struct json_limits limits = {.depth_max = depth};
    if (text.len > streams->limit_entry)
        return err_set(err, PROBLEM_TOO_LARGE, "the %s has %zu bytes, limits.entry allows %llu",
                       what, text.len, (unsigned long long)streams->limit_entry);
    return json_check(text, &limits, NULL, err);
}

static kf_rc check_id(str id, struct kf_err *err)
{
    if (id.len > 0 && id.len <= STREAM_ID_MAX && str_utf8_valid(id) == id.len)
        return KF_OK;
    return err_set(err, PROBLEM_BAD_REQUEST, "the id of an entry has 1 to %d bytes of UTF-8",
                   STREAM_ID_MAX);
}

static kf_rc check_kind(const struct config_stream *line, str kind, struct kf_err *err)
{
    struct buf known = BUF_INIT;
    if (kind.len && !config_kind_ok(kind))
        return err_set(err, PROBLEM_KIND_NOT_ALLOWED,
                       "\"%.*s\" cannot be a kind: 1 to %d of a-z, 0-9, _, . and -",
                       STR_SHOWN(kind), STREAM_KIND_MAX);
    if (config_stream_kind(line, kind))
        return KF_OK;
    for (size_t i = 0; i < line->kind_count; i++) {
        buf_c(&known, i ? ", " : "");
        buf_str(&known, line->kinds[i]);
    }
    kf_rc rc = buf_ok(&known, err);
    if (rc == KF_OK && kind.len)
        rc = err_set(err, PROBLEM_KIND_NOT_ALLOWED,
                     "entries of kind \"%.*s\" are not among those of \"%.*s\": %.300s",
                     STR_SHOWN(kind), STR_SHOWN(line->match), known.p);
    else if (rc == KF_OK)
        rc = err_set(err, PROBLEM_KIND_NOT_ALLOWED,
                     "an entry of \"%.*s\" needs a kind, one of: %.300s", STR_SHOWN(line->match),
                     known.p);
    buf_release(&known);
    return rc;
}

bool stream_has_ring(const struct config_stream *line, str kind)
{
    for (size_t i = 0; i < line->ring_count; i++)
        if (str_eq(line->rings[i].kind, kind))
            return true;
    return false;
}

static kf_rc check_entry(const struct streams *streams, const struct config_stream *line,
                         const struct kf_entry_new *e, struct kf_err *err)
{
    str kind = e->kind ? str_of(e->kind) : STR("");
    kf_rc rc = KF_OK;
    if (!e->body || (e->attach_len && !e->attach))
        return err_set(err, PROBLEM_MISUSE,
                       "the body is NULL, or the attachment is and its length "
                       "is not 0");
    if (e->id)
        rc = check_id(str_of(e->id), err);
    if (rc == KF_OK)
        rc = check_kind(line, kind, err);
    if (rc == KF_OK && (e->at_ms < 0 || clock_stamp_ms(CLOCK_STAMP_MAX) < e->at_ms))
        rc = err_set(err, PROBLEM_BAD_REQUEST, "the time of an entry is milliseconds since 1970");
    if (rc == KF_OK)
        rc = check_value(streams, str_make(e->body, e->len), "body",
                         JSON_DEPTH_MAX - (stream_has_ring(line, kind) ? STREAM_RING_DEPTH : 0),
                         err);
    if (rc == KF_OK && e->attach)
        rc = check_value(streams, str_make(e->attach, e->attach_len), "attachment", JSON_DEPTH_MAX,
                         err);
    return rc;
}

/* An element of an array of a program that may have been built with another keepfast.h: `size` of
 * the first is the distance between them. */
static kf_rc take_entry(const struct kf_entry_new *entries, size_t i, struct kf_entry_new *ret,
                        struct kf_err *err)
{
    *ret = (struct kf_entry_new)KF_ENTRY_NEW_INIT;
    return options_take((const char *)entries + i * entries->size, ret, sizeof *ret, err);
}

static kf_rc check_request(const struct streams *streams, str key,
                           const struct kf_entry_new *entries, size_t count, kf_level level,
                           size_t *ret_room, struct kf_err *err)
{
    const struct config_stream *line = config_stream(streams->space, key);
    size_t room = 0;
    if (count == 0 || count > STREAM_ENTRIES_MAX)
        return err_set(err, PROBLEM_BAD_REQUEST, "an append has 1 to %d entries, not %zu",
                       STREAM_ENTRIES_MAX, count);
    if (!entries || entries->size < sizeof entries->size)
        return err_set(err, PROBLEM_MISUSE, "an entry has no size: begin with KF_ENTRY_NEW_INIT");
    kf_level own = store_level(streams->store);
    if (level != KF_LEVEL_DEFAULT && level != KF_LEVEL_MEMORY && level != own)
        return err_set(
            err, PROBLEM_BAD_REQUEST,
            "this store answers at level memory or %s; for remotes, name them to wait for",
            kf_level_name(own));
    for (size_t i = 0; i < count; i++) {
        struct kf_entry_new e;
        kf_rc rc = take_entry(entries, i, &e, err);
        if (rc == KF_OK)
            rc = check_entry(streams, line, &e, err);
        if (rc != KF_OK)
            return at_entry(i, count, rc, err);
        room += str_of(e.id).len + str_of(e.kind).len + e.len + e.attach_len + 4;
    }
    *ret_room = room;
    return KF_OK;
}

/* ----------------------------------------------------------------------------------- the object */

void stream_asked(str kind, int64_t at_ms, const char *hash, const char *attach_hash,
                  char out[HASH_HEX / 2 + 1])
{
    struct hash_state h;
    struct hash asked;
    char hex[HASH_HEX + 1];
    hash_begin(&h);
    hash_add_part(&h, kind);
    hash_add_part(&h, str_make(&at_ms, sizeof at_ms));
    hash_add_part(&h, str_of(hash));
    hash_add_part(&h, str_of(attach_hash));
    hash_end(&h, &asked);
    hash_hex(&asked, hex);
    memcpy(out, hex, HASH_HEX / 2);
    out[HASH_HEX / 2] = 0;
}

void stream_asked_there(str kind, int64_t at_ms, const char *hash, const char *attach_hash,
                        char out[HASH_HEX + 1])
{
    stream_asked(kind, 0, hash, attach_hash, out);
    stream_asked(kind, at_ms, hash, attach_hash, out + HASH_HEX / 2);
}

static void copy_entry(struct stream_new *to, const struct kf_entry_new *e, char **at)
{
    *to = (struct stream_new){.at_ms = e->at_ms};
    to->id = str_put(at, str_of(KF_SABOTAGE("drop-entry-ids") ? NULL : e->id));
    to->kind = str_put(at, str_of(e->kind));
    to->body = str_put(at, str_make(e->body, e->len));
    hash_hex_of(to->body, to->hash);
    if (e->attach) {
        to->attach = str_put(at, str_make(e->attach, e->attach_len));
        hash_hex_of(to->attach, to->attach_hash);
    }
    if (to->id.len)
        stream_asked(to->kind, to->at_ms, to->hash, to->attach_hash, to->asked);
}

static kf_rc apply(struct group *g, struct write *write, struct kf_err *err);
static void publish(struct write *write);

/* One block: the struct, its arrays, and the texts behind them. */
static struct stream_append *append_alloc(struct streams *streams, str key, size_t count,
                                          size_t room)
{
    size_t results = count * sizeof(struct kf_appended),
           entries = count * sizeof(struct stream_new);
    struct stream_append *a = mem_alloc(sizeof *a + results + entries + key.len + 1 + room);
    if (!a)
        return NULL;
    char *at = (char *)(a + 1);
    *a = (struct stream_append){.streams = streams, .count = count};
    atomic_init(&a->refs, 1);
    a->appended = (struct kf_appended *)(void *)at;
    a->entries = (struct stream_new *)(void *)(at + results);
    at += results + entries;
    a->key = str_put(&at, key);
    a->texts = at;
    return a;
}

kf_rc stream_append_new(struct streams *streams, const char *key,
                        const struct kf_entry_new *entries, size_t count, kf_level level,
                        struct stream_append **ret_append, struct kf_err *err)
{
    str k;
    size_t room = 0;
    kf_rc rc = streams_key_own(key, &k, err);
    if (rc == KF_OK)
        rc = check_request(streams, k, entries, count, level, &room, err);
    if (rc != KF_OK)
        return rc;
    struct stream_append *a = append_alloc(streams, k, count, room);
    if (!a)
        return err_nomem(err);
    char *at = a->texts;
    for (size_t i = 0; i < count; i++) {
        struct kf_entry_new e;
        rc = take_entry(entries, i, &e, err);
        assert(rc == KF_OK); /* it was looked at before */
        copy_entry(&a->entries[i], &e, &at);
    }
    a->wanted = level;
    a->hash = memory_hash(&streams->memory, a->key);
    a->line = config_stream(streams->space, a->key);
    a->write.apply = apply;
    a->write.publish = publish;
    a->write.foretell = count <= STREAM_FORETOLD_MAX ? stream_append_foretell : NULL;
    a->write.metered = true;
    *ret_append = a;
    return KF_OK;
}

static void leave(struct stream_append *a)
{
    if (atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1)
        return;
    state_drop(a->after);
    mem_free(a);
}

void stream_append_free(struct stream_append *a)
{
    if (a)
        leave(a);
}

static void on_done(struct write *write)
{
    struct stream_append *a = (struct stream_append *)write;
    bool before_commit = write->early && !a->published;
    a->level = before_commit ? KF_LEVEL_MEMORY : store_level(a->streams->store);
    if (before_commit && write->rc == KF_OK && !KF_SABOTAGE("append-shown-late")) {
        memory_ahead(&a->streams->memory, a->key, a->hash, 1);
        a->told = true;
    }
    if (before_commit && write->rc != KF_OK)
        leave(a); /* for publish, which will not come */
    a->done(a);
}

void stream_append_submit(struct stream_append *a, void (*done)(struct stream_append *a), void *ctx)
{
    a->done = done;
    a->ctx = ctx;
    a->write.done = on_done;
    a->write.early = a->wanted == KF_LEVEL_MEMORY;
    if (a->write.early)
        atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    store_submit(a->streams->store, &a->write);
}

kf_rc stream_append_run(struct stream_append *a, struct kf_err *err)
{
    a->write.early = false;
    kf_rc rc = store_write(a->streams->store, &a->write, err);
    a->level = store_level(a->streams->store);
    return rc;
}

/* --------------------------------------------------------------------------------- in the group */

/* Its id was taken before: *ret is what it got then. */
static kf_rc known_entry(struct group *g, const struct stream_append *a, int64_t stream,
                         const struct stream_new *e, struct kf_appended *ret, struct kf_err *err)
{
    char hash[HASH_HEX + 1];
    uint64_t n = 0;
    kf_rc rc = once_find(group_db(g), stream, e->id, &n, hash, err);
    if (rc == KF_ABSENT)
        return stream_damaged(a->key, 0, err);
    if (rc != KF_OK)
        return rc;
    bool same = strncmp(hash, e->asked, HASH_HEX / 2) == 0 ||
                strcmp(hash + strnlen(hash, HASH_HEX / 2), e->asked) == 0;
    if (!same)
        return err_set(
            err, PROBLEM_ID_REUSED,
            "the id \"%.*s\" belongs to another entry of \"%.*s\": give each entry an id "
            "of its own",
            STR_SHOWN(e->id), STR_SHOWN(a->key));
    *ret = (struct kf_appended){.n = n, .duplicate = true};
    return KF_OK;
}

kf_rc stream_draft_entry(const struct config_stream *line, struct stream_draft *d, str kind,
                         uint64_t n, int64_t at_ms, str body, struct kf_err *err)
{
    kf_rc rc = draft_count(d, kind, body.len, at_ms, STREAM_KINDS_MAX, err);
    if (rc == KF_OK)
        rc = stream_add_rings(line, d, kind, n, at_ms, body, err);
    if (rc == KF_OK)
        d->head.last_n = n;
    return rc;
}

kf_rc stream_add_rings(const struct config_stream *line, struct stream_draft *d, str kind,
                       uint64_t n, int64_t at_ms, str body, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < line->ring_count; i++)
        if (str_eq(line->rings[i].kind, kind))
            rc = draft_ring(d, line->rings[i].name, line->rings[i].last, n, at_ms, body, err);
    return rc;
}

static kf_rc add_entry(struct group *g, struct stream_append *a, struct stream_draft *d,
                       struct stream_new *e, struct kf_err *err)
{
    struct db *db = group_db(g);
    struct entry_record record = {
        .seq = group_seq(g),
        .stream = d->head.id,
        .n = e->n,
        .at_ms = e->at,
        .stamp = group_stamp(g), /* applied again another one: in between somebody else who has this
                                  * store open may have given the first one away */
        .kind = e->kind,
        .id = e->id,
        .site = str_of(group_site(g)),
        .hash = str_of(e->hash),
        .body = e->body,
        .attach = str_of(e->attach_hash),
    };
    kf_rc rc = e->attach.p ? attachment_insert(db, record.attach, e->attach, err) : KF_OK;
    if (rc == KF_OK)
        rc = entry_insert(db, &record, err);
    return rc == KF_OK ? stream_draft_entry(a->line, d, e->kind, e->n, e->at, e->body, err) : rc;
}

static kf_rc take_one(struct group *g, struct stream_append *a, struct stream_draft *d, size_t i,
                      struct kf_err *err)
{
    struct stream_new *e = &a->entries[i];
    bool is_new = true;
    kf_rc rc = KF_OK;
    e->n = d->head.last_n + 1;
    e->at = e->at_ms ? e->at_ms : group_now_ms(g);
    if (e->id.len)
        rc = once_take(a->streams, group_db(g), d->head.id, e->id, e->n, str_of(e->asked),
                       group_now_ms(g), &is_new, err);
    if (rc == KF_OK && !is_new)
        return known_entry(g, a, d->head.id, e, &a->appended[i], err);
    if (rc == KF_OK)
        rc = add_entry(g, a, d, e, err);
    if (rc == KF_OK) {
        e->is_new = true;
        a->added++;
        a->appended[i] = (struct kf_appended){.n = e->n};
    }
    return rc;
}

void stream_append_anew(struct stream_append *a)
{
    state_drop(a->after);
    a->after = NULL;
    a->added = 0;
    for (size_t i = 0; i < a->count; i++)
        a->entries[i].is_new = false;
}

static kf_rc apply_to(struct group *g, struct stream_append *a, const struct stream_state *before,
                      struct stream_draft *d, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    if (!before->head.there) {
        draft_be_born(d, g, a->born);
        a->born = d->head.born;
    }
    for (size_t i = 0; rc == KF_OK && i < a->count; i++)
        rc = at_entry(i, a->count, take_one(g, a, d, i, err), err);
    if (rc == KF_OK && a->added)
        rc = stream_trim(a->streams, g, a->line, a->added, d, err);
    if (rc == KF_OK && a->added)
        rc = stream_write_state(a->streams, g, a->hash, before, d, &a->after, err);
    if (rc == KF_OK && a->added)
        rc = streams_index_append(a->streams, g, a, err);
    if (rc == KF_OK)
        a->stream_count = d->head.count;
    return rc;
}

static kf_rc apply(struct group *g, struct write *write, struct kf_err *err)
{
    struct stream_append *a = (struct stream_append *)write;
    struct stream_state *before = NULL;
    struct stream_draft d;
    stream_append_anew(a);
    kf_rc rc = stage_get(a->streams, g, a->key, a->hash, &before, err);
    if (rc != KF_OK)
        return rc;
    state_keep(before); /* a place on the stage is not for long */
    rc = draft_begin(&d, before, err);
    a->rev_before = d.head.rev;
    if (rc == KF_OK)
        rc = apply_to(g, a, before, &d, err);
    draft_release(&d);
    state_drop(before);
    return rc;
}

static void publish(struct write *write)
{
    struct stream_append *a = (struct stream_append *)write;
    struct stream_memory *m = &a->streams->memory;
    if (write->rc == KF_OK) {
        atomic_fetch_add_explicit(&a->streams->appended, a->added, memory_order_relaxed);
        atomic_fetch_add_explicit(&a->streams->duplicates, a->count - a->added,
                                  memory_order_relaxed);
    }
    if (a->after && write->rc == KF_OK && !KF_SABOTAGE("append-not-published"))
        memory_publish(m, a->hash, a->after, a->rev_before, a->entries, a->count, a->line->window);
    a->published = true;
    if (a->told)
        memory_ahead(m, a->key, a->hash, -1);
    if (a->after && write->rc == KF_OK)
        streams_tell(a->streams, a->key);
    if (write->early)
        leave(a);
}
