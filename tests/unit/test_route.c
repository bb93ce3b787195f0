/* Targets to routes: what is matched, decoded, refused. */
#include "testing.h"

#include "api/api_internal.h"

struct want {
    enum api_method method;
    const char *target, *code; /* "" = matched */
    enum route route;
    const char *name, *query; /* query: value of the first parameter */
};

static const struct want table[] = {
    {API_GET, "/v1", "", ROUTE_SPACES, "", ""},
    {API_GET, "/v1/finance/docs", "", ROUTE_DOC_LIST, "", ""},
    {API_GET, "/v1/finance/docs?prefix=a%2Fb+c", "", ROUTE_DOC_LIST, "", "a/b c"},
    {API_GET, "/v1/finance/docs/a", "", ROUTE_DOC_GET, "a", ""},
    {API_HEAD, "/v1/finance/docs/a", "", ROUTE_DOC_GET, "a", ""},
    {API_PUT, "/v1/finance/docs/a/b/c.json", "", ROUTE_DOC_PUT, "a/b/c.json", ""},
    {API_GET, "/v1/finance/docs/versions", "", ROUTE_DOC_GET, "versions", ""},
    {API_GET, "/v1/finance/docs/versions/versions", "", ROUTE_DOC_VERSIONS, "versions", ""},
    {API_GET, "/v1/finance/docs/a/versions", "", ROUTE_DOC_VERSIONS, "a", ""},
    {API_PUT, "/v1/finance/docs/a/versions", "method_not_allowed", ROUTE_NONE, "", ""},
    {API_PUT, "/v1/finance/docs/a%2Fversions", "", ROUTE_DOC_PUT, "a/versions", ""},
    {API_PUT, "/v1/finance/docs/a%2fversions", "", ROUTE_DOC_PUT, "a/versions", ""},
    {API_PUT, "/v1/finance/docs/%61%25", "", ROUTE_DOC_PUT, "a%", ""},
    {API_PUT, "/v1/finance/docs/a+b", "", ROUTE_DOC_PUT, "a+b", ""},
    {API_POST, "/v1/finance/docs/a/revert", "", ROUTE_DOC_REVERT, "a", ""},
    {API_GET, "/v1/finance/docs/a/b/diff?from=3&to=4", "", ROUTE_DOC_DIFF, "a/b", "3"},
    {API_GET, "/v1/shop/streams", "", ROUTE_STREAM_LIST, "", ""},
    {API_GET, "/v1/shop/streams?attr.customer=7&prefix=chat/", "", ROUTE_STREAM_LIST, "", "7"},
    {API_GET, "/v1/shop/streams?attr.=7", "bad_filter", ROUTE_NONE, "", ""},
    {API_GET, "/v1/shop/streams?attr=7", "bad_filter", ROUTE_NONE, "", ""},
    {API_GET, "/v1/shop/streams?attrx=7", "bad_filter", ROUTE_NONE, "", ""},
    {API_GET, "/v1/shop/streams/chat/a", "", ROUTE_STREAM_GET, "chat/a", ""},
    {API_PATCH, "/v1/shop/streams/chat/a", "", ROUTE_STREAM_PATCH, "chat/a", ""},
    {API_DELETE, "/v1/shop/streams/chat%2Fa", "", ROUTE_STREAM_ERASE, "chat/a", ""},
    {API_PUT, "/v1/shop/streams/chat/a", "method_not_allowed", ROUTE_NONE, "", ""},
    {API_POST, "/v1/shop/streams/chat/a/entries?ack=memory", "", ROUTE_ENTRY_APPEND, "chat/a",
     "memory"},
    {API_GET, "/v1/shop/streams/chat/a/entries?last=20", "", ROUTE_ENTRIES, "chat/a", "20"},
    {API_GET, "/v1/shop/streams/entries", "", ROUTE_STREAM_GET, "entries", ""},
    {API_GET, "/v1/shop/streams/entries/entries", "", ROUTE_ENTRIES, "entries", ""},
    {API_GET, "/v1/shop/streams/a%2Fentries", "", ROUTE_STREAM_GET, "a/entries", ""},
    {API_DELETE, "/v1/shop/streams/a/entries", "method_not_allowed", ROUTE_NONE, "", ""},
    {API_GET, "/v1/shop/streams/chat/a/context?across=customer", "", ROUTE_CONTEXT, "chat/a",
     "customer"},
    {API_GET, "/v1/shop/streams/chat//a/entries", "bad_key", ROUTE_NONE, "", ""},
    {API_DELETE, "/v1/shop/people/customer/a%2Fb", "", ROUTE_PERSON_ERASE, "", ""},
    {API_DELETE, "/v1/shop/people/customer", "not_found", ROUTE_NONE, "", ""},
    {API_DELETE, "/v1/shop/people/customer/", "not_found", ROUTE_NONE, "", ""},
    {API_DELETE, "/v1/shop/people/customer/a/b", "not_found", ROUTE_NONE, "", ""},
    {API_GET, "/v1/shop/search?q=a+b&prefix=chat/", "", ROUTE_SEARCH, "", "a b"},
    {API_GET, "/v1/shop/receipts?limit=2", "", ROUTE_RECEIPTS, "", "2"},
    {API_GET, "/v1/finance/remotes", "", ROUTE_REMOTES, "", ""},
    {API_POST, "/v1/finance/remotes/usb/run?timeout=3s", "", ROUTE_REMOTE_RUN, "", "3s"},
    {API_GET, "/v1/finance/remotes/usb/pending", "", ROUTE_REMOTE_PENDING, "", ""},
    {API_GET, "/healthz", "", ROUTE_HEALTHZ, "", ""},
    {API_GET, "/", "", ROUTE_PAGE, "", ""},
    {API_GET, "/page/main.js", "", ROUTE_PAGE_FILE, "", ""},
    {API_GET, "/page/", "not_found", ROUTE_NONE, "", ""},
    {API_GET, "/page/a/b", "not_found", ROUTE_NONE, "", ""},
    {API_GET, "//", "not_found", ROUTE_NONE, "", ""},
    {API_GET, "/v2", "not_found", ROUTE_NONE, "", ""},
    {API_GET, "/v1/", "not_found", ROUTE_NONE, "", ""},
    {API_GET, "/v1//docs", "not_found", ROUTE_NONE, "", ""},
    {API_GET, "/v1/x/docs/", "bad_key", ROUTE_NONE, "", ""},
    {API_GET, "/v1/x/docs/a/", "bad_key", ROUTE_NONE, "", ""},
    {API_GET, "/v1/x/docs/a//b", "bad_key", ROUTE_NONE, "", ""},
    {API_GET, "/v1/x/docs/%2E%2E/b", "bad_key", ROUTE_NONE, "", ""},
    {API_GET, "/v1/x/docs/%00", "bad_key", ROUTE_NONE, "", ""},
    {API_GET, "/v1/x/docs/%ff", "bad_key", ROUTE_NONE, "", ""},
    {API_GET, "/v1/x/docs/%f", "bad_request", ROUTE_NONE, "", ""},
    {API_GET, "/v1/x/docs/%zz", "bad_request", ROUTE_NONE, "", ""},
    {API_GET, "/v1/x/docs?prefix=%", "bad_request", ROUTE_NONE, "", ""},
    {API_GET, "/v1/x/docs?prefx=a", "bad_filter", ROUTE_NONE, "", ""},
    {API_GET, "/v1/x/status?x", "bad_filter", ROUTE_NONE, "", ""},
    {API_POST, "/v1/x/status", "method_not_allowed", ROUTE_NONE, "", ""},
    {API_OTHER, "/v1/x/docs/a", "method_not_allowed", ROUTE_NONE, "", ""},
    {API_GET, "/v1/x/remotes/usb/nothing", "not_found", ROUTE_NONE, "", ""},
    {API_OPTIONS, "*", "method_not_allowed", ROUTE_NONE, "", ""},
    {API_GET, "*", "method_not_allowed", ROUTE_NONE, "", ""},
    {API_OPTIONS, "**", "not_found", ROUTE_NONE, "", ""},
};

static void targets_match(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct want *w = &table[i];
        struct arena arena = ARENA_INIT;
        struct route_match m = {.route = ROUTE_NONE};
        struct kf_err err = KF_ERR_INIT;
        kf_rc rc = route_match(w->method, str_of(w->target), &arena, &m, &err);
        if (strcmp(err.code, w->code) != 0)
            fail_msg("%s: %s, wanted \"%s\"", w->target, rc == KF_OK ? "matched" : err.code,
                     w->code);
        if (rc == KF_OK) {
            assert_int_equal(m.route, w->route);
            assert_true(str_is(m.name, w->name));
            assert_true(str_is(m.query_count ? m.query[0].value : STR(""), w->query));
        }
        arena_release(&arena);
    }
}

static void what_is_allowed_is_told(void **state)
{
    (void)state;
    struct arena arena = ARENA_INIT;
    struct route_match m = {0};
    assert_int_not_equal(route_match(API_POST, STR("/v1/x/docs/a"), &arena, &m, NULL), KF_OK);
    assert_int_equal(m.allowed, 1u << API_GET | 1u << API_PUT | 1u << API_PATCH | 1u << API_DELETE);
    arena_release(&arena);
}

static void a_long_target_is_refused(void **state)
{
    (void)state;
    static char target[API_TARGET_MAX + 2];
    struct arena arena = ARENA_INIT;
    struct route_match m;
    struct kf_err err = KF_ERR_INIT;
    memset(target, 'a', sizeof target - 1);
    target[0] = '/';
    route_match(API_GET, str_of(target), &arena, &m, &err);
    assert_string_equal(err.code, "uri_too_long");
    arena_release(&arena);
}

static void every_route_has_its_words(void **state)
{
    (void)state;
    for (int i = 0; i < ROUTE_COUNT; i++) {
        assert_non_null(route_table[i].handle);
        assert_true(route_table[i].summary[0] != 0);
    }
}

static kf_rc match_once(void *ctx)
{
    struct arena arena = ARENA_INIT;
    struct route_match m;
    kf_rc rc = route_match(API_GET, str_of(ctx), &arena, &m, NULL);
    arena_release(&arena);
    return rc;
}

static void lack_of_memory_is_told(void **state)
{
    (void)state;
    char target[] = "/v1/x/docs/%61/b?version=%31";
    assert_true(testing_oom_each(match_once, target) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_match),
        cmocka_unit_test(what_is_allowed_is_told),
        cmocka_unit_test(a_long_target_is_refused),
        cmocka_unit_test(every_route_has_its_words),
        cmocka_unit_test(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
