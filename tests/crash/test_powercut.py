#!/usr/bin/env python3
# test: timeout=300 alone
"""Real power cuts: a store on a loop-mounted ext4 whose unsynced state is dropped by the file system's shutdown.

What was acknowledged before the cut must be there afterwards; what is acknowledged while it happens counts for nothing,
because the cut races with a sync in flight. Two controls must lose: a store that acknowledges before it syncs, and stock
SQLite with synchronous=NORMAL. Without loop devices: not possible here.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
import disk  # noqa: E402

disk.own_namespace()

import crash_streams  # noqa: E402
from crash import LONG, RNG, SEED, Ledger, Loss, Writer, held, judge, kfcheck  # noqa: E402
from keepfast import folder, run  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

CUTS = 20000 if LONG else 200
TOP = folder()


def cut_once(ext4, path, ledger, env=None, wait_s=None, whole=False):
    """One life of the writer, one cut. How many documents are ahead of the frozen ledger afterwards."""
    writer = Writer(path, ledger, env=env, docs=4)
    writer.opened.wait(10)
    time.sleep(RNG.uniform(0.005, 0.06) if wait_s is None else wait_s)
    if RNG.random() < 0.5:
        ext4.write_back_something()
    ledger.freeze()
    ext4.cut()
    writer.kill()
    ext4.again()
    if not path.exists():  # it died before it made one
        equal(ledger.acks, 0, "writes that were acknowledged, and there is no store")
        return 0
    return judge(ledger, held(path, whole))


def cut_in_recovery(ext4, path, ledger):
    """The next one comes while the store is being opened again, before it can have said anything."""
    writer = Writer(path, ledger)
    time.sleep(RNG.uniform(0, 0.012))
    ledger.freeze()
    ext4.cut()
    writer.kill()
    ext4.again()
    judge(ledger, held(path))


@test
def nothing_acknowledged_is_lost():
    ext4, ledger = disk.Ext4(TOP, "main", RNG), Ledger()
    path = ext4.point / "store.db"
    acks = commits = writes = in_flight = again = 0
    for n in range(CUTS):
        ahead = cut_once(ext4, path, ledger, whole=n % 20 == 19)
        in_flight += ahead > 0 or ledger.late > 0
        if n % 10 == 9:
            cut_in_recovery(ext4, path, ledger)
            again += 1
        if path.stat().st_size > 24 << 20:
            acks, commits, writes = acks + ledger.acks, commits + ledger.commits, writes + ledger.writes
            path, ledger = ext4.point / f"store{n}.db", Ledger()
            for old in ext4.point.glob("store*.db*"):
                if not str(old).startswith(str(path)):
                    old.unlink()
    acks, commits, writes = acks + ledger.acks, commits + ledger.commits, writes + ledger.writes
    mean = writes / max(1, commits)
    note(f"cuts={CUTS} acks={acks} cuts_in_flight={in_flight} cuts_in_recovery={again} mean_group={mean:.2f} seed={SEED}")
    ext4.gone()
    check(acks >= 25 * CUTS, "the writer really wrote")
    check(in_flight >= 30 * CUTS // 200, "cuts met commits")
    check(mean > 1.5, "groups were groups")


def cut_streams_once(ext4, path, told, env=None, whole=False, wait_s=None):
    """One life of the writer of streams, one cut; what the checker has counted."""
    writer = crash_streams.StreamWriter(path, told, env)
    writer.opened.wait(20)
    time.sleep(RNG.uniform(0.005, 0.12) if wait_s is None else wait_s)
    if RNG.random() < 0.5:
        ext4.write_back_something()
    writer.freeze()
    ext4.cut()
    writer.kill()
    ext4.again()
    return crash_streams.judge(path, told, TOP / "copy", whole)


@test
def nothing_acknowledged_of_streams_is_lost():
    """Appends with ids, attributes, trimming, words and erasures. What was erased is not there again, either."""
    ext4, told, lines, stores = disk.Ext4(TOP, "streams", RNG), crash_streams.Told(), 0, 1
    (ext4.point / "keepfast.yaml").write_text(crash_streams.CONFIG)
    subprocess.run(["sync", "-f", str(ext4.point)], check=True)
    path, cuts = ext4.point / "store.db", CUTS * 3 // 10
    for n in range(cuts):
        cut_streams_once(ext4, path, told, whole=n % 8 == 7)
        if path.exists() and path.stat().st_size > 8 << 20:
            lines, stores, told = lines + told.lines, stores + 1, crash_streams.Told()
            for old in ext4.point.glob("store*.db*"):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            path = ext4.point / f"store{n}.db"
    crash_streams.judge(path, told, TOP / "copy")
    lines += told.lines
    note(f"streams: cuts={cuts} acks={lines} stores={stores} erased={len(told.erased)} seed={SEED}")
    ext4.gone()
    check(lines >= 4 * cuts, "the writer really wrote")


@test
def saboteur_ack_before_sync_is_found_under_streams():
    ext4, lost, first = disk.Ext4(TOP, "streams-unsynced", RNG), 0, None
    (ext4.point / "keepfast.yaml").write_text(crash_streams.CONFIG)
    subprocess.run(["sync", "-f", str(ext4.point)], check=True)
    for n in range(25):
        path, told = ext4.point / f"store{n}.db", crash_streams.Told()
        writer = crash_streams.StreamWriter(path, told)
        writer.opened.wait(20)
        time.sleep(0.05)
        writer.kill()
        subprocess.run(["sync", "-f", str(ext4.point)], check=True)
        try:
            cut_streams_once(ext4, path, told, env={"KF_SABOTAGE": "ack-before-sync"}, wait_s=RNG.uniform(0.01, 0.1))
        except Loss as found:
            lost, first = lost + 1, first or f"cut {n + 1}: {found}"
            break
        for old in ext4.point.glob("store*.db*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    note(f"streams, ack-before-sync: lost={lost}; {first}")
    ext4.gone()
    check(lost, "a store that answers before it syncs was not found out in 25 cuts")


def losses(name, cuts):
    """How many of so many cuts of a sabotaged writer lost something. The store was sound and had a log when it began."""
    ext4, lost, first = disk.Ext4(TOP, name, RNG), 0, None
    for n in range(cuts):
        path, ledger = ext4.point / f"store{n}.db", Ledger()
        writer = Writer(path, ledger)
        writer.opened.wait(10)
        time.sleep(0.05)
        equal(writer.kill(), -9, "how the sound life ended")
        judge(ledger, held(path))
        subprocess.run(["sync", "-f", str(ext4.point)], check=True)
        try:
            cut_once(ext4, path, ledger, env={"KF_SABOTAGE": name}, wait_s=RNG.uniform(0.01, 0.1))
        except Loss as found:
            lost, first = lost + 1, first or f"cut {n + 1}: {found}"
        for old in ext4.point.glob("store*.db*"):
            old.unlink()
    note(f"{name}: cuts={cuts} lost={lost}; {first}")
    ext4.gone()
    return lost


@test
def saboteur_ack_before_sync_is_found():
    check(losses("ack-before-sync", 25), "a store that answers before it syncs was not found out in 25 cuts")


@test
def saboteur_checkpoint_unsynced_is_found():
    """Its log is emptied into the file and begun anew without the file having been synced."""
    check(losses("checkpoint-unsynced", 25), "a checkpoint that syncs nothing was not found out in 25 cuts")


STOCK = r"""
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA synchronous=NORMAL")
db.execute("CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, pad TEXT)")
n = db.execute("SELECT coalesce(max(n), 0) FROM t").fetchone()[0]
while True:
    n += 1
    db.execute("INSERT INTO t VALUES(?, ?)", (n, "x" * 500))
    print("A t", n, flush=True)
"""


@test
def control_synchronous_normal_loses():
    ext4 = disk.Ext4(TOP, "normal", RNG)
    path, lost, acks = ext4.point / "stock.db", 0, 0
    for _ in range(15):
        process = subprocess.Popen([sys.executable, "-c", STOCK, str(path)], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True)
        said, until = 0, None
        while until is None or time.monotonic() < until:
            said = int(process.stdout.readline().split()[2])
            until = until or time.monotonic() + RNG.uniform(0.05, 0.2)
            acks += 1
        ext4.cut()
        process.kill()
        process.wait()
        process.stdout.close()
        ext4.again()
        with closing(sqlite3.connect(path)) as db:
            try:
                have = db.execute("SELECT coalesce(max(n), 0) FROM t").fetchone()[0]
            except sqlite3.OperationalError:
                have = 0
        lost += have < said
    ext4.gone()
    note(f"stock SQLite, synchronous=NORMAL: cuts=15 acks={acks} lost={lost}")
    check(lost >= 1, "the harness cannot see what synchronous=NORMAL loses")


@test
def a_restore_and_a_push_survive_a_cut():
    """The commands that rename: when one has ended with 0, what it did is there after the cut, and a cut in its middle leaves
    what was there before."""
    other, archive = TOP / "other.db", TOP / "other.zip"
    for n in range(20):
        run("put", f"from/backup{n}", "-", "--at", other, stdin=b'{"n":%d}' % n)
    equal(run("backup", archive, "--at", other).status, 0, "the backup")
    restored = kfcheck.check_store(str(other)).docs
    ext4, befores, afters, took = disk.Ext4(TOP, "commands", RNG), 0, 0, {}
    for n in range(400 if LONG else 30):
        path, remote = ext4.point / f"c{n}.db", ext4.point / f"remote{n}"
        run("put", "a", "-", "--at", path, stdin=b'{"n":1}')
        run("remote", "add", "usb", f"dir:{remote}", "--manual", "--at", path)
        equal(run("sync", "--wait", "--at", path).status, 0, "sync")
        before = kfcheck.check_store(str(path)).docs
        equal(kfcheck.check_dir(str(remote)).docs, before, "what was pushed")
        words = ["restore", archive, "--replace", "--at", path] if n % 2 else ["sync", "--wait", "--at", path]
        if n % 2 == 0:
            run("put", "b", "-", "--at", path, stdin=b'{"n":2}')
        began = time.monotonic()
        process = subprocess.Popen([os.environ["KEEPFAST"], *map(str, words)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        if n % 3:
            time.sleep(RNG.uniform(0, took.get(words[0], 0.03)))
        else:
            process.wait()
            took[words[0]] = time.monotonic() - began  # so that the others are cut in their middle on any machine
        done = process.poll() == 0
        if RNG.random() < 0.5:
            ext4.write_back_something()
        ext4.cut()
        process.kill()
        process.wait()
        ext4.again()
        equal(run("ls", "--at", path).status, 0, "the store opens after the cut")
        report, copy = kfcheck.check_store(str(path)), kfcheck.check_dir(str(remote))
        equal(report.findings + copy.findings, [], f"{words[0]} cut")
        if n % 2:
            is_new = report.docs == restored
            check(is_new or report.docs == before, f"restore cut: neither before nor after: {sorted(report.docs)}")
        else:
            equal(len(report.docs), 2, "documents of the store")
            is_new = copy.docs == report.docs
            check(is_new or copy.docs == before, "sync cut: neither before nor after")
        check(is_new or not done, f"{words[0]} had ended with 0 and is not there")
        befores, afters = befores + (not is_new), afters + is_new
    ext4.gone()
    note(f"commands cut={befores + afters} left_before={befores} left_after={afters}")
    check(befores >= 3 and afters >= 3, "cuts before and behind what counts")


main()
