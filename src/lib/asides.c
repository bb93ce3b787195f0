#include "lib/asides.h"

#include "store/store.h"

bool aside_is(const char *path, const char *word, str name)
{
    static const char *const tails[] = {"-wal", "-shm", "-redo", "-journal", ".lock"};
    const char *slash = strrchr(path, '/');
    str begin = str_of(slash ? slash + 1 : path), middle = str_of(word);
    if (!str_starts(name, begin))
        return false;
    name = str_from(name, begin.len);
    if (name.len < middle.len + 2 || name.p[0] != '.' || name.p[1 + middle.len] != '-' ||
        !str_starts(str_from(name, 1), middle))
        return false;
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++)
        if (str_ends(name, str_of(tails[i])))
            return false;
    return true;
}

/* What is beside the store, and what a receipt says that it keeps. */
static const struct {
    const char *word, *still;
} kinds[] = {
    {ASIDE_BEFORE, "what the store held before a restore or in an older format, until the file is "
                   "removed"},
    {ASIDE_RESCUE, "what the store held when its file was taken away, until the file is removed"},
    {ASIDE_REDO, "what was appended then, until the file is removed"},
};

struct list {
    struct buf *out;
    bool comma;
};

/* member: what `name` is, "file" or "schema". A file is beside the store: which folder that is, is
 * nothing to who reads receipts from afar. */
static void add(struct list *l, const char *member, str name, const char *state, const char *still)
{
    buf_printf(l->out, "%s{\"%s\":", l->comma ? "," : "", member);
    buf_json_string(l->out, name);
    buf_printf(l->out, ",\"kind\":\"aside\",\"state\":\"%s\",\"still\":\"%s\"}", state, still);
    l->comma = true;
}

static void add_schemas(struct kf_store *store, struct list *l)
{
    struct buf names = BUF_INIT;
    kf_rc rc = store_kept_schemas(store, &names, NULL);
    if (rc == KF_NOMEM)
        l->out->failed = true;
    else if (rc != KF_OK)
        add(l, "schema", STR("kf-before-*"), "unknown",
            "the database could not be asked: restores may have left schemas of this name");
    for (size_t at = 0; rc == KF_OK && at < names.len; at += strlen(names.p + at) + 1)
        add(l, "schema", str_of(names.p + at), "kept",
            "what the store held before a restore, until the schema is dropped");
    buf_release(&names);
}

static void add_file(const char *path, str name, struct list *l)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (aside_is(path, kinds[i].word, name))
            add(l, "file", name, "kept", kinds[i].still);
}

static void add_files(struct kf_store *store, struct list *l)
{
    struct buf dir = BUF_INIT, names = BUF_INIT;
    const char *path = store_path(store);
    path_parent(path, &dir);
    kf_rc rc = dir.failed ? KF_NOMEM : dir_list(store_env(store), dir.p, &names, NULL);
    if (rc == KF_NOMEM)
        l->out->failed = true;
    else if (rc != KF_OK)
        add(l, "file", STR(""), "unknown",
            "the store's folder cannot be read: there may be files set aside");
    for (size_t at = 0; rc == KF_OK && at < names.len; at += strlen(names.p + at) + 1)
        add_file(path, str_of(names.p + at), l);
    buf_release(&dir);
    buf_release(&names);
}

void asides_holders(struct kf_store *store, bool comma, struct buf *out)
{
    struct list l = {.out = out, .comma = comma};
    if (store_level(store) == KF_LEVEL_SHARED)
        add_schemas(store, &l);
    else
        add_files(store, &l);
}
