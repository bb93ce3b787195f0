/* Any bytes as keepfast.yaml: read or refused with a place, never anything else. What was read must
 * print as JSON, and each default must be JSON. */
#include "base/config_internal.h"
#include "base/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_defaults(const struct config *c)
{
    for (size_t i = 0; i < c->space_count; i++) {
        for (size_t j = 0; j < c->spaces[i].doc_count; j++) {
            const struct config_doc *d = &c->spaces[i].docs[j];
            must(!d->def.p || json_check(d->def, NULL, NULL, NULL) == KF_OK);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_place places[SETTING_COUNT] = {0};
    struct kf_err err = KF_ERR_INIT;
    struct config *c = NULL;
    struct buf out = BUF_INIT;
    if (size > CONFIG_FILE_MAX)
        return 0;
    must(config_load(env_system(), NULL, NULL, NULL, 0, &c, &err) == KF_OK);
    kf_rc rc = config_read(c, env_system(), "f", STR("/nowhere/"), str_make(data, size), places,
                           &err);
    if (rc == KF_OK) {
        check_defaults(c);
        config_print(c, true, &out);
        must(json_check(buf_view(&out), NULL, NULL, NULL) == KF_OK);
    } else {
        must(rc == KF_CONFIG && strncmp(err.detail, "f:", 2) == 0 && !strchr(err.detail, '\n'));
    }
    buf_release(&out);
    config_free(c);
    return 0;
}
