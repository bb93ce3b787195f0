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

/* A parameter for a call of keepfast.h; NULL when it is not there. */
static kf_rc query_text(struct api_call *c, const char *key, char **ret, struct kf_err *err)
{
    str given = query_get(c, key);
    *ret = NULL;
    if (!given.len)
        return KF_OK;
    if (str_index(given, '\0') < given.len)
        return err_set(err, PROBLEM_BAD_FILTER, "%s has a NUL byte: take it out", key);
    *ret = arena_dup(&c->arena, given);
    return *ret ? KF_OK : err_nomem(err);
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

static void list_json(const struct kf_doc_list *list, bool versions, struct buf *out)
{
    char number[24] = "";
    str last = {"", 0};
    buf_c(out, "{\"items\":[");
    for (size_t i = 0; i < list->count; i++) {
        if (i)
            buf_byte(out, ',');
        info_json(&list->items[i], versions, out);
    }
    if (list->count) {
        const struct kf_doc_info *d = &list->items[list->count - 1];
        snprintf(number, sizeof number, "%llu", (unsigned long long)d->version);
        last = versions ? str_of(number) : str_of(d->name);
    }
    answer_next(out, list->more, last);
}

/* A prefix without the `*` at its end; one that has none is a whole name. */
static str begin_of(str prefix, bool *ret_whole)
{
    *ret_whole = prefix.len == 0 || prefix.p[prefix.len - 1] != '*';
    return (str){prefix.p, prefix.len - !*ret_whole};
}

/* A beginning comes before what it begins. */
static int compare_prefixes(const void *a, const void *b)
{
    bool whole_a, whole_b;
    str x = begin_of(*(const str *)a, &whole_a), y = begin_of(*(const str *)b, &whole_b);
    int order = str_cmp(x, y);
    return order ? order : (int)whole_a - (int)whole_b;
}

/* What a token with prefixes may see of the names that begin with `wanted`, as prefixes of which
 * none begins another, sorted: their lists one after the other are the list. */
static kf_rc own_prefixes(struct api_call *c, str wanted, str **ret, size_t *ret_count)
{
    const struct token_scope *scope = &c->token->scope;
    str *p = arena_alloc(&c->arena, scope->prefix_count * sizeof *p);
    size_t n = 0, kept = 0;
    if (!p)
        return err_nomem(&c->err);
    for (size_t i = 0; i < scope->prefix_count; i++) {
        bool whole;
        str own = scope->prefixes[i], begin = begin_of(own, &whole);
        if (str_starts(begin, wanted)) {
            p[n++] = own;
        } else if (!whole && str_starts(wanted, begin)) {
            p[n].p = arena_printf(&c->arena, "%.*s*", STR_ARGS(wanted));
            if (!p[n].p)
                return err_nomem(&c->err);
            p[n++].len = wanted.len + 1;
        }
    }
    qsort(p, n, sizeof *p, compare_prefixes);
    for (size_t i = 0; i < n; i++) {
        bool whole = true;
        str last = begin_of(kept ? p[kept - 1] : STR(""), &whole);
        if (kept && (whole ? str_eq(last, p[i]) : str_starts(p[i], last)))
            continue;
        p[kept++] = p[i];
    }
    *ret = p;
    *ret_count = kept;
    return KF_OK;
}

/* Lists of the token's prefixes, one behind the other, until `limit` names are there; then only
 * whether there is one more. */
static void list_own(struct api_call *c, const char *wanted, const char *after, size_t limit)
{
    str *own = NULL, last = {"", 0};
    size_t count = 0, shown = 0;
    bool more = false;
    c->rc = own_prefixes(c, str_of(wanted), &own, &count);
    buf_c(&c->out, "{\"items\":[");
    for (size_t i = 0; c->rc == KF_OK && !more && i < count; i++) {
        struct kf_doc_list list = {0};
        bool whole;
        str begin = begin_of(own[i], &whole);
        char *prefix = arena_dup(&c->arena, begin);
        size_t room = shown < limit ? limit - shown : 1;
        c->rc = prefix ? kf_doc_list(c->store, prefix, after, whole ? 1 : room, &list, &c->err)
                       : err_nomem(&c->err);
        if (whole && list.count && !str_is(begin, list.items[0].name))
            list.count = 0;
        more = (shown == limit && list.count) || (list.more && !whole);
        for (size_t k = 0; shown < limit && k < list.count; k++, shown++) {
            if (shown)
                buf_byte(&c->out, ',');
            info_json(&list.items[k], false, &c->out);
            last = arena_str(&c->arena, str_of(list.items[k].name));
            if (!last.p)
                c->rc = err_nomem(&c->err);
        }
        kf_doc_list_free(&list);
    }
    if (c->rc == KF_OK)
        answer_next(&c->out, more, last);
}

static void list_docs(struct api_call *c)
{
    size_t limit;
    str after;
    struct kf_doc_list list = {0};
    c->rc = query_page(c, &limit, &after, &c->err);
    if (c->rc != KF_OK)
        return;
    str given = query_get(c, "prefix");
    if (str_index(given, '\0') < given.len) { /* the call below would take a part for the whole */
        c->rc = err_set(&c->err, PROBLEM_BAD_FILTER,
                        "prefix has a NUL byte, which no name contains: take it out");
        return;
    }
    char *prefix = arena_dup(&c->arena, given);
    char *from = after.p ? arena_dup(&c->arena, after) : NULL;
    if (!prefix || (after.p && !from)) {
        c->rc = err_nomem(&c->err);
        return;
    }
    if (c->token && c->token->scope.prefix_count) {
        list_own(c, prefix, from, limit);
        return;
    }
    c->rc = kf_doc_list(c->store, prefix, from, limit, &list, &c->err);
    if (c->rc == KF_OK)
        list_json(&list, false, &c->out);
    kf_doc_list_free(&list);
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
        list_json(&list, true, &c->out);
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

/* What a remote says may be of any document, and of places that a token for some names is not told
 * of. */
static void hide_remotes(const struct api_call *c, struct kf_err *err)
{
    bool some_names = c->token && c->token->scope.prefix_count;
    if (some_names && problem_find(err->code) == &problem_table[PROBLEM_LEVEL_UNAVAILABLE])
        err_set(err, PROBLEM_LEVEL_UNAVAILABLE,
                "a remote has not confirmed it in that time; it is safe here, and goes out later");
}

static void waited(struct api_call *c)
{
    struct remotes_wait *w = &c->wait;
    if (w->rc != KF_OK) {
        hide_remotes(c, &w->err);
        answer_header(c, "Keepfast-Ack", str_of(kf_level_name(store_level(c->store))));
        answer_problem(c, &w->err);
        return;
    }
    c->written.level = KF_LEVEL_REMOTE;
    answer_written(c);
}

static void wait_for_remotes(struct api_call *c, str names)
{
    bool ride = false;
    c->rc = query_flag(c, "ride", &ride, &c->err);
    once_begin(c);
    c->wait = (struct remotes_wait){.seq = store_seq(c->store), .doc = c->match.name, .ride = ride};
    call_wait(c, names, waited);
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
    str names = query_get(c, "wait");
    if (names.len)
        wait_for_remotes(c, names);
    else
        answer_written(c);
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
    str ack = query_get(c, "ack");
    bool ride;
    const char *own = kf_level_name(store_level(c->store));
    if (ack.len && !str_is(ack, "memory") && !str_is(ack, own))
        return err_set(err, PROBLEM_BAD_FILTER, "ack must be memory or %s", own);
    if (str_is(ack, "memory"))
        o->level = KF_LEVEL_MEMORY;
    if (query_get(c, "wait").len && o->level == KF_LEVEL_MEMORY)
        return err_set(err, PROBLEM_BAD_FILTER, "wait and ack=memory contradict each other");
    kf_rc rc = query_timeout(c, &c->timeout_ms, err);
    if (rc == KF_OK)
        rc = query_flag(c, "ride", &ride, err);
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
    if (own_prefixes(c, STR(""), &own, &count) != KF_OK)
        return err_nomem(err);
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
        str names = query_get(c, "wait");
        if (names.len) /* before the write: what is not asked rightly changes nothing */
            rc = remotes_known(store_remotes(c->store), names, &err);
        if (rc == KF_OK)
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
