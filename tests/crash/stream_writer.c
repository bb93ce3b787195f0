/* A program that does nothing but append to streams, patch and erase them, to be killed or to have
 * its power cut.
 *
 *     stream_writer DB THREADS
 *
 * Thread T has streams of its own, of which all follows from numbers alone:
 *
 *     chat/T     1 to 32 entries, in one append or, in every other round, in one each; entry n has
 *                the id "T-n" and the body {"n":n,…}; now and then the attribute "at" becomes the
 *                last n of it
 *     last/T     appends, of which the store keeps 5 (the configuration beside it)
 *     gone/T/K   some entries with a secret in them, erased again; K counts
 *     all        entry "T-n" of every thread
 *
 * What was confirmed is one line on stdout, written at once:
 *
 *     O                 the store is open
 *     A KEY FIRST LAST  these entries were appended (numbers of its own in chat/T and last/T)
 *     I ID              the entry with this id stands in `all`
 *     P KEY N           the attribute "at" is N
 *     X KEY             erased
 *     E CODE EXIT       a failure ended it
 *
 * It goes on from what the store holds, so that one store lives through many deaths. Entries that
 * were in flight when it died are sent again with their ids: they must not be there twice. */
#include <keepfast.h>

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS_MAX = 16, BATCH = 32, TEXT_MAX = 200, ROUND_PATCH = 3, ROUND_GONE = 6 };

static kf_store *store;
static atomic_int failed;

struct worker {
    pthread_t thread;
    int number;
    uint64_t chat, last, gone; /* the last of each that the store has */
};

/* One write a line: several threads say something. */
__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
    char line[200];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (write(STDOUT_FILENO, line, (size_t)len) != len)
        _exit(1);
}

static void refused(const char *what, const struct kf_err *err)
{
    int expected = 0;
    if (atomic_compare_exchange_strong(&failed, &expected, err->exit_code ? err->exit_code : 70)) {
        say("E %s %d\n", err->code, err->exit_code);
        fprintf(stderr, "stream_writer: %s: %s\n", what, err->detail);
    }
}

struct made {
    char id[40], body[TEXT_MAX + 100];
};

static void describe(const struct worker *w, uint64_t n, struct made *m, struct kf_entry_new *e)
{
    static const char pad[TEXT_MAX + 1] = {[0 ... TEXT_MAX - 1] = 'p'};
    snprintf(m->id, sizeof m->id, "%d-%llu", w->number, (unsigned long long)n);
    snprintf(m->body, sizeof m->body, "{\"n\":%llu,\"text\":\"Zażółć %.*s\"}",
             (unsigned long long)n, (int)(n * 37 % TEXT_MAX), pad);
    *e = (struct kf_entry_new)KF_ENTRY_NEW_INIT;
    e->id = m->id;
    e->kind = n % 3 ? "user" : "assistant";
    e->at_ms = (int64_t)n;
    e->body = m->body;
    e->len = strlen(m->body);
    e->attach = n % 2 ? "{\"version\":1}" : NULL;
    e->attach_len = n % 2 ? 13 : 0;
}

/* Entries first to first + count - 1, in one append. */
static bool append(const struct worker *w, const char *key, uint64_t first, size_t count)
{
    struct made made[BATCH];
    struct kf_entry_new e[BATCH];
    struct kf_appended appended[BATCH];
    struct kf_err err = KF_ERR_INIT;
    for (size_t i = 0; i < count; i++)
        describe(w, first + i, &made[i], &e[i]);
    if (kf_append(store, key, e, count, NULL, appended, NULL, NULL, &err) != KF_OK) {
        refused(key, &err);
        return false;
    }
    return true;
}

/* `count` entries to `key`, of which *last is the number before the first. */
static bool append_more(const struct worker *w, const char *key, uint64_t *last, size_t count)
{
    if (!append(w, key, *last + 1, count))
        return false;
    say("A %s %llu %llu\n", key, (unsigned long long)*last + 1,
        (unsigned long long)(*last + count));
    *last += count;
    return true;
}

static bool chat(struct worker *w, unsigned round)
{
    char key[40];
    size_t count = 1 + (size_t)(w->chat % BATCH), each = round % 2 ? 1 : count;
    snprintf(key, sizeof key, "chat/%d", w->number);
    for (size_t i = 0; i < count; i += each)
        if (!append_more(w, key, &w->chat, each))
            return false;
    return true;
}

static bool attributes(const struct worker *w)
{
    char key[40], patch[60];
    struct kf_err err = KF_ERR_INIT;
    snprintf(key, sizeof key, "chat/%d", w->number);
    int len = snprintf(patch, sizeof patch, "{\"at\":%llu,\"thread\":\"t%d\"}",
                       (unsigned long long)w->chat, w->number);
    if (kf_stream_patch(store, key, patch, (size_t)len, NULL, NULL, &err) != KF_OK) {
        refused(key, &err);
        return false;
    }
    say("P %s %llu\n", key, (unsigned long long)w->chat);
    return true;
}

static bool last(struct worker *w)
{
    char key[40];
    snprintf(key, sizeof key, "last/%d", w->number);
    return append_more(w, key, &w->last, 1) && append_more(w, key, &w->last, 1);
}

static bool all(struct worker *w)
{
    if (!append(w, "all", w->chat, 1))
        return false;
    say("I %d-%llu\n", w->number, (unsigned long long)w->chat);
    return true;
}

static bool gone(struct worker *w)
{
    char key[60];
    struct kf_err err = KF_ERR_INIT;
    snprintf(key, sizeof key, "gone/%d/%llu", w->number, (unsigned long long)++w->gone);
    if (!append(w, key, 1, BATCH))
        return false;
    say("A %s 1 %d\n", key, BATCH);
    if (kf_stream_erase(store, key, NULL, &err) != KF_OK) {
        refused(key, &err);
        return false;
    }
    say("X %s\n", key);
    return true;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    for (unsigned round = 0; !atomic_load(&failed); round++)
        if (!chat(w, round) || !last(w) || !all(w) ||
            (round % ROUND_PATCH == 0 && !attributes(w)) || (round % ROUND_GONE == 0 && !gone(w)))
            break;
    return NULL;
}

/* ---------------------------------------------------------------------------------------- main */

static kf_rc last_of(const char *key, uint64_t *ret, struct kf_err *err)
{
    struct kf_stream_info info = {0};
    kf_rc rc = kf_stream(store, key, &info, err);
    *ret = rc == KF_OK ? info.last_n : 0;
    kf_stream_info_free(&info);
    return rc == KF_ABSENT ? KF_OK : rc;
}

static kf_rc prepare(struct worker *w, int number, struct kf_err *err)
{
    char key[40];
    w->number = number;
    w->gone = (uint64_t)getpid() * 1000000; /* keys of no other life */
    snprintf(key, sizeof key, "chat/%d", number);
    kf_rc rc = last_of(key, &w->chat, err);
    snprintf(key, sizeof key, "last/%d", number);
    if (rc == KF_OK)
        rc = last_of(key, &w->last, err);
    /* What was perhaps in flight: its ids are known, so it is not there twice. */
    snprintf(key, sizeof key, "chat/%d", number);
    if (rc == KF_OK && w->chat && !append(w, key, w->chat, 1))
        rc = KF_INTERNAL;
    return rc;
}

int main(int argc, char **argv)
{
    static struct worker workers[THREADS_MAX];
    struct kf_err err = KF_ERR_INIT;
    size_t threads = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    if (threads < 1 || threads > THREADS_MAX)
        return 2;
    kf_rc rc = kf_open(argv[1], NULL, &store, &err);
    for (size_t i = 0; rc == KF_OK && i < threads; i++)
        rc = prepare(&workers[i], (int)i, &err);
    if (rc != KF_OK) {
        refused("open", &err);
        return atomic_load(&failed);
    }
    say("O\n");
    for (size_t i = 0; i < threads; i++)
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    for (size_t i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    rc = kf_close(&store, &err);
    return atomic_load(&failed) ? atomic_load(&failed) : rc == KF_OK ? 0 : err.exit_code;
}
