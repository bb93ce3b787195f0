#include "base/calls.h"

#include <dlfcn.h>
#include <string.h>

static bool load_all(const struct calls_library *l)
{
    void *library = dlopen(l->file, RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; library && i < l->count; i++) {
        void *symbol = dlsym(library, l->entries[i].name);
        if (!symbol)
            return false;
        /* a function's address in void *, as POSIX has it */
        memcpy((char *)l->table + l->entries[i].place, &symbol, sizeof symbol);
    }
    return library != NULL;
}

bool calls_load(struct calls_library *l)
{
    pthread_mutex_lock(&l->lock);
    if (!l->loaded)
        l->loaded = load_all(l);
    bool have = l->loaded;
    pthread_mutex_unlock(&l->lock);
    return have;
}
