/* The values of settings: what each may be, how a text becomes one, and how one is told. */
#include "base/config_internal.h"

#include "base/secret.h"

#include <stddef.h>

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
    [SETTING_##id] = {path, CONFIG_ENV_PREFIX #id, #type, def, help},
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

kf_rc config_set_outside(struct config *c, enum setting id, str text, bool append,
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
