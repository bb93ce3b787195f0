"""What the tests of the build share: the files they look at and the tools to look with."""

import glob
import os
import re
import subprocess

TOP = os.environ.get("KF_TOP") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RELEASE = os.environ.get("KF_RELEASE") or os.path.join(TOP, "build")
SHARED = os.path.join(RELEASE, "libkeepfast.so")
ARCHIVE = os.path.join(RELEASE, "libkeepfast.a")
PROGRAM = os.path.join(RELEASE, "keepfast")


def output(*argv, **more):
    return subprocess.run(argv, capture_output=True, text=True, check=True, errors="replace", **more).stdout


def linked_files():
    """The shared library, and the program."""
    return [path for path in (SHARED, PROGRAM) if os.path.exists(path)]


def public_calls():
    """The functions that keepfast.h declares."""
    with open(os.path.join(TOP, "include/keepfast.h"), encoding="utf-8") as file:
        return set(re.findall(r"^KF_API [^;(]*?\b(kf_\w+)\(", file.read(), re.M))


def sources(*patterns):
    return [path for pattern in patterns for path in sorted(glob.glob(os.path.join(TOP, pattern), recursive=True))]
