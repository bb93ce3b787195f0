/* The folder beside a store that has no file: scratch files of restores and drills, repositories of
 * git remotes. Nothing in it is missed when it is gone.
 *
 *     $CACHE_DIRECTORY            of a systemd service
 *     $XDG_CACHE_HOME/keepfast    else $HOME/.cache/keepfast
 *     /tmp/keepfast-UID           where there is none
 *
 * and in it pg-HASH, of the address as it is shown. */
#include "store/store_pg.h"

#include "base/hash.h"
#include "store/place.h"

#include <stdlib.h>
#include <unistd.h>

/* Absolute, or nothing. */
static str named(const char *variable)
{
    const char *v = getenv(variable);
    return str_of(v && v[0] == '/' ? v : "");
}

/* The first of a list with colons. */
static str first_of(str list)
{
    return (str){list.p, str_index(list, ':')};
}

static kf_rc make_top(struct kf_store *s, struct buf *path, struct kf_err *err)
{
    str cache = first_of(named("CACHE_DIRECTORY")), xdg = named("XDG_CACHE_HOME"),
        home = named("HOME");
    if (cache.len) {
        buf_str(path, cache);
    } else if (xdg.len) {
        buf_printf(path, "%.*s/keepfast", STR_ARGS(xdg));
    } else if (home.len) {
        buf_printf(path, "%.*s/.cache/keepfast", STR_ARGS(home));
    } else {
        buf_printf(path, "/tmp/keepfast-%u", (unsigned)geteuid());
    }
    return buf_ok(path, err);
}

static kf_rc make_dir(struct kf_store *s, struct buf *path, struct kf_err *err)
{
    struct hash hash;
    char hex[HASH_HEX + 1];
    kf_rc rc = make_top(s, path, err);
    if (rc == KF_OK)
        rc = dir_make(s->env, path->p, err);
    hash_of(str_of(s->path), &hash);
    hash_hex(&hash, hex);
    if (rc == KF_OK) {
        buf_printf(path, "/pg-%.16s", hex);
        rc = buf_ok(path, err);
    }
    if (rc == KF_OK)
        rc = dir_make(s->env, path->p, err);
    /* In /tmp anybody may have made it before us. */
    return rc == KF_OK ? store_check_dir(s->env, s->options.log, path->p, true, err) : rc;
}

kf_rc pg_side_dir(struct kf_store *s, const char **ret_path, struct kf_err *err)
{
    struct buf path = BUF_INIT;
    kf_rc rc = KF_OK;
    pthread_mutex_lock(&s->meta_lock);
    if (!s->side && (rc = make_dir(s, &path, err)) == KF_OK)
        s->side = buf_detach(&path, NULL);
    if (rc == KF_OK)
        *ret_path = s->side;
    pthread_mutex_unlock(&s->meta_lock);
    buf_release(&path);
    return rc;
}
