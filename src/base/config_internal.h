/* config_internal: what config.c (settings, layers) and config_read.c (the file) share. */
#ifndef KF_BASE_CONFIG_INTERNAL_H
#define KF_BASE_CONFIG_INTERNAL_H

#include "base/config.h"
#include "base/err.h"
#include "base/when.h"
#include "base/yaml.h"

/* Where a value came from, so that an error can say it. */
struct config_place {
    const char *file;             /* with `node`: FILE:LINE:COLUMN */
    const struct yaml_node *node; /* NULL = not from the file */
    const char *name;             /* "KEEPFAST_POOL_MAX", "--pool.max" */
};

/* Fills *err with the place and the sentence; returns KF_CONFIG. */
kf_rc config_refuse(const struct config_place *place, struct kf_err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Checks texts against the setting's type and range and puts them in force. `append`: a list goes
 * on instead of beginning anew. */
kf_rc config_set(struct config *c, enum setting id, const str *texts, size_t count, bool append,
                 enum config_source source, const struct config_place *place, struct kf_err *err);

/* The value in force, as a line for people or as JSON. */
void config_value_format(const struct config *c, enum setting id, bool json, struct buf *out);

/* The known word nearest to `word`, NULL when none is near. `words` ends with NULL. */
const char *config_nearest(str word, const char *const *words);

/* Reads the file's text into `c`; places[SETTING] is set for what it names. `dir`: the file's
 * folder with a slash behind it, or "". */
kf_rc config_read(struct config *c, const struct env *env, const char *file, str dir, str text,
                  struct config_place places[SETTING_COUNT], struct kf_err *err);

#endif
