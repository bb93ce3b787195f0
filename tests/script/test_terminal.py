#!/usr/bin/env python3
# test: timeout=60
"""What the command line looks like on a terminal: colours where they are wanted, words that fit, a watched status that stays in its place."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
from keepfast import PROGRAM, Server, folder, made_up_server, run, wait_for  # noqa: E402
from tap import check, equal, main, test  # noqa: E402

TOP = folder()
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def on_terminal(*words, columns=80, rows=24, seconds=20, until=None, env=None):
    """All that the program has written to a terminal of this size, and its exit status: at its end, or, until is true of it, after
    Ctrl-C."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.pop("NO_COLOR", None)
        os.environ.update({"TERM": "xterm"} | (env or {}))
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.execv(PROGRAM, [PROGRAM, *map(str, words)])
    out, end, told = b"", time.monotonic() + seconds, False
    while time.monotonic() < end:
        if not select.select([fd], [], [], 0.1)[0]:
            continue
        try:
            piece = os.read(fd, 65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
        if until and not told and until(out.decode(errors="replace")):
            os.kill(pid, signal.SIGINT)
            told = True
    else:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    os.close(fd)
    return out.decode(), status


class Screen:
    """A terminal of so many columns and rows: what of its escapes the program uses. An escape that it does not know is an error."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.x = self.y = self.scrolled = 0

    def show(self, text):
        at = 0
        while at < len(text):
            escape = ESCAPE.match(text, at)
            if escape:
                self.escape(escape.group())
                at = escape.end()
                continue
            self.put(text[at])
            at += 1

    def put(self, char):
        if char == "\r":
            self.x = 0
        elif char == "\n":
            self.down()
        else:
            if self.x == self.columns:
                self.x = 0
                self.down()
            self.cells[self.y][self.x] = char
            self.x += 1

    def down(self):
        self.y += 1
        if self.y == self.rows:
            self.y -= 1
            self.scrolled += 1
            self.cells = self.cells[1:] + [[" "] * self.columns]

    def escape(self, text):
        if text == "\x1b[H":
            self.x = self.y = 0
        elif text == "\x1b[2J":
            self.cells = [[" "] * self.columns for _ in range(self.rows)]
        elif text == "\x1b[K":
            self.cells[self.y][self.x:] = [" "] * (self.columns - self.x)
        elif text == "\x1b[J":
            self.cells[self.y][self.x:] = [" "] * (self.columns - self.x)
            for y in range(self.y + 1, self.rows):
                self.cells[y] = [" "] * self.columns
        else:
            check(text.endswith("m"), f"the escape {text!r}")

    def lines(self):
        return ["".join(row).rstrip() for row in self.cells]


def lines(text):
    return ESCAPE.sub("", text).replace("\r", "").split("\n")


def served(name, remotes):
    """A server with one document and these remotes."""
    data = TOP / name
    return Server(data, json.dumps({"spaces": {"default": {"remotes": remotes}}}), arguments=["--start-empty"])


@test
def colours_are_for_terminals_that_want_them():
    at = TOP / "a.db"
    run("put", "a", at=at, stdin=b"1")
    at.chmod(0o644)
    seen, status = on_terminal("doctor", "--at", at)
    check("\x1b[33mWarnings\x1b[0m" in seen and os.waitstatus_to_exitcode(status) == 1, f"a warning: {seen!r}")
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        at.chmod(0o644)
        seen, _ = on_terminal("doctor", "--at", at, env=env)
        check("\x1b" not in seen and "Warnings" in seen, f"with {env}: {seen!r}")
    seen, _ = on_terminal("doctor", "--json", "--at", at)
    check("\x1b" not in seen, "JSON has none")
    seen, _ = on_terminal("ls", "--at", at)
    check("\x1b[2mNAME" in seen, f"the head of a table: {seen!r}")
    seen, status = on_terminal("get", "none", "--at", at)
    check("\x1b[1;31mkeepfast:\x1b[0m there is no document" in seen and os.waitstatus_to_exitcode(status) == 1, f"a failure: {seen!r}")
    for words in (("doctor",), ("status",), ("ls",)):
        check(b"\x1b" not in run(*words, at=at).out, "none in a pipe")


@test
def what_the_doctor_says_fits_and_can_be_followed():
    """Its lines fit 80 columns, and a place that was named belongs to the commands that it names."""
    data = TOP / "doctored"
    run("put", "a", at=f"{data}#default", stdin=b"1")
    seen, _ = on_terminal("doctor", "--at", data)
    told = lines(seen)
    own = [line.replace(str(data), "/data") for line in told]  # how long the name of a folder is, is not ours
    check(all(len(line) <= 80 or " " not in line.strip() for line in own), f"{told}")
    check("explains each by its word" in told[-2] and f"--at '{data}#SPACE'" in " ".join(told), f"{told}")
    seen = run("doctor", at=f"{data}#default").out.decode()
    check(f"--at '{data}#default'" in " ".join(lines(seen)), seen)
    check("--at" not in run("doctor", cwd=TOP, env={"KEEPFAST_AT": f"{data}#default"}).out.decode(), "a command goes there by itself")


@test
def what_a_server_says_moves_no_cursor():
    """A server of somebody else answers as it likes: its words are shown, their escapes are not obeyed."""
    evil = "a\x1b]0;evil\x07b\x1b[2Jc\x9bd"
    status = {"space": evil, "at": "2026-01-01T00:00:00.000Z", "pending": {"count": 0, "bytes": 0, "oldest": None, "age_ms": 0},
              "store": {"state": evil, "reason": evil, "docs": 1, "disk_bytes": 1, "disk_free": 1}, "remotes": [], "backups": None}
    finding = {"code": evil, "level": "error", "title": evil, "detail": evil, "next": evil, "space": None, "remote": evil}

    def lie(path):
        return json.dumps({"items": [finding], "next": None} if "doctor" in path else status).encode()

    with made_up_server(lie) as address:
        at = f"{address}/default"
        for word in ("status", "doctor"):
            for said in (on_terminal(word, "--at", at)[0], run(word, at=at).out.decode()):
                check("evil" in said, f"{word}: its words are there: {said!r}")
                rest = COLOUR.sub("", said)
                check(not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", rest), f"{word}: and nothing else: {said!r}")


@test
def words_are_not_broken():
    at = TOP / "b.db"
    run("put", "a", at=at, stdin=b"1")
    for columns in (40, 60, 200):
        at.chmod(0o644)
        seen, _ = on_terminal("doctor", "--at", at, columns=columns)
        told = [line for line in lines(seen) if line.startswith("    ")]
        check(told and all(len(line) <= min(columns, 100) or " " not in line.strip() for line in told), f"{columns} columns: {told}")
        check("what the documents hold is there in plain" in " ".join(" ".join(told).split()), "whole")


@test
def a_watched_status_stays_in_its_place():
    with served("watched", {"away": {"url": f"dir:{TOP}/not/there", "every": "1h"}, "near": {"url": f"dir:{TOP}", "manual": True}}) as server:
        client = server.client()
        wait_for(lambda: client.get("/remotes/away").json()["failures"], 20)
        for columns, rows in ((100, 30), (60, 24), (40, 6)):
            seen, status = on_terminal("status", "--watch", "--at", f"{TOP}/watched", columns=columns, rows=rows,
                                       until=lambda text: text.count("\x1b[J") >= 2)
            check(os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 130, f"Ctrl-C ends it: {status}")
            screen = Screen(columns, rows)
            screen.show(seen.replace("^C", ""))
            shown = screen.lines()
            equal(screen.scrolled, 0, f"{columns} x {rows}: it never scrolls: {shown}")
            check(shown[0].startswith("keepfast status, 20") and sum(line.startswith("keepfast status") for line in shown) == 1, f"{shown}")
            if rows >= 24:
                check(any(line.startswith("away") and "retrying" in line for line in shown), f"{shown}")
                check(shown[-1] == "", f"the last row is free: {shown}")
            check("\x1b[33mretrying\x1b[0m" in seen or rows < 24, "in its colour")
        client.close()


@test
def a_watch_ends_with_its_server():
    with served("ended", {}) as server:
        server.client().put("/docs/a", b"1")
        ended = []
        seen, status = on_terminal("status", "--watch", "--at", f"unix:{server.socket}#default",
                                   until=lambda text: "1 document," in text and not ended and ended.append(server.stop()))
        screen = Screen(80, 24)
        screen.show(seen)
        shown = [line for line in screen.lines() if line]
        check(os.waitstatus_to_exitcode(status) == 10, f"its status: {status}")
        check(shown[0].startswith("keepfast status") and any("1 document," in line for line in shown), f"the last that was seen stays: {shown}")
        check(shown[-1].startswith("keepfast:") or shown[-2].startswith("keepfast:"), f"and below it why: {shown}")


@test
def what_a_stream_holds_fits_the_terminal():
    place = f"{TOP / 'stream'}#default"
    equal(run("stream", "set", "s", "memory=" + "\u017c" * 300, "x" * 200 + "=1", "end=1", at=place).status, 0, "set")
    for columns in (40, 90):
        out, status = on_terminal("stream", "show", "s", "--at", place, columns=columns)
        told = [line for line in lines(out) if not line.startswith("s: ")]
        equal((status, max(map(len, told))), (0, columns), f"at {columns} columns: {told}")
        check(told[0].startswith("memory: \u017c") and told[0].endswith("\u017c…") and "end: 1" in told, f"cut, and said to be: {told}")


main()
