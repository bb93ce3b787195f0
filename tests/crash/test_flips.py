#!/usr/bin/env python3
# test: timeout=240
"""Flipped bits, from outside: in objects and the manifest of a `dir` remote, in backups, in the database file and in its log.

A flip is found by whoever reads what it is in, with the right code; it is never served as good and never guessed over, and the
rest stays readable. `verify --deep` writes a damaged object again from the whole copy in the store. What SQLite and Keepfast can
both not know (unused bytes of a page, the tail of a log behind a bad frame) must leave documents exactly as they were once
acknowledged. The control is a program that compares no hash: each of the tests must fail on it.
"""

import os
import random
import shutil
import sqlite3
import sys
import urllib.parse
import zipfile
from contextlib import closing
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
from crash import LONG, RNG, SEED, kfcheck  # noqa: E402
from keepfast import Server, folder, run, state, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TOP = folder()
MANY = 20 if LONG else 1
NAMES = ["a", "b/c", "Zażółć.json", "con.txt", *(f"docs/{n:02}.json" for n in range(36))]


class Served(AssertionError):
    """A flip went through as good."""


def text_of(name, n=1):
    rng = random.Random(f"{name} {n}")
    return ('{"n":%d,"text":"%s"}' % (n, "".join(rng.choices("abcdefgh żółw", k=rng.randrange(400))))).encode()


DOCS = {name: text_of(name) for name in NAMES}


def quoted(name):
    return "/docs/" + "/".join(urllib.parse.quote(s, safe="") for s in name.split("/"))


def filled(data, remotes=None, env=None):
    """A server whose space `default` holds DOCS, some with older versions; pushed."""
    config = f"spaces:\n  default:\n    remotes:\n      usb: {{ url: \"dir:{remotes}\", manual: true }}\n" if remotes else None
    if remotes:
        remotes.mkdir(mode=0o700)
    server = Server(data, config=config, env=env)
    client = server.client()
    for n, name in enumerate(NAMES):
        if n % 3 == 0:
            equal(client.put(quoted(name), text_of(name, 0)).status, 201, "an older version")
        check(client.put(quoted(name), DOCS[name]).status < 300, "a document")
    if remotes:
        equal(client.post("/remotes/usb/run?timeout=20s").status, 200, "pushed")
    return server, client


class Flip:
    """One bit of one file."""

    def __init__(self, path, at=None):
        self.path = Path(path)
        self.good = self.path.read_bytes()
        self.at = RNG.randrange(len(self.good) * 8) if at is None else at

    def __enter__(self):
        bad = bytearray(self.good)
        bad[self.at // 8] ^= 1 << self.at % 8
        self.path.write_bytes(bad)
        return self

    def undo(self):
        self.path.write_bytes(self.good)

    def __exit__(self, *_):
        self.undo()

    def __str__(self):
        return f"bit {self.at} of {self.path.name} (seed {SEED})"


def objects_of(remote):
    return sorted(p for p in Path(remote).rglob("*.json") if p.is_file())


# ---------------------------------------------------------------------------------- objects of a remote


def flipped_objects(remote, client, flips):
    """Each is found, told, and written again."""
    places = objects_of(remote)
    equal(len(places), len(NAMES), "objects")
    for n in range(flips):
        with Flip(places[n % len(places)]) as flip:
            answer = client.post("/verify?deep=true").json()
            if answer["good"]:
                raise Served(f"{flip} was found good")
            equal((answer["damaged"], answer["repaired"]), (1, 1), f"{flip}: {answer['report']}")
            check("does not match its hash; written again" in answer["report"][0], f"the report: {answer['report']}")
            equal(flip.path.read_bytes(), flip.good, f"{flip}: it is whole again")
    answer = client.post("/verify?deep=true").json()
    equal((answer["good"], answer["damaged"], answer["repaired"]), (True, 0, 0), "in the end")
    report = kfcheck.check_dir(str(remote))
    equal((report.findings, {n.decode(): t for n, t in report.docs.items()}), ([], DOCS), "the remote")


@test
def flipped_objects_are_found_and_written_again():
    remote = TOP / "usb"
    server, client = filled(TOP / "objects", remote)
    with server:
        flipped_objects(remote, client, 400 * MANY)
        # cut short, lengthened, emptied, exchanged, gone: several at once
        places = objects_of(remote)
        good = {p: p.read_bytes() for p in places}
        places[0].write_bytes(good[places[0]][:-1])
        places[1].write_bytes(good[places[1]] + b" ")
        places[2].write_bytes(b"")
        places[3].write_bytes(good[places[4]])
        places[5].unlink()
        places[6].unlink()
        places[6].symlink_to(places[7])
        done = run("verify", "--deep", "--json", at=TOP / "objects" / "default.db")
        equal((done.status, done.json()["damaged"], done.json()["repaired"]), (9, 6, 6), f"by command: {done}")
        equal({p: p.read_bytes() for p in places}, good, "all are whole again")
        done = run("verify", "--deep", at=TOP / "objects" / "default.db")
        equal(done.status, 0, f"and found good: {done}")
        # without a whole copy here it stays, and is told each time
        client.close()
        equal(server.stop(), 0, "its end")
    path = TOP / "objects" / "default.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE kf_doc_version SET body = '[9]' WHERE seq = (SELECT seq FROM kf_doc WHERE name = 'a')")
        db.commit()
    place = next(p for p in places if p.parent.name == "a")
    with Flip(place) as flip:
        bad = place.read_bytes()
        for _ in range(2):
            done = run("verify", "--deep", at=f"{path.parent}#default", env={"KEEPFAST_CONFIG": str(TOP / "objects.yaml")})
            equal(done.status, 9, f"{flip}: {done}")
            check(b"no whole copy" in done.out and b"2 damaged, 0 repaired" in done.err, f"{flip}: {done}")
            equal(place.read_bytes(), bad, "nothing was guessed over it")
    note(f"flips={400 * MANY} found={400 * MANY} written_again={400 * MANY} seed={SEED}")


@test
def a_new_machine_does_not_take_a_flip_for_good():
    """Thirty spaces are filled from thirty copies of one remote, each with one flip."""
    source, count = TOP / "source-usb", 30
    server, client = filled(TOP / "source", source)
    with server:
        client.close()
        server.stop()
    config, flips = "spaces:\n", []
    for n in range(count):
        copy = TOP / f"copy{n}"
        shutil.copytree(source, copy)
        places = objects_of(copy)
        flips.append(Flip(copy / "manifest.ndjson" if n % 3 == 2 else places[RNG.randrange(len(places))]).__enter__())
        config += f"  s{n}:\n    remotes:\n      usb: {{ url: \"dir:{copy}\" }}\n"
    server, failed = Server(TOP / "new", config=config), 0
    with server:
        for n, flip in enumerate(flips):
            client = server.client(f"s{n}")
            whole = n % 3 == 2
            wait_for(lambda: client.get("/remotes/usb").json()["last_error"], 10)
            equal(client.get("/remotes/usb").json()["last_error"]["code"], "bad_object", f"{flip}")
            lost = []
            for name, text in DOCS.items():
                answer = client.get(quoted(name))
                if answer.status == 200 and answer.body != text:
                    raise Served(f"{flip}: {name} was served")
                if answer.status != 200:
                    equal((answer.status, answer.code), (503, "not_hydrated"), f"{flip}: {name} failed to load, it is not absent")
                    lost.append(name)
            equal(len(lost), len(NAMES) if whole else 1, f"{flip}: what failed")
            answer = client.put(quoted(lost[0]), b"1")
            equal((answer.status, answer.code), (409, "load_failed"), f"{flip}: nobody writes over it unknowing")
            done = run("get", lost[0], at=f"unix:{server.socket}#s{n}")
            equal(done.status, 8, f"{flip}: by command: {done}")
            failed += len(lost)
            flip.undo()
            client.post("/remotes/usb/run?timeout=10s")
            wait_for(lambda: state(client) == "open", 20)
            for name, text in DOCS.items():
                equal(client.get(quoted(name)).body, text, f"{flip}, undone: {name}")
            client.close()
        equal(server.stop(), 0, "its end")
    note(f"filled={count} names_that_failed={failed}")


@test
def damage_of_the_store_is_not_passed_on():
    """A document that is damaged before it was pushed: the others are pushed, and the run says what is wrong until it is written anew."""
    path, remote = TOP / "passed.db", TOP / "passed-usb"
    remote.mkdir(mode=0o700)
    equal(run("remote", "add", "usb", f"dir:{remote}", "--manual", at=path).status, 0, "a remote")
    for name in NAMES[:9]:
        equal(run("put", name, "-", stdin=DOCS[name], at=path).status, 0, "a document")
    lost = NAMES[5]
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE kf_doc_version SET body = substr(body, 1, length(body) - 2) || 'x}' WHERE name = ?", (lost,))
        db.commit()
    for _ in range(2):
        done = run("sync", "usb", "--wait", at=path)
        equal(done.status, 9, f"it is not all there: {done}")
        check(lost in done.err.decode() and "damaged" in done.err.decode(), f"and why: {done}")
        report = kfcheck.check_dir(str(remote))
        equal((report.findings, {n.decode(): t for n, t in report.docs.items()}),
              ([], {n: DOCS[n] for n in NAMES[:9] if n != lost}), "whole, and all the others")
        pending = run("pending", "usb", "--json", at=path).json()["items"]
        check(lost in [p["name"] for p in pending], f"it is pending: {pending}")
    equal(run("get", lost, at=path).status, 9, "nor is it served")
    equal(run("put", lost, "-", stdin=DOCS[lost], at=path).status, 5, "nor written over unknowing")
    equal(run("put", lost, "-", "--if-match", "*", stdin=DOCS[lost], at=path).status, 0, "but knowing")
    equal(run("sync", "usb", "--wait", at=path).status, 0, "then all is there")
    equal(kfcheck.check_dir(str(remote)).docs, kfcheck.check_store(str(path)).docs, "in the end")


@test
def flipped_manifests_are_found_and_left():
    remote = TOP / "manifest-usb"
    server, client = filled(TOP / "manifest", remote)
    path, found, flips = remote / "manifest.ndjson", 0, 300 * MANY
    with server:
        good = path.read_bytes()
        for n in range(flips):
            with Flip(path) as flip:
                bad = path.read_bytes()
                answer = client.post("/verify?deep=true")
                equal(answer.status, 200, f"{flip}: {answer}")
                answer = answer.json()
                if answer["good"]:
                    raise Served(f"{flip} was found good")
                equal((answer["damaged"], answer["repaired"]), (1, 0), f"{flip}: {answer['report']}")
                check("manifest" in answer["report"][0], f"{flip}: {answer['report']}")
                found += 1
                if n % 10 == 0:
                    client.put("/docs/more", b"%d" % n)
                    answer = client.post("/remotes/usb/run?timeout=10s")
                    equal((answer.status, answer.code), (503, "level_unavailable"), f"{flip}: a push onto it")
                    equal(client.get("/remotes/usb").json()["last_error"]["code"], "bad_object", f"{flip}: why")
                equal(path.read_bytes(), bad, f"{flip}: nothing was guessed over it")
        equal(run("verify", "--deep", at=server.data / "default.db").status, 0, "undone")
        equal(client.post("/remotes/usb/run?timeout=10s").status, 200, "and pushed onto")
        check(path.read_bytes() != good, "what was pending is there")
        client.close()
        server.stop()
    note(f"flips={flips} found={found}")


# ------------------------------------------------------------------------------------------ backups


def content_of(archive):
    """Where in the archive the bytes of files stand."""
    places = []
    with zipfile.ZipFile(archive) as z:
        for info in z.infolist():
            with open(archive, "rb") as f:
                f.seek(info.header_offset + 26)
                name_len, extra_len = (int.from_bytes(f.read(2), "little") for _ in range(2))
            start = info.header_offset + 30 + name_len + extra_len
            places += range(start, start + info.compress_size)
    return places


def flipped_backups(archive, client, digest, flips, places):
    """Refused, nothing changed; or the bit means nothing, and exactly the same comes back."""
    refused, codes = 0, {}
    for n in range(flips):
        with Flip(archive, None if n % 2 else RNG.choice(places) * 8 + RNG.randrange(8)) as flip:
            answer = client.post("/restore?replace=true", archive.read_bytes(), headers={"Content-Type": "application/zip"})
        if answer.status == 200:
            if answer.json()["digest"] != digest:
                raise Served(f"{flip} was restored")
        else:
            check((answer.status, answer.code) in ((422, "incomplete"), (422, "bad_archive")), f"{flip}: {answer}")
            codes[answer.code] = codes.get(answer.code, 0) + 1
            refused += 1
        equal(client.get("/digest").json()["digest"], digest, f"{flip}: what is there afterwards")
    return refused, codes


@test
def flipped_backups_are_refused():
    server, client = filled(TOP / "backups")
    archive, flips = TOP / "b.zip", 300 * MANY
    with server:
        equal(run("backup", archive, at=server.data / "default.db").status, 0, "a backup")
        digest = client.get("/digest").json()["digest"]
        refused, codes = flipped_backups(archive, client, digest, flips, content_of(archive))
        exits = {}
        for _ in range(20):
            with Flip(archive):
                done = run("restore", archive, "--replace", at=server.data / "default.db")
            exits[done.status] = exits.get(done.status, 0) + 1
        check(set(exits) <= {0, 9, 11} and exits.get(9, 0) + exits.get(11, 0) >= 10, f"exits: {exits}")
        for name, text in DOCS.items():
            equal(client.get(quoted(name)).body, text, name)
        client.close()
        server.stop()
    note(f"flips={flips} refused={refused} {codes} the_rest_came_back_exactly={flips - refused} exits={exits}")
    check(refused >= flips * 7 // 10 and len(codes) == 2, "bits that mean something")


# ------------------------------------------------------------------------------ the database and its log


@test
def flipped_pages_of_the_database():
    server, client = filled(TOP / "pages", TOP / "pages-usb")
    with server:
        client.close()
        equal(server.stop(), 0, "its end")
    good = (TOP / "pages" / "default.db").read_bytes()
    digest = kfcheck.check_store(str(TOP / "pages" / "default.db")).digest
    # Most of a store this small are pages with hardly a row: three flips of four hit what is not zero.
    filled_bytes = [at for at, byte in enumerate(good) if byte]
    found = served = failed = unopened = unknown = 0
    rounds, spaces = 10 * MANY, 40
    for n in range(rounds):
        data = TOP / f"pages{n}"
        data.mkdir(mode=0o700)
        flips = []
        for k in range(spaces):
            path = data / f"s{k}.db"
            path.write_bytes(good)
            flips.append(Flip(path, RNG.choice(filled_bytes) * 8 + RNG.randrange(8) if k % 4 else None).__enter__())
            path.chmod(0o600)
        with Server(data) as server:
            for k, flip in enumerate(flips):
                client = server.client(f"s{k}")
                answer = client.post("/verify?deep=true")
                if answer.status != 200:  # it is no store of ours any more, or of a later format
                    check((answer.status, answer.code) in ((500, "damaged"), (503, "format_too_new"), (400, "config")),
                          f"{flip}: {answer}: {server.stderr()[-500:]}")
                    unopened += 1
                    client.close()
                    continue
                is_good = answer.json()["good"]
                found += not is_good
                for name, text in DOCS.items():
                    answer = client.get(quoted(name))
                    if answer.status == 200:
                        if answer.body != text:
                            raise Served(f"{flip}: {name}: {answer}")
                        served += 1
                        continue
                    check(not is_good, f"{flip}: verify finds nothing, {name} cannot be read: {answer}")
                    check((answer.status, answer.code) in ((500, "damaged"), (404, "not_found")), f"{flip}: {name}: {answer}")
                    failed += 1
                if is_good:
                    equal(client.get("/digest").json()["digest"], digest, f"{flip}: verify finds nothing")
                    report = kfcheck.check_store(str(flip.path))
                    # The log of runs is for people: a letter of it may flip unseen.
                    if [finding for finding in report.findings if not finding.startswith(("run ", "set aside "))]:
                        note(f"{flip}: verify finds nothing, {report.findings[:2]}")
                        unknown += 1
                client.close()
            check(server.stop() == 0, "it lives through all of them")
        shutil.rmtree(data)
    note(f"flips={rounds * spaces} found={found} refused_to_open={unopened} read={served} could_not_be_read={failed}")
    equal(unknown, 0, "found by the checker alone")
    check(found >= rounds * spaces // 4 and served > failed, "flips that meant something, and documents beside them")


@test
def flipped_bits_of_the_log():
    """A bad frame ends the log: what was written before it is there, what came behind is as if it never came; nothing is made up."""
    server, client = filled(TOP / "log")
    with server:
        client.close()
        equal(server.kill(), -9, "killed, so that its log is left")
    path = TOP / "log" / "default.db"
    files = {tail: Path(f"{path}{tail}").read_bytes() for tail in ("", "-wal")}
    allowed = {name: {text, text_of(name, 0)} for name, text in DOCS.items()}
    order = NAMES
    rounds, spaces, cut, whole = 5 * MANY, 40, 0, 0
    for n in range(rounds):
        data = TOP / f"log{n}"
        data.mkdir(mode=0o700)
        flips = []
        for k in range(spaces):
            for tail, content in files.items():
                (data / f"s{k}.db{tail}").write_bytes(content)
                (data / f"s{k}.db{tail}").chmod(0o600)
            flips.append(Flip(data / f"s{k}.db-wal").__enter__())
        with Server(data) as server:
            for k, flip in enumerate(flips):
                client = server.client(f"s{k}")
                answers = [client.get(quoted(name)) for name in order]
                for name, answer in zip(order, answers):
                    if answer.status == 200 and answer.body not in allowed[name]:
                        raise Served(f"{flip}: {name}: {answer}")
                    check(answer.status in (200, 404), f"{flip}: {name}: {answer}")
                there = [a.status == 200 for a in answers]
                check(there == sorted(there, reverse=True), f"{flip}: a hole: {there}")
                if all(there):
                    whole += 1
                else:
                    cut += 1
                if any(there):
                    answer = client.post("/verify").json()
                    check(answer["good"], f"{flip}: what is left is sound: {answer}")
                client.close()
            equal(server.stop(), 0, "it lives through all of them")
        shutil.rmtree(data)
    note(f"flips={rounds * spaces} logs_cut_short={cut} logs_whole={whole}")
    check(cut >= rounds * spaces // 2, "flips that meant something")


# ------------------------------------------------------------------------------------------ control


@test
def saboteur_skip_hash_check_is_found():
    remote = TOP / "sabotage-usb"
    server, client = filled(TOP / "sabotage", remote, env={"KF_SABOTAGE": "skip-hash-check"})
    with server:
        try:
            flipped_objects(remote, client, 5)
        except Served as found:
            note(f"found: {found}")
            return
    raise AssertionError("a program that compares no hash was not found out")


main()
