#!/usr/bin/env python3
# test: timeout=180
"""keepfast doctor, of a store and its place: each cause is made to happen, and is found with its next step, by the command alone, by one
that asks a server, and over HTTP. test_doctor_remotes.py has the remotes, test_doctor_disk.py what needs a file system of its own."""

import fcntl
import json
import os
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests/checker"))
import kfcheck  # noqa: E402
from doctored import SHOWN, TOP, answered, at_time, child_of, codes, findings, finds, finds_no, pick, store  # noqa: E402
from githost import GitHost  # noqa: E402
from keepfast import Server, run, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

FLOOR = 39


def config_of(name, **more):
    path = TOP / f"{name}.yaml"
    path.write_text(json.dumps(more))
    return path


# ------------------------------------------------------------------------------------- nothing wrong


@test
def a_healthy_store_has_no_finding():
    with GitHost("http") as host:
        host.make("store")
        config = json.dumps({"listen": "unix:" + str(TOP / "healthy.sock"), "spaces": {"default": {"remotes": {"host": host.config("store", on_change="1s")}}}})
        path = TOP / "healthy.yaml"
        path.write_text(config)
        data = TOP / "healthy"
        with Server(data, config, env=host.environment()) as server:
            equal(run("put", "a", at=f"{data}#default", stdin=b"1").status, 0, "put")
            equal(run("sync", "--wait", at=f"{data}#default").status, 0, "sync")
            for at in (data, f"{data}#default", f"unix:{server.socket}"):
                equal(codes(findings(at)) - {"no_tokens"}, set(), f"of {at}")
            said = run("doctor", at=data, env={"KEEPFAST_CONFIG": str(path)}).out.decode()
            check("default: open, 1 document; host: nothing pending, confirmed" in said, f"what was looked at: {said}")
            server.stop()
        # And with nobody there: the command's own process.
        equal(codes(findings(f"{data}#default", env=host.environment() | {"KEEPFAST_CONFIG": str(path)})), set(), "of the command alone")


@test
def saboteur_doctor_blind():
    """A doctor that looks at nothing is noticed."""
    at = store("blind")
    finds(at, "only_here")
    check("only_here" not in codes(findings(at, env={"KF_SABOTAGE": "doctor-blind"})), "it sees nothing")


# ------------------------------------------------------------------------------------- cannot be asked


@test
def a_store_that_is_not_there():
    finds(TOP / "nowhere.db", "not_there", "nowhere.db")
    finds(TOP / "no-folder", "not_there", "no-folder")
    (TOP / "empty").mkdir(mode=0o700)
    finds(TOP / "empty", "not_there", "holds no store")
    finds(f"{TOP}/empty#shop", "not_there")
    check(not list((TOP / "empty").iterdir()), "looking makes nothing")


@test
def a_log_without_its_file():
    data = TOP / "log-alone"
    with Server(data) as server:
        server.client().put("/docs/a", b"1")
        server.kill()
    (data / "default.db").rename(TOP / "moved-away")
    before = (data / "default.db-wal").read_bytes()
    items = findings(data)
    check("default.db-wal" in pick(items, "log_alone")["detail"], f"{items}")
    equal(codes(items), {"log_alone"}, "that alone")
    equal((data / "default.db-wal").read_bytes(), before, "and the log stays")


@test
def what_was_appended_last_without_its_file():
    data = TOP / "redo-alone"
    with Server(data) as server:
        for n in range(3):
            server.client().post("/streams/chat/entries", {"body": n})
        server.kill()
    (data / "default.db").rename(TOP / "moved-away-too")
    (data / "default.db-wal").unlink()
    before = (data / "default.db-redo").read_bytes()
    items = findings(data)
    check("default.db-redo" in pick(items, "log_alone")["detail"], f"{items}")
    equal(codes(items), {"log_alone"}, "that alone")
    equal((data / "default.db-redo").read_bytes(), before, "and the file stays")


def killed_ahead(data):
    """A server of which several appends are in the redo file alone; the file's bytes, and where those records begin."""
    for n in range(20):  # who is slow to be killed has placed them
        shutil.rmtree(data, ignore_errors=True)
        with Server(data) as server:
            client = server.client()
            client.post("/streams/chat/entries", {"body": "first"})
            client.get("/streams/chat/entries")
            for n in range(6):
                client.post("/streams/chat/entries", {"body": f"secret {n}"})
            server.kill()
        report = kfcheck.check_store(str(data / "default.db"))
        if report.counts["ahead"] >= 3:
            break
    equal(report.findings, [], "of the checker")
    check(report.counts["ahead"] >= 3, f"{report.counts}")
    file = data / "default.db-redo"
    return file, bytearray(file.read_bytes())


@test
def appends_that_were_in_a_damaged_file():
    data = TOP / "redo-damaged"
    file, was = killed_ahead(data)
    for at in (was.index(b"secret 0"), was.index(b"secret 3")):  # the one or the other is ahead, and not the last
        was[at] ^= 1
    file.write_bytes(was)
    with Server(data) as server:
        client = server.client()
        client.get("/streams/chat/entries")
        kept = [path for path in data.iterdir() if path.name.startswith("default.db.redo-damaged-")]
        equal((len(kept), file.exists()), (1, False), "it was set aside")
        check(b"secret 5" in kept[0].read_bytes(), "with what was told last")
        item = finds(data, "redo_aside", kept[0].name, level="error")
        check("append again what is missing" in item["next"], f"{item}")
        check("redo_aside" in codes(answered(client)), "the server says so, too")
        # Who erases what it holds is told that it is there.
        held = client.delete("/streams/chat").json()["held"]
        equal([(h["file"], h["kind"], h["state"]) for h in held], [(kept[0].name, "aside", "kept")], "in the receipt")
        kept[0].with_name(kept[0].name + "-1").write_bytes(b"another")
        kept[0].with_name(kept[0].name + "-wal").write_bytes(b"none of its own")
        equal(len(client.get("/receipts").json()["items"][0]["held"]), 2, "each of them")
        check("and others" in pick(answered(client), "redo_aside")["detail"], "and the doctor knows that there are more")
        for path in data.glob("default.db.redo-damaged-*"):
            path.unlink()
        equal(client.get("/receipts").json()["items"][0]["held"], [], "until they are removed")
        check("redo_aside" not in codes(answered(client)), "nor is there a finding any more")
        server.stop()
    finds_no(data, "redo_aside")


@test
def a_configuration_that_cannot_be_read():
    at = store("config")
    config = TOP / "broken.yaml"
    config.write_text("listen: 127.0.0.1:7070\nlimits: { dok: 8MiB }\n")
    items = findings(at, env={"KEEPFAST_CONFIG": str(config)})
    check(f"{config}:2:" in pick(items, "config_broken")["detail"], f"line and column: {items}")
    equal(codes(items), {"config_broken"}, "that alone")
    finds(at.parent, "config_broken", env={"KEEPFAST_CONFIG": str(config)})


class Owner:
    """Somebody who has the store, as its lock says."""

    def __init__(self, at, socket):
        text = json.dumps({"pid": os.getpid(), "brief": False, "socket": socket, "started": 1})
        self.file = open(f"{at}.lock", "w+", encoding="utf-8")
        fcntl.fcntl(self.file, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))  # F_OFD_SETLK
        self.file.write(text)
        self.file.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


@test
def a_store_that_somebody_has():
    at = store("in-use")
    with Owner(at, None):
        finds(at, "in_use", str(os.getpid()), "socket")
    with Owner(at, str(at) + ".gone"):
        finds(at, "owner_silent")
    finds_no(at, "in_use", "owner_silent")


@test
def a_server_that_is_not_there():
    finds("http://127.0.0.1:1/shop", "cannot_ask", "127.0.0.1:1")
    finds("http://127.0.0.1:1", "cannot_ask")
    with Server(TOP / "asked") as server:
        finds(f"http://{server.address}", "not_there", "shows no space")
        server.client("shop").put("/docs/a", b"1")
        finds(f"http://{server.address}/other", "not_there")
        items = findings(f"http://{server.address}")
        check("never_written" not in codes(items) and "only_here" in codes(items), f"all spaces of it: {items}")
        equal({i.get("space") for i in items if i["code"] == "only_here"}, {"shop"}, "by its name")


@test
def files_that_are_not_ours():
    at = store("not-ours")
    data = TOP / "open-to-all"
    data.mkdir()
    shutil.copy(at, data / "default.db")
    data.chmod(0o777)
    finds(data, "not_permitted", "open-to-all")
    if os.geteuid() == 0:
        data.chmod(0o700)
        os.chown(data, 12345, -1)
        finds(data, "not_permitted", "another user")


@test
def a_file_of_another_kind():
    at = store("too-new")
    with sqlite3.connect(at) as db:
        db.execute("PRAGMA user_version=9999")
    db.close()
    finds(at, "format_too_new")
    damaged = store("damaged")
    damaged.write_bytes(os.urandom(8192))
    equal(codes(findings(damaged)), {"store_damaged"}, "that alone")
    pick(findings(damaged), "store_damaged")
    data = TOP / "damaged-in-a-folder"
    data.mkdir(mode=0o700)
    shutil.copy(damaged, data / "bad.db")
    shutil.copy(store("good"), data / "good.db")
    with Server(data) as server:
        pick(answered(server.client("bad")), "store_damaged")
        items = findings(data)
        equal({i["space"] for i in items if i["code"] == "store_damaged"}, {"bad"}, "which of them")
        check("good" in run("doctor", at=data).out.decode(), "the others are looked at")


@test
def a_store_that_cannot_be_read():
    """Whatever no other line speaks of: a disk that fails at its pages, a process that may open no more files."""
    at = store("unreadable")
    wrap = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", at, "-e", "trace=pread64", "-e", "inject=pread64:error=EIO"]
    item = finds(at, "cannot_open", "the disk failed", "restore", level="error", wrap=wrap)
    check(str(at) in item["detail"], f"{item}")
    finds(at, "cannot_open", "Too many open files", wrap=("prlimit", "--nofile=6", "--"))
    finds_no(at, "cannot_open")


# ------------------------------------------------------------------------------------- under an open store


@test
def files_that_are_taken_away():
    data = TOP / "taken"
    with Server(data) as server:
        client = server.client()
        for n in range(3):
            client.put("/docs/a", str(n).encode())
        (data / "default.db.lock").unlink()
        pick(answered(client), "lock_gone")
        (data / "default.db-wal").unlink()
        pick(answered(client), "log_gone")
        (data / "default.db").rename(data / "elsewhere")
        item = pick(answered(client), "store_moved")
        check("rescue" in item["next"], f"{item}")
        server.stop()
    rescued = list(data.glob("default.db.rescue-*"))
    check(rescued, f"what it had: {list(data.iterdir())}")
    finds(f"{data}#default", "not_there")
    finds(f"{data}#default", "rescued_aside", rescued[0].name, level="error")
    equal(run("put", "b", at=f"{data}#default", stdin=b"1").status, 0, "a new one")
    finds(f"{data}#default", "rescued_aside", rescued[0].name, level="warning")


@test
def a_file_that_was_moved_away_comes_back_by_its_next_step():
    """What was rescued is named where the file is gone, with what makes it the store again; the old log would damage it."""
    data = TOP / "rescued"
    with Server(data) as server:
        client = server.client()
        for n in range(3):
            client.put(f"/docs/{n}", str(n).encode())
        (data / "default.db").unlink()
        items = findings(data)
        pick(items, "store_moved")
        check("log_alone" not in codes(items), f"nobody is told to put a file back under an open store: {items}")
        check("log_alone" not in codes(answered(client)), "nor by the server")
        server.stop()
    check((data / "default.db-wal").exists(), "its log is still there")
    items = findings(data)
    item = pick(items, "rescued_aside")
    equal((item["level"], codes(items)), ("error", {"rescued_aside", "not_there"}), f"{items}")
    rescued = next(data.glob("default.db.rescue-*"))
    check(all(word in item["next"] for word in ("-wal", "-shm", "rename")), f"{item}")
    for tail in ("-wal", "-shm"):
        (data / f"default.db{tail}").rename(data / f"away{tail}")
    rescued.rename(data / "default.db")
    equal(run("get", "2", at=f"{data}#default").out, b"2", "what was in it")
    finds_no(data, "rescued_aside", "not_there", "store_damaged")


@test
def a_damaged_file_is_replaced_by_its_next_step():
    data = TOP / "replaced"
    at, backup = f"{data}#default", TOP / "replaced.zip"
    equal(run("put", "a", at=at, stdin=b"[1]").status, 0, "put")
    equal(run("backup", str(backup), at=at).status, 0, "backup")
    (data / "default.db").write_bytes(os.urandom(8192))
    item = finds(data, "store_damaged")
    check("--replace" not in item["next"], f"a file that cannot be opened is not replaced in place: {item}")
    (data / "default.db").rename(TOP / "moved-away.db")
    equal(run("restore", str(backup), at=at).status, 0, "restore")
    equal(run("get", "a", at=at).out, b"[1]", "what was in it")
    finds_no(data, "store_damaged")


@test
def a_disk_that_fails():
    data = TOP / "failing"
    log = TOP / "failing.strace"
    # The first syncs make the store; one of a write fails.
    wrap = ["strace", "-f", "-qq", "-o", str(log), "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=40+"]
    with Server(data, wrap=wrap) as server:
        client = server.client()
        for n in range(60):
            if client.put("/docs/a", str(n).encode()).status >= 500:
                break
        item = pick(answered(client), "read_only")
        equal((item["level"], item["space"]), ("error", "default"), "an error of the space")
        os.kill(child_of(server.process), signal.SIGKILL)
        server.process.wait()


@test
def a_log_that_a_reader_holds():
    data = TOP / "long-reader"
    with Server(data) as server:
        client = server.client()
        client.put("/docs/a", b"1")
        reader = subprocess.Popen([sys.executable, "-c", """
import sqlite3, sys
db = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True)
db.execute("BEGIN")
db.execute("SELECT count(*) FROM kf_meta").fetchone()
print("ready", flush=True)
sys.stdin.read()
""", str(data / "default.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        reader.stdout.readline()
        body = b'"' + b"x" * (7 << 20) + b'"'
        for n in range(12):
            client.put(f"/docs/big{n % 2}", body[:-1] + str(n).encode() + b'"')
        item = pick(answered(client), "log_growing")
        check("MiB" in item["detail"], f"{item}")
        check("foreign_writer" not in codes(answered(client)), "a reader is no writer")
        reader.stdin.close()
        reader.wait()


@test
def another_program_that_writes():
    data = TOP / "foreign"
    with Server(data) as server:
        client = server.client()
        client.put("/docs/a", b"1")
        check("foreign_writer" not in codes(answered(client)), "there is none")
        other = subprocess.Popen([sys.executable, "-c", """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("SELECT count(*) FROM kf_meta").fetchone()
print("ready", flush=True)
sys.stdin.read()
""", str(data / "default.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        other.stdout.readline()
        version = tuple(map(int, sqlite3.sqlite_version.split(".")))
        affected = (3, 7, 0) <= version < (3, 51, 3) and not ((3, 44, 6) <= version < (3, 45, 0)) and not ((3, 50, 7) <= version < (3, 51, 0))
        if affected:
            item = pick(answered(client), "foreign_writer")
            check(f"process {other.pid} " in item["detail"] and sqlite3.sqlite_version in item["detail"], f"{item}")
            check("space" not in item, f"it is of the machine: {item}")
        else:
            check("foreign_writer" not in codes(answered(client)), "its SQLite is good")
        other.stdin.close()
        other.wait()


@test
def files_that_others_can_read():
    at = store("readable")
    at.chmod(0o644)
    finds(at, "files_readable", "a.db", "0644")
    finds_no(at, "files_readable")  # opening it has made it private
    data = TOP / "readable-folder"
    with Server(data) as server:
        client = server.client()
        client.put("/docs/a", b"1")
        for n in range(3):
            client.post("/streams/chat/entries", {"body": n})
        check("files_readable" not in codes(answered(client)), "they are private")
        for tail in ("", "-wal", "-shm", "-redo"):
            (data / f"default.db{tail}").chmod(0o640)
            check(f"default.db{tail} has the mode 0640" in pick(answered(client), "files_readable")["detail"], tail)
            (data / f"default.db{tail}").chmod(0o600)
        data.chmod(0o755)
        check(str(data) in pick(answered(client), "files_readable")["detail"], "the folder")


@test
def a_disk_that_is_slow():
    data = TOP / "slow"
    wrap = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=60000"]
    with Server(data, wrap=wrap) as server:
        client = server.client()
        for n in range(12):
            client.put("/docs/a", str(n).encode())
        check(" ms in the mean" in pick(answered(client), "disk_slow")["detail"], "how slow")
        os.kill(child_of(server.process), signal.SIGKILL)
        server.process.wait()


# ------------------------------------------------------------------------------------- where data went


@test
def a_store_without_a_past():
    data = TOP / "new"
    with Server(data) as server:
        equal(server.client().ask("PUT", "/v1/default", raw=True).status, 201, "a space")
        item = pick(answered(server.client()), "never_written")
        check(str(data) in item["detail"] and item["level"] == "note", f"{item}")
    at = store("alone")
    finds(at, "only_here", level="note")
    (TOP / "nothing" / "place").mkdir(parents=True)
    config = config_of("nothing", spaces={"default": {"remotes": {"usb": {"url": f"dir:{TOP}/nothing/place"}}}})
    fresh = TOP / "nothing" / "a.db"
    finds(fresh, "filled_from_nothing", "its remote was asked", env={"KEEPFAST_CONFIG": str(config)})


@test
def a_store_that_was_lost_and_filled():
    at = store("lost")
    config = config_of("lost", spaces={"default": {"remotes": {"usb": {"url": f"dir:{TOP}/lost/place"}}}})
    env = {"KEEPFAST_CONFIG": str(config)}
    equal(run("sync", "--wait", at=at, env=env).status, 0, "sync")
    finds_no(at, "refilled", env=env)
    for file in at.parent.glob("a.db*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    item = finds(at, "refilled", "filled from usb", "documents: 1", env=env)
    equal(item["level"], "note", "its level")
    items = finds_no(at, "refilled", env=env | at_time("+9d"))
    note(f"nine days later: {[i['code'] for i in items]}")


@test
def a_copy_knows_that_it_is_one():
    at = store("original")
    finds_no(at, "cloned")
    copy = TOP / "original" / "copy.db"
    shutil.copy(at, copy)
    finds(copy, "cloned", "copy.db")
    finds_no(at, "cloned")


@test
def what_a_restore_leaves():
    at = store("restored")
    backup = TOP / "restored" / "b.zip"
    equal(run("backup", backup, at=at).status, 0, "backup")
    equal(run("restore", backup, "--replace", at=at).status, 0, "restore")
    finds(at, "kept_aside", "a.db.before-")


@test
def versions_without_end():
    at = store("endless")
    config = config_of("endless", spaces={"default": {"docs": [{"match": "*.json", "keep": {"versions": 0}}]}})
    finds(at, "versions_unbounded", "*.json", env={"KEEPFAST_CONFIG": str(config)})


# ------------------------------------------------------------------------------------- clocks


@test
def clocks_that_lie():
    at = store("clock", env=at_time("+2d"))
    finds(at, "clock_behind", "the clock says 20", "1 d less")
    early = store("clock-unset", env=at_time("@1971-01-01 00:00:00"))
    finds(early, "clock_unset", "1971", env=at_time("@1971-01-01 00:00:10"))
    finds_no(early, "clock_unset", "clock_behind")


# ------------------------------------------------------------------------------------- the process


@test
def limits_of_a_server():
    data = TOP / "limits"
    with Server(data, '{"log": {"level": "error"}, "limits": {"memory": "900GiB"}}', wrap=("prlimit", "--nofile=600", "--")) as server:
        client = server.client()
        client.put("/docs/a", b"1")
        items = answered(client)
        check("600" in pick(items, "few_descriptors")["detail"], f"{items}")
        check("900" in pick(items, "memory_small")["detail"], f"{items}")
        equal(pick(items, "log_quiet")["level"], "note", "a note")
        check(not [i for i in items if i["code"] in ("few_descriptors", "memory_small", "log_quiet") and "space" in i], f"of the server: {items}")
        client.close()


@test
def who_is_told_of_the_machine():
    data = TOP / "told-whom"
    with Server(data, '{"log": {"level": "error"}}') as server:
        client, at = server.client(), f"{data}#default"
        client.put("/docs/a", b"1")
        equal(pick(answered(client), "no_tokens")["level"], "note", "there are none")
        made = {}
        for name, words in (("operator", ("--rights", "read,admin", "--expires", "3d")), ("reader", ("--rights", "read")),
                            ("tenant", ("--rights", "read,admin", "--space", "default")), ("names", ("--rights", "read", "--prefix", "a*"))):
            done = run("token", "create", name, *words, at=at)
            equal(done.status, 0, f"a token: {done}")
            made[name] = {"Authorization": "Bearer " + done.out.decode().strip()}

        def asked(name):
            answer = client.get("/doctor", headers=made[name])
            equal(answer.status, 200, f"{name}: {answer}")
            return answer.json()["items"]

        seen = asked("operator")
        check("log_quiet" in codes(seen) and "no_tokens" not in codes(seen), f"{seen}")
        item = pick(seen, "token_ends")
        check('"operator"' in item["detail"] and "1 within" in item["detail"], f"{item}")
        for name in ("reader", "tenant"):
            check("only_here" in codes(asked(name)), "the space is theirs")
            equal([i for i in asked(name) if "space" not in i], [], f"{name}: nothing of the machine")
        equal(client.get("/doctor", headers=made["names"]).status, 403, "who has some names alone")
        equal(client.get("/doctor").status, 401, "nobody")
        finds(f"http://{server.address}/default", "cannot_ask", "token")
        token = made["operator"]["Authorization"].split()[1]
        check("log_quiet" in codes(findings(f"http://{server.address}", env={"KEEPFAST_TOKEN": token})), "the command with a token")


@test
def syncs_that_are_taken_away():
    source, library = TOP / "eat.c", TOP / "libeatmydata.so"
    source.write_text("int eats;\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    at = store("eaten")
    finds(at, "sync_disabled", env={"LD_PRELOAD": str(library)})
    finds_no(at, "sync_disabled")


# ------------------------------------------------------------------------------------- backups


@test
def backups_that_fail():
    at = store("backups")
    there = TOP / "backups" / "to"
    there.mkdir()
    config = config_of("backups", backup={"to": f"dir:{there}", "every": "1h"})
    data = TOP / "backups" / "data"
    data.mkdir(mode=0o700)
    shutil.copy(at, data / "default.db")
    with Server(data, config.read_text()) as server:
        client = server.client()
        wait_for(lambda: (client.get("/status").json()["backups"]["drill"] or {}).get("good"), 20)
        items = answered(client)
        pick(items, "backup_same_disk")
        check(not {"backup_late", "backup_failing", "drill_failed"} & codes(items), f"they are good: {items}")
        server.stop()
    env = {"KEEPFAST_CONFIG": str(config)}
    late = findings(f"{data}#default", env=env | at_time("+3h"))
    check("due at" in pick(late, "backup_late")["detail"], f"{late}")
    there.rename(TOP / "backups" / "unmounted")
    with Server(data, config.read_text()) as server:
        client = server.client()
        wait_for(lambda: client.get("/status").json()["backups"]["failures"], 20)
        check("mount its disk" in pick(answered(client), "backup_failing")["detail"], "what to do")
        server.stop()


@test
def a_backup_that_does_not_restore():
    data, there = TOP / "drill-data", TOP / "drill-to"
    data.mkdir(mode=0o700)
    there.mkdir()
    # Of a size with which the next one, which is made at once, takes its time.
    body = json.dumps([os.urandom(3 << 20).hex()]).encode()
    shutil.copy(store("drill", body), data / "default.db")
    config = '{"backup": {"to": "dir:%s", "every": "30d"}}' % there
    with Server(data, config) as server:
        client = server.client()
        wait_for(lambda: (client.get("/status").json()["backups"]["drill"] or {}).get("good"), 20)
        check("drill_failed" not in codes(answered(client)), "it is good")
        server.stop()
    newest = max(there.glob("*.zip"))
    newest.write_bytes(newest.read_bytes()[:5000])
    record = data / "default.db.d" / "backups.json"  # the drill was long ago
    text = record.read_text()
    record.write_text(text[:text.index('"drill":{"at":')] + '"drill":{"at":1' + text[text.index(',"file"', text.index('"drill"')):])
    with Server(data, config) as server:
        client = server.client()
        seen = wait_for(lambda: [i for i in answered(client) if i["code"] == "drill_failed"], 20, every=0.003)
        check(newest.name in pick(seen, "drill_failed")["detail"], f"{seen}")


# ------------------------------------------------------------------------------------- how it is told


@test
def people_and_programs_are_told_the_same():
    at = store("told")
    at.chmod(0o644)
    said = run("doctor", at=at)
    check(b"\x1b" not in said.out, "no colours where nobody looks")
    for word in (b"Looked at", b"Warnings", b"[files_readable]", b"chmod 600", b"Notes", b"[only_here]", b"0 errors, ", b"1 note;"):
        check(word in said.out, f"{word}: {said.out.decode()}")
    equal(said.status, 1, "a warning")
    equal(codes(findings(at)), {"only_here"}, "a note is left, which is no failure")


@test
def the_page_explains_every_finding():
    page = Path(os.environ["KF_TOP"], "docs", "troubleshooting.md").read_text()
    reference = run("reference").out.decode()
    table = reference[reference.index("\n## Findings\n"):]
    table = table[:table.index("\n## ", 5)]
    known = re.findall(r"^\| `(\w+)` \| (?:error|warning|note) ", table, re.M)
    equal(re.findall(r"^### (\w+)$", page, re.M), known, "sections of the page, in the order of the table")
    for word in re.findall(r"\]\(#(\w+)\)", page):
        check(word in known, f"the link to {word} leads somewhere")
    check(len(known) >= 60, f"{len(known)} findings")
    check(SHOWN <= set(known), f"what was shown is in the table: {SHOWN - set(known)}")


@test
def enough_causes_were_made_to_happen():
    note(f"causes={len(SHOWN)}")
    if len(sys.argv) == 1:
        check(len(SHOWN) >= FLOOR, f"{len(SHOWN)} of {FLOOR}: {sorted(SHOWN)}")


main()
