#!/usr/bin/env python3
"""Lists what a built Keepfast consists of, as CycloneDX 1.5 JSON: what is compiled in, and which libraries it loads,
at its start and on demand.

    tools/sbom.py LIBRARY VERSION SQLITE-FOLDER LLHTTP-FOLDER LLHTTP-HEADER OUTPUT.json

Read from the built library and the machine it was built on; the same inputs give the same bytes."""

import glob
import hashlib
import json
import os
import re
import subprocess
import sys


def run(*argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


def define(path, name):
    with open(path, encoding="utf-8") as file:
        return re.search(rf'#define {name}\s+"?([^"\s]+)"?', file.read())[1]


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def compiled_in(name, version, path):
    return {
        "type": "library",
        "name": name,
        "version": version,
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": sha256(path)}],
        "properties": [{"name": "keepfast:linkage", "value": "compiled in"}],
    }


def on_demand():
    """What our code loads by itself, once it is needed."""
    sonames = set()
    for path in glob.glob(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src/*/*.c")):
        with open(path, encoding="utf-8") as file:
            sonames.update(re.findall(r'struct calls_library [^;]*?\.file = "([^"]+)"', file.read()))
    return sonames


def loaded(soname, path, scope="required"):
    """A shared library, by the Debian package that owns it where there is one."""
    owner = ""
    for candidate in (os.path.realpath(path), os.path.realpath(path).removeprefix("/usr"), path):
        owner = owner or run("dpkg-query", "-S", candidate).split(": ")[0].split(",")[0]
    component = {
        "type": "library",
        "name": soname,
        "scope": scope,
        "properties": [{"name": "keepfast:linkage", "value": "loaded"}],
    }
    if owner:
        version = run("dpkg-query", "-W", "-f", "${Version}", owner)
        component["version"] = version
        component["purl"] = f"pkg:deb/debian/{owner.split(':')[0]}@{version}"
    return component


def main():
    library, version, sqlite, llhttp_c, llhttp_h, output = sys.argv[1:]
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "-dW", library))
    paths = dict(re.findall(r"^\s*(\S+) => (\S+)", run("ldd", library), re.M))
    cached = dict(re.findall(r"^\s*(\S+) .*=> (\S+)", run("/sbin/ldconfig", "-p"), re.M))
    llhttp = ".".join(define(llhttp_h, f"LLHTTP_VERSION_{part}") for part in ("MAJOR", "MINOR", "PATCH"))
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "library", "name": "keepfast", "version": version}},
        "components": [
            compiled_in("sqlite", define(os.path.join(sqlite, "sqlite3.h"), "SQLITE_VERSION"), os.path.join(sqlite, "sqlite3.c")),
            compiled_in("llhttp", llhttp, os.path.join(llhttp_c, "llhttp.c")),
        ]
        + [loaded(soname, paths.get(soname, "")) for soname in sorted(needed)]
        + [loaded(soname, cached.get(soname, ""), "optional") for soname in sorted(on_demand())],
    }
    with open(output, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
        file.write("\n")


main()
