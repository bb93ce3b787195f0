/* Status: what would be lost if this machine died now, per remote; and the state of the store. */
#include "api/api_internal.h"

static void pending_json(const struct kf_pending *p, int64_t now_ms, struct buf *out)
{
    bool first = true;
    buf_c(out, "{");
    json_put_u64(out, &first, "count", p->count);
    json_put_u64(out, &first, "bytes", p->bytes);
    json_put_time(out, &first, "oldest", p->oldest_ms);
    json_put_u64(out, &first, "age_ms",
                 p->oldest_ms && now_ms > p->oldest_ms ? (uint64_t)(now_ms - p->oldest_ms) : 0);
    buf_c(out, "}");
}

static const char *remote_state_name(kf_remote_state s)
{
    static const char *const names[] = {
        [KF_REMOTE_IDLE] = "idle",
        [KF_REMOTE_RUNNING] = "running",
        [KF_REMOTE_RETRYING] = "retrying",
        [KF_REMOTE_DIVERGED] = "diverged",
        [KF_REMOTE_ROLLED_BACK] = "rolled_back",
        [KF_REMOTE_AUTH] = "auth",
    };
    return names[s];
}

/* What it names beside its address, where it does. */
static void access_json(const struct kf_remote_info *r, bool *first, struct buf *out)
{
#define T(member, word, help) \
    if (r->member[0])         \
        json_put_str(out, first, word, str_of(r->member));
#define F(member, word, help) T(member, word, help)
#define S(member, word, help) T(member, word, help)
#define B(member, word, help) \
    if (r->member)            \
        json_put_bool(out, first, word, true);
#include "base/access.def"
#undef T
#undef F
#undef S
#undef B
    if (r->encrypted)
        json_put_bool(out, first, "encrypted", true);
    if (r->key_id[0])
        json_put_str(out, first, "key", str_of(r->key_id));
}

/* Which documents go there, where not all do. */
static void docs_json(const struct kf_remote_info *r, bool *first, struct buf *out)
{
    if (!r->docs[0])
        return;
    json_key(out, first, "docs");
    for (str rest = str_of(r->docs); rest.len;) {
        str one = {rest.p, str_index(rest, ',')};
        buf_c(out, rest.p == r->docs ? "[" : ",");
        buf_json_string(out, one);
        rest = str_from(rest, one.len + 1);
    }
    buf_c(out, "]");
}

void last_error_json(const char *member, const char *code, const char *detail, bool *first,
                     struct buf *out)
{
    bool one = true;
    json_key(out, first, member);
    if (!code[0]) {
        buf_c(out, "null");
        return;
    }
    buf_c(out, "{");
    json_put_str(out, &one, "code", str_of(code));
    json_put_str(out, &one, "detail", str_of(detail));
    buf_c(out, "}");
}

void remote_json(const struct kf_remote_info *r, int64_t now_ms, struct buf *out)
{
    bool first = true;
    buf_c(out, "{");
    json_put_str(out, &first, "name", str_of(r->name));
    json_put_str(out, &first, "url", str_of(r->url));
    json_put_str(out, &first, "kind", str_of(r->kind));
    json_put_str(out, &first, "source", str_of(r->source));
    json_put_str(out, &first, "schedule", str_of(r->schedule));
    json_put_str(out, &first, "state", str_of(remote_state_name(r->state)));
    json_put_bool(out, &first, "hydrated", r->hydrated);
    json_key(out, &first, "pending");
    pending_json(&r->pending, now_ms, out);
    json_put_u64(out, &first, "confirmed_seq", r->confirmed_seq);
    json_put_time(out, &first, "confirmed", r->confirmed_ms);
    json_put_time(out, &first, "last_run", r->last_run_ms);
    json_put_time(out, &first, "next_run", r->next_run_ms);
    json_put_time(out, &first, "overdue_since", r->overdue_ms);
    json_put_u64(out, &first, "failures", r->failures);
    json_put_u64(out, &first, "set_aside", r->set_aside);
    last_error_json("last_error", r->last_code, r->last_error, &first, out);
    docs_json(r, &first, out);
    access_json(r, &first, out);
    buf_c(out, "}");
}

static void store_json(const struct kf_status *s, struct buf *out)
{
    char site[20];
    bool first = true;
    snprintf(site, sizeof site, "%016llx", (unsigned long long)s->site);
    buf_c(out, "{");
    json_put_str(out, &first, "state", str_of(kf_state_name(s->state)));
    json_put_str(out, &first, "reason", str_of(s->reason));
    json_put_str(out, &first, "level", str_of(kf_level_name(s->level)));
    json_put_str(out, &first, "site", str_of(site));
    json_put_u64(out, &first, "seq", s->seq);
    json_put_u64(out, &first, "docs", s->docs);
    json_put_u64(out, &first, "doc_bytes", s->doc_bytes);
    json_put_u64(out, &first, "streams", s->streams);
    json_put_u64(out, &first, "entries", s->entries);
    json_put_u64(out, &first, "entry_bytes", s->entry_bytes);
    json_put_u64(out, &first, "disk_bytes", s->disk_bytes);
    json_put_u64(out, &first, "used_bytes", s->used_bytes);
    json_put_u64(out, &first, "quota_bytes", s->quota_bytes);
    json_put_u64(out, &first, "disk_free", s->disk_free);
    json_put_u64(out, &first, "wal_bytes", s->wal_bytes);
    json_put_u64(out, &first, "cache_bytes", s->cache_bytes);
    json_put_u64(out, &first, "windows", s->windows);
    json_put_u64(out, &first, "window_bytes", s->window_bytes);
    json_put_u64(out, &first, "window_hits", s->window_hits);
    json_put_u64(out, &first, "window_misses", s->window_misses);
    json_put_u64(out, &first, "window_evictions", s->window_evictions);
    json_put_u64(out, &first, "appended", s->appended);
    json_put_u64(out, &first, "duplicates", s->duplicates);
    json_put_u64(out, &first, "searches", s->searches);
    json_put_u64(out, &first, "search_us", s->search_us);
    json_put_u64(out, &first, "erasures", s->erasures);
    json_put_u64(out, &first, "commits", s->commits);
    json_put_u64(out, &first, "flush_us", s->flush_us);
    json_put_u64(out, &first, "writes", s->writes);
    json_put_time(out, &first, "opened", s->opened_ms);
    buf_c(out, "}");
}

static void made_json(const struct kf_backup_made *m, struct buf *out)
{
    bool first = true;
    if (!m->at_ms) {
        buf_c(out, "null");
        return;
    }
    buf_c(out, "{");
    json_put_str(out, &first, "file", str_of(m->file));
    json_put_time(out, &first, "at", m->at_ms);
    json_put_u64(out, &first, "bytes", m->bytes);
    json_put_u64(out, &first, "docs", m->docs);
    json_put_u64(out, &first, "entries", m->entries);
    json_put_str(out, &first, "digest", str_of(m->digest));
    buf_c(out, "}");
}

static void drill_json(const struct kf_backup_drill *d, struct buf *out)
{
    bool first = true;
    if (!d->at_ms) {
        buf_c(out, "null");
        return;
    }
    buf_c(out, "{");
    json_put_str(out, &first, "file", str_of(d->file));
    json_put_time(out, &first, "at", d->at_ms);
    json_put_bool(out, &first, "good", d->good);
    json_put_bool(out, &first, "compared", d->compared);
    json_put_u64(out, &first, "docs", d->docs);
    json_put_str(out, &first, "digest", str_of(d->digest));
    last_error_json("error", d->code, d->error, &first, out);
    buf_c(out, "}");
}

static void backups_json(const struct kf_backups *b, struct buf *out)
{
    bool first = true;
    if (!b->on) {
        buf_c(out, "null");
        return;
    }
    buf_c(out, "{");
    json_key(out, &first, "last");
    made_json(&b->last, out);
    json_put_time(out, &first, "next", b->next_ms);
    json_put_time(out, &first, "overdue_since", b->overdue_ms);
    json_put_u64(out, &first, "failures", b->failures);
    last_error_json("last_error", b->last_code, b->last_error, &first, out);
    json_key(out, &first, "drill");
    drill_json(&b->drill, out);
    buf_c(out, "}");
}

static void work_status(struct api_call *c)
{
    struct kf_status s;
    struct kf_remote_list remotes = {0};
    int64_t now = env_wall_ms(c->api->o.env);
    bool first = true;
    c->rc = kf_status(c->store, &s, &c->err);
    if (c->rc == KF_OK)
        c->rc = kf_remotes(c->store, &remotes, &c->err);
    if (c->rc != KF_OK)
        return;
    buf_c(&c->out, "{");
    json_put_str(&c->out, &first, "space", c->match.space);
    json_put_time(&c->out, &first, "at", now);
    json_key(&c->out, &first, "pending");
    pending_json(&s.pending, now, &c->out);
    json_key(&c->out, &first, "store");
    store_json(&s, &c->out);
    json_key(&c->out, &first, "remotes");
    buf_c(&c->out, "[");
    for (size_t i = 0; i < remotes.count; i++) {
        if (i)
            buf_byte(&c->out, ',');
        remote_json(&remotes.items[i], now, &c->out);
    }
    buf_c(&c->out, "]");
    json_key(&c->out, &first, "backups");
    backups_json(&s.backups, &c->out);
    json_key(&c->out, &first, "tracked");
    if (s.state == KF_STATE_AWAY)
        buf_c(&c->out, "null");
    else
        c->rc = tracked_json(c, &c->err);
    buf_c(&c->out, "}");
    kf_remote_list_free(&remotes);
}

void space_status(struct api_call *c)
{
    call_work(c, work_status, call_answer_out);
}
