#!/usr/bin/env python3
# test: timeout=240
"""Git hosts that are silent or never end (tests/faultcells.py). git gives a silent one up after half a minute, so this file is as long,
and idle for most of it."""

import os
import sys

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
from faultcells import cell, run_cells  # noqa: E402
from tap import main, test  # noqa: E402


@cell("too slow|silent", drained_s=60)
def black_hole(c):
    c.proxy.black_hole()
    return c.proxy.pass_on


@cell("too slow|silent", drained_s=60)
def one_byte_a_second(c):
    c.proxy.slow(1)
    return c.proxy.pass_on


@cell("too slow|silent", drained_s=60)
def hang_after_head(c):
    c.proxy.hang_after_head()
    return c.proxy.pass_on


@cell("memory|more than|too long|did not end|silent|signal", drained_s=60)
def endless_answer(c):
    c.proxy.endless()
    return c.proxy.pass_on


@test
def local_writes_do_not_notice_and_the_queue_drains():
    run_cells()


main()
