/* A program that does nothing but write, to be killed or to have its power cut.
 *
 *     writer DB THREADS DOCS-PER-THREAD
 *
 * Each thread goes round its own documents. Operation n of a document follows from n alone (operation() below; crash.py
 * has the same rule), so whoever reads the store afterwards knows from a version number what must be there. An
 * operation that was confirmed is one line on stdout, written at once:
 *
 *     A NAME N        acknowledged
 *     G COMMITS WRITES    now and then, how many groups there were
 *
 * It goes on from what the store holds, so that one store lives through many cuts. Ends with 8 when the store refuses
 * writes, which is what a cut looks like from inside. */
#include <keepfast.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAD_MAX = 2000 };

static kf_store *store;
static int docs_per_thread;
static atomic_int failed;

struct worker {
    pthread_t thread;
    int number;
};

static void say(const char *line, int len)
{
    while (len > 0) {
        ssize_t put = write(STDOUT_FILENO, line, (size_t)len);
        if (put <= 0)
            exit(1);
        line += put;
        len -= (int)put;
    }
}

/* The number of the last operation of a document. */
static kf_rc last_operation(const char *name, uint64_t *ret_n, struct kf_err *err)
{
    struct kf_doc_list list = {0};
    kf_rc rc = kf_doc_versions(store, name, 0, 1, &list, err);
    *ret_n = rc == KF_OK && list.count ? list.items[0].version : 0;
    kf_doc_list_free(&list);
    return rc == KF_ABSENT ? KF_OK : rc;
}

static kf_rc operation(const char *name, uint64_t n, struct kf_err *err)
{
    static const char pad[PAD_MAX + 1] = {[0 ... PAD_MAX - 1] = 'p'};
    char body[PAD_MAX + 64];
    struct kf_written written;
    kf_rc rc;
    if (n % 20 == 19) {
        rc = kf_doc_delete(store, name, NULL, &written, err);
    } else if (n % 7 == 3 && n % 20 != 0) {
        int len = snprintf(body, sizeof body, "{\"n\":%llu}", (unsigned long long)n);
        rc = kf_doc_patch(store, name, body, (size_t)len, NULL, &written, err);
    } else {
        int len = snprintf(body, sizeof body, "{\"n\":%llu,\"pad\":\"%.*s\"}", (unsigned long long)n,
                           (int)(n * 37 % PAD_MAX), pad);
        rc = kf_doc_put(store, name, body, (size_t)len, NULL, &written, err);
    }
    if (rc == KF_OK && written.version != n) {
        fprintf(stderr, "writer: operation %llu of %s made version %llu\n", (unsigned long long)n, name,
                (unsigned long long)written.version);
        exit(2);
    }
    return rc;
}

static void say_groups(void)
{
    struct kf_status s;
    char line[64];
    if (kf_status(store, &s, NULL) == KF_OK)
        say(line, snprintf(line, sizeof line, "G %llu %llu\n", (unsigned long long)s.commits,
                           (unsigned long long)s.writes));
}

static void fail(const struct kf_err *err)
{
    fprintf(stderr, "writer: %s\n", err->detail);
    atomic_store(&failed, err->exit_code ? err->exit_code : 70);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct kf_err err = KF_ERR_INIT;
    char name[32], line[64];
    for (uint64_t turn = 0; !atomic_load(&failed); turn++) {
        uint64_t n;
        snprintf(name, sizeof name, "t%d/d%d", w->number, (int)(turn % (uint64_t)docs_per_thread));
        kf_rc rc = last_operation(name, &n, &err);
        if (rc == KF_OK)
            rc = operation(name, n + 1, &err);
        if (rc != KF_OK) {
            fail(&err);
            break;
        }
        say(line, snprintf(line, sizeof line, "A %s %llu\n", name, (unsigned long long)n + 1));
        if (w->number == 0 && turn % 16 == 15)
            say_groups();
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct kf_err err = KF_ERR_INIT;
    if (argc != 4)
        return 2;
    int threads = atoi(argv[2]);
    docs_per_thread = atoi(argv[3]);
    if (kf_open(argv[1], NULL, &store, &err) != KF_OK) {
        fprintf(stderr, "writer: %s\n", err.detail);
        return err.exit_code;
    }
    struct worker *workers = calloc((size_t)threads, sizeof *workers);
    for (int i = 0; i < threads; i++) {
        workers[i].number = i;
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    for (int i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    kf_close(&store, NULL);
    free(workers);
    return atomic_load(&failed);
}
