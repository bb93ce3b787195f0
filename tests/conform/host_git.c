#include "host_git.h"

#include "base/child.h"

static struct buf printed;

static kf_rc feed_text(void *ctx, struct buf *out, struct kf_err *err)
{
    str *text = ctx;
    buf_str(out, *text);
    *text = (str){0, 0};
    return buf_ok(out, err);
}

static kf_rc take_text(void *ctx, str bytes, struct kf_err *err)
{
    (void)ctx;
    buf_str(&printed, bytes);
    return buf_ok(&printed, err);
}

const char *host_git(const char *dir, str input, const char *const *args)
{
    static const char *const environ[] = {"PATH=/usr/local/bin:/usr/bin:/bin",
                                          "LC_ALL=C",
                                          "HOME=/nonexistent",
                                          "GIT_CONFIG_NOSYSTEM=1",
                                          "GIT_AUTHOR_NAME=Ola",
                                          "GIT_AUTHOR_EMAIL=ola@example.com",
                                          "GIT_COMMITTER_NAME=Ola",
                                          "GIT_COMMITTER_EMAIL=ola@example.com",
                                          NULL};
    const char *argv[32] = {"git", "--git-dir", dir};
    struct child_end end = {0};
    size_t n = 3;
    for (size_t i = 0; args[i]; i++) {
        assert_true(n + 1 < sizeof(argv) / sizeof(argv[0]));
        argv[n++] = args[i];
    }
    buf_clear(&printed);
    struct child c = {.argv = argv,
                      .environ = environ,
                      .feed = feed_text,
                      .take = take_text,
                      .ctx = &input,
                      .total_ms = 60000};
    assert_int_equal(child_run(env_system(), &c, &end, NULL), KF_OK);
    if (end.status != 0)
        fail_msg("git %s: %.*s", args[0], STR_ARGS(buf_view(&end.said)));
    buf_release(&end.said);
    while (printed.len && printed.p[printed.len - 1] == '\n')
        printed.p[--printed.len] = '\0';
    return printed.len ? printed.p : "";
}

void host_git_new(const char *dir)
{
    GIT_IN(dir, "init", "--quiet", "--bare", "--initial-branch=main", dir);
    GIT_IN(dir, "config", "receive.fsckObjects", "true");
}
