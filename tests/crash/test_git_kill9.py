#!/usr/bin/env python3
# test: timeout=240
"""kill -9 of a server that pushes to and pulls from a git host, and machines that are thrown away.

    rounds, one store: somebody edits by hand, documents are written, some with ?wait= -> kill -9 at a random moment
        -> no process of git lives on; the branch is a history of whole commits on what was there before; what was confirmed is there
        -> the next server drains; every value is the last one written; at most one commit for each write

    rounds, new disks: writes with ?wait= from several clients at once -> kill -9, the disk is gone
        -> an empty store takes in what the host has: at least all that was confirmed, and no value that was never written
"""

import contextlib
import http.client
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
from crash import LONG, RNG, SEED  # noqa: E402
from githost import GitHost, alive  # noqa: E402
from keepfast import Server, folder, state, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TOP = folder()
ROUNDS = 400 if LONG else 20
DISKS = 100 if LONG else 8
LEFT_S = 5  # how long something of git may live on


def config(host):
    return json.dumps({"spaces": {"default": {"remotes": {"host": host.config("store", on_change="50ms", every="300ms")}}}})


def of_folder(path):
    """Processes that work in a repository of this folder."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and alive(int(entry)):
                line = Path(f"/proc/{entry}/cmdline").read_bytes()
                if str(path).encode() in line or f"GIT_DIR={path}".encode() in Path(f"/proc/{entry}/environ").read_bytes():
                    found.append((int(entry), line[:300]))
    return found


def told(host):
    if not host.tip("store", "data"):
        return {}
    return {path: json.loads(text) for path, text in host.files("store", "data").items() if not path.startswith(".keepfast/")}


class Clients:
    """Write until the server is gone. For each name: what was written, what was answered, what was confirmed by the host."""

    def __init__(self, server, names, start, wait=0.3):
        self.written, self.confirmed, self.acked, self.problems = {}, {}, {}, []
        self.threads = [threading.Thread(target=self._go, args=(server, name, start, wait), daemon=True) for name in names]
        for thread in self.threads:
            thread.start()

    def _go(self, server, name, n, wait):
        with contextlib.closing(server.client(timeout=30)) as client:
            while True:
                n += 1
                waits = RNG.random() < wait
                self.written.setdefault(name, []).append(n)
                try:
                    answer = client.put(f"/docs/{name}" + ("?wait=host&timeout=20s" if waits else ""), b"%d" % n)
                except (OSError, http.client.HTTPException):
                    return
                if answer.status not in (200, 201):
                    self.problems.append(f"{name}={n}: {answer}")
                    return
                self.acked[name] = n
                if waits:
                    self.confirmed[name] = n

    def join(self):
        for thread in self.threads:
            thread.join()
        check(not self.problems, self.problems[:3])


def one_line(log, before):
    """The commits from the newest to the tip before, each on the next."""
    new = []
    for commit in log:
        if commit.hash == before:
            break
        equal(len(commit.parents), 1 if before or commit is not log[-1] else 0, f"parents of {commit}")
        new.append(commit)
    check(not before or len(new) < len(log), "what was there is there")
    for newer, older in zip(new, new[1:]):
        equal(newer.parents, [older.hash], "one line")
    return new


@test
def a_server_is_killed_while_it_pushes_and_pulls():
    with GitHost("http") as host:
        host.make("store")
        where, last, before, by_hand, tip = TOP / "killed", {}, {}, {}, ""
        in_flight = strays = left_at = writes = 0
        for n in range(ROUNDS):
            with Server(where, config=config(host), env=host.environment()) as server:
                with contextlib.closing(server.client()) as client:
                    wait_for(lambda: state(client) == "open", 20)
                clients = Clients(server, ["a", "b", "c/d"], n * 100000)
                time.sleep(RNG.uniform(0, 0.15))
                by_hand[f"hand{n % 3}"] = n
                host.commit("store", "data", {f"hand{n % 3}": b"%d\n" % n, **({} if tip else {".keepfast/format.json": b'{"keepfast":"git","format":1}\n'})}, "by hand")
                time.sleep(RNG.uniform(0.05, 0.9))
                in_flight += bool(of_folder(where))
                server.kill()
            clients.join()
            began = time.monotonic()
            stray = of_folder(where)
            strays += bool(stray)
            try:
                wait_for(lambda: not of_folder(where), LEFT_S, 0.05)
            except TimeoutError:
                raise AssertionError(f"round {n}, seed {SEED}: it lives on: {of_folder(where)}") from None
            left_at = max(left_at, time.monotonic() - began)
            wait_for(lambda: not [p for p in host.processes() if b"receive-pack" in Path(f"/proc/{p}/cmdline").read_bytes()], 10)
            one_line(host.log("store", "data"), tip)
            tip = host.tip("store", "data")
            there = told(host)
            for name, value in clients.confirmed.items():
                check(there.get(name, 0) >= value, f"round {n}, seed {SEED}: {name} is {there.get(name)}, confirmed was {value}")
            for name, values in clients.written.items():
                check(before.get(name, 0) <= there.get(name, 0) <= values[-1], f"round {n}, seed {SEED}: {name} is {there.get(name)}, was {before.get(name)}")
                last[name] = max(clients.acked.get(name, 0), last.get(name, 0))
            before = there
            writes += sum(len(values) for values in clients.written.values())
        with Server(where, config=config(host), env=host.environment()) as server, contextlib.closing(server.client()) as client:
            wait_for(lambda: state(client) == "open", 20)
            equal(client.ask("POST", "/remotes/host/run?timeout=30s").status, 200, "a last run")
            there = told(host)
            for name, value in last.items():
                check(there[name] >= value, f"seed {SEED}: {name} is {there[name]}, answered was {value}")
            for name, value in by_hand.items():
                equal((there[name], client.get(f"/docs/{name}").json()), (value, value), f"seed {SEED}: {name}, by hand")
            for name, value in there.items():
                equal(client.get(f"/docs/{name.replace('/', '%2F')}").json(), value, f"seed {SEED}: {name} here and there")
            equal(server.stop(), 0, "its end")
        own = [commit for commit in host.log("store", "data") if "Keepfast-Seq" in commit.trailers]
        equal(len({(c.trailers["Keepfast-Site"], c.trailers["Keepfast-Seq"]) for c in own}), len(own), f"seed {SEED}: no state is committed twice")
        check(len(own) <= writes + ROUNDS, f"{len(own)} commits of {writes} writes")
        equal(host.fsck("store"), [], "a strict check")
        note(f"kills={ROUNDS} kills_while_git_ran={in_flight} git_outlived={strays} longest_s={left_at:.2f} writes={writes} commits={len(own)} seed={SEED}")
        check(in_flight >= ROUNDS // 4, "kills met git at work")


@test
def a_machine_that_is_thrown_away_comes_back_with_what_was_confirmed():
    with GitHost("http") as host:
        host.make("store")
        confirmed, written, counted = {}, {}, 0
        for n in range(DISKS):
            where = TOP / f"disk{n}"
            with Server(where, config=config(host), env=host.environment()) as server:
                with contextlib.closing(server.client()) as client:
                    wait_for(lambda: state(client) == "open", 20)
                    for name, value in confirmed.items():
                        answer = client.get(f"/docs/{name}")
                        equal(answer.status, 200, f"disk {n}, seed {SEED}: {name}")
                        check(answer.json() >= value and answer.json() in written[name], f"disk {n}, seed {SEED}: {name} is {answer}, confirmed was {value}")
                        confirmed[name] = answer.json()
                    listed = {item["name"]: client.get(f"/docs/{item['name']}").json() for item in client.get("/docs").json()["items"]}
                    equal(listed, told(host), f"disk {n}, seed {SEED}: exactly what the host has")
                clients = Clients(server, [f"d{k}" for k in range(5)], n * 100000, wait=0.8)
                time.sleep(RNG.uniform(0.1, 0.9))
                server.kill()
            clients.join()
            counted += len(clients.confirmed)
            confirmed |= clients.confirmed
            for name, values in clients.written.items():
                written.setdefault(name, []).extend(values)
            wait_for(lambda: not of_folder(where), LEFT_S, 0.05)
            shutil.rmtree(where)
        equal(host.fsck("store"), [], "a strict check")
        note(f"disks={DISKS} confirmed={counted} seed={SEED}")
        check(counted >= DISKS, "something was confirmed")


@test
def what_a_killed_command_left_stops_nothing():
    with GitHost("path") as host:
        host.make("store")
        where = TOP / "left"
        with Server(where, config=config(host)) as server, contextlib.closing(server.client()) as client:
            wait_for(lambda: state(client) == "open", 20)
            equal(client.put("/docs/a?wait=host&timeout=20s", b"1").status, 201, "before")
            git = where / "default.db.d" / "host" / "git"
            left = [git / name for name in ("shallow.lock", "packed-refs.lock", "HEAD.lock", "refs/keepfast/tip.lock", "refs/keepfast/next.lock",
                                            "objects/pack/tmp_pack_abcdef", "objects/pack/pack-0.keep", "fast_import_crash_1")]
            for each in left:
                each.write_text("")
            host.commit("store", "data", {"b": b"2\n"}, "by hand")
            equal(client.put("/docs/a?wait=host&timeout=20s", b"2").status, 200, "after")
            equal(client.get("/docs/b").json(), 2, "and what came")
            equal([each.name for each in left if each.exists()], [], "it is gone")
            equal(server.stop(), 0, "its end")


main()
