#!/usr/bin/env python3
# test: timeout=240
"""kill -9 under appends, changes of attributes, trimming, indexing and erasures: what was acknowledged is there, once; what was erased is not;
and every table agrees with every other, as tests/checker/kfstreams.py reads them. Then the next life goes on from there."""

import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
from crash import LONG, RNG, SEED, Loss, copy_of, kfcheck  # noqa: E402
from keepfast import folder, run  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

WRITER = os.path.join(os.environ["KF_BUILD"], "tests", "crash", "stream_writer")
CYCLES = 5000 if LONG else 120
THREADS = 4
TOP = folder()
(TOP / "keepfast.yaml").write_text('spaces: { default: { streams: [ { match: "last/*", window: 3, keep: { last: 5 } }, { match: "**", window: 20 } ] } }\n')


class Told:
    """What was acknowledged over the whole life of one store."""

    def __init__(self):
        self.last, self.attributes, self.ids, self.appended, self.erased = {}, {}, set(), set(), set()
        self.lines = 0

    def line(self, text):
        words = text.split()
        self.lines += words[0] in "AIPX"
        if words[0] == "A":
            self.last[words[1]] = max(self.last.get(words[1], 0), int(words[3]))
            self.appended.add(words[1])
        elif words[0] == "I":
            self.ids.add(words[1].encode())
        elif words[0] == "P":
            self.attributes[words[1]] = int(words[2])
        elif words[0] == "X":
            self.erased.add(words[1])
        elif words[0] == "E":
            raise Loss(f"the writer failed: {text}")


def life(path, told, wait_s, env=None):
    """One life of the writer, ended by SIGKILL; what it said before that has been read."""
    process = subprocess.Popen([WRITER, str(path), str(THREADS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **(env or {})})
    lines, opened = [], threading.Event()

    def read():
        for line in process.stdout:
            if line.endswith(b"\n"):
                lines.append(line.decode())
                opened.set()
        opened.set()

    reader = threading.Thread(target=read)
    reader.start()
    opened.wait(20)
    time.sleep(wait_s)
    process.kill()
    process.wait()
    reader.join()
    errors = process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    for line in lines:
        told.line(line)
    equal(process.returncode, -9, f"how the writer ended: {errors}")


def body_number(body):
    return int(re.match(rb'\{"n":(\d+),', body)[1])


def judge(path, told, whole=True):
    """Raises Loss, or returns what the checker has counted."""
    copy = copy_of(path, TOP / "copy")
    counts = {"entries_going": 0}
    if whole:
        report = kfcheck.check_store(str(copy))
        counts = report.counts
        if report.findings:
            raise Loss(f"the store is not sound: {report.findings[:3]}")
    with closing(sqlite3.connect(copy)) as db:
        db.text_factory = bytes
        streams = {key.decode(): (id_, last_n, count, attrs) for id_, key, last_n, count, attrs in
                   db.execute("SELECT id, key, last_n, count, attrs FROM kf_stream")}
        for key in told.erased & set(streams):
            raise Loss(f"{key} was erased and is there")
        for key, last in told.last.items():
            if key in told.erased or key.startswith("gone/") and key not in streams:
                continue  # the erasure was in flight
            id_, last_n, count, _ = streams.get(key, (0, 0, 0, b""))
            if last_n < last:
                raise Loss(f"{key}: entry {last} was acknowledged, the store has {last_n}")
            if count != (min(5, last_n) if key.startswith("last/") else last_n):
                raise Loss(f"{key}: {count} entries of {last_n}")
            for n, entry, body in db.execute("SELECT n, id, body FROM kf_entry WHERE stream = ?", (id_,)):
                if body_number(body) != n or entry.decode().split("-")[1] != str(n):
                    raise Loss(f"{key}: entry {n} is {entry} {body[:40]}")
        for key, at in told.attributes.items():
            if int(kfcheck.parse(streams[key][3])["at"]) < at:
                raise Loss(f"{key}: the attribute was {at}, it is {streams[key][3]}")
        there = [id_ for id_, in db.execute("SELECT e.id FROM kf_entry e JOIN kf_stream s ON s.id = e.stream WHERE s.key = 'all'")]
        if len(set(there)) != len(there) or not told.ids <= set(there):
            raise Loss(f"all: {len(there)} entries, {len(set(there))} ids, lost: {list(told.ids - set(there))[:3]}")
    return counts


@test
def at_random_moments():
    path, told = TOP / "random.db", Told()
    going = indexed = rounds = lines = 0
    for n in range(CYCLES):
        life(path, told, RNG.uniform(0.002, 0.1))
        going += judge(path, told, whole=n % 8 == 7)["entries_going"] > 0
        if path.stat().st_size > 8 << 20:
            lines, rounds = lines + told.lines, rounds + 1
            path, told = TOP / f"random{n}.db", Told()
    with closing(sqlite3.connect(copy_of(path, TOP / "copy"))) as db:
        indexed = int((db.execute("SELECT value FROM kf_meta WHERE key = 'indexed'").fetchone() or ["0"])[0])
    note(f"kills={CYCLES} acks={lines + told.lines} stores={rounds + 1} cut_in_an_erasure={going} indexed={indexed} seed={SEED}")
    check(lines + told.lines >= 6 * CYCLES, "the writer really wrote")
    check(told.erased or rounds, "streams were erased")
    check(indexed > 0 or rounds, "words were indexed")
    equal(run("verify", "--at", path).status, 0, "and Keepfast says so, too")
    judge(path, told)


def found_by_a_kill(saboteur, tries=150):
    told, path = Told(), TOP / f"{saboteur}.db"
    for n in range(tries):
        try:
            life(path, told, RNG.uniform(0.005, 0.06), env={"KF_SABOTAGE": saboteur})
            judge(path, told)
        except Loss as found:
            note(f"found after {n + 1} kills: {found}")
            return
    raise AssertionError(f"{saboteur} was not found in {tries} kills")


@test
def saboteur_ack_before_write_is_found_under_streams():
    found_by_a_kill("ack-before-write")


@test
def saboteur_trim_uncounted_is_found_by_the_checker():
    found_by_a_kill("trim-uncounted", 20)


@test
def saboteur_words_skipped_is_found_by_the_checker():
    found_by_a_kill("words-skipped", 60)


main()
