/* What the steps of scripts do: rows of kf_meta, documents, streams. Values differ from step to
 * step, so that an older one is not taken for the newer. */
#include "sim_internal.h"

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- puts */

struct sim_write {
    struct write write; /* first */
    char key[32];
    const char *value;
    size_t len;
    bool removes, fails;
};

static kf_rc sim_write_apply(struct group *g, struct write *w, struct kf_err *err)
{
    static const char remove_sql[] = "DELETE FROM kf_meta WHERE key = $1";
    struct sim_write *sw = (struct sim_write *)w;
    struct db_stmt *st;
    kf_rc rc;
    if (sw->removes) {
        if ((rc = db_use(group_db(g), remove_sql, &st, err)) != KF_OK)
            return rc;
        db_bind_text(st, 1, str_of(sw->key));
        rc = db_run(st, err);
    } else {
        rc = group_meta_set(g, sw->key, str_make(sw->value, sw->len), err);
    }
    if (rc == KF_OK)
        rc = group_journal(g, group_seq(g), 0, "meta", str_of(sw->key), group_stamp(g),
                           str_of(group_site(g)), err);
    if (rc == KF_OK && sw->fails)
        rc = err_set(err, PROBLEM_VERSION_MISMATCH, "told to fail");
    return rc;
}

static void sim_write_done(struct write *w)
{
}

kf_rc sim_put_one(struct kf_store *s, const char *key, struct kf_err *err)
{
    struct sim_write w = {.write = {.apply = sim_write_apply}, .value = "x", .len = 1};
    snprintf(w.key, sizeof w.key, "%s", key);
    return store_write(s, &w.write, err);
}

struct puts {
    const char *key;
    size_t count, len, fails_at; /* fails_at: SIZE_MAX = none */
    bool removes;
};

static kf_rc puts_step(struct sim *sim, void *ctx, struct kf_err *err)
{
    const struct puts *p = ctx;
    struct sim_write *w = calloc(p->count, sizeof(*w));
    char *value = malloc(p->len + 1);
    kf_rc rc = KF_OK;
    /* Values differ from step to step, so that an older one is not taken for the newer. */
    memset(value, 'a' + (int)(sim->begun_count % 26), p->len + 1);
    for (size_t i = 0; i < p->count; i++) {
        w[i] = (struct sim_write){.write = {.apply = sim_write_apply, .done = sim_write_done},
                                  .value = value,
                                  .len = p->len,
                                  .removes = p->removes,
                                  .fails = i == p->fails_at};
        snprintf(w[i].key, sizeof(w[i].key), p->removes ? "%s" : "%s%zu", p->key, i);
        store_submit(sim->store, &w[i].write);
    }
    while (store_lead(sim->store))
        ;
    for (size_t i = 0; i < p->count; i++) {
        if (w[i].fails && w[i].write.rc == KF_CONFLICT)
            continue;
        if (w[i].write.rc != KF_OK && rc == KF_OK) {
            rc = w[i].write.rc;
            *err = w[i].write.err;
        }
    }
    free(value);
    free(w);
    return rc;
}

kf_rc sim_put(struct sim *sim, const char *key, size_t count, size_t value_bytes)
{
    struct puts p = {.key = key, .count = count, .len = value_bytes, .fails_at = SIZE_MAX};
    return sim_do(sim, puts_step, &p);
}

kf_rc sim_put_but_one(struct sim *sim, const char *key, size_t count)
{
    struct puts p = {.key = key, .count = count, .len = 100, .fails_at = count / 2};
    return sim_do(sim, puts_step, &p);
}

kf_rc sim_delete(struct sim *sim, const char *key)
{
    struct puts p = {.key = key, .count = 1, .fails_at = SIZE_MAX, .removes = true};
    return sim_do(sim, puts_step, &p);
}

/* --- documents */

struct docs_put {
    kf_verb verb;
    const char *name, *body;
    uint64_t version;
    size_t count, len;
};

static kf_rc doc_step(struct sim *sim, void *ctx, struct kf_err *err)
{
    const struct docs_put *p = ctx;
    struct kf_write w = KF_WRITE_INIT;
    kf_ticket *ticket = NULL;
    w.verb = p->verb;
    w.name = p->name;
    w.body = p->body;
    w.len = p->body ? strlen(p->body) : 0;
    w.version = p->version;
    kf_rc rc = kf_submit(sim->store, &w, NULL, NULL, &ticket, err);
    while (rc == KF_OK && store_lead(sim->store))
        ;
    return rc == KF_OK ? kf_wait(&ticket, 1000, NULL, err) : rc;
}

static kf_rc docs_step(struct sim *sim, void *ctx, struct kf_err *err)
{
    const struct docs_put *p = ctx;
    kf_ticket *tickets[32] = {0};
    char name[32], *body = malloc(p->len + 3);
    kf_rc rc = KF_OK;
    memset(body, 'a' + (int)(sim->begun_count % 26), p->len + 2);
    body[0] = body[p->len + 1] = '"';
    for (size_t i = 0; rc == KF_OK && i < p->count; i++) {
        struct kf_write w = KF_WRITE_INIT;
        snprintf(name, sizeof(name), "%s%zu", p->name, i);
        w.verb = KF_PUT;
        w.name = name;
        w.body = body;
        w.len = p->len + 2;
        rc = kf_submit(sim->store, &w, NULL, NULL, &tickets[i], err);
    }
    while (store_lead(sim->store))
        ;
    for (size_t i = 0; i < p->count && tickets[i]; i++) {
        kf_rc one = kf_wait(&tickets[i], 1000, NULL, rc == KF_OK ? err : NULL);
        rc = rc == KF_OK ? one : rc;
    }
    free(body);
    return rc;
}

kf_rc sim_doc(struct sim *sim, kf_verb verb, const char *name, const char *body, uint64_t version)
{
    struct docs_put p = {.verb = verb, .name = name, .body = body, .version = version};
    return sim_do(sim, doc_step, &p);
}

kf_rc sim_docs(struct sim *sim, const char *prefix, size_t count, size_t bytes)
{
    struct docs_put p = {.name = prefix, .count = count, .len = bytes};
    return sim_do(sim, docs_step, &p);
}

/* --- streams */

struct appending {
    const char *key, *patch;
    int first;
    size_t count, bytes;
};

static kf_rc append_step(struct sim *sim, void *ctx, struct kf_err *err)
{
    const struct appending *p = ctx;
    enum { COUNT_MAX = 600 };
    static struct kf_entry_new entries[COUNT_MAX];
    static char ids[COUNT_MAX][16];
    char attach[2][24];
    struct stream_append *a = NULL;
    char *body = malloc(p->bytes + 3);
    if (!body || p->count > COUNT_MAX)
        sim_broken("%s: cannot append", sim->script->name);
    memset(body, 'x', p->bytes + 2);
    body[0] = body[p->bytes + 1] = '"';
    body[p->bytes + 2] = 0;
    for (size_t i = 0; i < p->count; i++) {
        int number = p->first + (int)i;
        char *common = attach[number % 2];
        snprintf(ids[i], sizeof ids[i], "id%d", number);
        snprintf(common, sizeof attach[0], "{\"version\":%d}", number % 2);
        entries[i] = (struct kf_entry_new){.size = sizeof entries[i],
                                           .id = ids[i],
                                           .kind = number % 3 ? "user" : "view",
                                           .body = body,
                                           .len = p->bytes + 2,
                                           .attach = common,
                                           .attach_len = strlen(common)};
    }
    kf_rc rc = stream_append_new(store_streams(sim->store), p->key, entries, p->count,
                                 KF_LEVEL_DISK, &a, err);
    if (rc == KF_OK)
        rc = stream_append_run(a, err);
    stream_append_free(a);
    free(body);
    return rc;
}

kf_rc sim_append(struct sim *sim, const char *key, int first, size_t count, size_t bytes)
{
    struct appending p = {.key = key, .first = first, .count = count, .bytes = bytes};
    return sim_do(sim, append_step, &p);
}

static kf_rc attrs_step(struct sim *sim, void *ctx, struct kf_err *err)
{
    const struct appending *p = ctx;
    return streams_patch(store_streams(sim->store), p->key, p->patch, strlen(p->patch), NULL, err);
}

kf_rc sim_attrs(struct sim *sim, const char *key, const char *patch)
{
    struct appending p = {.key = key, .patch = patch};
    return sim_do(sim, attrs_step, &p);
}

static kf_rc erase_step(struct sim *sim, void *ctx, struct kf_err *err)
{
    const struct appending *p = ctx;
    return streams_erase(store_streams(sim->store), p->key, NULL, err);
}

kf_rc sim_erase(struct sim *sim, const char *key)
{
    struct appending p = {.key = key};
    return sim_do(sim, erase_step, &p);
}
