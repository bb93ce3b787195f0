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

static void add(const char *dir, str name, const char *state, const char *still, bool comma,
                struct buf *out)
{
    struct buf path = BUF_INIT;
    buf_printf(&path, name.len ? "%s/%.*s" : "%s%.*s", dir, STR_ARGS(name));
    buf_c(out, comma ? ",{\"file\":" : "{\"file\":");
    buf_json_string(out, buf_view(&path));
    buf_printf(out, ",\"kind\":\"aside\",\"state\":\"%s\",\"still\":\"%s\"}", state, still);
    out->failed |= path.failed;
    buf_release(&path);
}

void asides_holders(struct kf_store *store, bool comma, struct buf *out)
{
    struct buf dir = BUF_INIT, names = BUF_INIT;
    const char *path = store_path(store);
    if (store_level(store) == KF_LEVEL_SHARED)
        return;
    path_parent(path, &dir);
    kf_rc rc = dir.failed ? KF_NOMEM : dir_list(store_env(store), dir.p, &names, NULL);
    if (rc == KF_NOMEM) {
        out->failed = true;
    } else if (rc != KF_OK) {
        add(dir.p, STR(""), "unknown", "the folder cannot be read: there may be files set aside",
            comma, out);
    } else {
        for (size_t at = 0; at < names.len; at += strlen(names.p + at) + 1) {
            str name = str_of(names.p + at);
            if (!aside_is(path, ASIDE_REDO, name))
                continue;
            add(dir.p, name, "kept", "what was appended then, until the file is removed", comma,
                out);
            comma = true;
        }
    }
    buf_release(&dir);
    buf_release(&names);
}
