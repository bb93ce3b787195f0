#include "move/zip_calls.h"

#include "base/err.h"

#include <dlfcn.h>
#include <pthread.h>

static bool load_all(struct zip_calls *calls)
{
    static const struct {
        const char *name;
        size_t place;
    } all[] = {
#define X(name) {"archive_" #name, offsetof(struct zip_calls, name)},
        ZIP_CALLS(X)
#undef X
    };
    void *library = dlopen("libarchive.so.13", RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; library && i < sizeof all / sizeof *all; i++) {
        void *symbol = dlsym(library, all[i].name);
        if (!symbol)
            return false;
        /* a function's address in void *, as POSIX has it */
        memcpy((char *)calls + all[i].place, &symbol, sizeof symbol);
    }
    return library != NULL;
}

kf_rc zip_calls_load(const struct zip_calls **ret, struct kf_err *err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct zip_calls calls;
    static bool loaded;

    pthread_mutex_lock(&lock);
    if (!loaded)
        loaded = load_all(&calls);
    bool have = loaded;
    pthread_mutex_unlock(&lock);
    if (!have)
        return err_set(err, PROBLEM_CONFIG,
                       "cannot load libarchive, which backups are made and read with; install "
                       "libarchive13");
    *ret = &calls;
    return KF_OK;
}
