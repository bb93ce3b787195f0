/* When a backup or a drill is due, and what of it lasts:
 *
 *     {"keepfast":"backups","format":1,
 *      "last":{"at":MS,"file":NAME,"bytes":B,"docs":N,"entries":N,"digest":HEX},
 *      "drill":{"at":MS,"file":NAME,"good":BOOL,"compared":BOOL,"docs":N,
 *               "digest":HEX,"code":C,"error":E}}
 *
 * A time after `now` is one that a clock told before it was set right: it says nothing, so what
 * hangs on it is due. The record is a help and no source: without it the newest file's name tells
 * when it was made, and its drill has nothing to compare with. */
#include "lib/backups.h"

#include "base/err.h"
#include "base/json.h"

static const int64_t late_ms = 60000;

/* `at` + `after`, or now when `at` is of no use. */
static int64_t behind(int64_t at, int64_t after, int64_t now)
{
    return at && at <= now ? at + after : now;
}

static int64_t backoff(uint32_t failures, uint32_t jitter)
{
    int64_t wait = failures > 9 ? BACKUPS_BACKOFF_MAX : BACKUPS_BACKOFF_MS << (failures - 1);
    if (wait > BACKUPS_BACKOFF_MAX)
        wait = BACKUPS_BACKOFF_MAX;
    return wait - wait / 4 * jitter / 65535;
}

struct backups_plan backups_plan(const struct backups_view *v)
{
    int64_t every = (int64_t)v->every_ms, now = v->now_ms;
    struct backups_plan p = {.backup_ms = behind(v->last_ms, every, now)};
    int64_t since = p.backup_ms > v->ready_ms && v->last_ms && v->last_ms <= now ? p.backup_ms
                                                                                 : v->ready_ms;
    if (since + every / 10 + late_ms <= now)
        p.overdue_ms = since;
    if (v->failures) {
        int64_t retry = behind(v->tried_ms, backoff(v->failures, v->jitter), now);
        p.backup_ms = retry > p.backup_ms ? retry : p.backup_ms;
    }
    if (v->has_file)
        p.drill_ms = v->drilled ? behind(v->drill_ms, every, now) : now;
    return p;
}

/* -------------------------------------------------------------------------------------- record */

static void put_text(struct buf *out, const char *key, const char *text)
{
    buf_printf(out, ",\"%s\":", key);
    buf_json_string(out, str_of(text));
}

void backups_record_write(const struct backups_record *r, struct buf *out)
{
    const struct kf_backup_made *m = &r->last;
    const struct kf_backup_drill *d = &r->drill;
    buf_printf(out, "{\"keepfast\":\"backups\",\"format\":1,\"last\":{\"at\":%lld",
               (long long)m->at_ms);
    put_text(out, "file", m->file);
    buf_printf(out, ",\"bytes\":%llu,\"docs\":%llu,\"entries\":%llu", (unsigned long long)m->bytes,
               (unsigned long long)m->docs, (unsigned long long)m->entries);
    put_text(out, "digest", m->digest);
    buf_printf(out, "},\"drill\":{\"at\":%lld", (long long)d->at_ms);
    put_text(out, "file", d->file);
    buf_printf(out, ",\"good\":%s,\"compared\":%s,\"docs\":%llu", d->good ? "true" : "false",
               d->compared ? "true" : "false", (unsigned long long)d->docs);
    put_text(out, "digest", d->digest);
    put_text(out, "code", d->code);
    put_text(out, "error", d->error);
    buf_c(out, "}}\n");
}

/* A member that must be there; `good` gathers what is not. */
struct reading {
    struct arena arena;
    bool good, starved;
};

static void get_text(struct reading *r, const struct json_node *o, const char *key, char *ret,
                     size_t size)
{
    const struct json_node *n = json_member(o, key);
    if (!n || n->type != JSON_STRING) {
        r->good = false;
        return;
    }
    str text = json_text(n->raw, &r->arena);
    r->starved |= !text.p;
    if (!text.p || text.len >= size || memchr(text.p, 0, text.len)) {
        r->good = false;
        return;
    }
    memcpy(ret, text.p, text.len);
    ret[text.len] = '\0';
}

static uint64_t get_u64(struct reading *r, const struct json_node *o, const char *key)
{
    const struct json_node *n = json_member(o, key);
    uint64_t v = 0;
    r->good &= n && json_u64(n, &v);
    return v;
}

static int64_t get_time(struct reading *r, const struct json_node *o, const char *key)
{
    const struct json_node *n = json_member(o, key);
    int64_t v = 0;
    r->good &= n && json_i64(n, &v);
    return v;
}

static bool get_bool(struct reading *r, const struct json_node *o, const char *key)
{
    const struct json_node *n = json_member(o, key);
    bool yes = n && str_is(n->raw, "true");
    r->good &= yes || (n && str_is(n->raw, "false"));
    return yes;
}

static void read_all(struct reading *r, const struct json_node *root, struct backups_record *ret)
{
    const struct json_node *last = json_member(root, "last"), *drill = json_member(root, "drill");
    char kind[16] = "";
    get_text(r, root, "keepfast", kind, sizeof kind);
    r->good &= strcmp(kind, "backups") == 0 && get_u64(r, root, "format") == 1;
    ret->last.at_ms = get_time(r, last, "at");
    get_text(r, last, "file", ret->last.file, sizeof ret->last.file);
    ret->last.bytes = get_u64(r, last, "bytes");
    ret->last.docs = get_u64(r, last, "docs");
    ret->last.entries = get_u64(r, last, "entries");
    get_text(r, last, "digest", ret->last.digest, sizeof ret->last.digest);
    ret->drill.at_ms = get_time(r, drill, "at");
    get_text(r, drill, "file", ret->drill.file, sizeof ret->drill.file);
    ret->drill.good = get_bool(r, drill, "good");
    ret->drill.compared = get_bool(r, drill, "compared");
    ret->drill.docs = get_u64(r, drill, "docs");
    get_text(r, drill, "digest", ret->drill.digest, sizeof ret->drill.digest);
    get_text(r, drill, "code", ret->drill.code, sizeof ret->drill.code);
    get_text(r, drill, "error", ret->drill.error, sizeof ret->drill.error);
}

kf_rc backups_record_read(str text, struct backups_record *ret, struct kf_err *err)
{
    struct reading r = {.good = true};
    struct backups_record read = {0};
    struct json_node *root = NULL;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = json_parse(text, NULL, &r.arena, &root, &why);
    if (rc == KF_OK)
        read_all(&r, root, &read);
    arena_release(&r.arena);
    if (rc == KF_NOMEM || r.starved)
        return err_nomem(err);
    if (rc != KF_OK || !r.good)
        return err_set(err, PROBLEM_DAMAGED, "this is no record of backups");
    *ret = read;
    return KF_OK;
}
