#!/usr/bin/env python3
# test: timeout=300
"""A PostgreSQL that hangs: nothing moves, no connection is closed, nobody is told. What does not need it goes on, and what does ends in time."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from keepfast import Server, run, wait_for
from pg import Cluster
from tap import check, equal, main, note, test

PG = Cluster()
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


if __name__ == "__main__":
    try:
        main()
    finally:
        PG.close()
