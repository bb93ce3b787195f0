/* Remotes: list, add, forget, run now, probe, what is pending, the log of runs,
 * what is set aside. */
#include "api/api_internal.h"

static void work_list(struct api_call *c)
{
    struct kf_remote_list list = {0};
    size_t limit, shown = 0, i = 0;
    str after;
    int64_t now = env_wall_ms(c->api->o.env);
    c->rc = query_page(c, &limit, &after, &c->err);
    if (c->rc == KF_OK)
        c->rc = kf_remotes(c->store, &list, &c->err);
    if (c->rc != KF_OK)
        return;
    while (i < list.count && after.p && str_cmp(str_of(list.items[i].name), after) <= 0)
        i++;
    buf_c(&c->out, "{\"items\":[");
    for (; i < list.count && shown < limit; i++, shown++) {
        if (shown)
            buf_byte(&c->out, ',');
        remote_json(&list.items[i], now, &c->out);
    }
    answer_next(&c->out, i < list.count, i ? str_of(list.items[i - 1].name) : (str){"", 0});
    kf_remote_list_free(&list);
}

void remote_list(struct api_call *c)
{
    call_work(c, work_list, call_answer_out);
}

static void work_get(struct api_call *c)
{
    struct kf_remote_list list = {0};
    c->rc = kf_remotes(c->store, &list, &c->err);
    if (c->rc != KF_OK)
        return;
    c->rc = err_set(&c->err, PROBLEM_UNKNOWN_REMOTE, "there is no remote \"%.*s\" in this space",
                    STR_ARGS(c->match.remote));
    for (size_t i = 0; i < list.count; i++)
        if (str_is(c->match.remote, list.items[i].name)) {
            remote_json(&list.items[i], env_wall_ms(c->api->o.env), &c->out);
            c->rc = KF_OK;
        }
    kf_remote_list_free(&list);
}

void remote_get(struct api_call *c)
{
    call_work(c, work_get, call_answer_out);
}

/* ------------------------------------------------------------------------------------------ add */

static kf_rc member_text(struct api_call *c, const struct json_node *n, const char *key,
                         const char **ret, struct kf_err *err)
{
    if (n->type != JSON_STRING)
        return err_set(err, PROBLEM_BAD_REQUEST, "%s must be a string", key);
    str text = json_text(n->raw, &c->arena);
    char *copy = text.p ? arena_dup(&c->arena, text) : NULL;
    if (!copy)
        return err_nomem(err);
    *ret = copy;
    return KF_OK;
}

static kf_rc member_duration(struct api_call *c, const struct json_node *n, const char *key,
                             uint64_t *ret, struct kf_err *err)
{
    const char *text = "";
    kf_rc rc = member_text(c, n, key, &text, err);
    if (rc == KF_OK && !duration_parse(str_of(text), ret))
        rc = err_set(err, PROBLEM_BAD_REQUEST, "%s must be a duration such as 30s or 1h", key);
    return rc;
}

/* The globs of `docs`, joined with commas as kf_remote_options wants them. */
static kf_rc member_docs(struct api_call *c, const struct json_node *n, const char **ret,
                         struct kf_err *err)
{
    struct buf b = BUF_INIT;
    kf_rc rc = KF_OK;
    if (n->type != JSON_ARRAY)
        return err_set(err, PROBLEM_BAD_REQUEST, "docs must be an array of patterns");
    for (const struct json_node *e = n->child; e && rc == KF_OK; e = e->next) {
        const char *one = "";
        rc = member_text(c, e, "docs", &one, err);
        if (rc == KF_OK && strchr(one, ','))
            rc = err_set(err, PROBLEM_BAD_REQUEST, "a pattern of docs cannot hold a comma");
        if (b.len)
            buf_byte(&b, ',');
        buf_c(&b, one);
    }
    if (rc == KF_OK && !(*ret = arena_dup(&c->arena, buf_view(&b))))
        rc = err_nomem(err);
    buf_release(&b);
    return rc;
}

static kf_rc member_flag(const struct json_node *n, const char *key, bool *ret, struct kf_err *err)
{
    if (n->type != JSON_TRUE && n->type != JSON_FALSE)
        return err_set(err, PROBLEM_BAD_REQUEST, "%s must be true or false", key);
    *ret = n->type == JSON_TRUE;
    return KF_OK;
}

/* Those of access.def; *ret_taken is whether it is one. */
static kf_rc take_access(struct api_call *c, str key, const struct json_node *n,
                         struct kf_remote_options *o, bool *ret_taken, struct kf_err *err)
{
    *ret_taken = true;
#define T(member, word, help) \
    if (str_is(key, word))    \
        return member_text(c, n, word, &o->member, err);
#define F(member, word, help) T(member, word, help)
#define S(member, word, help) T(member, word, help)
#define B(member, word, help) \
    if (str_is(key, word))    \
        return member_flag(n, word, &o->member, err);
#include "base/access.def"
#undef T
#undef F
#undef S
#undef B
    *ret_taken = false;
    return KF_OK;
}

static kf_rc take_member(struct api_call *c, const struct json_node *n, struct kf_remote_options *o,
                         struct kf_err *err)
{
    str key = json_text(n->name, &c->arena);
    uint64_t count;
    bool taken;
    if (!key.p)
        return err_nomem(err);
    if (str_is(key, "name"))
        return member_text(c, n, "name", &o->name, err);
    if (str_is(key, "url"))
        return member_text(c, n, "url", &o->url, err);
    if (str_is(key, "docs"))
        return member_docs(c, n, &o->docs, err);
    if (str_is(key, "every"))
        return member_duration(c, n, "every", &o->every_ms, err);
    if (str_is(key, "on_change"))
        return member_duration(c, n, "on_change", &o->on_change_ms, err);
    if (str_is(key, "manual"))
        return member_flag(n, "manual", &o->manual, err);
    if (str_is(key, "after")) {
        if (!json_u64(n, &count) || count < 1 || count > UINT32_MAX)
            return err_set(err, PROBLEM_BAD_REQUEST, "after must be a number of items");
        o->after = (uint32_t)count;
        return KF_OK;
    }
    kf_rc rc = take_access(c, key, n, o, &taken, err);
    return taken
               ? rc
               : err_set(err, PROBLEM_BAD_REQUEST,
                         "a remote has no member \"%.*s\"; it takes name, url, docs, every, after, "
                         "on_change, manual, allow_secrets, and of kind git branch, token_env, "
                         "token_file, "
                         "ssh_key_file, known_hosts_file, ca_file, insecure, public; encrypted "
                         "with key_file, key_env, old_key_file, old_key_env",
                         (int)(key.len < 40 ? key.len : 40), key.p);
}

/* As the last member of the remote that was written before. */
static void found_json(const struct kf_remote_found *found, struct buf *out)
{
    bool first = true;
    if (buf_ok(out, NULL) != KF_OK)
        return;
    out->len--;
    buf_c(out, ",\"found\":{");
    json_put_bool(out, &first, "there", found->there);
    json_put_u64(out, &first, "docs", found->docs);
    json_put_u64(out, &first, "bad", found->bad);
    if (found->readers_known)
        json_put_bool(out, &first, "public", found->is_public);
    buf_c(out, "}}");
}

static void work_add(struct api_call *c)
{
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    struct kf_remote_found found = {0};
    bool probe = false;
    struct json_node *root;
    c->rc = json_parse(buf_view(&c->body), NULL, &c->arena, &root, &c->err);
    if (c->rc != KF_OK)
        return;
    if (root->type != JSON_OBJECT) {
        c->rc = err_set(&c->err, PROBLEM_BAD_REQUEST, "send an object with name and url");
        return;
    }
    for (const struct json_node *n = root->child; n && c->rc == KF_OK; n = n->next)
        c->rc = take_member(c, n, &o, &c->err);
    if (c->rc == KF_OK && (!o.name || !o.url))
        c->rc = err_set(&c->err, PROBLEM_BAD_REQUEST, "send an object with name and url");
    if (c->rc == KF_OK)
        c->rc = query_flag(c, "probe", &probe, &c->err);
    if (c->rc == KF_OK && probe)
        c->rc = kf_remote_try(c->store, &o, &found, &c->err);
    if (c->rc == KF_OK)
        c->rc = kf_remote_add(c->store, &o, &c->err);
    if (c->rc != KF_OK)
        return;
    c->status = 201;
    c->match.remote = str_of(o.name);
    work_get(c);
    if (c->rc == KF_OK && probe)
        found_json(&found, &c->out);
}

void remote_add(struct api_call *c)
{
    call_work(c, work_add, call_answer_out);
}

static void work_delete(struct api_call *c)
{
    char *name = arena_dup(&c->arena, c->match.remote);
    c->rc = name ? kf_remote_remove(c->store, name, &c->err) : err_nomem(&c->err);
}

static void answer_done(struct api_call *c)
{
    if (c->rc != KF_OK)
        answer_problem(c, &c->err);
    else
        answer_empty(c, 204);
}

void remote_delete(struct api_call *c)
{
    call_work(c, work_delete, answer_done);
}

static void work_probe(struct api_call *c)
{
    char *name = arena_dup(&c->arena, c->match.remote);
    c->rc = name ? kf_remote_probe(c->store, name, &c->err) : err_nomem(&c->err);
    buf_c(&c->out, "{\"ok\":true}");
}

void remote_probe(struct api_call *c)
{
    call_work(c, work_probe, call_answer_out);
}

/* ------------------------------------------------------------------------------------------ run */

static void run_ended(struct api_call *c)
{
    if (c->wait.rc != KF_OK)
        answer_problem(c, &c->wait.err);
    else
        call_work(c, work_get, call_answer_out);
}

static void refused_at_once(struct remotes_wait *w)
{
    w->remotes = NULL;
}

/* Asks for a run and leaves it: a wait that is taken back. */
static void only_start(struct api_call *c)
{
    c->wait = (struct remotes_wait){
        .done = refused_at_once, .seq = store_seq(c->store), .on_end = true};
    remotes_wait(store_remotes(c->store), &c->wait, c->match.remote, c->timeout_ms);
    remotes_wait_cancel(&c->wait);
}

static void was_started(struct api_call *c)
{
    if (c->wait.rc != KF_OK) {
        answer_problem(c, &c->wait.err);
        return;
    }
    c->status = 202;
    call_work(c, work_get, call_answer_out);
}

void remote_run(struct api_call *c)
{
    bool start = false;
    if (query_timeout(c, &c->timeout_ms, &c->err) != KF_OK ||
        query_flag(c, "start", &start, &c->err) != KF_OK) {
        answer_problem(c, &c->err);
        return;
    }
    if (str_is(c->match.remote, "all") || str_index(c->match.remote, ',') < c->match.remote.len) {
        err_set(&c->err, PROBLEM_UNKNOWN_REMOTE, "a run is of one remote; ask for each of them");
        answer_problem(c, &c->err);
        return;
    }
    if (c->match.route == ROUTE_REMOTE_RETRY &&
        remotes_ask_again(store_remotes(c->store), c->match.remote, &c->err) != KF_OK) {
        answer_problem(c, &c->err);
        return;
    }
    if (start) {
        call_at_home(c, only_start, was_started);
        return;
    }
    c->wait = (struct remotes_wait){.seq = store_seq(c->store), .on_end = true};
    call_wait(c, c->match.remote, run_ended);
}

/* -------------------------------------------------------------------------------------- pending */

static void work_pending(struct api_call *c)
{
    struct kf_pending_list list = {0};
    size_t limit;
    str after;
    c->rc = query_page(c, &limit, &after, &c->err);
    if (c->rc != KF_OK)
        return;
    char *name = arena_dup(&c->arena, c->match.remote);
    char *from = after.p ? arena_dup(&c->arena, after) : NULL;
    if (!name || (after.p && !from)) {
        c->rc = err_nomem(&c->err);
        return;
    }
    c->rc = kf_pending(c->store, name, from, limit, &list, &c->err);
    if (c->rc != KF_OK)
        return;
    buf_c(&c->out, "{\"items\":[");
    for (size_t i = 0; i < list.count; i++) {
        const struct kf_pending_item *p = &list.items[i];
        bool first = true;
        buf_c(&c->out, i ? ",{" : "{");
        json_put_str(&c->out, &first, "name", str_of(p->name));
        json_put_u64(&c->out, &first, "version", p->version);
        json_put_u64(&c->out, &first, "size", p->size);
        json_put_time(&c->out, &first, "since", p->since_ms);
        json_put_bool(&c->out, &first, "deleted", p->deleted);
        buf_c(&c->out, "}");
    }
    answer_next(&c->out, list.more,
                list.count ? str_of(list.items[list.count - 1].name) : (str){"", 0});
    kf_pending_list_free(&list);
}

void remote_pending(struct api_call *c)
{
    call_work(c, work_pending, call_answer_out);
}

/* ----------------------------------------------------------------------------------------- runs */

/* files: NULL where they are not counted. */
static void sum_json(const char *key, uint64_t docs, uint64_t entries, const uint64_t *files,
                     uint64_t bytes, bool *first, struct buf *out)
{
    bool one = true;
    json_key(out, first, key);
    buf_c(out, "{");
    json_put_u64(out, &one, "docs", docs);
    json_put_u64(out, &one, "entries", entries);
    if (files)
        json_put_u64(out, &one, "files", *files);
    json_put_u64(out, &one, "bytes", bytes);
    buf_c(out, "}");
}

static void run_json(const struct kf_run *r, struct buf *out)
{
    bool first = true;
    buf_c(out, "{");
    json_put_u64(out, &first, "id", r->id);
    json_put_str(out, &first, "remote", str_of(r->remote));
    json_put_time(out, &first, "began", r->began_ms);
    json_put_time(out, &first, "ended", r->ended_ms);
    json_put_str(out, &first, "cause", str_of(r->cause));
    json_put_u64(out, &first, "times", r->times);
    json_put_u64(out, &first, "tries", r->tries);
    sum_json("pushed", r->pushed_docs, r->pushed_entries, &r->pushed_files, r->pushed_bytes, &first,
             out);
    sum_json("taken", r->taken_docs, r->taken_entries, NULL, r->taken_bytes, &first, out);
    json_put_u64(out, &first, "lost", r->lost);
    json_put_u64(out, &first, "bad", r->bad);
    json_put_u64(out, &first, "set_aside", r->aside);
    last_error_json("error", r->code, r->message, &first, out);
    buf_c(out, "}");
}

/* The cursor is the id of the last item, in digits. */
static kf_rc query_runs(struct api_call *c, size_t *ret_limit, uint64_t *ret_before,
                        struct kf_err *err)
{
    str after;
    kf_rc rc = query_page(c, ret_limit, &after, err);
    if (rc == KF_OK && after.p && (!str_to_u64(after, ret_before) || *ret_before == 0))
        rc = err_set(err, PROBLEM_BAD_FILTER, "this cursor is not one of the log of runs");
    return rc;
}

static void work_runs(struct api_call *c)
{
    struct kf_run_list list = {0};
    size_t limit;
    uint64_t before = 0;
    char *name = NULL;
    c->rc = query_runs(c, &limit, &before, &c->err);
    if (c->rc == KF_OK && c->match.remote.p && !(name = arena_dup(&c->arena, c->match.remote)))
        c->rc = err_nomem(&c->err);
    if (c->rc == KF_OK)
        c->rc = kf_runs(c->store, name, before, limit, &list, &c->err);
    if (c->rc != KF_OK)
        return;
    struct buf last = BUF_INIT;
    buf_c(&c->out, "{\"items\":[");
    for (size_t i = 0; i < list.count; i++) {
        if (i)
            buf_byte(&c->out, ',');
        run_json(&list.items[i], &c->out);
    }
    if (list.more)
        buf_u64(&last, list.items[list.count - 1].id);
    answer_next(&c->out, list.more, buf_view(&last));
    if (last.failed)
        c->rc = err_nomem(&c->err);
    buf_release(&last);
    kf_run_list_free(&list);
}

void remote_runs(struct api_call *c)
{
    call_work(c, work_runs, call_answer_out);
}

/* ------------------------------------------------------------------------------------ set aside */

static void aside_json(const struct kf_aside_item *a, struct buf *out)
{
    bool first = true;
    buf_c(out, "{");
    json_put_str(out, &first, "remote", str_of(a->remote));
    json_put_str(out, &first, "kind", str_of(a->kind));
    json_put_str(out, &first, "name", str_of(a->name));
    json_put_time(out, &first, "since", a->since_ms);
    json_put_str(out, &first, "code", str_of(a->code));
    json_put_str(out, &first, "reason", str_of(a->reason));
    buf_c(out, "}");
}

/* REMOTE/KIND/NAME: neither of the first two holds a slash. */
static kf_rc read_after(struct api_call *c, str cursor, struct kf_aside_item *ret,
                        struct kf_err *err)
{
    size_t one = str_index(cursor, '/'), two = str_index(str_from(cursor, one + 1), '/');
    str name = str_from(cursor, one + two + 2);
    if (!name.len)
        return err_set(err, PROBLEM_BAD_FILTER, "this cursor is not one of what is set aside");
    ret->remote = arena_dup(&c->arena, (str){cursor.p, one});
    ret->kind = arena_dup(&c->arena, (str){cursor.p + one + 1, two});
    ret->name = arena_dup(&c->arena, name);
    return ret->remote && ret->kind && ret->name ? KF_OK : err_nomem(err);
}

/* The name of the query and the remote of the path; NULL = all. */
static kf_rc aside_words(struct api_call *c, const char **ret_remote, const char **ret_name,
                         struct kf_err *err)
{
    str name = query_get(c, "name");
    *ret_remote = c->match.remote.p ? arena_dup(&c->arena, c->match.remote) : NULL;
    *ret_name = name.len ? arena_dup(&c->arena, name) : NULL;
    bool good = (*ret_remote || !c->match.remote.p) && (*ret_name || !name.len);
    return good ? KF_OK : err_nomem(err);
}

static void list_aside(struct api_call *c, const struct kf_aside_list *list)
{
    struct buf last = BUF_INIT;
    buf_c(&c->out, "{\"items\":[");
    for (size_t i = 0; i < list->count; i++) {
        if (i)
            buf_byte(&c->out, ',');
        aside_json(&list->items[i], &c->out);
    }
    if (list->more) {
        const struct kf_aside_item *a = &list->items[list->count - 1];
        buf_printf(&last, "%s/%s/%s", a->remote, a->kind, a->name);
    }
    answer_next(&c->out, list->more, buf_view(&last));
    if (last.failed)
        c->rc = err_nomem(&c->err);
    buf_release(&last);
}

static void work_aside(struct api_call *c)
{
    struct kf_aside_list list = {0};
    struct kf_aside_item from = {0};
    const char *remote = NULL, *name = NULL;
    size_t limit;
    str after;
    c->rc = query_page(c, &limit, &after, &c->err);
    if (c->rc == KF_OK)
        c->rc = aside_words(c, &remote, &name, &c->err);
    if (c->rc == KF_OK && after.p)
        c->rc = read_after(c, after, &from, &c->err);
    if (c->rc == KF_OK)
        c->rc = kf_aside(c->store, remote, name, after.p ? &from : NULL, limit, &list, &c->err);
    if (c->rc != KF_OK)
        return;
    list_aside(c, &list);
    kf_aside_list_free(&list);
}

void remote_aside(struct api_call *c)
{
    call_work(c, work_aside, call_answer_out);
}

static void work_drop(struct api_call *c)
{
    const char *remote = NULL, *name = NULL;
    c->rc = aside_words(c, &remote, &name, &c->err);
    if (c->rc == KF_OK)
        c->rc = kf_aside_drop(c->store, remote, name, &c->err);
}

void remote_drop(struct api_call *c)
{
    call_work(c, work_drop, answer_done);
}
