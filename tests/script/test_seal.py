#!/usr/bin/env python3
# test: timeout=240
"""Remotes that are encrypted, through the program and from outside: what a place shows, what a new machine with the key gets
back, and what is said without it. What is there is opened by tests/sealed.py, which has nothing of the program's.
"""

import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from githost import GitHost  # noqa: E402
from keepfast import Server, folder, run, state, wait_for  # noqa: E402
from sealed import Key, PREFIX  # noqa: E402
from tap import check, equal, main, test  # noqa: E402

TOP = folder()
NAME, VALUE = "canary-name-7f3a", "canary-value-c01d"
LONG = "long/" + "ż" * 400


def key_file(name):
    path = TOP / name
    made = run("key", "new", path)
    equal(made.status, 0, f"a new key: {made}")
    return path


class Dir:
    kind = "dir"

    def __init__(self, name):
        self.path = TOP / name
        self.path.mkdir()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def remote(self):
        return {"url": f"dir:{self.path}"}

    def environment(self):
        return {}

    def everything(self):
        return b"\0".join(str(p.relative_to(self.path)).encode() + b"\0" + (p.read_bytes() if p.is_file() else b"")
                          for p in sorted(self.path.rglob("*")))

    def check(self):
        pass

    def bodies(self):
        """Sealed names and bodies."""
        found = {}
        for line in (self.path / "manifest").read_text().splitlines() if (self.path / "manifest").exists() else []:
            entry = json.loads(line)
            if "doc" in entry and not entry.get("deleted"):
                found[entry["doc"]] = entry
        return found


class Branch:
    kind = "git"

    def __init__(self, name):
        self.host = GitHost("path")
        self.host.__enter__()
        self.host.make("store")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.host.__exit__(None, None, None)

    def remote(self):
        return self.host.config("store")

    def environment(self):
        return self.host.environment()

    def git(self, *words):
        done = subprocess.run(["git", "-C", str(self.host.path("store")), *words], capture_output=True)
        equal(done.returncode, 0, f"git {words}: {done.stderr}")
        return done.stdout

    def everything(self):
        """All objects of the repository, and what names them."""
        return self.git("cat-file", "--batch-all-objects", "--batch", "--unordered") + self.git("log", "--all", "--stat")

    def check(self):
        equal(self.host.fsck("store"), [], "a strict check of the repository")


PLACES = (Dir, Branch)


class Machine:
    """A server on a disk of its own with one remote."""

    def __init__(self, place, name, encrypt=None, arguments=(), **more):
        self.dir = TOP / name
        remote = place.remote() | {"on_change": "10m"} | more | ({"encrypt": encrypt} if encrypt else {})
        config = json.dumps({"spaces": {"default": {"remotes": {"away": remote}}}})
        self.server = Server(self.dir, config=config, env=place.environment(), arguments=arguments)
        self.client = self.server.client()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.server.__exit__()

    def put(self, name, value):
        answer = self.client.put(f"/docs/{name}", json.dumps(value).encode())
        check(answer.status in (200, 201), f"put {name}: {answer}")

    def sync(self):
        return self.client.ask("POST", "/remotes/away/run?timeout=20s")

    def saved(self):
        answer = self.sync()
        equal(answer.status, 200, f"a run: {answer}")

    def refused(self, *words):
        answer = self.sync()
        equal((answer.status, answer.code), (403, "key_needed"), f"refused: {answer}")
        for word in words:
            check(word in answer.json()["detail"], f"{word} is said: {answer}")

    def remote(self):
        return self.client.get("/remotes/away").json()

    def digest(self):
        return self.client.get("/digest").json()["digest"]

    def open(self):
        wait_for(lambda: state(self.client) == "open", 20)
        return self

    def stop(self):
        equal(self.server.stop(), 0, "its end")


def fill(m):
    m.put(NAME, {"secret": VALUE})
    m.put("alpha.json", [1.0, "ż"])
    m.put("Alpha.json", 2)
    m.put("long/" + "%C5%BC" * 400, VALUE)
    m.put("gone", 1)
    m.saved()
    equal(m.client.delete("/docs/gone").status, 204, "deleted")
    m.put("alpha.json", [1.5, "ż"])
    m.saved()


def shows_nothing(place):
    everything = place.everything()
    check(len(everything) > 1000, "there is something")
    for word in (NAME, VALUE, "alpha.json", "gone", "long/ż"):
        check(word.encode() not in everything, f"{word} is not to be seen at the place")
    return everything


@test
def what_leaves_is_encrypted_and_comes_back():
    for make in PLACES:
        with make(f"plain-{make.kind}") as place:
            key = key_file(f"{make.kind}.key")
            with Machine(place, f"{make.kind}-a", {"key_file": str(key)}) as a:
                a.open()
                fill(a)
                shown = a.remote()
                equal((shown["encrypted"], shown["key"]), (True, Key(key.read_text()).id), f"what is shown: {shown}")
                check(key.read_text().strip() not in json.dumps(shown) + a.server.stderr(), "never the key")
                a.saved()
                digest = a.digest()
                a.server.kill()
            shutil.rmtree(a.dir)
            everything = shows_nothing(place)
            key_of = Key(key.read_text())
            check(key_of.name(NAME).split("/")[-1].encode() in everything, "its sealed name is")
            place.check()
            with Machine(place, f"{make.kind}-b", {"key_file": str(key)}) as b:
                b.open()
                equal(b.digest(), digest, "a new machine holds the same")
                equal(b.client.get("/docs/gone").status, 404, "what was deleted is gone")
                equal(b.client.get(f"/docs/{NAME}").json(), {"secret": VALUE}, "a document")
                equal(b.remote()["pending"]["count"], 0, "nothing is pending")
                verified = b.client.post("/verify?deep=true")
                equal(verified.json().get("damaged"), 0, f"all is whole: {verified}")
                before = place.everything()
                b.saved()
                equal(len(place.everything()), len(before), "and a run writes nothing")
                b.stop()


@test
def without_the_key_nothing_is_taken_and_nothing_pushed():
    for make in PLACES:
        with make(f"without-{make.kind}") as place:
            key, other = key_file(f"without-{make.kind}.key"), key_file(f"other-{make.kind}.key")
            ids = [Key(k.read_text()).id for k in (key, other)]
            with Machine(place, f"without-{make.kind}-a", {"key_file": str(key)}) as a:
                a.open()
                fill(a)
                a.stop()
            before = place.everything()
            cases = [("none", None, [ids[0]]), ("other", {"key_file": str(other)}, ids),
                     ("missing", {"key_file": str(TOP / "no.key")}, ["no.key"])]
            for name, encrypt, words in cases:
                with Machine(place, f"without-{make.kind}-{name}", encrypt, arguments=["--start-empty"]) as m:
                    wait_for(lambda: m.remote()["last_error"] and m.remote()["last_error"]["code"] == "key_needed", 20)
                    equal(state(m.client), "hydrating", "it is not open: nobody knows what is absent")
                    equal(m.client.get(f"/docs/{NAME}").status, 503, "not absent")
                    m.refused(*words)
                    m.stop()
                equal(len(place.everything()), len(before), f"{name}: nothing was written there")


@test
def a_store_goes_on_without_its_key():
    with Dir("goes-on") as place:
        key = key_file("goes-on.key")
        with Machine(place, "goes-on-a", {"key_file": str(key)}) as m:
            m.open()
            m.put("a", 1)
            m.saved()
            key.chmod(0o644)
            m.put("a", 2)
            m.refused("0644", "goes-on.key")
            key.chmod(0o600)
            text = key.read_text()
            key.write_text("hunter2\n")
            m.refused("64 hex digits")
            check("hunter2" not in json.dumps(m.remote()) + m.server.stderr(), "which is not repeated")
            equal(m.client.get("/docs/a").json(), 2, "local work goes on")
            done = run("sync", "--wait", at=f"unix:{m.server.socket}#default")
            equal(done.status, 3, f"for scripts: {done}")
            key.write_text(text)
            m.saved()
            m.stop()


@test
def plain_documents_and_encryption_do_not_mix():
    for make in PLACES:
        with make(f"mix-{make.kind}") as place:
            key = key_file(f"mix-{make.kind}.key")
            with Machine(place, f"mix-{make.kind}-a") as m:
                m.open()
                m.put("a", 1)
                m.saved()
                m.stop()
            before = len(place.everything())
            with Machine(place, f"mix-{make.kind}-a", {"key_file": str(key)}) as m:
                m.refused("not encrypted", "new branch or folder")
                equal(m.client.get("/docs/a").json(), 1, "local work goes on")
                m.stop()
            equal(len(place.everything()), before, "nothing was written there")


@test
def names_of_sealed_documents_are_no_names():
    with Dir("names") as place, Machine(place, "names-a") as m:
        m.open()
        answer = m.client.put(f"/docs/{PREFIX}x", b"1")
        equal((answer.status, answer.code), (400, "bad_key"), f"refused: {answer}")
        m.stop()


@test
def two_machines_share_an_encrypted_remote():
    for make in PLACES:
        with make(f"two-{make.kind}") as place:
            key = key_file(f"two-{make.kind}.key")
            os.environ["KF_TEST_KEY"] = key.read_text().strip()
            with Machine(place, f"two-{make.kind}-a", {"key_file": str(key)}) as a, \
                    Machine(place, f"two-{make.kind}-b", {"key_env": "KF_TEST_KEY"}) as b:
                a.open(), b.open()
                for n in range(4):
                    a.put(f"a{n}", n), b.put(f"b{n}", n)
                    a.put("both", {"a": n}), b.put("both", {"b": n})
                    a.saved(), b.saved()
                a.saved(), b.saved(), a.saved()
                equal(a.digest(), b.digest(), "both hold the same")
                equal(len(a.client.get("/docs").json()["items"]), 9, "all of both")
                a.stop(), b.stop()
            place.check()


@test
def a_key_is_changed():
    for make in PLACES:
        with make(f"change-{make.kind}") as place:
            old, new = key_file(f"change-{make.kind}-old.key"), key_file(f"change-{make.kind}-new.key")
            with Machine(place, f"change-{make.kind}-a", {"key_file": str(old)}) as a, \
                    Machine(place, f"change-{make.kind}-b", {"key_file": str(old)}) as b:
                a.open(), b.open()
                fill(a)
                b.saved()
                b.put("of-b", 1)
                b.saved()
                a.stop()
                with Machine(place, f"change-{make.kind}-a", {"key_file": str(new), "old_key_file": str(old)}) as a:
                    check(a.remote()["pending"]["count"] > 0, "all is to be pushed")
                    a.saved()
                    equal(a.client.get("/docs/of-b").json(), 1, "what the other one had pushed is taken in")
                    digest = a.digest()
                    a.saved()
                    a.stop()
                b.put("later", 1)
                b.refused(Key(new.read_text()).id, Key(old.read_text()).id)
                b.stop()
            with Machine(place, f"change-{make.kind}-c", {"key_file": str(new)}) as c:
                c.open()
                equal(c.digest(), digest, "the new key alone is enough")
                equal(c.client.post("/verify?deep=true").json().get("damaged"), 0, "all is whole")
                c.stop()
            with Machine(place, f"change-{make.kind}-b", {"key_file": str(new), "old_key_file": str(old)}) as b:
                b.saved()
                equal(b.client.get("/docs/later").json(), 1, "nothing is lost")
                equal(b.remote()["pending"]["count"], 0, "all is pushed")
                b.stop()
            # and back, with what the first key had left behind
            with Machine(place, f"change-{make.kind}-a", {"key_file": str(old), "old_key_file": str(new)}) as a:
                a.saved()
                digest = a.digest()
                a.stop()
            with Machine(place, f"change-{make.kind}-d", {"key_file": str(old)}) as d:
                d.open()
                equal(d.digest(), digest, "and back again")
                d.stop()
            place.check()


@test
def who_removes_without_the_key_is_found_out():
    with Branch("removed") as place:
        key = key_file("removed.key")
        with Machine(place, "removed-a", {"key_file": str(key)}) as m:
            m.open()
            m.put("a", 1), m.put("b", 2)
            m.saved()
            branch = place.remote().get("branch", "data")
            path = [p for p in place.host.files("store", branch) if p == Key(key.read_text()).name("a")]
            equal(len(path), 1, f"its file: {place.host.files('store', branch)}")
            place.host.commit("store", branch, {path[0]: None}, "by hand")
            for _ in range(2):
                m.sync()
                said = m.remote()["last_error"]
                check(said and said["code"] == "bad_object", f"every run says so: {m.remote()}")
                equal(m.client.get("/docs/a").json(), 1, "the store has it")
            m.put("a", 3)
            m.sync()
            m.saved()
            equal((m.remote()["last_error"], m.remote()["pending"]["count"]), (None, 0), "until it is written anew")
            digest = m.digest()
            m.stop()
        with Machine(place, "removed-b", {"key_file": str(key)}) as m:
            m.open()
            equal(m.digest(), digest, "and it is there")
            m.stop()


@test
def a_new_machine_changes_the_key():
    """It is filled in one run, and what stands under the old key goes away in another."""
    for make in PLACES:
        with make(f"fresh-{make.kind}") as place:
            old, new = key_file(f"fresh-{make.kind}-old.key"), key_file(f"fresh-{make.kind}-new.key")
            with Machine(place, f"fresh-{make.kind}-a", {"key_file": str(old)}) as a:
                a.open()
                fill(a)
                digest = a.digest()
                a.stop()
            with Machine(place, f"fresh-{make.kind}-b", {"key_file": str(new), "old_key_file": str(old)}) as b:
                b.open()
                equal(b.digest(), digest, "filled by the old key")
                check(b.remote()["pending"]["count"] > 0, "all is to be pushed")
                b.saved()
                equal(b.remote()["pending"]["count"], 0, "all is pushed")
                b.stop()
            with Machine(place, f"fresh-{make.kind}-c", {"key_file": str(new)}) as c:
                c.open()
                equal(c.digest(), digest, "the new key alone is enough")
                c.stop()
            place.check()


@test
def a_key_is_changed_while_it_runs():
    """In the same file, without a restart; and once the file cannot be read when the store opens."""
    with Dir("running") as place:
        now, old = key_file("running-now.key"), TOP / "running-old.key"
        first = now.read_text()
        old.write_text(first)
        old.chmod(0o600)
        encrypt = {"key_file": str(now), "old_key_file": str(old)}
        with Machine(place, "running-a", encrypt) as m:
            m.open()
            fill(m)
            now.write_text(key_file("running-new.key").read_text())
            m.saved()
            equal(m.remote()["key"], Key(now.read_text()).id, "the new key is shown")
            digest = m.digest()
            m.stop()
        now.chmod(0o640)
        with Machine(place, "running-a", encrypt) as m:
            m.refused("0640")
            now.chmod(0o600)
            m.saved()
            equal((m.digest(), m.remote()["pending"]["count"]), (digest, 0), "the same remote as before")
            m.stop()
        with Machine(place, "running-b", {"key_file": str(now)}) as m:
            m.open()
            equal(m.digest(), digest, "all of it is under the new key")
            m.stop()


@test
def adding_a_remote_tries_the_key():
    with Branch("tries") as place:
        key, url = key_file("tries.key"), place.remote()["url"]
        with Machine(place, "tries-a", {"key_file": str(key)}) as m:
            m.open()
            fill(m)
            m.stop()
        at = TOP / "tries.db"
        refused = run("remote", "add", "host", url, at=at)
        equal(refused.status, 3, f"an encrypted place without a key: {refused}")
        check(Key(key.read_text()).id.encode() in refused.err, f"which is named: {refused}")
        refused = run("remote", "add", "host", url, "--key-file", key_file("tries-other.key"), at=at)
        equal(refused.status, 3, f"with another key: {refused}")
        added = run("remote", "add", "host", url, "--key-file", key, at=at)
        equal(added.status, 0, f"with its key: {added}")
        equal(run("sync", "host", "--wait", at=at).status, 0, "a run")
        equal(json.loads(run("get", NAME, at=at).out), {"secret": VALUE}, "a document")


@test
def versions_of_the_past_are_opened():
    with Branch("past") as place:
        key = key_file("past.key")
        with Machine(place, "past-a", {"key_file": str(key)}) as m:
            m.open()
            for n in range(3):
                m.put(NAME, {"n": n})
                m.saved()
            listed = m.client.get(f"/docs/{NAME}/versions?remote=away").json()["items"]
            equal(len(listed), 3, f"what the place has: {listed}")
            check(NAME not in json.dumps(listed), "its name is not there")
            for n, item in enumerate(reversed(listed)):
                got = m.client.get(f"/docs/{NAME}?remote=away&version={item['id']}")
                equal(got.json(), {"n": n}, f"a version: {got}")
            oldest = listed[-1]["id"]
            equal(m.client.post(f"/docs/{NAME}/revert", {"remote": "away", "version": oldest}).status, 200, "back to the first")
            equal(m.client.get(f"/docs/{NAME}").json(), {"n": 0}, "it is the document")
            m.stop()


@test
def keys_on_the_command_line():
    path = key_file("cli.key")
    id = Key(path.read_text()).id
    equal(run("key", "id", path).out.decode().strip(), id, "its id")
    equal(run("key", "new", path).status, 3, "never over another")
    equal(Key(path.read_text()).id, id, "which is what it was")
    equal(path.stat().st_mode & 0o777, 0o600, "for its owner alone")
    place = TOP / "cli"
    place.mkdir()
    at = TOP / "cli.db"
    equal(run("put", NAME, at=at, stdin=VALUE.encode().join((b'"', b'"'))).status, 0, "a document")
    added = run("remote", "add", "usb", f"dir:{place}", "--manual", "--key-file", path, at=at)
    equal(added.status, 0, f"added: {added}")
    done = run("sync", "usb", "--wait", at=at)
    equal(done.status, 0, f"pushed: {done}")
    check(NAME.encode() not in b"".join(p.read_bytes() for p in place.rglob("*") if p.is_file()), "sealed")
    shown = run("remote", "show", "usb", at=at)
    equal(json.loads(shown.out).get("key"), id, f"what is shown: {shown}")
    check(f"encrypted, key {id}".encode() in run("remote", "ls", at=at).out, "and listed")
    equal(run("verify", "--deep", at=at).status, 0, "verified")
    path.chmod(0o640)
    refused = run("remote", "add", "usb2", f"dir:{place}", "--key-file", path, at=at)
    equal(refused.status, 3, f"a key that others may read: {refused}")
    refused = run("remote", "add", "usb2", f"dir:{place}", "--key-env", "ab" * 32, at=at)
    equal(refused.status, 2, f"a key is no argument: {refused}")
    check("abab" not in refused.err.decode(), "and not repeated")


def archive(n):
    """A store with documents, and the key of its backups."""
    at = TOP / f"backup-{n}.db"
    equal(run("put", NAME, at=at, stdin=json.dumps(VALUE).encode()).status, 0, "a document")
    equal(run("put", "b.json", at=at, stdin=b'"' + b"x" * 200000 + b'"').status, 0, "a large one")
    return at, key_file(f"backup-{n}.key")


@test
def a_backup_is_encrypted_and_restored():
    at, key = archive("a")
    made = TOP / "a.zip.sealed"
    equal(run("backup", made, "--key-file", key, at=at).status, 0, "a backup")
    sealed = made.read_bytes()
    check(VALUE.encode() not in sealed and NAME.encode() not in sealed and b"PK" != sealed[:2], "nothing is to be seen")
    plain = TOP / "a.zip"
    plain.write_bytes(Key(key.read_text()).open_file(sealed))
    names = subprocess.run([sys.executable, "-m", "zipfile", "-l", str(plain)], capture_output=True, text=True)
    check("manifest.ndjson" in names.stdout, f"a ZIP is in it: {names}")
    digest = run("digest", at=at).out.split()[0]
    back = TOP / "a-back.db"
    for name, words in (("none", []), ("other", ["--key-file", key_file("backup-other.key")])):
        refused = run("restore", made, *words, at=back)
        equal(refused.status, 3, f"with the key {name}: {refused}")
        check(Key(key.read_text()).id.encode() in refused.err, f"the key is named: {refused}")
    refused = run("restore", plain, "--key-file", key, at=back)
    equal(refused.status, 11, f"what is not encrypted is not what was made with the key: {refused}")
    for cut in (0, 1, 60, 100, len(sealed) // 2, len(sealed) - 1):
        spoiled = TOP / "spoiled"
        spoiled.write_bytes(sealed[:cut])
        check(run("restore", spoiled, "--key-file", key, at=back).status in (9, 11), f"cut at {cut}")
        if cut:
            spoiled.write_bytes(sealed[:cut] + bytes([sealed[cut] ^ 1]) + sealed[cut + 1:])
            check(run("restore", spoiled, "--key-file", key, at=back).status in (3, 9, 11, 12), f"flipped at {cut}")
    equal(len(run("ls", at=back).out.splitlines()), 1, "nothing was changed")
    done = run("restore", made, "--key-file", key, at=back)
    equal(done.status, 0, f"restored: {done}")
    equal(run("digest", at=back).out.split()[0], digest, "the same documents")
    left = [p.name for p in (TOP / "a-back.db.d").rglob("*") if p.name.startswith(".tmp-")] if (TOP / "a-back.db.d").exists() else []
    equal(left, [], "no plain copy is left")


@test
def scheduled_backups_are_encrypted_and_proved():
    _, key = archive("s")
    to, data = TOP / "sealed-backups", TOP / "sealed-data"
    to.mkdir()
    config = json.dumps({"backup": {"to": f"dir:{to}", "every": "1s", "keep": 2, "key_file": str(key)}})
    with Server(data, config=config) as server:
        client = server.client()
        equal(client.put(f"/docs/{NAME}", json.dumps(VALUE).encode()).status, 201, "a document")

        def drilled():
            b = client.get("/status").json()["backups"]
            return b if b and b["drill"] and b["drill"]["compared"] and b["drill"]["good"] else None

        proved = wait_for(drilled, 20)
        check(proved["last"]["file"].endswith(".zip.sealed"), f"its name: {proved}")
        wait_for(lambda: len(list(to.glob("default-*.zip.sealed"))) >= 2, 20)
        client.put("/docs/later", b"1")
        wait_for(lambda: drilled()["last"]["docs"] == 2, 20)
        wait_for(lambda: len(list(to.iterdir())) <= 3, 20)
        for path in to.glob("default-*"):
            check(VALUE.encode() not in path.read_bytes() and path.name.endswith(".sealed"), f"{path.name} is encrypted")
        key.rename(TOP / "away.key")
        failed = wait_for(lambda: (lambda b: b if b["last_error"] else None)(client.get("/status").json()["backups"]), 20)
        equal(failed["last_error"]["code"], "key_needed", f"without the key: {failed}")
        (TOP / "away.key").rename(key)
        wait_for(lambda: not client.get("/status").json()["backups"]["last_error"], 20)
        answer = client.get("/backup?key_file=" + str(key))
        equal((answer.status, answer.body[:14]), (200, b'{"keepfast":"s'), "over HTTP")
        equal(client.get("/backup?key_file=key").code, "bad_filter", "a whole path")
        equal(client.get("/backup?key_file=/none").code, "key_needed", "a key that is there")
        again = client.post("/restore?replace=true&key_file=" + str(key), answer.body, headers={"Content-Type": "application/octet-stream"})
        equal(again.status, 200, f"and back: {again}")
        client.close()
        equal(server.stop(), 0, "its end")


main()
