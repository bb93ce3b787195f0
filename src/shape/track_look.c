/* Whether tracked tables are as they were left, and what is done about those that are not.
 *
 *      functions older than ours -> made anew
 *      each table: found -> state, in a group of its own -> fails by the table: noted, tried again
 *                                                           TRACK_AGAIN_MS later */
#include "shape/track_internal.h"

#include <stdio.h>

#define FOUND_MAX 40
#define STATE_MAX 40 /* with the reason of `unfit` */

static bool is_asleep(const char *state)
{
    return strcmp(state, "missing") == 0 || strcmp(state, "off") == 0 ||
           strncmp(state, "unfit", 5) == 0;
}

const char *track_state_for(const char *found, const char *state)
{
    bool fit = strcmp(found, "same") == 0 || strcmp(found, "older") == 0;
    if (fit && is_asleep(state))
        return "refill";
    if (strcmp(found, "same") == 0)
        return NULL;
    if (strncmp(found, "changed", 7) == 0 || strncmp(found, "made", 4) == 0)
        return "refill";
    return strcmp(found, state) == 0 ? NULL : found;
}

/* ----------------------------------------------------------------------------------- functions */

static kf_rc functions_there(struct db *db, int64_t *ret, struct kf_err *err)
{
    static const char sql[] =
        "SELECT substring(p.prosrc FROM '[0-9]+')::bigint FROM pg_proc p JOIN pg_namespace n"
        " ON n.oid = p.pronamespace WHERE n.nspname = current_schema()"
        " AND p.proname = 'kf_track_version'";
    *ret = 0;
    return track_number(db, sql, ret, err);
}

kf_rc track_functions_renew(struct group *g, struct kf_err *err)
{
    int64_t there = 0;
    kf_rc rc = functions_there(group_db(g), &there, err);
    if (rc != KF_OK || there >= TRACK_FUNCTIONS)
        return rc;
    KF_SOMETIMES("track-functions-renewed");
    return db_exec(group_db(g), track_functions, err);
}

static kf_rc apply_renew(struct group *g, struct write *w, struct kf_err *err)
{
    (void)w;
    return track_functions_renew(g, err);
}

kf_rc track_renew(struct kf_store *store, struct kf_err *err)
{
    struct write w = {.apply = apply_renew, .frees = true};
    int64_t there = TRACK_FUNCTIONS;
    bool any = false;
    struct db *db;
    kf_rc rc = store_read(store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = track_any(db, &any, err);
    if (rc == KF_OK && any)
        rc = functions_there(db, &there, err);
    store_read_end(store, db);
    return rc == KF_OK && there < TRACK_FUNCTIONS ? store_write(store, &w, err) : rc;
}

/* ------------------------------------------------------------------------------------- trouble */

bool track_is_its_own(const struct kf_err *why)
{
    return strcmp(why->code, problem_table[PROBLEM_CONFIG].code) == 0;
}

struct noting {
    struct write write; /* first */
    int64_t id;
    bool stops;
    char words[sizeof((struct kf_err *)0)->detail];
};

static kf_rc apply_note(struct group *g, struct write *w, struct kf_err *err)
{
    static const char note[] = "UPDATE kf_tracked SET trouble = $1, tried = $2 WHERE id = $3",
                      stop[] = "UPDATE kf_tracked SET state = 'unfit', place = 'failed',"
                               " changed = $1 WHERE id = $2 AND state <> 'forget'"
                               " AND (state <> 'unfit' OR place <> 'failed')";
    struct noting *n = (struct noting *)w;
    int64_t now_ms = group_now_ms(g);
    kf_rc rc = track_run(group_db(g), note, err, "tii", n->words, now_ms, n->id);
    return rc == KF_OK && n->stops ? track_run(group_db(g), stop, err, "ii", now_ms, n->id) : rc;
}

kf_rc track_note_trouble(struct kf_store *store, int64_t id, bool stops, const char *words,
                         struct kf_err *err)
{
    struct noting n = {.write = {.apply = apply_note, .frees = true}, .id = id, .stops = stops};
    snprintf(n.words, sizeof n.words, "%s", words);
    KF_SOMETIMES("track-table-failed");
    return store_write(store, &n.write, err);
}

/* -------------------------------------------------------------------------------- each of them */

struct looking {
    struct write write; /* first */
    int64_t id;
};

struct found {
    char what[FOUND_MAX], state[STATE_MAX];
    char file[STATE_MAX], columns[STATE_MAX]; /* of the mark */
};

static void take(char *to, size_t size, str from)
{
    snprintf(to, size, "%.*s", STR_ARGS(from));
}

/* One that is forgotten meanwhile is in order. */
static kf_rc look_at(struct db *db, int64_t id, struct found *ret, struct kf_err *err)
{
    static const char sql[] =
        "SELECT kf_track_check(id), state || CASE WHEN state = 'unfit' THEN ' ' || place ELSE ''"
        " END, split_part(mark, ' ', 1), split_part(mark, ' ', 3) FROM kf_tracked"
        " WHERE id = $1 AND state <> 'forget'";
    struct db_stmt *s;
    bool row = false;
    *ret = (struct found){.what = "same", .state = "on"};
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, id);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row) {
        take(ret->what, sizeof ret->what, db_text(s, 0));
        take(ret->state, sizeof ret->state, db_text(s, 1));
        take(ret->file, sizeof ret->file, db_text(s, 2));
        take(ret->columns, sizeof ret->columns, db_text(s, 3));
    }
    db_done(s);
    return rc;
}

/* Why its rows are gone through, for who wonders later: the word behind what was found, or the
 * state that has ended. A file of its own is what TRUNCATE and VACUUM FULL leave, every day. */
static kf_rc note_cause(struct group *g, int64_t id, const struct found *f, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_tracked SET cause = $1, caused = $2 WHERE id = $3";
    const char *blank = strchr(f->what, ' '), *cause = blank ? blank + 1 : f->state;
    if (strcmp(cause, "file") == 0)
        return KF_OK;
    return track_run(group_db(g), sql, err, "tii", cause, group_now_ms(g), id);
}

/* to: "unfit WHY" or a word. */
static kf_rc becomes(struct group *g, int64_t id, const char *to, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_tracked SET state = $1, place = $2, changed = $3,"
                              " trouble = '' WHERE id = $4";
    char state[STATE_MAX];
    size_t len = strcspn(to, " ");
    snprintf(state, sizeof state, "%.*s", (int)len, to);
    return track_run(group_db(g), sql, err, "ttii", state, to[len] ? to + len + 1 : "",
                     group_now_ms(g), id);
}

static kf_rc unfit(struct group *g, int64_t id, const char *why, struct kf_err *err)
{
    char to[STATE_MAX];
    snprintf(to, sizeof to, "unfit %s", why);
    return becomes(g, id, to, err);
}

static kf_rc make_anew(struct group *g, int64_t id, struct kf_err *err)
{
    char word[32] = "";
    kf_rc rc = track_install(g, id, "refill", word, err);
    return rc == KF_OK && word[0] ? unfit(g, id, word, err) : rc;
}

/* Its functions are of another version, and nothing else has changed: no row is told anew. What
 * came between the look and the lock on the table is in the mark no more, so it is compared. */
static kf_rc make_newer(struct group *g, int64_t id, const struct found *f, struct kf_err *err)
{
    static const char install[] = "SELECT kf_track_install($1)",
                      done[] = "UPDATE kf_tracked SET trouble = '' WHERE id = $1";
    struct db_stmt *s;
    struct found now;
    char word[32] = "";
    bool row = false;
    kf_rc rc = db_use(group_db(g), install, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, id);
    rc = db_step(s, &row, err);
    if (rc == KF_OK)
        take(word, sizeof word, db_text(s, 0));
    db_done(s);
    if (rc == KF_OK && word[0])
        return unfit(g, id, word, err);
    if (rc == KF_OK)
        rc = look_at(group_db(g), id, &now, err);
    if (rc == KF_OK) /* also so that the group has written, which a SELECT does not say */
        rc = track_run(group_db(g), done, err, "i", id);
    if (rc == KF_OK && (strcmp(now.file, f->file) != 0 || strcmp(now.columns, f->columns) != 0))
        rc = becomes(g, id, "refill", err);
    return rc;
}

static kf_rc put_right(struct group *g, struct write *w, struct kf_err *err)
{
    static const char marked[] = "UPDATE kf_tracked SET mark = kf_track_mark(id, relid::oid)"
                                 " WHERE id = $1";
    struct looking *l = (struct looking *)w;
    struct found f;
    kf_rc rc = look_at(group_db(g), l->id, &f, err);
    const char *to = rc == KF_OK ? track_state_for(f.what, f.state) : NULL;
    if (!to)
        return rc;
    if (strcmp(to, "older") == 0)
        return make_newer(g, l->id, &f, err);
    KF_SOMETIMES("track-table-was-changed");
    if (strcmp(to, "refill") != 0)
        return becomes(g, l->id, to, err);
    rc = note_cause(g, l->id, &f, err);
    if (rc == KF_OK && strncmp(f.what, "made", 4) == 0)
        return make_anew(g, l->id, err);
    if (rc == KF_OK)
        rc = track_run(group_db(g), marked, err, "i", l->id);
    return rc == KF_OK ? becomes(g, l->id, to, err) : rc;
}

/* Those that are not as they were left, but for what was tried in vain a moment ago. */
static kf_rc find_changed(struct db *db, int64_t now_ms, int64_t ids[TRACK_TABLES_MAX],
                          size_t *ret_count, struct kf_err *err)
{
    static const char sql[] =
        "SELECT id, kf_track_check(id), state || CASE WHEN state = 'unfit' THEN ' ' || place ELSE"
        " '' END FROM kf_tracked WHERE state <> 'forget' AND (trouble = '' OR tried NOT BETWEEN $1"
        " AND $2) ORDER BY id";
    struct db_stmt *s;
    bool row = false;
    size_t n = 0;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, now_ms - TRACK_AGAIN_MS);
    db_bind_i64(s, 2, now_ms);
    while (n < TRACK_TABLES_MAX && (rc = db_step(s, &row, err)) == KF_OK && row) {
        char found[FOUND_MAX], state[STATE_MAX];
        take(found, sizeof found, db_text(s, 1));
        take(state, sizeof state, db_text(s, 2));
        if (track_state_for(found, state))
            ids[n++] = db_i64(s, 0);
    }
    db_done(s);
    *ret_count = n;
    return rc;
}

/* A table that somebody holds comes with the next look, which is soon. */
static kf_rc look_after_one(struct kf_store *store, int64_t id, struct kf_err *err)
{
    struct looking l = {.write = {.apply = put_right, .frees = true}, .id = id};
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = store_write(store, &l.write, &why);
    if (rc == KF_OK || rc == KF_BUSY)
        return KF_OK;
    if (track_is_its_own(&why))
        return track_note_trouble(store, id, true, why.detail, err);
    if (err)
        *err = why;
    return rc;
}

kf_rc track_check_all(struct kf_store *store, struct kf_err *err)
{
    int64_t *ids = mem_calloc(TRACK_TABLES_MAX, sizeof *ids);
    bool any = false;
    size_t count = 0;
    struct db *db;
    kf_rc rc = ids ? store_read(store, &db, err) : err_nomem(err);
    if (rc == KF_OK) {
        rc = track_any(db, &any, err);
        if (rc == KF_OK && any)
            rc = find_changed(db, env_wall_ms(store_env(store)), ids, &count, err);
        store_read_end(store, db);
    }
    for (size_t i = 0; rc == KF_OK && i < count; i++)
        rc = look_after_one(store, ids[i], err);
    mem_free(ids);
    return rc;
}

kf_rc tracks_look_after(struct kf_store *store, bool (*go_on)(void *ctx), void *ctx,
                        struct kf_err *err)
{
    struct track_work w = {.store = store, .until_id = INT64_MAX, .go_on = go_on, .ctx = ctx};
    struct kf_err old = KF_ERR_INIT;
    kf_rc renewed = track_renew(store, &old);
    kf_rc rc = track_check_all(store, err);
    if (rc == KF_OK)
        rc = track_catch_up(&w, err);
    if (rc == KF_OK && renewed != KF_OK && err)
        *err = old;
    return rc == KF_OK ? renewed : rc;
}
