#!/usr/bin/env python3
# test: timeout=180
"""A server that starts while its database is away, or while somebody holds a space there: what its spaces do by themselves begins when they can
be had, and nobody has to ask for it."""

import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from keepfast import Server, folder, wait_for
from pg import Cluster
from tap import check, equal, main, note, test

TOP = folder()
HEALS = 5  # seconds behind the return of the database
PG = Cluster()


def backup_config(name):
    to = TOP / name
    to.mkdir()
    return to, f'backup: {{ to: "dir:{to}", every: 1s, keep: 3 }}\n'


def made(*spaces):
    with Server(PG.url()) as server:
        for space in spaces:
            equal(server.client(space).put("/docs/a", b"1").status, 201, f"{space} is made")
        equal(server.stop(), 0, "its end")


def opened(space):
    return PG.number(f"SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'keepfast % kf_{space}'") > 0


def saved(to, space):
    return list(to.glob(f"{space}-*.zip"))


@test
def untouched_spaces_are_saved_when_the_database_is_back():
    made("quiet", "silent")
    to, config = backup_config("backups")
    PG.stop()
    with Server(PG.url(), config) as server:
        equal(server.client("quiet").get("/docs/a").code, "store_unavailable", "it is away")
        time.sleep(3)
        began = time.monotonic()
        PG.start()
        wait_for(lambda: opened("quiet") and opened("silent"), HEALS)
        note(f"opened {time.monotonic() - began:.1f} s after the start of the database")
        wait_for(lambda: saved(to, "quiet") and saved(to, "silent"), 20)
        equal(server.client("quiet").get("/docs/a").body, b"1", "what it had")
        equal(server.stop(), 0, "its end")


@test
def spaces_of_the_configuration_are_made_and_filled():
    place = TOP / "place"
    place.mkdir(mode=0o700)
    config = json.dumps({"spaces": {name: {"remotes": {"usb": {"url": f"dir:{place}/{name}", "on_change": "100ms"}}, "track": ["orders"]} for name in ("one", "two")}})
    filled = json.dumps({"spaces": {name: {"remotes": {"usb": {"url": f"dir:{place}/{name}", "on_change": "100ms"}}} for name in ("one", "two")}})
    for name in ("one", "two"):
        (place / name).mkdir(mode=0o700)
    with Server(TOP / "first", filled) as server:
        for name in ("one", "two"):
            equal(server.client(name).put("/docs/a?wait=usb&timeout=20s", b'"kept"').status, 201, "at the remote")
        equal(server.stop(), 0, "its end")
    PG.ask("CREATE TABLE orders(id bigint PRIMARY KEY, state text)")
    PG.stop()
    with Server(PG.url(), config) as server:
        PG.start()
        wait_for(lambda: opened("one") and opened("two"), HEALS)

        def count(sql):
            try:
                return PG.number(sql)
            except RuntimeError:
                return 0

        for name in ("one", "two"):
            wait_for(lambda: count(f"SELECT count(*) FROM kf_{name}.kf_doc WHERE name = 'a'") == 1, 20)
        wait_for(lambda: count("SELECT count(*) FROM kf_one.kf_tracked") == 1, 20)
        PG.ask("INSERT INTO orders VALUES(1, 'new')")
        wait_for(lambda: count("SELECT count(*) FROM kf_one.kf_captured") == 0 and count("SELECT count(*) FROM kf_one.kf_journal WHERE tbl <> 'doc'") >= 1, 20)
        equal(server.stop(), 0, "its end")


@test
def a_space_that_is_held_at_the_start_is_opened_later():
    made("locked", "not-locked")
    to, config = backup_config("later")
    with PG.session() as other:
        other.ask("BEGIN; LOCK TABLE kf_locked.kf_format IN ACCESS EXCLUSIVE MODE")
        with Server(PG.url(), config) as server:
            wait_for(lambda: saved(to, "not-locked"), 20)
            time.sleep(3)
            other.ask("ROLLBACK")
            wait_for(lambda: saved(to, "locked"), 20)
            check("space.open" in server.stderr(), f"it was told of: {server.stderr()}")
            equal(server.stop(), 0, "its end")


@test
def a_server_ends_while_it_waits_for_its_database():
    _, config = backup_config("never")
    for loops in ("1", "3"):
        PG.stop()
        with Server(PG.url(), config, arguments=["--loops", loops]) as server:
            time.sleep(2)
            began = time.monotonic()
            equal(server.stop(15), 0, "away")
            check(time.monotonic() - began < 10, "within 10 s")
        PG.start()
    with PG.session() as other:
        other.ask("BEGIN; LOCK TABLE kf_locked.kf_format IN ACCESS EXCLUSIVE MODE")
        with Server(PG.url(), config) as server:
            wait_for(lambda: PG.number("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'keepfast%'"), 10)
            began = time.monotonic()
            equal(server.stop(15), 0, "while one is being opened")
            check(time.monotonic() - began < 10, "within 10 s")
        other.ask("ROLLBACK")


if __name__ == "__main__":
    try:
        main()
    finally:
        PG.close()
