#!/usr/bin/env python3
# test: timeout=300
"""An empty disk filled from several places that lag differently, from ones that do not answer, and from 10,000 documents while it is
killed again and again; git hosts among the places. test_hydrate.py has what every door says meanwhile.

What a store must hold is computed here, and its digest by tests/checker/kfcheck.py; the large places are written without Keepfast.
"""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
from crash import LONG, RNG, SEED, kfcheck  # noqa: E402
from faultproxy import FaultProxy  # noqa: E402
from githost import GitHost  # noqa: E402
from keepfast import Server, description, folder, state, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TOP = folder()
MANY = 10000
HEALS = 6  # seconds: from the moment at which a place works again; pauses between tries are 2 s here
FILLED = 60  # seconds: for MANY documents on a busy machine
STAMP = int(time.time() - 3600) * 1000 << 16


def digest_of(docs):
    return kfcheck.digest({name.encode(): json.dumps(value).encode() for name, value in docs.items()})


def config(**remotes):
    """name=folder, or name=a remote's configuration; all of them manual."""
    each = {name: ({"url": f"dir:{where}"} if isinstance(where, Path) else where) | {"manual": True} for name, where in remotes.items()}
    return json.dumps({"spaces": {"default": {"remotes": each}}})


def place(name):
    where = TOP / name
    where.mkdir(mode=0o700)
    return where


class Machine:
    """A server on a disk of its own."""

    def __init__(self, name, host=None, arguments=(), filled=True, **remotes):
        self.data = TOP / name
        self.server = Server(self.data, config(**remotes), arguments=arguments, env=host.environment() if host else None)
        self.client = self.server.client()
        if filled:
            self.wait_open(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.server.__exit__()

    def wait_open(self, seconds):
        began = time.monotonic()
        wait_for(lambda: state(self.client) == "open", seconds)
        return time.monotonic() - began

    def put(self, name, value, status=(200, 201), **headers):
        answer = self.client.put(f"/docs/{urllib.parse.quote(name, safe='')}", json.dumps(value).encode(), headers=headers)
        check(answer.status in status, f"put {name}: {answer}")
        return answer

    def get(self, name):
        answer = self.client.get(f"/docs/{urllib.parse.quote(name, safe='')}")
        return answer.json() if answer.status == 200 else answer.code

    def remove(self, name):
        equal(self.client.delete(f"/docs/{urllib.parse.quote(name, safe='')}").status, 204, name)

    def save(self, *remotes):
        for remote in remotes:
            answer = self.client.post(f"/remotes/{remote}/run?timeout=30s")
            equal(answer.status, 200, f"{remote}: {answer}")

    def digest(self):
        return self.client.get("/digest").json()["digest"]

    def store(self):
        return self.client.get("/status").json()["store"]

    def hydrated(self):
        return {r["name"]: r["hydrated"] for r in self.client.get("/status").json()["remotes"]}


# ---------------------------------------------------------------------------- places that lag differently


@test
def of_places_that_lag_the_newest_of_each_counts_and_nothing_is_missing():
    """A folder that was left behind, a branch that is the newest, another folder with what the others lack."""
    old, other = place("lag-old"), place("lag-other")
    with GitHost("http") as host:
        host.make("store")
        branch = host.config("store")
        docs = {f"d{n}": {"v": 1, "n": n} for n in range(20)}
        with Machine("lag-first", host, old=old, branch=branch, other=other) as first:
            for name, value in docs.items():
                first.put(name, value)
            first.save("old", "branch", "other")
            with Machine("lag-second", other=other) as second:  # another machine, which knows one place alone
                for name in ("d1", "d2", "d3"):
                    second.put(name, {"by": "second"})
                second.put("only-other", {"by": "second"})
                second.remove("d4")
                second.save("other")
                time.sleep(0.01)
                for name in ("d2", "d5", "only-branch"):
                    first.put(name, {"by": "first"})
                first.remove("d6")
                first.put("d4b", {"by": "first"})
                first.save("branch")
                time.sleep(0.01)
                second.put("d5", {"by": "second, later"})
                second.save("other")
            time.sleep(0.01)
            first.put("d7", {"by": "first, last"})
            first.save("branch")
        wanted = docs | {"d1": {"by": "second"}, "d2": {"by": "first"}, "d3": {"by": "second"}, "d5": {"by": "second, later"},
                         "d7": {"by": "first, last"}, "only-other": {"by": "second"}, "only-branch": {"by": "first"}, "d4b": {"by": "first"}}
        wanted = {name: value for name, value in wanted.items() if name not in ("d4", "d6")}
        for order in (("old", "branch", "other"), ("other", "old", "branch"), ("branch", "other", "old")):
            every = {"old": old, "branch": branch, "other": other}
            with Machine("lag-new-" + order[0], host, **{name: every[name] for name in order}) as new:
                equal(new.digest(), digest_of(wanted), f"{order}: the newest of each, and all that only one has")
                equal((new.get("d4"), new.get("d6")), ("not_found", "not_found"), f"{order}: what one place says is deleted")
                versions = [v["version"] for v in new.client.get("/docs/d2/versions").json()["items"]]
                held = [json.loads(new.client.get(f"/docs/d2?version={v}").body) for v in versions]
                check({"by": "second"} in held or {"v": 1, "n": 2} in held, f"{order}: what lost is a version: {held}")
                if order[0] == "branch":
                    new.save("old", "branch", "other")
        for name, where in (("old", old), ("other", other)):
            report = kfcheck.check_dir(str(where))
            equal((report.findings, report.digest), ([], digest_of(wanted)), f"{name} holds all of it now")
        for name, where in (("old", old), ("branch", branch), ("other", other)):
            with Machine(f"lag-alone-{name}", host, **{name: where}) as alone:
                equal(alone.digest(), digest_of(wanted), f"and {name} alone is enough")


# -------------------------------------------------------------------------------- places that do not answer


def doors(machine, there, missing):
    """What is said while a place is silent: of names that are in, and of others."""
    for name, value in there.items():
        equal(machine.get(name), value, f"{name} is in")
    for name in missing:
        path = f"/docs/{name}"
        answer = machine.client.get(path)
        equal((answer.status, answer.code), (503, "not_hydrated"), f"{name} may be there")
        equal(machine.client.put(path, b"1").code, "load_failed", f"{name} is not written over")
        equal(machine.client.patch(path, {"a": 1}).code, "not_hydrated", f"{name} is not patched")
        equal(machine.client.delete(path).code, "load_failed", f"{name} is not removed")
    equal(machine.client.get("/docs").code, "not_hydrated", "a list would have holes")
    equal(state(machine.client), "hydrating", "it says so")


@test
def of_a_host_that_lets_nobody_in_and_later_does():
    """Without the right token, then with it; and one that refuses connections, then answers. What was insisted on meanwhile is merged."""
    good = place("late-good")
    with GitHost("http") as host, FaultProxy(host) as proxy:
        host.make("store")
        branch, behind = host.config("store"), host.config("store", port=proxy.port)
        with Machine("late-first", host, good=good, branch=branch) as first:
            first.put("both", 1)
            first.save("good")
            for name, value in (("more", 2), ("clash", "theirs"), ("both", 3)):
                first.put(name, value)
            first.save("branch")
        for what, there, shut, let_in in (("token", branch, host.revoke, host.renew), ("silence", behind, proxy.refuse, proxy.pass_on)):
            shut()
            with Machine(f"late-{what}", host, filled=False, good=good, branch=there) as new:
                wait_for(lambda: new.hydrated()["good"], 20)
                doors(new, {"both": 1}, ("more", "clash", "zzz"))
                reason = wait_for(lambda: new.store()["reason"], 5)
                check("branch" in reason and "good" not in reason, f"{what}: who is waited for: {reason}")
                new.put("clash", f"mine, {what}", (201,), **{"If-Match": "*"})
                new.put("own", 4, (201,), **{"If-Match": "*"})
                equal(new.get("own"), 4, "what was insisted on is there at once")
                began = time.monotonic()
                let_in()
                equal(new.client.post("/remotes/branch/run?timeout=20s").status in (200, 409, 503), True, "asked for")
                new.wait_open(HEALS if what == "silence" else 20)
                note(f"{what}: filled {time.monotonic() - began:.1f} s after it was let in")
                equal(new.digest(), digest_of({"both": 3, "more": 2, "clash": f"mine, {what}", "own": 4}), f"{what}: what is there now")
                versions = new.client.get("/docs/clash/versions").json()["items"]
                held = [json.loads(new.client.get(f"/docs/clash?version={v['version']}").body) for v in versions]
                # The run that was asked for may have pushed what the machine before this one wrote.
                check({"theirs", "mine, token"} & set(held) - {f"mine, {what}"}, f"{what}: what lost is a version: {held}")


@test
def where_none_answers_nothing_is_absent_and_start_empty_goes_on():
    dead = TOP / "none-dead"
    with GitHost("http") as host, FaultProxy(host) as proxy:
        host.make("store")
        with Machine("none-first", host, branch=host.config("store")) as first:
            first.put("a", 1)
            first.put("b", 1)
            first.save("branch")
        dead.write_text("no folder")
        proxy.refuse()
        remotes = {"branch": host.config("store", port=proxy.port), "dead": dead}
        with Machine("none", host, filled=False, **remotes) as new:
            reason = wait_for(lambda: "branch" in new.store()["reason"] and "dead" in new.store()["reason"] and new.store()["reason"], 20)
            doors(new, {}, ("a", "zzz"))
            new.put("own", 1, (201,), **{"If-Match": "*"})
            equal(new.server.stop(), 0, f"stopped: {reason}")
        with Machine("none", host, filled=False, **remotes) as new:  # a restart is no answer
            equal(new.get("own"), 1, "what was acknowledged is there")
            doors(new, {"own": 1}, ("a", "zzz"))
            new.server.stop()
        with Machine("none", host, arguments=["--start-empty"], **remotes) as new:
            equal((new.get("zzz"), new.get("a"), new.get("own")), ("not_found", "not_found", 1), "absent is absent")
            new.put("b", 2, (201,))
            proxy.pass_on()
            new.save("branch")
            equal(new.digest(), digest_of({"a": 1, "b": 2, "own": 1}), "who answers later is merged like another site")
        with Machine("none-next", host, branch=host.config("store")) as after:
            equal(after.digest(), digest_of({"a": 1, "b": 2, "own": 1}), "and has all of it")


# ------------------------------------------------------------------------------------- ten thousand documents


def many():
    return {f"f{n % 256:02x}/doc-{n}.json": {"n": n, "text": "ą" * (n * 7 % 300)} for n in range(MANY)}


def a_large_folder(where, docs):
    """As a push leaves one."""
    lines = [{"keepfast": "manifest", "format": 1, "holds": "state", "site": "a" * 16, "push": 1, "seq": len(docs), "stamp": f"{STAMP:016x}",
              "at": "2026-11-09T14:23:45.123Z"}, {"seen": "a" * 16, "seq": len(docs)}]
    for n, (name, value) in enumerate(sorted(docs.items()), 1):
        body = json.dumps(value).encode()
        path = where / os.fsdecode(kfcheck.object_path(name.encode(), kfcheck.blake(body)))
        path.parent.mkdir(parents=True)
        path.write_bytes(body)
        lines.append({"doc": name, "version": 1, "stamp": f"{STAMP + n:016x}", "site": "a" * 16, "at": "2026-11-09T14:23:45.123Z",
                      "size": len(body), "hash": kfcheck.blake(body)})
    text = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
    (where / "manifest.ndjson").write_bytes(text + b'{"end":%d,"hash":"%s"}\n' % (len(lines), kfcheck.blake(text).encode()))
    return lambda target: subprocess.run(["cp", "-a", where, target], check=True), "cp -a"


def a_large_branch(host, docs):
    host.make("store")
    files = {".keepfast/format.json": b'{"keepfast":"git","format":1}\n'}
    host.commit("store", "data", files | {name: json.dumps(value).encode() + b"\n" for name, value in docs.items()}, "10,000 documents")
    return lambda target: equal(host.git("clone", "-q", "-b", "data", host.url("store"), target).returncode, 0, "cloned"), "git clone"


def same(machine, docs, what):
    """The digest; where it is another, what differs."""
    if machine.digest() != digest_of(docs):
        names = {item["name"] for item in listed(machine)}
        other = [name for name in sorted(names & set(docs)) if machine.get(name) != docs[name]]
        raise AssertionError(f"{what}: more {sorted(names - set(docs))[:5]}, fewer {sorted(set(docs) - names)[:5]}, others {other[:5]}")


def listed(machine):
    cursor = ""
    while cursor is not None:
        page = machine.client.get("/docs?limit=1000" + (f"&cursor={cursor}" if cursor else "")).json()
        yield from page["items"]
        cursor = page["next"]


def fill_whole(tag, docs, remote, host):
    """Once, and nothing else. Seconds from exec on."""
    began = time.monotonic()
    with Machine(f"{tag}-whole", host, filled=False, place=remote) as new:
        new.wait_open(FILLED)
        took = time.monotonic() - began
        same(new, docs, f"{tag}: all of the place")
    return took


def fill_with_a_writer(tag, docs, remote, host, let_in):
    """A client writes before anything came, and while it comes. What the place holds then."""
    names = sorted(docs)
    wanted = dict(docs)
    with Machine(f"{tag}-written", host, filled=False, place=remote) as new:
        late, gone, lost = names[-1], names[0], names[-3]
        new.put(late, "mine", (201,), **{"If-Match": "*"})
        equal(new.client.delete(f"/docs/{urllib.parse.quote(gone, safe='')}", headers={"If-Match": "*"}).status, 204, "a deletion that insists")
        new.put(lost, 1, (409,))
        equal(state(new.client), "hydrating", "nothing is in yet")
        let_in()
        wanted[late] = "mine"
        del wanted[gone]
        taken = refused = 0
        until = time.monotonic() + FILLED
        while state(new.client) == "hydrating":  # what is in is an ordinary document, what is not is refused
            check(time.monotonic() < until, f"{tag}: filled within {FILLED} s")
            name = names[1 + (taken + refused) * 37 % (MANY - 10)]
            answer = new.client.put(f"/docs/{urllib.parse.quote(name, safe='')}", json.dumps({"mine": taken}).encode())
            check(answer.status == 200 or answer.code == "load_failed", f"{name}: {answer}")
            if answer.status == 200:
                wanted[name] = {"mine": taken}
                taken += 1
            else:
                refused += 1
                time.sleep(0.005)
        same(new, wanted, f"{tag}: all of the place, and all that was written")
        held = [new.client.get(f"/docs/{urllib.parse.quote(late, safe='')}?version={v['version']}").body
                for v in new.client.get(f"/docs/{urllib.parse.quote(late, safe='')}/versions").json()["items"]]
        check(docs[late] in map(json.loads, held), f"{tag}: what lost is a version: {held}")
        equal(new.client.post("/remotes/place/run?timeout=60s").status, 200, "pushed")
        note(f"{tag}: writes while it was filled: {taken} taken, {refused} refused")
    return wanted


def docs_on(disk):
    """How many documents stand in a store that nobody has open."""
    with tempfile.TemporaryDirectory() as copy, contextlib.closing(sqlite3.connect(kfcheck.copy_store(str(disk / "default.db"), copy))) as db:
        return db.execute("SELECT count(*) FROM kf_doc").fetchone()[0]


def fill_and_kill(tag, docs, remote, host, whole):
    """Lives that are killed, each a little longer than the one before, until one had all in; `whole`: how long one takes that is not killed.
    How many kills met it with a part of the documents in. What is in stays in, and nothing is taken back."""
    reached, began, between, kills, data = 0, time.monotonic(), 0, 0, TOP / f"{tag}-killed"
    while reached < len(docs):
        with Server(data, config(place=remote), env=host.environment() if host else None, expect_ready=False) as server:
            time.sleep(whole * RNG.uniform(0.2, 1) * (0.2 + kills / 15))
            server.kill()
        kills += 1
        count = docs_on(data) if (data / "default.db").exists() else 0
        check(count >= reached, f"{tag}, seed {SEED}: it has {count}, had {reached}")
        between += reached < count < len(docs)
        reached = count
        check(kills <= 60, f"{tag}, seed {SEED}: it ends")
    with Machine(f"{tag}-killed", host, filled=False, place=remote) as new:
        new.wait_open(FILLED)
        same(new, docs, f"{tag}, seed {SEED}: all of the place, and nothing else")
        equal(new.server.stop(), 0, "its end")
    equal(kfcheck.check_store(str(data / "default.db")).findings, [], f"{tag}: what an independent look finds")
    note(f"{tag}: kills={kills}, {between} of them with a part of it, in {time.monotonic() - began:.1f} s, seed={SEED}")
    return between


def kill_till_met(*words):
    """Until kills met it on its way."""
    between = 0
    for n in range(6):
        between += fill_and_kill(f"{words[0]}-{n}", *words[1:])
        if between >= (20 if LONG else 2):
            return
    raise AssertionError(f"kills met it on its way only {between} times")


def compared(tag, docs, remote, host, copy, against):
    took = fill_whole(tag, docs, remote, host)
    began = time.monotonic()
    copy(TOP / f"{tag}-copy")
    base = time.monotonic() - began
    shutil.rmtree(TOP / f"{tag}-copy")
    note(f"{tag}: {MANY} documents in {took:.2f} s, {against} {base:.2f} s, ratio {took / base:.1f}")
    check(took < FILLED, f"{tag}: {took:.1f} s")
    return took


@test
def ten_thousand_from_a_folder():
    docs, where, away = many(), place("many-dir"), TOP / "many-away"
    copy, against = a_large_folder(where, docs)
    equal(kfcheck.check_dir(str(where)).findings, [], "it is as Keepfast writes it")
    took = compared("many-dir", docs, where, None, copy, against)
    kill_till_met("many-dir", docs, where, None, took)
    where.rename(away)
    wanted = fill_with_a_writer("many-dir", docs, where, None, lambda: away.rename(where))
    report = kfcheck.check_dir(str(where))
    equal((report.findings, report.digest), ([], digest_of(wanted)), "what the place holds then")


@test
def ten_thousand_from_a_branch():
    docs = many()
    with GitHost("http") as host, FaultProxy(host) as proxy:
        copy, against = a_large_branch(host, docs)
        took = compared("many-git", docs, host.config("store"), host, copy, against)
        kill_till_met("many-git", docs, host.config("store"), host, took)
        proxy.black_hole()
        wanted = fill_with_a_writer("many-git", docs, host.config("store", port=proxy.port), host, proxy.pass_on)
        there = {path: json.loads(text) for path, text in host.files("store", "data").items() if not path.startswith(".keepfast/")}
        other = {name: (there.get(name), wanted.get(name)) for name in there.keys() | wanted if there.get(name) != wanted.get(name)}
        equal(other, {}, "what the branch holds then, and should")
        fill_whole("many-git-then", wanted, host.config("store"), host)


description()  # asks the program once; not while something is timed
with contextlib.ExitStack() as stack:
    stack.callback(shutil.rmtree, TOP, ignore_errors=True)
    main()
