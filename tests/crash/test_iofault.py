#!/usr/bin/env python3
# test: timeout=900
"""Every I/O call of every script made to fail: an error, no space, a write cut short; once, and from then on."""

import os
import sys

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
import crashsim  # noqa: E402
from tap import main, test  # noqa: E402


def holds(script):
    def run():
        crashsim.holds("fault", script)

    run.__name__ = f"a_fault_anywhere_in_{script}"
    return run


for name in crashsim.scripts("fault"):
    test(holds(name))


@test
def saboteur_retry_fsync_is_found():
    crashsim.found("fault", "put", "retry-fsync")


@test
def saboteur_enospc_as_ok_is_found():
    crashsim.found("fault", "put", "enospc-as-ok")


@test
def saboteur_short_write_ignored_is_found():
    crashsim.found("fault", "put", "short-write-ignored")


main()
