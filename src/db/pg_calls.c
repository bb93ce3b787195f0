#include "db/pg_calls.h"

#include "base/calls.h"
#include "base/err.h"

struct pg_calls pq;

static const struct calls_entry entries[] = {
#define X(name) {"PQ" #name, offsetof(struct pg_calls, name)},
    PG_CALLS(X)
#undef X
};

kf_rc pg_calls_load(struct kf_err *err)
{
    static struct calls_library library = {.file = "libpq.so.5",
                                           .entries = entries,
                                           .count = sizeof entries / sizeof *entries,
                                           .table = &pq,
                                           .lock = PTHREAD_MUTEX_INITIALIZER};
    if (calls_load(&library))
        return KF_OK;
    return err_set(err, PROBLEM_CONFIG,
                   "cannot load libpq of PostgreSQL 14 or later, which stores on PostgreSQL "
                   "are reached with; install libpq5");
}
