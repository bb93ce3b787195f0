#include "db/pg_calls.h"

#include "base/err.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

struct pg_calls pq;

static bool load_all(void)
{
    static const struct {
        const char *name;
        size_t place;
    } all[] = {
#define X(name) {"PQ" #name, offsetof(struct pg_calls, name)},
        PG_CALLS(X)
#undef X
    };
    void *library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; library && i < sizeof all / sizeof *all; i++) {
        void *symbol = dlsym(library, all[i].name);
        if (!symbol)
            return false;
        /* a function's address in void *, as POSIX has it */
        memcpy((char *)&pq + all[i].place, &symbol, sizeof symbol);
    }
    return library != NULL;
}

kf_rc pg_calls_load(struct kf_err *err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool loaded;

    pthread_mutex_lock(&lock);
    if (!loaded)
        loaded = load_all();
    bool have = loaded;
    pthread_mutex_unlock(&lock);
    return have ? KF_OK
                : err_set(err, PROBLEM_CONFIG,
                          "cannot load libpq of PostgreSQL 14 or later, which stores on PostgreSQL "
                          "are reached with; install libpq5");
}
