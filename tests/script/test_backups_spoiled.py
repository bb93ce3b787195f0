#!/usr/bin/env python3
# test: timeout=120
"""Scheduled backups that are not what they were: a newest file that is damaged, cut or another one's, and one that was written wrongly.
The drill finds it, and another one is made at once."""

import concurrent.futures
import os
import random
import shutil
import sys

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
from backups import Place, backups, drilled  # noqa: E402
from keepfast import wait_for  # noqa: E402
from tap import check, equal, main, test  # noqa: E402


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


main()
