#!/usr/bin/env python3
# test: timeout=180 alone
"""A full disk, from outside: a file system of 16 MiB, filled to different levels, under the real program.

Fourteen places in which the space runs out: a store that is made, one that is opened, one that a kill left, its lock file, a put,
the midst of groups, the redo file of appends to streams, a checkpoint, a migration, a backup, a restore, a remote, a store that is being filled, and the log. Each
time the answer is `disk_full` (507, exit 7; a remote's is `remote_full`, exit 6), what was acknowledged is there, what was open can be read, no half
file stands under a final name, and everything goes on within 5 s after space came back, without a restart. Below the mark of
free space writes are refused before they are tried (`low_space`), and deleting is allowed.

The ledger is outside of the disk, and the store is read by tests/checker/kfcheck.py.
"""

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
import disk  # noqa: E402

disk.own_namespace()

from crash import LONG, RNG, SEED, Ledger, Loss, Writer, copy_of, held, judge, kfcheck  # noqa: E402
from keepfast import Server, folder, run, state, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TOP = folder()
MIGRATE = str(Path(os.environ["KF_BUILD"]) / "tests" / "crash" / "migrate")
HEALS_S = 5.0
MIB = 1 << 20
PLACES = {}  # place -> how often the space really ran out there


def ran_out(place):
    PLACES[place] = PLACES.get(place, 0) + 1


def body(n, size=200):
    return b'{"n":%d,"pad":"%s"}' % (n, b"x" * size)


def incompressible(n, size):
    return b'{"n":%d,"pad":"%s"}' % (n, random.Random(n).randbytes(size // 2).hex().encode())


@contextlib.contextmanager
def small_disk(name, megabytes=16):
    tmpfs = disk.Tmpfs(TOP, name, megabytes)
    yield tmpfs
    tmpfs.gone()


def heals(tmpfs, work, what):
    """Space comes back: work() is true within the promised time."""
    tmpfs.empty()
    began = time.monotonic()
    wait_for(work, HEALS_S, 0.05)
    note(f"{what}: went on after {time.monotonic() - began:.2f} s")


def refused(answer, what, codes=("disk_full",)):
    equal(answer.status, 507, what)
    check(answer.code in codes, f"{what}: {answer}")
    check(answer.json()["retryable"] is True, f"{what}: it may be tried again")
    if answer.code == "disk_full":
        equal(answer.headers.get("Retry-After"), "5", f"{what}: and when")


def full(done, what):
    """A command that found no space."""
    equal(done.status, 7, f"{what}: {done}")
    check("No space left" in done.err.decode() or "no space left" in done.err.decode(), f"{what}: the reason: {done}")


def docs_of(path, what):
    report = kfcheck.check_store(str(path))
    equal(report.findings, [], what)
    return {name.decode(): text for name, text in report.docs.items()}


class Held:
    """A server with its data on the small disk, and the ledger of what it acknowledged."""

    def __init__(self, tmpfs, **more):
        self.tmpfs, self.docs = tmpfs, {}
        self.server = Server(tmpfs.point / "data", **more)
        self.path = tmpfs.point / "data" / "default.db"
        self.client = self.server.client()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.server.__exit__()

    def put(self, name, text):
        answer = self.client.put(f"/docs/{name}", text)
        if answer.status < 300:
            self.docs[name] = text
        else:
            equal(answer.status, 507, f"nothing but a full disk is wrong: {answer}")
        return answer

    def works(self, name, n):
        return lambda: self.put(name, body(n)).status < 300

    def reads(self, what):
        """What was acknowledged is read, and a list, which comes from the file."""
        for name, text in self.docs.items():
            answer = self.client.get(f"/docs/{name}")
            equal((answer.status, answer.body), (200, text), f"{what}: {name}")
        equal(self.client.get("/docs?limit=1000").status, 200, f"{what}: a list")

    def ends(self, what):
        self.client.close()
        equal(self.server.stop(), 0, f"{what}: it stops")
        equal(docs_of(self.path, what), self.docs, f"{what}: what it leaves")


# ------------------------------------------------------------------------------------------- writes


@test
def a_put_that_does_not_fit():
    with small_disk("put") as tmpfs, Held(tmpfs) as h:
        for n in range(20):
            equal(h.put(f"d{n}", body(n)).status, 201, "while there is space")
        tmpfs.fill(2 * MIB)
        answer = h.put("big", body(1, 4 * MIB))
        refused(answer, "one that does not fit")
        check("no space" in answer.json()["detail"], f"it says why: {answer}")
        equal(state(h.client), "full", "status says so")
        equal(h.client.ask("GET", "/durablez", raw=True).status, 503, "nothing is durable now")
        equal(h.client.get("/docs/big").status, 404, "what was refused is absent")
        h.reads("full")
        wait_for(h.works("d0", 100), HEALS_S, 0.05)  # what fits is taken again
        equal(state(h.client), "open", "and status says that too")
        ran_out("put")

        tmpfs.fill()
        equal(tmpfs.free(), 0, "no byte is free")
        codes = []
        while codes.count("disk_full") < 20:  # the log has a little room
            answer = h.put("d2", body(100 + len(codes), 60000))
            if answer.status >= 300:
                refused(answer, "on a disk without a byte", ("disk_full", "low_space"))
            codes.append(answer.code)
            check(len(codes) < 400, f"the codes: {set(codes)}")
            time.sleep(0.01)
        h.reads("without a byte")
        heals(tmpfs, h.works("d3", 103), "put")
        h.reads("healed")
        h.ends("put")
        said = h.server.stderr()
        equal((said.count("store.full"), said.count("store.recovered")), (2, 2), f"told once each time: {said}")


@test
def below_the_mark_deleting_is_allowed():
    with small_disk("low") as tmpfs, Held(tmpfs) as h:
        for n in range(20):
            equal(h.put(f"d{n}", body(n, 5000)).status, 201, "while there is space")
        tmpfs.fill(500 << 10)  # the mark is 5 % of 16 MiB
        wait_for(lambda: h.put("more", body(0, 100)).code == "low_space", HEALS_S, 0.05)
        refused(h.put("d1", body(7)), "below the mark", ("low_space",))
        for n in range(10):
            equal(h.client.delete(f"/docs/d{n}").status, 204, "deleting makes room")
            del h.docs[f"d{n}"]
        equal(run("rm", "d10", at=h.path).status, 0, "also by command")
        del h.docs["d10"]
        equal(run("put", "d11", "-", stdin=b"1", at=h.path).status, 7, "and a command that writes ends with 7")
        h.reads("below the mark")
        heals(tmpfs, h.works("d1", 8), "low space")
        h.ends("low space")


@test
def a_checkpoint_that_finds_no_space():
    """The log is there from before and has room, the file must grow: every write is acknowledged until the log is emptied."""
    with small_disk("checkpoint") as tmpfs, Held(tmpfs) as h:
        n, wal = 0, Path(f"{h.path}-wal")
        while not (n and h.path.stat().st_size > 2 * MIB):
            equal(h.put(f"d{n}", body(n, 3000)).status, 201, "while there is space")
            n += 1
        tmpfs.fill()
        taken, detail = 0, ""
        until = time.monotonic() + 10
        while "checkpoint" not in detail and time.monotonic() < until:
            answer = h.put(f"d{n}", body(n, 3000))
            if answer.status < 300:
                taken, n = taken + 1, n + 1
                continue
            detail = answer.json()["detail"]
            if "checkpoint" not in detail:  # it was the log, or the mark: a little room, and on
                tmpfs.empty()
                wait_for(h.works("d0", n), HEALS_S, 0.02)
                for _ in range(RNG.randrange(400)):
                    n += 1
                    h.put(f"d{n}", body(n, 3000))
                tmpfs.fill()
        check("checkpoint" in detail, f"the log was never emptied on a full disk: {detail!r}, {wal.stat().st_size} bytes")
        ran_out("checkpoint")
        h.reads("at a checkpoint")
        heals(tmpfs, h.works("d1", 10000), "checkpoint")
        note(f"acknowledged into the log of a full disk: {taken}")
        h.ends("checkpoint")


@test
def groups_of_many_writers():
    """Eight threads and their submitted writes; the disk is filled and given back again and again."""
    cycles = 500 if LONG else 6
    with small_disk("groups") as tmpfs:
        path, ledger = tmpfs.point / "store.db", Ledger()
        writer = Writer(path, ledger, docs=4, goes_on=True)
        try:
            writer.opened.wait(10)
            slowest = 0
            for _ in range(cycles):
                tmpfs.fill(RNG.randrange(1 * MIB))
                before = dict(ledger.refused)
                wait_for(lambda: ledger.refused != before, 10)
                time.sleep(RNG.uniform(0, 0.1))
                acks = ledger.acks
                tmpfs.empty()
                began = time.monotonic()
                wait_for(lambda: ledger.acks > acks + 8, HEALS_S)
                slowest = max(slowest, time.monotonic() - began)
                if path.stat().st_size > 8 * MIB:
                    break
            check(writer.process.poll() is None, "the writer lives")
        finally:
            status = writer.end()
        equal((status, ledger.ended), (0, None), f"its end: {writer.errors}")
        judge(ledger, held(path, whole=True))
        check(set(ledger.refused) <= {"disk_full", "low_space"}, f"codes: {ledger.refused}")
        check(ledger.refused.get("disk_full", 0) >= 6, f"too few: {ledger.refused}")
        ran_out("group")
        note(f"acks={ledger.acks} refused={ledger.refused} mean_group={ledger.mean_group:.2f} slowest_heal={slowest:.2f} seed={SEED}")
        check(ledger.acks >= 1000 and slowest < HEALS_S, "it went on each time")


@test
def saboteur_enospc_as_ok_is_found():
    with small_disk("sabotage") as tmpfs:
        path, ledger = tmpfs.point / "store.db", Ledger()
        writer = Writer(path, ledger, docs=4, goes_on=True, env={"KF_SABOTAGE": "enospc-as-ok"})
        try:
            writer.opened.wait(10)
            tmpfs.fill()
            time.sleep(0.3)
            tmpfs.empty()
        finally:
            writer.end()
        try:
            judge(ledger, held(path))
        except Loss as found:
            note(f"found: {found}")
            return
    raise AssertionError("a store that takes a full disk for a success was not found out")


# ----------------------------------------------------------------------------------------- streams


class Appender(threading.Thread):
    """Appends to a stream of its own, an entry with an id at a time. What is refused is sent again, or given up: then it must not be there."""

    def __init__(self, server, key, told):
        super().__init__(daemon=True)
        self.client, self.key, self.told, self.over = server.client(), key, told, threading.Event()
        self.dice, self.wrong = random.Random(f"{SEED} {key}"), None

    def run(self):
        try:
            while not self.over.is_set():
                self.step()
        except Exception as why:  # in a thread: raised where it is joined
            self.wrong = why
        self.client.close()

    def step(self):
        told = self.told
        told.sent += 1
        entry = {"id": f"{self.key}-{told.sent}", "body": {"n": told.sent, "pad": "x" * self.dice.randrange(200, 3000)}}
        while (answer := self.client.post(f"/streams/{self.key}/entries", entry)).status >= 300:
            refused(answer, f"an append to {self.key}", ("disk_full", "low_space"))
            told.refused[answer.code] = told.refused.get(answer.code, 0) + 1
            time.sleep(0.02)
            if self.over.is_set() or self.dice.random() < 0.2:
                return
        told.acked[entry["id"]] = answer.json()["n"]

    def end(self):
        self.over.set()
        self.join()
        if self.wrong:
            raise self.wrong


class Told:
    """What the appender to one stream was told, over all lives of the store."""

    def __init__(self):
        self.acked, self.refused, self.sent = {}, {}, 0


def entries_read(client, key):
    """id -> number, as the server reads them; None when it has said that it cannot while the disk is full."""
    found, after = {}, 0
    while items := (page := client.get(f"/streams/{key}/entries?after={after}&limit=1000")).json().get("items"):
        found |= {e["id"]: e["n"] for e in items}
        after = items[-1]["n"]
    return found if page.status == 200 else refused(page, f"{key} is read")


class Appending:
    """Servers of one store in which four clients append, and what they were told."""

    KEYS = [f"chat/{t}" for t in range(4)]

    def __init__(self, tmpfs):
        self.tmpfs, self.path = tmpfs, tmpfs.point / "data" / "default.db"
        self.told = {key: Told() for key in self.KEYS}
        self.off = self.ahead = self.unread = 0

    @property
    def acks(self):
        return sum(len(t.acked) for t in self.told.values())

    def refused(self, code="disk_full"):
        return sum(t.refused.get(code, 0) for t in self.told.values())

    def start(self):
        self.server = Server(self.tmpfs.point / "data")
        self.go_on()

    def go_on(self):
        self.appenders = [Appender(self.server, key, told) for key, told in self.told.items()]
        for one in self.appenders:
            one.start()

    def pause(self):
        for one in self.appenders:
            one.end()

    def runs_full(self, kill):
        """The disk fills up under appends that the redo file takes. They have all heard an answer when the server is killed."""
        redo, before, refusals = Path(f"{self.path}-redo"), self.acks, self.refused()
        enough = before + RNG.randrange(20, 200)  # in the first of them the file has not grown yet
        wait_for(lambda: redo.exists() and self.acks > enough, 20)
        self.tmpfs.fill(RNG.randrange(200 << 10))
        wait_for(lambda: self.refused() > refusals + 8, 20)
        self.pause()
        self.newest("full")
        self.reads("full", (True, False))
        if kill:
            self.server.kill()
            self.ends_life()
            self.ahead += kfcheck.check_store(str(copy_of(self.path, TOP / "appended"))).counts.get("ahead", 0) > 0
            self.server = Server(self.tmpfs.point / "data")
            self.reads("started on a full disk", (True, False))
        self.go_on()

    def newest(self, what):
        """Memory has the newest entries, whatever the disk does."""
        client = self.server.client()
        for key, told in self.told.items():
            items = client.get(f"/streams/{key}/entries?last=50").json()["items"]
            equal([(e["id"], e["n"]) for e in items], list(told.acked.items())[-50:], f"{what}: the newest of {key}")
        client.close()

    def reads(self, what, allowed=(True,)):
        """All that was acknowledged; or, where it may be, nothing, for a page without what only the redo file has would be a wrong one."""
        client = self.server.client()
        for key, told in self.told.items():
            found = entries_read(client, key)
            check((found is not None) in allowed, f"{what}: {key} is read")
            equal(told.acked if found is None else found, told.acked, f"{what}: {key}")
            self.unread += found is None
        client.close()

    def heals(self):
        before = self.acks
        heals(self.tmpfs, lambda: self.acks > before + 8, "appends")

    def ends_life(self):
        self.off += "redo.off" in self.server.stderr()
        self.server.__exit__()

    def holds(self, what):
        """Exactly what was acknowledged, under the numbers that were told."""
        report = kfcheck.check_store(str(self.path))
        equal(report.findings, [], what)
        with closing(sqlite3.connect(self.path)) as db:
            rows = db.execute("SELECT s.key, e.id, e.n FROM kf_entry e JOIN kf_stream s ON s.id = e.stream").fetchall()
        for key, told in self.told.items():
            equal({id_: n for k, id_, n in rows if k == key}, told.acked, f"{what}: {key}")


@test
def appends_to_streams():
    """What is acknowledged may be in the redo file alone when the space runs out there, in the log or in the file."""
    cycles, most = (100, 200) if LONG else (6, 16)
    with small_disk("streams", 24) as tmpfs:
        a = Appending(tmpfs)
        while cycles > 0 or (most > 0 and not (a.off and a.ahead)):
            cycles, most = cycles - 1, most - 1
            a.start()
            a.runs_full(kill=cycles % 2 == 0)
            a.heals()
            a.pause()
            a.reads("healed")
            equal(a.server.stop(), 0, "its end")
            a.ends_life()
            a.holds("what it leaves")
        for _ in range(a.off):
            ran_out("redo file")
        note(f"acks={a.acks} refused={a.refused()} given_up={sum(t.sent - len(t.acked) for t in a.told.values())} "
             f"redo_off={a.off} killed_ahead={a.ahead} unread={a.unread} seed={SEED}")
        check(a.off and a.ahead, "the redo file met the full disk, and one that was killed on it had acknowledged entries there alone")
        check(a.acks >= 1000 and a.refused() >= 100, "it went on each time")


# ------------------------------------------------------------------------------ opening and making


@test
def a_store_that_is_made():
    """No document, perhaps an empty store; with room the same command makes it."""
    with small_disk("make") as tmpfs:
        for leave in (0, 4096, 8192, 16384, 20480, 36864, 45056, 61440, 81920, 122880):
            home = tmpfs.point / f"home{leave}"
            home.mkdir(mode=0o700)
            tmpfs.fill(leave)
            done = run("put", "a", "-", stdin=body(1), at=home / "new.db")
            tmpfs.empty()
            if done.status != 0:
                full(done, f"making a store with {leave} bytes")
                ran_out("make")
                check(run("get", "a", at=home / "new.db").status == 1, "the document is absent")
            equal(run("put", "a", "-", stdin=body(1), at=home / "new.db").status, 0, f"with room, after {leave} bytes")
            equal(docs_of(home / "new.db", "made"), {"a": body(1)}, f"made after {leave} bytes")
    check(PLACES.get("make", 0) >= 4, "levels at which there was no space")


@test
def a_space_that_is_made():
    with small_disk("space") as tmpfs, Held(tmpfs) as h:
        equal(h.put("d", body(1)).status, 201, "while there is space")
        tmpfs.fill()
        other = h.server.client("other")
        refused(other.put("/docs/a", body(1)), "a new space")
        h.reads("another space found no room")
        tmpfs.empty()
        wait_for(lambda: other.put("/docs/a", body(1)).status == 201, HEALS_S, 0.05)
        other.close()
        h.ends("space")


@test
def a_store_that_is_opened():
    """Opening needs room for the lock's text and for the index of the log. Without it nothing changes; with it all is there."""
    with small_disk("open") as tmpfs:
        path = tmpfs.point / "store.db"
        docs = {f"d{n}": body(n, 2000) for n in range(5)}
        for name, text in docs.items():
            equal(run("put", name, "-", stdin=text, at=path).status, 0, "while there is space")
        place = {0: "lock file"}
        for leave in (0, 4096, 8192, 16384, 32768, 40960):
            tmpfs.fill(leave)
            before = path.read_bytes()
            for words in (("get", "d1"), ("rm", "d1"), ("ls",)):
                done = run(*words, at=path)
                if done.status == 0:
                    check(words[0] != "rm", "a delete on a full disk")
                    continue
                full(done, f"{words[0]} with {leave} bytes")
                ran_out(place.get(leave, "open"))
                equal(path.read_bytes(), before, f"{words[0]} with {leave} bytes left the file alone")
            server = Server(tmpfs.point, expect_ready=False)
            if not server.process.stdout.readline():
                equal(server.process.wait(10), 7, f"a server with {leave} bytes: {server.stderr()}")
                check("No space left" in server.stderr() or "no space left" in server.stderr(), server.stderr())
            server.__exit__()
            tmpfs.empty()
            equal(docs_of(path, "opened"), docs, f"after {leave} bytes")
            equal(run("get", "d1", at=path).out, docs["d1"], f"with room, after {leave} bytes")
    check(PLACES.get("open", 0) >= 3, "levels at which there was no space")


@test
def a_restart_after_a_kill():
    """What was acknowledged is in the log, which finds no room in the file: it is read from there, and with room all goes on."""
    config = "spaces: {default: {remotes: {folder: {url: 'dir:%s', on_change: 50ms}}}}\n"
    with small_disk("restart") as tmpfs:
        remote = TOP / "restart-remote"
        remote.mkdir()
        with Held(tmpfs, config=config % remote) as h:
            for n in range(60):  # too few for a checkpoint
                equal(h.put(f"d{n}", body(n, 2000)).status, 201, "while there is space")
            tmpfs.fill()
            h.server.kill()
            docs = h.docs
        grew = (tmpfs.point / "data" / "default.db").stat().st_size
        for words in (("get", "d1"), ("ls",), ("put", "d1", "-")):
            done = run(*words, at=h.path, stdin=b"1")
            if words[0] == "put":
                full(done, "a put by command")
            else:
                equal(done.status, 0, f"{words}: {done}")
        equal(run("get", "d59", at=h.path).out, docs["d59"], "read by command")
        for _ in range(2):  # a supervisor starts it again and again
            with Held(tmpfs, config=config % remote) as h:
                h.docs = dict(docs)
                equal(state(h.client), "full", "status says so")
                refused(h.put("d1", body(7)), "after a restart")
                h.reads("after a restart")
                equal(h.client.ask("GET", "/durablez", raw=True).status, 503, "nothing is durable now")
                h.server.kill()
        equal((tmpfs.point / "data" / "default.db").stat().st_size, grew, "the file had no room to grow")
        ran_out("restart")
        with Held(tmpfs, config=config % remote) as h:
            h.docs = dict(docs)
            heals(tmpfs, lambda: state(h.client) == "open", "restart, by itself")
            equal(h.put("d1", body(8)).status, 200, "healed")
            h.reads("healed")
            h.ends("restart")
            said = h.server.stderr()
            equal((said.count("store.full"), said.count("store.recovered")), (1, 2), f"what it said: {said}")


def copied(path):
    """How many rows the migration has copied; 0 in the old format."""
    with closing(sqlite3.connect(path)) as db:
        equal(db.execute("PRAGMA integrity_check").fetchone(), ("ok",), "the file")
        if db.execute("PRAGMA user_version").fetchone() == (1,):
            return 0
        return db.execute("SELECT count(*) FROM kf_copied WHERE length(body) > 40000").fetchone()[0]


@test
def a_migration():
    with small_disk("migrate") as tmpfs:
        path = tmpfs.point / "store.db"
        docs = {f"d{n}": body(n, 40000) for n in range(50)}  # 2 MB
        with Server(tmpfs.point / "data") as server:
            client = server.client()
            for name, text in docs.items():
                equal(client.put(f"/docs/{name}", text).status, 201, "while there is space")
            client.close()
            equal(server.stop(), 0, "its end")
        os.rename(tmpfs.point / "data" / "default.db", path)
        aside = 0
        old = TOP / "old.db"
        shutil.copyfile(path, old)
        for leave in (0, 64 << 10, 1 * MIB, 3 * MIB, 4 * MIB, 5 * MIB, 6 * MIB):
            for left in tmpfs.point.glob("store.db*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            shutil.copyfile(old, path)
            tmpfs.fill(leave)
            done = subprocess.run([MIGRATE, str(path)], capture_output=True, text=True)
            tmpfs.empty()
            copies = sorted(tmpfs.point.glob("store.db.before-*"))
            for copy in copies:
                equal(docs_of(copy, "a copy under its final name"), docs, "the copy is whole")
            aside += bool(copies)
            if done.returncode == 0:
                break
            equal((done.returncode, done.stdout), (7, "E disk_full 7\n"), f"with {leave} bytes: {done.stderr}")
            ran_out("migrate")
            if not copied(path):  # what failed was the migration, and not what comes behind it
                equal(docs_of(path, "old"), docs, f"the old format, whole, with {leave} bytes")
                equal(run("get", "d7", at=path).out, docs["d7"], "and it is read")
            equal(subprocess.run([MIGRATE, str(path)]).returncode, 0, f"with room, after {leave} bytes")
            equal(copied(path), 50, "its rows")
        check(PLACES.get("migrate", 0) >= 4 and aside, f"too few levels: {PLACES}, copies {aside}")


# ------------------------------------------------------------------------------ what leaves the store


def left_in(place, but=()):
    return sorted(str(p.relative_to(place)) for p in place.rglob("*")
                  if p.is_file() and not p.name.startswith("filler") and p.name not in but)


@test
def a_backup():
    docs = {f"d{n}": incompressible(n, 40000) for n in range(20)}
    with Server(TOP / "backed") as server:
        client = server.client()
        for name, text in docs.items():
            client.put(f"/docs/{name}", text)
        with small_disk("backup") as tmpfs:
            for leave in (0, 4096, 100000, 300000, 420000):
                tmpfs.fill(leave)
                for at in (TOP / "backed" / "default.db", f"unix:{server.socket}#default"):
                    full(run("backup", tmpfs.point / "b.zip", at=at), f"a backup with {leave} bytes")
                    ran_out("backup")
                    equal(left_in(tmpfs.point), [], "nothing is left of it")
                tmpfs.empty()
            equal(state(client), "open", "it was not the store's disk")
            equal(client.put("/docs/e", body(1)).status, 201, "which takes writes")
            equal(run("backup", tmpfs.point / "b.zip", at=TOP / "backed" / "default.db").status, 0, "with room")
            equal(kfcheck.check_zip(str(tmpfs.point / "b.zip")).findings, [], "is whole")
        client.close()
        equal(server.stop(), 0, "its end")
    path = TOP / "backed" / "default.db"
    equal(docs_of(path, "backed up"), {**docs, "e": body(1)}, "the store")


@test
def a_restore():
    source, archive = TOP / "source.db", TOP / "source.zip"
    for n in range(4):
        run("put", f"r{n}", "-", stdin=incompressible(n, 900000), at=source)
    equal(run("backup", archive, at=source).status, 0, "the archive")
    size = archive.stat().st_size
    with small_disk("restore") as tmpfs, Held(tmpfs) as h:
        for n in range(10):
            h.put(f"d{n}", body(n))
        for leave in (4096, size // 2, size + 900000, size + 2600000):
            tmpfs.fill(leave)
            answer = h.client.post("/restore?replace=true", archive.read_bytes(), headers={"Content-Type": "application/zip"})
            refused(answer, f"a restore with {leave} bytes")
            ran_out("restore")
            h.reads(f"a restore with {leave} bytes")
            full(run("restore", archive, "--replace", at=h.path), f"by command, with {leave} bytes")
            tmpfs.empty()
            wait_for(h.works("d0", leave), HEALS_S, 0.05)
            equal([p for p in left_in(h.path.parent) if "tmp" in p or "before" in p], [], "nothing is left of it")
        equal(run("restore", archive, "--replace", at=h.path).status, 0, "with room")
        h.docs = docs_of(source, "the source")
        h.reads("restored")
        h.ends("restored")


@test
def a_remote():
    """The disk of a `dir` remote is full, that of the store is not. What a push replaces stays there for an hour."""
    with small_disk("remote") as tmpfs:
        remote = tmpfs.point / "usb"
        remote.mkdir(mode=0o700)
        config = f"spaces:\n  default:\n    remotes:\n      usb: {{ url: \"dir:{remote}\", on_change: 2s }}\n"  # not while they are put
        with Server(TOP / "pushes", config=config) as server:
            client = server.client()
            usb = lambda: client.get("/remotes/usb").json()  # noqa: E731
            equal(client.put("/docs/first?wait=usb", body(0)).status, 201, "while there is space")
            before = kfcheck.check_dir(str(remote)).docs
            for leave in (0, 4096, 100000, MIB):
                tmpfs.fill(leave)
                for n in range(30):
                    equal(client.put(f"/docs/d{n}", body(leave + n, 50000)).status // 100, 2, "the store takes all")
                answer = client.post("/remotes/usb/run?timeout=10s")
                equal((answer.status, answer.code), (503, "level_unavailable"), f"with {leave} bytes: {answer}")
                equal(run("sync", "usb", "--wait", at=server.data / "default.db").status, 6, "by command")
                ran_out("remote")
                equal(usb()["last_error"]["code"], "remote_full", "and status says so")
                check(usb()["pending"]["count"] == 30, f"nothing is forgotten: {usb()['pending']}")
                equal(state(client), "open", "it is not the store's disk")
                report = kfcheck.check_dir(str(remote))
                equal((report.findings, report.docs), ([], before), f"whole and as before, with {leave} bytes")
                equal(report.counts["cut_writes"], 0, "nothing half is left")
                tmpfs.empty()
                answer = client.post("/remotes/usb/run?timeout=10s")
                equal(answer.status, 200, f"with room, after {leave} bytes: {answer}")
                before = kfcheck.check_dir(str(remote)).docs
                equal(len(before), 31, "documents there")
            tmpfs.fill()
            client.put("/docs/last", body(1))
            equal(client.post("/remotes/usb/run?timeout=5s").status, 503, "full again")
            equal(usb()["last_error"]["code"], "remote_full", "which is the reason")
            heals(tmpfs, lambda: usb()["pending"]["count"] == 0, "remote")
            client.close()
            equal(server.stop(), 0, "its end")
        equal(kfcheck.check_dir(str(remote)).docs, kfcheck.check_store(str(TOP / "pushes" / "default.db")).docs, "in the end")


@test
def a_store_that_is_being_filled():
    """Hydration: the remote holds more than the disk of the new store takes."""
    remote = TOP / "full-remote"
    remote.mkdir(mode=0o700)
    with Server(TOP / "fills", config=f"spaces:\n  default:\n    remotes:\n      usb: {{ url: \"dir:{remote}\" }}\n") as server:
        client = server.client()
        for n in range(700):
            client.put(f"/docs/d{n}", body(n, 5000))
        equal(client.put("/docs/end?wait=usb", body(1)).status, 201, "it is all there")
        client.close()
        server.stop()
    docs = docs_of(TOP / "fills" / "default.db", "what is to come back")
    with small_disk("hydrate") as tmpfs:
        (tmpfs.point / "data").mkdir(mode=0o700)
        tmpfs.fill(2500000)
        config = TOP / "fills.yaml"
        config.write_text(f"spaces:\n  default:\n    remotes:\n      usb: {{ url: \"dir:{remote}\" }}\n")
        with Held(tmpfs, arguments=("--config", str(config))) as h:
            why = lambda: (h.client.get("/remotes/usb").json()["last_error"] or {}).get("code")  # noqa: E731
            wait_for(lambda: why() in ("disk_full", "low_space"), 10)  # full at once, or what was left is kept for recovery
            ran_out("hydrate")
            failed = served = 0
            for name, text in docs.items():
                answer = h.client.get(f"/docs/{name}")
                if answer.status == 200:
                    equal(answer.body, text, f"{name} while it is filled")
                    served += 1
                else:
                    equal((answer.status, answer.code), (503, "not_hydrated"), f"{name}, which did not fit")
                    failed += 1
            check(failed and served, f"some did not fit: served={served} failed={failed}")
            heals(tmpfs, lambda: state(h.client) == "open", "hydration")
            h.docs = docs
            h.reads("filled")
            note(f"while it was full: served={served} failed={failed}")
            h.ends("filled")


@test
def the_log():
    """Only the log cannot grow: all goes on, and what is lost of it is counted."""
    with small_disk("log", 1) as tmpfs:
        log = tmpfs.point / "log"
        wrap = ("sh", "-c", 'exec "$@" 2>>"$0"', str(log))
        with Server(TOP / "logs", config="log: { level: debug, format: json }\n", wrap=wrap) as server:
            client = server.client()
            equal(client.put("/docs/a", body(1)).status, 201, "while there is space")
            tmpfs.fill()
            for n in range(300):
                equal(client.put(f"/docs/d{n}", body(n)).status, 201, "without a log")
                equal(client.put("/docs/bad", b"{").status, 400, "without a log")
            remote = client.post("/remotes", {"name": "gone", "url": f"dir:{TOP}/no/such", "manual": True})
            equal(remote.status, 201, f"a remote: {remote}")
            for _ in range(50):  # more than what is left of the last page
                client.post("/remotes/gone/run?timeout=5s")  # which is told in the log
                client.delete("/remotes/gone")
                client.post("/remotes", {"name": "gone", "url": f"dir:{TOP}/no/such", "manual": True})
            size = log.stat().st_size
            tmpfs.empty()
            client.post("/remotes/gone/run?timeout=5s")
            client.close()
            equal(server.stop(), 0, "its end")
            said = log.read_text()[size:]
        check("log.lost" in said, f"the lines that were lost are told: {said[-300:]!r}")
        ran_out("log")


@test
def in_all_places():
    wanted = {"make", "open", "restart", "lock file", "put", "group", "redo file", "checkpoint", "migrate", "backup", "restore", "remote", "hydrate", "log"}
    note(" ".join(f"{place.replace(' ', '_')}={count}" for place, count in PLACES.items()))
    equal(set(PLACES), wanted, "places in which the space ran out")


main()
