/* Levels of writes, and remotes that have them before the answer. */
#include "api/api_internal.h"

kf_rc write_level(struct api_call *c, kf_level *ret_level, struct kf_err *err)
{
    str ack = query_get(c, "ack"), names = query_get(c, "wait");
    const char *own = kf_level_name(store_level(c->store));
    bool ride;
    if (ack.len && !str_is(ack, "memory") && !str_is(ack, own))
        return err_set(err, PROBLEM_BAD_FILTER, "ack must be memory or %s", own);
    if (names.len && str_is(ack, "memory"))
        return err_set(err, PROBLEM_BAD_FILTER, "wait and ack=memory contradict each other");
    kf_rc rc = query_timeout(c, &c->timeout_ms, err);
    if (rc == KF_OK)
        rc = query_flag(c, "ride", &ride, err);
    if (rc == KF_OK && names.len) /* before the write: what is not asked rightly changes nothing */
        rc = remotes_known(store_remotes(c->store), names, err);
    if (rc == KF_OK && str_is(ack, "memory"))
        *ret_level = KF_LEVEL_MEMORY;
    return rc;
}

/* What a remote says may be of any document, and of places that a token for some names is not told
 * of. */
static void hide_remotes(const struct api_call *c, struct kf_err *err)
{
    bool some_names = c->token && c->token->scope.prefix_count;
    if (some_names && problem_find(err->code) == &problem_table[PROBLEM_LEVEL_UNAVAILABLE])
        err_set(err, PROBLEM_LEVEL_UNAVAILABLE,
                c->receipt
                    ? "a remote has not confirmed in that time; it goes there with a later run"
                    : "a remote has not confirmed it in that time; it is safe here, and goes out "
                      "later");
}

static void waited(struct api_call *c)
{
    struct remotes_wait *w = &c->wait;
    if (w->rc != KF_OK) {
        hide_remotes(c, &w->err);
        if (c->receipt)
            err_prefix(&w->err, "it is erased here (receipt %llu)", (unsigned long long)c->receipt);
        answer_header(c, "Keepfast-Ack", str_of(kf_level_name(store_level(c->store))));
        answer_problem(c, &w->err);
        return;
    }
    c->written.level = KF_LEVEL_REMOTE;
    c->confirmed(c);
}

void write_confirm(struct api_call *c, str doc, void (*then)(struct api_call *c))
{
    str names = query_get(c, "wait");
    bool ride = false;
    if (!names.len) {
        then(c);
        return;
    }
    c->rc = query_flag(c, "ride", &ride, &c->err);
    c->confirmed = then;
    once_begin(c);
    c->wait = (struct remotes_wait){.seq = store_seq(c->store), .doc = doc, .ride = ride};
    call_wait(c, names, waited);
}

void write_worked(struct api_call *c, void (*then)(struct api_call *c))
{
    c->written.level = store_level(c->store);
    if (c->rc != KF_OK)
        answer_problem(c, &c->err);
    else
        write_confirm(c, STR(""), then);
}

void write_answer_out(struct api_call *c)
{
    answer_header(c, "Keepfast-Ack", str_of(kf_level_name(c->written.level)));
    call_answer_out(c);
}
