/* Any bytes as the trace of a host's answers: what they ask for is within its bounds, and the same
 * however they are cut into pieces. The first byte says where. */
#include "remote/retry_after.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int64_t now_ms = 1795000000000;
    struct retry_after whole = {0}, pieces = {0};
    int64_t s = 0;
    if (size == 0)
        return 0;
    str text = str_make(data + 1, size - 1);
    retry_after_take(&whole, text);
    for (size_t at = 0, step = 1 + data[0] % 64; at < text.len; at += step)
        retry_after_take(&pieces, (str){text.p + at, at + step < text.len ? step : text.len - at});
    must(whole.status == pieces.status && whole.len == pieces.len);
    must(whole.len <= RETRY_AFTER_LINE && whole.status >= 0 && whole.status <= 999);
    int64_t ms = retry_after_ms(&whole, now_ms);
    must(ms >= 0 && ms <= RETRY_AFTER_MAX_MS && ms == retry_after_ms(&pieces, now_ms));
    must(ms == 0 || whole.status == 429 || whole.status == 503);
    if (retry_after_date(text, &s))
        must(s >= 0 && s < (int64_t)400 * 366 * 86400 * 21);
    return 0;
}
