#include "testing.h"

#include "base/json.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct fixture {
    struct testing_env t;
    int pipe[2];
    struct log *log;
    char text[70000];
};

static void begin(struct fixture *f, enum log_format format, enum log_level level)
{
    testing_env_init(&f->t);
    assert_int_equal(pipe2(f->pipe, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(log_new(&f->t.env, f->pipe[1], format, level, &f->log, NULL), KF_OK);
}

static void end(struct fixture *f)
{
    log_free(f->log);
    close(f->pipe[0]);
    close(f->pipe[1]);
    testing_env_release(&f->t);
}

static const char *written(struct fixture *f)
{
    ssize_t n = read(f->pipe[0], f->text, sizeof(f->text) - 1);
    f->text[n > 0 ? n : 0] = '\0';
    return f->text;
}

static void a_line_of_text(void **state)
{
    static struct fixture f;
    (void)state;
    begin(&f, LOG_TEXT, LOG_INFO);
    log_event(f.log, LOG_INFO, "store.recovered", LOG_I("frames", 12), LOG_END);
    assert_string_equal(written(&f), "2026-11-09T14:23:45.123Z info  store.recovered frames=12\n");
    log_event(f.log, LOG_ERROR, "x", LOG_S("a", "b/c.json"), LOG_S("b", ""), LOG_S("c", "d e"),
              LOG_S("d", "a=b"), LOG_S("e", "q\"\\"), LOG_I("f", INT64_MIN), LOG_S("g", NULL),
              LOG_END);
    assert_string_equal(written(&f),
                        "2026-11-09T14:23:45.123Z error x a=b/c.json b=\"\" c=\"d e\" d=\"a=b\" "
                        "e=\"q\\\"\\\\\" f=-9223372036854775808 g=\"\"\n");
    log_event(f.log, LOG_DEBUG, "x", LOG_END);
    log_event(NULL, LOG_CRIT, "x", LOG_END);
    assert_string_equal(written(&f), "");
    end(&f);
}

static void a_line_of_json(void **state)
{
    static struct fixture f;
    (void)state;
    begin(&f, LOG_JSON, LOG_DEBUG);
    log_event(f.log, LOG_DEBUG, "e", LOG_S("a", "x\xC5\xBC\xFF\n"), LOG_I("n", -1), LOG_END);
    assert_string_equal(written(&f),
                        "{\"ts\":\"2026-11-09T14:23:45.123Z\",\"lvl\":\"debug\",\"ev\":\"e\","
                        "\"a\":\"x\xC5\xBC\\ufffd\\u000a\",\"n\":-1}\n");
    end(&f);
}

/* Whatever the values hold: one event is one line, valid, without a byte that acts on a
 * terminal. */
static void hostile_values_stay_in_their_line(void **state)
{
    static struct fixture f;
    static char value[3][2000];
    uint64_t random = 17;
    size_t cut_lines = 0;
    (void)state;
    for (int round = 0; round < 4000; round++) {
        enum log_format format = round % 2 ? LOG_JSON : LOG_TEXT;
        struct log_field fields[17];
        begin(&f, format, LOG_DEBUG);
        size_t count = testing_random(&random) % 16 + 1;
        for (size_t i = 0; i < count; i++) {
            size_t len = testing_random(&random) % (round % 3 ? 100 : 2000);
            static const char *const pieces[] = {"\n",
                                                 "\x1B[31m",
                                                 "\xC2\x9B",
                                                 "\xE2\x80\xA8",
                                                 "\xE2\x80\xAE",
                                                 "\xE2\x81\xA6",
                                                 "a",
                                                 "\xC5\xBC",
                                                 "\xFF",
                                                 "\"",
                                                 "\\",
                                                 "\x7F",
                                                 "\xF0\x9F\x98\x80",
                                                 "\xC2",
                                                 "\xE2\x80",
                                                 " "};
            char *v = value[i % 3];
            size_t at = 0;
            while (at < len && at < 1990) {
                const char *piece = pieces[testing_random(&random) % 16];
                size_t n = strlen(piece);
                memcpy(v + at, piece, n);
                at += n;
            }
            fields[i] = LOG_V("k", str_make(v, at));
        }
        fields[count] = LOG_END;
        /* names must differ for the JSON scanner */
        static const char *const keys[] = {"a", "b", "c", "d", "e", "f", "g", "h",
                                           "i", "j", "k", "l", "m", "n", "o", "p"};
        for (size_t i = 0; i < count; i++)
            fields[i].key = keys[i];
        log_write(f.log, LOG_WARN, "e", fields);
        const char *line = written(&f);
        size_t len = strlen(line);
        assert_true(len > 0 && len <= 4096 && line[len - 1] == '\n');
        str s = str_make(line, len - 1);
        assert_int_equal(str_utf8_valid(s), s.len);
        for (size_t i = 0; i < s.len; i++)
            assert_true((unsigned char)line[i] >= 0x20 && line[i] != 0x7F);
        assert_null(strstr(line, "\xC2\x9B"));
        assert_null(strstr(line, "\xE2\x80\xAE"));
        assert_null(strstr(line, "\xE2\x80\xA8"));
        assert_null(strstr(line, "\xE2\x81\xA6"));
        if (format == LOG_JSON)
            assert_int_equal(json_check(s, NULL, NULL, NULL), KF_OK);
        cut_lines += strstr(line, "cut") != NULL;
        end(&f);
    }
    assert_true(cut_lines > 100);
}

static void a_long_value_is_cut_between_characters(void **state)
{
    static struct fixture f;
    char value[600];
    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        begin(&f, LOG_TEXT, LOG_DEBUG);
        memset(value, 'a', shift);
        for (size_t i = shift; i + 4 < sizeof(value); i += 4)
            memcpy(value + i, "\xF0\x9F\x98\x80", 4);
        log_event(f.log, LOG_INFO, "e", LOG_V("v", str_make(value, 580)), LOG_END);
        const char *at = strchr(written(&f), '"');
        assert_non_null(at);
        size_t whole = shift + (512 - shift) / 4 * 4;
        assert_memory_equal(at + 1, value, whole);
        assert_string_equal(at + 1 + whole, "\xE2\x80\xA6\"\n");
        end(&f);
    }
}

static void lost_lines_are_counted(void **state)
{
    static struct fixture f;
    (void)state;
    begin(&f, LOG_TEXT, LOG_INFO);
    size_t sent = 0, seen = 0, lost = 0;
    char value[500];
    memset(value, 'x', sizeof(value));
    errno = 7;
    for (; sent < 300; sent++) /* more than the pipe holds */
        log_event(f.log, LOG_INFO, "e", LOG_V("v", str_make(value, sizeof(value))), LOG_END);
    assert_int_equal(errno, 7);
    for (int round = 0; round < 3; round++) {
        written(&f);
        for (const char *at = f.text; (at = strstr(at, " e v=")); at++)
            seen++;
        for (const char *at = f.text; (at = strstr(at, " log.lost lines=")); at++)
            lost += strtoul(at + 16, NULL, 10);
        if (round == 0)
            assert_true(seen > 0 && seen + lost < sent);
        else
            assert_int_equal(seen + lost, sent);
        log_event(f.log, LOG_INFO, "after", LOG_END);
    }
    assert_null(strstr(written(&f), "log.lost"));
    end(&f);
}

/* A limit on the size of files stops a write in the middle, as a disk that becomes full does. */
static void a_torn_line_is_ended_before_the_next(void **state)
{
    struct testing_env t;
    struct log *log;
    struct rlimit before, small;
    (void)state;
    testing_env_init(&t);
    const char *path = testing_path(testing_dir(), "log");
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_int_equal(log_new(&t.env, fd, LOG_TEXT, LOG_INFO, &log, NULL), KF_OK);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){32, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    log_event(log, LOG_INFO, "torn", LOG_END);
    log_event(log, LOG_INFO, "refused", LOG_END);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    log_event(log, LOG_INFO, "whole", LOG_END);
    assert_string_equal(testing_read(path, NULL),
                        "2026-11-09T14:23:45.123Z info  t\n"
                        "2026-11-09T14:23:45.123Z warn  log.lost lines=2\n"
                        "2026-11-09T14:23:45.123Z info  whole\n");
    close(fd);
    log_free(log);
    testing_env_release(&t);
}

static void nobody_listens(void **state)
{
    static struct fixture f;
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    begin(&f, LOG_TEXT, LOG_INFO);
    close(f.pipe[0]);
    log_event(f.log, LOG_INFO, "e", LOG_END);
    f.pipe[0] = -1;
    end(&f);
}

static void *write_lines(void *arg)
{
    for (int i = 0; i < 300; i++)
        log_event((struct log *)arg, LOG_INFO, "line", LOG_S("v", "some words"), LOG_I("i", i),
                  LOG_END);
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    struct testing_env t;
    struct log *log;
    pthread_t threads[4];
    (void)state;
    testing_env_init(&t);
    const char *path = testing_path(testing_dir(), "log");
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_int_equal(log_new(&t.env, fd, LOG_TEXT, LOG_INFO, &log, NULL), KF_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, log), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    size_t lines = 0;
    for (const char *at = testing_read(path, NULL); *at; lines++) {
        static const char head[] = "2026-11-09T14:23:45.123Z info  line v=\"some words\" i=";
        assert_memory_equal(at, head, sizeof(head) - 1);
        at = strchr(at, '\n') + 1;
    }
    assert_int_equal(lines, 1200);
    close(fd);
    log_free(log);
    testing_env_release(&t);
}

static kf_rc open_log(void *ctx)
{
    struct log *log = NULL;
    kf_rc rc = log_new(env_system(), 2, LOG_TEXT, LOG_INFO, &log, NULL);
    (void)ctx;
    log_free(log);
    return rc;
}

static void levels_and_memory(void **state)
{
    enum log_level level = LOG_CRIT;
    (void)state;
    assert_true(log_level_parse(STR("debug"), &level) && level == LOG_DEBUG);
    assert_true(log_level_parse(STR("crit"), &level) && level == LOG_CRIT);
    assert_false(log_level_parse(STR("Debug"), &level) || log_level_parse(STR(""), &level));
    assert_int_equal(testing_oom_each(open_log, NULL), 2);
}

static void what_others_bring_about_is_told_so_often(void **state)
{
    struct log_quiet q = {0};
    uint32_t unsaid, told = 0;
    (void)state;
    for (int i = 0; i < 100; i++)
        told += log_quiet_may(&q, 5000, 3, &unsaid);
    assert_int_equal(told, 3);
    assert_false(log_quiet_may(&q, 5000 + LOG_QUIET_MS - 1, 3, &unsaid));
    assert_true(log_quiet_may(&q, 5000 + LOG_QUIET_MS, 3, &unsaid));
    assert_int_equal(unsaid, 98);
    assert_true(log_quiet_may(&q, 5000 + LOG_QUIET_MS, 3, &unsaid));
    assert_int_equal(unsaid, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_of_text),
        cmocka_unit_test(a_line_of_json),
        cmocka_unit_test(hostile_values_stay_in_their_line),
        cmocka_unit_test(a_long_value_is_cut_between_characters),
        cmocka_unit_test(lost_lines_are_counted),
        cmocka_unit_test(a_torn_line_is_ended_before_the_next),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(lines_of_threads_do_not_mix),
        cmocka_unit_test(levels_and_memory),
        cmocka_unit_test(what_others_bring_about_is_told_so_often),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
