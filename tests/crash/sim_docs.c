#include "sim_docs.h"

#include "base/mem.h"
#include "base/str.h"
#include "remote/stream_part.h"
#include "shape/stream_internal.h"

#include <stdio.h>
#include <stdlib.h>

kf_rc sim_floor_open(struct sim_floor *f, const struct env *env, const char *path,
                     const char *place, uint32_t checkpoint_frames, struct kf_store **ret_store,
                     struct kf_err *err)
{
    *f = (struct sim_floor){.space = {.name = STR("default")},
                            .keep = {.match = STR("**"), .keep = {2, 0}}};
    f->space.docs = &f->keep;
    f->space.doc_count = 1;
    f->stream = (struct config_stream)CONFIG_STREAM_DEFAULT_INIT;
    f->stream.match = STR("last/*");
    f->stream.window = 2;
    f->stream.keep_last = 3;
    f->space.streams = &f->stream;
    f->space.stream_count = 1;
    if (place) {
        snprintf(f->url, sizeof(f->url), "dir:%s", place);
        f->remote = (struct config_remote){.name = STR("place"),
                                           .url = str_of(f->url),
                                           .kind = STR(""),
                                           .schedule = {.manual = true}};
        f->space.remotes = &f->remote;
        f->space.remote_count = 1;
    }
    struct remotes_options ro = {.space = &f->space};
    kf_rc rc = config_load(env_system(), NULL, NULL, NULL, 0, &f->config, err);
    if (rc == KF_OK)
        rc = loop_new(env, LOOP_INLINE, &f->loop, err);
    struct store_options so = {.env = env,
                               .loop = f->loop,
                               .redo_always = true,
                               .checkpoint_frames = checkpoint_frames,
                               .low_water_bytes = 1};
    if (rc == KF_OK)
        rc = store_open(path, &so, ret_store, err);
    if (rc == KF_OK)
        rc = docs_new(*ret_store, f->config, &f->space, 1 << 20, &f->docs, err);
    if (rc == KF_OK)
        rc = streams_new(*ret_store, f->config, &f->space, 1 << 20, &f->streams, err);
    if (rc == KF_OK) {
        f->streams->once.max = 2; /* so that ids move on */
        store_attach(*ret_store, f->docs, NULL);
        store_set_streams(*ret_store, f->streams);
        rc = remotes_new(*ret_store, f->docs, &ro, &f->remotes, err);
    }
    if (rc == KF_OK) {
        store_attach(*ret_store, f->docs, f->remotes);
        remotes_start(f->remotes);
    }
    return rc;
}

void sim_floor_close(struct sim_floor *f, struct kf_store *store)
{
    if (f->remotes)
        remotes_stop(f->remotes);
    remotes_free(f->remotes);
    store_close(store);
    docs_free(f->docs);
    streams_free(f->streams);
    loop_free(f->loop);
    config_free(f->config);
    *f = (struct sim_floor){0};
}

/* ----------------------------------------------------------------------------------- the folder */

struct looking {
    struct remote_sink sink; /* first */
    struct buf text;
};

/* Sites become numbers, in the order in which they are met: which one a store has is a matter of
 * chance, and a call that failed takes another one. */
static void number_sites(char *text)
{
    static const char *const before[] = {"\"site\":\"", "\"erased\":\""};
    enum { SITES_MAX = 16 };
    char known[SITES_MAX][STORE_SITE_LEN + 1] = {{0}};
    for (char *at = text; *at; at++)
        for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
            size_t len = strlen(before[i]), n = 0;
            if (strncmp(at, before[i], len) != 0 || strlen(at) < len + STORE_SITE_LEN)
                continue;
            while (n + 1 < SITES_MAX && known[n][0] &&
                   strncmp(known[n], at + len, STORE_SITE_LEN) != 0)
                n++;
            memcpy(known[n], at + len, STORE_SITE_LEN);
            memset(at + len, 'a' + (int)n, STORE_SITE_LEN);
        }
}

/* Version and stamp of a stream's file are those of a push, of which there may be several. */
static kf_rc take(struct remote_sink *sink, const struct remote_doc *doc, struct kf_err *err)
{
    struct looking *l = (struct looking *)sink;
    buf_str(&l->text, doc->doc.name);
    if (stream_file_is(doc->doc.name))
        buf_byte(&l->text, '\n');
    else
        buf_printf(&l->text, " %llu %lld ", (unsigned long long)doc->doc.version,
                   (long long)doc->doc.stamp);
    buf_str(&l->text, doc->doc.body.p ? doc->doc.body : STR("deleted"));
    buf_byte(&l->text, '\n');
    return buf_ok(&l->text, err);
}

static kf_rc bad(struct remote_sink *sink, const struct remote_doc *doc, const struct kf_err *why,
                 struct kf_err *err)
{
    struct looking *l = (struct looking *)sink;
    buf_printf(&l->text, "cannot be read: %s\n", why->detail);
    return buf_ok(&l->text, err);
}

char *sim_place(const struct env *env, const char *place)
{
    struct looking l = {.sink = {.take = take, .bad = bad}};
    struct kf_err err = KF_ERR_INIT;
    struct remote *remote = NULL;
    struct buf position = BUF_INIT;
    char url[1200];
    snprintf(url, sizeof(url), "dir:%s", place);
    const struct remote_place where = {.url = str_of(url)};
    kf_rc rc = remote_dir.open(env, &where, &remote, &err);
    if (rc == KF_OK)
        rc = remote_dir.pull(remote, STR(""), true, &l.sink, &position, &err);
    if (rc != KF_OK && rc != KF_ABSENT)
        buf_printf(&l.text, "cannot be read at all: %s\n", err.detail);
    remote_dir.close(remote);
    buf_release(&position);
    char *text = strndup(l.text.p ? l.text.p : "", l.text.len);
    buf_release(&l.text);
    number_sites(text);
    return text;
}
