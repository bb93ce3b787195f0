/* What others know of a stream, joined with what is here (stream.h says to what): the frame,
 * attributes, and what the stream is afterwards. stream_take_entry.c has entries and their twins,
 * stream_take_erase.c erasures.
 *
 *     begin -> entry | member | erasure, in any order -> end
 *
 * Entries and members are written as they come. Erasures are gathered; the end decides between
 * three ways:
 *
 *     nothing of the key is left   the stream ends, as if it had been erased here   (end_bare)
 *     something is                 what they cover is erased, a part in each group  (end_there)
 *     it was and is not here       they are noted, for what may come yet            (end_bare) */
#include "shape/stream_take.h"

#include "store/clock.h"

/* ------------------------------------------------------------------------------------ the frame */

kf_rc stream_take_begin(struct group *g, struct streams *streams, str key,
                        struct stream_take **ret_take, struct kf_err *err)
{
    kf_rc rc = name_check_own(key, err);
    if (rc != KF_OK)
        return rc;
    struct stream_take *t = mem_calloc(1, sizeof *t);
    if (!t)
        return err_nomem(err);
    t->g = g;
    t->streams = streams;
    t->line = config_stream(streams->space, key);
    t->key = arena_str(&t->arena, key);
    t->hash = memory_hash(&streams->memory, key);
    rc = t->key.p ? stage_get(streams, g, t->key, t->hash, &t->before, err) : err_nomem(err);
    if (rc != KF_OK) {
        t->before = NULL;
        stream_take_drop(t);
        return rc;
    }
    state_keep(t->before);
    rc = draft_begin(&t->d, t->before, err);
    if (rc == KF_OK)
        *ret_take = t;
    else
        stream_take_drop(t);
    return rc;
}

void stream_take_drop(struct stream_take *t)
{
    if (!t)
        return;
    draft_release(&t->d);
    state_drop(t->before);
    buf_release(&t->attrs);
    arena_release(&t->arena);
    mem_free(t);
}

int64_t take_seq(struct stream_take *t)
{
    if (!t->seq)
        t->seq = group_seq(t->g);
    return t->seq;
}

void take_be_there(struct stream_take *t)
{
    if (!t->d.head.there)
        draft_be_born(&t->d, t->g, 0);
}

/* -------------------------------------------------------------------------------------- members */

struct found_member {
    struct member_row row;
    bool there;
};

static kf_rc find_member(struct stream_take *t, str name, struct found_member *ret,
                         struct kf_err *err)
{
    static const char sql[] =
        "SELECT stamp, site, value FROM kf_stream_member WHERE key = $1 AND name = $2";
    struct db_stmt *s;
    kf_rc rc = db_use(group_db(t->g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, t->key);
    db_bind_text(s, 2, name);
    rc = db_step(s, &ret->there, err);
    if (rc == KF_OK && ret->there) {
        ret->row.stamp = db_i64(s, 0);
        ret->row.site = arena_str(&t->arena, db_text(s, 1));
        if (!db_null(s, 2) && !(ret->row.value = arena_str(&t->arena, db_text(s, 2))).p)
            rc = err_nomem(err);
        if (!ret->row.site.p)
            rc = err_nomem(err);
    }
    db_done(s);
    return rc;
}

static int compare_members(const struct member_row *a, const struct member_row *b)
{
    if (a->stamp != b->stamp)
        return a->stamp < b->stamp ? -1 : 1;
    int site = str_cmp(a->site, b->site);
    if (site)
        return site;
    if (!a->value.p || !b->value.p)
        return (a->value.p != NULL) - (b->value.p != NULL);
    return str_cmp(a->value, b->value);
}

kf_rc stream_take_member(struct stream_take *t, const struct member_row *m, enum stream_taken *ret,
                         struct kf_err *err)
{
    /* within the object that the members make it stands one level deeper */
    const struct json_limits limits = {.depth_max = JSON_DEPTH_MAX - 1};
    struct found_member found = {.there = false};
    kf_rc rc = member_check(m->name, err);
    if (rc != KF_OK)
        return rc;
    if (!str_is_hex(m->site, STREAM_SITE_LEN) || m->stamp <= 0 || m->stamp > CLOCK_STAMP_MAX)
        return err_set(err, PROBLEM_BAD_ARCHIVE,
                       "the site or stamp of an attribute is not possible");
    if (m->value.p)
        rc = json_check(m->value, &limits, NULL, err);
    if (rc == KF_OK)
        rc = find_member(t, m->name, &found, err);
    if (rc != KF_OK)
        return rc;
    int order = found.there ? compare_members(m, &found.row) : 1;
    *ret = order > 0 ? STREAM_TAKEN : order < 0 ? STREAM_LOST : STREAM_SAME;
    if (order <= 0)
        return KF_OK;
    t->members = true;
    return member_put(group_db(t->g), t->key, m, err);
}

/* -------------------------------------------------------------------------------------- the end */

/* Nothing of the key is here any more, or still not. */
static kf_rc end_bare(struct stream_take *t, struct kf_err *err)
{
    const struct stream_head *head = &t->before->head;
    struct stream_draft d = {
        .key = t->key, .rings = STR(""), .attrs = STR(""), .head = {.erased_seq = take_seq(t)}};
    struct stream_state *bare = NULL;
    struct db *db = group_db(t->g);
    kf_rc rc = erased_mark(db, t->key, t->seq, err);
    if (rc == KF_OK)
        rc = group_journal(t->g, t->seq, head->there ? head->seq : head->erased_seq, STREAM_TABLE,
                           t->key, group_stamp(t->g), str_of(group_site(t->g)), err);
    if (rc == KF_OK && head->there)
        return stream_end(t->streams, t->g, t->hash, t->before, t->seq, 0, err);
    if (rc == KF_OK)
        rc = draft_end(&d, &bare, err);
    if (rc == KF_OK)
        rc = stage_put(t->streams, t->g, t->hash, bare, err);
    state_drop(bare);
    return rc;
}

static kf_rc end_there(struct stream_take *t, struct kf_err *err)
{
    struct stream_state *after = NULL;
    struct stream_draft *d = &t->d;
    bool born = !t->before->head.there;
    kf_rc rc = KF_OK;
    take_be_there(t);
    if (t->members) {
        d->attrs = buf_view(&t->attrs);
        rc = attrs_index(group_db(t->g), t->key, d->head.id,
                         born ? STR("{}") : state_attrs(t->before), d->attrs, err);
    }
    if ((t->members || t->erasures) && !born)
        d->head.seq = take_seq(t);
    d->attrs_changed = t->members || t->erasures;
    if (rc == KF_OK)
        rc = stream_write_state(t->streams, t->g, t->hash, t->before, d, &after, err);
    state_drop(after);
    return rc;
}

/* Whether nothing is left of the key, or nothing has come of it but what says so. What `keep` has
 * emptied is no such stream: it has its numbers, ids and what it knows of trimmed entries. */
static kf_rc is_bare(struct stream_take *t, bool *ret, struct kf_err *err)
{
    bool left = true;
    kf_rc rc = members_object(group_db(t->g), t->key, &t->attrs, err);
    *ret = false;
    if (rc != KF_OK || t->attrs.len > 2)
        return rc;
    if (!t->d.head.there)
        left = false;
    else if (t->erasures && t->before->head.there)
        rc = take_any_left(t, &left, err);
    *ret = !left;
    return rc;
}

static kf_rc take_end(struct stream_take *t, bool *ret_more, struct kf_err *err)
{
    bool bare = false;
    kf_rc rc = t->members || t->erasures ? is_bare(t, &bare, err) : KF_OK;
    if (rc == KF_OK && (bare || !t->d.head.there))
        rc = take_put_erasures(t, err);
    if (rc == KF_OK && bare)
        return end_bare(t, err);
    if (rc == KF_OK && t->erasures && t->d.head.there) {
        KF_SOMETIMES("stream-erased-in-part");
        rc = take_erase_part(t, ret_more, err);
    }
    if (rc == KF_OK && t->hidden)
        rc = stream_row_times(group_db(t->g), t->d.head.id, &t->d.head.first_at, &t->d.head.last_at,
                              err);
    return rc == KF_OK ? end_there(t, err) : rc;
}

kf_rc stream_take_end(struct stream_take *t, bool *ret_changed, bool *ret_more, struct kf_err *err)
{
    bool changed = t->entries || t->members || t->erasures, more = false;
    kf_rc rc = changed && t->erasures ? group_scrub(t->g, true, err) : KF_OK;
    if (rc == KF_OK && changed)
        rc = take_end(t, &more, err);
    if (t->erasures) {
        kf_rc off = group_scrub(t->g, false, rc == KF_OK ? err : NULL);
        rc = rc == KF_OK ? off : rc;
    }
    if (rc == KF_OK) {
        *ret_changed = changed;
        *ret_more = more;
    }
    stream_take_drop(t);
    return rc;
}
