/* The layers of settings: config_value.c has their values, config_read.c the shape of the file.
 *
 * A key of the file or a flag that names no setting is refused: a misspelt one would be a setting
 * not in force. So is an environment variable that is meant to be one: its first word is a group of
 * settings (KEEPFAST_LIMITS_DOCS), or it is an edit or two away from one (KEEPFAST_LISTN). All
 * others that begin with KEEPFAST_ are left alone: an orchestrator makes KEEPFAST_PORT and
 * KEEPFAST_SERVICE_HOST for a service of this name. */
#include "base/config_internal.h"

#include "base/mem.h"
#include "base/secret.h"

#define FILE_NAME "keepfast.yaml"

kf_rc config_refuse(const struct config_place *place, struct kf_err *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    err_vset(err, PROBLEM_CONFIG, fmt, args);
    va_end(args);
    if (place->node)
        err_prefix(err, "%s:%u:%u", place->file, place->node->line, place->node->column);
    else
        err_prefix(err, "%s", place->name);
    return KF_CONFIG;
}

/* ---------------------------------------------------------------------------- nearest known key */

#define WORD_MAX 32

/* Edits (insert, delete, replace, swap of neighbours) between two words of at most WORD_MAX
 * bytes. */
static unsigned distance(str a, str b)
{
    unsigned rows[3][WORD_MAX + 1];
    for (unsigned j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned *now = rows[i % 3];
        const unsigned *before = rows[(i + 2) % 3], *earlier = rows[(i + 1) % 3];
        now[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned best = before[j - 1] + (a.p[i - 1] != b.p[j - 1]);
            if (before[j] + 1 < best)
                best = before[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] &&
                earlier[j - 2] + 1 < best)
                best = earlier[j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[a.len % 3][b.len];
}

const char *config_nearest(str word, const char *const *words)
{
    const char *nearest = NULL;
    unsigned least = word.len < 4 ? 2 : 3; /* at most 1 edit in a short word, 2 in a long one */
    for (; *words; words++) {
        str known = str_of(*words);
        if (word.len > WORD_MAX || known.len > WORD_MAX)
            continue;
        unsigned edits = distance(word, known);
        if (edits < least) {
            least = edits;
            nearest = *words;
        }
    }
    return nearest;
}

/* -------------------------------------------------------------------------------------- layers */

static kf_rc take_defaults(struct config *c, struct kf_err *err)
{
    for (int id = 0; id < SETTING_COUNT; id++) {
        struct config_place place = {.name = "default"};
        kf_rc rc = config_set_outside(c, (enum setting)id, str_of(setting_table[id].def), false,
                                      CONFIG_DEFAULT, &place, err);
        if (rc != KF_OK)
            return rc;
    }
    return KF_OK;
}

static const char *environ_get(char *const *environ, const char *name)
{
    size_t len = strlen(name);
    for (; environ && *environ; environ++) {
        if (strncmp(*environ, name, len) == 0 && (*environ)[len] == '=')
            return *environ + len + 1;
    }
    return NULL;
}

/* Whether `name` (behind KEEPFAST_) begins with the group of a setting: LIMITS_, LOG_, POOL_ …, or
 * with SPACES_. */
static bool in_a_group(str name)
{
    for (int id = 0; id < SETTING_COUNT; id++) {
        str group = str_of(setting_table[id].env + strlen(CONFIG_ENV_PREFIX));
        group.len = str_index(str_of(setting_table[id].path), '.');
        bool grouped = setting_table[id].path[group.len] == '.';
        if (grouped && name.len > group.len && name.p[group.len] == '_' && str_starts(name, group))
            return true;
    }
    return str_starts(name, STR("SPACES_"));
}

static kf_rc check_variable(str name, struct kf_err *err)
{
    const char *known[SETTING_COUNT + 1] = {0};
    for (int id = 0; id < SETTING_COUNT; id++) {
        known[id] = setting_table[id].env + strlen(CONFIG_ENV_PREFIX);
        if (str_is(name, known[id]))
            return KF_OK;
    }
    const char *near = config_nearest(name, known);
    if (!near && !in_a_group(name))
        return KF_OK;
    return err_set(err, PROBLEM_CONFIG, CONFIG_ENV_PREFIX "%.*s: there is no such setting%s%s%s",
                   (int)(name.len < 60 ? name.len : 60), name.p,
                   near ? "; did you mean " CONFIG_ENV_PREFIX : "", near ? near : "",
                   near ? "?" : "");
}

static kf_rc check_environ(char *const *environ, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (; rc == KF_OK && environ && *environ; environ++) {
        str name = {*environ, str_index(str_of(*environ), '=')};
        if (str_starts(name, STR(CONFIG_ENV_PREFIX)))
            rc = check_variable(str_from(name, strlen(CONFIG_ENV_PREFIX)), err);
    }
    return rc;
}

static kf_rc take_environ(struct config *c, char *const *environ,
                          struct config_place places[SETTING_COUNT], struct kf_err *err)
{
    kf_rc all = check_environ(environ, err);
    if (all != KF_OK)
        return all;
    for (int id = 0; id < SETTING_COUNT; id++) {
        const char *value = environ_get(environ, setting_table[id].env);
        if (!value)
            continue;
        places[id] = (struct config_place){.name = setting_table[id].env};
        kf_rc rc = config_set_outside(c, (enum setting)id, str_of(value), false, CONFIG_ENV,
                                      &places[id], err);
        if (rc != KF_OK)
            return rc;
    }
    return KF_OK;
}

static kf_rc refuse_flag(const struct config_flag *flag, struct kf_err *err)
{
    const char *paths[SETTING_COUNT + 1] = {0};
    for (int id = 0; id < SETTING_COUNT; id++)
        paths[id] = setting_table[id].path;
    const char *near = config_nearest(str_of(flag->path), paths);
    return err_set(err, PROBLEM_USAGE, "--%.60s: there is no such setting%s%s%s", flag->path,
                   near ? "; did you mean --" : "", near ? near : "", near ? "?" : "");
}

static kf_rc take_flag(struct config *c, const struct config_flag *flag,
                       struct config_place places[SETTING_COUNT], struct kf_err *err)
{
    for (int id = 0; id < SETTING_COUNT; id++) {
        if (strcmp(setting_table[id].path, flag->path) != 0)
            continue;
        char *name = arena_printf(&c->arena, "--%s", flag->path);
        if (!name)
            return err_nomem(err);
        places[id] = (struct config_place){.name = name};
        /* A list may be given in several flags. */
        bool append = c->source[id] == CONFIG_FLAG;
        return config_set_outside(c, (enum setting)id, str_of(flag->value), append, CONFIG_FLAG,
                                  &places[id], err);
    }
    return refuse_flag(flag, err);
}

static kf_rc take_file(struct config *c, const struct env *env, const char *path, struct buf *text,
                       struct config_place places[SETTING_COUNT], struct kf_err *err)
{
    c->file = arena_str(&c->arena, str_of(path));
    if (!c->file.p)
        return err_nomem(err);
    kf_rc rc = file_load_linked(env, path, CONFIG_FILE_MAX, text, err);
    if (rc == KF_ABSENT || rc == KF_LIMIT)
        return err_set(err, PROBLEM_CONFIG, "%s: %s", path,
                       rc == KF_ABSENT ? "there is no such file"
                                       : "a configuration has at most 1 MiB");
    if (rc != KF_OK)
        return rc;
    const char *slash = strrchr(path, '/');
    str dir = {path, slash ? (size_t)(slash - path) + 1 : 0};
    return config_read(c, env, c->file.p, dir, buf_view(text), places, err);
}

/* What no single value can show. */
static kf_rc check_together(struct config *c, const struct config_place places[SETTING_COUNT],
                            struct kf_err *err)
{
    bool to = c->source[SETTING_BACKUP_TO] != CONFIG_DEFAULT;
    for (int id = SETTING_BACKUP_EVERY; id <= SETTING_BACKUP_KEY_ENV; id++)
        if (!to && c->source[id] != CONFIG_DEFAULT)
            return config_refuse(&places[id], err, "%s needs backup.to beside it: dir:PATH",
                                 setting_table[id].path);
    if (c->backup_key_file.len && c->backup_key_env.len)
        return config_refuse(&places[SETTING_BACKUP_KEY_ENV], err,
                             "backup.key_file and backup.key_env both name a key: leave one out");
    if ((c->tls_cert.len == 0) != (c->tls_key.len == 0))
        return config_refuse(&places[c->tls_cert.len ? SETTING_TLS_CERT : SETTING_TLS_KEY], err,
                             "tls.cert and tls.key go together: name both");
    if (c->pool_min <= c->pool_max)
        return KF_OK;
    if (c->source[SETTING_POOL_MIN] == CONFIG_DEFAULT) {
        c->pool_min = c->pool_max;
        return KF_OK;
    }
    return config_refuse(&places[SETTING_POOL_MIN], err, "pool.min (%u) is above pool.max (%u)",
                         (unsigned)c->pool_min, (unsigned)c->pool_max);
}

kf_rc config_load(const struct env *env, const char *path, char *const *environ,
                  const struct config_flag *flags, size_t flag_count, struct config **ret_config,
                  struct kf_err *err)
{
    struct config_place places[SETTING_COUNT] = {0};
    struct buf text = BUF_INIT;
    struct config *c = mem_calloc(1, sizeof *c);
    if (!c)
        return err_nomem(err);
    c->file = STR("");
    kf_rc rc = take_defaults(c, err);
    if (rc == KF_OK && path)
        rc = take_file(c, env, path, &text, places, err);
    if (rc == KF_OK)
        rc = take_environ(c, environ, places, err);
    for (size_t i = 0; rc == KF_OK && i < flag_count; i++)
        rc = take_flag(c, &flags[i], places, err);
    if (rc == KF_OK)
        rc = check_together(c, places, err);
    if (rc == KF_OK)
        *ret_config = c;
    else
        config_free(c);
    buf_release(&text);
    return rc;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    arena_release(&config->arena);
    mem_free(config);
}

/* -------------------------------------------------------------------------------- where it is */

static kf_rc is_there(const struct env *env, const char *path, bool *ret, struct kf_err *err)
{
    struct stat st;
    kf_rc rc = path_stat(env, path, &st, err);
    *ret = rc == KF_OK;
    return rc == KF_ABSENT ? KF_OK : rc;
}

kf_rc config_find(const struct env *env, const char *given, char *const *environ,
                  const char *data_dir, struct buf *ret, struct kf_err *err)
{
    const char *from_environ = environ_get(environ, "KEEPFAST_CONFIG");
    const char *named = given ? given : from_environ && *from_environ ? from_environ : NULL;
    bool there = false;
    buf_clear(ret);
    if (named) {
        kf_rc rc = is_there(env, named, &there, err);
        if (rc != KF_OK)
            return rc;
        if (!there)
            return err_set(err, PROBLEM_CONFIG, "%s: %s: there is no such file",
                           given ? "--config" : "KEEPFAST_CONFIG", named);
        buf_c(ret, named);
        return buf_ok(ret, err);
    }
    if (data_dir)
        buf_printf(ret, "%s/%s", data_dir, FILE_NAME);
    for (int place = data_dir ? 0 : 1; place < 2 && !there; place++) {
        if (place == 1) {
            buf_clear(ret);
            buf_c(ret, FILE_NAME);
        }
        kf_rc rc = buf_ok(ret, err);
        if (rc == KF_OK)
            rc = is_there(env, ret->p, &there, err);
        if (rc != KF_OK)
            return rc;
    }
    if (!there)
        buf_clear(ret);
    return KF_OK;
}

/* ------------------------------------------------------------------------------------- looking */

const struct config_space *config_space(const struct config *config, str name)
{
    for (size_t i = 0; config && i < config->space_count; i++) {
        if (str_eq(config->spaces[i].name, name))
            return &config->spaces[i];
    }
    return NULL;
}

const struct config_doc *config_doc(const struct config_space *space, str name)
{
    for (size_t i = 0; space && i < space->doc_count; i++) {
        if (str_glob(space->docs[i].match, name))
            return &space->docs[i];
    }
    return NULL;
}

bool config_name_ok(str name)
{
    if (name.len == 0 || name.len > CONFIG_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        bool inner = c == '_' || c == '-';
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !(inner && i > 0))
            return false;
    }
    return true;
}

bool config_space_name_ok(str name)
{
    return config_name_ok(name) && !str_is(name, "tokens");
}
