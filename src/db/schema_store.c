/* The tables of a store, format 1. docs/formats.md tells readers of the file what the columns
 * mean.
 *
 *   kf_state    one row: the last journal number and the largest stamp, moved by every group
 *   kf_meta     what the store knows of itself: site, old sites, clone marker, hydration
 *   kf_doc      the head of each document          --seq-->  kf_doc_version   its body and its past
 *   kf_journal  the latest change of each tracked row, in order
 *   kf_remote   the remotes: watermark, position, and those that `remote add` made
 *   kf_run      the log of their runs
 *   kf_aside    what is left alone while the rest goes on, per remote
 *   kf_once     first results of idempotency keys
 *   kf_stream   a stream: statistics, attributes   --id-->  kf_entry       its entries
 *                                                  --id-->  kf_entry_once  client ids taken;
 *                                                           kf_entry_once_new: those that did
 *                                                           not move on yet (stream_once.c)
 *   kf_stream_attr  attributes that can be asked for
 *   kf_attachment   what entries have attached, once per content
 *   kf_stream_member  attributes as stores exchange them: who set or removed which, and when
 *   kf_erased   what was erased of a key: per site, entries up to a stamp; kf_trimmed: what `keep`
 *               has removed, likewise; kf_erasing: of which erasure entries are left to be removed
 *   kf_remote_file  files of streams as they were last seen at a remote
 *   kf_receipt  what erasures did
 *   kf_search   words of entries -> their numbers (shape/stream_index.c)
 *
 * kf_doc_version is keyed by the store-wide sequence, so that a write appends to the end of its
 * b-tree, and the head finds its body by one integer. A deletion is a version whose body is
 * NULL. The journal row of a document has the number of its head, so replacing it is a delete by
 * integer key and an append.
 *
 * An append touches the ends of kf_entry and of the stream's part of its indexes, one row of
 * kf_stream and, with a client id, one place of kf_entry_once (or _new, from where many move on
 * together); nothing of the journal, for an entry never changes. The id of a stream is the number
 * under which it was created, so that an erased and reborn key is another stream. Between stores an
 * entry is known by (site, stamp), whichever site this store has by now: kf_entry_by finds it, and
 * what an erasure covers of a site, if it came from elsewhere; what was appended here is found by
 * halving, and has no place in kf_entry_by, nor one in kf_entry_at when its time is that of its
 * stamp (shape/stream_order.c). Twins alone are in kf_entry_twin, by the client id that they share
 * with the entry that is shown. */
#include "db/schema.h"

static const char create_sql[] =
    "CREATE TABLE kf_state(id INTEGER PRIMARY KEY CHECK(id = 1), seq INTEGER NOT NULL,"
    " stamp INTEGER NOT NULL) STRICT;"
    "INSERT INTO kf_state VALUES(1, 0, 0);"
    "CREATE TABLE kf_meta(key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT, WITHOUT "
    "ROWID;"
    "CREATE TABLE kf_doc(name TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, stamp INTEGER NOT NULL, site TEXT NOT NULL, at INTEGER NOT NULL,"
    " size INTEGER NOT NULL, hash TEXT NOT NULL, deleted INTEGER NOT NULL CHECK(deleted IN (0, 1)))"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE kf_doc_version(seq INTEGER PRIMARY KEY, name TEXT NOT NULL,"
    " version INTEGER NOT NULL, stamp INTEGER NOT NULL, site TEXT NOT NULL, at INTEGER NOT NULL,"
    " kind TEXT NOT NULL, size INTEGER NOT NULL, hash TEXT NOT NULL, body TEXT) STRICT;"
    "CREATE UNIQUE INDEX kf_doc_version_of ON kf_doc_version(name, version);"
    "CREATE TABLE kf_journal(seq INTEGER PRIMARY KEY, tbl TEXT NOT NULL, key TEXT NOT NULL,"
    " stamp INTEGER NOT NULL, site TEXT NOT NULL) STRICT;"
    "CREATE TABLE kf_remote(name TEXT PRIMARY KEY NOT NULL, url TEXT NOT NULL, options TEXT,"
    " watermark INTEGER NOT NULL DEFAULT 0, position TEXT, hydrated INTEGER NOT NULL DEFAULT 0,"
    " confirmed_at INTEGER NOT NULL DEFAULT 0, last_run_at INTEGER NOT NULL DEFAULT 0,"
    " failures INTEGER NOT NULL DEFAULT 0, last_code TEXT NOT NULL DEFAULT '',"
    " last_error TEXT NOT NULL DEFAULT '', aside_more INTEGER NOT NULL DEFAULT 0)"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE kf_run(id INTEGER PRIMARY KEY, remote TEXT NOT NULL, began INTEGER NOT NULL,"
    " ended INTEGER NOT NULL, cause TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL,"
    " times INTEGER NOT NULL, tries INTEGER NOT NULL, pushed_docs INTEGER NOT NULL,"
    " pushed_entries INTEGER NOT NULL, pushed_files INTEGER NOT NULL,"
    " pushed_bytes INTEGER NOT NULL, taken_docs INTEGER NOT NULL,"
    " taken_entries INTEGER NOT NULL, taken_bytes INTEGER NOT NULL, lost INTEGER NOT NULL, bad "
    "INTEGER NOT NULL, aside INTEGER NOT NULL) STRICT;"
    "CREATE INDEX kf_run_of ON kf_run(remote, id);"
    "CREATE INDEX kf_run_ended ON kf_run(ended);"
    "CREATE TABLE kf_aside(remote TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,"
    " since INTEGER NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL,"
    " seq INTEGER NOT NULL, PRIMARY KEY(remote, kind, name)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE kf_once(key TEXT PRIMARY KEY NOT NULL, request TEXT NOT NULL,"
    " result TEXT NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX kf_once_at ON kf_once(at);"
    "CREATE TABLE kf_stream(id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, rev INTEGER NOT NULL,"
    " count INTEGER NOT NULL, last_n INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    " first_at INTEGER NOT NULL, last_at INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " stamp INTEGER NOT NULL, site TEXT NOT NULL, born INTEGER NOT NULL, kinds TEXT NOT NULL,"
    " rings TEXT NOT NULL, attrs TEXT NOT NULL) STRICT;"
    "CREATE TABLE kf_stream_attr(name TEXT NOT NULL, value TEXT NOT NULL, key TEXT NOT NULL,"
    " stream INTEGER NOT NULL, PRIMARY KEY(name, value, key)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX kf_stream_attr_of ON kf_stream_attr(key);"
    "CREATE TABLE kf_entry(seq INTEGER PRIMARY KEY, stream INTEGER NOT NULL, n INTEGER NOT NULL,"
    " at INTEGER NOT NULL, stamp INTEGER NOT NULL, size INTEGER NOT NULL, taken INTEGER NOT NULL,"
    " kind TEXT NOT NULL, id TEXT NOT NULL, site TEXT NOT NULL, hash TEXT NOT NULL, attach TEXT,"
    " body TEXT NOT NULL, timed INTEGER NOT NULL DEFAULT 1, behind INTEGER DEFAULT 0) STRICT;"
    "CREATE UNIQUE INDEX kf_entry_of ON kf_entry(stream, n);"
    "CREATE INDEX kf_entry_at ON kf_entry(stream, at, n) WHERE timed = 1;"
    "CREATE UNIQUE INDEX kf_entry_by ON kf_entry(stream, site, stamp) WHERE behind IS NOT NULL;"
    "CREATE INDEX kf_entry_attach ON kf_entry(attach) WHERE attach IS NOT NULL;"
    "CREATE INDEX kf_entry_twin ON kf_entry(stream, id) WHERE stream < 0;"
    "CREATE TABLE kf_entry_once(stream INTEGER NOT NULL, id TEXT NOT NULL, n INTEGER NOT NULL,"
    " hash TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY(stream, id)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE kf_entry_once_new(stream INTEGER NOT NULL, id TEXT NOT NULL, n INTEGER NOT NULL,"
    " hash TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY(stream, id)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE kf_attachment(hash TEXT PRIMARY KEY NOT NULL, size INTEGER NOT NULL,"
    " body TEXT NOT NULL) STRICT;"
    "CREATE TABLE kf_stream_member(key TEXT NOT NULL, name TEXT NOT NULL, stamp INTEGER NOT NULL,"
    " site TEXT NOT NULL, value TEXT, PRIMARY KEY(key, name)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE kf_erased(key TEXT NOT NULL, site TEXT NOT NULL, stamp INTEGER NOT NULL,"
    " at INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(key, site)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE kf_trimmed(stream INTEGER NOT NULL, site TEXT NOT NULL, stamp INTEGER NOT NULL,"
    " PRIMARY KEY(stream, site)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE kf_remote_file(remote TEXT NOT NULL, key TEXT NOT NULL, first INTEGER NOT NULL,"
    " hash TEXT NOT NULL, version INTEGER NOT NULL, stamp INTEGER NOT NULL, site TEXT NOT NULL,"
    " bytes INTEGER NOT NULL, last_seq INTEGER NOT NULL, entries TEXT NOT NULL,"
    " PRIMARY KEY(remote, key, first)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE kf_erasing(stream INTEGER PRIMARY KEY, receipt INTEGER NOT NULL) STRICT;"
    "CREATE TABLE kf_receipt(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, subject TEXT NOT NULL,"
    " streams INTEGER NOT NULL, entries INTEGER NOT NULL, attachments INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL) STRICT;"
    "CREATE INDEX kf_receipt_of ON kf_receipt(subject, id);"
    "CREATE VIRTUAL TABLE kf_search USING fts5(words, content='', contentless_delete=1,"
    " tokenize='ascii');";

static const char behind_sql[] =
    "CREATE TABLE 'kf_search_data'(id INTEGER PRIMARY KEY, block BLOB);"
    "CREATE TABLE 'kf_search_idx'(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID;"
    "CREATE TABLE 'kf_search_docsize'(id INTEGER PRIMARY KEY, sz BLOB, origin INTEGER);"
    "CREATE TABLE 'kf_search_config'(k PRIMARY KEY, v) WITHOUT ROWID;";

static const char probe_sql[] =
    "SELECT a.id, a.seq, a.stamp, b.key, b.value, c.name, c.version, c.seq, c.stamp, c.site, c.at,"
    " c.size, c.hash, c.deleted, d.seq, d.name, d.version, d.stamp, d.site, d.at, d.kind, d.size,"
    " d.hash, d.body, e.seq, e.tbl, e.key, e.stamp, e.site, f.name, f.url, f.options, f.watermark,"
    " f.position, f.hydrated, f.confirmed_at, f.last_run_at, f.failures, f.last_code, f.last_error,"
    " f.aside_more,"
    " g.key, g.request, g.result, g.at, h.id, h.remote, h.began, h.ended, h.cause, h.code,"
    " h.message, h.times, h.tries, h.pushed_docs, h.pushed_entries, h.pushed_files, h.pushed_bytes,"
    " h.taken_docs, h.taken_entries, h.taken_bytes, h.lost, h.bad, h.aside, i.remote, i.kind, "
    "i.name, i.since, i.code, i.reason, i.seq,"
    " j.id, j.key, j.rev, j.count, j.last_n, j.bytes, j.first_at, j.last_at, j.seq, j.stamp, "
    "j.site,"
    " j.born, j.kinds, j.rings, j.attrs, k.name, k.value, k.key, k.stream, l.seq, l.stream, l.n,"
    " l.at, l.stamp, l.size, l.taken, l.kind, l.id, l.site, l.hash, l.attach, l.body, l.timed, "
    "l.behind, m.stream,"
    " m.id, m.n, m.hash, m.at, w.stream, w.id, w.n, w.hash, w.at, n.hash, n.size, n.body, o.key, "
    "o.site, o.stamp, o.at, o.seq,"
    " r.key, r.name, r.stamp, r.site, r.value, t.stream, t.site, t.stamp, u.remote, u.key, u.first,"
    " u.hash, u.version, u.stamp, u.site, u.bytes, u.last_seq, u.entries, p.stream, p.receipt, "
    "q.id, q.at, q.subject, q.streams, q.entries, q.attachments, q.bytes, v.words"
    " FROM kf_state a, kf_meta b, kf_doc c, kf_doc_version d,"
    " kf_journal e, kf_remote f, kf_once g, kf_run h, kf_aside i, kf_stream j, kf_stream_attr k,"
    " kf_entry l, kf_entry_once m, kf_entry_once_new w, kf_attachment n, kf_erased o, kf_erasing "
    "p, kf_receipt q,"
    " kf_stream_member r, kf_trimmed t, kf_remote_file u,"
    " kf_search v"
    " WHERE 1 = 0";

const struct schema schema_store = {
    .format = 1,
    .create = create_sql,
    .pg_create = schema_store_pg,
    .behind = behind_sql,
    .probe = probe_sql,
    .steps = NULL,
    .step_count = 0,
};
