#!/usr/bin/env python3
# test: timeout=600 alone
"""Real power cuts: a store on a loop-mounted ext4 whose unsynced state is dropped by the file system's shutdown ioctl.

What was acknowledged before the cut must be there afterwards. Two controls must lose: a store that acknowledges before it
syncs, and stock SQLite with synchronous=NORMAL. Without loop devices: not possible here.
"""

import ctypes
import fcntl
import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

if os.environ.get("KF_POWERCUT_NS") != "1":  # mounts live in a namespace of this run alone
    if os.geteuid() == 0:
        os.environ["KF_POWERCUT_NS"] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, *sys.argv])

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
from crash import Ledger, Loss, Writer, held, judge  # noqa: E402
from keepfast import folder  # noqa: E402
from tap import NotPossible, check, main, note, test  # noqa: E402

LONG = os.environ.get("KEEPFAST_LONG") == "1"
CUTS = 20000 if LONG else 200
SEED = int(os.environ.get("KEEPFAST_SEED", random.randrange(1 << 30)))
RNG = random.Random(SEED)
TOP = folder()
GOINGDOWN = 0x8004587D  # _IOR('X', 125, __u32)
NO_LOG_FLUSH = 2
LIBC = ctypes.CDLL(None, use_errno=True)


class Disk:
    """An ext4 of its own in a file."""

    def __init__(self, name, megabytes=64):
        self.image, self.point = TOP / f"{name}.img", TOP / name
        self.point.mkdir()
        with open(self.image, "wb") as f:
            f.truncate(megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self.image)], check=True, capture_output=True)
        self.mount()
        os.chmod(self.point, 0o700)

    def mount(self):
        done = subprocess.run(["mount", "-o", "loop", str(self.image), str(self.point)], capture_output=True, text=True)
        if done.returncode:
            raise NotPossible(f"no loop mounts: {done.stderr.strip()}")

    def write_back_something(self):
        """A random part of what is not synced reaches the disk, as the kernel does in its own time: reordering."""
        for file in self.point.iterdir():
            if not file.is_file() or RNG.random() < 0.5:
                continue
            fd = os.open(file, os.O_RDONLY)
            size = os.fstat(fd).st_size
            for _ in range(RNG.randrange(4)):
                start = RNG.randrange(0, max(1, size), 4096) if size > 4096 else 0
                LIBC.sync_file_range(fd, ctypes.c_int64(start), ctypes.c_int64(4096 * RNG.randrange(1, 16)), 7)
            os.close(fd)

    def cut(self):
        fd = os.open(self.point, os.O_RDONLY)
        fcntl.ioctl(fd, GOINGDOWN, NO_LOG_FLUSH.to_bytes(4, sys.byteorder))
        os.close(fd)

    def again(self):
        """The machine starts again."""
        for _ in range(100):
            if subprocess.run(["umount", str(self.point)], capture_output=True).returncode == 0:
                break
            time.sleep(0.01)
        self.mount()

    def gone(self):
        subprocess.run(["umount", "-l", str(self.point)], capture_output=True)
        self.image.unlink()


def possible():
    if os.geteuid() != 0:
        raise NotPossible("only root may mount")
    try:
        os.close(os.open("/dev/loop-control", os.O_RDWR))
    except OSError as why:
        raise NotPossible(f"/dev/loop-control: {why.strerror}") from None


def cut_once(disk, path, env=None, wait_s=None):
    """One life of the writer, one cut. (ledger, names ahead of it afterwards)."""
    ledger = Ledger()
    writer = Writer(path, ledger, env=env)
    writer.first.wait(10)
    time.sleep(RNG.uniform(0.005, 0.06) if wait_s is None else wait_s)
    if RNG.random() < 0.5:
        disk.write_back_something()
    ledger.freeze()
    disk.cut()
    writer.end()
    disk.again()
    return ledger, judge(ledger, held(path, TOP / "copy"))


@test
def nothing_acknowledged_is_lost():
    possible()
    disk = Disk("main")
    path = disk.point / "store.db"
    acks = in_flight = again = commits = writes = 0
    for n in range(CUTS):
        ledger, ahead = cut_once(disk, path)
        acks += ledger.acks
        in_flight += ledger.late > 0 or ahead > 0
        commits += ledger.groups[0]
        writes += ledger.groups[1]
        if n % 10 == 9:  # once more while it recovers
            writer = Writer(path, Ledger())
            time.sleep(RNG.uniform(0, 0.01))
            writer.ledger.freeze()
            disk.cut()
            writer.end()
            disk.again()
            judge(ledger, held(path, TOP / "copy"))
            again += 1
        if path.stat().st_size > 24 << 20:
            disk.gone()
            disk = Disk(f"main{n}")
            path = disk.point / "store.db"
    mean = writes / max(1, commits)
    note(f"cuts={CUTS} acks={acks} cuts_in_flight={in_flight} cuts_in_recovery={again} mean_group={mean:.2f} seed={SEED}")
    disk.gone()
    check(acks >= 25 * CUTS, "the writer really wrote")
    check(in_flight >= 30 * CUTS // 200, "cuts met commits")
    check(mean > 1.5, "groups were groups")


@test
def saboteur_ack_before_sync_is_found():
    possible()
    disk = Disk("sabotage")
    lost = 0
    for n in range(25):
        try:
            cut_once(disk, disk.point / f"store{n}.db", env={"KF_SABOTAGE": "ack-before-sync"})
        except Loss as found:
            lost += 1
            note(f"cut {n + 1}: {found}")
    disk.gone()
    note(f"cuts=25 lost={lost}")
    check(lost >= 1, "a store that answers before it syncs was not found out in 25 cuts")


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
    possible()
    disk = Disk("normal")
    path = disk.point / "stock.db"
    lost = 0
    for _ in range(15):
        ledger = Ledger()
        process = subprocess.Popen([sys.executable, "-c", STOCK, str(path)], stdout=subprocess.PIPE, text=True)
        until = time.monotonic() + RNG.uniform(0.2, 0.4)
        while time.monotonic() < until:
            ledger.line(process.stdout.readline())
        ledger.freeze()
        disk.cut()
        process.kill()
        process.wait()
        process.stdout.close()
        disk.again()
        db = sqlite3.connect(path)
        try:
            have = db.execute("SELECT coalesce(max(n), 0) FROM t").fetchone()[0]
        except sqlite3.OperationalError:
            have = 0
        db.close()
        lost += have < ledger.last.get("t", 0)
    disk.gone()
    note(f"cuts=15 lost={lost}")
    check(lost >= 1, "the harness cannot see what synchronous=NORMAL loses")


main()
