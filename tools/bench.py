#!/usr/bin/env python3
"""Runs what is in bench/ and prints its figures: each line as it comes, a table at the end."""

import glob
import json
import os
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, "build-bench")
TIMEOUT_S = 900


def found(patterns):
    programs = [p for p in sorted(glob.glob(os.path.join(BUILD, "bench", "bench_*"))) if os.access(p, os.X_OK) and os.path.isfile(p)]
    for path in sorted(glob.glob(os.path.join(TOP, "bench/*.py"))):
        with open(path, encoding="utf-8") as file:
            if file.readline().startswith("#!"):
                programs.append(path)
    return [p for p in programs if not patterns or any(pattern in os.path.basename(p) for pattern in patterns)]


def run(program, figures):
    """Prints what it prints; collects the figures. Returns whether it ended well."""
    argv = [sys.executable, program] if program.endswith(".py") else [program]
    with tempfile.TemporaryDirectory(prefix="kf-bench-", dir=BUILD) as folder:
        environment = dict(os.environ, KF_TOP=TOP, KF_BUILD=BUILD, KEEPFAST=os.path.join(BUILD, "keepfast"), TMPDIR=folder,
                           PYTHONDONTWRITEBYTECODE="1")
        process = subprocess.Popen(argv, cwd=TOP, env=environment, stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.startswith("{"):
                figures.append(json.loads(line))
        return process.wait(TIMEOUT_S) == 0


def verdict(figure):
    """The number that the target is about, and the word for it."""
    less = figure.get("better") == "less"
    base = figure.get("base")
    reached = figure["value"] / base if base else figure["value"]
    target, aim = figure.get("target"), figure.get("aim")

    def good(bound):
        return reached <= bound if less else reached >= bound

    if target is None:
        return reached, ""
    if not good(target):
        return reached, "BELOW"
    return reached, "aim" if aim is not None and good(aim) else "ok"


def number(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(figures):
    rows = [("figure", "value", "unit", "against", "base", "reached", "target", "aim", "")]
    for figure in figures:
        reached, word = verdict(figure)
        rows.append((figure["name"], number(figure["value"]), figure.get("unit", ""), figure.get("against", ""), number(figure.get("base")),
                     number(reached), number(figure.get("target")), number(figure.get("aim")), word))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    return any(row[-1] == "BELOW" for row in rows)


def main():
    programs = found(sys.argv[1:])
    figures, broken = [], []
    for program in programs:
        if not run(program, figures):
            broken.append(os.path.basename(program))
    print()
    below = table(figures)
    for name in broken:
        print(f"bench: {name} failed", file=sys.stderr)
    if not figures:
        print("bench: nothing was measured", file=sys.stderr)
    sys.exit(1 if below or broken or not figures else 0)


main()
