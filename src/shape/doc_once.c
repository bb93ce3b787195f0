/* Idempotency keys of writes of documents: rows of kf_once, read and written in the group of the
 * write. doc_keep.c says when they go.
 *
 * kf_once.key is the key, with "OF:" before it where it is a writer's own (doc_write.once_of).
 *
 * kf_once.result is "VERSION FLAGS ETAG": FLAGS `c` (created) or `-`, then `u` (unchanged) or `-`;
 * ETAG without quotes, `-` for a deletion. */
#include "shape/doc_internal.h"

#include <stdio.h>

static bool once_parse(str result, struct kf_written *ret)
{
    size_t space = str_index(result, ' ');
    uint64_t version;
    if (!str_to_u64((str){result.p, space}, &version) || result.len < space + 5)
        return false;
    str flags = {result.p + space + 1, 2}, etag = str_from(result, space + 4);
    if (etag.len != DOC_ETAG_LEN - 2 && !str_is(etag, "-"))
        return false;
    *ret = (struct kf_written){.version = version,
                               .created = flags.p[0] == 'c',
                               .unchanged = flags.p[1] == 'u',
                               .replayed = true};
    if (etag.len > 1) {
        ret->etag[0] = ret->etag[DOC_ETAG_LEN - 1] = '"';
        memcpy(ret->etag + 1, etag.p, etag.len);
    }
    return true;
}

#define ONCE_ROOM (DOC_ONCE_LEN + 1 + DOC_KEY_MAX + 1)

static str once_key(const struct doc_write *w, char room[ONCE_ROOM])
{
    if (!w->once_of[0] || KF_SABOTAGE("keys-shared"))
        return w->idempotency_key;
    snprintf(room, ONCE_ROOM, "%s:%.*s", w->once_of, STR_ARGS(w->idempotency_key));
    return str_of(room);
}

kf_rc doc_once_look(struct group *g, struct doc_write *w, struct kf_err *err)
{
    static const char sql[] = "SELECT request, result FROM kf_once WHERE key = $1";
    struct db_stmt *s;
    bool row = false;
    char request[HASH_HEX + 1], key[ONCE_ROOM];
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    hash_hex(&w->request, request);
    db_bind_text(s, 1, once_key(w, key));
    rc = db_step(s, &row, err);
    if (rc == KF_OK && !row)
        rc = KF_ABSENT;
    else if (rc == KF_OK && !str_is(db_text(s, 0), request))
        rc = err_set(err, PROBLEM_ID_REUSED,
                     "the idempotency key \"%.*s\" came with another request before: use a new key",
                     STR_SHOWN(w->idempotency_key));
    else if (rc == KF_OK && !once_parse(db_text(s, 1), &w->written))
        rc = err_set(err, PROBLEM_DAMAGED,
                     "the stored result of the idempotency key \"%.*s\" is damaged",
                     STR_SHOWN(w->idempotency_key));
    db_done(s);
    return rc;
}

kf_rc doc_once_keep(struct group *g, const struct doc_write *w, struct kf_err *err)
{
    static const char sql[] =
        "INSERT INTO kf_once(key, request, result, at) VALUES($1, $2, $3, $4)";
    struct db_stmt *s;
    struct buf result = BUF_INIT;
    char request[HASH_HEX + 1], key[ONCE_ROOM];
    hash_hex(&w->request, request);
    buf_u64(&result, w->written.version);
    buf_byte(&result, ' ');
    buf_byte(&result, w->written.created ? 'c' : '-');
    buf_byte(&result, w->written.unchanged ? 'u' : '-');
    buf_byte(&result, ' ');
    if (w->written.etag[0])
        buf_add(&result, w->written.etag + 1, DOC_ETAG_LEN - 2);
    else
        buf_byte(&result, '-');
    kf_rc rc = buf_ok(&result, err);
    if (rc == KF_OK)
        rc = db_use(group_db(g), sql, &s, err);
    if (rc == KF_OK) {
        db_bind_text(s, 1, once_key(w, key));
        db_bind_text(s, 2, str_of(request));
        db_bind_text(s, 3, buf_view(&result));
        db_bind_i64(s, 4, group_now_ms(g));
        rc = db_run(s, err);
    }
    buf_release(&result);
    return rc;
}
