/* The table of tokens, in memory and in DIR/_keepfast.db, or in the schema kf__keepfast of the
 * database. The contract is tokens.h.
 *
 *     kf_token    a row for each that is not forgotten
 *                 id TEXT, hash BLOB (32 bytes), name TEXT, rights INTEGER (bits of token_right),
 *                 spaces TEXT, prefixes TEXT (arrays of JSON; [] = all),
 *                 created, expires, revoked, used INTEGER (milliseconds since 1970; 0 = never)
 *     kf_server   what the server knows of itself: "tokens" = "defined" with the first one
 *
 * In memory an entry is reached by its hash (a request) and by its id (an array in their order:
 * lists, revocation). Entries are never moved or freed before the table is, so that who found one
 * may go on using it without the lock.
 *
 * Two locks: `file` is held while the file is read or written, `lock` for moments around the
 * memory, never while a database is waited for: the loops take it with every request. `file` comes
 * first.
 *
 * On PostgreSQL what others revoke is known TOKENS_REFRESH_MS later, over a connection that is
 * kept. Who could not ask for TOKENS_STALE_MS knows no tokens (tokens_known): a revoked one does
 * not live as long as the network is away. */
#include "api/tokens.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/hooks.h"
#include "base/json.h"
#include "base/table.h"
#include "base/when.h"
#include "db/db.h"
#include "db/schema.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#define SECRET_LEN   32
#define USED_STEP_MS 60000
#define BUSY_MS      2000
#define REFRESH_MS   3000 /* what a refresh may take */

struct entry {
    struct token token;
    struct hash hash;
    int64_t used_written_ms, used_sent_ms; /* with `file`: of used_ms, in the table and behind it */
    UT_hash_handle hh;
    bool lost; /* for lack of memory: table.h */
};

struct tokens {
    const struct env *env;
    db_go_on *lives;
    void *lives_ctx;
    char *path;  /* of PostgreSQL with its password: a secret */
    char *shown; /* the same for people */
    pthread_mutex_t file;
    struct db *db; /* with `file`: the connection of tokens_refresh; NULL = none */
    pthread_rwlock_t lock;
    struct arena arena; /* entries and what they point to */
    struct entry *by_hash;
    struct entry **by_id;
    size_t count, cap;
    bool shared; /* on PostgreSQL, where other servers write, too */
    atomic_bool defined;
    atomic_int_fast64_t known_ms; /* when they were read last, monotonic; -1 = never */
    atomic_bool unwritten;
};

/* --------------------------------------------------------------------------------- the tables */

static const char create_sql[] =
    "CREATE TABLE kf_token(id TEXT PRIMARY KEY NOT NULL, hash BLOB NOT NULL UNIQUE,"
    " name TEXT NOT NULL, rights INTEGER NOT NULL, spaces TEXT NOT NULL, prefixes TEXT NOT NULL,"
    " created INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER NOT NULL,"
    " used INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE kf_server(key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT,"
    " WITHOUT ROWID;";

static const char probe_sql[] =
    "SELECT t.id, t.hash, t.name, t.rights, t.spaces, t.prefixes, t.created, t.expires, t.revoked,"
    " t.used, s.key, s.value FROM kf_token t, kf_server s LIMIT 0";

static const char pg_create_sql[] =
    "CREATE TABLE kf_token(id text COLLATE \"C\" PRIMARY KEY, hash bytea NOT NULL UNIQUE,"
    " name text NOT NULL, rights bigint NOT NULL, spaces text NOT NULL, prefixes text NOT NULL,"
    " created bigint NOT NULL, expires bigint NOT NULL, revoked bigint NOT NULL,"
    " used bigint NOT NULL);"
    "CREATE TABLE kf_server(key text COLLATE \"C\" PRIMARY KEY, value text NOT NULL);";

static const struct schema schema_server = {
    .format = 1, .create = create_sql, .pg_create = pg_create_sql, .probe = probe_sql};

/* The caller closes it. With `make` it is made when it is not there, else KF_ABSENT. */
static kf_rc open_file(const struct tokens *t, bool make, struct db **ret, struct kf_err *err)
{
    struct db_options o = {.env = t->env,
                           .path = t->path,
                           .mode = DB_OWNER,
                           .create = make,
                           .busy_ms = BUSY_MS,
                           .lives = t->lives,
                           .lives_ctx = t->lives_ctx};
    struct db *db = NULL;
    enum schema_found found;
    int format;
    kf_rc rc = db_open(&o, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = schema_look(db, &schema_server, &found, &format, err);
    if (rc == KF_OK && found != SCHEMA_CURRENT)
        rc = schema_apply(db, &schema_server, err);
    if (rc == KF_OK)
        *ret = db;
    else
        db_close(db);
    return rc;
}

/* ------------------------------------------------------------------------------------- memory */

/* Where `id` stands in by_id, or would. */
static size_t place_of(const struct tokens *t, str id)
{
    size_t low = 0, high = t->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (str_cmp(str_of(t->by_id[mid]->token.id), id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct entry *entry_of(const struct tokens *t, str id)
{
    size_t at = place_of(t, id);
    return at < t->count && str_is(id, t->by_id[at]->token.id) ? t->by_id[at] : NULL;
}

/* Room for one more, so that adding it cannot fail half way. */
static kf_rc reserve(struct tokens *t, struct kf_err *err)
{
    if (t->count < t->cap)
        return KF_OK;
    size_t cap = t->cap ? t->cap * 2 : 16;
    struct entry **more = mem_realloc(t->by_id, cap * sizeof(struct entry *));
    if (!more)
        return err_nomem(err);
    t->by_id = more;
    t->cap = cap;
    return KF_OK;
}

/* With the lock held for writing, or nobody else there. */
static kf_rc add(struct tokens *t, struct entry *e, struct kf_err *err)
{
    kf_rc rc = reserve(t, err);
    if (rc != KF_OK)
        return rc;
    HASH_ADD(hh, t->by_hash, hash, sizeof(e->hash), e);
    if (e->lost)
        return err_nomem(err);
    size_t at = place_of(t, str_of(e->token.id));
    memmove(t->by_id + at + 1, t->by_id + at, (t->count - at) * sizeof(struct entry *));
    t->by_id[at] = e;
    t->count++;
    return KF_OK;
}

static kf_rc copy_list(struct tokens *t, const str *from, size_t count, const str **ret,
                       struct kf_err *err)
{
    str *list = count ? arena_alloc(&t->arena, count * sizeof *list) : NULL;
    if (count && !list)
        return err_nomem(err);
    for (size_t i = 0; i < count; i++) {
        list[i] = arena_str(&t->arena, from[i]);
        if (!list[i].p)
            return err_nomem(err);
    }
    *ret = list;
    return KF_OK;
}

/* An entry with copies of all that it names; not yet in the table. */
static kf_rc entry_make(struct tokens *t, str id, str name, const struct token_scope *scope,
                        struct entry **ret, struct kf_err *err)
{
    struct entry *e = arena_alloc(&t->arena, sizeof *e);
    if (!e)
        return err_nomem(err);
    *e = (struct entry){.token = {.scope = *scope}};
    assert(id.len == TOKEN_ID_LEN);
    memcpy(e->token.id, id.p, id.len);
    e->token.name = arena_dup(&t->arena, name);
    if (!e->token.name)
        return err_nomem(err);
    kf_rc rc = copy_list(t, scope->spaces, scope->space_count, &e->token.scope.spaces, err);
    if (rc == KF_OK)
        rc = copy_list(t, scope->prefixes, scope->prefix_count, &e->token.scope.prefixes, err);
    if (rc == KF_OK)
        *ret = e;
    return rc;
}

/* ------------------------------------------------------------------------------------ reading */

static kf_rc damaged(const struct tokens *t, str id, struct kf_err *err)
{
    return err_set(err, PROBLEM_DAMAGED,
                   "the token %.*s in %s is not as this program writes it: put the file back from "
                   "a copy, or move it away and make the tokens anew",
                   (int)(id.len < 40 ? id.len : 40), id.p, t->shown);
}

/* An array of strings, as it stands in a column. */
static kf_rc read_list(const struct tokens *t, str json, str id, struct arena *scratch,
                       const str **ret, size_t *ret_count, struct kf_err *err)
{
    struct json_node *root;
    size_t n = 0;
    kf_rc rc = json_parse(json, NULL, scratch, &root, err);
    if (rc == KF_NOMEM)
        return rc;
    if (rc != KF_OK || root->type != JSON_ARRAY)
        return damaged(t, id, err);
    for (const struct json_node *e = root->child; e; e = e->next)
        n++;
    str *list = arena_alloc(scratch, (n + 1) * sizeof *list);
    if (!list)
        return err_nomem(err);
    n = 0;
    for (const struct json_node *e = root->child; e; e = e->next) {
        if (e->type != JSON_STRING)
            return damaged(t, id, err);
        list[n] = json_text(e->raw, scratch);
        if (!list[n++].p)
            return err_nomem(err);
    }
    *ret = list;
    *ret_count = n;
    return KF_OK;
}

/* A row as it was read, in an arena of its own. */
struct token_row {
    struct token_row *next;
    str id, name;
    struct hash hash;
    struct token_scope scope;
    int64_t created_ms, revoked_ms, used_ms;
};

static kf_rc read_row(const struct tokens *t, struct db_stmt *s, struct arena *arena,
                      struct token_row **ret, struct kf_err *err)
{
    str hash = db_text(s, 1);
    struct token_row *r = arena_alloc(arena, sizeof *r);
    if (!r)
        return err_nomem(err);
    *r = (struct token_row){.id = arena_str(arena, db_text(s, 0)),
                            .name = arena_str(arena, db_text(s, 2)),
                            .scope = {.rights = (unsigned)db_i64(s, 3)},
                            .created_ms = db_i64(s, 6),
                            .revoked_ms = db_i64(s, 8),
                            .used_ms = db_i64(s, 9)};
    if (!r->id.p || !r->name.p)
        return err_nomem(err);
    if (r->id.len != TOKEN_ID_LEN || hash.len != HASH_LEN)
        return damaged(t, r->id, err);
    memcpy(r->hash.b, hash.p, HASH_LEN);
    struct token_scope *scope = &r->scope;
    str spaces = arena_str(arena, db_text(s, 4)), prefixes = arena_str(arena, db_text(s, 5));
    if (!spaces.p || !prefixes.p)
        return err_nomem(err);
    kf_rc rc = read_list(t, spaces, r->id, arena, &scope->spaces, &scope->space_count, err);
    if (rc == KF_OK)
        rc = read_list(t, prefixes, r->id, arena, &scope->prefixes, &scope->prefix_count, err);
    scope->expires_ms = db_i64(s, 7) ? db_i64(s, 7) : TOKEN_NEVER;
    if (rc == KF_OK && token_scope_check(scope, NULL) != KF_OK)
        rc = damaged(t, r->id, err);
    if (rc == KF_OK)
        *ret = r;
    return rc;
}

/* With the lock held for writing. */
static kf_rc take_row(struct tokens *t, const struct token_row *r, struct kf_err *err)
{
    struct entry *e = entry_of(t, r->id);
    if (e && !t->shared)
        return damaged(t, r->id, err);
    if (e) { /* what can have changed elsewhere */
        int64_t never = 0;
        if (r->revoked_ms)
            atomic_compare_exchange_strong(&e->token.revoked_ms, &never, r->revoked_ms);
        return KF_OK;
    }
    kf_rc rc = entry_make(t, r->id, r->name, &r->scope, &e, err);
    if (rc != KF_OK)
        return rc;
    e->hash = r->hash;
    e->token.created_ms = r->created_ms;
    atomic_store(&e->token.revoked_ms, r->revoked_ms);
    atomic_store(&e->token.used_ms, r->used_ms);
    e->used_written_ms = r->used_ms;
    return add(t, e, err);
}

static kf_rc take_rows(struct tokens *t, const struct token_row *rows, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    pthread_rwlock_wrlock(&t->lock);
    for (; rows && rc == KF_OK; rows = rows->next)
        rc = take_row(t, rows, err);
    pthread_rwlock_unlock(&t->lock);
    return rc;
}

/* All of them, in their order; then into memory. */
static kf_rc read_rows(struct tokens *t, struct db *db, struct kf_err *err)
{
    static const char sql[] = "SELECT id, hash, name, rights, spaces, prefixes, created, expires,"
                              " revoked, used FROM kf_token ORDER BY id";
    struct arena arena = ARENA_INIT;
    struct token_row *first = NULL, **end = &first;
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    while (rc == KF_OK && (rc = db_step(s, &row, err)) == KF_OK && row)
        if ((rc = read_row(t, s, &arena, end, err)) == KF_OK)
            end = &(*end)->next;
    db_done(s);
    if (rc == KF_OK)
        rc = take_rows(t, first, err);
    arena_release(&arena);
    return rc;
}

static kf_rc read_defined(struct tokens *t, struct db *db, struct kf_err *err)
{
    static const char sql[] = "SELECT 1 FROM kf_server WHERE key = 'tokens'";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    rc = db_step(s, &row, err);
    db_done(s);
    if (rc == KF_OK)
        atomic_store(&t->defined, row || t->count > 0);
    return rc;
}

static kf_rc forget_old(struct db *db, int64_t now_ms, struct kf_err *err)
{
    static const char sql[] = "DELETE FROM kf_token WHERE (revoked > 0 AND revoked < $1) OR "
                              "(expires > 0 AND expires < $1)";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, now_ms - TOKEN_FORGET_MS);
    return db_run(s, err);
}

static kf_rc load(struct tokens *t, struct kf_err *err)
{
    struct stat st;
    struct db *db = NULL;
    kf_rc rc = t->shared ? KF_OK : path_stat(t->env, t->path, &st, err);
    if (rc == KF_OK)
        rc = open_file(t, false, &db, err);
    if (rc == KF_ABSENT)
        return KF_OK;
    if (rc != KF_OK)
        return rc;
    rc = forget_old(db, env_wall_ms(t->env), err);
    if (rc == KF_FULL || rc == KF_READ_ONLY) /* it is for another time */
        rc = KF_OK;
    if (rc == KF_OK)
        rc = read_rows(t, db, err);
    if (rc == KF_OK)
        rc = read_defined(t, db, err);
    db_close(db);
    return rc;
}

static kf_rc name_place(struct tokens *t, const char *dir, struct kf_err *err)
{
    struct buf path = BUF_INIT, shown = BUF_INIT;
    kf_rc rc = KF_OK;
    t->shared = db_is_url(dir);
    if (t->shared) {
        rc = db_url_at(dir, "_keepfast", &path, err);
        if (rc == KF_OK)
            rc = db_url_show(dir, "_keepfast", &shown, err);
    } else {
        buf_printf(&path, "%s/_keepfast.db", dir);
        buf_str(&shown, buf_view(&path));
    }
    t->path = buf_detach(&path, NULL);
    t->shown = buf_detach(&shown, NULL);
    return rc != KF_OK || (t->path && t->shown) ? rc : err_nomem(err);
}

kf_rc tokens_open(const struct tokens_options *o, struct tokens **ret_tokens, struct kf_err *err)
{
    struct tokens *t = mem_calloc(1, sizeof *t);
    if (!t)
        return err_nomem(err);
    t->env = o->env;
    t->lives = o->lives;
    t->lives_ctx = o->lives_ctx;
    atomic_init(&t->known_ms, -1);
    pthread_mutex_init(&t->file, NULL);
    pthread_rwlock_init(&t->lock, NULL);
    kf_rc rc = name_place(t, o->dir, err);
    int64_t now_ms = env_mono_ms(o->env);
    if (rc == KF_OK)
        rc = load(t, err);
    /* Until they can be read nobody is let in (tokens_known). */
    if (rc == KF_BUSY && t->shared)
        rc = KF_OK;
    else if (rc == KF_OK)
        atomic_store(&t->known_ms, now_ms);
    if (rc == KF_OK)
        *ret_tokens = t;
    else
        tokens_close(t);
    return rc;
}

void tokens_close(struct tokens *t)
{
    if (!t)
        return;
    db_close(t->db);
    HASH_CLEAR(hh, t->by_hash);
    mem_free(t->by_id);
    if (t->path)
        mem_wipe(t->path, strlen(t->path));
    mem_free(t->path);
    mem_free(t->shown);
    arena_release(&t->arena);
    pthread_mutex_destroy(&t->file);
    pthread_rwlock_destroy(&t->lock);
    mem_free(t);
}

bool tokens_known(const struct tokens *t)
{
    int64_t known_ms = atomic_load(&t->known_ms);
    return known_ms >= 0 && (!t->shared || env_mono_ms(t->env) - known_ms < TOKENS_STALE_MS);
}

bool tokens_shared(const struct tokens *t)
{
    return t->shared;
}

/* With `file`. Over the connection that is kept; one that has failed is not kept. */
static kf_rc refresh(struct tokens *t, struct kf_err *err)
{
    kf_rc rc = t->db ? KF_OK : open_file(t, false, &t->db, err);
    if (rc != KF_OK)
        return rc == KF_ABSENT ? KF_OK : rc;
    db_deadline(t->db, REFRESH_MS);
    rc = read_rows(t, t->db, err);
    if (rc == KF_OK && !atomic_load(&t->defined))
        rc = read_defined(t, t->db, err);
    db_deadline(t->db, 0);
    if (rc != KF_OK) {
        db_close(t->db);
        t->db = NULL;
    }
    return rc;
}

kf_rc tokens_refresh(struct tokens *t, struct kf_err *err)
{
    if (!t->shared)
        return KF_OK;
    pthread_mutex_lock(&t->file);
    int64_t now_ms = env_mono_ms(t->env);
    kf_rc rc = refresh(t, err);
    if (rc == KF_OK)
        atomic_store(&t->known_ms, now_ms);
    pthread_mutex_unlock(&t->file);
    return rc;
}

bool tokens_defined(const struct tokens *t)
{
    return atomic_load(&t->defined);
}

/* ------------------------------------------------------------------------------------ writing */

static void put_list(struct buf *out, const str *list, size_t count)
{
    buf_byte(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_byte(out, ',');
        buf_json_string(out, list[i]);
    }
    buf_byte(out, ']');
}

static kf_rc insert_row(struct db *db, const struct entry *e, struct kf_err *err)
{
    static const char sql[] =
        "INSERT INTO kf_token(id, hash, name, rights, spaces, prefixes, created, expires, revoked,"
        " used) VALUES($1, $2, $3, $4, $5, $6, $7, $8, 0, 0)";
    const struct token_scope *scope = &e->token.scope;
    struct buf spaces = BUF_INIT, prefixes = BUF_INIT;
    struct db_stmt *s;
    put_list(&spaces, scope->spaces, scope->space_count);
    put_list(&prefixes, scope->prefixes, scope->prefix_count);
    kf_rc rc = buf_ok(&spaces, err);
    if (rc == KF_OK)
        rc = buf_ok(&prefixes, err);
    if (rc == KF_OK)
        rc = db_use(db, sql, &s, err);
    if (rc == KF_OK) {
        db_bind_text(s, 1, str_of(e->token.id));
        db_bind_blob(s, 2, str_make(e->hash.b, HASH_LEN));
        db_bind_text(s, 3, str_of(e->token.name));
        db_bind_i64(s, 4, scope->rights);
        db_bind_text(s, 5, buf_view(&spaces));
        db_bind_text(s, 6, buf_view(&prefixes));
        db_bind_i64(s, 7, e->token.created_ms);
        db_bind_i64(s, 8, scope->expires_ms == TOKEN_NEVER ? 0 : scope->expires_ms);
        rc = db_run(s, err);
    }
    buf_release(&spaces);
    buf_release(&prefixes);
    return rc;
}

/* One transaction of `change` on the file, durable when it is KF_OK. With t->file held. */
static kf_rc in_file(const struct tokens *t,
                     kf_rc (*change)(struct db *db, void *ctx, struct kf_err *err), void *ctx,
                     struct kf_err *err)
{
    struct db *db;
    kf_rc rc = open_file(t, true, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = db_begin(db, DB_WRITE, err);
    if (rc == KF_OK)
        rc = change(db, ctx, err);
    if (rc == KF_OK && !KF_SABOTAGE("token-unwritten"))
        rc = db_commit(db, err);
    db_close(db);
    return rc;
}

static kf_rc change_make(struct db *db, void *ctx, struct kf_err *err)
{
    const struct entry *e = ctx;
    kf_rc rc = forget_old(db, e->token.created_ms, err);
    if (rc == KF_OK)
        rc = insert_row(db, e, err);
    return rc == KF_OK ? db_exec(db,
                                 "INSERT INTO kf_server VALUES('tokens', 'defined') ON "
                                 "CONFLICT(key) DO NOTHING",
                                 err)
                       : rc;
}

static kf_rc check_name(str name, struct kf_err *err)
{
    bool ok = name.len > 0 && name.len <= TOKEN_NAME_MAX && str_utf8_valid(name) == name.len;
    for (size_t i = 0; ok && i < name.len; i++)
        ok = (unsigned char)name.p[i] >= 0x20 && name.p[i] != 0x7f;
    return ok ? KF_OK
              : err_set(err, PROBLEM_BAD_REQUEST,
                        "a token's name is for people: 1 to %d bytes of text on one line",
                        TOKEN_NAME_MAX);
}

/* 36 letters do not divide 256: bytes beyond the last whole round are drawn again. */
static void draw_id(const struct env *env, char out[TOKEN_ID_LEN + 1])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t n = 0; n < TOKEN_ID_LEN;) {
        unsigned char byte;
        env->random(env->ctx, &byte, 1);
        if (byte < 252)
            out[n++] = letters[byte % 36];
    }
    out[TOKEN_ID_LEN] = '\0';
}

static void draw_text(const struct env *env, char out[TOKEN_TEXT_LEN + 1])
{
    unsigned char secret[SECRET_LEN];
    const size_t mark = strlen(TOKEN_MARK);
    env->random(env->ctx, secret, sizeof secret);
    memcpy(out, TOKEN_MARK, sizeof TOKEN_MARK);
    sodium_bin2base64(out + mark, TOKEN_TEXT_LEN + 1 - mark, secret, sizeof secret,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    mem_wipe(secret, sizeof secret);
}

static bool is_old(const struct token *k, int64_t now_ms)
{
    int64_t revoked_ms = atomic_load(&k->revoked_ms), limit_ms = now_ms - TOKEN_FORGET_MS;
    return (revoked_ms > 0 && revoked_ms < limit_ms) || k->scope.expires_ms < limit_ms;
}

/* What forget_old is to the file. With t->lock held for writing; a call may still hold one. */
static void forget_in_memory(struct tokens *t, int64_t now_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->count; i++) {
        struct entry *e = t->by_id[i];
        assert(t->by_hash); /* it has e */
        if (is_old(&e->token, now_ms))
            HASH_DELETE(hh, t->by_hash, e);
        else
            t->by_id[kept++] = e;
    }
    t->count = kept;
}

/* With t->lock held for writing: a new entry with an id that nobody has. */
static kf_rc prepare(struct tokens *t, str name, const struct token_scope *scope,
                     struct entry **ret, struct kf_err *err)
{
    char id[TOKEN_ID_LEN + 1];
    if (t->count >= TOKENS_MAX)
        return err_set(err, PROBLEM_QUOTA,
                       "there are %d tokens, with those revoked or expired in the last 90 days: "
                       "the most there can be",
                       TOKENS_MAX);
    do
        draw_id(t->env, id);
    while (entry_of(t, str_of(id)));
    return entry_make(t, str_of(id), name, scope, ret, err);
}

kf_rc tokens_make(struct tokens *t, str name, const struct token_scope *scope, char *ret_text,
                  const struct token **ret_token, struct kf_err *err)
{
    char text[TOKEN_TEXT_LEN + 1];
    struct entry *e = NULL;
    int64_t now_ms = env_wall_ms(t->env);
    kf_rc rc = check_name(name, err);
    if (rc == KF_OK)
        rc = token_scope_check(scope, err);
    if (rc == KF_OK && scope->expires_ms <= now_ms)
        rc = err_set(err, PROBLEM_BAD_REQUEST, "a token cannot expire before it is made");
    if (rc != KF_OK)
        return rc;
    pthread_mutex_lock(&t->file);
    pthread_rwlock_wrlock(&t->lock);
    forget_in_memory(t, now_ms);
    rc = prepare(t, name, scope, &e, err);
    pthread_rwlock_unlock(&t->lock);
    if (rc == KF_OK) {
        draw_text(t->env, text);
        hash_of(str_make(text, TOKEN_TEXT_LEN), &e->hash);
        e->token.created_ms = now_ms;
        rc = in_file(t, change_make, e, err);
    }
    if (rc == KF_OK) {
        atomic_store(&t->defined, true);
        pthread_rwlock_wrlock(&t->lock);
        /* Without memory for it the row stays behind: a token whose text nobody was told. */
        rc = add(t, e, err);
        pthread_rwlock_unlock(&t->lock);
    }
    pthread_mutex_unlock(&t->file);
    if (rc == KF_OK) {
        memcpy(ret_text, text, sizeof text);
        *ret_token = &e->token;
    }
    mem_wipe(text, sizeof text);
    return rc;
}

static kf_rc change_revoke(struct db *db, void *ctx, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_token SET revoked = $1 WHERE id = $2 AND revoked = 0";
    const struct token *k = ctx;
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, atomic_load(&k->revoked_ms));
    db_bind_text(s, 2, str_of(k->id));
    return db_run(s, err);
}

kf_rc tokens_revoke(struct tokens *t, str id, struct kf_err *err)
{
    struct token *k = (struct token *)(uintptr_t)tokens_by_id(t, id);
    int64_t never = 0;
    if (!k)
        return err_set(err, PROBLEM_NOT_FOUND,
                       "there is no token with this id; keepfast token ls lists them");
    atomic_compare_exchange_strong(&k->revoked_ms, &never, env_wall_ms(t->env));
    pthread_mutex_lock(&t->file);
    kf_rc rc = in_file(t, change_revoke, k, err);
    pthread_mutex_unlock(&t->file);
    if (rc != KF_OK)
        err_prefix(err, "the token is refused from now on, but it was not written down and will be "
                        "taken again after a restart; try again");
    return rc;
}

static kf_rc change_use(struct db *db, void *ctx, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_token SET used = $1 WHERE id = $2";
    struct tokens *t = ctx;
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < t->count; i++) {
        struct entry *e = t->by_id[i];
        int64_t used_ms = atomic_load(&e->token.used_ms);
        struct db_stmt *s;
        e->used_sent_ms = 0;
        if (used_ms - e->used_written_ms < USED_STEP_MS)
            continue;
        rc = db_use(db, sql, &s, err);
        if (rc != KF_OK)
            break;
        db_bind_i64(s, 1, used_ms);
        db_bind_text(s, 2, str_of(e->token.id));
        rc = db_run(s, err);
        e->used_sent_ms = used_ms;
    }
    return rc;
}

static void keep_used(struct tokens *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->by_id[i]->used_sent_ms)
            t->by_id[i]->used_written_ms = t->by_id[i]->used_sent_ms;
}

/* Only tokens_make changes the arrays that change_use walks, and it holds `file`, too. */
kf_rc tokens_note_use(struct tokens *t, struct kf_err *err)
{
    if (!atomic_exchange(&t->unwritten, false))
        return KF_OK;
    pthread_mutex_lock(&t->file);
    kf_rc rc = in_file(t, change_use, t, err);
    if (rc == KF_OK)
        keep_used(t);
    else
        atomic_store(&t->unwritten, true);
    pthread_mutex_unlock(&t->file);
    return rc;
}

bool tokens_unwritten(const struct tokens *t)
{
    return atomic_load(&t->unwritten);
}

/* ------------------------------------------------------------------------------------- finding */

static void note_use(struct tokens *t, struct entry *e)
{
    int64_t now_ms = env_wall_ms(t->env);
    int64_t used_ms = atomic_load_explicit(&e->token.used_ms, memory_order_relaxed);
    if (now_ms - used_ms < 1000 && now_ms >= used_ms)
        return; /* the cache line stays shared */
    atomic_store_explicit(&e->token.used_ms, now_ms, memory_order_relaxed);
    atomic_store_explicit(&t->unwritten, true, memory_order_relaxed);
}

const struct token *tokens_find(struct tokens *t, str text)
{
    struct hash hash;
    struct entry *e = NULL;
    if (text.len != TOKEN_TEXT_LEN)
        return NULL;
    hash_of(text, &hash);
    pthread_rwlock_rdlock(&t->lock);
    HASH_FIND(hh, t->by_hash, &hash, sizeof hash, e);
    pthread_rwlock_unlock(&t->lock);
    if (!e || !hash_eq(&e->hash, &hash))
        return NULL;
    note_use(t, e);
    return &e->token;
}

const struct token *tokens_by_id(struct tokens *t, str id)
{
    pthread_rwlock_rdlock(&t->lock);
    struct entry *e = entry_of(t, id);
    pthread_rwlock_unlock(&t->lock);
    return e ? &e->token : NULL;
}

const struct token *tokens_after(struct tokens *t, str id)
{
    pthread_rwlock_rdlock(&t->lock);
    size_t at = place_of(t, id);
    if (at < t->count && str_is(id, t->by_id[at]->token.id))
        at++;
    struct entry *e = at < t->count ? t->by_id[at] : NULL;
    pthread_rwlock_unlock(&t->lock);
    return e ? &e->token : NULL;
}
