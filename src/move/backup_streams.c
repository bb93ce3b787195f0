/* Parts of all streams by key, then stream.ndjson of all that have one. A part has the numbers that
 * its entries have here; those that are not shown, for another one has their id, stand behind them
 * under the next ones. Each part is read in a snapshot of its own, and between two of them an entry
 * may come to be shown, or be so no more (stream.h). So a stream is gone through several times,
 *
 *     SHOWN   what is shown            one that becomes a twin behind the place is given already,
 *                                      before it with the twins
 *     TWINS   what is not              one that comes to be shown gets a number behind all others
 *     AGAIN   what is shown, from where the first pass ended
 *
 *     IDS      client ids whose entries `keep` has removed: it removes none while there is a backup
 *
 * and nothing is missed; what is given twice is passed over by a restore. */
#include "move/backup_streams.h"

#include "base/err.h"
#include "base/hooks.h"
#include "remote/stream_text.h"
#include "store/clock.h"

void backup_streams_release(struct backup_streams *b)
{
    buf_release(&b->key);
    buf_release(&b->name);
    buf_release(&b->text);
    buf_release(&b->scratch);
    buf_release(&b->id);
    buf_release(&b->lines);
}

struct giving {
    struct backup_streams *b;
    struct db *db;
    int64_t until, stamp; /* stamp: the newest in the file */
    uint64_t first;
    struct part_writer w;
    bool any;   /* an entry was looked at */
    bool later; /* the stream is younger than `until` */
};

static kf_rc give_file(struct giving *g, str site, backup_file *give, void *ctx, struct kf_err *err)
{
    struct backup_streams *b = g->b;
    struct hash hash;
    char hex[HASH_HEX + 1];
    kf_rc rc = buf_ok(&b->name, err);
    if (rc == KF_OK)
        rc = buf_ok(&b->text, err);
    if (rc != KF_OK)
        return rc;
    hash_of(buf_view(&b->text), &hash);
    hash_hex(&hash, hex);
    const struct doc_row row = {.name = buf_view(&b->name),
                                .site = site,
                                .kind = STR("put"),
                                .hash = str_of(hex),
                                .body = buf_view(&b->text),
                                .size = b->text.len,
                                .version = 1,
                                .stamp = g->stamp,
                                .at_ms = clock_stamp_ms(g->stamp)};
    return give(ctx, &row, err);
}

/* ---------------------------------------------------------------------------------------- parts */

static uint64_t *cursor(struct backup_streams *b)
{
    return b->pass == PASS_TWINS ? &b->twins : &b->shown;
}

static kf_rc add_entry(void *ctx, const struct entry_row *row, struct kf_err *err)
{
    struct giving *g = ctx;
    struct backup_streams *b = g->b;
    uint64_t n = !row->twin && row->n > b->last_n ? row->n : b->last_n + 1;
    if (b->text.len >= STREAM_PART_BYTES || g->w.entries == STREAM_PART_ENTRIES)
        return KF_ABSENT;
    g->any = true;
    *cursor(b) = row->n;
    if (row->seq > g->until)
        return KF_OK;
    if (row->damaged)
        return err_set(err, PROBLEM_DAMAGED,
                       "entry %llu of \"%.*s\" is damaged (%s), so this would be no backup; "
                       "`keepfast verify` lists what is",
                       (unsigned long long)row->n, STR_SHOWN(row->key), row->wrong);
    if (n > STREAM_PART_N_MAX)
        return err_set(err, PROBLEM_TOO_LARGE, "\"%.*s\" has numbers that no archive can have",
                       STR_SHOWN(row->key));
    if (!g->first) {
        g->first = n;
        part_begin(&g->w, g->db, row->key, n, &b->text);
    }
    b->last_n = n;
    b->entries += b->pass == PASS_SHOWN;
    g->stamp = row->stamp > g->stamp ? row->stamp : g->stamp;
    return part_entry(&g->w, row, n, err);
}

static kf_rc next_part(struct giving *g, str site, backup_file *give, void *ctx, struct kf_err *err)
{
    struct backup_streams *b = g->b;
    size_t count;
    buf_clear(&b->text);
    kf_rc rc = stream_entries_of(g->db, b->stream, b->pass == PASS_TWINS, *cursor(b),
                                 STREAM_PART_ENTRIES, true, add_entry, g, &count, err);
    part_end(&g->w);
    if (rc != KF_OK && rc != KF_ABSENT)
        return rc;
    if (!g->any)
        b->pass++;
    if (!g->first)
        return KF_OK;
    buf_clear(&b->name);
    stream_file_part(buf_view(&b->key), g->first, &b->name);
    return give_file(g, site, give, ctx, err);
}

/* ------------------------------------------------------------------------------------------ ids
 */

static kf_rc see_trim(void *ctx, const struct erased_row *row, struct kf_err *err)
{
    (void)row, (void)err;
    *(bool *)ctx = true;
    return KF_OK;
}

static kf_rc add_id(void *ctx, const struct once_row *row, struct kf_err *err)
{
    struct giving *g = ctx;
    struct backup_streams *b = g->b;
    buf_clear(&b->id);
    buf_str(&b->id, row->id);
    if (!row->alone)
        return buf_ok(&b->id, err);
    if (row->damaged || row->n > STREAM_PART_N_MAX)
        return err_set(err, PROBLEM_DAMAGED,
                       "what is known of a client id of \"%.*s\" is damaged, so this would be no "
                       "backup; `keepfast verify` lists what is",
                       (int)(b->key.len < 200 ? b->key.len : 200), b->key.p);
    if (!g->first) {
        g->first = ++b->last_n;
        stream_file_begin(buf_view(&b->key), g->first, &b->text);
    }
    stream_file_line(&(struct stream_line){.kind_of = STREAM_ONCE,
                                           .id = row->id,
                                           .n = row->n,
                                           .hash = row->asked,
                                           .at_ms = row->at_ms},
                     &b->text);
    return buf_ok(&b->id, err);
}

/* A part of them; the stream is done behind the last. */
static kf_rc next_ids(struct giving *g, str site, backup_file *give, void *ctx, struct kf_err *err)
{
    struct backup_streams *b = g->b;
    bool trimmed = false;
    size_t count = 0;
    g->stamp = 1;
    buf_clear(&b->text);
    kf_rc rc = stream_trims(g->db, b->stream, see_trim, &trimmed, err);
    if (rc == KF_OK && trimmed)
        rc = stream_ids(g->db, b->stream, buf_view(&b->id), STREAM_PART_ENTRIES, add_id, g, &count,
                        err);
    if (rc != KF_OK)
        return rc;
    if (count < STREAM_PART_ENTRIES)
        b->stream = 0;
    if (!g->first)
        return KF_OK;
    buf_clear(&b->name);
    stream_file_part(buf_view(&b->key), g->first, &b->name);
    return give_file(g, site, give, ctx, err);
}

static kf_rc check_key(str key, struct kf_err *err)
{
    if (name_check(key, NULL) == KF_OK)
        return KF_OK;
    return err_set(err, PROBLEM_DAMAGED,
                   "no stream can have the key \"%.*s\", so this would be no backup; `keepfast "
                   "verify` lists what is",
                   STR_SHOWN(key));
}

static kf_rc note_stream(void *ctx, const struct stream_row *row, struct kf_err *err)
{
    struct backup_streams *b = ctx;
    kf_rc rc = check_key(row->key, err);
    if (rc != KF_OK)
        return rc;
    b->stream = row->id;
    b->shown = b->twins = b->last_n = 0;
    b->pass = PASS_SHOWN;
    buf_clear(&b->id);
    buf_clear(&b->scratch);
    buf_str(&b->scratch, row->key);
    return buf_ok(&b->scratch, err);
}

static kf_rc next_stream(struct backup_streams *b, struct db *db, struct kf_err *err)
{
    size_t count = 0;
    kf_rc rc = stream_heads(db, buf_view(&b->key), 1, note_stream, b, &count, err);
    if (rc != KF_OK)
        return rc;
    buf_clear(&b->key);
    b->heads = count == 0;
    if (count)
        buf_str(&b->key, buf_view(&b->scratch));
    return buf_ok(&b->key, err);
}

/* ----------------------------------------------------------------------------------- the rest */

/* What was removed is still so. */
static kf_rc newest_member(void *ctx, const struct member_row *m, bool *ret_keep,
                           struct kf_err *err)
{
    struct giving *g = ctx;
    *ret_keep = !g->later || !m->value.p;
    if (*ret_keep && m->stamp > g->stamp)
        g->stamp = m->stamp;
    return KF_OK;
}

/* In the snapshot of stream.ndjson: what is erased by then is so in the archive, and nothing else
 * of what it has can change. One that takes too long is not waited for: it costs the digest, and
 * not the backup. */
static kf_rc add_line(struct giving *g, struct kf_err *err)
{
    struct backup_streams *b = g->b;
    kf_rc rc = stream_digest_line(g->db, buf_view(&b->key), g->until, &b->lines, err);
    if (rc != KF_BUSY)
        return rc;
    KF_SOMETIMES("backup-without-digest");
    err_clear(err);
    b->digests = false;
    return KF_OK;
}

/* KF_ABSENT behind the last key. */
static kf_rc next_head(struct giving *g, str site, bool (*wants)(void *ctx, str key),
                       backup_file *give, void *ctx, struct kf_err *err)
{
    struct backup_streams *b = g->b;
    size_t count = 0;
    buf_clear(&b->scratch);
    kf_rc rc = stream_keys(g->db, buf_view(&b->key), 1, &b->scratch, &count, err);
    if (rc != KF_OK || !count)
        return rc == KF_OK ? KF_ABSENT : rc;
    buf_clear(&b->key);
    buf_c(&b->key, b->scratch.p);
    buf_clear(&b->text);
    if ((rc = buf_ok(&b->key, err)) == KF_OK)
        rc = check_key(buf_view(&b->key), err);
    if (rc != KF_OK || (wants && !wants(ctx, buf_view(&b->key))))
        return rc;
    const struct head_wish wish = {.keep = newest_member, .ctx = g, .own_until = g->until};
    int64_t stream = 0;
    uint64_t last_n;
    rc = stream_find(g->db, buf_view(&b->key), &stream, &last_n, err);
    g->later = stream > g->until;
    g->stamp = 1;
    if (rc == KF_OK)
        rc = head_write(g->db, buf_view(&b->key), &wish, &b->text, err);
    if (rc == KF_OK && b->digests)
        rc = add_line(g, err);
    if (rc != KF_OK || b->text.len == 0)
        return rc;
    buf_clear(&b->name);
    stream_file_head(buf_view(&b->key), &b->name);
    return give_file(g, site, give, ctx, err);
}

kf_rc backup_streams_step(struct backup_streams *b, struct db *db, int64_t until, str site,
                          bool (*wants)(void *ctx, str key), backup_file *give, void *ctx,
                          struct kf_err *err)
{
    struct giving g = {.b = b, .db = db, .until = until};
    if (b->heads)
        return next_head(&g, site, wants, give, ctx, err);
    if (b->stream && b->pass < PASS_IDS)
        return next_part(&g, site, give, ctx, err);
    if (b->stream && !wants)
        return next_ids(&g, site, give, ctx, err);
    kf_rc rc = next_stream(b, db, err);
    if (rc == KF_OK && b->stream && wants && !wants(ctx, buf_view(&b->key)))
        b->stream = 0;
    return rc;
}
