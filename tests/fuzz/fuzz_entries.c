/* Bodies of appends. Of what is taken each body and attachment is a JSON value inside the request,
 * texts hold no NUL, and there are as many entries as the request has; what is refused names a
 * place in it. */
#include "api/entries.h"

#include "base/json.h"
#include "shape/stream.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void is_value_inside(str request, const void *p, size_t len)
{
    str value = str_make(p, len);
    assert(value.p >= request.p && value.p + value.len <= request.p + request.len);
    assert(json_check(value, NULL, NULL, NULL) == KF_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = ARENA_INIT;
    struct entries_asked asked = {0};
    struct kf_err err = KF_ERR_INIT;
    size_t index, count;
    str request = str_make(data, size);
    kf_rc rc = entries_parse(request, &arena, &asked, &index, &count, &err);
    if (rc == KF_OK) {
        assert(json_check(request, NULL, NULL, NULL) == KF_OK);
        assert(asked.count >= 1 && asked.count <= STREAM_ENTRIES_MAX);
        assert(asked.list || asked.count == 1);
        for (size_t i = 0; i < asked.count; i++) {
            const struct kf_entry_new *e = &asked.items[i];
            is_value_inside(request, e->body, e->len);
            if (e->attach)
                is_value_inside(request, e->attach, e->attach_len);
            assert(e->at_ms >= 0);
        }
    } else {
        assert(rc == KF_INVALID || rc == KF_LIMIT);
        assert(err.offset >= 0 && (size_t)err.offset <= size);
        assert(index == SIZE_MAX || (index < count && count <= STREAM_ENTRIES_MAX));
    }
    arena_release(&arena);
    return 0;
}
