#!/usr/bin/env python3
# test: timeout=180
"""Scheduled backups and the restore drill, from outside: a server with a short `every`, real files, clocks that are turned, a
folder that is missing, a disk that is full, kill -9 in the midst, a newest backup that is damaged or another one's.

What a backup must hold is known to the test, and read by tests/checker/kfcheck.py, which shares no code with the program."""

import concurrent.futures
import glob
import os
import random
import shutil
import sys
import threading
import time
from pathlib import Path

TOP_DIR = os.environ["KF_TOP"]
sys.path.insert(0, os.path.join(TOP_DIR, "tests", "crash"))
sys.path.insert(0, os.path.join(TOP_DIR, "tests", "checker"))
import disk  # noqa: E402

disk.own_namespace()

import keepfast  # noqa: E402
import kfcheck  # noqa: E402
from keepfast import Server, folder, run, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

keepfast.PROGRAM = os.path.join(os.environ["KF_BUILD"], "keepfast")  # with situations and saboteurs
TOP = folder()
LIBRARY = (glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1") or [""])[0]
STRANGERS = ("default.zip", "default-2026-11-21.zip", "other-2020-01-01T00.00.00Z.zip", "default-2020-01-01T00.00.00Z.zip.bak",
             "default-2020-01-01T00:00:00Z.zip", ".other-2020-01-01T00.00.00Z.zip.part", "notes.txt")


class Place:
    """A server's data, and the folder of its backups."""

    def __init__(self, name, every="1s", keep=3, to=None):
        self.data, self.to = TOP / name, Path(to or TOP / f"{name}-backups")
        self.data.mkdir(mode=0o700)
        if to is None:
            self.to.mkdir()
        self.config = f'backup: {{ to: "dir:{self.to}", every: {every}, keep: {keep} }}\n'
        self.side = self.data / "default.db.d"

    def server(self, shift="", sabotage="", **kw):
        env = {"KF_SABOTAGE": sabotage} if sabotage else {}
        if shift:
            check(LIBRARY, "libfaketime is installed")
            env |= {"LD_PRELOAD": LIBRARY, "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
        return Server(self.data, self.config, env=env, **kw)

    def files(self, space="default"):
        return sorted(p.name for p in self.to.glob(f"{space}-????-??-??T??.??.??Z*.zip"))

    def parts(self):
        return sorted(p.name for p in self.to.glob(".*.part"))


def backups(client):
    return client.get("/status").json()["backups"]


def metric(client, name):
    for line in client.ask("GET", "/metrics", raw=True).body.decode().splitlines():
        if line.startswith(f'{name}{{space="default"}} '):
            return int(line.split()[-1])
    raise AssertionError(f"{name} is no figure")


def durable(client):
    return client.ask("GET", "/durablez", raw=True)


def drilled(client, good=True, but=""):
    """Waits for a drill of the last backup; another file than `but`."""

    def look():
        b = backups(client)
        d = b["drill"]
        return b if d and d["good"] == good and d["file"] != but and (not good or b["last"] and d["file"] == b["last"]["file"]) else None

    return wait_for(look, 20)


def whole(path, what):
    report = kfcheck.check_zip(str(path))
    equal(report.findings, [], what)
    return report


@test
def they_are_made_proved_and_pruned():
    place = Place("usual")
    for name in STRANGERS:
        (place.to / name).write_text("a stranger's")
    with place.server() as server:
        client = server.client()
        client.put("/docs/a.json", b'{"n": 1.0}')
        client.put("/docs/b/c.json", b'["\xc5\xbc"]')
        first = drilled(client)
        equal((first["drill"]["good"], first["drill"]["compared"], first["drill"]["docs"], first["last"]["docs"]), (True, True, 2, 2), "a drill")
        equal(first["drill"]["digest"], first["last"]["digest"], "digests")
        equal(first["last"]["digest"].encode(), run("digest", "--at", f"unix:{server.socket}#default").out.split()[0], "it is the store's")
        equal((first["failures"], first["last_error"], first["overdue_since"]), (0, None, None), "no failure")
        seen = set()
        wait_for(lambda: seen.update(place.files()) or len(seen) >= 6, 20)
        client.put("/docs/a.json", b"2")
        wait_for(lambda: backups(client)["last"]["digest"] != first["last"]["digest"])  # what was written is in the next
        drilled(client)
        wait_for(lambda: len(place.files()) <= 3)
        check(metric(client, "keepfast_backup_seconds") >= time.time() - 10, "the figure of its age")
        equal((metric(client, "keepfast_backup_drill_good"), metric(client, "keepfast_backup_failures")), (1, 0), "figures")
        equal(durable(client).status, 200, "durable")
        told = run("status", "--at", f"unix:{server.socket}#default").out.decode()
        check("Last backup: " in told and "Restore drill: " in told and "digest equal" in told, f"status tells: {told}")
        client.close()
        equal(server.stop(), 0, "its end")
    for name in STRANGERS:
        equal((place.to / name).read_text(), "a stranger's", f"{name} is left alone")
    equal([p for p in place.parts() if p.startswith(".default-2026")], [], "nothing half is left")
    equal([p.name for p in place.side.glob(".tmp-*")], [], "no scratch is left")
    for name in place.files():
        equal(oct((place.to / name).stat().st_mode & 0o777), "0o600", "who may read it")
        whole(place.to / name, name)
    back = TOP / "usual-back.db"
    equal(run("restore", place.to / place.files()[-1], at=back).status, 0, "a restore")
    equal(run("get", "b/c.json", at=back).out, b'["\xc5\xbc"]', "the bytes are back")


@test
def every_space_has_its_own():
    place = Place("spaces", keep=2)
    with Server(place.data) as server:
        server.client("quiet").put("/docs/q", b"1")
        server.client("a").put("/docs/q", b"2")
        server.client("a-b").put("/docs/q", b"3")
        equal(server.stop(), 0, "its end")
    with place.server():  # nobody asks for any of them
        wait_for(lambda: all(len(place.files(s)) >= 2 for s in ("quiet", "a", "a-b")), 20)
        time.sleep(1.5)
        for space in ("quiet", "a", "a-b"):
            check(len(place.files(space)) <= 3, f"{space}: {place.files(space)}")


@test
def a_missing_folder_is_an_unmounted_disk():
    place = Place("missing", to=TOP / "not" / "there")
    with place.server() as server:
        client = server.client()
        client.put("/docs/a", b"1")
        failed = wait_for(lambda: backups(client)["last_error"] and backups(client))
        check(str(place.to) in failed["last_error"]["detail"] and "mount" in failed["last_error"]["detail"], failed["last_error"])
        check(not place.to.parent.exists(), "it is not made")
        wait_for(lambda: backups(client)["failures"] >= 2)
        check(b"failed" in run("status", "--at", f"unix:{server.socket}#default").out, "status tells")
        check("backup.failed" in server.stderr(), "so does the log")
        equal(client.put("/docs/a", b"2").status, 200, "writes go on")
        place.to.mkdir(parents=True)
        good = wait_for(lambda: backups(client)["last"] and backups(client), 20)
        equal((good["failures"], good["last_error"]), (0, None), "it heals by itself")


@test
def a_missed_one_is_made_soon_after_the_start_whatever_the_clock_says():
    place = Place("clocks", every="24h", keep=3)
    with place.server() as server:
        server.client().put("/docs/a", b"1")
        drilled(server.client())
        server.stop()
    equal(len(place.files()), 1, "the first")
    with place.server() as server:
        time.sleep(3)
        equal(len(place.files()), 1, "none is due")
        check(backups(server.client())["last"]["file"] == place.files()[0], "it is remembered")
        server.stop()
    for shift, count in (("+25h", 2), ("+400d", 3), ("-400d", 3), ("+0", 3)):
        before = place.files()
        with place.server(shift) as server:
            now = wait_for(lambda: place.files() != before and drilled(server.client()))
            check(now["last"]["file"] in place.files(), f"{shift}: the newest stays")
            equal(now["drill"]["compared"], True, f"{shift}: it is proved")
            server.stop()
        equal(len(place.files()), count, f"with the clock at {shift}: {place.files()}")


@test
def without_its_record_the_newest_file_is_proved_without_a_digest():
    place = Place("record", every="24h")
    with place.server() as server:
        server.client().put("/docs/a", b"1")
        drilled(server.client())
        server.stop()
    for spoil in (lambda p: p.unlink(), lambda p: p.write_text("{"), lambda p: p.write_text('{"keepfast":"backups","format":9}')):
        spoil(place.side / "backups.json")
        with place.server() as server:
            now = drilled(server.client())
            equal((now["drill"]["compared"], len(place.files())), (False, 1), "restored and verified, nothing to compare with")
            server.stop()


def newest_is_spoiled(name, spoil, sabotage=""):
    """A backup that is spoiled while the server is off; whether its next drill is good, and the log."""
    place = Place(name, every="1s", keep=5)
    with place.server() as server:
        client = server.client()
        client.put("/docs/a", random.Random(1).randbytes(3000).hex().encode().join((b'"', b'"')))
        drilled(client)
        client.put("/docs/a", b"2")
        wait_for(lambda: len(place.files()) >= 2, 20)
        drilled(client, but=place.files()[0])
        server.stop()
    record = place.side / "backups.json"
    bad = place.files()[-1]
    spoil(place.to / place.files()[0], place.to / bad)
    text = record.read_text()
    record.write_text(text[:text.index('"drill":{"at":')] + '"drill":{"at":1' + text[text.index(',"file"', text.index('"drill"')):])
    place.config = place.config.replace("every: 1s", "every: 30d")
    with place.server(sabotage=sabotage) as server:
        client = server.client()
        if sabotage:
            found = wait_for(lambda: (backups(client)["drill"] or {"at": ""})["at"] > "2000" and backups(client)["drill"])
        else:
            wait_for(lambda: "backup.drill_failed" in server.stderr(), 20)
            found = {"good": False}
            now = drilled(client, but=bad)
            check(now["last"]["file"] != bad, "a new one is made at once, and proved")
            check((place.to / bad).exists(), "the bad one stays to be looked at")
        server.stop()
    return found["good"], server.stderr()


def flip(_, path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0x40
    path.write_bytes(data)


def cut(_, path):
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size // 2)


@test
def a_damaged_newest_backup_is_noticed():
    kinds = {"flipped": flip, "cut": cut, "emptied": lambda _, path: path.write_bytes(b"")}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for name, (good, log) in zip(kinds, pool.map(newest_is_spoiled, kinds, kinds.values())):
            check(not good, f"{name}: {log}")


@test
def a_whole_archive_that_is_another_one_is_noticed():
    good, log = newest_is_spoiled("swapped", shutil.copyfile)
    check(not good and "restores to digest" in log, log)


@test
def saboteur_drill_compares_nothing_is_found():
    good, log = newest_is_spoiled("swapped-unseen", shutil.copyfile, "drill-compares-nothing")
    check(good, f"without the comparison nobody notices: {log}")


@test
def saboteur_backup_rots_is_found():
    """What was written is not what is read back: it never gets a backup's name."""
    place = Place("rots")
    with place.server(sabotage="backup-rots") as server:
        client = server.client()
        client.put("/docs/a", b'{"some":"thing that is long enough to be packed, some thing that is long enough"}')
        wait_for(lambda: backups(client)["failures"] >= 2)
        equal((place.files(), backups(client)["last"]), ([], None), "no file")
        server.stop()
    equal(place.parts(), [], "nor half a one")


@test
def saboteur_backup_unverified_is_found():
    place = Place("unverified")
    with place.server(sabotage="backup-rots,backup-unverified") as server:
        client = server.client()
        client.put("/docs/a", b'{"some":"thing that is long enough to be packed, some thing that is long enough"}')
        wait_for(lambda: "backup.drill_failed" in server.stderr())
        check(place.files(), "it has a backup's name, and the drill finds it out")
        server.stop()


@test
def a_full_folder():
    tmpfs = disk.Tmpfs(TOP, "small", 4)
    place = Place("full", to=tmpfs.point)
    noise = {f"d{n}": b'"%s"' % random.Random(n).randbytes(20000).hex().encode() for n in range(20)}
    with place.server() as server:
        client = server.client()
        client.put("/docs/a", b"1")
        drilled(client)
        tmpfs.fill(150000)
        before = place.files()
        for name, text in noise.items():
            client.put(f"/docs/{name}", text)
        failed = wait_for(lambda: backups(client)["failures"] and backups(client), 20)
        equal(failed["last_error"]["code"], "disk_full", "why")
        check(place.files() and set(place.files()) & set(before), "none is removed for one that failed")
        wait_for(lambda: backups(client)["failures"] >= 2)
        equal(client.put("/docs/a", b"2").status, 200, "writes go on: it is not their disk")
        tmpfs.empty()
        good = wait_for(lambda: backups(client)["failures"] == 0 and backups(client)["last"]["docs"] == 21 and drilled(client), 30)
        whole(tmpfs.point / good["last"]["file"], "with room")
        server.stop()
    equal(place.parts(), [], "nothing half is left")
    tmpfs.gone()


@test
def no_room_for_a_drill_is_told():
    tmpfs = disk.Tmpfs(TOP, "narrow", 16)
    place = Place("narrow-to", every="1s")
    place.data = tmpfs.point / "data"
    place.data.mkdir(mode=0o700)
    place.side = place.data / "default.db.d"
    with place.server() as server:
        client = server.client()
        for n in range(10):
            client.put(f"/docs/{n}", b'"%s"' % random.Random(n).randbytes(100000).hex().encode())
        drilled(client)
        tmpfs.fill(3 << 20)
        bad = drilled(client, good=False)
        equal(bad["drill"]["error"]["code"], "low_space", "why")
        check(bad["last"], "the backup is no worse for it")
        equal(client.put("/docs/0", b"1").status, 200, "writes go on")
        tmpfs.empty()
        drilled(client)
        server.stop()
    tmpfs.gone()


@test
def kill_9_at_any_moment():
    place = Place("killed", every="100ms", keep=3)
    rng = random.Random(int(os.environ.get("KF_SEED", "5")))
    docs, kills, halves, scratches = {}, 0, 0, 0
    for turn in range(8 if not os.environ.get("KF_LONG") else 200):
        with place.server() as server:
            client = server.client()
            for n in range(40 if turn == 0 else 3):
                name, text = f"d{n}", b'"%d %s"' % (turn, rng.randbytes(15000).hex().encode())
                client.put(f"/docs/{name}", text)
                docs[name] = text
            parts = place.parts if turn % 2 else list  # a half one of this turn, or a whole one: then its drill is on
            before = set(place.files() + place.parts())
            wait_for(lambda: set(place.files() + parts()) - before, 20, 0.001)
            time.sleep(rng.random() * 0.03)
            server.kill()
            kills += 1
        halves += len(place.parts())
        scratches += len(list(place.side.glob(".tmp-drill-*")))
        for name in place.files():
            whole(place.to / name, f"turn {turn}: {name}")
    (place.to / ".default-2026-01-01T00.00.00Z.zip.part").write_bytes(b"half")
    (place.side / ".tmp-drill-0123456789abcdef.db").write_bytes(b"half")
    with place.server() as server:
        last = drilled(server.client(), but=place.files()[-1])
        equal(last["last"]["docs"], len(docs), "documents")
        wait_for(lambda: len(place.files()) <= 3)
        server.stop()
    equal(place.parts(), [], "what was half is gone")
    equal(list(place.side.glob(".tmp-*")), [], "and every scratch")
    note(f"kills={kills} halves={halves} scratches={scratches}")


@test
def writes_do_not_wait_for_them():
    """Each backup is of one moment of a writer that never stops, and no write waits for one."""
    place = Place("under-way", every="100ms", keep=50)
    slowest, stop = [0.0], threading.Event()
    with place.server() as server:

        def write():
            client, n = server.client(), 0
            while not stop.is_set():
                began = time.monotonic()
                equal(client.put(f"/docs/d{n % 50}", b"%d" % n).status in (200, 201), True, "a write")
                slowest[0] = max(slowest[0], time.monotonic() - began)
                n += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            wait_for(lambda: len(place.files()) >= 8, 20)
            drilled(server.client())
        finally:
            stop.set()
            writer.join()
        check("backup.drill_failed" not in server.stderr(), "each was what the store was")
        equal(server.stop(), 0, "its end")
    for name in place.files():
        whole(place.to / name, name)
    note(f"backups={len(place.files())} slowest_write_ms={slowest[0] * 1000:.0f}")
    check(slowest[0] < 5, "no write waited for a backup")


main()
