#!/usr/bin/env python3
# test: timeout=300
"""Remotes of a store on PostgreSQL: one of several servers runs them, the others ask it, and one takes over when it dies."""

import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from keepfast import Server, folder, run, wait_for
from pg import Cluster
from tap import check, equal, main, note, test

PG = Cluster()
SPACES = iter(f"s{n}" for n in range(1, 1000))
SOON = 8


def config(space, place, more="on_change: 100ms", url=None):
    return f'spaces: {{ {space}: {{ remotes: {{ usb: {{ url: "{url or "dir:" + str(place)}", {more} }} }} }} }}\n'


def place():
    there = folder() / "usb"
    there.mkdir(mode=0o700)
    return there


def remote(c):
    return c.get("/remotes/usb").json()


def settled(c, docs=None):
    found = remote(c)
    return found["pending"]["count"] == 0 and found["failures"] == 0 and found["hydrated"]


@test
def one_server_runs_them_and_another_takes_over():
    space, usb = next(SPACES), place()
    lines = config(space, usb)
    with Server(PG.url(), lines) as one, Server(PG.url(), lines) as two:
        both = {one: one.client(space), two: two.client(space)}
        for c in both.values():
            wait_for(lambda: c.put("/docs/a", b"0").status in (200, 201), SOON)
        for n in range(1, 5):
            for c in both.values():
                answer = c.put(f"/docs/a?wait=usb&timeout=10s", str(n) + "0" * (c is both[one]))
                check(answer.status in (200, 201) and answer.headers["Keepfast-Ack"] == "remote", f"waited for at either: {answer}")
        for c in both.values():
            equal(c.post("/remotes/usb/run?timeout=10s").status, 200, "a run that is asked for at either")
            wait_for(lambda: settled(c), SOON)
        active = [server for server in both if "remotes.active" in server.stderr()]
        equal(len(active), 1, "one of them runs them")
        chief, other = active[0], (two if active[0] is one else one)
        both[other].put("/docs/b", b"1")
        wait_for(lambda: settled(both[chief]) and settled(both[other]), SOON)
        check("remote.run" not in other.stderr(), "the other one has pushed nothing")
        os.kill(chief.process.pid, signal.SIGKILL)
        chief.process.wait()
        began = time.monotonic()
        wait_for(lambda: "remotes.active" in other.stderr(), 6)
        note(f"taken over after {time.monotonic() - began:.1f} s")
        c = both[other]
        equal(c.put("/docs/c?wait=usb&timeout=10s", b"1").headers["Keepfast-Ack"], "remote", "and goes on")
        digest = c.get("/digest").json()["digest"]
        equal(c.delete("/remotes/usb").code, "not_empty", "one of the configuration stays")
        equal(other.stop(), 0, "a clean stop")
    # Elsewhere, and empty: filled from it.
    empty = next(SPACES)
    with Server(PG.url(), config(empty, usb)) as one, Server(PG.url(), config(empty, usb)) as two:
        for server in (one, two):
            c = server.client(empty)
            wait_for(lambda: c.get("/docs/c").status == 200, SOON)
            wait_for(lambda: c.get("/digest").json()["digest"] == digest, SOON)
            equal(c.get("/docs/none").status, 404, "and absent is absent")
            equal(c.get("/status").json()["store"]["state"], "open", "open")
        equal(len([s for s in (one, two) if "remote.taken_in" in s.stderr()]), 1, "by one of them")


@test
def a_store_that_is_being_filled_says_so_everywhere():
    space, usb = next(SPACES), place()
    usb.rmdir()
    with Server(PG.url(), config(space, usb)) as one, Server(PG.url(), config(space, usb)) as two:
        for server in (one, two):
            c = server.client(space)
            wait_for(lambda: c.get("/docs/x").code == "not_hydrated", SOON)
            equal(c.put("/docs/x", b"1").code, "load_failed", "nothing is written over what is not known")
        usb.mkdir(mode=0o700)
        for server in (one, two):
            c = server.client(space)
            wait_for(lambda: c.get("/docs/x").status == 404, 15)
            equal(c.put(f"/docs/{server.process.pid}", b"1").status, 201, "then all goes on")
            wait_for(lambda: settled(c), SOON)


@test
def commands_without_a_server():
    space, usb = next(SPACES), place()
    at = PG.url(space)
    file = folder() / "keepfast.yaml"
    file.write_text(config(space, usb))
    done = run("put", "a", "-", "--config", str(file), at=at, stdin=b'{"n":1}', env={"XDG_CACHE_HOME": str(folder())})
    if done.status != 0:  # it was still being filled
        wait_for(lambda: run("put", "a", "-", "--config", str(file), at=at, stdin=b'{"n":1}').status == 0, 10)
    done = run("sync", "--wait", "--config", str(file), at=at)
    equal(done.status, 0, f"{done}")
    done = run("pending", "--config", str(file), at=at)
    equal(done.status, 0, f"{done}")
    other = next(SPACES)
    file.write_text(config(other, usb))
    wait_for(lambda: run("get", "a", "--config", str(file), at=PG.url(other)).out == b'{"n":1}', 15)
    # Added by a command, run by a server that is there already.
    third, more = next(SPACES), place()
    with Server(PG.url()) as server:
        c = server.client(third)
        equal(c.put("/docs/a", b"1").status, 201, "written")
        equal(run("remote", "add", "usb", f"dir:{more}", "--on-change", "100ms", at=PG.url(third)).status, 0, "added beside it")
        wait_for(lambda: c.get("/remotes/usb").status == 200 and settled(c), SOON)
        equal(c.put("/docs/a?wait=usb&timeout=10s", b"2").headers["Keepfast-Ack"], "remote", "and runs")
        equal(run("remote", "rm", "usb", at=PG.url(third)).status, 0, "removed beside it")
        wait_for(lambda: c.get("/remotes/usb").status == 404, SOON)


@test
def a_database_that_restarts():
    """Nobody is the chief while it is away; then somebody is, and what was written before and behind it goes out."""
    space, usb = next(SPACES), place()
    lines = config(space, usb)
    with Server(PG.url(), lines) as one, Server(PG.url(), lines) as two:
        clients = [server.client(space) for server in (one, two)]
        for c in clients:
            wait_for(lambda: c.put("/docs/a", b"1").status in (200, 201), SOON)
        for n in range(2, 5):
            clients[n % 2].put("/docs/a", str(n))
            given_up = sum(server.stderr().count("remotes.passive") for server in (one, two))
            PG.crash()
            time.sleep(1.5)
            if n == 3: # away for so long that who ran them must have noticed
                wait_for(lambda: sum(server.stderr().count("remotes.passive") for server in (one, two)) > given_up, SOON)
            PG.start()
            for c in clients:
                wait_for(lambda: c.put("/docs/b", str(n)).status in (200, 201), SOON)
            for c in clients:
                wait_for(lambda: settled(c), 15)
                equal(c.put("/docs/c?wait=usb&timeout=15s", str(n)).headers["Keepfast-Ack"], "remote", "confirmed at either")
        digest = clients[0].get("/digest").json()["digest"]
    beside, file = str(folder() / "x.db"), folder() / "keepfast.yaml"
    file.write_text(config("default", usb, "manual: true"))
    wait_for(lambda: run("get", "c", "--config", str(file), at=beside).out == b"4", 15)
    equal(json.loads(run("digest", "--json", "--config", str(file), at=beside).out)["digest"], digest, "all of it is there")


@test
def a_git_branch():
    space = next(SPACES)
    repo = folder() / "data.git"
    import subprocess
    subprocess.run(["git", "init", "-q", "--bare", str(repo)], check=True)
    lines = config(space, None, "on_change: 100ms", f"file://{repo}")
    cache = {"XDG_CACHE_HOME": str(folder())}
    with Server(PG.url(), lines, env=cache) as one, Server(PG.url(), lines, env=cache) as two:
        for n, server in enumerate((one, two)):
            c = server.client(space)
            wait_for(lambda: c.put(f"/docs/{n}.json", json.dumps({"n": n})).status in (200, 201), SOON)
            equal(c.put(f"/docs/{n}.json?wait=usb&timeout=10s", json.dumps({"n": n, "more": 1})).headers["Keepfast-Ack"], "remote", "confirmed")
        shown = subprocess.run(["git", "-C", str(repo), "ls-tree", "--name-only", "data"], check=True, capture_output=True, text=True).stdout.split()
        check({"0.json", "1.json"} <= set(shown), f"files of the branch: {shown}")


if __name__ == "__main__":
    try:
        main()
    finally:
        PG.close()
