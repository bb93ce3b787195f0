#!/usr/bin/env python3
# test: timeout=180
"""Many processes on one store: a server, commands, backups, and programs with their own SQLite that read the same file.

One counter is raised by compare-and-set, by commands and over HTTP. In the end it stands at the number of increments that
were acknowledged, no number was acknowledged twice, and nobody was told `busy`: a command waits for another one for 5 s and sends
what it wants to a server. Then whoever holds the store is killed, again and again, and the next one takes over; there what was
on its way may have happened or not, and nothing else may be missing.

The same with one stream, to which all of them append: every entry is there once, under the number that each was told who sent it, also
where two send the same one; and what a program with its own SQLite finds has no gap.

The controls: a second SQLite in the process of the library, and one more descriptor closed by it, let another program believe that
it is the last and remove the log under the writer (finding 2 of the promises); the same harness sees what is lost."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "checker"))
import kfcheck  # noqa: E402
from keepfast import PROGRAM, Server, folder, run  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TOP = folder()
LONG = os.environ.get("KEEPFAST_LONG") == "1"
SECONDS = 120 if LONG else 3
PATIENCE = 60  # for what must happen before it is enough, on a machine that has much else to do
LIVES = 200 if LONG else 12
SEED = int(os.environ.get("KEEPFAST_SEED") or random.SystemRandom().randrange(1 << 30))
RNG = random.Random(SEED)
NAME = "counter"
SITUATION = "lock-waited-for-brief-owner"


class Loss(AssertionError):
    """Something that was acknowledged is not there, or was acknowledged twice."""


# --------------------------------------------------------------------------------------- the counter


class Counter:
    """What the processes were told. The body of each version names its number and who made it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.made = {}  # number: who was told that it is theirs
        self.conflicts = self.unknown = self.reads = self.backups = 0
        self.newest = 0
        self.wrong = []
        self.over = threading.Event()

    def acknowledged(self, number, who):
        with self.lock:
            if number in self.made:
                self.wrong.append(f"{number} was given to {self.made[number]} and to {who}")
            self.made[number] = who
            self.newest = max(self.newest, number)

    def count(self, what):
        with self.lock:
            setattr(self, what, getattr(self, what) + 1)

    def fail(self, text):
        with self.lock:
            self.wrong.append(text)

    def judge(self, body):
        """Holds the counter as it stands against what was acknowledged."""
        number = json.loads(body)["n"]
        if self.wrong:
            raise Loss("; ".join(self.wrong[:3]))
        if self.newest > number:
            raise Loss(f"{self.newest} was acknowledged, the counter stands at {number}")
        if not len(self.made) <= number <= len(self.made) + self.unknown:
            raise Loss(f"the counter stands at {number}: {len(self.made)} acknowledged, {self.unknown} not known")
        note(f"counter={number} acks={len(self.made)} unknown={self.unknown} conflicts={self.conflicts} "
             f"reads={self.reads} backups={self.backups}")

    def loop(self, step, *arguments):
        """A thread that steps until the counter is over."""
        def turn():
            try:
                while not self.over.is_set():
                    step(self, *arguments)
            except Exception as e:  # in a thread: judged at the end
                self.fail(f"{step.__name__}: {e!r}")
        thread = threading.Thread(target=turn, daemon=True)
        thread.start()
        return thread


def make(at):
    equal(run("put", NAME, "-", at=at, stdin=b'{"n":0}').status, 0, "the counter is made")


class ByCommand:
    """Increments by `keepfast put --if-match`. A conflict names the version to go on from.

    `hazard` is a time at which the one who holds the store may be killed: a command that fails then was cut off, and whether it
    happened is not known."""

    def __init__(self, at, who, env=None, hazard=None):
        self.at, self.who, self.env, self.hazard = at, who, env, hazard
        self.etag, self.number, self.tries = '"0"', 0, 0

    def run(self, *words, **kw):
        return run(*words, at=self.at, env=self.env, **kw)

    def step(self, counter):
        self.tries += 1
        body = json.dumps({"n": self.number + 1, "by": f"{self.who}/{self.tries}"}).encode()
        done = self.run("put", NAME, "-", "--json", "--if-match", self.etag, stdin=body)
        if done.status == 0:
            self.number, self.etag = self.number + 1, done.json()["etag"]
            counter.acknowledged(self.number, self.who)
        elif done.status == 5:
            counter.count("conflicts")
            self.take(counter, json.loads(done.out or done.err))
        else:
            self.failed(counter, done)

    def take(self, counter, problem):
        version = self.run("get", NAME, "--version", problem["version"])
        if version.status == 0:
            self.number, self.etag = version.json()["n"], problem["etag"]
        elif not self.hazard and b"is not kept" not in version.err:  # too many others came between
            counter.fail(f"get by {self.who}: {version}")

    def failed(self, counter, done):
        cut_off = done.status != 10 or b'"code":"timeout"' in done.err  # any other 10: nothing happened, others were first
        if self.hazard and cut_off:
            counter.count("unknown")
        else:
            counter.fail(f"put by {self.who}: {done}")


class ByHttp:
    """Increments over a connection that is kept. It naps, or no command would ever be the faster one."""

    def __init__(self, server, who):
        self.client, self.who = server.client(), who

    def step(self, counter):
        now = self.client.get(f"/docs/{NAME}")
        number = now.json()["n"] + 1
        answer = self.client.put(f"/docs/{NAME}", {"n": number, "by": self.who}, headers={"If-Match": now.headers["ETag"]})
        if answer.status == 200:
            counter.acknowledged(number, self.who)
        elif answer.status == 412:
            counter.count("conflicts")
        else:
            counter.fail(f"put by {self.who}: {answer}")
        time.sleep(RNG.uniform(0.02, 0.06))


# ------------------------------------------------------------------------------------ those beside it

# A program of somebody else. It opens the file anew each time, as such programs do, and says how often it has found something. look()
# gives a number that only grows.
READER = """
import json, select, sqlite3, sys, time
path, query = sys.argv[1:]
reads = last = 0
while not select.select([sys.stdin], [], [], 0.003)[0]:
    try:
        db = sqlite3.connect(f"file:{path}?{query}", uri=True, timeout=10)
        try:
            for _ in range(3):
                number = look(db)
                assert number >= last, f"{number} behind {last}"
                last, reads = number, reads + (number > 0)
        finally:
            db.close()
    except sqlite3.OperationalError as e:
        # One that may not write cannot make the log's index, where nobody has the file open.
        if query != "mode=ro" or "unable to open" not in str(e):
            raise
print(reads)
"""

THE_COUNTER = """
def look(db):
    sql = "SELECT v.body FROM kf_doc d JOIN kf_doc_version v ON v.seq = d.seq WHERE d.name = 'counter'"
    return json.loads(db.execute(sql).fetchone()[0])["n"]
"""


class Reader:
    def __init__(self, path, query, look=THE_COUNTER):
        self.process = subprocess.Popen([sys.executable, "-c", look + READER, str(path), query], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self, counter):
        out, err = self.process.communicate("\n", timeout=30)
        if self.process.returncode:
            counter.fail(f"a reader ended: {err[-300:]}")
        else:
            counter.reads += int(out)


def back_up(counter, at, place):
    """A backup is of one moment between its beginning and its end."""
    path = place / f"{counter.backups}.zip"
    least = counter.newest
    done = run("backup", path, at=at)
    if done.status != 0:
        counter.fail(f"backup: {done}")
        return
    report = kfcheck.check_zip(str(path))
    number = json.loads(report.docs[NAME.encode()])["n"]
    if report.findings or number < least:
        counter.fail(f"backup {path}: {number}, at least {least}: {report.findings[:3]}")
    path.unlink()
    counter.count("backups")
    time.sleep(0.05)


def situations(path, name):
    """How often the processes of a run have reached it; each left a line for it when it ended."""
    lines = path.read_text().splitlines() if path.exists() else []
    return sum(int(line.split()[1]) for line in lines if line.split()[0] == name)


def hand_on(path):
    """The proof of the whole run wants these lines, too."""
    whole = os.environ.get("KF_SOMETIMES_FILE")
    if whole:
        with open(whole, "a") as f:
            f.write(path.read_text())


def go_on_until(enough, what):
    """For SECONDS at least, and until enough has happened."""
    began = time.monotonic()
    while time.monotonic() - began < SECONDS or not enough():
        check(time.monotonic() - began < SECONDS + PATIENCE, f"too few {what}")
        time.sleep(0.1)


def sound(path, counter):
    report = kfcheck.check_store(str(path))
    if report.findings:
        raise Loss(f"the store is not sound: {report.findings[:3]}")
    counter.judge(report.docs[NAME.encode()])


# ------------------------------------------------------------------------------------------- together


@test
def a_server_commands_readers_and_backups():
    data, counter, place = TOP / "served", Counter(), folder()
    data.mkdir(mode=0o700)
    with Server(data) as server:
        at = f"{data}#default"
        make(at)
        readers = [Reader(data / "default.db", "mode=ro") for _ in range(2)]
        threads = [counter.loop(lambda c, by=by: by.step(c)) for by in
                   [ByCommand(at, "command 1"), ByCommand(at, "command 2"),
                    ByCommand(f"http://{server.address}/default", "command 3"), ByHttp(server, "http 1"),
                    ByHttp(server, "http 2")]]
        threads.append(counter.loop(back_up, at, place))
        go_on_until(lambda: counter.wrong or (len(counter.made) >= 200 and counter.conflicts >= 200 and counter.backups >= 10 and
                    {who.split()[0] for who in list(counter.made.values())} == {"command", "http"}),
                    "increments, conflicts or backups")
        counter.over.set()
        for thread in threads:
            thread.join()
        for reader in readers:
            reader.end(counter)
        equal(server.stop(), 0, "the server stops")
    sound(data / "default.db", counter)
    check(counter.reads >= 100, f"only {counter.reads} reads")


@test
def commands_readers_and_backups_without_a_server():
    path, counter, place, seen = TOP / "alone.db", Counter(), folder(), TOP / "alone.txt"
    make(path)
    readers = [Reader(path, "mode=ro"), Reader(path, "mode=rw")]
    env = {"KF_SOMETIMES_FILE": str(seen)}
    threads = [counter.loop(lambda c, by=ByCommand(path, f"command {n}", env): by.step(c)) for n in range(4)]
    threads.append(counter.loop(back_up, path, place))
    go_on_until(lambda: counter.wrong or (len(counter.made) >= 100 and counter.backups >= 10 and situations(seen, SITUATION) >= 500),
                "increments or backups, or the commands did not stand in each other's way")
    counter.over.set()
    for thread in threads:
        thread.join()
    for reader in readers:
        reader.end(counter)
    note(f"waited for another command {situations(seen, SITUATION)} times")
    hand_on(seen)
    sound(path, counter)
    check(counter.reads >= 100, f"only {counter.reads} reads")


# ---------------------------------------------------------------------------------------- killed owners


class Victim:
    """A command that puts something of its own and is killed soon: sometimes while it has the lock."""

    def __init__(self, at, words=lambda _: ("put", "victim", "-")):
        self.at, self.kills, self.words = at, 0, words

    def step(self, _):
        process = subprocess.Popen([PROGRAM, *self.words(self.kills), "--at", self.at], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.stdin.write(b"[%d]" % self.kills)
            process.stdin.close()
        except BrokenPipeError:
            pass
        time.sleep(RNG.uniform(0.001, 0.01))
        process.send_signal(signal.SIGKILL)
        self.kills += process.wait() == -signal.SIGKILL


def lives(name, count, env=None, query="mode=rw", floors=True):
    """Servers live and die by kill -9 while commands go on, through them or by themselves."""
    data, counter = TOP / name, Counter()
    data.mkdir(mode=0o700)
    at = f"{data}#default"
    make(at)
    victim, took_over = Victim(at), 0
    readers = [Reader(data / "default.db", query) for _ in range(2)]
    threads = [counter.loop(lambda c, by=ByCommand(at, f"command {n}", hazard=True): by.step(c)) for n in range(3)]
    threads.append(counter.loop(lambda c: victim.step(c)))
    for _ in range(count):
        with Server(data, env=env) as server:
            time.sleep(RNG.uniform(0.1, 0.3))
            server.kill()
        alone = len(counter.made)
        time.sleep(RNG.uniform(0.05, 0.2))
        took_over += len(counter.made) > alone
    counter.over.set()
    for thread in threads:
        thread.join()
    for reader in readers:
        reader.end(counter)
    note(f"servers killed={count} commands killed={victim.kills} taken over={took_over}")
    sound(data / "default.db", counter)
    if floors:
        check(took_over >= count // 2, "the commands did not go on by themselves")
        check(len(counter.made) >= count and victim.kills >= count, "too little happened")


@test
def who_holds_the_store_is_killed_and_the_next_takes_over():
    note(f"seed={SEED}")
    lives("killed", LIVES)


@test
def saboteur_raw_open_close_is_found():
    for n in range(5):
        try:
            lives(f"raw{n}", 4, env={"KF_SABOTAGE": "raw-open-close"}, floors=False)
        except Loss as loss:
            note(f"as it must: {loss}")
            return
    check(False, "nothing was lost")


# ------------------------------------------------------------------------------------------- streams

STREAM = "chat/all"

# How many entries it finds: without a gap, and as many as the stream says.
ENTRIES = """
def look(db):
    sql = "SELECT e.n, e.id, s.count FROM kf_stream s JOIN kf_entry e ON e.stream = s.id WHERE s.key = 'chat/all' ORDER BY e.n"
    rows = db.execute(sql).fetchall()
    assert [n for n, _, _ in rows] == list(range(1, len(rows) + 1)), f"numbers {[n for n, _, _ in rows]}"
    assert len({name for _, name, _ in rows}) == len(rows) and {count for _, _, count in rows} <= {len(rows)}, f"{rows[-3:]}"
    return len(rows)
"""


class Appends(Counter):
    """What the processes were told of entries with ids in one stream."""

    def __init__(self):
        super().__init__()
        self.told, self.new = {}, {}  # id: its number; how often it was told as a new one

    def answered(self, names, answer, who):
        with self.lock:
            for name, item in zip(names, answer.get("items", [answer]), strict=True):
                if self.told.setdefault(name, item["n"]) != item["n"]:
                    self.wrong.append(f"{name} is {self.told[name]}, and {item['n']} for {who}")
                self.new[name] = self.new.get(name, 0) + (not item.get("duplicate", False))

    def settle(self, path, hazard=False):
        """Each entry once, under the number that was told; nothing else but, where something was killed, what a victim sent."""
        report = kfcheck.check_store(str(path))
        if report.findings or self.wrong:
            raise Loss(f"the store is not sound: {report.findings[:3]} {self.wrong[:3]}")
        with closing(sqlite3.connect(path)) as db:
            sql = "SELECT e.id, e.n FROM kf_entry e JOIN kf_stream s ON s.id = e.stream WHERE s.key = ? ORDER BY e.n"
            rows = db.execute(sql, (STREAM,)).fetchall()
        others = [name for name, _ in rows if name not in self.told]
        if [n for _, n in rows] != list(range(1, len(rows) + 1)) or len({name for name, _ in rows}) != len(rows):
            raise Loss("numbers or ids that are there twice, or not at all")
        if not self.told.items() <= dict(rows).items() or any(not name.startswith("victim") for name in others) or (others and not hazard):
            raise Loss(f"told and not there: {list(self.told.items() - dict(rows).items())[:3]}, there and not told: {others[:3]}")
        again = [name for name, count in self.new.items() if count != 1 and (count or not hazard)]
        if again:
            raise Loss(f"told as new twice, or never: {again[:3]}")
        note(f"entries={len(rows)} of_two={sum(name.startswith('both') for name in self.told)} unknown={self.unknown} reads={self.reads}")


def lines_of(names, first="", between="\n", last="\n"):
    """Entries in the bytes in which the command sends a text: another space would be another payload. The line end behind the last one
    lets the command know that it is whole, and send it with the others."""
    return first + between.join('{"id":"%s","body":{"text":"this is %s"}}' % (name, name) for name in names) + last


class AppendsByCommand:
    """By `keepfast append`: one entry, several lines, or one that another command sends as well. With a hazard, what was cut off is
    sent again."""

    def __init__(self, at, who, hazard=False):
        self.at, self.who, self.hazard, self.tries, self.open = at, who, hazard, 0, None

    def names(self):
        self.tries += 1
        if self.tries % 3 == 0:
            return [f"both-{self.tries}"]
        return [f"{self.who}-{self.tries}-{part}" for part in range(1 + 3 * (self.tries % 3 == 1))]

    def step(self, appends):
        names = self.open = self.open or self.names()
        words = ("-",) if len(names) > 1 else (f"this is {names[0]}", "--id", names[0])
        done = run("append", STREAM, *words, "--json", at=self.at, stdin=lines_of(names).encode() if len(names) > 1 else b"")
        if done.status == 0:
            appends.answered(names, done.json(), self.who)
            self.open = None
        elif self.hazard:
            appends.count("unknown")
        else:
            appends.fail(f"append by {self.who}: {done}")


class AppendsByHttp:
    def __init__(self, server, who):
        self.client, self.who, self.tries = server.client(), who, 0

    def step(self, appends):
        self.tries += 1
        names = [f"{self.who}-{self.tries}"] if self.tries % 4 else [f"both-{self.tries}", f"{self.who}-{self.tries}"]
        answer = self.client.post(f"/streams/{STREAM}/entries", lines_of(names, "[", ",", "]"))
        if answer.status in (200, 201):
            appends.answered(names, answer.json(), self.who)
        else:
            appends.fail(f"append by {self.who}: {answer}")
        time.sleep(RNG.uniform(0.005, 0.02))


def appended(appends, threads, readers):
    appends.over.set()
    for thread in threads:
        thread.join()
    for reader in readers:
        reader.end(appends)


def both(appends):
    return sum(name.startswith("both") for name in list(appends.told))


@test
def a_server_commands_and_readers_with_one_stream():
    data, appends = TOP / "stream-served", Appends()
    data.mkdir(mode=0o700)
    with Server(data) as server:
        at = f"{data}#default"
        equal(run("append", "other", "x", at=at).status, 0, "the file is there")
        readers = [Reader(data / "default.db", query, ENTRIES) for query in ("mode=ro", "mode=rw")]
        threads = [appends.loop(lambda c, by=by: by.step(c)) for by in
                   [AppendsByCommand(at, "c1"), AppendsByCommand(at, "c2"), AppendsByCommand(f"http://{server.address}/default", "c3"),
                    AppendsByHttp(server, "h1"), AppendsByHttp(server, "h2")]]
        go_on_until(lambda: appends.wrong or (len(appends.told) >= 400 and both(appends) >= 30), "appends")
        appended(appends, threads, readers)
        equal(server.stop(), 0, "the server stops")
    appends.settle(data / "default.db")
    check(appends.reads >= 100, f"only {appends.reads} reads")


@test
def commands_and_readers_with_one_stream_without_a_server():
    path, appends = TOP / "stream-alone.db", Appends()
    equal(run("append", "other", "x", at=path).status, 0, "the file is there")
    readers = [Reader(path, query, ENTRIES) for query in ("mode=ro", "mode=rw")]
    threads = [appends.loop(lambda c, by=AppendsByCommand(path, f"c{n}"): by.step(c)) for n in range(4)]
    go_on_until(lambda: appends.wrong or (len(appends.told) >= 200 and both(appends) >= 10), "appends")
    appended(appends, threads, readers)
    appends.settle(path)
    check(appends.reads >= 100, f"only {appends.reads} reads")


@test
def who_appends_is_killed_and_the_next_takes_over():
    """What the dead server had acknowledged may be in its redo file alone: a command finds it there, or the next server."""
    data, appends = TOP / "stream-killed", Appends()
    data.mkdir(mode=0o700)
    at = f"{data}#default"
    equal(run("append", "other", "x", at=at).status, 0, "the file is there")
    victim = Victim(at, lambda n: ("append", STREAM, f"this is victim-{n}", "--id", f"victim-{n}"))
    readers = [Reader(data / "default.db", "mode=rw", ENTRIES)]
    threads = [appends.loop(lambda c, by=AppendsByCommand(at, f"c{n}", hazard=True): by.step(c)) for n in range(3)]
    threads.append(appends.loop(lambda c: victim.step(c)))
    for _ in range(LIVES):
        with Server(data) as server:
            time.sleep(RNG.uniform(0.1, 0.3))
            server.kill()
        time.sleep(RNG.uniform(0.05, 0.2))
    appended(appends, threads, readers)
    equal(run("append", "other", "y", at=at).status, 0, "what the last one left is taken over")
    note(f"servers killed={LIVES} commands killed={victim.kills}")
    appends.settle(data / "default.db", hazard=True)
    check(len(appends.told) >= 5 * LIVES and victim.kills >= LIVES, "too little happened")


# ------------------------------------------------------------------------------- a second SQLite in it

# A program that embeds the library and, when told so, has its own SQLite look into the file as well. It says each number that
# kf_doc_put has confirmed.
EMBEDS = """
import ctypes, sqlite3, sys, time
library, path, second = sys.argv[1:]
kf = ctypes.CDLL(library)
store = ctypes.c_void_p()
assert kf.kf_open(path.encode(), None, ctypes.byref(store), None) == 0
for n in range(1, 1000):
    body = b'{"n":%d}' % n
    assert kf.kf_doc_put(store, b"counter", body, ctypes.c_size_t(len(body)), None, None, None) == 0
    print(n, flush=True)
    if second == "yes" and n == 2:
        db = sqlite3.connect(path)
        db.execute("SELECT count(*) FROM kf_doc").fetchone()
        db.close()
    sys.stdin.readline()
"""


def embedded(name, second):
    """Another program reads the file and ends, then the one that embeds the library confirms once more and is killed."""
    path, counter = TOP / name, Counter()
    library = Path(os.environ["KF_BUILD"]) / "libkeepfast.so"
    process = subprocess.Popen([sys.executable, "-c", EMBEDS, str(library), str(path), "yes" if second else "no"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for n in range(1, 6):
        counter.acknowledged(int(process.stdout.readline()), "the program")
        reader = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute('SELECT count(*) FROM kf_doc'); d.close()"
        if n >= 3:
            subprocess.run([sys.executable, "-c", reader, str(path)], check=True, timeout=30)
        if n < 5:
            process.stdin.write("\n")
            process.stdin.flush()
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    sound(path, counter)


@test
def a_program_that_embeds_the_library_shares_its_file_with_readers():
    embedded("embedded.db", second=False)


@test
def saboteur_second_sqlite_is_found():
    try:
        embedded("second.db", second=True)
    except Loss as loss:
        note(f"as it must: {loss}")
        return
    check(False, "nothing was lost")


main()
