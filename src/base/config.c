/* The settings and their layers. The file's own shape is read in config_read.c.
 *
 * A key of the file or a flag that names no setting is refused: a misspelt one would be a setting
 * not in force. So is an environment variable that is meant to be one: its first word is a group of
 * settings (KEEPFAST_LIMITS_DOCS), or it is an edit or two away from one (KEEPFAST_LISTN). All
 * others that begin with KEEPFAST_ are left alone: an orchestrator makes KEEPFAST_PORT and
 * KEEPFAST_SERVICE_HOST for a service of this name. */
#include "base/config_internal.h"

#include "base/mem.h"
#include "base/secret.h"

#include <stddef.h>

#define FILE_NAME  "keepfast.yaml"
#define ENV_PREFIX "KEEPFAST_"

enum type { TEXT, LIST, COUNT, SIZE, DURATION, FLAG };
#define OFFSETS_TEXT(m)     offsetof(struct config, m), 0
#define OFFSETS_LIST(m)     offsetof(struct config, m), offsetof(struct config, m##_count)
#define OFFSETS_COUNT(m)    OFFSETS_TEXT(m)
#define OFFSETS_SIZE(m)     OFFSETS_TEXT(m)
#define OFFSETS_DURATION(m) OFFSETS_TEXT(m)
#define OFFSETS_FLAG(m)     OFFSETS_TEXT(m)

static const struct slot {
    enum type type;
    size_t offset, count_offset;
} slots[SETTING_COUNT] = {
#define S(id, path, type, member, def, help) [SETTING_##id] = {type, OFFSETS_##type(member)},
#include "base/settings.def"
#undef S
};

const struct setting_info setting_table[SETTING_COUNT] = {
#define S(id, path, type, member, def, help) \
    [SETTING_##id] = {path, ENV_PREFIX #id, #type, def, help},
#include "base/settings.def"
#undef S
};

/* What each may be; numbers from min to max, texts one of the words (none: anything but empty). */
#define MIB    ((uint64_t)1 << 20)
#define DAY_MS ((uint64_t)86400000)
static const struct bounds {
    uint64_t min, max;
    const char *words[5];
} bounds[SETTING_COUNT] = {
    [SETTING_LOOPS] = {.min = 0, .max = 4},
    [SETTING_POOL_MIN] = {.min = 1, .max = 1000},
    [SETTING_POOL_MAX] = {.min = 1, .max = 1000},
    [SETTING_POOL_IDLE] = {.min = 1, .max = 365 * DAY_MS},
    [SETTING_LIMITS_DOC] = {.min = 64, .max = 512 * MIB}, /* SQLite holds 1e9 bytes in a row */
    [SETTING_LIMITS_ENTRY] = {.min = 64, .max = 64 * MIB},
    [SETTING_LIMITS_BODY] = {.min = 64, .max = 512 * MIB},
    [SETTING_LIMITS_MEMORY] = {.min = 0, .max = (uint64_t)1 << 46},
    [SETTING_LIMITS_CONNECTIONS] = {.min = 1, .max = 1000000},
    [SETTING_LIMITS_PER_ADDRESS] = {.min = 1, .max = 1000000},
    [SETTING_LIMITS_RATE] = {.min = 0, .max = 1000000},
    [SETTING_LIMITS_QUOTA] = {.min = 0, .max = (uint64_t)1 << 50},
    [SETTING_BACKUP_EVERY] = {.min = 100, .max = 365 * DAY_MS},
    [SETTING_BACKUP_KEEP] = {.min = 1, .max = 1000000},
    [SETTING_LOG_FORMAT] = {.words = {"text", "json"}},
    [SETTING_LOG_LEVEL] = {.words = {"debug", "info", "warn", "error"}},
};

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

/* -------------------------------------------------------------------------------------- values */

static bool is_number(str s, uint64_t max)
{
    uint64_t v;
    return str_to_u64(s, &v) && v <= max;
}

static size_t last_index(str s, char c)
{
    size_t i = s.len;
    while (i > 0 && s.p[i - 1] != c)
        i--;
    return i ? i - 1 : s.len;
}

/* NAME, 127.0.0.1 or [::1]. */
static bool is_host(str host)
{
    if (host.len == 0)
        return false;
    bool brackets = host.p[0] == '[' && host.p[host.len - 1] == ']' && host.len > 2;
    if (!brackets && str_index(host, ':') != host.len)
        return false;
    for (size_t i = brackets; i < host.len - brackets; i++) {
        char c = host.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     c == '.' || c == '-' || c == '_';
        if (!plain && !(brackets && (c == ':' || c == '%')))
            return false;
    }
    return true;
}

/* A host with a port behind it, or without one where that may be. */
static bool is_place(str s, bool port_may_lack)
{
    size_t colon = last_index(s, ':'), bracket = last_index(s, ']');
    bool has_port = colon < s.len && (bracket == s.len || bracket < colon);
    if (!has_port)
        return port_may_lack && is_host(s);
    return is_number(str_from(s, colon + 1), 65535) && is_host((str){s.p, colon});
}

/* The same behind http:// or https://; *s goes on behind that. */
static bool take_scheme(str *s)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (str_starts(*s, str_of(schemes[i]))) {
            *s = str_from(*s, strlen(schemes[i]));
            return true;
        }
    return false;
}

/* HOST:PORT, [IPv6]:PORT, these behind a scheme, or unix:PATH. Whether the host can be bound is for
 * the server to find out. */
static bool is_listen(str s)
{
    if (str_starts(s, STR("unix:")))
        return s.len > 5;
    take_scheme(&s);
    return is_place(s, false);
}

/* As browsers write it: nothing behind the port, no capitals, no port that goes without saying. */
static bool is_origin(str s)
{
    str rest = s;
    bool secure = str_starts(s, STR("https:"));
    if (!take_scheme(&rest) || !is_place(rest, true) ||
        str_ends(rest, secure ? STR(":443") : STR(":80")))
        return false;
    for (size_t i = 0; i < rest.len; i++)
        if (rest.p[i] >= 'A' && rest.p[i] <= 'Z')
            return false;
    return true;
}

/* A text of a list, by its setting. */
static kf_rc check_one(enum setting id, str text, const struct config_place *place,
                       struct kf_err *err)
{
    if (id == SETTING_LISTEN && !is_listen(text))
        return config_refuse(place, err,
                             "\"%.*s\" is no address: HOST:PORT, [IPv6]:PORT or unix:PATH, the "
                             "first two also behind https:// or http://",
                             SHOWN(text));
    if (id == SETTING_ALLOW_HOSTS && !is_place(text, true))
        return config_refuse(place, err,
                             "\"%.*s\" is no name of a host: NAME or NAME:PORT, without https://",
                             SHOWN(text));
    if (id == SETTING_ALLOW_ORIGINS && !is_origin(text))
        return config_refuse(place, err,
                             "\"%.*s\" is no origin: https://NAME or http://NAME, small letters, "
                             "with a port where it is not the usual one, and nothing behind it",
                             SHOWN(text));
    return KF_OK;
}

static bool is_folder(str s)
{
    return str_starts(s, STR("dir:")) && s.len > 4 && !memchr(s.p, 0, s.len);
}

static kf_rc set_text(struct config *c, enum setting id, str text, const struct config_place *place,
                      struct kf_err *err)
{
    const struct setting_info *info = &setting_table[id];
    const char *const *words = bounds[id].words;
    if (text.len == 0 && info->def[0])
        return config_refuse(place, err, "%s is empty", info->path);
    if (id == SETTING_BACKUP_TO && text.len && !is_folder(text))
        return config_refuse(place, err,
                             "%s is dir:PATH; backups to other places are not part of this "
                             "version (%s) yet",
                             info->path, kf_version());
    bool is_path = id == SETTING_BACKUP_KEY_FILE || id == SETTING_TLS_CERT || id == SETTING_TLS_KEY;
    if (is_path && text.len && text.p[0] != '/')
        return config_refuse(place, err, "%s is a whole path, from / on", info->path);
    if (id == SETTING_BACKUP_KEY_ENV && text.len && secret_like(text))
        return config_refuse(place, err,
                             "%s is the name of a variable, and this looks like a key itself: make "
                             "a new one, and name where it is",
                             info->path);
    if (id == SETTING_BACKUP_KEY_ENV && text.len && !secret_variable_ok(text))
        return config_refuse(place, err, "%s is the name of a variable: letters, digits and _",
                             info->path);
    bool fits = !words[0];
    for (size_t i = 0; words[i]; i++)
        fits = fits || str_is(text, words[i]);
    if (!fits)
        return config_refuse(place, err, "%s is %s, not \"%.*s\"", info->path, info->help,
                             SHOWN(text));
    str copy = arena_str(&c->arena, text);
    if (!copy.p)
        return err_nomem(err);
    *(str *)((char *)c + slots[id].offset) = copy;
    return KF_OK;
}

static kf_rc set_list(struct config *c, enum setting id, const str *texts, size_t count,
                      bool append, const struct config_place *place, struct kf_err *err)
{
    str **list = (str **)((char *)c + slots[id].offset);
    size_t *ret_count = (size_t *)((char *)c + slots[id].count_offset);
    size_t kept = append ? *ret_count : 0;
    if (count == 0 && setting_table[id].def[0])
        return config_refuse(place, err, "%s is empty", setting_table[id].path);
    str *copies = arena_alloc(&c->arena, (kept + count) * sizeof *copies);
    if (!copies)
        return err_nomem(err);
    if (kept)
        memcpy(copies, *list, kept * sizeof *copies);
    for (size_t i = 0; i < count; i++) {
        kf_rc rc = check_one(id, texts[i], place, err);
        if (rc != KF_OK)
            return rc;
        copies[kept + i] = arena_str(&c->arena, texts[i]);
        if (!copies[kept + i].p)
            return err_nomem(err);
    }
    *list = copies;
    *ret_count = kept + count;
    return KF_OK;
}

static void value_format(enum type type, uint64_t v, struct buf *out)
{
    if (type == SIZE)
        size_format(v, out);
    else if (type == DURATION)
        duration_format(v, out);
    else
        buf_u64(out, v);
}

static kf_rc refuse_range(const struct config_place *place, enum setting id, struct kf_err *err)
{
    struct buf range = BUF_INIT;
    value_format(slots[id].type, bounds[id].min, &range);
    buf_c(&range, " to ");
    value_format(slots[id].type, bounds[id].max, &range);
    kf_rc rc = buf_ok(&range, err);
    if (rc == KF_OK)
        rc = config_refuse(place, err, "%s must be %s", setting_table[id].path, range.p);
    buf_release(&range);
    return rc;
}

static kf_rc set_number(struct config *c, enum setting id, str text,
                        const struct config_place *place, struct kf_err *err)
{
    uint64_t v = 0;
    bool parsed = false;
    const char *form = "a whole number";
    switch (slots[id].type) {
    case COUNT: parsed = str_to_u64(text, &v); break;
    case SIZE:
        parsed = size_parse(text, &v);
        form = "a size such as 500, 16KiB, 8MiB or 1GiB";
        break;
    case DURATION:
        parsed = duration_parse(text, &v);
        form = "a time such as 500ms, 30s, 5m, 1h or 30d";
        break;
    case TEXT:
    case LIST:
    case FLAG: break;
    }
    if (!parsed)
        return config_refuse(place, err, "%s must be %s, not \"%.*s\"", setting_table[id].path,
                             form, SHOWN(text));
    if (v < bounds[id].min || v > bounds[id].max)
        return refuse_range(place, id, err);
    *(uint64_t *)((char *)c + slots[id].offset) = v;
    return KF_OK;
}

static kf_rc set_flag(struct config *c, enum setting id, str text, const struct config_place *place,
                      struct kf_err *err)
{
    bool yes = str_is(text, "true");
    if (!yes && !str_is(text, "false"))
        return config_refuse(place, err, "%s must be true or false, not \"%.*s\"",
                             setting_table[id].path, SHOWN(text));
    *(bool *)((char *)c + slots[id].offset) = yes;
    return KF_OK;
}

kf_rc config_set(struct config *c, enum setting id, const str *texts, size_t count, bool append,
                 enum config_source source, const struct config_place *place, struct kf_err *err)
{
    kf_rc rc;
    if (slots[id].type == LIST)
        rc = set_list(c, id, texts, count, append, place, err);
    else if (count != 1)
        rc = config_refuse(place, err, "%s takes one value", setting_table[id].path);
    else if (slots[id].type == TEXT)
        rc = set_text(c, id, texts[0], place, err);
    else if (slots[id].type == FLAG)
        rc = set_flag(c, id, texts[0], place, err);
    else
        rc = set_number(c, id, texts[0], place, err);
    if (rc == KF_OK)
        c->source[id] = source;
    return rc;
}

/* -------------------------------------------------------------------------------------- layers */

/* A value from the environment or a flag: the elements of a list are divided by commas. */
static kf_rc set_outside(struct config *c, enum setting id, str text, bool append,
                         enum config_source source, const struct config_place *place,
                         struct kf_err *err)
{
    if (slots[id].type != LIST)
        return config_set(c, id, &text, 1, false, source, place, err);
    if (text.len == 0 && !setting_table[id].def[0])
        return config_set(c, id, NULL, 0, append, source, place, err);
    for (str rest = text;; append = true) {
        size_t comma = str_index(rest, ',');
        str one = str_trim((str){rest.p, comma});
        kf_rc rc = config_set(c, id, &one, 1, append, source, place, err);
        if (rc != KF_OK || comma == rest.len)
            return rc;
        rest = str_from(rest, comma + 1);
    }
}

static kf_rc take_defaults(struct config *c, struct kf_err *err)
{
    for (int id = 0; id < SETTING_COUNT; id++) {
        struct config_place place = {.name = "default"};
        kf_rc rc = set_outside(c, (enum setting)id, str_of(setting_table[id].def), false,
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
        str group = str_of(setting_table[id].env + strlen(ENV_PREFIX));
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
        known[id] = setting_table[id].env + strlen(ENV_PREFIX);
        if (str_is(name, known[id]))
            return KF_OK;
    }
    const char *near = config_nearest(name, known);
    if (!near && !in_a_group(name))
        return KF_OK;
    return err_set(err, PROBLEM_CONFIG, ENV_PREFIX "%.*s: there is no such setting%s%s%s",
                   (int)(name.len < 60 ? name.len : 60), name.p,
                   near ? "; did you mean " ENV_PREFIX : "", near ? near : "", near ? "?" : "");
}

static kf_rc check_environ(char *const *environ, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (; rc == KF_OK && environ && *environ; environ++) {
        str name = {*environ, str_index(str_of(*environ), '=')};
        if (str_starts(name, STR(ENV_PREFIX)))
            rc = check_variable(str_from(name, strlen(ENV_PREFIX)), err);
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
        kf_rc rc = set_outside(c, (enum setting)id, str_of(value), false, CONFIG_ENV, &places[id],
                               err);
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
        return set_outside(c, (enum setting)id, str_of(flag->value), append, CONFIG_FLAG,
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
    str dir = {path, last_index(str_of(path), '/')};
    dir.len = dir.p[dir.len] == '/' ? dir.len + 1 : 0;
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

void config_value_format(const struct config *c, enum setting id, bool json, struct buf *out)
{
    const char *at = (const char *)c + slots[id].offset;
    if (slots[id].type == TEXT) {
        str shown = *(const str *)at;
        struct buf plain = BUF_INIT;
        if (secret_in_url(shown) || str_starts(shown, STR("postgres"))) {
            secret_hide_url(shown, &plain);
            shown = buf_view(&plain);
        }
        if (json)
            buf_json_string(out, shown);
        else
            buf_str(out, shown);
        buf_release(&plain);
        return;
    }
    if (slots[id].type == FLAG) {
        buf_c(out, *(const bool *)at ? "true" : "false");
        return;
    }
    if (slots[id].type != LIST) {
        bool quoted = json && slots[id].type != COUNT;
        buf_c(out, quoted ? "\"" : "");
        value_format(slots[id].type, *(const uint64_t *)at, out);
        buf_c(out, quoted ? "\"" : "");
        return;
    }
    const str *items = *(str *const *)at;
    size_t count = *(const size_t *)((const char *)c + slots[id].count_offset);
    buf_c(out, json ? "[" : "");
    for (size_t i = 0; i < count; i++) {
        buf_c(out, i ? ", " : "");
        if (json)
            buf_json_string(out, items[i]);
        else
            buf_str(out, items[i]);
    }
    buf_c(out, json ? "]" : "");
}
