"""Runs the simulation of tests/crash/sim.c, one script at a time. Not a test itself."""

import os
import re
import subprocess

from tap import check, note

PROGRAM = os.path.join(os.environ["KF_BUILD"], "tests/crash/crashsim")
FLOORS = os.path.join(os.environ["KF_TOP"], "tests/crash/crashsim.floors")
SEED = os.environ.get("SEED", "1")


def run(mode, script, saboteur=""):
    """(exit status, lines) of one script."""
    done = subprocess.run([PROGRAM, mode, script], env=dict(os.environ, KF_SABOTAGE=saboteur, SEED=SEED), capture_output=True,
                          text=True)
    return done.returncode, (done.stdout + done.stderr).splitlines()


def scripts(mode):
    """Those that have a floor in this mode: a script without one is never tried, which sim.c itself refuses."""
    with open(FLOORS, encoding="utf-8") as file:
        return [line.split()[1] for line in file if line.startswith(mode + " ")]


def holds(mode, script):
    status, lines = run(mode, script)
    for line in lines:
        if line.startswith("#"):
            note(line[2:])
    wrong = [line for line in lines if line.startswith("not ok")]
    check(status == 0 and not wrong, f"{mode} {script}: status {status}: {lines[-12:]}")
    check(any(re.match(r"ok \d+ - ", line) for line in lines), f"{mode} {script}: nothing was tried")


def found(mode, script, saboteur):
    """The saboteur must make the script fail: what it says then is an answer about the data, or the end of the process."""
    status, lines = run(mode, script, saboteur)
    said = [line for line in lines if line.startswith("not ok")]
    check(status != 0 and said, f"{saboteur} was not found by {mode} {script}: status {status}")
