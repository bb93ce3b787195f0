/* What a run pushes:
 *
 *     pin -> snapshot at number S: heads above the watermark, and what was withheld below it
 *         -> bodies, by groups -> what may not go there is withheld (W6) -> push -> unpin
 *                                                  refused (R7): halves ^--'
 *
 * remotes_push_set.c has the snapshot. */
#include "remote/remotes_push.h"

static kf_rc note_files(struct snapshot *s, struct kf_err *err)
{
    struct push_file **files = arena_alloc(&s->arena, (s->set.count + 1) * sizeof(*files));
    size_t count = 0;
    if (!files)
        return err_nomem(err);
    for (size_t i = 0; i < s->set.count; i++)
        if (picked(s, i)->file && !picked(s, i)->left_out)
            files[count++] = picked(s, i)->file;
    return run_local(s->run, files_pushed(s->run, files, count, err));
}

/* Pushes those of the heads from `from` to `to` that are not left out. */
static kf_rc push_range(struct snapshot *s, struct remote *remote, size_t from, size_t to,
                        struct kf_err *err)
{
    struct run *run = s->run;
    struct buf after = BUF_INIT;
    struct remote_pushed pushed = {0};
    s->set.count = s->at = s->from = s->to = 0;
    for (size_t i = from; i < to; i++)
        if (!s->heads[i].left_out)
            s->pick[s->set.count++] = i;
    if (s->set.count == 0)
        return KF_OK;
    kf_rc rc = remote->driver->push(remote, buf_view(&run->position), &s->set, &after, &pushed,
                                    err);
    if (rc == KF_OK) {
        s->answered |= pushed.files > 0;
        run->pushed.files += pushed.files;
        run->pushed.docs += pushed.docs;
        run->pushed.entries += pushed.entries;
        run->pushed.bytes += pushed.bytes;
        buf_release(&run->position);
        run->position = after;
        after = BUF_INIT;
        rc = note_files(s, err);
    }
    buf_release(&after);
    return rc;
}

/* --------------------------------------------------------------------- what the place refuses (R7)

   A set that is refused is halved until the documents are found that are refused alone; the others
   are pushed on the way, so what is refused costs some pushes and keeps nothing else back:

       [ 0 ........ 8 )  refused
                         [ 4 .. 8 ) refused
                                             [ 6 . 8 ) taken
                         [ 4 . 6 ) refused: 5 taken, 4 refused -> 4 is withheld
       [ 0 .. 4 ) taken

   The newest come first: what has just been written may be the first thing in a while that the
   place takes. One that took nothing at all may as well have stopped taking anything. */

struct range {
    size_t from, to;
};

struct halving {
    struct snapshot *s;
    struct range open[2 * REFUSED_PUSHES]; /* to be tried; the last one first */
    size_t count, pushes;
    size_t *alone; /* heads that were refused alone */
    size_t alone_count;
    struct kf_err why; /* the last refusal */
    struct kf_err *whys;
};

/* The heads of a range that are pushed. */
static size_t left_in(const struct snapshot *s, struct range r)
{
    size_t n = 0;
    for (size_t i = r.from; i < r.to; i++)
        n += !s->heads[i].left_out;
    return n;
}

/* `before`: how many it has refused since it last took one. A run that goes on where one was left
 * unsettled may have nothing more that is taken. */
static kf_rc refuses_all(const struct halving *h, size_t before, struct kf_err *err)
{
    if (h->alone_count == 0 || h->s->run->pushed.files || h->s->run->took_before ||
        before + h->alone_count < REFUSED_ALL)
        return KF_OK;
    KF_SOMETIMES("remote-refuses-everything");
    h->s->run->refuses_all = true;
    if (err)
        *err = h->why;
    return h->why.rc;
}

static kf_rc refused_alone(struct halving *h, struct range r, struct kf_err *err)
{
    while (h->s->heads[r.from].left_out)
        r.from++;
    h->whys[h->alone_count] = h->why;
    h->alone[h->alone_count++] = r.from;
    return refuses_all(h, 0, err);
}

static void halve(struct halving *h, struct range r)
{
    size_t half = left_in(h->s, r) / 2, mid = r.from;
    for (size_t n = 0; n < half; mid++)
        n += !h->s->heads[mid].left_out;
    h->open[h->count++] = (struct range){r.from, mid};
    h->open[h->count++] = (struct range){mid, r.to};
}

static kf_rc try_range(struct halving *h, struct remote *remote, struct range r, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = push_range(h->s, remote, r.from, r.to, &why);
    size_t left = left_in(h->s, r);
    h->pushes++;
    if (rc == KF_OK || !problem_is(&why, PROBLEM_REMOTE_REFUSED)) {
        if (rc != KF_OK && err)
            *err = why;
        return rc;
    }
    h->why = why;
    h->s->answered = true;
    if (left > 1)
        halve(h, r);
    return left == 1 ? refused_alone(h, r, err) : KF_OK;
}

/* What was not tried any more is the next run's. */
static void leave_unsettled(struct halving *h)
{
    struct run *run = h->s->run;
    for (size_t i = 0; i < h->count; i++)
        for (size_t k = h->open[i].from; k < h->open[i].to; k++)
            if (!h->s->heads[k].left_out) {
                snapshot_end_below(h->s, h->s->heads[k].seq);
                run->unsettled++;
            }
    if (!run->unsettled)
        return;
    KF_SOMETIMES("remote-refused-beyond-a-run");
    err_set(&run->unsettled_err, PROBLEM_REMOTE_REFUSED,
            "it refuses more than one run can tell apart, the next run goes on: %s", h->why.detail);
}

static kf_rc withhold_refused(struct halving *h, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < h->alone_count; i++) {
        const struct head *head = &h->s->heads[h->alone[i]];
        struct kf_err why = KF_ERR_INIT;
        KF_SOMETIMES("document-refused-alone");
        err_set(&why, PROBLEM_REMOTE_REFUSED,
                "the remote refuses it (%.400s): change it, or what is not allowed there, and "
                "`keepfast set-aside retry`",
                h->whys[i].detail);
        rc = snapshot_withhold(h->s, head->name, head->seq, &why, err);
    }
    return rc;
}

static kf_rc push_all(struct snapshot *s, struct remote *remote, struct kf_err *err)
{
    struct halving h = {.s = s, .open = {{0, s->count}}, .count = 1};
    kf_rc rc = KF_OK;
    size_t before = s->run->refused_before;
    before = before < s->refused_kept ? before : s->refused_kept;
    s->run->unsettled = 0;
    s->run->refuses_all = s->run->judged = false;
    h.alone = mem_calloc(REFUSED_PUSHES, sizeof(*h.alone));
    h.whys = mem_calloc(REFUSED_PUSHES, sizeof(*h.whys));
    if (!h.alone || !h.whys)
        rc = err_nomem(err);
    if (rc == KF_OK)
        rc = snapshot_judge(s, remote, err);
    while (rc == KF_OK && h.count && h.pushes < REFUSED_PUSHES)
        rc = try_range(&h, remote, h.open[--h.count], err);
    if (rc == KF_OK && h.count == 0)
        rc = refuses_all(&h, before, err);
    if (rc == KF_OK)
        rc = withhold_refused(&h, err);
    if (rc == KF_OK)
        leave_unsettled(&h);
    s->run->judged = rc == KF_OK || s->run->refuses_all;
    s->run->refused_alone = s->run->pushed.files || s->run->took_before ? 0
                                                                        : before + h.alone_count;
    mem_free(h.alone);
    mem_free(h.whys);
    return rc;
}

static void unpin(struct remotes *r, struct streams *streams)
{
    docs_unpin(r->docs);
    if (streams)
        streams_unpin(streams);
}

kf_rc run_push(struct run *run, struct remote *remote, int64_t watermark, bool *ret_any,
               struct kf_err *err)
{
    struct snapshot s;
    struct remotes *r = run->entry->remotes;
    struct streams *streams = store_streams(r->store);
    docs_pin(r->docs);
    if (streams)
        streams_pin(streams);
    kf_rc rc = run_local(run, snapshot_take(run, watermark, &s, err));
    if (rc != KF_OK) {
        unpin(r, streams);
        return rc;
    }
    run_note_snapshot(run, s.set.seq);
    rc = push_all(&s, remote, err);
    *ret_any = s.answered;
    unpin(r, streams);
    if (rc == KF_OK) {
        run->aside.pushed = true;
        run->seq = s.set.seq;
    }
    snapshot_release(&s);
    return rc;
}
