#!/usr/bin/env python3
# test: timeout=180
"""Streams on the command line: what becomes an entry, what is shown, what follows through a restart, what is asked before it is gone."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from keepfast import PROGRAM, Server, folder, run, wait_for  # noqa: E402
from pg import Cluster  # noqa: E402
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
def json_that_is_broken_is_text_and_said_to_be():
    lines = b'{"bad":\n  {"body": 1\n[1,\nplain { text\n{"body": 1}\n'
    done = ok("append", "broken", "-", stdin=lines)
    check(b"keepfast: 2 lines begin with { and cannot be read as JSON: taken as text" in done.err, f"how many: {done.err}")
    equal(bodies("broken"), [{"text": '{"bad":'}, {"text": '  {"body": 1'}, {"text": "[1,"}, {"text": "plain { text"}, 1], "as they are")
    done = ok("append", "broken", "-", "--json", stdin=b'{"bad":\n')
    equal((done.json()["count"], done.err), (6, b"keepfast: 1 line begins with { and cannot be read as JSON: taken as text\n"), "one, and for programs, too")
    check(b"taken as text" in ok("append", "broken", '{"bad":').err, "what is typed")
    for text in ("plain", '{"good": 1}', "[x"):
        check(b"taken as text" not in ok("append", "broken", text).err, f"nothing to say of {text}")


@test
def a_last_line_without_an_end_goes_with_the_others():
    for attempt in range(20):
        pipe = subprocess.Popen([PROGRAM, "append", f"unended/{attempt}", "-", "--json", "--at", STORE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        time.sleep(0.5)
        begun = time.monotonic()
        pipe.stdin.write(b"one\ntwo")
        pipe.stdin.flush()
        time.sleep(0.1)  # whoever wrote it ends a moment later
        pipe.stdin.close()
        took = time.monotonic() - begun
        out = pipe.stdout.read()
        equal(pipe.wait(20), 0, "it ends well")
        if took < 0.19:  # else this process was kept for longer than the program waits
            break
    equal([[i["n"] for i in json.loads(line)["items"]] for line in out.splitlines()], [[1, 2]], "one request, one answer")


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
    for prefix in ("sh", "sh*"):
        equal([h["stream"] for h in ok("search", "hello", "31mred", "--prefix", prefix, "--json").json()["items"]], ["show"], "words, of some streams")
    check(re.search(rb"\d+ streams, \d+ entries, .*in memory", ok("status").out), "in the status")
    for key in ("k/entries", "k/context"):
        ok("append", key, "x")
        equal(len(bodies(key)), 1, f"{key} is a key")
    for words, said in ((("append", "a", "x", "--time", "yesterday"), b"--time wants a time"), (("strem", "ls"), b"did you mean stream?"),
                        (("search", "x", "--prefix", "a*", "--prefix", "b*"), b"one --prefix")):
        done = run(*words, at=STORE)
        check(done.status == 2 and said in done.err, f"{words}: {done}")
    check(b"nothing was appended" in ok("append", "a", "-").err, "no lines are no entries")
    for words, status in ((("tail", "none"), 1), (("stream", "show", "none"), 1), (("context", "none"), 1), (("search", '"x'), 11),
                          (("tail", "a", "-n", "0"), 2), (("tail", "a", "-x"), 2), (("append",), 2), (("append", "a//b", "x"), 11)):
        equal(run(*words, at=STORE).status, status, " ".join(words))


@test
def a_stream_is_shown_for_people():
    data = TOP / "looked-at"
    data.mkdir(mode=0o700)
    (data / "keepfast.yaml").write_text('spaces: { default: { streams: [ { match: "v/*", rings: { views: { kind: view, last: 12 } } } ] } }\n')
    place = f"{data}#default"
    done = ok("append", "v/1", "-", at=place, stdin=b"hello\n")
    check(b"v/1: 1 line, 0 of them known before, 1 entry in all" in done.err, f"one is one: {done.err}")
    check(b"v/1: 1 entry, " in ok("stream", "show", "v/1", at=place).out, "likewise")
    ok("append", "v/1", "-", at=place, stdin=b"".join(b'{"kind": "view", "body": {"product": "p-%d"}}\n' % i for i in range(2, 15)))
    ok("stream", "set", "v/1", "customer=7", "name=Anna\nK", 'cart={"items": [1]}', "memory=" + "za\u017c\u00f3\u0142\u0107 " * 40, at=place)
    shown = ok("stream", "show", "v/1", at=place).out.decode().splitlines()
    equal([line for line in shown if line.split(":")[0] in ("customer", "name", "cart")], ["customer: 7", "name: Anna\\nK", 'cart: {"items": [1]}'],
          "an attribute is a line")
    at = shown.index("views: 12, newest first")
    equal([int(line.split(",")[0]) for line in shown[at + 1:at + 11]], list(range(14, 4, -1)), "a ring, the newest first")
    check(shown[at + 1].endswith('ago: {"product": "p-14"}'), f"number, age and body: {shown}")
    equal(shown[at + 11:], ["  and 2 more: --json has them"], "and how many there are besides")
    check(len(next(line for line in shown if line.startswith("memory: "))) > 200, "whole, where no terminal ends the line")
    row = ok("stream", "ls", "v/", at=place).out.decode().splitlines()[1]
    check("customer=7, name=Anna\\nK, cart=" in row and "…" in row and len(row) < 120, f"a row is no page: {row}")
    equal(len(ok("stream", "show", "v/1", "--json", at=place).json()["rings"]["views"]), 12, "for programs all")


@test
def what_is_pending_of_a_stream_is_no_version():
    place = f"{TOP / 'waits'}#default"
    ok("append", "chat/1", "-", at=place, stdin=b"one\ntwo\n")
    ok("stream", "set", "known", "customer=7", at=place)
    ok("put", "a", "-", at=place, stdin=b"1")
    ok("remote", "add", "usb", f"dir:{TOP / 'waits-for'}", "--manual", at=place)
    rows = [re.split(" {2,}", line)[:2] for line in ok("pending", "usb", at=place).out.decode().splitlines()]
    equal(rows, [["NAME", "WHAT"], ["a", "version 1"], ["chat/1", "stream, up to entry 2"], ["known", "stream"]], "each as what it is")
    equal([(i["name"], i["version"]) for i in ok("pending", "usb", "--json", at=place).json()["items"]],
          [("a", 1), ("keepfast-streams/chat/1", 2), ("keepfast-streams/known", 0)], "for programs as it was")


@test
def what_a_prefix_is_of_is_said_where_it_is_one():
    """Tokens have an option of the same name, which may stand more than once."""
    told = {command: " ".join(line for line in run(*command, "--help").out.decode().splitlines() if "--prefix" in line)
            for command in (("search",), ("token", "create"))}
    check("only in streams whose keys begin so" in told["search",] and "more than once" not in told["search",], f"of a search: {told}")
    check("may stand more than once" in told["token", "create"], f"of a token: {told}")
    manual = ok("reference", "--form", "man").out.decode()
    part = re.search(r'^\.SS "search .*?(?=^\.S[SH] )', manual, re.M | re.S).group()
    check("keys begin so" in part and "more than once" not in part, f"the manual page: {part}")


@test
def what_is_erased_is_asked_for():
    for key in ("e/1", "e/2"):
        ok("append", key, "x")
        ok("stream", "set", key, "person=anna/k")
    equal(run("stream", "rm", "e/1", at=STORE).status, 2, "not without --yes")
    equal(run("erase", "person", "anna/k", at=STORE).status, 2, "nor this")
    equal(len(bodies("e/1")), 1, "it is there")
    check(b"1 stream, 1 entry" in ok("stream", "rm", "e/1", "--yes").err, "erased")
    check(b"erased before" in ok("stream", "rm", "e/1", "--yes").err, "again")
    receipt = ok("erase", "person", "anna/k", "--yes", "--json").json()
    equal((receipt["streams"], receipt["entries"]), (1, 1), "one person")
    equal(run("tail", "e/2", at=STORE).status, 1, "gone")
    equal(run("erase", "person", "nobody", "--yes", at=STORE).status, 1, "nobody")


class Following:
    """keepfast tail -f --json; `at` is a place."""

    def __init__(self, key, at):
        self.out = open(TOP / f"followed-{time.monotonic_ns()}", "w+b")
        self.process = subprocess.Popen([PROGRAM, "tail", key, "-n", "3", "-f", "--json", "--at", at], stdin=subprocess.DEVNULL, stdout=self.out,
                                        stderr=subprocess.PIPE)

    def seen(self):
        with open(self.out.name, "rb") as file:
            return [json.loads(line)["n"] for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]

    def end(self, talk=None):
        self.process.terminate()
        if talk:
            self.process.wait(20)
            talk.thread.join(20)
            self.process.stderr.close()
        else:
            self.process.communicate(timeout=20)
        self.out.close()


class Lines:
    """The lines of a pipe as they come."""

    def __init__(self, pipe):
        self.seen = []
        self.thread = threading.Thread(target=lambda: self.seen.extend(pipe), daemon=True)
        self.thread.start()


@test
def what_is_damaged_is_passed_over_and_said():
    data = TOP / "hurt"
    with Server(data) as server:
        server.client().post("/streams/h/entries", [{"body": {"text": f"number {i}!"}} for i in range(1, 31)])
        server.stop()
    whole = (data / "default.db").read_bytes()
    for i in (5, 24, 25, 30):
        body = b'{"text": "number %d!"}' % i
        check(body in whole, "it is in the file")
        whole = whole.replace(body, body.replace(b"number", b"nunber"))
    (data / "default.db").write_bytes(whole)
    place = f"{data}#default"
    done = run("tail", "h", at=place)
    equal([int(n) for n in re.findall(rb"number (\d+)!", done.out)], [21, 22, 23, 26, 27, 28, 29], "the others of the newest")
    check(done.status == 9 and b"3 of these entries are damaged" in done.err and b"entry 24 is damaged" in done.err, f"it is said: {done}")
    equal(json.loads(run("tail", "h", "-n", "3", "--json", at=place).err.splitlines()[-1])["n"], 30, "for programs: which")
    with Server(data) as server:
        tail = Following("h", place)
        wait_for(lambda: tail.seen() == [28, 29], 20)
        server.client().post("/streams/h/entries", {"body": 31})
        wait_for(lambda: tail.seen() == [28, 29, 31], 20)
        tail.end()
        server.stop()


def follows_through_restarts(name, place_of):
    """place_of(server): where it is followed. The server comes back at the same address, killed or told to stop."""
    data = TOP / name
    server = Server(data)
    for i in range(5):
        server.client().post("/streams/f/entries", {"body": i})
    tail = Following("f", place_of(server))
    try:
        wait_for(lambda: tail.seen() == [3, 4, 5], 20)
        for end in (server.kill, None, None):
            for i in range(4):
                equal(server.client().post("/streams/f/entries", {"body": i}).status, 201, "more")
            if end:
                end()
            else:
                equal(server.stop(), 0, "a stop does not wait for who follows")
            time.sleep(0.3)
            server = Server(data, listen=server.address)
            for i in range(3):
                equal(server.client().post("/streams/f/entries", {"body": i}).status, 201, "more, behind the restart")
        wait_for(lambda: len(tail.seen()) >= 24, 40)
        time.sleep(1.5)
        equal(tail.seen(), list(range(3, 27)), "each once")
        equal(tail.process.poll(), None, "and it goes on")
    finally:
        tail.end()
        server.stop()


@test
def following_survives_a_restart():
    follows_through_restarts("followed", lambda server: f"{server.data}#default")


@test
def following_survives_a_restart_over_http():
    follows_through_restarts("followed-http", lambda server: f"http://{server.address}/default")


@test
def following_survives_a_restart_at_a_socket():
    follows_through_restarts("followed-socket", lambda server: f"unix:{server.socket}#default")


@test
def following_survives_a_new_machine_and_a_restore():
    """A store that is filled again, or restored, has the stream under another `born`: what was shown is not shown again."""
    place, backup = TOP / "remote", TOP / "followed.zip"
    place.mkdir(mode=0o700)
    config = f'spaces: {{ default: {{ remotes: {{ usb: {{ url: "dir:{place}", manual: true }} }} }} }}\n'
    server = Server(TOP / "machine-1", config)
    for i in range(5):
        server.client().post("/streams/f/entries", {"body": i})
    equal(run("sync", "--wait", at=f"{server.data}#default").status, 0, "it is at the remote")
    born = server.client().get("/streams/f").json()["born"]
    at = server.address
    tail = Following("f", f"http://{at}/default")
    try:
        wait_for(lambda: tail.seen() == [3, 4, 5], 20)
        server.kill()
        server = Server(TOP / "machine-2", config, listen=at)
        wait_for(lambda: server.client().get("/streams/f").status == 200, 20)
        check(server.client().get("/streams/f").json()["born"] != born, "the store has it anew")
        server.client().post("/streams/f/entries", {"body": 6})
        wait_for(lambda: tail.seen() == [3, 4, 5, 6], 20)
        equal(run("backup", backup, at=f"http://{at}/default").status, 0, "a backup")
        server.client().post("/streams/f/entries", {"body": 7})
        wait_for(lambda: tail.seen() == [3, 4, 5, 6, 7], 20)
        equal(run("restore", backup, "--replace", at=f"http://{at}/default").status, 0, "back to what was there before the last one")
        server.client().post("/streams/f/entries", {"body": "another seventh"})
        wait_for(lambda: tail.seen() == [3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7], 20)
    finally:
        tail.end()
        server.stop()


@test
def following_a_folder_leaves_it_to_others():
    place = f"{TOP / 'alone'}#default"
    ok("append", "f", "one", at=place)
    tail = Following("f", place)
    try:
        wait_for(lambda: tail.seen() == [1], 20)
        for i in range(4):
            began = time.monotonic()
            ok("append", "f", f"more {i}", at=place)
            check(time.monotonic() - began < 5, "nobody waits for the lock")
        wait_for(lambda: tail.seen() == [1, 2, 3, 4, 5], 20)
        server = Server(TOP / "alone")
        server.client().post("/streams/f/entries", {"body": 6})
        wait_for(lambda: tail.seen()[-1] == 6, 20)
        server.stop()
        ok("append", "f", "7", at=place)
        wait_for(lambda: tail.seen() == list(range(1, 8)), 20)
    finally:
        tail.end()


@test
def following_ends_when_it_is_told():
    data = TOP / "told"
    place = f"{data}#default"
    ok("append", "f", "one", at=place)
    for number in (signal.SIGINT, signal.SIGTERM):
        tail = Following("f", place)
        wait_for(lambda tail=tail: tail.seen() == [1], 20)
        tail.process.send_signal(number)
        equal(tail.process.wait(10), -number, "by the signal")
        tail.end()
        ok("append", "g", "the store is free", at=place)
    tail = Following("f", place)
    wait_for(lambda: tail.seen() == [1], 20)
    for _ in range(5):  # a job that is stopped and goes on
        tail.process.send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        tail.process.send_signal(signal.SIGCONT)
    ok("append", "f", "two", at=place)
    wait_for(lambda: tail.seen() == [1, 2], 20)
    tail.end()
    with Server(data) as server:
        reader = subprocess.Popen([PROGRAM, "tail", "f", "-f", "--json", "--at", place], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        check(reader.stdout.readline(), "a line")
        reader.stdout.close()
        equal(reader.wait(20), 141, "nobody reads any more")
        tail = Following("f", place)
        wait_for(lambda: tail.seen() == [1, 2], 20)
        ok("stream", "rm", "f", "--yes", at=place)
        equal(tail.process.wait(20), 1, "what is erased is not followed")
        check(b"there is no stream" in tail.process.stderr.read(), "and it says so")
        tail.end()
        server.stop()
    equal(run("tail", "none", at=place).status, 1, "nor is what is not there shown")


@test
def a_stream_that_is_not_there_yet_is_waited_for():
    data = TOP / "expected"
    ok("append", "other", "x", at=f"{data}#default")

    def comes(place, key):
        tail = Following(key, place)
        talk = Lines(tail.process.stderr)
        wait_for(lambda: talk.seen, 20)
        time.sleep(3)  # it asks again, and says nothing
        equal(tail.process.poll(), None, "it waits")
        ok("append", key, "-", at=place, stdin=b"one\ntwo\n")
        wait_for(lambda: tail.seen() == [1, 2], 20)
        ok("append", key, "three", at=place)
        wait_for(lambda: tail.seen() == [1, 2, 3], 20)
        tail.end(talk)
        equal(talk.seen, [f'keepfast: there is no stream "{key}" yet; waiting for it\n'.encode()], "said, and once")
    comes(f"{data}#default", "alone")
    with Server(data) as server:
        comes(f"http://{server.address}/default", "served")
        comes(f"{data}#default", "at/its/socket")
        equal(run("tail", "none", "-f", at=f"http://{server.address}/nowhere").status, 1, "a space that is not there is not waited for")
        equal(run("tail", "none", at=f"http://{server.address}/default").status, 1, "nor does anything wait without -f")
        server.stop()


@test
def a_stream_that_begins_anew_is_followed():
    data = TOP / "anew"
    place = f"{data}#default"
    for i in range(3):
        ok("append", "f", str(i), at=place)
    with Server(data) as server:
        tail = Following("f", place)
        wait_for(lambda: tail.seen() == [1, 2, 3], 20)
        tail.process.send_signal(signal.SIGSTOP)
        time.sleep(6)  # its request has been answered
        ok("stream", "rm", "f", "--yes", at=place)
        ok("append", "f", "anew", at=place)
        tail.process.send_signal(signal.SIGCONT)
        wait_for(lambda: tail.seen() == [1, 2, 3, 1], 30)
        tail.process.send_signal(signal.SIGSTOP)
        time.sleep(6)
        ok("stream", "rm", "f", "--yes", at=place)
        ok("append", "f", "-", at=place, stdin=b"longer\nthan\nbefore\n")
        tail.process.send_signal(signal.SIGCONT)
        wait_for(lambda: tail.seen() == [1, 2, 3, 1, 1, 2, 3], 30)
        tail.end()
        server.stop()


def piping(key, at):
    return subprocess.Popen([PROGRAM, "append", key, "-", "--at", at], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@test
def a_pipe_that_pauses_leaves_the_store_to_others():
    place = f"{TOP / 'paused'}#default"
    pipe = piping("p", place)
    for i in range(1, 4):
        pipe.stdin.write(b"line %d\n" % i)
        pipe.stdin.flush()
        wait_for(lambda i=i: run("tail", "p", "--json", at=place).out.count(b'"n":') == i, 20)
    pipe.stdin.write(b"without an end")
    out, err = pipe.communicate(timeout=20)
    equal((pipe.returncode, out), (0, b""), f"{err}")
    check(b"4 lines" in err, f"{err}")
    equal([b["text"] for b in bodies("p", place)], ["line 1", "line 2", "line 3", "without an end"], "each as it came")


@test
def lines_with_ids_survive_a_restart():
    data = TOP / "resent"
    place = f"{data}#default"
    server = Server(data)
    pipe = piping("p", place)
    lines = [b'{"id":"%d","body":%d}\n' % (i, i) for i in range(6000)]
    try:
        for part in range(6):
            pipe.stdin.write(b"".join(lines[part * 1000:part * 1000 + 1000]))
            pipe.stdin.flush()
            if part % 2 == 0:
                server.kill()
                time.sleep(0.5)
                server = Server(data)
        out, err = pipe.communicate(timeout=60)
        equal(pipe.returncode, 0, f"{err}")
        info = server.client().get("/streams/p").json()
        equal((info["count"], info["last_n"]), (6000, 6000), "each once")
    finally:
        server.stop()


@test
def what_was_appended_before_a_failure_is_said():
    lines = b"".join(b"line %d\n" % i for i in range(1200)) + b'{"body":1,"more":2}\n'
    done = run("append", "half", "-", at=STORE, stdin=lines)
    equal(done.status, 11, f"{done}")
    check(b"1000 lines were appended, then" in done.err, f"how many are in: {done.err}")
    equal(ok("stream", "show", "half", "--json").json()["count"], 1000, "as it says")


@test
def a_long_import_shows_how_far_it_is():
    path = TOP / "long.ndjson"
    path.write_bytes(b"".join(b'{"id":"%d","body":{"text":"%s"}}\n' % (i, b"x" * 200) for i in range(6000)))
    main_end, other_end = pty.openpty()
    with open(path, "rb") as file:
        process = subprocess.Popen([PROGRAM, "append", "long", "-", "--at", STORE], stdin=file, stdout=subprocess.PIPE, stderr=other_end)
        os.close(other_end)
        shown = b""
        while True:
            try:
                piece = os.read(main_end, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        equal((process.wait(60), process.stdout.read()), (0, b""), "nothing of it on stdout")
    os.close(main_end)
    process.stdout.close()
    check(re.search(rb"appending .*\[#*\.*\] +\d+ %", shown), f"a bar: {shown[-500:]}")
    check(b"6000 lines" in shown, f"and what came of it: {shown[-300:]}")
    done = run("append", "long", "-", at=STORE, stdin=path.read_bytes())
    check(b"appending" not in done.err, "not where nobody looks")


@test
def the_same_at_a_server_and_on_postgres():
    def look(place):
        ok("append", "s", "hello Gdańsk", "--kind", "user", "--id", "1", at=place)
        ok("append", "s", "-", at=place, stdin=b"two\nthree\n")
        ok("stream", "set", "s", "customer=7", at=place)
        shown = [ok(*words, "--json", at=place).json() for words in
                 (("tail", "s"), ("stream", "show", "s"), ("context", "s", "--across", "customer"), ("search", "gdansk"), ("stream", "ls"))]
        receipt = ok("erase", "customer", "7", "--yes", "--json", at=place).json()
        equal((receipt["streams"], receipt["entries"]), (1, 3), "erased")
        for entry in shown[0]["items"] + shown[2]["items"] + shown[3]["items"]:
            entry.pop("at")
        shown[0].pop("born")
        for info in [shown[1], *shown[4]["items"]]:
            info.pop("first_at"), info.pop("last_at"), info.pop("born")
        return shown
    alone = look(f"{TOP / 'same'}#default")
    with Server(TOP / "served") as server:
        equal(look(f"http://{server.address}/default"), alone, "over http")
        equal(look(f"{TOP / 'served'}#default"), alone, "through its socket")
        server.stop()
    with Cluster() as pg:
        equal(look(pg.url("shop")), alone, "on PostgreSQL")
        ok("append", "f", "one", at=pg.url("shop"))
        tail = Following("f", pg.url("shop"))
        try:
            wait_for(lambda: tail.seen() == [1], 20)
            ok("append", "f", "two", at=pg.url("shop"))
            wait_for(lambda: tail.seen() == [1, 2], 20)
        finally:
            tail.end()


main()
