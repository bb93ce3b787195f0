/* Documents through a real store: every verb, condition and refusal; what memory shows; what is
 * kept; what others wrote. */
#include "testing_docs.h"
#include "testing_pg.h"
#include "testing_store.h"

#include "base/err.h"
#include "base/public.h"
#include "base/json.h"
#include "shape/doc_internal.h"
#include "store/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct testing_docs t;

static int setup(void **state)
{
    *state = NULL;
    t.cache_bytes = 1 << 20;
    testing_docs_open(&t, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_docs_close(&t);
    return 0;
}

static struct kf_write_options with_match(const char *etag)
{
    struct kf_write_options o = KF_WRITE_OPTIONS_INIT;
    o.if_match = etag;
    return o;
}

static const struct kf_write_options create_only = {.size = sizeof(struct kf_write_options),
                                                    .if_none_match = "*"};
static const struct kf_write_options forced = {.size = sizeof(struct kf_write_options),
                                               .force = true};

static kf_rc patch(const char *name, const char *body)
{
    return testing_write_doc(&t, KF_PATCH, name, body, 0, NULL);
}
static kf_rc delete (const char *name)
{
    return testing_write_doc(&t, KF_DELETE, name, NULL, 0, NULL);
}
static kf_rc revert(const char *name, uint64_t version)
{
    return testing_write_doc(&t, KF_REVERT, name, NULL, version, NULL);
}

/* -------------------------------------------------------------------------------------- names */

static void names(void **state)
{
    (void)state;
    static char longest[DOC_NAME_MAX + 2];
    memset(longest, 'n', sizeof longest - 1);
    const struct {
        str name;
        int64_t offset; /* -1: fine */
    } table[] = {
        {STR("a"), -1},
        {STR("a/b.json"), -1},
        {STR("z\xc4\x99"
             "by/.x/..y/..."),
         -1},
        {STR(" "), -1},
        {{longest, DOC_NAME_MAX}, -1},
        {{longest, DOC_NAME_MAX + 1}, DOC_NAME_MAX},
        {STR(""), 0},
        {STR("/a"), 0},
        {STR("a/"), 2},
        {STR("a//b"), 2},
        {STR("."), 0},
        {STR("a/../b"), 2},
        {STR("a/b/."), 4},
        {STR("a\0b"), 1},
        {STR("ab\xff"), 2},
        {STR("ab\xed\xa0\x80"), 2},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct kf_err err = KF_ERR_INIT;
        kf_rc rc = name_check(table[i].name, &err);
        assert_int_equal(rc, table[i].offset < 0 ? KF_OK : KF_INVALID);
        if (rc != KF_OK) {
            assert_string_equal(err.code, "bad_key");
            assert_int_equal(err.offset, table[i].offset);
            assert_int_equal(err.http_status, 400);
            assert_int_equal(err.exit_code, 11);
        }
    }
    assert_int_equal(testing_put(&t, "a//b", "1"), KF_INVALID);
    assert_int_equal(testing_get(&t, ".."), KF_INVALID);
}

static void etags(void **state)
{
    (void)state;
    char etag[DOC_ETAG_LEN + 1];
    doc_etag(0x0123456789abcdef, STR("fedcba9876543210"), etag);
    assert_string_equal(etag, "\"0123456789abcdeffedcba9876543210\"");
}

/* --------------------------------------------------------------------------------------- verbs */

static void put_and_get(void **state)
{
    (void)state;
    assert_int_equal(testing_get(&t, "a"), KF_ABSENT);
    assert_string_equal(t.err.code, "not_found");
    assert_int_equal(testing_put(&t, "a", " {\"x\" : 1.0}\n"), KF_OK);
    assert_int_equal(t.written.version, 1);
    assert_true(t.written.created);
    assert_false(t.written.unchanged);
    assert_int_equal(t.written.level, store_level(t.store));
    assert_int_equal(strlen(t.written.etag), DOC_ETAG_LEN);
    char site[STORE_SITE_LEN + 1];
    store_site(t.store, site);
    assert_memory_equal(t.written.etag + 17, site, STORE_SITE_LEN);
    testing_is(&t, "a", " {\"x\" : 1.0}\n", 1);
    struct kf_written first = t.written;
    assert_int_equal(testing_put(&t, "a", "2"), KF_OK);
    assert_int_equal(t.written.version, 2);
    assert_false(t.written.created);
    assert_string_not_equal(t.written.etag, first.etag);
    testing_is(&t, "a", "2", 2);
    docs_forget_all(t.docs);
    testing_is(&t, "a", "2", 2);
    testing_docs_reopen(&t);
    testing_is(&t, "a", "2", 2);
    struct kf_doc doc = {0};
    assert_int_equal(kf_doc_get(t.store, "a", &doc, NULL), KF_OK);
    assert_false(doc.is_default);
    assert_int_equal(doc.at_ms, atomic_load(&t.env.wall_ms));
    kf_doc_release(&doc);
    kf_doc_release(NULL);
}

static void identical_bytes_change_nothing(void **state)
{
    (void)state;
    assert_int_equal(testing_put(&t, "a", "[1]"), KF_OK);
    struct kf_written first = t.written;
    int64_t seq = store_seq(t.store);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(testing_put(&t, "a", "[1]"), KF_OK);
        assert_true(t.written.unchanged);
        assert_int_equal(t.written.version, 1);
        assert_string_equal(t.written.etag, first.etag);
        assert_int_equal(store_seq(t.store), seq);
        docs_forget_all(t.docs);
    }
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_doc_version"), 1);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_journal"), 1);
    /* The same value in other bytes is another document. */
    assert_int_equal(testing_put(&t, "a", "[1 ]"), KF_OK);
    assert_int_equal(t.written.version, 2);
    assert_int_equal(patch("a", "[1 ]"), KF_OK);
    assert_true(t.written.unchanged);
    assert_int_equal(revert("a", 2), KF_OK);
    assert_true(t.written.unchanged);
}

static void head_version_and_journal_agree(void **state)
{
    (void)state;
    assert_int_equal(testing_put(&t, "a", "1"), KF_OK);
    assert_int_equal(testing_put(&t, "b", "1"), KF_OK);
    assert_int_equal(testing_put(&t, "a", "2"), KF_OK);
    assert_int_equal(delete ("b"), KF_OK);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_journal"), 2);
    assert_int_equal(
        testing_number(&t,
                       "SELECT count(*) FROM kf_doc d JOIN kf_doc_version v ON v.seq = d.seq "
                       "JOIN kf_journal j ON j.seq = d.seq WHERE j.tbl = 'doc' AND j.key = d.name "
                       "AND v.name = d.name AND v.version = d.version AND v.stamp = d.stamp "
                       "AND j.stamp = d.stamp AND v.hash = d.hash AND v.site = d.site "
                       "AND v.at = d.at AND v.size = d.size"),
        2);
    assert_int_equal(testing_number(&t, "SELECT seq FROM kf_state"), 4);
}

static void patches(void **state)
{
    (void)state;
    assert_int_equal(patch("a", "{}"), KF_ABSENT);
    assert_int_equal(t.err.http_status, 404);
    assert_int_equal(testing_put(&t, "a", "{\"x\":1.0,\"y\":[ 2 ]}"), KF_OK);
    assert_int_equal(patch("a", "{\"x\":null,\"z\":3}"), KF_OK);
    assert_int_equal(t.written.version, 2);
    testing_is(&t, "a", "{\"y\":[ 2 ],\"z\":3}", 2);
    docs_forget_all(t.docs);
    assert_int_equal(patch("a", "{\"z\":4}"), KF_OK);
    testing_is(&t, "a", "{\"y\":[ 2 ],\"z\":4}", 3);
    assert_int_equal(patch("a", "{\"z\":}"), KF_INVALID);
    assert_string_equal(t.err.code, "bad_json");
    assert_int_equal(t.err.offset, 5);
    assert_int_equal(delete ("a"), KF_OK);
    assert_int_equal(patch("a", "{}"), KF_ABSENT);
}

static void a_deletion_is_a_version(void **state)
{
    (void)state;
    assert_int_equal(delete ("a"), KF_ABSENT);
    assert_int_equal(testing_put(&t, "a", "1"), KF_OK);
    assert_int_equal(delete ("a"), KF_OK);
    assert_int_equal(t.written.version, 2);
    assert_string_equal(t.written.etag, "");
    assert_false(t.written.created);
    assert_int_equal(testing_get(&t, "a"), KF_ABSENT);
    docs_forget_all(t.docs);
    assert_int_equal(testing_get(&t, "a"), KF_ABSENT);
    assert_int_equal(delete ("a"), KF_ABSENT);
    struct kf_doc doc = {0};
    assert_int_equal(kf_doc_get_version(t.store, "a", 1, &doc, NULL), KF_OK);
    assert_memory_equal(doc.body, "1", 2);
    kf_doc_release(&doc);
    assert_int_equal(kf_doc_get_version(t.store, "a", 2, &doc, &t.err), KF_ABSENT);
    assert_int_equal(testing_put(&t, "a", "1"), KF_OK);
    assert_int_equal(t.written.version, 3);
    assert_true(t.written.created);
    assert_int_equal(delete ("a"), KF_OK);
    assert_int_equal(revert("a", 3), KF_OK);
    assert_int_equal(t.written.version, 5);
    assert_true(t.written.created);
    testing_is(&t, "a", "1", 5);
    assert_int_equal(revert("a", 4), KF_ABSENT);
    assert_int_equal(revert("a", 9), KF_ABSENT);
    assert_int_equal(revert("b", 1), KF_ABSENT);
    assert_int_equal(revert("a", 0), KF_INVALID);
}

/* ------------------------------------------------------------------------------------- refusals */

static void bodies_are_checked(void **state)
{
    (void)state;
    const struct {
        const char *body, *code;
        int64_t offset;
    } table[] = {
        {"", "bad_json", 0},      {"{\"a\":1,\"a\":2}", "bad_json", 7},
        {"[NaN]", "bad_json", 1}, {"\"\xff\"", "bad_json", 1},
        {"{} x", "bad_json", 3},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(testing_put(&t, "a", table[i].body), KF_INVALID);
        assert_string_equal(t.err.code, table[i].code);
        assert_int_equal(t.err.offset, table[i].offset);
    }
    char deep[JSON_DEPTH_MAX + 2] = "";
    memset(deep, '[', JSON_DEPTH_MAX + 1);
    assert_int_equal(testing_put(&t, "a", deep), KF_LIMIT);
    assert_string_equal(t.err.code, "json_limit");
    assert_int_equal(t.err.offset, JSON_DEPTH_MAX);
    assert_int_equal(testing_get(&t, "a"), KF_ABSENT);
    assert_int_equal(store_seq(t.store), 0);
}

static void sizes_are_checked(void **state)
{
    (void)state;
    testing_docs_close(&t);
    testing_docs_open(&t, "limits: { doc: 64 }\n");
    char body[80] = "";
    memset(body, '1', 64);
    assert_int_equal(testing_put(&t, "a", body), KF_OK);
    body[64] = '1';
    assert_int_equal(testing_put(&t, "a", body), KF_LIMIT);
    assert_string_equal(t.err.code, "too_large");
    assert_int_equal(t.err.http_status, 413);
    assert_int_equal(patch("a", body), KF_LIMIT);
    assert_int_equal(testing_put(&t, "a", "{\"a\":\"0123456789012345678901234567890123456789\"}"),
                     KF_OK);
    assert_int_equal(patch("a", "{\"b\":\"0123456789\"}"), KF_LIMIT);
    assert_string_equal(t.err.code, "too_large");
    assert_int_equal(t.err.offset, -1);
    testing_is(&t, "a", "{\"a\":\"0123456789012345678901234567890123456789\"}", 2);
    assert_int_equal(docs_limit(t.docs), 64);
}

static void conditions(void **state)
{
    (void)state;
    struct kf_write_options any = with_match("*"), o;
    char etag[2][36];
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "1", 0, &any), KF_CONFLICT);
    assert_string_equal(t.err.code, "version_mismatch");
    assert_int_equal(t.err.version, 0);
    assert_string_equal(t.err.etag, "");
    assert_int_equal(t.err.http_status, 412);
    assert_int_equal(t.err.exit_code, 5);
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "1", 0, &create_only), KF_OK);
    memcpy(etag[0], t.written.etag, 36);
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "1", 0, &create_only), KF_CONFLICT);
    assert_int_equal(t.err.version, 1);
    assert_string_equal(t.err.etag, etag[0]);
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "2", 0, &any), KF_OK);
    memcpy(etag[1], t.written.etag, 36);
    o = with_match(etag[0]);
    for (int verb = KF_PUT; verb <= KF_REVERT; verb++) {
        assert_int_equal(testing_write_doc(&t, (kf_verb)verb, "a", "{}", 1, &o), KF_CONFLICT);
        assert_string_equal(t.err.code, "version_mismatch");
        assert_string_equal(t.err.etag, etag[1]);
    }
    testing_is(&t, "a", "2", 2);
    o = with_match(etag[1]);
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "3", 0, &o), KF_OK);
    /* A list, an ETag without quotes, and a weak one, which never fits. */
    char list[120], bare[36] = "";
    snprintf(list, sizeof list, "\"x\", %s", t.written.etag);
    o = with_match(list);
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "4", 0, &o), KF_OK);
    memcpy(bare, t.written.etag + 1, DOC_ETAG_LEN - 2);
    o = with_match(bare);
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "5", 0, &o), KF_OK);
    snprintf(list, sizeof list, "W/%s", t.written.etag);
    o = with_match(list);
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "6", 0, &o), KF_CONFLICT);
    assert_int_equal(delete ("a"), KF_OK);
    assert_int_equal(testing_write_doc(&t, KF_DELETE, "a", NULL, 0, &any), KF_CONFLICT);
    assert_int_equal(testing_write_doc(&t, KF_PATCH, "a", "{}", 0, &any), KF_CONFLICT);
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "7", 0, &create_only), KF_OK);
    assert_true(t.written.created);
}

static void wrong_requests(void **state)
{
    (void)state;
    struct kf_write_options o = KF_WRITE_OPTIONS_INIT;
    struct doc_write *w = NULL;
    struct kf_write r = KF_WRITE_INIT;
    o.if_none_match = "\"x\"";
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "1", 0, &o), KF_INVALID);
    o.if_none_match = "*";
    o.if_match = "*";
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "1", 0, &o), KF_INVALID);
    o = with_match("");
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "1", 0, &o), KF_INVALID);
    o = (struct kf_write_options)KF_WRITE_OPTIONS_INIT;
    o.idempotency_key = "";
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "1", 0, &o), KF_INVALID);
    o.idempotency_key = "\xff";
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "1", 0, &o), KF_INVALID);
    o.idempotency_key = NULL;
    o.level = testing_docs_are_on_pg() ? KF_LEVEL_DISK : KF_LEVEL_SHARED;
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "1", 0, &o), KF_INVALID);
    o.size = 0;
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "1", 0, &o), KF_MISUSE);
    assert_int_equal(testing_write_doc(&t, (kf_verb)9, "a", "1", 0, NULL), KF_MISUSE);
    assert_int_equal(doc_write_new(t.docs, NULL, &w, NULL), KF_MISUSE);
    r.verb = KF_PUT;
    assert_int_equal(doc_write_new(t.docs, &r, &w, NULL), KF_MISUSE);
    r.name = "a";
    r.len = 3;
    assert_int_equal(doc_write_new(t.docs, &r, &w, NULL), KF_MISUSE);
    assert_null(w);
    /* A program built with an older header: its options end early. */
    o = (struct kf_write_options)KF_WRITE_OPTIONS_INIT;
    o.size = offsetof(struct kf_write_options, force);
    o.force = true;
    o.idempotency_key = "never read";
    struct kf_write_options all = KF_WRITE_OPTIONS_INIT;
    assert_int_equal(options_take(&o, &all, sizeof(all), NULL), KF_OK);
    assert_int_equal(all.size, sizeof(all));
    assert_false(all.force);
    assert_null(all.idempotency_key);
}

static void once(void **state)
{
    (void)state;
    struct kf_write_options o = KF_WRITE_OPTIONS_INIT;
    o.idempotency_key = "k1";
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "1", 0, &o), KF_OK);
    struct kf_written first = t.written;
    assert_false(first.replayed);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(testing_put(&t, "a", round ? "2" : "3"), KF_OK);
        assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "1", 0, &o), KF_OK);
        assert_true(t.written.replayed);
        assert_true(t.written.created);
        assert_int_equal(t.written.version, 1);
        assert_string_equal(t.written.etag, first.etag);
        testing_docs_reopen(&t);
    }
    testing_is(&t, "a", "2", 3);
    /* Any other request under this key. */
    struct kf_write_options other = o;
    other.force = true;
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "1", 0, &other), KF_CONFLICT);
    assert_string_equal(t.err.code, "id_reused");
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "9", 0, &o), KF_CONFLICT);
    assert_int_equal(testing_write_doc(&t, KF_PUT, "b", "1", 0, &o), KF_CONFLICT);
    assert_int_equal(testing_write_doc(&t, KF_PATCH, "a", "1", 0, &o), KF_CONFLICT);
    assert_int_equal(testing_write_doc(&t, KF_REVERT, "a", NULL, 1, &o), KF_CONFLICT);
    /* A write that failed is not remembered. */
    o.idempotency_key = "k2";
    assert_int_equal(testing_write_doc(&t, KF_PATCH, "c", "{}", 0, &o), KF_ABSENT);
    assert_int_equal(testing_put(&t, "c", "{\"x\":1}"), KF_OK);
    assert_int_equal(testing_write_doc(&t, KF_PATCH, "c", "{}", 0, &o), KF_OK);
    assert_true(t.written.unchanged);
    assert_int_equal(testing_write_doc(&t, KF_PATCH, "c", "{}", 0, &o), KF_OK);
    assert_true(t.written.unchanged && t.written.replayed);
    o.idempotency_key = "k3";
    assert_int_equal(testing_write_doc(&t, KF_DELETE, "c", NULL, 0, &o), KF_OK);
    assert_int_equal(testing_write_doc(&t, KF_DELETE, "c", NULL, 0, &o), KF_OK);
    assert_true(t.written.replayed);
    assert_string_equal(t.written.etag, "");
    /* 30 days, but never of the newest million. */
    testing_env_advance(&t.env, (int64_t)31 * 86400000);
    assert_int_equal(docs_retain(t.docs, &t.err), KF_OK);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_once"), 3);
}

static void ended(struct doc_write *w)
{
    t.written = w->written;
    t.err = w->write.err;
    *(kf_rc *)w->ctx = w->write.rc;
    doc_write_free(w);
}

/* A put with the key "k" as one of `whose`; its code, "" when it was done. */
static const char *put_once(const char *whose, const char *name)
{
    struct doc_write *w;
    struct kf_write r = KF_WRITE_INIT;
    kf_rc rc = KF_INTERNAL;
    r.verb = KF_PUT;
    r.name = name;
    r.body = "1";
    r.len = 1;
    r.options.idempotency_key = "k";
    assert_int_equal(doc_write_new(t.docs, &r, &w, NULL), KF_OK);
    snprintf(w->once_of, sizeof w->once_of, "%s", whose);
    doc_write_submit(w, ended, &rc);
    while (store_lead(t.store))
        ;
    return rc == KF_OK ? "" : t.err.code;
}

/* The key of one writer tells another nothing, and is not taken from it. */
static void keys_of_several(void **state)
{
    static const char *const whose[] = {"", "00112233445566778899aabbccddeeff",
                                        "ffeeddccbbaa99887766554433221100"};
    static const char *const names[] = {"a", "b", "c"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_string_equal(put_once(whose[i], names[i]), "");
        assert_false(t.written.replayed);
    }
    for (int i = 0; i < 3; i++) {
        assert_string_equal(put_once(whose[i], names[i]), "");
        assert_true(t.written.replayed);
        assert_string_equal(put_once(whose[i], names[(i + 1) % 3]), "id_reused");
    }
}

/* -------------------------------------------------------------------------------- configuration */

static void defaults_and_schemas(void **state)
{
    (void)state;
    testing_docs_close(&t);
    const char *schema = testing_path(testing_dir(), "s.json");
    static const char shape[] = "{\"type\":\"object\",\"required\":[\"email\"]}";
    testing_write(schema, shape, sizeof shape - 1);
    char yaml[400];
    snprintf(yaml, sizeof yaml,
             "spaces:\n  default:\n    docs:\n      - { match: n.json, default: { email: null }, "
             "schema: %s }\n",
             schema);
    testing_docs_open(&t, yaml);
    struct kf_doc doc = {0};
    assert_int_equal(kf_doc_get(t.store, "n.json", &doc, &t.err), KF_OK);
    assert_true(doc.is_default);
    assert_string_equal(doc.body, "{\"email\":null}");
    assert_int_equal(doc.version, 0);
    assert_string_equal(doc.etag, "");
    kf_doc_release(&doc);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_doc"), 0);
    assert_int_equal(patch("n.json", "{}"), KF_ABSENT);
    assert_int_equal(delete ("n.json"), KF_ABSENT);
    assert_int_equal(testing_put(&t, "n.json", "{\"x\":1}"), KF_INVALID);
    assert_string_equal(t.err.code, "schema");
    assert_int_equal(testing_put(&t, "n.json", "{\"email\":1}"), KF_OK);
    assert_true(t.written.created);
    testing_is(&t, "n.json", "{\"email\":1}", 1);
    assert_int_equal(patch("n.json", "{\"email\":null}"), KF_INVALID);
    assert_string_equal(t.err.code, "schema");
    assert_int_equal(t.err.offset, -1);
    assert_int_equal(delete ("n.json"), KF_OK);
    testing_is(&t, "n.json", "{\"email\":null}", 0);
    struct kf_doc_list list = {0};
    assert_int_equal(kf_doc_list(t.store, "", NULL, 10, &list, NULL), KF_OK);
    assert_int_equal(list.count, 0);
    kf_doc_list_free(&list);
}

static void hydration(void **state)
{
    (void)state;
    testing_docs_close(&t);
    testing_docs_open(&t, "spaces: { default: { docs: [ { match: \"d*\", default: 0 } ] } }\n");
    struct kf_write_options any = with_match("*"), etag = with_match("\"x\"");
    struct kf_doc_list list = {0};
    assert_int_equal(testing_put(&t, "in", "1"), KF_OK);
    docs_set_hydrating(t.docs, true);
    testing_is(&t, "in", "1", 1);
    assert_int_equal(testing_put(&t, "in", "2"), KF_OK);
    assert_int_equal(delete ("in"), KF_OK);
    assert_int_equal(testing_get(&t, "in"), KF_ABSENT);
    assert_int_equal(testing_get(&t, "out"), KF_NOT_HYDRATED);
    assert_int_equal(testing_get(&t, "d"), KF_NOT_HYDRATED);
    assert_string_equal(t.err.code, "not_hydrated");
    assert_int_equal(kf_doc_list(t.store, "", NULL, 10, &list, &t.err), KF_NOT_HYDRATED);
    assert_int_equal(kf_doc_versions(t.store, "out", 0, 10, &list, &t.err), KF_NOT_HYDRATED);
    assert_int_equal(testing_put(&t, "out", "1"), KF_CONFLICT);
    assert_string_equal(t.err.code, "load_failed");
    assert_int_equal(t.err.http_status, 409);
    assert_int_equal(testing_write_doc(&t, KF_PUT, "out", "1", 0, &create_only), KF_CONFLICT);
    assert_string_equal(t.err.code, "load_failed");
    assert_int_equal(testing_write_doc(&t, KF_PUT, "out", "1", 0, &etag), KF_CONFLICT);
    assert_string_equal(t.err.code, "load_failed");
    assert_int_equal(delete ("out"), KF_CONFLICT);
    assert_string_equal(t.err.code, "load_failed");
    assert_int_equal(patch("out", "{}"), KF_NOT_HYDRATED);
    assert_int_equal(testing_write_doc(&t, KF_PATCH, "out", "{}", 0, &forced), KF_NOT_HYDRATED);
    assert_int_equal(testing_write_doc(&t, KF_PUT, "out", "1", 0, &any), KF_OK);
    assert_true(t.written.created);
    testing_is(&t, "out", "1", 1);
    assert_int_equal(testing_write_doc(&t, KF_PUT, "out2", "1", 0, &forced), KF_OK);
    assert_int_equal(testing_write_doc(&t, KF_DELETE, "out3", NULL, 0, &forced), KF_OK);
    assert_int_equal(t.written.version, 1);
    assert_int_equal(testing_get(&t, "out3"), KF_ABSENT);
    docs_set_hydrating(t.docs, false);
    assert_int_equal(testing_get(&t, "nothing"), KF_ABSENT);
    testing_is(&t, "d", "0", 0);
    assert_int_equal(testing_write_doc(&t, KF_PUT, "nothing", "1", 0, &any), KF_CONFLICT);
    assert_string_equal(t.err.code, "version_mismatch");
}

/* --------------------------------------------------------------------------------------- damage */

static void damage_is_found_and_not_overwritten_blindly(void **state)
{
    (void)state;
    struct kf_write_options any = with_match("*");
    assert_int_equal(testing_put(&t, "a", "{\"x\":1}"), KF_OK);
    struct kf_write_options etag = with_match(NULL);
    char current[36];
    memcpy(current, t.written.etag, sizeof current);
    etag.if_match = current;
    testing_sql(&t, "UPDATE kf_doc_version SET body = '{\"x\":2}' WHERE name = 'a'");
    testing_is(&t, "a", "{\"x\":1}", 1); /* memory has what was written */
    docs_forget_all(t.docs);
    assert_int_equal(testing_get(&t, "a"), KF_DAMAGED);
    assert_string_equal(t.err.code, "damaged");
    assert_non_null(strstr(t.err.detail, "\"a\""));
    assert_int_equal(t.err.exit_code, 9);
    struct kf_doc doc = {0};
    assert_int_equal(kf_doc_get_version(t.store, "a", 1, &doc, NULL), KF_DAMAGED);
    assert_int_equal(testing_put(&t, "a", "3"), KF_CONFLICT);
    assert_string_equal(t.err.code, "load_failed");
    assert_int_equal(testing_put(&t, "a", "{\"x\":1}"), KF_CONFLICT);
    assert_int_equal(delete ("a"), KF_CONFLICT);
    assert_string_equal(t.err.code, "load_failed");
    assert_int_equal(patch("a", "{}"), KF_DAMAGED);
    testing_docs_reopen(&t); /* another process knows it as well */
    assert_int_equal(testing_put(&t, "a", "3"), KF_CONFLICT);
    /* The same bytes under its ETag heal it. */
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "{\"x\":1}", 0, &etag), KF_OK);
    assert_false(t.written.unchanged);
    assert_int_equal(t.written.version, 2);
    docs_forget_all(t.docs);
    testing_is(&t, "a", "{\"x\":1}", 2);
    testing_sql(&t, "DELETE FROM kf_doc_version WHERE version = 2");
    docs_forget_all(t.docs);
    assert_int_equal(testing_get(&t, "a"), KF_DAMAGED);
    assert_int_equal(testing_put(&t, "a", "3"), KF_CONFLICT);
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "3", 0, &any), KF_OK);
    testing_is(&t, "a", "3", 3);
    testing_sql(&t, "UPDATE kf_doc_version SET body = 'x' WHERE version = 3");
    docs_forget_all(t.docs);
    assert_int_equal(testing_write_doc(&t, KF_PUT, "a", "4", 0, &forced), KF_OK);
    assert_int_equal(revert("a", 3), KF_DAMAGED);
    testing_is(&t, "a", "4", 4);
    /* A head that cannot be. */
    testing_sql(&t, "UPDATE kf_doc SET site = 'x' WHERE name = 'a'");
    docs_forget_all(t.docs);
    assert_int_equal(testing_get(&t, "a"), KF_DAMAGED);
}

static kf_rc count_damaged(void *ctx, const struct doc_row *row, struct kf_err *err)
{
    (void)err;
    int *count = ctx;
    *count += row->damaged;
    return KF_OK;
}

static void damage_is_shown_to_visits(void **state)
{
    (void)state;
    struct db *db;
    size_t visited = 0;
    int heads = 0, changes = 0, versions = 0;
    assert_int_equal(testing_put(&t, "a", "1"), KF_OK);
    assert_int_equal(testing_put(&t, "b", "1"), KF_OK);
    assert_int_equal(testing_put(&t, "c", "1"), KF_OK);
    testing_sql(&t, "UPDATE kf_doc_version SET body = '2' WHERE name = 'a'");
    testing_sql(&t, "DELETE FROM kf_doc_version WHERE name = 'b'");
    assert_int_equal(store_read(t.store, &db, NULL), KF_OK);
    assert_int_equal(doc_heads(db, STR(""), 10, true, count_damaged, &heads, &visited, NULL),
                     KF_OK);
    assert_int_equal(visited, 3);
    assert_int_equal(heads, 2);
    assert_int_equal(doc_changes(db, 0, 10, true, count_damaged, &changes, &visited, NULL), KF_OK);
    assert_int_equal(visited, 3);
    assert_int_equal(changes, 2);
    assert_int_equal(doc_all_versions(db, 0, 99, 10, count_damaged, &versions, &visited, NULL),
                     KF_OK);
    assert_int_equal(visited, 2);
    assert_int_equal(versions, 1);
    store_read_end(t.store, db);
}

/* ---------------------------------------------------------------------------------------- lists */

static void lists(void **state)
{
    (void)state;
    const char *const all[] = {"a", "a/1", "a/2", "ab", "b", "\xc4\x99"};
    struct kf_doc_list list = {0};
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(testing_put(&t, all[5 - i], "[1]"), KF_OK);
    assert_int_equal(testing_put(&t, "gone", "1"), KF_OK);
    assert_int_equal(delete ("gone"), KF_OK);
    assert_int_equal(kf_doc_list(t.store, "", NULL, 6, &list, NULL), KF_OK);
    assert_int_equal(list.count, 6);
    assert_false(list.more);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(list.items[i].name, all[i]);
    assert_int_equal(list.items[0].size, 3);
    assert_int_equal(list.items[0].version, 1);
    assert_int_equal(strlen(list.items[0].etag), DOC_ETAG_LEN);
    kf_doc_list_free(&list);
    assert_int_equal(kf_doc_list(t.store, "a", NULL, 2, &list, NULL), KF_OK);
    assert_int_equal(list.count, 2);
    assert_true(list.more);
    assert_string_equal(list.items[1].name, "a/1");
    kf_doc_list_free(&list);
    assert_int_equal(kf_doc_list(t.store, "a", "a/1", 2, &list, NULL), KF_OK);
    assert_int_equal(list.count, 2);
    assert_false(list.more);
    assert_string_equal(list.items[1].name, "ab");
    kf_doc_list_free(&list);
    assert_int_equal(kf_doc_list(t.store, "a/", "Z", 9, &list, NULL), KF_OK);
    assert_int_equal(list.count, 2);
    kf_doc_list_free(&list);
    assert_int_equal(kf_doc_list(t.store, "a/", "b", 9, &list, NULL), KF_OK);
    assert_int_equal(list.count, 0);
    kf_doc_list_free(&list);
    kf_doc_list_free(NULL);
    assert_int_equal(kf_doc_list(t.store, "", NULL, 0, &list, NULL), KF_INVALID);
    assert_int_equal(kf_doc_list(t.store, "", NULL, 1001, &list, &t.err), KF_INVALID);
    assert_string_equal(t.err.code, "bad_filter");
    uint64_t docs = 0, bytes = 0;
    struct db *db;
    assert_int_equal(store_read(t.store, &db, NULL), KF_OK);
    assert_int_equal(doc_totals(db, &docs, &bytes, NULL), KF_OK);
    store_read_end(t.store, db);
    assert_int_equal(docs, 6);
    assert_int_equal(bytes, 18);
}

static void versions_and_differences(void **state)
{
    (void)state;
    struct kf_doc_list list = {0};
    struct kf_bytes patch_bytes = {0};
    assert_int_equal(kf_doc_versions(t.store, "a", 0, 10, &list, &t.err), KF_ABSENT);
    assert_int_equal(testing_put(&t, "a", "{\"x\":1}"), KF_OK);
    assert_int_equal(kf_doc_diff(t.store, "a", 0, 0, &patch_bytes, &t.err), KF_ABSENT);
    assert_int_equal(patch("a", "{\"x\":2}"), KF_OK);
    assert_int_equal(delete ("a"), KF_OK);
    assert_int_equal(kf_doc_diff(t.store, "a", 0, 0, &patch_bytes, &t.err), KF_ABSENT);
    assert_int_equal(revert("a", 1), KF_OK);
    assert_int_equal(kf_doc_versions(t.store, "a", 0, 10, &list, NULL), KF_OK);
    assert_int_equal(list.count, 4);
    assert_string_equal(list.items[0].kind, "revert");
    assert_true(list.items[0].current);
    assert_string_equal(list.items[1].kind, "delete");
    assert_true(list.items[1].deleted);
    assert_int_equal(list.items[1].size, 0);
    assert_false(list.items[1].current);
    assert_string_equal(list.items[2].kind, "patch");
    assert_string_equal(list.items[3].kind, "put");
    assert_int_equal(list.items[3].version, 1);
    kf_doc_list_free(&list);
    assert_int_equal(kf_doc_versions(t.store, "a", 4, 1, &list, NULL), KF_OK);
    assert_int_equal(list.items[0].version, 3);
    assert_true(list.more);
    kf_doc_list_free(&list);
    assert_int_equal(kf_doc_diff(t.store, "a", 1, 2, &patch_bytes, &t.err), KF_OK);
    assert_string_equal(patch_bytes.p, "[{\"op\":\"replace\",\"path\":\"/x\",\"value\":2}]");
    kf_bytes_free(&patch_bytes);
    assert_int_equal(kf_doc_diff(t.store, "a", 2, 0, &patch_bytes, &t.err), KF_OK);
    kf_bytes_free(&patch_bytes);
    assert_int_equal(kf_doc_diff(t.store, "a", 1, 9, &patch_bytes, &t.err), KF_ABSENT);
    assert_int_equal(kf_doc_diff(t.store, "b", 0, 0, &patch_bytes, &t.err), KF_ABSENT);
    struct db *db;
    int64_t since = 0;
    assert_int_equal(store_read(t.store, &db, NULL), KF_OK);
    assert_int_equal(doc_since(db, STR("a"), 1, &since, NULL), KF_OK);
    assert_int_equal(since, atomic_load(&t.env.wall_ms));
    assert_int_equal(doc_since(db, STR("a"), 99, &since, NULL), KF_OK);
    assert_int_equal(since, 0);
    store_read_end(t.store, db);
}

static int64_t versions_of(const char *name)
{
    struct kf_doc_list list = {0};
    assert_int_equal(kf_doc_versions(t.store, name, 0, 1000, &list, NULL), KF_OK);
    int64_t count = (int64_t)list.count;
    kf_doc_list_free(&list);
    return count;
}

static void versions_are_kept_by_count_and_age(void **state)
{
    (void)state;
    testing_docs_close(&t);
    testing_docs_open(&t, "spaces: { default: { docs: [ { match: a, keep: { versions: 3 } },\n"
                          "  { match: b, keep: { versions: 0, age: 10d } } ] } }\n");
    char body[16];
    for (int i = 1; i <= 6; i++) {
        snprintf(body, sizeof body, "%d", i);
        assert_int_equal(testing_put(&t, "a", body), KF_OK);
        assert_int_equal(testing_put(&t, "b", body), KF_OK);
        assert_int_equal(versions_of("a"), i < 3 ? i : 3);
        testing_env_advance(&t.env, (int64_t)3 * 86400000);
    }
    assert_int_equal(versions_of("b"), 6);
    docs_pin(t.docs);
    docs_pin(t.docs);
    docs_unpin(t.docs);
    assert_int_equal(testing_put(&t, "a", "7"), KF_OK);
    assert_int_equal(docs_retain(t.docs, &t.err), KF_OK);
    assert_int_equal(versions_of("a"), 4);
    assert_int_equal(versions_of("b"), 6);
    docs_unpin(t.docs);
    assert_int_equal(docs_retain(t.docs, &t.err), KF_OK);
    assert_int_equal(versions_of("a"), 3);
    assert_int_equal(versions_of("b"), 3);
    testing_env_advance(&t.env, (int64_t)100 * 86400000);
    assert_int_equal(docs_retain(t.docs, &t.err), KF_OK);
    assert_int_equal(versions_of("b"), 1);
    testing_is(&t, "b", "6", 6);
    assert_int_equal(testing_put(&t, "b", "x"), KF_INVALID);
    assert_int_equal(testing_put(&t, "b", "7"), KF_OK);
    assert_int_equal(t.written.version, 7);
    struct kf_doc doc = {0};
    assert_int_equal(kf_doc_get_version(t.store, "a", 1, &doc, NULL), KF_ABSENT);
}

/* A slice that is applied again begins where it began, and passes no name over. */
static void a_slice_that_is_applied_again_passes_nothing_over(void **state)
{
    (void)state;
    enum { NAMES = 130 }; /* more than two pages */
    char name[16];
    testing_docs_close(&t);
    testing_docs_open(
        &t,
        "spaces: { default: { docs: [ { match: \"*\", keep: { versions: 0, age: 1d } } ] } }\n");
    for (int i = 0; i < 2 * NAMES; i++) {
        snprintf(name, sizeof name, "d%03d", i / 2);
        assert_int_equal(testing_put(&t, name, i % 2 ? "2" : "1"), KF_OK);
    }
    testing_env_advance(&t.env, (int64_t)2 * 86400000);
    testing_twice_begin(t.store);
    kf_rc rc = docs_retain(t.docs, &t.err);
    testing_twice_end();
    assert_int_equal(rc, KF_OK);
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "d%03d", i);
        if (versions_of(name) != 1)
            fail_msg("%s was passed over", name);
    }
}

/* ---------------------------------------------------------------------------------------- merge */

#define SITE_LOW  "0000000000000001"
#define SITE_HIGH "ffffffffffffffff"

static int64_t now_stamp(int64_t ms_from_now)
{
    return (atomic_load(&t.env.wall_ms) + ms_from_now) << 16;
}

static enum doc_merged merge(const char *name, const char *body, int64_t stamp, const char *site,
                             uint64_t version)
{
    struct doc_import import = {.name = str_of(name),
                                .body = body ? str_of(body) : (str){0},
                                .site = str_of(site),
                                .stamp = stamp,
                                .at_ms = 1000,
                                .version = version};
    enum doc_merged merged = DOC_SAME;
    if (testing_merge(&t, &import, &merged) != KF_OK)
        fail_msg("%s", t.err.detail);
    return merged;
}

static void what_others_wrote(void **state)
{
    (void)state;
    /* Nothing here: taken, with their number. */
    assert_int_equal(merge("a", "1", now_stamp(-9000), SITE_LOW, 7), DOC_TAKEN);
    testing_is(&t, "a", "1", 7);
    struct kf_doc doc = {0};
    assert_int_equal(kf_doc_get(t.store, "a", &doc, NULL), KF_OK);
    char etag[DOC_ETAG_LEN + 1];
    doc_etag(now_stamp(-9000), STR(SITE_LOW), etag);
    assert_string_equal(doc.etag, etag);
    assert_int_equal(doc.at_ms, 1000);
    kf_doc_release(&doc);
    int64_t seq = store_seq(t.store);
    assert_int_equal(merge("a", "1", now_stamp(-9000), SITE_LOW, 7), DOC_SAME);
    assert_int_equal(store_seq(t.store), seq);
    /* Later: theirs; ours stays. */
    assert_int_equal(merge("a", "2", now_stamp(-8000), SITE_LOW, 8), DOC_REPLACED);
    testing_is(&t, "a", "2", 8);
    assert_int_equal(versions_of("a"), 2);
    /* Later, but with a number below ours. */
    assert_int_equal(merge("a", "3", now_stamp(-7000), SITE_LOW, 2), DOC_REPLACED);
    testing_is(&t, "a", "3", 9);
    /* Earlier: a loser; ours gets the number behind it and keeps its ETag. */
    assert_int_equal(merge("a", "4", now_stamp(-7500), SITE_HIGH, 9), DOC_LOST);
    testing_is(&t, "a", "3", 11);
    assert_int_equal(kf_doc_get(t.store, "a", &doc, NULL), KF_OK);
    doc_etag(now_stamp(-7000), STR(SITE_LOW), etag);
    assert_string_equal(doc.etag, etag);
    kf_doc_release(&doc);
    struct kf_doc_list list = {0};
    assert_int_equal(kf_doc_versions(t.store, "a", 0, 10, &list, NULL), KF_OK);
    assert_int_equal(list.count, 5);
    assert_string_equal(list.items[0].kind, "merge");
    assert_string_equal(list.items[1].kind, "loser");
    assert_int_equal(list.items[1].version, 10);
    assert_int_equal(list.items[2].version, 9);
    kf_doc_list_free(&list);
    /* Once more: we have it. An ancestor too. */
    assert_int_equal(merge("a", "4", now_stamp(-7500), SITE_HIGH, 9), DOC_SAME);
    assert_int_equal(merge("a", "1", now_stamp(-9000), SITE_LOW, 7), DOC_SAME);
    testing_is(&t, "a", "3", 11);
    /* The loser can be brought back. */
    assert_int_equal(revert("a", 10), KF_OK);
    testing_is(&t, "a", "4", 12);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_journal"), 1);
}

static void ties_and_equal_bytes(void **state)
{
    (void)state;
    int64_t stamp = now_stamp(-1000);
    assert_int_equal(merge("a", "1", stamp, SITE_LOW, 1), DOC_TAKEN);
    assert_int_equal(merge("a", "2", stamp, SITE_HIGH, 1), DOC_REPLACED);
    assert_int_equal(merge("b", "2", stamp, SITE_HIGH, 1), DOC_TAKEN);
    assert_int_equal(merge("b", "1", stamp, SITE_LOW, 1), DOC_LOST);
    testing_is(&t, "a", "2", 2);
    testing_is(&t, "b", "2", 3);
    /* A cloned site: same stamp and site, other bytes. The order of hashes decides, both ways
     * alike. */
    assert_int_equal(merge("c", "1", stamp, SITE_LOW, 1), DOC_TAKEN);
    enum doc_merged one = merge("c", "2", stamp, SITE_LOW, 1);
    assert_int_equal(merge("d", "2", stamp, SITE_LOW, 1), DOC_TAKEN);
    enum doc_merged other = merge("d", "1", stamp, SITE_LOW, 1);
    assert_true(one == DOC_REPLACED ? other == DOC_LOST : one == DOC_LOST && other == DOC_REPLACED);
    /* The same bytes: the later stamp, no version, a new number. */
    assert_int_equal(merge("e", "1", stamp, SITE_LOW, 1), DOC_TAKEN);
    int64_t seq = store_seq(t.store);
    assert_int_equal(merge("e", "1", stamp + 5, SITE_HIGH, 9), DOC_SAME);
    testing_is(&t, "e", "1", 1);
    assert_int_equal(store_seq(t.store), seq + 1);
    char etag[DOC_ETAG_LEN + 1];
    struct kf_doc doc = {0};
    doc_etag(stamp + 5, STR(SITE_HIGH), etag);
    assert_int_equal(kf_doc_get(t.store, "e", &doc, NULL), KF_OK);
    assert_string_equal(doc.etag, etag);
    kf_doc_release(&doc);
    assert_int_equal(merge("e", "1", stamp, SITE_LOW, 1), DOC_SAME);
    assert_int_equal(store_seq(t.store), seq + 1);
    assert_int_equal(versions_of("e"), 1);
    assert_int_equal(testing_put(&t, "e", "2"), KF_OK);
    assert_int_equal(t.written.version, 2);
    testing_docs_reopen(&t);
    testing_is(&t, "e", "2", 2);
}

static void deletions_from_elsewhere(void **state)
{
    (void)state;
    assert_int_equal(testing_put(&t, "a", "1"), KF_OK);
    assert_int_equal(merge("a", NULL, now_stamp(-1000), SITE_LOW, 5), DOC_LOST);
    testing_is(&t, "a", "1", 3);
    assert_int_equal(merge("a", NULL, now_stamp(1000), SITE_LOW, 5), DOC_REPLACED);
    assert_int_equal(testing_get(&t, "a"), KF_ABSENT);
    assert_int_equal(merge("a", "9", now_stamp(500), SITE_LOW, 5), DOC_LOST);
    assert_int_equal(testing_get(&t, "a"), KF_ABSENT);
    assert_int_equal(testing_put(&t, "a", "2"), KF_OK);
    assert_true(t.written.created);
    assert_int_equal(t.written.version, 8);
    assert_int_equal(merge("b", NULL, now_stamp(-1000), SITE_LOW, 5), DOC_TAKEN);
    assert_int_equal(testing_get(&t, "b"), KF_ABSENT);
    assert_int_equal(revert("b", 5), KF_ABSENT);
}

static void a_write_after_a_merge_is_later(void **state)
{
    (void)state;
    int64_t ahead = now_stamp(200000);
    assert_int_equal(merge("a", "1", ahead, SITE_HIGH, 1), DOC_TAKEN);
    assert_int_equal(testing_put(&t, "a", "2"), KF_OK);
    assert_true(testing_number(&t, "SELECT stamp FROM kf_doc") > ahead);
    assert_int_equal(merge("a", "1", ahead, SITE_HIGH, 1), DOC_SAME);
    testing_is(&t, "a", "2", 2);
}

static void a_clock_in_the_future_orders_its_document_only(void **state)
{
    (void)state;
    int64_t future = now_stamp((int64_t)86400000);
    assert_int_equal(merge("a", "1", future, SITE_HIGH, 3), DOC_TAKEN);
    testing_is(&t, "a", "1", 3);
    assert_int_equal(testing_number(&t, "SELECT stamp FROM kf_doc WHERE name = 'a'"), future);
    assert_int_equal(merge("a", "1", future, SITE_HIGH, 3), DOC_SAME);
    /* Written over here, it is beaten here and wherever both come: in every order. */
    assert_int_equal(testing_put(&t, "a", "2"), KF_OK);
    int64_t ours = testing_number(&t, "SELECT stamp FROM kf_doc WHERE name = 'a'");
    assert_int_equal(ours, future + 1);
    assert_int_equal(merge("a", "1", future, SITE_HIGH, 3), DOC_SAME);
    testing_is(&t, "a", "2", 4);
    assert_int_equal(merge("a", "3", future + 2, SITE_HIGH, 4), DOC_REPLACED);
    testing_is(&t, "a", "3", 5);
    /* The clock did not move, nor did the stamps of other documents. */
    assert_int_equal(testing_put(&t, "b", "1"), KF_OK);
    assert_true(testing_number(&t, "SELECT stamp FROM kf_doc WHERE name = 'b'") < future);
    assert_true(testing_number(&t, "SELECT stamp FROM kf_state") < future);
}

static void a_stamp_that_no_clock_gives_is_refused(void **state)
{
    static const int64_t stamps[] = {INT64_MIN, -5, 0, CLOCK_STAMP_MAX + 1, INT64_MAX};
    enum doc_merged merged = DOC_TAKEN;
    (void)state;
    for (size_t i = 0; i < sizeof stamps / sizeof *stamps; i++) {
        struct doc_import import = {.name = STR("a"),
                                    .body = STR("1"),
                                    .site = STR(SITE_LOW),
                                    .stamp = stamps[i],
                                    .version = 1};
        assert_int_equal(testing_merge(&t, &import, &merged), KF_INVALID);
        assert_string_equal(t.err.code, "bad_archive");
    }
    assert_int_equal(testing_get(&t, "a"), KF_ABSENT);
    assert_int_equal(merge("a", "1", CLOCK_STAMP_MAX, SITE_LOW, 1), DOC_TAKEN);
    assert_int_equal(testing_put(&t, "a", "2"), KF_OK);
    testing_is(&t, "a", "2", 2);
}

static void what_cannot_be_taken(void **state)
{
    (void)state;
    struct doc_import import = {.name = STR("a"), .body = STR("1"), .site = STR("x"), .stamp = 1};
    enum doc_merged merged = DOC_TAKEN;
    assert_int_equal(testing_merge(&t, &import, &merged), KF_INVALID);
    assert_string_equal(t.err.code, "bad_archive");
    import.site = STR(SITE_LOW);
    import.name = STR("../a");
    assert_int_equal(testing_merge(&t, &import, &merged), KF_INVALID);
    assert_string_equal(t.err.code, "bad_key");
    import.name = STR("a");
    import.body = STR("{");
    assert_int_equal(testing_merge(&t, &import, &merged), KF_INVALID);
    assert_string_equal(t.err.code, "bad_json");
    assert_int_equal(store_seq(t.store), 0);
}

/* Two stores that exchange everything in any order end alike. */
static void sites_converge(void **state)
{
    (void)state;
    struct testing_docs sites[2] = {{.cache_bytes = 1000}, {.cache_bytes = 1000}};
    uint64_t seed = 4711;
    for (int i = 0; i < 2; i++)
        testing_docs_open(&sites[i], NULL);
    struct {
        struct doc_import import;
        char name[2], body[2];
    } writes[40];
    for (int i = 0; i < 40; i++) {
        uint64_t r = testing_random(&seed);
        snprintf(writes[i].name, 2, "%c", 'a' + (int)(r % 3));
        snprintf(writes[i].body, 2, "%d", (int)(r / 3 % 4));
        writes[i].import = (struct doc_import){
            .name = str_of(writes[i].name),
            .body = r / 12 % 5 ? str_of(writes[i].body) : (str){0},
            .site = r / 60 % 2 ? STR(SITE_LOW) : STR(SITE_HIGH),
            .stamp = now_stamp(-1000) + (int64_t)(r / 120 % 6),
            .version = r / 720 % 5,
        };
    }
    for (int round = 0; round < 300; round++) {
        enum doc_merged merged;
        for (int i = 0; i < 2; i++)
            assert_int_equal(
                testing_merge(&sites[i], &writes[testing_random(&seed) % 40].import, &merged),
                KF_OK);
    }
    for (int w = 0; w < 40; w++) {
        enum doc_merged merged;
        assert_int_equal(testing_merge(&sites[0], &writes[w].import, &merged), KF_OK);
        assert_int_equal(testing_merge(&sites[1], &writes[39 - w].import, &merged), KF_OK);
    }
    for (char name[2] = "a"; name[0] <= 'c'; name[0]++) {
        struct kf_doc docs[2] = {{0}, {0}};
        kf_rc rc[2];
        for (int i = 0; i < 2; i++)
            rc[i] = kf_doc_get(sites[i].store, name, &docs[i], NULL);
        assert_int_equal(rc[0], rc[1]);
        assert_string_equal(docs[0].etag, docs[1].etag);
        assert_int_equal(docs[0].len, docs[1].len);
        if (docs[0].len)
            assert_memory_equal(docs[0].body, docs[1].body, docs[0].len);
        kf_doc_release(&docs[0]);
        kf_doc_release(&docs[1]);
    }
    testing_docs_close(&sites[0]);
    testing_docs_close(&sites[1]);
}

/* --------------------------------------------------------------------------------------- memory */

static void memory_is_bounded(void **state)
{
    (void)state;
    testing_docs_close(&t);
    t.cache_bytes = 64 * 1024;
    testing_docs_open(&t, NULL);
    char name[16], *large = calloc(1, 20001);
    struct kf_doc held = {0}, doc = {0};
    assert_non_null(large);
    memset(large, '1', 20000);
    assert_int_equal(testing_put(&t, "n0", "\"held\""), KF_OK);
    assert_int_equal(doc_peek(t.docs, STR("n0"), &held), KF_OK);
    for (int i = 1; i < 3000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(testing_put(&t, name, "{\"a\":[1,2,3]}"), KF_OK);
    }
    assert_true(docs_cache_bytes(t.docs) <= 64 * 1024);
    assert_true(docs_cache_bytes(t.docs) > 32 * 1024);
    assert_memory_equal(held.body, "\"held\"", 7); /* evicted, but ours until released */
    assert_int_equal(doc_peek(t.docs, STR("n0"), &doc), KF_ABSENT);
    kf_doc_release(&held);
    assert_int_equal(doc_peek(t.docs, STR("n2999"), &doc), KF_OK);
    kf_doc_release(&doc);
    testing_is(&t, "n0", "\"held\"", 1);
    assert_int_equal(doc_peek(t.docs, STR("n0"), &doc), KF_OK);
    kf_doc_release(&doc);
    /* What is too large for it replaces what was there, and is read from the store. */
    assert_int_equal(testing_put(&t, "n0", large), KF_OK);
    assert_int_equal(doc_peek(t.docs, STR("n0"), &doc), KF_ABSENT);
    testing_is(&t, "n0", large, 2);
    /* Another bound holds at once, and for what comes. */
    docs_cache_limit(t.docs, 16 * 1024);
    assert_in_range(docs_cache_bytes(t.docs), 1024, 16 * 1024);
    for (int i = 0; i < 100; i++)
        testing_is(&t, "n2999", "{\"a\":[1,2,3]}", 1);
    assert_in_range(docs_cache_bytes(t.docs), 1024, 16 * 1024);
    docs_cache_limit(t.docs, 0);
    assert_int_equal(docs_cache_bytes(t.docs), 0);
    testing_is(&t, "n2999", "{\"a\":[1,2,3]}", 1);
    docs_cache_limit(t.docs, 64 * 1024);
    docs_forget_all(t.docs);
    assert_int_equal(docs_cache_bytes(t.docs), 0);
    free(large);
    t.cache_bytes = 1 << 20;
}

static struct hot *hot_at(const char *name, int64_t seq)
{
    struct hot *hot = NULL;
    assert_int_equal(hot_new(str_of(name), 1, &hot, NULL), KF_OK);
    *hot_room(hot) = '1';
    hot->seq = seq;
    hot->version = (uint64_t)seq;
    return hot;
}

/* The number that memory has, 0 = none. */
static int64_t cached(struct doc_cache *cache, uint64_t *ret_mark)
{
    struct hot *hot = doc_cache_get(cache, STR("n"), ret_mark);
    int64_t seq = hot ? hot->seq : 0;
    hot_drop(hot);
    return seq;
}

static void saw(struct doc_cache *cache, int64_t seq, bool deleted, uint64_t mark)
{
    struct hot *hot = deleted ? NULL : hot_at("n", seq);
    doc_cache_saw(cache, STR("n"), seq, hot, mark);
    hot_drop(hot);
}

/* Version 1 is published, version 2 committed but not yet; readers have snapshots of both. */
static void what_was_seen_does_not_go_away(void **state)
{
    (void)state;
    uint64_t mark = 0;
    for (int deleted = 0; deleted < 2; deleted++) {
        struct doc_cache *cache = NULL;
        int64_t newest = deleted ? 0 : 2;
        assert_int_equal(doc_cache_new(&t.env.env, 1 << 20, &cache, NULL), KF_OK);
        /* The old reader ends last, and the newer entry was evicted meanwhile. */
        assert_int_equal(cached(cache, &mark), 0);
        saw(cache, 2, deleted, mark);
        assert_int_equal(cached(cache, NULL), newest);
        doc_cache_forget(cache, STR("n"));
        saw(cache, 1, false, mark);
        assert_int_equal(cached(cache, NULL), 0);
        /* The old reader ends first: what it kept goes when the newer one is answered. */
        assert_int_equal(cached(cache, &mark), 0);
        saw(cache, 1, false, mark);
        assert_int_equal(cached(cache, NULL), 1);
        saw(cache, 2, deleted, mark);
        assert_int_equal(cached(cache, NULL), 0);
        /* A published one is never replaced by what was read before it. */
        struct hot *hot = hot_at("n", 3);
        doc_cache_publish(cache, hot);
        hot_drop(hot);
        saw(cache, 2, deleted, mark);
        assert_int_equal(cached(cache, &mark), 3);
        saw(cache, 3, false, mark);
        assert_int_equal(cached(cache, NULL), 3);
        doc_cache_free(cache);
    }
}

/* A group wrote the name twice. It is committed, and a reader was there before either of them is
 * published. */
static void what_was_seen_of_a_group_is_not_taken_back(void **state)
{
    (void)state;
    uint64_t mark = 0;
    for (int deleted = 0; deleted < 2; deleted++) {
        struct doc_cache *cache = NULL;
        struct hot *first = hot_at("n", 1), *second = hot_at("n", 2);
        assert_int_equal(doc_cache_new(&t.env.env, 1 << 20, &cache, NULL), KF_OK);
        assert_int_equal(cached(cache, &mark), 0);
        saw(cache, 2, deleted, mark);
        doc_cache_publish(cache, first);
        assert_int_equal(cached(cache, NULL), deleted ? 0 : 2);
        if (deleted)
            doc_cache_forget(cache, STR("n"));
        else
            doc_cache_publish(cache, second);
        assert_int_equal(cached(cache, NULL), deleted ? 0 : 2);
        hot_drop(first);
        hot_drop(second);
        doc_cache_free(cache);
    }
}

/* As above, by eviction, which moves no mark: only the read that has ended may. */
static void an_eviction_does_not_let_the_past_in(void **state)
{
    (void)state;
    struct doc_cache *cache = NULL;
    uint64_t mark = 0;
    assert_int_equal(doc_cache_new(&t.env.env, 8000, &cache, NULL), KF_OK);
    assert_int_equal(cached(cache, &mark), 0);
    saw(cache, 2, false, mark);
    for (int i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", i);
        struct hot *hot = hot_at(name, 10 + i);
        doc_cache_publish(cache, hot);
        hot_drop(hot);
    }
    assert_int_equal(cached(cache, NULL), 0);
    saw(cache, 1, false, mark);
    assert_int_equal(cached(cache, NULL), 0);
    doc_cache_free(cache);
}

struct oom_case {
    kf_verb verb;
    const char *body;
};

static kf_rc run_oom(void *ctx)
{
    const struct oom_case *c = ctx;
    struct kf_write_options o = with_match("*");
    char key[32];
    static int n;
    snprintf(key, sizeof key, "k%d", n++);
    o.idempotency_key = key;
    docs_forget_all(t.docs);
    kf_rc rc = testing_write_doc(&t, c->verb, "a", c->body, 1, &o);
    if (rc != KF_OK)
        return rc;
    docs_forget_all(t.docs);
    rc = testing_get(&t, "a");
    struct kf_doc_list list = {0};
    struct kf_bytes diff = {0};
    if (rc == KF_OK)
        rc = kf_doc_list(t.store, "", NULL, 10, &list, NULL);
    kf_doc_list_free(&list);
    if (rc == KF_OK)
        rc = kf_doc_versions(t.store, "a", 0, 10, &list, NULL);
    kf_doc_list_free(&list);
    if (rc == KF_OK)
        rc = kf_doc_diff(t.store, "a", 1, 0, &diff, NULL);
    kf_bytes_free(&diff);
    return rc;
}

static void no_failed_allocation_does_half_of_it(void **state)
{
    (void)state;
    struct oom_case cases[] = {
        {KF_PUT, "{\"x\":[1,2,3]}"}, {KF_PATCH, "{\"y\":1}"}, {KF_REVERT, NULL}};
    assert_int_equal(testing_put(&t, "a", "{\"x\":1}"), KF_OK);
    assert_int_equal(testing_put(&t, "a", "{\"x\":2}"), KF_OK);
    for (size_t i = 0; i < 3; i++)
        assert_true(testing_oom_each_tolerant(run_oom, &cases[i]) >= 20);
    assert_int_equal(
        testing_number(&t, "SELECT count(*) FROM kf_doc d JOIN kf_doc_version v ON v.seq = d.seq "
                           "JOIN kf_journal j ON j.seq = d.seq"),
        1);
}

/* -------------------------------------------------------------------------------------- tickets */

struct called {
    int times;
    kf_rc rc;
    uint64_t version;
};

static void on_done(void *ctx, kf_rc rc, const struct kf_written *written, const struct kf_err *err)
{
    struct called *c = ctx;
    assert_true((rc == KF_OK) == (written != NULL) && (rc != KF_OK) == (err != NULL));
    c->times++;
    c->rc = rc;
    c->version = written ? written->version : 0;
}

static void submit_and_wait(void **state)
{
    (void)state;
    struct kf_write w = KF_WRITE_INIT;
    struct called called = {0};
    kf_ticket *tickets[3] = {NULL, NULL, NULL};
    struct kf_written written = {0};
    w.verb = KF_PUT;
    w.name = "a";
    w.body = "1";
    w.len = 1;
    assert_int_equal(kf_submit(t.store, &w, NULL, NULL, &tickets[0], NULL), KF_OK);
    w.body = "2";
    w.options.level = KF_LEVEL_MEMORY;
    assert_int_equal(kf_submit(t.store, &w, NULL, NULL, &tickets[1], NULL), KF_OK);
    w.verb = KF_DELETE;
    w.name = "nothing";
    assert_int_equal(kf_submit(t.store, &w, on_done, &called, NULL, NULL), KF_OK);
    assert_int_equal(kf_wait(&tickets[0], 0, &written, &t.err), KF_BUSY);
    assert_non_null(tickets[0]);
    assert_int_equal(called.times, 0);
    while (store_lead(t.store))
        ;
    assert_int_equal(called.times, 1);
    assert_int_equal(called.rc, KF_ABSENT);
    assert_int_equal(kf_wait(&tickets[0], 0, &written, &t.err), KF_OK);
    assert_null(tickets[0]);
    assert_int_equal(written.version, 1);
    assert_int_equal(written.level, store_level(t.store));
    assert_int_equal(kf_wait(&tickets[1], 0, &written, &t.err), KF_OK);
    assert_int_equal(written.version, 2);
    assert_int_equal(written.level, KF_LEVEL_MEMORY);
    testing_is(&t, "a", "2", 2);
    w.verb = KF_PUT;
    w.options.wait = "usb";
    assert_int_equal(kf_submit(t.store, &w, on_done, &called, NULL, NULL), KF_MISUSE);
    w.options.wait = NULL;
    assert_int_equal(kf_submit(t.store, &w, on_done, &called, &tickets[2], NULL), KF_MISUSE);
    assert_int_equal(kf_submit(t.store, &w, NULL, NULL, NULL, NULL), KF_MISUSE);
    assert_int_equal(kf_submit(t.store, NULL, on_done, NULL, NULL, NULL), KF_MISUSE);
    assert_int_equal(kf_wait(NULL, 0, NULL, NULL), KF_MISUSE);
    w.body = "{";
    assert_int_equal(kf_submit(t.store, &w, on_done, &called, NULL, NULL), KF_INVALID);
    assert_int_equal(called.times, 1);
    /* Left to kf_close. */
    w.body = "3";
    assert_int_equal(kf_submit(t.store, &w, NULL, NULL, &tickets[2], NULL), KF_OK);
    assert_int_equal(kf_submit(t.store, &w, on_done, &called, NULL, NULL), KF_OK);
    testing_docs_reopen(&t);
    assert_int_equal(called.times, 2);
    assert_int_not_equal(called.rc, KF_OK);
}

static void a_full_queue_is_told_at_once(void **state)
{
    (void)state;
    struct kf_write w = KF_WRITE_INIT;
    struct called called = {0};
    w.verb = KF_DELETE;
    w.name = "a";
    for (int i = 0; i < STORE_QUEUE_MAX; i++)
        assert_int_equal(kf_submit(t.store, &w, on_done, &called, NULL, NULL), KF_OK);
    assert_int_equal(kf_submit(t.store, &w, on_done, &called, NULL, &t.err), KF_BUSY);
    kf_ticket *ticket = NULL;
    w.options.level = KF_LEVEL_MEMORY;
    assert_int_equal(kf_submit(t.store, &w, NULL, NULL, &ticket, &t.err), KF_BUSY);
    assert_null(ticket);
    assert_int_equal(called.times, 0);
    while (store_lead(t.store))
        ;
    assert_int_equal(called.times, STORE_QUEUE_MAX);
}

/* Writes of one name in one group, told early or not: memory ends with the last. */
static void memory_follows_the_order_of_a_group(void **state)
{
    (void)state;
    struct kf_write w = KF_WRITE_INIT;
    struct called called = {0};
    w.name = "a";
    for (int i = 0; i < 24; i++) {
        char body[16];
        snprintf(body, sizeof body, "%d", i);
        w.verb = i % 3 == 1 ? KF_DELETE : KF_PUT;
        w.body = body;
        w.len = strlen(body);
        w.options.level = i / 3 % 2 ? KF_LEVEL_MEMORY : store_level(t.store);
        assert_int_equal(kf_submit(t.store, &w, on_done, &called, NULL, NULL), KF_OK);
    }
    while (store_lead(t.store))
        ;
    struct kf_doc doc = {0};
    assert_int_equal(doc_peek(t.docs, STR("a"), &doc), KF_OK);
    assert_string_equal(doc.body, "23");
    kf_doc_release(&doc);
    testing_is(&t, "a", "23", 24);
    w.verb = KF_PUT;
    w.body = "1";
    w.len = 1;
    w.options.level = KF_LEVEL_MEMORY;
    assert_int_equal(kf_submit(t.store, &w, on_done, &called, NULL, NULL), KF_OK);
    w.verb = KF_DELETE;
    w.options.level = store_level(t.store);
    assert_int_equal(kf_submit(t.store, &w, on_done, &called, NULL, NULL), KF_OK);
    while (store_lead(t.store))
        ;
    assert_int_equal(doc_peek(t.docs, STR("a"), &doc), KF_ABSENT);
    assert_int_equal(testing_get(&t, "a"), KF_ABSENT);
}

struct told {
    kf_rc in_memory;
    uint64_t took_ms;
    int times;
};

static void on_told(void *ctx, kf_rc rc, const struct kf_written *written, const struct kf_err *err)
{
    struct told *told = ctx;
    struct kf_doc doc = {0};
    (void)err;
    assert_int_equal(rc, KF_OK);
    assert_int_equal(written->level, KF_LEVEL_MEMORY);
    told->in_memory = doc_peek(t.docs, STR("a"), &doc);
    kf_doc_release(&doc);
    uint64_t began_ms = env_mono_ms(env_system());
    kf_doc_get(t.store, "a", &doc, NULL); /* whoever commits does not wait for its own commit */
    told->took_ms = env_mono_ms(env_system()) - began_ms;
    kf_doc_release(&doc);
    told->times++;
}

/* Between the answer of a write of level memory and its commit, memory does not show what was there
 * before. */
static void who_was_told_early_is_shown_nothing_older(void **state)
{
    (void)state;
    struct kf_write w = KF_WRITE_INIT;
    w.name = "a";
    w.options.level = KF_LEVEL_MEMORY;
    for (int i = 0; i < 2; i++) {
        struct told told = {.in_memory = KF_OK};
        testing_put(&t, "a", "1");
        testing_is(&t, "a", "1", 0);
        w.verb = i ? KF_DELETE : KF_PUT;
        w.body = i ? NULL : "2";
        w.len = i ? 0 : 1;
        assert_int_equal(kf_submit(t.store, &w, on_told, &told, NULL, NULL), KF_OK);
        while (store_lead(t.store))
            ;
        assert_int_equal(told.times, 1);
        assert_int_equal(told.in_memory, KF_ABSENT);
        assert_true(told.took_ms < 1000);
        assert_int_equal(testing_get(&t, "a"), i ? KF_ABSENT : KF_OK);
        if (!i)
            testing_is(&t, "a", "2", 2);
    }
}

/* ------------------------------------------------------------------------------------ saboteurs */

#ifdef KF_TEST_HOOKS
TESTING_SABOTEUR(keys_shared, "keys-shared", keys_of_several)
TESTING_SABOTEUR(early_shown_late, "early-shown-late", who_was_told_early_is_shown_nothing_older)
TESTING_SABOTEUR(skip_hash_check, "skip-hash-check", damage_is_found_and_not_overwritten_blindly)
TESTING_SABOTEUR(drop_loser, "drop-loser", what_others_wrote)
TESTING_SABOTEUR(drop_idempotency_index, "drop-idempotency-index", once)
TESTING_SABOTEUR(id_expires_at_once, "id-expires-at-once", once)
TESTING_SABOTEUR(tie_by_arrival, "tie-by-arrival", ties_and_equal_bytes)
TESTING_SABOTEUR(tie_without_content_hash, "tie-without-content-hash", ties_and_equal_bytes)
#endif

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    testing_only(argc, argv);
#ifdef RIG_PG
    testing_docs_on_pg();
    testing_pg_new(); /* saboteurs have the same server */
#endif
    const struct CMUnitTest tests[] = {
        TEST(names),
        TEST(etags),
        TEST(put_and_get),
        TEST(identical_bytes_change_nothing),
        TEST(head_version_and_journal_agree),
        TEST(patches),
        TEST(a_deletion_is_a_version),
        TEST(bodies_are_checked),
        TEST(sizes_are_checked),
        TEST(conditions),
        TEST(wrong_requests),
        TEST(once),
        TEST(defaults_and_schemas),
        TEST(hydration),
        TEST(damage_is_found_and_not_overwritten_blindly),
        TEST(damage_is_shown_to_visits),
        TEST(lists),
        TEST(versions_and_differences),
        TEST(versions_are_kept_by_count_and_age),
        TEST(a_slice_that_is_applied_again_passes_nothing_over),
        TEST(what_others_wrote),
        TEST(ties_and_equal_bytes),
        TEST(deletions_from_elsewhere),
        TEST(a_write_after_a_merge_is_later),
        TEST(a_clock_in_the_future_orders_its_document_only),
        TEST(a_stamp_that_no_clock_gives_is_refused),
        TEST(what_cannot_be_taken),
        TEST(sites_converge),
        TEST(memory_is_bounded),
        TEST(what_was_seen_does_not_go_away),
        TEST(what_was_seen_of_a_group_is_not_taken_back),
        TEST(an_eviction_does_not_let_the_past_in),
        TEST(no_failed_allocation_does_half_of_it),
        TEST(submit_and_wait),
        TEST(a_full_queue_is_told_at_once),
        TEST(memory_follows_the_order_of_a_group),
        TEST(who_was_told_early_is_shown_nothing_older),
        TEST(keys_of_several),
#ifdef KF_TEST_HOOKS
        cmocka_unit_test(saboteur_keys_shared),
        cmocka_unit_test(saboteur_early_shown_late),
        cmocka_unit_test(saboteur_skip_hash_check),
        cmocka_unit_test(saboteur_drop_loser),
        cmocka_unit_test(saboteur_drop_idempotency_index),
        cmocka_unit_test(saboteur_id_expires_at_once),
        cmocka_unit_test(saboteur_tie_by_arrival),
        cmocka_unit_test(saboteur_tie_without_content_hash),
#endif
    };
    return cmocka_run_group_tests_name("doc", tests, NULL, NULL);
}
