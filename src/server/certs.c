#include "server/certs.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/when.h"
#include "server/tickets.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

/* By what one file differs from another under the same name; zeroed = it could not be opened. */
struct stamp {
    dev_t dev;
    ino_t ino;
    off_t size;
    int64_t changed_ns;
};

struct stamps {
    struct stamp cert, key;
};

/* What a job owns. */
struct look {
    struct loop_job job; /* first */
    struct certs *certs; /* NULL: it has gone */
    const struct env *env;
    char *cert_file, *key_file;
    struct tickets *tickets;
    bool asked;
    struct stamps known; /* of what was read last, whether it came into force or not */
    struct stamps seen;  /* when the files were looked at last */
    bool again;          /* the last reading failed for want of something else than good files */
    bool read;           /* the job has read the pair: into tls or err, to be told */
    struct tls *tls;
    struct kf_err err;
};

struct certs {
    struct loop *loop;
    struct log *log;
    struct loop_timer timer;
    struct look *look;
    bool looking; /* the job is under way */
    atomic_bool asked;
    struct tls *tls;
    pthread_mutex_t lock; /* for the state */
    struct certs_state state;
};

/* ------------------------------------------------------------------------------------ the files */

static struct stamp stamp_of(const struct env *env, const char *path)
{
    struct file f = FILE_CLOSED;
    struct stat st;
    struct stamp s = {0};
    if (file_open(env, path, FILE_LINKED, &f, NULL) == KF_OK && file_stat(&f, &st, NULL) == KF_OK)
        s = (struct stamp){st.st_dev, st.st_ino, st.st_size,
                           (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec};
    file_close(&f);
    return s;
}

static struct stamps stamps_of(const struct look *l)
{
    return (struct stamps){stamp_of(l->env, l->cert_file), stamp_of(l->env, l->key_file)};
}

static bool same_file(const struct stamp *a, const struct stamp *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->changed_ns == b->changed_ns;
}

static bool same(const struct stamps *a, const struct stamps *b)
{
    return same_file(&a->cert, &b->cert) && same_file(&a->key, &b->key);
}

/* ------------------------------------------------------------------------------------ the looks */

static void look_free(struct look *l)
{
    if (!l)
        return;
    tls_free(l->tls);
    mem_free(l->cert_file);
    mem_free(l->key_file);
    tickets_free(l->tickets);
    mem_free(l);
}

/* Whether only other files can help: not so where memory or descriptors were wanting. */
static bool is_of_the_files(const struct kf_err *err)
{
    const struct problem_info *p = problem_find(err->code);
    return p == &problem_table[PROBLEM_CONFIG] || p == &problem_table[PROBLEM_PERMISSION] ||
           p == &problem_table[PROBLEM_NOT_FOUND];
}

static void look_work(struct loop_job *j)
{
    struct look *l = (struct look *)j;
    struct stamps now = stamps_of(l);
    bool settled = same(&now, &l->seen), changed = !same(&now, &l->known);
    l->seen = now;
    l->read = l->asked || l->again || (changed && settled);
    if (!l->read)
        return;
    l->known = now;
    l->again = false;
    l->err = (struct kf_err)KF_ERR_INIT;
    if (tls_load(l->env, l->cert_file, l->key_file, l->tickets, &l->tls, &l->err) == KF_OK)
        return;
    l->tls = NULL;
    l->again = !is_of_the_files(&l->err);
    l->read = l->asked || !l->again;
}

static void tell_of_times(const struct certs *c)
{
    int64_t now = env_wall_ms(loop_env(c->loop));
    bool over = now >= tls_not_after_ms(c->tls), early = now < tls_not_before_ms(c->tls);
    char until[WHEN_LEN + 1];
    when_format(tls_not_after_ms(c->tls), until);
    log_event(c->log, over || early ? LOG_ERROR : LOG_INFO, "tls.certificate",
              LOG_S("file", c->look->cert_file), LOG_S("not_after", until),
              LOG_S("detail", over    ? "it has expired: clients refuse it"
                              : early ? "it is not valid yet: clients refuse it"
                                      : "in force"),
              LOG_END);
}

static void take(struct certs *c, struct tls *t)
{
    tls_free(c->tls);
    c->tls = t;
    pthread_mutex_lock(&c->lock);
    c->state.not_before_ms = tls_not_before_ms(t);
    c->state.not_after_ms = tls_not_after_ms(t);
    c->state.loaded++;
    c->state.failing = false;
    c->state.error[0] = '\0';
    pthread_mutex_unlock(&c->lock);
    tell_of_times(c);
}

static void keep(struct certs *c, const struct kf_err *err)
{
    pthread_mutex_lock(&c->lock);
    c->state.failing = true;
    snprintf(c->state.error, sizeof c->state.error, "%s", err->detail);
    pthread_mutex_unlock(&c->lock);
    log_event(c->log, LOG_ERROR, "tls.reload", LOG_S("detail", err->detail),
              LOG_S("next", "the certificate before it stays in force"), LOG_END);
}

static void look_later(struct certs *c);

static void look_done(struct loop_job *j, bool cancelled)
{
    struct look *l = (struct look *)j;
    struct certs *c = l->certs;
    if (!c) {
        look_free(l);
        return;
    }
    c->looking = false;
    if (!cancelled && l->read && l->tls)
        take(c, l->tls);
    else if (!cancelled && l->read)
        keep(c, &l->err);
    l->tls = NULL;
    l->read = false;
    look_later(c);
}

static void look_now(struct certs *c, bool asked)
{
    c->looking = true;
    c->look->asked = asked;
    c->look->job = (struct loop_job){.work = look_work, .done = look_done};
    loop_job(c->loop, &c->look->job);
}

static void look_is_due(struct loop_timer *t)
{
    struct certs *c = (struct certs *)((char *)t - offsetof(struct certs, timer));
    tickets_turn(c->look->tickets);
    if (!c->looking)
        look_now(c, false);
}

/* Without memory for the timer it is SIGHUP that is left. */
static void look_later(struct certs *c)
{
    loop_timer_set(c->loop, &c->timer, CERTS_LOOK_MS, look_is_due);
}

void certs_turn(struct certs *c)
{
    if (c->looking || !atomic_load_explicit(&c->asked, memory_order_relaxed))
        return;
    atomic_store(&c->asked, false);
    look_now(c, true);
}

bool certs_reloading(const struct certs *c)
{
    return atomic_load(&c->asked) || (c->looking && c->look->asked);
}

void certs_reload(struct certs *c)
{
    atomic_store(&c->asked, true);
    loop_poke(c->loop);
}

/* ------------------------------------------------------------------------------------ new, free */

kf_rc certs_new(struct loop *loop, struct log *log, const char *cert_file, const char *key_file,
                struct tickets *tickets, struct certs **ret_certs, struct kf_err *err)
{
    struct certs *c = mem_calloc(1, sizeof *c);
    struct look *l = mem_calloc(1, sizeof *l);
    struct tls *t = NULL;
    kf_rc rc = KF_OK;
    if (l) {
        l->env = loop_env(loop);
        l->cert_file = mem_strdup(cert_file);
        l->key_file = mem_strdup(key_file);
        l->tickets = tickets_hold(tickets);
    }
    if (!c || !l || !l->cert_file || !l->key_file)
        rc = err_nomem(err);
    if (rc == KF_OK) { /* before it is read: what changes then is seen as a change */
        l->known = l->seen = stamps_of(l);
        rc = tls_load(l->env, cert_file, key_file, tickets, &t, err);
    }
    if (rc != KF_OK) {
        look_free(l);
        mem_free(c);
        return rc;
    }
    l->certs = c;
    pthread_mutex_init(&c->lock, NULL);
    c->loop = loop;
    c->log = log;
    c->look = l;
    take(c, t);
    look_later(c);
    *ret_certs = c;
    return KF_OK;
}

void certs_free(struct certs *c)
{
    if (!c)
        return;
    loop_timer_cancel(&c->timer);
    if (c->looking)
        c->look->certs = NULL;
    else
        look_free(c->look);
    tls_free(c->tls);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

const struct tls *certs_tls(const struct certs *c)
{
    return c->tls;
}

void certs_state(struct certs *c, struct certs_state *ret)
{
    pthread_mutex_lock(&c->lock);
    *ret = c->state;
    pthread_mutex_unlock(&c->lock);
}
