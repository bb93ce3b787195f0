/* What a remote names beside its address (base/access.def), on its way between the configuration,
 * the options of a call, the row and what is shown:
 *
 *     keepfast.yaml  -> config_access --+
 *     kf_remote_add  -> checked --------+--> remote_place --> driver
 *     row, as JSON  <-> ----------------+         |
 *                                                 +--> kf_remote_info
 */
#include "remote/remotes_internal.h"

#include "base/json.h"
#include "base/secret.h"

void access_of_config(const struct config_access *a, struct remote_place *to)
{
#define T(member, word, help) to->member = a->member;
#define F(member, word, help) T(member, word, help)
#define S(member, word, help) T(member, word, help)
#define B(member, word, help) T(member, word, help)
#include "base/access.def"
#undef T
#undef F
#undef S
#undef B
}

kf_rc access_copy(struct arena *a, const struct remote_place *from, struct remote_place *to,
                  struct kf_err *err)
{
#define T(member, word, help)                \
    to->member = arena_str(a, from->member); \
    if (!to->member.p)                       \
        return err_nomem(err);
#define F(member, word, help) T(member, word, help)
#define S(member, word, help) T(member, word, help)
#define B(member, word, help) to->member = from->member;
#include "base/access.def"
#undef T
#undef F
#undef S
#undef B
    return KF_OK;
}

/* -------------------------------------------------------------------------------------- checks */

static kf_rc take_text(const char *word, const char *text, str *ret, struct kf_err *err)
{
    *ret = str_of(text ? text : "");
    if (str_utf8_valid(*ret) != ret->len)
        return err_set(err, PROBLEM_BAD_REQUEST, "%s is not UTF-8", word);
    return KF_OK;
}

static kf_rc take_file(const char *word, const char *text, str *ret, struct kf_err *err)
{
    kf_rc rc = take_text(word, text, ret, err);
    if (rc == KF_OK && ret->len && ret->p[0] != '/')
        rc = err_set(err, PROBLEM_BAD_REQUEST, "%s must be a whole path, from / on", word);
    return rc;
}

/* As in the configuration: one that is not there yet is looked for by each run. */
static kf_rc take_secret_file(const struct env *env, const char *word, const char *text, str *ret,
                              struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = take_file(word, text, ret, err);
    if (rc != KF_OK || ret->len == 0)
        return rc;
    rc = secret_file_check(env, text, &why);
    if (rc == KF_NOMEM)
        return err_nomem(err);
    return rc == KF_OK || rc == KF_ABSENT
               ? KF_OK
               : err_set(err, PROBLEM_CONFIG, "%s: %s", word, why.detail);
}

kf_rc access_of_options(const struct env *env, const struct kf_remote_options *o,
                        struct remote_place *to, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    if (secret_in_url(to->url) || secret_like(str_of(o->token_env)))
        return err_set(err, PROBLEM_BAD_REQUEST,
                       "a token stands where the address or the name of its variable belongs, and "
                       "would be stored and shown: make a new one, and name the variable "
                       "(token_env) or the file (token_file) that holds it");
    if (secret_like(str_of(o->key_env)) || secret_like(str_of(o->old_key_env)))
        return err_set(err, PROBLEM_BAD_REQUEST,
                       "a key stands where the name of its variable belongs, and would be stored "
                       "and shown: make a new one, and name the variable (key_env) or the file "
                       "(key_file) that holds it");
#define T(member, word, help) \
    if (rc == KF_OK)          \
        rc = take_text(word, o->member, &to->member, err);
#define F(member, word, help) \
    if (rc == KF_OK)          \
        rc = take_file(word, o->member, &to->member, err);
#define S(member, word, help) \
    if (rc == KF_OK)          \
        rc = take_secret_file(env, word, o->member, &to->member, err);
#define B(member, word, help) to->member = o->member;
#include "base/access.def"
#undef T
#undef F
#undef S
#undef B
    return rc;
}

kf_rc access_check(const struct remote_driver *driver, const struct remote_place *place,
                   struct kf_err *err)
{
    const char *named = NULL;
#define T(member, word, help)        \
    if (place->member.len && !named) \
        named = word;
#define F(member, word, help) T(member, word, help)
#define S(member, word, help) T(member, word, help)
#define B(member, word, help)    \
    if (place->member && !named) \
        named = word;
#define ACCESS_OF_GIT_ALONE
#include "base/access.def"
#undef ACCESS_OF_GIT_ALONE
#undef T
#undef F
#undef S
#undef B
    if (!named || (driver->caps & REMOTE_HAS_ACCESS))
        return KF_OK;
    return err_set(err, PROBLEM_CONFIG, "%s is for remotes of kind git alone", named);
}

/* ------------------------------------------------------------------------------------- the row */

void access_write(const struct remote_place *p, bool all, struct buf *out)
{
#define T(member, word, help)                                    \
    if (p->member.len && (all || strcmp(word, "branch") == 0)) { \
        buf_c(out, ",\"" word "\":");                            \
        buf_json_string(out, p->member);                         \
    }
#define F(member, word, help) T(member, word, help)
#define S(member, word, help) T(member, word, help)
#define B(member, word, help) \
    if (p->member && all)     \
        buf_c(out, ",\"" word "\":true");
#include "base/access.def"
#undef T
#undef F
#undef S
#undef B
}

static kf_rc read_text(const struct json_node *root, const char *word, struct arena *a, str *ret,
                       struct kf_err *err)
{
    const struct json_node *n = json_member(root, word);
    if (!n || n->type != JSON_STRING)
        return KF_OK;
    str text = json_text(n->raw, a);
    str copy = text.p ? arena_str(a, text) : text; /* with a NUL behind it */
    if (!copy.p)
        return err_nomem(err);
    *ret = copy;
    return KF_OK;
}

static bool read_flag(const struct json_node *root, const char *word)
{
    const struct json_node *n = json_member(root, word);
    return n && n->type == JSON_TRUE;
}

kf_rc access_read(const struct json_node *root, struct arena *a, struct remote_place *to,
                  struct kf_err *err)
{
    kf_rc rc = KF_OK;
#define T(member, word, help) \
    if (rc == KF_OK)          \
        rc = read_text(root, word, a, &to->member, err);
#define F(member, word, help) T(member, word, help)
#define S(member, word, help) T(member, word, help)
#define B(member, word, help) to->member = read_flag(root, word);
#include "base/access.def"
#undef T
#undef F
#undef S
#undef B
    return rc;
}

/* --------------------------------------------------------------------------------------- shown */

kf_rc access_show(const struct remote_place *p, struct arena *a, struct kf_remote_info *ret,
                  struct kf_err *err)
{
#define T(member, word, help)                     \
    if (!(ret->member = arena_dup(a, p->member))) \
        return err_nomem(err);
#define F(member, word, help) T(member, word, help)
#define S(member, word, help) T(member, word, help)
#define B(member, word, help) ret->member = p->member;
#include "base/access.def"
#undef T
#undef F
#undef S
#undef B
    return KF_OK;
}
