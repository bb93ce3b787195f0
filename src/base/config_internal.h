/* config_internal: what config.c (layers of settings), config_value.c (their values), config_read.c
 * (the file), config_remote.c (the remotes in it) and config_stream.c (the streams) share. */
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

#define CONFIG_ENV_PREFIX "KEEPFAST_"

/* Checks texts against the setting's type and range and puts them in force. `append`: a list goes
 * on instead of beginning anew. */
kf_rc config_set(struct config *c, enum setting id, const str *texts, size_t count, bool append,
                 enum config_source source, const struct config_place *place, struct kf_err *err);
/* A value from the environment or a flag: the elements of a list are divided by commas. */
kf_rc config_set_outside(struct config *c, enum setting id, str text, bool append,
                         enum config_source source, const struct config_place *place,
                         struct kf_err *err);

/* The value in force, as a line for people or as JSON. */
void config_value_format(const struct config *c, enum setting id, bool json, struct buf *out);

/* The known word nearest to `word`, NULL when none is near. `words` ends with NULL. */
const char *config_nearest(str word, const char *const *words);

/* Reads the file's text into `c`; places[SETTING] is set for what it names. `dir`: the file's
 * folder with a slash behind it, or "". */
kf_rc config_read(struct config *c, const struct env *env, const char *file, str dir, str text,
                  struct config_place places[SETTING_COUNT], struct kf_err *err);

/* Whether this build has remotes of kind git. */
#define CONFIG_HAS_GIT true

/* The file while it is read. */
struct config_reader {
    struct config *c;
    const struct env *env;
    const char *file;
    str dir;
    struct config_place *places;
    bool git; /* the kind git is there */
    struct kf_err *err;
};
/* config_read, as `r` says. */
kf_rc config_read_with(struct config_reader *r, str text);
/* The map `remotes` of a space. */
kf_rc config_read_remotes(struct config_reader *r, const struct yaml_node *n, void *space);
/* The list `streams` of a space. */
kf_rc config_read_streams(struct config_reader *r, const struct yaml_node *n, void *space);

/* A key of a map; read == NULL: its part is not built yet. */
struct config_key {
    const char *name;
    kf_rc (*read)(struct config_reader *r, const struct yaml_node *value, void *target);
};

#define REFUSE(r, node, ...) yaml_refuse((r)->file, node, (r)->err, __VA_ARGS__)
/* At most this much of a value is repeated in an error. */
#define SHOWN(s) (int)((s).len < 60 ? (s).len : 60), (s).p

/* Values by their form; `what` names the key in what an error says. Texts are copied. */
kf_rc reader_map(struct config_reader *r, const struct yaml_node *map, const char *where,
                 const struct config_key *keys, void *target);
kf_rc reader_text(struct config_reader *r, const struct yaml_node *n, const char *what, str *ret);
/* One text or a list of them. */
kf_rc reader_texts(struct config_reader *r, const struct yaml_node *n, const char *what, str **ret,
                   size_t *ret_count);
kf_rc reader_duration(struct config_reader *r, const struct yaml_node *n, const char *what,
                      uint64_t min_ms, uint64_t *ret_ms);
kf_rc reader_count(struct config_reader *r, const struct yaml_node *n, const char *what,
                   uint32_t min, uint32_t max, uint32_t *ret);
kf_rc reader_keep(struct config_reader *r, str text, str *ret);
/* The value of a key, NULL when the map has none. */
const struct yaml_node *reader_value(const struct yaml_node *map, const char *key);

#endif
