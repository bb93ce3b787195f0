#!/usr/bin/env python3
"""A release contains no switch of the tests."""

import os
import re

from elf import ARCHIVE, PROGRAM, SHARED, TOP, output, sources
from tap import check, main, test

HOOK = re.compile(r'KF_(?:SABOTAGE|SOMETIMES)\("([^"]+)"\)')


def files():
    return [path for path in (SHARED, ARCHIVE, PROGRAM) if os.path.exists(path)]


@test
def the_hooks_are_not_in_a_release():
    for path in files():
        names = output("nm", path)
        check("hooks_sabotage" not in names and "hooks_reached" not in names, f"{path} has no hooks")


@test
def nor_are_their_names():
    wanted = {name for path in sources("src/**/*.[ch]") for name in HOOK.findall(open(path, encoding="utf-8").read())}
    for path in files():
        with open(path, "rb") as file:
            data = file.read()
        check(b"KF_SABOTAGE" not in data and b"KF_SOMETIMES" not in data, f"{path} reads no switch")
        for name in wanted:
            check(b"\0" + name.encode() + b"\0" not in data, f"{path} does not contain {name}")


@test
def but_are_in_a_test_build():
    core = os.path.join(TOP, "build-test", "libkeepfast-core.a")
    check("hooks_sabotage" in output("nm", core), "the check above can find them")


main()
