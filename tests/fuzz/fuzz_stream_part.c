/* Files of streams as a hostile place would give them. The first byte chooses: stream.ndjson, a
 * part, a name. What is taken must come out the same when it is written again. */
#include "remote/stream_part.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_file(str name, str text)
{
    struct stream_reader r;
    struct stream_line l;
    struct buf again = BUF_INIT;
    bool whole = stream_read_check(name, text, NULL, NULL) == KF_OK;
    stream_read_begin(&r, name, text);
    stream_file_begin(r.key, r.first, &again);
    while (stream_read(&r, &l, NULL) == KF_OK)
        stream_file_line(&l, &again);
    stream_read_end(&r);
    assert(!whole || str_eq(buf_view(&again), text));
    buf_release(&again);
}

/* With the right first line, or the fuzzer would hardly get past it. */
static void fuzz_lines(uint64_t first, str lines)
{
    struct buf text = BUF_INIT;
    stream_file_begin(STR("k"), first, &text);
    buf_str(&text, lines);
    fuzz_file(first ? STR(STREAM_FILES "k/000000000001.ndjson")
                    : STR(STREAM_FILES "k/stream.ndjson"),
              buf_view(&text));
    buf_release(&text);
}

static void fuzz_name(str name)
{
    struct buf again = BUF_INIT;
    str key;
    uint64_t first;
    if (stream_file_parse(name, &key, &first)) {
        if (first)
            stream_file_part(key, first, &again);
        else
            stream_file_head(key, &again);
        assert(str_eq(buf_view(&again), name) && name.len <= STREAM_FILE_NAME);
    }
    buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str text = str_make(data + 1, size ? size - 1 : 0);
    if (size == 0)
        return 0;
    switch (data[0] % 4) {
    case 0: fuzz_lines(0, text); break;
    case 1: fuzz_lines(1, text); break;
    case 2: fuzz_file(STR(STREAM_FILES "k/000000000001.ndjson"), text); break;
    case 3: fuzz_name(text); break;
    }
    return 0;
}
