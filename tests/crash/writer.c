/* A program that does nothing but write, to be killed, to have its power cut, its disk filled or
 * failed.
 *
 *     writer DB THREADS DOCS-PER-THREAD
 *
 * Each thread goes round its own documents. Operation n of a document makes its version n and
 * follows from n alone (describe() below; crash.py has the same rule), so whoever reads the store
 * afterwards knows from a version number what must be there. Threads with an even number make one
 * call after the other, those with an odd one submit an operation for each of their documents and
 * then wait for all of them. What was confirmed is one line on stdout, written at once:
 *
 *     O                   the store is open
 *     A NAME N            operation N of NAME was acknowledged
 *     F CODE NAME N       ... was refused, in the mode below
 *     G COMMITS WRITES    now and then, how many groups there were
 *     E CODE EXIT         a failure ended it
 *
 * It goes on from what the store holds, so that one store lives through many deaths. A failure ends
 * it with the exit code that the command line would have; with WRITER_GOES_ON in the environment it
 * says F, waits a moment and tries the same operation again, until its stdin ends. */
#include <keepfast.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAD_MAX = 2000, DOCS_MAX = 64, THREADS_MAX = 64, AGAIN_MS = 20 };

static kf_store *store;
static size_t docs_per_thread;
static bool goes_on;
static atomic_int failed;
static atomic_bool enough;

struct doc {
    char name[32];
    uint64_t n; /* the last operation that was acknowledged */
    char body[PAD_MAX + 64];
    kf_ticket *ticket;
};

struct worker {
    pthread_t thread;
    int number;
    struct doc *docs;
};

/* One write a line: several threads say something. */
static void say(const char *line, int len)
{
    if (write(STDOUT_FILENO, line, (size_t)len) != len)
        _exit(1);
}

/* ------------------------------------------------------------------------------ operations */

static void describe(struct doc *d, uint64_t n, struct kf_write *w)
{
    static const char pad[PAD_MAX + 1] = {[0 ... PAD_MAX - 1] = 'p'};
    bool patch = n % 7 == 3 && n % 20 != 0, delete = n % 20 == 19;
    int pad_len = patch ? 0 : (int)(n * 37 % PAD_MAX);
    int len = snprintf(d->body, sizeof(d->body),
                       patch ? "{\"n\":%llu}" : "{\"n\":%llu,\"pad\":\"%.*s\"}",
                       (unsigned long long)n, pad_len, pad);
    *w = (struct kf_write)KF_WRITE_INIT;
    w->verb = delete ? KF_DELETE : patch ? KF_PATCH : KF_PUT;
    w->name = d->name;
    w->body = d->body;
    w->len = (size_t)len;
}

static kf_rc perform(struct doc *d, struct kf_written *ret, struct kf_err *err)
{
    struct kf_write w;
    describe(d, d->n + 1, &w);
    switch (w.verb) {
    case KF_DELETE: return kf_doc_delete(store, w.name, NULL, ret, err);
    case KF_PATCH: return kf_doc_patch(store, w.name, w.body, w.len, NULL, ret, err);
    default: return kf_doc_put(store, w.name, w.body, w.len, NULL, ret, err);
    }
}

static void acknowledged(struct doc *d, const struct kf_written *written)
{
    char line[96];
    d->n++;
    if (written->version != d->n || written->level != KF_LEVEL_DISK) {
        fprintf(stderr, "writer: operation %llu of %s made version %llu at level %d\n",
                (unsigned long long)d->n, d->name, (unsigned long long)written->version,
                (int)written->level);
        _exit(2);
    }
    say(line, snprintf(line, sizeof(line), "A %s %llu\n", d->name, (unsigned long long)d->n));
}

/* True: the same operation is to be tried again. */
static bool refused(struct doc *d, const struct kf_err *err)
{
    char line[160];
    if (goes_on) {
        say(line, snprintf(line, sizeof(line), "F %s %s %llu\n", err->code, d->name,
                           (unsigned long long)d->n + 1));
        poll(NULL, 0, AGAIN_MS);
        return true;
    }
    int expected = 0;
    if (atomic_compare_exchange_strong(&failed, &expected, err->exit_code ? err->exit_code : 70)) {
        say(line, snprintf(line, sizeof(line), "E %s %d\n", err->code, err->exit_code));
        fprintf(stderr, "writer: %s: %s\n", d->name, err->detail);
    }
    return false;
}

/* ---------------------------------------------------------------------------------- threads */

static bool is_over(void)
{
    return atomic_load(&failed) || atomic_load(&enough);
}

static void call_round(struct worker *w)
{
    struct kf_written written;
    struct kf_err err = KF_ERR_INIT;
    for (size_t i = 0; i < docs_per_thread && !is_over(); i++) {
        if (perform(&w->docs[i], &written, &err) == KF_OK)
            acknowledged(&w->docs[i], &written);
        else if (refused(&w->docs[i], &err))
            i--;
    }
}

static void submit_round(struct worker *w)
{
    struct kf_written written;
    struct kf_write write;
    struct kf_err err = KF_ERR_INIT;
    for (size_t i = 0; i < docs_per_thread; i++) {
        struct doc *d = &w->docs[i];
        describe(d, d->n + 1, &write);
        if (kf_submit(store, &write, NULL, NULL, &d->ticket, &err) != KF_OK)
            refused(d, &err);
    }
    for (size_t i = 0; i < docs_per_thread; i++) {
        struct doc *d = &w->docs[i];
        if (!d->ticket)
            continue;
        if (kf_wait(&d->ticket, 60000, &written, &err) == KF_OK)
            acknowledged(d, &written);
        else
            refused(d, &err);
    }
}

static void say_groups(void)
{
    struct kf_status s;
    char line[64];
    if (kf_status(store, &s, NULL) == KF_OK)
        say(line, snprintf(line, sizeof(line), "G %llu %llu\n", (unsigned long long)s.commits,
                           (unsigned long long)s.writes));
}

static void *work(void *arg)
{
    struct worker *w = arg;
    while (!is_over()) {
        if (w->number % 2)
            submit_round(w);
        else
            call_round(w);
        if (w->number == 0)
            say_groups();
    }
    return NULL;
}

/* -------------------------------------------------------------------------------------- main */

static kf_rc last_operation(struct doc *d, struct kf_err *err)
{
    struct kf_doc_list list = {0};
    kf_rc rc = kf_doc_versions(store, d->name, 0, 1, &list, err);
    if (rc == KF_OK && list.count)
        d->n = list.items[0].version;
    kf_doc_list_free(&list);
    return rc == KF_ABSENT ? KF_OK : rc;
}

static kf_rc prepare(struct worker *w, int number, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    w->number = number;
    w->docs = calloc(docs_per_thread, sizeof(*w->docs));
    if (!w->docs)
        exit(70);
    for (size_t i = 0; i < docs_per_thread && rc == KF_OK; i++) {
        snprintf(w->docs[i].name, sizeof(w->docs[i].name), "t%d/d%zu", number, i);
        rc = last_operation(&w->docs[i], err);
    }
    return rc;
}

static int give_up(const struct kf_err *err)
{
    char line[96];
    say(line, snprintf(line, sizeof(line), "E %s %d\n", err->code, err->exit_code));
    fprintf(stderr, "writer: %s\n", err->detail);
    return err->exit_code;
}

static void wait_for_stdin(void)
{
    char c;
    while (!atomic_load(&failed) && read(STDIN_FILENO, &c, 1) > 0)
        ;
    atomic_store(&enough, true);
}

int main(int argc, char **argv)
{
    static struct worker workers[THREADS_MAX];
    struct kf_err err = KF_ERR_INIT;
    size_t threads = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;
    docs_per_thread = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    goes_on = getenv("WRITER_GOES_ON") != NULL;
    if (threads < 1 || threads > THREADS_MAX || docs_per_thread < 1 || docs_per_thread > DOCS_MAX)
        return 2;
    if (kf_open(argv[1], NULL, &store, &err) != KF_OK)
        return give_up(&err);
    for (size_t i = 0; i < threads; i++)
        if (prepare(&workers[i], (int)i, &err) != KF_OK)
            return give_up(&err);
    say("O\n", 2);
    for (size_t i = 0; i < threads; i++)
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    if (goes_on)
        wait_for_stdin();
    for (size_t i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    say_groups();
    kf_rc rc = kf_close(&store, &err);
    for (size_t i = 0; i < threads; i++)
        free(workers[i].docs);
    return atomic_load(&failed) ? atomic_load(&failed) : rc == KF_OK ? 0 : err.exit_code;
}
