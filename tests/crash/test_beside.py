#!/usr/bin/env python3
# test: timeout=120
"""Other programs read the file with their own SQLite while a store is written, and end; then the writer is killed.

Closing any descriptor of the database drops the locks that SQLite holds on it for the whole process. The next program to end
then believes it is the last, and deletes the log under the writer: what is acknowledged from then on goes nowhere. That
is why nothing but SQLite may open these files (finding 2 of the promises); the saboteur does it."""

import os
import sqlite3
import sys
import time
from contextlib import closing

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
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


main()
