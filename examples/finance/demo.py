#!/usr/bin/env python3
"""The story of a machine that is thrown away, and its proof.

    python3 demo.py path/to/keepfast

A git host on this machine (lighttpd and git http-backend, with a token) has a repository. A server keeps the twelve
documents of the dashboard on a disk that will not last, and saves what changes to a branch there. Four writers save
without pause; now and then one waits until a save has reached the host. Meanwhile somebody edits a document on the
host. Then the server is killed and its disk removed. An empty one is started.

The proof, from a ledger that was kept outside: every save that the host confirmed is back with what was in it, and so
is the edit; of the other saves the newest of each document is listed, and each was pending in the last status before
the kill or made after it; the digest of what is served equals that of the branch, computed by an independent reader.
Ends with 0 when all of it holds.
"""

import http.client
import io
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
TESTS = HERE.parent.parent / "tests"
CHECKER = TESTS / "checker" / "kfcheck.py"
sys.path.insert(0, str(TESTS))
from githost import GitHost, data, start  # noqa: E402

WORK_S = 4.0
WAITS_EACH = 25
EDITED = "notification_config.json"
BEFORE, AFTER = '"od": "22:00"', '"od": "21:30"'
COMMITS_SHOWN = 4
CONFIG = """\
spaces:
  finance:
    remotes:
      host:
        url: "{url}"
        branch: data
        token_env: DATA_TOKEN
        on_change: 1s
"""


# ------------------------------------------------------------------------------------- what is told

COLOURS = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text, code):
    return f"\x1b[{code}m{text}\x1b[0m" if COLOURS else text


def say(text=""):
    print(text, flush=True)


def chapter(number, text):
    say()
    say(paint(f"{number}. {text}", "1"))


class Proof:
    """What was looked at, and whether it was as it should be."""

    def __init__(self):
        self.good = True

    def __call__(self, holds, what):
        self.good = self.good and bool(holds)
        say(f"   {paint('yes', '32') if holds else paint('NO ', '31;1')}  {what}")


# ------------------------------------------------------------------------------------- the machine

class Server:
    """keepfast serve on a folder of its own; it ends when this program does, in whatever way."""

    def __init__(self, program, top, token):
        self.errors = open(top / "server.log", "a+", encoding="utf-8")
        self.process = start(
            [program, "serve", "--data", top / "disk", "--listen", "127.0.0.1:0", "--config", top / "keepfast.yaml"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "DATA_TOKEN": token})
        ready = self.process.stdout.readline()
        if not ready:
            self.kill()
            raise SystemExit("the server did not start: " + (top / "server.log").read_text())
        self.address = urllib.parse.urlparse(ready.split()[-1]).netloc

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def stop(self):
        self.process.terminate()
        return self.process.wait(30)


class Client:
    """One connection that is kept."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address, timeout=60)

    def ask(self, method, path, body=None, kind="application/json"):
        headers = {"Content-Type": kind} if body is not None else {}
        self.connection.request(method, "/v1/finance" + path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def json(self, path, method="GET"):
        status, body = self.ask(method, path)
        if status != 200:
            raise SystemExit(f"{method} {path}: {status} {body.decode(errors='replace')}")
        return json.loads(body)


def wait_open(server):
    client = Client(server.address)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if client.json("/status")["store"]["state"] == "open":
            return client
        time.sleep(0.02)
    raise SystemExit("the store was not filled within 30 s")


def throw_away(disk):
    """Whatever a program that just ended still wrote."""
    until = time.monotonic() + 10
    while disk.exists() and time.monotonic() < until:
        shutil.rmtree(disk, ignore_errors=True)
    if disk.exists():
        raise SystemExit(f"{disk} cannot be removed")


# ------------------------------------------------------------------------------------- load

class Ledger:
    """What was asked and answered, kept outside the disk that will be thrown away."""

    def __init__(self):
        self.lock = threading.Lock()
        self.numbers = itertools.count(1)
        self.asked = {}      # name -> numbers that were sent
        self.saves = {}      # name -> [(version, number, time, reached the host)]
        self.statuses = []   # (time asked, names pending)
        self.refused = []

    def ask(self, name):
        with self.lock:
            number = next(self.numbers)
            self.asked.setdefault(name, set()).add(number)
            return number

    def saved(self, name, version, number, at, confirmed):
        with self.lock:
            self.saves.setdefault(name, []).append((version, number, at, confirmed))

    def count(self, confirmed=False):
        return sum(1 for saves in self.saves.values() for s in saves if s[3] or not confirmed)


def writer(address, names, ledger, seed, stop):
    """Saves a field of one document after the other; now and then one waits for the next commit."""
    rng = random.Random(seed)
    client = Client(address)
    try:
        for turn in itertools.count(1):
            if stop.is_set():
                return
            name, waits = rng.choice(names), turn % WAITS_EACH == 0
            number = ledger.ask(name)
            query = "?wait=host&ride=true&timeout=30s" if waits else ""
            status, answer = client.ask("PATCH", f"/docs/{name}{query}",
                                        json.dumps({"ostatnia_zmiana": {"numer": number}}).encode(),
                                        "application/merge-patch+json")
            if status == 200:
                ledger.saved(name, json.loads(answer)["version"], number, time.monotonic(), waits)
            else:
                ledger.refused.append((name, status, answer))
            time.sleep(0.005)
    except (OSError, http.client.HTTPException):
        pass  # the machine is gone


def watcher(address, ledger, stop):
    client = Client(address)
    try:
        while not stop.is_set():
            asked = time.monotonic()
            status, answer = client.ask("GET", "/remotes/host/pending?limit=1000")
            if status == 200:
                ledger.statuses.append((asked, {i["name"] for i in json.loads(answer)["items"]}))
            time.sleep(0.05)
    except (OSError, http.client.HTTPException):
        pass


# ------------------------------------------------------------------------------------- the host

def anonymous(host):
    """What the host answers to who has no token."""
    try:
        with urllib.request.urlopen(host.url("finance") + "/info/refs?service=git-upload-pack", timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def edit_by_hand(host):
    """What the editor of a web interface does: reads the file as it is, and commits if nobody was faster."""
    for _ in range(50):
        tip = host.tip("finance", "data")
        old = host.at("finance", "show", f"{tip}:{EDITED}")
        new = old.replace(BEFORE.encode(), AFTER.encode())
        if new == old:
            raise SystemExit(f"{EDITED} of the branch has no {BEFORE}")
        who = f"Owner <owner@example.org> {int(time.time())} +0000"
        host.at("finance", "fast-import", "--quiet", "--force", stdin=b"".join(
            (f"commit refs/edits/web\nauthor {who}\ncommitter {who}\n".encode(), data(b"Quiet hours begin earlier"),
             f"from {tip}\nM 100644 inline {EDITED}\n".encode(), data(new))))
        made = host.at("finance", "rev-parse", "refs/edits/web").decode().strip()
        try:
            host.at("finance", "update-ref", "refs/heads/data", made, tip)
        except RuntimeError:
            continue
        host.at("finance", "update-ref", "-d", "refs/edits/web")
        return made
    raise SystemExit("the edit was overtaken fifty times")


def edit_of(client):
    return client.json("/docs/" + EDITED)["cisza_nocna"]["od"]


def digest_of_branch(host, top):
    """By a program that shares no line with ours, from the files as anybody gets them."""
    folder = top / "branch"
    with tarfile.open(fileobj=io.BytesIO(host.at("finance", "archive", "data"))) as archive:
        archive.extractall(folder)
    shutil.rmtree(folder / ".keepfast")
    done = subprocess.run([sys.executable, "-B", str(CHECKER), "--json", f"files:{folder}"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit("the checker found: " + done.stdout + done.stderr)
    return json.loads(done.stdout)["digest"]


def show_log(host):
    """The documents of the newest commits; the rows in .keepfast are for machines."""
    count = int(host.at("finance", "rev-list", "--count", "data"))
    colour = "always" if COLOURS else "never"
    head = "--format=%n%C(yellow)commit %h%C(reset)  %an <%ae>%n%n    %s"
    text = host.at("finance", "log", "--stat=90", head, f"--color={colour}", f"-n{COMMITS_SHOWN}", "data", "--",
                   ":(exclude).keepfast").decode(errors="replace")
    say("\n".join("   " + line if line else "" for line in text.strip().splitlines()))
    if count > COMMITS_SHOWN:
        older = count - COMMITS_SHOWN
        say(f"\n   and {older} older commit{'s' if older > 1 else ''}")


# ------------------------------------------------------------------------------------- the proof

def judge(ledger, restored, values):
    """Names whose newest save is not back: those that the host had confirmed, those that were known to be pending, and
    those of which nobody had said so; and names with something in them that does not belong to their version."""
    missing, lost, unexplained, wrong = [], [], [], []
    last_asked, last_pending = ledger.statuses[-1] if ledger.statuses else (0, set())
    for name, saves in sorted(ledger.saves.items()):
        have = restored.get(name, 0)
        confirmed = max((version for version, _, _, reached in saves if reached), default=0)
        newest, _, at, _ = max(saves)
        if have < confirmed:
            missing.append(f"{name}: version {confirmed} was confirmed by the host, {have or 'none'} is back")
        elif have < newest:
            why = "pending in the last status" if name in last_pending else \
                  "saved after the last status" if at >= last_asked else None
            (lost if why else unexplained).append(f"{name}: version {newest} was on the lost disk only, {have} is back"
                                                  f" ({why or 'and nobody had said so'})")
        below = [(version, number) for version, number, _, _ in saves if version <= have]
        number = values.get(name, {}).get("ostatnia_zmiana", {}).get("numer")
        # A save whose answer never came may be back as well.
        unanswered = ledger.asked[name] - {each for _, each, _, _ in saves}
        if below and number != max(below)[1] and number not in unanswered:
            wrong.append(f"{name}: version {have} has save {number}, not {max(below)[1]}")
    return missing, lost, unexplained, wrong


def work(server, client, host, names, ledger):
    """Load, and an edit in the middle of it. Returns the seconds until the edit was served."""
    stop = threading.Event()
    threads = [threading.Thread(target=writer, args=(server.address, names, ledger, seed, stop)) for seed in range(4)]
    threads.append(threading.Thread(target=watcher, args=(server.address, ledger, stop)))
    began = time.monotonic()
    try:
        for t in threads:
            t.start()
        time.sleep(WORK_S / 2)
        edit_by_hand(host)
        edited = time.monotonic()
        while edit_of(client) not in AFTER:
            if time.monotonic() > edited + 20:
                raise SystemExit("the edit did not arrive within 20 s")
            time.sleep(0.02)
        arrived = time.monotonic() - edited
        # A slow machine works a little longer: some saves must have been confirmed, and some status seen.
        while time.monotonic() < began + (WORK_S if ledger.statuses and ledger.count(confirmed=True) else 5 * WORK_S):
            time.sleep(0.02)
        server.kill()  # they are in the middle of it
    finally:
        stop.set()
        server.kill()
        for t in threads:
            t.join()
    return arrived


def run(program, top, host):
    repository, proof, ledger = host.make("finance"), Proof(), Ledger()
    documents = {p.name: p.read_bytes() for p in sorted((HERE / "data").glob("*.json"))}
    (top / "keepfast.yaml").write_text(CONFIG.format(url=host.url("finance")))

    chapter(1, "A git host, with an empty repository.")
    say(f"   {host.url('finance')}, behind a token: without it, it answers {anonymous(host)}.")

    chapter(2, "A machine whose disk will not last. Its configuration:")
    say("\n".join("      " + line for line in CONFIG.format(url=host.url("finance")).splitlines()))
    with Server(program, top, host.token) as server:
        client = wait_open(server)
        for name, body in documents.items():
            status, answer = client.ask("PUT", "/docs/" + name, body)
            if status != 201:
                raise SystemExit(f"{name}: {status} {answer.decode(errors='replace')}")
        client.json("/remotes/host/run?timeout=20s", "POST")
        say(f"   {len(documents)} documents of a dashboard are saved, {sum(map(len, documents.values())) / 1e6:.1f} MB;"
            " they are in the branch, too.")

        chapter(3, f"Four writers save for {WORK_S:.0f} s; every {WAITS_EACH}th save waits until the host has confirmed it.")
        arrived = work(server, client, host, sorted(documents), ledger)
        say(f"   Meanwhile somebody edits {EDITED} on the host: {BEFORE} becomes {AFTER}.")
        say(f"   The machine serves it {arrived:.1f} s later, joined with what it saved itself.")

    chapter(4, "The machine is killed in the middle of a save (kill -9), and its disk is removed.")
    throw_away(top / "disk")
    say(f"   Until then {ledger.count()} saves were answered, {ledger.count(confirmed=True)} of them by the host too.")

    chapter(5, "An empty machine starts, with the same configuration.")
    began = time.monotonic()
    with Server(program, top, host.token) as server:
        client = wait_open(server)
        restored = {i["name"]: i["version"] for i in client.json("/docs?limit=1000")["items"]}
        say(f"   {len(restored)} documents are back after {time.monotonic() - began:.1f} s.")

        chapter(6, "The proof.")
        # What the killed machine had sent may have arrived at the host behind its end.
        client.json("/remotes/host/run?timeout=20s", "POST")
        restored = {i["name"]: i["version"] for i in client.json("/docs?limit=1000")["items"]}
        values = {name: client.json("/docs/" + name) for name in restored}
        served, branch = client.json("/digest")["digest"], digest_of_branch(host, top)
        pending = client.json("/remotes/host")["pending"]["count"]
        edit = edit_of(client)
        ended = server.stop()

    missing, lost, unexplained, wrong = judge(ledger, restored, values)
    proof(anonymous(host) == 401, "who has no token is not let in")
    proof(set(restored) == set(documents), "all twelve documents are back")
    proof(ledger.count(confirmed=True) and not missing, "every save that the host had confirmed is back")
    proof(not wrong and not ledger.refused, "with what was saved in it; no save was refused")
    proof(edit in AFTER, f"the edit made on the host is back: {AFTER}")
    proof(not unexplained, "what is not back had been announced as pending, or was newer than the last status")
    proof(served == branch, "what is served has the digest of the branch, computed by an independent reader")
    proof(pending == 0 and ended == 0, "nothing is pending now, and the machine ends well")
    proof(not host.fsck("finance"), "git fsck --strict finds nothing to complain about")
    for line in missing + unexplained + wrong + [f"{n}: {s} {a!r}" for n, s, a in ledger.refused]:
        say("   " + paint(line, "31"))
    say()
    say(f"   digest served   {served}")
    say(f"   digest of git   {branch}")
    say()
    say("   Not confirmed, and gone with the disk: the newest save of" if lost else "   Nothing at all is gone.")
    for line in lost:
        say("      " + line)

    chapter(7, f"What people see:  git -C {repository.name} log --stat data")
    say()
    show_log(host)
    say()
    say(paint("Everything that was confirmed is back, and nothing was lost that had not been announced.", "32;1")
        if proof.good else paint("THE PROOF FAILED.", "31;1"))
    return 0 if proof.good else 1


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    program = os.path.abspath(sys.argv[1])
    # So that the way out is the same as that of an interruption.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda which, _: sys.exit(128 + which))
    top = Path(tempfile.mkdtemp(prefix="keepfast-demo-"))
    tempfile.tempdir = str(top)
    try:
        with GitHost("http") as host:
            return run(program, top, host)
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
