#!/usr/bin/env python3
"""Runs one fuzz target as a test: over its seeds, then for a short while with a fixed seed.

    tools/fuzz.py PROGRAM SEED-FOLDER

KEEPFAST_LONG=1 fuzzes for half an hour with a fresh seed, which is printed. An input that fails is printed as hex; put it
among the seeds when it is mended."""

import os
import random
import subprocess
import sys
import tempfile

LONG = os.environ.get("KEEPFAST_LONG") == "1"


def show_failures(folder):
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            data = file.read()
        print(f"#   {name}: {len(data)} bytes: {data[:2000].hex()}")


def step(number, what, argv, artifacts):
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace")
    if done.returncode == 0:
        print(f"ok {number} - {what}")
        return True
    for line in done.stderr.splitlines()[-80:]:
        print(f"#   {line}")
    show_failures(artifacts)
    print(f"not ok {number} - {what}")
    return False


def main():
    program, seeds = sys.argv[1:]
    count = sum(len(files) for _, _, files in os.walk(seeds))
    print("1..2")
    if not count:
        print(f"not ok 1 - there are seeds in {seeds}")
        sys.exit(1)
    seed = random.randrange(1, 2**31) if LONG else 1
    with tempfile.TemporaryDirectory() as grown, tempfile.TemporaryDirectory() as artifacts:
        common = [program, "-rss_limit_mb=1024", "-timeout=10", f"-artifact_prefix={artifacts}/"]
        limits = ["-max_total_time=1800"] if LONG else ["-runs=20000", "-max_total_time=5"]
        words = os.path.join(os.path.dirname(os.path.dirname(seeds.rstrip("/"))), os.path.basename(seeds.rstrip("/")) + ".dict")
        if os.path.exists(words):
            common.append(f"-dict={words}")
        good = step(1, f"{count} seeds", common + ["-runs=0", seeds], artifacts)
        good = good and step(2, f"inputs grown from them, seed {seed}", common + limits + [f"-seed={seed}", grown, seeds], artifacts)
    sys.exit(0 if good else 1)


main()
