/* Targets below /v1/s/streams: keys, and what the parameters of a list of entries ask for. What is
 * taken is within its bounds; what is refused is refused as a filter. */
#include "api/api_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void is_within(const struct kf_entry_query *q)
{
    assert(q->last <= STREAM_LIMIT_MAX && q->limit <= STREAM_LIMIT_MAX);
    assert(q->after <= INT64_MAX && q->before <= INT64_MAX);
    assert((q->last != 0) + (q->after != 0) + (q->before != 0) <= 1);
    assert(q->size == sizeof *q);
}

static void fuzz_target(const char *before, str rest)
{
    struct api_call c = {.method = API_GET};
    struct kf_err err = KF_ERR_INIT;
    struct buf target = BUF_INIT;
    buf_c(&target, before);
    buf_str(&target, rest);
    if (!target.failed &&
        route_match(API_GET, buf_view(&target), &c.arena, &c.match, &err) == KF_OK) {
        struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
        if (c.match.route == ROUTE_ENTRIES || c.match.route == ROUTE_CONTEXT ||
            c.match.route == ROUTE_STREAM_GET)
            assert(name_check(c.match.name, NULL) == KF_OK);
        if (c.match.route == ROUTE_ENTRIES) {
            kf_rc rc = entries_query(&c, &q, &err);
            assert(rc == KF_OK || (rc == KF_INVALID && strcmp(err.code, "bad_filter") == 0));
            if (rc == KF_OK)
                is_within(&q);
        }
    }
    arena_release(&c.arena);
    buf_release(&target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    str rest = str_make(data + 1, size - 1);
    if (data[0] % 2)
        fuzz_target("/v1/s/streams/", rest);
    else
        fuzz_target("/v1/s/streams/k/entries?", rest);
    return 0;
}
