/* A redo file as a disk, or somebody who writes to the folder, may leave it. The first byte says
 * how much of it is made right, the second up to which number the database has everything:
 *
 *     0  the rest is the file
 *     1  what is behind its head; the sums of records are put right, too
 *     2  and that each stands where it says
 *
 * Numbers that are shown go up, and each has its part. What is written behind that is found. */
#include "store/redo.h"

#include "base/hash.h"
#include "base/le.h"
#include "base/mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 64, KEY_AT = 8, KEY = 16, SUM = 16, AT = 40, SUM_AT = 56, SITE_AT = 72, RECORD = 88 };

static const char path_text[] = "keepfast-fuzz-redo-XXXXXX";
static char path[64];

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void sum(const char *key, str a, str b, char *to)
{
    struct hash_state s;
    struct hash h;
    hash_begin(&s);
    hash_add(&s, str_make(key, KEY));
    hash_add(&s, a);
    hash_add(&s, b);
    hash_end(&s, &h);
    memcpy(to, h.b, SUM);
}

static void make_head(char *file)
{
    memset(file, 0, HEAD);
    memcpy(file, "KFREDO 1", KEY_AT);
    sum(file + KEY_AT, str_make(file, KEY_AT), STR(""), file + KEY_AT + KEY);
}

/* Of every place where one may stand; the last first, for it may be within another. */
static void make_records(char *file, size_t len, bool placed)
{
    for (size_t at = len / HEAD * HEAD; at >= HEAD; at -= HEAD) {
        char *head = file + at;
        if (len - at < RECORD || le_get32(head) != 0x3152464bu ||
            le_get32(head + 4) > len - at - RECORD)
            continue;
        if (placed)
            le_put64(head + AT, at);
        sum(file + KEY_AT, str_make(head, SUM_AT),
            str_make(head + SITE_AT, RECORD - SITE_AT + le_get32(head + 4)), head + SUM_AT);
    }
}

/* In memory, if there is such a place. */
static void write_file(const char *file, size_t len)
{
    if (!path[0])
        snprintf(path, sizeof path, "%s/%s", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
                 path_text);
    static bool named;
    int fd = named ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : mkstemp(path);
    must(fd >= 0 && write(fd, file, len) == (ssize_t)len);
    close(fd);
    named = true;
}

struct seen {
    int64_t known;
    uint64_t groups, parts;
};

static kf_rc see(void *ctx, const struct redo_record *record, struct kf_err *err)
{
    struct seen *seen = ctx;
    str parts = record->parts, one;
    uint64_t count = 0, bytes = 0;
    while (redo_next(&parts, &one)) {
        count++;
        for (size_t i = 0; i < one.len; i++)
            bytes += (unsigned char)one.p[i];
    }
    must(parts.len == 0 && bytes <= 255 * record->parts.len);
    must(count == (uint64_t)record->last - (uint64_t)record->first);
    must(record->last > seen->known && strlen(record->site) <= REDO_SITE);
    seen->known = record->last;
    seen->groups++;
    seen->parts += count;
    return KF_OK;
}

/* One more behind what was read, which is found beside the rest by who opens the file. */
static void go_on(struct redo *r, int64_t known, struct seen before)
{
    struct seen again = {.known = known};
    struct redo *second = NULL;
    if (before.known == INT64_MAX)
        return;
    redo_begin(r, before.known, 1, "0123456789abcdef");
    buf_c(redo_part(r), "one more");
    redo_part_end(r);
    must(redo_end(r, before.known + 1, 2, NULL) == KF_OK);
    must(redo_open(env_system(), path, false, &second, NULL) == KF_OK);
    must(redo_read(second, known, see, &again, NULL) == KF_OK);
    must(again.groups == before.groups + 1 && again.parts == before.parts + 1);
    must(again.known == before.known + 1 && redo_bytes(second) >= redo_bytes(r));
    redo_close(second);
}

/* Nothing of it is there any more, whatever it was. */
static void erase(struct redo *r)
{
    struct seen none = {.known = INT64_MIN};
    must(redo_erase(r, NULL) == KF_OK && redo_bytes(r) == 0);
    must(redo_read(r, INT64_MIN, see, &none, NULL) == KF_OK && none.groups == 0);
}

static void fuzz_file(const char *file, size_t len, int64_t known)
{
    struct redo *r = NULL;
    struct seen seen = {.known = known};
    write_file(file, len);
    if (redo_open(env_system(), path, false, &r, NULL) == KF_OK) {
        kf_rc rc = redo_read(r, known, see, &seen, NULL);
        must(rc == KF_OK || rc == KF_DAMAGED);
        if (rc == KF_OK)
            go_on(r, known, seen);
        else
            must(redo_bytes(r) > 0);
        erase(r);
        redo_close(r);
    }
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool begun;
    begun = begun || hash_init() == 0;
    if (size < 2 || !begun)
        return 0;
    int mode = data[0] % 3;
    size_t len = size - 2, head = mode == 0 ? 0 : HEAD;
    char *file = mem_alloc(head + len + 1);
    if (!file)
        return 0;
    memcpy(file + head, data + 2, len);
    if (mode) {
        make_head(file);
        make_records(file, head + len, mode == 2);
    }
    fuzz_file(file, head + len, data[1]);
    mem_free(file);
    return 0;
}
