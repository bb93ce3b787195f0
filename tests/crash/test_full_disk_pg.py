#!/usr/bin/env python3
# test: timeout=180 alone
"""A full disk below PostgreSQL, from outside: a server on a database whose tables, or whose everything, are on a small file system.

Where the tables find no space, documents and appends are refused with `disk_full` (507), what was acknowledged is read on, also
after the database died on the full disk, and writes go on within 5 s after space came back. Where its log finds none, PostgreSQL
gives up, for as long as nobody makes room: the answer is that it is away, and what was acknowledged is there when it is back.

The ledger is outside of the disk, and the store is read by tests/checker/pgcheck.py.
"""

import contextlib
import os
import pwd
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "checker"))
import disk  # noqa: E402

disk.own_namespace()

import pgcheck  # noqa: E402
from keepfast import Server, folder, state, wait_for  # noqa: E402
from pg import Cluster  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

HEALS_S = 5.0
MIB = 1 << 20
LARGE = 150000  # more than what pages of the tables have free


def text(n, size):
    return '"%s"' % random.Random(n).randbytes(size // 2).hex()


@contextlib.contextmanager
def small_disk(megabytes):
    """Reachable for the one who runs PostgreSQL, and his."""
    top = folder()
    for place in (Path(tempfile.gettempdir()), top):
        if place.stat().st_mode & 0o007 == 0:
            place.chmod(place.stat().st_mode | 0o011)
    tmpfs = disk.Tmpfs(top, "small", megabytes)
    user = pwd.getpwnam("nobody")
    os.chown(tmpfs.point, user.pw_uid, user.pw_gid)
    yield tmpfs
    tmpfs.gone()


class Held:
    """A server on the database, and the ledger of what it acknowledged: documents, and entries of one stream."""

    def __init__(self, pg, refusals):
        self.pg, self.refusals, self.docs, self.entries, self.open, self.n = pg, refusals, {}, [], {}, 0
        self.server = Server(pg.url())
        self.client = self.server.client("s")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.server.__exit__()

    def judged(self, answer, what):
        if answer.status >= 300:
            check((answer.status, answer.code) in self.refusals, f"{what}: {answer}")
            check(answer.json()["retryable"] is True, f"{what}: it may be tried again")
            if answer.code == "disk_full":
                equal(answer.headers.get("Retry-After"), "5", f"{what}: and when")
        return answer

    def put(self, size=LARGE):
        self.n += 1
        name, body = f"d{self.n}", text(self.n, size)
        answer = self.judged(self.client.put(f"/docs/{name}", body.encode()), "a document")
        if answer.status < 300:
            self.docs[name] = body
        elif answer.code == "outcome_unknown":
            self.open[name] = body
        return answer

    def append(self, size=LARGE):
        self.n += 1
        body = text(self.n, size)
        answer = self.judged(self.client.post("/streams/k/entries", b'{"body":%s}' % body.encode(), headers={"Content-Type": "application/json"}), "an append")
        if answer.status < 300:
            self.entries.append(body)
        elif answer.code == "outcome_unknown":
            self.open[len(self.entries)] = body
        return answer

    def until_refused(self, write, code):
        for _ in range(400):
            answer = write()
            if answer.code == code:
                return answer
        raise AssertionError(f"never {code}: {answer}")

    def reads(self, what):
        """What was acknowledged is read, and nothing that was refused: lists come from the database."""
        for name, body in self.docs.items():
            answer = self.client.get(f"/docs/{name}")
            equal((answer.status, answer.body), (200, body.encode()), f"{what}: {name}")
        answer = self.client.get("/docs?limit=1000")
        equal(answer.status, 200, f"{what}: a list: {answer}")
        listed = {item["name"] for item in answer.json()["items"]}
        check(set(self.docs) <= listed <= set(self.docs) | set(self.open), f"{what}: {len(listed)} documents are listed")
        found = self.pg.ask("SELECT e.body FROM kf_s.kf_entry e JOIN kf_s.kf_stream s ON s.id = e.stream WHERE s.key = 'k' ORDER BY e.n")
        found = [row[0] for row in found]
        equal([body for body in found if body not in self.open.values()], self.entries, f"{what}: entries in the database")
        answer = self.client.get("/streams/k/entries?last=5")
        equal([f'"{item["body"]}"' for item in answer.json()["items"]], found[-5:], f"{what}: the last entries")

    def goes_on(self, what):
        """Both are taken again within the promised time."""
        began = time.monotonic()
        wait_for(lambda: self.put().status < 300 and self.append().status < 300, HEALS_S, 0.05)
        note(f"{what}: went on after {time.monotonic() - began:.2f} s")
        equal(state(self.client), "open", f"{what}: status says so")

    def ends(self, what):
        self.reads(what)
        self.client.close()
        equal(self.server.stop(), 0, f"{what}: it stops")
        equal(pgcheck.check(self.pg, "s"), [], f"{what}: what the independent checker finds")


@test
def tables_find_no_space():
    with small_disk(32) as tmpfs, Cluster() as pg:
        pg.ask(f"CREATE TABLESPACE small LOCATION '{tmpfs.point}'")
        pg.ask("ALTER DATABASE postgres SET TABLESPACE small", database="template1")
        with Held(pg, {(507, "disk_full")}) as h:
            for _ in range(5):
                equal((h.put().status, h.append().status), (201, 201), "while there is space")
            for cycle in range(3):
                what = f"full, time {cycle + 1}"
                tmpfs.fill((cycle % 2) * MIB)
                first, second = (h.put, h.append) if cycle % 2 else (h.append, h.put)
                answer = h.until_refused(first, "disk_full")
                check("disk" in answer.json()["detail"], f"it says why: {answer}")
                equal(state(h.client), "full", "status says so")
                h.until_refused(second, "disk_full")
                h.reads(what)
                time.sleep(1.1)  # the next is tried again
                equal((second().code, first().code), ("disk_full", "disk_full"), f"{what}: it stays so")
                if cycle == 2:  # the database dies on the full disk, and comes back to it
                    pg.crash()
                    h.refusals = {(507, "disk_full"), (503, "store_unavailable")}
                    wait_for(lambda: h.put().code == "store_unavailable", HEALS_S)
                    pg.start()
                    wait_for(lambda: h.put().code == "disk_full", HEALS_S, 0.05)
                    h.reads("full, after a crash of the database")
                tmpfs.empty()
                h.goes_on(what)
                h.reads(f"healed, time {cycle + 1}")
            h.ends("the tables")
            said = h.server.stderr()
            check(said.count("pg.full") >= 3, f"it is told: {said}")


def is_back(pg):
    try:
        return pg.number("SELECT 1") == 1
    except RuntimeError:
        return False


@test
def its_log_finds_no_space():
    """PostgreSQL cannot go on without its log: it gives up, as often as it comes back to the full disk."""
    with small_disk(112) as tmpfs:
        tempfile.tempdir = str(tmpfs.point)
        try:
            pg = Cluster()
        finally:
            tempfile.tempdir = None
        with pg:
            check(str(pg.data).startswith(str(tmpfs.point)), f"it is on the small disk: {pg.data}")
            refusals = {(507, "disk_full"), (503, "store_unavailable"), (503, "outcome_unknown")}
            with Held(pg, refusals) as h:
                for _ in range(5):
                    equal((h.put().status, h.append().status), (201, 201), "while there is space")
                tmpfs.fill(8 * MIB)  # less than a file of the log, 16 MiB
                pg.ask("SELECT pg_switch_wal()")
                h.until_refused(h.put, "store_unavailable")
                h.until_refused(h.append, "store_unavailable")
                check("PANIC:" in (pg.folder / "log").read_text(), "it has given up")
                tmpfs.empty()
                with contextlib.suppress(subprocess.CalledProcessError):  # it may have come back by itself
                    pg.start()
                wait_for(lambda: is_back(pg), 20)
                h.goes_on("its log")
                h.ends("its log")


main()
