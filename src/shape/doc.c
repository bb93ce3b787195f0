/* The documents of one store: the object and what the configuration says of a name. */
#include "shape/doc_internal.h"

#include "base/json_schema.h"

#define LIMIT_DOC ((uint64_t)8 << 20) /* without a configuration */

static kf_rc read_schemas(struct docs *docs, struct kf_err *err)
{
    size_t count = docs->space ? docs->space->doc_count : 0;
    if (count == 0)
        return KF_OK;
    docs->schemas = mem_calloc(count, sizeof(struct json_schema *));
    if (!docs->schemas)
        return err_nomem(err);
    docs->schema_count = count;
    for (size_t i = 0; i < count; i++) {
        const struct config_doc *line = &docs->space->docs[i];
        if (!line->schema_text.p)
            continue;
        kf_rc rc = json_schema_new(line->schema_text, &docs->schemas[i], err);
        if (rc != KF_OK) {
            err_prefix(err, "%.*s", STR_ARGS(line->schema_path));
            return rc;
        }
    }
    return KF_OK;
}

static void on_changed(void *ctx, str tbl, str key, int64_t seq)
{
    struct docs *docs = ctx;
    if (str_is(tbl, DOC_TABLE))
        doc_cache_changed(docs->cache, key, seq);
}

static void on_doubt(void *ctx, int64_t seq, bool went_back)
{
    struct docs *docs = ctx;
    if (went_back)
        doc_cache_forget_all(docs->cache);
    else
        doc_cache_doubt(docs->cache, seq);
}

kf_rc docs_new(struct kf_store *store, const struct config *config,
               const struct config_space *space, uint64_t cache_bytes, struct docs **ret_docs,
               struct kf_err *err)
{
    struct docs *docs = mem_calloc(1, sizeof *docs);
    if (!docs)
        return err_nomem(err);
    docs->store = store;
    docs->config = config;
    docs->space = space;
    docs->limit_doc = config ? config->limit_doc : LIMIT_DOC;
    atomic_init(&docs->hydrating, false);
    atomic_init(&docs->pins, 0);
    pthread_mutex_init(&docs->tickets_lock, NULL);
    pthread_mutex_init(&docs->unread_lock, NULL);
    kf_rc rc = doc_cache_new(store_env(store), cache_bytes, &docs->cache, err);
    if (rc == KF_OK)
        rc = read_schemas(docs, err);
    if (rc == KF_OK) {
        struct store_follower f = {.changed = on_changed, .doubt = on_doubt, .ctx = docs};
        rc = store_follow(store, &f, err);
    }
    if (rc == KF_OK)
        *ret_docs = docs;
    else
        docs_free(docs);
    return rc;
}

void docs_free(struct docs *docs)
{
    if (!docs)
        return;
    docs_free_tickets(docs);
    docs_free_unread(docs);
    doc_cache_free(docs->cache);
    for (size_t i = 0; i < docs->schema_count; i++)
        json_schema_free(docs->schemas[i]);
    mem_free(docs->schemas);
    pthread_mutex_destroy(&docs->tickets_lock);
    mem_free(docs);
}

/* ------------------------------------------------------------------------------- configuration */

kf_rc docs_check_schema(const struct docs *docs, str name, str body, struct kf_err *err)
{
    const struct config_doc *line = config_doc(docs->space, name);
    if (!line)
        return KF_OK;
    const struct json_schema *schema = docs->schemas[line - docs->space->docs];
    return schema ? json_schema_check(schema, body, err) : KF_OK;
}

struct config_keep docs_keep(const struct docs *docs, str name)
{
    const struct config_doc *line = config_doc(docs->space, name);
    return line ? line->keep : CONFIG_KEEP_DEFAULT;
}

str docs_default(const struct docs *docs, str name)
{
    const struct config_doc *line = config_doc(docs->space, name);
    return line ? line->def : (str){0};
}

bool docs_is_critical(const struct docs *docs, str name)
{
    const struct config_doc *line = config_doc(docs->space, name);
    return line && str_is(line->klass, "critical");
}

bool docs_any_critical(const struct docs *docs)
{
    for (size_t i = 0; docs->space && i < docs->space->doc_count; i++)
        if (str_is(docs->space->docs[i].klass, "critical"))
            return true;
    return false;
}

uint64_t docs_limit(const struct docs *docs)
{
    return docs->limit_doc;
}

/* ------------------------------------------------------------------------------------ hydration */

void docs_set_hydrating(struct docs *docs, bool hydrating)
{
    atomic_store(&docs->hydrating, hydrating);
}

bool docs_hydrating(const struct docs *docs)
{
    return atomic_load(&docs->hydrating);
}

kf_rc docs_not_hydrated(const struct docs *docs, str name, struct kf_err *err)
{
    if (!docs_hydrating(docs))
        return err_set(
            err, PROBLEM_NOT_HYDRATED,
            "a remote holds \"%.*s\" and it cannot be read there: `keepfast status` says "
            "why. Bring its object back there, or write it anew with If-Match: *",
            STR_SHOWN(name));
    return err_set(
        err, PROBLEM_NOT_HYDRATED,
        "the store is still being filled from its remotes, and \"%.*s\" has not come in yet: try "
        "again, or see `keepfast status` for the remote that is waited for",
        STR_SHOWN(name));
}

/* ---------------------------------------------------------------------------------------- cache */

void docs_forget(struct docs *docs, str name)
{
    doc_cache_forget(docs->cache, name);
}

void docs_forget_all(struct docs *docs)
{
    doc_cache_forget_all(docs->cache);
}

void docs_cache_limit(struct docs *docs, uint64_t bytes)
{
    doc_cache_limit(docs->cache, bytes);
}

uint64_t docs_cache_bytes(const struct docs *docs)
{
    return doc_cache_bytes(docs->cache);
}
