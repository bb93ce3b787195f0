#!/usr/bin/env python3
# test: timeout=240
"""A disk that fails, from outside: strace answers EIO in place of the disk, to the program as it is installed.

Syncs, writes, reads, opens and renames, of the store's file, its log, its lock, of backups and of a remote. After a failed sync or
write nobody is told yes, nothing is synced again, no checkpoint is made, reads go on, and the store says why it takes no writes
until it is opened again; then everything acknowledged is there. The redo file of streams is one that a store can do without: what fails
there is committed before it is told, and what cannot be read there is not passed over. A command ends with 8 (6 for a remote's disk) or was not
hurt, in which case what it said is true. Every planned fault must have fired.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
import keepfast  # noqa: E402

keepfast.PROGRAM = str(Path(os.environ["KF_RELEASE"]) / "keepfast")

from crash import LONG, copy_of, kfcheck  # noqa: E402
from keepfast import Server, folder, run, state, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TOP = folder()
SYNCS, WRITES, READS = "fdatasync,fsync", "pwrite64,write", "pread64,read"
OPENS, RENAMES = "openat,open", "rename,renameat,renameat2"


def strace(log, calls, when, paths):
    words = ["strace", "-f", "-qq", "-y", "-o", str(log), "-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO:when={when}"]
    for path in paths:
        words += ["-P", str(path)]
    return words


def fired(log):
    return log.read_text(errors="replace").count("(INJECTED)")


def docs_of(path, what):
    report = kfcheck.check_store(str(path))
    equal(report.findings, [], what)
    return {name.decode(): text for name, text in report.docs.items()}


# ----------------------------------------------------------------------------------------- a server


class Failing(Server):
    """A server under strace; it is strace's child that is told to stop."""

    def __init__(self, data, calls, when, paths, **more):
        self.log = Path(f"{data}.strace")
        super().__init__(data, wrap=strace(self.log, calls, when, paths), **more)

    def stop(self, timeout=20):
        pid = self.process.pid
        child = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        os.kill(int(child), signal.SIGTERM)
        return self.process.wait(timeout)

    def __exit__(self, *_):
        pid = self.process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if self.process.poll() is None else ():
            os.kill(int(child), signal.SIGKILL)
        super().__exit__()


class Ledger:
    """Eight clients, each with a document of its own; what each was told last."""

    def __init__(self, server):
        self.server, self.acked, self.refused, self.codes = server, {}, 0, set()

    def work(self, name, puts):
        client = self.server.client()
        for n in range(1, puts + 1):
            answer = client.put(f"/docs/{name}", b'{"n":%d,"pad":"%s"}' % (n, b"x" * 1500))
            if answer.status < 300:
                self.acked[name] = n
            else:
                self.codes.add((answer.status, answer.code))
                self.refused += 1
        client.close()

    def run(self, puts):
        threads = [threading.Thread(target=self.work, args=(f"d{t}", puts)) for t in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    def holds(self, numbers, what):
        for name, n in self.acked.items():
            check(numbers.get(name, 0) >= n, f"{what}: {name}: {n} was acknowledged, {numbers.get(name)} is there")


def number_of(text):
    return int(re.match(rb'\{"n":(\d+)', text)[1])


def ends_writing(title, calls, when, tails, event, puts=60):
    data = TOP / title
    path = data / "default.db"
    with Failing(data, calls, when, [f"{path}{tail}" for tail in tails]) as server:
        ledger = Ledger(server)
        ledger.run(puts)
        equal(fired(server.log), 1, f"{title}: the fault fired")
        equal(ledger.codes, {(503, "store_read_only")}, f"{title}: what writers are told")
        client = server.client()
        status = client.get("/status").json()["store"]
        equal(status["state"], "read_only", f"{title}: what the store says")
        check("disk failed" in status["reason"] and "errno 5" in status["reason"], f"{title}: and why: {status['reason']}")
        equal(client.ask("GET", "/durablez", raw=True).status, 503, f"{title}: nothing is durable now")
        equal(client.ask("GET", "/healthz", raw=True).status, 200, f"{title}: it lives")
        for name, n in ledger.acked.items():
            answer = client.get(f"/docs/{name}")
            equal((answer.status, number_of(answer.body)), (200, n), f"{title}: reads go on: {name}")
        done = run("put", "more", "-", stdin=b"1", at=path)
        equal(done.status, 8, f"{title}: by command: {done}")
        client.close()
        equal(server.stop(), 0, f"{title}: it stops")
        said = server.stderr()
        check(event in said and said.count("crit") == 1, f"{title}: it is told once: {said}")
        behind = server.log.read_text().split("(INJECTED)")[1]
        for call in ("fdatasync", "fsync", "pwrite64"):
            touched = [line for line in behind.splitlines() if call + "(" in line and "default.db" in line and ".lock" not in line]
            equal(touched, [], f"{title}: neither synced again nor checkpointed")
    numbers = {name: number_of(text) for name, text in docs_of(path, f"{title}: what is left").items()}
    ledger.holds(numbers, title)
    with Server(data) as server:
        client = server.client()
        ledger.holds({name: number_of(client.get(f"/docs/{name}").body) for name in ledger.acked}, f"{title}, opened again")
        equal(state(client), "open", f"{title}: it takes writes again")
        equal(client.put("/docs/more", b"2").status, 201, f"{title}: really")
        client.close()
        equal(server.stop(), 0, "its end")
    ledger.holds({n: number_of(t) for n, t in docs_of(path, title).items() if n != "more"}, f"{title}, in the end")
    return len(ledger.acked), ledger.refused


@test
def a_failed_sync_ends_writing():
    told = 0
    for when in (*range(8, 14 if not LONG else 60), 31):
        acked, refused = ends_writing(f"sync{when}", SYNCS, when, ("-wal",), "store.sync_failed")
        told += acked
        check(refused >= 8, "every client met it")
    check(told >= 8, f"only {told} documents were acknowledged before")


@test
def a_failed_write_ends_writing():
    for when in (20, 41, 60):
        acked, refused = ends_writing(f"write{when}", WRITES, when, ("-wal",), "store.io")
        check(acked and refused >= 8, f"before and behind it: {acked} {refused}")


@test
def a_checkpoint_that_fails_ends_writing():
    """Its sync of the file, and one of its writes: what is acknowledged is in the log, which stays as it is."""
    for calls, when, event in ((SYNCS, 1, "store.sync_failed"), (WRITES, 1, "store.io"), (WRITES, 9, "store.io")):
        title = f"checkpoint-{calls[:5]}-{when}"
        with Server(TOP / title) as server:  # makes the file, which has no other call before a checkpoint then
            client = server.client()
            equal(client.put("/docs/old", b'{"n":1}').status, 201, "a document")
            client.close()
            equal(server.stop(), 0, "its end")
        acked, _ = ends_writing(title, calls, when, ("",), event, puts=300)
        check(acked == 8, f"{title}: all clients were told yes before")


@test
def a_failed_read_is_told_and_passes():
    data = TOP / "reads"
    path, bodies = data / "default.db", {f"d{n}": b'{"n":%d,"pad":"%s"}' % (n, b"y" * 6000) for n in range(40)}
    with Server(data) as server:
        client = server.client()
        for name, text in bodies.items():
            equal(client.put(f"/docs/{name}", text).status, 201, "a document")
        client.close()
        equal(server.stop(), 0, "its end")
    met = 0
    # Behind the reads of opening; each thread that reads counts its own, and there may be several.
    for when in range(10, 36, 5):
        with Failing(data, READS, when, [path]) as server:
            client, failed = server.client(), []
            for name, text in bodies.items():
                answer = client.get(f"/docs/{name}")
                if answer.status != 200:
                    equal((answer.status, answer.code), (500, "io_error"), f"read {when}: {name}")
                    failed.append(name)
                else:
                    equal(answer.body, text, f"read {when}: {name}")
            check(len(failed) <= fired(server.log), f"read {when}: the others are read: {failed}")
            for name in failed:
                equal(client.get(f"/docs/{name}").body, bodies[name], f"read {when}: and it as well, when the disk can")
            met += len(failed)
            client.close()
            equal(server.stop(), 0, f"read {when}: it stops")
            check(fired(server.log) >= 1, f"read {when}: the fault fired")
    check(met >= 4, f"only {met} reads met it")
    equal(docs_of(path, "read"), bodies, "nothing is lost")


# ----------------------------------------------------------------------------------------- streams


class Appends:
    """Eight clients, each with a stream of its own, and the numbers that they were told."""

    def __init__(self):
        self.acked, self.codes = {f"chat/{t}": {} for t in range(8)}, set()

    def work(self, server, key, count):
        client, acked = server.client(), self.acked[key]
        for i in range(len(acked), len(acked) + count):
            answer = client.post(f"/streams/{key}/entries", {"id": f"{key}-{i}", "body": {"i": i, "pad": "x" * 500}})
            if answer.status == 201:
                acked[f"{key}-{i}"] = answer.json()["n"]
            else:
                self.codes.add((answer.status, answer.code))
        client.close()

    def run(self, server, count):
        threads = [threading.Thread(target=self.work, args=(server, key, count)) for key in self.acked]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    def are_read(self, server, what):
        client = server.client()
        for key, acked in self.acked.items():
            items = client.get(f"/streams/{key}/entries?limit=1000").json()["items"]
            equal({e["id"]: e["n"] for e in items}, acked, f"{what}: {key}")
        client.close()

    def are_there_behind(self, data, what):
        """A server that starts on what another one left reads them all, takes more, and leaves them in the tables."""
        with Server(data) as server:
            self.are_read(server, what)
            self.run(server, 5)
            equal(server.stop(), 0, f"{what}: the end of the next one")
        equal(self.codes, set(), f"{what}: refusals")
        report = kfcheck.check_store(str(data / "default.db"))
        equal((report.findings, report.counts["entries"]), ([], sum(map(len, self.acked.values()))), f"{what}: what is left")


@test
def a_redo_file_that_fails_is_done_without():
    """Groups are committed before they are told then: nobody is refused, the store goes on, and nothing is lost by a kill."""
    for calls, when in ((SYNCS, 1), (SYNCS, 2), (SYNCS, 12), (WRITES, 1), (WRITES, 2), (WRITES, 3), (WRITES, 20), (OPENS, 1)):
        title = f"redo-{calls[:5]}-{when}"
        data, appends = TOP / title, Appends()
        with Failing(data, calls, when, [data / "default.db-redo"]) as server:
            appends.run(server, 40)
            check(fired(server.log) >= 1, f"{title}: the fault fired")
            client = server.client()
            equal((state(client), appends.codes), ("open", set()), f"{title}: it goes on, and nobody was refused")
            client.close()
            appends.are_read(server, title)
            said = server.stderr()
            equal(said.count("redo.off"), 1, f"{title}: it is told: {said}")
        appends.are_there_behind(data, f"{title}, killed")


@test
def a_redo_file_that_cannot_be_read_hides_nothing():
    """What was acknowledged is in that file alone: who cannot read it says so, and answers nothing without it. That passes."""
    ahead = 0
    for calls, when in ((OPENS, 1), (READS, 1), (READS, 2), (READS, 3)):
        title = f"redo-{calls[:4]}-{when}"
        data, appends = TOP / title, Appends()
        with Server(data) as server:
            appends.run(server, 40)
            server.kill()
        ahead += kfcheck.check_store(str(copy_of(data / "default.db", TOP / f"{title}-copy"))).counts["ahead"]
        with Failing(data, calls, when, [data / "default.db-redo"]) as server:
            client = server.client()
            answer = client.get("/streams/chat/0/entries?limit=1000")
            equal((answer.status, answer.code, fired(server.log)), (500, "io_error", 1), f"{title}: who meets it")
            client.close()
            appends.are_read(server, f"{title}, read again")
        appends.are_there_behind(data, title)
    note(f"acknowledged entries that were in redo files alone: {ahead}")
    check(ahead >= 20, "there was something to hide")


# --------------------------------------------------------------------------------------- commands


class Swept:
    """A command on fresh copies of one store whose first call of a kind fails, then its second, ... until none is left."""

    def __init__(self, title, words, paths, stdin=b"", exits=(0, 8), fresh=None, after=None):
        self.title, self.words, self.paths, self.stdin = title, words, paths, stdin
        self.exits, self.fresh, self.after = exits, fresh, after
        self.home = TOP / title
        self.home.mkdir(mode=0o700)
        self.good, self.path = self.home / "good.db", self.home / "s.db"
        for name, text in (("a", b'{"n":1}'), ("b/c", b'{"n":2}'), ("d", b'{"n":3}')):
            equal(run("put", name, "-", at=self.good, stdin=text).status, 0, "a document")
        self.before = docs_of(self.good, title)
        self.faults = self.hurt = 0

    def one(self, calls, when):
        for left in self.home.glob("s.db*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        shutil.copyfile(self.good, self.path)
        if self.fresh:
            self.fresh(self)
        log = self.home / "strace.log"
        words = [*strace(log, calls, when, self.paths(self)), keepfast.PROGRAM, *map(str, self.words(self))]
        done = subprocess.run(words, input=self.stdin, capture_output=True, timeout=60)
        what = f"{self.title}, {calls} {when}"
        if not fired(log):
            equal(done.returncode, 0, f"{what}, which did not come: {done.stderr}")
            return False
        self.faults += 1
        check(done.returncode in self.exits, f"{what}: exit {done.returncode}: {done.stderr}")
        check(done.returncode == 0 or b"keepfast: " in done.stderr, f"{what}: it says why: {done.stderr}")
        self.hurt += done.returncode != 0
        again = run("ls", at=self.path)
        equal(again.status, 0, f"{what}: the next command: {again}")
        have = docs_of(self.path, what)
        check(self.before.items() <= have.items() or have == self.wanted, f"{what}: what is left: {have}")
        check(done.returncode != 0 or have == self.wanted, f"{what}: it said yes: {have}")
        if self.after:
            self.after(self, done.returncode, what)
        return True

    def everywhere(self, kinds, wanted, floor):
        self.wanted = wanted
        for calls in kinds:
            when = 1
            while self.one(calls, when):
                when += 1
                check(when < 200, f"{self.title} never comes to its end")
        note(f"{self.title}: faults={self.faults} ended_by_them={self.hurt}")
        check(self.faults >= floor and self.hurt >= floor // 2, f"{self.title}: too few: {self.faults} {self.hurt}")


def store_files(s):
    return [s.path, *(f"{s.path}{tail}" for tail in ("-wal", "-shm", ".lock")), s.home]


@test
def commands_on_a_store():
    new = {"a": b'{"n":1}', "b/c": b'{"n":2}', "d": b'{"n":3}', "e": b'{"n":4}'}
    s = Swept("put", lambda s: ("put", "e", "-", "--at", s.path), store_files, stdin=b'{"n":4}')
    s.everywhere((SYNCS, WRITES, READS, OPENS), new, 30)
    s = Swept("get", lambda s: ("get", "a", "--at", s.path), store_files)
    s.everywhere((SYNCS, WRITES, READS, OPENS), s.before, 15)


@test
def a_backup_on_a_failing_disk():
    def out(s):
        return s.home / "b.zip"

    def fresh(s):
        for left in s.home.glob("*b.zip*"):
            left.unlink()

    def after(s, status, what):
        left = sorted(p.name for p in s.home.iterdir() if not p.name.startswith(("good", "s.db", "strace")))
        equal(left, ["b.zip"] if status == 0 or out(s).exists() else [], f"{what}: what is left")
        if out(s).exists():
            equal(kfcheck.check_zip(str(out(s))).findings, [], f"{what}: whole under its name")

    s = Swept("backup", lambda s: ("backup", out(s), "--at", s.path), lambda s: [*store_files(s), out(s)], fresh=fresh, after=after)
    s.everywhere((SYNCS, READS, RENAMES, OPENS), s.before, 10)


@test
def a_restore_on_a_failing_disk():
    other, archive = TOP / "other.db", TOP / "other.zip"
    for n in range(3):
        run("put", f"r{n}", "-", at=other, stdin=b'{"n":%d}' % n)
    equal(run("backup", archive, at=other).status, 0, "the archive")
    s = Swept("restore", lambda s: ("restore", archive, "--replace", "--at", s.path), lambda s: [*store_files(s), archive])
    s.everywhere((SYNCS, READS, RENAMES, OPENS), docs_of(other, "the source"), 20)


@test
def a_remote_on_a_failing_disk():
    """The store does not notice; the command ends with 6, and the next run has it all there."""
    def remote(s):
        return s.home / "usb"

    def fresh(s):
        shutil.rmtree(remote(s), ignore_errors=True)
        equal(run("remote", "add", "usb", f"dir:{remote(s)}", "--manual", at=s.path).status, 0, "a remote")
        equal(run("sync", "--wait", at=s.path).status, 0, "what was there")
        equal(run("put", "a", "-", at=s.path, stdin=b'{"n":9}').status, 0, "a change")

    def after(s, status, what):
        report = kfcheck.check_dir(str(remote(s)))
        equal(report.findings, [], f"{what}: the remote")
        new = report.docs[b"a"] == b'{"n":9}'
        check(new or status != 0, f"{what}: it said yes")
        equal(run("sync", "--wait", at=s.path).status, 0, f"{what}: the next run")
        equal({n.decode(): t for n, t in kfcheck.check_dir(str(remote(s))).docs.items()}, docs_of(s.path, what), f"{what}: all there")

    def paths(s):
        place = remote(s)
        known = [place, place / "manifest.ndjson", place / "lock", place / "docs", place / "docs" / "a"]
        return [*known, *place.glob("docs/a/*")]

    s = Swept("remote", lambda s: ("sync", "--wait", "--at", s.path), paths, exits=(0, 6), fresh=fresh, after=after)
    s.before = {**s.before, "a": b'{"n":9}'}
    s.everywhere((SYNCS, READS, RENAMES, OPENS), s.before, 8)


# ------------------------------------------------------------------------------------------ control


@test
def control_a_ledger_that_is_ahead_is_found():
    """A server that was killed where it should have failed has not told what the harness wants to hear."""
    data = TOP / "control"
    with Failing(data, SYNCS, 9, [data / "default.db-wal"]) as server:
        ledger = Ledger(server)
        ledger.run(10)
        client = server.client()
        wait_for(lambda: state(client) == "read_only", 5)
        client.close()
    ledger.acked["d0"] = ledger.acked.get("d0", 0) + 1000
    try:
        ledger.holds({n: number_of(t) for n, t in docs_of(data / "default.db", "control").items()}, "control")
    except AssertionError as found:
        note(f"found: {found}")
        return
    raise AssertionError("a lost acknowledgement was not found out")


main()
