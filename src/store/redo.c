/* The file of a redo. redo.h draws it. */
#include "store/redo.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/hooks.h"
#include "base/le.h"
#include "base/mem.h"

#include <assert.h>
#include <sodium.h>

#define MAGIC     0x3152464bu
#define KEY       16
#define SUM       16
#define HEAD      64                    /* of the file */
#define SUMMED    56                    /* of a record's head, before its sum */
#define SITE_AT   (SUMMED + SUM)        /* behind it */
#define RECORD    (SITE_AT + REDO_SITE) /* its whole head */
#define ALIGN     64
#define PART_HEAD 8
#define GROW      ((int64_t)256 << 10)
#define KEPT_MAX  ((size_t)1 << 20) /* of the buffer, while nothing is put together */

static const char head_text[] = "KFREDO 1";

struct redo {
    struct file file;
    unsigned char key[KEY];
    uint64_t cycle;    /* of the next record */
    uint64_t highest;  /* of all that the file has had */
    bool wiped;        /* nothing of a group is in it */
    int64_t at;        /* where the next record goes */
    int64_t written;   /* what is behind it was never written, or is wiped */
    int64_t size;      /* of the file: what is behind `at` is there already, so that a sync has no
                         * more to write than the record */
    struct buf record; /* being put together */
    size_t part_begin; /* in it, of the part that is being put */
};

static size_t padding(size_t len, size_t to)
{
    return (to - len % to) % to;
}

/* ---------------------------------------------------------------------------------------- sums */

static void sum_of(const unsigned char key[KEY], str head, str writes, char out[SUM])
{
    struct hash_state s;
    struct hash h;
    hash_begin(&s);
    hash_add(&s, str_make(key, KEY));
    hash_add(&s, head);
    hash_add(&s, writes);
    hash_end(&s, &h);
    memcpy(out, h.b, SUM);
}

/* ------------------------------------------------------------------------------ opening, making */

static kf_rc make(const struct env *env, const char *path, struct kf_err *err)
{
    char head[HEAD] = {0};
    unsigned char key[KEY];
    struct file f = FILE_CLOSED;
    env->random(env->ctx, key, sizeof key);
    memcpy(head, head_text, sizeof head_text - 1);
    memcpy(head + 8, key, KEY);
    sum_of(key, str_make(head, 8), STR(""), head + 8 + KEY);
    kf_rc rc = file_new_begin(env, path, &f, err);
    if (rc != KF_OK)
        return rc;
    rc = file_write(&f, 0, head, sizeof head, err);
    return file_new_end(&f, path, rc, err);
}

static kf_rc read_head(struct redo *r, struct kf_err *err)
{
    char head[HEAD], sum[SUM] = {0};
    size_t len = 0;
    kf_rc rc = file_read(&r->file, 0, head, sizeof head, &len, err);
    if (rc != KF_OK)
        return rc;
    if (len == sizeof head) {
        memcpy(r->key, head + 8, KEY);
        sum_of(r->key, str_make(head, 8), STR(""), sum);
    }
    if (len < sizeof head || memcmp(head, head_text, 8) != 0 ||
        memcmp(sum, head + 8 + KEY, SUM) != 0)
        return err_set(err, PROBLEM_DAMAGED, "%s does not begin as a redo file does", r->file.path);
    return KF_OK;
}

kf_rc redo_open(const struct env *env, const char *path, bool create, struct redo **ret,
                struct kf_err *err)
{
    struct redo *r = mem_calloc(1, sizeof *r);
    struct stat st;
    if (!r)
        return err_nomem(err);
    r->file = FILE_CLOSED;
    r->record = BUF_INIT;
    kf_rc rc = path_stat(env, path, &st, err);
    if (rc == KF_ABSENT && create) {
        r->wiped = true;
        rc = make(env, path, err);
    }
    if (rc == KF_OK)
        rc = file_open(env, path, FILE_READWRITE, &r->file, err);
    if (rc == KF_OK)
        rc = file_size(&r->file, &r->size, err);
    if (rc == KF_OK)
        rc = read_head(r, err);
    if (rc != KF_OK) {
        redo_close(r);
        return rc;
    }
    r->at = HEAD;
    r->written = r->size;
    r->cycle = r->highest = 1;
    *ret = r;
    return KF_OK;
}

bool redo_is_at(struct redo *r, const char *path)
{
    struct stat own, there;
    return file_stat(&r->file, &own, NULL) == KF_OK &&
           path_stat(r->file.env, path, &there, NULL) == KF_OK && own.st_dev == there.st_dev &&
           own.st_ino == there.st_ino;
}

void redo_close(struct redo *r)
{
    if (!r)
        return;
    file_close(&r->file);
    buf_release(&r->record);
    mem_free(r);
}

/* ------------------------------------------------------------------------------------- writing */

void redo_begin(struct redo *r, int64_t first, int64_t now_ms, const char *site)
{
    char head[RECORD] = {0};
    le_put32(head, MAGIC);
    le_put64(head + 16, (uint64_t)first);
    le_put64(head + 32, (uint64_t)now_ms);
    memcpy(head + SITE_AT, site, REDO_SITE);
    buf_clear(&r->record);
    buf_add(&r->record, head, sizeof head);
}

struct buf *redo_part(struct redo *r)
{
    static const char head[PART_HEAD];
    r->part_begin = r->record.len;
    buf_add(&r->record, head, sizeof head);
    return &r->record;
}

void redo_part_end(struct redo *r)
{
    static const char zeros[8];
    struct buf *b = &r->record;
    if (b->failed)
        return;
    size_t len = b->len - r->part_begin - PART_HEAD;
    assert(len <= UINT32_MAX);
    le_put32(b->p + r->part_begin, (uint32_t)len);
    buf_add(b, zeros, padding(len, sizeof zeros));
}

size_t redo_mark(const struct redo *r)
{
    return r->record.len;
}

void redo_cut(struct redo *r, size_t mark)
{
    r->record.len = mark;
}

str redo_parts(const struct redo *r)
{
    return str_from(buf_view(&r->record), RECORD);
}

static int64_t room_of(const struct redo *r)
{
    return (int64_t)(r->record.len + padding(r->record.len, ALIGN));
}

bool redo_fits(const struct redo *r)
{
    return !r->record.failed && r->at + room_of(r) <= REDO_BYTES_MAX;
}

static kf_rc write_zeros(struct redo *r, int64_t from, int64_t to, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    char *zeros = mem_calloc(1, (size_t)GROW);
    if (!zeros)
        return err_nomem(err);
    for (int64_t at = from; rc == KF_OK && at < to; at += GROW) {
        size_t len = (size_t)(to - at < GROW ? to - at : GROW);
        rc = file_write(&r->file, at, zeros, len, err);
    }
    mem_free(zeros);
    return rc;
}

/* Zeros up to twice what is needed: a sync of a file that grows writes more than its bytes. */
static kf_rc grow(struct redo *r, int64_t to, struct kf_err *err)
{
    int64_t size = r->size < GROW ? GROW : r->size;
    while (size < to)
        size *= 2;
    kf_rc rc = write_zeros(r, r->size, size, err);
    if (rc == KF_OK)
        r->size = size;
    return rc;
}

static kf_rc write_record(struct redo *r, int64_t last, int64_t stamp, struct kf_err *err)
{
    static const char zeros[ALIGN];
    struct buf *b = &r->record;
    size_t len = b->len;
    buf_add(b, zeros, padding(len, ALIGN));
    kf_rc rc = buf_ok(b, err);
    if (rc == KF_OK && r->at + (int64_t)b->len > r->size)
        rc = grow(r, r->at + (int64_t)b->len, err);
    if (rc != KF_OK)
        return rc;
    le_put32(b->p + 4, (uint32_t)(len - RECORD));
    le_put64(b->p + 8, r->cycle);
    le_put64(b->p + 24, (uint64_t)last);
    le_put64(b->p + 40, (uint64_t)r->at);
    le_put64(b->p + 48, (uint64_t)stamp);
    sum_of(r->key, str_make(b->p, SUMMED), str_make(b->p + SITE_AT, len - SITE_AT), b->p + SUMMED);
    r->wiped = false;
    if (r->written < r->at + (int64_t)b->len)
        r->written = r->at + (int64_t)b->len;
    if (!KF_SABOTAGE("redo-not-written"))
        rc = file_write(&r->file, r->at, b->p, b->len, err);
    if (rc == KF_OK && !KF_SABOTAGE("redo-not-synced"))
        rc = file_sync_data(&r->file, err);
    if (rc == KF_OK) {
        r->at += (int64_t)b->len;
    } else if (file_write(&r->file, r->at, zeros, sizeof zeros, NULL) == KF_OK) {
        /* As far as that can be said of a file that fails: it does not count. */
        KF_SOMETIMES("redo-record-taken-back");
        file_sync_data(&r->file, NULL);
    }
    return rc;
}

kf_rc redo_end(struct redo *r, int64_t last, int64_t stamp, struct kf_err *err)
{
    kf_rc rc = write_record(r, last, stamp, err);
    if (r->record.cap > KEPT_MAX)
        buf_release(&r->record);
    return rc;
}

void redo_restart(struct redo *r)
{
    if (r->at == HEAD)
        return;
    r->at = HEAD;
    r->cycle = ++r->highest;
}

kf_rc redo_erase(struct redo *r, struct kf_err *err)
{
    redo_restart(r);
    if (r->wiped)
        return KF_OK;
    kf_rc rc = write_zeros(r, HEAD, r->written, err);
    if (rc == KF_OK)
        rc = file_sync_data(&r->file, err);
    r->wiped = rc == KF_OK;
    if (r->wiped)
        r->written = HEAD;
    return rc;
}

int64_t redo_bytes(const struct redo *r)
{
    return r->at - HEAD;
}

/* ------------------------------------------------------------------------------------- reading */

/* Whether a whole record stands at `at`. */
static bool record_at(const struct redo *r, str all, size_t at, uint64_t *ret_cycle,
                      struct redo_record *ret, size_t *ret_end)
{
    char sum[SUM];
    if (all.len < RECORD || at > all.len - RECORD || le_get32(all.p + at) != MAGIC)
        return false;
    const char *head = all.p + at;
    size_t len = le_get32(head + 4);
    if (len > all.len - at - RECORD || le_get64(head + 40) != at)
        return false;
    sum_of(r->key, str_make(head, SUMMED), str_make(head + SITE_AT, REDO_SITE + len), sum);
    if (memcmp(sum, head + SUMMED, SUM) != 0)
        return false;
    ret->parts = str_make(head + RECORD, len);
    str_copy(ret->site, sizeof ret->site, str_make(head + SITE_AT, REDO_SITE));
    *ret_cycle = le_get64(head + 8);
    ret->first = (int64_t)le_get64(head + 16);
    ret->last = (int64_t)le_get64(head + 24);
    ret->now_ms = (int64_t)le_get64(head + 32);
    ret->stamp = (int64_t)le_get64(head + 48);
    *ret_end = at + RECORD + len + padding(RECORD + len, ALIGN);
    return true;
}

/* A part for each number: the sum says that it was written so, not that it makes sense. */
static bool has_its_parts(const struct redo_record *record)
{
    str parts = record->parts, one;
    uint64_t count = 0;
    while (redo_next(&parts, &one))
        count++;
    return parts.len == 0 && (uint64_t)record->last - (uint64_t)record->first == count;
}

/* What stands behind the last record that counts: the highest cycle, and whether a group is there
 * that is not known. */
static bool look_behind(struct redo *r, str all, size_t at, int64_t known)
{
    struct redo_record record;
    uint64_t cycle;
    size_t end;
    bool lost = false;
    for (; at + HEAD <= all.len; at += ALIGN) {
        if (!record_at(r, all, at, &cycle, &record, &end))
            continue;
        r->highest = cycle > r->highest ? cycle : r->highest;
        lost = lost || record.last > known;
    }
    return lost;
}

/* It is full, so that whoever goes on begins it anew, or sets it aside. */
static kf_rc damaged(struct redo *r, size_t at, struct kf_err *err)
{
    r->at = r->size;
    return err_set(err, PROBLEM_DAMAGED, "%s is damaged at byte %zu", r->file.path, at);
}

static kf_rc see_all(struct redo *r, str all, int64_t known, redo_see *see, void *ctx,
                     struct kf_err *err)
{
    struct redo_record record;
    uint64_t cycle;
    size_t at = HEAD, end;
    r->cycle = r->highest = 0;
    while (record_at(r, all, at, &cycle, &record, &end) && (at == HEAD || cycle == r->cycle)) {
        r->cycle = r->highest = cycle;
        kf_rc rc = KF_OK;
        if (record.last > known)
            rc = has_its_parts(&record) ? see(ctx, &record, err) : damaged(r, at, err);
        if (rc != KF_OK)
            return rc;
        known = record.last > known ? record.last : known;
        at = end;
    }
    r->at = (int64_t)at;
    bool lost = look_behind(r, all, at, known);
    if (at == HEAD || lost) /* the first of a cycle was cut off, or there is none */
        r->cycle = ++r->highest;
    return lost ? damaged(r, at, err) : KF_OK;
}

kf_rc redo_read(struct redo *r, int64_t known, redo_see *see, void *ctx, struct kf_err *err)
{
    struct buf all = BUF_INIT;
    size_t len = 0, size = (size_t)(r->size < REDO_BYTES_MAX ? r->size : REDO_BYTES_MAX);
    char *to = buf_room(&all, size);
    kf_rc rc = to ? file_read(&r->file, 0, to, size, &len, err) : err_nomem(err);
    if (rc == KF_OK)
        rc = see_all(r, str_make(to, len), known, see, ctx, err);
    buf_release(&all);
    return rc;
}

bool redo_next(str *parts, str *ret)
{
    if (parts->len < PART_HEAD)
        return false;
    size_t len = le_get32(parts->p), all = PART_HEAD + len + padding(len, 8);
    if (all > parts->len)
        return false;
    *ret = str_make(parts->p + PART_HEAD, len);
    *parts = str_from(*parts, all);
    return true;
}

void redo_key(const struct redo *r, char out[REDO_KEY_HEX + 1])
{
    sodium_bin2hex(out, REDO_KEY_HEX + 1, r->key, KEY);
}
