#!/usr/bin/env python3
"""Clocks lie: two stores push to one folder with clocks that are hours, years or decades apart, and still end with the same documents;
whoever has seen a value beats it; a clock that was turned back between two runs puts nothing behind what was there."""
# test: timeout=180

import json
import os
import random

from keepfast import at_time, folder, run
from tap import check, equal, main, note, test

TOP = folder()
SEED = int(os.environ.get("KF_SEED", random.randrange(1 << 31)))
LONG = bool(os.environ.get("KF_LONG"))


class Store:
    """Through the command line, with a clock of its own."""

    def __init__(self, path, shift=""):
        self.path, self.shift = path, shift

    def run(self, *words, stdin=b"", want=0):
        done = run(*words, "--at", self.path, stdin=stdin, env=at_time(self.shift))
        equal(done.status, want, f"{words} with the clock at {self.shift or 'now'}: {done}")
        return done

    def put(self, name, value, *words):
        return json.loads(self.run("put", name, "-", "--json", *words, stdin=json.dumps(value).encode()).out)

    def get(self, name):
        return json.loads(self.run("get", name).out)

    def sync(self):
        self.run("sync", "--wait")

    def digest(self):
        return self.run("digest").out

    def join(self, remote):
        self.run("remote", "add", "usb", f"dir:{remote}", "--manual")


def pair(name, shift):
    home = TOP / name
    home.mkdir()
    a, b = Store(home / "a.db"), Store(home / "b.db", shift)
    for s in (a, b):
        s.put("first" + s.path.stem, 0)
        s.join(home / "usb")
    return a, b


def settle(a, b, what):
    """A run of each shows what the other pushed; a third of the first takes what the second made of it."""
    for _ in range(3):
        a.sync()
        b.sync()
    equal(a.digest(), b.digest(), f"{what}: both hold the same")


SHIFTS = ("+1h", "-1h", "+4m", "-400d", "+400d", "+20y")


@test
def a_store_an_hour_ahead_and_one_that_overwrites_it():
    for shift in SHIFTS:
        a, b = pair("over" + shift, shift)
        b.put("x", "b1")
        b.sync()
        a.sync()
        equal(a.get("x"), "b1", f"what came from a clock at {shift} is there")
        equal(a.put("x", "a2", "--wait", "usb")["ack"], "remote", "it is confirmed by the folder")
        b.sync()
        equal(b.get("x"), "a2", f"{shift}: whoever has seen a value beats it")
        settle(a, b, shift)
        equal(a.get("x"), "a2", f"{shift}: and it stays so")
        b.put("x", "b3")
        b.sync()
        a.sync()
        equal(a.get("x"), "b3", f"{shift}: the other way round")
        a.run("rm", "x")
        settle(a, b, shift)
        b.run("get", "x", want=1)


@test
def writes_in_any_order_end_alike():
    rng, writes, conflicts = random.Random(SEED), 0, 0
    for number, shift in enumerate(SHIFTS * (10 if LONG else 1)):
        a, b = pair(f"any{number}", shift)
        for _ in range(25):
            s = rng.choice((a, b))
            act = rng.random()
            name = rng.choice("xyz")
            if act < 0.5:
                s.put(name, rng.randrange(3))
                writes += 1
            elif act < 0.6:
                run("rm", name, "--at", s.path)
            else:
                s.sync()
        settle(a, b, f"seed {SEED}, {shift}")
        for name in "xyz":
            log = run("log", name, "--json", "--at", a.path)
            if log.status == 0:
                conflicts += b"loser" in log.out or b"merge" in log.out
    note(f"seed={SEED} writes={writes} documents_that_were_merged={conflicts}")
    check(writes >= 30 and conflicts >= 3, "writes and merges")


@test
def an_empty_disk_of_a_machine_without_a_clock():
    home = TOP / "empty"
    home.mkdir()
    a = Store(home / "a.db")
    for n in range(30):
        a.put(f"d/{n}", n)
    a.join(home / "usb")
    a.sync()
    b = Store(home / "b.db", "@1971-01-01 00:00:00")
    b.join(home / "usb")
    b.sync()
    equal(b.digest(), a.digest(), "everything came, as it was")
    b.put("d/1", "later")
    b.put("new", "later")
    settle(a, b, "1971")
    equal(a.get("d/1"), "later", "written with a clock decades behind, after having seen the value")


@test
def the_own_clock_is_turned_back_and_forth():
    s = Store(TOP / "own.db")
    seen, version = set(), 0
    for shift in ("", "-400d", "+1h", "-1h", "", "+400d", ""):
        s.shift = shift
        for _ in range(3):
            written = s.put("x", {"at": shift, "n": version})
            equal(written["version"], version + 1, f"the next version with the clock at {shift or 'now'}")
            version += 1
            check(written["etag"] not in seen, "an ETag is given once")
            seen.add(written["etag"])
    items = json.loads(s.run("log", "x", "--json").out)["items"]
    equal([i["version"] for i in items], list(range(version, 0, -1)), "in the order in which they were written")


main()
