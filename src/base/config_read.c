/* keepfast.yaml -> struct config.
 *
 *     data, listen, pool.*, limits.*, log.*      the lines of settings.def
 *     spaces:
 *       NAME:
 *         docs:    [ { match, class, keep: { versions, age }, default, schema } ]
 *         remotes: { NAME: { url, kind, every, after, on_change, manual, docs, warn_pending } }
 *
 * Each map has a table of the keys it may have. A key that is known to the design but not to this
 * build stands in the table with no reader, so that its error can say so. Values of keys that are
 * not ours and addresses are never repeated in an error: they may hold a secret. */
#include "base/config_internal.h"

#include "base/json.h"
#include "base/json_schema.h"
#include "version.h"

#define TEXT_MAX   1024
#define SCHEMA_MAX (1024 * 1024)

struct reader {
    struct config *c;
    const struct env *env;
    const char *file;
    str dir;
    struct config_place *places;
    struct kf_err *err;
};

/* A key of a map; read == NULL: its part is not built yet. */
struct key {
    const char *name;
    kf_rc (*read)(struct reader *r, const struct yaml_node *value, void *target);
};

#define REFUSE(r, node, ...) yaml_refuse((r)->file, node, (r)->err, __VA_ARGS__)
#define SHOWN(s)             (int)((s).len < 60 ? (s).len : 60), (s).p
#define KEYS_MAX             24

/* --------------------------------------------------------------------------------------- keys */

static kf_rc refuse_key(struct reader *r, const struct yaml_node *key, const char *where,
                        const char *const *known)
{
    const char *near = config_nearest(key->text, known);
    if (near)
        return REFUSE(r, key, "%s has no key \"%.*s\"; did you mean \"%s\"?", where,
                      SHOWN(key->text), near);
    struct buf all = BUF_INIT;
    for (size_t i = 0; known[i]; i++)
        buf_printf(&all, "%s%s", i ? ", " : "", known[i]);
    kf_rc rc = buf_ok(&all, r->err);
    if (rc == KF_OK)
        rc = REFUSE(r, key, "%s has no key \"%.*s\"; it knows %s", where, SHOWN(key->text), all.p);
    buf_release(&all);
    return rc;
}

static kf_rc refuse_later(struct reader *r, const struct yaml_node *key)
{
    return REFUSE(r, key, "\"%.*s\" is not part of this version (%s) yet: take it out",
                  SHOWN(key->text), KF_VERSION);
}

static kf_rc read_map(struct reader *r, const struct yaml_node *map, const char *where,
                      const struct key *keys, void *target)
{
    const char *known[KEYS_MAX + 1] = {0};
    size_t known_count = 0;
    for (const struct key *k = keys; k->name; k++) {
        if (k->read)
            known[known_count++] = k->name;
    }
    if (map->type != YAML_MAP)
        return REFUSE(r, map, "%s is a map of keys and values", where);
    for (const struct yaml_node *n = map->child; n; n = n->next) {
        const struct key *k = keys;
        while (k->name && !str_is(n->key->text, k->name))
            k++;
        kf_rc rc;
        if (!k->name)
            rc = refuse_key(r, n->key, where, known);
        else if (!k->read)
            rc = refuse_later(r, n->key);
        else
            rc = k->read(r, n, target);
        if (rc != KF_OK)
            return rc;
    }
    return KF_OK;
}

/* ------------------------------------------------------------------------------------- values */

static kf_rc keep_text(struct reader *r, str text, str *ret)
{
    str copy = arena_str(&r->c->arena, text);
    if (!copy.p)
        return err_nomem(r->err);
    *ret = copy;
    return KF_OK;
}

static kf_rc read_text(struct reader *r, const struct yaml_node *n, const char *what, str *ret)
{
    if (n->type != YAML_SCALAR || yaml_is_null(n) || n->text.len == 0)
        return REFUSE(r, n, "%s is a text", what);
    if (n->text.len > TEXT_MAX)
        return REFUSE(r, n, "%s has more than %d bytes", what, TEXT_MAX);
    if (memchr(n->text.p, 0, n->text.len))
        return REFUSE(r, n, "%s has a NUL in it", what);
    return keep_text(r, n->text, ret);
}

static kf_rc read_duration(struct reader *r, const struct yaml_node *n, const char *what,
                           uint64_t min_ms, uint64_t *ret_ms)
{
    uint64_t ms;
    if (n->type != YAML_SCALAR || !duration_parse(n->text, &ms))
        return REFUSE(r, n, "%s is a time such as 500ms, 30s, 5m, 1h or 30d", what);
    if (ms < min_ms)
        return REFUSE(r, n, "%s is at least %ums", what, (unsigned)min_ms);
    *ret_ms = ms;
    return KF_OK;
}

static kf_rc read_count(struct reader *r, const struct yaml_node *n, const char *what, uint32_t min,
                        uint32_t max, uint32_t *ret)
{
    uint64_t v;
    if (n->type != YAML_SCALAR || !str_to_u64(n->text, &v) || v < min || v > max)
        return REFUSE(r, n, "%s is a whole number from %u to %u", what, min, max);
    *ret = (uint32_t)v;
    return KF_OK;
}

/* One text or a list of them. */
static kf_rc read_texts(struct reader *r, const struct yaml_node *n, const char *what, str **ret,
                        size_t *ret_count)
{
    bool list = n->type == YAML_LIST;
    size_t count = list ? n->count : 1;
    if (count == 0)
        return REFUSE(r, n, "%s is empty: leave it out for all", what);
    str *texts = arena_alloc(&r->c->arena, count * sizeof *texts);
    if (!texts)
        return err_nomem(r->err);
    const struct yaml_node *one = list ? n->child : n;
    for (size_t i = 0; i < count; i++, one = one->next) {
        kf_rc rc = read_text(r, one, what, &texts[i]);
        if (rc != KF_OK)
            return rc;
    }
    *ret = texts;
    *ret_count = count;
    return KF_OK;
}

/* ---------------------------------------------------------------------------------------- docs */

static kf_rc read_match(struct reader *r, const struct yaml_node *n, void *target)
{
    struct config_doc *d = target;
    return read_text(r, n, "match", &d->match);
}

static kf_rc read_class(struct reader *r, const struct yaml_node *n, void *target)
{
    struct config_doc *d = target;
    return read_text(r, n, "class", &d->klass);
}

static kf_rc read_keep_versions(struct reader *r, const struct yaml_node *n, void *target)
{
    struct config_keep *keep = target;
    return read_count(r, n, "versions", 0, 1000000000, &keep->versions);
}

static kf_rc read_keep_age(struct reader *r, const struct yaml_node *n, void *target)
{
    struct config_keep *keep = target;
    return read_duration(r, n, "age", 0, &keep->age_ms);
}

static kf_rc read_keep(struct reader *r, const struct yaml_node *n, void *target)
{
    static const struct key keys[] = {
        {"versions", read_keep_versions}, {"age", read_keep_age}, {"last", NULL}, {0}};
    struct config_doc *d = target;
    return read_map(r, n, "keep", keys, &d->keep);
}

static kf_rc read_default(struct reader *r, const struct yaml_node *n, void *target)
{
    struct config_doc *d = target;
    struct buf json = BUF_INIT;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = yaml_to_json(n, r->file, &json, r->err);
    if (rc == KF_OK)
        rc = buf_ok(&json, r->err);
    if (rc == KF_OK) {
        rc = json_check(buf_view(&json), NULL, NULL, &why);
        if (rc == KF_NOMEM)
            rc = err_nomem(r->err);
        else if (rc != KF_OK)
            rc = REFUSE(r, n, "default: %s", why.detail);
    }
    if (rc == KF_OK)
        rc = keep_text(r, buf_view(&json), &d->def);
    buf_release(&json);
    return rc;
}

static kf_rc read_schema(struct reader *r, const struct yaml_node *n, void *target)
{
    struct config_doc *d = target;
    struct kf_err why = KF_ERR_INIT;
    struct buf text = BUF_INIT;
    kf_rc rc = read_text(r, n, "schema", &d->schema_path);
    if (rc != KF_OK)
        return rc;
    bool absolute = d->schema_path.p[0] == '/';
    const char *path = arena_printf(&r->c->arena, "%.*s%.*s", absolute ? 0 : (int)r->dir.len,
                                    r->dir.p, STR_ARGS(d->schema_path));
    if (!path)
        return err_nomem(r->err);
    rc = file_load_linked(r->env, path, SCHEMA_MAX, &text, &why);
    if (rc == KF_ABSENT)
        rc = REFUSE(r, n, "schema: there is no file %.300s", path);
    else if (rc != KF_OK && rc != KF_NOMEM)
        rc = REFUSE(r, n, "schema: %s", why.detail);
    else if (rc == KF_NOMEM)
        rc = err_nomem(r->err);
    if (rc == KF_OK)
        rc = keep_text(r, buf_view(&text), &d->schema_text);
    buf_release(&text);
    return rc;
}

static const struct yaml_node *value_of(const struct yaml_node *map, const char *key)
{
    const struct yaml_node *n = map->child;
    while (n && !str_is(n->key->text, key))
        n = n->next;
    return n;
}

/* The schema must be one, and the default must fit it: found out here rather than at the first
 * write. */
static kf_rc check_schema(struct reader *r, const struct yaml_node *n, const struct config_doc *d)
{
    struct json_schema *schema = NULL;
    struct kf_err why = KF_ERR_INIT;
    const char *about = "schema", *words = "";
    if (!d->schema_text.p)
        return KF_OK;
    kf_rc rc = json_schema_new(d->schema_text, &schema, &why);
    if (rc == KF_OK && d->def.p) {
        about = "default";
        words = "default: ";
        rc = json_schema_check(schema, d->def, &why);
    }
    json_schema_free(schema);
    if (rc == KF_NOMEM)
        return err_nomem(r->err);
    return rc == KF_OK ? KF_OK : REFUSE(r, value_of(n, about), "%s%s", words, why.detail);
}

static kf_rc read_doc(struct reader *r, const struct yaml_node *n, struct config_doc *d)
{
    static const struct key keys[] = {{"match", read_match},
                                      {"class", read_class},
                                      {"keep", read_keep},
                                      {"default", read_default},
                                      {"schema", read_schema},
                                      {"encrypt", NULL},
                                      {0}};
    *d = (struct config_doc){.klass = STR(""), .keep = CONFIG_KEEP_DEFAULT};
    kf_rc rc = read_map(r, n, "an entry of docs", keys, d);
    if (rc == KF_OK && !d->match.p)
        rc = REFUSE(r, n, "this entry of docs has no \"match\"");
    return rc == KF_OK ? check_schema(r, n, d) : rc;
}

static kf_rc read_docs(struct reader *r, const struct yaml_node *n, void *target)
{
    struct config_space *space = target;
    if (n->type != YAML_LIST)
        return REFUSE(r, n, "docs is a list of entries with \"match\"");
    space->docs = arena_alloc(&r->c->arena, n->count * sizeof *space->docs);
    if (!space->docs)
        return err_nomem(r->err);
    for (const struct yaml_node *one = n->child; one; one = one->next) {
        kf_rc rc = read_doc(r, one, &space->docs[space->doc_count]);
        if (rc != KF_OK)
            return rc;
        space->doc_count++;
    }
    return KF_OK;
}

/* ------------------------------------------------------------------------------------- remotes */

/* Kinds and how their addresses begin. Those of this build first; mem and fail do not last and are
 * for tests. */
static const struct kind {
    const char *name, *prefix;
    bool built;
} kinds[] = {
    {"dir", "dir:", true},
    {"mem", "mem:", true},
    {"fail", "fail:", true},
    {"sqlite", "sqlite:", false},
    {"postgres", "postgres:", false},
    {"postgres", "postgresql:", false},
    {"s3", "s3:", false},
    {"azure", "azure:", false},
    {"gist", "gist:", false},
    {"github", "github:", false},
    {"keepfast", "keepfast+", false},
    {"git", "git+", false},
    {"git", "git@", false},
    {"git", "ssh:", false},
    {"git", "https:", false},
    {"git", "http:", false},
    {"git", "file:", false},
};
#define KIND_COUNT (sizeof kinds / sizeof *kinds)

static const struct kind *kind_named(str name)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (str_is(name, kinds[i].name))
            return &kinds[i];
    }
    return NULL;
}

static const struct kind *kind_of(str url)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (str_starts(url, str_of(kinds[i].prefix)))
            return &kinds[i];
    }
    return NULL;
}

/* A remote while it is read: what its parts must agree on is checked when all were seen. */
struct remote_read {
    struct config_remote *remote;
    const struct yaml_node *url, *kind, *manual,
        *timed; /* where they stand; timed: the first of every, after, on_change */
};

static void note_timed(struct remote_read *t, const struct yaml_node *n)
{
    if (!t->timed)
        t->timed = n->key;
}

static kf_rc read_url(struct reader *r, const struct yaml_node *n, void *target)
{
    struct remote_read *t = target;
    t->url = n;
    return read_text(r, n, "url", &t->remote->url);
}

static kf_rc read_kind(struct reader *r, const struct yaml_node *n, void *target)
{
    struct remote_read *t = target;
    t->kind = n;
    return read_text(r, n, "kind", &t->remote->kind);
}

static kf_rc read_every(struct reader *r, const struct yaml_node *n, void *target)
{
    struct remote_read *t = target;
    note_timed(t, n);
    return read_duration(r, n, "every", 100, &t->remote->schedule.every_ms);
}

static kf_rc read_on_change(struct reader *r, const struct yaml_node *n, void *target)
{
    struct remote_read *t = target;
    note_timed(t, n);
    return read_duration(r, n, "on_change", 1, &t->remote->schedule.on_change_ms);
}

static kf_rc read_after(struct reader *r, const struct yaml_node *n, void *target)
{
    struct remote_read *t = target;
    note_timed(t, n);
    return read_count(r, n, "after", 1, 1000000000, &t->remote->schedule.after);
}

static kf_rc read_manual(struct reader *r, const struct yaml_node *n, void *target)
{
    struct remote_read *t = target;
    if (!yaml_bool(n, &t->remote->schedule.manual))
        return REFUSE(r, n, "manual is true or false");
    t->manual = n->key;
    return KF_OK;
}

static kf_rc read_globs(struct reader *r, const struct yaml_node *n, void *target)
{
    struct remote_read *t = target;
    return read_texts(r, n, "docs", &t->remote->docs, &t->remote->doc_count);
}

static kf_rc read_warn_pending(struct reader *r, const struct yaml_node *n, void *target)
{
    struct remote_read *t = target;
    if (n->type != YAML_SCALAR || !size_parse(n->text, &t->remote->warn_pending_bytes))
        return REFUSE(r, n, "warn_pending is a size such as 500, 16KiB, 8MiB or 1GiB");
    return KF_OK;
}

static kf_rc check_kind(struct reader *r, const struct remote_read *t)
{
    const struct kind *from_url = kind_of(t->remote->url);
    const struct kind *kind = t->kind ? kind_named(t->remote->kind) : from_url;
    if (!kind && t->kind)
        return REFUSE(r, t->kind, "there is no kind \"%.*s\" of remote", SHOWN(t->remote->kind));
    if (!kind)
        return REFUSE(r, t->url, "this address names no kind of remote; write dir:PATH");
    if (!kind->built)
        return REFUSE(r, t->kind ? t->kind : t->url,
                      "remotes of kind %s are not part of this version (%s) yet", kind->name,
                      KF_VERSION);
    if (!from_url || strcmp(from_url->name, kind->name) != 0)
        return REFUSE(r, t->url, "an address of kind %s begins with %s", kind->name, kind->prefix);
    if (strcmp(kind->name, "dir") == 0 && t->remote->url.len == strlen(kind->prefix))
        return REFUSE(r, t->url, "dir: needs the path of a folder behind it");
    t->remote->kind = str_of(kind->name);
    return KF_OK;
}

static kf_rc read_remote(struct reader *r, const struct yaml_node *n, struct config_remote *remote)
{
    static const struct key keys[] = {{"url", read_url},
                                      {"kind", read_kind},
                                      {"every", read_every},
                                      {"after", read_after},
                                      {"on_change", read_on_change},
                                      {"manual", read_manual},
                                      {"docs", read_globs},
                                      {"warn_pending", read_warn_pending},
                                      {"branch", NULL},
                                      {"token_env", NULL},
                                      {"token_file", NULL},
                                      {"encrypt", NULL},
                                      {"layout", NULL},
                                      {"streams", NULL},
                                      {"endpoint", NULL},
                                      {"region", NULL},
                                      {"insecure", NULL},
                                      {0}};
    struct remote_read t = {.remote = remote};
    *remote = (struct config_remote){.warn_pending_bytes = CONFIG_WARN_PENDING};
    if (!config_name_ok(n->key->text) || str_is(n->key->text, "all"))
        return REFUSE(
            r, n->key,
            "\"%.*s\" cannot name a remote: a-z, 0-9, _ and -, at most %d, and not \"all\"",
            SHOWN(n->key->text), CONFIG_NAME_MAX);
    kf_rc rc = keep_text(r, n->key->text, &remote->name);
    if (rc == KF_OK)
        rc = read_map(r, n, "a remote", keys, &t);
    if (rc != KF_OK)
        return rc;
    if (!t.url)
        return REFUSE(r, n->key, "the remote \"%.*s\" has no \"url\"", STR_ARGS(remote->name));
    if (remote->schedule.manual && t.timed)
        return REFUSE(r, t.manual, "manual: true contradicts \"%.*s\" in line %u",
                      STR_ARGS(t.timed->text), t.timed->line);
    return check_kind(r, &t);
}

static kf_rc read_remotes(struct reader *r, const struct yaml_node *n, void *target)
{
    struct config_space *space = target;
    if (n->type != YAML_MAP)
        return REFUSE(r, n, "remotes is a map of names");
    space->remotes = arena_alloc(&r->c->arena, n->count * sizeof *space->remotes);
    if (!space->remotes)
        return err_nomem(r->err);
    for (const struct yaml_node *one = n->child; one; one = one->next) {
        kf_rc rc = read_remote(r, one, &space->remotes[space->remote_count]);
        if (rc != KF_OK)
            return rc;
        space->remote_count++;
    }
    return KF_OK;
}

/* -------------------------------------------------------------------------------------- spaces */

static kf_rc read_space(struct reader *r, const struct yaml_node *n, struct config_space *space)
{
    static const struct key keys[] = {{"docs", read_docs},
                                      {"remotes", read_remotes},
                                      {"streams", NULL},
                                      {"tables", NULL},
                                      {"blobs", NULL},
                                      {"cache", NULL},
                                      {0}};
    if (!config_space_name_ok(n->key->text))
        return REFUSE(
            r, n->key,
            "\"%.*s\" cannot name a space: a-z, 0-9, _ and -, at most %d, and not \"tokens\"",
            SHOWN(n->key->text), CONFIG_NAME_MAX);
    *space = (struct config_space){0};
    kf_rc rc = keep_text(r, n->key->text, &space->name);
    if (rc != KF_OK || yaml_is_null(n))
        return rc;
    return read_map(r, n, "a space", keys, space);
}

static kf_rc read_spaces(struct reader *r, const struct yaml_node *n)
{
    if (yaml_is_null(n))
        return KF_OK;
    if (n->type != YAML_MAP)
        return REFUSE(r, n, "spaces is a map of names");
    r->c->spaces = arena_alloc(&r->c->arena, n->count * sizeof *r->c->spaces);
    if (!r->c->spaces)
        return err_nomem(r->err);
    for (const struct yaml_node *one = n->child; one; one = one->next) {
        kf_rc rc = read_space(r, one, &r->c->spaces[r->c->space_count]);
        if (rc != KF_OK)
            return rc;
        r->c->space_count++;
    }
    return KF_OK;
}

/* ------------------------------------------------------------------------------------ settings */

static kf_rc read_setting(struct reader *r, const struct yaml_node *n, enum setting id)
{
    const char *path = setting_table[id].path;
    bool list = n->type == YAML_LIST && strcmp(setting_table[id].type, "LIST") == 0;
    if (!list && (n->type != YAML_SCALAR || yaml_is_null(n)))
        return REFUSE(r, n, "%s takes %s", path,
                      strcmp(setting_table[id].type, "LIST") == 0 ? "a value or a list of them"
                                                                  : "one value");
    r->places[id] = (struct config_place){.file = r->file, .node = n};
    if (!list)
        return config_set(r->c, id, &n->text, 1, false, CONFIG_FILE, &r->places[id], r->err);
    if (n->count == 0)
        return REFUSE(r, n, "%s is empty", path);
    bool append = false;
    for (const struct yaml_node *one = n->child; one; one = one->next, append = true) {
        struct config_place place = {.file = r->file, .node = one};
        if (one->type != YAML_SCALAR || yaml_is_null(one))
            return REFUSE(r, one, "%s is a list of texts", path);
        kf_rc rc = config_set(r->c, id, &one->text, 1, append, CONFIG_FILE, &place, r->err);
        if (rc != KF_OK)
            return rc;
    }
    return KF_OK;
}

/* The setting "SECTION.NAME", or "NAME" with an empty section; SETTING_COUNT when there is none. */
static int setting_of(str section, str name)
{
    for (int id = 0; id < SETTING_COUNT; id++) {
        str path = str_of(setting_table[id].path);
        size_t dot = str_index(path, '.');
        if (section.len == 0 ? str_eq(path, name)
                             : dot < path.len && str_eq((str){path.p, dot}, section) &&
                                   str_eq(str_from(path, dot + 1), name))
            return id;
    }
    return SETTING_COUNT;
}

static bool is_section(str name)
{
    for (int id = 0; id < SETTING_COUNT; id++) {
        str path = str_of(setting_table[id].path);
        size_t dot = str_index(path, '.');
        if (dot < path.len && str_eq((str){path.p, dot}, name))
            return true;
    }
    return false;
}

static bool is_later(str section, str name)
{
    static const char *const later[][2] = {{"", "allow_origins"}, {"", "backup"},
                                           {"limits", "entry"},   {"limits", "blob"},
                                           {"limits", "rate"},    {"limits", "quota"}};
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        if (str_is(section, later[i][0]) && str_is(name, later[i][1]))
            return true;
    }
    return false;
}

static kf_rc read_section(struct reader *r, const struct yaml_node *map)
{
    str section = map->key->text;
    const char *known[SETTING_COUNT + 1] = {0};
    size_t known_count = 0;
    for (int id = 0; id < SETTING_COUNT; id++) {
        str path = str_of(setting_table[id].path);
        size_t dot = str_index(path, '.');
        if (dot < path.len && str_eq((str){path.p, dot}, section))
            known[known_count++] = setting_table[id].path + dot + 1;
    }
    const char *where = section.p; /* the tree's texts have a NUL behind them */
    if (map->type != YAML_MAP)
        return REFUSE(r, map, "%s is a map of keys and values", where);
    for (const struct yaml_node *n = map->child; n; n = n->next) {
        int id = setting_of(section, n->key->text);
        kf_rc rc;
        if (id != SETTING_COUNT)
            rc = read_setting(r, n, (enum setting)id);
        else if (is_later(section, n->key->text))
            rc = refuse_later(r, n->key);
        else
            rc = refuse_key(r, n->key, where, known);
        if (rc != KF_OK)
            return rc;
    }
    return KF_OK;
}

static kf_rc read_top(struct reader *r, const struct yaml_node *n)
{
    static const char *const known[] = {"data", "listen", "pool", "limits", "log", "spaces", NULL};
    str name = n->key->text;
    int id = setting_of(STR(""), name);
    if (str_is(name, "spaces"))
        return read_spaces(r, n);
    if (id != SETTING_COUNT && !memchr(name.p, '.', name.len))
        return read_setting(r, n, (enum setting)id);
    if (is_section(name))
        return read_section(r, n);
    if (is_later(STR(""), name))
        return refuse_later(r, n->key);
    return refuse_key(r, n->key, "the configuration", known);
}

kf_rc config_read(struct config *c, const struct env *env, const char *file, str dir, str text,
                  struct config_place places[SETTING_COUNT], struct kf_err *err)
{
    struct reader r = {.c = c, .env = env, .file = file, .dir = dir, .places = places, .err = err};
    struct yaml_node *root = NULL;
    kf_rc rc = yaml_parse(text, file, &c->arena, &root, err);
    if (rc != KF_OK || !root || yaml_is_null(root))
        return rc;
    if (root->type != YAML_MAP)
        return yaml_refuse(file, root, err, "a configuration is a map of keys and values");
    for (const struct yaml_node *n = root->child; n && rc == KF_OK; n = n->next)
        rc = read_top(&r, n);
    return rc;
}
