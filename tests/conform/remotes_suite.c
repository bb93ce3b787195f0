/* A kind of place is `mem`, a folder, or a branch of a bare repository, with or without faults in
 * front of it. What the tests see of one is what somebody else would see who has the place. */
#include "remotes_suite.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/json.h"
#include "host_git.h"
#include "remote/sealed.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUITE_KEY "KF_SUITE_KEY" /* the variable */

struct testing_env world;
static bool exact;  /* the kind of the last place keeps bytes, not values alone */
static bool sealed; /* it is one that seals */
static const char *machines;
static _Thread_local int machine;

int suite_setup(void **state)
{
    *state = NULL;
    testing_env_init(&world);
    if (setenv(SUITE_KEY, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", 1) !=
        0)
        return -1;
    return hash_init();
}

int suite_teardown(void **state)
{
    (void)state;
    mem_forget();
    fail_forget();
    testing_env_release(&world);
    return 0;
}

/* ----------------------------------------------------------------------------------- the places */

const struct kind kinds[] = {
    {.name = "mem"},
    {.name = "dir", .folder = true},
    {.name = "fail-mem", .faults = true},
    {.name = "fail-dir", .folder = true, .faults = true},
    {.name = "git", .branch = true},
    {.name = "sealed-mem", .sealed = true},
    {.name = "sealed-dir", .folder = true, .sealed = true},
    {.name = "sealed-fail-mem", .faults = true, .sealed = true},
    {.name = "sealed-git", .branch = true, .sealed = true},
};
const size_t kinds_count = sizeof(kinds) / sizeof(kinds[0]);

/* The address: of a name, or of something below `dir`. */
static void place_address(struct place *p, const char *dir, int number)
{
    if (p->kind->branch) {
        snprintf(p->where, sizeof(p->where), "%s/host.git", dir);
        snprintf(p->clean, sizeof(p->clean), "file://%s", p->where);
    } else if (p->kind->folder) {
        snprintf(p->where, sizeof(p->where), "%s/remote", dir);
        snprintf(p->clean, sizeof(p->clean), "dir:%s", p->where);
    } else {
        snprintf(p->where, sizeof(p->where), "place-%d", number);
        snprintf(p->clean, sizeof(p->clean), "mem:%s", p->where);
    }
}

void place_new(const struct kind *kind, struct place *ret)
{
    static int count;
    struct place p = {.kind = kind};
    const struct remote_driver *driver = NULL;
    machines = testing_dir_in_memory(); /* thousands of places, all of them synced */
    machine = 0;
    place_address(&p, machines, ++count);
    if (kind->folder)
        assert_int_equal(mkdir(p.where, 0700), 0);
    if (kind->branch)
        host_git_new(p.where);
    snprintf(p.url, sizeof(p.url), "%s", p.clean);
    if (kind->faults) {
        snprintf(p.plan, sizeof(p.plan), "plan-%d", count);
        snprintf(p.url, sizeof(p.url), "fail:name=%s:%s", p.plan, p.clean);
    }
    assert_int_equal(remote_driver_of(&world.env, STR(""), str_of(p.url), &driver, NULL), KF_OK);
    sealed = kind->sealed;
    exact = sealed || (driver->caps & REMOTE_EXACT_BYTES);
    *ret = p;
}

void place_machine(int n)
{
    machine = n;
}

void place_read(const struct place *p, const char *path, struct buf *out)
{
    buf_clear(out);
    if (p->kind->folder) {
        const char *full = testing_path(p->where, path);
        size_t len = 0;
        if (testing_exists(full)) {
            const char *bytes = testing_read(full, &len);
            buf_add(out, bytes, len);
        }
    } else {
        mem_place_get(str_of(p->where), str_of(path), out);
    }
}

void place_write(const struct place *p, const char *path, str bytes)
{
    if (p->kind->folder)
        testing_write(testing_path(p->where, path), bytes.p, bytes.len);
    else
        assert_int_equal(mem_place_set(str_of(p->where), str_of(path), bytes), KF_OK);
}

void place_remove(const struct place *p, const char *path)
{
    if (p->kind->folder)
        unlink(testing_path(p->where, path));
    else
        mem_place_set(str_of(p->where), str_of(path), (str){0, 0});
}

bool place_has(const struct place *p, const char *path)
{
    struct buf b = BUF_INIT;
    place_read(p, path, &b);
    bool has = b.len > 0;
    buf_release(&b);
    return has;
}

void place_git(const struct place *p, struct buf *out, const char *const *args)
{
    const char *printed = host_git(p->where, (str){0, 0}, args);
    if (out)
        buf_c(out, printed);
}

void place_state(const struct place *p, struct buf *out)
{
    buf_clear(out);
    if (p->kind->branch)
        PLACE_GIT(p, out, "rev-parse", "refs/heads/data");
    else
        place_read(p, PORTABLE_MANIFEST, out);
}

void place_set_state(const struct place *p, str state)
{
    if (p->kind->branch && state.p)
        PLACE_GIT(p, NULL, "update-ref", "refs/heads/data", state.p);
    else if (p->kind->branch)
        PLACE_GIT(p, NULL, "update-ref", "-d", "refs/heads/data");
    else if (state.p)
        place_write(p, PORTABLE_MANIFEST, state);
    else
        place_remove(p, PORTABLE_MANIFEST);
}

/* ------------------------------------------------------------------------------------ documents */

struct item *items_find(struct items *s, str name)
{
    for (size_t i = 0; i < s->count; i++)
        if (str_is(name, s->p[i].name))
            return &s->p[i];
    return NULL;
}

struct item *items_put(struct items *s, const char *name, const char *body, const char *site,
                       int64_t stamp)
{
    struct item *it = items_find(s, str_of(name));
    if (!it) {
        s->p = realloc(s->p, (s->count + 1) * sizeof(*s->p));
        it = &s->p[s->count++];
        memset(it, 0, sizeof(*it));
        snprintf(it->name, sizeof(it->name), "%s", name);
    }
    snprintf(it->site, sizeof(it->site), "%s", site);
    it->deleted = body == NULL;
    it->len = body ? strlen(body) : 0;
    memcpy(it->body, body ? body : "", it->len);
    it->version++;
    it->stamp = stamp;
    it->hash[0] = '\0';
    if (body) {
        struct hash h;
        hash_of((str){it->body, it->len}, &h);
        hash_hex(&h, it->hash);
    }
    return it;
}

void items_copy(struct items *to, const struct items *from)
{
    to->p = realloc(to->p, (from->count + 1) * sizeof(*to->p));
    if (from->count)
        memcpy(to->p, from->p, from->count * sizeof(*to->p));
    to->count = from->count;
}

static bool same_body(const struct item *x, const struct item *y)
{
    if (exact || x->deleted || y->deleted)
        return x->len == y->len && memcmp(x->body, y->body, x->len) == 0;
    struct buf a = BUF_INIT, b = BUF_INIT;
    bool same = json_compact((str){x->body, x->len}, &a, NULL) == KF_OK &&
                json_compact((str){y->body, y->len}, &b, NULL) == KF_OK &&
                str_eq(buf_view(&a), buf_view(&b));
    buf_release(&a);
    buf_release(&b);
    return same;
}

bool items_equal(struct items *a, struct items *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        struct item *x = &a->p[i], *y = items_find(b, str_of(x->name));
        if (!y || x->deleted != y->deleted || x->stamp != y->stamp ||
            strcmp(x->site, y->site) != 0 || !same_body(x, y))
            return false;
    }
    return true;
}

void items_free(struct items *s)
{
    free(s->p);
    *s = (struct items){0};
}

void items_sample(struct items *s, const char *site, int64_t stamp, int filler)
{
    items_put(s, "kredyty.json", "{\"a\": 1.0, \"\xc5\xbc\":[1e2]}\n", site, stamp);
    items_put(s, "Kredyty.json", "\"another\"", site, stamp + 1);
    items_put(s, "a", "1", site, stamp + 2);
    items_put(s, "a/b", "2", site, stamp + 3);
    items_put(s, "a/b/.git", "3", site, stamp + 4);
    items_put(s, "con.txt", "null", site, stamp + 5);
    items_put(s, "gone", "true", site, stamp + 6);
    items_put(s, "gone", NULL, site, stamp + 7);
    for (int i = 0; i < filler; i++) {
        char name[64], body[64];
        snprintf(name, sizeof(name), "fill/%d", i);
        snprintf(body, sizeof(body), "{\"n\":%d,\"at\":%lld}", i, (long long)stamp);
        items_put(s, name, body, site, stamp + 10 + i);
    }
}

/* ------------------------------------------------------------------------------- set and sink */

static void to_doc(const struct item *it, struct remote_doc *ret)
{
    *ret = (struct remote_doc){
        .doc = {.name = str_of(it->name),
                .site = str_of(it->site),
                .stamp = it->stamp,
                .at_ms = it->stamp,
                .version = it->version},
        .hash = str_of(it->hash),
        .size = it->len,
    };
    if (!it->deleted)
        ret->doc.body = (str){it->body, it->len};
}

static void set_head(const struct remote_set *set, size_t i, struct remote_doc *ret)
{
    to_doc(&((const struct test_set *)set)->items->p[i], ret);
    ret->doc.body = (str){0, 0};
}

static kf_rc set_next(struct remote_set *set, struct remote_doc *ret, struct kf_err *err)
{
    struct test_set *t = (struct test_set *)set;
    if (t->at == set->count)
        return KF_ABSENT;
    to_doc(&t->items->p[t->at++], ret);
    return KF_OK;
}

void set_init(struct test_set *t, const struct items *items, const char *site, int64_t seq)
{
    *t = (struct test_set){
        .set = {.count = items->count,
                .head = set_head,
                .next = set_next,
                .site = str_of(site),
                .seq = seq,
                .stamp = seq,
                .now_ms = atomic_load(&world.wall_ms)},
        .items = items,
    };
}

static kf_rc sink_want(struct remote_sink *sink, const struct remote_doc *doc, bool *ret_want,
                       struct kf_err *err)
{
    struct test_sink *t = (struct test_sink *)sink;
    t->offered++;
    struct item *it = t->have ? items_find(t->have, doc->doc.name) : NULL;
    *ret_want = !it || it->stamp != doc->doc.stamp || !str_is(doc->doc.site, it->site);
    return KF_OK;
}

static kf_rc sink_take(struct remote_sink *sink, const struct remote_doc *doc, struct kf_err *err)
{
    struct test_sink *t = (struct test_sink *)sink;
    char name[200], body[BODY_MAX], site[64];
    snprintf(name, sizeof(name), "%.*s", STR_ARGS(doc->doc.name));
    snprintf(site, sizeof(site), "%.*s", STR_ARGS(doc->doc.site));
    snprintf(body, sizeof(body), "%.*s", STR_ARGS(doc->doc.body));
    struct item *it = items_put(&t->got, name, doc->doc.body.p ? body : NULL, site, doc->doc.stamp);
    assert_string_equal(it->hash, doc->doc.body.p ? it->hash : "");
    assert_int_equal(doc->doc.inexact, !exact && doc->doc.body.p);
    if (exact) /* else it is of the bytes that were pushed */
        assert_true(str_is(doc->hash, it->hash) || KF_SABOTAGE("skip-hash-check"));
    it->version = doc->doc.version;
    return KF_OK;
}

static kf_rc sink_bad(struct remote_sink *sink, const struct remote_doc *doc,
                      const struct kf_err *why, struct kf_err *err)
{
    struct test_sink *t = (struct test_sink *)sink;
    t->bad++;
    size_t at = strlen(t->bad_names);
    snprintf(t->bad_names + at, sizeof(t->bad_names) - at, "%.*s ", STR_ARGS(doc->doc.name));
    snprintf(t->bad_code, sizeof(t->bad_code), "%s", why->code);
    return KF_OK;
}

void sink_init(struct test_sink *t)
{
    *t = (struct test_sink){.sink = {.want = sink_want, .take = sink_take, .bad = sink_bad}};
}

/* ------------------------------------------------------------------------------------ one call */

kf_rc open_place(const struct remote_driver *driver, const char *url, struct remote **ret,
                 struct kf_err *err)
{
    char dir[400];
    snprintf(dir, sizeof(dir), "%s/machine-%d", machines ? machines : "/nonexistent", machine);
    struct remote_place place = {.url = str_of(url), .dir = str_of(dir)};
    if (!sealed)
        return driver->open(&world.env, &place, ret, err);
    place.key_env = STR(SUITE_KEY);
    return sealed_open(driver, &world.env, &place, ret, err);
}

struct remote *connect_to(const char *url)
{
    const struct remote_driver *driver = NULL;
    struct remote *r = NULL;
    struct kf_err err = KF_ERR_INIT;
    if (remote_driver_of(&world.env, STR(""), str_of(url), &driver, &err) != KF_OK ||
        open_place(driver, url, &r, &err) != KF_OK)
        fail_msg("%s: %s", url, err.detail);
    r->call_ms = driver == &remote_git ? 30000 : 1000; /* a command, or one request */
    return r;
}

kf_rc pull(const char *url, const char *since, bool all, struct test_sink *t, struct buf *position,
           struct kf_err *err)
{
    struct remote *r = connect_to(url);
    buf_clear(position);
    kf_rc rc = r->driver->pull(r, str_of(since), all, &t->sink, position, err);
    assert_true(position->len <= REMOTE_POSITION_MAX);
    r->driver->close(r);
    return rc;
}

kf_rc push(const char *url, const char *on, const struct items *items, const char *site,
           int64_t seq, struct buf *position, struct remote_pushed *ret, struct kf_err *err)
{
    struct remote *r = connect_to(url);
    struct test_set t;
    struct buf base = BUF_INIT; /* `on` may be the text of *position */
    buf_c(&base, on);
    set_init(&t, items, site, seq);
    buf_clear(position);
    kf_rc rc = r->driver->push(r, buf_view(&base), &t.set, position, ret, err);
    r->driver->close(r);
    buf_release(&base);
    return rc;
}

const char *text(const struct buf *b)
{
    return b->len ? b->p : "";
}

void pull_all(const struct place *p, struct items *ret)
{
    struct test_sink t;
    struct buf position = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    sink_init(&t);
    GOOD(pull(p->clean, "", false, &t, &position, &err));
    assert_int_equal(t.bad, 0);
    free(ret->p);
    *ret = t.got;
    buf_release(&position);
}

kf_rc run_since(const char *url, const char *since, const struct items *items, const char *site,
                int64_t seq, struct buf *position, struct kf_err *err)
{
    struct test_sink t;
    struct buf pulled = BUF_INIT;
    struct remote_pushed pushed;
    sink_init(&t);
    t.have = (struct items *)(uintptr_t)items;
    kf_rc rc = pull(url, since, false, &t, &pulled, err);
    if (rc == KF_OK)
        rc = push(url, text(&pulled), items, site, seq, position, &pushed, err);
    items_free(&t.got);
    buf_release(&pulled);
    return rc;
}

kf_rc run(const char *url, const struct items *items, const char *site, int64_t seq,
          struct buf *position, struct kf_err *err)
{
    return run_since(url, "", items, site, seq, position, err);
}
