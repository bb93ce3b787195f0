/* when: times and sizes as text. Pure. */
#ifndef KF_BASE_WHEN_H
#define KF_BASE_WHEN_H

#include "base/str.h"
#include "base/buf.h"

/* "2026-11-09T14:23:45.123Z", 24 bytes and a NUL. Years 0000 to 9999; outside them the nearest. */
#define WHEN_LEN 24
void when_format(int64_t ms, char out[WHEN_LEN + 1]);
/* The same for times of which many are of one minute: what was found of the last one is kept in
 * `minute`, which is zeroed at first. */
struct when_minute {
    bool known;
    int64_t minute;
    char text[WHEN_LEN + 1];
};
void when_format_on(struct when_minute *minute, int64_t ms, char out[WHEN_LEN + 1]);
/* RFC 3339 with zone (any offset, 0 to 9 digits of fraction, cut to milliseconds). False for
 * anything else. */
bool when_parse(str s, int64_t *ret_ms);

/* "500ms", "30s", "5m", "1h", "24h", "30d"; a bare 0. False for anything else or beyond 100
 * years. */
bool duration_parse(str s, uint64_t *ret_ms);
/* The shortest exact form of the above: 90000 is "90s", 3600000 "1h". */
void duration_format(uint64_t ms, struct buf *out);

/* "8MiB", "16KiB", "1GiB", "500" (bytes). */
bool size_parse(str s, uint64_t *ret_bytes);
void size_format(uint64_t bytes, struct buf *out);
/* For people: "3.2 MiB", "812 B". */
void size_human(uint64_t bytes, struct buf *out);
/* For people: "4 s", "3 min", "2 h", "5 d". */
void age_human(int64_t ms, struct buf *out);

#endif
