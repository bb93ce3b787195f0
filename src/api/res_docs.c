/* Documents. Reads that are in memory are answered at once on the loop; others go to a worker.
 * Writes are checked here, ride in the store's next group, and come back to the loop, where they
 * may wait for remotes before they are answered. */
#include "api/api_internal.h"

#include "base/hooks.h"

/* ------------------------------------------------------------------------------------- reading */

bool etag_listed(str list, const char *etag)
{
    while (list.len) {
        str one = {list.p, str_index(list, ',')};
        list = str_from(list, one.len + 1);
        one = str_trim(one);
        if (str_starts(one, STR("W/")))
            one = str_from(one, 2);
        if (str_is(one, "*") || str_is(one, etag))
            return true;
    }
    return false;
}

static void answer_doc(struct api_call *c)
{
    const struct kf_doc *doc = &c->doc;
    if (doc->is_default) {
        answer_header(c, "Keepfast-Default", STR("true"));
    } else if (doc->etag[0]) { /* of what a place has kept nothing but the bytes may be known */
        /* Not without them: who writes on condition of the ETag would take its lack for none. */
        str etag = arena_str(&c->arena, str_of(doc->etag));
        char *version = arena_printf(&c->arena, "%llu", (unsigned long long)doc->version);
        if ((!etag.p || !version) && !KF_SABOTAGE("answer-without-etag")) {
            err_nomem(&c->err);
            answer_problem(c, &c->err);
            return;
        }
        answer_header(c, "ETag", etag);
        if (doc->version)
            answer_header(c, "Keepfast-Version", str_of(version));
    }
    if (doc->etag[0] && etag_listed(c->if_none_match, doc->etag))
        answer_empty(c, 304);
    else
        answer_json(c, 200, str_make(doc->body, doc->len));
}

/* How long a look at the past of a remote may take; 0 = its own. */
static kf_rc past_timeout(struct api_call *c, uint32_t *ret_ms, struct kf_err *err)
{
    *ret_ms = 0;
    return query_get(c, "timeout").len ? query_timeout(c, ret_ms, err) : KF_OK;
}

/* A version that a remote has. */
static void read_past(struct api_call *c, const char *name)
{
    char *remote = NULL, *id = NULL;
    uint32_t timeout_ms = 0;
    c->rc = query_text(c, "remote", &remote, &c->err);
    if (c->rc == KF_OK)
        c->rc = query_text(c, "version", &id, &c->err);
    if (c->rc == KF_OK && !id)
        c->rc = err_set(&c->err, PROBLEM_BAD_FILTER,
                        "remote wants version beside it: an id of its list of versions");
    if (c->rc == KF_OK)
        c->rc = past_timeout(c, &timeout_ms, &c->err);
    if (c->rc == KF_OK)
        c->rc = kf_remote_version(c->store, remote, name, id, timeout_ms, &c->doc, &c->err);
}

static void read_doc(struct api_call *c)
{
    char *name = arena_dup(&c->arena, c->match.name);
    uint64_t version = 0;
    if (!name) {
        c->rc = err_nomem(&c->err);
        return;
    }
    if (query_get(c, "remote").len) {
        read_past(c, name);
        return;
    }
    str wanted = query_get(c, "version");
    if (wanted.len && (!str_to_u64(wanted, &version) || version == 0)) {
        c->rc = err_set(&c->err, PROBLEM_BAD_FILTER, "version must be a number, from 1");
        return;
    }
    c->rc = version ? kf_doc_get_version(c->store, name, version, &c->doc, &c->err)
                    : kf_doc_get(c->store, name, &c->doc, &c->err);
}

static void doc_was_read(struct api_call *c)
{
    if (c->rc != KF_OK) {
        answer_problem(c, &c->err);
        return;
    }
    answer_doc(c);
}

void doc_get(struct api_call *c)
{
    if (c->match.query_count == 0 &&
        doc_peek(store_docs(c->store), c->match.name, &c->doc) == KF_OK) {
        answer_doc(c);
        return;
    }
    if (query_get(c, "remote").len)
        call_look_back(c, read_doc, doc_was_read);
    else
        call_work(c, read_doc, doc_was_read);
}

static void info_json(const struct kf_doc_info *d, bool versions, struct buf *out)
{
    bool first = true;
    buf_c(out, "{");
    if (!versions)
        json_put_str(out, &first, "name", str_of(d->name));
    json_put_u64(out, &first, "version", d->version);
    json_put_str(out, &first, "etag", str_of(d->etag));
    json_put_u64(out, &first, "size", d->size);
    json_put_time(out, &first, "at", d->at_ms);
    if (versions) {
        json_put_str(out, &first, "kind", str_of(d->kind));
        json_put_bool(out, &first, "deleted", d->deleted);
        json_put_bool(out, &first, "current", d->current);
    }
    buf_c(out, "}");
}

static void versions_json(const struct kf_doc_list *list, struct buf *out)
{
    char last[24] = "";
    buf_c(out, "{\"items\":[");
    for (size_t i = 0; i < list->count; i++) {
        if (i)
            buf_byte(out, ',');
        info_json(&list->items[i], true, out);
    }
    if (list->count)
        snprintf(last, sizeof last, "%llu",
                 (unsigned long long)list->items[list->count - 1].version);
    answer_next(out, list->more, str_of(last));
}

static kf_rc docs_page(struct api_call *c, const struct own_ask *ask, struct own_got *ret)
{
    struct kf_doc_list list = {0};
    kf_rc rc = kf_doc_list(c->store, ask->prefix, ask->after, own_room(ask), &list, &c->err);
    if (rc == KF_OK) {
        *ret = (struct own_got){.shown = list.count, .more = list.more};
        own_cut(ask, list.count ? list.items[0].name : "", ret);
        for (size_t i = 0; i < ret->shown; i++) {
            if (ask->shown + i)
                buf_byte(&c->out, ',');
            info_json(&list.items[i], false, &c->out);
        }
        rc = own_last(c, ret->shown ? list.items[ret->shown - 1].name : "", ret);
    }
    kf_doc_list_free(&list);
    return rc;
}

static void list_docs(struct api_call *c)
{
    own_list(c, docs_page);
}

void doc_list(struct api_call *c)
{
    call_work(c, list_docs, call_answer_out);
}

static void past_json(const struct kf_remote_version *v, struct buf *out)
{
    bool first = true;
    buf_c(out, "{");
    json_put_str(out, &first, "id", str_of(v->id));
    json_key(out, &first, "version");
    if (v->version)
        buf_u64(out, v->version);
    else
        buf_c(out, "null");
    json_key(out, &first, "etag");
    if (v->etag[0])
        buf_json_string(out, str_of(v->etag));
    else
        buf_c(out, "null");
    json_put_u64(out, &first, "size", v->size);
    json_put_time(out, &first, "at", v->at_ms);
    json_put_str(out, &first, "author", str_of(v->author));
    json_put_str(out, &first, "site", str_of(v->site));
    json_put_bool(out, &first, "by_hand", v->by_hand);
    json_put_bool(out, &first, "deleted", v->deleted);
    json_put_bool(out, &first, "current", v->current);
    last_error_json("error", v->code, v->reason, &first, out);
    buf_c(out, "}");
}

static void past_list_json(const struct kf_remote_version_list *list, struct buf *out)
{
    buf_c(out, "{\"items\":[");
    for (size_t i = 0; i < list->count; i++) {
        if (i)
            buf_byte(out, ',');
        past_json(&list->items[i], out);
    }
    answer_next(out, list->more, str_of(list->count ? list->items[list->count - 1].id : ""));
}

static void list_past(struct api_call *c, str after, size_t limit)
{
    struct kf_remote_version_list list = {0};
    char *remote = NULL, *name = arena_dup(&c->arena, c->match.name);
    char *id = arena_dup(&c->arena, after);
    uint32_t timeout_ms = 0;
    c->rc = name && id ? query_text(c, "remote", &remote, &c->err) : err_nomem(&c->err);
    if (c->rc == KF_OK)
        c->rc = past_timeout(c, &timeout_ms, &c->err);
    if (c->rc == KF_OK)
        c->rc = kf_remote_versions(c->store, remote, name, id, limit, timeout_ms, &list, &c->err);
    if (c->rc == KF_OK)
        past_list_json(&list, &c->out);
    kf_remote_version_list_free(&list);
}

static void list_versions(struct api_call *c)
{
    size_t limit;
    str after;
    uint64_t before = 0;
    struct kf_doc_list list = {0};
    c->rc = query_page(c, &limit, &after, &c->err);
    if (c->rc != KF_OK)
        return;
    if (query_get(c, "remote").len) {
        list_past(c, after, limit);
        return;
    }
    if (after.p && !str_to_u64(after, &before)) {
        c->rc = err_set(&c->err, PROBLEM_BAD_FILTER, "the cursor is not one of this list");
        return;
    }
    char *name = arena_dup(&c->arena, c->match.name);
    c->rc = name ? kf_doc_versions(c->store, name, before, limit, &list, &c->err)
                 : err_nomem(&c->err);
    if (c->rc == KF_OK)
        versions_json(&list, &c->out);
    kf_doc_list_free(&list);
}

void doc_versions(struct api_call *c)
{
    if (query_get(c, "remote").len)
        call_look_back(c, list_versions, call_answer_out);
    else
        call_work(c, list_versions, call_answer_out);
}

static void diff_doc(struct api_call *c)
{
    uint64_t from = 0, to = 0;
    struct kf_bytes patch = {0};
    str f = query_get(c, "from"), t = query_get(c, "to");
    char *name = arena_dup(&c->arena, c->match.name);
    if ((f.len && !str_to_u64(f, &from)) || (t.len && !str_to_u64(t, &to))) {
        c->rc = err_set(&c->err, PROBLEM_BAD_FILTER, "from and to must be version numbers");
        return;
    }
    c->rc = name ? kf_doc_diff(c->store, name, from, to, &patch, &c->err) : err_nomem(&c->err);
    if (c->rc == KF_OK)
        buf_add(&c->out, patch.p, patch.len);
    kf_bytes_free(&patch);
}

static void diff_done(struct api_call *c)
{
    if (c->rc == KF_OK)
        c->rc = buf_ok(&c->out, &c->err);
    if (c->rc != KF_OK)
        answer_problem(c, &c->err);
    else
        answer_bytes(c, 200, "application/json-patch+json", buf_view(&c->out));
}

void doc_diff(struct api_call *c)
{
    call_work(c, diff_doc, diff_done);
}

/* ------------------------------------------------------------------------------------- writing */

static void answer_written(struct api_call *c)
{
    struct kf_written w = c->written;
    str etag = arena_str(&c->arena, str_of(w.etag));
    if (!etag.p) {
        err_nomem(&c->err);
        answer_problem(c, &c->err);
        return;
    }
    if (etag.len) /* a deletion has none */
        answer_header(c, "ETag", etag);
    answer_header(c, "Keepfast-Ack", str_of(kf_level_name(w.level)));
    if (w.replayed)
        answer_header(c, "Idempotent-Replay", STR("true"));
    if (c->method == API_DELETE) {
        answer_empty(c, 204);
        return;
    }
    bool first = true;
    buf_c(&c->out, "{");
    if (c->match.name.len)
        json_put_str(&c->out, &first, "name", c->match.name);
    json_put_u64(&c->out, &first, "version", w.version);
    json_put_str(&c->out, &first, "etag", etag);
    json_put_bool(&c->out, &first, "created", w.created);
    json_put_bool(&c->out, &first, "unchanged", w.unchanged);
    json_put_bool(&c->out, &first, "replayed", w.replayed);
    json_put_str(&c->out, &first, "ack", str_of(kf_level_name(w.level)));
    buf_c(&c->out, "}");
    c->status = c->method == API_PUT && w.created && !w.replayed ? 201 : 200;
    call_answer_out(c);
}

/* On the loop, with the result. */
static void write_back(struct api_call *c)
{
    if (!call_end_work(c))
        return;
    if (c->rc != KF_OK) {
        answer_problem(c, &c->err);
        return;
    }
    write_confirm(c, c->match.name, answer_written);
}

static void write_back_msg(struct loop_msg *m)
{
    write_back((struct api_call *)((char *)m - offsetof(struct api_call, msg)));
}

/* On the thread that leads. What is told is taken here: of a write of level memory the group goes
 * on, and may be applied again or fail while its answer is on the way. */
static void write_done(struct doc_write *w)
{
    struct api_call *c = w->ctx;
    c->rc = w->write.rc;
    if (c->rc != KF_OK)
        c->err = w->write.err;
    c->written = w->written;
    c->write = NULL;
    doc_write_free(w);
    if (loop_is_own_thread(c->api->o.loop)) {
        write_back(c);
    } else {
        c->msg = (struct loop_msg){.run = write_back_msg};
        loop_post(c->api->o.loop, &c->msg);
    }
}

/* Options of a write from headers and parameters. Strings are NUL-terminated copies in the arena.
 */
static kf_rc write_options(struct api_call *c, struct kf_write_options *o, struct kf_err *err)
{
    kf_rc rc = write_level(c, &o->level, err);
    if (rc != KF_OK)
        return rc;
    if (c->if_none_match.p && !str_is(c->if_none_match, "*"))
        return err_set(err, PROBLEM_BAD_REQUEST, "If-None-Match of a write can only be *");
    if (c->if_match.p && !(o->if_match = arena_dup(&c->arena, c->if_match)))
        return err_nomem(err);
    if (c->if_none_match.p)
        o->if_none_match = "*";
    if (c->idempotency_key.p && !(o->idempotency_key = arena_dup(&c->arena, c->idempotency_key)))
        return err_nomem(err);
    return KF_OK;
}

/* A token for some names has keys of its own: it may neither find out nor take those of names that
 * it does not know of. Tokens for the same names share them: what one has written may be repeated
 * with the next. */
static kf_rc whose_keys(struct api_call *c, struct kf_err *err)
{
    struct hash_state state;
    struct hash hash;
    char hex[HASH_HEX + 1];
    str *own = NULL;
    size_t count = 0;
    memset(c->once_of, 0, sizeof c->once_of);
    if (!c->idempotency_key.p || !c->token || !c->token->scope.prefix_count)
        return KF_OK;
    kf_rc rc = own_prefixes(c, STR(""), &own, &count, err);
    if (rc != KF_OK)
        return rc;
    hash_begin(&state);
    for (size_t i = 0; i < count; i++) {
        hash_add(&state, own[i]);
        hash_add(&state, str_make("", 1)); /* in no name */
    }
    hash_end(&state, &hash);
    hash_hex(&hash, hex);
    memcpy(c->once_of, hex, DOC_ONCE_LEN);
    return KF_OK;
}

static kf_rc take_key(struct api_call *c, struct kf_err *err)
{
    kf_rc rc = whose_keys(c, err);
    return rc == KF_OK ? once_check(c, err) : rc;
}

static void submit(struct api_call *c, kf_verb verb, str body, uint64_t version)
{
    struct kf_write w = KF_WRITE_INIT;
    struct kf_err err = KF_ERR_INIT;
    char *name = arena_dup(&c->arena, c->match.name);
    kf_rc rc = name ? write_options(c, &w.options, &err) : err_nomem(&err);
    if (rc == KF_OK)
        rc = take_key(c, &err);
    if (rc == KF_OK) {
        w.verb = verb;
        w.name = name;
        w.body = body.p;
        w.len = body.len;
        w.version = version;
        rc = doc_write_new(store_docs(c->store), &w, &c->write, &err);
    }
    if (rc != KF_OK) {
        answer_problem(c, &err);
        return;
    }
    memcpy(c->write->once_of, c->once_of, sizeof c->once_of);
    call_begin_work(c);
    doc_write_submit(c->write, write_done, c);
}

void doc_write(struct api_call *c)
{
    kf_verb verb = c->method == API_PUT ? KF_PUT : c->method == API_PATCH ? KF_PATCH : KF_DELETE;
    submit(c, verb, buf_view(&c->body), 0);
}

/* What a revert is to: a version kept here, or one that a remote has. */
struct revert {
    uint64_t version;
    char *remote, *id;
};

/* False: the request is none, and that was answered. */
static bool read_revert(struct api_call *c, struct revert *ret)
{
    struct json_node *root;
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = json_parse(buf_view(&c->body), NULL, &c->arena, &root, &err);
    const struct json_node *version = rc == KF_OK ? json_member(root, "version") : NULL;
    const struct json_node *remote = rc == KF_OK ? json_member(root, "remote") : NULL;
    bool here = version && !remote && root->count == 1 && json_u64(version, &ret->version) &&
                ret->version > 0;
    bool there = version && remote && root->count == 2 && version->type == JSON_STRING &&
                 remote->type == JSON_STRING;
    if (there) {
        str id = json_text(version->raw, &c->arena), name = json_text(remote->raw, &c->arena);
        ret->id = id.p ? arena_dup(&c->arena, id) : NULL;
        ret->remote = name.p ? arena_dup(&c->arena, name) : NULL;
        if (!ret->id || !ret->remote)
            rc = err_nomem(&err);
    } else if (rc == KF_OK && !here) {
        rc = err_set(&err, PROBLEM_BAD_REQUEST,
                     "send {\"version\": N} with the number of a kept version, or {\"remote\": "
                     "NAME, \"version\": ID} with one of a remote");
    }
    if (rc != KF_OK)
        answer_problem(c, &err);
    return rc == KF_OK;
}

static void fetch_past(struct api_call *c)
{
    char *name = arena_dup(&c->arena, c->match.name);
    c->rc = name
                ? kf_remote_version(c->store, c->past_remote, name, c->past_id, 0, &c->doc, &c->err)
                : err_nomem(&c->err);
}

static void past_was_fetched(struct api_call *c)
{
    if (c->rc != KF_OK)
        answer_problem(c, &c->err);
    else
        submit(c, KF_PUT, str_make(c->doc.body, c->doc.len), 0);
}

void doc_revert(struct api_call *c)
{
    struct revert r = {0};
    if (!read_revert(c, &r))
        return;
    if (!r.remote) {
        submit(c, KF_REVERT, (str){NULL, 0}, r.version);
        return;
    }
    if (take_key(c, &c->err) != KF_OK) {
        answer_problem(c, &c->err);
        return;
    }
    once_begin(c);
    c->past_remote = r.remote;
    c->past_id = r.id;
    call_look_back(c, fetch_past, past_was_fetched);
}
