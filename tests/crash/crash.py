"""What the crash tests share: the ledger of what was acknowledged, and what the store must hold for it.

The ledger is filled from the writer's output, which never touches the faulted disk. The store is read through the
stock sqlite3 of Python, on a copy, and never through Keepfast: quickly after each fault, and whole by
tests/checker/kfcheck.py now and then.
"""

import hashlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(os.environ["KF_TOP"]) / "tests" / "checker"))
import kfcheck  # noqa: E402
from keepfast import folder  # noqa: E402

WRITER = str(Path(os.environ["KF_BUILD"]) / "tests" / "crash" / "writer")
LONG = os.environ.get("KEEPFAST_LONG") == "1"
SEED = int(os.environ.get("KEEPFAST_SEED") or random.SystemRandom().randrange(1 << 30))
RNG = random.Random(SEED)


class Loss(AssertionError):
    """Something that was acknowledged is not there, or something that cannot be is."""


class Ledger:
    """The newest acknowledged operation of each document, over the whole life of one store."""

    def __init__(self):
        self.lock = threading.Lock()
        self.last = {}
        self.acks = self.late = self.commits = self.writes = 0
        self.refused = {}  # code -> how often
        self.ended = None  # (code, exit code)
        self.frozen = False

    def life(self):
        """A new life of the writer begins."""
        with self.lock:
            self.commits_before, self.writes_before = self.commits, self.writes
            self.late, self.ended, self.frozen = 0, None, False

    def line(self, text):
        words = text.split()
        with self.lock:
            if words[0] == "A":
                if self.frozen:
                    self.late += 1
                    return
                self.acks += 1
                self.last[words[1]] = int(words[2])
            elif words[0] == "F":
                self.refused[words[1]] = self.refused.get(words[1], 0) + 1
            elif words[0] == "E":
                self.ended = (words[1], int(words[2]))
            elif words[0] == "G" and not self.frozen:
                self.commits = self.commits_before + int(words[1])
                self.writes = self.writes_before + int(words[2])

    def freeze(self):
        """From here on nothing counts any more: what is acknowledged during a cut is no evidence."""
        with self.lock:
            self.frozen = True

    @property
    def mean_group(self):
        return self.writes / max(1, self.commits)


class Writer:
    """The writer and the thread that reads it. `opened` is set when it writes, or will never."""

    def __init__(self, path, ledger, threads=8, docs=2, env=None, wrap=(), goes_on=False):
        self.ledger = ledger
        ledger.life()
        env = {**os.environ, **(env or {})}
        if goes_on:
            env["WRITER_GOES_ON"] = "1"
        self.process = subprocess.Popen([*wrap, WRITER, str(path), str(threads), str(docs)], env=env,
                                        stdin=subprocess.PIPE if goes_on else subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.opened = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for text in self.process.stdout:
            if text.endswith("\n"):
                self.ledger.line(text)
                self.opened.set()
        self.opened.set()

    def kill(self):
        """kill -9, and all it said has been read; its exit status."""
        if self.process.poll() is None:
            self.process.kill()
        return self.end()

    def end(self, timeout=60):
        """Waits for its own end; closing its stdin asks for it where it goes on."""
        if self.process.stdin:
            self.process.stdin.close()
        try:
            status = self.process.wait(timeout)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.reader.join()
            self.errors = self.process.stderr.read()
            self.process.stdout.close()
            self.process.stderr.close()
        return status


def expected(n):
    """What operation n leaves: None for a deletion, else the member n of the document."""
    return None if n % 20 == 19 else n


def copy_of(path, where):
    """The store's files in an empty folder."""
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir()
    copy = where / "copy.db"
    for tail in ("", "-wal", "-redo"):
        if os.path.exists(f"{path}{tail}"):
            shutil.copyfile(f"{path}{tail}", f"{copy}{tail}")
    return copy


QUICK = (
    # no findings expected from any of them
    ("heads without their version", "SELECT h.name FROM kf_doc h LEFT JOIN kf_doc_version v ON v.seq = h.seq AND "
     "v.name = h.name AND v.version = h.version AND v.stamp = h.stamp AND v.hash = h.hash AND v.size = h.size AND "
     "h.deleted = (v.body IS NULL) WHERE v.seq IS NULL"),
    ("versions newer than their head", "SELECT v.name FROM kf_doc_version v LEFT JOIN kf_doc h USING(name) "
     "WHERE h.name IS NULL OR v.version > h.version OR v.seq > h.seq"),
    ("heads without their journal row", "SELECT h.name FROM kf_doc h LEFT JOIN kf_journal j ON j.seq = h.seq AND "
     "j.key = h.name AND j.tbl = 'doc' AND j.stamp = h.stamp WHERE j.seq IS NULL"),
    ("journal rows without their head", "SELECT j.key FROM kf_journal j LEFT JOIN kf_doc h ON h.seq = j.seq "
     "WHERE j.tbl = 'doc' AND h.seq IS NULL"),
    ("numbers beyond the store's", "SELECT seq FROM kf_journal WHERE seq > (SELECT seq FROM kf_state)"),
    ("quick_check", "SELECT * FROM pragma_quick_check WHERE quick_check <> 'ok'"),
)


def held(path, whole=False, where=None):
    """name -> (version, n or None) of the store at `path`, checked on a copy. Raises Loss when it is not sound."""
    copy = copy_of(path, where or folder("kf-copy-") / "c")
    try:
        if whole:
            report = kfcheck.check_store(str(copy))
            if report.findings:
                raise Loss(f"the store is not sound: {report.findings[:3]}")
        with closing(sqlite3.connect(copy)) as db:
            try:
                for what, sql in QUICK:
                    found = db.execute(sql).fetchall()
                    if found:
                        raise Loss(f"{what}: {found[:3]}")
                rows = db.execute("SELECT h.name, h.version, h.hash, v.body FROM kf_doc h JOIN kf_doc_version v "
                                  "ON v.seq = h.seq").fetchall()
            except sqlite3.Error as why:
                raise Loss(f"the store cannot be read: {why}") from None
    finally:
        if where is None:
            shutil.rmtree(copy.parent.parent)
    docs = {}
    for name, version, digest, body in rows:
        n = None
        if body is not None:
            raw = body if isinstance(body, bytes) else body.encode()
            if hashlib.blake2b(raw, digest_size=32).hexdigest() != digest:
                raise Loss(f"{name}: its bytes are not those of its hash")
            n = int(kfcheck.parse(raw)["n"])
        docs[name] = (version, n)
    return docs


def judge(ledger, docs):
    """Raises Loss, or returns how many documents are ahead of the ledger (commits that were in flight)."""
    ahead = 0
    for name, n in ledger.last.items():
        version, _ = docs.get(name, (0, None))
        if version < n:
            raise Loss(f"{name}: operation {n} was acknowledged, the store has {version}")
    for name, (version, value) in docs.items():
        if value != expected(version):
            raise Loss(f"{name}: version {version} holds {value!r}")
        ahead += version > ledger.last.get(name, 0)
    return ahead
