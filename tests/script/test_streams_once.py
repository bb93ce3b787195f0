#!/usr/bin/env python3
# test: timeout=240
"""Exactly once: writers send entries with ids through a proxy that cuts the connection before the request is whole, after it, and before
the answer, while the server is killed and started again. Who hears nothing sends the same again. In the end each entry is there once,
under the number that was answered, in the order in which its writer sent them."""

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
from keepfast import Server, folder  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

LONG = os.environ.get("KEEPFAST_LONG") == "1"
WRITERS, ENTRIES, KILLS = 4, (600 if LONG else 120), (25 if LONG else 5)
SECONDS = 150


class Writer(threading.Thread):
    def __init__(self, proxy, number, until):
        super().__init__(daemon=True)
        self.proxy, self.until = proxy, until
        self.path = f"/v1/default/streams/chat/{number}/entries"
        self.answered, self.again, self.replays, self.amiss = {}, 0, 0, []

    def once(self, body):
        connection = http.client.HTTPConnection(*self.proxy.address, timeout=2)
        try:
            connection.request("POST", self.path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()

    def send(self, name, entry):
        body = json.dumps(entry)
        while time.monotonic() < self.until:
            got = self.once(body)
            if got and got[0] in (200, 201):
                self.answered[name] = got[1]["n"]
                self.replays += got[1].get("duplicate", False)
                return
            if got and not got[1].get("retryable"):
                self.amiss.append((name, got))
                return
            self.again += 1
            time.sleep(0.01)

    def run(self):
        for i in range(ENTRIES):
            self.send(f"m{i}", {"id": f"m{i}", "kind": "user", "body": {"text": f"message {i}"}})


def trouble(proxy, server, writers, data):
    """Until the writers are done. Gives the last server, and how often each thing was done."""
    dice, done = random.Random(5), dict.fromkeys(("before", "after", "answer", "kill"), 0)
    for step in itertools.count():
        if not any(w.is_alive() for w in writers):
            break
        what = ("before", "after", "answer", "pass")[step % 4]
        hit = proxy.hit
        if what == "before":
            proxy.cut(up=dice.choice([1, 60, 150, 240]), times=3)
        elif what == "after":
            proxy.lose_answer(times=3)
        elif what == "answer":
            proxy.cut(down=dice.choice([1, 40, 120]), reset=dice.random() < 0.5, times=3)
        else:
            proxy.pass_on()
        time.sleep(0.05)
        if what != "pass":
            done[what] += proxy.hit - hit
        if step % 6 == 5 and done["kill"] < KILLS:
            server.kill()
            done["kill"] += 1
            server = Server(data)
            proxy.peer = ("127.0.0.1", int(server.address.rsplit(":", 1)[1]))
    proxy.pass_on()
    return server, done


@test
def every_entry_is_there_once():
    data = folder() / "data"
    server = Server(data)
    peer = ("127.0.0.1", int(server.address.rsplit(":", 1)[1]))
    with FaultProxy(peer) as proxy:
        until = time.monotonic() + SECONDS
        writers = [Writer(proxy, n, until) for n in range(WRITERS)]
        for w in writers:
            w.start()
        server, done = trouble(proxy, server, writers, data)
    note(f"faults={done} again={sum(w.again for w in writers)} replays={sum(w.replays for w in writers)}")
    for number, w in enumerate(writers):
        equal(w.amiss, [], "what was refused")
        equal(len(w.answered), ENTRIES, f"writer {number} was answered for everything in time")
        found = server.client().get(f"/streams/chat/{number}/entries?limit=1000").json()["items"]
        equal([e["id"] for e in found], [f"m{i}" for i in range(ENTRIES)], "each once, in order")
        equal([e["n"] for e in found], list(range(1, ENTRIES + 1)), "numbers without a gap")
        equal({e["id"]: e["n"] for e in found}, w.answered, "under the number that was answered")
        equal([e["body"]["text"] for e in found], [f"message {i}" for i in range(ENTRIES)], "with what was said")
        info = server.client().get(f"/streams/chat/{number}").json()
        equal((info["count"], info["kinds"]), (ENTRIES, {"user": ENTRIES}), "and the statistics say so")
    equal(server.stop(), 0, "its end")
    check(min(done["before"], done["after"], done["answer"]) >= 5 and done["kill"] >= 3, f"enough went wrong: {done}")
    check(sum(w.replays for w in writers) >= 5, "some were answered a second time")


main()
