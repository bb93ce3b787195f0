#include "remote/remotes_config.h"

#include "base/yaml.h"
#include "remote/git_auth.h"
#include "remote/remotes_internal.h"

static kf_rc refuse(const struct config *c, struct config_at at, const struct kf_err *why,
                    struct kf_err *err)
{
    const struct yaml_node here = {.line = at.line, .column = at.column};
    if (why->rc != KF_CONFIG || at.line == 0) {
        if (err)
            *err = *why;
        return why->rc;
    }
    return yaml_refuse(c->file.p, &here, err, "%s", why->detail);
}

static kf_rc check(const struct config *c, const struct config_remote *remote, struct kf_err *err)
{
    struct remote_place place = {.url = remote->url};
    struct git_url url = {.arena = ARENA_INIT};
    struct kf_err why = KF_ERR_INIT;
    if (!str_is(remote->kind, "git"))
        return KF_OK;
    access_of_config(&remote->access, &place);
    if (place.branch.len && git_branch_check(place.branch, &why) != KF_OK)
        return refuse(c, remote->branch_at, &why, err);
    kf_rc rc = git_place_check(&place, &url, &why);
    git_url_release(&url);
    return rc == KF_OK ? KF_OK : refuse(c, remote->url_at, &why, err);
}

kf_rc remotes_config_check(const struct config *config, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t s = 0; s < config->space_count; s++)
        for (size_t i = 0; rc == KF_OK && i < config->spaces[s].remote_count; i++)
            rc = check(config, &config->spaces[s].remotes[i], err);
    return rc;
}
