#!/usr/bin/env python3
# test: timeout=120
"""Behind a pooler: one that gives a connection to a client for as long as it stays is as good as none; one that gives it to others between two
transactions is found out and refused, before tables of two spaces are taken for each other."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from keepfast import Server, run, wait_for
from pg import Cluster, Pooler
from tap import check, equal, main, test

PG = Cluster()
SETTINGS = ("search_path", "lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "client_min_messages", "jit", "synchronous_commit",
            "client_connection_check_interval", "keepfast.session")


def left_behind(pooler, count=6):
    """What is set otherwise than at first in any of the connections that a pooler has to give: sets of name=value."""
    asked = ", ".join(f"coalesce(current_setting('{name}', true), '')" for name in SETTINGS)
    usual = PG.ask(f"SELECT {asked}")[0]
    words = [PG.bin / "psql", "-h", "127.0.0.1", "-p", str(pooler.port), "-U", "kf", "-XAtq", "-F", "\x1f", "postgres", "-c", "BEGIN", "-c", f"SELECT {asked}",
             "-c", "SELECT pg_sleep(1)", "-c", "COMMIT"]
    found = [subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) for _ in range(count)]  # at once: each has one of its own
    rows = [process.communicate(timeout=30)[0].splitlines()[0].split("\x1f") for process in found]
    equal([len(row) for row in rows], [len(SETTINGS)] * count, "all were asked")
    return [f"{name}={value}" for row in rows for name, value, was in zip(SETTINGS, row, usual) if value != was]


@test
def pooled_by_the_session_it_goes_its_way():
    with Pooler(PG, "session") as pooler:
        at = PG.url(port=pooler.port)
        with Server(at) as a, Server(at) as b:
            equal(a.client("one").put("/docs/a", b"1").status, 201, "written")
            wait_for(lambda: b.client("one").get("/docs/a").body == b"1", 10)
            equal(b.client("two").put("/docs/a", b"2").status, 201, "another space")
            equal(b.client("one").put("/docs/a", b"3").status, 200, "at the other server")
            wait_for(lambda: a.client("one").get("/docs/a").body == b"3", 10)
            equal(a.client("two").get("/docs/a").body, b"2", "spaces are told apart")


@test
def pooled_by_the_transaction_it_is_refused():
    with Pooler(PG, "transaction") as pooler:
        done = run("put", "a", "-", at=PG.url("three", port=pooler.port), stdin=b"1")
        check(done.status == 3 and b"pool_mode = session" in done.err, f"a command says what to do: {done}")
        with Server(PG.url(port=pooler.port), expect_ready=False) as server:
            equal(server.process.wait(30), 3, "a server does not start")
            check("pool_mode = session" in server.stderr(), server.stderr())
        equal(PG.number("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'kf\\_%%' AND nspname NOT IN ('kf_one', 'kf_two', 'kf__keepfast')"), 0,
              "nothing was made")
        equal(left_behind(pooler), [], "others get connections in which nothing was set")


@test
def nothing_is_set_when_a_pooler_has_some_connections():
    for settings in ((), ("server_round_robin = 1",)):
        with Pooler(PG, "transaction", settings) as pooler:
            equal(left_behind(pooler), [], "at first")  # it has six from now on
            for _ in range(4):
                done = run("put", "a", "-", at=PG.url("three", port=pooler.port), stdin=b"1")
                check(done.status == 3 and b"pool_mode = session" in done.err, f"refused: {done}")
            equal(left_behind(pooler), [], "nor behind that")


@test
def a_server_whose_pooler_comes_to_share_is_told():
    with Pooler(PG, "session") as pooler, Server(PG.url(port=pooler.port)) as server:
        c = server.client("five")
        equal(c.put("/docs/a", b"1").status, 201, "at first each has its own")
        pooler.set_mode("transaction")
        PG.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'keepfast%'")
        wait_for(lambda: c.put("/docs/a", b"2").code == "config" or c.get("/docs/a").code == "config", 20)
        equal(left_behind(pooler), [], "what comes back sets nothing")
        pooler.set_mode("session")
        PG.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'keepfast%'")
        wait_for(lambda: c.put("/docs/a", b"3").status == 200 and c.get("/docs/a").body == b"3", 20)


@test
def saboteur_pg_pooler_unchecked():
    with Pooler(PG, "transaction", ("server_round_robin = 1",)) as pooler:
        equal(left_behind(pooler), [], "at first")
        done = run("put", "a", "-", at=PG.url("six", port=pooler.port), stdin=b"1", env={"KF_SABOTAGE": "pg-pooler-unchecked"})
        check(done.status == 3 and b"pool_mode = session" in done.err, f"its mark is not there: {done}")
        check(left_behind(pooler), "but what it has set is left for others")


@test
def saboteur_pg_pooler_unnoticed():
    with Pooler(PG, "transaction") as pooler:
        done = run("put", "a", "-", at=PG.url("six", port=pooler.port), stdin=b"1", env={"KF_SABOTAGE": "pg-pooler-unnoticed"})
        check(done.status != 3, f"it goes unnoticed: {done}")


if __name__ == "__main__":
    try:
        main()
    finally:
        PG.close()
