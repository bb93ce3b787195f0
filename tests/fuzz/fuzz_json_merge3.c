/* Fuzz target: the winner, then base, ours and theirs with a byte 0xFF between them (which no JSON
 * text has). */
#include "../json/merge3.h"

#define TEXTS 3

/* The text on memory of its own, so that a read behind its end shows. */
static char *own(str s)
{
    char *p = malloc(s.len ? s.len : 1);
    merge3_need(p != NULL);
    if (s.len)
        memcpy(p, s.p, s.len);
    return p;
}

/* Texts that are not acceptable are refused, and nothing is written. */
static void check_refusal(const str text[TEXTS])
{
    struct buf out = BUF_INIT;
    uint32_t clashes = 7;
    kf_rc rc = json_merge3(text[0], text[1], text[2], true, &out, &clashes, NULL);
    merge3_need((rc == KF_INVALID || rc == KF_LIMIT) && out.len == 0 && clashes == 7);
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str rest = str_from(str_make(data, size), 1), text[TEXTS];
    char *texts[TEXTS];
    bool good = size > 0;
    for (int i = 0; i < TEXTS; i++) {
        size_t len = i < TEXTS - 1 ? str_index(rest, '\xFF') : rest.len;
        texts[i] = own(str_make(rest.p, len));
        text[i] = str_make(texts[i], len);
        rest = str_from(rest, len < rest.len ? len + 1 : len);
        good = good && json_check(text[i], &merge3_limits, NULL, NULL) == KF_OK;
    }
    const char *broken = good ? merge3_broken(text[0], text[1], text[2], data[0] & 1) : NULL;
    if (!good)
        check_refusal(text);
    if (broken) {
        (void)fprintf(stderr, "not so: %s\n", broken);
        abort();
    }
    for (int i = 0; i < TEXTS; i++)
        free(texts[i]);
    return 0;
}
