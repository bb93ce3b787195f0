#!/usr/bin/env python3
"""What the libraries show to the programs that link them."""

import os

from elf import ARCHIVE, SHARED, TOP, output, public_calls
from tap import check, equal, main, test


def defined(*nm_arguments):
    lines = (line.split() for line in output("nm", "--defined-only", *nm_arguments).splitlines())
    return {words[-1] for words in lines if len(words) == 3}


@test
def the_shared_library_exports_only_public_calls():
    equal(defined("-D", SHARED) - public_calls(), set(), "exported and not in keepfast.h")


@test
def both_have_every_public_call():
    for names in (defined("-D", SHARED), defined("-g", ARCHIVE)):
        if "kf_open" in names:
            equal(public_calls() - names, set(), "declared in keepfast.h and not there")


@test
def the_archive_has_only_public_calls_as_global_names():
    equal(defined("-g", ARCHIVE) - public_calls(), set(), "global and not in keepfast.h")


@test
def the_archive_has_nothing_that_one_compiler_alone_can_read():
    equal([line for line in output("readelf", "-SW", ARCHIVE).splitlines() if "lto" in line], [], "for a linker to optimize")


PROGRAM = r"""
#include <keepfast.h>
#include <sqlite3.h>
#include <stdio.h>

int main(void)
{
    sqlite3 *db;
    if (sqlite3_open(":memory:", &db) != SQLITE_OK)
        return 1;
    printf("%s %s %s\n", sqlite3_libversion(), SQLITE_VERSION, kf_version());
    return sqlite3_close(db);
}
"""


@test
def a_program_with_the_archive_keeps_its_own_sqlite():
    folder = os.environ["TMPDIR"]
    source, program = os.path.join(folder, "own.c"), os.path.join(folder, "own")
    with open(source, "w", encoding="utf-8") as file:
        file.write(PROGRAM)
    libraries = output("pkg-config", "--static", "--libs-only-l", os.path.join(os.path.dirname(ARCHIVE), "meson-private/keepfast.pc"))
    others = [word for word in libraries.split() if word != "-lkeepfast"]
    # Both orders: whichever comes first must not take the other's names.
    for compiler in ("cc", "clang-14"):
        for order in ([ARCHIVE, "-lsqlite3"], ["-lsqlite3", ARCHIVE]):
            output(compiler, "-I", os.path.join(TOP, "include"), source, "-o", program, *order, *others, "-pthread")
            loaded, header, own = output(program).split()
            equal(loaded, header, "the SQLite that the program calls is the system's")
            check(own, "and Keepfast answers")


main()
