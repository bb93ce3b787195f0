#!/usr/bin/env python3
# test: timeout=120
"""Behind a pooler: one that gives a connection to a client for as long as it stays is as good as none; one that gives it to others between two
transactions is found out and refused, before tables of two spaces are taken for each other."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from keepfast import Server, run, wait_for
from pg import Cluster, Pooler
from tap import check, equal, main, test

PG = Cluster()


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


@test
def a_server_whose_pooler_comes_to_share_is_told():
    with Pooler(PG, "session") as pooler, Server(PG.url(port=pooler.port)) as server:
        c = server.client("five")
        equal(c.put("/docs/a", b"1").status, 201, "at first each has its own")
        pooler.set_mode("transaction")
        PG.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'keepfast%'")
        wait_for(lambda: c.put("/docs/a", b"2").code == "config" or c.get("/docs/a").code == "config", 20)
        pooler.set_mode("session")
        PG.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'keepfast%'")
        wait_for(lambda: c.put("/docs/a", b"3").status == 200 and c.get("/docs/a").body == b"3", 20)


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
