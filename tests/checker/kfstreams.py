"""Streams of a store, for kfcheck.py: every table that has something of them, held against the others and against docs/formats.md, with a
recount of everything that is counted. It knows no line of Keepfast's own code."""

import json
import re
import unicodedata

from kfformat import HASH, HEX16, Bad, blake, canonical, name_fault, parse, Number

KIND = re.compile(r"[a-z0-9_.-]{0,64}\Z")
PAYLOAD = re.compile(r"[0-9a-f]{32}([0-9a-f]{32})?\Z")
FILE_ENTRY = re.compile(r"([0-9a-f]{16} [0-9a-f]{16} \d+ \d+\n)*\Z")
VALUE_MAX, ATTRS_MAX, KINDS_MAX = 255, 64 * 1024, 64
FOLDED_MAX = 512 * 1024


class Stream:
    def __init__(self, row):
        (self.id, self.key, self.rev, self.count, self.last_n, self.bytes, self.first_at, self.last_at, self.seq, self.stamp, self.site,
         self.born, kinds, rings, attrs) = row
        self.texts = {"kinds": kinds or b"{}", "rings": rings or b"{}", "attrs": attrs or b"{}"}
        self.values = {}
        self.entries, self.twins = [], []


class Entry:
    def __init__(self, row):
        (self.seq, self.stream, self.n, self.at, self.stamp, self.size, self.taken, kind, id_, site, hash_, attach, self.body,
         self.timed, self.behind) = row
        self.kind, self.site, self.hash = kind.decode(), site.decode(), hash_.decode()
        self.id, self.attach = id_, attach and attach.decode()

    def __repr__(self):
        return "entry %d of stream %d" % (self.n, self.stream)


class Streams:
    """All of them. `find` takes a format and its arguments."""

    def __init__(self, db, find, seq_max, journal):
        self.db, self.find, self.seq_max = db, find, seq_max
        self.noted = {key: row for (table, key), row in journal.items() if table == b"stream"}
        self.by_id = {row[0]: Stream(row) for row in db.execute(
            "SELECT id, key, rev, count, last_n, bytes, first_at, last_at, seq, stamp, site, born, kinds, rings, attrs FROM kf_stream")}
        self.by_key = {s.key: s for s in self.by_id.values()}
        self.erasing = dict(db.execute("SELECT stream, receipt FROM kf_erasing"))
        self.attachments, self.named, self.words = {}, set(), {}
        self.entries = self.going = 0
        self.digests = {}

    def check(self):
        """What is counted, for a report; self.digests has the lines of the digest then."""
        self._attachments()
        self._entries()
        for stream in self.by_id.values():
            self._stream(stream)
        self._ids()
        self._members()
        self._attributes()
        self._erased()
        self._trimmed()
        self._receipts()
        self._files()
        stale = self._index()
        loose = len(set(self.attachments) - self.named)
        return {"streams": len(self.by_id), "entries": self.entries, "entries_going": self.going, "attachments": len(self.attachments),
                "attachments_loose": loose, "words_stale": stale}

    # --- attachments and entries

    def _json(self, what, text):
        try:
            return canonical(text)
        except Bad as e:
            self.find("%r: %s", what, e)
            return None

    def _attachments(self):
        for hash_, size, body in self.db.execute("SELECT hash, size, body FROM kf_attachment"):
            hash_ = hash_.decode()
            if blake(body) != hash_ or len(body) != size:
                self.find("attachment %s: its hash is %s, it has %d bytes, noted are %d", hash_, blake(body), len(body), size)
            value = self._json("attachment " + hash_, body)
            self.attachments[hash_] = blake(value) if value is not None else None

    def _entries(self):
        rows = "SELECT seq, stream, n, at, stamp, size, taken, kind, id, site, hash, attach, body, timed, behind FROM kf_entry ORDER BY seq"
        for entry in map(Entry, self.db.execute(rows)):
            if entry.attach is not None:
                self.named.add(entry.attach)
                if entry.attach not in self.attachments:
                    self.find("%r: its attachment %s is not there", entry, entry.attach)
            if entry.stream in self.erasing:
                self.going += 1
                continue
            stream = self.by_id.get(abs(entry.stream))
            if stream is None:
                self.find("%r: there is no such stream", entry)
                continue
            self.entries += entry.stream > 0
            (stream.entries if entry.stream > 0 else stream.twins).append(entry)
            self._entry(entry)

    def _entry(self, entry):
        if not 0 < entry.seq <= self.seq_max:
            self.find("%r: number %d is not in 1 to %d", entry, entry.seq, self.seq_max)
        if not HEX16.match(entry.site) or not KIND.match(entry.kind) or not HASH.match(entry.hash):
            self.find("%r: site %r, kind %r, hash %r", entry, entry.site, entry.kind, entry.hash)
        if entry.n < 1 or entry.at < 0 or entry.stamp < 0 or entry.taken not in (0, 1) or len(entry.id) > 255:
            self.find("%r: time %d, stamp %d, taken %d, id %r", entry, entry.at, entry.stamp, entry.taken, entry.id)
        if entry.timed not in (0, 1) or entry.timed == 0 and (entry.behind is not None or entry.stamp >> 16 != entry.at):
            self.find("%r: its time %d is not found by its stamp %d", entry, entry.at, entry.stamp)
        if (entry.behind is None) == bool(entry.taken):
            self.find("%r: taken %d, behind %r", entry, entry.taken, entry.behind)
        if blake(entry.body) != entry.hash or len(entry.body) != entry.size:
            self.find("%r: its hash is %s, noted is %s", entry, blake(entry.body), entry.hash)
        else:
            entry.value = self._json(entry, entry.body)
            if entry.value is not None and entry.stream > 0:
                self.words[entry.seq] = folded_words(entry.body)

    # --- one stream

    def _stream(self, s):
        if name_fault(s.key):
            self.find("stream %r: the key %s", s.key, name_fault(s.key))
        for number in (s.id, s.rev, s.seq):
            if not 0 < number <= self.seq_max:
                self.find("stream %r: number %d is not in 1 to %d", s.key, number, self.seq_max)
        if self.noted.get(s.key) != (s.seq, s.stamp, s.site):
            self.find("stream %r: journal %r, its row %r", s.key, self.noted.get(s.key), (s.seq, s.stamp, s.site))
        for name, text in s.texts.items():
            try:
                s.values[name] = parse(text)
                if not isinstance(s.values[name], dict):
                    raise Bad("no object")
            except Bad as e:
                self.find("stream %r: its %s: %s", s.key, name, e)
                s.values[name] = {}
        if len(s.texts["attrs"]) > ATTRS_MAX or len(s.values["kinds"]) > KINDS_MAX:
            self.find("stream %r: %d bytes of attributes, %d kinds", s.key, len(s.texts["attrs"]), len(s.values["kinds"]))
        self._recount(s)
        self._rings(s)
        self._twins(s)
        self._digest(s)

    def _recount(self, s):
        times = [e.at for e in s.entries] or [0]
        got = (len(s.entries), sum(e.size for e in s.entries), min(times), max(times))
        if got != (s.count, s.bytes, s.first_at, s.last_at):
            self.find("stream %r: statistics %r, a recount gives %r", s.key, (s.count, s.bytes, s.first_at, s.last_at), got)
        kinds = {}
        for e in s.entries:
            kinds[e.kind] = kinds.get(e.kind, 0) + 1
        if {kind: int(count) for kind, count in s.values["kinds"].items()} != kinds:
            self.find("stream %r: kinds %r, a recount gives %r", s.key, s.values["kinds"], kinds)
        numbers = [e.n for e in s.entries]
        if len(set(numbers)) != len(numbers) or numbers and max(numbers) > s.last_n:
            self.find("stream %r: numbers %r and %d as the largest ever", s.key, numbers[-5:], s.last_n)
        own = [e.n for e in s.entries if not e.taken]
        if own != sorted(own):
            self.find("stream %r: numbers that were given here do not grow", s.key)
        places = [e.stamp if e.behind is None else e.behind for e in sorted(s.entries, key=lambda e: e.n)]
        if places != sorted(places):
            self.find("stream %r: stamps that were given here do not grow with numbers", s.key)
        known = [(e.stamp, e.site) for e in s.entries + s.twins]
        if len(set(known)) != len(known):
            self.find("stream %r: an entry is there twice", s.key)

    def _rings(self, s):
        of = {e.n: e for e in s.entries}
        for name, ring in s.values["rings"].items():
            numbers = []
            for item in ring if isinstance(ring, list) else [None]:
                entry = of.get(int(item["n"])) if isinstance(item, dict) and isinstance(item.get("n"), Number) else None
                if entry is None:
                    self.find("stream %r: its ring %r has %r, which is no entry", s.key, name, item)
                    continue
                numbers.append(entry.n)
                if item.get("body") != parse(entry.body):
                    self.find("stream %r: its ring %r has another body of %r", s.key, name, entry)
            if numbers != sorted(set(numbers)):
                self.find("stream %r: its ring %r is in no order: %r", s.key, name, numbers)

    def _twins(self, s):
        shown = {e.id: e for e in s.entries if e.id}
        for twin in s.twins:
            if not twin.id:
                self.find("%r: a twin without an id", twin)
            first = shown.get(twin.id)
            if first and (first.stamp, first.site) > (twin.stamp, twin.site):
                self.find("%r: it is kept aside and earlier than the one that is shown", twin)

    def _digest(self, s):
        attrs = self._json("attributes of %r" % s.key, s.texts["attrs"])
        if attrs is None or any(getattr(e, "value", None) is None for e in s.entries + s.twins):
            return
        if not s.entries and attrs == b"{}":
            return
        lines = [blake(attrs)]
        for e in sorted(s.entries + s.twins, key=lambda e: (e.stamp, e.site)):
            lines.append("%d %s %s %s %d %s %s" % (
                e.stamp, e.site, canonical(json.dumps(e.id.decode()).encode()).decode(), e.kind or "-", e.at, blake(e.value),
                self.attachments.get(e.attach) if e.attach else "-"))
        self.digests[s.key] = blake("".join(line + "\n" for line in lines).encode())

    # --- ids, attributes

    def _ids(self):
        noted = {}
        rows = "SELECT stream, id, n, hash, at FROM kf_entry_once UNION ALL SELECT stream, id, n, hash, at FROM kf_entry_once_new"
        for stream, id_, n, hash_, at in self.db.execute(rows):
            s = self.by_id.get(stream)
            if s is None and stream not in self.erasing:
                self.find("id %r: there is no stream %d", id_, stream)
            if not 1 <= len(id_) <= 255 or not PAYLOAD.match(hash_.decode()) or at < 0 or n < 1 or (s and n > s.last_n):
                self.find("id %r of stream %d: entry %d, hash %r, time %d", id_, stream, n, hash_, at)
            if (stream, id_) in noted:
                self.find("id %r of stream %d: it is noted twice", id_, stream)
            noted[stream, id_] = n
        for s in self.by_id.values():
            for e in s.entries:
                if e.id and noted.get((s.id, e.id)) != e.n:
                    self.find("%r: its id %r is noted for %r", e, e.id, noted.get((s.id, e.id)))

    def _members(self):
        held = {}
        for key, name, stamp, site, value in self.db.execute("SELECT key, name, stamp, site, value FROM kf_stream_member"):
            if stamp < 0 or not HEX16.match(site.decode()):
                self.find("member %r of %r: stamp %d, site %r", name, key, stamp, site)
            if value is not None:
                held.setdefault(key, {})[name.decode()] = value
        for key, members in held.items():
            if key not in self.by_key:
                self.find("members of %r, which is no stream: %r", key, sorted(members))
        for s in self.by_id.values():
            members = {}
            for name, value in held.get(s.key, {}).items():
                try:
                    members[name] = parse(value)
                except Bad as e:
                    self.find("member %r of %r: %s", name, s.key, e)
            if members != s.values["attrs"]:
                self.find("stream %r: attributes %r, members %r", s.key, s.values["attrs"], members)

    def _attributes(self):
        wanted = set()
        for s in self.by_id.values():
            for name, value in s.values["attrs"].items():
                text = "true" if value is True else "false" if value is False else value
                if isinstance(text, str) and len(text.encode()) <= VALUE_MAX and "\0" not in text and len(name.encode()) <= VALUE_MAX:
                    wanted.add((name.encode(), text.encode(), s.key, s.id))
        found = set(self.db.execute("SELECT name, value, key, stream FROM kf_stream_attr"))
        for row in sorted(wanted ^ found):
            self.find("attribute %r of %r: %s", row[0], row[2], "it is not found by its value" if row in wanted else "no stream has it")

    # --- what is gone

    def _erased(self):
        journal = {}
        for key, site, stamp, at, seq in self.db.execute("SELECT key, site, stamp, at, seq FROM kf_erased"):
            if not 0 <= seq <= self.seq_max or at < 0 or stamp < 0 or site and not HEX16.match(site.decode()):
                self.find("erased %r: site %r, stamp %d, time %d, number %d", key, site, stamp, at, seq)
            journal[key] = max(seq, journal.get(key, 0))
            s = self.by_key.get(key)
            for e in s.entries + s.twins if s and site else ():
                if e.site == site.decode() and e.stamp <= stamp:
                    self.find("%r of %r: it was erased", e, key)
        for key in set(self.noted) - set(self.by_key):
            if journal.get(key) != self.noted[key][0]:
                self.find("journal: the stream %r is not there, erased with %r", key, journal.get(key))
        for key in set(journal) - set(self.noted):
            self.find("erased %r: the journal does not have it", key)

    def _trimmed(self):
        for stream, site, stamp in self.db.execute("SELECT stream, site, stamp FROM kf_trimmed"):
            if stream not in self.by_id and stream not in self.erasing or stamp < 0 or not HEX16.match(site.decode()):
                self.find("trimmed: stream %d, site %r, stamp %d", stream, site, stamp)

    def _receipts(self):
        receipts = set()
        for id_, at, subject, *counts in self.db.execute("SELECT id, at, subject, streams, entries, attachments, bytes FROM kf_receipt"):
            receipts.add(id_)
            if not 0 < id_ <= self.seq_max or at < 0 or not HASH.match(subject.decode()) or min(counts) < 0:
                self.find("receipt %d: time %d, subject %r, counts %r", id_, at, subject, counts)
        for stream, receipt in self.erasing.items():
            if receipt and receipt not in receipts:
                self.find("erasing: stream %d has no receipt %d", stream, receipt)
            if stream in self.by_id:
                self.find("erasing: stream %d is there", stream)

    def _files(self):
        for remote, key, first, hash_, version, stamp, site, size, last_seq, entries in self.db.execute(
                "SELECT remote, key, first, hash, version, stamp, site, bytes, last_seq, entries FROM kf_remote_file"):
            good = HASH.match(hash_.decode()) and HEX16.match(site.decode()) and FILE_ENTRY.match(entries.decode())
            if not good or first < 0 or version < 1 or stamp < 0 or size < 0 or not 0 <= last_seq <= self.seq_max or name_fault(key):
                self.find("file %d of %r at %r: %r", first, key, remote, (hash_, version, stamp, site, size, last_seq))

    # --- words

    def _index(self):
        """How many rows of it are of entries that are no more. What of FTS5's own tables a stock SQLite can read is which rows there are,
        and of how many words."""
        indexed = self.db.execute("SELECT value FROM kf_meta WHERE key = 'indexed'").fetchone()
        indexed = int(indexed[0]) if indexed else 0
        if not 0 <= indexed <= self.seq_max:
            self.find("words: indexed up to %d", indexed)
        rows = {seq: varint(size) for seq, size in self.db.execute("SELECT id, sz FROM kf_search_docsize")}
        for seq, count in sorted(rows.items()):
            if seq > indexed:
                self.find("words: row %d is behind %d", seq, indexed)
            if self.words.get(seq, count) not in (count, None):
                self.find("words: row %d has %d, its entry %d", seq, count, self.words[seq])
        for seq, count in sorted(self.words.items()):
            if seq <= indexed and count and seq not in rows:
                self.find("words: the entry with number %d is not found by them", seq)
        there = {seq for seq, in self.db.execute("SELECT seq FROM kf_entry")}
        return len(set(rows) - there)


def varint(data):
    """The first one of SQLite's."""
    number = 0
    for byte in data[:8]:
        number = number << 7 | byte & 0x7f
        if byte < 0x80:
            return number
    raise Bad("no number: %r" % data)


SEPARATE = {"ł": "l", "ø": "o", "æ": "ae", "đ": "d", "ð": "d", "ß": "ss", "þ": "th", "œ": "oe", "ı": "i", "ħ": "h", "ŧ": "t"}


def strings(value):
    if isinstance(value, str) and not isinstance(value, Number):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)


def folded_words(body):
    """How many words an entry has, None where only the tables of another Unicode could say it: here are letters of Europe alone."""
    count, length = 0, 0
    for text in strings(parse(body)):
        word = 0
        for c in unicodedata.normalize("NFC", text):
            if ord(c) > 0x24f:
                return None
            kind = unicodedata.category(c)[0]
            if kind == "M" or c == "\xad":
                continue
            small = SEPARATE.get(c.lower()) or c
            if kind in "LN":
                count += word == 0
                word += len(small.encode())
            else:
                word = 0
        length += 2 * len(text.encode())
    return count if length < FOLDED_MAX else None
