#!/usr/bin/env python3
# test: timeout=420
"""Exactly once: writers send entries with ids through a proxy that cuts the connection before the request is whole, after it, and before
the answer, while Keepfast is killed at random and started again, and PostgreSQL as well where it keeps the store of two servers. Who hears nothing sends
the same again; now and then somebody sends the id of an entry that was answered with another payload, which is refused with all that stands beside
it. In the end each entry is there once, under the number that was answered, in the order in which its writer sent them; and
who asks again gets the first answer."""

import http.client
import itertools
import json
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from faultproxy import FaultProxy  # noqa: E402
from keepfast import Server, folder, wait_for  # noqa: E402
from pg import Cluster  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

LONG = os.environ.get("KEEPFAST_LONG") == "1"
WRITERS, MESSAGES = 4, 260  # at least so many of each, and until enough has gone wrong
OTHER = 8  # among so many messages one is sent again with another payload
# Cuts of each kind around each kill. Of those behind the request there are few: the client waits for an answer that was lost.
EACH, TIMES = {"before": 12, "after": 3, "answer": 40}, 4  # and at most so many in a row
KILLS, DATABASE_KILLS = (25, 10) if LONG else (5, 2)
SECONDS = 170
# ids: entries that were answered. unknown: who sent it heard nothing. replays: it had been appended then. refusals: another payload under an id.
COUNTED = {"ids": 3000, "unknown": 300, "replays": 100, "refusals": 100}  # and the least of each
SHARED = "chat/all"


class Writer(threading.Thread):
    """Sends each message to a stream of its own and, in one request with what stands beside it, to one that all write to."""

    def __init__(self, proxy, number, until, enough, others):
        super().__init__(daemon=True)
        self.proxy, self.number, self.until, self.enough, self.others = proxy, number, until, enough, others
        self.dice = random.Random(number)
        self.own = f"chat/{number}"
        self.answered = {self.own: {}, SHARED: {}}
        self.sent, self.amiss = {self.own: [], SHARED: []}, []
        self.again = self.unknown = self.replays = self.refusals = 0

    @property
    def ids(self):
        return sum(map(len, self.answered.values()))

    def once(self, key, body):
        connection = http.client.HTTPConnection(*self.proxy.address, timeout=3)
        try:
            connection.request("POST", f"/v1/default/streams/{key}/entries", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()

    def answer(self, key, entries):
        """Sends it until somebody says what became of it; None when time is over."""
        body = json.dumps(entries if len(entries) > 1 else entries[0])
        while time.monotonic() < self.until:
            got = self.once(key, body)
            if got and not got[1].get("retryable"):
                return got
            self.again += 1
            self.unknown += got is None
            time.sleep(0.01 if got is None else 0.1)
        return None

    def send(self, key, entries):
        self.sent[key] += entries
        status, said = self.answer(key, entries) or (0, None)
        if status not in (200, 201):
            self.amiss += [(key, entries, said)] if status else []
            return False
        for entry, item in zip(entries, said.get("items", [said]), strict=True):
            self.answered[key][entry["id"]] = item["n"]
            self.replays += item.get("duplicate", False)
        return True

    def send_another(self, key, entry, beside):
        """The id of an entry that was answered, with another payload: refused, and with it the one that stands beside it in the list."""
        another = {**entry, **self.dice.choice([{"body": {"text": "another"}}, {"kind": "tool"}, {"attach": 1}])}
        status, said = self.answer(key, [beside, another] if beside else [another]) or (0, None)
        right = (status, (said or {}).get("code")) == (409, "id_reused")
        self.refusals += right
        self.amiss += [] if right or not status else [(key, another, said)]
        return right

    def entry(self, i, part):
        return {"id": f"w{self.number}-{i}-{part}", "kind": "user", "body": {"text": f"message {i}.{part} of {self.number}"}}

    def run(self):
        for i in itertools.count():
            if i >= MESSAGES and self.enough.is_set():
                return
            if not self.send(self.own, [self.entry(i, 0)]) or not self.send(SHARED, [self.entry(i, part) for part in range(1, 3)]):
                return
            key, part = ((self.own, 0), (SHARED, 2))[i // OTHER % 2]
            if self.others and i % OTHER == 0 and not self.send_another(key, self.entry(i, part), self.entry(i, 3) if part else None):
                return
            time.sleep(0.01)


class Trouble:
    """What goes wrong until the writers are done."""

    def __init__(self, proxies, restart, database, seed):
        self.proxies, self.restart, self.database = proxies, restart, database
        self.dice = random.Random(seed)
        self.done = dict.fromkeys(("before", "after", "answer", "kill", "database"), 0)

    def cut(self, what):
        proxy = self.dice.choice(self.proxies)
        hit = proxy.hit
        if what == "before":
            proxy.cut(up=self.dice.choice([1, 60, 150, 240]), times=TIMES)
        elif what == "after":
            proxy.lose_answer(times=TIMES)
        else:
            proxy.cut(down=self.dice.choice([1, 40, 120]), reset=self.dice.random() < 0.5, times=TIMES)
        time.sleep(self.dice.uniform(0.02, 0.1))
        until = time.monotonic() + 0.3
        while proxy.hit == hit and time.monotonic() < until:
            time.sleep(0.01)
        self.done[what] += proxy.hit - hit
        proxy.pass_on()

    def kill_database(self):
        self.database.crash()
        time.sleep(self.dice.uniform(0, 0.5))
        self.database.start()

    def cuts(self, writers):
        """Some of each kind, in any order."""
        before = dict(self.done)
        while any(w.is_alive() for w in writers):
            missing = [kind for kind, least in EACH.items() if self.done[kind] < before[kind] + least]
            if not missing:
                return
            self.cut(self.dice.choice(missing))

    def run(self, writers):
        for _ in range(KILLS):
            self.cuts(writers)
            time.sleep(self.dice.uniform(0, 0.3))
            self.restart()
            self.done["kill"] += 1
            if self.database and self.done["database"] < DATABASE_KILLS:
                time.sleep(self.dice.uniform(0, 0.2))
                self.kill_database()
                self.done["database"] += 1
        self.cuts(writers)


def amiss_in(client, writers):
    """What is not as it was answered: sentences."""
    found = []
    for key in [w.own for w in writers] + [SHARED]:
        items, after = [], 0
        while page := client.get(f"/streams/{key}/entries?after={after}&limit=1000").json()["items"]:
            items += page
            after = page[-1]["n"]
        of = [w for w in writers if key in (w.own, SHARED)]
        answered = {name: n for w in of for name, n in w.answered[key].items()}
        found += [f"{key}: {len(items)} entries, {len(answered)} were answered"] if len(items) != len(answered) else []
        found += [f"{key}: numbers have gaps"] if [e["n"] for e in items] != list(range(1, len(items) + 1)) else []
        found += [f"{key}: other numbers than were answered"] if {e.get("id"): e["n"] for e in items} != answered else []
        for w in of:
            mine = [e for e in items if e.get("id", "").startswith(f"w{w.number}-")]
            said = [{"id": e["id"], "kind": e["kind"], "body": e["body"]} for e in mine]
            found += [f"{key}: not what writer {w.number} sent, in its order"] if said != w.sent[key] else []
        info = client.get(f"/streams/{key}").json()
        found += [f"{key}: statistics of {info}"] if (info["count"], info["kinds"]) != (len(items), {"user": len(items)}) else []
    return found


def ask_again(client, writers):
    """Everything once more: the first answers."""
    for w in writers:
        for key, entries in w.sent.items():
            for i in range(0, len(entries), 100):
                answer = client.post(f"/streams/{key}/entries", entries[i:i + 100])
                numbers = [w.answered[key][e["id"]] for e in entries[i:i + 100]]
                equal((answer.status, answer.json()["items"]), (200, [{"n": n, "duplicate": True} for n in numbers]), f"{key}: the first answer again")
            other = client.post(f"/streams/{key}/entries", {**entries[0], "body": "another"})
            equal((other.status, other.code), (409, "id_reused"), "another under the same id")


def peer_of(server):
    return ("127.0.0.1", int(server.address.rsplit(":", 1)[1]))


def suffer(data, database=None, seed=5, env=None, others=True):
    """Writers and trouble; `others`: they also send what is to be refused. Gives the server, the writers and what was done."""
    server = Server(data, env=env)
    beside = Server(data) if database else None  # another one of the same database, which is not killed
    with FaultProxy(peer_of(server)) as proxy, FaultProxy(peer_of(beside or server)) as second:
        def restart():
            nonlocal server
            server.kill()
            server = Server(data, env=env)
            proxy.peer = peer_of(server)
            second.peer = peer_of(beside or server)
        until = time.monotonic() + SECONDS
        enough = threading.Event()
        writers = [Writer((proxy, second)[n % 2], n, until, enough, others) for n in range(WRITERS)]
        for w in writers:
            w.start()
        trouble = Trouble((proxy, second), restart, database, seed)
        trouble.run(writers)
        enough.set()
        for w in writers:
            w.join()
    if beside:
        with beside:
            equal(beside.stop(), 0, "the end of the other one")
    note(f"faults={trouble.done} " + " ".join(f"{what}={sum(getattr(w, what) for w in writers)}" for what in ("again", *COUNTED)))
    return server, writers, trouble.done


def holds(data, database=None, level="disk"):
    server, writers, done = suffer(data, database)
    with server:
        client = server.client()
        wait_for(lambda: client.get("/streams?limit=1").status == 200, 30)
        for w in writers:
            equal(w.amiss, [], "what was refused")
            equal([len(w.answered[key]) for key in w.sent], [len(sent) for sent in w.sent.values()], f"writer {w.number} was answered for everything in time")
            check(len(w.answered[w.own]) >= MESSAGES, f"writer {w.number} went on to the end")
        equal(amiss_in(client, writers), [], "each entry once, in order, as it was answered")
        ask_again(client, writers)
        equal(amiss_in(client, writers), [], "and that has added nothing")
        equal(client.post("/verify").json()["damaged"], 0, "all of it is good")
        equal(client.post("/streams/last/entries", {"body": 1}).headers["Keepfast-Ack"], level, "the level of it")
        equal(server.stop(), 0, "its end")
    check(done["kill"] == KILLS and all(done[kind] >= least * KILLS for kind, least in EACH.items()), f"enough went wrong: {done}")
    for what, least in COUNTED.items():
        count = sum(getattr(w, what) for w in writers)
        check(count >= least, f"{what}: {count}, at least {least}")
    return done


@test
def every_entry_is_there_once():
    holds(folder() / "data")


@test
def every_entry_is_there_once_on_postgres():
    with Cluster() as pg:
        done = holds(pg.url(), pg, "shared")
    equal(done["database"], DATABASE_KILLS, "the database was killed, too")


@test
def saboteur_drop_entry_ids_is_found():
    global KILLS, MESSAGES  # noqa: PLW0603
    before, KILLS, MESSAGES = (KILLS, MESSAGES), 0, 60
    server, writers, _ = suffer(folder() / "data", env={"KF_SABOTAGE": "drop-entry-ids"}, others=False)
    KILLS, MESSAGES = before
    with server:
        check(any("entries," in one for one in amiss_in(server.client(), writers)), "a store that forgets ids keeps entries twice")


main()
