#!/usr/bin/env python3
"""Builds what the tests need, runs them, and ends in one line: N passed, N failed, N skipped.

    tools/test.py [PATTERN...]     only tests whose "group/name" contains one of the patterns

tests/README.md says what a test is and what it prints."""

import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CI = os.environ.get("CI") == "true"
LONG = os.environ.get("KEEPFAST_LONG") == "1"
CORES = len(os.sched_getaffinity(0))
TIMEOUT_S = 120
# Debian's own, which has the modules that packaging/debian-packages-test.txt names: the first in PATH may be another one.
PYTHON = "/usr/bin/python3"

# group: (flavour, suites of C programs, folder of Python files, seconds that it should take in CI)
GROUPS = {
    "build": ("release", [], "tests/build", 60),
    "unit": ("test", ["unit"], None, 60),
    "conform": ("test", ["conform"], "tests/conform", 120),
    "checker": ("test", [], "tests/checker", 30),
    "script": ("test", ["script"], "tests/script", 120),
    "browser": ("test", [], "tests/browser", 180),
    "crash": ("test", ["crash"], "tests/crash", 360),
    "oom": ("asan", ["oom"], None, 90),
    "unit-asan": ("asan", ["unit", "conform"], "tests/sanitized", 120),
    "unit-tsan": ("tsan", ["unit", "threads"], "tests/sanitized", 120),
    "fuzz": ("fuzz", [], None, 90),
}

# Tests that start real servers and browsers and wait for them share the machine with whatever else it does. What fails there is
# run once more by itself, and named at the end. Not where the fault may be a race inside one process (the sanitizers, a
# crash), for that shows once in many runs and counts when it does; and not when many fail: then it is not the machine.
AGAIN = ("build", "conform", "script", "browser", "crash")
AGAIN_MOST = 4


def build_dir(flavour):
    return os.path.join(TOP, "build" if flavour == "release" else "build-" + flavour)


class Test:
    def __init__(self, group, name, argv, timeout_s=TIMEOUT_S, alone=False, fault=None, folder=TOP):
        self.group, self.name, self.argv, self.folder = group, name, argv, folder
        self.timeout_s, self.alone, self.fault = timeout_s, alone, fault

    @property
    def title(self):
        return f"{self.group}/{self.name}"


# ------------------------------------------------------------------------------------- finding


def python_tests(group, folder):
    for path in sorted(glob.glob(os.path.join(TOP, folder, "*.py"))):
        name = os.path.basename(path)[:-3].removeprefix("test_")
        with open(path, encoding="utf-8") as file:
            head = [line for _, line in zip(range(40), file)]
        if not head or not head[0].startswith("#!"):
            if os.path.basename(path).startswith("test_"):
                yield Test(group, name, None, fault="its first line is not #!/usr/bin/env python3")
            continue
        words = [w for line in head if line.startswith("# test:") for w in line[7:].split()]
        timeout_s = next((int(w[8:]) for w in words if w.startswith("timeout=")), TIMEOUT_S)
        yield Test(group, name, [PYTHON, path], timeout_s, "alone" in words)


def c_tests(group, flavour, suites):
    done = subprocess.run(
        ["meson", "introspect", "--tests", build_dir(flavour)], capture_output=True, text=True, check=True
    )
    for entry in json.loads(done.stdout):
        if any(suite.split(":")[-1] in suites for suite in entry["suite"]):
            # A sanitizer makes everything several times slower.
            factor = 1 if flavour == "test" else 4
            folder = entry["workdir"] or build_dir(flavour)
            alone = not entry["is_parallel"]
            yield Test(group, entry["name"], entry["cmd"], entry["timeout"] * factor, alone, folder=folder)


def fuzz_tests(group):
    for source in sorted(glob.glob(os.path.join(TOP, "tests/fuzz/fuzz_*.c"))):
        target = os.path.basename(source)[:-2]
        name = target.removeprefix("fuzz_")
        seeds = os.path.join(TOP, "tests/fuzz/corpus", name)
        program = os.path.join(build_dir("fuzz"), "tests/fuzz", target)
        argv = [PYTHON, os.path.join(TOP, "tools/fuzz.py"), program, seeds]
        yield Test(group, name, argv, 3600 if LONG else TIMEOUT_S)


def orphans():
    """Test scripts in a folder that belongs to no group: they would never run."""
    folders = {folder for _, _, folder, _ in GROUPS.values()}
    for path in sorted(glob.glob(os.path.join(TOP, "tests/**/test_*.py"), recursive=True)):
        if os.path.relpath(os.path.dirname(path), TOP) not in folders:
            yield os.path.relpath(path, TOP)


def find(group):
    flavour, suites, folder, _ = GROUPS[group]
    if group == "fuzz":
        return list(fuzz_tests(group))
    tests = list(c_tests(group, flavour, suites)) if suites else []
    if folder:
        tests += python_tests(group, folder)
    return tests


# ------------------------------------------------------------------------------------- running


class Outcome:
    """What one run of a test gave: results as they came, each ("ok" | "skip" | "fail" | "note", title, why, lines)."""

    def __init__(self, test, status, output, errors, seconds):
        self.results = []
        self.title = test.title
        ended = re.compile("Sanitizer|SIGSEGV|SIGABRT")
        self.crashed = status is not None and status < 0 or any(ended.search(line) for line in output + errors)
        given = impossible = 0
        plan = None
        pending = []  # output since the last result: belongs to a failure
        for line in output:
            match = re.match(r"(not )?ok\b\s*\d*\s*-?\s*(.*)", line)
            if re.match(r"1\.\.\d+\s*$", line):
                # cmocka announces each of its groups.
                plan = (plan or 0) + int(line[3:])
            elif match:
                given += 1
                what, _, skip = match[2].partition("# SKIP")
                title = f"{test.title}: {what.strip()}"
                if (skip or "# SKIP" in line) and CI:
                    self._give("fail", title, f"skipped:{skip}; in CI a skip is a failure")
                elif skip or "# SKIP" in line:
                    self._give("skip", title, skip.strip())
                elif match[1]:
                    self._give("fail", title, "not ok", pending)
                else:
                    self._give("ok", title)
                pending = []
            elif line.startswith("not possible here:"):
                impossible += 1
                self._give("note", f"{test.title}: {line}")
            elif line.startswith("#   ") or not line.startswith("# "):
                pending.append(line)
            elif not line.startswith("# ok - ") and not line.startswith("# not ok - "):
                self._give("note", f"{test.title}: {line}")
        tail = pending + errors
        if status is None:
            self._give("fail", test.title, f"did not end within {test.timeout_s} s", tail)
        elif status < 0:
            self._give("fail", test.title, f"ended by {signal.Signals(-status).name}", tail)
        elif status and not self.failed:
            self._give("fail", test.title, f"exit status {status}", tail)
        elif plan is not None and plan != given + impossible:
            self._give("fail", test.title, f"announced {plan} results and gave {given}", tail)
        elif not given + impossible:
            self._give("fail", test.title, "gave no result", tail)
        elif self.failed:
            self.failed[-1][3].extend(errors)
        if seconds > 20:
            self._give("note", f"{test.title} took {seconds:.0f} s")

    def _give(self, kind, title, why="", lines=()):
        self.results.append((kind, title, why, list(lines)))

    @property
    def failed(self):
        return [result for result in self.results if result[0] == "fail"]


class Tally:
    """What was counted, and the only place that prints results."""

    def __init__(self):
        self.lock = threading.Lock()
        self.passed = self.failed = self.skipped = 0
        self.saboteurs = []  # passing results that speak of one
        self.faults = []
        self.again = []  # what failed once and passed by itself

    def fail(self, title, why, output=()):
        with self.lock:
            self._fail(title, why, output)

    def _fail(self, title, why, output=()):
        self.failed += 1
        self.faults.append((title, why, list(output)[-12:]))
        print(f"FAIL  {title}: {why}")
        show(output)

    def add(self, outcome):
        """In CI, which keeps no more than the first hundred kilobytes of what is printed, a test that passes takes a line."""
        with self.lock:
            before = self.passed
            for kind, title, why, lines in outcome.results:
                if kind == "fail":
                    self._fail(title, why, lines)
                elif kind == "skip":
                    self.skipped += 1
                    print(f"skip  {title} ({why})")
                elif kind == "note":
                    print(f"      {title[:120] if CI else title}")
                else:
                    self.passed += 1
                    what = title.split(": ", 1)[1]
                    if "saboteur" in what:
                        self.saboteurs.append(what.replace("_", "-").replace(" ", "-"))
                    if not CI:
                        print(f"ok    {title}")
            if CI and self.passed > before:
                print(f"ok    {outcome.title}: {self.passed - before}")
            sys.stdout.flush()

    def put_off(self, outcome):
        """A first failure: shown, and not counted yet. False: there were too many."""
        with self.lock:
            if len(self.again) + len(outcome.failed) > AGAIN_MOST:
                return False
            for _, title, why, lines in outcome.failed:
                self.again.append(title)
                print(f"again {title}: {why}")
                show(lines)
            sys.stdout.flush()
            return True


def show(lines):
    for line in list(lines)[-60:]:
        print(f"      | {line}")


def stop_group(process):
    """Ends a test that overran, with everything that it started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass


def run(test, flavour):
    build = build_dir(flavour)
    folder = tempfile.mkdtemp(prefix="kf-test-")
    environment = dict(
        os.environ,
        KF_BUILD=build,
        KF_RELEASE=build_dir("release"),
        KEEPFAST=os.path.join(build, "keepfast"),
        KF_TOP=TOP,
        TMPDIR=folder,
        PYTHONPATH=os.path.join(TOP, "tests"),
        PYTHONDONTWRITEBYTECODE="1",
        PYTHONUNBUFFERED="1",
        CMOCKA_MESSAGE_OUTPUT="TAP",
        # Not detect_stack_use_after_return: gcc 12 then places locals that ask for 64 byte alignment at 32.
        ASAN_OPTIONS="detect_leaks=1",
        UBSAN_OPTIONS="print_stacktrace=1",
        TSAN_OPTIONS="halt_on_error=0:second_deadlock_stack=1",
        LC_ALL="C.UTF-8",
        TZ="UTC",  # without it glibc sets its zone anew with each call, under a lock that the thread sanitizer cannot see
    )
    if flavour != "release":
        environment["KF_SOMETIMES_FILE"] = os.path.join(TOP, "build-test", "situations.txt")
    out_path, err_path = os.path.join(folder, ".out"), os.path.join(folder, ".err")
    began = time.monotonic()
    with open(out_path, "wb") as out, open(err_path, "wb") as err:
        process = subprocess.Popen(
            test.argv, cwd=test.folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            start_new_session=True,
        )
        try:
            status = process.wait(test.timeout_s * (10 if LONG else 1))
        except subprocess.TimeoutExpired:
            status = None
        stop_group(process)

    def lines(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()

    outcome = Outcome(test, status, lines(out_path), lines(err_path), time.monotonic() - began)
    shutil.rmtree(folder, ignore_errors=True)
    return outcome


def run_group(group, tests, tally):
    flavour, _, _, budget_s = GROUPS[group]
    began = time.monotonic()
    put_off = []

    def first(test):
        if test.fault:
            tally.fail(test.title, test.fault)
            return
        outcome = run(test, flavour)
        if outcome.failed and group in AGAIN and not outcome.crashed and tally.put_off(outcome):
            put_off.append(test)
        else:
            tally.add(outcome)

    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(first, [t for t in tests if not t.alone]))
    for test in tests:
        if test.alone:
            first(test)
    for test in put_off:
        tally.add(run(test, flavour))
    seconds = time.monotonic() - began
    late = " (over)" if seconds > budget_s and not LONG else ""
    return f"      {group:<10} {seconds:6.1f} s of {budget_s} s{late}"


# ------------------------------------------------------------------------------------- building


def build(flavours, tally):
    """Two flavours at a time: each waits most of a minute for SQLite alone. Returns those that built."""
    # release and test share SQLite's object: not these two first.
    flavours = sorted(flavours, key="release asan test fuzz tsan".split().index)
    jobs = str(max(1, CORES // 2)) if len(flavours) > 1 else str(CORES)

    def one(flavour):
        began = time.monotonic()
        done = subprocess.run(
            [os.path.join(TOP, "tools/flavour.sh"), flavour],
            env=dict(os.environ, JOBS=jobs),
            capture_output=True,
            text=True,
            errors="replace",
        )
        if done.returncode:
            tally.fail(f"build/{flavour}", "does not build", (done.stdout + done.stderr).splitlines())
            return None
        print(f"      built {flavour} in {time.monotonic() - began:.0f} s", flush=True)
        return flavour

    with ThreadPoolExecutor(2 if CORES > 1 else 1) as pool:
        return {flavour for flavour in pool.map(one, flavours) if flavour}


# ------------------------------------------------------------------------------------- proof


def in_source(call):
    """Names given to KF_SOMETIMES or KF_SABOTAGE in the source."""
    names = set()
    for path in glob.glob(os.path.join(TOP, "src/**/*.[ch]"), recursive=True):
        if os.path.basename(path).startswith("hooks."):
            continue
        with open(path, encoding="utf-8") as file:
            names.update(re.findall(call + r'\("([^"]+)"\)', file.read()))
    return names


def prove(tally):
    reached = set()
    path = os.path.join(TOP, "build-test", "situations.txt")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            reached = {line.split()[0] for line in file if line.strip()}
    saboteurs = in_source("KF_SABOTAGE")
    found = {name for name in saboteurs if any(f"saboteur-{name}-" in f"{what}-" for what in tally.saboteurs)}
    for wanted, shown, kind in (
        (in_source("KF_SOMETIMES"), reached, "situation {} occurred"),
        (saboteurs, found, "saboteur {} was found"),
    ):
        for name in sorted(wanted):
            if name in shown:
                tally.passed += 1
                if not CI:
                    print("ok    proof/" + kind.format(name))
            else:
                tally.fail("proof/" + kind.format(name), "no test shows it")


def main():
    patterns = sys.argv[1:]
    if any(p.startswith("-") for p in patterns):
        print(__doc__)
        sys.exit(0 if patterns in (["-h"], ["--help"]) else 2)
    tally = Tally()

    def chosen(test):
        return not patterns or any(p in test.title for p in patterns)

    # The C programs of a group are known once its flavour is built, so with a pattern that names no group
    # every flavour is built.
    groups = list(GROUPS)
    named = [g for g in groups if any(p.split("/")[0] == g for p in patterns)]
    if named and all("/" in p or p in groups for p in patterns):
        groups = named
    if not glob.glob(os.path.join(TOP, "tests/fuzz/fuzz_*.c")) and "fuzz" in groups:
        groups.remove("fuzz")
    flavours = list(dict.fromkeys(["release"] + [GROUPS[g][0] for g in groups]))
    built = build(flavours, tally)
    situations = os.path.join(TOP, "build-test", "situations.txt")
    if os.path.exists(situations):
        os.remove(situations)

    times = []
    for group in groups:
        if GROUPS[group][0] in built:
            tests = [test for test in find(group) if chosen(test)]
            if tests:
                times.append(run_group(group, tests, tally))
    if not patterns:
        prove(tally)
    for path in orphans():
        tally.fail(path, "is in no group (tools/test.py)")

    print("\n".join(times))
    if tally.again:
        print("failed once, and were run again:")
        for title in tally.again:
            print(f"      {title}")
    if tally.faults:
        print("failed:")
        for title, why, lines in tally.faults:
            print(f"      {title}: {why}")
            if tally.failed <= 20:
                show(lines)
    if not tally.passed + tally.failed + tally.skipped:
        tally.fail("test", "there was nothing to run")
    print(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped", flush=True)
    sys.exit(1 if tally.failed else 0)


if __name__ == "__main__":
    main()
