#include "remote/mem.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/when.h"

#include <pthread.h>

#define PREFIX "fail:"

struct named_plan {
    struct named_plan *next;
    char *name;
    struct fail_plan plan;
    uint64_t calls, fired, asked;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct named_plan *plans; /* under lock, with all in it */

struct fail {
    struct object_store store; /* first */
    struct object_store *inner;
    struct named_plan *plan;
};

static struct named_plan *plan_of(str name)
{
    for (struct named_plan *p = plans; p; p = p->next)
        if (str_is(name, p->name))
            return p;
    return NULL;
}

/* Finds or makes it; one that is there keeps its plan and its counts. NULL when out of memory. */
static struct named_plan *plan_make(str name, const struct fail_plan *plan)
{
    struct named_plan *p = plan_of(name);
    if (p)
        return p;
    p = mem_calloc(1, sizeof(*p));
    if (!p || !(p->name = mem_dup(name.p, name.len))) {
        mem_free(p);
        return NULL;
    }
    p->plan = *plan;
    p->next = plans;
    plans = p;
    return p;
}

kf_rc fail_plan_set(str name, const struct fail_plan *plan)
{
    pthread_mutex_lock(&lock);
    struct named_plan *p = plan_make(name, plan);
    if (p) {
        p->plan = *plan;
        p->calls = p->fired = p->asked = 0;
    }
    pthread_mutex_unlock(&lock);
    return p ? KF_OK : KF_NOMEM;
}

uint64_t fail_calls(str name)
{
    pthread_mutex_lock(&lock);
    struct named_plan *p = plan_of(name);
    uint64_t n = p ? p->calls : 0;
    pthread_mutex_unlock(&lock);
    return n;
}

uint64_t fail_fired(str name)
{
    pthread_mutex_lock(&lock);
    struct named_plan *p = plan_of(name);
    uint64_t n = p ? p->fired : 0;
    pthread_mutex_unlock(&lock);
    return n;
}

uint64_t fail_asked(str name)
{
    pthread_mutex_lock(&lock);
    struct named_plan *p = plan_of(name);
    uint64_t n = p ? p->asked : 0;
    pthread_mutex_unlock(&lock);
    return n;
}

void fail_forget(void)
{
    pthread_mutex_lock(&lock);
    while (plans) {
        struct named_plan *p = plans;
        plans = p->next;
        mem_free(p->name);
        mem_free(p);
    }
    pthread_mutex_unlock(&lock);
}

/* --------------------------------------------------------------------------------- the address */

static bool read_word(str word, struct fail_plan *plan, str *name)
{
    size_t n = str_index(word, '=');
    str key = {word.p, n}, value = str_from(word, n + 1);
    uint64_t ms = 0;
    if (str_is(word, "sticky") || str_is(word, "late")) {
        plan->sticky |= str_is(word, "sticky");
        plan->late |= str_is(word, "late");
        return true;
    }
    if (str_is(key, "at"))
        return str_to_u64(value, &plan->at);
    if (str_is(key, "delay") && duration_parse(value, &ms) && ms <= UINT32_MAX) {
        plan->delay_ms = (uint32_t)ms;
        return true;
    }
    if (str_is(key, "retry") && duration_parse(value, &ms) && ms <= UINT32_MAX) {
        plan->retry_ms = (uint32_t)ms;
        return true;
    }
    if (str_is(key, "code")) {
        for (size_t i = 0; i < PROBLEM_COUNT && !plan->code; i++)
            if (str_is(value, problem_table[i].code))
                plan->code = problem_table[i].code;
        return plan->code != NULL;
    }
    if (str_is(key, "name"))
        *name = value;
    return str_is(key, "name");
}

static bool read_spec(str spec, struct fail_plan *plan, str *name)
{
    *name = spec;
    while (spec.len) {
        str word = {spec.p, str_index(spec, ',')};
        if (!read_word(word, plan, name))
            return false;
        spec = str_from(spec, word.len + 1);
    }
    return true;
}

static const struct object_ops ops;

static void fail_close(struct remote *r)
{
    struct fail *f = (struct fail *)r;
    if (!f)
        return;
    if (f->inner)
        f->inner->remote.driver->close(&f->inner->remote);
    mem_free(f);
}

static kf_rc open_inner(struct fail *f, const struct env *env, const struct remote_place *place,
                        struct kf_err *err)
{
    const struct remote_driver *driver = NULL;
    struct remote *inner = NULL;
    kf_rc rc = remote_driver_of(env, STR(""), place->url, &driver, err);
    if (rc == KF_OK && driver->push != objects_push)
        rc = err_set(err, PROBLEM_CONFIG, "fail: stands before an object store alone");
    if (rc == KF_OK)
        rc = driver->open(env, place, &inner, err);
    if (rc == KF_OK)
        f->inner = (struct object_store *)inner;
    return rc;
}

static kf_rc fail_open(const struct env *env, const struct remote_place *place, struct remote **ret,
                       struct kf_err *err)
{
    str rest = str_from(place->url, sizeof(PREFIX) - 1);
    str spec = {rest.p, str_index(rest, ':')}, name = {0, 0};
    struct fail_plan plan = {0};
    struct remote_place behind = *place;
    if (!read_spec(spec, &plan, &name))
        return err_set(err, PROBLEM_CONFIG, "fail: does not know what to do with \"%.*s\"",
                       STR_ARGS(spec));
    struct fail *f = mem_calloc(1, sizeof(*f));
    if (!f)
        return err_nomem(err);
    f->store = (struct object_store){{.driver = &remote_fail, .env = env}, &ops};
    behind.url = str_from(rest, spec.len + 1);
    kf_rc rc = open_inner(f, env, &behind, err);
    if (rc == KF_OK) {
        pthread_mutex_lock(&lock);
        f->plan = plan_make(name, &plan);
        pthread_mutex_unlock(&lock);
        if (!f->plan)
            rc = err_nomem(err);
    }
    if (rc == KF_OK)
        *ret = &f->store.remote;
    else
        fail_close(&f->store.remote);
    return rc;
}

/* ----------------------------------------------------------------------------------- the calls */

struct verdict {
    bool fails, late;
    enum problem problem;
};

/* Counts a call and lets its delay pass. */
static struct verdict begin(struct fail *f)
{
    struct verdict v = {.problem = PROBLEM_REMOTE_FAILED};
    f->inner->remote.stop = f->store.remote.stop;
    pthread_mutex_lock(&lock);
    const struct fail_plan plan = f->plan->plan;
    uint64_t n = ++f->plan->calls;
    v.fails = plan.at && (n == plan.at || (plan.sticky && n > plan.at));
    f->plan->fired += v.fails;
    pthread_mutex_unlock(&lock);
    f->store.remote.retry_ms = v.fails ? plan.retry_ms : 0;
    v.late = plan.late;
    for (size_t i = 0; plan.code && i < PROBLEM_COUNT; i++)
        if (strcmp(plan.code, problem_table[i].code) == 0)
            v.problem = (enum problem)i;
    if (plan.delay_ms)
        remote_pause(&f->store.remote, plan.delay_ms);
    return v;
}

static kf_rc fault(const struct verdict *v, struct kf_err *err)
{
    return err_set(err, v->problem, "a fault of the test");
}

/* A call that is carried out unless it fails at once; a late one fails whatever it answered. */
#define PASS_ON(o, call, err)                 \
    do {                                      \
        struct fail *f = (struct fail *)(o);  \
        struct verdict v = begin(f);          \
        if (v.fails && !v.late)               \
            return fault(&v, err);            \
        kf_rc rc = f->inner->ops->call;       \
        return v.fails ? fault(&v, err) : rc; \
    } while (0)

static kf_rc fail_get(struct object_store *o, str path, size_t max, struct buf *out,
                      struct buf *tag, struct kf_err *err)
{
    PASS_ON(o, get(f->inner, path, max, out, tag, err), err);
}

static kf_rc fail_put(struct object_store *o, str path, str bytes, struct kf_err *err)
{
    pthread_mutex_lock(&lock);
    const char *refuse = ((struct fail *)o)->plan->plan.refuse;
    pthread_mutex_unlock(&lock);
    if (refuse && str_has(bytes, refuse))
        return err_set(err, PROBLEM_REMOTE_REFUSED, "the place does not take this");
    PASS_ON(o, put(f->inner, path, bytes, err), err);
}

static kf_rc fail_settle(struct object_store *o, struct kf_err *err)
{
    PASS_ON(o, settle(f->inner, err), err);
}

/* Never late: one that holds and says that it does not would hold for ever. */
static kf_rc fail_hold(struct object_store *o, str path, str tag, struct kf_err *err)
{
    struct fail *f = (struct fail *)o;
    struct verdict v = begin(f);
    return v.fails ? fault(&v, err) : f->inner->ops->hold(f->inner, path, tag, err);
}

static void fail_release(struct object_store *o)
{
    struct fail *f = (struct fail *)o;
    f->inner->ops->release(f->inner);
}

static kf_rc fail_put_if(struct object_store *o, str path, str bytes, str tag, struct kf_err *err)
{
    PASS_ON(o, put_if(f->inner, path, bytes, tag, err), err);
}

static kf_rc fail_remove(struct object_store *o, str path, struct kf_err *err)
{
    PASS_ON(o, drop(f->inner, path, err), err);
}

static kf_rc fail_is_public(struct remote *r, bool *ret, struct kf_err *err)
{
    struct fail *f = (struct fail *)r;
    pthread_mutex_lock(&lock);
    int readers = f->plan->plan.readers;
    f->plan->asked += 1;
    pthread_mutex_unlock(&lock);
    if (readers == FAIL_NOT_KNOWN)
        return err_set(err, PROBLEM_REMOTE_FAILED, "a fault of the test");
    *ret = readers == FAIL_PUBLIC;
    return KF_OK;
}

static const struct object_ops ops = {
    .get = fail_get,
    .put = fail_put,
    .settle = fail_settle,
    .hold = fail_hold,
    .release = fail_release,
    .put_if = fail_put_if,
    .drop = fail_remove,
};

const struct remote_driver remote_fail = {
    .kind = "fail",
    .prefixes = (const char *const[]){PREFIX, NULL},
    .caps = REMOTE_EXACT_BYTES | REMOTE_TEST_ONLY | REMOTE_HAS_ACCESS,
    .open = fail_open,
    .close = fail_close,
    .probe = objects_probe,
    .look = objects_look,
    .pull = objects_pull,
    .push = objects_push,
    .verify = objects_verify,
    .repair = objects_repair,
    .is_public = fail_is_public,
    .versions = objects_versions,
    .version = objects_version,
};
