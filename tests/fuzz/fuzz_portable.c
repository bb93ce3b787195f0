/* The portable form as a hostile place would give it. The first byte chooses: a manifest, a mapped
 * path, an object, a name. What is taken must come out the same when it is written again. */
#include "remote/portable.h"

#include "shape/doc.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_manifest(str text)
{
    struct portable_reader r;
    struct portable_entry e;
    struct portable_writer w;
    struct buf again = BUF_INIT;
    bool whole = portable_read_check(text, NULL) == KF_OK;
    portable_read_begin(&r, text);
    portable_write_begin(&w, &again);
    while (portable_read(&r, &e, NULL) == KF_OK) {
        if (e.line == PORTABLE_END)
            portable_write_end(&w);
        else
            portable_write(&w, &e);
    }
    portable_read_end(&r);
    assert(!whole || str_eq(buf_view(&again), text));
    buf_release(&again);
}

/* A manifest whose end is right whatever stands before, or the fuzzer would never get past the
 * hash. */
static void fuzz_lines(str lines)
{
    struct buf text = BUF_INIT;
    struct portable_writer w;
    portable_write_begin(&w, &text);
    buf_str(&text, lines);
    for (size_t i = 0; i < lines.len; i++)
        w.lines += lines.p[i] == '\n';
    portable_write_end(&w);
    fuzz_manifest(buf_view(&text));
    buf_release(&text);
}

static void fuzz_path(str path)
{
    struct buf name = BUF_INIT, again = BUF_INIT;
    if (portable_name_of_path(path, &name, NULL) == KF_OK) {
        assert(name_check(buf_view(&name), NULL) == KF_OK);
        portable_path_of_name(buf_view(&name), &again);
        assert(str_eq(buf_view(&again), path));
    }
    buf_release(&name);
    buf_release(&again);
}

static void fuzz_name(str name)
{
    struct buf path = BUF_INIT, back = BUF_INIT;
    if (name_check(name, NULL) == KF_OK) {
        portable_path_of_name(name, &path);
        assert(path.len <= PORTABLE_PATH_MAX);
        assert(portable_name_of_path(buf_view(&path), &back, NULL) == KF_OK);
        assert(str_eq(buf_view(&back), name));
    }
    buf_release(&path);
    buf_release(&back);
}

static void fuzz_object(str object)
{
    struct buf name = BUF_INIT, again = BUF_INIT;
    str hash;
    if (portable_object_parse(object, &name, &hash, NULL) == KF_OK) {
        portable_object(buf_view(&name), hash, &again);
        assert(str_eq(buf_view(&again), object));
    }
    buf_release(&name);
    buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(str) = {fuzz_manifest, fuzz_lines, fuzz_path, fuzz_name,
                                           fuzz_object};
    if (size > 0)
        targets[data[0] % 5](str_make(data + 1, size - 1));
    return 0;
}
