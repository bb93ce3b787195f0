#!/usr/bin/env python3
# test: timeout=300
"""kill -9 at random moments, and exactly at the k-th sync, write, rename and unlink: everything acknowledged is there."""

import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
from crash import Ledger, Loss, Writer, held, judge  # noqa: E402
from keepfast import folder  # noqa: E402
from tap import check, main, note, test  # noqa: E402

LONG = os.environ.get("KEEPFAST_LONG") == "1"
CYCLES = 20000 if LONG else 250
SEED = int(os.environ.get("KEEPFAST_SEED", random.randrange(1 << 30)))
RNG = random.Random(SEED)
TOP = folder()


def cycle(path, wait_s, env=None, wrap=()):
    """One life of the writer. (acks, whether a commit was in flight when it was killed)."""
    ledger = Ledger()
    writer = Writer(path, ledger, env=env, wrap=wrap)
    if wait_s is not None:
        writer.first.wait(10)
        time.sleep(wait_s)
    else:
        writer.process.wait(30)
    status = writer.end()
    if status not in (-9, 137):
        raise RuntimeError(f"the writer ended by itself with {status}: {writer.errors}")
    return ledger.acks, judge(ledger, held(path, TOP / "copy"))


@test
def at_random_moments():
    path, acks, in_flight = TOP / "random.db", 0, 0
    for _ in range(CYCLES):
        got, ahead = cycle(path, RNG.uniform(0.001, 0.02))
        acks += got
        in_flight += ahead > 0
        if path.stat().st_size > 40 << 20:
            path = TOP / f"random{acks}.db"
    note(f"kills={CYCLES} acks={acks} kills_with_commit_in_flight={in_flight} seed={SEED}")
    check(acks >= CYCLES * 10, "the writer really wrote")
    check(in_flight >= CYCLES // 20, "some kills met a commit")


@test
def exactly_at_the_kth_call():
    kills = 0
    for call, last in (("fdatasync", 30), ("pwrite64", 60), ("unlink", 1), ("ftruncate", 1)):
        for k in range(1, last + 1):
            path = TOP / f"{call}{k}.db"
            log = TOP / "strace.log"
            wrap = ("strace", "-f", "-qq", "-o", str(log), "-e", f"trace={call}", "-e",
                    f"inject={call}:signal=KILL:when={k}")
            try:
                cycle(path, None, wrap=wrap)
            except RuntimeError:
                continue  # fewer such calls than k in the threads of this run
            kills += 1
            held(path, TOP / "copy") if path.exists() else None
    note(f"kills_at_a_call={kills}")
    check(kills >= 60, f"only {kills} kills met their call")


@test
def saboteur_ack_before_write_is_found():
    for n in range(60):
        try:
            cycle(TOP / f"sabotage{n}.db", RNG.uniform(0.001, 0.02), env={"KF_SABOTAGE": "ack-before-write"})
        except Loss as found:
            note(f"found after {n + 1} kills: {found}")
            return
    raise AssertionError("a store that answers before it writes was not found out in 60 kills")


main()
