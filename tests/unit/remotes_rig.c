#include "remotes_rig.h"

#include "base/err.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct testing_env world;
static const char *log_path;

int remotes_setup(void **state)
{
    *state = NULL;
    testing_env_init(&world);
    log_path = testing_path(testing_dir(), "log");
    return hash_init();
}

int remotes_teardown(void **state)
{
    (void)state;
    mem_forget();
    fail_forget();
    testing_env_release(&world);
    return 0;
}

/* -------------------------------------------------------------------------------- one machine */

struct config_remote *app_remote(struct app *a, const char *name, const char *url)
{
    struct config_remote *c = &a->remotes[a->space.remote_count++];
    *c = (struct config_remote){.name = str_of(name), .url = str_of(url), .kind = STR("")};
    a->space.remotes = a->remotes;
    return c;
}

void app_init(struct app *a)
{
    *a = (struct app){.env = &world.env, .log_fd = -1};
    a->path = testing_path(testing_dir(), "app.db");
    assert_int_equal(config_load(env_system(), NULL, NULL, NULL, 0, &a->config, NULL), KF_OK);
    a->space.name = STR("default");
}

static void *app_turn(void *arg)
{
    loop_run(((struct app *)arg)->loop);
    return NULL;
}

kf_rc app_try_open(struct app *a, struct kf_err *err)
{
    kf_rc rc = loop_new(a->env, a->workers, &a->loop, err);
    if (rc != KF_OK)
        return rc;
    a->space.docs = a->lines;
    a->space.doc_count = a->line_count;
    struct store_options so = {.env = a->env, .loop = a->loop, .log = a->log, .readers_max = 8};
    struct remotes_options ro = {.space = &a->space, .start_empty = a->start_empty};
    rc = store_open(a->path, &so, &a->store, err);
    if (rc == KF_OK)
        rc = docs_new(a->store, a->config, &a->space, 1 << 20, &a->docs, err);
    if (rc == KF_OK)
        rc = streams_new(a->store, a->config, &a->space, 1 << 20, &a->streams, err);
    if (rc == KF_OK) {
        store_attach(a->store, a->docs, NULL);
        store_set_streams(a->store, a->streams);
        rc = remotes_new(a->store, a->docs, &ro, &a->r, err);
    }
    if (rc == KF_OK) {
        store_attach(a->store, a->docs, a->r);
        remotes_start(a->r);
    }
    return rc;
}

void app_close(struct app *a)
{
    if (a->workers) {
        loop_stop(a->loop);
        pthread_join(a->thread, NULL);
    }
    remotes_stop(a->r);
    remotes_free(a->r);
    store_close(a->store);
    docs_free(a->docs);
    streams_free(a->streams);
    loop_free(a->loop);
    a->r = NULL;
    a->docs = NULL;
    a->streams = NULL;
    a->store = NULL;
    a->loop = NULL;
}

void app_open(struct app *a)
{
    struct kf_err err = KF_ERR_INIT;
    if (!a->log) {
        a->log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
        assert_int_equal(log_new(a->env, a->log_fd, LOG_TEXT, LOG_DEBUG, &a->log, NULL), KF_OK);
    }
    if (app_try_open(a, &err) != KF_OK)
        fail_msg("open: %s: %s", err.code, err.detail);
    if (a->workers) {
        assert_int_equal(pthread_create(&a->thread, NULL, app_turn, a), 0);
        loop_hand_to(a->loop, a->thread);
    }
}

void app_end(struct app *a)
{
    app_close(a);
    config_free(a->config);
    log_free(a->log);
    if (a->log_fd >= 0)
        close(a->log_fd);
}

void app_anew(struct app *a)
{
    app_close(a);
    a->path = testing_path(testing_dir(), "app.db");
    app_open(a);
}

void app_settle(struct app *a)
{
    int idle = 0;
    for (int i = 0; i < 2000 && idle < 3; i++)
        idle = loop_turn(a->loop, 0) == 0 ? idle + 1 : 0;
}

void app_pass(struct app *a, int64_t ms)
{
    app_settle(a);
    testing_env_advance(&world, ms);
    app_settle(a);
}

void app_begin(struct app *a, const char *name, const char *url)
{
    app_init(a);
    app_remote(a, name, url);
    app_open(a);
    app_settle(a);
}

kf_rc app_write(struct app *a, const char *name, const char *body, const char *if_match,
                struct kf_err *err)
{
    struct kf_write request = KF_WRITE_INIT;
    struct doc_write *w = NULL;
    request.verb = body ? KF_PUT : KF_DELETE;
    request.name = name;
    request.body = body;
    request.len = body ? strlen(body) : 0;
    request.options.if_match = if_match;
    kf_rc rc = doc_write_new(a->docs, &request, &w, err);
    if (rc == KF_OK)
        rc = doc_write_run(w, err);
    doc_write_free(w);
    return rc;
}

void app_put(struct app *a, const char *name, const char *body)
{
    struct kf_err err = KF_ERR_INIT;
    if (app_write(a, name, body, NULL, &err) != KF_OK)
        fail_msg("put %s: %s: %s", name, err.code, err.detail);
}

void app_is(struct app *a, const char *name, const char *body)
{
    struct kf_doc doc = {0};
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_doc_get(a->store, name, &doc, &err);
    if (rc != KF_OK)
        fail_msg("get %s: %s: %s", name, err.code, err.detail);
    assert_string_equal(doc.body, body);
    kf_doc_release(&doc);
}

kf_rc app_get(struct app *a, const char *name)
{
    struct kf_doc doc = {0};
    kf_rc rc = kf_doc_get(a->store, name, &doc, NULL);
    kf_doc_release(&doc);
    return rc;
}

kf_rc app_sync(struct app *a, const char *names, struct kf_err *err)
{
    return kf_sync(a->store, names, 5000, err);
}

void app_sync_good(struct app *a, const char *names)
{
    struct kf_err err = KF_ERR_INIT;
    if (app_sync(a, names, &err) != KF_OK)
        fail_msg("sync %s: %s: %s", names, err.code, err.detail);
}

struct kf_remote_info app_info(struct app *a, const char *name)
{
    static char texts[3][700];
    struct kf_remote_list list = {0};
    struct kf_remote_info info = {0};
    assert_int_equal(kf_remotes(a->store, &list, NULL), KF_OK);
    for (size_t i = 0; i < list.count; i++) {
        if (strcmp(list.items[i].name, name) != 0)
            continue;
        info = list.items[i];
        snprintf(texts[0], sizeof(texts[0]), "%s", info.last_code);
        snprintf(texts[1], sizeof(texts[1]), "%s", info.last_error);
        snprintf(texts[2], sizeof(texts[2]), "%s", info.schedule);
        info.last_code = texts[0];
        info.last_error = texts[1];
        info.schedule = texts[2];
    }
    kf_remote_list_free(&list);
    return info;
}

uint64_t app_pending(struct app *a, const char *name)
{
    return app_info(a, name).pending.count;
}

void app_aside_is(struct app *a, const char *remote, const char *wanted)
{
    struct kf_aside_list list = {0};
    struct kf_err err = KF_ERR_INIT;
    struct buf b = BUF_INIT;
    if (kf_aside(a->store, remote, NULL, NULL, 1000, &list, &err) != KF_OK)
        fail_msg("aside: %s: %s", err.code, err.detail);
    for (size_t i = 0; i < list.count; i++) {
        const struct kf_aside_item *item = &list.items[i];
        assert_string_equal(item->remote, remote);
        assert_true(item->since_ms > 0 && *item->reason);
        buf_printf(&b, "%s %s %s;", item->kind, item->name, item->code);
    }
    buf_byte(&b, '\0');
    assert_string_equal(b.p, wanted);
    assert_int_equal(app_info(a, remote).set_aside, list.count);
    kf_aside_list_free(&list);
    buf_release(&b);
}

/* ------------------------------------------------------------------------- places and the log */

bool place_holds(const char *place, const char *name, const char *body)
{
    struct buf path = BUF_INIT, bytes = BUF_INIT, manifest = BUF_INIT;
    struct hash hash;
    char hex[HASH_HEX + 1];
    hash_of(str_of(body), &hash);
    hash_hex(&hash, hex);
    portable_object(str_of(name), str_of(hex), &path);
    bool there = mem_place_get(str_of(place), buf_view(&path), &bytes) == KF_OK &&
                 str_is(buf_view(&bytes), body);
    mem_place_get(str_of(place), STR(PORTABLE_MANIFEST), &manifest);
    there = there && manifest.len && strstr(manifest.p, hex) &&
            strstr(manifest.p, hex) < strstr(manifest.p, "{\"end\"");
    const char *retired = manifest.len ? strstr(manifest.p, "{\"retired\"") : NULL;
    there = there && (!retired || strstr(manifest.p, hex) < retired);
    buf_release(&path);
    buf_release(&bytes);
    buf_release(&manifest);
    return there;
}

void plan_down(const char *plan, bool is_down)
{
    fail_plan_set(str_of(plan), &(struct fail_plan){.at = is_down, .sticky = true});
}

void log_forget(void)
{
    assert_int_equal(truncate(log_path, 0), 0);
}

int log_count(const char *event)
{
    int count = 0;
    for (const char *p = testing_read(log_path, NULL); (p = strstr(p, event)); p++)
        count++;
    return count;
}
