/* What clang-tidy is told and cannot see, since it reads one file at a time: an error that was set
 * is never KF_OK. tools/tidy.py includes this before each source; no build does. */
#include "base/err.h"

#define err_set(...)   (err_set(__VA_ARGS__), KF_INTERNAL)
#define err_vset(...)  (err_vset(__VA_ARGS__), KF_INTERNAL)
#define err_at(...)    (err_at(__VA_ARGS__), KF_INVALID)
#define err_errno(...) (err_errno(__VA_ARGS__), KF_IO)
#define err_nomem(...) (err_nomem(__VA_ARGS__), KF_NOMEM)
