/* An entry that was foretold, as a damaged redo file may hold it. What is taken comes out the same
 * when it is said again, and has what the tables cannot do without. */
#include "shape/stream_internal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct foretold_entry e = {0};
    struct buf again = BUF_INIT;
    kf_rc rc = foretold_entry_parse(str_make(data, size), &e, NULL);
    if (rc == KF_OK) {
        foretold_entry_say(&e, &again);
        must(str_eq(buf_view(&again), str_make(data, size)));
        must(e.n > 0 && e.key.len && e.body.p && e.hash.len);
        must((e.attach.p != NULL) == (e.attach_hash.len > 0));
    } else {
        must(rc == KF_DAMAGED && !e.key.p && !e.body.p);
    }
    buf_release(&again);
    return 0;
}
