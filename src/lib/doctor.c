#include "lib/doctor.h"

#include "base/err.h"
#include "base/hooks.h"
#include "lib/house.h"
#include "remote/remotes.h"

static bool has_secrets(const struct doctor_view *v)
{
    bool any = v->config && (v->config->backup_key_file.len || v->config->backup_key_env.len);
    for (size_t i = 0; i < v->remotes.count; i++) {
        const struct kf_remote_info *r = &v->remotes.items[i];
        any |= r->token_env[0] || r->token_file[0] || r->ssh_key_file[0] || r->encrypted;
    }
    return any;
}

static void look_at_machine(const struct doctor_view *v, struct findings *f)
{
    struct doctor_limits limits = {.secrets = has_secrets(v)};
    doctor_others(v->env, v->path, f);
    doctor_process(v->env, &limits, f);
}

static kf_rc take_view(struct kf_store *store, struct doctor_view *v, struct kf_err *err)
{
    *v = (struct doctor_view){.store = store,
                              .env = store_env(store),
                              .path = store_path(store),
                              .now_ms = env_wall_ms(store_env(store))};
    open_terms(store, v);
    kf_rc rc = store_health(store, &v->health, err);
    if (rc == KF_OK)
        rc = whole_status(store, &v->status, err);
    /* What a damaged or failing file does not tell: its state alone is known. */
    if (rc != KF_OK && rc != KF_NOMEM)
        rc = store_status(store, &v->status, err);
    if (rc == KF_OK && store_remotes(store))
        rc = remotes_list(store_remotes(store), &v->remotes, err);
    if (rc != KF_OK && rc != KF_NOMEM) {
        v->remotes = (struct kf_remote_list){0};
        rc = KF_OK;
    }
    return rc;
}

kf_rc doctor_look(struct kf_store *store, bool machine, struct findings *f, struct kf_err *err)
{
    struct doctor_view v;
    kf_rc rc = take_view(store, &v, err);
    if (rc != KF_OK)
        return rc;
    if (KF_SABOTAGE("doctor-blind"))
        goto out;
    if (store_level(store) != KF_LEVEL_SHARED)
        doctor_place(v.env, v.path, v.own_folder, f);
    doctor_store(&v, f);
    doctor_remotes(&v, f);
    doctor_backups(&v, f);
    doctor_tracked(&v, f);
    if (machine)
        look_at_machine(&v, f);
out:
    kf_remote_list_free(&v.remotes);
    err_clear(err);
    return f->failed ? err_nomem(err) : KF_OK;
}

kf_rc doctor_answer(void *ctx, const struct api_patient *p, struct kf_finding_list *ret_list,
                    struct kf_err *err)
{
    struct findings f = FINDINGS_INIT;
    const struct doctor_server *server = ctx;
    kf_rc rc = KF_OK;
    if (p->store)
        rc = doctor_look(p->store, p->machine, &f, err);
    else
        doctor_opening(p->env, p->path, server != NULL, p->why, &f);
    if (server && p->machine)
        doctor_server(server, &f);
    if (rc == KF_OK)
        rc = findings_give(&f, ret_list, err);
    findings_release(&f);
    return rc;
}

kf_rc kf_doctor(kf_store *store, struct kf_finding_list *ret_list, struct kf_err *err)
{
    struct findings f = FINDINGS_INIT;
    kf_rc rc = store_enter(store, err);
    if (rc != KF_OK)
        return rc;
    if (!ret_list)
        rc = err_set(err, PROBLEM_MISUSE, "the place for the result is NULL");
    if (rc == KF_OK)
        rc = doctor_look(store, true, &f, err);
    if (rc == KF_OK)
        rc = findings_give(&f, ret_list, err);
    findings_release(&f);
    return store_leave(store, rc);
}
