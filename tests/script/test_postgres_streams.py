#!/usr/bin/env python3
# test: timeout=200
"""Streams of two servers on one database: what one of them has in memory follows what the other commits."""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from faultproxy import FaultProxy
from keepfast import Server, wait_for
from pg import Cluster
from tap import check, equal, main, note, test

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "checker"))
import pgcheck

PG = Cluster()
TCP = Cluster(tcp=True)
SPACES = iter(f"s{n}" for n in range(1, 1000))
SOON = 5


def append(client, key, *bodies):
    answer = client.post(f"/streams/{key}/entries", [{"body": body} for body in bodies])
    equal(answer.status, 201, f"{answer}")


def bodies(client, key, last=100):
    answer = client.get(f"/streams/{key}/entries?last={last}")
    return [item["body"] for item in answer.json()["items"]] if answer.status == 200 else answer.status


@test
def both_show_what_either_has_written():
    space = next(SPACES)
    with Server(PG.url()) as one, Server(PG.url()) as two:
        a, b = one.client(space), two.client(space)
        answer = a.post("/streams/level/entries", {"body": 1})
        equal(answer.headers["Keepfast-Ack"], "shared", "what a commit means there")
        equal(a.post("/streams/level/entries?ack=shared", {"body": 1}).status, 201, "asked for")
        equal(a.post("/streams/level/entries?ack=disk", {"body": 1}).code, "bad_filter", "never that")
        written = []
        for n in range(1, 31):
            writer, reader = (a, b) if n % 2 else (b, a)
            written.append(n)
            append(writer, "k", n)
            equal(bodies(writer, "k"), written, "the writer shows it at once")
            wait_for(lambda: bodies(reader, "k") == written, SOON)
            wait_for(lambda: reader.get("/streams/k").json()["count"] == n, SOON)
        for n in range(10):
            writer, reader = (a, b) if n % 2 else (b, a)
            equal(writer.patch("/streams/k", {f"m{n}": n}).status, 200, "a patch")
            wait_for(lambda: reader.get("/streams/k").json()["attrs"] == {f"m{i}": i for i in range(n + 1)}, SOON)
        equal(a.delete("/streams/k").status, 200, "erased by one")
        wait_for(lambda: bodies(b, "k") == 404, SOON)
        append(b, "k", "new")
        wait_for(lambda: bodies(a, "k") == ["new"], SOON)


@test
def how_entries_lie_in_time_is_counted_there_too():
    space = next(SPACES)
    with Server(PG.url()) as one, Server(PG.url()) as two:
        a, b = one.client(space), two.client(space)
        times = ["2026-03-01T00:00:00Z", "2026-03-01T00:00:04Z", "2026-03-01T00:00:09.999Z", "2026-03-01T00:00:05Z"]
        a.post("/streams/k/entries", [{"at": at, "body": 1} for at in times])
        wanted = {"from": "2026-03-01T00:00:00.000Z", "step_ms": 1000, "counts": [1, 0, 0, 0, 1, 1, 0, 0, 0, 1]}
        equal(a.get("/streams/k?steps=10").json()["activity"], wanted, "where they were written")
        equal(b.get("/streams/k?steps=10").json()["activity"], wanted, "and at the other")
        b.post("/streams/k/entries", {"at": times[1], "body": 2})
        equal(b.get("/streams/k?steps=10").json()["activity"]["counts"][4], 2, "one more")
        equal(a.get("/streams/k?steps=1").json()["activity"]["counts"], [5], "which the first counts at once: it asks the database")


@test
def appends_of_both_stand_in_one_order():
    space = next(SPACES)
    with Server(PG.url()) as one, Server(PG.url()) as two:
        failed = []

        def write(server, who):
            client = server.client(space)
            for n in range(60):
                answer = client.post(f"/streams/k{n % 3}/entries", {"id": f"{who}-{n}", "body": f"{who}-{n}"})
                if answer.status != 201:
                    failed.append(answer)

        threads = [threading.Thread(target=write, args=((one, two)[who % 2], who)) for who in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(failed, [], "every append was taken")
        for k in range(3):
            key = f"k{k}"
            rows = [row[0] for row in PG.ask(f"SELECT e.body FROM kf_{space}.kf_entry e JOIN kf_{space}.kf_stream s ON s.id = e.stream WHERE s.key = '{key}' ORDER BY n")]
            equal(len(rows), 80, "all of them")
            equal(PG.ask(f"SELECT count, last_n FROM kf_{space}.kf_stream WHERE key = '{key}'"), [["80", "80"]], "and counted")
            for server in (one, two):
                c = server.client(space)
                wait_for(lambda: [f'"{body}"' for body in bodies(c, key)] == rows, SOON)
        equal(one.client(space).post("/verify").status, 200, "verify")


@test
def what_keep_has_removed_is_gone_at_both():
    space = next(SPACES)
    with Server(PG.url()) as one:
        a = one.client(space)
        append(a, "k", *range(10))
        PG.ask(f"BEGIN; DELETE FROM kf_{space}.kf_entry WHERE n <= 4; UPDATE kf_{space}.kf_stream SET count = 6, bytes = 6, rev = rev + 1;"
               f" UPDATE kf_{space}.kf_state SET seq = seq + 1; INSERT INTO kf_{space}.kf_meta SELECT 'doubt', seq FROM kf_{space}.kf_state; COMMIT")
        wait_for(lambda: bodies(a, "k") == [4, 5, 6, 7, 8, 9], SOON)
        append(a, "k", 10)
        equal(a.get("/streams/k").json()["count"], 7, "and counted on from there")


@test
def each_entry_is_there_once_whatever_was_cut():
    """Many append with ids at two servers, through networks that are cut at any byte and a database that crashes: who has no answer asks
    again with the same id. Then each entry is there once, each writer's in its order, and both servers show what is there. They go on until
    the database has crashed, however fast they are."""
    space, writers, least, crash_turn = next(SPACES), 6, 150, 12
    with FaultProxy(("127.0.0.1", TCP.port)) as first, FaultProxy(("127.0.0.1", TCP.port)) as second:
        proxies = (first, second)
        with Server(TCP.url(host="127.0.0.1", port=first.port)) as one, Server(TCP.url(host="127.0.0.1", port=second.port)) as two:
            equal(one.client(space).put("/docs/first", b"1").status, 201, "made")
            answers, told, refused, crashed, stop = {}, [0] * writers, [0], threading.Event(), threading.Event()

            def write(who):
                client = (one, two)[who % 2].client(space)
                while told[who] < least or not crashed.is_set():
                    n = told[who]
                    told[who] += 1
                    entry = {"id": f"{who}-{n}", "kind": f"w{who}", "body": n}
                    for _ in range(400):
                        try:
                            answer = client.post(f"/streams/k{n % 3}/entries", entry)
                        except OSError:
                            continue
                        if answer.status in (200, 201):
                            answers[who, n] = (f"k{n % 3}", answer.json()["n"])
                            break
                        refused[0] += 1
                        if answer.status != 503:
                            answers[who, n] = repr(answer)
                            return
                        time.sleep(0.02)
                    time.sleep(0.01)

            def disturb():
                try:
                    cut_and_crash()
                finally:
                    crashed.set()

            def cut_and_crash():
                turn = 0
                while not stop.wait(0.15):
                    turn += 1
                    proxy = proxies[turn % 2]
                    if turn % crash_turn == 0:
                        TCP.crash()
                        TCP.start()
                        crashed.set()
                    elif turn % 2:
                        proxy.drop_connections()
                    else:
                        proxy.cut(**{("up", "down")[turn // 2 % 2]: 150 + 97 * turn % 3000})
                        proxy.drop_connections()
                        stop.wait(0.1)
                        proxy.pass_on()

            threads = [threading.Thread(target=write, args=(who,)) for who in range(writers)]
            trouble = threading.Thread(target=disturb)
            for thread in (*threads, trouble):
                thread.start()
            for thread in threads:
                thread.join()
            stop.set()
            trouble.join()
            for proxy in proxies:
                proxy.pass_on()
            equal(sorted(answers), [(who, n) for who in range(writers) for n in range(told[who])], "everybody got an answer")
            outcomes = sum((server.stderr().count("pg.outcome_resolved") for server in (one, two)))
            note(f"refused={refused[0]} outcomes looked up={outcomes}")
            check(refused[0] > 0, "there was trouble")
            for key in ("k0", "k1", "k2"):
                wanted = sorted((at[1], f"{who}-{n}") for (who, n), at in answers.items() if at[0] == key)
                equal([n for n, _ in wanted], list(range(1, len(wanted) + 1)), f"{key}: numbers without gaps, each once")
                for server in (one, two):
                    client = server.client(space)

                    def shown():
                        answer = client.get(f"/streams/{key}/entries?last=1000")
                        return answer.status == 200 and [(e["n"], e["id"]) for e in answer.json()["items"]] == wanted

                    wait_for(shown, 10)
                for who in range(writers):
                    own = [at[1] for (by, n), at in sorted(answers.items()) if by == who and at[0] == key]
                    equal(own, sorted(own), f"{key}: the order of writer {who}")
            equal(one.stop(), 0, "a clean stop")
            equal(two.stop(), 0, "a clean stop")
    equal(pgcheck.check(TCP, space), [], "what the independent checker finds")


if __name__ == "__main__":
    try:
        main()
    finally:
        PG.close()
        TCP.close()
