#include "testing_store.h"

#include "base/err.h"

#include <stdio.h>

static kf_rc put_apply(struct group *g, struct write *w, struct kf_err *err)
{
    struct put *p = (struct put *)w;
    p->applied++;
    p->seq = group_seq(g);
    p->stamp = group_stamp(g);
    kf_rc rc = group_meta_set(g, p->key, str_of(p->value), err);
    if (rc == KF_OK)
        rc = group_journal(g, p->seq, 0, "test", str_of(p->key), p->stamp, str_of(group_site(g)),
                           err);
    if (rc == KF_OK && p->fail)
        rc = err_set(err, PROBLEM_VERSION_MISMATCH, "told to fail");
    return rc;
}

static void put_publish(struct write *w)
{
    ((struct put *)w)->published++;
}

static void put_done(struct write *w)
{
    ((struct put *)w)->done++;
}

struct put put_of(const char *key, const char *value)
{
    return (struct put){.write = {.apply = put_apply, .publish = put_publish, .done = put_done},
                        .key = key,
                        .value = value};
}

kf_rc put(struct kf_store *s, const char *key, const char *value, struct kf_err *err)
{
    struct put p = put_of(key, value);
    return store_write(s, &p.write, err);
}

const char *get(struct kf_store *s, const char *key)
{
    static char text[256];
    struct buf b = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = store_meta_get(s, key, &b, &err);
    if (rc != KF_OK && rc != KF_ABSENT)
        fail_msg("%s", err.detail);
    snprintf(text, sizeof(text), "%.*s", rc == KF_OK ? (int)b.len : 8,
             rc == KF_OK && b.len ? b.p : "(absent)");
    buf_release(&b);
    return text;
}

struct kf_store *testing_store_open(const char *path, struct store_options options)
{
    struct kf_store *s = NULL;
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = store_open(path, &options, &s, &err);
    if (rc != KF_OK)
        fail_msg("%s", err.detail);
    return s;
}
