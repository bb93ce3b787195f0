#!/usr/bin/env python3
# test: timeout=120
"""Scheduled backups where the machine fails: a disk that is full, no room for a drill, kill -9 in the midst; and beside a writer that
never stops."""

import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
import disk  # noqa: E402

disk.own_namespace()

from backups import TOP, Place, backups, drilled, whole  # noqa: E402
from keepfast import wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402


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
    rng = random.Random(int(os.environ.get("KEEPFAST_SEED", "5")))
    docs, kills, halves, scratches = {}, 0, 0, 0
    for turn in range(200 if os.environ.get("KEEPFAST_LONG") == "1" else 8):
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
