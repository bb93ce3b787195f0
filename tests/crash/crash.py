"""What the crash tests share: the ledger of what was acknowledged, and what the store must hold for it.

The ledger is filled from the writer's output, which never touches the faulted disk. The store is read through the
stock sqlite3 of Python by tests/checker/kfcheck.py, on a copy, and never through Keepfast.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(os.environ["KF_TOP"]) / "tests" / "checker"))
import kfcheck  # noqa: E402

WRITER = str(Path(os.environ["KF_BUILD"]) / "tests" / "crash" / "writer")


class Loss(AssertionError):
    """Something that was acknowledged is not there, or something that cannot be is."""


class Ledger:
    """The newest acknowledged operation of each document."""

    def __init__(self):
        self.lock = threading.Lock()
        self.last = {}
        self.acks = 0
        self.late = 0
        self.frozen = False
        self.groups = (0, 0)

    def line(self, text):
        words = text.split()
        with self.lock:
            if words[0] == "G" and len(words) == 3:
                self.groups = (int(words[1]), int(words[2]))
            elif words[0] == "A" and len(words) == 3:
                if self.frozen:
                    self.late += 1
                    return
                self.acks += 1
                self.last[words[1]] = int(words[2])

    def freeze(self):
        """From here on nothing counts any more: what is acknowledged during a cut is no evidence."""
        with self.lock:
            self.frozen = True


class Writer:
    """The writer and the thread that reads it."""

    def __init__(self, path, ledger, threads=8, docs=4, env=None, wrap=()):
        self.ledger = ledger
        self.process = subprocess.Popen([*wrap, WRITER, str(path), str(threads), str(docs)], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
        self.first = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for text in self.process.stdout:
            if text.endswith("\n"):
                self.ledger.line(text)
                self.first.set()
        self.first.set()

    def end(self):
        """Kills it and waits until all it said has been read; its exit status."""
        if self.process.poll() is None:
            self.process.kill()
        status = self.process.wait()
        self.reader.join()
        self.errors = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return status


def expected(n):
    """What operation n leaves: None for a deletion, else the member n of the document."""
    return None if n % 20 == 19 else n


def held(path, folder):
    """name -> (version, n or None) of the store at `path`, checked whole on a copy in `folder`."""
    report = kfcheck.check_store(str(path))
    if report.findings:
        raise Loss(f"the store is not sound: {report.findings[:3]}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    copy = folder / "copy.db"
    for tail in ("", "-wal"):
        if os.path.exists(f"{path}{tail}"):
            shutil.copyfile(f"{path}{tail}", f"{copy}{tail}")
    with sqlite3.connect(copy) as db:
        rows = db.execute("SELECT h.name, h.version, json_extract(v.body, '$.n') FROM kf_doc h "
                          "JOIN kf_doc_version v ON v.seq = h.seq").fetchall()
    db.close()
    return {name: (version, n) for name, version, n in rows}


def judge(ledger, rows):
    """Raises Loss, or returns how many operations beyond the acknowledged ones are there (commits that were in flight)."""
    ahead = 0
    for name, n in ledger.last.items():
        version, value = rows.get(name, (0, None))
        if version < n:
            raise Loss(f"{name}: operation {n} was acknowledged, the store has {version}")
        ahead += version > n
    for name, (version, value) in rows.items():
        if value != expected(version):
            raise Loss(f"{name}: version {version} holds {value!r}")
    return ahead
