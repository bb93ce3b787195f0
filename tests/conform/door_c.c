/* The C door of the conformance test (test_doors.py): calls of keepfast.h, asked for line by line.
 *
 *     stdin    VERB TAB key=HEX TAB key=HEX …
 *     stdout   key=HEX TAB key=HEX … (a line for each)
 *
 * Values are hex, so that names and bodies hold what they like. Every answer has `code` ("" =
 * KF_OK) and `exit`; the rest is what the call gave. Only the public header is used. */
#include <keepfast.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 40, ENTRIES_MAX = 8, ITEM_MAX = 8192 };

struct field {
    const char *key;
    char *value;
    size_t len;
};
static struct field fields[FIELDS_MAX];
static size_t field_count;
static kf_store *store;

/* ------------------------------------------------------------------------------------ requests */

static int nibble(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* In place: the text is twice as long as what it stands for. */
static size_t unhex(char *text)
{
    size_t n = 0;
    for (; text[2 * n] && text[2 * n + 1]; n++)
        text[n] = (char)(nibble(text[2 * n]) * 16 + nibble(text[2 * n + 1]));
    text[n] = '\0';
    return n;
}

static const char *get(const char *key)
{
    for (size_t i = 0; i < field_count; i++)
        if (strcmp(fields[i].key, key) == 0)
            return fields[i].value;
    return NULL;
}

static const char *get_bytes(const char *key, size_t *ret_len)
{
    *ret_len = 0;
    for (size_t i = 0; i < field_count; i++)
        if (strcmp(fields[i].key, key) == 0) {
            *ret_len = fields[i].len;
            return fields[i].value;
        }
    return NULL;
}

static uint64_t get_number(const char *key)
{
    const char *text = get(key);
    return text ? strtoull(text, NULL, 10) : 0;
}

/* Takes a line apart. False when it is none of ours. */
static bool read_request(char *line, char **ret_verb)
{
    char *rest = line, *word;
    field_count = 0;
    line[strcspn(line, "\n")] = '\0';
    *ret_verb = strsep(&rest, "\t");
    while ((word = strsep(&rest, "\t")) != NULL) {
        char *value = strchr(word, '=');
        if (!value || field_count == FIELDS_MAX)
            return false;
        *value++ = '\0';
        size_t len = unhex(value);
        fields[field_count++] = (struct field){word, value, len};
    }
    return true;
}

/* ------------------------------------------------------------------------------------- answers */

static void say_bytes(const char *key, const void *p, size_t len)
{
    const unsigned char *bytes = p;
    printf("\t%s=", key);
    for (size_t i = 0; i < len; i++)
        printf("%02x", bytes[i]);
}

static void say(const char *key, const char *text)
{
    say_bytes(key, text, strlen(text));
}

static void say_number(const char *key, uint64_t n)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)n);
    say(key, text);
}

static void say_result(kf_rc rc, const struct kf_err *err)
{
    printf("rc=");
    for (const char *c = kf_rc_name(rc); *c; c++)
        printf("%02x", (unsigned char)*c);
    say("code", rc == KF_OK ? "" : err->code);
    say_number("exit", rc == KF_OK ? 0 : (uint64_t)err->exit_code);
    if (rc == KF_OK)
        return;
    say("detail", err->detail);
    if (err->offset >= 0)
        say_number("offset", (uint64_t)err->offset);
    if (err->etag[0]) {
        say("etag", err->etag);
        say_number("version", err->version);
    }
}

/* --------------------------------------------------------------------------------------- verbs */

static void do_open(void)
{
    struct kf_options o = KF_OPTIONS_INIT;
    struct kf_err err = KF_ERR_INIT;
    o.space = get("space");
    o.config = get("config");
    o.socket = get("socket");
    o.start_empty = get("start_empty") != NULL;
    o.must_exist = get("must_exist") != NULL;
    say_result(kf_open(get("path"), &o, &store, &err), &err);
}

static void do_close(void)
{
    struct kf_err err = KF_ERR_INIT;
    say_result(kf_close(&store, &err), &err);
}

static void write_options(struct kf_write_options *o)
{
    const char *level = get("ack");
    o->if_match = get("if_match");
    o->if_none_match = get("if_none_match");
    o->force = get("force") != NULL;
    o->level = level && strcmp(level, "memory") == 0 ? KF_LEVEL_MEMORY : KF_LEVEL_DEFAULT;
    o->idempotency_key = get("key");
    o->wait = get("wait");
    o->timeout_ms = (uint32_t)get_number("timeout_ms");
}

static void say_written(const struct kf_written *w)
{
    say_number("version", w->version);
    say("etag", w->etag);
    say_number("created", w->created);
    say_number("unchanged", w->unchanged);
    say_number("replayed", w->replayed);
    say("ack", kf_level_name(w->level));
}

static void do_write(const char *verb)
{
    struct kf_write_options o = KF_WRITE_OPTIONS_INIT;
    struct kf_written w = {0};
    struct kf_err err = KF_ERR_INIT;
    const char *name = get("name");
    size_t len;
    const char *body = get_bytes("body", &len);
    kf_rc rc;
    write_options(&o);
    if (strcmp(verb, "put") == 0)
        rc = kf_doc_put(store, name, body, len, &o, &w, &err);
    else if (strcmp(verb, "patch") == 0)
        rc = kf_doc_patch(store, name, body, len, &o, &w, &err);
    else if (strcmp(verb, "rm") == 0)
        rc = kf_doc_delete(store, name, &o, &w, &err);
    else
        rc = kf_doc_revert(store, name, get_number("version"), &o, &w, &err);
    say_result(rc, &err);
    if (rc == KF_OK)
        say_written(&w);
}

static void do_get(void)
{
    struct kf_doc doc = {0};
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = get("version")
                   ? kf_doc_get_version(store, get("name"), get_number("version"), &doc, &err)
                   : kf_doc_get(store, get("name"), &doc, &err);
    say_result(rc, &err);
    if (rc != KF_OK)
        return;
    say_bytes("body", doc.body, doc.len);
    say_number("default", doc.is_default);
    say("etag", doc.etag);
    kf_doc_release(&doc);
}

static void say_list(const struct kf_doc_list *list, bool versions)
{
    say_number("count", list->count);
    say_number("more", list->more);
    for (size_t i = 0; i < list->count; i++) {
        const struct kf_doc_info *d = &list->items[i];
        char text[2048];
        snprintf(text, sizeof text, "%s %llu %zu %s%s%s", versions ? "" : d->name,
                 (unsigned long long)d->version, d->size, versions ? d->kind : "",
                 versions && d->deleted ? " deleted" : "",
                 versions && d->current ? " current" : "");
        say("item", text);
    }
}

static void do_list(bool versions)
{
    struct kf_doc_list list = {0};
    struct kf_err err = KF_ERR_INIT;
    size_t limit = get("limit") ? get_number("limit") : 100;
    kf_rc rc = versions
                   ? kf_doc_versions(store, get("name"), get_number("before"), limit, &list, &err)
                   : kf_doc_list(store, get("prefix") ? get("prefix") : "", get("after"), limit,
                                 &list, &err);
    say_result(rc, &err);
    if (rc == KF_OK)
        say_list(&list, versions);
    kf_doc_list_free(&list);
}

static void do_diff(void)
{
    struct kf_bytes patch = {0};
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_doc_diff(store, get("name"), get_number("from"), get_number("to"), &patch, &err);
    say_result(rc, &err);
    if (rc == KF_OK)
        say_bytes("body", patch.p, patch.len);
    kf_bytes_free(&patch);
}

static void do_status(void)
{
    struct kf_status s;
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_status(store, &s, &err);
    say_result(rc, &err);
    if (rc != KF_OK)
        return;
    say("state", kf_state_name(s.state));
    say_number("docs", s.docs);
    say_number("doc_bytes", s.doc_bytes);
    say_number("pending", s.pending.count);
}

static void do_remotes(void)
{
    struct kf_remote_list list = {0};
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_remotes(store, &list, &err);
    say_result(rc, &err);
    for (size_t i = 0; rc == KF_OK && i < list.count; i++) {
        const struct kf_remote_info *r = &list.items[i];
        char text[2048];
        snprintf(text, sizeof text, "%s %s %s %s %llu", r->name, r->kind, r->source, r->schedule,
                 (unsigned long long)r->pending.count);
        say("item", text);
    }
    kf_remote_list_free(&list);
}

static void do_remote(const char *verb)
{
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc;
    o.name = get("name");
    o.url = get("url");
    o.docs = get("docs");
    o.every_ms = get_number("every_ms");
    o.after = (uint32_t)get_number("after_items");
    o.manual = get("manual") != NULL;
    if (strcmp(verb, "remote-add") == 0)
        rc = kf_remote_add(store, &o, &err);
    else if (strcmp(verb, "remote-rm") == 0)
        rc = kf_remote_remove(store, o.name, &err);
    else if (strcmp(verb, "remote-probe") == 0)
        rc = kf_remote_probe(store, o.name, &err);
    else
        rc = kf_sync(store, o.name, (uint32_t)get_number("timeout_ms"), &err);
    say_result(rc, &err);
}

static void do_pending(void)
{
    struct kf_pending_list list = {0};
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_pending(store, get("name"), NULL, 100, &list, &err);
    say_result(rc, &err);
    for (size_t i = 0; rc == KF_OK && i < list.count; i++) {
        char text[2048];
        snprintf(text, sizeof text, "%s %llu %llu%s", list.items[i].name,
                 (unsigned long long)list.items[i].version, (unsigned long long)list.items[i].size,
                 list.items[i].deleted ? " deleted" : "");
        say("item", text);
    }
    kf_pending_list_free(&list);
}

static void do_runs(void)
{
    struct kf_run_list list = {0};
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_runs(store, get("name"), 0, 100, &list, &err);
    say_result(rc, &err);
    for (size_t i = 0; rc == KF_OK && i < list.count; i++) {
        char text[256];
        const struct kf_run *r = &list.items[i];
        snprintf(text, sizeof text, "%s %s %llu %llu %llu %s", r->remote, r->cause,
                 (unsigned long long)r->pushed_docs, (unsigned long long)r->pushed_bytes,
                 (unsigned long long)r->taken_docs, *r->code ? r->code : "good");
        say("item", text);
    }
    kf_run_list_free(&list);
}

static void do_aside(const char *verb)
{
    struct kf_aside_list list = {0};
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc;
    if (strcmp(verb, "aside-drop") == 0)
        rc = kf_aside_drop(store, get("remote"), get("name"), &err);
    else if (strcmp(verb, "aside-retry") == 0)
        rc = kf_aside_retry(store, get("remote"), 3000, &err);
    else
        rc = kf_aside(store, get("remote"), get("name"), NULL, 100, &list, &err);
    say_result(rc, &err);
    for (size_t i = 0; rc == KF_OK && i < list.count; i++) {
        char text[1200];
        const struct kf_aside_item *a = &list.items[i];
        snprintf(text, sizeof text, "%s %s %s %s", a->remote, a->kind, a->name, a->code);
        say("item", text);
    }
    kf_aside_list_free(&list);
}

static void do_move(const char *verb)
{
    struct kf_err err = KF_ERR_INIT;
    bool back = strcmp(verb, "restore") == 0;
    struct kf_backup_options backup = KF_BACKUP_OPTIONS_INIT;
    struct kf_restore_options restore = KF_RESTORE_OPTIONS_INIT;
    backup.pending_to = get("pending");
    backup.key_file = restore.key_file = get("key_file");
    restore.replace = get("replace") != NULL;
    kf_rc rc = back ? kf_restore(store, get("file"), &restore, &err)
                    : kf_backup(store, get("file"), &backup, &err);
    say_result(rc, &err);
}

static void do_verify(void)
{
    struct kf_verified v = {0};
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_verify(store, get("deep") != NULL, NULL, NULL, &v, &err);
    say_result(rc, &err);
    say_number("docs", v.docs);
    say_number("versions", v.versions);
    say_number("bytes", v.bytes);
    say_number("damaged", v.damaged);
    say_number("repaired", v.repaired);
    kf_bytes_free(&v.report);
}

static void do_digest(void)
{
    char hex[65] = "";
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_digest(store, hex, &err);
    say_result(rc, &err);
    say("digest", hex);
}

static void do_doctor(void)
{
    struct kf_finding_list list = {0};
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_doctor(store, &list, &err);
    say_result(rc, &err);
    for (size_t i = 0; i < list.count; i++) {
        const struct kf_finding *f = &list.items[i];
        char text[200];
        snprintf(text, sizeof text, "%s %s %s", f->code, kf_finding_level_name(f->level),
                 f->remote);
        if (!f->of_machine)
            say("item", text);
    }
    kf_finding_list_free(&list);
}

/* ------------------------------------------------------------------------------------- streams */

/* The fields of an entry, in any order but for its body, which ends it. Those that are there. */
static size_t read_entries(struct kf_entry_new entries[ENTRIES_MAX])
{
    size_t count = 0;
    struct kf_entry_new e = KF_ENTRY_NEW_INIT;
    for (size_t i = 0; i < field_count && count < ENTRIES_MAX; i++) {
        const struct field *f = &fields[i];
        if (strcmp(f->key, "id") == 0) {
            e.id = f->value;
        } else if (strcmp(f->key, "kind") == 0) {
            e.kind = f->value;
        } else if (strcmp(f->key, "at") == 0) {
            e.at_ms = strtoll(f->value, NULL, 10);
        } else if (strcmp(f->key, "attach") == 0) {
            e.attach = f->value;
            e.attach_len = f->len;
        } else if (strcmp(f->key, "body") == 0) {
            e.body = f->value;
            e.len = f->len;
            entries[count++] = e;
            e = (struct kf_entry_new)KF_ENTRY_NEW_INIT;
        }
    }
    return count;
}

static void do_append(void)
{
    struct kf_entry_new entries[ENTRIES_MAX];
    struct kf_appended done[ENTRIES_MAX];
    struct kf_append_options o = KF_APPEND_OPTIONS_INIT;
    struct kf_err err = KF_ERR_INIT;
    uint64_t held = 0;
    kf_level level = KF_LEVEL_DEFAULT;
    size_t count = read_entries(entries);
    o.wait = get("wait");
    o.timeout_ms = (uint32_t)get_number("timeout_ms");
    kf_rc rc = kf_append(store, get("key"), entries, count, &o, done, &held, &level, &err);
    say_result(rc, &err);
    if (rc != KF_OK)
        return;
    say_number("held", held);
    say("ack", kf_level_name(level));
    for (size_t i = 0; i < count; i++) {
        char text[40];
        snprintf(text, sizeof text, "%llu%s", (unsigned long long)done[i].n,
                 done[i].duplicate ? " duplicate" : "");
        say("item", text);
    }
}

static void do_entries(const char *verb)
{
    struct kf_entry_list list = {0};
    struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
    struct kf_context_options o = KF_CONTEXT_OPTIONS_INIT;
    struct kf_err err = KF_ERR_INIT;
    q.last = get_number("last");
    o.entries = get_number("entries");
    o.bytes = get_number("bytes");
    o.across = get("across");
    kf_rc rc = strcmp(verb, "last") == 0 ? kf_entries(store, get("key"), &q, &list, &err)
                                         : kf_context(store, get("key"), &o, &list, &err);
    say_result(rc, &err);
    if (rc == KF_OK)
        say_number("more", list.more);
    for (size_t i = 0; rc == KF_OK && i < list.count; i++) {
        const struct kf_entry *e = &list.items[i];
        char text[ITEM_MAX];
        snprintf(text, sizeof text, "%s %llu %lld %s %s\t%.*s\t%.*s", e->stream,
                 (unsigned long long)e->n, (long long)e->at_ms, e->id, e->kind, (int)e->len,
                 (const char *)e->body, (int)e->attach_len,
                 e->attach ? (const char *)e->attach : "");
        say("item", text);
    }
    kf_entry_list_free(&list);
}

static void say_stream(const struct kf_stream_info *s)
{
    char text[ITEM_MAX];
    size_t at = (size_t)snprintf(text, sizeof text, "%s %llu %llu %llu %lld %lld ", s->key,
                                 (unsigned long long)s->count, (unsigned long long)s->last_n,
                                 (unsigned long long)s->bytes, (long long)s->first_at_ms,
                                 (long long)s->last_at_ms);
    for (size_t i = 0; i < s->kind_count && at < sizeof text; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s:%llu,", s->kinds[i].kind,
                               (unsigned long long)s->kinds[i].count);
    if (at < sizeof text)
        snprintf(text + at, sizeof text - at, "\t%.*s\t%.*s", (int)s->attrs_len,
                 (const char *)s->attrs, (int)s->rings_len, (const char *)s->rings);
    say("item", text);
}

static void do_stream(const char *verb)
{
    struct kf_stream_info info = {0};
    struct kf_err err = KF_ERR_INIT;
    size_t len;
    const char *patch = get_bytes("patch", &len);
    kf_rc rc = strcmp(verb, "stream-set") == 0
                   ? kf_stream_patch(store, get("key"), patch, len, NULL, &info, &err)
                   : kf_stream(store, get("key"), &info, &err);
    say_result(rc, &err);
    if (rc == KF_OK)
        say_stream(&info);
    kf_stream_info_free(&info);
}

static void do_streams(void)
{
    struct kf_stream_list list = {0};
    struct kf_err err = KF_ERR_INIT;
    struct kf_stream_filter filter = {get("attribute"), get("value")};
    kf_rc rc = kf_stream_list(store, get("prefix") ? get("prefix") : "", NULL, 100, &filter,
                              filter.name ? 1 : 0, &list, &err);
    say_result(rc, &err);
    for (size_t i = 0; rc == KF_OK && i < list.count; i++)
        say_stream(&list.items[i]);
    kf_stream_list_free(&list);
}

static void do_search(void)
{
    struct kf_found_list list = {0};
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_search(store, get("words"), get("prefix") ? get("prefix") : "", NULL, 100, &list,
                         &err);
    say_result(rc, &err);
    for (size_t i = 0; rc == KF_OK && i < list.count; i++) {
        const struct kf_found *f = &list.items[i];
        char text[ITEM_MAX];
        size_t at = (size_t)snprintf(text, sizeof text, "%s %llu %lld %s %lu \"%s\"", f->stream,
                                     (unsigned long long)f->n, (long long)f->at_ms, f->kind,
                                     (unsigned long)f->rank, f->snippet);
        for (size_t m = 0; m < f->mark_count && at < sizeof text; m++)
            at += (size_t)snprintf(text + at, sizeof text - at, " \"%.*s\"",
                                   (int)(f->marks[m].to - f->marks[m].from),
                                   f->snippet + f->marks[m].from);
        say("item", text);
    }
    kf_found_list_free(&list);
}

static void do_erase(const char *verb)
{
    struct kf_receipt r = {0};
    struct kf_err err = KF_ERR_INIT;
    char text[120];
    kf_rc rc = strcmp(verb, "erase") == 0
                   ? kf_erase(store, get("attribute"), get("value"), &r, &err)
                   : kf_stream_erase(store, get("key"), &r, &err);
    say_result(rc, &err);
    snprintf(text, sizeof text, "%llu %llu %llu %llu%s", (unsigned long long)r.streams,
             (unsigned long long)r.entries, (unsigned long long)r.attachments,
             (unsigned long long)r.bytes, r.again ? " again" : "");
    if (rc == KF_OK)
        say("item", text);
    kf_receipt_free(&r);
}

/* ----------------------------------------------------------------------------------------- all */

static bool is_any(const char *verb, const char *a, const char *b, const char *c, const char *d)
{
    return strcmp(verb, a) == 0 || strcmp(verb, b) == 0 || strcmp(verb, c) == 0 ||
           strcmp(verb, d) == 0;
}

static bool act_on_streams(const char *verb)
{
    if (strcmp(verb, "append") == 0)
        do_append();
    else if (strcmp(verb, "last") == 0 || strcmp(verb, "context") == 0)
        do_entries(verb);
    else if (strcmp(verb, "stream") == 0 || strcmp(verb, "stream-set") == 0)
        do_stream(verb);
    else if (strcmp(verb, "streams") == 0)
        do_streams();
    else if (strcmp(verb, "search") == 0)
        do_search();
    else if (strcmp(verb, "stream-rm") == 0 || strcmp(verb, "erase") == 0)
        do_erase(verb);
    else
        return false;
    return true;
}

static bool act(const char *verb)
{
    if (act_on_streams(verb))
        return true;
    if (strcmp(verb, "open") == 0)
        do_open();
    else if (strcmp(verb, "close") == 0)
        do_close();
    else if (is_any(verb, "put", "patch", "rm", "revert"))
        do_write(verb);
    else if (strcmp(verb, "get") == 0)
        do_get();
    else if (strcmp(verb, "ls") == 0 || strcmp(verb, "log") == 0)
        do_list(strcmp(verb, "log") == 0);
    else if (strcmp(verb, "diff") == 0)
        do_diff();
    else if (strcmp(verb, "status") == 0)
        do_status();
    else if (strcmp(verb, "remotes") == 0)
        do_remotes();
    else if (is_any(verb, "remote-add", "remote-rm", "remote-probe", "sync"))
        do_remote(verb);
    else if (strcmp(verb, "pending") == 0)
        do_pending();
    else if (strcmp(verb, "runs") == 0)
        do_runs();
    else if (is_any(verb, "aside", "aside-drop", "aside-retry", "aside"))
        do_aside(verb);
    else if (strcmp(verb, "backup") == 0 || strcmp(verb, "restore") == 0)
        do_move(verb);
    else if (strcmp(verb, "verify") == 0)
        do_verify();
    else if (strcmp(verb, "digest") == 0)
        do_digest();
    else if (strcmp(verb, "doctor") == 0)
        do_doctor();
    else
        return false;
    return true;
}

int main(void)
{
    char *line = NULL, *verb;
    size_t cap = 0;
    int status = 0;
    while (status == 0 && getline(&line, &cap, stdin) > 0) {
        if (!read_request(line, &verb) || !act(verb)) {
            fprintf(stderr, "door_c: not understood: %s\n", line);
            status = 2;
        }
        printf("\n");
        fflush(stdout);
    }
    free(line);
    kf_close(&store, NULL);
    return status;
}
