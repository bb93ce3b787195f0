#!/usr/bin/env python3
# test: timeout=120
"""Machines that are thrown away at random moments, and what comes back from each kind of place alone.

    one writer, one order: documents are written, replaced, removed; now and then it waits until the place has confirmed (the ledger)
        -> kill -9, often in the midst of a push; the disk is gone
        -> what stands at the place is read without Keepfast: kfcheck.py, plain git
           it is exactly what the ledger was after its k-th line: not before what was confirmed, not beyond what was sent
        -> a new disk is filled from it alone: exactly that, and it goes on from there

Kinds: a folder, a branch in a folder, a branch behind http with a token whose host refuses every fourth push, a scheduled backup.
"""

import contextlib
import http.client
import itertools
import json
import os
import re
import shutil
import sys
import threading
import time
import urllib.parse
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
from crash import LONG, RNG, SEED, kfcheck  # noqa: E402
from githost import GitHost, alive  # noqa: E402
from keepfast import Server, folder, run, state, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TOP = folder()
ROUNDS = 200 if LONG else 8
NAMES = [f"d/{n}.json" for n in range(30)] + ["kredyty.json", "chat/Zażółć.json", "Twin", "twin", "a", "a/b", ".git/x"]
LEFT_S = 10  # how long something of git may live on


class Ledger:
    """All that was sent, in order: (name, number) or (name, None) for a removal. The first `confirmed` are at the place."""

    def __init__(self):
        self.lines, self.acked, self.confirmed = [], 0, 0

    def after(self, count):
        """The documents after so many lines: name -> number."""
        docs = {}
        for name, number in self.lines[:count]:
            docs.pop(name, None)
            if number is not None:
                docs[name] = number
        return docs

    def find(self, docs):
        """After how many lines it was like this, beginning with what was confirmed; None: never."""
        now = self.after(self.confirmed)
        for count in range(self.confirmed, len(self.lines) + 1):
            if now == docs:
                return count
            if count < len(self.lines):
                name, number = self.lines[count]
                now.pop(name, None)
                if number is not None:
                    now[name] = number
        return None

    def cut(self, count):
        """The rest went with the disk."""
        self.lines, self.acked, self.confirmed = self.lines[:count], count, count


def text_of(number):
    return json.dumps({"n": number, "text": "ą" * (number * 7 % 900)}, ensure_ascii=False).encode()


class Writer(threading.Thread):
    """Until the server is gone."""

    def __init__(self, server, ledger, remote, burst):
        super().__init__(daemon=True)
        self.client, self.ledger, self.remote, self.burst = server.client(timeout=30), ledger, remote, burst
        self.problems = []

    def run(self):
        ledger, docs = self.ledger, self.ledger.after(len(self.ledger.lines))
        with contextlib.closing(self.client):
            while True:
                number = len(ledger.lines) + 1
                name = RNG.choice(NAMES)
                removes = name in docs and RNG.random() < 0.15
                waits = self.remote and RNG.random() < 1 / self.burst
                ledger.lines.append((name, None if removes else number))
                path = f"/docs/{urllib.parse.quote(name, safe='')}"
                path += f"?wait={self.remote}&timeout=20s" if waits else ""
                try:
                    answer = self.client.delete(path) if removes else self.client.put(path, text_of(number))
                except (OSError, http.client.HTTPException):
                    return
                if answer.status not in (200, 201, 204) and (not waits or answer.code != "level_unavailable"):
                    self.problems.append(f"{name}={number}: {answer}")
                    return
                docs.pop(name, None)
                if not removes:
                    docs[name] = number
                ledger.acked = number
                if waits and answer.status != 503:
                    ledger.confirmed = number


# ------------------------------------------------------------------------------------------- places


class Folder:
    remote = "place"

    def __init__(self, tag, delay=""):
        """`delay`: what each call of the place takes at least, so that however fast the disk is most kills meet a push."""
        self.where = TOP / f"{tag}-place"
        self.where.mkdir(mode=0o700)
        self.env, self.left = {}, set()
        self.url = f"fail:name={tag},delay={delay}:dir:{self.where}" if delay else f"dir:{self.where}"

    def config(self):
        return json.dumps({"spaces": {"default": {"remotes": {"place": {"url": self.url, "on_change": "20ms"}}}}})

    def under_way(self, data):
        return False  # seen by what it left

    def settle(self, data):
        """Whether a push was cut: a half object, or a whole one that nothing names, and that was not there before."""
        named = set()
        if (self.where / "manifest.ndjson").exists():
            for entry in kfcheck.read_manifest((self.where / "manifest.ndjson").read_bytes()):
                if entry.get("hash") and "doc" in entry:
                    named.add(os.fsdecode(kfcheck.object_path(entry["doc"].encode(), entry["hash"])))
                named.add(entry.get("retired"))
        paths = [str(path.relative_to(self.where)) for path in self.where.rglob("*") if path.is_file()]
        left = {path for path in paths if "/.tmp-" in f"/{path}" or path.startswith("docs/") and path not in named}
        was_cut = bool(left - self.left)
        self.left = left
        return was_cut

    def read(self):
        """The documents that stand there, name -> bytes; without Keepfast."""
        if not (self.where / "manifest.ndjson").exists():
            return {}
        report = kfcheck.check_dir(str(self.where))
        equal(report.findings, [], f"seed {SEED}: what an independent look finds")
        return report.docs

    def refill(self, data):
        pass

    def close(self):
        pass


class Branch:
    remote = "place"

    def __init__(self, kind):
        self.host = GitHost(kind)
        self.host.make("store")
        self.env = self.host.environment()

    def refuse_some(self):
        self.host.hook("store", "pre-receive", "[ $(($$ / 2 % 4)) != 0 ] || { echo 'the quota is used up' >&2; exit 1; }\n")

    def config(self):
        return json.dumps({"spaces": {"default": {"remotes": {"place": self.host.config("store", on_change="20ms")}}}})

    def at_work(self, data):
        """What works for the store of this folder, or for the host."""
        found = [pid for pid in self.host.processes() if b"receive-pack" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if entry.isdigit() and alive(int(entry)) and str(data).encode() in Path(f"/proc/{entry}/cmdline").read_bytes():
                    found.append(int(entry))
        return found

    def under_way(self, data):
        return bool(self.at_work(data))

    def settle(self, data):
        wait_for(lambda: not self.at_work(data), LEFT_S)
        return False

    def read(self):
        if not self.host.tip("store", "data"):
            return {}
        equal(self.host.fsck("store"), [], "a strict check")
        files = self.host.files("store", "data").items()
        return {kfcheck.git_name(os.fsencode(path)): text for path, text in files if not path.startswith(".keepfast/")}

    def refill(self, data):
        pass

    def close(self):
        self.host.close()


class Backup:
    remote = ""

    def __init__(self, tag):
        self.to = TOP / f"{tag}-backups"
        self.to.mkdir()
        self.env, self.seen, self.floor, self.before, self.ledger = {}, set(), 0, 0, None

    def config(self):
        return f'backup: {{ to: "dir:{self.to}", every: 100ms, keep: 5 }}\n'

    def files(self):
        """The oldest first; the second one of a second ends in Z-2.zip."""
        names = [re.fullmatch(r"default-(.{19})Z(?:-(\d+))?\.zip", path.name) for path in self.to.iterdir()]
        return [self.to / m[0] for m in sorted(filter(None, names), key=lambda m: (m[1], int(m[2] or 1)))]

    def watch(self, parts):
        """Until a while after another one has its name, or only begins to be written. One begins when the one before has its name: so
        the newest has at least what was acknowledged before that name was seen, and so much is confirmed."""
        first, until, late = self.seen, None, time.monotonic() + 20
        while until is None or time.monotonic() < until:
            acked, files = self.ledger.acked, set(self.files())
            if files - self.seen:
                self.ledger.confirmed = max(self.ledger.confirmed, self.floor)
                self.floor, self.seen = self.before, files
            self.before = acked
            if until is None and (files - first or parts and list(self.to.glob(".*.part"))):
                until = time.monotonic() + RNG.uniform(0, 0.02 if parts else 0.4)
            check(until or time.monotonic() < late, "a backup is made")
            time.sleep(0.002)

    def under_way(self, data):
        return False

    def settle(self, data):
        return bool(list(self.to.glob(".*.part")))

    def read(self):
        if not self.files():
            return {}
        report = kfcheck.check_zip(str(self.files()[-1]))
        equal(report.findings, [], f"seed {SEED}: what an independent look finds")
        return report.docs

    def refill(self, data):
        if self.files():
            data.mkdir(mode=0o700)
            done = run("restore", self.files()[-1], at=data / "default.db")
            equal(done.status, 0, f"restored: {done}")

    def close(self):
        pass


# ----------------------------------------------------------------------------------------- the story


def lives(tag, place, rounds, busy_min=0, lines_min=0, burst=25, sabotage="", longest=0.5):
    """Machines on one place, each thrown away: so many, and further ones until enough were killed in a push and enough was written.
    The first fault is raised."""
    ledger, busy, lost, kept = Ledger(), 0, 0, 0
    place.ledger = ledger
    env = place.env | ({"KF_SABOTAGE": sabotage} if sabotage else {})
    try:
        for turn in itertools.count():
            if turn >= rounds and ((busy >= busy_min and len(ledger.lines) >= lines_min) or turn >= 6 * rounds):
                break
            what = f"{tag}, machine {turn}, seed {SEED}"
            data = TOP / f"{tag}-{turn}"
            place.refill(data)
            with Server(data, config=place.config(), env=env) as server:
                with contextlib.closing(server.client()) as client:
                    wait_for(lambda: state(client) in ("open", "unknown_space"), 20)
                    docs = place.read()
                    if docs:
                        equal(client.get("/digest").json()["digest"], kfcheck.digest(docs), f"{what}: what was there came, and nothing else")
                    else:
                        check(client.get("/digest").status in (200, 404), f"{what}: nothing was there")
                    if isinstance(place, Backup):
                        place.seen, place.floor, place.before = set(place.files()), ledger.confirmed, ledger.acked
                writer = Writer(server, ledger, place.remote, burst)
                began = ledger.acked
                writer.start()
                if isinstance(place, Backup):
                    place.watch(turn % 3 == 2)
                else:
                    time.sleep(RNG.uniform(0.05, longest))
                under_way = place.under_way(data)
                server.kill()
            writer.join()
            equal(writer.problems, [], what)
            check(ledger.acked >= began, what)
            busy += place.settle(data) or under_way
            docs = place.read()
            count = ledger.find({name.decode(): json.loads(text)["n"] for name, text in docs.items()})
            if count is None:
                lines = ledger.lines[ledger.confirmed - 1:ledger.confirmed]
                raise AssertionError(f"{what}: what stands there is no state from the {ledger.confirmed}. line {lines} on: {sorted(docs)}")
            for name, text in docs.items():
                equal(json.loads(text), json.loads(text_of(json.loads(text)["n"])), f"{what}: {name}")
            report = kfcheck.check_store(str(data / "default.db"))
            equal(report.findings, [], f"{what}: the disk, before it goes")
            lost += len(ledger.lines) - count
            kept += count - ledger.confirmed
            ledger.cut(count)
            shutil.rmtree(data)
    finally:
        place.close()
    note(f"{tag}: machines={turn} killed_in_a_push={busy} lines={len(ledger.lines)} gone_unconfirmed={lost} there_unconfirmed={kept} seed={SEED}")
    return busy, len(ledger.lines)


def reach(tag, place, rounds, busy_min, lines_min, **kw):
    busy, lines = lives(tag, place, rounds, busy_min, lines_min, **kw)
    check(busy >= busy_min and lines >= lines_min, f"{busy} of {busy_min} kills met a push, {lines} of {lines_min} lines are there")


@test
def from_a_folder():
    reach("dir", Folder("dir"), 2 * ROUNDS, 1, 20 * ROUNDS)


@test
def from_a_branch_in_a_folder():
    reach("path", Branch("path"), ROUNDS, ROUNDS // 4, 5 * ROUNDS)


@test
def from_a_branch_behind_http_that_refuses_some():
    place = Branch("http")
    place.refuse_some()
    reach("http", place, ROUNDS, ROUNDS // 4, 2 * ROUNDS, longest=0.9)


@test
def from_a_backup():
    reach("zip", Backup("zip"), ROUNDS * 5 // 8, 1, 20 * ROUNDS)


def is_found(tag, place, sabotage, rounds):
    try:
        lives(tag, place, rounds, sabotage=sabotage)
    except (AssertionError, TimeoutError) as found:
        note(f"{tag}: {found}")
        return
    raise AssertionError(f"{sabotage} was not found in {rounds} machines")


@test
def saboteur_manifest_before_blobs_is_found():
    is_found("before", Folder("before", delay="5ms"), "manifest-before-blobs", 60)


@test
def saboteur_git_confirm_early_is_found():
    place = Branch("path")
    place.refuse_some()
    is_found("early", place, "git-confirm-early", 40)


try:
    main()
finally:
    shutil.rmtree(TOP, ignore_errors=True)
