#!/usr/bin/env python3
# test: timeout=300
"""Branches that nobody means well with (tests/githostile.py), pulled by a store that had good data before and by an empty one.

Each time: an error of that remote or files that are left alone; the server lives and serves; what was good is as it was; documents
that came along with the hostile thing are taken in where the fetch itself is possible; no file is made outside of the store's folder,
no program of theirs is run; the memory of the server and of its children, and the time, have bounds.

    a store with good data -> good documents by hand, and the hostile commit on top of them -> a run -> what came of it
    an empty store -> it fills -> what came of it
"""

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from githost import GitHost  # noqa: E402
from githostile import CANARY, HOSTILE, LIES, Branch, rows  # noqa: E402
from keepfast import Server, folder, state, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TOP = folder()
HOST = GitHost("path")
SERVER_MAX, CHILD_MAX = 512 << 20, 512 << 20  # resident
RUN_S = 120
SLOW = ("many_files", "huge_file")
PEAKS = {}  # what was met: (server, child, seconds)


def chosen():
    names = os.environ.get("KF_HOSTILE")
    return [name for name in HOSTILE if not names or name in names.split(",")]


# ------------------------------------------------------------------------------------- what a run costs


def status_of(pid, field):
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
    return 0


def below(pid):
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError):
                parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
    found, more = set(), {pid}
    while more:
        more = {p for p, parent in parents.items() if parent in more | found} - found
        found |= more
    return found


class Watched:
    """A server whose peaks are kept, and those of what it starts."""

    def __init__(self, name, config):
        self.name = name
        self.server = Server(TOP / name, config=config)
        self.client = self.server.client(timeout=RUN_S + 30)
        self.over = threading.Event()
        self.child = 0
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while not self.over.wait(0.03):
            for pid in below(self.server.process.pid):
                self.child = max(self.child, status_of(pid, "VmHWM") << 10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.client.close()
        self.server.__exit__()

    def run(self):
        began = time.monotonic()
        answer = self.client.ask("POST", f"/remotes/host/run?timeout={RUN_S}s")
        took = time.monotonic() - began
        own = status_of(self.server.process.pid, "VmHWM") << 10
        PEAKS[self.name] = (own, self.child, max(took, PEAKS.get(self.name, (0, 0, 0))[2]))
        check(took < RUN_S, f"{self.name}: it takes {took:.0f} s")
        check(self.server.process.poll() is None, f"{self.name}: the server lives: {self.server.stderr()[-2000:]}")
        check(own < SERVER_MAX, f"{self.name}: the server uses {own >> 20} MiB")
        check(self.child < CHILD_MAX, f"{self.name}: a child uses {self.child >> 20} MiB")
        check(answer.status in (200, 409, 422, 503), f"{self.name}: {answer}")
        return answer

    def remote(self):
        return self.client.get("/remotes/host").json()

    def value(self, name):
        answer = self.client.get(f"/docs/{name}")
        return answer.json() if answer.status == 200 else answer.status


def around():
    """All files of the test's folder that are in no store's and no host's."""
    found = {}
    for path in TOP.iterdir():
        if path.is_dir():
            for inside in path.iterdir():
                found[f"{path.name}/{inside.name}"] = "in a store"
        else:
            found[path.name] = path.stat().st_size
    return found


# ------------------------------------------------------------------------------------- one branch


def yaml(name):
    return json.dumps({"spaces": {"default": {"remotes": {"host": HOST.config(name, manual=True)}}}})


def with_good_data(name):
    with Watched(f"{name}-old", yaml(name)) as old:
        check(old.run().status == 200, "an empty host")
        for n in range(3):
            answer = old.client.put(f"/docs/good{n}?wait=host&timeout=20s", b"%d" % n)
            check(answer.status in (200, 201), f"a good one: {answer}")
        HOST.commit(name, "data", {"good.json": b"1\n", "comes/along.json": b"[1]\n"}, "good ones")
        HOSTILE[name](HOST, name, "data")
        answer = old.run()
        values = [old.value(f"good{n}") for n in range(3)]
        left = [0, 1, 2]
        equal(values, left, "what was there")
        if answer.status == 200:
            equal((old.value("good.json"), old.value("comes/along.json")), (1, [1]), "and what came along")
        else:
            detail = old.remote()["last_error"]
            check(detail and len(detail["detail"]) > 10, f"it is told: {old.remote()}")
        equal(old.client.put("/docs/new", b"1").status, 201, "it serves")
        again = old.run()
        check(again.status == answer.status or (answer.status, again.status) == (200, 503), f"the same again: {answer}, {again}")
        equal(old.server.stop(), 0, "its end")
        return answer.status, "" if answer.status == 200 else answer.json().get("detail", "")


def empty_one(name):
    with Watched(f"{name}-new", yaml(name)) as new:
        answer = new.run()
        if answer.status == 200:
            wait_for(lambda: state(new.client) == "open", RUN_S)
            equal((new.value("good.json"), new.value("comes/along.json")), (1, [1]), "and has what is good")
        else:
            check(new.client.put("/docs/new", b"1").status in (201, 409), "it serves")
        equal(new.server.stop(), 0, "its end")
        return answer.status, "" if answer.status == 200 else answer.json().get("detail", "")


def both(name):
    try:
        HOST.make(name)
        return with_good_data(name), empty_one(name)
    except Exception:  # any may fail in any way, and the others go on
        return traceback.format_exc()


# ------------------------------------------------------------------------------------- tests


@test
def each_is_an_error_of_that_remote_or_left_alone():
    check(not os.path.exists(CANARY), f"{CANARY} is left from before: remove it")
    names = sorted(chosen(), key=lambda name: name not in SLOW)
    with ThreadPoolExecutor(3) as pool:
        found = dict(zip(names, pool.map(both, names)))
    wrong = {name: why for name, why in found.items() if isinstance(why, str)}
    for name, came in found.items():
        if name not in wrong:
            costs = [PEAKS[f"{name}-{who}"] for who in ("old", "new")]
            note(f"{name}: " + "; ".join(f"{status} server={own >> 20}MiB child={child >> 20}MiB s={took:.1f} {detail[:150]!r}"
                                         for (status, detail), (own, child, took) in zip(came, costs)))
    check(not os.path.exists(CANARY), "no program of theirs was run")
    check(not wrong, "\n".join(f"{name}: {why}" for name, why in wrong.items()))
    note(f"peak of a server={max(own for own, _, _ in PEAKS.values()) >> 20}MiB of a child={max(child for _, child, _ in PEAKS.values()) >> 20}MiB "
         f"longest={max(took for _, _, took in PEAKS.values()):.1f}s")
    strange = [name for name in around() if not known(name)]
    equal(strange, [], "no file outside of what a store makes")


def lie(name, line):
    """A store with good data, and a branch with one row that lies."""
    try:
        HOST.make(name)
        with Watched(name, yaml(name)) as store:
            equal(store.run().status, 200, "an empty host")
            check(store.client.put("/docs/good?wait=host&timeout=20s", b"1").status in (200, 201), "a good one")
            change = Branch(HOST, name, "data")
            change.file(b"comes along", b"1\n")
            rows(change, line)
            change.done()
            answer = store.run()
            again = store.run()
            check(again.status in (answer.status, 200), f"the same again: {answer}, {again}")
            # Without a row its file is one that somebody made by hand.
            equal(store.value("good"), 1, "what was there")
            listed = store.client.get("/docs").json()["items"]
            equal(store.client.put("/docs/new", b"1").status, 201, "it serves")
            store.run()
            for path in HOST.files(name, "data"):
                check(path in ("good", "comes along", "new") or path.startswith(".keepfast/"), f"{path} at the host")
            equal(store.server.stop(), 0, "its end")
            return answer.status, answer.json().get("detail", "")[:300], [item["name"] for item in listed]
    except Exception:  # any may fail in any way, and the others go on
        return traceback.format_exc()


@test
def each_row_that_lies_alone():
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda n: lie(f"lie{n}", LIES[n]), range(len(LIES))))
    for n, came in enumerate(found):
        note(f"{LIES[n][:60]}: {came}")
    check(not any(isinstance(came, str) for came in found), [came for came in found if isinstance(came, str)])


@test
def what_a_host_says_is_no_text():
    """Bytes that are no UTF-8, that move a terminal's cursor, and a megabyte of them: an error that can be read."""
    HOST.make("says")
    with Watched("says", yaml("says")) as store:
        HOST.hook("says", "pre-receive", r"printf 'no \377\376\033[2J\302 said the host\n' >&2; exit 1" + "\n")
        store.client.put("/docs/a", b"1")
        answer = store.run()
        check(answer.status == 422 and "said the host" in answer.json()["detail"], f"{answer}")
        check("\x1b" not in store.remote()["last_error"]["detail"] and "\x1b" not in store.server.stderr(), "no terminal is moved")
        HOST.hook("says", "pre-receive", "head -c 3000000 /dev/urandom >&2; exit 1\n")
        equal(store.run().status, 422, "much more of it")
        check(store.remote()["last_error"]["detail"], "which is told")
        Path(store.server.errors.name).read_text(encoding="utf-8")
        HOST.hook("says", "pre-receive", "")
        equal(store.run().status, 200, "and when it is well again")


def known(name):
    """Of what a store's folder holds, and of what the test puts beside it."""
    return name.endswith(".yaml") or name.startswith("kf-stderr-") or name.partition("/")[2].split(".")[0] in ("default", "_keepfast", "keepfast")


main()
