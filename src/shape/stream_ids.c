/* Whether a client id is new, mostly without a look into the database: those that are there have
 * their hashes in a Bloom filter.
 *
 *         an id is asked for          every row was read
 *      none ------------> filling ------------------------> known
 *       ^                   | | ^                            | ^
 *       | another database  | | | up to 4 times the room     | | it is known: in the other's place
 *       +-------------------+-|-|----------------------------+ |
 *       |                     | +- more ids than room          v
 *       +---- a minute later -+                              known, one of up to 4 times the room
 *                             it failed                      is filled beside it; when that fails,
 *                                                            again a minute later
 *
 * While it fills, a part of both tables with each group, the database is asked, and when the filter
 * confirms. It has to have every id that is in the database or on the way there:
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

/* Room for 11 million ids at most, and for more than half of them before no larger one is begun.
 * Beyond its room more and more is looked for, of what is new: half at four times as many. */
#define BYTES_MAX ((size_t)16 << 20)
#define ROOM_MIN  ((uint64_t)1 << 17)
#define ROOM_MOST ((uint64_t)BYTES_MAX * 8 / BLOOM_BITS)
/* With what a store is begun, whatever numbers it has given. */
#define ROOM_FIRST ((uint64_t)1 << 20)
/* Rows that are read with each group while it fills: whoever is in it waits for them. */
#define FILL_ROWS 512
#define OFF_MS    60000

static void drop_next(struct stream_ids *ids)
{
    bloom_release(&ids->next);
    buf_release(&ids->id);
    ids->read_new = false;
    ids->stream = 0;
}

void ids_release(struct stream_ids *ids)
{
    drop_next(ids);
    bloom_release(&ids->known);
    *ids = (struct stream_ids){.content = ids->content, .rows = ids->rows};
}

/* What a filter confirms is there, or makes no difference. */
static bool add(struct bloom *bloom, uint64_t hash)
{
    if (!bloom->words || bloom_may_have(bloom, hash))
        return false;
    bloom_add(bloom, hash);
    return true;
}

void ids_add(struct stream_ids *ids, uint64_t hash)
{
    bool is_new = add(&ids->known, hash);
    if (ids->next.words)
        is_new = add(&ids->next, hash);
    ids->count += is_new;
}

static kf_rc begin(struct streams *streams, int64_t committed, struct kf_err *err)
{
    struct stream_ids *ids = &streams->ids;
    uint64_t there = (uint64_t)committed + (uint64_t)committed / 2;
    if (!ids->room)
        ids->room = there < ROOM_MIN ? ROOM_MIN : there > ROOM_FIRST ? ROOM_FIRST : there;
    kf_rc rc = bloom_init(&ids->next, ids->room, BYTES_MAX, err);
    ids->count = 0;
    if (rc == KF_OK && !KF_SABOTAGE("noted-ids-not-added"))
        foretold_each(&streams->foretold, ids);
    return rc;
}

static void take_next(struct stream_ids *ids)
{
    KF_SOMETIMES("ids-known");
    bloom_release(&ids->known);
    ids->known = ids->next;
    ids->known_room = ids->room;
    ids->next = (struct bloom){0};
    drop_next(ids);
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
        if (!KF_SABOTAGE("read-ids-not-added"))
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
        bool all = ids->read_new;
        ids->read_new = true;
        ids->stream = 0;
        buf_clear(&ids->id);
        if (all)
            take_next(ids);
    }
    return rc;
}

static void give_up(struct streams *streams, int64_t now_ms, const struct kf_err *why)
{
    struct stream_ids *ids = &streams->ids;
    KF_SOMETIMES("ids-not-known");
    log_event(store_log(streams->store), LOG_WARN, "ids.off", LOG_S("reason", why->detail),
              LOG_END);
    drop_next(ids);
    if (ids->known.words) { /* which goes on, and is still to be followed by a larger one */
        ids->room = ids->known_room;
        ids->count = ids->room + 1;
    }
    ids->off = true;
    ids->off_ms = now_ms;
}

/* Whether it failed a short while ago; a clock that was put back ends that, too. */
static bool is_off(struct stream_ids *ids, int64_t now_ms)
{
    if (ids->off && (now_ms < ids->off_ms || now_ms - ids->off_ms > OFF_MS))
        ids->off = false;
    return ids->off;
}

/* Whether another is to be filled: there is none, or the one that is or was has too little room. */
static bool is_wanted(struct stream_ids *ids)
{
    bool begun = ids->next.words || ids->known.words;
    if (begun && (ids->count <= ids->room || ids->room > ROOM_MOST / 2))
        return false;
    if (begun)
        ids->room = 4 * ids->room < ROOM_MOST ? 4 * ids->room : ROOM_MOST;
    drop_next(ids);
    return true;
}

/* Once for each group. */
static void go_on(struct streams *streams, struct group *g)
{
    struct stream_ids *ids = &streams->ids;
    struct kf_err err = KF_ERR_INIT;
    struct db *db;
    if (ids->content != group_content(g)) {
        ids_release(ids);
        ids->content = group_content(g);
    }
    if (is_off(ids, group_now_ms(g)))
        return;
    kf_rc rc = is_wanted(ids) ? begin(streams, group_committed(g), &err) : KF_OK;
    if (rc == KF_OK && !ids->next.words)
        return;
    if (rc == KF_OK)
        rc = group_look(g, &db, &err);
    if (rc == KF_OK)
        rc = fill_some(streams, db, &err);
    if (rc != KF_OK && rc != KF_BUSY)
        give_up(streams, group_now_ms(g), &err);
}

bool ids_may_have(struct streams *streams, struct group *g, uint64_t hash)
{
    struct stream_ids *ids = &streams->ids;
    bool whole;
    uint64_t turn = group_turn(g, &whole);
    if (turn != ids->turn || ids->content != group_content(g))
        go_on(streams, g);
    ids->turn = turn;
    return !ids->known.words || bloom_may_have(&ids->known, hash);
}
