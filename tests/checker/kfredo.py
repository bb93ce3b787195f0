"""The redo file of a store (docs/formats.md, "Redo"): what was told and is not in the tables yet."""

import hashlib
import os
import sys
import struct
from dataclasses import dataclass

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kfformat import blake  # noqa: E402

MAGIC, HEAD, RECORD, ALIGN = 0x3152464B, 64, 88, 64
NONE = 0xFFFFFFFF


@dataclass
class Append:
    """One entry."""

    stamp: int
    stream: int
    n: int
    at: int
    key: bytes
    id: bytes
    kind: bytes
    body: bytes
    hash: bytes
    attach: bytes | None
    attach_hash: bytes
    asked: bytes


@dataclass
class Group:
    cycle: int
    first: int
    last: int
    at_ms: int
    stamp: int
    site: bytes
    entries: list


def _sum(*parts):
    return hashlib.blake2b(b"".join(parts), digest_size=32).digest()[:16]


def _padded(size, to):
    return (size + to - 1) // to * to


def _append(write):
    fields = struct.unpack_from("<4q8I", write)
    numbers, texts, at = fields[:4], [], 64
    for size in fields[4:]:
        size_there = 0 if size == NONE else size
        text = write[at:at + size_there]
        if len(text) != size_there or write[at + size_there:at + size_there + 1] != b"\0":
            raise ValueError("a text of a write is cut off")
        texts.append(None if size == NONE else text)
        at += size_there + 1
    if at != len(write):
        raise ValueError("a write has more than its texts")
    entry = Append(*numbers, *texts)
    if blake(entry.body).encode() != entry.hash or entry.attach is not None and blake(entry.attach).encode() != entry.attach_hash:
        raise ValueError("a hash of an entry is not that of its body")
    return entry


def _group(data, at, key):
    """(group, where it ends), or None where no whole record stands."""
    if at + RECORD > len(data):
        return None
    magic, size, cycle, first, last, at_ms, stands, stamp = struct.unpack_from("<IIQqqqqq", data, at)
    end = at + RECORD + size
    if magic != MAGIC or stands != at or end > len(data) or \
            _sum(key, data[at:at + 56], data[at + 72:end]) != data[at + 56:at + 72]:
        return None
    entries, w = [], at + RECORD
    while w < end:
        (length,) = struct.unpack_from("<I", data, w)
        entries.append(_append(data[w + 8:w + 8 + length]))
        w += 8 + _padded(length, 8)
    if w != end:
        raise ValueError("the parts of a record do not fill it")
    if len(entries) != last - first:
        raise ValueError("a record has another number of parts than it takes numbers")
    return Group(cycle, first, last, at_ms, stamp, data[at + 72:at + 88], entries), at + _padded(RECORD + size, ALIGN)


def read(path):
    """(key in hex, groups of the cycle that counts, whole groups that stand anywhere behind them). ValueError says what is wrong with
    the file."""
    with open(path, "rb") as f:
        data = f.read()
    key = data[8:24]
    if data[:8] != b"KFREDO 1" or data[24:40] != _sum(key, data[:8]):
        raise ValueError("the file does not begin as one")
    groups, at = [], HEAD
    while found := _group(data, at, key):
        group, end = found
        if groups and group.cycle != groups[0].cycle:
            break
        groups.append(group)
        at = end
    behind = [found[0] for place in range(at, len(data), ALIGN) if (found := _group(data, place, key))]
    return key.hex(), groups, behind


def _check_entry(report, db, seq, entry, heads, ids):
    """As the next one of its stream. heads: the last number of each; ids: those that were seen here."""
    row = db.execute("SELECT key, last_n FROM kf_stream WHERE id = ?", (entry.stream,)).fetchone()
    if row is None or bytes(row[0]) != entry.key:
        report.find("redo: %d is of stream %d with the key %r, and there is %r", seq, entry.stream, entry.key, row)
        return
    last = heads.get(entry.stream, row[1])
    if entry.n != last + 1:
        report.find("redo: %d is entry %d of %r, which is at %d", seq, entry.n, entry.key, last)
    heads[entry.stream] = entry.n
    if not entry.id:
        return
    name = entry.id.decode("utf-8", "replace")
    key = (entry.stream, name)
    there = any(db.execute(f"SELECT n FROM {table} WHERE stream = ? AND id = ?", key).fetchone() for table in ("kf_entry_once", "kf_entry_once_new"))
    if there or (entry.stream, entry.id) in ids:
        report.find("redo: %d has the id %r of %r, which is taken", seq, entry.id, entry.key)
    if not entry.asked:
        report.find("redo: %d has an id, and nothing of what was asked with it", seq)
    ids.add((entry.stream, entry.id))


def _check_ahead(report, db, ahead):
    """Each of their entries can be put into the tables, in their order."""
    heads, ids = {}, set()
    (stamp,) = db.execute("SELECT stamp FROM kf_state").fetchone()
    for group in ahead:
        for seq, entry in enumerate(group.entries, group.first + 1):
            if not stamp < entry.stamp <= group.stamp:
                report.find("redo: %d has the stamp %d, behind %d, in a group that ends at %d", seq, entry.stamp, stamp, group.stamp)
            stamp = max(stamp, entry.stamp)
            _check_entry(report, db, seq, entry, heads, ids)


def check(report, path, known_key, seq, db):
    """Beside the store whose kf_meta and kf_state are known. Returns the groups that are ahead of it."""
    if not os.path.exists(path):
        if known_key:
            report.find("kf_meta knows the redo file %s, and there is none", known_key.decode())
        return []
    try:
        key, groups, behind = read(path)
    except (ValueError, struct.error) as e:
        report.find("redo: %s", e)
        return []
    if key.encode() != known_key:
        return []  # of another database: Keepfast sets it aside, or removes it
    ahead = [g for g in groups if g.last > seq]
    for group in ahead:
        if group.first != seq:
            report.find("redo: a group goes on at %d, the one before ended at %d", group.first, seq)
        seq = group.last
    for group in behind:
        if group.last > seq:
            report.find("redo: the group from %d to %d stands behind one that cannot be read", group.first, group.last)
    _check_ahead(report, db, ahead)
    return ahead
