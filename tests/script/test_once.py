#!/usr/bin/env python3
# test: timeout=180
"""A write with an Idempotency-Key happens once, whatever becomes of its requests: cut off while they are sent, when they are sent and while
the answer comes, with kills of the server between. Each id is asked for until it is answered, many again behind that, some with another
body. In the end every document has exactly as many versions as ids were sent to it, and each id was always answered the same."""

import json
import os
import random
import signal
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from keepfast import Server, folder  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402
from wire import Wire, once  # noqa: E402

LONG = os.environ.get("KEEPFAST_LONG") == "1"
IDS = 1000000 if LONG else 3000
THREADS, NAMES, KILLS = 6, 40, 3
CONFIG = "spaces: { default: { docs: [ { match: '**', keep: { versions: 1000000 } } ] } }\n"


class World:
    """A server that is killed now and then, and started again on the same folder."""

    def __init__(self, sabotage=None):
        self.data, self.env = folder() / "data", {"KF_SABOTAGE": sabotage} if sabotage else {}
        self.server = Server(self.data, CONFIG, env=self.env)
        self.lock = threading.Lock()

    def address(self):
        with self.lock:
            return self.server.address

    def kill(self):
        with self.lock:
            self.server.process.send_signal(signal.SIGKILL)
            self.server.process.wait()
            self.server.__exit__()
            self.server = Server(self.data, CONFIG, env=self.env)

    def end(self):
        equal(self.server.stop(), 0, "its end")
        self.server.__exit__()


class Asker(threading.Thread):
    """One who writes, loses answers, and asks again."""

    def __init__(self, world, number, count, seed):
        super().__init__()
        self.world, self.number, self.count, self.pick = world, number, count, random.Random(seed)
        self.acked = {}  # id: (name, version, etag)
        self.lost = self.replays = self.refused = 0
        self.amiss = []

    def request(self, method, name, identity, body):
        return (f"{method} /v1/default/docs/{name} HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: {identity}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode() + body

    def lose(self, text):
        """A request whose answer nobody reads. Whether it was done is not known, but for the first way."""
        how = self.pick.choice(("half", "whole", "answered"))
        try:
            with Wire(self.world.address(), timeout=5) as wire:
                wire.send(text[:len(text) // 2] if how == "half" else text)
                if how == "answered":
                    wire.socket.recv(10)
        except OSError:
            pass
        self.lost += how != "half"

    def answered(self, text):
        """Asks until there is an answer."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                with Wire(self.world.address(), timeout=10) as wire:
                    wire.send(text)
                    answer = wire.reply()
                    if answer and answer.whole and answer.status != 503:
                        return answer
            except OSError:
                pass
            self.lost += 1
            time.sleep(0.01)
        raise AssertionError("no answer for half a minute")

    def done(self, identity, name, answer):
        if answer.status not in (200, 201):
            self.amiss.append(f"{identity}: {answer}")
            return
        told = json.loads(answer.body)
        result = (name, told["version"], told["etag"])
        replayed = answer.header("Idempotent-Replay") == "true"
        self.replays += replayed
        if self.acked.setdefault(identity, result) != result:
            self.amiss.append(f"{identity}: {result}, and before {self.acked[identity]}")

    def run(self):
        for n in range(self.count):
            identity, name = f"{self.number}-{n}", f"doc{self.pick.randrange(NAMES)}"
            # The first of a name makes it; a patch of what is not there would be refused, and is then no write.
            method = "PATCH" if self.pick.random() < 0.2 else "PUT"
            body = json.dumps({"id": identity} if method == "PUT" else {identity: 1}).encode()
            text = self.request(method, name, identity, body)
            for _ in range(self.pick.choice((0, 0, 0, 1, 2))):
                self.lose(text)
            self.done(identity, name, self.answered(text))
            if self.pick.random() < 0.2:
                self.done(identity, name, self.answered(text))
                if identity in self.acked and self.replays == 0:
                    self.amiss.append(f"{identity}: asked again, and that was not said")
            if self.pick.random() < 0.05:
                other = self.answered(self.request(method, name, identity, body[:-1] + b',"other":1}'))
                self.refused += other.status == 409 and json.loads(other.body)["code"] == "id_reused"
                if other.status != 409:
                    self.amiss.append(f"{identity} with another body: {other}")


def versions(server, name):
    count, cursor = 0, ""
    while True:
        page = json.loads(once(server.address, "GET", f"/v1/default/docs/{name}/versions?limit=1000{cursor}").body)
        count += len(page["items"])
        if not page["next"]:
            return count
        cursor = f"&cursor={page['next']}"


def write_all(ids, kills, sabotage=None):
    """(askers, what does not fit)"""
    world = World(sabotage)
    for n in range(NAMES):
        equal(once(world.address(), "PUT", f"/v1/default/docs/doc{n}", body=b"{}").status, 201, "a document")
    seed = int.from_bytes(os.urandom(4), "big")
    note(f"seed={seed}")
    askers = [Asker(world, n, ids // THREADS, seed + n) for n in range(THREADS)]
    for asker in askers:
        asker.start()
    done = 0
    while any(asker.is_alive() for asker in askers):
        progress = sum(len(asker.acked) for asker in askers)
        if done < kills and progress > ids * (done + 1) // (kills + 1):
            world.kill()
            done += 1
        time.sleep(0.02)
    amiss = [line for asker in askers for line in asker.amiss]
    sent = {}
    for asker in askers:
        for name, _, _ in asker.acked.values():
            sent[name] = sent.get(name, 1) + 1  # with the first
    for name, count in sent.items():
        there = versions(world.server, name)
        if there != count:
            amiss.append(f"{name} has {there} versions, of {count} writes")
    world.end()
    equal(done, kills, "kills")
    return askers, amiss


@test
def each_id_is_done_once():
    askers, amiss = write_all(IDS, KILLS)
    acked, lost, replays, refused = (sum(values) for values in zip(*((len(a.acked), a.lost, a.replays, a.refused) for a in askers)))
    note(f"ids={acked} unknown={lost} replays={replays} refused={refused} kills={KILLS}")
    equal(amiss[:5], [], "what was not once, or not the same")
    check(acked >= IDS - THREADS and lost >= 300 and replays >= 300 and refused >= 100, "there was enough to go wrong")


def key_of_one_that_waits(sabotage=None):
    """What a second request with the key of one that waits for a remote is answered, and then a third when that is over."""
    top = folder()
    config = f"loops: 3\nspaces: {{ default: {{ remotes: {{ usb: {{ url: 'dir:{top}/usb', every: 24h }} }} }} }}\n"
    (top / "usb").mkdir()

    def ask(server, name, key, body=b"1", query=""):
        return once(server.address, "PUT", f"/v1/default/docs/{name}{query}", body=body, headers=[f"Idempotency-Key: {key}"])

    with Server(top / "data", config, env={"KF_SABOTAGE": sabotage} if sabotage else {}) as server:
        until = time.monotonic() + 20
        while ask(server, "first", "0").status not in (200, 201) and time.monotonic() < until:
            time.sleep(0.05)
        with Wire(server.address, timeout=20) as wire:
            wire.send(b"PUT /v1/default/docs/a?wait=usb&ride=true&timeout=15s HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\n"
                      b"Content-Length: 1\r\n\r\n1")
            while once(server.address, "GET", "/v1/default/docs/a").status != 200:
                time.sleep(0.01)
            time.sleep(0.2)
            second = [ask(server, "a", "k"), ask(server, "a", "k", b"2"), ask(server, "b", "k"), ask(server, "a", "k", query="?wait=usb")]
            equal(ask(server, "b", "other").status, 201, "another key")
            equal(once(server.address, "POST", "/v1/default/remotes/usb/run").status, 200, "a run")
            answer = wire.reply()
            equal((answer.status, answer.header("Keepfast-Ack")), (201, "remote"), "the first goes on")
        third = ask(server, "a", "k")
        equal((third.status, third.header("Idempotent-Replay")), (200, "true"), "when it is over")
        equal(ask(server, "a", "k", b"2").status, 409, "another body")
        # Who loses the connection and asks again is not kept waiting by what is left of the first.
        with Wire(server.address, timeout=20) as wire:
            wire.send(b"PUT /v1/default/docs/left?wait=usb&ride=true&timeout=15s HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: l\r\n"
                      b"Content-Length: 1\r\n\r\n1")
            while once(server.address, "GET", "/v1/default/docs/left").status != 200:
                time.sleep(0.01)
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        until = time.monotonic() + 5
        while (again := ask(server, "left", "l")).status != 200 and time.monotonic() < until:
            time.sleep(0.05)
        equal((again.status, again.header("Idempotent-Replay")), (200, "true"), "its client has left")
        equal(server.stop(), 0, "its end")
    return [(a.status, json.loads(a.body).get("code"), a.header("Retry-After")) for a in second]


@test
def who_waits_is_in_progress():
    equal(key_of_one_that_waits(), [(409, "in_progress", "1")] * 4, "while the first waits")


@test
def saboteur_in_progress_unseen_is_found():
    answers = key_of_one_that_waits("in-progress-unseen")
    note(f"{answers}")
    check((409, "in_progress", "1") not in answers, "it is not seen")


@test
def saboteur_drop_idempotency_index_is_found():
    _, amiss = write_all(120, 0, "drop-idempotency-index")
    check(any("versions" in line for line in amiss), "more versions than writes")


main()
