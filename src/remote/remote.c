#include "remote/remote.h"

#include "base/err.h"
#include "remote/git_url.h"

#include <poll.h>

const struct remote_driver *const remote_drivers[] = {
    &remote_dir, &remote_git, &remote_mem, &remote_fail, NULL,
};

/* Kinds for tests lose everything or break on purpose: nobody gets one by a word in a
 * configuration. */
static bool is_there(const struct remote_driver *driver, const struct env *env)
{
#ifdef KF_TEST_HOOKS
    return true;
#else
    return !(driver->caps & REMOTE_TEST_ONLY) || env != env_system();
#endif
}

static bool begins_as(const struct remote_driver *driver, str url)
{
    size_t host, path;
    for (const char *const *p = driver->prefixes; *p; p++)
        if (strcmp(*p, REMOTE_SCP) == 0 ? git_url_is_scp(url, &host, &path)
                                        : str_starts(url, str_of(*p)))
            return true;
    return false;
}

static kf_rc no_kind(const struct env *env, str kind, struct kf_err *err)
{
    struct buf kinds = BUF_INIT;
    for (const struct remote_driver *const *d = remote_drivers; *d; d++) {
        if (!is_there(*d, env))
            continue;
        buf_c(&kinds, kinds.len ? ", " : "");
        buf_printf(&kinds, "%s (%s…)", (*d)->kind, (*d)->prefixes[0]);
    }
    kf_rc rc = buf_ok(&kinds, err);
    if (rc == KF_OK && kind.len)
        rc = err_set(err, PROBLEM_CONFIG,
                     "there is no kind of remote \"%.*s\" in this build; there are: %s",
                     (int)(kind.len < 40 ? kind.len : 40), kind.p, kinds.p);
    else if (rc == KF_OK)
        rc = err_set(err, PROBLEM_CONFIG,
                     "the remote's address says no kind that this build knows; there are: %s",
                     kinds.p);
    buf_release(&kinds);
    return rc;
}

kf_rc remote_driver_of(const struct env *env, str kind, str url, const struct remote_driver **ret,
                       struct kf_err *err)
{
    for (const struct remote_driver *const *d = remote_drivers; *d; d++) {
        bool begins = begins_as(*d, url);
        bool fits = kind.len ? str_is(kind, (*d)->kind) : begins;
        if (!fits || !is_there(*d, env))
            continue;
        if (!begins && !((*d)->caps & REMOTE_OTHER_FORMS))
            return err_set(err, PROBLEM_CONFIG,
                           "the address of a remote of kind %s begins with \"%s\"", (*d)->kind,
                           (*d)->prefixes[0]);
        *ret = *d;
        return KF_OK;
    }
    return no_kind(env, kind, err);
}

/* "SCHEME://USER:SECRET@HOST/PATH?QUERY#PART" -> "SCHEME://HOST/PATH", "USER@HOST:PATH" ->
 * "HOST:PATH". */
void remote_url_shown(str url, struct buf *out)
{
    size_t scheme = 0;
    for (size_t i = 0; i + 3 <= url.len && !scheme; i++)
        if (memcmp(url.p + i, "://", 3) == 0)
            scheme = i + 3;
    if (!scheme) { /* a path: there is nothing secret in it, and `?` and `@` may be part of names */
        size_t host = 0, path;
        git_url_is_scp(url, &host, &path);
        buf_str(out, str_from(url, host));
        return;
    }
    buf_str(out, (str){url.p, scheme});
    str rest = str_from(url, scheme);
    rest.len = str_index(rest, '#');
    rest.len = str_index(rest, '?');
    size_t host = str_index(rest, '/');
    for (size_t i = host; i > 0; i--) /* the last @: a password may contain one */
        if (rest.p[i - 1] == '@') {
            rest = str_from(rest, i);
            break;
        }
    buf_str(out, rest);
}

static void hide(str secret, char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i + secret.len <= len; i++)
        if (memcmp(text + i, secret.p, secret.len) == 0)
            memset(text + i, '*', secret.len);
}

void remote_url_hide(str url, char *text)
{
    size_t scheme = 0, query = str_index(url, '?'), fragment = str_index(url, '#');
    for (size_t i = 0; i + 3 <= url.len && !scheme; i++)
        if (memcmp(url.p + i, "://", 3) == 0)
            scheme = i + 3;
    if (!scheme)
        return;
    size_t end = query < fragment ? query : fragment;
    if (end + 1 < url.len)
        hide(str_from(url, end + 1), text);
    str user = {url.p + scheme,
                end > scheme ? str_index((str){url.p + scheme, end - scheme}, '/') : 0};
    while (user.len && user.p[user.len - 1] != '@')
        user.len--;
    if (user.len > 1 && (user.len > 8 || str_index(user, ':') < user.len)) /* not "git@" */
        hide((str){user.p, user.len - 1}, text);
}

kf_rc remote_go_on(const struct remote *r, struct kf_err *err)
{
    if (r->stop && atomic_load(r->stop))
        return err_set(err, PROBLEM_STOPPING, "the store is closing");
    return KF_OK;
}

void remote_pause(const struct remote *r, uint32_t ms)
{
    if (r->env->wait) {
        r->env->wait(r->env->ctx, ms);
        return;
    }
    for (uint32_t done = 0; done < ms && remote_go_on(r, NULL) == KF_OK; done += 20)
        poll(NULL, 0, ms - done < 20 ? (int)(ms - done) : 20);
}
