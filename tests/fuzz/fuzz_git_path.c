/* Paths of a git tree as anybody could have committed them. The first byte chooses: a path, a name,
 * or two paths with a newline between them. */
#include "remote/git_path.h"

#include "shape/doc.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_apart(str path)
{
    return str_starts(path, STR("%~"));
}

static void fuzz_path(str path)
{
    struct buf name = BUF_INIT, again = BUF_INIT;
    if (git_path_name(path, &name, NULL) == KF_OK) {
        assert(name_check(buf_view(&name), NULL) == KF_OK);
        (is_apart(path) ? git_path_apart : git_path_plain)(buf_view(&name), &again);
        assert(str_eq(buf_view(&again), path));
    }
    buf_release(&name);
    buf_release(&again);
}

static void reads_back(str path, str name)
{
    struct buf back = BUF_INIT;
    assert(path.len <= GIT_PATH_MAX && str_utf8_valid(path) == path.len);
    assert(git_path_name(path, &back, NULL) == KF_OK);
    assert(str_eq(buf_view(&back), name));
    buf_release(&back);
}

static void fuzz_name(str name)
{
    struct buf plain = BUF_INIT, apart = BUF_INIT;
    if (name_check(name, NULL) == KF_OK) {
        git_path_plain(name, &plain);
        git_path_apart(name, &apart);
        assert(!is_apart(buf_view(&plain)) && is_apart(buf_view(&apart)));
        reads_back(buf_view(&plain), name);
        reads_back(buf_view(&apart), name);
    }
    buf_release(&plain);
    buf_release(&apart);
}

/* Folds of the same bytes are equal, have the same slashes and fold to themselves where they are
 * UTF-8; that of another apart path is another one. */
static void fuzz_folds(str both)
{
    size_t n = str_index(both, '\n');
    str path = {both.p, n}, other = str_from(both, n + 1);
    struct buf fold = BUF_INIT, again = BUF_INIT, name = BUF_INIT;
    git_path_fold(path, &fold);
    assert(fold.len <= 3 * path.len);
    size_t slashes = 0;
    for (size_t i = 0; i < path.len; i++)
        slashes += path.p[i] == '/';
    for (size_t i = 0; i < fold.len; i++)
        slashes -= fold.p[i] == '/';
    assert(slashes == 0);
    if (str_utf8_valid(path) == path.len) {
        git_path_fold(buf_view(&fold), &again);
        assert(str_eq(buf_view(&again), buf_view(&fold)));
    }
    buf_clear(&again);
    git_path_fold(other, &again);
    bool ours = is_apart(path) && git_path_name(path, &name, NULL) == KF_OK &&
                git_path_name(other, &name, NULL) == KF_OK;
    assert(!ours || str_eq(path, other) || !str_eq(buf_view(&again), buf_view(&fold)));
    buf_release(&fold);
    buf_release(&again);
    buf_release(&name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(str) = {fuzz_path, fuzz_name, fuzz_folds};
    if (size > 0)
        targets[data[0] % 3](str_make(data + 1, size - 1));
    return 0;
}
