#!/usr/bin/env python3
# test: timeout=120
"""What the checker knows of the file of what was told and is not in the tables yet: one that a killed program has left has no findings, and
every kind of damage is seen. The damage is done to bytes, whose sums are put right again, and with SQL, in a copy."""

import os
import shutil
import sqlite3
import struct
import sys
from contextlib import closing

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kfcheck  # noqa: E402
import kfredo  # noqa: E402
from keepfast import Server, folder  # noqa: E402
from tap import check, equal, main, test  # noqa: E402

TOP = folder()
GOOD = TOP / "good.db"
TAILS = ("", "-wal", "-redo")
APPENDS, LEAST = 9, 5  # of which so many must be ahead


def killed(data):
    """How many groups are ahead in what it leaves as GOOD."""
    with Server(data) as server:
        client = server.client()
        client.post("/streams/chat/a/entries", {"id": "m0", "body": 0})
        client.get("/streams/chat/a/entries")
        for n in range(1, APPENDS):
            client.post("/streams/chat/a/entries", {"id": f"m{n}", "body": {"n": n}, "attach": {"v": n % 2}})
        server.kill()
    for tail in TAILS:
        shutil.copyfile(f"{data}/default.db{tail}", f"{GOOD}{tail}")
    return kfcheck.check_store(str(GOOD))


@test
def what_a_killed_program_leaves_has_no_findings():
    for n in range(20):  # who is slow to be killed has placed it
        report = killed(TOP / f"data{n}")
        equal(report.findings, [], "findings")
        if report.counts["ahead"] >= LEAST:
            break
    check(report.counts["ahead"] >= LEAST, f"{report.counts}")


def copied():
    copy = TOP / "copy.db"
    for tail in TAILS:
        shutil.copyfile(f"{GOOD}{tail}", f"{copy}{tail}")
    return copy


def records(data):
    """Where those that are ahead begin."""
    with closing(sqlite3.connect(copied())) as db:
        (seq,) = db.execute("SELECT seq FROM kf_state").fetchone()
    at, found = kfredo.HEAD, []
    while group := kfredo._group(data, at, bytes(data[8:24])):
        if group[0].last > seq:
            found.append(at)
        at = group[1]
    return found


def summed(data, at):
    """Its sum is right again."""
    (size,) = struct.unpack_from("<I", data, at + 4)
    end = at + kfredo.RECORD + size
    data[at + 56:at + 72] = kfredo._sum(bytes(data[8:24]), bytes(data[at:at + 56]), bytes(data[at + 72:end]))


PART = kfredo.RECORD + 8  # of a record: its first entry


def add(offset, by):
    def change(data, at):
        (value,) = struct.unpack_from("<q", data, at + offset)
        struct.pack_into("<q", data, at + offset, value + by)
        summed(data, at)
    return change


def text(old, new):
    """Of as many bytes, in the record."""
    def change(data, at):
        where = data.index(old, at)
        data[where:where + len(old)] = new
        summed(data, at)
    return change


def flip(offset):
    def change(data, at):
        data[at + offset] ^= 1
    return change


# what, which of those that are ahead, how, what is found
DAMAGE = (
    ("a record that is lost", 1, flip(100), "stands behind one that cannot be read"),
    ("the first is lost", 0, flip(100), "stands behind one that cannot be read"),
    ("one without its magic", 2, flip(0), "stands behind one that cannot be read"),
    ("one that begins elsewhere", 1, add(16, -1), "another number of parts"),
    ("numbers that leave one out", 1, lambda data, at: (add(16, 1)(data, at), add(24, 1)(data, at)), "goes on at"),
    ("a number in the stream that is none", 1, add(PART + 16, 1), "which is at"),
    ("the same number again", 1, add(PART + 16, -1), "which is at"),
    ("an entry of another stream", 1, add(PART + 8, 1), "is of stream"),
    ("a key of another stream", 1, text(b"chat/a", b"chat/b"), "is of stream"),
    ("a stamp that falls", 1, add(PART, -(1 << 40)), "has the stamp"),
    ("a stamp beyond the group's", 1, add(PART, 1 << 40), "has the stamp"),
    ("another body", 1, text(b'{"n":', b'{"m":'), "a hash of an entry"),
    ("a text that is cut off", 1, text(b"chat/a\0", b"chat/ab"), "cut off"),
)


@test
def damage_of_the_file_is_found():
    for what, which, change, finding in DAMAGE:
        copy = copied()
        data = bytearray((TOP / "good.db-redo").read_bytes())
        change(data, records(data)[which])
        (TOP / "copy.db-redo").write_bytes(data)
        findings = kfcheck.check_store(str(copy)).findings
        check(any(finding in one for one in findings), f"{what}: {findings}")


@test
def an_id_that_was_told_twice_is_found():
    data = bytearray((TOP / "good.db-redo").read_bytes())
    at = records(data)
    first = kfredo._group(data, at[0], bytes(data[8:24]))[0].entries[0].id
    second = kfredo._group(data, at[1], bytes(data[8:24]))[0].entries[0].id
    text(second + b"\0", first + b"\0")(data, at[1])
    copy = copied()
    (TOP / "copy.db-redo").write_bytes(data)
    findings = kfcheck.check_store(str(copy)).findings
    check(any("which is taken" in one for one in findings), f"{findings}")


@test
def tables_that_do_not_fit_are_found():
    for what, sql, finding in (
        ("an id that the store has", "INSERT INTO kf_entry_once SELECT id, 'm8', 1, '', 0 FROM kf_stream", "which is taken"),
        ("a stream that is further", "UPDATE kf_stream SET last_n = last_n + 1", "which is at"),
        ("a stream that is gone", "DELETE FROM kf_stream", "is of stream"),
        ("a stream of another name", "UPDATE kf_stream SET key = 'chat/b'", "is of stream"),
        ("a clock that is ahead", "UPDATE kf_state SET stamp = stamp + (1 << 40)", "has the stamp"),
    ):
        copy = copied()
        with closing(sqlite3.connect(copy)) as db:
            db.execute(sql)
            db.commit()
        findings = [one for one in kfcheck.check_store(str(copy)).findings if one.startswith("redo:")]
        check(any(finding in one for one in findings), f"{what}: {findings}")


@test
def what_was_cut_off_is_no_finding():
    data = bytearray((TOP / "good.db-redo").read_bytes())
    before = kfcheck.check_store(str(GOOD)).counts["ahead"]
    flip(100)(data, records(data)[-1])
    copy = copied()
    (TOP / "copy.db-redo").write_bytes(data)
    report = kfcheck.check_store(str(copy))
    equal(report.findings, [], "findings")
    equal(report.counts["ahead"], before - 1, "one less is ahead")


@test
def a_file_that_is_gone_is_found():
    copy = copied()
    os.remove(f"{copy}-redo")
    check(any("there is none" in one for one in kfcheck.check_store(str(copy)).findings), "kf_meta knows it")


main()
