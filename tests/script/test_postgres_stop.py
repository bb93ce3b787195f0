#!/usr/bin/env python3
# test: timeout=300
"""SIGTERM while PostgreSQL hangs, or is at work on something long: whatever waits for it, the server is gone within 10 s, by itself and with
status 0. What was under way when the signal came has had its time before."""

import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from faultproxy import FaultProxy
from keepfast import Server, folder, run, wait_for
from pg import Cluster
from tap import check, equal, main, note, test

PG = Cluster()
TCP = Cluster(tcp=True)
SPACES = iter(f"s{n}" for n in range(1, 1000))


class Asked(threading.Thread):
    """A call that goes on beside the test: its answer, or None when the connection ended without one."""

    def __init__(self, do):
        super().__init__(daemon=True)
        self.do, self.answer = do, None
        self.start()

    def run(self):
        try:
            self.answer = self.do()
        except (OSError, EOFError, ValueError, ConnectionError):
            pass
        except Exception as fault:  # http.client's own
            note(f"a call ended with {fault!r}")


def ends(server, what):
    took = server.ends()
    note(f"{what}: gone after {took:.1f} s")


@test
def calls_wait_for_it():
    space = next(SPACES)
    server = Server(PG.url())
    equal(server.client(space).put("/docs/a", b"1").status, 201, "before")
    PG.freeze()
    try:
        calls = (lambda: server.client(space).put("/docs/a", "2"), lambda: server.client(space).get("/docs"))
        for n in range(24):
            Asked(calls[n % 2])
        time.sleep(1)
        ends(server, "calls under way")
    finally:
        PG.thaw()
    with Server(PG.url()) as server:
        equal(server.client(space).get("/docs/a").status, 200, "what was confirmed is there")


def many_spaces(count, places):
    """Spaces with a remote that takes what changes, soon after."""
    lines = "spaces:\n"
    names = [next(SPACES) for _ in range(count)]
    for name in names:
        place = places / name
        place.mkdir(mode=0o700)
        lines += f'  {name}: {{ remotes: {{ usb: {{ url: "dir:{place}", on_change: 2s }} }} }}\n'
    return names, lines


def ten_spaces(since):
    """All that a server may have at once: two hosts of which the first is dead, tokens, ten spaces with remotes that have something to push,
    and a space that is being opened."""
    made = run("token", "create", "boss", "--rights", "admin,read,write,run", at=TCP.url())
    equal(made.status, 0, f"{made}")
    h = {"Authorization": f"Bearer {made.out.decode().strip()}"}
    names, lines = many_spaces(10, folder())
    with FaultProxy(("127.0.0.1", TCP.port)) as dead:
        dead.black_hole()
        server = Server(f"postgres://kf@127.0.0.1:{dead.port},127.0.0.1:{TCP.port}/postgres", lines)
        clients = {name: server.client(name) for name in names}
        for name, c in clients.items():
            wait_for(lambda: c.put("/docs/a", b"1", headers=h).status in (200, 201), 30, every=0.2)
        time.sleep(2.5)  # tokens are in use, and their use is about to be written down
        for c in clients.values():
            equal(c.put("/docs/a", b"22", headers=h).status, 200, "something to push")
        TCP.freeze()
        try:
            asked = [Asked(lambda: server.client("another").put("/docs/a", b"1", headers=h)),
                     Asked(lambda: server.client().get("/v1", raw=True, headers=h))]
            time.sleep(since)
            ends(server, f"ten spaces, {since} s after it hung")
        finally:
            TCP.thaw()
        check(all(one.answer is None or one.answer.status == 503 for one in asked), f"{[one.answer for one in asked]}")
    TCP.ask("DROP SCHEMA kf__keepfast CASCADE")


@test
def ten_spaces_and_it_hangs_with_the_signal():
    ten_spaces(0.2)


@test
def ten_spaces_and_it_hangs_for_long():
    ten_spaces(12)


@test
def one_without_anything_to_do():
    server = Server(PG.url())
    equal(server.client(next(SPACES)).put("/docs/a", b"1").status, 201, "before")
    PG.freeze()
    try:
        ends(server, "idle")
    finally:
        PG.thaw()


def slow_to_delete(space, seconds):
    """From now on a statement that deletes documents takes so long."""
    PG.ask(f"CREATE FUNCTION kf_{space}.slow() RETURNS trigger LANGUAGE plpgsql AS"
           f" $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$;"
           f"CREATE TRIGGER slow BEFORE DELETE ON kf_{space}.kf_doc FOR EACH STATEMENT EXECUTE FUNCTION kf_{space}.slow()")


@test
def a_restore_is_in_its_swap():
    space = next(SPACES)
    server = Server(PG.url())
    c = server.client(space)
    equal(c.put("/docs/a", b"1").status, 201, "before")
    archive = c.get("/backup").body
    equal(c.put("/docs/b", b"2").status, 201, "not in the backup")
    slow_to_delete(space, 60)
    asked = Asked(lambda: server.client(space).post("/restore?replace=true", archive, headers={"Content-Type": "application/zip"}))
    wait_for(lambda: PG.number("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == 1, 20)
    ends(server, "a restore in its swap")
    asked.join(10)
    check(asked.answer is None or asked.answer.status == 503, f"{asked.answer}")
    wait_for(lambda: PG.number("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == 0, 20)
    with Server(PG.url()) as server:
        equal(server.client(space).get("/docs/b").body, b"2", "nothing was restored")


@test
def several_loops_let_a_commit_finish():
    """The loop of the stores has no connection itself, and is done at once: that is no reason to hurry."""
    space = next(SPACES)
    server = Server(PG.url(), arguments=["--loops", "3"])
    clients = [server.client(space) for _ in range(3)]  # each loop is given one, and that of the stores the first
    for n, c in enumerate(clients):
        equal(c.put(f"/docs/d{n}", b"1").status, 201, "before")
    clients.pop(0).close()
    time.sleep(0.2)
    PG.freeze()
    try:
        asked = [Asked(lambda n=n, c=c: c.put(f"/docs/d{n}", b"22")) for n, c in enumerate(clients, 1)]
        time.sleep(2.5)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(4.5)
    finally:
        PG.thaw()
    equal(server.process.wait(6), 0, "exit status")
    for one in asked:
        one.join(5)
    equal([one.answer and one.answer.status for one in asked], [200] * len(asked), "what was under way is answered")
    with Server(PG.url()) as server:
        equal(server.client(space).get("/docs/d1").body, b"22", "and is there")


def takes_sigterm(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
        caught = int(file.read().split("\nSigCgt:")[1].split()[0], 16)
    return caught >> (signal.SIGTERM - 1) & 1


@test
def it_is_only_starting():
    space = next(SPACES)
    lines = f"spaces: {{ {space}: {{}}, {next(SPACES)}: {{}} }}\n"
    equal(run("put", "a", "-", at=PG.url(space), stdin=b"1").status, 0, "there is one")
    PG.freeze()
    try:
        for pause in (0, 0.3, 3):
            server = Server(PG.url(), lines, expect_ready=False)
            wait_for(lambda: takes_sigterm(server), 20)
            time.sleep(pause)
            ends(server, f"started {pause} s ago")
            equal(server.process.stdout.read(), "", "it was never ready")
    finally:
        PG.thaw()
    with FaultProxy(("127.0.0.1", TCP.port)) as away:
        for how in (away.black_hole, away.refuse, away.no_answer_to_connect):
            how()
            server = Server(f"postgres://kf@127.0.0.1:{away.port}/postgres", lines, expect_ready=False)
            wait_for(lambda: takes_sigterm(server), 20)
            time.sleep(2)
            ends(server, f"started behind {how.__name__}")


if __name__ == "__main__":
    try:
        main()
    finally:
        PG.close()
        TCP.close()
