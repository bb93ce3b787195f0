#!/usr/bin/env python3
# test: timeout=120
"""Other programs read the file with their own SQLite while a store is written, and end; then the writer is killed.

Closing any descriptor of the database drops the locks that SQLite holds on it for the whole process. The next program to end
then believes it is the last, and deletes the log under the writer: what is acknowledged from then on goes nowhere. That
is why nothing but SQLite may open these files (finding 2 of the promises); the saboteur does it.

Appends to streams are acknowledged before the tables have them: who reads beside may see fewer than that, never a gap, and takes as little away."""

import os
import sqlite3
import sys
import time
from contextlib import closing

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
import crash_streams  # noqa: E402
from crash import Ledger, Loss, Writer, held, judge  # noqa: E402
from keepfast import folder  # noqa: E402
from tap import check, main, note, test  # noqa: E402

TOP = folder()
READS = 10


def life(path, ledger, env=None):
    """One writer; programs come, read and go; kill -9. How often they read."""
    writer = Writer(path, ledger, env=env, threads=4)
    writer.opened.wait(10)
    for _ in range(READS):
        time.sleep(0.02)
        # Not read-only: one that may delete the log when it is the last.
        with closing(sqlite3.connect(path, timeout=5)) as db:
            check(db.execute("SELECT count(*) FROM kf_state").fetchone()[0] == 1, "the state row")
    time.sleep(0.05)
    writer.kill()
    return READS


@test
def programs_that_read_beside_take_nothing_away():
    path, ledger, reads = TOP / "beside.db", Ledger(), 0
    for _ in range(5):
        reads += life(path, ledger)
        judge(ledger, held(path))
    note(f"acks={ledger.acks} reads={reads}")
    check(ledger.acks >= 1000, f"only {ledger.acks} acknowledgements")


@test
def saboteur_raw_open_close_is_found():
    path, ledger = TOP / "raw.db", Ledger()
    try:
        for _ in range(3):
            life(path, ledger, {"KF_SABOTAGE": "raw-open-close"})
            judge(ledger, held(path))
    except (Loss, sqlite3.DatabaseError) as loss:
        note(f"as it must: {loss}")
        return
    check(False, "nothing was lost")


# ------------------------------------------------------------------------------------------- streams


def entries_beside(path, seen):
    """key -> entries of the streams that only grow, as one moment of the tables has them; those behind what was seen before are read: who would read
    all of them each time might be slower than the writer. Raises Loss when that is none of a store."""
    found = {}
    # Not read-only, as above.
    with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as db:
        db.execute("BEGIN")
        streams = db.execute("SELECT id, key, count FROM kf_stream WHERE key = 'all' OR key LIKE 'chat/%'").fetchall()
        for stream, key, count in streams:
            last = seen.get(key, 0)
            for n, entry, body in db.execute("SELECT n, id, body FROM kf_entry WHERE stream = ? AND n > ? ORDER BY n", (stream, last)):
                last += 1
                if n != last or n > count:
                    raise Loss(f"{key}: entry {n} of {count} stands at {last}")
                text = body.encode() if isinstance(body, str) else body
                if key != "all" and (entry.split("-")[1] != str(n) or crash_streams.body_number(text) != n):
                    raise Loss(f"{key}: entry {n} is {entry} {body[:40]}")
            if last != count:
                raise Loss(f"{key}: {last} entries of {count}")
            found[key] = count
    return found


def life_of_streams(path, told, seen, env=None):
    """Placed appends; programs come, read and go; kill -9. What was seen in this life and before it stays in `seen`.
    (reads that found entries, reads behind what had been acknowledged)"""
    writer = crash_streams.StreamWriter(path, told, env)
    writer.opened.wait(20)
    reads, behind = 0, 0
    try:
        for _ in range(READS):
            time.sleep(0.02)
            with writer.lock:
                acked = {words[1]: int(words[3]) for words in map(str.split, writer.lines) if words[0] == "A"}
            found = entries_beside(path, seen)
            for key, count in seen.items():
                if found.get(key, 0) < count:
                    raise Loss(f"{key}: {found.get(key)} entries where {count} were")
            behind += any(found.get(key, 0) < last for key, last in acked.items() if key.startswith("chat/"))
            reads += bool(found)
            seen.update(found)
        time.sleep(0.05)
    finally:
        writer.kill()
    return reads, behind


@test
def programs_that_read_streams_beside_see_a_beginning():
    """What they see may end before what was acknowledged, and has no gap; and they take nothing away."""
    place, told, seen, reads, behind = TOP / "streams", crash_streams.Told(), {}, 0, 0
    place.mkdir()
    (place / "keepfast.yaml").write_text(crash_streams.CONFIG)
    for _ in range(5):
        found = life_of_streams(place / "s.db", told, seen)
        reads, behind = reads + found[0], behind + found[1]
        crash_streams.judge(place / "s.db", told, TOP / "copy")
    note(f"acks={told.lines} reads={reads} behind={behind} lives_ahead={told.ahead}")
    check(told.lines >= 100 and reads >= 20, "there was something to read")
    check(behind, "some read met entries that only the redo file had")


@test
def saboteur_raw_open_close_is_found_under_streams():
    place, told, seen = TOP / "raw-streams", crash_streams.Told(), {}
    place.mkdir()
    (place / "keepfast.yaml").write_text(crash_streams.CONFIG)
    try:
        for _ in range(3):
            life_of_streams(place / "s.db", told, seen, {"KF_SABOTAGE": "raw-open-close"})
            crash_streams.judge(place / "s.db", told, TOP / "copy")
    except (Loss, sqlite3.DatabaseError) as loss:
        note(f"as it must: {loss}")
        return
    check(False, "nothing was lost")


main()
