/* A run goes IDLE -> QUEUED -> WORKING -> ENDED -> IDLE, as in upkeep.c, and does what is due:
 *
 *     first      what a crash left is removed, the record is read
 *     a backup   .NAME.part -> written -> synced -> read back whole -> NAME -> folder synced
 *                -> record -> pruning
 *     a drill    the newest file -> scratch store -> verified, digest -> record
 *
 * What a crash leaves:   before the rename    a .part, removed by the next backup; the record and
 *                                             all older files are as they were
 *                        before the record    a whole backup; the record is of the one before, so
 *                                             the next is made early, and nothing is lost
 *                        in pruning           one too many, which the next one removes
 *                        in a drill           a scratch store, removed by the first look after it
 *
 * The digest that a drill must find is reckoned from the store, at the backup's moment, while the
 * backup still pins its versions; so the archive is held against what it should hold, not against
 * itself. */
#include "lib/backups.h"

#include "base/err.h"
#include "base/folder.h"
#include "base/hooks.h"
#include "base/mem.h"
#include "move/backup.h"
#include "move/backup_name.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>

enum { RECORD_MAX = 64 * 1024, TURN_MS = 250, READY_MS = 1000 };

enum run { IDLE, QUEUED, WORKING, ENDED };

struct backups {
    struct kf_store *store;
    const struct env *env;
    struct loop *loop;
    str space;
    char *dir;
    uint64_t every_ms, keep;
    struct seal_source key;    /* the configuration's */
    struct backups_turn *turn; /* NULL: a brief owner's */
    struct loop_timer timer;
    struct loop_job job;
    atomic_bool ending;
    _Atomic int64_t ready_ms; /* since when there was something to back up; wall clock */

    /* Of the run, or of the loop while there is none. */
    bool looked;        /* what was there at the start is known */
    int64_t passive_ms; /* when what another process makes was looked at last; 0 = we make them */
    int64_t tried_ms;
    uint32_t jitter;
    struct kf_backups now;

    pthread_mutex_t lock; /* for the rest */
    pthread_cond_t ended;
    enum run run;
    bool stopped;
    bool left; /* by its owner: whoever is last frees */
    struct kf_backups shown;
};

static void backups_free(struct backups *b)
{
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->ended);
    mem_free(b->dir);
    mem_free(b);
}

/* --------------------------------------------------------------------------------------- plan */

static struct backups_plan plan(const struct backups *b)
{
    struct backups_view v = {.now_ms = env_wall_ms(b->env),
                             .ready_ms = atomic_load(&b->ready_ms),
                             .last_ms = b->now.last.at_ms,
                             .tried_ms = b->tried_ms,
                             .drill_ms = b->now.drill.at_ms,
                             .drilled = strcmp(b->now.drill.file, b->now.last.file) == 0,
                             .has_file = b->now.last.file[0] != '\0',
                             .every_ms = b->every_ms,
                             .failures = b->now.failures,
                             .jitter = b->jitter};
    return backups_plan(&v);
}

/* Whether there is anything to back up yet. */
static bool is_ready(const struct backups *b)
{
    return store_state(b->store) != STORE_HYDRATING && !store_is_empty(b->store);
}

static void show(struct backups *b)
{
    struct backups_plan p = plan(b);
    bool ready = is_ready(b);
    pthread_mutex_lock(&b->lock);
    b->shown = b->now;
    b->shown.next_ms = ready ? p.backup_ms : 0;
    pthread_mutex_unlock(&b->lock);
}

static kf_rc look(struct backups *b, struct kf_err *err);

/* What a lasting owner has left, for one that makes none: nothing is ever due. */
static void look_for_show(struct backups *b)
{
    struct kf_err err = KF_ERR_INIT;
    b->now = (struct kf_backups){.on = true};
    b->looked = false;
    if (look(b, &err) != KF_OK) {
        snprintf(b->now.last_code, sizeof b->now.last_code, "%s", err.code);
        snprintf(b->now.last_error, sizeof b->now.last_error, "%.299s", err.detail);
    }
}

void backups_status(struct backups *b, struct kf_backups *ret)
{
    if (!b) {
        *ret = (struct kf_backups){0};
        return;
    }
    pthread_mutex_lock(&b->lock);
    if (!b->turn) {
        look_for_show(b);
        b->shown = b->now;
    }
    *ret = b->shown;
    pthread_mutex_unlock(&b->lock);
    struct backups_view v = {.now_ms = env_wall_ms(b->env),
                             .ready_ms = atomic_load(&b->ready_ms),
                             .last_ms = ret->last.at_ms,
                             .every_ms = b->every_ms};
    ret->overdue_ms = is_ready(b) ? backups_plan(&v).overdue_ms : 0;
}

void backups_holders(struct backups *b, bool comma, struct buf *out)
{
    struct kf_backups s;
    backups_status(b, &s);
    if (!s.last.at_ms)
        return;
    buf_c(out, comma ? ",{\"backups\":" : "{\"backups\":");
    buf_json_string(out, str_of(b->dir));
    buf_printf(out,
               ",\"kind\":\"backup\",\"state\":\"kept\",\"still\":\"backups made before; one goes "
               "when %llu newer ones are there\"}",
               (unsigned long long)b->keep);
}

static bool go_on(void *ctx, uint64_t done, uint64_t total)
{
    struct backups *b = ctx;
    (void)done;
    (void)total;
    return !atomic_load(&b->ending);
}

/* ------------------------------------------------------------------------------------- record */

static kf_rc record_path(const struct backups *b, struct buf *out, struct kf_err *err)
{
    const char *side;
    kf_rc rc = store_side_dir(b->store, &side, err);
    if (rc == KF_OK)
        buf_printf(out, "%s/backups.json", side);
    return rc == KF_OK ? buf_ok(out, err) : rc;
}

static void warn(const struct backups *b, const char *event, const struct kf_err *err)
{
    log_event(store_log(b->store), LOG_WARN, event, LOG_V("space", b->space),
              LOG_S("code", err->code), LOG_S("detail", err->detail), LOG_END);
}

/* A record that cannot be written costs an early backup and a comparison after the next start. */
static void keep_record(struct backups *b)
{
    struct backups_record r = {b->now.last, b->now.drill};
    struct buf path = BUF_INIT, text = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    backups_record_write(&r, &text);
    kf_rc rc = record_path(b, &path, &err);
    if (rc == KF_OK)
        rc = buf_ok(&text, &err);
    if (rc == KF_OK)
        rc = file_store(b->env, path.p, buf_view(&text), &err);
    if (rc != KF_OK)
        warn(b, "backup.record", &err);
    buf_release(&path);
    buf_release(&text);
}

static kf_rc load_record(struct backups *b, struct backups_record *ret, struct kf_err *err)
{
    struct buf path = BUF_INIT, text = BUF_INIT;
    kf_rc rc = record_path(b, &path, err);
    if (rc == KF_OK)
        rc = file_load(b->env, path.p, RECORD_MAX, &text, err);
    if (rc == KF_OK)
        rc = backups_record_read(buf_view(&text), ret, err);
    buf_release(&path);
    buf_release(&text);
    return rc;
}

/* -------------------------------------------------------------------------------------- folder */

static kf_rc open_folder(const struct backups *b, struct folder *ret, struct kf_err *err)
{
    kf_rc rc = folder_open(b->env, b->dir, ret, err);
    if (rc != KF_ABSENT)
        return rc;
    return err_set(err, PROBLEM_NOT_FOUND,
                   "the folder of the backups, %.200s, is not there: mount its disk, or make it",
                   b->dir);
}

/* What is newest when no record tells it. */
static void adopt_newest(struct backups *b, str names, struct folder *f)
{
    struct backup_name n;
    struct stat st;
    char file[BACKUP_NAME_MAX];
    str name;
    if (!backup_name_newest(b->space, names, env_wall_ms(b->env), &name, &n))
        return;
    snprintf(file, sizeof file, "%.*s", STR_ARGS(name));
    if (strcmp(file, b->now.drill.file) == 0 && !b->now.drill.good)
        return; /* it was found out */
    if (folder_stat(f, file, &st, NULL) != KF_OK)
        return;
    b->now.last = (struct kf_backup_made){.at_ms = n.at_ms, .bytes = (uint64_t)st.st_size};
    memcpy(b->now.last.file, file, sizeof file);
}

/* Once, and again until the folder could be read: until then the record is believed. */
static kf_rc look(struct backups *b, struct kf_err *err)
{
    struct backups_record r = {0};
    struct folder f = FOLDER_CLOSED;
    struct buf names = BUF_INIT;
    struct kf_err why = KF_ERR_INIT;
    struct stat st;
    if (b->looked)
        return KF_OK;
    if (b->turn && store_is_chief(b->store))
        restore_try_sweep(b->store);
    kf_rc rc = load_record(b, &r, &why);
    if (rc == KF_OK) {
        b->now.last = r.last;
        b->now.drill = r.drill;
    } else if (rc != KF_ABSENT) {
        warn(b, "backup.record", &why);
    }
    rc = open_folder(b, &f, err);
    if (rc == KF_OK)
        rc = folder_list(&f, &names, err);
    if (rc == KF_OK) {
        if (b->now.last.file[0] && folder_stat(&f, b->now.last.file, &st, NULL) == KF_ABSENT)
            b->now.last = (struct kf_backup_made){0};
        if (!b->now.last.file[0])
            adopt_newest(b, buf_view(&names), &f);
        b->looked = true;
    }
    folder_close(&f);
    buf_release(&names);
    return rc;
}

/* -------------------------------------------------------------------------------------- backup */

/* One that is made. */
struct making {
    struct backups *b;
    struct folder folder;
    struct buf name, part;
    struct kf_backup_made made;
};

static kf_rc remove_parts(struct making *m, str names, struct kf_err *err)
{
    struct backup_name n;
    for (size_t at = 0; at < names.len; at += strlen(names.p + at) + 1) {
        if (!backup_name_parse(m->b->space, str_of(names.p + at), &n) || !n.part)
            continue;
        KF_SOMETIMES("backup-part-removed");
        kf_rc rc = folder_unlink(&m->folder, names.p + at, err);
        if (rc != KF_OK && rc != KF_ABSENT)
            return rc;
    }
    return KF_OK;
}

static kf_rc choose_name(struct making *m, struct kf_err *err)
{
    struct buf names = BUF_INIT;
    struct backup_name n;
    kf_rc rc = folder_list(&m->folder, &names, err);
    m->made.at_ms = env_wall_ms(m->b->env);
    if (rc == KF_OK)
        rc = remove_parts(m, buf_view(&names), err);
    backup_name_next(m->b->space, buf_view(&names), m->made.at_ms, seal_source_named(&m->b->key),
                     &m->name);
    if (rc == KF_OK)
        rc = buf_ok(&m->name, err);
    if (rc == KF_OK && backup_name_parse(m->b->space, buf_view(&m->name), &n)) {
        n.part = true;
        backup_name_format(m->b->space, &n, &m->part);
        snprintf(m->made.file, sizeof m->made.file, "%s", m->name.p);
    }
    if (rc == KF_OK)
        rc = buf_ok(&m->part, err);
    buf_release(&names);
    return rc;
}

static bool is_reckoned(void *ctx)
{
    return go_on(ctx, 0, 0);
}

static kf_rc fill(struct making *m, struct file *f, struct kf_err *err)
{
    struct backup *backup = NULL;
    int64_t size = 0;
    kf_rc rc = backup_new(m->b->store, STR(""), &m->b->key, &backup, err);
    if (rc == KF_OK) {
        backup_reckon(backup, is_reckoned, m->b);
        rc = backup_copy(backup, f, go_on, m->b, err);
    }
    if (rc == KF_OK)
        rc = backup_digest(backup, go_on, m->b, m->made.digest, &m->made.docs, &m->made.entries,
                           err);
    backup_free(backup); /* what it pinned goes before the slow part */
    if (rc == KF_OK && KF_SABOTAGE("backup-rots"))
        rc = file_write(f, 64, "rotten", 6, err);
    if (rc == KF_OK)
        rc = file_sync(f, err);
    if (rc == KF_OK && !KF_SABOTAGE("backup-unverified"))
        rc = restore_check(m->b->store, f, &m->b->key, go_on, m->b, err);
    if (rc == KF_OK)
        rc = file_size(f, &size, err);
    m->made.bytes = (uint64_t)size;
    return rc;
}

static kf_rc make(struct making *m, struct kf_err *err)
{
    struct file f = FILE_CLOSED;
    kf_rc rc = choose_name(m, err);
    if (rc == KF_OK)
        rc = folder_file(&m->folder, m->part.p, FILE_CREATE, &f, err);
    if (rc != KF_OK)
        return rc;
    rc = fill(m, &f, err);
    file_close(&f);
    if (rc == KF_OK)
        rc = folder_rename(&m->folder, m->part.p, m->name.p, err);
    if (rc == KF_OK)
        return folder_sync(&m->folder, "", err);
    folder_unlink(&m->folder, m->part.p, NULL);
    return rc;
}

static void prune(struct making *m)
{
    struct buf names = BUF_INIT, old = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = folder_list(&m->folder, &names, &err);
    if (rc == KF_OK)
        rc = backup_name_prune(m->b->space, buf_view(&names), m->b->keep, str_of(m->made.file),
                               env_wall_ms(m->b->env), &old, &err);
    for (size_t at = 0; rc == KF_OK && at < old.len; at += strlen(old.p + at) + 1) {
        rc = folder_unlink(&m->folder, old.p + at, &err);
        if (rc == KF_OK)
            log_event(store_log(m->b->store), LOG_INFO, "backup.removed",
                      LOG_V("space", m->b->space), LOG_S("file", old.p + at), LOG_END);
    }
    if (rc == KF_OK && old.len)
        rc = folder_sync(&m->folder, "", &err);
    if (rc != KF_OK)
        warn(m->b, "backup.prune", &err);
    buf_release(&names);
    buf_release(&old);
}

static void note_failure(struct backups *b, const struct kf_err *err)
{
    if (atomic_load(&b->ending))
        return; /* it was told to end */
    uint32_t random;
    b->env->random(b->env->ctx, &random, sizeof random);
    b->jitter = random & 0xffff;
    b->tried_ms = env_wall_ms(b->env);
    b->now.failures++;
    snprintf(b->now.last_code, sizeof b->now.last_code, "%s", err->code);
    snprintf(b->now.last_error, sizeof b->now.last_error, "%.299s", err->detail);
    KF_SOMETIMES("backup-failed");
    log_event(store_log(b->store), LOG_ERROR, "backup.failed", LOG_V("space", b->space),
              LOG_S("code", err->code), LOG_S("detail", err->detail),
              LOG_I("failures", b->now.failures), LOG_END);
}

static void note_made(struct backups *b, const struct kf_backup_made *made)
{
    b->now.last = *made;
    b->now.failures = 0;
    b->now.last_code[0] = b->now.last_error[0] = '\0';
    keep_record(b);
    log_event(store_log(b->store), LOG_INFO, "backup.made", LOG_V("space", b->space),
              LOG_S("file", made->file), LOG_I("bytes", made->bytes), LOG_I("docs", made->docs),
              LOG_I("entries", made->entries), LOG_S("digest", made->digest), LOG_END);
}

static void make_backup(struct backups *b)
{
    struct making m = {.b = b, .folder = FOLDER_CLOSED};
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = open_folder(b, &m.folder, &err);
    if (rc == KF_OK)
        rc = make(&m, &err);
    if (rc == KF_OK) {
        note_made(b, &m.made);
        prune(&m);
    } else {
        note_failure(b, &err);
    }
    folder_close(&m.folder);
    buf_release(&m.name);
    buf_release(&m.part);
}

/* --------------------------------------------------------------------------------------- drill */

/* What says that the file is no good, rather than that it could not be tried. */
static bool is_bad_file(kf_rc rc)
{
    return rc == KF_DAMAGED || rc == KF_INVALID || rc == KF_LIMIT || rc == KF_ABSENT ||
           rc == KF_TOO_NEW;
}

/* One from before encryption was configured is none the worse. */
static const struct seal_source *key_of(const struct backups *b, const char *file)
{
    return str_ends(str_of(file), STR(".sealed")) ? &b->key : NULL;
}

static kf_rc try_newest(struct backups *b, struct kf_backup_drill *d, struct kf_err *err)
{
    struct restore_tried tried = {0};
    struct folder f = FOLDER_CLOSED;
    struct buf path = BUF_INIT;
    kf_rc rc = open_folder(b, &f, err);
    folder_close(&f);
    if (rc != KF_OK)
        return KF_IO; /* no word on the file */
    buf_printf(&path, "%s/%s", b->dir, d->file);
    rc = buf_ok(&path, err);
    if (rc == KF_OK)
        rc = restore_try(b->store, path.p, key_of(b, d->file), go_on, b, &tried, err);
    buf_release(&path);
    if (rc != KF_OK)
        return rc;
    d->docs = tried.docs;
    memcpy(d->digest, tried.digest, sizeof d->digest);
    d->compared = b->now.last.digest[0] != '\0';
    if (d->compared && strcmp(d->digest, b->now.last.digest) != 0 &&
        !KF_SABOTAGE("drill-compares-nothing"))
        return err_set(err, PROBLEM_DAMAGED, "%s restores to digest %.16s…, not to %.16s…", d->file,
                       d->digest, b->now.last.digest);
    d->good = true;
    return KF_OK;
}

static void log_drill(const struct backups *b, const struct kf_backup_drill *d, int64_t took_ms)
{
    log_event(store_log(b->store), d->good ? LOG_INFO : LOG_ERROR,
              d->good ? "backup.drill" : "backup.drill_failed", LOG_V("space", b->space),
              LOG_S("file", d->file), LOG_I("ms", took_ms), LOG_I("docs", d->docs),
              LOG_S("digest", d->good && d->compared ? "equal"
                              : d->good              ? "not known"
                                                     : "not proved"),
              LOG_S("code", d->code), LOG_S("detail", d->error), LOG_END);
}

static void drill(struct backups *b)
{
    struct kf_backup_drill d = {.at_ms = env_wall_ms(b->env)};
    struct kf_err err = KF_ERR_INIT;
    int64_t began = env_mono_ms(b->env);
    memcpy(d.file, b->now.last.file, sizeof d.file);
    kf_rc rc = try_newest(b, &d, &err);
    if (rc != KF_OK && atomic_load(&b->ending))
        return;
    if (rc != KF_OK) {
        KF_SOMETIMES("drill-failed");
        snprintf(d.code, sizeof d.code, "%s", err.code);
        snprintf(d.error, sizeof d.error, "%.299s", err.detail);
    }
    b->now.drill = d;
    log_drill(b, &d, env_mono_ms(b->env) - began);
    if (is_bad_file(rc)) {
        b->now.last = (struct kf_backup_made){0};
        note_failure(b, &err);
    }
    keep_record(b);
}

/* ----------------------------------------------------------------------------------------- run */

/* Another process makes them: what is there is told, and looked at anew if that ends. */
static void look_on(struct backups *b)
{
    look_for_show(b);
    b->looked = false;
    b->passive_ms = env_mono_ms(b->env);
}

static void do_what_is_due(struct backups *b)
{
    struct kf_err err = KF_ERR_INIT;
    int64_t now = env_wall_ms(b->env);
    if (!store_is_chief(b->store)) {
        KF_SOMETIMES("backups-of-another");
        look_on(b);
        return;
    }
    if (b->passive_ms)
        b->now.last_code[0] = b->now.last_error[0] = '\0';
    b->passive_ms = 0;
    kf_rc rc = look(b, &err);
    if (rc != KF_OK)
        note_failure(b, &err);
    else if (plan(b).backup_ms <= now)
        make_backup(b);
    struct backups_plan p = plan(b);
    if (rc == KF_OK && p.drill_ms && p.drill_ms <= env_wall_ms(b->env) && !atomic_load(&b->ending))
        drill(b);
}

static struct backups *of_job(struct loop_job *j)
{
    return (struct backups *)(void *)((char *)j - offsetof(struct backups, job));
}

static void work(struct loop_job *j)
{
    struct backups *b = of_job(j);
    pthread_mutex_lock(&b->lock);
    bool begin = !b->stopped;
    if (begin)
        b->run = WORKING;
    pthread_mutex_unlock(&b->lock);
    if (begin) {
        do_what_is_due(b);
        show(b);
    }
    atomic_store(&b->turn->taken, false);
    pthread_mutex_lock(&b->lock);
    b->run = ENDED;
    pthread_cond_signal(&b->ended);
    pthread_mutex_unlock(&b->lock);
}

static void due(struct loop_timer *t);

static void set_timer(struct backups *b, int64_t after_ms)
{
    int64_t wait = after_ms < 1 ? 1 : after_ms;
    loop_timer_set(b->loop, &b->timer, wait > BACKUPS_LOOK_MAX_MS ? BACKUPS_LOOK_MAX_MS : wait,
                   due);
}

/* Milliseconds until something is due. */
static int64_t due_in(const struct backups *b)
{
    struct backups_plan p = plan(b);
    int64_t next = p.backup_ms;
    if (p.drill_ms && p.drill_ms < next)
        next = p.drill_ms;
    return next - env_wall_ms(b->env);
}

static void done(struct loop_job *j, bool cancelled)
{
    struct backups *b = of_job(j);
    if (cancelled)
        atomic_store(&b->turn->taken, false);
    pthread_mutex_lock(&b->lock);
    bool stopped = b->stopped, last = b->left;
    b->run = IDLE;
    pthread_mutex_unlock(&b->lock);
    if (last)
        backups_free(b);
    if (stopped)
        return;
    set_timer(b, due_in(b));
}

static void due(struct loop_timer *t)
{
    struct backups *b = (struct backups *)(void *)((char *)t - offsetof(struct backups, timer));
    int64_t wait = b->looked || b->now.failures ? due_in(b) : 0;
    if (!store_is_chief(b->store))
        wait = b->passive_ms ? b->passive_ms + BACKUPS_PASSIVE_MS - env_mono_ms(b->env) : 0;
    else if (b->passive_ms)
        wait = 0;
    if (!is_ready(b)) {
        atomic_store(&b->ready_ms, env_wall_ms(b->env));
        wait = READY_MS;
    } else if (wait <= 0 && atomic_exchange(&b->turn->taken, true)) {
        wait = TURN_MS;
    }
    if (wait > 0) {
        set_timer(b, wait);
        return;
    }
    pthread_mutex_lock(&b->lock);
    b->run = QUEUED;
    pthread_mutex_unlock(&b->lock);
    b->job = (struct loop_job){.work = work, .done = done};
    loop_job(b->loop, &b->job);
}

/* ------------------------------------------------------------------------------ start and stop */

kf_rc backups_start(struct kf_store *store, const struct config *config, const char *space,
                    struct backups_turn *turn, struct backups **ret_backups, struct kf_err *err)
{
    static const size_t prefix_len = sizeof "dir:" - 1;
    *ret_backups = NULL;
    if (config->backup_to.len <= prefix_len)
        return KF_OK;
    str dir = str_from(config->backup_to, prefix_len);
    if (!turn && !config_space_name_ok(str_of(space)))
        return KF_OK;
    if (!config_space_name_ok(str_of(space)))
        return err_set(err, PROBLEM_CONFIG, "backups need a space with a name, not \"%.60s\"",
                       space);
    struct backups *b = mem_calloc(1, sizeof *b);
    if (!b)
        return err_nomem(err);
    b->store = store;
    b->env = store_env(store);
    b->loop = store_loop(store);
    b->turn = turn;
    b->every_ms = config->backup_every_ms;
    b->keep = config->backup_keep;
    b->key = (struct seal_source){config->backup_key_file, config->backup_key_env};
    /* A brief one is overdue by the last backup alone. */
    atomic_init(&b->ready_ms, turn ? env_wall_ms(b->env) : 0);
    b->now.on = b->shown.on = true;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->ended, NULL);
    size_t len = strlen(space) + 1;
    b->dir = mem_alloc(dir.len + 1 + len);
    if (b->dir) {
        memcpy(b->dir, dir.p, dir.len);
        b->dir[dir.len] = '\0';
        memcpy(b->dir + dir.len + 1, space, len);
        b->space = str_of(b->dir + dir.len + 1);
    }
    if (!b->dir || (turn && loop_timer_set(b->loop, &b->timer, BACKUPS_FIRST_MS, due) != KF_OK)) {
        backups_free(b);
        return err_nomem(err);
    }
    *ret_backups = b;
    return KF_OK;
}

void backups_end(struct backups *b)
{
    if (!b)
        return;
    atomic_store(&b->ending, true);
    pthread_mutex_lock(&b->lock);
    b->stopped = true;
    pthread_mutex_unlock(&b->lock);
    loop_timer_cancel(&b->timer);
}

void backups_stop(struct backups *b)
{
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    assert(b->stopped);
    while (b->run == WORKING)
        pthread_cond_wait(&b->ended, &b->lock);
    bool idle = b->run == IDLE;
    b->left = true;
    pthread_mutex_unlock(&b->lock);
    if (idle)
        backups_free(b);
}
