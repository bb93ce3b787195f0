#!/usr/bin/env python3
# test: timeout=300
"""A PostgreSQL that hangs: nothing moves, no connection is closed, nobody is told. What does not need it goes on, and what does ends in time. How a server
ends then: test_postgres_stop.py."""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from faultproxy import FaultProxy
from keepfast import Server, run, state, wait_for
from pg import Cluster
from tap import check, equal, main, note, test

PG = Cluster()
TCP = Cluster(tcp=True)
SPACES = iter(f"s{n}" for n in range(1, 1000))


@test
def tokens_hold_no_loop_and_are_known_no_more():
    boss = run("token", "create", "boss", "--rights", "admin,read,write", at=PG.url())
    equal(boss.status, 0, f"{boss}")
    h = {"Authorization": f"Bearer {boss.out.decode().strip()}"}
    with Server(PG.url()) as server:
        c = server.client()
        wait_for(lambda: c.get("/v1/tokens", raw=True, headers=h).status == 200, 10)
        # a refresh waits for its rows, and then nothing moves any more
        PG.ask_aside("BEGIN; LOCK TABLE kf__keepfast.kf_token; SELECT pg_sleep(20)")
        time.sleep(2.5)
        PG.freeze()
        try:
            began, slowest, seen = time.monotonic(), 0, []
            while time.monotonic() - began < 15:
                asked = time.monotonic()
                answer = c.get("/v1/tokens", raw=True, headers=h)
                slowest = max(slowest, time.monotonic() - asked)
                seen.append((time.monotonic() - began, answer.status))
                time.sleep(0.2)
        finally:
            PG.thaw()
        note(f"slowest={slowest:.2f} s")
        check(slowest < 5, f"the loop answers while the database hangs: {slowest:.1f} s")
        check(all(status == 503 for at, status in seen if at > 10), f"nobody is let in by what may have been revoked: {seen}")
        equal(seen[0][1], 200, "at first they are known")
        wait_for(lambda: c.get("/v1/tokens", raw=True, headers=h).status == 200, 40)
    PG.ask("DROP SCHEMA kf__keepfast CASCADE")


@test
def a_damaged_token_is_told_without_the_password():
    made = run("token", "create", "boss", "--rights", "admin", at=PG.url())
    equal(made.status, 0, f"{made}")
    PG.ask("UPDATE kf__keepfast.kf_token SET spaces = 'x'")
    url = PG.url(user="kf:hunter2")
    done = run("token", "ls", at=url)
    text = (done.out + done.err).decode()
    check(done.status == 9 and "kf__keepfast" not in text and "_keepfast" in text, f"{done}")
    check("hunter2" not in text, f"the password: {text}")
    PG.ask("DROP SCHEMA kf__keepfast CASCADE")


def try_to(do):
    """What nobody answers is not the question."""
    try:
        do()
    except OSError:
        pass


@test
def reads_are_refused_once_it_is_known_to_hang():
    space = next(SPACES)
    with Server(PG.url()) as server:
        c = server.client(space)
        equal(c.put("/docs/a", b"1").status, 201, "before")
        PG.freeze()
        try:
            threads = [threading.Thread(target=try_to, args=(lambda: server.client(space).get("/docs"),)) for _ in range(20)]
            for thread in threads:
                thread.start()
            wait_for(lambda: state(c) == "away", 60, every=1)
            for _ in range(20):
                asked = time.monotonic()
                equal(c.get("/docs").code, "store_unavailable", "refused")
                check(time.monotonic() - asked < 5, "at once")
            began, slow = time.monotonic(), 0
            while time.monotonic() - began < 30:
                asked = time.monotonic()
                equal(c.get("/v1", raw=True).code, "store_unavailable", "a list of spaces")
                slow += time.monotonic() - asked > 1
                time.sleep(0.2)
            check(slow <= 3, f"it is asked now and then, and not for each request: {slow}")
        finally:
            PG.thaw()
        for thread in threads:
            thread.join()
        wait_for(lambda: c.get("/docs").status == 200 and c.put("/docs/a", b"2").status == 200, 40, every=1)


@test
def several_hosts_are_tried_until_one_takes_writes():
    space = next(SPACES)
    with FaultProxy(("127.0.0.1", TCP.port)) as dead:
        dead.black_hole()
        at = f"postgres://kf@127.0.0.1:{dead.port},127.0.0.1:{TCP.port}/postgres#{space}"
        began = time.monotonic()
        equal(run("put", "a", "-", at=at, stdin=b"1").status, 0, "the second takes over from one that says nothing")
        note(f"found after {time.monotonic() - began:.1f} s")
        check(TCP.number(f"SELECT count(*) FROM kf_{space}.kf_doc") == 1, "written")
    at = f"postgres://kf@127.0.0.1:1,127.0.0.1:{TCP.port}/postgres#{space}"
    equal(run("get", "a", at=at).out, b"1", "nobody listens at the first")


if __name__ == "__main__":
    try:
        main()
    finally:
        PG.close()
        TCP.close()
