/* What a store holds, as a text (sim.h): every row of every table but what names the site; and what
 * is judged beside it, a place or the list of tokens. */
#include "sim_internal.h"

#include "api/tokens.h"
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static kf_rc dump_query(struct db *db, const char *sql, struct buf *out, struct kf_err *err)
{
    struct db_stmt *st;
    bool row = false;
    kf_rc rc = db_use(db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    while ((rc = db_step(st, &row, err)) == KF_OK && row) {
        buf_str(out, db_text(st, 0));
        buf_byte(out, '\n');
    }
    db_done(st);
    return rc;
}

/* The statements that print each table, made by SQL from the schema itself. Columns named `site`
 * differ in every copy; what is noted of a remote may take several commits, and is judged by its
 * watermark. What was erased is a row for each site, and a store that finds itself copied has
 * another one. In which of its two tables a client id is makes no difference. */
static const char tables_sql[] =
    "SELECT 'SELECT ''' || t.name || '''' || group_concat(' || ''|'' "
    "|| coalesce(quote(\"' || c.name || '\"), '''')', '')"
    " || ' FROM ' || CASE t.name WHEN 'kf_entry_once' THEN '(SELECT * FROM kf_entry_once UNION ALL "
    "SELECT * FROM kf_entry_once_new)' ELSE '\"' || t.name || '\"' END"
    " || CASE t.name WHEN 'kf_meta' THEN ' WHERE key NOT IN "
    "(''site'', ''old_sites'', ''clone_marker'', ''redo'', ''cloned_at'')' ELSE '' END"
    " || ' ORDER BY 1'"
    " FROM sqlite_schema t, pragma_table_info(t.name) c"
    " WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name NOT IN ('kf_remote', "
    "'kf_run', 'kf_aside', 'kf_erased', 'kf_remote_file', 'kf_entry_once_new') AND c.name <> "
    "'site' GROUP BY t.name "
    "ORDER BY t.name";
static const char version_sql[] = "PRAGMA user_version";
static const char state_sql[] =
    "SELECT seq, stamp, (SELECT coalesce(max(watermark), 0) FROM kf_remote) FROM kf_state";

/* Equal text at one address for ever: statements are found again by it. */
static const char *interned(const char *text)
{
    static char *list[256];
    size_t i = 0;
    while (list[i] && strcmp(list[i], text) != 0)
        i++;
    if (i + 1 == sizeof(list) / sizeof(list[0]))
        sim_broken("too many statements");
    if (!list[i])
        list[i] = strdup(text);
    return list[i];
}

static kf_rc dump(struct db *db, struct snapshot *ret, struct kf_err *err)
{
    struct buf tables = BUF_INIT, out = BUF_INIT;
    struct db_stmt *st;
    bool row = false;
    kf_rc rc = dump_query(db, tables_sql, &tables, err);
    if (rc == KF_OK)
        rc = dump_query(db, version_sql, &out, err);
    for (char *at = tables.p; rc == KF_OK && at && *at;) {
        char *end = strchr(at, '\n');
        *end = '\0';
        rc = dump_query(db, interned(at), &out, err);
        at = end + 1;
    }
    if (rc == KF_OK && (rc = db_use(db, state_sql, &st, err)) == KF_OK) {
        rc = db_step(st, &row, err);
        ret->seq = db_i64(st, 0);
        ret->stamp = db_i64(st, 1);
        ret->watermark = db_i64(st, 2);
        db_done(st);
    }
    if (rc == KF_OK)
        ret->text = strndup(out.p, out.len);
    buf_release(&tables);
    buf_release(&out);
    return rc;
}

kf_rc sim_dump(struct kf_store *s, struct snapshot *ret, struct kf_err *err)
{
    struct db *db;
    kf_rc rc = store_read(s, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = dump(db, ret, err);
    store_read_end(s, db);
    return rc;
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The tokens of a folder as the server would find them, a line each in the order of their names;
 * "asks" first when one was ever made. */
static char *tokens_text(const struct env *env, const char *dir)
{
    struct tokens *t = NULL;
    struct kf_err err = KF_ERR_INIT;
    struct buf out = BUF_INIT;
    char *lines[STEPS_MAX], line[200];
    size_t n = 0;
    if (tokens_open(&(struct tokens_options){.env = env, .dir = dir}, &t, &err) != KF_OK) {
        buf_printf(&out, "cannot be opened: %s", err.detail);
        return buf_detach(&out, NULL);
    }
    for (const struct token *k = tokens_after(t, STR("")); k; k = tokens_after(t, str_of(k->id))) {
        snprintf(line, sizeof(line), "%s %u %s\n", k->name, k->scope.rights,
                 token_lives(k, 0) ? "lives" : "revoked");
        lines[n++] = strdup(line);
    }
    qsort(lines, n, sizeof(*lines), compare_lines);
    buf_c(&out, tokens_defined(t) ? "asks\n" : "");
    for (size_t i = 0; i < n; i++) {
        buf_c(&out, lines[i]);
        free(lines[i]);
    }
    tokens_close(t);
    return buf_detach(&out, NULL);
}

char *sim_place_of(const struct sim *sim, const char *dir)
{
    char place[1200];
    snprintf(place, sizeof(place), "%s/place", dir);
    if (sim->script->tokens)
        return tokens_text(&sim->env, dir);
    return sim->script->pushes ? sim_place(&sim->env, place) : NULL;
}
