/* Keys, names and bodies that leave the machine sealed. The known answers are of tests/sealed.py,
 * which was written from the description and without the library that the program uses. */
#include "testing.h"

#include "base/hash.h"
#include "base/hooks.h"
#include "base/mem.h"
#include "base/seal.h"
#include "base/seal_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define ID    "ca83af2a"
#define SITE  "aaaaaaaaaaaaaaaa"
#define SEALED \
    "keepfast-sealed/ca83af2a/3n/ha7lozwrzsocczcawigmo7unu27vssgc67tnhaf4wqxzisr2c67cuzpa"

static struct testing_env world;
static struct seal_key *key, *other;

static int begin(void **state)
{
    (void)state;
    assert_int_equal(hash_init(), 0);
    assert_int_equal(seal_key_parse(STR(KEY), &key, NULL), KF_OK);
    assert_int_equal(seal_key_parse(STR(OTHER "\n"), &other, NULL), KF_OK);
    return 0;
}

static int end(void **state)
{
    (void)state;
    seal_key_free(key);
    seal_key_free(other);
    return 0;
}

/* Of the tests that read keys from outside. */
static int world_begin(void **state)
{
    (void)state;
    testing_env_init(&world);
    return setenv("KF_FILE_KEY", KEY, 1);
}

static int world_end(void **state)
{
    (void)state;
    testing_env_release(&world);
    return 0;
}

static void fill(struct buf *b, size_t count)
{
    while (count--)
        buf_byte(b, 'x');
}

static void fill_random(struct buf *b, size_t count, uint64_t *seed)
{
    while (count--)
        buf_byte(b, (char)testing_random(seed));
}

/* Instead of what `out` holds. */
static void join(struct buf *out, str a, str b, str c)
{
    buf_clear(out);
    buf_str(out, a);
    buf_str(out, b);
    buf_str(out, c);
}

static const struct seal_doc sample = {.name = {"kredyty.json", 12},
                                       .site = {SITE, 16},
                                       .version = 7,
                                       .stamp = 117085632987136001,
                                       .at_ms = 1786571838182,
                                       .body = {"{\"a\": 1.0}\n", 11}};

/* ---------------------------------------------------------------------------------------- keys */

static void keys_have_one_form(void **state)
{
    (void)state;
    struct seal_key *k = NULL;
    struct kf_err err = KF_ERR_INIT;
    static const char *const bad[] = {"",      KEY "0",   KEY "\n\n", KEY " ",
                                      " " KEY, KEY "\nx", "g" KEY,    KEY KEY};
    assert_string_equal(seal_key_id(key), ID);
    assert_string_not_equal(seal_key_id(other), ID);
    assert_int_equal(seal_key_parse(STR(KEY "\r\n"), &k, NULL), KF_OK);
    assert_string_equal(seal_key_id(k), ID);
    seal_key_free(k);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(seal_key_parse(str_of(bad[i]), &k, &err), KF_CONFIG);
        assert_string_equal(err.code, "key_needed");
        assert_int_equal(err.exit_code, 3);
        assert_null(strstr(err.detail, "0001020304"));
    }
}

static void a_key_is_made_once(void **state)
{
    (void)state;
    struct seal_key *made = NULL, *read = NULL;
    struct kf_err err = KF_ERR_INIT;
    struct stat st;
    const char *path = testing_path(testing_dir(), "key");
    const struct seal_source source = {.file = str_of(path)};
    assert_int_equal(seal_key_make(&world.env, path, &made, &err), KF_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 65);
    assert_int_equal(seal_key_load(&world.env, &source, &read, &err), KF_OK);
    assert_string_equal(seal_key_id(made), seal_key_id(read));
    seal_key_free(made);
    seal_key_free(read);
    assert_int_equal(seal_key_make(&world.env, path, &made, &err), KF_CONFLICT);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 65);
}

static void key_is(const struct seal_source *source, const char *id)
{
    struct seal_key *k = NULL;
    assert_int_equal(seal_key_load(&world.env, source, &k, NULL), KF_OK);
    assert_string_equal(seal_key_id(k), id);
    seal_key_free(k);
}

/* It is told why, and nothing of what is there. */
static void key_is_no_key(const struct seal_source *source, const char *why)
{
    struct seal_key *k = NULL;
    struct kf_err err = KF_ERR_INIT;
    assert_int_equal(seal_key_load(&world.env, source, &k, &err), KF_CONFIG);
    assert_string_equal(err.code, "key_needed");
    assert_non_null(strstr(err.detail, why));
    assert_null(strstr(err.detail, "0001020304"));
}

static void where_a_key_is(void **state)
{
    (void)state;
    const char *path = testing_path(testing_dir(), "key");
    const struct seal_source file = {.file = str_of(path)}, variable = {.variable = STR("KF_KEY")};
    key_is_no_key(&file, path);
    testing_write(path, KEY "\n", 65);
    assert_int_equal(chmod(path, 0640), 0);
    key_is_no_key(&file, "0640");
    assert_int_equal(chmod(path, 0600), 0);
    key_is(&file, ID);
    testing_write(path, KEY "\nmore", 69);
    key_is_no_key(&file, "");
    unsetenv("KF_KEY");
    key_is_no_key(&variable, "KF_KEY");
    assert_int_equal(setenv("KF_KEY", OTHER, 1), 0);
    key_is(&variable, seal_key_id(other));
    unsetenv("KF_KEY");
}

/* --------------------------------------------------------------------------------------- names */

static void name_is(const char *name, const char *sealed)
{
    struct buf out = BUF_INIT, back = BUF_INIT;
    seal_name(key, str_of(name), &out);
    assert_string_equal(out.p, sealed);
    assert_int_equal(seal_name_open(key, buf_view(&out), &back, NULL), KF_OK);
    assert_true(str_is(buf_view(&back), name));
    buf_release(&out);
    buf_release(&back);
}

static void names_as_described(void **state)
{
    (void)state;
    name_is("a", "keepfast-sealed/ca83af2a/mq/oq2w6q36bzpwwuuscatmz2azlndu3xsfix7l3g");
    name_is("kredyty.json", SEALED);
    name_is("f/\xc5\xbc.json",
            "keepfast-sealed/ca83af2a/dv/qyuzf3favx2xhehxgexvdgvcdv3dz2btfquatthgqpszkqh7sqy");
}

static void long_names_stand_in_the_body(void **state)
{
    (void)state;
    char name[1025];
    struct buf out = BUF_INIT, back = BUF_INIT;
    memset(name, 'x', sizeof(name));
    for (size_t len = 1; len <= 1024; len++) {
        buf_clear(&out);
        buf_clear(&back);
        seal_name(key, str_make(name, len), &out);
        assert_true(out.len <= 1024);
        assert_int_equal(seal_name_open(key, buf_view(&out), &back, NULL), KF_OK);
        assert_int_equal(back.len, len <= 599 ? len : 0);
        if (len == 700)
            assert_string_equal(out.p, "keepfast-sealed/ca83af2a/long/"
                                       "3d2479f400de5bdf6d6757782987a27929e4d80b5909cb7a365529a9b0"
                                       "da6517");
    }
    buf_release(&out);
    buf_release(&back);
}

/* S3, and nothing of the name is to be seen. */
static void a_sealed_name_shows_nothing(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    char id[SEAL_ID + 1];
    seal_name(key, STR("secret"), &out);
    assert_null(strstr(out.p, "secret"));
    for (size_t i = 0; i < out.len; i++)
        assert_non_null(strchr("abcdefghijklmnopqrstuvwxyz0123456789-/", out.p[i]));
    assert_true(seal_is_name(buf_view(&out)) && seal_name_key(buf_view(&out), id));
    assert_string_equal(id, ID);
    buf_release(&out);
}

static void other_names_are_refused(void **state)
{
    (void)state;
    struct buf name = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    char id[SEAL_ID + 1], text[sizeof(SEALED)];
    static const char *const bad[] = {
        "keepfast-sealed/",
        "keepfast-sealed/ca83af2a",
        "keepfast-sealed/ca83af2a/",
        "keepfast-sealed/ca83af2a/aa",
        "keepfast-sealed/ca83af2a/aa/",
        "keepfast-sealed/ca83af2a/aa/aa",
        "keepfast-sealed/ca83af2a/long/",
        "keepfast-sealed/ca83af2a/long/"
        "3D2479f400de5bdf6d6757782987a27929e4d80b5909cb7a365529a9b0da6517",
        "keepfast-sealed/CA83AF2A/3n/ha7lozwrzsocczcawigmo7unu27vssgc67tnhaf4wqxzisr2c67cuzpa",
        SEALED "a",
        "kredyty.json",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(seal_name_open(key, str_of(bad[i]), &name, &err), KF_UNAVAILABLE);
        assert_string_equal(err.code, "bad_object");
        assert_int_equal(name.len, 0);
    }
    assert_false(seal_name_key(STR("keepfast-sealed/CA83AF2A/x"), id));
    assert_false(seal_name_key(STR("keepfast-sealed/ca83af2/x"), id));
    assert_int_equal(seal_name_open(other, STR(SEALED), &name, &err), KF_UNAVAILABLE);
    for (size_t i = 0; i + 1 < sizeof(SEALED); i++)
        for (int flip = 1; flip < 256; flip <<= 1) {
            memcpy(text, SEALED, sizeof(text));
            text[i] = (char)(text[i] ^ flip);
            assert_int_equal(seal_name_open(key, (str){text, sizeof(text) - 1}, &name, NULL),
                             KF_UNAVAILABLE);
        }
    buf_release(&name);
}

/* -------------------------------------------------------------------------------------- bodies */

/* Of the sample's name, instead of what `out` holds. */
static void seal_to(struct buf *out, const struct seal_doc *d)
{
    buf_clear(out);
    assert_int_equal(seal_body(key, STR(SEALED), d, out, NULL), KF_OK);
}

static void open_to(struct buf *plain, const struct buf *sealed, struct seal_doc *ret)
{
    assert_int_equal(seal_body_open(key, STR(SEALED), buf_view(sealed), plain, ret, NULL), KF_OK);
}

static void bodies_as_described(void **state)
{
    (void)state;
    static const char live[] =
        "{\"keepfast\":\"sealed\",\"format\":1,\"key\":\"ca83af2a\",\"data\":"
        "\"C5HEAfaqjYp70S1eW21NusIucWl02+lO/siPR/DrgiO3RU2ugBBV/w6HCAWCJv4Kpl4Fk2YrcjODX6Nv/X9c4+NR"
        "zqabWJuqEC820xo/Dd1LYgf81WAyil7lUTZreEQ+1VLw5OmeTH9LRUzR1RKMB4ncc2NASljvm2eq2+rYgG2gl1Bg1+"
        "2ki4ZEIMGzy/qTf4fqtvSLBgZWkg1nIKoDbkGNsPN3ue/G0fMQ0T8ayBM=\"}",
                      gone[] =
                          "{\"keepfast\":\"sealed\",\"format\":1,\"key\":\"ca83af2a\",\"data\":"
                          "\"82FRFwuehsUzk0SCj6vGidUnJ24Y/"
                          "88j3rDwMqh8tktI2bDC00wTEEHIAd9LTbJSgiHMv6+IHKBVWbGNfXju1fJX"
                          "BudWCw5RKSU71pFtCPY/"
                          "x6n5VGZpIATYfr8p8MrZM01vMz3iO5+C58GjuAxRGGuQFwzf8I1QpOjKodXekAy75R8qx0"
                          "VgzreQ6G/s+WMCMDqPxJOr3ShFfXcV+nwl87jDRiE=\"}";
    struct buf out = BUF_INIT, plain = BUF_INIT, pretty = BUF_INIT;
    struct seal_doc d = sample, back;
    struct hash hash;
    char hex[HASH_HEX + 1];
    seal_to(&out, &d);
    assert_string_equal(out.p, live);
    buf_printf(&pretty, "{\n  %.*s\n}\n", (int)out.len - 2, out.p + 1);
    open_to(&plain, &pretty, &back);
    assert_true(str_eq(back.name, d.name) && str_eq(back.site, d.site) &&
                str_eq(back.body, d.body) && back.stamp == d.stamp && back.version == d.version &&
                back.at_ms == d.at_ms);
    d.version = 8;
    d.body = (str){0, 0};
    seal_to(&out, &d);
    assert_string_equal(out.p, gone);
    open_to(&plain, &out, &back);
    assert_null(back.body.p);

    buf_clear(&pretty);
    buf_byte(&pretty, '"');
    fill(&pretty, 70000);
    buf_byte(&pretty, '"');
    d.version = 7;
    d.body = buf_view(&pretty);
    seal_to(&out, &d);
    hash_of(buf_view(&out), &hash);
    hash_hex(&hash, hex);
    assert_string_equal(hex, "ca05b6de1e0527e9dc1fc9a6b04da9c88d5cad2187bfda717cbe662de49bf181");
    buf_release(&out);
    buf_release(&plain);
    buf_release(&pretty);
}

/* Sizes around the bounds of chunks, names with all that JSON escapes. */
static void bodies_come_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 16, 1000, 65535, 65536, 65537, 131072, 200000};
    uint64_t seed = 7;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (size_t more = 0; more < 3; more++) {
            /* The heading has about 130 bytes: all of the bounds are met at `more` of them. */
            size_t len = sizes[i] > 200 ? sizes[i] - 134 + more : sizes[i] + more;
            struct buf out = BUF_INIT, plain = BUF_INIT, body = BUF_INIT;
            struct seal_doc d = sample, back;
            fill_random(&body, len, &seed);
            d.body = buf_view(&body);
            d.name = STR("q\"\\\n\x01/\xc5\xbc");
            seal_to(&out, &d);
            assert_true(out.len <= SEAL_ROOM(len));
            open_to(&plain, &out, &back);
            assert_true(str_eq(back.body, d.body) && back.body.p && str_eq(back.name, d.name));
            buf_release(&out);
            buf_release(&plain);
            buf_release(&body);
        }
}

static void refused(str text, str name)
{
    struct buf plain = BUF_INIT;
    struct seal_doc d;
    struct kf_err err = KF_ERR_INIT;
    assert_int_equal(seal_body_open(key, name, text, &plain, &d, &err), KF_UNAVAILABLE);
    assert_string_equal(err.code, "bad_object");
    buf_release(&plain);
}

/* S2 */
static void every_change_is_refused(void **state)
{
    (void)state;
    struct buf out = BUF_INIT, changed = BUF_INIT;
    seal_to(&out, &sample);
    for (size_t i = 0; i < out.len; i++) {
        for (int flip = 1; flip < 256; flip <<= 1) {
            buf_clear(&changed);
            buf_str(&changed, buf_view(&out));
            changed.p[i] = (char)(changed.p[i] ^ flip);
            refused(buf_view(&changed), STR(SEALED));
        }
        refused((str){out.p, i}, STR(SEALED));
    }
    refused(STR("{}"), STR(SEALED));
    refused(STR("[1]"), STR(SEALED));
    buf_release(&out);
    buf_release(&changed);
}

/* Whole chunks are neither left out nor put elsewhere. */
static void chunks_keep_their_places(void **state)
{
    (void)state;
    struct buf body = BUF_INIT, out = BUF_INIT, cut = BUF_INIT;
    struct seal_doc d = sample;
    fill(&body, 3 * 65536);
    d.body = buf_view(&body);
    seal_to(&out, &d);
    const char *data = strstr(out.p, "\"data\":\"") + 8;
    /* 24 and 65,553 bytes are multiples of three, so chunks end where digits of base64 do. */
    size_t head = (size_t)(data - out.p), header = 32, chunk = 65553 / 3 * 4;
    for (size_t chunks = 0; chunks < 4; chunks++) {
        str begin = {out.p, head + header + chunks * chunk};
        join(&cut, begin, STR(""), STR("\"}"));
        refused(buf_view(&cut), STR(SEALED));
        str elsewhere = {data + header + (chunks + 1 < 3 ? (chunks + 1) * chunk : 0), chunk};
        join(&cut, begin, elsewhere, STR("\"}"));
        refused(buf_view(&cut), STR(SEALED));
    }
    buf_release(&body);
    buf_release(&out);
    buf_release(&cut);
}

static void a_body_belongs_to_its_name(void **state)
{
    (void)state;
    struct buf out = BUF_INIT, plain = BUF_INIT;
    struct seal_doc d;
    seal_to(&out, &sample);
    refused(buf_view(&out),
            STR("keepfast-sealed/ca83af2a/mq/oq2w6q36bzpwwuuscatmz2azlndu3xsfix7l3g"));
    assert_int_equal(seal_body_open(other, STR(SEALED), buf_view(&out), &plain, &d, NULL),
                     KF_UNAVAILABLE);
    buf_release(&out);
    buf_release(&plain);
}

/* S1: nothing but the same write is sealed alike. */
static void writes_are_told_apart(void **state)
{
    (void)state;
    struct buf a = BUF_INIT, b = BUF_INIT;
    struct seal_doc d[6] = {sample, sample, sample, sample, sample, sample};
    d[1].version++;
    d[2].stamp++;
    d[3].at_ms++;
    d[4].site = STR("baaaaaaaaaaaaaaa");
    d[5].body = STR("{\"a\": 1.1}\n");
    seal_to(&a, &sample);
    for (size_t i = 0; i < 6; i++) {
        seal_to(&b, &d[i]);
        assert_int_equal(str_eq(buf_view(&a), buf_view(&b)), i == 0);
        /* not even the nonce */
        const char *at = strstr(a.p, "\"data\":\"") + 8;
        assert_int_equal(memcmp(at, b.p + (at - a.p), 32) == 0, i == 0);
    }
    buf_release(&a);
    buf_release(&b);
}

/* --------------------------------------------------------------------------------------- files */

static const struct seal_source named = {.variable = {"KF_FILE_KEY", 11}}, none = {0};

static kf_rc seal_all(str bytes, size_t piece, struct buf *out)
{
    struct seal_writer *w = NULL;
    kf_rc rc = seal_writer_new(&world.env, &named, &w, NULL);
    for (size_t at = 0; rc == KF_OK && at < bytes.len; at += piece) {
        str rest = str_from(bytes, at);
        rc = seal_writer_add(w, (str){rest.p, rest.len < piece ? rest.len : piece}, out, NULL);
    }
    if (rc == KF_OK)
        rc = seal_writer_end(w, out, NULL);
    seal_writer_free(w);
    return rc;
}

static kf_rc open_all(const struct seal_source *source, str bytes, size_t piece, struct buf *out,
                      struct kf_err *err)
{
    struct seal_reader *r = NULL;
    kf_rc rc = seal_reader_new(&world.env, source, &r, err);
    for (size_t at = 0; rc == KF_OK && at < bytes.len; at += piece) {
        str rest = str_from(bytes, at);
        rc = seal_reader_add(r, (str){rest.p, rest.len < piece ? rest.len : piece}, out, err);
    }
    if (rc == KF_OK)
        rc = seal_reader_end(r, out, err);
    seal_reader_free(r);
    return rc;
}

static void files_come_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 131072, 200000};
    static const size_t pieces[] = {1000, 65536, 65553, 1000000};
    uint64_t seed = 3;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
            struct buf plain = BUF_INIT, sealed = BUF_INIT, back = BUF_INIT;
            struct kf_err err = KF_ERR_INIT;
            fill_random(&plain, sizes[i], &seed);
            assert_int_equal(seal_all(buf_view(&plain), pieces[k], &sealed), KF_OK);
            assert_true(seal_file_begins(buf_view(&sealed)));
            if (open_all(&named, buf_view(&sealed), pieces[k] / 3 + 1, &back, &err) != KF_OK)
                fail_msg("%zu in %zu: %s", sizes[i], pieces[k], err.detail);
            assert_true(str_eq(buf_view(&plain), buf_view(&back)));
            buf_release(&plain);
            buf_release(&sealed);
            buf_release(&back);
        }
}

static void file_refused(str bytes)
{
    struct buf back = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = open_all(&named, bytes, 70000, &back, &err);
    assert_true(rc == KF_DAMAGED || rc == KF_INVALID || rc == KF_CONFIG || rc == KF_TOO_NEW);
    assert_true(err.detail[0]);
    buf_release(&back);
}

/* A bit of every byte, a cut at every length, chunks that are left out or come twice. */
static void every_change_of_a_file_is_refused(void **state)
{
    (void)state;
    struct buf plain = BUF_INIT, sealed = BUF_INIT, changed = BUF_INIT;
    fill(&plain, 300);
    assert_int_equal(seal_all(buf_view(&plain), 1000, &sealed), KF_OK);
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.p[i] ^= (char)(1 << i % 8);
        file_refused(buf_view(&sealed));
        sealed.p[i] ^= (char)(1 << i % 8);
        file_refused((str){sealed.p, i});
    }
    buf_byte(&sealed, 'x');
    file_refused(buf_view(&sealed));
    buf_clear(&sealed);
    fill(&plain, 3 * 65536);
    assert_int_equal(seal_all(buf_view(&plain), 1000, &sealed), KF_OK);
    size_t head = str_index(buf_view(&sealed), '\n') + 1 + 24, chunk = 65536 + 17;
    for (size_t n = 0; n < 3; n++) {
        file_refused((str){sealed.p, head + n * chunk}); /* cut between chunks */
        str all = buf_view(&sealed), before = {all.p, head + n * chunk};
        str with = {all.p, head + (n + 1) * chunk};
        join(&changed, before, str_from(all, with.len), STR("")); /* one that is not there */
        file_refused(buf_view(&changed));
        join(&changed, with, str_from(all, before.len), STR("")); /* one that is there twice */
        file_refused(buf_view(&changed));
    }
    buf_release(&plain);
    buf_release(&sealed);
    buf_release(&changed);
}

static void file_wants_its_key(const struct seal_source *source, str bytes, const char *given)
{
    struct buf back = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    assert_int_equal(open_all(source, bytes, 1000, &back, &err), KF_CONFIG);
    assert_string_equal(err.code, "key_needed");
    assert_non_null(strstr(err.detail, ID));
    assert_non_null(strstr(err.detail, given));
    assert_int_equal(back.len, 0);
    buf_release(&back);
}

static void a_file_names_its_key(void **state)
{
    (void)state;
    struct buf sealed = BUF_INIT, back = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    assert_int_equal(seal_all(STR("text"), 1000, &sealed), KF_OK);
    file_wants_its_key(&none, buf_view(&sealed), "");
    assert_int_equal(setenv("KF_FILE_KEY", OTHER, 1), 0);
    file_wants_its_key(&named, buf_view(&sealed), seal_key_id(other));
    assert_int_equal(
        open_all(&named, STR("{\"keepfast\":\"sealed-file\",\"format\":2,\"key\":\"ca83af2a\"}\n"),
                 1000, &back, &err),
        KF_TOO_NEW);
    assert_int_equal(open_all(&named, STR("{\"a\":1}\n"), 1000, &back, &err), KF_INVALID);
    assert_string_equal(err.code, "bad_archive");
    assert_int_equal(back.len, 0);
    buf_release(&sealed);
    buf_release(&back);
}

/* ------------------------------------------------------------------------------ lack of memory */

static kf_rc file_there_and_back(void *ctx)
{
    struct buf sealed = BUF_INIT, back = BUF_INIT;
    kf_rc rc = seal_all(*(const str *)ctx, 50000, &sealed);
    if (rc == KF_OK)
        rc = open_all(&named, buf_view(&sealed), 50000, &back, NULL);
    buf_release(&sealed);
    buf_release(&back);
    return rc;
}

static void no_memory_for_files(void **state)
{
    (void)state;
    struct buf plain = BUF_INIT;
    fill(&plain, 150000);
    str bytes = buf_view(&plain);
    assert_true(testing_oom_each(file_there_and_back, &bytes) >= 10);
    buf_release(&plain);
}

static kf_rc there_and_back(void *ctx)
{
    (void)ctx;
    struct seal_key *k = NULL;
    struct buf name = BUF_INIT, body = BUF_INIT, plain = BUF_INIT;
    struct seal_doc d;
    kf_rc rc = seal_key_parse(STR(KEY), &k, NULL);
    if (rc == KF_OK) {
        seal_name(k, sample.name, &name);
        rc = buf_ok(&name, NULL);
    }
    if (rc == KF_OK)
        rc = seal_body(k, buf_view(&name), &sample, &body, NULL);
    if (rc == KF_OK)
        rc = seal_name_open(k, buf_view(&name), &plain, NULL);
    if (rc == KF_OK)
        rc = seal_body_open(k, buf_view(&name), buf_view(&body), &plain, &d, NULL);
    buf_release(&name);
    buf_release(&body);
    buf_release(&plain);
    seal_key_free(k);
    return rc;
}

static void no_memory(void **state)
{
    (void)state;
    assert_true(testing_oom_each(there_and_back, NULL) >= 10);
}

#ifdef KF_TEST_HOOKS
TESTING_SABOTEUR(seal_name_plain, "seal-name-plain", a_sealed_name_shows_nothing)
TESTING_SABOTEUR(seal_no_binding, "seal-no-binding", a_body_belongs_to_its_name)
#endif

#define IN_WORLD(f) cmocka_unit_test_setup_teardown(f, world_begin, world_end)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_have_one_form),
        IN_WORLD(a_key_is_made_once),
        IN_WORLD(where_a_key_is),
        cmocka_unit_test(names_as_described),
        cmocka_unit_test(long_names_stand_in_the_body),
        cmocka_unit_test(a_sealed_name_shows_nothing),
        cmocka_unit_test(other_names_are_refused),
        cmocka_unit_test(bodies_as_described),
        cmocka_unit_test(bodies_come_back),
        cmocka_unit_test(every_change_is_refused),
        cmocka_unit_test(chunks_keep_their_places),
        cmocka_unit_test(a_body_belongs_to_its_name),
        cmocka_unit_test(writes_are_told_apart),
        IN_WORLD(files_come_back),
        IN_WORLD(every_change_of_a_file_is_refused),
        IN_WORLD(a_file_names_its_key),
        cmocka_unit_test(no_memory),
        IN_WORLD(no_memory_for_files),
#ifdef KF_TEST_HOOKS
        {"saboteur seal-name-plain is found", saboteur_seal_name_plain, NULL, NULL, NULL},
        {"saboteur seal-no-binding is found", saboteur_seal_no_binding, NULL, NULL, NULL},
#endif
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("seal", tests, begin, end);
}
