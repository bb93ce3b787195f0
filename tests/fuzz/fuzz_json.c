/* Fuzz target: one JSON text, or two with a byte 0xFF between them (which no JSON text has). */
#include "base/json.h"

#include "../json/patch.h"

#include <stdio.h>
#include <stdlib.h>

#define ALWAYS(what)                                                        \
    do {                                                                    \
        if (!(what)) {                                                      \
            (void)fprintf(stderr, "fuzz_json.c:%d: %s\n", __LINE__, #what); \
            abort();                                                        \
        }                                                                   \
    } while (0)

/* The text on memory of its own, so that a read behind its end shows. */
static str own(str s)
{
    char *p = patch_need(malloc(s.len ? s.len : 1));
    if (s.len)
        memcpy(p, s.p, s.len);
    return str_make(p, s.len);
}

static void drop(str s)
{
    union {
        const char *in;
        void *out;
    } p = {.in = s.p};
    free(p.out);
}

static bool same(str a, str b)
{
    bool is = false;
    ALWAYS(json_same(a, b, &is, NULL) == KF_OK);
    return is;
}

/* What comes before the refused byte is the beginning of some document, or one. */
static void refusal_is_exact(str text, const struct kf_err *err)
{
    ALWAYS(err->offset >= 0 && (size_t)err->offset <= text.len);
    if (strcmp(err->code, "bad_json") != 0)
        return;
    str begin = own(str_make(text.p, (size_t)err->offset));
    struct kf_err again = KF_ERR_INIT;
    kf_rc rc = json_check(begin, NULL, NULL, &again);
    ALWAYS(rc == KF_OK || (rc == KF_INVALID && again.offset == err->offset));
    drop(begin);
}

static bool check(str text)
{
    struct kf_err err = KF_ERR_INIT, parsed = KF_ERR_INIT;
    struct arena arena = ARENA_INIT;
    struct json_node *root;
    enum json_type type;
    kf_rc rc = json_check(text, NULL, &type, &err);
    ALWAYS(json_parse(text, NULL, &arena, &root, &parsed) == rc);
    ALWAYS(err.offset == parsed.offset);
    ALWAYS(rc == KF_OK || rc == KF_INVALID || rc == KF_LIMIT);
    str detail = str_of(err.detail);
    ALWAYS(str_utf8_valid(detail) == detail.len && str_index(detail, '\n') == detail.len);
    if (rc == KF_OK)
        ALWAYS(type == root->type && str_utf8_valid(text) == text.len);
    else
        refusal_is_exact(text, &err);
    arena_release(&arena);
    return rc == KF_OK;
}

static void forms(str text)
{
    struct buf canonical = BUF_INIT, again = BUF_INIT, pretty = BUF_INIT, compact = BUF_INIT;
    ALWAYS(json_canonical(text, &canonical, NULL) == KF_OK);
    ALWAYS(json_canonical(buf_view(&canonical), &again, NULL) == KF_OK);
    ALWAYS(str_eq(buf_view(&canonical), buf_view(&again)));
    ALWAYS(json_pretty(text, &pretty, NULL) == KF_OK);
    buf_clear(&again);
    ALWAYS(json_canonical(buf_view(&pretty), &again, NULL) == KF_OK);
    ALWAYS(str_eq(buf_view(&canonical), buf_view(&again)));
    ALWAYS(json_compact(text, &compact, NULL) == KF_OK);
    buf_clear(&again);
    ALWAYS(json_pretty(buf_view(&compact), &again, NULL) == KF_OK);
    ALWAYS(str_eq(buf_view(&pretty), buf_view(&again)));
    buf_release(&canonical);
    buf_release(&again);
    buf_release(&pretty);
    buf_release(&compact);
}

static void merge(str target, str patch)
{
    struct buf result = BUF_INIT, wanted = BUF_INIT, twice = BUF_INIT, untouched = BUF_INIT;
    ALWAYS(json_merge_patch(target, patch, &result, NULL) == KF_OK);
    ALWAYS(patch_merge(target, patch, &wanted));
    ALWAYS(same(buf_view(&result), buf_view(&wanted)));
    ALWAYS(json_merge_patch(buf_view(&result), patch, &twice, NULL) == KF_OK);
    ALWAYS(str_eq(buf_view(&result), buf_view(&twice)));
    ALWAYS(json_merge_patch(target, STR("{}"), &untouched, NULL) == KF_OK);
    if (untouched.len > 2)
        ALWAYS(str_eq(buf_view(&untouched), target));
    buf_release(&result);
    buf_release(&wanted);
    buf_release(&twice);
    buf_release(&untouched);
}

static void diff(str from, str to)
{
    struct buf patch = BUF_INIT, result = BUF_INIT;
    ALWAYS(json_diff(from, to, &patch, NULL) == KF_OK);
    ALWAYS(check(buf_view(&patch)));
    ALWAYS(patch_apply(from, buf_view(&patch), &result));
    ALWAYS(same(buf_view(&result), to));
    ALWAYS(str_is(buf_view(&patch), "[]") == same(from, to));
    buf_release(&patch);
    buf_release(&result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str both = str_make(data, size);
    size_t len = str_index(both, '\xFF');
    str a = own(str_make(both.p, len)), b = own(str_from(both, len < size ? len + 1 : size));
    bool good_a = check(a), good_b = len < size && check(b);
    if (good_a)
        forms(a);
    if (good_a && good_b) {
        merge(a, b);
        diff(a, b);
    }
    drop(a);
    drop(b);
    return 0;
}
