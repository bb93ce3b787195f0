/* What is left of erased streams: nobody sees it any more, and it is removed in slices.
 *
 *     kf_erasing    a note for the entries of each such stream, and one for its twins
 *     a slice       entries with their words, attachments that nothing else names, ids; then what
 *                   was noted of its trimmed entries, and the note
 *
 * They go in the order of their notes. One that is damaged is removed part by part, each committed,
 * as far as it goes: its ids may be damaged and its entries not. Then it is passed over and keeps
 * its note; what the same slice had removed before it is removed again, by a slice that ends in
 * front of it:
 *
 *     after ... streams that are done ... until ... the next ones
 *     ------>                             X
 *     passed over, or done before         it could not be removed
 *
 * What is deleted here is overwritten in its pages; the log forgets it with the checkpoints that
 * follow. */
#include "shape/stream_internal.h"

struct rest {
    struct write write; /* first */
    struct streams *streams;
    struct store_turns turns;
    int64_t after, until; /* streams between them are looked for */
    int64_t by_parts;     /* the one of which each part is committed, 0 = none */
    /* of the slice */
    int64_t at, receipt; /* the stream that it is at, 0 = none yet; of which erasure */
    bool more;
};

kf_rc rest_note(struct db *db, int64_t stream, int64_t receipt, struct kf_err *err)
{
    static const char sql[] = "INSERT INTO kf_erasing(stream, receipt) VALUES($1, $2)";
    struct db_stmt *s;
    kf_rc rc = KF_OK;
    for (int twins = 0; rc == KF_OK && twins < 2; twins++) {
        rc = db_use(db, sql, &s, err);
        if (rc != KF_OK)
            return rc;
        db_bind_i64(s, 1, twins ? -stream : stream);
        db_bind_i64(s, 2, receipt);
        rc = db_run(s, err);
    }
    return rc;
}

/* Into r->at and r->receipt. KF_ABSENT without a sentence: there is none. */
static kf_rc next_rest(struct db *db, struct rest *r, struct kf_err *err)
{
    static const char sql[] = "SELECT stream, receipt FROM kf_erasing WHERE stream > $1 AND stream "
                              "< $2 ORDER BY stream LIMIT 1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, r->after);
    db_bind_i64(s, 2, r->until);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row) {
        r->at = db_i64(s, 0);
        r->receipt = db_i64(s, 1);
    }
    db_done(s);
    return rc == KF_OK && !row ? KF_ABSENT : rc;
}

static kf_rc remove_entries(struct db *db, const struct rest *r, const struct entries_going *going,
                            struct kf_err *err)
{
    uint64_t attachments = 0;
    kf_rc rc = entries_unindex(r->streams, db, going, err);
    for (size_t i = 0; rc == KF_OK && i < going->count; i++)
        rc = entry_delete(db, going->items[i].seq, err);
    for (size_t i = 0; rc == KF_OK && i < going->count; i++) {
        bool gone = false;
        if (going->items[i].attach.len)
            rc = attachment_delete(db, going->items[i].attach, &gone, err);
        attachments += gone;
    }
    return rc == KF_OK && attachments ? receipt_count(db, r->receipt, 0, 0, attachments, 0, err)
                                      : rc;
}

static kf_rc end_rest(struct db *db, int64_t stream, struct kf_err *err)
{
    static const char trimmed[] = "DELETE FROM kf_trimmed WHERE stream = $1",
                      note[] = "DELETE FROM kf_erasing WHERE stream = $1";
    kf_rc rc = stream_run(db, trimmed, stream, err);
    return rc == KF_OK ? stream_run(db, note, stream, err) : rc;
}

/* A part of what is left of one stream: entries, then ids, then the note. KF_ABSENT: nothing is. */
static kf_rc remove_part(struct db *db, struct rest *r, struct kf_err *err)
{
    struct entries_going going = {.arena = ARENA_INIT};
    bool any = false;
    kf_rc rc = next_rest(db, r, err);
    if (rc != KF_OK)
        return rc;
    rc = entries_oldest(db, r->at, INT64_MAX, STREAM_GOING_MAX, &going, err);
    if (rc == KF_OK && going.count && !KF_SABOTAGE("erase-leaves-entries")) {
        rc = remove_entries(db, r, &going, err);
    } else if (rc == KF_OK) {
        rc = once_remove_some(db, r->at, &any, err);
        if (rc == KF_OK && !any)
            rc = end_rest(db, r->at, err);
    }
    arena_release(&going.arena);
    return rc;
}

static kf_rc apply_rest(struct group *g, struct write *write, struct kf_err *err)
{
    struct rest *r = (struct rest *)write;
    struct db *db = group_db(g);
    r->at = r->receipt = 0;
    store_turn_limit(&r->turns, g);
    kf_rc rc = group_scrub(g, true, err);
    if (rc == KF_OK)
        do
            rc = remove_part(db, r, err);
        while (rc == KF_OK && r->at != r->by_parts && !group_slice_over(g));
    r->more = rc == KF_OK;
    rc = rc == KF_ABSENT ? KF_OK : rc;
    kf_rc off = group_scrub(g, false, rc == KF_OK ? err : NULL);
    return rc == KF_OK ? off : rc;
}

/* What could not be removed was of `receipt`, or whosever (0) is asked for: it is told behind the
 * end, the first one. */
static void tell_left(const struct rest *r, int64_t receipt, const struct kf_err *why,
                      struct kf_err *first)
{
    if (receipt && receipt != r->receipt)
        return;
    log_event(store_log(r->streams->store), LOG_CRIT, "store.damage", LOG_I("erased", r->at),
              LOG_S("detail", why->detail), LOG_END);
    if (first->rc != KF_OK)
        return;
    *first = *why;
    err_prefix(first, "what is erased is not seen any more, but it could not be removed");
}

static kf_rc rest_remove(struct streams *streams, int64_t receipt, struct kf_err *err)
{
    struct rest r = {.write = {.apply = apply_rest, .frees = true},
                     .streams = streams,
                     .turns = store_turns(streams->store, receipt == 0),
                     .after = INT64_MIN,
                     .until = INT64_MAX};
    struct kf_err first = KF_ERR_INIT, why = KF_ERR_INIT;
    do {
        bool index_is_whole = !stream_index_is_damaged(&streams->index);
        store_turn_begin(&r.turns);
        kf_rc rc = store_write(streams->store, &r.write, &why);
        if (rc == KF_OK && !r.more && r.until < INT64_MAX) {
            r.after = r.until; /* it is passed over */
            r.until = INT64_MAX;
            r.more = true;
        } else if (rc == KF_DAMAGED && index_is_whole && stream_index_is_damaged(&streams->index)) {
            r.more = true; /* now without it: it is begun anew behind this */
        } else if (rc == KF_DAMAGED && r.at && r.at != r.by_parts) {
            r.by_parts = r.at;
            r.more = true;
        } else if (rc == KF_DAMAGED && r.at) {
            KF_SOMETIMES("erasure-passes-a-damaged-rest");
            tell_left(&r, receipt, &why, &first);
            r.until = r.at;
            r.more = true;
        } else if (rc != KF_OK) {
            if (err)
                *err = why;
            return rc;
        }
        if (r.more && (rc = store_turn_end(&r.turns, err)) != KF_OK)
            return rc;
    } while (r.more);
    if (first.rc != KF_OK && err)
        *err = first;
    return first.rc;
}

kf_rc streams_erase_rest(struct streams *streams, int64_t receipt, struct kf_err *err)
{
    kf_rc rc = rest_remove(streams, receipt, err);
    kf_rc purged = rc == KF_OK || rc == KF_DAMAGED
                       ? streams_index_purge(streams, rc == KF_OK ? err : NULL)
                       : KF_OK;
    return rc == KF_OK ? purged : rc;
}
