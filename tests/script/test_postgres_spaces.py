#!/usr/bin/env python3
# test: timeout=300
"""Spaces of a database that are opened, removed and listed while it is slow or hangs: nobody else waits for that."""

import os
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from keepfast import Server, run, wait_for
from pg import Cluster
from tap import check, equal, main, note, test
from tokens import source
from wire import Wire

PG = Cluster()
SOON = 2  # seconds; what is held here is held for five at least


class Asked(threading.Thread):
    """One request, on a connection of its own."""

    def __init__(self, client, method, target, body=None, raw=False):
        super().__init__(daemon=True)
        self.ask = lambda: client.ask(method, target, body, raw=raw)
        self.answer = self.error = None
        self.start()

    def run(self):
        try:
            self.answer = self.ask()
        except OSError as error:
            self.error = error

    def end(self, within=30):
        self.join(within)
        check(not self.is_alive() and self.error is None, f"it was answered: {self.error}")
        return self.answer


def made(server, *spaces):
    for space in spaces:
        equal(server.client(space).put("/docs/a", b"1").status, 201, f"{space} is made")


def goes_on(server, space, seconds=3):
    """What has nothing to do with the other space is answered all the while."""
    c, slowest = server.client(space), 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for ask, wanted in ((lambda: c.get("/healthz", raw=True), 200), (lambda: c.get("/docs/a"), 200), (lambda: c.get("/docs"), 200),
                            (lambda: c.put("/docs/a", b"2"), 200)):
            asked = time.monotonic()
            equal(ask().status, wanted, "another space")
            slowest = max(slowest, time.monotonic() - asked)
        time.sleep(0.05)
    note(f"slowest={slowest:.2f} s")
    check(slowest < SOON, f"it waits for nobody: {slowest:.1f} s")


def held(table):
    """A session in which a table is locked."""
    other = PG.session()
    other.ask("BEGIN")
    other.ask(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    return other


@test
def a_space_that_is_slow_to_open_holds_nobody_else():
    with Server(PG.url()) as before:
        made(before, "slow", "slower", "slowest")
    for loops in ("1", "3"):
        with Server(PG.url(), arguments=["--loops", loops]) as server:
            equal(server.client("quick").put("/docs/a", b"1").status in (200, 201), True, "one is open")
            with held("kf_slow.kf_format, kf_slower.kf_format, kf_slowest.kf_format") as other:
                asked = [Asked(server.client(space), "GET", "/docs/a") for space in ("slow", "slower", "slowest") for _ in range(6)]
                goes_on(server, "quick")
                waiting = PG.number("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'keepfast%'")
                check(1 <= waiting <= 2, f"one connection for all who ask for a space, and not of all spaces at once: {waiting}")
                other.ask("ROLLBACK")
            for each in asked:
                answer = each.end()
                check(answer.status == 200 or answer.code == "busy", f"opened, or its time was over: {answer}")
            for space in ("slow", "slower", "slowest"):
                wait_for(lambda: server.client(space).get("/docs/a").status == 200, 10)


@test
def a_space_that_is_slow_to_remove_holds_nobody_else():
    with Server(PG.url()) as server:
        made(server, "stays", "goes")
        with held("kf_goes.kf_receipt") as other:
            removed = Asked(server.client("goes"), "DELETE", "/v1/goes?confirm=goes", raw=True)
            time.sleep(0.5)
            beside = Asked(server.client("goes"), "GET", "/docs/a")
            goes_on(server, "stays")
            other.ask("ROLLBACK")
        answer = removed.end()
        equal((answer.status, answer.code) if answer.status != 204 else (503, "busy"), (503, "busy"), "its time was over, or not")
        seen = beside.end()
        check(seen.status in (200, 404), f"who asked meanwhile is answered by what is there: {seen}")
        if answer.status != 204:
            equal(server.client("goes").ask("DELETE", "/v1/goes?confirm=goes", raw=True).status, 204, "then it goes")
        equal(server.client("goes").get("/docs/a").code, "unknown_space", "gone")
        equal(PG.number("SELECT count(*) FROM pg_namespace WHERE nspname = 'kf_goes'"), 0, "its schema, too")


@test
def a_database_that_hangs_holds_no_loop():
    with Server(PG.url()) as server:
        made(server, "here")
        c = server.client("here")
        PG.freeze()
        try:
            asked = [Asked(server.client(f"none{n}"), "GET", "/docs/a") for n in range(8)]
            asked += [Asked(server.client("here"), "GET", "/v1", raw=True) for _ in range(4)]
            asked += [Asked(server.client("none0"), "PUT", "/v1/none0", raw=True), Asked(server.client("none1"), "DELETE", "/v1/none1?confirm=none1", raw=True)]
            slowest, began = 0, time.monotonic()
            while time.monotonic() - began < 12:
                at = time.monotonic()
                equal(c.get("/healthz", raw=True).status, 200, "alive")
                slowest = max(slowest, time.monotonic() - at)
                time.sleep(0.1)
            note(f"slowest={slowest:.2f} s")
            check(slowest < SOON, f"the loop is never held: {slowest:.1f} s")
        finally:
            PG.thaw()
        for each in asked:
            check(each.end(60).status in (200, 201, 404, 503), f"{each.answer}")


@test
def a_space_can_be_opened_soon_after_a_database_has_hung():
    with Server(PG.url()) as server:
        PG.freeze()
        asked = Asked(server.client("soon"), "GET", "/docs/a")
        check(asked.end(40).code == "store_unavailable", f"told: {asked.answer}")
        PG.thaw()
        wait_for(lambda: server.client("soon").get("/docs/a").status == 404, 8)


@test
def requests_that_run_are_waited_for_by_a_removal():
    with Server(PG.url(), arguments=["--loops", "3"]) as server:
        for turn in range(5):
            made(server, "full")
            stop = threading.Event()
            seen = set()

            def read():
                c = server.client("full")
                while not stop.is_set():
                    answer = c.get("/docs")
                    seen.add((answer.status, answer.code if answer.status != 200 else ""))

            threads = [threading.Thread(target=read) for _ in range(6)]
            for thread in threads:
                thread.start()
            time.sleep(0.3)
            equal(server.client("full").ask("DELETE", "/v1/full?confirm=full", raw=True).status, 204, f"turn {turn}")
            time.sleep(0.2)
            stop.set()
            for thread in threads:
                thread.join()
            equal(seen, {(200, ""), (404, "unknown_space")}, "there, then not there, and nothing between")


@test
def who_follows_keeps_no_space():
    with Server(PG.url()) as a, Server(PG.url()) as b:
        for turn in range(3):
            equal(a.client("left").post("/streams/k/entries", {"body": 1}).status, 201, "made")
            c = b.client("left")
            wait_for(lambda: c.get("/streams/k/entries?last=1").status == 200, 10)
            follows = [Asked(b.client("left"), "GET", "/streams/k/entries?after=1&follow=60s") for _ in range(12)]
            time.sleep(1.2)
            at, beside = (a, b) if turn % 2 else (b, a)
            equal(at.client("left").ask("DELETE", "/v1/left?confirm=left", raw=True).status, 204, "removed")
            wait_for(lambda: beside.client("left").get("/docs/a").code == "unknown_space", 10)
            for follow in follows:
                check(follow.end(20).code in ("unknown_space", "store_moved"), f"who follows is told: {follow.answer}")


@test
def one_of_several_makes_a_space():
    with Server(PG.url(), arguments=["--loops", "3"]) as server:
        asked = [Asked(server.client("many"), "PUT", "/v1/many", raw=True) for _ in range(12)]
        statuses = sorted(each.end().status for each in asked)
        equal(statuses, [200] * 11 + [201], "it is made once")
        asked = [Asked(server.client("other"), "GET" if n % 2 else "PUT", "/docs/a", None if n % 2 else b"1") for n in range(12)]
        for n, each in enumerate(asked):
            answer = each.end()
            check(answer.status in ((200, 404) if n % 2 else (200, 201)), f"a write makes it, whoever else looks for it: {answer}")


def waiting_for_locks():
    return PG.number("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'keepfast%'")


@test
def slow_spaces_keep_no_other_from_being_opened():
    slow, quick = [f"locked{n}" for n in range(4)], [f"free{n}" for n in range(5)]
    with Server(PG.url()) as before:
        made(before, *slow, *quick)
    with Server(PG.url()) as server, held(", ".join(f"kf_{space}.kf_format" for space in slow)) as other:
        over, told = threading.Event(), {space: 0 for space in slow}

        def insist(space):
            c = server.client(space)
            while not over.is_set():
                told[space] += c.get("/docs/a").code == "busy"
                time.sleep(0.02)

        threads = [threading.Thread(target=insist, args=(space,)) for space in slow for _ in range(2)]
        for thread in threads:
            thread.start()
        wait_for(lambda: all(told.values()), 30)
        began = time.monotonic()
        for space in quick:
            equal(server.client(space).get("/docs/a").status, 200, "one that nobody holds")
        took = time.monotonic() - began
        note(f"opened beside slow ones within {took:.2f} s")
        other.ask("ROLLBACK")
        at = time.monotonic()
        for space in slow:
            wait_for(lambda: server.client(space).get("/docs/a").status == 200, 10)
        healed = time.monotonic() - at
        over.set()
        for thread in threads:
            thread.join()
        check(took < 2 * SOON, f"they wait for no slow one: {took:.1f} s")
        check(healed < 5, f"those are opened soon after they can be: {healed:.1f} s")


def at_once(server, count, method, target):
    """The bodies of the answers to the same request on so many connections."""
    wires = [Wire(server.address) for _ in range(count)]
    for wire in wires:
        wire.ask("GET", "/healthz")  # a loop has it
    for wire in wires:
        wire.send(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answers = [wire.reply() for wire in wires]
    for wire in wires:
        wire.close()
    return answers


@test
def many_remove_a_space_that_cannot_go():
    with Server(PG.url(), arguments=["--loops", "3"]) as server:
        made(server, "kept")
        with held("kf_kept.kf_receipt") as other:
            answers = at_once(server, 24, "DELETE", "/v1/kept?confirm=kept")
            equal({answer.status for answer in answers}, {503}, "nobody is told that it is gone")
            other.ask("ROLLBACK")
        wait_for(lambda: server.client("kept").get("/docs/a").status == 200, 10)
        answers = at_once(server, 24, "DELETE", "/v1/kept?confirm=kept")
        equal(sorted(answer.status for answer in answers), [204] + [404] * 23, "it is removed once")


def ask_and_leave(server, method, target, body=b"", after=0.2):
    wire = Wire(server.address)
    wire.send(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    time.sleep(after)
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


def schemas(*spaces):
    return [space for space in spaces if PG.number(f"SELECT count(*) FROM pg_namespace WHERE nspname = 'kf_{space}'")]


@test
def clients_that_leave_while_spaces_are_opened_or_removed():
    with Server(PG.url()) as before:
        made(before, "gone1", "gone2", "gone3", "gone4")
    for loops in ("1", "3"):
        with Server(PG.url(), arguments=["--loops", loops]) as server:
            with held("kf_gone1.kf_format, kf_gone2.kf_format") as other:
                for _ in range(4):  # of calls that began an errand, of those that joined it, of those that wait for their turn
                    ask_and_leave(server, "GET", "/v1/gone1/docs/a", after=0.02)
                    ask_and_leave(server, "PUT", "/v1/gone2/docs/b", b"1", after=0.02)
                stays = Asked(server.client("gone2"), "GET", "/docs/a")
                wait_for(lambda: waiting_for_locks() == 2, 5)
                for space in ("never1", "never2"):
                    ask_and_leave(server, "PUT", f"/v1/{space}/docs/a", b"1")
                    ask_and_leave(server, "PUT", f"/v1/{space}")
                ask_and_leave(server, "GET", "/v1/gone3/docs/a", after=0.02)
                ask_and_leave(server, "GET", "/v1")
                other.ask("ROLLBACK")
            equal(stays.end().status, 200, "who stays is answered")
            equal(server.client("gone2").get("/docs/b").status, 404, "who left has written nothing")
            wait_for(lambda: server.client("gone1").get("/docs/a").status == 200, 10)
            equal(schemas("never1", "never2"), [], "no space is made for who has left")
            made(server, "goes1")
            with held("kf_goes1.kf_receipt") as other:
                ask_and_leave(server, "DELETE", "/v1/goes1?confirm=goes1")
                wait_for(lambda: waiting_for_locks() == 1, 5)
                beside = Asked(server.client("goes1"), "GET", "/docs/a")
                other.ask("ROLLBACK")
            equal(beside.end().code, "unknown_space", "what was begun is done, and who waits for it is answered")
            equal(schemas("goes1"), [], "removed")
            equal(server.stop(), 0, "the end")


@test
def a_server_stops_while_spaces_are_opened_and_removed():
    with Server(PG.url()) as before:
        made(before, "end1", "end2", "end3", "end4")
    for loops in ("1", "3"):
        server = Server(PG.url(), arguments=["--loops", loops])
        check(server.client("end3").put("/docs/a", b"1").status in (200, 201), "open")
        with held("kf_end1.kf_format, kf_end3.kf_receipt") as other:
            asked = [Asked(server.client(space), "GET", "/docs/a") for space in ("end1", "end1", "end2", "end4")]
            asked.append(Asked(server.client("end3"), "DELETE", "/v1/end3?confirm=end3", raw=True))
            wait_for(lambda: waiting_for_locks() == 2, 5)
            equal(server.stop(15), 0, "it ends")
            other.ask("ROLLBACK")
        for each in asked:
            each.join(5)
            check(not each.is_alive() and (each.error or each.answer.status in (200, 503)), f"answered, or its connection ended: {each.answer}")
    with Server(PG.url()) as server:
        for space in ("end1", "end2", "end4"):
            equal(server.client(space).get("/docs/a").status, 200, "all is there")
        answer = server.client("end3").get("/docs/a")
        check(answer.status == 200 or answer.code == "unknown_space", f"whole, or removed: {answer}")


def revoked_on_the_way(sabotage=""):
    """The answers to a token that was revoked while what it asked for waited for the database, and whether something was done."""
    with Server(PG.url()) as before:
        made(before, "late", "later", "latest", "known")
    with Server(PG.url(), env={"KF_SABOTAGE": sabotage} if sabotage else {}) as server:
        theirs, ours = (run("token", "create", name, "--rights", "admin,read,write", "--json", at=PG.url()).json() for name in ("theirs", "ours"))
        asks = (("PUT", "/v1/late/docs/b", b"1"), ("GET", "/v1/late/docs/a", None), ("DELETE", "/v1/late/docs/a", None),
                ("POST", "/v1/later/streams/k/entries", b'{"body":1}'), ("PUT", "/v1/new", None), ("DELETE", "/v1/latest?confirm=latest", None), ("GET", "/v1", None))
        beside, wires, answers = Wire(server.address, source()), [Wire(server.address, source()) for _ in asks], {}

        def status(target, token=None):
            return beside.ask("GET", target, token=token).status

        def ask(wire, method, target, body):
            answers[method, target] = wire.ask(method, target, token=theirs["token"], body=body).status

        wait_for(lambda: status("/v1/known/docs/a") == 401 and status("/v1/known/docs/a", theirs["token"]) == 200, 10)  # the server knows them
        with held("kf_late.kf_format, kf_later.kf_format") as other:
            asked = [threading.Thread(target=ask, args=(wire, *words)) for wire, words in zip(wires, asks)]
            for each in asked[:4]:
                each.start()
            wait_for(lambda: waiting_for_locks() == 2, 5)
            for each in asked[4:]:  # for whom there is no room
                each.start()
            time.sleep(0.3)
            equal(run("token", "revoke", theirs["id"], at=PG.url()).status, 0, "revoked")
            wait_for(lambda: status("/v1/known/docs/a", theirs["token"]) == 401, 5)
            equal(answers, {}, "all of them wait")
            other.ask("ROLLBACK")
        for each in asked:
            each.join(20)
        done = []
        for target, untouched in (("/v1/late/docs/a", 200), ("/v1/late/docs/b", 404), ("/v1/later/streams/k", 404), ("/v1/latest/docs/a", 200), ("/v1/new/docs/a", 404)):
            wait_for(lambda: status(target, ours["token"]) in (200, 404), 10)
            done += [target] if status(target, ours["token"]) != untouched else []
        done += ["new"] if PG.number("SELECT count(*) FROM pg_namespace WHERE nspname = 'kf_new'") else []
        for wire in (beside, *wires):
            wire.close()
        server.stop()
    PG.ask("DROP SCHEMA IF EXISTS kf__keepfast, kf_late, kf_later, kf_latest, kf_known, kf_new CASCADE")
    return answers, done


@test
def a_token_that_ends_while_a_space_is_opened_does_nothing():
    answers, done = revoked_on_the_way()
    equal(set(answers.values()), {401}, f"its token is none any more: {answers}")
    equal((len(answers), done), (7, []), "nothing was done")


@test
def saboteur_token_lives_on_errand_is_found():
    answers, done = revoked_on_the_way("token-lives-on-errand")
    check(set(answers.values()) != {401} and done, f"a token that has ended does what it wants: {answers} {done}")


if __name__ == "__main__":
    try:
        main()
    finally:
        PG.close()
