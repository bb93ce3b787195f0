/* DIGEST, as docs/formats.md defines it: BLAKE2b-256 over a line for each current document, in the
 * order of names as bytes,
 *
 *     CANONICAL-NAME blank HASH newline
 *
 * where the name is a canonical JSON string and HASH the BLAKE2b-256 of the canonical form of the
 * value, as 64 hex digits. */
#include "remote/portable.h"

#include "base/json.h"

void portable_digest_begin(struct portable_digest *d)
{
    *d = (struct portable_digest){.name = BUF_INIT};
    hash_begin(&d->hash);
}

static kf_rc canonical_name(str name, struct buf *scratch, struct buf *out, struct kf_err *err)
{
    buf_clear(scratch);
    buf_clear(out);
    buf_json_string(scratch, name);
    kf_rc rc = buf_ok(scratch, err);
    return rc == KF_OK ? json_canonical(buf_view(scratch), out, err) : rc;
}

kf_rc portable_digest_add(struct portable_digest *d, str name, str body, struct kf_err *err)
{
    struct hash hash;
    char hex[HASH_HEX + 1];
    kf_rc rc = canonical_name(name, &d->body, &d->name, err);
    if (rc != KF_OK)
        return rc;
    buf_clear(&d->body);
    if ((rc = json_canonical(body, &d->body, err)) != KF_OK)
        return rc;
    hash_of(buf_view(&d->body), &hash);
    hash_hex(&hash, hex);
    hash_add(&d->hash, buf_view(&d->name));
    hash_add(&d->hash, STR(" "));
    hash_add(&d->hash, (str){hex, HASH_HEX});
    hash_add(&d->hash, STR("\n"));
    return KF_OK;
}

void portable_digest_end(struct portable_digest *d, char ret_hex[HASH_HEX + 1])
{
    struct hash hash;
    hash_end(&d->hash, &hash);
    if (ret_hex)
        hash_hex(&hash, ret_hex);
    buf_release(&d->name);
    buf_release(&d->body);
}
