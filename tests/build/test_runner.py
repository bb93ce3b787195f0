#!/usr/bin/env python3
"""The runner (tools/test.py) counts what tests print, and nothing passes by printing nothing."""

import contextlib
import importlib.util
import io
import os
import sys
import tempfile
import time

from elf import TOP
from tap import check, equal, main, test

spec = importlib.util.spec_from_file_location("runner", os.path.join(TOP, "tools/test.py"))
runner = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runner)


def outcome(text, status=0):
    return runner.Outcome(runner.Test("group", "name", ["x"]), status, text.splitlines(), [], 0.0)


def counted(text, status=0, ci=False):
    """(passed, failed, skipped) and the print of a test that printed `text`."""
    tally = runner.Tally()
    runner.CI = ci
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        tally.add(outcome(text, status))
    return (tally.passed, tally.failed, tally.skipped), printed.getvalue()


CASES = [
    # what the test printed, its exit status, (passed, failed, skipped)
    ("1..2\nok 1 - a\nok 2 - b\n", 0, (2, 0, 0)),
    ("1..2\nok 1 - a\nnot ok 2 - b\n", 1, (1, 1, 0)),
    ("1..1\nnot ok 1 - a\n", 0, (0, 1, 0)),
    ("ok 1 - a\nok 2 - b # SKIP no such device\n", 0, (1, 0, 1)),
    ("1..1\nnot ok 1 # SKIP cmocka says it so\n", 0, (0, 0, 1)),
    ("1..3\nok 1 - a\n", 0, (1, 1, 0)),
    ("1..1\n1..1\nok 1 - a\nok 1 - b\n", 0, (2, 0, 0)),
    ("ok 1 - a\n", 7, (1, 1, 0)),
    ("ok 1 - a\n", -11, (1, 1, 0)),
    ("ok 1 - a\n", None, (1, 1, 0)),
    ("", 0, (0, 1, 0)),
    ("all is well\n", 0, (0, 1, 0)),
    ("1..1\nnot possible here: power cut: no loop devices\n", 0, (0, 0, 0)),
    ("1..2\nok 1 - a\nnot possible here: power cut: no loop devices\n", 0, (1, 0, 0)),
    ("okay\nnothing ok here\n", 0, (0, 1, 0)),
]


@test
def results_are_counted():
    for text, status, wanted in CASES:
        got, _ = counted(text, status)
        equal(got, wanted, repr((text, status)))


@test
def in_ci_a_skip_is_a_failure():
    got, printed = counted("ok 1 - a # SKIP no such device\n", ci=True)
    equal(got, (0, 1, 0), "passed, failed, skipped")
    check("no such device" in printed, "with its reason")


@test
def counters_and_reasons_are_printed():
    _, printed = counted("# acks=12 kills=3\nok 1 - a\nnot possible here: power cut: no loop devices\n")
    check("acks=12 kills=3" in printed and "not possible here: power cut" in printed, printed)


@test
def a_failure_shows_what_the_test_said():
    _, printed = counted("#   wanted 1, got 2\nnot ok 1 - a\n", 1)
    check("wanted 1, got 2" in printed, printed)


@test
def a_found_saboteur_is_remembered_only_when_it_was_found():
    tally = runner.Tally()
    with contextlib.redirect_stdout(io.StringIO()):
        tally.add(outcome("ok 1 - saboteur no-dirsync is found\nnot ok 2 - saboteur retry-fsync is found\n", 1))
    equal(tally.saboteurs, ["saboteur-no-dirsync-is-found"], "found")


# A test that counts its own starts in argv[1]; it fails the first time and does after that what argv[2] says.
FLAKY = """
import os, sys
path, then = sys.argv[1:]
starts = os.path.getsize(path) if os.path.exists(path) else 0
with open(path, "a") as file: file.write(".")
if then == "aborts": os.abort()
print("ok 1 - a" if starts and then == "passes" else "not ok 1 - a")
"""


def group_of(group, then, tests=1):
    """The tally, its print, and how often each test of a group of such tests was started."""
    tally, printed = runner.Tally(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(printed):
        paths = [os.path.join(folder, str(number)) for number in range(tests)]
        made = [runner.Test(group, f"t{i}", [sys.executable, "-c", FLAKY, path, then]) for i, path in enumerate(paths)]
        runner.run_group(group, made, tally)
        starts = [os.path.getsize(path) for path in paths]
    return tally, printed.getvalue(), starts


@test
def what_failed_once_has_one_second_run():
    tally, printed, starts = group_of("script", "passes")
    equal((tally.passed, tally.failed, starts), (1, 0, [2]), "passed, failed, starts")
    check("again script/t0: a: not ok" in printed, printed)
    equal(tally.again, ["script/t0: a"], "named at the end")


@test
def what_fails_twice_has_failed():
    tally, _, starts = group_of("script", "fails")
    equal((tally.passed, tally.failed, starts), (0, 1, [2]), "passed, failed, starts")


@test
def a_crash_has_no_second_run():
    tally, _, starts = group_of("script", "aborts")
    equal((tally.failed, starts), (1, [1]), "failed, starts")


@test
def a_group_of_units_has_no_second_run():
    tally, _, starts = group_of("unit-asan", "passes")
    equal((tally.failed, starts), (1, [1]), "failed, starts")


@test
def many_failures_have_no_second_run():
    most = runner.AGAIN_MOST
    tally, _, starts = group_of("script", "passes", most + 1)
    equal((tally.passed, tally.failed, sorted(starts)), (most, 1, [1] + [2] * most), "passed, failed, starts")


@test
def in_ci_a_test_that_passes_takes_a_line():
    got, printed = counted("ok 1 - a\nok 2 - b\n", ci=True)
    equal((got, printed.strip()), ((2, 0, 0), "ok    group/name: 2"), "counted, printed")


def running(argv):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if file.read().split(b"\0")[:-1] == [word.encode() for word in argv]:
                    return True
    return False


@test
def a_test_that_overruns_is_ended_with_all_that_it_started():
    tally = runner.Tally()
    # A number that no other run at this moment has.
    number = str(100000 + os.getpid())
    script = f"import subprocess; subprocess.run(['sleep', '{number}']); print('ok 1 - never')"
    with contextlib.redirect_stdout(io.StringIO()):
        tally.add(runner.run(runner.Test("build", "name", [sys.executable, "-c", script], timeout_s=1), "release"))
    equal((tally.passed, tally.failed), (0, 1), "passed, failed")
    deadline = time.monotonic() + 10
    while running(["sleep", number]):
        check(time.monotonic() < deadline, "the child is gone")
        time.sleep(0.02)


main()
