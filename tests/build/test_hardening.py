#!/usr/bin/env python3
"""The protections of the linked files, read from the files themselves."""

import platform
import re

from elf import ARCHIVE, linked_files, output
from tap import check, main, test


def each(test_of_file):
    for path in linked_files():
        test_of_file(path)


@test
def position_independent():
    def one(path):
        check("DYN (" in output("readelf", "-h", path), f"{path} is position independent")

    each(one)


@test
def full_relro():
    def one(path):
        check("GNU_RELRO" in output("readelf", "-lW", path), f"{path} has RELRO")
        check("NOW" in output("readelf", "-dW", path), f"{path} binds everything at start")

    each(one)


@test
def no_executable_stack_and_no_writable_code():
    def one(path):
        for line in output("readelf", "-lW", path).splitlines():
            flags = re.match(r"\s+(LOAD|GNU_STACK)\s.*\s([R ][W ][E ])\s", line)
            if flags:
                check(not ("W" in flags[2] and "E" in flags[2]), f"{path}: {line.strip()}")

    each(one)


@test
def stack_protector_and_fortified_calls():
    def one(path):
        names = output("nm", "-D", "--undefined-only", path)
        check("__stack_chk_fail" in names, f"{path} checks its stack")
        check(re.search(r"__\w+_chk\b", names.replace("__stack_chk_fail", "")), f"{path} has fortified calls")

    each(one)


@test
def indirect_branch_tracking():
    if platform.machine() != "x86_64":
        return

    # The start files of the system's C library decide for a linked file; the archive is all ours.
    notes = output("readelf", "-nW", ARCHIVE)
    check("IBT" in notes and "SHSTK" in notes, "the archive is marked for CET")


@test
def no_folder_of_the_builder_to_search_libraries_in():
    def one(path):
        dynamic = output("readelf", "-dW", path)
        check("RPATH" not in dynamic and "TEXTREL" not in dynamic, f"{path} has no RPATH and no text relocations")

    each(one)


main()
