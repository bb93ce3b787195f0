#include "testing_streams.h"

#include <stdlib.h>
#include <string.h>

kf_rc testing_append_all(struct testing_docs *t, const char *key, const struct testing_entry *items,
                         size_t count, struct testing_appended *ret)
{
    struct kf_entry_new *entries = calloc(count, sizeof *entries);
    struct stream_append *a = NULL;
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct kf_entry_new){.size = sizeof entries[i],
                                           .id = items[i].id,
                                           .kind = items[i].kind,
                                           .at_ms = items[i].at_ms,
                                           .body = items[i].body,
                                           .len = strlen(items[i].body),
                                           .attach = items[i].attach,
                                           .attach_len = items[i].attach ? strlen(items[i].attach)
                                                                         : 0};
    t->err = (struct kf_err)KF_ERR_INIT;
    kf_rc rc = stream_append_new(t->streams, key, entries, count, KF_LEVEL_DEFAULT, &a, &t->err);
    if (rc == KF_OK)
        rc = stream_append_run(a, &t->err);
    if (rc == KF_OK && ret) {
        assert_true(count <= TESTING_APPENDED_MAX);
        memcpy(ret->items, a->appended, count * sizeof ret->items[0]);
        ret->count = a->stream_count;
    }
    if (rc != KF_OK)
        assert_int_equal(t->err.rc, rc);
    stream_append_free(a);
    free(entries);
    return rc;
}

uint64_t testing_append(struct testing_docs *t, const char *key, const char *id, const char *kind,
                        const char *body)
{
    struct testing_entry e = {.id = id, .kind = kind, .body = body};
    struct testing_appended done;
    if (testing_append_all(t, key, &e, 1, &done) != KF_OK)
        fail_msg("%s: %s", key, t->err.detail);
    return done.items[0].n;
}

static struct buf *next_text(void)
{
    static struct buf texts[3];
    static int at;
    at = (at + 1) % 3;
    buf_clear(&texts[at]);
    return &texts[at];
}

static const char *text_of(struct buf *text)
{
    buf_byte(text, 0);
    assert_false(text->failed);
    return text->p;
}

static const char *failed(struct testing_docs *t)
{
    struct buf *text = next_text();
    buf_printf(text, "(%s)", t->err.code);
    return text_of(text);
}

const char *testing_list_text(struct kf_entry_list *list)
{
    struct buf *text = next_text();
    for (size_t i = 0; i < list->count; i++) {
        const struct kf_entry *e = &list->items[i];
        assert_int_equal(e->id_len, strlen(e->id));
        assert_int_equal(e->kind_len, strlen(e->kind));
        assert_int_equal(strlen(e->body), e->len);
        assert_true(!e->attach || strlen(e->attach) == e->attach_len);
        buf_printf(text, "%s%llu:%s", i ? " " : "", (unsigned long long)e->n,
                   (const char *)e->body);
    }
    buf_c(text, list->more ? "+" : "");
    return text_of(text);
}

const char *testing_entries(struct testing_docs *t, const char *key, struct kf_entry_query query)
{
    struct kf_entry_list list = {0};
    query.size = sizeof query;
    t->err = (struct kf_err)KF_ERR_INIT;
    if (streams_entries(t->streams, key, &query, &list, &t->err) != KF_OK)
        return failed(t);
    const char *text = testing_list_text(&list);
    kf_entry_list_free(&list);
    return text;
}

const char *testing_last(struct testing_docs *t, const char *key, uint64_t last)
{
    return testing_entries(t, key, (struct kf_entry_query){.last = last});
}

const char *testing_stream(struct testing_docs *t, const char *key)
{
    struct kf_stream_info info = {0};
    t->err = (struct kf_err)KF_ERR_INIT;
    if (streams_info(t->streams, key, &info, &t->err) != KF_OK)
        return failed(t);
    struct buf *text = next_text();
    assert_string_equal(info.key, key);
    buf_printf(text, "%llu %llu %llu %lld-%lld {", (unsigned long long)info.count,
               (unsigned long long)info.last_n, (unsigned long long)info.bytes,
               (long long)info.first_at_ms, (long long)info.last_at_ms);
    for (size_t i = 0; i < info.kind_count; i++)
        buf_printf(text, "%s%s:%llu", i ? " " : "", info.kinds[i].kind,
                   (unsigned long long)info.kinds[i].count);
    buf_printf(text, "} %s %s", (const char *)info.attrs, (const char *)info.rings);
    kf_stream_info_free(&info);
    return text_of(text);
}

static kf_rc on_fault(void *ctx, str key, const char *what, struct kf_err *err)
{
    (void)ctx;
    (void)err;
    fail_msg("%.*s: %s", STR_ARGS(key), what);
    return KF_OK;
}

static void check(struct testing_docs *t)
{
    struct kf_err err = KF_ERR_INIT;
    struct db *db;
    uint64_t entries = 0, bytes = 0;
    if (store_read(t->store, &db, &err) != KF_OK ||
        stream_check(db, on_fault, NULL, &entries, &bytes, &err) != KF_OK)
        fail_msg("stream_check: %s", err.detail);
    store_read_end(t->store, db);
    assert_int_equal(entries, testing_number(t, "SELECT count(*) FROM kf_entry"));
}

void testing_recount(struct testing_docs *t)
{
    bool pg = testing_docs_are_on_pg();
    check(t);
    static const char wrong[] =
        "SELECT count(*) FROM kf_stream s LEFT JOIN (SELECT stream, count(*) AS c, sum(size) AS b, "
        "min(at) AS f, max(at) AS l, max(n) AS m FROM kf_entry GROUP BY stream) e "
        "ON e.stream = s.id WHERE s.count <> coalesce(c, 0) OR s.bytes <> coalesce(b, 0) OR "
        "s.first_at <> coalesce(f, 0) OR s.last_at <> coalesce(l, 0) OR s.last_n < coalesce(m, 0)";
    static const char kinds[] =
        "SELECT count(*) FROM (SELECT s.id, j.key AS kind, j.value AS c FROM kf_stream s, "
        "json_each(s.kinds) j EXCEPT SELECT stream, kind, count(*) FROM kf_entry GROUP BY stream, "
        "kind)";
    static const char kinds_pg[] =
        "SELECT count(*) FROM (SELECT s.id, j.key, j.value::bigint FROM kf_stream s, "
        "jsonb_each_text(s.kinds::jsonb) j EXCEPT SELECT stream, kind, count(*) FROM kf_entry "
        "GROUP BY stream, kind) x";
    static const char missing[] =
        "SELECT count(*) FROM (SELECT stream, kind, count(*) FROM kf_entry WHERE stream IN "
        "(SELECT id FROM kf_stream) GROUP BY stream, kind EXCEPT SELECT s.id, j.key, j.value FROM "
        "kf_stream s, json_each(s.kinds) j)";
    static const char missing_pg[] =
        "SELECT count(*) FROM (SELECT stream, kind, count(*) FROM kf_entry WHERE stream IN "
        "(SELECT id FROM kf_stream) GROUP BY stream, kind EXCEPT SELECT s.id, j.key, "
        "j.value::bigint FROM kf_stream s, jsonb_each_text(s.kinds::jsonb) j) x";
    static const char rings[] =
        "SELECT count(*) FROM kf_stream s, json_each(s.rings) r, json_each(r.value) x LEFT JOIN "
        "kf_entry e ON e.stream = s.id AND e.n = json_extract(x.value, '$.n') WHERE e.n IS NULL";
    static const char rings_pg[] =
        "SELECT count(*) FROM kf_stream s CROSS JOIN LATERAL jsonb_each(s.rings::jsonb) r CROSS "
        "JOIN LATERAL jsonb_array_elements(r.value) x LEFT JOIN kf_entry e ON e.stream = s.id AND "
        "e.n = (x ->> 'n')::bigint WHERE e.n IS NULL";
    static const char attrs[] =
        "SELECT (SELECT count(*) FROM kf_stream s, json_each(s.attrs) j WHERE j.type IN "
        "('text', 'integer', 'real', 'true', 'false') AND length(CAST(j.value AS BLOB)) <= 255 "
        "AND length(CAST(j.key AS BLOB)) <= 255) "
        "- (SELECT count(*) FROM kf_stream_attr)";
    static const char attrs_pg[] =
        "SELECT (SELECT count(*) FROM kf_stream s, jsonb_each(s.attrs::jsonb) j WHERE "
        "jsonb_typeof(j.value) IN ('string', 'number', 'boolean') AND "
        "octet_length(j.value #>> '{}') <= 255 AND octet_length(j.key) <= 255) - (SELECT count(*) "
        "FROM kf_stream_attr)";
    static const char orphans[] =
        "SELECT count(*) FROM kf_entry WHERE stream NOT IN (SELECT id FROM kf_stream)";
    assert_int_equal(testing_number(t, wrong), 0);
    assert_int_equal(testing_number(t, pg ? kinds_pg : kinds), 0);
    assert_int_equal(testing_number(t, pg ? missing_pg : missing), 0);
    assert_int_equal(testing_number(t, pg ? rings_pg : rings), 0);
    assert_int_equal(testing_number(t, pg ? attrs_pg : attrs), 0);
    assert_int_equal(testing_number(t, orphans), 0);
}
