#!/usr/bin/env python3
# test: timeout=120
"""Git hosts whose data is not what it should be (tests/faultcells.py): cut, flipped, with names that leave the tree, members that stand
twice, times of another clock; and rolled back."""

import glob
import os
import sys
import time

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
from faultcells import cell, run_cells  # noqa: E402
from githostile import HOSTILE, Branch, row, rows  # noqa: E402
from tap import check, main, test  # noqa: E402

FAKETIME = (glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1") or [""])[0]


def clock(shift):
    """The environment of a program whose wall clock is wrong; its waits are as long as ever."""
    return {"LD_PRELOAD": FAKETIME, "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}


@cell("early EOF|hung up|unexpected|transfer closed|end of|[Ee]mpty reply|disconnect|closed")
def truncated(c):
    c.change_by_hand()
    c.proxy.cut(down=350)
    return c.proxy.pass_on


@cell("pack|protocol|corrupt|inflate|fatal|unexpected|deflate|gone")
def wrong_bytes(c):
    c.change_by_hand()
    c.proxy.flip(down=420)
    return c.proxy.pass_on


@cell("pack|protocol|corrupt|inflate|fatal|unexpected|deflate|gone")
def flipped_in_the_pack(c):
    c.change_by_hand()
    c.proxy.flip(down=600, only="POST /git/store.git/git-upload-pack")
    return c.proxy.pass_on


def back(c):
    """What ends a hostile change: the branch is where it was."""
    tip = c.host.tip("store", "data")
    c.tidy = lambda: c.host.at("store", "gc", "--quiet", "--prune=now")
    return lambda: c.host.set("store", "data", tip)


@cell("hasDotdot|\\.\\.|fsck|bad tree|unpack")
def names_that_leave_the_tree(c):
    heal = back(c)
    HOSTILE["dot_dot"](c.host, "store", "data")
    return heal


@cell("duplicateEntries|duplicate|fsck|unpack")
def names_that_stand_twice(c):
    heal = back(c)
    HOSTILE["duplicate_entries"](c.host, "store", "data")
    return heal


@cell("", aside=1)
def members_that_stand_twice(c):
    """In a document by hand: it is set aside, and the rest goes on."""
    c.host.commit("store", "data", {"twice.json": b'{"a":1,"a":2}\n'}, "by hand")
    c.foreign.add("twice.json")
    return lambda: None


@cell("row|not as Keepfast writes", code="bad_object")
def rows_whose_members_stand_twice(c):
    heal = back(c)
    change = Branch(c.host, "store", "data")
    line = row("good.json")
    rows(change, line[:-2] + b',"file":"other.json"}\n')
    change.done()
    return heal


@cell("older|another|follow|diverged|history", code="diverged", state="diverged")
def history_is_rewritten(c):
    """A force push: nothing is taken from it or pushed over it."""
    heal = back(c)
    c.host.rewrite("store", "data")
    return heal


@cell("older|back", code="rolled_back", state="rolled_back")
def an_older_state_comes_back(c):
    for value in (1, 0):
        check(c.client.put("/docs/seed?wait=host&timeout=30s", b"%d" % value).status == 200, "once more")
    heal = back(c)
    c.host.set("store", "data", c.host.log("store", "data")[-1].hash)
    return heal


@cell("")
def clock_15_min_ahead(c):
    c.change_by_hand(when=int(time.time()) + 900)
    return lambda: None


@cell("")
def clock_15_min_behind(c):
    c.change_by_hand(when=int(time.time()) - 900)
    return lambda: None


@cell("", env=clock("+15m"))
def our_clock_15_min_ahead(c):
    c.change_by_hand()
    return lambda: None


@cell("", env=clock("-15m"))
def our_clock_15_min_behind(c):
    c.change_by_hand()
    return lambda: None


@test
def local_writes_do_not_notice_and_the_queue_drains():
    check(FAKETIME, "libfaketime is installed")
    run_cells()


main()
