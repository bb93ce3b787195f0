/* Whether a client id is new, mostly without a look into the database: those that are there have
 * their hashes in a Bloom filter.
 *
 *             an append              every row was read
 *      none ------------> filling ------------------------> known ---+
 *       ^ ^                  |                                |      | an id comes:
 *       | +------------------+   another database,            |      | it is added
 *       +-------------------------- more ids than room <------+ <----+
 *
 * While it fills, a part of both tables with each append, the database is asked, and when the
 * filter confirms. It has to have every id that is in the database or on the way there:
 *
 *      told, not placed yet    added when filling begins, out of what was noted (stream_foretell.c)
 *      told from then on       when they are noted
 *      taken by a group        by once_take
 *      there before            read: kf_entry_once_new first, for ids move from there to the other
 *
 * What is removed, or was told and failed, stays in it, and costs a look.
 *
 * Belongs to the leader. */
#include "shape/stream_internal.h"

/* For 11 million ids; with more of them it confirms more often. */
#define BYTES_MAX ((size_t)16 << 20)
#define ROOM_MIN  131072
/* Rows that are read with each append while it fills. */
#define FILL_ROWS 64

static void forget(struct stream_ids *ids)
{
    bloom_release(&ids->bloom);
    buf_release(&ids->id);
    *ids = (struct stream_ids){.rows = ids->rows};
}

void ids_release(struct stream_ids *ids)
{
    forget(ids);
}

void ids_add(struct stream_ids *ids, uint64_t hash)
{
    if (!ids->bloom.words || KF_SABOTAGE("id-not-added"))
        return;
    bloom_add(&ids->bloom, hash);
    ids->count++;
}

bool ids_may_have(const struct stream_ids *ids, uint64_t hash)
{
    return !ids->known || bloom_may_have(&ids->bloom, hash);
}

static kf_rc begin(struct streams *streams, int64_t committed, struct kf_err *err)
{
    struct stream_ids *ids = &streams->ids;
    uint64_t there = (uint64_t)committed;
    ids->room = there + there / 2 + ROOM_MIN;
    kf_rc rc = bloom_init(&ids->bloom, ids->room, BYTES_MAX, err);
    if (rc == KF_OK)
        foretold_each(&streams->foretold, ids);
    return rc;
}

/* A part of one table. */
static kf_rc fill_some(struct streams *streams, struct db *db, struct kf_err *err)
{
    static const char from_new[] = "SELECT stream, id FROM kf_entry_once_new WHERE (stream, id) > "
                                   "($1, $2) ORDER BY stream, id LIMIT $3",
                      from_all[] = "SELECT stream, id FROM kf_entry_once WHERE (stream, id) > "
                                   "($1, $2) ORDER BY stream, id LIMIT $3";
    struct stream_ids *ids = &streams->ids;
    size_t rows = 0, limit = ids->rows ? ids->rows : FILL_ROWS;
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, ids->read_new ? from_all : from_new, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, ids->stream);
    db_bind_text(s, 2, buf_view(&ids->id));
    db_bind_i64(s, 3, (int64_t)limit);
    while (rc == KF_OK && (rc = db_step(s, &row, err)) == KF_OK && row) {
        int64_t stream = db_i64(s, 0);
        str id = db_text(s, 1);
        ids_add(ids, stream_id_hash(streams, stream, id));
        if (++rows < limit)
            continue;
        ids->stream = stream;
        buf_clear(&ids->id);
        buf_str(&ids->id, id);
        rc = buf_ok(&ids->id, err);
    }
    db_done(s);
    if (rc == KF_OK && rows < limit) {
        ids->known = ids->read_new;
        ids->read_new = true;
        ids->stream = 0;
        buf_clear(&ids->id);
    }
    return rc;
}

void ids_see(struct streams *streams, struct group *g)
{
    struct stream_ids *ids = &streams->ids;
    struct kf_err err = KF_ERR_INIT;
    struct db *db;
    if (ids->content != group_content(g) ||
        (ids->count > ids->room && ids->bloom.blocks * 64 < BYTES_MAX)) {
        forget(ids);
        ids->content = group_content(g);
    }
    if (ids->known || ids->off)
        return;
    kf_rc rc = ids->bloom.words ? KF_OK : begin(streams, group_committed(g), &err);
    if (rc == KF_OK)
        rc = group_look(g, &db, &err);
    if (rc == KF_OK)
        rc = fill_some(streams, db, &err);
    if (rc == KF_OK && ids->known)
        KF_SOMETIMES("ids-known");
    if (rc == KF_OK || rc == KF_BUSY)
        return;
    KF_SOMETIMES("ids-not-known");
    bloom_release(&ids->bloom);
    ids->off = true;
}
