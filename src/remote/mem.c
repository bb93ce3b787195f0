#include "remote/mem.h"

#include "base/err.h"
#include "base/mem.h"

#include <pthread.h>

#define PREFIX "mem:"

struct object {
    char *path;
    char *bytes;
    size_t path_len, len;
};

/* Objects sorted by path. */
struct place {
    struct place *next;
    char *name;
    struct object *objects;
    size_t count, cap;
    bool held;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct place *places; /* under lock, with all in it */

struct mem {
    struct object_store store; /* first */
    char *name;
    bool holding;
};

/* ---------------------------------------------------------------------------------- the places */

static struct place *place_of(str name)
{
    for (struct place *p = places; p; p = p->next)
        if (str_is(name, p->name))
            return p;
    struct place *p = mem_calloc(1, sizeof(*p));
    if (!p || !(p->name = mem_dup(name.p, name.len))) {
        mem_free(p);
        return NULL;
    }
    p->next = places;
    places = p;
    return p;
}

/* Where `path` is or would be. */
static size_t slot_of(const struct place *p, str path, bool *ret_there)
{
    size_t from = 0, to = p->count;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        int order = str_cmp((str){p->objects[mid].path, p->objects[mid].path_len}, path);
        if (order == 0) {
            *ret_there = true;
            return mid;
        }
        if (order < 0)
            from = mid + 1;
        else
            to = mid;
    }
    *ret_there = false;
    return from;
}

static void drop(struct place *p, size_t slot)
{
    mem_free(p->objects[slot].path);
    mem_free(p->objects[slot].bytes);
    p->count--;
    memmove(p->objects + slot, p->objects + slot + 1, (p->count - slot) * sizeof(*p->objects));
}

static bool make_room(struct place *p)
{
    if (p->count < p->cap)
        return true;
    size_t cap = p->cap ? p->cap * 2 : 16;
    struct object *grown = mem_realloc(p->objects, cap * sizeof(*grown));
    if (!grown)
        return false;
    p->objects = grown;
    p->cap = cap;
    return true;
}

static kf_rc set(struct place *p, str path, str bytes)
{
    bool there;
    size_t slot = slot_of(p, path, &there);
    struct object o = {mem_dup(path.p, path.len), mem_dup(bytes.p, bytes.len), path.len, bytes.len};
    if (!o.path || !o.bytes || !make_room(p)) {
        mem_free(o.path);
        mem_free(o.bytes);
        return KF_NOMEM;
    }
    if (there)
        drop(p, slot);
    memmove(p->objects + slot + 1, p->objects + slot, (p->count - slot) * sizeof(*p->objects));
    p->objects[slot] = o;
    p->count++;
    return KF_OK;
}

static kf_rc get(const struct place *p, str path, struct buf *out)
{
    bool there;
    size_t slot = slot_of(p, path, &there);
    if (!there)
        return KF_ABSENT;
    buf_add(out, p->objects[slot].bytes, p->objects[slot].len);
    return KF_OK;
}

static void clear(struct place *p)
{
    while (p->count)
        drop(p, p->count - 1);
}

kf_rc mem_place_get(str place, str path, struct buf *out)
{
    pthread_mutex_lock(&lock);
    struct place *p = place_of(place);
    kf_rc rc = p ? get(p, path, out) : KF_NOMEM;
    pthread_mutex_unlock(&lock);
    return rc;
}

kf_rc mem_place_set(str place, str path, str bytes)
{
    bool there;
    pthread_mutex_lock(&lock);
    struct place *p = place_of(place);
    kf_rc rc = p ? KF_OK : KF_NOMEM;
    if (p && bytes.p)
        rc = set(p, path, bytes);
    else if (p) {
        size_t slot = slot_of(p, path, &there);
        if (there)
            drop(p, slot);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

kf_rc mem_place_list(str place, str prefix, struct buf *out)
{
    pthread_mutex_lock(&lock);
    struct place *p = place_of(place);
    for (size_t i = 0; p && i < p->count; i++)
        if (str_starts((str){p->objects[i].path, p->objects[i].path_len}, prefix))
            buf_add(out, p->objects[i].path, p->objects[i].path_len + 1);
    pthread_mutex_unlock(&lock);
    return p ? buf_ok(out, NULL) : KF_NOMEM;
}

void mem_place_clear(str place)
{
    pthread_mutex_lock(&lock);
    struct place *p = place_of(place);
    if (p)
        clear(p);
    pthread_mutex_unlock(&lock);
}

void mem_forget(void)
{
    pthread_mutex_lock(&lock);
    while (places) {
        struct place *p = places;
        places = p->next;
        clear(p);
        mem_free(p->objects);
        mem_free(p->name);
        mem_free(p);
    }
    pthread_mutex_unlock(&lock);
}

/* ----------------------------------------------------------------------------------- the remote */

static struct mem *mem_of(struct object_store *o)
{
    return (struct mem *)o;
}

static const struct object_ops ops;

static kf_rc mem_open(const struct env *env, const struct remote_place *place, struct remote **ret,
                      struct kf_err *err)
{
    str name = str_from(place->url, sizeof(PREFIX) - 1);
    struct mem *m = mem_calloc(1, sizeof(*m));
    if (!m || !(m->name = mem_dup(name.p, name.len))) {
        mem_free(m);
        return err_nomem(err);
    }
    m->store = (struct object_store){{.driver = &remote_mem, .env = env}, &ops};
    *ret = &m->store.remote;
    return KF_OK;
}

static void mem_release(struct object_store *o)
{
    struct mem *m = mem_of(o);
    pthread_mutex_lock(&lock);
    struct place *p = m->holding ? place_of(str_of(m->name)) : NULL;
    if (p)
        p->held = false;
    m->holding = false;
    pthread_mutex_unlock(&lock);
}

static void mem_close(struct remote *r)
{
    struct mem *m = (struct mem *)r;
    if (!m)
        return;
    mem_release(&m->store);
    mem_free(m->name);
    mem_free(m);
}

static kf_rc mem_get(struct object_store *o, str path, size_t max, struct buf *out, struct buf *tag,
                     struct kf_err *err)
{
    size_t before = out->len;
    kf_rc rc = mem_place_get(str_of(mem_of(o)->name), path, out);
    if (rc == KF_NOMEM || out->failed)
        return err_nomem(err);
    if (rc == KF_ABSENT)
        return err_set(err, PROBLEM_NOT_FOUND, "there is no %.*s", STR_ARGS(path));
    if (out->len - before > max) {
        out->len = before;
        return err_set(err, PROBLEM_TOO_LARGE, "%.*s is larger than %zu bytes", STR_ARGS(path),
                       max);
    }
    if (tag)
        objects_tag(str_from(buf_view(out), before), tag);
    return KF_OK;
}

static kf_rc mem_put(struct object_store *o, str path, str bytes, struct kf_err *err)
{
    str place = str_of(mem_of(o)->name);
    kf_rc rc = mem_place_set(place, path, bytes.p ? bytes : STR(""));
    return rc == KF_OK ? rc : err_nomem(err);
}

static kf_rc mem_settle(struct object_store *o, struct kf_err *err)
{
    return KF_OK;
}

static kf_rc mem_check_tag(struct place *p, str path, str tag, struct kf_err *err)
{
    struct buf bytes = BUF_INIT, found = BUF_INIT;
    kf_rc rc = KF_OK;
    if (get(p, path, &bytes) == KF_OK)
        objects_tag(buf_view(&bytes), &found);
    if (bytes.failed || found.failed)
        rc = err_nomem(err);
    else if (!str_eq(buf_view(&found), tag))
        rc = err_set(err, PROBLEM_VERSION_MISMATCH, "somebody else pushed meanwhile");
    buf_release(&bytes);
    buf_release(&found);
    return rc;
}

static kf_rc mem_hold(struct object_store *o, str path, str tag, struct kf_err *err)
{
    struct mem *m = mem_of(o);
    kf_rc rc;
    pthread_mutex_lock(&lock);
    struct place *p = place_of(str_of(m->name));
    if (!p)
        rc = err_nomem(err);
    else if (p->held)
        rc = err_set(err, PROBLEM_BUSY, "somebody else is at it");
    else
        rc = mem_check_tag(p, path, tag, err);
    if (rc == KF_OK)
        p->held = m->holding = true;
    pthread_mutex_unlock(&lock);
    return rc;
}

static kf_rc mem_remove(struct object_store *o, str path, struct kf_err *err)
{
    kf_rc rc = mem_place_set(str_of(mem_of(o)->name), path, (str){0, 0});
    return rc == KF_OK ? rc : err_nomem(err);
}

/* The tag was compared by mem_hold. */
static kf_rc mem_put_if(struct object_store *o, str path, str bytes, str tag, struct kf_err *err)
{
    return mem_put(o, path, bytes, err);
}

/* Somebody put it there beside what is Keepfast's. */
static kf_rc tell_aside(struct mem *m, struct remote_sink *sink, struct kf_err *err)
{
    struct buf paths = BUF_INIT;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = mem_place_list(str_of(m->name), STR(MEM_ASIDE), &paths) == KF_OK ? KF_OK
                                                                                : err_nomem(err);
    err_set(&why, PROBLEM_BAD_KEY, "it is no document");
    for (size_t at = 0; rc == KF_OK && at < paths.len; at += strlen(paths.p + at) + 1)
        rc = sink->aside(sink, str_of(paths.p + at), &why, err);
    buf_release(&paths);
    return rc;
}

static kf_rc mem_pull(struct remote *r, str since, bool all, struct remote_sink *sink,
                      struct buf *position, struct kf_err *err)
{
    size_t before = position->len;
    kf_rc rc = objects_pull(r, since, all, sink, position, err);
    bool moved = !str_eq(str_from(buf_view(position), before), since);
    if (rc == KF_OK && sink->aside && (moved || all || !since.len))
        rc = tell_aside((struct mem *)r, sink, err);
    return rc;
}

static const struct object_ops ops = {
    .get = mem_get,
    .put = mem_put,
    .settle = mem_settle,
    .hold = mem_hold,
    .release = mem_release,
    .put_if = mem_put_if,
    .drop = mem_remove,
};

const struct remote_driver remote_mem = {
    .kind = "mem",
    .prefixes = (const char *const[]){PREFIX, NULL},
    .caps = REMOTE_EXACT_BYTES | REMOTE_TEST_ONLY | REMOTE_HAS_ACCESS,
    .open = mem_open,
    .close = mem_close,
    .probe = objects_probe,
    .look = objects_look,
    .pull = mem_pull,
    .push = objects_push,
    .verify = objects_verify,
    .repair = objects_repair,
    .versions = objects_versions,
    .version = objects_version,
};
