#!/usr/bin/env python3
# test: timeout=600
"""A crash at every I/O call of every script, each with four outcomes, and again in the recovery from some of them."""

import os
import sys

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
import crashsim  # noqa: E402
from tap import main, test  # noqa: E402


def holds(script):
    def run():
        crashsim.holds("crash", script)

    run.__name__ = f"crash_anywhere_in_{script}"
    return run


for name in crashsim.scripts("crash"):
    test(holds(name))


@test
def saboteur_ack_before_sync_is_found():
    crashsim.found("crash", "put", "ack-before-sync")


@test
def saboteur_ack_before_write_is_found():
    crashsim.found("crash", "put", "ack-before-write")


@test
def saboteur_checkpoint_unsynced_is_found():
    crashsim.found("crash", "checkpoint", "checkpoint-unsynced")


@test
def saboteur_redo_not_synced_is_found():
    crashsim.found("crash", "streams_ahead", "redo-not-synced")


@test
def saboteur_no_dirsync_is_found():
    crashsim.found("crash", "swap", "no-dirsync")


@test
def saboteur_rename_before_sync_is_found():
    crashsim.found("crash", "swap", "rename-before-sync")


@test
def saboteur_rename_before_sync_is_found_at_a_place():
    crashsim.found("crash", "push", "rename-before-sync")


@test
def saboteur_manifest_before_blobs_is_found():
    crashsim.found("crash", "push", "manifest-before-blobs")


@test
def saboteur_ack_before_sync_is_found_in_tokens():
    crashsim.found("crash", "tokens", "ack-before-sync")


main()
