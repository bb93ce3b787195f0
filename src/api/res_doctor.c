/* The doctor: what is wrong with a space, also with one that cannot be opened. */
#include "api/api_internal.h"

static void finding_json(const struct kf_finding *f, str space, struct buf *out)
{
    bool first = true;
    buf_c(out, "{");
    json_put_str(out, &first, "code", str_of(f->code));
    json_put_str(out, &first, "level", str_of(kf_finding_level_name(f->level)));
    json_put_str(out, &first, "title", str_of(f->title));
    json_put_str(out, &first, "detail", str_of(f->detail));
    json_put_str(out, &first, "next", str_of(f->next));
    if (!f->of_machine)
        json_put_str(out, &first, "space", space);
    if (f->remote[0])
        json_put_str(out, &first, "remote", str_of(f->remote));
    buf_c(out, "}");
}

/* The process and its machine are their operators' business. */
static bool sees_machine(const struct api_call *c)
{
    const struct token_scope *s = auth_scope(c);
    return !s || ((s->rights & TOKEN_ADMIN) && s->space_count == 0);
}

static void work_doctor(struct api_call *c)
{
    struct kf_finding_list list = {0};
    struct kf_err why = c->err;
    struct buf path = BUF_INIT;
    if (c->api->o.data_dir)
        space_shown(c->api, c->match.space, &path);
    struct api_patient patient = {.env = c->api->o.env,
                                  .store = c->store,
                                  .path = path.p,
                                  .why = &why,
                                  .machine = sees_machine(c)};
    c->rc = buf_ok(&path, &c->err);
    if (c->rc == KF_OK && !c->api->o.doctor.look)
        c->rc = kf_doctor(c->store, &list, &c->err);
    else if (c->rc == KF_OK)
        c->rc = c->api->o.doctor.look(c->api->o.doctor.ctx, &patient, &list, &c->err);
    buf_release(&path);
    if (c->rc != KF_OK)
        return;
    buf_c(&c->out, "{\"items\":[");
    for (size_t i = 0; i < list.count; i++) {
        if (i)
            buf_byte(&c->out, ',');
        finding_json(&list.items[i], c->match.space, &c->out);
    }
    buf_c(&c->out, "],\"next\":null}");
    kf_finding_list_free(&list);
}

/* One that is there and cannot be opened: that is what there is to find. */
static bool is_a_finding(kf_rc rc)
{
    return rc == KF_IO || rc == KF_DAMAGED || rc == KF_TOO_NEW || rc == KF_CONFIG ||
           rc == KF_FULL || rc == KF_BUSY || rc == KF_INTERNAL;
}

void space_doctor(struct api_call *c)
{
    if (c->rc == KF_OK || is_a_finding(c->rc))
        call_work(c, work_doctor, call_answer_out);
    else
        answer_problem(c, &c->err);
}
