#!/usr/bin/env python3
# test: timeout=180
"""A server on an empty disk, filled from folders, through the released program and from outside: what every door says
meanwhile, what is kept of what is written meanwhile, and that the end is the same whatever came in between.

A place is made slow, or to hang, by strace, which delays the opening of files in it; nothing else of the server waits.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
import keepfast  # noqa: E402
from keepfast import Server, folder, run, state, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TESTED = keepfast.PROGRAM
if os.environ.get("KF_RELEASE"):
    keepfast.PROGRAM = os.path.join(os.environ["KF_RELEASE"], "keepfast")
LONG = os.environ.get("KEEPFAST_LONG") == "1"
DOCS = 10000 if LONG else 1200
HEALS = 5  # seconds: from the moment at which a place works again
TOP = folder()
DEFAULT = {"email": None}


def name_of(n):
    return f"d/{n % 7}/{n:05}.json"


def body_of(n):
    return json.dumps({"n": n, "title": f"Nummer {n} ą", "text": "x" * (n % 400)}, ensure_ascii=False).encode()


def config(remotes, docs=True):
    """remotes: name -> (folder, more)."""
    lines = ["spaces:", "  default:"]
    if docs:
        lines += ["    docs:", f"      - {{ match: \"config/*\", class: config, default: {json.dumps(DEFAULT)} }}"]
    lines += ["    remotes:"]
    lines += [f"      {name}: {{ url: \"dir:{where}\"{', ' + more if more else ''} }}" for name, (where, more) in remotes.items()]
    return "\n".join(lines) + "\n"


def one(where, more="on_change: 100ms"):
    return config({"usb": (where, more)})


def slow(where, delay_us):
    """Words before the server's: each opening of a file right in the folder takes so long. `-D`: the process is the server's own."""
    return ("strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-P", str(where), "-e", "trace=openat", "-e",
            f"inject=openat:delay_enter={delay_us}")


def hanging(where):
    """The same for as long as any test lasts; let_go ends it. Without the filter, which would outlive strace."""
    return tuple(word for word in slow(where, 600_000_000) if word != "--seccomp-bpf")


def let_go(process):
    """Ends the strace that delays the calls of a process: they go on."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    tracer = int(re.search(r"TracerPid:\s+(\d+)", status)[1])
    check(tracer > 0, "the process is being delayed")
    os.kill(tracer, signal.SIGKILL)


def put_all(client, bodies):
    for name, body in bodies.items():
        answer = client.put(f"/docs/{name}?ack=memory", body)
        equal(answer.status, 201, f"{name} put")


def is_open(client, seconds):
    return wait_for(lambda: state(client) == "open", seconds)


def digest(client):
    answer = client.get("/digest")
    equal(answer.status, 200, f"a digest: {answer}")
    return answer.json()["digest"]


class Origin:
    """The place that all others are copies of, filled by a server whose disk is then gone."""

    def __init__(self):
        self.where = TOP / "origin"
        self.where.mkdir(mode=0o700)
        self.bodies = {name_of(n): body_of(n) for n in range(DOCS)}
        self.bodies["config/kept.json"] = b'{"email": "a@b.example"}'
        self.gone = "d/0/deleted.json"
        with Server(TOP / "first", one(self.where)) as server:
            client = server.client()
            put_all(client, {**self.bodies, self.gone: b"1"})
            equal(client.delete(f"/docs/{self.gone}").status, 204, "deleted")
            equal(client.post("/remotes/usb/run?timeout=30s").status, 200, "pushed")
            self.digest = digest(client)
            equal(server.stop(), 0, "stopped")
        shutil.rmtree(TOP / "first")
        self.order = sorted(self.bodies)

    def copy(self, name):
        """Of its own, as far as anybody can tell: objects are never written again, only put anew."""
        where = TOP / name
        shutil.copytree(self.where, where, copy_function=os.link)
        manifest = where / "manifest.ndjson"
        text = manifest.read_bytes()
        manifest.unlink()
        manifest.write_bytes(text)
        return where


ORIGIN = Origin()


def object_of(where, name):
    found = [path for path in (where / "docs" / name).iterdir() if path.suffix == ".json"]
    equal(len(found), 1, f"objects of {name}")
    return found[0]


def unchanged(where):
    return (where / "manifest.ndjson").read_bytes() == (ORIGIN.where / "manifest.ndjson").read_bytes()


def begun(client):
    """How many documents are in, once there is one and the store is still being filled."""
    def look():
        store = client.get("/status").json()["store"]
        equal(store["state"], "hydrating", "the place is slow enough to see it being filled")
        return store["docs"]
    return wait_for(look, 20, every=0.005)


# --------------------------------------------------------------------------- what is said meanwhile


class Watcher(threading.Thread):
    """Reads names over and over, until the store is open and a round beyond. Every answer is counted; one that may not be is kept."""

    def __init__(self, server, names):
        super().__init__()
        self.client, self.names = server.client(), names
        self.found = self.failed = self.defaults = 0
        self.wrong, self.seen = [], set()

    def run(self):
        last = False
        while not last:
            last = state(self.client) == "open"
            for name in self.names:
                self.look(name, open_before=last)

    def look(self, name, open_before):
        answer = self.client.get(f"/docs/{name}")
        wanted = ORIGIN.bodies.get(name)
        if answer.status == 200 and wanted is not None:
            self.found += 1
            self.seen.add(name)
            fits = answer.body == wanted and answer.headers.get("ETag") and not answer.headers.get("Keepfast-Default")
        elif answer.status == 200:  # the default: only when the store is whole
            self.defaults += 1
            fits = answer.headers.get("Keepfast-Default") == "true" and state(self.client) == "open"
        elif answer.status == 503:
            self.failed += 1
            fits = (answer.code == "not_hydrated" and answer.headers.get("Retry-After") == "1" and answer.json()["retryable"]
                    and not open_before and name not in self.seen)
        else:  # absent: of what the place says is deleted, or when the store is whole
            fits = (answer.status == 404 and wanted is None and not name.startswith("config/")
                    and (name == ORIGIN.gone or state(self.client) == "open"))
        if not fits:
            self.wrong.append((name, answer))


def watch(tag, env=None):
    """Fills a server slowly while its names are read; the watcher, when it is done."""
    where = ORIGIN.copy(f"{tag}-place")
    names = ORIGIN.order[::max(1, DOCS // 40)] + [ORIGIN.order[-1], ORIGIN.gone, "d/never.json", "a", "zzz", "config/none.json"]
    with Server(TOP / tag, one(where), wrap=slow(where, 2000), env=env) as server:
        watcher = Watcher(server, names)
        watcher.start()
        watcher.join(60)
        check(not watcher.is_alive(), "the store is open in the end")
        if not env:
            equal(digest(server.client()), ORIGIN.digest, "the digest")
            equal(server.stop(), 0, "stopped")
    shutil.rmtree(where)
    return watcher


@test
def found_absent_and_failed_are_three_answers():
    watcher = watch("watched")
    note(f"found={watcher.found} failed={watcher.failed} defaults={watcher.defaults}")
    equal(watcher.wrong[:3], [], "answers that may not be")
    check(watcher.found >= 100 and watcher.failed >= 100 and watcher.defaults >= 1, "all three were seen")


@test
def saboteur_absent_while_filling_is_found():
    keepfast.PROGRAM, released = TESTED, keepfast.PROGRAM
    try:
        watcher = watch("sabotaged", {"KF_SABOTAGE": "absent-while-filling"})
    finally:
        keepfast.PROGRAM = released
    check(watcher.wrong and all(answer.status == 404 for _, answer in watcher.wrong), "names that were not yet in were called absent")


REFUSED = {  # method, path, headers -> code, of a name that has not come in
    ("GET", "", ()): "not_hydrated",
    ("HEAD", "", ()): "",
    ("PUT", "", ()): "load_failed",
    ("PUT", "", (("If-None-Match", "*"),)): "load_failed",
    ("PUT", "", (("If-Match", '"0123456789abcdef0123456789abcdef"'),)): "load_failed",
    ("PATCH", "", ()): "not_hydrated",
    ("PATCH", "", (("If-Match", "*"),)): "not_hydrated",
    ("DELETE", "", ()): "load_failed",
    ("GET", "/versions", ()): "not_hydrated",
    ("GET", "/diff", ()): "not_hydrated",
    ("GET", "?version=1", ()): "not_hydrated",
    ("POST", "/revert", ()): "not_hydrated",
}
BODIES = {"PUT": {"mine": 1}, "PATCH": {"mine": 1}, "POST": {"version": 1}}


@test
def every_door_says_that_it_is_being_filled():
    where = ORIGIN.copy("doors-place")
    last = ORIGIN.order[-1]
    with Server(TOP / "doors", one(where), wrap=slow(where, 2000)) as server:
        client = server.client()
        begun(client)
        for (method, tail, headers), code in REFUSED.items():
            for name in (last, "config/none.json", "zzz"):
                answer = client.ask(method, f"/docs/{name}{tail}", BODIES.get(method), headers=dict(headers))
                what = f"{method} {name}{tail} {dict(headers)}: {answer}"
                equal(answer.status, 409 if code == "load_failed" else 503, what)
                equal(answer.headers.get("Retry-After"), None if code == "load_failed" else "1", what)
                equal(answer.code if method != "HEAD" else "", code, what)
        for path in ("/docs", "/docs?prefix=d/0/"):
            answer = client.get(path)
            equal((answer.status, answer.code, answer.headers.get("Retry-After")), (503, "not_hydrated", "1"), f"{path}: a list would have holes")
        for path, wanted in (("/healthz", "alive"), ("/readyz", "ready"), ("/durablez", "durable")):
            answer = client.get(path, raw=True)
            equal((answer.status, answer.json()["status"]), (200, wanted), path)
        shown = client.get("/status").json()
        check("usb" in shown["store"]["reason"], f"the reason names who is waited for: {shown['store']}")
        equal([r["hydrated"] for r in shown["remotes"]], [False], "not yet taken in")
        check('keepfast_hydrating{space="default"} 1' in client.get("/metrics", raw=True).body.decode(), "and a number says so")
        at = f"{TOP / 'doors'}"
        for words, exit_code in ((("get", last), 8), (("put", last, "-"), 5), (("patch", last, "-"), 8), (("rm", last), 5), (("ls",), 8),
                                 (("log", last), 8)):
            done = run(*words, at=at, stdin=b"{}")
            equal((done.status, done.out), (exit_code, b""), f"keepfast {words}: {done}")
        done = run("status", at=at)
        check(done.status == 0 and b"hydrating" in done.out and b"usb" in done.out, f"keepfast status: {done}")
        equal(state(client), "hydrating", "all of it was said while it was being filled")
        check(unchanged(where), "nothing was pushed meanwhile")
        is_open(client, 60)
        equal(digest(client), ORIGIN.digest, "nothing of it was written")


# ---------------------------------------------------------------------- what is written meanwhile


@test
def what_was_insisted_on_is_kept_and_merged():
    where = ORIGIN.copy("insist-place")
    early, late, later, removed, forced = (ORIGIN.order[i] for i in (1, -1, -2, -3, -4))
    mine = {late: b'{"mine": 1}', "d/new.json": b'{"mine": 2}', "config/new.json": b'{"mine": 3}'}
    with Server(TOP / "insist", one(where), wrap=slow(where, 2000)) as server:
        client = server.client()
        begun(client)
        for name, body in mine.items():
            answer = client.put(f"/docs/{name}", body, headers={"If-Match": "*"})
            equal((answer.status, answer.headers.get("Keepfast-Ack")), (201, "disk"), f"{name}: {answer}")
            equal(client.get(f"/docs/{name}").body, body, "and is served at once")
        equal(client.delete(f"/docs/{removed}", headers={"If-Match": "*"}).status, 204, "a deletion that insists")
        equal(client.get(f"/docs/{removed}").status, 404, "is one at once")
        done = run("put", forced, "-", "--force", at=TOP / "insist", stdin=b'{"mine": 4}')
        equal(done.status, 0, f"--force on the command line: {done}")
        # What has come in is an ordinary document. Its neighbour, which nobody wrote, stays as it was.
        equal(client.patch(f"/docs/{early}", {"mine": 5}).status, 200, "patched")
        answer = client.put(f"/docs/{ORIGIN.order[0]}", b"1", headers={"If-None-Match": "*"})
        equal(answer.status, 412, f"it is there: {answer}")
        # Written twice: both are ours, the place's goes below them.
        for n in (1, 2):
            equal(client.put(f"/docs/{later}", {"n": n}, headers={"If-Match": "*"}).status, 202 - n, "written again")
        equal(state(client), "hydrating", "all of it happened meanwhile")
        check(unchanged(where), "nothing is pushed before all is in")
        is_open(client, 60)
        for name, body in {**mine, forced: b'{"mine": 4}', later: b'{"n": 2}'}.items():
            equal(client.get(f"/docs/{name}").body, body, f"{name} is what was written last")
        equal(client.get(f"/docs/{removed}").status, 404, "deleted it stays")
        equal(json.loads(client.get(f"/docs/{early}").body), {**json.loads(ORIGIN.bodies[early]), "mine": 5}, "patched it stays")
        equal(client.get("/docs/config/kept.json").body, ORIGIN.bodies["config/kept.json"], "a default took nobody's place")
        equal(client.get("/docs/config/none.json").json(), DEFAULT, "and is there for who has no document")
        for name in (late, later, removed, forced):  # the loser stays as a version
            versions = [v["version"] for v in client.get(f"/docs/{name}/versions").json()["items"]]
            held = [client.get(f"/docs/{name}?version={v}").body for v in versions]
            check(ORIGIN.bodies[name] in held, f"{name}: what was there is a version: {versions}")
        whole = digest(client)
        equal(client.post("/remotes/usb/run?timeout=30s").status, 200, "pushed when all was in")
        check(not unchanged(where), "now it is")
    with Server(TOP / "insist-next", one(where)) as server:
        client = server.client()
        is_open(client, 20)
        equal(digest(client), whole, "the next one gets all of it")


# ------------------------------------------------------------------------- places that do not answer

# Two servers and a command that take their time while the tests between run. For the one a place is in the way from the first test on: by the
# last, the pauses between its tries have grown. The other is stopped while its place hangs, and so is that of the command.
OUTAGE = TOP / "outage"
OUTAGE.write_text("no folder")
PATIENT = Server(TOP / "patient", one(OUTAGE))
PATIENT_SINCE = time.monotonic()
HUNG = ORIGIN.copy("stop-place")
STOPPING = Server(TOP / "stop", one(HUNG), wrap=hanging(HUNG))
STOPPED_IN = []
ALONE = TOP / "alone"
COMMAND = []


def command_that_hangs():
    """keepfast put without a server, on a store whose place hangs from then on."""
    place = TOP / "alone-place"
    place.mkdir(mode=0o700)
    (TOP / "alone.yaml").write_text(one(place))
    words = ("put", "own", "-", "--at", ALONE, "--config", TOP / "alone.yaml")
    equal(run(*words, stdin=b"1").status, 0, "written and pushed")
    check((place / "manifest.ndjson").exists(), "the first one is pushed")
    process = subprocess.Popen([*hanging(place), keepfast.PROGRAM, *map(str, words)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b"2")
    process.stdin.close()
    return process


def watch_command():
    began = time.monotonic()
    wait_for(lambda: has_ended(COMMAND[0]), 40)
    COMMAND.append(time.monotonic() - began)


def has_ended(process):
    """Its first thread has; the one that hangs is held by strace."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def stop_it():
    began = time.monotonic()
    STOPPING.process.terminate()
    wait_for(lambda: has_ended(STOPPING.process), 30)
    STOPPED_IN.append(time.monotonic() - began)


@test
def a_server_whose_place_hangs_is_told_to_stop():
    equal(STOPPING.client().put("/docs/own", b"1", headers={"If-Match": "*"}).status, 201, "written")
    threading.Thread(target=stop_it).start()
    COMMAND.append(command_that_hangs())
    threading.Thread(target=watch_command).start()


@test
def a_place_that_hangs_keeps_nobody_waiting():
    where = ORIGIN.copy("hang-place")
    with Server(TOP / "hang", one(where), wrap=hanging(where)) as server:
        client = server.client()
        longest = 0.0
        for n in range(50):
            began = time.monotonic()
            equal(client.get(f"/docs/{name_of(n)}").code, "not_hydrated", "failed")
            equal(client.put(f"/docs/own/{n}", {"n": n}, headers={"If-Match": "*"}).status, 201, "written")
            equal(client.get(f"/docs/own/{n}").json(), {"n": n}, "read")
            equal(state(client), "hydrating", "shown")
            longest = max(longest, time.monotonic() - began)
        check(longest < 2, f"nobody waited: {longest:.2f} s")
        let_go(server.process)
        is_open(client, HEALS)
        for n in range(50):
            equal(client.get(f"/docs/own/{n}").json(), {"n": n}, "still there")
            equal(client.get(f"/docs/{name_of(n)}").body, ORIGIN.bodies[name_of(n)], "and what hung is there")
        equal(server.stop(), 0, "stopped")


@test
def a_disk_that_is_not_mounted_is_no_empty_place():
    where = TOP / "mnt" / "disk"
    with Server(TOP / "unmounted", one(where)) as server:
        client = server.client()
        equal(client.get("/docs/a").code, "not_hydrated", "not absent")
        shown = client.get("/status").json()
        check("usb" in shown["store"]["reason"] and shown["remotes"][0]["last_error"], f"and says why: {shown}")
        where.parent.mkdir()
        os.rename(ORIGIN.copy("unmounted-place"), where)
        is_open(client, HEALS)
        equal(digest(client), ORIGIN.digest, "the digest")


@test
def of_two_places_one_is_dead():
    good, dead = ORIGIN.copy("two-good"), TOP / "two-dead"
    # What the dead one holds: a newer version of one document, one more, one fewer.
    other = ORIGIN.copy("two-other")
    newer, fewer = ORIGIN.order[5], ORIGIN.order[6]
    with Server(TOP / "two-first", one(other)) as server:
        client = server.client()
        is_open(client, 20)
        equal(client.put(f"/docs/{newer}", b'"newer"').status, 200, "newer")
        equal(client.put("/docs/more.json", b'"more"').status, 201, "more")
        equal(client.delete(f"/docs/{fewer}").status, 204, "fewer")
        equal(client.post("/remotes/usb/run?timeout=30s").status, 200, "pushed")
        wanted = digest(client)
    dead.write_text("no folder")
    text = config({"good": (good, "on_change: 100ms"), "dead": (dead, "on_change: 100ms")})
    with Server(TOP / "two", text) as server:
        client = server.client()
        wait_for(lambda: {r["name"]: r["hydrated"] for r in client.get("/status").json()["remotes"]}["good"], 20)
        equal(state(client), "hydrating", "one is missing")
        reason = client.get("/status").json()["store"]["reason"]
        check("dead" in reason and "good" not in reason, f"the dead one is named, and no other: {reason}")
        for name in ORIGIN.order[::100]:
            equal(client.get(f"/docs/{name}").body, ORIGIN.bodies[name], "what is in is served")
        for name in ("more.json", "zzz", "config/none.json"):
            equal(client.get(f"/docs/{name}").code, "not_hydrated", "what the dead one might hold fails")
        equal(client.put(f"/docs/{ORIGIN.order[0]}", b'"mine"').status, 200, "what is in can be written")
        time.sleep(0.5)
        check(unchanged(good), "nothing is pushed, to the good one neither")
        dead.unlink()
        os.rename(other, dead)
        is_open(client, HEALS)
        equal(client.put(f"/docs/{ORIGIN.order[0]}", ORIGIN.bodies[ORIGIN.order[0]]).status, 200, "put back")
        equal(client.get(f"/docs/{newer}").body, b'"newer"', "the later stamp wins")
        equal(client.get(f"/docs/{fewer}").status, 404, "and so does a deletion")
        equal(digest(client), wanted, "the digest")
        for name in ("good", "dead"):
            equal(client.post(f"/remotes/{name}/run?timeout=30s").status, 200, f"{name} is pushed to")
    for number, where in enumerate((good, dead)):
        with Server(TOP / f"two-{number}", one(where)) as server:
            is_open(server.client(), 20)
            equal(digest(server.client()), wanted, "both hold the same now")


@test
def start_empty_goes_on_without_the_dead():
    good, dead = ORIGIN.copy("waive-good"), TOP / "waive-dead"
    dead.write_text("no folder")
    text = config({"good": (good, "manual: true"), "dead": (dead, "manual: true")})
    with Server(TOP / "waive", text, arguments=["--start-empty"]) as server:
        client = server.client()
        is_open(client, HEALS)
        equal(client.get("/docs/zzz").status, 404, "absent is absent")
        equal(client.get("/docs/config/none.json").json(), DEFAULT, "defaults are served")
        equal(digest(client), ORIGIN.digest, "what the good one holds is there")


# ------------------------------------------------------------------------------- places that are spoilt


@test
def what_is_damaged_at_the_place_fails_and_is_never_absent():
    where = ORIGIN.copy("damaged-place")
    flipped, cut, lost, other = (ORIGIN.order[i] for i in (3, 70, 300, -1))
    for name, spoil in ((flipped, lambda b: bytes([b[0] ^ 1]) + b[1:]), (cut, lambda b: b[:-1]), (lost, None), (other, lambda b: b"1")):
        path = object_of(where, name)
        whole = path.read_bytes()
        path.unlink()
        if spoil:
            path.write_bytes(spoil(whole))
    with Server(TOP / "damaged", one(where)) as server:
        client = server.client()
        reason = wait_for(lambda: re.search("4 of its documents", client.get("/status").json()["store"]["reason"]), 20)
        check(reason, "the reason counts them")
        for name in ORIGIN.order[::50] + [flipped, cut, lost, other]:
            answer = client.get(f"/docs/{name}")
            bad = name in (flipped, cut, lost, other)
            equal((answer.status, answer.code or answer.body), (503, "not_hydrated") if bad else (200, ORIGIN.bodies[name]), name)
            if bad:
                equal(client.put(f"/docs/{name}", b"{}").code, "load_failed", "not written over by chance")
        equal(client.get("/docs/zzz").code, "not_hydrated", "the store is not whole")
        check(unchanged(where), "nothing is pushed over what may still be mended")
        # One is written anew on purpose, the others are mended.
        equal(client.put(f"/docs/{other}", ORIGIN.bodies[other], headers={"If-Match": "*"}).status, 201, "written anew")
        for name in (flipped, cut, lost):
            path = object_of(ORIGIN.where, name)
            whole = where / path.relative_to(ORIGIN.where)
            if whole.exists():
                whole.unlink()
            whole.write_bytes(path.read_bytes())
        is_open(client, HEALS)
        equal(digest(client), ORIGIN.digest, "the digest")


@test
def a_spoilt_manifest_gives_nothing_and_loses_nothing():
    manifest = (ORIGIN.where / "manifest.ndjson").read_bytes()
    lines = manifest.splitlines(keepends=True)
    spoilt = {"empty": b"", "cut": manifest[:len(manifest) // 2], "a line fewer": b"".join(lines[:9] + lines[10:]),
              "a digit": manifest.replace(b"00004", b"00005", 1), "html": b"<html>Sign in</html>\n", "nul": b"\0" * 5000}
    where = ORIGIN.copy("manifest-place")
    for number, (what, text) in enumerate(spoilt.items()):
        (where / "manifest.ndjson").write_bytes(text)
        with Server(TOP / f"manifest-{number}", one(where)) as server:
            client = server.client()
            wait_for(lambda: client.get("/status").json()["remotes"][0]["last_error"], 10)
            equal(state(client), "hydrating", what)
            equal(client.get(f"/docs/{ORIGIN.order[0]}").code, "not_hydrated", what)
            equal((where / "manifest.ndjson").read_bytes(), text, f"{what}: and is left as it is")
            if number == 1:  # mended where it lies
                (where / "manifest.ndjson").write_bytes(manifest)
                is_open(client, HEALS)
                equal(digest(client), ORIGIN.digest, "the digest")


# --------------------------------------------------------------------------- cut while it is being filled


def cuts(tag, end, thrown_away=False, more="on_change: 100ms"):
    """Ends servers in the midst of being filled; the last one may end. How many documents each had when it was ended."""
    where = ORIGIN.copy(f"{tag}-place")
    text = one(where, more)
    data = TOP / tag
    acknowledged, reached = {}, []
    for number in range(12 if LONG else 3):
        with Server(data, text, wrap=slow(where, 3000)) as server:
            client = server.client()
            reached.append(begun(client))
            name = f"own/{number}"
            equal(client.put(f"/docs/{name}", str(number).encode(), headers={"If-Match": "*"}).status, 201, "written meanwhile")
            acknowledged[name] = str(number).encode()
            for own, body in acknowledged.items():
                equal(client.get(f"/docs/{own}").body, body, "of this life and of those before")
            equal(state(client), "hydrating", "ended in the midst")
            began = time.monotonic()
            end(server)
            check(time.monotonic() - began < 10.5, "ended in time")
        check(unchanged(where), "nothing was pushed")
        if thrown_away:
            acknowledged.clear()
            shutil.rmtree(data)
    with Server(data, text) as server:
        client = server.client()
        is_open(client, 20)
        for own, body in acknowledged.items():
            equal(client.get(f"/docs/{own}").body, body, "what was acknowledged is there")
            equal(client.delete(f"/docs/{own}").status, 204, "and goes")
        equal(digest(client), ORIGIN.digest, "the digest")
        equal(server.stop(), 0, "stopped")
    note(f"documents when it was ended: {reached}")


@test
def killed_in_the_midst_it_goes_on():
    cuts("killed", lambda server: equal(server.kill(), -9, "killed"))


@test
def stopped_in_the_midst_it_goes_on():
    # Manual: one with a schedule is given 10 s to become whole and be pushed to.
    cuts("stopped", lambda server: equal(server.stop(), 0, "stopped"), more="manual: true")


@test
def thrown_away_in_the_midst_it_begins_anew():
    cuts("thrown", lambda server: server.kill(), thrown_away=True)


# -------------------------------------------------------------------------------------- at the end


@test
def a_server_whose_place_hangs_has_stopped():
    try:
        took = wait_for(lambda: STOPPED_IN, 30)[0]
    finally:
        let_go(STOPPING.process)
    note(f"stopped in {took:.1f} s")
    check(took < 10.5, "in time")
    equal(STOPPING.process.wait(5), 0, "exit status")
    check("a remote hangs" in STOPPING.stderr(), "and says why it did not wait")
    with Server(TOP / "stop", one(HUNG)) as server:
        client = server.client()
        is_open(client, HEALS)
        equal(client.get("/docs/own").body, b"1", "what was acknowledged is there")


@test
def a_command_whose_place_hangs_has_ended():
    process = COMMAND[0]
    try:
        took = wait_for(lambda: COMMAND[1:], 40)[0]
    finally:
        let_go(process)
    process.wait(5)
    out, talk = process.stdout.read(), process.stderr.read()
    note(f"ended in {took:.1f} s")
    check(took < 14, "in time")
    equal(process.returncode, 0, f"the document was written: {talk}")
    check(b"own: version 2 (disk)" in out + talk and b"a remote hangs" in talk, f"and both is said: {out} {talk}")
    done = run("get", "own", at=ALONE)
    equal((done.status, done.out), (0, b"2"), "it is there")


@test
def after_a_long_outage_it_heals_in_seconds():
    with PATIENT as server:
        client = server.client()
        time.sleep(max(0, PATIENT_SINCE + 16 - time.monotonic()))  # the tries at 1, 2, 4 and 8 s are over
        equal(client.get("/docs/a").code, "not_hydrated", "still")
        failures = client.get("/status").json()["remotes"][0]["failures"]
        OUTAGE.unlink()
        os.rename(ORIGIN.copy("outage-place"), OUTAGE)
        began = time.monotonic()
        is_open(client, 60)
        took = time.monotonic() - began
        note(f"failures={failures} healed_in={took:.1f}s after {began - PATIENT_SINCE:.0f} s")
        check(took < HEALS, f"healed in {took:.1f} s")
        equal(digest(client), ORIGIN.digest, "the digest")
        equal(len(re.findall("remote.down", server.stderr())), 1, "and was told once")


try:
    main()
finally:
    for left in (PATIENT.process, STOPPING.process, *COMMAND[:1]):
        if left.poll() is None:
            left.kill()
            if left is not PATIENT.process:
                let_go(left)
            left.wait()
    shutil.rmtree(TOP, ignore_errors=True)
