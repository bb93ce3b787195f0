/* What was told and is in the redo file alone: after a crash, or because a transaction over it
 * failed (store_place.c, `lost`). The leader reads it from there, as owner, before anything else.
 *
 *      record  --whole, and goes on where the database is-->  part by part, each under a savepoint
 *         |                                                        |               |
 *         | damaged, or of another time                            | comes out     | does not
 *         v                                                        v               v
 *      the rest of the file is left out                         placed          left out
 *
 * A part comes out as it was told, or fails. Where another try may help (memory, a full disk, a
 * foreign writer) nothing is committed and all of it is tried again with the next group. Otherwise
 * the part is left out (for damage of a page the run begins anew without it: SQLite commits nothing
 * that has met any): its number is taken, the others are placed, the file is set aside for
 * whoever wants to look, and nothing more is told ahead until the store is opened again: what this
 * database cannot take is to be refused. The key of the file goes with the same COMMIT, so that a
 * crash behind it finds a file that is not the database's, which is set aside as well. */
#include "store/store_queue.h"

#include "store/redo.h"

#include <assert.h>
#include <poll.h>

#define BAD_MAX 16

/* What met damage of a page: the parts of one thing (struct store_placing, `of`) from a number of
 * the store on. */
struct bad {
    uint64_t of;
    int64_t from;
    bool no_pass; /* nor can their numbers be passed */
};

/* Runs over the file, of which the last one is committed. SQLite takes and commits nothing more in
 * a transaction that has met damage of a page, whatever is rolled back to: then another run leaves
 * out what has met it, and what came behind for the same stream. Cost: a run for each such stream,
 * two where even its number is damaged. When that are too many, all is left out that comes behind:
 * then the database is to be restored, and not tried for hours. */
struct replay {
    struct kf_store *store;
    struct bad bad[BAD_MAX];
    size_t count;
    int64_t stop_at;  /* from this number on nothing is tried */
    int64_t left_out; /* parts, of the last run */
    bool failed;      /* it is to be done another time */
    bool anew;        /* in another run */
};

static struct bad *find_bad(struct replay *r, uint64_t of)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->bad[i].of == of)
            return &r->bad[i];
    return NULL;
}

static bool met_damage(const struct kf_store *s)
{
    return db_trouble(s->db) == DB_TROUBLE_CORRUPT;
}

/* A part has met damage, while it was placed or its number was passed. */
static kf_rc run_anew(struct replay *r, uint64_t of, int64_t number, bool passing)
{
    struct bad *known = find_bad(r, of);
    KF_SOMETIMES("redo-applied-around-damage");
    if (!known && r->count == BAD_MAX) {
        r->stop_at = number;
    } else {
        if (!known) {
            known = &r->bad[r->count++];
            *known = (struct bad){of, number, false};
        }
        known->no_pass = known->no_pass || passing;
        known->from = number < known->from ? number : known->from;
    }
    r->anew = true;
    return KF_DAMAGED;
}

/* ------------------------------------------------------------------------------------- left out */

static void leave_out(struct kf_store *s, const struct kf_err *why)
{
    KF_SOMETIMES("foretold-left-out");
    log_event(s->options.log, LOG_CRIT, "redo.damage", LOG_S("path", s->redo_path),
              LOG_I("number", s->placing.seq), LOG_S("reason", why->detail), LOG_END);
    s->placing.keep_file = true;
}

/* Of what is left out memory may have told the number already. */
static kf_rc pass(struct kf_store *s, const struct redo_record *record, str part,
                  struct kf_err *err)
{
    struct placing *p = &s->placing;
    struct group g = place_group(s, record);
    if (!p->by->pass)
        return KF_OK;
    kf_rc rc = db_savepoint(s->db, err);
    if (rc != KF_OK)
        return rc;
    rc = p->by->pass(p->ctx, &g, part, err);
    return rc == KF_OK ? db_release(s->db, err) : db_back(s->db, err);
}

/* --------------------------------------------------------------------------------- part by part */

/* Whether it may come out another time. */
static bool is_passing(const struct kf_store *s, kf_rc rc)
{
    enum db_trouble trouble = db_trouble(s->db);
    return rc == KF_NOMEM || (trouble != DB_FINE && trouble != DB_TROUBLE_CORRUPT);
}

/* Its number is taken. */
static kf_rc pass_bad(struct replay *r, const struct redo_record *record, str part, uint64_t of,
                      int64_t number, struct kf_err *err)
{
    struct kf_store *s = r->store;
    r->left_out++;
    s->placing.by->drop(s->placing.ctx);
    kf_rc rc = pass(s, record, part, err);
    return met_damage(s) ? run_anew(r, of, number, true) : rc;
}

static kf_rc skip(struct replay *r, const struct redo_record *record, str part,
                  const struct bad *bad, struct kf_err *err)
{
    struct placing *p = &r->store->placing;
    int64_t number = p->seq++;
    p->writes++;
    r->left_out += bad->no_pass;
    return bad->no_pass ? KF_OK : pass_bad(r, record, part, bad->of, number, err);
}

static kf_rc again_part(struct replay *r, const struct redo_record *record, str part,
                        struct kf_err *err)
{
    struct kf_store *s = r->store;
    struct placing *p = &s->placing;
    int64_t number = p->seq;
    uint64_t of = p->by->of ? p->by->of(part) : 0;
    const struct bad *bad = find_bad(r, of);
    db_trouble_clear(s->db);
    if (number >= r->stop_at)
        return skip(r, record, part, &(struct bad){.no_pass = true}, err);
    if (bad && number >= bad->from)
        return skip(r, record, part, bad, err);
    kf_rc rc = db_savepoint(s->db, err);
    if (rc != KF_OK)
        return rc;
    rc = place_part(s, record, part, err);
    if (rc == KF_OK)
        rc = p->by->end(p->ctx, s->db, err);
    if (rc == KF_OK)
        return db_release(s->db, err);
    if (is_passing(s, rc))
        return rc;
    struct kf_err why = *err;
    p->by->drop(p->ctx);
    bool damage = met_damage(s);
    kf_rc back = db_back(s->db, err);
    if (back != KF_OK && !damage)
        return back;
    leave_out(s, &why);
    if (damage)
        return run_anew(r, of, number, false);
    err_clear(err);
    db_trouble_clear(s->db);
    return pass_bad(r, record, part, of, number, err);
}

static kf_rc again(void *ctx, const struct redo_record *record, struct kf_err *err)
{
    struct replay *r = ctx;
    struct kf_store *s = r->store;
    struct placing *p = &s->placing;
    str parts = record->parts, one;
    if (record->last > atomic_load(&p->told)) /* its sync failed, and it was done in another way */
        return KF_OK;
    if (record->first != p->seq)
        return place_misfit(s, record, err);
    kf_rc rc = KF_OK;
    while (rc == KF_OK && redo_next(&parts, &one))
        rc = again_part(r, record, one, err);
    r->failed = rc != KF_OK;
    p->stamp = record->stamp > p->stamp ? record->stamp : p->stamp;
    return rc;
}

static kf_rc read_once(struct replay *r, struct kf_err *err)
{
    struct kf_store *s = r->store;
    struct placing *p = &s->placing;
    if (!p->by || !s->redo)
        return err_set(err, PROBLEM_MISUSE, "nobody can do again what %s says", s->redo_path);
    kf_rc rc = place_begin(s, err);
    int64_t had = p->seq;
    r->left_out = 0;
    if (rc == KF_OK)
        rc = redo_read(s->redo, had, again, r, err);
    if (rc == KF_DAMAGED && !r->failed) {
        leave_out(s, err);
        err_clear(err);
        rc = KF_OK;
    }
    if (p->seq < s->seq) /* it has less than was written to it: no number is given twice */
        p->seq = s->seq;
    if (rc == KF_OK) {
        KF_SOMETIMES("redo-applied-again");
        log_event(s->options.log, LOG_INFO, "redo.applied", LOG_S("path", s->redo_path),
                  LOG_I("numbers", p->seq - had), LOG_I("left_out", r->left_out), LOG_END);
    }
    return rc;
}

/* From what the database has, in a transaction that is left open. */
static kf_rc read_again(struct kf_store *s, struct kf_err *err)
{
    struct placing *p = &s->placing;
    struct replay r = {.store = s, .stop_at = INT64_MAX};
    kf_rc rc;
    while ((rc = read_once(&r, err)) != KF_OK && r.anew) {
        db_rollback(s->db);
        p->by->drop(p->ctx);
        p->open = r.anew = r.failed = false;
        err_clear(err);
    }
    return rc;
}

static kf_rc recover(struct kf_store *s, struct kf_err *err)
{
    struct placing *p = &s->placing;
    place_drop_queue(s); /* what was told while it got lost is in the file, too */
    kf_rc rc = read_again(s, err);
    if (rc == KF_OK && p->keep_file)
        rc = redo_forget(s, err);
    if (rc != KF_OK) {
        if (p->open)
            place_lose(s, err);
        return rc;
    }
    int64_t seq = p->seq;
    rc = place_commit(s, err);
    if (rc != KF_OK)
        return rc;
    if (p->keep_file) {
        s->redo_known = false;
        s->redo_off_until_ms = INT64_MAX;
        p->by->doubt(p->ctx);
    }
    atomic_store(&p->lost, false);
    atomic_store(&p->told, seq);
    if (seq > s->seq) {
        s->seq = seq;
        atomic_store_explicit(&s->committed_seq, seq, memory_order_release);
    }
    if (p->stamp > s->clock.last)
        s->clock.last = p->stamp;
    return KF_OK;
}

/* Whether the same would fail at once if it were tried again. */
static bool is_stuck(const struct kf_store *s)
{
    switch (db_trouble(s->db)) {
    case DB_TROUBLE_FULL:
    case DB_TROUBLE_IO:
    case DB_TROUBLE_SYNC: return true;
    default: return false;
    }
}

kf_rc redo_settle(struct kf_store *s, struct kf_err *err)
{
    if (!redo_is_ahead(s))
        return KF_OK;
    bool lost = atomic_load(&s->placing.lost);
    kf_rc rc = lost ? KF_OK : place_all(s, INT64_MAX, err);
    if (rc != KF_OK && (!atomic_load(&s->placing.lost) || is_stuck(s)))
        return rc;
    if (lost || rc != KF_OK) {
        err_clear(err);
        rc = recover(s, err);
    }
    if (rc == KF_OK)
        redo_level(s);
    return rc;
}

/* ------------------------------------------------------------------------------------- readers */

/* As leader, for what is in the file alone. KF_BUSY: somebody else leads. */
static kf_rc settle_led(struct kf_store *s, struct kf_err *err)
{
    if (!lead_if_free(s))
        return KF_BUSY;
    own_begin(s);
    kf_rc rc = store_state(s) == STORE_READ_ONLY ? state_refusal(s, err) : swap_reopen(s, err);
    if (rc == KF_OK)
        rc = redo_settle(s, err);
    own_end(s);
    lead_end(s);
    return rc;
}

static kf_rc settle_owned(struct kf_store *s, int64_t upto, struct kf_err *err)
{
    const struct placing *p = &s->placing;
    kf_rc rc = KF_OK;
    KF_SOMETIMES("redo-settled-by-reader");
    own_begin(s);
    if (s->db && !atomic_load(&p->lost) && atomic_load(&p->committed) < upto) {
        rc = place_all(s, upto, err);
        if (rc != KF_OK && atomic_load(&p->lost) && !is_stuck(s))
            rc = KF_OK; /* the file has it: the next turn is a leader's */
    }
    own_end(s);
    return rc;
}

kf_rc redo_await(struct kf_store *s, struct kf_err *err)
{
    const struct placing *p = &s->placing;
    struct kf_err why = KF_ERR_INIT;
    int64_t want = atomic_load_explicit(&p->told, memory_order_acquire);
    for (int waited_ms = 0; atomic_load(&p->committed) < want; waited_ms++) {
        enum store_state state = store_state(s);
        if (state == STORE_READ_ONLY || state == STORE_FULL)
            return state_refusal(s, err);
        if (waited_ms >= STORE_READER_WAIT_MS)
            return err_set(err, PROBLEM_BUSY,
                           "what was written last is not in the database yet; try again");
        err_clear(&why);
        kf_rc rc = atomic_load(&p->lost) ? settle_led(s, &why) : settle_owned(s, want, &why);
        if (rc == KF_BUSY) {
            poll(NULL, 0, 1);
        } else if (rc != KF_OK) {
            if (err)
                *err = why;
            return rc;
        }
        /* Another content by now, or some of it could not be placed: there is no more to come. */
        int64_t told = atomic_load_explicit(&p->told, memory_order_acquire);
        want = told < want ? told : want;
    }
    return KF_OK;
}
