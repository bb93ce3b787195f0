/* log: one event, one line, on stderr (or where a test wants it).
 *
 * text:  2026-11-09T14:23:45.123Z info  store.recovered frames=12
 * json:  {"ts":"…","lvl":"info","ev":"store.recovered","frames":12}
 *
 * Values are escaped and cut at 512 bytes, a line at 4 KiB, so that one event is always one line. A
 * line that cannot be written is counted and reported with the next one that can (log.lost).
 *
 * Threads: any. A line is one write(2). */
#ifndef KF_BASE_LOG_H
#define KF_BASE_LOG_H

#include "base/env.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_CRIT };
enum log_format { LOG_TEXT, LOG_JSON };

struct log; /* NULL is a log that drops everything: what a program that links the library gets */

kf_rc log_new(const struct env *env, int fd, enum log_format format, enum log_level level,
              struct log **ret_log, struct kf_err *err);
void log_free(struct log *log);
bool log_level_parse(str s, enum log_level *ret);

/* A field of a line. Made by the macros below. */
struct log_field {
    const char *key;
    enum { LOG_STR, LOG_INT } type;
    str s;
    int64_t i;
};
#define LOG_S(key, value) ((struct log_field){key, LOG_STR, str_of(value), 0})
#define LOG_V(key, value) ((struct log_field){key, LOG_STR, value, 0})
#define LOG_I(key, value) ((struct log_field){key, LOG_INT, {0, 0}, (int64_t)(value)})
#define LOG_END           ((struct log_field){0, LOG_INT, {0, 0}, 0})

/* log_event(log, LOG_WARN, "remote.down", LOG_S("remote", name), LOG_END); at most 16 fields. */
#define log_event(log, level, event, ...) \
    log_write(log, level, event, (struct log_field[]){__VA_ARGS__})
void log_write(struct log *log, enum log_level level, const char *event,
               const struct log_field *fields);

/* For events that others can bring about as often as they like: at most so many lines of one in
 * LOG_QUIET_MS, and the next one says how many were not written. One thread at a time. */
#define LOG_QUIET_MS 10000
struct log_quiet {
    int64_t until_ms;
    uint32_t written, unsaid;
};
/* Whether a line may be written now (env_mono_ms); *ret_unsaid: what the line should tell. */
bool log_quiet_may(struct log_quiet *q, int64_t now_ms, uint32_t most, uint32_t *ret_unsaid);

#endif
