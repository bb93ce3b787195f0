/* Tables that are tracked: how they come to be and are forgotten. */
#include "shape/track_internal.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>

#define HELD_MS  10000 /* how long a table that somebody holds is waited for */
#define AGAIN_MS 200

/* ---------------------------------------------------------------------------------- statements */

kf_rc track_has_place(const struct kf_store *store, struct kf_err *err)
{
    if (store_level(store) == KF_LEVEL_SHARED)
        return KF_OK;
    return err_set(err, PROBLEM_NOT_IMPLEMENTED,
                   "tables are tracked in stores on PostgreSQL; this one is a file: open it as "
                   "postgres://…#SPACE");
}

kf_rc track_run(struct db *db, const char *sql, struct kf_err *err, const char *types, ...)
{
    struct db_stmt *s;
    va_list args;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    va_start(args, types);
    for (int i = 0; types[i]; i++)
        if (types[i] == 'i')
            db_bind_i64(s, i + 1, va_arg(args, int64_t));
        else
            db_bind_text(s, i + 1, str_of(va_arg(args, const char *)));
    va_end(args);
    return db_run(s, err);
}

/* The first column of the one row, as a number. Without a row *ret stays. */
static kf_rc ask(struct db *db, const char *sql, const char *text, int64_t *ret, struct kf_err *err)
{
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    if (text)
        db_bind_text(s, 1, str_of(text));
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row)
        *ret = db_i64(s, 0);
    db_done(s);
    return rc;
}

kf_rc track_number(struct db *db, const char *sql, int64_t *ret, struct kf_err *err)
{
    return ask(db, sql, NULL, ret, err);
}

kf_rc track_any(struct db *db, bool *ret, struct kf_err *err)
{
    int64_t n = 0;
    kf_rc rc = track_number(db, "SELECT count(*) FROM kf_tracked", &n, err);
    *ret = n > 0;
    return rc;
}

kf_rc track_id(struct db *db, const char *name, int64_t *ret, struct kf_err *err)
{
    static const char listed[] = "SELECT id FROM kf_tracked WHERE name = $1 AND state <> 'forget'",
                      called[] = "SELECT id FROM kf_tracked"
                                 " WHERE name = kf_track_name(kf_track_find($1))"
                                 " AND state <> 'forget'";
    bool any = false;
    *ret = 0;
    kf_rc rc = track_any(db, &any, err);
    if (rc == KF_OK && any)
        rc = ask(db, listed, name, ret, err);
    if (rc == KF_OK && any && !*ret)
        rc = ask(db, called, name, ret, err);
    return rc;
}

static kf_rc check_name(const char *name, struct kf_err *err)
{
    size_t len = strlen(name);
    if (len > 0 && len <= TRACK_NAME_MAX && str_utf8_valid(str_of(name)) == len)
        return KF_OK;
    return err_set(err, PROBLEM_BAD_REQUEST,
                   "a table is named as in SQL, SCHEMA.TABLE or TABLE, in at most %d bytes",
                   TRACK_NAME_MAX);
}

kf_rc track_unknown(const char *name, struct kf_err *err)
{
    return err_set(err, PROBLEM_NOT_FOUND,
                   "the table %.200s is not tracked; `keepfast track` lists those that are", name);
}

/* ------------------------------------------------------------------------------------ tracking */

static const struct {
    const char *word;
    enum problem problem;
    const char *sentence;
} refusals[] = {
    {"absent", PROBLEM_NOT_FOUND,
     "there is no such table in this database; name it as in SQL, with its schema unless that is "
     "public, and in double quotes what SQL wants quoted"},
    {"ours", PROBLEM_BAD_REQUEST, "it belongs to Keepfast or to PostgreSQL itself"},
    {"partitioned", PROBLEM_BAD_REQUEST,
     "it has partitions: track those that hold rows, each by its name"},
    {"kind", PROBLEM_BAD_REQUEST, "it is no table; views and foreign tables cannot be tracked"},
    {"unlogged", PROBLEM_BAD_REQUEST,
     "it is temporary or unlogged, and a crash empties it without a word: "
     "ALTER TABLE … SET LOGGED first"},
    {"key", PROBLEM_BAD_REQUEST,
     "it has no primary key, by which its rows could be known: ALTER TABLE … ADD PRIMARY KEY "
     "first"},
    {"denied", PROBLEM_CONFIG,
     "our role may not track it: GRANT USAGE on its schema, and SELECT, TRIGGER on it"},
    {"row_security", PROBLEM_CONFIG,
     "it has row-level security, by which our role does not see every row, and what is not seen "
     "would be told as gone: ALTER ROLE … BYPASSRLS, or make our role its owner"},
};

static kf_rc refuse(const char *word, const char *name, struct kf_err *err)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (strcmp(refusals[i].word, word) == 0)
            return err_set(err, refusals[i].problem, "the table %.200s: %s", name,
                           refusals[i].sentence);
    return err_set(err, PROBLEM_INTERNAL, "%.200s cannot be tracked: %s", name, word);
}

kf_rc track_install(struct group *g, int64_t id, const char *state, char ret_word[32],
                    struct kf_err *err)
{
    static const char install[] = "SELECT kf_track_install($1)";
    static const char becomes[] =
        "UPDATE kf_tracked SET state = $1, place = '', changed = $2, trouble = '' WHERE id = $3";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(group_db(g), install, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, id);
    rc = db_step(s, &row, err);
    if (rc == KF_OK)
        snprintf(ret_word, 32, "%.*s", STR_ARGS(db_text(s, 0)));
    db_done(s);
    if (rc != KF_OK || ret_word[0])
        return rc;
    return track_run(group_db(g), becomes, err, "tii", state, group_now_ms(g), id);
}

struct adding {
    struct write write; /* first */
    const char *name;
    int64_t id;
    bool is_new;
};

/* Its name as it is listed: "schema.table", quoted where SQL wants it. */
static kf_rc real_name(struct db *db, const char *name, char ret[300], struct kf_err *err)
{
    static const char sql[] = "SELECT coalesce(kf_track_name(kf_track_find($1)), '')";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, str_of(name));
    rc = db_step(s, &row, err);
    if (rc == KF_OK)
        snprintf(ret, 300, "%.*s", STR_ARGS(db_text(s, 0)));
    db_done(s);
    return rc == KF_OK && !ret[0] ? refuse("absent", name, err) : rc;
}

static kf_rc add_row(struct group *g, struct adding *a, const char *real, struct kf_err *err)
{
    static const char sql[] =
        "INSERT INTO kf_tracked(id, name, relid, since, state, changed, place, columns, mark,"
        " source, cause, caused, numbered, trouble, tried, made)"
        " VALUES($1, $2, 0, $3, 'fill', $4, '', '', '', 'store', '', 0, 0, '', 0, 0)";
    int64_t count = 0;
    kf_rc rc = track_number(group_db(g), "SELECT count(*) FROM kf_tracked", &count, err);
    if (rc == KF_OK && count >= TRACK_TABLES_MAX)
        rc = err_set(err, PROBLEM_TOO_LARGE, "%d tables are tracked already, no more are",
                     TRACK_TABLES_MAX);
    if (rc != KF_OK)
        return rc;
    a->is_new = true;
    a->id = group_seq(g);
    return track_run(group_db(g), sql, err, "itii", a->id, real, group_now_ms(g), group_now_ms(g));
}

/* An id is a number of the store, so none is ever given again. */
static kf_rc apply_add(struct group *g, struct write *w, struct kf_err *err)
{
    struct adding *a = (struct adding *)w;
    struct db *db = group_db(g);
    char real[300] = "", word[32] = "";
    int64_t old = 0, left = 0;
    a->id = 0;
    a->is_new = false;
    kf_rc rc = track_functions_renew(g, err);
    if (rc == KF_OK)
        rc = real_name(db, a->name, real, err);
    if (rc == KF_OK)
        rc = ask(db, "SELECT id FROM kf_tracked WHERE name = $1", real, &old, err);
    if (rc == KF_OK)
        rc = ask(db, "SELECT id FROM kf_tracked WHERE name = $1 AND state = 'forget'", real, &left,
                 err);
    if (rc == KF_OK && left) /* what is left of the last time goes under another name */
        rc = track_run(db, "UPDATE kf_tracked SET name = name || ' ' || id WHERE id = $1", err, "i",
                       left);
    else
        a->id = old;
    if (rc != KF_OK || a->id)
        return rc;
    rc = add_row(g, a, real, err);
    if (rc == KF_OK)
        rc = track_install(g, a->id, "fill", word, err);
    return rc == KF_OK && word[0] ? refuse(word, a->name, err) : rc;
}

/* Who holds a table does so for a statement or two, or for long: then the caller is told. */
static kf_rc write_patiently(struct kf_store *store, struct write *w, struct kf_err *err)
{
    int64_t until_ms = env_mono_ms(store_env(store)) + HELD_MS;
    for (int naps = 0;; naps++) {
        kf_rc rc = store_write(store, w, err);
        bool held = rc == KF_BUSY && strcmp(w->err.code, problem_table[PROBLEM_BUSY].code) == 0;
        if (!held || naps >= HELD_MS / AGAIN_MS || env_mono_ms(store_env(store)) >= until_ms)
            return rc;
        KF_SOMETIMES("track-table-was-held");
        poll(NULL, 0, AGAIN_MS);
    }
}

kf_rc tracks_add(struct kf_store *store, const char *name, bool *ret_new, struct kf_err *err)
{
    struct adding a = {.write = {.apply = apply_add}, .name = name};
    kf_rc rc = track_has_place(store, err);
    if (rc == KF_OK)
        rc = check_name(name, err);
    if (rc == KF_OK)
        rc = write_patiently(store, &a.write, err);
    if (rc != KF_OK)
        return rc;
    struct track_work work = {.store = store, .only = a.id};
    rc = track_catch_up(&work, err);
    if (rc == KF_OK)
        *ret_new = a.is_new;
    return rc;
}

/* ---------------------------------------------------------------------------------- forgetting */

struct removing {
    struct write write; /* first */
    const char *name;
    int64_t id;
};

/* What a server would track again with its next start, with all rows anew. */
static kf_rc check_source(struct db *db, const struct removing *r, struct kf_err *err)
{
    static const char sql[] = "SELECT count(*) FROM kf_tracked WHERE id = $1 AND source = 'config'";
    struct db_stmt *s;
    bool row = false, named = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, r->id);
    rc = db_step(s, &row, err);
    named = rc == KF_OK && row && db_i64(s, 0) > 0;
    db_done(s);
    if (!named)
        return rc;
    return err_set(err, PROBLEM_NOT_EMPTY,
                   "the table %.200s stands in the configuration of a server (track:): take it out "
                   "there, start the server anew, then untrack it",
                   r->name);
}

static kf_rc apply_remove(struct group *g, struct write *w, struct kf_err *err)
{
    struct removing *r = (struct removing *)w;
    struct db *db = group_db(g);
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = track_id(db, r->name, &r->id, err);
    if (rc == KF_OK && !r->id)
        rc = track_unknown(r->name, err);
    if (rc == KF_OK)
        rc = check_source(db, r, err);
    if (rc == KF_OK)
        rc = db_use(db, "SELECT kf_track_undo($1)", &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, r->id);
    rc = db_step(s, &row, err);
    db_done(s);
    if (rc == KF_OK)
        rc = track_run(db, "UPDATE kf_tracked SET state = 'forget' WHERE id = $1", err, "i", r->id);
    return rc;
}

kf_rc tracks_remove(struct kf_store *store, const char *name, struct kf_err *err)
{
    struct removing r = {.write = {.apply = apply_remove}, .name = name};
    kf_rc rc = track_has_place(store, err);
    if (rc == KF_OK)
        rc = check_name(name, err);
    if (rc == KF_OK)
        rc = write_patiently(store, &r.write, err);
    if (rc != KF_OK)
        return rc;
    struct track_work work = {.store = store, .only = r.id};
    return track_catch_up(&work, err);
}

/* ------------------------------------------------------------------------------ configuration */

struct naming {
    struct write write; /* first */
    const str *names;
    size_t count;
};

static kf_rc apply_naming(struct group *g, struct write *w, struct kf_err *err)
{
    struct naming *n = (struct naming *)w;
    struct db *db = group_db(g);
    kf_rc rc = db_exec(db, "UPDATE kf_tracked SET source = 'store' WHERE source = 'config'", err);
    for (size_t i = 0; rc == KF_OK && i < n->count; i++) {
        char name[TRACK_NAME_MAX + 2];
        int64_t id = 0;
        snprintf(name, sizeof name, "%.*s", STR_ARGS(n->names[i]));
        rc = track_id(db, name, &id, err);
        if (rc == KF_OK && id)
            rc = track_run(db, "UPDATE kf_tracked SET source = 'config' WHERE id = $1", err, "i",
                           id);
    }
    return rc;
}

kf_rc tracks_named(struct kf_store *store, const str *names, size_t count, struct kf_err *err)
{
    static const char sql[] = "SELECT count(*) FROM kf_tracked WHERE source = 'config'";
    struct naming n = {.write = {.apply = apply_naming}, .names = names, .count = count};
    struct db *db;
    int64_t named = 0;
    kf_rc rc = store_read(store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = track_number(db, sql, &named, err);
    store_read_end(store, db);
    return rc == KF_OK && (named || count) ? store_write(store, &n.write, err) : rc;
}
