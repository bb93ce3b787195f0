#!/usr/bin/env python3
"""The durable write of a file keeps its order, and the check of it finds those who break it."""

import os
import subprocess
import tempfile

from tap import check, equal, main, test

PROGRAM = os.path.join(os.environ["KF_BUILD"], "tests/crash/durable_write")


def run(saboteur=""):
    """(exit status, what it said) of one durable write, watched."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([PROGRAM, folder], env=dict(os.environ, KF_SABOTAGE=saboteur), capture_output=True, text=True)
    return done.returncode, done.stderr.strip()


@test
def the_order_holds():
    equal(run(), (0, ""), "status and fault")


def found(saboteur, fault):
    status, said = run(saboteur)
    check(status == 1 and fault in said, f"with {saboteur}: status {status}, {said!r}")


@test
def saboteur_no_dirsync_is_found():
    found("no-dirsync", "the rename was not synced")


@test
def saboteur_rename_before_sync_is_found():
    found("rename-before-sync", "renamed before it was synced")


@test
def saboteur_short_write_ignored_is_found():
    found("short-write-ignored", "renamed before it was whole")


main()
