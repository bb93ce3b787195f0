#include "server/tls_calls.h"

#include "base/err.h"

#include <dlfcn.h>
#include <pthread.h>

struct tls_calls openssl;

static bool load_all(void)
{
    static const struct {
        const char *name;
        size_t place;
    } all[] = {
#define X(name) {#name, offsetof(struct tls_calls, name)},
        TLS_CALLS(X)
#undef X
    };
    void *library = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; library && i < sizeof all / sizeof *all; i++) {
        void *symbol = dlsym(library, all[i].name);
        if (!symbol)
            return false;
        /* a function's address in void *, as POSIX has it */
        memcpy((char *)&openssl + all[i].place, &symbol, sizeof symbol);
    }
    return library != NULL;
}

kf_rc tls_calls_load(struct kf_err *err)
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
                          "cannot load OpenSSL 3, which TLS is spoken with; install libssl3, or "
                          "leave tls.cert and tls.key out");
}
