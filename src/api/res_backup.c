/* Backup, restore, digest, verify: long bodies in both directions, made and taken on a worker.
 *
 * A backup: worker makes a piece -> loop gives it to the door -> (door full: wait for api_drained)
 * -> worker makes the next. A restore: pieces gather in c->spool -> worker writes them -> ... ->
 * end of body: worker verifies and swaps. */
#include "api/api_internal.h"

/* --------------------------------------------------------------------------------------- backup */

/* Where the key is, as seen by this process; its texts are the call's. */
static kf_rc query_key(struct api_call *c, struct seal_source *ret, struct kf_err *err)
{
    str file = query_get(c, "key_file"), variable = query_get(c, "key_env");
    *ret = (struct seal_source){arena_str(&c->arena, file), arena_str(&c->arena, variable)};
    if (!ret->file.p || !ret->variable.p)
        return err_nomem(err);
    if (file.len && variable.len)
        return err_set(err, PROBLEM_BAD_FILTER, "key_file and key_env both name a key");
    if (file.len && file.p[0] != '/')
        return err_set(err, PROBLEM_BAD_FILTER, "key_file must be a whole path, from / on");
    return KF_OK;
}

static void backup_begin(struct api_call *c)
{
    struct seal_source key;
    c->rc = query_key(c, &key, &c->err);
    if (c->rc == KF_OK)
        c->rc = backup_new(c->store, query_get(c, "pending"), &key, &c->backup, &c->err);
}

static void backup_step(struct api_call *c)
{
    buf_clear(&c->out);
    if (!c->backup)
        backup_begin(c);
    if (c->rc == KF_OK)
        c->rc = backup_read(c->backup, &c->out, &c->err);
}

static void backup_piece(struct api_call *c);

static void backup_next(struct api_call *c)
{
    call_work(c, backup_step, backup_piece);
}

static void backup_end(struct api_call *c, bool ok)
{
    char id[REQUEST_ID_LEN + 1];
    backup_free(c->backup);
    c->backup = NULL;
    if (!ok && c->rc != KF_OK)
        log_event(c->api->o.log, LOG_ERROR, "backup.broken", LOG_S("code", c->err.code),
                  LOG_S("detail", c->err.detail), LOG_S("req", call_id_text(c, id)), LOG_END);
    answer_over(c, ok);
}

static void backup_head(struct api_call *c)
{
    char stamp[WHEN_LEN + 1];
    when_format(env_wall_ms(c->api->o.env), stamp);
    bool sealed = query_get(c, "key_file").len || query_get(c, "key_env").len;
    char *name = arena_printf(&c->arena, "attachment; filename=\"%.*s-%.10s.zip%s\"",
                              STR_ARGS(c->match.space), stamp, sealed ? ".sealed" : "");
    answer_header(c, "Content-Type",
                  sealed ? STR("application/octet-stream") : STR("application/zip"));
    if (name)
        answer_header(c, "Content-Disposition", str_of(name));
    struct api_answer a = {200, c->headers, c->header_count, -1};
    c->state = CALL_ANSWER;
    c->door->head(c->ctx, &a);
}

/* On the loop with a piece, the end, or a failure; before the head a failure is a problem, behind
 * it the body is broken off. */
static void backup_piece(struct api_call *c)
{
    if (c->state != CALL_ANSWER) {
        if (c->rc != KF_OK) {
            backup_free(c->backup); /* what it pinned is let go now, not with the next request */
            c->backup = NULL;
            answer_problem(c, &c->err);
            return;
        }
        backup_head(c);
    }
    if (c->rc == KF_OK)
        c->rc = auth_still(c, &c->err);
    if (c->rc != KF_OK || c->head_only)
        backup_end(c, c->rc == KF_OK || c->rc == KF_ABSENT);
    else if (c->door->body(c->ctx, buf_view(&c->out)))
        backup_next(c);
    else {
        c->draining = true;
        call_watch(c);
    }
}

void backup_drained(struct api_call *c)
{
    backup_next(c);
}

void backup_get(struct api_call *c)
{
    backup_next(c);
}

/* -------------------------------------------------------------------------------------- restore */

static void spool_done(struct api_call *c);

/* The spool is a file to be removed, mostly on the worker, and an idle connection keeps none. */
static void drop_restore(struct api_call *c)
{
    restore_free(c->restore);
    c->restore = NULL;
}

static void spool_step(struct api_call *c)
{
    bool replace = false;
    struct seal_source key;
    c->rc = buf_ok(&c->out, &c->err);
    if (c->rc == KF_OK && !c->restore) {
        c->rc = query_flag(c, "replace", &replace, &c->err);
        if (c->rc == KF_OK)
            c->rc = query_key(c, &key, &c->err);
        if (c->rc == KF_OK)
            c->rc = restore_new(c->store, replace, &key, &c->restore, &c->err);
    }
    if (c->rc == KF_OK)
        c->rc = restore_write(c->restore, buf_view(&c->out), &c->err);
    if (c->rc != KF_OK)
        drop_restore(c);
}

static void finish_step(struct api_call *c)
{
    struct restored r;
    bool first = true;
    buf_clear(&c->out);
    c->rc = restore_finish(c->restore, call_goes_on, c, &r, &c->err);
    drop_restore(c);
    if (c->rc != KF_OK)
        return;
    buf_c(&c->out, "{");
    json_put_u64(&c->out, &first, "docs", r.docs);
    json_put_u64(&c->out, &first, "versions", r.versions);
    json_put_u64(&c->out, &first, "entries", r.entries);
    json_put_u64(&c->out, &first, "bytes", r.bytes);
    json_put_str(&c->out, &first, "digest", str_of(r.digest));
    json_put_str(&c->out, &first, "kept_as", str_of(r.kept_as));
    json_put_u64(&c->out, &first, "overtaken", r.overtaken);
    buf_c(&c->out, "}");
}

/* Also where it was not begun any more. */
static void finish_done(struct api_call *c)
{
    drop_restore(c);
    call_answer_out(c);
}

/* What has gathered goes to a worker; c->out holds it there, c->spool takes what comes meanwhile.
 */
static void spool_flush(struct api_call *c)
{
    struct buf full = c->spool;
    c->spool = c->out;
    c->out = full;
    buf_clear(&c->spool);
    call_work(c, spool_step, spool_done);
}

static void spool_done(struct api_call *c)
{
    if (c->rc == KF_OK)
        c->rc = auth_still(c, &c->err);
    if (c->rc != KF_OK) {
        drop_restore(c);
        c->close = !c->eof;
        answer_problem(c, &c->err);
        return;
    }
    if (c->spool.len || c->spool.failed) {
        spool_flush(c);
    } else if (c->eof) {
        c->state = CALL_WORK;
        call_work(c, finish_step, finish_done);
    }
    if (c->paused) {
        c->paused = false;
        c->door->more(c->ctx);
    }
}

void restore_post(struct api_call *c)
{
    (void)c; /* a STREAM route begins with restore_data or restore_eof */
    assert(false);
}

bool restore_data(struct api_call *c, str bytes)
{
    buf_add(&c->spool, bytes.p, bytes.len); /* a failure is seen by spool_step */
    if (!c->pending)
        spool_flush(c);
    return true;
}

void restore_eof(struct api_call *c)
{
    if (!c->pending)
        spool_flush(c);
}

/* ------------------------------------------------------------------------------ digest and verify
 */

static bool is_wanted(void *ctx)
{
    return call_goes_on(ctx, 0, 0);
}

static void work_digest(struct api_call *c)
{
    char hex[65];
    struct kf_status s;
    bool first = true;
    c->rc = digest_now(c->store, is_wanted, c, hex, &c->err);
    if (c->rc == KF_OK)
        c->rc = kf_status(c->store, &s, &c->err);
    if (c->rc != KF_OK)
        return;
    buf_c(&c->out, "{");
    json_put_str(&c->out, &first, "digest", str_of(hex));
    json_put_u64(&c->out, &first, "docs", s.docs);
    buf_c(&c->out, "}");
}

void digest_get(struct api_call *c)
{
    call_work(c, work_digest, call_answer_out);
}

/* The report's lines as an array. */
static void report_json(str report, struct buf *out)
{
    bool any = false;
    buf_c(out, "[");
    while (report.len) {
        str line = {report.p, str_index(report, '\n')};
        report = str_from(report, line.len + 1);
        if (!line.len)
            continue;
        if (any)
            buf_byte(out, ',');
        any = true;
        buf_json_string(out, line);
    }
    buf_c(out, "]");
}

static void work_verify(struct api_call *c)
{
    struct kf_verified v = {0};
    bool deep = false, first = true;
    c->rc = query_flag(c, "deep", &deep, &c->err);
    if (c->rc != KF_OK)
        return;
    c->rc = kf_verify(c->store, deep, call_goes_on, c, &v, &c->err);
    if (c->rc == KF_DAMAGED) /* found damage is this route's answer, not its failure */
        c->rc = KF_OK;
    if (c->rc == KF_OK) {
        buf_c(&c->out, "{");
        json_put_bool(&c->out, &first, "good", v.damaged == 0);
        json_put_u64(&c->out, &first, "docs", v.docs);
        json_put_u64(&c->out, &first, "versions", v.versions);
        json_put_u64(&c->out, &first, "entries", v.entries);
        json_put_u64(&c->out, &first, "bytes", v.bytes);
        json_put_u64(&c->out, &first, "damaged", v.damaged);
        json_put_u64(&c->out, &first, "repaired", v.repaired);
        json_key(&c->out, &first, "report");
        report_json(str_make(v.report.p, v.report.len), &c->out);
        buf_c(&c->out, "}");
    }
    kf_bytes_free(&v.report);
}

void verify_post(struct api_call *c)
{
    call_work(c, work_verify, call_answer_out);
}
