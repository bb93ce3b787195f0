#!/usr/bin/env python3
# test: timeout=240
"""kill -9 at random moments, and exactly at the k-th sync, write, rename and unlink: everything acknowledged is there.

The page cache outlives the process, so this cannot see a missing sync (test_powercut.py does); it sees answers that come
too early, halves of a change, and a recovery that throws something away.
"""

import http.client
import os
import re
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
from crash import LONG, RNG, SEED, Ledger, Loss, Writer, held, judge, kfcheck  # noqa: E402
from keepfast import PROGRAM, Server, folder, run  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

CYCLES = 20000 if LONG else 300
SERVER_CYCLES = 500 if LONG else 15
TOP = folder()


# ------------------------------------------------------------------------------- random moments


def life(path, ledger, wait_s, whole=False, env=None):
    """One life of the writer; how many documents are ahead of what was acknowledged."""
    writer = Writer(path, ledger, env=env)
    writer.opened.wait(10)
    time.sleep(wait_s)
    status = writer.kill()
    equal(status, -9, f"how the writer ended: {writer.errors}")
    return judge(ledger, held(path, whole))


@test
def at_random_moments():
    """One store through many deaths; every fifth time even its opening is cut."""
    path, ledger, acks, in_flight = TOP / "random.db", Ledger(), 0, 0
    for n in range(CYCLES):
        if n % 5 == 4:
            writer = Writer(path, ledger)
            time.sleep(RNG.uniform(0, 0.012))
            writer.kill()
            judge(ledger, held(path))
        in_flight += life(path, ledger, RNG.uniform(0.001, 0.025), whole=n % 25 == 24) > 0
        if path.stat().st_size > 32 << 20:
            acks += ledger.acks
            path, ledger = TOP / f"random{n}.db", Ledger()
    acks += ledger.acks
    note(f"kills={CYCLES + CYCLES // 5} acks={acks} kills_with_commit_in_flight={in_flight} seed={SEED}")
    check(acks >= 20 * CYCLES, "the writer really wrote")
    check(in_flight >= CYCLES // 6, "kills met commits")


@test
def saboteur_ack_before_write_is_found():
    for n in range(300):
        ledger = Ledger()
        try:
            life(TOP / f"sabotage{n}.db", ledger, RNG.uniform(0.001, 0.02), env={"KF_SABOTAGE": "ack-before-write"})
        except Loss as found:
            note(f"found after {n + 1} kills: {found}")
            return
    raise AssertionError("a store that answers before it writes was not found out in 300 kills")


# -------------------------------------------------------------------------- exactly at one call


def struck(log):
    """Whether the kill fired: strace has seen it."""
    return "killed by SIGKILL" in log.read_text(errors="replace")


def strace(log, calls, when):
    return ("strace", "-f", "-qq", "-o", str(log), "-e", f"trace={calls}", "-e",
            f"inject={calls}:signal=KILL:when={when}")


@test
def exactly_at_the_kth_call_of_a_writer():
    """One thread writes, so that k counts its calls. The first ones make the store; every later one lies inside a commit,
    the far ones in or behind a checkpoint, which moves its pages one by one."""
    kills = in_commit = 0
    last = 2000 if LONG else 24
    for call, far in (("fdatasync", 700), ("pwrite64", 3000)):
        for k in [*range(1, last + 1), *(RNG.randrange(last, far) for _ in range(26))]:
            path, ledger, log = TOP / f"{call}{k}.db", Ledger(), TOP / "strace.log"
            writer = Writer(path, ledger, threads=1, docs=4, wrap=strace(log, call, k))
            try:
                writer.process.wait(30)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"{call} {k} never came") from None
            finally:
                writer.kill()
            check(struck(log), f"{call} {k}: the kill did not fire")
            kills += 1
            opens_again(path, ledger)
            in_commit += ledger.acks > 0
            for left in TOP.glob(f"{call}{k}.db*"):
                left.unlink()
    note(f"kills_at_a_call={kills} in_commits={in_commit}")
    check(in_commit >= 50, "kills inside commits")


def opens_again(path, ledger):
    """The file as it was left, then what Keepfast itself makes of it, twice: an opening must not spoil the next one."""
    if ledger.acks:
        judge(ledger, held(path))
    elif not path.exists():
        equal(run("ls", "--at", path).status, 1, "it had not begun")
        return
    for _ in range(2):
        done = run("ls", "--at", path)
        equal(done.status, 0, f"opening it again: {done}")
    judge(ledger, held(path, whole=True))


# ------------------------------------------------------------------------ commands, at every call

# strace counts in each thread, so kinds of calls are struck apart from each other: all of them are met.
CALLS = ("fdatasync,fsync,syncfs,sync", "pwrite64,write", "rename,renameat,renameat2,link,linkat", "unlink,unlinkat,rmdir",
         "ftruncate,mkdir,mkdirat")


def seed_store(path):
    for name, body in (("a", b'{"n":1,"keep":true}'), ("b/c", b'{"n":2}'), ("d", b'{"n":3}'), ("d", b'{"n":4}')):
        equal(run("put", name, "-", "--at", path, stdin=body).status, 0, f"put {name}")


def docs_of(path):
    report = kfcheck.check_store(str(path))
    if report.findings:
        raise Loss(f"the store is not sound: {report.findings[:3]}")
    return report.docs


class Struck:
    """A command on fresh copies of one store, killed at its first call, its second ..., until it survives.

    The documents must be those before or those after it, never less, and the next command must find them in order."""

    def __init__(self, title, words, stdin=b"", seed=seed_store, reset=None, after=None):
        self.title, self.words, self.stdin, self.reset, self.after = title, words, stdin, reset, after
        self.home = TOP / title
        self.home.mkdir()
        self.good, self.path = self.home / "good.db", self.home / "s.db"
        seed(self.good)
        self.before = docs_of(self.good)
        self.kills = self.olds = self.news = 0

    def fresh(self):
        for left in self.home.glob("s.db*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        shutil.copyfile(self.good, self.path)
        if self.reset:
            self.reset()

    def strike(self, calls, k):
        """False when it survived."""
        self.fresh()
        log, out = self.home / "strace.log", self.home / f"out-{calls[:5]}-{k}"
        words = [*strace(log, calls, k), PROGRAM, *map(str, self.words(self.path, out))]
        done = subprocess.run(words, input=self.stdin, capture_output=True, timeout=60)
        what = f"{self.title} killed at {calls} {k}"
        if not struck(log):
            equal(done.returncode, 0, f"{what}, which did not come: {done.stderr[-300:]}")
            return False
        equal(done.returncode, -9, what)
        self.kills += 1
        done = run("digest", "--at", self.path)
        equal(done.status, 0, f"{what}, the next command: {done}")
        have = docs_of(self.path)
        if have not in (self.before, self.new):
            raise Loss(f"{what}: neither before nor after: {have}")
        self.news += have == self.new
        self.olds += have == self.before
        if self.after:
            self.after(self, out, what)
        return True

    def everywhere(self, floor):
        self.fresh()
        done = run(*self.words(self.path, self.home / "whole"), stdin=self.stdin)
        equal(done.status, 0, f"{self.title} undisturbed: {done}")
        self.new = docs_of(self.path)
        for calls in CALLS:
            k = 1
            while self.strike(calls, k):
                k += 1
                check(k < 1000, f"{self.title} never comes to its end")
        note(f"{self.title}: kills={self.kills} left_old={self.olds} left_new={self.news}")
        check(self.kills >= floor, f"{self.title}: only {self.kills} calls to kill at, floor {floor}")


@test
def commands_killed_at_every_call():
    Struck("put", lambda s, _: ("put", "a", "-", "--at", s), b'{"n":10}').everywhere(20)
    Struck("patch", lambda s, _: ("patch", "a", "-", "--at", s), b'{"n":11}').everywhere(20)
    Struck("rm", lambda s, _: ("rm", "b/c", "--at", s)).everywhere(20)


@test
def backup_killed_at_every_call():
    def whole_or_absent(_, out, what):
        if out.exists():
            equal(kfcheck.check_zip(str(out)).findings, [], f"{what} left a file under its name")

    Struck("backup", lambda s, out: ("backup", out, "--at", s), after=whole_or_absent).everywhere(10)


@test
def restore_killed_at_every_call():
    other, archive = TOP / "other.db", TOP / "other.zip"
    run("put", "x", "-", "--at", other, stdin=b'{"from":"elsewhere"}')
    run("put", "a", "-", "--at", other, stdin=b'{"from":"elsewhere"}')
    equal(run("backup", archive, "--at", other).status, 0, "the backup to restore")

    def seed(path):
        seed_store(path)
        equal(run("remote", "add", "usb", f"dir:{TOP}/usb", "--manual", "--at", path).status, 0, "remote add")

    def after(restore, _, what):
        equal(run("remote", "show", "usb", "--at", restore.path).status, 0, f"{what}: its remotes are still its remotes")

    struck_restore = Struck("restore", lambda s, _: ("restore", archive, "--replace", "--at", s), seed=seed, after=after)
    struck_restore.everywhere(30)
    check(struck_restore.olds and struck_restore.news, "kills before and behind the swap")


@test
def sync_killed_at_every_call():
    """A push to a folder: whoever reads the folder finds the state before it or the one after it."""
    remote, kept = TOP / "remote", TOP / "remote-before"
    states = {}

    def seed(path):
        seed_store(path)
        equal(run("remote", "add", "usb", f"dir:{remote}", "--manual", "--at", path).status, 0, "remote add")
        equal(run("sync", "--wait", "--at", path).status, 0, "the first sync")
        shutil.copytree(remote, kept)
        for name, text in (("a", b'{"n":7}'), ("new/one", b'{"n":8}')):
            run("put", name, "-", "--at", path, stdin=text)
        run("rm", "d", "--at", path)

    def reset():
        shutil.rmtree(remote)
        shutil.copytree(kept, remote)

    def sound(what):
        report = kfcheck.check_dir(str(remote))
        equal(report.findings, [], what)
        return report

    def after(struck_sync, _, what):
        left = sound(what).digest
        states[left] = states.get(left, 0) + 1
        done = run("sync", "--wait", "--at", struck_sync.path)
        equal(done.status, 0, f"{what}, the next sync: {done}")
        equal(sound(f"{what}, the next push").docs, struck_sync.before, f"{what}: what the folder holds in the end")

    Struck("sync", lambda s, _: ("sync", "--wait", "--at", s), seed=seed, reset=reset, after=after).everywhere(20)
    note(f"the folder was left in {len(states)} states: {sorted(states.values())}")
    equal(len(states), 2, "before and after, nothing else")


# ---------------------------------------------------------------------------------- the server


class Load(threading.Thread):
    """A client of its own documents: the operations of the writer over HTTP or by the command line."""

    def __init__(self, number, ledger, step):
        super().__init__(daemon=True)
        self.number, self.ledger, self.step = number, ledger, step
        self.errors = []

    def run(self):
        n = {}
        try:
            for turn in range(1 << 30):
                name = f"h{self.number}/d{turn % 3}"
                if name not in n:
                    n[name] = self.ledger.found.get(name, 0)
                version = self.step(name, n[name] + 1)
                n[name] += 1
                equal(version, n[name], f"the version that operation {n[name]} of {name} made")
                self.ledger.line(f"A {name} {n[name]}")
        except Gone:
            pass
        except Exception as why:
            self.errors.append(repr(why))


class Gone(Exception):
    """The server is no longer there."""


def body(n):
    return b'{"n":%d,"pad":"%s"}' % (n, b"p" * (n * 37 % 2000))


def by_http(server):
    client = server.client()

    def step(name, n):
        try:
            if n % 20 == 19:
                answer = client.delete(f"/docs/{name}")
            elif n % 7 == 3 and n % 20:
                answer = client.patch(f"/docs/{name}", b'{"n":%d}' % n)
            else:
                answer = client.put(f"/docs/{name}", body(n))
        except (OSError, http.client.HTTPException):
            raise Gone from None
        if answer.status >= 300:
            raise AssertionError(repr(answer))
        return n if answer.status == 204 else answer.json()["version"]

    return step


def by_command(data, stopping):
    def step(name, n):
        if stopping.is_set():
            raise Gone
        at = f"{data}#default"
        if n % 20 == 19:
            done = run("rm", name, "--at", at)
        else:
            done = run("put", name, "-", "--at", at, stdin=body(n))
        if done.status:
            raise Gone
        return n

    return step


@test
def a_server_with_clients():
    data, ledger = TOP / "data", Ledger()
    ledger.found = {}
    path, in_flight = data / "default.db", 0
    for cycle in range(SERVER_CYCLES):
        stopping = threading.Event()
        ledger.life()
        with Server(data) as server:
            loads = [Load(i, ledger, by_http(server)) for i in range(6)] + [Load(9, ledger, by_command(data, stopping))]
            for load in loads:
                load.start()
            time.sleep(RNG.uniform(0.05, 0.2))
            stopping.set()
            if RNG.random() < 0.5:  # also while the command line may be starting to own the store
                time.sleep(RNG.uniform(0, 0.01))
            server.kill()
            for load in loads:
                load.join(60)
                check(not load.is_alive(), "a client hangs on a dead server")
                equal(load.errors, [], "answers of the server")
        rows = held(path, whole=cycle % 5 == 4)
        in_flight += judge(ledger, rows) > 0
        ledger.found = {name: version for name, (version, _) in rows.items()}
    note(f"server_kills={SERVER_CYCLES} acks={ledger.acks} kills_with_commit_in_flight={in_flight}")
    check(ledger.acks >= 50 * SERVER_CYCLES, "the clients really wrote")
    check(any(name.startswith("h9/") for name in ledger.last), "the command line really wrote")


main()
