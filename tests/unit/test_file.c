#include "testing.h"

#include "base/env.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct testing_env t;
static const char *dir;

static int setup(void **state)
{
    (void)state;
    testing_env_init(&t);
    dir = testing_dir();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_env_release(&t);
    return 0;
}

static const char *path(const char *name)
{
    return testing_path(dir, name);
}

static void assert_content(const char *name, const char *want)
{
    size_t len;
    assert_string_equal(testing_read(path(name), &len), want);
    assert_int_equal(len, strlen(want));
}

/* The names in the folder, one after the other with a space behind each. */
static void assert_names(const char *want)
{
    struct buf b = BUF_INIT;
    assert_int_equal(dir_list(env_system(), dir, &b, NULL), KF_OK);
    for (size_t i = 0; i < b.len; i++)
        if (b.p[i] == '\0')
            b.p[i] = ' ';
    assert_string_equal(b.cap ? b.p : "", want);
    buf_release(&b);
}

/* ------------------------------------------------------------------------------------- one file */

static void modes(void **state)
{
    struct file f = FILE_CLOSED;
    struct kf_err err;
    struct stat st;
    (void)state;
    assert_int_equal(file_open(&t.env, path("a"), FILE_READ, &f, &err), KF_ABSENT);
    assert_int_equal(f.fd, -1);
    umask(0);
    assert_int_equal(file_open(&t.env, path("a"), FILE_CREATE, &f, &err), KF_OK);
    umask(022);
    assert_true(fcntl(f.fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(file_write(&f, 0, "hello", 5, &err), KF_OK);
    file_close(&f);
    file_close(&f);
    assert_int_equal(path_stat(&t.env, path("a"), &st, &err), KF_OK);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(file_open(&t.env, path("a"), FILE_CREATE, &f, &err), KF_CONFLICT);
    assert_string_equal(err.code, "not_empty");

    assert_int_equal(file_open(&t.env, path("a"), FILE_APPEND, &f, &err), KF_OK);
    assert_int_equal(file_write(&f, 0, " world", 6, &err), KF_OK);
    file_close(&f);
    assert_content("a", "hello world");
    assert_int_equal(file_open(&t.env, path("b"), FILE_APPEND, &f, &err), KF_OK);
    file_close(&f);
    assert_int_equal(file_open(&t.env, path("c"), FILE_READWRITE, &f, &err), KF_OK);
    file_close(&f);

    assert_int_equal(file_open(&t.env, path("a"), FILE_READWRITE, &f, &err), KF_OK);
    int64_t size;
    assert_int_equal(file_size(&f, &size, &err), KF_OK);
    assert_int_equal(size, 11);
    assert_int_equal(file_write(&f, 6, "W", 1, &err), KF_OK);
    assert_int_equal(file_truncate(&f, 7, &err), KF_OK);
    assert_int_equal(file_sync(&f, &err), KF_OK);
    char bytes[20];
    size_t len;
    assert_int_equal(file_read(&f, 3, bytes, sizeof(bytes), &len, &err), KF_OK);
    assert_int_equal(len, 4);
    assert_memory_equal(bytes, "lo W", 4);
    assert_int_equal(file_read(&f, 30, bytes, sizeof(bytes), &len, &err), KF_OK);
    assert_int_equal(len, 0);
    file_close(&f);
}

static void only_ordinary_files(void **state)
{
    struct file f = FILE_CLOSED;
    struct kf_err err;
    (void)state;
    testing_write(path("target"), "x", 1);
    assert_int_equal(symlink(path("target"), path("link")), 0);
    assert_int_equal(mkfifo(path("pipe"), 0600), 0);
    static const enum file_mode all[] = {FILE_READ, FILE_APPEND, FILE_READWRITE};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(file_open(&t.env, path("link"), all[i], &f, &err), KF_CONFIG);
        assert_non_null(strstr(err.detail, "symbolic link"));
    }
    assert_int_equal(file_open(&t.env, path("pipe"), FILE_READ, &f, &err), KF_CONFIG);
    assert_int_equal(file_open(&t.env, dir, FILE_READ, &f, &err), KF_CONFIG);
    assert_int_equal(file_open(&t.env, path("link"), FILE_CREATE, &f, &err), KF_CONFLICT);
    assert_int_equal(file_open(&t.env, path("target/x"), FILE_READ, &f, &err),
                     KF_IO); /* not absent */
    assert_int_equal(f.fd, -1);
}

static void a_link_is_followed_where_it_may_be(void **state)
{
    struct buf b = BUF_INIT;
    struct kf_err err;
    (void)state;
    testing_write(path("linked"), "inside", 6);
    assert_int_equal(symlink("linked", path("first")), 0);
    assert_int_equal(symlink(path("first"), path("second")), 0);
    assert_int_equal(symlink("gone", path("nowhere")), 0);
    assert_int_equal(symlink(path("round"), path("round")), 0);
    assert_int_equal(symlink(dir, path("folder")), 0);
    assert_int_equal(file_load_linked(&t.env, path("linked"), 10, &b, &err), KF_OK);
    assert_int_equal(file_load_linked(&t.env, path("second"), 10, &b, &err), KF_OK);
    assert_string_equal(b.p, "insideinside");
    assert_int_equal(file_load(&t.env, path("second"), 10, &b, &err), KF_CONFIG);
    assert_int_equal(file_load_linked(&t.env, path("nowhere"), 10, &b, &err), KF_ABSENT);
    assert_int_equal(file_load_linked(&t.env, path("round"), 10, &b, &err), KF_CONFIG);
    assert_int_equal(file_load_linked(&t.env, path("folder"), 10, &b, &err), KF_CONFIG);
    /* Whoever may write the target could have been the one who made the link. */
    assert_int_equal(chmod(path("linked"), 0666), 0);
    assert_int_equal(file_load_linked(&t.env, path("second"), 10, &b, &err), KF_CONFIG);
    assert_non_null(strstr(err.detail, "mode 0666"));
    assert_int_equal(file_load_linked(&t.env, path("linked"), 10, &b, &err), KF_OK);
    assert_int_equal(chmod(path("linked"), 0644), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(path("linked"), 12345, 0), 0);
        assert_int_equal(file_load_linked(&t.env, path("second"), 10, &b, &err), KF_CONFIG);
        assert_non_null(strstr(err.detail, "user 12345"));
    }
    buf_release(&b);
}

static void one_owner_of_a_lock(void **state)
{
    struct file a = FILE_CLOSED, b = FILE_CLOSED;
    struct kf_err err;
    (void)state;
    assert_int_equal(file_open(&t.env, path("lock"), FILE_READWRITE, &a, &err), KF_OK);
    assert_int_equal(file_open(&t.env, path("lock"), FILE_READWRITE, &b, &err), KF_OK);
    assert_int_equal(file_lock(&a, &err), KF_OK);
    assert_int_equal(file_lock(&b, &err), KF_BUSY); /* in the same process as well */
    file_close(&a);
    assert_int_equal(file_lock(&b, &err), KF_OK);
    testing_env_fault(&t, IO_LOCK, 1, ENOLCK, false);
    assert_int_equal(file_lock(&b, &err), KF_IO);
    file_close(&b);
}

static void transfers_go_on(void **state)
{
    struct file f = FILE_CLOSED;
    struct kf_err err;
    char text[1000], back[1000];
    size_t len;
    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 26);
    assert_int_equal(file_open(&t.env, path("f"), FILE_CREATE, &f, &err), KF_OK);
    testing_env_fault(&t, IO_WRITE, 1, IO_TAP_SHORT, true); /* down to single bytes */
    assert_int_equal(file_write(&f, 0, text, sizeof(text), &err), KF_OK);
    assert_int_equal(t.fired, 10);
    testing_env_fault(&t, IO_WRITE, 1, EINTR, false);
    assert_int_equal(file_write(&f, sizeof(text), "!", 1, &err), KF_OK);
    testing_env_fault(&t, IO_READ, 1, EINTR, false);
    assert_int_equal(file_read(&f, 0, back, sizeof(back), &len, &err), KF_OK);
    assert_int_equal(t.fired, 1);
    assert_memory_equal(back, text, sizeof(text));
    int64_t size;
    assert_int_equal(file_size(&f, &size, &err), KF_OK);
    assert_int_equal(size, 1001);
    file_close(&f);
}

static void faults_come_back_with_their_code(void **state)
{
    struct file f = FILE_CLOSED;
    struct kf_err err;
    char c;
    size_t len = 77;
    (void)state;
    assert_int_equal(file_open(&t.env, path("f"), FILE_CREATE, &f, &err), KF_OK);
    testing_env_fault(&t, IO_WRITE, 2, ENOSPC, false);
    assert_int_equal(file_write(&f, 0, "ab", 2, &err), KF_OK);
    assert_int_equal(file_write(&f, 0, "ab", 2, &err), KF_FULL);
    assert_string_equal(err.code, "disk_full");
    assert_non_null(strstr(err.detail, path("f")));
    testing_env_fault(&t, IO_READ, 1, EIO, false);
    assert_int_equal(file_read(&f, 0, &c, 1, &len, &err), KF_IO);
    assert_int_equal(len, 77);
    testing_env_fault(&t, IO_TRUNCATE, 1, EIO, false);
    assert_int_equal(file_truncate(&f, 0, &err), KF_IO);

    uint64_t syncs = t.calls[IO_SYNC];
    testing_env_fault(&t, IO_SYNC, 1, EINTR, false);
    assert_int_equal(file_sync(&f, &err), KF_IO); /* a sync is never repeated, whatever failed */
    assert_int_equal(t.calls[IO_SYNC], syncs + 1);
    file_close(&f);
    testing_env_fault(&t, IO_OPEN, 1, EACCES, false);
    assert_int_equal(file_open(&t.env, path("f"), FILE_READ, &f, &err), KF_CONFIG);
    testing_env_fault(&t, IO_CREATE, 1, EMFILE, false);
    assert_int_equal(file_open(&t.env, path("g"), FILE_READWRITE, &f, &err), KF_IO);
    assert_false(testing_exists(path("g")));
}

/* ---------------------------------------------------------------------------------- whole files */

static void load(void **state)
{
    struct buf b = BUF_INIT;
    struct kf_err err;
    (void)state;
    static char text[200000];
    memset(text, 'x', sizeof(text));
    assert_int_equal(file_load(&t.env, path("f"), 10, &b, &err), KF_ABSENT);
    buf_c(&b, "before ");
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 65536, 200000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        testing_write(path("f"), text, sizes[i]);
        for (size_t slack = 0; slack < 2; slack++) {
            assert_int_equal(file_load(&t.env, path("f"), sizes[i] + slack, &b, &err), KF_OK);
            assert_int_equal(b.len, 7 + sizes[i]);
            assert_memory_equal(b.p + 7, text, sizes[i]);
            b.len = 7;
        }
        if (sizes[i]) {
            assert_int_equal(file_load(&t.env, path("f"), sizes[i] - 1, &b, &err), KF_LIMIT);
            assert_int_equal(b.len, 7);
        }
    }
    testing_env_fault(&t, IO_READ, 1, EIO, false);
    assert_int_equal(file_load(&t.env, path("f"), 1000000, &b, &err), KF_IO);
    assert_string_equal(b.p, "before ");
    assert_int_equal(b.len, 7);
    /* A file without a size, as /proc has them, is read to its end. */
    assert_int_equal(file_load(&t.env, "/proc/self/status", 1000000, &b, &err), KF_OK);
    assert_memory_equal(b.p, "before Name:", 12);
    b.len = 7;
    assert_int_equal(file_load(&t.env, "/proc/self/status", 100, &b, &err), KF_LIMIT);
    assert_int_equal(b.len, 7);
    buf_release(&b);
}

static void a_store_shows_its_steps(void **state)
{
    struct kf_err err;
    (void)state;
    testing_env_trace(&t);
    assert_int_equal(file_store(&t.env, path("f"), STR("one"), &err), KF_OK);
    assert_string_equal(t.trace.p, "create write sync rename dirsync ");
    assert_content("f", "one");
    assert_int_equal(file_store(&t.env, path("f"), STR(""), &err), KF_OK);
    assert_content("f", "");
    assert_int_equal(file_store(&t.env, path("no/f"), STR("x"), &err), KF_IO);
    assert_names("f ");
}

static void a_failed_store_leaves_the_old_file(void **state)
{
    static const int errnums[] = {EIO, ENOSPC, EACCES};
    struct kf_err err;
    size_t fired = 0;
    (void)state;
    for (int k = 0; k < 3; k++)
        for (uint64_t n = 1;; n++) {
            assert_int_equal(file_store(env_system(), path("f"), STR("old"), &err), KF_OK);
            testing_env_fault(&t, IO_OP_COUNT, n, errnums[k], false);
            kf_rc rc = file_store(&t.env, path("f"), STR("new"), &err);
            testing_env_fault(&t, IO_OP_COUNT, 0, 0, false);
            if (rc == KF_OK) {
                assert_int_equal(n, 6);
                break;
            }
            fired++;
            assert_int_equal(rc, errnums[k] == EIO      ? KF_IO
                                 : errnums[k] == ENOSPC ? KF_FULL
                                                        : KF_CONFIG);
            assert_content("f", n == 5 ? "new" : "old"); /* the fifth is the sync of the folder */
            assert_names("f ");
        }
    assert_int_equal(fired, 15);
}

static void a_store_finds_a_free_name(void **state)
{
    struct testing_env twin;
    struct kf_err err;
    (void)state;
    testing_env_init(&twin); /* the same randomness: the same first name */
    struct file f = FILE_CLOSED;
    unsigned char random[8];
    struct buf name = BUF_INIT;
    twin.env.random(twin.env.ctx, random, sizeof(random));
    buf_printf(&name, "%s/.tmp-", dir);
    buf_hex(&name, random, sizeof(random));
    assert_int_equal(file_open(&twin.env, name.p, FILE_CREATE, &f, &err), KF_OK);
    file_close(&f);
    assert_int_equal(file_store(&t.env, path("f"), STR("x"), &err), KF_OK);
    assert_content("f", "x");
    assert_true(testing_exists(name.p)); /* somebody else's: not touched */
    buf_release(&name);
    testing_env_release(&twin);
}

static kf_rc write_new(const struct env *env, struct kf_err *err)
{
    struct file f = FILE_CLOSED;
    kf_rc rc = file_new_begin(env, path("n"), &f, err);
    if (rc == KF_OK)
        rc = file_new_end(&f, path("n"), file_write(&f, 0, "new", 3, err), err);
    assert_int_equal(f.fd, -1);
    return rc;
}

static void a_new_file_appears_whole_or_not(void **state)
{
    struct kf_err err;
    (void)state;
    testing_env_trace(&t);
    assert_int_equal(write_new(&t.env, &err), KF_OK);
    assert_string_equal(t.trace.p, "create write sync rename dirsync ");
    assert_content("n", "new");
    assert_int_equal(write_new(&t.env, &err), KF_CONFLICT);
    assert_names("n ");
    kf_rc rc = KF_IO;
    for (uint64_t n = 1; rc != KF_OK; n++) {
        unlink(path("n"));
        testing_env_fault(&t, IO_OP_COUNT, n, EIO, false);
        rc = write_new(&t.env, &err);
        testing_env_fault(&t, IO_OP_COUNT, 0, 0, false);
        assert_names(rc == KF_OK ? "n " : "");
        assert_true(n <= 6);
    }
}

/* ------------------------------------------------------------------------------- names, folders */

static void names(void **state)
{
    struct kf_err err;
    (void)state;
    testing_write(path("a"), "1", 1);
    assert_int_equal(file_rename(&t.env, path("a"), path("b"), &err), KF_OK);
    assert_int_equal(file_rename(&t.env, path("a"), path("b"), &err), KF_IO);
    assert_int_equal(file_unlink(&t.env, path("b"), &err), KF_OK);
    assert_int_equal(file_unlink(&t.env, path("b"), &err), KF_ABSENT);
    testing_env_fault(&t, IO_UNLINK, 1, EIO, false);
    assert_int_equal(file_unlink(&t.env, path("b"), &err), KF_IO);
    assert_int_equal(dir_sync(&t.env, dir, &err), KF_OK);
    assert_int_equal(dir_sync(&t.env, path("none"), &err), KF_IO);
    struct stat st;
    assert_int_equal(path_stat(&t.env, path("none"), &st, &err), KF_ABSENT);
    assert_int_equal(symlink("none", path("l")), 0);
    assert_int_equal(path_stat(&t.env, path("l"), &st, &err), KF_OK);
    assert_true(S_ISLNK(st.st_mode));
    uint64_t bytes = 0;
    assert_int_equal(path_free_bytes(&t.env, dir, &bytes, &err), KF_OK);
    assert_true(bytes > 0);
    assert_int_equal(path_free_bytes(&t.env, path("none"), &bytes, &err), KF_IO);
}

static void folders_are_made_and_synced(void **state)
{
    struct kf_err err;
    struct stat st;
    (void)state;
    testing_env_trace(&t);
    assert_int_equal(dir_make(&t.env, path("a//b/c/"), &err), KF_OK);
    assert_string_equal(t.trace.p, "mkdir dirsync mkdir dirsync mkdir dirsync ");
    assert_int_equal(stat(path("a/b/c"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    testing_env_trace(&t);
    assert_int_equal(dir_make(&t.env, path("a/b/c"), &err), KF_OK);
    assert_string_equal(t.trace.p ? t.trace.p : "", "");
    assert_int_equal(dir_make(&t.env, "/", &err), KF_OK);
    testing_write(path("file"), "", 0);
    assert_int_equal(dir_make(&t.env, path("file"), &err), KF_CONFIG);
    assert_int_equal(dir_make(&t.env, path("file/x"), &err), KF_CONFIG);
    assert_int_equal(symlink("nowhere", path("dangling")), 0);
    assert_int_equal(dir_make(&t.env, path("dangling"), &err), KF_IO);
    testing_env_fault(&t, IO_DIRSYNC, 1, EIO, false);
    assert_int_equal(dir_make(&t.env, path("d"), &err), KF_IO);
    testing_env_fault(&t, IO_MKDIR, 1, ENOSPC, false);
    assert_int_equal(dir_make(&t.env, path("e"), &err), KF_FULL);
    testing_env_fault(&t, IO_MKDIR, 1, EINTR, false);
    assert_int_equal(dir_make(&t.env, path("e"), &err), KF_OK);
}

static void folders_go_with_all_in_them(void **state)
{
    struct kf_err err = KF_ERR_INIT;
    char deep[200];
    (void)state;
    assert_int_equal(dir_make(&t.env, path("kept"), &err), KF_OK);
    testing_write(path("kept/f"), "x", 1);
    assert_int_equal(dir_make(&t.env, path("gone/a/b"), &err), KF_OK);
    testing_write(path("gone/f"), "x", 1);
    testing_write(path("gone/a/b/f"), "x", 1);
    assert_int_equal(symlink("../kept", path("gone/link")), 0);
    assert_int_equal(symlink("nowhere", path("gone/a/broken")), 0);
    for (uint64_t nth = 1;; nth++) { /* what a failure leaves is taken up again */
        testing_env_fault(&t, IO_UNLINK, nth % 3 + 1, EIO, false);
        if (dir_unmake_all(&t.env, path("gone"), &err) == KF_OK)
            break;
        assert_true(nth < 20);
    }
    testing_env_fault(&t, IO_OP_COUNT, 0, 0, false);
    assert_int_equal(dir_unmake_all(&t.env, path("gone"), &err), KF_ABSENT);
    assert_true(testing_exists(path("kept/f")));
    snprintf(deep, sizeof(deep), "%s", "deep");
    for (int i = 0; i < 40; i++)
        snprintf(deep + strlen(deep), sizeof(deep) - strlen(deep), "/%d", i % 10);
    assert_int_equal(dir_make(&t.env, path(deep), &err), KF_OK);
    assert_int_equal(dir_unmake_all(&t.env, path("deep"), &err), KF_LIMIT);
}

static kf_rc make_and_remove(void *ctx)
{
    kf_rc rc = dir_make(env_system(), ctx, NULL);
    if (rc == KF_OK)
        rc = dir_unmake_all(env_system(), ctx, NULL);
    rmdir(ctx);
    return rc;
}

static void removing_without_memory(void **state)
{
    (void)state;
    assert_true(testing_oom_each(make_and_remove, (void *)(uintptr_t)path("gone")) >= 4);
}

static void lists_are_sorted(void **state)
{
    struct buf b = BUF_INIT;
    struct kf_err err;
    (void)state;
    assert_names("");
    assert_int_equal(dir_list(&t.env, path("none"), &b, &err), KF_ABSENT);
    testing_write(path("f"), "", 0);
    assert_int_equal(dir_list(&t.env, path("f"), &b, &err), KF_IO);
    for (int i = 0; i < 500; i++) {
        char name[40];
        snprintf(name, sizeof(name), "some-longer-name-%03d", (i * 7) % 500);
        testing_write(path(name), "", 0);
    }
    buf_c(&b, "x");
    assert_int_equal(dir_list(&t.env, dir, &b, &err), KF_OK);
    str rest = str_from(buf_view(&b), 1), last = STR("");
    size_t count = 0;
    for (; rest.len; count++) {
        str name = str_of(rest.p);
        assert_true(str_cmp(last, name) < 0);
        last = name;
        rest = str_from(rest, name.len + 1);
    }
    assert_int_equal(count, 501);
    b.len = 1;
    testing_env_fault(&t, IO_READ, 2, EIO, false);
    assert_int_equal(dir_list(&t.env, dir, &b, &err), KF_IO);
    assert_int_equal(b.len, 1);
    testing_env_fault(&t, IO_READ, 2, EINTR, false);
    assert_int_equal(dir_list(&t.env, dir, &b, &err), KF_OK);
    buf_release(&b);
}

static void parents(void **state)
{
    static const char *const cases[][2] = {
        {"a/b", "a"}, {"a", "."}, {"/a", "/"},  {"/a/b/", "/a"}, {"a//b", "a"},
        {"/", "/"},   {"", "."},  {"./a", "."}, {"a/", "."},     {"//a", "/"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf b = BUF_INIT;
        path_parent(cases[i][0], &b);
        assert_string_equal(b.p, cases[i][1]);
        buf_release(&b);
    }
}

/* ------------------------------------------------------------------------------ lack of memory */

static kf_rc use_everything(void *ctx)
{
    struct buf b = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    const char *const *paths = ctx;
    kf_rc rc = dir_make(env_system(), paths[0], &err);
    if (rc == KF_OK)
        rc = file_store(env_system(), paths[1], STR("content"), &err);
    if (rc == KF_OK)
        rc = file_load(env_system(), paths[1], 100, &b, &err);
    if (rc == KF_OK)
        rc = dir_list(env_system(), paths[0], &b, &err);
    assert_int_equal(rc, err.rc);
    buf_release(&b);
    unlink(paths[1]);
    rmdir(paths[0]);
    return rc;
}

static void lack_of_memory_is_an_answer(void **state)
{
    const char *paths[] = {path("sub"), path("sub/f")};
    (void)state;
    size_t fired = testing_oom_each(use_everything, paths);
    if (fired < 16)
        fail_msg("only %zu allocations failed", fired);
    assert_names("");
}

static void the_system_is_real(void **state)
{
    const struct env *env = env_system();
    unsigned char a[32] = {0}, b[32] = {0};
    (void)state;
    assert_true(env_wall_ms(env) > 1700000000000);
    uint64_t before = env_mono_ns(env);
    assert_true(env_mono_ns(env) >= before);
    env->random(env->ctx, a, sizeof(a));
    env->random(env->ctx, b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    for (int op = 0; op < IO_OP_COUNT; op++)
        assert_string_not_equal(io_op_name((enum io_op)op), "unknown");
    assert_string_equal(io_op_name(IO_OP_COUNT), "unknown");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(modes),
        TEST(only_ordinary_files),
        TEST(a_link_is_followed_where_it_may_be),
        TEST(one_owner_of_a_lock),
        TEST(transfers_go_on),
        TEST(faults_come_back_with_their_code),
        TEST(load),
        TEST(a_store_shows_its_steps),
        TEST(a_failed_store_leaves_the_old_file),
        TEST(a_store_finds_a_free_name),
        TEST(a_new_file_appears_whole_or_not),
        TEST(names),
        TEST(folders_are_made_and_synced),
        TEST(folders_go_with_all_in_them),
        TEST(removing_without_memory),
        TEST(lists_are_sorted),
        TEST(parents),
        TEST(lack_of_memory_is_an_answer),
        TEST(the_system_is_real),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
