"""What tests/crash/stream_writer.c confirms of its streams, and the judgement of what a store holds after its death. Not a test itself."""

import os
import re
import sqlite3
import subprocess
import threading
from contextlib import closing

from crash import Loss, copy_of, kfcheck
from keepfast import run
from tap import equal

WRITER = os.path.join(os.environ["KF_BUILD"], "tests", "crash", "stream_writer")
THREADS = 4
CONFIG = 'spaces: { default: { streams: [ { match: "last/*", window: 3, keep: { last: 5 } }, { match: "**", window: 20 } ] } }\n'


class Told:
    """What was acknowledged over the whole life of one store."""

    def __init__(self):
        self.last, self.attributes, self.ids, self.appended, self.erased = {}, {}, set(), set(), set()
        self.lines = 0
        self.ahead = 0  # deaths that left something in the redo file alone

    def line(self, text):
        words = text.split()
        self.lines += words[0] in "AIPX"
        if words[0] == "A":
            self.last[words[1]] = max(self.last.get(words[1], 0), int(words[3]))
            self.appended.add(words[1])
        elif words[0] == "I":
            self.ids.add(words[1].encode())
        elif words[0] == "P":
            self.attributes[words[1]] = int(words[2])
        elif words[0] == "X":
            self.erased.add(words[1])
        elif words[0] == "E":
            raise Loss(f"the writer failed: {text}")


class StreamWriter:
    """A life of the writer. What it has said is told when it is over, or up to freeze(): behind that nothing counts that it says."""

    def __init__(self, path, told, env=None):
        self.told, self.lines, self.frozen, self.lock = told, [], False, threading.Lock()
        self.opened = threading.Event()
        self.process = subprocess.Popen([WRITER, str(path), str(THREADS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, **(env or {})})
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self.lock:
                if line.endswith(b"\n") and not self.frozen:
                    self.lines.append(line.decode())
            self.opened.set()
        self.opened.set()

    def freeze(self):
        with self.lock:
            self.frozen = True

    def kill(self):
        """SIGKILL. What it said before that has been read."""
        self.process.kill()
        self.process.wait()
        self.reader.join()
        errors = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        for line in self.lines:
            self.told.line(line)
        if not self.frozen:
            equal(self.process.returncode, -9, f"how the writer ended: {errors}")


def body_number(body):
    return int(re.match(rb'\{"n":(\d+),', body)[1])


def is_sound(copy):
    report = kfcheck.check_store(str(copy))
    if report.findings:
        raise Loss(f"the store is not sound: {report.findings[:3]}")
    return report.counts


def judge(path, told, where, whole=True):
    """Raises Loss, or returns what the checker has counted. `where`: an empty folder is made there. A store that is not there holds
    nothing: the writer may have died before it made one."""
    if not path.exists():
        if told.lines:
            raise Loss(f"{told.lines} writes were acknowledged, and there is no store")
        return {"entries_going": 0}
    copy = copy_of(path, where)
    (where / "keepfast.yaml").write_text(CONFIG)
    told.ahead += is_sound(copy).get("ahead", 0) > 0 if whole else 0
    settled = run("status", "--at", copy)  # what was ahead is in the tables when it has been open
    if settled.status:
        raise Loss(f"the store does not open: {settled.err}")
    counts = is_sound(copy) if whole else {"entries_going": 0}
    with closing(sqlite3.connect(copy)) as db:
        db.text_factory = bytes
        streams = {key.decode(): (id_, last_n, count, attrs) for id_, key, last_n, count, attrs in
                   db.execute("SELECT id, key, last_n, count, attrs FROM kf_stream")}
        for key in told.erased & set(streams):
            raise Loss(f"{key} was erased and is there")
        for key, last in told.last.items():
            if key in told.erased or key.startswith("gone/") and key not in streams:
                continue  # the erasure was in flight
            id_, last_n, count, _ = streams.get(key, (0, 0, 0, b""))
            if last_n < last:
                raise Loss(f"{key}: entry {last} was acknowledged, the store has {last_n}")
            if count != (min(5, last_n) if key.startswith("last/") else last_n):
                raise Loss(f"{key}: {count} entries of {last_n}")
            for n, entry, body in db.execute("SELECT n, id, body FROM kf_entry WHERE stream = ?", (id_,)):
                if body_number(body) != n or entry.decode().split("-")[1] != str(n):
                    raise Loss(f"{key}: entry {n} is {entry} {body[:40]}")
        for key, at in told.attributes.items():
            if int(kfcheck.parse(streams[key][3])["at"]) < at:
                raise Loss(f"{key}: the attribute was {at}, it is {streams[key][3]}")
        there = [id_ for id_, in db.execute("SELECT e.id FROM kf_entry e JOIN kf_stream s ON s.id = e.stream WHERE s.key = 'all'")]
        if len(set(there)) != len(there) or not told.ids <= set(there):
            raise Loss(f"all: {len(there)} entries, {len(set(there))} ids, lost: {list(told.ids - set(there))[:3]}")
    return counts
