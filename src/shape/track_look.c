/* Whether tracked tables are as they were left, and what is done about those that are not. */
#include "shape/track_internal.h"

#include <stdio.h>

const char *track_state_for(const char *found, const char *state)
{
    bool asleep = strcmp(state, "missing") == 0 || strcmp(state, "off") == 0 ||
                  strcmp(state, "unfit") == 0;
    if (strcmp(found, "same") == 0)
        return asleep ? "refill" : NULL;
    if (strncmp(found, "changed", 7) == 0 || strncmp(found, "made", 4) == 0)
        return "refill";
    const char *to = strncmp(found, "unfit", 5) == 0 ? "unfit" : found;
    return strcmp(to, state) == 0 ? NULL : to;
}

struct looking {
    struct write write; /* first */
    int64_t id;
};

static kf_rc look_at(struct db *db, int64_t id, char ret_found[40], char ret_state[16],
                     struct kf_err *err)
{
    static const char sql[] =
        "SELECT kf_track_check(id), state FROM kf_tracked WHERE id = $1 AND state <> 'forget'";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, id);
    rc = db_step(s, &row, err);
    snprintf(ret_found, 40, "%.*s", STR_ARGS(rc == KF_OK && row ? db_text(s, 0) : STR("same")));
    snprintf(ret_state, 16, "%.*s", STR_ARGS(rc == KF_OK && row ? db_text(s, 1) : STR("on")));
    db_done(s);
    return rc;
}

/* Why its rows are gone through, for who wonders later: the word behind what was found, or the
 * state that has ended. A file of its own is what TRUNCATE and VACUUM FULL leave, every day. */
static kf_rc note_cause(struct group *g, int64_t id, const char *found, const char *state,
                        struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_tracked SET cause = $1, caused = $2 WHERE id = $3";
    const char *blank = strchr(found, ' '), *cause = blank ? blank + 1 : state;
    if (strcmp(cause, "file") == 0)
        return KF_OK;
    return track_run(group_db(g), sql, err, "tii", cause, group_now_ms(g), id);
}

static kf_rc put_right(struct group *g, struct write *w, struct kf_err *err)
{
    static const char becomes[] =
        "UPDATE kf_tracked SET state = $1, place = $2, changed = $3 WHERE id = $4",
                      marked[] = "UPDATE kf_tracked SET mark = kf_track_mark(id, relid::oid)"
                                 " WHERE id = $1";
    struct looking *l = (struct looking *)w;
    char found[40], state[16], word[32] = "";
    kf_rc rc = look_at(group_db(g), l->id, found, state, err);
    const char *to = rc == KF_OK ? track_state_for(found, state) : NULL;
    if (!to)
        return rc;
    KF_SOMETIMES("track-table-was-changed");
    if (strcmp(to, "refill") == 0)
        rc = note_cause(g, l->id, found, state, err);
    if (rc == KF_OK && strncmp(found, "made", 4) == 0) {
        rc = track_install(g, l->id, "refill", word, err);
        if (rc != KF_OK || !word[0])
            return rc;
        to = "unfit";
    } else if (rc == KF_OK && strcmp(to, "refill") == 0) {
        rc = track_run(group_db(g), marked, err, "i", l->id);
    }
    const char *why = word[0] ? word : strcmp(to, "unfit") == 0 ? found + strlen("unfit ") : "";
    return rc == KF_OK
               ? track_run(group_db(g), becomes, err, "ttii", to, why, group_now_ms(g), l->id)
               : rc;
}

/* Those that are not as they were left. */
static kf_rc find_changed(struct db *db, int64_t ids[TRACK_TABLES_MAX], size_t *ret_count,
                          struct kf_err *err)
{
    static const char sql[] = "SELECT id, kf_track_check(id), state FROM kf_tracked"
                              " WHERE state <> 'forget' ORDER BY id";
    struct db_stmt *s;
    bool row = false;
    size_t n = 0;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    while (n < TRACK_TABLES_MAX && (rc = db_step(s, &row, err)) == KF_OK && row) {
        char found[40], state[16];
        snprintf(found, sizeof found, "%.*s", STR_ARGS(db_text(s, 1)));
        snprintf(state, sizeof state, "%.*s", STR_ARGS(db_text(s, 2)));
        if (track_state_for(found, state))
            ids[n++] = db_i64(s, 0);
    }
    db_done(s);
    *ret_count = n;
    return rc;
}

kf_rc track_check_all(struct kf_store *store, struct kf_err *err)
{
    int64_t *ids = mem_calloc(TRACK_TABLES_MAX, sizeof *ids);
    size_t count = 0;
    bool any = false;
    struct db *db;
    kf_rc rc = ids ? store_read(store, &db, err) : err_nomem(err);
    if (rc == KF_OK) {
        rc = track_any(db, &any, err);
        if (rc == KF_OK && any)
            rc = find_changed(db, ids, &count, err);
        store_read_end(store, db);
    }
    for (size_t i = 0; rc == KF_OK && i < count; i++) {
        struct looking l = {.write = {.apply = put_right, .frees = true}, .id = ids[i]};
        rc = store_write(store, &l.write, err);
        if (rc == KF_BUSY) /* somebody holds that table: the next look is soon */
            rc = KF_OK;
    }
    mem_free(ids);
    return rc;
}

kf_rc tracks_look_after(struct kf_store *store, bool (*go_on)(void *ctx), void *ctx,
                        struct kf_err *err)
{
    struct track_work w = {.store = store, .until_id = INT64_MAX, .go_on = go_on, .ctx = ctx};
    kf_rc rc = track_check_all(store, err);
    return rc == KF_OK ? track_catch_up(&w, err) : rc;
}
