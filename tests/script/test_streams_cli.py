#!/usr/bin/env python3
# test: timeout=180
"""Streams on the command line: what becomes an entry, what is shown, what follows through a restart, what is asked before it is gone."""

import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from keepfast import PROGRAM, Server, folder, run, wait_for  # noqa: E402
from tap import check, equal, main, test  # noqa: E402

TOP = folder()
STORE = TOP / "app.db"


def ok(*words, at=STORE, **more):
    done = run(*words, at=at, **more)
    equal(done.status, 0, f"{' '.join(map(str, words))}: {done.err.decode()}")
    return done


def bodies(key, at=STORE):
    return [e["body"] for e in ok("tail", key, "-n", 1000, "--json", at=at).json()["items"]]


@test
def what_is_typed():
    for text in ("hello there", '{"text":"hi","tokens":3}', "[1, 2]", "42", "true", '"quoted"', "", "zażółć"):
        ok("append", "a", text)
    equal(bodies("a"), [{"text": "hello there"}, {"text": "hi", "tokens": 3}, [1, 2], {"text": "42"}, {"text": "true"}, {"text": '"quoted"'},
                        {"text": ""}, {"text": "zażółć"}], "objects and lists as they are, all else as text")
    done = ok("append", "a", "x", "--id", "one", "--kind", "user", "--time", "2026-01-02T03:04:05Z", "--json")
    equal((done.json(), done.err), ({"n": 9, "count": 9}, b""), "an answer as JSON")
    done = ok("append", "a", "x", "--id", "one", "--kind", "user", "--time", "2026-01-02T03:04:05Z")
    check(b"which was there" in done.err, f"once: {done}")
    equal(run("append", "a", "y", "--id", "one", at=STORE).status, 5, "another under the same id")
    last = ok("tail", "a", "-n1", "--json").json()["items"][0]
    equal({m: last[m] for m in ("id", "kind", "at")}, {"id": "one", "kind": "user", "at": "2026-01-02T03:04:05.000Z"}, "with what was said of it")
    equal(run("append", "a", "x", "--kind", "NO", at=STORE).status, 11, "a kind that cannot be one")
    equal(run("append", "a", "-", at=STORE, stdin=b"\xff\n").status, 2, "no UTF-8")


@test
def what_is_piped():
    lines = b'one\n{"body":[1],"id":"q","kind":"tool"}\r\n\n42\n{"a":1}\n{"body":null}'
    done = ok("append", "p", "-", "--kind", "note", stdin=lines)
    check(b"5 lines" in done.err and b"5 entries in all" in done.err, f"how many: {done.err}")
    found = ok("tail", "p", "--json").json()["items"]
    equal([(e.get("kind"), e.get("id"), e["body"]) for e in found],
          [("note", None, {"text": "one"}), ("tool", "q", [1]), ("note", None, {"text": "42"}), ("note", None, {"a": 1}), ("note", None, None)], "each")
    many = b"".join(b'{"id":"%d","body":{"i":%d}}\n' % (i, i) for i in range(1700))
    ok("append", "many", stdin=many)
    done = ok("append", "many", stdin=many)
    check(b"1700 of them known before, 1700 entries in all" in done.err, f"twice is once: {done.err}")
    equal(ok("stream", "show", "many", "--json").json()["count"], 1700, "all of them, over several requests")
    equal(run("append", "p", "-", "--id", "x", at=STORE, stdin=b"1\n").status, 2, "one id for many lines")
    done = run("append", "p", "-", at=STORE, stdin=b'{"body":1}\n{"body":2,"more":3}\n')
    check(done.status == 11 and b"entry 2 of 2" in done.err, f"which of them: {done}")
    equal(len(bodies("p")), 5, "and none of them")


@test
def what_is_shown():
    ok("append", "show", "hello \x1b[31mred", "--kind", "user")
    ok("append", "show", '{"x":1}', "--kind", "tool")
    out = ok("tail", "show").out.decode()
    check("1 user, " in out and "2 tool, " in out and '{"x":1}' in out, out)
    check("\x1b" not in out, "no escapes of others")
    ok("stream", "set", "show", "customer=7", "name=Anna K", "vip=true", 'cart={"id":1}')
    equal(ok("stream", "show", "show", "--json").json()["attrs"], {"customer": 7, "name": "Anna K", "vip": True, "cart": {"id": 1}}, "attributes")
    ok("stream", "set", "show", "vip=null")
    check(b"customer" in ok("stream", "show", "show").out, "for people")
    equal([s["key"] for s in ok("stream", "ls", "--attr", "customer=7", "--attr", "name=Anna K", "--json").json()["items"]], ["show"], "by attribute")
    equal([s["key"] for s in ok("stream", "ls", "sh", "--json").json()["items"]], ["show"], "by prefix")
    check(b"show" in ok("stream", "ls").out, "as a table")
    equal(run("stream", "ls", "--attr", "customer", at=STORE).status, 2, "an attribute without a value")
    equal(run("stream", "set", "show", "customer", at=STORE).status, 2, "likewise")
    equal([e["n"] for e in ok("context", "show", "--entries", "1", "--json").json()["items"]], [2], "a context")
    check(b"show 1 user" in ok("context", "show", "--across", "customer").out, "across streams, with their keys")
    equal([h["stream"] for h in ok("search", "HELLO", "--json").json()["items"]], ["show", "a"], "a search, the newest first")
    check(b"show" in ok("search", "hello", "31mred", "--prefix", "sh").out, "words, of some streams")
    for key in ("k/entries", "k/context"):
        ok("append", key, "x")
        equal(len(bodies(key)), 1, f"{key} is a key")
    for words, status in ((("tail", "none"), 1), (("stream", "show", "none"), 1), (("context", "none"), 1), (("search", '"x'), 11),
                          (("tail", "a", "-n", "0"), 2), (("tail", "a", "-x"), 2), (("append",), 2), (("append", "a//b", "x"), 11)):
        equal(run(*words, at=STORE).status, status, " ".join(words))


@test
def what_is_erased_is_asked_for():
    for key in ("e/1", "e/2"):
        ok("append", key, "x")
        ok("stream", "set", key, "person=anna/k")
    equal(run("stream", "rm", "e/1", at=STORE).status, 2, "not without --yes")
    equal(run("erase", "person", "anna/k", at=STORE).status, 2, "nor this")
    equal(len(bodies("e/1")), 1, "it is there")
    check(b"1 entries" in ok("stream", "rm", "e/1", "--yes").err, "erased")
    check(b"erased before" in ok("stream", "rm", "e/1", "--yes").err, "again")
    receipt = ok("erase", "person", "anna/k", "--yes", "--json").json()
    equal((receipt["streams"], receipt["entries"]), (1, 1), "one person")
    equal(run("tail", "e/2", at=STORE).status, 1, "gone")
    equal(run("erase", "person", "nobody", "--yes", at=STORE).status, 1, "nobody")


class Following:
    def __init__(self, key, at):
        self.out = open(TOP / f"followed-{time.monotonic_ns()}", "w+b")
        self.process = subprocess.Popen([PROGRAM, "tail", key, "-n", "3", "-f", "--json", "--at", at], stdin=subprocess.DEVNULL, stdout=self.out,
                                        stderr=subprocess.PIPE)

    def seen(self):
        with open(self.out.name, "rb") as file:
            return [json.loads(line)["n"] for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]

    def end(self):
        self.process.terminate()
        self.process.communicate(timeout=20)
        self.out.close()


@test
def following_survives_a_restart():
    data = TOP / "followed"
    place = f"{data}#default"
    server = Server(data)
    for i in range(5):
        server.client().post("/streams/f/entries", {"body": i})
    tail = Following("f", place)
    try:
        wait_for(lambda: tail.seen() == [3, 4, 5], 20)
        for _ in range(3):
            for i in range(4):
                equal(server.client().post("/streams/f/entries", {"body": i}).status, 201, "more")
            server.kill()
            time.sleep(0.3)
            server = Server(data)
            for i in range(3):
                equal(server.client().post("/streams/f/entries", {"body": i}).status, 201, "more, behind the restart")
        wait_for(lambda: len(tail.seen()) >= 24, 40)
        time.sleep(1.5)
        equal(tail.seen(), list(range(3, 27)), "each once")
        equal(tail.process.poll(), None, "and it goes on")
    finally:
        tail.end()
        server.stop()


main()
