#!/usr/bin/env python3
"""clang-tidy over our sources, as many at a time as there are processors.

    tools/tidy.py [FILE...]     default: every source in src/ and bench/ that the test build compiles

A file that was clean is not read again until it, a header of ours, or .clang-tidy changes."""

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, "build-test")
KEPT = os.path.join(BUILD, "tidy")
FACTS = os.path.join(TOP, "tools/analyzer.h")
NOT_CLANGS = ["-Wno-unknown-warning-option", "-Wno-ignored-optimization-argument"]


def bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


def common_key():
    """Changes with everything that may change the verdict on any file."""
    key = hashlib.sha256(bytes_of(os.path.join(TOP, ".clang-tidy")) + bytes_of(FACTS))
    for folder in ("src", "include"):
        for path, folders, files in os.walk(os.path.join(TOP, folder)):
            folders.sort()
            for name in sorted(files):
                if name.endswith((".h", ".def")):
                    key.update(name.encode() + bytes_of(os.path.join(path, name)))
    return key


def check(entry, common):
    source = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
    key = common.copy()
    key.update(source.encode() + bytes_of(source) + entry["command"].encode())
    mark = os.path.join(KEPT, key.hexdigest())
    if os.path.exists(mark):
        return ""
    more = list(NOT_CLANGS)
    if os.path.basename(source) != "err.c":
        more += ["-I" + os.path.join(TOP, "src"), "-I" + os.path.join(TOP, "include"), "-include", FACTS]
    arguments = ["clang-tidy-14", "--quiet", "-p", BUILD] + [f"--extra-arg={word}" for word in more] + [source]
    done = subprocess.run(arguments, capture_output=True, text=True, errors="replace")
    if done.returncode == 0:
        with open(mark, "w", encoding="utf-8"):
            pass
        return ""
    return done.stdout + "".join(line for line in done.stderr.splitlines(True) if "warnings generated" not in line)


def main():
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    wanted = [os.path.abspath(name) for name in sys.argv[1:]]
    chosen = {}
    for entry in entries:
        source = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
        name = os.path.relpath(source, TOP)
        if source in wanted or (not wanted and name.startswith(("src/", "bench/"))):
            chosen[source] = entry
    os.makedirs(KEPT, exist_ok=True)
    common = common_key()
    found = False
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for text in pool.map(lambda entry: check(entry, common), chosen.values()):
            if text:
                found = True
                print(text, end="", flush=True)
    if not chosen:
        print("tidy: nothing to read")
    sys.exit(1 if found or not chosen else 0)


main()
