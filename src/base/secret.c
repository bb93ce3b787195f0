#include "base/secret.h"

#include "base/err.h"
#include "base/secret_find.h"

#include <unistd.h>

/* Gitea and Forgejo give out bare hex; those of Azure DevOps have no mark. */
#define MARKED_MIN 16 /* with its beginning: a variable may well be called ghp_token */
#define HEX_MIN    32

static bool is_hex(str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F'))
            return false;
    }
    return s.len > 0;
}

bool secret_like(str word)
{
    for (const struct secret_mark *m = secret_marks; m->mark; m++) {
        if (m->of_git_host && word.len >= MARKED_MIN && str_starts(word, str_of(m->mark)))
            return true;
    }
    return word.len >= HEX_MIN && is_hex(word);
}

bool secret_in_url(str url)
{
    size_t scheme = 0;
    for (size_t i = 0; i + 3 <= url.len && !scheme; i++)
        if (memcmp(url.p + i, "://", 3) == 0)
            scheme = i + 3;
    str rest = str_from(url, scheme);
    if (scheme)
        rest.len = str_index(rest, '/');
    size_t at = rest.len;
    while (at > 0 && rest.p[at - 1] != '@') /* the last one: a password may hold another */
        at--;
    if (at == 0)
        return false;
    str user = {rest.p, at - 1};
    /* Without a scheme `dir:/a@b` is a path; USER:PASSWORD@HOST:PATH is none of ours. */
    return (scheme && str_index(user, ':') < user.len) || secret_like(user);
}

bool secret_variable_ok(str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        bool digit = c >= '0' && c <= '9';
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '_' && !(digit && i > 0))
            return false;
    }
    return name.len > 0 && name.len <= 128;
}

/* ------------------------------------------------------------------------------------ files */

static kf_rc open_checked(const struct env *env, const char *path, bool given, struct file *ret,
                          struct kf_err *err)
{
    struct file f = FILE_CLOSED;
    struct stat st = {0};
    kf_rc rc = file_open(env, path, FILE_LINKED, &f, err);
    if (rc != KF_OK)
        return rc;
    rc = file_stat(&f, &st, err);
    mode_t others = 077;
    if (given && st.st_uid == 0 && geteuid() != 0)
        others &= ~(mode_t)040;
    if (rc == KF_OK && (st.st_mode & others))
        rc = err_set(err, PROBLEM_PERMISSION,
                     "others may read or write %s (mode %04o), and it holds a secret: chmod 600 %s",
                     path, (unsigned)(st.st_mode & 07777), path);
    if (rc == KF_OK)
        *ret = f;
    else
        file_close(&f);
    return rc;
}

static kf_rc read_checked(const struct env *env, const char *path, bool given, char *to, size_t cap,
                          size_t *ret_len, struct kf_err *err)
{
    struct file f = FILE_CLOSED;
    kf_rc rc = open_checked(env, path, given, &f, err);
    if (rc == KF_OK)
        rc = file_read(&f, 0, to, cap, ret_len, err);
    file_close(&f);
    return rc;
}

kf_rc secret_file_check(const struct env *env, const char *path, struct kf_err *err)
{
    struct file f = FILE_CLOSED;
    kf_rc rc = open_checked(env, path, false, &f, err);
    file_close(&f);
    return rc;
}

kf_rc secret_file_read(const struct env *env, const char *path, char *to, size_t cap,
                       size_t *ret_len, struct kf_err *err)
{
    return read_checked(env, path, false, to, cap, ret_len, err);
}

kf_rc secret_file_read_given(const struct env *env, const char *path, char *to, size_t cap,
                             size_t *ret_len, struct kf_err *err)
{
    return read_checked(env, path, true, to, cap, ret_len, err);
}

size_t secret_url_hosts(str url)
{
    size_t from = 0, hosts, i;
    for (i = 0; i + 3 <= url.len && !from; i++)
        if (memcmp(url.p + i, "://", 3) == 0)
            from = i + 3;
    hosts = from;
    for (i = from; i < url.len && url.p[i] != '/' && hosts == from; i++)
        if (url.p[i] == '@')
            hosts = i + 1;
    /* Not libpq's any more: it would take a part of the password for a host. */
    for (i = hosts; i < url.len && url.p[i] != '?' && url.p[i] != '#'; i++)
        if (url.p[i] == '@')
            hosts = i + 1;
    return hosts;
}

/* Where an @ stands behind parameters as well, they may be a password, or hold one: then nothing
 * behind the user is shown. */
void secret_hide_url(str url, struct buf *out)
{
    size_t scheme = 0, hosts = secret_url_hosts(url), end = hosts, user;
    for (size_t i = 0; i + 3 <= url.len && !scheme; i++)
        if (memcmp(url.p + i, "://", 3) == 0)
            scheme = i + 3;
    while (end < url.len && url.p[end] != '?' && url.p[end] != '#')
        end++;
    str rest = str_from(url, end);
    bool unclear = str_index(rest, '@') < rest.len;
    for (user = scheme; user < url.len && !strchr(":/?#@", url.p[user]);)
        user++;
    buf_add(out, url.p, hosts > scheme || unclear ? user : scheme);
    if (unclear) {
        buf_c(out, "@...");
        return;
    }
    if (hosts > scheme)
        buf_byte(out, '@');
    buf_add(out, url.p + hosts, end - hosts);
    buf_str(out, str_from(rest, str_index(rest, '#')));
}
