"""An independent reader of everything Keepfast writes: it trusts no line of Keepfast's own code.

    python3 kfcheck.py [--same] [--json] KIND:PATH ...

    store:FILE.db    a store file (a copy is read, through the stock sqlite3 module)
    dir:FOLDER       a `dir` remote
    zip:FILE         a backup
    files:FOLDER     plain files, whose names below the folder are the names of documents

Prints one line per place: its digest, what it holds and every finding. Ends with 0, or with 1 when
there was a finding or, with --same, when the digests differ; 2 for a wrong call.

Written from docs/formats.md with the standard library of Python 3.11 alone. As a module:
`check_store`, `check_dir`, `check_zip` and `check_files` give a Report, `canonical` and `digest`
are the definitions. In a Report `docs` are the current documents and `findings` is empty when all
is well.
"""

import argparse
import json
import os
import re
import shutil
import sqlite3
import sys
import tempfile
import zipfile
from contextlib import closing
from dataclasses import dataclass, field

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kfformat import HASH, HEX16, Bad, Number, blake, canonical, canonical_number, digest, line_string, name_fault, parse  # noqa: E402,F401
import kfredo  # noqa: E402
from kfparts import STREAM_FILES, StreamFiles, read_stream_file, stream_file  # noqa: E402,F401
from kfstreams import Streams  # noqa: E402

APPLICATION_ID = 0x4B706674
FORMAT = 1
CAUSES = {"change", "schedule", "asked", "hydration"}
RUNS_MAX = ASIDE_MAX = 1000
ASIDE_KINDS = {"damaged", "withheld", "held_back", "refused", "at_place"}
KINDS = {"put", "patch", "delete", "revert", "merge", "loser"}
WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")

# --- names in paths

PIECE = 200
PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-. !#$&'()+,;=@[]^`{}")
DEVICE = re.compile(rb"(con|prn|aux|nul|com[0-9]|lpt[0-9]|conin\$|conout\$) *(\.|\Z)")
DEVICE_CUT = re.compile(DEVICE.pattern.replace(rb"|\Z", b""))    # what follows is behind the cut
OBJECT_FILE = re.compile(rb"[0-9a-f]{64}\.(nd)?json\Z")


def cut_segment(segment):
    """Its pieces: a segment over 200 bytes, escapes counted, is cut before the byte that passes them."""
    pieces, length = [b""], 0
    for byte in segment:
        size = 1 if byte in PLAIN else 3
        if length + size > PIECE:
            pieces.append(b"")
            length = 0
        pieces[-1] += bytes([byte])
        length += size
    return pieces


def map_piece(piece, last):
    out = b""
    taken = DEVICE.match(piece if last else piece + b"%~") or last and OBJECT_FILE.match(piece)
    for i, byte in enumerate(piece):
        plain = byte in PLAIN
        if i == 0 and (byte in b".- " or taken):
            plain = False
        if last and i == len(piece) - 1 and byte in b". ":
            plain = False
        out += bytes([byte]) if plain else b"%%%02X" % byte
    return out


def map_segment(segment):
    """One segment of a name as it stands in a path: plain ASCII without capitals."""
    *before, last = cut_segment(segment)
    return b"".join(map_piece(piece, False) + b"%~/" for piece in before) + map_piece(last, True)


def path_of_name(name):
    return b"/".join(map_segment(segment) for segment in name.split(b"/"))


def name_of_path(path, stream=False):
    """The way back, to a document's name or that of a stream's file; Bad for a path that no name has."""
    joined = path.replace(b"%~/", b"")
    name = re.sub(rb"%([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), joined)
    file = STREAM_FILES + name + b".ndjson"
    if path_of_name(name) != path or (not stream_file(file) if stream else name_fault(name)):
        raise Bad("no name has the path %r" % path)
    return file if stream else name


def object_path(name, hash_):
    if name.startswith(STREAM_FILES):
        return b"streams/" + path_of_name(name[len(STREAM_FILES):-len(b".ndjson")]) + b"/" + hash_.encode() + b".ndjson"
    return b"docs/" + path_of_name(name) + b"/" + hash_.encode() + b".json"

# --- names in git

# Letters beyond ASCII that stay in a plain path: first and last of each run.
GIT_LETTERS = """
    00C0-00D6 00D8-00F6 00F8-0131 0134-013E 0141-0148 014A-017E 0180-01BF 01CD-01F0 01F4-0220 0222-0233 0250-02AD
    0386-0386 0388-038A 038C-038C 038E-03A1 03A3-03CE
    0400-0481 048A-04CE 04D0-04F5 04F8-04F9 0500-050F
    05D0-05EA 0621-063A 0641-064A 0671-0673 0679-06D3 06D5-06D5
    1E00-1E99 1EA0-1EF9
    3005-3007 3041-3096 309D-309E 30A1-30FA 30FC-30FE 3400-4DB5 4E00-9FA5 AC00-D7A3
"""
GIT_PLAIN = frozenset(
    chr(code)
    for run in GIT_LETTERS.split() + ["0041-005A"]
    for code in range(int(run[:4], 16), int(run[5:], 16) + 1)
) | frozenset(map(chr, PLAIN))
GIT_DEVICE = re.compile(DEVICE.pattern, re.I)
GIT_DEVICE_CUT = re.compile(DEVICE_CUT.pattern, re.I)


def _git_escape(text):
    return "".join("%%%02X" % byte for byte in text.encode())


def _git_piece(piece, last):
    raw = piece.encode()
    taken = (GIT_DEVICE if last else GIT_DEVICE_CUT).match(raw)
    shown = [c if c in GIT_PLAIN else _git_escape(c) for c in piece]
    if piece[0] in ".- " or taken:
        shown[0] = _git_escape(piece[0])
    if last and piece[-1] in ". ":
        shown[-1] = _git_escape(piece[-1])
    return "".join(shown)


def _git_segment(segment):
    pieces, length = [""], 0
    for c in segment:
        size = len(c.encode()) * (1 if c in GIT_PLAIN else 3)
        if length + size > PIECE:
            pieces.append("")
            length = 0
        pieces[-1] += c
        length += size
    return "".join(_git_piece(piece, False) + "%~/" for piece in pieces[:-1]) + _git_piece(pieces[-1], True)


def git_plain(name):
    return "/".join(map(_git_segment, name.decode().split("/"))).encode()


def git_apart(name):
    return b"%~" + map_segment(name)


def git_name(path):
    """The name that has this path in one of its forms; Bad for a path that no name has."""
    apart = path.startswith(b"%~")
    joined = (path[2:] if apart else path).replace(b"%~/", b"")
    name = re.sub(rb"%([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), joined)
    if name_fault(name) or (git_apart if apart else git_plain)(name) != path:
        raise Bad("no name has the path %r in git" % path)
    return name


# --- what a check gives

@dataclass
class Report:
    place: str
    docs: dict = field(default_factory=dict)        # name: body, both bytes; current documents
    versions: dict = field(default_factory=dict)    # name: version number of the current document
    deleted: set = field(default_factory=set)
    streams: dict = field(default_factory=dict)     # key as bytes: hash of what the stream says, as in a digest
    counts: dict = field(default_factory=dict)
    findings: list = field(default_factory=list)

    def find(self, text, *args):
        self.findings.append(text % args if args else text)

    def body_fault(self, name, body, hash_, size):
        """Checks a body against what was noted of it; True when it may be used."""
        if blake(body) != hash_:
            self.find("%r: its hash is %s, noted is %s", name, blake(body), hash_)
            return False
        if len(body) != size:
            self.find("%r: it has %d bytes, noted are %s", name, len(body), size)
        try:
            canonical(body)
        except Bad as e:
            self.find("%r: %s", name, e)
            return False
        return True

    @property
    def digest(self):
        return digest(self.docs, self.streams)

    def summary(self):
        return {"place": self.place, "digest": self.digest, "docs": len(self.docs),
                "bytes": sum(len(body) for body in self.docs.values()), "deleted": len(self.deleted),
                **self.counts, "findings": self.findings}


# --- a store file

def copy_store(path, folder):
    """The file and its write-ahead log, so that looking changes nothing in the original."""
    copy = os.path.join(folder, "store.db")
    shutil.copyfile(path, copy)
    if os.path.exists(path + "-wal"):
        shutil.copyfile(path + "-wal", copy + "-wal")
    return copy


def check_store(path):
    """The store must not be written to meanwhile: stopped, killed, or itself a copy."""
    report = Report("store:" + path)
    with tempfile.TemporaryDirectory() as folder:
        with closing(sqlite3.connect(copy_store(path, folder))) as db:
            db.text_factory = bytes
            try:
                db.execute("PRAGMA query_only=1")
                _check_engine(db, report)
                _check_tables(db, report)
                _check_redo(db, report, path + "-redo")
            except sqlite3.Error as e:
                report.find("SQLite: %s", e)
    return report


def _check_engine(db, report):
    for pragma, want in (("application_id", APPLICATION_ID), ("user_version", FORMAT)):
        got = db.execute("PRAGMA " + pragma).fetchone()[0]
        if got != want:
            report.find("%s is %#x, should be %#x", pragma, got, want)
    for row in db.execute("PRAGMA integrity_check"):
        if row[0] != b"ok":
            report.find("integrity_check: %s", row[0].decode("utf-8", "replace"))
    for row in db.execute("PRAGMA foreign_key_check"):
        report.find("foreign_key_check: %r", row)


def _check_redo(db, report, path):
    """What was told and is only there: `ahead` counts its groups. The tables are as they were before them."""
    known = dict(db.execute("SELECT key, value FROM kf_meta WHERE key = 'redo'"))
    (seq,) = db.execute("SELECT seq FROM kf_state").fetchone()
    report.counts["ahead"] = len(kfredo.check(report, path, known.get(b"redo", b""), seq, db))


def _check_tables(db, report):
    state = db.execute("SELECT seq FROM kf_state").fetchall()
    if len(state) != 1:
        report.find("kf_state has %d rows", len(state))
        return
    seq_max = state[0][0]

    usable, size_of = {}, {}
    rows = "SELECT seq, name, version, stamp, site, at, kind, size, hash, body FROM kf_doc_version"
    count = 0
    for seq, name, version, stamp, site, at, kind, size, hash_, body in db.execute(rows):
        count += 1
        hash_ = hash_.decode()
        if name_fault(name):
            report.find("%r: the name %s", name, name_fault(name))
        if not 0 < seq <= seq_max:
            report.find("%r: number %d is not in 1 to %d", name, seq, seq_max)
        if not HEX16.match(site.decode()):
            report.find("%r: site %r", name, site)
        if version < 1 or at < 0 or kind.decode() not in KINDS:
            report.find("%r: version %d, time %d, kind %r", name, version, at, kind)
        good = True
        if body is None:
            if hash_ or size:
                report.find("%r: a deletion with hash %r and size %d", name, hash_, size)
        else:
            good = report.body_fault(name, body, hash_, size)
        usable[seq] = (name, version, stamp, site, at, size, hash_), body, good
        size_of[seq] = size

    heads = {}
    rows = "SELECT name, version, stamp, site, at, size, hash, seq, deleted FROM kf_doc"
    for *head, seq, deleted in db.execute(rows):
        name = head[0]
        heads[name] = (seq, head[2], head[3])
        row, body, good = usable.get(seq, (None, None, False))
        head[6] = head[6].decode()
        if row is None:
            report.find("%r: no version has its number %d", name, seq)
        elif row != tuple(head):
            report.find("%r: head %r and version %r differ", name, tuple(head), row)
        elif deleted != (body is None):
            report.find("%r: deleted is %d, its version says otherwise", name, deleted)
        elif deleted:
            report.deleted.add(name)
        elif good and not name_fault(name):
            report.docs[name] = body
            report.versions[name] = head[1]

    for (name, version, stamp, *_), _, _ in usable.values():
        if name not in heads:
            report.find("%r: has versions and no head", name)
        elif stamp > heads[name][1]:
            report.find("%r: version %d is later than the document", name, version)

    journal = {}
    for seq, table, key, stamp, site in db.execute("SELECT seq, tbl, key, stamp, site FROM kf_journal"):
        if not 0 < seq <= seq_max:
            report.find("journal: number %d is not in 1 to %d", seq, seq_max)
        if (table, key) in journal:
            report.find("journal: %r stands twice", key)
        journal[table, key] = (seq, stamp, site)
    tables = {table for table, _ in journal}
    noted = {key: row for (table, key), row in journal.items() if table == b"doc"}
    for name in sorted(set(heads) | set(noted)):
        if heads.get(name) != noted.get(name):
            report.find("%r: head %r, journal %r", name, heads.get(name), noted.get(name))
    for name, watermark in db.execute("SELECT name, watermark FROM kf_remote"):
        if not 0 <= watermark <= seq_max:
            report.find("remote %r: watermark %d is beyond %d", name, watermark, seq_max)
    _check_runs(db, report)
    _check_aside(db, report)
    report.counts = {"versions": count, "seq": seq_max, "journal": len(journal),
                     "journal_tables": sorted(t.decode() for t in tables)}
    streams = Streams(db, report.find, seq_max, journal)
    try:
        report.counts.update(streams.check())
    except (Bad, ValueError, TypeError, AttributeError) as e:
        report.find("streams: what is damaged cannot be gone through: %r", e)
    report.streams = streams.digests


def _check_runs(db, report):
    rows = ("SELECT id, began, ended, cause, code, message, times, tries, pushed_docs, pushed_entries, pushed_files, pushed_bytes,"
            " taken_docs, taken_entries, taken_bytes, lost, bad, aside FROM kf_run")
    for number, began, ended, cause, code, message, times, *counts in db.execute(rows):
        if cause.decode() not in CAUSES:
            report.find("run %d: the cause %r", number, cause)
        if ended < began:
            report.find("run %d: it ended before it began", number)
        if (code == b"") != (message == b""):
            report.find("run %d: code %r, message %r", number, code, message)
        if times < 1 or min(counts) < 0 or (times > 1 and (code == b"" or any(counts[1:-2]))):
            report.find("run %d: %d times, counts %r", number, times, counts)
    for remote, count in db.execute("SELECT remote, count(*) FROM kf_run GROUP BY remote"):
        if count > RUNS_MAX:
            report.find("remote %r: %d runs in the log", remote, count)


def _check_aside(db, report):
    for remote, kind, name, since, code, reason, seq in db.execute("SELECT remote, kind, name, since, code, reason, seq FROM kf_aside"):
        if kind.decode() not in ASIDE_KINDS:
            report.find("set aside %r: the kind %r", name, kind)
        if not name or since <= 0 or not code or not reason:
            report.find("set aside %r: since %d, code %r, reason %r", name, since, code, reason)
        if (seq > 0) != (kind.decode() in ("damaged", "withheld")):
            report.find("set aside %r: the number %d of kind %r", name, seq, kind)
    for remote, count in db.execute("SELECT remote, count(*) FROM kf_aside GROUP BY remote"):
        if count > ASIDE_MAX:
            report.find("remote %r: %d items set aside", remote, count)
    for remote, more in db.execute("SELECT name, aside_more FROM kf_remote WHERE aside_more < 0"):
        report.find("remote %r: %d more set aside", remote, more)


# --- the portable form: a `dir` remote and a backup

class FolderFiles:
    """{path: bytes} of a folder, read when asked for."""

    def __init__(self, root):
        self._root = os.fsencode(root)
        self.duplicates = []

    def paths(self):
        for folder, _, names in os.walk(self._root):
            for name in names:
                yield os.path.relpath(os.path.join(folder, name), self._root)

    def read(self, path):
        try:
            with open(os.path.join(self._root, path), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return None


class ZipFiles:
    def __init__(self, archive):
        self._archive = archive
        self._entries, self.duplicates = {}, []
        for info in archive.infolist():
            path = self._raw_name(info)
            if path in self._entries:
                self.duplicates.append(path)
            if not info.is_dir():
                self._entries[path] = info

    @staticmethod
    def _raw_name(info):
        # Bit 11 says that the name is UTF-8; without it zipfile has taken it for code page 437.
        return info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")

    def paths(self):
        return list(self._entries)

    def read(self, path):
        if path not in self._entries:
            return None
        return self._archive.read(self._entries[path])    # checks the CRC


MANIFEST = b"manifest.ndjson"
# The members of each kind of line, in their order.
LINES = (
    ("keepfast", "format", "holds", "site", "push", "seq", "stamp", "at"),
    ("seen", "seq"),
    ("doc", "version", "stamp", "site", "at", "size", "hash"),
    ("doc", "version", "stamp", "site", "at", "deleted"),
    ("past", "version", "stamp", "site", "at", "kind", "size", "hash"),
    ("past", "version", "stamp", "site", "at", "kind", "deleted"),
    ("retired", "at"),
    ("end", "hash"),
)
PLACES = {"keepfast": 0, "seen": 1, "doc": 2, "past": 2, "retired": 3}


def check_dir(path):
    report = Report("dir:" + path)
    _check_portable(FolderFiles(path), report)
    return report


def check_zip(path):
    report = Report("zip:" + path)
    try:
        with zipfile.ZipFile(path) as archive:
            files = ZipFiles(archive)
            for name in files.duplicates:
                report.find("entry %r stands twice", name)
            _check_portable(files, report)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, OSError) as e:
        report.find("ZIP: %s", e)
    return report


def _check_portable(files, report):
    text = files.read(MANIFEST)
    if text is None:
        report.find("there is no manifest")
        return
    try:
        entries = read_manifest(text)
    except Bad as e:
        report.find("manifest: %s", e)
        return
    head = entries[0]
    report.counts = {"holds": head["holds"], "seq": int(head["seq"]), "versions": 0, "loose": 0,
                     "cut_writes": 0}
    named = set()
    streams = StreamFiles(report)
    for entry in entries:
        if "doc" in entry or "past" in entry:
            report.counts["versions"] += 1
            _check_object(files, entry, report, named, streams)
    streams.end()
    retired = {entry["retired"].encode() for entry in entries if "retired" in entry}
    for path in retired & named:
        report.find("%r is retired and named", path)
    _check_rest(files, named, report)


def _check_object(files, entry, report, named, streams):
    """What a line of the manifest names must be there, whole."""
    name = entry.get("doc", entry.get("past")).encode()
    current = "doc" in entry
    if entry.get("deleted"):
        if current and not name.startswith(STREAM_FILES):
            report.deleted.add(name)
        return
    path = object_path(name, entry["hash"])
    named.add(path)
    body = files.read(path)
    if body is None:
        report.find("%r: %r is not there", name, path)
    elif name.startswith(STREAM_FILES):
        if blake(body) != entry["hash"] or len(body) != int(entry["size"]):
            report.find("%r: its hash is %s, noted is %s", name, blake(body), entry["hash"])
        elif "past" in entry:
            report.find("%r: a file of a stream has no past", name)
        else:
            streams.add(name, body)
    elif report.body_fault(name, body, entry["hash"], int(entry["size"])) and current:
        report.docs[name] = body
        report.versions[name] = int(entry["version"])


def _check_rest(files, named, report):
    """What the manifest does not name may lie there (a push that was cut, a version retired), but
    whole: the next push finds it there and does not write it again."""
    for path in files.paths():
        if path in named or path in (MANIFEST, b"lock"):
            continue
        if path.split(b"/")[-1].startswith(b".tmp-"):
            report.counts["cut_writes"] += 1
            continue
        match = OBJECT.match(path)
        if not match:
            report.find("%r is no file of Keepfast's", path)
            continue
        report.counts["loose"] += 1
        if not _object_named(match):
            report.find("%r: no name has this path", path)
        if blake(files.read(path)) != match[3].decode():
            report.find("%r: its content is not what its name says", path)


def read_manifest(text):
    """Its lines as objects, the end checked and left out. Bad for the first fault."""
    if not text.endswith(b"\n"):
        raise Bad("its last line is cut")
    lines = text[:-1].split(b"\n")
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entry = parse(line)
            if not isinstance(entry, dict):
                raise Bad("no object")
            _check_line(entry, line, first=number == 1, last=number == len(lines))
        except Bad as e:
            raise Bad("line %d: %s" % (number, e)) from None
        entries.append(entry)
    end = entries.pop()
    if int(end["end"]) != len(entries):
        raise Bad("its end counts %s lines, there are %d" % (end["end"], len(entries)))
    if end["hash"] != blake(text[:len(text) - 1 - len(lines[-1])]):
        raise Bad("its hash is wrong")
    _check_order(entries)
    return entries


def _check_line(entry, text, first, last):
    if first != ("keepfast" in entry) or last != ("end" in entry):
        raise Bad("head and end are not where they belong")
    if tuple(entry) not in LINES:
        raise Bad("members %s" % list(entry))
    if entry.get("keepfast", "manifest") != "manifest":
        raise Bad("not a manifest of Keepfast")
    for member, value in entry.items():
        if not _member_good(member, value):
            raise Bad("%s: %r" % (member, value))
    if _line_text(entry) != text:
        raise Bad("it is not in its one form")


def _line_text(entry):
    def value_text(value):
        if value is True:
            return "true"
        return str(value) if isinstance(value, Number) else line_string(value)

    return ("{" + ",".join('"%s":%s' % (member, value_text(value)) for member, value in entry.items())
            + "}").encode("utf-8")


def _member_good(member, value):
    if member == "format":
        return value == Number(FORMAT) and isinstance(value, Number)
    if member == "holds":
        return value in ("state", "backup", "pending")
    if member in ("push", "seq", "version", "size", "end"):
        return isinstance(value, Number) and value.isdigit() and int(value) < 2**63
    if member == "deleted":
        return value is True
    if not isinstance(value, str) or isinstance(value, Number):
        return False
    if member == "hash":
        return bool(HASH.match(value))
    if member in ("site", "seen", "stamp"):
        return bool(HEX16.match(value)) and (member != "stamp" or value < "8")
    if member == "kind":
        return value in KINDS
    if member == "at":
        return bool(WHEN.match(value))
    if member in ("doc", "past"):
        try:
            name = value.encode("utf-8")
        except UnicodeEncodeError:
            return False
        return bool(stream_file(name)) if name.startswith(STREAM_FILES) else not name_fault(name)
    if member == "retired":
        return _object_good(value)
    return True    # keepfast: compared above


OBJECT = re.compile(rb"(docs|streams)/(.+)/([0-9a-f]{64})\.(?:nd)?json\Z", re.S)


def _object_named(match):
    """Whether a name has the path of an object."""
    try:
        name = name_of_path(match[2], match[1] == b"streams")
    except Bad:
        return False
    return match[0] == object_path(name, match[3].decode())


def _object_good(path):
    match = OBJECT.match(path.encode("utf-8", "surrogatepass"))
    return bool(match and _object_named(match))


def _check_order(entries):
    """Head; `seen` by site; documents by name as bytes, each with its past from the newest; retired."""
    previous = None
    for entry in entries:
        kind = next(iter(entry))
        key = (PLACES[kind], b"" if kind == "keepfast" else entry[kind].encode())
        key += (-int(entry["version"]) if kind == "past" else -2**63,)
        if previous is not None and key <= previous:
            raise Bad("%r is out of order" % entry[kind])
        if kind == "past" and previous[:2] != key[:2]:
            raise Bad("%r has a past and no present" % entry[kind])
        previous = key
    if entries[0]["holds"] != "backup" and any("past" in entry for entry in entries):
        raise Bad("older versions in what is no backup")


# --- plain files

def check_files(place, docs=None):
    """A folder, or a mapping {name: body} of bytes."""
    if docs is None:
        files = FolderFiles(place)
        docs = {path: files.read(path) for path in files.paths()}
    report = Report("files:" + place)
    for name, body in docs.items():
        if name_fault(name):
            report.find("%r: the name %s", name, name_fault(name))
        elif report.body_fault(name, body, blake(body), len(body)):
            report.docs[name] = body
    return report


# --- command line

CHECKS = {"store": check_store, "dir": check_dir, "zip": check_zip, "files": check_files}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--same", action="store_true", help="all digests must be equal")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("places", nargs="+", metavar="KIND:PATH")
    options = parser.parse_args(arguments)
    for place in options.places:
        kind, colon, path = place.partition(":")
        if kind not in CHECKS or not colon:
            parser.error("%s: the kinds are %s" % (place, ", ".join(CHECKS)))
        if not os.path.exists(path):
            parser.error("%s is not there" % path)
    reports = []
    for place in options.places:
        kind, _, path = place.partition(":")
        report = CHECKS[kind](path)
        reports.append(report)
        if options.json:
            print(json.dumps(report.summary()))
            continue
        print("%s  %s  %d documents" % (report.digest, place, len(report.docs)))
        for finding in report.findings:
            print("    " + finding)
    failed = any(report.findings for report in reports)
    if options.same and len({report.digest for report in reports}) > 1:
        print("the digests differ", file=sys.stderr)
        failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
