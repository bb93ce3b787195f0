/* Saves of a 2 KB document by 1, 16 and 64 threads, against bare SQLite running the same statements
 * in the same groups.
 *
 * Both sides keep one store through the whole run and are first filled until every document has as
 * many versions as are kept, so that each save also removes one. Then they take turns:
 *
 *     Keepfast, some time --mean size of its groups--> bare SQLite, as long --> Keepfast ...
 *
 * and the turn with the median ratio is printed. What a save adds over its statements (JSON check,
 * hash, queue, cache, waking) is what the ratio shows. */
#include "base/env.h"
#include "db/sqlite_internal.h"
#include "shape/doc.h"
#include "store/store_internal.h"

#include "raw_doc.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BODY        2048
#define NAMES       256
#define THREADS_MAX 64
#define TURNS       15
#define TURN_MS     250
#define SYNCS       400
#define LATE_US     65536

/* ------------------------------------------------------------------------------------ documents */

static char *names[NAMES];

/* Thread `thread` of `threads` has every `threads`-th name; which of them comes next is drawn, so
 * that the versions that go lie about in the file as they do in life. */
static const char *next_name(unsigned thread, unsigned threads, uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return names[thread + *seed % (NAMES / threads) * threads];
}

static void make_names(void)
{
    for (int i = 0; i < NAMES; i++) {
        names[i] = malloc(40);
        if (!names[i])
            exit(1);
        snprintf(names[i], 40, "portfel/klient-%05d.json", i * 37);
    }
}

/* A document of BODY bytes; `id` makes it another one. */
static void make_body(char *body, uint64_t id)
{
    size_t at = (size_t)snprintf(body, BODY, "{\"id\":\"%016llx\",\"wpisy\":[",
                                 (unsigned long long)id);
    for (int i = 0; at + 120 < BODY; i++)
        at += (size_t)snprintf(body + at, BODY - at,
                               "%s{\"data\":\"2024-%02d-17\",\"kwota\":-%d.%02d,\"opis\":\"Zakupy "
                               "spożywcze\",\"zaksiegowane\":true}",
                               i ? "," : "", i % 12 + 1, 17 + i * 31, i * 7 % 100);
    memset(body + at, ' ', BODY - at);
    memcpy(body + at, "]", 1);
    body[BODY - 1] = '}';
}

/* Only the id, which make_body put at a fixed place. */
static void renew_body(char *body, uint64_t id)
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++)
        body[7 + i] = digits[id >> (60 - 4 * i) & 15];
}

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* What came of one turn of either side. */
struct turn {
    double per_s, group, cpu_us; /* cpu_us: of all threads, for one save */
    uint64_t late_us;            /* 99 of 100 saves took no longer */
};

/* ------------------------------------------------------------------------------------ our side */

struct writer {
    pthread_t thread;
    struct kf_store *store;
    unsigned number, of;
    uint64_t end_ns, count; /* until this time, or when it is 0 so many */
    uint64_t done;
    uint32_t us[LATE_US]; /* how many saves took so long */
};

static struct writer writers[THREADS_MAX];
static _Atomic uint64_t last_id;

static void put(struct kf_store *store, const char *name, const char *body)
{
    struct kf_err err = KF_ERR_INIT;
    if (kf_doc_put(store, name, body, BODY, NULL, NULL, &err) == KF_OK)
        return;
    fprintf(stderr, "bench_save: %s\n", err.detail);
    exit(1);
}

static void *write_on(void *arg)
{
    struct writer *w = arg;
    const struct env *env = env_system();
    char body[BODY];
    make_body(body, 0);
    uint64_t now_ns = env_mono_ns(env), seed = now_ns + w->number;
    while (w->end_ns ? now_ns < w->end_ns : w->done < w->count) {
        uint64_t before_ns = now_ns;
        renew_body(body, atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed));
        put(w->store, next_name(w->number, w->of, &seed), body);
        now_ns = env_mono_ns(env);
        uint64_t us = (now_ns - before_ns) / 1000;
        w->us[us < LATE_US ? us : LATE_US - 1]++;
        w->done++;
    }
    return NULL;
}

static uint64_t percentile_99(unsigned threads, uint64_t total)
{
    uint64_t seen = 0;
    for (uint64_t us = 0; us < LATE_US; us++) {
        for (unsigned i = 0; i < threads; i++)
            seen += writers[i].us[us];
        if (seen * 100 >= total * 99)
            return us;
    }
    return LATE_US;
}

/* For `ms`, or when it is 0 until `count` saves are done. */
static struct turn our_turn(struct kf_store *store, unsigned threads, unsigned ms, uint64_t count)
{
    uint64_t commits = store->commits, writes = store->writes, total = 0;
    uint64_t start_ns = env_mono_ns(env_system());
    double start_us = cpu_us();
    for (unsigned i = 0; i < threads; i++) {
        struct writer *w = &writers[i];
        memset(w, 0, sizeof *w);
        w->store = store;
        w->number = i;
        w->of = threads;
        w->end_ns = ms ? start_ns + ms * 1000000ull : 0;
        w->count = count / threads;
        if (pthread_create(&w->thread, NULL, write_on, w) != 0)
            exit(1);
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(writers[i].thread, NULL);
        total += writers[i].done;
    }
    double seconds = (double)(env_mono_ns(env_system()) - start_ns) / 1e9;
    return (struct turn){
        .per_s = (double)total / seconds,
        .cpu_us = (cpu_us() - start_us) / (double)total,
        .group = (double)(store->writes - writes) / (double)(store->commits - commits),
        .late_us = percentile_99(threads, total),
    };
}

/* ------------------------------------------------------------------------------------ the other */

/* A group holds one document of each of some threads, which are drawn. */
static void choose(const char **group, size_t size, unsigned threads, uint64_t *seed)
{
    static unsigned order[THREADS_MAX];
    for (unsigned i = 0; i < threads; i++)
        order[i] = i;
    for (unsigned i = 0; i < size; i++) {
        unsigned other = i + (unsigned)(*seed % (threads - i)), chosen = order[other];
        order[other] = order[i];
        order[i] = chosen;
        group[i] = next_name(chosen, threads, seed);
    }
}

/* What `threads` would save, in groups of `size` on average, until `ms` have passed or, when that
 * is 0, `count` saves are done. */
static struct turn raw_turn(struct raw_doc *raw, unsigned threads, double size, unsigned ms,
                            uint64_t count)
{
    const struct env *env = env_system();
    const char *group[THREADS_MAX];
    char body[BODY];
    uint64_t done = 0, start_ns = env_mono_ns(env), now_ns = start_ns, seed = start_ns;
    double start_us = cpu_us();
    make_body(body, 0);
    for (uint64_t i = 1; ms ? now_ns - start_ns < ms * 1000000ull : done < count; i++) {
        size_t now = (size_t)((double)i * size + 0.5) - done;
        if (now > threads)
            now = threads;
        renew_body(body, i);
        choose(group, now, threads, &seed);
        raw_doc_group(raw, group, now, str_make(body, BODY));
        done += now;
        now_ns = env_mono_ns(env);
    }
    return (struct turn){
        .per_s = (double)done / ((double)(now_ns - start_ns) / 1e9),
        .group = size,
        .cpu_us = (cpu_us() - start_us) / (double)done,
    };
}

/* ------------------------------------------------------------------------------------ both */

struct pair {
    struct turn ours, raw;
};

static double ratio(const struct pair *p)
{
    return p->ours.per_s / p->raw.per_s;
}

static int by_ratio(const void *a, const void *b)
{
    double left = ratio(a), right = ratio(b);
    return (left > right) - (left < right);
}

static int by_size(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void measure(struct kf_store *store, struct raw_doc *raw, unsigned threads)
{
    struct pair pairs[TURNS];
    uint64_t late_us[TURNS];
    for (int i = 0; i < TURNS; i++) {
        pairs[i].ours = our_turn(store, threads, TURN_MS, 0);
        pairs[i].raw = raw_turn(raw, threads, pairs[i].ours.group, TURN_MS, 0);
        late_us[i] = pairs[i].ours.late_us;
    }
    qsort(pairs, TURNS, sizeof *pairs, by_ratio);
    qsort(late_us, TURNS, sizeof *late_us, by_size);
    const struct pair *middle = &pairs[TURNS / 2];
    printf("%u threads: ratios from %.2f to %.2f, groups of %.1f, processor %.0f us a save against "
           "%.0f us\n",
           threads, ratio(&pairs[0]), ratio(&pairs[TURNS - 1]), middle->ours.group,
           middle->ours.cpu_us, middle->raw.cpu_us);
    printf("{\"name\":\"save.2k.%u\",\"value\":%.0f,\"unit\":\"1/s\",\"base\":%.0f,"
           "\"against\":\"raw SQLite, same statements, same groups\",\"target\":0.7,\"aim\":0.9}\n",
           threads, middle->ours.per_s, middle->raw.per_s);
    printf("{\"name\":\"save.2k.%u.p99\",\"value\":%.3f,\"unit\":\"ms\",\"better\":\"less\"}\n",
           threads, (double)late_us[TURNS / 2] / 1000);
    fflush(stdout);
}

/* The disk itself: 4 KiB at the end of a file and fdatasync. */
static void measure_disk(const char *path)
{
    static char block[4096];
    static uint64_t took_ns[SYNCS];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        exit(1);
    for (int i = 0; i < SYNCS; i++) {
        uint64_t start_ns = env_mono_ns(env_system());
        if (write(fd, block, sizeof block) != sizeof block || fdatasync(fd) != 0)
            exit(1);
        took_ns[i] = env_mono_ns(env_system()) - start_ns;
    }
    close(fd);
    qsort(took_ns, SYNCS, sizeof *took_ns, by_size);
    printf("{\"name\":\"disk.fdatasync\",\"value\":%.3f,\"unit\":\"ms\",\"better\":\"less\"}\n",
           (double)took_ns[SYNCS / 2] / 1e6);
}

/* `bench_save 64 16` measures those alone. */
int main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR");
    char dir[300], path[320], raw_path[320], disk_path[320];
    snprintf(dir, sizeof dir, "%s/bench-save-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/save.db", dir);
    snprintf(raw_path, sizeof raw_path, "%s/raw.db", dir);
    snprintf(disk_path, sizeof disk_path, "%s/disk", dir);

    kf_store *store;
    struct kf_err err = KF_ERR_INIT;
    if (kf_open(path, NULL, &store, &err) != KF_OK) {
        fprintf(stderr, "bench_save: %s\n", err.detail);
        return 1;
    }
    struct raw_doc *raw = raw_doc_open(raw_path);
    uint64_t until_kept = CONFIG_KEEP_DEFAULT.versions * 3 / 2 * (uint64_t)NAMES;
    make_names();
    measure_disk(disk_path);
    our_turn(store, THREADS_MAX, 0, until_kept);
    raw_turn(raw, THREADS_MAX, 50, 0, until_kept);
    raw_doc_count_from_here(raw, sqlite_of(store->db)->handle);
    for (int i = 0; i < (argc > 1 ? argc - 1 : 3); i++) {
        uint64_t threads = (const uint64_t[]){1, 16, 64}[i % 3];
        if (argc > 1 && (!str_to_u64(str_of(argv[i + 1]), &threads) || threads - 1 >= THREADS_MAX))
            return 2;
        measure(store, raw, (unsigned)threads);
    }
    raw_doc_compare(raw, sqlite_of(store->db)->handle);
    kf_close(&store, NULL);
    raw_doc_close(raw);
    return 0;
}
