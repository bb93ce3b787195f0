/* Runs scripts (sim.h) recorded, cut and faulted, and judges what is left.
 *
 *   crashsim crash [SCRIPT...]    every I/O call of every script x outcomes of sim_disk.h
 *   crashsim fault [SCRIPT...]    every I/O call made to fail: EIO, no space, cut short; once, and
 *                                 from then on
 *
 * Prints TAP. KEEPFAST_LONG=1 tries 20 random outcomes where CI tries one. SEED repeats a run. The
 * number of points of each script must not fall a fifth below what crashsim.floors says: a script
 * that sees less I/O proves less. */
#include "sim_disk.h"
#include "sim_internal.h"

#include "base/err.h"
#include "shape/stream_internal.h" /* to end what an erasure has left */
#include "store/store_internal.h"  /* to end without a checkpoint */

#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENTS_MAX      100000
#define CHECKPOINT_EACH 12

static unsigned points, states, faults, tested, failed;
static uint64_t seed_of_run;
static bool is_long;
static const char *top; /* folder of everything */

void sim_broken(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "crashsim: ");
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\n");
    va_end(args);
    abort();
}

/* ------------------------------------------------------------------------------------- folders */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    return remove(path);
}

static void remove_all(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void new_folder(const char *path)
{
    remove_all(path);
    if (mkdir(path, 0700) != 0)
        sim_broken("cannot make %s", path);
}

/* ------------------------------------------------------------------------------ the environment */

static int64_t sim_wall_ms(void *ctx)
{
    struct sim *sim = ctx;
    return sim->now_ms;
}

static uint64_t sim_mono_ns(void *ctx)
{
    struct sim *sim = ctx;
    return sim->mono_ns;
}

static void sim_random(void *ctx, void *p, size_t len)
{
    struct sim *sim = ctx;
    unsigned char *to = p;
    for (size_t i = 0; i < len; i++)
        to[i] =
            (unsigned char)((sim->seed = sim->seed * 6364136223846793005u + 1442695040888963407u) >>
                            56);
}

static void sim_wait(void *ctx, int64_t ms)
{
    struct sim *sim = ctx;
    sim->now_ms += ms;
    sim->mono_ns += (uint64_t)ms * 1000000;
}

static bool may_fail(const struct sim *sim, const struct io_event *e)
{
    if (sim->fault == IO_TAP_SHORT)
        return e->op == IO_WRITE && e->len > 1;
    /* No space is an answer of calls that need some. */
    if (sim->fault == ENOSPC)
        return e->op == IO_WRITE || e->op == IO_CREATE || e->op == IO_MKDIR || e->op == IO_RENAME;
    return e->op != IO_LOCK;
}

static int sim_tap(void *ctx, const struct io_event *e)
{
    struct sim *sim = ctx;
    int verdict = 0;
    if (sim->quiet)
        return 0;
    if (may_fail(sim, e)) {
        sim->calls++;
        bool hit = sim->fail_at &&
                   (sim->sticky ? sim->calls >= sim->fail_at : sim->calls == sim->fail_at);
        verdict = hit ? sim->fault : 0;
        sim->fired += hit;
    }
    bool is_sync = e->op == IO_SYNC || e->op == IO_DIRSYNC;
    if (!sim_event_counts(e->op) || (verdict > 0 && !is_sync))
        return verdict;
    if (sim->event_count == EVENTS_MAX)
        sim_broken("%s: too many events", sim->script->name);
    size_t len = verdict == IO_TAP_SHORT ? (e->len + 1) / 2 : e->len;
    sim_event_copy(&sim->events[sim->event_count++], e, len, verdict > 0);
    return verdict;
}

static void sim_init(struct sim *sim, const struct sim_script *script, const char *dir)
{
    *sim = (struct sim){
        .script = script, .now_ms = 1800000000000, .mono_ns = 1000000000, .seed = 1};
    sim->env = (struct env){.wall_ms = sim_wall_ms,
                            .mono_ns = sim_mono_ns,
                            .random = sim_random,
                            .wait = sim_wait,
                            .tap = sim_tap,
                            .ctx = sim};
    sim->dir = strdup(dir);
    size_t len = strlen(dir) + 16;
    sim->path = malloc(len);
    snprintf(sim->path, len, "%s/store.db", dir);
    sim->events = calloc(EVENTS_MAX, sizeof(*sim->events));
}

static void sim_release(struct sim *sim)
{
    for (size_t i = 0; i < sim->event_count; i++)
        sim_event_release(&sim->events[i]);
    for (size_t i = 0; i <= STEPS_MAX; i++) {
        free(sim->snaps[i].text);
        free(sim->snaps[i].place);
    }
    free(sim->events);
    free(sim->dir);
    free(sim->path);
}

/* ------------------------------------------------------------------------ what scripts call */

struct kf_store *sim_store(struct sim *sim)
{
    return sim->store;
}

const char *sim_path(const struct sim *sim)
{
    return sim->path;
}

const char *sim_dir(const struct sim *sim)
{
    return sim->dir;
}

const struct env *sim_env(struct sim *sim)
{
    return &sim->env;
}

static kf_rc store_open_at(const struct env *env, const char *path, const struct schema *schema,
                           struct kf_store **ret, struct kf_err *err)
{
    struct store_options o = {
        .env = env, .schema = schema, .checkpoint_frames = CHECKPOINT_EACH, .low_water_bytes = 1};
    return store_open(path, &o, ret, err);
}

kf_rc sim_open(struct sim *sim, const struct schema *schema)
{
    if (sim->err.rc != KF_OK)
        return sim->err.rc;
    struct kf_err err = KF_ERR_INIT;
    if (store_open_at(&sim->env, sim->path, schema, &sim->store, &err) != KF_OK)
        sim->err = err;
    return sim->err.rc;
}

kf_rc sim_open_docs(struct sim *sim)
{
    if (sim->err.rc != KF_OK)
        return sim->err.rc;
    struct kf_err err = KF_ERR_INIT;
    char place[1024];
    snprintf(place, sizeof(place), "%s/place", sim->dir);
    if (sim_floor_open(&sim->floor, &sim->env, sim->path, sim->script->pushes ? place : NULL,
                       CHECKPOINT_EACH, &sim->store, &err) != KF_OK)
        sim->err = err;
    return sim->err.rc;
}

void sim_close(struct sim *sim)
{
    sim_floor_close(&sim->floor, sim->store);
    sim->store = NULL;
}

void sim_abandon(struct sim *sim)
{
    if (sim->store)
        db_distrust(sim->store->db);
    sim_close(sim);
}

kf_rc sim_do(struct sim *sim, sim_step *step, void *ctx)
{
    if (sim->err.rc != KF_OK)
        return sim->err.rc;
    if (sim->begun_count == STEPS_MAX)
        sim_broken("%s: too many steps", sim->script->name);
    struct kf_err err = KF_ERR_INIT;
    sim->begun[sim->begun_count++] = sim->event_count;
    sim->now_ms += 7;
    sim->mono_ns += 7000000;
    kf_rc rc = step(sim, ctx, &err);
    if (rc != KF_OK) {
        sim->err = err;
        sim->err.rc = rc;
        return rc;
    }
    sim->acks[sim->ack_count++] = sim->event_count;
    if (sim->reference)
        return KF_OK;
    sim->quiet = true;
    if (sim_dump(sim->store, &sim->snaps[sim->ack_count], &err) != KF_OK)
        sim_broken("%s: cannot look: %s", sim->script->name, err.detail);
    sim->snaps[sim->ack_count].place = sim_place_of(sim, sim->dir);
    sim->quiet = false;
    return KF_OK;
}

/* ------------------------------------------------------------------------------------- judging */

/* Where a judgement was made, for the message. */
struct place {
    const struct sim_script *script;
    const char *how;
    size_t point;
    int detail;
    uint64_t seed;
};

static bool complain(const struct place *at, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static bool complain(const struct place *at, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    printf("# %s, %s at %zu, %d, seed %llu: ", at->script->name, at->how, at->point, at->detail,
           (unsigned long long)at->seed);
    vprintf(fmt, args);
    printf("\n");
    va_end(args);
    return false;
}

/* Which snapshot in [low, high] equals `now`; -1 = none. */
static int find_snapshot(const struct sim *run, const struct snapshot *now, size_t low, size_t high)
{
    for (size_t i = low; i <= high; i++)
        if (run->snaps[i].text && strcmp(run->snaps[i].text, now->text) == 0)
            return (int)i;
    return -1;
}

/* Whether `now` is a step that was begun and not acknowledged, done but for one thing: words of
 * what was erased are taken out of the bytes of the index in a commit of their own, and until then
 * a note says so. */
static bool is_all_but_purged(const struct sim *run, const struct snapshot *now, size_t acked,
                              size_t begun)
{
    static const char note[] = "kf_meta|'unpurged'|'1'";
    char *text = strdup(now->text), *at = strstr(text, note);
    if (at)
        at[sizeof(note) - 3] = '0';
    bool is = at && begun > acked && run->snaps[begun].text &&
              strcmp(run->snaps[begun].text, text) == 0;
    free(text);
    return is;
}

/* Whether the place holds what it held after a step in [low, high], and not less than it has
 * confirmed. */
static bool place_fits(const struct sim *run, const char *text, int64_t watermark, size_t low,
                       size_t high)
{
    for (size_t i = low; i <= high; i++) {
        const struct snapshot *snap = &run->snaps[i];
        if (snap->watermark >= watermark && strcmp(snap->place ? snap->place : "", text) == 0)
            return true;
    }
    return false;
}

static kf_rc one_more(struct kf_store *s, int64_t *ret_seq, int64_t *ret_stamp, struct kf_err *err)
{
    struct snapshot snap = {0};
    kf_rc rc = sim_put_one(s, "more", err);
    if (rc == KF_OK)
        rc = sim_dump(s, &snap, err);
    *ret_seq = snap.seq;
    *ret_stamp = snap.stamp;
    free(snap.text);
    return rc;
}

/* The first line in which two texts differ; of both. */
static void first_difference(const char *a, const char *b, char *ret, size_t size)
{
    size_t at = 0, line = 0;
    for (; a[at] && a[at] == b[at]; at++)
        line = a[at] == '\n' ? at + 1 : line;
    snprintf(ret, size, "\"%.*s\" for \"%.*s\"", (int)strcspn(a + line, "\n"), a + line,
             (int)strcspn(b + line, "\n"), b + line);
}

static bool judge_place(const struct sim *run, const struct sim *looker, const char *path,
                        int64_t watermark, size_t low, size_t high, const struct place *at)
{
    char dir[1100], where[2000];
    snprintf(dir, sizeof(dir), "%s", path);
    *strrchr(dir, '/') = '\0';
    char *text = sim_place_of(looker, dir), *last = run->snaps[high].place;
    bool good = place_fits(run, text, watermark, low, high);
    if (!good) {
        first_difference(text, last ? last : "", where, sizeof(where));
        complain(at, "confirmed is %lld, and the place is none of those of steps %zu to %zu: %s",
                 (long long)watermark, low, high, where);
    }
    free(text);
    return good;
}

static bool complain_of_state(const struct sim *run, const struct snapshot *now, size_t acked,
                              size_t begun, const struct place *at)
{
    char where[2000] = "an older state";
    const char *like = run->snaps[now->seq == run->snaps[begun].seq ? begun : acked].text;
    if (find_snapshot(run, now, 0, begun) < 0)
        first_difference(now->text, like ? like : "", where, sizeof(where));
    return complain(
        at, "holds number %lld; acknowledged were %zu steps, begun %zu (numbers %lld to %lld): %s",
        (long long)now->seq, acked, begun, (long long)run->snaps[acked].seq,
        (long long)run->snaps[begun].seq, where);
}

/* As a program would: with what may have to be done again by streams. One of another schema has
 * none. */
static kf_rc open_to_look(struct sim *looker, const char *path, struct kf_store **ret,
                          struct kf_err *err)
{
    const struct schema *schema = looker->script->schema;
    if (schema)
        return store_open_at(&looker->env, path, schema, ret, err);
    return sim_floor_open(&looker->floor, &looker->env, path, NULL, CHECKPOINT_EACH, ret, err);
}

/* Whether `now` is the step that was begun, but for what an erasure has left: nobody sees it any
 * more, and upkeep removes it. *now is what is there then. */
static bool is_all_but_removed(const struct sim *run, struct sim *looker, struct kf_store *s,
                               struct snapshot *now, size_t acked, size_t begun)
{
    struct kf_err err = KF_ERR_INIT;
    if (begun == acked || !strstr(now->text, "kf_erasing|") || !looker->floor.streams ||
        streams_erase_rest(looker->floor.streams, 0, &err) != KF_OK)
        return false;
    free(now->text);
    *now = (struct snapshot){0};
    return sim_dump(s, now, &err) == KF_OK && run->snaps[begun].text &&
           strcmp(run->snaps[begun].text, now->text) == 0;
}

/* Opens what is at `path` and compares. The clock is an hour earlier than it was. */
static bool judge(const struct sim *run, const char *path, size_t acked, size_t begun,
                  const struct place *at)
{
    struct sim looker;
    struct kf_store *s = NULL;
    struct kf_err err = KF_ERR_INIT;
    struct snapshot now = {0};
    int64_t seq = 0, stamp = 0;
    bool good = true;
    /* Opening with a newer schema is a step by itself. */
    if (begun < run->script->migrates)
        begun = run->script->migrates;
    sim_init(&looker, run->script, "");
    looker.quiet = true;
    looker.now_ms -= 3600000;
    looker.seed = at->seed;
    looker.env.tap = NULL;
    kf_rc rc = open_to_look(&looker, path, &s, &err);
    if (rc == KF_OK)
        rc = sim_dump(s, &now, &err);
    if (rc != KF_OK)
        good = complain(at, "cannot be opened: %s", err.detail);
    /* A store of which nothing was acknowledged may have nothing in it. */
    if (good && !(acked == 0 && now.seq == 0) && find_snapshot(run, &now, acked, begun) < 0 &&
        !is_all_but_purged(run, &now, acked, begun) &&
        !is_all_but_removed(run, &looker, s, &now, acked, begun))
        good = complain_of_state(run, &now, acked, begun, at);
    if (good && (run->script->pushes || run->script->tokens))
        good = judge_place(run, &looker, path, now.watermark, acked, begun, at);
    if (good && (rc = one_more(s, &seq, &stamp, &err)) != KF_OK)
        good = complain(at, "cannot be written to: %s", err.detail);
    if (good && (seq != now.seq + 1 || stamp <= now.stamp))
        good = complain(at, "number or stamp went back");
    free(now.text);
    sim_floor_close(&looker.floor, s);
    sim_release(&looker);
    return good;
}

/* ------------------------------------------------------------------------------------- crashes */

static size_t acked_at(const struct sim *run, size_t events)
{
    size_t n = 0;
    while (n < run->ack_count && run->acks[n] <= events)
        n++;
    return n;
}

static size_t begun_at(const struct sim *run, size_t events)
{
    size_t n = 0;
    while (n < run->begun_count && run->begun[n] < events)
        n++;
    return n > acked_at(run, events) ? n : acked_at(run, events);
}

/* Crashes once more, somewhere in the recovery of what is in `dir`. */
static bool crash_again(const struct sim *run, const char *dir, size_t acked, size_t begun,
                        struct place *at)
{
    struct sim again;
    char path[1100], state[1024];
    snprintf(path, sizeof(path), "%.1000s/store.db", dir);
    snprintf(state, sizeof(state), "%s/again", top);
    struct sim_disk *disk = sim_disk_new(dir);
    sim_init(&again, run->script, dir);
    again.seed = at->seed;
    struct kf_err ignored = KF_ERR_INIT;
    if (open_to_look(&again, path, &again.store, &ignored) == KF_OK)
        sim_close(&again);
    else
        sim_floor_close(&again.floor, again.store);
    size_t cut = again.event_count ? at->seed % (again.event_count + 1) : 0;
    for (size_t i = 0; i < cut; i++)
        sim_disk_apply(disk, &again.events[i]);
    enum sim_outcome outcome = (enum sim_outcome)(at->seed / 7 % SIM_OUTCOMES);
    new_folder(state);
    sim_disk_crash(disk, outcome, at->seed, state);
    sim_disk_free(disk);
    sim_release(&again);
    snprintf(path, sizeof(path), "%s/store.db", state);
    at->how = "crash in the recovery from a crash";
    states++;
    return judge(run, path, acked, begun, at);
}

static bool crash_at(const struct sim *run, const struct sim_disk *disk, size_t point,
                     enum sim_outcome outcome, uint64_t seed)
{
    char state[1024], path[1100];
    struct place at = {run->script, "crash", point, (int)outcome, seed};
    size_t acked = acked_at(run, point), begun = begun_at(run, point);
    snprintf(state, sizeof(state), "%s/state", top);
    snprintf(path, sizeof(path), "%s/store.db", state);
    bool twice = (point + outcome) % 5 == 0;
    new_folder(state);
    sim_disk_crash(disk, outcome, seed, state);
    states++;
    if (twice && !crash_again(run, state, acked, begun, &at))
        return false;
    if (twice) { /* the first opening has changed it */
        new_folder(state);
        sim_disk_crash(disk, outcome, seed, state);
        at.how = "crash";
    }
    return judge(run, path, acked, begun, &at);
}

static bool crash_everywhere(const struct sim *run)
{
    unsigned bad = 0;
    char empty[1024];
    snprintf(empty, sizeof(empty), "%s/run", top);
    new_folder(empty);
    struct sim_disk *disk = sim_disk_new(empty);
    for (size_t point = 0; point <= run->event_count && bad < 5; point++) {
        int randoms = is_long ? 20 : 1;
        if (point)
            sim_disk_apply(disk, &run->events[point - 1]);
        points++;
        for (int o = 0; o < SIM_OUTCOMES; o++)
            for (int r = 0; r < (o == SIM_RANDOM ? randoms : 1); r++)
                bad += !crash_at(run, disk, point, (enum sim_outcome)o,
                                 seed_of_run + point * 1000003u + (uint64_t)r * 7919u +
                                     (uint64_t)o);
    }
    sim_disk_free(disk);
    return bad == 0;
}

/* -------------------------------------------------------------------------------------- faults */

/* One run with one fault. False in *ret_fired: the script made fewer calls than that. */
static bool fault_once(const struct sim *reference, uint64_t call, int fault, bool sticky,
                       bool *ret_fired)
{
    struct sim run;
    char dir[1024], state[1024], path[1100];
    struct place at = {reference->script, sticky ? "sticky fault" : "fault", call, fault,
                       seed_of_run + call};
    snprintf(dir, sizeof(dir), "%s/run", top);
    snprintf(state, sizeof(state), "%s/state", top);
    new_folder(dir);
    struct sim_disk *disk = sim_disk_new(dir);
    sim_init(&run, reference->script, dir);
    run.reference = reference;
    run.fail_at = call;
    run.fault = fault;
    run.sticky = sticky;
    run.script->run(&run);
    sim_close(&run);
    *ret_fired = run.fired > 0;
    /* First a loss of power: what is only in memory is gone. Then what the process itself left. */
    for (size_t i = 0; i < run.event_count; i++)
        sim_disk_apply(disk, &run.events[i]);
    new_folder(state);
    sim_disk_crash(disk, call % 2 ? SIM_DROPPED : SIM_RANDOM, at.seed, state);
    snprintf(path, sizeof(path), "%s/store.db", state);
    bool good = judge(reference, path, run.ack_count, run.begun_count, &at);
    at.how = sticky ? "sticky fault, no crash" : "fault, no crash";
    good = judge(reference, run.path, run.ack_count, run.begun_count, &at) && good;
    if (good && run.fired && fault == IO_TAP_SHORT && run.err.rc != KF_OK)
        good = complain(&at, "a short write was seen: %s", run.err.detail);
    faults += run.fired > 0;
    sim_disk_free(disk);
    sim_release(&run);
    return good;
}

static bool fault_everywhere(const struct sim *reference)
{
    static const struct {
        int fault;
        bool sticky;
    } kinds[] = {{EIO, false},   {EIO, true},           {ENOSPC, false},
                 {ENOSPC, true}, {IO_TAP_SHORT, false}, {IO_TAP_SHORT, true}};
    unsigned bad = 0;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        bool fired = true;
        for (uint64_t call = 1; fired && bad < 5; call++) {
            bad += !fault_once(reference, call, kinds[k].fault, kinds[k].sticky, &fired);
            points++;
        }
    }
    return bad == 0;
}

/* --------------------------------------------------------------------------------------- main */

/* The floor of a script in this mode; 0 = none is written down. */
static unsigned floor_of(const char *mode, const char *name)
{
    char path[1100], line[200], key[100];
    const char *project = getenv("KF_TOP");
    unsigned found = 0;
    snprintf(path, sizeof(path), "%s/tests/crash/crashsim.floors", project ? project : ".");
    snprintf(key, sizeof(key), "%s %s ", mode, name);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, key, strlen(key)) == 0)
            found = (unsigned)strtoul(line + strlen(key), NULL, 10);
    if (f)
        fclose(f);
    return found;
}

static void result(bool good, const char *mode, const char *name, const char *what)
{
    tested++;
    failed += !good;
    printf("%s %u - %s %s: %s\n", good ? "ok" : "not ok", tested, mode, name, what);
    fflush(stdout);
}

static void run_whole(struct sim *run, const struct sim_script *script, const struct sim *reference)
{
    char dir[1024];
    snprintf(dir, sizeof(dir), "%s/run", top);
    new_folder(dir);
    sim_init(run, script, dir);
    run->reference = reference;
    script->run(run);
    sim_close(run);
}

/* Twice: looking at what a step has made has the store commit what it had only told, which a run
 * that is to be cut anywhere must do by itself. So one is looked at, and the other one is cut. */
static void run_script(const struct sim_script *script, const char *mode)
{
    struct sim run, looked;
    bool crashes = strcmp(mode, "crash") == 0;
    run_whole(&looked, script, NULL);
    run_whole(&run, script, &looked);
    memcpy(run.snaps, looked.snaps, sizeof run.snaps);
    memset(looked.snaps, 0, sizeof looked.snaps);
    run.reference = NULL;
    sim_release(&looked);
    if (run.err.rc != KF_OK || run.ack_count == 0) {
        printf("# %s: %s\n", script->name, run.err.detail);
        result(false, mode, script->name, "the script itself works");
        sim_release(&run);
        return;
    }
    unsigned before = points;
    bool good = crashes ? crash_everywhere(&run) : fault_everywhere(&run);
    result(good, mode, script->name, "every acknowledged step is there, none by half");
    unsigned floor = floor_of(mode, script->name), seen = points - before;
    printf("# %s %s %u\n", mode, script->name, seen);
    if (good)
        result(floor && seen * 5 >= floor * 4, mode, script->name, "as much was tried as ever");
    sim_release(&run);
}

static bool is_chosen(const char *name, int argc, char **argv)
{
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc <= 2;
}

int main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR"), *seed = getenv("SEED");
    char folder[512];
    if (argc < 2 || (strcmp(argv[1], "crash") != 0 && strcmp(argv[1], "fault") != 0)) {
        fprintf(stderr, "usage: crashsim crash|fault [SCRIPT...]\n");
        return 2;
    }
    sim_scripts_init();
    is_long = getenv("KEEPFAST_LONG") && strcmp(getenv("KEEPFAST_LONG"), "1") == 0;
    seed_of_run = seed ? strtoull(seed, NULL, 10) : 1;
    /* Where syncing is free: what is synced is known from the events. */
    snprintf(folder, sizeof(folder), "%s/crashsim-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm"
             : tmp                         ? tmp
                                           : "/tmp");
    top = mkdtemp(folder);
    if (!top)
        sim_broken("cannot make %s", folder);
    for (size_t i = 0; i < sim_script_count; i++)
        if (is_chosen(sim_scripts[i].name, argc, argv))
            run_script(&sim_scripts[i], argv[1]);
    printf("1..%u\n# seed=%llu points=%u states=%u faults=%u\n", tested,
           (unsigned long long)seed_of_run, points, states, faults);
    remove_all(top);
    return failed ? 1 : 0;
}
