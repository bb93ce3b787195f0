#!/usr/bin/env python3
# test: timeout=240
"""kill -9 under appends, changes of attributes, trimming, indexing and erasures: what was acknowledged is there, once; what was erased is not;
and every table agrees with every other, as tests/checker/kfstreams.py reads them. Then the next life goes on from there."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
from crash import LONG, RNG, SEED, Loss, copy_of, kfcheck  # noqa: E402
from crash_streams import CONFIG, StreamWriter, Told, judge  # noqa: E402
from keepfast import folder, run  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

CYCLES = 5000 if LONG else 120
TOP = folder()
COPY = TOP / "copy"
(TOP / "keepfast.yaml").write_text(CONFIG)


def life(path, told, wait_s, env=None):
    writer = StreamWriter(path, told, env)
    writer.opened.wait(20)
    time.sleep(wait_s)
    writer.kill()


@test
def at_random_moments():
    path, told = TOP / "random.db", Told()
    going = indexed = rounds = lines = ahead = 0
    for n in range(CYCLES):
        if n and path.stat().st_size > 8 << 20:
            lines, rounds, ahead = lines + told.lines, rounds + 1, ahead + told.ahead
            path, told = TOP / f"random{n}.db", Told()
        life(path, told, RNG.uniform(0.002, 0.1))
        going += judge(path, told, COPY, whole=n % 8 == 7)["entries_going"] > 0
    with closing(sqlite3.connect(copy_of(path, COPY))) as db:
        indexed = int((db.execute("SELECT value FROM kf_meta WHERE key = 'indexed'").fetchone() or ["0"])[0])
    note(f"kills={CYCLES} acks={lines + told.lines} stores={rounds + 1} cut_in_an_erasure={going} ahead={ahead + told.ahead} indexed={indexed} seed={SEED}")
    check(lines + told.lines >= 6 * CYCLES, "the writer really wrote")
    check(told.erased or rounds, "streams were erased")
    check(ahead + told.ahead, "some deaths left acknowledged entries in the redo file alone")
    check(indexed > 0 or rounds, "words were indexed")
    equal(run("verify", "--at", path).status, 0, "and Keepfast says so, too")
    judge(path, told, COPY)


BIG = 30000  # entries: more than a slice removes, so that an erasure is several groups


def made_for_an_erasure():
    """A store with a stream of many entries, with words in the index and ids, and one of somebody else."""
    path = TOP / "source.db"
    for at in range(0, BIG, 5000):
        lines = "".join('{"id":"i%d","body":{"text":"ann wrote %d words"}}\n' % (n, n % 97) for n in range(at, at + 5000))
        equal(run("append", "chat/ann", "-", "--at", path, stdin=lines.encode()).status, 0, "append")
    equal(run("stream", "set", "chat/ann", "customer=ann", "--at", path).status, 0, "whose it is")
    equal(run("append", "chat/bob", "bob wrote", "--at", path).status, 0, "append")
    return path


def erase(path):
    return [os.environ["KEEPFAST"], "erase", "customer", "ann", "--yes", "--at", str(path)]


@test
def in_the_midst_of_an_erasure():
    """Whatever was reached: the stream is there whole, or nobody sees it, and the same call again ends what was begun."""
    source, path = made_for_an_erasure(), TOP / "cut.db"
    before = midway = unpurged = took = 0
    for n in range(400 if LONG else 24):
        for old in TOP.glob("cut.db*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        shutil.copyfile(source, path)
        began = time.monotonic()
        process = subprocess.Popen(erase(path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if n == 0:
            equal(process.wait(60), 0, "an erasure that nobody cuts")
            took = time.monotonic() - began
        else:
            time.sleep(RNG.uniform(0, took))
        process.kill()
        process.wait()
        report = kfcheck.check_store(str(copy_of(path, COPY)))
        equal(report.findings, [], "what the cut has left")
        midway += report.counts["entries_going"] > 0
        with closing(sqlite3.connect(COPY / "copy.db")) as db:
            there = db.execute("SELECT count FROM kf_stream WHERE key = 'chat/ann'").fetchone()
            unpurged += there is None and ("1",) in db.execute("SELECT value FROM kf_meta WHERE key = 'unpurged'").fetchall()
        before += there is not None
        check(there in (None, (BIG,)), f"it is there by half: {there}")
        equal(subprocess.run(erase(path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode, 0, "the same again")
        report = kfcheck.check_store(str(copy_of(path, COPY)))
        equal(report.findings, [], "behind the end")
        equal(report.counts["entries_going"], 0, "entries that are left")
        with closing(sqlite3.connect(COPY / "copy.db")) as db:
            tables = ("kf_entry", "kf_entry_once", "kf_entry_once_new", "kf_erasing")
            equal([db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables], [1, 0, 0, 0], "rows that are left")
    note(f"erasures: cut before={before} midway={midway} with words left={unpurged} took={took:.2f} s seed={SEED}")
    check(midway >= 3, "erasures were cut midway")


def found_by_a_kill(saboteur, tries=150):
    told, path = Told(), TOP / f"{saboteur}.db"
    for n in range(tries):
        try:
            life(path, told, RNG.uniform(0.005, 0.06), env={"KF_SABOTAGE": saboteur})
            judge(path, told, COPY)
        except Loss as found:
            note(f"found after {n + 1} kills: {found}")
            return
    raise AssertionError(f"{saboteur} was not found in {tries} kills")


@test
def saboteur_ack_before_write_is_found_under_streams():
    found_by_a_kill("ack-before-write")


@test
def saboteur_redo_not_written_is_found():
    found_by_a_kill("redo-not-written")


@test
def saboteur_trim_uncounted_is_found_by_the_checker():
    found_by_a_kill("trim-uncounted", 20)


@test
def saboteur_words_skipped_is_found_by_the_checker():
    found_by_a_kill("words-skipped", 60)


main()
