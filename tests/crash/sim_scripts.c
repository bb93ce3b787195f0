/* What is done to a store while it is watched. Each script makes all it needs itself. */
#include "sim.h"

#include "api/tokens.h"
#include "base/err.h"

#include <stdio.h>
#include <string.h>

static void create(struct sim *sim)
{
    sim_open(sim, NULL);
    sim_put(sim, "a", 1, 10);
    sim_put(sim, "b", 1, 10);
    sim_close(sim);
}

static void put(struct sim *sim)
{
    sim_open(sim, NULL);
    for (int i = 0; i < 6; i++)
        sim_put(sim, i % 2 ? "odd" : "even", 1, 20);
    sim_close(sim);
}

static void batch(struct sim *sim)
{
    sim_open(sim, NULL);
    sim_put(sim, "a", 5, 300);
    sim_put(sim, "b", 20, 1000);
    sim_put_but_one(sim, "c", 4);
    sim_put(sim, "a", 3, 300);
    sim_close(sim);
}

static void delete_(struct sim *sim)
{
    sim_open(sim, NULL);
    sim_put(sim, "a", 10, 2000);
    sim_delete(sim, "a0");
    sim_delete(sim, "a5");
    sim_put(sim, "b", 1, 10);
    sim_close(sim);
}

static void checkpoint(struct sim *sim)
{
    sim_open(sim, NULL);
    for (int i = 0; i < 12; i++)
        sim_put(sim, "k", 2, 3000);
    sim_close(sim);
}

/* A reader keeps the log from beginning anew. */
static kf_rc begin_read(struct sim *sim, void *ctx, struct kf_err *err)
{
    return store_read(sim_store(sim), ctx, err);
}

static void checkpoint_behind_reader(struct sim *sim)
{
    struct db *reader = NULL;
    sim_open(sim, NULL);
    sim_put(sim, "k", 2, 3000);
    bool reads = sim_do(sim, begin_read, &reader) == KF_OK;
    for (int i = 0; i < 4; i++)
        sim_put(sim, "k", 2, 6000);
    if (reads)
        store_read_end(sim_store(sim), reader);
    for (int i = 0; i < 4; i++)
        sim_put(sim, "k", 2, 6000);
    sim_close(sim);
}

static void reopen(struct sim *sim)
{
    for (int i = 0; i < 3; i++) {
        sim_open(sim, NULL);
        sim_put(sim, "k", 1, 100);
        sim_close(sim);
    }
}

static void recover(struct sim *sim)
{
    for (int i = 0; i < 3; i++) {
        sim_open(sim, NULL);
        sim_put(sim, "k", 3, 1000);
        sim_abandon(sim);
    }
    sim_open(sim, NULL);
    sim_put(sim, "k", 1, 1000);
    sim_close(sim);
}

static void large(struct sim *sim)
{
    sim_open(sim, NULL);
    sim_put(sim, "k", 1, 200000);
    sim_put(sim, "k", 1, 100);
    sim_close(sim);
}

/* ------------------------------------------------------------------------------------- slices */

static kf_rc shrink_slice(struct group *g, void *ctx, bool *ret_more, struct kf_err *err)
{
    *ret_more = false;
    return db_shrink(group_db(g), 1000, err);
}

static kf_rc shrink_step(struct sim *sim, void *ctx, struct kf_err *err)
{
    return store_in_slices(sim_store(sim), shrink_slice, NULL, err);
}

static void shrink(struct sim *sim)
{
    sim_open(sim, NULL);
    sim_put(sim, "a", 1, 60000);
    sim_put(sim, "b", 1, 10);
    sim_delete(sim, "a0");
    sim_do(sim, shrink_step, NULL);
    sim_put(sim, "b", 1, 10);
    sim_close(sim);
}

/* ---------------------------------------------------------------------------------- migration */

/* What the steps add to a store of today's format. */
#define SECOND                                                   \
    "CREATE TABLE kf_new(a INTEGER PRIMARY KEY, b TEXT) STRICT;" \
    "INSERT INTO kf_new SELECT seq, key FROM kf_journal;"
#define THIRD "CREATE INDEX kf_new_b ON kf_new(b);"

static const struct schema_step steps[] = {{2, SECOND}, {3, THIRD}};
static char third_create[16384];
static const struct schema third = {
    .format = 3, .create = third_create, .steps = steps, .step_count = 2};

void sim_scripts_init(void)
{
    snprintf(third_create, sizeof(third_create), "%s;%s%s", schema_store.create, SECOND, THIRD);
}

static kf_rc migrate_step(struct sim *sim, void *ctx, struct kf_err *err)
{
    return sim_open(sim, &third);
}

static void migrate(struct sim *sim)
{
    sim_open(sim, NULL);
    sim_put(sim, "k", 5, 1000);
    sim_close(sim);
    sim_do(sim, migrate_step, NULL);
    sim_put(sim, "l", 1, 10);
    sim_close(sim);
}

/* --------------------------------------------------------------------------------------- swap */

static kf_rc scratch_fill(struct db *db, struct kf_err *err)
{
    kf_rc rc = schema_apply(db, &schema_store, err);
    if (rc == KF_OK)
        rc = db_exec(db,
                     "INSERT INTO kf_meta VALUES('k0', 'restored');"
                     "INSERT INTO kf_journal VALUES(90, 'meta', 'k0', 1, 'x');"
                     "UPDATE kf_state SET seq = 90, stamp = 999999999999999",
                     err);
    return rc == KF_OK ? db_harden(db, err) : rc;
}

static kf_rc swap_step(struct sim *sim, void *ctx, struct kf_err *err)
{
    struct buf path = BUF_INIT;
    const char *side;
    struct db *db = NULL;
    kf_rc rc = store_side_dir(sim_store(sim), &side, err);
    if (rc == KF_OK) {
        buf_printf(&path, "%s/restore.db", side);
        rc = buf_ok(&path, err);
    }
    struct db_options o = {
        .env = sim_env(sim), .path = path.p, .mode = DB_OWNER, .create = true, .throw_away = true};
    if (rc == KF_OK)
        rc = db_open(&o, &db, err);
    if (rc == KF_OK)
        rc = scratch_fill(db, err);
    db_close(db);
    if (rc == KF_OK)
        rc = store_swap(sim_store(sim), &(struct store_swap){.scratch = path.p}, err);
    buf_release(&path);
    return rc;
}

static void swap(struct sim *sim)
{
    sim_open(sim, NULL);
    sim_put(sim, "k", 3, 500);
    sim_do(sim, swap_step, NULL);
    sim_put(sim, "l", 2, 100);
    sim_close(sim);
}

/* ---------------------------------------------------------------------------------- documents */

static void docs(struct sim *sim)
{
    sim_open_docs(sim);
    sim_doc(sim, KF_PUT, "a/b.json", "{\"n\":1}", 0);
    sim_doc(sim, KF_PATCH, "a/b.json", "{\"m\":2}", 0);
    sim_doc(sim, KF_PUT, "a/b.json", "{\"n\":3}", 0); /* version 1 goes */
    sim_doc(sim, KF_REVERT, "a/b.json", NULL, 2);
    sim_doc(sim, KF_DELETE, "a/b.json", NULL, 0);
    sim_doc(sim, KF_PUT, "a/b.json", "{\"n\":6}", 0);
    sim_close(sim);
    sim_open_docs(sim);
    sim_doc(sim, KF_PUT, "c", "7", 0);
    sim_close(sim);
}

/* Groups, each larger than the log may be, over versions that go meanwhile. */
static void docs_in_groups(struct sim *sim)
{
    sim_open_docs(sim);
    for (int i = 0; i < 4; i++)
        sim_docs(sim, "d", 6, 3000);
    sim_doc(sim, KF_DELETE, "d2", NULL, 0);
    sim_docs(sim, "d", 6, 10);
    sim_close(sim);
}

static void streams(struct sim *sim)
{
    sim_open_docs(sim);
    sim_append(sim, "chat/a", 1, 1, 40);
    sim_append(sim, "chat/a", 1, 3, 40); /* the first is there */
    sim_attrs(sim, "chat/a", "{\"customer\":\"ann\"}");
    sim_append(sim, "last/a", 1, 5, 40); /* two go at once */
    sim_close(sim);
    sim_open_docs(sim);
    sim_append(sim, "chat/a", 3, 2, 40);
    sim_erase(sim, "chat/a");
    sim_append(sim, "chat/a", 1, 1, 40);
    sim_close(sim);
}

/* So many that their words are indexed in the same group; then they and their words are erased. */
static void streams_words(struct sim *sim)
{
    sim_open_docs(sim);
    sim_append(sim, "chat/a", 1, 530, 12);
    sim_append(sim, "chat/a", 531, 1, 12);
    sim_close(sim);
    sim_open_docs(sim);
    sim_erase(sim, "chat/a");
    sim_append(sim, "chat/b", 1, 1, 12);
    sim_close(sim);
}

/* Each durable by its record and told, and then committed: by another kind of write, because the
 * file is at its end, by closing. The file grows twice, and an erasure overwrites it. */
static void streams_ahead(struct sim *sim)
{
    sim_open_docs(sim);
    for (int i = 1; i <= 5; i++)
        sim_append(sim, i % 2 ? "chat/a" : "last/a", i, 1, 40);
    sim_append(sim, "chat/a", 3, 1, 40); /* again */
    sim_doc(sim, KF_PUT, "a", "1", 0);
    for (int i = 6; i <= 9; i++)
        sim_append(sim, i % 2 ? "last/a" : "chat/b", i, 1, 40);
    for (int i = 10; i <= 12; i++)
        sim_append(sim, "chat/b", i, 1, 150000);
    sim_erase(sim, "chat/b");
    sim_append(sim, "chat/b", 13, 1, 40);
    sim_append(sim, "chat/b", 14, 1, 40);
    sim_close(sim);
    sim_open_docs(sim);
    sim_append(sim, "chat/b", 15, 1, 40);
    sim_append(sim, "chat/b", 16, 1, 40);
    sim_close(sim);
}

static kf_rc push_step(struct sim *sim, void *ctx, struct kf_err *err)
{
    return kf_sync(sim_store(sim), "place", 60000, err);
}

static void push(struct sim *sim)
{
    sim_open(sim, NULL); /* so that it is not empty when it meets its remote */
    sim_put(sim, "k", 1, 10);
    sim_close(sim);
    sim_open_docs(sim);
    sim_doc(sim, KF_PUT, "a", "1", 0);
    sim_doc(sim, KF_PUT, "b/c.json", "{\"n\":2}", 0);
    sim_do(sim, push_step, NULL);
    sim_doc(sim, KF_PUT, "a", "3", 0);
    sim_doc(sim, KF_DELETE, "b/c.json", NULL, 0);
    sim_do(sim, push_step, NULL);
    sim_docs(sim, "d", 5, 50);
    sim_do(sim, push_step, NULL);
    sim_close(sim);
}

/* So many that they are synced by one flush of the file system. */
static void push_many(struct sim *sim)
{
    sim_open(sim, NULL);
    sim_put(sim, "k", 1, 10);
    sim_close(sim);
    sim_open_docs(sim);
    sim_docs(sim, "d", 32, 20);
    sim_docs(sim, "e", 8, 20);
    sim_do(sim, push_step, NULL);
    sim_close(sim);
}

/* One is kept back by what looks like a secret, until it holds none. */
static kf_rc push_rest_step(struct sim *sim, void *ctx, struct kf_err *err)
{
    kf_rc rc = kf_sync(sim_store(sim), "place", 60000, err);
    return rc == KF_UNAVAILABLE && err && strcmp(err->code, "secret_found") == 0 ? KF_OK : rc;
}

static void push_rest(struct sim *sim)
{
    static const char secret[] = "[\"gh"
                                 "p_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5\"]";
    sim_open(sim, NULL);
    sim_put(sim, "k", 1, 10);
    sim_close(sim);
    sim_open_docs(sim);
    sim_doc(sim, KF_PUT, "a", "1", 0);
    sim_doc(sim, KF_PUT, "secret", secret, 0);
    sim_doc(sim, KF_PUT, "z", "2", 0);
    sim_do(sim, push_rest_step, NULL);
    sim_doc(sim, KF_PUT, "secret", "[]", 0);
    sim_do(sim, push_step, NULL);
    sim_doc(sim, KF_PUT, "other", secret, 0);
    sim_do(sim, push_rest_step, NULL);
    sim_doc(sim, KF_DELETE, "other", NULL, 0);
    sim_do(sim, push_step, NULL);
    sim_close(sim);
}

static void push_streams(struct sim *sim)
{
    sim_open(sim, NULL);
    sim_put(sim, "k", 1, 10);
    sim_close(sim);
    sim_open_docs(sim);
    sim_append(sim, "chat/a", 1, 3, 40);
    sim_attrs(sim, "chat/a", "{\"customer\":\"ann\"}");
    sim_append(sim, "chat/b", 1, 1, 40);
    sim_do(sim, push_step, NULL);
    sim_append(sim, "chat/a", 4, 2, 40);
    sim_doc(sim, KF_PUT, "a", "1", 0);
    sim_do(sim, push_step, NULL);
    sim_erase(sim, "chat/a");
    sim_do(sim, push_step, NULL);
    sim_append(sim, "chat/a", 1, 1, 40);
    sim_do(sim, push_step, NULL);
    sim_close(sim);
}

/* ----------------------------------------------------------------------------------- tokens */

static kf_rc make_step(struct sim *sim, void *ctx, struct kf_err *err)
{
    static const struct token_scope scope = {.rights = TOKEN_READ, .expires_ms = TOKEN_NEVER};
    struct tokens *t = ctx;
    char text[TOKEN_TEXT_LEN + 1], name[16];
    const struct token *k = tokens_after(t, STR("")), *made;
    size_t count = 0;
    for (; k; k = tokens_after(t, str_of(k->id)))
        count++;
    snprintf(name, sizeof(name), "number %zu", count);
    return tokens_make(t, str_of(name), &scope, text, &made, err);
}

/* Of the first that lives, whichever that is. */
static kf_rc revoke_step(struct sim *sim, void *ctx, struct kf_err *err)
{
    struct tokens *t = ctx;
    const struct token *k = tokens_after(t, STR(""));
    while (k && !token_lives(k, 0))
        k = tokens_after(t, str_of(k->id));
    return k ? tokens_revoke(t, str_of(k->id), err) : KF_OK;
}

static void tokens(struct sim *sim)
{
    static const char steps_made[] = "mmrmrrm"; /* make, revoke: also the last that lives */
    struct tokens *t = NULL;
    sim_open(sim, NULL);
    sim_put(sim, "k", 1, 10);
    if (tokens_open(&(struct tokens_options){.env = sim_env(sim), .dir = sim_dir(sim)}, &t, NULL) ==
        KF_OK)
        for (const char *at = steps_made; *at; at++)
            sim_do(sim, *at == 'm' ? make_step : revoke_step, t);
    tokens_close(t);
    sim_close(sim);
}

/* ----------------------------------------------------------------------------------- backup */

static const char *archive(struct sim *sim)
{
    static char path[1100];
    snprintf(path, sizeof(path), "%s/backup.zip", sim_dir(sim));
    return path;
}

static kf_rc backup_step(struct sim *sim, void *ctx, struct kf_err *err)
{
    return kf_backup(sim_store(sim), archive(sim), NULL, err);
}

static kf_rc restore_step(struct sim *sim, void *ctx, struct kf_err *err)
{
    struct kf_restore_options o = KF_RESTORE_OPTIONS_INIT;
    o.replace = true;
    return kf_restore(sim_store(sim), archive(sim), &o, err);
}

static void restore(struct sim *sim)
{
    sim_open_docs(sim);
    sim_docs(sim, "d", 3, 300);
    sim_doc(sim, KF_PUT, "d1", "1", 0);
    sim_doc(sim, KF_DELETE, "d2", NULL, 0);
    sim_do(sim, backup_step, NULL);
    sim_doc(sim, KF_PUT, "d0", "\"after\"", 0);
    sim_do(sim, restore_step, NULL);
    sim_doc(sim, KF_PUT, "d0", "\"again\"", 0);
    sim_close(sim);
}

static void restore_streams(struct sim *sim)
{
    sim_open_docs(sim);
    sim_append(sim, "chat/a", 1, 3, 40);
    sim_docs(sim, "d", 3, 300);
    sim_doc(sim, KF_PUT, "d1", "1", 0);
    sim_doc(sim, KF_DELETE, "d2", NULL, 0);
    sim_do(sim, backup_step, NULL);
    sim_doc(sim, KF_PUT, "d0", "\"after\"", 0);
    sim_append(sim, "chat/a", 4, 1, 40);
    sim_do(sim, restore_step, NULL);
    sim_append(sim, "chat/a", 5, 1, 40);
    sim_doc(sim, KF_PUT, "d0", "\"again\"", 0);
    sim_close(sim);
}

#define SCRIPT(f, ...)                    \
    {                                     \
        .name = #f, .run = f, __VA_ARGS__ \
    }

const struct sim_script sim_scripts[] = {
    SCRIPT(create),
    SCRIPT(put),
    SCRIPT(batch),
    {.name = "delete", .run = delete_},
    SCRIPT(checkpoint),
    SCRIPT(checkpoint_behind_reader),
    SCRIPT(reopen),
    SCRIPT(recover),
    SCRIPT(large),
    SCRIPT(shrink),
    SCRIPT(migrate, .schema = &third, .migrates = 2),
    SCRIPT(swap),
    SCRIPT(docs),
    SCRIPT(docs_in_groups),
    SCRIPT(streams),
    SCRIPT(streams_words),
    SCRIPT(streams_ahead),
    SCRIPT(push, .pushes = true),
    SCRIPT(push_many, .pushes = true),
    SCRIPT(push_rest, .pushes = true),
    SCRIPT(push_streams, .pushes = true),
    SCRIPT(restore),
    SCRIPT(restore_streams),
    SCRIPT(tokens, .tokens = true),
};
const size_t sim_script_count = sizeof(sim_scripts) / sizeof(sim_scripts[0]);
