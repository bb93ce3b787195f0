/* Addresses of PostgreSQL.
 *
 *     postgres://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?PARAMETER=VALUE&…#SPACE
 *     \____________________________ libpq's own ____________________________/
 *
 * What may be shown is scheme, user, hosts and database (base/secret.h). libpq's own words about
 * an address that it cannot read repeat pieces of it, so they are not passed on. */
#include "base/err.h"
#include "base/secret.h"
#include "db/db.h"

static const char *const schemes[] = {"postgres://", "postgresql://"};

static size_t scheme_of(const char *path)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (strncmp(path, schemes[i], strlen(schemes[i])) == 0)
            return strlen(schemes[i]);
    return 0;
}

bool db_is_url(const char *path)
{
    return scheme_of(path) > 0;
}

/* What is libpq's. */
static str address_of(const char *url)
{
    const char *end = strrchr(url + secret_url_hosts(str_of(url)), '#');
    return str_make(url, end ? (size_t)(end - url) : strlen(url));
}

str db_url_space(const char *url)
{
    const char *end = url + address_of(url).len;
    return str_of(end + (*end == '#'));
}

static kf_rc check(const char *url, struct kf_err *err)
{
    bool ok = scheme_of(url) > 0 && strlen(url) < DB_URL_MAX;
    for (const char *p = url; ok && *p; p++)
        ok = (unsigned char)*p > ' ' && *p != 0x7f;
    return ok ? KF_OK
              : err_set(err, PROBLEM_CONFIG,
                        "this is no address of PostgreSQL: write "
                        "postgres://USER@HOST:PORT/DATABASE#SPACE");
}

static void put_space(const char *url, const char *space, struct buf *out)
{
    str own = db_url_space(url);
    buf_byte(out, '#');
    if (space)
        buf_c(out, space);
    else
        buf_str(out, own.len ? own : STR("default"));
}

kf_rc db_url_show(const char *url, const char *space, struct buf *out, struct kf_err *err)
{
    kf_rc rc = check(url, err);
    if (rc != KF_OK)
        return rc;
    secret_hide_url(address_of(url), out);
    put_space(url, space, out);
    return buf_ok(out, err);
}

kf_rc db_url_at(const char *url, const char *space, struct buf *out, struct kf_err *err)
{
    kf_rc rc = check(url, err);
    if (rc != KF_OK)
        return rc;
    buf_str(out, address_of(url));
    put_space(url, space, out);
    return buf_ok(out, err);
}
