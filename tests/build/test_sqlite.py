#!/usr/bin/env python3
"""Which SQLite is compiled in, and which ones are refused."""

import os
import re
import shutil
import subprocess

from elf import SHARED, TOP, output
from tap import check, equal, main, test

REFUSED = ["3.6.23", "3.7.0", "3.40.1", "3.44.5", "3.45.0", "3.46.1", "3.49.2", "3.50.6", "3.51.0", "3.51.2"]
TAKEN = ["3.44.6", "3.44.9", "3.50.7", "3.51.3", "3.52.0", "3.54.1", "4.0.0"]


def made_up(version):
    """A folder with the header of an SQLite of this version."""
    major, minor, patch = (int(part) for part in version.split("."))
    folder = os.path.join(os.environ["TMPDIR"], "sqlite-" + version)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "sqlite3.h"), "w", encoding="utf-8") as file:
        file.write(f"#define SQLITE_VERSION_NUMBER {major * 1000000 + minor * 1000 + patch}\n")
    with open(os.path.join(folder, "sqlite3.c"), "w", encoding="utf-8") as file:
        file.write('#include "sqlite3.h"\n')
    return folder


def compiler_takes(version):
    done = subprocess.run(
        ["cc", "-std=gnu17", "-fsyntax-only", "-I", made_up(version), "-I", "src", "src/db/sqlite_check.c"],
        cwd=TOP, capture_output=True, text=True,
    )
    if done.returncode:
        check("WAL-reset" in done.stderr, f"the error names the reason: {done.stderr}")
    return done.returncode == 0


@test
def the_compiler_refuses_versions_that_lose_commits():
    equal([v for v in REFUSED if compiler_takes(v)], [], "taken and should not be")


@test
def the_compiler_takes_mended_versions():
    equal([v for v in TAKEN if not compiler_takes(v)], [], "refused and should not be")


@test
def the_build_refuses_to_be_configured_with_one():
    build = os.path.join(os.environ["TMPDIR"], "configured")
    done = subprocess.run(
        ["meson", "setup", build, "-Dsqlite_dir=" + made_up("3.51.2")], cwd=TOP, capture_output=True, text=True
    )
    check(done.returncode != 0, "meson setup fails")
    check("can lose committed transactions" in done.stdout + done.stderr, "and says why")


@test
def the_pinned_one_is_compiled_in_and_only_once():
    with open(os.path.join(TOP, "packaging/sqlite/sha256sums"), encoding="utf-8") as file:
        version = re.search(r"SQLite (\d+\.\d+\.\d+)", file.read())[1]
    header = os.path.join(output(os.path.join(TOP, "tools/sqlite-source.sh")).strip(), "sqlite3.h")
    with open(header, encoding="utf-8") as file:
        check(f'"{version}"' in file.read(), "sha256sums names the version of the source")
    names = [line.split()[-1] for line in output("nm", SHARED).splitlines() if " t " in line or " T " in line]
    equal(names.count("sqlite3_open_v2"), 1, "copies of SQLite in the shared library")
    check("libsqlite3" not in output("readelf", "-dW", SHARED), "and the system's is not loaded")


@test
def a_changed_source_is_refused():
    folder = os.path.join(os.environ["TMPDIR"], "changed")
    os.makedirs(os.path.join(folder, "bin"))
    source = output(os.path.join(TOP, "tools/sqlite-source.sh")).strip()
    # An npm that delivers the source with one byte more.
    with open(os.path.join(folder, "bin/npm"), "w", encoding="utf-8") as file:
        file.write(
            "#!/bin/sh\nset -e\nmkdir -p node_modules/better-sqlite3/deps/sqlite3\n"
            f"cp {source}/sqlite3.h {source}/sqlite3.c node_modules/better-sqlite3/deps/sqlite3/\n"
            "echo >>node_modules/better-sqlite3/deps/sqlite3/sqlite3.c\n"
        )
    os.chmod(os.path.join(folder, "bin/npm"), 0o755)
    environment = dict(os.environ, KEEPFAST_CACHE=os.path.join(folder, "cache"), PATH=f"{folder}/bin:{os.environ['PATH']}")
    done = subprocess.run(["tools/sqlite-source.sh"], cwd=TOP, env=environment, capture_output=True, text=True)
    check(done.returncode != 0 and "is not the one" in done.stderr, f"refused: {done.stderr}")
    equal(done.stdout, "", "no folder is named")
    equal(os.listdir(os.path.join(folder, "cache")), [], "and nothing stays in the cache")
    shutil.rmtree(folder)


@test
def the_lock_file_pins_by_hash_and_names_no_host():
    for name in ("package.json", "package-lock.json", ".npmrc"):
        with open(os.path.join(TOP, "packaging/npm", name), encoding="utf-8") as file:
            text = file.read()
        check("://" not in text, f"no address in {name}")
    with open(os.path.join(TOP, "packaging/npm/package-lock.json"), encoding="utf-8") as file:
        text = file.read()
    equal(text.count('"integrity": "sha512-'), text.count('"node_modules/'), "packages with a hash")


main()
