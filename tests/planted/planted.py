#!/usr/bin/env python3
"""Runs a program with a planted defect: the sanitizer must end it and report the defect by name."""

import os
import subprocess
import sys

program, report = sys.argv[1:]
done = subprocess.run([program], capture_output=True, text=True, errors="replace")
found = done.returncode != 0 and report in done.stderr
print("1..1")
print(f"{'ok' if found else 'not ok'} 1 - {os.path.basename(program)} is reported as {report}")
if not found:
    print(f"exit status {done.returncode}\n{done.stderr}", file=sys.stderr)
    sys.exit(1)
