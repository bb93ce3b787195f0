/* Stops the build against an SQLite that loses committed transactions, however the build was set
 * up. */
#include <sqlite3.h>

#include "db/sqlite_range.h"

_Static_assert(
    !KF_SQLITE_REFUSED(SQLITE_VERSION_NUMBER),
    "this SQLite can lose committed transactions (WAL-reset); 3.51.3 or later is needed");
