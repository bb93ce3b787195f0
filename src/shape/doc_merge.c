/* What others wrote.
 *
 * Two versions of a document are ordered by (stamp, site, content hash); a deletion has the hash
 * "". All sites order alike, so all end with the same document, the same ETag and the same bytes,
 * whatever came first or twice.
 *
 *     there is nothing of this name   it becomes the document                             TAKEN
 *     same stamp, site and bytes      nothing to do                                       SAME
 *     same bytes, other stamp         the document takes the later stamp (and site and
 *                                     time): no version, but a new number, so that
 *                                     remotes hear of it                                  SAME
 *                                     (while a backup is on: a version of its own)        REPLACED
 *     it is later                     it becomes the document, ours stays as the version
 *                                     it was                                              REPLACED
 *     ours is later, and we have it   nothing to do                                       SAME
 *     ours is later                   it stays as a version of kind `loser`               LOST
 *
 * Knowing the base of both (doc_join.c), the last lines are finer. J is what they make together:
 *
 *     J is neither of them, or it     both stay as versions, J is written on top with a
 *     is the earlier one              stamp of ours that is later than both               MERGED
 *     J is the other one, later       it becomes the document; nothing of ours is lost    TAKEN
 *     J is ours, later                the other stays as a version, nothing of it is
 *                                     lost                                                SAME
 *
 * and with a clash MERGED_CLASH, REPLACED and LOST.
 *
 * Two stores that join the same two versions at one time make two versions of one value: the later
 * one wins like any other, and as the values are equal nothing more is made of them.
 *
 * An inexact body has lost its hash. Stamp and site alone say whether it is known, and one that has
 * the value of the current document counts as its bytes.
 *
 * Numbers. Ours is at version L, the other was at I on its site.
 *
 *     taken over    max(I, L + 1); L is 0 where nothing was
 *     loser         L + 1, and ours is written once more as L + 2 (kind `merge`, stamp and so ETag
 *                   unchanged): the current document has the highest number (D1), and L stays what
 *                   readers know it to be
 *     joined        the other one as in these two lines, J behind it instead
 *
 * A stamp that our clock does not believe (more than 5 minutes ahead) does not move it, so the
 * future does not spread to other documents. It orders the versions of this one like any other
 * stamp: an order that each site saw with its own clock would let two sites keep different
 * documents for ever. Who writes over it here comes later (doc_write.c), however far behind this
 * clock is.
 *
 * A version of our own that comes back is ours or an ancestor of ours, also when it is no longer
 * kept: never a loser. */
#include "shape/doc_internal.h"

#include "store/clock.h"

#include <inttypes.h>

struct incoming {
    const struct doc_import *import;
    str body;                /* the import's, or what stands for it */
    char hash[HASH_HEX + 1]; /* "" for a deletion */
    int64_t stamp, at_ms;
    str site;
};

static bool possible(int64_t stamp)
{
    return stamp > 0 && stamp <= CLOCK_STAMP_MAX;
}

static kf_rc check_import(const struct doc_import *import, struct kf_err *err)
{
    kf_rc rc = name_check_own(import->name, err);
    if (rc == KF_OK && import->body.p)
        rc = json_check(import->body, NULL, NULL, err);
    if (rc == KF_OK && !doc_site_ok(import->site))
        rc = err_set(err, PROBLEM_BAD_ARCHIVE,
                     "\"%.*s\" comes from a site that is no site: 16 hex digits",
                     STR_SHOWN(import->name));
    if (rc == KF_OK && !possible(import->stamp))
        rc = err_set(err, PROBLEM_BAD_ARCHIVE,
                     "\"%.*s\" comes with a stamp that no clock gives: %016" PRIx64,
                     STR_SHOWN(import->name), (uint64_t)import->stamp);
    return rc;
}

static void read_import(struct group *g, const struct doc_import *import, struct incoming *ret)
{
    struct hash hash;
    *ret = (struct incoming){.import = import,
                             .body = import->body,
                             .stamp = import->stamp,
                             .at_ms = import->at_ms,
                             .site = import->site};
    if (import->body.p) {
        hash_of(import->body, &hash);
        hash_hex(&hash, ret->hash);
    }
    if (!group_see(g, import->stamp))
        KF_SOMETIMES("doc-merge-future-stamp");
}

/* Positive when the other one is later. */
static int compare(const struct incoming *in, const struct doc_head *head)
{
    if (in->stamp != head->stamp)
        return in->stamp > head->stamp ? 1 : -1;
    if (KF_SABOTAGE("tie-by-arrival"))
        return 1;
    int by_site = str_cmp(in->site, str_of(head->site));
    if (by_site || KF_SABOTAGE("tie-without-content-hash"))
        return by_site;
    return str_cmp(str_of(in->hash), str_of(head->hash));
}

/* Whether a kept version, the current one among them, is the same write. */
static kf_rc is_kept(struct group *g, const struct incoming *in, bool *ret, struct kf_err *err)
{
    static const char sql[] = "SELECT 1 FROM kf_doc_version WHERE name = $1 AND (hash = $2 OR "
                              "$3 = 1) AND stamp = $4 AND site = $5 LIMIT 1";
    struct db_stmt *s;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, in->import->name);
    db_bind_text(s, 2, str_of(in->hash));
    db_bind_i64(s, 3, in->import->inexact);
    db_bind_i64(s, 4, in->stamp);
    db_bind_text(s, 5, in->site);
    rc = db_step(s, ret, err);
    db_done(s);
    return rc;
}

static void as_record(const struct incoming *in, const char *kind, uint64_t version,
                      struct doc_record *ret)
{
    *ret = (struct doc_record){
        .name = in->import->name,
        .site = in->site,
        .kind = str_of(kind),
        .body = in->body,
        .hash = str_of(in->hash),
        .version = version,
        .stamp = in->stamp,
        .at_ms = in->at_ms,
    };
}

/* Its number when it comes behind what is here. */
static uint64_t number_behind(const struct incoming *in, const struct doc_head *head)
{
    uint64_t next = head->there ? head->version + 1 : 1;
    uint64_t theirs = in->import->version <= DOC_VERSION_MAX ? in->import->version : 0;
    return theirs > next ? theirs : next;
}

/* It becomes the document. */
static kf_rc take_over(struct group *g, struct docs *docs, const struct incoming *in,
                       const struct doc_head *head, struct kf_err *err)
{
    struct doc_record record;
    int64_t seq;
    as_record(in, "merge", number_behind(in, head), &record);
    kf_rc rc = doc_record(g, &record, head, &seq, err);
    return rc == KF_OK ? doc_trim(g, docs, record.name, record.version, err) : rc;
}

/* Same bytes: the head and its version row get the later stamp and a new number. */
static kf_rc adopt_stamp(struct group *g, const struct incoming *in, const struct doc_head *head,
                         struct kf_err *err)
{
    static const char version_sql[] =
        "UPDATE kf_doc_version SET seq = $1, stamp = $2, site = $3, at = $4 "
        "WHERE seq = $5";
    static const char head_sql[] = "UPDATE kf_doc SET seq = $1, stamp = $2, site = $3, at = $4 "
                                   "WHERE name = $5";
    int64_t seq = group_seq(g);
    struct db_stmt *s;
    kf_rc rc = KF_OK;
    for (int table = 0; table < 2 && rc == KF_OK; table++) {
        rc = db_use(group_db(g), table ? head_sql : version_sql, &s, err);
        if (rc != KF_OK)
            break;
        db_bind_i64(s, 1, seq);
        db_bind_i64(s, 2, in->stamp);
        db_bind_text(s, 3, in->site);
        db_bind_i64(s, 4, in->at_ms);
        if (table)
            db_bind_text(s, 5, in->import->name);
        else
            db_bind_i64(s, 5, head->seq);
        rc = db_run(s, err);
    }
    if (rc == KF_OK)
        rc = group_journal(g, seq, head->seq, DOC_TABLE, in->import->name, in->stamp, in->site,
                           err);
    return rc;
}

/* Writes the current version once more, under the number behind the loser's. */
static kf_rc renew_current(struct group *g, str name, const struct doc_head *head, uint64_t version,
                           struct kf_err *err)
{
    static const char version_sql[] =
        "INSERT INTO kf_doc_version(seq, name, version, stamp, site, at, kind, size, hash, body) "
        "SELECT $1, name, $2, stamp, site, at, 'merge', size, hash, body FROM kf_doc_version "
        "WHERE seq = $3";
    static const char head_sql[] = "UPDATE kf_doc SET seq = $1, version = $2 WHERE name = $3";
    int64_t seq = group_seq(g);
    struct db_stmt *s;
    kf_rc rc = KF_OK;
    for (int table = 0; table < 2 && rc == KF_OK; table++) {
        rc = db_use(group_db(g), table ? head_sql : version_sql, &s, err);
        if (rc != KF_OK)
            break;
        db_bind_i64(s, 1, seq);
        db_bind_i64(s, 2, (int64_t)version);
        if (table)
            db_bind_text(s, 3, name);
        else
            db_bind_i64(s, 3, head->seq);
        rc = db_run(s, err);
    }
    if (rc == KF_OK)
        rc = group_journal(g, seq, head->seq, DOC_TABLE, name, head->stamp, str_of(head->site),
                           err);
    return rc;
}

static kf_rc keep_loser(struct group *g, struct docs *docs, const struct incoming *in,
                        const struct doc_head *head, struct kf_err *err)
{
    struct doc_record record;
    as_record(in, "loser", head->version + 1, &record);
    KF_SOMETIMES("doc-merge-loser");
    kf_rc rc = KF_SABOTAGE("drop-loser") ? KF_OK : doc_record_past(g, &record, err);
    if (rc == KF_OK)
        rc = renew_current(g, record.name, head, head->version + 2, err);
    if (rc == KF_OK)
        rc = doc_trim(g, docs, record.name, head->version + 2, err);
    return rc;
}

/* Later than both, also when one of them came from a clock far ahead. */
static int64_t stamp_for(struct group *g, const struct incoming *in, const struct doc_head *head)
{
    int64_t before = in->stamp > head->stamp ? in->stamp : head->stamp;
    int64_t stamp = group_stamp(g);
    return KF_SABOTAGE("merged-not-later") ? before : stamp > before ? stamp : before + 1;
}

/* The other one becomes a version, and what both make together the document. */
static kf_rc write_joined(struct group *g, struct docs *docs, const struct incoming *in,
                          const struct doc_head *head, const struct doc_join *join,
                          struct kf_err *err)
{
    struct doc_record past;
    int64_t seq;
    bool later = compare(in, head) > 0;
    if (later)
        as_record(in, "merge", number_behind(in, head), &past);
    else
        as_record(in, "loser", head->version + 1, &past);
    struct doc_record joined = {
        .name = past.name,
        .site = str_of(group_site(g)),
        .kind = STR("merge"),
        .body = buf_view(&join->made),
        .hash = str_of(join->made_hash),
        .version = past.version + 1,
        .stamp = stamp_for(g, in, head),
        .at_ms = group_now_ms(g),
    };
    kf_rc rc = doc_record_past(g, &past, err);
    if (rc == KF_OK)
        rc = doc_record(g, &joined, head, &seq, err);
    if (rc == KF_OK)
        rc = doc_trim(g, docs, joined.name, joined.version, err);
    return rc;
}

enum action { LEAVE, ADOPT_STAMP, TAKE_OVER, KEEP_LOSER, WRITE_JOINED };

/* The same bytes. A backup finds versions by the numbers that they had when it began: while one is
 * on, a version is not given another. */
static enum action for_equal(const struct docs *docs, const struct incoming *in,
                             const struct doc_head *head)
{
    if (compare(in, head) <= 0)
        return LEAVE;
    return docs_pinned(docs) ? TAKE_OVER : ADOPT_STAMP;
}

static kf_rc decide(struct group *g, const struct docs *docs, struct incoming *in,
                    const struct doc_head *head, struct doc_join *join, enum action *ret,
                    struct kf_err *err)
{
    bool kept = false;
    if (!head->there) {
        *ret = TAKE_OVER;
        return KF_OK;
    }
    if (strcmp(in->hash, head->hash) == 0) {
        *ret = for_equal(docs, in, head);
        return KF_OK;
    }
    kf_rc rc = is_kept(g, in, &kept, err);
    bool later = compare(in, head) > 0;
    if (rc != KF_OK || kept || (!later && str_is(in->site, group_site(g)))) {
        *ret = LEAVE;
        return rc;
    }
    rc = doc_join(g, docs, in->import, head, later, join, err);
    if (rc != KF_OK)
        return rc;
    if (join->equal && in->import->inexact) {
        in->body = buf_view(&join->ours);
        memcpy(in->hash, head->hash, sizeof in->hash);
        *ret = for_equal(docs, in, head);
    } else if (join->made.len) {
        *ret = WRITE_JOINED;
    } else {
        *ret = later ? TAKE_OVER : KEEP_LOSER;
    }
    return KF_OK;
}

static kf_rc act(struct group *g, struct docs *docs, const struct incoming *in,
                 const struct doc_head *head, const struct doc_join *join, enum action action,
                 struct kf_err *err)
{
    switch (action) {
    case LEAVE: return KF_OK;
    case ADOPT_STAMP: return adopt_stamp(g, in, head, err);
    case TAKE_OVER: return take_over(g, docs, in, head, err);
    case KEEP_LOSER: return keep_loser(g, docs, in, head, err);
    case WRITE_JOINED: return write_joined(g, docs, in, head, join, err);
    }
    assert(!"an action that decide gave");
    return err_set(err, PROBLEM_INTERNAL, "no such action");
}

static enum doc_merged outcome(enum action action, const struct doc_head *head,
                               const struct doc_join *join)
{
    bool beaten = head->there && !join->nothing_lost;
    switch (action) {
    case LEAVE:
    case ADOPT_STAMP: break;
    case TAKE_OVER: return beaten ? DOC_REPLACED : DOC_TAKEN;
    case KEEP_LOSER: return beaten ? DOC_LOST : DOC_SAME;
    case WRITE_JOINED: return beaten ? DOC_MERGED_CLASH : DOC_MERGED;
    }
    return DOC_SAME;
}

kf_rc doc_merge(struct group *g, struct docs *docs, const struct doc_import *import,
                enum doc_merged *ret, struct kf_err *err)
{
    struct doc_head head;
    struct doc_join join = {0};
    struct incoming in;
    enum action action = LEAVE;
    kf_rc rc = check_import(import, err);
    if (rc == KF_OK)
        rc = doc_head_load(group_db(g), import->name, &head, err);
    if (rc != KF_OK)
        return rc;
    read_import(g, import, &in);
    rc = decide(g, docs, &in, &head, &join, &action, err);
    if (rc == KF_OK)
        rc = act(g, docs, &in, &head, &join, action, err);
    if (rc == KF_OK)
        *ret = outcome(action, &head, &join);
    doc_join_release(&join);
    return rc;
}
