#include "move/zip_calls.h"

#include "base/calls.h"
#include "base/err.h"

static const struct calls_entry entries[] = {
#define X(name) {"archive_" #name, offsetof(struct zip_calls, name)},
    ZIP_CALLS(X)
#undef X
};

kf_rc zip_calls_load(const struct zip_calls **ret, struct kf_err *err)
{
    static struct zip_calls calls;
    static struct calls_library library = {.file = "libarchive.so.13",
                                           .entries = entries,
                                           .count = sizeof entries / sizeof *entries,
                                           .table = &calls,
                                           .lock = PTHREAD_MUTEX_INITIALIZER};
    if (!calls_load(&library))
        return err_set(err, PROBLEM_CONFIG,
                       "cannot load libarchive, which backups are made and read with; install "
                       "libarchive13");
    *ret = &calls;
    return KF_OK;
}
