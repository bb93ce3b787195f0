/* Any bytes as a document that is looked through for secrets. What is told of one must be a text of
 * one line, bounded, and must not be the secret. */
#include "base/secret_find.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf where = BUF_INIT;
    const char *kind = NULL;
    if (secret_find((str){(const char *)data, size}, &kind, &where, NULL) != KF_OK)
        abort();
    if (!kind && where.len)
        abort();
    if (where.len > 210 || secret_in_text(buf_view(&where)))
        abort();
    for (size_t i = 0; i < where.len; i++)
        if ((unsigned char)where.p[i] < 0x20 || where.p[i] == 0x7f)
            abort();
    buf_release(&where);
    return 0;
}
