#!/usr/bin/env python3
# test: timeout=120
"""Scheduled backups and the restore drill, from outside: when they are made, proved and pruned, clocks that are turned, a folder that
is missing, a record that is lost. test_backups_spoiled.py has files that are not what they were, test_backups_disk.py a disk that is
full, kill -9 in the midst, and a writer that never stops."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
from backups import TOP, Place, backups, drilled, durable, metric, whole  # noqa: E402
from keepfast import Server, run, wait_for  # noqa: E402
from tap import check, equal, main, test  # noqa: E402

STRANGERS = ("default.zip", "default-2026-11-21.zip", "other-2020-01-01T00.00.00Z.zip", "default-2020-01-01T00.00.00Z.zip.bak",
             "default-2020-01-01T00:00:00Z.zip", ".other-2020-01-01T00.00.00Z.zip.part", "notes.txt")



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
        check(metric(client, "keepfast_backup_timestamp_seconds") >= time.time() - 10, "the figure of its age")
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
def without_a_server_they_are_told_of():
    place = Place("brief")
    with place.server() as server:
        client = server.client()
        client.put("/docs/a.json", b"1")
        was = drilled(client)
        client.close()
        config = server.config
        equal(server.stop(), 0, "its end")

    def told(*words):
        return run("status", "--at", f"{place.data}#default", "--config", config, *words)
    said = told().out.decode()
    check("Last backup: " in said and "Restore drill: " in said and "digest equal" in said, f"status tells: {said}")
    shown = told("--json").json()["backups"]
    equal((shown["drill"]["good"], shown["next"], shown["last_error"], shown["overdue_since"]), (True, None, None, None), "of what is there")
    check(shown["last"]["at"] >= was["last"]["at"] and shown["last"]["file"] in place.files(), f"the newest: {shown}")
    place.to.rename(place.to.with_name("unmounted"))
    shown = told("--json").json()["backups"]
    check("is not there: mount its disk" in shown["last_error"]["detail"] and shown["last"], f"and that it cannot be looked at: {shown}")


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


main()
