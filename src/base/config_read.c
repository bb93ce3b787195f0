/* keepfast.yaml -> struct config.
 *
 *     data, listen, pool.*, limits.*, log.*      the lines of settings.def
 *     spaces:
 *       NAME:
 *         docs:    [ { match, class, keep: { versions, age }, default, schema } ]
 *         streams: [ { match, … } ]            config_stream.c
 *         remotes: { NAME: … }                 config_remote.c
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

#define KEYS_MAX 24

/* --------------------------------------------------------------------------------------- keys */

static kf_rc refuse_key(struct config_reader *r, const struct yaml_node *key, const char *where,
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

static kf_rc refuse_later(struct config_reader *r, const struct yaml_node *key)
{
    return REFUSE(r, key, "\"%.*s\" is not part of this version (%s) yet: take it out",
                  SHOWN(key->text), KF_VERSION);
}

kf_rc reader_map(struct config_reader *r, const struct yaml_node *map, const char *where,
                 const struct config_key *keys, void *target)
{
    const char *known[KEYS_MAX + 1] = {0};
    size_t known_count = 0;
    for (const struct config_key *k = keys; k->name; k++) {
        if (k->read)
            known[known_count++] = k->name;
    }
    if (map->type != YAML_MAP)
        return REFUSE(r, map, "%s is a map of keys and values", where);
    for (const struct yaml_node *n = map->child; n; n = n->next) {
        const struct config_key *k = keys;
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

kf_rc reader_keep(struct config_reader *r, str text, str *ret)
{
    str copy = arena_str(&r->c->arena, text);
    if (!copy.p)
        return err_nomem(r->err);
    *ret = copy;
    return KF_OK;
}

kf_rc reader_text(struct config_reader *r, const struct yaml_node *n, const char *what, str *ret)
{
    if (n->type != YAML_SCALAR || yaml_is_null(n) || n->text.len == 0)
        return REFUSE(r, n, "%s is a text", what);
    if (n->text.len > TEXT_MAX)
        return REFUSE(r, n, "%s has more than %d bytes", what, TEXT_MAX);
    if (memchr(n->text.p, 0, n->text.len))
        return REFUSE(r, n, "%s has a NUL in it", what);
    return reader_keep(r, n->text, ret);
}

kf_rc reader_duration(struct config_reader *r, const struct yaml_node *n, const char *what,
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

kf_rc reader_count(struct config_reader *r, const struct yaml_node *n, const char *what,
                   uint32_t min, uint32_t max, uint32_t *ret)
{
    uint64_t v;
    if (n->type != YAML_SCALAR || !str_to_u64(n->text, &v) || v < min || v > max)
        return REFUSE(r, n, "%s is a whole number from %u to %u", what, min, max);
    *ret = (uint32_t)v;
    return KF_OK;
}

/* One text or a list of them. */
kf_rc reader_texts(struct config_reader *r, const struct yaml_node *n, const char *what, str **ret,
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
        kf_rc rc = reader_text(r, one, what, &texts[i]);
        if (rc != KF_OK)
            return rc;
    }
    *ret = texts;
    *ret_count = count;
    return KF_OK;
}

/* ---------------------------------------------------------------------------------------- docs */

static kf_rc read_match(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct config_doc *d = target;
    return reader_text(r, n, "match", &d->match);
}

static kf_rc read_class(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct config_doc *d = target;
    return reader_text(r, n, "class", &d->klass);
}

static kf_rc read_keep_versions(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct config_keep *keep = target;
    return reader_count(r, n, "versions", 0, 1000000000, &keep->versions);
}

static kf_rc read_keep_age(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct config_keep *keep = target;
    return reader_duration(r, n, "age", 0, &keep->age_ms);
}

static kf_rc read_keep(struct config_reader *r, const struct yaml_node *n, void *target)
{
    static const struct config_key keys[] = {
        {"versions", read_keep_versions}, {"age", read_keep_age}, {"last", NULL}, {0}};
    struct config_doc *d = target;
    return reader_map(r, n, "keep", keys, &d->keep);
}

static kf_rc read_default(struct config_reader *r, const struct yaml_node *n, void *target)
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
        rc = reader_keep(r, buf_view(&json), &d->def);
    buf_release(&json);
    return rc;
}

static kf_rc read_schema(struct config_reader *r, const struct yaml_node *n, void *target)
{
    struct config_doc *d = target;
    struct kf_err why = KF_ERR_INIT;
    struct buf text = BUF_INIT;
    kf_rc rc = reader_text(r, n, "schema", &d->schema_path);
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
        rc = reader_keep(r, buf_view(&text), &d->schema_text);
    buf_release(&text);
    return rc;
}

const struct yaml_node *reader_value(const struct yaml_node *map, const char *key)
{
    const struct yaml_node *n = map->child;
    while (n && !str_is(n->key->text, key))
        n = n->next;
    return n;
}

/* The schema must be one, and the default must fit it: found out here rather than at the first
 * write. */
static kf_rc check_schema(struct config_reader *r, const struct yaml_node *n,
                          const struct config_doc *d)
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
    return rc == KF_OK ? KF_OK : REFUSE(r, reader_value(n, about), "%s%s", words, why.detail);
}

static kf_rc read_doc(struct config_reader *r, const struct yaml_node *n, struct config_doc *d)
{
    static const struct config_key keys[] = {{"match", read_match},
                                             {"class", read_class},
                                             {"keep", read_keep},
                                             {"default", read_default},
                                             {"schema", read_schema},
                                             {"encrypt", NULL},
                                             {0}};
    *d = (struct config_doc){.klass = STR(""), .keep = CONFIG_KEEP_DEFAULT};
    kf_rc rc = reader_map(r, n, "an entry of docs", keys, d);
    if (rc == KF_OK && !d->match.p)
        rc = REFUSE(r, n, "this entry of docs has no \"match\"");
    return rc == KF_OK ? check_schema(r, n, d) : rc;
}

static kf_rc read_docs(struct config_reader *r, const struct yaml_node *n, void *target)
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

/* -------------------------------------------------------------------------------------- spaces */

static kf_rc read_tracked(struct config_reader *r, const struct yaml_node *n, void *to)
{
    struct config_space *space = to;
    return reader_texts(r, n, "track", &space->tracked, &space->tracked_count);
}

static kf_rc read_space(struct config_reader *r, const struct yaml_node *n,
                        struct config_space *space)
{
    static const struct config_key keys[] = {{"docs", read_docs},
                                             {"remotes", config_read_remotes},
                                             {"streams", config_read_streams},
                                             {"track", read_tracked},
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
    kf_rc rc = reader_keep(r, n->key->text, &space->name);
    if (rc != KF_OK || yaml_is_null(n))
        return rc;
    return reader_map(r, n, "a space", keys, space);
}

static kf_rc read_spaces(struct config_reader *r, const struct yaml_node *n)
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

static kf_rc read_setting(struct config_reader *r, const struct yaml_node *n, enum setting id)
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
        return config_set(r->c, id, NULL, 0, false, CONFIG_FILE, &r->places[id], r->err);
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
    static const char *const later[][2] = {{"limits", "blob"}};
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        if (str_is(section, later[i][0]) && str_is(name, later[i][1]))
            return true;
    }
    return false;
}

static kf_rc read_section(struct config_reader *r, const struct yaml_node *map)
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

static kf_rc read_top(struct config_reader *r, const struct yaml_node *n)
{
    static const char *const known[] = {
        "data", "listen", "listen_insecure", "allow_hosts", "allow_origins", "tls",
        "pool", "limits", "backup",          "log",         "spaces",        NULL};
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

kf_rc config_read_with(struct config_reader *r, str text)
{
    struct yaml_node *root = NULL;
    kf_rc rc = yaml_parse(text, r->file, &r->c->arena, &root, r->err);
    if (rc != KF_OK || !root || yaml_is_null(root))
        return rc;
    if (root->type != YAML_MAP)
        return yaml_refuse(r->file, root, r->err, "a configuration is a map of keys and values");
    for (const struct yaml_node *n = root->child; n && rc == KF_OK; n = n->next)
        rc = read_top(r, n);
    return rc;
}

kf_rc config_read(struct config *c, const struct env *env, const char *file, str dir, str text,
                  struct config_place places[SETTING_COUNT], struct kf_err *err)
{
    struct config_reader r = {.c = c,
                              .env = env,
                              .file = file,
                              .dir = dir,
                              .places = places,
                              .git = CONFIG_HAS_GIT,
                              .err = err};
    return config_read_with(&r, text);
}
