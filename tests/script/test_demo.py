#!/usr/bin/env python3
# test: timeout=120
"""`make demo` as whoever runs it sees it: it holds, it is quick, it leaves nothing behind; and its proof can fail."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from keepfast import PROGRAM, folder, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

DEMO = Path(os.environ.get("KF_TOP", ".")).resolve() / "examples" / "finance" / "demo.py"


def began(program=PROGRAM):
    """The process and the folder that it has for what it makes."""
    temporary = folder()
    process = subprocess.Popen([sys.executable, "-B", str(DEMO), str(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, env={**os.environ, "TMPDIR": str(temporary)})
    return process, temporary


def left(temporary):
    """Processes whose command line names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if str(temporary).encode() in (entry / "cmdline").read_bytes():
                    found.append(entry.name)
            except OSError:
                pass
    return found


@test
def the_story_holds_and_leaves_nothing_behind():
    start = time.monotonic()
    process, temporary = began()
    out, err = process.communicate(timeout=100)
    took = time.monotonic() - start
    equal((process.returncode, err), (0, ""), f"the demo: {out}")
    check(took < 40, f"it took {took:.1f} s")
    note(f"seconds={took:.1f}")
    check("\x1b" not in out, "no colours but on a terminal")
    check("  NO   " not in out and out.count("   yes  ") == 9, "each claim was looked at")
    digests = [line.split()[-1] for line in out.splitlines() if line.startswith("   digest ")]
    check(len(digests) == 2 and digests[0] == digests[1], f"two equal digests: {digests}")
    check("Quiet hours begin earlier" in out and "notification_config.json | 2 +-" in out, "git log --stat shows the edit")
    equal((os.listdir(temporary), left(temporary)), ([], []), "what is left")


@test
def an_interrupted_demo_leaves_nothing_behind():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        process, temporary = began()
        for line in process.stdout:
            if line.startswith("3."):
                break
        time.sleep(0.5)
        process.send_signal(number)
        process.communicate(timeout=60)
        equal(process.returncode, 128 + number, "it ends as it was told to")
        wait_for(lambda where=temporary: not os.listdir(where) and not left(where), 5)


@test
def a_machine_that_comes_back_without_its_documents_is_seen():
    where = folder()
    program = where / "keepfast"
    program.write_text(f"""#!/bin/sh
for config; do :; done
if [ -e "{where}/second" ]; then sed -i 's/branch: data/branch: another/' "$config"; fi
: >"{where}/second"
exec "{os.path.abspath(PROGRAM)}" "$@"
""")
    program.chmod(0o755)
    process, temporary = began(program)
    out, err = process.communicate(timeout=100)
    check(process.returncode == 1 and "Everything that was confirmed" not in out, f"{process.returncode} {out} {err}")
    equal((os.listdir(temporary), left(temporary)), ([], []), "what is left")


@test
def what_is_lost_is_told_from_what_was_announced():
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    ledger = demo.Ledger()
    ledger.asked = {"a": {1, 2, 3, 4}}
    ledger.saves = {"a": [(5, 1, 10.0, True), (6, 2, 11.0, False), (7, 3, 12.0, False)]}
    ledger.statuses = [(11.5, {"a"})]

    def judged(version, number, statuses=None):
        ledger.statuses = statuses or [(11.5, {"a"})]
        found = demo.judge(ledger, {"a": version}, {"a": {"ostatnia_zmiana": {"numer": number}}})
        return tuple(len(each) for each in found)

    equal(judged(7, 3), (0, 0, 0, 0), "all is back")
    equal(judged(5, 1), (0, 1, 0, 0), "it was pending")
    equal(judged(5, 1, [(11.5, set())]), (0, 1, 0, 0), "it came after the last status")
    equal(judged(5, 1, [(12.5, set())]), (0, 0, 1, 0), "nobody had said that it may be lost")
    equal(judged(4, None), (1, 0, 0, 0), "the host had confirmed it")
    equal(judged(7, 2), (0, 0, 0, 1), "the version has the text of another")
    equal(judged(8, 4), (0, 0, 0, 0), "a save whose answer never came")
    equal(judged(8, 2), (0, 0, 0, 1), "and not an older one")


main()
