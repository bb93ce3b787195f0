/* Archives as a hostile person would hand them to a restore. Each is refused with nothing changed,
 * here or elsewhere; or it is taken, and then the store holds exactly what the archive's manifest
 * says. */
#include "testing.h"
#include "zipmaker.h"

#include "base/hash.h"
#include "base/mem.h"
#include "move/zip.h"
#include "remote/portable.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SITE  "aaaaaaaaaaaaaaaa"
#define AT_MS INT64_C(1762698225123)

/* ----------------------------------------------------------------------------- what is archived */

struct version {
    const char *name;
    uint64_t version;
    const char *body; /* NULL = a deletion */
    bool past;
};
static const struct version versions[] = {
    {"a", 2, "{\"n\":2}", false},
    {"a", 1, "{\"n\":1}", true},
    {"b", 1, "[1,2,3]", false},
    {"c", 2, NULL, false},
};
enum { VERSIONS = sizeof versions / sizeof *versions, OBJECTS = 3, MANIFEST = 0 };

static void hash_text(const char *body, char hex[HASH_HEX + 1])
{
    struct hash hash;
    hash_of(str_of(body), &hash);
    hash_hex(&hash, hex);
}

static void write_version(struct portable_writer *w, const struct version *v)
{
    char hex[HASH_HEX + 1] = "";
    if (v->body)
        hash_text(v->body, hex);
    portable_write(w, &(struct portable_entry){.line = v->past ? PORTABLE_PAST : PORTABLE_DOC,
                                               .name = str_of(v->name),
                                               .site = STR(SITE),
                                               .hash = str_of(hex),
                                               .kind = STR("put"),
                                               .version = v->version,
                                               .size = v->body ? strlen(v->body) : 0,
                                               .stamp = (AT_MS << 16) + (int64_t)v->version,
                                               .at_ms = AT_MS,
                                               .deleted = !v->body});
}

static void write_manifest(enum portable_holds holds, const struct version *v, size_t count,
                           struct buf *out)
{
    struct portable_writer w;
    portable_write_begin(&w, out);
    portable_write(&w, &(struct portable_entry){.line = PORTABLE_HEAD,
                                                .site = STR(SITE),
                                                .seq = 9,
                                                .stamp = (AT_MS << 16) + 9,
                                                .at_ms = AT_MS,
                                                .holds = holds});
    for (size_t i = 0; i < count; i++)
        write_version(&w, &v[i]);
    portable_write_end(&w);
    assert_false(out->failed);
}

/* Texts that entries borrow; released at the end of a test. */
static struct buf texts[ZIPMAKER_MAX * 2];
static size_t text_count;

static struct buf *new_text(void)
{
    assert_true(text_count < sizeof texts / sizeof *texts);
    texts[text_count] = (struct buf)BUF_INIT;
    return &texts[text_count++];
}

static void drop_texts(void)
{
    while (text_count)
        buf_release(&texts[--text_count]);
}

static struct zip_entry *add_object(struct zipmaker *z, const char *name, const char *body)
{
    char hex[HASH_HEX + 1];
    struct buf *path = new_text();
    hash_text(body, hex);
    portable_object(str_of(name), str_of(hex), path);
    return zipmaker_add(z, buf_view(path), str_of(body));
}

static void add_manifest(struct zipmaker *z, enum portable_holds holds, const struct version *v,
                         size_t count)
{
    struct buf *text = new_text();
    write_manifest(holds, v, count, text);
    zipmaker_add(z, STR(PORTABLE_MANIFEST), buf_view(text));
}

static void add_objects(struct zipmaker *z)
{
    for (size_t i = 0; i < VERSIONS; i++)
        if (versions[i].body)
            add_object(z, versions[i].name, versions[i].body);
}

/* The manifest, then OBJECTS objects. */
static void good(struct zipmaker *z)
{
    drop_texts();
    memset(z, 0, sizeof *z);
    add_manifest(z, PORTABLE_BACKUP, versions, VERSIONS);
    add_objects(z);
}

/* --------------------------------------------------------------- the store that must not change */

static kf_store *store;
static const char *dir, *archive, *canary;
static struct kf_err last;
static char digest[HASH_HEX + 1];
static struct buf tree;
static unsigned refusals, takings;

static int note_name(const char *path, const struct stat *st, int type, struct FTW *place)
{
    (void)type;
    (void)place;
    if (strcmp(path, archive) != 0)
        buf_printf(&tree, "%s %o\n", path, (unsigned)st->st_mode);
    return 0;
}

/* Every name below the folder that holds the store's folder. In an order of its own, which stays
 * while nothing changes. */
static void look_at_tree(void)
{
    buf_clear(&tree);
    assert_int_equal(nftw(dir, note_name, 8, FTW_PHYS), 0);
}

static void digest_now(char hex[HASH_HEX + 1])
{
    assert_int_equal(kf_digest(store, hex, &last), KF_OK);
}

/* The store gets something of its own, and what must not change is noted. */
static void rebase(void)
{
    assert_int_equal(kf_doc_put(store, "own", "1", 1, NULL, NULL, &last), KF_OK);
    digest_now(digest);
    look_at_tree();
}

static void write_archive(str bytes)
{
    testing_write(archive, bytes.p, bytes.len);
}

static kf_rc restore_bytes(str bytes)
{
    write_archive(bytes);
    last = (struct kf_err)KF_ERR_INIT;
    return testing_restore(store, archive, true, NULL, NULL, &last);
}

static int setup(void **state)
{
    (void)state;
    testing_guard(120);
    dir = testing_dir_in_memory();
    archive = testing_path(dir, "hostile.zip");
    canary = testing_path(dir, "canary.json");
    testing_write(canary, "alive", 5);
    assert_int_equal(mkdir(testing_path(dir, "data"), 0700), 0);
    assert_int_equal(kf_open(testing_path(dir, "data/s.db"), NULL, &store, NULL), KF_OK);
    restore_bytes(STR("x")); /* makes the side folder */
    rebase();
    refusals = takings = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kf_close(&store, NULL);
    buf_release(&tree);
    drop_texts();
    testing_guard(0);
    return 0;
}

static void unchanged(const char *what)
{
    char now[HASH_HEX + 1];
    struct buf before = tree;
    size_t len;
    tree = (struct buf)BUF_INIT;
    look_at_tree();
    digest_now(now);
    if (strcmp(now, digest) != 0)
        fail_msg("%s: the store has changed", what);
    if (!str_eq(buf_view(&tree), buf_view(&before)))
        fail_msg("%s: files have changed:\n%swere:\n%s", what, tree.p, before.p);
    if (memcmp(testing_read(canary, &len), "alive", 5) != 0 || len != 5)
        fail_msg("%s: the canary is dead", what);
    buf_release(&before);
}

static void refused_bytes(const char *what, str bytes)
{
    kf_rc rc = restore_bytes(bytes);
    if (rc != KF_INVALID && rc != KF_DAMAGED && rc != KF_LIMIT)
        fail_msg("%s: %s %s", what, kf_rc_name(rc), last.detail);
    unchanged(what);
    refusals++;
}

static void refused(const char *what, const struct zipmaker *z)
{
    struct buf bytes = BUF_INIT;
    zipmaker_write(z, &bytes);
    refused_bytes(what, buf_view(&bytes));
    buf_release(&bytes);
}

static void is(const char *what, const char *name, uint64_t version, const char *body)
{
    struct kf_doc doc = {0};
    kf_rc rc = version ? kf_doc_get_version(store, name, version, &doc, &last)
                       : kf_doc_get(store, name, &doc, &last);
    if (!body ? rc != KF_ABSENT : rc != KF_OK || !str_is((str){doc.body, doc.len}, body))
        fail_msg("%s: %s %llu is wrong: %s", what, name, (unsigned long long)version, last.detail);
    kf_doc_release(&doc);
}

/* Files that were set aside go: the tree is as before. */
static void drop_set_aside(void)
{
    const char *data = testing_path(dir, "data");
    DIR *d = opendir(data);
    for (struct dirent *e; (e = readdir(d));)
        if (strstr(e->d_name, ".before-"))
            unlink(testing_path(data, e->d_name));
    closedir(d);
}

static void holds_the_good(const char *what)
{
    struct kf_status status = {0};
    for (size_t i = 0; i < VERSIONS; i++) {
        is(what, versions[i].name, versions[i].version, versions[i].body);
        if (!versions[i].past)
            is(what, versions[i].name, 0, versions[i].body);
    }
    assert_int_equal(kf_status(store, &status, &last), KF_OK);
    if (status.docs != 2)
        fail_msg("%s: %d documents", what, (int)status.docs);
}

/* Refused, or taken and right. */
static void safe_bytes(const char *what, str bytes)
{
    kf_rc rc = restore_bytes(bytes);
    if (rc == KF_OK) {
        holds_the_good(what);
        drop_set_aside();
        rebase();
        takings++;
    } else if (rc == KF_INVALID || rc == KF_DAMAGED || rc == KF_LIMIT || rc == KF_TOO_NEW) {
        unchanged(what);
        refusals++;
    } else {
        fail_msg("%s: %s %s", what, kf_rc_name(rc), last.detail);
    }
}

static void safe(const char *what, const struct zipmaker *z)
{
    struct buf bytes = BUF_INIT;
    zipmaker_write(z, &bytes);
    safe_bytes(what, buf_view(&bytes));
    buf_release(&bytes);
}

static void taken(const char *what, const struct zipmaker *z)
{
    unsigned before = takings;
    safe(what, z);
    if (takings != before + 1)
        fail_msg("%s was refused: %s", what, last.detail);
}

/* ---------------------------------------------------------------------------------- what may be */

static void other_archives_of_the_same_are_taken(void **state)
{
    struct zipmaker z;
    (void)state;
    good(&z);
    taken("as it is", &z);
    good(&z);
    for (size_t i = 0, j = z.count - 1; i < j; i++, j--) {
        struct zip_entry e = z.entries[i];
        z.entries[i] = z.entries[j];
        z.entries[j] = e;
    }
    taken("the other way round", &z);
    good(&z);
    z.comment = STR("Keepfast is no cabinet");
    taken("with a comment", &z);
    good(&z);
    for (size_t i = 0; i < z.count; i++)
        z.entries[i].made_by = 20,
        z.entries[i].attributes = 0x20; /* by a program of another system */
    taken("without modes", &z);
    good(&z);
    z.between = STR("something that nobody names");
    taken("with a gap", &z);
}

/* ---------------------------------------------------------------------------------------- names */

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const str names[] = {
    STR(""),
    STR("/"),
    STR("."),
    STR(".."),
    STR("../canary.json"),
    STR("../../canary.json"),
    STR("/canary.json"),
    STR("/tmp/canary.json"),
    STR("//x/y"),
    STR("docs"),
    STR("docs/"),
    STR("docs/a"),
    STR("docs/../canary.json"),
    STR("docs/a/../../../canary.json"),
    STR("docs/a/.."),
    STR("docs/a/../b/" HEX64 ".json"),
    STR("docs/./a/" HEX64 ".json"),
    STR("./docs/a/" HEX64 ".json"),
    STR("docs//a/" HEX64 ".json"),
    STR("/docs/a/" HEX64 ".json"),
    STR("docs/a/" HEX64 ".json/"),
    STR("docs/a/" HEX64 ".JSON"),
    STR("docs/A/" HEX64 ".json"),
    STR("DOCS/a/" HEX64 ".json"),
    STR("docs/a/" HEX64),
    STR("docs/" HEX64 ".json"),
    STR("docs/a/0" HEX64 ".json"),
    STR("docs/a/0123.json"),
    STR("docs/a/.json"),
    STR("docs/%2e%2e/" HEX64 ".json"),
    STR("docs/%2E%2E/" HEX64 ".json"),
    STR("docs/%2F/" HEX64 ".json"),
    STR("docs/%00/" HEX64 ".json"),
    STR("docs/%61/" HEX64 ".json"),
    STR("docs/%/" HEX64 ".json"),
    STR("docs/%zz/" HEX64 ".json"),
    STR("docs/con/" HEX64 ".json"),
    STR("docs/.git/" HEX64 ".json"),
    STR("docs/a /" HEX64 ".json"),
    STR("docs/git~1/" HEX64 ".json"),
    STR("docs/a:b/" HEX64 ".json"),
    STR("docs\\a\\" HEX64 ".json"),
    STR("..\\canary.json"),
    STR("C:\\canary.json"),
    STR("C:/canary.json"),
    STR("\\\\host\\share\\x"),
    STR("docs/a\0/" HEX64 ".json"),
    STR("docs/a/" HEX64 ".json\0.txt"),
    STR("\0"),
    STR("manifest.ndjson\0"),
    STR("manifest.ndjson/"),
    STR("./manifest.ndjson"),
    STR("/manifest.ndjson"),
    STR("Manifest.ndjson"),
    STR("docs/manifest.ndjson"),
    STR("docs/\xff/" HEX64 ".json"),
    STR("docs/\xc3\xb3/" HEX64 ".json"),
    STR("docs/\xc0\xaf/" HEX64 ".json"),
    STR("docs/a\n/" HEX64 ".json"),
    STR("docs/a\x1b[2J/" HEX64 ".json"),
    STR("lock"),
    STR(".tmp-0123456789abcdef"),
    STR("s.db"),
    STR("s.db-wal"),
    STR("README"),
    STR("__MACOSX/._a"),
    STR(".DS_Store"),
    STR("docs/a/" HEX64 ".json.tmp"),
};

static void no_other_name_is_taken(void **state)
{
    struct zipmaker z;
    char what[300];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (int central = 0; central < 2; central++) {
            struct zip_entry *e;
            good(&z);
            snprintf(what, sizeof what, "a file \"%s\" more (%d)", names[i].p, central);
            if (central) { /* only the central header says so; the local one has an honest name */
                e = add_object(&z, "zzz", "0");
                e->central_name = names[i];
            } else {
                e = zipmaker_add(&z, names[i], STR("0"));
            }
            refused(what, &z);
            if (!central && strstr(last.detail, "manifest does not name"))
                fail_msg("%s: was refused for another reason: %s", what, last.detail);
        }
    }
    good(&z);
    static char longest[65535];
    memset(longest, 'a', sizeof longest);
    zipmaker_add(&z, (str){longest, sizeof longest}, STR("0"));
    refused("the longest name", &z);
}

/* ---------------------------------------------------------------------------------------- kinds */

static void only_plain_files_are_taken(void **state)
{
    static const struct {
        const char *what;
        uint32_t mode;
    } kinds[] = {
        {"a link", 0120777},         {"a folder", 0040700}, {"a character device", 0020600},
        {"a block device", 0060600}, {"a socket", 0140600},
    };
    static const uint32_t methods[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10,    12,
                                       14, 18, 19, 93, 95, 96, 97, 98, 99, 0xffff};
    static const uint32_t flags[] = {1, 0x41, 0x2001, 0x20};
    struct zipmaker z;
    char what[80];
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        good(&z);
        z.entries[1].attributes = kinds[i].mode << 16;
        refused(kinds[i].what, &z);
        good(&z);
        z.entries[MANIFEST].attributes = kinds[i].mode << 16;
        refused(kinds[i].what, &z);
    }
    good(&z); /* Info-ZIP says so of what it read from one: its bytes are as good as any */
    z.entries[1].attributes = 0010600u << 16;
    taken("a pipe", &z);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        good(&z);
        z.entries[2].method = methods[i];
        snprintf(what, sizeof what, "compressed by %u", (unsigned)methods[i]);
        refused(what, &z);
    }
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        good(&z);
        z.entries[2].flags = flags[i];
        snprintf(what, sizeof what, "flags %x", (unsigned)flags[i]);
        safe(what, &z);
    }
}

/* -------------------------------------------------------------------------------------- numbers */

static void a_number_that_lies_is_found_or_harmless(void **state)
{
#define NUMBER(field)                             \
    {                                             \
#field, offsetof(struct zip_entry, field) \
    }
    static const struct {
        const char *what;
        size_t at;
    } numbers[] = {
        NUMBER(crc),         NUMBER(packed),         NUMBER(unpacked),
        NUMBER(central_crc), NUMBER(central_packed), NUMBER(central_unpacked),
    };
#undef NUMBER
    static const uint32_t off[] = {1,          (uint32_t)-1, 4,           100000,
                                   0x7fffffff, 0x80000000,   (uint32_t)-8};
    struct zipmaker z;
    char what[80];
    (void)state;
    for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++) {
        for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
            for (int more = 0; more < 2; more++) { /* one header, or both in the same way */
                good(&z);
                char *e = (char *)&z.entries[1];
                *(uint32_t *)(void *)(e + numbers[n].at) += off[i];
                if (more)
                    *(uint32_t *)(void *)(e + numbers[(n + 3) % 6].at) += off[i];
                snprintf(what, sizeof what, "%s %s %x more", numbers[n].what, more ? "(both)" : "",
                         (unsigned)off[i]);
                if (more)
                    refused(what, &z);
                else
                    safe(what, &z);
            }
        }
    }
}

static void where_things_are_is_not_believed(void **state)
{
    static const int64_t off[] = {1, -1, 7, -40, 5000, INT32_MAX, -100000};
    struct zipmaker z;
    (void)state;
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        good(&z);
        z.entries[2].offset_off = off[i];
        refused("an entry is elsewhere", &z);
        good(&z);
        z.offset_off = off[i];
        safe("the central headers are elsewhere", &z);
        good(&z);
        z.size_off = off[i];
        safe("the central headers are larger", &z);
        good(&z);
        z.count_off = off[i];
        safe("there are more entries", &z);
        good(&z);
        z.zip64 = true;
        z.locator_off = off[i];
        safe("the locator of ZIP64 points elsewhere", &z);
    }
    good(&z);
    z.entries[2].hidden = true;
    refused("an entry is not in the directory", &z);
    good(&z);
    z.entries[3].bytes = STR("[1,2,3]PK\1\2");
    safe("a signature in the bytes", &z);
    good(&z);
    z.no_end = true;
    refused("there is no end", &z);
    good(&z);
    z.disk = 7;
    safe("it is one disk of seven", &z);
    good(&z);
    z.after = STR("something");
    safe("something behind the end", &z);
    good(&z);
    z.before = STR("#!/bin/sh\nexit 0\n");
    safe("a script in front", &z);
    z.offset_off = (int64_t)z.before.len;
    safe("a script in front that is reckoned in", &z);
}

static void zip64_is_not_believed(void **state)
{
    static const uint64_t lies[] = {
        1, 1000, UINT32_MAX, (uint64_t)1 << 40, INT64_MAX, (uint64_t)1 << 63, UINT64_MAX};
    /* id 1, 24 bytes: unpacked, packed, offset */
    static char extra[28] = {1, 0, 24, 0};
    struct zipmaker z;
    (void)state;
    good(&z);
    z.zip64 = true;
    taken("what is true in 64 bits", &z);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        good(&z);
        z.zip64 = true;
        z.zip64_count = lies[i];
        safe("a count of ZIP64", &z);
        good(&z);
        z.zip64 = true;
        z.zip64_size = lies[i];
        safe("a size of ZIP64", &z);
        good(&z);
        z.zip64 = true;
        z.zip64_offset = lies[i];
        safe("an offset of ZIP64", &z);
        for (int what = 0; what < 3; what++) {
            good(&z);
            struct zip_entry *e = &z.entries[1];
            memset(extra + 4, 0, 24);
            for (int at = 0; at < 3; at++)
                memcpy(extra + 4 + 8 * at, &(uint64_t){at == what ? lies[i] : at == 2 ? 0 : 7}, 8);
            e->extra = (str){extra, sizeof extra};
            e->central_packed = e->central_unpacked = UINT32_MAX;
            safe("an entry's own ZIP64", &z);
        }
    }
}

/* ------------------------------------------------------------------------------ cut and changed */

static void no_part_of_an_archive_is_taken_for_the_whole(void **state)
{
    struct zipmaker z;
    struct buf bytes = BUF_INIT;
    char what[80];
    (void)state;
    good(&z);
    zipmaker_write(&z, &bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        snprintf(what, sizeof what, "cut at %zu of %zu", len, bytes.len);
        refused_bytes(what, (str){bytes.p, len});
    }
    buf_release(&bytes);
}

static void every_byte_is_looked_at_or_harmless(void **state)
{
    struct zipmaker z;
    struct buf bytes = BUF_INIT;
    char what[80];
    (void)state;
    good(&z);
    zipmaker_write(&z, &bytes);
    for (size_t i = 0; i < bytes.len; i++) {
        for (int bit = 0; bit < 2; bit++) {
            char flip = bit ? 0x20 : 0x01;
            bytes.p[i] ^= flip;
            snprintf(what, sizeof what, "byte %zu changed by %x", i, flip);
            safe_bytes(what, buf_view(&bytes));
            bytes.p[i] ^= flip;
        }
    }
    buf_release(&bytes);
    print_message("# refused=%u taken=%u\n", refusals, takings);
    assert_true(refusals > 3 * takings);
}

/* --------------------------------------------------------------------------------- what it says */

static void a_manifest_that_lies_is_found(void **state)
{
    struct zipmaker z;
    struct version v[VERSIONS];
    (void)state;
    drop_texts();
    memset(&z, 0, sizeof z);
    refused("nothing at all", &z);
    add_objects(&z);
    refused("no manifest", &z);
    good(&z);
    add_manifest(&z, PORTABLE_BACKUP, versions, VERSIONS);
    refused("two manifests", &z);
    good(&z);
    z.count--;
    refused("an object is missing", &z);
    good(&z);
    add_object(&z, "d", "4");
    refused("an object too many", &z);
    good(&z);
    add_object(&z, "b", "[1,2,3]");
    refused("an object twice", &z);
    good(&z);
    add_object(&z, "a", "[1,2,3]");
    refused("a version too many", &z);
    memcpy(v, versions, sizeof v);
    v[2].body = "[1,2,4]";
    memset(&z, 0, sizeof z);
    drop_texts();
    add_manifest(&z, PORTABLE_BACKUP, v, VERSIONS);
    add_objects(&z);
    refused("other bytes than it says", &z);
    good(&z);
    z.entries[2].bytes = STR("{\"n\":3}");
    refused("other bytes than their checksum says", &z);
    good(&z);
    z.count--;
    zipmaker_add(&z, z.entries[3].name, STR("[1,2,4]"));
    refused("other bytes than their hash says", &z);
    good(&z);
    z.entries[MANIFEST].bytes.len -= 2;
    zipmaker_add(&z, STR(PORTABLE_MANIFEST), z.entries[MANIFEST].bytes);
    z.entries[MANIFEST] = z.entries[--z.count];
    refused("a manifest that is cut", &z);
    memset(&z, 0, sizeof z);
    drop_texts();
    add_manifest(&z, PORTABLE_STATE, versions, VERSIONS);
    add_objects(&z);
    refused("what a remote holds", &z);
    memset(&z, 0, sizeof z);
    drop_texts();
    memcpy(v, versions, sizeof v);
    v[2].body = "[1,2,3";
    add_manifest(&z, PORTABLE_BACKUP, v, VERSIONS);
    for (size_t i = 0; i < OBJECTS; i++)
        add_object(&z, v[i].name, v[i].body);
    refused("a document that is no JSON", &z);
    good(&z);
    struct buf *newer = new_text();
    buf_printf(newer, "{\"keepfast\":\"manifest\",\"format\":2,\"holds\":\"backup\"}\n");
    zipmaker_add(&z, STR(PORTABLE_MANIFEST), buf_view(newer));
    z.entries[MANIFEST] = z.entries[--z.count];
    unsigned before = refusals;
    safe("a newer format", &z);
    assert_int_equal(refusals, before + 1);
    assert_int_equal(last.rc, KF_TOO_NEW);
}

/* ---------------------------------------------------------------------------------------- bombs */

struct bomb {
    struct buf bytes, piece;
    struct zip_writer *zip;
};

static void bomb_begin(struct bomb *b)
{
    *b = (struct bomb){0};
    assert_int_equal(zip_writer_new(&b->zip, NULL), KF_OK);
    zip_writer_to(b->zip, &b->bytes);
}

/* A document of so many bytes that packs to nearly nothing, under so many names. */
static void bomb_add(struct bomb *b, size_t len, int count)
{
    char *body = mem_alloc(len + 1), hex[HASH_HEX + 1], name[20];
    memset(body, ' ', len);
    body[0] = '1';
    body[len] = '\0';
    hash_text(body, hex);
    for (int i = 0; i < count; i++) {
        buf_clear(&b->piece);
        snprintf(name, sizeof name, "b%d", i);
        portable_object(str_of(name), str_of(hex), &b->piece);
        assert_int_equal(zip_writer_add(b->zip, b->piece.p, (str){body, len}, AT_MS, NULL), KF_OK);
    }
    mem_free(body);
}

static void bomb_explodes_not(struct bomb *b, const char *what, const char *why)
{
    assert_int_equal(zip_writer_end(b->zip, NULL), KF_OK);
    zip_writer_free(b->zip);
    refused_bytes(what, buf_view(&b->bytes));
    if (!strstr(last.detail, why))
        fail_msg("%s was refused for another reason: %s", what, last.detail);
    buf_release(&b->bytes);
    buf_release(&b->piece);
}

static void bombs_are_defused(void **state)
{
    enum { DOC_MAX = 8 << 20 }; /* limits.doc as it is by default */
    struct bomb b;
    (void)state;
    bomb_begin(&b);
    bomb_add(&b, DOC_MAX + 1, 1);
    bomb_explodes_not(&b, "a document over the limit", "larger than a document may be");
    bomb_begin(&b);
    bomb_add(&b, DOC_MAX, 1);
    bomb_explodes_not(&b, "one at the limit", "no manifest");
    bomb_begin(&b);
    bomb_add(&b, DOC_MAX, 16);
    bomb_explodes_not(&b, "128 MiB in 130 KB", "unpacks to far more");
}

/* ----------------------------------------------------------------------------------------- main */

TESTING_SABOTEUR(archive_bomb, "archive-bomb", bombs_are_defused)

int main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(other_archives_of_the_same_are_taken),
        TEST(no_other_name_is_taken),
        TEST(only_plain_files_are_taken),
        TEST(a_number_that_lies_is_found_or_harmless),
        TEST(where_things_are_is_not_believed),
        TEST(zip64_is_not_believed),
        TEST(no_part_of_an_archive_is_taken_for_the_whole),
        TEST(every_byte_is_looked_at_or_harmless),
        TEST(a_manifest_that_lies_is_found),
        TEST(bombs_are_defused),
        cmocka_unit_test(saboteur_archive_bomb),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
