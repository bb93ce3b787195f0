/* Opens a store with the format of a made-up successor, whose steps copy every version: what a
 * migration does to a disk.
 *
 *     migrate DB
 *
 * "E CODE EXIT" on stdout, as the writer says it, and that exit status; nothing and 0 when the
 * store has the new format. */
#include "base/err.h"
#include "db/schema.h"
#include "store/store.h"

#include <stdio.h>

#define SECOND                                                           \
    "CREATE TABLE kf_copied(seq INTEGER PRIMARY KEY, body TEXT) STRICT;" \
    "INSERT INTO kf_copied SELECT seq, body || seq FROM kf_doc_version;"

int main(int argc, char **argv)
{
    static const struct schema_step steps[] = {{2, SECOND}};
    char create[16384];
    struct schema second = {.format = 2, .create = create, .steps = steps, .step_count = 1};
    struct store_options o = {.schema = &second, .brief = true, .must_exist = true};
    struct kf_store *store = NULL;
    struct kf_err err = KF_ERR_INIT;
    if (argc != 2)
        return 2;
    snprintf(create, sizeof(create), "%s;%s", schema_store.create, SECOND);
    kf_rc rc = store_open(argv[1], &o, &store, &err);
    store_close(store);
    if (rc == KF_OK)
        return 0;
    printf("E %s %d\n", err.code, err.exit_code);
    fprintf(stderr, "%s\n", err.detail);
    return err.exit_code;
}
