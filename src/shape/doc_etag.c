/* ETags, and the sites in them. */
#include "shape/doc_internal.h"

void doc_etag(int64_t stamp, str site, char out[DOC_ETAG_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    char *p = out;
    *p++ = '"';
    for (int shift = 60; shift >= 0; shift -= 4)
        *p++ = digits[((uint64_t)stamp >> shift) & 15];
    assert(site.len == DOC_SITE_LEN);
    memcpy(p, site.p, DOC_SITE_LEN);
    p += DOC_SITE_LEN;
    *p++ = '"';
    *p = 0;
}

bool doc_site_ok(str site)
{
    return str_is_hex(site, DOC_SITE_LEN);
}

/* One or several ETags with commas between, as If-Match has them. A weak one never fits; the quotes
 * may be left out, which is kinder on a command line. */
bool doc_etag_fits(str wanted, const char *etag)
{
    str bare = {etag + 1, DOC_ETAG_LEN - 2};
    for (str rest = wanted; rest.len;) {
        size_t comma = str_index(rest, ',');
        str one = str_trim((str){rest.p, comma});
        if (str_is(one, etag) || str_eq(one, bare))
            return true;
        rest = str_from(rest, comma < rest.len ? comma + 1 : rest.len);
    }
    return false;
}
