#!/usr/bin/env python3
"""The tables of src/base/fold.c are what tools/fold_table.py makes of Unicode's data."""

import subprocess
import sys
import unicodedata

from elf import TOP
from tap import NotPossible, equal, main, test

sys.path.insert(0, f"{TOP}/tools")
sys.dont_write_bytecode = True
import fold_table  # noqa: E402


@test
def the_tables_are_made_by_the_script():
    if unicodedata.unidata_version != fold_table.VERSION:
        raise NotPossible(f"this Python has Unicode {unicodedata.unidata_version}, the tables are those of {fold_table.VERSION}")
    made = subprocess.run([f"{TOP}/tools/fold_table.py"], capture_output=True, text=True, check=True).stdout
    with open(f"{TOP}/src/base/fold_table.def", encoding="ascii") as file:
        equal(made.splitlines(), file.read().splitlines(), "src/base/fold_table.def")


main()
