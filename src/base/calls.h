/* calls: functions of a library that is loaded when they are first needed, so that who does not
 * need it starts without it.
 *
 * Whoever has such functions keeps one calls_library as a static, with the table that it fills. */
#ifndef KF_BASE_CALLS_H
#define KF_BASE_CALLS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct calls_library {
    const char *file; /* as the loader of programs knows it: libssl.so.3 */
    const struct calls_entry {
        const char *name;
        size_t place; /* of the pointer to it in `table` */
    } * entries;
    size_t count;
    void *table;          /* a struct of pointers to functions */
    pthread_mutex_t lock; /* PTHREAD_MUTEX_INITIALIZER; of `loaded` */
    bool loaded;
};
/* Fills the table. False: the library or one of the functions is not there; the next call tries
 * again. It stays loaded until the process ends. Any thread. */
bool calls_load(struct calls_library *library);

#endif
