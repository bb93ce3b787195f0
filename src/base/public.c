/* The parts of keepfast.h that need no floor above this one: names of codes and states, and the end
 * of what was given out. */
#include "base/public.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

kf_rc options_take(const void *given, void *to, size_t size, struct kf_err *err)
{
    size_t has = 0;
    if (!given)
        return KF_OK;
    memcpy(&has, given, sizeof has);
    if (has < sizeof has)
        return err_set(err, PROBLEM_MISUSE,
                       "the options have no size: begin with the KF_…_INIT of their kind");
    memcpy(to, given, has < size ? has : size);
    memcpy(to, &size, sizeof size);
    return KF_OK;
}

const char *kf_rc_name(kf_rc rc)
{
    switch (rc) {
    case KF_OK: return "KF_OK";
    case KF_ABSENT: return "KF_ABSENT";
    case KF_CONFLICT: return "KF_CONFLICT";
    case KF_INVALID: return "KF_INVALID";
    case KF_LIMIT: return "KF_LIMIT";
    case KF_DENIED: return "KF_DENIED";
    case KF_BUSY: return "KF_BUSY";
    case KF_FULL: return "KF_FULL";
    case KF_READ_ONLY: return "KF_READ_ONLY";
    case KF_IO: return "KF_IO";
    case KF_DAMAGED: return "KF_DAMAGED";
    case KF_UNAVAILABLE: return "KF_UNAVAILABLE";
    case KF_NOT_HYDRATED: return "KF_NOT_HYDRATED";
    case KF_TOO_NEW: return "KF_TOO_NEW";
    case KF_CONFIG: return "KF_CONFIG";
    case KF_NOMEM: return "KF_NOMEM";
    case KF_MISUSE: return "KF_MISUSE";
    case KF_INTERNAL: return "KF_INTERNAL";
    }
    return "KF_UNKNOWN"; /* a program may hand in any number */
}

const char *kf_level_name(kf_level level)
{
    switch (level) {
    case KF_LEVEL_DEFAULT: return "default";
    case KF_LEVEL_MEMORY: return "memory";
    case KF_LEVEL_DISK: return "disk";
    case KF_LEVEL_SHARED: return "shared";
    case KF_LEVEL_REMOTE: return "remote";
    }
    return "unknown";
}

const char *kf_state_name(kf_state state)
{
    switch (state) {
    case KF_STATE_OPEN: return "open";
    case KF_STATE_HYDRATING: return "hydrating";
    case KF_STATE_FULL: return "full";
    case KF_STATE_READ_ONLY: return "read_only";
    case KF_STATE_AWAY: return "away";
    }
    return "unknown";
}

void kf_bytes_free(struct kf_bytes *bytes)
{
    if (!bytes)
        return;
    mem_free(bytes->p);
    *bytes = (struct kf_bytes){0};
}
