/* Archives as a hostile person would hand them to `keepfast restore`: read whole, each file once,
 * within the limits, or refused. */
#include "move/zip.h"

#include <assert.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ONE_MAX = 1 << 20 };

static kf_rc visit(void *ctx, str name, str bytes, struct kf_err *err)
{
    uint64_t *files = ctx;
    (void)err;
    assert(name.len && bytes.len <= ONE_MAX);
    ++*files;
    return KF_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[] = "archive.zip";
    uint64_t files = 0;
    struct zip_limits limits = {
        .one_max = ONE_MAX, .manifest = "manifest.ndjson", .manifest_max = ONE_MAX};
    struct file f = {memfd_create("archive", MFD_CLOEXEC), env_system(), path};
    if (f.fd < 0 || write(f.fd, data, size) != (ssize_t)size)
        return 0;
    zip_each(&f, &limits, visit, &files, NULL);
    close(f.fd);
    return 0;
}
