#!/usr/bin/env python3
"""tools/setup.sh on machines that are made up by programs in front of the real ones."""

import os
import subprocess

from elf import TOP, output
from tap import check, equal, main, test

FOLDER = os.environ["TMPDIR"]


def machine(installed, user, apt="exit 0"):
    """Runs setup where these packages are installed; returns the run and the calls of apt-get."""
    folder = os.path.join(FOLDER, "bin")
    os.makedirs(folder, exist_ok=True)
    calls = os.path.join(FOLDER, "calls")
    for name, body in {
        "dpkg-query": 'for last; do :; done\ncase " %s " in *" $last "*) printf installed ;; *) exit 1 ;; esac' % " ".join(installed),
        "id": f"echo {user}",
        "apt-get": f'echo "$@" >>{calls}\n{apt}',
        "npm": "exit 0",
    }.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n" + body + "\n")
        os.chmod(os.path.join(folder, name), 0o755)
    if os.path.exists(calls):
        os.remove(calls)
    done = subprocess.run(
        ["tools/setup.sh", "packaging/debian-packages.txt"],
        cwd=TOP, env=dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}"), capture_output=True, text=True,
    )
    made = []
    if os.path.exists(calls):
        with open(calls, encoding="utf-8") as file:
            made = file.read().splitlines()
    return done, made


def listed():
    with open(os.path.join(TOP, "packaging/debian-packages.txt"), encoding="utf-8") as file:
        return [line.split()[0] for line in file if line.strip() and not line.startswith("#")]


@test
def nothing_is_done_when_all_is_there():
    done, calls = machine(listed(), 0)
    equal((done.returncode, done.stdout, calls), (0, "", []), "status, output, calls")


@test
def without_root_the_command_is_printed():
    done, calls = machine([name for name in listed() if name not in ("meson", "uthash-dev")], 1000)
    equal(calls, [], "nothing is installed")
    check(done.returncode == 1, "it fails")
    check("apt-get install --no-install-recommends meson uthash-dev" in done.stderr, f"it says what to run: {done.stderr}")


@test
def as_root_only_what_is_missing_is_installed():
    done, calls = machine([name for name in listed() if name not in ("meson", "uthash-dev")], 0)
    equal(done.returncode, 0, done.stderr)
    check(calls[0].startswith("update") and calls[1].startswith("install"), "first update, then install")
    check(calls[1].endswith(" meson uthash-dev"), "exactly what is missing")
    check("--no-install-recommends" in calls[1], "and no more")


@test
def a_failed_installation_is_told():
    done, _ = machine([], 0, apt='echo "E: no such package" >&2; [ "$1" = update ]')
    check(done.returncode == 1 and "no such package" in done.stderr, done.stderr)


@test
def every_package_has_its_reason():
    for name in ("debian-packages.txt", "debian-packages-demo.txt", "debian-packages-test.txt"):
        with open(os.path.join(TOP, "packaging", name), encoding="utf-8") as file:
            for line in file:
                check(line.startswith("#") or len(line.split()) > 1, f"{name}: {line.strip()}")


main()
