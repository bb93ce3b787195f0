#!/usr/bin/env python3
# test: timeout=300
"""Streams at the places that last, through the program and from outside: what lies there, what a new machine gets back, what
comes of what people do there by hand, and where something of an erasure is left.

Files of streams are read by tests/checker/kfcheck.py, which has nothing of the program's.
"""

import json
import os
import re
import shutil
import sys
import threading
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests", "checker"))
import kfcheck  # noqa: E402
from githost import GitHost  # noqa: E402
from keepfast import Server, folder, run, state, wait_for  # noqa: E402
from tap import check, equal, main, test  # noqa: E402

TOP = folder()
SECRET = "ghp_" + "x7Kq" * 9


def key_file(name):
    path = TOP / name
    equal(run("key", "new", path).status, 0, "a new key")
    return path


class Dir:
    def __init__(self, name, **more):
        self.path, self.more = TOP / name, more
        self.path.mkdir()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def remote(self):
        return {"url": f"dir:{self.path}", "on_change": "1h"} | self.more

    def environment(self):
        return {}

    def everything(self):
        return b"\0".join(p.read_bytes() for p in sorted(self.path.rglob("*")) if p.is_file())

    def parts(self):
        """{name of a file of a stream: text}"""
        lines = kfcheck.read_manifest((self.path / "manifest.ndjson").read_bytes())
        return {line["doc"]: (self.path / os.fsdecode(kfcheck.object_path(line["doc"].encode(), line["hash"]))).read_bytes()
                for line in lines if line.get("doc", "").startswith("keepfast-streams/") and not line.get("deleted")}


class Branch:
    def __init__(self, name, **more):
        self.host, self.more = GitHost("path"), more
        self.host.make("store")

    def __enter__(self):
        self.host.__enter__()
        return self

    def __exit__(self, *words):
        self.host.__exit__(*words)

    def remote(self):
        return self.host.config("store", on_change="1h") | self.more

    def environment(self):
        return self.host.environment()

    def everything(self):
        names = self.host.at("store", "rev-list", "--objects", "--all")
        return names + b"\0".join(self.host.at("store", "cat-file", "-p", line.split()[0]) for line in names.decode().splitlines())

    def files(self):
        return self.host.files("store", "data")

    def parts(self):
        return {path: text for path, text in self.files().items() if path.startswith("keepfast-streams/")}

    def log(self):
        return self.host.log("store", "data")

    def commit(self, files):
        self.host.commit("store", "data", files, "by hand")


PLACES = {"dir": Dir, "git": Branch}


class Machine:
    def __init__(self, place, name, backup=None, wanted="open", **space):
        self.dir = TOP / name
        config = {"spaces": {"default": {"remotes": {"host": place.remote()}} | space}}
        if backup:
            config["backup"] = backup
        self.server = Server(self.dir, config=json.dumps(config), env=place.environment())
        self.client = self.server.client()
        self.at = f"http://{self.server.address}/default"
        wait_for(lambda: state(self.client) == wanted, 20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.server.__exit__()

    def append(self, key, *bodies, **more):
        answer = self.client.post(f"/streams/{key}/entries", [{"body": body, **more} for body in bodies])
        check(answer.status == 201, f"append: {answer}")

    def bodies(self, key):
        answer = self.client.get(f"/streams/{key}/entries?last=1000&limit=1000")
        return [e["body"] for e in answer.json()["items"]] if answer.status == 200 else answer.status

    def numbers(self, key):
        return [e["n"] for e in self.client.get(f"/streams/{key}/entries?last=1000&limit=1000").json()["items"]]

    def sync(self):
        return self.client.ask("POST", "/remotes/host/run?timeout=20s")

    def remote(self):
        return self.client.get("/remotes/host").json()

    def pushed(self):
        """Documents and entries that the last run has written, as the log of runs has it."""
        sums = self.client.get("/remotes/host/runs").json()["items"][0]["pushed"]
        return sums["docs"], sums["entries"]

    def digest(self):
        return self.client.get("/digest").json()["digest"]

    def aside(self):
        return self.client.get("/remotes/host/set-aside").json()["items"]

    def good(self):
        found = self.client.ask("POST", "/verify?deep=true").json()
        check(found["good"], f"verified: {found}")

    def throw_away(self):
        self.client.close()
        self.server.kill()
        shutil.rmtree(self.dir)


def story(kind, **more):
    """A place fills, is added to, and fills a new machine, which goes on."""
    with PLACES[kind](f"story-{kind}-{len(more)}", **more) as place:
        with Machine(place, f"{kind}-{len(more)}-a") as a:
            a.append("chat/1", {"text": "Zażółć"}, [1.0], kind="user")
            a.append("chat/1", "third", attach={"p": 1})
            a.client.patch("/streams/chat/1", {"customer": "canary-customer"})
            a.append("chat/2", *[{"i": i} for i in range(900)])
            a.append("chat/2", *[{"i": i} for i in range(900, 1500)])
            a.client.put("/docs/a.json", {"a": 1})
            equal(a.sync().status, 200, "a run")
            equal(a.pushed(), (1, 1503), "what it has written")
            equal(a.remote()["pending"]["count"], 0, "nothing is pending")
            a.append("chat/1", "canary-body")
            equal(a.sync().status, 200, "another run")
            equal(a.pushed(), (0, 1), "what that one has")
            before = a.digest()
            a.good()
            if more:
                check(b"canary" not in place.everything(), "nothing of it is to be read there")
            a.throw_away()
        with Machine(place, f"{kind}-{len(more)}-b") as b:
            equal(b.digest(), before, "a new machine holds the same")
            equal(b.bodies("chat/1"), [{"text": "Zażółć"}, [1.0], "third", "canary-body"], "as it was")
            check(b.numbers("chat/2") == list(range(501, 1501)), f"under their numbers: {b.numbers('chat/2')[:3]}")
            check(b.bodies("chat/2") == [{"i": i} for i in range(500, 1500)], "in their order")
            equal(b.client.get("/streams/chat/1").json()["attrs"], {"customer": "canary-customer"}, "with attributes")
            equal(b.client.get("/search?q=zazolc").json()["items"][0]["n"], 1, "which is found")
            equal(b.remote()["pending"]["count"], 0, "nothing is pending")
            b.append("chat/1", "fifth")
            equal((b.sync().status, b.numbers("chat/1")[-1]), (200, 5), "it goes on")
            b.good()
            after = b.digest()
        with Machine(place, f"{kind}-{len(more)}-c") as c:
            equal(c.digest(), after, "and another one has that, too")


@test
def a_folder():
    story("dir")


@test
def a_branch():
    story("git")


@test
def a_sealed_folder():
    story("dir", encrypt={"key_file": str(key_file("folder.key"))})


@test
def a_sealed_branch():
    story("git", encrypt={"key_file": str(key_file("branch.key"))})


@test
def a_folder_is_as_the_checker_reads_it():
    with Dir("checked") as place, Machine(place, "checked-a") as a:
        a.append("chat/1", *range(5), attach={"p": 1})
        a.append("con/%C5%BC/A", "mapped")
        a.client.post("/streams/chat/1/entries", b'{"body": {\n "x": 1.0 }}')
        a.client.patch("/streams/chat/1", {"customer": "k", "gone": 1})
        a.client.patch("/streams/chat/1", {"gone": None})
        a.append("chat/erased", 1, 2)
        a.sync()
        equal(a.client.delete("/streams/chat/erased").status, 200, "erased")
        a.client.put("/docs/a.json", {"a": 1})
        equal(a.sync().status, 200, "a run")
        report = kfcheck.check_dir(str(place.path))
        equal(report.findings, [], "the folder")
        equal(report.digest, a.digest(), "has the digest of the store")
        zip_file = TOP / "checked.zip"
        equal(run("backup", zip_file, at=a.at).status, 0, "a backup")
        report = kfcheck.check_zip(str(zip_file))
        equal(report.findings, [], "the backup")
        equal(report.digest, a.digest(), "has it, too")
        a.append("more", 1)
        check(kfcheck.check_zip(str(zip_file)).digest != a.digest(), "an entry more is another digest")


@test
def commits_say_what_is_in_them():
    with Branch("counts") as place, Machine(place, "counts-a") as a:
        a.append("chat/1", 1, 2, 3)
        a.append("chat/2", 1)
        a.client.put("/docs/a.json", {"a": 1})
        a.sync()
        equal(place.log()[0].subject, "Save 1 document, 4 entries: a.json, chat/1, chat/2", "what was saved")
        check("stream  chat/1 (3 new)" in place.log()[0].body, place.log()[0].body)
        count = len(place.log())
        before = place.parts()["keepfast-streams/chat/1/000000000001.ndjson"]
        a.append("chat/1", 4)
        a.sync()
        equal((len(place.log()), place.log()[0].subject), (count + 1, "Save 1 entry: chat/1"), "one commit for one push")
        check(place.parts()["keepfast-streams/chat/1/000000000001.ndjson"].startswith(before), "a part is only added to")
        a.client.patch("/streams/chat/1", {"customer": "k"})
        a.sync()
        equal(place.log()[0].subject, "Save streams: chat/1", "attributes")
        a.sync()
        equal(len(place.log()), count + 2, "no commit for nothing")
        a.append("chat/3", *range(1000))
        a.append("chat/3", *range(500))
        a.sync()
        equal(place.log()[0].subject, "Save 1500 entries: chat/3", "many")
        equal(sorted(p for p in place.parts() if "chat/3" in p),
              ["keepfast-streams/chat/3/000000000001.ndjson", "keepfast-streams/chat/3/000000001001.ndjson"], "in closed parts")
        closed = place.host.at("store", "rev-parse", "data:keepfast-streams/chat/3/000000000001.ndjson")
        a.append("chat/3", "more")
        a.sync()
        equal(place.host.at("store", "rev-parse", "data:keepfast-streams/chat/3/000000000001.ndjson"), closed, "which stay as they are")
        for name, text in place.parts().items():
            kfcheck.read_stream_file(name.encode(), text)
        equal(place.host.fsck("store"), [], "a strict check of the repository")


def spoiled(text):
    return text.replace(b'"body":2}', b'"body":3 }')


@test
def what_is_spoiled_by_hand_is_left_and_the_rest_goes_on():
    with Branch("spoiled") as place:
        with Machine(place, "spoiled-a") as a:
            a.append("chat/1", 1, 2, 3)
            a.append("chat/2", "good")
            a.sync()
            part = "keepfast-streams/chat/1/000000000001.ndjson"
            text = place.parts()[part]
            check(spoiled(text) != text, "there is something to spoil")
            place.commit({part: spoiled(text)})
            a.append("chat/1", 4)
            a.append("chat/2", "better")
            a.sync()
            equal(a.bodies("chat/1"), [1, 2, 3, 4], "nothing is lost here")
            equal([(i["kind"], i["name"]) for i in a.aside() if i["kind"] == "refused"], [("refused", part)], "it is told")
            parts = place.parts()
            equal(parts[part], spoiled(text), "what somebody did is left")
            equal(parts["keepfast-streams/chat/2/000000000001.ndjson"].count(b'"n":'), 2, "the rest went on")
            check(not run("verify", "--deep", at=a.at).status == 0, "verify tells of it")
        with Machine(place, "spoiled-b", wanted="hydrating") as b:
            wait_for(lambda: b.remote()["last_error"], 20)
            equal(b.bodies("chat/1"), 503, "a new machine guesses nothing")
            place.commit({part: text})
            b.sync()
            wait_for(lambda: state(b.client) == "open", 20)
            equal((b.bodies("chat/1"), b.bodies("chat/2")), ([1, 2, 3, 4], ["good", "better"]), "when it was put right, all comes in")


@test
def what_is_deleted_or_renamed_by_hand_comes_back():
    with Branch("deleted") as place:
        with Machine(place, "deleted-a") as a:
            a.append("chat/1", *range(1200))
            a.client.patch("/streams/chat/1", {"customer": "k"})
            a.sync()
            first = "keepfast-streams/chat/1/000000000001.ndjson"
            head = "keepfast-streams/chat/1/stream.ndjson"
            text = place.parts()[first]
            place.commit({first: None, head: None, "keepfast-streams/chat/renamed/000000000001.ndjson": text})
            equal(a.sync().status, 200, "a run")
            equal(a.bodies("chat/1"), list(range(200, 1200)), "deleting a file erases nothing")
            a.sync()
            digest = a.digest()
            equal(a.client.get("/streams/chat/1").json()["attrs"], {"customer": "k"}, "and attributes stay")
        with Machine(place, "deleted-b") as b:
            equal(b.digest(), digest, "a new machine has all of it")
            equal(b.client.get("/streams/chat/1").json()["count"], 1200, "once")
            check(b.numbers("chat/1") == list(range(201, 1201)), f"under its numbers: {b.numbers('chat/1')[:3]}")
            check(b.bodies("chat/1") == list(range(200, 1200)), "and in its order")


@test
def secrets_stay_here():
    with Branch("secrets") as place, Machine(place, "secrets-a") as a:
        a.append("chat/1", 1)
        a.append("chat/1", {"token": SECRET})
        a.append("chat/1", 3)
        a.client.patch("/streams/chat/2", {"customer": "k", "token": SECRET})
        a.sync()
        check(SECRET.encode() not in place.everything(), "a secret does not leave")
        text = place.parts()["keepfast-streams/chat/1/000000000001.ndjson"]
        equal([json.loads(line)["n"] for line in text.splitlines()[1:]], [1, 3], "the others do")
        check(b'"customer"' in place.parts()["keepfast-streams/chat/2/stream.ndjson"], "and other attributes")
        equal(sorted(i["name"] for i in a.aside()), ["keepfast-streams/chat/1/entries/2", "keepfast-streams/chat/2/stream.ndjson"], "it is told")
        check(a.remote()["pending"]["count"] > 0, "and pending")


@test
def a_file_that_the_host_refuses_holds_up_nothing_else():
    with Branch("large") as place, Machine(place, "large-a") as a:
        place.host.reject_larger_than("store", 200_000)
        a.append("chat/small", 1)
        a.append("chat/large", "x" * 300_000)
        a.client.put("/docs/a.json", 1)
        a.sync()
        parts = place.parts()
        check("keepfast-streams/chat/small/000000000001.ndjson" in parts, f"the others are there: {list(parts)} {a.remote()}")
        check("a.json" in place.files(), "and documents")
        check(not any("large" in path for path in parts), "that one is not")
        equal(a.pushed(), (1, 1), "each counted once, however the set was divided")
        check(any("chat/large" in i["name"] for i in a.aside()), f"it is told: {a.aside()}")
        place.host.hook("store", "pre-receive", "")
        run("set-aside", "retry", "host", at=a.at)
        a.sync()
        check(any("large" in path for path in place.parts()), "and there when the host takes it")
        equal(a.remote()["pending"]["count"], 0, "nothing is left")


def held(receipt):
    return {h.get("remote", "backups"): h for h in receipt["held"]}


@test
def an_erasure_reaches_places_and_says_what_is_left():
    backups = TOP / "backups"
    backups.mkdir()
    with Branch("erased") as place:
        with Machine(place, "erased-a", backup={"to": f"dir:{backups}", "every": "1h", "keep": 3}) as a:
            a.append("chat/1", *[f"canary-{i}" for i in range(1100)])
            a.client.patch("/streams/chat/1", {"customer": "canary-k"})
            a.append("chat/2", "stays")
            a.sync()
            wait_for(lambda: a.client.get("/status").json()["backups"]["last"], 30)
            answer = a.client.delete("/streams/chat/1")
            equal(answer.status, 200, f"erased: {answer}")
            left = held(answer.json())
            equal((left["host"]["kind"], left["host"]["state"]), ("git", "pending"), "the remote has not confirmed yet")
            check("commits" in left["host"]["still"], "and its history has it")
            check("backups made before" in left["backups"]["still"], "as backups have")
            a.sync()
            equal(held(a.client.delete("/streams/chat/1").json())["host"]["state"], "confirmed", "now it has")
            sums = a.client.get("/remotes/host/runs").json()["items"][0]["pushed"]
            check(sums["docs"] == sums["entries"] == 0 and sums["files"] >= 2, f"files are removed: {sums}")
            check(re.search(rf"(change|asked) +{sums['files']} files ", run("runs", at=a.at).out.decode()), f"people read so: {run('runs', at=a.at)}")
            tip = b"".join(place.files().values())
            check(b"canary" not in tip, "nothing of it is in the branch")
            check(b"canary" in place.everything(), "but in its history")
            check(b"stays" in tip, "the other one is")
            a.append("chat/3", "canary-3")
            a.client.patch("/streams/chat/3", {"customer": 3})
            a.append("chat/4", "canary-4")
            a.sync()
            equal(a.pushed(), (0, 2), "what the log of runs counts")
            check("pushed=0 pushed_entries=2 " in a.server.stderr(), "as the server's log does")
            answer = a.client.delete("/people/customer/3?wait=host&timeout=30s")
            equal((answer.status, answer.headers["Keepfast-Ack"]), (200, "remote"), f"erased, and waited for: {answer}")
            equal((held(answer.json())["host"]["state"], answer.json()["again"]), ("confirmed", False), "so the receipt says")
            answer = a.client.delete("/people/customer/3?wait=host")
            equal((answer.headers["Keepfast-Ack"], answer.json()["again"]), ("remote", True), "once more")
            said = run("stream", "rm", "chat/4", "--yes", "--wait", "host", at=a.at)
            check("(confirmed)" in said.err.decode(), f"from the command line: {said}")
            check(b"canary" not in b"".join(place.files().values()), "neither is there")
            equal(a.client.delete("/people/customer/3?wait=none").code, "unknown_remote", "a remote that is none")
            equal(a.client.delete("/people/customer/3?wait=host", headers={"Idempotency-Key": "k"}).code, "bad_request", "nor is there a key")
            stop, appender = threading.Event(), a.server.client()

            def append_on():
                while not stop.is_set():
                    appender.post("/streams/busy/entries", {"body": 1})

            beside = threading.Thread(target=append_on)
            beside.start()
            a.append("chat/5", "canary-5")
            answer = a.client.delete("/streams/chat/5?wait=host&timeout=30s")
            stop.set()
            beside.join()
            equal((answer.headers["Keepfast-Ack"], held(answer.json())["host"]["state"]), ("remote", "confirmed"), "beside appends, too")
            a.append("chat/6", "canary-6")
            place.host.hook("store", "pre-receive", "exit 1")
            answer = a.client.delete("/streams/chat/6?wait=host&timeout=1s")
            receipt = a.client.get("/receipts").json()["items"][0]["id"]
            check(answer.code in ("level_unavailable", "remote_refused") and f"it is erased here (receipt {receipt})" in answer.json()["detail"], f"not there yet: {answer}")
            equal(a.client.get("/streams/chat/6").status, 404, "it is gone all the same")
            place.host.hook("store", "pre-receive", "")
            a.client.delete("/streams/busy")
            a.sync()
            equal(a.client.delete("/people/customer/3").headers["Keepfast-Ack"], "disk", "nothing is waited for")
        with Machine(place, "erased-b") as b:
            equal(b.client.get("/streams/chat/1").status, 404, "it does not come back")
            taken = b.client.get("/runs").json()["items"][-1]["taken"]
            equal((taken["docs"], taken["entries"]), (0, 1), "one entry was taken in")
            check("docs=0 entries=1" in b.server.stderr(), "and the log says so")
            equal(b.bodies("chat/2"), ["stays"], "the other one does")


@test
def an_import_waits_for_places():
    said = {"a": {"conversations": [{"user_message": "x", "ai_response": "y"}]}}
    path = TOP / "persona_memory.json"
    path.write_text(json.dumps(said))
    with Branch("imported") as place, Machine(place, "imported-a") as a:
        for again in range(2):
            answer = a.client.post("/import?file=persona_memory.json&wait=host&timeout=30s", said)
            equal((answer.status, answer.headers["Keepfast-Ack"], answer.json()["added"]), (200, "remote", 0 if again else 2), f"waited for: {answer}")
        equal(a.remote()["pending"]["count"], 0, "it is there")
        equal(a.client.post("/import?file=persona_memory.json&wait=none", said).code, "unknown_remote", "a remote that is none")
        said["a"]["conversations"].append({"user_message": "more", "ai_response": "words"})
        path.write_text(json.dumps(said))
        done = run("import", path, "--wait", "host", at=a.at)
        equal((done.status, a.remote()["pending"]["count"]), (0, 0), f"from the command line: {done}")
        check(b"words" in b"".join(place.files().values()), "the host has it")
        place.host.hook("store", "pre-receive", "exit 1")
        said["a"]["conversations"].append({"user_message": "late", "ai_response": "later"})
        path.write_text(json.dumps(said))
        done = run("import", path, "--wait", "host", "--timeout", "1s", at=a.at)
        check(done.status == 6 and str(path) in done.err.decode(), f"not there yet: {done}")
        check("later" in json.dumps(a.client.get("/export?file=persona_memory.json").json()), "taken in all the same")
        place.host.hook("store", "pre-receive", "")


@test
def an_erasure_says_what_was_set_aside():
    data, archive = TOP / "aside", TOP / "aside.zip"
    with Server(data) as server:
        c = server.client("default")
        c.post("/streams/chat/1/entries", {"body": "canary"})
        archive.write_bytes(c.get("/backup").body)
        kept = c.post("/restore?replace=true", archive.read_bytes(), headers={"Content-Type": "application/zip"}).json()["kept_as"]
        rescued = data / "default.db.rescue-2026-01-01T00.00.00Z"
        rescued.write_bytes(b"canary")
        (data / "default.db.rescue-2026-01-01T00.00.00Z-wal").write_bytes(b"belongs to it")
        (data / "default.db.beforehand").write_bytes(b"is none")
        left = c.delete("/streams/chat/1").json()["held"]
        equal(sorted((h["file"], h["kind"], h["state"]) for h in left), sorted([(Path(kept).name, "aside", "kept"), (rescued.name, "aside", "kept")]),
              "both files")
        check(b"canary" in Path(kept).read_bytes(), "it is true")
        said = run("stream", "rm", "chat/1", "--yes", at=data)
        check(f"may still be at {Path(kept).name}: what the store held before a restore" in (said.err + said.out).decode(), f"people read it: {said}")


@test
def a_damaged_part_of_a_folder_is_written_again():
    with Dir("damaged") as place, Machine(place, "damaged-a") as a:
        a.append("chat/1", 1, 2, attach="with it")
        a.client.patch("/streams/chat/1", {"k": 1})
        a.sync()
        before = kfcheck.check_dir(str(place.path)).digest
        for path in place.path.rglob("*.ndjson"):
            if path.name == "manifest.ndjson":
                continue
            path.chmod(0o600)
            path.write_bytes(path.read_bytes()[:-9])
        found = a.client.ask("POST", "/verify?deep=true").json()
        equal((found["good"], found["damaged"], found["repaired"]), (False, 2, 2), f"found and mended: {found}")
        report = kfcheck.check_dir(str(place.path))
        equal((report.findings, report.digest), ([], before), "as it was")
        a.good()


main()
