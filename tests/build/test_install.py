#!/usr/bin/env python3
"""Building without a network, `make install`, pkg-config: a program is built against what was installed, in both ways."""

import json
import os
import re
import subprocess

from elf import RELEASE, SHARED, TOP, output, sources
from tap import check, equal, main, test

FOLDER = os.environ["TMPDIR"]
ROOT = os.path.join(FOLDER, "root")

SOURCE = r"""
#include <keepfast.h>
#include <stdio.h>

int main(void)
{
    return puts(kf_version()) < 0;
}
"""


def pkg_config(*arguments):
    folder = next(path for path, _, files in os.walk(ROOT) if "keepfast.pc" in files)
    # The system's libraries stay where they are; only what was installed is under the root.
    system = output("pkg-config", "--variable", "pc_path", "pkg-config").strip()
    words = output("pkg-config", *arguments, "keepfast", env=dict(os.environ, PKG_CONFIG_LIBDIR=f"{folder}:{system}")).split()
    return [word.replace("/opt/kf", ROOT + "/opt/kf") for word in words]


def build_and_run(name, *arguments, **more):
    source, program = os.path.join(FOLDER, name + ".c"), os.path.join(FOLDER, name)
    with open(source, "w", encoding="utf-8") as file:
        file.write(SOURCE)
    output("cc", "-Wall", "-Wextra", "-Werror", "-std=c17", "-pedantic", source, "-o", program, *arguments)
    return output(program, **more).strip()


def without_network():
    """What to put before a command so that it sees no network, where the machine permits that, and an environment
    in which programs that fetch fail."""
    folder = os.path.join(FOLDER, "fail")
    os.makedirs(folder, exist_ok=True)
    for name in ("npm", "curl", "wget", "git", "apt-get", "pip"):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\necho 'the build called {name}' >&2\nexit 1\n")
        os.chmod(os.path.join(folder, name), 0o755)
    environment = dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}")
    for prefix in (["unshare", "-n"], ["unshare", "-rn"]):
        if subprocess.run(prefix + ["true"], capture_output=True).returncode == 0:
            return prefix, environment
    return [], environment


@test
def it_builds_without_a_network_and_installs_under_destdir():
    # A build folder of its own, so that the prefix of the release stays what it is.
    build = os.path.join(FOLDER, "b")
    prefix, environment = without_network()
    output(*prefix, "meson", "setup", build, "--prefix", "/opt/kf", cwd=TOP, env=environment)
    output(*prefix, "ninja", "-C", build, "-j", "2", env=environment)
    output("meson", "install", "-C", build, "--no-rebuild", "--quiet", env=dict(os.environ, DESTDIR=ROOT))
    found = {name for _, _, files in os.walk(ROOT) for name in files}
    wanted = ["keepfast", "keepfast.h", "keepfast.pc", "libkeepfast.a", "libkeepfast.so", "keepfast.cdx.json", "keepfast.1",
              "keepfast.bash", "_keepfast", "keepfast.fish"]
    equal([name for name in wanted if name not in found], [], "not installed")
    for path, _, files in os.walk(ROOT):
        check(path.startswith(ROOT + "/opt/kf") or not files, f"{path} is under the prefix")


@test
def the_list_of_parts_is_complete():
    with open(os.path.join(RELEASE, "keepfast.cdx.json"), encoding="utf-8") as file:
        parts = {part["name"]: part for part in json.load(file)["components"]}
    loaded = set(re.findall(r"\(NEEDED\).*\[(.+)\]", output("readelf", "-dW", SHARED)))
    equal(loaded - set(parts), set(), "loaded and not listed")
    check(parts["libarchive.so.13"]["scope"] == "optional", "what is loaded on demand is listed as such")
    for name in ("sqlite", "llhttp"):
        check(parts[name]["version"], f"{name} has a version")
    with open(os.path.join(TOP, "packaging/sqlite/sha256sums"), encoding="utf-8") as file:
        check(parts["sqlite"]["hashes"][0]["content"] in file.read(), "the hash of SQLite is the pinned one")


@test
def a_program_links_the_shared_library():
    libraries = pkg_config("--cflags", "--libs")
    folder = next(word[2:] for word in libraries if word.startswith("-L"))
    version = build_and_run("shared", *libraries, env=dict(os.environ, LD_LIBRARY_PATH=folder))
    equal(version, output("pkg-config", "--modversion", os.path.join(folder, "pkgconfig/keepfast.pc")).strip(), "kf_version")
    check("libkeepfast.so.0" in output("readelf", "-d", os.path.join(FOLDER, "shared")), "by its soname")


@test
def a_program_links_the_archive():
    words = pkg_config("--static", "--cflags", "--libs")
    words = ["-l:libkeepfast.a" if word == "-lkeepfast" else word for word in words]
    check(build_and_run("static", *words), "it runs without a library path")
    check("libkeepfast" not in output("readelf", "-d", os.path.join(FOLDER, "static")), "the archive is in the program")


@test
def the_examples_build_against_it():
    for source in sources("examples/**/*.c"):
        output("cc", "-Wall", "-Wextra", "-Werror", "-std=c17", source, "-o", os.path.join(FOLDER, "example"), *pkg_config("--cflags", "--libs"))


@test
def the_header_is_also_c_plus_plus():
    done = subprocess.run(["g++", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-pedantic", "-x", "c++", os.path.join(TOP, "include/keepfast.h")],
                          capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if "pragma once" not in line]
    equal(done.returncode, 0, "\n".join(lines))


main()
