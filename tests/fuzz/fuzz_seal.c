/* Any bytes as a sealed name, as a sealed body, as the data within one, as a key and as a sealed
 * file. The first byte says which. What is taken must be what would be sealed again. */
#include "base/seal_file.h"

#include "base/hash.h"

#include <sodium.h>
#include <stdlib.h>

#define KEY  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define NAME "keepfast-sealed/ca83af2a/3n/ha7lozwrzsocczcawigmo7unu27vssgc67tnhaf4wqxzisr2c67cuzpa"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void as_name(const struct seal_key *key, str text)
{
    struct buf name = BUF_INIT, again = BUF_INIT;
    char id[SEAL_ID + 1];
    if (seal_name_open(key, text, &name, NULL) == KF_OK) {
        must(seal_name_key(text, id) && seal_is_name(text));
        if (name.len) {
            seal_name(key, buf_view(&name), &again);
            must(str_eq(buf_view(&again), text));
        }
    }
    buf_release(&name);
    buf_release(&again);
}

/* And any name sealed is opened. */
static void sealed_name(const struct seal_key *key, str text)
{
    struct buf sealed = BUF_INIT, back = BUF_INIT;
    if (text.len && text.len <= 1024) {
        seal_name(key, text, &sealed);
        must(seal_name_open(key, buf_view(&sealed), &back, NULL) == KF_OK);
        must(back.len == 0 || str_eq(buf_view(&back), text));
    }
    buf_release(&sealed);
    buf_release(&back);
}

static void as_body(const struct seal_key *key, str text)
{
    struct buf plain = BUF_INIT, again = BUF_INIT, back = BUF_INIT;
    struct seal_doc d, same;
    if (seal_body_open(key, STR(NAME), text, &plain, &d, NULL) == KF_OK) {
        must(seal_body(key, STR(NAME), &d, &again, NULL) == KF_OK);
        must(seal_body_open(key, STR(NAME), buf_view(&again), &back, &same, NULL) == KF_OK);
        must(str_eq(d.name, same.name) && str_eq(d.body, same.body) && d.stamp == same.stamp);
    }
    buf_release(&plain);
    buf_release(&again);
    buf_release(&back);
}

static void as_data(const struct seal_key *key, str bytes)
{
    struct buf text = BUF_INIT;
    size_t room = sodium_base64_ENCODED_LEN(bytes.len, sodium_base64_VARIANT_ORIGINAL);
    buf_c(&text, "{\"keepfast\":\"sealed\",\"format\":1,\"key\":\"ca83af2a\",\"data\":\"");
    char *to = buf_room(&text, room);
    must(to != NULL);
    sodium_bin2base64(to, room, (const unsigned char *)bytes.p, bytes.len,
                      sodium_base64_VARIANT_ORIGINAL);
    buf_grew(&text, room - 1);
    buf_c(&text, "\"}");
    as_body(key, buf_view(&text));
    buf_release(&text);
}

/* In two pieces, of which the first byte says how long the first is. */
static void as_file(str bytes)
{
    static const struct seal_source source = {.variable = {"KF_FUZZ_KEY", 11}};
    struct seal_reader *r = NULL;
    struct buf out = BUF_INIT;
    if (bytes.len == 0)
        return;
    size_t first = (unsigned char)bytes.p[0];
    bytes = str_from(bytes, 1);
    first = first < bytes.len ? first : bytes.len;
    must(setenv("KF_FUZZ_KEY", KEY, 1) == 0);
    must(seal_reader_new(env_system(), &source, &r, NULL) == KF_OK);
    if (seal_reader_add(r, (str){bytes.p, first}, &out, NULL) == KF_OK &&
        seal_reader_add(r, str_from(bytes, first), &out, NULL) == KF_OK)
        (void)seal_reader_end(r, &out, NULL);
    must(out.len <= bytes.len);
    seal_reader_free(r);
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct seal_key *key;
    struct seal_key *other = NULL;
    if (!key)
        must(hash_init() == 0 && seal_key_parse(STR(KEY), &key, NULL) == KF_OK);
    if (size == 0)
        return 0;
    str text = str_make(data + 1, size - 1);
    switch (data[0] & 7) {
    case 0:
        as_name(key, text);
        sealed_name(key, text);
        break;
    case 1: as_body(key, text); break;
    case 2: as_data(key, text); break;
    case 4: as_file(text); break;
    default: (void)seal_key_parse(text, &other, NULL);
    }
    seal_key_free(other);
    return 0;
}
