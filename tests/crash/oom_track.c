/* Every allocation of the public calls about tracked tables fails, and of what looks after them:
 * whatever was told, nothing that was committed in a table is missed by who reads on. */
#include "oom_rig.h"

#include "base/err.h"
#include "db/db.h"
#include "shape/track.h"
#include "testing_pg.h"

#include <stdio.h>
#include <string.h>

#define ROWS 12

static struct db *admin;
static char schema[80]; /* of the store, quoted */
static uint64_t last;   /* up to where changes were read */
static unsigned long long written;

static void sql(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void sql(const char *fmt, ...)
{
    struct kf_err err = KF_ERR_INIT;
    char text[800];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (db_exec(admin, text, &err) != KF_OK)
        fail_msg("%s: %s", text, err.detail);
}

static bool is_tracked(const char *table)
{
    struct kf_tracked_list l = {0};
    struct kf_err err = KF_ERR_INIT;
    bool found = false;
    if (kf_tracked(st.store, &l, &err) != KF_OK)
        fail_msg("with memory it does not list: %s", err.detail);
    for (size_t i = 0; i < l.count; i++)
        found |= strcmp(l.items[i].table, table) == 0;
    kf_tracked_list_free(&l);
    return found;
}

/* ------------------------------------------------------------------------------------ tracking */

static void not_tracked(void)
{
    kf_rc rc = kf_untrack(st.store, "other", &st.err);
    if (rc != KF_OK && rc != KF_ABSENT)
        fail_msg("with memory it does not untrack: %s", st.err.detail);
}

static void tracked(void)
{
    if (kf_track(st.store, "other", NULL, &st.err) != KF_OK)
        fail_msg("with memory it does not track: %s", st.err.detail);
}

static kf_rc track(void)
{
    bool is_new = false;
    kf_rc rc = kf_track(st.store, "other", &is_new, &st.err);
    assert_int_equal(is_new, rc == KF_OK);
    return rc;
}

/* Tracking is several groups: behind the first the table is tracked, and the same call again, or
 * whoever reads changes, ends it. */
static void tracked_or_not(kf_rc rc)
{
    assert_true(is_tracked("public.other") || rc != KF_OK);
    tracked();
    struct kf_change_query q = KF_CHANGE_QUERY_INIT;
    struct kf_change_list l = {0};
    q.table = "other";
    if (kf_changes(st.store, &q, &l, &st.err) != KF_OK)
        fail_msg("with memory it does not read: %s", st.err.detail);
    assert_int_equal(l.count, 3);
    kf_change_list_free(&l);
}

static kf_rc untrack(void)
{
    return kf_untrack(st.store, "other", &st.err);
}

static void untracked_or_not(kf_rc rc)
{
    assert_true(!is_tracked("public.other") || rc != KF_OK);
}

static kf_rc track_nothing(void)
{
    return kf_track(st.store, "nothing", NULL, &st.err);
}

static kf_rc list(void)
{
    struct kf_tracked_list l = {0};
    kf_rc rc = kf_tracked(st.store, &l, &st.err);
    assert_true(rc != KF_OK || l.count >= 1);
    kf_tracked_list_free(&l);
    return rc;
}

static kf_rc status(void)
{
    struct kf_status s;
    kf_rc rc = kf_status(st.store, &s, &st.err);
    assert_true(rc != KF_OK || s.tracked >= 1);
    return rc;
}

static kf_rc doctor(void)
{
    struct kf_finding_list l = {0};
    kf_rc rc = kf_doctor(st.store, &l, &st.err);
    kf_finding_list_free(&l);
    return rc;
}

/* ------------------------------------------------------------------------------------ changes */

static void a_change(void)
{
    sql("UPDATE base SET v = %llu WHERE id = %d", ++written, (int)(st.turn % ROWS));
}

static void an_altered_table(void)
{
    a_change();
    sql("ALTER TABLE base ALTER COLUMN w TYPE %s", st.turn % 2 ? "bigint" : "int");
}

/* What is told of the row that was written last is what it is. */
static kf_rc read_on(void)
{
    struct kf_change_query q = KF_CHANGE_QUERY_INIT;
    struct kf_change_list l = {0};
    char wanted[40];
    bool found = false;
    q.after = last;
    q.limit = 1000;
    kf_rc rc = kf_changes(st.store, &q, &l, &st.err);
    snprintf(wanted, sizeof wanted, "\"v\":%llu", written);
    for (size_t i = 0; i < l.count; i++)
        found |= l.items[i].row && strstr(l.items[i].row, wanted);
    if (rc == KF_OK) {
        assert_true(found);
        last = l.last;
    }
    kf_change_list_free(&l);
    return rc;
}

static void nothing_missed(kf_rc rc)
{
    if (rc != KF_OK && read_on() != KF_OK)
        fail_msg("with memory it does not read: %s", st.err.detail);
}

static bool go_on(void *ctx)
{
    (void)ctx;
    return true;
}

static kf_rc look_after(void)
{
    return tracks_look_after(st.store, go_on, NULL, &st.err);
}

static void looked_after(kf_rc rc)
{
    (void)rc;
    if (read_on() != KF_OK)
        fail_msg("with memory it does not read: %s", st.err.detail);
}

/* The store was kept by an older program. */
static void older_functions(void)
{
    a_change();
    sql("CREATE OR REPLACE FUNCTION %s.kf_track_version() RETURNS bigint LANGUAGE sql IMMUTABLE AS"
        " 'SELECT 0::bigint'",
        schema);
    sql("UPDATE %s.kf_tracked SET made = 0", schema);
}

/* Its triggers are gone, and the database refuses new ones: what is noted is another group. */
static void a_table_in_trouble(void)
{
    sql("DO $$ BEGIN EXECUTE (SELECT format('DROP TRIGGER %%I ON public.base', tgname) FROM"
        " pg_trigger WHERE tgrelid = 'public.base'::regclass LIMIT 1); END $$");
    a_change();
    sql("CREATE EVENT TRIGGER forbids ON ddl_command_end WHEN TAG IN ('CREATE TRIGGER')"
        " EXECUTE FUNCTION public.forbid()");
}

static void out_of_trouble(kf_rc rc)
{
    sql("DROP EVENT TRIGGER forbids");
    sql("UPDATE %s.kf_tracked SET tried = 0", schema);
    looked_after(rc);
}

static kf_rc name_one(void)
{
    static const str names[] = {{"base", 4}};
    return tracks_named(st.store, names, st.turn % 2, &st.err);
}

/* ------------------------------------------------------------------------------------- scripts */

static const struct script scripts[] = {
    {.name = "track", .run = track, .prepare = not_tracked, .check = tracked_or_not},
    {.name = "untrack", .run = untrack, .prepare = tracked, .check = untracked_or_not},
    {.name = "untrack_absent", .run = untrack, .prepare = not_tracked, .good = KF_ABSENT},
    {.name = "track_nothing", .run = track_nothing, .good = KF_ABSENT},
    {.name = "list", .run = list},
    {.name = "status", .run = status},
    {.name = "doctor", .run = doctor},
    {.name = "changes", .run = read_on, .prepare = a_change, .check = nothing_missed},
    {.name = "changes_altered",
     .run = read_on,
     .prepare = an_altered_table,
     .check = nothing_missed},
    {.name = "look_after", .run = look_after, .prepare = an_altered_table, .check = looked_after},
    {.name = "look_after_older",
     .run = look_after,
     .prepare = older_functions,
     .check = looked_after},
    {.name = "look_after_trouble",
     .run = look_after,
     .prepare = a_table_in_trouble,
     .check = out_of_trouble},
    {.name = "name", .run = name_one},
    {.name = "cold_changes",
     .run = read_on,
     .prepare = a_change,
     .check = nothing_missed,
     .cold = true},
    {.name = "cold_list", .run = list, .cold = true},
};
enum { SCRIPTS = sizeof scripts / sizeof *scripts };

/* ---------------------------------------------------------------------------------------- main */

static void note_schema(void)
{
    struct db_stmt *s;
    bool row = false;
    if (db_use(admin, "SELECT quote_ident(current_schema())", &s, NULL) != KF_OK ||
        db_step(s, &row, NULL) != KF_OK || !row)
        fail_msg("the schema has no name");
    snprintf(schema, sizeof schema, "%.*s", STR_ARGS(db_text(s, 0)));
    db_done(s);
}

static int set_up(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    oom_dir();
    st.path = testing_pg_new();
    st.store = oom_open(st.path);
    struct db_options o = {.env = env_system(), .path = st.path, .mode = DB_FOREIGN};
    if (db_open(&o, &admin, &err) != KF_OK)
        fail_msg("%s", err.detail);
    note_schema();
    sql("CREATE FUNCTION public.forbid() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'no triggers'; END $$");
    sql("CREATE TABLE public.base(id int PRIMARY KEY, v bigint, w int)");
    sql("INSERT INTO public.base SELECT n, 0, n FROM generate_series(0, %d) n", ROWS - 1);
    sql("CREATE TABLE public.other(id int PRIMARY KEY)");
    sql("INSERT INTO public.other VALUES (1), (2), (3)");
    sql("SET search_path TO public");
    if (kf_track(st.store, "base", NULL, &err) != KF_OK)
        fail_msg("%s", err.detail);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    db_close(admin);
    kf_close(&st.store, NULL);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct oom_program program = {.name = "oom_track",
                                               .scripts = scripts,
                                               .count = SCRIPTS,
                                               .set_up = set_up,
                                               .tear_down = tear_down,
                                               .fired_min = 300,
                                               .refused_min = 250};
    return oom_main(argc, argv, &program);
}
