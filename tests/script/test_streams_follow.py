#!/usr/bin/env python3
# test: timeout=180
"""Requests that wait for the next entry (?after=N&follow=TIME): what they are told and when, what ends them, and what they keep nobody from."""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from keepfast import Server, folder, run, wait_for  # noqa: E402
from pg import Cluster  # noqa: E402
from tap import check, equal, main, test  # noqa: E402

TOP = folder()
SERVER = Server(TOP / "data", arguments=["--loops", "3"])
C = SERVER.client()
SOON = 15  # seconds: far less than a follow here would wait


class Follow(threading.Thread):
    """One request, on a connection of its own."""

    def __init__(self, key, query, server=SERVER, space="default", headers=None):
        super().__init__(daemon=True)
        self.client = server.client(space)
        self.target = f"/streams/{key}/entries?{query}"
        self.headers = headers
        self.answer = self.error = None
        self.began = time.monotonic()
        self.start()

    def run(self):
        try:
            self.answer = self.client.get(self.target, headers=self.headers)
        except OSError as error:
            self.error = error
        self.took = time.monotonic() - self.began

    def end(self, within=SOON):
        self.join(within)
        check(not self.is_alive(), f"{self.target} was answered within {within} s")
        check(self.error is None, f"{self.target}: {self.error}")
        return self.answer

    def numbers(self):
        answer = self.end()
        equal(answer.status, 200, f"{self.target}: {answer}")
        return [e["n"] for e in answer.json()["items"]]


def append(key, body=1, client=C, query="", **more):
    answer = client.post(f"/streams/{key}/entries{query}", {"body": body, **more})
    equal(answer.status, 201, f"appended to {key}: {answer}")


def waiting(follows):
    """Some time in which none of them is answered."""
    time.sleep(0.5)
    for f in follows:
        check(f.is_alive(), f"{f.target} waits: {f.answer} {f.error}")


@test
def what_is_there_is_told_at_once():
    append("a/there")
    append("a/there")
    equal(Follow("a/there", "after=0&follow=60s").numbers(), [1, 2], "all of it")
    equal(Follow("a/there", "after=1&follow=60s&limit=1").numbers(), [2], "what is behind a number")


@test
def what_comes_is_told_when_it_comes():
    append("a/comes")
    append("a/other")
    follows = [Follow("a/comes", "after=1&follow=60s") for _ in range(12)]
    others = [Follow("a/other", "after=1&follow=2s") for _ in range(3)]
    waiting(follows)
    append("a/comes", 2)
    for f in follows:
        equal(f.numbers(), [2], "each of them is told")
    for f in others:
        equal((f.numbers(), f.answer.json()["next"]), ([], None), "those of another stream are told that there is nothing")
        check(f.took >= 2, f"when their time is over: {f.took}")
    follow = Follow("a/comes", "after=2&follow=60s")
    append("a/comes", 3, query="?ack=memory")
    equal(follow.numbers(), [3], "also of what was answered before its commit")


@test
def none_is_missed():
    """A reader that goes on behind what it has seen, while others write as fast as they can."""
    append("a/fast")
    done = threading.Event()

    def write():
        client = SERVER.client()
        for i in range(150):
            append("a/fast", i, client)
            if i % 10 == 0:
                time.sleep(0.01)
        done.set()
    writers = [threading.Thread(target=write, daemon=True) for _ in range(2)]
    for w in writers:
        w.start()
    seen, client, until = [1], SERVER.client(), time.monotonic() + 60
    while len(seen) < 301 and time.monotonic() < until:
        seen += [e["n"] for e in client.get(f"/streams/a/fast/entries?after={seen[-1]}&follow=5s").json()["items"]]
    equal(seen, list(range(1, 302)), "each once, in order")


@test
def only_what_was_asked_for():
    append("a/kinds", kind="note")
    follow = Follow("a/kinds", "after=1&kind=user&follow=60s")
    append("a/kinds", kind="note")
    C.patch("/streams/a/kinds", {"customer": 7})
    waiting([follow])
    append("a/kinds", kind="user")
    equal(follow.numbers(), [3], "of a kind")


@test
def what_is_refused():
    append("a/bad")
    for query in ("follow=10s", "last=1&follow=10s", "before=5&follow=10s", "after=1&follow=0s", "after=1&follow=61s", "after=1&follow=soon"):
        answer = C.get(f"/streams/a/bad/entries?{query}")
        equal((answer.status, answer.code), (400, "bad_filter"), query)
    answer = Follow("a/none", "after=0&follow=60s").end()
    equal((answer.status, answer.code), (404, "not_found"), "a stream that is not there is not waited for")


@test
def what_is_erased_ends_it():
    append("a/erased")
    follow = Follow("a/erased", "after=1&follow=60s")
    waiting([follow])
    equal(C.delete("/streams/a/erased").status, 200, "erased")
    equal((follow.end().status, follow.answer.code), (404, "not_found"), "it is told")


@test
def a_space_can_be_removed():
    other = SERVER.client("other")
    append("a", client=other)
    follow = Follow("a", "after=1&follow=60s", space="other")
    waiting([follow])
    equal(C.delete("/v1/other?confirm=other", raw=True).status, 204, "nobody holds it")
    equal((follow.end().status, follow.answer.code), (404, "unknown_space"), "who followed is told")


@test
def a_restore_is_seen():
    backup = TOP / "backup.zip"
    append("a/restored")
    equal(run("backup", backup, at=f"{TOP / 'data'}#default").status, 0, "a backup")
    append("a/restored", 2)
    append("a/not-in-it")
    follow = Follow("a/restored", "after=1&follow=60s&kind=none")
    gone = Follow("a/not-in-it", "after=1&follow=60s")
    waiting([follow, gone])
    equal(run("restore", backup, "--replace", at=f"{TOP / 'data'}#default").status, 0, "a restore")
    equal((gone.end().status, gone.answer.code), (404, "not_found"), "of what the backup has not")
    equal(C.get("/streams/a/restored").json()["count"], 1, "of what it has, there is what it has")
    append("a/restored", 3, kind="none")
    equal(follow.numbers(), [2], "and what comes is told")


@test
def clients_may_leave():
    append("a/leave")
    follows = [Follow("a/leave", "after=1&follow=60s") for _ in range(40)]
    waiting(follows)
    for f in follows:
        f.client.connection.sock.shutdown(2)
    for f in follows:
        f.join(SOON)
    append("a/leave", 2)
    equal(Follow("a/leave", "after=1&follow=60s").numbers(), [2], "and others go on")


@test
def a_command_does_not_hold_the_store():
    """Where no server runs nobody could append meanwhile: the answer comes at once."""
    store = TOP / "own.db"
    equal(run("append", "a", "x", at=store).status, 0, "appended")
    began = time.monotonic()
    with Server(TOP / "embedded") as server:
        append("a", client=server.client())
        server.stop()
    equal(run("tail", "a", "--json", at=f"{TOP / 'embedded'}#default").status, 0, "read")
    check(time.monotonic() - began < SOON, "in time")


@test
def a_token_that_ends_ends_it():
    data = TOP / "tokens"
    with Server(data) as server:
        append("a", client=server.client())
        made = run("token", "create", "reader", "--rights", "read", "--json", at=f"{data}#default").json()
        head = {"Authorization": f"Bearer {made['token']}"}
        follow = Follow("a", "after=1&follow=60s", server, headers=head)
        waiting([follow])
        equal(run("token", "revoke", made["id"], at=f"{data}#default").status, 0, "revoked")
        equal((follow.end().status, follow.answer.code), (401, "token_expired"), "told within seconds")
        server.stop()


@test
def a_stop_does_not_wait_for_them():
    with Server(TOP / "stop", arguments=["--loops", "2"]) as server:
        append("a", client=server.client())
        follows = [Follow("a", "after=1&follow=60s", server) for _ in range(8)]
        waiting(follows)
        began = time.monotonic()
        equal(server.stop(), 0, "its end")
        check(time.monotonic() - began < 5, "soon")
        for f in follows:
            equal(f.numbers(), [], "they are told that there is nothing")


@test
def on_postgres():
    with Cluster() as pg, Server(pg.url(), arguments=["--loops", "3"]) as server:
        client = server.client()
        append("a", client=client)
        follow = Follow("a", "after=1&follow=60s", server)
        waiting([follow])
        append("a", 2, client=client)
        equal(follow.numbers(), [2], "told")
        equal(Follow("a", "after=2&follow=1s", server).numbers(), [], "nothing more")
        with Server(pg.url(), arguments=["--loops", "3"]) as other:
            for n in range(3, 8):
                follow = Follow("a", f"after={n - 1}&follow=60s", server)
                time.sleep(0.1)
                append("a", n, client=other.client())
                equal(follow.numbers(), [n], "told of what another server has appended")
            append("b", client=server.client("shop"))
            equal(other.client("shop").get("/streams/b").status, 200, "a space that both have open")
            follows = [Follow("b", "after=1&follow=60s", server, "shop") for _ in range(12)]
            waiting(follows)
            equal(other.client().delete("/v1/shop?confirm=shop", raw=True).status, 204, "which the other one removes")
            for follow in follows:
                equal((follow.end().status, follow.answer.code), (404, "unknown_space"), "each is told")
            other.stop()
        server.stop()


@test
def saboteur_followers_not_told_is_found():
    with Server(TOP / "deaf", env={"KF_SABOTAGE": "followers-not-told"}) as server:
        client = server.client()
        append("a", client=client)
        follow = Follow("a", "after=1&follow=60s", server)
        wait_for(lambda: server.client().get("/streams/a").status == 200, 10)
        time.sleep(0.3)
        append("a", 2, client=client)
        follow.join(2)
        check(follow.is_alive(), "nobody tells it")
        server.stop()


main()
SERVER.stop()
