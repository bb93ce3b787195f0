/* The order of file_store, seen through the tap: what is renamed was synced whole, and the rename
 * itself was synced.
 *
 * A crash keeps what was synced and may drop or reorder everything else, so this order is the
 * promise: at any point the old or the new file is there. A write is also cut short once, as a
 * nearly full disk does. */
#include "base/env.h"
#include "base/err.h"

#include <stdio.h>
#include <string.h>

enum { BODY_LEN = 10000 };

struct watch {
    uint64_t bytes;    /* written to the temporary file */
    uint64_t unsynced; /* of them, since its last sync */
    bool cut;          /* a write was cut short */
    bool renamed, folder_synced;
    const char *fault;
};

static int see(void *ctx, const struct io_event *event)
{
    struct watch *w = ctx;
    switch ((int)event->op) {
    case IO_WRITE:
        if (!w->cut) {
            w->cut = true;
            w->bytes += event->len / 2;
            w->unsynced += event->len / 2;
            return IO_TAP_SHORT;
        }
        w->bytes += event->len;
        w->unsynced += event->len;
        break;
    case IO_SYNC: w->unsynced = 0; break;
    case IO_RENAME:
        w->renamed = true;
        if (w->unsynced)
            w->fault = "renamed before it was synced";
        if (w->bytes != BODY_LEN)
            w->fault = "renamed before it was whole";
        break;
    case IO_DIRSYNC: w->folder_synced = w->renamed; break;
    default: break;
    }
    return 0;
}

static bool same(const struct env *env, const char *path, const char *body)
{
    struct buf got = BUF_INIT;
    bool good = file_load(env, path, 2 * BODY_LEN, &got, NULL) == KF_OK && got.len == BODY_LEN &&
                memcmp(got.p, body, BODY_LEN) == 0;
    buf_release(&got);
    return good;
}

int main(int argc, char **argv)
{
    static char body[BODY_LEN];
    struct watch w = {0};
    struct kf_err err = KF_ERR_INIT;
    struct env env = *env_system();
    char path[4096];

    if (argc != 2 || snprintf(path, sizeof(path), "%s/file", argv[1]) >= (int)sizeof(path))
        return 2;
    memset(body, 'x', sizeof(body));
    env.tap = see;
    env.ctx = &w;
    if (file_store(&env, path, str_make(body, sizeof(body)), &err) != KF_OK)
        w.fault = err.detail;
    env = *env_system();
    if (!w.fault && (!w.cut || !w.renamed))
        w.fault = "the write was not seen";
    if (!w.fault && !w.folder_synced)
        w.fault = "the rename was not synced";
    if (!w.fault && !same(&env, path, body))
        w.fault = "what is there is not what was written";
    if (w.fault)
        fprintf(stderr, "%s\n", w.fault);
    return w.fault ? 1 : 0;
}
