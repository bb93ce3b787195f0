/* public: what the calls of keepfast.h share. Threads: any. */
#ifndef KF_BASE_PUBLIC_H
#define KF_BASE_PUBLIC_H

#include <keepfast.h>

/* Options of a caller that may have been built with another version of keepfast.h: `given` (may be
 * NULL) begins with its size, a size_t, and is copied over the `size` bytes of defaults in `to`, as
 * far as both know it. KF_MISUSE without a size. */
kf_rc options_take(const void *given, void *to, size_t size, struct kf_err *err);

#endif
