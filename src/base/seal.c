/* Forms; docs/formats.md ("Sealed documents") says them for others.
 *
 *     key        32 bytes --crypto_kdf(context "kpftseal")--> 1 id   2 name nonce   3 name
 *                                                             4 body nonce   5 body   6 files
 *     id         first 4 bytes of BLAKE2b-256("", subkey 1), hex
 *
 *     name       nonce = BLAKE2b-192(name; subkey 2)
 *                text  = XChaCha20(name; nonce, subkey 3)
 *                keepfast-sealed/ID/XX/YYYY…   XXYYYY… = base32(nonce text), small, unpadded
 *                keepfast-sealed/ID/long/HEX   where that has over 1,024 bytes:
 *                                              HEX = BLAKE2b-256("long" name; subkey 2)
 *
 *     plaintext  {"name":…,"version":…,"stamp":…,"site":…,"at":…,"deleted":…} \n BYTES
 *     data       header = BLAKE2b-192(LE64(length of sealed name) sealed name plaintext; subkey 4)
 *                chunk  = secretstream push of 64 KiB of plaintext, sealed name as additional data;
 *                         the last one, perhaps shorter, with TAG_FINAL
 *     body       {"keepfast":"sealed","format":1,"key":ID,"data":base64(header chunk chunk …)}
 *
 * Nonces are made of what they are for, under a key of their own: so nothing is ever encrypted
 * twice under one nonce but the very same text, and no two texts share one but by a collision of
 * 192 bits. Opening a name reckons its nonce again: that is what authenticates it. */
#include "base/seal_internal.h"
#include "base/le.h"

#include "base/json.h"
#include "base/secret.h"

#include <inttypes.h>
#include <stdlib.h>

#define KEY_HEX   (2 * (size_t)KEY_LEN)
#define CONTEXT   "kpftseal"
#define NONCE     24
#define SHARD     2
#define NAME_MAX_ 1024 /* of names, as in shape/doc.h */
#define LONG      "long/"
#define LONG_HEX  64
#define FORMAT    1
#define LINE_MAX_ 16384 /* of the plaintext's first line: a name, escaped, and numbers */

_Static_assert(NONCE == crypto_stream_xchacha20_NONCEBYTES, "nonce of names");
_Static_assert(NONCE == HEADER, "nonce of bodies");
_Static_assert(KEY_LEN == crypto_kdf_KEYBYTES, "the key");
_Static_assert(KEY_LEN == crypto_stream_xchacha20_KEYBYTES, "subkey of names");
_Static_assert(KEY_LEN == crypto_secretstream_xchacha20poly1305_KEYBYTES, "subkey of streams");

/* ---------------------------------------------------------------------------------------- keys */

/* The calls below fail for lengths out of range alone; ours are fixed. */
static kf_rc key_of(const unsigned char bytes[KEY_LEN], struct seal_key **ret, struct kf_err *err)
{
    unsigned char id[crypto_generichash_BYTES];
    struct seal_key *k = mem_calloc(1, sizeof(*k));
    if (!k)
        return err_nomem(err);
    (void)sodium_mlock(k, sizeof(*k)); /* a limit of the system may not allow it */
    for (unsigned i = ID; i < SUBKEYS; i++)
        crypto_kdf_derive_from_key(k->sub[i], KEY_LEN, i, CONTEXT, bytes);
    crypto_generichash(id, sizeof(id), NULL, 0, k->sub[ID], KEY_LEN);
    sodium_bin2hex(k->id, sizeof(k->id), id, SEAL_ID / 2);
    *ret = k;
    return KF_OK;
}

void seal_key_free(struct seal_key *key)
{
    if (!key)
        return;
    (void)sodium_munlock(key, sizeof(*key)); /* wipes, whether it was locked or not */
    mem_wipe(key, sizeof(*key));
    mem_free(key);
}

const char *seal_key_id(const struct seal_key *key)
{
    return key->id;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Without a branch on what the digits are, but for whether they are any. */
static bool key_bytes(str hex, unsigned char to[KEY_LEN])
{
    if (str_ends(hex, STR("\n")))
        hex.len -= str_ends(hex, STR("\r\n")) ? 2 : 1;
    if (hex.len != KEY_HEX)
        return false;
    for (size_t i = 0; i < KEY_LEN; i++) {
        int high = hex_digit(hex.p[2 * i]), low = hex_digit(hex.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        to[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

kf_rc seal_key_parse(str hex, struct seal_key **ret_key, struct kf_err *err)
{
    unsigned char bytes[KEY_LEN];
    kf_rc rc = key_bytes(hex, bytes)
                   ? key_of(bytes, ret_key, err)
                   : err_set(err, PROBLEM_KEY_NEEDED,
                             "this is no key: a key is %zu hex digits on one line, as keepfast key "
                             "new makes it",
                             KEY_HEX);
    mem_wipe(bytes, sizeof(bytes));
    return rc;
}

kf_rc seal_source_of(const char *file, const char *variable, struct seal_source *ret,
                     struct kf_err *err)
{
    struct seal_source s = {str_of(file), str_of(variable)};
    if (s.file.len && s.variable.len)
        return err_set(err, PROBLEM_BAD_REQUEST, "key_file and key_env both name a key");
    if (s.file.len && s.file.p[0] != '/')
        return err_set(err, PROBLEM_BAD_REQUEST, "key_file must be a whole path, from / on");
    *ret = s;
    return KF_OK;
}

static const char *variable(const char *name)
{
    return secret_variable_ok(str_of(name)) ? getenv(name) : NULL;
}

static kf_rc read_source(const struct env *env, const struct seal_source *s, char *to, size_t cap,
                         size_t *ret_len, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    if (s->variable.len) {
        const char *value = variable(s->variable.p);
        if (!value)
            return err_set(err, PROBLEM_KEY_NEEDED,
                           "the variable %.*s is not set: it should hold the key",
                           STR_ARGS(s->variable));
        *ret_len = strnlen(value, cap);
        memcpy(to, value, *ret_len);
        return KF_OK;
    }
    kf_rc rc = secret_file_read(env, s->file.p, to, cap, ret_len, &why);
    if (rc == KF_OK)
        return rc;
    return rc == KF_NOMEM
               ? err_nomem(err)
               : err_set(err, PROBLEM_KEY_NEEDED, "the key cannot be read: %s", why.detail);
}

kf_rc seal_key_load(const struct env *env, const struct seal_source *source,
                    struct seal_key **ret_key, struct kf_err *err)
{
    char text[KEY_HEX + 3]; /* a line's end, and to see that there is more */
    struct kf_err why = KF_ERR_INIT;
    size_t len = 0;
    kf_rc rc = read_source(env, source, text, sizeof(text), &len, err);
    if (rc == KF_OK && (rc = seal_key_parse((str){text, len}, ret_key, &why)) != KF_OK)
        rc = rc == KF_NOMEM
                 ? err_nomem(err)
                 : err_set(err, PROBLEM_KEY_NEEDED, "%.*s: %s",
                           STR_ARGS(source->variable.len ? source->variable : source->file),
                           why.detail);
    mem_wipe(text, sizeof(text));
    return rc;
}

kf_rc seal_key_make(const struct env *env, const char *path, struct seal_key **ret_key,
                    struct kf_err *err)
{
    struct secret {
        unsigned char bytes[KEY_LEN];
        char text[KEY_HEX + 2];
    } s;
    struct file f = FILE_CLOSED;
    struct seal_key *key = NULL;
    env->random(env->ctx, s.bytes, sizeof(s.bytes));
    sodium_bin2hex(s.text, sizeof(s.text), s.bytes, sizeof(s.bytes));
    s.text[KEY_HEX] = '\n';
    kf_rc rc = key_of(s.bytes, &key, err);
    if (rc == KF_OK)
        rc = file_new_begin(env, path, &f, err);
    if (rc == KF_OK)
        rc = file_new_end(&f, path, file_write(&f, 0, s.text, KEY_HEX + 1, err), err);
    mem_wipe(&s, sizeof(s));
    if (rc == KF_OK)
        *ret_key = key;
    else
        seal_key_free(key);
    return rc;
}

/* --------------------------------------------------------------------------------------- names */

static const char digits32[] = "abcdefghijklmnopqrstuvwxyz234567";

/* A slash stands before the digit number `cut`. */
static void put_base32(str bytes, size_t cut, struct buf *out)
{
    unsigned bits = 0, count = 0;
    size_t written = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        bits = (bits << 8 | (unsigned char)bytes.p[i]) & 0xffff;
        for (count += 8; count >= 5;) {
            count -= 5;
            if (written++ == cut)
                buf_byte(out, '/');
            buf_byte(out, digits32[bits >> count & 31]);
        }
    }
    if (count)
        buf_byte(out, digits32[bits << (5 - count) & 31]);
}

static int digit32(char c)
{
    if (c >= 'a' && c <= 'z')
        return c - 'a';
    return c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

/* False for what put_base32 does not write. */
static bool get_base32(str text, struct buf *out)
{
    unsigned bits = 0, count = 0;
    for (size_t i = 0; i < text.len; i++) {
        int d = digit32(text.p[i]);
        if (d < 0)
            return false;
        bits = (bits << 5 | (unsigned)d) & 0xffff;
        count += 5;
        if (count >= 8) {
            count -= 8;
            buf_byte(out, (char)(bits >> count & 0xff));
        }
    }
    return count < 5 && (bits & ((1u << count) - 1)) == 0;
}

bool seal_is_name(str name)
{
    return str_starts(name, STR(SEAL_PREFIX));
}

bool seal_name_key(str sealed, char ret_id[SEAL_ID + 1])
{
    str rest = str_from(sealed, sizeof(SEAL_PREFIX) - 1);
    if (!seal_is_name(sealed) || rest.len <= SEAL_ID || rest.p[SEAL_ID] != '/')
        return false;
    for (size_t i = 0; i < SEAL_ID; i++)
        if (hex_digit(rest.p[i]) < 0 || (rest.p[i] >= 'A' && rest.p[i] <= 'F'))
            return false;
    memcpy(ret_id, rest.p, SEAL_ID);
    ret_id[SEAL_ID] = '\0';
    return true;
}

static void name_nonce(const struct seal_key *key, str name, unsigned char nonce[NONCE])
{
    crypto_generichash(nonce, NONCE, (const unsigned char *)name.p, name.len, key->sub[NAME_NONCE],
                       KEY_LEN);
}

static void long_name(const struct seal_key *key, str name, struct buf *out)
{
    unsigned char hash[LONG_HEX / 2];
    crypto_generichash_state s;
    crypto_generichash_init(&s, key->sub[NAME_NONCE], KEY_LEN, sizeof(hash));
    crypto_generichash_update(&s, (const unsigned char *)"long", 4);
    crypto_generichash_update(&s, (const unsigned char *)name.p, name.len);
    crypto_generichash_final(&s, hash, sizeof(hash));
    mem_wipe(&s, sizeof(s));
    buf_c(out, LONG);
    buf_hex(out, hash, sizeof(hash));
}

static void put_head(const struct seal_key *key, struct buf *out)
{
    buf_c(out, SEAL_PREFIX);
    buf_c(out, key->id);
    buf_byte(out, '/');
}

void seal_name(const struct seal_key *key, str name, struct buf *out)
{
    unsigned char text[NONCE + NAME_MAX_];
    size_t head = sizeof(SEAL_PREFIX) + SEAL_ID, len = NONCE + name.len;
    if (KF_SABOTAGE("seal-name-plain")) {
        put_head(key, out);
        buf_str(out, name);
        return;
    }
    put_head(key, out);
    if (name.len > NAME_MAX_ || head + (len * 8 + 4) / 5 + 1 > NAME_MAX_) {
        long_name(key, name, out);
        return;
    }
    name_nonce(key, name, text);
    crypto_stream_xchacha20_xor(text + NONCE, (const unsigned char *)name.p, name.len, text,
                                key->sub[NAME_TEXT]);
    put_base32(str_make(text, len), SHARD, out);
}

static kf_rc not_ours(struct kf_err *err)
{
    return err_set(err, PROBLEM_BAD_OBJECT,
                   "its name is not one that the key made: somebody renamed or added it; remove it "
                   "there");
}

/* XX/YYYY… without its slash. */
static bool get_name_bytes(str rest, struct buf *out)
{
    struct buf text = BUF_INIT;
    bool good = rest.len > SHARD && rest.p[SHARD] == '/';
    if (good) {
        buf_add(&text, rest.p, SHARD);
        buf_str(&text, str_from(rest, SHARD + 1));
        good = get_base32(buf_view(&text), out);
        out->failed |= text.failed;
    }
    buf_release(&text);
    return good;
}

static bool is_long_name(str rest)
{
    if (!str_starts(rest, STR(LONG)) || rest.len != sizeof(LONG) - 1 + LONG_HEX)
        return false;
    for (size_t i = sizeof(LONG) - 1; i < rest.len; i++)
        if (hex_digit(rest.p[i]) < 0 || (rest.p[i] >= 'A' && rest.p[i] <= 'F'))
            return false;
    return true;
}

kf_rc seal_name_open(const struct seal_key *key, str sealed, struct buf *name, struct kf_err *err)
{
    unsigned char nonce[NONCE];
    struct buf bytes = BUF_INIT;
    char id[SEAL_ID + 1];
    if (!seal_name_key(sealed, id) || strcmp(id, key->id) != 0)
        return not_ours(err);
    str rest = str_from(sealed, sizeof(SEAL_PREFIX) + SEAL_ID);
    if (is_long_name(rest))
        return KF_OK;
    bool good = get_name_bytes(rest, &bytes);
    kf_rc rc = buf_ok(&bytes, err);
    if (rc == KF_OK && (!good || bytes.len <= NONCE || bytes.len > NONCE + NAME_MAX_))
        rc = not_ours(err);
    if (rc == KF_OK) {
        unsigned char *p = (unsigned char *)bytes.p;
        crypto_stream_xchacha20_xor(p + NONCE, p + NONCE, bytes.len - NONCE, p,
                                    key->sub[NAME_TEXT]);
        name_nonce(key, str_from(buf_view(&bytes), NONCE), nonce);
        if (sodium_memcmp(nonce, p, NONCE) != 0)
            rc = not_ours(err);
    }
    if (rc == KF_OK) {
        buf_str(name, str_from(buf_view(&bytes), NONCE));
        rc = buf_ok(name, err);
    }
    buf_release(&bytes);
    return rc;
}

/* -------------------------------------------------------------------------------------- bodies */

static void put_plain(const struct seal_doc *d, struct buf *out)
{
    buf_c(out, "{\"name\":");
    buf_json_string(out, d->name);
    buf_printf(out, ",\"version\":%" PRIu64 ",\"stamp\":%" PRId64 ",\"site\":", d->version,
               d->stamp);
    buf_json_string(out, d->site);
    buf_printf(out, ",\"at\":%" PRId64 ",\"deleted\":%s}\n", d->at_ms,
               d->body.p ? "false" : "true");
    buf_str(out, d->body);
}

static void body_header(const struct seal_key *key, str sealed, str plain,
                        unsigned char header[HEADER])
{
    crypto_generichash_state s;
    unsigned char len[8];
    le_put64(len, sealed.len);
    crypto_generichash_init(&s, key->sub[BODY_NONCE], KEY_LEN, HEADER);
    crypto_generichash_update(&s, len, sizeof(len));
    crypto_generichash_update(&s, (const unsigned char *)sealed.p, sealed.len);
    crypto_generichash_update(&s, (const unsigned char *)plain.p, plain.len);
    crypto_generichash_final(&s, header, HEADER);
    mem_wipe(&s, sizeof(s));
}

/* What is sealed under one name cannot stand under another. */
static str binding(str sealed)
{
    return KF_SABOTAGE("seal-no-binding") ? STR("") : sealed;
}

static void put_data(const struct seal_key *key, str sealed, str plain, struct buf *out)
{
    crypto_secretstream_xchacha20poly1305_state s;
    unsigned char header[HEADER];
    str ad = binding(sealed);
    body_header(key, sealed, plain, header);
    buf_add(out, header, sizeof(header));
    stream_begin(&s, key, BODY_TEXT, header);
    do {
        str chunk = {plain.p, plain.len < CHUNK ? plain.len : CHUNK};
        plain = str_from(plain, chunk.len);
        char *room = buf_room(out, chunk.len + TAG);
        if (!room)
            break;
        crypto_secretstream_xchacha20poly1305_push(
            &s, (unsigned char *)room, NULL, (const unsigned char *)chunk.p, chunk.len,
            (const unsigned char *)ad.p, ad.len, plain.len ? 0 : FINAL);
        buf_grew(out, chunk.len + TAG);
    } while (plain.len);
    mem_wipe(&s, sizeof(s));
}

kf_rc seal_body(const struct seal_key *key, str sealed, const struct seal_doc *doc, struct buf *out,
                struct kf_err *err)
{
    struct buf plain = BUF_INIT, data = BUF_INIT;
    size_t before = out->len;
    put_plain(doc, &plain);
    kf_rc rc = buf_ok(&plain, err);
    if (rc == KF_OK)
        put_data(key, sealed, buf_view(&plain), &data);
    if (rc == KF_OK)
        rc = buf_ok(&data, err);
    buf_release(&plain);
    buf_printf(out, "{\"keepfast\":\"sealed\",\"format\":%d,\"key\":\"%s\",\"data\":\"", FORMAT,
               key->id);
    size_t room = sodium_base64_ENCODED_LEN(data.len, sodium_base64_VARIANT_ORIGINAL);
    char *to = rc == KF_OK ? buf_room(out, room) : NULL;
    if (to) {
        sodium_bin2base64(to, room, (const unsigned char *)data.p, data.len,
                          sodium_base64_VARIANT_ORIGINAL);
        buf_grew(out, room - 1);
    }
    buf_c(out, "\"}");
    buf_release(&data);
    if (rc == KF_OK)
        rc = buf_ok(out, err);
    if (rc != KF_OK && !out->failed)
        out->len = before;
    return rc;
}

static kf_rc bad_body(struct kf_err *err, const char *what)
{
    return err_set(err, PROBLEM_BAD_OBJECT, "it is not what its key wrote: %s", what);
}

/* base64 -> bytes. */
static kf_rc get_data(const struct seal_key *key, str text, struct arena *arena, struct buf *data,
                      struct kf_err *err)
{
    struct json_node *root = NULL;
    uint64_t format = 0;
    size_t len = 0;
    kf_rc rc = json_parse(str_trim(text), NULL, arena, &root, NULL);
    if (rc == KF_NOMEM)
        return err_nomem(err);
    const struct json_node *kind = json_member(rc == KF_OK ? root : NULL, "keepfast"),
                           *id = json_member(rc == KF_OK ? root : NULL, "key"),
                           *bytes = json_member(rc == KF_OK ? root : NULL, "data");
    if (!kind || !id || !bytes || root->count != 4 || kind->type != JSON_STRING ||
        !json_text_is(kind->raw, STR("sealed")) || !json_u64(json_member(root, "format"), &format))
        return bad_body(err, "it has not the form of a sealed document");
    if (format > FORMAT)
        return err_set(err, PROBLEM_BAD_OBJECT,
                       "it is sealed in format %" PRIu64
                       ", this program reads up to %d: use a newer Keepfast",
                       format, FORMAT);
    if (format != FORMAT || id->type != JSON_STRING || bytes->type != JSON_STRING ||
        !json_text_is(id->raw, str_of(key->id)))
        return bad_body(err, "it has not the form of a sealed document");
    str base64 = {bytes->raw.p + 1, bytes->raw.len - 2};
    char *room = buf_room(data, base64.len);
    if (!room)
        return err_nomem(err);
    if (sodium_base642bin((unsigned char *)room, base64.len, base64.p, base64.len, NULL, &len, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return bad_body(err, "its data is no base64");
    buf_grew(data, len);
    return KF_OK;
}

static kf_rc get_plain(const struct seal_key *key, str sealed, str data, struct buf *plain,
                       struct kf_err *err)
{
    crypto_secretstream_xchacha20poly1305_state s;
    unsigned char tag = 0;
    str ad = binding(sealed), rest = str_from(data, HEADER);
    kf_rc rc = KF_OK;
    if (data.len < HEADER + TAG)
        return bad_body(err, "it is cut");
    stream_begin(&s, key, BODY_TEXT, (const unsigned char *)data.p);
    while (rc == KF_OK && rest.len) {
        size_t len = rest.len < CHUNK + TAG ? rest.len : CHUNK + TAG;
        char *room = len < TAG ? NULL : buf_room(plain, len - TAG);
        bool last = len == rest.len;
        if (len < TAG) {
            rc = bad_body(err, "it is cut");
        } else if (!room) {
            rc = err_nomem(err);
        } else if (crypto_secretstream_xchacha20poly1305_pull(
                       &s, (unsigned char *)room, NULL, &tag, (const unsigned char *)rest.p, len,
                       (const unsigned char *)ad.p, ad.len) != 0 ||
                   (tag == FINAL) != last) {
            rc = bad_body(err, "its bytes were changed, cut or moved");
        } else {
            buf_grew(plain, len - TAG);
            rest = str_from(rest, len);
        }
    }
    mem_wipe(&s, sizeof(s));
    return rc;
}

/* A copy: the text may move. */
static bool node_str(const struct json_node *n, struct arena *arena, str *ret)
{
    if (!n || n->type != JSON_STRING)
        return false;
    str text = json_text(n->raw, arena);
    *ret = text.p ? arena_str(arena, text) : text;
    return true;
}

/* The first line. What it says is put behind the bytes. */
static kf_rc get_doc(struct buf *plain, struct arena *arena, struct seal_doc *ret,
                     struct kf_err *err)
{
    struct json_node *root = NULL;
    str all = buf_view(plain), line = {all.p, str_index(all, '\n')};
    struct seal_doc d = {.version = 0};
    if (line.len == all.len || line.len > LINE_MAX_)
        return bad_body(err, "it has no heading");
    kf_rc rc = json_parse(line, NULL, arena, &root, NULL);
    if (rc == KF_NOMEM)
        return err_nomem(err);
    const struct json_node *deleted = rc == KF_OK ? json_member(root, "deleted") : NULL;
    if (!deleted || (deleted->type != JSON_TRUE && deleted->type != JSON_FALSE) ||
        !node_str(json_member(root, "name"), arena, &d.name) ||
        !node_str(json_member(root, "site"), arena, &d.site) ||
        !json_u64(json_member(root, "version"), &d.version) ||
        !json_i64(json_member(root, "stamp"), &d.stamp) ||
        !json_i64(json_member(root, "at"), &d.at_ms))
        return bad_body(err, "its heading is not one");
    if (!d.name.p || !d.site.p)
        return err_nomem(err);
    size_t body = line.len + 1, end = plain->len, name = d.name.len;
    buf_str(plain, d.name); /* may move it: slices are made below */
    buf_str(plain, d.site);
    if ((rc = buf_ok(plain, err)) != KF_OK)
        return rc;
    d.site = (str){plain->p + end + name, d.site.len};
    d.name = (str){plain->p + end, name};
    d.body = deleted->type == JSON_TRUE ? (str){0, 0} : (str){plain->p + body, end - body};
    if (!d.body.p && end != body)
        return bad_body(err, "it is deleted and has bytes");
    *ret = d;
    return KF_OK;
}

kf_rc seal_body_open(const struct seal_key *key, str sealed, str text, struct buf *plain,
                     struct seal_doc *ret, struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct buf data = BUF_INIT;
    buf_clear(plain);
    kf_rc rc = get_data(key, text, &arena, &data, err);
    if (rc == KF_OK)
        rc = get_plain(key, sealed, buf_view(&data), plain, err);
    if (rc == KF_OK)
        rc = get_doc(plain, &arena, ret, err);
    buf_release(&data);
    arena_release(&arena);
    return rc;
}
