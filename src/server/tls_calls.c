#include "server/tls_calls.h"

#include "base/calls.h"
#include "base/err.h"

struct tls_calls openssl;

static const struct calls_entry entries[] = {
#define X(name) {#name, offsetof(struct tls_calls, name)},
    TLS_CALLS(X)
#undef X
};

kf_rc tls_calls_load(struct kf_err *err)
{
    static struct calls_library library = {.file = "libssl.so.3",
                                           .entries = entries,
                                           .count = sizeof entries / sizeof *entries,
                                           .table = &openssl,
                                           .lock = PTHREAD_MUTEX_INITIALIZER};
    if (calls_load(&library))
        return KF_OK;
    return err_set(err, PROBLEM_CONFIG,
                   "cannot load OpenSSL 3, which TLS is spoken with; install libssl3, or "
                   "leave tls.cert and tls.key out");
}
