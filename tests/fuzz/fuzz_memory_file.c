/* The first byte says which of the three files the rest is. What is taken in comes out with the
 * same value, a second time changes nothing, and nothing is given out of what is refused. */
#include "move/memory_file.h"

#include "../json/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum memory_file file = (enum memory_file)(data[0] % (MEMORY_AUTONOMOUS + 1));
    str json = str_make(data + 1, size - 1);
    struct memory_model m = {0};
    struct memory_counts in = {0}, out = {0};
    struct kf_err err = KF_ERR_INIT;
    struct buf text = BUF_INIT, again = BUF_INIT;
    kf_rc rc = memory_model_read(&m, file, json, &in, &err);
    if (rc == KF_OK) {
        bool same = false;
        MEMORY_NEED(memory_model_write(&m, file, &text, &out, &err) == KF_OK);
        MEMORY_NEED(json_same(json, buf_view(&text), &same, NULL) == KF_OK && same);
        MEMORY_NEED(in.exchanges == out.exchanges && in.entries == out.entries);
        MEMORY_NEED(memory_model_read(&m, file, json, &in, &err) == KF_OK);
        MEMORY_NEED(m.duplicates == in.entries);
        MEMORY_NEED(memory_model_write(&m, file, &again, &out, &err) == KF_OK);
        MEMORY_NEED(str_eq(buf_view(&text), buf_view(&again)));
    } else {
        MEMORY_NEED(rc == KF_INVALID || rc == KF_LIMIT);
        MEMORY_NEED(!m.streams && err.offset >= 0 && (size_t)err.offset <= json.len);
    }
    memory_model_free(&m);
    buf_release(&text);
    buf_release(&again);
    return 0;
}
